#!/usr/bin/env bash
# What: uvicorn 0.54.0 with httptools 0.8.0, a POST that offers "Upgrade: h2c" and carries a body. The JDK's HttpClient makes this
# offer with its first request on plain http, so that connectors and services in Java meet it.
# Guess: the offer is ignored (RFC 9110, 7.8: a server may) and the application reads the body, as with h11.
# So: with httptools the application is given an empty body; with h11 the whole one.
# Seen 2026-11-29:
#   h11: 11 bytes
#   httptools: 0 bytes
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import socket, threading, time
import uvicorn
async def app(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    answer = f"{size} bytes".encode()
    headers = [(b"connection", b"close"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
OFFER = (b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 11\r\n\r\nhello=world")
for kind in ("h11", "httptools"):
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=kind, ws="none", lifespan="off", log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    with socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=10) as connection:
        connection.sendall(OFFER)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    print(f"{kind}:", answer.rpartition(b"\r\n\r\n")[2].decode())
    server.should_exit = True
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
