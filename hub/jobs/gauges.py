"""How the hub stands: what waits and lies here, and whether a process can do its job.

Gauges: what waits and what lies in the store, asked when somebody looks, and at most every few seconds.

Labels are ids of destinations, states and causes. So many destinations as may be named are; the rest are one.

Whether a process can do its job right now: one judge for all who ask, whichever way they do.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from hub.crypto import Jwk, expires_at
from hub.errors import ConfigurationError, KeyRefused, Unavailable
from hub.model import EVERYTHING, DeadCause
from hub.scanning import signatures_made
from hub.store import Backlog, Blobs, DeliveryState, FindingKind, Store

#: Destinations that have a label of their own, those with most in their queue first.
MOST_DESTINATIONS = 200
_REST = "other"
_UNKNOWN = "unknown"
#: Standards in all versions that are named.
_MOST_STANDARDS = 200
#: Between two looks at the store: a scrape must not become a load.
_FRESH = timedelta(seconds=5)
#: Certificates of all destinations are read anew after this: there may be hundreds, and they end by the day.
_CERTIFICATES = timedelta(minutes=10)
#: The purpose under which destinations' keys are shown, together: the one that ends first.
_OF_DESTINATIONS = "destination"
#: What a delivery may be that is no history yet.
_OPEN = (DeliveryState.QUEUED, DeliveryState.WAITING, DeliveryState.DEAD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Versions: the program's, and what gives those of the routing table and the schemas (standard, version), asked anew."""

    version: str
    table: Callable[[], str]
    schemas: Callable[[], Iterable[tuple[str, str]]]
    keys_usable: Callable[[], bool]
    #: When the certificates of the hub's own keys end, by purpose.
    key_ends: Callable[[], Mapping[str, datetime]]
    #: What the scanner for malware says of itself, None where it does not answer; None where there is no scanner.
    scanner: Callable[[], str | None] | None = None


