"""Why an attempt ended as it did: one code for machines and one sentence in German and English for each kind.

What is recorded of an attempt is its note, a short English line that may hold a number or a step. Its reason follows from
the note, so that attempts recorded by an earlier version, and by adapters of others that use the same words, have one too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hub.errors import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A kind of end: ``code`` never changes once published, ``note`` is what is recorded of it."""

    code: str
    note: str
    text: Text


_BY_NOTE: dict[str, Reason] = {}


def _known(code: str, note: str, de: str, en: str) -> Reason:
    reason = _BY_NOTE[note] = Reason(code=code, note=note, text=Text(de, en))
    return reason


NOT_PUBLIC = _known(
    "address-not-public",
    "address is not public",
    "Die Adresse liegt nicht im öffentlichen Netz, und die Einstellung des Zustellpunkts erlaubt kein anderes",
    "The address does not lie in the public network, and the destination's settings allow no other",
)
NO_HOST = _known(
    "host-impossible",
    "no such host can exist",
    "Der Name des Servers kann keiner sein: Er verletzt die Regeln für Namen im Netz",
    "The server's name cannot be one: it breaks the rules for names in the network",
)
NO_ADDRESS = _known(
    "address-refused",
    "address refused",
    "Die Adresse ist nicht erlaubt: Schema, Host, Port, oder sie liegt nicht im öffentlichen Netz",
    "The address is not allowed: scheme, host, port, or it does not lie in the public network",
)
NOT_FOUND = _known(
    "name-not-found",
    "name not found",
    "Zum Namen des Servers gibt es keine Adresse (DNS)",
    "There is no address for the server's name (DNS)",
)
LOOKUP_LATE = _known(
    "name-lookup-late",
    "name look-up took too long",
    "Die Namensauflösung (DNS) hat nicht in der Zeit geantwortet",
    "The look-up of the server's name (DNS) did not answer in time",
)
CONNECTION_REFUSED = _known(
    "connection-refused",
    "connection refused",
    "Der Server nimmt an diesem Port keine Verbindung an",
    "The server takes no connection at this port",
)
NOT_REACHABLE = _known(
    "not-reachable", "not reachable", "Der Server ist im Netz nicht erreichbar", "The server cannot be reached"
)
CONNECTION_LOST = _known(
    "connection-lost",
    "connection lost",
    "Die Verbindung brach ab, bevor alles übergeben war",
    "The connection broke before everything was handed over",
)
TIMED_OUT = _known(
    "timed-out",
    "timed out",
    "Die Zeit für den Versuch war um, bevor alles übergeben war",
    "The time for the attempt was over before everything was handed over",
)
SILENT_IN_TIME = _known(
    "no-answer-in-time",
    "no answer in time",
    "Alles war übergeben, eine Antwort kam nicht in der Zeit",
    "Everything was handed over, no answer came in time",
)
SILENT = _known(
    "no-answer",
    "no answer",
    "Alles war übergeben, die Verbindung endete ohne Antwort",
    "Everything was handed over, the connection ended without an answer",
)
TLS_NOT_TRUSTED = _known(
    "tls-not-trusted",
    "TLS certificate not trusted",
    "Dem TLS-Zertifikat des Servers wird nicht vertraut: Aussteller, Name oder Gültigkeit",
    "The server's TLS certificate is not trusted: issuer, name or validity",
)
TLS_REFUSED = _known(
    "tls-refused",
    "TLS refused",
    "Die TLS-Verbindung kam nicht zustande: Version, Verfahren oder Client-Zertifikat",
    "The TLS connection could not be made: version, algorithms or client certificate",
)
NOT_SPOKEN = _known(
    "protocol-error",
    "answer cannot be read",
    "Die Antwort des Servers ist nicht zu verstehen",
    "The server's answer cannot be understood",
)
HOST_KEY = _known(
    "host-key-wrong",
    "host key is not the one in the options",
    "Der Host-Schlüssel des Servers ist nicht der eingestellte",
    "The server's host key is not the one in the settings",
)
NO_KEY_EXCHANGE = _known(
    "no-key-exchange",
    "no key exchange that both sides allow",
    "Hub und Server haben kein gemeinsames Schlüsselverfahren (SSH)",
    "Hub and server share no key exchange (SSH)",
)
LOGIN_REFUSED = _known("login-refused", "login refused", "Die Anmeldung wurde abgelehnt", "The login was refused")
CREDENTIALS_REFUSED = _known(
    "login-refused", "credentials refused", "Die Zugangsdaten wurden abgelehnt", "The credentials were refused"
)
NO_SPACE = _known(
    "receiver-full",
    "no space at the receiver",
    "Beim Empfänger ist kein Platz mehr",
    "There is no space left at the receiver",
)
NO_FOLDER = _known(
    "permission-denied",
    "folder is missing or not writable",
    "Der Ordner beim Empfänger fehlt, oder der Hub darf dort nicht schreiben",
    "The receiver's folder is missing, or the hub may not write there",
)
NO_BUCKET = _known("bucket-missing", "bucket is missing", "Den Bucket gibt es nicht", "The bucket does not exist")
NO_STARTTLS = _known(
    "no-starttls",
    "server offers no STARTTLS",
    "Der Mailserver bietet kein STARTTLS an",
    "The mail server offers no STARTTLS",
)
NO_LOGIN = _known(
    "no-login", "server offers no login", "Der Mailserver bietet keine Anmeldung an", "The mail server offers no login"
)
NO_KNOWN_LOGIN = _known(
    "no-login",
    "server offers no login that the hub knows",
    "Der Mailserver bietet keine Anmeldung an, die der Hub kennt",
    "The mail server offers no login that the hub knows",
)
RESTING = _known(
    "host-rests",
    "gave no answer just now",
    "Der Server gab eben keine Antwort und wird eine Minute geschont",
    "The server gave no answer just now and is left alone for a minute",
)
FAILED = _known(
    "attempt-failed",
    "the attempt failed within the hub",
    "Der Versuch scheiterte im Hub selbst",
    "The attempt failed within the hub",
)

