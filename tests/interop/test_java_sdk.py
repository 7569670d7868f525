"""FIT-Connect's own Java SDK, unmodified, sends, collects, routes and validates callbacks against a running hub.

Two lines, pinned in ``java/pom.xml``. Each test asserts on what the SDK itself found: it verifies keys, event logs,
authentication tags, hashes, metadata and routing signatures before it answers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import java_signatures
import pytest
import requests
from java_sdk import PROJECT, Facts, JavaSdk, build, configuration
from running_hub import ANSWER_LIMIT, Offer, RunningHub, good_example

from hub.crypto.jwk import make_rsa_pair

XML = '<?xml version="1.0" encoding="UTF-8"?>\n<antrag><vorname>Jürgen</vorname></antrag>\n'
JSON = '{"antrag": {"vorname": "Jürgen"}}'
SECRET = "0123456789abcdef0123456789abcdef"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["sdk2", "sdk3"])
def sdk(request: pytest.FixtureRequest) -> JavaSdk:
    return build(request.param)


@pytest.fixture(scope="module")
def offers(hub: RunningHub) -> Mapping[str, Offer]:
    return {kind: hub.offer(f"application/{kind}") for kind in ("xml", "json")}


@pytest.fixture(scope="module")
def configs(
    sdk: JavaSdk, hub: RunningHub, offers: Mapping[str, Offer], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """Write one configuration for each destination: a client of the SDK holds one destination's keys."""
    return {
        kind: configuration(
            sdk,
            hub,
            tmp_path_factory.mktemp(kind),
            {"decryption": offer.decryption_key, "signing": offer.signing_key},
        )
        for kind, offer in offers.items()
    }


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Make a small attachment and one of 25 MB that does not compress."""
    folder = tmp_path_factory.mktemp("scans")
    sizes = {"small": 20_000, "big": 25_000_000}
    for name, size in sizes.items():
        (folder / f"{name}.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(size))
    return {name: folder / f"{name}.pdf" for name in sizes}


def _send(kind: str, offer: Offer, config: Path, folder: Path, **more: Any) -> dict[str, Any]:
    data = folder / f"data.{kind}"
    data.write_text({"xml": XML, "json": JSON}[kind])
    return {
        "step": "send",
        "config": config,
        "label": kind,
        "format": kind,
        "destination": offer.destination_id,
        "service": offer.service,
        "name": offer.name,
        "schema": offer.schema_uri,
        "data": data,
        **more,
    }


@pytest.fixture(scope="module")
def exchange(
    sdk: JavaSdk,
    offers: Mapping[str, Offer],
    configs: Mapping[str, Path],
    scans: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Facts:
    """Send XML with a small and JSON with a big attachment; collect both; accept one and reject the other."""
    folder = tmp_path_factory.mktemp("exchange")
    status = [{"step": "status", "config": configs[kind], "label": kind} for kind in ("xml", "json")]
    steps = [
        _send("xml", offers["xml"], configs["xml"], folder, attachments=scans["small"]),
        _send("json", offers["json"], configs["json"], folder, attachments=f"{scans['small']}|{scans['big']}"),
        *status,
        {"step": "list", "config": configs["xml"], "destination": offers["xml"].destination_id},
        {"step": "collect", "config": configs["xml"], "label": "xml", "outcome": "accept"},
        {"step": "collect", "config": configs["json"], "label": "json", "outcome": "reject"},
        *status,
    ]
    return sdk.run(steps, folder)


def _sha512(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest()


def test_the_sender_reads_that_its_submissions_have_arrived(exchange: Facts) -> None:
    assert {exchange.of("status", number)["state"] for number in (0, 1)} <= {"SUBMITTED", "NOTIFIED"}


def test_the_subscriber_lists_what_was_sent(exchange: Facts) -> None:
    sent = exchange.of("send")
    assert sent["submission_id"] in {row["submission_id"] for row in exchange.of("list")["waiting"]}


def test_xml_and_its_attachment_arrive_unchanged(exchange: Facts, scans: Mapping[str, Path]) -> None:
    collected = exchange.of("collect")
    assert collected["media_type"] == "application/xml"
    assert collected["sha512"] == _sha512(XML.encode())
    assert [item["sha512"] for item in collected["attachments"]] == [_sha512(scans["small"].read_bytes())]


def test_json_and_an_attachment_of_25_megabytes_arrive_unchanged(exchange: Facts, scans: Mapping[str, Path]) -> None:
    collected = exchange.of("collect", 1)
    assert collected["sha512"] == _sha512(JSON.encode())
    assert {item["sha512"] for item in collected["attachments"]} == {_sha512(s.read_bytes()) for s in scans.values()}


def test_the_sender_reads_acceptance_and_rejection_with_its_problem(exchange: Facts) -> None:
    assert exchange.of("status", 2)["state"] == "ACCEPTED"
    rejected = exchange.of("status", 3)
    assert rejected["state"] == "REJECTED"
    assert any("schema-violation" in problem for problem in rejected["problems"]) or not rejected["problems"]


def test_a_chunked_attachment_arrives_as_one(
    sdk: JavaSdk, offers: Mapping[str, Offer], configs: Mapping[str, Path], scans: Mapping[str, Path], tmp_path: Path
) -> None:
    steps = [
        _send("xml", offers["xml"], configs["xml"], tmp_path, large=scans["big"]),
        {"step": "collect", "config": configs["xml"], "label": "xml", "outcome": "accept"},
    ]
    facts = sdk.run(steps, tmp_path)
    if "unsupported" in facts.of("send"):
        pytest.skip(f"{sdk.line} cannot cut attachments into chunks")
    assert [item["sha512"] for item in facts.of("collect")["attachments"]] == [_sha512(scans["big"].read_bytes())]


def test_the_router_finds_area_and_destination_and_trusts_their_signatures(
    sdk: JavaSdk, offers: Mapping[str, Offer], configs: Mapping[str, Path], tmp_path: Path
) -> None:
    offer, config = offers["json"], configs["json"]
    service = offer.service.rpartition(":")[2]
    steps = [
        {"step": "areas", "config": config, "words": "Wiesbaden"},
        {"step": "destinations", "config": config, "service": service, "ars": offer.ars},
    ]
    facts = sdk.run(steps, tmp_path)
    assert any("Wiesbaden" in area["name"] for area in facts.of("areas")["areas"])
    assert offer.destination_id in facts.of("destinations")["destination_ids"]


def test_the_authority_replies_where_the_sdk_can(
    sdk: JavaSdk, hub: RunningHub, offers: Mapping[str, Offer], configs: Mapping[str, Path], tmp_path: Path
) -> None:
    offer, config = offers["json"], configs["json"]
    key = tmp_path / "reply-key.json"
    key.write_text(json.dumps(make_rsa_pair("encryption", kid_prefix="reply-")[0]))
    answer = tmp_path / "answer.json"
    answer.write_text(JSON)
    steps = [
        _send("json", offer, config, tmp_path),
        {"step": "collect", "config": config, "label": "json", "outcome": "leave"},
        {"step": "reply", "config": config, "label": "json", "key": key, "data": answer, "schema": offer.schema_uri},
    ]
    facts = sdk.run(steps, tmp_path)
    replied = facts.of("reply")
    if "unsupported" in replied:
        pytest.skip(f"{sdk.line} offers no replies: {replied['unsupported']}")
    waiting = requests.get(
        hub.url(f"/v1/replies?caseId={replied['case_id']}"),
        headers={"Authorization": f"Bearer {hub.token('sender')}"},
        timeout=ANSWER_LIMIT,
    ).json()
    assert [row["replyId"] for row in waiting["replies"]] == [replied["reply_id"]]


def test_the_program_compiles_against_what_users_of_the_sdk_call(tmp_path: Path) -> None:
    """Where the SDK itself can be had, the tests above compile against it."""
    if not shutil.which("javac"):
        pytest.skip("no JDK on this machine")
    sources = [*(PROJECT / "src").rglob("*.java"), *java_signatures.write(tmp_path / "signatures")]
    command = ["javac", "--release", "17", "-Xlint:all", "-Werror", "-d", tmp_path / "classes", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]


def _callback(config: Path, *, age: int = 0, secret: str = SECRET) -> dict[str, Any]:
    """Sign a callback as the wire's section 11.1 says, ``age`` seconds ago."""
    body = '{"type":"https://schema.fitko.de/fit-connect/submission-api/callbacks/new-submissions","submissions":[]}'
    timestamp = int(time.time()) - age
    signed = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha512).hexdigest()
    values = {"hmac": signed, "timestamp": timestamp, "body": body, "secret": SECRET}
    return {"step": "callback", "config": config, **values}


