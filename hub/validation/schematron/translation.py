"""Translating ISO Schematron (ISO/IEC 19757-3) with the query bindings of XSLT into stylesheets for Saxon.

Every pattern becomes a stylesheet of its own, so that its variables stay its own; those of others are known to it where it has
none of that name, for the official translation makes all of them global and official packages rely on it. Within a pattern the
first rule whose context matches a node judges it. A stylesheet answers lines ``<number> <state> <place>`` and never a value of
the document. What is not understood is refused, never dropped: a rule that is lost would be a rule that nobody misses. Phases
are ignored: every pattern runs.

A schema may be spread over files of its package (``include``, and ``extends`` with an address: ISO/IEC 19757-3, 5.4.4 and
5.4.5): they are put together first. Files that are no schemas of their own judge nothing unless one includes them. Tables of
the package that expressions name in words (``document('codes.xml')``) are written into the stylesheets, so that nothing is
opened when rules run; an address that is worked out is refused by file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.report import MIB, Severity
from hub.validation.xml.xsd import parse_schema_document, resolved

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
#: Attributes of Schematron that become expressions; all others are words.
_EXPRESSIONS = ("context", "test", "value", "select", "path")
#: ``expand-text`` would hide expressions in texts.
_REACHING_ATTRIBUTES = ("href", "expand-text", f"{_XSL}expand-text")
_WARNING = frozenset({"warning", "warn", "info", "information", "hint", "note", "caution"})
_ERROR = frozenset({"error", "fatal", "critical"})
#: What says how much an assertion matters (``severity`` since the edition of 2025); where two contradict, it is an error.
_WEIGHTS = (("severity",), ("flag", "role"))
#: Most files that one schema is put together from, each counted as often as it is included, and their bytes.
_INCLUDED, _INCLUDED_BYTES = 500, 32 * MIB
#: On what is put together or translated: the file that it comes from, and the number of its origin.
_HUB = "{urn:rathaus-hub:schematron}"
_FILE, _ORIGIN = f"{_HUB}file", f"{_HUB}origin"
_VARIABLE = re.compile(r"\$\s*([\w.-]+(?::[\w.-]+)?)")
#: Top-level elements of a schema that judge nothing, beside those that are translated.
_TALK = frozenset(f"{_SCH}{name}" for name in ("ns", "title", "p", "diagnostics", "properties", "phase"))
_PARTS: Mapping[str, frozenset[str]] = {
    "schema": _TALK | {f"{_SCH}let", f"{_SCH}pattern", f"{_SCH}rules"} | frozenset(_EMBEDDED),
    "rules": frozenset(f"{_SCH}{name}" for name in ("rule", "title", "p")),
    "pattern": frozenset(f"{_SCH}{name}" for name in ("rule", "let", "param", "title", "p")),
    "rule": frozenset(f"{_SCH}{name}" for name in ("assert", "report", "let", "extends", "title", "p")),
}
_SHOWN = 400
_DEPTH = 32
_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
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
class Origin:
    """Where something of a stylesheet was written: the file, its line, and the id of its assertion, rule or pattern."""

    file: str
    line: int
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSet:
    """Business rules, translated: one stylesheet per pattern, and what the numbers in their answers stand for."""

    stylesheets: tuple[str, ...] = field(repr=False)
    assertions: tuple[Assertion, ...]
    #: Per stylesheet, the number of its first assertion and of the first one after its last.
    patterns: tuple[tuple[int, int], ...]
    origins: tuple[Origin, ...] = field(repr=False, default=())

    def refused(self, number: int, message: str) -> ConfigurationError:
        """Return the refusal of a stylesheet that Saxon does not compile: at which rule of which file, and why."""
        place = _LINE.search(message)
        origin = self._origin(number, int(place[1])) if place else None
        german, english = _reason(message)
        if origin is None:
            return _unusable("?", german, english)
        named = f" ({origin.rule})" if origin.rule else ""
        return _unusable(
            origin.file,
            f"Zeile {origin.line}{named}: {german}",
            f"line {origin.line}{named}: {english}",
            line=origin.line,
            rule=origin.rule,
        )

    def _origin(self, number: int, line: int) -> Origin | None:
        sheet: Any = etree.fromstring(self.stylesheets[number])
        found = [node for node in sheet.iter("*") if node.get(_ORIGIN) and (node.sourceline or 0) <= line]
        return self.origins[int(found[-1].get(_ORIGIN))] if found else None


_LINE = re.compile(r" on line (\d+)(?: column \d+)? of ")
#: What Saxon's codes mean, for the cases that authors meet.
_REASONS = (
    (
        re.compile(r"prefix '?([^\s']+)'? has not been declared"),
        "das Präfix {} ist nicht erklärt (sch:ns)",
        "the prefix {} is not declared (sch:ns)",
    ),
    (
        re.compile(r"Variable \$(\S+) has not been declared"),
        "die Variable ${} ist nicht erklärt",
        "the variable ${} is not declared",
    ),
    (
        re.compile(r"XTSE0630\s+Duplicate global variable/parameter \$(\S+)"),
        "die Variable ${} ist zweimal erklärt",
        "the variable ${} is defined twice",
    ),
)


def _reason(message: str) -> tuple[str, str]:
    for pattern, german, english in _REASONS:
        if found := pattern.search(message):
            return german.format(found[1]), english.format(found[1])
    said = " ".join(message.partition(":\n")[2].split() or message.split())[:_SHOWN]
    return f"der Ausdruck ist falsch ({said})", f"the expression is wrong ({said})"


def translated(files: Mapping[str, bytes]) -> RuleSet:
    """Translate Schematron files (name -> content), those that they include among them.

    Raises:
        ConfigurationError: One is no Schematron, uses what is not supported, or reaches outside the document and its package.
    """
    schemas = _schemas(files)
    writer = _Writer()
    for number, (name, schema) in enumerate(schemas.items(), start=1):
        _Assembly(files).assemble(schema, name)
        tables = _Tables(files)
        tables.put_in(schema, name)
        _refuse_what_reaches_out(schema, name)
        _refuse_what_would_be_lost(schema, "schema", name)
        writer.add(schema, name, tables, prefix=f"{number}." if len(schemas) > 1 else "")
    return RuleSet(
        stylesheets=tuple(writer.stylesheets),
        assertions=tuple(writer.assertions),
        patterns=tuple(writer.patterns),
        origins=tuple(writer.origins),
    )


def needed_files(files: Mapping[str, bytes], package: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the schemas among Schematron files, and what they include from their package, sorted.

    Raises:
        ConfigurationError: None is a schema, one cannot be read, or includes what the package does not hold.
    """
    used: set[str] = set()
    for name, schema in _schemas(files).items():
        assembly = _Assembly(package)
        assembly.assemble(schema, name)
        tables = _Tables(package)
        tables.put_in(schema, name)
        used |= {name, *assembly.used, *tables.used}
    return tuple(sorted(used))


