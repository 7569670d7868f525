"""What is said of one version of a standard: by its manifest, and by operators afterwards.

``catalog.yaml``: what one version of one standard is, where it comes from, and what its files must hash to.

Keys are strict: an unknown or missing key stops the start. Paths are relative to the manifest's folder and never
leave it.

What operators decided on versions after they came in: announced, valid from and until, withdrawn.

The manifest of a version stays as it was imported, and versions that ship with the hub lie where nobody writes; so these
decisions stand in one file of their own, ``standing.json`` in the data folder's catalogue, and go over the manifests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import orjson
import yaml

from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.files.strict_yaml import load_yaml
from hub.model import MediaType, as_uri
from hub.validation.attachments import AttachmentPlace, places_from

NAME = "catalog.yaml"
_ELEMENT_PATH = re.compile(r"(?:/(?:\{[^{}]{1,300}\})?[^/{}@\s]{1,200}){1,16}")
_LARGEST = 8 * 1024 * 1024


class Kind(StrEnum):
    """By what a payload is judged."""

    #: XML Schema 1.0, by libxml2.
    XSD = "xsd"
    #: XML Schema 1.1, by xmlschema in a process of its own.
    XSD11 = "xsd-1.1"
    #: JSON Schema draft-04, 06, 07, 2019-09 or 2020-12.
    JSON_SCHEMA = "json-schema"

    #: Code lists in Genericode; not a schema of its own, but checked with those that name them.
    CODE_LISTS = "code-lists"

    @property
    def media_type(self) -> MediaType:
        """The media type of what is judged."""
        return MediaType.JSON if self is Kind.JSON_SCHEMA else MediaType.XML


class Status(StrEnum):
    """Where a version stands in its life."""

    #: Published, not yet in force: payloads are refused.
    ANNOUNCED = "announced"
    #: In force between its dates.
    VALID = "valid"
    #: No longer taken; what was accepted stays accepted.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaItem:
    """One schema of a version. ``services`` None: any service, where a payload or request names it; empty: no service at all.

    ``closure`` is the file and everything that it includes, imports or refers to; ``sha256`` pins it, with the business rules
    and the table of identifiers of its version.
    """

    uri: str
    file: str
    closure: tuple[str, ...]
    sha256: str
    aliases: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    services: tuple[str, ...] | None = None
    title: str = ""
    #: Of a code list: whether nothing but its codes may be sent.
    closed: bool = True
    #: Where its documents name attachments.
    attachments: tuple[AttachmentPlace, ...] = ()
    #: Elements in which its documents name their version, by path (``/{namespace}message/{namespace}id``), and its values.
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListItem:
    """A code list that came with the schemas of a version: its URI with the version, its file, and whether it is closed."""

    uri: str
    file: str
    closed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRemark:
    """Something that a package, or a file of another kind, says at a place, and that the schema made of it does not."""

    at: str
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One version of one standard. ``files`` maps each file to its SHA-256 (lower-case hex)."""

    standard: str
    version: str
    kind: Kind
    status: Status
    valid_from: date | None
    valid_until: date | None
    provenance: str
    licence: str
    schemas: tuple[SchemaItem, ...]
    files: Mapping[str, str] = field(repr=False)
    uri: str | None = None
    locations: Mapping[str, str] = field(repr=False, default_factory=dict)
    identifiers: str | None = None
    #: Schematron files: business rules for every message of the version.
    rules: tuple[str, ...] = ()
    #: Code lists beside schemas.
    code_lists: tuple[ListItem, ...] = ()
    #: Files of the package that stand for a code list and hold none.
    left_out: tuple[str, ...] = ()
    #: What was not taken over, where the schemas were made of files of another kind.
    remarks: tuple[ImportRemark, ...] = field(default=(), repr=False)

    def judging(self, item: SchemaItem) -> tuple[str, ...]:
        """Return every file that has a say in what a schema accepts: its closure, business rules, table of identifiers."""
        table = (self.identifiers,) if self.identifiers else ()
        return tuple(sorted({*item.closure, *self.rules, *table}))

    def pinned_hash(self, item: SchemaItem) -> str:
        """Return the hash of every file by which a schema judges: what the manifest pins."""
        return closure_hash(self.judging(item), self.files)

    def recorded_hash(self, item: SchemaItem) -> str:
        """Return the hash that is recorded with what was checked: the pinned one, and where attachments are named."""
        files = self.pinned_hash(item)
        if not item.attachments:
            return files
        places = "".join(f"{'required' if each.required else 'named'} {each.at}\n" for each in item.attachments)
        return hashlib.sha256(f"{files} schema\n{places}".encode()).hexdigest()

    def pinned(self) -> Manifest:
        """Return the manifest with the hash of each of its schemas."""
        return replace(self, schemas=tuple(replace(item, sha256=self.pinned_hash(item)) for item in self.schemas))

    def in_force(self, on: date) -> bool:
        """Whether payloads of this version are taken on a day; both dates are inclusive."""
        begun = self.valid_from is None or self.valid_from <= on
        return self.status is Status.VALID and begun and (self.valid_until is None or on <= self.valid_until)


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``folder/catalog.yaml``.

    Raises:
        ConfigurationError: It is missing, too large, not YAML, or has unknown, missing or wrong keys.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > _LARGEST:
            raise _unusable(path, "it is too large")
        document = load_yaml(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise _unusable(path, str(error)) from error
    try:
        return manifest_from(document)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path, str(error)) from error


