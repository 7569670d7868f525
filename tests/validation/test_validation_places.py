"""Where libxml2 alone is not XML Schema 1.0: what it takes and refuses wrongly is judged again, on trees and streams alike.

The quick look may say less than the walk, and never more.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from hub.errors import ConfigurationError, Malformed
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml
from hub.validation.xml.places import PlaceTable, tables_as_json, tables_from_json
from hub.validation.xml.walk import PlaceWalk
from hub.validation.xml.xsd import XsdSchema, XsdSource, tables_of

#: One name is an id, a reference, a text and a parent, by where it stands; a wildcard lets anything in.
SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:element name="r" type="T"/>
<xs:complexType name="T"><xs:choice maxOccurs="unbounded">
  <xs:element name="a" type="A"/><xs:element name="b" type="B"/><xs:element name="c" type="C"/>
  <xs:element name="free" type="F"/></xs:choice></xs:complexType>
<xs:complexType name="A"><xs:sequence><xs:element name="x" type="xs:IDREF" maxOccurs="3"/></xs:sequence>
  <xs:attribute name="id" type="xs:ID"/></xs:complexType>
<xs:complexType name="B"><xs:sequence><xs:element name="x" type="X"/></xs:sequence>
  <xs:attribute name="id" type="xs:string"/></xs:complexType>
<xs:complexType name="X"><xs:sequence><xs:element name="key" type="xs:ID"/></xs:sequence>
  <xs:attribute name="to" type="xs:IDREFS"/></xs:complexType>
<xs:complexType name="C"><xs:attribute name="id" type="xs:ID"/><xs:attribute name="to" type="xs:IDREFS"/></xs:complexType>
<xs:complexType name="F"><xs:sequence><xs:any minOccurs="0" processContents="lax"/></xs:sequence></xs:complexType>
</xs:schema>"""
WORDS = st.sampled_from(["i", "j", "k", " i ", "l<!-- -->m"])
LISTS = st.lists(st.sampled_from(["i", "j", "k"]), min_size=1, max_size=3).map(" ".join)
PARTS = st.one_of(
    st.tuples(st.sampled_from(["i", "j", "k"]), st.lists(WORDS, min_size=1, max_size=3)).map(
        lambda pair: f'<a id="{pair[0]}">' + "".join(f"<x>{word}</x>" for word in pair[1]) + "</a>"
    ),
    st.tuples(LISTS, WORDS).map(lambda pair: f'<b id="i"><x to="{pair[0]}"><key>{pair[1]}</key></x></b>'),
    st.tuples(st.sampled_from(["i", "j", "k", " j"]), LISTS).map(lambda pair: f'<c id="{pair[0]}" to="{pair[1]}"/>'),
    st.sampled_from(['<free><c id="i" to="nowhere"/></free>', "<free><r><a id='k'><x>k</x></a></r></free>", "<free/>"]),
)


XS = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:b" xmlns:b="urn:b" targetNamespace="urn:b">'
    "{}</xs:schema>"
)


def schema_of(text: str, root: str = "r", **more: str) -> XsdSchema:
    """A schema of one document, or of that and more (file names without their ending)."""
    files = {"main.xsd": text.encode(), **{f"{name}.xsd": content.encode() for name, content in more.items()}}
    source = XsdSource(file="main.xsd", closure=tuple(sorted(files)), read=files.__getitem__, locations={})
    return XsdSchema(source, roots=(root,))


def rules(schema: XsdSchema, document: str) -> list[str]:
    """The rules that a document breaks, judged as a tree; as a stream they are the same."""
    found = []
    for limits in (Limits(), Limits(tree_bytes=0, walk_bytes=0), Limits(tree_bytes=0, walk_bytes=0, report_bytes=0)):
        met = schema.check(read_xml(document.encode(), limits), limits)
        assert met.total == len(met.violations)
        found.append(sorted(violation.rule for violation in met.violations))
    # Without places, what two looks find at one place counts twice.
    assert found[0] == found[1]
    # Times among blanks stay refused in documents that are too large for a second tree.
    assert bool(found[0]) == bool(found[2]) or re.search(r">\s+[-\dP]|\"\s+[-\dP]", document)
    return found[0]


def fixed(kind: str, value: str) -> XsdSchema:
    """One element of a type with a fixed value."""
    return schema_of(XS.format(f'<xs:element name="r" type="xs:{kind}" fixed="{value}"/>'), "{urn:b}r")


