"""Form files: what is refused, with place and reason, and what ``check`` finds in those that can be read."""

from __future__ import annotations

import shutil

import pytest
import yaml
from stage import SCHEMAS

from hub.errors import ConfigurationError
from hub.forms.checking import check, form_of, outline_of
from hub.forms.form_file import questionnaire, read_form_file, said
from hub.forms.json_outline import outline_of_json_schema
from hub.validation.editions import load_version

PLACE = SCHEMAS / "fim-hundesteuer/1.2/form.yaml"
BOTH = {"de": "x", "en": "x"}


@pytest.fixture
def document():
    return yaml.safe_load(PLACE.read_text("utf-8"))


def read(document):
    return read_form_file(yaml.safe_dump(document, allow_unicode=True).encode(), "form.yaml")


def refused(document):
    with pytest.raises(ConfigurationError) as caught:
        read(document)
    return caught.value.members["place"], caught.value.detail.en


def test_a_file_that_is_no_yaml_or_names_a_key_twice_is_refused():
    for content in (b"a: [", b"format: 1\nformat: 1"):
        with pytest.raises(ConfigurationError, match="not YAML"):
            read_form_file(content, "form.yaml")


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        (lambda d: d.update(extra=1), "/", "unknown: extra"),
        (lambda d: d.pop("steps"), "/", "missing: steps"),
        (lambda d: d.update(format=2), "/format", "format 1 alone"),
        (lambda d: d["title"].pop("en"), "/title", "missing: en"),
        (lambda d: d["steps"][0]["fields"][2]["label"].update(de=" "), "/steps/0/fields/2/label/de", "a text must"),
        (lambda d: d["steps"][1].update(id="keeper"), "/steps", "two have one id"),
        (lambda d: d["steps"][0]["fields"][1].update(widget="magic"), "/steps/0/fields/1/widget", "allowed is"),
        (
            lambda d: d["steps"][0]["fields"][1].update(when={"at": "/x", "like": 1}),
            "/steps/0/fields/1/when",
            "exactly one",
        ),
        (
            lambda d: d["steps"][0]["fields"][1].update(when={"at": "/x", "in": 1}),
            "/steps/0/fields/1/when",
            "list of values",
        ),
        (lambda d: d["steps"][0]["fields"][1].update(at="halter"), "/steps/0/fields/1/at", "no place"),
        (lambda d: d["steps"][0]["fields"][1].update(at="/halter"), "/steps/0/fields/1/at", "asked or filled already"),
        (lambda d: d["steps"][2]["fields"][0].pop("kind"), "/steps/2/fields/0", "have kind and label"),
        (lambda d: d["filled"].append({"at": "/a", "with": "magic"}), "/filled/1/with", "allowed is"),
        (lambda d: d["attachments"][0].pop("required"), "/attachments/0", "missing: required"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(document, change, place, reason):
    change(document)
    where, why = refused(document)
    assert where == place
    assert reason in why


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        (
            lambda d: d["steps"][0]["fields"][1].update(at="/halter/doktorgra"),
            "/steps/0/fields/1/at",
            "no place /halter/doktorgra",
        ),
        (
            lambda d: d["steps"][0]["fields"][1]["choices"].update(Prof=BOTH),
            "/steps/0/fields/1/choices",
            "no such value: Prof",
        ),
        (lambda d: d["steps"][0]["fields"][2].update(item=BOTH), "/steps/0/fields/2/item", "is no list"),
        (lambda d: d["steps"][0]["fields"][0].update(widget="text"), "/steps/0/fields/0/widget", "is no value"),
        (lambda d: d["steps"][0].update(when={"at": "/nein", "is": 1}), "/steps/0/when", "no place /nein"),
        (lambda d: d["filled"].append({"at": "/nein", "with": "now"}), "/filled", "no place /nein"),
    ],
)
def test_what_does_not_fit_the_schema_is_told_with_its_place(document, change, place, reason, dog_entry):
    change(document)
    with pytest.raises(ConfigurationError) as caught:
        check(dog_entry, read(document))
    assert caught.value.members["place"] == place
    assert reason in caught.value.detail.en


def found(document, entry):
    return {(finding.at, finding.text.en.split(".")[0].split(":")[0]) for finding in check(entry, read(document))}


def test_a_required_place_that_nobody_asks_or_fills_is_found(document, dog_entry):
    fields = document["steps"][0]["fields"]
    fields[:] = [one for one in fields if one["at"] not in ("/halter/familienname", "/halter/anschrift/ort")]
    assert {at for at, _ in found(document, dog_entry)} == {"/halter/familienname", "/halter/anschrift/ort"}


def test_a_question_or_a_choice_without_words_of_both_languages_is_found(document, dog_entry):
    fields = document["steps"][1]["fields"]
    del fields[3]["choices"]["w"], fields[2]["label"]
    assert found(document, dog_entry) == {
        ("/hunde/*/rasse", "A label in both languages is missing"),
        ("/hunde/*/geschlecht", "These values lack words (choices)"),
    }


