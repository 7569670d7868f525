"""The schema catalogue: which schemas there are, which one a payload belongs to, and whether it keeps it.

Loaded once from folders ``<root>/<standard>/<version>/`` and never changed; a reload is a new catalogue. Checking is a
pure function of its arguments, touches no network, and is safe from several threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from hub.errors import ConfigurationError, Refused, Text, UnknownSchema
from hub.model.submission import MediaType, SchemaRef
from hub.validation.attachment_names import JsonAttachmentNames, XmlAttachmentNames
from hub.validation.code_lists import CodeLists
from hub.validation.comparison import Change, differences
from hub.validation.entries import SchemaEntry, load_version
from hub.validation.json.documents import JsonSchema, read_json
from hub.validation.limits import MIB, Limits
from hub.validation.manifest import NAME, SchemaItem, Status
from hub.validation.report import Cause, Check, Report, Unchecked
from hub.validation.schematron.rules import RULES_LATER, BusinessRules
from hub.validation.standing import Edition, Standing, read_standings
from hub.validation.xml.documents import XmlDocument, parse_tree, read_xml
from hub.validation.xml.threads import in_own_thread, is_worn, note_strange
from hub.validation.xml.xsd import XsdSchema
from hub.validation.xml.xsd11 import Xsd11Schema

__all__ = ["SchemaCatalog", "SchemaEntry"]

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
        self, entries: Iterable[SchemaEntry], *, limits: Limits | None = None, code_lists: CodeLists | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._code_lists = code_lists or CodeLists(())
        self._entries = tuple(sorted(entries, key=_age, reverse=True))
        self._by_uri = _index(self._entries, lambda entry: entry.uris)
        self._by_root = _index(self._entries, lambda entry: entry.item.roots)
        self._by_service = _index(self._entries, lambda entry: entry.item.services or ())
        # The catalogue never changes, so neither does an answer; only what was found is remembered.
        self._chosen: dict[_Asked, SchemaEntry] = {}
        self._compared: dict[tuple[str, str, str], tuple[Change, ...]] = {}
        self._comparing = Lock()
        insist_on_own_uris(entry.item for entry in self._entries)

    @classmethod
    def load(cls, *roots: Path, limits: Limits | None = None) -> SchemaCatalog:
        """Load every version below the given folders and verify every pinned hash. A missing folder is empty.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        versions = [load_version(folder) for root in roots for folder in _version_folders(root)]
        standings = read_standings(roots)
        code_lists = CodeLists(one for version in versions for one in version.code_lists)
        entries = [
            _standing(entry.pinned_with(code_lists.sha256), standings)
            for version in versions
            for entry in version.entries
        ]
        return cls(entries, limits=limits, code_lists=code_lists)

    def entries(self) -> tuple[SchemaEntry, ...]:
        """Return every schema, newest version first."""
        return self._entries

    def uris(self) -> tuple[str, ...]:
        """Return every schema's URI, sorted."""
        return tuple(sorted(entry.uri for entry in self._entries))

    def entry(self, uri: str) -> SchemaEntry:
        """Return the schema of a URI or alias, in force or not.

        Raises:
            UnknownSchema: There is none.
        """
        found = self._by_uri.get(uri, ())
        if not found:
            raise self._unknown(_NOT_NAMED, found)
        return found[0]

    def ref(self, uri: str) -> SchemaRef:
        """Return what is recorded for a URI or alias.

        Raises:
            UnknownSchema: There is none.
        """
        return self.entry(uri).ref

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
        return SchemaCatalog(entries, limits=self._limits, code_lists=self._code_lists)

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
        return self._choose(_Asked(media_type, schema, service, on, _mark(document)))

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
        if report.violations or data.find(b"?", data.find(b"?>") + 2) >= 0:
            note_strange(len(data))
        return report

    def _check_xml(
        self, data: bytes, schema: str | None, service: str | None, on: date, sent: Collection[str] | None
    ) -> Report:
        document = read_xml(data, self._limits)
        entry = self._choose(_Asked(MediaType.XML, schema, service, on, document.root))
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
        entry = self._choose(_Asked(MediaType.JSON, schema, service, on, _mark(document)))
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
        if not self._code_lists or b"listURI" not in document.data:
            return report
        words = judge.words()
        if document.tree is None and len(document.data) > CODED_BYTES:
            return replace(report, unchecked=(*report.unchecked, _CODES_NOT_CHECKED))
        tree = parse_tree(document.data) if document.tree is None else document.tree
        wrong = self._code_lists.check(tree, words)
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

    def _choose(self, asked: _Asked) -> SchemaEntry:
        chosen = self._chosen.get(asked)
        if chosen is None:
            chosen = self._chosen_anew(asked)
            if len(asked.mark or "") > _LONGEST_MARK:
                return chosen  # A payload may say of itself what it likes, at any length.
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            self._chosen[asked] = chosen
        return chosen

    def _chosen_anew(self, asked: _Asked) -> SchemaEntry:
        candidates = [entry for entry in self._candidates(asked) if entry.manifest.kind.media_type is asked.media_type]
        if not candidates:
            raise self._unknown(_NOT_NAMED if asked.schema else _NOT_FOUND, ())
        in_force = [entry for entry in candidates if entry.manifest.in_force(asked.on)]
        if not in_force:
            raise self._unknown(_not_in_force(candidates[0]), candidates)
        serving = [entry for entry in in_force if entry.serves(asked.service)]
        if not serving:
            raise self._unknown(_WRONG_SERVICE, in_force)
        if not asked.schema and not asked.mark and len(serving) > 1:
            raise self._unknown(_AMBIGUOUS, serving)
        return serving[0]

    def _candidates(self, asked: _Asked) -> Iterable[SchemaEntry]:
        if asked.schema is not None:
            named = self._by_uri.get(asked.schema, ())
            marked = [entry for entry in named if asked.mark in entry.item.roots]
            # A named schema whose roots are others still judges: its report says which root it wants.
            return marked or named
        if asked.media_type is MediaType.XML:
            return self._by_root.get(asked.mark or "", ())
        if asked.mark is not None:
            return self._by_uri.get(asked.mark, ())
        return self._by_service.get(asked.service or "", ())

    def _unknown(self, detail: Text, near: Iterable[SchemaEntry]) -> UnknownSchema:
        listed = [entry.uri for entry in near] or list(self.uris())
        return UnknownSchema(detail, known=sorted(set(listed))[:_LISTED])


