"""The outline of JSON Schemas: what a form asks of a schema that nobody wrote a form file for."""

from __future__ import annotations

import gc
import json

import pytest
from shared_data import SHARED, needs_shared_data
from stage import SCHEMAS

from hub.errors import ConfigurationError, Text
from hub.forms.form_file import FormStep
from hub.forms.json_outline import outline_of_json_schema
from hub.forms.outline import DEEPEST, MOST_FIELDS, Field, FieldKind
from hub.forms.page import draw, page_of

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string"}


def outline(**schema):
    return outline_of_json_schema({"$schema": DRAFT, "type": "object", **schema})


def fields(**schema):
    return dict(outline(**schema).walk())


def names(group, answers):
    return [member.name for member, _ in group.open_members(answers)]


def required(group, answers):
    return {member.name for member, needed in group.open_members(answers) if needed}


def test_each_kind_of_value_is_told_by_type_format_enum_and_const():
    made = fields(
        properties={
            "text": TEXT,
            "zahl": {"type": ["integer", "null"]},
            "betrag": {"type": "number"},
            "ja": {"type": "boolean"},
            "bestaetigt": {"const": True},
            "fest": {"const": "x"},
            "art": {"enum": ["a", "b", None]},
            "tag": {"type": "string", "format": "date"},
            "zeit": {"type": "string", "format": "date-time"},
            "gruppe": {"properties": {"inneres": TEXT}},
            "liste": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
            "ohne": {"pattern": "^a$"},
        }
    )
    assert {place: field.kind.value for place, field in made.items()} == {
        "/text": "text",
        "/zahl": "integer",
        "/betrag": "number",
        "/ja": "boolean",
        "/bestaetigt": "boolean",
        "/fest": "fixed",
        "/art": "choice",
        "/tag": "date",
        "/zeit": "date-time",
        "/gruppe": "group",
        "/gruppe/inneres": "text",
        "/liste": "list",
        "/liste/*": "text",
        "/ohne": "text",
    }
    assert [choice.value for choice in made["/art"].choices] == ["a", "b"]
    assert (made["/bestaetigt"].value, made["/fest"].value) == (True, "x")
    assert (made["/liste"].least, made["/liste"].most) == (1, 3)


def test_titles_and_descriptions_are_the_words_and_a_name_stands_in_for_a_missing_title():
    made = fields(properties={"a": {"title": "Ihr Name", "description": "Wie im Ausweis."}, "geplanterBaubeginn": TEXT})
    assert (made["/a"].title.de, made["/a"].hint.de) == ("Ihr Name", "Wie im Ausweis.")
    assert made["/geplanterBaubeginn"].title.de == "Geplanter Baubeginn"


def test_references_and_allof_are_one_place_and_the_tightest_limit_counts():
    made = fields(
        properties={"a": {"$ref": "#/$defs/kurz", "title": "A", "allOf": [{"maxLength": 5, "pattern": "^b"}]}},
        **{"$defs": {"kurz": {"type": "string", "maxLength": 9, "pattern": "^a"}}},
    )
    assert made["/a"].limits["maxLength"] == 5
    assert set(made["/a"].limits["patterns"]) == {"^a", "^b"}


def test_before_2019_nothing_counts_beside_a_reference():
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"$ref": "#/definitions/x", "title": "nicht"}},
        "definitions": {"x": {"type": "string", "title": "doch"}},
    }
    assert dict(outline_of_json_schema(schema).walk())["/a"].title.de == "doch"


def test_anchors_are_found():
    made = fields(properties={"a": {"$ref": "#tag"}}, **{"$defs": {"t": {"$anchor": "tag", "type": "integer"}}})
    assert made["/a"].kind is FieldKind.INTEGER


def test_then_and_else_stand_where_if_says():
    group = outline(
        properties={"hund": {"type": "boolean"}},
        **{"if": {"properties": {"hund": {"const": True}}, "required": ["hund"]}},
        then={"properties": {"rasse": TEXT}, "required": ["rasse"]},
        **{"else": {"properties": {"katze": TEXT}}},
    ).root
    assert (names(group, {"hund": True}), required(group, {"hund": True})) == (["hund", "rasse"], {"rasse"})
    assert (names(group, {}), required(group, {})) == (["hund", "katze"], set())


def test_if_is_judged_by_the_engine_wherever_it_stands():
    schema = json.loads((SCHEMAS / "fim-hundesteuer/1.2/anmeldung.schema.json").read_text("utf-8"))
    dog = dict(outline_of_json_schema(schema).walk())["/hunde/*"]
    assert "erlaubnisAktenzeichen" in required(dog, {"gefaehrlich": True})
    assert "erlaubnisAktenzeichen" not in required(dog, {"gefaehrlich": False, "?9": 1})


