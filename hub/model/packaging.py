"""What an adapter puts around sealed contents: the manifest of a delivery in files, and the envelope of a pushed one.

Each content is compared with the hash that the submission names while it is read: a JWE's tag alone binds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import orjson

from hub.errors import NotFound, Unavailable
from hub.model.options import require
from hub.model.submission import DeadCause, Form, Outcome, OutcomeKind, Package, Sealed

#: The name of the file that is written last: where it is, the delivery is whole.
MANIFEST = "manifest.json"
#: What envelopes and manifests there are; a destination's option says which one its receiver reads. One without the option
#: is from before there was a second; a new one gets the newest.
VERSIONS = (1, 2)
NEWEST = 2
ENVELOPE = "envelope"
_SUFFIXES = {Form.JOSE: ".jwe", Form.CMS: ".p7m"}


def require_envelope(adapter: str, version: int) -> None:
    """Refuse an option ``envelope`` that names no version of what an adapter puts around the contents."""
    known = ", ".join(map(str, VERSIONS))
    require(adapter, version in VERSIONS, f"kennt in envelope nur {known}", f"knows only {known} in envelope")


class MixedUp(Exception):  # Names what happened; adapters turn it into an outcome at once.
    """A stored content is not the one that the submission names."""


class Lost(MixedUp):
    """A stored content is not there any more, although a submission names it."""


class Reading:
    """Reads contents for one attempt. One that is lost raises :class:`Lost`, and ``broken`` remembers it.

    So an adapter treats a lost content as one that does not match, and one that knows neither is found out.
    """

    def __init__(self, chunks: Callable[[Sealed], Iterator[bytes]]) -> None:
        self._chunks = chunks
        self.broken: MixedUp | None = None

    def chunks(self, sealed: Sealed) -> Iterator[bytes]:
        """Yield a content's chunks; what ``Package.read`` is."""
        try:
            yield from self._chunks(sealed)
        except NotFound as exc:
            self.broken = Lost()
            raise self.broken from exc


def not_readable(error: MixedUp | Unavailable) -> Outcome:
    """Return what an attempt comes to when the hub cannot read its own content: for good, where it is not there any more."""
    if isinstance(error, Lost):
        return Outcome(kind=OutcomeKind.REFUSED, note="a stored content is lost", cause=DeadCause.HUB)
    if isinstance(error, MixedUp):
        return Outcome(kind=OutcomeKind.REFUSED, note="stored content does not match", cause=DeadCause.HUB)
    return Outcome(kind=OutcomeKind.UNREACHABLE, note=f"content not readable: {error.slug}", cause=DeadCause.HUB)


def checked(package: Package, sealed: Sealed) -> Iterator[bytes]:
    """Yield a content's chunks, never more than its size; raise at the end if they are not what the submission names.

    Raises:
        MixedUp: another content, or (Lost) none. Unavailable: the store cannot be read now.
    """
    digest, left = hashlib.sha512(), sealed.size
    for chunk in Reading(package.read).chunks(sealed):
        digest.update(chunk)
        left -= len(chunk)
        if left < 0:
            raise MixedUp
        yield chunk
    if digest.hexdigest() != sealed.sha512:
        raise MixedUp


def whole(package: Package, sealed: Sealed) -> bytes:
    """Return a content at once; errors as :func:`checked`."""
    return b"".join(checked(package, sealed))


def file_name(part: str, *, form: Form = Form.JOSE) -> str:
    """Return the relative file name of a part: ``metadata.jwe``, ``data.jwe``, ``attachments/<uuid>.jwe``; CMS: ``.p7m``."""
    kind, _colon, attachment_id = part.partition(":")
    return f"attachments/{attachment_id}{_SUFFIXES[form]}" if attachment_id else f"{kind}{_SUFFIXES[form]}"


def side_by_side(package: Package, name: str) -> str:
    """Return the name of a file where all deliveries share one folder: ``<delivery id>.attachments.<uuid>.jwe``."""
    return f"{package.delivery_id}.{name.replace('/', '.')}"


