"""CMS: openssl, another implementation, opens what we seal."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.crypto import certificates, cms, keys
from hub.crypto.pki import InsecureDevelopmentAuthority
from hub.errors import KeyRefused

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Pair = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> InsecureDevelopmentAuthority:
    return InsecureDevelopmentAuthority.load_or_create(tmp_path_factory.mktemp("pki"), now=NOW, production=False)


def pem(authority: InsecureDevelopmentAuthority, public: dict[str, Any]) -> bytes:
    leaf = certificates.read_chain(authority.issue(public, subject="Wiesbaden", now=NOW, days=9)["x5c"])[0]
    return leaf.public_bytes(Encoding.PEM)


def test_a_certificate_that_the_policy_does_not_accept_is_refused(
    authority: InsecureDevelopmentAuthority, rsa_pair: Pair, signature_pair: Pair
) -> None:
    trusting = keys.KeyPolicy(trust_anchors=(authority.certificate,))
    good = pem(authority, rsa_pair[0])
    weak, _ = keys.make_rsa_pair("encryption", bits=2048)
    for certificate, policy, now in (
        (b"no certificate", trusting, NOW),
        (base64.b64encode(good), trusting, NOW),
        (good, keys.KeyPolicy(), NOW),
        (good, trusting, NOW + timedelta(days=10)),
        (pem(authority, signature_pair[0]), trusting, NOW),
        (pem(authority, weak), trusting, NOW),
    ):
        with pytest.raises(KeyRefused):
            cms.judge_recipient(certificate, now=now, policy=policy)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_openssl_opens_what_we_seal(
    authority: InsecureDevelopmentAuthority,
    rsa_pair: Pair,
    decryption_key: keys.DecryptionKey,
    tmp_path: Path,
    size: int,
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    policy = keys.KeyPolicy(trust_anchors=(authority.certificate,))
    recipient = cms.judge_recipient(pem(authority, rsa_pair[0]), now=NOW, policy=policy)
    content = os.urandom(size)
    (tmp_path / "sealed").write_bytes(cms.seal(recipient, content))
    private = decryption_key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(private)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "sealed", "-inkey", "key"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=20).stdout == content
    shown = ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", "sealed"]
    printed = subprocess.run(shown, cwd=tmp_path, capture_output=True, check=True, timeout=20, text=True).stdout
    assert "aes-256-cbc" in printed