def _schemas(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the schemas among files, parsed: what has another root is a part that is included, or judges nothing."""
    parsed = {name: parse_schema_document(files[name], name) for name in sorted(files)}
    schemas = {name: root for name, root in parsed.items() if root.tag == f"{_SCH}schema"}
    for name, root in parsed.items():
        if not schemas or (name.lower().endswith(".sch") and not root.tag.startswith(_SCH)):
            raise _unusable(name, "kein ISO-Schematron", "it is no ISO Schematron")
    return schemas


class _Assembly:
    """Puts a schema together from the files of its package: nothing else is read, no loop, a bounded number of parts."""

    def __init__(self, package: Mapping[str, bytes]) -> None:
        self._package = package
        self._count = self._bytes = 0
        self.used: set[str] = set()

    def assemble(self, root: Any, name: str, above: tuple[tuple[str, str], ...] = ()) -> None:
        """Put in the place of each ``include`` (and ``extends href``) below ``root`` what it names."""
        for node in list(root.iter(f"{_SCH}include", f"{_SCH}extends")):
            href = node.get("href")
            if href is None:
                if node.tag == f"{_SCH}include":
                    raise _unusable(*_at(node, name, "href fehlt", "href is missing"))
                continue
            file, part = self._named(href, node, name)
            if (file, part) in above or len(above) >= _DEPTH:
                raise _unusable(
                    *_at(node, name, "Einbindungen im Kreis oder zu tief", "includes in a loop or too deep")
                )
            found = self._part(file, part, node, name)
            self.assemble(found, file, (*above, (file, part)))
            found.set(_FILE, file)
            parent = node.getparent()
            if node.tag == f"{_SCH}include":
                parent.replace(node, found)
                continue
            if found.tag != parent.tag:
                raise _unusable(*_at(node, name, f"{file} enthält keine Regel", f"{file} holds no rule"))
            for child in found.iterchildren("*"):
                child.set(_FILE, file)
                node.addprevious(child)
            parent.remove(node)

    def _named(self, href: str, node: Any, name: str) -> tuple[str, str]:
        file = resolved(href, name, self._package.__contains__, {})
        if file is None:
            raise _unusable(
                *_at(
                    node,
                    name,
                    f"bindet {href[:_SHOWN]} ein, und das Paket enthält diese Datei nicht",
                    f"includes {href[:_SHOWN]}, and the package does not hold that file",
                )
            )
        self._count += 1
        self._bytes += len(self._package[file])
        if self._count > _INCLUDED or self._bytes > _INCLUDED_BYTES:
            raise _unusable(*_at(node, name, "zu viele Einbindungen", "too many includes"))
        self.used.add(file)
        return file, "" if file == href.strip() else href.strip().partition("#")[2]

    def _part(self, file: str, part: str, node: Any, name: str) -> Any:
        root = parse_schema_document(self._package[file], file)
        found = (
            root
            if not part
            else next((each for each in root.iter("*") if part in (each.get("id"), each.get(_XML_ID))), None)
        )
        if found is None:
            raise _unusable(*_at(node, name, f"{part} fehlt in {file}", f"{part} is missing in {file}"))
        return found


class _Tables:
    """Documents of a package that expressions name in words: each becomes a variable of the stylesheets that use it."""

    def __init__(self, package: Mapping[str, bytes]) -> None:
        self._package = package
        self._names: dict[str, str] = {}
        self._bytes = 0

    @property
    def used(self) -> frozenset[str]:
        """The files that are named."""
        return frozenset(self._names)

    def put_in(self, schema: Any, name: str) -> None:
        """Put variables in the place of ``document('file')`` and ``doc('file')`` in the expressions of a schema."""
        for node in schema.iter("*"):
            keys = _EXPRESSIONS if node.tag.startswith(_SCH) else ("select", "test", "match", "use")
            for key in keys if node.tag.startswith((_SCH, _XSL)) else ():
                written = node.get(key)
                if written is not None and "doc" in written:
                    node.set(key, _TABLE.sub(partial(self._variable, node, name), written))

    def variables(self, used: str) -> Iterator[Any]:
        """Yield the variables whose names stand in a text, each with its document."""
        for file, called in self._names.items():
            if f"${called}" in used:
                variable = etree.Element(f"{_XSL}variable", {"name": called, "as": "document-node()"})
                document = etree.SubElement(variable, f"{_XSL}document")
                document.append(_as_words(parse_schema_document(self._package[file], file), file))
                yield variable

    def _variable(self, node: Any, name: str, found: re.Match[str]) -> str:
        written = found["single"] if found["single"] is not None else found["double"]
        file = resolved(written, _file_of(node, name), self._package.__contains__, {}) if written.strip() else None
        if file is None:
            raise _unusable(
                *_at(
                    node,
                    name,
                    f"liest {written[:_SHOWN]}, und das Paket enthält diese Datei nicht",
                    f"reads {written[:_SHOWN]}, and the package does not hold that file",
                )
            )
        if file not in self._names:
            self._bytes += len(self._package[file])
            if len(self._names) >= _INCLUDED or self._bytes > _INCLUDED_BYTES:
                raise _unusable(*_at(node, name, "liest zu viele Tabellen", "reads too many tables"))
            self._names[file] = f"hub-table-{len(self._names) + 1}"
        return f"${self._names[file]}"


#: An address that is written out, as an argument alone.
_TABLE = re.compile(r"""\b(?:document|doc)\s*\(\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\)""")


def _as_words(root: Any, file: str) -> Any:
    """Return a document as a stylesheet says it literally: braces are no expressions there, and XSLT is none."""
    for node in list(root.iter()):
        if not isinstance(node.tag, str):
            continue
        if node.tag.startswith(_XSL) or any(key.startswith(_XSL) for key in node.attrib):
            raise _unusable(file, "eine Tabelle mit XSLT wird nicht gelesen", "a table that holds XSLT is not read")
        for key, value in node.attrib.items():
            if "{" in value or "}" in value:
                node.set(key, value.replace("{", "{{").replace("}", "}}"))
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    return root


def _file_of(node: Any, name: str) -> str:
    """Return the file that a part of an assembled schema was written in."""
    return next((each.get(_FILE) for each in (node, *node.iterancestors()) if each.get(_FILE)), name)


def _at(node: Any, name: str, german: str, english: str) -> tuple[str, str, str]:
    """Return the file of a node, and words that begin with its line."""
    return _file_of(node, name), f"Zeile {node.sourceline}: {german}", f"line {node.sourceline}: {english}"


def _refuse_what_reaches_out(schema: Any, name: str) -> None:
    for node in schema.iter("*"):
        if _reaches_out(node):
            raise _unusable(
                *_at(node, name, "greift auf etwas außerhalb des Dokuments zu", "reaches outside the document")
            )


def _reaches_out(node: Any) -> bool:
    if node.tag.startswith(_SCH):
        return any(_REACHING.search(node.get(key, "")) for key in _EXPRESSIONS)
    if not any(each.tag.startswith(_XSL) for each in (node, *node.iterancestors())):
        # An author's notes, such as a link in a paragraph: nobody evaluates them.
        return False
    reaches = node.tag in _REACHING_ELEMENTS or any(_REACHING.search(value) for value in node.attrib.values())
    # Shadow attributes (XSLT 3.0, section 3.9.1) are put together when the stylesheet is compiled.
    hidden = any(key.startswith("_") for key in node.attrib) and node.tag.startswith(_XSL)
    return reaches or hidden or any(node.get(key) is not None for key in _REACHING_ATTRIBUTES)


def _refuse_what_would_be_lost(parent: Any, kind: str, name: str) -> None:
    """Refuse every Schematron or XSLT element that is not translated; foreign elements are their author's notes."""
    for node in parent.iterchildren("*"):
        foreign = not node.tag.startswith((_SCH, _XSL))
        local = node.tag.removeprefix(_SCH)
        lost = node.get("documents") is not None or (local == "let" and node.get("value") is None)
        if lost or not (foreign or node.tag in _PARTS[kind]):
            raise _unusable(
                *_at(
                    node,
                    name,
                    f"hier steht, was nicht ausgewertet wird ({local})",
                    f"what stands here is not evaluated ({local})",
                )
            )
        if local in _PARTS:
            _refuse_what_would_be_lost(node, local, name)


class _Writer:
    """Writes stylesheets and counts assertions."""

    def __init__(self) -> None:
        self.stylesheets: list[str] = []
        self.assertions: list[Assertion] = []
        self.patterns: list[tuple[int, int]] = []
        self.origins: list[Origin] = []

    def add(self, schema: Any, name: str, tables: _Tables, *, prefix: str) -> None:
        version = _BINDINGS.get(schema.get("queryBinding", "").lower())
        if version is None:
            raise _unusable(name, "unbekanntes queryBinding", "unknown queryBinding")
        bodies = list(_bodies(schema, name))
        for number, body in enumerate(bodies, start=1):
            sheet = self._sheet(schema, version, name)
            for node in _known_from_others(schema, body, bodies):
                self._variable(sheet, node, name)
            first = len(self.assertions)
            self._pattern(sheet, body, {**_abstract_rules(schema), **_abstract_rules(body)}, name, f"{prefix}{number}")
            # Behind all that has a line of its own.
            sheet.extend(list(tables.variables(etree.tostring(sheet, encoding="unicode"))))
            self.stylesheets.append(etree.tostring(sheet, encoding="unicode"))
            self.patterns.append((first, len(self.assertions)))

    def _sheet(self, schema: Any, version: str, name: str) -> Any:
        names = {prefix: uri for prefix, uri in schema.nsmap.items() if prefix and prefix not in ("xsl", "xml")}
        names |= {node.get("prefix"): node.get("uri") for node in schema.iterchildren(f"{_SCH}ns")}
        names.pop("xml", None)
        sheet = etree.Element(
            f"{_XSL}stylesheet",
            nsmap={"xs": _XS_NAMESPACE, **names, "xsl": _XSL_NAMESPACE, "hub-at": _HUB[1:-1]},
            version=version,
        )
        etree.SubElement(sheet, f"{_XSL}output", method="text")
        for node in schema.iterchildren(*_EMBEDDED):
            copied = deepcopy(node)
            sheet.append(copied)
            self._place(copied, node, name)
        self._lets(sheet, schema, name)
        return sheet

    def _pattern(self, sheet: Any, pattern: Any, abstract: Mapping[str, Any], name: str, place: str) -> None:
        self._lets(sheet, pattern, name)
        start = etree.SubElement(sheet, f"{_XSL}template", match="/", priority="0")
        # Where no rule is for a node, its attributes and children are looked at all the same.
        _descend(etree.SubElement(sheet, f"{_XSL}template", match="/|node()|@*", mode="rules", priority="0"))
        concrete = [rule for rule in pattern.iterchildren(f"{_SCH}rule") if rule.get("abstract") != "true"]
        for number, rule in enumerate(concrete, start=1):
            context = _required(rule, "context", name)
            template = etree.SubElement(
                sheet, f"{_XSL}template", match=context, mode="rules", priority=str(len(concrete) - number + 1)
            )
            self._place(template, rule, name)
            first = len(self.assertions)
            self._rule(template, list(_inlined(rule, abstract, name, ())), name, f"{place}.{number}")
            _descend(template)
            attempt = _test_context(start, context, first, len(self.assertions))
            if attempt is not None:
                self._place(attempt, rule, name)
        etree.SubElement(start, f"{_XSL}apply-templates", select="/", mode="rules")

    def _rule(self, template: Any, parts: list[tuple[Any, Any]], name: str, place: str) -> None:
        count = 0
        for rule, part in parts:
            if part.tag == f"{_SCH}let":
                self._variable(template, part, name)
                continue
            count += 1
            self._place(_test(template, part, len(self.assertions), name), part, name)
            self.assertions.append(_assertion(rule, part, f"{place}.{count}"))

    def _lets(self, parent: Any, scope: Any, name: str) -> None:
        for node in scope.iterchildren(f"{_SCH}let"):
            self._variable(parent, node, name)

    def _variable(self, parent: Any, node: Any, name: str) -> None:
        called = _required(node, "name", name)
        self._place(etree.SubElement(parent, f"{_XSL}variable", name=called, select=node.get("value")), node, name)

    def _place(self, element: Any, node: Any, name: str) -> None:
        """Give an element of a stylesheet a line of its own, and the number of where it was written."""
        element.set(_ORIGIN, str(len(self.origins)))
        called = next((each.get("id") for each in (node, *node.iterancestors()) if each.get("id")), "")
        self.origins.append(Origin(file=_file_of(node, name), line=node.sourceline or 0, rule=called))
        before = element.getprevious()
        if before is not None:
            before.tail = f"{before.tail or ''}\n"
        else:
            parent = element.getparent()
            parent.text = f"{parent.text or ''}\n"


def _bodies(schema: Any, name: str) -> Iterator[Any]:
    """Yield the patterns that judge, those that are made of abstract ones filled in."""
    abstract = {pattern.get("id"): pattern for pattern in _patterns(schema) if pattern.get("abstract") == "true"}
    for pattern in _patterns(schema):
        if pattern.get("abstract") == "true":
            continue
        body = pattern
        if pattern.get("is-a"):
            body = _instance(pattern, abstract, name)
            # Parameters may make a call of what looked harmless in pieces.
            _refuse_what_reaches_out(body, name)
        yield body


def _known_from_others(schema: Any, pattern: Any, all_patterns: list[Any]) -> list[Any]:
    """Return the variables of other patterns that a pattern uses and does not have, in their order.

    Where two of them have one name and other values, nobody could tell which is meant, and neither is known.
    """
    own = {node.get("name") for scope in (schema, pattern) for node in scope.iterchildren(f"{_SCH}let")}
    found: dict[str, list[Any]] = {}
    for other in all_patterns:
        for node in other.iterchildren(f"{_SCH}let") if other is not pattern else ():
            if node.get("name") not in own:
                found.setdefault(node.get("name"), []).append(node)
    waiting = {word for scope in (schema, pattern) for word in _used(scope)}
    wanted: set[str] = set()
    while waiting:
        word = waiting.pop()
        if word in found and word not in wanted and len({node.get("value") for node in found[word]}) == 1:
            wanted.add(word)
            waiting |= set(_used(found[word][0]))
    return [found[word][0] for word in found if word in wanted]


def _used(scope: Any) -> Iterator[str]:
    """Yield the names of variables that stand in expressions."""
    for node in scope.iter("*"):
        for value in node.attrib.values():
            yield from _VARIABLE.findall(value)


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
    # Where it stands in the schema is not copied with it.
    body.set(_FILE, _file_of(template, name))
    for node in body.iter("*"):
        for key in _EXPRESSIONS:
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


def _test(template: Any, part: Any, number: int, name: str) -> Any:
    test = _required(part, "test", name)
    attempt = etree.SubElement(template, f"{_XSL}try")
    broken = f"not({test}\n)" if part.tag == f"{_SCH}assert" else f"boolean({test}\n)"
    found = etree.SubElement(attempt, f"{_XSL}if", test=broken)
    etree.SubElement(found, f"{_XSL}value-of", select=f"concat('{number} F ', {_PLACE}, '\n')")
    caught = etree.SubElement(attempt, f"{_XSL}catch")
    etree.SubElement(caught, f"{_XSL}value-of", select=f"concat('{number} E ', {_PLACE}, '\n')")
    return found


def _test_context(start: Any, context: str, first: int, after: int) -> Any | None:
    """Evaluate a context as an expression: as a pattern, a context that fails would match nothing and say nothing."""
    if "[" not in context or "current(" in context:
        return None
    attempt = etree.SubElement(start, f"{_XSL}try")
    # The number is compared, so that it is not optimised away.
    whole = context if context.strip().startswith("/") else f"//({context}\n)"
    etree.SubElement(attempt, f"{_XSL}variable", name="hub-nodes", select=f"count({whole}\n)")
    etree.SubElement(etree.SubElement(attempt, f"{_XSL}if", test="$hub-nodes = 4294967291"), f"{_XSL}text")
    caught = etree.SubElement(attempt, f"{_XSL}catch")
    etree.SubElement(caught, f"{_XSL}value-of", select=f"'{first} C {after}\n'")
    return attempt


def _descend(template: Any) -> None:
    etree.SubElement(template, f"{_XSL}apply-templates", select="@*|node()", mode="rules")


def _assertion(rule: Any, part: Any, place: str) -> Assertion:
    named = _ODD.sub("-", part.get("id", "")).strip("-")[:100]
    constant = next(part.iter(f"{_SCH}value-of", f"{_SCH}name", f"{_XSL}value-of"), None) is None
    return Assertion(
        rule=f"schematron.{named or place}",
        severity=_severity(part) or _severity(rule) or "error",
        words=" ".join("".join(part.itertext("*")).split())[:_SHOWN] if constant else "",
    )


def _severity(node: Any) -> Severity | None:
    """Return what an assertion or a rule says of its weight; None if it says nothing that is understood."""
    for keys in _WEIGHTS:
        said = {node.get(key, "").strip().lower() for key in keys}
        if said & _ERROR:
            return "error"
        if said & _WARNING:
            return "warning"
    return None


def _required(node: Any, key: str, name: str) -> str:
    value: str | None = node.get(key)
    if value is None:
        raise _unusable(*_at(node, name, f"{key} fehlt", f"{key} is missing"))
    return value


def _unusable(name: str, german: str, english: str, **members: Any) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Geschäftsregeln {name} sind unbrauchbar: {german}. Prüfen Sie das Paket.",
            f"The business rules {name} cannot be used: {english}. Check the package.",
        ),
        file=name,
        **members,
    )
