"""Attacks on the sealed door: forged events, hostile JWEs, tricks in ids and bodies, races, foreign things."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from sealed_door import EVENTS, JOSE, SERVICE, Door, Sent, kinds, patch, post, put, put_jose, shared_door  # noqa: F401  # shared_door is a fixture

from hub.crypto import base64url
from hub.crypto.jwk import public_rsa_key
from hub.errors import TooLarge
from hub.fit_connect.messages import STRICT, ExchangeLimits, SendingTools
from hub.fit_connect.submissions import Submitting, Uploading
from hub.model import ClientKind, Subject


def b64(document: Any) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64url.encode(raw).decode()


def unchanged(door: Door, sent: Sent, token: str | bytes, statuses: set[int]) -> None:
    """Post something that must be refused; the log must not have grown."""
    before = door.log(sent)
    body = token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass")
    answer = door.subscriber.ask("POST", f"/v1/cases/{sent.case_id}/events", ("Content-Type", JOSE), body=[body])
    assert answer.status in statuses, answer.body
    assert door.refused(answer, answer.status)
    assert door.log(sent) == before


# -------------------------------------------------------------------------------------------------- forged events


def header(door: Door, **more: Any) -> dict[str, Any]:
    return {"alg": "PS512", "typ": "secevent+jwt", "kid": door.signing_key.kid, **more}


def signed(door: Door, head: Any, claims: Any) -> str:
    """Sign whatever stands in head and claims with the destination's real key, as PS512."""
    content = f"{b64(head)}.{b64(claims)}".encode()
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
    return f"{content.decode()}.{b64(door.signing_key.private_key.sign(content, pss, hashes.SHA512()))}"


def test_alg_none_is_refused(door: Door):
    sent = door.send()
    claims = door.claims("accept-submission", sent)
    unchanged(door, sent, f"{b64(header(door, alg='none'))}.{b64(claims)}.", {422})
    unchanged(door, sent, f"{b64(header(door, alg='none'))}.{b64(claims)}.AAAA", {422})


def test_rs256_and_a_public_key_as_hmac_secret_are_refused(door: Door):
    sent = door.send()
    claims = door.claims("accept-submission", sent)
    for alg in ("RS256", "RS512", "PS256", "EdDSA"):
        unchanged(door, sent, signed(door, header(door, alg=alg), claims), {422})
    jwk_ = door.hub.store.parties.key(door.destination_id, door.signing_key.kid)
    pem = public_rsa_key(jwk_).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    content = f"{b64(header(door, alg='HS512'))}.{b64(claims)}"
    forged = hmac.new(pem, content.encode(), hashlib.sha512).digest()
    unchanged(door, sent, f"{content}.{b64(forged)}", {422})


def test_pkcs1_and_short_salts_under_the_name_of_ps512_are_refused(door: Door):
    sent = door.send()
    content = f"{b64(header(door))}.{b64(door.claims('accept-submission', sent))}"
    key = door.signing_key.private_key
    for scheme in (padding.PKCS1v15(), padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=32)):
        unchanged(door, sent, f"{content}.{b64(key.sign(content.encode(), scheme, hashes.SHA512()))}", {422})


@pytest.mark.parametrize(
    "more",
    [
        {"kid": None},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": {"kty": "RSA"}},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
        {"typ": "JWT"},
        {"typ": None},
        {"kid": "k" * 5000},
    ],
)
def test_a_header_that_chooses_keys_or_rules_is_refused(door: Door, more: dict[str, Any]):
    sent = door.send()
    head = {name: value for name, value in header(door, **more).items() if value is not None}
    unchanged(door, sent, signed(door, head, door.claims("accept-submission", sent)), {413, 422})


def test_the_encryption_key_signs_no_event(door: Door):
    sent = door.send()
    head = header(door, kid=door.destination.encryption_kid)
    unchanged(door, sent, signed(door, head, door.claims("accept-submission", sent)), {422})


def test_a_key_of_another_destination_signs_no_event(door: Door):
    """The other destination has the very key; only its id is another."""
    sent = door.send()
    other = door.give_destination(door.stage.cast["subscriber"]["client_id"])
    unchanged(door, sent, door.token("accept-submission", sent, iss=str(other.destination_id)), {403})


def test_names_that_stand_twice_are_refused(door: Door):
    sent = door.send()
    claims = json.dumps(door.claims("accept-submission", sent))
    doubled = claims[:-1] + f', "iss": "{uuid4()}"}}'
    unchanged(door, sent, signed(door, header(door), doubled.encode()), {400})
    doubled_header = json.dumps(header(door))[:-1] + ', "alg": "none"}'
    unchanged(door, sent, signed(door, doubled_header.encode(), claims.encode()), {422})


