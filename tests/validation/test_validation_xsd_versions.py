"""Every mark of XML Schema 1.1 is recognised: what 1.1 calls invalid is never called valid by an engine of 1.0."""

# Schemas stand on one line each, so that the table can be read.
# ruff: noqa: E501

from __future__ import annotations

from datetime import date

import pytest
from lxml import etree

from hub.errors import ConfigurationError
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.manifest import Kind, read_manifest, write_manifest
from hub.validation.xml.versions import unjudged_mark_of
from hub.validation.xml.walk import PlaceWalk
from hub.validation.xml.xsd import XsdSource, tables_of

VC = 'xmlns:vc="http://www.w3.org/2007/XMLSchema-versioning"'
STRING = '<xs:element name="{}" type="xs:string"/>'


def schema(body: str, attributes: str = "") -> str:
    return (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t" '
        f'elementFormDefault="qualified" {attributes}>{body}</xs:schema>'
    )


def root(content: str, attributes: str = "") -> str:
    return f'<xs:element name="m" {attributes}><xs:complexType>{content}</xs:complexType></xs:element>'


def simple(restriction: str) -> str:
    return f'<xs:element name="m"><xs:simpleType>{restriction}</xs:simpleType></xs:element>'


def doc(content: str = "", attributes: str = "") -> bytes:
    return f'<m xmlns="urn:t" {attributes}>{content}</m>'.encode()


TWO_HEADS = (
    '<xs:element name="h" type="xs:string" abstract="true"/><xs:element name="i" type="xs:string" abstract="true"/>'
    '<xs:element name="s" type="xs:string" substitutionGroup="h i"/>'
)
KEYED = (
    '<xs:element name="{}"><xs:complexType><xs:sequence><xs:element name="r" maxOccurs="9"><xs:complexType>'
    '<xs:attribute name="k" type="xs:string"/></xs:complexType></xs:element></xs:sequence></xs:complexType>{}</xs:element>'
)
UNIQUE = '<xs:unique name="u"><xs:selector {}xpath="{}"/><xs:field xpath="@k"/></xs:unique>'
TWICE, ONCE = '<r k="1"/><r k="1"/>', '<r k="1"/><r k="2"/>'

