"""The adapters of this process: one for each destination and configuration, and how to seal for them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from datetime import timedelta

from hub.delivery import Adapter, Sealing, sealing_of
from hub.errors import ConfigurationError, Text, Unavailable
from hub.parties import Destination

_log = logging.getLogger(__name__)


class _Place:
    """Where one adapter is kept, with a lock of its own: one that takes long to open holds up its own destination alone."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.adapter: Adapter | None = None


class AdapterPool:
    """Builds and keeps one adapter per destination and configuration."""

    def __init__(self, known: Mapping[str, type[Adapter]]) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}

    def of(self, destination: Destination) -> Adapter:
        """Return the open adapter for ``destination``.

        Raises:
            ConfigurationError: no adapter of that name, or options that it does not take.
        """
        name = json.dumps(
            [str(destination.destination_id), destination.adapter, dict(destination.adapter_config)], sort_keys=True
        )
        with self._lock:
            place = self._places.setdefault(name, _Place())
        with place.lock:
            if place.adapter is None:
                adapter = self._build(destination)
                adapter.open()
                place.adapter = adapter
            return place.adapter

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
        for adapter in [place.adapter for place in places if place.adapter is not None]:
            try:
                adapter.close()
            except Exception:  # noqa: BLE001  # whoever wrote it, the others are closed all the same
                _log.exception("adapter %s does not close", adapter.name)

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
