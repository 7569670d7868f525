"""Opening a submission with the municipality's keys, and what is found.

Opening a submission with the municipality's keys and judging what comes out.

(1) metadata: decrypt, read, check against FIT-Connect's metadata schema;
(2) data: decrypt, compare the hash that the metadata name, check against the schema that they name;
(3) attachments: the ones received are the ones named; each is verified whole, then its hash is compared. Only the
    hand-over decrypts them again, from ciphertext that a digest ties to what was verified.

What all parts together inflate to is capped, in sum and against their sealed size, while they inflate: the first piece that
goes beyond ends the looking, and the submission is turned down for its size.

Nothing is written to disk here. Every problem is collected, not only the first; a broken (1) leaves nothing to look at.

What opening a submission found: nothing wrong, or problems in FIT-Connect's words.

Problems go to the sender in a reject event and into the journal, so their details are built from rules and never repeat
a value of the payload.

The municipality's private keys, read once at the start (a check of an RSA-4096 key costs about 0.3 s).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from uuid import UUID

import orjson

from hub.client.verification import Problem
from hub.connector.envelope import Envelope, read_file
from hub.connector.settings import LONGEST_SECRET, Address, Inflation
from hub.crypto import DecryptionKey, JweReader, SigningKey, decrypt, read_decryption_key, read_signing_key
from hub.crypto.key_file import LARGEST, read_private
from hub.errors import ConfigurationError, HubError, KeyRefused, Malformed, SealBroken, Text, TooLarge, UnknownSchema
from hub.files import vault
from hub.files.settings import unusable_all
from hub.model import MediaType, suffix_of
from hub.validation.report import Report
from hub.web.filenames import safe_name, unique_names

if TYPE_CHECKING:
    from hub.validation.editions import SchemaEntry

K = TypeVar("K")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Every problem found; ``tags`` are the authentication tags of what was opened, to be confirmed on acceptance."""

    problems: tuple[Problem, ...] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def acceptable(self) -> bool:
        """Whether nothing stands against acceptance."""
        return not self.problems

    def as_event(self, *, accept: bool) -> Mapping[str, Any]:
        """Return the payload of the event that accepts or rejects (FIT-Connect, sections 9.2 and 9.6)."""
        if accept:
            return {"authenticationTags": dict(self.tags)}
        return {"problems": [problem.as_event() for problem in self.problems]}

    def dumps(self) -> str:
        """Return the verdict for the journal."""
        problems = [
            {"slug": problem.slug, "instance": problem.instance, "detail": problem.detail} for problem in self.problems
        ]
        return orjson.dumps({"problems": problems, "tags": dict(self.tags)}).decode()

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a verdict back from the journal."""
        document = orjson.loads(text)
        return cls(problems=tuple(Problem(**problem) for problem in document["problems"]), tags=document["tags"])


_METADATA_SCHEMA = re.compile(r"https://schema\.fitko\.de/fit-connect/metadata/([12])\.\d+\.\d+/metadata\.schema\.json")
_HASH = re.compile(r"[a-f0-9]{128}")
_MIME_TYPE = re.compile(r"[-\w.]+/[-\w.+]+", re.ASCII)
#: Bytes of plaintext; FIT-Connect allows 500 MB an attachment.
_LARGEST_METADATA = 4 * 1024 * 1024
_LARGEST_DATA = 128 * 1024 * 1024
_LARGEST_ATTACHMENT = 512 * 1024 * 1024
#: Violations that a problem's detail lists.
_LISTED = 5

Chunks = Callable[[], Iterator[bytes]]


class Catalog(Protocol):
    """What is needed of :class:`hub.validation.catalog.SchemaCatalog`."""

    def check(
        self,
        *,
        media_type: MediaType,
        data: bytes,
        schema: str | None,
        service: str | None,
        on: date,
        sent: Collection[str] | None = None,
    ) -> Report:
        """Check a payload against its schema."""
        ...

    def entry(self, uri: str) -> SchemaEntry:
        """Return the schema of a URI."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DecryptedAttachment:
    """One verified attachment; ``chunks`` decrypts it anew at each call. ``file_name`` is safe and unique."""

    attachment_id: UUID
    file_name: str
    mime_type: str
    purpose: str
    sha512: str
    size: int
    chunks: Chunks = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSubmission:
    """A submission in plaintext: metadata and data in memory, attachments as streams; never stored by the connector.

    ``report`` is what checking the data found, None if their schema is not in the catalogue here.
    """

    envelope: Envelope = field(repr=False)
    metadata: bytes = field(repr=False)
    data: bytes | None = field(repr=False)
    media_type: MediaType
    schema_uri: str
    attachments: tuple[DecryptedAttachment, ...]
    report: Report | None
    #: What a scan for malware found, as reports say it; None where nobody scans.
    scan: Mapping[str, Any] | None = None


