"""What is written back, sealed: a folder for each reply, once for the sender and once for the authority itself.

``<root>/<request id>/`` holds ``metadata.jwe``, ``data.jwe`` and ``<attachment id>.jwe`` for the sender's key, and the same
text and files for the authority's own (``own.jwe``, ``own-<attachment id>.jwe``), so that clerks and exports can read what was
written. Nothing of a reply lies on the disk in the clear, before or after it goes out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from hub.client.contents import Attachment, Message
from hub.connector.envelope import disk_trouble, read_file
from hub.crypto import DecryptionKey, EncryptionKey, JweReader, JweWriter, Seal, decrypt, encrypt
from hub.errors import SealBroken, StoreUnavailable, TooLarge
from hub.files import vault
from hub.model import REPLY_SCHEMA, MediaType, ReplyMessage
from hub.web.filenames import safe_name, unique_names

_CHUNK = 1024 * 1024
_LARGEST_OWN = 1024 * 1024
_LARGEST_FILE = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyFile:
    """A file that goes out with a reply, in memory; ``name`` is safe."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenFile:
    """A file of a reply that was written; ``chunks`` opens it anew with the authority's key."""

    attachment_id: UUID
    name: str
    media_type: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReply:
    """What the authority wrote, opened with its own key."""

    text: str = field(repr=False)
    files: tuple[WrittenFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedReply:
    """What goes to the hub: compact JWEs, and files of them by attachment id."""

    metadata: str = field(repr=False)
    data: str = field(repr=False)
    attachments: dict[UUID, Path]


def named_safely(files: Sequence[ReplyFile]) -> list[ReplyFile]:
    """Return files under names that are safe and tell them apart; a stranger's folder will hold them."""
    names = unique_names(safe_name(each.name, f"anlage-{number}") for number, each in enumerate(files, start=1))
    return [
        ReplyFile(name=name, media_type=each.media_type, content=each.content)
        for each, name in zip(files, names, strict=True)
    ]


def digest_of(request_id: UUID, message: ReplyMessage, files: Sequence[ReplyFile]) -> str:
    """Return what tells a repeat of a reply from another one of the same id."""
    digest = hashlib.sha256(request_id.bytes + message.content())
    for each in files:
        digest.update(f"\n{each.name}\n{each.media_type}\n".encode() + hashlib.sha256(each.content).digest())
    return digest.hexdigest()


class SealedReplies:
    """The folder of all replies that are kept."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(
        self,
        request_id: UUID,
        message: ReplyMessage,
        files: Sequence[ReplyFile],
        *,
        key: EncryptionKey,
        own: EncryptionKey,
    ) -> None:
        """Seal a reply durably for the sender (``key``) and for the authority; what lies there of a broken try is replaced.

        Raises:
            StoreUnavailable: the disk is full or gone.
        """
        working, final = self._root / f".{uuid4()}.part", self._root / str(request_id)
        try:
            working.mkdir(mode=0o700)
            self._seal(working, message, files, key=key, own=own)
            vault.sync_folder(working)
            shutil.rmtree(final, ignore_errors=True)
            working.rename(final)
            vault.sync_folder(self._root)
        except OSError as exc:
            raise disk_trouble() from exc
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def _seal(
        self, folder: Path, message: ReplyMessage, files: Sequence[ReplyFile], *, key: EncryptionKey, own: EncryptionKey
    ) -> None:
        attachments, seals, notes = [], {}, []
        for each in files:
            one = Attachment(open=_nothing, filename=each.name, media_type=each.media_type)
            seals[one.attachment_id] = _sealed(key, each, folder / f"{one.attachment_id}.jwe")
            _sealed(own, each, folder / f"own-{one.attachment_id}.jwe")
            attachments.append(one)
            notes.append([str(one.attachment_id), each.name, each.media_type, len(each.content)])
        whole = Message(
            data=message.content(), media_type=MediaType.JSON, schema_uri=REPLY_SCHEMA, attachments=attachments
        )
        metadata, data = whole.sealed(key, seals)
        ours = orjson.dumps({"text": message.text, "files": notes})
        _write(folder / "metadata.jwe", metadata.encode("ascii"))
        _write(folder / "data.jwe", data.encode("ascii"))
        _write(folder / "own.jwe", encrypt(own, ours, MediaType.JSON)[0])

    def sealed(self, request_id: UUID) -> SealedReply:
        """Return what goes to the hub; ``StoreUnavailable`` if it does not lie here."""
        folder = self._root / str(request_id)
        try:
            parts = {path.name: path for path in folder.iterdir()}
            files = {
                UUID(name.removesuffix(".jwe")): path
                for name, path in parts.items()
                if not name.startswith("own") and name not in {"metadata.jwe", "data.jwe"}
            }
            return SealedReply(
                metadata=(folder / "metadata.jwe").read_text("ascii"),
                data=(folder / "data.jwe").read_text("ascii"),
                attachments=files,
            )
        except (OSError, ValueError) as exc:
            raise disk_trouble() from exc

    def read(self, request_id: UUID, keys: Sequence[DecryptionKey]) -> WrittenReply | None:
        """Return what was written, None where it cannot be opened any more."""
        try:
            sealed = (self._root / str(request_id) / "own.jwe").read_bytes()
            said = json.loads(decrypt(sealed, keys, max_output=_LARGEST_OWN))
        except (OSError, SealBroken, TooLarge):
            return None
        files = tuple(_noted(each) for each in said["files"])
        return WrittenReply(text=said["text"], files=files)

    def file(self, request_id: UUID, attachment_id: UUID, keys: Sequence[DecryptionKey]) -> Iterator[bytes]:
        """Yield a file of a reply; ``StoreUnavailable`` or ``SealBroken`` where it cannot be opened."""
        path = self._root / str(request_id) / f"own-{attachment_id}.jwe"
        yield from JweReader(partial(read_file, path), keys, max_output=_LARGEST_FILE).plaintext()

    def drop(self, request_id: UUID) -> None:
        """Forget a reply."""
        shutil.rmtree(self._root / str(request_id), ignore_errors=True)

    def sweep(self, keep: Collection[UUID]) -> None:
        """Remove what no book knows: leftovers of a crash."""
        names = {str(one) for one in keep}
        for entry in self._root.iterdir():
            if entry.name not in names:
                shutil.rmtree(entry, ignore_errors=True)


def _nothing() -> Any:
    raise StoreUnavailable(disk_trouble().detail)


def _noted(note: Sequence[Any]) -> WrittenFile:
    return WrittenFile(attachment_id=UUID(note[0]), name=note[1], media_type=note[2], size=note[3])


def _sealed(key: EncryptionKey, file: ReplyFile, path: Path) -> Seal:
    with _opened(path) as target:
        writer = JweWriter(key, content_type=file.media_type, sink=target.write)
        for start in range(0, len(file.content), _CHUNK):
            writer.write(file.content[start : start + _CHUNK])
        seal = writer.finish()
        target.flush()
        os.fsync(target.fileno())
    return seal


def _write(path: Path, content: bytes) -> None:
    with _opened(path) as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def _opened(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
