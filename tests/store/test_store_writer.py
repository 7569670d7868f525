"""Group commit: one durable transaction for all who wait, and nobody harmed by a neighbour."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from hub.errors import Conflict, Overloaded, StoreUnavailable, Text
from hub.store import Store
from hub.store.engine import writing_engine
from hub.store.writer import Declined, Joint, Turns, Writer, nothing_written
from hub.supervision import Pauses, Supervisor


def _put(name: str):
    def write(connection: Connection) -> str:
        connection.execute(text("INSERT INTO settings (name, value) VALUES (:name, 'x')"), {"name": name})
        return name

    return write


def _refuse(_connection: Connection) -> None:
    raise Conflict(Text("nein", "no"))


class _Gate:
    """Holds the writer's thread, so that everything queued behind it becomes one batch."""

    def __init__(self, writer: Writer) -> None:
        self._go = threading.Event()
        begun = threading.Event()
        self.done = writer.run(lambda _connection: (begun.set(), self._go.wait(5)))
        assert begun.wait(30)

    def open(self) -> None:
        self._go.set()
        self.done.result(5)


@pytest.fixture
def writer(store_url: str) -> Iterator[Writer]:
    engine = writing_engine(store_url)
    made = Writer(engine)
    yield made
    made.close()
    engine.dispose()


def test_a_failing_write_does_not_harm_its_batch(writer, store):
    gate = _Gate(writer)
    before, failing, after = writer.run(_put("a")), writer.run(_put("a")), writer.run(_put("b"))
    gate.open()
    assert before.result(5) == "a"
    with pytest.raises(Exception, match=r"(?i)unique"):
        failing.result(5)
    assert after.result(5) == "b"
    assert [store.settings.value("a"), store.settings.value("b")] == ["x", "x"]


def test_a_bug_in_a_write_reaches_its_caller_alone(writer, store):
    gate = _Gate(writer)
    broken, sound = writer.run(lambda _connection: 1 / 0), writer.run(_put("a"))
    gate.open()
    with pytest.raises(ZeroDivisionError):
        broken.result(5)
    assert sound.result(5) == "a"


def test_one_write_that_fails_like_an_outage_takes_nobody_along(writer, store):
    def outage(_connection: Connection) -> None:
        raise StoreUnavailable(Text("weg", "gone"))

    gate = _Gate(writer)
    first, lost, last = writer.run(_put("a")), writer.run(outage), writer.run(_put("b"))
    gate.open()
    assert (first.result(5), last.result(5)) == ("a", "b")
    with pytest.raises(StoreUnavailable):
        lost.result(5)


def test_in_an_outage_all_who_wait_are_told_without_a_try_each(writer):
    tries: list[int] = []

    def outage(_connection: Connection) -> None:
        tries.append(1)
        raise StoreUnavailable(Text("weg", "gone"))

    gate = _Gate(writer)
    futures = [writer.run(outage) for _ in range(20)]
    gate.open()
    for future in futures:
        with pytest.raises(StoreUnavailable):
            future.result(5)
    assert len(tries) <= 3


def test_what_a_refused_write_had_written_is_gone(writer, store):
    def write(connection: Connection) -> None:
        _put("a")(connection)
        raise Conflict(Text("nein", "no"))

    with pytest.raises(Conflict):
        writer.run(write).result(5)
    assert store.settings.value("a") is None


def test_a_refusal_before_any_change_runs_nobody_twice(writer):
    runs: list[str] = []

    def counted(connection: Connection) -> None:
        runs.append("neighbour")
        _put("a")(connection)

    def refuse(connection: Connection) -> None:
        with nothing_written():
            _refuse(connection)

    gate = _Gate(writer)
    neighbour, refused = writer.run(counted), writer.run(refuse)
    gate.open()
    neighbour.result(5)
    with pytest.raises(Conflict):
        refused.result(5)
    assert runs == ["neighbour"]


def test_futures_resolve_only_after_the_commit(writer, store):
    seen: Future[str | None] = Future()
    gate = _Gate(writer)
    future = writer.run(_put("a"))
    future.add_done_callback(lambda _future: seen.set_result(store.settings.value("a")))
    gate.open()
    assert seen.result(5) == "x"


def test_writes_of_a_kind_run_together(writer):
    batches: list[int] = []

    class Counting(Joint):
        @classmethod
        def many(cls, connection, writes):
            batches.append(len(writes))
            return list(range(len(writes)))

    gate = _Gate(writer)
    futures = [writer.run(Counting()) for _ in range(3)]
    gate.open()
    assert [future.result(5) for future in futures] == [0, 1, 2]
    assert batches == [3]


def test_a_cancelled_write_never_happens(writer, store):
    gate = _Gate(writer)
    cancelled, kept = writer.run(_put("a")), writer.run(_put("b"))
    assert cancelled.cancel()
    gate.open()
    kept.result(5)
    assert store.settings.value("a") is None


