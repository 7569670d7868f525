"""What lies still is found, told of once a day, and over when somebody sees to it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from stage import TAUNUSSTEIN
from store_values import (
    NOW,
    announced,
    answer,
    buried,
    callback,
    claim,
    completed,
    known_destination,
    record,
)
from store_values import accepted as sent
from usage_year import SeededYear

from hub.jobs.usage import RollUp
from hub.jobs.watch import Watch
from hub.model import EVERYTHING, EventKind, Outcome, OutcomeKind, Scope, Service, Subject
from hub.notifications.mail import Noticeboard, mail_of
from hub.store import FindingKind, NoticeKind, WatchPatience

DAY = timedelta(days=1)
MORNING = NOW.replace(hour=7)
BUILDING = "urn:de:fim:leika:leistung:99012008001000"
OTHER = Service(identifier="urn:de:fim:leika:leistung:99115005104000")
TOWN = "bauamt@musterstadt.example"


@pytest.fixture
def watch(store):
    board = Noticeboard(store=store, mails=True, operators="betrieb@hub.example")
    return Watch(store=store, board=board, patience=WatchPatience(unused=timedelta()))


def _town(store, email=TOWN, **changes):
    return known_destination(store, contact={"legalName": "Musterstadt", "email": email}, **changes)


def _delivered(store, place, at=NOW):
    made = sent(store, place.destination_id, submitted_at=at, due=at)
    (claimed,) = claim(store, now=at)
    assert record(store, claimed, started_at=at, ended_at=at)
    return made


def _open(store, **more):
    return {(each.kind, each.about): each.number for each in store.findings.open(**({"scope": EVERYTHING} | more))}


def test_what_is_delivered_and_never_acknowledged_is_found_until_it_is(store, watch):
    place = _town(store)
    first, _ = _delivered(store, place), _delivered(store, place, NOW + DAY)
    assert watch.run(NOW + 6 * DAY) == 0
    assert watch.run(NOW + 9 * DAY) == 1
    (found,) = store.findings.open(scope=EVERYTHING)
    assert (found.kind, found.about, found.number) == (FindingKind.SILENT, str(place.destination_id), 2)
    assert (found.oldest_at, found.begun_at) == (NOW, NOW + 9 * DAY)
    store.event_log.append(
        first.case_id,
        first.submission_id,
        answer(EventKind.ACCEPT, first.case_id, first.submission_id, place.destination_id),
    )
    watch.run(NOW + 10 * DAY)
    (found,) = store.findings.open(scope=EVERYTHING)
    assert (found.number, found.begun_at, found.seen_at) == (1, NOW + 9 * DAY, NOW + 10 * DAY)


def test_a_finding_that_is_over_begins_anew_when_it_comes_back(store, watch):
    place = _town(store)
    sent(store, place.destination_id)
    (claimed,) = claim(store)
    refused, step = buried()
    assert record(store, claimed, refused, step)
    watch.run(NOW + DAY)
    assert _open(store) == {(FindingKind.GIVEN_UP, str(place.destination_id)): 1}
    assert store.deliveries.redrive(claimed.delivery_id, NOW + DAY)
    watch.run(NOW + 2 * DAY)
    assert _open(store) == {}
    (claimed,) = claim(store, now=NOW + 2 * DAY)
    assert record(store, claimed, refused, step, ended_at=NOW + 2 * DAY)
    watch.run(NOW + 3 * DAY)
    assert store.findings.open(scope=EVERYTHING)[0].begun_at == NOW + 3 * DAY


def test_mailboxes_that_nobody_empties_and_callbacks_that_nobody_takes_are_found(store, watch):
    place = _town(store)
    sent(store, place.destination_id)
    (claimed,) = claim(store)
    assert record(store, claimed, Outcome(kind=OutcomeKind.WAITING, note="mailbox"))
    store.callbacks.add(callback(party="online-service"))
    (called,) = store.callbacks.claim(NOW, lease=DAY, node="a", limit=1)
    assert store.callbacks.record(called, sent=False, next_attempt_at=None, note="HTTP 500", now=NOW)
    watch.run(NOW + 4 * DAY)
    assert _open(store) == {
        (FindingKind.MAILBOX, str(place.destination_id)): 1,
        (FindingKind.CALLBACKS, "online-service"): 1,
    }
    assert _open(store, kind=FindingKind.MAILBOX).keys() == {(FindingKind.MAILBOX, str(place.destination_id))}
    assert _open(store, scope=Scope.of_area("06414")) == {}
    assert store.findings.counts(scope=EVERYTHING)[FindingKind.CALLBACKS] == 1


def test_senders_that_stopped_and_destinations_without_traffic_are_found(store):
    made, chance = SeededYear(store), random.Random(2)
    for day in range(20):
        made.submit(NOW + day * DAY, chance)
    made.checkpoint(1)
    roll_up = RollUp(store=store)
    for day in range(21):
        roll_up.run(NOW + day * DAY)
    unused = known_destination(store, tenant="06411")
    watch = Watch(
        store=store, board=Noticeboard(store=store), patience=WatchPatience(silent=timedelta(), mailbox=timedelta())
    )
    watch.run(NOW + 25 * DAY)
    assert _open(store, kind=FindingKind.SENDER) == {}
    watch.run(NOW + 38 * DAY)
    senders = {about for _, about in _open(store, kind=FindingKind.SENDER)}
    assert senders
    assert senders <= {"portal", "vendor-x"}
    watch.run(NOW + 95 * DAY)
    assert (FindingKind.UNUSED, str(unused.destination_id)) in _open(store)


def test_what_is_taken_over_and_not_decided_is_found_where_its_service_says_so_until_the_authority_writes(store):
    place = _town(store)
    board = Noticeboard(store=store, mails=True, operators="betrieb@hub.example")
    late = {BUILDING: timedelta(weeks=4)}
    watch = Watch(store=store, board=board, patience=WatchPatience(unused=timedelta()), decisions=lambda: late)
    first, second, other, _ = (sent(store, place.destination_id, **more) for more in ({}, {}, {"service": OTHER}, {}))
    for made in (first, second, other):
        said = answer(EventKind.ACCEPT, made.case_id, made.submission_id, place.destination_id)
        store.event_log.append(made.case_id, made.submission_id, said)
    decision = (FindingKind.DECISION, str(place.destination_id))
    watch.run(NOW + 28 * DAY)
    assert _open(store).get(decision) is None
    watch.run(MORNING + 29 * DAY)
    assert _open(store)[decision] == 2, "one service says nothing, and one application is not taken over"
    store.retention.delete_contents(second.submission_id, now=NOW + 30 * DAY)
    watch.run(NOW + 30 * DAY)
    assert _open(store)[decision] == 2, "what retention deleted is undecided as well"
    reply = announced(
        store,
        place.destination_id,
        kind=Subject.REPLY,
        case_id=first.case_id,
        new_case=False,
        sender="specialist-system",
        addressee="online-service",
    )
    watch.run(NOW + 31 * DAY)
    assert _open(store)[decision] == 2, "what is announced is not written yet"
    assert completed(store, reply)
    watch.run(NOW + 31 * DAY + timedelta(hours=1))
    assert _open(store)[decision] == 2, "it is looked for once a day, and stays until then"
    watch.run(NOW + 32 * DAY)
    assert _open(store)[decision] == 1
    late.clear()
    watch.run(NOW + 33 * DAY)
    assert decision not in _open(store)
    mails = [
        mail_of(each.notice, sender="hub@hub.example", base_url="https://hub.example")
        for each in store.notices.given().items
    ]
    text = next(each.get_content() for each in mails if each["To"] == TOWN)
    assert "Entscheidung überfällig" in text
    assert "decision overdue" in text


def test_each_contact_gets_one_digest_a_day_over_all_nodes_and_none_at_zero(store, open_store, watch):
    watch.run(MORNING)
    assert store.notices.given().total == 0
    place, second = _town(store), _town(store, tenant="06414")
    _delivered(store, place), _delivered(store, second)
    other = Watch(store=open_store(), board=watch.board, patience=watch.patience)
    watch.run(MORNING.replace(hour=1) + 9 * DAY)
    assert store.notices.given().total == 0  # It is night.
    for each in (watch, other, watch):
        each.run(MORNING + 9 * DAY)
    given = [each.notice for each in store.notices.given().items]
    assert sorted(each.recipient for each in given) == [TOWN, "betrieb@hub.example"]
    mail = mail_of(
        next(each for each in given if each.recipient == TOWN), sender="hub@hub.example", base_url="https://hub.example"
    )
    text = mail.get_content()
    assert mail["Subject"] == "2 offene Punkte / 2 open points"
    assert "seit dem 20.11.2026" in text
    assert "- zugestellt, vom Fachverfahren nicht bestätigt: 2" in text
    assert "https://hub.example/admin/open" in text
    watch.run(MORNING + 10 * DAY)
    assert store.notices.given().total == 4
    assert {each.notice.kind for each in store.notices.given().items} == {NoticeKind.DIGEST}


def test_the_sender_and_the_list_of_work_say_that_nobody_acknowledges(pages):
    stage = pages.stage
    stage.accept(area=TAUNUSSTEIN)
    (claimed,) = claim(stage.hub.store, now=stage.clock())
    assert record(stage.hub.store, claimed, started_at=stage.clock(), ended_at=stage.clock())
    client = stage.hub.directory.client(stage.sender, now=stage.clock())

    class Sender:
        client_id = client.client_id

    assert stage.hub.desk.progress(claimed.submission.submission_id, caller=Sender).not_acknowledged_since is None
    stage.clock.pass_(days=8)
    stage.hub.watch.run(stage.clock())
    progress = stage.hub.desk.progress(claimed.submission.submission_id, caller=Sender)
    assert progress.not_acknowledged_since == stage.clock() - 8 * DAY
    assert progress.history[-1].step == "not-acknowledged"
    assert "seit dem 20.11.2026 nicht bestätigt" in progress.history[-1].text.de
    for person, sees in (("viktor", True), ("doris", True), ("walter", False)):
        text = pages.as_(person).get("/open").text
        assert ("vom Fachverfahren nicht bestätigt (1)" in text, "Nichts liegt still." in text) == (sees, not sees)
    assert pages.as_("viktor").get("/open?kind=nothing").status_code == 400
