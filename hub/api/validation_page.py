"""The page on which a vendor tries a message, and the marked message that comes of it.

The page on which a vendor tries a message: paste or upload it, and see the report beside its lines.

What is tried is held in memory for one answer, shown to its sender alone, and stored nowhere. The page needs no login, so it
has caps of its own: size, requests from one address, and checks at once. It has no script and no foreign asset.

The pages of the dry run: a form, and a message marked with what its report says, line by line.

No script, and no asset but the sheet of the hub's other pages.
Every character of the message is escaped, and those that a browser would act upon are shown as
marks. Findings stand beside their lines where there is room and below them where there is not.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape

import anyio
import anyio.to_thread
import orjson
from connexion.lifecycle import ConnexionResponse
from starlette.requests import Request

from hub.admission import Admission, Ledger, Reservation
from hub.api import arrival, caller_address, visit
from hub.errors import NotFound, RatePolicy, Refused, Text, TooLarge, TooMany
from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.rendering import as_html, as_xml
from hub.validation.report import Report, Violation
from hub.web.multipart import parts

#: Lines shown in full; of longer documents only those near a violation. Characters of one line.
_LINES, _AROUND, _CHARACTERS = 3_000, 2, 400
_SCHEMAS = 300

#: What the hub's own sheet does not have; its colours, dark ones included, come from there.
_STYLE = """
main{display:block}h1{margin:.8rem 0 .3rem}h2{margin:1.6rem 0 .5rem}
[lang=en]{color:var(--soft)}p{margin:.3rem 0}
.card{margin:1rem 0}
label{display:block;font-weight:600;margin-top:1rem}
textarea{min-height:14rem;font-family:ui-monospace,monospace;font-size:.9rem}
button{margin-top:1rem;padding:.7rem 1.6rem;border:0;border-radius:4px;background:var(--link);color:var(--on-strong);
font:inherit;font-weight:600;cursor:pointer}
.verdict{border-left:.6rem solid;font-size:1.05rem}.verdict strong{font-size:1.25rem}
.verdict.error{border-left-color:var(--bad)}.verdict.good{border-left-color:var(--good)}
.verdict.warning{border-left-color:var(--warn)}
.badge{display:inline-block;border-radius:4px;padding:0 .5rem;font-size:.85rem;font-weight:600;color:var(--on-strong)}
.badge.error{background:var(--bad)}.badge.warning{background:var(--warn)}
ol.findings{display:block;padding:0 1rem}ol.findings>li{padding:.7rem 0}ol.findings>li+li{border-top:1px solid var(--line)}
code,pre{font-family:ui-monospace,monospace;font-size:.85rem;overflow-wrap:anywhere;white-space:pre-wrap}
ol.lines{border:1px solid var(--line);border-radius:4px;margin:0;padding:0 0 0 4.2rem}
ol.lines>li{padding:0 .6rem;min-height:1.5rem}ol.lines>li::marker{font-size:.85rem;color:var(--soft)}
ol.lines>li.error{background:var(--bad-bg)}ol.lines>li.warning{background:var(--warn-bg)}
ol.lines>li:target{outline:2px solid var(--link)}
ol.lines>li.gap{list-style:none;color:var(--soft);background:var(--wash)}
.said{border-left:.25rem solid var(--bad);background:var(--ground);padding:.3rem .7rem;margin:.2rem 0 .5rem;font-size:.95rem}
li.warning .said{border-left-color:var(--warn)}
.scroll{max-height:none;overflow-x:auto}table{border-collapse:collapse}
th,td{border:1px solid var(--line);padding:.3rem;text-align:left}
@media(min-width:64rem){
ol.lines>li.has>div{display:grid;grid-template-columns:1fr minmax(20rem,28rem);gap:1rem}}
""".replace("\n", "")
POLICY = (
    "default-src 'none'; font-src 'self'; style-src 'self' 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(body: str) -> str:
    """Return a whole page around a body."""
    return (
        '<!doctype html><html lang="de"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Nachricht prüfen – Rathaus-Hub</title>'
        f'<link rel="stylesheet" href="/admin/static/hub.css"><style>{_STYLE}</style></head><body><header class="top">'
        '<div class="top__row"><a class="brand" href="/">Rathaus-Hub</a></div><p></p></header><main><h1>Nachricht prüfen</h1>'
        "<p>Wie der Hub eine Nachricht beurteilen würde – ohne sie einzureichen. Sie wird nur im Arbeitsspeicher gehalten "
        "und nicht gespeichert; senden Sie trotzdem keine echten Anträge.</p>"
        '<p lang="en">How the hub would judge a message, without submitting it. It is held in memory only and not stored; '
        f"do not send real applications all the same.</p>{body}</main></body></html>"
    )


def form(uris: tuple[str, ...], *, largest: int, text: str = "", schema: str = "") -> str:
    """Return the form, filled with what was pasted before."""
    options = "".join(f'<option value="{escape(uri)}">' for uri in uris[:_SCHEMAS])
    return (
        '<form class="card" method="post" action="/validate" enctype="multipart/form-data">'
        '<label for="text">Nachricht einfügen (XML oder JSON) / <span lang="en">paste a message</span></label>'
        # A parser drops the first line break of a text area.
        f'<textarea id="text" name="text" spellcheck="false" autocomplete="off">\n{escape(text)}</textarea>'
        f'<label for="file">oder Datei wählen, höchstens {largest // 1_000_000} MB; sie geht dem Text vor / '
        '<span lang="en">or choose a file; it wins over the text</span></label>'
        '<input type="file" id="file" name="file" accept=".xml,.json">'
        '<label for="schema">Schema (URI); leer lassen, wenn die Nachricht es selbst nennt / '
        '<span lang="en">schema; leave it empty if the message tells</span></label>'
        f'<input id="schema" name="schema" list="schemas" autocomplete="off" value="{escape(schema)}">'
        f'<datalist id="schemas">{options}</datalist>'
        "<button>Prüfen / check</button></form>"
    )


def refusal(detail: Text, *, line: int | None = None) -> str:
    """Return why a message was not checked at all."""
    place = f'<p><a href="#z{line}">Zeile / line {line}</a></p>' if line is not None else ""
    return (
        '<section class="card verdict error" role="alert"><strong>Nicht geprüft / <span lang="en">not checked</span></strong>'
        f'<p>{escape(detail.de)}</p><p lang="en">{escape(detail.en)}</p>{place}</section>'
    )


def verdict_html(report: Report, content: bytes, now: datetime) -> str:
    """Return a report: the verdict, what to do, the message with its marks, and the report as files."""
    return (
        f"{_verdict(report)}{_findings(report)}{lines(content, report.violations)}{_downloads(report, content, now)}"
        '<details class="card" lang="en"><summary>Report in English</summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Report in English">{as_html(report, language="en")}'
        "</div></details>"
    )


def lines(content: bytes, violations: tuple[Violation, ...] = (), at: tuple[int, Text] | None = None) -> str:
    """Return the message's numbered lines with what is said of each; ``at`` is where it cannot be read, and why."""
    beside: dict[int, list[str]] = {}
    kinds: dict[int, str] = {}
    for violation in violations:
        if violation.line is not None:
            beside.setdefault(violation.line, []).append(_said(violation))
            if kinds.get(violation.line) != "error":
                kinds[violation.line] = violation.severity
    if at is not None:
        beside[at[0]], kinds[at[0]] = [_words(at[1])], "error"
    texts = _decoded(content).split("\n")
    rows = "".join(_rows(texts, beside, kinds))
    return f'<h2>Nachricht / <span lang="en">message</span></h2><ol class="lines">{rows}</ol>'


