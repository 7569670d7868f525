"""Clients over the API: by operators, within their tenant, with secrets shown once, all audited."""

from __future__ import annotations

import pytest
import requests

from hub.model import EVERYTHING


def token_of(office, client: dict) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": client["clientId"],
        "client_secret": client["clientSecret"],
    }
    return requests.post(f"{office.base}/token", data=form, timeout=30)


@pytest.mark.parametrize("person", ["viktor", "erika", "anton"])
def test_only_operators_change_clients(office, person):
    somebody = office.as_(person)
    known = somebody.get("/clients").json()["clients"][0]["clientId"]
    assert somebody.post("/clients", json={"kind": "sender", "name": "x"}).status_code == 403
    assert somebody.rotate(known).status_code == 403
    assert somebody.post(f"/clients/{known}/disable").status_code == 403


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"kind": "sender"}, 400),
        ({"kind": "sender", "name": "   "}, 422),
        ({"kind": "sender", "name": "a\nb"}, 422),
        ({"kind": "emperor", "name": "x"}, 400),
        ({"kind": "sender", "name": "x", "tenant": "6a"}, 400),
        ({"kind": "sender", "name": "x", "scopes": ["all"]}, 400),
    ],
)
def test_what_is_no_client_is_refused(office, wish, status):
    assert office.as_("otto").post("/clients", json=wish).status_code == status


def test_a_machine_is_made_and_given_secrets_on_the_command_line_only(office):
    """Whoever knew a machine's secret could draft by it and approve the draft as somebody else."""
    office.machine()
    berta = office.as_("berta")
    machine = next(each for each in berta.get("/clients").json()["clients"] if each["kind"] == "machine")
    for answer in (
        berta.post("/clients", json={"kind": "machine", "name": "Mein Automat"}),
        berta.rotate(machine["clientId"]),
    ):
        assert answer.status_code == 403
        assert answer.json()["type"].endswith("machine-client")
    assert machine["rights"] == ["edit", "see"]
    assert berta.post(f"/clients/{machine['clientId']}/disable").status_code == 200


def test_a_secret_is_shown_once_works_and_stops_with_the_next(office):
    otto = office.as_("otto")
    made = otto.post("/clients", json={"kind": "sender", "name": "Onlinedienst", "tenant": "06439"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    client = made.json()
    assert made.headers["Location"] == f"/hub/v1/clients/{client['clientId']}"
    assert token_of(office, client).status_code == 200
    assert client["clientSecret"] not in otto.get(f"/clients/{client['clientId']}").text
    assert client["clientSecret"] not in otto.get("/clients").text
    rotated = otto.rotate(client["clientId"]).json()
    assert token_of(office, client).status_code == 401
    assert token_of(office, rotated).status_code == 200


def test_a_disabled_client_is_out_for_good_with_its_tokens(office):
    otto = office.as_("otto")
    client = otto.post("/clients", json={"kind": "sender", "name": "Onlinedienst"}).json()
    sender = office.with_(token_of(office, client).json()["access_token"])
    status = "/applications/ce75a6b8-d72f-4b94-b09e-af6be35bc2ae"
    assert sender.get(status).status_code == 404
    assert otto.post(f"/clients/{client['clientId']}/disable").json()["disabledAt"]
    office.stage.clock.pass_(seconds=2)
    assert sender.get(status).status_code == 401
    assert token_of(office, client).status_code == 401
    assert otto.rotate(client["clientId"]).status_code == 409


def test_every_change_is_audited_with_actor_object_and_no_secret(office):
    otto = office.as_("otto")
    client = otto.post("/clients", json={"kind": "subscriber", "name": "Fachverfahren", "manage": True}).json()
    otto.rotate(client["clientId"])
    otto.post(f"/clients/{client['clientId']}/disable")
    target = f"client:{client['clientId']}"
    mine = [entry for entry in office.audited() if entry[2] == target]
    assert mine == [(action, "otto", target) for action in ("client.add", "client.rotate", "client.disable")]
    entries = [
        each.entry
        for each in office.stage.hub.store.audit.entries(limit=500, scope=EVERYTHING).items
        if each.entry.target == target
    ]
    assert entries[0].after["name"] == "Fachverfahren"
    assert client["clientSecret"] not in repr(entries)
    assert (entries[-1].before, entries[-1].after) == ({"disabled": False}, {"disabled": True})


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-Match": "1"}], ids=["none", "any", "bare"])
def test_a_new_secret_is_asked_for_in_a_known_state(office, headers):
    otto = office.as_("otto")
    client = otto.post("/clients", json={"kind": "sender", "name": "Onlinedienst"}).json()
    assert otto.post(f"/clients/{client['clientId']}/rotate", headers=headers).status_code == 400
    assert token_of(office, client).status_code == 200


def test_two_who_rotate_at_once_do_not_take_each_others_secret_away(office):
    otto, olga = office.as_("otto"), office.as_("olga")
    made = otto.post("/clients", json={"kind": "sender", "name": "Onlinedienst"})
    path = f"/clients/{made.json()['clientId']}"
    seen = olga.tag(path)
    assert seen == made.headers["ETag"]
    first = otto.change("POST", f"{path}/rotate", seen)
    late = olga.change("POST", f"{path}/rotate", seen)
    assert (first.status_code, late.status_code) == (200, 409)
    assert late.json()["type"].endswith("overtaken")
    assert token_of(office, first.json()).status_code == 200
    assert olga.change("POST", f"{path}/rotate", first.headers["ETag"]).status_code == 200
