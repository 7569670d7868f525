"""Messages that are made of a schema by chance: valid as far as chance knows, with optional parts as they fall."""

from __future__ import annotations

import base64
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hub.validation.xml.regex import characters_of
from hub.validation.xml.xsd import XSD, XsdSource, parse_schema_document

_XS = "http://www.w3.org/2001/XMLSchema"
_XML = "http://www.w3.org/XML/1998/namespace"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: Elements of one message, about, and how deep optional parts are made.
_ELEMENTS, _DEPTH = 120, 10
#: Characters that values are made of where the schema leaves it open.
_LETTERS = "abcdefghijklmnopqrstuvwxyzÄÖÜßéŁ 0123456789-"


class CannotMakeError(Exception):
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
        self._spaces: dict[str, str] = {"xsi": XSI, "xs": _XS}
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
            raise CannotMakeError(name)
        return found

    def _element(self, node: Any, depth: int) -> Any:
        if node.get("ref"):
            node = self._find("element", node, node.get("ref"))
        name, tops = node.get("name"), node.getparent().tag == f"{XSD}schema"
        if tops:
            others = self._heads.get(self._name(node), [])
            if node.get("abstract") == "true" or (others and self._chance.random() < 0.3):
                if not others:
                    raise CannotMakeError(name)
                return self._element(self._chance.choice(others), depth)
        document = node.getroottree().getroot()
        form = node.get("form") or document.get("elementFormDefault")
        made = etree.Element(
            self._name(node) if tops or form == "qualified" else name, nsmap=None if depth else self._spaces
        )
        self._left -= 1
        if depth > 60:
            raise CannotMakeError(name)
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
            raise CannotMakeError(kind.get("name"))
        chosen = self._chance.choice(others)
        if chosen.tag != kind.tag or chosen.get("abstract") == "true":
            if abstract:
                raise CannotMakeError(kind.get("name"))
            return kind
        made.set(f"{{{XSI}}}type", self._written(self._name(chosen)))
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
                raise CannotMakeError("any")
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
            except CannotMakeError:
                del made[here:]
                self._left = left
                continue
            return
        raise CannotMakeError("choice")

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
