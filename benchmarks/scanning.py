"""What a scan for malware adds to an accept: CPU of the hub's own process, with a scanner and without, by turns.

Both hubs take the same application with one enclosure of 3.7 MB, at the plain door; who begins changes from turn to turn, and
ratios are taken between neighbours. What the scanner itself takes is its own process's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks import payload
from benchmarks.served import ARS, SERVICE, Served, prepare_data, running

_AIM = 1.15
_ENCLOSURE = 3_700_000
_CONFIG = """\
LocalSocket {folder}/clamd.ctl
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
Foreground yes
StreamMaxLength 100M
MaxFileSize 100M
MaxScanSize 400M
"""


def run(*, scanner: str, turns: int, each: int) -> float:
    """Measure and print; return the ratio of CPU, with a scan by without."""
    message = payload.message()
    enclosure = b"%PDF-1.7\n" + os.urandom(_ENCLOSURE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_data(folder / "plain", message)
        shutil.copytree(folder / "plain", folder / "scanned")
        with _hub(folder / "plain", 0) as plain, _hub(folder / "scanned", 1, scanner) as scanned:
            for one in (plain, scanned):
                _accept(one, message, enclosure, each)  # Warm: schemas, caches, connections.
            pairs = []
            for turn in range(turns):
                order = (plain, scanned) if turn % 2 else (scanned, plain)
                cost = {one.port: _accept(one, message, enclosure, each) for one in order}
                pairs.append((cost[plain.port], cost[scanned.port]))
    ratio = statistics.median(with_scan / without for without, with_scan in pairs)
    without, with_scan = (statistics.median(one[side] for one in pairs) for side in (0, 1))
    print(f"scan: {_ENCLOSURE / 1e6:.1f} MB enclosed, median of {turns} turns of {each}; load {os.getloadavg()[0]:.1f}")
    print(f"  CPU each        {without:.1f} ms without, {with_scan:.1f} ms with {scanner.partition(':')[0]}")
    print(f"  ratio           {ratio:.2f}    (aim {_AIM})")
    return ratio


def _accept(hub: Served, message: payload.Message, enclosure: bytes, times: int) -> float:
    """Have it accepted so many times; return the milliseconds of CPU that each took."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {hub.token('sender')}"
        before = hub.cpu_seconds()
        for _ in range(times):
            answer = session.post(
                f"http://127.0.0.1:{hub.port}/hub/v1/applications",
                params={"service": SERVICE, "ars": ARS},
                files={
                    "data": ("a", message.data, "application/xml"),
                    "attachments": ("plan.pdf", enclosure, "application/pdf"),
                },
                timeout=120,
            )
            assert answer.status_code == 202, answer.text
        return (hub.cpu_seconds() - before) * 1000 / times


@contextmanager
def _hub(data: Path, number: int, scanner: str = "") -> Iterator[Served]:
    port = 21_480 + os.getpid() % 1000 + 1000 * number
    command = [sys.executable, "-m", "hub.cli", "serve", "--workers", "1", "--no-work"]
    command += ["--data", str(data), "--port", str(port)]
    if scanner:
        (data / "hub.toml").write_text(f'scan = "{scanner}"\n', encoding="utf-8")
    with running(command, port, path="/health/ready") as process:
        yield Served(pid=process.pid, port=port, data=data)


@contextmanager
def _clamd() -> Iterator[str]:
    """Run a clamd with a signature of our own; give its address as settings write it."""
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("clamd is not installed (Debian: clamav-daemon); or name another one: --scanner ADDRESS")
    folder = Path(tempfile.mkdtemp(prefix="clamd-"))
    (folder / "signatures").mkdir()
    (folder / "signatures/own.ndb").write_text(f"Rathaus.Bench:0:*:{os.urandom(32).hex()}\n", encoding="ascii")
    (folder / "clamd.conf").write_text(_CONFIG.format(folder=folder), encoding="ascii")
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program, "--config-file", str(folder / "clamd.conf")], **silent) as process:  # type: ignore[call-overload]
        try:
            for _ in range(600):
                if (folder / "clamd.ctl").exists():
                    break
                time.sleep(0.05)
            yield f"clamd:{folder}/clamd.ctl"
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Measure; fail where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scanner", default="", help="address of a scanner; without: a clamd that is started here")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--each", type=int, default=10)
    asked = parser.parse_args()
    if asked.scanner:
        return int(run(scanner=asked.scanner, turns=asked.turns, each=asked.each) > _AIM)
    with _clamd() as scanner:
        return int(run(scanner=scanner, turns=asked.turns, each=asked.each) > _AIM)


if __name__ == "__main__":
    sys.exit(main())
