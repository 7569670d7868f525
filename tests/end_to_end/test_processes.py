"""Several processes that are one hub: one socket, one dispatcher, one account of everything, whoever of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from processes import free_port, wait_for
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.crash.nodes import Node
from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenery import Scene, scene
from benchmarks.crash.senders import Senders
from hub import app
from hub.admission import Admission
from hub.app.processes import woken
from hub.config import load_settings
from hub.errors import Overloaded, Unavailable
from hub.supervision import Pauses, Supervisor

#: Each engine starts one hub of four processes, and each of these once more.
pytestmark = pytest.mark.timeout(240)

_SERVING = ("serving-1", "serving-2")
_ALL = {*_SERVING, "delivering"}


def test_the_memory_budget_is_one_for_all_processes_and_the_dead_use_nothing():
    board = app.Board(app.serving_names(2, work=False))
    first, second = (
        Admission(memory_budget=100, free_bytes=lambda: 1, disk_watermark=0, ledger=member.memory)
        for member in (app.Member(board=board, place=place, parent=0) for place in (0, 1))
    )
    held = first.reserve()
    held.grow(60)
    with pytest.raises(Overloaded):
        second.reserve().require_room(50)
    with pytest.raises(Overloaded):
        second.reserve().grow(50)
    second.reserve().grow(40)  # What was refused is not counted.
    with pytest.raises(Overloaded):
        first.reserve().grow(1)
    board.died(1, counts=True)
    first.reserve().grow(40)
    held.release()
    assert first.used == 40


def test_whoever_is_asked_names_the_dead_loops_of_others_and_who_is_not_there():
    board = app.Board(app.serving_names(2, work=True))
    one, two, delivering = (app.Member(board=board, place=place, parent=os.getppid()) for place in range(3))
    assert set(one.down()) == {"serving-2", "delivering"}
    for each in (one, two, delivering):
        each.begun()
    delivering.tell_down(("dispatcher", "results"))
    assert one.down() == two.down() == ("dispatcher", "results")
    assert delivering.down() == ()
    delivering.tell_down(())
    assert one.down() == ()
    two.note_connections(3)
    assert (one.busier(), two.busier()) == (False, True)
    board.died(0, counts=False)  # Nothing is left to whoever is not there.
    assert not two.busier()
    assert one.orphaned() is False


def test_wake_ups_that_died_are_heard_again():
    board = app.Board(app.serving_names(1, work=True))
    supervisor, heard = Supervisor(pauses=Pauses(first=0.01, longest=0.01)), []

    def wake() -> None:
        heard.append("wake")
        if len(heard) == 1:
            raise RuntimeError("the first call is too much")

    with woken(wake, supervisor, board):
        board.wake()
        wait_for(lambda: len(heard) == 1)
        board.wake()
        wait_for(lambda: len(heard) == 2)
        wait_for(lambda: not supervisor.down())


_PARENT = """
import os, signal, sys, time
from hub.app.processes import Board, Parent
from hub.supervision import Pauses
def work(member):
    if sys.argv[1] == "fails" and member.name == "serving-2":
        raise SystemExit(7)
    if sys.argv[1] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, f"{member.name} {time.monotonic()}\\n".encode())
    member.begun()
    if sys.argv[1] == "dies" and member.name == "serving-1":
        while not member.board.all_up():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
def prepare():
    os.write(1, b"prepared\\n")
