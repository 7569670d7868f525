"""Merkle trees (RFC 9162 section 2.1): one hash over many entries, and short proofs that an entry is among them. Pure.

Entries are bytes of any length. Leaves and nodes are hashed apart (0x00 and 0x01 in front), so that no node passes as
an entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from hmac import compare_digest

from hub.errors import SealBroken, Text

#: Hashes of the longest proof: trees beyond 2^63 entries do not exist.
_PROOF_LIMIT = 63


def tree_head(entries: Sequence[bytes]) -> bytes:
    """Return the root hash (SHA-256) over ``entries``; of none, the hash of nothing."""
    if not entries:
        return hashlib.sha256(b"").digest()
    level = [_leaf(entry) for entry in entries]
    while len(level) > 1:
        level = _above(level)
    return level[0]


def inclusion_proof(entries: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from entry ``index`` to the tree head, lowest first.

    Raises:
        IndexError: there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(index)
    proof = []
    level = [_leaf(entry) for entry in entries]
    while len(level) > 1:
        # The last node of an odd level has no neighbour and rises unchanged.
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        level, index = _above(level), index // 2
    return proof


def verify_inclusion(entry: bytes, *, index: int, size: int, proof: Sequence[bytes], head: bytes) -> None:
    """Require ``entry`` to stand at ``index`` of the ``size`` entries behind ``head`` (RFC 9162 section 2.1.3.2).

    Raises:
        SealBroken: it does not, or the proof has another length.
    """
    if not 0 <= index < size or len(proof) > _PROOF_LIMIT:
        raise _not_included()
    node, position, last = _leaf(entry), index, size - 1
    for neighbour in proof:
        if last == 0:
            raise _not_included()
        if position % 2 or position == last:
            node = _node(neighbour, node)
            while position % 2 == 0 and position:
                position, last = position // 2, last // 2
        else:
            node = _node(node, neighbour)
        position, last = position // 2, last // 2
    if last != 0 or not compare_digest(node, head):
        raise _not_included()


def _above(level: list[bytes]) -> list[bytes]:
    # Pairing from the left and lifting an odd last node gives the tree that the standard defines by the largest power
    # of two below the size.
    above = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return above + level[-1:] if len(level) % 2 else above


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _not_included() -> SealBroken:
    return SealBroken(
        Text(
            "Der Eintrag steht nicht an dieser Stelle des signierten Protokolls. Es wurde verändert, oder der Nachweis "
            "gehört zu einem anderen Stand.",
            "The entry does not stand at this place of the signed log. It was changed, or the proof belongs to another "
            "state of the log.",
        )
    )
