"""What the filter of scopes costs on lists: a million submissions in a PostgreSQL, asked by turns with and without it.

``python -m benchmarks.scope --submissions 1000000``. The tree is Hessen's in size: a state, 21 districts, 421 municipalities,
one destination each. Whoever sees the state by a role at it has a scope that names 443 tenants one by one, which leaves
nothing out: the dearest filter there is, on the same rows that are read without one. Both are asked in pairs, in changing
order, so that the machine's load falls on both alike; told is the median of each and of the pairs' quotients.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.usage import DESTINATIONS, fill
from hub.model import EVERYTHING, Scope, State
from hub.store import Store
from hub.store.reports import Wanted

_DISTRICTS = 21
_TENANTS = """
INSERT INTO tenants (tenant_id, parent, kind, name, contact, created_at, updated_at) VALUES
    ('root', NULL, 'state', 'Land', '{}', 0, 0);
INSERT INTO tenants (tenant_id, parent, kind, name, contact, created_at, updated_at)
SELECT 'd' || n, 'root', 'district', 'Kreis ' || n, '{}', 0, 0 FROM generate_series(0, 20) n;
INSERT INTO tenants (tenant_id, parent, kind, name, contact, created_at, updated_at)
SELECT 'm' || n, 'd' || n % 21, 'municipality', 'Ort ' || n, '{}', 0, 0 FROM generate_series(0, 420) n;
UPDATE destinations SET tenant_id = 'm' || substr(destination_id, 1, 8)::int;
UPDATE deliveries SET state = 'dead', cause = 'receiver' WHERE substr(delivery_id, 35) = '77';
UPDATE deliveries SET state = 'waiting', finished_at = NULL WHERE substr(delivery_id, 35) = '73';
INSERT INTO audit (seq, at, actor, action, target, value_before, value_after, previous, hash)
SELECT n, n, 'otto', 'destination.change',
    'destination:' || lpad((n % 421)::text, 8, '0') || '-0000-4000-8000-000000000000', '{}', '{}', '', ''
FROM generate_series(1, 100000) n;
"""


#: The dearest scope: all tenants, named one by one.
EVERYWHERE = Scope(
    frozenset(
        {"root", *(f"d{number}" for number in range(_DISTRICTS)), *(f"m{number}" for number in range(DESTINATIONS))}
    )
)


def main() -> None:
    """Make the rows, ask by turns, and print a line for each list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=15)
    given = parser.parse_args()
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with Postgresql(programs, parent=Path(tempfile.gettempdir())) as server:
        store = Store(server.url)
        store.migrate()
        make(store, server.url, given.submissions)
        measure(store, given.pairs)
        store.close()


def make(store: Store, url: str, number: int) -> None:
    """Write ``number`` submissions of a month, the tree, and audit entries."""
    fill(store, url, number)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for each in filter(str.strip, _TENANTS.split(";")):
            connection.execute(text(each))
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def measure(store: Store, pairs: int) -> None:
    """Ask each list by turns without a filter and with the dearest one."""
    for name, ask in lists(store).items():
        found = {one.is_everything: ask(one) for one in (EVERYTHING, EVERYWHERE)}
        assert found[True] == found[False], name
        times: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(pairs):
            for one in (EVERYTHING, EVERYWHERE) if turn % 2 else (EVERYWHERE, EVERYTHING):
                began = time.perf_counter()
                ask(one)
                times[one.is_everything].append(time.perf_counter() - began)
        bare, filtered = (statistics.median(times[each]) * 1000 for each in (True, False))
        share = statistics.median(filtered / bare for bare, filtered in zip(times[True], times[False], strict=True))
        print(f"{name:<34} {bare:9.2f} ms  {filtered:9.2f} ms  {share - 1:+8.1%}", flush=True)


def lists(store: Store) -> Mapping[str, Callable[[Scope], object]]:
    """Return the lists by name, each as what it comes to within a scope."""
    views = store.overview

    def ids(page: object) -> list[object]:
        return [getattr(each, "message_id", getattr(each, "delivery_id", each)) for each in page.items]  # type: ignore[attr-defined]

    return {
        "submissions, first page": lambda scope: ids(views.submissions(Wanted(), scope=scope)),
        "submissions, page 100": lambda scope: ids(views.submissions(Wanted(), scope=scope, offset=5_000)),
        "submissions rejected": lambda scope: ids(views.submissions(Wanted(state=State.REJECTED), scope=scope)),
        "deliveries given up": lambda scope: ids(views.dead(scope=scope)),
        "deliveries waiting, by destination": lambda scope: len(views.waiting(scope=scope)),
        "audit": lambda scope: [each.seq for each in store.audit.entries(scope=scope, newest_first=True).items],
        "destinations": lambda scope: [
            each.destination_id for each in store.parties.destinations(scope=scope, limit=100).items
        ],
    }


if __name__ == "__main__":
    main()
