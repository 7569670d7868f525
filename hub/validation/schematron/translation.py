"""Translating ISO Schematron (ISO/IEC 19757-3) with the query bindings of XSLT into stylesheets for Saxon.

Every pattern becomes a stylesheet of its own, so that its variables stay its own. Within a pattern the first rule whose context
matches a node judges it. A stylesheet answers lines ``<number> <state> <place>`` and never a value of the document. What is not
understood is refused, never dropped: a rule that is lost would be a rule that nobody misses. Phases are ignored: every pattern
runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.report import Severity
from hub.validation.xml.xsd import parse_schema_document

_SCH = "{http://purl.oclc.org/dsdl/schematron}"
_XSL_NAMESPACE = "http://www.w3.org/1999/XSL/Transform"
_XSL = f"{{{_XSL_NAMESPACE}}}"
_XS_NAMESPACE = "http://www.w3.org/2001/XMLSchema"
#: Query bindings, and the version of XSLT that a stylesheet names for each.
_BINDINGS = {"": "1.0", "xslt": "1.0", "xslt1": "1.0", "xslt2": "3.0", "xslt3": "3.0"}
#: What of XSLT may stand in a schema, beside its own elements.
_EMBEDDED = (f"{_XSL}function", f"{_XSL}key")
#: Functions and instructions that reach outside the document.
_REACHING = re.compile(
    r"\b(?:doc|doc-available|document|collection|uri-collection|unparsed-text(?:-lines|-available)?|json-doc|transform|"
    r"environment-variable|available-environment-variables|load-xquery-module|system-property|evaluate|stream-available|function-lookup|"
    r"parse-xml|parse-xml-fragment)\s*[(#]"
)
_REACHING_ELEMENTS = frozenset(
    f"{_XSL}{name}"
    for name in ("import", "include", "result-document", "source-document", "evaluate", "use-package", "merge")
)
#: ``expand-text`` would hide expressions in texts.
_REACHING_ATTRIBUTES = ("href", "expand-text", f"{_XSL}expand-text")
_WARNING = frozenset({"warning", "warn", "info", "information", "hint"})
#: Top-level elements of a schema that judge nothing, beside those that are translated.
_TALK = frozenset(f"{_SCH}{name}" for name in ("ns", "title", "p", "diagnostics", "properties", "phase"))
_PARTS: Mapping[str, frozenset[str]] = {
    "schema": _TALK | {f"{_SCH}let", f"{_SCH}pattern", f"{_SCH}rules"} | frozenset(_EMBEDDED),
    "rules": frozenset(f"{_SCH}{name}" for name in ("rule", "title", "p")),
    "pattern": frozenset(f"{_SCH}{name}" for name in ("rule", "let", "param", "title", "p")),
    "rule": frozenset(f"{_SCH}{name}" for name in ("assert", "report", "let", "extends", "title", "p")),
}
_SHOWN = 400
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
#: The place of the node in question: the positions of its ancestors and itself among their sibling elements.
_PLACE = "string-join(ancestor-or-self::*/string(count(preceding-sibling::*) + 1), '/')"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assertion:
    """One assertion or report. ``words`` are its author's, empty where they would hold a value of the document."""

    rule: str
    severity: Severity
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSet:
    """Business rules, translated: one stylesheet per pattern, and what the numbers in their answers stand for."""

    stylesheets: tuple[str, ...] = field(repr=False)
    assertions: tuple[Assertion, ...]
    #: Per stylesheet, the number of its first assertion and of the first one after its last.
    patterns: tuple[tuple[int, int], ...]


def translated(files: Mapping[str, bytes]) -> RuleSet:
    """Translate Schematron files (name -> content).

    Raises:
        ConfigurationError: One is no Schematron, uses what is not supported, or reaches outside the document.
    """
    writer = _Writer()
    for number, (name, content) in enumerate(sorted(files.items()), start=1):
        schema = parse_schema_document(content, name)
        if schema.tag != f"{_SCH}schema":
            raise _unusable(name, "kein ISO-Schematron", "it is no ISO Schematron")
        _refuse_what_reaches_out(schema, name)
        _refuse_what_would_be_lost(schema, "schema", name)
        writer.add(schema, name, prefix=f"{number}." if len(files) > 1 else "")
    return RuleSet(
        stylesheets=tuple(writer.stylesheets), assertions=tuple(writer.assertions), patterns=tuple(writer.patterns)
    )


def _refuse_what_reaches_out(schema: Any, name: str) -> None:
    for node in schema.iter("*"):
        reaches = node.tag in _REACHING_ELEMENTS or any(_REACHING.search(value) for value in node.attrib.values())
        # Shadow attributes (XSLT 3.0, section 3.9.1) are put together when the stylesheet is compiled.
        hidden = any(key.startswith("_") for key in node.attrib) and node.tag.startswith(_XSL)
        named = any(node.get(key) is not None for key in _REACHING_ATTRIBUTES)
        if reaches or hidden or named or node.tag == f"{_SCH}include":
            raise _unusable(
                name,
                f"Zeile {node.sourceline} greift auf etwas außerhalb des Dokuments zu",
                f"line {node.sourceline} reaches outside the document",
            )


