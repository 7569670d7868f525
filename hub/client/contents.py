"""What a message holds: attachments that a sender hands in, parts sealed for one key, and parts opened with another.

Plaintext stays in memory or in the sender's own files; what is spooled to disk is ciphertext. Metadata follow FIT-Connect's
schema in the newest version that the receiver lists.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from mimetypes import guess_type
from pathlib import Path
from typing import IO, Any, Self
from uuid import UUID, uuid4

import orjson

from hub.crypto import DecryptionKey, EncryptionKey, JweReader, JweWriter, Seal, decrypt, encrypt
from hub.errors import HubError, Invalid, Malformed, SealBroken, Text
from hub.model import MediaType

#: Bytes of ciphertext that stay in memory before they go to a temporary file.
_IN_MEMORY = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
#: Bytes of plaintext; FIT-Connect allows 500 MB an attachment.
_LARGEST_METADATA = 4 * 1024 * 1024
_LARGEST_DATA = 128 * 1024 * 1024
_LARGEST_ATTACHMENT = 512 * 1024 * 1024
_SCHEMA = "https://schema.fitko.de/fit-connect/metadata/{version}/metadata.schema.json"
_NEWEST = (2, 1, 0)
_NUMBERS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """One file to send. ``open`` opens its content anew at each call: a repeat reads it once more.

    ``purpose``: attachment, form, report or data (FIT-Connect). ``name`` names the part at the plain door; it is the file
    name's by default. ``upload`` is the URL of an upload of it (:class:`hub.client.uploads.UploadSender`), as secret as itself:
    the plain door takes that in its place.
    """

    open: Callable[[], IO[bytes]] = field(repr=False)
    filename: str
    media_type: str = "application/octet-stream"
    purpose: str = "attachment"
    description: str | None = None
    attachment_id: UUID = field(default_factory=uuid4)
    upload: str | None = field(default=None, repr=False)

    @classmethod
    def of_file(cls, path: Path, **more: Any) -> Self:
        """Return a file on disk; its media type is guessed from its name unless ``more`` tells it."""
        kind = guess_type(path.name)[0] or "application/octet-stream"
        return cls(**{"open": partial(path.open, "rb"), "filename": path.name, "media_type": kind, **more})

    def chunks(self) -> Iterator[bytes]:
        """Yield the content."""
        with self.open() as source:
            yield from iter(partial(source.read, _CHUNK), b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What to send sealed: data, their schema, attachments, and what else the metadata shall say (``replyChannel`` …)."""

    data: bytes = field(repr=False)
    media_type: MediaType
    schema_uri: str
    attachments: Sequence[Attachment] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def sealed(self, key: EncryptionKey, seals: Mapping[UUID, Seal], versions: Sequence[str] = ()) -> tuple[str, str]:
        """Return metadata and data as compact JWEs; ``seals`` are those of the attachments, ``versions`` what is read there."""
        described = [_described(each, seals[each.attachment_id]) for each in self.attachments]
        document = {
            **self.metadata,
            "$schema": _SCHEMA.format(version=newest_version(versions)),
            "contentStructure": {
                "data": {
                    "hash": _hash(hashlib.sha512(self.data).hexdigest()),
                    "submissionSchema": {"schemaUri": self.schema_uri, "mimeType": self.media_type.value},
                },
                "attachments": described,
            },
        }
        return (
            encrypt(key, orjson.dumps(document), MediaType.JSON)[0].decode("ascii"),
            encrypt(key, self.data, self.media_type)[0].decode("ascii"),
        )


def newest_version(versions: Sequence[str]) -> str:
    """Return the newest version of the metadata's schema that both sides know; ``versions`` is what a destination lists.

    Raises:
        Invalid: it lists some, and none that can be written here.
    """
    numbers = [tuple(int(part) for part in version.split(".") if part.isdigit()) for version in versions]
    known = [each for each in numbers if len(each) == _NUMBERS and each <= _NEWEST]
    if versions and not known:
        raise Invalid(
            Text(
                "Die Behörde liest keine Fassung der Metadaten, die dieser Client schreibt. Nehmen Sie eine neuere Version.",
                "The authority reads no version of the metadata that this client writes. Take a newer version of it.",
            ),
            slug="unsupported-metadata-version",
        )
    return ".".join(map(str, max(known, default=_NEWEST)))


