"""The standards' own algorithms, written down plainly in integers and bytes: a second opinion that shares no code with ours.

RSAES-OAEP and EMSA-PSS (RFC 8017 sections 7.1 and 9.1), AES-256 (FIPS 197), GCM (NIST SP 800-38D, 96-bit vectors), Ed25519
(RFC 8032 section 5.1). Slow and open to timing: for tests, where published vectors hold it to the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

# RSA.


def _mask(seed: bytes, size: int, digest: str) -> bytes:
    """MGF1 (RFC 8017 appendix B.2.1)."""
    blocks = (hashlib.new(digest, seed + counter.to_bytes(4, "big")).digest() for counter in range(size // 20 + 1))
    return b"".join(blocks)[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def oaep_encrypt(message: bytes, *, n: int, e: int, seed: bytes, digest: str = "sha256") -> bytes:
    """RFC 8017 section 7.1.1, empty label; ``seed`` has the digest's size."""
    size = (n.bit_length() + 7) // 8
    label = hashlib.new(digest).digest()
    block = label + b"\0" * (size - len(message) - 2 * len(label) - 2) + b"\1" + message
    masked = _xor(block, _mask(seed, len(block), digest))
    encoded = b"\0" + _xor(seed, _mask(masked, len(seed), digest)) + masked
    return pow(int.from_bytes(encoded, "big"), e, n).to_bytes(size, "big")


def oaep_decrypt(wrapped: bytes, *, n: int, d: int, digest: str = "sha256") -> bytes:
    """RFC 8017 section 7.1.2; raises ``ValueError`` where the encoding is not right."""
    encoded = pow(int.from_bytes(wrapped, "big"), d, n).to_bytes(len(wrapped), "big")
    label = hashlib.new(digest).digest()
    masked_seed, masked = encoded[1 : 1 + len(label)], encoded[1 + len(label) :]
    seed = _xor(masked_seed, _mask(masked, len(label), digest))
    block = _xor(masked, _mask(seed, len(masked), digest))
    padding, one, message = block[len(label) :].partition(b"\1")
    if encoded[0] or not block.startswith(label) or padding.strip(b"\0") or not one:
        raise ValueError("not OAEP")
    return message


