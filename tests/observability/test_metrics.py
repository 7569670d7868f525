"""Metrics say what happens in numbers and ids; alerts watch only what exists, and each has its runbook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine
from sqlalchemy import text as sql
from stage import BAUANTRAG, CANARY, serving

import hub
from hub import app
from hub.admin.runbooks import read as read_runbooks
from hub.config import load_settings
from hub.errors import ConfigurationError, StoreUnavailable, Text, Unavailable
from hub.jobs.gauges import MOST_DESTINATIONS
from hub.observability.metrics import SHARED_FOLDER, Meters, share
from hub.resources import shipped
from hub.store import Backlog, DeliveryState

HOUR = timedelta(hours=1)
ROOT = Path(hub.__file__).parent
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RUNBOOKS = (ROOT.parent / "docs/runbooks.md").read_text(encoding="utf-8")


def samples(text: str) -> dict[tuple[str, frozenset], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    found = [
        number
        for (each, said), number in samples(text).items()
        if each == name and labels.items() <= dict(said).items()
    ]
    assert found, f"{name} {labels}"
    return sum(found)


@pytest.fixture
def reserved(stage):
    """Serve the stage with a given setting."""

    def serve(mode: str):
        object.__setattr__(stage.hub, "settings", replace(stage.hub.settings, metrics=mode))
        return serving(stage)

    return serve


def test_a_setting_that_is_none_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="loopback"):
        load_settings(tmp_path, {"HUB_METRICS": "sometimes"})


def test_switched_off_there_is_nothing_to_see(reserved):
    with reserved("off") as served:
        assert served.get("/metrics").status_code == 404


def test_on_loopback_a_proxy_is_not_this_machine(reserved):
    with reserved("loopback") as served:
        assert served.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7"}).status_code == 404
        assert served.get("/metrics", headers={"Forwarded": "for=198.51.100.7"}).status_code == 404
        assert served.get("/metrics").status_code == 200


def test_what_happens_is_counted(reserved):
    with reserved("on") as served:
        assert served.submit(BAUANTRAG).status_code == 202
        assert served.submit(b"<bau").status_code == 400
        served.get("/hub/v1/nowhere")
        text = served.get("/metrics").text
    assert value(text, "hub_accepted_total", door="plain", outcome="accepted") == 1
    assert value(text, "hub_accepted_total", door="plain", outcome="refused") == 1
    assert value(text, "hub_accept_seconds_count", door="plain") == 2
    assert value(text, "hub_refusals_total", slug="not-found") == 1
    assert value(text, "hub_deliveries", state="queued") == 1
    assert value(text, "hub_oldest_due_seconds") >= 0


def test_an_attempt_is_counted_by_adapter_and_outcome(stage):
    stage.accept(area="064140000000")
    stage.hub.dispatcher.run_once()
    text = stage.hub.meters.text(stage.hub.gauges).decode()
    assert value(text, "hub_attempts_total", adapter="mailbox", outcome="waiting") == 1
    assert value(text, "hub_attempt_seconds_count", adapter="mailbox") == 1
    assert value(text, "hub_cases_uncovered") == 1
    assert value(text, "hub_info", version=hub.__version__, table=stage.hub.table().version) == 1
    assert value(text, "hub_store_up") == 1
    assert value(text, "hub_schemas", standard="bauantrag", version="1.0") >= 1
    assert "_created" not in text


def test_what_no_checkpoint_covers_grows_old_until_one_does(stage):
    gauges = stage.hub.gauges
    stage.accept()
    stage.clock.pass_(minutes=6)
    assert value(stage.hub.meters.text(gauges).decode(), "hub_uncovered_seconds") == 360
    stage.hub.checkpoints.make(stage.clock())
    stage.clock.pass_(minutes=1)
    assert value(stage.hub.meters.text(gauges).decode(), "hub_uncovered_seconds") == 0


def test_circuits_and_dead_letters_are_shown(stage):
    there = stage.destination_id("Rheingau")
    stage.hub.store.circuits.change(
        there, lambda one: replace(one, failures=9, open_until=stage.clock() + HOUR), stage.clock()
    )
    text = stage.hub.meters.text(stage.hub.gauges).decode()
    assert value(text, "hub_circuit_open", destination=str(there)) == 1
    assert value(text, "hub_circuit_open_seconds", destination=str(there)) == 3600
    assert value(text, "hub_dead_letters", cause="payload") == 0


def test_nothing_of_a_payload_is_in_the_metrics(stage):
    stage.accept(BAUANTRAG.replace(b"Einfamilienhaus", CANARY.encode()))
    stage.hub.dispatcher.run_once()
    assert CANARY.encode() not in stage.hub.meters.text(stage.hub.gauges)


def test_a_store_that_is_down_is_a_metric_and_no_error(stage):
    class Down:
        def waiting(self, *, scope):
            raise StoreUnavailable(Text("weg", "gone"))

    gauges = stage.hub.gauges
    gauges.overview = Down()
    text = Meters().text(gauges).decode()
    assert value(text, "hub_store_up") == 0
    assert value(text, "hub_free_bytes") > 0


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable(Text("weg", "gone")),
        Unavailable(Text("noch nicht", "not yet")),
        ConfigurationError(Text("a", "b")),
    ],
)
def test_a_routing_table_that_cannot_be_read_costs_no_other_metric(stage, error):
    def table():
        raise error

    gauges = stage.hub.gauges
    gauges.facts = replace(gauges.facts, table=table)
    text = Meters().text(gauges).decode()
    assert value(text, "hub_info", table="unknown") == 1
    assert value(text, "hub_keys_usable") == 1
    assert value(text, "hub_free_bytes") > 0


def test_metrics_do_not_stand_still_while_the_clock_is_set_back(stage):
    gauges = stage.hub.gauges
    first = gauges.collect()
    stage.clock.pass_(hours=-3)
    second = gauges.collect()
    assert second is not first
    assert gauges.collect() is second
    stage.clock.pass_(seconds=6)
    assert gauges.collect() is not second


def test_many_destinations_share_a_label_beyond_the_cap(stage):
    class Crowd:
        def waiting(self, *, scope):
            return [
                Backlog(destination_id=uuid4(), state=DeliveryState.QUEUED, count=1, oldest_at=stage.clock())
                for _ in range(MOST_DESTINATIONS + 50)
            ]

        def dead_causes(self, *, scope):
            return {}

    gauges = stage.hub.gauges
    gauges.overview = Crowd()
    text = Meters().text(gauges).decode()
    assert value(text, "hub_deliveries", destination="other") == 50
    # Beside the queued ones there stand the other states, at zero.
    assert len([each for each in samples(text) if each[0] == "hub_deliveries"]) == MOST_DESTINATIONS + 3


def test_a_label_never_grows_with_what_is_sent():
    meters = Meters()
    for number in range(1000):
        meters.refused(f"slug-{number}")
    text = meters.text().decode()
    assert len([each for each in samples(text) if each[0] == "hub_refusals_total"]) <= 201
    assert value(text, "hub_refusals_total") == 1000


def test_two_looks_in_quick_succession_ask_the_store_once(stage):
    gauges = stage.hub.gauges
    first = gauges.collect()
    assert gauges.collect() is first
    stage.clock.pass_(seconds=6)
    assert gauges.collect() is not first


def shown(stage) -> str:
    return stage.hub.meters.text(stage.hub.gauges).decode()


def test_deliveries_begin_at_zero(stage):
    for state in ("queued", "waiting", "dead"):
        assert value(shown(stage), "hub_deliveries", state=state) == 0


def test_the_oldest_is_told_by_kind_of_destination_and_by_mailbox(stage):
    stage.accept()
    stage.accept(area="064140000000")
    stage.hub.dispatcher.run_once()
    stage.accept(area="064140000000")
    stage.clock.pass_(minutes=2)
    text = shown(stage)
    assert value(text, "hub_oldest_queued_seconds", kind="mailbox") == 120
    assert value(text, "hub_oldest_uncollected_seconds") == 120
    kinds = {dict(labels)["kind"] for name, labels in samples(text) if name == "hub_oldest_queued_seconds"}
    assert kinds == set(stage.hub.store.parties.adapters().values())


def test_keys_say_how_long_they_still_hold(stage):
    text = shown(stage)
    three_years = 1095 * 86400
    for purpose in ("signing", "portal"):
        assert three_years - 86400 < value(text, "hub_key_expiry_seconds", purpose=purpose) <= three_years
    first = value(text, "hub_key_expiry_seconds", purpose="destination")
    assert first > 0
    stage.clock.pass_(days=1)
    assert value(shown(stage), "hub_key_expiry_seconds", purpose="destination") == first - 86400


def test_requests_are_counted_by_group_and_status(reserved):
    with reserved("on") as served:
        served.submit(b"<bau")
        served.get("/hub/v1/nowhere")
        served.get("/admin/login")
        text = served.get("/metrics").text
    assert value(text, "hub_requests_total", group="applications", status="400") == 1
    assert value(text, "hub_requests_total", group="none", status="404") == 1
    assert value(text, "hub_requests_total", group="admin", status="200") == 1
    assert value(text, "hub_requests_total", group="applications", status="500") == 0


def test_log_ins_that_fail_are_counted_by_way(reserved):
    with reserved("on") as served:
        login = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "wrong"}
        assert served.post("/token", data=login).status_code == 401
        assert served.post("/hub/v1/persons/token", data={"name": "nobody", "password": "wrong"}).status_code == 401
        text = served.get("/metrics").text
    assert value(text, "hub_logins_failed_total", way="client") == 1
    assert value(text, "hub_logins_failed_total", way="password") == 1
    assert value(text, "hub_logins_failed_total", way="openid") == 0


def test_a_process_says_what_it_takes_of_the_machine(stage):
    text = shown(stage)
    assert value(text, "process_resident_memory_bytes") > 10_000_000
    assert 0 < value(text, "process_open_fds") < value(text, "process_max_fds")
    board = app.Board(app.serving_names(2, work=True))
    for place in range(3):
        app.Member(board=board, place=place, parent=os.getppid()).begun()
    several = app.Member(board=board, place=0, parent=os.getppid())
    together = Meters(beside=several.metrics).text().decode()
    named = {dict(labels).get("process") for name, labels in samples(together) if name == "process_cpu_seconds_total"}
    assert {*board.names, "parent"} <= named


PROCESS = """
import sys
from hub.observability.metrics import Meters
meters = Meters()
meters.refused("not-found")
if sys.argv[1] == "show":
    print(meters.text().decode())
