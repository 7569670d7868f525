"""Upload each delivery to an SFTP server: sealed files, each under a temporary name first, the manifest last.

``<folder>/<delivery id>/`` holds ``metadata.jwe``, ``data.jwe``, ``attachments/<attachment id>.jwe`` and
``manifest.json``. Where the hub may make no folders (``flat``), all deliveries share one, and each name begins with the
delivery's id: ``<delivery id>.attachments.<attachment id>.jwe``. Whoever collects waits for the manifest; a repeated attempt
finds it and stops, or writes the same files again. The server is known by its host key, which stands in the options: no key
is trusted on first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hub.errors import ConfigurationError, Unavailable
from hub.model import Adapter, Outcome, Package
from hub.model.adapter import (
    MANIFEST,
    PLAIN,
    MixedUp,
    checked,
    file_name,
    manifest,
    not_readable,
    read_options,
    read_private_file,
    read_secret,
    require,
    require_envelope,
    require_readable,
    side_by_side,
    unusable,
)
from hub.transport.connection import Line
from hub.transport.http import require_host, require_timeout
from hub.transport.sftp import Naming, Server, read_client_key, read_host_keys, upload


@dataclass(frozen=True, kw_only=True, slots=True)
class SftpOptions:
    """``host_key``: the server's public key or keys as in a .pub file, one a line; ``folder``: where deliveries go.

    ``timeout``: seconds for a whole attempt. ``key_file`` (OpenSSH or PEM, no passphrase), ``password_file``, or both where
    the server wants both. ``flat``: make no folders. ``temporary_prefix`` and ``temporary_suffix`` stand around the names of
    files that are not whole yet.
    """

    host: str
    user: str = field(metadata=PLAIN)
    host_key: str
    folder: str = field(metadata=PLAIN)
    port: int = 22
    key_file: str | None = None
    password_file: str | None = None
    flat: bool = field(default=False, metadata=PLAIN)
    temporary_prefix: str = field(default=".", metadata=PLAIN)
    temporary_suffix: str = field(default=".part", metadata=PLAIN)
    timeout: float = field(default=120.0, metadata=PLAIN)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        require_envelope("sftp", self.envelope)
        require_readable("sftp", self.readable)
        one = self.key_file is not None or self.password_file is not None
        require("sftp", one, "braucht key_file oder password_file", "needs key_file or password_file")
        around = (self.temporary_prefix, self.temporary_suffix)
        plain = any(around) and all(_NAME_PART.fullmatch(part) for part in around)
        require(
            "sftp",
            plain,
            "braucht temporary_prefix oder temporary_suffix, höchstens 20 Buchstaben, Ziffern, . _ ~ -",
            "needs temporary_prefix or temporary_suffix, at most 20 letters, digits, . _ ~ -",
        )
        require_timeout("sftp", self.timeout, 3600)  # An hour for large attachments on a slow line.
        require_host("sftp", self.host)
        port = 0 < self.port < 65536  # noqa: PLR2004  # TCP's own number
        require("sftp", port, "braucht 0 < port < 65536", "needs 0 < port < 65536")
        inside = self.folder and ".." not in PurePosixPath(self.folder).parts and self.folder.isprintable()
        require("sftp", inside, "braucht in folder einen Pfad ohne ..", "needs a path without .. in folder")


#: What may stand around a temporary name: nothing that leads elsewhere, and nothing that a server may not take.
_NAME_PART = re.compile(r"[A-Za-z0-9._~-]{0,20}")


class Sftp:
    """Deliver into ``folder`` of an SFTP server."""

    name = "sftp"
    options = SftpOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, SftpOptions, config)
        try:
            self._host_keys = read_host_keys(self._options.host_key)
        except ValueError:
            self._host_keys = []
        require(
            self.name, self._host_keys, "braucht in host_key öffentliche Schlüssel", "needs public keys in host_key"
        )

    def open(self) -> None:
        """Read the key or the password; ``ConfigurationError`` if it cannot be used."""
        options = self._options
        key = password = None
        if options.password_file is not None:
            password = read_secret(self.name, "password_file", options.password_file)
        if options.key_file is not None:
            content = read_private_file(self.name, "key_file", options.key_file)
            try:
                key = read_client_key(content)
            except ValueError as exc:
                raise _no_private_key(self.name) from exc
        self._server = Server(
            host=options.host,
            port=options.port,
            user=options.user,
            host_keys=self._host_keys,
            client_key=key,
            password=password,
        )

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        place = PurePosixPath(options.folder)
        if not options.flat:
            place /= str(package.delivery_id)

        def named(name: str) -> str:
            return side_by_side(package, name) if options.flat else name

        def files() -> Iterable[tuple[str, Iterable[bytes]]]:
            for part, sealed in package.submission.contents.parts():
                yield named(file_name(part)), checked(package, sealed)
            yield named(MANIFEST), [manifest(package, version=options.envelope, flat=options.flat)]

        naming = Naming(
            prefix=options.temporary_prefix,
            suffix=options.temporary_suffix,
            makes_folders=not options.flat,
            begins=f"{package.delivery_id}." if options.flat else "",
        )

        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                return upload(line, self._server, place, files, last=named(MANIFEST), naming=naming)
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)

    def close(self) -> None:
        """Hold no connection between attempts."""


def _no_private_key(name: str) -> ConfigurationError:
    return unusable(
        name,
        "braucht in key_file einen privaten Schlüssel ohne Passphrase",
        "needs a private key without a passphrase in key_file",
    )


_: type[Adapter] = Sftp
