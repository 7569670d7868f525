"""X.509 certificates: read, judged, issued; and public keys as people hand them in.

X.509 certificates in keys (``x5c``, RFC 7517 section 4.7): reading, and judging a chain offline (RFC 5280). Pure.

Revocation is not asked: the hub touches no network to judge a key. An operator replaces a revoked key.

Issuing X.509 certificates (RFC 5280): for the hub's own keys, and for the development authority.

Public keys as people deposit them: a JWK in JSON, or a certificate (PEM or DER, its chain behind it). Unjudged.

What comes out is a JWK for :mod:`hub.crypto.keys` to judge; nothing private passes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from hub.crypto import base64url
from hub.crypto.jwk import public_rsa_jwk, refused
from hub.errors import ConfigurationError, KeyRefused, Text

Certificate = x509.Certificate

#: Leaf, intermediates and root: administration PKIs use three or four.
_CHAIN_LIMIT = 6
#: Characters of one certificate in base64; real ones with RSA-4096 take about 3,000.
_CERTIFICATE_LIMIT = 16_384


def read_chain(x5c: Any) -> tuple[Certificate, ...]:
    """Return the certificates of a JWK's ``x5c``, leaf first.

    Raises:
        KeyRefused: not a list of 1 to 6 certificates in standard base64 DER.
    """
    if not isinstance(x5c, list) or not 0 < len(x5c) <= _CHAIN_LIMIT:
        raise _unreadable()
    return tuple(_read_certificate(entry) for entry in x5c)


def write_chain(chain: Sequence[Certificate]) -> list[str]:
    """Return ``chain`` (leaf first) as the value of a JWK's ``x5c``."""
    return [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii") for certificate in chain]


def as_jwk(chain: Sequence[Certificate], *, use: str) -> dict[str, Any]:
    """Return the public key of ``chain`` (leaf first) as a destination's JWK with ``x5c``, unjudged.

    ``use`` is "encryption" or "signing". The kid is the leaf's SHA-256 (x5t#S256, RFC 7517 section 4.9): a renewed
    certificate over the same key is another entry, for registered keys are never replaced.

    Raises:
        KeyRefused: no RSA key, or more certificates than a key may have.
    """
    public_key = chain[0].public_key()
    if not isinstance(public_key, RSAPublicKey):
        raise refused(
            3,
            "Das Zertifikat enthält keinen RSA-Schlüssel. Beantragen Sie eines mit RSA, mindestens 4096 Bit.",
            "The certificate holds no RSA key. Apply for one with RSA, at least 4096 bits.",
        )
    if len(chain) > _CHAIN_LIMIT:
        raise _unreadable()
    kid = base64url.encode(chain[0].fingerprint(SHA256())).decode("ascii")
    return public_rsa_jwk(public_key, use=use, kid=kid) | {"x5c": write_chain(chain)}


def certifies(certificate: Certificate, public_key: PublicKeyTypes) -> bool:
    """Tell whether ``certificate`` speaks of this very key."""
    return _spki(certificate.public_key()) == _spki(public_key)


def is_self_signed(certificate: Certificate) -> bool:
    """Tell whether ``certificate`` is signed with its own key."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def judge_trust(chain: Sequence[Certificate], *, anchors: Sequence[Certificate], now: datetime) -> None:
    """Require a path from the leaf over the given intermediates to an anchor, valid at ``now`` (RFC 5280 section 6).

    Raises:
        KeyRefused: no such path.
    """
    if not anchors:
        raise _untrusted()
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(anchors)))
        .time(now)
        .max_chain_depth(_CHAIN_LIMIT - 2)
        .extension_policies(ca_policy=_authority_policy(), ee_policy=verification.ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        verifier.verify(chain[0], list(chain[1:]))
    except verification.VerificationError as exc:
        raise _untrusted() from exc


def judge_validity(chain: Sequence[Certificate], *, now: datetime) -> None:
    """Require every certificate to be valid at ``now``.

    Raises:
        KeyRefused: one is expired or not valid yet.
    """
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise refused(
                10,
                "Ein Zertifikat in x5c ist abgelaufen oder noch nicht gültig. "
                "Beantragen Sie ein neues Zertifikat und hinterlegen Sie den neuen Schlüssel.",
                "A certificate in x5c is expired or not valid yet. "
                "Apply for a new certificate and register the new key.",
            )


def allows(certificate: Certificate, usage: str) -> bool:
    """Tell whether the certificate's key usage, if it names any, has ``usage`` (an attribute of ``x509.KeyUsage``)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return True
    except (ValueError, x509.DuplicateExtension):
        return False
    return bool(getattr(extension.value, usage))


def read_file(path: Path) -> list[Certificate]:
    """Return the certificates of a PEM file (any number) or DER file (one).

    Raises:
        ConfigurationError: the file holds no readable certificate.
    """
    content = path.read_bytes()
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as exc:
        raise ConfigurationError(
            Text(
                f"{path.name} enthält kein lesbares Zertifikat. Legen Sie Vertrauensanker als PEM oder DER ab.",
                f"{path.name} holds no readable certificate. Store trust anchors as PEM or DER.",
            )
        ) from exc


def _read_certificate(entry: Any) -> Certificate:
    if not isinstance(entry, str) or len(entry) > _CERTIFICATE_LIMIT:
        raise _unreadable()
    try:
        return x509.load_der_x509_certificate(base64.b64decode(entry, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise _unreadable() from exc


def _authority_policy() -> verification.ExtensionPolicy:
    agnostic = verification.Criticality.AGNOSTIC
    return (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, agnostic, _require_authority)
        .may_be_present(x509.KeyUsage, agnostic, _require_certificate_signing)
    )


def _require_authority(_: verification.Policy, __: Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("not a certification authority")


def _require_certificate_signing(_: verification.Policy, __: Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the authority's key may not sign certificates")


def _spki(public_key: PublicKeyTypes) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unreadable() -> KeyRefused:
    return refused(
        9,
        f"x5c muss 1 bis {_CHAIN_LIMIT} X.509-Zertifikate als Base64-DER enthalten (RFC 7517, Abschnitt 4.7), "
        "das eigene zuerst.",
        f"x5c must hold 1 to {_CHAIN_LIMIT} X.509 certificates as base64 DER (RFC 7517, section 4.7), your own first.",
    )


def _untrusted() -> KeyRefused:
    return refused(
        11,
        "Das Zertifikat in x5c führt zu keinem hinterlegten Vertrauensanker. Verwenden Sie ein Zertifikat der "
        "Verwaltungs-PKI mit allen Zwischenzertifikaten, oder lassen Sie den Anker vom Betrieb eintragen.",
        "The certificate in x5c leads to no configured trust anchor. Use a certificate of the administration PKI "
        "with all intermediate certificates, or have the operator add the anchor.",
    )


#: Clocks of those who check may be behind.
_BACKDATED = timedelta(minutes=5)
#: Most characters of a common name (X.520).
_NAME_LIMIT = 64
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
#: Key usage by a JWK's public operation.
USAGES = {"wrapKey": "key_encipherment", "verify": "digital_signature"}


def self_signed(
    private_key: RSAPrivateKey, *, subject: str, usage: str, now: datetime, validity: timedelta
) -> x509.Certificate:
    """Return a certificate of a key about itself; ``usage`` is an attribute of ``x509.KeyUsage``."""
    name = _name(subject)
    builder = _builder(private_key.public_key(), subject=name, issuer=name, now=now, validity=validity)
    return _usage(builder, usage).sign(private_key, hashes.SHA512())


def authority(private_key: RSAPrivateKey, *, subject: str, now: datetime, validity: timedelta) -> x509.Certificate:
    """Return the self-signed certificate of a certification authority that certifies leaves only."""
    name = _name(subject)
    builder = _builder(private_key.public_key(), subject=name, issuer=name, now=now, validity=validity, ca=True)
    return _usage(builder, "key_cert_sign").sign(private_key, hashes.SHA512())


def issued(
    public_key: RSAPublicKey,
    *,
    subject: str,
    usage: str,
    issuer: x509.Certificate,
    issuer_key: RSAPrivateKey,
    now: datetime,
    validity: timedelta,
) -> x509.Certificate:
    """Return a certificate about ``public_key``, signed by an authority; it never outlives the authority's own."""
    until = min(now + validity, issuer.not_valid_after_utc)
    builder = _builder(public_key, subject=_name(subject), issuer=issuer.subject, now=now, validity=until - now)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return _usage(builder, usage).add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA512())


def _builder(
    public_key: RSAPublicKey,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    now: datetime,
    validity: timedelta,
    ca: bool = False,
) -> x509.CertificateBuilder:
    now = now.replace(microsecond=0)
    constraints = x509.BasicConstraints(ca=ca, path_length=0 if ca else None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + validity)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(builder: x509.CertificateBuilder, usage: str) -> x509.CertificateBuilder:
    return builder.add_extension(x509.KeyUsage(**_NO_USAGE | {usage: True}), critical=True)


def _name(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:_NAME_LIMIT])])


