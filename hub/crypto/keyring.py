"""The hub's own keys: what it signs, fingerprints and keeps secrets with, shared by all nodes of one installation.

A folder (mode 0700) holds ``keyring.json``, which lists every key ever used with its public half, and one private file
(0600) per key. Making and retiring a key swaps ``keyring.json`` in one rename; every node notices and follows without a
restart. A retired signing key loses its private half for good, and its public half stays published.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.crypto import base64url, issuance, keyfiles
from hub.crypto.certificates import write_chain
from hub.crypto.jwe import IV_SIZE
from hub.crypto.jwk import Jwk, make_ed25519_pair, make_rsa_pair
from hub.crypto.keys import SigningKey, VerificationKey, read_signing_key, verification_key
from hub.errors import ConfigurationError, SealBroken, Text

INDEX_FILE = "keyring.json"
#: Seconds for which the list of keys is not looked at again.
FRESH = 1.0

_CERTIFICATE_VALIDITY = timedelta(days=1095)
_SEALED_FORMAT = "s1"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    kind: KeyKind
    kid: str
    created_at: str
    retired_at: str | None = None
    public: Jwk | None = field(default=None, repr=False)


class HubKeys:
    """The keyring of a folder. Private keys are read when first needed; all methods may be called from any thread.

    Another process's change of key is followed within :data:`FRESH` seconds, and at once where its key is met or asked for.
    ``ticks`` are seconds of a clock that never goes back.
    """

    def __init__(self, folder: Path, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._ticks = ticks
        self._seen: tuple[tuple[int, int, int], tuple[_Entry, ...]] | None = None
        self._looked = -math.inf
        self._material: dict[str, SigningKey | bytes] = {}
        self._verification: dict[str, VerificationKey] = {}

    @classmethod
    def load_or_create(cls, folder: Path, now: datetime, *, create: bool) -> HubKeys:
        """Return the keyring of ``folder``; with ``create`` an absent one is made (about a second).

        Raises:
            ConfigurationError: there is none and ``create`` is off, or it cannot be read.
        """
        keys = cls(folder)
        if create:
            keyfiles.make_folder(folder)
            with keyfiles.locked(folder):
                if not (folder / INDEX_FILE).exists():
                    keys._write(tuple(keys._make(kind, now) for kind in KeyKind))
        keys._entries()
        return keys

    @property
    def signing(self) -> SigningKey:
        """The key for event and access tokens (PS512)."""
        return self._signing_key(KeyKind.SIGNING)

    @property
    def receipt(self) -> SigningKey:
        """The key for receipts (Ed25519)."""
        return self._signing_key(KeyKind.RECEIPT)

    @property
    def portal(self) -> SigningKey:
        """The key for addressing information (PS512)."""
        return self._signing_key(KeyKind.PORTAL)

    @property
    def idempotency(self) -> bytes:
        """The 32-byte key for :func:`hub.crypto.hmacs.idempotency_mac`."""
        return self._secret_key(self._current(KeyKind.IDEMPOTENCY).kid)

    def verification_key(self, kid: str) -> VerificationKey:
        """Return the current or retired key that verifies the hub's event and access tokens.

        Raises:
            SealBroken: the hub never had a signing key of that name.
        """
        entry = self._find(KeyKind.SIGNING, kid)
        if entry is not None and entry.public is not None:
            if kid not in self._verification:
                self._verification[kid] = verification_key(entry.public)
            return self._verification[kid]
        raise SealBroken(
            Text(
                "Diesen Schlüssel hat der Hub nie verwendet. Das Token stammt von einer anderen Stelle.",
                "The hub never used this key. The token comes from elsewhere.",
            )
        )

    def fit_connect_jwks(self) -> dict[str, Any]:
        """Return the JWK set that verifies event tokens: PS512, x5c included, current key first."""
        return self._published(KeyKind.SIGNING)

    def hub_jwks(self) -> dict[str, Any]:
        """Return the JWK set that verifies all proof of the hub: receipts (Ed25519) and event tokens (PS512)."""
        return self._published(KeyKind.RECEIPT, KeyKind.SIGNING)

    def portal_jwks(self) -> dict[str, Any]:
        """Return the JWK set that verifies addressing information (PS512)."""
        return self._published(KeyKind.PORTAL)

    def rotate(self, kind: str, now: datetime) -> None:
        """Make a new key of ``kind`` the current one and retire the one before.

        Raises:
            ConfigurationError: unknown kind, or the idempotency key, without which old answers are not recognised.
        """
        if kind not in set(KeyKind) - {KeyKind.IDEMPOTENCY}:
            raise ConfigurationError(
                Text(
                    f"Schlüssel der Art „{kind}“ lassen sich nicht wechseln. "
                    "Möglich: signing, receipt, portal, secrets.",
                    f'Keys of kind "{kind}" cannot be rotated. Possible: signing, receipt, portal, secrets.',
                )
            )
        with keyfiles.locked(self._folder):
            self._look()
            retired = self._current(KeyKind(kind))
            kept = (
                replace(each, retired_at=now.isoformat()) if each.kid == retired.kid else each
                for each in self._entries()
            )
            self._write((self._make(retired.kind, now), *kept))
        if retired.public is not None:
            keyfiles.remove(self._private_file(retired.kid))

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        """Return ``secret`` encrypted for rest; ``context`` says where it belongs and must be the same on opening."""
        kid = self._current(KeyKind.SECRETS).kid
        iv = os.urandom(IV_SIZE)
        cipher = AESGCM(self._secret_key(kid))
        sealed = iv + cipher.encrypt(iv, secret, _secret_binding(kid, context))
        return f"{_SEALED_FORMAT}.{kid}.{base64url.encode(sealed).decode('ascii')}"

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        """Return a secret that :meth:`seal_secret` sealed, under the current or a retired key.

        Raises:
            SealBroken: it was changed, belongs to another context, or its key is not on this keyring.
        """
        version, _, rest = sealed.partition(".")
        kid, _, text = rest.partition(".")
        if version != _SEALED_FORMAT or self._find(KeyKind.SECRETS, kid) is None:
            raise _not_ours()
        content = base64url.decode(text.encode("ascii", errors="replace"), part="secret")
        cipher = AESGCM(self._secret_key(kid))
        try:
            return cipher.decrypt(content[:IV_SIZE], content[IV_SIZE:], _secret_binding(kid, context))
        except (InvalidTag, ValueError) as exc:
            raise _not_ours() from exc

    def _signing_key(self, kind: KeyKind) -> SigningKey:
        # A second look finds the successor where another node rotated between reading the list and the file.
        try:
            return self._load_signing_key(self._current(kind))
        except FileNotFoundError:
            self._look()
        try:
            return self._load_signing_key(self._current(kind))
        except FileNotFoundError as exc:
            raise _unreadable(self._folder) from exc

    def _load_signing_key(self, entry: _Entry) -> SigningKey:
        known = self._material.get(entry.kid)
        if not isinstance(known, SigningKey):
            known = read_signing_key(self._read_private(entry.kid), written_by_us=True)
            self._material[entry.kid] = known
        return known

    def _secret_key(self, kid: str) -> bytes:
        known = self._material.get(kid)
        if not isinstance(known, bytes):
            try:
                known = base64url.decode(self._read_private(kid)["k"].encode("ascii"), part="k")
            except (FileNotFoundError, KeyError) as exc:
                raise _unreadable(self._folder) from exc
            self._material[kid] = known
        return known

    def _read_private(self, kid: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = orjson.loads(keyfiles.read(self._private_file(kid)))
        except orjson.JSONDecodeError as exc:
            raise _unreadable(self._folder) from exc
        return document

    def _private_file(self, kid: str) -> Path:
        return self._folder / f"{kid}.json"

    def _current(self, kind: KeyKind) -> _Entry:
        for entry in self._entries():
            if entry.kind is kind and entry.retired_at is None:
                return entry
        raise _unreadable(self._folder)

    def _find(self, kind: KeyKind, kid: str) -> _Entry | None:
        """Return a key of the list, current or retired; one that is not known may just have been made elsewhere."""
        for entries in (self._entries, self._look):
            for entry in entries():
                if entry.kind is kind and entry.kid == kid:
                    return entry
        return None

    def _published(self, *kinds: KeyKind) -> dict[str, Any]:
        entries = sorted(self._look(), key=lambda entry: entry.retired_at is not None)
        return {"keys": [dict(each.public) for kind in kinds for each in entries if each.kind is kind and each.public]}

    def _entries(self) -> tuple[_Entry, ...]:
        """Return the list as it stood on disk a moment ago: a look lets go of the interpreter, which each receipt would pay."""
        seen = self._seen
        return self._look() if seen is None or self._ticks() - self._looked >= FRESH else seen[1]

    def _look(self) -> tuple[_Entry, ...]:
        """Return the list as it stands on disk; reading it again only where the file is another one."""
        path = self._folder / INDEX_FILE
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            seen = self._seen
            if seen is None or seen[0] != stamp:
                self._seen = seen = (stamp, _read_entries(keyfiles.read(path)))
            self._looked = self._ticks()
        except (FileNotFoundError, ValueError, KeyError, TypeError) as exc:
            raise _unreadable(self._folder) from exc
        return seen[1]

    def _write(self, entries: tuple[_Entry, ...]) -> None:
        document = {"version": 1, "keys": [_as_document(entry) for entry in entries]}
        keyfiles.write(self._folder / INDEX_FILE, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        self._seen = None

    def _make(self, kind: KeyKind, now: datetime) -> _Entry:
        public, private = _MAKERS[kind](kind, now)
        keyfiles.write(self._private_file(private["kid"]), orjson.dumps(private))
        return _Entry(kind=kind, kid=private["kid"], created_at=now.isoformat(), public=public)


def _make_ps512(kind: KeyKind, now: datetime) -> tuple[Jwk, dict[str, Any]]:
    public, private = make_rsa_pair("signing", kid_prefix=f"hub-{kind}-")
    private_key = read_signing_key(private, written_by_us=True).private_key
    if not isinstance(private_key, RSAPrivateKey):
        raise TypeError("PS512 needs an RSA key")
    certificate = issuance.self_signed(
        private_key,
        subject=f"Rathaus-Hub {kind}",
        usage="digital_signature",
        now=now,
        validity=_CERTIFICATE_VALIDITY,
    )
    return public | {"x5c": write_chain([certificate])}, private


def _make_ed25519(kind: KeyKind, _: datetime) -> tuple[Jwk, dict[str, Any]]:
    return make_ed25519_pair(f"hub-{kind}-")


def _make_secret(kind: KeyKind, _: datetime) -> tuple[None, dict[str, Any]]:
    kid = f"hub-{kind}-{secrets.token_urlsafe(16)}"
    return None, {"kty": "oct", "kid": kid, "k": base64url.encode(os.urandom(32)).decode("ascii")}


_MAKERS: Mapping[KeyKind, Callable[[KeyKind, datetime], tuple[Jwk | None, dict[str, Any]]]] = {
    KeyKind.SIGNING: _make_ps512,
    KeyKind.RECEIPT: _make_ed25519,
    KeyKind.PORTAL: _make_ps512,
    KeyKind.IDEMPOTENCY: _make_secret,
    KeyKind.SECRETS: _make_secret,
}


def _read_entries(content: bytes) -> tuple[_Entry, ...]:
    return tuple(
        _Entry(
            kind=KeyKind(each["kind"]),
            kid=each["kid"],
            created_at=each["created_at"],
            retired_at=each["retired_at"],
            public=each["public"],
        )
        for each in orjson.loads(content)["keys"]
    )


def _as_document(entry: _Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind.value,
        "kid": entry.kid,
        "created_at": entry.created_at,
        "retired_at": entry.retired_at,
        "public": entry.public,
    }


def _secret_binding(kid: str, context: str) -> bytes:
    return f"{_SEALED_FORMAT}.{kid}.{context}".encode()


def _unreadable(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Der Schlüsselbund in {folder.name} fehlt, ist unvollständig oder unlesbar. Stellen Sie ihn aus der "
            "Sicherung wieder her; ein neuer würde alte Nachweise entwerten.",
            f"The keyring in {folder.name} is missing, incomplete or unreadable. Restore it from the backup; "
            "a new one would void old proof.",
        )
    )


def _not_ours() -> SealBroken:
    return SealBroken(
        Text(
            "Das gespeicherte Geheimnis lässt sich nicht öffnen: Es wurde verändert, verschoben oder gehört zu "
            "einem anderen Schlüsselbund.",
            "The stored secret cannot be opened: it was changed, moved, or belongs to another keyring.",
        )
    )
