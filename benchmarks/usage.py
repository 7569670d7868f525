"""How long the roll-up of a month takes: rows as intake leaves them, made by SQL in a PostgreSQL, counted day by day.

``python -m benchmarks.usage --submissions 1000000`` writes what it measured; a day is counted as the duty counts it. The wall
clock is the database's work nearly alone, so the share of the counting process is told beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.crash.postgresql import Postgresql, binaries
from hub.model import EVERYTHING
from hub.model.usage import Month, span_of
from hub.store import Store

_MONTH = Month(2026, 10)
DESTINATIONS, _SERVICES, _SENDERS = 421, 25, 6
_PARTIES = text("""
INSERT INTO destinations (destination_id, name, status, tenant, services, metadata_versions, encryption_kid, contact, adapter,
    adapter_config, created_at, updated_at)
SELECT lpad(n::text, 8, '0') || '-0000-4000-8000-000000000000',
    'Ort ' || n, 'active', '06' || lpad(n::text, 10, '0'), '[]', '[]', 'k', '{}',
    'mailbox', '{}', 0, 0
FROM generate_series(0, :destinations - 1) n
""")
#: Version 7 ids begin with their time; one in ten is rejected, and contents of half of them are deleted already.
_ROWS = """
INSERT INTO {table} SELECT {columns} FROM (
    SELECT n, at, lpad(to_hex(at / 1000), 12, '0') AS stamp, lpad(to_hex(n), 12, '0') AS tail
    FROM (
        SELECT n, cast(:begin AS bigint) + (n * cast(:step AS float))::bigint AS at
        FROM generate_series(cast(:first AS int), cast(:last AS int)) n
    ) numbered
) made
"""
_ID = "substr(stamp, 1, 8) || '-' || substr(stamp, 9, 4) || '-7000-8000-' || tail"
_PLACE = f"lpad((n % {DESTINATIONS})::text, 8, '0') || '-0000-4000-8000-000000000000'"
_HOUR = 3_600_000_000
_COLUMNS = {
    "cases (case_id, destination_id, sender, seq, head, created_at, last_event_at, covered)": (
        f"{_ID}, {_PLACE}, 's' || n % {_SENDERS}, 4, '', at, at, 4"
    ),
    "messages (message_id, kind, case_id, destination_id, sender, door, state, service_identifier, service_name, area, "
    "announced, notices, receipt, created_at, submitted_at, finished_at, deleted_at)": (
        f"{_ID}, 'submission', {_ID}, {_PLACE}, 's' || n % {_SENDERS}, 'plain', "
        "CASE WHEN n % 10 = 0 THEN 'rejected' WHEN n % 2 = 0 THEN 'deleted' ELSE 'accepted' END, "
        f"'urn:de:fim:leika:leistung:' || n % {_SERVICES}, 'x', '06' || lpad((n % {DESTINATIONS})::text, 10, '0'), '[]', 0, "
        f"repeat('r', 1200), at, at, at + (n % 300) * {_HOUR}, CASE WHEN n % 2 = 0 THEN at END"
    ),
    "deliveries (delivery_id, submission_id, destination_id, state, fencing, lapses, attempts, repeat, accepted_at, "
    "finished_at)": (f"{_ID}, {_ID}, {_PLACE}, 'delivered', 1, 0, 1, FALSE, at, at + (n % 900) * 1000000"),
    "contents (message_id, part, tag, sha512, size)": f"{_ID}, 'data', 't', 'h', 9000",
}
_ANSWERS = """
INSERT INTO events (case_id, seq, jti, subject, subject_id, kind, issuer, by_hub, issued_at, payload, digests, previous, hash)
SELECT message_id, 3, message_id, 'submission', message_id, 'reject', destination_id, TRUE, submitted_at,
    '{"problems":[{"type":"https://x/encryption-issue"}]}', '{}', '', ''
FROM messages WHERE state = 'rejected' AND submitted_at >= :begin
"""  # our own words
_DELETED = """
INSERT INTO deletions (message_id, state, bytes) SELECT message_id, 'accepted', 9000 FROM messages WHERE state = 'deleted'
"""


def main() -> None:
    """Make a month, count it twice, and say how long each count took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=1_000_000)
    number = parser.parse_args().submissions
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with Postgresql(programs, parent=Path(tempfile.gettempdir())) as server:
        store = Store(server.url)
        store.migrate()
        made = _timed(lambda: fill(store, server.url, number))
        print(f"{number} submissions of {_MONTH} made in {made[0]:.0f} s")
        for what in ("first count", "count that finds nothing new"):
            took, of_this = _timed(lambda: count(store))
            print(
                f"{what}: {took:.1f} s of the clock, {of_this:.1f} s of CPU here; "
                f"10 million by the same rate: {took / number * 10_000_000:.0f} s"
            )
        took, _ = _timed(lambda: store.usage.lines(_MONTH, scope=EVERYTHING, by=("area",)))
        print(f"the month by municipality: {took * 1000:.0f} ms")
        store.close()


def fill(store: Store, url: str, number: int) -> None:
    """Write the rows of ``number`` submissions, spread over the month."""
    begin, end = span_of(_MONTH.first)[0], span_of(_MONTH.after.first)[0]
    values = {
        "begin": int(begin.timestamp() * 1_000_000),
        "step": (end - begin) / timedelta(microseconds=1) / number,
    }
    store.database.write(lambda connection: connection.execute(_PARTIES, {"destinations": DESTINATIONS}).rowcount)
    for first in range(0, number, 200_000):
        part = values | {"first": first, "last": min(first + 200_000, number) - 1}
        for table, columns in _COLUMNS.items():
            rows = text(_ROWS.format(table=table, columns=columns))
            store.database.write(lambda connection: connection.execute(rows, part).rowcount)  # noqa: B023
    for also in (_ANSWERS, _DELETED):
        store.database.write(lambda connection: connection.execute(text(also), {"begin": values["begin"]}).rowcount)  # noqa: B023
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def count(store: Store, now: datetime | None = None) -> int:
    """Count the whole month, as the duty does."""
    at = span_of(_MONTH.after.first)[1] if now is None else now
    days = list(_MONTH.days())
    store.usage.ask_again(days)
    return sum(store.usage.count(day, at) for day in days)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
