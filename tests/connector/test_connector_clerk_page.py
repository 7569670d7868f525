# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""The page for clerks: what they see and do, and what nobody gets past it."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import threading
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
import requests
import uvicorn
from raw_http import Wire
from say import CLERK, PASSWORD, Browser, Office, apply, office, pdf, wish
from stage import NOW
from test_connector_town import CANARY, LATER, Town, catalog, good_data, town, town_keys

from hub.connector.clerk import export, reading, sessions, site, visit
from hub.connector.clerk.accounts import add_account, remove_account
from hub.connector.journal import JournalState
from hub.connector.xbau import xbau_table
from hub.errors import ConfigurationError, Conflict, Invalid, NotFound
from hub.model import Evidence
from hub.supervision import Supervisor

EVIL = '<script>alert("x")</script>'


@pytest.fixture
def clerks(town, rsa_pair):
    """A town whose page serves, with one application that waits."""
    one, two = uuid4(), uuid4()
    town.files = {one: b"\x89PNG\r\n\x1a\n" + bytes(64), two: b"%PDF " + EVIL.encode()}
    names = [(f"../../etc/{EVIL}.png", "image/png"), (f"{CANARY}\u202efdp.exe", "application/pdf")]
    town.application = apply(town, rsa_pair[0], data=good_data(f"{CANARY} {EVIL}"), attachments=town.files, names=names)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    town.case = connector.say.desk.submission(town.application).case_id
    opened = office(town, connector.say.desk)
    yield opened
    opened.server.close()


def test_a_page_whose_loop_dies_is_there_again(clerks, monkeypatch):
    died, tick = threading.Event(), uvicorn.Server.on_tick

    async def dying(server, counter):
        if not died.is_set():
            died.set()
            raise MemoryError
        return await tick(server, counter)

    anna = clerks.browser("anna")
    monkeypatch.setattr(uvicorn.Server, "on_tick", dying)
    assert died.wait(30)
    for _ in range(600):
        with suppress(requests.ConnectionError):
            assert "Hundesteuer" in anna.get("/").text
            return
        time.sleep(0.05)
    pytest.fail("the page did not come back")


def test_a_clerk_reads_decides_asks_and_takes_everything_along(town, clerks):
    anna = clerks.browser("anna")
    listed = anna.get("/")
    assert (listed.status_code, "Hundesteuer" in listed.text, "neu" in listed.text) == (200, True, True)
    path = f"/cases/{town.case}"
    page = anna.get(path)
    assert "no-store" in page.headers["cache-control"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    read = anna.get(f"/submissions/{town.application}/read")
    assert CANARY in read.text
    assert EVIL not in read.text
    assert read.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    one, two = town.files
    got = anna.get(f"/submissions/{town.application}/files/{two}")
    assert got.content == town.files[two]
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["content-type"] == "application/octet-stream"
    shown = anna.get(f"/submissions/{town.application}/files/{one}/view")
    assert (shown.headers["content-type"], "sandbox" in shown.headers["content-security-policy"]) == ("image/png", True)
    assert anna.get(f"/submissions/{town.application}/files/{two}/view").status_code == 422

    done = anna.post(f"/submissions/{town.application}/accept", at=path)
    assert "Der Hub weiß es noch nicht" not in done.text
    assert "Hub weiß es noch nicht" in done.text
    files = [("files", ("Skizze.pdf", b"%PDF-1.7", "application/pdf"))]
    latest = {"about": str(town.application), "kind": "question", "text": f"Wo, {CANARY}?", "deadline": "2026-12-24"}
    asked = anna.post(f"{path}/replies", at=path, files=files, **latest)
    assert "Geschrieben und versiegelt" in asked.text
    assert "24.12.2026" in asked.text
    town.connector.run_once(LATER)
    assert len(town.hub.posted) == len(town.hub.sent_replies()) == 1
    page = anna.get(path).text
    assert "wird gesendet" not in page
    file = re.search(r"/replies/[0-9a-f-]{36}/files/[0-9a-f-]{36}", page)[0]
    assert anna.get(file).content == b"%PDF-1.7"
    printed = anna.get(f"{path}/print?lang=en").text
    assert f"Wo, {CANARY}?" in printed
    whole = anna.post(f"{path}/export", at=path)
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        manifest = orjson.loads(archive.read("manifest.json"))
        digests = {each["path"]: each["sha256"] for each in manifest["files"]}
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in digests} == digests
        assert set(archive.namelist()) == {*digests, "manifest.json"}
        assert {"eingang-01/antrag.html", "eingang-01/data.json", "ausgang-01/anlagen/Skizze.pdf"} <= set(digests)
        assert not [name for name in digests if ".." in name or name.startswith("/")]
        assert archive.read("eingang-01/data.json") == good_data(f"{CANARY} {EVIL}")
        assert manifest["received"][0]["decision"]["who"] == "anna"


