"""What the author's side of a message works with: limits, receivers, and what was announced a moment ago.

What the author's side of a message works with, and what its steps have in common.

How much a message may hold, and what the two versions of the API demand of it (FIT-Connect, sections 5.2, 6 and 15).

Announcements of a moment ago: what they say never changes, so who submits soon spares the hub a look-up.

A memory, not a truth: whatever is not here is in the store, and what became of a message since is the store's to judge.

Destinations as senders need them: the directory's answers, with a refusal for what there is not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from hub.admission import Admission
from hub.crypto import Scanned
from hub.errors import Invalid, Text, TooLarge, not_found, too_large_for_destination
from hub.identity import Directory
from hub.model import Destination, Event, EventKind, Form, Sealed, Sealing, State, Subject, own_event
from hub.notifications.callbacks import CallbackWriter
from hub.store import Announcement, Blobs, SpillingSink, Store, StoredMessage


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


class SendingTools:
    """What announcing, uploading and submitting share: the hub, what they keep of it at hand, and the caps."""

    def __init__(self, hub: Sending, *, limits: ExchangeLimits | None = None) -> None:
        self.hub = hub
        self.receivers = Receivers(hub.directory)
        self.recent = RecentAnnouncements(hub.store)
        self.limits = limits or ExchangeLimits()

    def require_jwe(self, destination: Destination, *, size: int = 0) -> None:
        """Refuse what came sealed as JWE to a destination that cannot be given it; ``size`` are the bytes of it so far.

        Raises:
            Invalid: it takes another form only (``destination-needs-plain-door``). Unavailable: nobody can tell.
            TooLarge: its way does not carry so much.
        """
        sealing = self.hub.sealing(destination)
        if sealing.most is not None and size > sealing.most:
            raise too_large_for_destination(
                Text("Metadaten und Daten", "metadata and data"),
                sealing.most,
                Text("Geben Sie Großes als Anlage mit.", "Send what is large as an attachment."),
            )
        if Form.JOSE not in sealing.takes:
            raise Invalid(
                Text(
                    "Diese Behörde kann keine JWE öffnen; nur der offene Eingang versiegelt für sie als CMS. "
                    "Senden Sie den Antrag über POST /hub/v1/applications.",
                    "This authority cannot open JWEs; only the plain door seals for it, as CMS. "
                    "Send the application by POST /hub/v1/applications.",
                ),
                slug="destination-needs-plain-door",
                destinationId=str(destination.destination_id),
            )

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
