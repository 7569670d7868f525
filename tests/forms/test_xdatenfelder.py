"""XDatenfelder files: what becomes of them, what is named because neither schema nor form can say it, and what is refused."""

from __future__ import annotations

from itertools import count
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_data import SHARED, needs_shared_data

from hub.errors import ConfigurationError, Malformed, TooLarge
from hub.forms.checking import check, form_of
from hub.forms.data_schema import DataCode
from hub.forms.document import document_of
from hub.forms.fim_form import fim_form, import_xdatenfelder
from hub.forms.form_file import NAME, questionnaire, read_form_file
from hub.forms.json_outline import outline_of_json_schema
from hub.forms.page import draw, page_of
from hub.forms.samples import completed
from hub.forms.xdatenfelder import is_xdatenfelder, read_xdatenfelder
from hub.validation.editions import load_version
from hub.validation.json.documents import compiled

FIXTURES = SHARED / "fim" / "xdatenfelder"
URI = "https://schema.rathaus-hub.example/fim/1/t.schema.json"
TWO, THREE = "urn:xoev-de:fim:standard:xdatenfelder_2", "urn:xoev-de:fim:standard:xdatenfelder_3.0.0"


def identity(id_, version="1.0"):
    return f"<x:identifikation><x:id>{id_}</x:id><x:version>{version}</x:version></x:identifikation>"


def field(id_, datatype="text", *, art="input", more="", version="1.0", title=None):
    return (
        f"<x:datenfeld>{identity(id_, version)}<x:name>{title or id_}</x:name>"
        f"<x:feldart><code>{art}</code></x:feldart><x:datentyp><code>{datatype}</code></x:datentyp>{more}</x:datenfeld>"
    )


def group(id_, *members, art="", version="1.0", more=""):
    kind = f"<x:art><code>{art}</code></x:art>" if art else ""
    inside = f"{identity(id_, version)}<x:name>Gruppe {id_}</x:name>{kind}{more}{''.join(members)}"
    return f"<x:datenfeldgruppe>{inside}</x:datenfeldgruppe>"


def times(number, element):
    return f"<x:struktur><x:anzahl>{number}</x:anzahl><x:enthaelt>{element}</x:enthaelt></x:struktur>"


def message(*members, space=THREE, root="stammdatenschema.0102", more=""):
    kind = root.partition(".")[0]
    return (
        f'<?xml version="1.0"?><x:xdatenfelder.{root} xmlns:x="{space}"><x:header/><x:{kind}>{identity("S1", "1.2")}'
        f"<x:name>Antrag</x:name>{more}{''.join(members)}</x:{kind}></x:xdatenfelder.{root}>"
    ).encode()


def made_of(*members, **kinds):
    return fim_form(read_xdatenfelder(message(*members, **kinds)), URI)


def alone(element, **kinds):
    """Return what becomes of one element that stands once: its schema, and the remarks at its place."""
    made = made_of(times("1:1", element), **kinds)
    (name,) = [each for each in made.schema["properties"] if each != "$schema"]
    return made.schema["properties"][name], [each.text.en for each in made.remarks if each.at == f"/{name}"]


def require_finished(made, seeds=3):
    """Assert that the schema compiles, the form draws, and permitted answers make documents that keep the schema."""
    judge = compiled(made.schema)
    form = questionnaire(outline_of_json_schema(made.schema), read_form_file(made.form, NAME))
    for seed in range(seeds):
        answers = completed(form, Random(seed), optional=seed / 2)
        document = document_of(form, answers, {"schema": URI})
        assert [error.message for error in judge.iter_errors(orjson.loads(document.content))] == []
        for step in form.steps:
            draw(page_of(step, answers), "de")
    return form


@needs_shared_data
def test_each_published_file_becomes_a_version_that_passes_what_shipped_ones_pass(tmp_path):
    found = sorted(FIXTURES.glob("*.xml"))
    assert len(found) >= 5
    for path in found:
        assert is_xdatenfelder(path.read_bytes())
        brought = import_xdatenfelder(path, tmp_path, standard=path.stem)
        folder = tmp_path / path.stem / brought.manifest.version
        (entry,) = load_version(folder).entries
        entry.judge.compile()
        findings = check(entry, read_form_file((folder / NAME).read_bytes(), NAME))
        # That the English is German is a finding of its own, and nothing that breaks the form.
        assert [(one.at, one.broken) for one in findings] == [("/translated", False)], path.name
        assert form_of(entry).written
        assert not form_of(entry).translated


