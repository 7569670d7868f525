"""The pages of the register of AI systems: from a draft by two people to what everybody reads, and what stays of it."""

from __future__ import annotations

import re

import pytest
from admin_pages import paged
from stage import staged
from test_ai_systems import CHAT

FILE = CHAT.replace("2026-10\n", '"2026-10"\n').encode()


@pytest.fixture(scope="module")
def module_pages(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("ai")) as stage, paged(stage) as pages:
        yield pages


def revision(browser, number):
    return re.search(r'name="revision" value="(\d+)"', browser.get(f"/ai/versions/{number}").text)[1]


def released(pages, number):
    anton, at = pages.as_("anton"), f"/ai/versions/{number}"
    assert "Freigegeben von anton" in anton.post(f"{at}/approve", revision=revision(anton, number), text="gut").text
    return anton.post(f"{at}/publish", text="los")


def test_a_system_goes_from_a_file_by_a_second_person_to_the_public_and_is_withdrawn(module_pages):
    erika = module_pages.as_("erika")
    made = erika.post("/ai/versions", title="Hunde", files={"file": ("neu.yaml", FILE)})
    assert (made.status_code, "neu: Hundesteuer-Vorprüfung" in made.text) == (200, True), made.text
    refused = erika.post("/ai/versions/2/approve", revision=revision(erika, 2), text="")
    assert refused.status_code == 403
    assert "dog-tax-check" not in erika.get("/ai").text
    assert released(module_pages, 2).status_code == 200
    assert "dog-tax-check" in module_pages.as_("viktor").get("/ai").text
    assert "number" not in erika.post("/ai/versions", title="weg").url
    withdrawn = erika.post("/ai/versions/3/withdraw", revision=revision(erika, 3), id="dog-tax-check")
    assert "zurückgezogen" in withdrawn.text
    assert released(module_pages, 3).status_code == 200
    page = module_pages.as_("viktor").get("/ai").text
    assert page.index("Zurückgezogen") < page.index("dog-tax-check")
    back = module_pages.as_("anton").post("/ai/rollback", number="1", text="alles weg")
    assert (back.status_code, "bleibt darin" in back.text) == (422, True)


def test_an_entry_that_cannot_be_stored_comes_back_with_what_was_entered(module_pages):
    erika = module_pages.as_("erika")
    number = erika.post("/ai/versions", title="Tippfehler").url.split("?")[0].rpartition("/")[2]
    form = erika.get(f"/ai/versions/{number}/entry")
    assert "notice: {de: …, en: …}" in form.text
    wrong = "id: x1\nkind: ai-system\nname: {de: <script>, en: b}\n"
    answer = erika.post(f"/ai/versions/{number}/entry", revision=revision(erika, number), entry=wrong)
    assert (answer.status_code, "&lt;script&gt;" in answer.text, "<script>," in answer.text) == (422, True, False)
    discarded = erika.post(f"/ai/versions/{number}/discard", revision=revision(erika, number))
    assert discarded.status_code == 200


def test_links_are_looked_at_on_demand_by_who_may_edit(module_pages):
    assert "Verweise geprüft" in module_pages.as_("erika").post("/ai/links").text
    assert module_pages.as_("viktor").post("/ai/links").status_code == 403
