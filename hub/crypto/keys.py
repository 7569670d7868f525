"""Keys, and the policy that judges foreign ones before use. Pure: bytes and time in, a key or a refusal out.

A public key is judged once, by :func:`judge_encryption_key` or :func:`judge_signature_key`, and the value that comes
out is the proof of it: whoever holds an :class:`EncryptionKey` may wrap with it until ``expires_at``. The checks, in
order:

 1. the JWK (RFC 7517) has the members kty, key_ops, alg, kid, n, e, and x5c where certificates are asked for;
 2. it holds no private member;
 3. kty is RSA;
 4. kid has 8 to 64 characters that need no escaping in a URL;
 5. key_ops is exactly ``["wrapKey"]`` or exactly ``["verify"]``, and use, if it is there, says the same;
 6. alg is RSA-OAEP-256 or PS512 (RFC 7518);
 7. n is canonical base64url and has at least ``minimum_bits`` (4096) and at most 16384 bits;
 8. e is 65537;
 9. the public key of the first certificate equals n and e;
10. every certificate is valid now;
11. the first certificate leads to a trust anchor, or is self-signed where the policy allows that;
12. its key usage, if it names any, is keyEncipherment or digitalSignature.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from hub.crypto import certificates
from hub.crypto.jwk import (
    EXPONENT,
    MOST_BITS,
    PRIVATE_MEMBERS,
    RECEIPT_ALGORITHM,
    SIGN_ALGORITHM,
    WRAP_ALGORITHM,
    Jwk,
    integer,
    make_ed25519_pair,
    make_rsa_pair,
    octets,
    public_ed25519_key,
    public_jwk,
    public_rsa_key,
    refused,
    thumbprint,
)
from hub.errors import KeyRefused

__all__ = [
    "RECEIPT_ALGORITHM",
    "SIGN_ALGORITHM",
    "WRAP_ALGORITHM",
    "DecryptionKey",
    "EncryptionKey",
    "Jwk",
    "KeyPolicy",
    "SigningKey",
    "VerificationKey",
    "ed25519_verification_key",
    "expires_at",
    "judge_encryption_key",
    "judge_signature_key",
    "make_ed25519_pair",
    "make_rsa_pair",
    "public_rsa_key",
    "read_decryption_key",
    "read_signing_key",
    "thumbprint",
    "verification_key",
]

_KID_LENGTHS = range(8, 65)
_KID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~=")
_REQUIRED = ("kty", "key_ops", "alg", "kid", "n", "e")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncryptionKey:
    """A public RSA key judged good for wrapping content keys; ``expires_at`` is its certificate's, if it has one."""

    kid: str
    jwk: Jwk = field(repr=False)
    public_key: rsa.RSAPublicKey = field(repr=False, compare=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationKey:
    """A public key judged good for verifying signatures; ``alg`` is PS512 (RSA) or EdDSA (Ed25519)."""

    kid: str
    alg: str
    jwk: Jwk = field(repr=False)
    public_key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey = field(repr=False, compare=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecryptionKey:
    """A private RSA key that opens JWEs. ``thumbprint`` is RFC 7638's: some senders write it in place of ``kid``."""

    kid: str
    thumbprint: str
    private_key: rsa.RSAPrivateKey = field(repr=False, compare=False)

    def sealing_half(self) -> EncryptionKey:
        """Return the public half, for what its owner seals for nobody else."""
        public = self.private_key.public_key()
        jwk = public_jwk(public, kid=self.kid, operation="wrapKey", alg=WRAP_ALGORITHM)
        return EncryptionKey(kid=self.kid, jwk=jwk, public_key=public)


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningKey:
    """A private key that signs; ``alg`` is PS512 (RSA) or EdDSA (Ed25519)."""

    kid: str
    alg: str
    private_key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = field(repr=False, compare=False)

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as a JWK with key_ops ``["verify"]``."""
        return public_jwk(self.private_key.public_key(), kid=self.kid, operation="verify", alg=self.alg)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPolicy:
    """What a foreign key must be. Without anchors or self-signed certificates nothing passes: empty means no."""

    trust_anchors: tuple[certificates.Certificate, ...] = ()
    allow_self_signed: bool = False
    minimum_bits: int = 4096

    @classmethod
    def from_files(cls, anchors: Iterable[Path], *, allow_self_signed: bool) -> KeyPolicy:
        """Return a policy that trusts every certificate in the given PEM or DER files.

        Raises:
            ConfigurationError: a file holds no readable certificate.
        """
        found = [certificate for path in anchors for certificate in certificates.read_file(path)]
        return cls(trust_anchors=tuple(found), allow_self_signed=allow_self_signed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Use:
    operation: str
    alg: str
    key_usage: str
    #: What the JWK's member ``use`` says, where it stands beside key_ops (RFC 7517 section 4.3).
    member: str


_WRAPPING = _Use(operation="wrapKey", alg=WRAP_ALGORITHM, key_usage="key_encipherment", member="enc")
_VERIFYING = _Use(operation="verify", alg=SIGN_ALGORITHM, key_usage="digital_signature", member="sig")


def judge_encryption_key(jwk: Jwk, *, now: datetime, policy: KeyPolicy, require_x5c: bool = True) -> EncryptionKey:
    """Return ``jwk`` as a key to wrap with. Reply keys inside metadata have no certificate: ``require_x5c=False``.

    Raises:
        KeyRefused: one of the twelve checks fails; ``check`` in its members is the number.
    """
    public_key = _judge(jwk, use=_WRAPPING, now=now, policy=policy, require_x5c=require_x5c)
    return EncryptionKey(kid=jwk["kid"], jwk=dict(jwk), public_key=public_key, expires_at=expires_at(jwk))


def judge_signature_key(jwk: Jwk, *, now: datetime, policy: KeyPolicy, require_x5c: bool = True) -> VerificationKey:
    """Return ``jwk`` as a key to verify PS512 signatures with.

    Raises:
        KeyRefused: one of the twelve checks fails; ``check`` in its members is the number.
    """
    public_key = _judge(jwk, use=_VERIFYING, now=now, policy=policy, require_x5c=require_x5c)
    return VerificationKey(
        kid=jwk["kid"], alg=SIGN_ALGORITHM, jwk=dict(jwk), public_key=public_key, expires_at=expires_at(jwk)
    )


def verification_key(jwk: Jwk) -> VerificationKey:
    """Return a public JWK as a key for verifying old signatures: no certificate and no time is asked.

    For keys that were judged when they were registered; what they signed then stays signed.

    Raises:
        KeyRefused: it is neither an RSA key for PS512 nor an Ed25519 key.
    """
    if jwk.get("kty") == "OKP":
        return ed25519_verification_key(jwk)
    _judge_members(jwk, use=_VERIFYING, require_x5c=False)
    public_key = _judge_numbers(jwk, minimum_bits=KeyPolicy().minimum_bits)
    return VerificationKey(kid=jwk["kid"], alg=SIGN_ALGORITHM, jwk=dict(jwk), public_key=public_key)


def ed25519_verification_key(jwk: Jwk) -> VerificationKey:
    """Return an Ed25519 JWK (RFC 8037) as a key to verify EdDSA signatures with.

    Raises:
        KeyRefused: not a public Ed25519 key for verifying, or one behind which anything verifies.
    """
    well_formed = (
        (jwk.get("kty"), jwk.get("crv")) == ("OKP", "Ed25519")
        and jwk.get("alg", RECEIPT_ALGORITHM) == RECEIPT_ALGORITHM
        and jwk.get("key_ops", ["verify"]) == ["verify"]
        and jwk.get("use", "sig") == "sig"
        and isinstance(jwk.get("x"), str)
        and isinstance(jwk.get("kid"), str)
        and not PRIVATE_MEMBERS.intersection(jwk)
    )
    if not well_formed:
        raise _not_ed25519()
    try:
        public_key = public_ed25519_key(jwk)
    except ValueError as exc:
        raise _not_ed25519() from exc
    return VerificationKey(kid=jwk["kid"], alg=RECEIPT_ALGORITHM, jwk=dict(jwk), public_key=public_key)


def expires_at(jwk: Jwk) -> datetime | None:
    """Return the end of validity of the JWK's own certificate, or None if it has none.

    Raises:
        KeyRefused: x5c cannot be read.
    """
    if "x5c" not in jwk:
        return None
    return min(certificate.not_valid_after_utc for certificate in certificates.read_chain(jwk["x5c"]))


def read_decryption_key(jwk: Jwk, *, written_by_us: bool = False) -> DecryptionKey:
    """Return a private JWK as a key to open JWEs with.

    A key given by an operator is validated in full (about 0.3 s); ``written_by_us`` skips that for the hub's own files.

    Raises:
        KeyRefused: not a usable private RSA key for unwrapKey.
    """
    _require_private(jwk, alg=WRAP_ALGORITHM, operation="unwrapKey")
    return DecryptionKey(
        kid=jwk["kid"], thumbprint=thumbprint(jwk), private_key=_private_rsa(jwk, written_by_us=written_by_us)
    )


def read_signing_key(jwk: Jwk, *, written_by_us: bool = False) -> SigningKey:
    """Return a private JWK as a key to sign with (PS512 or EdDSA); ``written_by_us`` as in :func:`read_decryption_key`.

    Raises:
        KeyRefused: not a usable private key for signing.
    """
    if jwk.get("kty") == "OKP":
        _require_private(jwk, alg=RECEIPT_ALGORITHM, operation="sign")
        return SigningKey(kid=jwk["kid"], alg=RECEIPT_ALGORITHM, private_key=_private_ed25519(jwk))
    _require_private(jwk, alg=SIGN_ALGORITHM, operation="sign")
    return SigningKey(kid=jwk["kid"], alg=SIGN_ALGORITHM, private_key=_private_rsa(jwk, written_by_us=written_by_us))


def _judge(jwk: Jwk, *, use: _Use, now: datetime, policy: KeyPolicy, require_x5c: bool) -> rsa.RSAPublicKey:
    _judge_members(jwk, use=use, require_x5c=require_x5c)
    public_key = _judge_numbers(jwk, minimum_bits=policy.minimum_bits)
    if "x5c" in jwk:
        _judge_certificates(jwk, public_key, use=use, now=now, policy=policy)
    return public_key


def _judge_members(jwk: Jwk, *, use: _Use, require_x5c: bool) -> None:
    names = (*_REQUIRED, "x5c") if require_x5c else _REQUIRED
    missing = ", ".join(name for name in names if name not in jwk)
    if missing:
        raise refused(1, f"Dem Schlüssel fehlen Angaben: {missing}.", f"The key lacks members: {missing}.")
    if PRIVATE_MEMBERS.intersection(jwk):
        raise _holds_private()
    if jwk["kty"] != "RSA":
        raise refused(3, "kty muss RSA sein.", "kty must be RSA.")
    _judge_kid(jwk["kid"])
    if jwk["key_ops"] != [use.operation]:
        only = f'["{use.operation}"]'
        raise refused(
            5,
            f"key_ops muss genau {only} sein. Verwenden Sie je Zweck einen eigenen Schlüssel.",
            f"key_ops must be exactly {only}. Use one key for each purpose.",
        )
    _judge_use(jwk, use.member)
    if jwk["alg"] != use.alg:
        raise refused(6, f"alg muss {use.alg} sein.", f"alg must be {use.alg}.")


def _holds_private() -> KeyRefused:
    return refused(
        2,
        "Der Schlüssel enthält private Teile. Behandeln Sie ihn als offengelegt: Erzeugen Sie einen neuen und "
        "senden Sie nur dessen öffentlichen Teil.",
        "The key holds private members. Treat it as disclosed: make a new one and send its public half only.",
    )


def _judge_use(jwk: Jwk, expected: str) -> None:
    if jwk.get("use", expected) != expected:
        raise refused(
            5,
            f"use widerspricht key_ops: Hier muss es {expected} sein oder fehlen (RFC 7517, Abschnitt 4.3).",
            f"use contradicts key_ops: it must be {expected} here or be absent (RFC 7517, section 4.3).",
        )


def _judge_kid(kid: Any) -> None:
    if not isinstance(kid, str) or len(kid) not in _KID_LENGTHS or not _KID_CHARACTERS.issuperset(kid):
        raise refused(
            4,
            "kid muss 8 bis 64 Zeichen haben, nur Buchstaben, Ziffern und -_.~= ohne Umlaute.",
            "kid must have 8 to 64 characters, ASCII letters, digits and -_.~= only.",
        )


def _judge_numbers(jwk: Jwk, *, minimum_bits: int) -> rsa.RSAPublicKey:
    bits = integer(jwk, "n").bit_length()
    if not minimum_bits <= bits <= MOST_BITS:
        raise refused(
            7,
            f"Der RSA-Schlüssel hat {bits} Bit; verlangt sind mindestens {minimum_bits}, höchstens {MOST_BITS}. "
            "Erzeugen Sie einen neuen Schlüssel.",
            f"The RSA key has {bits} bits; at least {minimum_bits} and at most {MOST_BITS} are required. "
            "Make a new key.",
        )
    if integer(jwk, "e") != EXPONENT:
        raise refused(8, "e muss 65537 (AQAB) sein.", "e must be 65537 (AQAB).")
    return public_rsa_key(jwk)


def _judge_certificates(jwk: Jwk, public_key: rsa.RSAPublicKey, *, use: _Use, now: datetime, policy: KeyPolicy) -> None:
    chain = certificates.read_chain(jwk["x5c"])
    leaf = chain[0]
    if not certificates.certifies(leaf, public_key):
        raise refused(
            9,
            "Das erste Zertifikat in x5c gehört nicht zu n und e. "
            "Setzen Sie das Zertifikat dieses Schlüssels an den Anfang.",
            "The first certificate in x5c does not belong to n and e. Put this key's certificate first.",
        )
    certificates.judge_validity(chain, now=now)
    if not (policy.allow_self_signed and len(chain) == 1 and certificates.is_self_signed(leaf)):
        certificates.judge_trust(chain, anchors=policy.trust_anchors, now=now)
    if not certificates.allows(leaf, use.key_usage):
        raise refused(
            12,
            f"Die Schlüsselverwendung des Zertifikats erlaubt {use.operation} nicht ({use.key_usage}). "
            "Beantragen Sie ein passendes Zertifikat.",
            f"The certificate's key usage does not allow {use.operation} ({use.key_usage}). "
            "Apply for a fitting certificate.",
        )


def _require_private(jwk: Jwk, *, alg: str, operation: str) -> None:
    operations = jwk.get("key_ops")
    usable = isinstance(operations, list) and operation in operations and jwk.get("alg") == alg and "d" in jwk
    if not usable:
        raise refused(
            5,
            f"Das ist kein privater Schlüssel für {operation} mit {alg}. "
            "Geben Sie den privaten JWK mit key_ops und alg an.",
            f"This is no private key for {operation} with {alg}. Give the private JWK with key_ops and alg.",
        )
    _judge_use(jwk, "enc" if operation == "unwrapKey" else "sig")
    _judge_kid(jwk.get("kid"))


def _private_rsa(jwk: Jwk, *, written_by_us: bool) -> rsa.RSAPrivateKey:
    values = {name: integer(jwk, name) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")}
    numbers = rsa.RSAPrivateNumbers(
        p=values["p"],
        q=values["q"],
        d=values["d"],
        dmp1=values["dp"],
        dmq1=values["dq"],
        iqmp=values["qi"],
        public_numbers=rsa.RSAPublicNumbers(values["e"], values["n"]),
    )
    try:
        return numbers.private_key(unsafe_skip_rsa_key_validation=written_by_us)
    except ValueError as exc:
        raise refused(
            7, "Der private RSA-Schlüssel ist in sich falsch.", "The private RSA key is inconsistent."
        ) from exc


def _private_ed25519(jwk: Jwk) -> ed25519.Ed25519PrivateKey:
    try:
        return ed25519.Ed25519PrivateKey.from_private_bytes(octets(jwk, "d"))
    except ValueError as exc:
        raise _not_ed25519() from exc


def _not_ed25519() -> KeyRefused:
    return refused(3, "Das ist kein Ed25519-Schlüssel (RFC 8037).", "This is no Ed25519 key (RFC 8037).")