class Opener:
    """Opens envelopes of one destination."""

    def __init__(self, keys: Sequence[DecryptionKey], catalog: Catalog, inflation: Inflation) -> None:
        self._keys = keys
        self._catalog = catalog
        self._inflation = inflation

    def open(self, envelope: Envelope, on: date) -> tuple[OpenedSubmission | None, list[Problem]]:
        """Open and judge; ``on`` is the day of submission, whose schema versions count.

        Problems may come with an opened submission: then only the data's schema is violated.
        """
        problems: list[Problem] = []
        room = _Room(self._inflation.most(_sealed_size(envelope)))
        try:
            metadata = self._decrypt(envelope.metadata, "metadata", _LARGEST_METADATA, room)
            document = self._read_metadata(metadata, on)
        except _Found as found:
            return None, [found.problem]
        data, report = self._checked(envelope, document, room, on, problems)
        attachments = self._attachments(envelope, document, problems, room)
        if problems:
            return None, problems
        schema_uri, media_type = _schema_of(document["contentStructure"].get("data") or {})
        opened = OpenedSubmission(
            envelope=envelope,
            metadata=metadata,
            data=data,
            media_type=MediaType(media_type),
            schema_uri=schema_uri,
            attachments=attachments,
            report=report,
        )
        return opened, _violations(report, "data")

    def _checked(
        self, envelope: Envelope, document: Mapping[str, Any], room: _Room, on: date, problems: list[Problem]
    ) -> tuple[bytes | None, Report | None]:
        data, report = None, None
        try:
            data = self._data(envelope, document, room)
            report = self._check_data(document, data, on)
        except _Found as found:
            problems.append(found.problem)
        return data, report

    def _decrypt(self, jwe: str, name: str, largest: int, room: _Room) -> bytes:
        try:
            content = decrypt(jwe.encode("ascii"), self._keys, max_output=room.cap(largest))
        except TooLarge as exc:
            raise room.refusal(largest, _Found("encryption-issue", name, exc)) from exc
        except SealBroken as exc:
            raise _Found("encryption-issue", name, exc) from exc
        room.take(len(content))
        return content

    def _read_metadata(self, metadata: bytes, on: date) -> Mapping[str, Any]:
        try:
            document = orjson.loads(metadata)
        except orjson.JSONDecodeError as exc:
            raise _Found("syntax-violation", "metadata", "The metadata are not JSON.") from exc
        schema = document.get("$schema") if isinstance(document, dict) else None
        if schema is None:
            raise _Found("missing-schema", "metadata", "The metadata name no schema.")
        if not isinstance(schema, str) or not _METADATA_SCHEMA.fullmatch(schema):
            raise _Found("unsupported-schema", "metadata", "The metadata follow a schema that is not supported here.")
        report = self._check(MediaType.JSON, _without_empty_fragments(document, metadata), schema, on, "metadata")
        for problem in _violations(report, "metadata"):
            raise _Found(problem.slug, problem.instance, problem.detail)
        return require_structure(document)

    def _data(self, envelope: Envelope, document: Mapping[str, Any], room: _Room) -> bytes | None:
        described = document["contentStructure"].get("data")
        if envelope.data is None or described is None:
            # "data" may also travel as an attachment of that purpose; then both sides have to agree that it does.
            if envelope.data is None and any(item["purpose"] == "data" for item in _listed(document)):
                return None
            raise _Found("missing-data", "data", "The submission has no data, or the metadata do not describe them.")
        data = self._decrypt(envelope.data, "data", _LARGEST_DATA, room)
        if hashlib.sha512(data).hexdigest() != described["hash"]["content"]:
            raise _Found("hash-mismatch", "data", "The data do not have the hash that the metadata name.")
        return data

    def _check_data(self, document: Mapping[str, Any], data: bytes | None, on: date) -> Report | None:
        if data is None:
            return None
        schema, media_type = _schema_of(document["contentStructure"]["data"])
        names = [str(item["filename"]) for item in _listed(document) if item.get("filename")]
        return self._check(MediaType(media_type), data, schema, on, "data", sent=names)

    def _check(
        self,
        media_type: MediaType,
        data: bytes,
        schema: str,
        on: date,
        name: str,
        *,
        sent: Collection[str] | None = None,
    ) -> Report | None:
        """Check against a schema of the catalogue; None if it is not in there: that is no fault of the sender."""
        try:
            return self._catalog.check(media_type=media_type, data=data, schema=schema, service=None, on=on, sent=sent)
        except UnknownSchema:
            return None
        except (Malformed, TooLarge) as exc:
            raise _Found("syntax-violation", name, exc) from exc

    def _attachments(
        self, envelope: Envelope, document: Mapping[str, Any], problems: list[Problem], room: _Room
    ) -> tuple[DecryptedAttachment, ...]:
        listed = _listed(document)
        named = [UUID(one) for item in listed for one in _pieces(item)]
        if len(set(named)) != len(named) or set(envelope.attachments) - set(named):
            problems.append(
                _Found("attachments-mismatch", "submission", "Attachments differ from the metadata.").problem
            )
            return ()
        wishes = [safe_name(item.get("filename"), _nameless(item)) for item in listed]
        opened = []
        for item, name in zip(listed, unique_names(wishes), strict=True):
            if room.is_full:
                break  # It is told already; each further part would only take time.
            try:
                opened.append(self._attachment(envelope, item, name, room))
            except _Found as found:
                problems.append(found.problem)
        return tuple(opened)

    def _attachment(
        self, envelope: Envelope, item: Mapping[str, Any], file_name: str, room: _Room
    ) -> DecryptedAttachment:
        instance = f"attachment:{UUID(item['attachmentId'])}"
        paths = [envelope.attachments.get(UUID(one)) for one in _pieces(item)]
        if None in paths:
            raise _Found("missing-attachment", instance, "The attachment is named in the metadata but was not sent.")
        pieces = [path for path in paths if path is not None]
        digest, size = hashlib.sha512(), 0
        for path in pieces:
            for chunk in self._piece(path, instance, room):
                digest.update(chunk)
                size += len(chunk)
        if digest.hexdigest() != item["hash"]["content"]:
            raise _Found("hash-mismatch", instance, "The attachment does not have the hash that the metadata name.")
        return DecryptedAttachment(
            attachment_id=UUID(item["attachmentId"]),
            file_name=file_name,
            mime_type=item["mimeType"],
            purpose=item["purpose"],
            sha512=digest.hexdigest(),
            size=size,
            chunks=partial(self._chunks, pieces),
        )

    def _piece(self, path: Path, instance: str, room: _Room) -> Iterator[bytes]:
        """Yield one piece of an attachment, verified, and count it."""
        most = room.cap(_LARGEST_ATTACHMENT)
        try:
            for chunk in JweReader(partial(read_file, path), self._keys, max_output=most).plaintext():
                room.take(len(chunk))
                yield chunk
        except TooLarge as exc:
            raise room.refusal(_LARGEST_ATTACHMENT, _Found("encryption-issue", instance, exc)) from exc
        except SealBroken as exc:
            raise _Found("encryption-issue", instance, exc) from exc

    def _chunks(self, paths: Sequence[Path]) -> Iterator[bytes]:
        for path in paths:
            yield from JweReader(partial(read_file, path), self._keys, max_output=_LARGEST_ATTACHMENT).plaintext()


