"""Tokens of other forms than the hub's: other serialisations, swapped parts, changed bits, second spellings, other keys' uses.

The vectors are our own, made around honest tokens; what each breaks stands with it (RFC 7515 to 7518, RFC 8017, RFC 8725).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from stage import NOW

from hub import crypto
from hub.crypto import base64url, keys
from hub.crypto.jwe import OAEP_256
from hub.errors import KeyRefused, Refused, SealBroken

Pair = tuple[dict[str, Any], dict[str, Any]]
CONTENT = b'{"antrag": "Hundesteuer"}'
JWE_HEADER = b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"any-name","cty":"application/json"}'


@pytest.fixture
def jwe(encryption_key: keys.EncryptionKey) -> list[bytes]:
    """The five parts of an honest token."""
    return crypto.encrypt(encryption_key, CONTENT, "application/json")[0].split(b".")


@pytest.fixture(scope="module")
def signed(signing_key: keys.SigningKey) -> list[str]:
    """The three parts of an honest token."""
    return crypto.sign_ps512(signing_key, b'{"a":1}', typ="x").split(".")


def opens(token: bytes, key: keys.DecryptionKey) -> bool:
    """Whether the token opens; both ways of opening have to say the same."""
    said = set()
    for way in (in_memory, streamed):
        try:
            said.add(way(token, key) is not None)
        except Refused:
            said.add(False)
    assert len(said) == 1
    return said.pop()


def in_memory(token: bytes, key: keys.DecryptionKey) -> bytes:
    return crypto.decrypt(token, [key], max_output=10_000)


def streamed(token: bytes, key: keys.DecryptionKey) -> bytes:
    return b"".join(crypto.JweReader(lambda: iter([token[:9], token[9:]]), [key], max_output=10_000).plaintext())


def scans(token: bytes) -> bool:
    scanner = crypto.JweScanner(allow_zip=True, require_cty=False, require_kid=False, limit=100_000)
    try:
        scanner.feed(token)
        scanner.finish()
    except Refused:
        return False
    return True


def verifies(token: str, key: keys.VerificationKey) -> bool:
    try:
        crypto.verify_ps512(token, key, typ=None)
    except Refused:
        return False
    return True


# JWE.


def test_an_honest_token_opens(jwe: list[bytes], decryption_key: keys.DecryptionKey) -> None:
    assert opens(b".".join(jwe), decryption_key)
    assert scans(b".".join(jwe))


def test_the_same_token_in_a_json_serialisation_is_refused(
    jwe: list[bytes], decryption_key: keys.DecryptionKey
) -> None:
    """RFC 7516 section 7.2, general and flattened, with headers where nothing protects them: 12 forms."""
    protected, key, iv, ciphertext, tag = (part.decode() for part in jwe)
    rest = {"iv": iv, "ciphertext": ciphertext, "tag": tag}
    header = json.loads(base64url.decode(jwe[0], part="header"))
    objects = [
        {"protected": protected, "encrypted_key": key, **rest},
        {"protected": protected, "recipients": [{"encrypted_key": key}], **rest},
        {"protected": protected, "recipients": [{"encrypted_key": key}] * 2, **rest},
        {"protected": protected, "unprotected": {"zip": "DEF"}, "encrypted_key": key, **rest},
        {"protected": protected, "header": header, "encrypted_key": key, **rest},
        {"unprotected": header, "encrypted_key": key, **rest},
        {"header": header, "encrypted_key": key, **rest},
        {"protected": "", "header": header, "encrypted_key": key, **rest},
        {"protected": protected, "encrypted_key": key, "aad": "AA", **rest},
        {"recipients": [{"header": header, "encrypted_key": key}], **rest},
    ]
    forms = [json.dumps(value).encode() for value in (*objects, objects[:1], f"{protected}.{key}.{iv}")]
    for form in forms:
        assert not opens(form, decryption_key)
        assert not scans(form)


@pytest.mark.parametrize("part", range(5))
def test_a_part_of_another_honest_token_does_not_fit(
    jwe: list[bytes], encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey, part: int
) -> None:
    other = crypto.encrypt(encryption_key, bytes(reversed(CONTENT)), "application/xml")[0].split(b".")
    assert not opens(b".".join([*jwe[:part], other[part], *jwe[part + 1 :]]), decryption_key)


@pytest.mark.parametrize("part", range(5))
def test_an_empty_or_missing_part_is_refused(jwe: list[bytes], decryption_key: keys.DecryptionKey, part: int) -> None:
    """Two of them would be tokens elsewhere: ``dir`` has no encrypted key (RFC 7518 section 4.5), an empty content no text."""
    for other in (
        [*jwe[:part], b"", *jwe[part + 1 :]],
        [*jwe[:part], *jwe[part + 1 :]],
        [*jwe[:part], b"", *jwe[part:]],
    ):
        assert not opens(b".".join(other), decryption_key)


def test_parts_in_another_order_and_tokens_of_the_other_kind_are_refused(
    jwe: list[bytes], signed: list[str], decryption_key: keys.DecryptionKey, verification_key: keys.VerificationKey
) -> None:
    for at in range(4):
        assert not opens(b".".join([*jwe[:at], jwe[at + 1], jwe[at], *jwe[at + 2 :]]), decryption_key)
    as_jws = ".".join(signed)
    assert not opens(as_jws.encode(), decryption_key)
    assert not opens(f"{as_jws}.AAAA.AAAA".encode(), decryption_key)
    for parts in (jwe, jwe[:3], [jwe[0], jwe[3], jwe[4]]):
        assert not verifies(b".".join(parts).decode(), verification_key)


def test_every_changed_bit_of_tag_and_vector_is_found(jwe: list[bytes], decryption_key: keys.DecryptionKey) -> None:
    """224 tokens that differ in one bit (RFC 7518 section 5.3)."""
    for part in (2, 4):
        content = base64url.decode(jwe[part], part="part")
        for bit in range(8 * len(content)):
            other = (int.from_bytes(content, "big") ^ 1 << bit).to_bytes(len(content), "big")
            token = b".".join([*jwe[:part], base64url.encode(other), *jwe[part + 1 :]])
            with pytest.raises(SealBroken):
                in_memory(token, decryption_key)


def test_changed_bits_of_key_and_ciphertext_are_found(jwe: list[bytes], decryption_key: keys.DecryptionKey) -> None:
    """One bit in each eighth byte of the wrapped key, and in each byte of the ciphertext: 64 and 25 tokens."""
    for part, step in ((1, 8), (3, 1)):
        content = base64url.decode(jwe[part], part="part")
        for at in range(0, len(content), step):
            other = content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
            assert not opens(b".".join([*jwe[:part], base64url.encode(other), *jwe[part + 1 :]]), decryption_key)


def test_no_beginning_of_a_token_opens(jwe: list[bytes], decryption_key: keys.DecryptionKey) -> None:
    """Every prefix, about 900."""
    token = b".".join(jwe)
    assert not any(opens(token[:size], decryption_key) for size in range(len(token)))


def test_a_header_spelled_otherwise_is_another_header(jwe: list[bytes], decryption_key: keys.DecryptionKey) -> None:
    """Its bytes are authenticated, not its meaning (RFC 7516 section 5.2 step 15)."""
    header = base64url.decode(jwe[0], part="header")
    members = json.loads(header)
    for other in (
        header + b" ",
        b"\n" + header,
        json.dumps(members).encode(),
        json.dumps(dict(reversed(members.items())), separators=(",", ":")).encode(),
        header.replace(b'"alg"', b'"\\u0061lg"'),
        header.replace(b'"A256GCM"', b'"A256\\u0047CM"'),
        header[:-1] + b',"typ":"JWE"}',
    ):
        token = b".".join([base64url.encode(other), *jwe[1:]])
        assert scans(token)
        assert not opens(token, decryption_key)


def test_a_name_doubled_in_another_spelling_is_doubled(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    """RFC 7515 section 4, also inside of values, and escaped; the token is honest in all else."""
    for addition in (
        b'"\\u0061lg":"RSA-OAEP-256"',
        b'"alg":"none"',
        b'"enc":"A128GCM"',
        b'"\\u006b\\u0069\\u0064":"other"',
        b'"x":{"a":1,"a":2}',
        b'"x":[{"a":1,"\\u0061":2}]',
    ):
        token = forged(encryption_key, header=JWE_HEADER[:-1] + b"," + addition + b"}")
        assert not scans(token)
        assert not opens(token, decryption_key)
    assert opens(forged(encryption_key), decryption_key)


def forged(
    key: keys.EncryptionKey, *, header: bytes = JWE_HEADER, cek: bytes = b"k" * 32, wrapped: bytes | None = None
) -> bytes:
    """A token that is honest but for what is given; the content is sealed by a fitting part of ``cek``."""
    iv, protected = bytes(12), base64url.encode(header)
    sealed = AESGCM((cek + bytes(32))[:32]).encrypt(iv, CONTENT, protected)
    wrapped = key.public_key.encrypt(cek, OAEP_256) if wrapped is None else wrapped
    return b".".join([protected, *map(base64url.encode, (wrapped, iv, sealed[:-16], sealed[-16:]))])


@pytest.mark.parametrize("size", [0, 1, 16, 24, 31, 33, 48, 64])
def test_a_content_key_of_another_size_is_refused(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey, size: int
) -> None:
    """RFC 7518 section 5.3: 32 bytes; 64 would be A256CBC-HS512's, 16 and 24 those of other AES."""
    assert not opens(forged(encryption_key, cek=os.urandom(size)), decryption_key)


