"""What operators decided on versions after they came in: announced, valid from and until, withdrawn.

The manifest of a version stays as it was imported, and versions that ship with the hub lie where nobody writes; so these
decisions stand in one file of their own, ``standing.json`` in the data folder's catalogue, and go over the manifests.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from hub.errors import ConfigurationError, Text
from hub.validation.manifest import Manifest, Status

NAME = "standing.json"
_LARGEST = 1024 * 1024
_writing = Lock()

#: Standard and version.
Edition = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a version stands; both dates are inclusive, None is open."""

    status: Status
    valid_from: date | None = None
    valid_until: date | None = None

    def over(self, manifest: Manifest) -> Manifest:
        """Return the manifest with this standing."""
        return replace(manifest, status=self.status, valid_from=self.valid_from, valid_until=self.valid_until)


def read_standings(roots: Iterable[Path]) -> Mapping[Edition, Standing]:
    """Read the decisions below the given catalogue folders; a missing file holds none.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    found: dict[Edition, Standing] = {}
    for root in roots:
        path = root / NAME
        if path.is_file():
            found |= _read(path)
    return found


def write_standing(root: Path, edition: Edition, standing: Standing) -> None:
    """Keep a decision; the file is replaced whole, so that nobody reads half of it.

    Raises:
        ConfigurationError: the file that is there cannot be used.
    """
    path = root / NAME
    with _writing:
        known = dict(_read(path)) if path.is_file() else {}
        known[edition] = standing
        document = [
            {"standard": standard, "version": version, **_document(each)}
            for (standard, version), each in sorted(known.items())
        ]
        root.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as stream:
            stream.write(orjson.dumps(document, option=orjson.OPT_INDENT_2))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)


def _document(standing: Standing) -> dict[str, Any]:
    return {"status": standing.status, "valid_from": standing.valid_from, "valid_until": standing.valid_until}


def _read(path: Path) -> dict[Edition, Standing]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST)
        return {
            (str(each["standard"]), str(each["version"])): Standing(
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
