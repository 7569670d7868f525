"""Destinations over the API: adapters with strict options, keys by two persons, and how each stands."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from stage import ANMELDEN, BAUEN

from hub.app import development_authority
from hub.crypto import make_rsa_pair
from hub.model import reason_for_people
from hub.model.reasons import NOT_PUBLIC
from hub.store import Circuit

SCHEMA = "https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd"


@pytest.fixture(scope="module")
def pairs():
    """Key pairs take a third of a second each: one set for all."""
    return {use: make_rsa_pair(use) for use in ("encryption", "signing")}


@pytest.fixture
def keys(office, pairs) -> dict[str, dict[str, Any]]:
    authority = development_authority(office.stage.hub.settings, now=office.stage.clock())
    return {
        use: authority.issue(public, subject="Neustadt", now=office.stage.clock(), days=30)
        for use, (public, _) in pairs.items()
    }


def wish(office, keys, **more: Any) -> dict[str, Any]:
    service = {
        "identifier": BAUEN,
        "regions": ["DE06439"],
        "schemas": [{"schemaUri": SCHEMA, "mimeType": "application/xml"}],
    }
    return {
        "name": "Neustadt, Bauamt",
        "owner": office.stage.cast["subscriber"]["client_id"],
        "contact": {"legalName": "Neustadt", "email": "post@neustadt.example"},
        "services": [service],
        "encryptionPublicKey": keys["encryption"],
        "signingPublicKey": keys["signing"],
        **more,
    }


def slug(answer: Any) -> str:
    return answer.json()["type"].rpartition(":")[2]


def of_district(office) -> str:
    return f"/destinations/{office.stage.destination_id('Rheingau')}"


# --- refusals


@pytest.mark.parametrize("person", ["viktor", "erika", "anton"])
def test_only_operators_change_destinations(office, keys, person):
    somebody, path = office.as_(person), of_district(office)
    assert somebody.get(path).status_code == 200
    assert somebody.post("/destinations", json=wish(office, keys)).status_code == 403
    assert somebody.amend(path, status="inactive").status_code == 403
    assert somebody.post(f"{path}/keys", json=keys["encryption"]).status_code == 403
    assert somebody.post(f"{path}/circuit/close").status_code == 403


@pytest.mark.parametrize(
    ("adapter", "status", "says"),
    [
        ({"name": "pigeon"}, 422, "unknown-adapter"),
        ({"name": "mailbox", "options": {"speed": 9}}, 422, "configuration"),
        ({"name": "https", "options": {}}, 422, "configuration"),
        ({"name": "folder", "options": {"path": 7}}, 403, "option-not-allowed"),
        ({"name": "mailbox", "options": {"deep": {"er": 1}}}, 400, "schema-violation"),
        ({"name": "../../etc"}, 400, "schema-violation"),
    ],
)
def test_an_adapter_or_option_that_is_wrong_is_refused_before_it_is_kept(office, adapter, status, says):
    otto, path = office.as_("otto"), of_district(office)
    answer = otto.amend(path, adapter=adapter)
    assert (answer.status_code, slug(answer)) == (status, says)
    assert (
        otto.get(path).json()["adapter"]
        == office.stage.hub.store.parties.destination(office.stage.destination_id("Rheingau")).adapter
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("https", {"url": "https://10.1.2.3/x", "secret_file": "s"}),
        ("https", {"url": "https://[fd00::1]:8443/x", "secret_file": "s"}),
        (
            "fit_connect",
            {
                "submission_api": "https://in.example",
                "token_url": "https://127.0.0.1/t",
                "client_id": "c",
                "client_secret_file": "s",
                "destination_id": "2f8a3c0e-6f5c-4a55-b0ff-6f9f1fcb27f9",
            },
        ),
        (
            "smime_mail",
            {"host": "192.168.0.2", "user": "u", "sender": "a@b.de", "recipient": "c@d.de", "password_file": "s"},
        ),
        (
            "s3_drop",
            {
                "endpoint": "https://169.254.169.254",
                "bucket": "bucket",
                "access_key_id_file": "s",
                "secret_access_key_file": "s",
            },
        ),
    ],
)
def test_an_address_that_no_delivery_will_reach_is_refused_when_it_is_entered(office, name, options):
    folder = office.stage.hub.settings.data / "secrets"
    options = {key: str(folder / value) if key.endswith("_file") else value for key, value in options.items()}
    answer = office.as_("otto").amend(of_district(office), adapter={"name": name, "options": options})
    assert (answer.status_code, slug(answer)) == (422, "configuration"), answer.text
    # The words that an attempt would be recorded with.
    assert reason_for_people(NOT_PUBLIC.note, german=False) in answer.json()["detailEn"]


def test_a_key_is_not_activated_by_one_person_alone(office, keys):
    otto, path = office.as_("otto"), of_district(office)
    otto.post(f"{path}/keys", json=keys["encryption"])
    change = f"{path}/keys/{keys['encryption']['kid']}/activate"
    first = otto.post(change)
    assert (first.status_code, first.json()["state"]) == (202, "open")
    again = otto.post(change)
    assert (again.status_code, slug(again)) == (403, "second-person")
    assert otto.get(path).json()["encryptionKid"] != keys["encryption"]["kid"]


def test_keys_that_cannot_be_activated_or_retired_are_refused(office, keys):
    otto, path = office.as_("otto"), of_district(office)
    current = otto.get(path).json()["encryptionKid"]
    signature = next(key["kid"] for key in otto.get(path).json()["keys"] if key["use"] == "signature")
    assert otto.post(f"{path}/keys/{current}/retire").status_code == 409
    assert otto.post(f"{path}/keys/{current}/activate").status_code == 409
    assert otto.post(f"{path}/keys/{signature}/activate").status_code == 422
    assert slug(otto.post(f"{path}/keys/gibt-es-nicht/activate")) == "key-not-found"


def test_a_key_that_ran_out_meanwhile_is_not_activated(office, keys):
    otto, path = office.as_("otto"), of_district(office)
    otto.post(f"{path}/keys", json=keys["encryption"])
    change = f"{path}/keys/{keys['encryption']['kid']}/activate"
    assert otto.post(change).status_code == 202
    office.stage.clock.pass_(days=31)
    late = office.as_("anton").post(change)
    assert (late.status_code, slug(late)) == (400, "key-refused")


def test_a_weak_key_is_not_added(office, keys):
    weak = {**keys["encryption"], "n": keys["encryption"]["n"][:200]}
    answer = office.as_("otto").post(f"{of_district(office)}/keys", json=weak)
    assert (answer.status_code, slug(answer)) == (400, "key-refused")


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-Match": '"1-draft"'}], ids=["none", "any", "tables"])
def test_a_change_names_the_state_that_it_was_made_on(office, headers):
    otto, path = office.as_("otto"), of_district(office)
    answer = otto.call("PATCH", path, json={"name": "Anders"}, headers=headers)
    assert (answer.status_code, slug(answer)) == (400, "schema-violation")
    assert otto.get(path).json()["name"] != "Anders"


def test_a_change_made_on_an_older_state_is_refused_and_changes_nothing(office):
    otto, olga, path = office.as_("otto"), office.as_("olga"), of_district(office)
    seen = otto.tag(path)
    first = olga.change("PATCH", path, seen, json={"contact": {"legalName": "Kreis", "email": "neu@kreis.example"}})
    late = otto.change("PATCH", path, seen, json={"contact": {"legalName": "Kreis", "email": "alt@kreis.example"}})
    assert (first.status_code, late.status_code, slug(late)) == (200, 409, "overtaken")
    assert otto.get(path).json()["contact"]["email"] == "neu@kreis.example"
    assert otto.change("PATCH", path, first.headers["ETag"], json={"name": "Kreis"}).status_code == 200


def test_a_change_of_keys_is_a_change_too(office, keys):
    otto, anton, path = office.as_("otto"), office.as_("anton"), of_district(office)
    otto.post(f"{path}/keys", json=keys["encryption"])
    seen = otto.tag(path)
    for person in (otto, anton):
        person.post(f"{path}/keys/{keys['encryption']['kid']}/activate")
    assert slug(otto.change("PATCH", path, seen, json={"name": "Kreis"})) == "overtaken"
    assert otto.get(path).json()["encryptionKid"] == keys["encryption"]["kid"]


# --- the way it goes


def test_a_destination_is_created_given_an_adapter_and_activated(office, keys):
    otto = office.as_("otto")
    made = otto.post("/destinations", json=wish(office, keys))
    assert made.status_code == 201, made.text
    assert (made.json()["status"], made.json()["adapter"]) == ("created", "mailbox")
    path = made.headers["Location"].removeprefix("/hub/v1")
    drop = office.stage.data / "secrets" / "drop"
    changed = otto.amend(path, adapter={"name": "folder", "options": {"path": str(drop)}})
    assert (changed.status_code, changed.json()["adapter"]) == (202, "mailbox"), changed.text
    assert changed.json()["adapterChange"]["options"] == {"path": str(drop), "envelope": 2}, "the newest, for a new way"
    approved = office.as_("anton").amend(path, adapter={"name": "folder", "options": {"path": str(drop)}})
    assert (approved.status_code, approved.json()["adapter"]) == (200, "folder"), approved.text
    alone = otto.amend(path, status="active")
    assert (alone.status_code, slug(alone)) == (403, "second-person")
    assert office.as_("olga").amend(path, status="active").json()["status"] == "active"
    shown = otto.get(path).json()
    assert shown["adapterOptions"] == {"path": str(drop), "envelope": 2}
    assert shown["services"][0]["identifier"] == BAUEN
    assert [(key["use"], key["current"]) for key in shown["keys"]] == [("encryption", True), ("signature", False)]
    actions = [action for action, actor, _ in office.audited() if actor == "otto"]
    assert actions[-2:] == ["destination.create", "adapter.propose"]
    (change,) = shown["adapterChanges"]
    assert (change["state"], change["proposedBy"], change["settledBy"]) == ("approved", "otto", "anton")


def test_one_service_is_offered_changed_and_dropped_without_the_others(office, keys):
    otto = office.as_("otto")
    path = otto.post("/destinations", json=wish(office, keys)).headers["Location"].removeprefix("/hub/v1")

    def put(service: str, **body: Any) -> Any:
        return otto.change("PUT", f"{path}/services/{service}", otto.tag(path), json=body)

    assert put(ANMELDEN, regions=["DE06439"]).status_code == 200
    assert put(BAUEN, regions=["DE06"]).status_code == 200
    shown = {each["identifier"]: each for each in otto.get(path).json()["services"]}
    assert shown[BAUEN] == {
        "identifier": BAUEN,
        "regions": ["DE06"],
        "schemas": [{"schemaUri": SCHEMA, "mimeType": "application/xml"}],
    }
    assert shown[ANMELDEN]["regions"] == ["DE06439"]
    stale = otto.tag(path)
    assert otto.change("DELETE", f"{path}/services/{ANMELDEN}", stale).status_code == 200
    assert [each["identifier"] for each in otto.get(path).json()["services"]] == [BAUEN]
    late = otto.change("DELETE", f"{path}/services/{BAUEN}", stale)
    assert (late.status_code, slug(late)) == (409, "overtaken")
    gone = otto.change("DELETE", f"{path}/services/{ANMELDEN}", otto.tag(path))
    assert (gone.status_code, slug(gone)) == (404, "service-not-offered")
    for service, body, word in (
        (BAUEN.rpartition(":")[2], {}, "service-without-urn"),
        (BAUEN, {"regions": ["06439"]}, "region-without-de"),
        (BAUEN, {"schemas": [{"schemaUri": "urn:nowhere"}]}, "schema-unknown"),
        (BAUEN, {"schemas": [{"schemaUri": SCHEMA, "mimeType": "application/json"}]}, "schema-media-type"),
    ):
        refused = put(service, **body)
        assert (refused.status_code, slug(refused)) == (422, word), refused.text


def test_an_offer_over_the_api_is_judged_when_it_is_created_and_changed(office, keys):
    otto, path = office.as_("otto"), of_district(office)
    unknown = wish(office, keys)
    unknown["services"][0]["schemas"][0]["schemaUri"] = "urn:nowhere"
    made = otto.post("/destinations", json=unknown)
    assert (made.status_code, slug(made)) == (422, "schema-unknown")
    kept = otto.get(path).json()["services"]
    changed = otto.amend(path, services=[*kept, {**kept[0], "identifier": ANMELDEN, "regions": ["06439"]}])
    assert (changed.status_code, slug(changed)) == (422, "region-without-de")
    unsaid = {"identifier": BAUEN, "regions": ["DE06439"], "schemas": [{"schemaUri": SCHEMA}]}
    assert otto.amend(path, services=[unsaid]).status_code == 200
    assert otto.get(path).json()["services"][0]["schemas"] == [{"schemaUri": SCHEMA, "mimeType": "application/xml"}]
    assert office.as_("viktor").amend(path, services=[{**unsaid, "regions": ["06"]}]).status_code == 403
    outside = office.as_("walter").amend(path, services=kept)
    assert outside.status_code in {403, 404}


def test_destinations_created_over_the_destination_api_default_to_the_mailbox(office, keys, served):
    body = {
        "encryptionKid": keys["encryption"]["kid"],
        "encryptionPublicKey": keys["encryption"],
        "signingPublicKey": keys["signing"],
        "metadataVersions": ["1.0.0"],
        "contactInformation": {"legalName": "Neustadt", "email": "post@neustadt.example"},
        "services": wish(office, keys)["services"],
        "adapter": {"name": "folder"},
    }
    body["services"][0]["submissionSchemas"] = body["services"][0].pop("schemas")
    headers = {"Authorization": f"Bearer {served.token('subscriber')}"}
    made = requests.post(f"{office.base}/destination-api/v1/destinations", json=body, headers=headers, timeout=30)
    assert made.status_code == 201, made.text
    shown = office.as_("otto").get(f"/destinations/{made.json()['destinationId']}").json()
    assert shown["adapter"] == "mailbox"


def test_a_second_person_activates_a_key_and_the_old_one_can_be_retired(office, keys):
    otto, olga, anton = (office.as_(name) for name in ("otto", "olga", "anton"))
    path = of_district(office)
    old, new = otto.get(path).json()["encryptionKid"], keys["encryption"]["kid"]
    assert otto.post(f"{path}/keys", json=keys["encryption"]).status_code == 201
    assert otto.post(f"{path}/keys", json=keys["encryption"]).status_code == 200
    assert otto.post(f"{path}/keys/{new}/activate").status_code == 202
    assert olga.post(f"{path}/keys/{new}/activate").status_code == 403
    done = anton.post(f"{path}/keys/{new}/activate")
    assert (done.status_code, done.json()["settledBy"]) == (200, "anton")
    assert otto.get(path).json()["encryptionKid"] == new
    assert anton.post(f"{path}/keys/{old}/retire").status_code == 403
    assert olga.post(f"{path}/keys/{old}/retire").status_code == 202
    assert otto.post(f"{path}/keys/{old}/retire").status_code == 403
    assert anton.post(f"{path}/keys/{old}/retire").json()["state"] == "approved"
    shown = {key["kid"]: key for key in otto.get(path).json()["keys"]}
    assert (shown[old]["retired"], shown[new]["current"]) == (True, True)
    assert otto.post(f"{path}/keys/{old}/activate").status_code == 409
    actions = [action for action, _, _ in office.audited() if action.startswith(("key.", "destination.key"))]
    assert actions == ["destination.key", "key.propose", "key.approve", "key.propose", "key.approve"]


def test_a_retired_key_does_not_come_back_by_its_owner(office, keys, served):
    otto, anton, path = office.as_("otto"), office.as_("anton"), of_district(office)
    new = keys["encryption"]["kid"]
    otto.post(f"{path}/keys", json=keys["encryption"])
    otto.post(f"{path}/keys/{new}/retire")
    anton.post(f"{path}/keys/{new}/retire")
    headers = {"Authorization": f"Bearer {served.token('subscriber')}"}
    where = f"{office.base}/destination-api/v1{path}"
    answer = requests.patch(where, json={"encryptionKid": new}, headers=headers, timeout=30)
    assert answer.status_code == 400, answer.text
    assert otto.get(path).json()["encryptionKid"] != new


def test_an_open_circuit_is_shown_and_closed(office):
    otto, path = office.as_("otto"), of_district(office)
    destination_id, now = office.stage.destination_id("Rheingau"), office.stage.clock()
    broken = Circuit(destination_id=destination_id, failures=7, open_until=now.replace(year=now.year + 1))
    office.stage.hub.store.circuits.change(destination_id, lambda _: broken, now)
    assert otto.get(path).json()["circuit"]["open"] is True
    closed = otto.post(f"{path}/circuit/close", json={"text": "läuft wieder"})
    assert closed.json() == {"open": False, "failures": 0, "openUntil": None}
    assert ("circuit.close", "otto", f"destination:{destination_id}") in office.audited()
