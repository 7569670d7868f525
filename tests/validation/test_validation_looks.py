"""What is judged, and how often it is looked at: of any schema and any document the looks agree, and *complete* means all.

libxml2 judges what has a declaration. The walk over a tree, the one over a stream and the quick look by names judge again what
it misjudges, and count what nothing judges. That count is compared with one made here, from the declarations as another
library (xmlschema) reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from test_validation_places import XS, rules, schema_of

from hub.errors import Malformed, TooLarge
from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog, SchemaEntry
from hub.validation.code_lists import CodeList, CodeLists
from hub.validation.importing import import_standard
from hub.validation.report import Check, Limits
from hub.validation.schematron.saxon import installed
from hub.validation.xml.documents import in_own_thread, notice, read_xml, stream
from hub.validation.xml.met import Met
from hub.validation.xml.walk import PlaceListener
from hub.validation.xml.xsd import CHOOSES_TYPE, XsdSchema

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ANY_TYPE = "{http://www.w3.org/2001/XMLSchema}anyType"

#: Values of each kind of place, those that libxml2 misjudges among them.
VALUES = {
    "xs:string": ["", "a", "l<!-- -->m"],
    "xs:ID": ["i", "j", "k", " i ", "l<!-- -->m"],
    "xs:IDREF": ["i", "j", " k", "l<!-- -->m"],
    "xs:IDREFS": ["i", "i j", "k  j"],
    "xs:base64Binary": ["YWI=", "Y W I =", "-_-_", "YWJ="],
    "xs:double": ["1", "0", "-0.0", "1e"],
    "xs:duration": ["P1Y", "PT1.S"],
    "xs:dateTime": ["2026-11-29T19:40:00Z", " 2026-11-29T19:40:00Z "],
    "one": ["1", "true", " 1 ", "0"],
    "numbers": ["1 2.0", "1 1e"],
    "xs:anySimpleType": ["i", "x"],
}
ATTRIBUTES = {
    "id": "xs:ID",
    "to": "xs:IDREFS",
    "n": "xs:double",
    "d": "xs:base64Binary",
    "b:on": "one",
    "s": "xs:string",
    "v": "xs:dateTime",
}
GLOBAL_ATTRIBUTES = {"b:at": "xs:IDREF", "b:num": "xs:double", "b:on": "xs:boolean"}
WILD = ["", "", "lax", "skip", "strict"]
CHOICES = ["xs:IDREF", "xs:base64Binary", "xs:string", "xs:double"]
NAMES = ["a", "c", "d", "e"]
HEAD = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:b" xmlns:b="urn:b">'
    '<xs:attribute name="at" type="xs:IDREF"/><xs:attribute name="num" type="xs:double"/>'
    '<xs:attribute name="on" type="xs:boolean"/>'
    '<xs:simpleType name="numbers"><xs:list itemType="xs:double"/></xs:simpleType>'
)


@dataclass(frozen=True)
class Kind:
    """A complex type: elements by name, each of a simple type or of another kind; attributes; two wildcards."""

    children: dict[str, str]
    attributes: list[str]
    wild: str
    attribute_wild: str


@dataclass(frozen=True)
class Grammar:
    """A schema: kinds by name, and global elements."""

    kinds: dict[str, Kind]
    roots: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as a schema document."""
        kinds = "".join(
            f'<xs:complexType name="{name}"><xs:choice minOccurs="0" maxOccurs="unbounded">'
            + "".join(_element(child, kind_of) for child, kind_of in kind.children.items())
            + _wildcard("any", kind.wild, ' namespace="##targetNamespace urn:x"')
            + "</xs:choice>"
            + "".join(_attribute(attribute) for attribute in kind.attributes)
            + _wildcard("anyAttribute", kind.attribute_wild, "")
            + "</xs:complexType>"
            for name, kind in self.kinds.items()
        )
        return HEAD + kinds + "".join(_element(name, kind) for name, kind in self.roots.items()) + "</xs:schema>"


def _element(name: str, kind: str) -> str:
    if kind == "one":
        return f'<xs:element name="{name}" type="xs:boolean" fixed="1"/>'
    return f'<xs:element name="{name}" type="{kind if kind.startswith("xs:") else f"b:{kind}"}"/>'


def _attribute(name: str) -> str:
    if name == "b:on":
        return '<xs:attribute ref="b:on" fixed="1"/>'
    return f'<xs:attribute name="{name}" type="{ATTRIBUTES[name]}"/>'


