"""The hub is away: people are told so, and nothing that they have is lost."""

from __future__ import annotations

import pytest
from portal_pages import portal_before
from stage import BAUEN, TAUNUSSTEIN, staged


@pytest.fixture(scope="module")
def site(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("away")
    with staged(made_once, folder) as stage, portal_before(stage, folder) as site:
        yield site


def test_a_hub_that_is_away_costs_nobody_their_form_or_what_they_were_reading(site):
    visitor = site.visitor()
    page = f"/leistung/{BAUEN[-14:]}?ars={TAUNUSSTEIN}"
    assert visitor.post("/antrag", at=page, service=BAUEN, ars=TAUNUSSTEIN, allow_redirects=False).status_code == 303
    assert visitor.get(page).status_code == 200
    site.stop_hub()
    site.clock.pass_(minutes=25)
    assert visitor.get(page).status_code == 200  # Within the hour it is shown as it was.
    unknown = visitor.get("/leistungen", params={"q": "etwas ganz anderes"})
    assert unknown.status_code == 503
    assert int(unknown.headers["retry-after"]) >= 1
    assert "nichts verloren" in unknown.text
    assert "q=etwas+ganz+anderes" in unknown.text  # The button asks the same once more.
    assert "Sie haben einen Antrag angefangen" in visitor.get("/").text
    assert visitor.get("/healthz").json() == {"status": "ok"}
