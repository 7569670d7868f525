"""``make bench-beside``: the figures of ``make bench`` of this checkout and of another one, by turns.

Each turn runs one measurement of one checkout as a process of its own, with that checkout's ``.venv``; the two take turns, and
which begins changes from pair to pair. Of each figure the median over the pairs is printed, and the median of the pairs'
ratios, ours to the other's. The other checkout has the packages of its tests installed (``make .venv/test.stamp``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

_ROOT = Path(__file__).parents[1]
#: What is compared, and whether more is better. CPU decides: what a second holds is left out.
_FIGURES = {
    "xml_ratio": False,
    "json_ratio": False,
    "routing_hessen_municipalities_ratio": True,
    "accept_cpu_ms": False,
    "plain_1_cpu_ms": False,
    "sealed_1_cpu_ms": False,
    "plain_8_cpu_ms": False,
    "sealed_8_cpu_ms": False,
}
_MEASUREMENTS = ("check", "routing", "accept", "sealed")
#: Seconds after which one turn is given up.
_LONGEST = 300


def turn(root: Path, measurement: str, seconds: float) -> dict[str, float]:
    """Run one measurement of one checkout; return its figures."""
    command = [root / ".venv/bin/python", "-W", "ignore", "-m", "benchmarks", "--only", measurement]
    subprocess.run([*command, "--seconds", str(seconds)], cwd=root, check=True, capture_output=True, timeout=_LONGEST)
    figures: dict[str, float] = json.loads((root / "benchmarks/out/bench.json").read_text(encoding="utf-8"))
    return figures


def _pair(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """Return one pair's ratios as a line, so that a run that is cut off has told what it knew."""
    return " ".join(f"{name} {ours[name] / theirs[name]:.2f}" for name in _FIGURES if name in ours and name in theirs)


def main() -> None:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(prog="make bench-beside", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="another checkout, with a .venv of its own")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", choices=_MEASUREMENTS)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each run of the accept path lasts")
    options = parser.parse_args()
    base = options.base.resolve()
    print(f"{'':38}{'here':>9}{'base':>9}  here/base (the pairs' lowest, highest)")
    for measurement in [options.only] if options.only else _MEASUREMENTS:
        taken: dict[Path, list[dict[str, float]]] = {_ROOT: [], base: []}
        for number in range(min(options.pairs, 25)):
            for root in (_ROOT, base) if number % 2 else (base, _ROOT):
                taken[root].append(turn(root, measurement, options.seconds))
            print(
                f"{measurement}: pair {number + 1} of {options.pairs}",
                _pair(taken[_ROOT][-1], taken[base][-1]),
                file=sys.stderr,
            )
        for name, more in _FIGURES.items():
            ours, theirs = ([figures[name] for figures in taken[root] if name in figures] for root in (_ROOT, base))
            if not ours or not theirs:
                continue
            ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
            better = "more is better" if more else ""
            print(
                f"{name:38}{median(ours):9.3f}{median(theirs):9.3f}  "
                f"{median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f}) {better}",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores at the end")


if __name__ == "__main__":
    main()
