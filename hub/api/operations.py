"""What every operation of the contract does with a request, in layers: check it, call the handler, check the answer.

Each layer looks the operation up once and works with what was compiled from the contract at the start; connexion's own
layers derive the same from the contract again on every request, which cost more than all the rest of the way.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import jsonschema_rs
import orjson
from connexion.decorators.parameter import sanitized
from connexion.exceptions import UnsupportedMediaTypeProblem
from connexion.lifecycle import ConnexionResponse
from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.admission import Admission, Reservation
from hub.api.contracts import (
    STREAM,
    Body,
    BrokenContractError,
    Parameters,
    begun,
    body_required,
    compiled,
    counted_in,
    violations,
)
from hub.api.guards import Arrival, arrival
from hub.api.limits import Limits
from hub.api.readers import strict_form, strict_json

#: Makes one operation's part of a layer from connexion's operation and the next layer.
Make = Callable[[Any, ASGIApp], ASGIApp]
Handler = Callable[..., Any]

_FORM = "application/x-www-form-urlencoded"
#: Where the checked arguments of a request wait for the handler.
_ARGUMENTS = "hub.arguments"
#: Where the request's share of the memory budget lies.
_RESERVATION = "hub.reservation"
#: Caps on bodies (``x-limit``) that are handed on while they arrive, and bytes of such a one that are in memory at most.
_IN_PIECES = frozenset({"attachment", "total"})
_PIECE = 2 * 1024 * 1024
_FIRST_ERROR = 400
_VISIT: ContextVar[Request] = ContextVar("visit")


def visit() -> Request:
    """Return the request that is being handled."""
    return _VISIT.get()


def caller_address() -> str:
    """Return the network address that the request comes from, as the server determined it; empty where there is none."""
    client = visit().client
    return client.host if client is not None else ""


class Layer(RoutedMiddleware[Any]):  # type: ignore[misc]  # connexion has no types
    """A layer that is made anew for each operation of the contract, once, at the start."""

    def __init__(self, app: ASGIApp, *, make: Make) -> None:
        super().__init__(app)
        self._make = make

    def api_cls(self, specification: Any, **options: Any) -> Any:
        """Return all operations of the contract."""
        return _Operations(specification, make=self._make, **options)


class _Operations(RoutedAPI[ASGIApp]):  # type: ignore[misc]  # connexion has no types
    def __init__(self, specification: Any, *, make: Make, **options: Any) -> None:
        super().__init__(specification, **options)
        self._make = make
        self.add_paths()

    def make_operation(self, operation: Any) -> ASGIApp:
        return self._make(operation, self.next_app)


class RequestCheck:
    """Checks parameters, media type and body of one operation's requests, and puts down what the handler gets.

    A body is read only where there is room for it, and what is held of it counts against the budget to the request's end.
    """

    def __init__(self, operation: Any, next_app: ASGIApp, *, limits: Limits, admission: Admission) -> None:
        self._next = next_app
        self._admission = admission
        self._parameters = Parameters(operation.parameters)
        self._required = operation.request_body.get("required", False)
        content = operation.request_body.get("content", {})
        self._bodies = {
            kind: _body(kind, entry.get("schema", {}), limits, required=self._required)
            for kind, entry in content.items()
        }
        self._in_pieces = {
            kind for kind, entry in content.items() if entry.get("schema", {}).get("x-limit") in _IN_PIECES
        }
        self._usual = next(iter(self._bodies), "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        arguments = scope["extensions"][_ARGUMENTS] = self._parameters.read(scope)
        if not self._bodies:
            await self._next(scope, receive, send)
            return
        reservation = scope["extensions"][_RESERVATION] = self._admission.reserve()
        try:
            receive = await self._taken(arrival(scope), receive, arguments, reservation)
            await self._next(scope, receive, send)
        finally:
            reservation.release()

    async def _taken(
        self, came: Arrival, receive: Receive, arguments: dict[str, Any], reservation: Reservation
    ) -> Receive:
        """Read the body if it is a small one; return the ``receive`` that the handler gets."""
        if self._required and came.length == 0:
            raise body_required()
        media_type = came.media_type or self._usual
        if media_type not in self._bodies:
            raise UnsupportedMediaTypeProblem
        body, expected = self._bodies[media_type], came.length or 0
        reservation.insist_on_room(min(expected, _PIECE) if media_type in self._in_pieces else expected)
        if body is not None:
            arguments["body"], receive = await body.read(counted_in(receive, reservation))
        elif self._required and came.length is None:
            receive = await begun(receive)
        return receive


def reservation() -> Reservation:
    """Return the share of the memory budget that the request being handled holds to its end."""
    held: Reservation = visit().scope["extensions"][_RESERVATION]
    return held


def _body(media_type: str, schema: Mapping[str, Any], limits: Limits, *, required: bool) -> Body | None:
    """Return the check of one media type's bodies, None where the handler reads them as a stream."""
    if media_type == _FORM:
        return Body(lambda body: strict_form(body, limits), compiled(schema, "request"), required=required)
    if media_type.endswith("json") and not schema.get(STREAM):
        return Body(lambda body: strict_json(body, limits), compiled(schema, "request"), required=required)
    return None


