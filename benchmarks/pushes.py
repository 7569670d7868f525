"""``make bench-pushes``: applications accepted **and** delivered a second, and the CPU of one, beside another build of the hub.

Each build serves and works in processes of its own, on a database of its own; its applications go to receivers on loopback by
the ``https`` adapter, which answer at once. The builds take turns in one run: for some seconds as many applications as 16
connections send, then until the last one is delivered and what is left to record or sign is done. The clock runs from the
first request to the last delivery; CPU is that of all processes of a hub, until they are idle. Another checkout is given by its
path and has a ``.venv`` of its own. Traffic is bounded by the seconds of each turn, and goes to loopback alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from benchmarks import load, payload
from benchmarks.full.backlog import application_request
from benchmarks.full.processes import tree_cpu_seconds
from tests.shared_data import CATALOG

_ROOT = Path(__file__).parents[1]
_SERVICE = "urn:de:fim:leika:leistung:99012008001000"
_WIESBADEN = "064140000000"
#: Which receiver after the first an area's applications go to.
_OTHER = "00000000-0000-4000-8000-%012d"
_CONNECTIONS = 16
_PATIENCE = 300.0
#: Seconds without work after which a hub has done what it does later, such as signing.
_SETTLED = 7.0
#: Most turns, and most seconds of each.
_MOST_TURNS, _MOST_SECONDS, _MOST_RECEIVERS = 15, 30.0, 100

#: Runs in either build, whose modules have other names: what leads to the receivers, and what they are offered.
_PREPARE = """
import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from uuid import UUID
from hub import app
from hub.config import load_settings
from hub.demo.cast import prepare

data, port, standard, areas = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
try:
    scope = {"scope": import_module("hub.model").EVERYTHING}
except (ImportError, AttributeError):
    scope = {}
parties_of = lambda hub: getattr(hub.store, "parties", hub.store)
mine = ("HUB_DATABASE_URL", "HUB_ROUTING_RULES")
hub = app.build(load_settings(data, {name: text for name, text in os.environ.items() if name in mine}))
prepare(hub, say=lambda _: None)
secret = data / "push.secret"
secret.touch(mode=0o600)
secret.write_text("s" * 40)
options = import_module("adapters.https").Https.options.__dataclass_fields__
config = {"secret_file": str(secret), "allow_http": True, "allow_private_addresses": True}
config |= {name: value for name, value in (("envelope", 2),) if name in options}
uri = next(entry.uri for entry in hub.catalog.entries() if entry.manifest.standard == standard)
parties = parties_of(hub)
listed = parties.destinations(limit=100, **scope).items
stored = next(each for each in listed if each.tenant == "064140000000"[:len(each.tenant)]
              and any("06414" in region for offered in each.services for region in offered.regions))
keys = [(each.use, each.jwk) for each in parties.keys(stored.destination_id)]
for number, area in enumerate(areas):
    offered = tuple(replace(each, regions=(f"DE{area}",), schemas=((uri, "application/xml"),)) for each in stored.services)
    made = replace(stored, destination_id=UUID(%r % number) if number else stored.destination_id, name=f"receiver {number}",
                   tenant=area, adapter="https", services=offered,
                   adapter_config=config | {"url": f"http://127.0.0.1:{port + number}/"})
    parties.add_destination(made, keys=keys) if number else parties.replace_destination(made)
