"""The commands of the page on updates, done as they stand, on a hub that nobody serves."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from manual_reader import Reader, fences

from hub.api.deprecation import DEPRECATED

PAGE = "docs/upgrade.md"
PAGES = (PAGE,)


@pytest.mark.timeout(300)
def test_backup_check_and_the_way_there_and_back_are_done_as_the_page_says(made_once: Path, tmp_path: Path):
    data = Path(shutil.copytree(made_once, tmp_path / "data"))
    reader = Reader(
        folder=tmp_path / "reader",
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HUB_DISK_WATERMARK_BYTES": "0"},
        instead={"/var/lib/rathaus-hub": str(data), "/srv/": f"{tmp_path}/srv/"},
    )
    with reader:
        reader.read(PAGE)
    assert reader.done == fences(PAGE)
    commands = "".join(each.text for each in reader.done)
    assert all(f"hub {each}" in commands for each in ("backup", "restore-drill", "migrate --check", "migrate --to"))


def test_the_page_says_what_ends_as_the_program_does():
    text = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    for each in DEPRECATED.values():
        assert text.count(f"| {each.since:%Y-%m-%d} | {each.ends:%Y-%m-%d} |") == 2
