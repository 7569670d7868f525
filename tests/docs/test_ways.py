"""The ways into receiving systems, set as the manual says, on a hub that nobody serves."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from manual_reader import Fence, Reader, fences

PAGE = "docs/vorgaenge-empfangen.md"
SECTIONS = ("Die anderen Wege einstellen",)


def belonging() -> list[Fence]:
    """Return the fences that are done here."""
    return [each for each in fences(PAGE) if each.section in SECTIONS]


@pytest.mark.timeout(600)
def test_a_destination_gets_each_of_the_nine_ways_as_the_page_says(made_once: Path, tmp_path: Path):
    for tool in ("openssl", "ssh-keygen"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    reader = Reader(
        folder=tmp_path / "reader",
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HUB_DATA": str(data),
            "DESTINATION": "7e57c11e-27f4-4b0a-9c35-d2a1b7e06414",
        },
        instead={"/etc/rathaus-hub": f"{tmp_path}/etc", "/srv/": f"{tmp_path}/srv/"},
    )
    with reader:
        reader.read(PAGE, *SECTIONS)
    assert reader.done == belonging()
    ways = {each.text.split()[4] for each in reader.done if each.text.startswith("hub destinations adapter")}
    assert len(ways) == 8  # The SFTP server's key is made in front of the ninth.
