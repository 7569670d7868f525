"""The blob store in an S3-compatible bucket: what several nodes share. Same contract as :mod:`hub.store.blobs.local`.

A blob is uploaded in parts while it is written and becomes visible only when the upload is completed, so that a name in a
committed row always leads to a whole object. What a process that died has begun is invisible and costs room only: the
bucket needs a lifecycle rule that aborts incomplete uploads after a day.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from hub.errors import ConfigurationError, Invalid, StoreUnavailable, Text, not_found
from hub.files import vault
from hub.model import Sealed
from hub.store.blobs.contents import CHUNK, PATIENCE, Janitor, Leftover
from hub.supervision import Supervisor
from hub.transport.addresses import literal, may_reach, url_parts
from hub.transport.connection import Line, reason_for
from hub.transport.relay import Relay

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import ClientConfig  # Only a type; the library has no such name when it runs.

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{32}")
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/((?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+))?")
#: Bytes of one uploaded part. S3 allows 10,000 parts and asks for at least 5 MiB each.
_PART = 8 * 1024 * 1024
#: Parts of one blob that may be on their way at once: with the one that fills up, 24 MiB in memory at most.
_PARTS_AT_ONCE = 2
#: Objects of a listing that are in memory at once: a bucket's own page.
_LISTED = 1000
_PATIENCE = timedelta(seconds=30)
#: For looking up and connecting. The library waits a little longer, so that it hears what came of it.
_CONNECT = timedelta(seconds=5)
_GRACE = timedelta(seconds=1)
_RETRIES = 3
_RETRY_PATIENCE = timedelta(seconds=15)
#: A bucket does not tell how much room it has.
_UNLIMITED = 1 << 62


#: Bytes of a file with one credential.
_LONGEST = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Place:
    """Where the blobs lie. ``url`` is ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``; ``endpoint`` is the server's address."""

    url: str
    endpoint: str
    region: str
    key_id: str
    secret: str = field(repr=False)

    @classmethod
    def from_files(cls, url: str, *, endpoint: str, region: str, key_id_file: str, secret_file: str) -> S3Place:
        """Read the credentials from files.

        Raises:
            ConfigurationError: a file cannot be read, or other accounts can.
        """
        try:
            names = (key_id_file, secret_file)
            key_id, secret = (vault.read_text(Path(name), most=_LONGEST, encoding="ascii") for name in names)
        except (OSError, UnicodeDecodeError) as exc:
            raise _unusable() from exc
        return cls(url=url, endpoint=endpoint, region=region, key_id=key_id, secret=secret)


class S3Blobs:
    """Blobs as objects of one bucket, named by the hub below the prefix."""

    def __init__(self, place: S3Place, *, supervisor: Supervisor | None = None) -> None:
        """Take the place; nothing is asked of the server yet. Raise ``ConfigurationError`` for an impossible one.

        ``supervisor`` keeps up the way to the server (:mod:`hub.transport.relay`).
        """
        match = _URL.fullmatch(place.url)
        if match is None or not place.key_id or not place.secret:
            raise _unusable()
        _require_endpoint(place.endpoint)
        try:
            self._relay = Relay(place.endpoint, _dialled, supervisor=supervisor)
        except OSError as exc:
            raise _unusable() from exc
        self.janitor = Janitor(self.delete)
        client: ClientConfig = {
            "allow_http": place.endpoint.startswith("http://"),
            "timeout": _PATIENCE,
            "connect_timeout": _CONNECT + _GRACE,
            "user_agent": "rathaus-hub",
            **self._relay.client,
        }
        try:
            self._store = S3Store(
                match[1],
                prefix=match[2],
                endpoint=place.endpoint,
                region=place.region,
                aws_endpoint_url_s3=place.endpoint,  # The environment's would win.
                access_key_id=place.key_id,
                secret_access_key=place.secret,
                virtual_hosted_style_request=False,
                client_options=client,
                retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_PATIENCE},
            )
        except (BaseError, ValueError) as exc:
            self._relay.close()
            raise _unusable() from exc

    def writer(self) -> S3BlobWriter:
        """Begin a new blob."""
        return S3BlobWriter(self._store, uuid4().hex)

    def read(self, name: str, chunk: int = CHUNK, *, start: int = 0) -> Iterator[bytes]:
        """Open the blob now and yield it from byte ``start`` on; ``NotFound`` if there is none. Pieces as of any blobs."""
        with _found():
            wanted: obstore.GetOptions = {"range": {"offset": start}} if start else {}
            found = obstore.get(self._store, _checked(name), options=wanted)
        return _pieces(iter(found.stream(min_chunk_size=chunk)), chunk)

    def chunks(self, sealed: Sealed, *, start: int = 0) -> Iterator[bytes]:
        """Yield a sealed content from byte ``start`` on, wherever it lies, in the row or here."""
        if sealed.blob is not None:
            return self.read(sealed.blob, start=start)
        return iter([(sealed.jwe or b"")[start:]])

    def size(self, name: str) -> int:
        """Return a blob's length in bytes; raise ``NotFound`` for an unknown one."""
        with _found():
            return obstore.head(self._store, _checked(name))["size"]

    def delete(self, name: str) -> None:
        """Delete a blob; an unknown one is deleted already."""
        with _reached():
            obstore.delete(self._store, _checked(name))

    def discard(self, *orphans: str | Leftover) -> None:
        """Have the janitor delete blobs, and unfinished ones; neither waits nor raises."""
        self.janitor.discard(*orphans)

    def names(self, older_than: datetime) -> Iterator[str]:
        """Yield the blobs written before ``older_than``, by the server's clock."""
        self.janitor.settle()
        with _reached():
            for page in obstore.list(self._store, chunk_size=_LISTED):
                for each in page:
                    if _NAME.fullmatch(each["path"]) and each["last_modified"] < older_than:
                        yield each["path"]

    def free_bytes(self) -> int:
        """Return a number without end: a bucket does not tell."""
        return _UNLIMITED

    def settle(self, patience: timedelta = PATIENCE) -> bool:
        """Wait until what was discarded is done with, for ``patience`` at most; say whether it is."""
        return self.janitor.settle(patience)

    def close(self) -> None:
        """Let go of the connections; nothing is read or written any more."""
        self._relay.close()


