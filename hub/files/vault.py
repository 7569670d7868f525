"""Private files: whatever holds a secret on disk, written whole or not at all, and for the hub's own account alone.

The one judge of modes. A file of the hub's own account is for nobody else; one that belongs to another account (containers
mount secrets as root's, and let the hub in by its group) may be readable for the group. Nobody else may write where secrets
lie, or he puts his own in their place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.errors import ConfigurationError, Text

#: What the group and others may do with a secret of the hub's own account: nothing.
_OWN = stat.S_IRWXG | stat.S_IRWXO
#: What they must not do with one of another account's.
_MOUNTED = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
#: What they must not do with a folder.
_FOLDER = stat.S_IWGRP | stat.S_IWOTH
_LOCK = ".lock"


def make_folder(folder: Path) -> None:
    """Make ``folder`` with mode 0700, parents included, if it is missing.

    Raises:
        ConfigurationError: it cannot be made where it is named.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        why = os.strerror(exc.errno or 0)
        raise ConfigurationError(
            Text(
                f"Der Ordner {folder} lässt sich nicht anlegen ({why}). Nennen Sie einen anderen, oder legen Sie ihn an.",
                f"The folder {folder} cannot be made ({why}). Name another one, or make it yourself.",
            )
        ) from exc


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
    sync_folder(path.parent)


def read(path: Path, *, most: int = -1) -> bytes:
    """Return the content of a private file; with ``most`` no more than so many bytes of it.

    Raises:
        FileNotFoundError: there is none.
        ConfigurationError: others may read or change it, so that its content can no longer be trusted to be secret.
    """
    with path.open("rb") as source:
        _judge(path, os.fstat(source.fileno()))
        require_place(path.parent)
        return source.read(most)


def read_text(path: Path, *, most: int, encoding: str = "utf-8") -> str:
    """Return the secret in a file that somebody wrote by hand, without the blanks and line ends around it.

    Raises:
        ConfigurationError: it is open to other accounts.
        OSError: it cannot be read, or has more than ``most`` bytes.
        UnicodeDecodeError: it is no text.
    """
    content = read(path, most=most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, "larger than any secret", path.name)
    return content.decode(encoding).strip()


def require_privacy(path: Path) -> None:
    """Refuse a file that holds a secret, or a folder of such files, that is open to other accounts; absent ones pass.

    Raises:
        ConfigurationError: others may read or change the file, or put others into the folder; says which and what to do.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(status.st_mode):
        _judge(path, status)
    elif status.st_mode & _FOLDER:
        raise _open_to_writers(path, status)


def require_integrity(path: Path) -> None:
    """Refuse a file that must be no secret and is believed, such as settings, where other accounts may change or replace it.

    Raises:
        ConfigurationError: they may write to it, or into its folder; says which and what to do.
        OSError: it cannot be looked at.
    """
    status = path.stat()
    if status.st_mode & _FOLDER:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(
            Text(
                f"Die Datei {path} dürfen andere Konten ändern ({mode:04o}). Setzen Sie die Rechte: chmod go-w {path}",
                f"Other accounts may change the file {path} ({mode:04o}). Set its mode: chmod go-w {path}",
            ),
            file=path.name,
        )
    require_place(path.parent)


def require_place(folder: Path) -> None:
    """Refuse a folder in which other accounts may put a file in another's place.

    Raises:
        ConfigurationError: they may; says what to do.
        OSError: it cannot be looked at.
    """
    status = folder.stat()
    # The sticky bit keeps each to files of his own: so are secrets mounted.
    if status.st_mode & _FOLDER and not status.st_mode & stat.S_ISVTX:
        raise _open_to_writers(folder, status)


def _open_to_writers(folder: Path, status: os.stat_result) -> ConfigurationError:
    mode = stat.S_IMODE(status.st_mode)
    return ConfigurationError(
        Text(
            f"In den Ordner {folder} dürfen andere Konten schreiben ({mode:04o}); sie könnten Schlüssel austauschen. "
            f"Setzen Sie die Rechte: chmod 0700 {folder}",
            f"Other accounts may write into the folder {folder} ({mode:04o}); they could replace keys. "
            f"Set its mode: chmod 0700 {folder}",
        ),
        file=folder.name,
    )


def _judge(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & (_OWN if status.st_uid == os.geteuid() else _MOUNTED):
        raise ConfigurationError(
            Text(
                f"Die Datei {path.name} enthält Geheimes und ist für andere Konten zugänglich ({mode:04o}). Setzen Sie die "
                f"Rechte (chmod 0600 {path}), und tauschen Sie das Geheimnis aus, wenn es gelesen worden sein kann.",
                f"The file {path.name} holds a secret and is open to other accounts ({mode:04o}). Set its mode (chmod 0600 "
                f"{path}), and replace the secret if somebody may have read it.",
            ),
            file=path.name,
        )


def remove(path: Path) -> None:
    """Remove ``path`` for good, if it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process of all nodes that share it makes keys at a time."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: files that were written there, renamed or removed. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