@contextmanager
def sealed_file(key: EncryptionKey, attachment: Attachment) -> Iterator[tuple[Callable[[], Iterator[bytes]], Seal]]:
    """Seal an attachment into a temporary file; yield what opens its ciphertext anew, and its seal."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        writer = JweWriter(key, content_type=attachment.media_type, sink=file.write)
        for chunk in attachment.chunks():
            writer.write(chunk)
        yield partial(_read_from_start, file), writer.finish()


def _read_from_start(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from iter(partial(file.read, _CHUNK), b"")


def _described(attachment: Attachment, seal: Seal) -> dict[str, Any]:
    described = {
        "attachmentId": str(attachment.attachment_id),
        "hash": _hash(seal.plaintext_sha512),
        "mimeType": attachment.media_type,
        "purpose": attachment.purpose,
        "filename": attachment.filename,
    }
    return described | ({} if attachment.description is None else {"description": attachment.description})


def _hash(content: str) -> dict[str, str]:
    return {"type": "sha512", "content": content}


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedAttachment:
    """One attachment as the metadata describe it; :meth:`chunks` decrypts it anew at each call."""

    attachment_id: UUID
    filename: str | None
    media_type: str
    purpose: str
    sha512: str
    _readers: Sequence[Callable[[], JweReader]] = field(repr=False)

    def chunks(self) -> Iterator[bytes]:
        """Verify the whole attachment, then yield its content.

        Raises:
            SealBroken: it was changed, no key opens it, or its hash is not the one that the metadata name.
        """
        digest = hashlib.sha512()
        for chunk in self._plaintext():
            digest.update(chunk)
        if digest.hexdigest() != self.sha512:
            raise _other_hash(f"attachment:{self.attachment_id}")
        yield from self._plaintext()

    def _plaintext(self) -> Iterator[bytes]:
        for reader in self._readers:
            yield from reader().plaintext()


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A message in plaintext: metadata and data in memory, attachments as streams."""

    metadata: Mapping[str, Any] = field(repr=False)
    data: bytes | None = field(repr=False)
    attachments: tuple[OpenedAttachment, ...]


def open_message(
    metadata: str,
    data: str | None,
    attachments: Mapping[UUID, Callable[[], Iterator[bytes]]],
    keys: Sequence[DecryptionKey],
) -> Opened:
    """Open compact JWEs with private ``keys`` and compare the data's hash; schemas are the caller's to check.

    Raises:
        SealBroken: a part breaks the profile, was changed, or has another hash than the metadata name.
        TooLarge: a part is over FIT-Connect's limit.
        Malformed: the metadata are not what they should be, or name an attachment that did not come.
    """
    document, data_hash = _metadata(decrypt(metadata.encode("ascii"), keys, max_output=_LARGEST_METADATA))
    content = None if data is None else decrypt(data.encode("ascii"), keys, max_output=_LARGEST_DATA)
    if content is not None and hashlib.sha512(content).hexdigest() != data_hash:
        raise _other_hash("data")
    try:
        listed = document["contentStructure"].get("attachments", ())
        named = tuple(_opened(item, attachments, keys) for item in listed)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _malformed() from exc
    return Opened(metadata=document, data=content, attachments=named)


def _metadata(content: bytes) -> tuple[dict[str, Any], str | None]:
    """Return the metadata, and the hash that they name for the data."""
    try:
        document = orjson.loads(content)
        data = document["contentStructure"].get("data")
        return document, None if data is None else str(data["hash"]["content"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise _malformed() from exc


def _opened(
    item: Mapping[str, Any],
    attachments: Mapping[UUID, Callable[[], Iterator[bytes]]],
    keys: Sequence[DecryptionKey],
) -> OpenedAttachment:
    pieces: Iterable[str] = item.get("fragments") or (item["attachmentId"],)
    readers = [partial(JweReader, attachments[UUID(piece)], keys, max_output=_LARGEST_ATTACHMENT) for piece in pieces]
    return OpenedAttachment(
        attachment_id=UUID(item["attachmentId"]),
        filename=item.get("filename"),
        media_type=item["mimeType"],
        purpose=item["purpose"],
        sha512=item["hash"]["content"],
        _readers=readers,
    )


def _malformed() -> HubError:
    return Malformed(
        Text(
            "Die Metadaten haben nicht die Form, die FIT-Connect verlangt, oder nennen Anlagen, die fehlen.",
            "The metadata do not have the form that FIT-Connect asks for, or name attachments that are missing.",
        ),
        field="metadata",
    )


def _other_hash(part: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Der Teil {part} hat nicht den Hash, den die Metadaten nennen. Weisen Sie die Einreichung zurück.",
            f"Part {part} does not have the hash that the metadata name. Reject the submission.",
        ),
        slug="hash-mismatch",
        part=part,
    )
