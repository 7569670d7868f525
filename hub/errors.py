"""Everything that can go wrong, as one tree.

HubError
├── Refused                   you must change something; asking again unchanged will fail again
│   ├── Malformed             the request or document cannot be read (syntax, encoding, framing)
│   ├── Unauthenticated       no token, or one that is expired, foreign or forged
│   ├── Forbidden             a good token, but not for this
│   ├── NotFound              no such thing, or not visible to you
│   ├── Conflict              contradicts what is already stored (idempotency, state, uniqueness)
│   │   └── IdempotencyConflict
│   ├── TooLarge              over a cap on size, depth, count or time
│   ├── UnsupportedMedia      a media type that this operation does not take
│   └── Invalid               readable, but breaks a rule
│       ├── InvalidPayload    breaks its schema; carries every violation
│       ├── UnknownSchema     the schema is not in the catalogue, or not valid today
│       ├── NoRoute           no authority, or more than one; carries the nearest rules
│       ├── KeyRefused        a key that is weak, expired, mismatched or not for this use
│       ├── SealBroken        a JWE or JWS that does not verify or breaks the profile
│       └── InvalidSettings   adapter options, tables or packages that somebody hands in and nobody can use
├── ConfigurationError        the hub's own settings, keys, schemas or tables cannot be used: an operator must act
│   └── UnreadableRow         a stored row that this version cannot read: newer than it, or damaged
└── Unavailable               nothing to change; try again later (``retry_after``)
    ├── StoreUnavailable      database or blob store cannot be reached or is full
    │   └── DatabaseDamaged   the database's file is corrupt; it is restored from a backup
    ├── Overloaded            memory or concurrency admission says no for now
    ├── TooMany               this caller asked, or failed, too often in a short time
    └── KeyUnavailable        the responsible authority has no usable key; an operator is alarmed

A fault of the hub's own configuration is never the fault of who asks: at the start it stops the start, while serving it is
answered like an outage (503) and told to the operators. What judges a document does not know whose it is, and raises
``ConfigurationError``; whoever takes one from a person judges it within :func:`handed_in`.

Anything else that is raised is a bug and becomes a 500 without a text of its own.

A text is always a pair (German, English), says what is wrong, where, and what to do next, and
never repeats a value of a payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence for people, in German and in English."""

    de: str
    en: str

    def __str__(self) -> str:
        return self.en


class HubError(Exception):
    """Base of every error that the hub raises on purpose.

    ``slug`` names the kind for machines and never changes once published (an occurrence may be more particular than
    its class); ``title`` is the kind in words; ``detail`` is this occurrence in words; ``members`` are further facts that
    may leave the hub (RFC 9457 extension members), so they never hold payload values.
    """

    slug: str = "internal"
    title: ClassVar[Text] = Text("Interner Fehler", "Internal error")

    def __init__(self, detail: Text, *, slug: str | None = None, **members: Any) -> None:
        super().__init__(detail.en)
        if slug is not None:
            self.slug = slug
        self.detail = detail
        self.members: Mapping[str, Any] = members


class Refused(HubError):
    """The caller must change something."""

    slug = "refused"
    title = Text("Abgelehnt", "Refused")


class Malformed(Refused):
    """Syntax, encoding or framing is broken."""

    slug = "malformed"
    title = Text("Nicht lesbar", "Malformed")


class Unauthenticated(Refused):
    """No valid access token (RFC 6750)."""

    slug = "unauthorized"
    title = Text("Nicht angemeldet", "Unauthorized")


class Forbidden(Refused):
    """The token is good, but not for this."""

    slug = "forbidden"
    title = Text("Nicht erlaubt", "Forbidden")


class NotFound(Refused):
    """No such thing, or not visible to the caller."""

    slug = "not-found"
    title = Text("Nicht gefunden", "Not found")


class Conflict(Refused):
    """The request contradicts what is stored."""

    slug = "conflict"
    title = Text("Widerspruch zum Bestand", "Conflict")


class IdempotencyConflict(Conflict):
    """The same Idempotency-Key came with another body."""

    slug = "idempotency-conflict"
    title = Text("Idempotency-Key schon verwendet", "Idempotency-Key already used")


class TooLarge(Refused):
    """Over a cap on size, depth, count or time."""

    slug = "payload-too-large"
    title = Text("Zu groß", "Too large")


class UnsupportedMedia(Refused):
    """A media type that this operation does not take."""

    slug = "unsupported-media-type"
    title = Text("Medientyp nicht unterstützt", "Unsupported media type")


class Invalid(Refused):
    """Readable, but breaks a rule."""

    slug = "invalid"
    title = Text("Ungültig", "Invalid")


