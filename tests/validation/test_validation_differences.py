"""Differences between versions: what a sender must change comes first, and only that is called a must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from lxml import etree
from shared_data import CATALOG, SHARED, needs_shared_data

from hub.errors import UnknownSchema
from hub.validation.catalog import SchemaCatalog
from hub.validation.comparison import differences, outline_of_json, outline_of_xsd
from hub.validation.importing import import_standard

SCHEMAS = Path(__file__).parents[2] / "schemas"
HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'


def xsd(content: str, root: str = "m"):
    return [outline_of_xsd([etree.fromstring(f"{HEAD}{content}</xs:schema>")], [root])]


def differences_of(old, new) -> list[tuple[str, str, bool]]:
    return [(change.kind, change.place, change.must) for change in differences(old, new)]


def sequence(content: str) -> str:
    return f'<xs:complexType name="T"><xs:sequence>{content}</xs:sequence></xs:complexType>'


A = '<xs:element name="a" type="xs:string"/>'


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (A, "", ("removed", "T/a", True)),
        ("", A, ("added-required", "T/a", True)),
        ("", A.replace("/>", ' minOccurs="0"/>'), ("added", "T/a", False)),
        (A.replace("/>", ' minOccurs="0"/>'), A, ("became-required", "T/a", True)),
        (A, A.replace("/>", ' minOccurs="0"/>'), ("became-optional", "T/a", False)),
        (A, A.replace("string", "int"), ("type-changed", "T/a", True)),
        (A, A.replace("/>", ' maxOccurs="unbounded"/>'), ("count-changed", "T/a", False)),
        (A.replace("/>", ' maxOccurs="9"/>'), A, ("count-changed", "T/a", True)),
        (A, f"<xs:choice>{A}</xs:choice>", ("became-optional", "T/a", False)),
    ],
)
def test_a_change_of_an_element_is_told(old, new, change):
    assert differences_of(xsd(sequence(old)), xsd(sequence(new))) == [change]


def limited(facet: str) -> str:
    return f'<xs:simpleType name="S"><xs:restriction base="xs:string">{facet}</xs:restriction></xs:simpleType>'


@pytest.mark.parametrize(
    ("old", "new", "must"),
    [
        ('<xs:maxLength value="9"/>', '<xs:maxLength value="5"/>', True),
        ('<xs:maxLength value="5"/>', '<xs:maxLength value="9"/>', False),
        ('<xs:minLength value="1"/>', '<xs:minLength value="2"/>', True),
        ('<xs:pattern value="a"/>', '<xs:pattern value="b"/>', True),
        ('<xs:maxLength value="5"/>', "", False),
    ],
)
def test_a_limit_is_a_must_only_if_it_became_narrower(old, new, must):
    assert differences_of(xsd(limited(old)), xsd(limited(new))) == [("limit-changed", "S", must)]


def test_values_that_are_gone_are_a_must_and_new_ones_are_not():
    old, new = (limited("".join(f'<xs:enumeration value="{value}"/>' for value in values)) for values in ("ab", "bc"))
    assert differences_of(xsd(old), xsd(new)) == [("values-removed", "S", True), ("values-added", "S", False)]


def test_messages_come_and_go():
    assert differences_of(xsd("", "old"), xsd("", "new")) == [
        ("message-removed", "old", True),
        ("message-added", "new", False),
    ]


def test_the_namespace_does_not_count():
    schema = f'{HEAD.replace(">", " targetNamespace=%s>")}<xs:element name="m" type="xs:string"/></xs:schema>'
    old, new = (
        [outline_of_xsd([etree.fromstring(schema % f'"urn:{version}"')], [f"{{urn:{version}}}m"])] for version in "12"
    )
    assert differences_of(old, new) == []


def test_fields_of_json_schemas_are_compared_through_references():
    def schema(required: list[str], length: int, **more):
        person = {"a": {"type": "string", "maxLength": length}, "self": {"$ref": "#/$defs/p"}, **more}
        return {
            "required": required,
            "properties": {"p": {"$ref": "#/$defs/p"}, "q": {"type": "string"}},
            "$defs": {"p": {"type": "object", "required": ["a"], "properties": person}},
        }

    old, new = schema(["p"], 9), schema(["p", "q"], 5, b={"enum": ["x"]})
    changes = differences_of([outline_of_json(old, "t")], [outline_of_json(new, "t")])
    assert ("limit-changed", "/p/a", True) in changes
    assert ("added", "/p/b", False) in changes
    assert ("became-required", "/q", True) in changes


@pytest.mark.parametrize("entry", SchemaCatalog.load(SCHEMAS).entries(), ids=lambda entry: entry.manifest.standard)
def test_a_version_does_not_differ_from_itself(entry):
    assert differences([entry.judge.outline()], [entry.judge.outline()]) == ()
    assert len(entry.judge.outline().traits) >= 3


def test_an_unknown_version_is_refused():
    with pytest.raises(UnknownSchema):
        SchemaCatalog.load(SCHEMAS).diff("bauantrag", "1.0", "9.9")


@needs_shared_data
def test_xbau_2_6_asks_its_senders_to_change_what_it_removed(tmp_path):
    for version in ("2.5", "2.6"):
        source = SHARED / "xoev" / f"xbau-{version}" / "xsd"
        import_standard(source, tmp_path, standard="xbau", version=version, catalog=CATALOG)
    changes = SchemaCatalog.load(tmp_path).diff("xbau", "2.5", "2.6")
    kinds = {change.kind for change in changes}
    assert {"removed", "added-required", "message-added", "type-changed"} <= kinds
    assert [change.must for change in changes] == sorted((change.must for change in changes), reverse=True)
    assert "message-removed" not in kinds


def test_a_comparison_is_worked_out_once_for_all_who_ask(tmp_path):
    for version, kind in (("1", "xs:string"), ("2", "xs:int")):
        source = tmp_path / f"{version}.xsd"
        source.write_text(f'{HEAD}<xs:element name="m" type="{kind}"/></xs:schema>')
        import_standard(source, tmp_path / "schemas", standard="test", version=version)
    catalog = SchemaCatalog.load(tmp_path / "schemas")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: catalog.diff("test", "1", "2"), range(32)))
    assert answers[0]
    assert all(answer is answers[0] for answer in answers)
    assert catalog.diff("test", "2", "1") is not answers[0]
    for number in range(20):
        with suppress(UnknownSchema):
            catalog.diff("test", "1", str(number))
    assert catalog.diff("test", "1", "2") == answers[0]