def test_a_branch_that_nobody_can_finish_is_found(document, dog_entry):
    field = document["steps"][1]["fields"][10]
    assert field["at"] == "/hunde/*/erlaubnisAktenzeichen"
    field["when"]["is"] = False
    assert any("[json.required]" in finding.text.en for finding in check(dog_entry, read(document)))


def test_easy_words_are_said_where_they_are_and_german_ones_elsewhere(dog):
    assert said(dog.title, "easy") == "Einen Hund anmelden"
    assert said(dog.steps[2].title, "easy") == "Ermäßigung"
    assert said(dog.title, "en") == "Register a dog for dog tax"


def test_without_a_form_file_each_group_is_a_step_in_the_schemas_words():
    outline = outline_of_json_schema(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Antrag",
            "properties": {"wer": {"title": "Wer?", "properties": {"a": {"type": "string"}}}, "b": {"type": "string"}},
        }
    )
    form = questionnaire(outline)
    assert [step.title.de for step in form.steps] == ["Wer?", "Angaben"]
    assert not form.written


def test_the_order_of_the_page_is_the_files_and_that_of_documents_the_schemas(dog):
    keeper = dog.steps[0].root.members[0]
    assert [member.name for member in keeper.members][:3] == ["doktorgrad", "vornamen", "familienname"]
    assert [member.name for member in dog.whole.members[:3]] == ["$schema", "halter", "hunde"]


def test_a_message_that_a_form_file_does_not_name_is_asked_in_the_schemas_words(tmp_path, house_entry):
    folder = tmp_path / "bauantrag" / "1.2"
    shutil.copytree(SCHEMAS / "bauantrag/1.2", folder)
    (folder / "form.yaml").write_text(
        (folder / "form.yaml").read_text("utf-8").replace(".antrag.0100", ".anders.0300"), "utf-8"
    )
    (entry,) = load_version(folder).entries
    assert not form_of(entry).written
    assert form_of(house_entry).written


ALIKE = {
    "not declared": ([], "does not know"),
    "otherwise required": ([{"at": "/ermaessigung/nachweisDatei", "required": True}], "differ on whether"),
    "declared elsewhere": (
        [{"at": "/ermaessigung/nachweisDatei"}, {"at": "/halter/familienname"}],
        "the form asks for a value alone",
    ),
    "as the form has it": ([{"at": "/ermaessigung/nachweisDatei"}], None),
}


@pytest.mark.parametrize(("declared", "reason"), ALIKE.values(), ids=ALIKE)
def test_attachments_are_held_against_those_of_the_catalogue(tmp_path, declared, reason):
    folder = tmp_path / "fim-hundesteuer/1.2"
    shutil.copytree(PLACE.parent, folder)
    manifest = yaml.safe_load((folder / "catalog.yaml").read_text("utf-8"))
    manifest["schemas"][0]["attachments"] = declared
    (folder / "catalog.yaml").write_text(yaml.safe_dump(manifest, allow_unicode=True))
    (entry,) = load_version(folder).entries
    found = [each.text.en for each in check(entry, read_form_file(PLACE.read_bytes(), "form.yaml"))]
    assert len(found) == (reason is not None)
    assert reason is None or reason in found[0]


def test_places_of_xml_are_compared_without_namespaces_and_items(tmp_path):
    folder = tmp_path / "bauantrag/1.2"
    shutil.copytree(SCHEMAS / "bauantrag/1.2", folder)
    form = read_form_file((folder / "form.yaml").read_bytes(), "form.yaml")
    (entry,) = load_version(folder).entries
    assert [each.at for each in check(entry, form)] == []
    manifest = yaml.safe_load((folder / "catalog.yaml").read_text("utf-8"))
    del manifest["schemas"][0]["attachments"]
    (folder / "catalog.yaml").write_text(yaml.safe_dump(manifest, allow_unicode=True))
    (entry,) = load_version(folder).entries
    assert [each.at for each in check(entry, form)] == ["/anlage/*/dateiname"]


@pytest.mark.parametrize(
    ("at", "more", "reason"),
    [
        ("/hunde/*/name", {"login": "given-name", "locked": True}, "outside lists"),
        ("/halter/doktorgrad", {"login": "title", "locked": True}, "outside lists"),
        ("/halter/anschrift/adresszusatz", {"locked": True}, "that login fills in"),
        ("/halter/anschrift", {"login": "town"}, "is no value"),
        ("/halter/vornamen", {"login": "shoe-size"}, "allowed is: given-name"),
    ],
)
def test_what_a_log_in_fills_is_a_value_and_locked_only_where_nothing_takes_its_place(document, at, more, reason):
    outline = outline_of(load_version(SCHEMAS / "fim-hundesteuer/1.2").entries[0])
    assert questionnaire(outline, read(document)).written
    next(each for step in document["steps"] for each in step["fields"] if each["at"] == at).update(more)
    with pytest.raises(ConfigurationError, match=reason):
        questionnaire(outline, read(document))
