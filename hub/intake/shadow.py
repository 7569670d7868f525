"""Shadow validation: what comes in is judged once more, by the version of its standard that is announced; rules are counted.

Beside the answer, never before it: one thread judges, few payloads wait for it, and it rests nineteen times as long as it
worked. What finds no room, or is too large, is not judged; the counts say of how many payloads they are. Payloads lie in memory
until they are judged and nowhere else; what is kept are ids of rules and numbers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from hub.errors import Refused
from hub.model import Cover, MediaType
from hub.store import Store
from hub.store.readiness import JUDGED, REFUSED, ReadinessKey
from hub.validation.calendar import coming, rehearsed
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import SchemaEntry
from hub.validation.report import MIB

_log = logging.getLogger(__name__)
#: Payloads that wait or are judged; bytes of one.
_MOST_WAITING = 8
_LARGEST = 4 * MIB
#: Seconds of rest for each second of work: a twentieth of a core, however much comes.
_REST = 19.0
#: Rules of one payload that are counted; a payload that breaks more says no more by them.
_MOST_RULES = 50


class Taken(Protocol):
    """What of an application is judged; it is not kept for longer than that takes."""

    @property
    def media_type(self) -> MediaType:
        """How its data are written."""

    @property
    def data(self) -> bytes:
        """Its data."""

    @property
    def cover(self) -> Cover:
        """What it is for, and who sent it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrived:
    application: Taken = field(repr=False)
    schema: SchemaEntry
    destination_id: str
    sent: Collection[str]
    at: datetime


class Shadow:
    """Judges what arrives by what is announced. ``catalogs`` returns the catalogue of the moment."""

    def __init__(
        self,
        *,
        store: Store,
        catalogs: Callable[[], SchemaCatalog],
        monotonic: Callable[[], float] = time.monotonic,
        rest: float = _REST,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._monotonic = monotonic
        self._rest = rest
        self._lock = threading.Lock()
        #: How many wait to be judged, and until when (of the steady clock) nobody is.
        self.waiting = 0
        self.rests_until = 0.0
        self._pool: ThreadPoolExecutor | None = None
        self._announced: tuple[SchemaCatalog, date, dict[str, tuple[str, ...]]] | None = None
        self._trials: tuple[SchemaCatalog, dict[tuple[str, str], SchemaCatalog]] | None = None

    def offer(
        self, application: Taken, schema: SchemaEntry, destination_id: UUID, *, sent: Collection[str], at: datetime
    ) -> Future[None] | None:
        """Have the data of an application judged if anything is announced for its schema and there is room; None: it is not."""
        if len(application.data) > _LARGEST or self._monotonic() < self.rests_until:
            return None
        catalog = self._catalogs()
        versions = self._coming(catalog, schema.manifest.standard, at.date())
        if not versions:
            return None
        arrived = _Arrived(application=application, schema=schema, destination_id=str(destination_id), sent=sent, at=at)
        with self._lock:
            if self.waiting >= _MOST_WAITING:
                return None
            self.waiting += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        try:
            return self._pool.submit(self._judge, catalog, versions, arrived)
        except RuntimeError:  # It is shutting down, or no thread is to be had: the answer does not depend on it.
            self._left()
            return None

    def close(self) -> None:
        """Judge no more; what waits is forgotten."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _judge(self, catalog: SchemaCatalog, versions: tuple[str, ...], arrived: _Arrived) -> None:
        began = self._monotonic()
        try:
            counts: Counter[ReadinessKey] = Counter()
            for version in versions:
                counts += self._counted(catalog, version, arrived)
            self._store.readiness.note(counts).add_done_callback(_noted)
        except Exception as error:  # noqa: BLE001  # Whatever a trial raises, the application was taken long ago.
            _log.warning("a payload was not judged by what is announced: %s", type(error).__name__)
        finally:
            now = self._monotonic()
            self.rests_until = now + self._rest * (now - began)
            self._left()

    def _left(self) -> None:
        with self._lock:
            self.waiting -= 1

    def _counted(self, catalog: SchemaCatalog, version: str, arrived: _Arrived) -> Counter[ReadinessKey]:
        standard = arrived.schema.manifest.standard
        rules: Collection[str]
        try:
            report = rehearsed(
                self._trial(catalog, standard, version),
                arrived.schema,
                media_type=arrived.application.media_type,
                data=arrived.application.data,
                service=arrived.application.cover.service,
                on=arrived.at.date(),
                sent=arrived.sent,
            )
            rules = sorted({each.rule for each in report.violations})[:_MOST_RULES]
        except Refused as refused:
            rules = [refused.slug]
        counted = (JUDGED, *((REFUSED, *rules) if rules else ()))
        day, sender = arrived.at.date().isoformat(), arrived.application.cover.sender
        return Counter(ReadinessKey(standard, version, day, arrived.destination_id, sender, rule) for rule in counted)

    def _coming(self, catalog: SchemaCatalog, standard: str, on: date) -> tuple[str, ...]:
        """Return the versions that are announced; looked up once a day for each standard and catalogue."""
        known = self._announced
        if known is None or known[0] is not catalog or known[1] != on:
            known = self._announced = (catalog, on, {})
        if standard not in known[2]:
            known[2][standard] = coming(catalog, standard, on)
        return known[2][standard]

    def _trial(self, catalog: SchemaCatalog, standard: str, version: str) -> SchemaCatalog:
        """Return the catalogue in which a version is in force; made once for each catalogue of the moment."""
        if self._trials is None or self._trials[0] is not catalog:
            self._trials = (catalog, {})
        trials = self._trials[1]
        if (standard, version) not in trials:
            trials[standard, version] = catalog.as_if_in_force(standard, version)
        return trials[standard, version]


def _noted(done: Future[int]) -> None:
    if done.cancelled() or done.exception() is not None:
        _log.warning("counts of what is announced were not kept")
