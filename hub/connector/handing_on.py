"""Handing on: a case is sealed anew for the next authority, with its history, its receipt and the proof of when it arrived.

What goes along, in the new submission's own terms: the data and attachments of what is handed on, each decrypted and sealed in
one stream; what came later in the case and what was written back, as further attachments; and a note (``abgabe.json``) with
receipt, log, reason and text. Of an authority that had the case before that its own note stays beside the new one.

Each step may be taken again: the hub knows the request by its id, an upload replaces an earlier one, a submit that was taken
before is a conflict and nothing else, and only the last step is written down with what follows. So of what is interrupted at
any point nothing is lost, and nothing goes twice. Nothing of it lies on the disk in the clear: what is spooled is ciphertext.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import IO, Any
from uuid import UUID, uuid5

import orjson

from hub.client.contents import newest_version
from hub.client.fit_connect import Subscriber
from hub.client.forwarding import Forwarded, Forwarder, ForwardRequest
from hub.connector.casebook import CaseBook, CaseFile, OutgoingReply
from hub.connector.envelope import read_file
from hub.connector.forwards import TO_GO, ForwardBook, ForwardState, HandOn
from hub.connector.handover import data_name, in_case
from hub.connector.journal import Entry, Journal
from hub.connector.opening import Keys, OpenedSubmission
from hub.connector.replies import SealedReplies, digest_of
from hub.crypto import (
    EncryptionKey,
    JweReader,
    JweWriter,
    KeyPolicy,
    Seal,
    decrypt,
    encrypt,
    judge_encryption_key,
)
from hub.errors import Conflict, HubError, KeyRefused, NotFound, SealBroken, Unavailable
from hub.model import FORWARD_FILENAME, FORWARD_REASONS_BY_NAME, MediaType, ReplyMessage

_log = logging.getLogger(__name__)
_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)
_HELD_WAIT = timedelta(minutes=10)
#: Statuses that speak of the hand-on itself: it will not be taken as it is, however often it is sent.
_FINAL = frozenset({400, 403, 409, 413, 422})
_NO_CASE = frozenset({"case-not-found", "submission-not-found"})
_IN_MEMORY = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
_LARGEST_TEXT = 256 * 1024
#: Bytes of plaintext; FIT-Connect allows 500 MB an attachment.
_LARGEST_PIECE = 512 * 1024 * 1024

Chunks = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A file that goes along: opened anew at each call, in the clear, and sealed while it is read.

    ``described`` are its members in the metadata, None of a piece that they describe already.
    """

    attachment_id: UUID
    media_type: str
    chunks: Chunks = field(repr=False)
    described: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Casework:
    """What all that works on cases shares: what is written down of them, the keys, and the ways to the hub.

    ``reopen`` opens what was judged before.
    """

    journal: Journal
    book: CaseBook
    forwards: ForwardBook
    sealed: SealedReplies
    keys: Mapping[UUID, Keys]
    hub: Subscriber
    door: Forwarder
    reopen: Callable[[Entry], OpenedSubmission]


