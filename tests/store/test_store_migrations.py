"""Migrations make the tables that the program believes in, forward and back, and a backup is a whole store."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from store_values import NOW, accepted, claim, known_destination, record

from hub import __version__
from hub.errors import ConfigurationError, Conflict, StoreUnavailable
from hub.model import EVERYTHING, ClientKind, DeadCause, Door, EventKind, Form, OutcomeKind, State, Subject
from hub.store import AuditEntry, ChangeState, DeliveryState, KeyStep, Store, migration, tables


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


def _step_by_step(url: str) -> Store:
    """Return a store whose tables came there revision by revision, as those of a hub that is older than this version."""
    store = Store(url)
    store.migrate("0001")
    store.migrate()
    return store


def _declared(connection: Connection) -> dict[str, object]:
    """Return what the engine itself says of each table, index and constraint, columns in their order."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")).all()
        parts = {name: re.split(r",(?![^(]*\))|^[^(]*\(|\)\s*$", re.sub(r'[\s"]+', " ", sql)) for name, sql in rows}
        return {name: sorted(part.strip() for part in found) for name, found in parts.items()} | {
            f"{name}.columns": [column["name"] for column in inspect(connection).get_columns(name)]
            for name in inspect(connection).get_table_names()
        }
    columns = """
        SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """
    indexes = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    return {query: connection.execute(text(query)).all() for query in (columns, constraints, indexes)}


def test_the_migrations_make_the_tables_of_the_program(store_url, tmp_path):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)

    store = _step_by_step(_fresh(store_url, tmp_path))
    assert store.database.read(differences) == []
    store.close()


def test_an_empty_database_gets_at_once_what_the_migrations_would_make(store_url, tmp_path):
    url = _fresh(store_url, tmp_path)
    made = _step_by_step(url)
    expected = made.database.read(_declared)
    made.close()
    if url.startswith("sqlite"):
        (tmp_path / "fresh.sqlite").unlink()
    store = Store(_fresh(store_url, tmp_path))
    store.migrate()
    assert store.database.read(_declared) == expected
    assert store.schema_revision() == migration.head_revision()
    store.ready()
    store.close()


def test_looking_and_starting_anew_load_no_alembic(tmp_path):
    program = (
        "import sys; from hub.store import Store; store = Store(sys.argv[1]); store.migrate(); store.ready();"
        "store.close(); print(*(name for name in sys.modules if name.partition('.')[0] == 'alembic'))"
    )
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'new.sqlite'}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.split() == []


def test_tables_that_cannot_all_be_made_are_not_there_at_all(store_url, tmp_path, monkeypatch):
    store = Store(_fresh(store_url, tmp_path))

    def killed() -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migration, "head_revision", killed)  # It is asked for when all tables are made.
        with pytest.raises(KeyboardInterrupt):
            store.migrate()
    assert store.database.read(lambda connection: inspect(connection).get_table_names()) == []
    store.migrate()
    store.ready()
    store.close()


def test_the_head_is_the_one_that_alembic_finds():
    assert (
        migration.head_revision()
        == ScriptDirectory(str(Path(migration.__file__).parent / "migrations")).get_current_head()
    )


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
    bound |= {"widths": "'{}'", "widest": 5}
    for query, index in (
        (queue.CLAIM, "ix_deliveries_due"),
        (queue.CLAIM, "ix_deliveries_suspect"),
        (queue.NEXT_DUE, "ix_deliveries_due"),
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


ENTRY = AuditEntry(at=NOW, actor="cli:otto", action="tables.move", target="tables")


@pytest.fixture
def later(store_url, tmp_path):
    """A database whose tables a later version made: one more column, one more table, and a word which programs they carry."""
    store = Store(_fresh(store_url, tmp_path))
    store.migrate()

    def move(oldest: str | None) -> None:
        def write(connection: Connection) -> None:
            connection.execute(text("UPDATE alembic_version SET version_num = '9998'"))
            connection.execute(text("ALTER TABLE messages ADD COLUMN weather TEXT"))
            connection.execute(text("CREATE TABLE weather (at BIGINT)"))
            connection.execute(text("DELETE FROM settings WHERE name = 'tables.oldest'"))
            if oldest is not None:
                row = {"value": oldest}
                connection.execute(text("INSERT INTO settings (name, value) VALUES ('tables.oldest', :value)"), row)

        store.database.write(write)

    yield store, move
    store.close()


def test_a_program_begins_and_works_on_later_tables_that_carry_it(later):
    store, move = later
    move(migration.head_revision())
    store.migrate()
    store.require_tables()
    store.ready()
    assert store.schema_revision() == "9998"
    made = accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store)
    assert record(store, taken)
    assert store.submissions.message(made.submission_id) is not None


