"""Several people on one application: it is frozen, each of them reads and releases it, and it goes when all have.

What they release is one fixed document, known by its SHA-512, with its files; nothing of it can be changed any more, only taken
back as a whole. The frozen form lies under the reference and code of whoever began it; each of the others has a reference and a
code of their own, which open nothing but the way to it. Names, roles, times and the hash go to the authority with the
application (``author.releases`` of its metadata). What nobody sends within 28 days is deleted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import orjson

from hub.client.plain import Receipt
from hub.errors import Conflict, HubError, Invalid, NotFound, SealBroken, Text, Unavailable
from hub.portal.codes import TypedKey
from hub.portal.followed import FOLLOWED, of_sent
from hub.portal.frame import Portal
from hub.portal.login import logged_out
from hub.portal.session import FormSession, Running
from hub.portal.storage import FormKey, FormPurpose, Kept

#: Where the running form says who has to release it, and how they get there once it was frozen.
PEOPLE, BEGUN = "people", "releasing"
#: Where its links are shown.
LINKS = "/freigabe/links"
MOST_PEOPLE, LONGEST_NAME = 10, 120
_COLLECTION, _WAY = "release-1", "release-way-1"
#: Two people who release at the same moment take turns.
_TURNS = 5

#: Sends a frozen form; ``Refused`` where the hub does not take it, ``Unavailable`` where nobody knows yet.
Send = Callable[[FormSession], Receipt]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasingPerson:
    """One who has to release: ``role`` as whoever began it named it, ``name`` and ``at`` as the person said and did."""

    role: str = field(repr=False)
    name: str = field(default="", repr=False)
    at: str = ""

    @property
    def released(self) -> bool:
        """Whether the person has."""
        return bool(self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRound:
    """A frozen application and who has to release it. ``fault``: why the hub refused it, if it did."""

    running: Running
    people: tuple[ReleasingPerson, ...]
    fault: Text | None = None
    revision: int = 0

    @property
    def complete(self) -> bool:
        """Whether everybody has released it."""
        return all(each.released for each in self.people)

    @property
    def sha512(self) -> str:
        """The hash of the document that is released."""
        pending = self.running.pending or {}
        return hashlib.sha512(base64.b64decode(pending.get("document", ""))).hexdigest()

    def content(self) -> bytes:
        """Return it as it is stored, before it is sealed."""
        return orjson.dumps(
            {
                "format": _COLLECTION,
                "running": self.running.content().decode("utf-8"),
                "people": [asdict(each) for each in self.people],
                "fault": None if self.fault is None else [self.fault.de, self.fault.en],
            }
        )

    @classmethod
    def read(cls, kept: Kept) -> Self | None:
        """Return it from what was stored; None of anything else."""
        document = _document(kept, _COLLECTION)
        running = (
            None if document is None else Running.read(document["running"].encode("utf-8"), revision=kept.revision)
        )
        if document is None or running is None:
            return None
        people = tuple(ReleasingPerson(**each) for each in document["people"])
        fault = None if document["fault"] is None else Text(*document["fault"])
        return cls(running=running, people=people, fault=fault, revision=kept.revision)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseWay:
    """What one person's reference and code open: the key of the round, and which of its people this is (None: who began)."""

    key: FormKey = field(repr=False)
    person: int | None


def waits(running: Running) -> bool:
    """Tell whether a form waits for others to release it, so that it is not sent by whoever filled it in."""
    return BEGUN in running.extra


def wanted(running: Running) -> bool:
    """Tell whether a form that is about to be sent has to be released by others first."""
    return bool(running.extra.get(PEOPLE)) and BEGUN not in running.extra


def copied(running: Running) -> int:
    """Return the bytes that a form takes up once more where it lies down for others to release."""
    return len(running.content()) + sum(each.size for each in running.attachments)


