"""What is particular to blobs in a bucket: parts, abandoned uploads, a server that is gone. The contract is in test_blobs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from hub import app
from hub.config import load_settings
from hub.errors import ConfigurationError, StoreUnavailable
from hub.store import LocalBlobs

FUTURE = datetime.now(UTC) + timedelta(hours=1)
PAST = datetime.now(UTC) - timedelta(hours=1)
MEBIBYTE = 1024 * 1024


@pytest.fixture
def blobs(bucket):
    return bucket.blobs()


def _put(blobs, content: bytes = b"ciphertext") -> str:
    with blobs.writer() as writer:
        writer.write(content)
        return writer.commit()


def _fail_midway(blobs) -> None:
    with blobs.writer() as writer:
        for _ in range(20):
            writer.write(b"a" * MEBIBYTE)
        raise RuntimeError


def test_a_server_that_is_gone_is_unavailable(bucket):
    from dataclasses import replace

    nowhere = replace(bucket, endpoint="http://127.0.0.1:1").blobs()
    for use in (lambda: nowhere.size("0" * 32), lambda: list(nowhere.names(FUTURE)), lambda: _put(nowhere)):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert "test-secret" not in repr(caught.value)


def test_a_bucket_that_is_not_there_is_never_a_success(bucket):
    from dataclasses import replace

    with pytest.raises(StoreUnavailable):
        _put(replace(bucket, url="s3://no-such-bucket").blobs())


@pytest.mark.parametrize(
    "url", ["s3://", "s3://ab", "s3://hub-blobs/../x", "s3://hub-blobs/", "http://x/y", "S3://abc"]
)
def test_an_impossible_place_stops_the_start(bucket, url):
    from dataclasses import replace

    with pytest.raises(ConfigurationError):
        replace(bucket, url=url).blobs()


def test_credentials_come_from_files_that_must_be_there(bucket, tmp_path):
    settings = bucket.settings(tmp_path) | {"blobs_secret_file": str(tmp_path / "missing")}
    with pytest.raises(ConfigurationError):
        app.open_blobs(load_settings(tmp_path, {}, **settings))


def test_production_insists_on_https(tmp_path):
    strict = {"environment": "production", "base_url": "https://hub.example.org"}
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {}, blobs="s3://hub-blobs", blobs_endpoint="http://s3.example.org", **strict)


def test_an_abandoned_upload_leaves_neither_object_nor_parts(blobs, bucket):
    with pytest.raises(RuntimeError):
        _fail_midway(blobs)
    small = blobs.writer()
    small.write(b"abc")
    small.abort()
    small.abort()
    assert (bucket.objects(), bucket.unfinished()) == ([], [])


def test_a_deleted_blob_is_gone(blobs, bucket):
    name = _put(blobs)
    assert bucket.objects() == [f"contents/{name}"]
    blobs.delete(name)
    blobs.delete(name)
    assert bucket.objects() == []


def test_many_parts_come_back_in_order(blobs):
    expected, got, sizes = hashlib.sha512(), hashlib.sha512(), set()
    with blobs.writer() as writer:
        for number in range(40):
            piece = bytes([number]) * (MEBIBYTE + number)
            expected.update(piece)
            writer.write(piece)
        name = writer.commit()
    for piece in blobs.read(name, 100_000):
        got.update(piece)
        sizes.add(len(piece))
    assert got.digest() == expected.digest()
    assert max(sizes) <= 100_000
    assert blobs.size(name) == sum(MEBIBYTE + number for number in range(40))


def test_the_sweep_sees_old_blobs_and_no_foreign_objects(blobs, bucket):
    names = {_put(blobs) for _ in range(3)}
    bucket.client.put_object(Bucket="hub-blobs", Key="contents/notes.txt", Body=b"x")
    bucket.client.put_object(Bucket="hub-blobs", Key="elsewhere/" + "0" * 32, Body=b"x")
    assert set(blobs.names(older_than=FUTURE)) == names
    assert list(blobs.names(older_than=PAST)) == []


def test_the_settings_choose_the_place(bucket, tmp_path):
    from hub.store.blobs.s3 import S3Blobs

    assert isinstance(app.open_blobs(load_settings(tmp_path, {})), LocalBlobs)
    blobs = app.open_blobs(load_settings(tmp_path, {}, **bucket.settings(tmp_path)))
    assert isinstance(blobs, S3Blobs)
    blobs.close()