@pytest.mark.parametrize("word", ["dependentRequired", "dependencies"])
def test_what_one_field_makes_required(word):
    group = outline(properties={"am": TEXT, "datei": TEXT}, **{word: {"am": ["datei"]}}).root
    assert (required(group, {}), required(group, {"am": "x"}), required(group, {"am": ""})) == (set(), {"datei"}, set())


def test_what_one_field_brings_with_it():
    group = outline(properties={"am": TEXT}, dependentSchemas={"am": {"properties": {"wo": TEXT}}}).root
    assert (names(group, {}), names(group, {"am": "x"})) == (["am"], ["am", "wo"])


def test_the_person_chooses_between_variants_that_nothing_tells_apart():
    schema = json.loads((SCHEMAS / "fim-wohnsitz/1.2/anmeldung.schema.json").read_text("utf-8"))
    before = dict(outline_of_json_schema(schema).walk())["/bisherigeWohnung"]
    (fork,) = before.variants
    assert [label.de for label in fork.labels] == ["In Deutschland", "Im Ausland"]
    assert names(before, {}) == []
    assert names(before, {fork.key: 1}) == ["staat"]
    assert required(before, {fork.key: 0}) == {"anschrift", "auszug"}
    assert names(before, {"staat": "FRA"}) == ["staat"]


def test_pages_that_are_drawn_again_and_again_leave_nothing_behind():
    schema = json.loads((SCHEMAS / "fim-wohnsitz/1.2/anmeldung.schema.json").read_text("utf-8"))
    step = FormStep(id="all", title=Text("Alles", "All"), root=outline_of_json_schema(schema).root)
    draw(page_of(step, {}), "de")
    gc.collect()
    before = sum(isinstance(each, Field) for each in gc.get_objects())
    for number in range(50):
        assert f"Am Bach {number}" in draw(page_of(step, {"neueWohnung": {"strasse": f"Am Bach {number}"}}), "de")
    gc.collect()
    assert sum(isinstance(each, Field) for each in gc.get_objects()) == before


def test_a_member_with_one_value_in_each_variant_tells_them_apart():
    group = outline(
        oneOf=[
            {"title": "Mensch", "properties": {"art": {"const": "p"}, "name": TEXT}, "required": ["art", "name"]},
            {"title": "Firma", "properties": {"art": {"const": "f"}, "firma": TEXT}, "required": ["art", "firma"]},
        ]
    ).root
    assert [(choice.value, choice.label.de) for choice in group.members[0].choices] == [("p", "Mensch"), ("f", "Firma")]
    assert names(group, {}) == ["art"]
    assert (names(group, {"art": "f"}), required(group, {"art": "f"})) == (["art", "firma"], {"art", "firma"})


def test_variants_that_are_values_are_choices_with_their_titles():
    made = fields(properties={"a": {"oneOf": [{"const": 1, "title": "Eins"}, {"const": 2}]}})
    assert [(choice.value, choice.label.de) for choice in made["/a"].choices] == [(1, "Eins"), (2, "2")]


def test_variants_that_only_require_what_is_there_anyway_are_left_to_the_judge():
    group = outline(properties={"a": TEXT, "b": TEXT}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]).root
    assert (names(group, {}), group.variants) == (["a", "b"], ())


def test_a_schema_within_itself_is_cut_where_it_begins_again_and_named():
    made = outline(
        properties={"person": {"$ref": "#/$defs/person"}},
        **{"$defs": {"person": {"type": "object", "properties": {"name": TEXT, "kind": {"$ref": "#/$defs/person"}}}}},
    )
    assert "/person/name" in dict(made.walk())
    assert made.left_out == ("/person/kind",)


def test_a_reference_out_of_the_document_is_named_and_nothing_is_fetched():
    assert outline(properties={"a": {"$ref": "https://example.org/x.json"}}).left_out == ("/a",)


def test_depth_and_number_are_bounded():
    deep = TEXT
    for _ in range(DEEPEST + 5):
        deep = {"type": "object", "properties": {"a": deep}}
    assert outline(properties={"a": deep}).left_out
    with pytest.raises(ConfigurationError, match="too large"):
        outline(properties={f"f{number}": TEXT for number in range(MOST_FIELDS + 1)})


def test_references_that_multiply_end():
    defs = {
        f"d{n}": {"type": "object", "properties": {w: {"$ref": f"#/$defs/d{n + 1}"} for w in "abcd"}} for n in range(12)
    }
    with pytest.raises(ConfigurationError, match="too large"):
        outline(properties={"a": {"$ref": "#/$defs/d0"}}, **{"$defs": {**defs, "d12": TEXT}})


@needs_shared_data
def test_a_fim_schema_that_nobody_wrote_a_form_file_for_has_words_for_all_it_asks():
    schema = json.loads((SHARED / "fim/s00000121_BlaueKarte.cleaned.schema.json").read_text("utf-8"))
    made = dict(outline_of_json_schema(schema).walk())
    assert len(made) > 40
    assert [place for place, field in made.items() if field.title.de.startswith(("F0", "G0"))] == []
