"""Fifty receivers of which one hangs, one drips and one fails: do the other forty-seven notice?

Two questions, each asked of all-healthy and of sick company in turn: how fast a backlog of theirs is delivered (throughput),
and how long what falls due evenly takes from then to its delivery (p99).
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.crash.nodes import free_port
from benchmarks.full.backlog import Hall
from benchmarks.full.processes import running

_RECEIVERS = 50
_SICK = ("hang", "drip", "fail")
_PATIENCE = 300.0
#: Seconds that an even stream lasts at most.
_LONGEST = 60.0
_FIRST = f"name LIKE 'Amt %' AND CAST(substr(name, 5) AS INTEGER) >= {len(_SICK)}"
#: The same forty-seven in either company.
_MEASURED = f"destination_id IN (SELECT destination_id FROM destinations WHERE {_FIRST})"


def run(hall: Hall, *, each: int, rounds: int) -> dict[str, Any]:
    """Queue ``each`` deliveries for every receiver at once, then half as many evenly; ``rounds`` times in either company."""
    port = free_port()
    found: dict[str, list[dict[str, float]]] = {"healthy": [], "sick": []}
    seconds = 0.0
    with running("benchmarks.full.receivers", str(port)):
        for _ in range(rounds):
            for company, seen in found.items():
                throughput = _measured(hall, port, each, 0.0, sick=company == "sick")
                # Half of what all-healthy company can take: a latency under overload would only be the queue's length.
                seconds = seconds or min(_LONGEST, _RECEIVERS * (each // 2) / (throughput["per_second"] / 2))
                latency = _measured(hall, port, each // 2, seconds, sick=company == "sick")
                seen.append({"per_second": throughput["per_second"], **_only_times(latency)})
    results: dict[str, Any] = {
        company: {name: statistics.mean(one[name] for one in seen) for name in seen[0]}
        for company, seen in found.items()
    }
    sick, healthy = results["sick"], results["healthy"]
    results["rounds"] = found
    results["throughput kept"] = sick["per_second"] / healthy["per_second"]
    results["p99 times"] = sick["p99_ms"] / healthy["p99_ms"]
    _tell(results)
    return results


def _only_times(seen: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in seen.items() if name.endswith("_ms")}


def _measured(hall: Hall, port: int, each: int, seconds: float, *, sick: bool) -> dict[str, float]:
    """Let one ``hub work`` deliver; return what was seen of the forty-seven."""
    tempers = [*(_SICK if sick else ["healthy"] * len(_SICK)), *["healthy"] * (_RECEIVERS - len(_SICK))]
    secret = str(hall.data / "demo" / "push.secret")
    configs = [
        {
            "url": f"http://127.0.0.1:{port}/{temper}/{n}",
            "secret_file": secret,
            "allow_http": True,
            "allow_private_addresses": True,
        }
        for n, temper in enumerate(tempers)
    ]
    destinations = hall.receivers(configs, "https")
    environment = {"HUB_DATABASE_URL": hall.url, "HUB_NODE": "work"}
    with running("hub.cli", "work", "--data", str(hall.data), env=environment):
        # One each: adapters are open, and who hangs has begun to, before anything is measured.
        hall.fill(destinations, 1)
        _delivered(hall)
        begun = time.time_ns() // 1000
        hall.fill(destinations, each, seconds=seconds)
        _delivered(hall)
        (row,) = hall.rows(_SEEN, begun=begun)
    hall.empty()
    return {"per_second": row.number / (row.took / 1e6), "p50_ms": row.p50 / 1000, "p99_ms": row.p99 / 1000}


def _delivered(hall: Hall) -> None:
    """Wait until the forty-seven have everything that is queued for them."""
    end = time.monotonic() + _PATIENCE
    while hall.rows(f"SELECT count(*) FROM deliveries WHERE {_MEASURED} AND state = 'queued'")[0][0]:
        if time.monotonic() > end:
            raise TimeoutError("the healthy receivers did not get what is theirs")
        time.sleep(0.2)


_SEEN = f"""
SELECT count(*) AS number, max(finished_at) - min(claimed_at) AS took,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY finished_at - accepted_at) AS p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY finished_at - accepted_at) AS p99
FROM deliveries WHERE {_MEASURED} AND state = 'delivered' AND accepted_at >= :begun
"""


def _tell(results: dict[str, Any]) -> None:
    print(f"{_RECEIVERS} receivers, one of them hangs, one drips, one fails: the other {_RECEIVERS - len(_SICK)}")
    for company in ("healthy", "sick"):
        one = results[company]
        print(
            f"  {company:8} {one['per_second']:7.1f} /s from a backlog; p50 {one['p50_ms']:.0f} ms, p99 {one['p99_ms']:.0f} ms"
        )
    print(f"  throughput kept: {results['throughput kept']:.2f}; p99 times {results['p99 times']:.2f}", flush=True)
