"""Merkle trees against the definition in RFC 9162, written down recursively as the standard does."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.crypto.receipts import inclusion_proof, tree_head, verify_inclusion
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


# Every tree of up to 64 entries, and the published ones.

NUMBERED = [b"entry %d" % number for number in range(64)]
#: Inputs and heads of Certificate Transparency's own tests (github.com/google/certificate-transparency, merkle_tree_test.cc).
PUBLISHED_ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
PUBLISHED_HEADS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@cache
def head_of(first: int, end: int) -> bytes:
    """The defined head (RFC 9162 section 2.1.1) over a range of the numbered entries, remembered."""
    return defined_head(NUMBERED[first:end])


def defined_path(index: int, first: int, end: int) -> list[bytes]:
    """PATH (RFC 9162 section 2.1.3.1) of the numbered entry ``first + index`` among those from ``first`` to ``end``."""
    if end - first == 1:
        return []
    split = 1 << (end - first - 1).bit_length() - 1
    if index < split:
        return [*defined_path(index, first, first + split), head_of(first + split, end)]
    return [*defined_path(index - split, first + split, end), head_of(first, first + split)]


def led_to(entry: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """The head to which PATH's definition leads ``entry`` backwards, None where a path of that place is of other length."""
    if size == 1:
        return None if proof else hashlib.sha256(b"\0" + entry).digest()
    if not proof:
        return None
    split = 1 << (size - 1).bit_length() - 1
    left = index < split
    below = led_to(entry, index if left else index - split, split if left else size - split, proof[:-1])
    if below is None:
        return None
    return hashlib.sha256(b"\1" + (below + proof[-1] if left else proof[-1] + below)).digest()


def verifies(entry: bytes, index: int, size: int, proof: list[bytes], head: bytes) -> bool:
    try:
        verify_inclusion(entry, index=index, size=size, proof=proof, head=head)
    except SealBroken:
        return False
    return True


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_the_heads_are_those_of_certificate_transparency() -> None:
    """Trees of no to eight entries; the first is the hash of nothing (RFC 9162 section 2.1.1)."""
    assert [tree_head(PUBLISHED_ENTRIES[:size]).hex() for size in range(9)] == PUBLISHED_HEADS
    for size in range(1, 9):
        for index in range(size):
            proof = inclusion_proof(PUBLISHED_ENTRIES[:size], index)
            assert verifies(PUBLISHED_ENTRIES[index], index, size, proof, bytes.fromhex(PUBLISHED_HEADS[size]))


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """RFC 9162 section 2.1.1: 0x00 before an entry, 0x01 before two hashes, so that no node passes as an entry."""
    a, b = (hashlib.sha256(b"\0" + entry).digest() for entry in (b"a", b"b"))
    assert tree_head([b"a"]) == a
    assert tree_head([b"a", b"b"]) == hashlib.sha256(b"\1" + a + b).digest()
    node = a + b
    assert not verifies(node, 0, 1, [], tree_head([b"a", b"b"]))
    assert not verifies(b"\1" + node, 0, 1, [], tree_head([b"a", b"b"]))
    assert tree_head([node]) != tree_head([b"a", b"b"])


@pytest.mark.parametrize("size", range(1, 65))
def test_every_place_of_every_small_tree_has_the_defined_proof_and_no_changed_one_verifies(size: int) -> None:
    """RFC 9162 sections 2.1.1 and 2.1.3: all 2080 places of the trees of 1 to 64 entries, each with its own negatives."""
    log, head = NUMBERED[:size], tree_head(NUMBERED[:size])
    assert head == head_of(0, size)
    for index, entry in enumerate(log):
        proof = inclusion_proof(log, index)
        assert proof == defined_path(index, 0, size)
        assert verifies(entry, index, size, proof, head)
        wrong = [
            (changed(entry), proof, head),
            (b"\0" + entry, proof, head),
            (entry, proof, changed(head)),
            (entry, proof, head[:-1]),
            (entry, [*proof, head], head),
            (entry, [*proof, b""], head),
            (entry, [head, *proof], head),
            *((entry, [*proof[:at], changed(proof[at]), *proof[at + 1 :]], head) for at in range(len(proof))),
            *((entry, [*proof[:at], *proof[at + 1 :]], head) for at in range(len(proof))),
            *((entry, [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]], head) for at in range(len(proof) - 1)),
        ]
        assert not any(verifies(other, index, size, path, root) for other, path, root in wrong)
        for place in (-1, size, size + 1, index + size, *range(size)):
            assert verifies(entry, place, size, proof, head) == (place == index)


def test_a_proof_verifies_under_another_size_only_where_the_definition_leads_to_the_same_head() -> None:
    """RFC 9162 section 2.1.3.2, backwards by the definition: all places and sizes up to 18, told wrongly in all ways.

    A path alone does not tell every size (the first of three entries has the shape of the first of four): that is what the
    checkpoint signs the size for.
    """
    for size in range(1, 19):
        for index in range(size):
            proof, head = inclusion_proof(NUMBERED[:size], index), tree_head(NUMBERED[:size])
            for other_size in range(1, 19):
                for other in range(other_size):
                    expected = led_to(NUMBERED[index], other, other_size, proof) == head
                    assert verifies(NUMBERED[index], other, other_size, proof, head) == expected
    for size in (-1, 0):
        assert not verifies(NUMBERED[0], 0, size, [], tree_head([]))
