"""Business rules in ISO Schematron (ISO/IEC 19757-3) with the query bindings of XSLT, run by Saxon.

Every pattern becomes a stylesheet of its own, so that its variables stay its own. Within a pattern the first rule whose context
matches a node judges it. A stylesheet answers lines ``<number of the assertion> <state> <place>`` and never a value of the
document: an author's words are shown only where they are constant. Phases are ignored: every pattern runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.limits import MIB, Limits
from hub.validation.report import Severity, Violation
from hub.validation.rules import text_of
from hub.validation.saxon import Transformer, installed
from hub.validation.vocabulary import Vocabulary
from hub.validation.xml import XmlDocument, parse_tree
from hub.validation.xml_report import document_path
from hub.validation.xsd import parse_schema_document

#: The largest document whose business rules are run: they need a tree in Saxon.
DOCUMENT_BYTES = 4 * MIB
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
    r"environment-variable|available-environment-variables|load-xquery-module|system-property|evaluate|stream-available|function-lookup)\s*[(#]"
)
_REACHING_ELEMENTS = frozenset(
    f"{_XSL}{name}"
    for name in ("import", "include", "result-document", "source-document", "evaluate", "use-package", "merge")
)
#: ``expand-text`` would hide expressions in texts.
_REACHING_ATTRIBUTES = ("href", "expand-text", f"{_XSL}expand-text")
_WARNING = frozenset({"warning", "warn", "info", "information", "hint"})
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleFindings:
    """What business rules have to say of a document."""

    violations: tuple[Violation, ...] = ()
    total: int = 0
    notes: tuple[Text, ...] = ()


class BusinessRules:
    """The business rules of one version of a standard. Thread-safe; translated when first needed."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._lock = Lock()
        self._ready: tuple[Transformer, RuleSet] | None = None

    def check(self, document: XmlDocument, words: Vocabulary, limits: Limits) -> RuleFindings:
        """Run the rules on a document that keeps its schema.

        Raises:
            TooLarge: They took too long or too much memory.
            ConfigurationError: The rules are wrong.
        """
        if not installed():
            return RuleFindings(notes=(_NOT_INSTALLED,))
        if len(document.data) > DOCUMENT_BYTES:
            return RuleFindings(notes=(_TOO_LARGE,))
        transformer, rules = self._translated()
        answers = transformer.run(document.data)
        notes = (_PARTLY,) if None in answers else ()
        lines = [line for answer in answers for line in (answer or "").split("\n") if line]
        if not lines:
            return RuleFindings(notes=notes)
        tree = parse_tree(document.data) if document.tree is None else document.tree
        found = sorted((_violation(line, rules, tree, words) for line in lines[: limits.violations]), key=_order)
        return RuleFindings(violations=tuple(found), total=len(lines), notes=notes)

    def compile(self) -> None:
        """Translate the rules, and compile them if Saxon is there.

        Raises:
            ConfigurationError: They are wrong, or reach outside the document.
        """
        if installed():
            self._translated()[0].compile()
        else:
            translated(self._files)

    def _translated(self) -> tuple[Transformer, RuleSet]:
        if self._ready is None:
            with self._lock:
                if self._ready is None:
                    rules = translated(self._files)
                    self._ready = (Transformer(rules.stylesheets), rules)
        return self._ready


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
        writer.add(schema, name, prefix=f"{number}." if len(files) > 1 else "")
    return RuleSet(stylesheets=tuple(writer.stylesheets), assertions=tuple(writer.assertions))


def _refuse_what_reaches_out(schema: Any, name: str) -> None:
    for node in schema.iter("*"):
        reaches = node.tag in _REACHING_ELEMENTS or any(_REACHING.search(value) for value in node.attrib.values())
        if reaches or node.tag == f"{_SCH}include" or any(node.get(name) is not None for name in _REACHING_ATTRIBUTES):
            raise _unusable(
                name,
                f"Zeile {node.sourceline} greift auf etwas außerhalb des Dokuments zu",
                f"line {node.sourceline} reaches outside the document",
            )


