"""Put each delivery into an S3-compatible bucket: sealed objects, the manifest last.

``<prefix>/<delivery id>/`` holds ``metadata.jwe``, ``data.jwe``, ``attachments/<attachment id>.jwe`` and
``manifest.json``. Whoever collects waits for the manifest; a repeated attempt finds it and stops, or puts the same
objects again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from hub.errors import Unavailable
from hub.model import Adapter, DeadCause, Outcome, OutcomeKind, Package, reasons
from hub.model.adapter import (
    ADDRESS,
    MANIFEST,
    PLAIN,
    MixedUp,
    checked,
    file_name,
    manifest,
    not_readable,
    read_file,
    read_options,
    read_secret,
    require,
    require_envelope,
    require_readable,
    unusable,
)
from hub.transport.connection import CONFIGURED, Line, reason_for
from hub.transport.http import require_address, require_timeout
from hub.transport.relay import Relay

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential  # Only types; the library has no such names when it runs.

_CHUNK = 8 * 1024 * 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")
_STATUS = re.compile(r"status code: ([0-9]{3})|\b([1-5][0-9]{2}) [A-Z][a-z]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class S3DropOptions:
    """``endpoint``: address of the server; buckets stand in the path. ``timeout``: seconds for a whole attempt.

    Key id and secret come from files. The two permissions are for tests and for servers in the hub's own network.
    """

    endpoint: str
    bucket: str = field(metadata=PLAIN)
    access_key_id_file: str
    secret_access_key_file: str
    prefix: str = field(default="", metadata=PLAIN)
    region: str = field(default="eu-central-1", metadata=PLAIN)
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    timeout: float = field(default=120.0, metadata=PLAIN)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        require_envelope("s3_drop", self.envelope)
        require_readable("s3_drop", self.readable)
        require_address("s3_drop", "endpoint", self.endpoint, allow_http=self.allow_http)
        require_timeout("s3_drop", self.timeout, 3600)  # An hour for large attachments on a slow line.
        fits = _BUCKET.fullmatch(self.bucket) and _PREFIX.fullmatch(self.prefix)
        require("s3_drop", fits, "braucht gültige Namen in bucket und prefix", "needs valid names in bucket and prefix")


class S3Drop:
    """Deliver into a bucket."""

    name = "s3_drop"
    options = S3DropOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, S3DropOptions, config)

    def open(self) -> None:
        """Read the credentials and the certificate; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._credential: S3Credential = {
            "access_key_id": read_secret(self.name, "access_key_id_file", options.access_key_id_file),
            "secret_access_key": read_secret(self.name, "secret_access_key_file", options.secret_access_key_file),
            "token": None,
            "expires_at": None,
        }
        self._client: ClientConfig = {
            "allow_http": options.allow_http,
            "allow_invalid_certificates": False,
            "timeout": timedelta(seconds=options.timeout),
            "connect_timeout": timedelta(seconds=options.timeout),
        }
        if options.ca_file is not None:
            self._client["root_certificate"] = read_file(self.name, "ca_file", options.ca_file)
        try:
            self._store({})
        except (BaseError, ValueError) as exc:
            raise unusable(self.name, "kann seine Optionen nicht verwenden", "cannot use its options") from exc

    def _store(self, way: ClientConfig) -> S3Store:
        """Return the bucket with connections of its own: one that an earlier attempt left open may be dead by now."""
        return S3Store(
            self._options.bucket,
            endpoint=self._options.endpoint,
            region=self._options.region,
            # What the library would take from the environment of the account that the hub runs under is said here.
            aws_endpoint_url_s3=self._options.endpoint,
            credential_provider=lambda: self._credential,
            virtual_hosted_style_request=False,
            skip_signature=False,
            client_options={**self._client, **way},
            retry_config={"max_retries": 0},  # Repeating is the hub's business.
        )

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt, on an event loop of its own, so that one deadline ends every request of it."""
        options = self._options
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                relay = Relay(options.endpoint, line.dial)
            except OSError:  # No port or thread to be had: nothing was asked.
                return Outcome(kind=OutcomeKind.UNREACHABLE, note=reasons.NOT_REACHABLE.note)
            upload = _Upload(self._store(relay.client), options, package)
            try:
                with relay:
                    return asyncio.run(upload.run(line))
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)
            except (BaseError, OSError, ValueError, RuntimeError) as exc:  # The library's own, and the language's.
                return upload.explain(exc, relay.failure)

    def close(self) -> None:
        """Hold nothing that needs letting go."""


class _Upload:
    """One attempt."""

    def __init__(self, store: S3Store, options: S3DropOptions, package: Package) -> None:
        self._store = store
        self._options = options
        self._package = package
        self._place = "/".join(filter(None, [options.prefix, str(package.delivery_id)]))
        self._committing = False
        self._wrong: Exception | None = None

    async def run(self, line: Line) -> Outcome:
        async with asyncio.timeout(line.left()):
            return await self._put_all()

    async def _put_all(self) -> Outcome:
        if await self._is_there():
            return Outcome(kind=OutcomeKind.DELIVERED, note="was already there, whole")
        for part, sealed in self._package.submission.contents.parts():
            await self._put(file_name(part), checked(self._package, sealed))
        content = manifest(self._package, version=self._options.envelope)
        self._committing = True
        await self._put(MANIFEST, [content])
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"written as {self._place}")

    async def _is_there(self) -> bool:
        try:
            await obstore.head_async(self._store, f"{self._place}/{MANIFEST}")
        except FileNotFoundError:  # The library's name for what is not there.
            return False
        return True

    async def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        try:
            await obstore.put_async(self._store, f"{self._place}/{name}", self._watched(chunks), chunk_size=_CHUNK)
        except BaseError:
            if self._wrong is not None:
                raise self._wrong from None
            raise

    def _watched(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Remember what went wrong in the hub's own reading; the library turns it into an error of its own."""
        try:
            yield from chunks
        except (MixedUp, Unavailable) as exc:
            self._wrong = exc
            raise

    def explain(self, exc: Exception, failure: Exception | None) -> Outcome:
        """Say what a failed attempt means; messages of the server are not repeated. ``failure``: of dialling, if it failed."""
        configured = DeadCause.CONFIGURATION
        kind = OutcomeKind.UNKNOWN if self._committing else OutcomeKind.UNREACHABLE
        if failure is not None:  # The library knows no more than that there is no connection.
            found = reason_for(failure, late=False)
            return Outcome(kind=kind, note=found.note, cause=configured if found in CONFIGURED else None)
        if isinstance(exc, FileNotFoundError | PermissionDeniedError | UnauthenticatedError):
            known = reasons.NO_BUCKET if isinstance(exc, FileNotFoundError) else reasons.CREDENTIALS_REFUSED
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=known.note, cause=configured)
        if isinstance(exc, TimeoutError):
            return Outcome(kind=kind, note=reasons.SILENT_IN_TIME.note)
        # The library has no finer kinds: what it says is all there is to tell them apart.
        said = str(exc)
        if "certificate" in said.lower():
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=reasons.TLS_NOT_TRUSTED.note, cause=configured)
        answered = _STATUS.search(said)
        if answered is not None:
            return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"HTTP {answered.group(1) or answered.group(2)}")
        return Outcome(kind=kind, note=(reasons.SILENT if self._committing else reasons.NOT_REACHABLE).note)


_: type[Adapter] = S3Drop
