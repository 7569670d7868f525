"""The relay: who shows the credential gets to the one server, anybody else nowhere, and nothing of it stays."""

from __future__ import annotations

import base64
import queue
import socket
import struct
import threading
from urllib.parse import urlsplit

import pytest
import spoiling

from hub.supervision import Loop, Pauses, Run, Supervisor
from hub.transport.connection import Line
from hub.transport.relay import Relay

TUNNEL = "CONNECT store.example:443 HTTP/1.1\r\nHost: store.example:443\r\n"


class Far:
    """The server: what arrives is read by the test itself."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.ends: list[socket.socket] = []
        self._new: queue.Queue[socket.socket] = queue.Queue()
        self.refuse: Exception | None = None

    def dial(self, host: str, port: int) -> socket.socket:
        self.dialled.append((host, port))
        if self.refuse is not None:
            raise self.refuse
        near, far = socket.socketpair()
        far.settimeout(5)
        self.ends.append(far)
        self._new.put(far)
        return near

    def end(self) -> socket.socket:
        """Return the server's end of the next connection."""
        return self._new.get(timeout=5)


@pytest.fixture
def far():
    made = Far()
    yield made
    for end in made.ends:
        end.close()


@pytest.fixture
def relay(far):
    with Relay("https://store.example/base", far.dial) as made:
        yield made


@pytest.fixture
def plain(far):
    with Relay("http://store.example:9000", far.dial) as made:
        yield made


def port_of(relay: Relay) -> int:
    return urlsplit(relay.client["proxy_url"]).port


def proof(relay: Relay) -> str:
    url = urlsplit(relay.client["proxy_url"])
    shown = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    return f"Proxy-Authorization: Basic {shown}\r\n"


def asked(relay: Relay, written: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port_of(relay)), timeout=5)
    client.sendall(written.encode())
    return client


def status(client: socket.socket) -> int:
    with client:
        return int(client.recv(4096).split(b" ")[1])


def test_a_tunnel_carries_bytes_both_ways_until_one_side_ends_it(relay, far):
    with asked(relay, TUNNEL + proof(relay) + "\r\n") as client:
        assert client.recv(4096) == b"HTTP/1.1 200 OK\r\n\r\n"
        big = b"x" * 3_000_000
        server = far.end()
        sender = threading.Thread(target=client.sendall, args=[big])
        sender.start()
        assert b"".join(_read(server, len(big))) == big
        sender.join()
        server.sendall(b"answer")
        server.close()
        assert b"".join(iter(lambda: client.recv(4096), b"")) == b"answer"
    assert far.dialled == [("store.example", 443)]


class DiesOnce(Supervisor):
    """Has what it keeps up die as it begins."""

    def __init__(self) -> None:
        self.fallen: list[str] = []
        super().__init__(pauses=Pauses(first=0.01), fell=self.fallen.append)

    def begin(self, name: str, run: Run, *, daemon: bool = False) -> Loop:
        def dying(stop: threading.Event) -> None:
            if not self.fallen:
                raise ValueError(name)
            run(stop)

        return super().begin(name, dying, daemon=daemon)


def test_a_relay_whose_loop_died_dials_again(far):
    watch = DiesOnce()
    with Relay("https://store.example/base", far.dial, supervisor=watch) as relay:
        client = asked(relay, TUNNEL + proof(relay) + "\r\n")
        assert status(client) == 200
    assert watch.fallen == ["bucket-relay"]


def _read(end: socket.socket, length: int):
    while length > 0:
        piece = end.recv(65536)
        length -= len(piece)
        yield piece


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (TUNNEL + "\r\n", 407),
        (TUNNEL + "Proxy-Authorization: Basic aHViOmh1Yg==\r\n\r\n", 407),
        (TUNNEL + "{proof}{proof}\r\n", 407),
        ("CONNECT 169.254.169.254:443 HTTP/1.1\r\n{proof}\r\n", 403),
        ("CONNECT store.example:22 HTTP/1.1\r\n{proof}\r\n", 403),
        ("CONNECT hub@store.example.evil:443 HTTP/1.1\r\n{proof}\r\n", 403),
        ("GET http://store.example:443/ HTTP/1.1\r\n{proof}\r\n", 403),
        ("CONNECT store.example:99999 HTTP/1.1\r\n{proof}\r\n", 400),
        ("CONNECT  HTTP/1.1 \r\n{proof}\r\n", 400),
        ("\x00\r\n\r\n", 400),
        ("A" * 40_000, 431),
    ],
)
def test_whatever_else_is_asked_is_refused_and_nothing_dialled(relay, far, written, expected):
    assert status(asked(relay, written.format(proof=proof(relay)))) == expected
    assert far.dialled == []


