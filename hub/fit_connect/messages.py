"""Both sides of a message: what its author may send to whom, and the events that its receiver writes.

Limits are those of the two versions of the API (FIT-Connect, sections 5.2, 6 and 15). Events are accept, reject and forward
(section 9.4), judged and added to the log. Announcements of a moment ago are remembered: what they say never changes, so who
submits soon spares the hub a look-up. A memory, not a truth: whatever is not here is in the store.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from hub.admission import Admission
from hub.client import event_tokens
from hub.client.event_tokens import Claimed, invalid_claim, read_token
from hub.crypto import Scanned, verification_key
from hub.errors import Forbidden, Invalid, SealBroken, Text, TooLarge, not_found, too_large_for_destination
from hub.identity import Caller, Directory, owns, require_delegated, require_party
from hub.model import (
    RECEIVER_MAY_WRITE,
    Destination,
    Event,
    EventKind,
    Form,
    Sealed,
    Sealing,
    State,
    Subject,
    next_state,
    own_event,
    random_id,
)
from hub.notifications.callbacks import CallbackWriter
from hub.store import Announcement, Blobs, CaseHead, SpillingSink, Store, StoredMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeLimits:
    """Caps on one submission or reply; sizes are bytes of the sealed form, powers of ten as FIT-Connect counts."""

    #: One attachment.
    attachment: int = 500_000_000
    #: How many different attachments may be announced.
    attachments: int = 100
    #: Metadata, data and attachments together.
    total: int = 2_000_000_000
    #: Metadata or data, which arrive inside one JSON body.
    inline: int = 140_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What a version of the API demands of sealed parts and events."""

    #: The version as it stands in the path.
    version: str
    #: Whether a JWE may be compressed (``zip``).
    allow_zip: bool
    #: Whether metadata and data must name their media type (``cty``).
    require_cty: bool
    #: Whether a JWE must name its key. It is a hint at best, but its absence shows a sender that knows no profile.
    require_kid: bool
    #: Whether data must be there.
    require_data: bool
    #: Whether an intermediate system may take a submission over (forward-submission).
    may_forward: bool
    #: Whether an event token without ``$schema`` may leave its payload empty, as the first version of the API had it.
    takes_bare_events: bool


#: Version 1: what its clients get wrong is tolerated.
LENIENT = Profile(
    version="v1",
    allow_zip=True,
    require_cty=False,
    require_kid=False,
    require_data=False,
    may_forward=True,
    takes_bare_events=True,
)
#: Version 2: the profile as published.
STRICT = Profile(
    version="v2",
    allow_zip=False,
    require_cty=True,
    require_kid=True,
    require_data=True,
    may_forward=False,
    takes_bare_events=False,
)


def too_many_attachments(limit: int) -> TooLarge:
    """Return the refusal of too many attachments."""
    return TooLarge(
        Text(
            f"Mehr als {limit} Anlagen sind nicht erlaubt. Fassen Sie Dateien zusammen, oder senden Sie zweimal.",
            f"More than {limit} attachments are not allowed. Join files, or send twice.",
        ),
        limit=limit,
    )


def too_large_together(limit: int) -> TooLarge:
    """Return the refusal of parts that are too large together."""
    return TooLarge(
        Text(
            f"Alle Teile zusammen sind größer als {limit} Byte. Verteilen Sie die Anlagen auf mehrere Einreichungen.",
            f"All parts together are larger than {limit} bytes. Spread the attachments over several submissions.",
        ),
        limit=limit,
    )


#: So many are kept, the latest; each takes about a kilobyte.
MOST = 5_000


