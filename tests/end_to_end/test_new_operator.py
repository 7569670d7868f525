"""A new operator installs the wheels, reads the manual and does what it says: production, PostgreSQL, nginx in front, a
municipality, three applications (by curl, the client for Python, and a client that is made of the contract), self-check,
backup, drill and restore. Every command comes out of the Markdown; only addresses, ports and folders are others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_ways
from client_maker import run
from end_to_end.processes import free_port
from manual_reader import Fence, Reader, fences
from nginx_front import needs_nginx, nginx
from sqlalchemy import create_engine, text

from hub.adapter_kit.cases import Workshop
from hub.model import utc_now

INSTALLING, CONNECTING = "docs/installieren.md", "docs/vorgaenge-empfangen.md"
ADMINISTERING, OPERATING, SENDING = "docs/verwalten.md", "docs/betreiben.md", "docs/erster-antrag.md"
PAGES = (INSTALLING, CONNECTING, ADMINISTERING, OPERATING)
#: What a sender does, from the token to the answer; the sections of the page before are of the demo.
_SENDING = ("Ein Token holen", "Wer ist zuständig?", "Der Antrag", "Einreichen", "Dasselbe in Python")


@pytest.fixture
def database(postgresql_url: str) -> Iterator[str]:
    """An empty database without tables, as libpq names it."""
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE manual"))
    yield postgresql_url.replace("+psycopg", "").replace("/postgres?", "/manual?")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE manual WITH (FORCE)"))
        connection.execute(text("DROP DATABASE IF EXISTS restored WITH (FORCE)"))
    engine.dispose()


@needs_nginx
@pytest.mark.timeout(900)
def test_a_new_operator_gets_from_the_manual_to_a_restored_hub(
    database: str, installed_hub: Path, client_maker: Path, tmp_path: Path
):
    for tool in ("curl", "jq", "openssl", "createdb", "pg_dump", "pg_restore"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
    workshop, inner = Workshop(tmp_path / "workshop", now=utc_now()), free_port()
    with nginx(tmp_path / "proxy", workshop.client, inner) as url:
        outer = int(url.rpartition(":")[2])
        reader = _operator(tmp_path, workshop.ca_file, database, installed_hub.parent, inner=inner, outer=outer)
        with reader:
            reader.read(INSTALLING)
            reader.read(CONNECTING, "Schlüssel")
            reader.read(ADMINISTERING)
            _make_sender(reader, outer)
            reader.read(SENDING, *_SENDING)
            assert _sent_by_a_generated_client(reader, client_maker, workshop.ca_file) == "Stadt Taunusstein, Steueramt"
            reader.read(CONNECTING, "Der Konnektor", "Wer entscheidet")
            _require_arrived(reader.folder / "inbox")
            reader.read(SENDING, "Wie steht es darum?")
            reader.read(OPERATING, "Sichern", "Beobachten", "Schadsoftware", "Hinweise per Mail")
            reader.close_windows()  # "Alle Knoten anhalten"
            reader.read(OPERATING, "Wiederherstellen")
            reader.close_windows()
    done = [each for each in reader.done if each.page != SENDING] + test_ways.belonging()
    assert sorted(done, key=_place) == sorted((each for page in PAGES for each in fences(page)), key=_place)


def _place(fence: Fence) -> str:
    return fence.place


def _operator(tmp_path: Path, ca_file: Path, database: str, programs: Path, *, inner: int, outer: int) -> Reader:
    place = tmp_path / "machine"
    return Reader(
        folder=tmp_path / "reader",
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CURL_CA_BUNDLE": str(ca_file),
            "SSL_CERT_FILE": str(ca_file),
            "HUB_DISK_WATERMARK_BYTES": "0",
        },
        instead={
            "/var/lib/rathaus-hub": f"{place}/var",
            "/etc/rathaus-hub": f"{place}/etc",
            "/srv/": f"{place}/srv/",
            "https://hub.example.org": f"https://127.0.0.1:{outer}",
            "postgresql://hub@127.0.0.1:5432/hub": database,
            "postgresql://hub@127.0.0.1:5432/restored": database.replace("/manual?", "/restored?"),
            "port = 8080": f"port = {inner}",
            # The proxy's certificate is of no public authority here.
            "--client-secret-file hub.secret": f"--client-secret-file hub.secret --ca-file {ca_file}",
            '**demo["sender"])': f'**demo["sender"], transport=Direct(ca_file=Path("{ca_file}")))',
            "from hub.client.session import log_in\n": (
                "from hub.client.session import log_in\nfrom hub.client.transport import Direct\n"
            ),
            # Another town than the demo's.
            "064140000000": "064390015015",
            "Landeshauptstadt Wiesbaden": "Stadt Taunusstein, Steueramt",
        },
    )


def _make_sender(reader: Reader, port: int) -> None:
    """Make the sender's client as the page says by the way, and put it where the sender of the demo finds hers."""
    reader.do("hub clients add Onlinedienst --kind sender")
    made = dict(line.split() for line in reader.said.splitlines())
    (reader.folder / "data").mkdir()
    document = {"base_url": f"https://127.0.0.1:{port}", "sender": made}
    (reader.folder / "data" / "demo.json").write_text(json.dumps(document), encoding="utf-8")


def _sent_by_a_generated_client(reader: Reader, maker: Path, ca_file: Path) -> str:
    """Make a client of the contract that the hub serves, submit the page's application by it, and return who got it."""
    demo = json.loads((reader.folder / "data" / "demo.json").read_text(encoding="utf-8"))
    reader.do(f"curl --silent --show-error --fail {demo['base_url']}/openapi.yaml > openapi.yaml")
    generator = maker.with_name("openapi-python-client")
    made = reader.folder / "openapi_python_client_made"
    run(generator, "generate", "--path", "openapi.yaml", "--output-path", made, "--meta", "none", folder=reader.folder)
    plan = {
        "made": str(reader.folder),
        "caFile": str(ca_file),
        "baseUrl": demo["base_url"],
        "sender": demo["sender"],
        "document": json.loads((reader.folder / "application.json").read_text(encoding="utf-8")),
        "service": "urn:de:fim:leika:leistung:99102013002000",
        "ars": "064390015015",
    }
    return run(maker, Path(__file__).with_name("generated_sender.py"), said=json.dumps(plan)).strip()


def _require_arrived(inbox: Path) -> None:
    cases = [json.loads(each.read_text(encoding="utf-8")) for each in inbox.glob("*/antrag.json")]
    assert len(cases) == 3
    assert sorted(len(each["attachments"]) for each in cases) == [0, 1, 1]  # the last one by a generated client
    owners = [json.loads(each.read_text(encoding="utf-8"))["halter"]["vornamen"] for each in inbox.glob("*/data.json")]
    assert owners == ["Erika", "Erika", "Erika"]
