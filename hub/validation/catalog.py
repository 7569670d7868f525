"""The schema catalogue: which schemas there are, which one a payload belongs to, and whether it keeps it.

Loaded from folders ``<root>/<standard>/<version>/`` and never changed; a reload is a new catalogue, read when the folders
change, without anybody waiting for it. A check holds the catalogue that it began with, is a pure function of its arguments,
touches no network, and is safe from several threads. What was accepted under a version keeps that version's reference, whatever
becomes of the version later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from hub.errors import ConfigurationError, Refused, Text, UnknownSchema, not_found
from hub.files.watched import WatchedFile, stamp_of
from hub.model import MediaType, SchemaRef
from hub.validation.attachments import JsonAttachmentNames, XmlAttachmentNames
from hub.validation.code_lists import CodeLists
from hub.validation.comparison import Change, differences
from hub.validation.editions import EditionFile, SchemaEntry, fixed_versions, load_version, stated_by
from hub.validation.json.documents import JsonSchema, read_json
from hub.validation.manifest import (
    NAME,
    Edition,
    Manifest,
    SchemaItem,
    SchemaStanding,
    Status,
    read_standings,
)
from hub.validation.manifest import STANDING_NAME as STANDING
from hub.validation.report import MIB, Cause, Check, Limits, Report, Unchecked
from hub.validation.schematron.rules import RULES_LATER, BusinessRules
from hub.validation.xml.documents import (
    XmlDocument,
    in_own_thread,
    is_worn,
    may_instruct,
    note_strange,
    parse_tree,
    read_xml,
)
from hub.validation.xml.xsd import CHOOSES_TYPE, XsdSchema
from hub.validation.xml.xsd11 import Xsd11Schema

#: Known schemas that a refusal lists.
_LISTED = 50
#: The largest document whose codes are looked up: that needs a tree.
CODED_BYTES = 4 * MIB
#: Answers that are remembered: schema, service and root or $schema, by day.
_REMEMBERED = 4096
#: Characters of what a payload says of itself, for an answer to be remembered; no URI or root element is longer.
_LONGEST_MARK = 500
#: Comparisons of two versions that are remembered.
_COMPARISONS = 16


class Superseded(NamedTuple):
    """A version of a standard that ends: the one that took its place ``since``, and its last day; both days inclusive."""

    standard: str
    version: str
    successor: str
    since: date
    until: date


class _Asked(NamedTuple):
    """What a sender said of a payload, and what the payload says of itself (root or ``$schema``)."""

    media_type: MediaType
    schema: str | None
    service: str | None
    on: date
    mark: str | None


class SchemaCatalog:
    """All schemas that the hub knows. Thread-safe."""

    def __init__(
        self,
        entries: Iterable[SchemaEntry],
        *,
        limits: Limits | None = None,
        code_lists: CodeLists | None = None,
        lacks_lists: bool = False,
        list_files: Iterable[EditionFile] = (),
    ) -> None:
        self._limits = limits or Limits()
        self._list_files = tuple(list_files)
        #: Files by what others call them; looked up when somebody asks for one that is no schema's.
        self._called: Mapping[str, EditionFile] | None = None
        self._code_lists = code_lists or CodeLists(())
        self._lacks_lists = lacks_lists
        self._entries = tuple(sorted(entries, key=_age, reverse=True))
        self._by_uri = _index(self._entries, lambda entry: entry.uris)
        self._by_root = _index(self._entries, lambda entry: entry.item.roots)
        self._by_service = _index(self._entries, lambda entry: entry.item.services or ())
        # The catalogue never changes, so neither does an answer; only what was found is remembered.
        self.chosen: dict[_Asked, SchemaEntry] = {}
        self._compared: dict[tuple[str, str, str], tuple[Change, ...]] = {}
        self._comparing = Lock()
        #: By schema, the report of what is in order but for codes of lists that are not known.
        self._lacking: dict[str, Report] = {}
        #: By schema, what its documents state of its version; looked up when two versions know one root.
        self._fixed: dict[str, Collection[tuple[str, str]]] = {}
        require_own_uris(entry.item for entry in self._entries)

    @classmethod
    def load(cls, *roots: Path, limits: Limits | None = None) -> SchemaCatalog:
        """Load every version below the given folders and verify every pinned hash. A missing folder is empty.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        versions = [load_version(folder) for root in roots for folder in _version_folders(root)]
        standings = read_standings(roots)
        # Of one list from two places the one counts that was brought in as a list and not along with schemas.
        known = sorted(versions, key=lambda version: not version.entries)
        code_lists = CodeLists(one for version in known for one in version.code_lists)
        entries = [
            _standing(entry.pinned_with(code_lists.sha256), standings)
            for version in versions
            for entry in version.entries
        ]
        lacks_lists = any(version.lacks_lists for version in versions)
        files = [file for version in versions for file in version.list_files]
        return cls(entries, limits=limits, code_lists=code_lists, lacks_lists=lacks_lists, list_files=files)

    def entries(self) -> tuple[SchemaEntry, ...]:
        """Return every schema, newest version first."""
        return self._entries

    def uris(self) -> tuple[str, ...]:
        """Return every schema's URI, sorted."""
        return tuple(sorted(entry.uri for entry in self._entries))

    def names(self) -> frozenset[str]:
        """Return every URI under which a schema may be named: its own, its aliases, and that of its version."""
        return frozenset(self._by_uri)

    def named(self, uri: str) -> tuple[SchemaEntry, ...]:
        """Return the schemas of a URI, in force or not: one of a URI or alias of its own, all of its version's.

        Raises:
            UnknownSchema: There is none.
        """
        found = self._by_uri.get(uri, ())
        if not found:
            raise self._unknown(_NOT_NAMED, found)
        return found

    def entry(self, uri: str) -> SchemaEntry:
        """Return the schema of a URI or alias, in force or not; of a version's URI the first.

        Raises:
            UnknownSchema: There is none.
        """
        found = self.named(uri)
        return next((entry for entry in found if entry.uri == uri), found[0])

    def serving(self, service: str, *, on: date) -> tuple[SchemaEntry, ...]:
        """Return the schemas in force on a day that were made for a service (URN), the newest first."""
        return tuple(entry for entry in self._by_service.get(service, ()) if entry.manifest.in_force(on))

    def file(self, uri: str, name: str | None = None) -> EditionFile:
        """Return a file by which is judged: of a schema's URI the schema, or the one called ``name`` of those beside it.

        What has a URI of its own without being a schema (a document that schemas import, a code list) is found by that.

        Raises:
            UnknownSchema: Nothing has the URI.
            NotFound: The schema has no such file.
        """
        if uri not in self._by_uri and name is None and (found := self._files_called().get(uri)) is not None:
            return found
        for each in self.entry(uri).files():
            if name in (None, each.name):
                return each
        raise not_found("schema-file-not-found")

    def _files_called(self) -> Mapping[str, EditionFile]:
        if self._called is None:
            of_schemas = (called for entry in self._entries for called in entry.called())
            self._called = {each.uri: each for each in self._list_files if each.uri is not None} | dict(of_schemas)
        return self._called

    def ref(self, uri: str) -> SchemaRef:
        """Return what is recorded for a URI or alias.

        Raises:
            UnknownSchema: There is none.
        """
        return self.entry(uri).ref

    def superseded(self, uri: str, on: date) -> Superseded | None:
        """Return when the version of a schema ends and which one took its place; None while no end, or no other, is known.

        Raises:
            UnknownSchema: There is none.
        """
        ending = self.entry(uri).manifest
        if ending.valid_until is None:
            return None
        others = {entry.manifest.version: entry.manifest for entry in self._entries}.values()
        newer = [
            each
            for each in others
            if each.standard == ending.standard and each.in_force(on) and _lasts_longer(each, ending)
        ]
        if not newer:
            return None
        successor = max(newer, key=lambda each: each.valid_from or date.min)
        since = successor.valid_from or ending.valid_from or ending.valid_until
        return Superseded(
            standard=ending.standard,
            version=ending.version,
            successor=successor.version,
            since=since,
            until=ending.valid_until,
        )

    def diff(self, standard: str, old: str, new: str) -> tuple[Change, ...]:
        """Return what a sender of a standard must and may change from one version to another.

        Raises:
            UnknownSchema: One of the versions is not in the catalogue.
        """
        versions = [self._version(standard, version) for version in (old, new)]
        asked = (standard, old, new)
        # One at a time: whoever asks for the same meanwhile waits for the answer and does not work it out again.
        with self._comparing:
            found = self._compared.get(asked)
            if found is None:
                before, after = ([entry.judge.outline() for entry in entries] for entries in versions)
                found = differences(before, after)
                if len(self._compared) >= _COMPARISONS:
                    self._compared.pop(next(iter(self._compared)))
                self._compared[asked] = found
        return found

    def as_if_in_force(self, standard: str, version: str) -> SchemaCatalog:
        """Return a catalogue of one version alone that takes payloads on any day, for those who try it before or after.

        Raises:
            UnknownSchema: The version is not in the catalogue.
        """
        entries = [
            replace(entry, manifest=replace(entry.manifest, status=Status.VALID, valid_from=None, valid_until=None))
            for entry in self._version(standard, version)
        ]
        return SchemaCatalog(entries, limits=self._limits, code_lists=self._code_lists, lacks_lists=self._lacks_lists)

    def _version(self, standard: str, version: str) -> list[SchemaEntry]:
        wanted = (standard, version)
        found = [entry for entry in self._entries if (entry.manifest.standard, entry.manifest.version) == wanted]
        if not found:
            raise self._unknown(_NO_VERSION, (entry for entry in self._entries if entry.manifest.standard == standard))
        return found

    def find(
        self, *, media_type: MediaType, data: bytes, schema: str | None, service: str | None, on: date
    ) -> SchemaEntry:
        """Return a payload's schema: XML by its root, JSON by ``$schema``, else the service's only one.

        Raises:
            Malformed: The payload cannot be read.
            TooLarge: The payload is over a cap.
            UnknownSchema: No schema in force fits, or more than one.
        """
        document = self._read(media_type, data)
        return self._choose(_Asked(media_type, schema, service, on, _mark(document)), document)

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
        """Check a payload against its schema; a report that is not ``valid`` names every violation.

        ``sent`` are the file names of the attachments that came with it, None where none can come.

        Raises:
            Malformed: The payload cannot be read.
            TooLarge: The payload is over a cap.
            UnknownSchema: No schema in force fits, or more than one.
        """
        if media_type is not MediaType.XML:
            return self._check_json(data, schema, service, on, sent)
        if len(data) > self._limits.tree_bytes or is_worn():
            return in_own_thread(lambda: self._check_xml(data, schema, service, on, sent))
        try:
            report = self._check_xml(data, schema, service, on, sent)
        except Refused:
            note_strange(len(data))
            raise
        # What keeps its schema has the schema's names, processing instructions aside.
        if report.violations or may_instruct(data):
            note_strange(len(data))
        return report

    def _check_xml(
        self, data: bytes, schema: str | None, service: str | None, on: date, sent: Collection[str] | None
    ) -> Report:
        document = read_xml(data, self._limits)
        entry = self._choose(_Asked(MediaType.XML, schema, service, on, document.root), document)
        judge = entry.judge
        assert not isinstance(judge, JsonSchema)  # noqa: S101  # Only schemas of the asked media type are chosen.
        report = self._xml_report(entry, judge, document)
        if entry.rules is not None:
            report = self._with_rules(report, entry.rules, judge, document)
        if not isinstance(entry.named, XmlAttachmentNames):
            return report
        return entry.named.judged(report, document, words=judge.words, sent=sent, limits=self._limits)

    def _check_json(
        self, data: bytes, schema: str | None, service: str | None, on: date, sent: Collection[str] | None
    ) -> Report:
        document = read_json(data, self._limits)
        entry = self._choose(_Asked(MediaType.JSON, schema, service, on, _mark(document)), document)
        assert isinstance(entry.judge, JsonSchema)  # noqa: S101  # As above.
        violations, total, remarks = entry.judge.check(document, data, self._limits)
        report = entry.clean
        if violations:
            report = Report(schema=entry.ref, violations=violations, total=total, remarks=remarks)
        if not isinstance(entry.named, JsonAttachmentNames):
            return report
        return entry.named.judged(report, document, data, schema=entry.judge, sent=sent, limits=self._limits)

    def _xml_report(self, entry: SchemaEntry, judge: XsdSchema | Xsd11Schema, document: XmlDocument) -> Report:
        found = judge.check(document, self._limits)
        report = entry.clean
        if found.violations or found.notes:
            report = Report(
                schema=entry.ref,
                violations=found.violations,
                total=found.total,
                remarks=found.notes,
                namespaces=found.namespaces,
            )
        if found.unjudged or not found.whole:
            report = replace(report, unchecked=(_NOT_DECLARED if found.whole else _STOPPED,))
        if not entry.coded and b"listURI" not in document.data:
            return report
        typed = found.typed and (found.unjudged > 0 or CHOOSES_TYPE in document.data)
        return self._with_codes(report, entry, judge, document, typed=typed)

    def _with_codes(
        self,
        report: Report,
        entry: SchemaEntry,
        judge: XsdSchema | Xsd11Schema,
        document: XmlDocument,
        *,
        typed: bool,
    ) -> Report:
        if document.tree is None and len(document.data) > CODED_BYTES:
            return replace(report, unchecked=(*report.unchecked, _CODES_NOT_CHECKED))
        tree = parse_tree(document.data) if document.tree is None else document.tree
        words = judge.words()
        codes = judge.codes(tree, typed=typed)
        wrong, judged = self._code_lists.check(codes, words, cap=self._limits.violations)
        if not judged:
            why = _LIST_MISSING if self._lacks_lists else _LISTS_NOT_KNOWN
            if report is entry.clean:
                # The commonest report of all where a list lacks: made once.
                report = self._lacking.get(entry.uri) or replace(report, unchecked=(why,))
                self._lacking[entry.uri] = report
            else:
                report = replace(report, unchecked=(*report.unchecked, why))
        if not wrong:
            return report
        return replace(report, namespaces=words.namespaces).extended(wrong, cap=self._limits.violations)

    def _with_rules(
        self, report: Report, rules: BusinessRules, judge: XsdSchema | Xsd11Schema, document: XmlDocument
    ) -> Report:
        if not report.valid:
            return replace(report, unchecked=(*report.unchecked, RULES_LATER))
        words = judge.words()
        found = rules.check(document, words, self._limits)
        if not found.violations and not found.unchecked:
            return report
        named = replace(report, namespaces=words.namespaces) if found.violations else report
        merged = named.extended(found.violations, cap=self._limits.violations)
        return replace(merged, total=report.total + found.total, unchecked=(*report.unchecked, *found.unchecked))

    def _read(self, media_type: MediaType, data: bytes) -> Any:
        return read_xml(data, self._limits) if media_type is MediaType.XML else read_json(data, self._limits)

    def _choose(self, asked: _Asked, document: Any) -> SchemaEntry:
        chosen = self.chosen.get(asked)
        if chosen is None:
            serving = self._serving(asked)
            chosen = serving[0]
            if len({(entry.manifest.standard, entry.manifest.version) for entry in serving}) > 1:
                # Which version it is, each document says for itself.
                return self._stated(serving, document)
            if len(asked.mark or "") > _LONGEST_MARK:
                return chosen  # A payload may say of itself what it likes, at any length.
            if len(self.chosen) >= _REMEMBERED:
                self.chosen.clear()
            self.chosen[asked] = chosen
        return chosen

    def _serving(self, asked: _Asked) -> list[SchemaEntry]:
        candidates = [entry for entry in self._candidates(asked) if entry.manifest.kind.media_type is asked.media_type]
        if not candidates:
            raise self._unknown(_NOT_NAMED if asked.schema else _NOT_FOUND, ())
        in_force = [entry for entry in candidates if entry.manifest.in_force(asked.on)]
        if not in_force:
            raise self._unknown(_not_in_force(candidates[0]), candidates)
        serving = [entry for entry in in_force if entry.serves(asked.service)]
        if not serving:
            raise self._of_another_service(asked)
        if not asked.mark and len(serving) > 1:
            raise self._unknown(_AMBIGUOUS, serving)
        return serving

    def _stated(self, serving: list[SchemaEntry], document: Any) -> SchemaEntry:
        """Return the entry of the version that a document states; where none can be stated, of the one that followed last."""
        if not isinstance(document, XmlDocument):
            return serving[0]
        fixed = [self._fixed_versions(entry) for entry in serving]
        stated = stated_by(document, (place for entry in serving for place in entry.item.states))
        fitting = [
            entry for entry, values in zip(serving, fixed, strict=True) if stated.fits(entry.item.states, values)
        ]
        if len({entry.manifest.version for entry in fitting}) == 1:
            return fitting[0]
        begun = {entry.manifest.version: entry.manifest.valid_from or date.min for entry in serving}
        last = max(begun.values())
        nothing = not any(fixed) and not any(entry.item.states for entry in serving)
        if nothing and list(begun.values()).count(last) == 1:
            return serving[0]
        raise self._unknown(_SEVERAL_VERSIONS, fitting or serving)

    def _fixed_versions(self, entry: SchemaEntry) -> Collection[tuple[str, str]]:
        if entry.uri not in self._fixed:
            judge = entry.judge
            self._fixed[entry.uri] = frozenset() if isinstance(judge, JsonSchema) else fixed_versions(judge.source)
        return self._fixed[entry.uri]

    def _candidates(self, asked: _Asked) -> Iterable[SchemaEntry]:
        if asked.schema is not None:
            named = self._by_uri.get(asked.schema, ())
            of_mark = [entry for entry in named if asked.mark in (*entry.item.roots, entry.uri, *entry.item.aliases)]
            # A named schema whose roots are others still judges: its report says which root it wants.
            return of_mark or named
        if asked.media_type is MediaType.XML:
            return self._by_root.get(asked.mark or "", ())
        if asked.mark is not None:
            return self._by_uri.get(asked.mark, ())
        return self._by_service.get(asked.service or "", ())

    def _of_another_service(self, asked: _Asked) -> UnknownSchema:
        """Return the refusal of a schema that the service does not take, with those that it does."""
        taken = list(self.serving(asked.service or "", on=asked.on))
        if taken:
            return self._unknown(_WRONG_SERVICE, taken)
        return UnknownSchema(_SERVICE_WITHOUT_SCHEMA, known=[])

    def _unknown(self, detail: Text, near: Iterable[SchemaEntry]) -> UnknownSchema:
        listed = [entry.uri for entry in near] or list(self.uris())
        return UnknownSchema(detail, known=sorted(set(listed))[:_LISTED])