class S3BlobWriter:
    """One object in the making. As a context manager it aborts unless it was committed."""

    def __init__(self, store: S3Store, name: str) -> None:
        self._name = name
        with _reached():
            self._file: WritableFile | None = obstore.open_writer(
                store, name, buffer_size=_PART, max_concurrency=_PARTS_AT_ONCE
            )

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; a full part goes out at once."""
        with _reached():
            self._open_file().write(chunk)

    def commit(self) -> str:
        """Complete the upload: the server has it durably and shows it. Return the name."""
        file = self._open_file()
        with _reached():
            file.close()
        self._file = None
        return self._name

    def abort(self) -> None:
        """Drop the parts that went out already; after ``commit`` it does nothing."""
        file, self._file = self._file, None
        if file is not None:
            cause = InterruptedError()
            with _reached():
                # Leaving the library's block with an error is how it is told to give an upload up.
                file.__exit__(type(cause), cause, None)

    def _open_file(self) -> WritableFile:
        if self._file is None:
            raise ValueError("the blob is finished already")
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _require_endpoint(endpoint: str) -> None:
    """Refuse what is no address of a server, or one that no setting opens."""
    try:
        target = url_parts(endpoint, {"http", "https"})
    except Invalid as exc:
        raise _unusable() from exc
    address = literal(target.hostname or "")
    if address is not None and not may_reach(address, private=True):
        raise _unusable()


def _dialled(host: str, port: int) -> socket.socket:
    """Connect to the server, which may stand in the organisation's own network; the deadline is for connecting alone."""
    with Line(timeout=_CONNECT.total_seconds(), public_only=False) as line:
        try:
            return line.dial(host, port)
        except OSError as exc:
            # The library tells no more than that there is no connection.
            _log.warning("the place of the contents is not reached: %s", reason_for(exc, late=line.late).note)
            raise


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise not_found("content-not-found")
    return name


def _pieces(stream: Iterator[object], chunk: int) -> Iterator[bytes]:
    with _reached():
        for arrived in stream:
            whole = memoryview(arrived)  # type: ignore[arg-type]  # the library's bytes share their memory
            for start in range(0, len(whole), chunk):
                yield bytes(whole[start : start + chunk])


def _unusable() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Der Ort der Inhalte ist nicht verwendbar. Verlangt sind blobs = s3://EIMER/PRÄFIX, blobs_endpoint und lesbare "
            "Dateien mit Zugangskennung und Geheimnis (blobs_key_id_file, blobs_secret_file).",
            "The place of the contents cannot be used. Needed are blobs = s3://BUCKET/PREFIX, blobs_endpoint and readable "
            "files with key id and secret (blobs_key_id_file, blobs_secret_file).",
        )
    )


@contextmanager
def _found() -> Iterator[None]:
    """Turn the library's errors into the hub's, where an object is asked for by its name."""
    try:
        with _reached():
            yield
    except StoreUnavailable as error:
        if isinstance(error.__cause__, FileNotFoundError | NotFoundError):
            raise not_found("content-not-found") from error.__cause__
        raise


@contextmanager
def _reached() -> Iterator[None]:
    """Turn the library's errors into the hub's; here a bucket that is not there is an outage, too."""
    try:
        yield
    except (BaseError, OSError) as exc:
        raise StoreUnavailable(
            Text(
                "Der Ablageort für Inhalte antwortet nicht oder verweigert den Zugang. Versuchen Sie es später erneut.",
                "The place where contents lie does not answer or refuses access. Try again later.",
            )
        ) from exc
