"""Draw what ``full.json`` and ``country.json`` say, a picture for each question, as SVG and PNG.

Runs beside the yardstick: needs matplotlib.

python -m benchmarks.full.plots FOLDER
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_HUB, _OTHER, _BARE, _SICK = "#1f5fa8", "#c2571a", "#7a7a7a", "#a8322a"


def drain(result: dict[str, Any]) -> Any:
    """How fast does a queue empty?"""
    figure, (lines, bars) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[2, 1])
    for kind, colour in (("hub", _HUB), ("procrastinate", _OTHER), ("bare", _BARE)):
        points = result[kind]["points"]
        lines.plot([at for at, _ in points], [done for _, done in points], color=colour, label=kind)
        bars.bar(kind, result[kind]["per_second"], color=colour)
        bars.text(kind, result[kind]["per_second"], f"{result[kind]['per_second']:.0f}", ha="center", va="bottom")
    lines.set(xlabel="seconds", ylabel="deliveries done", title=f"{result['queued']:,} queued, one process each")
    lines.legend()
    bars.set(
        yscale="log",
        ylabel="per second (log)",
        title=f"hub / procrastinate = {result['hub against procrastinate']:.1f}",
    )
    return figure


def neighbours(result: dict[str, Any]) -> Any:
    """Do 47 healthy receivers notice three sick ones?"""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for axis, name, unit in ((axes[0], "per_second", "deliveries per second"), (axes[1], "p99_ms", "p99 in ms")):
        for company, colour in (("healthy", _HUB), ("sick", _SICK)):
            label = "all healthy" if company == "healthy" else "one hangs, one\ndrips, one fails"
            value = result[company][name]
            axis.bar(label, value, color=colour)
            axis.text(label, value, f"{value:.0f}", ha="center", va="bottom")
        axis.set(ylabel=unit)
    axes[0].set_title(f"throughput kept: {result['throughput kept']:.2f}")
    axes[1].set_title(f"p99 times {result['p99 times']:.2f}")
    return figure


def sustained(result: dict[str, Any]) -> Any:
    """Does anything creep?"""
    figure, (rates, memory) = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    points = result["points"]
    at = [one[0] for one in points]
    for column, label, colour in ((1, "accepted", _HUB), (2, "delivered", _OTHER)):
        pairs = pairwise(points)
        rates.plot(at[1:], [(b[column] - a[column]) / (b[0] - a[0]) for a, b in pairs], color=colour, label=label)
    for column, label, colour in ((3, "serving", _HUB), (4, "delivering", _OTHER)):
        memory.plot(at, [one[column] for one in points], color=colour, label=label)
    rates.set(ylabel="per second", title="sustained run", ylim=(0, None))
    memory.set(xlabel="seconds", ylabel="memory in MiB", ylim=(0, None))
    rates.legend()
    memory.legend()
    return figure


def proof(result: dict[str, Any]) -> Any:
    """What does proof cost?"""
    figure, axes = plt.subplots(2, figsize=(7, 5), sharex=True)
    for axis, kind in zip(axes, ("standard", "small"), strict=True):
        one = result[kind]
        for way, colour in (("unproven", _BARE), ("proven", _HUB)):
            value = one[way]["cpu_ms_each"]
            axis.barh(way, value, color=colour)
            axis.text(value, way, f" {value:.2f} ms", va="center")
        cpu, throughput = 100 * one["cost_of_cpu"], 100 * one["cost_of_throughput"]
        axis.set(title=f"proof, {one['bytes']} bytes: {cpu:.0f} % of CPU, {throughput:.0f} % of throughput")
        axis.margins(x=0.2)
    axes[-1].set(xlabel="CPU for each accepted application, ms")
    figure.tight_layout()
    return figure


def attachments(result: dict[str, Any]) -> Any:
    """How fast do the largest attachments go up and down?"""
    figure, axis = plt.subplots(figsize=(7, 4))
    cases = [(way, parallel) for way in ("up", "down") for parallel in (1, 4)]
    for at, (way, parallel) in enumerate(cases):
        name = f"attachment_{way}_{parallel}"
        for shift, key, colour in ((-0.2, "raw_mb_per_second", _BARE), (0.2, "mb_per_second", _HUB)):
            axis.bar(at + shift, result[f"{name}_{key}"], width=0.4, color=colour)
        axis.text(at + 0.2, result[f"{name}_mb_per_second"], f"{result[f'{name}_ratio']:.2f}", ha="center", va="bottom")
    axis.set_xticks(range(len(cases)), [f"{way}, {parallel} at once" for way, parallel in cases])
    axis.set(
        ylabel="MB per second", title=f"{result['attachment_megabytes']} MB: bare stream and fsync (grey), hub (blue)"
    )
    return figure


def country_day(result: dict[str, Any]) -> Any:
    """Does what falls due in a country's day go in and out?"""
    figure, axis = plt.subplots(figsize=(9, 4))
    for day, style in zip(result["days"], ("-", "--"), strict=False):
        at = [hour["number"] for hour in day["hours"]]
        for name, colour in (("due", _BARE), ("accepted", _HUB), ("delivered", _OTHER)):
            rates = [hour[name] / hour["seconds"] for hour in day["hours"]]
            axis.step(at, rates, style, where="post", color=colour, label=f"{name}, nodes: {day['nodes']}")
    axis.set(xlabel="hour of the day", ylabel="per second", title="a day of the country", ylim=(0, None))
    axis.legend(fontsize=8)
    return figure


def country_model(result: dict[str, Any]) -> Any:
    """Do the nodes use what the lines say?"""
    figure, axis = plt.subplots(figsize=(7, 4))
    fastest = 0.0
    for day, colour in zip(result["days"], (_HUB, _OTHER), strict=False):
        rates = [hour["accepted"] / hour["seconds"] for hour in day["hours"]]
        used = [hour["hub_cpu"] / hour["seconds"] for hour in day["hours"]]
        axis.scatter(rates, used, color=colour, label=f"measured, nodes: {day['nodes']}")
        fastest = max(fastest, *rates)
    for day, colour in zip(result["days"], (_HUB, _OTHER), strict=False):
        idle = result["hub"]["idle"] / result["days"][0]["nodes"] * day["nodes"]
        ends = (0.0, fastest)
        axis.plot(ends, [idle + result["hub"]["each"] * rate for rate in ends], color=colour, label="foretold")
    axis.set(xlabel="accepted a second", ylabel="cores busy", title=f"error in all: {100 * result['error']:+.0f} %")
    axis.legend(fontsize=8)
    return figure


def main(folder: Path) -> None:
    """Draw what was measured."""
    for file, drawings in (
        ("full", (drain, neighbours, sustained, proof, attachments)),
        ("country", (country_day, country_model)),
    ):
        path = folder / f"{file}.json"
        results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for draw in drawings:
            name = draw.__name__
            result = results if file == "country" else results.get(name)
            if result:
                figure = draw(result)
                for suffix in ("svg", "png"):
                    figure.savefig(
                        folder / f"{'full-' * (file == 'full')}{name}.{suffix}", bbox_inches="tight", dpi=120
                    )
                plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