def test_the_export_of_a_building_procedure_names_xbaus_messages(town, clerks, monkeypatch):
    anna, path = clerks.browser("anna"), f"/cases/{town.case}"
    service = town.connector.say.desk.submission(town.application).service

    def manifest():
        whole = anna.post(f"{path}/export", at=path)
        with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
            return orjson.loads(archive.read("manifest.json"))

    town.connector.say.desk.reply(wish(town.application), who="anna")
    assert "xbau" not in manifest()["received"][0]
    building = replace(xbau_table(), procedures={service: "baugenehmigung"})
    monkeypatch.setattr(export, "xbau_table", lambda: building)
    said = manifest()
    space = "http://www.xleitstelle.de/xbau/2/6"
    assert said["received"][0]["xbau"] == {"message": "baugenehmigung.antrag.0200", "namespace": space}
    assert said["replies"][0]["xbau"]["message"] == "prozessnachrichten.zustellungSchreiben.1141"
    assert said["handedOn"] == []


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ({"state": "synchronised", "maxErrorMs": 1.5}, "Uhr des Hubs, nachgeführt, auf höchstens 1.5 ms genau"),
        ({"state": "unsynchronised"}, "Uhr des Hubs, nicht nachgeführt"),
        (None, "Uhr des Hubs, Stand nicht bekannt"),
    ],
)
def test_the_page_says_by_whose_clock_an_application_arrived(town, clerks, monkeypatch, clock, said):
    desk, claims = town.connector.say.desk, {} if clock is None else {"clock": clock}
    receipt = ".".join(["e30", base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("="), "c2ln"])
    proven = Evidence(receipt=receipt, previous="", entries=())
    opened = desk.open

    def with_receipt(entry):
        found = opened(entry)
        return replace(found, envelope=replace(found.envelope, evidence=proven))

    assert "Uhr des Hubs" not in clerks.browser("anna").get(f"/cases/{town.case}").text
    monkeypatch.setattr(desk, "open", with_receipt)
    page = clerks.browser("anna")
    assert f"({said})" in page.get(f"/cases/{town.case}").text
    assert f"({said})" in page.get(f"/cases/{town.case}/print").text


def test_a_stored_script_in_a_citizens_file_name_is_text_wherever_the_name_stands(town, clerks, rsa_pair):
    name = f"Plan \u00ab{EVIL}\u00bb' onload=alert(1) x='.pdf"
    content, one = b"%PDF " + EVIL.encode(), uuid4()
    application = apply(town, rsa_pair[0], attachments={one: content}, names=[(name, "application/pdf")])
    town.connector.run_once(LATER)
    desk, anna = town.connector.say.desk, clerks.browser("anna")
    path = f"/cases/{desk.submission(application).case_id}"
    (file,) = desk.open(desk.submission(application)).attachments
    assert not {"/", "\\", "<", ">", '"'} & set(file.file_name)
    pages = [anna.get(each).text for each in ("/", path, f"{path}/print", f"{path}?lang=en")]
    assert html.escape(file.file_name) in pages[1].replace("&#39;", "&#x27;")
    for page in pages:
        assert "<script" not in page
        assert not re.search(r"<[^>]*\sonload=", page)
    got = anna.get(f"/submissions/{application}/files/{one}")
    said = got.headers["content-disposition"]
    assert (got.content, said.startswith("attachment;"), "<script" in said) == (content, True, False)
    assert got.headers["x-content-type-options"] == "nosniff"
    with zipfile.ZipFile(io.BytesIO(anna.post(f"{path}/export", at=path).content)) as archive:
        (kept,) = (each for each in archive.namelist() if "/anlagen/" in each)
    assert not {"<", ">", '"', "\\"} & set(kept)


