"""Stamped time (RFC 3161): of the newest checkpoint by real answers of ``openssl ts``, shown offline, in nobody's way."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from uuid import UUID

import pytest
from click.testing import CliRunner
from stage import NOW, staged
from time_authority import OPENSSL, TimeAuthority

from hub.cli import main
from hub.config import load_settings
from hub.crypto.timestamps import LARGEST_ANSWER, read_roots, stamp_request, verify_stamp
from hub.errors import ConfigurationError, SealBroken, Unavailable
from hub.files.strict_yaml import load_yaml
from hub.jobs.stamping import Stamping
from hub.observability.legal_time import ClockReading, ClockState
from hub.proof.checkpoints import verify_proof
from hub.resources import shipped
from hub.transport.connection import Outbound

pytest.importorskip("rfc3161_client", reason="the extra timestamps is not installed")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl on this machine")
MINUTES = timedelta(minutes=20)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with TimeAuthority.made(tmp_path_factory.mktemp("tsa")).serving() as serving:
        yield serving


@pytest.fixture(name="tsa")
def healthy_authority(authority):
    yield authority
    authority.answer, authority.status = None, 200


@pytest.fixture(scope="module")
def hub(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("stamped")) as stage:
        yield stage


def stamping(stage, tsa, **more) -> Stamping:
    said = {"outbound": Outbound(allow_private_addresses=True), "url": tsa.url, "roots": read_roots(tsa.roots), **more}
    return Stamping(store=stage.hub.store, **said)


def test_a_receipts_case_is_shown_to_have_stood_there_at_a_time_that_the_authority_vouches_for(hub, tsa):
    job, asked = stamping(hub, tsa), len(tsa.asked)
    cases = []
    for minute in range(3):
        cases.append(hub.accept().claims["txn"].removeprefix("case:"))
        assert hub.hub.checkpoints.make(NOW + timedelta(minutes=minute)) == 1
    assert job.pending()
    assert [job.run(NOW), job.run(NOW)] == [1, 0]
    assert (job.pending(), len(tsa.asked) - asked) == (False, 1), "one request for all checkpoints before"
    jwks, roots = hub.hub.keys.hub_jwks(), read_roots(tsa.roots)
    said = load_yaml(shipped("openapi.yaml").read_bytes())["components"]["schemas"]["CaseProof"]["properties"]
    for case_id in cases:
        proof = hub.hub.checkpoints.proof(UUID(case_id))
        assert proof.keys() == said.keys()
        assert proof["timestamp"].keys() == said["timestamp"]["properties"].keys()
        assert verify_proof(proof, jwks).stamped is None, "without root certificates nothing is claimed"
        proven = verify_proof(proof, jwks, stamps_by=roots)
        assert proven.stamped is not None
        assert proven.stamped.policy == "1.2.3.4.1"


@pytest.mark.parametrize("attack", ["another token", "cut chain", "another chain", "other roots", "no stamp"])
def test_a_stamp_of_something_else_shows_nothing(hub, tsa, attack, tmp_path):
    case_id = hub.accept().claims["txn"].removeprefix("case:")
    hub.hub.checkpoints.make(NOW)
    hub.accept()
    hub.hub.checkpoints.make(NOW)
    assert stamping(hub, tsa, every=timedelta()).run(NOW + MINUTES) == 1
    proof = hub.hub.checkpoints.proof(UUID(case_id))
    jwks, roots = hub.hub.keys.hub_jwks(), read_roots(tsa.roots)
    assert verify_proof(proof, jwks, stamps_by=roots).stamped is not None
    stamp = proof["timestamp"]
    if attack == "another token":
        stamp["answer"] = base64.b64encode(tsa.reply(stamp_request(b"something else").der)).decode()
    elif attack == "cut chain":
        stamp["checkpoints"] = stamp["checkpoints"][:-1]
    elif attack == "another chain":
        stamp["checkpoints"][0] = proof["checkpoint"]
    elif attack == "other roots":
        roots = read_roots(TimeAuthority.made(tmp_path / "other").roots)
    else:
        stamp["answer"] = ""
    with pytest.raises(SealBroken):
        verify_proof(proof, jwks, stamps_by=roots)


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"", 200), (b"<html>", 200), (b"x" * (LARGEST_ANSWER + 10), 200), (None, 503), (None, 301), ("replay", 200)],
    ids=["nothing", "a page", "too much", "an error", "a redirect", "an earlier answer"],
)
def test_an_authority_that_fails_is_asked_again_and_holds_nobody_up(hub, tsa, answer, status):
    receipt = hub.accept()
    hub.hub.checkpoints.make(NOW)
    job = stamping(hub, tsa, every=timedelta())
    tsa.status = status
    tsa.answer = (
        tsa.reply(stamp_request(hub.hub.store.checkpoints.last().token.encode()).der) if answer == "replay" else answer
    )
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            job.run(NOW + MINUTES)
    assert refused.value.slug == "timestamp-missing"
    assert hub.accept().claims["iat"] >= receipt.claims["iat"], "applications are taken meanwhile"
    tsa.answer, tsa.status = None, 200
    assert job.run(NOW + MINUTES) == 1


def test_an_authority_in_the_own_network_is_never_dialled_unless_settings_open_it(hub, tsa):
    hub.accept()
    hub.hub.checkpoints.make(NOW)
    asked = len(tsa.asked)
    for url in (tsa.url, tsa.url.replace("http:", "https:"), "https://169.254.169.254/latest", "file:///etc/passwd"):
        with pytest.raises(Unavailable):
            stamping(hub, tsa, outbound=Outbound(any_port=True), url=url, every=timedelta()).run(NOW + MINUTES)
    assert len(tsa.asked) == asked


def test_a_receipt_says_whose_clock_it_was_and_the_command_line_verifies_the_stamp_offline(
    hub, tsa, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        hub.hub.system_clock, "reading", lambda: ClockReading(state=ClockState.SYNCHRONISED, maximal_error=7.5)
    )
    accepted = hub.accept()
    assert accepted.claims["clock"] == {"of": "hub", "state": "synchronised", "maxErrorMs": 7.5}
    hub.hub.checkpoints.make(NOW)
    assert stamping(hub, tsa, every=timedelta()).run(NOW + MINUTES) == 1
    case_id = UUID(accepted.claims["txn"].removeprefix("case:"))
    files = {
        "receipt": accepted.receipt.encode(),
        "jwks": json.dumps(hub.hub.keys.hub_jwks()).encode(),
        "proof": json.dumps(hub.hub.checkpoints.proof(case_id)).encode(),
        "roots": tsa.roots,
        "others": TimeAuthority.made(tmp_path / "other").roots,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    def verify(*more):
        named = [str(tmp_path / "receipt"), "--jwks", str(tmp_path / "jwks"), "--proof", str(tmp_path / "proof")]
        done = CliRunner().invoke(main, ["receipt", "verify", *named, *more, "--data", str(tmp_path / "none")])
        return done.exit_code, done.output

    code, said = verify("--tsa-roots", str(tmp_path / "roots"))
    assert (code, "time stamp  2" in said, "synchronised, ± 7.5 ms" in said, "no AI step recorded" in said) == (
        *(0, True, True, True),
    ), said
    assert "not verified" in verify()[1]
    assert verify("--tsa-roots", str(tmp_path / "others"))[0] == 1


def test_settings_of_an_authority_belong_together_and_its_address_is_judged(tmp_path):
    roots = str(tmp_path / "roots.pem")
    for said in (
        {"timestamp_url": "https://tsa.example/tsr"},
        {"timestamp_roots_file": roots},
        {"timestamp_url": "https://127.0.0.1/tsr", "timestamp_roots_file": roots, "environment": "production"},
        {"timestamp_url": "ftp://tsa.example", "timestamp_roots_file": roots},
    ):
        with pytest.raises(ConfigurationError) as refused:
            load_settings(tmp_path, {}, **said)
        assert "timestamp_" in refused.value.detail.en


def test_an_answer_counts_for_its_content_request_and_roots_alone(tsa, tmp_path):
    wanted, roots = stamp_request(b"content"), read_roots(tsa.roots)
    answer = tsa.reply(wanted.der)
    assert verify_stamp(answer, b"content", roots, nonce=wanted.nonce).accuracy == 1.0
    other = read_roots(TimeAuthority.made(tmp_path / "other").roots)
    for wrong in (
        (answer, b"other", roots, wanted.nonce),
        (answer, b"content", other, None),
        (answer, b"content", roots, 1),
    ):
        with pytest.raises(SealBroken):
            verify_stamp(*wrong[:3], nonce=wrong[3])
    turned = bytearray(answer)
    turned[-20] ^= 1
    for broken in (bytes(turned), answer[:-1], b"", b"0" * 100):
        with pytest.raises(SealBroken):
            verify_stamp(broken, b"content", roots)
    with pytest.raises(ConfigurationError):
        read_roots(b"no certificate")
