"""Private files: key material on disk, written whole or not at all, readable by the hub's own account alone."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.errors import ConfigurationError, Text

#: What others may do with a key file: nothing; what the group may do: read (containers mount secrets that way).
_TOO_OPEN = stat.S_IRWXO | stat.S_IWGRP
_LOCK = ".lock"


def make_folder(folder: Path) -> None:
    """Make ``folder`` with mode 0700, parents included, if it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write ``path`` with mode 0600: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read(path: Path) -> bytes:
    """Return the content of a private file.

    Raises:
        FileNotFoundError: there is none.
        ConfigurationError: others may read or change it, so that its content can no longer be trusted to be secret.
    """
    with path.open("rb") as source:
        mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
        if mode & _TOO_OPEN:
            raise ConfigurationError(
                Text(
                    f"Die Schlüsseldatei {path.name} ist für andere Konten zugänglich ({mode:04o}). Setzen Sie die "
                    "Rechte auf 0600 und tauschen Sie den Schlüssel aus, wenn er gelesen worden sein kann.",
                    f"The key file {path.name} is open to other accounts ({mode:04o}). Set its mode to 0600, and "
                    "replace the key if somebody may have read it.",
                )
            )
        return source.read()


def remove(path: Path) -> None:
    """Remove ``path`` for good, if it is there."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process of all nodes that share it makes keys at a time."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
