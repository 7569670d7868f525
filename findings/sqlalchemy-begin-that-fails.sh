#!/usr/bin/env bash
# What: SQLAlchemy 2.1.9 on SQLite, transactions begun by a listener of "begin", as its documentation of pysqlite shows, with BEGIN IMMEDIATE.
# BEGIN fails once, because another process holds the database, and the connection is used again.
# Guess: the next statement begins a transaction, as every first statement does, and rollback() takes it back.
# So: the connection is held for one in the midst of beginning and begins none ever again: each statement is a commit of its own.
# Seen 2026-11-30:
#   locked, then insert, then rollback: rows 1, begun by itself False
#   begun by name, then insert, then rollback: rows 1
#   a new connection, insert, rollback: rows 1
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check SQLAlchemy==2.1.9
cd "$dir"
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import sqlite3

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

engine = create_engine("sqlite:///one.sqlite", connect_args={"timeout": 0.05})
event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
other = sqlite3.connect("one.sqlite", isolation_level=None)
other.execute("CREATE TABLE t (n INTEGER)")
insert, count = text("INSERT INTO t VALUES (1)"), text("SELECT count(*) FROM t")

with engine.connect() as connection:
    other.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(insert)
    except OperationalError:
        other.execute("ROLLBACK")
    connection.rollback()
    connection.execute(insert)
    begun = connection.in_transaction()
    connection.rollback()
    rows = lambda: other.execute("SELECT count(*) FROM t").fetchone()[0]
    print(f"locked, then insert, then rollback: rows {rows()}, begun by itself {begun}")
    with connection.begin() as transaction:
        connection.execute(insert)
        transaction.rollback()
    print(f"begun by name, then insert, then rollback: rows {rows()}")
with engine.connect() as connection:
    connection.execute(insert)
    connection.rollback()
    print(f"a new connection, insert, rollback: rows {rows()}")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
