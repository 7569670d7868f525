"""Put each delivery into a folder that the receiving system watches: sealed files, and all of them or none.

``<root>/<delivery id>/`` holds ``metadata.jwe``, ``data.jwe``, ``attachments/<attachment id>.jwe`` and, written last,
``manifest.json``. The directory gets its name in one rename after everything in it is on disk, so a reader never sees
half a delivery, and a repeated attempt finds the name taken instead of making a second copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from hub.delivery import Adapter
from hub.errors import ConfigurationError, Text, Unavailable
from hub.submission import DeadCause, Outcome, OutcomeKind, Package, Sealed

_OPTIONS = frozenset({"path"})


class Folder:
    """Deliver into the directory ``path`` (absolute; it must exist when the adapter opens)."""

    name = "folder"

    def __init__(self, config: Mapping[str, Any]) -> None:
        unknown = ", ".join(sorted(set(config) - _OPTIONS))
        if unknown:
            raise _unusable(f"kennt diese Optionen nicht: {unknown}", f"does not know these options: {unknown}")
        path = config.get("path")
        if not isinstance(path, str) or not Path(path).is_absolute():
            raise _unusable("braucht die Option path (absoluter Pfad)", "needs the option path (an absolute path)")
        self._root = Path(path)

    def open(self) -> None:
        """Check that the folder is there; ``ConfigurationError`` if it is not."""
        if not self._root.is_dir():
            raise _unusable("findet den Ordner der Option path nicht", "cannot find the folder of the option path")

    def deliver(self, package: Package) -> Outcome:
        """Write one delivery; an earlier attempt's complete directory counts as delivered."""
        final = self._root / str(package.delivery_id)
        working = self._root / f".{package.delivery_id}.{uuid4().hex}.part"
        try:
            if (final / "manifest.json").is_file():
                return self._found()
            self._clear_leftovers(package)
            _write_all(working, package)
            return self._publish(working, final)
        except _Mixed:
            return Outcome(kind=OutcomeKind.REFUSED, note="stored content does not match", cause=DeadCause.HUB)
        except Unavailable as exc:
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"content not readable: {exc.slug}", cause=DeadCause.HUB)
        except OSError as exc:
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"folder: {os.strerror(exc.errno or 0)}")
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def close(self) -> None:
        """Hold nothing."""

    def _clear_leftovers(self, package: Package) -> None:
        """Remove what a crash in an earlier attempt of this delivery left behind."""
        for leftover in self._root.glob(f".{package.delivery_id}.*.part"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _publish(self, working: Path, final: Path) -> Outcome:
        try:
            working.rename(final)
        except OSError:
            # Renaming onto a directory that has content fails: another attempt was faster, which is as good.
            if not (final / "manifest.json").is_file():
                raise
            return self._found()
        _sync(self._root)
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {final.name}")

    def _found(self) -> Outcome:
        # The earlier attempt may have died between its rename and its fsync.
        _sync(self._root)
        return Outcome(kind=OutcomeKind.DELIVERED, note="was already there, whole")


class _Mixed(Exception):  # Never leaves this file.
    """A stored content is not the one that the submission names."""


def _unusable(de: str, en: str) -> ConfigurationError:
    return ConfigurationError(Text(f"Der Adapter folder {de}.", f"The adapter folder {en}."))


def _write_all(working: Path, package: Package) -> None:
    contents = package.submission.contents
    attachments = working / "attachments"
    working.mkdir(mode=0o750)
    attachments.mkdir(mode=0o750)
    _write(working / "metadata.jwe", _checked(package, contents.metadata))
    if contents.data is not None:
        _write(working / "data.jwe", _checked(package, contents.data))
    for attachment_id, sealed in contents.attachments.items():
        _write(attachments / f"{attachment_id}.jwe", _checked(package, sealed))
    _sync(attachments)
    _write(working / "manifest.json", iter([orjson.dumps(_manifest(package), option=orjson.OPT_INDENT_2)]))
    _sync(working)


def _checked(package: Package, sealed: Sealed) -> Iterator[bytes]:
    """Yield a content's chunks; raise :class:`_Mixed` at the end if they are not what the submission names."""
    digest = hashlib.sha512()
    for chunk in package.read(sealed):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sealed.sha512:
        raise _Mixed


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(package: Package) -> dict[str, Any]:
    submission = package.submission
    return {
        "version": 1,
        "deliveryId": str(package.delivery_id),
        "attempt": package.attempt,
        "repeat": package.repeat,
        "submissionId": str(submission.submission_id),
        "caseId": str(submission.case_id),
        "destinationId": str(submission.destination_id),
        "publicService": {"identifier": submission.service.identifier, "name": submission.service.name},
        "submittedAt": submission.submitted_at.isoformat(),
        "eventLog": list(package.event_log),
        "files": {
            _file_name(name): {"sha512": sealed.sha512, "size": sealed.size}
            for name, sealed in submission.contents.parts()
        },
    }


def _file_name(part: str) -> str:
    kind, _colon, attachment_id = part.partition(":")
    return f"attachments/{attachment_id}.jwe" if attachment_id else f"{kind}.jwe"


_: type[Adapter] = Folder
