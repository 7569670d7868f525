"""Dead letters: split by who has to act, sent again singly and in bulk, audited, and never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from stage import NOW as STAGED
from store_values import (
    NOW,
    accepted,
    answer,
    buried,
    callback,
    claim,
    first_events,
    known_destination,
    record,
    submission,
)

from hub.administration.dead_letters import DeadLetters, RedrivenBy, RedriveWindow
from hub.cli import main
from hub.crypto import claims_of
from hub.errors import Conflict, Invalid, NotFound
from hub.jobs.retention import Undelivered
from hub.model import (
    EVERYTHING,
    DeadCause,
    EventKind,
    Outcome,
    OutcomeKind,
    Schedule,
    Scope,
    State,
    Step,
    StepKind,
    Subject,
    next_step,
    reason_for_people,
)
from hub.notifications.mail import Noticeboard
from hub.observability.metrics import Meters
from hub.store import DeliveryState

BY = RedrivenBy(actor="cli:anna", now=NOW + timedelta(hours=1), reason="receiver is back")
DAY = timedelta(days=1)
_LATER = Step(kind=StepKind.RETRY, due=NOW + timedelta(minutes=1))
_UNREACHABLE = Outcome(kind=OutcomeKind.UNREACHABLE, note="connection refused")


def dead(store, destination_id, cause=DeadCause.RECEIVER) -> UUID:
    """A delivery that ended in the dead letters."""
    made = accepted(store, destination_id)
    taken = next(one for one in claim(store, each=100) if one.submission.submission_id == made.submission_id)
    assert record(store, taken, *buried(cause))
    return taken.delivery_id


def audited(store) -> list[tuple[str, str, int]]:
    entries = [each.entry for each in store.audit.entries(scope=EVERYTHING).items]
    return [(entry.action, entry.actor, entry.after["redriven"]) for entry in entries]


def test_an_unknown_delivery_is_not_found(store):
    with pytest.raises(NotFound):
        DeadLetters(store=store).redrive(uuid4(), scope=EVERYTHING, within=None, by=BY)


def test_a_delivery_of_somebody_elses_is_not_found_either(store):
    delivery_id = dead(store, known_destination(store).destination_id)
    other = known_destination(store).destination_id
    with pytest.raises(NotFound):
        DeadLetters(store=store).redrive(delivery_id, scope=EVERYTHING, within={other}, by=BY)
    assert audited(store) == []


def test_what_was_answered_meanwhile_is_a_conflict_alone_and_left_alone_in_bulk(store):
    receiver = known_destination(store).destination_id
    delivery_id = dead(store, receiver)
    (view,) = store.deliveries.dead(scope=EVERYTHING).items
    message = store.submissions.message(view.submission_id)
    make = answer(EventKind.REJECT, message.case_id, message.id, receiver, issued_at=NOW)
    store.event_log.append(message.case_id, message.id, make)
    with pytest.raises(Conflict):
        DeadLetters(store=store).redrive(delivery_id, scope=EVERYTHING, within=None, by=BY)
    assert DeadLetters(store=store).redrive_all(None, scope=EVERYTHING, within=None, by=BY) == 0
    assert audited(store) == []


def test_redriving_twice_redrives_once(store):
    dead_letters, delivery_id = DeadLetters(store=store), dead(store, known_destination(store).destination_id)
    assert dead_letters.redrive(delivery_id, scope=EVERYTHING, within=None, by=BY)
    assert not dead_letters.redrive(delivery_id, scope=EVERYTHING, within=None, by=BY)
    assert audited(store) == [("delivery.redrive", "cli:anna", 1)]
    assert len(claim(store, now=BY.now)) == 1


def test_letters_are_listed_by_cause_and_destination(store):
    one, two = known_destination(store).destination_id, known_destination(store).destination_id
    first, second = dead(store, one, DeadCause.PAYLOAD), dead(store, two, DeadCause.RECEIVER)
    dead_letters = DeadLetters(store=store)

    def listed(cause=None, within=None) -> set[UUID]:
        return {each.delivery_id for each in dead_letters.list(cause, scope=EVERYTHING, within=within).items}

    assert listed() == {first, second}
    assert listed(DeadCause.PAYLOAD) == {first}
    assert listed(within={two}) == {second}
    assert listed(DeadCause.PAYLOAD, {two}) == set()
    assert listed(within=set()) == set()


def test_bulk_takes_one_cause_of_one_destination_and_says_how_many(store):
    one, two = known_destination(store).destination_id, known_destination(store).destination_id
    for _ in range(3):
        dead(store, one, DeadCause.RECEIVER)
    dead(store, one, DeadCause.PAYLOAD)
    dead(store, two, DeadCause.RECEIVER)
    dead_letters = DeadLetters(store=store)
    assert dead_letters.redrive_all(DeadCause.RECEIVER, scope=EVERYTHING, within={one}, by=BY) == 3
    assert dead_letters.redrive_all(DeadCause.RECEIVER, scope=EVERYTHING, within={one}, by=BY) == 0
    assert dead_letters.list(None, scope=EVERYTHING, within=None).total == 2
    assert audited(store) == [("delivery.redrive", "cli:anna", 3)]


def test_bulk_leaves_alone_what_died_after_it_was_asked_for(store):
    """Whoever redrives before the fault is mended would otherwise chase the same letters round and round."""
    there = known_destination(store).destination_id
    dead(store, there)
    dead_letters = DeadLetters(store=store)
    assert dead_letters.redrive_all(None, scope=EVERYTHING, within=None, by=BY) == 1
    (taken,) = claim(store, now=BY.now)
    assert record(store, taken, *buried(), ended_at=BY.now + timedelta(seconds=1))
    assert dead_letters.redrive_all(None, scope=EVERYTHING, within=None, by=BY) == 0
    assert (
        dead_letters.redrive_all(None, scope=EVERYTHING, within=None, by=replace(BY, now=BY.now + timedelta(minutes=1)))
        == 1
    )


def window(since, until, cause=DeadCause.RECEIVER) -> RedriveWindow:
    return RedriveWindow(cause=cause, since=since, until=until)


def test_a_window_takes_what_died_within_it_and_no_more_than_was_confirmed(store):
    here = known_destination(store).destination_id
    first, second = dead(store, here), dead(store, here)
    late = accepted(store, here)
    taken = next(one for one in claim(store, each=100) if one.submission.submission_id == late.submission_id)
    assert record(store, taken, *buried(), ended_at=NOW + timedelta(minutes=30))
    desk, minute = DeadLetters(store=store), timedelta(minutes=1)
    wanted = window(NOW - minute, NOW + minute)
    assert desk.found(wanted, scope=EVERYTHING, now=BY.now) == 2
    assert desk.found(wanted, scope=Scope.of_area("06414"), now=BY.now) == 0
    assert desk.found(window(NOW - minute, NOW + DAY), scope=EVERYTHING, within=set(), now=BY.now) == 0
    with pytest.raises(Conflict) as more:
        desk.redrive_window(wanted, expected=1, scope=EVERYTHING, by=BY)
    assert "2 Zustellungen" in more.value.detail.de
    assert audited(store) == []
    assert desk.redrive_window(wanted, expected=2, scope=EVERYTHING, by=BY) == 2
    assert audited(store) == [("delivery.redrive", "cli:anna", 2)]
    assert {claimed.delivery_id for claimed in claim(store, now=BY.now, each=100)} == {first, second}
    assert desk.redrive_window(wanted, expected=2, scope=EVERYTHING, by=BY) == 0


def test_a_window_is_bounded(store, monkeypatch):
    monkeypatch.setattr("hub.administration.dead_letters.MOST_REDRIVEN", 1)
    here = known_destination(store).destination_id
    dead(store, here), dead(store, here)
    with pytest.raises(Invalid):
        DeadLetters(store=store).redrive_window(window(NOW - DAY, NOW + DAY), expected=9, scope=EVERYTHING, by=BY)
    with pytest.raises(Invalid):
        window(NOW, NOW)


def test_what_is_sent_again_has_its_attempts_and_its_time_anew():
    schedule = Schedule()
    after_a_week = {"attempt": 40, "schedule": schedule, "chance": 0.0}
    tired = next_step(_UNREACHABLE, accepted_at=NOW, now=NOW + 13 * DAY, **after_a_week)
    assert tired.due == NOW + 13 * DAY + schedule.longest
    anew = next_step(_UNREACHABLE, accepted_at=NOW + 13 * DAY, now=NOW + 13 * DAY, **after_a_week)
    assert anew.due == NOW + 13 * DAY + schedule.first
    late = NOW + 26 * DAY
    assert next_step(_UNREACHABLE, accepted_at=NOW + 13 * DAY, now=late, **after_a_week).kind is StepKind.RETRY


def quarantined(store, destination_id):
    made = submission(destination_id)
    future = store.submissions.submit(
        made, events=first_events(made), receipt="r", idempotency=None, first_attempt_at=NOW, quarantine=True
    )
    assert future.result(10) is None
    return made


def test_what_is_quarantined_is_dead_from_the_start_and_unseen_until_released(store):
    receiver = known_destination(store).destination_id
    made = quarantined(store, receiver)
    seen = {"destination_ids": [receiver], "state": State.SUBMITTED}
    view = store.deliveries.of(made.submission_id)
    assert (view.state, view.cause, view.finished_at) == (DeliveryState.DEAD, DeadCause.PAYLOAD, NOW)
    assert claim(store) == []
    assert store.deliveries.quarantined(made.submission_id)
    assert store.submissions.messages(Subject.SUBMISSION, **seen).total == 0
    assert DeadLetters(store=store).redrive(view.delivery_id, scope=EVERYTHING, within=None, by=BY)
    assert store.submissions.messages(Subject.SUBMISSION, **seen).total == 1
    assert not store.deliveries.quarantined(made.submission_id)
    (taken,) = claim(store, now=BY.now)
    assert (taken.attempt, taken.repeat) == (1, False)


def test_what_a_receiver_refused_is_not_quarantined(store):
    receiver = known_destination(store).destination_id
    dead(store, receiver, DeadCause.PAYLOAD)
    (view,) = store.deliveries.dead(scope=EVERYTHING).items
    assert not store.deliveries.quarantined(view.submission_id)


def test_the_figures_count_on_both_engines(store):
    receiver = known_destination(store).destination_id
    accepted(store, receiver)
    store.callbacks.add(callback())
    store.circuits.change(receiver, lambda one: replace(one, failures=2), NOW)
    figures = store.figures
    sums = figures.sums()
    assert (sums.callbacks_pending, sums.callbacks_dead, sums.cases_uncovered, sums.blob_bytes) == (1, 0, 1, 0)
    assert (sums.notices_pending, sums.notices_dead) == (0, 0)
    assert [(one.destination_id, one.failures) for one in figures.troubled(limit=10, scope=EVERYTHING)] == [
        (receiver, 2)
    ]


def undelivered(store, meters=None) -> Undelivered:
    board = Noticeboard(store=store, actor="hub:n")
    return Undelivered(store=store, board=board, meters=meters or Meters(), give_up=14 * DAY)


def pushed(store) -> UUID:
    """A delivery that was attempted in vain and waits for its next attempt."""
    made = accepted(store, known_destination(store).destination_id)
    assert record(store, claim(store)[0], _UNREACHABLE, _LATER)
    return made.submission_id


def actions(store) -> list[tuple[str, int]]:
    return [(each.entry.action, each.entry.after["days"]) for each in store.audit.entries(scope=EVERYTHING).items]


def test_before_the_third_day_nobody_is_bothered(store):
    pushed(store)
    assert undelivered(store).run(NOW + 3 * DAY - timedelta(hours=1)) == 0
    assert actions(store) == []


def test_on_day_3_and_9_the_operators_are_told_once_each(store):
    pushed(store)
    duty = undelivered(store)
    for day in (3, 4, 8, 9, 10, 13):
        duty.run(NOW + day * DAY + timedelta(hours=1))
    assert actions(store) == [("delivery.overdue", 3), ("delivery.overdue", 9)]


def test_a_hub_that_slept_through_day_3_tells_once(store):
    pushed(store)
    undelivered(store).run(NOW + 10 * DAY)
    assert actions(store) == [("delivery.overdue", 9)]


def test_what_waits_behind_an_open_circuit_is_given_up_in_time(store):
    submission_id = pushed(store)
    destination_id = store.deliveries.of(submission_id).destination_id
    store.circuits.change(destination_id, lambda one: replace(one, open_until=NOW + 3650 * DAY), NOW)
    assert claim(store, now=NOW + 15 * DAY) == []
    undelivered(store).run(NOW + 15 * DAY)
    view = store.deliveries.of(submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.RECEIVER)
    assert actions(store) == [("delivery.give-up", 14)]


def test_what_is_redriven_is_told_of_anew(store):
    accepted(store, known_destination(store).destination_id)
    duty = undelivered(store)
    duty.run(NOW + 10 * DAY)
    duty.run(NOW + 15 * DAY)
    (delivery_id,) = store.deliveries.dead(scope=EVERYTHING).items
    assert store.deliveries.redrive(delivery_id.delivery_id, NOW + 16 * DAY)
    assert duty.run(NOW + 16 * DAY) == 0
    assert duty.run(NOW + 20 * DAY) == 1
    assert duty.run(NOW + 20 * DAY) == 0


def test_an_attempt_under_way_is_not_given_up(store):
    accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store, now=NOW + 14 * DAY)
    undelivered(store).run(NOW + 14 * DAY + timedelta(minutes=1))
    assert record(store, taken)


def test_whoever_comes_back_after_it_was_given_up_loses(store):
    submission_id = accepted(store, known_destination(store).destination_id).submission_id
    (taken,) = claim(store)
    undelivered(store).run(NOW + 15 * DAY)
    assert not record(store, taken)
    assert store.deliveries.of(submission_id).state is DeliveryState.DEAD


# ------------------------------------------------------------------------------------- over HTTP and on the command line


@pytest.fixture
def delivery_id(stage) -> UUID:
    """A dead letter of the stage's building authority."""
    submission_id = UUID(claims_of(stage.accept().receipt)["sub"].removeprefix("submission:"))
    (taken,) = stage.hub.store.queue.claim(STAGED, lease=timedelta(minutes=1), node="n", limit=1, per_destination=1)
    step = Step(kind=StepKind.BURY, cause=DeadCause.RECEIVER)
    outcome = Outcome(kind=OutcomeKind.REFUSED, note="HTTP 403", cause=DeadCause.RECEIVER)
    assert stage.hub.store.queue.record(taken, outcome, step, started_at=STAGED, ended_at=STAGED)
    return stage.hub.store.deliveries.of(submission_id).delivery_id