@needs_shared_data
def test_titles_help_limits_and_rules_of_both_versions_are_taken_over():
    two = fim_form(read_xdatenfelder((FIXTURES / "v2-data-simple.xml").read_bytes()), URI)
    person = two.schema["properties"]["G00000082"]
    assert person["required"] == ["F60000227"]
    name = person["properties"]["F60000227"]
    assert (name["title"], name["description"], name["minLength"], name["maxLength"]) == (
        *("Familienname", "Hilfe Eingabe"),
        *(1, 120),
    )
    assert name["x-fim"]["id"] == "F60000227"
    assert any("R60000037" in each.text.en and "script" in each.text.en for each in two.remarks)
    three = fim_form(read_xdatenfelder((FIXTURES / "v3-data-simple.xml").read_bytes()), URI)
    street = three.schema["properties"]["G60000000086"]["properties"]["F60000000243"]
    assert (street["minLength"], street["maxLength"]) == (1, 55)
    assert "entweder Feldgruppe" in street["x-fim"]["rules"][0]["text"]
    assert "/G60000000086/F60000000243" in {each.at for each in three.remarks}
    assert b"Geben Sie an, wie die Stra" in three.form


def test_multiplicities_become_lists_and_what_is_compulsory():
    made = made_of(
        *(times("1:1", field("F1")), times("0:1", field("F2")), times("2:3", field("F3")), times("0:*", field("F4"))),
        *(times("1:n", group("G1", times("1:1", field("F5")))), times("0:0", field("F6"))),
    )
    properties = made.schema["properties"]
    assert made.schema["required"] == ["$schema", "F1", "F3", "G1"]
    assert (properties["F3"]["minItems"], properties["F3"]["maxItems"]) == (2, 3)
    assert properties["F4"]["type"] == "array"
    assert not {"minItems", "maxItems"} & set(properties["F4"])
    assert properties["G1"]["minItems"] == 1
    assert "F6" not in properties
    assert [each.text.en for each in made.remarks if each.at == "/F6"] == [
        "may never stand there (0:0) and is left out."
    ]
    require_finished(made)


def test_a_group_of_kind_x_is_one_of_its_members():
    either = group("G1", times("0:1", field("F1")), times("1:1", group("G2", times("1:1", field("F2")))), art="X")
    made = made_of(times("1:1", either))
    judge = compiled(made.schema)
    for value, valid in (
        *(({"F1": "a"}, True), ({"G2": {"F2": "a"}}, True), ({"F1": "a", "G2": {"F2": "a"}}, False)),
        *(({}, False), ({"F1": "a", "F9": "a"}, False)),
    ):
        assert judge.is_valid({"$schema": URI, "G1": value}) is valid, value
    form = require_finished(made)
    assert [label.de for label in form.steps[0].root.members[0].variants[0].labels] == ["F1", "Gruppe G2"]


def test_a_chosen_list_of_groups_that_may_be_empty_holds_something():
    inner = times("0:1", group("G3", times("0:1", field("F2"))))
    made = made_of(times("1:1", group("G1", times("0:1", field("F1")), times("0:*", group("G2", inner)), art="X")))
    assert [each.at for each in made.remarks] == ["/G1/G2"]
    require_finished(made, seeds=8)
    listed = times("0:*", group("G3", times("0:3", field("F2")), times("0:*", group("G4", times("0:1", field("F3"))))))
    require_finished(
        made_of(times("1:1", group("G1", times("0:1", field("F1")), times("0:*", group("G2", listed)), art="X"))), 8
    )


def test_codes_become_an_enum_and_their_words_stand_in_the_form():
    listed = "<x:werte>{}</x:werte>".format(
        "".join(
            f"<x:wert><x:code>{code}</x:code><x:name>{name}</x:name></x:wert>"
            for code, name in (("001", "Ja"), ("true", "Nein"), ("001", "Noch einmal"))
        )
    )
    schema, remarks = alone(field("F1", art="select", more=listed))
    assert schema["enum"] == ["001", "true"]
    assert remarks == ["a code of the list is missing or stands twice: 001"]
    made = made_of(times("1:3", field("F1", art="select", more=listed)))
    form = require_finished(made)
    assert [choice.label.de for choice in form.steps[0].root.members[0].members[0].choices] == ["Ja", "Nein"]


