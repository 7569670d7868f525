"""What the filter of scopes costs: how a real PostgreSQL answers lists, its planner's switches as they are.

Twenty thousand submissions at 421 destinations, as ``make bench-scope`` makes a million of them and tells times; here it is
shown which way each list is read, and that no row pays for a filter that leaves nothing out.
"""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from store_servers import empty

from benchmarks.scope import DISTRICT, EVERYWHERE, make
from hub.model import EVERYTHING, Scope
from hub.store import Store
from hub.store.reports import Wanted

NUMBER = 20_000
TOWN = Scope(frozenset({"m7"}))


@pytest.fixture(scope="module")
def filled(postgresql_url):
    empty(postgresql_url)
    store = Store(postgresql_url)
    make(store, postgresql_url, NUMBER)
    yield store
    store.close()
    empty(postgresql_url)


def plans(store, ask) -> list[str]:
    """Return how each statement of a list was answered: the page, then the number of all."""
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    said = []
    for statement, parameters in asked:
        explained = f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {statement}"
        rows = store.database.read(lambda connection: connection.exec_driver_sql(explained, parameters).all())  # noqa: B023
        said.append("\n".join(row[0] for row in rows))
    return said


def test_a_list_of_submissions_is_read_from_its_newest_and_counted_in_a_small_index(filled):
    page, number = plans(filled, lambda: filled.overview.submissions(Wanted(), scope=EVERYTHING))
    assert "Index Scan Backward using ix_messages_newest" in page, page
    assert "Index Only Scan using ix_messages_destination" in number, number
    assert "Seq Scan" not in page + number


def test_a_scope_that_leaves_nothing_out_is_asked_for_that_once_and_read_as_without_one(filled):
    question, page, number = plans(filled, lambda: filled.overview.submissions(Wanted(), scope=EVERYWHERE))
    assert "actual rows=0" in question.splitlines()[0], question
    assert "messages" not in question
    bare = plans(filled, lambda: filled.overview.submissions(Wanted(), scope=EVERYTHING))
    assert [steps(page), steps(number)] == [steps(each) for each in bare]


def test_where_a_filter_stays_in_the_statement_no_row_pays_for_one_that_leaves_nothing_out(filled):
    (plan,) = plans(filled, lambda: filled.overview.waiting(scope=EVERYWHERE))
    assert "InitPlan 1" in plan, plan
    assert "(never executed)" in plan.partition("SubPlan 2")[2], plan
    assert "Join" not in plan, plan


def test_a_districts_audit_entries_are_counted_by_what_they_are_about(filled):
    page, number = plans(filled, lambda: filled.audit.entries(scope=DISTRICT, newest_first=True))
    assert "Index Only Scan using ix_audit_target" in number, number
    assert "Seq Scan on audit" not in page + number, page


def test_hundreds_of_ids_are_one_text_that_the_planner_takes_apart_before_it_looks_at_rows(filled):
    (question, *_) = plans(filled, lambda: filled.overview.dead(scope=EVERYWHERE))
    assert "string_to_array" not in question, question
    assert "ANY ('{d0,d1," in question


def steps(plan: str) -> list[str]:
    """Return the nodes of a plan, without how many rows each had and how long it took."""
    return re.findall(r"^\s*(?:->\s+)?([A-Z][\w ]+?)  ?\(", plan, re.MULTILINE)


def test_a_towns_submissions_are_found_by_its_destination(filled):
    wanted = sum(1 for number in range(NUMBER) if number % 421 == 7)
    assert filled.overview.submissions(Wanted(), scope=TOWN).total == wanted
    (page,) = plans(filled, lambda: filled.overview.submissions(Wanted(), scope=TOWN))
    assert f"Index Scan on ix_messages_destination (actual rows={wanted} loops=1)" in page, page
    assert "Seq Scan" not in page


def test_a_wide_scope_that_lacks_one_destination_does_not_see_it(filled):
    almost = Scope((EVERYWHERE.tenants or frozenset()) - {"m7"})
    hidden = sum(1 for number in range(NUMBER) if number % 421 == 7)
    assert filled.overview.submissions(Wanted(), scope=almost).total == NUMBER - hidden
    assert filled.overview.submissions(Wanted(), scope=EVERYWHERE).total == NUMBER
