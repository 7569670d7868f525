"""CMS: openssl, another implementation, opens what we seal."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openssl_cms import opened, pem_key
from stage import NOW

from hub.crypto import cms, keys
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.errors import KeyRefused

Pair = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory, rsa_pair: Pair) -> keys.EncryptionKey:
    folder = tmp_path_factory.mktemp("pki")
    authority = InsecureDevelopmentAuthority.load_or_create(folder, now=NOW, production=False)
    policy = keys.KeyPolicy(trust_anchors=(authority.certificate,))
    jwk = authority.issue(rsa_pair[0], subject="Wiesbaden", now=NOW, days=9)
    return keys.judge_encryption_key(jwk, now=NOW, policy=policy)


def sealed(key: keys.EncryptionKey, *pieces: bytes, content_type: str = "application/pdf", filename: str = "a.pdf"):
    out: list[bytes] = []
    writer = cms.CmsWriter(key, content_type=content_type, filename=filename, sink=out.append)
    for piece in pieces:
        writer.write(piece)
    return writer.finish(), b"".join(out)


def test_a_key_without_certificate_seals_nothing(encryption_key):
    with pytest.raises(KeyRefused):
        sealed(encryption_key, b"x")


@pytest.mark.parametrize("pieces", [(), (b"\r\n.\n\r",), (os.urandom(70_000), os.urandom(1), b"\n")], ids=len)
def test_openssl_opens_what_we_seal_byte_for_byte(certified, rsa_pair, tmp_path: Path, pieces):
    seal, der = sealed(certified, *pieces)
    found = opened(der, pem_key(rsa_pair[1]), tmp_path, inform="DER")
    assert found.body == b"".join(pieces)
    assert (found.media_type, found.filename) == ("application/pdf", "a.pdf")
    assert (seal.sha512, seal.size) == (hashlib.sha512(der).hexdigest(), len(der))
    assert (seal.plaintext_sha512, seal.plaintext_size) == (hashlib.sha512(found.body).hexdigest(), len(found.body))
    assert seal.tag == ""


def test_the_seal_is_aes_256_for_the_certificate(certified, tmp_path: Path):
    _seal, der = sealed(certified, b"x")
    (tmp_path / "sealed").write_bytes(der)
    shown = ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", "sealed"]
    printed = subprocess.run(shown, cwd=tmp_path, capture_output=True, check=True, timeout=20, text=True).stdout
    assert "aes-256-cbc" in printed
    assert f"{cms.recipient(certified).serial_number:X}" in printed


def test_whose_it_is_can_be_told_from_its_beginning_without_a_key(certified, rsa_pair, tmp_path: Path):
    _seal, der = sealed(certified, bytes(50_000))
    assert cms.is_recipient(der[:4096], certified.jwk)
    authority = InsecureDevelopmentAuthority.load_or_create(tmp_path, now=NOW, production=False)
    again = authority.issue(rsa_pair[0], subject="Wiesbaden", now=NOW, days=9)  # The same key, certified anew.
    assert not cms.is_recipient(der[:4096], again)
    with pytest.raises(KeyRefused):
        cms.is_recipient(der, {"kid": "none"})
