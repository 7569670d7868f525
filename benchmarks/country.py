"""``make bench-country``: a day of the whole country in a few minutes, and what a hub for it would need.

10,952 municipalities and 575 services stand in the table; every municipality has a destination of its own, every district
one for what municipalities leave to it. A working day's curve with a peak of ten times the mean is sent to nodes on one
PostgreSQL, as it falls due and not as answers come; 2 % of the destinations are sick: half of them answer 500, half not at
all. From what the nodes and the database use within each hour, two straight lines are fitted (idle, and for each
application); a second day on twice the nodes is foretold by them and measured. From the same lines follows what 21 million
applications a day would take.

Wall clock decides nothing here: what counts is CPU, bytes, and that nothing is lost. Traffic goes to loopback alone and is
bounded by the length of the day. Prices are assumptions, and options.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import queue
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4, uuid5

from sqlalchemy import Connection, create_engine, delete, text

from benchmarks.crash.nodes import free_port
from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenery import copy_to_postgresql, make_data
from benchmarks.full.backlog import EXAMPLE, SERVICE, token_of
from benchmarks.full.processes import YARDSTICK, called, resident_mebibytes, running, tree_cpu_seconds
from hub import app
from hub.areas import Area
from hub.config import load_settings
from hub.model.clock import utc_now
from hub.resources import shipped
from hub.routing import Rule, service_urn
from hub.store import AuditEntry, tables

_OUT = Path(__file__).parent / "out"
_MUNICIPALITIES, _DISTRICTS, _SERVICES = 10_952, 400, 575
#: What municipalities do themselves; the rest is their district's.
_OWN_SERVICES = 60
_LANDS = [number for number in range(1, 17) if number != 6]  # Hesse is there as it is.
_IDS = UUID("0c0a4a10-0000-4000-8000-000000000000")
_SICK = 0.02
#: What X-Road of Estonia carries in a day, as its operator publishes.
_A_DAY = 21_000_000
_PEAK = 10
#: A working day by hours, before its peak is put on: nobody at night, a morning, a lunch, an afternoon, an evening at home.
_SHAPE = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 16, 14, 11, 12, 14, 13, 11, 9, 8, 9, 10, 8, 4, 2)
_PEAK_HOUR = 10
#: Cores are planned to be this busy at the peak, and no busier.
_BUSY = 0.6
_CONNECTIONS = 48
_ON_DISK = ("listen_addresses=", "max_connections=200", "shared_buffers=512MB", "max_wal_size=4GB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hour:
    """What one hour of a day came to: applications a second that fell due and were accepted, seconds of CPU, bytes."""

    number: int
    seconds: float
    due: int
    accepted: int
    delivered: int
    hub_cpu: float
    database_cpu: float
    database_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A day on some nodes."""

    nodes: int
    hours: Sequence[Hour]
    statuses: dict[str, int]
    late_p99_ms: float
    delivered: int
    waiting: int
    dead: int
    lost: int
    drained_seconds: float
    resident_mebibytes: float

    @property
    def hub_cpu(self) -> float:
        return sum(hour.hub_cpu for hour in self.hours)

    @property
    def accepted(self) -> int:
        return self.statuses.get("202", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Seconds of CPU: ``idle`` in each second, and ``each`` for an application."""

    idle: float
    each: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float, float]]) -> Line:
        """Fit (seconds, applications, CPU seconds) by least squares on rates, each hour weighing by its length."""
        total = sum(seconds for seconds, _, _ in points)
        x = sum(number for _, number, _ in points) / total
        y = sum(cpu for _, _, cpu in points) / total
        above = sum(s * (n / s - x) * (c / s - y) for s, n, c in points)
        below = sum(s * (n / s - x) ** 2 for s, n, c in points)
        each = above / below if below else 0.0
        return cls(idle=max(0.0, y - each * x), each=each)

    def cpu(self, seconds: float, applications: float) -> float:
        return self.idle * seconds + self.each * applications


@dataclass(kw_only=True, slots=True)
class Country:
    """A database with the country's table and destinations, and the data folder that belongs to it."""

    server: Postgresql
    data: Path
    rules: Path
    receivers: int
    municipalities: Sequence[str]

    @contextmanager
    def nodes(self, number: int) -> Iterator[list[tuple[int, Any]]]:
        """Run so many nodes; each serves by one process and delivers by another. Yields (port, process)."""
        with ExitStack() as stack:
            made = []
            for _ in range(number):
                port = free_port()
                environment = {
                    "HUB_DATABASE_URL": self.server.url,
                    "HUB_ROUTING_RULES": str(self.rules),
                    "HUB_BASE_URL": "http://127.0.0.1:8080",
                    "HUB_RETRY_FIRST_SECONDS": "30",
                }
                command = ("serve", "--processes", "1", "--work", "--port", str(port), "--data", str(self.data))
                made.append((port, stack.enter_context(running("hub.cli", *command, env=environment, quiet=True))))
            yield made

    def rows(self, statement: str) -> list[Any]:
        engine = create_engine(self.server.url)
        with engine.connect() as connection:
            found = list(connection.execute(text(statement)))
        engine.dispose()
        return found

    def counts(self) -> tuple[int, int, int]:
        """Return deliveries that are done, that wait, and that were given up."""
        found = dict(map(tuple, self.rows("SELECT state, count(*) FROM deliveries GROUP BY state")))
        return found.get("delivered", 0), found.get("queued", 0), found.get("dead", 0)

    def bytes(self) -> int:
        return int(self.rows("SELECT pg_database_size(current_database())")[0][0])


@contextmanager
def country(*, municipalities: int, districts: int, services: int) -> Iterator[Country]:
    """Make the table and the destinations; the database lies on disk, with its synchronous commit."""
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with (
        tempfile.TemporaryDirectory(prefix="hub-country-") as name,
        Postgresql(programs, parent=Path(tempfile.gettempdir()), settings=_ON_DISK) as server,
    ):
        data, rules, receivers = Path(name) / "data", Path(name) / "rules", free_port()
        make_data(data)
        copy_to_postgresql(data, server.url)
        _areas(rules, municipalities, districts)
        hub = app.build(
            load_settings(data, {}, database_url=server.url, routing_rules=str(rules), disk_watermark_bytes=0)
        )
        begun = time.monotonic()
        towns = _settle(hub, data, services=services, receivers=receivers)
        pairs = len(towns) * services
        print(
            f"{len(towns):,} municipalities x {services} services = {pairs:,} answers in a table of {len(hub.table()):,} "
            f"rules; {len(towns) + districts:,} destinations, made in {time.monotonic() - begun:.0f} s",
            flush=True,
        )
        hub.close()
        yield Country(server=server, data=data, rules=rules, receivers=receivers, municipalities=towns)


def _areas(folder: Path, municipalities: int, districts: int) -> None:
    """Write the shipped areas and, beside them, invented ones of the other lands, sorted and well formed."""
    shutil.copytree(shipped("routing_rules"), folder)
    shutil.rmtree(folder / "hessen")
    # A table begins with one rule at least; people replace it as they would.
    first = f'rules: [{{id: first, area: "06", destination: {_IDS}, note: "benchmark", services: [{SERVICE}]}}]\n'
    (folder / "rules.yaml").write_text(first, encoding="utf-8")
    with (folder / "areas" / "hessen.csv").open(encoding="utf-8", newline="") as lines:
        there = [row["ars"] for row in csv.DictReader(lines, delimiter=";")]
    left = municipalities - sum(len(ars) == 12 for ars in there)
    made_up = districts - sum(len(ars) == 5 for ars in there)
    with (folder / "areas" / "elsewhere.csv").open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines, delimiter=";")
        rows.writerow(["ars", "name", "kind", "inhabitants", "valid_from"])
        rows.writerows([f"{land:02d}", f"Land {land}", "state", "", ""] for land in _LANDS)
        for district in range(made_up):
            land, number = _LANDS[district % len(_LANDS)], district // len(_LANDS)
            ars = f"{land:02d}0{number:02d}"
            rows.writerow([ars, f"Kreis {district}", "district", "", ""])
            for town in range(district * left // made_up, (district + 1) * left // made_up):
                rows.writerow([f"{ars}{town % 9999:04d}{town % 999:03d}", f"Ort {town}", "municipality", "", ""])


def _settle(hub: app.Context, data: Path, *, services: int, receivers: int) -> Sequence[str]:
    """Store destinations and table; return the municipalities' keys."""
    today = utc_now().date()
    towns = [place.area.ars for place in hub.gazetteer.municipalities(on=today)]
    districts = {place.area.ars for place in hub.gazetteer.districts(on=today)}
    secret = data / "push.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 40)
    demo = json.loads((data / "demo.json").read_text(encoding="utf-8"))["destinations"]
    origin = next(UUID(each["destination_id"]) for each in demo if SERVICE in each["services"])
    original = hub.store.parties.destination(origin)
    assert original is not None
    offer = next(each for each in original.services if each.identifier == SERVICE)
    public = [(each.use, each.jwk) for each in hub.store.parties.keys(origin)]
    config = {"secret_file": str(secret), "allow_http": True, "allow_private_addresses": True, "envelope": 2}
    chance = random.Random(21)  # which of them are sick is no secret
    made = []
    for ars in (*towns, *sorted(districts)):
        temper = "healthy" if chance.random() >= _SICK else chance.choice(["hang", "fail"])
        url = f"http://127.0.0.1:{receivers}/{temper}/{ars}"
        one = replace(
            original,
            destination_id=uuid5(_IDS, ars),
            name=f"Amt {ars}",
            tenant=ars,
            adapter="https",
            adapter_config=config | {"url": url},
            services=(replace(offer, regions=(f"DE{ars}",)),),
            callback=None,
        )
        made.append((one, public))
    audit = AuditEntry(at=utc_now(), actor="benchmark", action="benchmark.country", target="hub", after={})
    hub.store.parties.add_destinations(made, audit=audit)
    names = [SERVICE, *(service_urn(f"99{number:012d}") for number in range(services - 1))]
    own, theirs = tuple(names[:_OWN_SERVICES]), tuple(names[_OWN_SERVICES:])
    rules = [
        Rule(id=f"country-{ars}", area=Area(ars), services=chosen, destination=uuid5(_IDS, ars), note="benchmark")
        for ars, chosen in (*((ars, own) for ars in towns), *((ars, theirs) for ars in sorted(districts)))
        if chosen
    ]
    # As it would stand after years of edits; brought in as the first version, for nobody has to check what is invented.
    hub.store.database.write(_forget_versions)
    hub.book.begin(rules, now=utc_now())
    return towns


def _forget_versions(connection: Connection) -> None:
    for table in (tables.routing_activations, tables.routing_versions):
        connection.execute(delete(table))


def curve(mean: float, seconds: float) -> list[float]:
    """Return applications a second for each hour of a day of so many seconds in all; one hour has ten times the mean."""
    rest = sum(weight for hour, weight in enumerate(_SHAPE) if hour != _PEAK_HOUR)
    others = len(_SHAPE) * mean - _PEAK * mean
    assert others > 0
    assert seconds > 0
    return [_PEAK * mean if hour == _PEAK_HOUR else others * weight / rest for hour, weight in enumerate(_SHAPE)]


@dataclass(kw_only=True, slots=True)
class Senders:
    """So many connections that send what falls due, when it does; who waits for a free one counts as late."""

    ports: Sequence[int]
    token: str
    municipalities: Sequence[str]
    statuses: Counter[str] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    _due: queue.SimpleQueue[tuple[float, str] | None] = field(default_factory=queue.SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._send, args=(self.ports[n % len(self.ports)],)) for n in range(_CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for _ in threads:
                self._due.put(None)
            for thread in threads:
                thread.join(120)

    def add(self, chance: random.Random, *, rate: float, seconds: float) -> int:
        """Let applications fall due by chance at a mean rate for some seconds; return how many did."""
        begun, at, number = time.monotonic(), 0.0, 0
        while rate and (at := at + chance.expovariate(rate)) < seconds:
            time.sleep(max(0.0, begun + at - time.monotonic()))
            self._due.put((begun + at, chance.choice(self.municipalities)))
            number += 1
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        return number

    def _send(self, port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while (task := self._due.get()) is not None:
            due, ars = task
            target = "/hub/v1/applications?" + urlencode({"service": SERVICE, "ars": ars})
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/xml",
                "Idempotency-Key": uuid4().hex,
            }
            status = _posted(connection, target, headers)
            with self._lock:
                self.statuses[status] += 1
                self.late.append(time.monotonic() - due)
        connection.close()


def _posted(connection: HTTPConnection, target: str, headers: dict[str, str]) -> str:
    """Send one application, again on a new connection where the server had closed the idle one; return what came of it."""
    status = ""
    for _ in range(2):
        try:
            connection.request("POST", target, body=EXAMPLE, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)
        except (OSError, HTTPException) as error:
            status = type(error).__name__
            connection.close()
    return status


def day(here: Country, *, nodes: int, mean: float, seconds: float) -> Day:
    """Send one day to so many nodes and let what is queued go out; what cannot be delivered stays queued."""
    before = here.counts()
    with running("benchmarks.full.receivers", str(here.receivers)), here.nodes(nodes) as made:
        tokens = [token_of(here.data, port) for port, _ in made]
        senders = Senders(ports=[port for port, _ in made], token=tokens[0], municipalities=here.municipalities)
        hours, chance = [], random.Random(nodes)  # traffic is no secret
        _settled(made)
        with senders.at_work():
            for number, rate in enumerate(curve(mean, seconds)):
                hours.append(
                    _hour(here, made, senders, chance, number=number, rate=rate, seconds=seconds / len(_SHAPE))
                )
        begun = time.monotonic()
        while _waiting_for_the_healthy(here) and time.monotonic() < begun + 120:
            time.sleep(0.5)
        drained, resident = time.monotonic() - begun, sum(resident_mebibytes(process) for _, process in made)
    delivered, waiting, dead = (after - earlier for after, earlier in zip(here.counts(), before, strict=True))
    accepted = senders.statuses["202"]
    late = sorted(senders.late)
    return Day(
        nodes=nodes,
        hours=hours,
        statuses=dict(senders.statuses),
        late_p99_ms=1000 * late[int(len(late) * 0.99)] if late else 0.0,
        delivered=delivered,
        waiting=waiting,
        dead=dead,
        lost=accepted - delivered - waiting - dead,
        drained_seconds=drained,
        resident_mebibytes=resident,
    )


def _settled(made: Sequence[tuple[int, Any]]) -> None:
    """Wait until the nodes have read the table and do nothing but wait."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        before = sum(tree_cpu_seconds(process.pid) for _, process in made)
        time.sleep(2)
        if sum(tree_cpu_seconds(process.pid) for _, process in made) - before < 0.2 * len(made):
            return


def _hour(
    here: Country,
    made: Sequence[tuple[int, Any]],
    senders: Senders,
    chance: random.Random,
    *,
    number: int,
    rate: float,
    seconds: float,
) -> Hour:
    def look() -> tuple[int, int, float, float, int]:
        hub = sum(tree_cpu_seconds(process.pid) for _, process in made)
        return senders.statuses["202"], here.counts()[0], hub, here.server.cpu_seconds(), here.bytes()

    begun, before = time.monotonic(), look()
    due = senders.add(chance, rate=rate, seconds=seconds)
    after, took = look(), time.monotonic() - begun
    accepted, delivered, hub_cpu, database_cpu, size = (b - a for a, b in zip(before, after, strict=True))
    return Hour(
        number=number,
        seconds=took,
        due=due,
        accepted=int(accepted),
        delivered=int(delivered),
        hub_cpu=hub_cpu,
        database_cpu=database_cpu,
        database_bytes=int(size),
    )


def _waiting_for_the_healthy(here: Country) -> int:
    """Return how many deliveries to receivers that answer are not done."""
    found = here.rows(
        "SELECT count(*) FROM deliveries d JOIN destinations z ON z.destination_id = d.destination_id "
        "WHERE d.state = 'queued' AND CAST(z.adapter_config AS TEXT) LIKE '%/healthy/%'"
    )
    return int(found[0][0])


def model(one: Day) -> tuple[Line, Line, float]:
    """Return the lines of a node's processes and of the database, and bytes for each application."""
    hub = Line.through([(hour.seconds, hour.accepted, hour.hub_cpu) for hour in one.hours])
    database = Line.through([(hour.seconds, hour.accepted, hour.database_cpu) for hour in one.hours])
    return hub, database, sum(hour.database_bytes for hour in one.hours) / max(1, one.accepted)


def foretold(line: Line, one: Day, other: Day) -> float:
    """Return the CPU seconds that the nodes of ``other`` should use by the line of ``one``."""
    seconds = sum(hour.seconds for hour in other.hours)
    return Line(idle=line.idle / one.nodes * other.nodes, each=line.each).cpu(seconds, other.accepted)


def needs(hub: Line, database: Line, size: float, options: argparse.Namespace) -> dict[str, float]:
    """Return what so many applications a day take: cores at the peak, nodes, disk, money."""
    peak = options.a_day / 86_400 * _PEAK
    cores, database_cores = hub.each * peak / _BUSY, database.each * peak / _BUSY
    disk = options.a_day * options.days * size / 1e12
    return {
        "applications a day": options.a_day,
        "peak a second": peak,
        "hub cores": cores,
        "nodes": math.ceil(cores / options.cores),
        "database cores": database_cores,
        "disk terabytes": disk,
        "money a month": (cores + database_cores) * options.core_price + disk * options.terabyte_price,
    }


def main() -> None:
    """Print tables, keep the figures in ``benchmarks/out/country.json``, and draw them."""
    parser = argparse.ArgumentParser(prog="make bench-country", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="length of a day")
    parser.add_argument("--mean", type=float, default=6.0, help="applications a second; the peak has ten times as many")
    parser.add_argument("--nodes", type=int, default=1, help="of the first day; the second has twice as many")
    parser.add_argument("--short", action="store_true", help="a small country and a short day, to see that it runs")
    parser.add_argument("--a-day", type=int, default=_A_DAY, help="applications a day to plan for")
    parser.add_argument("--days", type=int, default=30, help="for which contents are kept")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--core-price", type=float, default=25.0, help="euros a month, an assumption")
    parser.add_argument("--terabyte-price", type=float, default=80.0, help="euros a month, an assumption")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = (600, 40, 60) if options.short else (_MUNICIPALITIES, _DISTRICTS, _SERVICES)
    seconds = 24.0 if options.short else min(options.seconds, 400.0)
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}\n")
    with country(municipalities=sizes[0], districts=sizes[1], services=sizes[2]) as here:
        days = [
            day(here, nodes=nodes, mean=options.mean, seconds=seconds) for nodes in (options.nodes, 2 * options.nodes)
        ]
    results = _told(days, options)
    _OUT.mkdir(exist_ok=True)
    (_OUT / "country.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    if Path(YARDSTICK).exists():
        called(["benchmarks.full.plots", str(_OUT)], python=YARDSTICK, seconds=120)
    sys.exit(0 if all(each.lost == 0 for each in days) else 1)


def _told(days: Sequence[Day], options: argparse.Namespace) -> dict[str, Any]:
    first, second = days
    hub, database, size = model(first)
    expected = foretold(hub, first, second)
    error = expected / second.hub_cpu - 1
    for each in days:
        busiest, due = max(each.hours, key=lambda hour: hour.due), sum(hour.due for hour in each.hours)
        print(
            f"{each.nodes} node{'s' * (each.nodes > 1)}: {each.accepted:,} accepted of {due:,}, "
            f"{each.delivered:,} delivered, {each.waiting:,} wait for the sick, {each.dead} given up, {each.lost} lost; peak "
            f"{busiest.accepted / busiest.seconds:.0f} /s accepted, {busiest.delivered / busiest.seconds:.0f} /s delivered; "
            f"p99 from due to answered {each.late_p99_ms:.0f} ms; drained in {each.drained_seconds:.0f} s; "
            f"{each.hub_cpu:.1f} s of CPU, {each.resident_mebibytes:.0f} MiB; answers {each.statuses}"
        )
    print(
        f"\nmodel of {first.nodes}: {1000 * hub.each:.2f} ms of CPU an application, {100 * hub.idle:.1f} % of a core idle; "
        f"database {1000 * database.each:.2f} ms; {size / 1000:.1f} kB on disk\n"
        f"foretold for {second.nodes}: {expected:.1f} s, measured {second.hub_cpu:.1f} s: {100 * error:+.0f} % (aim: 15)\n"
    )
    wanted = needs(hub, database, size, options)
    print(
        f"| {options.a_day:,} a day, peak {wanted['peak a second']:.0f} /s | needed |\n|---|---|\n"
        f"| cores of hub nodes, {100 * _BUSY:.0f} % busy at the peak | {wanted['hub cores']:.0f} |\n"
        f"| nodes of {options.cores} cores | {wanted['nodes']:.0f} |\n"
        f"| cores of the database | {wanted['database cores']:.0f} |\n"
        f"| disk for {options.days} days | {wanted['disk terabytes']:.1f} TB |\n"
        f"| a month, at {options.core_price:.0f} EUR a core and {options.terabyte_price:.0f} EUR a TB (assumed) "
        f"| {wanted['money a month']:,.0f} EUR |"
    )
    return {
        "days": [asdict(each) for each in days],
        "hub": asdict(hub),
        "database": asdict(database),
        "bytes": size,
        "foretold": expected,
        "error": error,
        "needs": wanted,
    }


if __name__ == "__main__":
    main()
