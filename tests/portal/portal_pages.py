"""A portal in front of a real hub, both behind real servers, and a person's browser that knows no scripts.

A pytest plugin, loaded by ``conftest.py``. One hub and one portal for each module that asks.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from end_to_end.processes import free_port
from stage import Stage, VirtualClock, serving, staged

from hub.web.protocol import ConnectionBounds, server_options

_CSRF = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass
class Visitor:
    """One person's browser."""

    base: str
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.http.get(f"{self.base}{path}", timeout=30, **more)

    def post(self, path: str, *, at: str = "", csrf: str | None = None, **fields: Any) -> requests.Response:
        """Send a form as a browser does from the page ``at``, whose token it carries unless another is named."""
        if csrf is None:
            found = _CSRF.search(self.get(at).text) if at else None
            csrf = found[1] if found else ""
        headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin", **fields.pop("headers", {})}
        more = {"allow_redirects": fields.pop("allow_redirects", True)}
        return self.http.post(f"{self.base}{path}", data={"csrf": csrf, **fields}, headers=headers, timeout=30, **more)


@dataclass
class PortalSite:
    """A portal that serves; ``hub`` is the stage behind it, ``stop_hub`` ends the hub's server."""

    portal: Any
    base: str
    clock: VirtualClock
    hub: Stage
    stop_hub: Callable[[], None]

    def visitor(self) -> Visitor:
        return Visitor(self.base)


def portal_document(stage: Stage, hub_url: str, port: int, folder: Path) -> dict[str, Any]:
    """The settings of a portal on this machine, in front of a stage's hub."""
    secret = folder / "portal.secret"
    secret.write_text(stage.cast["sender"]["client_secret"], encoding="ascii")
    return {
        "hub": {
            "base_url": hub_url,
            "client_id": stage.cast["sender"]["client_id"],
            "client_secret_file": str(secret),
        },
        "serve": {"port": port, "public_url": f"http://127.0.0.1:{port}"},
        "limits": {"requests_per_minute": 5_000},
    }


@contextmanager
def portal_before(stage: Stage, folder: Path, **changes: Any) -> Iterator[PortalSite]:
    """Serve a stage's hub, and a portal in front of it; ``changes`` are tables of the portal's settings."""
    from hub.portal.application import build
    from hub.portal.composition import opened
    from hub.portal.settings import PortalSettings

    port = free_port()
    hub = serving(stage)
    served = hub.__enter__()
    stopped = threading.Event()

    def stop_hub() -> None:
        if not stopped.is_set():
            stopped.set()
            hub.__exit__(None, None, None)

    document = portal_document(stage, served.base_url, port, folder)
    for name, table in changes.items():
        document[name] = {**document.get(name, {}), **table} if isinstance(table, dict) else table
    try:
        with opened(PortalSettings.parse(document, folder), clock=stage.clock) as portal:
            options = {**server_options(ConnectionBounds()), "log_level": "error"}
            server = uvicorn.Server(uvicorn.Config(build(portal), host="127.0.0.1", port=port, **options))
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                while not server.started:
                    assert thread.is_alive(), "the portal did not begin"
                    time.sleep(0.01)
                yield PortalSite(portal, f"http://127.0.0.1:{port}", stage.clock, stage, stop_hub)
            finally:
                server.should_exit = True
                thread.join()
    finally:
        stop_hub()


@pytest.fixture(scope="module")
def portal_site(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalSite]:
    """A portal that all tests of a module share; leave its hub and its settings as they are."""
    folder = tmp_path_factory.mktemp("portal")
    with staged(made_once, folder, listens=False) as stage, portal_before(stage, folder) as site:
        yield site