def _verdict(report: Report) -> str:
    errors = sum(one.severity == "error" for one in report.violations)
    kind = "error" if errors else ("good" if report.complete and not report.total else "warning")
    mark = {"error": "✗ Ungültig", "good": "✓ Gültig", "warning": "✓ Gültig, mit Hinweisen"}[kind]
    english = {"error": "invalid", "good": "valid", "warning": "valid, with notes"}[kind]
    if not errors and not report.complete:
        mark, english = "✓ Gültig, aber nicht vollständig geprüft", "valid, but not completely checked"
    sentence = (
        "Das Dokument erfüllt sein Schema." if report.valid else "Das Dokument verletzt sein Schema oder seine Regeln."
    )
    notes = "".join(f'<p>{escape(note.de)}<br><span lang="en">{escape(note.en)}</span></p>' for note in report.notes)
    schema = report.schema
    return (
        f'<section class="card verdict {kind}" role="status"><strong>{mark} / <span lang="en">{english}</span></strong>'
        f"<p>{sentence} {_counted(report)}</p>"
        f"<p>{escape(schema.standard)} {escape(schema.version)} · <code>{escape(schema.uri)}</code></p>{notes}</section>"
    )


def _counted(report: Report) -> str:
    if not report.total:
        return ""
    shown, total = len(report.violations), report.total
    what = "1 Befund / finding" if total == 1 else f"{total} Befunde / findings"
    return f"{what}." if shown == total else f"{what}; gezeigt / shown: {shown}."


