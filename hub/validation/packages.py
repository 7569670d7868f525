"""What becomes of a package: which of its files are messages, by which engine they are judged, and a manifest that pins them.

1. The schemas that no other schema of the package includes or imports are its message schemas; their global elements are
   the message roots. A package without any is one of building blocks.
2. Their closures are found locally; what is missing is refused by name.
3. Every pattern is judged, every root compiles, the table of identifiers is derived, and business rules (``*.sch``) are
   translated.

All of it is another's code: :mod:`hub.validation.importing` runs this in a process that may be lost. How packages are read:
:mod:`hub.validation.archives`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import orjson

from hub.errors import ConfigurationError, Text
from hub.model import is_uri
from hub.validation.archives import refuse_odd_names
from hub.validation.closure import Library, LocationList
from hub.validation.code_lists import CodeList, lists_among, read_code_list
from hub.validation.json.documents import addresses, id_of, reached, runs_linearly
from hub.validation.json.documents import compiled as compiled_json
from hub.validation.manifest import NAME, ImportRemark, Kind, ListItem, Manifest, SchemaItem, Status
from hub.validation.schematron.rules import BusinessRules, rule_files
from hub.validation.xml.linear import is_judged_apart
from hub.validation.xml.patterns import refuse_dangerous_patterns
from hub.validation.xml.places import tables_as_json
from hub.validation.xml.prepared import Made
from hub.validation.xml.versions import Mark, mark_of, might_mean_1_1, unjudged_mark_of
from hub.validation.xml.xsd import XSD, XsdSource, compiled, tables_of
from hub.validation.xml.xsd11 import compiled_xsd11

#: The tables of places, called after what the first of them knew.
PLACES = "identifiers.json"
#: Where rules of the operator's own are kept beside a package that stays as it was published.
OWN_RULES = "own-rules/"
#: What stands in a URI as it is (RFC 3986, sections 3.3 and 3.5).
_IN_A_URI = "!$&'()*+,;=:@/?-._~"

#: Is told which file is being judged, before it is.
At = Callable[[str], None]
#: A manifest, and every file that is to stand beside it.
Files = tuple[Manifest, dict[str, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edition:
    """What an operator says of a package: names, dates, and which services its schemas serve (None: any)."""

    standard: str
    version: str
    valid_from: date | None = None
    valid_until: date | None = None
    status: Status = Status.VALID
    services: tuple[str, ...] | None = None
    provenance: str = ""
    licence: str = ""
    #: File name pattern of the message schemas, where the package's own structure does not tell.
    messages: str = "*"
    #: Patterns of URIs and file names of code lists that allow other codes than theirs.
    open_lists: tuple[str, ...] = ()
    #: Business rules of the operator's own, by file name; they judge beside those of the package.
    own_rules: Mapping[str, bytes] = field(default_factory=dict)


def edition_of(package: Mapping[str, bytes], edition: Edition, outside: LocationList | None, at: At) -> Files:
    """Judge a package and return its manifest and every file that is to stand beside it.

    ``at`` is told which file is being judged, before it is.

    Raises:
        ConfigurationError: A reference is unresolved, a schema does not compile, or a pattern is dangerous.
        Malformed: A file of the hub's own or the operator's would stand in the place of one of the package.
    """
    if any(name.lower().endswith(".xsd") for name in package):
        manifest, files = _with_lists(*_xsd_edition(package, edition, outside, at), package, edition)
    elif any(name.lower().endswith(".json") and b"json-schema.org" in content for name, content in package.items()):
        manifest, files = _with_lists(*_json_edition(package, edition, at), package, edition)
    else:
        manifest, files = _code_list_edition(package, edition, at)
    refuse_odd_names([*files, NAME])
    return manifest, files


def _xsd_edition(package: Mapping[str, bytes], edition: Edition, outside: LocationList | None, at: At) -> Files:
    library = Library(package, outside, at)
    entries = _message_schemas(library, edition)
    closures = {name: library.closure(name) for name in entries}
    used = sorted({name for closure in closures.values() for name in closure})
    for name in used:
        at(name)
        refuse_dangerous_patterns([(name, library.tree(name))], apart=is_judged_apart)
    files = {name: library.files[name] for name in used}
    kind = _compiled_kind(entries, closures, library, at)
    if kind is Kind.XSD11:
        # Its engine goes back, and judges every pattern itself.
        refuse_dangerous_patterns((name, library.tree(name)) for name in used)
    tables = place_tables(library, closures)
    if tables is not None:
        files[PLACES] = tables
    rules = {name: package[name] for name in rule_files(package)}
    refuse_odd_names([*rules, *edition.own_rules])
    rules |= _own_rules(edition)
    if rules:
        at(next(iter(rules)))
        BusinessRules(rules).compile()
        files |= rules
    hashes = _hashes(files)
    locations = {address: name for address, name in library.locations.items() if name in files}
    own = version_uri(edition.standard, edition.version)
    base = quote(_version_uri((library.tree(name) for name in used), edition) or own, safe=_IN_A_URI + "%")
    # Official packages have file names with blanks and umlauts (RFC 3986, section 2.1).
    titles = _own_names(entries)
    items = tuple(
        SchemaItem(
            uri=f"{base}#{titles[name].rpartition('.')[0]}",
            file=name,
            closure=closures[name],
            sha256="",
            roots=roots_of(library, name),
            services=edition.services,
        )
        for name in entries
    )
    manifest = _manifest(edition, kind, items, hashes, uri=base)
    return replace(
        manifest,
        locations=locations,
        identifiers=PLACES if tables else None,
        rules=tuple(rules),
        remarks=() if rules else tuple(map(_not_run, filter(_is_stylesheet, sorted(package)))),
    ).pinned(), files


def _is_stylesheet(name: str) -> bool:
    return name.lower().endswith((".xsl", ".xslt"))


def _not_run(name: str) -> ImportRemark:
    """Return that rules which a package holds as XSLT alone judge nothing here."""
    return ImportRemark(
        at=name,
        text=Text(
            "XSLT wird nicht ausgeführt. Sind das Geschäftsregeln, geben Sie ihre Quelle (Schematron) mit --rules an.",
            "XSLT is not run. If these are business rules, give their source (Schematron) by --rules.",
        ),
    )


def _own_rules(edition: Edition) -> Mapping[str, bytes]:
    """Return the operator's own rules; each of them judges or is included by one that does.

    Raises:
        ConfigurationError: One is neither.
    """
    used = rule_files(edition.own_rules)
    for name in edition.own_rules:
        if name not in used:
            raise ConfigurationError(
                Text(
                    f"{PurePosixPath(name).name} ist kein ISO-Schematron und wird von keinem eingebunden. Nennen Sie die "
                    "Datei, die es einbindet.",
                    f"{PurePosixPath(name).name} is no ISO Schematron, and none includes it. Name the file that does.",
                ),
                file=name,
            )
    return edition.own_rules


def _compiled_kind(entries: list[str], closures: Mapping[str, tuple[str, ...]], library: Library, at: At) -> Kind:
    """Compile the message schemas by the engine of their version of XML Schema, and return which one that is."""
    used = sorted({name for closure in closures.values() for name in closure})
    for name in used:
        if (unjudged := unjudged_mark_of(library.tree(name))) is not None:
            raise _unjudged(name, unjudged)
    marks = {name: mark for name in used if (mark := mark_of(library.tree(name))) is not None}
    if not marks:
        made = Made()
        try:
            for name in entries:
                at(name)
                compiled(_source(name, closures[name], library), made)
        except ConfigurationError:
            if not might_mean_1_1(library.tree(name) for name in used):
                raise
        else:
            return Kind.XSD
    try:
        with tempfile.TemporaryDirectory(prefix="hub-schemas-") as scratch:
            write_files(Path(scratch), library.files)
            for name in entries:
                at(name)
                compiled_xsd11(_source(name, closures[name], library), Path(scratch))
    except ConfigurationError as error:
        raise _wrong_by_1_1(error, marks) from error
    return Kind.XSD11


def _unjudged(name: str, mark: Mark) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{name} verwendet in Zeile {mark.line} {mark.name} (XML Schema 1.1), was hier nicht geprüft werden kann. "
            "Bitten Sie den Herausgeber um eine Fassung ohne diese Angabe.",
            f"{name} uses {mark.name} (XML Schema 1.1) in line {mark.line}, which cannot be judged here. Ask the publisher "
            "for an edition without it.",
        ),
        file=name,
        line=mark.line,
    )


def _wrong_by_1_1(error: ConfigurationError, marks: Mapping[str, Mark]) -> ConfigurationError:
    """Return the refusal, and what shows that the schema is to be judged by 1.1."""
    if not marks:
        return error
    name, mark = next(iter(marks.items()))
    return ConfigurationError(
        Text(
            f"{error.detail.de} Es ist in XML Schema 1.1 geschrieben ({mark.name} in {name}, Zeile {mark.line}) und lässt "
            "sich danach nicht übersetzen.",
            f"{error.detail.en} It is written in XML Schema 1.1 ({mark.name} in {name}, line {mark.line}) and does not "
            "compile by it.",
        ),
        **error.members,
    )


def _json_edition(package: Mapping[str, bytes], edition: Edition, at: At) -> Files:
    documents: dict[str, dict[str, Any]] = {}
    for name, data in package.items():
        if name.lower().endswith(".json"):
            at(name)
            if (document := _json_object(name, data)) is not None:
                documents[name] = document
    entries = [name for name in documents if _selected(name, edition) and _is_schema(documents[name])]
    if not entries:
        raise _nothing(edition)
    closures = {name: reached(name, documents) for name in entries}
    used = sorted({name for closure in closures.values() for name in closure})
    for name in used:
        at(name)
        refuse_dangerous_patterns([(name, documents[name])], harmless=runs_linearly)
    titles = _own_names(entries)
    items = []
    for name in entries:
        at(name)
        others = [each for other in closures[name] if other != name for each in addresses(documents[other], other)]
        compiled_json(documents[name], others, name=name)
        called = quote(id_of(documents[name]) or "", safe=_IN_A_URI + "%#")
        items.append(
            SchemaItem(
                uri=called if is_uri(called) else f"{version_uri(edition.standard, edition.version)}/{titles[name]}",
                file=name,
                closure=closures[name],
                sha256="",
                services=edition.services,
                title=str(documents[name].get("title", ""))[:200],
            )
        )
    files = {name: package[name] for name in used}
    hashes = _hashes(files)
    return _manifest(edition, Kind.JSON_SCHEMA, tuple(items), hashes, uri=None).pinned(), files


def _selected(name: str, edition: Edition) -> bool:
    """Whether an operator's pattern means a file: by its own name, or with its folders."""
    return any(fnmatch(each, edition.messages) for each in (PurePosixPath(name).name, name))