@pytest.fixture(scope="module")
def compiled() -> tuple[etree.XMLSchema, PlaceTable]:
    schema = schema_of(SCHEMA)
    return etree.XMLSchema(etree.fromstring(SCHEMA)), tables_of(["main.xsd"], schema.source)["main.xsd"]


@settings(max_examples=600, deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=5))
def test_what_the_quick_look_finds_whole_is_whole(compiled, parts):
    schema, table = compiled
    document = read_xml(f"<r>{''.join(parts)}</r>".encode(), Limits())
    tree = document.tree
    if not schema.validate(tree):
        return
    walk = PlaceWalk(table)
    met = walk(tree)
    if walk.surely_whole(tree, document):
        assert not met.repeated
        assert not list(met.dangling())
    # Where ids are attributes alone and no comment splits a text, it says all there is to say.
    elif tree.find(".//key") is None and "<!--" not in "".join(parts) and tree.find("free/r") is None:
        assert met.repeated or list(met.dangling()) or tree.find("free/c") is not None


def test_tables_are_read_as_they_are_stored_and_those_of_an_earlier_release_are_not(compiled):
    _, table = compiled
    tables = {"a.xsd": table, "b.xsd": table}
    document = tables_as_json(tables)
    assert tables_from_json(document) == tables
    assert len(document["tables"]) == 1
    assert tables_from_json({"types": {}, "roots": {}, "named": {}}) is None


SAME = [
    ("boolean", "1", "true", "false"),
    ("decimal", "1.0", " 1 ", "1.01"),
    ("int", "7", "+07", "8"),
    ("double", "1", "1.0E0", "2"),
    ("token", "a b", " a  b ", "ab"),
    ("dateTime", "2000-01-01T00:00:00Z", "2000-01-01T01:00:00+01:00", "2000-01-01T00:00:00"),
    ("date", "2000-01-01", " 2000-01-01 ", "2000-01-02"),
    ("duration", "P1Y", "P12M", "P365D"),
    ("hexBinary", "AB", "ab", "AC"),
    ("base64Binary", "YWI=", "Y W I =", "YWM="),
    ("NMTOKENS", "a b", "a  b", "b a"),
    ("string", "a", "a", " a "),
]


@pytest.mark.parametrize(("kind", "value", "same", "other"), SAME, ids=[row[0] for row in SAME])
def test_a_fixed_value_is_a_value_and_no_text(kind, value, same, other):
    """XML Schema 1.0 part 1, 3.3.4, clause 5.2.2.2; libxml2 compares texts of elements."""
    schema = fixed(kind, value)
    assert rules(schema, f'<r xmlns="urn:b">{same}</r>') == []
    assert rules(schema, f'<r xmlns="urn:b">{value}</r>') == []
    assert rules(schema, f'<r xmlns="urn:b">{other}</r>') == ["xml.fixed"]
    assert rules(schema, '<r xmlns="urn:b"/>') == []


def test_a_fixed_value_of_simple_content_of_a_union_and_of_a_list_is_a_value_too():
    schema = schema_of(
        XS.format("""<xs:element name="r"><xs:complexType><xs:sequence>
        <xs:element name="c" fixed="1" minOccurs="0"><xs:complexType><xs:simpleContent><xs:extension base="xs:boolean">
          <xs:attribute name="a"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>
        <xs:element name="u" fixed="1" minOccurs="0"><xs:simpleType><xs:union memberTypes="xs:int xs:token"/></xs:simpleType>
        </xs:element>
        <xs:element name="l" fixed="1 2" minOccurs="0"><xs:simpleType><xs:list itemType="xs:decimal"/></xs:simpleType>
        </xs:element>
        <xs:element name="n" minOccurs="0" maxOccurs="9"><xs:complexType><xs:sequence>
          <xs:element name="c" type="xs:boolean" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
        </xs:sequence></xs:complexType></xs:element>"""),
        "{urn:b}r",
    )
    for good in ("<c>true</c>", "<c a='x'>1</c>", "<u>01</u>", "<l>1.0  2.0</l>", "<n><c>false</c></n>"):
        assert rules(schema, f'<b:r xmlns:b="urn:b">{good}</b:r>') == []
    for bad in ("<c>false</c>", "<u>1.0</u>", "<l>1 2 2</l>", "<l>2 1</l>"):
        assert rules(schema, f'<b:r xmlns:b="urn:b">{bad}</b:r>') == ["xml.fixed"]
    # One that is the same draws nothing away from one that is not.
    assert rules(schema, '<b:r xmlns:b="urn:b"><c>true</c><u>2</u></b:r>') == ["xml.fixed"]