names = ["serving-1", "serving-2"]
sys.exit(Parent(board=Board(names), prepare=prepare, work=work, grace=0.3, pauses=Pauses(first=0.1, longest=60)).run())
"""


@contextmanager
def parent(what: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", _PARENT, what]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "prepared\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_process_that_cannot_begin_ends_the_start_with_its_exit_code():
    with parent("fails") as process:
        assert process.wait(60) == 7


def test_a_process_that_will_not_end_is_killed_and_the_exit_code_says_so():
    with parent("stubborn") as process:
        for _ in range(2):
            process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 1


def test_a_hangup_renews_one_process_after_the_other_and_none_of_them_died():
    with parent("lives") as process:
        began = [process.stdout.readline().split()[0] for _ in range(2)]
        process.send_signal(signal.SIGHUP)
        renewed = [process.stdout.readline().split()[0] for _ in range(2)]
        process.terminate()
        assert process.wait(60) == 0
    assert sorted(began) == renewed == ["serving-1", "serving-2"]


def test_a_process_that_dies_again_and_again_begins_after_growing_pauses():
    with parent("dies") as process:
        began = []
        while len(began) < 5:
            name, at = process.stdout.readline().split()
            began += [float(at)] if name == "serving-1" else []
        said = [process.stderr.readline().rpartition(" again in ")[2] for _ in range(4)]
    assert said == ["0.1 s\n", "0.2 s\n", "0.4 s\n", "0.8 s\n"]
    assert all(
        later - earlier >= pause for (earlier, later), pause in zip(pairwise(began), (0.1, 0.2, 0.4, 0.8), strict=True)
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def play(request, made_once: Path, tmp_path_factory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp(request.param) / "scene"
    if request.param == "sqlite":
        with scene(made_once, folder, faults=False) as made:
            yield made
        return
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with Postgresql(programs) as server, scene(made_once, folder, database_url=server.url, faults=False) as made:
        yield made


@pytest.fixture(scope="module")
def hub(play: Scene) -> Node:
    node = play.node("hub", "-v", "serve", "--processes", "2")
    node.start()
    assert node.alive, node.log.read_text()
    return node


@pytest.fixture(scope="module")
def senders(play: Scene) -> Senders:
    """Nobody sends before its block begins."""
    return play.senders(threads=4, rate=20)


def test_the_parent_has_one_thread_and_opens_nothing_that_a_child_would_share(hub, play):
    pid = hub.process.pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    opened = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    store = [f"{play.data / 'hub.sqlite'}{suffix}" for suffix in ("", "-wal", "-shm")]
    assert not set(store) & set(opened)
    assert len([each for each in opened if each.startswith("socket:")]) == 1  # The one that all accept from.


def samples(node: Node, name: str) -> dict[tuple[str, ...], float]:
    text = requests.get(f"{node.base_url}/metrics", timeout=30).text
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def accepted_by(play: Scene, node: Node, name: str) -> float:
    """Return how many applications one process says that it took."""
    file = play.data / "metrics" / f"{node.name}-{node.port}" / f"counter_{name}.db"
    return sum(
        sample.value
        for metric in MultiProcessCollector.merge([str(file)])
        for sample in metric.samples
        if sample.name == "hub_accepted_total" and sample.labels["outcome"] == "accepted"
    )


def test_applications_over_one_socket_reach_each_process_and_are_counted_together(play, hub, senders):
    sessions = [requests.Session() for _ in range(6)]
    for session in sessions:  # Each keeps its connection, so the next goes to whoever has fewer.
        senders.send(session)
    shares = [accepted_by(play, hub, name) for name in _SERVING]
    assert sum(shares) == len(sessions)
    assert min(shares) >= 2
    assert samples(hub, "hub_accepted_total")["plain", "accepted"] == len(sessions)
    # Another process delivers, and is woken: it would look by itself once a second.
    wait_for(lambda: samples(hub, "hub_attempts_total").get(("https", "delivered")) == len(sessions))
    assert set(samples(hub, "hub_process_up").items()) == {((name,), 1.0) for name in _ALL}
    # What each takes of the machine, whichever of them is asked; and what is counted is one sum.
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"):
        taken = samples(hub, name)
        assert set(taken) == {(each,) for each in (*_ALL, "parent")}, name
        assert all(taken.values())
    assert samples(hub, "hub_requests_total")["applications", "202"] == len(sessions)
    assert set(samples(hub, "hub_key_expiry_seconds")) == {("signing",), ("portal",), ("destination",)}


def test_wrong_secrets_are_counted_whoever_is_asked(hub):
    def status() -> int:
        login = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "wrong"}
        with requests.Session() as session:
            return session.post(f"{hub.base_url}/token", data=login, timeout=60).status_code

    found = [status() for _ in range(14)]
    assert found[10:] == [429] * 4
    assert 429 not in found[:10]


def test_no_second_hub_serves_from_its_folder(play, hub):
    other = {"database_url": play.database_url, "base_url": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(Unavailable) as refused, app.alone(load_settings(play.data, {}, **other), listens=True):
        pass
    assert "already" in refused.value.detail.en
    assert "--data" in refused.value.detail.de


def test_whichever_process_is_killed_under_load_nothing_acknowledged_is_lost(play, hub, senders):
    ready = f"{hub.base_url}/health/ready"
    seen: set[str] = set()
    with senders:
        for victim in hub.children():
            taken = senders.statuses["202"]
            os.kill(victim, signal.SIGKILL)
            hub.kills += 1
            # Whoever is left says who is missing, until it is there again.
            missing = wait_for(lambda: _missing(ready))
            assert len(missing) == 1
            seen |= missing
            wait_for(lambda: requests.get(ready, timeout=5).ok)
            wait_for(lambda before=taken: senders.statuses["202"] > before + 5)
    assert seen == _ALL
    assert samples(hub, "hub_process_deaths_total") == {(name,): 1.0 for name in _ALL}
    assert "died: signal 9" in hub.log.read_text()
    play.drain(30)
    account = play.account(senders)
    assert account.faults == []
    assert account.acknowledged == account.delivered + account.open > 15
    assert (account.lost, account.dead, account.open) == (0, 0, 0)


def _missing(ready: str) -> set[str]:
    checks = requests.get(ready, timeout=5).json()["checks"]
    return {name for name, well in checks.items() if not well and name in _ALL}


def test_a_hub_that_is_told_to_end_finishes_and_one_whose_parent_is_killed_leaves_nobody(play, hub):
    family = hub.children()
    hub.end()
    assert hub.process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)
    assert "died" not in hub.log.read_text().rpartition("died: signal 9")[2]
    hub.start()
    family = hub.children()
    assert len(family) == len(_ALL)
    os.kill(hub.process.pid, signal.SIGKILL)
    hub.process.wait(30)
    settings = load_settings(play.data, {}, database_url=play.database_url, base_url="http://127.0.0.1:8080")
    # The last of them lets go of the folder, and the system does so for them.
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family if Path(f"/proc/{pid}").exists()):
        assert time.monotonic() < until
        time.sleep(0.05)
    with app.alone(settings, listens=True):
        pass