def manifest(
    package: Package,
    *,
    version: int = 1,
    linked: frozenset[UUID] = frozenset(),
    terse: bool = False,
    flat: bool = False,
) -> bytes:
    """Return the manifest of a delivery in files, as indented JSON; ``version`` is that of :func:`message`.

    ``flat``: files are named as :func:`side_by_side` does.

    Attachments in ``linked`` are not delivered but offered: they stand under ``links`` with URL, hash and size. A ``terse``
    one is for ways on which others may read along: ids, hashes and sizes, but neither service nor proof.

    Raises:
        Unavailable: what proves the submission contradicts itself, or the store cannot be read now.
    """
    files, links = {}, []
    form = package.submission.contents.form
    for part, sealed in package.submission.contents.parts():
        facts = {"sha512": sealed.sha512, "size": sealed.size}
        attachment_id = part.partition(":")[2]
        if attachment_id and UUID(attachment_id) in linked:
            links.append({"attachmentId": attachment_id, **facts, "url": link(package, UUID(attachment_id))})
        else:
            name = file_name(part, form=form)
            files[side_by_side(package, name) if flat else name] = facts
    document = {**(_ids(package, 1) if terse else _head(package, version)), "files": files} | (
        {"links": links} if links else {}
    )
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def message(package: Package, inline_limit: int, *, version: int = 1) -> bytes:
    """Return the JSON envelope of a pushed delivery; attachments that would take it past ``inline_limit`` bytes go by URL.

    In ``version`` 1 the case's log proves it, as signed tokens (``eventLog``). In version 2 the receipt does (``receipt``),
    with the log's entries from the submission's create event to its submit event (``log``: ``entries`` are strings, each
    hashed as it stands behind the one before; ``previous`` is the hash before the first).

    Raises:
        MixedUp: a stored content is another one. Unavailable: the store cannot be read now, or what proves the submission
            contradicts itself.
    """
    contents = package.submission.contents
    linked = linked_attachments(package, inline_limit)
    attachments: list[dict[str, Any]] = []
    for attachment_id, sealed in contents.attachments.items():
        entry: dict[str, Any] = {"attachmentId": attachment_id, "sha512": sealed.sha512, "size": sealed.size}
        if attachment_id in linked:
            entry["url"] = link(package, attachment_id)
        else:
            entry["jwe"] = whole(package, sealed).decode("ascii")
        attachments.append(entry)
    document = {
        **_head(package, version),
        "encryptedMetadata": whole(package, contents.metadata).decode("ascii"),
        "encryptedData": None if contents.data is None else whole(package, contents.data).decode("ascii"),
        "attachments": attachments,
    }
    return orjson.dumps(document)


def linked_attachments(package: Package, inline_limit: int) -> frozenset[UUID]:
    """Return the attachments that do not fit into ``inline_limit`` bytes together with the rest, in their order."""
    contents = package.submission.contents
    room = inline_limit - contents.metadata.size - (contents.data.size if contents.data else 0)
    linked = set()
    for attachment_id, sealed in contents.attachments.items():
        if sealed.size <= room:
            room -= sealed.size
        else:
            linked.add(attachment_id)
    return frozenset(linked)


def link(package: Package, attachment_id: UUID) -> str:
    """Return where the receiver collects an attachment with its own token."""
    path = f"/submission-api/v2/submissions/{package.submission.submission_id}/attachments/{attachment_id}"
    return package.base_url + path


def _ids(package: Package, version: int) -> dict[str, Any]:
    return {
        "version": version,
        "deliveryId": str(package.delivery_id),
        "attempt": package.attempt,
        "repeat": package.repeat,
        "submissionId": str(package.submission.submission_id),
    }


def _head(package: Package, version: int) -> dict[str, Any]:
    submission = package.submission
    return {
        **_ids(package, version),
        "caseId": str(submission.case_id),
        "destinationId": str(submission.destination_id),
        "publicService": {"identifier": submission.service.identifier, "name": submission.service.name},
        "submittedAt": submission.submitted_at.isoformat(),
        **_proof(package, version),
    }


def _proof(package: Package, version: int) -> dict[str, Any]:
    if version == 1:
        return {"eventLog": list(package.event_log)}
    evidence = package.evidence()
    return {"receipt": evidence.receipt, "log": {"previous": evidence.previous, "entries": list(evidence.entries)}}