"""


def test_several_processes_show_their_sum_and_a_new_start_begins_at_zero(tmp_path):
    def run(what: str) -> str:
        environ = {**os.environ, **share(tmp_path)} if what == "first" else {**os.environ, SHARED_FOLDER: str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, what], env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    run("first")
    run("second")
    assert value(run("show"), "hub_refusals_total", slug="not-found") == 3
    share(tmp_path)
    assert value(run("show"), "hub_refusals_total", slug="not-found") == 1


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_every_alert_has_a_runbook_that_says_what_to_do(alert):
    runbook = re.search(rf"^## {alert['alert']}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)
    assert runbook is not None
    for word in ("*Means.*", "*Look.*", "*Do.*"):
        assert word in runbook.group(1)
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"


def test_every_runbook_says_the_same_in_german_and_in_english():
    for name, text in re.findall(r"^## (Hub\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL):
        german, english = text.strip().split("\n\n")
        for paragraph, words in ((german, ("Bedeutet", "Prüfen", "Tun")), (english, ("Means", "Look", "Do"))):
            assert [each for each in words if f"*{each}.*" not in paragraph] == [], name
            assert paragraph.startswith(f"*{words[0]}.*"), name
        assert _commands(german) == _commands(english), name


def _commands(paragraph: str) -> set[str]:
    """What is to be typed, looked up or set; names that stand for something are the language's own."""
    named = re.findall(r"`([^`]+)`", paragraph.replace("\n", " "))
    return {re.sub(r"\b[A-Z]{2,}\b", "…", each) for each in named if each.startswith(("hub", "/", "smtp_"))}


