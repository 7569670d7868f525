"""Whoever gets at the hub's key files, or loses one, stops the hub; no sender is turned away for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import Served, Stage, VirtualClock

from hub import app
from hub.config import load_settings
from hub.crypto.keyring import HubKeys, KeyKind
from hub.errors import ConfigurationError

Harm = Callable[[Path, Path], None]


def _lose(path: Path, _: Path) -> None:
    path.unlink()


def _open_to_all(path: Path, _: Path) -> None:
    path.chmod(0o644)


def _open_to_the_group(path: Path, _: Path) -> None:
    path.chmod(0o640)


def _truncate(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def _swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def _swap_under_the_old_name(path: Path, other: Path) -> None:
    document = json.loads(other.read_bytes()) | {"kid": path.stem}
    path.write_bytes(json.dumps(document).encode())


HARMS = [_lose, _open_to_all, _open_to_the_group, _truncate, _empty, _swap, _swap_under_the_old_name]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keyring of another hub."""
    folder = tmp_path_factory.mktemp("foreign") / "pki"
    HubKeys.load_or_create(folder, now=VirtualClock()(), create=True)
    return folder


def _file(folder: Path, kind: KeyKind) -> Path:
    (found,) = folder.glob(f"hub-{kind}-*.json")
    return found


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_key_file_that_is_not_as_it_must_be_stops_the_start_and_is_named(
    made_once: Path, foreign: Path, tmp_path: Path, kind: KeyKind, harm: Harm
) -> None:
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    path = _file(data / "pki", kind)
    harm(path, _file(foreign, kind))
    with pytest.raises(ConfigurationError, match=path.name):
        app.build(load_settings(data, {}, disk_watermark_bytes=0), clock=VirtualClock())


@pytest.mark.parametrize("command", ["serve", "work"])
def test_the_server_commands_say_which_file_and_leave_with_exit_code_1(
    made_once: Path, tmp_path: Path, command: str
) -> None:
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    path = _file(data / "pki", KeyKind.RECEIPT)
    path.unlink()
    ended = subprocess.run(
        [sys.executable, "-m", "hub.cli", command, "--data", str(data)],
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
    )
    assert ended.returncode == 1
    assert path.name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_commands_that_look_and_mend_still_work_without_a_key(made_once: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    _file(data / "pki", KeyKind.RECEIPT).unlink()
    hub = app.build(load_settings(data, {}, disk_watermark_bytes=0), clock=VirtualClock(), serves=False)
    with pytest.raises(ConfigurationError):
        hub.keys.require()
    hub.keys.rotate("receipt", VirtualClock()())
    hub.keys.require()
    hub.close()


def _eventually(answer: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Ask until it holds; key files are looked at once a second."""
    until = time.monotonic() + 20
    while not holds(found := answer()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _token(served: Served) -> Any:
    login = {"grant_type": "client_credentials", **served.stage.cast["sender"]}
    return served.session.post(f"{served.base_url}/token", data=login, timeout=30)


#: What each key is needed for, as a sender asks for it.
NEEDED: dict[KeyKind, Callable[[Served], Any]] = {
    KeyKind.SIGNING: _token,
    KeyKind.RECEIPT: lambda served: served.submit(),
    KeyKind.IDEMPOTENCY: lambda served: served.submit(headers={"Idempotency-Key": "a-key-of-this-test"}),
    KeyKind.SECRETS: lambda served: served.submit(
        headers={"Callback-Url": "https://example.org/done", "Callback-Secret": "s" * 40}
    ),
    KeyKind.PORTAL: lambda served: served.get(
        "/v2/routes", params={"ars": "064390015015", "leikaKey": "99012008001000"}
    ),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", list(KeyKind))
def test_while_serving_it_is_an_outage_and_never_the_senders_fault_and_heals_by_itself(
    served: Served, foreign: Path, tmp_path: Path, kind: KeyKind, harm: Harm
) -> None:
    path = _file(served.stage.data / "pki", kind)
    kept = Path(shutil.copy2(path, tmp_path / "kept"))
    need = NEEDED[kind]
    assert need(served).status_code in {200, 202}
    harm(path, _file(foreign, kind))
    ready = _eventually(lambda: served.get("/health/ready"), lambda answer: answer.status_code == 503)
    assert ready.status_code == 503
    assert ready.json()["checks"]["keys"] is False
    assert path.name in ready.json()["faults"][0]["en"]
    refused = _eventually(lambda: need(served), lambda answer: answer.status_code == 503)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert path.name not in refused.text
    for ask in NEEDED.values():
        assert ask(served).status_code in {200, 202, 503}
    assert "hub_keys_usable 0.0" in served.get("/metrics").text
    assert "hub_configuration_faults_total 0.0" not in served.get("/metrics").text
    shutil.copy2(kept, path)
    assert _eventually(lambda: need(served).status_code, lambda status: status < 300) in {200, 202}
    assert served.get("/health/ready").status_code == 200


def test_a_pki_folder_that_others_may_write_to_stops_the_start(made_once: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    for mode in (0o777, 0o770, 0o722):
        (data / "pki").chmod(mode)
        with pytest.raises(ConfigurationError, match="pki"):
            app.build(load_settings(data, {}, disk_watermark_bytes=0), clock=VirtualClock())


def test_a_lost_list_of_keys_is_an_outage_too(served: Served, stage: Stage) -> None:
    index = stage.data / "pki" / "keyring.json"
    content = index.read_bytes()
    index.unlink()
    answer = _eventually(served.submit, lambda answer: answer.status_code != 202)
    assert answer.status_code == 503
    assert _token(served).status_code == 503
    assert _token(served).json()["error"] == "temporarily_unavailable"
    index.write_bytes(content)
    index.chmod(0o600)
    assert _eventually(lambda: served.submit().status_code, lambda status: status == 202) == 202


def _exchanged(document: Any, one: str, other: str) -> None:
    for entry in document["keys"]:
        entry["kind"] = {one: other, other: one}.get(entry["kind"], entry["kind"])


def _everywhere(document: Any, member: str, value: Any) -> None:
    for entry in document["keys"]:
        entry[member] = value


LISTS: list[Callable[[Any], None]] = [
    lambda document: _exchanged(document, "receipt", "signing"),
    lambda document: _exchanged(document, "receipt", "idempotency"),
    lambda document: _everywhere(document, "kid", "name\0"),
    lambda document: _everywhere(document, "kid", "../keyring"),
    lambda document: _everywhere(document, "kid", 5),
    lambda document: _everywhere(document, "public", "x"),
    lambda document: _everywhere(document, "public", [1]),
    lambda document: _everywhere(document, "public", None),
    lambda document: _everywhere(document, "public", {}),
    lambda document: _everywhere(document, "retired_at", 7),
]


@pytest.mark.parametrize("at", ["the start", "work"])
@pytest.mark.parametrize("harm", LISTS)
def test_a_list_of_keys_that_says_something_else_is_a_fault_of_the_hub(
    foreign: Path, tmp_path: Path, harm: Callable[[Any], None], at: str
) -> None:
    folder = Path(shutil.copytree(foreign, tmp_path / "pki"))
    ticks = [0.0]
    keys = HubKeys(folder, ticks=lambda: ticks[0])
    if at == "work":
        assert keys.receipt.kid
        assert len(keys.idempotency) == 32
    index = folder / "keyring.json"
    document = json.loads(index.read_bytes())
    harm(document)
    index.write_bytes(json.dumps(document).encode())
    ticks[0] += 5
    assert keys.faults()
    with pytest.raises(ConfigurationError):
        _ = keys.receipt
