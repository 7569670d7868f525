"""From what a browser sends to answers, page, faults and document."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from random import Random

import pytest
from shared_data import needs_shared_data
from stage import SCHEMAS

from hub.errors import Malformed, Text, TooLarge
from hub.forms.answers import LONGEST_VALUE, taken
from hub.forms.checking import form_of, outline_of, sample_fillings
from hub.forms.document import document_of
from hub.forms.faults import faults_of, judged_page, judging
from hub.forms.form_file import questionnaire
from hub.forms.page import draw, page_of
from hub.forms.samples import completed
from hub.validation.editions import load_version

KEEPER = [
    ("/halter/vornamen", " Zoe\u0308 "),
    ("/halter/familienname", "Mustermann"),
    ("/halter/geburtsdatum", "5.3.1980"),
    ("/halter/anschrift/strasse", "Heidestraße"),
    ("/halter/anschrift/hausnummer", "17a"),
    ("/halter/anschrift/postleitzahl", "65183"),
    ("/halter/anschrift/ort", "Wiesbaden"),
    ("/halter/doktorgrad", ""),
]
DOG = [
    ("/hunde/0/name", "Rex"),
    ("/hunde/0/rasse", "Mischling"),
    ("/hunde/0/geschlecht", "m"),
    ("/hunde/0/haltungSeit", "2026-10-01"),
    ("/hunde/0/gefaehrlich", "false"),
    ("/hunde/0/gewicht", "12,5"),
    ("/hunde/0/schulterhoehe", "45"),
]
REST = [("/?ermaessigung", "false"), ("/?lastschrift", "ueberweisung"), ("/erklaerungRichtig", "true")]


def answered(form, *submitted):
    answers = {}
    for step, pairs in submitted:
        answers = taken(form.step(step), answers, pairs, is_xml=form.is_xml)
    return answers


@pytest.fixture
def answers(dog):
    reduction, payment, declaration = REST
    return answered(
        dog,
        ("keeper", KEEPER),
        ("dogs", DOG),
        ("reduction", [reduction]),
        ("payment", [payment]),
        ("declaration", [declaration]),
    )


def faults(form, entry, answers):
    return {fault.at: fault for fault in faults_of(form, answers, sample_fillings(entry), judging(entry))}


def test_values_are_typed_as_the_document_has_them(answers):
    assert answers["halter"] == {
        "vornamen": "Zoë",
        "familienname": "Mustermann",
        "geburtsdatum": "1980-03-05",
        "anschrift": {"strasse": "Heidestraße", "hausnummer": "17a", "postleitzahl": "65183", "ort": "Wiesbaden"},
    }
    dog = answers["hunde"][0]
    assert (dog["gewicht"], dog["schulterhoehe"], dog["gefaehrlich"]) == (12.5, 45, False)
    assert answers["erklaerungRichtig"] is True


def test_whole_answers_make_a_document_that_keeps_the_schema(dog, dog_entry, answers):
    assert faults(dog, dog_entry, answers) == {}
    document = json.loads(document_of(dog, answers, sample_fillings(dog_entry)).content)
    assert document["$schema"] == dog_entry.uri
    assert "ermaessigung" not in document
    assert not [name for name in document if name.startswith("?")]


def test_a_name_that_the_step_does_not_have_is_refused(dog):
    for name in ("/hunde/0/name", "/halter/fremd", "halter", "/halter", "/$schema", "/halter/../x", "/?neu", ""):
        with pytest.raises(Malformed):
            answered(dog, ("keeper", [(name, "x")]))
    for name in ("/hunde/20/name", "/hunde/-1/name", "/hunde/x/name", "/hunde/*/name"):
        with pytest.raises(Malformed):
            answered(dog, ("dogs", [(name, "x")]))


def test_what_is_too_long_is_refused(dog):
    with pytest.raises(TooLarge):
        answered(dog, ("keeper", [("/halter/vornamen", "x" * (LONGEST_VALUE + 1))]))


def test_items_are_added_and_removed_within_the_bounds(dog):
    more = answered(dog, ("dogs", [*DOG, ("add", "/hunde")]))
    assert [bool(one) for one in more["hunde"]] == [True, False]
    assert [item.at for item in page_of(dog.step("dogs"), more).items[0].items] == ["/hunde/0", "/hunde/1"]
    assert answered(dog, ("dogs", [*DOG, ("add", "/hunde")]), ("dogs", [("remove", "/hunde/0")]))["hunde"] == [None]
    full = answered(dog, *[("dogs", [("add", "/hunde")])] * 30)
    assert len(full["hunde"]) == 20
    with pytest.raises(Malformed):
        answered(dog, ("dogs", [("add", "/halter")]))


def test_a_box_that_is_not_sent_is_empty_again(dog, answers):
    assert "erklaerungRichtig" not in taken(dog.step("declaration"), answers, [], is_xml=False)


def test_what_cannot_be_read_stays_in_its_field_and_is_refused_there(dog, dog_entry, answers):
    changed = taken(
        dog.step("dogs"),
        answers,
        [("/hunde/0/gewicht", "schwer"), ("/hunde/0/haltungSeit", "31.02.2026")],
        is_xml=False,
    )
    found = faults(dog, dog_entry, changed)
    assert {at: fault.text.de for at, fault in found.items()} == {
        "/hunde/0/gewicht": "Bitte geben Sie eine Zahl an, zum Beispiel 12,5.",
        "/hunde/0/haltungSeit": "Bitte geben Sie ein Datum an, zum Beispiel 31.12.2026.",
    }
    assert 'value="schwer"' in draw(page_of(dog.step("dogs"), changed), "de")


def test_a_fault_is_said_in_the_words_of_the_form_file(dog, dog_entry, answers):
    changed = taken(dog.step("dogs"), answers, [("/hunde/0/chipnummer", "276 09")], is_xml=False)
    assert changed["hunde"][0]["chipnummer"] == "27609"
    assert faults(dog, dog_entry, changed)["/hunde/0/chipnummer"].text.de == "Eine Chipnummer hat 15 Ziffern."


def test_a_character_that_the_standard_does_not_have_is_named(dog, dog_entry, answers):
    changed = taken(dog.step("keeper"), answers, [("/halter/familienname", "Must\u4e00er")], is_xml=False)
    fault = faults(dog, dog_entry, changed)["/halter/familienname"]
    assert (fault.rule, "U+4E00 an Stelle 5" in fault.text.de) == ("character.not-allowed", True)


def test_control_characters_are_refused_whatever_the_schema_says(house, house_entry):
    answers = {"vorhaben": {"bezeichnung": "a\u0000b"}}
    assert faults(house, house_entry, answers)["/vorhaben/bezeichnung"].rule == "character.not-allowed"


def test_what_is_missing_is_said_at_its_field_also_under_a_condition(dog, dog_entry, answers):
    changed = taken(dog.step("dogs"), answers, [("/hunde/0/gefaehrlich", "true"), ("/hunde/0/name", "")], is_xml=False)
    assert set(faults(dog, dog_entry, changed)) == {"/hunde/0/name", "/hunde/0/erlaubnisAktenzeichen"}


def test_a_page_tells_its_own_faults_alone(dog, dog_entry):
    page = judged_page(dog, dog.step("dogs"), {}, sample_fillings(dog_entry), judging(dog_entry))
    assert [at for at, _ in page.errors] == [
        f"/hunde/0/{name}" for name in ("name", "rasse", "geschlecht", "haltungSeit", "gefaehrlich")
    ]


def test_what_a_condition_closes_is_neither_shown_nor_sent(dog, dog_entry, answers):
    changed = taken(
        dog.step("reduction"), answers, [("/?ermaessigung", "true"), ("/ermaessigung/grund", "wachhund")], is_xml=False
    )
    assert b"wachhund" in document_of(dog, changed, sample_fillings(dog_entry)).content
    closed = taken(dog.step("reduction"), changed, [("/?ermaessigung", "false")], is_xml=False)
    assert b"wachhund" not in document_of(dog, closed, sample_fillings(dog_entry)).content
    assert len(page_of(dog.step("reduction"), closed).items) == 1


def test_what_was_answered_in_a_step_that_is_closed_now_is_not_sent():
    entry = load_version(SCHEMAS / "fim-personalausweis/1.2").entries[0]
    form = form_of(entry)
    answers = answered(
        form, ("reason", [("/anlass", "ablauf")]), ("before", [("/bisherigerAusweis/seriennummer", "L01X00T47")])
    )
    assert b"L01X00T47" in document_of(form, answers, sample_fillings(entry)).content
    first = taken(form.step("reason"), answers, [("/anlass", "erstmalig")], is_xml=False)
    assert b"L01X00T47" not in document_of(form, first, sample_fillings(entry)).content
    # A condition on a step makes nothing required that the schema can do without.
    assert [item.required for item in page_of(form.step("before"), {"anlass": "ablauf"}).items] == [False]


def test_errors_lead_to_their_fields_and_controls_are_tied_to_label_hint_and_error(dog, dog_entry):
    page = judged_page(dog, dog.step("keeper"), {}, sample_fillings(dog_entry), judging(dog_entry))
    html = str(draw(page, "de"))
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    links = re.findall(r'href="#([^"]+)"', html)
    described = " ".join(re.findall(r'aria-describedby="([^"]+)"', html)).split()
    assert links
    assert set(links) | set(described) | set(re.findall(r' for="([^"]+)"', html)) <= set(ids)
    assert "autocomplete=" in html
    assert "<script" not in html
    assert " style=" not in html


def test_a_page_in_english_has_no_german_words_of_its_own(dog):
    html = str(draw(page_of(dog.step("dogs"), {}), "en"))
    assert "Add Dog" in html
    assert not {"hinzufügen", "entfernen", "freiwillig"} & set(re.findall(r"\w+", html))


def test_the_building_application_is_written_in_its_order_with_references(house, house_entry):
    party = "/beteiligter/0"
    pairs = [
        (f"{party}/?0", "0"),
        (f"{party}/natuerlichePerson/familienname", "Müller"),
        (f"{party}/natuerlichePerson/vorname", "Ann"),
        *[
            (f"{party}/anschrift/{name}", value)
            for name, value in (
                ("ort", "Hanau"),
                ("postleitzahl", "63450"),
                ("hausnummer", "1"),
                ("strasse", 'Am "Markt"'),
            )
        ],
    ]
    answers = answered(
        house,
        (
            "project",
            [
                ("/vorhaben/bruttogrundflaeche", "1.184,50"),
                ("/vorhaben/gebaeudeklasse/code", "2"),
                ("/vorhaben/bezeichnung", "Müller & <Söhne>"),
            ],
        ),
        ("parties", pairs),
        ("roles", [("/bauherr/@beteiligter", "p1")]),
        ("procedure", [("/verfahren/code", "VER")]),
        ("site", [("/grundstueck/flurstueck/0/gemarkung", "Hanau"), ("/grundstueck/flurstueck/0/nummer", "112/3")]),
    )
    assert faults(house, house_entry, answers) == {}
    content = document_of(house, answers, sample_fillings(house_entry)).content.decode()
    assert "Müller &amp; &lt;Söhne&gt;" in content
    assert (
        content.index("nachrichtenkopf")
        < content.index("verfahren")
        < content.index("beteiligter")
        < content.index("vorhaben")
    )
    assert "1184.50<" in content


def test_faults_of_an_xml_page_are_told_though_other_pages_are_still_empty(house, house_entry):
    answers = answered(
        house, ("project", [("/vorhaben/bruttogrundflaeche", "-1"), ("/vorhaben/wohneinheiten", "1000")])
    )
    page = judged_page(house, house.step("project"), answers, sample_fillings(house_entry), judging(house_entry))
    assert {at for at, _ in page.errors} >= {
        "/vorhaben/bruttogrundflaeche",
        "/vorhaben/wohneinheiten",
        "/vorhaben/bezeichnung",
    }


def test_the_choice_of_a_party_offers_those_that_were_named(house):
    answers = {"beteiligter": [{"organisation": {"name": "Bau AG"}}, None]}
    html = str(draw(page_of(house.step("roles"), answers), "de"))
    assert "1. Bau AG" in html
    assert 'value="p2"' in html


@pytest.mark.parametrize(
    "attack", ['"><script>alert(1)</script>', "' onfocus='alert(1)", "</textarea><svg onload=alert(1)>"]
)
def test_nothing_that_somebody_wrote_becomes_more_than_a_value_on_the_page(dog, house, attack):
    for form in (dog, house):
        for step in form.steps:
            answers = completed(form, Random(3), optional=1)
            errors = {}
            for item in _leaves(page_of(step, answers).items):
                errors[item.at] = Text(attack, attack)
            html = str(draw(page_of(step, _spoilt(answers, attack), errors), "de"))
            plain = re.sub(r'"[^"]*"|>[^<]*<', "", html)
            assert "<script" not in html
            assert "<svg" not in html
            assert not re.search(r"\bon[a-z]+=", plain)


def _leaves(items):
    for item in items:
        yield item
        yield from _leaves(item.items)


def _spoilt(value, attack):
    if isinstance(value, dict):
        return {name: _spoilt(one, attack) for name, one in value.items()}
    if isinstance(value, list):
        return [_spoilt(one, attack) for one in value]
    return attack if isinstance(value, str) else value


@needs_shared_data
def test_a_page_of_thousands_of_fields_is_drawn_in_fifty_milliseconds(xbau):
    outlines = [outline_of(entry, root) for entry in xbau for root in entry.item.roots]
    largest = max(outlines, key=lambda one: sum(1 for _ in one.walk()))
    form = questionnaire(largest)
    step = replace(form.steps[0], root=form.whole)
    opened = completed(form, Random(1), optional=1)
    took = []
    for _ in range(5):
        before = time.process_time()
        html = draw(page_of(step, opened), "de")
        took.append(time.process_time() - before)
    fields = html.count(" name=")
    print(f"{fields} fields, {min(took):.3f} s of CPU")
    assert fields > 1_000
    # Busy machines take longer by some parts, a walk that is quadratic by many.
    assert min(took) < 0.05 * max(1.0, fields / 3_400) * 2


@pytest.mark.parametrize("name", ["/hunde/{}/name", "add", "remove"])
@pytest.mark.parametrize("number", ["9" * 5000, "1000", "-1", "\u0661", ""])
def test_a_number_of_an_item_that_no_list_has_is_refused(name, number):
    form = form_of(load_version(SCHEMAS / "fim-hundesteuer" / "1.2").entries[0])
    step = next(each for each in form.steps if any(member.name == "hunde" for member in each.root.members))
    pair = (name.format(number), f"/hunde/{number}")
    with pytest.raises(Malformed):
        taken(step, {"hunde": [{}]}, [pair], is_xml=form.is_xml)
