"""Private keys that an authority has lost: which open submissions nobody can open any more, ended, and their senders told.

Two persons: an operator's word is noted in the audit log, the same word of an approver ends them. What was pushed, or fetched
from the mailbox, lies with the authority, which may have opened it before; it is named and left alone. The key must be in use
for nothing new: activate another one first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from hub.crypto import cms, read_header
from hub.errors import Conflict, HubError, KeyRefused, Text, not_found
from hub.identity import Person, Right, require_approver, require_proposer
from hub.model import (
    EVERYTHING,
    RECEIVER_LOST_KEY,
    Destination,
    Event,
    EventKind,
    Form,
    Sealed,
    State,
    own_event,
)
from hub.notifications.callbacks import CallbackWriter
from hub.store import (
    AuditEntry,
    Blobs,
    CaseHead,
    DeliveryState,
    MakeEvents,
    Page,
    Store,
    StoredKey,
    StoredMessage,
    Wanted,
    all_items,
)

_PROPOSED, _DECIDED = "key.lost.propose", "key.lost"
#: How long a first word waits for the second one.
_PATIENCE = timedelta(days=7)
_PAGE = 500
#: Bytes at a content's beginning that name its key.
_HEAD = 16 * 1024
_OPEN = (State.SUBMITTED, State.FORWARDED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """Which submissions nobody can open (``submissions``), and whether they were ended (``done``).

    ``elsewhere`` are at the authority already; ``unread`` counts those whose key cannot be told.
    """

    submissions: tuple[UUID, ...]
    elsewhere: tuple[UUID, ...]
    unread: int
    done: bool


class LostKeys:
    """Declares keys as lost. ``base_url`` signs the events."""

    def __init__(self, *, store: Store, blobs: Blobs, callbacks: CallbackWriter, base_url: str) -> None:
        self._store = store
        self._blobs = blobs
        self._callbacks = callbacks
        self._base_url = base_url

    def declare(self, destination_id: UUID, kids: Sequence[str], person: Person, *, now: datetime) -> Losses:
        """Note that the private halves of ``kids`` are lost, or as a second person end what was sealed to them.

        Raises:
            NotFound: no such destination or key in the person's scope. Forbidden: a right or the second person is missing.
            Conflict: a key is in use for what is new.
        """
        destination = self._mine(destination_id, person)
        lost = self._keys(destination, kids)
        word = self._word(destination, kids, now)
        if word is None:
            require_proposer(person, destination)
        elif word.action == _PROPOSED:
            require_approver(self._store, person, word.actor, destination, now=now)
        else:
            person.require(Right.APPROVE, destination)  # Decided before, and broken off: whoever may goes on.
        found = self._found(destination, lost, done=word is not None)
        if word is None or word.action == _PROPOSED:
            after = {"kids": sorted(kids), "submissions": len(found.submissions), "elsewhere": len(found.elsewhere)}
            action, target = _PROPOSED if word is None else _DECIDED, _target(destination)
            self._store.audit.append(AuditEntry(at=now, actor=person.name, action=action, target=target, after=after))
        if found.done:
            for submission_id in found.submissions:
                self._end(submission_id, now)
        return found

    def _mine(self, destination_id: UUID, person: Person) -> Destination:
        destination = self._store.parties.visible_destination(destination_id, scope=person.scope)
        if destination is None:
            raise not_found("destination-not-found", destination_id)
        return destination

    def _keys(self, destination: Destination, kids: Sequence[str]) -> list[StoredKey]:
        known = {key.kid: key for key in self._store.parties.keys(destination.destination_id) if key.use == "wrapKey"}
        for kid in kids:
            if kid not in known:
                raise not_found("key-not-found", kid)
            if kid == destination.encryption_kid and destination.status == "active":
                raise Conflict(
                    Text(
                        f"Zum Schlüssel {kid} wird noch verschlüsselt. Aktivieren Sie zuerst einen anderen (hub destinations "
                        "key use), oder setzen Sie den Zustellpunkt auf „inaktiv“.",
                        f"The key {kid} is still sealed to. Activate another one first (hub destinations key use), or set the "
                        "destination to 'inactive'.",
                    )
                )
        return [known[kid] for kid in kids]

    def _word(self, destination: Destination, kids: Sequence[str], now: datetime) -> AuditEntry | None:
        """Return what was said of these keys last, if it still counts."""
        said = self._store.audit.entries(
            scope=EVERYTHING, action=_DECIDED, target=_target(destination), newest_first=True, limit=_PAGE
        ).items
        about = (each.entry for each in said if each.entry.after.get("kids") == sorted(kids))
        last = next(about, None)
        return None if last is None or last.at < now - _PATIENCE else last

    def _found(self, destination: Destination, lost: Sequence[StoredKey], *, done: bool) -> Losses:
        ended: list[UUID] = []
        elsewhere: list[UUID] = []
        unread = 0
        for message in self._open(destination):
            concerned = self._sealed_to(message, lost)
            if concerned is None:
                unread += 1
            elif concerned:
                (elsewhere if self._has_left(message) else ended).append(message.id)
        return Losses(submissions=tuple(ended), elsewhere=tuple(elsewhere), unread=unread, done=done)

    def _open(self, destination: Destination) -> Iterator[StoredMessage]:
        for state in _OPEN:
            page = partial(self._page, Wanted(destination_id=destination.destination_id, state=state))
            # Listed whole before anything is ended: what is ended leaves the list.
            for listed in list(all_items(page)):
                whole = self._store.submissions.message(listed.id)
                if whole is not None and whole.deleted_at is None and whole.contents is not None:
                    yield whole

    def _page(self, wanted: Wanted, start: int) -> Page[StoredMessage]:
        return self._store.overview.submissions(wanted, scope=EVERYTHING, offset=start, limit=_PAGE)

    def _has_left(self, message: StoredMessage) -> bool:
        view = self._store.deliveries.of(message.id)
        pushed = view is not None and view.state is DeliveryState.DELIVERED
        return pushed or message.collected_at is not None

    def _sealed_to(self, message: StoredMessage, lost: Sequence[StoredKey]) -> bool | None:
        """Say whether a part of a message is sealed to one of the keys; None where that cannot be told."""
        if message.contents is None:
            return None
        try:
            return any(self._names(sealed, message.contents.form, lost) for _, sealed in message.contents.parts())
        except (HubError, ValueError):
            return None

    def _names(self, sealed: Sealed, form: Form, lost: Sequence[StoredKey]) -> bool:
        head = next(iter(self._blobs.chunks(sealed)), b"")[:_HEAD]
        if form is Form.JOSE:
            kid = read_header(head.partition(b".")[0], allow_zip=True).kid
            return kid in {key.kid for key in lost}
        return any(_is_recipient(head, key) for key in lost)

    def _end(self, submission_id: UUID, now: datetime) -> None:
        message = self._store.submissions.message(submission_id)
        if message is None or message.state not in _OPEN:
            return  # Answered meanwhile.
        self._store.event_log.append(
            message.case_id,
            message.id,
            self._rejection(message, now),
            callbacks=self._callbacks.ended(message, now=now),
        )

    def _rejection(self, message: StoredMessage, now: datetime) -> MakeEvents:
        jti = uuid4()

        def make(head: CaseHead, _state: State | None) -> Sequence[Event]:
            event = own_event(
                EventKind.REJECT,
                case_id=head.case_id,
                subject=(message.kind, message.id),
                issuer=self._base_url,
                now=now,
                payload={"problems": [dict(RECEIVER_LOST_KEY)]},
                jti=jti,
            )
            return (event,)

        return make


def _is_recipient(head: bytes, key: StoredKey) -> bool:
    try:
        return cms.is_recipient(head, key.jwk)
    except KeyRefused:
        return False  # A key without a certificate was never sealed to in this form.


def _target(destination: Destination) -> str:
    return f"destination:{destination.destination_id}"
