"""Versions come into the catalogue: official packages, and the project's own.

Bringing an official package in: copied unmodified, hashed, compiled offline, and described by a manifest.

A package is another's code: a schema of a few kilobytes can make a compiler take gigabytes. So it is read and judged whole in a
process of its own, with limits of memory and time; if that process is lost, the hub says at which file and by which limit.
What was written by then lies beside the target and is removed: a broken import leaves nothing behind. What came through is
compiled by the hub itself from then on.

Pinning a version that the project writes itself: its manifest keeps its words and gets new hashes, roots and tables.

``python -m hub.validation.importing FOLDER…`` is run after a schema was changed on purpose.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from hub import errors
from hub.errors import ConfigurationError, Conflict, HubError, StoreUnavailable, Text, TooLarge
from hub.files.strict_yaml import load_yaml
from hub.validation.archives import read_package
from hub.validation.catalog import SchemaCatalog
from hub.validation.closure import Library, LocationList
from hub.validation.comparison import outline_of_xsd
from hub.validation.editions import load_version
from hub.validation.json.documents import JsonSchema
from hub.validation.manifest import (
    NAME,
    ImportRemark,
    Kind,
    Manifest,
    Status,
    manifest_from,
    read_manifest,
    with_attachments,
    write_manifest,
)
from hub.validation.packages import (
    OWN_RULES,
    PLACES,
    Edition,
    edition_of,
    place_tables,
    roots_of,
    sha256_of,
    write_files,
)
from hub.validation.report import MIB
from hub.validation.sandbox import Bounds, Ended, ask, question_of
from hub.validation.xml.xsd import XsdSource, parse_schema_document

_log = logging.getLogger(__name__)
#: What judging a package may take. The largest standards of today take 0.1 GB and 5 s.
BOUNDS = Bounds(memory=1024 * MIB, cpu=90, seconds=180)
_SAFE_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_NAME = 100


def import_standard(
    source: Path,
    target: Path,
    *,
    standard: str,
    version: str,
    catalog: Path | None = None,
    valid_from: date | None = None,
    valid_until: date | None = None,
    status: Status = Status.VALID,
    services: Iterable[str] | None = None,
    provenance: str = "",
    licence: str = "",
    messages: str = "*",
    rules: Iterable[Path] = (),
    attachments: Path | None = None,
    open_lists: Iterable[str] = (),
    beside: Mapping[str, bytes] | None = None,
    remarks: Iterable[ImportRemark] = (),
    bounds: Bounds = BOUNDS,
) -> Manifest:
    """Bring the package in ``source`` into ``target/<standard>/<version>/`` and return its manifest.

    ``catalog`` is a location list for documents outside the package, ``rules`` are Schematron files of the operator's own,
    ``attachments`` declares where its documents name attachments, ``open_lists`` are patterns of code lists that allow
    other codes than theirs, ``beside`` are files that stand with the version and judge nothing, ``remarks`` what a conversion
    did not take over. Nothing is overwritten.

    Raises:
        Malformed: The package cannot be read, or holds names that nobody can write.
        TooLarge: The package is over a cap, or judging it took more than ``bounds``.
        Conflict: The version is there already.
        ConfigurationError: A reference is unresolved, a schema does not compile, or a pattern is dangerous.
        StoreUnavailable: The disk does not take it.
    """
    folder = target / _checked(standard, "standard") / _checked(version, "version")
    if folder.exists():
        raise _taken(standard, version)
    edition: dict[str, Any] = {"standard": standard, "version": version, "status": status, "messages": messages}
    edition |= {"valid_from": valid_from, "valid_until": valid_until}
    edition |= {"services": None if services is None else list(services)}
    edition |= {"open_lists": list(open_lists)}
    edition |= {"remarks": [{"at": each.at, "de": each.text.de, "en": each.text.en} for each in remarks]}
    edition |= {"provenance": provenance or source.name, "licence": licence or "see the package"}
    files = {"source": source, "catalog": catalog, "attachments": attachments}
    question = {name: None if path is None else str(path.resolve()) for name, path in files.items()}
    named = [str(path.resolve()) for path in rules]
    _import({"do": "import", **question, "rules": named, "edition": edition}, folder, beside or {}, bounds)
    return read_manifest(folder)


def _import(question: Mapping[str, Any], folder: Path, beside: Mapping[str, bytes], bounds: Bounds) -> None:
    """Have a version written beside ``folder`` by a process of its own, and move it there when it is whole."""
    standard, version, target = folder.parent.name, folder.name, folder.parent.parent
    try:
        target.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=target))
        try:
            _ask({**question, "scratch": str(scratch.resolve())}, bounds)
            write_files(scratch / standard / version, beside)
            folder.parent.mkdir(exist_ok=True)
            (scratch / standard / version).rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        # Another import may have been faster.
        raise _taken(standard, version) if folder.exists() else _not_written() from error


def compared(before: Path, after: Path, *, bounds: Bounds = BOUNDS) -> tuple[int, int]:
    """Return how much a sender must and may change from one version (a folder of a catalogue) to another one of its standard.

    Raises:
        TooLarge: Comparing them took more than ``bounds``.
        ConfigurationError: One of them cannot be used.
    """
    done = _ask({"do": "compare", "before": str(before.resolve()), "after": str(after.resolve())}, bounds)
    return int(done["must"]), int(done["may"])


def _ask(question: Mapping[str, Any], bounds: Bounds) -> Any:
    ended = ask("hub.validation.importing", question, bounds=bounds)
    name, answer = _answer_of(ended)
    if ended.code != 0 or answer is None:
        raise _lost(name, ended, bounds)
    if "done" in answer:
        return answer["done"]
    if "kind" in answer:
        _log.warning("a package stumbles at %s: %s", name, answer["kind"])
        raise _lost(name, ended, bounds, answer["error"])
    raise _error(answer)


def _answer_of(ended: Ended) -> tuple[str, Any]:
    """Return the file at hand when a process ended, and its answer, None if it did not come to one."""
    name, answer = "?", None
    for line in ended.answer.split(b"\n"):
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # Half a line, or what a library had to say.
        if isinstance(said, str):
            name = said
        elif isinstance(said, dict):
            answer = said
    return name, answer


def _error(answer: Mapping[str, Any]) -> HubError:
    """Return what was raised in the process; its class is one of the tree's."""
    kind = getattr(errors, answer["error"], None)
    assert isinstance(kind, type)  # noqa: S101  # Our own process answers.
    assert issubclass(kind, HubError)  # noqa: S101
    members = {name: value for name, value in answer["members"].items() if name != "slug"}
    return kind(Text(answer["de"], answer["en"]), slug=answer["slug"], **members)


