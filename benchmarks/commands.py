"""``make bench-start``: whole processes of the command line, and processes that wait, beside another build of the hub.

Each command runs as a process of its own, ours and the other checkout's by turns; its CPU time and the memory that it held at
the highest are what the system says of it. Then each build's ``hub serve`` and demo are left alone on loopback, and looked at:
memory, and CPU time over half a minute. Another checkout is given by its path and has a ``.venv`` of its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests

from benchmarks.payload import building_application

_ROOT = Path(__file__).parents[1]
_BUILDING = "urn:de:fim:leika:leistung:99012008001000"
_WIESBADEN = "064140000000"
_KIB = 1024
_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds that a process is left alone before it is looked at, and for which its CPU time is counted then.
_SETTLE, _WATCHED = 15, 30
_START = 90
_PREPARE = """
import sys
from pathlib import Path
from hub import app
from hub.config import load_settings
from hub.demo.cast import prepare
hub = app.build(load_settings(Path(sys.argv[1]), {}))
prepare(hub, say=lambda _: None)
hub.close()
"""

#: A process is born as large as whoever starts it, so the starter is small.
_LAUNCH = """
import os, sys
quiet = os.open(os.devnull, os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions), 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One checkout with a data folder, an application and its receipt of its own."""

    root: Path
    data: Path

    @property
    def hub(self) -> Path:
        """The command."""
        return self.root / ".venv/bin/hub"

    def prepare(self) -> None:
        """Make the data folder, the application that commands are given, and its receipt."""
        self._run([self.root / ".venv/bin/python", "-W", "ignore", "-c", _PREPARE, self.data])
        (self.data / "antrag.xml").write_bytes(building_application())
        where = ["--service", _BUILDING, "--ars", _WIESBADEN, "--data", self.data]
        receipt = ["--receipt", self.data / "receipt.jwt"]
        self._run([self.hub, "submit", self.data / "antrag.xml", *where, *receipt])

    def _run(self, command: list[str | Path]) -> None:
        # What is imported is compiled here, once, and not at each start that is measured.
        subprocess.run(command, check=True, cwd=self.root, capture_output=True, env=_environment())

    def commands(self) -> dict[str, list[str | Path]]:
        """Return what is measured, by name."""
        data = ["--data", self.data]
        return {
            "--version": ["--version"],
            "--help": ["--help"],
            "validate": ["validate", self.data / "antrag.xml", *data],
            "route explain": ["route", "explain", "--service", _BUILDING, "--ars", _WIESBADEN, *data],
            "receipt verify": ["receipt", "verify", self.data / "receipt.jwt", *data],
        }

    def cost(self, arguments: list[str | Path]) -> tuple[float, float]:
        """Run one command; return its CPU seconds and the MiB that it held at the highest."""
        command = [sys.executable, "-I", "-S", "-c", _LAUNCH, self.hub, *arguments]
        ended = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
        code, cpu, memory = ended.stdout.splitlines()[-1].split()
        if code != "0":
            raise RuntimeError(f"{self.hub} {arguments} ended with {code}")
        return float(cpu), float(memory) / _KIB


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def measured(builds: list[Build], rounds: int) -> Iterator[str]:
    """Yield a line for each command: CPU and memory of each build, and the ratio to the last one."""
    for name in builds[0].commands():
        costs: list[list[tuple[float, float]]] = [[] for _ in builds]
        for _ in range(rounds):
            for build, mine in zip(builds, costs, strict=True):
                mine.append(build.cost(build.commands()[name]))
        cpu = [median(each[0] for each in mine) for mine in costs]
        memory = [max(each[1] for each in mine) for mine in costs]
        yield _line(name, "CPU s", cpu, "{:.3f}")
        yield _line("", "MiB", memory, "{:.0f}")


def _line(name: str, unit: str, values: list[float], form: str) -> str:
    ratio = f"  {values[0] / values[1]:.2f}" if len(values) > 1 and values[1] else ""
    return f"{name:16}{unit:8}" + "".join(f"{form.format(value):>10}" for value in values) + ratio


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / _KIB


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, to the nanosecond: a tick is more than an idle process uses in one."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text(encoding="ascii").split()[0]) for each in threads) / 1e9


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in found.split()]


@contextmanager
def _running(arguments: list[str | Path], port: int) -> Iterator[int]:
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _START
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except requests.ConnectionError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def idle(builds: list[Build], port: int) -> Iterator[str]:
    """Yield what waiting processes hold and use: a hub that serves and works, the demo, and its connector."""
    held: dict[str, list[tuple[float, float]]] = {"hub serve": [], "hub run": [], "connector": []}
    for number, build in enumerate(builds):
        here, demo = port + 20 * number, port + 20 * number + 10
        serve = [build.hub, "serve", "--port", str(here), "--data", build.data / "serve"]
        run = [build.hub, "run", "--no-demo-traffic", "--port", str(demo), "--data", build.data / "run"]
        with _running(serve, here) as pid:
            held["hub serve"].append(_watched([pid])[0])
        with _running(run, demo) as pid:
            time.sleep(_SETTLE)
            both = [pid, *_children(pid)[:1]]
            found = _watched(both)
            held["hub run"].append(found[0])
            held["connector"] += found[1:]
    for name, values in held.items():
        if len(values) < len(builds):
            continue  # Without traffic of its own the demo needs no connector.
        yield _line(name, "MiB", [each[0] for each in values], "{:.0f}")
        yield _line("", "% core", [each[1] for each in values], "{:.2f}")


def _watched(pids: list[int]) -> list[tuple[float, float]]:
    time.sleep(_SETTLE)
    before = [_cpu(pid) for pid in pids]
    time.sleep(_WATCHED)
    used = [_cpu(pid) - start for pid, start in zip(pids, before, strict=True)]
    return [(_resident(pid), cpu / _WATCHED * 100) for pid, cpu in zip(pids, used, strict=True)]


def main() -> None:
    """Print what was measured, ours first."""
    parser = argparse.ArgumentParser(prog="make bench-start", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--port", type=int, default=18300)
    parser.add_argument("--only", choices=["commands", "idle"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = [_ROOT, *([options.base.resolve()] if options.base else [])]
        builds = [Build(root=root, data=Path(folder) / str(number)) for number, root in enumerate(roots)]
        for build in builds:
            build.data.mkdir()
            build.prepare()
        if options.only != "idle":
            for line in measured(builds, min(options.rounds, 50)):
                print(line, flush=True)
        if options.only != "commands":
            for line in idle(builds, options.port):
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
