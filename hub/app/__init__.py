"""The composition root: settings in, objects wired, ASGI application out. Nothing else builds the hub.

``opening`` opens what settings name, ``wiring`` builds :class:`Context`, ``interfaces`` serves it, ``starting`` is what comes
first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.app.interfaces import (
        admin_desks,
        asgi,
        handlers,
        people_desk,
        server,
        server_options,
        sharing_server,
    )
    from hub.app.opening import development_authority, installed_adapters, open_blobs, parts_of, postal_codes_of
    from hub.app.processes import Board, Member, Parent, serving_names, until_ended, woken
    from hub.app.starting import alone, announce, judge_files, refuse_demo
    from hub.app.starting import begin as show_worker
    from hub.app.wiring import (
        Context,
        build,
        unconfined,
        unconfined_onboarding,
        working,
    )
    from hub.web.listening import bound, require_free_port
    from hub.web.protocol import Listener

__all__ = [
    "Board",
    "Context",
    "Listener",
    "Member",
    "Parent",
    "admin_desks",
    "alone",
    "announce",
    "asgi",
    "bound",
    "build",
    "development_authority",
    "handlers",
    "installed_adapters",
    "judge_files",
    "open_blobs",
    "parts_of",
    "people_desk",
    "postal_codes_of",
    "refuse_demo",
    "require_free_port",
    "server",
    "server_options",
    "serving_names",
    "sharing_server",
    "show_worker",
    "unconfined",
    "unconfined_onboarding",
    "until_ended",
    "woken",
    "working",
]

#: Where each name stands, by the module that is loaded when somebody first asks for it: who looks something up in the
#: store need not load what serves it.
_HOMES = {
    "Board": ("processes", "Board"),
    "Context": ("wiring", "Context"),
    "Listener": ("interfaces", "Listener"),
    "Parent": ("processes", "Parent"),
    "Member": ("processes", "Member"),
    "admin_desks": ("interfaces", "admin_desks"),
    "alone": ("starting", "alone"),
    "announce": ("starting", "announce"),
    "asgi": ("interfaces", "asgi"),
    "bound": ("hub.web.listening", "bound"),
    "build": ("wiring", "build"),
    "development_authority": ("opening", "development_authority"),
    "handlers": ("interfaces", "handlers"),
    "require_free_port": ("hub.web.listening", "require_free_port"),
    "installed_adapters": ("opening", "installed_adapters"),
    "judge_files": ("starting", "judge_files"),
    "open_blobs": ("opening", "open_blobs"),
    "parts_of": ("opening", "parts_of"),
    "people_desk": ("interfaces", "people_desk"),
    "postal_codes_of": ("opening", "postal_codes_of"),
    "refuse_demo": ("starting", "refuse_demo"),
    "server": ("interfaces", "server"),
    "server_options": ("interfaces", "server_options"),
    "serving_names": ("processes", "serving_names"),
    "sharing_server": ("interfaces", "sharing_server"),
    "show_worker": ("starting", "begin"),
    "unconfined": ("wiring", "unconfined"),
    "unconfined_onboarding": ("wiring", "unconfined_onboarding"),
    "until_ended": ("processes", "until_ended"),
    "woken": ("processes", "woken"),
    "working": ("wiring", "working"),
}


if not TYPE_CHECKING:  # mypy knows the names from above, and would believe any other.

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _HOMES[name]
        where = module if module.startswith("hub.") else f"{__name__}.{module}"
        return getattr(import_module(where), attribute)
