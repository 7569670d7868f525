"""The interface on loopback by which the local system decides: version 2 of the hand-over contract.

A system that was handed a submission and answered 202 says later, by the submission's id, what becomes of it: accept, reject
with reasons of the list, write back to the sender, or hand the case on to another authority. Whatever it says may be said anew:
the same is answered with what stands, other than that with 409. Lost answers are asked for by GET.

What every request passes, cheapest first: (1) its host is this machine by name and port, once (no page elsewhere reaches it
through a browser that was lied to about a name), (2) no browser's page sent it, (3) no field that decides something stands
there twice, (4) the token, (5) the path, and only then (6) the body, of its kind and up to its size.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from typing import Any
from uuid import UUID

import orjson

from hub.admission import Admission
from hub.client.session import Session
from hub.client.transport import Direct, is_loopback
from hub.connector.ai_steps import WrittenStep
from hub.connector.casebook import CaseDecision, OutgoingReply
from hub.connector.desk import MOST_FILES, REASONS, Desk, WantedForward, WantedReply
from hub.connector.forwards import TO_GO, CameFrom, ForwardState, HandOn
from hub.connector.journal import Entry, JournalState
from hub.connector.listener import QuietHandler, QuietServer
from hub.connector.refusals import no_such_case
from hub.connector.replies import ReplyFile
from hub.connector.settings import LONGEST_SECRET, LocalInterface, unusable
from hub.errors import Forbidden, HubError, Malformed, NotFound, Text, Unauthenticated, UnsupportedMedia
from hub.files import vault
from hub.model import FORWARD_REASONS, REPLY_KINDS
from hub.supervision import Supervisor
from hub.web.multipart import parts
from hub.web.responses import retry_after, status_of

_log = logging.getLogger(__name__)
#: Who is said to have decided.
WHO = "Fachverfahren"
_LARGEST_JSON = 128 * 1024
_PATH = re.compile(r"/v2/submissions/([0-9A-Fa-f-]{36})(?:/(accept|reject|replies|forward|ai-steps))?")
_FORWARD = re.compile(r"/v2/forwards/([0-9A-Fa-f-]{36})")
_REPLY = re.compile(r"/v2/replies/([0-9A-Fa-f-]{36})")
#: Fields of which two would leave it open which one counts.
_ONCE = ("Host", "Authorization", "Idempotency-Key", "Content-Type", "Content-Length", "Transfer-Encoding")
_HEADROOM = 1024 * 1024
_NO_DEFECTS = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect)
#: How a submission stands, in the words of the contract.
_STATES = {
    JournalState.SEEN: "received",
    JournalState.OPENED: "handing-over",
    JournalState.WAITING: "waiting",
    JournalState.HANDED: "pending",
    JournalState.ANSWERED: "answered",
    JournalState.OVERRULED: "overruled",
    JournalState.GONE: "gone",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counter:
    """What the handlers of one server share."""

    token: str = field(repr=False)
    desk: Desk
    room: Admission


class LocalApi:
    """The server, in threads of its own; listens from construction until ``close``."""

    def __init__(self, settings: LocalInterface, desk: Desk, *, supervisor: Supervisor | None = None) -> None:
        try:
            token = vault.read_text(settings.token_file, most=LONGEST_SECRET, encoding="ascii")
            room = Admission(memory_budget=2 * (desk.largest_reply + _HEADROOM), free_bytes=lambda: 0, disk_watermark=0)
            shared = _Counter(token=token, desk=desk, room=room)
            if not token:
                raise unusable("api.token_file", "ist leer", "is empty")
            self._server = QuietServer("127.0.0.1", settings.port, _Handler, shared)
        except (OSError, UnicodeDecodeError) as exc:
            raise unusable("api", "lässt sich nicht öffnen", "cannot be opened") from exc
        self.port = self._server.port
        self._server.begin("local-interface", supervisor or Supervisor())

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


class _Handler(QuietHandler):
    server_version = "rathaus-hub-connector"
    server: QuietServer[_Counter]

    def do_GET(self) -> None:  # noqa: N802  # Names that http.server wants.
        self._serve("GET")

    def do_POST(self) -> None:  # noqa: N802
        self._serve("POST")

    def _serve(self, method: str) -> None:
        try:
            self._require_entry()
            status, answer = self._read() if method == "GET" else self._act()
        except HubError as exc:
            status, answer = status_of(exc), _problem(exc)
            # What was not read of the request would be taken for the next one.
            self.close_connection = True
            self._send(status, answer, retry_after(exc))
            return
        except TimeoutError:
            self.close_connection = True
            self._send(408, {"title": "Request Timeout", "status": 408, "detail": "The body came too slowly."}, None)
            return
        except OSError:
            raise  # The other end has gone, and nobody is there to be answered.
        except Exception:  # noqa: BLE001  # a bug of ours: said in the log, and to the system, which may say it again
            _log.exception("a request of the local system could not be answered")
            self.close_connection = True
            self._send(500, {"title": "Internal error", "status": 500, "detail": "See the connector's log."}, None)
            return
        self._send(status, answer, None)

    def _require_entry(self) -> None:
        # The library misses the parts of a body that it was not given; whatever else it finds is broken.
        broken = [each for each in self.headers.defects if not isinstance(each, _NO_DEFECTS)]
        if broken or any(len(self.headers.get_all(name, [])) > 1 for name in _ONCE):
            raise Malformed(_TWICE)
        name, _, port = self.headers.get("Host", "").rpartition(":")
        if port != str(self.server.port) or not is_loopback(name.strip("[]")):
            raise Forbidden(_ELSEWHERE)
        if "Origin" in self.headers or self.headers.get("Sec-Fetch-Site", "none") != "none":
            raise Forbidden(_BROWSER)
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.server.desk.token}".encode()):
            raise Unauthenticated(_NO_TOKEN)

    def _read(self) -> tuple[int, Mapping[str, Any]]:
        desk = self.server.desk.desk
        if self.path == "/v2/kinds":
            return 200, _lists()
        handed = _FORWARD.fullmatch(self.path)
        if handed is not None:
            wish = desk.forwards.find(_id(handed[1]))
            if wish is None:
                raise no_such_case()
            return 200, _forward_json(wish)
        reply = _REPLY.fullmatch(self.path)
        if reply is not None:
            found = desk.book.reply(_id(reply[1]))
            if found is None:
                raise no_such_case()
            return 200, _reply_json(found)
        return 200, self._standing(desk.submission(self._submission("")))

    def _act(self) -> tuple[int, Mapping[str, Any]]:
        desk, found = self.server.desk.desk, _PATH.fullmatch(self.path)
        if found is None or found[2] is None:
            raise NotFound(_NO_PATH)
        submission_id, deed = _id(found[1]), found[2]
        if deed == "forward":
            return self._forward(submission_id)
        if deed == "replies":
            return self._write(submission_id)
        said = self._json()
        if deed == "ai-steps":
            request_id = _id(self.headers.get("Idempotency-Key", ""), "Idempotency-Key")
            return 202, _step_json(desk.ai_step(submission_id, request_id, said, who=WHO))
        if deed == "accept":
            _require_only(said, ())
            return 202, self._standing(desk.accept(submission_id, who=WHO))
        _require_only(said, ("reasons", "text"))
        reasons = said.get("reasons")
        if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
            raise Malformed(_field("reasons"))
        return 202, self._standing(desk.reject(submission_id, reasons, who=WHO, text=_text_of(said)))

    def _write(self, submission_id: UUID) -> tuple[int, Mapping[str, Any]]:
        """Take a reply: JSON, or multipart/form-data with a part ``reply`` and one ``attachment`` for each file."""
        counter = self.server.desk
        request_id = _id(self.headers.get("Idempotency-Key", ""), "Idempotency-Key")
        held = counter.room.reserve()
        try:
            if self._kind() == "multipart/form-data":
                body = _counted(self.body(counter.desk.largest_reply + _HEADROOM), held.grow)
                said, files = asyncio.run(_parted(body, self.headers.get("Content-Type", "")))
            else:
                said, files = self._json(), ()
            wish = read_wanted(said, request_id, submission_id, files)
            written = counter.desk.reply(wish, who=WHO)
        finally:
            held.release()
        return 202, _reply_json(written)

    def _forward(self, submission_id: UUID) -> tuple[int, Mapping[str, Any]]:
        """Hand on; with ``check`` only ask the hub whom it would go to."""
        said = dict(self._json())
        only_check = said.pop("check", False)
        request_id = _id(self.headers.get("Idempotency-Key", ""), "Idempotency-Key")
        wish = read_forward(said, request_id, submission_id)
        desk = self.server.desk.desk
        if only_check is True:
            found = desk.next_authority(wish)
            return 200, {"destinationId": str(found.destination_id), "name": found.name, "ars": found.ars}
        return 202, _forward_json(desk.forward(wish, who=WHO))

    def _submission(self, deed: str) -> UUID:
        found = _PATH.fullmatch(self.path)
        if found is None or (found[2] or "") != deed:
            raise NotFound(_NO_PATH)
        return _id(found[1])

    def _standing(self, entry: Entry) -> Mapping[str, Any]:
        decision = None if entry.decision is None else CaseDecision.loads(entry.decision)
        replies = self.server.desk.desk.book.replies(entry.case_id)
        return {
            "version": 2,
            "submissionId": str(entry.submission_id),
            "caseId": str(entry.case_id),
            "destinationId": str(entry.destination_id),
            "state": _STATES[entry.state],
            "decision": None if decision is None else "accept" if decision.accept else "reject",
            "reasons": [] if decision is None else list(decision.reasons),
            "replies": [_reply_json(each) for each in replies],
            "aiSteps": [_step_json(each) for each in self.server.desk.desk.ai_steps(entry.case_id)],
            "forwards": [_forward_json(each) for each in self.server.desk.desk.forwards.of_case(entry.case_id)],
            "deadlines": [
                {"name": each.name, "de": each.title.de, "en": each.title.en, "lastDay": each.last_day.isoformat()}
                for each in self.server.desk.desk.deadlines.of_case(entry.case_id)
            ],
            "cameFrom": _origin_json(self.server.desk.desk.forwards.origin(entry.case_id)),
        }

    def _kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def _json(self) -> Mapping[str, Any]:
        if self._kind() != "application/json":
            raise UnsupportedMedia(_NO_JSON)
        body = b"".join(self.body(_LARGEST_JSON))
        return _object(body)

    def _send(self, status: int, answer: Mapping[str, Any], wait: int | None) -> None:
        fields = {"Content-Type": "application/json" if status < 400 else "application/problem+json"}  # noqa: PLR2004
        if wait is not None:
            fields["Retry-After"] = str(wait)
        self.answer(status, orjson.dumps(answer), fields)


def read_wanted(
    said: Mapping[str, Any], request_id: UUID, submission_id: UUID, files: Iterable[ReplyFile]
) -> WantedReply:
    """Return a reply as a system wants it; ``Malformed`` names the member that cannot be used."""
    _require_only(said, ("kind", "text", "deadline"))
    kind, deadline = said.get("kind"), said.get("deadline")
    if not isinstance(kind, str):
        raise Malformed(_field("kind"))
    return WantedReply(
        request_id=request_id,
        submission_id=submission_id,
        kind=kind,
        text=_text_of(said),
        deadline=None if deadline is None else _day(deadline),
        files=tuple(files),
    )


def forward_by_interface(settings: LocalInterface, wish: WantedForward, *, check: bool) -> Mapping[str, Any]:
    """Say a hand-on to the running connector by its loopback interface; return what it answers.

    Raises:
        ConfigurationError: the token cannot be read. Unavailable: the connector does not run. Refused: it refuses.
    """
    try:
        token = vault.read_text(settings.token_file, most=LONGEST_SECRET, encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise unusable("api.token_file", "ist nicht lesbar", "cannot be read") from exc
    body = {"ars": wish.area, "reason": wish.reason, "text": wish.text} | (
        {"service": wish.service} if wish.service else {}
    )
    session = Session(f"http://127.0.0.1:{settings.port}", transport=Direct(user_agent="rathaus-hub-connector"))
    return session.json(
        "POST",
        f"/v2/submissions/{wish.submission_id}/forward",
        body=body | ({"check": True} if check else {}),
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": str(wish.request_id)},
    )


def read_forward(said: Mapping[str, Any], request_id: UUID, submission_id: UUID) -> WantedForward:
    """Return a hand-on as a system wants it; ``Malformed`` names the member that cannot be used."""
    _require_only(said, ("service", "ars", "reason", "text"))
    if not isinstance(said.get("reason"), str):
        raise Malformed(_field("reason"))
    service, area = said.get("service", ""), said.get("ars", "")
    for name, value in (("service", service), ("ars", area)):
        if not isinstance(value, str):
            raise Malformed(_field(name))
    return WantedForward(
        request_id=request_id,
        submission_id=submission_id,
        service=service,
        area=area,
        reason=said["reason"],
        text=_text_of(said),
    )


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise Malformed(_field("deadline")) from None


def _text_of(said: Mapping[str, Any]) -> str:
    text = said.get("text", "")
    if not isinstance(text, str):
        raise Malformed(_field("text"))
    return text


def _require_only(said: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse members that are none of the contract's: a slip of the pen would else be passed over in silence."""
    for name in said:
        if name not in names:
            known = ", ".join(names) or "-"
            raise Malformed(
                Text(f"Ein Feld kennt der Vertrag nicht. Erlaubt: {known}.", f"A member is unknown. Allowed: {known}.")
            )


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as exc:
        raise Malformed(_NO_OBJECT) from exc
    if not isinstance(said, dict):
        raise Malformed(_NO_OBJECT)
    return said


