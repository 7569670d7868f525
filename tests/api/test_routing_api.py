"""FIT-Connect's Routing API (section 13 of its wire), lines 23 and 24 of the checklist among it."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import quote

import pytest
from sealed_door import Door, patch, read, shared_door  # noqa: F401  # shared_door is a fixture
from stage import NOW

from hub.api.fit_connect.destinations import Quota
from hub.crypto import jws
from hub.crypto.keys import verification_key
from hub.fit_connect.addressing import detached_payload

PORTAL = "/portal/.well-known/jwks.json"


def areas(door: Door, *expressions: str, version: str = "v2", prefix: str = ""):
    query = "&".join(f"areaSearchexpression={quote(each)}" for each in expressions)
    return door.anybody.get(f"{prefix}/{version}/areas?{query}")


@pytest.fixture(scope="module")
def offered(door: Door) -> tuple[str, str]:
    """A LeiKa key and an ARS that the demo routes to an active destination."""
    for cast in door.stage.cast["destinations"]:
        for service in cast["services"]:
            leika = service.rpartition(":")[2]
            answer = door.anybody.get(f"/v2/routes?leikaKey={leika}&ars={cast['ars']}")
            if answer.status == 200 and answer.json["routes"]:
                return leika, cast["ars"]
    raise AssertionError("the demo routes nothing")


# ------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "query",
    [
        "leikaKey=99012008001000",
        "leikaKey=99012008001000&ars=06439&ags=06439",
        "leikaKey=99012008001000&ars=06439&areaId=06439",
        "leikaKey=123&ars=06439",
        "leikaKey=99012008001000&ars=0643",
        "leikaKey=99012008001000&ags=064390",
        "leikaKey=99012008001000&areaId=x",
        "leikaKey=99012008001000&ars=06439&limit=501",
        "leikaKey=99012008001000&ars=06439&offset=-1",
        "ars=06439",
    ],
)
def test_23_a_wrong_parameter_is_400(door: Door, query: str):
    for version in ("v1", "v2"):
        assert door.refused(door.anybody.get(f"/{version}/routes?{query}"), 400)


@pytest.mark.parametrize("expressions", [(), ("a",), ("***",), ("ab",) * 11])
def test_23_a_wrong_search_is_400(door: Door, expressions: tuple[str, ...]):
    assert areas(door, *expressions).status == 400


# ----------------------------------------------------------------------------------------------------- areas


def test_23_all_expressions_must_match_and_an_asterisk_stands_for_anything(door: Door):
    both = areas(door, "Eltville", "Rhein").json
    assert [area["name"] for area in both["areas"]] == ["Eltville am Rhein, Stadt"] or both["count"] == 1
    assert areas(door, "Eltville", "Main").json["count"] == 0
    assert areas(door, "Eltv*").json["count"] >= 1
    area = both["areas"][0]
    assert set(area) == {"id", "name", "type"}
    assert area["id"].isdigit()


def test_23_a_blank_inside_an_expression_does_not_fail(door: Door):
    answer = areas(door, "Eltville am Rhein")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["count"] == areas(door, "Eltville", "am", "Rhein").json["count"] == 1


def test_areas_are_paged(door: Door):
    first = areas(door, "*stadt*").json
    page = door.anybody.get("/routing-api/v1/areas?areaSearchexpression=*stadt*&offset=1&limit=2").json
    assert (page["count"], page["offset"], page["totalCount"]) == (2, 1, first["totalCount"])
    assert page["areas"] == first["areas"][1:3]


def test_every_answer_tells_the_quota(door: Door):
    headers = areas(door, "Eltville").headers
    assert int(headers["ratelimit-remaining"]) < int(headers["ratelimit-limit"])
    assert 0 < int(headers["ratelimit-reset"]) <= 60


def test_a_spent_quota_is_429_until_the_window_ends():
    quota = Quota(limit=2, window=timedelta(minutes=1))
    assert [quota.take("a", NOW).spent for _ in range(3)] == [False, False, True]
    assert not quota.take("b", NOW).spent
    assert quota.take("a", NOW).headers()["Retry-After"] == "60"
    assert not quota.take("a", NOW + timedelta(minutes=1)).spent


def test_processes_share_a_callers_quota_and_commit_seldom(store):
    asked = []

    class Leases:
        """As in the store, but waited for, so that the order is always the same."""

        def lease(self, counter, **named):
            asked.append(counter)
            future = store.logins.lease(counter, **named)
            future.exception(30)
            return future

    processes = [Quota(limit=1000, leases=Leases()) for _ in range(3)]
    taken = 0
    while allowed := sum(not quota.take("a", NOW).spent for quota in processes):
        taken += allowed
    assert 1000 - 20 <= taken <= 1000  # What one took and another cannot use is a block at most.
    assert len(asked) < taken / 15
    assert all(counter != "a" for counter in asked)
    # Somebody who asks a few times costs no commit, a new window begins anew, and another caller is another row.
    asked.clear()
    assert [quota.take("b", NOW).remaining for quota in processes] == [999] * 3
    later = NOW + timedelta(minutes=1)
    assert [quota.take("a", later).remaining for quota in processes] == [999] * 3
    assert asked == []


def test_a_spent_quota_answers_with_an_empty_object(own_quota_door: Door):
    answers = [areas(own_quota_door, "Eltville") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[1].json == {}


@pytest.fixture
def own_quota_door(stage) -> Door:
    return Door(stage, quota=Quota(limit=1))


# ---------------------------------------------------------------------------------------------------- routes


def test_nobody_responsible_is_an_empty_list(door: Door):
    for query in (
        "leikaKey=99999999999999&ars=06439",
        "leikaKey=99012008001000&ars=09162",
        "leikaKey=99012008001000&ags=99999999",
    ):
        answer = door.anybody.get(f"/routing-api/v2/routes?{query}")
        assert (answer.status, answer.json) == (200, {"count": 0, "offset": 0, "totalCount": 0, "routes": []})


def test_ars_and_area_id_find_the_same_destination(door: Door, offered: tuple[str, str]):
    leika, ars = offered
    found = [
        door.anybody.get(f"/v2/routes?leikaKey={leika}&{name}={ars}").json["routes"][0]["destinationId"]
        for name in ("ars", "areaId")
    ]
    assert found[0] == found[1]


def test_24_the_signature_verifies_and_says_what_was_asked(door: Door, offered: tuple[str, str]):
    leika, ars = offered
    route = door.anybody.get(f"/routing-api/v2/routes?leikaKey={leika}&ars={ars}").json["routes"][0]
    assert {"destinationParameters", "destinationParametersSignature"}.isdisjoint(route)
    header, claims = read(route["destinationSignature"])
    keys = {jwk["kid"]: jwk for jwk in door.anybody.get(PORTAL).json["keys"]}
    jws.verify_ps512(route["destinationSignature"], verification_key(keys[header["kid"]]), typ="jwt")
    base_url = door.hub.settings.canonical_url
    assert (claims["submissionHost"], claims["iss"]) == (base_url.split("/")[2].split(":")[0], f"{base_url}/portal")
    assert claims["destinationId"] == route["destinationId"]
    assert set(claims) == {"submissionHost", "iss", "services", "destinationId", "iat", "jti"}
    covering = [
        service
        for service in claims["services"]
        if f"urn:de:fim:leika:leistung:{leika}" in service["leistungIDs"]
        and any(ars.startswith(area.rpartition(":")[2]) for area in service["gebietIDs"])
    ]
    assert covering


def test_24_the_signature_stays_the_same_until_the_destination_changes(door: Door, offered: tuple[str, str]):
    leika, ars = offered

    def route(version: str = "v2") -> dict[str, str]:
        found: dict[str, str] = door.anybody.get(f"/{version}/routes?leikaKey={leika}&ars={ars}").json["routes"][0]
        return found

    before = route()
    assert route()["destinationSignature"] == before["destinationSignature"] == route("v1")["destinationSignature"]
    target = f"/v2/destinations/{before['destinationId']}"
    services = door.anybody.get(target).json["publicServices"]
    more = [*services, {**services[0], "identifier": "urn:de:fim:leika:leistung:99000000000001"}]
    assert patch(door.subscriber, target, {"publicServices": more}).status == 200
    assert route()["destinationSignature"] != before["destinationSignature"]


def test_version_1_adds_signed_technical_parameters(door: Door, offered: tuple[str, str]):
    leika, ars = offered
    route = door.anybody.get(f"/routing-api/v1/routes?leikaKey={leika}&ars={ars}").json["routes"][0]
    parameters = route["destinationParameters"]
    assert {"submissionUrl", "encryptionKid", "metadataVersions", "publicKeys", "status", "submissionSchemas"} <= set(
        parameters
    )
    assert parameters["publicKeys"]["keys"][0]["kid"] == parameters["encryptionKid"]
    protected, nothing, signature = route["destinationParametersSignature"].split(".")
    assert nothing == ""
    token = f"{protected}.{detached_payload(parameters)}.{signature}"
    keys = {jwk["kid"]: jwk for jwk in door.anybody.get("/.well-known/jwks.json").json["keys"]}
    said = jws.verify_ps512(token, verification_key(keys[read(token)[0]["kid"]]), typ="jwt")
    assert json.loads(said) == parameters


def test_an_inactive_destination_is_not_routed_to(door: Door, offered: tuple[str, str]):
    leika, ars = offered
    destination_id = door.anybody.get(f"/v2/routes?leikaKey={leika}&ars={ars}").json["routes"][0]["destinationId"]
    target = f"/v2/destinations/{destination_id}"
    assert patch(door.subscriber, target, {"status": "inactive"}).status == 200
    assert door.anybody.get(f"/v2/routes?leikaKey={leika}&ars={ars}").json["routes"] == []
    assert patch(door.subscriber, target, {"status": "active"}).status == 200