def test_plain_http_goes_on_without_the_credential_and_to_the_one_server(plain, far):
    head = "PUT http://store.example:9000/b/x?y=1 HTTP/1.1\r\nHost: store.example:9000\r\n"
    with asked(plain, head + proof(plain) + "Content-Length: 4\r\n\r\nbo") as client:
        client.sendall(b"dy")
        whole = b"PUT /b/x?y=1 HTTP/1.1\r\nHost: store.example:9000\r\nContent-Length: 4\r\n\r\nbody"
        assert b"".join(_read(far.end(), len(whole))) == whole
    assert status(asked(plain, head.replace("example", "elsewhere") + proof(plain) + "\r\n")) == 403
    assert status(asked(plain, "CONNECT store.example:9000 HTTP/1.1\r\n" + proof(plain) + "\r\n")) == 403
    assert len(far.dialled) == 1
    assert plain.client["pool_max_idle_per_host"] == "0"


def test_two_relays_do_not_know_each_others_credentials(relay, plain):
    assert proof(relay) != proof(plain)
    assert status(asked(relay, TUNNEL + proof(plain) + "\r\n")) == 407


@pytest.mark.parametrize("failure", [ConnectionRefusedError(), RuntimeError("odd"), UnicodeError()])
def test_why_dialling_failed_is_kept_and_the_client_hears_that_it_did(relay, far, failure):
    far.refuse = failure
    assert status(asked(relay, TUNNEL + proof(relay) + "\r\n")) == 502
    assert relay.failure is failure


def test_without_a_thread_to_be_had_the_client_hears_so_and_the_next_is_dialled(relay, far, monkeypatch):
    refused = spoiling.give_no_thread(monkeypatch, "relay-dial")
    assert status(asked(relay, TUNNEL + proof(relay) + "\r\n")) == 503
    assert (refused, far.dialled) == (["relay-dial"], [])
    assert isinstance(relay.failure, RuntimeError)
    monkeypatch.undo()
    assert status(asked(relay, TUNNEL + proof(relay) + "\r\n")) == 200


def test_strangers_that_say_nothing_shut_nobody_out(relay):
    mute = [socket.create_connection(("127.0.0.1", port_of(relay)), timeout=5) for _ in range(100)]
    assert status(asked(relay, TUNNEL + proof(relay) + "\r\n")) == 200
    assert mute[0].recv(1) == b"", "the oldest was cut"
    for each in mute:
        each.close()


def test_nothing_stays_after_close(far):
    before = set(threading.enumerate())
    relay = Relay("https://store.example", far.dial)
    with asked(relay, TUNNEL + proof(relay) + "\r\n") as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        relay.close()
        relay.close()
        assert client.recv(1) == b""
        assert far.end().recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(relay)), timeout=5)
    for thread in set(threading.enumerate()) - before:
        if "relay" in thread.name:
            thread.join(5)
            assert not thread.is_alive()


def test_what_breaks_off_does_not_look_like_an_end(far):
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        with Line(timeout=9, public_only=False) as line, Relay(f"http://127.0.0.1:{port}", line.dial) as relay:
            head = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n{proof(relay)}\r\n"
            with asked(relay, head) as client:
                server = door.accept()[0]
                server.recv(4096)
                server.sendall(b"half")
                assert client.recv(4096) == b"half"
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                server.close()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_a_line_that_hung_up_gives_up_what_is_dialled_meanwhile():
    with socket.create_server(("127.0.0.1", 0)) as door:
        line = Line(timeout=5, public_only=False)
        line.hang_up()
        with pytest.raises(ConnectionAbortedError):
            line.dial("127.0.0.1", door.getsockname()[1])
