"""Blobs: whole or not there, durable once named, never under a name that somebody else chose. In a folder and in a bucket."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.errors import NotFound, StoreUnavailable
from hub.model.submission import INLINE_LIMIT, Sealed
from hub.store import Blobs, LocalBlobs, SpillingSink

FUTURE = datetime.now(UTC) + timedelta(hours=1)
PAST = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def local(folder: Path) -> LocalBlobs:
    return LocalBlobs(folder)


@pytest.fixture(params=["local", "s3"])
def blobs(request: pytest.FixtureRequest) -> Blobs:
    """The same contract in each place."""
    if request.param == "local":
        return request.getfixturevalue("local")
    return request.getfixturevalue("bucket").blobs()


def _put(blobs: Blobs, content: bytes = b"ciphertext") -> str:
    with blobs.writer() as writer:
        writer.write(content)
        return writer.commit()


def _fail_midway(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"abc")
        raise RuntimeError


def _spill(sink: SpillingSink) -> None:
    sink.write(b"abc")
    sink.finish()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_uncommitted_blob_leaves_nothing(local, folder):
    writer = local.writer()
    writer.write(b"abc")
    writer.abort()
    writer.abort()
    with pytest.raises(RuntimeError):
        _fail_midway(local)
    assert _files(folder) == []


def test_nobody_sees_a_blob_before_it_is_committed(blobs):
    writer = blobs.writer()
    writer.write(b"abc")
    assert list(blobs.names(older_than=PAST)) == []
    name = writer.commit()
    assert b"".join(blobs.read(name)) == b"abc"


def test_a_finished_blob_takes_nothing_more(blobs):
    writer = blobs.writer()
    name = writer.commit()
    with pytest.raises(ValueError):
        writer.write(b"x")
    writer.abort()
    assert blobs.size(name) == 0


def test_an_unknown_blob_is_not_found(blobs):
    for use in (blobs.read, blobs.size):
        with pytest.raises(NotFound) as caught:
            use("0" * 32)
        assert caught.value.slug == "content-not-found"
    blobs.delete("0" * 32)


def test_a_deleted_blob_is_gone(local, folder):
    name = _put(local)
    local.delete(name)
    local.delete(name)
    with pytest.raises(NotFound):
        local.size(name)
    assert _files(folder) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(st.binary(max_size=200), max_size=8), chunk=st.integers(1, 300))
def test_whatever_goes_in_comes_out(blobs, pieces, chunk):
    with blobs.writer() as writer:
        for piece in pieces:
            writer.write(piece)
        name = writer.commit()
    read = list(blobs.read(name, chunk))
    assert b"".join(read) == b"".join(pieces)
    assert all(0 < len(piece) <= chunk for piece in read)
    assert blobs.size(name) == sum(map(len, pieces))


def test_a_blob_is_synced_before_it_gets_its_name_and_its_folder_after(local, monkeypatch):
    steps = []
    real = {name: getattr(os, name) for name in ("fdatasync", "rename", "fsync")}
    for name, call in real.items():
        monkeypatch.setattr(os, name, lambda *args, name=name, call=call: (steps.append(name), call(*args))[1])
    _put(local)
    assert steps.index("fdatasync") < steps.index("rename") < len(steps) - 1
    assert steps[-1] == "fsync"
    assert steps.count("fsync") == 3


def test_blobs_are_their_owners_alone(local, folder):
    _put(local)
    assert {path.stat().st_mode & 0o777 for path in _files(folder)} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o700}


def test_the_sweep_sees_old_blobs_and_clears_old_drafts(local, folder):
    names = {_put(local) for _ in range(5)}
    draft = local.writer()
    assert list(local.names(older_than=PAST)) == []
    assert len(_files(folder)) == 6
    assert set(local.names(older_than=FUTURE)) == names
    assert len(_files(folder)) == 5
    draft.abort()


def test_foreign_files_are_not_taken_for_blobs(local, folder):
    name = _put(local)
    (folder / name[:2] / name[2:4] / "notes.txt").write_text("x")
    (folder / "lost+found").mkdir()
    assert list(local.names(older_than=FUTURE)) == [name]


def test_free_space_is_told(blobs):
    assert blobs.free_bytes() > 0


def test_a_full_disk_is_unavailable_and_leaves_nothing(folder):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    local = LocalBlobs(folder)
    writer = local.writer()
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer.file)
    os.close(full)
    with pytest.raises(StoreUnavailable) as caught:
        writer.write(b"abc")
    assert "room" in caught.value.detail.en
    writer.abort()
    assert _files(folder) == []


def test_a_disk_that_fails_at_the_end_is_unavailable_and_leaves_nothing(local, folder, monkeypatch):
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    writer = local.writer()
    writer.write(b"abc")
    descriptor = writer.file
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(StoreUnavailable):
        writer.commit()
    writer.abort()
    assert _files(folder) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_large_blob_is_on_its_way_to_the_disk_before_it_is_complete(local, monkeypatch):
    advised, real = [], os.posix_fadvise
    monkeypatch.setattr(os, "posix_fadvise", lambda *args: (advised.append(args[1:3]), real(*args)))
    piece = os.urandom(3_000_000)
    with local.writer() as writer:
        for _ in range(8):
            writer.write(piece)
        name = writer.commit()
    assert [start for start, _ in advised] == [0, *(start + size for start, size in advised[:-1])]
    assert sum(size for _, size in advised) > 16_000_000
    assert b"".join(local.read(name)) == piece * 8


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable):
        LocalBlobs(tmp_path / "file" / "local")


# Spilling.


def test_a_small_content_stays_in_memory(local, folder):
    sink = SpillingSink(local)
    sink.write(b"a" * (INLINE_LIMIT - 1))
    sink.write(b"b")
    jwe, blob = sink.finish()
    assert (len(jwe), blob) == (INLINE_LIMIT, None)
    assert _files(folder) == []


def test_a_large_content_goes_to_a_blob_in_order(blobs):
    sink = SpillingSink(blobs, inline_limit=4)
    for piece in (b"ab", b"cd", b"ef", b"", b"ghi"):
        sink.write(piece)
    jwe, blob = sink.finish()
    assert jwe is None
    assert b"".join(blobs.read(blob)) == b"abcdefghi"


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_content_that_a_failing_disk_broke_leaves_nothing(local, folder, monkeypatch, call):
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "I/O error")

    sink = SpillingSink(local, inline_limit=1)
    monkeypatch.setattr(os, call, broken)
    with pytest.raises(StoreUnavailable):
        _spill(sink)
    monkeypatch.undo()
    assert _files(folder) == []


def test_an_aborted_content_leaves_nothing(local, folder):
    sink = SpillingSink(local, inline_limit=1)
    sink.write(b"abc")
    sink.abort()
    SpillingSink(local).abort()
    assert _files(folder) == []


def test_a_sealed_content_is_read_wherever_it_lies(blobs):
    name = _put(blobs, b"xyz")
    in_row = Sealed(tag="t", sha512="0", size=3, jwe=b"abc")
    in_blob = Sealed(tag="t", sha512="0", size=3, blob=name)
    assert b"".join(blobs.chunks(in_row)) == b"abc"
    assert b"".join(blobs.chunks(in_blob)) == b"xyz"
