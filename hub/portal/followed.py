"""An application that was sent, as its person follows it: what became of it, what the authority wrote, what can still be done.

Everything that this needs lies sealed under the person's reference and code: the ids at the hub, the private key that opens
replies, the answers (so that they can be corrected), and replies once they were opened. A reply is opened once: its contents
are kept here under the person's key, then the hub is told that it was taken, whose copy ends some days later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Self
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from hub.client.cases import CaseReply, OwnCase, OwnCases
from hub.client.contents import Attachment, Opened
from hub.client.plain import Application, Progress
from hub.crypto import claims_of, read_decryption_key
from hub.errors import Conflict, NotFound, SealBroken, Text, Unavailable
from hub.forms.form_file import EasyText
from hub.model import MOST_FORWARDS, REPLY_KINDS_BY_NAME, CaseMessage, CaseMessageKind, State
from hub.portal.enclosures import opened
from hub.portal.frame import Portal
from hub.portal.login import DEMANDED
from hub.portal.session import FormArea, FormSchema, KeptAttachment, Running
from hub.portal.storage import FormKey, FormPurpose, Kept
from hub.web.filenames import safe_name

#: How long an application can be followed after it was sent, or last written to.
FOLLOWED = timedelta(days=365)
_FORMAT = "followed-1"
#: Bytes of one attachment of a reply that are kept; beyond, the hub would not have taken it.
_LARGEST = 200 * 1024**2
#: Bytes of a reply's data that are shown; more is offered as a file.
_MOST_SHOWN = 64 * 1024
_MOST_ROWS = 300
#: What members of the hub's own schema of replies are called where a reply is kept, and the keys of the person's words.
_LABELS = {"deadline": "Frist / deadline"}
KNOWN_ROWS = {"Frist / deadline": "reply.deadline"}
#: Names within names that are shown, and characters of them: each row repeats what stands above it.
_DEEPEST, _LONGEST_LABEL = 20, 300


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptFile:
    """A file of a reply, kept beside the case; ``size`` in bytes."""

    id: str
    name: str = field(repr=False)
    media_type: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedReply:
    """A reply that was opened: ``text`` is what it says, ``rows`` what else its data hold, as label and value."""

    opened_at: str
    kind: str
    text: str = field(repr=False)
    rows: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    files: tuple[KeptFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowedCase:
    """What lies under reference and code. Ids are the hub's, times ISO 8601; ``replies`` by their ids."""

    submission_id: str
    case_id: str
    place: FormArea
    service: str
    service_name: str
    authority: str
    schema: FormSchema
    language: str
    accepted_at: str
    receipt: str = field(repr=False)
    answers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reply_key: Mapping[str, Any] | None = field(default=None, repr=False)
    replies: Mapping[str, OpenedReply] = field(default_factory=dict, repr=False)
    #: Who released it (role, name, time, hash), where several people had to.
    releases: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    #: The cases that it was before it was handed on (case, submission, authority), the oldest first.
    earlier: Sequence[Mapping[str, str]] = ()
    revision: int = 0

    def content(self) -> bytes:
        """Return it as it is stored, before it is sealed."""
        said = asdict(self)
        del said["revision"]
        if not self.earlier:
            del said["earlier"]  # As programs of before read it.
        return orjson.dumps({"format": _FORMAT, **said})

    @classmethod
    def read(cls, kept: Kept) -> Self | None:
        """Return it from what was stored; None of anything else, or of a version that this program does not know."""
        if kept.purpose is not FormPurpose.FOLLOWED:
            return None
        document: dict[str, Any] = orjson.loads(kept.content)
        if document.pop("format", None) != _FORMAT:
            return None
        document["place"], document["schema"] = FormArea(**document["place"]), FormSchema(**document["schema"])
        document["replies"] = {name: _reply(each) for name, each in document["replies"].items()}
        return cls(**document, revision=kept.revision)


