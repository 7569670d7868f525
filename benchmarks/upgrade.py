"""``make upgrade-drill``: update two nodes in turns from an earlier release to this one and back, under load (PostgreSQL)."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.crash.account import Account
from benchmarks.crash.nodes import Node, surroundings
from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenery import ENVIRONMENT, MAKE_DATA, Scene, by_release, scene
from benchmarks.crash.senders import Senders, login_of
from hub.store import Store
from hub.store.migration import OLDEST, head_revision

ROOT = Path(__file__).parents[1]
#: A line of the table of releases: version, commit, last revision of the tables.
_ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([0-9a-f]{7,40})? ?\| (\d{4}) \|$", re.MULTILINE)
#: Seconds that a node is out of the rotation before it is ended: requests that were on their way to it arrive.
_LEAVING = 0.5
_DRAIN = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One line of the table of releases; the newest has no commit yet."""

    version: str
    commit: str
    revision: str


def releases() -> Sequence[Release]:
    """Return the table of releases, the oldest first."""
    text = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    return [Release(version=v, commit=c, revision=r) for v, c, r in _ROW.findall(text)]


def has(release: Release) -> bool:
    """Whether the history at hand has a release: a shallow clone has not."""
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{release.commit}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def exported(release: Release, folder: Path) -> Path:
    """Lay a release's tree into a new folder."""
    folder.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", release.commit], stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


class Rolling:
    """Two nodes that serve and deliver, replaced in turns while senders send to those in the rotation."""

    def __init__(self, play: Scene, tree: Path) -> None:
        self._play = play
        self._tree = tree
        self.nodes = [play.node(f"node-{n}", "-v", "serve") for n in (1, 2)]
        self._rotation: list[Node] = []
        self.senders = Senders(self._urls, login_of(play.data), play.promises, threads=2, rate=4)
        #: How many were acknowledged in each part of the way.
        self.parts: list[int] = []

    def _urls(self) -> list[str]:
        return [node.base_url for node in self._rotation]

    def begin(self) -> None:
        """Start both nodes of the earlier release."""
        for node in self.nodes:
            node.tree = self._tree
            node.start(wait=False)
        for node in self.nodes:
            node.wait_until_ready()
        self._rotation = list(self.nodes)

    def replace_all(self, tree: Path | None) -> None:
        """Replace one node after the other, as a balancer and an operator would."""
        for node in self.nodes:
            self._rotation = [each for each in self._rotation if each is not node]
            time.sleep(_LEAVING)
            node.end()
            node.tree = tree
            node.start()
            self._rotation = [*self._rotation, node]

    def stop_and_go_back(self, revision: str) -> None:
        """Go back where the tables do not carry the earlier release: all nodes end, the tables go back, all nodes begin."""
        self._rotation = []
        time.sleep(_LEAVING)
        for node in self.nodes:
            node.end()
        self.hub("migrate", "--to", revision)
        self.begin()

    def hub(self, *command: str) -> None:
        """Run a command of this release."""
        env = ENVIRONMENT | {"HUB_DATABASE_URL": self._play.database_url} | surroundings(None)
        subprocess.run(
            [sys.executable, "-m", "hub.cli", *command, "--data", str(self._play.data)],
            env={**os.environ, **env},
            check=True,
            timeout=120,
        )

    def load(self, seconds: float) -> None:
        """Let senders send for a while, at least until something is acknowledged."""
        before, end = self.senders.statuses["202"], time.monotonic() + seconds
        while time.monotonic() < end or (self.senders.statuses["202"] == before and time.monotonic() < end + 30):
            time.sleep(0.1)
        self.parts.append(self.senders.statuses["202"] - before)


def there_and_back(
    release: Release, postgresql: Postgresql, folder: Path, *, seconds: float
) -> tuple[Account, Rolling]:
    """Update from ``release`` to this program and go back, under load; return the reckoning."""
    tree = exported(release, folder / "tree")
    by_release(tree, MAKE_DATA, folder / "made")
    moved = release.revision != head_revision()
    carried = not moved or (release.revision >= OLDEST and _begins_on_newer_tables(release))
    with scene(folder / "made", folder / "scene", database_url=postgresql.url, faults=False, tree=tree) as play:
        rolling = Rolling(play, tree)
        rolling.begin()
        with rolling.senders:
            rolling.load(seconds)
            if moved:
                rolling.hub("migrate")
            rolling.replace_all(None)
            rolling.load(seconds)
            if carried:
                rolling.replace_all(tree)
            else:
                rolling.stop_and_go_back(release.revision)
            rolling.load(seconds)
        # What is judged is judged by this release, on its tables; the earlier one's nodes work on these, too.
        _to_head(postgresql.url)
        play.drain(_DRAIN)
        for node in rolling.nodes:
            node.end()
        account = play.account(rolling.senders)
    strange = {each: number for each, number in account.statuses.items() if each not in {"202", "503"}}
    faults = [f"senders met {each} {number} times" for each, number in strange.items()]
    return replace(account, faults=[*account.faults, *faults]), rolling


def _begins_on_newer_tables(release: Release) -> bool:
    """Whether a release's programs ask tables of a newer one whether these carry them; those before 0.3.0 do not begin."""
    return tuple(int(part) for part in release.version.split(".")) >= (0, 3)


def _to_head(url: str) -> None:
    store = Store(url)
    store.migrate()
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make upgrade-drill", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="load in each part of the way")
    options = parser.parse_args()
    programs = binaries()
    if programs is None:
        sys.exit("PostgreSQL's server programs are not on this machine")
    wrong = 0
    for release in releases():
        if not release.commit or not has(release):
            continue
        with tempfile.TemporaryDirectory(prefix="hub-upgrade-") as name, Postgresql(programs) as server:
            account, rolling = there_and_back(release, server, Path(name), seconds=options.seconds)
        print(f"{release.version} -> this -> {release.version}: {rolling.parts} acknowledged, {account.as_json()}")
        wrong += not account.holds
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
