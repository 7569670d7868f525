"""Whether a certificate was revoked, by files that its authority publishes: CRLs (RFC 5280) and OCSP answers (RFC 6960).

Nothing is fetched: whoever asks brings the files. A file counts only where the certificate's issuer signed it, or for OCSP a
responder that the issuer named, and only until its next update.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID


class RevocationState(StrEnum):
    """What the files say of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    #: The file is no list or answer, of another issuer, not signed by it, too old, or speaks of other certificates.
    UNKNOWN = "unknown"


def by_list(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, *, now: datetime
) -> RevocationState:
    """Return what a CRL (DER or PEM) says of a certificate of ``issuer``."""
    try:
        load = x509.load_pem_x509_crl if b"-----BEGIN" in content else x509.load_der_x509_crl
        found = load(content)
        signed = found.issuer == issuer.subject and found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        over = found.next_update_utc is None or found.next_update_utc <= now or found.last_update_utc > now
    except (ValueError, TypeError):
        return RevocationState.UNKNOWN
    if not signed or over or certificate.issuer != issuer.subject:
        return RevocationState.UNKNOWN
    entry = found.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return RevocationState.GOOD if entry is None else RevocationState.REVOKED


def by_answer(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, *, now: datetime
) -> RevocationState:
    """Return what an OCSP answer (DER) says of a certificate of ``issuer``."""
    try:
        found = ocsp.load_der_ocsp_response(content)
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or not _is_by(found, issuer, now):
            return RevocationState.UNKNOWN
        over = found.next_update_utc is not None and found.next_update_utc <= now
        of_it = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, _hash_of(found)).build()
    except (ValueError, TypeError):
        return RevocationState.UNKNOWN
    same = (of_it.serial_number, of_it.issuer_key_hash, of_it.issuer_name_hash)
    if (
        over
        or found.this_update_utc > now
        or same
        != (
            found.serial_number,
            found.issuer_key_hash,
            found.issuer_name_hash,
        )
    ):
        return RevocationState.UNKNOWN
    states = {ocsp.OCSPCertStatus.GOOD: RevocationState.GOOD, ocsp.OCSPCertStatus.REVOKED: RevocationState.REVOKED}
    return states.get(found.certificate_status, RevocationState.UNKNOWN)


def _hash_of(found: ocsp.OCSPResponse) -> HashAlgorithm:
    return found.hash_algorithm


def _is_by(found: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    """Tell whether the issuer answered, or a responder with a certificate of the issuer's for that purpose."""
    signers = [issuer, *(each for each in found.certificates if _may_answer(each, issuer, now))]
    return any(_signed(found, each) for each in signers)


def _may_answer(responder: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    try:
        responder.verify_directly_issued_by(issuer)
        usage = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    fresh = responder.not_valid_before_utc <= now <= responder.not_valid_after_utc
    return fresh and ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _signed(found: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, digest = signer.public_key(), found.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and digest is not None:
            key.verify(found.signature, found.tbs_response_bytes, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            key.verify(found.signature, found.tbs_response_bytes, ec.ECDSA(digest))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(found.signature, found.tbs_response_bytes)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def judged_by(
    chain: Sequence[x509.Certificate], lists: Sequence[bytes], answers: Sequence[bytes], *, now: datetime
) -> RevocationState:
    """Return what all files say of a chain (leaf first): revoked where one says so of any, good where all are known."""
    states = []
    for certificate, issuer in pairwise(chain):
        said = [by_list(each, certificate, issuer, now=now) for each in lists]
        said += [by_answer(each, certificate, issuer, now=now) for each in answers]
        if RevocationState.REVOKED in said:
            return RevocationState.REVOKED
        states.append(RevocationState.GOOD in said)
    return RevocationState.GOOD if states and all(states) else RevocationState.UNKNOWN