def _own_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return what stands in a URI for each file: its own name, with its folders where two have the same; encoded."""
    paths = [PurePosixPath(name) for name in names]
    alike = Counter(path.name for path in paths)
    return {str(path): quote(path.name if alike[path.name] == 1 else str(path), safe=_IN_A_URI) for path in paths}


def _code_list_edition(package: Mapping[str, bytes], edition: Edition, at: At) -> Files:
    selected = {name: content for name, content in package.items() if _selected(name, edition)}
    at(next(iter(selected), "?"))
    found = lists_among(selected, alone=True, open_ones=edition.open_lists)
    if not found.lists:
        # The first one says why.
        for name in found.left_out:
            read_code_list(selected[name], name)
        raise _nothing(edition)
    files = {name: package[name] for name in found.lists}
    items = tuple(
        SchemaItem(uri=_list_uri(one), file=name, closure=(name,), sha256="", services=(), closed=one.closed)
        for name, one in found.lists.items()
    )
    manifest = _manifest(edition, Kind.CODE_LISTS, items, _hashes(files), uri=None)
    return replace(manifest, left_out=found.left_out).pinned(), files


def _with_lists(manifest: Manifest, files: dict[str, bytes], package: Mapping[str, bytes], edition: Edition) -> Files:
    """Take the code lists over that lie beside the schemas of a package."""
    others = {name: content for name, content in package.items() if name not in files}
    found = lists_among(others, alone=False, open_ones=edition.open_lists)
    files |= {name: package[name] for name in found.lists}
    items = tuple(ListItem(uri=_list_uri(one), file=name, closed=one.closed) for name, one in found.lists.items())
    hashes = {**manifest.files, **_hashes({name: package[name] for name in found.lists})}
    return replace(manifest, files=hashes, code_lists=items, left_out=found.left_out), files


def _list_uri(one: CodeList) -> str:
    return quote(f"{one.uri}_{one.version}", safe=_IN_A_URI + "%#")


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256_of(content) for name, content in files.items()}


def _manifest(
    edition: Edition, kind: Kind, items: tuple[SchemaItem, ...], hashes: Mapping[str, str], *, uri: str | None
) -> Manifest:
    return Manifest(
        standard=edition.standard,
        version=edition.version,
        kind=kind,
        status=edition.status,
        valid_from=edition.valid_from,
        valid_until=edition.valid_until,
        provenance=edition.provenance,
        licence=edition.licence,
        schemas=items,
        files=hashes,
        uri=uri,
    )


def _message_schemas(library: Library, edition: Edition) -> list[str]:
    """Return the schemas that the pattern selects and that no other one reaches: what none of these needs is left out."""
    own = [name for name in sorted(library.files) if _selected(name, edition)]
    used = {reference for name in own for reference in library.closure(name) if reference != name}
    unused = [name for name in own if name not in used]
    # Building blocks of other standards have no messages; they are kept, compiled and compared all the same.
    entries = [name for name in unused if roots_of(library, name)] or unused
    if not entries:
        raise _nothing(edition)
    return entries


def roots_of(library: Library, name: str) -> tuple[str, ...]:
    """Return the global elements of a schema's own namespace, its includes included, abstract ones left out."""
    namespace = library.tree(name).get("targetNamespace", "")
    roots = []
    for member in library.closure(name):
        schema = library.tree(member)
        if schema.get("targetNamespace", "") == namespace:
            roots += [
                f"{{{namespace}}}{node.get('name')}" if namespace else str(node.get("name"))
                for node in schema.iterchildren(f"{XSD}element")
                if node.get("abstract") not in ("true", "1")
            ]
    return tuple(sorted(set(roots)))


