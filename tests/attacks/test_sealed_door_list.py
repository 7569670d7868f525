"""The attacks that every sealed door must survive, one name each.

Those of the list that stand with their kind in ``test_sealed_door_attacks.py``, ``test_jose_attacks.py`` and
``test_path_tricks_in_ids.py`` are named below, so that none is lost.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sealed_door import EVENTS, JOSE, SERVICE, Door, Sent, post, put_jose, shared_door  # noqa: F401  # a fixture
from sealed_replies import reply_to

from hub.crypto import base64url
from hub.crypto.jwk import make_rsa_pair
from hub.crypto.keys import SigningKey, read_signing_key
from hub.errors import Invalid
from hub.identity.clients import new_client
from hub.model.parties import ClientKind

ELSEWHERE = {
    "foreign destination": "test_only_the_owner_changes_a_destination",
    "alg none": "test_alg_none_is_refused",
    "RS256": "test_rs256_and_a_public_key_as_hmac_secret_are_refused",
    "zip bomb at the door": "test_a_zip_bomb_is_ciphertext_to_the_hub_and_never_inflated",
    "zip bomb at the receiver": "test_a_zip_bomb_stops_at_the_cap",
    "path tricks in ids": "test_tricks_in_ids_are_refused",
    "path tricks in names of blobs": "test_a_blob_name_is_never_a_path",
}


@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_the_list_names_elsewhere_is_there(name: str):
    files = Path(__file__).parent.glob("test_*.py")
    assert any(re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE) for file in files)


def refused(door: Door, sent: Sent, token: str, *statuses: int, version: str = "v2") -> None:
    """An event must be refused and the log must not have grown."""
    before = door.log(sent)
    answer = door.post_event(sent, token, version)
    assert answer.status in statuses, answer.body
    assert door.refused(answer, answer.status)
    assert door.log(sent) == before


def forged_header(jwe: str, **more: Any) -> str:
    """The JWE with another protected header."""
    _, rest = jwe.split(".", 1)
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "key-id-0001", "cty": "application/json", **more}
    return f"{base64url.encode(json.dumps(header).encode()).decode()}.{rest}"


def refused_at_every_place(door: Door, bad: str) -> None:
    """A JWE must be refused as attachment, metadata and data, in both versions, and nothing may be stored."""
    good, attachment_id = door.seal(b"{}"), str(uuid4())
    for version in ("v1", "v2"):
        announced = door.announce(attachment_id, version=version)["submissionId"]
        path = f"/{version}/submissions/{announced}/attachments/{attachment_id}"
        answers = [put_jose(door.sender, path, bad)]
        answers += [door.submit(announced, *pair, version) for pair in ((bad, good), (good, bad))]
        assert {answer.status for answer in answers} <= {413, 422}
        assert all(door.refused(answer, answer.status) for answer in answers)
        assert door.hub.store.submissions.message(UUID(announced)).uploaded == {}


# ------------------------------------------------------------------------------------------------- what is not yours


def test_a_foreign_destination_is_neither_listed_nor_collected_from(door: Door):
    sent = door.send(b"scan")
    stranger = door.another(ClientKind.SUBSCRIBER)
    attachment_id = next(iter(sent.attachments))
    path = f"/v2/submissions/{sent.submission_id}"
    assert door.refused(stranger.get(f"/v2/submissions?destinationId={door.destination_id}"), 403, "forbidden")
    assert door.refused(stranger.get(path), 403, "forbidden")
    assert door.refused(stranger.get(f"{path}/attachments/{attachment_id}"), 403, "forbidden")
    assert stranger.ask("HEAD", f"{path}/attachments/{attachment_id}").status == 403
    assert sent.submission_id not in door.listed(stranger)
    assert door.hub.store.audit.reads(UUID(sent.submission_id)).total == 0


def test_a_foreign_case_is_neither_read_nor_written(door: Door):
    sent = door.send()
    before = door.log(sent)
    reply = reply_to(door, sent, door.subscriber)
    for kind in (ClientKind.SENDER, ClientKind.SUBSCRIBER):
        stranger = door.another(kind)
        assert door.refused(stranger.get(f"/v2/cases/{sent.case_id}"), 403, "forbidden")
        assert door.refused(stranger.get(f"/v1/cases/{sent.case_id}/events"), 403, "forbidden")
        assert door.refused(post(stranger, "/v2/replies", {"caseId": sent.case_id}), 403, "forbidden")
        assert door.refused(stranger.get(f"/v2/replies/{reply.submission_id}"), 403)
        listed = stranger.get("/v2/cases?limit=500")
        assert listed.json.get("cases") == [], listed
    joining = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": SERVICE},
        "caseId": sent.case_id,
    }
    assert door.refused(post(door.another(ClientKind.SENDER), "/v2/submissions", joining), 403)
    assert door.log(sent)[: len(before)] == before


def test_an_event_of_one_case_posted_into_another_is_refused(door: Door):
    sent, other = door.send(), door.send()
    token = door.token("accept-submission", sent)
    before = door.log(other)
    answer = door.subscriber.ask(
        "POST", f"/v2/cases/{other.case_id}/events", ("Content-Type", JOSE), body=[token.encode()]
    )
    assert door.refused(answer, 422, "invalid-event")
    assert door.log(other) == before


def test_a_bound_client_gets_no_token_that_reaches_further(door: Door):
    held = ("send:region:DE06439+send:service:urn:de:fim:leika:leistung:99012008001000",)
    client, secret = new_client(ClientKind.SENDER, "Bound", now=door.clock())
    door.hub.store.parties.add_client(replace(client, scopes=held))
    for wider in (
        "send:region:DE",
        "send:region:DE06",
        "send:region:DE06439",
        "send:region:DE09+send:service:urn:de:fim:leika:leistung:99012008001000",
        "https://schema.fitko.de/fit-connect/oauth/scopes/send-submissions",
        "https://schema.fitko.de/fit-connect/oauth/scopes/manage-destinations",
        "create:destination",
        "root",
    ):
        with pytest.raises(Invalid):
            door.hub.clients.issue(client.client_id, secret, wider, now=door.clock())
    narrower = held[0].replace("DE06439", "DE064390015")
    assert door.hub.clients.issue(client.client_id, secret, narrower, now=door.clock()).scopes == (narrower,)


def test_leaving_the_region_out_does_not_lead_past_a_bound_token(door: Door):
    cast = door.stage.cast["sender"]
    south = door.with_credentials(cast["client_id"], cast["client_secret"], "send:region:DE09")
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": SERVICE},
    }
    for version in ("v1", "v2"):
        assert door.refused(post(south, f"/{version}/submissions", body), 403, "forbidden")
    query = f"service={SERVICE}&ars=064140000000"
    plain = south.ask("POST", f"/hub/v1/applications?{query}", ("Content-Type", "application/xml"), body=[b"<a/>"])
    assert plain.status == 403


# -------------------------------------------------------------------------------------------------- forged events


@pytest.fixture(scope="module")
def stranger_key() -> SigningKey:
    return read_signing_key(make_rsa_pair("signing", kid_prefix="stranger-")[1], written_by_us=True)


def test_the_wrong_key_under_the_right_name_signs_no_event(door: Door, stranger_key: SigningKey):
    sent = door.send()
    named = replace(stranger_key, kid=door.signing_key.kid)
    refused(door, sent, door.sign(door.claims("accept-submission", sent), named), 422)


def test_the_hubs_own_key_signs_no_event_of_a_receiver(door: Door):
    sent = door.send()
    refused(door, sent, door.sign(door.claims("accept-submission", sent), door.hub.keys.signing), 422)


def test_a_token_without_a_kid_is_refused(door: Door):
    sent = door.send()
    protected, payload, signature = door.token("accept-submission", sent).split(".")
    header = json.loads(base64url.decode(protected.encode(), part="header"))
    del header["kid"]
    bare = base64url.encode(json.dumps(header).encode()).decode()
    refused(door, sent, f"{bare}.{payload}.{signature}", 422)


def test_two_events_in_one_token_are_refused(door: Door):
    sent = door.send()
    claims = door.claims("accept-submission", sent)
    claims["events"][f"{EVENTS}reject-submission"] = {"problems": []}
    refused(door, sent, door.sign(claims), 422)


def test_a_replayed_jti_is_refused_in_its_case_and_in_any_other(door: Door):
    first, second = door.send(), door.send()
    jti = str(uuid4())
    token = door.token("forward-submission", first, {}, jti=jti)
    assert door.post_event(first, token, "v1").status == 204
    refused(door, first, token, 409, version="v1")
    refused(door, first, door.token("accept-submission", first, jti=jti), 409)
    refused(door, second, door.token("accept-submission", second, jti=jti), 409)


@pytest.mark.parametrize("size", [5_000, 100_000, 900_000])
def test_huge_segments_of_a_token_are_refused_before_they_are_read(door: Door, size: int):
    sent = door.send()
    protected, payload, signature = door.token("accept-submission", sent).split(".")
    refused(door, sent, f"{'A' * size}.{payload}.{signature}", 413, 422)
    refused(door, sent, f"{protected}.{payload}.{'A' * size}", 413, 422)


# --------------------------------------------------------------------------------------------------- hostile JWEs


def test_pbes2_with_a_billion_rounds_is_refused_at_once(door: Door):
    header = {"alg": "PBES2-HS512+A256KW", "p2s": "AAAAAAAAAAA", "p2c": 10**9}
    refused_at_every_place(door, forged_header(door.seal(b"{}"), **header))


def test_an_unknown_crit_is_refused(door: Door):
    refused_at_every_place(
        door, forged_header(door.seal(b"{}"), crit=["http://example.org/x"], **{"http://example.org/x": 1})
    )


def test_a_huge_header_of_a_jwe_is_refused(door: Door):
    refused_at_every_place(door, forged_header(door.seal(b"{}"), kid="k" * 60_000))
