"""Migrations make the tables that the program believes in, forward and back, and a backup is a whole store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from store_values import NOW, accepted, claim, known_destination, record

from hub.errors import ConfigurationError, StoreUnavailable
from hub.store import Store, tables


def _fresh(url: str, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'fresh.sqlite'}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE fresh"))
    engine.dispose()
    return url.replace("/postgres?", "/fresh?")


def _plans(store: Store, statement: str) -> str:
    rows = store.database.read(lambda connection: connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all())
    return "\n".join(row[-1] for row in rows)


def test_the_migrations_make_the_tables_of_the_program(store):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)

    assert store.database.read(differences) == []


def test_an_unmigrated_store_is_not_ready(store_url, tmp_path):
    store = Store(_fresh(store_url, tmp_path))
    with pytest.raises(StoreUnavailable):
        store.ready()
    with pytest.raises(StoreUnavailable):
        store.settings.set("a", "1")
    store.migrate()
    store.ready()
    store.settings.set("a", "1")
    store.close()


def test_migrations_go_back_and_forward_again(store_url, tmp_path):
    store = Store(_fresh(store_url, tmp_path))
    store.migrate()
    store.migrate("base")
    assert store.database.read(lambda connection: set(inspect(connection).get_table_names())) <= {"alembic_version"}
    assert store.schema_revision() is None
    store.migrate()
    store.migrate()
    store.ready()
    store.close()


def test_nodes_that_start_together_migrate_once(store_url, tmp_path):
    url = _fresh(store_url, tmp_path)
    together = threading.Barrier(3)
    failures = []

    def start() -> None:
        store = Store(url)
        try:
            together.wait()
            store.migrate()
            store.ready()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)
        store.close()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_unknown_engine_is_a_configuration_error():
    for url in ("mysql://x/y", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ConfigurationError):
            Store(url)


def test_the_queue_never_scans_its_table(sqlite_template):
    store = Store(f"sqlite:///{sqlite_template}")
    from hub.store import queue

    bound = {"now": 1, "until": 2, "node": "'n'", "limit": 10, "per_destination": 5, "turn": 0, "suspects": 1}
    for query, index in (
        (queue._CLAIM, "ix_deliveries_due"),
        (queue._CLAIM, "ix_deliveries_suspect"),
        (queue._NEXT_DUE, "ix_deliveries_due"),
    ):
        sql = query.sql["qmark"].replace(":instant", """'["mailbox"]'""")
        for name, value in bound.items():
            sql = sql.replace(f":{name}", str(value))
        plan = _plans(store, sql)
        assert "SCAN deliveries" not in plan
        assert index in plan
    store.close()


def test_what_is_polled_is_found_by_its_index(sqlite_template):
    store = Store(f"sqlite:///{sqlite_template}")
    for statement, index in (
        ("SELECT 1 FROM events WHERE jws IS NULL ORDER BY issued_at LIMIT 5", "ix_events_unsigned"),
        ("SELECT 1 FROM messages WHERE messages.state = 'incomplete' AND created_at < 5", "ix_messages_incomplete"),
        (
            "SELECT 1 FROM messages WHERE messages.state IN ('submitted', 'forwarded') AND destination_id IN ('a', 'b')",
            "ix_messages_waiting",
        ),
        ("SELECT 1 FROM deliveries WHERE deliveries.state <> 'delivered' AND state = 'dead'", "ix_deliveries_open"),
        ("SELECT 1 FROM callbacks WHERE next_attempt_at <= 5 ORDER BY next_attempt_at", "ix_callbacks_due"),
        ("SELECT 1 FROM contents WHERE blob = 'a'", "ix_contents_blob"),
    ):
        assert index in _plans(store, statement)
    store.close()


def test_a_backup_taken_in_use_is_a_whole_store(sqlite_template, tmp_path):
    live = tmp_path / "live.sqlite"
    live.write_bytes(sqlite_template.read_bytes())
    store = Store(f"sqlite:///{live}")
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    store.backup(tmp_path / "copy.sqlite")
    accepted(store, there.destination_id)
    with pytest.raises(ConfigurationError):
        store.backup(tmp_path / "copy.sqlite")
    copy = Store(f"sqlite:///{tmp_path / 'copy.sqlite'}")
    copy.ready()
    assert copy.integrity() == []
    assert copy.submissions.message(made.submission_id) == store.submissions.message(made.submission_id)
    (taken,) = claim(copy, now=NOW)
    assert record(copy, taken)
    assert (tmp_path / "copy.sqlite").stat().st_mode & 0o077 == 0
    for one in (copy, store):
        one.close()


def test_postgresql_is_backed_up_by_its_own_tools(postgresql_url, tmp_path):
    store = Store(postgresql_url)
    with pytest.raises(ConfigurationError):
        store.backup(tmp_path / "copy")
    assert store.integrity() == []
    store.close()


def test_a_step_back_and_forward_with_open_deliveries_keeps_them(store_url, tmp_path):
    store = Store(_fresh(store_url, tmp_path))
    store.migrate()
    there = known_destination(store)
    waiting = {accepted(store, there.destination_id).submission_id for _ in range(3)}
    (leased,) = claim(store, limit=1)
    store.migrate("0002")
    assert store.schema_revision() == "0002"
    with pytest.raises(StoreUnavailable):
        store.ready()
    # The lease of before is still good: the program's version changed, the queue did not.
    store.migrate()
    store.ready()
    assert record(store, leased)
    rest = claim(store)
    assert {one.submission.submission_id for one in [leased, *rest]} == waiting
    assert not any(one.repeat for one in rest)
    assert all(record(store, one) for one in rest)
    store.close()