def test_closing_finishes_what_waits_and_refuses_what_comes_later(store_url, store):
    engine = writing_engine(store_url)
    writer = Writer(engine)
    gate = _Gate(writer)
    waiting = writer.run(_put("a"))
    threading.Timer(0.05, gate.open).start()
    writer.close()
    writer.close()
    assert waiting.result(0) == "a"
    with pytest.raises(StoreUnavailable):
        writer.run(_put("b")).result(0)
    assert store.settings.value("a") == "x"
    engine.dispose()


def test_too_many_waiting_writes_are_turned_away(store_url):
    engine = writing_engine(store_url)
    writer = Writer(engine, waiting=2)
    gate = _Gate(writer)
    waiting = [writer.run(_put("a")), writer.run(_put("b"))]
    with pytest.raises(Overloaded):
        writer.run(_put("c")).result(0)
    gate.open()
    assert [future.result(5) for future in waiting] == ["a", "b"]
    writer.close()
    engine.dispose()


def test_sixteen_callers_share_commits(writer):
    commits = []
    writer.engine.dispose()
    from sqlalchemy import event

    event.listen(writer.engine, "commit", lambda _connection: commits.append(1))

    def call(number: int) -> None:
        for turn in range(10):
            writer.run(_put(f"{number}-{turn}")).result(10)

    threads = [threading.Thread(target=call, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commits) < 160


class _Fatal(BaseException):
    """What no ``except Exception`` holds."""


def test_what_a_write_dies_of_reaches_its_caller_alone(writer, store):
    def fatal(_connection: Connection) -> None:
        raise _Fatal

    gate = _Gate(writer)
    before, lost, after = writer.run(_put("a")), writer.run(fatal), writer.run(_put("b"))
    gate.open()
    with pytest.raises(_Fatal):
        lost.result(5)
    assert [before.result(5), after.result(5)] == ["a", "b"]
    assert [store.settings.value("a"), store.settings.value("b")] == ["x", "x"]


def test_a_callback_that_fails_keeps_nobody_from_the_answer(writer):
    def fatal(_future: object) -> None:
        raise _Fatal

    gate = _Gate(writer)
    first, second = writer.run(_put("a")), writer.run(_put("b"))
    first.add_done_callback(fatal)
    gate.open()
    assert [first.result(5), second.result(5)] == ["a", "b"]
    assert writer.run(_put("c")).result(5) == "c"


def test_a_writer_that_dies_is_counted_and_writes_again(store_url, store):
    fallen: list[str] = []
    engine = writing_engine(store_url)

    def wake() -> None:
        raise _Fatal

    writer = Writer(engine, wake=wake, supervisor=Supervisor(pauses=Pauses(first=0.01), fell=fallen.append))
    assert writer.run(_put("a"), wakes=True).result(5) == "a"
    assert writer.run(_put("b")).result(5) == "b"
    writer.close()
    engine.dispose()
    assert fallen == ["store-writer"]
    assert store.settings.value("b") == "x"


def test_who_waits_behind_a_writer_that_died_is_told_when_it_is_closed(store_url, store):
    fallen = threading.Event()
    engine = writing_engine(store_url)

    def wake() -> None:
        raise _Fatal

    watch = Supervisor(pauses=Pauses(first=3600, longest=3600), fell=lambda _name: fallen.set())
    writer = Writer(engine, wake=wake, supervisor=watch)
    writer.run(_put("a"), wakes=True).result(5)
    assert fallen.wait(30)
    waiting = writer.run(_put("b"))
    writer.close()
    engine.dispose()
    with pytest.raises(StoreUnavailable):
        waiting.result(5)


def test_declined_is_no_error_of_the_caller():
    with pytest.raises(Declined) as caught, nothing_written():
        _refuse(None)
    assert isinstance(caught.value.error, Conflict)


# What the engine may do to us.


@pytest.fixture
def file(sqlite_template: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "one.sqlite"
    copy.write_bytes(sqlite_template.read_bytes())
    return copy


def test_a_database_locked_by_another_process_is_unavailable_not_lost(file):
    store = Store(f"sqlite:///{file}?timeout=0.05")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        store.settings.set("a", "1")
    assert caught.value.retry_after.total_seconds() > 0
    other.execute("ROLLBACK")
    store.settings.set("a", "2")
    assert store.settings.value("a") == "2"
    other.close()
    store.close()


def test_after_a_lock_writes_are_transactions_again(file):
    """Where BEGIN fails, SQLAlchemy holds the connection for begun: what is written next must not commit by statements."""

    def half(connection: Connection) -> None:
        connection.execute(text("INSERT INTO settings (name, value) VALUES ('a', '1')"))
        raise Conflict(Text("nein", "no"))

    store = Store(f"sqlite:///{file}?timeout=0.05")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.settings.set("a", "1")
    with pytest.raises(Conflict):
        store.database.write(half)
    assert store.settings.value("a") is None
    store.close()


def test_a_full_disk_is_unavailable_and_passes(file):
    store = Store(f"sqlite:///{file}")
    limit = store.database.write(lambda connection: connection.execute(text("PRAGMA page_count")).scalar())
    store.database.write(lambda connection: connection.execute(text(f"PRAGMA max_page_count = {limit}")).scalar())
    with pytest.raises(StoreUnavailable):
        store.settings.set("a", "x" * 100_000)
    assert store.settings.value("a") is None
    store.database.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")).scalar())
    store.settings.set("a", "x" * 100_000)
    assert store.settings.value("a") is not None
    store.close()


def test_sqlite_syncs_every_commit_and_keeps_its_promises(file):
    store = Store(f"sqlite:///{file}")

    def pragma(name: str):
        return store.database.write(lambda connection: connection.execute(text(f"PRAGMA {name}")).scalar())

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    store.close()


def test_a_fresh_database_file_is_its_owners_alone(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'new' / 'hub.sqlite'}")
    store.migrate()
    store.settings.set("a", "1")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    store.close()


def test_readers_cannot_write(file):
    store = Store(f"sqlite:///{file}")
    with pytest.raises(StoreUnavailable):
        store.database.read(lambda connection: connection.execute(text("DELETE FROM settings")))
    store.close()


def test_a_server_that_cuts_the_connection_costs_nothing(postgresql_url):
    from store_servers import empty

    empty(postgresql_url)
    store = Store(postgresql_url)
    store.settings.set("a", "1")
    others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    other = Store(postgresql_url)
    other.database.write(lambda connection: connection.execute(text(cut)).all())
    store.settings.set("a", "2")
    assert store.settings.value("a") == "2"
    other.close()
    store.close()


def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    store = Store(f"postgresql://hub@/hub?host={tmp_path}")
    with pytest.raises(StoreUnavailable):
        store.migrate()
    with pytest.raises(StoreUnavailable):
        store.ready()
    with pytest.raises(StoreUnavailable):
        store.settings.set("a", "1")
    # The shortest way in, by which every keyed application comes.
    with pytest.raises(StoreUnavailable):
        store.submissions.remembered("online-service", "key")
    store.close()


def test_a_server_without_durable_commits_is_overruled(postgresql_url):
    other = Store(postgresql_url)
    other.database.write(
        lambda connection: connection.execute(text("ALTER ROLE hub SET synchronous_commit = off")).rowcount
    )
    store = Store(postgresql_url)
    assert store.database.write(lambda connection: connection.execute(text("SHOW synchronous_commit")).scalar()) == "on"
    assert store.database.read(lambda connection: connection.execute(text("SHOW synchronous_commit")).scalar()) == "off"
    other.database.write(
        lambda connection: connection.execute(text("ALTER ROLE hub RESET synchronous_commit")).rowcount
    )
    other.close()
    store.close()


def test_who_waits_for_a_turn_comes_before_whoever_had_it(tmp_path):
    """Each object opens the files for itself, as another process does."""
    first, second, third = (Turns(tmp_path / "hub.sqlite", patience=30) for _ in range(3))
    assert first.take()
    order: list[str] = []

    def wait() -> None:
        second.take()
        order.append("second")
        second.release()

    waiting = threading.Thread(target=wait)
    waiting.start()
    # As soon as somebody is next, nobody else gets even that far.
    following = os.open(tmp_path / "hub.sqlite.next", os.O_RDWR | os.O_CREAT)
    until = time.monotonic() + 30
    while not _is_held(following):
        assert time.monotonic() < until
    first.release()
    first.take()
    order.append("first")
    waiting.join(30)
    assert order == ["second", "first"]
    hasty = Turns(tmp_path / "hub.sqlite", patience=0.01)
    assert not hasty.take()
    first.close()  # As when its process ends, however it does.
    assert third.take()
    assert Turns(tmp_path / "nowhere" / "hub.sqlite", patience=0).take()  # Its database will say what is wrong.
    os.close(following)
    third.close()


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def test_two_writers_of_one_file_each_get_their_turn_and_all_is_written(sqlite_template, tmp_path):
    file = tmp_path / "hub.sqlite"
    shutil.copy(sqlite_template, file)
    with closing(Store(f"sqlite:///{file}", turns=True)) as one, closing(Store(f"sqlite:///{file}", turns=True)) as two:
        futures = [
            store.database.begin(_put(f"{name}{number}"))
            for number in range(40)
            for name, store in (("one", one), ("two", two))
        ]
        assert all(future.exception(30) is None for future in futures)
        assert two.settings.value("one39") == one.settings.value("two39") == "x"
