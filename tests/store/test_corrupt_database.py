"""A database file that is damaged is told as damaged, with what to do: waiting does not mend it."""

from __future__ import annotations

from contextlib import closing

import pytest

from hub.errors import DatabaseDamaged, StoreUnavailable
from hub.model import EVERYTHING
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


def ruin(file):
    """Overwrite the pages of all tables but the first page, as a failing disk may."""
    raw = bytearray(file.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    file.write_bytes(raw)


def test_a_hub_whose_database_turns_out_damaged_in_service_is_not_ready_before_a_restart(tmp_path):
    file = tmp_path / "hub.sqlite"
    with closing(Store(f"sqlite:///{file}")) as made:
        made.migrate()
    whole = file.read_bytes()
    ruin(file)
    with closing(Store(f"sqlite:///{file}")) as store:
        with pytest.raises(DatabaseDamaged, match="corrupt"):
            store.parties.destinations(scope=EVERYTHING)
        # Not every page is read by a look at readiness; what was found out counts on.
        file.write_bytes(whole)
        with pytest.raises(DatabaseDamaged, match="hub restore"):
            store.ready()
    with closing(Store(f"sqlite:///{file}")) as again:
        again.ready()


def test_damage_that_a_write_finds_counts_as_well(tmp_path):
    file = tmp_path / "hub.sqlite"
    with closing(Store(f"sqlite:///{file}")) as made:
        made.migrate()
    whole = file.read_bytes()
    ruin(file)
    with closing(Store(f"sqlite:///{file}")) as store:
        with pytest.raises(DatabaseDamaged):
            store.settings.set("name", "value")
        file.write_bytes(whole)
        with pytest.raises(DatabaseDamaged):
            store.ready()
