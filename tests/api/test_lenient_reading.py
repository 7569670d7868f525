"""What real clients send beside the letter of FIT-Connect: taken where it harms nobody. Each test names its source."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from sealed_door import EVENTS, SERVICE, Door, kinds, movable_door, post, shared_door

from hub.errors import Forbidden
from hub.identity.access import require_sending
from hub.identity.clients import Caller, canonical, contains
from hub.model.parties import ClientKind
from hub.model.submission import canonical_service
from hub.resources import shipped
from hub.routing import service_urn
from hub.validation.json.absent import cleaner

__all__ = ["movable_door", "shared_door"]


def _bare(door: Door, sent, kind: str, payload=None) -> str:
    claims = door.claims(kind, sent, payload if payload is not None else {})
    del claims["$schema"]
    return door.sign(claims)


# FIT-Connect, section 9.1: "an event without payload may be sent only if $schema is left out"; FITKO's own example of an
# event and a public Java connector send accept-submission so.


@pytest.mark.parametrize("kind", ["accept-submission", "reject-submission", "forward-submission"])
def test_version_1_takes_an_event_without_schema_and_without_payload(door: Door, kind: str):
    sent = door.send(version="v1")
    token = _bare(door, sent, kind)
    assert door.post_event(sent, token, version="v1").status == 204
    assert door.log(sent)[-1] == token
    assert kinds(door.log(sent))[-1] == kind


@pytest.mark.parametrize("kind", ["accept-submission", "reject-submission"])
def test_version_2_wants_the_payload_with_or_without_schema(door: Door, kind: str):
    sent = door.send()
    before = door.log(sent)
    assert door.refused(door.post_event(sent, _bare(door, sent, kind)), 422)
    assert door.refused(door.post_event(sent, door.token(kind, sent, {})), 422)
    assert door.log(sent) == before


def test_version_1_compares_whatever_tags_are_sent(door: Door):
    sent = door.send(version="v1")
    wrong = {"authenticationTags": {**sent.tags, "data": "x" * 22}}
    empty: dict = {"authenticationTags": {}}
    for token in (
        _bare(door, sent, "accept-submission", wrong),
        _bare(door, sent, "accept-submission", empty),
        door.token("accept-submission", sent, {}),
    ):
        assert door.refused(door.post_event(sent, token, version="v1"), 422)
    assert f"{EVENTS}accept-submission" not in str(kinds(door.log(sent)))


def test_a_bare_event_is_signed_by_the_destination_all_the_same(door: Door):
    sent = door.send(version="v1")
    claims = door.claims("accept-submission", sent, {}, iss=door.hub.settings.canonical_url)
    del claims["$schema"]
    assert door.post_event(sent, door.sign(claims), version="v1").status == 403


# Clients generated from the API (Jackson, inclusion ALWAYS) write every optional member that they know, as null.


def resolved(contract: dict[str, Any], schema: Any) -> Any:
    if isinstance(schema, dict) and "$ref" in schema:
        found: Any = contract
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return resolved(contract, found)
    if isinstance(schema, dict):
        return {name: resolved(contract, inner) for name, inner in schema.items()}
    return [resolved(contract, each) for each in schema] if isinstance(schema, list) else schema


def writing() -> list[tuple[str, dict[str, Any]]]:
    """Every JSON body that FIT-Connect's operations take: (operation, resolved schema)."""
    contract = yaml.safe_load(shipped("openapi.yaml").read_text("utf-8"))
    return [
        (operation["operationId"], resolved(contract, content["schema"]))
        for path in contract["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and operation.get("operationId", "").startswith("fit_connect.")
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        if media_type.endswith("json")
    ]


@pytest.mark.parametrize(("operation", "schema"), writing(), ids=lambda value: value if isinstance(value, str) else "")
def test_an_optional_member_that_is_null_is_as_if_absent(operation: str, schema: dict[str, Any]):
    required = set(schema.get("required", ()))
    members = schema.get("properties", {})
    optional = {name for name in members if name not in required and not members[name].get("nullable")}
    kept = cleaner(schema)(dict.fromkeys(members))
    assert set(kept) == set(members) - optional


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_announcement_with_optional_nulls_is_taken(door: Door, version: str):
    name = "serviceType" if version == "v1" else "publicService"
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        name: {"identifier": SERVICE, "name": None, "description": None},
        "caseId": None,
        "callback": None,
        "region": None,
        "senderDestinationId": None,
    }
    assert post(door.sender, f"/{version}/submissions", body).status == 201


