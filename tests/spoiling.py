"""Spoils what the hub stands on: stored rows, as other programs, newer versions or damage would; threads, as a full machine."""

from __future__ import annotations

import threading
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


def give_no_thread(monkeypatch: Any, name: str) -> list[str]:
    """Have the machine give no thread of a name from now on; return the names of those that were refused, which fills.

    Undo it by ``monkeypatch.undo()``.
    """
    refused: list[str] = []
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name.startswith(name):
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    return refused
