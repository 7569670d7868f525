"""Attachments in chunks that may break off and go on (TUS 1.0.0), for files that a line does not carry in one go.

An upload's URL is its key: whoever keeps it to go on later keeps it like a password. What breaks off is asked for by its
offset and goes on from there, as often as ``patience`` allows without any progress; each chunk carries its SHA-256.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO
from urllib.parse import urlsplit

from hub.client.contents import Attachment
from hub.client.session import Session, unreadable
from hub.client.transport import Patience, Response
from hub.errors import HubError, Invalid, NotFound, Refused, Text, Unavailable

_UPLOADS = "/hub/v1/uploads"
_VERSION = {"Tus-Resumable": "1.0.0"}
_CHUNK_TYPE = "application/offset+octet-stream"
#: Bytes of a chunk: what is lost at most where a line breaks off.
CHUNK = 4 * 1024 * 1024
#: Bytes from which on sending it all again would hurt.
LARGE = 16 * 1024 * 1024
#: Slugs of refusals that pass: somebody else writes, the upload is elsewhere, bytes were spoilt on their way.
_PASSING = frozenset({"upload-locked", "upload-offset", "upload-checksum", "request-timeout"})


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadProgress:
    """How far an upload is, in bytes. ``url`` is to be kept to go on later, and is a secret."""

    url: str
    sent: int
    size: int


class UploadSender:
    """Sends attachments by resumable uploads; errors as :class:`Session`."""

    def __init__(
        self,
        session: Session,
        *,
        chunk: int = CHUNK,
        patience: Patience | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._chunk = chunk
        self._patience = patience or Patience(repeats=10)
        self._wait = wait

    def send(self, attachment: Attachment, *, tell: Callable[[UploadProgress], None] = lambda _: None) -> Attachment:
        """Send an attachment; return it with the URL of its upload, for the application. One that has a URL goes on there.

        ``tell`` is called when it begins and after each chunk. An upload that is gone, or of another size, begins anew.

        Raises:
            TooLarge: larger than any attachment may be, or too much under way.
            Unavailable: the line broke off too often; go on with the URL that ``tell`` heard last.
        """
        with attachment.open() as source:
            size = source.seek(0, 2)
            url, offset = self._begun(attachment, size)
            while True:
                tell(UploadProgress(url=url, sent=offset, size=size))
                if offset >= size:
                    return replace(attachment, upload=url)
                offset = self._advance(url, source, offset)

    def send_large(self, attachments: Sequence[Attachment], *, above: int = LARGE) -> list[Attachment]:
        """Send those of more than ``above`` bytes, and leave the others to go with the application."""
        return [self.send(each) if _size(each) > above else each for each in attachments]

    def offset(self, url: str) -> tuple[int, int | None]:
        """Return how far an upload is, and how long it will be; ``NotFound`` if it is gone."""
        with self._session.call("HEAD", _path(url), headers=_VERSION) as answer:
            length = answer.headers.get("upload-length")
            return _number(answer, "upload-offset"), None if length is None else _number(answer, "upload-length")

    def drop(self, url: str) -> None:
        """Delete an upload that is not needed; one that is gone is deleted already."""
        try:
            self._session.send("DELETE", _path(url), headers=_VERSION)
        except NotFound:
            return

    def _begun(self, attachment: Attachment, size: int) -> tuple[str, int]:
        if attachment.upload is not None:
            try:
                offset, length = self.offset(attachment.upload)
            except Refused:
                offset, length = 0, None
            if length == size:
                return attachment.upload, offset
        said = {"filename": attachment.filename, "filetype": attachment.media_type}
        field = ",".join(f"{name} {b64encode(value.encode()).decode('ascii')}" for name, value in said.items())
        headers = {**_VERSION, "Upload-Length": str(size), "Upload-Metadata": field}
        with self._session.call("POST", _UPLOADS, headers=headers, repeatable=True) as answer:
            location = answer.headers.get("location")
        if not location:
            raise unreadable()
        return location, 0

    def _advance(self, url: str, source: IO[bytes], offset: int) -> int:
        """Send one chunk, however often it takes; return how far the upload is then."""
        pause = self._patience.first
        for repeat in range(self._patience.repeats + 1):
            try:
                return self._send_chunk(url, source, offset)
            except HubError as error:
                if not _passes(error) or repeat == self._patience.repeats:
                    raise
            self._wait(pause.total_seconds())
            pause = min(2 * pause, self._patience.longest)
            known = self._asked(url)
            if known is not None and known > offset:
                return known
        raise unreadable()  # pragma: no cover  # the last turn returns or raises

    def _asked(self, url: str) -> int | None:
        """Return how far the upload is, None where nobody can be asked now."""
        try:
            return self.offset(url)[0]
        except Unavailable:
            return None

    def _send_chunk(self, url: str, source: IO[bytes], offset: int) -> int:
        source.seek(offset)
        content = source.read(self._chunk)
        if not content:
            raise Invalid(
                Text(
                    "Die Datei wurde kürzer, während sie gesendet wurde. Beginnen Sie neu.",
                    "The file became shorter while it was sent. Begin anew.",
                )
            )
        headers = {
            **_VERSION,
            "Content-Type": _CHUNK_TYPE,
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {b64encode(hashlib.sha256(content).digest()).decode('ascii')}",
        }
        with self._session.call("PATCH", _path(url), content=content, headers=headers, repeatable=False) as answer:
            return _number(answer, "upload-offset")


def _size(attachment: Attachment) -> int:
    with attachment.open() as source:
        return source.seek(0, 2)


def _passes(error: HubError) -> bool:
    return isinstance(error, Unavailable) or error.slug in _PASSING


def _path(url: str) -> str:
    """Return the path of an upload below the hub's address, whatever the host that its URL names."""
    path = urlsplit(url).path
    return path[max(0, path.rfind(_UPLOADS)) :]


def _number(answer: Response, name: str) -> int:
    value = answer.headers.get(name, "")
    if not (value.isascii() and value.isdigit()):
        raise unreadable()
    return int(value)


__all__ = ["CHUNK", "LARGE", "UploadProgress", "UploadSender"]