def test_a_wrapped_key_that_is_no_such_number_is_refused(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    """RFC 8017 section 7.1.2: as long as the modulus, and below it; nought and one open without any key."""
    modulus = encryption_key.public_key.public_numbers().n
    honest = encryption_key.public_key.encrypt(b"k" * 32, OAEP_256)
    assert opens(forged(encryption_key, wrapped=honest), decryption_key)
    numbers = [0, 1, modulus - 1, modulus, modulus + 1, 2**4096 - 1]
    others = [number.to_bytes(512, "big") for number in numbers]
    others += [b"\0" + honest, honest + b"\0", honest[1:], honest[:-1], honest * 2, b""]
    for wrapped in others:
        assert not opens(forged(encryption_key, wrapped=wrapped), decryption_key)


def test_a_key_wrapped_with_a_label_or_by_the_old_padding_is_refused(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    """RFC 7518 section 4.3: the label is empty; RSA1_5 and other masks have no place behind RSA-OAEP-256."""
    sha1, sha256, sha512 = hashes.SHA1(), hashes.SHA256(), hashes.SHA512()
    for scheme in (
        padding.OAEP(padding.MGF1(sha256), sha256, b"label"),
        padding.OAEP(padding.MGF1(sha1), sha256, None),
        padding.OAEP(padding.MGF1(sha256), sha1, None),
        padding.OAEP(padding.MGF1(sha512), sha512, None),
        padding.PKCS1v15(),
    ):
        wrapped = encryption_key.public_key.encrypt(b"k" * 32, scheme)
        assert not opens(forged(encryption_key, wrapped=wrapped), decryption_key)


# JWS.


def test_an_honest_token_verifies(signed: list[str], verification_key: keys.VerificationKey) -> None:
    assert verifies(".".join(signed), verification_key)


def test_the_same_jws_in_a_json_serialisation_is_refused(
    signed: list[str], verification_key: keys.VerificationKey
) -> None:
    """RFC 7515 section 7.2 and RFC 7797's unencoded payload, in nine forms."""
    protected, payload, signature = signed
    header = json.loads(base64url.decode(protected.encode(), part="header"))
    objects: list[Any] = [
        {"protected": protected, "payload": payload, "signature": signature},
        {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]},
        {"payload": payload, "signatures": [{"protected": protected, "signature": signature}] * 2},
        {"payload": payload, "header": header, "signature": signature},
        {"protected": protected, "header": {"alg": "none"}, "payload": payload, "signature": signature},
        {"payload": payload, "signatures": []},
        [".".join(signed)],
        ".".join(signed),
    ]
    forms = [*map(json.dumps, objects), protected + '.{"a":1}.' + signature]
    assert not any(verifies(form, verification_key) for form in forms)


def test_no_beginning_and_no_addition_verifies(signed: list[str], verification_key: keys.VerificationKey) -> None:
    """Every prefix, and foreign characters at the six ends of parts: about 800 and 66."""
    token = ".".join(signed)
    assert not any(verifies(token[:size], verification_key) for size in range(len(token)))
    for character in ("=", " ", "\n", "\r\n", "\t", "\0", ".", "+", "/", "ä", "\u200b"):
        for part in range(3):
            for text in (signed[part] + character, character + signed[part]):
                assert not verifies(".".join([*signed[:part], text, *signed[part + 1 :]]), verification_key)


def test_changed_bits_of_header_payload_and_signature_are_found(
    signed: list[str], verification_key: keys.VerificationKey
) -> None:
    """One bit in each byte of header and payload, and in each fourth of the signature."""
    for part, step in ((0, 1), (1, 1), (2, 4)):
        content = base64url.decode(signed[part].encode(), part="part")
        for at in range(0, len(content), step):
            other = content[:at] + bytes([content[at] ^ 1 << at % 7]) + content[at + 1 :]
            text = base64url.encode(other).decode()
            assert not verifies(".".join([*signed[:part], text, *signed[part + 1 :]]), verification_key)


def test_a_signature_has_one_number_and_one_length(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey
) -> None:
    """RFC 8017 section 8.1.2: as long as the modulus, and below it, though a sum with the modulus gives the same remainder."""
    modulus = verification_key.public_key.public_numbers().n  # type: ignore[union-attr]
    for attempt in range(400):
        token = crypto.sign_ps512(signing_key, b'{"a":%d}' % attempt, typ="x")
        start, _, last = token.rpartition(".")
        number = int.from_bytes(base64url.decode(last.encode(), part="signature"), "big")
        if number + modulus < 2**4096:
            break
    else:
        # A modulus so large leaves no room above it: then there is no second number at all.
        assert modulus > 2**4096 - 2**4090
    others = [number.to_bytes(513, "big"), number.to_bytes(512, "big") + b"\0", b"", bytes(512), b"\xff" * 512]
    others += [other.to_bytes(512, "big") for other in (number + modulus, modulus - number, modulus) if other < 2**4096]
    for other in others:
        assert not verifies(f"{start}.{base64url.encode(other).decode()}", verification_key)


@pytest.mark.parametrize("name", ["crit", "b64", "jwk", "jku", "x5u", "x5c", "p2s", "p2c", "epk", "apu", "iv", "tag"])
def test_members_by_which_a_signer_could_choose_are_refused_for_being_there(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, name: str
) -> None:
    """Whatever the value (RFC 8725 sections 3.9 to 3.11), of both kinds of signatures."""
    for value in (None, False, 2**31, "", [], {}, ["b64"]):
        header = {"alg": "PS512", "typ": "x", "kid": signing_key.kid, name: value}
        text = base64url.encode(json.dumps(header).encode()).decode()
        with pytest.raises(SealBroken):
            crypto.read_jws_header(f"{text}.e30.AAAA")
        assert not verifies(f"{text}.e30.AAAA", verification_key)


# Keys.


@pytest.mark.parametrize("use", ["sig", "ENC", "", None, ["enc"], 1])
def test_a_key_whose_use_contradicts_its_operation_is_refused(
    rsa_pair: Pair, signature_pair: Pair, ed25519_pair: Pair, use: object
) -> None:
    """RFC 7517 section 4.3: where ``use`` and ``key_ops`` both stand they are consistent."""
    sealing, (signature, private) = rsa_pair[0] | {"use": use}, signature_pair
    with pytest.raises(KeyRefused) as refused:
        keys.judge_encryption_key(sealing, now=NOW, policy=keys.KeyPolicy(), require_x5c=False)
    assert refused.value.members["check"] == 5
    other = "enc" if use == "sig" else use
    for read, jwk in (
        (keys.verification_key, signature),
        (keys.verification_key, ed25519_pair[0]),
        (keys.read_signing_key, private),
        (keys.read_signing_key, ed25519_pair[1]),
    ):
        with pytest.raises(KeyRefused):
            read(jwk | {"use": other})
    with pytest.raises(KeyRefused):
        keys.read_decryption_key(rsa_pair[1] | {"use": use}, written_by_us=True)


def test_a_key_whose_use_says_the_same_as_its_operation_is_taken(
    rsa_pair: Pair, signature_pair: Pair, ed25519_pair: Pair
) -> None:
    judged = {"now": NOW, "policy": keys.KeyPolicy(), "require_x5c": False}
    taken = [
        (keys.judge_encryption_key(rsa_pair[0] | {"use": "enc"}, **judged), rsa_pair),  # type: ignore[arg-type]
        (keys.judge_signature_key(signature_pair[0] | {"use": "sig"}, **judged), signature_pair),  # type: ignore[arg-type]
        (keys.read_decryption_key(rsa_pair[1] | {"use": "enc"}, written_by_us=True), rsa_pair),
    ]
    for pair in (signature_pair, ed25519_pair):
        taken.append((keys.verification_key(pair[0] | {"use": "sig"}), pair))
        taken.append((keys.read_signing_key(pair[1] | {"use": "sig"}, written_by_us=True), pair))
    assert [key.kid for key, _ in taken] == [pair[0]["kid"] for _, pair in taken]


@pytest.mark.parametrize(
    "change",
    [
        {"key_ops": ["verify"]},
        {"key_ops": []},
        {"key_ops": None},
        {"key_ops": "unwrapKey"},
        {"alg": "RSA-OAEP"},
        {"alg": "PS512"},
        {"alg": None},
        {"kty": "oct"},
        {"d": "AQAB"},
    ],
)
def test_a_private_key_for_something_else_opens_nothing(rsa_pair: Pair, change: dict[str, Any]) -> None:
    """RFC 7517 sections 4.3 and 4.4: algorithm and operation are the key's, not the token's."""
    with pytest.raises(KeyRefused):
        keys.read_decryption_key(rsa_pair[1] | change)
