"""Pinning a version that the project writes itself: its manifest keeps its words and gets new hashes, roots and tables.

``python -m hub.validation.pinning FOLDER…`` is run after a schema was changed on purpose.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import orjson

from hub.files.strict_yaml import load_yaml
from hub.validation.closure import Library
from hub.validation.editions import IDENTIFIERS, identifier_table, roots_of, sha256_of
from hub.validation.manifest import NAME, Kind, Manifest, manifest_from, write_manifest


def pin(folder: Path) -> Manifest:
    """Rewrite ``folder/catalog.yaml`` to what its schema files now say, and return it.

    Raises:
        ConfigurationError: A schema or the manifest cannot be used.
    """
    document = load_yaml((folder / NAME).read_bytes())
    # What is about to be pinned anew is left out; placeholders keep the manifest's shape.
    items = [{**item, "closure": [item["file"]], "sha256": "", "roots": ["?"]} for item in document["schemas"]]
    kept = {key: value for key, value in document.items() if key not in ("identifiers", "locations")}
    manifest = manifest_from({**kept, "schemas": items, "files": {item["file"]: "" for item in items}})
    manifest = _pinned_xsd(folder, manifest) if manifest.kind is Kind.XSD else _pinned_json(folder, manifest)
    (folder / NAME).write_text(write_manifest(manifest), encoding="utf-8")
    return manifest


def _pinned_xsd(folder: Path, manifest: Manifest) -> Manifest:
    library = Library({path.name: path.read_bytes() for path in folder.glob("*.xsd")}, None)
    closures = {item.file: library.closure(item.file) for item in manifest.schemas}
    table = identifier_table(library, closures)
    files = {name: library.files[name] for closure in closures.values() for name in closure}
    if table is not None:
        files[IDENTIFIERS] = orjson.dumps(table.as_json(), option=orjson.OPT_INDENT_2) + b"\n"
        (folder / IDENTIFIERS).write_bytes(files[IDENTIFIERS])
    hashes = {name: sha256_of(content) for name, content in files.items()}
    items = tuple(
        replace(item, closure=closures[item.file], roots=roots_of(library, item.file)) for item in manifest.schemas
    )
    name = IDENTIFIERS if table is not None else None
    return replace(manifest, schemas=items, files=hashes, identifiers=name).pinned()


def _pinned_json(folder: Path, manifest: Manifest) -> Manifest:
    hashes = {item.file: sha256_of((folder / item.file).read_bytes()) for item in manifest.schemas}
    closure = tuple(sorted(hashes))
    items = tuple(replace(item, closure=closure, roots=()) for item in manifest.schemas)
    return replace(manifest, schemas=items, files=hashes).pinned()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        pin(Path(name))
