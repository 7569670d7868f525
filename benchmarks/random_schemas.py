"""Small schemas drawn by chance, and documents for them: what nobody thought of writing down as a case.

A schema has some simple types that restrict, list and unite others, global attributes, a few complex types that extend and
restrict each other, a substitution group and keys. Each part is kept only if libxml2 compiles the schema with it. Documents
follow the schema mostly: values come from a pool of edges by type, children come as the model has them or once too often, and
types are chosen by ``xsi:type``. A seed tells all of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

#: Texts by type, between ``|``: edges, spellings that mean the same, and some that are none.
_POOL = {
    name: tuple(texts.split("|"))
    for name, texts in {
        "string": "a|A b|  x ||abc|1",
        "token": "a|a b| a  b ||abc",
        "normalizedString": "a| a\tb|",
        "int": "1|01|+1|-0|300|x|| 5 ",
        "decimal": "1|1.0|01.50|-0|.5|1.|1e1|x| 2 ",
        "positiveInteger": "1|0|+2|-1|12",
        "nonPositiveInteger": "0|-1|1|-0",
        "unsignedByte": "1|256|-0|255",
        "long": "9223372036854775807|9223372036854775808|1",
        "boolean": "true|1|false|0|TRUE| true ",
        "double": "1|1e0|NaN|INF|-0|0|1e|.5",
        "float": "1|1.0|NaN|0|-INF",
        "date": "2026-01-01|2026-01-01Z|2026-01-01+00:00|2026-02-30|2025-12-31| 2026-01-01 ",
        "dateTime": "2026-01-01T00:00:00|2025-12-31T24:00:00|2026-01-01T00:00:00Z|2026-01-01T01:00:00+01:00",
        "time": "12:00:00|12:00:00Z|13:00:00+01:00|25:00:00",
        "gYear": "2026|2026Z|26",
        "gYearMonth": "2026-01|2026-13",
        "duration": "P1Y|P12M|P30D|P1M|PT0S|P",
        "hexBinary": "0a|0A|0||0A0B",
        "base64Binary": "YQ==|Y Q = =|YWJj|YQ=|YWI=|",
        "anyURI": "a|http://x/y|a b|",
        "QName": "b:x|x|c:x|q:x|b:y",
        "NCName": "a|b|a:b|1",
        "Name": "a|a:b|1",
        "NMTOKEN": "a|1|a b",
        "NMTOKENS": "a b|a|| a  b ",
        "language": "de|de-DE|d_e",
        "ID": "a|b|i1|1",
        "IDREF": "a|b|i1|zz",
        "IDREFS": "a b|a|zz a|",
    }.items()
}
_ORDERED = frozenset(
    "int decimal positiveInteger double float date dateTime time gYear duration unsignedByte".split()  # noqa: SIM905
)
_LONG = frozenset("string token normalizedString hexBinary base64Binary anyURI NMTOKENS NMTOKEN NCName list".split())  # noqa: SIM905
_LISTS = frozenset({"IDREFS", "NMTOKENS"})
_IDENTIFIERS = frozenset({"xs:ID", "xs:IDREF", "xs:IDREFS"})
_PATTERNS = (
    r"[a-c]+", r"\d+", r"\d{1,3}", r"(a|b)*c?", r"[^0]*", r"\S+", r".*1.*", r"[\-+]?[0-9.]+", r"\w+( \w+)*",
    r"[\i-[:]][\c-[:]]*", r"(true|1)", r"[A-Z]{2}|[a-z]+",
)  # fmt: skip
_HEAD = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:b" xmlns:b="urn:b" xmlns:c="urn:b" xmlns:q="urn:q"'
    ' targetNamespace="urn:b">'
)
_SPACES = (
    'xmlns:b="urn:b" xmlns:c="urn:b" xmlns:q="urn:q" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_LET_IN = ("", "<q/>", "<b:q/>", '<x:q xmlns:x="urn:x"/>', "<q><b:gs>z</b:gs></q>")
#: How deep documents go before elements stay empty, and how often a part that libxml2 refuses is drawn anew.
_DEEP, _TRIES = 5, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class _Model:
    """What stands in an element: ``sequence`` or ``choice`` of parts, an ``element``, what a wildcard lets in, or ``text``."""

    sort: str
    written: str = ""
    name: str = ""
    type: str = ""
    parts: tuple[_Model, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Complex:
    model: _Model
    attributes: tuple[tuple[str, str], ...] = ()
    mixed: bool = False


@dataclass(slots=True)
class _Parts:
    """What a schema has so far: the written parts, and by name the texts and the primitive type of each simple type."""

    written: list[str] = field(default_factory=list)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    primitive: dict[str, str] = field(default_factory=dict)
    complex: dict[str, _Complex] = field(default_factory=dict)
    elements: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)

    def copy(self) -> _Parts:
        """Return a copy to go back to."""
        return _Parts(
            list(self.written),
            dict(self.texts),
            dict(self.primitive),
            dict(self.complex),
            dict(self.elements),
            dict(self.attributes),
        )


class RandomSchema:
    """A schema of a seed: its text, and documents for it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._parts = _Parts()
        self._good: dict[str, tuple[str, ...]] = {}
        self._locals: dict[str, _Model] = {}
        self._draw()

    @property
    def text(self) -> str:
        """The schema document."""
        return f"{_HEAD}{''.join(self._parts.written)}</xs:schema>"

    def document(self) -> str:
        """Draw a document."""
        return self._element("b:r", self._root, 0, f" {_SPACES}")

    # What a schema is made of.

    def _draw(self) -> None:
        some = self._chance.randint
        for number in range(some(1, 4)):
            self._attempt(partial(self._simple, f"S{number}"))
        for number in range(some(0, 2)):
            self._attempt(partial(self._global_attribute, f"ga{number}"))
        for number in range(some(1, 3)):
            self._attempt(partial(self._complex, f"C{number}"))
        if self._parts.complex and self._likely(0.5):
            self._attempt(self._substitution)
        self._attempt(self._global_element)
        for number in (3, 4):
            self._attempt(partial(self._complex, f"C{number}"))
        if not self._parts.complex:
            self._attempt(lambda: self._with_text("C5"))
        self._root = self._chance.choice(sorted(self._parts.complex))
        if not (self._likely(0.45) and self._attempt(lambda: self._root_element(self._keys()))):
            self._root_element("")

    def _attempt(self, draw: Callable[[], None]) -> bool:
        """Draw a part until libxml2 compiles the schema with it; without it if none of the first few does."""
        for _ in range(_TRIES):
            before = self._parts.copy()
            try:
                draw()
                self._compiled()
            except (etree.XMLSchemaParseError, IndexError):
                self._parts = before
            else:
                return True
        return False

    def _compiled(self, more: str = "") -> Any:
        return etree.XMLSchema(etree.fromstring(f"{_HEAD}{''.join(self._parts.written)}{more}</xs:schema>"))

    def _likely(self, share: float) -> bool:
        return self._chance.random() < share

    def _pick(self, *of: str) -> str:
        return self._chance.choice(of)

    def _pool(self, kind: str) -> tuple[str, ...]:
        return self._parts.texts.get(kind) or _POOL.get(kind.removeprefix("xs:"), ("",))

    def _fitting(self, kind: str) -> tuple[str, ...]:
        """Return the texts of the pool of a type that belong to it."""
        if kind not in self._good:
            try:
                schema = self._compiled(f'<xs:element name="probe" type="{kind}"/>')
            except etree.XMLSchemaParseError:
                return ()
            probes = {
                text: etree.fromstring(f"<b:probe {_SPACES}>{escape(text)}</b:probe>") for text in self._pool(kind)
            }
            self._good[kind] = tuple(
                text for text, probe in probes.items() if kind in _IDENTIFIERS or schema.validate(probe)
            )
        return self._good[kind]

    def _texts(self, kind: str) -> tuple[str, ...]:
        """Return texts for a type: mostly those that belong to it."""
        fitting = self._fitting(kind) if self._likely(0.9) else ()
        return fitting or self._pool(kind)

    def _text(self, kind: str) -> str:
        return self._chance.choice(self._texts(kind))

    def _some_type(self, *, atomic: bool = False) -> str:
        named = [name for name in self._parts.texts if not atomic or self._parts.primitive[name] in _POOL]
        if named and self._likely(0.5):
            return self._chance.choice(sorted(named))
        return "xs:" + self._chance.choice(sorted(_POOL.keys() - (_LISTS if atomic else set())))

    def _simple(self, name: str) -> None:
        form = self._chance.random()
        if form < 0.2:
            item = self._some_type(atomic=True)
            words = self._texts(item)
            texts = [" ".join(self._chance.choices(words, k=self._chance.randint(0, 3))) for _ in range(5)]
            body, primitive = f'<xs:list itemType="{item}"/>', "list"
        elif form < 0.42:
            members = [self._some_type() for _ in range(self._chance.randint(2, 3))]
            texts = [text for each in members for text in self._texts(each)[:3]]
            body, primitive = f'<xs:union memberTypes="{" ".join(members)}"/>', "union"
        else:
            base = self._some_type()
            primitive = self._primitive(base)
            texts = list(self._texts(base))
            body = f'<xs:restriction base="{base}">{self._facets(primitive, texts)}</xs:restriction>'
        self._parts.written.append(f'<xs:simpleType name="{name}">{body}</xs:simpleType>')
        self._parts.texts[name] = tuple(texts) or ("",)
        self._parts.primitive[name] = primitive

    def _primitive(self, kind: str) -> str:
        return self._parts.primitive.get(kind, kind.removeprefix("xs:"))

    def _facets(self, primitive: str, texts: Sequence[str]) -> str:
        """Draw one or two facets, each once; enumerations and patterns may come together."""
        drawn: dict[str, str] = {}
        good = [text for text in texts if text.strip()] or ["1"]
        for _ in range(self._chance.randint(1, 2)):
            form = self._chance.random()
            if form < 0.35:
                values = self._chance.sample(good, min(2, len(good)))
                drawn["enumeration"] = "".join(f"<xs:enumeration value={quoteattr(value)}/>" for value in values)
            elif form < 0.6:
                drawn["pattern"] = f"<xs:pattern value={quoteattr(self._pick(*_PATTERNS))}/>"
            elif primitive in _ORDERED:
                facet = self._pick("minInclusive", "maxInclusive", "minExclusive", "maxExclusive")
                drawn[facet] = f"<xs:{facet} value={quoteattr(self._pick(*good).strip())}/>"
            elif primitive in _LONG:
                facet = self._pick("length", "minLength", "maxLength")
                drawn[facet] = f'<xs:{facet} value="{self._chance.randint(0, 3)}"/>'
        return "".join(drawn.values())

    def _constraint(self, kind: str) -> str:
        """Draw what an element or attribute has by default, or fixed; mostly nothing."""
        form = self._chance.random()
        if form < 0.72:
            return ""
        return f"{'fixed' if form < 0.87 else 'default'}={quoteattr(self._text(kind))}"

    def _nillable(self) -> str:
        return self._pick("", "", 'nillable="true"')

    def _occurs(self) -> str:
        if self._likely(0.5):
            return ""
        least = self._chance.randint(0, 2)
        return f'minOccurs="{least}" maxOccurs="{self._pick(str(least or 1), str(least + 1), "unbounded")}"'

    def _global_attribute(self, name: str) -> None:
        kind = self._some_type()
        self._parts.attributes[name] = kind
        self._parts.written.append(f'<xs:attribute name="{name}" type="{kind}" {self._constraint(kind)}/>')

    def _global_element(self) -> None:
        kind = self._some_type()
        self._parts.elements["gs"] = kind
        self._parts.written.append(f'<xs:element name="gs" type="{kind}" {self._nillable()} {self._constraint(kind)}/>')

    def _substitution(self) -> None:
        kind = self._chance.choice(sorted(self._parts.complex))
        abstract = self._pick("", "", 'abstract="true"')
        self._parts.written += [
            f'<xs:element name="gh" type="{kind}" {abstract}/>',
            f'<xs:element name="gm" type="{kind}" substitutionGroup="gh"/>',
        ]
        self._parts.elements |= {"gh": kind, "gm": kind}

    def _complex(self, name: str) -> None:
        form = self._chance.random()
        bases = {each: kind for each, kind in self._parts.complex.items() if kind.model.sort != "text"}
        with_text = {each: kind for each, kind in self._parts.complex.items() if kind.model.sort == "text"}
        self._locals = {}
        if form < 0.22:
            self._with_text(name)
        elif form < 0.4 and bases:
            self._extension(name, *self._chance.choice(sorted(bases.items(), key=lambda each: each[0])))
        elif form < 0.55 and with_text:
            self._restriction(name, *self._chance.choice(sorted(with_text.items(), key=lambda each: each[0])))
        else:
            mixed, model = self._likely(0.15), self._model(0)
            written, names = self._attributes(set())
            told = 'mixed="true"' if mixed else ""
            body = f"{model.written}{written}{self._any_attribute()}"
            self._parts.written.append(f'<xs:complexType name="{name}" {told}>{body}</xs:complexType>')
            self._parts.complex[name] = _Complex(model=model, attributes=names, mixed=mixed)

    def _with_text(self, name: str) -> None:
        kind = self._some_type()
        written, names = self._attributes(set())
        extension = f'<xs:extension base="{kind}">{written}{self._any_attribute()}</xs:extension>'
        self._parts.written.append(_complex_type(name, f"<xs:simpleContent>{extension}</xs:simpleContent>"))
        self._parts.complex[name] = _Complex(model=_Model(sort="text", type=kind), attributes=names)

    def _extension(self, name: str, base: str, known: _Complex) -> None:
        written, names = self._attributes({each for each, _ in known.attributes})
        model = self._model(0)
        mixed = ' mixed="true"' if known.mixed else ""
        extension = f'<xs:extension base="{base}">{model.written}{written}</xs:extension>'
        self._parts.written.append(_complex_type(name, f"<xs:complexContent{mixed}>{extension}</xs:complexContent>"))
        both = _Model(sort="sequence", parts=(known.model, model))
        self._parts.complex[name] = _Complex(model=both, attributes=(*known.attributes, *names), mixed=known.mixed)

    def _restriction(self, name: str, base: str, known: _Complex) -> None:
        kind = known.model.type
        facets = self._facets(self._primitive(kind), self._fitting(kind))
        uses = [
            f'<xs:attribute name="{each}" {self._pick(prohibited, required)}/>'
            for each, of in known.attributes
            for prohibited, required in (('use="prohibited"', f'use="required" type="{of}"'),)
            if not each.startswith("b:") and self._likely(0.4)
        ]
        restriction = f'<xs:restriction base="{base}">{facets}{"".join(uses)}</xs:restriction>'
        self._parts.written.append(_complex_type(name, f"<xs:simpleContent>{restriction}</xs:simpleContent>"))
        self._parts.complex[name] = known

    def _attributes(self, taken: set[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Draw uses of attributes: as they are written, and name and type of each."""
        written, names = [], []
        for name in self._chance.sample(("a", "c", "d"), self._chance.randint(0, 2)):
            told, kind, known = f'name="{name}"', self._some_type(), name
            if self._parts.attributes and self._likely(0.3):
                known = self._chance.choice(sorted(self._parts.attributes))
                told, kind, known = f'ref="{known}"', self._parts.attributes[known], f"b:{known}"
            else:
                told += f' type="{kind}"'
            if known in taken:
                continue
            taken.add(known)
            constraint = self._constraint(kind)
            use = "" if "default" in constraint else self._pick("", "", 'use="required"')
            written.append(f"<xs:attribute {told} {constraint} {use}/>")
            names.append((known, kind))
        return "".join(written), tuple(names)

    def _any_attribute(self) -> str:
        if self._likely(0.75):
            return ""
        space, process = self._pick("##any", "##other", "##local"), self._pick("lax", "strict", "skip")
        return f'<xs:anyAttribute namespace="{space}" processContents="{process}"/>'

    def _model(self, depth: int) -> _Model:
        form = self._chance.random()
        if depth == 0 and self._likely(0.12):
            return self._all()
        if depth > 2 or (depth and form < 0.62):
            model = self._local()
            return _element(model, model.written % self._occurs())
        if depth and form < 0.72 and self._parts.elements:
            name = self._chance.choice(sorted(self._parts.elements))
            written = f'<xs:element ref="{name}" {self._occurs()}/>'
            return _Model(sort="element", written=written, name=f"b:{name}", type=self._parts.elements[name])
        if depth and form < 0.82:
            space = self._pick("##any", "##other", "##local", "##targetNamespace", "urn:x")
            process = self._pick("lax", "strict", "skip")
            written = f'<xs:any namespace="{space}" processContents="{process}" {self._occurs()}/>'
            return _Model(sort="wild", written=written)
        sort = self._pick("sequence", "choice")
        parts = tuple(self._model(depth + 1) for _ in range(self._chance.randint(1, 3)))
        inner = "".join(part.written for part in parts)
        return _Model(sort=sort, written=f"<xs:{sort} {self._occurs()}>{inner}</xs:{sort}>", parts=parts)

    def _all(self) -> _Model:
        named = {model.name: model for model in (self._local() for _ in range(self._chance.randint(1, 4)))}
        parts = tuple(_element(each, each.written % self._pick("", 'minOccurs="0"')) for each in named.values())
        told = self._pick("", 'minOccurs="0"')
        written = f"<xs:all {told}>{''.join(part.written for part in parts)}</xs:all>"
        return _Model(sort="sequence", written=written, parts=tuple(self._chance.sample(parts, len(parts))))

    def _local(self) -> _Model:
        """Draw an element of its own, of one type wherever its name comes again in this model."""
        name = self._pick("e", "f", "g", "h")
        if name not in self._locals:
            if self._parts.complex and self._likely(0.35):
                kind, told = self._chance.choice(sorted(self._parts.complex)), self._nillable()
            else:
                kind = self._some_type()
                told = f"{self._nillable()} {self._constraint(kind)}".replace("%", "%%")
            written = f'<xs:element name="{name}" type="{kind}" {told} %s/>'
            self._locals[name] = _Model(sort="element", written=written, name=name, type=kind)
        return self._locals[name]

    def _keys(self) -> str:
        written = ""
        for number, sort in enumerate(self._chance.sample(("unique", "key", "keyref"), self._chance.randint(1, 2))):
            selector = self._pick(".//e", "e", "e|f", ".//h", "*", ".", "f")
            place = self._pick(".", "@a", "e", "@b:ga0", "f", "@c", "*")
            told = f' refer="ku{number}"' if sort == "keyref" else ""
            if told:
                written += _key("unique", f"ku{number}", "", self._pick("e", "*", "f"), ".")
            written += _key(sort, f"k{number}", told, selector, place)
        return written

    def _root_element(self, keys: str) -> None:
        self._parts.written.append(f'<xs:element name="r" type="{self._root}">{keys}</xs:element>')

    # Documents.

    def _element(self, name: str, kind: str, depth: int, told: str = "") -> str:
        if self._likely(0.04):
            told += f' xsi:nil="{self._pick("true", "1", "false")}"'
        if self._likely(0.12):
            chosen = self._chance.choice([*sorted(self._parts.complex), *sorted(self._parts.texts)])
            told += f' xsi:type="{self._pick("b", "c")}:{chosen}"'
        elif self._likely(0.01):
            told += f' xsi:type="xs:{self._chance.choice(sorted(_POOL))}"'
        empty = 'xsi:nil="true"' in told and self._likely(0.8)
        if (known := self._parts.complex.get(kind)) is None:
            return f"<{name}{told}>{'' if empty else self._noisy(self._text(kind))}</{name}>"
        for attribute, of in dict(known.attributes).items():
            if self._likely(0.8):
                told += f" {attribute}={quoteattr(self._text(of))}"
        told += ' zz="1"' if self._likely(0.04) else ""
        return f"<{name}{told}>{'' if empty or depth > _DEEP else self._content(known.model, depth)}</{name}>"

    def _noisy(self, text: str) -> str:
        """Return a text as it may stand in a document: now and then split by a comment, or in a section of its own."""
        form = self._chance.random()
        place = self._chance.randint(0, len(text))
        before, after = escape(text[:place]), escape(text[place:])
        if form < 0.06:
            return before + self._pick("<!-- c -->", "<?p i?>") + after
        return f"<![CDATA[{text}]]>" if form < 0.08 else before + after

    def _content(self, model: _Model, depth: int) -> str:
        if model.sort == "text":
            return self._noisy(self._text(model.type))
        if model.sort == "wild":
            of = self._parts.elements.get("gs")
            return self._pick(*_LET_IN, self._element("b:gs", of, depth + 1) if of else "")
        if model.sort == "element":
            name = "b:gm" if model.name == "b:gh" and self._likely(0.5) else model.name
            times = self._chance.choice((0, 1, 1, 1, 2))
            return "".join(self._element(name, model.type, depth + 1) for _ in range(times))
        found = ""
        for _ in range(self._chance.choice((1, 1, 1, 2))):
            parts = model.parts if model.sort == "sequence" else (self._chance.choice(model.parts),)
            found += "".join(self._content(part, depth) for part in parts)
        return found


def _complex_type(name: str, body: str) -> str:
    return f'<xs:complexType name="{name}">{body}</xs:complexType>'


def _element(model: _Model, written: str) -> _Model:
    return _Model(sort=model.sort, written=written, name=model.name, type=model.type)


def _key(sort: str, name: str, told: str, selector: str, place: str) -> str:
    inner = f'<xs:selector xpath="{selector}"/><xs:field xpath="{place}"/>'
    return f'<xs:{sort} name="{name}"{told}>{inner}</xs:{sort}>'
