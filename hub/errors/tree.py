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
never repeats a value of a payload. Where several rooms refuse for one reason, its slug has one text, with what is
particular filled in: ``refusals`` beside this has them. A refusal that only one room knows stands there, and once. A class's
own slug (``malformed``, ``invalid``) names no reason of its own; its occurrences say more.
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


#: The kind in words where an occurrence is more particular than its class; ``problems.yaml`` says what to do about each.
TITLES: Mapping[str, Text] = {
    "account-disabled": Text("Konto gesperrt", "Account disabled"),
    "adapter-change-open": Text("Änderung wartet schon", "A change waits already"),
    "address-invalid": Text("Adresse unbrauchbar", "Unusable address"),
    "ai-system-not-registered": Text("KI-System nicht im Register", "AI system not in the register"),
    "timestamp-missing": Text("Kein Zeitstempel", "No time stamp"),
    "timestamp-not-valid": Text("Zeitstempel ungültig", "Time stamp not valid"),
    "content-not-proven": Text("Inhalt nicht nachgewiesen", "Content not proven"),
    "already-exists": Text("Gibt es schon", "Exists already"),
    "area-unknown": Text("Gebiet unbekannt", "Unknown area"),
    "attachment-kind-contradicted": Text("Anlage anders angegeben", "Attachment declared otherwise"),
    "attachment-kind-refused": Text("Art der Anlage nicht angenommen", "Kind of attachment not taken"),
    "attachment-missing": Text("Anlage fehlt", "Attachment missing"),
    "attachment-not-announced": Text("Anlage nicht angekündigt", "Attachment not announced"),
    "body-required": Text("Inhalt fehlt", "No body"),
    "callback-url-refused": Text("Rückrufadresse abgelehnt", "Callback address refused"),
    "case-closed": Text("Vorgang abgeschlossen", "Case closed"),
    "case-goes-on": Text("Vorgang geht anderswo weiter", "Case goes on elsewhere"),
    "case-file-closed": Text("Vorgang geschlossen", "Case closed here"),
    "case-of-another-authority": Text("Vorgang einer anderen Stelle", "Case of another authority"),
    "case-taken": Text("Jemand bearbeitet den Vorgang", "Somebody works on the case"),
    "checkpoint-exists": Text("Prüfpunkt schon gesetzt", "Checkpoint made already"),
    "correction-not-offered": Text("Berichtigung nicht möglich", "No correction"),
    "csrf": Text("Formular abgelaufen", "Form out of date"),
    "data-missing": Text("Fachdaten fehlen", "Data missing"),
    "decided-already": Text("Schon entschieden", "Decided already"),
    "destination-misconfigured": Text("Zustellpunkt falsch eingerichtet", "Destination not set up properly"),
    "destination-needs-plain-door": Text("Nur am offenen Eingang", "By the plain door only"),
    "destination-state-invalid": Text("Zustellpunkt lässt das nicht zu", "Destination does not allow this"),
    "duplicate-event": Text("Ereignis schon im Protokoll", "Event stands in the log already"),
    "case-handed-on": Text("Vorgang abgegeben", "Case handed on"),
    "forward-after-deletion": Text("Inhalte gelöscht", "Contents deleted"),
    "forward-chain-too-long": Text("Zu oft abgegeben", "Handed on too often"),
    "forward-destination-closed": Text("Stelle nimmt nichts an", "Authority takes nothing"),
    "forward-loop": Text("Abgabe im Kreis", "Handed on in a circle"),
    "forward-service-not-offered": Text("Leistung nicht angeboten", "Service not offered"),
    "forward-to-oneself": Text("Selbst zuständig", "Responsible oneself"),
    "forward-under-way": Text("Abgabe läuft", "Being handed on"),
    "forward-without-key": Text("Schlüssel der Stelle fehlt", "Authority without a key"),
    "forwarded-already": Text("Schon abgegeben", "Handed on already"),
    "unknown-forward-reason": Text("Grund unbekannt", "Unknown reason"),
    "hash-mismatch": Text("Prüfsumme stimmt nicht", "Hash does not match"),
    "headers-too-large": Text("Kopfzeilen zu groß", "Header fields too large"),
    "host-impossible": Text("Server nicht erlaubt", "Host not allowed"),
    "incorrect-authentication-tag": Text("Inhalt verändert", "Content altered"),
    "invalid-event": Text("Ereignis ungültig", "Invalid event"),
    "invalid-event-log": Text("Ereignisprotokoll ungültig", "Invalid event log"),
    "invalid-json": Text("Kein eindeutiges JSON", "No unambiguous JSON"),
    "invalid-jwe-header": Text("Kopf der JWE ungültig", "Invalid JWE header"),
    "invalid-receipt": Text("Eingangsbestätigung ungültig", "Invalid receipt"),
    "invalid-state-transition": Text("Stand lässt das nicht zu", "State does not allow this"),
    "key-change-open": Text("Änderung wartet schon", "A change waits already"),
    "key-change-senseless": Text("Schlüssel lässt sich so nicht ändern", "Key cannot be changed so"),
    "delegation-missing": Text("Vollmacht fehlt", "Delegation missing"),
    "log-contradicted": Text("Protokoll widerspricht sich", "Log contradicts itself"),
    "log-not-covered": Text("Noch kein Prüfpunkt", "No checkpoint yet"),
    "machine-client": Text("Nur auf der Kommandozeile", "On the command line only"),
    "malware-found": Text("Schadsoftware gefunden", "Malware found"),
    "message-without-case": Text("Vorgang fehlt", "Case missing"),
    "method-not-allowed": Text("Methode nicht erlaubt", "Method not allowed"),
    "no-reply-channel": Text("Keine Antwort möglich", "No way to reply"),
    "no-role": Text("Keine Rolle", "No role"),
    "not-approved": Text("Nicht freigegeben", "Not approved"),
    "not-in-case": Text("Nicht in diesem Vorgang", "Not in this case"),
    "not-scannable": Text("Nicht prüfbar", "Not scannable"),
    "not-supported": Text("Nicht möglich", "Not supported"),
    "nothing-to-decide": Text("Nichts zu entscheiden", "Nothing to decide"),
    "onboarding-decided": Text("Über die Aufnahme ist entschieden", "Onboarding decided"),
    "onboarding-faults": Text("Fehler in der Tabelle", "Faults in the table"),
    "onboarding-not-ready": Text("Noch nicht bereit", "Not ready yet"),
    "onboarding-open": Text("Aufnahme wartet schon", "Onboarding waits already"),
    "openid-refused": Text("Anmeldung fehlgeschlagen", "Log-in failed"),
    "openid-unavailable": Text("Anmeldedienst nicht erreichbar", "Provider not reachable"),
    "option-not-allowed": Text("Option nicht erlaubt", "Option not allowed"),
    "outdated": Text("Entwurf veraltet", "Draft outdated"),
    "outside-tenant": Text("Außerhalb Ihrer Zuständigkeit", "Outside your scope"),
    "overtaken": Text("Inzwischen geändert", "Changed meanwhile"),
    "passwords-off": Text("Keine Anmeldung mit Passwort", "No log-in by password"),
    "proof-version-unknown": Text("Fassung unbekannt", "Unknown version"),
    "range-not-satisfiable": Text("Bereich gibt es nicht", "No such range"),
    "receipt-not-genuine": Text("Eingangsbestätigung nicht echt", "Receipt not genuine"),
    "receipt-version-unknown": Text("Fassung unbekannt", "Unknown version"),
    "region-missing": Text("Gebiet fehlt", "Area missing"),
    "region-without-de": Text("Region ohne DE", "Region without DE"),
    "request-timeout": Text("Zu langsam", "Too slow"),
    "rights-of-others": Text("Rechte, die Sie nicht haben", "Rights that you do not have"),
    "role-not-yours": Text("Rolle nicht Ihre", "Role not yours"),
    "scan-unavailable": Text("Prüfung auf Schadsoftware gestört", "Scan for malware out of order"),
    "schema-media-type": Text("Schema anderen Medientyps", "Schema of another media type"),
    "schema-missing": Text("Schema fehlt", "Schema missing"),
    "schema-not-offered": Text("Schema nicht angenommen", "Schema not taken"),
    "schema-of-other-service": Text("Schema anderer Leistungen", "Schema of other services"),
    "schema-unknown": Text("Schema unbekannt", "Unknown schema"),
    "schema-violation": Text("Anfrage passt nicht zur Schnittstelle", "Request does not fit the interface"),
    "second-factor-missing": Text("Zweiter Faktor fehlt", "Second factor missing"),
    "second-person": Text("Zweite Person nötig", "Second person needed"),
    "secret-of-another-address": Text("Geheimnis einer anderen Adresse", "Secret of another address"),
    "service-not-offered": Text("Leistung nicht angeboten", "Service not offered"),
    "service-unknown": Text("Leistung unbekannt", "Unknown service"),
    "service-without-urn": Text("Leistung ohne URN", "Service without URN"),
    "submission-pushed-only": Text("Nur per Mail zugestellt", "Delivered by mail only"),
    "table-not-active": Text("Keine Tabelle gilt", "No table holds"),
    "table-unfit": Text("Tabelle hat Fehler", "Table has errors"),
    "tenant-area-taken": Text("Gebiet vergeben", "Area taken"),
    "tenant-below-itself": Text("Unter sich selbst", "Below itself"),
    "tenants-differ": Text("Verschiedene Gebiete", "Different areas"),
    "too-large-for-destination": Text("Zu groß für diese Behörde", "Too large for this authority"),
    "too-many-parts": Text("Zu viele Teile", "Too many parts"),
    "tus-version": Text("Andere Fassung von TUS", "Another version of TUS"),
    "unknown-adapter": Text("Adapter unbekannt", "Unknown adapter"),
    "unsupported-metadata-version": Text("Metadaten nicht lesbar", "Metadata not readable"),
    "upload-checksum": Text("Prüfsumme des Stücks stimmt nicht", "Chunk's checksum does not match"),
    "upload-final": Text("Upload ist zusammengesetzt", "Upload is a final one"),
    "upload-gone": Text("Upload nicht mehr da", "Upload gone"),
    "upload-incomplete": Text("Upload nicht vollständig", "Upload incomplete"),
    "upload-joined": Text("Upload gehört zu einem anderen", "Upload belongs to another"),
    "upload-locked": Text("Upload in Benutzung", "Upload in use"),
    "upload-not-partial": Text("Kein vollständiger Teil", "No complete part"),
    "upload-offset": Text("Upload steht an anderer Stelle", "Upload is elsewhere"),
    "upload-quota": Text("Zu viele Uploads unterwegs", "Too many uploads under way"),
    "uri-too-long": Text("Adresse zu lang", "Address too long"),
    "withdrawal-not-offered": Text("Rücknahme nicht möglich", "No withdrawal"),
    "word-needed": Text("Grund fehlt", "Reason missing"),
    "wrong-credentials": Text("Anmeldung fehlgeschlagen", "Log-in failed"),
}