def _refuse_what_would_be_lost(parent: Any, kind: str, name: str) -> None:
    """Refuse every Schematron or XSLT element that is not translated; foreign elements are their author's notes."""
    for node in parent.iterchildren("*"):
        foreign = not node.tag.startswith((_SCH, _XSL))
        local = node.tag.removeprefix(_SCH)
        lost = node.get("documents") is not None or (local == "let" and node.get("value") is None)
        if lost or not (foreign or node.tag in _PARTS[kind]):
            raise _unusable(
                name,
                f"Zeile {node.sourceline} enthält, was hier nicht ausgewertet wird ({local})",
                f"line {node.sourceline} holds what is not evaluated here ({local})",
            )
        if local in _PARTS:
            _refuse_what_would_be_lost(node, local, name)


class _Writer:
    """Writes stylesheets and counts assertions."""

    def __init__(self) -> None:
        self.stylesheets: list[str] = []
        self.assertions: list[Assertion] = []
        self.patterns: list[tuple[int, int]] = []

    def add(self, schema: Any, name: str, *, prefix: str) -> None:
        version = _BINDINGS.get(schema.get("queryBinding", "").lower())
        if version is None:
            raise _unusable(name, "unbekanntes queryBinding", "unknown queryBinding")
        abstract = {pattern.get("id"): pattern for pattern in _patterns(schema) if pattern.get("abstract") == "true"}
        concrete = [pattern for pattern in _patterns(schema) if pattern.get("abstract") != "true"]
        for number, pattern in enumerate(concrete, start=1):
            body = pattern
            if pattern.get("is-a"):
                body = _instance(pattern, abstract, name)
                # Parameters may make a call of what looked harmless in pieces.
                _refuse_what_reaches_out(body, name)
            sheet = self._sheet(schema, version)
            first = len(self.assertions)
            self._pattern(sheet, body, {**_abstract_rules(schema), **_abstract_rules(body)}, name, f"{prefix}{number}")
            self.stylesheets.append(etree.tostring(sheet, encoding="unicode"))
            self.patterns.append((first, len(self.assertions)))

    def _sheet(self, schema: Any, version: str) -> Any:
        names = {prefix: uri for prefix, uri in schema.nsmap.items() if prefix and prefix not in ("xsl", "xml")}
        names |= {node.get("prefix"): node.get("uri") for node in schema.iterchildren(f"{_SCH}ns")}
        names.pop("xml", None)
        sheet = etree.Element(
            f"{_XSL}stylesheet", nsmap={"xs": _XS_NAMESPACE, **names, "xsl": _XSL_NAMESPACE}, version=version
        )
        etree.SubElement(sheet, f"{_XSL}output", method="text")
        for node in schema.iterchildren(*_EMBEDDED):
            sheet.append(deepcopy(node))
        _let(sheet, schema)
        return sheet

    def _pattern(self, sheet: Any, pattern: Any, abstract: Mapping[str, Any], name: str, place: str) -> None:
        _let(sheet, pattern)
        start = etree.SubElement(sheet, f"{_XSL}template", match="/", priority="0")
        # Where no rule is for a node, its attributes and children are looked at all the same.
        _descend(etree.SubElement(sheet, f"{_XSL}template", match="/|node()|@*", mode="rules", priority="0"))
        concrete = [rule for rule in pattern.iterchildren(f"{_SCH}rule") if rule.get("abstract") != "true"]
        for number, rule in enumerate(concrete, start=1):
            context = _required(rule, "context", name)
            template = etree.SubElement(
                sheet, f"{_XSL}template", match=context, mode="rules", priority=str(len(concrete) - number + 1)
            )
            first = len(self.assertions)
            self._rule(template, list(_inlined(rule, abstract, name, ())), f"{place}.{number}")
            _descend(template)
            _test_context(start, context, first, len(self.assertions))
        etree.SubElement(start, f"{_XSL}apply-templates", select="/", mode="rules")

    def _rule(self, template: Any, parts: list[tuple[Any, Any]], place: str) -> None:
        count = 0
        for rule, part in parts:
            if part.tag == f"{_SCH}let":
                _variable(template, part)
                continue
            count += 1
            _test(template, part, len(self.assertions))
            self.assertions.append(_assertion(rule, part, f"{place}.{count}"))


def _patterns(schema: Any) -> Iterator[Any]:
    return iter(schema.iterchildren(f"{_SCH}pattern"))


