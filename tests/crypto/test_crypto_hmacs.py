"""Callback authentication against the published vectors, and the fingerprint behind idempotency."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.crypto.hmacs import idempotency_mac, sign_callback, verify_callback
from hub.errors import Unauthenticated

VECTORS = Path(__file__).parents[2].parent / "shared" / "data" / "fit-connect" / "callback-hmac-vectors.json"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("timestamp", "body", "secret", "mac"),
    [
        (STAMP, b'{"a":2}', "s" * 32, None),
        (STAMP, b'{"a":1}', "t" * 32, None),
        (STAMP + 1, b'{"a":1}', "s" * 32, None),
        (STAMP, b'{"a":1}', "s" * 32, "0" * 128),
        (STAMP, b'{"a":1}', "s" * 32, ""),
        (STAMP, b'{"a":1}', "s" * 32, "ä" * 128),
    ],
)
def test_a_callback_that_is_not_genuine_is_refused(timestamp: int, body: bytes, secret: str, mac: str | None) -> None:
    honest = sign_callback("s" * 32, STAMP, b'{"a":1}')
    with pytest.raises(Unauthenticated):
        verify_callback(secret, timestamp, body, honest if mac is None else mac, now=NOW)


@pytest.mark.parametrize("age", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1)])
def test_a_callback_too_old_or_from_the_future_is_refused(age: timedelta) -> None:
    honest = sign_callback("s" * 32, STAMP, b"{}")
    with pytest.raises(Unauthenticated):
        verify_callback("s" * 32, STAMP, b"{}", honest, now=NOW + age)
    verify_callback("s" * 32, STAMP, b"{}", honest, now=NOW + age, tolerance=timedelta(hours=1))


def test_a_genuine_callback_passes_for_five_minutes() -> None:
    honest = sign_callback("s" * 32, STAMP, b"{}")
    verify_callback("s" * 32, STAMP, b"{}", honest, now=NOW + timedelta(minutes=5))
    with pytest.raises(Unauthenticated):
        verify_callback("s" * 32, STAMP, b"{}", honest, now=NOW + timedelta(minutes=5, seconds=1))


def test_callbacks_equal_the_published_vectors() -> None:
    if not VECTORS.exists():
        pytest.skip("the published vectors are not part of this clone")
    document = json.loads(VECTORS.read_text())
    assert len(document["vectors"]) == 2
    for vector in document["vectors"]:
        mac = sign_callback(document["secret"], document["timestamp"], vector["body"].encode())
        assert mac == vector["callback-authentication"]


@given(st.lists(st.binary(max_size=9), max_size=4), st.lists(st.binary(max_size=9), max_size=4))
def test_two_lists_of_parts_have_the_same_fingerprint_only_if_they_are_equal(a: list[bytes], b: list[bytes]) -> None:
    key = b"k" * 32
    assert (idempotency_mac(key, a) == idempotency_mac(key, b)) == (a == b)
    assert idempotency_mac(key, a) != idempotency_mac(b"l" * 32, a)
