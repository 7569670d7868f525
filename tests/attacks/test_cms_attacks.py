"""A sender, or whoever gets hold of a mail, against what is sealed as CMS: names, types and structures."""

from __future__ import annotations

from pathlib import Path

import pytest
from openssl_cms import opened, pem_key
from test_crypto_cms import certified, sealed  # noqa: F401  # a fixture

from hub.errors import UnsupportedMedia


@pytest.mark.parametrize("content_type", ["", "pdf", "text/html\r\nBcc: x", "a/b; c=\n"])
def test_what_is_no_media_type_gets_into_no_head(certified, content_type):  # noqa: F811
    with pytest.raises(UnsupportedMedia):
        sealed(certified, b"x", content_type=content_type)


def test_a_stranger_opens_nothing(certified, other_rsa_pair, tmp_path: Path):  # noqa: F811
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
def test_a_file_name_is_a_name_and_nothing_else(certified, rsa_pair, tmp_path: Path, given, kept):  # noqa: F811
    _seal, der = sealed(certified, b"x", filename=given)
    assert opened(der, pem_key(rsa_pair[1]), tmp_path, inform="DER").filename == kept


@pytest.mark.parametrize("content_type", ["multipart/alternative; boundary=x", "message/rfc822", "Multipart/Mixed"])
def test_a_structure_of_the_senders_is_carried_as_a_file(certified, rsa_pair, tmp_path: Path, content_type):  # noqa: F811
    """A mail program must not take what was sent for parts of the hub's mail."""
    _seal, der = sealed(certified, b"--x\r\n\r\n", content_type=content_type, filename="x")
    assert opened(der, pem_key(rsa_pair[1]), tmp_path, inform="DER").media_type == "application/octet-stream"