def of_sent(running: Running, sent: Mapping[str, Any]) -> FollowedCase:
    """Return the case of a form that the hub has taken; ``sent`` is what the way keeps of that."""
    return FollowedCase(
        submission_id=str(sent["submissionId"]),
        case_id=str(sent["caseId"]),
        place=running.place,
        service=running.service,
        service_name=running.service_name,
        authority=str(sent.get("destination") or running.authority),
        schema=running.schema,
        language=running.language,
        accepted_at=str(sent["acceptedAt"]),
        receipt=str(sent.get("receipt", "")),
        answers=running.answers,
        reply_key=running.reply_key,
        releases=running.extra.get("releases", ()),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineStep:
    """One thing that happened: ``key`` names its text, ``about`` a reply that can be opened."""

    at: datetime
    key: str
    bad: bool = False
    about: str = ""
    opened: OpenedReply | None = field(default=None, repr=False)
    readable: bool = False
    #: What the hub says of it, beyond the text of the key.
    said: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseStanding:
    """Where a case stands: ``key`` names the text of it. ``known`` is False where the hub cannot say at the moment."""

    key: str
    steps: tuple[TimelineStep, ...]
    known: bool = True
    withdraw: bool = False
    correct: bool = False
    withdrawn: bool = False
    corrected: bool = False
    #: Whether the case's log holds no step of an AI system; None where the hub does not say.
    without_ai: bool | None = None
    #: What has to happen by when: its title in German and English, and the last day.
    deadlines: tuple[tuple[Text, date], ...] = ()


#: What the hub's history says, in the keys of the person's words; what is not here is the machines' own business.
_STEPS: Mapping[str, tuple[str, bool]] = {
    "submit-submission": ("follow.step.received", False),
    "attempt-delivered": ("follow.step.delivered", False),
    "attempt-waiting": ("follow.step.waiting", False),
    "attempt-refused": ("follow.step.refused", True),
    "not-acknowledged": ("follow.step.silent", True),
    "accept-submission": ("follow.step.accepted", False),
    "reject-submission": ("follow.step.rejected", True),
    "forwarded-to-submission": ("follow.step.handed-on", False),
    "forwarded-from-submission": ("follow.step.taken-over", False),
}
_OWN = {"correction": "follow.step.corrected", "withdrawal": "follow.step.withdrawn", "answer": "follow.step.answered"}
_STANDING = {State.ACCEPTED: "follow.now.accepted", State.REJECTED: "follow.now.rejected"}
_FINAL = {State.REJECTED, State.DELETED}


class FollowedCases:
    """Works on the cases that people follow. Methods ask the hub, and may raise ``Unavailable``."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def begin(self, key: FormKey, followed: FollowedCase, now: datetime) -> None:
        """Keep a case under a person's key; once more is the same."""
        with_key = self._portal.storage
        if with_key.read(key, now=now) is None:
            with_key.create(key, followed.content(), purpose=FormPurpose.FOLLOWED, now=now, ends=now + FOLLOWED)

    def moved(self, key: FormKey, followed: FollowedCase, now: datetime) -> FollowedCase:
        """Return the case as it goes on: where it was handed on to another authority it is followed there, and kept so."""
        changed = followed
        try:
            for _ in range(MOST_FORWARDS):
                forwarded = self._portal.doors.status(UUID(changed.submission_id)).forwarded
                if forwarded is None:
                    break
                changed = _handed_on(changed, forwarded)
        except (Unavailable, NotFound):
            pass
        if changed is followed:
            return followed
        return replace(changed, revision=self._write(key, changed, now))

    def standing(self, followed: FollowedCase) -> CaseStanding:
        """Return where the case stands; without the hub, that it was received."""
        try:
            progress = self._portal.doors.status(UUID(followed.submission_id))
            case = self._cases(followed).show(UUID(followed.case_id))
        except (Unavailable, NotFound):
            received = TimelineStep(at=datetime.fromisoformat(followed.accepted_at), key="follow.step.received")
            replies = tuple(
                TimelineStep(at=datetime.fromisoformat(each.opened_at), key=_kind(each), about=name, opened=each)
                for name, each in followed.replies.items()
            )
            return CaseStanding(key="follow.now.received", steps=(received, *replies), known=False)
        before = tuple(self._before(followed))
        steps = (*before, *_happened(progress, case), *(_written(each, followed) for each in case.replies))
        withdrawn = any(each.kind == "withdrawal" for each in case.submissions)
        corrected = _is_replaced(case, UUID(followed.submission_id))
        changeable = progress.state not in _FINAL and not withdrawn and not corrected
        offers = self._offers(followed) if changeable else {}
        return CaseStanding(
            key=_now(progress, case, followed, withdrawn=withdrawn, corrected=corrected),
            steps=tuple(sorted(steps, key=lambda each: each.at)),
            withdraw=bool(offers.get("withdraw")),
            correct=bool(offers.get("correct")),
            without_ai=None if progress.ai_steps is None else progress.ai_steps == 0,
            withdrawn=withdrawn,
            corrected=corrected,
            deadlines=tuple(
                (Text(each["title"]["de"], each["title"]["en"]), date.fromisoformat(each["lastDay"]))
                for each in progress.deadlines
            ),
        )

    def _before(self, followed: FollowedCase) -> Iterator[TimelineStep]:
        """Yield what happened before it was handed on, each time the authority that had it; nothing of what is gone."""
        for each in followed.earlier:
            with suppress(NotFound):
                progress = self._portal.doors.status(UUID(each["submission"]))
                case = self._cases(followed).show(UUID(each["case"]))
                yield from _happened(progress, case)
                yield from (_written(reply, followed) for reply in case.replies)

    def open(self, key: FormKey, followed: FollowedCase, reply_id: UUID, now: datetime) -> FollowedCase:
        """Open a reply with the person's key, keep it, and tell the hub that it was taken. Opened ones stay as they are.

        Raises:
            NotFound: there is no such reply in the case, or its contents are gone.
            SealBroken: it is not for this key, or not what the hub's log proves.
        """
        if str(reply_id) in followed.replies:
            return followed
        if followed.reply_key is None:
            raise SealBroken(_NO_KEY)
        cases = self._cases(followed)
        case_id = self._case_of(followed, reply_id, cases)
        with cases.collect(case_id, reply_id) as collected:
            opened = collected.open([read_decryption_key(followed.reply_key)])
            reply = self._kept(key, opened, now)
        changed = replace(followed, replies={**followed.replies, str(reply_id): reply})
        try:
            revision = self._write(key, changed, now)
        except BaseException:
            for each in reply.files:
                self._portal.storage.detach(key, each.id)
            raise
        # Said already, or too late, or later: the person has it, and the hub ends it by itself.
        with suppress(Conflict, NotFound, Unavailable):
            cases.acknowledge(case_id, reply_id)
        return replace(changed, revision=revision)

    @staticmethod
    def _case_of(followed: FollowedCase, reply_id: UUID, cases: OwnCases) -> UUID:
        """Return the case that a reply is in: this one, or one that it was before it was handed on."""
        for each in followed.earlier:
            if any(reply.reply_id == reply_id for reply in cases.replies(UUID(each["case"]))):
                return UUID(each["case"])
        return UUID(followed.case_id)

    def withdraw(self, followed: FollowedCase, text: str) -> None:
        """Tell the authority that the application is withdrawn; twice is the same."""
        self._send(followed, CaseMessageKind.WITHDRAWAL, UUID(followed.submission_id), text, once="withdrawal")

    def answer(
        self,
        followed: FollowedCase,
        reply_id: UUID,
        text: str,
        *,
        once: str,
        key: FormKey | None = None,
        files: Sequence[KeptAttachment] = (),
    ) -> None:
        """Write back about a reply; ``once`` makes two presses of a button one answer. ``files`` lie under the case's key."""
        attachments = [] if key is None else [self._attachment(key, each, once) for each in files]
        self._send(followed, CaseMessageKind.ANSWER, reply_id, text, once=once, attachments=attachments)

    def _attachment(self, key: FormKey, file: KeptAttachment, once: str) -> Attachment:
        read = partial(self._portal.storage.attachment, key, file.id)
        return Attachment(
            open=lambda: opened(read()),
            filename=file.name,
            media_type=file.media_type,
            # The same file of the same answer is the same attachment, however often it came in.
            attachment_id=uuid5(NAMESPACE_URL, f"{once} {file.name} {file.sha512}"),
        )

    def corrected(self, followed: FollowedCase, now: datetime) -> Running:
        """Return a form with the answers that were sent, to be sent anew in the same case."""
        return Running(
            place=followed.place,
            service=followed.service,
            service_name=followed.service_name,
            authority=followed.authority,
            schema=followed.schema,
            language=followed.language,  # type: ignore[arg-type]  # it was one of the portal's when it was sent
            begun=now.isoformat(),
            answers=followed.answers,
            extra={"caseId": followed.case_id, "replaces": followed.submission_id, **self._demanded(followed)},
        )

    def _cases(self, followed: FollowedCase) -> OwnCases:
        return own_cases(self._portal, followed.receipt)

    def _demanded(self, followed: FollowedCase) -> dict[str, str]:
        demanded = self._offers(followed).get("assurance")
        return {DEMANDED: demanded} if isinstance(demanded, str) else {}

    def _offers(self, followed: FollowedCase) -> Mapping[str, Any]:
        try:
            return self._portal.doors.service(followed.service, followed.place.ars, "de")
        except (Unavailable, NotFound):
            return {}

    def _send(
        self,
        followed: FollowedCase,
        kind: CaseMessageKind,
        about: UUID,
        text: str,
        *,
        once: str,
        attachments: Sequence[Attachment] = (),
    ) -> None:
        message = CaseMessage(kind=kind, about=about, text=text)
        # The same words about the same thing are the same message, however often a button was pressed.
        name = f"{followed.case_id} {kind.value} {about} {once}"
        self._portal.doors.submit(
            Application.in_case(
                message,
                UUID(followed.case_id),
                service=followed.service,
                ars=followed.place.ars,
                idempotency_key=str(uuid5(NAMESPACE_URL, name)),
                attachments=list(attachments),
            )
        )

    def _write(self, key: FormKey, followed: FollowedCase, now: datetime) -> int:
        revision: int = self._portal.storage.write(
            key, followed.content(), revision=followed.revision, now=now, ends=now + FOLLOWED
        )
        return revision

    def _kept(self, key: FormKey, opened: Opened, now: datetime) -> OpenedReply:
        """Keep what a reply holds under the person's key; of what fails, nothing stays."""
        files: list[KeptFile] = []
        data = opened.data
        kind, text, rows = shown(data)
        try:
            if data is not None and not text and not rows:
                files.append(self._keep(key, "nachricht", "application/octet-stream", iter([data]), now))
            for number, each in enumerate(opened.attachments, start=1):
                name = safe_name(each.filename, f"anlage-{number}")
                files.append(self._keep(key, name, each.media_type, each.chunks(), now))
        except BaseException:
            for each_kept in files:
                self._portal.storage.detach(key, each_kept.id)
            raise
        return OpenedReply(opened_at=now.isoformat(), kind=kind, text=text, rows=rows, files=tuple(files))

    def _keep(self, key: FormKey, name: str, media_type: str, chunks: Iterator[bytes], now: datetime) -> KeptFile:
        counted = _Counted(chunks)
        identifier = self._portal.storage.attach(key, counted, limit=_LARGEST, now=now)
        return KeptFile(id=identifier, name=name, media_type=media_type, size=counted.size)


def _handed_on(followed: FollowedCase, forwarded: Mapping[str, Any]) -> FollowedCase:
    """Return the case as it goes on with the next authority."""
    here = {"case": followed.case_id, "submission": followed.submission_id, "authority": followed.authority}
    return replace(
        followed,
        submission_id=str(UUID(forwarded["submissionId"])),
        case_id=str(UUID(forwarded["caseId"])),
        authority=str(forwarded["name"]),
        service=str(forwarded["service"]),
        place=replace(followed.place, ars=str(forwarded["ars"])),
        earlier=(*followed.earlier, here),
    )


def own_cases(portal: Portal, receipt: str) -> OwnCases:
    """Return the portal's cases at the hub, whose logs must be signed by whoever signed this receipt."""
    issuer = claims_of(receipt).get("iss") if receipt else None
    return OwnCases(portal.doors.session, issuer=str(issuer) if issuer else None)


class _Counted:
    """Chunks, and how many bytes of them went by."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


def shown(data: bytes | None) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Return kind, text and further rows of a reply's data; nothing of what is no JSON object, or too long to be read.

    Authorities write ``text`` (or ``nachricht``) and perhaps ``kind`` (question, decision); whatever else there is stands in
    rows, as label and value, nested names joined.
    """
    if data is None or len(data) > _MOST_SHOWN:
        return "", "", ()
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return "", "", ()
    if not isinstance(document, dict) or _is_deeper(document, _DEEPEST):
        return "", "", ()
    text = next(
        (document[name] for name in ("text", "nachricht", "message") if isinstance(document.get(name), str)), ""
    )
    kind = document.get("kind")
    rows = (
        (_LABELS.get(label, label)[:_LONGEST_LABEL], value)
        for label, value in _leaves(document, "")
        if label not in {"text", "nachricht", "message", "kind", "$schema", "about"}
    )
    return (
        kind if isinstance(kind, str) and kind in REPLY_KINDS_BY_NAME else "",
        text,
        tuple(islice(rows, _MOST_ROWS)),
    )


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [inner for each in level for inner in _within(each)]
    return bool(level)


def _within(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _leaves(value: Any, label: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{label} › {name}" if label else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _leaves(inner, f"{label} {number}".strip())
    elif isinstance(value, bool):
        yield label, "✓" if value else "–"
    elif value is not None:
        yield label, str(value)


def _reply(document: Mapping[str, Any]) -> OpenedReply:
    return OpenedReply(
        opened_at=document["opened_at"],
        kind=document["kind"],
        text=document["text"],
        rows=tuple((row[0], row[1]) for row in document["rows"]),
        files=tuple(KeptFile(**each) for each in document["files"]),
    )


def _happened(progress: Progress, case: OwnCase) -> Iterator[TimelineStep]:
    seen: set[str] = set()
    for each in progress.history:
        if each.step == "ai-step":
            yield TimelineStep(at=each.at, key="follow.step.ai", said=each.text)
            continue
        key, bad = _STEPS.get(each.step, ("", False))
        # Several attempts that the machines needed are one delivery for a person.
        if key and key not in seen:
            seen.add(key)
            yield TimelineStep(at=each.at, key=key, bad=bad)
    for sent in case.submissions:
        if sent.kind in _OWN:
            yield TimelineStep(at=sent.submitted_at, key=_OWN[sent.kind])


def _written(reply: CaseReply, followed: FollowedCase) -> TimelineStep:
    opened = followed.replies.get(str(reply.reply_id))
    return TimelineStep(
        at=reply.submitted_at, key=_kind(opened), about=str(reply.reply_id), opened=opened, readable=reply.readable
    )


def _kind(opened: OpenedReply | None) -> str:
    return f"follow.step.{opened.kind}" if opened is not None and opened.kind else "follow.step.reply"


def _is_replaced(case: OwnCase, submission_id: UUID) -> bool:
    """Tell whether a later application of the case took the place of this one."""
    return any(each.kind == "correction" and each.about == submission_id for each in case.submissions)


def _now(progress: Progress, case: OwnCase, followed: FollowedCase, *, withdrawn: bool, corrected: bool) -> str:
    if withdrawn:
        return "follow.now.withdrawn"
    new = [each for each in case.replies if str(each.reply_id) not in followed.replies and each.readable]
    if new:
        return "follow.now.reply"
    if corrected:
        return "follow.now.corrected"
    if progress.state in _STANDING:
        return _STANDING[progress.state]
    return "follow.now.delivered" if progress.delivery == "delivered" else "follow.now.received"


_NO_KEY = EasyText(
    "Für diesen Antrag gibt es keinen Schlüssel, der Nachrichten öffnet. Wenden Sie sich an die Behörde.",
    "There is no key for this application that opens messages. Turn to the authority.",
    easy="Hier können Sie keine Nachrichten lesen. Fragen Sie das Amt.",
)
