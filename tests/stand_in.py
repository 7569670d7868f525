"""An edge with stand-in handlers and a small contract, and a client that can send what no library would."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.admission import Admission
from hub.api import application
from hub.api.guards import RequestLimits, arrival
from hub.web.multipart import parts

GOOD, WEAK = "good-token", "weak-token"
NOTE = {"id": "ce75a6b8-d72f-4b94-b09e-af6be35bc2ae", "text": "Hallo"}
_OK = {"description": "ok", "content": {"application/json": {"schema": {"type": "object"}}}}
_PROBLEM = {"description": "no", "content": {"application/problem+json": {"schema": {"type": "object"}}}}
_NOTE = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "text": {"type": "string", "maxLength": 20},
        "count": {"type": "integer", "nullable": True, "enum": [1, 2]},
        "when": {"type": "string", "format": "date-time"},
        "secret": {"type": "string", "writeOnly": True},
    },
}


def _operation(name: str, *, body: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    operation = {"operationId": name, "responses": {"200": _OK, "400": _PROBLEM}, **more}
    if body is not None:
        content = {media_type: {"schema": schema} for media_type, schema in body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or {"type": "string"}}


CONTRACT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "stand-in", "version": "1"},
    "security": [],
    "paths": {
        "/hub/v1/notes": {
            "get": _operation(
                "notes.list",
                parameters=[
                    _query("limit", type="integer", maximum=500),
                    _query("area", type="string", pattern="^[0-9]{8}$"),
                    _query("word", type="array", items={"type": "string"}),
                    {"name": "X-Key", "in": "header", "schema": {"type": "string", "format": "uuid"}},
                ],
            ),
            "post": _operation("notes.create", body={"application/json": _NOTE, "application/xml": {"x-stream": True}}),
        },
        "/hub/v1/notes/{noteId}": {
            "parameters": [
                {"name": "noteId", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
            ],
            "get": _operation("notes.show", security=[{"oauth2": ["send"]}]),
        },
        "/hub/v1/broken": {
            "get": {
                "operationId": "notes.broken",
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {
                            "application/json": {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
                        },
                    }
                },
            }
        },
        "/hub/v1/parts": {
            "post": _operation(
                "parts.create", body={"multipart/form-data": {"type": "object", "x-stream": True, "x-limit": "total"}}
            )
        },
        "/hub/v1/mine": {
            "post": _operation("mine.create", security=[{"oauth2": ["send"]}], body={"application/json": _NOTE})
        },
        "/token": {"post": _operation("oauth.token", body={"application/x-www-form-urlencoded": {"type": "object"}})},
        "/v1/info": {"get": _operation("fit.info", parameters=[_query("any")])},
        "/v1/attachments/{attachmentId}": {
            "put": _operation(
                "fit.upload",
                parameters=[{"name": "attachmentId", "in": "path", "required": True, "schema": {"type": "string"}}],
                body={"application/jose": {"type": "string", "x-limit": "attachment"}},
            )
        },
        "/v2/destinations/{destinationId}/keys": {
            "post": _operation(
                "fit.add_key",
                parameters=[{"name": "destinationId", "in": "path", "required": True, "schema": {"type": "string"}}],
                body={"application/json": {"type": "object"}},
            )
        },
        "/destination-api/v2/destinations/{destinationId}/keys": {
            "get": _operation(
                "fit.list_keys",
                parameters=[{"name": "destinationId", "in": "path", "required": True, "schema": {"type": "string"}}],
            )
        },
    },
    "components": {
        "securitySchemes": {
            "oauth2": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": {"send": "send", "manage": "manage"}}},
            }
        }
    },
}


async def seen(**arguments: Any) -> dict[str, Any]:
    """Answer with what reached the handler."""
    came = arrival(context.request.scope)
    return {"arguments": arguments, "api": came.api, "path": came.path, "mediaType": came.media_type}


class StandIn:
    """Handlers that tell what they got; ``error`` is raised by ``notes.list`` instead, if set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def listed(self, limit: int = 100, area: str | None = None, word: list[str] | None = None) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return await seen(limit=limit, area=area, word=word)

    async def create(self, body: Any = None) -> dict[str, Any]:
        return await seen(body=body if not isinstance(body, bytes) else body.decode())

    async def show(self, noteId: str, user: str, token_info: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        return await seen(noteId=noteId, user=user, scope=token_info["scope"])

    async def broken(self) -> dict[str, Any]:
        return {"a": "Geheimnis"}

    async def parts(self) -> dict[str, Any]:
        came = arrival(context.request.scope)
        found = []
        async for part in parts(context.request.stream(), came.content_type):
            size = sum([len(chunk) async for chunk in part.chunks()])
            found.append({"name": part.name, "filename": part.filename, "type": part.content_type, "size": size})
        return {"parts": found}

    async def upload(self, attachmentId: str) -> dict[str, Any]:  # noqa: N803
        sizes = [len(chunk) async for chunk in context.request.stream()]
        return {"id": attachmentId, "pieces": len([size for size in sizes if size]), "size": sum(sizes)}

    async def any(self, destinationId: str = "") -> ConnexionResponse:  # noqa: N803
        came = arrival(context.request.scope)
        body = json.dumps({"api": came.api, "path": came.path})
        return ConnexionResponse(status_code=200, body=body, content_type="application/json")

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "notes.list": self.listed,
            "notes.create": self.create,
            "notes.show": self.show,
            "notes.broken": self.broken,
            "parts.create": self.parts,
            "mine.create": self.create,
            "oauth.token": self.create,
            "fit.info": self.any,
            "fit.upload": self.upload,
            "fit.add_key": self.any,
            "fit.list_keys": self.any,
        }