class HubError(Exception):
    """Base of every error that the hub raises on purpose.

    ``slug`` names the kind for machines and never changes once published (an occurrence may be more particular than
    its class); ``title`` is the kind in words; ``detail`` is this occurrence in words; ``members`` are further facts that
    may leave the hub (RFC 9457 extension members), so they never hold payload values.
    """

    slug: str = "internal"
    title: Text = Text("Interner Fehler", "Internal error")

    def __init__(self, detail: Text, *, slug: str | None = None, **members: Any) -> None:
        super().__init__(detail.en)
        if slug is not None:
            self.slug = slug
            self.title = TITLES.get(slug, self.title)
        self.detail = detail
        self.members: Mapping[str, Any] = members


class Refused(HubError):
    """The caller must change something."""

    slug = "refused"
    title = Text("Abgelehnt", "Refused")


class Malformed(Refused):
    """Syntax, encoding or framing is broken."""

    slug = "malformed"
    title = Text("Fehlerhaft", "Malformed")


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
                f"{table} {key}: Diese Version kann die Spalte {column} nicht lesen; das Runbook „HubUnreadableRows“ sagt, was "
                "zu tun ist.",
                f"{table} {key}: this version cannot read column {column}; the runbook 'HubUnreadableRows' says what to do.",
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


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """What one caller may do: ``quota`` times within ``window``; ``name`` says to machines what is counted."""

    name: str
    quota: int
    window: timedelta


class TooMany(Unavailable):
    """This caller asked, or failed, too often in a short time; ``policy`` says what is allowed, where that is a number."""

    slug = "too-many-requests"
    title = Text("Zu viele Anfragen", "Too many requests")

    def __init__(
        self,
        detail: Text,
        *,
        retry_after: timedelta = timedelta(seconds=30),
        slug: str | None = None,
        policy: RatePolicy | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, retry_after=retry_after, slug=slug, **members)
        self.policy = policy


class KeyUnavailable(Unavailable):
    """The responsible authority has no usable key right now; plaintext cannot wait for one."""

    slug = "key-unavailable"
    title = Text("Kein gültiger Schlüssel der Behörde", "No valid key of the authority")
