"""The proof of contents: who has file and salt shows what was received; nobody else learns anything from a receipt."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from hub.cli import main
from hub.client.plain import Receipt
from hub.crypto import CONTENT_ALGORITHM, base64url, content_proof, proven_parts
from hub.errors import SealBroken
from hub.intake.status import content_salt_of

PLAN = b"%PDF-1.7 Lageplan"
SALT = bytes(range(32))


def submit(door: Door, *, key: str, data: bytes = BAUANTRAG, plan: bytes = PLAN):
    target = f"/hub/v1/applications?service={BAUEN}&ars={TAUNUSSTEIN}"
    lines = [
        b'--b\r\nContent-Disposition: form-data; name="data"\r\nContent-Type: application/xml\r\n\r\n' + data,
        b'--b\r\nContent-Disposition: form-data; name="plan"; filename="lageplan.pdf"\r\n'
        b"Content-Type: application/pdf\r\n\r\n" + plan,
        b"--b--\r\n",
    ]
    headers = (("Content-Type", "multipart/form-data; boundary=b"), ("Idempotency-Key", key))
    answer = door.sender.ask("POST", target, *headers, body=[b"\r\n".join(lines)])
    assert answer.status == 202, answer.body
    return answer.json


@pytest.fixture(scope="module", name="sent")
def one_that_was_sent(door):
    return submit(door, key="one")


def receipt(door, answer):
    return Receipt.verified(answer["receipt"], door.hub.keys.hub_jwks(), content_salt=answer["contentSalt"])


def test_sender_and_citizen_show_what_was_received_part_by_part(door, sent):
    found = receipt(door, sent)
    assert found.parts_with(BAUANTRAG) == ["data"]
    (attachment,) = found.parts_with(PLAN)
    assert attachment in found.claims["contents"]
    assert found.claims["contentProof"]["parts"].keys() == {"data", attachment}, (
        "the hub's own parts are nobody's sending"
    )


def test_another_content_is_not_proven(door, sent):
    for other in (b"", PLAN + b" ", BAUANTRAG[:-1], hashlib.sha512(PLAN).digest()):
        with pytest.raises(SealBroken) as refused:
            receipt(door, sent).parts_with(other)
        assert refused.value.slug == "content-not-proven"


def test_a_swapped_salt_proves_nothing_and_the_same_file_looks_different_twice(door, sent):
    other = submit(door, key="two")
    assert other["contentSalt"] != sent["contentSalt"]
    swapped = Receipt.verified(sent["receipt"], door.hub.keys.hub_jwks(), content_salt=other["contentSalt"])
    with pytest.raises(SealBroken):
        swapped.parts_with(PLAN)
    macs = [set(receipt(door, each).claims["contentProof"]["parts"].values()) for each in (sent, other)]
    assert not macs[0] & macs[1], "nobody sees that two people sent the same"


@pytest.mark.parametrize(
    "salt", ["", "AA", base64url.encode(SALT + b"\0").decode(), base64url.encode(SALT[:-1]).decode()]
)
def test_a_salt_of_another_length_is_none(door, sent, salt):
    with pytest.raises(SealBroken):
        proven_parts(receipt(door, sent).claims, salt, PLAN)


def test_without_the_salt_a_dictionary_guesses_nothing(door):
    answer = submit(door, key="short", plan=b"ja")
    macs = set(receipt(door, answer).claims["contentProof"]["parts"].values())
    claims = receipt(door, answer).claims
    for guess in (b"ja", b"nein"):
        digest = hashlib.sha512(guess).digest()
        public = (b"", claims["sub"].encode(), claims["jti"].encode(), claims["contentProof"]["kid"].encode())
        guesses = {base64url.encode(hmac.digest(each, digest, "sha256")).decode() for each in public}
        guesses |= {base64url.encode(hashlib.sha256(each + digest).digest()).decode() for each in public}
        assert not guesses & macs


def test_the_hub_keeps_no_salt_and_no_fingerprint(door, sent):
    salt = sent["contentSalt"]
    bare = {hashlib.sha512(PLAN).hexdigest(), hashlib.sha512(BAUANTRAG).hexdigest(), hashlib.sha256(PLAN).hexdigest()}
    for path in door.stage.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert salt.encode() not in content, path
            assert base64url.decode(salt.encode(), part="salt") not in content, path
            assert not [each for each in bare if each.encode() in content], path


def test_a_repeat_gets_the_same_salt_also_after_the_key_was_rotated(door, sent):
    door.hub.keys.rotate("secrets", door.clock())
    assert submit(door, key="one")["contentSalt"] == sent["contentSalt"]
    fresh = submit(door, key="after")
    kids = [receipt(door, each).claims["contentProof"]["kid"] for each in (sent, fresh)]
    assert kids[0] != kids[1]
    assert receipt(door, fresh).parts_with(PLAN)


def test_what_came_sealed_has_no_proof_of_contents(door):
    answer = door.send()
    token = door.sender.get(f"/hub/v1/applications/{answer.submission_id}/receipt").body.decode()
    found = Receipt.verified(token, door.hub.keys.hub_jwks())
    assert content_salt_of(door.hub.keys, found.claims) is None
    with pytest.raises(SealBroken, match="sealed already"):
        found.parts_with(b"{}")


def test_the_command_line_verifies_files_offline(door, sent, tmp_path):
    (tmp_path / "answer.json").write_text(json.dumps(sent))
    (tmp_path / "jwks.json").write_text(json.dumps(door.hub.keys.hub_jwks()))
    (tmp_path / "receipt.jws").write_text(sent["receipt"])
    (tmp_path / "antrag.xml").write_bytes(BAUANTRAG)
    (tmp_path / "plan.pdf").write_bytes(PLAN)
    (tmp_path / "other.pdf").write_bytes(PLAN + b"!")

    def verify(file, *more):
        arguments = [str(tmp_path / file), "--jwks", str(tmp_path / "jwks.json"), "--data", str(tmp_path / "none")]
        done = CliRunner().invoke(main, ["receipt", "verify", *arguments, *more])
        return done.exit_code, done.output

    both = ["--content", str(tmp_path / "antrag.xml"), "--content", str(tmp_path / "plan.pdf")]
    code, said = verify("answer.json", *both)
    assert (code, "antrag.xml: data" in said, bool(re.search("plan.pdf: attachment:", said))) == (0, True, True), said
    assert verify("receipt.jws", *both, "--salt", sent["contentSalt"])[0] == 0
    assert verify("receipt.jws", *both)[0] == 1, "without the salt nothing is shown"
    assert verify("answer.json", "--content", str(tmp_path / "other.pdf"))[0] == 1


@given(content=st.binary(max_size=200), other=st.binary(max_size=200), salt=st.binary(min_size=32, max_size=32))
def test_exactly_the_content_under_exactly_the_salt_is_proven(content, other, salt):
    proof = content_proof(salt, {"data": hashlib.sha512(content).hexdigest()})
    claims = {"contentProof": {"alg": CONTENT_ALGORITHM, "parts": proof}}
    said = base64url.encode(salt).decode()
    assert proven_parts(claims, said, content) == ["data"]
    if other != content:
        with pytest.raises(SealBroken):
            proven_parts(claims, said, other)
    turned = base64url.encode(bytes([salt[0] ^ 1]) + salt[1:]).decode()
    with pytest.raises(SealBroken):
        proven_parts(claims, turned, content)
