"""A test instance beside production: vendors begin without an operator, everything is marked, and the night deletes it."""

from __future__ import annotations

import json
import re
from uuid import UUID

import pytest
import requests
from admin_pages import paged
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN, serving, staged
from store_values import claim, record

from hub.administration.registration import RegistrationWish, SelfRegistration
from hub.crypto import claims_of
from hub.errors import Invalid, NotFound, TooMany
from hub.model import EVERYTHING

WISH = {"name": "Werk GmbH", "email": "amt@werk.example", "product": "Netz/4.2"}


@pytest.fixture
def test_stage(made_once, tmp_path):
    with staged(made_once, tmp_path, environment="test") as made:
        yield made


def test_a_vendor_registers_on_a_page_sends_and_finds_what_came_for_it(test_stage):
    with paged(test_stage) as pages, serving(test_stage) as served:
        visitor = pages.browser("nobody")
        page = visitor.get("/register")
        assert "Testumgebung" in page.text
        assert page.headers["Hub-Environment"] == "test"
        link = re.search(r'id="link">([^<]+)<', visitor.post("/register", csrf="", **WISH).text)[1]
        made = visitor.post("/register/complete", csrf="", code=link)
        shown = re.search(r'id="registered">([^<]+)<', made.text)[1]
        got = json.loads(shown.replace("&#34;", '"').replace("&amp;", "&"))
        assert got["environment"] == "test"
        assert visitor.post("/register/complete", csrf="", code=link).status_code == 404, "it is good once"
        login = {
            "grant_type": "client_credentials",
            "client_id": got["sender"]["clientId"],
            "client_secret": got["sender"]["clientSecret"],
        }
        token = requests.post(f"{served.base_url}/token", data=login, timeout=30).json()["access_token"]
        answer = requests.post(
            f"{served.base_url}/hub/v1/applications",
            params={"service": BAUEN, "ars": TAUNUSSTEIN},
            data=BAUANTRAG,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/xml"},
            timeout=30,
        )
        assert (answer.status_code, answer.headers["Hub-Environment"]) == (202, "test")
        assert claims_of(answer.json()["receipt"])["environment"] == "test"
        own = requests.get(f"{served.base_url}/v1/destinations/{got['destinationId']}", timeout=30).json()
        assert BAUEN in {each["identifier"] for each in own["services"]}
        login |= {"client_id": got["receiver"]["clientId"], "client_secret": got["receiver"]["clientSecret"]}
        assert requests.post(f"{served.base_url}/token", data=login, timeout=30).status_code == 200
    names = {each.name for each in test_stage.hub.store.vendors.vendors(scope=EVERYTHING).items}
    assert names == {"Werk GmbH"}


def test_elsewhere_there_is_no_such_page_and_receipts_say_nothing(pages):
    visitor = pages.browser("nobody")
    assert visitor.get("/register").status_code == 404
    assert visitor.post("/register", csrf="", **WISH).status_code == 404
    assert visitor.post("/register/complete", csrf="", code="x").status_code == 404
    assert "Hub-Environment" not in visitor.get("/login").headers
    assert "environment" not in pages.stage.accept().claims


def test_forged_late_and_many_registrations_make_nothing(test_stage):
    desk, clock = test_stage.hub.registration, test_stage.clock
    link = desk.begin(RegistrationWish(**WISH), address="192.0.2.1", now=clock())
    token = link.rpartition("#")[2]
    payload, _, mac = token.partition(".")
    for forged in ("", ".", payload, f"{payload}.{'0' * len(mac)}", f"{payload[:-4]}AAAA.{mac}", "ä.ö"):
        with pytest.raises(NotFound):
            desk.complete(forged, address="192.0.2.2", now=clock())
    clock.pass_(hours=25)
    with pytest.raises(NotFound):
        desk.complete(token, address="192.0.2.3", now=clock())
    assert test_stage.hub.store.vendors.vendors(scope=EVERYTHING).total == 0
    for wrong in ({"name": ""}, {"email": "amt"}, {"product": "Netz"}, {"name": "a\nb"}):
        with pytest.raises(Invalid):
            desk.begin(RegistrationWish(**WISH | wrong), address="192.0.2.4", now=clock())
    wish = RegistrationWish(**WISH)
    with pytest.raises(TooMany):  # noqa: PT012  # which of them it is, is not said
        for _ in range(20):
            desk.begin(wish, address="192.0.2.5", now=clock())


def test_with_a_mail_server_the_link_is_mailed_and_not_shown(test_stage):
    sent = []

    class Links:
        def register(self, recipient, link, *, until, now):
            sent.append((recipient, link))
            return recipient == WISH["email"]

    hub = test_stage.hub
    desk = SelfRegistration(
        store=hub.store,
        keys=hub.keys,
        vendors=hub.vendor_service,
        base_url=hub.base_url,
        offers=list,
        certify=lambda jwk, _: dict(jwk),
        links=Links,
    )
    assert desk.begin(RegistrationWish(**WISH), address="192.0.2.1", now=test_stage.clock()) == ""
    ((recipient, link),) = sent
    assert recipient == WISH["email"]
    made = desk.complete(link.rpartition("#")[2], address="192.0.2.1", now=test_stage.clock())
    assert made.destination.owner == made.receiver[0]
    again = RegistrationWish(**WISH | {"email": "other@werk.example"})
    with pytest.raises(Invalid):
        desk.begin(again, address="192.0.2.1", now=test_stage.clock())


def test_the_night_deletes_what_was_left_and_the_day_does_not(test_stage):
    hub, clock = test_stage.hub, test_stage.clock
    submission = UUID(test_stage.accept().claims["sub"].removeprefix("submission:"))
    (taken,) = claim(hub.store, now=clock())
    assert record(hub.store, taken, started_at=clock(), ended_at=clock())
    assert hub.night(clock()) == 0
    assert hub.store.submissions.message(submission).contents is not None
    clock.pass_(hours=13)
    assert clock().hour == 1
    assert hub.night(clock()) > 0
    assert hub.store.submissions.message(submission) is None
    assert any(each.name == "test-night" for each in hub.duties.duties)
