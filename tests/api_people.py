"""Persons and machines who administer a served hub over its API.

A pytest plugin, loaded by ``conftest.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from admin_pages import PASSWORD, PEOPLE
from argon2 import PasswordHasher

from hub.identity.accounts import Accounts
from hub.identity.clients import new_client
from hub.model import EVERYTHING, Role
from hub.model.parties import ClientKind

#: Besides those of the pages: a second operator, and somebody who may do everything.
MORE: dict[str, tuple[tuple[Role, ...], str]] = {
    "olga": ((Role.OPERATOR,), ""),
    "berta": ((Role.EDITOR, Role.APPROVER, Role.OPERATOR), ""),
}


@dataclass
class Party:
    """Somebody with a token."""

    base: str
    token: str
    http: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.http.request(method, f"{self.base}/hub/v1{path}", headers=headers, timeout=30, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.call("POST", path, **more)

    def change(self, method: str, path: str, tag: str, **more: Any) -> requests.Response:
        """Change something on the state that ``tag`` names."""
        return self.call(method, path, headers={"If-Match": tag, **more.pop("headers", {})}, **more)

    def tag(self, path: str) -> str:
        """Return the ``ETag`` of what is there, or any where this party sees nothing."""
        return self.get(path).headers.get("ETag", '"0000000000000000"')

    def amend(self, path: str, **body: Any) -> requests.Response:
        """Change members of what is there now."""
        return self.change("PATCH", path, self.tag(path), json=body)

    def rotate(self, client_id: str) -> requests.Response:
        """Give a client a new secret."""
        path = f"/clients/{client_id}"
        return self.change("POST", f"{path}/rotate", self.tag(path))


@dataclass
class Office:
    """A served hub and those who administer it."""

    stage: Any
    base: str
    accounts: Accounts
    password: str = PASSWORD
    _open: list[Party] = field(default_factory=list)

    def log_in(self, name: str, password: str = PASSWORD, **more: str) -> requests.Response:
        form = {"name": name, "password": password, **more}
        return requests.post(f"{self.base}/hub/v1/persons/token", data=form, timeout=30)

    def as_(self, name: str) -> Party:
        answer = self.log_in(name)
        assert answer.status_code == 200, answer.text
        return self.with_(answer.json()["access_token"])

    def with_(self, token: str) -> Party:
        party = Party(base=self.base, token=token)
        self._open.append(party)
        return party

    def machine(self, *, tenant: str = "") -> Party:
        client, secret = new_client(ClientKind.MACHINE, "GitOps", now=self.stage.clock(), tenant=tenant)
        self.stage.hub.store.parties.add_client(client)
        form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": secret}
        return self.with_(requests.post(f"{self.base}/token", data=form, timeout=30).json()["access_token"])

    def audited(self) -> list[tuple[str, str, str]]:
        """Return (action, actor, target), oldest first."""
        entries = [each.entry for each in self.stage.hub.store.audit.entries(limit=500, scope=EVERYTHING).items]
        return [(entry.action, entry.actor, entry.target) for entry in entries]

    def close(self) -> None:
        for party in self._open:
            party.http.close()


def open_office(served: Any) -> Office:
    """Give a served stage its people; their passwords cost little to check."""
    hub = served.stage.hub
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(store=hub.store, box=hub.keys, hasher=quick)
    for name, (roles, tenant) in (PEOPLE | MORE).items():
        accounts.add(name, PASSWORD, roles=roles, tenant=tenant, actor="cli:test", now=served.stage.clock())
    return Office(stage=served.stage, base=served.base_url, accounts=accounts)


@pytest.fixture
def office(served: Any):
    opened = open_office(served)
    yield opened
    opened.close()
