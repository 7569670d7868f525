"""The contract as it is published: ``/openapi.json``, ``/openapi.yaml``, and ``/docs``, where people browse and try it.

The page is Swagger UI, served by the hub alone: no inline script or style, nothing from elsewhere. What is ours of its
look, also the dark one, is reference.css. In production it shows and
sends nothing: a request that somebody tries out there is an application to an authority.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import swagger_ui_bundle  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Receive, Scope, Send

#: Where the page is; what it loads lies below.
DOCS = "/docs"
_READ = frozenset({"GET", "HEAD"})
_WHILE = (b"cache-control", b"public, max-age=300")
#: The contract's member ``servers`` as it stands in the file, whose address is another in each hub.
_SERVERS = re.compile(r"^servers:\n(?:[ ]+.*\n)+", re.MULTILINE)
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
#: What may be tried out (OpenAPI's names of methods).
_METHODS = ("get", "put", "post", "delete", "head", "patch")

_PAGE = """<!doctype html>
<html lang="de">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Schnittstellen – Rathaus-Hub</title>
<link rel="icon" type="image/svg+xml" href="/admin/static/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/look.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _Document:
    """What is answered at an address. Packed: few ask for it, and every process holds it."""

    media_type: str
    packed: bytes

    @classmethod
    def of(cls, media_type: str, body: bytes) -> _Document:
        return cls(media_type, zlib.compress(body))

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.packed)


class Reference:
    """ASGI layer that answers for the addresses above from memory, and hands on everything else."""

    def __init__(self, app: ASGIApp, *, documents: Mapping[str, _Document]) -> None:
        """Take what is :func:`published`."""
        self._app = app
        self._documents = documents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        document = self._document(scope) if scope["type"] == "http" and scope["method"] in _READ else None
        if document is None:
            await self._app(scope, receive, send)
            return
        body = document.body
        headers = [
            (b"content-type", document.media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            _WHILE,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _document(self, scope: Scope) -> _Document | None:
        path: str = scope["path"]
        found = self._documents.get(path)
        if found is None and path.startswith(f"{DOCS}/"):
            name = path.removeprefix(f"{DOCS}/")
            return _file(name) if name in _FILES else None
        return found


def published(contract: Mapping[str, Any], *, source: Path, base_url: str, production: bool) -> Mapping[str, _Document]:
    """Return what is answered by address: the contract and the file that it was read from, and the page that shows it."""
    start = {
        "url": "/openapi.json",
        "dom_id": "#swagger-ui",
        "deepLinking": True,
        "validatorUrl": None,
        "supportedSubmitMethods": [] if production else _METHODS,
    }
    page = _Document.of("text/html; charset=utf-8", _PAGE.encode())
    as_json = orjson.dumps({**contract, "servers": [{"url": base_url}]})
    # As it was written, with its comments; all JSON is YAML, too (YAML 1.2.2, section 1.3).
    as_yaml = _with_address(source.read_text(encoding="utf-8"), base_url) or as_json
    return {
        "/openapi.json": _Document.of("application/json", as_json),
        "/openapi.yaml": _Document.of("application/yaml", as_yaml),
        DOCS: page,
        f"{DOCS}/": page,
        f"{DOCS}/look.css": _Document.of("text/css", Path(__file__).with_suffix(".css").read_bytes()),
        f"{DOCS}/start.js": _Document.of("text/javascript", f"SwaggerUIBundle({json.dumps(start)});".encode()),
    }


@cache
def _file(name: str) -> _Document:
    """Return one of Swagger UI's own files; read when first asked for, for most processes never are."""
    return _Document.of(_FILES[name], (Path(swagger_ui_bundle.swagger_ui_path) / name).read_bytes())


def _with_address(text: str, base_url: str) -> bytes:
    """Return the contract's text with the hub's address; empty where it does not name servers in lines of their own."""
    published, number = _SERVERS.subn(lambda _: f"servers:\n  - url: {json.dumps(base_url)}\n", text)
    return published.encode() if number == 1 else b""