def _findings(report: Report) -> str:
    if not report.violations:
        return ""
    rows = "".join(_finding(violation) for violation in report.violations)
    return f'<h2>Was zu tun ist / <span lang="en">what to do</span></h2><ol class="findings card">{rows}</ol>'


def _finding(violation: Violation) -> str:
    line = violation.line
    place = f'<a href="#z{line}">Zeile / line {line}</a> · ' if line is not None else ""
    return f"<li>{_said(violation)}<p>{place}<code>{escape(violation.path or '/')}</code></p></li>"


def _said(violation: Violation) -> str:
    word = "Fehler / error" if violation.severity == "error" else "Hinweis / warning"
    expected = f"<p>Erwartet / expected: <code>{escape(violation.expected)}</code></p>" if violation.expected else ""
    return (
        f'<p><span class="badge {violation.severity}">{word}</span> <code>{escape(violation.rule)}</code></p>'
        f"{_words(violation.text)}{expected}"
    )


def _words(text: Text) -> str:
    return f'<p>{escape(text.de)}<br><span lang="en">{escape(text.en)}</span></p>'


def _downloads(report: Report, content: bytes, now: datetime) -> str:
    """Link the report as files; they stand in the page itself, so nothing is kept for a second request."""
    sha256 = hashlib.sha256(content).hexdigest()
    files = (
        ("json", "application/json", orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2)),
        ("xml", "application/xml", as_xml(report, document_sha256=sha256, now=now)),
        ("html", "text/html", as_html(report, language="de").encode()),
    )
    links = (
        f'<a download="report.{suffix}" href="data:{kind};base64,{base64.b64encode(content).decode()}">{suffix.upper()}</a>'
        for suffix, kind, content in files
    )
    return f'<p>Prüfbericht herunterladen / <span lang="en">download the report</span>: {" · ".join(links)}</p>'


def _rows(texts: list[str], beside: dict[int, list[str]], kinds: dict[int, str]) -> Iterator[str]:
    last = 0
    for number in _shown(len(texts), beside):
        if number > last + 1:
            yield f'<li class="gap">… {number - last - 1} Zeilen / lines …</li>'
        last = number
        yield _row(number, texts[number - 1], beside.get(number, []), kinds.get(number, ""))
    if last < len(texts):
        yield f'<li class="gap">… {len(texts) - last} Zeilen / lines …</li>'


def _shown(count: int, beside: dict[int, list[str]]) -> Iterator[int]:
    if count <= _LINES:
        yield from range(1, count + 1)
        return
    near = {line + step for line in beside for step in range(-_AROUND, _AROUND + 1)}
    yield from sorted(number for number in near if 1 <= number <= count)


def _row(number: int, line: str, said: list[str], kind: str) -> str:
    shown = line[:_CHARACTERS] + ("…" if len(line) > _CHARACTERS else "")
    code = f"<code>{escape(visible(shown))}</code>"
    if not said:
        return f'<li value="{number}" id="z{number}">{code}</li>'
    findings = "".join(f'<div class="said">{one}</div>' for one in said)
    return f'<li value="{number}" id="z{number}" class="has {kind}"><div>{code}<div>{findings}</div></div></li>'


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def visible(text: str) -> str:
    """Put a mark in place of characters that a browser would act upon or hide."""
    return "".join(
        character if character.isprintable() or character == "\t" else "\ufffd" for character in text.rstrip("\r")
    )


#: The largest message that is tried, in bytes (the contract's cap on the whole form is the same).
_LARGEST = 1_000_000
_FIELD = 2_000
_COPIES = 3
_PARTS = 4
#: Checks under way at once, and requests that one address may make in a window of seconds.
_AT_ONCE = 2
REQUESTS, _WINDOW = 20, 60.0
_POLICY = RatePolicy("validations", REQUESTS, timedelta(seconds=_WINDOW))
_ADDRESSES = 10_000


