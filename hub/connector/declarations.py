"""The connector's settings as they are declared: what each is for, what it takes, and its default, said once.

The reference, the file that ``hub connector init`` writes, and the reading of a settings file are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from hub.errors import Text
from hub.files.settings import Setting, ValueForm


class Mode(StrEnum):
    """How submissions come in."""

    #: Asks the hub, every ``poll_seconds``.
    COLLECT = "collect"
    #: Takes what the hub pushes.
    LISTEN = "listen"
    #: Both; what came one way is not taken again the other way.
    BOTH = "both"


class Polling(StrEnum):
    """What the hub is asked for when the connector collects."""

    #: For each destination that is served here.
    EACH = "each"
    #: Once for all that are the client's; what is not served here stays where it is.
    ALL = "all"


class InvalidHandling(StrEnum):
    """What becomes of data that break their schema."""

    #: The sender gets a reject event with the reason.
    REJECT = "reject"
    #: The local system gets it all the same, with the report in ``antrag.json``.
    HAND_OVER = "hand_over_with_report"


class Decider(StrEnum):
    """Who decides on what was handed over (``handover.mode``)."""

    #: Nobody: what is opened, checked and handed over is accepted.
    AUTO = "auto"
    #: People, on the connector's own page.
    CLERK = "clerk"
    #: The local system, over the loopback API or the outbox.
    SYSTEM = "system"


def _declared(name: str, form: ValueForm, de: str, en: str, *, since: str = "0.1.0", **more: Any) -> Setting:
    return Setting(name=name, form=form, text=Text(de, en), since=since, **more)


#: Waits for a scanner that does not answer.
WAIT = "wait"
_CONSEQUENCES = ("mark", "quarantine", "refuse")

#: Every setting, in the order of the file that ``init`` writes.
DECLARED = (
    _declared(
        "mode",
        ValueForm.TEXT,
        "Wie Einreichungen hereinkommen: der Konnektor fragt (collect), nimmt Zustellungen an (listen) oder beides (both).",
        "How submissions come in: the connector asks (collect), takes what the hub pushes (listen), or both.",
        default=str(Mode.COLLECT),
        choices=tuple(Mode),
    ),
    _declared(
        "journal",
        ValueForm.PATH,
        "Datei, in der steht, was aus jeder Einreichung wurde; daneben liegt Verschlüsseltes.",
        "File that says what became of each submission; what is sealed lies beside it.",
        required=True,
    ),
    _declared(
        "schema_roots",
        ValueForm.PATHS,
        "Ordner mit Schemata; ohne sie werden Daten ungeprüft übergeben.",
        "Folders of schemas; without them data are handed over unchecked.",
        default=[],
    ),
    _declared(
        "poll_seconds",
        ValueForm.NUMBER,
        "Pause zwischen zwei Fragen an den Hub.",
        "Pause between two questions to the hub.",
        default=10,
        unit="s",
        least=1,
        most=86_400,
    ),
    _declared(
        "poll_for",
        ValueForm.TEXT,
        "Wonach gefragt wird: nach jedem Zustellpunkt (each) oder einmal nach allen des Clients (all), wenn es viele sind.",
        "What is asked for: each destination, or all of the client's at once, where there are many.",
        since="0.3.0",
        default=str(Polling.EACH),
        choices=tuple(Polling),
    ),
    _declared(
        "hub.base_url",
        ValueForm.ADDRESS,
        "Adresse des Hubs.",
        "Address of the hub.",
        required=True,
    ),
    _declared(
        "hub.submission_api",
        ValueForm.TEXT,
        "Weg der FIT-Connect-Schnittstelle hinter base_url.",
        "Path of the FIT-Connect interface behind base_url.",
        default="/submission-api",
    ),
    _declared(
        "hub.token_url",
        ValueForm.ADDRESS,
        "Adresse, an der es Zugriffstoken gibt.",
        "Address that gives access tokens.",
        required=True,
    ),
    _declared(
        "hub.client_id",
        ValueForm.TEXT,
        "Name des Konnektors am Hub.",
        "Name of the connector at the hub.",
        required=True,
    ),
    _declared(
        "hub.client_secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis dazu.",
        "File with the secret that belongs to it.",
        required=True,
    ),
    _declared(
        "hub.issuer",
        ValueForm.TEXT,
        "Als wer der Hub unterschreibt.",
        "Who the hub signs as.",
        shown=Text("wie hub.base_url", "as hub.base_url"),
    ),
    _declared(
        "hub.ca_file",
        ValueForm.PATH,
        "PEM-Datei mit der Zertifizierungsstelle des Hubs, wenn es keine öffentliche ist.",
        "PEM file with the authority of the hub's TLS certificate, if it is no public one.",
        shown=Text("die öffentlichen", "the public ones"),
    ),
    _declared(
        "destinations.destination_id",
        ValueForm.ID,
        "Zustellpunkt, der hier bedient wird.",
        "Destination that is served here.",
        required=True,
    ),
    _declared(
        "destinations.decryption_key_files",
        ValueForm.PATHS,
        "Private Schlüssel zum Öffnen (JWK, PEM oder PKCS#12), während eines Wechsels auch die früheren.",
        "Private keys to open with (JWK, PEM or PKCS#12), the earlier ones too while keys roll over.",
        required=True,
    ),
    _declared(
        "destinations.signing_key_file",
        ValueForm.PATH,
        "Privater Schlüssel, mit dem Antworten unterschrieben werden (JWK, PEM oder PKCS#12).",
        "Private key that answers are signed with (JWK, PEM or PKCS#12).",
        required=True,
    ),
    _declared(
        "destinations.key_password_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Passwort dieser Schlüsseldateien.",
        "File with the password of these key files.",
        since="0.3.0",
    ),
    _declared(
        "destinations.signing_key_id",
        ValueForm.TEXT,
        "Unter welchem Namen (kid) der Hub den Unterschriftsschlüssel kennt.",
        "Name (kid) under which the hub knows the signing key.",
        since="0.3.0",
        shown=Text("der des JWK, sonst der des Zertifikats", "the JWK's, else the certificate's"),
    ),
    _declared(
        "listen.address",
        ValueForm.TEXT,
        "Adresse, an der Zustellungen angenommen werden.",
        "Address at which pushes are taken.",
        default="127.0.0.1",
    ),
    _declared(
        "listen.port",
        ValueForm.NUMBER,
        "Port dazu; 0: irgendein freier.",
        "Port of it; 0: any that is free.",
        default=0,
        least=0,
        most=65_535,
    ),
    _declared(
        "listen.secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis, das der Zustellpunkt am Hub als secret_file hat.",
        "File with the secret that the destination has at the hub as its secret_file.",
        required=True,
    ),
    _declared(
        "listen.certificate_file",
        ValueForm.PATH,
        "TLS-Zertifikat (PEM); Pflicht für eine Adresse im Netz.",
        "TLS certificate (PEM); a must for an address in the network.",
    ),
    _declared("listen.key_file", ValueForm.PATH, "Schlüssel dazu (PEM).", "Key of it (PEM)."),
    _declared(
        "listen.largest_megabytes",
        ValueForm.NUMBER,
        "Größter angenommener Umschlag.",
        "The largest envelope that is taken.",
        default=64,
        unit="MiB",
        least=1,
        most=1024,
    ),
    _declared(
        "handover.mode",
        ValueForm.TEXT,
        "Wer entscheidet: niemand, Übergebenes gilt als angenommen (auto); Menschen auf der Seite des Konnektors (clerk); das "
        "Fachverfahren, später, über die örtliche Schnittstelle oder den Ausgangsordner (system).",
        "Who decides: nobody, what is handed over is accepted (auto); people on the connector's page (clerk); the specialist "
        "system, later, by the local interface or the outbox (system).",
        default=str(Decider.AUTO),
        choices=tuple(Decider),
        since="0.4.0",
    ),
    _declared(
        "handover.kind",
        ValueForm.TEXT,
        "Wohin Geöffnetes geht: in einen Ordner (folder) oder per HTTP an das Fachverfahren (http); mit mode = clerk erst nach "
        "dem Annehmen, und nirgendhin, wenn nichts genannt ist.",
        "Where what is opened goes: into a folder, or by HTTP to the specialist system; with mode = clerk only once it is "
        "accepted, and nowhere if nothing is named.",
        shown=Text("keine; Pflicht außer mit mode = clerk", "none; a must except with mode = clerk"),
        choices=("folder", "http"),
    ),
    _declared(
        "handover.path",
        ValueForm.PATH,
        "Ordner der Übergabe; er muss da sein.",
        "Folder of the hand-over; it must be there.",
        required=True,
        only=("kind", "folder"),
    ),
    _declared(
        "handover.pdf",
        ValueForm.TRUTH,
        "Neben antrag.html auch antrag.pdf (PDF/A-3) in den Ordner legen; braucht das Extra portal und kostet je Antrag ein "
        "bis zwei Sekunden.",
        "Put antrag.pdf (PDF/A-3) into the folder beside antrag.html; needs the extra portal and costs a second or two an "
        "application.",
        default=False,
        since="0.3.0",
        only=("kind", "folder"),
    ),
    _declared(
        "handover.outbox",
        ValueForm.PATH,
        "Ausgangsordner, in den das Fachverfahren Antworten legt (je Antwort ein Ordner mit reply.json), für mode = system.",
        "Outbox into which the specialist system puts answers (a folder with reply.json for each), for mode = system.",
        since="0.4.0",
        only=("kind", "folder"),
    ),
    _declared(
        "handover.url",
        ValueForm.ADDRESS,
        "Adresse des Fachverfahrens.",
        "Address of the specialist system.",
        required=True,
        only=("kind", "http"),
    ),
    _declared(
        "handover.secret_file",
        ValueForm.SECRET_FILE,
        "Datei mit einem Geheimnis, das als Bearer mitgeht.",
        "File with a secret that is sent as Bearer.",
        only=("kind", "http"),
    ),
    _declared(
        "handover.allowed_hosts",
        ValueForm.TEXTS,
        "Andere Rechner als dieser, die url nennen darf.",
        "Other hosts than this machine that url may name.",
        default=[],
        only=("kind", "http"),
    ),
    _declared(
        "clerk.address",
        ValueForm.TEXT,
        "Adresse, an der die Seite für die Sachbearbeitung lauscht.",
        "Address at which the page for clerks listens.",
        default="127.0.0.1",
        since="0.4.0",
    ),
    _declared(
        "clerk.port",
        ValueForm.NUMBER,
        "Port der Seite; 0: irgendein freier.",
        "Port of the page; 0: any that is free.",
        default=8095,
        least=0,
        most=65_535,
        since="0.4.0",
    ),
    _declared(
        "clerk.hosts",
        ValueForm.TEXTS,
        "Namen, unter denen Browser die Seite aufrufen dürfen, außer der Adresse selbst und localhost.",
        "Names under which browsers may ask for the page, besides the address itself and localhost.",
        default=[],
        since="0.4.0",
    ),
    _declared(
        "clerk.accounts_file",
        ValueForm.PATH,
        "Datei mit den Konten der Sachbearbeitung (Passwörter als argon2id); hub connector clerk schreibt sie.",
        "File with the clerks' accounts (passwords as argon2id); hub connector clerk writes it.",
        default="clerks.json",
        since="0.4.0",
    ),
    _declared(
        "clerk.certificate_file",
        ValueForm.PATH,
        "TLS-Zertifikat der Seite (PEM); Pflicht für eine Adresse im Netz.",
        "TLS certificate of the page (PEM); a must for an address in the network.",
        since="0.4.0",
    ),
    _declared(
        "clerk.key_file",
        ValueForm.PATH,
        "Schlüssel zum Zertifikat der Seite (PEM).",
        "Key of the page's certificate (PEM).",
        since="0.4.0",
    ),
    _declared(
        "clerk.keep_days",
        ValueForm.NUMBER,
        "So lange bleiben abgeschlossene Vorgänge versiegelt lesbar, danach löscht der Konnektor sie.",
        "How long closed cases stay readable, sealed; then the connector deletes them.",
        default=90,
        unit="d",
        least=1,
        most=3_650,
        since="0.4.0",
    ),
    _declared(
        "replies.largest_megabytes",
        ValueForm.NUMBER,
        "Größte Antwort an Antragstellende, alle Dateien zusammen.",
        "The largest reply to an applicant, all files together.",
        default=50,
        unit="MiB",
        least=1,
        most=400,
        since="0.4.0",
    ),
    _declared(
        "forwarding.second_person",
        ValueForm.TRUTH,
        "Ob auf der Seite für die Sachbearbeitung eine zweite Person zustimmen muss, bevor ein Vorgang abgegeben wird.",
        "Whether on the page for clerks a second person has to agree before a case is handed on.",
        default=False,
        since="0.4.0",
    ),
    _declared(
        "forwarding.anchor_files",
        ValueForm.PATHS,
        "Zertifikate (PEM) der PKI, die Schlüssel anderer Stellen bescheinigt; ohne sie gilt für diese das Wort des Hubs.",
        "Certificates (PEM) of the PKI that certifies keys of other authorities; without them the hub's word counts for those.",
        default=[],
        since="0.4.0",
    ),
    _declared(
        "api.port",
        ValueForm.NUMBER,
        "Port der örtlichen Schnittstelle, über die das Fachverfahren entscheidet (nur dieser Rechner); 0: irgendein freier.",
        "Port of the local interface by which the specialist system decides (this machine only); 0: any that is free.",
        default=8096,
        least=0,
        most=65_535,
        since="0.4.0",
    ),
    _declared(
        "api.token_file",
        ValueForm.SECRET_FILE,
        "Datei mit dem Geheimnis, das das Fachverfahren dort als Bearer nennt.",
        "File with the secret that the specialist system says there as Bearer.",
        required=True,
        since="0.4.0",
    ),
    _declared(
        "policy.on_invalid",
        ValueForm.TEXT,
        "Was aus Daten wird, die ihr Schema verletzen: zurückweisen oder mit Prüfbericht übergeben.",
        "What becomes of data that break their schema: rejected, or handed over with the report.",
        default=str(InvalidHandling.REJECT),
        choices=tuple(InvalidHandling),
    ),
    _declared(
        "opening.largest_megabytes",
        ValueForm.NUMBER,
        "So groß darf eine Einreichung geöffnet werden, alle Teile zusammen.",
        "How large one submission may become when opened, all parts together.",
        since="0.2.0",
        default=2_000,
        unit="MB",
        least=1,
        most=100_000,
    ),
    _declared(
        "opening.largest_ratio",
        ValueForm.NUMBER,
        "Und so viel Mal so groß wie versiegelt.",
        "And how many times its sealed size.",
        since="0.2.0",
        default=100,
        least=1,
        most=1_099,
    ),
    _declared(
        "opening.free_megabytes",
        ValueForm.NUMBER,
        "Erst darüber zählt largest_ratio: ein kurzes Formular voller Wiederholungen ist kein Angriff.",
        "Beyond these largest_ratio counts: a short form of many repetitions is no attack.",
        since="0.2.0",
        default=32,
        unit="MiB",
        least=1,
        most=100_000,
    ),
    _declared(
        "scan.address",
        ValueForm.TEXT,
        "Der Scanner: clamd:/PFAD/DES/SOCKETS, clamd://RECHNER:PORT oder icap://RECHNER:PORT/DIENST.",
        "The scanner: clamd:/PATH/OF/SOCKET, clamd://HOST:PORT or icap://HOST:PORT/SERVICE.",
        since="0.4.0",
        required=True,
    ),
    _declared(
        "scan.infected",
        ValueForm.TEXT,
        "Was mit Schadsoftware geschieht: zurückweisen (refuse), versiegelt liegen lassen, bis jemand entscheidet "
        "(quarantine), oder mit Hinweis übergeben (mark).",
        "What is done about malware: reject (refuse), leave it sealed until somebody decides (quarantine), or hand it over and "
        "say so (mark).",
        since="0.4.0",
        default="quarantine",
        choices=_CONSEQUENCES,
    ),
    _declared(
        "scan.unscannable",
        ValueForm.TEXT,
        "Ebenso für Teile, die sich nicht ganz prüfen lassen: zu groß, zu tief gepackt, verschlüsselt.",
        "The same for parts that cannot be scanned completely: too large, packed too deep, encrypted.",
        since="0.4.0",
        default="mark",
        choices=_CONSEQUENCES,
    ),
    _declared(
        "scan.down",
        ValueForm.TEXT,
        "Solange der Scanner nicht antwortet: warten (wait) oder ungeprüft mit Hinweis übergeben (mark).",
        "While the scanner does not answer: wait, or hand over unscanned and say so (mark).",
        since="0.4.0",
        default=WAIT,
        choices=("mark", WAIT),
    ),
    _declared(
        "scan.largest_megabytes",
        ValueForm.NUMBER,
        "Größere Teile gelten als nicht prüfbar; nicht mehr als StreamMaxLength von clamd oder die Grenze des ICAP-Dienstes.",
        "What is larger counts as not scannable; no more than clamd's StreamMaxLength, or the ICAP service's limit.",
        since="0.4.0",
        default=100,
        unit="MiB",
        least=1,
        most=100_000,
    ),
    _declared(
        "scan.seconds",
        ValueForm.NUMBER,
        "Frist des Scanners für jeden Schritt und für sein Urteil über einen Teil.",
        "The scanner's time for each step, and for its verdict on a part.",
        since="0.4.0",
        default=60,
        unit="s",
        least=1,
        most=600,
    ),
    _declared(
        "scan.limits",
        ValueForm.TEXT,
        "Grenzen des Scanners, wie sie im Bericht stehen, etwa MaxScanSize=400M MaxRecursion=8.",
        "The scanner's limits as the report names them, such as MaxScanSize=400M MaxRecursion=8.",
        since="0.4.0",
        default="",
    ),
    _declared(
        "specialist.port",
        ValueForm.NUMBER,
        "Port des vorgeführten Fachverfahrens auf diesem Rechner.",
        "Port of the demonstration specialist system on this machine.",
        default=0,
        least=0,
        most=65_535,
    ),
    _declared(
        "specialist.folder",
        ValueForm.PATH,
        "Ordner seiner Fälle.",
        "Folder of its cases.",
        required=True,
    ),
)
#: What a table is for, in the file that ``init`` writes.
TABLES: Mapping[str, Text] = {
    "hub": Text("Der Hub, und wer der Konnektor dort ist", "The hub, and who the connector is there"),
    "destinations": Text("Je Zustellpunkt eine Tabelle", "One table for each destination"),
    "listen": Text("Nur für mode = listen oder both", "Only for mode = listen or both"),
    "handover": Text("Übergabe an das Fachverfahren", "Hand-over to the specialist system"),
    "clerk": Text(
        "Seite für die Sachbearbeitung, für handover.mode = clerk", "Page for clerks, for handover.mode = clerk"
    ),
    "replies": Text("Antworten an Antragstellende", "Replies to applicants"),
    "forwarding": Text("Abgabe an andere Stellen", "Handing on to other authorities"),
    "api": Text(
        "Örtliche Schnittstelle für das Fachverfahren, für handover.mode = system",
        "Local interface for the specialist system, for handover.mode = system",
    ),
    "policy": Text("Regeln", "Rules"),
    "opening": Text("Grenzen beim Öffnen", "Bounds of opening"),
    "scan": Text("Prüfung auf Schadsoftware nach dem Öffnen", "Scan for malware after opening"),
    "specialist": Text("Nur für die Vorführung", "For the demonstration only"),
}
