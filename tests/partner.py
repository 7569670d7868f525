"""The one simulated other side: a small threaded HTTP server that plays any receiving system, well or badly.

``Partner`` keeps every request that it read. ``play`` decides what happens to one: it gets the :class:`Heard` request
and returns an :class:`Answer` or a :class:`Fault`.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from enum import StrEnum
from hashlib import sha512
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import orjson

from hub.crypto import (
    claims_of,
    encrypt,
    make_ed25519_pair,
    make_receipt,
    read_signing_key,
    sign_ps512,
    verification_key,
    verify_ps512,
)
from hub.model import GENESIS, Evidence, canonical_entry, chained_hash


@dataclass(frozen=True, kw_only=True)
class Heard:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Fault(StrEnum):
    #: Reads the request and never answers.
    HANG = "hang"
    #: Answers one byte at a time, forever.
    DRIP = "drip"
    #: Says 200 at once, then drips the body.
    DRIP_BODY = "drip the body"
    #: Reads the whole request, then resets the connection.
    RESET_AFTER_BODY = "reset after the body"
    #: Reads the whole request, then closes politely without an answer.
    SILENT_CLOSE = "close without an answer"
    #: Cuts its answer in the middle of the head.
    HALF_ANSWER = "half an answer"
    #: Says 200 and sends more than anybody wants.
    HUGE_BODY = "huge body"
    #: Sends a header line without end.
    HUGE_HEADER = "huge header"
    #: Speaks something else than HTTP.
    NOISE = "noise"


Play = Callable[[Heard], "Answer | Fault"]


def well(_heard: Heard) -> Answer:
    return Answer()


def RESET_EARLY(_heard: Heard) -> Answer:  # noqa: N802  # A play by its identity: resets before the body is read.
    raise AssertionError


def always(answer: Answer | Fault) -> Play:
    return lambda _heard: answer


class Partner:
    """Listens on loopback from construction until ``close``; usable as a context manager."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None, play: Play = well) -> None:
        self.play = play
        self.heard: list[Heard] = []
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.partner = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005})
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everybody and stop listening; whoever connects afterwards is refused."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 50
    partner: Partner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        partner = self.server.partner
        if partner.play is RESET_EARLY:
            self._reset()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        heard = Heard(method=self.command, path=parts.path, query=query, headers=self.headers, body=body)
        partner.heard.append(heard)
        outcome = partner.play(heard)
        if isinstance(outcome, Answer):
            self._answer(outcome)
            return
        self.close_connection = True
        with suppress(OSError):
            self._misbehave(outcome)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # Names that http.server wants.

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _misbehave(self, fault: Fault) -> None:
        yes = b"HTTP/1.1 200 OK\r\n"
        match fault:
            case Fault.HANG:
                self.server.partner.released.wait(20)
            case Fault.DRIP:
                self._drip(yes + b"X-Slow: " + b"a" * 4000)
            case Fault.DRIP_BODY:
                self.wfile.write(yes + b"Content-Length: 5000\r\n\r\n")
                self._drip(b"a" * 5000)
            case Fault.HUGE_BODY:
                self._flood(yes + b"Content-Length: 99999999999\r\n\r\n")
            case Fault.HUGE_HEADER:
                self._flood(yes + b"X-Huge: ")
            case Fault.RESET_AFTER_BODY:
                self._reset()
            case Fault.HALF_ANSWER | Fault.NOISE:
                self.wfile.write(b"HTTP/1.1 20" if fault is Fault.HALF_ANSWER else b"220 mail.example.org ESMTP\r\n")

    def _drip(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.partner.released.wait(0.05):
                return

    def _flood(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.partner.released.is_set():
            self.wfile.write(b"a" * 65536)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_args: Any) -> None:
        """Keep the test output clean."""


class FakeHub(Partner):
    """Plays a FIT-Connect delivery service: hands out what ``submit`` put in, and keeps the event logs.

    ``down`` makes every answer 503; ``lose`` takes the next posted event but loses the answer;
    ``page`` is the most entries that one answer lists.
    """

    def __init__(self, *, signing_key: Any, destination_id: UUID, encryption_key: Any, receiver_jwk: Any) -> None:
        self.signing_key, self.destination_id = signing_key, destination_id
        self.encryption_key, self.receiver_jwk = encryption_key, receiver_jwk
        self.submissions: dict[str, dict[str, Any]] = {}
        self.attachments: dict[tuple[str, str], bytes] = {}
        self.logs: dict[str, list[str]] = {}
        self.claims: dict[str, list[dict[str, Any]]] = {}
        public, private = make_ed25519_pair("hub-receipt-")
        self.receipt_key, self.receipt_jwk = read_signing_key(private, written_by_us=True), dict(public)
        self.key_lists = 0
        self.posted: list[dict[str, Any]] = []
        #: Replies by their ids: what was announced, and what came of it.
        self.replies: dict[str, dict[str, Any]] = {}
        #: Steps of AI systems by their ids, of systems that the register has.
        self.ai_steps: dict[str, dict[str, Any]] = {}
        self.ai_systems = {"plan-check"}
        self.down = self.lose = False
        self.page = 500
        super().__init__(play=self.play_well)

    def submit(
        self,
        *,
        now: datetime,
        metadata: bytes,
        data: bytes | None,
        attachments: Mapping[UUID, bytes],
        case_id: UUID | None = None,
    ) -> UUID:
        """Seal and store a submission, with create- and submit-event; return its id."""
        submission_id, case_id = uuid4(), case_id or uuid4()
        sealed = {
            "submissionId": str(submission_id),
            "caseId": str(case_id),
            "destinationId": str(self.destination_id),
            "publicService": {"identifier": "urn:de:fim:leika:leistung:99102013000000", "name": "Hundesteuer"},
            "encryptedMetadata": self.seal(metadata),
            "encryptedData": None if data is None else self.seal(data),
            "attachments": [str(one) for one in attachments],
        }
        self.submissions[str(submission_id)] = sealed
        for one, content in attachments.items():
            self.attachments[str(submission_id), str(one)] = self.seal(content).encode()
        self.write(sealed, "create", {}, now)
        self.write(sealed, "submit", {"authenticationTags": self.tags(str(submission_id))}, now)
        return submission_id

    def seal(self, content: bytes) -> str:
        return encrypt(self.encryption_key, content, "application/json")[0].decode()

    def tags(self, submission_id: str) -> dict[str, Any]:
        sealed = self.submissions[submission_id]
        tags: dict[str, Any] = {"metadata": sealed["encryptedMetadata"].split(".")[4]}
        if sealed["encryptedData"] is not None:
            tags["data"] = sealed["encryptedData"].split(".")[4]
        if sealed["attachments"]:
            tags["attachments"] = {
                one: self.attachments[submission_id, one].decode().split(".")[4] for one in sealed["attachments"]
            }
        return tags

    def write(self, sealed: Mapping[str, Any], kind: str, payload: Any, now: datetime) -> None:
        """Append an event in the hub's name."""
        claims = {
            "$schema": "https://schema.fitko.de/fit-connect/set-payload/1.2.2/set-payload.schema.json",
            "jti": str(uuid4()),
            "iss": self.url,
            "iat": int(now.timestamp()),
            "sub": f"submission:{sealed['submissionId']}",
            "txn": f"case:{sealed['caseId']}",
            "events": {f"https://schema.fitko.de/fit-connect/events/{kind}-submission": payload},
        }
        token = sign_ps512(self.signing_key, orjson.dumps(claims), typ="secevent+jwt")
        self.logs.setdefault(sealed["caseId"], []).append(token)
        self.claims.setdefault(sealed["caseId"], []).append(claims)

    def evidence(self, submission_id: UUID, *, now: datetime, **changes: Any) -> Evidence:
        """Return what proves a submission without tokens; ``changes`` are made to the receipt's claims before it is signed."""
        sealed = self.submissions[str(submission_id)]
        contents = {
            name: {
                "sha512": sha512(jwe).hexdigest(),
                "size": len(jwe),
                "authenticationTag": jwe.rpartition(b".")[2].decode(),
            }
            for name, jwe in self.parts(submission_id).items()
        }
        digests = {name: part["sha512"] for name, part in contents.items()}
        entries = [
            canonical_entry({"seq": seq, "claims": claims, "digests": digests if seq == 2 else {}})
            for seq, claims in enumerate(self.claims[sealed["caseId"]][:2], start=1)
        ]
        head = GENESIS
        for entry in entries:
            head = chained_hash(head, entry)
        claims = {
            "ver": 2,
            "door": "plain",
            "iss": self.url,
            "jti": str(uuid4()),
            "iat": int(now.timestamp()),
            "sub": f"submission:{submission_id}",
            "txn": f"case:{sealed['caseId']}",
            "acceptedAt": now.isoformat(),
            "destination": {"destinationId": str(self.destination_id), "name": "Stadt"},
            "publicService": sealed["publicService"]["identifier"],
            "contents": contents,
            "eventLog": {"seq": 2, "hash": head},
        } | changes
        receipt = make_receipt(self.receipt_key, claims)
        return Evidence(receipt=receipt, previous=GENESIS, entries=tuple(entry.decode() for entry in entries))

    def parts(self, submission_id: UUID) -> dict[str, bytes]:
        """Return the sealed parts by their names."""
        sealed = self.submissions[str(submission_id)]
        parts = {"metadata": sealed["encryptedMetadata"].encode()}
        if sealed["encryptedData"] is not None:
            parts["data"] = sealed["encryptedData"].encode()
        return parts | {f"attachment:{one}": self.attachments[str(submission_id), one] for one in sealed["attachments"]}

    def proven(self, submission_id: UUID, *, now: datetime, inline: bool = True, **changes: Any) -> dict[str, Any]:
        """Return what the hub's https adapter would push in version 2."""
        found = self.evidence(submission_id, now=now, **changes)
        envelope = self.envelope(submission_id, inline=inline)
        del envelope["eventLog"]
        log = {"previous": found.previous, "entries": list(found.entries)}
        return {**envelope, "version": 2, "receipt": found.receipt, "log": log}

    def envelope(self, submission_id: UUID, *, inline: bool = True, repeat: bool = False) -> dict[str, Any]:
        """Return what the hub's https adapter would push in version 1."""
        sealed = self.submissions[str(submission_id)]
        entries = []
        for one in sealed["attachments"]:
            jwe = self.attachments[str(submission_id), one]
            where = {"jwe": jwe.decode()} if inline else {"url": f"{self.url}/submission-api/v2/anything"}
            entries.append({"attachmentId": one, "sha512": sha512(jwe).hexdigest(), "size": len(jwe), **where})
        log = list(self.logs[sealed["caseId"]])
        more = {"version": 1, "deliveryId": str(uuid4()), "attempt": 1, "repeat": repeat, "eventLog": log}
        return {**sealed, **more, "attachments": entries}

    def play_well(self, heard: Heard) -> Answer | Fault:
        if self.down:
            return Answer(status=503, headers={"Retry-After": "1"})
        if heard.path == "/token":
            return _json({"access_token": "token", "token_type": "Bearer", "expires_in": 1800})
        if heard.path == "/hub/v1/jwks.json":
            self.key_lists += 1
            return _json({"keys": [self.receipt_jwk]})
        path = heard.path.removeprefix("/submission-api").strip("/").split("/")
        if path[-1] == "events" and path[2] in self.logs:
            return self._events(path[2], heard)
        if heard.method in {"POST", "PUT"} and path[:2] == ["v2", "replies"]:
            return self._reply(path[2:], heard)
        return self._own(heard, path)

    def _own(self, heard: Heard, path: list[str]) -> Answer | Fault:
        """What lies below the hub's root, and what is only read."""
        if heard.path.startswith("/hub/v1/cases/") and path[-1] == "ai-steps":
            return self._ai_step(heard)
        return self._list(heard) if path == ["v2", "submissions"] else self._read(path)

    def _reply(self, path: list[str], heard: Heard) -> Answer | Fault:
        """Take what an authority writes; a reply counts once it is submitted, and submitting it again changes nothing."""
        match path:
            case []:
                reply_id = str(uuid4())
                self.replies[reply_id] = {**heard.json(), "attachments": {}, "submitted": None}
                answer = Answer(
                    status=201,
                    headers={"Content-Type": "application/json"},
                    body=orjson.dumps({"replyId": reply_id, "caseId": heard.json()["caseId"]}),
                )
            case [one, "attachments", name] if one in self.replies:
                self.replies[one]["attachments"][name] = heard.body
                answer = Answer(status=204)
            case [one] if one in self.replies:
                self.replies[one]["submitted"] = heard.json()
                answer = Answer(status=200)
            case _:
                return Answer(status=404)
        if self.lose:
            self.lose = False
            return Fault.SILENT_CLOSE
        return answer

    def _ai_step(self, heard: Heard) -> Answer | Fault:
        """Take a step of an AI system, signed by the authority; the same one again changes nothing."""
        token = heard.body.decode()
        claims = orjson.loads(verify_ps512(token, verification_key(self.receiver_jwk), typ="secevent+jwt"))
        ((uri, said),) = claims["events"].items()
        if uri != "urn:rathaus-hub:events:ai-step" or said["system"] not in self.ai_systems:
            body = {"type": "https://hub.example/problems/ai-system-not-registered", "title": "x", "status": 422}
            return Answer(status=422, headers={"Content-Type": "application/problem+json"}, body=orjson.dumps(body))
        self.ai_steps[claims["jti"]] = claims
        if self.lose:
            self.lose = False
            return Fault.SILENT_CLOSE
        return Answer(status=204)

    def sent_replies(self) -> list[dict[str, Any]]:
        """Return the replies that their addressee can see."""
        return [each for each in self.replies.values() if each["submitted"] is not None]

    def _read(self, path: list[str]) -> Answer:
        match path:
            case [".well-known", "jwks.json"]:
                return _json({"keys": [self.signing_key.public_jwk()]})
            case ["v2", "submissions", one] if one in self.submissions:
                return _json(self.submissions[one])
            case ["v2", "submissions", one, "attachments", name] if (one, name) in self.attachments:
                return Answer(headers={"Content-Type": "application/jose"}, body=self.attachments[one, name])
            case ["v2", "destinations", _, "keys", kid] if kid == self.receiver_jwk["kid"]:
                return _json(self.receiver_jwk)
        return Answer(status=404)

    def _list(self, heard: Heard) -> Answer:
        offset, limit = int(heard.query["offset"][0]), min(self.page, int(heard.query["limit"][0]))
        waiting = [one for one in self.submissions.values() if not self.is_answered(one["caseId"], one["submissionId"])]
        return _json({"submissions": waiting[offset : offset + limit], "totalCount": len(waiting)})

    def is_answered(self, case_id: str, submission_id: str) -> bool:
        """Whether the case's log holds an event that ends this submission."""
        said = [claims_of(token) for token in self.logs[case_id]]
        return any(
            claims["sub"] == f"submission:{submission_id}" and not {"create", "submit"} & _kinds(claims)
            for claims in said
        )

    def _events(self, case_id: str, heard: Heard) -> Answer | Fault:
        log = self.logs[case_id]
        if heard.method == "GET":
            offset, limit = int(heard.query["offset"][0]), min(self.page, int(heard.query["limit"][0]))
            return _json({"eventLog": log[offset : offset + limit], "totalCount": len(log)})
        token = heard.body.decode()
        receiver = verification_key(self.receiver_jwk)
        claims = orjson.loads(verify_ps512(token, receiver, typ="secevent+jwt"))
        if self.is_answered(case_id, claims["sub"].rpartition(":")[2]):
            return Answer(status=409)
        log.append(token)
        self.posted.append(claims)
        if self.lose:
            self.lose = False
            return Fault.SILENT_CLOSE
        return Answer(status=204)


def _kinds(claims: Mapping[str, Any]) -> set[str]:
    return {uri.rpartition("/")[2].partition("-")[0] for uri in claims["events"]}


def _json(document: Any) -> Answer:
    return Answer(headers={"Content-Type": "application/json"}, body=orjson.dumps(document))