def test_the_list_is_searched_filtered_and_paged(town, clerks, rsa_pair, monkeypatch):
    monkeypatch.setattr(reading, "ROWS", 3)
    for _ in range(3):
        apply(town, rsa_pair[0])
    town.connector.run_once(NOW)
    anna = clerks.browser("anna")
    assert "4 cases" in anna.get("/?lang=en").text
    assert "1–3 von 4" in anna.get("/").text
    assert "4–4 von 4" in anna.get("/?from=3").text
    found = anna.get(f"/?q={str(town.application)[-8:]}").text
    assert "1 Vorgänge" in found
    assert str(town.case) in found
    assert "0 Vorgänge" in anna.get("/?q=ffff0000").text
    assert anna.get("/?q=%25").status_code == 422
    anna.post(f"/cases/{town.case}/worker", at=f"/cases/{town.case}", do="take")
    for query, number in {
        "whose=mine": 1,
        "whose=nobody": 3,
        "stage=closed": 0,
        "stage=new": 4,
        "service=x": 0,
    }.items():
        assert f"{number} Vorgänge" in anna.get(f"/?{query}").text


def test_a_colleague_sees_who_works_on_a_case_and_what_was_typed_is_not_lost(town, clerks):
    anna, bert, path = clerks.browser("anna"), clerks.browser("bert"), f"/cases/{town.case}"
    waiting = bert.get(path).text
    csrf, once = (
        re.search(r'name="csrf" value="([^"]*)"', waiting)[1],
        re.search(r'name="once" value="([^"]*)"', waiting)[1],
    )
    anna.post(f"{path}/worker", at=path, do="take")
    refused = bert.http.post(
        f"{bert.base}{path}/replies",
        data={"csrf": csrf, "once": once, "about": str(town.application), "kind": "status", "text": f"Meins {CANARY}"},
    )
    assert refused.status_code == 409
    assert "Diesen Vorgang bearbeitet anna" in refused.text
    taken = bert.post(f"{path}/worker", at=path, do="take-over")
    assert "Sie bearbeiten diesen Vorgang" in taken.text
    assert "Diesen Vorgang bearbeitet bert" in anna.get(path).text
    wrong = bert.post(
        f"{path}/replies",
        at=path,
        about=str(town.application),
        kind="question",
        text=f"Meins {CANARY}",
        deadline="2020-01-01",
    )
    assert (wrong.status_code, f"Meins {CANARY}" in wrong.text) == (422, True)


def absence(who="anna", deputy="bert", first="2026-11-20", until="2026-11-27"):
    return {"name": who, "deputy": deputy, "from": first, "until": until}