def token_info(token: str) -> dict[str, Any] | None:
    return {GOOD: {"sub": "client-1", "scope": ["send"]}, WEAK: {"sub": "client-2", "scope": ""}}.get(token)


def contract_file(folder: Path, contract: Mapping[str, Any] = CONTRACT) -> Path:
    path = folder / "contract.yaml"
    path.write_text(json.dumps(contract))
    return path


def edge_app(folder: Path, *, error: Exception | None = None, **changes: Any) -> Any:
    """Return an edge over :data:`CONTRACT` (or ``contract=``) and :class:`StandIn` (or ``handlers=``)."""
    settings: dict[str, Any] = {
        "specification": contract_file(folder, changes.pop("contract", CONTRACT)),
        "base_url": "http://hub.test",
        "token_info": token_info,
        "production": True,
        "limits": RequestLimits(),
        "admission": Admission(memory_budget=10**9, free_bytes=lambda: 0, disk_watermark=0),
        **changes,
    }
    return application.build(settings.pop("handlers", StandIn(error).handlers()), **settings)


def contract_without(*paths: str) -> dict[str, Any]:
    contract = deepcopy(CONTRACT)
    for path in paths:
        del contract["paths"][path]
    return contract


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = field(default=b"")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        return self.json["type"].rpartition(":")[2].rpartition("/")[2]


@dataclass(frozen=True)
class Client:
    """Speaks ASGI by hand: header names and bytes go out as given."""

    app: Any
    headers: tuple[tuple[str, str], ...] = ()

    def with_token(self, token: str = GOOD) -> Client:
        return replace(self, headers=(*self.headers, ("Authorization", f"Bearer {token}")))

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("GET", target, *headers)

    def post(self, target: str, body: bytes, media_type: str = "application/json") -> Answer:
        return self.ask("POST", target, ("Content-Type", media_type), body=[body])

    def ask(self, method: str, target: str, *headers: tuple[str, str], body: list[bytes] | None = None) -> Answer:
        """Send one request. ``body`` in one piece gets a Content-Length, in several it is chunked."""
        return asyncio.run(self.asked(method, target, list(headers), body or []))

    async def asked(self, method: str, target: str, headers: list[tuple[str, str]], body: list[bytes]) -> Answer:
        """The same in a loop of the caller's, who may cancel it."""
        path, _, query = target.partition("?")
        names = {name.lower() for name, _ in headers}
        if len(body) == 1 and "content-length" not in names:
            headers.append(("Content-Length", str(len(body[0]))))
        elif len(body) > 1 and "content-length" not in names:
            headers.append(("Transfer-Encoding", "chunked"))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in (*self.headers, *headers)],
            "client": ("127.0.0.1", 1),
            "server": ("hub.test", 80),
        }
        pieces = _pieces(body)
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, pieces.__anext__, send)
        start = sent[0]
        answer_headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], answer_headers, b"".join(part.get("body", b"") for part in sent[1:]))


async def _pieces(body: list[bytes]) -> AsyncIterator[dict[str, Any]]:
    for index, piece in enumerate(body or [b""]):
        yield {"type": "http.request", "body": piece, "more_body": index + 1 < len(body)}
    while True:
        yield {"type": "http.disconnect"}


def quiet() -> None:
    """Keep the log of provoked bugs out of the test's output."""
    logging.getLogger("hub.api.problems").setLevel(logging.CRITICAL)