def place_tables(library: Library, closures: Mapping[str, tuple[str, ...]]) -> bytes | None:
    """Return the tables of places of message schemas with the given closures as they are stored, None if there is no place."""
    used = tuple({name for closure in closures.values() for name in closure})
    tables = tables_of(closures, _source(next(iter(closures)), used, library))
    if not any(table.types for table in tables.values()):
        return None
    return orjson.dumps(tables_as_json(tables), option=orjson.OPT_INDENT_2) + b"\n"


def _source(name: str, closure: tuple[str, ...], library: Library) -> XsdSource:
    return XsdSource(file=name, closure=closure, read=library.files.__getitem__, locations=library.locations)


def _version_uri(schemas: Iterable[Any], edition: Edition) -> str | None:
    """Return ``<kennung>_<version>`` (the XRepository's form) if a schema names its standard (XÖV handbook, appinfo)."""
    for schema in schemas:
        name = schema.findtext(f"{XSD}annotation/{XSD}appinfo/standard/kennung", "").strip()
        if name.startswith("urn:") and name.rpartition(":")[2].casefold() == edition.standard.casefold():
            return f"{name}_{edition.version}"
    return None


def version_uri(standard: str, version: str) -> str:
    """Return what a version is called that names no URI of its own."""
    return f"https://schema.rathaus-hub.example/{standard}/{version}"


def _json_object(name: str, data: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(Text(f"{name} ist kein JSON.", f"{name} is not JSON."), file=name) from error
    return document if isinstance(document, dict) else None


def _is_schema(document: Mapping[str, Any]) -> bool:
    return "json-schema.org" in str(document.get("$schema", ""))


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file as lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, whose names were judged, below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _nothing(edition: Edition) -> ConfigurationError:
    members = {} if edition.messages == "*" else {"field": "messages"}
    return ConfigurationError(
        Text(
            "Das Paket enthält kein Nachrichtenschema (ein XSD mit globalem Element oder ein JSON Schema) und keine Codeliste, "
            "oder das Muster meint keine seiner Dateien.",
            "The package holds no message schema (an XSD with a global element, or a JSON Schema) and no code list, or the "
            "pattern means none of its files.",
        ),
        **members,
    )
