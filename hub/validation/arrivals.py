"""Packages that people hand in: imported beside the catalogue, with all checks, and taken into it when somebody says so.

Each lies in a folder of its own, ``<id>/<standard>/<version>/``, with ``arrival.json`` beside; the catalogue does not look
there. What does not pass the checks leaves nothing behind.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import orjson

from hub.errors import (
    ConfigurationError,
    Conflict,
    Invalid,
    NotFound,
    StoreUnavailable,
    Text,
    TooLarge,
    TooMany,
    handed_in,
)
from hub.validation.catalog import SchemaCatalog, require_own_uris
from hub.validation.manifest import NAME, Manifest, Status, read_manifest
from hub.validation.report import MIB

#: Bytes of all files that are handed in at once, and their number.
MOST_BYTES = 64 * MIB
MOST_FILES = 2_000
#: Files of business rules beside a package.
_MOST_BESIDE = 100
#: Packages that wait for a decision.
_MOST_WAITING = 20
_NOTE = "arrival.json"
_ID = re.compile(r"[0-9a-f]{32}")
#: What reading a folder raises that lacks its manifest, or whose note is not what was written.
_UNREADABLE = (ConfigurationError, OSError, ValueError, KeyError, TypeError, StopIteration)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file as it was handed in; ``name`` may hold folders."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is said of a package."""

    standard: str
    version: str
    valid_from: date | None = None
    valid_until: date | None = None
    status: Status = Status.VALID
    provenance: str = ""
    licence: str = ""
    messages: str = "*"
    services: tuple[str, ...] | None = None
    open_lists: tuple[str, ...] = ()
    #: Files beside the package, as of ``import_standard``.
    rules: tuple[Upload, ...] = ()
    catalog: Upload | None = None
    attachments: Upload | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A package that passed the checks and waits. ``predecessor`` is the newest version of its standard, if there is one.

    ``must`` and ``may`` count what a sender must and may change from there.
    """

    arrival_id: str
    manifest: Manifest
    brought_by: str
    brought_at: datetime
    predecessor: str | None = None
    must: int = 0
    may: int = 0


class Arrivals:
    """Takes packages in, and into the catalogue."""

    def __init__(
        self,
        folder: Path,
        target: Path,
        *,
        catalog: Callable[[], SchemaCatalog],
        convert: Callable[..., Manifest | None] = lambda *_, **__: None,
    ) -> None:
        """``convert`` brings in a package of another kind, with what ``import_standard`` takes; None: it is none of these."""
        self._convert = convert
        self._folder = folder
        self._target = target
        self._catalog = catalog
        self._importing = Lock()

    def receive(self, uploads: Sequence[Upload], wish: Wish, *, by: str, now: datetime) -> Arrival:
        """Check a package (one ZIP, or the files of a folder) as ``hub schemas import`` does, and keep it.

        Raises:
            Malformed, TooLarge, Conflict, InvalidSettings: as :func:`~hub.validation.importing.import_standard`.
            TooMany: another import is under way, or too many packages wait.
            StoreUnavailable: the disk does not take it.
        """
        if not self._importing.acquire(blocking=False):
            raise _busy()
        try:
            return self._receive(uploads, wish, by, now)
        except OSError as error:
            raise _not_stored() from error
        finally:
            self._importing.release()

    def waiting(self) -> list[Arrival]:
        """Return what waits and can be read, the oldest first."""
        notes = self._folder.glob(f"*/{_NOTE}") if self._folder.is_dir() else ()
        found = [self._found(note.parent.name) for note in notes]
        return sorted((each for each in found if each is not None), key=lambda each: each.brought_at)

    def arrival(self, arrival_id: str) -> Arrival:
        """Return one that waits; raise ``NotFound``."""
        found = self._found(arrival_id) if _ID.fullmatch(arrival_id) else None
        if found is None:
            raise NotFound(Text("Dieses Paket wartet nicht (mehr).", "This package does not wait (any more)."))
        return found

    def admit(self, arrival_id: str) -> Arrival:
        """Take a package into the catalogue, where it counts within a second.

        Raises:
            NotFound: it does not wait. Conflict: the version is there by now.
            InvalidSettings: another version has one of its URIs by now.
        """
        arrival = self.arrival(arrival_id)
        self._require_room(arrival.manifest.standard, arrival.manifest.version)
        self._require_own_uris(arrival.manifest)
        target = self._target / arrival.manifest.standard / arrival.manifest.version
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._place(arrival_id, arrival.manifest).rename(target)
        except OSError as error:
            # The catalogue may not have seen yet what somebody else brought in.
            raise _there_already(target.parent.name, target.name) if target.exists() else _not_stored() from error
        shutil.rmtree(self._folder / arrival_id, ignore_errors=True)
        return arrival

    def discard(self, arrival_id: str) -> Arrival:
        """Drop a package; raise ``NotFound`` for one that does not wait."""
        arrival = self.arrival(arrival_id)
        shutil.rmtree(self._folder / arrival_id, ignore_errors=True)
        return arrival

    def _receive(self, uploads: Sequence[Upload], wish: Wish, by: str, now: datetime) -> Arrival:
        if len(self.waiting()) >= _MOST_WAITING:
            raise _too_many()
        self._require_room(wish.standard, wish.version)
        arrival_id = uuid4().hex
        folder = self._folder / arrival_id
        folder.mkdir(parents=True, mode=0o700)
        try:
            manifest = self._imported(uploads, wish, folder)
            self._require_room(manifest.standard, manifest.version)
            self._require_own_uris(manifest)
            facts = {"by": by, "at": now.isoformat(), **self._compared(manifest, folder)}
            # Written last: what is there without it was interrupted, and nobody sees it.
            (folder / _NOTE).write_bytes(orjson.dumps(facts))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self._read(arrival_id)

    def _imported(self, uploads: Sequence[Upload], wish: Wish, folder: Path) -> Manifest:
        with handed_in(), tempfile.TemporaryDirectory(prefix=".package-", dir=folder) as scratch:
            source = _packed(uploads, Path(scratch) / "package.zip")
            beside = Path(scratch) / "beside"
            rules = _laid(wish.rules, beside / "rules")
            lists = [_laid([] if each is None else [each], beside) for each in (wish.catalog, wish.attachments)]
            catalog, attachments = (next(iter(paths), None) for paths in lists)
            edition: dict[str, Any] = {
                "standard": wish.standard,
                "version": wish.version,
                "valid_from": wish.valid_from,
                "valid_until": wish.valid_until,
                "status": wish.status,
                "licence": wish.licence,
                "services": wish.services,
            }
            converted = self._convert(source, folder, attachments=attachments, provenance=wish.provenance, **edition)
            if converted is not None:
                _require_nothing_beside(wish)
                return converted
            from hub.validation.importing import import_standard  # Who only serves needs none of it.

            return import_standard(
                source,
                folder,
                **edition,
                provenance=wish.provenance or uploads[0].name.partition("/")[0][:200],
                messages=wish.messages or "*",
                open_lists=wish.open_lists,
                rules=rules,
                catalog=catalog,
                attachments=attachments,
            )

    def _compared(self, manifest: Manifest, folder: Path) -> dict[str, Any]:
        known = [e for e in self._catalog().entries() if e.manifest.standard == manifest.standard]
        if not known:
            return {}
        from hub.validation.importing import compared  # As above.

        before = known[0].manifest.version
        with handed_in():
            must, may = compared(known[0].folder, folder / manifest.standard / manifest.version)
        return {"predecessor": before, "must": must, "may": may}

    def _require_room(self, standard: str, version: str) -> None:
        taken = {(e.manifest.standard, e.manifest.version) for e in self._catalog().entries()}
        if (standard, version) in taken:
            raise _there_already(standard, version)

    def _require_own_uris(self, manifest: Manifest) -> None:
        """Raise ``InvalidSettings`` where a schema of the package has a URI that is taken."""
        with handed_in():
            require_own_uris([*(entry.item for entry in self._catalog().entries()), *manifest.schemas])

    def _place(self, arrival_id: str, manifest: Manifest) -> Path:
        return self._folder / arrival_id / manifest.standard / manifest.version

    def _found(self, arrival_id: str) -> Arrival | None:
        """Return a package; None for one that is gone, is left over from an admission that was cut short, or is damaged.

        One such folder must not keep people from all the others.
        """
        if not (self._folder / arrival_id / _NOTE).is_file():
            return None
        try:
            return self._read(arrival_id)
        except _UNREADABLE as error:
            _log.warning("package %s is passed over: it cannot be read (%s)", arrival_id, type(error).__name__)
            return None

    def _read(self, arrival_id: str) -> Arrival:
        folder = self._folder / arrival_id
        facts = orjson.loads((folder / _NOTE).read_bytes())
        manifest = read_manifest(next(folder.glob(f"*/*/{NAME}")).parent)
        return Arrival(
            arrival_id=arrival_id,
            manifest=manifest,
            brought_by=facts["by"],
            brought_at=datetime.fromisoformat(facts["at"]),
            predecessor=facts.get("predecessor"),
            must=facts.get("must", 0),
            may=facts.get("may", 0),
        )


def _require_nothing_beside(wish: Wish) -> None:
    """Refuse what says something of XML Schemas where the package became a JSON Schema."""
    beside = {"rules": wish.rules, "catalog": wish.catalog, "open_lists": wish.open_lists}
    for name, given in beside.items():
        if given:
            raise Invalid(
                Text(
                    "Zu einer XDatenfelder-Datei gehört das nicht. Lassen Sie das Feld leer.",
                    "This does not belong to an XDatenfelder file. Leave the field empty.",
                ),
                field=name,
            )


def _packed(uploads: Sequence[Upload], path: Path) -> Path:
    """Write what was handed in as one ZIP: its reader refuses names that leave the package, whoever chose them."""
    if not uploads:
        raise Invalid(Text("Wählen Sie ein ZIP oder einen Ordner.", "Choose a ZIP or a folder."))
    if len(uploads) > MOST_FILES or sum(len(each.content) for each in uploads) > MOST_BYTES:
        raise TooLarge(
            Text(
                f"Höchstens {MOST_FILES} Dateien mit zusammen {MOST_BYTES // MIB} MiB. Größeres nimmt „hub schemas import“.",
                f"At most {MOST_FILES} files of {MOST_BYTES // MIB} MiB in all. 'hub schemas import' takes more.",
            )
        )
    if len(uploads) == 1 and uploads[0].name.lower().endswith(".zip"):
        path.write_bytes(uploads[0].content)
        return path
    _refuse_odd_names(each.name for each in uploads)
    with zipfile.ZipFile(path, "w") as archive:
        for each in uploads:
            archive.writestr(each.name, each.content)
    return path


def _refuse_odd_names(names: Iterable[str]) -> None:
    from hub.validation.archives import refuse_odd_names  # As above.

    refuse_odd_names(names)


def _laid(uploads: Sequence[Upload], folder: Path) -> list[Path]:
    """Write files that were handed in beside a package, by their own names alone."""
    if len(uploads) > _MOST_BESIDE or sum(len(each.content) for each in uploads) > MOST_BYTES:
        raise TooLarge(
            Text(
                f"Höchstens {_MOST_BESIDE} Dateien mit Geschäftsregeln.",
                f"At most {_MOST_BESIDE} files of business rules.",
            ),
            field="rules",
        )
    names = [each.name.replace("\\", "/").rpartition("/")[2] for each in uploads]
    _refuse_odd_names(names)
    paths = [folder / name for name in names]
    for path, each in zip(paths, uploads, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.content)
    return paths


def _there_already(standard: str, version: str) -> Conflict:
    return Conflict(
        Text(
            f"{standard} {version} steht schon im Katalog. Wählen Sie eine andere Version.",
            f"{standard} {version} is in the catalogue already. Choose another version.",
        ),
        field="version",
    )


def _not_stored() -> StoreUnavailable:
    return StoreUnavailable(
        Text(
            "Das Paket ließ sich nicht ablegen. Prüfen Sie freien Platz und Rechte des Datenordners.",
            "The package could not be stored. Check free space and permissions of the data folder.",
        )
    )


def _busy() -> TooMany:
    return TooMany(
        Text(
            "Gerade wird ein anderes Paket geprüft. Versuchen Sie es gleich noch einmal.",
            "Another package is being checked. Try again in a moment.",
        )
    )


def _too_many() -> TooMany:
    return TooMany(
        Text(
            "Es warten schon zu viele Pakete. Nehmen Sie sie in den Katalog, oder verwerfen Sie sie.",
            "Too many packages wait already. Take them into the catalogue, or discard them.",
        )
    )
