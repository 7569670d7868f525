"""Two nodes are updated in turns from the release before, and back again, under load: nothing is lost, nobody turned away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.upgrade import has, releases, there_and_back
from hub import __version__


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with Postgresql(programs) as server:
        yield server


@pytest.mark.timeout(300)
def test_two_nodes_go_from_the_release_before_to_this_one_and_back_while_senders_send(postgresql, tmp_path):
    before = releases()[-2]
    if not has(before):
        pytest.skip(f"the history at hand has no {before.commit} ({before.version}): a shallow clone")
    account, rolling = there_and_back(before, postgresql, tmp_path, seconds=1.5)
    assert account.faults == []
    assert account.acknowledged == account.delivered > 20
    assert (account.open, account.dead, account.lost) == (0, 0, 0)
    assert all(rolling.parts), rolling.parts
    for node in rolling.nodes:
        said = node.log.read_text()
        began = [said.find(f"version {version}") for version in (before.version, __version__)]
        assert -1 < began[0] < began[1] < said.rfind(f"version {before.version}")
