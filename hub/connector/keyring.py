"""The municipality's private keys, read once at the start (a check of an RSA-4096 key costs about 0.3 s)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from hub.connector.settings import Address, unusable
from hub.crypto.keys import DecryptionKey, SigningKey, read_decryption_key, read_signing_key
from hub.errors import KeyRefused
from hub.files import vault


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """The keys of one destination: several to decrypt while keys roll over, one to sign."""

    decryption: tuple[DecryptionKey, ...]
    signing: SigningKey


def load_keys(addresses: Iterable[Address]) -> dict[UUID, Keys]:
    """Read the key files of every destination; ``ConfigurationError`` names the file that cannot be used."""
    return {address.destination_id: _load(address) for address in addresses}


def _load(address: Address) -> Keys:
    return Keys(
        decryption=tuple(_decryption(path) for path in address.decryption_key_files),
        signing=_signing(address.signing_key_file),
    )


def _decryption(path: Path) -> DecryptionKey:
    try:
        return read_decryption_key(_jwk(path))
    except KeyRefused as exc:
        raise unusable(str(path), exc.detail.de.rstrip("."), exc.detail.en.rstrip(".")) from exc


def _signing(path: Path) -> SigningKey:
    try:
        return read_signing_key(_jwk(path))
    except KeyRefused as exc:
        raise unusable(str(path), exc.detail.de.rstrip("."), exc.detail.en.rstrip(".")) from exc


def _jwk(path: Path) -> Mapping[str, Any]:
    try:
        document = orjson.loads(vault.read(path))
    except (OSError, orjson.JSONDecodeError) as exc:
        raise unusable(str(path), "ist kein lesbarer JWK", "is no readable JWK") from exc
    if not isinstance(document, dict):
        raise unusable(str(path), "ist kein lesbarer JWK", "is no readable JWK")
    return document
