"""Reports for other eyes: XML in the manner of KoSIT's validator for machines, HTML for people.

The XML follows that validator's report in what it tells (identification, verdict, one message per violation with its place
and level, a recommendation), in a namespace of its own. Everything is escaped; nothing of the payload is in a report.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any, Literal

from lxml import etree

from hub.errors import Text
from hub.validation.report import Report, Violation

NAMESPACE = "https://schema.rathaus-hub.example/report/1.0"
Language = Literal["de", "en"]

_WORDS = {
    "de": {
        "title": "Prüfbericht",
        "valid": "Das Dokument erfüllt sein Schema.",
        "invalid": "Das Dokument verletzt sein Schema.",
        "shown": "Verstöße genannt",
        "of": "von",
        "schema": "Schema",
        "head": ("Zeile", "Schwere", "Stelle", "Regel", "Was ist zu tun", "Erwartet"),
        "error": "Fehler",
        "warning": "Hinweis",
        "incomplete": "Nicht jede Regel wurde geprüft (siehe Hinweise).",
        "notes": "Hinweise",
    },
    "en": {
        "title": "Validation report",
        "valid": "The document keeps its schema.",
        "invalid": "The document breaks its schema.",
        "shown": "violations named",
        "of": "of",
        "schema": "Schema",
        "head": ("Line", "Severity", "Place", "Rule", "What to do", "Expected"),
        "error": "error",
        "warning": "warning",
        "incomplete": "Not every rule was run (see the notes).",
        "notes": "Notes",
    },
}


def as_xml(report: Report, *, document_sha256: str, now: datetime) -> bytes:
    """Return the report as XML. ``document_sha256`` identifies the document that was checked; ``now`` is aware UTC."""
    own: Any = {None: NAMESPACE}
    verdict = {"valid": str(report.valid).lower(), "complete": str(report.complete).lower()}
    root = etree.Element(f"{{{NAMESPACE}}}report", verdict, nsmap=own)
    identification = _below(root, "identification")
    _below(identification, "timestamp", now.isoformat())
    _below(identification, "documentHash", document_sha256, algorithm="SHA-256")
    schema = report.schema
    _below(root, "scenario", schema.uri, standard=schema.standard, version=schema.version, sha256=schema.sha256)
    step = _below(root, "validationStep", id="schema", valid=str(report.valid).lower(), total=str(report.total))
    for prefix, namespace in report.namespaces:
        _below(step, "namespace", namespace, prefix=prefix)
    for number, violation in enumerate(report.violations, start=1):
        _message(step, number, violation)
    for note in report.notes:
        _texts(_below(root, "note"), note)
    _below(root, "assessment", "accept" if report.valid else "reject")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def as_text(report: Report) -> str:
    """Return the report as lines for a terminal: a verdict, then one line per violation and note."""
    schema = report.schema
    verdict = "gültig / valid" if report.valid else "ungültig / invalid"
    verdict += "" if report.complete else ", nicht vollständig geprüft / not completely checked"
    lines = [f"{verdict}: {schema.uri} {schema.version} ({len(report.violations)}/{report.total})"]
    for violation in report.violations:
        place = violation.path or "/"
        line = f" (Zeile / line {violation.line})" if violation.line is not None else ""
        lines.append(f"  {violation.severity} {place}{line}: [{violation.rule}]")
        lines += [f"    {violation.text.de}", f"    {violation.text.en}"]
        if violation.expected:
            lines.append(f"    → {violation.expected}")
    lines += [f"  {note.de}\n  {note.en}" for note in report.notes]
    return "\n".join(lines)


def as_html(report: Report, *, language: Language = "de") -> str:
    """Return the report as a fragment of HTML: a section with a verdict and a table, without style or script."""
    words = _WORDS[language]
    rows = "".join(_row(violation, language) for violation in report.violations)
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in words["head"])
    verdict = words["valid" if report.valid else "invalid"]
    incomplete = "" if report.complete else f" {words['incomplete']}"
    schema = report.schema
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    counted = f"<p>{len(report.violations)} {words['of']} {report.total} {words['shown']}.</p>" if rows else ""
    return (
        f'<section class="report" lang="{language}"><h2>{words["title"]}</h2><p><strong>{verdict}</strong>{incomplete}</p>'
        f"<p>{words['schema']}: {escape(schema.standard)} {escape(schema.version)} <code>{escape(schema.uri)}</code></p>"
        f"{counted}{table}{_notes(report.notes, language)}</section>"
    )


def _row(violation: Violation, language: Language) -> str:
    cells = (
        str(violation.line or "–"),
        str(_WORDS[language][violation.severity]),
        f"<code>{escape(violation.path or '/')}</code>",
        f"<code>{escape(violation.rule)}</code>",
        escape(_said(violation.text, language)),
        f"<code>{escape(violation.expected)}</code>" if violation.expected else "–",
    )
    return f'<tr class="{violation.severity}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _notes(notes: tuple[Text, ...], language: Language) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(_said(note, language))}</li>" for note in notes)
    return f"<h3>{_WORDS[language]['notes']}</h3><ul>{items}</ul>"


def _said(text: Text, language: Language) -> str:
    return text.de if language == "de" else text.en


def _message(step: etree._Element, number: int, violation: Violation) -> None:
    message = _below(
        step,
        "message",
        id=f"m{number}",
        code=violation.rule,
        level=violation.severity,
        location=violation.path,
        locationKind=violation.path_kind,
    )
    if violation.line is not None:
        message.set("line", str(violation.line))
    if violation.expected is not None:
        _below(message, "expected", violation.expected)
    _texts(message, violation.text)


def _texts(parent: etree._Element, text: Text) -> None:
    for language, sentence in (("de", text.de), ("en", text.en)):
        _below(parent, "text", sentence, lang=language)


def _below(parent: etree._Element, name: str, content: str | None = None, /, **attributes: str) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}", None, None, **attributes)
    child.text = content
    return child
