"""FIT-Connect's checklist for servers (section 19 of its wire), line by line, over HTTP in process.

What stands in a file of its own, by its kind, is named in ``ELSEWHERE``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from sealed_door import EVENTS, JOSE, SERVICE, Door, kinds, patch, post, put, put_jose, read, shared_door  # noqa: F401  # shared_door is a fixture
from stage import BAUANTRAG, WIESBADEN
from stand_in import Answer

from hub.admission import Admission
from hub.api.fit_connect.messages import _pour
from hub.app import development_authority
from hub.crypto import jws, make_rsa_pair, read_signing_key, verification_key
from hub.errors import TooLarge
from hub.fit_connect.messages import STRICT, ExchangeLimits, SendingTools
from hub.fit_connect.submissions import Uploading
from hub.identity import new_client
from hub.model import INLINE_LIMIT, ClientKind, Subject

#: Lines whose tests stand elsewhere: file and names.
ELSEWHERE: dict[int, tuple[str, tuple[str, ...]]] = {
    20: (
        "test_retention.py",
        (
            "test_what_is_announced_and_never_submitted_is_deleted_after_a_day",
            "test_day_14_rejects_what_lies_unanswered_and_day_21_deletes_it",
        ),
    ),
    21: (
        "test_callbacks.py",
        (
            "test_the_signature_fits_the_bytes_that_arrive",
            "test_the_body_is_one_line_with_all_three_ids",
            "test_a_failing_callback_is_repeated_until_it_is_taken_and_never_before_its_time",
            "test_an_unreachable_receiver_never_fails_the_request_that_caused_the_callback",
        ),
    ),
    22: ("test_callbacks.py", ("test_22_each_trigger_calls_whom_the_matrix_names",)),
    23: (
        "test_routing_api.py",
        (
            "test_23_a_wrong_parameter_is_400",
            "test_23_a_wrong_search_is_400",
            "test_23_all_expressions_must_match_and_an_asterisk_stands_for_anything",
            "test_23_a_blank_inside_an_expression_does_not_fail",
        ),
    ),
    24: (
        "test_routing_api.py",
        (
            "test_24_the_signature_verifies_and_says_what_was_asked",
            "test_24_the_signature_stays_the_same_until_the_destination_changes",
        ),
    ),
    25: (
        "interop/test_python_fitconnect.py",
        (
            "test_fitconnect_sends_data_and_attachment_and_collects_both_unchanged",
            "test_fitconnect_client_sends_without_data_and_its_log_verifies",
        ),
    ),
    26: (
        "interop/test_recorded_sequences.py",
        (
            "test_the_php_verifier_passes_over_the_whole_log_before_and_after_acceptance",
            "test_the_typescript_client_goes_from_announce_to_accept_and_both_sides_read_the_log",
        ),
    ),
}
CALLBACK = {"url": "https://sender.example/cb", "secret": "s" * 32}


def take_token(door: Door, **form: str) -> Answer:
    body = "&".join(f"{name}={value}" for name, value in form.items())
    return door.anybody.ask(
        "POST", "/token", ("Content-Type", "application/x-www-form-urlencoded"), body=[body.encode()]
    )


def credentials(door: Door, name: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", **{k: door.stage.cast[name][k] for k in ("client_id", "client_secret")}}


def test_every_line_of_the_list_has_a_test():
    here = Path(__file__)
    own = {int(found) for found in re.findall(r"^def test_(\d\d)_", here.read_text(), re.MULTILINE)}
    assert own | set(ELSEWHERE) == set(range(1, 27))
    for file, names in ELSEWHERE.values():
        (found,) = here.parents[1].rglob(Path(file).name)
        text = found.read_text()
        assert [name for name in names if f"def {name}(" not in text] == []


# ------------------------------------------------------------------------------------------------------ OAuth


def test_01_a_form_without_scope_gives_all_scopes_for_1800_seconds(door: Door):
    answer = take_token(door, **credentials(door, "sender"))
    assert answer.status == 200
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 1800)
    assert answer.json["scope"] == "https://schema.fitko.de/fit-connect/oauth/scopes/send-submissions"
    assert isinstance(answer.json["access_token"], str)


def test_02_a_wrong_secret_is_invalid_client_and_no_destination_is_invalid_scope(door: Door):
    wrong = take_token(door, **{**credentials(door, "sender"), "client_secret": "wrong"})
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    client_id, secret = new_subscriber(door)
    homeless = take_token(door, grant_type="client_credentials", client_id=client_id, client_secret=secret)
    assert (homeless.status, homeless.json["error"]) == (400, "invalid_scope")


def new_subscriber(door: Door) -> tuple[str, str]:
    client, secret = new_client(ClientKind.SUBSCRIBER, "Homeless", now=door.clock())
    door.hub.store.parties.add_client(client)
    return client.client_id, secret


def test_02_each_error_has_the_code_that_clients_parse(door: Door):
    good = credentials(door, "sender")
    wrong: dict[str, tuple[dict[str, str], int, str]] = {
        "another grant": ({**good, "grant_type": "password"}, 400, "unsupported_grant_type"),
        "no grant": ({name: good[name] for name in ("client_id", "client_secret")}, 400, "invalid_request"),
        "no client": ({"grant_type": "client_credentials"}, 400, "invalid_request"),
        "an unknown scope": ({**good, "scope": "root"}, 400, "invalid_scope"),
        "a scope of the other kind": ({**good, "scope": f"subscribe:destination:{uuid4()}"}, 400, "invalid_scope"),
        "an unknown client": ({**good, "client_id": str(uuid4())}, 401, "invalid_client"),
    }
    for form, status, code in wrong.values():
        answer = take_token(door, **form)
        assert (answer.status, answer.json["error"]) == (status, code)
        assert isinstance(answer.json["error_description"], str)
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/token", "/auth", "/auth/token", "/oauth/token"])
def test_01_the_token_endpoint_answers_at_each_address_that_clients_know(door: Door, path: str):
    form = credentials(door, "subscriber")
    body = "&".join(f"{name}={value}" for name, value in form.items())
    media_type = ("Content-Type", "application/x-www-form-urlencoded")
    answer = door.anybody.ask("POST", path, media_type, body=[body.encode()])
    assert (answer.status, answer.json["access_token_jwt"]) == (200, answer.json["access_token"])
    assert door.anybody.with_token(answer.json["access_token"]).get("/v1/submissions").status == 200


def test_03_fifty_tokens_in_a_row_are_fine(door: Door):
    form = credentials(door, "sender")
    assert {take_token(door, **form).status for _ in range(50)} == {200}


# --------------------------------------------------------------------------------------- destinations and keys


def test_04_a_destination_is_public_and_an_unknown_one_a_problem(door: Door):
    for client in (door.anybody, door.sender, door.subscriber):
        assert client.get(f"/v1/destinations/{door.destination_id}").status == 200
        assert client.get(f"/submission-api/v2/destinations/{door.destination_id}").status == 200
    assert door.refused(door.anybody.get(f"/v1/destinations/{uuid4()}"), 404, "destination-not-found")


def test_05_each_version_writes_its_own_members_and_no_other(door: Door):
    public = {"destinationId", "status", "services", "encryptionKid", "metadataVersions"}
    assert set(door.anybody.get(f"/v1/destinations/{door.destination_id}").json) == public
    assert set(door.sender.get(f"/v1/destinations/{door.destination_id}").json) == public
    owner = door.subscriber.get(f"/v1/destinations/{door.destination_id}").json
    assert set(owner) == public | {"contactInformation"}
    second = door.anybody.get(f"/v2/destinations/{door.destination_id}").json
    assert set(second) == (public - {"services"}) | {"name", "publicServices", "contactInformation"}
    assert set(second["publicServices"][0]) == {"identifier", "regions", "submissionSchemas"}


def test_06_a_key_is_public_with_all_seven_members_and_one_operation(door: Door):
    for stored in door.hub.store.parties.keys(door.destination_id):
        answer = door.anybody.get(f"/v1/destinations/{door.destination_id}/keys/{stored.kid}")
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
        assert {"kty", "key_ops", "alg", "x5c", "kid", "n", "e"} <= set(answer.json)
        assert len(answer.json["key_ops"]) == 1
        assert len(answer.json["n"]) >= 683


def test_07_the_list_of_keys_is_the_destination_apis_alone(door: Door):
    path = f"/v2/destinations/{door.destination_id}/keys"
    assert door.anybody.get(f"/submission-api{path}").status == 404
    assert door.anybody.get(path).status == 404
    for version in ("v1", "v2"):
        answer = door.anybody.get(f"/destination-api/{version}/destinations/{door.destination_id}/keys")
        assert answer.status == 200
        assert answer.json["keys"][0]["kid"] == door.destination.encryption_kid


@pytest.fixture(scope="module")
def key_pairs(door: Door) -> dict[str, Any]:
    """Keys that the development authority certifies: one for sealing, one for signing, one weak."""
    authority = development_authority(door.hub.settings, now=door.clock())
    made = {}
    for name, use, bits in (("seal", "encryption", 4096), ("sign", "signing", 4096), ("weak", "encryption", 2048)):
        public, private = make_rsa_pair(use, bits=bits)
        made[name] = authority.issue(public, subject="Neustadt", now=door.clock(), days=30)
        made[f"{name}-private"] = private
    return made


def new_destination(key_pairs: dict[str, Any], version: str = "v1", **more: Any) -> dict[str, Any]:
    service = {
        "identifier": SERVICE,
        "regions": ["DE06"],
        "submissionSchemas": [{"schemaUri": "urn:xoev-de:xbau", "mimeType": "application/xml"}],
    }
    return {
        "name": "Neustadt",
        "contactInformation": {"legalName": "Neustadt", "email": "post@neustadt.example"},
        ("services" if version == "v1" else "publicServices"): [service],
        "encryptionKid": key_pairs["seal"]["kid"],
        "encryptionPublicKey": key_pairs["seal"],
        "signingPublicKey": key_pairs["sign"],
        "metadataVersions": ["2.1.0"],
        **more,
    }


def test_08_bad_keys_make_no_destination_and_good_ones_do(door: Door, key_pairs: dict[str, Any]):
    def create(**more: Any) -> Answer:
        return post(door.subscriber, "/destination-api/v1/destinations", new_destination(key_pairs, **more))

    assert door.refused(create(encryptionKid="another-kid"), 400)
    weak = key_pairs["weak"]
    assert door.refused(create(encryptionPublicKey=weak, encryptionKid=weak["kid"]), 400, "key-refused")
    double = key_pairs["seal"] | {"key_ops": ["wrapKey", "encrypt"]}
    assert door.refused(create(encryptionPublicKey=double), 400, "key-refused")
    private = key_pairs["seal-private"] | {"key_ops": ["wrapKey"], "x5c": key_pairs["seal"]["x5c"]}
    assert door.refused(create(encryptionPublicKey=private, encryptionKid=private["kid"]), 400, "key-refused")
    made = create()
    assert (made.status, made.json["status"], made.headers["cache-control"]) == (201, "created", "no-cache")
    assert made.headers["location"] == f"/destinations/{made.json['destinationId']}"
    stored = door.hub.store.parties.destination(UUID(made.json["destinationId"]))
    assert (stored.adapter, stored.owner) == ("mailbox", door.stage.cast["subscriber"]["client_id"])


def test_09_patch_takes_both_media_types_and_keys_may_come_twice(door: Door, key_pairs: dict[str, Any]):
    made = post(door.subscriber, "/v2/destinations", new_destination(key_pairs, "v2")).json
    target = f"/v2/destinations/{made['destinationId']}"
    assert patch(door.subscriber, target, {"status": "active"}).json["status"] == "active"
    merged = patch(door.subscriber, target, {"status": "inactive"}, "application/merge-patch+json")
    assert (merged.status, merged.json["status"]) == (200, "inactive")
    assert door.refused(patch(door.subscriber, target, {"status": "created"}), 400)
    for _ in range(2):
        added = post(door.subscriber, f"/destination-api{target}/keys", key_pairs["sign"])
        assert (added.status, added.body) == (201, b"")
        assert added.headers["location"] == f"/destinations/{made['destinationId']}/keys/{key_pairs['sign']['kid']}"


def test_10_a_kid_of_44_characters_works_in_the_path(door: Door):
    jwk = dict(door.hub.store.parties.keys(door.destination_id)[0].jwk) | {"kid": f"{uuid4()}-wrapKey"}
    door.hub.store.parties.add_key(door.destination_id, jwk, door.clock())
    answer = door.anybody.get(f"/v1/destinations/{door.destination_id}/keys/{jwk['kid']}")
    assert (answer.status, answer.json["kid"]) == (200, jwk["kid"])


# --------------------------------------------------------------------------------------------------- submissions


def test_11_announcing_tolerates_what_real_clients_send(door: Door):
    one = str(uuid4())
    answer = post(
        door.sender,
        "/v1/submissions",
        {
            "destinationId": str(door.destination_id),
            "announcedAttachments": [one] * 3,
            "serviceType": {"name": "", "identifier": "urn:de:fim:leika:leistung:99999999999999"},
            "bidirectional": True,
        },
    )
    assert (answer.status, set(answer.json)) == (201, {"destinationId", "submissionId", "caseId"})
    assert door.hub.store.submissions.message(UUID(answer.json["submissionId"])).announced == (UUID(one),)


def test_11_an_unknown_destination_is_404_and_a_sleeping_one_422(door: Door):
    body = {"destinationId": str(uuid4()), "announcedAttachments": [], "publicService": {"identifier": SERVICE}}
    assert door.refused(post(door.sender, "/v2/submissions", body), 404, "destination-not-found")
    sleeping = door.give_destination(door.stage.cast["subscriber"]["client_id"])
    target = f"/v1/destinations/{sleeping.destination_id}"
    assert patch(door.subscriber, target, {"status": "inactive"}).status == 200
    body["destinationId"] = str(sleeping.destination_id)
    assert door.refused(post(door.sender, "/v2/submissions", body), 422, "destination-state-invalid")


def test_12_an_upload_may_be_repeated_and_nothing_else_is_taken(door: Door):
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    first, second = door.seal(b"first"), door.seal(b"second" * 50_000)
    for jwe in (first, first, second, first):
        answer = door.upload(announced, attachment_id, jwe)
        assert (answer.status, answer.body) == (204, b"")
    assert door.refused(door.upload(announced, str(uuid4()), first), 422, "attachment-not-announced")
    path = f"/v2/submissions/{announced}/attachments/{attachment_id}"
    wrong = door.sender.ask("PUT", path, ("Content-Type", "application/json"), body=[first.encode()])
    assert door.refused(wrong, 415)
    submit = door.submit(announced, door.seal(b"{}"), door.seal(b"{}"))
    assert submit.status == 200
    assert door.refused(door.upload(announced, attachment_id, first), 409, "invalid-state-transition")


def test_12_too_large_is_413_by_content_length_and_by_counting(door: Door):
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    path = f"/v2/submissions/{announced}/attachments/{attachment_id}"
    declared = door.sender.ask(
        "PUT", path, ("Content-Type", JOSE), ("Content-Length", "500000001"), body=[door.seal(b"").encode()]
    )
    assert door.refused(declared, 413, "payload-too-large")
    small = SendingTools(door.hub, limits=ExchangeLimits(attachment=2000, total=3000))
    upload = Uploading(small).begin(
        Subject.SUBMISSION,
        UUID(announced),
        UUID(attachment_id),
        declared=None,
        caller=door.sending_caller,
        profile=STRICT,
    )
    with pytest.raises(TooLarge):
        upload.write(door.seal(b"x" * 3000).encode())
    upload.abort()


def test_12_a_disk_that_fails_at_the_end_of_an_upload_is_503_and_leaves_nothing(door: Door, monkeypatch):
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    def kept() -> list[Path]:
        return [path for path in (door.stage.data / "blobs").rglob("*") if path.is_file()]

    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    large, before = door.seal(b"x" * INLINE_LIMIT), kept()
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", broken)
        assert door.refused(door.upload(announced, attachment_id, large), 503)
    assert kept() == before
    assert door.upload(announced, attachment_id, large).status == 204


def test_12_an_attachment_that_trickles_in_does_not_pile_up(door: Door):
    held, most = 0, 0

    class Slow:
        def write(self, _chunk: bytes) -> None:
            nonlocal held
            held -= 1

        def finish(self) -> None:
            assert held == 0

    async def trickle() -> AsyncIterator[bytes]:
        nonlocal held, most
        for _ in range(20_000):
            held, most = held + 1, max(most, held + 1)
            yield b"A"

    room = Admission(memory_budget=1_000_000, free_bytes=lambda: 10**12, disk_watermark=0).reserve()
    asyncio.run(_pour(trickle(), Slow(), room))
    assert most < 1000


def test_13_version_1_submits_leniently_with_202(door: Door):
    announced = door.announce(version="v1")["submissionId"]
    target = f"/v1/submissions/{announced}"
    metadata = door.seal(b"{}")
    for body in ({"encryptedMetadata": metadata}, {"encryptedMetadata": metadata, "encryptedData": None}):
        answer = put(door.sender, target, body)
        assert answer.status == 202
        assert set(answer.json) == {"destinationId", "submissionId", "caseId", "attachments", "serviceType"}


def test_13_version_1_takes_compressed_and_nameless_tokens(door: Door, foreign: Any):
    announced = door.announce(version="v1")["submissionId"]
    answer = door.submit(announced, foreign(zip="DEF"), foreign(cty=None, kid=None), "v1")
    assert answer.status == 202


def test_13_version_2_is_strict(door: Door, foreign: Any):
    announced = door.announce()["submissionId"]
    good = door.seal(b"{}")
    assert door.refused(door.submit(announced, good, None), 422, "data-missing")
    assert door.refused(door.submit(announced, foreign(cty=None), good), 422, "invalid-jwe-header")
    assert door.refused(door.submit(announced, good, foreign(cty="application/pdf")), 422, "invalid-jwe-header")
    assert door.refused(door.submit(announced, good, foreign(zip="DEF")), 422, "invalid-jwe-header")
    assert door.submit(announced, good, good).status == 200


@pytest.fixture(scope="module")
def foreign(door: Door):
    """Make JWEs with any header, as a foreign library would."""
    key = JWK(**{name: door.sealing_key.jwk[name] for name in ("kty", "n", "e")})

    def make(content: bytes = b"{}", **header: Any) -> str:
        named = {
            "alg": "RSA-OAEP-256",
            "enc": "A256GCM",
            "kid": "thumbprint-or-so",
            "cty": "application/json",
            **header,
        }
        protected = {name: value for name, value in named.items() if value is not None}
        token = JWE(content, protected=protected)
        token.add_recipient(key)
        made: str = token.serialize(compact=True)
        return made

    return make


def test_13_a_missing_attachment_is_422_and_a_repeat_adds_no_event(door: Door):
    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)
    metadata, data = door.seal(b"{}"), door.seal(b"{}")
    missing = door.submit(announced["submissionId"], metadata, data)
    assert door.refused(missing, 422, "attachment-missing")
    assert missing.json["attachments"] == [attachment_id]
    door.upload(announced["submissionId"], attachment_id, door.seal(b"a"))
    answers = [door.submit(announced["submissionId"], metadata, data) for _ in range(3)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    other = door.submit(announced["submissionId"], metadata, door.seal(b"{}"))
    assert door.refused(other, 409, "invalid-state-transition")
    log = door.sender.get(f"/v2/submissions/{announced['submissionId']}/events").json["eventLog"]
    assert kinds(log) == ["create-submission", "submit-submission"]


def test_14_the_list_shows_what_is_submitted_filtered_and_paged(door: Door):
    announced = door.announce()["submissionId"]
    sent = [door.send().submission_id for _ in range(3)]
    assert announced not in door.listed()
    assert set(sent) <= set(door.listed())
    page = door.subscriber.get(f"/v1/submissions?destinationId={door.destination_id}&offset=1&limit=1").json
    assert (page["count"], page["offset"], len(page["submissions"])) == (1, 1, 1)
    assert page["totalCount"] >= 3
    assert set(page["submissions"][0]) == {"destinationId", "submissionId", "caseId"}


def test_14_foreigners_get_403_and_finished_ones_404(door: Door):
    sent = door.send()
    stranger = door.another(ClientKind.SUBSCRIBER)
    assert door.refused(stranger.get(f"/v2/submissions?destinationId={door.destination_id}"), 403, "forbidden")
    assert door.refused(stranger.get(f"/v2/submissions/{sent.submission_id}"), 403, "forbidden")
    assert sent.submission_id not in door.listed(stranger)
    assert door.accept(sent).status == 204
    gone = door.subscriber.get(f"/v1/submissions/{sent.submission_id}")
    assert door.refused(gone, 404, "submission-not-found")
    assert door.refused(door.subscriber.get(f"/v1/submissions/{uuid4()}"), 404, "submission-not-found")
    incomplete = door.announce()["submissionId"]
    assert door.refused(door.subscriber.get(f"/v1/submissions/{incomplete}"), 404, "submission-not-found")


def test_14_each_version_hands_out_its_own_members(door: Door):
    sent = door.send(region="DE06439", callback=CALLBACK)
    first = door.subscriber.get(f"/v1/submissions/{sent.submission_id}").json
    second = door.subscriber.get(f"/v2/submissions/{sent.submission_id}").json
    common = {"destinationId", "submissionId", "caseId", "attachments", "encryptedMetadata", "encryptedData"}
    assert set(first) == common | {"serviceType", "callback"}
    assert first["callback"] == {"url": CALLBACK["url"]}
    assert set(second) == common | {"publicService", "region"}
    assert (second["region"], second["publicService"]["identifier"]) == ("DE06439", SERVICE)


def test_15_a_download_is_byte_for_byte_the_upload(door: Door):
    sent = door.send(b"%PDF-1.7", b"x" * 300_000)
    assert door.subscriber.get(f"/v2/submissions/{sent.submission_id}").json["attachments"] == list(sent.attachments)
    for attachment_id, jwe in sent.attachments.items():
        path = f"/v2/submissions/{sent.submission_id}/attachments/{attachment_id}"
        answer = door.subscriber.get(path)
        assert (answer.status, answer.headers["content-type"], answer.body.decode()) == (200, JOSE, jwe)
        head = door.subscriber.ask("HEAD", path)
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(jwe)), b"")
    unknown = door.subscriber.get(f"/v2/submissions/{sent.submission_id}/attachments/{uuid4()}")
    assert door.refused(unknown, 404, "attachment-not-found")


# ----------------------------------------------------------------------------------------------------- event log


def test_16_the_log_tells_create_submit_notify_in_this_order(door: Door):
    sent = door.send()
    while door.hub.dispatcher.run_once():
        pass
    jwks = {jwk["kid"]: jwk for jwk in door.anybody.get("/submission-api/.well-known/jwks.json").json["keys"]}
    by_case = door.log(sent, version="v1")
    by_submission = door.sender.get(f"/v2/submissions/{sent.submission_id}/events?limit=100&offset=0").json["eventLog"]
    assert by_case == by_submission == door.log(sent, door.subscriber)
    assert kinds(by_case) == ["create-submission", "submit-submission", "notify-submission"]
    for token in by_case:
        header, claims = read(token)
        assert (header["alg"], header["typ"]) == ("PS512", "secevent+jwt")
        jws.verify_ps512(token, verification_key(jwks[header["kid"]]), typ="secevent+jwt")
        assert (claims["iss"], len(claims["events"])) == (door.hub.settings.canonical_url, 1)
        assert (claims["sub"], claims["txn"]) == (f"submission:{sent.submission_id}", f"case:{sent.case_id}")
        assert isinstance(claims["iat"], int)
        assert re.fullmatch(r".*/set-payload/1\.2\.2/set-payload\.schema\.json", claims["$schema"])


def test_17_the_tags_are_the_fifth_parts_of_what_was_sent(door: Door):
    sent = door.send(b"one", b"two")
    submitted = read(door.log(sent)[1])[1]["events"][f"{EVENTS}submit-submission"]
    assert submitted == {"authenticationTags": sent.tags}


def test_18_an_accept_is_stored_byte_for_byte_and_ends_the_case(door: Door):
    sent = door.send(b"attachment")
    token = door.token("accept-submission", sent)
    answer = door.post_event(sent, token)
    assert (answer.status, answer.body) == (204, b"")
    assert door.log(sent)[-1] == token
    assert door.refused(door.accept(sent), 409, "invalid-state-transition")
    assert door.refused(door.post_event(sent, door.token("reject-submission", sent)), 409, "invalid-state-transition")
    assert door.log(sent)[-1] == token


def test_18_a_reject_and_a_forward_have_their_places(door: Door):
    rejected, forwarded = door.send(), door.send()
    problem = {
        "type": f"{EVENTS}problems/schema-violation",
        "title": "Schema violation",
        "detail": "…",
        "instance": "data",
    }
    assert door.post_event(rejected, door.token("reject-submission", rejected, {"problems": [problem]})).status == 204
    forward = door.token("forward-submission", forwarded, {})
    assert door.refused(door.post_event(forwarded, forward, "v2"), 403)
    assert door.post_event(forwarded, forward, "v1").status == 204
    assert door.subscriber.get(f"/v1/submissions/{forwarded.submission_id}").status == 200
    assert forwarded.submission_id not in door.listed()
    assert door.accept(forwarded).status == 204


def test_18_whatever_is_wrong_with_an_event_leaves_the_log_unchanged(door: Door):
    sent, other = door.send(), door.send()
    before = door.log(sent)
    _, private = make_rsa_pair("signing", kid_prefix="foreign-")
    stranger = read_signing_key(private, written_by_us=True)
    kind = "accept-submission"
    claims = door.claims(kind, sent)
    two = {**claims, "events": {**claims["events"], f"{EVENTS}reject-submission": {"problems": []}}}
    wrong_tags = {"authenticationTags": other.tags}
    bad = {
        "wrong txn": (door.token(kind, sent, txn=f"case:{other.case_id}"), 422),
        "wrong sub": (door.token(kind, sent, sub=f"submission:{other.submission_id}"), 422),
        "wrong iss": (door.token(kind, sent, iss=str(uuid4())), 403),
        "the hub as iss": (door.token(kind, sent, iss=door.hub.settings.canonical_url), 403),
        "foreign key": (door.sign(claims, stranger), 422),
        "two events": (door.sign(two), 422),
        "no event": (door.sign({**claims, "events": {}}), 422),
        "event of the hub": (door.token("delete-submission", sent, {}), 403),
        "unknown event": (door.token("burn-submission", sent, {}), 422),
        "wrong tags": (door.token(kind, sent, wrong_tags), 422),
        "no tags": (door.token(kind, sent, {}), 422),
        "payload is null": (door.sign({**claims, "events": {f"{EVENTS}{kind}": None}}), 422),
        "other schema": (door.token(kind, sent, **{"$schema": "https://example.org/set.json"}), 422),
        "fractions of a second": (door.token(kind, sent, iat=1_800_000_000.5), 422),
        "before FIT-Connect": (door.token(kind, sent, iat=1), 422),
        "problems are no list": (door.token("reject-submission", sent, {"problems": "many"}), 422),
        "wrong type": (door.sign(claims, typ="jwt"), 422),
        "no token": ("no token", 422),
    }
    found = {name: door.post_event(sent, token).status for name, (token, _) in bad.items()}
    assert found == {name: status for name, (_, status) in bad.items()}
    stranger_client = door.another(ClientKind.SUBSCRIBER)
    assert door.post_event(sent, door.token(kind, sent), client=stranger_client).status == 403
    assert door.post_event(sent, door.token(kind, sent), client=door.sender).status == 403
    assert door.log(sent) == before


def test_18_a_used_jti_is_a_conflict(door: Door):
    first, second = door.send(), door.send()
    jti = str(uuid4())
    assert door.post_event(first, door.token("accept-submission", first, jti=jti)).status == 204
    again = door.post_event(second, door.token("accept-submission", second, jti=jti))
    assert door.refused(again, 409, "duplicate-event")


def test_19_the_php_verifier_accepts_the_whole_log(door: Door):
    sent = door.send(b"scan")
    while door.hub.dispatcher.run_once():
        pass
    assert door.accept(sent).status == 204
    states = [php_state(door, token) for token in door.log(sent)]
    assert states == ["create", "submit", "notify", "accept"]


def php_state(door: Door, token: str) -> str:
    """Check a token as section 9.5 describes the PHP client's verifier; return the event."""
    header, claims = read(token)
    assert (header["typ"], header["alg"]) == ("secevent+jwt", "PS512")
    assert isinstance(header["kid"], str)
    assert all(claims[name] is not None for name in ("jti", "iss", "iat", "sub", "txn", "events"))
    assert len(claims["events"]) == 1
    if claims["iss"].startswith("http"):
        keys = door.anybody.get("/submission-api/.well-known/jwks.json").json["keys"]
        key = next(each for each in keys if each["kid"] == header["kid"])
    else:
        key = door.sender.get(f"/submission-api/v2/destinations/{claims['iss']}/keys/{header['kid']}").json
    jws.verify_ps512(token, verification_key(key), typ="secevent+jwt")
    return next(iter(claims["events"])).removeprefix(EVENTS).partition("-")[0]


