"""The event log: state machine, claims and hash chain."""

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Conflict
from hub.model.events import GENESIS, TRANSITIONS, Beside, Event, EventKind, Subject, chain, history, next_state
from hub.model.submission import State

CASE = UUID("e89e107e-ed79-40e6-ad34-4e770f9df263")
SUBMISSION = UUID("ce75a6b8-d72f-4b94-b09e-af6be35bc2ae")


def event(kind=EventKind.CREATE, **more):
    values = {
        "case_id": CASE,
        "seq": 0,
        "jti": uuid4(),
        "subject": Subject.SUBMISSION,
        "subject_id": SUBMISSION,
        "kind": kind,
        "issuer": "https://hub.example.org",
        "by_hub": True,
        "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Event(**{**values, **more})


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (State.ACCEPTED, EventKind.ACCEPT),
        (State.REJECTED, EventKind.ACCEPT),
        (State.INCOMPLETE, EventKind.ACCEPT),
        (State.DELETED, EventKind.REJECT),
        (State.SUBMITTED, EventKind.DELETE),
        (None, EventKind.SUBMIT),
    ],
)
def test_a_step_that_the_state_machine_lacks_is_a_conflict(state, kind):
    with pytest.raises(Conflict) as caught:
        next_state(state, kind)
    assert caught.value.slug == "invalid-state-transition"


@given(st.lists(st.sampled_from(list(EventKind)), max_size=12))
def test_any_walk_through_the_state_machine_ends_in_a_known_state_and_deleted_is_final(kinds):
    state = None
    for kind in kinds:
        if (state, kind) in TRANSITIONS:
            assert state is not State.DELETED
            state = next_state(state, kind)
    assert state is None or state in State


def test_contents_are_deleted_only_from_terminal_states_or_before_submission():
    sources = {state for (state, kind) in TRANSITIONS if kind is EventKind.DELETE}
    assert sources == {State.INCOMPLETE, State.ACCEPTED, State.REJECTED}


def test_claims_have_exactly_one_event_and_whole_seconds():
    claims = event(issued_at=datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)).claims()
    assert claims["events"] == {"https://schema.fitko.de/fit-connect/events/create-submission": {}}
    assert claims["iat"] == 1_767_225_600
    assert (claims["sub"], claims["txn"]) == (f"submission:{SUBMISSION}", f"case:{CASE}")


def test_a_chain_begins_at_genesis_and_links_every_entry():
    first, second = chain([event(), event(EventKind.SUBMIT)])
    assert (first.previous, first.seq) == (GENESIS, 1)
    assert (second.previous, second.seq) == (first.hash, 2)


def test_a_chain_can_be_continued():
    whole = [event(), event(EventKind.SUBMIT), event(EventKind.NOTIFY)]
    linked = chain(whole)
    assert chain(whole[2:], head=linked[1].hash, seq=2) == linked[2:]


CHANGES = {
    "another kind": {"kind": EventKind.ACCEPT},
    "another payload": {"payload": {"problems": []}},
    "another digest": {"digests": {"data": "00"}},
    "another issuer": {"issuer": "https://other.example.org"},
    "another time": {"issued_at": datetime(2026, 1, 2, tzinfo=UTC)},
    "another number": {"seq": 7},
    "another predecessor": {"previous": "f" * 64},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_one_changed_value_changes_the_hash(change):
    entry = chain([event(digests={"data": "ff"})])[0]
    assert replace(entry, **change).entry_hash() != entry.hash


def test_a_foreign_token_is_part_of_the_chain_and_the_hubs_own_signature_is_not():
    own = chain([event()])[0]
    assert replace(own, jws="signed.later.x").entry_hash() == own.hash
    foreign = chain([event(by_hub=False, jws="a.b.c")])[0]
    assert replace(foreign, jws="a.b.d").entry_hash() != foreign.hash


START = datetime(2026, 1, 1, 12, 0, 10, 120_000, tzinfo=UTC)
_LOG = st.lists(
    st.builds(
        event,
        kind=st.sampled_from(list(EventKind)),
        by_hub=st.booleans(),
        issued_at=st.integers(-3_000, 3_000).map(lambda ms: START + timedelta(milliseconds=ms)),
    ),
    max_size=8,
)


def test_a_receivers_whole_seconds_do_not_put_its_answer_before_the_submission():
    whole = START.replace(microsecond=0)
    log = [
        event(issued_at=START),
        event(EventKind.SUBMIT, issued_at=START),
        event(EventKind.NOTIFY, issued_at=START + timedelta(milliseconds=200)),
        event(EventKind.ACCEPT, by_hub=False, issued_at=whole),
    ]
    attempt = Beside(at=START + timedelta(milliseconds=180), step="attempt", attempt=True)
    shown = history([(one, one.kind.value) for one in log], [attempt])
    assert shown == ["create", "submit", "attempt", "notify", "accept"]


def test_an_attempt_stands_before_its_answer_even_if_it_ended_after_it():
    log = [event(issued_at=START), event(EventKind.ACCEPT, by_hub=False, issued_at=START)]
    late = [Beside(at=START + timedelta(seconds=5), step="attempt", attempt=True)]
    lost = [Beside(at=START + timedelta(seconds=6), step="callback")]
    shown = history([(one, one.kind.value) for one in log], late + lost)
    assert shown == ["create", "attempt", "accept", "callback"]


@given(_LOG, st.lists(st.tuples(st.integers(-3_000, 3_000), st.booleans()), max_size=8))
def test_a_history_keeps_the_logs_order_and_loses_nothing_whatever_the_clocks_say(log, beside):
    others = [
        Beside(at=START + timedelta(milliseconds=ms), step=("beside", n), attempt=attempt)
        for n, (ms, attempt) in enumerate(beside)
    ]
    shown = history([(one, ("log", n)) for n, one in enumerate(log)], others)
    assert [n for kind, n in shown if kind == "log"] == list(range(len(log)))
    assert sorted(shown) == sorted([("log", n) for n in range(len(log))] + [one.step for one in others])


def test_the_hub_makes_its_own_events_in_one_place():
    made = set()
    for file in sorted((Path(__file__).parents[2] / "hub").rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        own = (each for call in calls for each in call.keywords if each.arg == "by_hub")
        if any(isinstance(each.value, ast.Constant) and each.value.value is True for each in own):
            made.add(file.name)
    assert made == {"events.py"}
