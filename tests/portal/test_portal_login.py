"""Logging in at a form by an OpenID Connect provider: what stands in the form then, what the authority learns, what is tried.

The provider is a real server with real keys; it lies where a test says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from openid_provider import CLIENT_ID, SmallProvider, make_key, sign
from people import typed_on
from portal_login import CANARY, CERTIFICATE, CHOOSE, DEPART, ERIKA, SUBSTANTIAL, LoginPlace
from portal_way import HANAU, RESIDENCE, Someone, texts_of

from hub.forms.samples import completed
from hub.portal.login import LOGOUT, RETURN, TICKET_LIFE
from hub.portal.storage import FormKey, FormPurpose


@pytest.fixture
def entry(login_place) -> LoginPlace:
    """The place, with a provider that tells the truth of Erika."""
    honest = SmallProvider(clock=login_place.stage.clock, keys=login_place.provider.keys)
    for name in ("twist", "forge", "answer", "metadata", "requests"):
        setattr(login_place.provider, name, getattr(honest, name))
    login_place.provider.person = dict(ERIKA)
    return login_place


# What it is for


def test_who_is_logged_in_finds_what_is_known_and_cannot_change_what_is_locked(entry):
    person = entry.logged_in()
    page = person.page.text
    assert person.path == "/antrag/schritt/keeper"
    assert f"Angemeldet: Erika Łucja {CANARY} (BundID)" in page
    for at, value in {
        "/halter/familienname": CANARY,
        "/halter/geburtsdatum": "12.08.1964",
        "/halter/anschrift/strasse": "Am Markt",
        "/halter/anschrift/hausnummer": "12 a",
        "/halter/anschrift/postleitzahl": "65183",
    }.items():
        assert f'name="{at}" type="text" value="{value}"' in page, at
    assert re.search(r'name="/halter/familienname"[^>]* readonly', page)
    assert not re.search(r'name="/halter/anschrift/ort"[^>]* readonly', page)
    assert re.search(r'name="/halter/familienname"[^>]* aria-describedby="l/halter/familienname"', page)
    assert page.count("zu ändern ist es nur dort") == 3
    person.answer(("/halter/familienname", "Andere"), ("/halter/anschrift/ort", "Mainz"))
    answers = entry.form_of(person).answers
    assert (answers["halter"]["familienname"], answers["halter"]["anschrift"]["ort"]) == (CANARY, "Mainz")


def sent_as(entry: LoginPlace, person: Someone, who: str = "halter") -> Any:
    """Fill in the rest of a form and send it; return what the authority reads beside the data."""
    running = entry.form_of(person)
    asked = entry.asked(running.schema.uri)
    answers = completed(asked.form, Random(3), optional=0, forced={"/hunde/*/gefaehrlich": False})
    known = {**answers[who], **running.answers.get(who, {})}
    known["anschrift"] = {**answers[who]["anschrift"], "hausnummer": "12a"}
    for step in asked.open_steps(answers):
        person.get(f"/antrag/schritt/{step.id}")
        person.answer(*texts_of(asked, step, {**answers, who: known})[0])
        assert person.page.status_code == 200, (step.id, person.errors)
    review = person.get("/antrag/pruefen").text
    person.declare()
    assert person.path == "/antrag/quittung", (person.path, person.errors, person.page.status_code)
    return review, entry.arrived(re.search(r'id="reference">([0-9a-f-]{36})<', person.page.text)[1])


def test_the_authority_learns_who_logged_in_and_how_and_the_form_forgets_it(entry):
    person = entry.logged_in()
    review, (metadata, data, _) = sent_as(entry, person)
    assert f"Angemeldet hat sich Erika Łucja {CANARY} mit BundID. Vertrauensniveau: substanziell." in review
    said = metadata["author"]["authentication"]
    assert (said["method"], said["provider"], said["subject"]) == ("openid-connect", entry.provider.issuer, "p-1")
    assert (said["name"], said["level"], said["levelAsSaid"]) == (f"Erika Łucja {CANARY}", "substantial", SUBSTANTIAL)
    assert "level of assurance: substantial" in metadata["author"]["description"].lower()
    assert CANARY.encode() in data
    assert "login" not in entry.form_of(person).extra


def test_a_service_that_demands_a_level_gets_what_the_provider_signed_and_no_other_does(entry):
    _, (metadata, _, _) = sent_as(entry, entry.logged_in(service=CERTIFICATE), "antragsteller")
    (proof,) = metadata["dataSets"]
    said = metadata["author"]["authentication"]
    assert (said["evidence"], proof["schema"]["mimeType"]) == (proof["dataSetId"], "application/jose")
    assert proof["hash"]["content"] == hashlib.sha512(proof["content"].encode()).hexdigest()
    # Whoever has it can check it years later, by what the authority was told and nothing else.
    key = (ECKey if said["evidenceKey"]["kty"] == "EC" else RSAKey).import_key(said["evidenceKey"])
    claims = json.loads(jws.deserialize_compact(proof["content"], key, algorithms=["RS256", "ES256"]).payload)
    assert (claims["sub"], claims["iss"], claims["acr"]) == ("p-1", entry.provider.issuer, SUBSTANTIAL)
    assert "d" not in said["evidenceKey"]
    _, (metadata, _, _) = sent_as(entry, entry.logged_in())
    assert "dataSets" not in metadata
    assert "evidence" not in metadata["author"]["authentication"]


def test_without_logging_in_the_authority_learns_that_nobody_did(entry):
    person = entry.at_form()
    assert "müssen es aber nicht" in person.page.text
    review, (metadata, _, _) = sent_as(entry, person)
    assert "Angemeldet hat sich" not in review
    assert metadata["author"]["authentication"] == {"method": "none"}
    assert "not authenticated" in metadata["author"]["description"]


def test_what_a_service_demands_is_said_before_the_first_question_and_kept_to(entry):
    person = entry.someone()
    page = person.get(f"/leistung/{RESIDENCE}?ars={HANAU}").text
    assert "müssen Sie sich anmelden. Vertrauensniveau: substanziell." in page
    person = entry.at_form(RESIDENCE, HANAU)
    assert "Ohne Anmeldung weiter" not in person.page.text
    for path in ("/antrag", "/antrag/schritt/move"):
        person.get(path)
        assert person.path == CHOOSE
    entry.provider.person["acr"] = "http://eidas.europa.eu/LoA/low"
    person.get(DEPART)
    person.get("/antrag")
    assert "genügt für diesen Antrag nicht" in person.page.text
    # Nobody gets around it by sending at once.
    person.get("/antrag/speichern")
    person.post("/antrag/senden", [("stand", str(entry.form_of(person).revision)), ("erklaerung", "ja")])
    assert person.path == CHOOSE
    entry.provider.person["acr"] = SUBSTANTIAL
    person.get(DEPART)
    assert person.get("/antrag").url.split("/")[-2] == "schritt"


def test_a_level_that_was_not_said_or_is_unknown_is_none(entry):
    for said in (None, "urn:mine:top-secret", ["a"], 4):
        entry.provider.person = {**ERIKA, "acr": said}
        person = entry.logged_in()
        assert entry.form_of(person).extra["login"]["level"] == ""


def test_who_logs_out_leaves_nothing_that_came_from_the_log_in(entry):
    person = entry.logged_in()
    person.answer(("/halter/anschrift/ort", "Mainz"))
    person.get("/antrag/schritt/keeper")
    page = person.post(LOGOUT, []).text
    assert "Sie sind abgemeldet" in page
    assert f'href="{entry.provider.issuer}/logout?client_id={CLIENT_ID}' in page
    left = entry.form_of(person)
    assert left.answers["halter"]["anschrift"] == {"ort": "Mainz"}
    assert CANARY not in left.content().decode()
    assert "mit BundID anmelden" in person.get("/antrag/schritt/keeper").text.replace("Mit", "mit")


def test_what_the_schema_does_not_take_is_left_to_the_person(entry):
    entry.provider.person["family_name"] = "Кириллова"
    person = entry.logged_in()
    assert not re.search(r'name="/halter/familienname"[^>]* readonly', person.page.text)
    assert re.search(r'name="/halter/vornamen"[^>]* readonly', person.page.text)


def test_a_copy_that_is_saved_knows_nobody(entry):
    person = entry.logged_in()
    person.get("/antrag/speichern")
    person.post("/antrag/speichern", [])
    other = entry.someone()
    other.get("/weiter")
    other.post("/weiter", list(typed_on(person.page.text).items()))
    assert entry.form_of(other).extra.get("login") is None
    assert entry.form_of(other).answers["halter"]["familienname"] == CANARY
    assert entry.form_of(person).extra["login"]["name"].endswith(CANARY)


def test_a_provider_that_is_away_is_said_and_nothing_is_lost(entry, monkeypatch):
    from hub.errors import Text, Unavailable

    person = entry.at_form()
    (provider,) = entry.portal.login._providers.values()

    def silent(*_: Any, **__: Any) -> Any:
        raise Unavailable(Text("weg", "away"))

    monkeypatch.setattr(provider, "address", silent)
    page = person.get(DEPART)
    assert page.status_code == 503
    assert "antwortet gerade nicht" in page.text
    assert person.get("/antrag").status_code == 200


# Attacks


def refused(entry: LoginPlace, person: Someone, answer: requests.Response) -> None:
    assert answer.status_code == 401, answer.text
    assert "nicht geklappt" in answer.text
    assert "login" not in entry.form_of(person).extra


def came_back(person: Someone, address: str) -> requests.Response:
    return person.http.get(address, timeout=10)


def test_attack_login_csrf_an_answer_of_the_attackers_own_log_in(entry):
    attacker, victim = entry.at_form(), entry.at_form()
    back = entry.at_the_provider(entry.sent_away(attacker))
    refused(entry, victim, came_back(victim, back))  # Without a ticket.
    entry.sent_away(victim)
    refused(entry, victim, came_back(victim, back))  # With one of another log-in, which stays of use for its own.
    assert came_back(victim, entry.at_the_provider(entry.sent_away(victim))).status_code == 200


def test_attack_session_fixation_a_form_whose_key_the_attacker_knows(entry):
    attacker = entry.at_form()
    away = entry.sent_away(attacker)
    victim = entry.someone()
    victim.http.cookies.update(attacker.http.cookies)  # Planted, as if __Host- did not keep that out.
    assert came_back(victim, entry.at_the_provider(away)).status_code == 200
    assert entry.form_of(victim).extra["login"]["subject"] == "p-1"
    assert entry.form_of(attacker) is None
    assert attacker.get("/antrag").status_code == 404


def test_attack_replay_of_an_answer(entry):
    person = entry.at_form()
    back = entry.at_the_provider(entry.sent_away(person))
    ticket = {each.name: each.value for each in person.http.cookies}
    assert came_back(person, back).status_code == 200
    asked = entry.provider.requests.count("/token")
    person.http.cookies.update(ticket)
    assert came_back(person, back).status_code == 401
    assert entry.provider.requests.count("/token") == asked, "the code did not go out again"


def test_attack_an_answer_in_two_windows_at_once_counts_once(entry):
    person = entry.at_form()
    back = entry.at_the_provider(entry.sent_away(person))
    key = next(FormKey.read(each.value) for each in person.http.cookies if each.name.startswith("anmeldung"))
    storage, now = entry.portal.storage, entry.stage.clock()
    kept = storage.read(key, now=now)
    storage.write(key, b"{}", revision=kept.revision, now=now, ends=kept.ends)  # The other one was first.
    refused(entry, person, came_back(person, back))


def test_attack_an_answer_after_its_time(entry):
    person = entry.at_form()
    away = entry.sent_away(person)
    entry.stage.clock.pass_(seconds=TICKET_LIFE.total_seconds())
    refused(entry, person, came_back(person, entry.at_the_provider(away)))


LIES = {
    "wrong nonce": {"nonce": "x" * 43},
    "wrong audience": {"aud": "another-client"},
    "wrong issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1_700_000_000},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_attack_a_token_that_lies(entry, lie):
    entry.provider.twist = lambda claims: claims.update(lie)
    person = entry.at_form()
    refused(entry, person, person.get(DEPART))


def test_attack_a_token_signed_by_somebody_else(entry):
    other = make_key("k1")
    entry.provider.forge = lambda claims: sign(other, {"alg": "RS256", "kid": "k1"}, claims)
    person = entry.at_form()
    refused(entry, person, person.get(DEPART))


def test_attack_mix_up_an_answer_of_another_provider(entry):
    entry.provider.answer = lambda answer: answer.update(iss="https://evil.example")
    person = entry.at_form()
    refused(entry, person, person.get(DEPART))
    assert "/token" not in entry.provider.requests[-1], "the code was not handed over"


def test_attack_open_redirect_through_the_way_back(entry):
    person = entry.at_form()
    evil = "https://evil.example/"
    answer = person.http.get(
        f"{entry.base}{DEPART}",
        params=dict.fromkeys(("next", "return", "redirect_uri", "von"), evil),
        allow_redirects=False,
        timeout=10,
    )
    where = urlsplit(answer.headers["location"])
    assert f"{where.scheme}://{where.netloc}" == entry.provider.issuer
    assert parse_qs(where.query)["redirect_uri"] == [f"{entry.base}{RETURN}"]
    page = came_back(person, entry.at_the_provider(answer.headers["location"]) + f"&next={evil}").text
    assert 'content="0;url=/antrag/schritt/keeper"' in page
    assert "evil" not in page
    assert "code=" not in page


def test_attack_a_log_in_that_another_site_begins(entry):
    person = entry.at_form()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert person.http.get(f"{entry.base}{DEPART}", headers=foreign, timeout=10).status_code == 403
    # Nor is there one for who has no form: a browser brings the strict cookie to no page from elsewhere.
    assert requests.get(f"{entry.base}{DEPART}", timeout=10, allow_redirects=False).status_code == 404


def test_attack_cookies_that_are_no_tickets(entry):
    person = entry.at_form()
    back = entry.at_the_provider(entry.sent_away(person))
    (form,) = [each.value for each in person.http.cookies if each.name.startswith("antrag")]
    made_up = FormKey(identifier=FormKey.read(form).identifier, key=bytes(32)).text()
    for value in (form, made_up, FormKey.new().text(), "x" * 5_000, "ä", ""):
        answer = requests.get(
            back, headers={"Cookie": f"anmeldung-development={value}".encode()}, timeout=10, allow_redirects=False
        )
        assert answer.status_code == 401, value
    assert came_back(person, back).status_code == 200, "none of it spoilt the log-in"


def test_attack_the_cookie_of_the_log_in_opens_no_form(entry):
    person = entry.at_form()
    entry.sent_away(person)
    (ticket,) = [each for each in person.http.cookies if each.name.startswith("anmeldung")]
    stranger = entry.someone()
    stranger.http.cookies.set("antrag-development", ticket.value, domain="127.0.0.1", path="/")
    assert stranger.get("/antrag").status_code == 404
    for path in ("/weiter/loeschen", "/stand", "/freigabe/erteilen"):
        stranger.post(path, [("key", ticket.value), ("do", "yes")])
        assert entry.form_of(person) is not None
    kept = entry.portal.storage.read(FormKey.read(ticket.value), now=entry.stage.clock())
    assert kept is not None
    assert kept.purpose is FormPurpose.LOGIN


def test_attack_claims_that_are_no_texts_or_too_much(entry):
    entry.provider.person = {
        **ERIKA,
        "given_name": ["a"],
        "family_name": "x" * 10_000,
        "birthdate": "<script>",
        "email": "a\x00b@example.org",
        "address": "Am Markt 1",
    }
    person = entry.logged_in()
    assert entry.form_of(person).extra["login"]["facts"] == {"birth-date": "<script>"}
    assert "<script>" not in person.page.text


def test_attack_on_the_disk_and_in_the_log_there_is_nobody(entry, caplog):
    caplog.set_level("DEBUG")
    person = entry.logged_in()
    person.get("/antrag/speichern")
    person.post("/antrag/speichern", [])
    entry.provider.twist = lambda claims: claims.update(nonce="x")
    person.get(DEPART)
    folder = entry.portal.settings.storage.folder
    read = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(read) > 10_000
    for known in (CANARY, "1964-08-12", "erika@example.org", 'p-1"', "Am Markt"):
        assert known.encode() not in read
        assert known not in caplog.text
    assert "log-in refused: openid-refused nonce" in caplog.text