# ---------------------------------------------------------------------------------------------- beyond the list


def test_every_mount_leads_to_the_same_operations(door: Door):
    for prefix in ("", "/submission-api", "/destination-api"):
        assert door.anybody.get(f"{prefix}/v1/info").json == {"version": {"major": 1, "minor": 1, "patch": 3}}
        assert door.anybody.get(f"{prefix}/v2/destinations/{door.destination_id}").status == 200
    assert door.anybody.get("/routing-api/v2/info").json == {"version": {"major": 2, "minor": 0, "patch": 0}}


def test_ids_may_stand_without_dashes_and_in_capitals(door: Door):
    sent = door.send()
    bare = sent.submission_id.replace("-", "").upper()
    assert door.subscriber.get(f"/v2/submissions/{bare}").json["submissionId"] == sent.submission_id
    assert door.refused(door.subscriber.get("/v2/submissions/not-an-id"), 400)


def test_every_read_of_contents_is_recorded(door: Door):
    sent = door.send(b"scan")
    attachment_id = next(iter(sent.attachments))
    door.subscriber.get(f"/v2/submissions/{sent.submission_id}")
    door.subscriber.get(f"/v2/submissions/{sent.submission_id}/attachments/{attachment_id}")
    reads = door.hub.store.audit.reads(UUID(sent.submission_id)).items
    assert [(read.client, read.what) for read in reads] == [
        (door.stage.cast["subscriber"]["client_id"], what) for what in ("contents", f"attachment:{attachment_id}")
    ]
    assert door.hub.store.submissions.message(UUID(sent.submission_id)).collected_at is not None


