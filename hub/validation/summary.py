"""What came of many documents, for those who look at it: lines for a terminal, JSON, JUnit's XML for build servers, HTML.

Nothing of a document is in any of it: reports name rules and places. Names of files come from whoever made them, so what
terminals or XML would take for something else is written as an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

import orjson
from lxml import etree

from hub.errors import Text
from hub.validation.batch import FileVerdict, Judged, Second, counted

_WORDS = {
    FileVerdict.VALID: Text("gültig", "valid"),
    FileVerdict.INVALID: Text("ungültig", "invalid"),
    FileVerdict.REFUSED: Text("abgelehnt", "refused"),
    FileVerdict.NOT_JUDGED: Text("nicht geprüft", "not judged"),
}
_INCOMPLETE = Text("nicht vollständig geprüft", "not completely checked")
_TITLE = Text("Prüfung vieler Dateien", "Validation of many files")
#: What XML 1.0 cannot hold (section 2.2), and what a terminal would obey.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def name_of(judged: Judged) -> str:
    """Return the name of a file as it can be shown anywhere; bytes that are no UTF-8 and control characters are escaped."""
    readable = judged.file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), readable)


def summed_up(found: Sequence[Judged]) -> Text:
    """Return how many files got which verdict, in one line."""
    numbers = counted(found)
    named = [
        verdict for verdict in FileVerdict if numbers[verdict] or verdict in {FileVerdict.VALID, FileVerdict.INVALID}
    ]
    german = f"{len(found)} Dateien: " + ", ".join(f"{numbers[each]} {_WORDS[each].de}" for each in named)
    english = f"{len(found)} files: " + ", ".join(f"{numbers[each]} {_WORDS[each].en}" for each in named)
    beside = _beside(found)
    if beside:
        german += f"; Xerces: {beside['alike']} gleich, {beside['different']} anders, {beside['notJudged']} ohne Urteil"
        english += (
            f"; Xerces: {beside['alike']} alike, {beside['different']} different, {beside['notJudged']} not judged"
        )
    return Text(german, english)


def _beside(found: Sequence[Judged]) -> dict[str, int]:
    """Return how often a second implementation said the same, something else and nothing; nothing where nobody asked it."""
    asked = [each for each in found if each.second is not None]
    differs = sum(each.differs for each in asked)
    silent = sum(each.second is not None and each.second.verdict is FileVerdict.NOT_JUDGED for each in asked)
    return {"alike": len(asked) - differs - silent, "different": differs, "notJudged": silent} if asked else {}


def as_text(found: Sequence[Judged]) -> str:
    """Return lines: what is not valid, not completely checked or was judged twice, with its reasons; the sum at last."""
    lines = [line for each in found if _worth_a_word(each) for line in _lines(each)]
    total = summed_up(found)
    return "\n".join([*lines, f"{total.de} / {total.en}"])


def _worth_a_word(each: Judged) -> bool:
    incomplete = each.report is not None and not each.report["complete"]
    return each.verdict is not FileVerdict.VALID or incomplete or each.second is not None


def _lines(each: Judged) -> Iterator[str]:
    words = _WORDS[each.verdict]
    yield f"{name_of(each)}: {words.de} / {words.en}" + (
        f" ({len(each.report['violations'])}/{each.report['total']})" if each.report and each.report["total"] else ""
    )
    if each.reason is not None:
        yield from (f"  {each.reason.de}", f"  {each.reason.en}")
    if each.second is not None:
        yield f"  {_second(each)}"
        reason = each.second.reason
        yield from () if reason is None else (f"    {reason.de}", f"    {reason.en}")
    if each.report is None:
        return
    for violation in each.report["violations"]:
        yield f"  {_place(violation)}: [{violation['rule']}]"
        yield from (f"    {violation['text']['de']}", f"    {violation['text']['en']}")
        if violation["expected"]:
            yield f"    → {violation['expected']}"
    for note in each.report["notes"]:
        yield from (f"  {note['de']}", f"  {note['en']}")


def _second(each: Judged) -> str:
    """Return what Xerces says of a file by its schema alone, in one line; ``≠`` where it is something else."""
    assert each.second is not None  # noqa: S101  # Both callers have looked.
    words = _WORDS[each.second.verdict]
    rules = ", ".join(f"{rule} (Zeile / line {line})" for rule, line in each.second.rules)
    said = f"Xerces: {words.de} / {words.en}" + (f": {rules}" if rules else "")
    return f"≠ {said}" if each.differs else said


def _place(violation: Any) -> str:
    line = f" (Zeile / line {violation['line']})" if violation["line"] is not None else ""
    return f"{violation['severity']} {violation['path'] or '/'}{line}"


def as_json(found: Sequence[Judged]) -> str:
    """Return one document: ``summary`` counts, ``results`` are in the order of the files, each with its report or reason.

    Where a second implementation was asked, both have a member ``xerces``: how many, and what it says of each file.
    """
    numbers = counted(found)
    document = {
        "summary": {
            "files": len(found),
            "valid": numbers[FileVerdict.VALID],
            "invalid": numbers[FileVerdict.INVALID],
            "refused": numbers[FileVerdict.REFUSED],
            "notJudged": numbers[FileVerdict.NOT_JUDGED],
            **({"xerces": beside} if (beside := _beside(found)) else {}),
        },
        "results": [_result_as_json(each) for each in found],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode("utf-8")


def _result_as_json(each: Judged) -> dict[str, Any]:
    return {
        "file": name_of(each),
        "verdict": each.verdict,
        "seconds": each.seconds,
        "report": each.report,
        "reason": _texts(each.reason),
        **({} if each.second is None else {"xerces": _second_as_json(each, each.second)}),
    }


def _second_as_json(each: Judged, second: Second) -> dict[str, Any]:
    return {
        "verdict": second.verdict,
        "differs": each.differs,
        "rules": [{"rule": rule, "line": line} for rule, line in second.rules],
        "reason": _texts(second.reason),
    }


def _texts(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"de": text.de, "en": text.en}


def as_junit(found: Sequence[Judged]) -> str:
    """Return the XML that build servers read (JUnit's, as Jenkins' xUnit plugin defines it): each file is a test case.

    What breaks its schema is a failure; what was refused or not judged is an error, as is what a second implementation takes
    for something else.
    """
    numbers = counted(found)
    doubted = sum(each.verdict is FileVerdict.VALID and each.differs for each in found)
    sums = {
        "tests": str(len(found)),
        "failures": str(numbers[FileVerdict.INVALID]),
        "errors": str(numbers[FileVerdict.REFUSED] + numbers[FileVerdict.NOT_JUDGED] + doubted),
        "time": f"{sum(each.seconds for each in found):.3f}",
    }
    root = etree.Element("testsuites", {"name": "hub validate", **sums})
    suite = etree.SubElement(root, "testsuite", {"name": "hub validate", "skipped": "0", **sums})
    for each in found:
        path = PurePath(name_of(each))
        # Build servers take dots for packages.
        folder = ".".join(part.replace(".", "_") for part in path.parent.parts if part != path.anchor) or "_"
        named = {"name": path.name, "classname": folder, "time": f"{each.seconds:.3f}"}
        case = etree.SubElement(suite, "testcase", named)
        if each.verdict is not FileVerdict.VALID or each.differs:
            _failed(case, each)
        elif _worth_a_word(each):
            etree.SubElement(case, "system-out").text = "\n".join(_lines(each))
    return etree.tostring(root, encoding="unicode", pretty_print=True).rstrip()


def _failed(case: etree._Element, each: Judged) -> None:
    words = _WORDS[each.verdict]
    kind = "failure" if each.verdict is FileVerdict.INVALID else "error"
    message = f"{words.de} / {words.en}" + (f": {each.report['total']}" if each.report else "")
    if each.differs:
        message += f"; {_second(each)}"
    etree.SubElement(case, kind, {"type": str(each.verdict), "message": message}).text = "\n".join(_lines(each))


def as_html(found: Sequence[Judged]) -> str:
    """Return a page that stands alone, without a script, German first: the sum, what is to be done, and all files."""
    total = summed_up(found)
    numbers = counted(found)
    tiles = "".join(
        f'<li class="{verdict}"><strong>{numbers[verdict]}</strong> {_both(_WORDS[verdict])}</li>'
        for verdict in FileVerdict
    )
    trouble = "".join(_article(each) for each in found if _worth_a_word(each))
    fine = "".join(f"<li><code>{escape(name_of(each))}</code></li>" for each in found if not _worth_a_word(each))
    below = f"<details><summary>{_both(_WORDS[FileVerdict.VALID])}</summary><ul>{fine}</ul></details>" if fine else ""
    return (
        f'<!doctype html>\n<html lang="de"><head><meta charset="utf-8"><title>{_TITLE.de}: {escape(total.de)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<style>{_STYLE}</style></head><body><main><h1>{_both(_TITLE)}</h1>"
        f"<p>{_both(total)}</p><ul class=sums>{tiles}</ul>{trouble}{below}</main></body></html>"
    )


def _article(each: Judged) -> str:
    incomplete = f" {_both(_INCOMPLETE)}" if each.report is not None and not each.report["complete"] else ""
    reasons = (each.reason, None if each.second is None else each.second.reason)
    reason = "".join(_said(_texts(one)) for one in reasons if one is not None)
    second = "" if each.second is None else f"<p>{escape(_second(each))}</p>"
    report = each.report or {"violations": (), "notes": (), "total": 0}
    items = "".join(_item(violation) for violation in report["violations"])
    notes = "".join(f"<li>{_said(note)}</li>" for note in report["notes"])
    shown = f"<p>{len(report['violations'])} / {report['total']}</p>" if report["total"] else ""
    return (
        f'<article class="{each.verdict}"><h2><code>{escape(name_of(each))}</code></h2>'
        f"<p><strong>{_both(_WORDS[each.verdict])}</strong>{incomplete}</p>{second}{reason}{shown}"
        + (f"<ol>{items}</ol>" if items else "")
        + (f"<ul>{notes}</ul>" if notes else "")
        + "</article>"
    )


def _item(violation: Any) -> str:
    expected = f"<p>→ <code>{escape(violation['expected'])}</code></p>" if violation["expected"] else ""
    place = f"<code>{escape(_place(violation))}</code> <code>{escape(violation['rule'])}</code>"
    return f"<li><p>{place}</p>{_said(violation['text'])}{expected}</li>"


def _said(text: Any) -> str:
    return f'<p>{escape(text["de"])}</p><p lang="en">{escape(text["en"])}</p>'


def _both(text: Text) -> str:
    return f'{escape(text.de)} <span lang="en">/ {escape(text.en)}</span>'


#: Contrasts are 7 to 1 and more in both schemes; verdicts are said in words, the bar beside them repeats it.
_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1a1a1a;--line:#b8b8b8;--good:#0b5d1e;--bad:#9b1313;--odd:#6b4a00}
@media(prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#f1f1f1;--line:#565b63;--good:#8fe3a4;--bad:#ffb0aa;--odd:#f3cf7a}}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:60rem;margin:0 auto;padding:1rem}h1{font-size:1.5rem;line-height:1.2}h2{font-size:1rem;margin:0}
code{font-family:ui-monospace,monospace;font-size:.9em}
.sums{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.5rem 1.5rem}
article{border:1px solid var(--line);border-left-width:.4rem;padding:.75rem;margin:1rem 0}
article p{margin:.25rem 0}ol,ul{padding-left:1.5rem}li{margin:.5rem 0}summary{cursor:pointer;padding:.5rem 0}
:focus-visible{outline:3px solid currentColor;outline-offset:2px}
.valid strong{color:var(--good)}.invalid strong{color:var(--bad)}.refused strong,.not-judged strong{color:var(--odd)}
article.invalid{border-left-color:var(--bad)}article.refused,article.not-judged{border-left-color:var(--odd)}
"""