def _lost(name: str, ended: Ended, bounds: Bounds, cause: str = "") -> HubError:
    if cause == "disk":
        return _not_written()
    if cause == "depth":
        limit, german, english = "depth", "zu tief geschachtelt", "nested too deeply"
    elif cause == "unknown":
        return _not_compiled(name)
    elif ended.out_of_time:
        limit = "time"
        german = f"es brauchte mehr als {bounds.cpu} s Rechenzeit oder {bounds.seconds:g} s insgesamt"
        english = f"it took more than {bounds.cpu} s of processor time or {bounds.seconds:g} s in all"
    else:
        limit = "memory"
        german = f"es brauchte mehr als {bounds.memory // MIB} MiB Speicher"
        english = f"it took more than {bounds.memory // MIB} MiB of memory"
    return TooLarge(
        Text(
            f"Die Prüfung des Pakets wurde bei {name} abgebrochen: {german}. Vereinfachen Sie diese Datei, oder fragen Sie "
            "ihren Herausgeber.",
            f"Checking the package was given up at {name}: {english}. Simplify that file, or ask its publisher.",
        ),
        file=name,
        limit=limit,
    )


def _not_compiled(name: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{name} ließ sich nicht übersetzen. Prüfen Sie die Datei mit einem Werkzeug ihres Formats.",
            f"{name} could not be compiled. Check the file with a tool of its format.",
        ),
        file=name,
    )


