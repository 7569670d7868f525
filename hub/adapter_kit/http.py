"""The bench of the family ``http``, and what the benches on top of HTTP share.

A receiving system over HTTP that plays well or badly: ``play`` decides what happens to a request.

A gate in front of a server: passes connections on, or does to them what networks do.

The bench of the family ``fit_connect``: a delivery service as a sender sees it (Submission API, version 2).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import orjson

from hub.adapter_kit.cases import HOST, SAID, SECRET, Places, Trouble, Workshop
from hub.model import Package

_PIECE = 64 * 1024
#: Bytes towards the server after which a connection is cut or stalled: past every greeting, inside a large content.
_INSIDE = 600_000
_PAUSE = 0.05


class GateMode(Enum):
    """What the gate does to the next connections."""

    PASS = auto()
    #: Accepts and never says a word.
    MUTE = auto()
    #: Says one byte now and then.
    DRIP = auto()
    #: Speaks another protocol.
    NOISE = auto()
    #: Speaks without end.
    FLOOD = auto()
    #: Resets inside a large content.
    CUT = auto()
    #: Stops listening inside a large content.
    STALL = auto()


class FaultyGate:
    """Listens on loopback from construction until ``close``; ``target`` is the server's port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = GateMode.PASS
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        # Small, so that a caller who is not listened to notices inside a large content.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and stop listening; whoever connects afterwards is refused."""
        with self._lock:
            self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._open:
            _shut(each)
            each.close()

    def _accept(self) -> None:
        while not self._released.is_set():
            try:
                caller, _address = self._listener.accept()
                self._hold(caller)
            except OSError:
                return
            threading.Thread(target=self._serve, args=[caller, self.mode], daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        """Keep a connection for :meth:`close`; where that has been, close it and raise ``OSError``."""
        with self._lock:
            if not self._released.is_set():
                self._open.append(connection)
                return
        connection.close()
        raise ConnectionAbortedError

    def _serve(self, caller: socket.socket, mode: GateMode) -> None:
        with contextlib.suppress(OSError):
            if mode in {GateMode.PASS, GateMode.CUT, GateMode.STALL}:
                self._pass(caller, mode)
            else:
                self._misbehave(caller, mode)
        _shut(caller)

    def _pass(self, caller: socket.socket, mode: GateMode) -> None:
        server = socket.create_connection((HOST, self.target))
        for each in (caller, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hold(server)
        threading.Thread(target=self._back, args=[server, caller], daemon=True).start()
        passed = 0
        try:
            while piece := caller.recv(_PIECE):
                passed += len(piece)
                if mode is GateMode.CUT and passed > _INSIDE:
                    reset(caller)
                    return
                if mode is GateMode.STALL and passed > _INSIDE:
                    self._released.wait()
                    return
                server.sendall(piece)
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, caller: socket.socket) -> None:
        try:
            while piece := server.recv(_PIECE):
                caller.sendall(piece)
        except ConnectionResetError:
            reset(caller)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            caller.shutdown(socket.SHUT_WR)

    def _misbehave(self, caller: socket.socket, mode: GateMode) -> None:
        match mode:
            case GateMode.MUTE:
                self._released.wait()
            case GateMode.NOISE:
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                caller.shutdown(socket.SHUT_WR)
                caller.recv(_PIECE)
            case GateMode.DRIP:
                while not self._released.wait(_PAUSE):
                    caller.sendall(b"2")
            case GateMode.FLOOD:
                while not self._released.is_set():
                    caller.sendall(b"220-welcome, and wait\r\n" * 1000)


def reset(connection: socket.socket) -> None:
    """End a connection without a word."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Whoever still reads holds the connection open: this wakes them and says nothing to the other side.
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


_PATIENCE = 20.0  # Seconds; longer than any adapter waits on a bench.
_NO_CONTENT = 204


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One request."""

    method: str
    path: str
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedAnswer:
    """One answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Fault(Enum):
    """What may happen instead of an answer; the request was read whole."""

    #: Never answers.
    HANG = auto()
    #: Answers one byte at a time.
    DRIP = auto()
    #: Says 200 at once, then drips the body.
    DRIP_BODY = auto()
    RESET = auto()
    #: Closes politely without an answer.
    SILENT_CLOSE = auto()
    #: Cuts its answer in the middle of the head.
    HALF_ANSWER = auto()
    #: Says 200 and sends more than anybody wants.
    HUGE_BODY = auto()
    #: Sends a header line without end.
    HUGE_HEADER = auto()
    #: Speaks something else than HTTP.
    NOISE = auto()


Play = Callable[[Heard], StagedAnswer | Fault]


class Receiver:
    """Listens on loopback from construction until ``close``."""

    def __init__(self, play: Play, tls: ssl.SSLContext | None) -> None:
        self.play = play
        self.released = threading.Event()
        self._server = _Server((HOST, 0), _Handler)
        self._server.receiver = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and stop listening."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        heard = Heard(method=self.command, path=self.path, headers=self.headers, body=body)
        outcome = self.server.receiver.play(heard)
        if isinstance(outcome, StagedAnswer):
            self._answer(outcome)
            return
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._misbehave(outcome)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # Names that http.server wants.

    def _answer(self, answer: StagedAnswer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != _NO_CONTENT and "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _misbehave(self, fault: Fault) -> None:
        yes = b"HTTP/1.1 200 OK\r\n"
        match fault:
            case Fault.HANG:
                self.server.receiver.released.wait(_PATIENCE)
            case Fault.DRIP:
                self._drip(yes + b"X-Slow: " + b"a" * 4000)
            case Fault.DRIP_BODY:
                self.wfile.write(yes + b"Content-Length: 5000\r\n\r\n")
                self._drip(b"a" * 5000)
            case Fault.HUGE_BODY:
                self._flood(yes + b"Content-Length: 99999999999\r\n\r\n")
            case Fault.HUGE_HEADER:
                self._flood(yes + b"X-Huge: ")
            case Fault.RESET:
                reset(self.connection)
            case Fault.HALF_ANSWER | Fault.NOISE:
                self.wfile.write(b"HTTP/1.1 20" if fault is Fault.HALF_ANSWER else b"220 mail.example.org ESMTP\r\n")

    def _drip(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.receiver.released.wait(_PAUSE):
                return

    def _flood(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.receiver.released.is_set():
            self.wfile.write(b"a" * 65536)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


#: How a web receiver answers what would complete a delivery.
ANSWERS: Mapping[Trouble, StagedAnswer] = {
    Trouble.REDIRECT: StagedAnswer(status=307, headers={"Location": "/elsewhere"}),
    Trouble.PAYLOAD_REFUSED: StagedAnswer(status=422, body=SAID.encode()),
    Trouble.TOO_LARGE: StagedAnswer(status=413),
    Trouble.WRONG_MEDIA: StagedAnswer(status=415),
    Trouble.MALFORMED: StagedAnswer(status=400),
    Trouble.METHOD_REFUSED: StagedAnswer(status=405),
    Trouble.BAD_CREDENTIALS: StagedAnswer(status=401),
    Trouble.FORBIDDEN: StagedAnswer(status=403),
    Trouble.WRONG_PATH: StagedAnswer(status=404),
    Trouble.IN_PROGRESS: StagedAnswer(status=409),
    Trouble.CLOSED_FOR_GOOD: StagedAnswer(status=410),
    Trouble.TOO_MANY_SECONDS: StagedAnswer(status=429, headers={"Retry-After": "120"}),
    Trouble.TOO_MANY_NONSENSE: StagedAnswer(status=429, headers={"Retry-After": "-1e9; soon"}),
    Trouble.TOO_MANY_FOREVER: StagedAnswer(status=429, headers={"Retry-After": "9" * 400}),
    Trouble.MAINTENANCE: StagedAnswer(status=503, headers={"Retry-After": "7"}),
    Trouble.BROKEN: StagedAnswer(status=500),
    Trouble.GATEWAY_TIMEOUT: StagedAnswer(status=504),
}
FAULTS: Mapping[Trouble, Fault] = {
    Trouble.HANG: Fault.HANG,
    Trouble.DRIP: Fault.DRIP,
    Trouble.DRIP_AFTER_YES: Fault.DRIP_BODY,
    Trouble.RESET_LATE: Fault.RESET,
    Trouble.SILENT_CLOSE: Fault.SILENT_CLOSE,
    Trouble.HALF_ANSWER: Fault.HALF_ANSWER,
    Trouble.NOISE: Fault.NOISE,
    Trouble.HUGE_BODY: Fault.HUGE_BODY,
    Trouble.HUGE_HEADER: Fault.HUGE_HEADER,
}
#: Faults that say yes first.
_TAKEN = frozenset({Fault.DRIP_BODY, Fault.HUGE_BODY})
#: What the gate does in which trouble.
MODES: Mapping[Trouble, GateMode] = {
    Trouble.MUTE: GateMode.MUTE,
    Trouble.DRIP_EARLY: GateMode.DRIP,
    Trouble.NOISE_EARLY: GateMode.NOISE,
    Trouble.FLOOD_EARLY: GateMode.FLOOD,
    Trouble.STALL: GateMode.STALL,
    Trouble.RESET_EARLY: GateMode.CUT,
}
CERTIFICATES = frozenset(
    {
        Trouble.UNTRUSTED_CERTIFICATE,
        Trouble.EXPIRED_CERTIFICATE,
        Trouble.WRONG_NAME_IN_CERTIFICATE,
        Trouble.CLIENT_CERTIFICATE_WANTED,
    }
)


def answer_in(trouble: Trouble) -> StagedAnswer | Fault:
    """Return what a web receiver in trouble says to the request that would complete a delivery."""
    if trouble is Trouble.TOO_MANY_DATE:
        later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)  # A server has a clock.
        return StagedAnswer(status=429, headers={"Retry-After": later})
    return ANSWERS.get(trouble) or FAULTS.get(trouble) or StagedAnswer()


def says_yes(outcome: StagedAnswer | Fault) -> bool:
    """Tell whether the other side learns that the delivery was taken."""
    return outcome in _TAKEN if isinstance(outcome, Fault) else outcome.status == StagedAnswer().status


class WebBench:
    """A receiver behind TLS and a gate; families on HTTP say what it answers (``play``) and what it holds."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.trouble = Trouble.NONE
        self._receivers = [Receiver(self.play, workshop.tls())]
        self._gate = FaultyGate(self._receivers[0].port)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the receiver into a trouble."""
        self.trouble = trouble
        self._gate.mode = MODES.get(trouble, GateMode.PASS)
        if trouble in CERTIFICATES or trouble is Trouble.NO_TLS:
            tls = None if trouble is Trouble.NO_TLS else self.workshop.tls(trouble)
            self._receivers.append(Receiver(self.play, tls))
            self._gate.target = self._receivers[-1].port
        if trouble is Trouble.GONE:
            self._gate.close()
        if trouble is Trouble.CUT_MID_WRITE:
            self.leave_half(package)
        host = "receiver.invalid" if trouble is Trouble.NO_SUCH_NAME else f"{HOST}:{self._gate.port}"
        certificate, key = self.workshop.client
        return {
            "url": f"https://{host}",
            "ca_file": str(self.workshop.ca_file),
            "secret_file": str(self.workshop.secret_file),
            "client_cert_file": str(certificate),
            "client_key_file": str(key),
        }

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do nothing more: everything is arranged."""

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Answer a request."""
        raise NotImplementedError

    def leave_half(self, package: Package) -> None:
        """Hold what an attempt that crashed left behind."""

    def close(self) -> None:
        """Stop everything."""
        self._gate.close()
        for receiver in self._receivers:
            receiver.close()


class HttpBench(WebBench):
    """Any receiver that takes a delivery in one request and knows it by its id, in a header, the path or the body."""

    def __init__(self, workshop: Workshop) -> None:
        self._taken: list[str] = []
        self._expected = b""
        super().__init__(workshop)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the receiver into a trouble; it knows which delivery it has already."""
        self._expected = str(package.delivery_id).encode()
        return super().arrange(trouble, package)

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Hold what is said yes to; a redirect's target would say yes as well."""
        outcome = StagedAnswer() if heard.path.endswith("/elsewhere") else answer_in(self.trouble)
        if self.trouble is Trouble.ALREADY_TAKEN:
            return StagedAnswer(status=409, body=b'{"title": "Conflict", "deliveryId": "%s"}' % self._expected)
        if says_yes(outcome):
            head = "\n".join(heard.headers.values())
            self._taken.append(f"{heard.path}\n{head}\n{heard.body[:4096].decode(errors='replace')}")
        return outcome

    def copies(self, package: Package) -> int:
        """Count the requests that name the delivery."""
        return sum(str(package.delivery_id) in taken for taken in self._taken)

    def strangers(self, packages: list[Package]) -> int:
        """Count the requests that name none of the deliveries."""
        ids = [str(package.delivery_id) for package in packages]
        return sum(not any(one in taken for one in ids) for taken in self._taken)


class FitBench(WebBench):
    """Tokens, announcements, uploads and submissions; a trouble meets the last step, unless it belongs to an earlier."""

    def __init__(self, workshop: Workshop) -> None:
        self._open: dict[str, dict[str, bytes]] = {}
        self._announced: dict[str, list[str]] = {}
        self._submitted: dict[str, dict[str, Any]] = {}
        super().__init__(workshop)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the service into a trouble."""
        places = super().arrange(trouble, package)
        url = places["url"]
        return {
            **places,
            "submission_api": f"{url}/submission-api",
            "token_url": f"{url}/token",
            "client_id": "sender",
            "destination_id": str(package.submission.destination_id),
        }

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Answer as the service does."""
        path = heard.path.removeprefix("/submission-api").strip("/").split("/")
        match heard.method, path:
            case "POST", ["token"]:
                return self._token(heard)
            case "POST", ["v2", "submissions"] if self._known(heard):
                return self._announce(heard)
            case "PUT", ["v2", "submissions", one, "attachments", name] if name in self._announced.get(one, []):
                self._open[one][name] = heard.body
                return StagedAnswer(status=204)
            case "PUT", ["v2", "submissions", one] if one in self._announced and self._known(heard):
                return self._submit(one, heard)
            case _, ["elsewhere"]:
                return StagedAnswer()
        return StagedAnswer(status=404)

    def copies(self, package: Package) -> int:
        """Count the whole submissions with these contents."""
        contents = package.submission.contents
        wanted = {
            "encryptedMetadata": (contents.metadata.jwe or b"").decode(),
            **({"encryptedData": (contents.data.jwe or b"").decode()} if contents.data else {}),
            "attachments": {str(key): sealed.jwe for key, sealed in contents.attachments.items()},
        }
        return sum(submitted == wanted for submitted in self._submitted.values())

    def strangers(self, packages: list[Package]) -> int:
        """Count the other submissions."""
        return len(self._submitted) - sum(self.copies(package) for package in packages)

    def _known(self, heard: Heard) -> bool:
        return heard.headers["Authorization"] == "Bearer good" and heard.headers["Content-Type"] == "application/json"

    def _token(self, heard: Heard) -> StagedAnswer:
        form = {name: values[0] for name, values in parse_qs(heard.body.decode()).items()}
        good = {"grant_type": "client_credentials", "client_id": "sender", "client_secret": SECRET}
        if self.trouble is Trouble.BAD_CREDENTIALS or form != good:
            return _json({"error": "invalid_client"}, 401)
        return _json({"access_token": "good", "token_type": "Bearer", "expires_in": 1800}, 200)

    def _announce(self, heard: Heard) -> StagedAnswer:
        if self.trouble is Trouble.RECIPIENT_CLOSED:
            return _json({"type": "problems/destination-state-invalid"}, 422)
        submission_id, body = str(uuid4()), orjson.loads(heard.body)
        self._announced[submission_id] = body["announcedAttachments"]
        self._open[submission_id] = {}
        return _json({"submissionId": submission_id, "caseId": str(uuid4())}, 201)

    def _submit(self, submission_id: str, heard: Heard) -> StagedAnswer | Fault:
        outcome = answer_in(self.trouble)
        # A reset or a hang comes after the service has done its work.
        if says_yes(outcome) or outcome is Fault.RESET or outcome is Fault.HANG:
            if set(self._open[submission_id]) != set(self._announced[submission_id]):
                return _json({"type": "problems/attachment-missing"}, 422)
            self._submitted[submission_id] = {**orjson.loads(heard.body), "attachments": self._open[submission_id]}
        return outcome


def _json(document: Any, status: int) -> StagedAnswer:
    return StagedAnswer(status=status, headers={"Content-Type": "application/json"}, body=orjson.dumps(document))
