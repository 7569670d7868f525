"""One submission's ciphertext on the connector's disk: a folder of sealed files, whole or not there.

``<root>/<submission id>/`` holds ``submission.json`` (identifiers, the sealed metadata and data, the event log or the receipt)
and ``attachments/<attachment id>.jwe``. It is made under another name and renamed once everything is on disk; attachments
that a push only offers are added afterwards.

Safe file names from what a sender wrote: one path component, harmless on every file system, unique in its folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from hub.client.fit_connect import LARGEST_ATTACHMENT, malformed, require_uuid
from hub.client.verification import Received, ReceivedPart
from hub.errors import StoreUnavailable, Text, TooLarge
from hub.files import vault
from hub.model import Evidence

_JWE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){4}")
_CHUNK = 1024 * 1024
#: Bytes at the end of a compact JWE that surely hold its fifth part.
_TAIL = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A sealed submission as received. ``attachments`` maps ids to files of compact JWEs."""

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    service: Mapping[str, str]
    submitted_at: str | None
    metadata: str = field(repr=False)
    data: str | None = field(repr=False)
    attachments: Mapping[UUID, Path]
    event_log: Sequence[str] = field(repr=False)
    evidence: Evidence | None = field(default=None, repr=False)

    def lacking(self) -> list[UUID]:
        """Return the attachments that are not here yet: a push may offer what is large, instead of bringing it."""
        return [one for one, path in self.attachments.items() if not path.is_file()]

    def received(self) -> Received:
        """Return what a proof must be about; every digest is computed anew from what lies on this disk.

        Raises:
            StoreUnavailable: a file cannot be read.
        """
        parts = {"metadata": _part(iter([self.metadata.encode("ascii")]))}
        if self.data is not None:
            parts["data"] = _part(iter([self.data.encode("ascii")]))
        parts |= {f"attachment:{one}": _part(read_file(path)) for one, path in self.attachments.items()}
        return Received(
            submission_id=self.submission_id,
            case_id=self.case_id,
            destination_id=self.destination_id,
            service=self.service.get("identifier", ""),
            parts=parts,
        )


def _part(chunks: Iterator[bytes]) -> ReceivedPart:
    digest, size, tail = hashlib.sha512(), 0, b""
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        tail = (tail + chunk)[-_TAIL:]
    return ReceivedPart(tag=tail.rpartition(b".")[2].decode("ascii", "replace"), sha512=digest.hexdigest(), size=size)


def require_jwe(value: Any, name: str) -> str:
    """Return a compact JWE; ``Malformed`` names the field that holds something else."""
    if not isinstance(value, str) or not _JWE.fullmatch(value):
        raise malformed(name)
    return value


class Envelopes:
    """The folder of all envelopes that are being worked on."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has(self, submission_id: UUID) -> bool:
        """Tell whether the whole envelope lies here."""
        return (self._root / str(submission_id) / "submission.json").is_file()

    def save(
        self,
        submission_id: UUID,
        document: Mapping[str, Any],
        attachments: Mapping[UUID, Callable[[], Iterator[bytes]]],
    ) -> None:
        """Write an envelope durably; ``attachments`` are opened one after another and streamed.

        Raises:
            StoreUnavailable: the disk is full or gone.
            TooLarge: an attachment is over FIT-Connect's limit.
        """
        working, final = self._root / f".{uuid4()}.part", self._root / str(submission_id)
        try:
            (working / "attachments").mkdir(parents=True, mode=0o700)
            for attachment_id, open_stream in attachments.items():
                _write(working / "attachments" / f"{attachment_id}.jwe", open_stream())
            _write(working / "submission.json", iter([orjson.dumps(document)]))
            vault.sync_folder(working / "attachments")
            vault.sync_folder(working)
            self._publish(working, final)
        except OSError as exc:
            raise disk_trouble() from exc
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def _publish(self, working: Path, final: Path) -> None:
        try:
            working.rename(final)
        except OSError:
            # The same submission came another way at the same time; whole is whole.
            if not (final / "submission.json").is_file():
                raise
        vault.sync_folder(self._root)

    def load(self, submission_id: UUID) -> Envelope:
        """Read an envelope back; ``Malformed`` if it is not one."""
        folder = self._root / str(submission_id)
        try:
            document = orjson.loads((folder / "submission.json").read_bytes())
        except (OSError, orjson.JSONDecodeError) as exc:
            raise malformed("submission.json") from exc
        ids = [require_uuid(value, "attachments") for value in document["attachments"]]
        return Envelope(
            submission_id=submission_id,
            case_id=require_uuid(document["caseId"], "caseId"),
            destination_id=require_uuid(document["destinationId"], "destinationId"),
            service=document["publicService"],
            submitted_at=document.get("submittedAt"),
            metadata=document["encryptedMetadata"],
            data=document["encryptedData"],
            attachments={one: folder / "attachments" / f"{one}.jwe" for one in ids},
            event_log=tuple(document.get("eventLog", ())),
            evidence=_evidence(document),
        )

    def add(self, submission_id: UUID, attachment_id: UUID, stream: Iterator[bytes]) -> None:
        """Write an attachment of an envelope that came without it, durably; errors as :meth:`save`."""
        folder = self._root / str(submission_id) / "attachments"
        working = folder / f".{uuid4()}.part"
        try:
            _write(working, stream)
            working.rename(folder / f"{attachment_id}.jwe")
            vault.sync_folder(folder)
        except OSError as exc:
            raise disk_trouble() from exc
        finally:
            with suppress(OSError):
                working.unlink(missing_ok=True)

    def drop(self, submission_id: UUID) -> None:
        """Forget an envelope."""
        shutil.rmtree(self._root / str(submission_id), ignore_errors=True)

    def sweep(self, keep: frozenset[UUID]) -> None:
        """Remove what belongs to no open submission: leftovers of a crash."""
        names = {str(one) for one in keep}
        for entry in self._root.iterdir():
            if entry.name not in names:
                shutil.rmtree(entry, ignore_errors=True)


def _evidence(document: Mapping[str, Any]) -> Evidence | None:
    if "receipt" not in document:
        return None
    log = document["log"]
    return Evidence(receipt=document["receipt"], previous=log["previous"], entries=tuple(log["entries"]))


def read_file(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes in chunks; ``StoreUnavailable`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from iter(partial(file.read, _CHUNK), b"")
    except OSError as exc:
        raise disk_trouble() from exc


def disk_trouble() -> StoreUnavailable:
    """Say that this machine's disk is full or gone."""
    return StoreUnavailable(
        Text(
            "Der Datenträger des Konnektors ist voll oder nicht erreichbar. Schaffen Sie Platz, dann geht es weiter.",
            "The connector's disk is full or cannot be reached. Make room; it goes on by itself.",
        )
    )


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > LARGEST_ATTACHMENT:
                raise TooLarge(Text("Eine Anlage ist zu groß.", "An attachment is too large."))
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
