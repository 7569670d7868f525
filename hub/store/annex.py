"""Rooms beside the store: nouns that share its connections and its one writer without being methods of ``Store``."""

from __future__ import annotations

from hub.store.database import Database


class Annex(Database):
    """A part of the store for one noun of administration. It opens nothing of its own and is closed with the store."""

    def __init__(self, store: Database) -> None:
        # Not the parent's constructor: on SQLite a second writer in one process would only wait for the first.
        self._writing = store._writing  # noqa: SLF001  # the same room, another door
        self._reading = store._reading  # noqa: SLF001
        self._writer = store._writer  # noqa: SLF001
        self._told = store._told  # noqa: SLF001
        self._unreadables = store._unreadables  # noqa: SLF001