def test_every_runbook_belongs_to_an_alert():
    assert set(re.findall(r"^## (Hub\w+)", RUNBOOKS, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}
    # The pages read them from the same file, as it is installed.
    assert all(each.paragraphs for each in read_runbooks(ROOT / "alerts.yaml", shipped("docs/runbooks.md")))


def test_every_metric_of_an_alert_exists_with_its_labels(stage):
    stage.hub.store.circuits.change(
        stage.destination_id("Rheingau"), lambda one: replace(one, failures=9), stage.clock()
    )
    stage.accept(area="064140000000")
    stage.hub.dispatcher.run_once()
    stage.hub.meters.answered(door="plain", status=202, took=HOUR)
    stage.hub.meters.attempted(adapter="https", outcome="unknown", took=HOUR)
    several = app.Member(board=app.Board(app.serving_names(2, work=True)), place=0, parent=0)
    there = samples(stage.hub.meters.text(stage.hub.gauges, Meters(beside=several.metrics)).decode())
    names = {name for name, _ in there}
    for alert in ALERTS:
        for name, selector in re.findall(r"\b((?:hub|process)_[a-z_]+)(?:\{([^}]*)\})?", alert["expr"]):
            assert name in names, f"{alert['alert']}: {name}"
            wanted = dict(re.findall(r'(\w+)="([^"]*)"', selector))
            assert any(each == name and wanted.items() <= dict(said).items() for each, said in there), alert["expr"]


def test_readiness_needs_the_tables_of_this_version_and_liveness_nothing(served):
    engine = create_engine(served.stage.hub.settings.database)
    with engine.begin() as connection:
        connection.execute(sql("UPDATE alembic_version SET version_num = '0012'"))
    engine.dispose()
    ready = served.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, False)
    assert served.get("/health/live").status_code == 200
