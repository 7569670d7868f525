"""A database file that is damaged is told as damaged, with what to do: waiting does not mend it."""

from __future__ import annotations

import pytest

from hub.errors import StoreUnavailable
from hub.store import Store


def test_a_file_that_is_no_database_is_told_as_corrupt_with_the_way_back(tmp_path):
    file = tmp_path / "hub.sqlite"
    file.write_bytes(b"junk " * 4000)
    store = Store(f"sqlite:///{file}")
    with pytest.raises(StoreUnavailable, match=r"corrupt.*hub restore"):
        store.ready()
    with pytest.raises(StoreUnavailable, match="hub restore"):
        store.migrate()
    store.close()
