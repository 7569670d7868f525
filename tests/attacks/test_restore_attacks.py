"""A backup whose database is junk, with the right hash: nothing half restored is left, and the text says what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from hub.cli.main import main


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    folder = tmp_path / "backup"
    (folder / "pki").mkdir(parents=True)
    files = {"hub.sqlite": b"SQLite format 3\0" + b"junk" * 5000, "pki/keyring.json": b"{}"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = {
        "format": 1,
        "version": "0",
        "createdAt": "2026-11-20T12:00:00+00:00",
        "revision": "0001",
        "database": True,
        "blobs": True,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    from hub.administration.backup import MANIFEST

    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))
    return folder


@pytest.mark.parametrize("there", [True, False])
def test_a_junk_database_with_the_right_hash_leaves_nothing_half_restored(
    tmp_path: Path, backup: Path, there: bool
) -> None:
    data = tmp_path / "data"
    if there:
        data.mkdir()
    ended = CliRunner().invoke(main, ["restore", str(backup), "--data", str(data)])
    assert ended.exit_code == 1
    assert "database of the backup is damaged" in ended.output
    assert not data.exists() or list(data.iterdir()) == []
