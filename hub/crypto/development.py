"""Certificates that are insecure on purpose and by name: for the demo, fault servers and tests.

The development PKI: an authority of one root that certifies demo and test keys. Insecure on purpose and by name.

Its key lies unencrypted on a disk and it certifies whatever it is given. In production certificates come from the
administration's PKI, and this module refuses to work.

Throwaway certificates for fault servers and tests: an authority that lives as long as its process, insecure by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from hub.crypto import certificates
from hub.crypto.certificates import Certificate, write_chain
from hub.crypto.jwk import EXPONENT, Jwk, public_rsa_key, refused
from hub.errors import ConfigurationError, KeyRefused, Text
from hub.files import vault

KEY_FILE = "insecure-development-ca.key.pem"
CERTIFICATE_FILE = "insecure-development-ca.pem"

_SUBJECT = "INSECURE Rathaus-Hub Development CA"
_VALIDITY = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True, slots=True)
class InsecureDevelopmentAuthority:
    """A root that certifies anything; ``certificate`` is the trust anchor to configure."""

    certificate: Certificate
    private_key: rsa.RSAPrivateKey = field(repr=False, compare=False)

    @classmethod
    def load_or_create(cls, folder: Path, *, now: datetime, production: bool) -> InsecureDevelopmentAuthority:
        """Return the authority of ``folder``, made there (0.4 s) if it is missing: key 0600 under 0700.

        Raises:
            ConfigurationError: in production, or its files cannot be read.
        """
        if production:
            raise ConfigurationError(
                Text(
                    "Die Entwicklungs-PKI ist im Produktivbetrieb verboten. Verwenden Sie Zertifikate der "
                    "Verwaltungs-PKI und hinterlegen Sie deren Vertrauensanker.",
                    "The development PKI is forbidden in production. Use certificates of the administration PKI and "
                    "configure its trust anchors.",
                )
            )
        vault.make_folder(folder)
        with vault.locked(folder):
            if not (folder / CERTIFICATE_FILE).exists():
                _create(folder, now)
            return _load(folder)

    def issue(self, public_jwk: Jwk, *, subject: str, now: datetime, days: int = 730) -> dict[str, Any]:
        """Return ``public_jwk`` with an ``x5c`` of leaf and root; key usage follows from its key_ops.

        Raises:
            KeyRefused: it is no public RSA key for wrapKey or verify.
        """
        operations = public_jwk.get("key_ops")
        if operations not in (["wrapKey"], ["verify"]):
            raise _certifies_no_such()
        leaf = certificates.issued(
            public_rsa_key(public_jwk),
            subject=subject,
            usage=certificates.USAGES[operations[0]],
            issuer=self.certificate,
            issuer_key=self.private_key,
            now=now,
            validity=timedelta(days=days),
        )
        return dict(public_jwk) | {"x5c": write_chain([leaf, self.certificate])}


def _certifies_no_such() -> KeyRefused:
    return refused(
        5,
        "Die Entwicklungs-PKI zertifiziert nur öffentliche Schlüssel für wrapKey oder verify.",
        "The development PKI certifies public keys for wrapKey or verify only.",
    )


def _create(folder: Path, now: datetime) -> None:
    private_key = rsa.generate_private_key(EXPONENT, 4096)
    certificate = certificates.authority(private_key, subject=_SUBJECT, now=now, validity=_VALIDITY)
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    vault.write(folder / KEY_FILE, pem)
    # The certificate comes last: where it is, the key is.
    vault.write(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))


def _load(folder: Path) -> InsecureDevelopmentAuthority:
    try:
        certificate = x509.load_pem_x509_certificate(vault.read(folder / CERTIFICATE_FILE))
        private_key = load_pem_private_key(
            vault.read(folder / KEY_FILE), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, FileNotFoundError) as exc:
        raise _unreadable(folder) from exc
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise _unreadable(folder)
    return InsecureDevelopmentAuthority(certificate=certificate, private_key=private_key)


def _unreadable(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Entwicklungs-PKI in {folder.name} ist unvollständig oder unlesbar. Löschen Sie den Ordner; "
            "er wird neu angelegt.",
            f"The development PKI in {folder.name} is incomplete or unreadable. Delete the folder; it is made anew.",
        )
    )


_DAY = timedelta(days=1)


class InsecureThrowawayAuthority:
    """Certifies loopback servers and clients; ``ca_file`` is its own certificate. Keys lie unencrypted in ``folder``."""

    def __init__(self, folder: Path, *, now: datetime) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("INSECURE throwaway authority")
        certificate = (
            self._builder(self._name, self._key.public_key(), now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, address: str, *, expired: bool = False, rsa_bits: int = 0) -> tuple[Path, Path]:
        """Return the files of certificate and key for an IP address; ``expired``: it ended an hour ago.

        The key is one of P-256, or of RSA with ``rsa_bits``.
        """
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
            rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        )
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        until = self._now - timedelta(hours=1) if expired else self._now + _DAY
        certificate = (
            self._builder(_name(address), key.public_key(), until)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return self._write(certificate, key)

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, until: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _DAY)
            .not_valid_after(until)
        )

    def _write(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    ) -> tuple[Path, Path]:
        stem = self._folder / uuid4().hex
        files = stem.with_suffix(".pem"), stem.with_suffix(".key")
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].touch(mode=0o600)
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
