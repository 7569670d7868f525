"""Every shipped form file: it can be used, permitted answers make valid documents, and each refusal finds its field."""

from __future__ import annotations

import copy
import re
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import SCHEMAS

from hub.errors import Malformed
from hub.forms.answers import taken
from hub.forms.checking import check, form_of, sample_fillings
from hub.forms.document import document_of
from hub.forms.faults import faults_of, judging
from hub.forms.form_file import read_form_file
from hub.forms.known import known_answers, value_at, with_known, with_locked
from hub.forms.outline import FieldKind
from hub.forms.page import draw, page_of
from hub.forms.readable import readable
from hub.forms.samples import completed
from hub.model import MediaType
from hub.services import ServiceCatalogue
from hub.validation.editions import load_version

FILES = sorted(SCHEMAS.glob("*/*/form.yaml"))
ENTRIES = {f"{path.parent.parent.name} {path.parent.name}": load_version(path.parent).entries[0] for path in FILES}
FORMS = {name: form_of(entry) for name, entry in ENTRIES.items()}


#: What people want most, by LeiKa key: each has a form of its own.
EVERYDAY = {
    "99085001012000": "fim-reisepass",
    "99115005011000": "fim-wohnsitz-ummeldung",
    "99115005070000": "fim-wohnsitz-abmeldung",
    "99115003012000": "fim-meldebescheinigung",
    "99049001001001": "fim-fuehrungszeugnis",
    "99049001001002": "fim-fuehrungszeugnis",
    "99027002012000": "fim-geburtsurkunde",
    "99059001104000": "fim-eheschliessung",
    "99102013010000": "fim-hundesteuer-aenderung",
    "99102013070000": "fim-hundesteuer-abmeldung",
    "99108001001000": "fim-bewohnerparkausweis",
    "99050012104000": "fim-gewerbeanmeldung",
    "99050012071000": "fim-gewerbeummeldung",
    "99050012070000": "fim-gewerbeabmeldung",
    "99025002005000": "fim-gaststaettenanzeige",
    "99025002056000": "fim-gaststaettenanzeige",
    "99089017152000": "fim-verlustanzeige",
    "99001009004000": "fim-sperrmuell",
    "99041004034000": "fim-kitaplatz",
    "99107023017000": "fim-wohngeld",
    "99042001012000": "fim-fischereischein",
    "99012027000000": "fim-genehmigungsfreistellung",
    # The whole building application, in XML, takes this procedure, too.
    "99012008001001": "fim-bauantrag-vereinfacht bauantrag",
}


def test_the_newest_version_of_each_shipped_schema_has_a_form():
    assert {path.parent.parent.name for path in FILES} >= {
        *("bauantrag", "fim-formloser-antrag", "fim-hundesteuer", "fim-personalausweis", "fim-wohnsitz"),
        *" ".join(EVERYDAY.values()).split(),
    }


def test_an_everyday_service_is_in_the_catalogue_and_one_schema_serves_it():
    catalogue = ServiceCatalogue.load(SCHEMAS.parent / "routing_rules")
    for key, standard in EVERYDAY.items():
        urn = catalogue.service(key).key
        serving = {one.manifest.standard for one in ENTRIES.values() if urn in (one.item.services or ())}
        assert serving == set(standard.split()), key


def test_what_a_form_asks_to_be_attached_is_what_its_schema_declares():
    for name, entry in ENTRIES.items():
        if entry.manifest.kind.media_type is MediaType.JSON:
            declared = {(each.at, each.required) for each in entry.item.attachments}
            assert {(each.at, each.required) for each in FORMS[name].attachments} == declared, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.parent.name)
def test_every_form_file_can_be_used_to_the_end(path):
    entry = ENTRIES[f"{path.parent.parent.name} {path.parent.name}"]
    assert [f"{one.at} {one.text.en}" for one in check(entry, read_form_file(path.read_bytes(), path.name))] == []


def _fields(field, at=""):
    for member in field.members:
        place = f"{at}/{member.name}"
        yield place, member
        yield from _fields(member, place)


def test_no_page_hints_in_the_schemas_one_language():
    for name, form in FORMS.items():
        for step in form.steps:
            for at, field in _fields(step.root):
                # What a schema says of itself is the same in both languages.
                assert field.filled or field.hint is None or field.hint.de != field.hint.en, (name, at, field.hint)


def test_what_is_filled_in_is_said_in_both_languages_to_who_reads_it():
    for name, form in FORMS.items():
        for at, field in _fields(form.known):
            assert not field.filled or at == "/$schema" or field.title.de != field.title.en, (name, at)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 2**32), st.floats(0, 1))
