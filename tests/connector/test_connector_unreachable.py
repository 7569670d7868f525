"""A connector whose hub cannot be reached says so, once and in words that lead to the mend."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from partner import Partner
from stage import NOW
from test_connector_town import signing_pair

from hub.cli import main
from hub.connector import Connector


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody vouches for, and a server's side of it."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out pem -subj /CN=127.0.0.1 -days 9"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=100,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem", folder / "key")
    return folder / "pem", context


@pytest.fixture
def settings(tmp_path, rsa_pair):
    """Write a connector's settings for a hub at an address; ``more`` stands in its table."""

    def write(url: str, more: str = "", *, destinations: int = 1) -> Path:
        jwks = {"d.jwk": rsa_pair[1], "s.jwk": signing_pair()[1]}
        for name, text in {"secret": "0123456789abcdef", **{one: json.dumps(jwk) for one, jwk in jwks.items()}}.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
        (tmp_path / "in").mkdir(exist_ok=True)
        served = "".join(
            f'[[destinations]]\ndestination_id = "{uuid4()}"\ndecryption_key_files = ["d.jwk"]\n'
            'signing_key_file = "s.jwk"\n'
            for _ in range(destinations)
        )
        file = tmp_path / "connector.toml"
        file.write_text(
            f'journal = "journal.sqlite3"\n[hub]\nbase_url = "{url}"\ntoken_url = "{url}/token"\nclient_id = "town"\n'
            f'client_secret_file = "secret"\n{more}\n{served}[handover]\nkind = "folder"\npath = "in"\n'
        )
        return file

    return write


def run_once(file: Path) -> Result:
    return CliRunner().invoke(main, ["connector", "run", "--config", str(file), "--once"])


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_certificate_that_is_not_trusted_is_named_with_what_to_do(settings, self_signed, caplog):
    with Partner(tls=self_signed[1]) as hub:
        result = run_once(settings(hub.url, destinations=2))
        assert hub.heard == []
    assert result.exit_code == 3, result.output
    german, english = result.stderr.strip().splitlines()[-2:]
    assert "TLS-Zertifikat" in german
    assert "hub.ca_file" in german
    assert "TLS certificate" in english
    assert "hub.ca_file" in english
    assert german.count("TLS-Zertifikat") == 1
    assert json.loads(result.stdout.strip().splitlines()[-1])["postponed"] == 2
    assert "Traceback" not in result.output
    assert "TLS" not in caplog.text


def test_with_the_hubs_certificate_the_talk_begins(settings, self_signed):
    with Partner(tls=self_signed[1]) as hub:
        result = run_once(settings(hub.url, f'ca_file = "{self_signed[0]}"'))
        assert hub.heard
    assert "TLS" not in result.stderr
    # It answers, though not as a hub does.
    assert result.exit_code == 3
    assert "hub.base_url" in result.stderr


def test_a_hub_that_is_not_there_is_told_as_such(settings):
    result = run_once(settings(f"http://127.0.0.1:{closed_port()}"))
    assert result.exit_code == 3
    german, english = result.stderr.strip().splitlines()[-2:]
    assert "nicht erreichbar" in german
    assert "hub.base_url" in german
    assert "cannot be reached" in english
    assert "Traceback" not in result.output


def test_a_port_that_speaks_no_tls_is_no_matter_of_trust(settings):
    with Partner() as plain:
        result = run_once(settings(plain.url.replace("http:", "https:")))
    assert result.exit_code == 3
    assert "TLS" in result.stderr
    assert "ca_file" not in result.stderr


@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "no certificate"])
def test_a_ca_file_that_holds_no_certificates_stops_the_start(content, settings, tmp_path):
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    result = run_once(settings("https://127.0.0.1:1", 'ca_file = "ca.pem"'))
    assert result.exit_code == 1
    assert "hub.ca_file" in result.stderr
    assert "Traceback" not in result.output


def test_the_continuing_walk_logs_the_reason_once(settings, self_signed, caplog):
    with Partner(tls=self_signed[1]) as hub:
        connector = Connector.from_config(settings(hub.url), now=lambda: NOW)
        stop = threading.Event()
        walk = threading.Thread(target=connector.run, args=[stop])
        walk.start()
        deadline = time.monotonic() + 20
        while "TLS" not in caplog.text and time.monotonic() < deadline:
            stop.wait(0.02)
        stop.set()
        walk.join(10)
        connector.close()
    lines = [record.getMessage() for record in caplog.records if "TLS certificate" in record.getMessage()]
    assert len(lines) == 1
    assert "hub.ca_file" in lines[0]