def named(portal: Portal, roles: Sequence[str]) -> list[str]:
    """Return who has to release, of what somebody typed; ``Invalid`` where it is nobody, or too many."""
    found = [" ".join(each.split()) for each in roles if each.strip()]
    if (
        not found
        or len(found) > MOST_PEOPLE
        or any(len(each) > LONGEST_NAME or not each.isprintable() for each in found)
    ):
        raise Invalid(portal.texts.text("release.people-fault", most=MOST_PEOPLE))
    return found


def begin(portal: Portal, session: FormSession, now: datetime) -> FormSession:
    """Lay a frozen form down for all to release; its running form then knows the ways to it, and is not sent any more.

    Raises:
        Conflict: it was changed in another tab. Overloaded, TooLarge: there is no room.
    """
    # What the others release says who logged in; what else was known of that person is nobody's business.
    running = logged_out(session.running)
    typed, ends = TypedKey.new(), now + portal.settings.limits.saved
    people = tuple(ReleasingPerson(role=role) for role in running.extra[PEOPLE])
    key = typed.form_key()
    ways = [(each.role, TypedKey.new()) for each in people]
    begun = {
        "own": _written(typed),
        "people": [{"role": role, **_written(each)} for role, each in ways],
        "until": ends.isoformat(),
    }
    portal.storage.copy(
        session.key,
        key,
        ReleaseRound(running=running, people=people).content(),
        attached=[each.id for each in running.attachments],
        purpose=FormPurpose.RELEASE,
        now=now,
        ends=ends,
    )
    for number, (_, each) in enumerate(ways):
        content = orjson.dumps({"format": _WAY, "key": key.text(), "person": number})
        portal.storage.create(each.form_key(), content, purpose=FormPurpose.RELEASE, now=now, ends=ends)
    return portal.sessions.write(session, replace(running, extra={**running.extra, BEGUN: begun}), now)


def _written(typed: TypedKey) -> dict[str, str]:
    return {"reference": typed.shown_reference, "code": typed.shown_code}


def way_of(key: FormKey, kept: Kept) -> ReleaseWay | None:
    """Return where a reference and code lead that somebody typed; None of what is no release."""
    if _document(kept, _COLLECTION) is not None:
        return ReleaseWay(key=key, person=None)
    document = _document(kept, _WAY)
    found = None if document is None else FormKey.read(document["key"])
    return None if document is None or found is None else ReleaseWay(key=found, person=document["person"])


def _document(kept: Kept, form: str) -> dict[str, Any] | None:
    if kept.purpose is not FormPurpose.RELEASE:
        return None
    document: dict[str, Any] = orjson.loads(kept.content)
    return document if document.get("format") == form else None


