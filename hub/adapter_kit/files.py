"""The bench of the family ``file``: a directory on this machine."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping
from pathlib import Path

from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.workshop import MARKER, Places, Workshop, whole_places
from hub.submission import Package

_TINY = 100  # Bytes; no file of a delivery is smaller.


class FileBench:
    """One directory."""

    def __init__(self, workshop: Workshop) -> None:
        self._root = workshop.scratch()
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the directory into a trouble."""
        if trouble is Trouble.CUT_MID_WRITE:
            (self._root / f".{package.delivery_id}.0.part" / "attachments").mkdir(parents=True)
        return {"folder": str(self._root)}

    def strike(self, trouble: Trouble) -> None:
        """Do what happens after the adapter has looked at its directory."""
        match trouble:
            case Trouble.GONE:
                shutil.rmtree(self._root)
            case Trouble.NO_SPACE:
                resource.setrlimit(resource.RLIMIT_FSIZE, (_TINY, self._limits[1]))

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        return len(whole_places(files_below(self._root), package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole, and what is left half."""
        marked = sum(path.endswith(f"/{MARKER}") for path in files_below(self._root))
        return marked - sum(self.copies(package) for package in packages)

    def close(self) -> None:
        """Give back the room."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        shutil.rmtree(self._root, ignore_errors=True)


def files_below(root: Path) -> Mapping[str, bytes]:
    """Return the files below a directory by their path from it, with a slash in front."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {f"/{path.relative_to(root).as_posix()}": path.read_bytes() for path in found}
