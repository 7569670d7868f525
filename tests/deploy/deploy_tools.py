"""Programs that judge what deploys the hub: of ``make deploy-tools`` (.venv/deploy), or of this machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "deploy"


def tool(name: str) -> str:
    """Return where a program is; skip the test where it is missing."""
    found = shutil.which(name, path=FOLDER / "bin") or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (make deploy-tools)")
    return found
