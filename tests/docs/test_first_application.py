"""The first application and its proof, word for word as the manual says, on a demo hub in a process of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from end_to_end.processes import free_port
from manual_reader import Reader, fences

PAGES = ("docs/erster-antrag.md", "docs/nachweis.md")


@pytest.mark.timeout(600)
def test_a_reader_sends_an_application_and_proves_it_with_other_peoples_tools(tmp_path: Path):
    for tool in ("curl", "jq", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
    port = free_port()
    address = f"127.0.0.1:{port}"
    reader = Reader(
        folder=tmp_path / "reader",
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HUB_PORT": str(port),
            "HUB_DISK_WATERMARK_BYTES": "0",
        },
        instead={"127.0.0.1:8080": address},
    )
    with reader:
        for page in PAGES:
            reader.read(page)
    assert reader.done == [each for page in PAGES for each in fences(page)]