class _Writer:
    """Writes stylesheets and counts assertions."""

    def __init__(self) -> None:
        self.stylesheets: list[str] = []
        self.assertions: list[Assertion] = []

    def add(self, schema: Any, name: str, *, prefix: str) -> None:
        version = _BINDINGS.get(schema.get("queryBinding", "").lower())
        if version is None:
            raise _unusable(name, "unbekanntes queryBinding", "unknown queryBinding")
        abstract = {pattern.get("id"): pattern for pattern in _patterns(schema) if pattern.get("abstract") == "true"}
        concrete = [pattern for pattern in _patterns(schema) if pattern.get("abstract") != "true"]
        for number, pattern in enumerate(concrete, start=1):
            body = _instance(pattern, abstract, name) if pattern.get("is-a") else pattern
            sheet = self._sheet(schema, version)
            self._pattern(sheet, body, name, f"{prefix}{number}")
            self.stylesheets.append(etree.tostring(sheet, encoding="unicode"))

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

    def _pattern(self, sheet: Any, pattern: Any, name: str, place: str) -> None:
        _let(sheet, pattern)
        start = etree.SubElement(sheet, f"{_XSL}template", match="/", priority="0")
        etree.SubElement(start, f"{_XSL}apply-templates", select="/", mode="rules")
        # Where no rule is for a node, its attributes and children are looked at all the same.
        _descend(etree.SubElement(sheet, f"{_XSL}template", match="/|node()|@*", mode="rules", priority="0"))
        abstract = {
            rule.get("id"): rule for rule in pattern.iterchildren(f"{_SCH}rule") if rule.get("abstract") == "true"
        }
        concrete = [rule for rule in pattern.iterchildren(f"{_SCH}rule") if rule.get("abstract") != "true"]
        for number, rule in enumerate(concrete, start=1):
            template = etree.SubElement(
                sheet,
                f"{_XSL}template",
                match=_required(rule, "context", name),
                mode="rules",
                priority=str(len(concrete) - number + 1),
            )
            self._rule(template, list(_inlined(rule, abstract, name, ())), f"{place}.{number}")
            _descend(template)

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
    if node.get("value") is None:
        raise _unusable(node.get("name", ""), "let ohne value", "a let without a value")
    etree.SubElement(parent, f"{_XSL}variable", name=node.get("name"), select=node.get("value"))


def _test(template: Any, part: Any, number: int) -> None:
    test = _required(part, "test", str(number))
    attempt = etree.SubElement(template, f"{_XSL}try")
    broken = f"not({test}\n)" if part.tag == f"{_SCH}assert" else f"boolean({test}\n)"
    found = etree.SubElement(attempt, f"{_XSL}if", test=broken)
    etree.SubElement(
        found, f"{_XSL}value-of", select=f"concat('{number} F ', {_PLACE}, '&#10;')".replace("&#10;", "\n")
    )
    # A rule that cannot be evaluated is its author's fault: it is told, and does not refuse the document.
    caught = etree.SubElement(attempt, f"{_XSL}catch")
    etree.SubElement(caught, f"{_XSL}value-of", select=f"concat('{number} E ', {_PLACE}, '\n')")


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


def _violation(line: str, rules: RuleSet, tree: Any, words: Vocabulary) -> Violation:
    number, state, *place = line.split(" ")
    assertion = rules.assertions[int(number)]
    element = _element(tree, place[0] if place else "")
    text = text_of("schematron.not-evaluated" if state == "E" else "schematron")
    violation = Violation(
        rule=assertion.rule,
        severity=assertion.severity,
        path=document_path(element, words),
        path_kind="xpath",
        line=element.sourceline,
        expected=assertion.words or None,
        text=text,
    )
    return replace(violation, severity="warning") if state == "E" else violation


def _element(tree: Any, place: str) -> Any:
    """Follow positions among sibling elements; the first is the root's own."""
    element = tree
    for step in place.split("/")[1:]:
        element = next(child for number, child in enumerate(element.iterchildren("*"), start=1) if number == int(step))
    return element


def _order(violation: Violation) -> tuple[str, int]:
    return violation.severity, violation.line or 0


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


def rule_files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of Schematron files, sorted."""
    return tuple(sorted(name for name in names if name.lower().endswith(".sch")))


_NOT_INSTALLED = Text(
    "Die Geschäftsregeln (Schematron) wurden nicht geprüft: dazu fehlt die Erweiterung „schematron“ dieser Installation.",
    "The business rules (Schematron) were not run: this installation lacks the extra 'schematron'.",
)
_PARTLY = Text(
    "Ein Teil der Geschäftsregeln (Schematron) ließ sich auf dieses Dokument nicht anwenden und wurde nicht geprüft.",
    "Some of the business rules (Schematron) could not be applied to this document and were not run.",
)
_TOO_LARGE = Text(
    f"Das Dokument ist größer als {DOCUMENT_BYTES // MIB} MiB; seine Geschäftsregeln (Schematron) wurden nicht geprüft.",
    f"The document is larger than {DOCUMENT_BYTES // MIB} MiB; its business rules (Schematron) were not run.",
)
