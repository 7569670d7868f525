"""A destination's public key on its way into the store: judged, and reduced to the members that FIT-Connect knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hub.crypto.keys import KeyPolicy, judge_encryption_key, judge_signature_key
from hub.errors import KeyRefused, Malformed

_MEMBERS = ("kty", "key_ops", "alg", "kid", "n", "e", "x5c")


def use_of(jwk: Mapping[str, Any]) -> str:
    """Return what a key says it is for: ``verify``, or else ``wrapKey``."""
    return "verify" if jwk.get("key_ops") == ["verify"] else "wrapKey"


def judged(jwk: Mapping[str, Any], *, use: str, now: datetime, policy: KeyPolicy) -> dict[str, Any]:
    """Return a key that passed the policy, with the members of FIT-Connect's keys and no other.

    Raises:
        Malformed: the policy refuses it; FIT-Connect's API says 400 where a key in a body is bad.
    """
    judge = judge_signature_key if use == "verify" else judge_encryption_key
    try:
        judge(dict(jwk), now=now, policy=policy)
    except KeyRefused as exc:
        raise Malformed(exc.detail, slug="key-refused", **exc.members) from exc
    return {name: jwk[name] for name in _MEMBERS if name in jwk}
