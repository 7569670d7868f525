"""``make bench-pushes``: applications accepted **and** delivered a second, and the CPU of one, beside another build of the hub.

Each build serves and works in processes of its own, on a database of its own; its applications go to receivers on loopback by
the ``https`` adapter, which answer at once. The builds take turns in one run: for some seconds as many applications as 16
connections send, then until the last one is delivered and what is left to record or sign is done. The clock runs from the
first request to the last delivery; CPU is that of all processes of a hub, until they are idle. Another checkout is given by its
path and has a ``.venv`` of its own. Traffic is bounded by the seconds of each turn, and goes to loopback alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from benchmarks import load, payload
from benchmarks.full.backlog import application_request
from tests.shared_data import CATALOG

_ROOT = Path(__file__).parents[1]
_SERVICE = "urn:de:fim:leika:leistung:99012008001000"
_WIESBADEN = "064140000000"
_CONNECTIONS = 16
_PATIENCE = 300.0
#: Seconds without work after which a hub has done what it does later, such as signing.
_SETTLED = 7.0
#: Most turns, and most seconds of each.
_MOST_TURNS, _MOST_SECONDS = 15, 30.0

#: Runs in either build, whose modules have other names: what leads to the receivers, and what they are offered.
_PREPARE = """
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from hub import app
from hub.config import load_settings
from hub.demo.cast import prepare

data, port, standard = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
parties_of = lambda hub: getattr(hub.store, "parties", hub.store)
hub = app.build(load_settings(data, {}))
prepare(hub, say=lambda _: None)
secret = data / "push.secret"
secret.touch(mode=0o600)
secret.write_text("s" * 40)
config = {"url": f"http://127.0.0.1:{port}/", "secret_file": str(secret), "allow_http": True, "allow_private_addresses": True}
options = import_module("adapters.https").Https.options.__dataclass_fields__
config |= {name: value for name, value in (("envelope", 2),) if name in options}
uri = next(entry.uri for entry in hub.catalog.entries() if entry.manifest.standard == standard)
stored = next(each for each in parties_of(hub).destinations(limit=100).items if each.tenant == "064140000000"[:len(each.tenant)]
              and any("06414" in region for offered in each.services for region in offered.regions))
offered = tuple(replace(each, schemas=((uri, "application/xml"),)) for each in stored.services)
parties_of(hub).replace_destination(replace(stored, adapter="https", adapter_config=config, services=offered))
hub.close()
"""

#: Takes whatever is posted, says 202 at once, and counts; a GET says how many.
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
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), limit=1 << 20) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@dataclass(kw_only=True, slots=True)
class Build:
    """One checkout that serves and works, its receiver, and what its turns came to."""

    name: str
    root: Path
    data: Path
    port: int
    receiver: int
    processes: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def prepare(self, message: payload.Message) -> None:
        """Make keys, parties, schema and the way to the receiver."""
        if message.package is not None:
            where = ["--standard", message.standard, "--version", "1.0", "--catalog", CATALOG, "--data", self.data]
            self._run([self._bin("hub"), "schemas", "import", message.package, *where, "--service", _SERVICE])
        python = self._bin("python")
        self._run([python, "-W", "ignore", "-c", _PREPARE, self.data, str(self.receiver), message.standard])

    @contextmanager
    def serving(self, database_url: str | None) -> Iterator[None]:
        """Run receiver and hub until the end of the block."""
        serve = [self._bin("hub"), "serve", "--work", "--port", str(self.port), "--data", self.data]
        environment = _environment() | ({} if database_url is None else {"HUB_DATABASE_URL": database_url})
        with (
            _process([sys.executable, "-I", "-c", _RECEIVER, str(self.receiver)], self.receiver, _environment()),
            _process(serve, self.port, environment, cwd=self.root) as pid,
        ):
            self.processes = [pid]
            yield

    def turn(self, message: payload.Message, seconds: float) -> None:
        """Send for ``seconds``, wait for the last delivery, then for the rest; note what it came to."""
        request = application_request(self.port, self._token(), keyed=False, area=_WIESBADEN, document=message.data)
        before, cpu, started = self._taken(), self._cpu(), time.monotonic()
        sent = load.post(self.port, request, connections=_CONNECTIONS, seconds=seconds)
        accepted = sent.statuses.get(202, 0)
        assert accepted == sum(sent.statuses.values()), sent.statuses
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
        found, waiting = 0.0, list(self.processes)
        while waiting:
            pid = waiting.pop()
            threads = Path(f"/proc/{pid}/task")
            found += sum(int(each.read_text().split()[0]) for each in threads.glob("*/schedstat")) / 1e9
            waiting += [int(child) for each in threads.glob("*/children") for child in each.read_text().split()]
        return found

    def _bin(self, name: str) -> Path:
        return self.root / ".venv/bin" / name

    def _run(self, command: list[str | Path]) -> None:
        subprocess.run(command, check=True, cwd=self.root, capture_output=True, env=_environment())


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
    parser = argparse.ArgumentParser(prog="make bench-pushes", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--port", type=int, default=18700)
    parser.add_argument("--database-url", action="append", default=[], help="one for each build; default: SQLite")
    options = parser.parse_args()
    message = payload.message()
    roots = [_ROOT, *([options.base.resolve()] if options.base else [])]
    seconds = min(options.seconds, _MOST_SECONDS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        builds = [
            Build(
                name="here" if number == 0 else "base",
                root=root,
                data=Path(folder) / str(number),
                port=options.port + 10 * number,
                receiver=options.port + 10 * number + 5,
            )
            for number, root in enumerate(roots)
        ]
        for build, database_url in zip(builds, [*options.database_url, *[None] * len(builds)], strict=False):
            build.data.mkdir()
            build.prepare(message)
            stack.enter_context(build.serving(database_url))
        for number in range(min(options.turns, _MOST_TURNS) + 1):
            for build in builds:
                build.turn(message, seconds)
                if number == 0:  # The first turn warms up.
                    build.rates.clear()
                    build.cpu_ms.clear()
    print(
        f"{message.name}, {len(message.data)} bytes, {_CONNECTIONS} connections, one receiver, load {os.getloadavg()[0]:.1f}"
    )
    for build in builds:
        rate, cpu = statistics.median(build.rates), statistics.median(build.cpu_ms)
        print(f"{build.name}: {rate:.0f} accepted and delivered a second, {cpu:.2f} ms of CPU each")
    if len(builds) > 1:
        here, base = builds
        faster = statistics.median(one / other for one, other in zip(here.rates, base.rates, strict=True))
        cheaper = statistics.median(one / other for one, other in zip(here.cpu_ms, base.cpu_ms, strict=True))
        print(f"here against base: {faster:.2f}x the throughput, {cheaper:.2f} of the CPU")


if __name__ == "__main__":
    main()
