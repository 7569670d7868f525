"""A request that offers another protocol is served as if it had not (RFC 9110 section 7.8), body and all.

The JDK's HTTP client offers h2c on every first request over http.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_http import Wire, listening
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, Served
from stand_in import edge_app
from taken_pushes import envelope, listener, signed

from hub.connector.listener import ListenerBounds
from hub.web.protocol import ConnectionBounds

MIB = b" " * 1_000_000
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
SMALL = b'{"text": "a"}'
#: One source file that Java runs as it is: Client.java VERSION URL FILE CONTENT-TYPE [chunked] [expect] [Authorization]
JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.io.ByteArrayInputStream;

class Client {
    public static void main(String[] given) throws Exception {
        byte[] body = Files.readAllBytes(Path.of(given[2]));
        boolean chunked = given[4].contains("chunked");
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(given[1]))
            .header("Content-Type", given[3])
            .expectContinue(given[4].contains("expect"))
            .POST(chunked
                ? HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : HttpRequest.BodyPublishers.ofByteArray(body));
        for (int at = 5; at < given.length; at += 2) {
            request.header(given[at], given[at + 1]);
        }
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.valueOf(given[0])).build();
        // Twice: the second request goes over the connection that the first one left.
        for (int time = 0; time < 2; time++) {
            System.out.println(client.send(request.build(), HttpResponse.BodyHandlers.ofString()).statusCode());
        }
    }
}
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with listening(edge_app(Path(tmp_path_factory.mktemp("edge"))), ConnectionBounds()) as port:
        yield port


def padded(size: int) -> bytes:
    return b'{"text":' + b" " * (size - 12) + b'"a"}'


@pytest.mark.parametrize(
    "offer",
    [
        H2C,
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        b"Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n",
        b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: something-else/7\r\n",
    ],
    ids=["h2c", "h2c without settings", "websocket", "TLS", "anything"],
)
@pytest.mark.parametrize("size", [13, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_of_a_request_that_offers_an_upgrade_arrives(port: int, offer: bytes, size: int, *, chunked: bool):
    head = b"POST /hub/v1/notes HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n" + offer
    body = padded(size)
    framing, sent = b"Content-Length: %d\r\n\r\n" % size, body
    if chunked:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:])) + b"0\r\n\r\n"
    with Wire(port) as wire:
        for _ in range(2):
            wire.send(head + framing + sent)
            reply = wire.reply()
            assert (reply.status, reply.json["arguments"]) == (200, {"body": {"text": "a"}})
            assert "upgrade" not in reply.fields


def test_an_offer_that_comes_byte_by_byte_is_passed_over_as_well(port: int):
    with Wire(port) as wire:
        whole = b"POST /hub/v1/notes HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n" + H2C
        for byte in whole + b"Content-Length: 13\r\n\r\n" + SMALL:
            wire.send(bytes([byte]))
        assert wire.reply().status == 200


def test_who_offers_and_waits_for_100_continue_is_told_to_go_on(port: int):
    with Wire(port) as wire:
        wire.send(b"POST /hub/v1/notes HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n" + H2C)
        wire.send(b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
        assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        wire.file.readline()
        wire.send(SMALL)
        assert wire.reply().status == 200


def test_offers_that_are_sent_ahead_are_answered_in_order(port: int):
    with Wire(port) as wire:
        wire.send((b"GET /v1/info HTTP/1.1\r\nHost: hub\r\n" + H2C + b"\r\n") * 10)
        assert [wire.reply().status for _ in range(10)] == [200] * 10


def test_websockets_are_answered_like_any_request(port: int):
    with Wire(port) as wire:
        wire.send(b"GET /nowhere HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (wire.reply().status, wire.is_closed()) == (404, False)


# --- clients as they are --------------------------------------------------------------------------------------------------


def java(folder: Path, version: str, url: str, body: bytes, *how: str) -> list[int]:
    """Return the statuses that the JDK's own client got; ``how`` is media type, way of sending, header fields."""
    (folder / "Client.java").write_text(JAVA, encoding="ascii")
    (folder / "body").write_bytes(body)
    command = ["java", "-Xshare:auto", "Client.java", version, url, "body", *how]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=folder)
    assert shown.returncode == 0, shown.stderr[-2000:]
    return [int(line) for line in shown.stdout.split()]


needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no java on this machine")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")


@needs_java
@pytest.mark.parametrize("version", ["HTTP_2", "HTTP_1_1"])
def test_the_jdk_s_client_gets_a_token(served: Served, tmp_path: Path, version: str):
    cast = served.stage.cast["sender"]
    form = f"grant_type=client_credentials&client_id={cast['client_id']}&client_secret={cast['client_secret']}"
    kind = "application/x-www-form-urlencoded"
    assert java(tmp_path, version, f"{served.base_url}/token", form.encode(), kind, "whole") == [200, 200]


@needs_java
@pytest.mark.parametrize("way", ["whole", "chunked", "whole,expect"])
def test_the_jdk_s_client_submits_applications_small_and_large(served: Served, tmp_path: Path, way: str):
    url = f"{served.base_url}/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"
    token = ("Authorization", str(served.session.headers["Authorization"]))
    for body in (BAUANTRAG, BAUANTRAG + MIB):
        assert java(tmp_path, "HTTP_2", url, body, "application/xml", way, *token) == [202, 202]


@needs_java
@pytest.mark.parametrize("way", ["whole", "chunked,expect"])
def test_the_jdk_s_client_delivers_to_a_connector(tmp_path: Path, way: str):
    body = envelope(1_000_000)
    headers = [part for line in signed(body).decode().splitlines() for part in line.split(": ")]
    listening = listener(tmp_path, ListenerBounds())
    url = f"http://127.0.0.1:{listening.port}/deliveries"
    assert java(tmp_path, "HTTP_2", url, body, "application/json", way, *headers) == [202, 202]
    listening.close()


@needs_curl
@pytest.mark.parametrize("option", ["--http2", "--http1.1"])
@pytest.mark.parametrize("chunked", [False, True])
def test_curl_submits_applications_whatever_it_offers(served: Served, tmp_path: Path, option: str, *, chunked: bool):
    url = f"{served.base_url}/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"
    (tmp_path / "body").write_bytes(BAUANTRAG + MIB)
    command = [
        *("curl", "-s", "-o", "answer", "-w", "%{http_code}", option, url, "--data-binary", "@body"),
        *("-H", "Content-Type: application/xml", "-H", f"Authorization: {served.session.headers['Authorization']}"),
        *(("-H", "Transfer-Encoding: chunked") if chunked else ()),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert shown.stdout == "202"