def test_a_second_submission_may_join_a_case(door: Door):
    first = door.send()
    second = door.send(caseId=first.case_id)
    assert second.case_id == first.case_id
    case = door.sender.get(f"/v2/cases/{first.case_id}").json
    assert {row["submissionId"] for row in case["submissions"]} == {first.submission_id, second.submission_id}
    assert {"caseId": first.case_id, "destinationId": str(door.destination_id)} in door.subscriber.get(
        "/v1/cases?limit=500"
    ).json["cases"]
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": SERVICE},
        "caseId": first.case_id,
    }
    assert door.refused(post(door.another(ClientKind.SENDER), "/v2/submissions", body), 403)
    assert door.refused(post(door.sender, "/v2/submissions", body | {"caseId": str(uuid4())}), 404, "case-not-found")


def test_what_the_plain_door_took_is_collected_by_the_sealed_one(door: Door):
    accepted = door.stage.accept(BAUANTRAG, area=WIESBADEN)
    claims = read(accepted.receipt)[1]
    submission_id = claims["sub"].removeprefix("submission:")
    destination = claims["destination"]["destinationId"]
    if destination != str(door.destination_id):
        pytest.skip("Wiesbaden has no mailbox in this demo")
    assert submission_id in door.listed()
    assert door.subscriber.get(f"/v1/submissions/{submission_id}").json["encryptedData"].count(".") == 4


