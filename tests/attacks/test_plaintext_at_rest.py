"""Promise 6: no plaintext at rest. A canary name travels through the plain door and must be found nowhere afterwards.

A search of files cannot see temporary files that are unlinked while open, so the system calls of a real hub process are
watched as well: it may open for writing only what lies in its data folder.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from processes import HubProcess
from stage import ANMELDEN, CANARY, SCHEMAS, WIESBADEN

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


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: system calls cannot be watched")
def test_no_plaintext_lies_in_database_blobs_temporary_files_or_logs(data, tmp_path):
    calls = tmp_path / "calls"
    wrapper = (STRACE, "-f", "-qq", "-s", "300", "-e", "trace=open,openat,creat,memfd_create", "-o", str(calls))
    with HubProcess(data, wrapper=wrapper, TMPDIR=str(tmp_path / "hub")) as hub:
        mark = len(calls.read_text(errors="replace"))
        answers = submit_all(hub)
        during = calls.read_text(errors="replace")[mark:]
    assert answers == {"good": 202, "broken": 422, "malformed": 400, "whole body": 202}
    assert found_in(tmp_path / "hub") == []
    opened = [match.groups() for match in map(_OPENED.search, during.splitlines()) if match]
    written = {path for path, flags in opened if _WRITES.search(flags)}
    assert any("/blobs/" in path for path in written), "the watch saw nothing"
    outside = {path for path in written if not path.startswith((str(data), "/dev/null"))}
    assert outside == set()
    assert "O_TMPFILE" not in during
    assert "memfd_create" not in during


def test_logs_at_their_most_talkative_hold_no_plaintext(data, tmp_path):
    with HubProcess(data) as hub:
        submit_all(hub)
    assert hub.log.stat().st_size > 0
    assert found_in(tmp_path / "hub") == []