def _wildcard(tag: str, treats: str, more: str) -> str:
    return f'<xs:{tag} processContents="{treats}"{more}/>' if treats else ""


SIMPLE = st.sampled_from(sorted(VALUES))


@st.composite
def grammars(draw: Any) -> Grammar:
    names = ["T0", "T1", "T2"]
    kind_of = st.one_of(SIMPLE, st.sampled_from([*names, *names, "xs:anyType"]))
    kinds = {
        name: Kind(
            children=draw(st.dictionaries(st.sampled_from(NAMES), kind_of, min_size=1, max_size=3)),
            attributes=draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)), max_size=3, unique=True)),
            wild=draw(st.sampled_from(WILD)),
            attribute_wild=draw(st.sampled_from(WILD)),
        )
        for name in names
    }
    roots = {"r": "T0", "g": draw(kind_of), "h": draw(kind_of)}
    return Grammar(kinds, roots)


def _attributes(draw: Any, kind: Kind) -> str:
    found = {name: draw(_value(ATTRIBUTES[name])) for name in kind.attributes if draw(st.booleans())}
    if kind.attribute_wild and draw(st.booleans()):
        other = st.sampled_from(sorted({*GLOBAL_ATTRIBUTES, "x:u"} - set(kind.attributes)))
        name = draw(st.just("b:at") if kind.attribute_wild == "strict" else other)
        if not (name == "b:on" and "b:on" in kind.attributes):
            found[name] = draw(_value(GLOBAL_ATTRIBUTES.get(name, "xs:string")))
    return "".join(f' {name}="{value.replace("<!-- -->", "")}"' for name, value in found.items())