@dataclass(kw_only=True, slots=True)
class _Form:
    """What was sent. ``content`` is the uploaded file, or the pasted text if there is none."""

    file: bytes = field(default=b"", repr=False)
    text: bytes = field(default=b"", repr=False)
    schema: bytes = b""

    @property
    def content(self) -> bytes:
        return self.file or self.text


class ValidationPage:
    """Handlers of ``/validate``."""

    def __init__(
        self,
        *,
        catalog: Callable[[], SchemaCatalog],
        memory_budget: int,
        clock: Callable[[], datetime],
        allowed: bool,
        monotonic: Callable[[], float] = time.monotonic,
        ledger: Ledger | None = None,
    ) -> None:
        self._catalog = catalog
        self._budget = Admission(memory_budget=memory_budget, free_bytes=lambda: 0, disk_watermark=0, ledger=ledger)
        self._clock = clock
        self._allowed = allowed
        self._monotonic = monotonic
        self._at_once = anyio.CapacityLimiter(_AT_ONCE)
        self._recent: dict[str, deque[float]] = {}

    async def form(self) -> ConnexionResponse:
        """Show the empty form."""
        self._refuse_if_closed()
        return _page(form(self._catalog().uris(), largest=_LARGEST))

    async def judge(self) -> ConnexionResponse:
        """Judge what was sent and show the report beside it."""
        self._refuse_if_closed()
        request = visit()
        self.count(caller_address())
        reservation = self._budget.reserve()
        try:
            sent = await _read(request, reservation)
            # Its text and its page, beside what came.
            reservation.grow(_COPIES * len(sent.content))
            body = await anyio.to_thread.run_sync(self._answer, sent, limiter=self._at_once)
        finally:
            reservation.release()
        return _page(body)

    def _answer(self, sent: _Form) -> str:
        catalog, now = self._catalog(), self._clock()
        schema = sent.schema.decode("utf-8", errors="replace").strip()
        # What was pasted stands in the form again, to be corrected; a file is chosen anew.
        pasted = "" if sent.file else sent.text.decode("utf-8", errors="replace")
        again = form(catalog.uris(), largest=_LARGEST, text=_safe_text(pasted), schema=visible(schema))
        if not sent.content.strip():
            return refusal(_NOTHING) + again
        kind = (
            MediaType.XML if sent.content.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<") else MediaType.JSON
        )
        try:
            report = catalog.check(
                media_type=kind, data=sent.content, schema=schema or None, service=None, on=now.date()
            )
        except Refused as refused:
            line = refused.members.get("line")
            at = (int(line), refused.detail) if line is not None else None
            shown = lines(sent.content, at=at)
            return refusal(refused.detail, line=at[0] if at else None) + shown + again
        return verdict_html(report, sent.content, now) + again

    def _refuse_if_closed(self) -> None:
        if not self._allowed:
            raise NotFound(_CLOSED)

    def count(self, address: str) -> None:
        """Count a request of an address.

        Raises:
            TooMany: It made too many of them in a short time.
        """
        now = self._monotonic()
        if len(self._recent) >= _ADDRESSES:
            self._recent = {key: times for key, times in self._recent.items() if times[-1] > now - _WINDOW}
        times = self._recent.get(address) or deque(maxlen=REQUESTS)
        crowded = not times and len(self._recent) >= _ADDRESSES
        if crowded or (len(times) == REQUESTS and times[0] > now - _WINDOW):
            raise TooMany(_SLOWER, retry_after=_POLICY.window, policy=_POLICY)
        times.append(now)
        self._recent[address] = times


async def _read(request: Request, reservation: Reservation) -> _Form:
    form = _Form()
    size = 0
    async for part in parts(request.stream(), arrival(request.scope).content_type, cap=_PARTS):
        content = bytearray()
        async for chunk in part.chunks():
            size += len(chunk)
            if size > _LARGEST or (part.name == "schema" and len(content) + len(chunk) > _FIELD):
                raise TooLarge(_LARGE)
            reservation.grow(len(chunk))
            content += chunk
        if part.name == "file":
            form.file = bytes(content)
        elif part.name == "text":
            form.text = bytes(content)
        elif part.name == "schema":
            form.schema = bytes(content)
    return form


def _page(body: str) -> ConnexionResponse:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return ConnexionResponse(status_code=200, body=page(body), content_type="text/html; charset=utf-8", headers=headers)


def _safe_text(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


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
