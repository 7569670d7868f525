"""The outer ledgers: what senders were promised and what the receiver got, each line on disk before anybody goes on."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class Ledger:
    """Append-only lines of JSON; ``add`` returns after the line is synced."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, entry: Any) -> None:
        """Write a frozen entry."""
        line = json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            os.write(self._descriptor, line)
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> list[dict[str, Any]]:
        """Return all entries."""
        return [json.loads(line) for line in self.file.read_bytes().splitlines()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """A 202: the application's key, the id that it got, and the hashes of its plaintext and of the sealed data."""

    key: str
    submission_id: str
    plaintext: str
    sealed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reception:
    """One delivery as the receiver saw it. ``jwe`` is the sealed data itself: it is opened at the end."""

    submission_id: str
    delivery_id: str
    attempt: int
    repeat: bool
    jwe: str


def digest(content: bytes) -> str:
    """Return a SHA-512 in hexadecimal."""
    return hashlib.sha512(content).hexdigest()
