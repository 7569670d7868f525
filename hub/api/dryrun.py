"""The page on which a vendor tries a message: paste or upload it, and see the report beside its lines.

What is tried is held in memory for one answer, shown to its sender alone, and stored nowhere. The page needs no login, so it
has caps of its own: size, requests from one address, and checks at once. It has no script and no foreign asset.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html import escape

import anyio
import anyio.to_thread
import orjson
from connexion.lifecycle import ConnexionResponse
from starlette.requests import Request

from hub.admission import Admission
from hub.api.guards import arrival
from hub.api.multipart import parts
from hub.api.operations import visit
from hub.errors import NotFound, Refused, Text, TooLarge, TooMany
from hub.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.rendering import as_html, as_xml
from hub.validation.report import Report, Violation

#: The largest message that is tried, in bytes (the contract's cap on the whole form is the same).
_LARGEST = 1_000_000
_FIELD = 2_000
_PARTS = 4
#: Checks under way at once, and requests that one address may make in a window of seconds.
_AT_ONCE = 2
_REQUESTS, _WINDOW = 20, 60.0
_ADDRESSES = 10_000
#: Lines shown in full; of longer documents only those near a violation. Characters of one line.
_LINES, _AROUND, _CHARACTERS = 3_000, 2, 400
_SCHEMAS = 300

_STYLE = """
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:75rem;padding:1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem}label{display:block;font-weight:600;margin-top:1rem}
input,textarea,button{font:inherit;box-sizing:border-box;max-width:100%}
input[type=text],input[list],textarea{width:100%;border:1px solid #555;padding:.4rem}
textarea{min-height:12rem;font-family:monospace}button{margin-top:1rem;padding:.6rem 1.2rem}
a,button,input,textarea{outline-offset:2px}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.3rem;text-align:left;vertical-align:top}
code{overflow-wrap:anywhere;white-space:pre-wrap}tr.error td{background:#fdecea}tr.warning td{background:#fff6d9}
""".replace("\n", "")
_POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(kw_only=True, slots=True)
class _Form:
    """What was sent. ``content`` is the uploaded file, or the pasted text if there is none."""

    file: bytes = field(default=b"", repr=False)
    text: bytes = field(default=b"", repr=False)
    schema: bytes = b""

    @property
    def content(self) -> bytes:
        return self.file or self.text


class DryRun:
    """Handlers of ``/validate``."""

    def __init__(
        self,
        *,
        catalog: Callable[[], SchemaCatalog],
        admission: Admission,
        clock: Callable[[], datetime],
        allowed: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._admission = admission
        self._clock = clock
        self._allowed = allowed
        self._monotonic = monotonic
        self._at_once = anyio.CapacityLimiter(_AT_ONCE)
        self._recent: dict[str, deque[float]] = {}

    async def form(self) -> ConnexionResponse:
        """Show the empty form."""
        self._refuse_if_closed()
        return _page(_form(self._catalog()))

    async def judge(self) -> ConnexionResponse:
        """Judge what was sent and show the report beside it."""
        self._refuse_if_closed()
        request = visit()
        self._count(request.client.host if request.client is not None else "")
        reservation = self._admission.reserve()
        try:
            # The document, its text and its page.
            reservation.grow(4 * _LARGEST)
            sent = await _read(request)
            body = await anyio.to_thread.run_sync(self._answer, sent, limiter=self._at_once)
        finally:
            reservation.release()
        return _page(body)

    def _answer(self, sent: _Form) -> str:
        catalog, now = self._catalog(), self._clock()
        if not sent.content.strip():
            return _refusal(_NOTHING) + _form(catalog)
        kind = (
            MediaType.XML if sent.content.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<") else MediaType.JSON
        )
        schema = sent.schema.decode("utf-8", errors="replace").strip() or None
        try:
            report = catalog.check(media_type=kind, data=sent.content, schema=schema, service=None, on=now.date())
        except Refused as refused:
            line = refused.members.get("line")
            beside = {int(line): [refused.detail]} if line is not None else {}
            return _refusal(refused.detail) + _lines(sent.content, beside, set()) + _form(catalog)
        return _told(report, sent.content, now) + _form(catalog)

    def _refuse_if_closed(self) -> None:
        if not self._allowed:
            raise NotFound(_CLOSED)

    def _count(self, address: str) -> None:
        """Count a request of an address.

        Raises:
            TooMany: It made too many of them in a short time.
        """
        now = self._monotonic()
        if len(self._recent) >= _ADDRESSES:
            self._recent = {key: times for key, times in self._recent.items() if times[-1] > now - _WINDOW}
        times = self._recent.get(address) or deque(maxlen=_REQUESTS)
        crowded = not times and len(self._recent) >= _ADDRESSES
        if crowded or (len(times) == _REQUESTS and times[0] > now - _WINDOW):
            raise TooMany(_SLOWER)
        times.append(now)
        self._recent[address] = times


async def _read(request: Request) -> _Form:
    form = _Form()
    size = 0
    async for part in parts(request.stream(), arrival(request.scope).content_type, cap=_PARTS):
        content = bytearray()
        async for chunk in part.chunks():
            size += len(chunk)
            if size > _LARGEST or (part.name == "schema" and len(content) + len(chunk) > _FIELD):
                raise TooLarge(_LARGE)
            content += chunk
        if part.name == "file":
            form.file = bytes(content)
        elif part.name == "text":
            form.text = bytes(content)
        elif part.name == "schema":
            form.schema = bytes(content)
    return form


def _page(body: str) -> ConnexionResponse:
    page = (
        '<!doctype html><html lang="de"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Nachricht prüfen – Rathaus-Hub</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>Nachricht prüfen</h1>"
        "<p>Die Nachricht wird geprüft und nicht gespeichert. Senden Sie trotzdem keine echten Anträge.</p>"
        '<p lang="en">Check a message. It is checked and not stored. Do not send real applications all the same.</p>'
        f"{body}</main></body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return ConnexionResponse(status_code=200, body=page, content_type="text/html; charset=utf-8", headers=headers)


def _form(catalog: SchemaCatalog) -> str:
    options = "".join(f'<option value="{escape(uri)}">' for uri in catalog.uris()[:_SCHEMAS])
    return (
        '<form method="post" action="/validate" enctype="multipart/form-data">'
        f'<label for="file">Datei (XML oder JSON, höchstens {_LARGEST // 1_000_000} MB) / '
        '<span lang="en">file</span></label><input type="file" id="file" name="file">'
        '<label for="text">oder Text / <span lang="en">or text</span></label>'
        '<textarea id="text" name="text" spellcheck="false"></textarea>'
        '<label for="schema">Schema (URI; leer: aus der Nachricht) / '
        '<span lang="en">schema (URI; empty: told by the message)</span></label>'
        f'<input id="schema" name="schema" list="schemas" autocomplete="off"><datalist id="schemas">{options}</datalist>'
        '<button type="submit">Prüfen / <span lang="en">check</span></button></form>'
    )


def _refusal(detail: Text) -> str:
    return (
        '<section role="alert"><h2>Nicht geprüft / <span lang="en">not checked</span></h2>'
        f'<p>{escape(detail.de)}</p><p lang="en">{escape(detail.en)}</p></section>'
    )


def _told(report: Report, content: bytes, now: datetime) -> str:
    beside: dict[int, list[Text]] = {}
    for violation in report.violations:
        if violation.line is not None:
            beside.setdefault(violation.line, []).append(_said(violation))
    errors = {one.line for one in report.violations if one.severity == "error" and one.line is not None}
    sha256 = hashlib.sha256(content).hexdigest()
    return (
        f'<div class="scroll">{as_html(report, language="de")}</div>{_downloads(report, sha256, now)}'
        f"{_lines(content, beside, errors)}"
        f'<details lang="en"><summary>Report in English</summary><div class="scroll">'
        f"{as_html(report, language='en')}</div></details>"
    )


def _said(violation: Violation) -> Text:
    return Text(f"[{violation.rule}] {violation.text.de}", violation.text.en)


def _downloads(report: Report, sha256: str, now: datetime) -> str:
    """Link the report as files; they stand in the page itself, so nothing is kept for a second request."""
    files = (
        ("json", "application/json", orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2)),
        ("xml", "application/xml", as_xml(report, document_sha256=sha256, now=now)),
    )
    links = (
        f'<a download="report.{suffix}" href="data:{kind};base64,{base64.b64encode(content).decode()}">{suffix.upper()}</a>'
        for suffix, kind, content in files
    )
    return f'<p>Prüfbericht herunterladen / <span lang="en">download the report</span>: {" · ".join(links)}</p>'


def _lines(content: bytes, beside: dict[int, list[Text]], errors: set[int]) -> str:
    """Show the document's numbered lines with what is said of each; every character of it is escaped."""
    lines = _decoded(content).split("\n")
    rows = "".join(_row(number, lines[number - 1], beside, errors) for number in _shown(len(lines), beside))
    return (
        '<h2>Nachricht / <span lang="en">message</span></h2><div class="scroll"><table><thead><tr><th scope="col">Zeile</th>'
        f'<th scope="col">Inhalt</th><th scope="col">Befund</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _shown(count: int, beside: dict[int, list[Text]]) -> Iterator[int]:
    if count <= _LINES:
        yield from range(1, count + 1)
        return
    near = {line + step for line in beside for step in range(-_AROUND, _AROUND + 1)}
    yield from sorted(number for number in near if 1 <= number <= count)


def _row(number: int, line: str, beside: dict[int, list[Text]], errors: set[int]) -> str:
    said = beside.get(number, [])
    kind = "error" if number in errors or (said and not errors) else ("warning" if said else "")
    shown = line[:_CHARACTERS] + ("…" if len(line) > _CHARACTERS else "")
    told = "".join(f'<p>{escape(text.de)}<br><span lang="en">{escape(text.en)}</span></p>' for text in said)
    return f'<tr class="{kind}"><td>{number}</td><td><code>{escape(_visible(shown))}</code></td><td>{told}</td></tr>'


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def _visible(text: str) -> str:
    """Put a mark in place of characters that a browser would act upon or hide."""
    return "".join(
        character if character.isprintable() or character == "\t" else "\ufffd" for character in text.rstrip("\r")
    )


_CLOSED = Text(
    "Diese Seite ist hier nicht eingeschaltet (Einstellung public_validation). Nutzen Sie /hub/v1/validations.",
    "This page is not switched on here (setting public_validation). Use /hub/v1/validations.",
)
_NOTHING = Text("Wählen Sie eine Datei, oder fügen Sie einen Text ein.", "Choose a file, or paste a text.")
_LARGE = Text(
    f"Auf dieser Seite darf eine Nachricht höchstens {_LARGEST} Byte haben. Größere prüft /hub/v1/validations.",
    f"On this page a message may have at most {_LARGEST} bytes. Larger ones are checked by /hub/v1/validations.",
)
_SLOWER = Text(
    "Zu viele Prüfungen in kurzer Zeit. Bitte warten Sie eine Minute.",
    "Too many checks in a short time. Please wait a minute.",
)