def test_a_deputy_sees_the_cases_of_who_is_away_and_takes_them_over(town, clerks):
    anna, bert = (clerks.browser(name) for name in ("anna", "bert"))
    page = f"/cases/{town.case}"
    anna.post(f"{page}/worker", at=page, do="take")
    assert "0 Vorgänge" in bert.get("/?whose=deputised").text
    # A colleague may say it, too: who falls ill does not.
    entered = bert.post("/absences", at="/absences", **absence())
    assert ("Die Abwesenheit ist eingetragen" in entered.text, "eingetragen von bert" in entered.text) == (True, True)
    listed = bert.get("/")
    assert ("Sie vertreten" in listed.text, "abwesend" in listed.text, "27.11.2026" in listed.text) == (True,) * 3
    assert "Sie vertreten" not in anna.get("/").text
    deputised = bert.get("/?whose=deputised").text
    assert ("1 Vorgänge" in deputised, str(town.case) in deputised) == (True, True)
    shown = bert.get(page).text
    assert ("Abwesend bis 27.11.2026; Vertretung: bert" in shown, "Übernehmen (Vertretung)" in shown) == (True, True)
    bert.post(f"{page}/worker", at=page, do="take-over")
    (taken,) = [each for each in town.connector.say.desk.book.deeds(town.case) if each.about == "anna"]
    assert (taken.who, taken.what) == ("bert", "taken")
    ended = anna.post("/absences/end", at="/absences", name="anna")
    assert "Niemand ist abwesend" in ended.text
    assert anna.post("/absences/end", at="/absences", name="anna").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deputy": "anna"}, "Niemand vertritt sich selbst"),
        ({"deputy": "carla"}, "Wählen Sie ein Konto"),
        ({"who": EVIL}, "Wählen Sie ein Konto"),
        ({"until": "2026-11-19"}, "liegt nicht vor dem ersten"),
        ({"first": "2026-11-01", "until": "2026-11-02"}, "nicht in der Vergangenheit"),
        ({"until": "2028-11-27"}, "höchstens ein Jahr"),
        ({"until": ""}, "den ersten und den letzten Tag"),
        ({"until": "bald"}, "als Tag"),
    ],
)
def test_an_absence_that_makes_no_sense_is_refused_and_nothing_typed_is_lost(clerks, change, said):
    anna = clerks.browser("anna")
    refused = anna.post("/absences", at="/absences", **absence(**change))
    assert (refused.status_code, said in refused.text) == (422, True), refused.text
    assert EVIL not in refused.text
    assert "Niemand ist abwesend" in anna.get("/absences").text


def test_who_is_away_stands_in_for_nobody_then(clerks):
    anna = clerks.browser("anna")
    assert anna.post("/absences", at="/absences", **absence()).status_code == 200
    refused = anna.post("/absences", at="/absences", **absence(who="bert", deputy="anna", first="2026-11-27"))
    assert (refused.status_code, "selbst abwesend" in refused.text) == (422, True)
    later = absence(who="bert", deputy="anna", first="2026-11-28", until="2026-12-01")
    assert anna.post("/absences", at="/absences", **later).status_code == 200


def test_rejecting_takes_a_reason_and_says_what_the_hub_can_read(town, clerks):
    anna, path = clerks.browser("anna"), f"/cases/{town.case}"
    assert anna.post(f"/submissions/{town.application}/reject", at=path, text="Nein.").status_code == 422
    assert anna.post(f"/submissions/{town.application}/reject", at=path, reason="<b>").status_code == 422
    done = anna.post(f"/submissions/{town.application}/reject", at=path, reason="incomplete", text="Bitte neu.")
    assert "abgelehnt" in done.text
    town.connector.run_once(LATER)
    assert town.connector.status() == {JournalState.ANSWERED: 1}
    assert "Der Vorgang ist abgeschlossen" in anna.get(path).text


# --- who may come in ------------------------------------------------------------------------------------------------


