"""What an adapter is configured with, and what it puts around sealed contents.

Options are strict: read into a frozen dataclass, and a wrong one stops the start. Around the contents come the manifest of a
delivery in files, or the envelope of a pushed one; each content is compared with the hash that the submission names while it is
read: a JWE's tag alone binds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints
from uuid import UUID

import orjson

from hub.errors import ConfigurationError, NotFound, Text, Unavailable
from hub.files import vault
from hub.model.delivery import HTML
from hub.model.submission import DeadCause, Form, Outcome, OutcomeKind, Package, Sealed

T = TypeVar("T")


class OptionRole(StrEnum):
    """What an option is to the secrets beside it: they were entered for an address, and serve no other."""

    #: Says to whom a delivery goes, or by what they are known: host, port, URL, host key, recipient, certificate authority.
    ADDRESS = "address"
    #: Names a file with a secret.
    SECRET = "secret"  # noqa: S105  # a kind of option
    #: Opens a door that is shut otherwise (``allow_…``).
    SWITCH = "switch"
    #: Neither: a timeout, a size, a name at the receiver's. Changing it sends no secret anywhere else.
    PLAIN = "plain"


#: For the ``metadata`` of a field: what an option is, where its name does not say it. Whatever is not declared, and is no
#: ``…_file``, ``…path`` or ``allow_…``, counts as an address, so that an option that somebody forgot is safe.
ADDRESS: Mapping[str, OptionRole] = {"role": OptionRole.ADDRESS}
PLAIN: Mapping[str, OptionRole] = {"role": OptionRole.PLAIN}


def usual_role(name: str) -> OptionRole:
    """Return what an option is whose adapter does not say."""
    if name.startswith("allow_"):
        return OptionRole.SWITCH
    return OptionRole.SECRET if name.endswith(("_file", "path")) else OptionRole.ADDRESS


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """An option as an adapter declares it. ``kind`` is str, int, float or bool; one with ``default`` None may be left out.

    ``is_file``: its value names a file on the hub's machine, whose content is never shown.
    """

    name: str
    kind: type
    required: bool
    default: Any = None
    role: OptionRole = OptionRole.ADDRESS

    @property
    def is_file(self) -> bool:
        """Tell whether it names a file."""
        return self.name.endswith("_file")


def declared(kind: type) -> tuple[Option, ...]:
    """Return the options that the dataclass ``kind`` declares, in its order."""
    types = get_type_hints(kind)
    return tuple(
        Option(
            name=each.name,
            kind=_first_kind(types[each.name]),
            required=each.default is MISSING,
            default=None if each.default is MISSING else each.default,
            role=_role(each),
        )
        for each in fields(kind)
    )


#: Bytes of a file that holds one secret, or a few keys or certificates.
_FILE_LIMIT = 256 * 1024


def read_options(adapter: str, kind: type[T], config: Mapping[str, Any]) -> T:
    """Return ``config`` as the dataclass ``kind``, whose fields are of str, int, float, bool, or one of them or None.

    Raises:
        ConfigurationError: an option that nobody knows, one that is missing, or one of another type.
    """
    known: Mapping[str, Field[Any]] = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    types = get_type_hints(kind)
    faults = {
        ("fehlende", "missing"): [
            name for name, each in known.items() if each.default is MISSING and name not in config
        ],
        ("unbekannte", "unknown"): [name for name in config if name not in known],
        ("falsche", "wrong"): [name for name in config if name in known and not _fits(config[name], types[name])],
    }
    found = {word: ", ".join(sorted(names)) for word, names in faults.items() if names}
    if found:
        raise _wrong_options(adapter, found, known)
    return kind(**config)


def _wrong_options(adapter: str, found: Mapping[tuple[str, str], str], known: Mapping[str, Any]) -> ConfigurationError:
    return unusable(
        adapter,
        f"hat {'; '.join(f'{de} Optionen: {names}' for (de, _), names in found.items())}. "
        f"Bekannt sind: {', '.join(known)}",
        f"has {'; '.join(f'{en} options: {names}' for (_, en), names in found.items())}. Known are: {', '.join(known)}",
    )


def unusable(adapter: str, de: str, en: str) -> ConfigurationError:
    """Return the refusal of an adapter's options; the texts go on from "The adapter NAME" and need no full stop."""
    return ConfigurationError(Text(f"Der Adapter {adapter} {de}.", f"The adapter {adapter} {en}."))


def require(adapter: str, fulfilled: object, de: str, en: str) -> None:
    """Refuse an adapter's options unless ``fulfilled``; texts as :func:`unusable`."""
    if not fulfilled:
        raise unusable(adapter, de, en)


def read_file(adapter: str, option: str, path: str) -> bytes:
    """Return the content of the file that ``option`` names, which holds nothing secret (certificates).

    Raises:
        ConfigurationError: it is missing, unreadable, empty or larger than any key file.
    """
    try:
        with Path(path).open("rb") as file:
            return _judged(adapter, option, file.read(_FILE_LIMIT + 1))
    except OSError as exc:
        raise _bad_file(adapter, option) from exc


def read_private_file(adapter: str, option: str, path: str) -> bytes:
    """Return the content of the file that ``option`` names, which holds a secret or a private key.

    Raises:
        ConfigurationError: as :func:`read_file`, or other accounts can read it.
    """
    try:
        return _judged(adapter, option, vault.read(Path(path), most=_FILE_LIMIT + 1))
    except OSError as exc:
        raise _bad_file(adapter, option) from exc


def require_privacy(path: str | None) -> None:
    """Refuse a file with a secret that a library reads by itself, where other accounts can read it; None passes."""
    if path is not None:
        vault.require_privacy(Path(path))
        vault.require_place(Path(path).parent)


def _judged(adapter: str, option: str, content: bytes) -> bytes:
    if not content.strip() or len(content) > _FILE_LIMIT:
        raise _bad_file(adapter, option)
    return content


def read_secret(adapter: str, option: str, path: str) -> str:
    """Return the one line of text in the file that ``option`` names; errors as :func:`read_private_file`."""
    try:
        secret = read_private_file(adapter, option, path).decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise _bad_file(adapter, option) from exc
    if not secret.isprintable():
        raise _bad_file(adapter, option)
    return secret


def _role(field: Field[Any]) -> OptionRole:
    """Return what a field was declared to be; a switch is one whatever is said of it."""
    usual = usual_role(field.name)
    return usual if usual is OptionRole.SWITCH else field.metadata.get("role", usual)


def _first_kind(kind: Any) -> type:
    """Return what a value is if it is not None."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    found: type = next(each for each in kinds if each is not NoneType)
    return found


def _fits(value: object, kind: Any) -> bool:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if isinstance(value, bool):  # To Python a bool is a number; to whoever wrote the option it is not.
        return bool in kinds
    if float in kinds and isinstance(value, int):
        return True
    return isinstance(value, tuple(kinds)) or (value is None and NoneType in kinds)


def _bad_file(adapter: str, option: str) -> ConfigurationError:
    return unusable(
        adapter,
        f"kann die Datei der Option {option} nicht verwenden: Sie muss lesbar, nicht leer und kleiner als 256 KiB sein",
        f"cannot use the file of the option {option}: it must be readable, not empty and smaller than 256 KiB",
    )


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


def require_readable(adapter: str, form: str) -> None:
    """Refuse an option ``readable`` that names no form in which a page for people can be sealed in."""
    require(adapter, form in {"", HTML}, f"kennt in readable nur {HTML}", f"knows only {HTML} in readable")


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
