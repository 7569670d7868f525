"""The hub's own keys: what it signs, fingerprints and keeps secrets with, shared by all nodes of one installation.

A folder (mode 0700) holds ``keyring.json``, which lists every key ever used with its public half, and one private file
(0600) per key. Making and retiring a key swaps ``keyring.json`` in one rename; every node notices and follows without a
restart, as it does when a file is lost, opened to others, or restored. A retired signing key loses its private half for
good, and its public half stays published. The next key of a kind may be announced: it is published and signs nothing until it
takes the place of the current one, so that whoever keeps a list of the hub's keys can take it in before.

The private file of a key is judged when it is first needed and whenever it changes. A key that is missing, open to others,
broken, or not the one that the keyring lists is not used, also not from memory: what it would sign or open is refused until the
file is right again. Looking costs the status of each file.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.crypto import base64url, certificates, jws
from hub.crypto.certificates import write_chain
from hub.crypto.jwe import IV_SIZE
from hub.crypto.jwk import RECEIPT_ALGORITHM, Jwk, make_ed25519_pair, make_rsa_pair
from hub.crypto.keys import (
    SigningKey,
    VerificationKey,
    ed25519_verification_key,
    expires_at,
    read_signing_key,
    verification_key,
)
from hub.crypto.symmetric import derive
from hub.errors import ConfigurationError, HubError, SealBroken, Text
from hub.files import vault

INDEX_FILE = "keyring.json"
#: Bytes of a secret key (HMAC-SHA256, AES-256).
SECRET_SIZE = 32
#: Seconds for which the list of keys is not looked at again.
FRESH = 1.0

_CERTIFICATE_VALIDITY = timedelta(days=1095)
_SEALED_FORMAT = "s1"
_PROBE = "key-probe"
_KID = re.compile(r"[A-Za-z0-9_-]{1,200}")


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


#: The purpose that the name of a key of ours begins with. Names of another form tell none and are taken as they are.
_KIND_IN_KID = re.compile(f"hub-({'|'.join(KeyKind)})-.*")


class HubKeys:
    """The keyring of a folder. Private keys are read when first needed, or by :meth:`require`; any thread may call any method.

    Another process's change of key is followed within :data:`FRESH` seconds, and at once where its key is met or asked for.
    ``ticks`` are seconds of a clock that never goes back.
    """

    def __init__(self, folder: Path, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._ticks = ticks
        self._seen: tuple[tuple[int, ...], tuple[KeyEntry, ...]] | None = None
        self._looked = -math.inf
        self._material = Material(folder)
        self._verification: dict[str, VerificationKey] = {}

    @classmethod
    def load_or_create(cls, folder: Path, now: datetime, *, create: bool) -> HubKeys:
        """Return the keyring of ``folder``; with ``create`` an absent one is made (about a second).

        Raises:
            ConfigurationError: there is none and ``create`` is off, it cannot be read, or it lists a key for another
            purpose than the one it was made for.
        """
        keys = cls(folder)
        if create:
            vault.make_folder(folder)
            with vault.locked(folder):
                if not (folder / INDEX_FILE).exists():
                    keys._write(tuple(keys._make(kind, now) for kind in KeyKind))
        keys._entries()
        return keys

    def require(self) -> None:
        """Read and judge the file of every key in use.

        Raises:
            ConfigurationError: one is missing, open to others, broken or another key's; names the file.
        """
        for fault in self.faults():
            raise fault

    def faults(self) -> Sequence[ConfigurationError]:
        """Return what is wrong with the keyring now: with its list, or with the file of any key in use."""
        try:
            vault.require_privacy(self._folder)
            entries = self._look()
            found = self._material.faults(_with_files(entries))
            if found and (again := self._look()) is not entries:
                # Another node changed a key in between.
                found = self._material.faults(_with_files(again))
        except ConfigurationError as fault:
            return [fault]
        missing = set(KeyKind) - {entry.kind for entry in self._entries() if entry.retired_at is None}
        return [_unreadable(self._folder), *found] if missing else found

    def ends(self) -> dict[KeyKind, datetime]:
        """Return when the certificates of the keys in use end, by purpose; a key without a certificate does not end."""
        current = {entry.kind: entry.public for entry in self._entries() if entry.retired_at is None and entry.public}
        ends = {kind: expires_at(public) for kind, public in current.items()}
        return {kind: end for kind, end in ends.items() if end is not None}

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
        return self._material.secret_key(self._current(KeyKind.IDEMPOTENCY))

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
        """Return the JWK set that verifies all proof of the hub: receipts (Ed25519) and event tokens (PS512).

        A receipt's key says from when on it was used, and until when (``nbf`` and ``exp``, seconds since 1970; OpenID
        Federation 1.0 names these parameters of a JWK): a receipt of another time was not signed by the hub.
        """
        return self._published(KeyKind.RECEIPT, KeyKind.SIGNING)

    def portal_jwks(self) -> dict[str, Any]:
        """Return the JWK set that verifies addressing information (PS512)."""
        return self._published(KeyKind.PORTAL)

    def announce(self, kind: str, now: datetime) -> str:
        """Make and publish the key that the next :meth:`rotate` of ``kind`` makes the current one; return its ``kid``.

        Asked again, it returns the one that is announced already.

        Raises:
            ConfigurationError: unknown kind, or one that is not published.
        """
        if kind not in {KeyKind.SIGNING, KeyKind.RECEIPT, KeyKind.PORTAL}:
            raise _not_published(kind)
        with vault.locked(self._folder):
            self._look()
            known = self._announced(KeyKind(kind))
            if known is not None:
                return known.kid
            made = self._make(KeyKind(kind), now)
            # Behind the current one: the first of its kind that is not retired is in use.
            self._write((*self._entries(), made))
        return made.kid

    def rotate(self, kind: str, now: datetime) -> str:
        """Make the announced key of ``kind``, or else a new one, the current one and retire the one before; return its ``kid``.

        Raises:
            ConfigurationError: unknown kind, or the idempotency key, without which old answers are not recognised.
        """
        if kind not in set(KeyKind) - {KeyKind.IDEMPOTENCY}:
            raise _not_rotated(kind)
        with vault.locked(self._folder):
            self._look()
            retired, next_ = self._current(KeyKind(kind)), self._announced(KeyKind(kind))
            kept = (
                replace(each, retired_at=now.isoformat()) if each.kid == retired.kid else each
                for each in self._entries()
                if each is not next_
            )
            # In use from now on, and no receipt of an earlier time is its.
            fresh = self._make(retired.kind, now) if next_ is None else replace(next_, created_at=now.isoformat())
            self._write((fresh, *kept))
        if retired.public is not None:
            vault.remove(self._material.path(retired.kid))
        return fresh.kid

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        """Return ``secret`` encrypted for rest; ``context`` says where it belongs and must be the same on opening."""
        entry = self._current(KeyKind.SECRETS)
        iv = os.urandom(IV_SIZE)
        cipher = AESGCM(self._material.secret_key(entry))
        sealed = iv + cipher.encrypt(iv, secret, _secret_binding(entry.kid, context))
        return f"{_SEALED_FORMAT}.{entry.kid}.{base64url.encode(sealed).decode('ascii')}"

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        """Return a secret that :meth:`seal_secret` sealed, under the current or a retired key.

        Raises:
            SealBroken: it was changed, belongs to another context, or its key is not on this keyring.
        """
        version, _, rest = sealed.partition(".")
        kid, _, text = rest.partition(".")
        entry = self._find(KeyKind.SECRETS, kid)
        if version != _SEALED_FORMAT or entry is None:
            raise _not_ours()
        content = base64url.decode(text.encode("ascii", errors="replace"), part="secret")
        cipher = AESGCM(self._material.secret_key(entry))
        try:
            return cipher.decrypt(content[:IV_SIZE], content[IV_SIZE:], _secret_binding(kid, context))
        except (InvalidTag, ValueError) as exc:
            raise _not_ours() from exc

    def content_salt(self, submission_id: str, kid: str | None = None) -> tuple[str, bytes]:
        """Return the salt of a submission's proof of contents, and the id of the key that it follows from (HKDF-SHA-256).

        ``kid`` is what its receipt names; without one the current key is taken. Retired keys of this kind are kept, so the
        salt is always the same.

        Raises:
            SealBroken: the key is not on this keyring.
        """
        entry = self._current(KeyKind.SECRETS) if kid is None else self._find(KeyKind.SECRETS, kid)
        if entry is None:
            raise _not_ours()
        purpose = f"content-proof:{submission_id}".encode()
        return entry.kid, derive(self._material.secret_key(entry), purpose=purpose)

    def _signing_key(self, kind: KeyKind) -> SigningKey:
        entry = self._current(kind)
        try:
            return self._material.signing_key(entry)
        except ConfigurationError:
            if not self._material.lacks(entry):
                raise
        # A second look finds the successor where another node rotated between reading the list and the file.
        self._look()
        return self._material.signing_key(self._current(kind))

    def _current(self, kind: KeyKind) -> KeyEntry:
        for entry in self._entries():
            if entry.kind is kind and entry.retired_at is None:
                return entry
        raise _unreadable(self._folder)

    def _announced(self, kind: KeyKind) -> KeyEntry | None:
        """Return the key that is published and not used yet: the second one of its kind that is not retired."""
        usable = [each for each in self._entries() if each.kind is kind and each.retired_at is None]
        return usable[1] if len(usable) > 1 else None

    def _find(self, kind: KeyKind, kid: str) -> KeyEntry | None:
        """Return a key of the list, current or retired; one that is not known may just have been made elsewhere."""
        for entries in (self._entries, self._look):
            for entry in entries():
                if entry.kind is kind and entry.kid == kid:
                    return entry
        return None

    def _published(self, *kinds: KeyKind) -> dict[str, Any]:
        entries = sorted(self._look(), key=lambda entry: entry.retired_at is not None)
        return {
            "keys": [_as_published(each) for kind in kinds for each in entries if each.kind is kind and each.public]
        }

    def _entries(self) -> tuple[KeyEntry, ...]:
        """Return the list as it stood on disk a moment ago: a look lets go of the interpreter, which each receipt would pay."""
        seen = self._seen
        return self._look() if seen is None or self._ticks() - self._looked >= FRESH else seen[1]

    def _look(self) -> tuple[KeyEntry, ...]:
        """Return the list as it stands on disk; reading it again only where the file is another one."""
        path = self._folder / INDEX_FILE
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)
            seen = self._seen
            if seen is None or seen[0] != stamp:
                self._seen = seen = (stamp, _read_entries(vault.read(path)))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise _unreadable(self._folder) from exc
        self._material.renew(_with_files(seen[1]))
        self._looked = self._ticks()
        return seen[1]

    def _write(self, entries: tuple[KeyEntry, ...]) -> None:
        document = {"version": 1, "keys": [_as_document(entry) for entry in entries]}
        vault.write(self._folder / INDEX_FILE, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        self._seen = None

    def _make(self, kind: KeyKind, now: datetime) -> KeyEntry:
        public, private = _MAKERS[kind](kind, now)
        vault.write(self._material.path(private["kid"]), orjson.dumps(private))
        check = None if "k" not in private else check_of(base64url.decode(private["k"].encode("ascii"), part="k"))
        return KeyEntry(kind=kind, kid=private["kid"], created_at=now.isoformat(), public=public, check=check)


def _not_published(kind: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Schlüssel der Art „{kind}“ werden nicht veröffentlicht, also auch nicht angekündigt. "
            "Möglich: signing, receipt, portal.",
            f'Keys of kind "{kind}" are not published, and so not announced. Possible: signing, receipt, portal.',
        )
    )


def _not_rotated(kind: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Schlüssel der Art „{kind}“ lassen sich nicht wechseln. Möglich: signing, receipt, portal, secrets.",
            f'Keys of kind "{kind}" cannot be rotated. Possible: signing, receipt, portal, secrets.',
        )
    )


def _as_published(entry: KeyEntry) -> dict[str, Any]:
    public = dict(entry.public or {})
    if entry.kind is not KeyKind.RECEIPT:
        return public
    ended = {} if entry.retired_at is None else {"exp": math.ceil(_seconds(entry.retired_at))}
    return public | {"nbf": math.floor(_seconds(entry.created_at)), **ended}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _with_files(entries: Iterable[KeyEntry]) -> list[KeyEntry]:
    return [entry for entry in entries if entry.has_private_half]


def _make_ps512(kind: KeyKind, now: datetime) -> tuple[Jwk, dict[str, Any]]:
    public, private = make_rsa_pair("signing", kid_prefix=f"hub-{kind}-")
    private_key = read_signing_key(private, written_by_us=True).private_key
    if not isinstance(private_key, RSAPrivateKey):
        raise TypeError("PS512 needs an RSA key")
    certificate = certificates.self_signed(
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
    return None, {"kty": "oct", "kid": kid, "k": base64url.encode(os.urandom(SECRET_SIZE)).decode("ascii")}


_MAKERS: Mapping[KeyKind, Callable[[KeyKind, datetime], tuple[Jwk | None, dict[str, Any]]]] = {
    KeyKind.SIGNING: _make_ps512,
    KeyKind.RECEIPT: _make_ed25519,
    KeyKind.PORTAL: _make_ps512,
    KeyKind.IDEMPOTENCY: _make_secret,
    KeyKind.SECRETS: _make_secret,
}


def _read_entries(content: bytes) -> tuple[KeyEntry, ...]:
    return tuple(map(_read_entry, orjson.loads(content)["keys"]))


def _read_entry(said: Mapping[str, Any]) -> KeyEntry:
    kid, public, retired_at = said["kid"], said["public"], said["retired_at"]
    # The name is a file's; the public half is published as it stands.
    if not _KID.fullmatch(kid) or not isinstance(public, dict | None) or not isinstance(retired_at, str | None):
        raise ValueError("no entry of a key")
    kind, named = KeyKind(said["kind"]), _KIND_IN_KID.fullmatch(kid)
    if named is not None and named[1] != kind:
        raise _exchanged(kind, kid, made_for=named[1])
    return KeyEntry(
        kind=kind,
        kid=kid,
        created_at=said["created_at"],
        retired_at=retired_at,
        public=public,
        # Keyrings from before there were checks have none.
        check=said.get("check"),
    )


def _as_document(entry: KeyEntry) -> dict[str, Any]:
    said = {
        "kind": entry.kind.value,
        "kid": entry.kid,
        "created_at": entry.created_at,
        "retired_at": entry.retired_at,
        "public": entry.public,
    }
    return said if entry.check is None else said | {"check": entry.check}


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


def _exchanged(kind: KeyKind, kid: str, *, made_for: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{INDEX_FILE} führt den Schlüssel {kid} als „{kind}“; gemacht wurde er für „{made_for}“. Einträge wurden "
            f"vertauscht: Stellen Sie {INDEX_FILE} aus der Sicherung wieder her.",
            f'{INDEX_FILE} lists the key {kid} as "{kind}"; it was made for "{made_for}". Entries were exchanged: restore '
            f"{INDEX_FILE} from the backup.",
        ),
        file=INDEX_FILE,
    )


def _not_ours() -> SealBroken:
    return SealBroken(
        Text(
            "Das gespeicherte Geheimnis lässt sich nicht öffnen: Es wurde verändert, verschoben oder gehört zu "
            "einem anderen Schlüsselbund.",
            "The stored secret cannot be opened: it was changed, moved, or belongs to another keyring.",
        )
    )


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
