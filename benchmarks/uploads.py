"""Resumable uploads beside a server that only streams and syncs, 1 and 4 at once; completion on its own; the memory it takes.

As :mod:`benchmarks.attachments`, whose yardstick and turns these are: raw and hub on one disk, who begins changes from turn to
turn, ratios are taken between neighbours. The hub seals what comes, and tells of it every 16 MiB. Completion is the application
that names the upload: it reads all of it once more, and seals it to the authority.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from benchmarks import payload
from benchmarks.attachments import Run, all_at_once, emptied
from benchmarks.served import ARS, SERVICE, Served, prepare_data, running, serving

_PARALLEL = (1, 4)
_PIECE = 1024 * 1024
_AIM, _MOST_GROWTH = 0.6, 64


def run(*, megabytes: int, turns: int) -> dict[str, Any]:
    """Measure and print; return the figures."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_data(folder / "data", message)
        file = folder / "file"
        _write(file, megabytes * 1_000_000)
        (folder / "raw").mkdir()
        port = 19_480 + os.getpid() % 1000
        os.environ["RAW_FOLDER"] = str(folder / "raw")
        command = [sys.executable, "-m", "uvicorn", "benchmarks.raw_stream:application", "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--lifespan", "off"]
        with running(command, port, path="/") as process, serving(folder / "data", work=False) as served:
            raw = Served(pid=process.pid, port=port, data=folder / "raw")
            return _report(raw, served, file, message, megabytes=megabytes, turns=turns)


def _report(
    raw: Served, hub: Served, file: Path, message: payload.Message, *, megabytes: int, turns: int
) -> dict[str, Any]:
    print(f"uploads: {megabytes} MB each, median of {turns} turns; load {os.getloadavg()[0]:.1f}")
    results: dict[str, Any] = {"upload_megabytes": megabytes}
    for parallel in _PARALLEL:
        pairs: list[tuple[Run, Run]] = []
        completions: list[float] = []
        with hub.watched() as grown:
            for turn in range(turns):
                sides = [partial(_raw, raw, file, parallel), partial(_hub, hub, file, parallel, message, completions)]
                first = turn % 2
                found = {first: sides[first](), 1 - first: sides[1 - first]()}
                pairs.append((found[0], found[1]))
        ratio = statistics.median(one.seconds / other.seconds for one, other in pairs)
        cpu = statistics.median(other.cpu for _, other in pairs)
        seconds = statistics.median(other.seconds for _, other in pairs)
        print(
            f"  {parallel} at once: {megabytes * parallel / seconds:.0f} MB/s, {ratio:.2f} of a raw stream and sync (aim: "
            f"at least {_AIM}); {cpu:.2f} s of CPU; memory +{grown[0]:.0f} MiB (aim: at most {_MOST_GROWTH}); completion of "
            f"one {statistics.median(completions):.2f} s"
        )
        results |= {f"upload_{parallel}_ratio": ratio, f"upload_{parallel}_growth_mib": grown[0]}
    return results


def _raw(served: Served, file: Path, parallel: int) -> Run:
    sending = [_sender(served.port, "PUT", f"/{uuid4().hex}", file) for _ in range(parallel)]
    done = all_at_once(served, sending)
    emptied(served.data)
    return done


def _hub(served: Served, file: Path, parallel: int, message: payload.Message, completions: list[float]) -> Run:
    token = served.token("sender")
    fields = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    base = f"http://127.0.0.1:{served.port}"
    length = {"Upload-Length": str(file.stat().st_size)}
    begun = [requests.post(f"{base}/hub/v1/uploads", headers=fields | length, timeout=30) for _ in range(parallel)]
    urls = [each.headers["Location"] for each in begun]
    more = {**fields, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    done = all_at_once(served, [_sender(served.port, "PATCH", url, file, more) for url in urls])
    for url in urls:
        started = time.perf_counter()
        _complete(base, url, fields, message)
        completions.append(time.perf_counter() - started)
    emptied(served.data / "blobs")
    return done


def _complete(base: str, url: str, fields: dict[str, str], message: payload.Message) -> None:
    notes = json.dumps({"attachments": {"plan": {"upload": url}}})
    answer = requests.post(
        f"{base}/hub/v1/applications",
        params={"service": SERVICE, "ars": ARS},
        files={"data": ("a", message.data, "application/xml"), "metadata": ("m", notes, "application/json")},
        headers={"Authorization": fields["Authorization"]},
        timeout=120,
    )
    assert answer.status_code == 202, answer.text  # accepted


def _sender(port: int, method: str, path: str, file: Path, fields: dict[str, str] | None = None) -> Callable[[], None]:
    def transfer() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection, file.open("rb") as source:
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            head += f"Content-Length: {file.stat().st_size}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
            connection.sendall(f"{head}\r\n".encode())
            connection.sendfile(source)
            answer = connection.recv(65536)
            assert answer[9:10] == b"2", answer

    return transfer


def _write(target: Path, size: int) -> None:
    with target.open("wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, _PIECE)))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=370, help="the largest attachment is 375 MB")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    run(megabytes=options.megabytes, turns=options.turns)


if __name__ == "__main__":
    main()
