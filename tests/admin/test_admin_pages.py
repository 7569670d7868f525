"""What the admin pages show, to whom, and what the buttons do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text
from stage import BAUEN, CANARY, TAUNUSSTEIN, WIESBADEN
from store_values import claim, record

from hub.model import EVERYTHING, Role
from hub.model.reasons import reason_for_people

EVERY_PAGE = (
    "/",
    "/account",
    "/health",
    "/runbooks",
    "/submissions",
    "/routing",
    "/routing/areas",
    "/routing/explain",
    "/routing/versions",
    "/routing/versions/1",
    "/destinations",
    "/destinations/keys",
    "/schemas",
    "/schemas/bauantrag/1.0",
    "/schemas/calendar",
    "/clients",
    "/dead",
    "/audit",
)
NEW_RULE = {
    "id": "idstein-ausweis",
    "area": "064390008008",
    "services": "99012008001000",
    "destination": "0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439",
    "valid_from": "",
    "valid_until": "",
    "note": "",
    "replaces": "",
}


def _draft(pages, person, **changes):
    answer = person.post("/routing/versions", title="Änderung")
    number = int(re.search(r"/versions/(\d+)", answer.url)[1])
    answer = person.post(f"/routing/versions/{number}/rule", revision=1, **{**NEW_RULE, **changes})
    return number, answer


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_no_page_without_a_log_in(pages, path):
    answer = pages.browser("viktor").get(path, allow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/admin/login")


def test_every_page_works_in_both_languages_and_shows_no_payload(pages):
    pages.stage.accept()
    person = pages.as_("viktor")
    for path in EVERY_PAGE:
        for language in ("de", "en"):
            answer = person.get(path, params={"lang": language})
            assert answer.status_code == 200, (path, answer.text[:500])
            assert f'<html lang="{language}">' in answer.text
            assert CANARY not in answer.text
            assert answer.headers["cache-control"] == "no-store"


def test_what_is_not_there_is_a_page_too(pages):
    person = pages.as_("viktor")
    for path in ("/submissions/x", "/destinations/00000000-0000-0000-0000-000000000000", "/routing/versions/99"):
        answer = person.get(path)
        assert answer.status_code == 404
        assert "Zur Übersicht" in answer.text


def test_everything_else_goes_to_the_interfaces(pages):
    root = pages.base.removesuffix("/admin")
    assert pages.browser("viktor").http.get(f"{root}/hub/v1/health", timeout=5).status_code == 418
    assert pages.browser("viktor").http.get(f"{root}/administration", timeout=5).status_code == 418


def test_a_wrong_password_is_told_and_throttled(pages):
    browser = pages.browser("viktor")
    assert browser.log_in("falsch geraten!!").status_code == 401
    for _ in range(4):
        browser.log_in("falsch geraten!!")
    assert browser.log_in().status_code == 429


def test_a_session_ends_by_log_out_and_by_time(pages):
    person = pages.as_("viktor")
    pages.stage.clock.pass_(minutes=31)
    assert person.get("/").url.endswith("/login")
    person = pages.as_("viktor")
    person.post("/logout")
    assert person.get("/").url.endswith("/login")


def test_the_trace_of_a_submission_tells_every_step_and_reader(pages):
    accepted = pages.dead_letter()
    message_id = accepted.submission.submission_id
    pages.store.audit.record_read(client="fachverfahren-7", message_id=message_id, what="data", now=pages.stage.clock())
    text = pages.as_("viktor").get(f"/submissions/{message_id}").text
    for said in ("Vorgang angelegt", "eingereicht", "abgelehnt", "fachverfahren-7", "Warum diese Stelle?"):
        assert said in text, said


def test_submissions_are_found_by_id_area_state_and_destination(pages):
    pages.stage.accept()
    pages.stage.accept(area=WIESBADEN)
    person = pages.as_("viktor")
    here = pages.stage.destination_id("Rheingau")
    some_id = str(pages.store.submissions.messages(destination_ids=[here]).items[0].id)
    for query in ({"q": some_id[-8:]}, {"q": some_id.upper()}, {"area": "06439"}, {"destination": str(here)}):
        found = person.get("/submissions", params=query).text
        assert "1 Einreichungen" in found, query
        assert some_id in found
    assert "2 Einreichungen" in person.get("/submissions", params={"state": "submitted", "days": "1"}).text
    assert "0 Einreichungen" in person.get("/submissions", params={"state": "rejected"}).text


def test_the_overview_draws_what_happened(pages):
    pages.dead_letter()
    text = pages.as_("viktor").get("/").text
    assert 'class="bar bar--accepted"' in text
    assert 'class="bar bar--failed"' in text
    assert "style=" not in text


@pytest.fixture
def no_table(stage):
    """A hub that nobody gave a routing table yet, as production begins."""
    database = create_engine(stage.hub.settings.database)
    with database.begin() as connection:
        for table in ("routing_activations", "routing_versions"):
            connection.execute(text(f"DELETE FROM {table}"))
    database.dispose()


def test_from_no_table_at_all_the_pages_lead_two_people_to_an_active_one(no_table, pages):
    editor, approver = pages.as_("erika"), pages.as_("anton")
    for path in ("/", "/routing", "/routing/versions", "/routing/explain", "/routing/areas", "/destinations"):
        assert editor.get(path).status_code == 200, path
    assert "machen Sie unter „Entwürfe und Versionen“ einen Entwurf" in editor.get("/routing").text
    assert "Legen Sie unten den ersten Entwurf an" in editor.get("/routing/versions").text
    asked = editor.get("/routing/explain", params={"ars": "064390008008", "service": "99012008001000"})
    assert asked.status_code == 200
    drafted = editor.post("/routing/versions", title="Die erste")
    number = int(re.search(r"/versions/(\d+)", drafted.url)[1])
    assert "Legen Sie mit „Neue Regel“ die erste an" in drafted.text
    assert "Gespeichert" in editor.post(f"/routing/versions/{number}/rule", revision=1, **NEW_RULE).text
    shown = approver.get(f"/routing/versions/{number}")
    assert "Prüfung" in shown.text
    assert "Freigegeben" in approver.post(f"/routing/versions/{number}/approve", revision=2, text="gelesen").text
    assert "Aktiviert" in approver.post(f"/routing/versions/{number}/activate").text
    pages.stage.clock.pass_(seconds=5)
    assert [rule.id for rule in pages.tables.active(pages.stage.clock()).rules] == ["idstein-ausweis"]
    assert "Noch gilt keine" not in editor.get("/routing").text


def test_two_people_bring_a_rule_into_force_and_back(pages):
    editor, approver = pages.as_("erika"), pages.as_("anton")
    number, answer = _draft(pages, editor)
    assert "Gespeichert" in answer.text
    assert "1 geänderte Regeln" in answer.text
    refused = editor.post(f"/routing/versions/{number}/approve", revision=2, text="selbst")
    assert refused.status_code == 403
    assert "Freigegeben" in approver.post(f"/routing/versions/{number}/approve", revision=2, text="gelesen").text
    assert "Aktiviert" in approver.post(f"/routing/versions/{number}/activate").text
    assert len(pages.tables.at(pages.stage.clock())) == len(pages.tables.table(1)) + 1
    pages.stage.clock.pass_(seconds=5)
    assert "Zurückgenommen" in approver.post("/routing/rollback", text="doch nicht").text
    assert pages.tables.activation(pages.stage.clock()).number == 1


def test_a_contradiction_is_shown_and_cannot_be_approved(pages):
    editor, approver = pages.as_("erika"), pages.as_("anton")
    number, answer = _draft(pages, editor, area="06439", destination="7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")
    assert "verschiedene Zustellpunkte" in answer.text
    answer = approver.post(f"/routing/versions/{number}/approve", revision=2, text="trotzdem")
    assert answer.status_code == 422
    assert pages.tables.version(number).approved_by is None


def test_a_rule_that_cannot_be_stored_comes_back_with_what_was_entered(pages):
    _, answer = _draft(pages, pages.as_("erika"), area="1234")
    assert answer.status_code == 422
    assert 'value="idstein-ausweis"' in answer.text


def test_a_rule_is_changed_and_removed(pages):
    editor = pages.as_("erika")
    number, _ = _draft(pages, editor)
    assert 'value="064390008008"' in editor.get(f"/routing/versions/{number}/rule", params={"id": NEW_RULE["id"]}).text
    changed = {**NEW_RULE, "note": "neu", "replaces": NEW_RULE["id"]}
    editor.post(f"/routing/versions/{number}/rule", revision=2, **changed)
    assert next(rule for rule in pages.tables.table(number) if rule.id == NEW_RULE["id"]).note == "neu"
    editor.post(f"/routing/versions/{number}/drop", revision=3, id=NEW_RULE["id"])
    assert pages.tables.table(number).version == pages.tables.table(1).version


@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_an_exported_table_can_be_uploaded_again(pages, kind):
    editor = pages.as_("erika")
    content = editor.get("/routing/versions/1/export", params={"format": kind}).content
    answer = editor.post("/routing/versions", title="Rundreise", files={"file": (f"t.{kind}", content)})
    assert "0 Änderungen" in answer.text


def test_an_unreadable_upload_says_why(pages):
    answer = pages.as_("erika").post("/routing/versions", title="x", files={"file": ("t.csv", b"a;b\n1;2\n")})
    assert answer.status_code == 400
    assert "Die erste Zeile" in answer.text


def test_why_an_authority_is_responsible(pages):
    text = pages.as_("viktor").get("/routing/explain", params={"ars": TAUNUSSTEIN, "service": BAUEN}).text
    assert "rtk-bauaufsicht" in text
    assert "Zuständig: Rheingau" in text
    assert pages.as_("viktor").get("/routing/explain", params={"ars": "1", "service": BAUEN}).status_code == 200


def test_areas_are_found_by_the_beginning_of_their_name(pages):
    person = pages.as_("viktor")
    assert "Taunusstein" in person.get("/routing/areas", params={"q": "taunuss"}).text
    assert "Rheingau-Taunus-Kreis" in person.get("/routing/areas", params={"below": "064"}).text
    part = person.get("/routing/areas", params={"q": "idst"}, headers={"HX-Request": "true"}).text
    assert "Idstein" in part
    assert "<html" not in part


def test_an_operator_sends_dead_letters_again(pages):
    one = pages.dead_letter()
    operator = pages.as_("otto")
    page = operator.get("/dead").text
    assert "Empfänger (1)" in page
    # What the last attempt was recorded with, by its code and in words.
    assert "http-403" in page
    assert reason_for_people("HTTP 403", german=True) in page
    answer = operator.post("/dead", delivery=str(one.delivery_id))
    assert "Wird erneut zugestellt" in answer.text
    assert "Nichts ist gescheitert" in answer.text
    (taken,) = claim(pages.store, now=pages.stage.clock())
    record(pages.store, taken)
    two = pages.dead_letter(area=WIESBADEN)
    operator.post("/dead", cause="receiver", text="Empfänger läuft wieder")
    entries = [each.entry for each in pages.store.audit.entries(newest_first=True, scope=EVERYTHING).items]
    again = [entry for entry in entries if entry.action == "delivery.redrive"]
    assert {entry.target for entry in again} == {f"delivery:{one.delivery_id}", "deliveries"}
    assert pages.store.deliveries.of(two.submission.submission_id).state == "queued"
    assert again[0].after["text"] == "Empfänger läuft wieder"


def test_a_window_of_dead_letters_goes_out_again_once_its_number_is_confirmed(pages):
    one = pages.dead_letter()
    operator = pages.as_("otto")
    window = {"cause": "receiver", "since": "2026-11-20T11:00", "until": "2026-11-20T13:00"}
    pages.stage.clock.pass_(minutes=1)
    asked = operator.post("/dead", **window)
    assert re.search(r"<strong>1</strong> Zustellungen", asked.text)
    assert pages.store.deliveries.of(one.submission.submission_id).state == "dead"
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked.text))
    del kept["csrf"]
    assert operator.post("/dead", **kept | {"expected": "0x"}).status_code == 400
    assert operator.post("/dead", **kept).status_code == 200
    assert pages.store.deliveries.of(one.submission.submission_id).state == "queued"
    assert operator.post("/dead", **window | {"since": "gestern"}).status_code == 400


def test_an_operator_makes_rotates_and_disables_a_client(pages):
    operator = pages.as_("otto")
    page = operator.post("/clients", name="Neues Portal", kind="sender", tenant="06").text
    client_id = re.search(r'client_id</dt><dd class="mono break">([^<]+)', page)[1]
    first = re.search(r'id="secret">([^<]+)', page)[1]
    second = re.search(r'id="secret">([^<]+)', operator.post(f"/clients/{client_id}/rotate").text)[1]
    assert first != second
    assert second not in operator.get("/clients").text
    operator.post(f"/clients/{client_id}/disable")
    assert pages.store.parties.client(client_id).disabled_at is not None
    actions = [each.entry.action for each in pages.store.audit.entries(scope=EVERYTHING).items]
    assert actions[-4:] == ["session.begin", "client.add", "client.rotate", "client.disable"]


def test_a_key_that_ends_soon_is_shown(pages):
    pages.stage.clock.pass_(days=710)
    person = pages.as_("viktor")
    assert "kern-badge--warning" in person.get("/destinations").text
    shown = person.get(f"/destinations/{pages.stage.destination_id('Rheingau')}").text
    assert "Der Schlüssel läuft bald ab" in shown
    pages.stage.clock.pass_(days=30)
    shown = pages.as_("viktor").get(f"/destinations/{pages.stage.destination_id('Rheingau')}").text
    assert "Kein verwendbarer Schlüssel" in shown


def test_an_open_circuit_is_closed_by_an_operator(pages):
    from dataclasses import replace

    now, here = pages.stage.clock(), pages.stage.destination_id("Rheingau")
    pages.store.circuits.change(here, lambda c: replace(c, failures=7, open_until=now + timedelta(hours=1)), now)
    operator = pages.as_("otto")
    assert "7 Fehlversuche" in operator.get(f"/destinations/{here}").text
    operator.post(f"/destinations/{here}/circuit", text="repariert")
    assert pages.store.circuits.circuit(here).open_until is None


def test_the_audit_log_is_verified(pages):
    person = pages.as_("viktor")
    assert "Die Kette ist unversehrt" in person.get("/audit", params={"verify": "1"}).text


def test_a_changed_record_breaks_the_chain(pages):
    from sqlalchemy import update

    from hub.store import tables

    pages.store.database.write(
        lambda c: c.execute(update(tables.audit).where(tables.audit.c.seq == 2).values(actor="x")).rowcount
    )
    shown = pages.as_("viktor").get("/audit", params={"verify": "1"}).text
    assert "Die Kette ist gebrochen" in shown
    assert "Nummer 2" in shown


def test_people_change_their_own_password_with_the_old_one(pages):
    person = pages.as_("viktor")
    assert person.post("/account/password", password="falsch geraten!!", new="ein neues passwort").status_code == 422
    assert person.post("/account/password", password=pages.password, new="kurz").status_code == 422
    assert (
        "Das Passwort ist geändert"
        in person.post("/account/password", password=pages.password, new="ein neues passwort").text
    )
    assert person.log_in().status_code == 401
    assert person.log_in("ein neues passwort").status_code == 303


def test_failed_callbacks_of_a_destination_are_sent_again(pages):
    from store_values import callback

    now, here = pages.stage.clock(), pages.stage.destination_id("Rheingau")
    pages.store.callbacks.add(callback(party=str(here)))
    (taken,) = pages.store.callbacks.claim(now, lease=timedelta(minutes=2), node="n", limit=5)
    pages.store.callbacks.record(taken, sent=False, next_attempt_at=None, note="gone", now=now)
    operator = pages.as_("otto")
    assert "Gescheiterte Benachrichtigungen (1)" in operator.get(f"/destinations/{here}").text
    operator.post(f"/destinations/{here}/callback")
    assert pages.store.callbacks.dead().total == 0


def test_a_callback_that_stays_unreachable_is_seen_at_its_destination_and_its_submission(pages):
    from store_values import callback

    from hub.notifications.mail import Noticeboard
    from hub.store import NoticeKind

    pages.stage.accept()
    now, here = pages.stage.clock(), pages.stage.destination_id("Rheingau")
    (taken,) = claim(pages.store, now=now)
    pages.store.callbacks.add(callback(party=str(here), case_id=taken.submission.case_id))
    (lost,) = pages.store.callbacks.claim(now, lease=timedelta(minutes=2), node="n", limit=5)
    facts = {"callbackId": str(lost.callback.callback_id), "attempts": 1, "days": 3, "note": "HTTP 503"}
    telling = Noticeboard(store=pages.store).telling(
        NoticeKind.CALLBACK_UNREACHABLE, str(here), facts, occasion="1", now=now
    )
    assert pages.store.callbacks.record(
        lost, sent=False, next_attempt_at=None, note="HTTP 503", now=now, telling=telling
    )
    operator = pages.as_("otto")
    shown = operator.get(f"/destinations/{here}").text
    assert "Rückrufadresse antwortet nicht" in shown
    assert "nicht gemailt" in shown
    assert "HTTP 503" in operator.get(f"/submissions/{taken.submission.submission_id}").text
    assert "callback.unreachable" in operator.get("/audit").text


def test_what_another_district_is_told_is_not_shown(pages):
    from hub.notifications.mail import Noticeboard
    from hub.store import NoticeKind
    from hub.store.outboxes import write_telling

    here = str(pages.stage.destination_id("Rheingau"))
    facts = {"deliveries": 7, "days": 3, "since": "2026-11-17"}
    telling = Noticeboard(store=pages.store).telling(
        NoticeKind.UNCOLLECTED, here, facts, occasion="1", now=pages.stage.clock()
    )
    pages.store.database.write(lambda connection: write_telling(connection, telling))
    assert "nicht abgeholt" in pages.as_("doris").get(f"/destinations/{here}").text
    assert pages.as_("walter").get(f"/destinations/{here}").status_code == 404


@pytest.mark.parametrize("path", ["/nothing", "/routing/versions/1/nothing", "/static/nothing.css"])
def test_an_address_without_a_page_is_answered_in_the_look_of_the_others(pages, path):
    stranger, person = pages.browser("viktor"), pages.as_("viktor")
    for browser in (stranger, person):
        answer = browser.get(f"{path}?lang=en")
        assert answer.status_code == 404
        assert "hub.css" in answer.text
        assert "There is no such page" in answer.text
    assert 'aria-label="Main navigation"' in person.get(f"{path}?lang=en").text
    assert "Main navigation" not in stranger.get(f"{path}?lang=en").text


def test_a_request_that_no_page_takes_is_answered_in_the_look_of_the_others(pages):
    answer = pages.browser("viktor").http.put(f"{pages.base}/login", timeout=10)
    assert answer.status_code == 404
    assert "Diese Seite gibt es nicht" in answer.text


def test_an_operator_has_the_last_callbacks_of_a_submission_sent_again(pages):
    from hub.model import Callback

    callback = Callback(url="https://dienst.example/cb", secret="0" * 32)
    accepted = pages.stage.accept(area=WIESBADEN, callback=callback)
    submission_id = accepted.claims["sub"].removeprefix("submission:")
    pages.stage.hub.dispatcher.run_once()
    here = f"/submissions/{submission_id}"
    assert "noch einmal senden" not in pages.as_("viktor").get(here).text
    otto = pages.as_("otto")
    assert "noch einmal senden" in otto.get(here).text
    assert "gerade erst gesendet" in otto.post(f"{here}/callbacks").text  # They are still to be sent.
    now = pages.stage.clock()
    for each in pages.store.callbacks.claim(now, lease=timedelta(minutes=1), node="n", limit=10):
        pages.store.callbacks.record(each, sent=True, next_attempt_at=None, note="HTTP 200", now=now)
    pages.stage.clock.pass_(minutes=5)
    assert "gehen noch einmal hinaus" in otto.post(f"{here}/callbacks").text
    (entry,) = [record.entry for record in pages.store.audit.entries(action="callback.resend", scope=EVERYTHING).items]
    assert (entry.actor, entry.target) == ("otto", f"submission:{submission_id}")


def test_the_page_of_health_leads_to_each_alert_and_what_to_do(pages):
    person = pages.as_("viktor")
    assert 'href="/admin/runbooks"' in person.get("/health").text
    text = person.get("/runbooks").text
    for alert in ("HubStoreDown", "HubKeyEnding"):
        assert f'id="{alert.lower()}"' in text
        section = text.partition(f'id="{alert.lower()}"')[2].partition("</section>")[0]
        assert "<strong>Do.</strong>" in section
    assert "`" not in text


def test_whoever_may_create_nothing_is_not_asked_to(pages):
    pages.accounts.add(
        "vera", pages.password, roles=(Role.VIEWER,), tenant="016", actor="cli:test", now=pages.stage.clock()
    )
    text = pages.as_("vera").get("/").text
    assert "Legen Sie den ersten an" not in text
    assert "einem größeren Mandanten" in text