def test_rights_of_a_token_bound_what_its_client_may_do(door: Door):
    sent = door.send()
    assert door.refused(door.sender.get("/v2/submissions"), 403)
    assert door.refused(door.anybody.get("/v2/submissions"), 401)
    stranger = door.another(ClientKind.SENDER)
    assert door.refused(stranger.get(f"/v2/cases/{sent.case_id}/events"), 403, "forbidden")
    assert door.refused(stranger.get(f"/v2/submissions/{sent.submission_id}/events"), 403, "forbidden")
    assert door.refused(door.sender.get(f"/v2/cases/{uuid4()}/events"), 404, "case-not-found")
    body = {"encryptedMetadata": sent.metadata, "encryptedData": sent.data}
    for other in (stranger, door.subscriber):  # An authority submits what it hands on itself, and nothing else.
        assert door.refused(put(other, f"/v2/submissions/{sent.submission_id}", body), 403, "forbidden")
    path = f"/v2/submissions/{sent.submission_id}/attachments/{uuid4()}"
    assert door.refused(put_jose(stranger, path, door.seal(b"")), 403, "forbidden")


def test_old_scopes_bind_a_token_to_a_region_and_a_service(door: Door):
    cast = door.stage.cast["sender"]
    south = door.with_credentials(cast["client_id"], cast["client_secret"], "send:region:DE09")
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": SERVICE},
        "region": "DE06439",
    }
    assert door.refused(post(south, "/v2/submissions", body), 403, "forbidden")
    assert post(south, "/v2/submissions", body | {"region": "DE09415"}).status == 201


