"""Request sequences of clients that cannot run here, replayed call by call against a running hub.

PHP (optiGov/php-fitconnect), TypeScript (klarbau/govtech-de), a generated v1 client (Miranum), vorgangswerk and the
routing command line. What each client demands of an answer is asserted. Facts: FIT-Connect's wire, sections 5, 9.5, 16.
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from event_log_verifier import EventLogVerifier
from running_hub import ANSWER_LIMIT, Offer, RunningHub, good_example
from sealed_parts import PROBLEMS, claims, event_kinds, event_token, metadata, seal, tag, tags, unseal

from hub.client.contents import Attachment, Message
from hub.client.fit_connect import Subscriber
from hub.client.session import Session, Tokens
from hub.client.transport import Direct
from hub.crypto import KeyPolicy, judge_encryption_key
from hub.model import REPLY_SCHEMA, MediaType, ReplyMessage

DATA = b'{"antrag": "Fischereischein"}'
SCAN = b"%PDF-1.7 " + bytes(range(256)) * 8

pytestmark = pytest.mark.timeout(180)


class Caller(requests.Session):
    """A session that resolves paths against the hub and puts the bearer token on every request."""

    def __init__(self, hub: RunningHub, kind: str) -> None:
        super().__init__()
        self.hub = hub
        self.bearer = hub.token(kind)
        self.headers["Authorization"] = f"Bearer {self.bearer}"

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send one request; an answer that redirects or hangs is a failure."""
        return self.request(method, self.hub.url(path), timeout=ANSWER_LIMIT, allow_redirects=False, **arguments)

    def put_jose(self, path: str, token: str) -> requests.Response:
        """Upload one sealed part."""
        return self.call("PUT", path, data=token, headers={"Content-Type": "application/jose"})


@pytest.fixture(scope="module")
def sender(hub: RunningHub) -> Iterator[Caller]:
    with Caller(hub, "sender") as caller:
        yield caller


@pytest.fixture(scope="module")
def subscriber(hub: RunningHub) -> Iterator[Caller]:
    with Caller(hub, "subscriber") as caller:
        yield caller


@pytest.fixture(scope="module")
def offer(hub: RunningHub) -> Offer:
    return hub.offer("application/json")


def _php_send(sender: Caller, offer: Offer) -> dict[str, Any]:
    """Replay PHP's sending (section 16.3): it seals before it announces and repeats uploads and the submit."""
    keys = sender.call("GET", f"/destination-api/v2/destinations/{offer.destination_id}/keys")
    assert keys.status_code == 200, keys.text
    key = keys.json()["keys"][0]
    assert all(isinstance(key[name], str) for name in ("kid", "kty", "n", "e"))
    attachment_id = str(uuid.uuid4())
    scan, data = seal(SCAN, key), seal(DATA, key)
    described = seal(metadata(DATA, offer.schema_uri, offer.media_type, {attachment_id: SCAN}), key)
    announced = sender.call(
        "POST",
        "/submission-api/v2/submissions",
        json={
            "destinationId": offer.destination_id,
            "announcedAttachments": [attachment_id],
            "publicService": {"identifier": offer.service, "name": offer.name},
        },
    )
    assert announced.ok, announced.text
    submission_id = announced.json()["submissionId"]
    assert isinstance(submission_id, str)
    base = f"/submission-api/v2/submissions/{submission_id}"
    for _repeated_after_a_lost_answer in range(2):
        assert sender.put_jose(f"{base}/attachments/{attachment_id}", scan).ok
    for _repeated_after_a_lost_answer in range(2):
        submitted = sender.call("PUT", base, json={"encryptedMetadata": described, "encryptedData": data})
        assert submitted.ok, submitted.text
    return {
        "submission_id": submission_id,
        "case_id": announced.json()["caseId"],
        "tags": tags(described, data, {attachment_id: scan}),
        "attachment_id": attachment_id,
        "scan": scan,
    }


def _php_log(sender: Caller, submission_id: str) -> list[str]:
    answer = sender.call("GET", f"/submission-api/v2/submissions/{submission_id}/events?limit=100&offset=0")
    assert answer.status_code == 200, answer.text
    log: list[str] = answer.json()["eventLog"]
    return log


def _php_verifier(sender: Caller) -> EventLogVerifier:
    return EventLogVerifier(submission_api=sender.hub.url("/submission-api"), bearer=sender.bearer)


