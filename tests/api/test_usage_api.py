"""Usage over the API, on its page, on the command line and in public: each sees what is theirs, and files are harmless."""

from __future__ import annotations

import csv
import io
import json
import re
import time

import pytest
import requests
from click.testing import CliRunner
from stage import BAUANTRAG, TAUNUSSTEIN, WIESBADEN, staged

from hub.cli import main
from hub.model import EVERYTHING
from hub.model.usage import Month

COSTS = """
members: [{ars: "06439"}, {ars: "06414"}]
costs: [{name: =Betrieb, from: 2026-01, monthly: "100.01", key: {accepted: 1}}]
"""


def _sent(office) -> None:
    """Seven applications, refusals of a known sender and of somebody unknown, counted a month later."""
    stage = office.stage
    for _ in range(6):
        stage.accept(area=TAUNUSSTEIN)
    stage.accept(area=WIESBADEN)
    login = {"grant_type": "client_credentials", **stage.cast["sender"]}
    sender = requests.post(f"{office.base}/token", data=login, timeout=30).json()["access_token"]
    for authorization in (sender, sender, "wrong"):
        answer = requests.post(
            f"{office.base}/hub/v1/applications",
            params={"service": "urn:de:fim:leika:leistung:99999999999999", "ars": TAUNUSSTEIN},
            data=BAUANTRAG,
            headers={"Authorization": f"Bearer {authorization}", "Content-Type": "application/xml"},
            timeout=30,
        )
        assert 400 <= answer.status_code < 500
    # A refusal is counted when its answer is out, in a write that others may share.
    usage, until = stage.hub.store.usage, time.monotonic() + 20
    while (
        sum(line.number for line in usage.refused(Month(2026, 11), scope=EVERYTHING)) < 2 and time.monotonic() < until
    ):
        usage.add_refusals()
    stage.hub.roll_up.run(stage.clock())


def test_each_sees_the_figures_of_their_tenant(office):
    _sent(office)
    state, district, town = (office.as_(name).get("/usage?month=2026-11") for name in ("viktor", "doris", "walter"))
    assert [each.status_code for each in (state, district, town)] == [200] * 3
    assert [each.json()["total"]["accepted"] for each in (state, district, town)] == [7, 6, 1]
    rows = {row["area"]["key"]: (row["area"]["name"], row["accepted"]) for row in state.json()["rows"]}
    assert rows[TAUNUSSTEIN] == ("Taunusstein, Stadt", 6)
    assert state.json()["total"]["bytes"] > 7 * 500
    assert (state.json()["complete"], state.json()["total"]["unattended"]) == (False, None)
    # Refusals count where the sender is known; a tenant sees those of its own senders.
    assert state.json()["refused"] == [{"sender": office.stage.sender, "problem": "no-route", "count": 2}]
    assert town.json()["refused"] == []
    assert requests.get(f"{office.base}/hub/v1/usage", timeout=30).status_code == 401
    assert office.as_("viktor").get("/usage?month=2026-12").status_code == 404
    assert office.as_("viktor").get("/usage?month=2026-1").status_code == 400


def test_a_spreadsheet_takes_no_cell_for_a_formula(office):
    _sent(office)
    day = office.stage.clock().date().isoformat()
    store = office.stage.hub.store
    store.usage.note_refusals({(day, "=HYPERLINK(1)", "@SUM"): 1}).result(10)
    store.usage.add_refusals()
    viktor = office.as_("viktor")
    for sheet in ("figures", "refused", "costs"):
        answer = viktor.get(f"/usage?month=2026-11&by=all&format=csv&sheet={sheet}")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.content.startswith(b"\xef\xbb\xbf")
        table = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
        assert {len(row) for row in table} == {len(table[0])}
        assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        if sheet == "refused":
            assert ["2026-11", "'=HYPERLINK(1)", "'@SUM", "1"] in table
        if sheet == "figures":
            assert sum(int(row[table[0].index("accepted")]) for row in table[1:-1]) == 7
            assert table[1][1] == f"DE{TAUNUSSTEIN}"


def test_everybody_sees_finished_months_and_nobody_in_them(office):
    _sent(office)
    url = f"{office.base}/hub/v1/figures"
    assert requests.get(url, timeout=30).json() == {"months": [], "least": 5, "figures": None}
    assert requests.get(f"{url}?month=2026-11", timeout=30).status_code == 404
    assert "kein Monat" in requests.get(f"{office.base}/figures", timeout=30).text
    clock, hub = office.stage.clock, office.stage.hub
    for _ in range(9):  # So many that others may hide behind them.
        office.stage.accept(area=WIESBADEN)
    hub.checkpoints.make(clock())
    clock.pass_(days=14)
    hub.roll_up.run(clock())
    answer = requests.get(url, timeout=30)
    figures = answer.json()["figures"]
    assert (figures["month"], figures["total"]) == ("2026-11", 16)
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    numbers = [each["count"] for table in ("services", "areas") for each in figures[table]["shown"]]
    assert numbers == [6]
    assert [figures[table]["others"] for table in ("services", "areas")] == [16, 10]
    page = requests.get(f"{office.base}/figures?month=2026-11&lang=en", timeout=30).text
    assert "Applications accepted (2026-11): 16" in page
    assert office.stage.sender not in page


@pytest.mark.parametrize(("person", "sees"), [("viktor", 7), ("walter", 1)])
def test_a_page_shows_a_month_and_lets_it_be_taken_along(pages, person, sees):
    for area in (*[TAUNUSSTEIN] * 6, WIESBADEN):
        pages.stage.accept(area=area)
    pages.stage.hub.roll_up.run(pages.stage.clock())
    browser = pages.as_(person)
    page = browser.get("/usage?month=2026-11&by=service")
    assert page.status_code == 200
    assert re.search(rf'tile__number">{sees}</span> angenommen', page.text)
    assert "Nutzung und Kosten" in page.text
    assert page.text.count("<rect") == 1  # One day, and nothing was delivered yet.
    assert browser.get("/usage?month=2026-10").status_code == 200
    assert browser.get("/usage?by=nothing").status_code == 400
    taken = browser.get("/usage/export?month=2026-11&format=json")
    assert taken.json()["total"]["accepted"] == sees
    assert taken.headers["Content-Disposition"] == 'attachment; filename="usage-2026-11-area.json"'


def test_the_command_line_shows_counts_and_takes_along_with_costs(made_once, tmp_path, monkeypatch):
    key = tmp_path / "costs.yaml"
    key.write_text(COSTS, encoding="utf-8")
    monkeypatch.setenv("HUB_COSTS_FILE", str(key))
    with staged(made_once, tmp_path) as stage:
        for area in (TAUNUSSTEIN, TAUNUSSTEIN, WIESBADEN):
            stage.accept(area=area)

    def usage(*words):
        done = CliRunner().invoke(main, ["usage", *words, "--data", str(stage.data)])
        assert done.exit_code == 0, done.output
        return done.output

    month = str(Month(2026, 11))
    assert "counted: 3" in usage("roll-up", "--month", month)
    shown = usage("show", month, "--by", "area")
    assert "Taunusstein" in shown
    assert re.search(r"EUR +66[.]67  Rheingau-Taunus-Kreis: =Betrieb", shown), shown
    document = json.loads(usage("export", month, "--format", "json"))
    assert sum(each["cents"] for each in document["costs"]) == 10_001
    out = tmp_path / "costs.csv"
    usage("export", month, "--sheet", "costs", "--tenant", "06414", "--out", str(out))
    assert out.read_text(encoding="utf-8-sig").splitlines()[1].endswith(";'=Betrieb;33.34")