class HandingOn:
    """Carries out what the book wants handed on. For one thread.

    ``policy`` judges the keys of other authorities; None leaves that to the hub.
    """

    def __init__(self, work: Casework, *, policy: KeyPolicy | None = None) -> None:
        self._work = work
        self._policy = policy

    def run_once(self, now: datetime) -> int:
        """Hand on what is due as far as it goes; return how many cases the next authority has now."""
        return sum(self._advance(wish, now) for wish in self._work.forwards.due(now))

    def _advance(self, wish: HandOn, now: datetime) -> bool:
        try:
            self._bring(wish, now)
        except HubError as exc:
            self._hold(wish, exc, now)
            return False
        except Exception as exc:  # noqa: BLE001  # One case's bug must not stop the others.
            _log.error("hand-on %s: %s", wish.request_id, type(exc).__name__)  # No traceback: it could hold contents.
            self._postpone(wish, f"internal error: {type(exc).__name__}", _HELD_WAIT, now)
            return False
        return True

    def _bring(self, wish: HandOn, now: datetime) -> None:
        opened = self._work.reopen(self._entry(wish))
        history = list(self._history(wish, opened))
        note_id = uuid5(wish.request_id, "note")
        own = list(opened.envelope.attachments)
        begun = self._work.door.begin(_request(wish), [*own, *(piece.attachment_id for piece in history), note_id])
        wish = self._work.forwards.update(
            wish.request_id,
            now,
            state=ForwardState.BEGUN,
            next_name=begun.name,
            next_case=begun.case_id,
            next_submission=begun.submission_id,
        )
        if not begun.submitted:
            self._submit(wish, opened, history, note_id, begun, now)
        self._work.door.complete(wish.case_id, begun.submission_id)
        self._work.forwards.finish(wish, now, self._notice(wish, begun, now))
        _log.info("case %s: abgegeben / handed on", wish.case_id)

    def _entry(self, wish: HandOn) -> Entry:
        entry = self._work.journal.find(wish.submission_id)
        if entry is None:
            raise KeyError(wish.submission_id)
        return entry

    # ------------------------------------------------------------------------------------------- what goes along

    def _submit(  # noqa: PLR0917  # What is brought, in its order.
        self,
        wish: HandOn,
        opened: OpenedSubmission,
        history: Sequence[_Piece],
        note_id: UUID,
        begun: Forwarded,
        now: datetime,
    ) -> None:
        key = self._key_of(begun, now)
        # The envelope's pieces are resealed as they are, fragments too: the metadata describe them already.
        self._reseal(wish, opened, begun, key)
        described = [_described(piece, self._upload(begun, piece, key)) for piece in history]
        note = self._note(wish, opened, begun, note_id)
        described.append(_described(note, self._upload(begun, note, key)))
        metadata = _metadata(opened.metadata, described, begun.metadata_versions)
        self._hand_in(wish, opened, begun, metadata, key)

    def _reseal(self, wish: HandOn, opened: OpenedSubmission, begun: Forwarded, key: EncryptionKey) -> None:
        kinds = {each.attachment_id: each.mime_type for each in opened.attachments}
        for attachment_id, path in opened.envelope.attachments.items():
            reader = partial(JweReader, partial(read_file, path), self._decryption(wish), max_output=_LARGEST_PIECE)
            plain = _Piece(
                attachment_id=attachment_id,
                media_type=kinds.get(attachment_id, "application/octet-stream"),
                chunks=lambda reader=reader: reader().plaintext(),  # type: ignore[misc]  # a default, not an argument
            )
            self._upload(begun, plain, key)

    def _hand_in(
        self, wish: HandOn, opened: OpenedSubmission, begun: Forwarded, metadata: bytes, key: EncryptionKey
    ) -> None:
        data = None if opened.data is None else encrypt(key, opened.data, opened.media_type)[0].decode("ascii")
        try:
            self._work.hub.submit(
                begun.submission_id,
                metadata=encrypt(key, metadata, MediaType.JSON)[0].decode("ascii"),
                data=data,
            )
        except Conflict:
            # It was submitted before, and the answer was lost: sealing anew makes other bytes of the same contents.
            _log.info("hand-on %s lay at the hub already", wish.request_id)

    def _key_of(self, begun: Forwarded, now: datetime) -> EncryptionKey:
        """Return the next authority's key; without anchors of ours it is the hub's word that it is that authority's."""
        jwk = dict(self._work.hub.destination_key(begun.destination_id, begun.encryption_kid))
        if self._policy is not None:
            return judge_encryption_key(jwk, now=now, policy=self._policy)
        jwk.pop("x5c", None)
        return judge_encryption_key(jwk, now=now, policy=KeyPolicy(), require_x5c=False)

    def _decryption(self, wish: HandOn) -> Sequence[Any]:
        return self._work.keys[wish.destination_id].decryption

    def _upload(self, begun: Forwarded, piece: _Piece, key: EncryptionKey) -> Seal:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            writer = JweWriter(key, content_type=piece.media_type, sink=file.write)
            for chunk in piece.chunks():
                writer.write(chunk)
            seal = writer.finish()
            self._work.hub.upload(
                begun.submission_id, piece.attachment_id, partial(_from_start, file), length=seal.size
            )
        return seal

    def _history(self, wish: HandOn, opened: OpenedSubmission) -> Iterator[_Piece]:
        """Yield what came besides in the case, and what was written back, up to the moment of the wish."""
        taken = set(opened.envelope.attachments)
        others = [
            each
            for each in self._work.book.submissions(wish.case_id)
            if each.submission_id != wish.submission_id and each.seen_at <= wish.at and each.verdict is not None
        ]
        for number, entry in enumerate(others, start=1):
            yield from self._came(wish, entry, number, taken)
        written = [each for each in self._work.book.replies(wish.case_id) if each.at <= wish.at]
        for number, reply in enumerate(written, start=1):
            yield from self._wrote(wish, reply, number)

    def _came(self, wish: HandOn, entry: Entry, number: int, taken: set[UUID]) -> Iterator[_Piece]:
        try:
            opened = self._work.reopen(entry)
        except NotFound:
            return  # Where the local system decides nothing is kept of what was decided: it has that itself.
        said = in_case(opened)
        kind = "application" if said is None else said["kind"]
        stem = f"vorgang-{number:02}-{kind}"
        if opened.data is not None:
            name = f"{stem}.{data_name(opened).rpartition('.')[2]}"
            yield _enclosed(wish, f"data {entry.submission_id}", name, opened.media_type.value, opened.data)
        for each in opened.attachments:
            one = each.attachment_id
            if one in taken:  # A sender chose an id twice: it is another file all the same.
                one = uuid5(wish.request_id, f"{entry.submission_id} {one}")
            taken.add(one)
            described = {"purpose": "attachment", "mimeType": each.mime_type, "filename": f"{stem}-{each.file_name}"}
            yield _Piece(attachment_id=one, media_type=each.mime_type, chunks=each.chunks, described=described)

    def _wrote(self, wish: HandOn, reply: OutgoingReply, number: int) -> Iterator[_Piece]:
        written = self._work.sealed.read(reply.request_id, self._decryption(wish))
        if written is None:
            return
        stem = f"antwort-{number:02}-{reply.kind}"
        said = {
            "kind": reply.kind,
            "at": reply.at.isoformat(),
            "deadline": None if reply.deadline is None else reply.deadline.isoformat(),
            "text": written.text,
        }
        yield _enclosed(wish, f"reply {reply.request_id}", f"{stem}.json", MediaType.JSON.value, orjson.dumps(said))
        for each in written.files:
            described = {"purpose": "attachment", "mimeType": each.media_type, "filename": f"{stem}-{each.name}"}
            chunks = partial(self._work.sealed.file, reply.request_id, each.attachment_id, self._decryption(wish))
            one = uuid5(wish.request_id, f"reply {reply.request_id} {each.attachment_id}")
            yield _Piece(attachment_id=one, media_type=each.media_type, chunks=chunks, described=described)

    def _note(self, wish: HandOn, opened: OpenedSubmission, begun: Forwarded, note_id: UUID) -> _Piece:
        """Return what the next authority is told, and what proves it."""
        earlier = sum(1 for each in opened.attachments if is_forward_note(each.file_name, each.purpose))
        stem, _, suffix = FORWARD_FILENAME.rpartition(".")
        said = self._said(wish, opened, begun)
        content = orjson.dumps(said)
        name = FORWARD_FILENAME if not earlier else f"{stem}-{earlier + 1}.{suffix}"
        described = {"purpose": "report", "mimeType": MediaType.JSON.value, "filename": name}
        return _Piece(
            attachment_id=note_id,
            media_type=MediaType.JSON.value,
            chunks=lambda: iter([content]),
            described=described,
        )

    def _said(self, wish: HandOn, opened: OpenedSubmission, begun: Forwarded) -> dict[str, Any]:
        envelope = opened.envelope
        evidence = envelope.evidence
        return {
            "version": 1,
            "caseId": str(wish.case_id),
            "submissionId": str(wish.submission_id),
            "destinationId": str(wish.destination_id),
            "receivedAt": begun.received_at.isoformat(timespec="milliseconds"),
            "reason": wish.reason,
            "text": self.text_of(wish),
            "receipt": begun.receipt,
            "log": None if evidence is None else {"previous": evidence.previous, "entries": list(evidence.entries)},
            "eventLog": list(envelope.event_log),
        }

    def text_of(self, wish: HandOn) -> str:
        """Return what was written to the next authority and the sender; empty where it cannot be opened any more."""
        if not wish.sealed_text:
            return ""
        try:
            return decrypt(wish.sealed_text.encode("ascii"), self._decryption(wish), max_output=_LARGEST_TEXT).decode(
                "utf-8"
            )
        except SealBroken:
            return ""

    # ------------------------------------------------------------------------------------------- the sender is told

    def _notice(self, wish: HandOn, begun: Forwarded, now: datetime) -> OutgoingReply | None:
        """Return the notice for the sender, sealed on this disk; None where it named no key."""
        case = self._work.book.find(wish.case_id)
        key = _sender_key(case, now)
        if key is None:
            return None
        request_id = uuid5(wish.request_id, "told")
        message = self._sealed_notice(wish, begun, request_id, key)
        return OutgoingReply(
            request_id=request_id,
            case_id=wish.case_id,
            submission_id=wish.submission_id,
            destination_id=wish.destination_id,
            kind=message.kind,
            deadline=None,
            author=wish.author,
            digest=digest_of(request_id, message, ()),
            at=now,
        )

    def _sealed_notice(self, wish: HandOn, begun: Forwarded, request_id: UUID, key: EncryptionKey) -> ReplyMessage:
        message = ReplyMessage(
            kind="forwarded", about=wish.submission_id, text=_notice_text(wish, begun, self.text_of(wish))
        )
        own = self._work.keys[wish.destination_id].decryption[0].sealing_half()
        self._work.sealed.write(request_id, message, (), key=key, own=own)
        return message

    # ------------------------------------------------------------------------------------------- what goes wrong

    def _hold(self, wish: HandOn, error: HubError, now: datetime) -> None:
        status = error.members.get("status")
        if status in _FINAL or error.slug in _NO_CASE or isinstance(error, KeyRefused):
            # What the hub wrote of it stays there: the note is of its kind alone.
            _log.error("hand-on %s: the hub will not have it (%s)", wish.request_id, error.slug)
            self._work.forwards.update(wish.request_id, now, state=ForwardState.REFUSED, note=error.slug)
            return
        wait = error.retry_after if isinstance(error, Unavailable) else _HELD_WAIT
        self._postpone(wish, error.slug, wait, now)

    def _postpone(self, wish: HandOn, note: str, wait: timedelta, now: datetime) -> None:
        known = self._work.forwards.find(wish.request_id)
        if known is None or known.state not in TO_GO:
            return
        if known.note != note:
            _log.warning("hand-on %s is held: %s", wish.request_id, note)
        due = now + min(max(_FIRST_WAIT * 2 ** min(known.tries, 20), wait), _LONGEST_WAIT)
        self._work.forwards.update(wish.request_id, now, tries=known.tries + 1, due=due, note=note)