@pytest.mark.parametrize("oldest", [None, "9997"])
def test_later_tables_that_do_not_carry_a_program_are_left_alone_and_named(later, oldest):
    store, move = later
    move(oldest)
    for begin in (store.migrate, store.require_tables, lambda: store.move_tables("0012", ENTRY)):
        with pytest.raises(ConfigurationError) as refusal:
            begin()
        assert "9998" in refusal.value.detail.de
    with pytest.raises(StoreUnavailable):
        store.ready()
    assert store.schema_revision() == "9998"


def test_on_the_way_back_nothing_is_lost_unless_it_is_said(store_url, tmp_path):
    store = Store(_fresh(store_url, tmp_path))
    store.migrate()
    head = migration.head_revision()
    there = known_destination(store)
    waiting = accepted(store, there.destination_id)
    sealed_otherwise = text("UPDATE messages SET form = 'cms'")
    store.database.write(lambda connection: connection.execute(sealed_otherwise).rowcount)
    before = store.audit.entries(scope=EVERYTHING).total
    with pytest.raises(Conflict) as refusal:
        store.move_tables("0003", ENTRY)
    assert "messages.form (1)" in refusal.value.detail.en
    assert (store.schema_revision(), store.audit.entries(scope=EVERYTHING).total) == (migration.head_revision(), before)
    assert store.move_tables("0003", ENTRY, with_loss=True) == {"messages.form": 1}
    assert store.schema_revision() == "0003"
    assert store.move_tables(head, ENTRY) == {}
    back, forward = (each.entry for each in store.audit.entries(action="tables.move", scope=EVERYTHING).items)
    assert (back.before, back.after["revision"], back.after["lost"]) == (
        {"revision": head},
        "0003",
        {"messages.form": 1},
    )
    assert (forward.before, forward.after) == ({"revision": "0003"}, {"revision": head})
    (taken,) = claim(store)
    assert taken.submission.submission_id == waiting.submission_id
    store.ready()
    store.close()


def test_a_revision_that_nobody_knows_is_refused_with_those_that_are_known(store):
    with pytest.raises(ConfigurationError) as refusal:
        store.move_tables("12", ENTRY)
    assert "0012" in refusal.value.detail.en


#: What stands in rows, by revision: an older node knows of a new word by the tables' revision alone, so a word takes one,
#: be it an empty one, and a line here.
WORDS = {
    "0013": {
        "ChangeState": "open approved refused taken-back",
        "ClientKind": "sender subscriber machine",
        "DeadCause": "payload configuration receiver hub",
        "DeliveryState": "queued delivered waiting dead",
        "Door": "plain sealed",
        "EventKind": "create submit notify forward accept reject delete",
        "Form": "jose cms",
        "KeyStep": "add activate retire",
        "OutcomeKind": "delivered waiting refused unreachable unknown",
        "State": "incomplete submitted forwarded accepted rejected deleted",
        "Subject": "submission reply",
    }
}
WORDS["0025"] = WORDS["0013"] | {"EventKind": "create submit notify forward accept reject delete ai-step"}
WORDS["0027"] = WORDS["0013"] | {
    "EventKind": "create submit notify forward accept reject delete ai-step forwarded-to forwarded-from"
}


def test_a_new_word_in_rows_comes_with_a_revision():
    kinds = (ClientKind, DeadCause, DeliveryState, Door, EventKind, Form, KeyStep, OutcomeKind, State, Subject)
    found = {kind.__name__: " ".join(kind) for kind in (ChangeState, *kinds)}
    assert found == WORDS[max(each for each in WORDS if each <= migration.head_revision())]


def test_the_table_of_releases_knows_this_one_and_its_revision():
    from benchmarks.upgrade import releases

    table = {each.version: each for each in releases()}
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert list(table) == re.findall(r"^## (\S+)", changelog, re.MULTILINE)[::-1]
    assert table[__version__].revision == migration.head_revision()
    assert all(each.commit for each in table.values() if each.version != __version__)
    assert migration.head_revision() >= migration.OLDEST