hub.close()
""".replace("%r", repr(_OTHER))

#: Takes whatever is posted to any of its ports, says 202 at once, and counts; a GET says how many.
_RECEIVER = """
import asyncio, sys
taken = 0
async def serve(reader, writer):
    global taken
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = 0
            for line in head.split(b"\\r\\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length:
                await reader.readexactly(length)
            body = b"" if head.startswith(b"POST") else str(taken).encode()
            taken += head.startswith(b"POST")
            writer.write(b"HTTP/1.1 202 Accepted\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    first, number = int(sys.argv[1]), int(sys.argv[2])
    for port in range(first, first + number):
        await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@dataclass(kw_only=True, slots=True)
class Build:
    """One checkout that serves and works, its receiver, and what its turns came to."""

    name: str
    root: Path
    data: Path
    port: int
    #: The port of the first receiver; the others follow.
    receiver: int
    areas: tuple[str, ...]
    #: How many serve; one that delivers, too, where it is one.
    serving_processes: int = 1
    database_url: str | None = None
    processes: list[int] = field(default_factory=list)
    accepts: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def prepare(self, message: payload.Message) -> None:
        """Make keys, parties, schema and the way to the receiver, in the database in which they are looked for."""
        self._lead()
        if message.package is not None:
            where = ["--standard", message.standard, "--version", "1.0", "--catalog", CATALOG, "--data", self.data]
            self._run([self._bin("hub"), "schemas", "import", message.package, *where, "--service", _SERVICE])
        python = self._bin("python")
        self._run(
            [python, "-W", "ignore", "-c", _PREPARE, self.data, str(self.receiver), message.standard, *self.areas]
        )

    def _lead(self) -> None:
        """Write the rules from which the table is seeded: the shipped ones, and one for each further receiver."""
        shutil.copytree(self.root / "routing_rules", self._rules)
        with (self._rules / "hessen" / "rules.yaml").open("a", encoding="utf-8") as rules:
            for number, area in enumerate(self.areas[1:], start=1):
                rules.write(f'  - {{id: receiver-{number}, area: "{area}", destination: {_OTHER % number}, ')
                rules.write(f'note: "to be measured", services: ["{_SERVICE}"]}}\n')

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run receiver and hub until the end of the block."""
        serve = [
            self._bin("hub"),
            "serve",
            "--workers",
            str(self.serving_processes),
            "--work",
            "--port",
            str(self.port),
            "--data",
            self.data,
        ]
        receive = [sys.executable, "-I", "-c", _RECEIVER, str(self.receiver), str(len(self.areas))]
        with (
            _process(receive, self.receiver, _environment()),
            _process(serve, self.port, self._environment(), cwd=self.root) as pid,
        ):
            self.processes = [pid]
            yield

    def turn(self, message: payload.Message, seconds: float) -> None:
        """Send for ``seconds``, wait for the last delivery, then for the rest; note what it came to."""
        token = self._token()
        requests_to = [
            application_request(self.port, token, keyed=False, area=area, document=message.data) for area in self.areas
        ]
        before, cpu, started = self._taken(), self._cpu(), time.monotonic()
        sent = load.post(
            self.port,
            lambda number: requests_to[number % len(requests_to)](number),
            connections=_CONNECTIONS,
            seconds=seconds,
        )
        accepted = sent.statuses.get(202, 0)
        assert accepted == sum(sent.statuses.values()), sent.statuses
        self.accepts.append(sent.rate(202))
        while self._taken() - before < accepted:
            assert time.monotonic() - started < _PATIENCE, "not everything was delivered"
            time.sleep(0.05)
        self.rates.append(accepted / (time.monotonic() - started))
        time.sleep(_SETTLED)
        self.cpu_ms.append(1000 * (self._cpu() - cpu) / accepted)

    def _taken(self) -> int:
        return int(requests.get(f"http://127.0.0.1:{self.receiver}/", timeout=30).text)

    def _token(self) -> str:
        client = json.loads((self.data / "demo.json").read_text(encoding="utf-8"))["sender"]
        login = {"grant_type": "client_credentials", **client}
        answer = requests.post(f"http://127.0.0.1:{self.port}/token", data=login, timeout=30)
        return str(answer.json()["access_token"])

    def _cpu(self) -> float:
        """Return the CPU seconds of the hub and of every process that it started."""
        return tree_cpu_seconds(*self.processes)

    def _bin(self, name: str) -> Path:
        return self.root / ".venv/bin" / name

    def _run(self, command: list[str | Path]) -> None:
        done = subprocess.run(
            command, check=False, cwd=self.root, capture_output=True, text=True, env=self._environment()
        )
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(map(str, command[:3]))} ended with {done.returncode}\n{done.stderr}")

    def _environment(self) -> dict[str, str]:
        database = {} if self.database_url is None else {"HUB_DATABASE_URL": self.database_url}
        return _environment() | database | {"HUB_ROUTING_RULES": str(self._rules)}

    @property
    def _rules(self) -> Path:
        return self.data.with_name(f"{self.data.name}-rules")


def _areas(receivers: int) -> tuple[str, ...]:
    """Return the municipalities whose applications go to so many receivers; the first has a rule of its own already."""
    with (_ROOT / "routing_rules" / "areas" / "hessen.csv").open(encoding="utf-8", newline="") as lines:
        rows = [
            row for row in csv.DictReader(lines, delimiter=";") if row["kind"] not in {"state", "region", "district"}
        ]
    others = [row["ars"] for row in rows if len(row["ars"]) == 12 and not row["ars"].endswith("0000000")]
    return (_WIESBADEN, *others[: receivers - 1])


def _environment() -> dict[str, str]:
    return {**os.environ, "HUB_DISK_WATERMARK_BYTES": "0", "PYTHONWARNINGS": "ignore"}


@contextmanager
def _process(
    command: list[str | Path], port: int, environment: dict[str, str], *, cwd: Path | None = None
) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=cwd)
    try:
        until = time.monotonic() + 90
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < until, f"{command[0]} does not answer"
            time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def main() -> None:
    """Print what was measured, ours first."""
    options = _options()
    areas = _areas(max(1, min(options.receivers, _MOST_RECEIVERS)))
    message = payload.message()
    seconds = min(options.seconds, _MOST_SECONDS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        builds = _builds(options, areas, Path(folder))
        for build in builds:
            build.data.mkdir()
            build.prepare(message)
            stack.enter_context(build.serving())
        for number in range(min(options.turns, _MOST_TURNS) + 1):
            for build in builds:
                build.turn(message, seconds)
                if number == 0:  # The first turn warms up.
                    build.accepts.clear()
                    build.rates.clear()
                    build.cpu_ms.clear()
    print(
        f"{message.name}, {len(message.data)} bytes, {_CONNECTIONS} connections, {len(areas)} receivers, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    _print(builds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-pushes", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--port", type=int, default=18700)
    parser.add_argument("--database-url", action="append", default=[], help="one for each build; default: SQLite")
    parser.add_argument(
        "--processes", type=int, action="append", default=[], help="that serve here; named twice, both take turns"
    )
    parser.add_argument(
        "--receivers", type=int, default=1, help="how many destinations the applications go to by turns"
    )
    return parser.parse_args()


def _builds(options: argparse.Namespace, areas: tuple[str, ...], folder: Path) -> list[Build]:
    """Return the builds that are measured, each in a place of its own: this one as often as asked, then the other."""
    here = [
        ("here" if number == 1 else f"here, {number} processes", _ROOT, number) for number in options.processes or [1]
    ]
    roots = [*here, *([("base", options.base.resolve(), 1)] if options.base else [])]
    urls = [*options.database_url, *[None] * len(roots)]
    return [
        Build(
            name=name,
            root=root,
            serving_processes=serving_processes,
            data=folder / str(number),
            port=options.port + 200 * number,
            receiver=options.port + 200 * number + 5,
            areas=areas,
            database_url=urls[number],
        )
        for number, (name, root, serving_processes) in enumerate(roots)
    ]


def _print(builds: Sequence[Build]) -> None:
    for build in builds:
        rate, cpu = statistics.median(build.rates), statistics.median(build.cpu_ms)
        accepts = statistics.median(build.accepts)
        print(
            f"{build.name}: {accepts:.0f} accepted a second, {rate:.0f} accepted and delivered, {cpu:.2f} ms of CPU each"
        )
    for build in builds[:-1]:
        last = builds[-1]
        sooner, faster, cheaper = (
            statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
            for ours, theirs in (
                (build.accepts, last.accepts),
                (build.rates, last.rates),
                (build.cpu_ms, last.cpu_ms),
            )
        )
        print(
            f"{build.name} against {last.name}: {sooner:.2f}x accepted, {faster:.2f}x accepted and delivered, "
            f"{cheaper:.2f} of the CPU"
        )


if __name__ == "__main__":
    main()