def test_a_list_that_is_only_named_takes_any_value_and_says_so():
    named = (
        "<x:codelisteReferenz><x:identifikation><x:id>C1</x:id></x:identifikation><x:genericodeIdentification>"
        "<x:canonicalVersionUri>urn:de:liste_1</x:canonicalVersionUri></x:genericodeIdentification></x:codelisteReferenz>"
    )
    schema, remarks = alone(field("F1", art="select", more=named), space=TWO)
    assert schema["type"] == "string"
    assert schema["x-fim"]["codeList"] == "urn:de:liste_1"
    assert remarks == ["the code list urn:de:liste_1 is missing or too long; any value is taken (--code-list)."]
    content = message(times("1:1", field("F1", art="select", more=named)), space=TWO)
    lists = {"urn:de:liste_1": (DataCode(code="a", name="Ja"), DataCode(code="b", name="Nein"))}
    made = fim_form(read_xdatenfelder(content), URI, lists)
    assert made.remarks == ()
    assert made.schema["properties"]["F1"]["enum"] == ["a", "b"]
    form = require_finished(made)
    assert [choice.label.de for choice in form.steps[0].root.members[0].choices] == ["Ja", "Nein"]


@pytest.mark.parametrize(
    ("datatype", "said", "expected", "remarks"),
    [
        ("num_int", '{"minValue":"1","maxValue":"10"}', {"type": "integer", "minimum": 1, "maximum": 10}, 0),
        ("num", '{"minValue":"0,5"}', {"type": "number", "minimum": 0.5}, 0),
        ("num", '{"minValue":"5","maxValue":"1"}', {"type": "number"}, 1),
        ("num", '{"minValue":"NaN"}', {"type": "number"}, 1),
        ("num_int", '{"minValue":"1.2","maxValue":"1.8"}', {"type": "integer"}, 1),
        ("text", '{"minLength":"2","maxLength":9}', {"type": "string", "minLength": 2, "maxLength": 9}, 0),
        ("text", '{"minLength":"9","maxLength":"2"}', {"type": "string"}, 1),
        ("text", '{"minLength":"999999999"}', {"type": "string"}, 1),
        ("text", '{"minValue":"1"}', {"type": "string"}, 1),
        ("text", '{"pattern":"[0-9]{5}"}', {"type": "string", "pattern": "^(?:[0-9]{5})$"}, 0),
        ("text", '{"pattern":"a|b","maxLength":"1"}', {"type": "string", "pattern": "^(?:a|b)$", "maxLength": 1}, 0),
        ("text", '{"pattern":"abc","maxLength":"1"}', {"type": "string", "maxLength": 1}, 1),
        ("text", '{"pattern":"(a+)+"}', {"type": "string"}, 1),
        ("text", '{"pattern":"("}', {"type": "string"}, 1),
        ("text", "mindestens drei Worte", {"type": "string"}, 1),
        ("text", '{"note":"siehe Gesetz"}', {"type": "string"}, 1),
        ("date", '{"minValue":"2020-01-01"}', {"type": "string", "format": "date"}, 1),
        ("quux", "", {"type": "string"}, 1),
    ],
)
def test_limits_are_taken_over_or_named(datatype, said, expected, remarks):
    schema, found = alone(field("F1", datatype, more=f"<x:praezisierung>{said}</x:praezisierung>"), space=TWO)
    assert {name: value for name, value in schema.items() if name not in ("title", "x-fim")} == expected
    assert len(found) == remarks, found


def test_fields_that_hold_no_answer_are_not_asked():
    made = made_of(
        times("1:1", field("F1", art="label", more="<x:inhalt>Bitte lesen.</x:inhalt>")),
        times("1:1", field("F2", art="hidden", more="<x:inhalt>v1</x:inhalt>")),
        times("1:1", field("F3", art="hidden")),
        times("1:1", field("F4", "obj")),
        times("1:1", group("G1", times("1:1", field("F5", art="label", title="Hinweis")))),
        times("1:1", field("F6", art="locked")),
    )
    form = require_finished(made)
    assert [member.name for step in form.steps for member in step.root.members] == ["F6"]
    assert form.intro.de == "Bitte lesen. Hinweis"
    document = document_of(form, {"F6": "x"}, {"schema": URI})
    assert document.value == {"$schema": URI, "F2": "v1", "F6": "x"}
    assert {each.at for each in made.remarks} == {"/F3", "/F4", "/G1", "/F6"}


