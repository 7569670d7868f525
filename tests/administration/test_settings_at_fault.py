"""What only a destination's settings can mend: a pause and an alert at once, dead letters after a day, release by a change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_values import accepted
from test_circuit import BREAKER, DELIVERED, Yard, yard  # noqa: F401  # yard is a fixture

from hub.jobs.retention import Undelivered
from hub.model import EVERYTHING, reasons
from hub.model.delivery import Schedule, Standing, StepKind, next_standing, next_step
from hub.model.submission import DeadCause, Outcome, OutcomeKind
from hub.notifications.mail import Noticeboard
from hub.store import Circuit, DeliveryState

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOT_PUBLIC = Outcome(kind=OutcomeKind.UNREACHABLE, note=reasons.NOT_PUBLIC.note, cause=DeadCause.CONFIGURATION)


@given(
    attempt=st.integers(1, 60),
    waited=st.timedeltas(timedelta(0), timedelta(days=20)),
    chance=st.floats(0, 1, exclude_max=True),
    note=st.sampled_from(
        [reasons.NOT_PUBLIC.note, reasons.NO_HOST.note, "token server: address is not public", "address refused"]
    ),
)
def test_what_only_settings_mend_is_never_tried_beyond_a_day_and_is_soon_due_until_then(attempt, waited, chance, note):
    outcome = Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.CONFIGURATION)
    step = next_step(outcome, attempt=attempt, accepted_at=NOW, now=NOW + waited, schedule=Schedule(), chance=chance)
    if step.kind is StepKind.BURY:
        assert step.cause is DeadCause.CONFIGURATION
        assert waited > DAY - timedelta(minutes=2)
    else:
        assert step.kind is StepKind.RETRY
        assert NOW + waited < step.due <= min(NOW + DAY, NOW + waited + timedelta(minutes=1))


@given(
    attempt=st.integers(1, 60),
    waited=st.timedeltas(timedelta(0), timedelta(days=20)),
    fault=st.timedeltas(timedelta(0), timedelta(days=20)),
)
def test_what_waited_before_the_fault_has_its_day_from_then_and_never_more_than_the_schedule(attempt, waited, fault):
    now, since = NOW + waited, NOW + min(fault, waited)
    step = next_step(NOT_PUBLIC, attempt=attempt, accepted_at=NOW, now=now, schedule=Schedule(), faulty_since=since)
    end = min(since + DAY, NOW + Schedule().give_up)
    assert (step.kind is StepKind.BURY) == (now + Schedule().settings_wait > end)


@pytest.mark.parametrize(
    "note",
    ["TLS certificate not trusted", "login refused", "HTTP 404", "SMTP 550 at RCPT", "name not found", "timed out"],
)
def test_what_the_authority_may_mend_by_itself_is_tried_for_the_whole_schedule(note):
    outcome = Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=DeadCause.CONFIGURATION)
    step = next_step(outcome, attempt=9, accepted_at=NOW, now=NOW + 3 * DAY, schedule=Schedule())
    assert step.kind is StepKind.RETRY


def test_the_circuit_opens_at_the_first_such_end_and_says_why_until_an_attempt_gets_through():
    opened = next_standing(NOT_PUBLIC, Standing(), now=NOW, breaker=BREAKER)
    assert opened.is_open(NOW + timedelta(minutes=59))
    assert (opened.fault, opened.fault_since) == ("address-not-public", NOW)
    later = opened.open_until
    again = next_standing(NOT_PUBLIC, opened, now=later, breaker=BREAKER)
    assert again.is_open(later)
    assert again.fault_since == NOW
    assert next_standing(DELIVERED, again, now=again.open_until, breaker=BREAKER) == Standing()


def test_a_destination_whose_address_is_not_public_is_complained_of_at_once_and_tried_once_an_hour(yard, caplog):  # noqa: F811
    there = yard.destination(NOT_PUBLIC)
    for _ in range(20):
        accepted(yard.store, there)
    working = yard.dispatcher()
    working.run_once()
    first = yard.tried[there]
    assert first <= 4  # Those that were claimed together.
    assert yard.store.circuits.circuit(there).fault == "address-not-public"
    assert yard.value("hub_circuit_openings_total", reason="configuration") == 1
    (entry,) = [each.entry for each in yard.store.audit.entries(scope=EVERYTHING).items]
    assert (entry.action, entry.target, entry.after) == (
        "circuit.pause",
        f"destination:{there}",
        {"note": "address is not public"},
    )
    assert any(line.levelname == "ERROR" and str(there) in line.getMessage() for line in caplog.records)
    for _ in range(3):
        yard.now += timedelta(minutes=61)
        while working.run_once():
            pass
    assert yard.tried[there] == first + 3
    assert len(yard.store.audit.entries(scope=EVERYTHING).items) == 1


def test_a_change_of_the_settings_lets_everything_go_out_at_once(yard):  # noqa: F811
    there = yard.destination(NOT_PUBLIC)
    made = [accepted(yard.store, there) for _ in range(10)]
    working = yard.dispatcher()
    yard.work(working, seconds=3)
    yard.now += timedelta(minutes=20)
    yard.answers[there] = DELIVERED
    # What DestinationService.change does with an adapter's options.
    yard.store.circuits.change(there, lambda _: Circuit(destination_id=there), yard.now)
    while working.run_once():
        pass
    assert all(yard.store.deliveries.of(one.submission_id).state is DeliveryState.DELIVERED for one in made)


def test_a_day_later_all_that_waits_behind_the_fault_are_dead_letters_of_cause_configuration(yard):  # noqa: F811
    there, elsewhere = (
        yard.destination(NOT_PUBLIC),
        yard.destination(Outcome(kind=OutcomeKind.UNREACHABLE, note="timed out")),
    )
    made = [accepted(yard.store, there) for _ in range(6)]
    others = [accepted(yard.store, elsewhere) for _ in range(3)]
    working = yard.dispatcher()
    working.run_once()
    board = Noticeboard(store=yard.store, actor="hub:n", mails=False, operators="")
    duty = Undelivered(store=yard.store, board=board, meters=yard.meters, give_up=timedelta(days=14))
    duty.run(yard.now + timedelta(hours=23))
    assert yard.store.deliveries.dead(scope=EVERYTHING).total == 0
    duty.run(yard.now + DAY + timedelta(minutes=1))
    dead = yard.store.deliveries.dead(DeadCause.CONFIGURATION, scope=EVERYTHING)
    assert {each.submission_id for each in dead.items} == {one.submission_id for one in made}
    assert all(yard.store.deliveries.of(one.submission_id).state is DeliveryState.QUEUED for one in others)


def test_a_circuit_that_an_older_node_closed_is_not_at_fault_any_more(yard):  # noqa: F811
    there = yard.destination(NOT_PUBLIC)
    accepted(yard.store, there)
    yard.dispatcher().run_once()
    faulty = yard.store.circuits.circuit(there)
    yard.store.circuits.change(
        there, lambda _: Circuit(destination_id=there, fault=faulty.fault, fault_since=faulty.fault_since), yard.now
    )
    assert yard.store.circuits.circuit(there).standing == Standing()
