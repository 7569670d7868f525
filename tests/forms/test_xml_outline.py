"""The outline of messages in XML Schema: elements, attributes, choices, occurrence, enumerations, codes, words."""

from __future__ import annotations

import pytest
from shared_data import needs_shared_data
from stage import SCHEMAS

from hub.errors import ConfigurationError
from hub.forms.outline import FieldKind
from hub.forms.xml_outline import outline_of_xml_schema
from hub.validation.editions import load_version
from hub.validation.xml.xsd import XsdSource

HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t" {}>'
BAU = "{https://schema.rathaus-hub.example/bauantrag/1.2}"


def outline(content, more="", form='elementFormDefault="qualified"'):
    document = (
        f'{HEAD.format(form)}<xs:element name="m" type="M"/>{more}<xs:complexType name="M">{content}</xs:complexType>'
        "</xs:schema>"
    )
    source = XsdSource(file="m.xsd", closure=("m.xsd",), read=lambda _: document.encode(), locations={})
    return outline_of_xml_schema(source, "{urn:t}m")


@pytest.fixture(scope="module")
def application():
    (entry,) = load_version(SCHEMAS / "bauantrag/1.2").entries
    return outline_of_xml_schema(entry.judge.source, f"{BAU}bauantrag.antrag.0100")


def test_the_building_application_is_asked_in_the_order_of_its_documents(application):
    assert [member.name for member in application.root.members] == [
        *("@version", "@produkt", "nachrichtenkopf", "verfahren", "beteiligter", "bauherr", "entwurfsverfasser"),
        *("grundstueck", "vorhaben", "anlage"),
    ]
    made = dict(application.walk())
    assert (made["/@version"].kind, made["/@version"].value, made["/@version"].required) == (
        FieldKind.FIXED,
        "1.2",
        True,
    )
    assert (made["/beteiligter"].kind, made["/beteiligter"].least, made["/beteiligter"].most) == (FieldKind.LIST, 1, 20)
    assert (made["/anlage"].required, made["/anlage"].least) == (False, 0)
    assert made["/beteiligter/*/anschrift/ort"].tag == f"{BAU}ort"
    assert made["/vorhaben/geplanterBaubeginn"].kind is FieldKind.DATE
    assert made["/vorhaben/bruttogrundflaeche"].limits["fractionDigits"] == "2"
    assert made["/beteiligter/*/@id"].limits["identifier"] == "ID"
    assert next(choice.value for choice in made["/anlage/*/@art"].choices) == "lageplan"
    assert application.left_out == ()


def test_a_code_is_one_question_in_the_words_of_its_element(application):
    made = dict(application.walk())
    assert made["/verfahren/code"].title.de == "Verfahren"
    assert made["/verfahren/code"].choices[1].label.de == "Vereinfachtes Baugenehmigungsverfahren"
    assert "/verfahren/name" not in made
    assert made["/verfahren/@listVersionID"].value == "1"


def test_one_of_a_choice_is_chosen_or_recognised(application):
    party = dict(application.walk())["/beteiligter/*"]
    (fork,) = party.variants
    assert [label.de for label in fork.labels] == ["Person", "Organisation"]
    found = [(member.name, needed) for member, needed in party.open_members({"organisation": {"name": "x"}})]
    assert found == [("@id", True), ("organisation", True), ("anschrift", True), ("email", False)]


def test_extension_restriction_groups_and_text_with_attributes():
    made = dict(
        outline(
            '<xs:complexContent><xs:extension base="B"><xs:sequence><xs:group ref="G"/><xs:element name="e" type="E"/>'
            "</xs:sequence></xs:extension></xs:complexContent>",
            '<xs:complexType name="B"><xs:sequence><xs:element name="b" type="xs:int"/></xs:sequence></xs:complexType>'
            '<xs:group name="G"><xs:sequence><xs:element name="g" type="xs:boolean" minOccurs="0"/></xs:sequence></xs:group>'
            '<xs:complexType name="E"><xs:simpleContent><xs:extension base="xs:decimal"><xs:attribute name="w" use="required"/>'
            "</xs:extension></xs:simpleContent></xs:complexType>",
        ).walk()
    )
    assert {place: field.kind.value for place, field in made.items()} == {
        "/b": "integer",
        "/g": "boolean",
        "/e": "group",
        "/e/@w": "text",
        "/e/#text": "number",
    }


