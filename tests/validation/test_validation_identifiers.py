"""The quick look at references: it may say less than the walk, and never more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from hub.validation.closure import build_schema, derive_table
from hub.validation.xml.identifiers import IdentifierTable, IdentifierWalk

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


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> tuple[etree.XMLSchema, IdentifierTable]:
    path = tmp_path_factory.mktemp("schema") / "r.xsd"
    path.write_text(SCHEMA)
    return etree.XMLSchema(etree.parse(path)), derive_table([build_schema(str(path), lambda _: None)], ["r"])


@settings(max_examples=600, deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=5))
def test_what_the_quick_look_finds_whole_is_whole(compiled, parts):
    schema, table = compiled
    tree = etree.fromstring(f"<r>{''.join(parts)}</r>", etree.XMLParser(collect_ids=False))
    if not schema.validate(tree):
        return
    walk = IdentifierWalk(table)
    met = walk(tree)
    if walk.surely_whole(tree, plain="<!--" not in "".join(parts)):
        assert not met.repeated
        assert not list(met.dangling())
    # Where ids are attributes alone and no comment splits a text, it says all there is to say.
    elif tree.find(".//key") is None and "<!--" not in "".join(parts) and tree.find("free/r") is None:
        assert met.repeated or list(met.dangling()) or tree.find("free/c") is not None


def test_a_table_of_an_earlier_release_is_read(compiled):
    _, table = compiled
    document = {**table.as_json(), "names": {"a": {"sure": ["id"], "attributes": {"id": "ID"}}}}
    assert IdentifierTable.from_json(document) == table
