"""Putting into service, broken off at each of its steps: a duty finishes it, and nothing is there twice."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from test_onboarding import hand_in, keys, person_called, sheet_row, some_towns, stage

from hub.administration.onboarding_standing import Stage
from hub.errors import Conflict, StoreUnavailable, Text
from hub.model import EVERYTHING
from hub.store import AuditEntry, VersionState
from hub.store.database import Database

__all__ = ["keys", "stage"]  # Fixtures that are used by their names.
#: The lease of who died has run out by then.
LATER = timedelta(minutes=2)
#: The run is held, then: the note, held on, the destination, held on, draft, approval, activation, the note's end.
STEPS = 8
#: Of which the first leaves nothing to be finished: what began is noted by it.
UNBEGUN = 1


class Killed(BaseException):
    """The process is not there any more."""


@contextmanager
def dying_before(monkeypatch, number: int, ending: type[StoreUnavailable] | None = None):
    """Let the process be gone before its so many-th commit; with ``ending``, that one commit fails alone."""
    written, commits = Database.write, [0]

    def write(self, work):
        commits[0] += 1
        if ending is None and commits[0] >= number:
            raise Killed
        if ending is not None and commits[0] == number:
            raise StoreUnavailable(Text("Gerade nicht.", "Not now."), retry_after=1)
        return written(self, work)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", write)
        yield commits


@pytest.fixture(scope="module")
def ready(stage, keys):
    """A run of authorities that are ready, and their areas."""
    desk, bert = stage.hub.onboarding, person_called(stage, "bert")
    towns = some_towns(stage, STEPS + 5)
    run = hand_in(stage, keys, *(sheet_row(ars, f"Gemeinde {ars}") for ars in towns)).run
    desk.release(run.run_id, bert, text="", now=stage.clock())
    for town in towns:
        store = stage.hub.store.onboarding
        store.tested(run.run_id, town, at=stage.clock() + timedelta(seconds=1), well=True)
    return run.run_id, iter(towns)


@pytest.fixture(autouse=True)
def another_day(stage):
    """Let each test begin when what the one before it did lies in the past."""
    stage.clock.pass_(days=1)


def _duty(stage):
    return next(each for each in stage.hub.duties.duties if each.name == "go-live")


def _made(stage, run_id: int, since: int) -> list[VersionState]:
    versions = stage.hub.store.routing_versions.versions(limit=50).items
    return [each.state for each in versions if each.number > since and each.title.endswith(f"({run_id})")]


def _changes(stage, here) -> int:
    entries = stage.hub.store.audit.entries(scope=EVERYTHING, target=str(here), limit=50).items
    return sum(each.entry.after.get("status") == "active" for each in entries)


@pytest.mark.parametrize(
    ("step", "ending"), [*((step, None) for step in range(1, STEPS + 1)), (3, StoreUnavailable), (6, StoreUnavailable)]
)
def test_what_broke_off_is_finished_by_the_duty_and_nothing_is_there_twice(stage, ready, monkeypatch, step, ending):
    (run_id, towns), desk, store = ready, stage.hub.onboarding, stage.hub.store
    town, now = next(towns), stage.clock()
    here = desk.standing(town, person_called(stage, "bert"), now=now).destination.destination_id
    versions = store.routing_versions.versions(limit=1).items[0].number
    activations = store.routing_versions.activations(limit=1).total
    with dying_before(monkeypatch, step + 1, ending), pytest.raises((Killed, StoreUnavailable)):
        desk.go_live(run_id, person_called(stage, "bert"), areas=[town], now=now)
    began = step > UNBEGUN
    assert _duty(stage).pending() is began
    if began and ending is None:
        assert _duty(stage).run(now + timedelta(seconds=30)) == 0, "whoever died is waited for, for a minute"
    assert _duty(stage).run(now + LATER) == int(began)
    if not began:
        assert store.parties.destination(here).status == "created"
        assert desk.go_live(run_id, person_called(stage, "bert"), areas=[town], now=now + LATER) == [town]
    standing = desk.standing(town, person_called(stage, "bert"), now=now + LATER)
    assert (standing.stage, store.onboarding.run(run_id).going_live) == (Stage.LIVE, None)
    assert _made(stage, run_id, versions) == [VersionState.APPROVED]
    assert store.routing_versions.activations(limit=1).total == activations + 1
    assert _changes(stage, here) == 1
    assert not _duty(stage).pending()
    assert _duty(stage).run(now + 2 * LATER) == 0


def test_whoever_repeats_it_finishes_what_broke_off_and_goes_on(stage, ready, monkeypatch):
    (run_id, towns), desk = ready, stage.hub.onboarding
    first, second, now = next(towns), next(towns), stage.clock()
    with dying_before(monkeypatch, 5), pytest.raises(Killed):
        desk.go_live(run_id, person_called(stage, "bert"), areas=[first], now=now)
    with pytest.raises(Conflict):  # Whoever died holds the run for a minute.
        desk.go_live(run_id, person_called(stage, "bert"), areas=[second], now=now)
    done = desk.go_live(run_id, person_called(stage, "bert"), areas=[second], now=now + LATER)
    assert done == [first, second]
    stages = [desk.standing(each, person_called(stage, "bert"), now=now + LATER).stage for each in done]
    assert stages == [Stage.LIVE, Stage.LIVE]


def test_what_its_people_may_not_do_any_more_is_taken_back_and_not_finished(stage, ready, monkeypatch):
    (run_id, towns), desk, store = ready, stage.hub.onboarding, stage.hub.store
    town, now = next(towns), stage.clock()
    here = desk.standing(town, person_called(stage, "bert"), now=now).destination.destination_id
    with dying_before(monkeypatch, 5), pytest.raises(Killed):
        desk.go_live(run_id, person_called(stage, "bert"), areas=[town], now=now)
    assert store.parties.destination(here).status == "active"
    entry = AuditEntry(at=now, actor="x", action="account.change", target="account:bert")
    bert = store.accounts.account("bert")
    gone = replace(bert, disabled_at=now)
    store.accounts.change(gone, before=bert, audit=entry)
    try:
        assert _duty(stage).run(now + LATER) == 0
    finally:
        store.accounts.change(bert, before=gone, audit=entry)
    assert store.parties.destination(here).status == "inactive"
    assert not _duty(stage).pending()
    last = store.audit.entries(scope=EVERYTHING, newest_first=True, action="onboarding.take-back", limit=1).items
    assert [each.entry.actor for each in last] == ["hub"]
