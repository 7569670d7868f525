"""Connections to the municipal side that would hold up the deliveries of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw_http import PATIENCE, Reply, Wire
from stage import NOW
from taken_pushes import envelope, listener, signed

from hub.connector.demo_system import SpecialistSystem
from hub.connector.listener import ListenerBounds

SHORT = ListenerBounds(head_seconds=1.0, pause=1.0, body_seconds=2.0, body_rate=1_000_000)
FLOOD = 4 * 1024 * 1024
HEAD = b"POST /deliveries HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A listener that is quick to lose patience."""
    listening = listener(tmp_path_factory.mktemp("connector"), SHORT)
    yield listening.port
    listening.close()


@pytest.fixture(scope="module")
def specialist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The demonstration's specialist system."""
    system = SpecialistSystem(port=0, folder=tmp_path_factory.mktemp("cases"), secret=None, now=lambda: NOW)
    yield system.port
    system.close()


def pushed(port: int, body: bytes, *lines: bytes) -> Reply:
    with Wire(port) as wire:
        wire.send(HEAD, signed(body), *lines, b"Content-Length: %d\r\n\r\n" % len(body), body)
        return wire.reply()


@pytest.mark.parametrize("dripping", [4, 12])
def test_connections_that_drip_do_not_keep_a_delivery_out(tmp_path: Path, dripping: int):
    """Neither a few, as many as there once were places, nor more than an address may have."""
    bounds = ListenerBounds(connections=16, connections_of_one=8)
    listening = listener(tmp_path, bounds)
    with ExitStack() as open_ones:
        for number in range(dripping):
            wire = open_ones.enter_context(Wire(listening.port))
            wire.send(HEAD + b"Content-Length: 2000000\r\n\r\n{" if number % 2 else HEAD)
        assert [pushed(listening.port, envelope(size)).status for size in (0, 1_000_000, 0)] == [202] * 3
    listening.close()


def test_an_address_that_floods_leaves_room_for_another(tmp_path: Path):
    listening = listener(tmp_path, ListenerBounds(connections=8, connections_of_one=4))
    with ExitStack() as open_ones:
        for _ in range(20):
            open_ones.enter_context(Wire(listening.port, "127.0.0.2")).send(HEAD)
        with Wire(listening.port) as wire:
            body = envelope(500_000)
            wire.send(HEAD, signed(body), b"Content-Length: %d\r\n\r\n" % len(body))
            for _ in range(10):
                open_ones.enter_context(Wire(listening.port, "127.0.0.2")).send(HEAD)
            wire.send(body)
            assert wire.reply().status == 202
    listening.close()


@pytest.mark.parametrize(
    ("said", "dripped"),
    [
        (b"", b""),
        (b"POST /deli", b""),
        (HEAD, b""),
        (b"POST /", b"a"),
        (HEAD + b"X: ", b"a"),
        (HEAD, b"X: 1\r\n"),
        (HEAD + b"Content-Length: 9999\r\n\r\n", b""),
        (HEAD + b"Content-Length: 9999\r\n\r\n", b"{"),
        (CHUNKED, b""),
        (CHUNKED, b"1\r\n{\r\n"),
        (CHUNKED + b"1;", b"a"),
        (CHUNKED + b"0\r\n", b"X: 1\r\n"),
    ],
)
def test_what_does_not_come_ends_the_connection(quick: int, said: bytes, dripped: bytes):
    with Wire(quick) as wire:
        wire.send(said)
        assert wire.drip(dripped) < PATIENCE


@pytest.mark.parametrize(
    "attack",
    [
        b"GET /" + b"a" * FLOOD,
        HEAD + b"X-Long: " + b"a" * FLOOD,
        HEAD + b"X: 1\r\n" * (FLOOD // 6),
        CHUNKED + b"1;" + b"a" * FLOOD,
        CHUNKED + b"0\r\n" + b"X: 1\r\n" * (FLOOD // 6),
        CHUNKED + b"0" * FLOOD,
        CHUNKED + b"ffffffff\r\n",
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
    ],
    ids=["line", "field", "fields", "extension", "trailers", "chunk size", "a huge chunk", "a huge length"],
)
def test_what_is_too_large_is_refused_and_ends_the_connection(quick: int, attack: bytes):
    with Wire(quick) as wire:
        assert wire.send(attack) <= len(attack)
        said = wire.rest()
    assert not said or int(said.split()[1]) in {400, 413, 414, 431}
    assert pushed(quick, envelope()).status == 202


@pytest.mark.parametrize(
    "framing",
    [
        b"",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
    ],
)
def test_a_body_of_which_nobody_can_tell_the_length_is_refused(quick: int, framing: bytes):
    with Wire(quick) as wire:
        wire.send(HEAD + framing + b"\r\n2\r\n{}\r\n0\r\n\r\n")
        assert wire.reply().status == 400
        wire.rest()


# --- offers of another protocol --------------------------------------------------------------------------------------------


OFFERS = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("size", [0, 1_000_000])
def test_the_body_of_a_delivery_that_offers_an_upgrade_arrives(quick: int, offer: bytes, size: int):
    body = envelope(size)
    assert pushed(quick, body, offer).status == 202
    with Wire(quick) as wire:
        wire.send(HEAD, signed(body), offer, b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b"%x;a=b\r\n%b\r\n%x\r\n%b\r\n" % (9, body[:9], len(body) - 9, body[9:]), b"0\r\nX: 1\r\n\r\n")
        assert wire.reply().status == 202
        wire.send(HEAD, signed(body), b"Content-Length: %d\r\n\r\n" % len(body), body)
        assert wire.reply().status == 202


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("chunked", [False, True])
def test_the_demo_s_specialist_system_passes_over_the_offer_as_well(specialist: int, offer: bytes, *, chunked: bool):
    part = b'--b\r\nContent-Disposition: form-data; name="antrag"; filename="antrag.json"\r\n\r\n{}\r\n--b--\r\n'
    head = b"POST /cases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    key = b"Idempotency-Key: ce75a6b8-d72f-4b94-b09e-af6be35bc2ae\r\n"
    with Wire(specialist) as wire:
        if chunked:
            wire.send(
                head + key + offer + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(part), part)
            )
        else:
            wire.send(head + key + offer + b"Content-Length: %d\r\n\r\n" % len(part), part)
        assert wire.reply().status in {200, 201}
