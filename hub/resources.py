"""Where the files that ship with the hub lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder: ``openapi.yaml``, ``schemas``, ``routing_rules``, ``certs``."""
    packed = _PACKAGE / "_data" / name
    return packed if packed.exists() else _PACKAGE.parent / name


def look_folder() -> Path:
    """Return the folder of what all pages for people look alike by: the style sheet and the icon of the admin pages."""
    return _PACKAGE / "admin" / "static"
