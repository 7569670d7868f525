"""A receiving system, or whoever sits before it, that wants more than a delivery: the hub's network, secrets, memory."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import asyncssh
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))

from contract import make_package, opened, trial_of, workshop  # noqa: F401

from adapters.fit_connect import FitConnect
from adapters.https import Https
from adapters.s3_drop import S3Drop
from adapters.sftp import Sftp
from adapters.smime_mail import SmimeMail
from hub.adapter_kit.cases import SECRET, Trouble
from hub.adapter_kit.check import bench_of
from hub.model.submission import OutcomeKind
from hub.transport.connection import Inward, Line
from hub.transport.sftp import Server
from hub.transport.smtp import MailLogin

ADAPTERS = [Https, FitConnect, S3Drop, Sftp, SmimeMail]
INWARD = [
    "127.0.0.1",
    "localhost",
    "::1",
    "::ffff:127.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "10.0.0.1",
    "64:ff9b::7f00:1",
]


@pytest.fixture
def arranged(workshop):  # noqa: F811
    """Open an adapter against its bench; everything is closed afterwards."""
    benches = []

    def arrange(adapter, **options):
        trial = trial_of(adapter)
        bench = bench_of(trial.family, workshop)
        benches.append(bench)
        return opened(adapter, {**trial.filled(bench.arrange(Trouble.NONE, make_package())), **options}), bench

    yield arrange
    for bench in benches:
        bench.close()


# --- the hub's own network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_no_adapter_reaches_inward_unless_it_may(adapter, arranged):
    instance, bench = arranged(adapter, allow_private_addresses=False)
    package = make_package()
    outcome = instance.deliver(package)
    assert outcome.kind is OutcomeKind.UNREACHABLE
    assert "address is not public" in outcome.note
    assert bench.copies(package) == 0


@pytest.mark.parametrize("host", INWARD)
def test_an_inward_address_is_known_in_every_dress(host):
    with Line(timeout=1, public_only=True) as line, pytest.raises(Inward):
        line.dial(host, 9)


def test_a_name_is_looked_up_once_and_one_inward_address_spoils_all(monkeypatch):
    asked = []

    def answer(host, port, **_more):
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with Line(timeout=1, public_only=True) as line, pytest.raises(Inward):
        line.dial("rebinding.example", 443)
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_proxy_of_the_environment_sees_nothing(adapter, arranged, monkeypatch):
    instance, _bench = arranged(adapter)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert instance.deliver(make_package()).kind is OutcomeKind.DELIVERED


def test_the_environment_cannot_switch_certificates_off(workshop, monkeypatch):  # noqa: F811
    for name in ("AWS_ALLOW_INVALID_CERTIFICATES", "ALLOW_INVALID_CERTIFICATES"):
        monkeypatch.setenv(name, "true")
    bench = bench_of(trial_of(S3Drop).family, workshop)
    places = bench.arrange(Trouble.UNTRUSTED_CERTIFICATE, make_package())
    outcome = opened(S3Drop, trial_of(S3Drop).filled(places)).deliver(make_package())
    bench.close()
    assert outcome.kind is OutcomeKind.UNREACHABLE


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_do_not_print():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = Server(host="h", port=22, user="u", host_keys=[], client_key=key, password=SECRET)
    assert SECRET not in repr(server) + repr(MailLogin(user="u", password=SECRET))
    assert "client_key" not in repr(server)


class Eavesdropper:
    """Speaks SMTP in the clear, adds words of its own before TLS, and keeps what it hears."""

    def __init__(self, *, before_tls: bytes, tls: ssl.SSLContext | None) -> None:
        self.heard = b""
        self._before_tls, self._tls = before_tls, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        connection, _address = self._listener.accept()
        connection.settimeout(5)
        try:
            connection.sendall(b"220 mail.example.org\r\n")
            self._hear(connection)
            connection.sendall(b"250-mail.example.org\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
            self._hear(connection)
            connection.sendall(self._before_tls)
            if self._tls is None:
                self._hear(connection)
            else:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._hear(connection)
                connection.sendall(b"250 mail.example.org\r\n")
                self._hear(connection)
        except OSError:
            pass
        finally:
            connection.close()
            self._listener.close()

    def _hear(self, connection: socket.socket) -> None:
        self.heard += connection.recv(65536)

    def end(self) -> bytes:
        self._thread.join()
        return self.heard


def test_words_slipped_in_before_tls_are_not_believed_after_it(arranged, workshop):  # noqa: F811
    slipped = b"220 go ahead\r\n250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n"
    middle = Eavesdropper(before_tls=slipped, tls=workshop.tls())
    instance, _bench = arranged(SmimeMail, port=middle.port, timeout=3)
    assert instance.deliver(make_package()).note == "server offers no login"
    assert b"AUTH" not in middle.end()


@pytest.mark.parametrize("reply", [b"454 not now\r\n", b"502 what\r\n", b"250 go on in the clear\r\n"])
def test_no_login_goes_out_when_tls_does_not_come(reply, arranged):
    middle = Eavesdropper(before_tls=reply, tls=None)
    instance, _bench = arranged(SmimeMail, port=middle.port, timeout=3)
    assert instance.deliver(make_package()).kind is OutcomeKind.UNREACHABLE
    heard = middle.end().upper()
    assert b"AUTH" not in heard
    assert b"MAIL FROM" not in heard


def test_a_redirect_gets_no_token(arranged):
    instance, bench = arranged(FitConnect)
    bench.arrange(Trouble.REDIRECT, make_package())
    heard = []
    play = bench.play

    def listen(request):
        heard.append(request.path)
        return play(request)

    bench._receivers[0].play = listen
    instance.deliver(make_package())
    assert "/elsewhere" not in heard


# --- time and memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.DRIP, Trouble.HUGE_HEADER, Trouble.STALL])
def test_the_deadline_holds_whatever_the_receiver_does(trouble, arranged):
    instance, bench = arranged(Https, timeout=0.4)
    bench.arrange(trouble, make_package())
    started = time.monotonic()
    instance.deliver(make_package())
    assert time.monotonic() - started < 30


def test_attempts_that_hang_leave_no_thread_and_no_connection_behind(arranged):
    instance, bench = arranged(Https, timeout=0.2)
    bench.arrange(Trouble.HANG, make_package())
    instance.deliver(make_package())
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        instance.deliver(make_package())
    # The bench keeps a handler for each caller; the adapter keeps nothing.
    names = [thread.name for thread in threading.enumerate()]
    assert not any("Timer" in name for name in names)
    assert len(list(Path("/proc/self/fd").iterdir())) - before[1] <= 5 * 3
