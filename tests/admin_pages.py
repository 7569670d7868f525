"""The admin pages on a stage, behind a real HTTP server, with people who may do different things.

A pytest plugin, loaded by ``conftest.py``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import uvicorn
from argon2 import PasswordHasher
from stage import altered
from store_values import buried, claim, record

from hub.admin import Mounted, Tools, build
from hub.administration.accounts import AccountService
from hub.administration.routing_tables import RoutingTableVersions
from hub.api.problems import server_options
from hub.app import admin_desks
from hub.identity import Accounts
from hub.identity.invitations import Invitations
from hub.identity.passkeys import Passkeys
from hub.identity.two_steps import TwoSteps
from hub.model import Role
from hub.web.protocol import ConnectionBounds

PASSWORD = "korrekt pferd batterie"
#: name -> roles, tenant
PEOPLE: dict[str, tuple[tuple[Role, ...], str]] = {
    "erika": ((Role.EDITOR,), ""),
    "anton": ((Role.APPROVER,), ""),
    "otto": ((Role.OPERATOR,), ""),
    "viktor": ((Role.VIEWER,), ""),
    "doris": ((Role.VIEWER, Role.EDITOR, Role.APPROVER, Role.OPERATOR), "06439"),
    "walter": ((Role.VIEWER, Role.EDITOR, Role.APPROVER, Role.OPERATOR), "06414"),
}
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Browser:
    """One person's session, as a browser without scripts has it."""

    base: str
    name: str
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.http.get(f"{self.base}{path}", timeout=20, **more)

    def post(self, path: str, *, csrf: str | None = None, **fields: Any) -> requests.Response:
        token = self.csrf() if csrf is None else csrf
        files = fields.pop("files", None)
        return self.http.post(f"{self.base}{path}", data={"csrf": token, **fields}, files=files, timeout=20)

    def csrf(self) -> str:
        found = _CSRF.search(self.get("/schemas").text)
        return found[1] if found else ""

    def log_in(self, password: str = PASSWORD, **more: Any) -> requests.Response:
        fields = {"name": self.name, "password": password, "next": "", **more}
        return self.http.post(f"{self.base}/login", data=fields, timeout=20, allow_redirects=False)


@dataclass
class Pages:
    """The served pages."""

    stage: Any
    base: str
    accounts: Accounts
    tables: RoutingTableVersions
    tools: Tools
    password: str = PASSWORD
    opened: list[Browser] = field(default_factory=list)

    def dead_letter(self, **cover: Any) -> Any:
        """Send an application whose delivery fails for good."""
        self.stage.accept(**cover)
        (taken,) = claim(self.store, now=self.stage.clock())
        outcome, step = buried(note="HTTP 403")
        now = self.stage.clock()
        assert record(self.store, taken, outcome, step, started_at=now, ended_at=now)
        return taken

    def browser(self, name: str) -> Browser:
        made = Browser(base=self.base, name=name)
        self.opened.append(made)
        return made

    def as_(self, name: str) -> Browser:
        made = self.browser(name)
        assert made.log_in().status_code == 303
        return made

    @property
    def store(self) -> Any:
        return self.stage.hub.store


async def nothing(scope: Any, _receive: Any, send: Any) -> None:
    """Stands where the interfaces are."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"interfaces"})


def tools_of(hub: Any, accounts: Accounts, base_url: str) -> Tools:
    """What the pages work with, where people are checked by ``accounts``."""
    invitations = Invitations(store=hub.store, accounts=accounts)
    return admin_desks(
        altered(
            hub,
            accounts=accounts,
            base_url=base_url,
            two_steps=TwoSteps(store=hub.store, accounts=accounts),
            passkeys=Passkeys(store=hub.store, accounts=accounts, base_url=base_url),
            invitations=invitations,
            account_service=AccountService(
                store=hub.store, accounts=accounts, invitations=invitations, base_url=base_url
            ),
        )
    )


def serve(app: Any) -> tuple[str, Callable[[], None]]:
    options = {**server_options(ConnectionBounds()), "log_level": "error"}
    config = uvicorn.Config(app, port=0, lifespan="off", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join()

    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/admin", stop


@pytest.fixture
def pages(stage: Any) -> Iterator[Pages]:
    with paged(stage) as served:
        yield served


@contextmanager
def paged(stage: Any) -> Iterator[Pages]:
    """The pages of a stage, for as long as the block runs."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(store=stage.hub.store, box=stage.hub.keys, hasher=quick)
    for name, (roles, tenant) in PEOPLE.items():
        accounts.add(name, PASSWORD, roles=roles, tenant=tenant, actor="cli:test", now=stage.clock())
    tools = tools_of(stage.hub, accounts, "http://127.0.0.1")
    base, stop = serve(Mounted(build(tools), nothing))
    served = Pages(stage=stage, base=base, accounts=accounts, tables=tools.hub.book, tools=tools)
    yield served
    for browser in served.opened:
        browser.http.close()
    stop()
