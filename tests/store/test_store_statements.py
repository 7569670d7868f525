"""Hot statements: several rows go in with few statements, and none is lost or doubled, on either engine."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.exc import IntegrityError

from hub.store.engine import writing_engine
from hub.store.statements import Insert, Lookup

_PROBE = Table("probe", MetaData(), Column("name", Text, primary_key=True), Column("number", Integer, nullable=False))
_FIND = Lookup(_PROBE, columns=["number"], by=["name"])


@pytest.fixture
def probe(store_url):
    """Lend a transaction with an empty table; nothing of it is kept."""
    engine = writing_engine(store_url)
    with engine.connect() as connection:
        _PROBE.create(connection)
        yield connection
        connection.rollback()
    engine.dispose()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 7, 15, 16, 17, 63, 64, 65, 127, 200])
def test_each_of_any_number_of_rows_is_inserted_once(probe, number):
    rows = [(f"row {n}", n) for n in range(number)]
    assert Insert(_PROBE).raw(probe, rows) == number
    assert [_FIND.rows(probe, name) for name, _ in rows] == [[(n,)] for n in range(number)]


def test_of_many_rows_those_that_are_there_are_passed_over_and_not_counted(probe):
    insert = Insert(_PROBE, "ON CONFLICT (name) DO NOTHING")
    insert(probe, {"name": "row 3", "number": -1})
    assert insert.raw(probe, [(f"row {n}", n) for n in range(23)]) == 22
    assert _FIND.rows(probe, "row 3") == [(-1,)]


def test_a_row_that_is_there_already_fails_all_of_them(probe):
    with pytest.raises(IntegrityError):
        Insert(_PROBE).raw(probe, [(f"row {n % 20}", n) for n in range(23)])