#: What only the hub's own settings, or the name's, can mend: trying again changes nothing, and no connection was made.
_SETTINGS = frozenset({NOT_PUBLIC.code, NO_HOST.code, NO_ADDRESS.code})

#: What a sender may be told: nothing of names, addresses, keys and accounts.
_FOR_SENDERS = frozenset(
    reason.code
    for reason in (
        NOT_FOUND,
        LOOKUP_LATE,
        CONNECTION_REFUSED,
        NOT_REACHABLE,
        CONNECTION_LOST,
        TIMED_OUT,
        SILENT,
        SILENT_IN_TIME,
        TLS_NOT_TRUSTED,
        NO_SPACE,
    )
)

_HTTP = {
    400: ("die Anfrage wird nicht verstanden", "the request is not understood"),
    401: ("die Anmeldung wurde abgelehnt", "the login was refused"),
    403: ("nicht erlaubt", "not allowed"),
    404: ("die Adresse gibt es dort nicht", "there is no such address there"),
    407: ("ein Proxy verlangt eine Anmeldung", "a proxy asks for a login"),
    408: ("es dauerte dem Empfänger zu lange", "it took the receiver too long"),
    409: ("ein anderer Versuch wird bearbeitet", "another attempt is being worked on"),
    410: ("den Empfänger gibt es nicht mehr", "the receiver is gone"),
    413: ("zu groß", "too large"),
    415: ("der Medientyp wird nicht angenommen", "the media type is not taken"),
    422: ("der Inhalt wird nicht angenommen", "the content is not taken"),
    425: ("zu früh", "too early"),
    429: ("zu viele Anfragen", "too many requests"),
}
_HTTP_CLASSES = {
    1: ("keine endgültige Antwort", "no final answer"),
    2: ("angenommen", "taken"),
    3: ("eine Umleitung; der Hub folgt keiner", "a redirect; the hub follows none"),
    4: ("abgelehnt", "refused"),
    5: ("Störung beim Empfänger", "trouble at the receiver"),
}
_TOKENS = "token server: "
#: Notes that hold more than their kind.
_PATTERNS: tuple[tuple[re.Pattern[str], Reason], ...] = tuple(
    (re.compile(pattern), Reason(code=code, note="", text=Text(de, en)))
    for pattern, code, de, en in (
        (r"written as |submitted as |mail taken over|was already there", "delivered", "Übergeben", "Handed over"),
        (
            r"receipt for ",
            "delivered",
            "Übergeben, mit unterschriebener Quittung",
            "Handed over, with a signed receipt",
        ),
        (
            r"AS4: (?:EBMS:0(?:001|003|010|101|102|103)|the certificate)",
            "as4-agreement",
            "Was vereinbart ist, passt nicht zur Gegenseite: Parteien, Dienst, Verfahren oder Zertifikat",
            "What was agreed does not suit the other side: parties, service, algorithms or certificate",
        ),
        (
            r"AS4: EBMS:0(?:002|007|008|009|011|303)",
            "as4-message-refused",
            "Die Gegenseite nimmt die Nachricht nicht an",
            "The other side does not take the message",
        ),
        (
            r"AS4: (?:no receipt|receipt|the receipt|the answer)",
            "as4-no-receipt",
            "Keine Quittung, die für das Übergebene zählt",
            "No receipt that counts for what was handed over",
        ),
        (
            r"AS4: ",
            "as4-trouble",
            "Störung bei der Gegenseite (AS4)",
            "Trouble at the other side (AS4)",
        ),
        (
            r"XTA: PermissionDenied",
            CREDENTIALS_REFUSED.code,
            "Der XTA-Server erkennt das Konto nicht an: Zertifikat, Kennung oder Freischaltung",
            "The XTA server does not accept the account: certificate, identifier or booking",
        ),
        (
            r"XTA: (?:MessageSchemaViolation|MessageVirusDetection|ParameterIsNotValid 9023)",
            "xta-message-refused",
            "Der XTA-Server nimmt die Nachricht nicht an: Schema, Größe oder Schadsoftware",
            "The XTA server does not take the message: schema, size or malware",
        ),
        (
            r"XTA: (?:ParameterIsNotValid|SyncAsync|the reader does not)",
            "xta-parameters",
            "Dem XTA-Server passen Angaben der Einstellungen nicht: Leser, Dienst oder Nachrichtentyp",
            "The settings do not suit the XTA server: reader, service or message type",
        ),
        (
            r"XTA: ",
            "xta-trouble",
            "Störung beim XTA-Server oder auf seinem Weg zum Leser",
            "Trouble at the XTA server or on its way to the reader",
        ),
        (r"waits for collection", "waits", "Liegt zur Abholung bereit", "Waits for collection"),
        (r"folder: ", "folder-unusable", "Der Ordner lässt sich nicht verwenden", "The folder cannot be used"),
        (r"not reachable", NOT_REACHABLE.code, NOT_REACHABLE.text.de, NOT_REACHABLE.text.en),
        (r"connection lost", CONNECTION_LOST.code, CONNECTION_LOST.text.de, CONNECTION_LOST.text.en),
        (r"no answer within", SILENT_IN_TIME.code, SILENT_IN_TIME.text.de, SILENT_IN_TIME.text.en),
        (r"no answer \(", SILENT.code, SILENT.text.de, SILENT.text.en),
        (r"no JSON|no token|announcement answered without", NOT_SPOKEN.code, NOT_SPOKEN.text.de, NOT_SPOKEN.text.en),
        (
            r"larger than any mail",
            "too-large",
            "Größer als jede Mail des Empfängers",
            "Larger than the receiver's mails",
        ),
        (
            r"stored content|content not readable",
            "content-unreadable",
            "Der Hub kann den gespeicherten Inhalt nicht lesen",
            "The hub cannot read the stored content",
        ),
        (
            r"adapter does not open|The adapter |adapter: |there is no adapter|There is no adapter",
            "adapter-unusable",
            "Der Adapter lässt sich mit seinen Einstellungen nicht öffnen",
            "The adapter cannot be opened with its settings",
        ),
        (
            r"not attempted: sealed as",
            "form-not-taken",
            "Versiegelt in einer Form, die der Adapter nicht mehr annimmt",
            "Sealed in a form that the adapter does not take any more",
        ),
        (
            r"not attempted: \d+ leases|the lease ran out",
            "worker-lost",
            "Der Prozess, der den Versuch machte, kam nicht zurück",
            "The process that made the attempt did not come back",
        ),
        (
            r"not attempted: this node slept",
            "worker-late",
            "Der Prozess stand still; ein anderer versucht es",
            "The process stood still; another one tries",
        ),
        (r"adapter failed|adapter reports no", FAILED.code, FAILED.text.de, FAILED.text.en),
        (r"secret cannot be opened", "secret-unreadable", "Das Geheimnis ist nicht lesbar", "The secret is unreadable"),
    )
)
_STATUS = re.compile(r"HTTP ([1-5]\d\d)")
_SMTP = re.compile(r"SMTP ([2-5]\d\d) at ")
_OTHER = Reason(code="other", note="", text=Text("Anderer Grund, siehe Vermerk", "Another reason, see the note"))


