"""``hub receipt verify`` takes what people have at hand, and refuses what leaves it open which key counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from hub.cli.main import main
from hub.crypto.keys import make_ed25519_pair, read_signing_key
from hub.crypto.receipts import make_receipt
from hub.errors import SealBroken
from hub.proof.checkpoints import verify_proof

CLAIMS = {"sub": "submission:1", "txn": "case:1", "iat": int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())}


@pytest.fixture
def signed(tmp_path: Path) -> tuple[str, dict[str, object]]:
    public, private = make_ed25519_pair("receipt-")
    return make_receipt(read_signing_key(private, written_by_us=True), CLAIMS), dict(public)


def _verify(tmp_path: Path, receipt: str, jwks: object):
    (tmp_path / "receipt").write_text(receipt)
    (tmp_path / "jwks").write_text(json.dumps(jwks))
    return CliRunner().invoke(main, ["receipt", "verify", str(tmp_path / "receipt"), "--jwks", str(tmp_path / "jwks")])


def test_the_receipt_alone_and_the_answer_that_brought_it_are_verified_alike(tmp_path: Path, signed) -> None:
    receipt, public = signed
    for content in (receipt, f"{receipt}\n", json.dumps({"submissionId": "1", "receipt": receipt})):
        ended = _verify(tmp_path, content, {"keys": [public]})
        assert ended.exit_code == 0, ended.output
        assert "genuine" in ended.output


@pytest.mark.parametrize("jwks", [[], [{"kid": "x"}], "text", 7, None, {}, {"keys": {}}, {"keys": None}])
def test_what_is_no_key_list_is_refused_in_words(tmp_path: Path, signed, jwks: object) -> None:
    ended = _verify(tmp_path, signed[0], jwks)
    assert ended.exit_code == 1
    assert "no key list" in ended.output


def test_a_key_list_with_one_name_twice_is_refused_whichever_comes_first(tmp_path: Path, signed) -> None:
    receipt, public = signed
    other = dict(make_ed25519_pair("other-")[0]) | {"kid": public["kid"]}
    for keys in ([public, other], [other, public], [public, public]):
        ended = _verify(tmp_path, receipt, {"keys": keys})
        assert ended.exit_code == 1
        assert "more than once" in ended.output


def test_bytes_that_are_no_text_are_no_receipt(tmp_path: Path, signed) -> None:
    for content in ("ünfug", "[" * 100_000):
        ended = _verify(tmp_path, content, {"keys": [signed[1]]})
        assert ended.exit_code == 1
        assert isinstance(ended.exception, SystemExit), content[:5]


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, 1.0, True])
def test_a_proof_of_another_version_is_refused_as_such(version: object) -> None:
    with pytest.raises(SealBroken) as caught:
        verify_proof({"version": version, "checkpoint": ""}, {"keys": []})
    assert caught.value.slug == "proof-version-unknown"