def test_mixed_content_that_is_fixed_holds_no_elements():
    schema = schema_of(
        XS.format("""<xs:element name="r" fixed="x"><xs:complexType mixed="true"><xs:sequence>
        <xs:element name="c" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>"""),
        "{urn:b}r",
    )
    assert [
        rules(schema, f'<b:r xmlns:b="urn:b">{text}</b:r>') for text in ("x", "x<!-- -->", "", "y", "x<c/>", "<c/>")
    ] == [*([], [], [], ["xml.fixed"], ["xml.fixed"], ["xml.fixed"])]


def test_what_the_use_of_a_global_attribute_fixes_counts():
    """Part 1, 3.4.4 and 3.5.4; libxml2 ignores it."""
    schema = schema_of(
        XS.format("""<xs:attribute name="a" type="xs:boolean"/><xs:attributeGroup name="g"><xs:attribute ref="b:a" fixed="1"/>
        </xs:attributeGroup><xs:element name="r"><xs:complexType><xs:sequence><xs:element name="n" minOccurs="0">
        <xs:complexType><xs:attribute ref="b:a"/></xs:complexType></xs:element></xs:sequence>
        <xs:attributeGroup ref="b:g"/></xs:complexType></xs:element>"""),
        "{urn:b}r",
    )
    document = '<b:r xmlns:b="urn:b" b:a="{}"><n b:a="{}"/></b:r>'
    assert rules(schema, document.format("1", "0")) == []
    assert rules(schema, document.format(" true", "0")) == []
    assert rules(schema, document.format("0", "1")) == ["xml.fixed"]
    assert rules(schema, document.format("x", "1")) == ["xml.datatype"]