def _post_event(subscriber: Caller, case_id: str, token: str, version: str = "v2") -> requests.Response:
    path = f"/submission-api/{version}/cases/{case_id}/events"
    return subscriber.call("POST", path, data=token, headers={"Content-Type": "application/jose"})


def _listed(subscriber: Caller, offer: Offer, submission_id: str) -> dict[str, Any]:
    """Poll the list as klarbau does: up to eight times, two seconds apart."""
    path = f"/submission-api/v2/submissions?destinationId={offer.destination_id}&offset=0&limit=100"
    for _try in range(8):
        page = subscriber.call("GET", path)
        assert page.status_code == 200, page.text
        assert isinstance(page.json()["totalCount"], int)
        for row in page.json()["submissions"]:
            if row["submissionId"] == submission_id:
                listed: dict[str, Any] = row
                return listed
        time.sleep(2)
    pytest.fail("the submission never appeared in the list")


def test_the_php_verifier_refuses_a_log_in_which_one_character_changed(sender: Caller, offer: Offer) -> None:
    log = _php_log(sender, _php_send(sender, offer)["submission_id"])
    head, body, signature = log[0].split(".")
    changed = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    with pytest.raises(InvalidSignature):
        _php_verifier(sender).states([changed, *log[1:]])


def test_a_php_client_that_repeats_its_uploads_sees_one_submit_event(sender: Caller, offer: Offer) -> None:
    sent = _php_send(sender, offer)
    kinds = event_kinds(_php_log(sender, sent["submission_id"]), sent["submission_id"])
    assert kinds[:2] == ["create-submission", "submit-submission"]
    assert kinds.count("submit-submission") == 1


def test_the_php_verifier_passes_over_the_whole_log_before_and_after_acceptance(
    sender: Caller, subscriber: Caller, offer: Offer
) -> None:
    sent = _php_send(sender, offer)
    before = _php_verifier(sender).states(_php_log(sender, sent["submission_id"]))
    assert before[-1] in {"SUBMITTED", "NOTIFIED"}
    accept = event_token(
        "accept-submission",
        {"authenticationTags": sent["tags"]},
        issuer=offer.destination_id,
        submission_id=sent["submission_id"],
        case_id=sent["case_id"],
        key=offer.signing_key,
    )
    assert _post_event(subscriber, sent["case_id"], accept).status_code == 204
    log = _php_log(sender, sent["submission_id"])
    assert log[-1] == accept
    assert _php_verifier(sender).states(log)[-1] == "ACCEPTED"


def test_the_php_client_reads_a_destination_whose_optional_members_may_be_absent(sender: Caller, offer: Offer) -> None:
    answer = sender.call("GET", f"/destination-api/v2/destinations/{offer.destination_id}")
    assert answer.status_code == 200, answer.text
    read = answer.json()
    assert read["destinationId"] == offer.destination_id
    assert read["status"] == "active"
    assert offer.service in {service["identifier"] for service in read["publicServices"]}


def test_the_typescript_client_finds_destination_and_key_without_a_token(hub: RunningHub, offer: Offer) -> None:
    base = hub.url(f"/submission-api/v2/destinations/{offer.destination_id}")
    public = requests.get(base, timeout=ANSWER_LIMIT)
    assert public.status_code == 200
    assert public.json()["status"] == "active"
    assert public.json()["metadataVersions"]
    key = requests.get(f"{base}/keys/{public.json()['encryptionKid']}", timeout=ANSWER_LIMIT)
    assert key.status_code == 200
    assert (key.json()["alg"], key.json()["key_ops"]) == ("RSA-OAEP-256", ["wrapKey"])
    assert requests.get(f"{base}/keys", timeout=ANSWER_LIMIT).status_code == 404