def is_forward_note(name: str, purpose: str) -> bool:
    """Tell whether an attachment is called as the note of a hand-on is; that alone proves nothing."""
    stem, _, suffix = FORWARD_FILENAME.rpartition(".")
    return purpose == "report" and (name == FORWARD_FILENAME or (name.startswith(f"{stem}-") and name.endswith(suffix)))


def seal_text(text: str, keys: Keys) -> str:
    """Return a text sealed for the authority itself, as the book keeps it; empty for none."""
    if not text:
        return ""
    own = keys.decryption[0].sealing_half()
    return encrypt(own, text.encode("utf-8"), MediaType.JSON)[0].decode("ascii")


def digest_of_wish(request: ForwardRequest, text: str) -> str:
    """Return what tells a repeat of a wish from another one of the same id."""
    said = [request.service, request.ars, request.reason, text]
    return hashlib.sha256(request.request_id.bytes + orjson.dumps(said)).hexdigest()


def _request(wish: HandOn) -> ForwardRequest:
    return ForwardRequest(
        request_id=wish.request_id,
        case_id=wish.case_id,
        submission_id=wish.submission_id,
        service=wish.service,
        ars=wish.area,
        reason=wish.reason,
    )


def _enclosed(wish: HandOn, what: str, name: str, media_type: str, content: bytes) -> _Piece:
    return _Piece(
        attachment_id=uuid5(wish.request_id, what),
        media_type=media_type,
        chunks=lambda: iter([content]),
        described={"purpose": "attachment", "mimeType": media_type, "filename": name},
    )


