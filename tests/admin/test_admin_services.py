"""The pages of services: what citizens read, and its way from a draft to what is published."""

from __future__ import annotations

import html
import re

import pytest
from admin_pages import paged
from stage import staged

DOGS = "urn:de:fim:leika:leistung:99102013000000"


@pytest.fixture(scope="module")
def module_pages(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("services")) as stage, paged(stage) as pages:
        yield pages


@pytest.fixture(scope="module")
def draft(module_pages):
    """A draft in which Erika renames a service, as the page shows it."""
    erika = module_pages.as_("erika")
    made = erika.post("/services/versions", title="Hunde")
    assert made.status_code == 200, made.text
    number = made.url.split("?")[0].rpartition("/")[2]
    form = erika.get(f"/services/versions/{number}/entry", params={"key": DOGS})
    entry = html.unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", form.text, re.DOTALL)[1])
    return erika, number, entry


def revision(browser, number):
    page = browser.get(f"/services/versions/{number}").text
    return re.search(r'name="revision" value="(\d+)"', page)[1]


def test_what_citizens_read_is_found_by_their_words(module_pages):
    viktor = module_pages.as_("viktor")
    page = viktor.get("/services", params={"q": "Hund"})
    assert "Hund anmelden" in page.text
    assert "Reisepass" not in page.text
    assert "Was Bürger lesen" in page.text


def test_a_change_goes_from_a_draft_by_a_second_person_to_citizens_and_back(module_pages, draft):
    erika, number, entry = draft
    at = f"/services/versions/{number}"
    saved = erika.post(
        f"{at}/entry", revision=revision(erika, number), entry=entry.replace("Hund anmelden", "Hund melden")
    )
    assert saved.status_code == 200, saved.text
    assert "Hund anmelden → Hund melden" in saved.text
    refused = erika.post(f"{at}/approve", revision=revision(erika, number), text="")
    assert refused.status_code == 403
    anton = module_pages.as_("anton")
    approved = anton.post(f"{at}/approve", revision=revision(anton, number), text="gut")
    assert "Freigegeben von anton" in approved.text
    assert "Hund melden" not in erika.get("/services").text
    published = anton.post(f"{at}/publish", text="los")
    assert published.status_code == 200
    assert "Hund melden" in erika.get("/services").text
    assert "Hund melden" in erika.get(f"{at}/export").text
    taken_back = anton.post("/services/rollback", number="", text="doch nicht")
    assert "doch nicht" in taken_back.text
    assert "Hund melden" not in erika.get("/services").text


def test_an_entry_that_cannot_be_stored_comes_back_as_it_was_entered(module_pages):
    erika = module_pages.as_("erika")
    number = erika.post("/services/versions", title="x").url.split("?")[0].rpartition("/")[2]
    wrong = 'key: "99102013000000"\nname: <b>{'
    answer = erika.post(f"/services/versions/{number}/entry", revision=revision(erika, number), entry=wrong)
    assert answer.status_code == 422
    assert "name: &lt;b&gt;{" in answer.text
    gone = erika.post(f"/services/versions/{number}/drop", revision=revision(erika, number), key="99999999999999")
    assert gone.status_code == 404
    discarded = erika.post(f"/services/versions/{number}/discard", revision=revision(erika, number))
    assert discarded.status_code == 200


def test_a_file_is_put_in_or_is_the_whole(module_pages):
    erika = module_pages.as_("erika")
    one = b'services:\n- key: "99999999999999"\n  official: Neu\n  name: {de: Neues, en: New}\n'
    put = erika.post("/services/versions", title="", files={"file": ("neu.yaml", one)})
    assert "neu: Neues" in put.text
    assert "entfällt" not in put.text
    whole = erika.post("/services/versions", title="", whole="yes", files={"file": ("neu.yaml", one)})
    assert "entfällt: Hund anmelden" in whole.text


def test_a_tenants_people_read_and_do_not_change(module_pages):
    doris = module_pages.as_("doris")
    assert doris.get("/services").status_code == 200
    made = doris.post("/services/versions", title="meins")
    number = made.url.split("?")[0].rpartition("/")[2]
    dropped = doris.post(f"/services/versions/{number}/drop", revision="1", key=DOGS)
    assert dropped.status_code == 403
