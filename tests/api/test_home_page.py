"""The landing page: every link on it leads somewhere, in development and in production."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from stage import Stage, altered
from stand_in import Client

from hub import app


def home(stage: Stage, *, production: bool) -> Client:
    changes = {"environment": "production", "base_url": "https://hub.example"} if production else {}
    settings = replace(stage.hub.settings, **changes)
    hub = altered(stage.hub, settings=settings, base_url=settings.canonical_url)
    return Client(app.asgi(hub, work=False))


def links(client: Client) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', client.get("/").body.decode())


@pytest.mark.parametrize("production", [False, True])
def test_every_link_leads_somewhere(stage: Stage, production: bool):
    client = home(stage, production=production)
    answers = {link: client.get(link).status for link in links(client)}
    assert set(answers.values()) <= {200, 303, 307}, answers  # The pages for administrators lead on to the log-in.
    assert answers["/hub/v1/schemas"] == answers["/v2/info"] == 200


def test_production_leads_to_no_page_that_is_closed_there(stage: Stage):
    assert {"/validate", "/docs"} <= set(links(home(stage, production=False)))
    in_production = set(links(home(stage, production=True)))
    assert "/validate" not in in_production
    assert {"/docs", "/openapi.yaml", "/openapi.json", "/problems"} <= in_production
