"""Judging the patterns of schemas before they run: stub, replaced below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def refuse_dangerous_patterns(documents: Iterable[tuple[str, Any]]) -> None:
    """Later."""
    list(documents)
