"""The dashboard asks for what a running hub shows, as the alerts do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families
from stage import serving

ROOT = Path(__file__).parents[2]
BOARD = json.loads((ROOT / "deploy/grafana/rathaus-hub.json").read_text(encoding="utf-8"))
#: Endings of a histogram's and a counter's series.
_SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}


def asked() -> dict[str, list[str]]:
    """Return all expressions, by where they stand."""
    targets = [(panel["title"], each["expr"]) for panel in BOARD["panels"] for each in panel.get("targets", [])]
    rules = yaml.safe_load((ROOT / "hub/alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    found: dict[str, list[str]] = {}
    for where, expression in [*targets, *((rule["alert"], rule["expr"]) for rule in rules)]:
        found.setdefault(where, []).append(expression)
    return found


def test_every_metric_that_dashboard_and_alerts_name_is_one_that_a_running_hub_shows(stage):
    with serving(stage) as served:
        text = served.get("/metrics").text
    shown = {family.name + ending for family in text_string_to_metric_families(text) for ending in _SERIES[family.type]}
    # What only the parent of several processes counts.
    shown |= {"hub_process_deaths_total"}
    named = {where: set(re.findall(r"\b(?:hub|process)_\w+", " ".join(each))) for where, each in asked().items()}
    assert len(set().union(*named.values())) > 25
    assert {where: names - shown for where, names in named.items() if names - shown} == {}
    # And the other way: what the hub shows of itself is of use to somebody.
    own = {name for name in shown if name.startswith("hub_")}
    families = {name.removesuffix("_total") for name in own if not name.endswith(("_bucket", "_sum", "_count"))}
    used = {name.removesuffix("_total") for name in set().union(*named.values())}
    assert families - used == set()


def test_the_dashboard_is_whole():
    assert BOARD["uid"] == "rathaus-hub"
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert sorted(set(numbers)) == numbers
    for panel in BOARD["panels"]:
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
            assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${source}"}
            # German first, then English, unless one word does for both.
            assert " / " in panel["title"], panel["title"]
