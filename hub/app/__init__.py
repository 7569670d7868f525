"""The composition root: settings in, objects wired, ASGI application out. Nothing else builds the hub.

``openings`` opens what settings name, ``wiring`` builds the objects, ``interfaces`` serves them.
"""

from hub.app.interfaces import admin_desks, asgi, destination_service, fit_connect_parts, handlers, server_options
from hub.app.starting import alone, announce, insist_on_free_port, judge_files, refuse_demo, tell
from hub.app.starting import begin as show_worker
from hub.app.wiring import (
    Hub,
    build,
    development_authority,
    gauges,
    installed_adapters,
    open_blobs,
    postal_codes_of,
    utc_now,
    working,
)

__all__ = [
    "Hub",
    "admin_desks",
    "alone",
    "announce",
    "asgi",
    "build",
    "destination_service",
    "development_authority",
    "fit_connect_parts",
    "gauges",
    "handlers",
    "insist_on_free_port",
    "installed_adapters",
    "judge_files",
    "open_blobs",
    "postal_codes_of",
    "refuse_demo",
    "server_options",
    "show_worker",
    "tell",
    "utc_now",
    "working",
]