class RecentAnnouncements:
    """Finds messages as they were announced."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[UUID, StoredMessage] = OrderedDict()

    def note(self, announcement: Announcement) -> None:
        """Remember an announcement that is stored."""
        with self._lock:
            self._known[announcement.id] = as_announced(announcement)
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def forget(self, message_id: UUID) -> None:
        """Ask the store from now on."""
        with self._lock:
            self._known.pop(message_id, None)

    def at_hand(self, message_id: UUID) -> StoredMessage | None:
        """Return the message if it is remembered."""
        return self._known.get(message_id)

    def find(self, message_id: UUID, kind: Subject) -> StoredMessage | None:
        """Return the message; attachments and progress are told only of what was not remembered."""
        known = self._known.get(message_id)
        if known is None:
            return self._store.submissions.message(message_id, kind)
        return known if known.kind is kind else None


def as_announced(announcement: Announcement) -> StoredMessage:
    """Return the message as it lies in the store when nothing of it was uploaded yet."""
    return StoredMessage(
        kind=announcement.kind,
        id=announcement.id,
        case_id=announcement.case_id,
        destination_id=announcement.destination_id,
        sender=announcement.sender,
        addressee=announcement.addressee,
        door=announcement.door,
        state=State.INCOMPLETE,
        service=announcement.service,
        area=announcement.area,
        announced=announcement.announced,
        contents=None,
        uploaded={},
        form=Form.JOSE,
        schema=None,
        table_version=None,
        callback=announcement.callback,
        receipt=None,
        notices=0,
        created_at=announcement.created_at,
        submitted_at=None,
        collected_at=None,
        finished_at=None,
        deleted_at=None,
    )


class Receivers:
    """Looks up destinations; a row with many services costs more to read than all checks of a submission."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def existing(self, destination_id: UUID, *, now: datetime) -> Destination:
        """Return a destination in any status; raise ``NotFound`` for an unknown one."""
        found = self._directory.destination(destination_id, now=now)
        if found is None:
            raise not_found("destination-not-found", destination_id)
        return found

    def at_hand(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return a destination if that takes no look into the store; who is to go on without one goes on with this."""
        return self._directory.at_hand(destination_id, now=now)

    def is_nobodys_software(self, client_id: str, *, now: datetime) -> bool:
        """Tell whether it is known without a look into the store that a client is no vendor's."""
        return self._directory.is_nobodys_software(client_id, now=now)


class Sending(Protocol):
    """What sending needs of the hub."""

    store: Store
    blobs: Blobs
    directory: Directory
    callback_writer: CallbackWriter
    admission: Admission
    base_url: str

    def sealing(self, destination: Destination) -> Sealing:
        """Return how the destination's adapter wants contents sealed; some forms only the plain door can make."""


def require_jwe(hub: Sending, destination: Destination, *, size: int = 0) -> None:
    """Refuse what came sealed as JWE to a destination that cannot be given it; ``size`` are the bytes of it so far.

    Raises:
        Invalid: it takes another form only (``destination-needs-plain-door``). Unavailable: nobody can tell.
        TooLarge: its way does not carry so much.
    """
    sealing = hub.sealing(destination)
    if sealing.most is not None and size > sealing.most:
        raise too_large_for_destination(
            Text("Metadaten und Daten", "metadata and data"),
            sealing.most,
            Text("Geben Sie Großes als Anlage mit.", "Send what is large as an attachment."),
        )
    if Form.JOSE not in sealing.takes:
        raise _opens_no_jwe(destination)


def _opens_no_jwe(destination: Destination) -> Invalid:
    return Invalid(
        Text(
            "Diese Behörde kann keine JWE öffnen; nur der offene Eingang versiegelt für sie als CMS. "
            "Senden Sie den Antrag über POST /hub/v1/applications.",
            "This authority cannot open JWEs; only the plain door seals for it, as CMS. "
            "Send the application by POST /hub/v1/applications.",
        ),
        slug="destination-needs-plain-door",
        destinationId=str(destination.destination_id),
    )


class SendingTools:
    """What announcing, uploading and submitting share: the hub, what they keep of it at hand, and the caps."""

    def __init__(self, hub: Sending, *, limits: ExchangeLimits | None = None) -> None:
        self.hub = hub
        self.receivers = Receivers(hub.directory)
        self.recent = RecentAnnouncements(hub.store)
        self.limits = limits or ExchangeLimits()

    def require_jwe(self, destination: Destination, *, size: int = 0) -> None:
        """Do what :func:`require_jwe` does."""
        require_jwe(self.hub, destination, size=size)

    def event(
        self,
        case_id: UUID,
        subject: Subject,
        subject_id: UUID,
        kind: EventKind,
        now: datetime,
        *,
        payload: Mapping[str, Any] | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> Event:
        """Return an event of the hub's own; the store numbers and chains it."""
        return own_event(
            kind,
            case_id=case_id,
            subject=(subject, subject_id),
            issuer=self.hub.base_url,
            now=now,
            payload=payload,
            digests=digests,
        )


def sealed_of(scanned: Scanned, sink: SpillingSink) -> Sealed:
    """Return what was scanned and stored as one sealed part."""
    jwe, blob = sink.finish()
    return Sealed(tag=scanned.tag, sha512=scanned.sha512, size=scanned.size, jwe=jwe, blob=blob)


_log = logging.getLogger(__name__)
_MOST_PROBLEMS = 500


class Acknowledgement:
    """Takes receivers' events into the log of their case."""

    def __init__(self, *, store: Store, callback_writer: CallbackWriter) -> None:
        self._store = store
        self._callback_writer = callback_writer

    def post(self, case_id: UUID, token: str, *, caller: Caller, profile: Profile, now: datetime) -> None:
        """Judge ``token`` and append it to the log, byte for byte as it came.

        The checks, in order:

         1. the case exists, and the caller is one of its parties;
         2. the token is a strict compact JWS; its header names PS512, ``secevent+jwt`` and a key, and nothing forbidden;
         3. its payload is one JSON object; every claim has its form; ``$schema`` is a 1.x; there is exactly one event;
         4. ``txn`` is the case of the address; ``sub`` is a message of that case;
         5. the event is one that receivers write (forward in version 1 only, and of submissions only);
         6. ``iss`` is the receiving destination, and that belongs to the caller;
         7. the key that the header names is a key of that destination for ``verify``;
         8. the signature verifies;
         9. accept repeats the authentication tags of what is stored; reject lists problems; nothing else has a payload.
            In version 1 an old token, without ``$schema``, has no payload whatever it says (FIT-Connect, section 9.1);
        10. the step fits the state, and the ``jti`` is new (in the transaction that appends).

        Raises:
            NotFound: (1). Forbidden: (1), (5), (6). TooLarge, Malformed: (2), (3).
            SealBroken: (2), (7), (8). Invalid: (3), (4), (9); ``issue`` names the claim. Conflict: (10).
        """
        require_own_case(self._store, case_id, caller)
        claimed = read_token(token)
        message = self._message(case_id, claimed)
        _require_writer(claimed, profile)
        issuer = self._issuer(claimed, message, caller)
        require_signed(self._store, claimed, issuer.destination_id)
        if not (claimed.bare and profile.takes_bare_events):
            _require_payload(claimed, message)
        news = self._callback_writer.answered(message, now=now)
        self._store.event_log.append(case_id, message.id, claimed_event(claimed), callbacks=news)
        fate = claimed.kind.value
        _log.info("%s: its receiver says %s", message.kind.value, fate, extra=message.ids | {"outcome": fate})

    def _message(self, case_id: UUID, claimed: Claimed) -> StoredMessage:
        if claimed.case_id != case_id:
            raise invalid_claim("txn", "ist nicht der Vorgang der Adresse", "is not the case of the address")
        message = self._store.submissions.message(claimed.subject_id, claimed.subject)
        if message is None or message.case_id != case_id:
            raise invalid_claim("sub", "gehört nicht zu diesem Vorgang", "does not belong to this case")
        return message

    def _issuer(self, claimed: Claimed, message: StoredMessage, caller: Caller) -> Destination:
        """Return the destination that signs: the case's own, or one of the caller's for a reply that it receives."""
        destination = self._store.parties.destination(_destination_id(claimed))
        if destination is None or not owns(caller, destination):
            raise _foreign_issuer()
        require_delegated(self._store, caller.client_id, destination)
        receives = message.addressee == caller.client_id
        if message.kind is Subject.REPLY and not receives:
            raise _foreign_issuer()
        if message.kind is Subject.SUBMISSION and destination.destination_id != message.destination_id:
            raise _foreign_issuer()
        return destination

    def take(self, message: StoredMessage, *, issuer: str, now: datetime) -> None:
        """Write into the log that its receiver took a message over, as the hub heard it: who collects has no key to sign with.

        Raises:
            Conflict: it was answered before.
        """
        write_answer(self._store, self._callback_writer, message, EventKind.ACCEPT, issuer=issuer, now=now)
        _log.info("%s: its receiver closed it", message.kind.value, extra=message.ids | {"outcome": "accept"})


def write_answer(
    store: Store,
    callback_writer: CallbackWriter,
    message: StoredMessage,
    kind: EventKind,
    *,
    issuer: str,
    now: datetime,
    problems: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write a receiver's last word on a message as an event of the hub's own; its author is told.

    Raises:
        Conflict: the message was answered before.
    """
    payload: Mapping[str, Any] = {"problems": [dict(each) for each in problems]}
    if kind is EventKind.ACCEPT and message.contents is not None:
        payload = {"authenticationTags": message.contents.authentication_tags()}
    jti = random_id()

    def make(head: CaseHead, state: State | None) -> Sequence[Event]:
        next_state(state, kind)
        subject = (message.kind, message.id)
        return (
            own_event(kind, case_id=head.case_id, subject=subject, issuer=issuer, now=now, payload=payload, jti=jti),
        )

    news = callback_writer.answered(message, now=now)
    store.event_log.append(message.case_id, message.id, make, callbacks=news)


def require_own_case(store: Store, case_id: UUID, caller: Caller) -> None:
    """Raise ``NotFound`` where there is no such case, and ``Forbidden`` where the caller is none of its parties."""
    case = store.submissions.case(case_id)
    if case is None:
        raise not_found("case-not-found")
    require_party(store, case, caller)


def require_signed(store: Store, claimed: Claimed, destination_id: UUID) -> None:
    """Raise ``SealBroken`` where a token is not signed by a usable signature key of a destination."""
    jwk = store.parties.usable_key(destination_id, claimed.kid)
    if jwk is None or jwk.get("key_ops") != ["verify"]:
        raise SealBroken(
            Text(
                "Unter dieser kid hat der Zustellpunkt keinen gültigen Signaturschlüssel. Hinterlegen Sie ihn zuerst.",
                "The destination has no valid signature key under this kid. Add the key first.",
            ),
            issue={"header": "kid"},
        )
    event_tokens.verify(claimed.token, verification_key(jwk))


def claimed_event(claimed: Claimed) -> Callable[[CaseHead, State | None], Sequence[Event]]:
    """Return what makes a token an event of its case, where the state allows it; the store numbers and chains it."""

    def make(head: CaseHead, state: State | None) -> Sequence[Event]:
        next_state(state, claimed.kind)
        return (_event_of(claimed, head.case_id),)

    return make


def _event_of(claimed: Claimed, case_id: UUID) -> Event:
    return Event(
        case_id=case_id,
        seq=0,
        jti=claimed.jti,
        subject=claimed.subject,
        subject_id=claimed.subject_id,
        kind=claimed.kind,
        issuer=claimed.issuer,
        by_hub=False,
        issued_at=claimed.issued_at,
        payload=claimed.payload,
        jws=claimed.token,
    )


def _require_writer(claimed: Claimed, profile: Profile) -> None:
    if claimed.kind in RECEIVER_MAY_WRITE and (claimed.kind is not EventKind.FORWARD or _forwards(claimed, profile)):
        return
    raise Forbidden(
        Text(
            f"Das Ereignis {claimed.kind}-{claimed.subject} schreiben Empfänger hier nicht; accept und reject sind möglich.",
            f"Receivers do not write event {claimed.kind}-{claimed.subject} here; accept and reject are possible.",
        ),
        issue={"claim": "events"},
    )


def _forwards(claimed: Claimed, profile: Profile) -> bool:
    return profile.may_forward and claimed.subject is Subject.SUBMISSION


def _destination_id(claimed: Claimed) -> UUID:
    try:
        destination_id = UUID(claimed.issuer)
    except ValueError as exc:
        raise _foreign_issuer() from exc
    if str(destination_id) != claimed.issuer.lower():
        raise _foreign_issuer()
    return destination_id


def _require_payload(claimed: Claimed, message: StoredMessage) -> None:
    if claimed.kind is EventKind.ACCEPT:
        _require_tags(claimed.payload.get("authenticationTags"), message)
    elif claimed.kind is EventKind.REJECT:
        _require_problems(claimed.payload.get("problems"))


def _require_tags(tags: Any, message: StoredMessage) -> None:
    """Compare tags; an empty group and a missing one mean the same."""
    if message.contents is None:
        return  # Nothing is stored to compare with, so the state machine refuses.
    given = tags if isinstance(tags, Mapping) else {}
    wanted = message.contents.authentication_tags()
    same = all(given.get(name) == wanted.get(name) for name in ("metadata", "data"))
    if not same or (given.get("attachments") or {}) != wanted.get("attachments", {}):
        raise invalid_claim(
            "authenticationTags",
            "stimmt nicht mit den gespeicherten Inhalten überein. Laden Sie die Einreichung neu und prüfen Sie sie",
            "does not agree with the stored contents. Download the submission again and check it",
        )


def _require_problems(problems: Any) -> None:
    """Check the shape only: the list of problem types is open (FIT-Connect, section 9.6)."""
    shaped = isinstance(problems, list) and all(
        isinstance(problem, dict) and isinstance(problem.get("type"), str) for problem in problems
    )
    if not shaped or len(problems) > _MOST_PROBLEMS:
        raise invalid_claim(
            "problems",
            f"muss eine Liste von höchstens {_MOST_PROBLEMS} Problemen mit je einem type sein",
            f"must be a list of at most {_MOST_PROBLEMS} problems, each with a type",
        )


def _foreign_issuer() -> Forbidden:
    return Forbidden(
        Text(
            "iss muss der empfangende Zustellpunkt sein, und er muss zu Ihrem Client gehören.",
            "iss must be the receiving destination, and it must belong to your client.",
        ),
        issue={"claim": "iss"},
    )