def manager(served, owner: bool) -> dict[str, str]:
    """The header of a client that may manage destinations and owns the building authority, or nothing."""
    from hub.identity import new_client
    from hub.model import ClientKind

    stage = served.stage
    client, secret = new_client(ClientKind.SUBSCRIBER, "Betrieb", now=stage.clock(), manage=True)
    stage.hub.store.parties.add_client(client)
    if owner:
        there = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
        stage.hub.store.parties.replace_destination(replace(there, owner=client.client_id))
    login = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": secret}
    token = served.session.post(f"{served.base_url}/token", data=login, timeout=30).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_a_sender_may_not_even_look(delivery_id, served):
    assert served.get("/hub/v1/dead-letters").status_code == 403


def test_another_manager_sees_and_does_nothing(delivery_id, served):
    header = manager(served, owner=False)
    assert served.get("/hub/v1/dead-letters", headers=header).json()["deadLetters"] == []
    assert served.post(f"/hub/v1/dead-letters/{delivery_id}/redrive", headers=header).status_code == 404
    wish = {"cause": "receiver"}
    assert served.post("/hub/v1/dead-letters/redrive", json=wish, headers=header).json() == {"redriven": 0}
    named = wish | {"destinationId": str(served.stage.destination_id("Rheingau"))}
    assert served.post("/hub/v1/dead-letters/redrive", json=named, headers=header).status_code == 404


