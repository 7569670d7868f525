"""Buckets are reached by the one dialler, though their library would dial by itself: what is judged is what is connected to."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bucket import KEY_ID, REGION, SECRET

pytest.importorskip("obstore", reason="obstore is not installed")

from adapters.s3_drop import S3Drop
from hub.adapter_kit.packages import make_package
from hub.errors import ConfigurationError, StoreUnavailable
from hub.model.submission import DeadCause, OutcomeKind
from hub.store.blobs.s3 import S3Blobs, S3Place

#: A name that the system's resolver, which the library would ask, leads to loopback.
LOCAL = "localhost"
PUBLIC = "93.184.215.14"


class Names:
    """Answers look-ups of ``LOCAL`` with one list of addresses after the other, the last again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self._ask = socket.getaddrinfo

    def __call__(self, host: str, port: object, *more: object, **named: object) -> list[tuple]:
        if host != LOCAL:  # The tests' own client.
            return self._ask(host, port, *more, **named)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


class Network:
    """Connections by address: those to ``PUBLIC`` arrive at ``port`` of loopback, or nowhere."""

    def __init__(self, port: int | None) -> None:
        self.port = port
        self.dialled: list[tuple[str, int]] = []

    def __call__(self, address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        self.dialled.append(address)
        if address[0] != PUBLIC or self.port is None:
            raise ConnectionRefusedError
        made = socket.socket()
        made.settimeout(timeout)
        made.connect(("127.0.0.1", self.port))
        return made


@pytest.fixture
def wires(monkeypatch):
    """Return what lays names and network."""

    def lay(names, network):
        monkeypatch.setattr(socket, "getaddrinfo", names)
        monkeypatch.setattr(socket, "create_connection", network)

    return lay


@pytest.fixture(scope="module")
def inner():
    """A port on loopback that nobody should come to; what came is in ``met``."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0)
        yield door


def met(door: socket.socket) -> int:
    count = 0
    while True:
        try:
            door.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@pytest.fixture
def drop(tmp_path: Path):
    (tmp_path / "id").write_text(KEY_ID)
    (tmp_path / "secret").write_text(SECRET)

    def opened(port: int, **options):
        made = S3Drop(
            {
                "endpoint": f"http://{LOCAL}:{port}",
                "bucket": "hub-blobs",
                "region": REGION,
                "access_key_id_file": str(tmp_path / "id"),
                "secret_access_key_file": str(tmp_path / "secret"),
                "allow_http": True,
                "timeout": 10,
                **options,
            }
        )
        made.open()
        return made

    return opened


def place(endpoint: str) -> S3Place:
    return S3Place(url="s3://hub-blobs/contents", endpoint=endpoint, region=REGION, key_id=KEY_ID, secret=SECRET)


def test_the_address_that_is_judged_is_the_one_that_is_connected_to(drop, inner, wires):
    port, network = inner.getsockname()[1], Network(None)
    wires(Names([PUBLIC]), network)
    outcome = drop(port).deliver(make_package())
    assert (outcome.kind, outcome.note) == (OutcomeKind.UNREACHABLE, "connection refused")
    assert network.dialled == [(PUBLIC, port)]
    assert met(inner) == 0


def test_a_name_that_turns_inward_between_two_connections_ends_the_attempt(drop, bucket, wires):
    port = urlsplit(bucket.endpoint).port
    network = Network(port)
    wires(Names([PUBLIC], ["127.0.0.1"]), network)
    outcome = drop(port).deliver(make_package())
    assert (outcome.kind, outcome.note) == (OutcomeKind.UNREACHABLE, "address is not public")
    assert outcome.cause is DeadCause.CONFIGURATION
    assert network.dialled == [(PUBLIC, port)]
    assert bucket.objects() == []


def test_a_name_server_that_hangs_ends_with_the_attempts_time(drop, wires):
    answered, began = threading.Event(), time.monotonic()
    wires(lambda *_a, **_k: answered.wait(30) and [], Network(None))
    outcome = drop(9, timeout=0.5).deliver(make_package())
    answered.set()
    assert (outcome.kind, outcome.note, outcome.cause) == (
        OutcomeKind.UNREACHABLE,
        "name look-up took too long",
        None,
    )
    assert time.monotonic() - began < 5


def test_whatever_a_resolver_raises_an_attempt_has_an_outcome(drop, wires):
    def odd(*_args, **_more):
        raise RuntimeError("odd")

    wires(odd, Network(None))
    assert drop(9).deliver(make_package()).kind is OutcomeKind.UNREACHABLE


def test_nothing_of_an_attempt_stays(drop, bucket):
    package, before = make_package(), threading.enumerate()
    adapter = drop(urlsplit(bucket.endpoint).port, allow_private_addresses=True)
    assert adapter.deliver(package).kind is OutcomeKind.DELIVERED
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in left if name.startswith(("bucket", "relay"))] == []


def test_the_contents_bucket_is_dialled_by_the_same_rules(inner, wires):
    network = Network(None)
    wires(Names(["169.254.169.254"]), network)
    blobs = S3Blobs(place(f"http://{LOCAL}:{inner.getsockname()[1]}"))
    with pytest.raises(StoreUnavailable):
        blobs.size("0" * 32)
    blobs.close()
    assert network.dialled == []
    assert met(inner) == 0


def test_the_contents_bucket_is_asked_at_the_address_that_was_found(bucket, wires):
    port = urlsplit(bucket.endpoint).port
    network = Network(port)
    wires(Names([PUBLIC]), network)
    blobs = S3Blobs(place(f"http://{LOCAL}:{port}"))
    assert list(blobs.names(datetime.now(UTC) + timedelta(hours=1))) == []
    blobs.close()
    assert network.dialled == [(PUBLIC, port)]


@pytest.mark.parametrize(
    "foreign",
    [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:{port}"),
        ("AWS_PROXY_EXCLUDES", "*"),
        ("NO_PROXY", "*"),
        ("HTTP_PROXY", "http://127.0.0.1:{port}"),
    ],
)
def test_the_environment_leads_the_contents_nowhere_else(bucket, inner, wires, monkeypatch, foreign):
    name, value = foreign
    monkeypatch.setenv(name, value.format(port=inner.getsockname()[1]))
    port = urlsplit(bucket.endpoint).port
    network = Network(port)
    wires(Names([PUBLIC]), network)
    blobs = S3Blobs(place(f"http://{LOCAL}:{port}"))
    assert list(blobs.names(datetime.now(UTC))) == []
    blobs.close()
    assert network.dialled == [(PUBLIC, port)]
    assert met(inner) == 0


@pytest.mark.parametrize(
    "endpoint",
    ["http://169.254.169.254", "ftp://store.example", "https://user:pw@store.example", "https://0x7f.1", "https://"],
)
def test_an_endpoint_that_may_never_be_reached_stops_the_start(endpoint):
    with pytest.raises(ConfigurationError):
        S3Blobs(place(endpoint))
