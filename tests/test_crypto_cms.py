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
from hub.crypto.pki import InsecureDevelopmentAuthority
from hub.errors import KeyRefused, UnsupportedMedia

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


@pytest.mark.parametrize("content_type", ["", "pdf", "text/html\r\nBcc: x", "a/b; c=\n"])
def test_what_is_no_media_type_gets_into_no_head(certified, content_type):
    with pytest.raises(UnsupportedMedia):
        sealed(certified, b"x", content_type=content_type)


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


def test_a_stranger_opens_nothing(certified, other_rsa_pair, tmp_path: Path):
    _seal, der = sealed(certified, b"Erika Mustermann " * 100)
    with pytest.raises(AssertionError, match="openssl"):
        opened(der, pem_key(other_rsa_pair[1]), tmp_path, inform="DER")


@pytest.mark.parametrize(
    ("given", "kept"),
    {
        "Geburtsurkunde Müller.pdf": "Geburtsurkunde Müller.pdf",
        "../../etc/passwd": "passwd",
        "C:\\fakepath\\plan.dwg": "plan.dwg",
        'x"; filename="y.exe': "x_ filename=_y.exe",
        "a\r\nContent-Type: text_html": "a_Content-Type_ text_html",
        "..": "datei",
        "": "datei",
        "x" * 500: "x" * 120,
    }.items(),
)
def test_a_file_name_is_a_name_and_nothing_else(certified, rsa_pair, tmp_path: Path, given, kept):
    _seal, der = sealed(certified, b"x", filename=given)
    assert opened(der, pem_key(rsa_pair[1]), tmp_path, inform="DER").filename == kept


@pytest.mark.parametrize("content_type", ["multipart/alternative; boundary=x", "message/rfc822", "Multipart/Mixed"])
def test_a_structure_of_the_senders_is_carried_as_a_file(certified, rsa_pair, tmp_path: Path, content_type):
    """A mail program must not take what was sent for parts of the hub's mail."""
    _seal, der = sealed(certified, b"--x\r\n\r\n", content_type=content_type, filename="x")
    assert opened(der, pem_key(rsa_pair[1]), tmp_path, inform="DER").media_type == "application/octet-stream"
