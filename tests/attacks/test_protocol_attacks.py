"""Request heads and framing made to take up memory, time or connections before anybody has looked at them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_http import PATIENCE, Wire, listening
from stand_in import edge_app

from hub.api.guards import RequestLimits
from hub.web.protocol import ConnectionBounds

HEAD = b"GET /v1/info HTTP/1.1\r\nHost: hub\r\n"
WHOLE = HEAD + b"\r\n"
POST = b"POST /hub/v1/notes HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
NOTE = b'{"text": "a"}'
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024
#: More than the socket buffers of both sides hold: whoever sends as much has been read.
FLOOD = 4 * MIB


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that is quick to lose patience."""
    limits = RequestLimits(pause=1.0, body_seconds=2.0, body_rate=1_000_000)
    app = edge_app(Path(tmp_path_factory.mktemp("edge")), limits=limits)
    with listening(app, ConnectionBounds(head_seconds=1.0, connections=24)) as port:
        yield port


def answers(port: int) -> bool:
    with Wire(port) as wire:
        wire.send(WHOLE)
        return wire.reply().status == 200


# --- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "status"),
    [
        (b"GET /" + b"a" * FLOOD + b" HTTP/1.1\r\nHost: hub\r\n\r\n", 414),
        (b"GET /v1/info?" + b"a" * FLOOD, 414),
        (HEAD + b"X-Long: " + b"a" * FLOOD + b"\r\n\r\n", 431),
        (HEAD + b"X-" + b"a" * FLOOD + b": 1\r\n\r\n", 431),
        (HEAD + b"Cookie: a=b\r\n" * (FLOOD // 13) + b"\r\n", 431),
        (HEAD + b"X: " + b" " * FLOOD, 431),
        (b"\r\n" * (FLOOD // 2), 431),
        (WHOLE + HEAD + b"X-Long: " + b"a" * FLOOD, 431),
    ],
    ids=[
        "long line",
        "long query",
        "long value",
        "long name",
        "many fields",
        "blanks",
        "empty lines",
        "second request",
    ],
)
def test_a_head_without_end_is_refused_before_it_is_gathered(port: int, attack: bytes, status: int):
    with Wire(port) as wire:
        wire.send(attack)
        reply = wire.reply()
        if reply.status == 200:
            reply = wire.reply()
        assert (reply.status, reply.fields["connection"]) == (status, "close")
        assert reply.fields["content-type"] == "application/problem+json"
        assert {"detailDe", "detailEn"} <= reply.json.keys()
        assert wire.rest() == b""
    assert answers(port)


def test_a_head_at_the_bound_that_comes_in_small_pieces_is_still_counted(port: int):
    with Wire(port) as wire:
        wire.send(HEAD, b"X-Long: ", *[b"a" * 999] * 70)
        assert wire.reply().status == 431


@pytest.mark.parametrize(
    "attack",
    [
        CHUNKED + b"d;" + b"a" * FLOOD,
        CHUNKED + b"1;" + b"a=b" * 20_000 + b"\r\n{\r\n" + (b"1;" + b"a" * 5_000 + b"\r\n \r\n") * 400,
        CHUNKED + b"d\r\n" + NOTE + b"\r\n0\r\nX-Trailer: " + b"a" * FLOOD,
        CHUNKED + b"d\r\n" + NOTE + b"\r\n0\r\n" + b"X-Trailer: a\r\n" * (FLOOD // 14),
        CHUNKED + b"0" * FLOOD,
    ],
    ids=["an extension", "many extensions", "a trailer", "many trailers", "a chunk's size"],
)
def test_what_stands_around_chunks_is_bounded(port: int, attack: bytes):
    with Wire(port) as wire:
        wire.send(attack)
        assert wire.reply().status in {400, 431}
        wire.rest()
    assert answers(port)


def test_a_body_in_chunks_of_one_byte_is_taken(port: int):
    body = b'{"text":' + b" " * 60_000 + b'"a"}'
    with Wire(port) as wire:
        wire.send(CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in body), b"0\r\n\r\n")
        assert wire.reply().json["arguments"] == {"body": {"text": "a"}}


def test_trailers_are_no_header_fields(port: int):
    with Wire(port) as wire:
        # In one piece, so that the trailer is there before the application looks at the header section.
        wire.send(CHUNKED + b"d\r\n" + NOTE + b"\r\n0\r\nContent-Type: text/plain\r\nAuthorization: Bearer x\r\n\r\n")
        assert wire.reply().status == 200


# --- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "dripped"),
    [
        (b"", b""),
        (b"GET /v1/in", b""),
        (HEAD, b""),
        (HEAD + b"X-Half: ", b""),
        (WHOLE, b""),
        (WHOLE + HEAD, b""),
        (b"", b"\r\n"),
        (b"GET /", b"a"),
        (HEAD + b"X-Half: ", b"a"),
        (HEAD, b"X: 1\r\n"),
        (WHOLE + HEAD, b"X: 1\r\n"),
    ],
    ids=[
        *("nothing", "half a line", "half a head", "half a field", "nothing more", "half a second head"),
        *("empty lines", "a dripping line", "a dripping field", "dripping fields", "a dripping second head"),
    ],
)
def test_a_head_that_does_not_come_ends_the_connection(port: int, said: bytes, dripped: bytes):
    with Wire(port) as wire:
        wire.send(said)
        assert wire.drip(dripped) < PATIENCE


def test_a_head_that_began_is_told_408(port: int):
    with Wire(port) as wire:
        wire.send(HEAD)
        reply = wire.reply()
        assert (reply.status, reply.slug, reply.fields["connection"]) == (408, "request-timeout", "close")


@pytest.mark.parametrize(
    ("said", "dripped"),
    [
        (POST + b"Content-Length: 9999\r\n\r\n", b""),
        (POST + b"Content-Length: 9999\r\n\r\n{", b" "),
        (CHUNKED, b""),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"1;", b"a"),
        (CHUNKED + b"d\r\n" + NOTE + b"\r\n0\r\nX: ", b"a"),
    ],
    ids=["no body", "a dripping body", "no chunk", "dripping chunks", "a dripping extension", "a dripping trailer"],
)
def test_a_body_that_does_not_come_is_told_408_and_ends_the_connection(port: int, said: bytes, dripped: bytes):
    with Wire(port) as wire:
        wire.send(said)
        assert wire.drip(dripped) < PATIENCE
        assert wire.reply().status == 408


def test_a_body_that_nobody_wants_ends_the_connection(port: int):
    with Wire(port) as wire:
        wire.send(
            b"POST /hub/v1/mine HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
        )
        assert wire.reply().status == 401
        assert wire.drip(b" ") < PATIENCE


def test_a_body_that_keeps_its_pace_may_take_longer_than_any_bound_on_time(tmp_path: Path):
    limits = RequestLimits(pause=1.0, body_seconds=1.0, body_rate=1_000)
    with listening(edge_app(tmp_path, limits=limits), ConnectionBounds(head_seconds=1.0)) as port, Wire(port) as wire:
        wire.send(b"PUT /v1/attachments/a HTTP/1.1\r\nHost: hub\r\nContent-Type: application/jose\r\n")
        wire.send(b"Content-Length: 300000\r\n\r\n")
        for _ in range(30):
            wire.send(b"a" * 10_000)
            time.sleep(0.1)
        assert wire.reply().json["size"] == 300_000


# --- connections and pipelining ------------------------------------------------------------------------------------------


def test_silent_connections_make_room_for_whoever_has_a_request(tmp_path: Path):
    with listening(edge_app(tmp_path), ConnectionBounds(connections=8)) as port:
        silent = [Wire(port) for _ in range(30)]
        for wire in silent:
            wire.send(HEAD)
        assert all(answers(port) for _ in range(5))
        for wire in silent:
            wire.__exit__()


def test_with_every_connection_at_work_a_further_one_is_told_to_come_back(tmp_path: Path):
    with listening(edge_app(tmp_path), ConnectionBounds(connections=4)) as port:
        working = [Wire(port) for _ in range(4)]
        for wire in working:
            wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
            assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
            wire.file.readline()
        with Wire(port) as further:
            further.send(WHOLE)
            reply = further.reply()
            assert (reply.status, reply.slug, reply.fields["connection"]) == (503, "overloaded", "close")
            assert int(reply.fields["retry-after"]) > 0
            assert further.rest() == b""
        for wire in working:
            wire.send(NOTE)
            assert wire.reply().status == 200
            wire.__exit__()
        assert answers(port)


def test_requests_that_are_sent_ahead_are_answered_in_order(port: int):
    with Wire(port) as wire:
        wire.send(b"".join(b"GET /v1/info?any=%d HTTP/1.1\r\nHost: hub\r\n\r\n" % number for number in range(10)))
        assert [wire.reply().status for _ in range(10)] == [200] * 10


def test_a_flood_of_requests_sent_ahead_is_cut_after_a_few(port: int):
    with Wire(port) as wire:
        wire.send(WHOLE * 5_000)
        said = wire.rest()
    assert 0 < said.count(b"HTTP/1.1 200 OK") <= 200
    assert said.count(b"HTTP/1.1 400 ") <= 1
    assert answers(port)


def test_a_refusal_never_overtakes_the_answers_before_it(port: int):
    with Wire(port) as wire:
        wire.send(POST + b"Content-Length: 13\r\n\r\n" + NOTE + b"NONSENSE\r\n\r\n")
        assert [wire.reply().status for _ in range(2)] == [200, 400]
        assert wire.rest() == b""


def test_a_broken_body_behind_another_request_does_not_spoil_its_answer(port: int):
    with Wire(port) as wire:
        wire.send(POST + b"Content-Length: 13\r\n\r\n" + NOTE + CHUNKED + b"zz\r\n")
        assert [wire.reply().status for _ in range(2)] == [200, 400]


# --- framing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coding",
    [
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 13\r\n",
        b"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 13\r\nContent-Length: 14\r\n",
        b"Transfer-Encoding:\r\n",
    ],
)
def test_framing_with_two_readings_is_refused_and_ends_the_connection(port: int, coding: bytes):
    with Wire(port) as wire:
        wire.send(POST + coding + b"\r\nd\r\n" + NOTE + b"\r\n0\r\n\r\n" + WHOLE)
        assert wire.reply().status == 400
        assert wire.rest() == b""


def test_chunks_in_http_1_0_are_refused(port: int):
    with Wire(port) as wire:
        wire.send(CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"d\r\n" + NOTE + b"\r\n0\r\n\r\n")
        assert wire.reply().status == 400
        assert wire.rest() == b""


@pytest.mark.parametrize(
    "attack",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(port: int, attack: bytes):
    with Wire(port) as wire:
        wire.send(attack)
        assert wire.reply().status == 400
        assert wire.rest() == b""


def test_many_slow_strangers_do_not_keep_a_client_waiting(port: int):
    """The event loop goes on between the pieces of every head that is refused."""
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            with Wire(port) as wire:
                wire.send(HEAD + b"X-Long: " + b"a" * MIB)

    flooding = [threading.Thread(target=flood) for _ in range(3)]
    for thread in flooding:
        thread.start()
    try:
        assert all(answers(port) for _ in range(20))
    finally:
        stop.set()
        for thread in flooding:
            thread.join()