#: Bytes; a JWK with a chain of six certificates has less.
_LARGEST = 128 * 1024
_USES = {"wrapKey": "encryption", "verify": "signing"}


def read_deposit(content: bytes, *, operation: str) -> dict[str, Any]:
    """Return what was deposited as a public JWK for ``operation`` (``wrapKey`` or ``verify``).

    A JWK keeps what it says of itself; a certificate's key is called by its SHA-256 (:func:`as_jwk`), as the connector calls
    the private half: what it signs names the ``kid`` that the hub knows the key by (FIT-Connect, section 8.6).

    Raises:
        KeyRefused: it is neither, it is too large, or it holds a private key.
    """
    if len(content) > _LARGEST:
        raise refused(1, "Die Datei ist größer als 128 KiB.", "The file is larger than 128 KiB.")
    if b"PRIVATE KEY-----" in content:
        raise _private()
    if content.lstrip()[:1] == b"{":
        return _jwk(content)
    return as_jwk(_chain(content), use=_USES[operation])


def _jwk(content: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _neither() from exc
    if not isinstance(document, dict):
        raise _neither()
    if "keys" in document:
        raise refused(
            1,
            "Das ist ein Schlüsselsatz (JWKS). Hinterlegen Sie einen einzelnen JWK, je Zweck einen.",
            "This is a key set (JWKS). Deposit a single JWK, one for each purpose.",
        )
    return document


def _chain(content: bytes) -> Sequence[x509.Certificate]:
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as exc:
        raise _neither() from exc


def _private() -> KeyRefused:
    return refused(
        2,
        "Die Datei enthält einen privaten Schlüssel. Behandeln Sie ihn als offengelegt: Erzeugen Sie einen neuen und "
        "hinterlegen Sie nur dessen Zertifikat.",
        "The file holds a private key. Treat it as disclosed: make a new one and deposit its certificate only.",
    )


def _neither() -> KeyRefused:
    return refused(
        1,
        "Das ist weder ein JWK (JSON) noch ein Zertifikat (PEM oder DER).",
        "This is neither a JWK (JSON) nor a certificate (PEM or DER).",
    )
