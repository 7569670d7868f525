"""A private RSA key as an authority has it: a JWK, PEM (PKCS#8, PKCS#1), or PKCS#12 from its PKI.

What comes out is a private JWK, unjudged. Where the file holds a certificate, the key is called by its SHA-256, as the public
half that is made of that certificate (:func:`hub.crypto.certificates.as_jwk`); without one by its thumbprint (RFC 7638).

And what an authority hands in of it: a public JWK, a certificate (PEM, DER), the certificate in a PKCS#12 file, or a request
for one (PKCS#10). Nothing private passes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12

from hub.crypto.certificates import USAGES, as_jwk, certifies, read_deposit, self_signed
from hub.crypto.jwk import EXPONENT, private_rsa_jwk, public_rsa_jwk, refused, thumbprint
from hub.errors import KeyRefused

#: Bytes; a PKCS#12 file with a chain of six certificates has less.
LARGEST = 128 * 1024
#: What the key policy asks for at least.
_BITS = 4096
#: Rounds of all derivations of keys from a file's password: OpenSSL writes 2,048 for each, careful tools 600,000.
_MOST_ROUNDS = 2_000_000
#: Of DER: how deep it is read, and bytes that an octet string needs at least to hold a part of PKCS#12.
_DEEPEST, _LEAST_NESTED = 24, 32
_SEQUENCE, _OCTETS, _INTEGER, _CONSTRUCTED, _LONG, _MANY = 0x30, 0x04, 0x02, 0x20, 0x80, 0x1F
_OPERATIONS = {"encryption": "wrapKey", "signing": "verify"}


def read_private(content: bytes, *, use: str, password: bytes | None = None) -> dict[str, Any]:
    """Return the private JWK in a file's content; ``use`` is "encryption" or "signing" and counts for PEM and PKCS#12.

    Raises:
        KeyRefused: it is none of the three, its password is wrong or missing, or its key is no RSA key.
    """
    if content.lstrip()[:1] == b"{":
        return _jwk(content)
    key, chain = _pem(content, password) if b"-----BEGIN" in content else _pkcs12(content, password)
    if not isinstance(key, RSAPrivateKey):
        raise refused(
            3,
            "Die Datei enthält keinen privaten RSA-Schlüssel. Verlangt ist RSA mit mindestens 4096 Bit.",
            "The file holds no private RSA key. RSA of at least 4096 bits is required.",
        )
    own = next((each for each in chain if certifies(each, key.public_key())), None)
    public = public_rsa_jwk(key.public_key(), use=use, kid="")
    kid = thumbprint(public) if own is None else as_jwk([own], use=use)["kid"]
    return private_rsa_jwk(key, use=use, kid=kid)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """A key just made: both halves as JWKs, the public one with a certificate of its own about itself; and what a PKI is sent.

    ``request`` is a certificate signing request (PKCS#10, RFC 2986) in PEM.
    """

    public: dict[str, Any]
    private: dict[str, Any] = field(repr=False)
    request: bytes = field(repr=False)


def make_new_key(use: str, *, subject: str, now: datetime, validity: timedelta) -> NewKey:
    """Make an RSA-4096 key for "encryption" or "signing" (about 0.4 s)."""
    key = generate_private_key(EXPONENT, _BITS)
    usage = USAGES["wrapKey" if use == "encryption" else "verify"]
    certificate = self_signed(key, subject=subject, usage=usage, now=now, validity=validity)
    public = as_jwk([certificate], use=use)
    request = x509.CertificateSigningRequestBuilder().subject_name(certificate.subject).sign(key, SHA512())
    return NewKey(
        public=public,
        private=private_rsa_jwk(key, use=use, kid=public["kid"]),
        request=request.public_bytes(Encoding.PEM),
    )


def chain_in(content: bytes, *, password: bytes | None = None) -> Sequence[x509.Certificate]:
    """Return the certificates beside a private key, its own one first, each followed by its issuer.

    Raises:
        KeyRefused: as :func:`read_private`, or there is no certificate of the key.
    """
    key, chain = _pem(content, password) if b"-----BEGIN" in content else _pkcs12(content, password)
    left = list(chain)
    ordered = [each for each in left if isinstance(key, RSAPrivateKey) and certifies(each, key.public_key())][:1]
    while ordered and (above := next((each for each in left if _issued(each, ordered[-1])), None)) is not None:
        left.remove(above)
        ordered.append(above)
    if not ordered:
        raise refused(
            9,
            "Die Datei enthält kein Zertifikat zu ihrem Schlüssel. Nehmen Sie die Datei mit dem Zertifikat.",
            "The file holds no certificate of its key. Take the file with the certificate.",
        )
    return ordered


def read_public(content: bytes, *, use: str, password: bytes | None = None) -> dict[str, Any]:
    """Return the public JWK in what an authority hands in, unjudged; ``use`` is "encryption" or "signing".

    Of a PKCS#12 file only the certificates are taken. A certificate's key is called by its SHA-256, as the private half is
    (:func:`read_private`).

    Raises:
        KeyRefused: it is none of the three, it is too large, its password is wrong, or it holds a private key in clear.
    """
    if content[:1] != b"\x30" or _is_certificate(content):
        return read_deposit(content, operation=_OPERATIONS[use])
    if len(content) > LARGEST:
        raise refused(1, "Die Datei ist größer als 128 KiB.", "The file is larger than 128 KiB.")
    key, chain = _pkcs12(content, password)
    own = chain_in(content, password=password) if key is not None else chain
    if not own:
        raise _neither()
    return as_jwk(own, use=use)


def is_request(content: bytes) -> bool:
    """Tell whether a file is a request for a certificate (PKCS#10 in PEM)."""
    return b"CERTIFICATE REQUEST-----" in content


def read_request(content: bytes, *, use: str) -> dict[str, Any]:
    """Return the public JWK that a certificate is asked for; its ``kid`` is its thumbprint, it has no ``x5c`` yet.

    Raises:
        KeyRefused: it cannot be read, who asks does not have the key, or it is no RSA key of 4096 bits.
    """
    try:
        request = x509.load_pem_x509_csr(content)
        proven = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _no_request() from exc
    key = request.public_key()
    if not proven or not isinstance(key, RSAPublicKey) or key.key_size < _BITS:
        raise _no_request()
    jwk = public_rsa_jwk(key, use=use, kid="")
    return jwk | {"kid": thumbprint(jwk)}


def _is_certificate(content: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(content)
    except ValueError:
        return False
    return True


def _no_request() -> KeyRefused:
    return refused(
        3,
        f"Der Zertifikatsantrag ist nicht lesbar, nicht mit seinem Schlüssel signiert, oder nicht für RSA mit {_BITS} Bit.",
        f"The certificate request cannot be read, is not signed with its key, or not about RSA of {_BITS} bits.",
    )


def _issued(above: x509.Certificate, below: x509.Certificate) -> bool:
    return above is not below and above.subject == below.issuer and above.subject != below.subject


def _jwk(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _neither() from exc
    if not isinstance(document, dict) or "keys" in document:
        raise _neither()
    return document


def _pem(content: bytes, password: bytes | None) -> tuple[object, Sequence[x509.Certificate]]:
    chain = x509.load_pem_x509_certificates(content) if b"BEGIN CERTIFICATE-----" in content else []
    encrypted = b"ENCRYPTED" in content
    try:
        return load_pem_private_key(content, password if encrypted else None), chain
    except TypeError as exc:  # Encrypted, and no password.
        raise _password() from exc
    except ValueError as exc:
        raise (_password() if encrypted else _neither()) from exc


def _pkcs12(content: bytes, password: bytes | None) -> tuple[object, Sequence[x509.Certificate]]:
    if content[:1] != b"\x30":  # DER of a sequence, which PKCS#12 is (RFC 7292 section 4).
        raise _neither()
    if rounds_of(content) > _MOST_ROUNDS:
        raise refused(
            1,
            "Das Passwort der PKCS#12-Datei wird über mehr als 2 Millionen Runden abgeleitet. Schreiben Sie sie neu, zum "
            "Beispiel mit openssl pkcs12 -export -iter 100000.",
            "The PKCS#12 file's password is derived over more than 2 million rounds. Write it anew, for example with openssl "
            "pkcs12 -export -iter 100000.",
        )
    try:
        key, own, others = pkcs12.load_key_and_certificates(content, password)
    except ValueError as exc:
        raise _password() from exc
    return key, ([] if own is None else [own]) + list(others)


def rounds_of(content: bytes) -> int:
    """Return how many rounds of derivation all parts of a PKCS#12 file in DER ask for together, before any is begun.

    A count is the number behind a salt: of PBKDF2 and scrypt (RFC 8018, A.2; RFC 7914, 7), of PKCS#12's own derivation and of
    its MAC (RFC 7292, 4 and C).

    Raises:
        KeyRefused: it is no DER, as of indefinite length, or nested deeper than such files are.
    """
    try:
        return _rounds(memoryview(content), _DEEPEST)
    except (ValueError, IndexError) as exc:
        raise refused(
            1,
            "Die PKCS#12-Datei ist beschädigt oder nicht in DER geschrieben. Schreiben Sie sie neu, zum Beispiel mit openssl "
            "pkcs12 -export.",
            "The PKCS#12 file is damaged or not written in DER. Write it anew, for example with openssl pkcs12 -export.",
        ) from exc


def _rounds(content: memoryview, depth: int) -> int:
    """Return the rounds that the elements of some DER ask for; raises ``ValueError`` and ``IndexError`` where it is none."""
    if depth == 0:
        raise ValueError("nested too deeply")
    total, before = 0, None
    while content:
        tag, value, content = _element(content)
        if tag == _OCTETS | _CONSTRUCTED:
            raise ValueError("an octet string in pieces")
        if tag & _CONSTRUCTED or (tag == _OCTETS and len(value) >= _LEAST_NESTED and _is_sequence(value)):
            total += _rounds(value, depth - 1)
        elif tag == _INTEGER and before == _OCTETS:
            total += abs(int.from_bytes(value, "big", signed=True))
        before = tag
    return total


def _element(content: memoryview) -> tuple[int, memoryview, memoryview]:
    """Return the first element's tag and value, and what follows it (X.690, 8.1)."""
    length, at = content[1], 2
    if length == _LONG or content[0] & _MANY == _MANY:
        raise ValueError("of indefinite length, or of a tag that PKCS#12 has not")
    if length > _LONG:
        at += length - _LONG
        length = int.from_bytes(content[2:at], "big")
    if at + length > len(content):
        raise ValueError("cut off")
    return content[0], content[at : at + length], content[at + length :]


def _is_sequence(value: memoryview) -> bool:
    """Whether an octet string holds one sequence; one that begins as such and is of indefinite length is not told for sure."""
    if value[0] != _SEQUENCE:
        return False
    if value[1] == _LONG and bytes(value[-2:]) == b"\0\0":
        raise ValueError("of indefinite length")
    try:
        return not _element(value)[2]
    except ValueError:
        return False


def _password() -> KeyRefused:
    return refused(
        1,
        "Das Passwort der Schlüsseldatei fehlt oder ist falsch, oder sie ist beschädigt. Nennen Sie die Datei mit dem Passwort "
        "(key_password_file).",
        "The key file's password is missing or wrong, or the file is damaged. Name the file with the password "
        "(key_password_file).",
    )


def _neither() -> KeyRefused:
    return refused(
        1,
        "Das ist weder ein privater JWK noch PEM noch PKCS#12.",
        "This is neither a private JWK nor PEM nor PKCS#12.",
    )