def _klarbau_send(sender: Caller, offer: Offer, attachment_type: str = "application/json") -> dict[str, Any]:
    """Replay the TypeScript client's sending (section 5.1), with its exact status codes."""
    base = f"/submission-api/v2/destinations/{offer.destination_id}"
    kid = sender.call("GET", base).json()["encryptionKid"]
    key = sender.call("GET", f"{base}/keys/{kid}").json()
    attachment_id = str(uuid.uuid4())
    scan, data = seal(SCAN, key, attachment_type), seal(DATA, key)
    described = seal(metadata(DATA, offer.schema_uri, offer.media_type, {attachment_id: SCAN}, "2.0.0"), key)
    announced = sender.call(
        "POST",
        "/submission-api/v2/submissions",
        json={
            "destinationId": offer.destination_id,
            "announcedAttachments": [attachment_id],
            "publicService": {"name": offer.name, "identifier": offer.service},
            "region": f"DE{offer.ars}",
        },
    )
    assert announced.status_code == 201, announced.text
    path = f"/submission-api/v2/submissions/{announced.json()['submissionId']}"
    assert sender.put_jose(f"{path}/attachments/{attachment_id}", scan).status_code == 204
    submitted = sender.call("PUT", path, json={"encryptedMetadata": described, "encryptedData": data})
    assert submitted.status_code == 200, submitted.text
    return {
        **{name: announced.json()[name] for name in ("submissionId", "caseId")},
        "tags": tags(described, data, {attachment_id: scan}),
        "attachment_id": attachment_id,
        "scan": scan,
    }


def _klarbau_collect(subscriber: Caller, offer: Offer, sent: Mapping[str, Any]) -> None:
    row = _listed(subscriber, offer, sent["submissionId"])
    assert (row["caseId"], row["destinationId"]) == (sent["caseId"], offer.destination_id)
    path = f"/submission-api/v2/submissions/{sent['submissionId']}"
    collected = subscriber.call("GET", path)
    assert collected.status_code == 200, collected.text
    assert unseal(collected.json()["encryptedData"], offer.decryption_key) == DATA
    assert sent["attachment_id"] in collected.json()["attachments"]
    scan = subscriber.call("GET", f"{path}/attachments/{sent['attachment_id']}")
    assert scan.headers["Content-Type"].startswith("application/jose")
    assert scan.text == sent["scan"]
    assert unseal(scan.text, offer.decryption_key) == SCAN


def test_the_typescript_client_goes_from_announce_to_accept_and_both_sides_read_the_log(
    sender: Caller, subscriber: Caller, offer: Offer
) -> None:
    sent = _klarbau_send(sender, offer)
    _klarbau_collect(subscriber, offer, sent)
    events = f"/submission-api/v2/cases/{sent['caseId']}/events"
    recorded = [claims(token) for token in subscriber.call("GET", events).json()["eventLog"]]
    submit = next(c for c in recorded if any(uri.endswith("submit-submission") for uri in c["events"]))
    assert next(iter(submit["events"].values()))["authenticationTags"] == sent["tags"]
    accept = event_token(
        "accept-submission",
        {"authenticationTags": sent["tags"]},
        issuer=offer.destination_id,
        submission_id=sent["submissionId"],
        case_id=sent["caseId"],
        key=offer.signing_key,
    )
    assert _post_event(subscriber, sent["caseId"], accept).status_code == 204
    logs = [caller.call("GET", events).json()["eventLog"] for caller in (sender, subscriber)]
    assert logs[0] == logs[1]
    assert logs[0][-1] == accept
    assert subscriber.call("GET", f"/submission-api/v2/submissions/{sent['submissionId']}").status_code == 404


def test_a_rejection_carries_its_problem_to_the_sender(sender: Caller, subscriber: Caller, offer: Offer) -> None:
    sent = _klarbau_send(sender, offer)
    problem = {"type": f"{PROBLEMS}schema-violation", "title": "Schema violation", "detail": "…", "instance": "data"}
    reject = event_token(
        "reject-submission",
        {"problems": [problem]},
        issuer=offer.destination_id,
        submission_id=sent["submissionId"],
        case_id=sent["caseId"],
        key=offer.signing_key,
    )
    assert _post_event(subscriber, sent["caseId"], reject).status_code == 204
    log = _php_log(sender, sent["submissionId"])
    assert _php_verifier(sender).states(log)[-1] == "REJECTED"
    assert next(iter(claims(log[-1])["events"].values()))["problems"] == [problem]


def test_vorgangswerk_seals_an_attachment_under_its_own_media_type(
    sender: Caller, subscriber: Caller, offer: Offer
) -> None:
    _klarbau_collect(subscriber, offer, _klarbau_send(sender, offer, attachment_type="application/pdf"))