def test_a_callback_is_taken_away_by_null_and_by_a_put_without_it(door: Door):
    destination = door.give_destination(door.stage.cast["subscriber"]["client_id"])
    target = f"/v2/destinations/{destination.destination_id}"
    assert patch(door.subscriber, target, {"callback": CALLBACK}).json["callback"] == {"url": CALLBACK["url"]}
    merged = patch(door.subscriber, target, {"callback": None}, "application/merge-patch+json")
    assert (merged.status, "callback" in merged.json) == (200, False)
    assert patch(door.subscriber, target, {"callback": CALLBACK}).status == 200
    shown = door.subscriber.get(target).json
    body = {name: shown[name] for name in ("status", "publicServices", "encryptionKid", "metadataVersions")}
    body["contactInformation"] = {"legalName": "Neustadt", "email": "post@neustadt.example"}
    replaced = put(door.subscriber, target, body)
    assert (replaced.status, "callback" in replaced.json) == (200, False)
    assert door.refused(put(door.subscriber, target, body | {"encryptionKid": "unknown-kid"}), 400)


def test_a_key_rollover_leaves_old_keys_readable_and_what_was_sealed_for_them_welcome(
    door: Door, key_pairs: dict[str, Any]
):
    made = post(door.subscriber, "/v2/destinations", new_destination(key_pairs, "v2")).json
    target, old = f"/v2/destinations/{made['destinationId']}", made["encryptionKid"]
    assert put(door.subscriber, target, {**_replaceable(made), "status": "created"}).json["status"] == "created"
    public, _private = make_rsa_pair("encryption")
    authority = development_authority(door.hub.settings, now=door.clock())
    new = authority.issue(public, subject="Neustadt", now=door.clock(), days=30)
    assert door.refused(patch(door.subscriber, target, {"encryptionKid": new["kid"]}), 400)
    assert post(door.subscriber, f"/destination-api{target}/keys", new).status == 201
    changed = patch(door.subscriber, target, {"encryptionKid": new["kid"], "status": "active"})
    assert (changed.status, changed.json["encryptionKid"]) == (200, new["kid"])
    listed = door.anybody.get(f"/destination-api{target}/keys").json["keys"]
    assert (listed[0]["kid"], {old, new["kid"]} <= {key["kid"] for key in listed}) == (new["kid"], True)
    assert door.anybody.get(f"{target}/keys/{old}").json["kid"] == old