def test_the_owner_lists_and_redrives_over_http(delivery_id, served):
    header = manager(served, owner=True)
    listed = served.get("/hub/v1/dead-letters", params={"cause": "receiver"}, headers=header).json()
    assert [each["deliveryId"] for each in listed["deadLetters"]] == [str(delivery_id)]
    words = {"de": reason_for_people("HTTP 403", german=True), "en": reason_for_people("HTTP 403", german=False)}
    assert [each["reason"] for each in listed["deadLetters"]] == [{"code": "http-403", **words}]
    url = f"/hub/v1/dead-letters/{delivery_id}/redrive"
    first = served.post(url, json={"reason": "wieder da"}, headers=header)
    assert (first.status_code, first.json()) == (202, {"redriven": 1})
    assert served.post(url, headers=header).json() == {"redriven": 0}
    entry = served.stage.hub.store.audit.entries(newest_first=True, scope=EVERYTHING).items[0].entry
    assert entry.action == "delivery.redrive"
    assert entry.actor.startswith("client:")
    assert entry.after == {"redriven": 1, "text": "wieder da"}


def test_the_owner_redrives_in_bulk_over_http(delivery_id, served):
    header = manager(served, owner=True)
    wish = {"cause": "receiver", "destinationId": str(served.stage.destination_id("Rheingau"))}
    assert served.post("/hub/v1/dead-letters/redrive", json=wish, headers=header).json() == {"redriven": 1}