@pytest.mark.parametrize(
    "claims",
    [
        b"[" * 100_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"iat": ' + b"9" * 10_000 + b"}",
        b'{"jti": "\\ud800"}',
        b"\xff\xfe{}",
        b"null",
        b"[]",
        b'"text"',
        b'{"iat": NaN}',
        b"{}",
    ],
)
def test_hostile_json_in_a_token_is_refused(door: Door, claims: bytes):
    sent = door.send()
    unchanged(door, sent, signed(door, header(door), claims), {400, 422})


@pytest.mark.parametrize(
    "body",
    [b"", b".", b"..", b"a.b", b"a.b.c.d", b"\x00", b'"a.b.c"', "ä.ö.ü".encode(), b"a" * 900_000, b"." * 10_000],
)
def test_what_is_no_token_is_refused(door: Door, body: bytes):
    unchanged(door, door.send(), body, {400, 413, 415, 422})


def test_a_token_with_other_members_in_iat_or_sub_is_refused(door: Door):
    sent = door.send()
    for claims in (
        {"iat": True},
        {"iat": "1800000000"},
        {"iat": 10**30},
        {"iat": -1},
        {"sub": sent.submission_id},
        {"sub": f"reply:{sent.submission_id}"},
        {"sub": ["submission"]},
        {"txn": f"submission:{sent.case_id}"},
        {"txn": None},
        {"jti": "not-a-uuid"},
        {"jti": f"{{{uuid4()}}}"},
        {"iss": 7},
        {"iss": f"urn:uuid:{door.destination_id}"},
        {"events": [f"{EVENTS}accept-submission"]},
        {"events": {f"{EVENTS}accept-submission/../reject-submission": {}}},
    ):
        document = door.claims("accept-submission", sent, **claims)
        unchanged(door, sent, signed(door, header(door), document), {400, 403, 422})


def test_an_events_huge_payload_is_refused_and_a_strange_one_kept_whole(door: Door):
    sent = door.send()
    huge = {"problems": [{"type": "x"}] * 501}
    unchanged(door, sent, door.token("reject-submission", sent, huge), {422})
    strange = {"problems": [{"type": "urn:x", "detail": "\u0000<script>&amp;\U0001f4a9", "n": 1e300}]}
    token = door.token("reject-submission", sent, strange)
    assert door.post_event(sent, token).status == 204
    assert door.log(sent)[-1] == token
    assert door.hub.notary.verify([UUID(sent.case_id)]).findings == ()


# --------------------------------------------------------------------------------------------------- hostile JWEs


def forge(door: Door, protected: dict[str, Any], content: bytes = b"{}") -> str:
    """Make a JWE with a header that honest senders never write; parts are of the right sizes."""
    good = door.seal(content).split(".")
    return ".".join([b64(protected), *good[1:]])


GOOD = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "key-id-0001", "cty": "application/json"}


@pytest.mark.parametrize(
    "more",
    [
        {"alg": "none"},
        {"alg": "dir"},
        {"alg": "RSA-OAEP"},
        {"alg": "RSA1_5"},
        {"alg": "PBES2-HS512+A256KW", "p2s": "AAAA", "p2c": 10**9},
        {"alg": "ECDH-ES", "epk": {}},
        {"enc": "A128CBC-HS256"},
        {"crit": ["x"], "x": 1},
        {"jku": "https://evil.example"},
        {"zip": "GZIP"},
        {"cty": "a" * 300},
        {"kid": "\u0000"},
        {"junk": "x" * 5000},
    ],
)
def test_a_jwe_outside_the_profile_is_refused_in_both_versions(door: Door, more: dict[str, Any]):
    bad, good = forge(door, GOOD | more), door.seal(b"{}")
    attachment_id = str(uuid4())
    for version in ("v1", "v2"):
        announced = door.announce(attachment_id, version=version)["submissionId"]
        assert door.upload(announced, attachment_id, bad, version).status in {413, 422}
        for metadata, data in ((bad, good), (good, bad)):
            assert door.submit(announced, metadata, data, version).status in {413, 422}
        assert door.hub.store.submissions.message(UUID(announced)).uploaded == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda jwe_: jwe_ + "\n",
        lambda jwe_: jwe_ + ".",
        lambda jwe_: jwe_ + ".AAAA",
        lambda jwe_: f'"{jwe_}"',
        lambda jwe_: "\ufeff" + jwe_,
        lambda jwe_: jwe_[:-1],
        lambda jwe_: jwe_[:-4] + "====",
        lambda jwe_: jwe_.rpartition(".")[0],
        lambda jwe_: ".".join([*jwe_.split(".")[:2], "AAAA", *jwe_.split(".")[3:]]),
        lambda jwe_: ".".join([jwe_.split(".")[0], "AAAA", *jwe_.split(".")[2:]]),
        lambda jwe_: "." * 10_000,
        lambda jwe_: "A" * 100_000,
        lambda jwe_: "",
    ],
)
def test_a_broken_jwe_is_refused_and_nothing_is_stored(door: Door, spoil: Any):
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    path = f"/v2/submissions/{announced}/attachments/{attachment_id}"
    assert put_jose(door.sender, path, spoil(door.seal(b"x" * 100_000))).status in {400, 413, 415, 422}
    assert door.hub.store.submissions.message(UUID(announced)).uploaded == {}


