"""What the filter of scopes costs on lists: a million submissions in a PostgreSQL, asked by turns with and without it.

``python -m benchmarks.scope --submissions 1000000``. The tree is Hessen's in size: a state, 21 districts, 421 municipalities,
one destination each. Whoever sees the state by a role at it has a scope that names 443 tenants one by one, which leaves
nothing out: the dearest filter there is, on the same rows that are read without one. Whoever administers a district names 21
of them. Each is asked in pairs with a list that has no filter, in changing order, so that the machine's load falls on both
alike; told is the median of each and of the pairs' quotients.
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

#: What somebody sees who administers a district: 20 of 421 municipalities, and their destinations.
DISTRICT = Scope(frozenset({"d3", *(f"m{number}" for number in range(3, DESTINATIONS, _DISTRICTS))}))


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
    print(f"{'':<34} {'without':>9}     {'all 443 named':>24}     {'one district':>21}")
    for name, ask in lists(store).items():
        assert ask(EVERYTHING) == ask(EVERYWHERE), name
        bare, *measured = [compared(ask, one, pairs) for one in (EVERYTHING, EVERYWHERE, DISTRICT)]
        said = "".join(f"  {filtered:9.2f} ms  {share - 1:+8.1%}" for filtered, share in measured)
        print(f"{name:<34} {bare[0]:9.2f} ms{said}", flush=True)


def compared(ask: Callable[[Scope], object], scope: Scope, pairs: int) -> tuple[float, float]:
    """Return the median of milliseconds that a list takes within a scope, and of quotients by what it takes without one."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(pairs):
        for filtered in (False, True) if turn % 2 else (True, False):
            began = time.perf_counter()
            ask(scope if filtered else EVERYTHING)
            times[filtered].append(time.perf_counter() - began)
    quotients = (filtered / bare for bare, filtered in zip(times[False], times[True], strict=True))
    return statistics.median(times[True]) * 1000, statistics.median(quotients)


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