class InvalidPayload(Invalid):
    """The payload breaks its schema.

    ``violations`` are plain, serialisable mappings (see ``hub.validation.report``).
    """

    slug = "invalid-payload"
    title = Text("Antrag verletzt sein Schema", "Application violates its schema")

    def __init__(self, detail: Text, *, violations: Sequence[Mapping[str, Any]], **members: Any) -> None:
        super().__init__(detail, violations=list(violations), **members)


class UnknownSchema(Invalid):
    """The schema is not in the catalogue, or not valid today."""

    slug = "unknown-schema"
    title = Text("Schema unbekannt", "Unknown schema")


class NoRoute(Invalid):
    """No authority is responsible, or more than one; ``nearest`` lists the closest rules."""

    slug = "no-route"
    title = Text("Keine zuständige Stelle", "No responsible authority")


class KeyRefused(Invalid):
    """A key that the key policy does not accept."""

    slug = "key-refused"
    title = Text("Schlüssel abgelehnt", "Key refused")


class SealBroken(Invalid):
    """A JWE or JWS that does not verify, or that breaks the profile."""

    slug = "seal-broken"
    title = Text("Verschlüsselung oder Signatur ungültig", "Invalid encryption or signature")


class InvalidSettings(Invalid):
    """Adapter options, a routing table or a package of schemas that somebody hands in, and that cannot be used."""

    slug = "configuration"
    title = Text("Angaben unbrauchbar", "Unusable settings")


class ConfigurationError(HubError):
    """The hub's own settings, keys, schemas or tables cannot be used; stops the start, and is an outage while serving."""

    slug = "configuration"
    title = Text("Konfiguration unbrauchbar", "Unusable configuration")
    #: What those outside are told of it; ``detail`` names files and is for the operators.
    outside: ClassVar[Text] = Text(
        "Der Hub ist zurzeit nicht richtig eingerichtet; sein Betrieb ist benachrichtigt. Versuchen Sie es später erneut.",
        "The hub is not set up properly at the moment; its operators have been alerted. Try again later.",
    )


class UnreadableRow(ConfigurationError):
    """A stored row that this version cannot read: written by a newer one, or damaged. All others are served.

    ``place`` is (table, key, column): never a value.
    """

    slug = "unreadable-row"
    title = Text("Datensatz nicht lesbar", "Unreadable row")
    outside = Text(
        "Ein gespeicherter Datensatz, der hierfür nötig ist, ist zurzeit nicht lesbar; der Betrieb des Hubs ist "
        "benachrichtigt. Versuchen Sie es später erneut.",
        "A stored row that this needs cannot be read at the moment; the hub's operators have been alerted. Try again later.",
    )

    def __init__(self, table: str, key: str, column: str) -> None:
        super().__init__(
            Text(
                f"{table} {key}: Diese Version kann die Spalte {column} nicht lesen; „HubUnreadableRows“ in CONTRIBUTING.md "
                "sagt, was zu tun ist.",
                f"{table} {key}: this version cannot read column {column}; 'HubUnreadableRows' in CONTRIBUTING.md says what "
                "to do.",
            )
        )
        self.place = table, key, column


@contextmanager
def handed_in() -> Iterator[None]:
    """Judge what the caller hands in: where it cannot be used, the caller must change it, and nobody alarms operators.

    Raises:
        InvalidSettings: in the place of a ``ConfigurationError`` within.
    """
    try:
        yield
    except ConfigurationError as error:
        raise InvalidSettings(error.detail, **error.members) from error


class Unavailable(HubError):
    """Nothing to change; try again after ``retry_after``."""

    slug = "unavailable"
    title = Text("Vorübergehend nicht verfügbar", "Temporarily unavailable")

    def __init__(
        self, detail: Text, *, retry_after: timedelta = timedelta(seconds=30), slug: str | None = None, **members: Any
    ) -> None:
        super().__init__(detail, slug=slug, **members)
        self.retry_after = retry_after


class StoreUnavailable(Unavailable):
    """Database or blob store cannot be reached or is full."""

    slug = "store-unavailable"
    title = Text("Speicher nicht verfügbar", "Store unavailable")


class DatabaseDamaged(StoreUnavailable):
    """The database's file is corrupt, or none of its own: waiting does not mend it."""


class Overloaded(Unavailable):
    """Admission control says no for now."""

    slug = "overloaded"
    title = Text("Ausgelastet", "Overloaded")


class TooMany(Unavailable):
    """This caller asked, or failed, too often in a short time."""

    slug = "too-many-requests"
    title = Text("Zu viele Anfragen", "Too many requests")


class KeyUnavailable(Unavailable):
    """The responsible authority has no usable key right now; plaintext cannot wait for one."""

    slug = "key-unavailable"
    title = Text("Kein gültiger Schlüssel der Behörde", "No valid key of the authority")