def test_permitted_answers_make_documents_that_keep_the_schema(name, seed, optional):
    form, entry = FORMS[name], ENTRIES[name]
    answers = completed(form, Random(seed), optional=optional)
    document = document_of(form, answers, sample_fillings(entry))
    assert [(one.rule, one.path, one.expected) for one in judging(entry)(document.content)] == []
    assert faults_of(form, answers, sample_fillings(entry), judging(entry)) == ()
    for step in form.steps:
        draw(page_of(step, answers), "en")
    assert readable(form, document.content, entry.manifest.kind.media_type, language="de")


def _leaves(items):
    for item in items:
        if item.field.is_leaf:
            yield item
        yield from _leaves(item.items)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 2**32))
def test_every_refusal_finds_its_field(name, seed):
    form, entry = FORMS[name], ENTRIES[name]
    random = Random(seed)
    answers = completed(form, random, optional=0.7)
    leaves = [
        item
        for step in form.steps
        if step.when is None or step.when.holds(answers)
        for item in _leaves(page_of(step, answers).items)
        if not item.at.startswith("/?") and "/?" not in item.at and item.field.kind is not FieldKind.BOOLEAN
    ]
    spoilt = random.choice(leaves)
    changed = copy.deepcopy(answers)
    at = changed
    *above, last = [int(token) if token.isdecimal() else token for token in spoilt.at.split("/")[1:]]
    for token in above:
        at = at[token]
    value = random.choice(["\u4e00\u202e", "x" * 30_000, "\u0007"])
    if isinstance(at, list):
        at[last] = value
    else:
        at[last] = value
    found = {fault.at for fault in faults_of(form, changed, sample_fillings(entry), judging(entry))}
    assert "" not in found
    assert spoilt.at in found or any(spoilt.at.startswith(f"{one}/") for one in found)


#: Somebody as a provider of log-ins knows her, with characters that forms have to take.
ERIKA = {
    "given-name": "Erika Zoë",
    "family-name": "Mustermann-Łuczak",
    "name": "Erika Zoë Mustermann-Łuczak",
    "title": "Dr.",
    "birth-date": "1964-08-12",
    "birth-place": "Köln",
    "street": "Große Bleiche",
    "house-number": "15",
    "postal-code": "65183",
    "town": "Wiesbaden",
    "email": "erika@example.org",
    "phone": "+49 611 310",
}


@pytest.mark.parametrize("name", sorted(FORMS))
def test_who_logs_in_need_not_type_what_is_known_of_her_and_it_keeps_the_schema(name):
    form, entry = FORMS[name], ENTRIES[name]
    known = known_answers(form, ERIKA)
    facts = {str(each.value) for each in known}
    # Rubbish is fetched from whoever lives there: its form asks for a name in one field.
    whole = {"name"} if name.startswith("fim-sperrmuell") else {"given-name", "family-name"}
    assert {ERIKA[each] for each in whole | {"street", "postal-code", "town", "email"}} <= facts
    answers = completed(form, Random(7), with_known(form, {}, known), optional=0)
    assert faults_of(form, answers, sample_fillings(entry), judging(entry)) == ()
    shown = {item.at: item.value for step in form.steps for item in _leaves(page_of(step, answers).items)}
    assert all(shown.get(each.at, each.value) == each.value for each in known)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_what_is_locked_stands_whatever_a_browser_sends_in_its_place(name):
    form = FORMS[name]
    known = known_answers(form, ERIKA)
    answers = with_known(form, {}, known)
    for each in known:
        step = form.step(each.step)
        sent = taken(step, answers, [(each.at, "1999-01-01")], is_xml=form.is_xml)
        kept = value_at(with_locked(form, sent, known), each.at)
        assert (kept == each.value) is each.locked, each.at
        if each.locked:
            page = draw(page_of(step, answers, locked={each.at}), "de")
            assert re.search(rf'<input [^>]*name="{each.at}"[^>]* readonly', page)
            # Nor can anything be put in the place of what it stands in.
            with pytest.raises(Malformed):
                taken(step, answers, [(each.at.rpartition("/")[0], "x")], is_xml=form.is_xml)


def test_what_somebody_does_for_herself_alone_is_locked_to_her():
    locked = {name.split()[0] for name, form in FORMS.items() for each in known_answers(form, ERIKA) if each.locked}
    # Where parents, agents or a firm may act for others, what a log-in says is an offer.
    assert locked == {
        *("fim-bewohnerparkausweis", "fim-eheschliessung", "fim-formloser-antrag", "fim-fuehrungszeugnis"),
        *("fim-geburtsurkunde", "fim-hundesteuer", "fim-hundesteuer-abmeldung", "fim-hundesteuer-aenderung"),
        "fim-meldebescheinigung",
    }