FORMS = [
    (
        "base64Binary",
        ["", "YWI=", "YW I=", "\n YWJj\n", "YQ=="],
        ["-_-_", "YWI", "YWJ=", "YW*=", "YR==", "=", "YWI=YWI="],
    ),
    ("double", ["1", "-INF", "1E-3", ".5", "NaN"], ["1e", "1E+", "1.e-", "INF "[:2]]),
    ("float", ["1"], ["2e"]),
    ("duration", ["PT1.5S", " P1Y\n", "-P1D"], ["PT1.S", "PT.5S", "P"]),
    ("dateTime", [" 2026-11-29T19:40:00Z\n"], ["2026-11-29T19:40:00. "]),
    ("gMonth", [" --11 "], ["--13"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), FORMS, ids=[row[0] for row in FORMS])
def test_spellings_of_a_type_are_those_of_part_2(kind, good, bad):
    schema = schema_of(
        XS.format(f"""<xs:simpleType name="own"><xs:restriction base="xs:{kind}"/></xs:simpleType><xs:element name="r">
        <xs:complexType><xs:sequence><xs:element name="e" type="b:own" minOccurs="0"/><xs:element name="t" minOccurs="0"/>
        </xs:sequence><xs:attribute name="a" type="b:own"/></xs:complexType></xs:element>"""),
        "{urn:b}r",
    )
    for text in good:
        assert rules(schema, f'<b:r xmlns:b="urn:b"><e>{text}</e></b:r>') == []
        assert rules(schema, f'<b:r xmlns:b="urn:b" a="{text}"/>') == []
    for text in bad:
        assert rules(schema, f'<b:r xmlns:b="urn:b"><e>{text}</e></b:r>') == ["xml.datatype"]
        assert rules(schema, f'<b:r xmlns:b="urn:b" a="{text}"/>') == ["xml.datatype"]
        # The same text where no such value is asked for.
        assert rules(schema, f'<b:r xmlns:b="urn:b"><t>{text}</t></b:r>') == []


def test_the_negative_zero_is_the_zero_where_keys_are_compared():
    schema = schema_of(
        XS.format("""<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="e" type="xs:double" maxOccurs="9"/>
        </xs:sequence></xs:complexType><xs:unique name="u"><xs:selector xpath="e"/><xs:field xpath="."/></xs:unique>
        </xs:element>"""),
        "{urn:b}r",
    )
    document = '<b:r xmlns:b="urn:b"><e>{}</e><e>{}</e></b:r>'
    tree, limits = document.format("0", "-0.0"), Limits()
    assert [one.rule for one in schema.check(read_xml(tree.encode(), limits), limits).violations] == ["xml.identity"]
    assert schema.check(read_xml(document.format("1", "-0").encode(), limits), limits).total == 0
    streamed = Limits(tree_bytes=0, walk_bytes=0)
    assert schema.check(read_xml(tree.encode(), streamed), streamed).total == 1


SKIP = XS.format("""<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="refs"><xs:complexType><xs:sequence>
<xs:element ref="b:to" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
<xs:any processContents="{}" namespace="##any" minOccurs="0" maxOccurs="9"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="to" type="xs:IDREF"/><xs:element name="at"><xs:complexType><xs:attribute name="id" type="xs:ID"/>
</xs:complexType></xs:element>""")


def test_what_a_wildcard_skips_is_no_reference_and_no_id():
    skipping, lax = (schema_of(SKIP.format(how), "{urn:b}r") for how in ("skip", "lax"))

    def judged(refs: str, below: str) -> list[list[str]]:
        document = f'<b:r xmlns:b="urn:b"><refs>{refs}</refs>{below}</b:r>'
        return [rules(schema, document) for schema in (skipping, lax)]

    assert judged("", "<b:to>nowhere</b:to>") == [[], ["xml.idref-dangling"]]
    assert judged("", '<b:at id="i"/><b:at id="i"/>') == [[], ["xml.id-repeated"]]
    assert judged("<b:to>i</b:to>", '<b:at id="i"/>') == [["xml.idref-dangling"], []]
    # What is not declared is not assessed where a wildcard is lax, and neither is what stands in it.
    assert judged("", "<o><b:to>nowhere</b:to></o>")[0] == []


def test_an_undeclared_element_below_the_root_is_not_called_the_root():
    document = '<b:r xmlns:b="urn:b"><refs/><o/></b:r>'
    assert rules(schema_of(SKIP.format("strict"), "{urn:b}r"), document) == ["xml.element-undeclared"]


PATTERNS = [
    (r"[\P{Ll}][\p{Ll}]*", ["Hallo", "§a"], ["hallo", ""]),
    (r"[^\P{L}]+", ["äbc", "MEIẞNER", "國"], ["1", "a b"]),
    (r"[\P{L}*]", ["1", "*"], ["a", "國"]),
    (r"[a-z-[^a]]", ["a"], ["b", "-"]),
    (r"[\p{L}-[a-c]]+", ["dẞ"], ["a", "da"]),
    (r"\p{L}+ \p{Lu}\d{5}", ["Meiẞner Ẁ12345", "國 A١٢٣45"], ["a 12345", "a A1234"]),
    (r"\p{L}{2,3}(-\p{N})?", ["ab", "abc-²", "äẞ國"], ["a", "abcd", "ab-"]),
    (r"[^\p{IsBasicLatin}\p{Lu}]+", ["ä"], ["a", "Ä"]),
    (r"[\p{Lu}\p{IsGreek}]+", ["AΩω"], ["a"]),
    (r"[\w-[\d_]]+", ["aÄ"], ["a1", "_"]),
    (r"[\[\]\\\-^\P{L}]+", ["[]\\-^1 "], ["a"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), PATTERNS, ids=lambda one: one if isinstance(one, str) else "")
def test_patterns_are_those_of_appendix_f_and_of_current_unicode(pattern, good, bad):
    schema = schema_of(
        XS.format(
            f'<xs:element name="r"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="{pattern}"/>'
            "</xs:restriction></xs:simpleType></xs:element>"
        ),
        "{urn:b}r",
    )
    assert [rules(schema, f'<r xmlns="urn:b">{text}</r>') for text in good] == [[]] * len(good)
    assert [len(rules(schema, f'<r xmlns="urn:b">{text}</r>')) for text in bad] == [1] * len(bad)
    limits = Limits()
    met = schema.check(read_xml(f'<r xmlns="urn:b">{bad[0]}</r>'.encode(), limits), limits)
    # The report shows the pattern as the schema writes it.
    assert met.violations[0].expected in (pattern, None)
    assert met.violations[0].rule != "xml.pattern" or met.violations[0].expected == pattern


def test_several_documents_of_one_namespace_are_read_together():
    part = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:p">{}</xs:schema>'
    main = XS.format("""<xs:import namespace="urn:p" schemaLocation="one.xsd"/><xs:import namespace="urn:p"
    schemaLocation="two.xsd"/><xs:element name="r" xmlns:p="urn:p"><xs:complexType><xs:sequence>
    <xs:element name="a" type="p:A"/><xs:element name="b" type="p:B"/></xs:sequence></xs:complexType></xs:element>""")
    kind = '<xs:simpleType name="{}"><xs:restriction base="xs:{}"/></xs:simpleType>'
    one, two = part.format(kind.format("A", "int")), part.format(kind.format("B", "boolean"))
    schema = schema_of(main, "{urn:b}r", one=one, two=two)
    document = '<b:r xmlns:b="urn:b"><a>{}</a><b>{}</b></b:r>'
    assert [rules(schema, document.format(*values)) for values in ((1, "true"), ("x", "true"), (1, 2))] == [
        *([], ["xml.datatype"], ["xml.datatype"])
    ]
    with pytest.raises(ConfigurationError, match=r"one\.xsd, two\.xsd"):
        schema_of(main, "{urn:b}r", one=one, two=two.replace('"B"', '"A"')).compile()


def of_type(kind: str) -> XsdSchema:
    return schema_of(XS.format(f'<xs:element name="r" type="xs:{kind}"/>'), "{urn:b}r")


UNION = """<xs:simpleType><xs:union><xs:simpleType><xs:restriction base="xs:int"><xs:maxInclusive value="5"/></xs:restriction>
</xs:simpleType><xs:simpleType><xs:restriction base="xs:token"/></xs:simpleType></xs:union></xs:simpleType>"""
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def test_what_remains_different_from_the_w3c_suite_is_what_the_page_says():
    """``docs/xml-schema.md``, second table, row by row."""
    any_other = (
        '<xs:element name="r"><xs:complexType><xs:sequence><xs:any namespace="##other"/></xs:sequence></xs:complexType>'
    )
    hint = f'<b:r xmlns:b="urn:b" {XSI} xsi:schemaLocation="urn:o o.xsd"><o xmlns="urn:o"/></b:r>'
    assert rules(schema_of(XS.format(f"{any_other}</xs:element>"), "{urn:b}r"), hint) == ["xml.element-undeclared"]
    assert rules(of_type("token"), '<?xml version="1.1"?><r xmlns="urn:b">a\u0085</r>') == []
    with pytest.raises(Malformed):
        rules(of_type("token"), '<?xml version="1.1"?><r xmlns="urn:b">&#1;</r>')
    assert rules(of_type("NMTOKEN"), '<r xmlns="urn:b">\u037b</r>') == ["xml.datatype"]
    assert [rules(of_type("gMonth"), f'<r xmlns="urn:b">{text}</r>') for text in ("--11", "--11--")] == [
        [],
        ["xml.datatype"],
    ]
    element = schema_of(XS.format(f'<xs:element name="r" fixed="1">{UNION}</xs:element>'), "{urn:b}r")
    assert [rules(element, f'<r xmlns="urn:b">{text}</r>') for text in ("1", "01")] == [[], ["xml.fixed"]]
    member = '<xs:element name="r"><xs:simpleType><xs:restriction base="U"><xs:enumeration value="1"/></xs:restriction>'
    member += (
        '</xs:simpleType></xs:element><xs:simpleType name="U"><xs:union memberTypes="xs:int xs:token"/></xs:simpleType>'
    )
    restricted = schema_of(XS.format(member), "{urn:b}r")
    assert rules(restricted, f'<r xmlns="urn:b" {XSI} xsi:type="xs:int">1</r>') == ["xml.type"]
    counted = any_other.replace("<xs:any ", '<xs:any maxOccurs="99999999999" ')
    with pytest.raises(ConfigurationError, match=r"main\.xsd does not compile"):
        schema_of(XS.format(f"{counted}</xs:element>"), "{urn:b}r").compile()
    hyphen = (
        '<xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="[a-z-+]"/></xs:restriction></xs:simpleType>'
    )
    taken = schema_of(XS.format(f'<xs:element name="r">{hyphen}</xs:element>'), "{urn:b}r")
    assert [len(rules(taken, f'<r xmlns="urn:b">{text}</r>')) for text in "-+b,"] == [0, 0, 0, 1]
