"""Issuing X.509 certificates (RFC 5280): for the hub's own keys, and for the development authority."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

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
