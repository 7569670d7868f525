"""Settings of a hub that serves: where it listens, what it stores in, how it delivers, and what a request may cost."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from hub.errors import Text
from hub.files.settings import ValueForm, setting

MOST_PORT = 65_535
DAY = 86_400
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """The first of the settings, in the order in which the reference names them."""

    #: Folder of database, blobs, keys and imported schemas.
    data: Path
    environment: str = setting(
        "development",
        "production verlangt https, geprüfte Schlüssel und eigene Regeln; development nimmt auch selbst ausgestellte. test ist "
        "eine Testumgebung: Hersteller registrieren sich selbst, Inhalte werden jede Nacht gelöscht, alles ist gekennzeichnet.",
        "production asks for https, judged keys and rules of your own; development takes self-issued keys as well. test is a "
        "test environment: vendors register themselves, contents are deleted every night, everything is marked.",
        choices=("development", "production", "test"),
    )
    host: str = setting("127.0.0.1", "Adresse, an der gelauscht wird.", "Address to listen at.")
    port: int = setting(8080, "Port, an dem gelauscht wird.", "Port to listen at.", least=0, most=MOST_PORT)
    base_url: str = setting(
        "",
        "Adresse des Hubs von außen, ohne / am Ende; sie steht als Aussteller in jedem Token.",
        "Address of the hub from outside, without a slash at its end; every token names it as its issuer.",
        shown=Text("http://host:port", "http://host:port"),
    )
    portal_url: str = setting(
        "",
        "Adresse des Bürgerportals; die Startseite verweist darauf.",
        "Address of the citizens' portal; the start page links to it.",
        since="0.3.0",
    )
    xta_port: int = setting(
        0,
        "Port, an dem Behörden ihr Postfach über XTA 2.1.1 leeren; 0: keiner. Es lauscht der Prozess, der zustellt.",
        "Port at which authorities empty their mailboxes by XTA 2.1.1; 0: none. The process that delivers listens.",
        since="0.4.0",
        least=0,
        most=MOST_PORT,
    )
    xta_host: str = setting(
        "127.0.0.1",
        "Adresse, an der für XTA gelauscht wird.",
        "Address to listen at for XTA.",
        since="0.4.0",
    )
    xta_certificate_file: str = setting(
        "",
        "Zertifikat (PEM), mit dem sich der Hub dort ausweist.",
        "Certificate (PEM) with which the hub shows who it is there.",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    xta_key_file: str = setting(
        "",
        "Der private Schlüssel dazu.",
        "The private key of it.",
        since="0.4.0",
        form=ValueForm.SECRET_FILE,
    )
    xta_clients_file: str = setting(
        "",
        "Zertifizierungsstellen (PEM), zu denen die Client-Zertifikate der Behörden führen müssen.",
        "Certificate authorities (PEM) to which the authorities' client certificates must lead.",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    processes: int = setting(
        0,
        "Prozesse, die bedienen, neben einem, der zustellt; 1: einer, der alles tut; 0: einer je nutzbarem Kern.",
        "Processes that serve, beside one that delivers; 1: one that does all; 0: one for each usable core.",
        since="0.2.0",
        least=0,
        most=64,
    )
    database_url: str = setting(
        "",
        "Adresse der Datenbank: sqlite:///DATEI oder postgresql://NUTZER@RECHNER:PORT/NAME, ohne Passwort.",
        "Address of the database: sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, without a password.",
        shown=Text("hub.sqlite im Datenordner", "hub.sqlite in the data folder"),
    )
    database_password_file: str = setting(
        "",
        "Datei mit dem Passwort für die Datenbank.",
        "File with the password for the database.",
        since="0.3.0",
        form=ValueForm.SECRET_FILE,
    )
    node: str = setting(
        "",
        "Name dieses Knotens in Zustellversuchen.",
        "Name of this node in attempts to deliver.",
        factory=socket.gethostname,
        shown=Text("Name des Rechners", "name of the machine"),
    )
    routing_rules: str = setting(
        "",
        "Ordner mit Gebieten, Leistungen und Regeln für den ersten Start; in production gelten nur eigene Regeln.",
        "Folder of areas, services and rules for a first start; in production only rules of your own count.",
        form=ValueForm.PATH,
        shown=Text("der mitgelieferte", "the shipped one"),
    )
    lease_seconds: int = setting(
        120,
        "So lange darf ein Zustellversuch dauern, bevor ein anderer Knoten ihn übernimmt.",
        "How long one attempt to deliver may take before another node takes it over.",
        unit="s",
        least=1,
    )
    delivery_threads: int = setting(
        8,
        "Zustellungen, die ein Knoten zugleich versucht; die nur noch auf ihren Empfänger warten, bis zum Vierfachen.",
        "Deliveries that one node attempts at once; with those that only wait for their receiver, up to four times as many.",
        least=1,
    )
    retry_first_seconds: int = setting(
        5, "Erste Pause vor einem neuen Versuch.", "First pause before another attempt.", unit="s", least=0
    )
    retry_longest_seconds: int = setting(
        36_000, "Längste Pause zwischen zwei Versuchen.", "Longest pause between two attempts.", unit="s", least=0
    )
    give_up_seconds: int = setting(
        14 * DAY,
        "Danach wird eine Zustellung aufgegeben und gemeldet.",
        "After this a delivery is given up and reported.",
        unit="s",
        least=0,
    )
    disk_watermark_bytes: int = setting(
        512 * MIB,
        "Ist auf dem Datenträger des Datenordners weniger frei, antwortet die Annahme mit 503.",
        "Intake answers 503 while less than this is free on the data folder's disk.",
        unit="byte",
        least=0,
    )
    memory_budget_bytes: int = setting(
        512 * MIB,
        "Klartext, der zugleich im Speicher sein darf, über alle Prozesse eines Starts.",
        "Plaintext that may be in memory at once, over all processes of one start.",
        unit="byte",
        least=0,
    )
    connections: int = setting(
        800,
        "Verbindungen eines Prozesses zugleich; an der Grenze machen die ohne Anfrage neuen Platz.",
        "Connections of one process at once; at the bound, those without a request make room for new ones.",
        since="0.2.0",
        least=1,
    )
    head_seconds: int = setting(
        15,
        "Zeit bis zur ersten Anfrage, und von einer Antwort bis zum Ende des nächsten Anfragekopfs.",
        "Time to the first request, and from an answer to the end of the next request's header.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    head_bytes: int = setting(
        65_536,
        "Größte Anfragezeile samt Kopfzeilen.",
        "The largest request line and header section together.",
        since="0.2.0",
        unit="byte",
        least=1,
    )
    pause_seconds: int = setting(
        30,
        "So lange darf der Absender eines Inhalts stocken.",
        "How long the sender of a body may pause.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    body_seconds: int = setting(
        30,
        "So lange darf ein Inhalt insgesamt brauchen; seine Bytes verdienen ihm mehr.",
        "How long the sender of a body may take in all, and longer only as its bytes earn it.",
        since="0.2.0",
        unit="s",
        least=1,
    )
    body_bytes_per_second: int = setting(
        8_000,
        "So viele Bytes eines Inhalts verdienen eine weitere Sekunde.",
        "So many bytes of a body earn its sender another second.",
        since="0.2.0",
        unit="byte/s",
        least=1,
    )
