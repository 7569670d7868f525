"""The ledger, in short: killed at every named point under load, the hub has lost nothing. ``make crash`` is the long form."""

from __future__ import annotations

import pytest

from benchmarks.crash.dying import SHORT
from benchmarks.crash.scenarios import Setting, disk_full, every_point, every_point_of_a_case
from hub.config import load_settings
from hub.errors import ConfigurationError
from hub.observability.crashes import POINTS, arm

#: Some dozen processes are started one after the other; on a loaded machine each takes its time.
pytestmark = pytest.mark.timeout(300)


def test_crash_points_are_for_development_only(tmp_path):
    with pytest.raises(ConfigurationError):
        load_settings(
            tmp_path, {}, environment="production", base_url="https://hub.example.org", crash_at="after-commit"
        )
    for wrong in ("after-lunch", "after-commit:x", ":3"):
        with pytest.raises(ConfigurationError):
            arm(wrong)


def test_killed_at_each_point_it_has_delivered_or_holds_whatever_it_acknowledged(made_once, tmp_path):
    account = every_point(Setting(template=made_once, folder=tmp_path / "scene", seconds=0))
    assert account.faults == []
    assert account.acknowledged == account.delivered + account.open > 0
    assert (account.lost, account.dead, account.kills >= len(POINTS)) == (0, 0, True)
    assert account.opened >= account.delivered


def test_killed_in_the_middle_of_a_case_nothing_of_it_is_lost_and_nothing_comes_twice(made_once, tmp_path):
    account = every_point_of_a_case(
        Setting(template=made_once, folder=tmp_path / "scene", seconds=0), points=SHORT, citizens=1
    )
    assert account.faults == []
    assert account.cases == account.handed_on == account.decided > 0
    assert (account.replies, account.kills >= len(SHORT)) == (3 * account.cases, True)


def test_a_full_disk_refuses_and_loses_nothing(made_once, tmp_path):
    account = disk_full(Setting(template=made_once, folder=tmp_path / "scene", seconds=20))
    assert account.faults == []
    assert account.acknowledged == account.delivered + account.open > 0
