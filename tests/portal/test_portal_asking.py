"""What the portal makes of a schema's form: files where the catalogue names attachments, and the hub's word at its question."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import SCHEMAS

from hub.forms.checking import sample_fillings
from hub.forms.document import document_of
from hub.forms.page import draw, page_of
from hub.forms.samples import completed
from hub.portal.asking import all_items, asked_form, fillings_of, violations_of
from hub.portal.review import sections_of
from hub.validation.editions import load_version

FILES = sorted(SCHEMAS.glob("*/*/form.yaml"))
FORMS = {f"{path.parent.parent.name} {path.parent.name}": path.parent for path in FILES}
_MADE: dict = {}


def form(name):
    if name not in _MADE:
        _MADE[name] = asked_form(load_version(FORMS[name]).entries[0])
    return _MADE[name]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("bauantrag 1.2", {"/anlage/*/dateiname"}),
        ("fim-wohnsitz 1.2", {"/wohnungsgeber/bestaetigungDatei"}),
        ("fim-hundesteuer 1.2", {"/ermaessigung/nachweisDatei"}),
        ("fim-formloser-antrag 1.2", set()),
    ],
)
def test_files_are_asked_for_where_documents_name_them(name, places):
    assert form(name).file_places == places


def test_a_schema_without_a_form_asks_for_files_where_the_catalogue_says():
    asked = asked_form(load_version(SCHEMAS / "fim-wohnsitz/1.0").entries[0])
    assert asked.file_places == {"/wohnungsgeber/bestaetigungDatei"}
    page = "".join(draw(page_of(step, {}), "de") for step in asked.form.steps)
    assert 'type="file"' in page


def test_a_file_that_is_there_is_named_and_need_not_be_chosen_again():
    asked = form("fim-wohnsitz 1.2")
    answers = {"wohnungsgeber": {"name": "Meier", "bestaetigungDatei": "a<b>.pdf"}}
    page = draw(page_of(asked.form.step("landlord"), answers), "de")
    assert "Liegt bei: <bdi>a&lt;b&gt;.pdf</bdi>" in page
    assert 'name="detach" value="/wohnungsgeber/bestaetigungDatei"' in page
    assert 'type="file" value' not in page


def test_answers_forget_files_that_are_not_there():
    asked = form("bauantrag 1.2")
    answers = {"anlage": [{"dateiname": "a.pdf"}, {"dateiname": "b.pdf"}], "vorhaben": {"bezeichnung": "a.pdf"}}
    assert asked.named_files(answers) == {"a.pdf", "b.pdf"}
    assert asked.without_files(answers, {"b.pdf"}) == {
        "anlage": [{"dateiname": None}, {"dateiname": "b.pdf"}],
        "vorhaben": {"bezeichnung": "a.pdf"},
    }


def test_what_the_portal_fills_in_knows_place_and_moment():
    entry = form("bauantrag 1.2").entry
    now = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    found = fillings_of(entry, ars="064390015015", place="Taunusstein", authority="Kreis", form_id="u", now=now)
    assert (found["area"], found["today"], found["now"]) == ("06439015", "2026-07-02", "2026-07-02T00:30:00+02:00")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 2**32), st.floats(0, 1))
def test_permitted_answers_of_every_form_make_documents_without_a_fault(name, seed, optional):
    asked = form(name)
    answers = completed(asked.form, Random(seed), optional=optional)
    fillings = sample_fillings(asked.entry)
    assert list(asked.judge(document_of(asked.form, answers, fillings).content)) == []
    assert asked.faults(answers, fillings) == ()
    assert len(sections_of(asked.open_steps(answers), answers, "de")) == len(asked.open_steps(answers))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 2**32))
def test_what_the_hub_refuses_is_said_at_the_question(name, seed):
    """A refusal travels as JSON; led back, each of its violations stands at a question that is shown, or above one."""
    asked, random = form(name), Random(seed)
    answers = completed(asked.form, random, optional=0.7)
    shown = [
        item
        for step in asked.open_steps(answers)
        for item in all_items(page_of(step, answers).items)
        if isinstance(item.value, str) and not item.field.choices and not item.field.items_of
    ]
    spoilt = random.choice(shown)
    at = answers
    *above, last = [int(each) if each.isdecimal() else each for each in spoilt.at.split("/")[1:]]
    for each in above:
        at = at[each]
    at[last] = "\u4e00" * 30_000
    fillings = sample_fillings(asked.entry)

    def hub(content):
        return violations_of([each.as_json() for each in asked.judge(content)])

    assert asked.faults(answers, fillings, hub) == asked.faults(answers, fillings)
    assert any(
        spoilt.at == fault.at or spoilt.at.startswith(f"{fault.at}/") for fault in asked.faults(answers, fillings, hub)
    )