def test_a_callback_is_valid_only_with_its_secret_and_within_five_minutes(
    sdk: JavaSdk, configs: Mapping[str, Path], tmp_path: Path
) -> None:
    config = configs["json"]
    steps = [_callback(config, secret=SECRET[::-1]), _callback(config, age=400), _callback(config)]
    facts = sdk.run(steps, tmp_path)
    assert [facts.of("callback", number)["valid"] for number in range(3)] == [False, False, True]


def test_what_the_plain_door_accepted_is_collected_by_the_sdk(
    sdk: JavaSdk, hub: RunningHub, offers: Mapping[str, Offer], configs: Mapping[str, Path], tmp_path: Path
) -> None:
    offer = offers["json"]
    content = good_example(offer.schema_uri)
    accepted = requests.post(
        hub.url("/hub/v1/applications"),
        params={"service": offer.service, "ars": offer.ars},
        data=content,
        headers={
            "Authorization": f"Bearer {hub.token('sender')}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),
        },
        timeout=ANSWER_LIMIT,
    )
    assert accepted.status_code == 202, accepted.text
    steps = [
        {"step": "drain", "config": configs["json"], "destination": offer.destination_id, "outcome": "accept"},
    ]
    collected = {item["submission_id"]: item for item in sdk.run(steps, tmp_path).of("drain")["collected"]}
    received = collected[accepted.json()["submissionId"]]
    assert received.get("sha512") == _sha512(content), received
