"""Connections that are kept: one for many requests, never for two at once; nothing is sent twice, believed or held too long."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from hub.model.reasons import NOT_PUBLIC
from hub.transport import http
from hub.transport.connection import Deadlines, Line, Resolver
from hub.transport.http import Answer, Connections, Silence

YES = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
LARGE = b"x" * 20_000_000
PATIENCE = 20


class Server:
    """Listens on loopback; ``plays`` say what is done with each connection, the last one with all that follow."""

    def __init__(self, *plays: Callable[[Server, socket.socket], None]) -> None:
        self.plays = list(plays)
        self.dialled = 0
        self.requests: list[bytes] = []
        self.ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/in"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def heard(self, connection: socket.socket) -> bool:
        """Read one request; say whether it came whole."""
        read = b""
        while b"\r\n\r\n" not in read:
            if not (piece := connection.recv(65536)):
                return False
            read += piece
        head, _, body = read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        pieces = [body]
        while (length := length - len(pieces[-1])) > 0:
            pieces.append(connection.recv(1 << 20))
            if not pieces[-1]:
                return False
        self.requests.append(b"".join(pieces))
        return True

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number, self.dialled = self.dialled, self.dialled + 1
            play = self.plays[min(number, len(self.plays) - 1)]
            threading.Thread(target=self._serve, args=[play, connection, number], daemon=True).start()

    def _serve(self, play: Callable[[Server, socket.socket], None], connection: socket.socket, number: int) -> None:
        with closing(connection):
            connection.settimeout(PATIENCE)
            with suppress(OSError):
                play(self, connection)
        self.ended.put(number)


def answering(*answers: bytes) -> Callable[[Server, socket.socket], None]:
    """Answer one request after the other, the last answer again and again; an empty one hangs up instead."""

    def play(server: Server, connection: socket.socket) -> None:
        left = list(answers)
        while server.heard(connection):
            answer = left.pop(0) if len(left) > 1 else left[0]
            if not answer:
                return
            connection.sendall(answer)

    return play


@contextmanager
def served(*plays: Callable[[Server, socket.socket], None]) -> Iterator[tuple[Server, Connections]]:
    server = Server(*plays)
    connections = Connections(server.url)
    try:
        yield server, connections
    finally:
        connections.close()
        server.close()


def post(
    connections: Connections, body: bytes = b"{}", *, timeout: float = PATIENCE, resolver: Resolver | None = None
) -> Answer:
    more = {} if resolver is None else {"resolver": resolver}
    with Line(timeout=timeout, public_only=False, **more) as line:
        return connections.post(line, None, {}, body)  # type: ignore[arg-type]  # plain http takes no TLS


def broken(connections: Connections, body: bytes = b"{}", **more: float) -> Silence:
    with pytest.raises(Silence) as caught:
        post(connections, body, **more)
    return caught.value


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)


def test_one_connection_carries_many_requests_and_two_at_once_take_two():
    with served(answering(YES)) as (server, connections):
        assert [post(connections).status for _ in range(3)] == [202] * 3
        assert server.dialled == 1

    both = threading.Barrier(2)

    def together(server: Server, connection: socket.socket) -> None:
        while server.heard(connection):
            both.wait(PATIENCE)
            connection.sendall(YES)

    with served(together) as (server, connections):
        threads = [threading.Thread(target=post, args=[connections]) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert server.dialled == 2


def test_a_receiver_that_hung_up_meanwhile_is_dialled_anew_and_hears_each_request_once():
    def once(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(YES)

    with served(once) as (server, connections):
        for number in range(3):
            post(connections, b"%d" % number)
            server.ended.get(timeout=PATIENCE)
        assert server.requests == [b"0", b"1", b"2"]


def _deaf(server: Server, connection: socket.socket) -> None:
    """Answer once, then break off within the next request."""
    server.heard(connection)
    connection.sendall(YES)
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_what_broke_within_the_request_is_dialled_anew_once():
    with served(_deaf, answering(YES)) as (server, connections):
        post(connections)
        assert post(connections, LARGE).status == 202
        assert [len(body) for body in server.requests] == [2, len(LARGE)]

    def deaf_at_once(server: Server, connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with served(_deaf, deaf_at_once) as (server, connections):
        post(connections)
        assert not broken(connections, LARGE).sent
        assert server.dialled == 2


def test_what_went_out_whole_is_never_sent_again_without_a_word():
    with served(answering(YES, b"")) as (server, connections):
        post(connections)
        assert broken(connections, b"second").sent
        assert (server.requests, server.dialled) == ([b"{}", b"second"], 1)


def test_part_of_an_answer_is_no_reason_to_send_anew():
    def half(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(YES)
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 4")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        connection.close()

    with served(half, answering(YES)) as (server, connections):
        post(connections)
        assert not broken(connections, LARGE).sent
        assert server.dialled == 1


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece with it", "a moment later"])
def test_an_answer_that_is_slipped_in_behind_another_is_not_taken_for_the_next_one(apart):
    slipped, no = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"

    def slipping(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(YES if apart else YES + slipped)
        if apart:
            server.ended.get(timeout=PATIENCE)
            connection.sendall(slipped)
        answering(no)(server, connection)

    with served(slipping, answering(no)) as (server, connections):
        assert post(connections).status == 202
        if apart:
            (kept,) = connections.idle
            server.ended.put(0)
            until(lambda: not kept.quiet())
        assert post(connections).status == 422
        assert server.dialled == 2


ODD = {
    "two lengths": b"HTTP/1.1 202 A\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a length and chunks": b"HTTP/1.1 202 A\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 202 A\r\nContent-Length: +0\r\n\r\n",
    "another coding": b"HTTP/1.1 202 A\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an older version": b"HTTP/1.0 202 A\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "the wish to close": b"HTTP/1.1 202 A\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "no patience": b"HTTP/1.1 202 A\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n",
    "a longer body than is read": b"HTTP/1.1 202 A\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000,
    "a body that does not come": b"HTTP/1.1 202 A\r\nContent-Length: 9\r\n\r\nabc",
    "a body behind none": b"HTTP/1.1 204 N\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_answer_counts_and_its_connection_goes_where_its_end_is_in_doubt(answer):
    with served(answering(answer)) as (server, connections):
        began = time.monotonic()
        assert {post(connections).status for _ in range(2)} <= {202, 204}
        assert time.monotonic() - began < 10
        assert server.dialled == 2


def test_an_answer_with_a_body_keeps_its_connection():
    chunks = b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    length = b"HTTP/1.1 400 A\r\nContent-Length: 3\r\n\r\nabc"
    with served(answering(chunks, length, YES)) as (server, connections):
        assert [post(connections).status for _ in range(3)] == [202, 400, 202]
        assert server.dialled == 1


def test_a_body_that_drips_costs_its_connection_and_no_time():
    def dripping(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(b"HTTP/1.1 202 A\r\nContent-Length: 60000\r\n\r\n")
        while True:
            connection.sendall(b"a")
            time.sleep(0.02)

    with served(dripping) as (server, connections):
        began = time.monotonic()
        assert post(connections, timeout=PATIENCE).status == 202
        assert time.monotonic() - began < PATIENCE / 2
        assert post(connections, timeout=PATIENCE).status == 202
        assert server.dialled == 2


def test_each_request_on_a_kept_connection_has_a_deadline_of_its_own():
    """Hangs, drips and endless heads in the second answer end in time, and their connection is not used again."""

    def mute(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        connection.sendall(YES)
        server.heard(connection)
        connection.recv(1)

    def endless(piece: bytes, pause: float) -> Callable[[Server, socket.socket], None]:
        def play(server: Server, connection: socket.socket) -> None:
            server.heard(connection)
            connection.sendall(YES)
            server.heard(connection)
            while True:
                connection.sendall(piece)
                time.sleep(pause)

        return play

    for play in (mute, endless(b"H", 0.02), endless(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 60_000, 0.02)):
        with served(play, answering(YES)) as (server, connections):
            post(connections)
            began = time.monotonic()
            assert broken(connections, timeout=0.3).sent
            assert time.monotonic() - began < 10
            assert (post(connections).status, server.dialled) == (202, 2)


def test_the_first_requests_deadline_is_nothing_to_those_after_it():
    with served(answering(YES)) as (server, connections):
        line = Line(timeout=0.3, public_only=False)  # Its owner comes to hang it up late.
        connections.post(line, None, {}, b"{}")  # type: ignore[arg-type]
        time.sleep(0.35)
        assert (post(connections).status, server.dialled) == (202, 1)
        line.hang_up()


def test_an_address_is_judged_at_each_dial():
    answers = iter(["127.0.0.1", "169.254.169.254"])
    asked: list[str] = []

    def turning(host: str) -> list[str]:
        asked.append(host)
        return [next(answers)]

    def twice(server: Server, connection: socket.socket) -> None:
        for _ in range(2):
            server.heard(connection)
            connection.sendall(YES)

    server, resolver = Server(twice), Resolver(turning)
    with closing(server), closing(Connections(f"http://rebinding.example:{server.port}/")) as connections:
        post(connections, resolver=resolver)
        post(connections, resolver=resolver)
        assert asked == ["rebinding.example"]
        server.ended.get(timeout=PATIENCE)
        assert broken(connections, resolver=resolver).note == NOT_PUBLIC.note
        assert server.dialled == 1


def test_what_is_idle_too_long_or_used_too_long_is_closed():
    with served(answering(YES)) as (server, _):
        for limits in ({"idle": 0.1}, {"life": 0.1}):
            connections = Connections(server.url, **limits)
            post(connections)
            server.ended.get(timeout=PATIENCE)  # Nobody asks for it: the server sees it hang up all the same.
            assert (post(connections).status, len(connections.idle)) == (202, 1)
            connections.close()


def test_the_owners_end_is_the_end_of_its_connections_and_of_no_others():
    with served(answering(YES)) as (server, connections), closing(Connections(server.url)) as other:
        for each in (connections, other):
            post(each)
        connections.close()
        assert server.ended.get(timeout=PATIENCE) == 0
        assert (post(other).status, server.dialled) == (202, 2)
        # An attempt that was under way then leaves nothing open either.
        assert post(connections).status == 202
        assert server.ended.get(timeout=PATIENCE) == 2


def room() -> int:
    """Return how many connections may be kept besides, by taking every place and giving it back."""
    taken = 0
    while http.ROOM.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        http.ROOM.release()
    return taken


def test_few_are_kept_of_one_receiver_and_their_places_come_back():
    everybody = threading.Barrier(20)

    def together(server: Server, connection: socket.socket) -> None:
        server.heard(connection)
        everybody.wait(PATIENCE)
        connection.sendall(YES)
        connection.recv(1)

    free = room()
    with served(together) as (_, connections):
        threads = [threading.Thread(target=post, args=[connections]) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert (len(connections.idle), room()) == (16, free - 16)
    assert room() == free


# --- deadlines --------------------------------------------------------------------------------------------------------


def test_deadlines_come_in_their_order_and_one_that_fails_costs_the_others_nothing():
    deadlines, seen = Deadlines(), queue.SimpleQueue()
    now = time.monotonic()
    deadlines.put("late", now + 0.2, lambda: seen.put("late"))
    deadlines.put("taken back", now + 0.05, lambda: seen.put("taken back"))
    deadlines.put("early", now + 0.1, lambda: seen.put("early"))
    deadlines.put("fails", now + 0.02, lambda: 1 / 0)
    deadlines.take_back("taken back")
    assert [seen.get(timeout=PATIENCE) for _ in range(2)] == ["early", "late"]


def test_a_watch_that_died_is_begun_again_and_has_forgotten_nothing(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    deadlines, seen, dying = Deadlines(), queue.SimpleQueue(), queue.SimpleQueue()

    def die() -> None:
        dying.put(threading.current_thread())
        raise SystemExit

    now = time.monotonic()
    deadlines.put("first", now + 0.1, lambda: seen.put("first"))
    deadlines.put("deadly", now, die)
    died = dying.get(timeout=PATIENCE)
    until(lambda: not died.is_alive())
    deadlines.put("last", now + 0.15, lambda: seen.put("last"))
    assert [seen.get(timeout=PATIENCE) for _ in range(2)] == ["first", "last"]


@pytest.mark.parametrize("fault", [SystemExit(1), ValueError("a name")])
def test_whatever_a_look_up_dies_of_who_waits_hears_it_and_the_next_one_asks_anew(fault):
    faults = [fault]

    def look_up(_host: str) -> list[str]:
        if faults:
            raise faults.pop()
        return ["203.0.113.1"]

    resolver = Resolver(look_up, most=1)
    with pytest.raises(type(fault)):
        resolver.addresses("behoerde.example", within=PATIENCE)
    assert resolver.under_way() == 0
    assert resolver.addresses("behoerde.example", within=PATIENCE) == ["203.0.113.1"]


def test_a_look_up_that_no_thread_is_left_for_takes_no_place(monkeypatch):
    def full(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver(lambda _host: ["203.0.113.1"], most=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(OSError):
            resolver.addresses("behoerde.example", within=PATIENCE)
    assert resolver.addresses("behoerde.example", within=PATIENCE) == ["203.0.113.1"]


def test_without_a_thread_to_watch_nothing_is_dialled(monkeypatch):
    def full(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    deadlines, seen = Deadlines(), queue.SimpleQueue()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(OSError):
            deadlines.put("refused", 0, lambda: seen.put("refused"))
    deadlines.put("taken", 0, lambda: seen.put("taken"))
    assert seen.get(timeout=PATIENCE) == "taken", "what was refused would have come first"
