"""Two hundred people in a form at once: what a page costs, how long people wait, and what the portal holds.

``python -m benchmarks.crowd [people]``. A hub and a portal in processes of their own, on this machine; people are threads
here, each with a cookie of its own, who answer the pages of the dog tax as fast as the portal lets them; one of them sends.
Printed: answers a second, the portal's CPU for a page, waiting times, bytes of a page, resident memory idle and at its highest.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from hub.demo.citizen import DOG, DOG_TAX, WIESBADEN

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_STAND = re.compile(r'name="stand" value="(\d+)"')
_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """CPU seconds and resident bytes of a process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.highest = 0
        self._stop = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident(self) -> int:
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _look(self) -> None:
        while not self._stop.wait(0.2):
            try:
                self.highest = max(self.highest, self.resident())
            except OSError:
                return


def fill(base: str, waits: list[float], sizes: list[int], *, send: bool) -> str:
    """One person's way; returns what the last page was."""
    with requests.Session() as http:

        def timed(method: str, path: str, **more: object) -> requests.Response:
            began = time.perf_counter()
            page = http.request(method, f"{base}{path}", timeout=300, **more)
            waits.append(time.perf_counter() - began)
            sizes.append(len(page.content))
            return page

        page = timed("GET", f"/leistung/{DOG_TAX}?ars={WIESBADEN}")
        csrf = _CSRF.search(page.text)
        page = timed("POST", "/antrag", data={"csrf": csrf[1] if csrf else "", "service": DOG_TAX, "ars": WIESBADEN})
        answers = {**DOG, "/?ermaessigung": "false"}
        for _ in range(12):
            path = page.url.removeprefix(base).partition("?")[0]
            if not path.startswith("/antrag/schritt/"):
                break
            asked = {name: value for name, value in answers.items() if f'name="{name}"' in page.text}
            page = timed("POST", path, data={"csrf": _CSRF.search(page.text)[1], **asked})
        if send:
            page = timed("GET", "/antrag/pruefen")
            stand = _STAND.search(page.text)
            fields = {"csrf": _CSRF.search(page.text)[1], "stand": stand[1] if stand else "", "erklaerung": "ja"}
            page = timed("POST", "/antrag/senden", data=fields)
        return f"{page.status_code} {page.url.removeprefix(base).partition('?')[0]}"


def main() -> None:
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        command = [sys.executable, "-m", "hub.cli", "run", "--no-demo-traffic", "--data", str(data), "--port", "18700"]
        hub = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _measure(people, data)
        finally:
            hub.terminate()
            hub.wait(60)


def _measure(people: int, data: Path) -> None:
    settings, base = data / "demo" / "portal.toml", "http://127.0.0.1:18701"
    _until(lambda: settings.is_file() and requests.get(f"{base}/healthz", timeout=5).ok)
    # A portal of its own, whose limit by address is no limit for people who all sit at this machine.
    own = settings.with_name("bench.toml")
    text = settings.read_text().replace("port = 18701", "port = 18702").replace("127.0.0.1:18701", "127.0.0.1:18702")
    own.write_text(text.replace('folder = "portal"', 'folder = "bench"') + "[limits]\nrequests_per_minute = 100000\n")
    base = "http://127.0.0.1:18702"
    portal = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "portal", "--config", str(own)], stderr=subprocess.DEVNULL
    )
    try:
        _until(lambda: requests.get(f"{base}/healthz", timeout=5).ok)
        watch = Watch(portal.pid)
        fill(base, [], [], send=False)  # The first one reads the schemas.
        before, idle = watch.cpu(), watch.resident()
        waits: list[float] = []
        sizes: list[int] = []
        for _ in range(10):
            fill(base, waits, sizes, send=False)
        alone = (watch.cpu() - before) / len(waits)
        one = statistics.median(waits)
        waits.clear()
        before, began = watch.cpu(), time.perf_counter()
        with ThreadPoolExecutor(people) as pool:
            ends = list(pool.map(lambda _: fill(base, waits, sizes, send=False), range(people)))
        spent, cpu = time.perf_counter() - began, watch.cpu() - before
        print(
            json.dumps(
                {
                    "people": people,
                    "pages": len(waits),
                    "ended": {end: ends.count(end) for end in set(ends)},
                    "pages_a_second": round(len(waits) / spent, 1),
                    "cpu_ms_a_page_alone": round(alone * 1000, 1),
                    "cpu_ms_a_page_crowded": round(cpu / len(waits) * 1000, 1),
                    "wait_ms_alone_median": round(one * 1000, 1),
                    "wait_s_crowded": [round(each, 2) for each in statistics.quantiles(waits, n=20)[9::9]],
                    "kilobytes_median_largest": [
                        round(statistics.median(sizes) / 1024, 1),
                        round(max(sizes) / 1024, 1),
                    ],
                    "resident_mb_idle_highest": [idle // 2**20, watch.highest // 2**20],
                    "sent": fill(base, [], [], send=True),
                },
                indent=1,
            )
        )
    finally:
        portal.terminate()
        portal.wait(60)


def _until(ready: object) -> None:
    for _ in range(600):
        try:
            if ready():
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise SystemExit("it does not begin")


if __name__ == "__main__":
    main()