def test_a_zip_bomb_is_ciphertext_to_the_hub_and_never_inflated(door: Door):
    """Version 1 must take compressed contents; the hub stores what came, however large it would be inside."""
    public = {name: door.sealing_key.jwk[name] for name in ("kty", "n", "e")}
    token = JWE(b"0" * 50_000_000, protected=GOOD | {"zip": "DEF"})
    token.add_recipient(JWK(**public))
    bomb = token.serialize(compact=True)
    assert len(bomb) < len(zlib.compress(b"0" * 50_000_000)) * 2
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id, version="v1")["submissionId"]
    assert door.upload(announced, attachment_id, bomb, "v1").status == 204
    assert door.hub.store.submissions.message(UUID(announced)).uploaded[UUID(attachment_id)].size == len(bomb)
    second = door.announce(attachment_id)["submissionId"]
    assert door.refused(door.upload(second, attachment_id, bomb), 422)


def test_an_upload_that_breaks_off_leaves_no_blob(door: Door, tmp_path_factory: pytest.TempPathFactory):
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    path = f"/v2/submissions/{announced}/attachments/{attachment_id}"
    jwe_ = door.seal(b"x" * 2_000_000).encode()
    headers = [("Content-Type", JOSE), ("Content-Length", str(len(jwe_)))]
    before = blobs(door)
    answer = door.sender.ask("PUT", path, *headers, body=[jwe_[:1_500_000], b"!"])
    assert answer.status in {400, 422}
    assert blobs(door) == before


def blobs(door: Door) -> set[str]:
    door.hub.blobs.settle()  # What was discarded is gone then.
    return {path.name for path in (door.stage.data / "blobs").rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------ too many, too large


def test_more_than_100_attachments_are_413(door: Door):
    def announce(count: int) -> int:
        body = {
            "destinationId": str(door.destination_id),
            "announcedAttachments": [str(uuid4()) for _ in range(count)],
            "publicService": {"identifier": SERVICE},
        }
        return post(door.sender, "/v2/submissions", body).status

    assert (announce(100), announce(101)) == (201, 413)


def test_all_parts_together_have_a_limit_that_parallel_uploads_cannot_dodge(door: Door):
    ids = [str(uuid4()) for _ in range(3)]
    announced = UUID(door.announce(*ids)["submissionId"])
    jwe_ = door.seal(b"x" * 1000).encode()
    tools = SendingTools(door.hub, limits=ExchangeLimits(total=2 * len(jwe_) + 100))

    def begin(attachment_id: str) -> Any:
        return Uploading(tools).begin(
            Subject.SUBMISSION,
            announced,
            UUID(attachment_id),
            declared=None,
            caller=door.sending_caller,
            profile=STRICT,
        )

    uploads = [begin(attachment_id) for attachment_id in ids]
    for upload in uploads:
        upload.write(jwe_)
        upload.finish()
    with pytest.raises(TooLarge):
        Submitting(tools).submit(
            Subject.SUBMISSION,
            announced,
            metadata=jwe_.decode(),
            data=jwe_.decode(),
            caller=door.sending_caller,
            profile=STRICT,
            now=door.clock(),
        ).result(5)
    with pytest.raises(TooLarge):
        begin(ids[0]).write(jwe_)


# -------------------------------------------------------------------------------------------------- tricks in ids


@pytest.mark.parametrize(
    "identifier",
    ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "urn:uuid:{id}", "{id}%0a", "{id}x", "*", "' OR 1=1"],
)
def test_tricks_in_ids_are_refused(door: Door, identifier: str):
    sent = door.send(b"x")
    trick = identifier.replace("{id}", sent.submission_id).replace(" ", "%20").replace("'", "%27")
    attachment_id = next(iter(sent.attachments))
    for path in (
        f"/v2/submissions/{trick}",
        f"/v2/submissions/{trick}/attachments/{attachment_id}",
        f"/v2/submissions/{sent.submission_id}/attachments/{trick}",
        f"/v1/cases/{trick}/events",
        f"/v1/destinations/{trick}/keys/{trick}",
    ):
        assert door.subscriber.get(path).status in {400, 404, 405}