class ReleaseRounds:
    """Works on applications that several people release."""

    def __init__(self, portal: Portal, send: Send) -> None:
        self._portal = portal
        self._send = send

    def show(self, way: ReleaseWay, now: datetime) -> ReleaseRound | None:
        """Return a round; None where the application has gone to the authority, or was taken back, or its time is over."""
        kept = self._portal.storage.read(way.key, now=now)
        return None if kept is None else ReleaseRound.read(kept)

    def was_sent(self, way: ReleaseWay, now: datetime) -> bool:
        """Tell whether the application has gone to the authority."""
        kept = self._portal.storage.read(way.key, now=now)
        return kept is not None and kept.purpose is FormPurpose.FOLLOWED

    def release(self, way: ReleaseWay, name: str, sha512: str, now: datetime) -> ReleaseRound | None:
        """Release in one person's name what the page showed; the last one sends it. Return how it stands, None once sent.

        Raises:
            NotFound: it is not there any more. Conflict: it is another document. Invalid: there is no name.
        """
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise Invalid(self._portal.texts.text("release.name-fault"))
        changed = self._changed(way, sha512, {"name": name, "at": now.isoformat()}, now)
        return self.send_if_complete(way.key, changed, now)

    def take_back(self, way: ReleaseWay, now: datetime) -> ReleaseRound:
        """Withdraw one person's release, as long as it has not been sent; errors as :meth:`release`."""
        return self._changed(way, None, {"name": "", "at": ""}, now)

    def end(self, way: ReleaseWay, now: datetime) -> None:
        """Delete a round: whoever began it takes the application back. The others' ways lead nowhere then.

        Raises:
            Conflict: all have released it, and nobody knows whether the hub has it.
        """
        found = self.show(way, now)
        if found is not None and found.complete and not found.fault:
            raise Conflict(self._portal.texts.text("release.on-its-way"))
        self._portal.storage.delete(way.key)

    def send_if_complete(self, key: FormKey, found: ReleaseRound, now: datetime) -> ReleaseRound | None:
        """Send an application that all have released; None once the hub has it, else how it stands.

        Where nobody knows whether the hub has it, it stays complete: whoever looks next has it sent again, as the same one.
        """
        if not found.complete:
            return found
        running = _with_releases(found)
        try:
            receipt = self._send(FormSession(key=key, running=running))
        except (Unavailable, SealBroken):
            return found
        except HubError as error:
            refused = replace(found, fault=error.detail)
            return replace(refused, revision=self._write(key, refused, now))
        followed = of_sent(running, _sent(receipt))
        self._portal.storage.copy(
            key, key, followed.content(), attached=(), purpose=FormPurpose.FOLLOWED, now=now, ends=now + FOLLOWED
        )
        return None

    def _changed(self, way: ReleaseWay, sha512: str | None, said: Mapping[str, str], now: datetime) -> ReleaseRound:
        for _ in range(_TURNS):
            found = self.show(way, now)
            if found is None or way.person is None:
                raise NotFound(self._portal.texts.text("release.gone"))
            if sha512 is not None and sha512 != found.sha512:
                raise Conflict(self._portal.texts.text("release.other"))
            if sha512 is None and found.complete and not found.fault:
                raise Conflict(self._portal.texts.text("release.on-its-way"))
            if sha512 is not None and found.people[way.person].released and not found.fault:
                return found  # Said anew it would be another application than the one that may have gone already.
            people = list(found.people)
            people[way.person] = replace(people[way.person], **said)
            changed = replace(found, people=tuple(people), fault=None)
            try:
                return replace(changed, revision=self._write(way.key, changed, now))
            except Conflict:
                continue  # Somebody else released at the same moment.
        raise Conflict(self._portal.texts.text("release.crowded"))

    def _write(self, key: FormKey, changed: ReleaseRound, now: datetime) -> int:
        kept = self._portal.storage.read(key, now=now)
        if kept is None:
            raise NotFound(self._portal.texts.text("release.gone"))
        revision: int = self._portal.storage.write(
            key, changed.content(), revision=changed.revision, now=now, ends=kept.ends
        )
        return revision


def _with_releases(found: ReleaseRound) -> Running:
    """Return the frozen form with what its metadata say of the releases; the same whenever it is made."""
    running, pending = found.running, dict(found.running.pending or {})
    releases = [{**asdict(each), "sha512": found.sha512} for each in found.people]
    metadata = dict(pending.get("metadata", {}))
    author = dict(metadata.get("author", {}))
    said = "; ".join(f"{each.role}: {each.name} ({each.at})" for each in found.people)
    before = f"{author['description']}. " if author.get("description") else ""
    metadata["author"] = author | {
        "description": f"{before}Freigegeben von / released by: {said}",
        "releases": releases,
    }
    return replace(running, pending={**pending, "metadata": metadata}, extra={**running.extra, "releases": releases})


def _sent(receipt: Receipt) -> dict[str, str]:
    return {
        "submissionId": str(receipt.submission_id),
        "caseId": str(receipt.case_id),
        "destination": receipt.destination,
        "acceptedAt": receipt.accepted_at.isoformat(),
        "receipt": receipt.token,
    }
