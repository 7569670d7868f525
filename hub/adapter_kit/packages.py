"""Packages to try adapters with: sealed in form only, for an adapter never opens one, and each unlike any other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import repeat
from secrets import token_urlsafe
from uuid import uuid4

from hub.errors import StoreUnavailable, Text, not_found
from hub.model import (
    Contents,
    Destination,
    Door,
    Evidence,
    Form,
    Package,
    Sealed,
    Service,
    Submission,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_PIECE = 64 * 1024


def seal(text: str, *, form: Form = Form.JOSE) -> Sealed:
    """Return a content that has the form of a JWE, or of CMS: bytes that are no text."""
    if form is Form.CMS:
        der = b"\x30\x83\xff\r\n.\r\n\x00" + text.encode("utf-16-le")
        return Sealed(tag="", sha512=hashlib.sha512(der).hexdigest(), size=len(der), jwe=der)
    tag = hashlib.sha256(text.encode()).hexdigest()[:22]
    jwe = f"eyJhbGciOiJSU0EtT0FFUC0yNTYifQ.{'k' * 683}.aXZpdml2aXZpdml2aQ.{text.encode().hex()}.{tag}".encode()
    return Sealed(tag=tag, sha512=hashlib.sha512(jwe).hexdigest(), size=len(jwe), jwe=jwe)


def make_package(*, attachments: int = 2, text: str = "data", form: Form = Form.JOSE) -> Package:
    """Return a package of metadata, data and ``attachments``."""
    destination_id, delivery_id = uuid4(), uuid4()
    contents = Contents(
        metadata=seal(f"metadata of {delivery_id}", form=form),
        data=seal(f"{text} of {delivery_id}", form=form),
        attachments={
            uuid4(): seal(f"attachment {number} of {delivery_id}", form=form) for number in range(attachments)
        },
        form=form,
    )
    submission = Submission(
        submission_id=uuid4(),
        case_id=uuid4(),
        destination_id=destination_id,
        sender="sender",
        door=Door.PLAIN,
        service=Service(identifier="urn:de:fim:leika:leistung:99012008001000", name="Bauantrag"),
        area="064390000000",
        contents=contents,
        submitted_at=NOON,
    )
    destination = Destination(
        destination_id=destination_id,
        name="Bauamt",
        status="active",
        owner=None,
        tenant="06",
        services=(),
        metadata_versions=("2.1.0",),
        encryption_kid="kid",
        contact={},
        adapter="any",
        adapter_config={},
        created_at=NOON,
        updated_at=NOON,
    )
    return Package(
        delivery_id=delivery_id,
        attempt=1,
        repeat=False,
        submission=submission,
        destination=destination,
        event_log=["e30.e30.c2ln"],
        evidence=lambda: Evidence(receipt="e30.e30.c2ln", previous="0" * 64, entries=("{}",)),
        read=_read,
        base_url="https://hub.example.org",
        keep=_Kept(),
    )


class _Kept:
    """What an attempt has the hub keep for the next one."""

    known_as: str | None = None

    def __call__(self, known_as: str | None) -> None:
        self.known_as = known_as


def again(package: Package) -> Package:
    """Return the package of the next attempt, after one that may have reached the receiver."""
    known_as = package.keep.known_as if isinstance(package.keep, _Kept) else package.known_as
    return replace(package, attempt=package.attempt + 1, repeat=True, known_as=known_as)


def lean(package: Package) -> Package:
    """Return the package without attachments."""
    return _with(package, replace(package.submission.contents, attachments={}))


def bare(package: Package) -> Package:
    """Return the package without attachments and data."""
    return _with(package, replace(package.submission.contents, attachments={}, data=None))


def bulky(package: Package) -> Package:
    """Return the package with more data than the buffers of a connection hold: 8 MB, 3 MB compressed."""
    contents = package.submission.contents
    return _with(package, replace(contents, data=seal(token_urlsafe(3_000_000), form=contents.form)))


def mixed_up(package: Package) -> Package:
    """Return the package with a store that hands out another content than the submission names."""
    return replace(package, read=lambda _sealed: iter([b"x" * 900]))


def crowded(package: Package) -> Package:
    """Return the package with a hundred attachments, the most that there may be."""
    contents = package.submission.contents
    many = {uuid4(): seal(f"{number} of {package.delivery_id}", form=contents.form) for number in range(100)}
    return _with(package, replace(contents, attachments=many))


def swapped(package: Package) -> Package:
    """Return the package with a store that hands out data for metadata and the other way round."""
    contents = package.submission.contents
    other = {contents.metadata.sha512: contents.data or contents.metadata}
    other |= {} if contents.data is None else {contents.data.sha512: contents.metadata}
    return replace(package, read=lambda sealed: _read(other.get(sealed.sha512, sealed)))


def flipped(package: Package) -> Package:
    """Return the package with one bit of its last attachment turned."""
    return _last(package, lambda content: iter([content[:-1], bytes([content[-1] ^ 1])]))


def cut_short(package: Package) -> Package:
    """Return the package with a store that loses the last byte of its last attachment."""
    return _last(package, lambda content: iter([content[:-1]]))


def endless(package: Package) -> Package:
    """Return the package with a store that never ends its last attachment."""
    return _last(package, repeat)


def broken_off(package: Package) -> Package:
    """Return the package with a store that goes away in the middle of its last attachment."""

    def read(content: bytes) -> Iterator[bytes]:
        yield content[:100]
        raise _gone()

    return _last(package, read)


def away(package: Package) -> Package:
    """Return the package with a store that cannot be read now."""

    def read(_: Sealed) -> Iterator[bytes]:
        raise _gone()

    return replace(package, read=read)


def lost(package: Package) -> Package:
    """Return the package with a store that has its last attachment no more."""

    def read(_: bytes) -> Iterator[bytes]:
        raise not_found("content-not-found")

    return _last(package, read)


def lost_midway(package: Package) -> Package:
    """Return the package with a store that finds in the middle of its last attachment that the rest is not there."""

    def read(content: bytes) -> Iterator[bytes]:
        yield content[:100]
        raise not_found("content-not-found")

    return _last(package, read)


def all_lost(package: Package) -> Package:
    """Return the package with a store that has none of its contents."""

    def read(_: Sealed) -> Iterator[bytes]:
        raise not_found("content-not-found")

    return replace(package, read=read)


def _last(package: Package, read: Callable[[bytes], Iterator[bytes]]) -> Package:
    """Return the package with another way to read its last attachment."""
    *_others, last = package.submission.contents.attachments.values()
    return replace(package, read=lambda sealed: read(sealed.jwe or b"") if sealed is last else _read(sealed))


def _gone() -> StoreUnavailable:
    return StoreUnavailable(Text("Blobspeicher fort.", "Blob store away."))


def _with(package: Package, contents: Contents) -> Package:
    return replace(package, submission=replace(package.submission, contents=contents))


def _read(sealed: Sealed) -> Iterator[bytes]:
    content = sealed.jwe or b""
    return (content[start : start + _PIECE] for start in range(0, len(content), _PIECE))