class Gauges:
    """Yields the gauges of this moment; without the store, those that need none."""

    def __init__(self, *, store: Store, blobs: Blobs, facts: Facts, clock: Callable[[], datetime]) -> None:
        self._store = store
        self.overview = store.overview
        self._figures = store.figures
        self._blobs = blobs
        self.facts = facts
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[datetime, list[Metric]] | None = None
        self._first_end: tuple[datetime, datetime | None] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        with self._lock:
            now = self._clock()
            # A clock that was set back must not keep an old look for as long as it takes to catch up.
            if self._seen is None or not timedelta() <= now - self._seen[0] < _FRESH:
                self._seen = (now, self._look(now))
            return self._seen[1]

    def _look(self, now: datetime) -> list[Metric]:
        try:
            waiting = self.overview.waiting(scope=EVERYTHING)
            seen = [*self._deliveries(waiting), *self._ages(waiting, now), *self._circuits(now), *self._sums()]
            seen += [self._oldest(now), self._uncovered(now), self._key_ends(now), self._findings()]
            answers = 1
        except Unavailable:
            seen, answers = [], 0
        return [*seen, _one("hub_store_up", "Whether the database answers (1) or not (0).", answers), *self._fixed()]

    def _deliveries(self, waiting: Sequence[Backlog]) -> Iterator[Metric]:
        number = GaugeMetricFamily(
            "hub_deliveries", "Deliveries by destination and state.", labels=["destination", "state"]
        )
        sizes: Counter[str] = Counter()
        for one in waiting:
            sizes[str(one.destination_id)] += one.count
        named = {destination for destination, _ in sizes.most_common(MOST_DESTINATIONS)}
        # Those without a label of their own are none at first: a series that begins with its first delivery shows no increase.
        counted: Counter[tuple[str, str]] = Counter({(_REST, state.value): 0 for state in _OPEN})
        for one in waiting:
            where = str(one.destination_id)
            counted[where if where in named else _REST, one.state.value] += one.count
        for labels, count in counted.items():
            number.add_metric(labels, count)
        yield number
        dead = GaugeMetricFamily("hub_dead_letters", "Dead letters by cause.", labels=["cause"])
        causes = self.overview.dead_causes(scope=EVERYTHING)
        for cause in DeadCause:
            dead.add_metric([cause.value], causes.get(cause.value, 0))
        yield dead

    def _ages(self, waiting: Sequence[Backlog], now: datetime) -> Iterator[Metric]:
        """Yield how long the oldest open delivery of each kind of destination waits, and the oldest in any mailbox."""
        adapters = self._store.parties.adapters()
        kinds = {name for name, _ in Counter(adapters.values()).most_common(_MOST_STANDARDS)}
        ages = dict.fromkeys(sorted(kinds), 0.0)
        mailbox = 0.0
        for one in waiting:
            kind = adapters.get(one.destination_id, _REST)
            kind, age = kind if kind in kinds else _REST, max(0.0, (now - one.oldest_at).total_seconds())
            if one.state is DeliveryState.QUEUED:
                ages[kind] = max(ages.get(kind, 0.0), age)
            elif one.state is DeliveryState.WAITING:
                mailbox = max(mailbox, age)
        oldest = _by_kind(ages)
        yield oldest
        yield _one("hub_oldest_uncollected_seconds", "How long the oldest submission in any mailbox waits.", mailbox)

    def _key_ends(self, now: datetime) -> Metric:
        left = GaugeMetricFamily(
            "hub_key_expiry_seconds",
            "Seconds until the certificate ends of the hub's own keys, and of the destinations' key that ends first.",
            labels=["purpose"],
        )
        ends = dict(self.facts.key_ends())
        if (first := self._of_destinations(now)) is not None:
            ends[_OF_DESTINATIONS] = first
        for purpose, end in ends.items():
            left.add_metric([purpose], (end - now).total_seconds())
        return left

    def _of_destinations(self, now: datetime) -> datetime | None:
        if self._first_end is None or not timedelta() <= now - self._first_end[0] < _CERTIFICATES:
            ends = map(_end_of, self._store.parties.current_keys())
            self._first_end = (now, min((end for end in ends if end is not None), default=None))
        return self._first_end[1]

    def _circuits(self, now: datetime) -> Iterator[Metric]:
        state, until, fault = _of_circuits()
        for circuit in self._figures.troubled(scope=EVERYTHING, limit=MOST_DESTINATIONS):
            labels, standing = [str(circuit.destination_id)], circuit.standing
            left = (standing.open_until - now).total_seconds() if standing.open_until is not None else 0.0
            half = 0.0 if standing.open_until is None else 0.5
            state.add_metric(labels, 1.0 if standing.is_open(now) else half)
            until.add_metric(labels, max(0.0, left))
            fault.add_metric([*labels, circuit.fault or "none"], 0.0 if circuit.fault is None else 1.0)
        yield state
        yield fault
        yield until

    def _sums(self) -> Iterator[Metric]:
        sums = self._figures.sums()
        yield _one("hub_callbacks_pending", "Callbacks to be sent.", sums.callbacks_pending)
        yield _one("hub_callbacks_dead", "Callbacks given up.", sums.callbacks_dead)
        yield _one("hub_notices_pending", "Mails to be sent.", sums.notices_pending)
        yield _one("hub_notices_dead", "Mails given up.", sums.notices_dead)
        yield _one("hub_cases_uncovered", "Cases whose log goes on beyond any signed checkpoint.", sums.cases_uncovered)
        yield _one("hub_blob_bytes", "Bytes of sealed contents in the blob store.", sums.blob_bytes)
        uploads, received = self._store.uploads.under_way()
        yield _one("hub_uploads", "Resumable uploads that no application has taken yet.", uploads)
        yield _one(
            "hub_upload_bytes", "Bytes that came of resumable uploads that no application has taken yet.", received
        )

    def _findings(self) -> Metric:
        open_ = GaugeMetricFamily(
            "hub_findings", "Destinations and senders where something lies still, by what it is.", labels=["kind"]
        )
        counts = self._store.findings.counts(scope=EVERYTHING)
        for kind in FindingKind:
            open_.add_metric([kind.value], counts.get(kind, 0))
        return open_

    def _oldest(self, now: datetime) -> Metric:
        due = self._store.queue.next_due()
        age = 0.0 if due is None else max(0.0, (now - due).total_seconds())
        return _one("hub_oldest_due_seconds", "How long the longest due delivery waits for its attempt.", age)

    def _uncovered(self, now: datetime) -> Metric:
        since = self._figures.uncovered_since()
        age = 0.0 if since is None else max(0.0, (now - since).total_seconds())
        return _one("hub_uncovered_seconds", "How long the end of a case's log waits for a checkpoint.", age)

    def _scanner(self, ask: Callable[[], str | None] | None) -> Iterator[Metric]:
        """Yield how the scanner is: where there is none, none is down, and signatures without a date have no age."""
        version = None if ask is None else ask()
        up = ask is None or version is not None
        yield _one("hub_scanner_up", "Whether the scanner for malware does not fail to answer (1), or does (0).", up)
        made = None if version is None else signatures_made(version)
        age = 0.0 if made is None else max(0.0, (self._clock() - made).total_seconds())
        yield _one("hub_scan_signature_age_seconds", "How old the scanner's signatures are, where they say it.", age)

    def _fixed(self) -> Iterator[Metric]:
        facts = self.facts
        yield from self._scanner(facts.scanner)
        usable = facts.keys_usable()
        yield _one(
            "hub_keys_usable", "Whether every key file in use is there and as it must be (1) or not (0).", usable
        )
        yield _one("hub_free_bytes", "Bytes free where contents lie.", self._blobs.free_bytes())
        info = GaugeMetricFamily("hub_info", "Versions of this process.", labels=["version", "table"])
        info.add_metric([facts.version, self._table()], 1)
        yield info
        schemas = GaugeMetricFamily("hub_schemas", "Schemas in the catalogue.", labels=["standard", "version"])
        for labels, count in Counter(facts.schemas()).most_common(_MOST_STANDARDS):
            schemas.add_metric(labels, count)
        yield schemas

    def _table(self) -> str:
        """Return the version of the routing table; where it cannot be read, the other metrics matter the more."""
        try:
            return self.facts.table()
        except (ConfigurationError, Unavailable):
            return _UNKNOWN