def _checked(name: str, field: str) -> str:
    if not name or len(name) > _LONGEST_NAME or not _SAFE_NAME.issuperset(name) or name.startswith("."):
        raise ConfigurationError(
            Text(
                f"{name[:_LONGEST_NAME]!r} taugt nicht als Name: nur Buchstaben, Ziffern, Punkt, Unter- und Bindestrich, "
                f"höchstens {_LONGEST_NAME}.",
                f"{name[:_LONGEST_NAME]!r} cannot be a name: letters, digits, dot, underscore and hyphen only, at most "
                f"{_LONGEST_NAME}.",
            ),
            field=field,
        )
    return name


def _taken(standard: str, version: str) -> Conflict:
    return Conflict(
        Text(
            f"{standard} {version} ist schon eingebracht. Wählen Sie eine andere Version.",
            f"{standard} {version} is there already. Choose another version.",
        ),
        field="version",
    )


def _not_written() -> StoreUnavailable:
    return StoreUnavailable(
        Text(
            "Das Paket ließ sich nicht ablegen. Prüfen Sie freien Platz und Rechte des Datenordners.",
            "The package could not be stored. Check free space and permissions of the data folder.",
        )
    )


# What follows runs in the child.

#: What it means if something else is raised than an error of the hub's own.
_LOST = ((MemoryError, "memory"), (RecursionError, "depth"), (OSError, "disk"))


