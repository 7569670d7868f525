"""Counts in counts, bounds, unions, keys: where libxml2 takes what XML Schema 1.0 refuses, it is judged again.

Content models are compared with regular expressions of Python, which share nothing with libxml2 and with our derivatives.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_validation_places import XS, rules, schema_of

from hub.errors import ConfigurationError, TooLarge
from hub.validation.report import Limits
from hub.validation.xml.documents import read_xml
from hub.validation.xml.places import tables_as_json, tables_from_json
from hub.validation.xml.xsd import tables_of

COUNTS = st.sampled_from([(1, 1), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3), (0, None), (1, None)])
#: A model: a letter, or ``sequence``/``choice`` and its parts; with how often it occurs.
MODELS: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.sampled_from("abc"), COUNTS),
    lambda inner: st.tuples(
        st.tuples(st.sampled_from(["sequence", "choice"]), st.lists(inner, min_size=1, max_size=3)), COUNTS
    ),
    max_leaves=5,
)
WHOLE = st.tuples(st.tuples(st.sampled_from(["sequence", "choice"]), st.lists(MODELS, min_size=1, max_size=3)), COUNTS)


def as_schema(model: Any) -> str:
    what, (least, most) = model
    often = f'minOccurs="{least}" maxOccurs="{"unbounded" if most is None else most}"'
    if isinstance(what, str):
        return f'<xs:element name="{what}" {often}/>'
    kind, parts = what
    return f"<xs:{kind} {often}>{''.join(map(as_schema, parts))}</xs:{kind}>"


def as_pattern(model: Any) -> str:
    what, (least, most) = model
    inner = what if isinstance(what, str) else ("|" if what[0] == "choice" else "").join(map(as_pattern, what[1]))
    return f"(?:{inner}){{{least},{'' if most is None else most}}}"


def content(model: str, more: str = "") -> Any:
    return schema_of(
        XS.format(f'<xs:element name="r"><xs:complexType>{model}</xs:complexType></xs:element>{more}'), "{urn:b}r"
    )


def document(word: str) -> str:
    return f'<b:r xmlns:b="urn:b">{"".join(f"<{name}/>" for name in word)}</b:r>'


@settings(max_examples=40, deadline=None)
@given(model=WHOLE, words=st.lists(st.text("abc", max_size=9), min_size=1, max_size=12))
def test_what_is_taken_fits_its_content_model_however_counts_are_nested(model, words):
    schema = content(as_schema(model))
    with suppress(ConfigurationError):
        schema.compile()
        pattern = re.compile(as_pattern(model))
        for word in (*words, *(name * 7 for name in "abc")):
            if not schema.check(read_xml(document(word).encode(), Limits()), Limits()).total:
                assert pattern.fullmatch(word), (as_schema(model), word)


NESTED = (
    '<xs:sequence maxOccurs="2"><xs:choice maxOccurs="2"><xs:element name="a" minOccurs="0" maxOccurs="2"/>'
    '<xs:element name="b"/></xs:choice><xs:element name="c" minOccurs="0"/></xs:sequence>'
)


def test_a_child_too_many_is_named_where_it_stands_on_trees_and_streams():
    schema, limits = content(NESTED), Limits()
    assert [rules(schema, document(word)) for word in ("acbc", "cc", "aaaac")] == [[], [], []]
    found = schema.check(read_xml(document("ccb").encode(), limits), limits)
    assert [(one.rule, one.path) for one in found.violations] == [("xml.element-unexpected", "/b:r/b[1]")]
    streamed = Limits(tree_bytes=0, walk_bytes=0)
    assert [schema.check(read_xml(document(word).encode(), streamed), streamed).total for word in ("acbc", "ccb")] == [
        0,
        1,
    ]
    stored = tables_as_json(tables_of(["main.xsd"], schema.source))
    assert tables_as_json(tables_from_json(stored) or {}) == stored


def test_counts_are_read_through_groups_extensions_substitutions_and_wildcards():
    counted = NESTED.replace('<xs:element name="b"/>', '<xs:element ref="h"/>')
    more = (
        f'<xs:group name="G"><xs:sequence>{counted}</xs:sequence></xs:group><xs:element name="h" abstract="true"/>'
        '<xs:element name="s" substitutionGroup="h"/><xs:complexType name="T"><xs:group ref="G"/></xs:complexType>'
        '<xs:complexType name="U"><xs:complexContent><xs:extension base="T"><xs:sequence>'
        '<xs:any namespace="##other" processContents="skip" maxOccurs="2"/></xs:sequence></xs:extension></xs:complexContent>'
        "</xs:complexType>"
    )
    schema = schema_of(XS.format(f'<xs:element name="r" type="U"/>{more}'), "{urn:b}r")
    taken = [
        rules(schema, f'<b:r xmlns:b="urn:b" xmlns:o="urn:o">{inner}</b:r>')
        for inner in ("<a/><b:s/><c/><o:x/>", "<c/><c/><b:s/><o:x/>", "<c/><c/><o:x/>", "<c/><o:x/><o:x/><o:x/>")
    ]
    assert taken == [[], ["xml.element-unexpected"], [], ["xml.element-unexpected"]]


@pytest.mark.parametrize("group", ["sequence", "choice"])
def test_what_may_never_occur_does_not_occur(group):
    """As restrictions of XÖV take optional elements out: libxml2 lets them occur once."""
    schema = content(
        f'<xs:{group}><xs:element name="a"/><xs:element name="b" minOccurs="0"\n maxOccurs="0"/></xs:{group}>'
    )
    assert rules(schema, document("a")) == []
    assert [rules(schema, document(word)) for word in ("ab", "b")] != [[], []]
    assert all(rules(schema, document(word)) for word in ("ab", "b"))


def of(kind: str, more: str = "", constraint: str = "") -> Any:
    return schema_of(
        XS.format(f"""{more}<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="e" type="{kind}" minOccurs="0"
        maxOccurs="9"/></xs:sequence><xs:attribute name="a" type="{kind}"/></xs:complexType>{constraint}</xs:element>"""),
        "{urn:b}r",
    )


def judged(schema: Any, text: str) -> list[str]:
    """Rules that a text breaks as an element and as an attribute, which are the same."""
    found = rules(schema, f'<b:r xmlns:b="urn:b"><e>{text}</e></b:r>')
    assert found == rules(schema, f'<b:r xmlns:b="urn:b" a="{text}"/>')
    return found


@pytest.mark.parametrize(
    ("base", "facet", "good", "rule", "bad"),
    [
        ("date", 'minInclusive value="2026-01-01"', ["2026-01-01", "2026-01-02Z"], "xml.minimum", ["2026-01-01-13:00"]),
        ("date", 'maxInclusive value="2026-01-01Z"', ["2025-12-30", "2026-01-01Z"], "xml.maximum", ["2026-01-01"]),
        ("dateTime", 'minExclusive value="2026-01-01T12:00:00Z"', ["2026-01-02T02:00:01"], "xml.minimum",
         ["2026-01-02T02:00:00"]),
        ("time", 'maxExclusive value="12:00:00"', ["11:59:59"], "xml.maximum", ["11:00:00Z"]),
        ("gYear", 'minInclusive value="2026"', ["2026", "2027Z"], "xml.minimum", ["2026Z"]),
        ("double", 'minInclusive value="0"', ["-0", "INF", "0.5"], "xml.minimum", ["NaN"]),
        ("float", 'maxInclusive value="1"', ["1.0", "-INF"], "xml.maximum", ["NaN"]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_with_a_bound_is_not_within_it(base, facet, good, rule, bad):
    kind = f'<xs:simpleType name="T"><xs:restriction base="xs:{base}"><xs:{facet}/></xs:restriction></xs:simpleType>'
    schema = of("T", kind)
    assert [judged(schema, text) for text in good] == [[]] * len(good)
    assert [judged(schema, text) for text in bad] == [[rule]] * len(bad)
    listed = of("L", f'{kind}<xs:simpleType name="L"><xs:list itemType="T"/></xs:simpleType>')
    assert judged(listed, " ".join((*good, bad[0]))) == [rule]


@pytest.mark.parametrize(
    ("members", "good", "bad"),
    [
        ("xs:base64Binary xs:int", ["YWI=", "1"], ["-_-_", "YR=="]),
        ("xs:double xs:duration", ["1e1", "P1D"], ["1e", "PT1.S"]),
        ("xs:double xs:token", ["1e", "x"], []),
        ("xs:double xs:NCName", ["1e1", "e1"], ["1e", "1.e"]),
        ("xs:double xs:language xs:NMTOKEN", ["1e", "de-DE", "a:b"], []),
        ("xs:float xs:byte xs:positiveInteger", ["1e1", "-128", "200"], ["1e", "-.e"]),
        ("xs:duration xs:gMonthDay xs:date", ["P1D", "--02-29", "2028-02-29", "2026-01-01+14:00"], ["PT1.S"]),
        ("S xs:double", ["1e1", "ab"], ["1e"]),
        ("E xs:double", ["1e1", "n/a", "k. A."], ["1e", "1.e"]),
        ("L xs:float", ["1e1", "abc"], ["1.e"]),
        ("N xs:duration", ["P1D", "1.25", "-3"], ["PT1.S"]),
        ("Z xs:boolean", ["2026-01-01T12:00:00Z", "true", "2027-01-01T00:00:00"], ["2026-01-01T12:00:00"]),
        ("B xs:boolean", ["1", "0.5", "true"], ["NaN"]),
        ("W xs:double", ["a b", "1"], ["1e"]),
    ],
)
def test_a_union_takes_what_one_of_its_members_takes(members, good, bad):
    kinds = {
        "S": 'xs:token"><xs:pattern value="[a-d]+"/',
        "E": 'xs:string"><xs:enumeration value="n/a"/><xs:enumeration value="k. A."/',
        "L": 'xs:token"><xs:minLength value="3"/><xs:maxLength value="3"/><xs:pattern value="[^.]*"/',
        "N": 'xs:decimal"><xs:totalDigits value="3"/><xs:fractionDigits value="2"/><xs:maxInclusive value="5"/',
        "Z": 'xs:dateTime"><xs:minInclusive value="2026-01-01T12:00:00Z"/',
        "B": 'xs:double"><xs:maxInclusive value="1"/',
        "W": 'xs:NMTOKENS"><xs:minLength value="2"/',
    }
    more = "".join(
        f'<xs:simpleType name="{name}"><xs:restriction base="{facets}></xs:restriction></xs:simpleType>'
        for name, facets in kinds.items()
    )
    schema = of("U", f'{more}<xs:simpleType name="U"><xs:union memberTypes="{members}"/></xs:simpleType>')
    assert [judged(schema, text) for text in good] == [[]] * len(good)
    assert [judged(schema, text) for text in bad] == [["xml.datatype"]] * len(bad)


def test_what_a_name_with_a_prefix_says_in_a_union_is_not_told_and_the_report_says_so():
    """A member with an enumeration of names that libxml2 knows to resolve, beside one whose texts it takes wrongly."""
    named = '<xs:restriction base="xs:QName"><xs:enumeration value="xs:a"/></xs:restriction>'
    more = f'<xs:simpleType name="Q">{named}</xs:simpleType>'
    schema = of("U", f'{more}<xs:simpleType name="U"><xs:union memberTypes="xs:double Q"/></xs:simpleType>')
    found = schema.check(read_xml(b'<b:r xmlns:b="urn:b"><e>1e</e></b:r>', Limits()), Limits())
    assert (found.total, found.unjudged) == (0, 1)


@pytest.mark.parametrize("kind", ["NMTOKENS", "IDREFS", "ENTITIES"])
def test_a_list_of_names_has_one_at_least(kind):
    schema = of(f"xs:{kind}")
    assert judged(schema, " ") == ["xml.min-length"]
    assert judged(schema, "") == ["xml.min-length"]
    if kind == "NMTOKENS":
        assert judged(schema, "x y") == []


def test_an_empty_element_may_have_a_default_or_be_nil():
    inner = (
        '<xs:sequence><xs:element name="d" type="xs:NMTOKENS" default="a b" minOccurs="0"/>'
        '<xs:element name="f" type="xs:NMTOKENS" fixed="a" minOccurs="0"/>'
        '<xs:element name="n" type="xs:NMTOKENS" nillable="true" minOccurs="0"/></xs:sequence>'
    )
    schema = one(inner)
    assert said_of(schema, '<d/><f/><n xsi:nil="true"/>') == []
    assert said_of(schema, "<d/><f/><n/>") == ["xml.min-length"]


REFERRED = '<xs:simpleType name="U"><xs:union memberTypes="{}"/></xs:simpleType>'


@pytest.mark.parametrize(
    ("members", "good", "lost"),
    [
        ("xs:int xs:IDREF", ["1", "here"], ["nowhere"]),
        ("xs:IDREF xs:int", ["1", "here"], ["nowhere"]),
        ("xs:token xs:IDREF", ["1", "here", "nowhere"], []),
        ("xs:boolean V", ["true", "here", "2026-01-01"], ["nowhere"]),
        ("xs:int xs:IDREFS", ["1", "here here"], ["here nowhere"]),
    ],
)
def test_a_reference_that_a_union_takes_leads_somewhere(members, good, lost):
    inner = (
        '<xs:sequence><xs:element name="e" type="U"/><xs:element name="i" type="xs:ID"/></xs:sequence>'
        '<xs:attribute name="a" type="U"/>'
    )
    more = '<xs:simpleType name="V"><xs:union memberTypes="xs:date xs:IDREF"/></xs:simpleType>'
    schema = one(inner, more=more + REFERRED.format(members))
    for text in good:
        assert said_of(schema, f"<e>{text}</e><i>here</i>", f'a="{text}"') == []
    for text in lost:
        assert said_of(schema, f"<e>{text}</e><i>here</i>", f'a="{text}"') == ["xml.idref-dangling"] * 2


def test_an_id_that_a_union_takes_is_one_that_references_lead_to_and_nobody_repeats():
    inner = (
        '<xs:sequence><xs:element name="e" type="U" maxOccurs="2"/><xs:element name="i" type="xs:IDREF"/></xs:sequence>'
    )
    schema = one(inner, more=REFERRED.format("xs:int xs:ID"))
    assert said_of(schema, "<e>here</e><e>1</e><i>here</i>") == []
    assert said_of(schema, "<e>1</e><e>1</e><i>here</i>") == ["xml.idref-dangling"]
    assert said_of(schema, "<e>here</e><e>here</e><i>here</i>") == ["xml.id-repeated"]


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        ("decimal", ("0", "-0.0"), ("0", "-1")),
        ("int", ("-0", "+0"), ("1", "-1")),
        ("dateTime", ("2026-01-01T24:00:00", "2026-01-02T00:00:00"), ("2026-01-01T24:00:00", "2026-01-01T00:00:00")),
        ("time", ("12:00:00Z", "13:00:00+01:00"), ("12:00:00", "12:00:00Z")),
    ],
)
def test_keys_are_compared_as_values(kind, same, other):
    unique = '<xs:unique name="u"><xs:selector xpath="e"/><xs:field xpath="."/></xs:unique>'
    schema = of(f"xs:{kind}", constraint=unique)
    two, limits = '<b:r xmlns:b="urn:b"><e>{}</e><e>{}</e></b:r>', Limits()
    found = [schema.check(read_xml(two.format(*pair).encode(), limits), limits) for pair in (same, other)]
    assert [[one.rule for one in each.violations] for each in found] == [["xml.identity"], []]
    streamed = Limits(tree_bytes=0, walk_bytes=0, report_bytes=0)
    with pytest.raises(TooLarge, match="00:00:00"):
        schema.check(read_xml(two.format(*same).encode(), streamed), streamed)


XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def one(inner: str, constraint: str = "", more: str = "") -> Any:
    element = f'<xs:element name="r"><xs:complexType>{inner}</xs:complexType>{constraint}</xs:element>'
    return schema_of(XS.format(more + element), "{urn:b}r")


def said_of(schema: Any, inner: str, attributes: str = "") -> list[str]:
    return rules(schema, f'<b:r xmlns:b="urn:b" xmlns:c="urn:b" {XSI} {attributes}>{inner}</b:r>')


def test_no_document_holds_a_field_of_a_key_that_may_be_nil():
    """Part 1, 3.11.4, 4.2.3: whether it is nil or not; of ``xs:unique`` it may."""
    nil = (
        '<xs:sequence><xs:element name="g" maxOccurs="2"><xs:complexType><xs:sequence>'
        '<xs:element name="e" type="xs:int" nillable="true" minOccurs="0"/><xs:element name="o" type="xs:int" minOccurs="0"/>'
        '</xs:sequence><xs:attribute name="a"/></xs:complexType></xs:element></xs:sequence>'
    )
    paths = '<xs:{0} name="k"><xs:selector xpath="{1}"/><xs:field xpath="{2}"/></xs:{0}>'
    both = "<g a='1'><e>1</e><o>1</o></g>"
    assert said_of(one(nil, paths.format("key", "g", "e")), both) == ["xml.identity"]
    assert said_of(one(nil, paths.format("key", ".//e", ".")), both) == ["xml.identity"]
    assert said_of(one(nil, paths.format("key", "g/child::*", ".")), both + both) == ["xml.identity"] * 4
    for kind, selector, field in (("key", "g", "o"), ("key", "g", "@a"), ("unique", "g", "e")):
        assert said_of(one(nil, paths.format(kind, selector, field)), both) == []


@pytest.mark.parametrize("often", ['minOccurs="2" maxOccurs="3"', 'maxOccurs="unbounded"', 'maxOccurs="2"'])
def test_an_element_for_which_others_may_stand_occurs_as_often_as_it_may_and_begins_no_choice_anew(often):
    """libxml2 leads back from it to where the choice began, and so lets in what stands beside it, or too few of it."""
    model = f'<xs:choice><xs:element name="a"/><xs:element ref="h" {often}/><xs:element name="c" minOccurs="0"/></xs:choice>'
    leading = '<xs:element name="h"/><xs:element name="s" substitutionGroup="h"/>'
    least, most = 2 if "min" in often else 1, {'maxOccurs="2"': 2, 'minOccurs="2" maxOccurs="3"': 3}.get(often, 9)
    right = re.compile(f"a|c?|[hs]{{{least},{most}}}")
    schema = content(model, leading)
    for word in ("", "a", "c", "h", "s", "ha", "hc", "sh", "hs", "ssa", "ah", "hsh", "hhc", "shss"):
        inner = "".join(f"<{name}/>" if name in "ac" else f"<b:{name}/>" for name in word)
        assert (said_of(schema, inner) == []) is (right.fullmatch(word) is not None), word


def test_a_list_that_is_fixed_is_compared_also_where_one_of_the_two_is_empty():
    lists = '<xs:simpleType name="L"><xs:list itemType="xs:int"/></xs:simpleType>'
    lists += '<xs:simpleType name="V"><xs:union memberTypes="xs:boolean L"/></xs:simpleType>'
    lists += '<xs:attribute name="g" type="L" fixed="1 2"/>'
    for kind, fixed, good, bad in (
        ("L", "", " ", "1"),
        ("L", "1 2", "01  2", ""),
        ("V", "", "", "true"),
        ("V", "1 2", "1 2", ""),
    ):
        schema = one(f'<xs:attribute name="a" type="{kind}" fixed="{fixed}"/>', more=lists)
        assert [said_of(schema, "", f'a="{text}"') for text in (good, bad)] == [[], ["xml.fixed"]]
    for use in ('<xs:attribute ref="g"/>', "<xs:anyAttribute/>"):
        assert [said_of(one(use, more=lists), "", f'b:g="{text}"') for text in ("1 2", "")] == [[], ["xml.fixed"]]


def test_a_name_that_is_fixed_may_be_of_another_namespace_and_the_report_says_so():
    """libxml2 compares such texts of elements, and we those of uses of global attributes; of others it compares names."""
    inner = (
        '<xs:sequence><xs:element name="e" type="xs:QName" fixed="x" minOccurs="0"/></xs:sequence>'
        '<xs:attribute ref="g" fixed="x"/><xs:attribute name="a" type="xs:QName" fixed="x"/>'
    )
    schema = one(inner, more='<xs:attribute name="g" type="xs:QName"/>')
    for attributes, below, said in (
        ("", "<e>x</e>", (0, 1)), ("", "<e/>", (0, 0)), ("b:g='x'", "", (0, 1)), ("", "", (0, 0)), ("a='x'", "", (1, 0)),
        ("xmlns='urn:b' a='x'", "", (0, 0)), ("b:g='y'", "", (1, 0)), ("", "<e>y</e>", (1, 1)),
    ):  # fmt: skip
        document = f'<b:r xmlns:b="urn:b" {attributes}>{below}</b:r>'
        found = schema.check(read_xml(document.encode(), Limits()), Limits())
        assert (found.total, found.unjudged) == said, document


def test_a_pattern_is_about_what_is_written_where_keys_are_compared_by_other_spellings():
    digits = '<xs:restriction base="xs:decimal"><xs:pattern value="\\d{1,3}"/></xs:restriction>'
    digits = f'<xs:simpleType name="D">{digits}</xs:simpleType>'
    inner = '<xs:sequence><xs:element name="e" type="D" maxOccurs="2"/></xs:sequence>'
    key = '<xs:unique name="u"><xs:selector xpath="e"/><xs:field xpath="."/></xs:unique>'
    schema = one(inner, key, digits)
    assert [said_of(schema, below) for below in ("<e>0</e>", "<e>-0</e>")] == [[], ["xml.pattern"]]


def test_what_a_union_is_fixed_to_is_said_to_be_unchecked_where_its_members_have_facets():
    year = '<xs:restriction base="xs:gYear"><xs:minExclusive value="2026Z"/></xs:restriction>'
    union = f'<xs:simpleType name="Y">{year}</xs:simpleType><xs:attribute name="g" type="V"/>'
    union += '<xs:simpleType name="V"><xs:union memberTypes="xs:language Y xs:anyURI"/></xs:simpleType>'
    schema = one('<xs:attribute ref="g" fixed="2026"/>', more=union)
    found = schema.check(read_xml(b'<b:r xmlns:b="urn:b" b:g="http://x/y"/>', Limits()), Limits())
    assert (found.total, found.unjudged) == (0, 1)


def test_ids_of_a_list_are_seen_and_stand_once():
    lists = '<xs:simpleType name="L"><xs:list itemType="xs:ID"/></xs:simpleType>'
    schema = one('<xs:attribute name="a" type="L"/><xs:attribute name="b" type="xs:IDREFS"/>', more=lists)
    assert said_of(schema, "", 'a="x y" b="y x"') == []
    assert said_of(schema, "", 'a="x y" b="z"') == ["xml.idref-dangling"]
    assert said_of(schema, "", 'a="x x"') == ["xml.id-repeated"]


@pytest.mark.parametrize("kind", ["xs:IDREF", "xs:IDREFS", "U"])
def test_what_an_empty_element_stands_for_leads_somewhere_too(kind):
    inner = (
        f'<xs:sequence><xs:element name="e" type="{kind}" {{}} minOccurs="0" nillable="true"/>'
        '<xs:element name="i" type="xs:ID"/></xs:sequence>'
    )
    for constraint in ('default="here"', 'fixed="here"'):
        schema = one(inner.format(constraint), more=REFERRED.format("xs:int xs:IDREF"))
        assert said_of(schema, "<e/><i>here</i>") == []
        assert said_of(schema, "<e/><i>there</i>") == ["xml.idref-dangling"]
        assert said_of(schema, "<i>there</i>") == []
    assert said_of(schema, '<e xsi:nil="false"/><i>there</i>') == ["xml.idref-dangling"]


def test_what_remains_different_is_what_the_page_says():
    """``docs/xml-schema.md``, second table, the rows that no test of places pins."""
    paths = '<xs:unique name="k"><xs:selector xpath="."/><xs:field xpath="e"/></xs:unique>'
    ints = '<xs:simpleType name="L"><xs:list itemType="xs:int"/></xs:simpleType>'
    empty = one('<xs:sequence><xs:element name="e" type="L"/></xs:sequence>', paths, ints)
    assert [said_of(empty, f"<e>{text}</e>") for text in ("1 2", "")] == [[], ["xml.identity"]]
    name = one('<xs:sequence><xs:element name="e" type="xs:QName" fixed="b:x"/></xs:sequence>')
    assert [said_of(name, f"<e>{text}</e>") for text in ("b:x", "c:x")] == [[], ["xml.fixed"]]
    strict = one('<xs:sequence><xs:any namespace="##local"/></xs:sequence>')
    assert said_of(strict, '<o xsi:type="xs:int">1</o>') == ["xml.element-undeclared"]
    address = one('<xs:attribute name="a" type="xs:anyURI"/>')
    assert [said_of(address, "", f'a="http://a.de:{port}/"') for port in ("80", "xx")] == [[], ["xml.datatype"]]
    taken = one('<xs:attribute name="a" type="xs:NOTATION"/>', more='<xs:notation name="n" public="n"/>')
    taken.compile()


@pytest.mark.parametrize(
    ("kind", "facet", "fixed", "good", "bad"),
    [
        ("time", 'enumeration value="13:00:00+01:00"', None, ["13:00:00+01:00"], ["13:00:00Z"]),
        ("dateTime", 'enumeration value="2026-01-01T24:00:00"', None, ["2026-01-01T24:00:00"], []),
        ("decimal", 'enumeration value="-0"', None, ["-0", "0"], ["1"]),
        ("time", None, "24:00:00", ["24:00:00"], ["23:00:00"]),
        ("double", None, "-0", ["-0"], ["1"]),
    ],
)  # fmt: skip
def test_the_very_text_that_is_enumerated_or_fixed_is_taken_where_keys_are_compared(kind, facet, fixed, good, bad):
    """Keys make us spell values otherwise, for libxml2 compares some as texts: what the schema names stays what it is."""
    more = ""
    if facet is not None:
        more = (
            f'<xs:simpleType name="T"><xs:restriction base="xs:{kind}"><xs:{facet}/></xs:restriction></xs:simpleType>'
        )
    said = f'type="{f"xs:{kind}" if facet is None else "T"}"' + ("" if fixed is None else f' fixed="{fixed}"')
    inner = (
        f'<xs:sequence><xs:element name="g"><xs:complexType><xs:sequence><xs:element name="e" {said}/></xs:sequence>'
        "</xs:complexType></xs:element></xs:sequence>"
    )
    key = '<xs:key name="k"><xs:selector xpath="g"/><xs:field xpath="e"/></xs:key>'
    schema = one(inner, key, more)
    limits = Limits()
    wrong = "xml.fixed" if facet is None else "xml.enumeration"
    for text, rule in [(text, None) for text in good] + [(text, wrong) for text in bad]:
        data = f'<b:r xmlns:b="urn:b"><g><e>{text}</e></g></b:r>'.encode()
        found = [each.rule for each in schema.check(read_xml(data, limits), limits).violations]
        # A value that is refused makes libxml2 miss the key's field as well.
        assert found[:1] == ([] if rule is None else [rule]), text


def small(schema: Any, inner: str, attributes: str = "") -> list[str]:
    """The rules that a document breaks which is small enough for a second tree, as a tree and as a stream."""
    data = f'<b:r xmlns:b="urn:b" {XSI} {attributes}>{inner}</b:r>'.encode()
    found = [
        [each.rule for each in schema.check(read_xml(data, limits), limits).violations]
        for limits in (Limits(), Limits(tree_bytes=0, walk_bytes=0))
    ]
    assert found[0] == found[1]
    return found[0]


def test_a_wildcard_that_must_occur_several_times_does_so_where_it_need_not_occur_at_all():
    # Beside what may be missing libxml2 takes one of them for enough.
    wild = '<xs:any namespace="##targetNamespace" minOccurs="2" maxOccurs="3"/>'
    for model in (
        f'<xs:choice>{wild}<xs:element name="x" minOccurs="0"/></xs:choice>',
        f'<xs:sequence minOccurs="0">{wild}</xs:sequence>',
    ):
        schema = content(model, '<xs:element name="g"/>')
        found = [rules(schema, f'<b:r xmlns:b="urn:b">{"<b:g/>" * number}</b:r>') for number in range(5)]
        assert found == [[], ["xml.element-missing"], [], [], ["xml.element-unexpected"]], model


def test_a_union_that_may_be_a_name_is_not_called_compared_with_the_fixed_one():
    union = '<xs:simpleType name="U"><xs:union memberTypes="xs:int xs:QName"/></xs:simpleType>'
    named = content('<xs:sequence><xs:element name="e" type="U" fixed="x"/></xs:sequence>', union)
    limits = Limits()
    found = named.check(read_xml(b'<b:r xmlns:b="urn:b"><e>x</e></b:r>', limits), limits)
    # Of another namespace than the schema's x.
    assert (found.total, found.unjudged) == (0, 1)


NIL = 'xsi:nil="true"'


@pytest.mark.parametrize("kind", ["unique", "keyref"])
@pytest.mark.parametrize(
    ("inner", "found"),
    [
        (f"<e {NIL}/><e {NIL}/>", []),
        (f"<e {NIL}/><e>1</e>", []),
        (f"<e>1</e><e {NIL}/><e>1</e>", ["xml.identity"]),
        (f"<e {NIL}>1</e>", ["xml.nil"]),
    ],
)
def test_what_is_nil_is_passed_over_where_values_are_to_differ_or_to_lead_somewhere(kind, inner, found):
    paths = '<xs:selector xpath="e"/><xs:field xpath="."/>'
    keys = f'<xs:unique name="u">{paths}</xs:unique>'
    if kind == "keyref":
        keys += f'<xs:keyref name="k" refer="u">{paths}</xs:keyref>'
    schema = one('<xs:sequence><xs:element name="e" type="xs:int" nillable="true" maxOccurs="9"/></xs:sequence>', keys)
    assert small(schema, inner)[:1] == found


def test_a_reference_to_what_is_nil_leads_nowhere_and_a_field_that_is_nil_needs_none():
    keys = (
        '<xs:unique name="u"><xs:selector xpath="e"/><xs:field xpath="."/></xs:unique>'
        '<xs:keyref name="k" refer="u"><xs:selector xpath="f"/><xs:field xpath="."/></xs:keyref>'
    )
    nillable = 'type="xs:int" nillable="true" maxOccurs="9" minOccurs="0"'
    schema = one(f'<xs:sequence><xs:element name="e" {nillable}/><xs:element name="f" {nillable}/></xs:sequence>', keys)
    documents = (f"<e {NIL}/><f {NIL}/>", f"<e {NIL}/><f>1</f>", "<e>1</e><f>1</f>", f"<e>1</e><e {NIL}/><f>2</f>")
    assert [small(schema, inner) for inner in documents] == [[], ["xml.identity"], [], ["xml.identity"]]


def test_white_space_around_a_chosen_type_is_none_of_its_name():
    schema = one('<xs:sequence><xs:element name="e" type="xs:string"/></xs:sequence>')
    written = ("xs:token", " xs:token ", "\n xs:token", " xs:int ", "xs: token")
    found = [small(schema, f'<e xsi:type="{name}">a</e>') for name in written]
    assert found == [[], [], [], ["xml.type"], ["xml.datatype"]]


@pytest.mark.parametrize(
    ("kind", "pieces", "found"),
    [
        ("time", "12:00<!-- c -->:00", []),
        ("time", " 12:00<!-- c -->:00 ", []),
        ("date", "<?p i?> 2026-01-01", []),
        ("date", " 2026-01<!-- c -->-32", ["xml.datatype"]),
        ("decimal", "<!-- c -->-0", []),
        ("decimal", "-<!-- c -->0<?p i?>x", ["xml.datatype"]),
    ],
)
def test_a_value_that_a_comment_splits_is_spelt_otherwise_as_a_whole(kind, pieces, found):
    key = '<xs:unique name="u"><xs:selector xpath="e"/><xs:field xpath="."/></xs:unique>'
    schema = one(f'<xs:sequence><xs:element name="e" type="xs:{kind}" maxOccurs="9"/></xs:sequence>', key)
    assert small(schema, f"<e>{pieces}</e>")[:1] == found
    twice = small(schema, f"<e>{pieces}</e><e>{pieces}</e>")
    assert bool(twice), "equal values, however they are split"


@pytest.mark.parametrize(
    ("kind", "bound", "good", "bad"),
    [
        ("time", "13:00:00+01:00", ["13:00:00+01:00", "12:00:00Z", "14:00:00Z"], ["11:59:59Z", "12:00:00+01:00"]),
        ("time", "00:30:00Z", ["00:30:00Z", "01:30:00+01:00"], ["00:29:59Z"]),
        ("dateTime", "2026-01-01T24:00:00", ["2026-01-02T00:00:00", "2026-01-01T24:00:00"], ["2026-01-01T23:59:59"]),
    ],
)
def test_a_bound_in_another_zone_or_with_the_hour_24_bounds_as_its_value(kind, bound, good, bad):
    bounded = f'<xs:restriction base="xs:{kind}"><xs:minInclusive value="{bound}"/></xs:restriction>'
    schema = one('<xs:attribute name="a" type="T"/>', more=f'<xs:simpleType name="T">{bounded}</xs:simpleType>')
    assert [small(schema, "", f'a="{text}"') for text in good] == [[]] * len(good)
    assert [small(schema, "", f'a="{text}"') for text in bad] == [["xml.minimum"]] * len(bad)
    limits = Limits()
    wrong = schema.check(read_xml(f'<b:r xmlns:b="urn:b" a="{bad[0]}"/>'.encode(), limits), limits)
    assert wrong.violations[0].expected == bound


def test_a_default_that_keys_cover_and_a_document_leaves_out_is_named_as_what_stops_the_check():
    key = '<xs:unique name="u"><xs:selector xpath="."/><xs:field xpath="@b:a"/></xs:unique>'
    schema = one('<xs:attribute ref="a" default="1"/>', key, '<xs:attribute name="a" type="xs:int"/>')
    assert said_of(schema, "", 'b:a="2"') == []
    with pytest.raises(TooLarge, match="default value"):
        said_of(schema, "")