class _Found(Exception):  # Never leaves this module: it carries a problem to where they are collected.
    def __init__(self, slug: str, instance: str, detail: str | HubError) -> None:
        super().__init__(slug)
        text = detail if isinstance(detail, str) else detail.detail.en
        self.problem = Problem(slug=slug, instance=instance, detail=text)


class _Room:
    """How much the parts of one submission may still inflate to."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self.is_full = False

    def cap(self, largest: int) -> int:
        """Return how many bytes the next part may hold, which alone may hold ``largest``."""
        return min(largest, self._left)

    def take(self, size: int) -> None:
        """Count what was opened."""
        self._left -= size

    def refusal(self, largest: int, alone: _Found) -> _Found:
        """Return what to say of a part that did not fit: ``alone`` where it is too large by itself."""
        if self._left >= largest:
            return alone
        self.is_full = True
        return _Found(
            "size-limit-exceeded",
            "submission",
            f"The parts of the submission inflate to more than the {self._most} bytes that are taken of their sealed size. "
            "Send them uncompressed, or in several submissions.",
        )


def _sealed_size(envelope: Envelope) -> int:
    """Return the bytes of all parts as they were sealed."""
    whole = len(envelope.metadata) + len(envelope.data or "")
    return whole + sum(path.stat().st_size for path in envelope.attachments.values())


def _violations(report: Report | None, name: str) -> list[Problem]:
    """Return at most one problem that lists the first violations; their texts are built from rules, not from values."""
    if report is None or report.valid:
        return []
    errors = [violation for violation in report.violations if violation.severity == "error"]
    lines = [f"{violation.path}: {violation.text.en}" for violation in errors[:_LISTED]]
    if report.total > _LISTED:
        lines.append(f"… {report.total} violations in all.")
    return [Problem(slug="schema-violation", instance=name, detail=" ".join(lines))]


def _without_empty_fragments(document: Mapping[str, Any], metadata: bytes) -> bytes:
    """Return the metadata to check: an empty list of fragments says what no list says, and the schema refuses it."""
    structure = document.get("contentStructure")
    listed = structure.get("attachments") if isinstance(structure, dict) else None
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    if not any(item.get("fragments") == [] for item in items):
        return metadata
    for item in items:
        if item.get("fragments") == []:
            del item["fragments"]
    return orjson.dumps(document)


def require_structure(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Require what the connector itself reads, whether or not the metadata schema is in the catalogue."""
    structure = document.get("contentStructure")
    if not isinstance(structure, dict) or not isinstance(structure.get("attachments"), list):
        raise _structure("/contentStructure")
    described = structure.get("data")
    if described is not None and not (_has_hash(described) and _has_schema(described)):
        raise _structure("/contentStructure/data")
    for number, item in enumerate(structure["attachments"]):
        if not _has_hash(item) or not _is_attachment(item):
            raise _structure(f"/contentStructure/attachments/{number}")
    return document


