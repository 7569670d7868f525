"""Which files of ``hub`` belong to the client; the server's wheel leaves out the same (``../pyproject.toml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OWNED = (
    "hub/__init__.py",
    "hub/py.typed",
    "hub/errors",
    "hub/client",
    "hub/crypto",
    "hub/model",
    # Keys and secrets lie in private files: the one judge of their modes.
    "hub/files/__init__.py",
    "hub/files/vault.py",
)


class Owned(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the owned files into a wheel; an editable installation reads them where they lie."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files before the build."""
        if version != "editable":
            root = Path(self.root).parent
            build_data["force_include"] |= {str(root / each): each for each in OWNED}
