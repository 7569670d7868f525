"""connexion, imported without what it never uses in a hub: HTTP clients of its own, and a client for tests.

It imports ``httpx`` (to ask a server about tokens), ``requests`` (to fetch what a contract refers to) and starlette's client
for tests. A hub looks tokens up itself, and its contract refers to nothing outside: what it never calls, its processes need not
hold. So during the first import of connexion these names stand for modules that hold nothing, and after it for nothing at all:
whoever imports them later gets them whole. ``hub.api`` imports this before anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

#: What connexion takes of modules that it never uses here: by module, what it imports from it by name.
_UNUSED = {"httpx": (), "requests": (), "starlette.testclient": ("TestClient",)}


class _NeverUsedError(Exception):
    """Something is called that a hub does not use: an update of connexion, or of us, made it need one of these modules."""


def _refuse(*_: Any, **__: Any) -> None:
    raise _NeverUsedError


@contextmanager
def _without(unused: dict[str, tuple[str, ...]]) -> Iterator[None]:
    placed = [name for name in unused if name not in sys.modules]
    for name in placed:
        empty = sys.modules[name] = ModuleType(name)
        for each in unused[name]:
            setattr(empty, each, _refuse)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


with _without(_UNUSED):
    import_module("connexion")