async def _parted(body: Iterable[bytes], content_type: str) -> tuple[Mapping[str, Any], tuple[ReplyFile, ...]]:
    said: Mapping[str, Any] | None = None
    files: list[ReplyFile] = []
    async for part in parts(_as_they_come(body), content_type, cap=MOST_FILES + 1):
        content = b"".join([chunk async for chunk in part.chunks()])
        if part.name == "reply" and said is None:
            said = _object(content)
        elif part.name == "attachment" and part.filename:
            files.append(ReplyFile(name=part.filename, media_type=media_type_of(part.content_type), content=content))
        else:
            raise Malformed(_PARTS)
    if said is None:
        raise Malformed(_PARTS)
    return said, tuple(files)


_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")


def media_type_of(said: str) -> str:
    """Return a media type without its parameters, or that of any bytes where it is none."""
    plain = said.partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.fullmatch(plain) and not plain.startswith("multipart/") else "application/octet-stream"


async def _as_they_come(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _counted(pieces: Iterable[bytes], grow: Any) -> Iterable[bytes]:
    for piece in pieces:
        grow(len(piece))
        yield piece


def _id(text: str, name: str = "id") -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Malformed(_field(name)) from None


def _lists() -> Mapping[str, Any]:
    return {
        "version": 2,
        "reasons": [{"name": each.name, "de": each.title.de, "en": each.title.en} for each in REASONS],
        "forwardReasons": [{"name": each.name, "de": each.title.de, "en": each.title.en} for each in FORWARD_REASONS],
        "kinds": [
            {"name": each.name, "de": each.title.de, "en": each.title.en, "asks": each.asks, "closes": each.closes}
            for each in REPLY_KINDS
            if not each.follows
        ],
    }


def _reply_json(reply: OutgoingReply) -> Mapping[str, Any]:
    return {
        "requestId": str(reply.request_id),
        "submissionId": str(reply.submission_id),
        "kind": reply.kind,
        "deadline": None if reply.deadline is None else reply.deadline.isoformat(),
        "state": "pending" if reply.state in {"written", "announced"} else reply.state.value,
        "replyId": None if reply.reply_id is None else str(reply.reply_id),
    }


def _step_json(written: WrittenStep) -> Mapping[str, Any]:
    return {
        "requestId": str(written.request_id),
        "submissionId": str(written.submission_id),
        **written.step.payload(),
        "state": "pending" if written.state == "written" else written.state.value,
        "note": written.note,
    }


def _forward_json(wish: HandOn) -> Mapping[str, Any]:
    return {
        "requestId": str(wish.request_id),
        "submissionId": str(wish.submission_id),
        "service": wish.service,
        "ars": wish.area,
        "reason": wish.reason,
        "state": "pending" if wish.state in TO_GO else wish.state.value,
        "why": wish.note if wish.state is ForwardState.REFUSED else None,
        "next": None
        if wish.next_case is None
        else {"name": wish.next_name, "caseId": str(wish.next_case), "submissionId": str(wish.next_submission)},
    }


def _origin_json(origin: CameFrom | None) -> Mapping[str, Any] | None:
    if origin is None:
        return None
    return {
        "caseId": str(origin.from_case),
        "name": origin.from_name,
        "reason": origin.reason,
        "at": origin.handed_at.isoformat(),
        "receivedAt": origin.received_at.isoformat(),
    }


def _problem(error: HubError) -> Mapping[str, Any]:
    return {
        "type": f"urn:rathaus-hub:problem:{error.slug}",
        "title": error.title.en,
        "detail": error.detail.en,
        "detailDe": error.detail.de,
        "status": status_of(error),
    }


def _field(name: str) -> Text:
    return Text(
        f"Das Feld {name} fehlt oder hat nicht die Form des Vertrags.",
        f"{name} is missing or not as the contract has it.",
    )


_TWICE = Text(
    "Ein Kopffeld, das entscheidet, steht zweimal da oder ist nicht lesbar.",
    "A header field that decides stands there twice, or cannot be read.",
)
_ELSEWHERE = Text(
    "Diese Schnittstelle heißt 127.0.0.1 oder localhost, mit ihrem Port.",
    "This interface is called 127.0.0.1 or localhost, with its port.",
)
_BROWSER = Text("Diese Schnittstelle ist nicht für Seiten in Browsern.", "This interface is not for pages in browsers.")
_NO_TOKEN = Text(
    "Das Token fehlt oder ist falsch. Nennen Sie den Inhalt von api.token_file als Bearer.",
    "The token is missing or wrong. Say the content of api.token_file as Bearer.",
)
_NO_PATH = Text(
    "Diesen Pfad gibt es nicht: /v2/submissions/{id}[/accept|/reject|/replies|/forward], /v2/replies/{id}, /v2/forwards/{id}, "
    "/v2/kinds.",
    "There is no such path: /v2/submissions/{id}[/accept|/reject|/replies|/forward], /v2/replies/{id}, "
    "/v2/forwards/{id}, /v2/kinds.",
)
_NO_JSON = Text("Senden Sie application/json.", "Send application/json.")
_NO_OBJECT = Text("Der Inhalt ist kein JSON-Objekt.", "The body is no JSON object.")
_PARTS = Text(
    "Senden Sie einen Teil „reply“ (JSON) und je Datei einen Teil „attachment“ mit Dateinamen.",
    "Send one part 'reply' (JSON), and a part 'attachment' with a file name for each file.",
)