def with_attachments(manifest: Manifest, content: bytes, name: str) -> Manifest:
    """Return the manifest with what an operator declares in a file of YAML or JSON: for schema files, places of attachments.

    Raises:
        ConfigurationError: The file is neither, names a file that is no schema of the version, or a place is wrong.
    """
    try:
        return replace(manifest, schemas=tuple(_declared(manifest, load_yaml(content)))).pinned()
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise _unusable(Path(name), str(error)) from error


def _declared(manifest: Manifest, document: Any) -> Iterator[SchemaItem]:
    if not isinstance(document, dict) or not all(isinstance(places, list) for places in document.values()):
        raise TypeError("it is no mapping of schema files to lists of places")
    if unknown := sorted(set(map(str, document)) - {item.file for item in manifest.schemas}):
        raise ValueError(f"there is no schema {', '.join(unknown)}")
    for item in manifest.schemas:
        places = document.get(item.file, [])
        _refuse_for_lists(places, manifest.kind)
        yield replace(item, attachments=places_from(places, manifest.kind.media_type))


def _refuse_for_lists(places: list[Any], kind: Kind) -> None:
    if places and kind is Kind.CODE_LISTS:
        raise ValueError("code lists name no attachments")


def write_manifest(manifest: Manifest) -> str:
    """Return the manifest as YAML that :func:`read_manifest` reads back to the same value."""
    document: dict[str, Any] = {
        "standard": manifest.standard,
        "version": manifest.version,
        "kind": str(manifest.kind),
        "status": str(manifest.status),
        "valid_from": manifest.valid_from,
        "valid_until": manifest.valid_until,
        "provenance": manifest.provenance,
        "licence": manifest.licence,
    }
    if manifest.uri is not None:
        document["uri"] = manifest.uri
    if manifest.identifiers is not None:
        document["identifiers"] = manifest.identifiers
    if manifest.rules:
        document["rules"] = list(manifest.rules)
    document["schemas"] = [_item_document(item) for item in manifest.schemas]
    if manifest.code_lists:
        document["code_lists"] = [
            {"uri": each.uri, "file": each.file, **({} if each.closed else {"closed": False})}
            for each in manifest.code_lists
        ]
    if manifest.left_out:
        document["left_out"] = list(manifest.left_out)
    if manifest.remarks:
        document["remarks"] = [{"at": each.at, "de": each.text.de, "en": each.text.en} for each in manifest.remarks]
    if manifest.locations:
        document["locations"] = dict(sorted(manifest.locations.items()))
    document["files"] = dict(sorted(manifest.files.items()))
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)


