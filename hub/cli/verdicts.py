"""What a receipt says of the check of its application, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def verdict(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on what was accepted although it is invalid, lacks attachments or was not checked completely."""
    said = claims.get("validation")
    if said is None:
        return
    if not said["valid"]:
        yield f"ungültig / invalid: {said['violations']} ({said['onInvalid']})"
    missing = said.get("missingAttachments", 0)
    if missing:
        yield f"genannte Anlagen, die fehlen / attachments named that are missing: {missing}"
    unchecked = said.get("unchecked", ())  # Receipts of earlier versions do not have it.
    if unchecked:
        yield "nicht vollständig geprüft / not completely checked:"
    for each in unchecked:
        yield f"  {each['text']['de']}\n  {each['text']['en']}"
