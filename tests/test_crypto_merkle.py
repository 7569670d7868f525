"""Merkle trees against the definition in RFC 9162, written down recursively as the standard does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.crypto.merkle import inclusion_proof, tree_head, verify_inclusion
from hub.errors import SealBroken

logs = st.lists(st.binary(max_size=6), min_size=1, max_size=40)


def defined_head(entries: list[bytes]) -> bytes:
    if len(entries) < 2:
        return hashlib.sha256(b"\0" + entries[0]).digest() if entries else hashlib.sha256(b"").digest()
    split = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + defined_head(entries[:split]) + defined_head(entries[split:])).digest()


def defined_proof(entries: list[bytes], index: int) -> list[bytes]:
    if len(entries) == 1:
        return []
    split = 1 << (len(entries) - 1).bit_length() - 1
    if index < split:
        return [*defined_proof(entries[:split], index), defined_head(entries[split:])]
    return [*defined_proof(entries[split:], index - split), defined_head(entries[:split])]


def test_there_is_no_proof_of_an_entry_that_does_not_exist() -> None:
    for index in (-1, 2, 3):
        with pytest.raises(IndexError):
            inclusion_proof([b"a", b"b"], index)
        with pytest.raises(SealBroken):
            verify_inclusion(b"a", index=index, size=2, proof=[b"x" * 32], head=b"y" * 32)
    with pytest.raises(SealBroken):
        verify_inclusion(b"a", index=0, size=1, proof=[b"x" * 32] * 1000, head=tree_head([b"a"]))


@given(logs, st.data())
def test_no_other_entry_place_size_proof_or_head_verifies(log: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(log) - 1))
    size, proof, head = len(log), inclusion_proof(log, index), tree_head(log)
    # Equal entries may truly stand at several places: only numbered ones tell places apart.
    wrong = [
        (log[index] + b"!", index, size, proof, head),
        (log[index], index, size, [*proof, head], head),
        (log[index], index, size, proof, hashlib.sha256(head).digest()),
    ]
    if proof:
        wrong.append((log[index], index, size, proof[:-1], head))
        wrong.append((log[index], index, size, [hashlib.sha256(proof[0]).digest(), *proof[1:]], head))
    for entry, at, of, by, root in wrong:
        with pytest.raises(SealBroken):
            verify_inclusion(entry, index=at, size=of, proof=by, head=root)


@given(st.integers(2, 40), st.data())
def test_an_entry_verifies_at_its_own_place_only(size: int, data: st.DataObject) -> None:
    log = [str(number).encode() for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    for other in range(size):
        if other == index:
            verify_inclusion(log[index], index=index, size=size, proof=inclusion_proof(log, index), head=tree_head(log))
        else:
            with pytest.raises(SealBroken):
                verify_inclusion(
                    log[index], index=other, size=size, proof=inclusion_proof(log, index), head=tree_head(log)
                )


@given(st.lists(st.binary(max_size=6), max_size=40))
def test_the_head_is_the_one_that_the_standard_defines(log: list[bytes]) -> None:
    assert tree_head(log) == defined_head(log)


@given(logs, st.data())
def test_every_proof_is_the_defined_one_and_verifies(log: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(log) - 1))
    proof = inclusion_proof(log, index)
    assert proof == defined_proof(log, index)
    verify_inclusion(log[index], index=index, size=len(log), proof=proof, head=tree_head(log))