#: A schema, a document that is valid by XML Schema 1.1, and one that is not.
MARKS = {
    "assert": (
        schema(root('<xs:attribute name="a" type="xs:int"/><xs:assert test="@a gt 3"/>')),
        doc("", 'a="4"'),
        doc("", 'a="3"'),
    ),
    "assertion": (
        schema(simple('<xs:restriction base="xs:int"><xs:assertion test="$value mod 2 = 0"/></xs:restriction>')),
        doc("2"),
        doc("3"),
    ),
    "alternative": (
        schema(
            '<xs:element name="m" type="T"><xs:alternative test="@n = 1" type="N"/></xs:element>'
            '<xs:complexType name="T"><xs:simpleContent><xs:extension base="xs:string"><xs:attribute name="n"/>'
            '</xs:extension></xs:simpleContent></xs:complexType><xs:complexType name="N"><xs:simpleContent>'
            '<xs:restriction base="T"><xs:maxLength value="2"/></xs:restriction></xs:simpleContent></xs:complexType>'
        ),
        doc("ab", 'n="1"'),
        doc("abc", 'n="1"'),
    ),
    "openContent": (
        schema(
            root(
                f'<xs:openContent><xs:any namespace="urn:o" processContents="skip"/></xs:openContent><xs:sequence>{STRING.format("a")}</xs:sequence>'
            )
        ),
        doc('<x xmlns="urn:o"/><a/>'),
        doc('<x xmlns="urn:p"/><a/>'),
    ),
    "defaultOpenContent": (
        schema(
            '<xs:defaultOpenContent><xs:any namespace="urn:o" processContents="skip"/></xs:defaultOpenContent>'
            + root(f"<xs:sequence>{STRING.format('a')}</xs:sequence>")
        ),
        doc('<x xmlns="urn:o"/><a/>'),
        doc('<x xmlns="urn:p"/><a/>'),
    ),
    "explicitTimezone": (
        schema(simple('<xs:restriction base="xs:date"><xs:explicitTimezone value="required"/></xs:restriction>')),
        doc("2026-01-01Z"),
        doc("2026-01-01"),
    ),
    "dateTimeStamp": (
        schema('<xs:element name="m" type="xs:dateTimeStamp"/>'),
        doc("2026-01-01T00:00:00Z"),
        doc("2026-01-01T00:00:00"),
    ),
    "dayTimeDuration": (schema('<xs:element name="m" type="xs:dayTimeDuration"/>'), doc("P1DT2H"), doc("P1Y")),
    "yearMonthDuration": (schema('<xs:element name="m" type="xs:yearMonthDuration"/>'), doc("P1Y2M"), doc("P1D")),
    "error": (
        schema(
            '<xs:element name="m" type="T"><xs:alternative test="@n = 1" type="xs:error"/></xs:element><xs:complexType name="T"><xs:attribute name="n"/></xs:complexType>'
        ),
        doc("", 'n="2"'),
        doc("", 'n="1"'),
    ),
    "anyAtomicType": (schema('<xs:element name="m" type="xs:anyAtomicType"/>'), doc("a"), doc("<b/>")),
    "notNamespace": (
        schema(root('<xs:sequence><xs:any notNamespace="urn:no" processContents="skip"/></xs:sequence>')),
        doc('<x xmlns="urn:o"/>'),
        doc('<x xmlns="urn:no"/>'),
    ),
    "notQName": (
        schema(root('<xs:sequence><xs:any notQName="no" namespace="##any" processContents="skip"/></xs:sequence>')),
        doc("<a/>"),
        doc("<no/>"),
    ),
    "notQName ##definedSibling": (
        schema(
            root(
                f'<xs:sequence>{STRING.format("a")}<xs:any notQName="##definedSibling" namespace="##any" processContents="skip"/></xs:sequence>'
            )
        ),
        doc("<a/><b/>"),
        doc("<a/><a/>"),
    ),
    "xpathDefaultNamespace of the schema": (
        schema(KEYED.format("m", UNIQUE.format("", "r")), 'xpathDefaultNamespace="##targetNamespace"'),
        doc(ONCE),
        doc(TWICE),
    ),
    "xpathDefaultNamespace of a selector": (
        schema(KEYED.format("m", UNIQUE.format('xpathDefaultNamespace="urn:t" ', "r"))),
        doc(ONCE),
        doc(TWICE),
    ),
    "defaultAttributes": (
        schema(
            '<xs:attributeGroup name="d"><xs:attribute name="v" type="xs:int" use="required"/></xs:attributeGroup>'
            + root(""),
            'defaultAttributes="d"',
        ),
        doc("", 'v="1"'),
        doc(),
    ),
    "vc:minVersion of an element": (
        schema(
            root(
                f'<xs:sequence>{STRING.format("a")}<xs:element name="b" type="xs:string" vc:minVersion="1.1"/></xs:sequence>'
            ),
            VC,
        ),
        doc("<a/><b/>"),
        doc("<a/>"),
    ),
    "vc:maxVersion of an element": (
        schema(
            root(
                f'<xs:sequence>{STRING.format("a")}<xs:element name="b" type="xs:string" vc:maxVersion="1.1"/></xs:sequence>'
            ),
            VC,
        ),
        doc("<a/>"),
        doc("<a/><b/>"),
    ),
    "vc:typeAvailable": (
        schema(
            root(
                '<xs:sequence><xs:element name="a" type="xs:string" vc:typeUnavailable="xs:dateTimeStamp"/></xs:sequence>'
            ),
            VC,
        ),
        doc(),
        doc("<a/>"),
    ),
    "vc:facetAvailable": (
        schema(
            root(
                '<xs:sequence><xs:element name="a" type="xs:string" vc:facetUnavailable="xs:explicitTimezone"/></xs:sequence>'
            ),
            VC,
        ),
        doc(),
        doc("<a/>"),
    ),
    "unique ref": (
        schema(KEYED.format("n", UNIQUE.format("", "*")) + KEYED.format("m", '<xs:unique ref="u"/>')),
        doc(ONCE),
        doc(TWICE),
    ),
    "all with more than one": (
        schema(
            root(
                '<xs:all><xs:element name="a" type="xs:int" maxOccurs="2"/><xs:element name="b" minOccurs="0"/></xs:all>'
            )
        ),
        doc("<a>1</a><b/><a>2</a>"),
        doc("<a>1</a><a>2</a><a>3</a>"),
    ),
    "all with a wildcard": (
        schema(root(f'<xs:all>{STRING.format("a")}<xs:any namespace="urn:o" processContents="skip"/></xs:all>')),
        doc('<x xmlns="urn:o"/><a/>'),
        doc('<x xmlns="urn:p"/><a/>'),
    ),
    "all with a group": (
        schema(
            f'<xs:group name="g"><xs:all>{STRING.format("a")}</xs:all></xs:group>'
            + root(f'<xs:all><xs:group ref="g"/>{STRING.format("b")}</xs:all>')
        ),
        doc("<b/><a/>"),
        doc("<b/>"),
    ),
    "all in an extension": (
        schema(
            f'<xs:complexType name="B"><xs:all>{STRING.format("a")}</xs:all></xs:complexType>'
            + root(
                f'<xs:complexContent><xs:extension base="B"><xs:all>{STRING.format("b")}</xs:all></xs:extension></xs:complexContent>'
            )
        ),
        doc("<b/><a/>"),
        doc("<b/>"),
    ),
    "targetNamespace of a local element": (
        schema(
            '<xs:complexType name="B"><xs:sequence><xs:any namespace="urn:o" processContents="skip"/></xs:sequence></xs:complexType>'
            + root(
                '<xs:complexContent><xs:restriction base="B"><xs:sequence><xs:element name="x" targetNamespace="urn:o" type="xs:int"/></xs:sequence></xs:restriction></xs:complexContent>'
            )
        ),
        doc('<x xmlns="urn:o">1</x>'),
        doc('<x xmlns="urn:o">a</x>'),
    ),
    "several heads of a substitution group": (
        schema(TWO_HEADS + root('<xs:sequence><xs:element ref="h"/><xs:element ref="i"/></xs:sequence>')),
        doc("<s/><s/>"),
        doc("<s/>"),
    ),
    "defaultAttributesApply": (
        schema(root("", "").replace("<xs:complexType>", '<xs:complexType defaultAttributesApply="false">')),
        doc(),
        doc("<a/>"),
    ),
    "appliesToEmpty": (
        schema(root('<xs:openContent mode="none"/><xs:sequence/>') + "").replace(
            '<xs:element name="m"',
            '<xs:defaultOpenContent appliesToEmpty="true"><xs:any namespace="urn:o" processContents="skip"/></xs:defaultOpenContent><xs:element name="m"',
            1,
        ),
        doc(),
        doc("<a/>"),
    ),
}


