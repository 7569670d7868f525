"""The pages of the dry run: a form, and a message marked with what its report says, line by line.

No script, and no asset but the sheet of the hub's other pages.
Every character of the message is escaped, and those that a browser would act upon are shown as
marks. Findings stand beside their lines where there is room and below them where there is not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from html import escape

import orjson

from hub.errors import Text
from hub.validation.rendering import as_html, as_xml
from hub.validation.report import Report, Violation

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


def told(report: Report, content: bytes, now: datetime) -> str:
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