def test_an_optional_sequence_requires_nothing_and_a_repeated_choice_makes_lists():
    made = dict(
        outline(
            '<xs:sequence><xs:sequence minOccurs="0"><xs:element name="a"/></xs:sequence>'
            '<xs:choice maxOccurs="unbounded"><xs:element name="b"/><xs:element name="c"/></xs:choice></xs:sequence>'
        ).walk()
    )
    assert made["/a"].required is False
    assert [(made[place].kind, made[place].least) for place in ("/b", "/c")] == [(FieldKind.LIST, 0)] * 2


def test_members_of_a_substitution_group_are_variants():
    root = outline(
        '<xs:sequence><xs:element ref="kopf"/></xs:sequence>',
        '<xs:element name="kopf" abstract="true" type="xs:string"/><xs:element name="x" substitutionGroup="kopf"/>'
        '<xs:element name="y" substitutionGroup="kopf"/>',
    ).root
    assert {member.name for member in root.members} == {"x", "y"}
    assert len(root.variants[0].labels) == 2


def test_unqualified_elements_have_no_namespace():
    made = dict(outline('<xs:sequence><xs:element name="a"/></xs:sequence>', form="").walk())
    assert made["/a"].tag == "a"


def test_a_type_within_itself_and_wildcards_are_left_out_and_named():
    made = outline(
        '<xs:sequence><xs:element name="k" type="M" minOccurs="0"/><xs:any minOccurs="0"/><xs:element name="a"/></xs:sequence>'
    )
    assert made.left_out == ("/k", "/*")
    assert [place for place, _ in made.walk()] == ["/a"]


def test_an_unknown_root_is_refused():
    with pytest.raises(ConfigurationError, match="does not know"):
        outline_of_xml_schema(load_version(SCHEMAS / "bauantrag/1.2").entries[0].judge.source, f"{BAU}nein")


@needs_shared_data
def test_messages_of_xbau_are_outlined_within_bounds(xbau):
    sizes = {}
    for entry in xbau:
        for root in entry.item.roots:
            sizes[root] = sum(1 for _ in outline_of_xml_schema(entry.judge.source, root).walk())
    assert len(sizes) > 5
    assert 1_000 < max(sizes.values()) < 20_000


def test_what_a_schema_redefines_is_asked_as_it_is_redefined():
    head = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    files = {
        # Without a namespace of its own: it takes that of who includes it.
        "base.xsd": f"""{head}>
            <xs:complexType name="P"><xs:sequence><xs:element name="a" type="K"/></xs:sequence></xs:complexType>
            <xs:simpleType name="K"><xs:restriction base="xs:string"><xs:maxLength value="9"/></xs:restriction></xs:simpleType>
            </xs:schema>""",
        "m.xsd": f"""{head} targetNamespace="urn:t" xmlns="urn:t" elementFormDefault="qualified">
            <xs:redefine schemaLocation="base.xsd">
            <xs:complexType name="P"><xs:complexContent><xs:extension base="P"><xs:sequence><xs:element name="b" type="K"/>
            </xs:sequence></xs:extension></xs:complexContent></xs:complexType>
            <xs:simpleType name="K"><xs:restriction base="K"><xs:minLength value="2"/></xs:restriction></xs:simpleType>
            </xs:redefine><xs:element name="m" type="P"/></xs:schema>""",
    }
    source = XsdSource(file="m.xsd", closure=tuple(files), read=lambda name: files[name].encode(), locations={})
    members = outline_of_xml_schema(source, "{urn:t}m").root.members
    # The included element keeps its document's form: unqualified.
    assert [member.tag for member in members] == ["a", "{urn:t}b"]
    assert [member.limits for member in members] == [{"maxLength": "9", "minLength": "2"}] * 2
