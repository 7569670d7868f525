"""How a server process starts: what it refuses to stand on, what it says, and that it stays alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from end_to_end.processes import free_port

from hub import __version__, app
from hub.config import Settings, load_settings
from hub.errors import ConfigurationError, StoreUnavailable, Unavailable
from hub.store import Store
from hub.store.migration import head_revision

#: Each process takes seconds to start, and several are started in turn.
pytestmark = pytest.mark.timeout(600)

HUB = [sys.executable, "-m", "hub.cli"]
_PATIENCE = 120.0
_PRODUCTION = {"HUB_ENVIRONMENT": "production", "HUB_BASE_URL": "https://hub.example"}


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "data"))


@contextmanager
def serving(data: Path, *options: str, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    port, log = free_port(), data.parent / "hub.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*HUB, "serve", "--data", str(data), "--port", str(port), *options],
            env={**os.environ, "HUB_DISK_WATERMARK_BYTES": "0", **env},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + _PATIENCE
        while not _live(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield process, port, log
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=_PATIENCE)


def _live(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok
    except requests.RequestException:
        return False


def ran(data: Path, command: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, or must not start."""
    return subprocess.run(
        [*HUB, *command.split(), "--data", str(data), *options],
        env={**os.environ, "HUB_DISK_WATERMARK_BYTES": "0", **env},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


def test_a_second_server_on_one_sqlite_folder_is_refused_until_the_first_is_gone_however_it_went(data: Path) -> None:
    with serving(data) as (process, _, _):
        for command in (["serve", "--port", str(free_port())], ["work"]):
            second = ran(data, *command)
            assert second.returncode == 3, second.stderr
            assert "runs on the database" in second.stderr
            assert "Traceback" not in second.stderr
        with pytest.raises(Unavailable), app.alone(load_settings(data, {}), listens=True):
            pass
        # Looking and administering beside it is what the command line is for.
        for look in ("dead list", "clients list", "destinations list", "log verify"):
            beside = ran(data, look)
            assert beside.returncode == 0, (look, beside.stderr)
        process.kill()
        process.wait(timeout=_PATIENCE)
    with app.alone(load_settings(data, {}), listens=True):
        assert ran(data, "serve", "--port", str(free_port())).returncode == 3
    with serving(data) as (_, port, _):
        assert requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).ok


def test_one_folder_serves_one_hub_and_its_nodes_whatever_the_database(tmp_path: Path) -> None:
    """Nothing is built, so no database is needed to say who may share a folder."""

    def settings(**given: str) -> Settings:
        return load_settings(tmp_path / "data", {}, database_url="postgresql://hub@127.0.0.1/hub", **given)

    with app.alone(settings(), listens=False):  # A worker signs as whoever listens, whoever comes first.
        with app.alone(settings(base_url="https://hub.example"), listens=True):
            with app.alone(settings(base_url="https://hub.example", port=1), listens=True):
                pass
            with (
                pytest.raises(Unavailable) as other,
                app.alone(settings(base_url="https://other.example"), listens=True),
            ):
                pass
            assert "https://hub.example;" in other.value.detail.de
            assert "refuse the other's tokens" in other.value.detail.en
        # The worker is left, and still signs as the one that is gone.
        with pytest.raises(Unavailable), app.alone(settings(), listens=True):
            pass
        elsewhere = load_settings(tmp_path / "data", {}, base_url="https://hub.example")
        with pytest.raises(Unavailable, match="another database"), app.alone(elsewhere, listens=True):
            pass
    with app.alone(settings(base_url="https://other.example"), listens=True):
        pass