def test_a_required_member_that_is_null_stays_a_fault(door: Door):
    body = {"destinationId": None, "announcedAttachments": [], "publicService": {"identifier": SERVICE}}
    assert post(door.sender, "/v2/submissions", body).status == 400
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": None,
        "publicService": {"identifier": SERVICE},
    }
    assert post(door.sender, "/v2/submissions", body).status == 400


def test_an_empty_description_is_taken(door: Door):
    service = {"identifier": SERVICE, "name": "Bauantrag", "description": ""}
    body = {"destinationId": str(door.destination_id), "announcedAttachments": [], "publicService": service}
    assert post(door.sender, "/v2/submissions", body).status == 201


# Public FIT-Connect clients (vorgangswerk) name services urn:de:fim:leistung:KEY.


def test_both_names_of_a_service_are_one():
    assert canonical_service("urn:de:fim:leistung:99012008001000") == SERVICE == service_urn(SERVICE)
    assert service_urn("urn:de:fim:leistung:99012008001000") == SERVICE
    for other in ("urn:de:fim:leistung:1", "urn:de:fim:leistung:99012008001000x", "urn:de:other:99012008001000"):
        assert canonical_service(other) == other


def test_the_sealed_door_takes_the_other_name_and_says_it_again(door: Door):
    identifier = "urn:de:fim:leistung:99012008001000"
    sent = door.send(publicService={"identifier": identifier, "name": "Bauantrag"})
    shown = door.subscriber.get(f"/v2/submissions/{sent.submission_id}").json
    assert shown["publicService"]["identifier"] == identifier


def test_the_routing_api_takes_a_service_by_any_of_its_names(door: Door):
    key = SERVICE.rpartition(":")[2]
    for cast in door.stage.cast["destinations"]:
        if SERVICE in cast["services"]:
            answers = [
                door.anybody.get(f"/v2/routes?leikaKey={name}&ars={cast['ars']}").json
                for name in (key, SERVICE, f"urn:de:fim:leistung:{key}")
            ]
            assert [each["count"] for each in answers] == [1, 1, 1]
            assert len({each["routes"][0]["destinationId"] for each in answers}) == 1
            return
    raise AssertionError("the demo routes the service nowhere")


@pytest.mark.parametrize("held", [SERVICE, "urn:de:fim:leistung:99012008001000"])
@pytest.mark.parametrize("named", [SERVICE, "urn:de:fim:leistung:99012008001000"])
def test_a_scope_holds_for_both_names_of_its_service(held: str, named: str):
    scope, wanted = f"send:region:DE06+send:service:{held}", f"send:region:DE06+send:service:{named}"
    assert contains(scope, wanted)
    assert contains(scope, wanted.replace("DE06", "DE06439"))
    assert canonical(wanted) == f"send:region:DE06+send:service:{SERVICE}"
    caller = Caller(client_id="c", kind=ClientKind.SENDER, scopes=(scope,), expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    require_sending(caller, service=named, areas=["06439"])
    with pytest.raises(Forbidden):
        require_sending(caller, service="urn:de:fim:leistung:99012008001001", areas=["06439"])


# Older descriptions of FIT-Connect write scopes in lower case.


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("send:region:de06", "send:region:DE06"),
        ("SEND:REGION:DE", "send:region:DE"),
        (f"send:region:de+send:service:{SERVICE}", f"send:region:DE+send:service:{SERVICE}"),
        ("https://schema.fitko.de/fit-connect/oauth/scopes/Send-Submissions",) * 1
        + ("https://schema.fitko.de/fit-connect/oauth/scopes/send-submissions",),
        ("unknown:Scope", "unknown:Scope"),
    ],
)
def test_a_scope_is_understood_whatever_its_case(given: str, meant: str):
    assert canonical(given) == meant


def test_a_token_for_a_region_in_lower_case_is_issued(door: Door):
    sender = door.stage.cast["sender"]
    token = door.hub.clients.issue(sender["client_id"], sender["client_secret"], "send:region:de06", now=door.clock())
    assert token.scopes == ("send:region:DE06",)
    with pytest.raises(Exception, match="scope"):
        door.hub.clients.issue(sender["client_id"], sender["client_secret"], "nonsense", now=door.clock())
