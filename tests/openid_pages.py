"""The admin pages with a small OpenID Connect provider beside them, and the ways of a browser between both.

A pytest plugin, loaded by ``conftest.py`` after ``admin_pages``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from admin_pages import PASSWORD, Browser, Pages, nothing, serve, tools_of
from argon2 import PasswordHasher
from jwcrypto import jwk
from openid_provider import CLIENT_ID, GROUPS, SECRET, SmallProvider, make_key, running
from stage import altered

from hub.admin import Mounted, build
from hub.identity import Accounts
from hub.identity.openid.login import CALLBACK_PATH, Grants, OpenIdLogin
from hub.model import Role
from hub.openid.provider import Provider, Registration
from hub.transport.connection import Outbound


@dataclass
class Entrance:
    """The pages, the provider, and the ways of a browser between them."""

    pages: Pages
    provider: SmallProvider
    login: OpenIdLogin

    def begin(self, browser: Browser, **query: str) -> str:
        """Press the button; return where the provider is."""
        answer = browser.get("/oidc/login", params=query, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def asked(self, address: str) -> dict[str, str]:
        """What the hub asks of the provider."""
        return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

    def at_the_provider(self, address: str) -> str:
        """Log in there; return where the browser is sent back to."""
        answer = requests.get(address, timeout=10, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def back(self, browser: Browser, address: str) -> requests.Response:
        return browser.http.get(address, timeout=10, allow_redirects=False)

    def walk(self, browser: Browser | None = None, **query: str) -> requests.Response:
        """The whole way of one log-in, to the page that ends it."""
        browser = browser or self.pages.browser("")
        return self.back(browser, self.at_the_provider(self.begin(browser, **query)))

    def as_(self, sub: str, *groups: str, **person: str) -> Browser:
        """The session of one of the provider's people."""
        self.provider.person = {"sub": sub, "preferred_username": sub, "name": sub.title(), **person}
        self.provider.groups = list(groups)
        browser = self.pages.browser(sub)
        answer = self.walk(browser)
        assert answer.status_code == 200, answer.text
        return browser


@pytest.fixture(scope="session")
def provider_key() -> jwk.JWK:
    return make_key("k1")


@pytest.fixture
def provider(stage: Any, provider_key: jwk.JWK) -> Iterator[SmallProvider]:
    with running(SmallProvider(clock=stage.clock, keys=[provider_key])) as small:
        yield small


def login_by(
    provider: SmallProvider, hub: Any, accounts: Accounts, groups: Path, *, claim: str = "roles"
) -> OpenIdLogin:
    registration = Registration(
        issuer=provider.issuer, client_id=CLIENT_ID, secret=SECRET, redirect_uri=provider.redirect_uri
    )
    outbound = Outbound(allow_private_addresses=True, answer_limit=256 * 1024)
    return OpenIdLogin(
        store=hub.store,
        accounts=accounts,
        box=hub.keys,
        provider=Provider(registration=registration, outbound=outbound),
        grants=Grants.load(groups, claim),
    )


@pytest.fixture
def entrance(stage: Any, provider: SmallProvider, tmp_path: Path) -> Iterator[Entrance]:
    """Pages with both ways in, and one local account of an approver."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(store=stage.hub.store, box=stage.hub.keys, hasher=quick)
    for name, role in (("anton", Role.APPROVER), ("lokal", Role.EDITOR)):
        accounts.add(name, PASSWORD, roles=(role,), actor="cli:test", now=stage.clock())
    built: list[Any] = []

    async def pages_once_built(scope: Any, receive: Any, send: Any) -> None:
        await built[0](scope, receive, send)

    base, stop = serve(pages_once_built)
    provider.redirect_uri = base.removesuffix("/admin") + CALLBACK_PATH
    groups = tmp_path / "groups.toml"
    groups.write_text(GROUPS, encoding="utf-8")
    login = login_by(provider, stage.hub, accounts, groups)
    tools = tools_of(altered(stage.hub, openid=login), accounts, base.removesuffix("/admin"))
    built.append(Mounted(build(tools), nothing))
    served = Pages(stage=stage, base=base, accounts=accounts, tables=tools.hub.book, tools=tools)
    yield Entrance(pages=served, provider=provider, login=login)
    for browser in served.opened:
        browser.http.close()
    stop()
