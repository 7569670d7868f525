"""Counters and histograms of one process, and how they are shown (Prometheus text format).

What the store knows is no business of this module: see ``hub.jobs.gauges``. With several processes the client library keeps
values in files of ``PROMETHEUS_MULTIPROC_DIR``, and any process shows the sum.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

#: The variable by which the client library is told that there are several processes.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Values that a label may take; what comes beyond them is counted together.
_MOST_VALUES = 200
_BEYOND = "other"
#: Ways of logging in whose failures are counted.
LOGINS = ("password", "client", "openid")
#: Groups of operations that alerts watch from the start; any other of the contract is shown once it is asked.
GROUPS = ("applications", "fit_connect", "oauth", "admin")
#: Seconds; an application takes milliseconds, an attempt up to an hour.
_ACCEPT_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ATTEMPT_BUCKETS = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0)


class Source(Protocol):
    """Whatever yields metrics when asked: the client library's word is collector."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this moment."""


class Meters:
    """What happens in this process, counted; ``beside`` yields what whoever started it counts."""

    def __init__(self, beside: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._beside = beside
        self._registry = CollectorRegistry()
        self._labels: dict[str, set[str]] = {}
        self._accepted = self._counter("hub_accepted", "Submissions by door and what came of them.", "door", "outcome")
        self._refused = self._counter("hub_refusals", "Answers that are problems, by the problem's slug.", "slug")
        self._faults = self._counter("hub_configuration_faults", "Requests that the hub's own configuration made fail.")
        self._contradicted = self._counter(
            "hub_logs_contradicted", "Case logs that contradict a signed checkpoint, or themselves, and are not signed."
        )
        self._accept = self._histogram("hub_accept_seconds", "Time to accept a submission.", _ACCEPT_BUCKETS, "door")
        self._attempts = self._counter(
            "hub_attempts", "Delivery attempts by adapter and outcome.", "adapter", "outcome"
        )
        self._attempt = self._histogram(
            "hub_attempt_seconds", "Time of a delivery attempt.", _ATTEMPT_BUCKETS, "adapter"
        )
        self._opened = self._counter("hub_circuit_openings", "Times a circuit breaker opened, by reason.", "reason")
        self._isolated = self._counter("hub_deliveries_isolated", "Deliveries set aside after repeated crashes.")
        self._notices = self._counter("hub_delivery_notices", "Notices of overdue deliveries, by number.", "number")
        self._given_up = self._counter("hub_deliveries_given_up", "Deliveries given up at the end of their time.")
        self._falls = self._counter("hub_loop_deaths", "Times a long-lived loop died and was begun again.", "loop")
        self._failures = self._counter("hub_duty_failures", "Steps of periodic duties that failed.", "duty")
        self._unreadable = self._counter("hub_unreadable_rows", "Rows that this version cannot read.", "table")
        self._requests = self._counter("hub_requests", "Requests by group of operations and status.", "group", "status")
        self._logins = self._counter("hub_logins_failed", "Log-ins that were turned away, by way.", "way")
        self._scans = self._counter("hub_scans", "Parts by what came of scanning them for malware.", "verdict")
        self._scan = self._histogram("hub_scan_seconds", "Time that a part waited for its verdict.", _ACCEPT_BUCKETS)
        self._deprecated = self._counter(
            "hub_deprecated_uses", "Requests that used what will end, and by which client.", "what", "client"
        )
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
        self._begin()

    def answered(self, *, door: str, status: int, took: timedelta) -> None:
        """Count the end of a request that submits."""
        first = status // 100
        outcome = "accepted" if first == 2 else "refused" if first == 4 else "failed"  # noqa: PLR2004  # HTTP's own
        self._accepted.labels(door, outcome).inc()
        self._accept.labels(door).observe(took.total_seconds())

    def aborted(self, *, door: str) -> None:
        """Count a sender that hung up before its answer: no failure of the hub, and its time says nothing."""
        self._accepted.labels(door, "aborted").inc()

    def requested(self, *, group: str, status: str) -> None:
        """Count a request of a ``group`` of operations by its status; ``aborted`` where the client left."""
        self._requests.labels(self._bounded("group", group), status).inc()

    def login_failed(self, way: str) -> None:
        """Count a log-in that failed: by ``password``, by ``client`` secret, by ``openid``."""
        self._logins.labels(way).inc()

    def scanned(self, verdict: str, *, took: timedelta) -> None:
        """Count a part by the verdict of its scan, and how long its sealing waited for that."""
        self._scans.labels(verdict).inc()
        self._scan.observe(took.total_seconds())

    def deprecated(self, what: str, *, client: str) -> None:
        """Count a request that used ``what`` ends one day; clients beyond the first two hundred count together."""
        self._deprecated.labels(self._bounded("what", what), self._bounded("client", client)).inc()

    def refused(self, slug: str) -> None:
        """Count a problem."""
        self._refused.labels(self._bounded("slug", slug)).inc()

    def misconfigured(self) -> None:
        """Count a request that failed because of the hub's own keys, schemas, tables or settings."""
        self._faults.inc()

    def contradicted(self) -> None:
        """Count a log that the hub would not sign."""
        self._contradicted.inc()

    def attempted(self, *, adapter: str, outcome: str, took: timedelta) -> None:
        """Count a delivery attempt."""
        name = self._bounded("adapter", adapter)
        self._attempts.labels(name, outcome).inc()
        self._attempt.labels(name).observe(took.total_seconds())

    def circuit_opened(self, reason: str) -> None:
        """Count an opening: ``failures``, ``wish`` (Retry-After), ``gone`` (HTTP 410) or ``configuration``."""
        self._opened.labels(reason).inc()

    def isolated(self) -> None:
        """Count a delivery that was set aside because workers died of it."""
        self._isolated.inc()

    def noticed(self, number: int) -> None:
        """Count a notice of overdue deliveries."""
        self._notices.labels(str(number)).inc()

    def gave_up(self, count: int) -> None:
        """Count deliveries whose time was over."""
        self._given_up.inc(count)

    def loop_fell(self, name: str) -> None:
        """Count the death of a loop that should live as long as the process."""
        self._falls.labels(name).inc()

    def duty_failed(self, name: str) -> None:
        """Count a duty, or a step of one, that raised."""
        self._failures.labels(name).inc()

    def unreadable(self, table: str) -> None:
        """Count a row that makes no sense to this version."""
        self._unreadable.labels(table).inc()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this process, or of all where they share a folder."""
        for metric in self._shown().collect():
            # When each series began is of no use here, and would double their number.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield from self._beside()

    def text(self, *sources: Source) -> bytes:
        """Return everything in the text format, the metrics of ``sources`` included."""
        shown = CollectorRegistry()
        for source in (self, *sources):
            shown.register(_Unchecked(source))
        return generate_latest(shown)

    def _shown(self) -> CollectorRegistry:
        if SHARED_FOLDER not in os.environ:
            return self._registry
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # registers itself
        return shared

    def _begin_by_way_and_group(self) -> None:
        for way in LOGINS:
            self._logins.labels(way)
        for group, status in product(GROUPS, ("200", "500", "503")):
            self._requests.labels(self._bounded("group", group), status)

    def _begin(self) -> None:
        """Show at zero what alerts watch: Prometheus sees no increase in a series that begins with its first event."""
        for door in ("plain", "sealed"):
            for outcome in ("accepted", "refused", "failed", "aborted"):
                self._accepted.labels(door, outcome)
        for verdict in ("clean", "infected", "limits-exceeded", "not-scanned"):
            self._scans.labels(verdict)
        for slug in ("invalid-payload", "key-unavailable", "store-unavailable", "overloaded", "internal"):
            self._refused.labels(self._bounded("slug", slug))
        for reason in ("failures", "wish", "gone", "configuration"):
            self._opened.labels(reason)
        for number in ("1", "2"):
            self._notices.labels(number)
        self._begin_by_way_and_group()
        for loop in ("dispatcher", "results", "leases", "callbacks", "notices", "duties", "store-writer"):
            self._falls.labels(loop)
        for duty in ("checkpoint", "sign-events", "sweep-blobs", "undelivered", "retention", "timestamp"):
            self._failures.labels(duty)
        for table in ("deliveries", "messages", "contents", "destinations", "cases", "events", "callbacks", "notices"):
            self._unreadable.labels(table)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=buckets, registry=self._registry)

    def _bounded(self, label: str, value: str) -> str:
        """Return ``value``, or a word for the rest: names grow with what is installed, never with what is sent."""
        known = self._labels.setdefault(label, set())
        if value not in known and len(known) >= _MOST_VALUES:
            return _BEYOND
        known.add(value)
        return value


class _Unchecked:
    """A source that is not asked twice: the registry would collect everything once more to compare names."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source.collect()

    def describe(self) -> list[Any]:
        return []


def share(folder: Path) -> dict[str, str]:
    """Empty ``folder`` for the values of several processes; return the environment that each needs before it counts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    return {SHARED_FOLDER: str(folder)}


def count_as(name: str) -> None:
    """Have this process count on what the one before it of that ``name`` counted, in the shared folder.

    For a process that was forked: the client library decides when it is loaded how values are kept.
    """
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]