def _described(piece: _Piece, seal: Seal) -> dict[str, Any]:
    return {
        **(piece.described or {}),
        "attachmentId": str(piece.attachment_id),
        "hash": {"type": "sha512", "content": seal.plaintext_sha512},
    }


def _metadata(metadata: bytes, described: Sequence[Mapping[str, Any]], versions: Sequence[str]) -> bytes:
    """Return the metadata as the sender wrote them, with what goes along named besides."""
    document = orjson.loads(metadata)
    structure = document["contentStructure"]
    structure["attachments"] = [*structure.get("attachments", ()), *described]
    schema = str(document.get("$schema", ""))
    if versions and not any(f"/{version}/" in schema for version in versions):
        known = schema.split("/metadata/")
        newest = newest_version(versions)
        document["$schema"] = f"{known[0]}/metadata/{newest}/metadata.schema.json"
    return orjson.dumps(document)


def _sender_key(case: CaseFile, now: datetime) -> EncryptionKey | None:
    if case.reply_key is None:
        return None
    try:
        return judge_encryption_key(orjson.loads(case.reply_key), now=now, policy=KeyPolicy(), require_x5c=False)
    except KeyRefused:
        return None


def _notice_text(wish: HandOn, begun: Forwarded, text: str) -> str:
    """Return what the sender reads: German first, then English, then what the authority wrote."""
    reason = FORWARD_REASONS_BY_NAME[wish.reason].title
    day_de, day_en = f"{begun.received_at:%d.%m.%Y}", f"{begun.received_at:%Y-%m-%d}"
    said = (
        f"Ihr Antrag ist abgegeben an: {begun.name}. Grund: {reason.de}. Der Tag des Eingangs ({day_de}) gilt weiter; Sie "
        f"müssen nichts neu einreichen. Dort heißt der Vorgang {begun.case_id}.\n\n"
        f"Your application was handed on to: {begun.name}. Reason: {reason.en}. The day of receipt ({day_en}) still counts; "
        f"you need not submit anything anew. There the case is called {begun.case_id}."
    )
    return f"{said}\n\n{text}" if text else said


def _from_start(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from iter(partial(file.read, _CHUNK), b"")