def _value(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(VALUES.get(kind, ["1", "true"]))


def _content(draw: Any, grammar: Grammar, name: str, kind: str, depth: int) -> str:
    """Return an element of a kind that its schema lets stand, values aside."""
    if kind in VALUES:
        chosen = draw(st.sampled_from(CHOICES)) if kind == "xs:anySimpleType" and draw(st.booleans()) else None
        if chosen is not None:
            return f'<{name} xsi:type="{chosen}">{draw(_value(chosen))}</{name}>'
        return f"<{name}>{draw(_value(kind))}</{name}>"
    if kind == "xs:anyType":
        return _anything(draw, grammar, name, depth)
    of_kind = grammar.kinds[kind]
    parts = []
    for _ in range(draw(st.integers(0, 3)) if depth else 0):
        if of_kind.wild and draw(st.booleans()):
            parts.append(_let_in(draw, grammar, of_kind.wild, depth - 1))
        elif of_kind.children:
            child = draw(st.sampled_from(sorted(of_kind.children)))
            parts.append(_content(draw, grammar, child, of_kind.children[child], depth - 1))
    return f"<{name}{_attributes(draw, of_kind)}>{''.join(parts)}</{name}>"


def _let_in(draw: Any, grammar: Grammar, treats: str, depth: int) -> str:
    if treats != "strict" and draw(st.booleans()):
        return _anything(draw, grammar, draw(st.sampled_from(["x:o", "x:p"])), depth)
    name = draw(st.sampled_from(sorted(grammar.roots)))
    return _content(draw, grammar, f"b:{name}", grammar.roots[name], depth)


def _anything(draw: Any, grammar: Grammar, name: str, depth: int) -> str:
    """Return an element that has no declaration, or one that lets anything in."""
    if draw(st.integers(0, 4)) == 0:
        chosen = draw(st.sampled_from(CHOICES))
        return f'<{name} xsi:type="{chosen}">{draw(_value(chosen))}</{name}>'
    own = ' free="i"' if draw(st.booleans()) else ""
    parts = [_let_in(draw, grammar, "lax", depth - 1) for _ in range(draw(st.integers(0, 2)) if depth > 0 else 0)]
    if depth > 0 and draw(st.booleans()):
        # A name that types declare for their own, where none of them counts.
        parts.append("<a>i</a>")
    return f"<{name}{own}>{''.join(parts)}</{name}>"


@st.composite
def cases(draw: Any) -> tuple[Grammar, list[str]]:
    """A schema, and documents that it lets stand, values aside."""
    grammar = draw(grammars())
    space = 'xmlns:b="urn:b" xmlns:x="urn:x" xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    space += ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    documents = [_content(draw, grammar, "b:r", "T0", 3).replace("<b:r", f"<b:r {space}", 1) for _ in range(3)]
    return grammar, documents


def streamed(schema: XsdSchema, data: bytes) -> Met:
    listener = PlaceListener(schema.walk_of(data).table)
    stream(data, schema.compiled(), listener, enough=1000)
    return listener.met


def said(met: Met) -> dict[str, Any]:
    """What a walk says, places aside."""
    return {
        "ids": met.ids,
        "repeated": len(met.repeated),
        "dangling": sum(1 for _ in met.dangling()),
        "references": sorted(word for word, _ in met.references),
        "faults": sorted((fault.rule, fault.expected or "", fault.attribute or "") for fault in met.faults),
        "same": met.same,
        "respelt": sorted((one.attribute or "", one.text) for one in met.respelt),
        "unjudged": met.unjudged,
    }


class Count:
    """Counts the elements and attributes of a document that the declarations of a schema judge, as xmlschema reads them."""

    def __init__(self, schema: xmlschema.XMLSchema10) -> None:
        self._maps = schema.maps

    def judged(self, root: Any) -> int:
        """How many are judged."""
        return 1 + self._within(root, self._maps.elements[root.tag].type)

    def _within(self, element: Any, kind: Any) -> int:
        if (chosen := element.get(f"{XSI}type")) is not None:
            prefix, _, local = chosen.strip().rpartition(":")
            kind = self._maps.types[f"{{{element.nsmap[prefix]}}}{local}"]
        if kind.is_simple():
            return 0
        judged = sum(1 for name in _own(element) if self._is_judged(name, kind.attributes))
        for child in element.iterchildren("*") if kind.has_complex_content() else ():
            part = next(part for part in kind.content.iter_elements() if part.is_matching(child.tag))
            judged += self._let_in(child, part) if part.name is None else 1 + self._within(child, part.type)
        return judged

    def _let_in(self, element: Any, wildcard: Any) -> int:
        if wildcard.process_contents == "skip":
            return 0
        declared = self._maps.elements.get(element.tag)
        if declared is not None:
            return 1 + self._within(element, declared.type)
        return (element.get(f"{XSI}type") is not None) + self._within(element, self._maps.types[ANY_TYPE])

    def _is_judged(self, name: str, uses: Any) -> bool:
        wildcard = uses.get(None)
        let_in = wildcard is not None and wildcard.process_contents != "skip" and name in self._maps.attributes
        return name in uses or let_in


def _own(element: Any) -> list[str]:
    return [name for name in element.keys() if not name.startswith(XSI)]  # noqa: SIM118  # Of an element, not of a mapping.


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_of_any_document_tree_stream_and_quick_look_say_the_same_and_count_what_nothing_judges(case):
    grammar, documents = case
    schema = schema_of(grammar.text(), "{urn:b}r")
    other = xmlschema.XMLSchema10(grammar.text())
    for document in documents:
        data = document.encode()
        read = read_xml(data, Limits())
        tree = read.tree
        walk = schema.walk_of(data)
        met = walk(tree, typed=CHOOSES_TYPE in data)
        assert said(met) == said(streamed(schema, data))
        found = schema.check(read_xml(data, Limits()), Limits())
        assert (found.total == 0) == other.is_valid(document)
        # A parser that was parsed_so what to notice leaves out blanks; what is said of a document stays the same.
        notice(read.head, schema.walk_of(data).names(read.root))
        again = read_xml(data, Limits())
        assert schema.check(again, Limits()) == found
        if not schema.compiled().validate(tree):
            continue
        everything = sum(1 + len(_own(element)) for element in tree.iter("*"))
        assert found.unjudged == met.unjudged == everything - Count(other).judged(tree)
        if CHOOSES_TYPE not in data and walk.surely_whole(tree, read):
            assert not met.is_wrong
            assert not met.unjudged
            assert not any(one.text == "0" for one in met.respelt)
            assert schema.compiled().validate(again.tree)
            assert walk.surely_whole(again.tree, again)


#: Codes of a list that the schema names, of one that the message names, and of one that the schema itself holds.
CODED = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:c" xmlns="urn:c">
<xs:complexType name="Code"><xs:sequence><xs:element name="code" type="xs:token"/></xs:sequence>
  <xs:attribute name="listURI" type="xs:anyURI"/><xs:attribute name="listVersionID" type="xs:token"/></xs:complexType>
<xs:element name="r"><xs:complexType><xs:choice minOccurs="0" maxOccurs="unbounded">
  <xs:element name="fixed"><xs:complexType><xs:complexContent><xs:restriction base="Code"><xs:sequence>
    <xs:element name="code" type="xs:token"/></xs:sequence><xs:attribute name="listURI" type="xs:anyURI" fixed="urn:l:one"/>
    <xs:attribute name="listVersionID" type="xs:token" fixed="1"/></xs:restriction></xs:complexContent></xs:complexType>
  </xs:element>
  <xs:element name="free" type="Code"/>
  <xs:element name="own"><xs:complexType><xs:sequence><xs:element name="code"><xs:simpleType>
    <xs:restriction base="xs:token"><xs:enumeration value="A"/></xs:restriction></xs:simpleType></xs:element></xs:sequence>
    <xs:attribute name="listURI" type="xs:anyURI" fixed="urn:l:none"/></xs:complexType></xs:element>
  <xs:element name="number" type="xs:int"/>
  <xs:any namespace="##other" processContents="lax"/></xs:choice></xs:complexType></xs:element></xs:schema>"""
RULES = """<schema xmlns="http://purl.oclc.org/dsdl/schematron" queryBinding="xslt2"><pattern><rule context="number">
<assert id="even" test=". mod 2 = 0">even</assert></rule></pattern><pattern><rule context="number">
<assert id="small" test=". &lt; 5">small</assert></rule></pattern></schema>"""
LISTS = {("urn:l:one", "1"): {"A", "B"}, ("urn:l:two", "1"): {"A"}, ("urn:l:two", "2"): {"B"}}
PARTS = st.one_of(
    st.sampled_from(["A", "B", "X"]).map(lambda code: f"<fixed><code>{code}</code></fixed>"),
    st.tuples(st.sampled_from(["one", "two", "three"]), st.sampled_from(["1", "2"]), st.sampled_from("AB")).map(
        lambda drawn: f'<free listURI="urn:l:{drawn[0]}" listVersionID="{drawn[1]}"><code>{drawn[2]}</code></free>'
    ),
    st.sampled_from(["<free><code>A</code></free>", "<own><code>A</code></own>", "<own><code>B</code></own>"]),
    st.sampled_from(["2", "3", "6", "7", "x"]).map(lambda number: f"<number>{number}</number>"),
    st.sampled_from(["<x:o/>", "<x:o><x:p/></x:o>"]),
)


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> SchemaEntry:
    package, schemas = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("schemas")
    (package / "c.xsd").write_text(CODED)
    (package / "c.sch").write_text(RULES)
    import_standard(package, schemas, standard="coded", version="1")
    (entry,) = SchemaCatalog.load(schemas).entries()
    return entry


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(PARTS, max_size=4), names=st.sets(st.sampled_from(sorted(LISTS))), ruled=st.booleans())
def test_a_report_is_complete_only_if_every_element_code_and_rule_was_judged(coded, parts, names, ruled):
    lists = [CodeList(uri=uri, version=version, codes=frozenset(LISTS[uri, version])) for uri, version in names]
    entry = coded if ruled else replace(coded, rules=None)
    document = f'<c:r xmlns:c="urn:c" xmlns:x="urn:x">{"".join(parts)}</c:r>'
    report = SchemaCatalog([entry], code_lists=CodeLists(lists)).check(
        media_type=MediaType.XML, data=document.encode(), schema=None, service=None, on=date(2026, 11, 2)
    )
    tree = etree.fromstring(document)
    judged, wrong = 0, []
    for code in tree.iter("code"):
        holder = code.getparent()
        uri, version = (
            ("urn:l:one", "1") if holder.tag == "fixed" else (holder.get("listURI"), holder.get("listVersionID"))
        )
        judged += holder.tag == "own" or (uri, version) in names
        if holder.tag == "own":
            wrong += ["xml.enumeration"] * (code.text != "A")
        elif (uri, version) in names and code.text not in LISTS[uri, version]:
            wrong.append("codelist.code")
        elif (uri, version) not in names and uri in {name for name, _ in names}:
            wrong.append("codelist.version")
    numbers = [number.text for number in tree.iter("number")]
    wrong += ["xml.datatype"] * numbers.count("x")
    keeps = not {"xml.enumeration", "codelist.code", "xml.datatype"} & set(wrong)
    if ruled and keeps and installed():
        wrong += ["schematron.even" for number in numbers if int(number) % 2]
        wrong += ["schematron.small" for number in numbers if int(number) >= 5]
    assert sorted(violation.rule for violation in report.violations) == sorted(wrong)
    elements = tree.find("{urn:x}o") is None
    codes = judged == len(list(tree.iter("code")))
    ran = not ruled or (keeps and installed())
    assert report.complete == (elements and codes and ran)
    checks = {Check.SCHEMA: elements, Check.CODE_LISTS: codes, Check.BUSINESS_RULES: ran}
    assert {each.check for each in report.unchecked} == {check for check, done in checks.items() if not done}


def test_what_a_wildcard_lets_in_is_not_called_checked():
    schema = schema_of(
        XS.format("""<xs:element name="r"><xs:complexType><xs:sequence><xs:any processContents="lax" namespace="##other"
        minOccurs="0"/><xs:element name="skip" minOccurs="0"><xs:complexType><xs:sequence><xs:any processContents="skip"
        namespace="##any" minOccurs="0"/></xs:sequence></xs:complexType></xs:element><xs:element name="any" minOccurs="0"/>
        </xs:sequence><xs:anyAttribute processContents="lax"/></xs:complexType></xs:element>
        <xs:attribute name="known"/><xs:element name="to" type="xs:IDREF"/>"""),
        "{urn:b}r",
    )
    counted = {
        "<b:r {}/>": 0,
        "<b:r {} b:known='1'/>": 0,
        "<b:r {} xsi:schemaLocation='urn:b b.xsd'/>": 0,
        "<b:r {} unknown='1'/>": 1,
        "<b:r {}><x:o a='1'><x:p/></x:o></b:r>": 3,
        "<b:r {}><x:o xsi:type='xs:token'>x</x:o></b:r>": 0,
        "<b:r {}><skip><b:to a='1'>x</b:to></skip></b:r>": 2,
        "<b:r {}><any><b:r/></any></b:r>": 0,
        "<b:r {}><any><x:o/></any></b:r>": 1,
    }
    spaces = 'xmlns:b="urn:b" xmlns:x="urn:x" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="{}"'
    for document, number in counted.items():
        data = document.replace("{}", spaces.format(XSI[1:-1])).encode()
        for limits in (Limits(), Limits(tree_bytes=0, walk_bytes=0)):
            found = schema.check(read_xml(data, limits), limits)
            assert (found.total, found.unjudged) == (0, number), document


def test_a_type_of_xml_schema_that_a_document_chooses_is_looked_at_as_one_of_the_schema():
    schema = schema_of(
        XS.format("""<xs:element name="r"><xs:complexType><xs:choice minOccurs="0" maxOccurs="9">
        <xs:element name="s" type="xs:string"/><xs:element name="any"/><xs:element name="simple" type="xs:anySimpleType"/>
        <xs:any processContents="lax" namespace="##other"/></xs:choice></xs:complexType></xs:element>
        <xs:simpleType name="own"><xs:restriction base="xs:base64Binary"/></xs:simpleType>"""),
        "{urn:b}r",
    )
    head = f'<b:r xmlns:b="urn:b" xmlns:x="urn:x" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="{XSI[1:-1]}">'
    for place in ("s", "any", "x:o"):
        assert rules(schema, f'{head}<{place} xsi:type="xs:IDREF">nowhere</{place}></b:r>') == ["xml.idref-dangling"]
        assert rules(schema, f'{head}<{place} xsi:type="xs:NMTOKEN">nowhere</{place}></b:r>') == []
    for place in ("any", "simple", "x:o"):
        for kind in ("xs:base64Binary", "b:own", "xs:base&#54;4Binary"):
            assert rules(schema, f'{head}<{place} xsi:type="{kind}">-_-_</{place}></b:r>') == ["xml.datatype"]
            assert rules(schema, f'{head}<{place} xsi:type="{kind}">YWI=</{place}></b:r>') == []
    assert rules(schema, f'{head}<s xsi:type="xs:ID">i</s><any xsi:type="xs:IDREF">i</any></b:r>') == []


def test_blanks_are_left_out_only_where_no_value_is_made_of_them():
    schema = schema_of(
        XS.format("""<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="s" maxOccurs="9" nillable="true">
        <xs:simpleType><xs:restriction base="xs:string"><xs:length value="2"/></xs:restriction></xs:simpleType></xs:element>
        <xs:element name="empty" minOccurs="0"><xs:complexType/></xs:element>
        <xs:element name="to" type="xs:IDREF" minOccurs="0" maxOccurs="9"/>
        <xs:element name="p" minOccurs="0" fixed=" a "><xs:complexType mixed="true"><xs:sequence><xs:any minOccurs="0"
        namespace="##other" processContents="lax"/></xs:sequence></xs:complexType></xs:element></xs:sequence>
        <xs:attribute name="id" type="xs:ID"/></xs:complexType></xs:element>"""),
        "{urn:b}r",
    )
    blanks = [
        "  ",
        " ",
        "&#32; ",
        " &#32;",
        " \r\n",
        "\r\n\r\n",
        "<!-- -->  ",
        " <!-- --> ",
        " <?x?> ",
        " <![CDATA[ ]]>",
        "\n\t",
    ]
    contents = [f"<s>{blank}</s>" for blank in blanks]
    contents += [f"<s>{' ' * count}</s>" for count in (0, 3, 301, 5_000)]
    contents += [f"<s>aa</s> <empty>{blank}</empty>" for blank in blanks]
    contents += [f"<s>aa</s>{blank}<p>{inner}</p>" for blank in blanks for inner in (" a ", "a", " ")]
    contents += ["<s>aa</s><to>i<?x?>j</to>", "<s>aa</s><to> i </to>", "<s>aa</s><to>j</to>"]
    parsed_so = 0
    for content in contents:
        data = f'<b:r xmlns:b="urn:b" id="i">\n  {content}\n</b:r>'.encode()
        found = in_own_thread(lambda data=data: schema.check(read_xml(data, Limits()), Limits()))
        notice(b"b:r", schema.walk_of(data).names("{urn:b}r"))
        read = read_xml(data, Limits())
        parsed_so += read.noticed is not None
        assert schema.check(read, Limits()) == found, content
    assert parsed_so > len(contents) / 3
    assert rules(schema, '<b:r xmlns:b="urn:b" id="i"><s>aa</s><to>i</to></b:r>') == []
    # An instruction splits a reference in two; it is the only one, and no declaration stands before it.
    assert rules(schema, '<b:r xmlns:b="urn:b" id="i"><s>aa</s><to>i<?x?>j</to></b:r>') == ["xml.idref-dangling"]


def test_a_document_that_is_not_well_formed_is_refused_in_the_same_words_whatever_is_noticed():
    documents = [b"<b:r xmlns:b='urn:b'><s>", b"<b:r xmlns:b='urn:b'>\n<s>\xff</s></b:r>", b"<b:r xmlns:b='urn:b'/>x"]
    documents += [
        b"<b:r xmlns:b='urn:b'>" + b"<s>" * 300,
        b"<b:r xmlns:b='urn:b' a='1' a='2'/>",
        b"<b:r xmlns:b='urn:b'>&e;</b:r>",
    ]

    def refused(data: bytes) -> tuple[type, str, dict[str, object]]:
        with pytest.raises((Malformed, TooLarge)) as caught:
            read_xml(data, Limits())
        return type(caught.value), str(caught.value), dict(caught.value.members)

    for data in documents:
        cold = in_own_thread(lambda data=data: refused(data))
        notice(b"b:r", ("s",))
        assert refused(data) == cold
        assert read_xml(b"<b:r xmlns:b='urn:b'><s/></b:r>", Limits()).tree[0].tag == "s"


def test_where_the_judge_stops_is_not_called_checked(coded):
    catalog = SchemaCatalog([replace(coded, rules=None)])

    def unchecked(content: str) -> list[tuple[str, str]]:
        data = f'<c:r xmlns:c="urn:c">{content}</c:r>'.encode()
        report = catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 2))
        assert not report.valid
        return [(each.check, each.cause) for each in report.unchecked]

    assert unchecked("<number>x</number><number>y</number>") == []
    # libxml2 says nothing of the second number.
    assert unchecked("<unknown/><number>x</number>") == [("schema", "schema-broken")]
    assert unchecked("<number>1<unknown/></number>") == [("schema", "schema-broken")]
    many = "<number>x</number>" * 1200
    small = Limits(tree_bytes=0, report_bytes=0)
    found = coded.judge.check(read_xml(f'<c:r xmlns:c="urn:c">{many * 20}</c:r>'.encode(), small), small)
    assert not found.whole
