"""What all benches of one run share: a scratch folder, certificates, secrets. And what a bench is."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from hub.adapter_kit.cases import Trouble
from hub.crypto.development import InsecureThrowawayAuthority
from hub.files import vault
from hub.model.submission import Package

#: What stands for a place in a trial's options: ``{url}``, ``{port}``, ``{ca_file}`` …
Places = Mapping[str, str | int]
HOST = "127.0.0.1"
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  # For loopback alone.
#: The file that is written last and makes a delivery in files whole.
MARKER = "manifest.json"


class Workshop:
    """Makes what benches need in ``folder``, once."""

    def __init__(self, folder: Path, *, now: datetime) -> None:
        self._folder = folder
        self._now = now
        self._authority = InsecureThrowawayAuthority(folder / "authority", now=now)

    @property
    def ca_file(self) -> Path:
        """The authority that adapters are told to trust."""
        return self._authority.ca_file

    @cached_property
    def secret_file(self) -> Path:
        """A file of 32 characters."""
        return self.written("secret", SECRET)

    @cached_property
    def client(self) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self._authority.issue(HOST)

    def scratch(self) -> Path:
        """Return a new empty folder."""
        folder = self._folder / uuid4().hex
        folder.mkdir()
        return folder

    def written(self, name: str, text: str) -> Path:
        """Return a new file of that content."""
        path = self.scratch() / name
        vault.write(path, f"{text}\n".encode())
        return path

    def tls(self, trouble: Trouble = Trouble.NONE) -> ssl.SSLContext:
        """Return a server's side of TLS, with the certificate that fits the trouble."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate(trouble))
        if trouble is Trouble.CLIENT_CERTIFICATE_WANTED:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def _certificate(self, trouble: Trouble) -> tuple[Path, Path]:
        match trouble:
            case Trouble.UNTRUSTED_CERTIFICATE:
                return InsecureThrowawayAuthority(self.scratch(), now=self._now).issue(HOST)
            case Trouble.EXPIRED_CERTIFICATE:
                return self._authority.issue(HOST, expired=True)
            case Trouble.WRONG_NAME_IN_CERTIFICATE:
                return self._authority.issue("192.0.2.7")
        return self._server

    @cached_property
    def _server(self) -> tuple[Path, Path]:
        return self._authority.issue(HOST)


class Bench(Protocol):
    """One receiving system on loopback."""

    def __init__(self, workshop: Workshop) -> None: ...

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the system into a trouble and return its places; what it holds stays."""

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do what happens after the adapter has opened."""

    def copies(self, package: Package) -> int:
        """Return how many whole copies of a delivery the system durably holds."""

    def strangers(self, packages: list[Package]) -> int:
        """Return how many things it holds that cannot be told as one of these deliveries, or are half of one."""

    def close(self) -> None:
        """Stop everything."""


def whole_places(files: Mapping[str, bytes], package: Package) -> list[str]:
    """Return the places among ``files`` (by path) whose marker stands and that hold every part of a delivery."""
    marked = [path.removesuffix(MARKER) for path in files if path.rpartition("/")[2] == MARKER]
    own = [place for place in marked if str(package.delivery_id) in place]
    parts = {sealed.jwe or b"" for _name, sealed in package.submission.contents.parts()}
    return [place for place in own if parts <= {files[path] for path in files if path.startswith(place)}]
