"""The private material of a keyring: one file per key, judged when it is first needed and whenever it changes.

A key that is missing, open to others, broken, or not the one that the keyring lists is not used, also not from memory: what it
would sign or open is refused until the file is right again. Looking costs the status of each file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from hub.crypto import base64url, jws
from hub.crypto.jwk import Jwk
from hub.crypto.keys import RECEIPT_ALGORITHM, SigningKey, ed25519_verification_key, read_signing_key, verification_key
from hub.errors import ConfigurationError, HubError, Text
from hub.files import vault

#: Bytes of a secret key (HMAC-SHA256, AES-256).
SECRET_SIZE = 32
_PROBE = "key-probe"


class KeyKind(StrEnum):
    """What a key of the hub is for; one key serves one purpose."""

    #: PS512: event tokens and access tokens.
    SIGNING = "signing"
    #: Ed25519: receipts.
    RECEIPT = "receipt"
    #: PS512: addressing information (FIT-Connect's portal role).
    PORTAL = "portal"
    #: HMAC-SHA256: fingerprints of requests.
    IDEMPOTENCY = "idempotency"
    #: AES-256-GCM: secrets at rest, such as callback secrets.
    SECRETS = "secrets"


_SECRET_KINDS = frozenset({KeyKind.IDEMPOTENCY, KeyKind.SECRETS})


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyEntry:
    """A key as ``keyring.json`` lists it. ``check`` recognises a secret key, which has no public half."""

    kind: KeyKind
    kid: str
    created_at: str
    retired_at: str | None = None
    public: Jwk | None = field(default=None, repr=False)
    check: str | None = field(default=None, repr=False)

    @property
    def has_private_half(self) -> bool:
        """Whether there is a file: of retired keys only those that secrets at rest may still need."""
        return self.retired_at is None or self.kind is KeyKind.SECRETS


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What was found in a file that had this ``stamp``, None where there was no file, when it was listed as ``entry``."""

    entry: KeyEntry
    stamp: tuple[int, ...] | None
    key: SigningKey | bytes | None
    fault: ConfigurationError | None


class Material:
    """The private files of a keyring's folder. All methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}

    def path(self, kid: str) -> Path:
        """Return where a key's private half lies."""
        return self._folder / f"{kid}.json"

    def signing_key(self, entry: KeyEntry) -> SigningKey:
        """Return a key to sign with; raise ``ConfigurationError`` where its file is not as it must be."""
        key = self._of(entry)
        if not isinstance(key, SigningKey):
            raise TypeError("a secret key signs nothing")
        return key

    def secret_key(self, entry: KeyEntry) -> bytes:
        """Return the 32 bytes of a secret key; raise ``ConfigurationError`` where its file is not as it must be."""
        key = self._of(entry)
        if isinstance(key, SigningKey):
            raise TypeError("a signing key is no secret key")
        return key

    def lacks(self, entry: KeyEntry) -> bool:
        """Whether the file was not there when it was last looked for: another node may have retired the key."""
        known = self._known.get(entry.kid)
        return known is not None and known.stamp is None

    def faults(self, entries: Collection[KeyEntry]) -> list[ConfigurationError]:
        """Judge the files of ``entries`` and return what is wrong with them."""
        return [known.fault for entry in entries if (known := self._looked(entry)).fault is not None]

    def renew(self, entries: Collection[KeyEntry]) -> None:
        """Judge anew what was read before and has changed since; forget what is no more among ``entries``."""
        for entry in entries:
            if entry.kid in self._known:
                self._looked(entry)
        for kid in self._known.keys() - {entry.kid for entry in entries}:
            self._known.pop(kid, None)

    def _of(self, entry: KeyEntry) -> SigningKey | bytes:
        known = self._known.get(entry.kid) or self._looked(entry)
        if known.key is None:
            raise known.fault or _gone(self.path(entry.kid))
        return known.key

    def _looked(self, entry: KeyEntry) -> _Known:
        """Return what is known of the file, reading it again only where it is another one than before."""
        path = self.path(entry.kid)
        stamp = _stamp(path)
        known = self._known.get(entry.kid)
        if known is None or known.stamp != stamp or known.entry != entry:
            self._known[entry.kid] = known = _read(entry, path, stamp)
        return known


def check_of(secret: bytes) -> str:
    """Return by what a secret key is recognised; from 32 random bytes behind a hash nobody gets back to them."""
    return hashlib.sha256(b"rathaus-hub key check\0" + secret).hexdigest()


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode, status.st_uid


def _read(entry: KeyEntry, path: Path, stamp: tuple[int, ...] | None) -> _Known:
    try:
        return _Known(entry=entry, stamp=stamp, key=_judged(entry, vault.read(path)), fault=None)
    except ConfigurationError as fault:
        return _Known(entry=entry, stamp=stamp, key=None, fault=fault)
    except FileNotFoundError:
        return _Known(entry=entry, stamp=None, key=None, fault=_gone(path))
    except (OSError, HubError, ValueError, KeyError, TypeError, AttributeError):
        return _Known(entry=entry, stamp=stamp, key=None, fault=_not_that_key(path))


def _judged(entry: KeyEntry, content: bytes) -> SigningKey | bytes:
    """Return the key if it is whole and the one of ``entry``: what it signs verifies with the published half."""
    document: dict[str, Any] = orjson.loads(content)
    if document["kid"] != entry.kid:
        raise ValueError("another key's file")
    if (entry.public is None) != (entry.kind in _SECRET_KINDS):
        raise ValueError("a key of another kind")
    if entry.public is None:
        secret = base64url.decode(document["k"].encode("ascii"), part="k")
        if len(secret) != SECRET_SIZE or entry.check not in (None, check_of(secret)):
            raise ValueError("another secret")
        return secret
    key = read_signing_key(document, written_by_us=True)
    if (key.alg == RECEIPT_ALGORITHM) != (entry.kind is KeyKind.RECEIPT):
        raise ValueError("a key of another kind")
    if key.alg == RECEIPT_ALGORITHM:
        jws.verify_eddsa(jws.sign_eddsa(key, b"{}", typ=_PROBE), ed25519_verification_key(entry.public), typ=_PROBE)
    else:
        jws.verify_ps512(jws.sign_ps512(key, b"{}", typ=_PROBE), verification_key(entry.public), typ=_PROBE)
    return key


def _gone(path: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Schlüsseldatei {path.name} fehlt. Stellen Sie sie aus der Sicherung wieder her; ist sie verloren, "
            "ersetzt „hub keys rotate“ den Schlüssel (außer idempotency).",
            f"The key file {path.name} is missing. Restore it from the backup; if it is lost, 'hub keys rotate' replaces "
            "the key (except idempotency).",
        ),
        file=path.name,
    )


def _not_that_key(path: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Schlüsseldatei {path.name} ist unlesbar, unvollständig oder enthält einen anderen Schlüssel als den im "
            "Schlüsselbund. Stellen Sie sie aus der Sicherung wieder her.",
            f"The key file {path.name} cannot be read, is incomplete, or holds another key than the keyring lists. "
            "Restore it from the backup.",
        ),
        file=path.name,
    )