def test_files_are_attachments_that_the_catalogue_declares(tmp_path):
    (tmp_path / "f.xml").write_bytes(
        message(times("1:1", field("F1", "file", title="Nachweis")), times("0:3", field("F2", "file")))
    )
    import_xdatenfelder(tmp_path / "f.xml", tmp_path, standard="f")
    (entry,) = load_version(tmp_path / "f" / "1.2").entries
    assert [(place.at, place.required) for place in entry.item.attachments] == [("/F1", True), ("/F2/*", False)]
    assert entry.item.attachments[0].label.de == "Nachweis"
    assert [one.broken for one in check(entry, read_form_file((entry.folder / NAME).read_bytes(), NAME))] == [False]
    made = made_of(
        times("1:1", field("F1", "file", more="<x:maxSize>10</x:maxSize><x:mediaType>application/pdf</x:mediaType>"))
    )
    assert made.attachments == ({"at": "/F1", "required": True, "label": {"de": "F1", "en": "F1"}},)
    assert [each.text.en for each in made.remarks] == [
        "the file's size is not judged here: 10",
        "the file's format is not judged here: application/pdf",
    ]
    assert require_finished(made).attachments[0].required


def test_the_same_id_twice_side_by_side_is_told_apart_by_version_or_number():
    made = made_of(*(times("1:1", field("F1", version=version)) for version in ("1.0", "1.1", "1.0")))
    assert set(made.schema["properties"]) == {"$schema", "F1", "F1V1.1", "F1_2"}
    assert {each.at for each in made.remarks} == {"/F1V1.1", "/F1_2"}
    # In another group it keeps its name, whatever version it has there: what it is, its path says.
    other = made_of(times("1:1", field("F1")), times("1:1", group("G1", times("1:1", field("F1", version="2")))))
    assert other.schema["properties"]["G1"]["properties"]["F1"]["x-fim"]["version"] == "2"
    assert other.remarks == ()


def test_a_group_within_itself_is_left_out_or_refused():
    inner = group("G1", times("1:1", field("F1")))
    made = made_of(times("1:1", group("G1", times("0:1", inner), times("1:1", field("F2")))))
    assert set(made.schema["properties"]["G1"]["properties"]) == {"F2"}
    assert [each.at for each in made.remarks] == ["/G1/G1"]
    with pytest.raises(ConfigurationError, match="must contain itself"):
        made_of(times("1:1", group("G1", times("1:1", inner))))


def test_an_element_that_is_only_named_is_looked_up_and_refused_where_it_is_nowhere():
    named = f"<x:datenfeld>{identity('F1')}</x:datenfeld>"
    made = made_of(times("1:1", field("F1", "num_int")), times("1:1", group("G1", times("1:1", named))))
    assert made.schema["properties"]["G1"]["properties"]["F1"]["type"] == "integer"
    assert [each.at for each in made_of(times("0:1", named), times("1:1", field("F2"))).remarks] == ["/F1"]
    for missing in (named, ""):
        with pytest.raises(ConfigurationError, match="not described in this file"):
            made_of(times("1:1", missing))


def test_groups_that_name_each_other_end():
    def named(id_):
        return f"<x:datenfeldgruppe>{identity(id_)}</x:datenfeldgruppe>"

    one, other = (
        group("G1", times("0:1", named("G2")), times("1:1", field("F1"))),
        group("G2", times("0:1", named("G1"))),
    )
    assert [each.at for each in made_of(times("1:1", one), times("0:1", other)).remarks if "itself" in each.text.en]
    # Each names the next one twice: 2^40 fields, if anybody wrote them out.
    doubled = [group(f"G{n}", times("1:1", named(f"G{n + 1}")), times("1:1", named(f"G{n + 1}"))) for n in range(40)]
    with pytest.raises(TooLarge):
        made_of(*(times("0:1", each) for each in [*doubled, group("G40", times("1:1", field("F1")))]))


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (message(times("3:1", field("F1"))), ConfigurationError, "ends before it begins"),
        (message(times("viele", field("F1"))), ConfigurationError, "number must stand once"),
        (message(times("-1:1", field("F1"))), ConfigurationError, "number must stand once"),
        (message(times("1:1", field(""))), ConfigurationError, "exactly one identification"),
        (message(times("1:1", field("../../etc"))), ConfigurationError, "exactly one identification"),
        (message(times("1:1", field("F1", version="a b"))), ConfigurationError, "version of F1"),
        (message(times("1:1", "<x:datenfeld/>")), ConfigurationError, "exactly one identification"),
        (
            message(space="urn:xoev-de:fim:standard:xdatenfelder_4.0.0"),
            ConfigurationError,
            "no message of XDatenfelder",
        ),
        (message(root="codeliste.0105"), ConfigurationError, "no message of XDatenfelder"),
        (message(root="stammdatenschema.0103"), ConfigurationError, "no message of XDatenfelder"),
        (b"<html/>", ConfigurationError, "no message of XDatenfelder"),
        (message().replace(b"?>", b'?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), Malformed, None),
        (message().replace(b"?>", b'?><!DOCTYPE a [<!ENTITY e "ee"><!ENTITY f "&e;&e;">]>'), Malformed, None),
        (message()[:-5], Malformed, None),
        (message(times("99999:*", field("F1"))), TooLarge, "compulsory"),
        (message(times("99:*", group("G1", times("99:*", field("F1"))))), TooLarge, "compulsory"),
        (message(*(times("0:1", field(f"F{n}")) for n in range(3_001))), TooLarge, "3000 fields"),
        (message("<x:a/>" * 400_001), TooLarge, "400000 elements"),
        (b"<a>" + b" " * 16 * 1024 * 1024 + b"</a>", TooLarge, None),
    ],
)
def test_hostile_and_odd_files_are_refused(content, kind, words):
    with pytest.raises(kind, match=words):
        read_xdatenfelder(content)


