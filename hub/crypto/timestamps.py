"""Time stamps of an authority (RFC 3161): asked for by hash, verified offline against its root certificates.

An extra package (``rathaus-hub[timestamps]``): it is loaded where stamps are made or verified. Certificates count at the time
of the stamp; nobody is asked whether one was revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from hub.errors import ConfigurationError, SealBroken, Text

#: Root certificates of authorities.
Roots = list[Certificate]
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
#: Bytes of an authority's answer: token, certificates, and room.
LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class StampRequest:
    """A request in DER, and the number by which its answer is known."""

    der: bytes
    nonce: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StampedTime:
    """When an authority saw something: ``accuracy`` in seconds as it states it (None: not at all), ``serial`` its number."""

    at: datetime
    accuracy: float | None
    serial: int
    policy: str


def read_roots(pem: bytes) -> Roots:
    """Return the certificates of a PEM file; raise ``ConfigurationError`` where it holds none that can be read."""
    try:
        roots = load_pem_x509_certificates(pem)
    except ValueError:
        roots = []
    if not roots:
        raise ConfigurationError(
            Text(
                "Die Datei mit den Wurzelzertifikaten der Zeitstempelstelle enthält kein lesbares Zertifikat (PEM).",
                "The file of the time-stamping authority's root certificates holds no readable certificate (PEM).",
            )
        )
    return roots


def require_package() -> None:
    """Raise ``ConfigurationError`` where the package that stamps need is not installed."""
    _package()


def stamp_request(content: bytes) -> StampRequest:
    """Return a request to stamp ``content`` (its SHA-512), with the authority's certificate wanted in the answer."""
    made = _package().TimestampRequestBuilder().data(content).nonce(nonce=True).cert_request(cert_request=True).build()
    return StampRequest(der=made.as_bytes(), nonce=made.nonce)


def verify_stamp(answer: bytes, content: bytes, roots: Roots, *, nonce: int | None = None) -> StampedTime:
    """Return the time in an authority's answer (TimeStampResp, DER) that is about ``content``.

    Raises:
        SealBroken: it is no answer or grants nothing, is about something else or another request, or no root vouches for it.
    """
    package = _package()
    if len(answer) > LARGEST_ANSWER:
        raise _invalid("ist zu groß", "is too large")
    try:
        found = package.decode_timestamp_response(answer)
        verifier: Any = package.VerifierBuilder(roots=list(roots), nonce=nonce).build()
        verifier.verify_message(found, content)
        info = found.tst_info
        accuracy, policy = info.accuracy, info.policy.dotted_string
        seconds = None if accuracy is None else _seconds(accuracy)
        return StampedTime(at=info.gen_time, accuracy=seconds, serial=info.serial_number, policy=policy)
    except (ValueError, TypeError, AttributeError, package.VerificationError) as exc:
        raise _invalid("gilt nicht", "does not count") from exc


def _seconds(accuracy: Any) -> float:
    return (accuracy.seconds or 0) + (accuracy.millis or 0) / 1_000 + (accuracy.micros or 0) / 1_000_000


def _package() -> Any:
    try:
        import rfc3161_client
    except ImportError as exc:
        raise ConfigurationError(
            Text(
                "Zeitstempel brauchen das Paket „rathaus-hub[timestamps]“. Installieren Sie es.",
                "Time stamps need the package 'rathaus-hub[timestamps]'. Install it.",
            )
        ) from exc
    return rfc3161_client


def _invalid(de: str, en: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Der Zeitstempel {de}: Er gehört zu etwas anderem, oder die Wurzelzertifikate bürgen nicht für ihn.",
            f"The time stamp {en}: it is about something else, or the root certificates do not vouch for it.",
        ),
        slug="timestamp-not-valid",
    )
