"""``make bench``: every measurement beside its yardstick, in one run, in under two minutes."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from benchmarks import accept, check

_OUT = Path(__file__).parent / "out"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each row is measured")
    parser.add_argument(
        "--profile", action="store_true", help="also profile the accept path and print its largest costs"
    )
    options = parser.parse_args()
    print(
        f"CPython {platform.python_version()}, {platform.machine()}; ratios count, absolute numbers are this machine's\n"
    )
    results = {**check.run(), **accept.run(seconds=options.seconds, profile=options.profile)}
    _OUT.mkdir(exist_ok=True)
    (_OUT / "bench.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


main()
