"""A connector's listener that takes every push, and pushes in the form that it wants."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from uuid import UUID

import orjson
from stage import NOW

from hub.connector.listener import Listener, ListenerBounds
from hub.connector.settings import Listen

SECRET = "s" * 32


def listener(folder: Path, bounds: ListenerBounds, *, largest: int = 2_000_000) -> Listener:
    (folder / "secret").write_text(SECRET, "ascii")
    (folder / "secret").chmod(0o600)
    settings = Listen(
        address="127.0.0.1",
        port=0,
        secret_file=folder / "secret",
        certificate_file=None,
        key_file=None,
        largest=largest,
    )
    return Listener(settings, lambda _: True, lambda: NOW, bounds=bounds)


def envelope(size: int = 0) -> bytes:
    """A push that is in form; ``size`` bytes of blanks make it a large one."""
    document = {
        "version": 1,
        **{name: str(UUID(int=1)) for name in ("submissionId", "caseId", "destinationId")},
        "publicService": {"identifier": "urn:x", "name": "x"},
        "encryptedMetadata": "e30.e30.e30.e30.e30",
        "attachments": [],
        "eventLog": [],
    }
    return orjson.dumps(document) + b" " * size


def signed(body: bytes) -> bytes:
    stamp = str(int(NOW.timestamp()))
    signature = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha512).hexdigest()
    return f"Callback-Timestamp: {stamp}\r\nCallback-Authentication: {signature}\r\n".encode()