def test_a_deep_file_is_refused():
    inner = times("1:1", field("F1"))
    for number in range(30):
        inner = times("1:1", group(f"G{number}", inner))
    with pytest.raises(TooLarge):
        read_xdatenfelder(message(inner))


def test_enormous_lists_are_named_or_refused():
    def listed(number):
        return "<x:werte>" + "".join(f"<x:wert><x:code>{n}</x:code></x:wert>" for n in range(number)) + "</x:werte>"

    schema, remarks = alone(field("F1", art="select", more=listed(2_001)))
    assert schema["type"] == "string"
    assert "more than 2000" in remarks[0]
    with pytest.raises(TooLarge, match="20000 codes"):
        made_of(times("1:1", field("F1", art="select", more=listed(20_001))))


def test_what_nobody_knows_is_named_and_texts_are_harmless():
    odd = field(
        "F1",
        more="<x:neu>a</x:neu><y xmlns='urn:y'/><x:inhalt>a</x:inhalt><x:inhalt>b</x:inhalt>",
        title="A\u202e<b>\u0007B".replace("<", "&lt;").replace("\u0007", ""),
    )
    made = made_of(times("1:1", odd))
    named = [each.text.en for each in made.remarks]
    assert any("element neu" in each for each in named)
    assert any("element y" in each for each in named)
    assert any("inhalt stands more than once" in each for each in named)
    form = require_finished(made)
    assert form.steps[0].root.members[0].title.de == "A<b>B"
    assert "<b>" not in draw(page_of(form.steps[0], {}), "de")


_DATATYPES = ("text", "text_latin", "num", "num_int", "num_currency", "bool", "date", "time", "datetime", "file", "obj")
_TIMES = st.sampled_from(("0:1", "1:1", "1:1", "0:*", "1:3", "2:n", "0:0"))
_LIMITS = st.sampled_from(
    (
        "",
        'minLength="2" maxLength="40"',
        'pattern="[A-Z]{2}[0-9]{1,4}"',
        'minValue="-3,5" maxValue="9"',
        'maxValue="-5"',
    )
)
_CODES = "".join(f"<x:wert><x:code>{n:03}</x:code><x:name>Wert {n}</x:name></x:wert>" for n in range(3))
_FIELDS = st.tuples(
    st.sampled_from(_DATATYPES),
    st.sampled_from(("input", "input", "select", "label", "hidden", "locked")),
    _LIMITS,
    _TIMES,
)
_ELEMENTS = st.recursive(
    _FIELDS, lambda inner: st.tuples(st.lists(inner, max_size=3), st.sampled_from(("", "", "X")), _TIMES), max_leaves=14
)


def _written(element, numbers):
    if len(element) == 4:
        datatype, art, limits, number = element
        more = f"<x:praezisierung {limits}/><x:inhalt>AB12</x:inhalt>"
        more += f"<x:werte>{_CODES}</x:werte>" if art == "select" and datatype == "text" else ""
        return times(number, field(f"F{next(numbers) % 9}", datatype, art=art, more=more))
    members, art, number = element
    return times(number, group(f"G{next(numbers)}", *(_written(each, numbers) for each in members), art=art))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_ELEMENTS, min_size=1, max_size=4))
def test_permitted_answers_keep_the_schema_of_whatever_file(elements):
    numbers = count(1)
    require_finished(made_of(*(_written(each, numbers) for each in elements)))
