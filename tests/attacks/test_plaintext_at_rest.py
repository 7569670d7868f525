"""Promise 6: no plaintext at rest. A canary name travels through the plain door and must be found nowhere afterwards.

A search of files cannot see temporary files that are unlinked while open, so the system calls of a real hub process are
watched as well: it may open for writing only what lies in its data folder.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from processes import HubProcess, wait_for
from stage import ANMELDEN, CANARY, SCHEMAS, WIESBADEN

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))

from mail_server import MailServer

from hub import app
from hub.adapter_kit.cases import SECRET, Workshop
from hub.config import load_settings
from hub.model import EVERYTHING

ANMELDUNG = (SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_text(encoding="utf-8")
WHERE = {"service": ANMELDEN, "ars": WIESBADEN}
STRACE = shutil.which("strace")
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE")
_OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, |\d+, )?"([^"]+)", ([A-Z_|0-9]+)')


def disguises(word: str) -> dict[str, bytes]:
    """The canary as it might lie around: in other encodings, and in base64 at each of its three alignments."""
    plain = word.encode()
    found = {"UTF-8": plain, "UTF-16": word.encode("utf-16-le"), "hex": plain.hex().encode()}
    for shift in range(3):
        found[f"base64, shift {shift}"] = base64.b64encode(bytes(shift) + plain)[4:-4]
    return found


def with_canary() -> str:
    name = re.search(r'"familienname": "([^"]+)"', ANMELDUNG)
    assert name is not None
    return ANMELDUNG.replace(name.group(1), CANARY)


def submit_all(hub: HubProcess) -> dict[str, int]:
    """Send good, broken and malformed applications, each with the canary in data, metadata, file name and attachment."""
    session, url = hub.sender(), f"{hub.base_url}/hub/v1/applications"
    large = (f"{CANARY} " * 100_000).encode()
    answers = {}
    for name, data in {
        "good": with_canary(),
        "broken": with_canary().replace('"einzug"', '"eingang"'),
        "malformed": with_canary()[:-3],
    }.items():
        parts = {
            "nachweis": (f"{CANARY}.pdf", large, "application/pdf"),
            "data": ("antrag.json", data.encode(), "application/json"),
            "metadata": (
                "m.json",
                json.dumps({"attachments": {"nachweis": {"description": CANARY}}}),
                "application/json",
            ),
        }
        answer = session.post(url, params=WHERE, files=parts, timeout=60)
        answers[name] = answer.status_code
        assert CANARY not in answer.text
    head = {"Content-Type": "application/json"}
    answers["whole body"] = session.post(
        url, params=WHERE, data=with_canary().encode(), headers=head, timeout=60
    ).status_code
    return answers


def found_in(folder: Path) -> list[str]:
    """Return where the canary lies, in any disguise."""
    seen = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            seen += [f"{path.name}: {name}" for name, form in disguises(CANARY).items() if form in content]
    return seen


@pytest.fixture
def data(made_once, tmp_path):
    folder = tmp_path / "hub" / "data"
    shutil.copytree(made_once, folder)
    return folder


def test_the_search_finds_what_it_looks_for(tmp_path):
    for number, form in enumerate(disguises(CANARY).values()):
        (tmp_path / str(number)).write_bytes(b"x" + form + b"y")
    assert len(found_in(tmp_path)) >= len(disguises(CANARY))


def watched(calls: Path, folder: Path) -> dict:
    """How to start a hub whose system calls are written down."""
    trace = (STRACE, "-f", "-qq", "-s", "300", "-e", "trace=open,openat,creat,memfd_create", "-o", str(calls))
    # What is loaded at first use would be compiled into the interpreter's cache, which holds code and no contents.
    return {"wrapper": trace, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def nothing_left(calls: str, data: Path, folder: Path) -> None:
    """Fail unless only the data folder was written to, and the canary is nowhere."""
    assert found_in(folder) == []
    opened = [match.groups() for match in map(_OPENED.search, calls.splitlines()) if match]
    written = {path for path, flags in opened if _WRITES.search(flags)}
    assert any("/blobs/" in path for path in written), "the watch saw nothing"
    outside = {path for path in written if not path.startswith((str(data), "/dev/null"))}
    assert outside == set()
    assert "O_TMPFILE" not in calls
    assert "memfd_create" not in calls


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: system calls cannot be watched")
def test_no_plaintext_lies_in_database_blobs_temporary_files_or_logs(data, tmp_path):
    calls = tmp_path / "calls"
    with HubProcess(data, **watched(calls, tmp_path / "hub")) as hub:
        mark = len(calls.read_text(errors="replace"))
        answers = submit_all(hub)
        during = calls.read_text(errors="replace")[mark:]
    assert answers == {"good": 202, "broken": 422, "malformed": 400, "whole body": 202}
    nothing_left(during, data, tmp_path / "hub")


def let_mail(data: Path, workshop: Workshop, port: int) -> None:
    """Have what goes to Wiesbaden sealed as CMS and mailed."""
    hub = app.build(load_settings(data, {}))
    place = next(
        each for each in hub.store.parties.destinations(scope=EVERYTHING).items if each.name.endswith("Wiesbaden")
    )
    config = {
        "host": "127.0.0.1",
        "port": port,
        "user": "hub",
        "password_file": str(workshop.secret_file),
        "ca_file": str(workshop.ca_file),
        "sender": "hub@example.org",
        "recipient": "buergerbuero@example.org",
        "allow_private_addresses": True,
    }
    hub.store.parties.replace_destination(replace(place, adapter="smime_mail", adapter_config=config))
    hub.close()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: system calls cannot be watched")
def test_no_plaintext_of_what_is_sealed_as_cms_lies_anywhere_or_leaves_unsealed(data, tmp_path):
    """The sealer holds a whole attachment in memory; neither that nor the mail made of it may touch a disk in the clear."""
    workshop = Workshop(tmp_path, now=datetime.now(UTC))
    calls = tmp_path / "calls"
    with MailServer(workshop.tls(), user="hub", password=SECRET) as mails:
        let_mail(data, workshop, mails.port)
        with HubProcess(data, **watched(calls, tmp_path / "hub")) as hub:
            mark = len(calls.read_text(errors="replace"))
            answers = submit_all(hub)
            wait_for(lambda: len(mails.mails) == 2, hub.log)
            during = calls.read_text(errors="replace")[mark:]
    assert answers == {"good": 202, "broken": 422, "malformed": 400, "whole body": 202}
    nothing_left(during, data, tmp_path / "hub")
    for mail in mails.mails:
        content = mail.original_content or mail.content
        assert b"application/pkcs7-mime" in content
        assert [name for name, form in disguises(CANARY).items() if form in content.replace(b"\r\n", b"")] == []


def test_logs_at_their_most_talkative_hold_no_plaintext(data, tmp_path):
    with HubProcess(data) as hub:
        submit_all(hub)
    assert hub.log.stat().st_size > 0
    assert found_in(tmp_path / "hub") == []
