"""The sample settings of proxies let through what the hub needs, and drop what strangers say of themselves."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import requests
from nginx_front import needs_nginx, nginx
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, serving

from hub.config import Settings

PROXIES = Path(__file__).parents[2] / "deploy/proxy"
CADDY = shutil.which("caddy")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=hub.example.org", "-addext", "subjectAltName=DNS:hub.example.org,DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "chain.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=30)
    return folder / "chain.pem", folder / "key.pem"


@needs_nginx
def test_through_nginx_an_application_is_accepted_and_the_hub_speaks_for_itself(stage, certificate, tmp_path):
    with (
        serving(stage) as served,
        nginx(tmp_path / "proxy", certificate, int(served.base_url.rpartition(":")[2])) as url,
    ):
        call = {"verify": str(certificate[0]), "timeout": 30, "headers": dict(served.session.headers)}
        where = {"service": BAUEN, "ars": TAUNUSSTEIN}
        kind = {**call["headers"], "Content-Type": "application/xml"}
        sent = requests.post(f"{url}/hub/v1/applications", data=BAUANTRAG, params=where, **call | {"headers": kind})
        assert sent.status_code == 202, sent.text
        # Refusals keep their reasons, and a large header section arrives.
        refused = requests.post(f"{url}/hub/v1/applications", data=b"<no", params=where, **call | {"headers": kind})
        assert refused.headers["Content-Type"] == "application/problem+json"
        large = {**call["headers"], "X-Large": "x" * 20_000}
        assert requests.get(f"{url}/health/ready", **call | {"headers": large}).status_code == 200
        assert requests.get(f"{url}/metrics", **call).status_code == 404
        assert "max-age" in sent.headers["Strict-Transport-Security"]


@needs_nginx
def test_nginx_keeps_no_body_and_drops_what_senders_say_of_themselves(certificate, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arrived, head = threading.Event(), []

        def upstream() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                seen = b""
                while b"first part" not in seen:
                    seen += connection.recv(65536)
                head.append(seen.partition(b"\r\n\r\n")[0].decode().lower())
                arrived.set()
                while b"last part" not in seen:
                    seen += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        thread = threading.Thread(target=upstream, daemon=True)
        thread.start()
        with nginx(tmp_path / "proxy", certificate, listener.getsockname()[1]) as url:
            trust = ssl.create_default_context(cafile=str(certificate[0]))
            port = int(url.rpartition(":")[2])
            with trust.wrap_socket(
                socket.create_connection(("localhost", port)), server_hostname="localhost"
            ) as sender:
                sender.sendall(
                    b"POST /x HTTP/1.1\r\nHost: hub.example.org\r\nTransfer-Encoding: chunked\r\n"
                    b"X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\r\na\r\nfirst part\r\n"
                )
                # The hub has the beginning before the end was sent.
                assert arrived.wait(20)
                sender.sendall(b"9\r\nlast part\r\n0\r\n\r\n")
                assert sender.recv(100).startswith(b"HTTP/1.1 200")
        thread.join(20)
    assert "203.0.113.9" not in head[0]
    assert "x-forwarded-for: 127.0.0.1" in head[0]
    assert "x-forwarded-proto: https" in head[0]
    assert "\nhost: hub.example.org" in head[0]


@pytest.mark.skipif(CADDY is None, reason="caddy is not installed")
@pytest.mark.parametrize("file", ["proxy/Caddyfile", "compose/Caddyfile"])
def test_caddy_takes_the_sample(file, tmp_path):
    ran = subprocess.run(
        [CADDY, "validate", "--adapter", "caddyfile", "--config", str(PROXIES.parent / file)],
        env={"HOME": str(tmp_path), "DOMAIN": "hub.example.org", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "not formatted" not in ran.stderr


def test_all_proxies_agree_with_the_hub_and_with_one_another():
    nginx_, caddy = ((PROXIES / name).read_text(encoding="utf-8") for name in ("nginx.conf", "Caddyfile"))
    largest = re.search(r"client_max_body_size (\d+)m", nginx_)[1]
    assert f"max_size {largest}MB" in caddy
    # An application may have 2 GB in all (README, Limits); below that the proxy would say 413 without a reason.
    assert int(largest) * 1024 * 1024 > 2_000_000_000
    settings = {each: getattr(Settings(data=Path()), each) for each in ("head_bytes", "head_seconds", "pause_seconds")}
    assert f"large_client_header_buffers 4 {settings['head_bytes'] // 1024}k" in nginx_
    assert f"client_header_timeout {settings['head_seconds']}s" in nginx_
    assert int(re.search(r"client_body_timeout +(\d+)s", nginx_)[1]) > settings["pause_seconds"]
    # Kept connections: the proxy lets go first, or a request meets a connection that the hub has just closed.
    assert int(re.search(r"keepalive_timeout (\d+)s", nginx_)[1]) < settings["head_seconds"]
    assert int(re.search(r"keepalive (\d+)s", caddy)[1]) < settings["head_seconds"]
    for off in ("proxy_request_buffering", "proxy_buffering", "proxy_next_upstream"):
        assert re.search(rf"{off} +off;", nginx_)
    # Within a composition the same, by the names there.
    inside = (PROXIES.parent / "compose/Caddyfile").read_text(encoding="utf-8")
    for line in re.findall(r"^\t+(?:\w+ [^{\n]+)$", caddy, re.MULTILINE):
        assert line.strip().replace("127.0.0.1:8080", "hub:8080") in inside or line.lstrip().startswith("#"), line