def closure_hash(closure: Iterable[str], files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the sorted lines ``<sha256> <path>`` of a closure."""
    lines = "".join(f"{files[name]} {name}\n" for name in sorted(closure))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check every file and every closure against its pinned hash.

    Raises:
        ConfigurationError: A file is missing or changed, or a closure's hash is wrong.
    """
    for name in manifest.files:
        read_pinned(folder, manifest, name)
    for item in manifest.schemas:
        # Earlier manifests pinned the closure alone here; each of their files is pinned all the same.
        if item.sha256 not in (manifest.pinned_hash(item), closure_hash(item.closure, manifest.files)):
            raise _unusable(folder / item.file, "the hash of its closure is not the pinned one")


def read_pinned(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Return a file of a version, as it was pinned: nothing is judged by what took its place meanwhile.

    Raises:
        ConfigurationError: It is missing or changed, or cannot be read.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _unusable(folder / name, "it cannot be read") from error
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise _unusable(folder / name, "its content is not the pinned one")
    return content


def manifest_from(document: Any) -> Manifest:
    """Build a manifest from the mapping of its YAML. Raises KeyError, TypeError or ValueError on wrong keys."""
    take = _Taker(document, "manifest")
    kind = Kind(take("kind", str))
    manifest = Manifest(
        standard=take("standard", str),
        version=take("version", str),
        kind=kind,
        status=Status(take("status", str)),
        valid_from=take("valid_from", date, None),
        valid_until=take("valid_until", date, None),
        provenance=take("provenance", str),
        licence=take("licence", str),
        uri=take("uri", str, None),
        identifiers=take("identifiers", str, None),
        rules=tuple(_inside(name) for name in take("rules", list, [])),
        schemas=tuple(_item(item, kind) for item in take("schemas", list)),
        code_lists=tuple(_list_item(item) for item in take("code_lists", list, [])),
        left_out=tuple(str(name) for name in take("left_out", list, [])),
        remarks=tuple(_remark(each) for each in take("remarks", list, [])),
        locations={str(address): _inside(name) for address, name in take("locations", dict, {}).items()},
        files={_inside(name): str(sha256) for name, sha256 in take("files", dict).items()},
    )
    take.finish()
    _require_references(manifest)
    return manifest


def _require_references(manifest: Manifest) -> None:
    named = {name for item in manifest.schemas for name in (item.file, *item.closure)}
    named |= (
        {item.file for item in manifest.code_lists}
        | set(manifest.rules)
        | set(manifest.locations.values())
        | ({manifest.identifiers} if manifest.identifiers else set())
    )
    if missing := sorted(named - set(manifest.files)):
        raise ValueError(f"files lacks {', '.join(missing)}")
    if not manifest.schemas:
        raise ValueError("there is no schema")
    for item in manifest.schemas:
        if item.file not in item.closure:
            raise ValueError(f"the closure of {item.file} does not hold it")


def _item(document: Any, kind: Kind) -> SchemaItem:
    take = _Taker(document, "schema")
    attachments = take("attachments", list, [])
    _refuse_for_lists(attachments, kind)
    services = take("services", list, None)
    # Earlier releases made URIs of file names as they are; stored offers go on naming them so.
    said = take("uri", str)
    uri = as_uri(said)
    item = SchemaItem(
        uri=uri,
        file=_inside(take("file", str)),
        closure=tuple(_inside(name) for name in take("closure", list)),
        sha256=take("sha256", str),
        aliases=(*(() if uri == said else (said,)), *(str(alias) for alias in take("aliases", list, []))),
        roots=tuple(str(root) for root in take("roots", list, [])),
        services=None if services is None else tuple(str(service) for service in services),
        title=take("title", str, ""),
        closed=take("closed", bool, default=True),
        attachments=places_from(attachments, kind.media_type),
        states={_element_path(place): _texts(values) for place, values in take("states", dict, {}).items()},
    )
    take.finish()
    return item


def _element_path(place: Any) -> str:
    if not isinstance(place, str) or not _ELEMENT_PATH.fullmatch(place):
        raise ValueError(
            f"{str(place)[:100]!r} is no path to where a version is stated: it has steps as /{{namespace}}element"
        )
    return place


def _texts(values: Any) -> tuple[str, ...]:
    found = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(each, str) and each for each in found):
        raise TypeError("what states a version is a text or a list of texts")
    return found


def _list_item(document: Any) -> ListItem:
    take = _Taker(document, "code list")
    item = ListItem(uri=take("uri", str), file=_inside(take("file", str)), closed=take("closed", bool, default=True))
    take.finish()
    return item


def _remark(document: Any) -> ImportRemark:
    take = _Taker(document, "remark")
    remark = ImportRemark(at=take("at", str), text=Text(take("de", str), take("en", str)))
    take.finish()
    return remark


def _item_document(item: SchemaItem) -> dict[str, Any]:
    document: dict[str, Any] = {"uri": item.uri}
    if item.title:
        document["title"] = item.title
    if item.aliases:
        document["aliases"] = list(item.aliases)
    document["file"] = item.file
    if item.roots:
        document["roots"] = list(item.roots)
    if not item.closed:
        document["closed"] = False
    if item.services is not None:
        document["services"] = list(item.services)
    if item.states:
        document["states"] = {place: list(values) for place, values in item.states.items()}
    if item.attachments:
        document["attachments"] = [each.as_document() for each in item.attachments]
    return {**document, "sha256": item.sha256, "closure": list(item.closure)}


class _Taker:
    """Takes keys out of a mapping by name and type, and objects to what is left over."""

    _REQUIRED = object()

    def __init__(self, document: Any, what: str) -> None:
        if not isinstance(document, dict):
            raise TypeError(f"{what} is not a mapping")
        self._rest = dict(document)
        self._what = what

    def __call__(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        if key not in self._rest and default is self._REQUIRED:
            raise KeyError(f"{self._what} lacks {key}")
        value = self._rest.pop(key, default)
        if not isinstance(value, kind) and not (value is None and default is None):
            raise TypeError(f"{key} is not of type {kind.__name__}")
        return value

    def finish(self) -> None:
        """Raise ``ValueError`` if keys are left over."""
        if self._rest:
            raise ValueError(f"unknown keys: {', '.join(sorted(map(str, self._rest)))}")


def _inside(name: Any) -> str:
    path = PurePosixPath(str(name))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{name} is not a path below the manifest")
    return str(path)


def _unusable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{path} ist unbrauchbar: {reason}. Prüfen Sie die Datei, oder bringen Sie das Paket neu ein.",
            f"{path} cannot be used: {reason}. Check the file, or import the package again.",
        ),
        file=str(path),
    )


