"""The bench of the family ``smtp``: a mail server with STARTTLS and login, as far as a submission agent needs one."""

from __future__ import annotations

import base64
import contextlib
import socketserver
import ssl
import threading
from collections.abc import Mapping
from typing import Any

from hub.adapter_kit.cases import HOST, SAID, SECRET, Places, Trouble, Workshop
from hub.adapter_kit.http import CERTIFICATES, MODES, FaultyGate, GateMode, reset
from hub.model import Package

_PAUSE = 0.05
_PATIENCE = 20.0
_LOGIN = base64.b64encode(f"\0hub\0{SECRET}".encode()).decode()
#: What the server says in which trouble, at which step; otherwise all goes well.
_REPLIES: Mapping[tuple[Trouble, str], str] = {
    (Trouble.MAINTENANCE, "greeting"): "421 4.3.2 closing",
    (Trouble.BAD_CREDENTIALS, "AUTH"): "535 5.7.8 no",
    (Trouble.TOO_LARGE, "MAIL"): f"552 5.3.4 too big for {SAID}",
    (Trouble.RECIPIENT_UNKNOWN, "RCPT"): f"550 5.1.1 {SAID}",
    (Trouble.GREYLISTED, "RCPT"): "451 4.7.1 come back later",
    (Trouble.NO_SPACE, "RCPT"): "452 4.2.2 mailbox full",
    (Trouble.PAYLOAD_REFUSED, "."): f"554 5.6.0 {SAID}",
    (Trouble.BROKEN, "."): "451 4.3.0 local error",
}
#: What it says after it took a mail, and how it goes on.
_LAST_WORDS: Mapping[Trouble, bytes] = {
    Trouble.HALF_ANSWER: b"25",
    Trouble.NOISE: b"HTTP/1.1 200 OK\r\n",
    Trouble.SILENT_CLOSE: b"",
}


class PostBench:
    """One mail server behind a gate."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._server = _Server((HOST, 0), _Talk)
        self._server.tls = workshop.tls()
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()
        self._gate = FaultyGate(self._server.server_address[1])

    def arrange(self, trouble: Trouble, package: Package) -> Places:  # noqa: ARG002  # Nothing of it matters here.
        """Bring the server into a trouble."""
        self._server.trouble = trouble
        self._gate.mode = MODES.get(trouble, GateMode.PASS)
        if trouble in CERTIFICATES:
            self._server.tls = self._workshop.tls(trouble)
        if trouble is Trouble.GONE:
            self._gate.close()
        return {
            "host": "receiver.invalid" if trouble is Trouble.NO_SUCH_NAME else HOST,
            "port": self._gate.port,
            "user": "hub",
            "password_file": str(self._workshop.secret_file),
            "ca_file": str(self._workshop.ca_file),
        }

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do nothing more: everything is arranged."""

    def copies(self, package: Package) -> int:
        """Count the mails that name the delivery in their head."""
        return sum(str(package.delivery_id).encode() in mail.partition(b"\r\n\r\n")[0] for mail in self._server.mails)

    def strangers(self, packages: list[Package]) -> int:
        """Count the mails that name none of the deliveries, or that a mail server would have to repair."""
        whole = sum(self.copies(package) for package in packages)
        return len(self._server.mails) - whole + sum(_is_broken(mail) for mail in self._server.mails)

    @property
    def mails(self) -> list[bytes]:
        """Return the mails that were taken."""
        return self._server.mails

    def close(self) -> None:
        """Stop everything."""
        self._gate.close()
        self._server.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _is_broken(mail: bytes) -> bool:
    lines = mail.split(b"\r\n")
    return any(b"\n" in line or b"\r" in line or len(line) > 998 for line in lines)  # noqa: PLR2004  # RFC 5322 2.1.1


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50
    tls: ssl.SSLContext

    def __init__(self, *args: Any) -> None:
        self.trouble = Trouble.NONE
        self.mails: list[bytes] = []
        self.released = threading.Event()
        super().__init__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


class _Talk(socketserver.StreamRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def handle(self) -> None:
        self._secure = False
        self._trouble = self.server.trouble
        if not self._say("greeting", "220 mail.example.org ESMTP"):
            return
        while line := self.rfile.readline(2048):
            verb = line.split()[0].decode("ascii", "replace").upper() if line.split() else ""
            if not self._obey(verb, line):
                return

    def _obey(self, verb: str, line: bytes) -> bool:
        """Follow a command; False ends the conversation."""
        match verb:
            case "EHLO":
                return self._write(self._offers())
            case "STARTTLS" if not self._secure:
                self._write("220 go ahead")
                self._secure_up()
                return True
            case "AUTH" if self._secure:
                good = line.split()[1:] == [b"PLAIN", _LOGIN.encode()]
                return self._say("AUTH", "235 welcome" if good else "535 5.7.8 no")
            case "MAIL" | "RCPT" if self._secure:
                return self._say(verb, "250 fine")
            case "DATA" if self._secure:
                return self._write("354 go on") and self._take()
        return self._write("250 fine" if verb in {"QUIT", "RSET"} else "503 5.5.1 not now")

    def _offers(self) -> str:
        offers = ["mail.example.org", "SIZE 100000000"]
        if self._secure:
            offers.append("AUTH PLAIN")
        elif self._trouble is not Trouble.NO_TLS:
            offers.append("STARTTLS")
        return "\r\n".join([*(f"250-{offer}" for offer in offers), "250 HELP"])

    def _secure_up(self) -> None:
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.connection = self.request
        self.setup()
        self._secure = True

    def _take(self) -> bool:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        if (self._trouble, ".") not in _REPLIES:
            self.server.mails.append(b"".join(lines))
        if self._trouble in _LAST_WORDS:
            self._send(_LAST_WORDS[self._trouble])
            return False
        match self._trouble:
            case Trouble.HANG:
                self.server.released.wait(_PATIENCE)
            case Trouble.RESET_LATE:
                reset(self.connection)
                return False
            case Trouble.DRIP:
                self._drip(b"250-" + b"a" * 4000)
            case Trouble.HUGE_HEADER:
                while not self.server.released.is_set() and self._send(b"250-a\r\n" * 10_000):
                    pass
        return self._say(".", "250 taken")

    def _drip(self, text: bytes) -> None:
        for byte in text:
            if self.server.released.wait(_PAUSE) or not self._send(bytes([byte])):
                return

    def _say(self, step: str, well: str) -> bool:
        reply = _REPLIES.get((self._trouble, step), well)
        return self._write(reply) and not reply.startswith("421")

    def _write(self, reply: str) -> bool:
        return self._send(reply.encode() + b"\r\n")

    def _send(self, data: bytes) -> bool:
        try:
            self.connection.sendall(data)
        except OSError:
            return False
        return True

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()
