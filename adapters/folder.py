"""Put each delivery into a folder that the receiving system watches: sealed files, and all of them or none.

``<root>/<delivery id>/`` holds ``metadata.jwe``, ``data.jwe``, ``attachments/<attachment id>.jwe`` and, written last,
``manifest.json``. The directory gets its name in one rename after everything in it is on disk, so a reader never sees
half a delivery, and a repeated attempt finds the name taken instead of making a second copy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from hub.errors import Unavailable
from hub.files import vault
from hub.model import Adapter, Outcome, OutcomeKind, Package
from hub.model.adapter import (
    ADDRESS,
    MANIFEST,
    PLAIN,
    MixedUp,
    checked,
    file_name,
    manifest,
    not_readable,
    read_options,
    require,
    require_envelope,
    require_readable,
    unusable,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderOptions:
    """``path``: the folder, absolute. ``envelope``: the manifest's version, proven by the receipt (2) or event tokens (1)."""

    path: str = field(metadata=ADDRESS)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)

    def __post_init__(self) -> None:
        require_envelope("folder", self.envelope)
        require_readable("folder", self.readable)
        if not Path(self.path).is_absolute():
            raise unusable("folder", "braucht in path einen absoluten Pfad", "needs an absolute path in path")


class Folder:
    """Deliver into the directory ``path`` (absolute; it must exist when the adapter opens)."""

    name = "folder"
    options = FolderOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        options = read_options(self.name, FolderOptions, config)
        self._root = Path(options.path)
        self._version = options.envelope

    def open(self) -> None:
        """Check that the folder is there; ``ConfigurationError`` if it is not."""
        try:
            found = self._root.is_dir()
        except OSError:  # Not even its parent may be looked into.
            found = False
        require(
            self.name, found, "findet den Ordner der Option path nicht", "cannot find the folder of the option path"
        )

    def deliver(self, package: Package) -> Outcome:
        """Write one delivery; an earlier attempt's complete directory counts as delivered."""
        final = self._root / str(package.delivery_id)
        working = _draft(self._root, package)
        try:
            if (final / MANIFEST).is_file():
                return self._found()
            self._clear_leftovers(package)
            _write_all(working, package, self._version)
            return self._publish(working, final)
        except (MixedUp, Unavailable) as exc:
            return not_readable(exc)
        except OSError as exc:
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"folder: {os.strerror(exc.errno or 0)}")
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def close(self) -> None:
        """Hold nothing."""

    def _clear_leftovers(self, package: Package) -> None:
        """Remove what a crash in an earlier attempt of this delivery left behind.

        It may be alive after all, on another node. Taken away whole, it fails; emptied file by file, it would be published
        with what is written after.
        """
        for leftover in self._root.glob(f".{package.delivery_id}.*.part"):
            aside = _draft(self._root, package)
            with suppress(OSError):  # Another attempt was faster.
                leftover.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)

    def _publish(self, working: Path, final: Path) -> Outcome:
        try:
            working.rename(final)
        except OSError:
            # Renaming onto a directory that has content fails: another attempt was faster, which is as good.
            if not (final / MANIFEST).is_file():
                raise
            return self._found()
        vault.sync_folder(self._root)
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {final.name}")

    def _found(self) -> Outcome:
        # The earlier attempt may have died between its rename and its fsync.
        vault.sync_folder(self._root)
        return Outcome(kind=OutcomeKind.DELIVERED, note="was already there, whole")


def _draft(root: Path, package: Package) -> Path:
    """Return a path for what is not whole: no two attempts write to one."""
    return root / f".{package.delivery_id}.{uuid4().hex}.part"


def _write_all(working: Path, package: Package, version: int) -> None:
    attachments = working / "attachments"
    working.mkdir(mode=0o750)
    attachments.mkdir(mode=0o750)
    for part, sealed in package.submission.contents.parts():
        _write(working / file_name(part), checked(package, sealed))
    vault.sync_folder(attachments)
    _write(working / MANIFEST, iter([manifest(package, version=version)]))
    vault.sync_folder(working)


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


_: type[Adapter] = Folder
