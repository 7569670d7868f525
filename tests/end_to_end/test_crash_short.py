"""The ledger, in short: killed at every named point under load, the hub has lost nothing. ``make crash`` is the long form."""

from __future__ import annotations

import pytest

from benchmarks.crash.scenarios import Setting, disk_full, every_point
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


def test_a_full_disk_refuses_and_loses_nothing(made_once, tmp_path):
    account = disk_full(Setting(template=made_once, folder=tmp_path / "scene", seconds=20))
    assert account.faults == []
    assert account.acknowledged == account.delivered + account.open > 0
