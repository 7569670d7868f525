"""The status page: by reference and code, what became of an application, and what its authority wrote to its person alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import requests
from ai_room import STEP, SYSTEM, publish
from people import answered, begun, key_on, sent_by, write_reply
from sealed_door import JOSE, Door, post, put
from sqlalchemy import func, select
from stage import BAUEN, CANARY, WIESBADEN

from hub.client.fit_connect import Named, signed_answer
from hub.crypto import read_signing_key
from hub.errors import Text
from hub.model import EventKind, Subject
from hub.portal import following
from hub.portal.database import attachments
from hub.portal.followed import shown
from hub.routing import legal_day
from hub.services import DeadlineRule, DeadlineUnit, ServiceCatalogue

EVIL = '<script>alert("x")</script>'
TEXT = f"Guten Tag {CANARY}, bitte reichen Sie den Lageplan nach. {EVIL}"
FILE = b"%PDF-1.7 " + bytes(range(256)) * 5000


@dataclass
class Following:
    """An application that was sent, and how its person finds it."""

    site: Any
    door: Door
    pair: Any
    case_id: str
    typed: dict[str, str]
    storage: Any

    def status(self, visitor: Any, **changes: str) -> Any:
        return visitor.post("/stand", csrf="", **{**self.typed, **changes})

    def reply(self, data: bytes | None = None, *files: tuple[str, bytes]) -> str:
        data = orjson.dumps({"kind": "question", "text": TEXT, "frist": "2026-12-24"}) if data is None else data
        return write_reply(self.door, self.case_id, self.pair[0], data, *files)


@pytest.fixture(scope="module")
def door(portal_site):
    return Door(portal_site.hub)


@pytest.fixture
def followed(portal_site, door, rsa_pair) -> Following:
    visitor = begun(portal_site)
    session = answered(portal_site, visitor, answers={"antragsteller": {"name": CANARY}})
    running, sent = sent_by(portal_site, session, rsa_pair)
    known = following.begin(portal_site.portal, running, sent, portal_site.clock())
    typed = {name: known[name] for name in ("reference", "code")}
    assert known["link"].endswith(f"/stand/{typed['reference'].replace('-', '')}")
    return Following(portal_site, door, rsa_pair, sent["caseId"], typed, portal_site.portal.storage)


def test_reference_and_code_show_what_became_of_an_application(followed):
    visitor = followed.site.visitor()
    assert followed.typed["reference"] in visitor.get(f"/stand/{followed.typed['reference']}").text
    page = followed.status(visitor)
    assert page.status_code == 200
    assert "Ihr Antrag ist eingegangen" in page.text
    assert "Eingegangen:" in page.text
    assert CANARY not in page.text
    assert "Bisher ist kein Schritt einer Künstlichen Intelligenz aufgezeichnet." in page.text
    assert "no-store" in page.headers["cache-control"]
    assert not visitor.http.cookies
    english = visitor.post("/stand?lang=en", csrf="", **followed.typed).text
    assert "Your application was received" in english
    easy = visitor.post("/stand?lang=easy", csrf="", **followed.typed).text
    assert "Ihr Antrag ist da" in easy


def test_a_deadline_of_the_service_is_shown_with_its_last_day(followed, monkeypatch):
    hub = followed.door.hub
    (message,) = hub.store.submissions.messages(Subject.SUBMISSION, case_id=UUID(followed.case_id)).items
    rule = DeadlineRule(name="decision", title=Text("Entscheidung", "Decision"), amount=3, unit=DeadlineUnit.MONTHS)
    timed = ServiceCatalogue(
        replace(each, deadlines=(rule,)) if each.key == message.service.identifier else each for each in hub.services()
    )
    monkeypatch.setattr(hub.service_book, "active", lambda _now: timed)
    until = rule.last_day(legal_day(message.submitted_at))
    page = followed.status(followed.site.visitor()).text
    assert f"<dt>Entscheidung</dt><dd>bis {until:%d.%m.%Y}</dd>" in page
    assert "<dt>Decision</dt>" in followed.site.visitor().post("/stand?lang=en", csrf="", **followed.typed).text


def test_a_step_of_ai_is_shown_to_its_person_as_text(followed):
    door, hub = followed.door, followed.door.hub
    (message,) = hub.store.submissions.messages(Subject.SUBMISSION, case_id=UUID(followed.case_id)).items
    publish(door, replace(SYSTEM, services=(message.service.identifier,)))
    named = Named(subject=Subject.SUBMISSION, message_id=message.id, case_id=message.case_id)
    cast = followed.site.hub.cast["destinations"]
    (mine,) = (each for each in cast if each["destination_id"] == str(message.destination_id))
    key = read_signing_key(mine["private_signing_jwk"], written_by_us=True)
    step = STEP | {"purpose": EVIL}
    _, token = signed_answer(named, message.destination_id, key, EventKind.AI_STEP, step, door.clock())
    path = f"/hub/v1/cases/{followed.case_id}/ai-steps"
    answer = door.subscriber.ask("POST", path, ("Content-Type", JOSE), body=[token.encode()])
    assert answer.status == 204, answer.body
    page = followed.status(followed.site.visitor()).text
    assert "Künstliche Intelligenz hat mitgewirkt" in page
    assert "&lt;script&gt;" in page
    assert EVIL not in page
    assert "kein Schritt" not in page


def test_a_wrong_reference_a_wrong_code_and_one_that_has_ended_look_alike(followed):
    visitor = followed.site.visitor()
    nothing = "0000-0000-0000"
    answers = [followed.status(visitor, code=nothing), followed.status(visitor, reference=nothing)]
    followed.site.clock.pass_(days=366)
    answers.append(followed.status(visitor))
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.text.replace(followed.typed["reference"], nothing) for answer in answers}) == 1


def test_a_reply_is_opened_by_the_person_alone_and_kept_for_the_person(followed):
    reply_id = followed.reply(None, ("Bescheid <b>1</b>.pdf", FILE), ("../../etc/passwd", b"x"))
    visitor = followed.site.visitor()
    page = followed.status(visitor)
    assert "Die Behörde hat Ihnen geschrieben" in page.text
    assert CANARY not in page.text
    opened = visitor.post("/stand/nachricht", csrf="", key=key_on(page.text), reply=reply_id)
    assert opened.status_code == 200
    assert CANARY in opened.text
    assert "24.12.2026" in opened.text
    assert EVIL not in opened.text
    assert "&lt;script&gt;" in opened.text
    # The hub's own copy ends; the person's stays, under the person's key.
    followed.site.clock.pass_(days=30)
    again = visitor.post("/stand/nachricht", csrf="", key=key_on(page.text), reply=reply_id)
    assert CANARY in again.text
    assert "Rückfrage der Behörde" in followed.status(visitor).text
    files = [followed.site.portal.settings.storage.folder]
    assert not any(CANARY.encode() in path.read_bytes() for path in files[0].rglob("*") if path.is_file())


def test_days_read_as_days_and_what_no_schema_names_stands_apart_as_text(followed):
    said = {
        "text": "Bitte",
        "deadline": "2026-12-24",
        EVIL: EVIL,
        "termin": "2027-01-05T09:30:00+01:00",
        "az": "2026-13-01",
    }
    reply_id = followed.reply(orjson.dumps({"kind": "question", **said}))
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    page = visitor.post("/stand/nachricht", csrf="", key=key, reply=reply_id).text
    assert "<dt>Frist</dt><dd>24.12.2026</dd>" in page
    known, further = page.split("Weitere Angaben der Behörde")
    assert "termin" not in known
    assert EVIL not in page
    assert further.count("&lt;script&gt;") == 2
    assert "05.01.2027, 09:30 Uhr" in further
    assert "2026-13-01" in further, "no day: as it was written"
    english = visitor.post("/stand/nachricht?lang=en", csrf="", key=key, reply=reply_id).text
    assert "<dt>Deadline</dt><dd>2026-12-24</dd>" in english
    assert "Further details from the authority" in english


def test_files_of_a_reply_are_saved_and_never_shown(followed):
    reply_id = followed.reply(None, ("Bescheid.pdf", FILE), ("../../etc/passwd", b"x"))
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    page = visitor.post("/stand/nachricht", csrf="", key=key, reply=reply_id).text
    assert "../" not in page
    wanted = page.split('name="file" value="')[1].split('"')[0]
    got = visitor.post("/stand/anlage", csrf="", key=key, file=wanted)
    assert got.content == FILE
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    assert visitor.post("/stand/anlage", csrf="", key=key, file="0" * 32).status_code == 404


def test_a_reply_of_another_case_is_not_opened_here(followed, portal_site, door, rsa_pair):
    running, sent = sent_by(portal_site, answered(portal_site, begun(portal_site)), rsa_pair)
    foreign = write_reply(door, sent["caseId"], rsa_pair[0], b'{"text": "fremd"}')
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    for reply in (foreign, "no id", ""):
        assert visitor.post("/stand/nachricht", csrf="", key=key, reply=reply).status_code == 404
    assert running


def test_a_reply_that_is_sealed_for_somebody_else_is_not_taken(followed, other_rsa_pair):
    reply_id = write_reply(followed.door, followed.case_id, other_rsa_pair[0], b'{"text": "?"}')
    visitor = followed.site.visitor()
    answer = visitor.post("/stand/nachricht", csrf="", key=key_on(followed.status(visitor).text), reply=reply_id)
    assert answer.status_code == 422
    (row,) = followed.door.client("sender").get(f"/hub/v1/cases/{followed.case_id}/replies").json["replies"]
    assert row["state"] == "submitted"


def test_what_is_handed_on_is_followed_where_it_goes_on(followed):
    door, first = followed.door, followed.reply()
    authority, sender = door.client("subscriber"), door.client("sender")  # Other tests move the clock.
    submission = door.hub.store.submissions.messages(Subject.SUBMISSION, case_id=UUID(followed.case_id)).items[0]
    wish = {"requestId": str(uuid4()), "submissionId": str(submission.id), "service": BAUEN, "ars": WIESBADEN}
    begun_there = post(authority, f"/hub/v1/cases/{followed.case_id}/forwards", wish | {"reason": "other-area"})
    assert begun_there.status == 201, begun_there.body
    there = begun_there.json
    sealed = {"encryptedMetadata": door.seal(b"{}"), "encryptedData": door.seal(b"{}")}
    assert put(authority, f"/submission-api/v2/submissions/{there['submissionId']}", sealed).status == 200
    place = f"/hub/v1/cases/{followed.case_id}/forwards/{there['submissionId']}"
    assert put(authority, place, {"state": "complete"}).status == 204
    second = write_reply(door, there["caseId"], followed.pair[0], orjson.dumps({"kind": "decision", "text": "Ja"}))

    visitor = followed.site.visitor()
    page = followed.status(visitor).text
    for said in ("an die zuständige Stelle abgegeben", "Wiesbaden", "vorher:", there["submissionId"]):
        assert said in page
    # Messages of the authority of before, and of the one that has it now, are opened alike.
    for reply, text in ((second, "Ja"), (first, CANARY)):
        assert text in visitor.post("/stand/nachricht", csrf="", key=key_on(page), reply=reply).text
    answer = {"reply": second, "text": "Danke", "once": "1"}
    written = visitor.post("/stand/antwort", csrf="", key=key_on(page), **answer)
    assert written.status_code == 200, written.text
    case = sender.get(f"/hub/v1/cases/{there['caseId']}").json
    assert {each["inCase"] and each["inCase"]["kind"] for each in case["submissions"]} == {None, "answer"}


def test_without_the_hub_the_page_says_what_it_knows(followed, monkeypatch):
    from hub.errors import Text, Unavailable

    def away(*_: object) -> None:
        raise Unavailable(Text("weg", "away"))

    monkeypatch.setattr(type(followed.site.portal.doors), "status", away)
    page = followed.status(followed.site.visitor())
    assert page.status_code == 200
    assert "gerade nicht abrufbar" in page.text
    assert "Eingegangen:" in page.text


def test_all_about_an_application_is_deleted_here_when_its_person_says_so(followed):
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    assert "bleibt bei der Behörde" in visitor.post("/stand/loeschen", csrf="", key=key).text
    assert visitor.post("/stand/loeschen", csrf="", key=key, do="yes").status_code == 200
    assert followed.status(visitor).status_code == 422
    assert visitor.post("/stand/nachricht", csrf="", key=key, reply="x").status_code == 422


def test_a_code_of_something_saved_leads_to_its_page_and_says_so_to_its_owner_alone(portal_site):
    from test_portal_saving import saved

    _, typed = saved(portal_site)
    page = portal_site.visitor().post("/stand", csrf="", **typed)
    assert page.status_code == 422
    assert 'href="/weiter"' in page.text


def test_what_an_authority_writes_is_read_in_bounds():
    assert shown(b'{"text": "a", "kind": "decision", "x": {"y": [1, true, null]}}') == (
        "decision",
        "a",
        (("x › y 1", "1"), ("x › y 2", "✓")),
    )
    for data in (None, b"<xml/>", b"[1]", b'{"text": 1', b'"x"' * 100_000):
        assert shown(data) == ("", "", ())
    assert len(shown(orjson.dumps({str(number): "x" for number in range(2000)}))[2]) == 300
    for deep in (100, 1020):
        assert shown(b'{"text": "a", "x": ' + b"[" * deep + b"1" + b"]" * deep + b"}") == ("", "", ())
    long = shown(b'{"' + b"n" * 50_000 + b'": [' + b",".join([b"1"] * 6_000) + b"]}")[2]
    assert sum(len(label) + len(value) for label, value in long) < 100_000


def test_where_the_service_allows_it_an_application_is_withdrawn_once(followed):
    visitor, door = followed.site.visitor(), followed.door
    page = followed.status(visitor).text
    key = key_on(page)
    assert 'action="/stand/zuruecknehmen"' in page
    asked = visitor.post("/stand/zuruecknehmen", csrf="", key=key)
    assert "zurücknehmen?" in asked.text
    for _ in range(2):
        done = visitor.post("/stand/zuruecknehmen", csrf="", key=key, do="yes", text=f"Umzug {CANARY}")
        assert done.status_code == 200
        assert "Sie haben Ihren Antrag zurückgenommen" in done.text
        assert 'action="/stand/zuruecknehmen"' not in done.text
    sent = door.client("sender").get(f"/hub/v1/cases/{followed.case_id}").json["submissions"]
    assert sorted((each["inCase"] or {}).get("kind", "") for each in sent) == ["", "withdrawal"]


def test_a_message_is_answered_once_however_often_the_button_is_pressed(followed):
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    reply = followed.reply()
    given = {"csrf": "", "key": key, "reply": reply, "once": "x"}
    assert visitor.post("/stand/antwort", **given, text="zu früh").status_code == 404
    visitor.post("/stand/nachricht", csrf="", key=key, reply=reply)
    empty = visitor.post("/stand/antwort", **given, text=" ")
    assert (empty.status_code, "Schreiben Sie etwas" in empty.text) == (422, True)
    for _ in range(2):
        assert "Ihre Antwort ist abgeschickt" in visitor.post("/stand/antwort", **given, text="Hier ist er.").text
    sent = followed.door.client("sender").get(f"/hub/v1/cases/{followed.case_id}").json["submissions"]
    assert [each["inCase"] for each in sent if each["inCase"]] == [{"kind": "answer", "about": reply}]


def test_what_the_authority_asked_for_goes_with_the_answer_and_stays_nowhere_here(followed):
    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    reply = followed.reply()
    asked = visitor.post("/stand/nachricht", csrf="", key=key, reply=reply).text
    assert 'name="datei" type="file" multiple' in asked
    pdf, page = b"%PDF-1.4 " + CANARY.encode(), f"{visitor.base}/stand/antwort"

    def kept() -> int:
        with followed.storage.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(attachments)).scalar_one()

    before = kept()

    def answer(*files: tuple[str, bytes], **more: str) -> requests.Response:
        texts = {"csrf": "", "key": key, "reply": reply, "once": "with-files", "text": "Hier ist er.", **more}
        parts = [*((name, (None, value)) for name, value in texts.items()), *(("datei", each) for each in files)]
        return visitor.http.post(page, files=parts, timeout=30)

    refused = answer(("pass.pdf", pdf), ("virus.exe", b"MZ\x90"))
    assert (refused.status_code, "nehmen Sie PDF, JPEG oder PNG" in refused.text) == (422, True)
    assert ">Hier ist er.</textarea>" in refused.text, "what was typed stays"
    assert answer(*[(f"{number}.pdf", pdf) for number in range(6)]).status_code == 422
    assert answer(("pass.pdf", pdf), key="x" * 66).status_code == 400
    for _ in range(2):
        assert "Ihre Antwort ist abgeschickt" in answer(("../Impfpass Bello.pdf", pdf), ("", b"")).text
    sent = followed.door.client("sender").get(f"/hub/v1/cases/{followed.case_id}").json["submissions"]
    (written,) = [each["submissionId"] for each in sent if each["inCase"]]
    message = followed.site.hub.hub.store.submissions.message(UUID(written))
    assert len(message.contents.attachments) == 1
    assert kept() == before


def test_a_correction_begins_with_the_answers_that_were_sent(followed):
    from people import session_of

    visitor = followed.site.visitor()
    key = key_on(followed.status(visitor).text)
    answer = visitor.post("/stand/berichtigen", csrf="", key=key, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/antrag")
    running = session_of(followed.site, visitor).running
    assert running.answers == {"antragsteller": {"name": CANARY}}
    assert running.extra["caseId"] == followed.case_id
    assert running.sent is None