def _structure(pointer: str) -> _Found:
    return _Found("schema-violation", "metadata", f"{pointer}: required members are missing or have the wrong form.")


def _has_hash(item: Any) -> bool:
    digest = item.get("hash") if isinstance(item, dict) else None
    content = digest.get("content") if isinstance(digest, dict) and digest.get("type") == "sha512" else None
    return isinstance(content, str) and _HASH.fullmatch(content) is not None


def _has_schema(described: Mapping[str, Any]) -> bool:
    schema = described.get("submissionSchema")
    if not isinstance(schema, dict) or not isinstance(schema.get("schemaUri"), str):
        return False
    return schema.get("mimeType") in {"application/json", "application/xml"}


def _is_attachment(item: Mapping[str, Any]) -> bool:
    fragments, name = item.get("fragments", []), item.get("filename")
    mime_type = item.get("mimeType")
    return (
        all(
            _is_uuid(one) for one in (item.get("attachmentId"), *(fragments if isinstance(fragments, list) else [None]))
        )
        and (name is None or isinstance(name, str))
        and isinstance(item.get("purpose"), str)
        and isinstance(mime_type, str)
        and _MIME_TYPE.fullmatch(mime_type) is not None
    )


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _nameless(item: Mapping[str, Any]) -> str:
    return f"{UUID(item['attachmentId'])}{suffix_of(item['mimeType'])}"