def test_the_owner_redrives_a_window_over_http_once_the_number_is_confirmed(delivery_id, served):
    header, url = manager(served, owner=True), "/hub/v1/dead-letters/redrive"
    window = {"since": "2026-11-20T11:59:00Z", "until": "2026-11-20T13:00:00+01:00"}
    served.stage.clock.pass_(minutes=1)
    assert served.post(url, json={"cause": "receiver", **window}, headers=header).json() == {"redriven": 0, "found": 0}
    wish = {"cause": "receiver", **window, "until": "2026-11-21T00:00:00Z"}
    assert served.post(url, json=wish, headers=header).json() == {"redriven": 0, "found": 1}
    assert served.post(url, json=wish | {"expected": 0}, headers=header).status_code == 409
    assert served.post(url, json=wish | {"expected": 1}, headers=header).json() == {"redriven": 1, "found": 1}
    swapped = wish | {"since": "2026-11-22T00:00:00Z"}
    assert served.post(url, json=swapped, headers=header).status_code == 422
    assert served.post(url, json={"cause": "receiver", "expected": 1}, headers=header).status_code == 422


def run(stage, *arguments: str):
    return CliRunner().invoke(main, ["dead", *arguments, "--data", str(stage.data)])


WRONG_CALLS = {
    "nothing to redrive": ("redrive",),
    "deliveries and all": ("redrive", str(uuid4()), "--all"),
    "all without a cause": ("redrive", "--all"),
    "a destination without all": ("redrive", str(uuid4()), "--destination", str(uuid4())),
    "a cause without all": ("redrive", str(uuid4()), "--cause", "hub"),
    "an unknown cause": ("list", "--cause", "weather"),
    "a time without all": ("redrive", str(uuid4()), "--since", "2026-11-20"),
    "an end without a beginning": ("redrive", "--all", "--cause", "hub", "--until", "2026-11-20"),
}


