"""What happens to the hub: each scenario sets a scene, does harm under load, lets it recover and returns the account."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.crash.account import Account
from benchmarks.crash.casework import CasesAccount, casework, reckon_cases
from benchmarks.crash.dying import POINTS as OF_CASES
from benchmarks.crash.nodes import Node
from benchmarks.crash.postgresql import Postgresql
from benchmarks.crash.scenery import Scene, scene
from benchmarks.crash.senders import Senders
from hub.observability.crashes import POINTS

_DRAIN = 60.0
#: Points that the process that serves comes by; the others belong to the one that delivers.
_AT_THE_DOOR = frozenset(POINTS[:5])
#: How often an armed point is passed before it kills: under load, not at the first application.
_PASSED = range(3, 12)
#: Bytes of the small disk: room for the start and little more.
_SMALL_DISK = 24 * 1024 * 1024
#: The share of kills that take a parent with all its processes, and not one of these.
_PARENTS = 0.1
#: Seconds that a clock is wrong by, several leases; the last is right again.
_JUMPS = (-20, -10, 10, 20, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all scenarios share: the data folder to copy, a folder of their own, and how long harm is done (seconds)."""

    template: Path
    folder: Path
    seconds: float


def every_point(setting: Setting, postgresql: Postgresql | None = None) -> Account:
    """Kill at each named point in turn, under load; the next process is armed with the next point."""
    with _hub(setting, postgresql) as (play, doors, workers):
        missed = []
        with play.senders() as senders:
            for point in POINTS:
                victim = random.choice(doors if point in _AT_THE_DOOR else workers)
                for node in play.nodes:
                    if node is not victim:
                        _revive(node)
                if not _dies_at(victim, point):
                    missed.append(point)
            for node in play.nodes:
                _revive(node)
            time.sleep(1)
        account = _settled(play, senders)
    return replace(account, faults=[*account.faults, *(f"point {each} was never reached" for each in missed)])


def every_point_of_a_case(
    setting: Setting,
    postgresql: Postgresql | None = None,
    *,
    points: Sequence[str] = tuple(OF_CASES),
    citizens: int = 2,
) -> CasesAccount:
    """Kill hub or connector at each step of replies and hand-ons, while cases go on; the next is armed with the next step."""
    url = "" if postgresql is None else postgresql.url
    with scene(setting.template, setting.folder, database_url=url) as play, casework(play) as work:
        missed = []
        with work.citizens(citizens):
            for point in points:
                victim = work.nodes[OF_CASES[point].whose]
                for node in work.nodes.values():
                    if node is not victim:
                        _revive(node)
                if not _dies_at(victim, point):
                    missed.append(point)
            for node in work.nodes.values():
                _revive(node)
        account = reckon_cases(work, points)
    return replace(account, faults=[*account.faults, *(f"point {each} was never reached" for each in missed)])


def random_kills(setting: Setting, postgresql: Postgresql | None = None) -> Account:
    """Kill some process every second or two and start it again at once."""
    with _hub(setting, postgresql) as (play, _, _):
        with play.senders() as senders:
            end = time.monotonic() + setting.seconds
            while time.monotonic() < end:
                time.sleep(random.uniform(0.5, 2.5))
                victim = random.choice(play.nodes)
                victim.kill()
                _revive(victim)
        return _settled(play, senders)


def process_kills(setting: Setting, postgresql: Postgresql | None = None) -> Account:
    """Kill one of the processes of one hub every second or two, its parent now and then; only the latter is started again."""
    url = "" if postgresql is None else postgresql.url
    with scene(setting.template, setting.folder, database_url=url) as play:
        hub = play.node("hub", "serve", "--processes", "2")
        hub.start()
        with play.senders() as senders:
            end = time.monotonic() + setting.seconds
            while time.monotonic() < end:
                time.sleep(random.uniform(0.5, 2.5))
                family = hub.children()
                if not family or random.random() < _PARENTS:
                    hub.kill()
                else:
                    hub.kill_child(random.choice(family))
                _revive(hub)
        return _settled(play, senders)


def database_outage(setting: Setting, postgresql: Postgresql) -> Account:
    """Stop PostgreSQL in order, then kill it; no hub process is restarted, and none may say 2xx meanwhile."""
    faults: list[str] = []
    with _hub(setting, postgresql) as (play, _, _):
        with play.senders() as senders:
            time.sleep(2)
            for end in (postgresql.stop, postgresql.kill):
                end()
                # Answers to what was committed before are still on their way.
                time.sleep(1)
                said = senders.statuses["202"]
                time.sleep(setting.seconds)
                if senders.statuses["202"] > said:
                    faults.append("somebody was told 202 while the database was away")
                postgresql.start()
                time.sleep(3)
            accepted = senders.statuses["202"]
            time.sleep(3)
        account = _settled(play, senders)
    faults += account.faults
    if not account.statuses.get("503"):
        faults.append("nobody was told 503 while the database was away")
    if senders.statuses["202"] <= accepted:
        faults.append("nothing was accepted after the database came back")
    return replace(account, faults=faults)