def _version_folders(root: Path) -> list[Path]:
    """Return the folders of all versions, those included whose manifest is gone: a version does not end that way."""
    found = (path for path in root.glob("*/*") if not path.parent.name.startswith(".") and path.is_dir())
    return sorted(path for path in found if (path / NAME).exists() or any(path.iterdir()))


def _standing(entry: SchemaEntry, standings: Mapping[Edition, SchemaStanding]) -> SchemaEntry:
    """Return the entry as operators decided on its version, if they did."""
    decided = standings.get((entry.manifest.standard, entry.manifest.version))
    return entry if decided is None else replace(entry, manifest=decided.over(entry.manifest))


def _mark(document: Any) -> str | None:
    """Return what a payload says of its schema: the XML root, or the JSON member ``$schema``."""
    if isinstance(document, XmlDocument):
        return document.root
    named = document.get("$schema") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None


def _lasts_longer(manifest: Manifest, than: Manifest) -> bool:
    return manifest.version != than.version and (manifest.valid_until or date.max) > (than.valid_until or date.max)


def _age(entry: SchemaEntry) -> tuple[date, tuple[int, ...], str]:
    numbers = tuple(int(part) for part in entry.manifest.version.split(".") if part.isdecimal())
    return entry.manifest.valid_from or date.min, numbers, entry.uri


