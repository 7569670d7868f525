"""What the author's side of a message works with, and what its steps have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.admission import Admission
from hub.crypto.jwe_scanner import Scanned
from hub.errors import Invalid, Text, TooLarge
from hub.fit_connect.limits import ExchangeLimits
from hub.fit_connect.receivers import Receivers
from hub.fit_connect.recent import RecentAnnouncements
from hub.model.delivery import Sealing
from hub.model.events import Event, EventKind, Subject
from hub.model.parties import Destination
from hub.model.submission import Form, Sealed, random_id
from hub.notifications.callbacks import Herald
from hub.store import Blobs, SpillingSink, Store


@dataclass(frozen=True, kw_only=True, slots=True)
class SendingTools:
    """What sending works with."""

    store: Store
    blobs: Blobs
    receivers: Receivers
    recent: RecentAnnouncements
    herald: Herald
    admission: Admission
    base_url: str
    limits: ExchangeLimits = field(default_factory=ExchangeLimits)
    #: How a destination's adapter wants contents sealed; some forms only the plain door can make.
    sealing: Callable[[Destination], Sealing] = lambda _: Sealing()

    def insist_on_jwe(self, destination: Destination, *, size: int = 0) -> None:
        """Refuse what came sealed as JWE to a destination that cannot be given it; ``size`` are the bytes of it so far.

        Raises:
            Invalid: it takes another form only (``destination-needs-plain-door``). Unavailable: nobody can tell.
            TooLarge: its way does not carry so much.
        """
        sealing = self.sealing(destination)
        if sealing.most is not None and size > sealing.most:
            raise TooLarge(
                Text(
                    f"Diese Behörde empfängt Mails: Metadaten und Daten dürfen versiegelt {sealing.most} Byte nicht "
                    "überschreiten. Geben Sie Großes als Anlage mit.",
                    f"This authority receives mails: metadata and data must not exceed {sealing.most} bytes when sealed. "
                    "Send what is large as an attachment.",
                ),
                slug="too-large-for-destination",
                limit=sealing.most,
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
        return Event(
            case_id=case_id,
            seq=0,
            jti=random_id(),
            subject=subject,
            subject_id=subject_id,
            kind=kind,
            issuer=self.base_url,
            by_hub=True,
            issued_at=now,
            payload=payload or {},
            digests=digests or {},
        )


def sealed_of(scanned: Scanned, sink: SpillingSink) -> Sealed:
    """Return what was scanned and stored as one sealed part."""
    jwe, blob = sink.finish()
    return Sealed(tag=scanned.tag, sha512=scanned.sha512, size=scanned.size, jwe=jwe, blob=blob)