def paused_nodes(setting: Setting, postgresql: Postgresql) -> Account:
    """Stop a delivering process past its lease and let it go on: it has lost its say, and repeats are flagged."""
    with _hub(setting, postgresql) as (play, _, workers):
        with play.senders() as senders:
            end = time.monotonic() + setting.seconds
            while time.monotonic() < end:
                time.sleep(1)
                victim = random.choice(workers)
                victim.pause()
                time.sleep(4)
                victim.resume()
        return _settled(play, senders)


def clock_jumps(setting: Setting, postgresql: Postgresql) -> Account:
    """Set the clock of one process after the other wrong by more than a lease, forward and back, and right again."""
    with _hub(setting, postgresql, wrong_clocks=True) as (play, _, _):
        with play.senders() as senders:
            end = time.monotonic() + setting.seconds
            while time.monotonic() < end:
                victim = random.choice(play.nodes)
                _set_clock(play.clock_of(victim.name), random.choice(_JUMPS))
                time.sleep(random.uniform(1, 4))
            for node in play.nodes:
                _set_clock(play.clock_of(node.name), 0)
        return _settled(play, senders)


def disk_full(setting: Setting) -> Account:
    """Fill a small disk (or hit a quota) with attachments; the hub refuses, loses nothing, and goes on when there is room."""
    with (
        _small_disk(setting.folder / "disk") as (disk, limited),
        scene(setting.template, setting.folder / "scene", disk=disk) as play,
    ):
        door = play.node("door", "serve")
        ballast = None if limited else _ballast(disk)
        door.start()
        if limited:
            door.limit_file_size(_SMALL_DISK // 4)
        with play.senders(threads=4, rate=40) as senders:
            senders.ballast = 300_000
            _wait(lambda: senders.statuses["503"] + senders.statuses["507"] >= 10, setting.seconds + 30)
            refused = senders.statuses["503"] + senders.statuses["507"]
            if ballast is not None:
                ballast.unlink()
            else:
                door.kill()
                _revive(door)
            senders.ballast = 0
            accepted = senders.statuses["202"]
            _wait(lambda: senders.statuses["202"] >= accepted + 5, 30)
            went_on = senders.statuses["202"] > accepted
        account = _settled(play, senders)
    faults = list(account.faults)
    if not refused:
        faults.append("the disk never got full")
    if not went_on:
        faults.append("nothing was accepted after there was room again")
    how = "a quota (RLIMIT_FSIZE): a small disk cannot be mounted here" if limited else "a small disk (tmpfs)"
    return replace(account, faults=faults, how=how)


@contextmanager
def _hub(
    setting: Setting, postgresql: Postgresql | None, *, wrong_clocks: bool = False
) -> Iterator[tuple[Scene, list[Node], list[Node]]]:
    """One process on SQLite; two that serve and two that deliver on PostgreSQL."""
    url = "" if postgresql is None else postgresql.url
    with scene(setting.template, setting.folder, database_url=url) as play:
        play.wrong_clocks = wrong_clocks
        if postgresql is None:
            whole = play.node("hub", "serve")
            doors = workers = [whole]
        else:
            doors = [play.node(f"door-{n}", "serve", "--no-work") for n in (1, 2)]
            workers = [play.node(f"work-{n}", "work") for n in (1, 2)]
        for node in play.nodes:
            node.start(wait=False)
        for node in doors:
            node.wait_until_ready()
        yield play, doors, workers


def _dies_at(victim: Node, point: str) -> bool:
    victim.kill()
    victim.start(crash_at=point if point in OF_CASES else f"{point}:{random.choice(_PASSED)}")
    return victim.died_by_itself(90)


def _revive(node: Node) -> None:
    if not node.alive:
        node.start()


def _settled(play: Scene, senders: Senders) -> Account:
    play.drain(_DRAIN)
    # What was set aside, because its workers died of it again and again, is sent again as a person would.
    set_aside = play.redrive()
    if set_aside:
        play.drain(_DRAIN)
    for node in play.nodes:
        node.end()
    return replace(play.account(senders), set_aside=set_aside)


def _set_clock(file: Path, seconds: int) -> None:
    """Replace the file: nobody reads half of it."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(seconds), encoding="ascii")
    fresh.replace(file)


def _wait(happened: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not happened():
        time.sleep(0.1)


def _ballast(folder: Path) -> Path:
    """Leave about 12 MiB free; the file is what makes room again."""
    file = folder / "ballast"
    status = os.statvfs(folder)
    size = max(0, status.f_bavail * status.f_frsize - 12 * 1024 * 1024)
    with file.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, size))
    return file


@contextmanager
def _small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Mount a small file system in memory; where that is not allowed, say that a quota has to do."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK * 2}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield folder, not mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
