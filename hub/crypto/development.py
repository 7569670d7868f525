"""The development PKI: an authority of one root that certifies demo and test keys. Insecure on purpose and by name.

Its key lies unencrypted on a disk and it certifies whatever it is given. In production certificates come from the
administration's PKI, and this module refuses to work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hub.crypto import issuance
from hub.crypto.certificates import Certificate, write_chain
from hub.crypto.jwk import EXPONENT, Jwk, public_rsa_key, refused
from hub.errors import ConfigurationError, Text
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
            raise refused(
                5,
                "Die Entwicklungs-PKI zertifiziert nur öffentliche Schlüssel für wrapKey oder verify.",
                "The development PKI certifies public keys for wrapKey or verify only.",
            )
        leaf = issuance.issued(
            public_rsa_key(public_jwk),
            subject=subject,
            usage=issuance.USAGES[operations[0]],
            issuer=self.certificate,
            issuer_key=self.private_key,
            now=now,
            validity=timedelta(days=days),
        )
        return dict(public_jwk) | {"x5c": write_chain([leaf, self.certificate])}


def _create(folder: Path, now: datetime) -> None:
    private_key = rsa.generate_private_key(EXPONENT, 4096)
    certificate = issuance.authority(private_key, subject=_SUBJECT, now=now, validity=_VALIDITY)
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