def _index(entries: Iterable[SchemaEntry], keys: Any) -> Mapping[str, tuple[SchemaEntry, ...]]:
    index: dict[str, tuple[SchemaEntry, ...]] = {}
    for entry in entries:
        for key in keys(entry):
            index[key] = (*index.get(key, ()), entry)
    return index


def require_own_uris(items: Iterable[SchemaItem]) -> None:
    """Raise ``ConfigurationError`` where two schemas have one URI."""
    seen: set[str] = set()
    for item in items:
        for uri in (item.uri, *item.aliases):
            if uri in seen:
                raise ConfigurationError(
                    Text(f"Zwei Schemata haben die URI {uri}.", f"Two schemas have the URI {uri}."), uri=uri
                )
            seen.add(uri)


def _not_in_force(entry: SchemaEntry) -> Text:
    manifest = entry.manifest
    if manifest.status is Status.WITHDRAWN:
        return Text(
            f"{manifest.standard} {manifest.version} ist zurückgezogen. Senden Sie eine gültige Fassung.",
            f"{manifest.standard} {manifest.version} is withdrawn. Send a version in force.",
        )
    begin, end = manifest.valid_from or "…", manifest.valid_until or "…"
    return Text(
        f"{manifest.standard} {manifest.version} gilt heute nicht (gültig {begin} bis {end}). "
        "Senden Sie eine gültige Fassung.",
        f"{manifest.standard} {manifest.version} is not in force today (valid {begin} to {end}). "
        "Send a version in force.",
    )