def _abstract_rules(scope: Any) -> dict[str, Any]:
    """Return the abstract rules of a pattern, or of a whole schema, by id."""
    rules = scope.iter(f"{_SCH}rule") if scope.tag == f"{_SCH}schema" else scope.iterchildren(f"{_SCH}rule")
    return {rule.get("id"): rule for rule in rules if rule.get("abstract") == "true"}


def _instance(pattern: Any, abstract: Mapping[str, Any], name: str) -> Any:
    """Return an abstract pattern with its parameters filled in (ISO/IEC 19757-3, section 6.3)."""
    template = abstract.get(pattern.get("is-a"))
    if template is None:
        raise _unusable(name, "abstraktes Muster fehlt", "an abstract pattern is missing")
    values = {node.get("name"): node.get("value", "") for node in pattern.iterchildren(f"{_SCH}param")}
    body = deepcopy(template)
    for node in body.iter("*"):
        for key in ("context", "test", "value", "select", "path"):
            if node.get(key) is not None:
                node.set(key, re.sub(r"\$([\w.-]+)", lambda match: values.get(match[1], match[0]), node.get(key)))
    return body


def _inlined(rule: Any, abstract: Mapping[str, Any], name: str, above: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield variables and assertions of a rule in order, those of the rules that it extends in their place."""
    for part in rule.iterchildren(*(f"{_SCH}{kind}" for kind in ("let", "assert", "report", "extends"))):
        if part.tag != f"{_SCH}extends":
            yield rule, part
            continue
        wanted = part.get("rule")
        if wanted not in abstract or wanted in above:
            raise _unusable(name, "abstrakte Regel fehlt oder läuft im Kreis", "an abstract rule is missing or loops")
        yield from _inlined(abstract[wanted], abstract, name, (*above, wanted))


def _let(parent: Any, scope: Any) -> None:
    for node in scope.iterchildren(f"{_SCH}let"):
        _variable(parent, node)


def _variable(parent: Any, node: Any) -> None:
    etree.SubElement(parent, f"{_XSL}variable", name=node.get("name"), select=node.get("value"))


def _test(template: Any, part: Any, number: int) -> None:
    test = _required(part, "test", str(number))
    attempt = etree.SubElement(template, f"{_XSL}try")
    broken = f"not({test}\n)" if part.tag == f"{_SCH}assert" else f"boolean({test}\n)"
    found = etree.SubElement(attempt, f"{_XSL}if", test=broken)
    etree.SubElement(
        found, f"{_XSL}value-of", select=f"concat('{number} F ', {_PLACE}, '&#10;')".replace("&#10;", "\n")
    )
    caught = etree.SubElement(attempt, f"{_XSL}catch")
    etree.SubElement(caught, f"{_XSL}value-of", select=f"concat('{number} E ', {_PLACE}, '\n')")


def _test_context(start: Any, context: str, first: int, after: int) -> None:
    """Evaluate a context as an expression: as a pattern, a context that fails would match nothing and say nothing."""
    if "[" not in context or "current(" in context:
        return
    attempt = etree.SubElement(start, f"{_XSL}try")
    # The number is compared, so that it is not optimised away.
    whole = context if context.strip().startswith("/") else f"//({context}\n)"
    etree.SubElement(attempt, f"{_XSL}variable", name="hub-nodes", select=f"count({whole}\n)")
    etree.SubElement(etree.SubElement(attempt, f"{_XSL}if", test="$hub-nodes = 4294967291"), f"{_XSL}text")
    caught = etree.SubElement(attempt, f"{_XSL}catch")
    etree.SubElement(caught, f"{_XSL}value-of", select=f"'{first} C {after}\n'")


def _descend(template: Any) -> None:
    etree.SubElement(template, f"{_XSL}apply-templates", select="@*|node()", mode="rules")


def _assertion(rule: Any, part: Any, place: str) -> Assertion:
    named = _ODD.sub("-", part.get("id", "")).strip("-")[:100]
    roles = {node.get(key, "").lower() for node in (part, rule) for key in ("role", "flag")} - {""}
    own = {part.get(key, "").lower() for key in ("role", "flag")} - {""}
    constant = next(part.iter(f"{_SCH}value-of", f"{_SCH}name", f"{_XSL}value-of"), None) is None
    return Assertion(
        rule=f"schematron.{named or place}",
        severity="warning" if (own or roles) & _WARNING else "error",
        words=" ".join("".join(part.itertext("*")).split())[:_SHOWN] if constant else "",
    )


def _required(node: Any, key: str, name: str) -> str:
    value: str | None = node.get(key)
    if value is None:
        raise _unusable(name, f"{key} fehlt in Zeile {node.sourceline}", f"{key} is missing in line {node.sourceline}")
    return value


def _unusable(name: str, german: str, english: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Geschäftsregeln {name} sind unbrauchbar: {german}. Prüfen Sie das Paket.",
            f"The business rules {name} cannot be used: {english}. Check the package.",
        ),
        file=name,
    )
