"""How much a message may hold, and what the two versions of the API demand of it (FIT-Connect, sections 5.2, 6 and 15)."""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import Text, TooLarge


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