def bring(tmp_path, text: str, **files: str):
    folder = tmp_path / "package"
    folder.mkdir(parents=True)
    for name, content in {"m": text, **files}.items():
        (folder / f"{name}.xsd").write_text(content)
    return import_standard(folder, tmp_path / "schemas", standard="test", version="1")


def report(tmp_path, data: bytes):
    catalog = SchemaCatalog.load(tmp_path / "schemas")
    return catalog.check(media_type=MediaType.XML, data=data, schema=None, service=None, on=date(2026, 11, 29))


@pytest.mark.parametrize("mark", MARKS)
def test_what_1_1_adds_is_judged_by_1_1(tmp_path, mark):
    text, valid, invalid = MARKS[mark]
    assert bring(tmp_path, text).kind is Kind.XSD11
    assert report(tmp_path, valid).valid
    assert not report(tmp_path, invalid).valid


def test_a_mark_counts_wherever_in_the_closure_it_stands(tmp_path):
    text, valid, invalid = MARKS["vc:minVersion of an element"]
    outer = schema('<xs:include schemaLocation="inner.xsd"/>' + STRING.format("other"))
    assert bring(tmp_path, outer, inner=text).kind is Kind.XSD11
    assert report(tmp_path, valid).valid
    assert not report(tmp_path, invalid).valid


def test_override_is_judged_by_1_1(tmp_path):
    kind = '<xs:simpleType name="T"><xs:restriction base="xs:string"><xs:maxLength value="{}"/></xs:restriction></xs:simpleType>'
    outer = schema(f'<xs:override schemaLocation="inner.xsd">{kind.format(2)}</xs:override>')
    inner = schema(kind.format(9) + '<xs:element name="m" type="T"/>')
    assert bring(tmp_path, outer, inner=inner).kind is Kind.XSD11
    assert report(tmp_path, doc("ab")).valid
    assert not report(tmp_path, doc("abc")).valid


