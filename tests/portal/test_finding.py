"""From where one lives and what one needs to a service, and to the beginning of an application; never a dead end."""

from __future__ import annotations

import re

import pytest
from stage import BAUEN, TAUNUSSTEIN, WIESBADEN

DOG = "99102013000000"


@pytest.fixture
def visitor(portal_site):
    return portal_site.visitor()


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_the_start_page_says_what_this_is_and_asks_for_place_and_need(visitor):
    page = visitor.get("/")
    assert page.status_code == 200
    assert "Amt. Klick. Fertig." in page.text
    assert re.search(r'<form method="get" action="/leistungen"', page.text)
    assert {"ort", "q"} == set(re.findall(r'<input class="kern-form-input__input"[^>]* name="(\w+)"', page.text))
    assert page.cookies.get_dict() == {}


def test_place_and_need_lead_to_what_can_be_done_there(visitor):
    page = visitor.get("/leistungen", params={"ort": "Taunusstein", "q": "haus bauen"})
    assert page.url.split("?")[0].endswith("/leistungen")
    assert f"ars={TAUNUSSTEIN}" in page.url
    assert "Taunusstein" in text(page)
    assert re.search(rf'href="/leistung/{BAUEN[-14:]}\?ars={TAUNUSSTEIN}"', page.text)
    assert "hier online" in page.text


def test_a_name_that_several_places_have_asks_which_one(visitor):
    page = visitor.get("/leistungen", params={"ort": "Neu", "q": "hund"})
    links = re.findall(r'href="/leistungen\?ars=(\d{12})&amp;q=hund"', page.text)
    assert len(links) > 1
    assert len(links) == len(set(links))


def test_a_dissolved_municipality_leads_to_its_successor(visitor, portal_site):
    found = portal_site.portal.doors.places("Hanau", "de")
    old = next(each for each in found.areas if each.became)
    page = visitor.get("/orte", params={"q": old.ars, "was": "hund"})
    assert f"ars={old.became[0][0]}&amp;q=hund" in page.text
    assert f"ars={old.ars}&amp;" not in page.text


def test_what_is_not_found_offers_other_ways(visitor):
    nowhere = visitor.get("/orte", params={"q": "Xyzzyx"})
    assert nowhere.status_code == 200
    assert 'name="q" type="text" value="Xyzzyx"' in nowhere.text
    assert 'href="/leistungen"' in nowhere.text
    nothing = visitor.get("/leistungen", params={"q": "xyzzyx"})
    assert "nichts gefunden" in nothing.text
    assert 'href="/leistungen"' in nothing.text


def test_all_services_stand_below_their_topics(visitor):
    page = visitor.get("/leistungen")
    assert len(re.findall(r"<h2", page.text)) > 3
    assert len(re.findall(r'href="/leistung/\d{14}"', page.text)) > 30


def test_a_service_says_what_it_takes_before_anybody_says_where(visitor):
    page = visitor.get(f"/leistung/{DOG}")
    for words in ("Das brauchen Sie", "Kosten", "Rechtsgrundlage", "Wo wohnen Sie?", "Künstliche Intelligenz"):
        assert words in page.text
    assert "<button" in page.text
    assert 'action="/antrag"' not in page.text


def test_a_service_asks_for_the_place_and_goes_on_where_one_is_meant(visitor):
    page = visitor.get(f"/leistung/{BAUEN[-14:]}", params={"ort": "Taunusstein"})
    assert page.url.endswith(f"/leistung/{BAUEN[-14:]}?ars={TAUNUSSTEIN}")
    assert "Das geht hier online." in page.text
    assert 'action="/antrag"' in page.text


def test_what_is_not_online_says_who_does_it_and_what_to_bring(visitor, portal_site):
    services = portal_site.portal.doors.services("", TAUNUSSTEIN, "de", limit=50)["services"]
    key = next(each["key"] for each in services if not each["office"]["online"] and each["needs"])
    page = visitor.get(f"/leistung/{key[-14:]}", params={"ars": TAUNUSSTEIN})
    assert "noch nicht online" in page.text or "nicht hier" in page.text
    assert "Das brauchen Sie" in page.text
    assert 'action="/antrag"' not in page.text


@pytest.mark.parametrize(
    "path", ["/leistung/99999999999999", "/leistung/..%2f", f"/leistung/{DOG}?ars=123456789012", "/nichts", "/orte/x"]
)
def test_what_there_is_not_is_a_page_that_leads_on(visitor, path):
    page = visitor.get(path)
    assert page.status_code in {404, 422}
    assert 'href="/"' in page.text
    assert "/hub/v1" not in page.text


def test_a_language_is_kept_from_page_to_page_without_a_cookie(visitor):
    page = visitor.get("/", params={"lang": "en"})
    assert '<html lang="en">' in page.text
    assert '<input type="hidden" name="lang" value="en">' in page.text
    assert "Office. Click. Done." in page.text
    page = visitor.get(f"/leistung/{DOG}?ars={WIESBADEN}&lang=en")
    assert "What you need" in page.text
    assert f'href="/leistung/{DOG}?ars={WIESBADEN}&amp;lang=easy"' in page.text
    assert visitor.http.cookies.get_dict() == {}
    easy = visitor.get("/?lang=easy")
    assert '<html lang="de">' in easy.text
    assert "Sie brauchen kein Konto." in easy.text
    assert "Where do you live?" in visitor.get("/", headers={"Accept-Language": "fr, en-GB;q=0.8"}).text


def begun(visitor, service=BAUEN[-14:], ars=TAUNUSSTEIN, **more):
    page = f"/leistung/{service}?ars={ars}"
    return visitor.post("/antrag", at=page, service=service, ars=ars, allow_redirects=False, **more)


def test_an_application_begins_with_a_form_of_its_own(visitor, portal_site):
    answer = begun(visitor)
    assert (answer.status_code, answer.headers["location"]) == (303, "/antrag")
    page = visitor.get("/")
    assert "Sie haben einen Antrag angefangen" in page.text
    key = next(iter(visitor.http.cookies)).value
    again = begun(visitor)
    assert again.status_code == 409  # Nothing is lost by a second click elsewhere.
    replaced = begun(visitor, ersetzen="ja")
    assert replaced.status_code == 303
    assert next(iter(visitor.http.cookies)).value != key


def test_an_application_for_what_is_not_online_does_not_begin(visitor, portal_site):
    services = portal_site.portal.doors.services("", TAUNUSSTEIN, "de", limit=50)["services"]
    key = next(each["key"] for each in services if not each["office"]["online"])
    answer = begun(visitor, service=key)
    assert answer.status_code == 422
    assert visitor.http.cookies.get_dict() == {}


@pytest.mark.parametrize(
    ("path", "word"), [("/impressum", "Impressum"), ("/datenschutz", "Cookie"), ("/barrierefreiheit", "noch nicht")]
)
def test_pages_that_the_law_asks_for_are_there_and_say_what_is_missing(visitor, path, word):
    page = visitor.get(path)
    assert page.status_code == 200
    assert word in page.text
