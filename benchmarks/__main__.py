"""``make bench``: every measurement beside its yardstick, in one run, in under two minutes."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import accept, attachments, callbacks, check, profile, readable, routing, sealed

_OUT = Path(__file__).parent / "out"


def main() -> None:
    """Measure what was asked for, print it, and keep the figures in ``benchmarks/out/bench.json``."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["check", "routing", "accept", "sealed", "attachments", "callbacks", "readable"],
        help="measure this alone",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run of the accept path lasts")
    parser.add_argument("--attachment-mb", type=int, default=100, help="size of one attachment (the limit is 500)")
    parser.add_argument("--profile", action="store_true", help="print the largest costs of the accept path instead")
    options = parser.parse_args()
    print(
        f"CPython {platform.python_version()}, {platform.machine()}; ratios count, absolute numbers are this machine's\n"
    )
    measurements: dict[str, Callable[[], dict[str, Any]]] = {
        "check": check.run,
        "routing": routing.run,
        "accept": lambda: accept.run(seconds=options.seconds),
        "sealed": sealed.run,
        "attachments": lambda: attachments.run(megabytes=options.attachment_mb),
        "callbacks": callbacks.run,
        "readable": readable.run,
    }
    if options.profile:
        profile.run()
        return
    results: dict[str, Any] = {}
    for name, measure in measurements.items():
        # Of use when what they measure changes: only when they are asked for.
        if options.only == name or (options.only is None and name not in {"callbacks", "readable"}):
            results |= measure()
    _OUT.mkdir(exist_ok=True)
    (_OUT / "bench.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


main()
