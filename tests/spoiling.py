"""Spoils stored rows: writes a value where it does not belong, as another program, a newer version or damage would."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text


def spoil(url: str, table: str, column: str, value: Any, *, key: str, of: Any) -> Any:
    """Write ``value`` into a column of the rows whose ``key`` (SQL) is ``of``; return what stood there."""
    engine = create_engine(url)
    where = {"of": of if isinstance(of, int) else str(of)}
    with engine.begin() as connection:
        before = connection.execute(text(f"SELECT {column} FROM {table} WHERE {key} = :of"), where).scalars().first()
        done = connection.execute(
            text(f"UPDATE {table} SET {column} = :value WHERE {key} = :of"), where | {"value": value}
        )
        assert done.rowcount
    engine.dispose()
    return before