def _version_folders(root: Path) -> list[Path]:
    """Return the folders of all versions, those included whose manifest is gone: a version does not end that way."""
    found = (path for path in root.glob("*/*") if not path.parent.name.startswith(".") and path.is_dir())
    return sorted(path for path in found if (path / NAME).exists() or any(path.iterdir()))


def _standing(entry: SchemaEntry, standings: Mapping[Edition, Standing]) -> SchemaEntry:
    """Return the entry as operators decided on its version, if they did."""
    decided = standings.get((entry.manifest.standard, entry.manifest.version))
    return entry if decided is None else replace(entry, manifest=decided.over(entry.manifest))


def _mark(document: Any) -> str | None:
    """Return what a payload says of its schema: the XML root, or the JSON member ``$schema``."""
    if isinstance(document, XmlDocument):
        return document.root
    named = document.get("$schema") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None


def _age(entry: SchemaEntry) -> tuple[date, tuple[int, ...], str]:
    numbers = tuple(int(part) for part in entry.manifest.version.split(".") if part.isdecimal())
    return entry.manifest.valid_from or date.min, numbers, entry.uri


def _index(entries: Iterable[SchemaEntry], keys: Any) -> Mapping[str, tuple[SchemaEntry, ...]]:
    index: dict[str, tuple[SchemaEntry, ...]] = {}
    for entry in entries:
        for key in keys(entry):
            index[key] = (*index.get(key, ()), entry)
    return index


def insist_on_own_uris(items: Iterable[SchemaItem]) -> None:
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


_CODES_NOT_CHECKED = Unchecked(
    check=Check.CODE_LISTS,
    cause=Cause.TOO_LARGE,
    text=Text(
        "Das Dokument ist zu groß, um seine Codes gegen die Codelisten zu prüfen; das Schema wurde geprüft.",
        "The document is too large to check its codes against the code lists; the schema was checked.",
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
    "Das Schema dieses Dokuments gehört nicht zu dieser Leistung. Prüfen Sie Leistung und Schema.",
    "The schema of this document does not belong to this service. Check service and schema.",
)
_AMBIGUOUS = Text(
    "Zu dieser Leistung gibt es mehrere Schemata. Nennen Sie eines davon in $schema oder im Parameter schema.",
    "There are several schemas for this service. Name one of them in $schema or in the parameter schema.",
)
