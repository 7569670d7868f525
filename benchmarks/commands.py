"""``make bench-start``: whole processes of the command line, and processes that wait, beside another build of the hub.

Each command runs as a process of its own, ours and the other checkout's by turns; its CPU time and the memory that it held at
the highest are what the system says of it. Then each build's ``hub serve`` and demo are left alone on loopback, and looked at:
memory, and CPU time over half a minute; so is a municipality's connector that collects from that hub, and one that has a page
for clerks, too. Another checkout is given by its path and has a ``.venv`` of its own. Ours has one beside that of the tests,
with the packages that a user has.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
LAUNCH = """
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
    #: The environment, within the checkout.
    venv: Path = Path(".venv")

    @property
    def hub(self) -> Path:
        """The command."""
        return self.root / self.venv / "bin/hub"

    def prepare(self) -> None:
        """Make the data folder, the application that commands are given, and its receipt."""
        self._run([self.hub.with_name("python"), "-W", "ignore", "-c", _PREPARE, self.data])
        (self.data / "antrag.xml").write_bytes(building_application())
        where = ["--service", _BUILDING, "--ars", _WIESBADEN, "--data", self.data]
        receipt = ["--receipt", self.data / "receipt.jwt"]
        self._run([self.hub, "submit", self.data / "antrag.xml", *where, *receipt])

    @property
    def has_clerks(self) -> bool:
        """Whether its connector has a page for clerks."""
        return (self.root / "hub/connector/clerk").is_dir()

    def settings_of_connector(self, port: int, *, page: int | None = None) -> Path:
        """Write the settings of a municipality that collects at ``port``, as often as it would by default.

        Its clerks decide at a page at the port ``page``; None leaves that to nobody.
        """
        demo = json.loads((self.data / "demo.json").read_bytes())
        name = demo["destinations"][0]["destination_id"]
        base_url = f"http://127.0.0.1:{port}"
        lines = [
            f'journal = "{"journal" if page is None else "clerks"}.sqlite3"',
            f'schema_roots = ["{self.root / "schemas"}"]',
            "[hub]",
            f'base_url = "{base_url}"',
            f'token_url = "{base_url}/token"',
            f'client_id = "{demo["subscriber"]["client_id"]}"',
            'client_secret_file = "subscriber.secret"',
            "[handover]",
            'kind = "folder"',
            'path = "arrived"',
            *([] if page is None else ['mode = "clerk"', "[clerk]", f"port = {page}", 'accounts_file = "clerks.json"']),
            "[[destinations]]",
            f'destination_id = "{name}"',
            f'decryption_key_files = ["{name}-encryption.json"]',
            f'signing_key_file = "{name}-signing.json"',
        ]
        file = self.data / f"demo/{'municipality' if page is None else 'office'}.toml"
        (file.parent / "arrived").mkdir(exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

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
        command = [sys.executable, "-I", "-S", "-c", LAUNCH, self.hub, *arguments]
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


@contextmanager
def _begun(arguments: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"{arguments} ended with {process.returncode}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def _running(arguments: list[str | Path], port: int) -> Iterator[int]:
    with _begun(arguments) as process:
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


def idle(builds: list[Build], port: int) -> Iterator[str]:
    """Yield what waiting processes hold and use: a hub at its first start and at a later one, one that is asked, the demo."""
    names = ("first start", "hub serve", "hub, asked", "connector", "with clerk page", "hub run")
    held: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number, build in enumerate(builds):
        here, demo = port + 20 * number, port + 20 * number + 10
        serve = [build.hub, "serve", "--workers", "1", "--port", str(here), "--data"]
        run = [build.hub, "run", "--no-demo-traffic", "--port", str(demo), "--data", build.data / "run"]
        for name in ("first start", "hub serve"):
            with _running([*serve, build.data / "serve"], here) as pid:
                held[name].append(_watched([pid])[0])
        collect = [build.hub, "connector", "run", "--config", build.settings_of_connector(here)]
        with _running([*serve, build.data], here) as pid, _begun(collect) as connector:
            asked, asking = _watched([pid, connector.pid])
            held["hub, asked"].append(asked)
            held["connector"].append(asking)
        if build.has_clerks:
            held["with clerk page"].append(_office(build, here))
        with _running(run, demo) as pid:
            held["hub run"].append(_watched([pid])[0])
    for name, values in held.items():
        yield _line(name, "MiB", [each[0] for each in values], "{:.0f}")
        yield _line("", "% core", [each[1] for each in values], "{:.2f}")


def _office(build: Build, port: int) -> tuple[float, float]:
    """Look at a connector whose page for clerks waits, after somebody has asked for it once."""
    settings = build.settings_of_connector(port, page=port + 1)
    add = [build.hub, "connector", "clerk", "add", "anna", "--config", settings, "--password-file", build.data / "word"]
    (build.data / "word").touch(mode=0o600)
    (build.data / "word").write_text("an unlikely pass phrase", encoding="ascii")
    subprocess.run(add, check=True, capture_output=True, env=_environment())
    with (
        _running([build.hub, "serve", "--workers", "1", "--port", str(port), "--data", build.data], port),
        _running([build.hub, "connector", "run", "--config", settings], port + 1) as pid,
    ):
        return _watched([pid])[0]


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
    parser.add_argument(
        "--venv", type=Path, default=Path(".venv"), help="our environment to measure, within this checkout"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--port", type=int, default=18300)
    parser.add_argument("--only", choices=["commands", "idle"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = [_ROOT, *([options.base.resolve()] if options.base else [])]
        builds = [Build(root=root, data=Path(folder) / str(number)) for number, root in enumerate(roots)]
        builds[0] = replace(builds[0], venv=options.venv)
        for build in builds:
            build.data.mkdir()
            build.prepare()
        if options.only != "idle":
            for line in measured(builds, min(options.rounds, 50)):
                print(line, flush=True)
        if options.only != "commands":
            for line in idle(builds, options.port):
                print(line, flush=True)
        print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores at the end")


if __name__ == "__main__":
    sys.exit(main())
