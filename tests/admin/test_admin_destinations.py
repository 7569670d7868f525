"""Destinations, their keys and their test deliveries on the pages: what is shown, who may act, what lands in the audit log."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from stage import BAUEN, CANARY, TAUNUSSTEIN

from hub.app import development_authority
from hub.crypto.jwk import make_rsa_pair
from hub.model import EVERYTHING
from hub.model.reasons import NOT_PUBLIC


@pytest.fixture(scope="session")
def pairs():
    return make_rsa_pair("encryption")[0], make_rsa_pair("signing")[0]


@pytest.fixture
def files(pages, pairs):
    """A new key for sealing and one for signatures, as people upload them."""
    hub, now = pages.stage.hub, pages.stage.clock()
    authority = development_authority(hub.settings, now=now)
    sealing, signing = (authority.issue(pair, subject="Neu", now=now, days=400) for pair in pairs)
    return {"encryption": ("e.json", json.dumps(sealing)), "signature": ("s.json", json.dumps(signing))}


@pytest.fixture
def here(pages):
    return pages.stage.destination_id("Rheingau")


def _audit(pages, action):
    return [each.entry for each in pages.store.audit.entries(action=action, scope=EVERYTHING).items]


def _post(person, pages, path, **fields):
    """Post a form that was opened just now."""
    destination = pages.store.parties.destination(UUID(str(path.split("/")[2])))
    return person.post(path, revision=destination.revision, **fields)


def _new(pages, person, files, **fields):
    owner = pages.stage.cast["subscriber"]["client_id"]
    given = {"name": "Stadt Eltville", "email": "post@eltville.example", "owner": owner, "tenant": "06439", **fields}
    return person.post("/destinations/new", files=files, **given)


def test_a_destination_is_created_offered_and_put_into_service_by_two_people(pages, files):
    otto, doris = pages.as_("otto"), pages.as_("doris")
    page = _new(pages, otto, files)
    assert "Angelegt" in page.text
    made = re.search(r"/destinations/([0-9a-f-]{36})", page.url)[1]
    assert "Noch wird keine Leistung angeboten" in page.text
    saved = _post(
        otto, pages, f"/destinations/{made}/service", service="99012008001000", regions="06439", schemas="", replaces=""
    )
    assert "Gespeichert" in saved.text
    (offered,) = pages.store.parties.destination(UUID(made)).services
    assert (offered.identifier, offered.regions) == (BAUEN, ("DE06439",))
    assert any("bauantrag" in uri for uri, _ in offered.schemas)
    refused = otto.post(f"/destinations/{made}/status", status="active")
    assert refused.status_code == 422
    assert "zweite Person" in refused.text
    assert "Gespeichert" in doris.post(f"/destinations/{made}/status", status="active").text
    assert [entry.actor for entry in _audit(pages, "destination.")] == ["otto", "otto", "doris"]
    assert _audit(pages, "destination.change")[-1].before == {"status": "created"}


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"email": "nobody"}, {"tenant": "x"}, {"owner": "nobody"}],
)
def test_what_is_wrong_in_a_new_destination_comes_back_with_what_was_entered(pages, files, fields):
    page = _new(pages, pages.as_("otto"), files, **fields)
    assert page.status_code == 422
    assert "post@eltville.example" in page.text or "nobody" in page.text
    assert _audit(pages, "destination.create") == []


def test_a_weak_key_is_refused_with_its_reason(pages, files):
    weak = json.loads(files["encryption"][1])
    del weak["x5c"]
    page = _new(pages, pages.as_("otto"), {**files, "encryption": ("e.json", json.dumps(weak))})
    assert "Schlüsselprüfung 1" in page.text
    assert "x5c" in page.text


def test_name_and_contact_are_changed_and_audited_before_and_after(pages, here):
    otto = pages.as_("otto")
    assert "Bauaufsicht" in otto.get(f"/destinations/{here}/edit").text
    _post(otto, pages, f"/destinations/{here}/edit", name="Kreis, Bauamt", email="neu@example.org", phone="1")
    (entry,) = _audit(pages, "destination.change")
    assert entry.before["name"].startswith("Rheingau-Taunus-Kreis")
    assert entry.after["name"] == "Kreis, Bauamt"
    assert entry.after["contact"]["email"] == "neu@example.org"


FORMS = {
    "edit": {"name": "Anders", "email": "a@b.example"},
    "service": {"service": "99012008001000", "regions": TAUNUSSTEIN, "schemas": "", "replaces": ""},
    "service/drop": {"service": BAUEN},
    "adapter": {"name": "mailbox"},
}


@pytest.mark.parametrize(("form", "fields"), FORMS.items(), ids=FORMS)
def test_a_form_that_was_opened_before_somebody_elses_change_is_not_saved(pages, here, form, fields):
    otto = pages.as_("otto")
    opened = otto.get(f"/destinations/{here}" + ("" if form == "service/drop" else f"/{form}")).text
    revision = re.search(r'name="revision" value="([0-9]+)"', opened)[1]
    _post(otto, pages, f"/destinations/{here}/edit", name="Inzwischen", email="neu@example.org")
    changed = pages.store.parties.destination(here)
    late = otto.post(f"/destinations/{here}/{form}", revision=revision, **fields)
    assert late.status_code in {409, 422}
    assert "hat inzwischen jemand geändert" in late.text
    assert pages.store.parties.destination(here) == changed


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"service": "99012008001001x"}, "LeiKa-Schlüssel"),
        ({"service": "99999999999999"}, "steht nicht im Verzeichnis"),
        ({"regions": ""}, "mindestens ein Gebiet"),
        ({"regions": "06499"}, "kennt das Verzeichnis nicht"),
        ({"schemas": "https://nowhere.example/x"}, "steht nicht im Katalog"),
    ],
)
def test_an_offer_that_cannot_be_kept_says_why(pages, here, fields, said):
    given = {"service": "99012008001000", "regions": "06439", "schemas": "", "replaces": "", **fields}
    page = _post(pages.as_("otto"), pages, f"/destinations/{here}/service", **given)
    assert page.status_code == 422
    assert said in page.text


def test_an_offer_is_changed_and_dropped(pages, here):
    otto = pages.as_("otto")
    before = len(pages.store.parties.destination(here).services)
    assert "DE06439" in otto.get(f"/destinations/{here}/service", params={"service": BAUEN}).text
    _post(otto, pages, f"/destinations/{here}/service", service=BAUEN, regions=TAUNUSSTEIN, schemas="", replaces=BAUEN)
    assert len(pages.store.parties.destination(here).services) == before
    _post(otto, pages, f"/destinations/{here}/service/drop", service=BAUEN)
    assert BAUEN not in {each.identifier for each in pages.store.parties.destination(here).services}


def test_the_adapters_form_has_its_options_and_keeps_what_they_take(pages, here):
    otto = pages.as_("otto")
    form = otto.get(f"/destinations/{here}/adapter", params={"name": "sftp"}).text
    for name in ("host", "host_key", "key_file", "password_file", "allow_private_addresses"):
        assert f'name="o-{name}"' in form
    secret = str(pages.stage.data / "secrets" / "push")
    fields = {"o-url": "https://in.example/x", "o-secret_file": secret, "o-timeout": "12,5"}
    elsewhere = _post(
        otto, pages, f"/destinations/{here}/adapter", name="https", **{**fields, "o-secret_file": "/run/secrets/x"}
    )
    assert (elsewhere.status_code, "Legen Sie sie dort ab" in elsewhere.text) == (422, True)
    page = _post(otto, pages, f"/destinations/{here}/adapter", name="https", text="neues System", **fields).text
    assert "bis dahin bleibt der Zustellweg, wie er ist" in page
    assert pages.store.parties.destination(here).adapter_config.get("url") != "https://in.example/x"
    change = re.search(r'name="change" value="(\d+)"', page)[1]
    own = otto.post(f"/destinations/{here}/adapter/approve", change=change)
    assert (own.status_code, "selbst vorgeschlagen" in own.text) == (403, True)
    anton = pages.as_("anton")
    assert "1</span> Änderungen an Schlüsseln und Zustellwegen" in anton.get("/").text
    assert "https://in.example/x" in anton.get("/destinations/keys").text
    assert "Freigegeben und wirksam" in anton.post(f"/destinations/{here}/adapter/approve", change=change).text
    kept = pages.store.parties.destination(here).adapter_config
    assert kept == {"url": "https://in.example/x", "secret_file": secret, "timeout": 12.5, "envelope": 2}
    proposed, entry = _audit(pages, "adapter.")
    assert (proposed.actor, entry.actor, entry.after["proposed_by"]) == ("otto", "anton", "otto")
    assert entry.after["adapter_config"]["url"] == "https://in.example/x"
    assert "allow_http" in entry.before["adapter_config"]


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("https", {"o-url": "http://in.example/x"}, "url"),
        ("https", {"o-url": "https://in.example/x"}, "braucht eine der Optionen"),
        ("https", {"o-url": "https://in.example/x", "o-timeout": "soon"}, "ist eine Zahl"),
        ("folder", {"o-path": "relative"}, "Legen Sie sie dort ab"),
        ("nowhere", {}, "Es gibt keinen Adapter"),
    ],
)
def test_settings_that_an_adapter_does_not_take_are_not_kept(pages, here, name, fields, said):
    before = pages.store.parties.destination(here).adapter_config
    page = _post(pages.as_("otto"), pages, f"/destinations/{here}/adapter", name=name, **fields)
    assert page.status_code == 422
    assert said in page.text
    assert pages.store.parties.destination(here).adapter_config == before


def test_an_address_that_no_delivery_will_reach_is_refused_in_the_words_of_an_attempt(pages, here):
    before = pages.store.parties.destination(here).adapter_config
    fields = {"o-url": "https://192.168.1.9/x", "o-secret_file": str(pages.stage.data / "secrets" / "push")}
    page = _post(pages.as_("otto"), pages, f"/destinations/{here}/adapter", name="https", **fields)
    assert page.status_code == 422
    assert NOT_PUBLIC.text.de in page.text
    assert pages.store.parties.destination(here).adapter_config == before


def test_two_people_change_a_key(pages, here, files):
    otto, anton = pages.as_("otto"), pages.as_("anton")
    content = files["encryption"][1]
    page = otto.post(f"/destinations/{here}/key", files={"key": ("k.json", content)}, use="activate", text="läuft ab")
    assert "Eine zweite Person muss zustimmen" in page.text
    change = re.search(r'name="change" value="(\d+)"', page.text)[1]
    assert otto.post(f"/destinations/{here}/key/approve", change=change).status_code == 403
    assert "Warten auf eine zweite Person" in anton.get("/destinations/keys").text
    assert "1</span> Änderungen an Schlüsseln" in anton.get("/").text
    keys_page = pages.as_("erika").get("/destinations/keys").text
    assert "Freigeben kann, wer die Rolle" in keys_page
    assert "anton" in keys_page
    assert "Freigegeben und wirksam" in anton.post(f"/destinations/{here}/key/approve", change=change).text
    assert pages.store.parties.destination(here).encryption_kid == json.loads(content)["kid"]
    assert [entry.action for entry in _audit(pages, "key.")] == ["key.propose", "key.approve"]


def test_a_key_is_refused_with_the_policys_reason_and_nothing_is_proposed(pages, here, pairs):
    page = pages.as_("otto").post(f"/destinations/{here}/key", pasted=json.dumps(pairs[0]), use="store")
    assert page.status_code == 400
    assert "Dem Schlüssel fehlen Angaben: x5c" in page.text
    assert pages.store.audit.entries(action="key.", scope=EVERYTHING).total == 0


def test_the_ladder_names_who_has_to_act(pages):
    person = pages.as_("viktor")
    assert "Niemand muss etwas tun" in person.get("/destinations/keys").text
    pages.stage.clock.pass_(days=730 - 80)
    assert "Behörde: neues Zertifikat beantragen." in pages.as_("viktor").get("/destinations/keys").text
    pages.stage.clock.pass_(days=75)
    text = pages.as_("viktor").get("/destinations/keys").text
    assert "heute anrufen" in text
    assert "ladder__bar--danger" in text
    pages.stage.clock.pass_(days=10)
    assert "kein gültiger Schlüssel" in pages.as_("viktor").get("/destinations/keys").text


def test_a_test_delivery_shows_its_steps_once_a_minute(pages):
    here = pages.stage.destination_id("Wiesbaden")
    otto = pages.as_("otto")
    page = otto.post(f"/destinations/{here}/trial").text
    for said in ("Schlüssel geprüft", "Testinhalt versiegelt", "Zustellung versucht", "schickt der Hub nichts"):
        assert said in page
    assert "gerade getestet" in otto.post(f"/destinations/{here}/trial").text
    assert len(_audit(pages, "destination.trial")) == 1


def test_a_test_delivery_to_a_folder_leaves_a_sealed_package_there(pages, tmp_path):
    here = pages.stage.destination_id("Frankfurt")
    place, inbox = pages.store.parties.destination(here), tmp_path / "inbox"
    inbox.mkdir()
    pages.store.parties.replace_destination(replace(place, adapter_config={"path": str(inbox)}))
    page = pages.as_("otto").post(f"/destinations/{here}/trial").text
    assert "hat die Testzustellung bestätigt" in page
    (folder,) = inbox.iterdir()
    assert json.loads((folder / "manifest.json").read_text())["publicService"]["name"].startswith("TESTZUSTELLUNG")
    assert b"Testzustellung" not in (folder / "data.jwe").read_bytes()


def test_closing_a_circuit_is_audited_with_what_it_was(pages, here):
    now = pages.stage.clock()
    until = now + timedelta(hours=1)
    pages.store.circuits.change(here, lambda c: replace(c, failures=7, open_until=until), now)
    otto = pages.as_("otto")
    assert "geöffnet bis" in otto.get(f"/destinations/{here}").text
    otto.post(f"/destinations/{here}/circuit", text="repariert")
    (entry,) = _audit(pages, "circuit.close")
    assert entry.before == {"failures": 7, "open_until": until.isoformat()}
    assert entry.after["text"] == "repariert"


def test_decommissioning_takes_a_second_thought(pages, here):
    otto = pages.as_("otto")
    otto.post(f"/destinations/{here}/status", status="inactive")
    assert otto.post(f"/destinations/{here}/status", status="decommissioned").status_code == 422
    otto.post(f"/destinations/{here}/status", status="decommissioned", sure="yes")
    assert pages.store.parties.destination(here).status == "decommissioned"
    assert "Schlüssel hinterlegen" not in otto.get(f"/destinations/{here}").text


def test_the_state_of_callbacks_is_shown(pages, here):
    from store_values import callback

    now = pages.stage.clock()
    pages.store.callbacks.add(callback(party=str(here)))
    (taken,) = pages.store.callbacks.claim(now, lease=timedelta(minutes=2), node="n", limit=5)
    pages.store.callbacks.record(taken, sent=False, next_attempt_at=now + timedelta(hours=1), note="HTTP 503", now=now)
    text = pages.as_("viktor").get(f"/destinations/{here}").text
    assert "HTTP 503" in text
    assert "1 zu senden" in text


def test_destinations_are_searched_and_paged(pages):
    person = pages.as_("viktor")
    assert "Wiesbaden" in person.get("/destinations", params={"q": "wiesb"}).text
    assert "Kein Zustellpunkt passt dazu" in person.get("/destinations", params={"q": "zzz"}).text


def test_every_form_speaks_both_languages_and_shows_no_payload(pages, here):
    pages.stage.accept()
    otto = pages.as_("otto")
    own = ("", "/edit", "/service", f"/service?service={BAUEN}", "/adapter", "/adapter?name=smime_mail", "/key")
    for path in (*(f"/destinations/{here}{each}" for each in own), "/destinations/new", "/schemas/import"):
        texts = []
        for language in ("de", "en"):
            answer = otto.get(path, params={"lang": language})
            assert answer.status_code == 200, path
            assert f'<html lang="{language}">' in answer.text
            assert CANARY not in answer.text
            assert "style=" not in answer.text
            texts.append(answer.text)
        assert texts[0] != texts[1], path


def test_the_language_is_switched_on_the_same_list(pages):
    text = pages.as_("viktor").get("/destinations", params={"q": "wies", "note": "saved"}).text
    assert 'href="?q=wies&amp;lang=en"' in text or 'href="?q=wies&lang=en"' in text
