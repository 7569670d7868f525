"""A register with an AI system for building applications, and a step of it. A module of tests, not a pytest plugin."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from routing_book import APPROVER, EDITOR
from sealed_door import SERVICE, Door
from test_ai_systems import CHAT

from hub.services.ai_systems import AiSystem, SystemVersion, read_systems

(DOGS,) = read_systems(CHAT.replace("2026-10\n", '"2026-10"\n').encode())
SYSTEM = replace(
    DOGS,
    id="plan-check",
    services=(SERVICE,),
    versions=(
        SystemVersion(version="1.0", since=date(2025, 1, 1), until=date(2026, 1, 1)),
        SystemVersion(version="2.1", since=date(2026, 10, 1), until=None),
    ),
)
STEP: dict[str, Any] = {
    "system": "plan-check",
    "version": "2.1",
    "purpose": "Vollständigkeit der Anlagen",
    "output": "classification",
    "decided": "person",
}


def publish(door: Door, *systems: AiSystem) -> None:
    """Have two people publish systems at a hub."""
    book, now = door.hub.ai_book, door.hub.clock()
    draft = book.draft(EDITOR, title="KI", now=now, systems=systems)
    book.approve(draft.number, APPROVER, revision=draft.revision, now=now)
    book.activate(draft.number, APPROVER, now=now)