def _listed(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed: list[Mapping[str, Any]] = document["contentStructure"]["attachments"]
    return listed


def _pieces(item: Mapping[str, Any]) -> Sequence[str]:
    """Return the ids that were uploaded for one attachment: its fragments in order, or itself."""
    return item.get("fragments") or [item["attachmentId"]]


def _schema_of(described: Mapping[str, Any]) -> tuple[str, str]:
    schema = described.get("submissionSchema", {})
    return schema.get("schemaUri", ""), schema.get("mimeType", str(MediaType.JSON))


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """The keys of one destination: several to decrypt while keys roll over, one to sign."""

    decryption: tuple[DecryptionKey, ...]
    signing: SigningKey


def load_keys(addresses: Iterable[Address]) -> dict[UUID, Keys]:
    """Read the key files of every destination; ``ConfigurationError`` names all files that cannot be used.

    Destinations may share files; each is read once.
    """
    found: dict[UUID, Keys] = {}
    files = _KeyFiles()
    for address in addresses:
        opening = [files.key(address, path, "encryption", read_decryption_key) for path in address.decryption_key_files]
        signing = files.key(address, address.signing_key_file, "signing", read_signing_key)
        if signing is not None:
            decryption = tuple(key for key in opening if key is not None)
            found[address.destination_id] = Keys(decryption=decryption, signing=signing)
    if files.faults:
        raise unusable_all(files.faults)
    return found


class _KeyFiles:
    """The key files of one reading, each judged once, and what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[Text] = []
        self._read: dict[tuple[object, ...], Any] = {}

    def key(self, address: Address, path: Path, use: str, judge: Callable[[Mapping[str, Any]], K]) -> K | None:
        """Return one key, judged; None where it cannot be used, which is noted."""
        known = (path, use, address.key_password_file, address.signing_key_id if use == "signing" else "")
        if known not in self._read:
            self._read[known] = _read(address, path, use, judge, self.faults)
        found: K | None = self._read[known]
        return found


def _read(
    address: Address, path: Path, use: str, judge: Callable[[Mapping[str, Any]], K], faults: list[Text]
) -> K | None:
    """Return one key, judged; None where it cannot be used, which is noted."""
    try:
        jwk = read_private(vault.read(path, most=LARGEST), use=use, password=_password(address))
        if use == "signing" and address.signing_key_id:
            jwk |= {"kid": address.signing_key_id}
        return judge(jwk)
    except (OSError, UnicodeDecodeError) as exc:
        why = os.strerror(exc.errno or 0) if isinstance(exc, OSError) else "UTF-8"
        faults.append(Text(f"{path}: ist nicht lesbar ({why}).", f"{path}: cannot be read ({why})."))
    except (KeyRefused, ConfigurationError) as exc:
        faults.append(Text(f"{path}: {exc.detail.de}", f"{path}: {exc.detail.en}"))
    return None


def _password(address: Address) -> bytes | None:
    """Return the password of a destination's key files, None where none is named."""
    file = address.key_password_file
    return None if file is None else vault.read_text(file, most=LONGEST_SECRET).encode("utf-8")