def reason_of(note: str) -> Reason:
    """Return the reason that a recorded note stands for; ``other`` where its words are nobody's that the hub knows."""
    if note.startswith(_TOKENS):
        inner = reason_of(note.removeprefix(_TOKENS))
        text = Text(f"Token-Server: {inner.text.de}", f"Token server: {inner.text.en}")
        return Reason(code=inner.code, note=note, text=text)
    known = _BY_NOTE.get(note)
    if known is not None:
        return known
    return _numbered(note) or next((reason for pattern, reason in _PATTERNS if pattern.match(note)), _OTHER)


def reason_for_people(note: str, *, german: bool) -> str:
    """Return what a note says, in one language; a note that nobody knows as it is, and what a note adds in brackets."""
    reason = reason_of(note)
    if reason is _OTHER:
        return note
    text = reason.text.de if german else reason.text.en
    return text if note in _BY_NOTE or _numbered(note) is not None else f"{text} ({note})"


def reason_for_senders(note: str) -> Text | None:
    """Return what a sender may know of why an attempt failed: what the other side's system did, never how it is set up."""
    reason = reason_of(note)
    known = reason.code in _FOR_SENDERS or reason.code.startswith(("http-", "smtp-"))
    return reason.text if known and not note.startswith(_TOKENS) else None


def only_settings_mend(note: str) -> bool:
    """Tell whether an attempt ended before any connection, by what the settings say of the address."""
    return reason_of(note).code in _SETTINGS


def http_note(status: int) -> str:
    """Return what is recorded of an answer over HTTP."""
    return f"HTTP {status}"


def _numbered(note: str) -> Reason | None:
    """Return the reason of a status of HTTP (RFC 9110) or a reply code of SMTP (RFC 5321)."""
    answered = _STATUS.match(note)
    if answered is not None:
        status = int(answered[1])
        de, en = _HTTP.get(status, _HTTP_CLASSES[status // 100])
        return Reason(code=f"http-{status}", note=note, text=Text(f"HTTP {status}: {de}", f"HTTP {status}: {en}"))
    replied = _SMTP.match(note)
    if replied is None:
        return None
    code = replied[1]
    de, en = ("vertagt", "put off") if code.startswith("4") else ("abgelehnt", "refused")
    return Reason(
        code=f"smtp-{code}",
        note=note,
        text=Text(f"Mailserver: {note}, {de}", f"Mail server: {note}, {en}"),
    )