def _by_kind(ages: Mapping[str, float]) -> Metric:
    oldest = GaugeMetricFamily(
        "hub_oldest_queued_seconds",
        "How long the oldest delivery waits that no receiver has, by kind of destination (its adapter).",
        labels=["kind"],
    )
    for kind, age in ages.items():
        oldest.add_metric([kind], age)
    return oldest


def _of_circuits() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    state = GaugeMetricFamily(
        "hub_circuit_open", "1 while nothing is sent to a destination, 0.5 half open.", labels=["destination"]
    )
    until = GaugeMetricFamily(
        "hub_circuit_open_seconds", "How long a destination's pause still lasts.", labels=["destination"]
    )
    fault = GaugeMetricFamily(
        "hub_destination_faults",
        "1 while a destination's settings have to be mended.",
        labels=["destination", "fault"],
    )
    return state, until, fault


def _end_of(jwk: Jwk) -> datetime | None:
    """Return when a key's certificate ends; None for one that has none, or that nobody can read."""
    try:
        return expires_at(jwk)
    except KeyRefused:
        return None


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


#: Seconds after which to ask again.
RETRY_AFTER = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """Judges database, disk, keys and loops.

    ``faults`` returns what is wrong with the hub's keys, ``down`` names the loops of this process that are dead at the
    moment; below ``watermark`` free bytes nothing is accepted.
    """

    store: Store
    blobs: Blobs
    watermark: int
    faults: Callable[[], Sequence[ConfigurationError]]
    down: Callable[[], Iterable[str]]

    def judge(self) -> tuple[bool, dict[str, Any]]:
        """Return whether all is well, and what to answer: each check, and what an operator has to do.

        A loop is named only while it is dead.
        """
        faults = self.faults()
        checks = {"database": self._database(), "disk": self._disk(), "keys": not faults}
        checks |= dict.fromkeys(self.down(), False)
        ready = all(checks.values())
        body: dict[str, Any] = {"status": "ok" if ready else "unavailable", "checks": checks}
        if faults:
            body["faults"] = [{"de": fault.detail.de, "en": fault.detail.en} for fault in faults]
        return ready, body

    def _disk(self) -> bool:
        try:
            return self.blobs.free_bytes() >= self.watermark
        except Unavailable:
            return False

    def _database(self) -> bool:
        try:
            self.store.ready()
        except Unavailable:
            return False
        return True
