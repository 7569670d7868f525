"""Tokens that any sender can make with a public key, and that must be refused.

The first fourteen are those on which every Python JOSE library that was probed accepts at least one.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub import crypto
from hub.crypto import keys
from hub.errors import KeyRefused, Refused, SealBroken, TooLarge

PLAINTEXT = b'{"antrag": "Hundesteuer"}'
HEADER = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "whoever-it-is", "cty": "application/json"}
CAP = 100_000


def b64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def protected(**members: object) -> bytes:
    return json.dumps(HEADER | members).encode()


class Forger:
    """Makes JWEs that are honest but for what the test asks."""

    def __init__(self, key: keys.EncryptionKey) -> None:
        self._key = key.public_key

    def parts(
        self,
        *,
        header: bytes = protected(),
        content: bytes = PLAINTEXT,
        cek: bytes | None = None,
        iv_size: int = 12,
        oaep: hashes.HashAlgorithm | None = None,
    ) -> list[bytes]:
        cek = cek or os.urandom(32)
        digest = oaep or hashes.SHA256()
        wrapped = self._key.encrypt(cek, padding.OAEP(padding.MGF1(digest), digest, None))
        iv = os.urandom(iv_size)
        encryptor = Cipher(AES(cek), GCM(iv)).encryptor()
        encryptor.authenticate_additional_data(b64(header))
        ciphertext = encryptor.update(content) + encryptor.finalize()
        return [b64(part) for part in (header, wrapped, iv, ciphertext, encryptor.tag)]

    def __call__(self, **changes: object) -> bytes:
        return b".".join(self.parts(**changes))  # type: ignore[arg-type]


@pytest.fixture
def forge(encryption_key: keys.EncryptionKey) -> Forger:
    return Forger(encryption_key)


Opener = Callable[[bytes], bytes]


@pytest.fixture(params=["in memory", "as a stream", "as a stream of single bytes"])
def open_it(request: pytest.FixtureRequest, decryption_key: keys.DecryptionKey) -> Opener:
    def in_memory(jwe: bytes) -> bytes:
        return crypto.decrypt(jwe, [decryption_key], max_output=CAP)

    def streamed(size: int) -> Opener:
        def opened(jwe: bytes) -> bytes:
            def source() -> Iterator[bytes]:
                return (jwe[at : at + size] for at in range(0, len(jwe), size))

            return b"".join(crypto.JweReader(source, [decryption_key], max_output=CAP).plaintext())

        return opened

    return {"in memory": in_memory, "as a stream": streamed(4096), "as a stream of single bytes": streamed(1)}[
        request.param
    ]


def scan(jwe: bytes, *, allow_zip: bool = False) -> crypto.Scanned:
    scanner = crypto.JweScanner(allow_zip=allow_zip, require_cty=True, limit=1_000_000)
    for at in range(0, len(jwe), 1000):
        scanner.feed(jwe[at : at + 1000])
    return scanner.finish()


def test_the_forger_makes_honest_jwes_when_not_asked_otherwise(forge: Forger, open_it: Opener) -> None:
    assert open_it(forge()) == PLAINTEXT
    assert scan(forge()).header.kid == "whoever-it-is"


# The fourteen.


def test_a_content_key_of_16_bytes_is_refused(forge: Forger, open_it: Opener) -> None:
    with pytest.raises(SealBroken):
        open_it(forge(cek=os.urandom(16)))


def test_an_initialisation_vector_of_16_bytes_is_refused(forge: Forger, open_it: Opener) -> None:
    jwe = forge(iv_size=16)
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize("tail", [b"x", b"\0" * 50_000, zlib.compress(b"second stream", wbits=-15)])
def test_data_behind_the_deflate_stream_is_refused(forge: Forger, open_it: Opener, tail: bytes) -> None:
    with pytest.raises(SealBroken):
        open_it(forge(header=protected(zip="DEF"), content=zlib.compress(PLAINTEXT, wbits=-15) + tail))


@pytest.mark.parametrize("name", ["alg", "enc", "kid", "zip"])
def test_a_header_name_given_twice_is_refused(forge: Forger, open_it: Opener, name: str) -> None:
    value = json.dumps(HEADER.get(name, "DEF"))
    header = protected(zip="DEF")[:-1] + f', "{name}": {value}}}'.encode()
    jwe = forge(header=header, content=zlib.compress(PLAINTEXT, wbits=-15))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe, allow_zip=True)


@pytest.mark.parametrize("part", range(5))
def test_padded_base64_is_refused(forge: Forger, open_it: Opener, part: int) -> None:
    parts = forge.parts(content=PLAINTEXT + b"xx", header=protected(pad="."))
    parts[part] += b"=" * (-len(parts[part]) % 4 or 1)
    with pytest.raises(Refused):
        open_it(b".".join(parts))
    with pytest.raises(Refused):
        scan(b".".join(parts))


@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256"])
def test_oaep_with_sha1_is_refused_whatever_the_header_says(forge: Forger, open_it: Opener, algorithm: str) -> None:
    with pytest.raises(SealBroken):
        open_it(forge(header=protected(alg=algorithm), oaep=hashes.SHA1()))


@pytest.mark.parametrize("crit", [["exp"], ["zip"], [], "x"])
def test_crit_is_refused(forge: Forger, open_it: Opener, crit: object) -> None:
    jwe = forge(header=protected(crit=crit, exp=1))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize("missing", [1, 5, 2000])
def test_a_truncated_deflate_stream_is_refused_not_shortened(forge: Forger, open_it: Opener, missing: int) -> None:
    compressed = zlib.compress(os.urandom(6000), wbits=-15)
    with pytest.raises(SealBroken):
        open_it(forge(header=protected(zip="DEF"), content=compressed[:-missing]))


def test_an_empty_deflate_stream_is_refused(forge: Forger, open_it: Opener) -> None:
    with pytest.raises(SealBroken):
        open_it(forge(header=protected(zip="DEF"), content=b""))


@pytest.mark.parametrize("content", [b"\xff" * 100, b"\x07", bytes(range(200, 250))])
def test_what_is_no_deflate_stream_is_refused(forge: Forger, open_it: Opener, content: bytes) -> None:
    with pytest.raises(SealBroken):
        open_it(forge(header=protected(zip="DEF"), content=content))


def test_a_zip_bomb_stops_at_the_cap(forge: Forger, open_it: Opener) -> None:
    bomb = zlib.compress(b"\0" * 50_000_000, wbits=-15)
    assert len(bomb) < CAP
    with pytest.raises(TooLarge):
        open_it(forge(header=protected(zip="DEF"), content=bomb))


def test_passwords_in_place_of_keys_are_refused(forge: Forger, open_it: Opener) -> None:
    jwe = forge(header=protected(alg="PBES2-HS512+A256KW", p2s="c2FsdA", p2c=2**31))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize(
    "alg", ["none", "dir", "RSA1_5", "rsa-oaep-256", "ECDH-ES", "A256KW", "", None, ["RSA-OAEP-256"]]
)
def test_every_other_key_management_is_refused(forge: Forger, open_it: Opener, alg: object) -> None:
    jwe = forge(header=protected(alg=alg))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize("enc", ["A128GCM", "A256CBC-HS512", "none", None])
def test_every_other_content_encryption_is_refused(forge: Forger, open_it: Opener, enc: object) -> None:
    jwe = forge(header=protected(enc=enc))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize("change", ["sixth part", "empty sixth part", "four parts", "three parts", "none"])
def test_any_other_number_of_parts_is_refused(forge: Forger, open_it: Opener, change: str) -> None:
    honest = forge()
    jwe = {
        "sixth part": honest + b".AAAA",
        "empty sixth part": honest + b".",
        "four parts": honest.rpartition(b".")[0],
        "three parts": b".".join(honest.split(b".")[:3]),
        "none": b"",
    }[change]
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize("white", [b" ", b"\n", b"\r\n", b"\t", b"\0"])
@pytest.mark.parametrize("part", range(5))
def test_white_space_is_refused_everywhere(forge: Forger, open_it: Opener, part: int, white: bytes) -> None:
    for place in (0, 3, None):
        parts = forge.parts()
        text = parts[part]
        parts[part] = text + white if place is None else text[:place] + white + text[place:]
        with pytest.raises(Refused):
            open_it(b".".join(parts))
        with pytest.raises(Refused):
            scan(b".".join(parts))


@pytest.mark.parametrize("part", range(5))
def test_trailing_bits_that_are_not_zero_are_refused(forge: Forger, open_it: Opener, part: int) -> None:
    header, content = protected(pad="..."), PLAINTEXT
    parts = forge.parts(header=header, content=content)
    assert len(parts[part]) % 4 in {2, 3} or part == 2
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if part == 2:  # 96 bits fill 16 characters to the last bit: here the next longer spelling is tried.
        parts[part] += b"B"
    else:
        parts[part] = parts[part][:-1] + bytes([alphabet[alphabet.index(parts[part][-1:]) | 1]])
    with pytest.raises(SealBroken):
        open_it(b".".join(parts))
    with pytest.raises(SealBroken):
        scan(b".".join(parts))


# Further ones.


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "apu", "apv", "epk", "p2s", "p2c", "b64", "iv", "tag"])
def test_members_by_which_a_sender_could_choose_are_refused(forge: Forger, open_it: Opener, name: str) -> None:
    jwe = forge(header=protected(**{name: "https://evil.example/keys"}))
    with pytest.raises(SealBroken):
        open_it(jwe)
    with pytest.raises(SealBroken):
        scan(jwe)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"\xef\xbb\xbf" + protected(),
        b"\xff" + protected(),
        protected()[:-1],
        protected() + b"{}",
        protected()[:-1] + b', "n": NaN}',
        protected()[:-1] + b', "n": ' + b"[" * 1500 + b"]" * 1500 + b"}",
        protected(kid="\ud800"),
        protected(kid=7),
        protected(kid="zeile\numbruch"),
        protected(cty={"a": 1}),
        protected(zip="DEFLATE"),
        protected(zip=None),
        protected(zip=True),
    ],
)
def test_a_header_that_is_no_strict_json_object_of_text_is_refused(
    forge: Forger, open_it: Opener, header: bytes
) -> None:
    jwe = forge(header=header)
    with pytest.raises(Refused):
        open_it(jwe)
    with pytest.raises(Refused):
        scan(jwe, allow_zip=True)


def test_a_huge_header_is_refused_before_it_is_read(forge: Forger, open_it: Opener) -> None:
    jwe = forge(header=protected(filler="x" * 5000))
    with pytest.raises(TooLarge):
        open_it(jwe)
    with pytest.raises(TooLarge):
        scan(jwe)
    endless = crypto.JweScanner(allow_zip=False, require_cty=True, limit=10**9)
    for _ in range(5):
        endless.feed(b"A" * 1000)
    with pytest.raises(TooLarge):
        endless.feed(b"A" * 1000)


@pytest.mark.parametrize("part", range(5))
def test_one_changed_character_is_found_and_nothing_is_released(forge: Forger, open_it: Opener, part: int) -> None:
    parts = forge.parts(content=os.urandom(3000))
    text = parts[part]
    parts[part] = text[:4] + (b"A" if text[4:5] != b"A" else b"B") + text[5:]
    with pytest.raises(SealBroken):
        open_it(b".".join(parts))


def test_a_short_tag_is_refused(forge: Forger, open_it: Opener) -> None:
    parts = forge.parts()
    parts[4] = b64(base64.urlsafe_b64decode(parts[4] + b"==")[:12])
    with pytest.raises(SealBroken):
        open_it(b".".join(parts))
    with pytest.raises(SealBroken):
        scan(b".".join(parts))


def test_a_wrapped_key_of_a_smaller_rsa_key_is_refused_by_the_scanner(forge: Forger) -> None:
    parts = forge.parts()
    for size in (256, 511, 2049):
        parts[1] = b64(os.urandom(size))
        with pytest.raises(SealBroken):
            scan(b".".join(parts))


def test_a_wrong_key_and_a_changed_content_are_told_in_the_same_words(
    forge: Forger, decryption_key: keys.DecryptionKey, other_decryption_key: keys.DecryptionKey
) -> None:
    algorithm = set()
    changed = forge.parts()
    changed[3] = b"AAAA" + changed[3][4:]
    compressed = forge.parts(header=protected(zip="DEF"), content=zlib.compress(PLAINTEXT, wbits=-15))
    compressed[3] = b"____" + compressed[3][4:]
    attempts = [
        (forge(), other_decryption_key),
        (b".".join(changed), decryption_key),
        (b".".join(compressed), decryption_key),
        (forge(cek=os.urandom(16)), decryption_key),
    ]
    for jwe, key in attempts:
        with pytest.raises(SealBroken) as memory:
            crypto.decrypt(jwe, [key], max_output=CAP)
        with pytest.raises(SealBroken) as stream:
            crypto.JweReader(lambda jwe=jwe: iter([jwe]), [key], max_output=CAP).plaintext()
        algorithm |= {memory.value.detail, stream.value.detail}
    assert len(algorithm) == 1


def test_without_a_key_nothing_opens(forge: Forger) -> None:
    with pytest.raises(SealBroken):
        crypto.decrypt(forge(), [], max_output=CAP)


def test_a_file_that_changes_between_the_passes_releases_nothing_of_the_change(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    content = os.urandom(3_000_000)
    honest, _ = crypto.encrypt(encryption_key, content, "application/octet-stream")
    changed = honest[:3_000_000] + (b"A" if honest[3_000_000:3_000_001] != b"A" else b"B") + honest[3_000_001:]
    for second in (changed, honest[:2_500_000], b""):
        # The header is read first, then comes the verifying pass, then the releasing one.
        passes = iter([honest, honest, second])
        reader = crypto.JweReader(lambda passes=passes: iter([next(passes)]), [decryption_key], max_output=10**7)
        released = []
        with pytest.raises(SealBroken):
            released.extend(reader.plaintext())
        assert content.startswith(b"".join(released))


def test_another_file_in_the_place_of_the_first_is_refused(
    forge: Forger, encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    for other in (forge(), crypto.encrypt(encryption_key, PLAINTEXT, "application/xml")[0]):
        passes = iter([forge(), other])
        reader = crypto.JweReader(lambda passes=passes: iter([next(passes)]), [decryption_key], max_output=CAP)
        with pytest.raises(SealBroken):
            reader.plaintext()


# Signatures.


def forge_jws(
    signing_key: keys.SigningKey, *, header: dict[str, object], payload: bytes = b"{}", salt: int = 64, sha: int = 512
) -> str:
    signed = b64(json.dumps(header).encode()) + b"." + b64(payload)
    digest = hashes.SHA512() if sha == 512 else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(digest), salt) if salt >= 0 else padding.PKCS1v15()
    signature = signing_key.private_key.sign(signed, scheme, digest)  # type: ignore[union-attr, call-arg, arg-type]
    return (signed + b"." + b64(signature)).decode()


@pytest.fixture
def jws_header(signing_key: keys.SigningKey) -> dict[str, object]:
    return {"alg": "PS512", "typ": "secevent+jwt", "kid": signing_key.kid}


def test_the_forger_of_signatures_is_honest_when_not_asked_otherwise(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, jws_header: dict[str, object]
) -> None:
    token = forge_jws(signing_key, header=jws_header)
    assert crypto.verify_ps512(token, verification_key, typ="secevent+jwt") == b"{}"


@pytest.mark.parametrize("algorithm", ["PS512", "RS256", "RS512"])
def test_rs256_in_place_of_ps512_is_refused_whatever_the_header_says(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, jws_header: dict[str, object], algorithm: str
) -> None:
    for sha in (256, 512):
        token = forge_jws(signing_key, header=jws_header | {"alg": algorithm}, salt=-1, sha=sha)
        with pytest.raises(SealBroken):
            crypto.verify_ps512(token, verification_key, typ=None)


@pytest.mark.parametrize("salt", [0, 20, 32, 63, 65, 382])
def test_a_salt_of_another_length_is_refused(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, jws_header: dict[str, object], salt: int
) -> None:
    with pytest.raises(SealBroken):
        crypto.verify_ps512(forge_jws(signing_key, header=jws_header, salt=salt), verification_key, typ=None)


def test_ps256_is_refused(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, jws_header: dict[str, object]
) -> None:
    for algorithm in ("PS256", "PS512"):
        token = forge_jws(signing_key, header=jws_header | {"alg": algorithm}, salt=32, sha=256)
        with pytest.raises(SealBroken):
            crypto.verify_ps512(token, verification_key, typ=None)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None])
def test_an_unsigned_token_is_refused(
    verification_key: keys.VerificationKey, jws_header: dict[str, object], alg: str | None
) -> None:
    for signature in ("", "AA"):
        token = f"{b64(json.dumps(jws_header | {'alg': alg}).encode()).decode()}.e30.{signature}"
        with pytest.raises(SealBroken):
            crypto.verify_ps512(token, verification_key, typ=None)
        with pytest.raises(SealBroken):
            crypto.read_jws_header(token)


def test_the_public_key_does_not_serve_as_an_hmac_key(
    verification_key: keys.VerificationKey, jws_header: dict[str, object]
) -> None:
    pem = verification_key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for alg in ("HS256", "HS512", "PS512"):
        signed = b64(json.dumps(jws_header | {"alg": alg}).encode()) + b".e30"
        mac = hmac.HMAC(pem, hashes.SHA512() if alg != "HS256" else hashes.SHA256())
        mac.update(signed)
        with pytest.raises(SealBroken):
            crypto.verify_ps512((signed + b"." + b64(mac.finalize())).decode(), verification_key, typ=None)


def test_ed25519_and_rsa_are_never_confused(
    signing_key: keys.SigningKey,
    verification_key: keys.VerificationKey,
    receipt_key: keys.SigningKey,
    ed25519_pair: tuple[dict[str, object], dict[str, object]],
) -> None:
    ed_verification = keys.ed25519_verification_key(ed25519_pair[0])
    by_rsa = crypto.sign_ps512(signing_key, b"{}", typ="x")
    by_ed = crypto.sign_eddsa(receipt_key, b"{}", typ="x")
    for verify, token, key in (
        (crypto.verify_ps512, by_ed, ed_verification),
        (crypto.verify_eddsa, by_rsa, verification_key),
        (crypto.verify_ps512, by_ed, verification_key),
        (crypto.verify_eddsa, by_rsa, ed_verification),
    ):
        with pytest.raises((SealBroken, KeyRefused)):
            verify(token, key, typ=None)
    with pytest.raises(KeyRefused):
        crypto.sign_ps512(receipt_key, b"{}", typ="x")
    with pytest.raises(KeyRefused):
        crypto.sign_eddsa(signing_key, b"{}", typ="x")


def test_ed25519_signed_text_with_an_rsa_header_is_refused(
    receipt_key: keys.SigningKey, ed25519_pair: tuple[dict[str, object], dict[str, object]]
) -> None:
    signed = b64(json.dumps({"alg": "PS512", "kid": receipt_key.kid}).encode()) + b".e30"
    signature = receipt_key.private_key.sign(signed)  # type: ignore[call-arg]
    with pytest.raises(SealBroken):
        crypto.verify_eddsa(
            (signed + b"." + b64(signature)).decode(), keys.ed25519_verification_key(ed25519_pair[0]), typ=None
        )


@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"crit": ["exp"]},
        {"jwk": {"kty": "RSA"}},
        {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"},
        {"x5c": ["MIIB"]},
        {"kid": None},
        {"kid": 1},
        {"typ": ["secevent+jwt"]},
    ],
)
def test_headers_of_jws_that_choose_or_surprise_are_refused(
    signing_key: keys.SigningKey,
    verification_key: keys.VerificationKey,
    jws_header: dict[str, object],
    members: dict[str, object],
) -> None:
    with pytest.raises(SealBroken):
        crypto.verify_ps512(forge_jws(signing_key, header=jws_header | members), verification_key, typ="secevent+jwt")


def test_a_token_of_another_type_or_key_name_is_refused(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey, jws_header: dict[str, object]
) -> None:
    for members in ({"typ": "at+jwt"}, {"typ": "SECEVENT+JWT"}, {"kid": "another-key"}):
        token = forge_jws(signing_key, header=jws_header | members)
        with pytest.raises(SealBroken):
            crypto.verify_ps512(token, verification_key, typ="secevent+jwt")
    for missing in ("typ", "kid"):
        without = {name: value for name, value in jws_header.items() if name != missing}
        with pytest.raises(SealBroken):
            crypto.verify_ps512(forge_jws(signing_key, header=without), verification_key, typ="secevent+jwt")


def test_every_other_spelling_of_a_token_is_refused(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey
) -> None:
    token = crypto.sign_ps512(signing_key, b'{"a":1}', typ="x")
    head, payload, signature = token.split(".")
    assert len(signature) % 4 == 3
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [
        f"{token}.",
        f"{token}.AAAA",
        f"{head}.{payload}",
        f"{head}..{signature}",
        f".{payload}.{signature}",
        f"{token}\n",
        f" {token}",
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}=.{signature}",
        f"{head}.{payload}.{signature[:-1]}{last[last.index(signature[-1]) | 1]}",
        f"{head}.{payload}.{signature[:40]}ä{signature[41:]}",
        f"{head}.{payload}.{signature[:-4]}",
    ]
    for other in others:
        with pytest.raises(SealBroken):
            crypto.verify_ps512(other, verification_key, typ="x")
    doubled = b64(b'{"alg":"PS512","typ":"x","kid":"%s","typ":"x"}' % signing_key.kid.encode()).decode()
    with pytest.raises(SealBroken):
        crypto.verify_ps512(f"{doubled}.{payload}.{signature}", verification_key, typ="x")


def test_an_oversized_token_is_refused_unread(verification_key: keys.VerificationKey) -> None:
    with pytest.raises(TooLarge):
        crypto.verify_ps512("A" * (1024 * 1024 + 1), verification_key, typ=None)


def test_a_gcm_ciphertext_joined_in_one_call_is_the_same(forge: Forger, decryption_key: keys.DecryptionKey) -> None:
    header, wrapped, iv, ciphertext, tag = (base64.urlsafe_b64decode(part + b"==") for part in forge.parts())
    cek = decryption_key.private_key.decrypt(
        wrapped, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    )
    assert AESGCM(cek).decrypt(iv, ciphertext + tag, b64(header)) == PLAINTEXT
