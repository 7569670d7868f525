"""The adapters of this process: one for each destination, as its settings say now, and how to seal for them."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import EntryPoint
from uuid import UUID

from hub.errors import ConfigurationError, Text, Unavailable
from hub.model import Adapter, Destination, Sealing, sealing_of

_log = logging.getLogger(__name__)
#: Adapters that are kept open at most; beyond it the one that was not used for the longest time is closed.
_MOST = 1_000


class InstalledAdapters(Mapping[str, "type[Adapter]"]):
    """The adapters that are installed, by name; each is loaded when it is first asked for, with whatever library it needs.

    One whose optional library is not installed is left out; a destination that names it is told which there are.
    """

    def __init__(self, entries: Iterable[EntryPoint]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._loaded: dict[str, type[Adapter] | None] = {}

    def __getitem__(self, name: str) -> type[Adapter]:
        entry = self._entries[name]
        if name not in self._loaded:
            try:
                self._loaded[name] = entry.load()
            except ImportError as error:
                _log.info("adapter %s is not available: %s", name, error)
                self._loaded[name] = None
        found = self._loaded[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._entries if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Place:
    """Where one adapter is kept, with a lock of its own: one that takes long to open holds up its own destination alone.

    ``users`` are the attempts that have it, counted under the pool's lock; ``since`` is the age of its settings.
    """

    def __init__(self, name: str, since: datetime) -> None:
        self.name = name
        self.since = since
        self.users = 0
        self.lock = threading.Lock()
        self.adapter: Adapter | None = None


class AdapterPool:
    """Builds and keeps one adapter per destination. Other settings take its place, and close it once nobody uses it."""

    def __init__(self, known: Mapping[str, type[Adapter]], *, most: int = _MOST) -> None:
        self._known = known
        self._most = most
        self._lock = threading.Lock()
        #: By destination, the one that was used last at the end.
        self._places: OrderedDict[UUID, _Place] = OrderedDict()

    @contextmanager
    def lent(self, destination: Destination) -> Iterator[Adapter]:
        """Give the open adapter for ``destination``; it stays open for as long as the block runs.

        Raises:
            ConfigurationError: no adapter of that name, or options that it does not take.
        """
        place = self._taken(destination)
        try:
            with place.lock:
                if place.adapter is None:
                    adapter = self._build(destination)
                    adapter.open()
                    place.adapter = adapter
            yield place.adapter
        finally:
            self._given_back(destination.destination_id, place)

    def of(self, destination: Destination) -> Adapter:
        """Return the open adapter for ``destination``, which others' settings may close; errors as :meth:`lent`."""
        with self.lent(destination) as adapter:
            return adapter

    def sealing(self, destination: Destination) -> Sealing:
        """Return how to seal for ``destination``; where this process lacks its adapter, as for all that have no wishes.

        Raises:
            Unavailable: its adapter does not take its options, so nobody knows.
        """
        kind = self._known.get(destination.adapter)
        if kind is None:
            return Sealing()
        try:
            return sealing_of(kind, destination.adapter_config)
        except ConfigurationError as error:
            raise Unavailable(
                Text(
                    f"{destination.name} ist im Hub nicht richtig eingerichtet. Der Betrieb des Hubs muss handeln.",
                    f"{destination.name} is not set up properly in the hub. The hub's operators have to act.",
                ),
                retry_after=timedelta(hours=1),
                slug="destination-misconfigured",
                destinationId=str(destination.destination_id),
            ) from error

    def close(self) -> None:
        """Close all adapters; one that fails to is logged and keeps no other open."""
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for place in places:
            _close(place)

    def _taken(self, destination: Destination) -> _Place:
        """Return the place of ``destination`` with one user more; what it displaces and nobody uses is closed."""
        name = json.dumps([destination.adapter, dict(destination.adapter_config)], sort_keys=True)
        here = destination.destination_id
        displaced: list[_Place] = []
        with self._lock:
            place = self._places.get(here)
            if place is None or place.name != name:
                new = _Place(name, destination.updated_at)
                # A delivery that was claimed before a change brings the old settings: it must not displace the new ones.
                if place is None or place.since <= new.since:
                    displaced += [] if place is None else [place]
                    self._places[here] = new
                place = new
            place.since = max(place.since, destination.updated_at)
            place.users += 1
            if self._places.get(here) is place:
                self._places.move_to_end(here)
            displaced += self._crowded_out()
            unused = [each for each in displaced if not each.users]
        for each in unused:
            _close(each)
        return place

    def _crowded_out(self) -> list[_Place]:
        """Take away what was not used for the longest time, as far as there is too much; whatever is in use stays."""
        over = len(self._places) - self._most
        idle = [here for here, place in self._places.items() if not place.users] if over > 0 else []
        return [self._places.pop(here) for here in idle[:over]]

    def _given_back(self, here: UUID, place: _Place) -> None:
        with self._lock:
            place.users -= 1
            over = not place.users and self._places.get(here) is not place
        if over:
            _close(place)

    def _build(self, destination: Destination) -> Adapter:
        kind = self._known.get(destination.adapter)
        if kind is None:
            known = ", ".join(sorted(self._known))
            raise ConfigurationError(
                Text(
                    f"Es gibt keinen Adapter „{destination.adapter}“. Bekannt sind: {known}.",
                    f"There is no adapter '{destination.adapter}'. Known are: {known}.",
                )
            )
        return kind(destination.adapter_config)


def _close(place: _Place) -> None:
    """Close what is open there, once; an adapter that fails to is its own affair, whoever wrote it."""
    adapter, place.adapter = place.adapter, None
    if adapter is None:
        return
    try:
        adapter.close()
    except BaseException:  # noqa: BLE001  # the others are closed all the same, and whoever displaced it goes on
        _log.exception("adapter %s does not close", adapter.name)