@contextmanager
def said_at_the_start(command: list[str], folder: Path, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a command where core dumps are allowed, and give what it said when it had said what it is."""
    log = folder / "said.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -Sc "$(ulimit -Hc)"; exec "$0" "$@"', *HUB, *command],
            env={**os.environ, "HUB_DISK_WATERMARK_BYTES": "0", **env},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + _PATIENCE
        while "Rathaus-Hub: hub" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield process, next(line for line in log.read_text().splitlines() if "Rathaus-Hub: hub" in line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=_PATIENCE)


def core_limits(pid: int) -> list[str]:
    """Return the limits of the size of a core dump, soft and hard."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    return core.split()[4:6]


@pytest.mark.parametrize("command", ["work", "run"])
def test_what_works_and_the_demo_leave_no_core_dump_and_say_what_they_are(data: Path, command: str) -> None:
    options = [command, "--data", str(data), *(["--port", str(free_port())] if command == "run" else [])]
    with said_at_the_start(options, data.parent) as (process, line):
        assert core_limits(process.pid) == ["0", "0"]
    assert f"hub {command}, version {__version__}" in line
    assert "sqlite:///" in line


def test_the_connector_says_what_it_is_and_leaves_no_core_dump(
    tmp_path: Path,
    rsa_pair: tuple[dict[str, str], dict[str, str]],
    signature_pair: tuple[dict[str, str], dict[str, str]],
) -> None:
    for name, content in {"d": json.dumps(rsa_pair[1]), "s": json.dumps(signature_pair[1]), "secret": "x" * 32}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "in").mkdir()
    hub = f"http://127.0.0.1:{free_port()}"
    config = tmp_path / "connector.toml"
    config.write_text(
        f"""mode = "collect"
journal = "journal.sqlite3"
[hub]
base_url = "{hub}"
token_url = "{hub}/token"
client_id = "town"
client_secret_file = "secret"
[[destinations]]
destination_id = "{uuid4()}"
decryption_key_files = ["d"]
signing_key_file = "s"
[handover]
kind = "folder"
path = "in"
"""
    )
    with said_at_the_start(["connector", "run", "--config", str(config)], tmp_path) as (process, line):
        assert core_limits(process.pid) == ["0", "0"]
    assert " INFO hub.start: " in line
    assert f"hub connector, version {__version__}, Modus / mode collect" in line
    assert f"address of the hub {hub}" in line
    assert f"hand-over {tmp_path / 'in'}" in line
    assert "x" * 32 not in line


def test_no_process_of_the_hub_leaves_a_core_dump_and_the_start_is_told(data: Path) -> None:
    with serving(data) as (process, port, log):
        assert core_limits(process.pid) == ["0", "0"]
        said = log.read_text()
    assert f"127.0.0.1:{port}" in said
    assert "development" in said
    assert "nothing here is for real applications" in said
    assert "sqlite:///" in said
    assert "routing table" in said
    assert f"Tabellen / tables {head_revision()}" in said
    assert "Adapter / adapters as4 fit_connect folder https mailbox" in said


def test_every_line_of_the_start_is_json_where_the_log_is(data: Path) -> None:
    with serving(data, HUB_LOG_FORMAT="json") as (_, _, log):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("Rathaus-Hub" in line["message"] for line in lines)
    assert any("No mail server" in line["message"] for line in lines)


@pytest.mark.parametrize("kept", ["all", "no files"])
def test_production_refuses_what_the_demo_made_by_name(data: Path, kept: str) -> None:
    if kept == "no files":
        (data / "demo.json").unlink()
        shutil.rmtree(data / "demo")
    shutil.rmtree(data / "pki" / "development-ca")
    ended = ran(data, "serve", "--port", str(free_port()), **_PRODUCTION)
    assert ended.returncode == 1
    assert "demo" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_said_in_words_of_ours(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = ran(data, "serve", "--port", str(port))
    assert ended.returncode == 3
    assert f"port {port}" in ended.stderr
    assert "Errno" not in ended.stderr


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    for secret in ("very-secret", "p%40ss%2Fword", "127.0.0.1"):
        store = Store(f"postgresql://hub:{secret}@127.0.0.1:{port}/hub?sslpassword=hidden")
        with pytest.raises(StoreUnavailable) as caught:
            store.migrate()
        store.close()
        said = caught.value.detail.en
        assert f"postgresql+psycopg://hub:***@127.0.0.1:{port}/hub" in said
        assert "hidden" not in said
        assert secret not in said or secret == "127.0.0.1"


@pytest.mark.parametrize(
    "url", ["hub:very-secret@host/db", "postgresql://hub:very-secret@host:port/hub", "mysql://u:very-secret@h/d"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Store(url)
    assert "very-secret" not in str(caught.value.detail)
    assert "postgresql://USER" in caught.value.detail.en


def test_a_fresh_production_hub_has_no_rules_of_others_and_serves(tmp_path: Path) -> None:
    with serving(tmp_path / "data", **_PRODUCTION) as (_, port, log):
        url = f"http://127.0.0.1:{port}"
        assert requests.get(f"{url}/health/ready", timeout=30).status_code == 200
        where = {"ars": "064390015015", "leikaKey": "99012008001000"}
        assert requests.get(f"{url}/v2/routes", params=where, timeout=30).json()["totalCount"] == 0
        assert "Taunusstein" in requests.get(f"{url}/hub/v1/areas", params={"q": "Taunusstein"}, timeout=30).text
        assert "keine / none" in log.read_text()