def _numbers(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    parts = {"n": numbers.n.to_bytes(512), "e": numbers.e.to_bytes(3)}
    return {name: urlsafe_b64encode(value).rstrip(b"=").decode() for name, value in parts.items()}


def _public_key(use: str, algorithm: str, operation: str) -> dict[str, Any]:
    """Make an RSA-4096 JWK with a self-signed certificate, as the provisioning script does."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Musterstadt {use}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(private, hashes.SHA512())
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return {
        "kty": "RSA",
        "alg": algorithm,
        "key_ops": [operation],
        "kid": f"{uuid.uuid4()}-{use}",
        "x5c": [b64encode(der).decode()],
        **_numbers(private.public_key()),
    }


def test_the_provisioning_script_creates_a_destination_and_activates_it(subscriber: Caller, offer: Offer) -> None:
    encryption = _public_key("wrapKey", "RSA-OAEP-256", "wrapKey")
    wanted = {
        "name": "Ordnungsamt Musterstadt",
        "contactInformation": {"legalName": "Musterstadt", "email": "post@musterstadt.example"},
        "services": [
            {
                "identifier": offer.service,
                "regions": [f"DE{offer.ars}"],
                "submissionSchemas": [{"schemaUri": offer.schema_uri, "mimeType": offer.media_type}],
            }
        ],
        "encryptionKid": encryption["kid"],
        "encryptionPublicKey": encryption,
        "signingPublicKey": _public_key("sigKey", "PS512", "verify"),
        "metadataVersions": ["1.3.0", "2.1.0"],
    }
    created = subscriber.call("POST", "/destination-api/v1/destinations", json=wanted)
    assert created.ok, created.text
    path = f"/destination-api/v1/destinations/{created.json()['destinationId']}"
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = subscriber.call("PATCH", path, data=json.dumps({"status": "active"}), headers=merge)
    assert patched.ok, patched.text
    assert patched.json()["status"] == "active"


def test_a_generated_v1_client_finds_the_old_names_and_the_old_status_codes(
    sender: Caller, subscriber: Caller, offer: Offer
) -> None:
    public = sender.call("GET", f"/v1/destinations/{offer.destination_id}").json()
    assert offer.service in {service["identifier"] for service in public["services"]}
    assert "publicServices" not in public
    key = requests.get(
        sender.hub.url(f"/v1/destinations/{offer.destination_id}/keys/{public['encryptionKid']}"), timeout=ANSWER_LIMIT
    ).json()
    announced = sender.call(
        "POST",
        "/v1/submissions",
        json={
            "destinationId": offer.destination_id,
            "announcedAttachments": [],
            "serviceType": {"name": "", "identifier": offer.service},
        },
    )
    assert announced.status_code == 201, announced.text
    path = f"/v1/submissions/{announced.json()['submissionId']}"
    described = seal(metadata(DATA, offer.schema_uri, offer.media_type, {}), key)
    parts = {"encryptedMetadata": described, "encryptedData": seal(DATA, key)}
    submitted = sender.call("PUT", path, json=parts)
    assert submitted.status_code == 202, submitted.text
    collected = subscriber.call("GET", path).json()
    assert collected["serviceType"]["identifier"] == offer.service
    assert "publicService" not in collected
    assert {name: collected[name] for name in parts} == parts
    accept = event_token(
        "accept-submission",
        {"authenticationTags": {name: tag(parts[f"encrypted{name.title()}"]) for name in ("metadata", "data")}},
        issuer=offer.destination_id,
        submission_id=announced.json()["submissionId"],
        case_id=announced.json()["caseId"],
        key=offer.signing_key,
    )
    assert _post_event(subscriber, announced.json()["caseId"], accept, version="v1").status_code == 204


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_routing_command_line_finds_area_and_destination_without_a_token(
    hub: RunningHub, offer: Offer, version: str
) -> None:
    base = hub.url(f"/routing-api/{version}")
    words = [("areaSearchexpression", "Wies*"), ("areaSearchexpression", "*baden")]
    areas = requests.get(f"{base}/areas", params=words, timeout=ANSWER_LIMIT)
    assert areas.status_code == 200, areas.text
    assert "Wiesbaden" in " ".join(area["name"] for area in areas.json()["areas"])
    assert areas.headers["RateLimit-Limit"].isdigit()
    wanted = {"leikaKey": offer.service.rpartition(":")[2], "ars": offer.ars}
    routes = requests.get(f"{base}/routes", params=wanted, timeout=ANSWER_LIMIT)
    assert routes.status_code == 200, routes.text
    found = {route["destinationId"]: route for route in routes.json()["routes"]}
    signed = claims(found[offer.destination_id]["destinationSignature"])
    assert signed["destinationId"] == offer.destination_id
    assert offer.service in {urn for service in signed["services"] for urn in service["leistungIDs"]}


def test_the_typescript_client_collects_and_accepts_what_the_plain_door_accepted(
    hub: RunningHub, sender: Caller, subscriber: Caller, offer: Offer
) -> None:
    content = good_example(offer.schema_uri)
    accepted = sender.call(
        "POST",
        "/hub/v1/applications",
        params={"service": offer.service, "ars": offer.ars},
        files={"data": ("data.json", content, "application/json"), "scan": ("scan.pdf", SCAN, "application/pdf")},
    )
    assert accepted.status_code == 202, accepted.text
    submission_id = accepted.json()["submissionId"]
    row = _listed(subscriber, offer, submission_id)
    path = f"/submission-api/v2/submissions/{submission_id}"
    collected = subscriber.call("GET", path).json()
    assert unseal(collected["encryptedData"], offer.decryption_key) == content
    described = json.loads(unseal(collected["encryptedMetadata"], offer.decryption_key))
    (attachment_id,) = collected["attachments"]
    assert [each["attachmentId"] for each in described["contentStructure"]["attachments"]] == [attachment_id]
    scan = subscriber.call("GET", f"{path}/attachments/{attachment_id}").text
    assert unseal(scan, offer.decryption_key) == SCAN
    log = _php_log(sender, submission_id)
    assert _php_verifier(sender).states(log)[:2] == ["CREATED", "SUBMITTED"]
    accept = event_token(
        "accept-submission",
        {"authenticationTags": tags(collected["encryptedMetadata"], collected["encryptedData"], {attachment_id: scan})},
        issuer=offer.destination_id,
        submission_id=submission_id,
        case_id=row["caseId"],
        key=offer.signing_key,
    )
    assert _post_event(subscriber, row["caseId"], accept).status_code == 204
    assert _php_log(sender, submission_id)[-1] == accept


def test_what_a_connector_writes_back_is_listed_opened_and_proven_as_fit_connects_clients_do_it(
    hub: RunningHub, sender: Caller, offer: Offer, rsa_pair: Any
) -> None:
    sent = _php_send(sender, offer)
    public, private = rsa_pair
    tokens = Tokens(hub.token_url, **hub.credentials("subscriber"))
    connector = Subscriber(
        Session(hub.url("/submission-api"), transport=Direct(), tokens=tokens), issuers=frozenset({hub.base_url})
    )
    said = ReplyMessage(kind="decision", text="Genehmigt.", about=uuid.UUID(sent["submission_id"]), deadline=None)
    enclosed = Attachment(open=lambda: BytesIO(SCAN), filename="Bescheid.pdf", media_type="application/pdf")
    written = connector.write_reply(
        uuid.UUID(sent["case_id"]),
        Message(data=said.content(), media_type=MediaType.JSON, schema_uri=REPLY_SCHEMA, attachments=[enclosed]),
        judge_encryption_key(public, now=datetime.now(UTC), policy=KeyPolicy(), require_x5c=False),
    )
    reply_id = str(written.message.message_id)
    for version in ("v1", "v2"):
        listed = sender.call("GET", f"/submission-api/{version}/replies?caseId={sent['case_id']}&offset=0&limit=100")
        assert listed.status_code == 200, listed.text
        assert [row["replyId"] for row in listed.json()["replies"]] == [reply_id]
        read = sender.call("GET", f"/submission-api/{version}/replies/{reply_id}").json()
        assert ReplyMessage.read(unseal(read["encryptedData"], private)) == said
        described = json.loads(unseal(read["encryptedMetadata"], private))["contentStructure"]
        (attachment_id,) = (each["attachmentId"] for each in described["attachments"])
        file = sender.call("GET", f"/submission-api/{version}/replies/{reply_id}/attachments/{attachment_id}")
        assert unseal(file.text, private) == SCAN
        whole = sender.call("GET", f"/submission-api/{version}/cases/{sent['case_id']}/events?limit=100&offset=0")
        # Events of the reply are there, signed like the others, and are no states of the submission, which may lie waiting.
        states = [each for each in _php_verifier(sender).states(whole.json()["eventLog"]) if each]
        assert states[:2] == ["CREATED", "SUBMITTED"]
        assert set(states[2:]) <= {"NOTIFIED"}
        submits = [claims(each) for each in whole.json()["eventLog"] if claims(each)["sub"] == f"reply:{reply_id}"]
        proven = [body for each in submits for uri, body in each["events"].items() if uri.endswith("submit-reply")]
        assert [each["authenticationTags"] for each in proven] == [written.tags]
