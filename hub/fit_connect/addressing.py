"""Addressing information: what the hub signs so that others can trust where a destination is (FIT-Connect, section 13).

A PS512 signature is never the same twice, and it costs 2 ms. Each is therefore made once for a destination and its content
and kept; it is made anew when what it says changes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from hub.crypto import HubKeys, base64url, sign_ps512
from hub.errors import not_found
from hub.model import Destination
from hub.store import Store

_TYPE = "jwt"
_REGION_URN = "urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:rs:"
_WHOLE_COUNTRY = "DE"
#: The lands, for a destination whose region is the whole country: the URN needs digits.
_LANDS = tuple(f"{number:02d}" for number in range(1, 17))
#: Setting under which a signature is kept, so that all nodes and all restarts give the same one.
_SETTING = "addressing:"
#: Signatures that are kept in memory; each takes about a kilobyte.
MOST_KEPT = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressEntry:
    """What the Routing API says of a destination: the signature, and for version 1 the signed parameters."""

    signature: str = field(repr=False)
    parameters: Mapping[str, Any] | None = None
    parameters_signature: str | None = field(repr=False, default=None)


class AddressBook:
    """Signs addressing information with the portal key, and technical parameters with the delivery service's."""

    def __init__(self, *, store: Store, keys: HubKeys, base_url: str) -> None:
        self._store = store
        self._keys = keys
        self._base_url = base_url
        self._lock = threading.Lock()
        self.kept: dict[str, str] = {}

    def entry(self, destination: Destination, *, now: datetime, parameters: bool) -> AddressEntry:
        """Return what is signed of ``destination``, with its technical ``parameters`` if they are wanted.

        Raises:
            NotFound: the destination's current key is not on record.
        """
        signature = self._signature(destination, now)
        if not parameters:
            return AddressEntry(signature=signature)
        said = self._parameters(destination)
        return AddressEntry(
            signature=signature, parameters=said, parameters_signature=self._parameters_signature(destination, said)
        )

    def _signature(self, destination: Destination, now: datetime) -> str:
        said = {
            "submissionHost": urlsplit(self._base_url).hostname,
            "iss": f"{self._base_url}/portal",
            "services": [
                {"gebietIDs": _areas(service.regions), "leistungIDs": [service.identifier]}
                for service in destination.services
            ],
            "destinationId": str(destination.destination_id),
        }
        kid = self._keys.portal.kid

        def sign() -> str:
            claims = said | {"iat": int(now.timestamp()), "jti": str(uuid4())}
            return sign_ps512(self._keys.portal, orjson.dumps(claims), typ=_TYPE)

        return self._once(f"signature:{destination.destination_id}", [kid, said], sign)

    def _parameters(self, destination: Destination) -> dict[str, Any]:
        jwk = self._store.parties.usable_key(destination.destination_id, destination.encryption_kid)
        if jwk is None:
            raise not_found("key-not-found", destination.encryption_kid or "")
        schemas = dict.fromkeys(schema for service in destination.services for schema in service.schemas)
        return {
            "submissionUrl": f"{self._base_url}/v1/submissions",
            "encryptionKid": destination.encryption_kid,
            "metadataVersions": list(destination.metadata_versions),
            "publicKeys": {"keys": [dict(jwk)]},
            "replyChannels": dict(destination.reply_channels or {}),
            "status": destination.status,
            "submissionSchemas": [{"schemaUri": uri, "mimeType": media_type} for uri, media_type in schemas],
        }

    def _parameters_signature(self, destination: Destination, said: Mapping[str, Any]) -> str:
        """Return a detached JWS (RFC 7515, appendix F) over the parameters with sorted names and no white space."""
        payload = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)

        def sign() -> str:
            protected, _, signature = sign_ps512(self._keys.signing, payload, typ=_TYPE).split(".")
            return f"{protected}..{signature}"

        return self._once(f"parameters:{destination.destination_id}", [self._keys.signing.kid, said], sign)

    def _once(self, name: str, said: Any, sign: Any) -> str:
        """Return the kept signature of exactly this content, or make it and keep it."""
        digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
        with self._lock:
            kept = self.kept.get(name) or self._store.settings.value(_SETTING + name) or ""
            if not kept.startswith(f"{digest} "):
                kept = f"{digest} {sign()}"
                self._store.settings.set(_SETTING + name, kept)
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()  # The store has them.
            self.kept[name] = kept
        return kept.partition(" ")[2]


def _areas(regions: tuple[str, ...]) -> list[str]:
    """Return regions as URNs; the digits after ``DE`` are an ARS or the beginning of one."""
    digits = [region.removeprefix(_WHOLE_COUNTRY) for region in regions]
    return [_REGION_URN + each for one in digits for each in ((one,) if one else _LANDS)]


def detached_payload(parameters: Mapping[str, Any]) -> str:
    """Return the part that a detached signature of ``parameters`` leaves out, for whoever verifies it."""
    return base64url.encode(orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS)).decode("ascii")