def test_braces_around_an_id_are_no_id(door: Door):
    sent = door.send()
    assert door.subscriber.get(f"/v2/submissions/%7B{sent.submission_id}%7D").status == 400


# ------------------------------------------------------------------------------------------------------- races


def test_of_two_answers_at_once_one_counts(door: Door):
    sent = door.send()
    tokens = [door.token(kind, sent) for kind in ("accept-submission", "reject-submission")] * 3
    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(answer.status for answer in pool.map(lambda token: door.post_event(sent, token), tokens))
    assert statuses == [204, 409, 409, 409, 409, 409]
    assert len(kinds(door.log(sent))) == 3


def test_of_two_different_submits_at_once_one_counts(door: Door):
    announced = door.announce()
    parts = [(door.seal(b"{}"), door.seal(b"{}")) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda each: door.submit(announced["submissionId"], *each).status, parts * 2)
        statuses = sorted(answers)
    assert statuses == [200, 200, 409, 409, 409, 409]
    log = door.sender.get(f"/v2/submissions/{announced['submissionId']}/events").json["eventLog"]
    assert kinds(log) == ["create-submission", "submit-submission"]


def test_parallel_uploads_of_one_submission_do_not_wait_for_each_other(door: Door):
    ids = [str(uuid4()) for _ in range(8)]
    announced = door.announce(*ids)["submissionId"]
    jwes = {attachment_id: door.seal(attachment_id.encode() * 5000) for attachment_id in ids}
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda each: door.upload(announced, *each).status, jwes.items()))
    assert statuses == {204}
    assert door.submit(announced, door.seal(b"{}"), door.seal(b"{}")).status == 200


# -------------------------------------------------------------------------------------------- foreign destinations


def test_only_the_owner_changes_a_destination(door: Door):
    target = f"/v2/destinations/{door.destination_id}"
    jwk_ = dict(door.hub.store.parties.keys(door.destination_id)[0].jwk)
    manager = door.another(ClientKind.SUBSCRIBER, manage=True)
    assert door.refused(patch(manager, target, {"status": "inactive"}), 403, "forbidden")
    assert door.refused(manager.ask("DELETE", target), 403, "forbidden")
    assert door.refused(post(manager, f"/v1/destinations/{door.destination_id}/keys", jwk_), 403, "forbidden")
    for client in (door.sender, door.another(ClientKind.SUBSCRIBER)):
        assert door.refused(patch(client, target, {"status": "inactive"}), 403)
    assert door.destination.status == "active"


def test_an_owner_cannot_choose_an_adapter_or_an_owner(door: Door):
    body = b'{"adapter":"folder","adapterConfig":{"path":"/etc"},"owner":"me","tenant":"","adapter_config":{}}'
    target = f"/v2/destinations/{door.destination_id}"
    before = door.destination
    assert door.subscriber.ask("PATCH", target, ("Content-Type", "application/json"), body=[body]).status == 200
    after = door.destination
    assert (after.adapter, after.adapter_config, after.owner, after.tenant) == (
        before.adapter,
        before.adapter_config,
        before.owner,
        before.tenant,
    )


def test_a_key_is_never_replaced_under_its_name(door: Door):
    first, second = (dict(stored.jwk) for stored in door.hub.store.parties.keys(door.destination_id)[:2])
    forged = {**second, "kid": first["kid"]}
    answer = post(door.subscriber, f"/v1/destinations/{door.destination_id}/keys", forged)
    assert door.refused(answer, 400, "key-refused")
    assert door.hub.store.parties.key(door.destination_id, first["kid"]) == first


def test_a_secret_never_comes_back(door: Door):
    secret = "geheim-" * 6
    body = {"callback": {"url": "https://authority.example/cb", "secret": secret}}
    target = f"/v2/destinations/{door.destination_id}"
    changed = door.subscriber.ask(
        "PATCH", target, ("Content-Type", "application/json"), body=[json.dumps(body).encode()]
    )
    sent = door.send(callback={"url": "https://sender.example/cb", "secret": secret})
    answers = [
        changed,
        door.subscriber.get(target),
        door.subscriber.get(f"/v1/submissions/{sent.submission_id}"),
        put(
            door.sender,
            f"/v1/submissions/{sent.submission_id}",
            {"encryptedMetadata": sent.metadata, "encryptedData": sent.data},
        ),
    ]
    assert all(answer.status in {200, 202} and secret.encode() not in answer.body for answer in answers)
    database = b"".join(path.read_bytes() for path in door.stage.data.glob("hub.sqlite*"))
    assert secret.encode() not in database