def test_what_neither_engine_judges_is_refused_by_mark_and_place(tmp_path):
    text = schema(root('\n<xs:attribute name="l" inheritable="true"/>'))
    with pytest.raises(ConfigurationError, match=r"m\.xsd uses inheritable \(XML Schema 1\.1\) in line 2"):
        bring(tmp_path, text)
    assert bring(tmp_path / "again", text.replace('"true"', '"false"')).kind is Kind.XSD11


ALTERNATIVES = schema(
    """<xs:element name="m" type="B"><xs:alternative test="{0}" type="N"/></xs:element>
    <xs:complexType name="B"><xs:sequence><xs:element name="a" minOccurs="0"/></xs:sequence><xs:attribute name="k"/></xs:complexType>
    <xs:complexType name="N"><xs:complexContent><xs:extension base="B"><xs:sequence>{1}</xs:sequence></xs:extension>
    </xs:complexContent></xs:complexType>"""
)
LAX = '<xs:any processContents="lax" minOccurs="0" maxOccurs="9"/>'


@pytest.mark.parametrize(
    "test", ["a", "../@k", "string() = 'x'", ". = 'x'", "@k = a", "@*", "not(a)", "position() = 1"]
)
def test_an_alternative_whose_test_looks_at_more_than_attributes_is_refused_by_mark_and_place(test):
    # The engine shows it the contents, which are to be empty to it (part 1, 3.12.4).
    assert unjudged_mark_of(etree.fromstring(ALTERNATIVES.format(test, LAX))) == ("alternative test", 1)


@pytest.mark.parametrize(
    "test",
    ["@k='a' and not(@n > 1.5)", "xs:integer(@k) mod 2 eq 1", "@k castable as xs:date", "contains(@k, 'a') or true()"],
)
def test_an_alternative_whose_test_looks_at_attributes_alone_is_judged(test):
    assert unjudged_mark_of(etree.fromstring(ALTERNATIVES.format(test.replace(">", "&gt;"), LAX))) is None


def test_what_only_some_alternatives_judge_does_not_count_as_judged():
    def unjudged(content: str, text: str) -> int:
        source = XsdSource(file="m.xsd", closure=("m.xsd",), read=lambda _: text.encode(), locations={})
        walk = PlaceWalk(tables_of(["m.xsd"], source)["m.xsd"])
        return walk(etree.fromstring(doc(content, "k='x'"))).unjudged

    wild = ALTERNATIVES.format("@k", LAX)
    assert unjudged("<a/>", wild) == 0
    assert unjudged("<a/><other b='1'/>", wild) == 2
    strict = ALTERNATIVES.format("@k", '<xs:element name="c" type="xs:string"/>')
    assert unjudged("<a/><c/>", strict) == 0


def test_a_type_that_neither_engine_knows_is_refused_by_mark_and_place(tmp_path):
    with pytest.raises(ConfigurationError, match=r"1\.1 \(precisionDecimal in m\.xsd, line 1\)"):
        bring(tmp_path, schema('<xs:element name="m" type="xs:precisionDecimal"/>'))


def test_a_version_that_came_in_before_is_judged_by_1_1_from_now_on(tmp_path):
    text, valid, invalid = MARKS["xpathDefaultNamespace of a selector"]
    bring(tmp_path, text)
    folder = tmp_path / "schemas" / "test" / "1"
    before = write_manifest(read_manifest(folder)).replace("kind: xsd-1.1", "kind: xsd")
    (folder / "catalog.yaml").write_text(before)
    assert report(tmp_path, valid).valid
    assert not report(tmp_path, invalid).valid


@pytest.mark.parametrize(
    "text",
    [
        schema(root(f'<xs:all>{STRING.format("a")}<xs:element name="b" minOccurs="0" maxOccurs="1"/></xs:all>')),
        schema(root('<xs:sequence><xs:any namespace="##other" processContents="skip"/></xs:sequence>')),
        schema(KEYED.format("m", UNIQUE.format("", "*"))),
        schema('<xs:element name="m" type="error"/><xs:simpleType name="error"><xs:restriction base="xs:string"/></xs:simpleType>'),
        schema("<xs:annotation><xs:documentation>assert xpathDefaultNamespace</xs:documentation></xs:annotation>" + STRING.format("m")),
    ],
)  # fmt: skip
def test_what_1_0_has_stays_with_1_0(tmp_path, text):
    assert bring(tmp_path, text).kind is Kind.XSD