@pytest.mark.parametrize("arguments", WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_call_of_the_command_is_refused_before_anything_happens(stage, arguments):
    assert run(stage, *arguments).exit_code == 2


def test_the_command_lists_and_redrives(delivery_id, stage):
    listed = run(stage, "list", "--cause", "receiver").output
    assert str(delivery_id) in listed
    assert "http-403: " + " / ".join(reason_for_people("HTTP 403", german=german) for german in (True, False)) in listed
    assert str(delivery_id) not in run(stage, "list", "--cause", "payload").output
    assert run(stage, "redrive", str(delivery_id)).output.startswith("1 ")
    assert run(stage, "redrive", str(delivery_id)).output.startswith("0 ")


def test_the_command_redrives_in_bulk(delivery_id, stage):
    there = str(stage.destination_id("Rheingau"))
    assert run(stage, "redrive", "--all", "--cause", "payload", "--destination", there).output.startswith("0 ")
    assert run(stage, "redrive", "--all", "--cause", "receiver", "--destination", there).output.startswith("1 ")


def test_the_command_redrives_a_window_once_it_is_confirmed(delivery_id, stage):
    wanted = ("redrive", "--all", "--cause", "receiver", "--since", "2026-11-20T11:00", "--until", "2026-11-20T13:00")
    refused = CliRunner().invoke(main, ["dead", *wanted, "--data", str(stage.data)], input="n\n")
    assert (refused.exit_code, "send 1 deliveries again?" in refused.output) == (1, True)
    assert run(stage, *wanted, "--yes").output.startswith("1 ")


def test_the_command_shows_who_is_spared_and_tries_again_at_once(stage):
    there = stage.destination_id("Rheingau")
    stage.hub.store.circuits.change(there, lambda one: replace(one, failures=1, open_until=STAGED + 3650 * DAY), STAGED)

    def circuits(*arguments: str) -> str:
        return CliRunner().invoke(main, ["circuits", *arguments, "--data", str(stage.data)]).output

    assert str(there) in circuits("list")
    circuits("close", str(there))
    assert circuits("list") == ""
    assert stage.hub.store.audit.entries(newest_first=True, scope=EVERYTHING).items[0].entry.action == "circuit.close"


def test_a_circuit_of_nobody_is_not_closed(stage):
    closed = CliRunner().invoke(main, ["circuits", "close", str(uuid4()), "--data", str(stage.data)])
    assert closed.exit_code == 1