#: Reads one file of a version.
Reader = Callable[[str], bytes]


STANDING_NAME = "standing.json"
_LARGEST_STANDING = 1024 * 1024
_writing = Lock()

#: Standard and version.
Edition = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaStanding:
    """Where a version stands; both dates are inclusive, None is open."""

    status: Status
    valid_from: date | None = None
    valid_until: date | None = None

    def over(self, manifest: Manifest) -> Manifest:
        """Return the manifest with this standing."""
        return replace(manifest, status=self.status, valid_from=self.valid_from, valid_until=self.valid_until)


def read_standings(roots: Iterable[Path]) -> Mapping[Edition, SchemaStanding]:
    """Read the decisions below the given catalogue folders; a missing file holds none.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    found: dict[Edition, SchemaStanding] = {}
    for root in roots:
        path = root / STANDING_NAME
        if path.is_file():
            found |= _read(path)
    return found


def write_standing(root: Path, edition: Edition, standing: SchemaStanding) -> None:
    """Keep a decision; the file is replaced whole, so that nobody reads half of it.

    Raises:
        ConfigurationError: the file that is there cannot be used.
    """
    path = root / STANDING_NAME
    with _writing:
        known = dict(_read(path)) if path.is_file() else {}
        known[edition] = standing
        document = [
            {"standard": standard, "version": version, **_document(each)}
            for (standard, version), each in sorted(known.items())
        ]
        root.mkdir(parents=True, exist_ok=True)
        vault.write(path, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _document(standing: SchemaStanding) -> dict[str, Any]:
    return {"status": standing.status, "valid_from": standing.valid_from, "valid_until": standing.valid_until}


def _read(path: Path) -> dict[Edition, SchemaStanding]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_STANDING)
        return {
            (str(each["standard"]), str(each["version"])): SchemaStanding(
                status=Status(each["status"]),
                valid_from=_day(each["valid_from"]),
                valid_until=_day(each["valid_until"]),
            )
            for each in orjson.loads(content)
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            Text(
                f"{path} ist unbrauchbar. Stellen Sie die Datei aus der Sicherung wieder her.",
                f"{path} cannot be used. Restore the file from the backup.",
            ),
            file=str(path),
        ) from error


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