def _say(document: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
    sys.stdout.buffer.flush()


def _serve(question: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        if question["do"] == "import":
            return {"done": _bring_in(question)}
        return {"done": _compare(Path(question["before"]), Path(question["after"]))}
    except HubError as error:
        members = dict(error.members)
        return {
            "error": type(error).__name__,
            "slug": error.slug,
            "de": error.detail.de,
            "en": error.detail.en,
            "members": members,
        }
    except Exception as error:  # noqa: BLE001  # A library that stumbles over a file has judged it; the hub names the file.
        met = _behind(error)
        cause = next((name for kind, name in _LOST if any(isinstance(one, kind) for one in met)), "unknown")
        return {"error": cause, "kind": type(error).__name__}


def _behind(error: BaseException | None) -> list[BaseException]:
    """Return an error and what led to it: libraries wrap that there is no memory left."""
    met: list[BaseException] = []
    while error is not None and error not in met:
        met.append(error)
        error = error.__cause__ or error.__context__
    return met


def _bring_in(question: Mapping[str, Any]) -> Mapping[str, Any]:
    facts = question["edition"]
    edition = _edition(facts, question["rules"])
    source = Path(question["source"])
    _say(source.name)
    package = read_package(source)
    outside = None if question["catalog"] is None else LocationList.read(Path(question["catalog"]), source)
    manifest, files = edition_of(package, edition, outside, _say)
    if question["attachments"] is not None:
        declared = Path(question["attachments"])
        _say(declared.name)
        manifest = with_attachments(manifest, declared.read_bytes(), declared.name)
    texts = (ImportRemark(at=each["at"], text=Text(each["de"], each["en"])) for each in facts["remarks"])
    manifest = replace(manifest, remarks=(*manifest.remarks, *texts))
    folder = Path(question["scratch"]) / edition.standard / edition.version
    write_files(folder, files)
    _say(NAME)
    (folder / NAME).write_text(write_manifest(manifest), encoding="utf-8")
    # What the hub will do with it later was done once within the limits.
    shared: dict[str, XsdSource] = {}
    for entry in load_version(folder, judged=True).entries:
        _say(entry.item.file)
        if isinstance(entry.judge, JsonSchema):
            entry.judge.outline()
        else:
            shared |= dict.fromkeys(entry.item.closure, entry.judge.source)
    # Of each document once: the outline of a schema is put together from those of its documents.
    outline_of_xsd((parse_schema_document(source.read(name), name) for name, source in shared.items()), ())
    return {}


def _edition(facts: Mapping[str, Any], rules: Sequence[str]) -> Edition:
    services = facts["services"]
    return Edition(
        standard=facts["standard"],
        version=facts["version"],
        valid_from=_day(facts["valid_from"]),
        valid_until=_day(facts["valid_until"]),
        status=Status(facts["status"]),
        services=None if services is None else tuple(services),
        provenance=facts["provenance"],
        licence=facts["licence"],
        messages=facts["messages"],
        open_lists=tuple(facts["open_lists"]),
        own_rules={f"{OWN_RULES}{Path(path).name}": Path(path).read_bytes() for path in rules},
    )


def _compare(before: Path, after: Path) -> Mapping[str, Any]:
    entries = [entry for folder in (before, after) for entry in load_version(folder).entries]
    changes = SchemaCatalog(entries).diff(before.parent.name, before.name, after.name)
    must = sum(change.must for change in changes)
    return {"must": must, "may": len(changes) - must}


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def pin(folder: Path) -> Manifest:
    """Rewrite ``folder/catalog.yaml`` to what its schema files now say, and return it.

    Raises:
        ConfigurationError: A schema or the manifest cannot be used.
    """
    document = load_yaml((folder / NAME).read_bytes())
    # What is about to be pinned anew is left out; placeholders keep the manifest's shape.
    items = [{**item, "closure": [item["file"]], "sha256": "", "roots": ["?"]} for item in document["schemas"]]
    kept = {key: value for key, value in document.items() if key not in ("identifiers", "locations")}
    rules = dict.fromkeys(document.get("rules", ()), "")
    manifest = manifest_from({**kept, "schemas": items, "files": {item["file"]: "" for item in items} | rules})
    manifest = _pinned_xsd(folder, manifest) if manifest.kind is Kind.XSD else _pinned_json(folder, manifest)
    (folder / NAME).write_text(write_manifest(manifest), encoding="utf-8")
    return manifest


def _pinned_xsd(folder: Path, manifest: Manifest) -> Manifest:
    library = Library({path.name: path.read_bytes() for path in folder.glob("*.xsd")}, None)
    closures = {item.file: library.closure(item.file) for item in manifest.schemas}
    files = {name: library.files[name] for closure in closures.values() for name in closure}
    tables = place_tables(library, closures)
    if tables is not None:
        files[PLACES] = tables
        (folder / PLACES).write_bytes(tables)
    files |= {name: (folder / name).read_bytes() for name in manifest.rules}
    hashes = {name: sha256_of(content) for name, content in files.items()}
    items = tuple(
        replace(item, closure=closures[item.file], roots=roots_of(library, item.file)) for item in manifest.schemas
    )
    return replace(manifest, schemas=items, files=hashes, identifiers=PLACES if tables else None).pinned()


def _pinned_json(folder: Path, manifest: Manifest) -> Manifest:
    hashes = {item.file: sha256_of((folder / item.file).read_bytes()) for item in manifest.schemas}
    closure = tuple(sorted(hashes))
    items = tuple(replace(item, closure=closure, roots=()) for item in manifest.schemas)
    return replace(manifest, schemas=items, files=hashes).pinned()


def _main(folders: Sequence[str]) -> None:
    """Pin the folders of schemas that are named; without any, answer the import that asks from outside."""
    for folder in folders:
        pin(Path(folder))
    if not folders:
        question, _ = question_of()
        # What is read stays until the end, which comes soon: the collector would look at all of it again and again.
        gc.set_threshold(50_000, 20, 100)
        _say(_serve(question))
        sys.stdout.flush()
        # Nothing is torn down that a hostile file may have left behind.
        os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1:])
