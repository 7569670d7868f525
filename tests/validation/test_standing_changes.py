"""Changes of a version that wait for a second person: one waits, one decision counts, and damage stops nobody."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from hub.errors import Conflict, NotFound
from hub.validation.manifest import SchemaStanding, Status
from hub.validation.standing_changes import StandingChange, StandingChanges

EDITION = ("dog", "1.0")
VALID, WITHDRAWN = SchemaStanding(status=Status.VALID), SchemaStanding(status=Status.WITHDRAWN)


def _change(**fields) -> StandingChange:
    known = {
        "edition": EDITION,
        "standing": WITHDRAWN,
        "before": VALID,
        "reason": "wrong",
        "proposed_by": "otto",
        "proposed_at": datetime(2026, 12, 1, tzinfo=UTC),
    }
    return StandingChange(**known | fields)


@pytest.fixture
def applied() -> list:
    return []


@pytest.fixture
def changes(tmp_path, applied) -> StandingChanges:
    return StandingChanges(tmp_path / "standings", lambda edition, standing: applied.append((edition, standing)))


def test_of_two_proposals_for_a_version_the_second_is_told_that_one_waits(changes):
    changes.propose(_change())
    with pytest.raises(Conflict):
        changes.propose(_change(reason="other"))
    changes.propose(_change(edition=("dog", "2.0")))
    assert [each.reason for each in changes.waiting()] == ["wrong", "wrong"]


def test_of_decisions_at_the_same_moment_one_counts_and_the_others_find_nothing(changes, applied):
    change = _change()
    changes.propose(change)
    start = threading.Barrier(6)

    def decide(act) -> str:
        start.wait()
        try:
            act(EDITION, change.change_id)
        except NotFound:
            return "nothing waits"
        return "decided"

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(decide, [changes.approve, changes.drop] * 3))
    assert sorted(said) == ["decided"] + ["nothing waits"] * 5
    assert len(applied) == (changes.earlier(EDITION) is not None)
    assert changes.of(EDITION) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"edition": ["dog"]}', b'{"edition": ["dog", "1.0"], "standing": null}', b"\xff" * 99],
)
def test_a_damaged_proposal_is_passed_over_with_a_warning_and_can_be_made_anew(changes, tmp_path, caplog, content):
    changes.propose(_change())
    changes.propose(_change(edition=("cat", "1.0"), reason="whole"))
    (path,) = [each for each in (tmp_path / "standings").glob("*.waiting.json") if b'"dog"' in each.read_bytes()]
    path.write_bytes(content)
    assert [each.reason for each in changes.waiting()] == ["whole"]
    assert f"{path.name} is passed over" in caplog.text
    changes.propose(_change(reason="anew"))
    assert changes.of(EDITION).reason == "anew"


def test_a_decision_that_cannot_be_applied_leaves_the_proposal_waiting(tmp_path):
    def full(edition, standing):
        raise OSError("no space")

    changes = StandingChanges(tmp_path / "standings", full)
    change = _change()
    changes.propose(change)
    with pytest.raises(OSError, match="no space"):
        changes.approve(EDITION, change.change_id)
    assert changes.of(EDITION) == change
    assert changes.earlier(EDITION) is None


def test_a_damaged_way_back_is_none_and_the_version_stays_where_it_is(changes, tmp_path, applied):
    change = _change()
    changes.propose(change)
    changes.approve(EDITION, change.change_id)
    (path,) = (tmp_path / "standings").glob("*.earlier.json")
    path.write_bytes(b"{")
    with pytest.raises(NotFound):
        changes.roll_back(EDITION)
    assert applied == [(EDITION, WITHDRAWN)]
