"""What a person with ``openssl cms`` does to open S/MIME."""

from __future__ import annotations

import email
import shutil
import subprocess
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.crypto import keys


@dataclass(frozen=True)
class File:
    filename: str | None
    media_type: str
    body: bytes


def pem_key(private_jwk: dict[str, Any]) -> bytes:
    private = keys.read_decryption_key(private_jwk, written_by_us=True).private_key
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def opened(sealed: bytes, key: bytes, folder: Path, *, inform: str) -> File:
    """Open ``sealed`` (SMIME: a message; DER) and take the MIME entity inside apart at its empty line."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (folder / "sealed").write_bytes(sealed)
    (folder / "key").write_bytes(key)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", inform, "-in", "sealed", "-inkey", "key"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, f"openssl: {done.stderr.decode()}"
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    entity = email.message_from_bytes(head + b"\r\n\r\n", policy=policy.SMTP)
    return File(filename=entity.get_filename(), media_type=entity.get_content_type(), body=body)


def messages_in(mail: bytes) -> dict[str, EmailMessage]:
    """Return the messages attached to a mail, by file name."""
    outer = email.message_from_bytes(mail, policy=policy.SMTP)
    return {
        part.get_filename(): part.get_content()
        for part in outer.iter_attachments()
        if part.get_content_type() == "message/rfc822"
    }