class AnswerCheck:
    """Holds back each JSON answer of one operation until it is known to keep the contract."""

    def __init__(self, operation: Any, next_app: ASGIApp) -> None:
        self._next = next_app
        self._produced = frozenset(media_type.lower() for media_type in operation.produces)
        self._usual = operation.produces[0] if operation.produces else "application/octet-stream"
        self._any = compiled({}, "response")
        self._validators = {
            (status, media_type): compiled(entry.get("schema", {}), "response")
            for status, response in operation.responses.items()
            for media_type, entry in response.get("content", {}).items()
            if media_type.endswith("json")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        validator: jsonschema_rs.Draft4Validator | None = None
        held: list[Message] = []

        async def checked(message: Message) -> None:
            nonlocal validator
            if message["type"] == "http.response.start":
                validator = self._validator(message)
            if validator is None:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                _insist(validator, b"".join(part.get("body", b"") for part in held))
                for part in held:
                    await send(part)

        await self._next(scope, receive, checked)

    def _validator(self, start: Message) -> jsonschema_rs.Draft4Validator | None:
        """Return what judges the body of an answer that begins with ``start``, None for what is no JSON."""
        given = next((value for name, value in start["headers"] if name.lower() == b"content-type"), None)
        media_type = self._usual if given is None else given.decode("latin-1").partition(";")[0].lower()
        status: int = start["status"]
        if status < _FIRST_ERROR and self._produced and media_type not in self._produced:
            raise BrokenContractError("an answer has a media type that the contract does not name")
        if not media_type.endswith("json"):
            return None
        found = self._validators.get((str(status), media_type)) or self._validators.get(("default", media_type))
        return found or self._any


def _insist(validator: jsonschema_rs.Draft4Validator, body: bytes) -> None:
    if not body:
        return
    try:
        found = violations(validator, orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise BrokenContractError("an answer is not JSON") from error
    if found:
        places = ", ".join(f"{violation['rule']} at {violation['path'] or '/'}" for violation in found)
        raise BrokenContractError(places)


class Handling:
    """Calls one operation's handler with the arguments that it names, and sends what it returns."""

    def __init__(self, operation: Any, handler: Handler) -> None:
        self._handler = handler
        parameters = inspect.signature(handler).parameters.values()
        self._takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
        self._takes = frozenset(each.name for each in parameters)
        self._names = {each["name"]: sanitized(each["name"]) for each in operation.parameters} | {"body": "body"}
        self._streams_body = "body" in self._takes and bool(operation.request_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        request = Request(scope, receive)
        _VISIT.set(request)
        extensions = scope["extensions"]
        given: dict[str, Any] = extensions[_ARGUMENTS]
        if self._streams_body and "body" not in given:
            given["body"] = await Request(scope, counted_in(receive, extensions[_RESERVATION])).body()
        named = {self._names[name]: value for name, value in given.items() if name in self._names}
        # What the security check found out wins over parameters of the same name.
        named |= extensions.get("connexion_context", {})
        if not self._takes_all:
            named = {name: value for name, value in named.items() if name in self._takes}
        answer = self._handler(**named)
        response = _response(await answer if isinstance(answer, Awaitable) else answer)
        await response(scope, receive, send)


def _response(answer: Any) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, ConnexionResponse):
        return Response(content=answer.body, status_code=answer.status_code, headers=answer.headers)
    return Response(content=orjson.dumps(answer), media_type="application/json")


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what no operation answers."""
    del receive, send
    if scope["type"] == "http":
        raise HTTPException(404)