_NOT_DECLARED = Unchecked(
    check=Check.SCHEMA,
    cause=Cause.NOT_DECLARED,
    text=Text(
        "Das Dokument enthält Elemente oder Attribute, die das Schema an ihrer Stelle zulässt, aber nicht beschreibt; sie "
        "wurden nicht geprüft.",
        "The document holds elements or attributes that the schema lets in where they stand and does not describe; they were "
        "not checked.",
    ),
)
_STOPPED = Unchecked(
    check=Check.SCHEMA,
    cause=Cause.SCHEMA_BROKEN,
    text=Text(
        "Was in einem Element am falschen Platz oder dahinter steht, wurde nicht geprüft. Verbessern Sie, was der Bericht "
        "nennt, und prüfen Sie noch einmal.",
        "What stands in an element out of place, or behind it, was not checked. Mend what the report names, and check again.",
    ),
)
_CODES_NOT_CHECKED = Unchecked(
    check=Check.CODE_LISTS,
    cause=Cause.TOO_LARGE,
    text=Text(
        "Das Dokument ist zu groß, um seine Codes gegen die Codelisten zu prüfen; das Schema wurde geprüft.",
        "The document is too large to check its codes against the code lists; the schema was checked.",
    ),
)
_LIST_MISSING = Unchecked(
    check=Check.CODE_LISTS,
    cause=Cause.NOT_INSTALLED,
    text=Text(
        "Das Dokument nennt eine Codeliste, die hier fehlt: an ihrer Stelle stand in einem Paket eine Fehlermeldung. Ihre "
        "Codes wurden nicht geprüft.",
        "The document names a code list that is missing here: a package held an error message in its place. Its codes were "
        "not checked.",
    ),
)
_LISTS_NOT_KNOWN = Unchecked(
    check=Check.CODE_LISTS,
    cause=Cause.NOT_KNOWN,
    text=Text(
        "Zu mindestens einem Code fehlt hier die Codeliste oder ihre genannte Version; solche Codes wurden nicht geprüft. Wer "
        "den Hub betreibt, kann die Listen einbringen.",
        "The code list of at least one code, or its named version, is not known here; such codes were not checked. Whoever "
        "runs the hub can import the lists.",
    ),
)
_NO_VERSION = Text(
    "Diese Version des Standards steht nicht im Katalog. Bringen Sie sie ein, oder nennen Sie eine andere.",
    "This version of the standard is not in the catalogue. Import it, or name another one.",
)
_NOT_NAMED = Text(
    "Das genannte Schema steht nicht im Katalog dieses Medientyps. Nennen Sie eine der bekannten URIs (known).",
    "The schema that you name is not in the catalogue of this media type. Name one of the known URIs (known).",
)
_NOT_FOUND = Text(
    "Zu diesem Dokument ist kein Schema bekannt: weder sein Wurzelelement noch $schema noch die Leistung nennt eines. "
    "Nennen Sie das Schema im Parameter schema.",
    "No schema is known for this document: neither its root element nor $schema nor the service names one. "
    "Name the schema in the parameter schema.",
)
_WRONG_SERVICE = Text(
    "Das Schema dieses Dokuments gehört nicht zu dieser Leistung. „known“ nennt die Schemata, die sie annimmt.",
    "The schema of this document does not belong to this service. 'known' names the schemas that it takes.",
)
_SERVICE_WITHOUT_SCHEMA = Text(
    "Das Schema dieses Dokuments gehört nicht zu dieser Leistung, und der Katalog hat keines für sie. Prüfen Sie die Leistung.",
    "The schema of this document does not belong to this service, and the catalogue holds none for it. Check the service.",
)
_AMBIGUOUS = Text(
    "Zu dieser Leistung gibt es mehrere Schemata. Nennen Sie eines davon in $schema oder im Parameter schema.",
    "There are several schemas for this service. Name one of them in $schema or in the parameter schema.",
)
_SEVERAL_VERSIONS = Text(
    "Mehrere gültige Fassungen kennen dieses Wurzelelement, und das Dokument sagt nicht, welche gemeint ist. Geben Sie seine "
    "Version an, wo das Schema sie vorsieht, oder nennen Sie eine der URIs (known) im Parameter schema.",
    "Several versions in force know this root element, and the document does not say which of them is meant: it is ambiguous. "
    "State its version where the schema has a place for it, or name one of the URIs (known) in the parameter schema.",
)


class CatalogBook(WatchedFile[SchemaCatalog]):
    """Gives the catalogue; it looks at each version's manifest, and at what operators decided on them."""

    def __init__(
        self, *roots: Path, limits: Limits | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Load the catalogue.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        read = partial(SchemaCatalog.load, *roots, limits=limits)
        super().__init__(partial(_stamp, roots), read, what="the catalogue", monotonic=monotonic)


def _stamp(roots: tuple[Path, ...]) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    paths = (path for root in roots for path in [root / STANDING, *sorted(root.glob(f"*/*/{NAME}"))])
    return tuple((str(path), stamp) for path in paths if (stamp := stamp_of(path)) is not None)


__all__ = ["SchemaCatalog", "SchemaEntry", "Superseded"]
