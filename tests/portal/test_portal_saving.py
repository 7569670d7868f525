"""Save for later, and go on at another device: with reference and code together, and with neither alone."""

from __future__ import annotations

import pytest
from people import answered, begun, key_on, session_of, typed_on
from stage import CANARY

from hub.portal.session import KeptAttachment

ANSWERS = {"antragsteller": {"name": CANARY}}


def saved(site, **changes):
    """Somebody who saved an application; return the browser, and what the page showed."""
    visitor = begun(site)
    answered(site, visitor, answers=ANSWERS, **changes)
    page = visitor.post("/antrag/speichern", at="/antrag/speichern")
    assert page.status_code == 200, page.text
    return visitor, typed_on(page.text)


def test_what_was_saved_goes_on_at_another_device_with_its_attachments(portal_site):
    site = portal_site
    visitor = begun(site)
    session = answered(site, visitor, answers=ANSWERS)
    identifier = site.portal.storage.attach(session.key, [b"%PDF-1.7 Lageplan"], limit=10_000, now=site.clock())
    file = KeptAttachment(
        id=identifier, at="", name="plan.pdf", media_type="application/pdf", size=17, sha512="0" * 128
    )
    answered(site, visitor, attachments=(file,))
    explained = visitor.get("/antrag/speichern").text
    assert "verloren" in explained
    assert "28 Tage" in explained
    typed = typed_on(visitor.post("/antrag/speichern", at="/antrag/speichern").text)
    assert visitor.post("/antrag/beenden", at="/antrag/gesichert").status_code == 200
    assert not visitor.http.cookies

    other = site.visitor()
    asked = other.get(f"/weiter/{typed['reference'].lower().replace('-', '')}")
    assert f'value="{typed["reference"]}"' in asked.text
    answer = other.post("/weiter", csrf="", **typed, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/antrag")
    found = session_of(site, other)
    assert found.running.answers == ANSWERS
    (kept,) = found.running.attachments
    assert b"".join(site.portal.storage.attachment(found.key, kept.id)) == b"%PDF-1.7 Lageplan"


def test_what_was_saved_stays_until_its_end_and_saving_again_replaces_it_under_the_same_code(portal_site):
    site = portal_site
    visitor, typed = saved(site)
    answered(site, visitor, answers={"antragsteller": {"name": "neu"}})
    again = visitor.post("/antrag/speichern", at="/antrag/speichern")
    assert typed_on(again.text) == typed
    for _ in range(2):
        other = site.visitor()
        other.post("/weiter", csrf="", **typed, allow_redirects=False)
        assert session_of(site, other).running.answers == {"antragsteller": {"name": "neu"}}


def test_whoever_has_only_half_learns_nothing(portal_site):
    site = portal_site
    _, typed = saved(site)
    stranger = site.visitor()
    pages = {
        name: stranger.post("/weiter", csrf="", **given)
        for name, given in {
            "wrong code": {**typed, "code": "0000-0000-0000"},
            "wrong reference": {**typed, "reference": "0000-0000-0000"},
            "no code": {**typed, "code": "not a code"},
        }.items()
    }
    assert {answer.status_code for answer in pages.values()} == {422}
    bare = {answer.text.replace(typed["reference"], "0000-0000-0000") for answer in pages.values()}
    assert len(bare) == 1
    assert not stranger.http.cookies
    assert CANARY not in "".join(bare)


def test_who_guesses_codes_is_turned_away_for_a_while(portal_site):
    site = portal_site
    _, typed = saved(site)
    stranger = site.visitor()
    answers = [stranger.post("/weiter", csrf="", reference=typed["reference"], code="0000-0000-0000") for _ in range(6)]
    assert [answer.status_code for answer in answers[:5]] == [422] * 5
    assert (answers[5].status_code, 0 < int(answers[5].headers["retry-after"]) <= 900) == (429, True)
    assert "Minuten" in answers[5].text
    assert stranger.post("/weiter", csrf="", **typed).status_code == 429
    site.clock.pass_(minutes=16)
    assert stranger.post("/weiter", csrf="", **typed, allow_redirects=False).status_code == 303


def test_what_was_saved_is_deleted_when_its_person_says_so_or_its_time_is_over(portal_site):
    site = portal_site
    visitor, typed = saved(site)
    other = site.visitor()
    asked = other.post("/weiter", csrf="", **typed, do="delete")
    assert "löschen?" in asked.text
    assert other.post("/weiter/loeschen", csrf="", key=key_on(asked.text)).status_code == 200
    assert other.post("/weiter", csrf="", **typed).status_code == 422
    # The running form was another copy, and can be saved anew under the same code.
    typed_again = typed_on(visitor.post("/antrag/speichern", at="/antrag/speichern").text)
    assert typed_again == typed
    site.clock.pass_(days=28)
    assert other.post("/weiter", csrf="", **typed).status_code == 422
    assert site.portal.storage.expire(site.clock()) > 0


def test_a_key_of_something_else_deletes_nothing(portal_site):
    site = portal_site
    visitor = begun(site)
    running = session_of(site, visitor)
    site.visitor().post("/weiter/loeschen", csrf="", key=running.key.text())
    assert session_of(site, visitor).running == running.running


@pytest.mark.parametrize("path", ["/antrag/speichern", "/antrag/gesichert"])
def test_without_a_form_there_is_nothing_to_save(portal_site, path):
    answer = portal_site.visitor().get(path, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?note=form-ended")


def test_neither_codes_nor_names_stand_in_logs_or_on_disk(portal_site, caplog):
    site = portal_site
    caplog.set_level("DEBUG")
    _, typed = saved(site)
    other = site.visitor()
    other.post("/weiter", csrf="", **typed, allow_redirects=False)
    other.post("/weiter", csrf="", **{**typed, "code": "0000-0000-0000"})
    secrets = [CANARY, typed["code"], typed["code"].replace("-", ""), next(iter(other.http.cookies)).value]
    files = [path.read_bytes() for path in site.portal.settings.storage.folder.rglob("*") if path.is_file()]
    assert files
    assert [each for each in secrets if each in caplog.text or any(each.encode() in file for file in files)] == []