def test_without_a_session_there_is_nothing_to_see_or_do(town, clerks):
    stranger = clerks.browser()
    file = next(iter(town.files))
    for path in (
        "/",
        f"/cases/{town.case}",
        f"/cases/{town.case}/print",
        f"/submissions/{town.application}/read",
        f"/submissions/{town.application}/files/{file}",
    ):
        answer = stranger.get(path, allow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
    for path in (f"/submissions/{town.application}/accept", f"/cases/{town.case}/export", f"/cases/{town.case}/worker"):
        answer = stranger.post(path, do="take")
        assert (answer.status_code, CANARY in answer.text) == (401, False), path
    assert stranger.get(f"/cases/{uuid4()}", headers={"Cookie": "hub-clerk=guess"}).url.endswith("/login")
    assert town.connector.status() == {JournalState.WAITING: 1}


def test_a_form_from_elsewhere_or_without_the_sessions_word_does_nothing(town, clerks):
    anna, path = clerks.browser("anna"), f"/submissions/{town.application}/accept"
    other = re.search(r'name="csrf" value="([^"]*)"', clerks.browser("bert").get("/").text)[1]
    refused = [
        anna.post(path, csrf=""),
        anna.post(path, csrf=other),
        anna.post(path, headers={"Origin": "https://evil.example"}),
        anna.post(path, headers={"Origin": "null"}),
        anna.post(path, headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert anna.get(path).status_code == 404
    assert town.connector.status() == {JournalState.WAITING: 1}


def test_a_page_that_lies_about_its_name_reaches_nothing(town, clerks):
    """DNS rebinding: the name resolves to this machine, and the browser says it as the host."""
    anna = clerks.browser("anna")
    for host in (
        "evil.example",
        f"evil.example:{clerks.server.port}",
        "127.0.0.1",
        f"127.0.0.1.evil.example:{clerks.server.port}",
    ):
        answer = anna.get("/", headers={"Host": host})
        assert (answer.status_code, "Hundesteuer" in answer.text) == (421, False), host
    assert anna.get("/", headers={"Host": f"localhost:{clerks.server.port}"}).status_code == 200


def test_who_guesses_passwords_waits_and_a_restart_forgets_nothing(town, clerks, monkeypatch):
    monkeypatch.setattr(sessions, "_BY_ADDRESS", 8)
    guesses = [clerks.browser().log_in("anna", f"guess number {number}").status_code for number in range(6)]
    assert guesses == [401] * 5 + [429]
    clerks.server.close()
    again = office(town, town.connector.say.desk)
    try:
        assert again.browser().log_in("anna").status_code == 429
        assert again.browser().log_in("bert").status_code == 200
        names = [again.browser().log_in(f"nobody-{number}", "x" * 20).status_code for number in range(4)]
        assert names[-1] == 429
        rows = town.connector.say.work.journal.rows("SELECT subject FROM clerk_failure")
        assert not any("anna" in row["subject"] for row in rows)
    finally:
        again.server.close()


def test_a_session_outlives_a_restart_and_ends_with_its_time_its_account_or_a_new_password(town, clerks):
    anna = clerks.browser("anna")
    clerks.server.close()
    now = [NOW]
    connector = town.start(**CLERK, now=lambda: now[0])
    again = office(town, connector.say.desk)
    try:
        anna.base = f"http://127.0.0.1:{again.server.port}"
        assert anna.get("/").url.endswith("/")
        file = town.folder / "clerks.json"
        assert PASSWORD not in file.read_text()
        assert "$argon2id$" in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        now[0] = NOW + timedelta(minutes=61)
        assert anna.get("/").url.endswith("/login")
        bert = again.browser("bert")
        add_account(file, "bert", "Ein-neues-Passwort", full_name="", now=NOW, replace=True)
        assert again.browser().log_in("bert", "Ein-neues-Passwort").status_code == 200
        assert bert.get("/").url.endswith("/login")
        remove_account(file, "bert")
        assert again.browser().log_in("bert", "Ein-neues-Passwort").status_code == 401
    finally:
        again.server.close()


def test_accounts_have_rules_and_a_file_that_others_may_read_is_not_taken(tmp_path):
    file = tmp_path / "clerks.json"
    for name, password in {"Anna": PASSWORD, "../x": PASSWORD, "anna": "short", "carla": "carla-und-noch-was"}.items():
        with pytest.raises(Invalid):
            add_account(file, name, password, full_name="", now=NOW)
    add_account(file, "anna", PASSWORD, full_name="Anna\x00 Adler", now=NOW)
    with pytest.raises(Conflict):
        add_account(file, "anna", PASSWORD, full_name="", now=NOW)
    with pytest.raises(NotFound):
        remove_account(file, "bert")
    file.chmod(0o644)
    with pytest.raises(ConfigurationError):
        remove_account(file, "anna")


def test_what_is_no_form_or_too_large_is_refused_in_words(town, clerks):
    anna, path = clerks.browser("anna"), f"/cases/{town.case}"
    csrf = re.search(r'name="csrf" value="([^"]*)"', anna.get(path).text)[1]
    kinds = {
        "text/plain": b"csrf=" + csrf.encode(),
        "multipart/form-data; boundary=x": b"--x\r\n\r\n",
        "application/x-www-form-urlencoded": b"a=1&" * 100,
    }
    for kind, body in kinds.items():
        answer = anna.http.post(f"{anna.base}{path}/worker", data=body, headers={"Content-Type": kind}, timeout=10)
        assert answer.status_code in {400, 403}, kind
    large = anna.http.post(f"{anna.base}{path}/worker", data={"csrf": csrf, "do": "x" * 300_000}, timeout=10)
    assert large.status_code == 413
    many = [("files", (f"{number}.pdf", b"%PDF", "application/pdf")) for number in range(21)]
    answer = anna.post(f"{path}/replies", at=path, files=many, about=str(town.application), kind="status", text="x")
    assert answer.status_code == 413
    foreign = anna.post(f"{path}/replies", at=path, about=str(uuid4()), kind="status", text="x")
    assert foreign.status_code == 404
    for unseen in (
        f"/cases/{uuid4()}",
        "/cases/x",
        f"/submissions/{uuid4()}/read",
        f"/replies/{uuid4()}/files/{uuid4()}",
    ):
        assert anna.get(unseen).status_code == 404


def test_the_connector_opens_the_page_as_its_settings_say(town):
    services = town.start(**CLERK).say.services(Supervisor())
    try:
        (page,) = services
        answer = requests.get(f"{page.address}login", timeout=10)
        assert "hub connector clerk add NAME" in answer.text
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers
    finally:
        for each in services:
            each.close()


@pytest.fixture
def hurried(town, clerks, monkeypatch):
    """A page that waits half a second where it would wait a quarter of a minute, and has room for four connections."""
    monkeypatch.setattr(site, "_BOUNDS", replace(site._BOUNDS, head_seconds=0.5, connections=4))
    monkeypatch.setattr(visit, "_PAUSE", 0.5)
    opened = office(town, town.connector.say.desk)
    yield opened
    opened.server.close()


def test_attack_half_a_head_is_told_that_it_came_too_slowly_and_cut(hurried):
    with Wire(hurried.server.port) as wire:
        wire.send(b"POST /login HTTP/1.1\r\nHost: localhost\r\nX: secret-words")
        reply = wire.reply()
    assert reply.status == 408
    assert "nicht rechtzeitig" in reply.body.decode()
    assert b"secret-words" not in reply.body


def test_attack_connections_that_say_nothing_keep_no_clerk_out(hurried):
    silent = [Wire(hurried.server.port) for _ in range(12)]
    try:
        assert hurried.browser("anna").get("/").status_code == 200
    finally:
        for each in silent:
            each.__exit__()


def test_attack_a_body_that_stops_is_not_waited_for(hurried):
    with Wire(hurried.server.port) as wire:
        wire.send(
            b"POST /login HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 100\r\n\r\nname=anna" % hurried.server.port
        )
        reply = wire.reply()
    assert reply.status == 408
    assert "nicht vollständig" in reply.body.decode()


def test_attack_a_head_without_end_is_refused_and_nothing_of_it_repeated(hurried):
    with Wire(hurried.server.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: secret-words\r\n" % number for number in range(4000)))
        reply = wire.reply()
    assert reply.status == 431
    assert b"secret-words" not in reply.body