def _replaceable(shown: dict[str, Any]) -> dict[str, Any]:
    names = ("status", "publicServices", "encryptionKid", "metadataVersions", "contactInformation")
    return {name: shown[name] for name in names}


def test_a_decommissioned_destination_stays_readable_and_takes_nothing(door: Door):
    destination = door.give_destination(door.stage.cast["subscriber"]["client_id"])
    target = f"/v2/destinations/{destination.destination_id}"
    assert door.subscriber.ask("DELETE", target).status == 204
    assert door.anybody.get(target).json["status"] == "decommissioned"
    assert door.refused(patch(door.subscriber, target, {"status": "active"}), 400, "destination-state-invalid")


def test_numbers_that_no_reader_keeps_are_refused(door: Door, key_pairs: dict[str, Any]):
    body = new_destination(key_pairs, contactInformation={"legalName": "N", "email": "a@b.example", "n": 10**30})
    assert door.refused(post(door.subscriber, "/v1/destinations", body), 400)
    strange = new_destination(key_pairs, encryptionPublicKey=key_pairs["seal"] | {"extra": 10**30, "use": "enc"})
    made = post(door.subscriber, "/v1/destinations", strange)
    assert made.status == 201
    jwk = door.anybody.get(f"/v1/destinations/{made.json['destinationId']}/keys/{key_pairs['seal']['kid']}").json
    assert set(jwk) == {"kty", "key_ops", "alg", "kid", "n", "e", "x5c"}
