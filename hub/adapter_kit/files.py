"""The bench of the family ``file``: a directory on this machine."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.workshop import MARKER, Places, Workshop, whole_places
from hub.model.submission import Package

#: Bytes: no file of a delivery is smaller; all but manifest and large contents are.
_TINY, _SMALL = 100, 1024


class FileBench:
    """One directory."""

    def __init__(self, workshop: Workshop) -> None:
        self._root = workshop.scratch()
        self._limits = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)}
        self._others: Path | None = None

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the directory into a trouble."""
        self._restore()
        self._root.mkdir(exist_ok=True)
        left = self._root / f".{package.delivery_id}.0.part"
        match trouble:
            case Trouble.CUT_MID_WRITE:
                (left / "attachments").mkdir(parents=True)
            case Trouble.CUT_INTO_A_FILE:
                left.write_bytes(b"half")
            case Trouble.OTHERS_AT_WORK:
                self._others = self._root / f".{uuid4()}.0.part"
                self._others.mkdir()
        return {"folder": str(self._root)}

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do what happens after the adapter has looked at its directory."""
        final = self._root / str(package.delivery_id)
        match trouble:
            case Trouble.GONE:
                shutil.rmtree(self._root)
            case Trouble.NOT_A_FOLDER:
                shutil.rmtree(self._root)
                self._root.write_bytes(b"")
            case Trouble.LINK_LOOP:
                shutil.rmtree(self._root)
                self._root.symlink_to(self._root)
            case Trouble.NAME_TAKEN_BY_FILE:
                final.write_bytes(b"somebody else's")
            case Trouble.NAME_TAKEN_BY_FOLDER:
                final.mkdir()
                (final / "note.txt").write_bytes(b"somebody else's")
            case Trouble.NAME_TAKEN_EMPTY:
                final.mkdir()
            case Trouble.NO_SPACE | Trouble.NO_SPACE_LATE:
                self._limit(resource.RLIMIT_FSIZE, _TINY if trouble is Trouble.NO_SPACE else _SMALL)
            case Trouble.NO_HANDLES:
                with Path(os.devnull).open() as lowest:
                    number = lowest.fileno()
                self._limit(resource.RLIMIT_NOFILE, number)

    def _limit(self, kind: int, most: int) -> None:
        resource.setrlimit(kind, (most, self._limits[kind][1]))

    def _restore(self) -> None:
        for kind, limits in self._limits.items():
            resource.setrlimit(kind, limits)

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        self._restore()  # The attempt is over, and counting needs a handle.
        return len(whole_places(files_below(self._root), package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole, and what was taken from others."""
        marked = sum(path.endswith(f"/{MARKER}") for path in files_below(self._root))
        taken = self._others is not None and not self._others.is_dir()
        return marked - sum(self.copies(package) for package in packages) + taken

    def close(self) -> None:
        """Give back the room."""
        self._restore()
        shutil.rmtree(self._root, ignore_errors=True)


def files_below(root: Path) -> Mapping[str, bytes]:
    """Return the files below a directory by their path from it, with a slash in front."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {f"/{path.relative_to(root).as_posix()}": path.read_bytes() for path in found}
