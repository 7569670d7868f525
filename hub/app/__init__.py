"""The composition root: settings in, objects wired, ASGI application out. Nothing else builds the hub.

``wiring`` opens what settings name and builds :class:`Context`, ``interfaces`` serves it, ``starting`` is what comes first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.app.interfaces import admin_desks, asgi, handlers, people_desk, server, server_options
    from hub.app.starting import alone, announce, judge_files, refuse_demo, require_free_port
    from hub.app.starting import begin as show_worker
    from hub.app.wiring import (
        Context,
        build,
        development_authority,
        installed_adapters,
        open_blobs,
        postal_codes_of,
        unconfined,
        working,
    )

__all__ = [
    "Context",
    "admin_desks",
    "alone",
    "announce",
    "asgi",
    "build",
    "development_authority",
    "handlers",
    "installed_adapters",
    "judge_files",
    "open_blobs",
    "people_desk",
    "postal_codes_of",
    "refuse_demo",
    "require_free_port",
    "server",
    "server_options",
    "show_worker",
    "unconfined",
    "working",
]

#: Where each name stands, by the module that is loaded when somebody first asks for it: who looks something up in the
#: store need not load what serves it.
_HOMES = {
    "Context": ("wiring", "Context"),
    "admin_desks": ("interfaces", "admin_desks"),
    "alone": ("starting", "alone"),
    "announce": ("starting", "announce"),
    "asgi": ("interfaces", "asgi"),
    "build": ("wiring", "build"),
    "development_authority": ("wiring", "development_authority"),
    "handlers": ("interfaces", "handlers"),
    "require_free_port": ("starting", "require_free_port"),
    "installed_adapters": ("wiring", "installed_adapters"),
    "judge_files": ("starting", "judge_files"),
    "open_blobs": ("wiring", "open_blobs"),
    "people_desk": ("interfaces", "people_desk"),
    "postal_codes_of": ("wiring", "postal_codes_of"),
    "refuse_demo": ("starting", "refuse_demo"),
    "server": ("interfaces", "server"),
    "server_options": ("interfaces", "server_options"),
    "show_worker": ("starting", "begin"),
    "unconfined": ("wiring", "unconfined"),
    "working": ("wiring", "working"),
}


if not TYPE_CHECKING:  # mypy knows the names from above, and would believe any other.

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _HOMES[name]
        return getattr(import_module(f"{__name__}.{module}"), attribute)