def pss_sign(message: bytes, *, n: int, d: int, salt: bytes, digest: str = "sha512") -> bytes:
    """RFC 8017 sections 8.1.1 and 9.1.1."""
    bits = n.bit_length() - 1
    size = (bits + 7) // 8
    hashed = hashlib.new(digest, bytes(8) + hashlib.new(digest, message).digest() + salt).digest()
    block = b"\0" * (size - len(salt) - len(hashed) - 2) + b"\1" + salt
    masked = _xor(block, _mask(hashed, len(block), digest))
    first = masked[0] & (0xFF >> (8 * size - bits))
    encoded = bytes([first]) + masked[1:] + hashed + b"\xbc"
    return pow(int.from_bytes(encoded, "big"), d, n).to_bytes((n.bit_length() + 7) // 8, "big")


def pss_verifies(message: bytes, signature: bytes, *, n: int, e: int, salt_size: int, digest: str = "sha512") -> bool:
    """RFC 8017 sections 8.1.2 and 9.1.2."""
    number, bits = int.from_bytes(signature, "big"), n.bit_length() - 1
    size = (bits + 7) // 8
    if len(signature) != (n.bit_length() + 7) // 8 or number >= n:
        return False
    recovered = pow(number, e, n)
    if recovered.bit_length() > bits:
        return False
    encoded = recovered.to_bytes(size, "big")
    hash_size = hashlib.new(digest).digest_size
    masked, hashed = encoded[: size - hash_size - 1], encoded[size - hash_size - 1 : -1]
    block = bytearray(_xor(masked, _mask(hashed, len(masked), digest)))
    block[0] &= 0xFF >> (8 * size - bits)
    head, salt = bytes(block[:-salt_size]), bytes(block[-salt_size:])
    again = hashlib.new(digest, bytes(8) + hashlib.new(digest, message).digest() + salt).digest()
    return encoded[-1] == 0xBC and head == b"\0" * (len(head) - 1) + b"\1" and again == hashed


# AES-256-GCM.


def _times(a: int, b: int) -> int:
    """Multiplication in GF(2^8) (FIPS 197 section 4.2)."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = (a << 1) ^ (0x11B if a & 0x80 else 0), b >> 1
    return product


@cache
def _substitutions() -> bytes:
    """The S-box (FIPS 197 section 5.1.1): the inverse in the field, then an affine map."""
    box = []
    for value in range(256):
        inverse = next((other for other in range(256) if _times(value, other) == 1), 0)
        turned = inverse * 0x101
        affine = inverse ^ turned >> 4 ^ turned >> 5 ^ turned >> 6 ^ turned >> 7 ^ 0x63
        box.append(affine & 0xFF)
    return bytes(box)


@cache
def _round_keys(key: bytes) -> list[bytes]:
    """FIPS 197 section 5.2, for 32 bytes."""
    box, words, constant = _substitutions(), [key[at : at + 4] for at in range(0, 32, 4)], 1
    for index in range(8, 60):
        word = words[-1]
        if index % 8 == 0:
            word = _xor((word[1:] + word[:1]).translate(box), bytes([constant, 0, 0, 0]))
            constant = _times(constant, 2)
        elif index % 8 == 4:
            word = word.translate(box)
        words.append(_xor(words[-8], word))
    return [b"".join(words[at : at + 4]) for at in range(0, 60, 4)]


_ROWS = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11]
_DOUBLE = bytes(_times(value, 2) for value in range(256))


def _encrypted(key: bytes, block: bytes) -> bytes:
    """One block (FIPS 197 section 5.1)."""
    first, *middle, last = _round_keys(key)
    state = _xor(block, first)
    for round_key in middle:
        state = state.translate(_substitutions())
        state = _xor(_mixed(bytes(state[at] for at in _ROWS)), round_key)
    state = state.translate(_substitutions())
    return _xor(bytes(state[at] for at in _ROWS), last)


def _mixed(state: bytes) -> bytes:
    out = bytearray()
    for at in range(0, 16, 4):
        a, b, c, d = state[at : at + 4]
        whole = a ^ b ^ c ^ d
        out += bytes(x ^ whole ^ _DOUBLE[x ^ y] for x, y in ((a, b), (b, c), (c, d), (d, a)))
    return bytes(out)


def _blocks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 16] for at in range(0, len(content), 16))


def _hashed(subkey: int, content: bytes) -> int:
    """GHASH (SP 800-38D section 6.4)."""
    state = 0
    for block in _blocks(content):
        factor, value, state = subkey, state ^ int.from_bytes(block, "big"), 0
        for bit in range(127, -1, -1):
            state ^= factor if value >> bit & 1 else 0
            factor = factor >> 1 ^ (0xE1 << 120 if factor & 1 else 0)
    return state


def _keystream(key: bytes, iv: bytes, content: bytes) -> bytes:
    stream = b"".join(
        _encrypted(key, iv + (2 + number).to_bytes(4, "big")) for number, _ in enumerate(_blocks(content))
    )
    return _xor(content, stream[: len(content)])


def gcm_seal(key: bytes, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
    """Return ciphertext and 128-bit tag (SP 800-38D section 7.1); ``iv`` has 12 bytes, ``key`` 32."""
    ciphertext = _keystream(key, iv, plaintext)
    return ciphertext, _tag(key, iv, ciphertext, aad)


def gcm_open(key: bytes, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
    """Return the plaintext (SP 800-38D section 7.2); raises ``ValueError`` where the tag is another."""
    if _tag(key, iv, ciphertext, aad) != tag:
        raise ValueError("another tag")
    return _keystream(key, iv, ciphertext)


def _tag(key: bytes, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    state = _hashed(int.from_bytes(_encrypted(key, bytes(16)), "big"), padded + lengths)
    return _xor(state.to_bytes(16, "big"), _encrypted(key, iv + b"\0\0\0\1"))


# Ed25519.

Point = tuple[int, int]

FIELD = 2**255 - 19
#: The order of the base point.
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, FIELD) % FIELD
_ROOT_OF_MINUS_ONE = pow(2, (FIELD - 1) // 4, FIELD)
NEUTRAL: Point = (0, 1)


def multiplied(factor: int, point: Point) -> Point:
    """RFC 8032 section 5.1.4: the sum of ``factor`` times ``point``, in extended coordinates on the way."""
    result, twice = (0, 1, 1, 0), (*point, 1, point[0] * point[1] % FIELD)
    while factor:
        if factor & 1:
            result = _added(result, twice)
        twice, factor = _added(twice, twice), factor >> 1
    inverse = pow(result[2], -1, FIELD)
    return result[0] * inverse % FIELD, result[1] * inverse % FIELD


def _added(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    a = (one[1] - one[0]) * (other[1] - other[0])
    b = (one[1] + one[0]) * (other[1] + other[0])
    c, d = 2 * one[3] * other[3] * _D, 2 * one[2] * other[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


def x_of(y: int, sign: int) -> int | None:
    """RFC 8032 section 5.1.3; None where the curve has no such point."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * _ROOT_OF_MINUS_ONE % FIELD
    if (x * x - square) % FIELD or (x == 0 and sign):
        return None
    return x if x % 2 == sign else FIELD - x


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


@cache
def base() -> Point:
    y = 4 * pow(5, -1, FIELD) % FIELD
    x = x_of(y, 0)
    assert x is not None
    return x, y


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & ~7 & (1 << 254) - 1 | 1 << 254, digest[32:]


def challenge(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def ed25519_public(seed: bytes) -> bytes:
    return encoded(multiplied(_secret(seed)[0], base()))


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """RFC 8032 section 5.1.6."""
    scalar, prefix = _secret(seed)
    public = encoded(multiplied(scalar, base()))
    nonce = challenge(prefix, message)
    point = encoded(multiplied(nonce, base()))
    return point + ((nonce + challenge(point, public, message) * scalar) % ORDER).to_bytes(32, "little")


@cache
def points_of_small_order() -> tuple[Point, ...]:
    """The eight points that eight times themselves are the neutral one: every point less its part of large order."""
    for y in range(2, 100):
        x = x_of(y, 0)
        if x is not None:
            point = multiplied(ORDER, (x, y))
            found = [multiplied(times, point) for times in range(8)]
            if len(set(found)) == 8:
                return tuple(found)
    raise AssertionError("no generator of the torsion group")
