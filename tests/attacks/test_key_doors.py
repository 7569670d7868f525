"""Keys change by one rule at all doors: the same people do the same on the pages, over the API and on the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from admin_pages import PASSWORD
from argon2 import PasswordHasher
from click.testing import CliRunner

from hub.app import development_authority
from hub.cli.accounts import accounts as accounts_command
from hub.cli.destinations import destinations as destinations_command
from hub.crypto import make_rsa_pair
from hub.errors import HubError
from hub.identity import Accounts
from hub.model import EVERYTHING, Role
from hub.web.responses import status_of

OPERATOR, APPROVER = (Role.OPERATOR,), (Role.APPROVER,)
#: Besides whom the pages and the API have already. Berta invited the account ``zweit``, which she may log in with.
PEOPLE = {
    "otto": OPERATOR,
    "olga": OPERATOR,
    "anton": APPROVER,
    "viktor": (Role.VIEWER,),
    "berta": (Role.OPERATOR, Role.APPROVER),
}
OWN, ONE_HUMAN = "selbst vorgeschlagen", "zählen noch als eine Person"

#: Who does what with which key, and what comes of it: what was done, or a refusal's status and words.
CASES: list[tuple[str, str, str, Any]] = [
    ("viktor", "add", "sealing", (403, "")),
    ("anton", "add", "sealing", (403, "Betrieb")),
    ("otto", "add", "sealing", "recorded"),
    ("olga", "add", "sealing", "recorded"),
    ("anton", "activate", "sealing", (403, "Betrieb")),
    ("otto", "activate", "unknown", (404, "")),
    ("otto", "activate", "sealing", "noted"),
    ("otto", "activate", "sealing", (403, OWN)),
    ("olga", "activate", "sealing", (403, "Freigabe")),
    ("anton", "activate", "sealing", "done"),
    ("otto", "activate", "sealing", (409, "schon in Gebrauch")),
    ("otto", "retire", "sealing", (409, "zuerst einen anderen")),
    ("otto", "retire", "first", "noted"),
    ("anton", "retire", "first", "done"),
    ("viktor", "add", "signing", (403, "")),
    ("anton", "add", "signing", (403, "Betrieb")),
    ("otto", "add", "signing", "noted"),
    ("otto", "add", "signing", (403, OWN)),
    ("olga", "add", "signing", (403, "Freigabe")),
    ("anton", "add", "signing", "done"),
    ("olga", "add", "signing", "recorded"),
    ("otto", "activate", "signing", (422, "nur Schlüssel zum Verschlüsseln")),
    ("berta", "retire", "signing", "noted"),
    ("berta", "retire", "signing", (403, OWN)),
    ("zweit", "retire", "signing", (403, ONE_HUMAN)),
    ("berta", "vouch", "zweit", (403, "dritte Person")),
    ("otto", "vouch", "zweit", "vouched"),
    ("zweit", "retire", "signing", "done"),
]
#: Who said and decided what, as the audit log has it.
AUDITED = [
    ("key.propose", "otto", "activate", None),
    ("key.approve", "anton", "activate", "otto"),
    ("key.propose", "otto", "retire", None),
    ("key.approve", "anton", "retire", "otto"),
    ("key.propose", "otto", "add", None),
    ("key.approve", "anton", "add", "otto"),
    ("key.propose", "berta", "retire", None),
    ("key.approve", "zweit", "retire", "berta"),
]


@pytest.fixture(scope="module")
def pairs():
    """Key pairs take a third of a second each: one set for all."""
    return {"sealing": make_rsa_pair("encryption")[0], "signing": make_rsa_pair("signing")[0]}


@dataclass
class Door:
    """One way in. ``kids`` and ``jwks`` are the keys by what the cases call them; ``way`` is what it is walked with."""

    stage: Any
    here: Any
    kids: dict[str, str]
    jwks: dict[str, dict[str, Any]]
    way: Any
    people: dict[str, Any] = field(default_factory=dict)

    def person(self, name: str) -> Any:
        """Return somebody who is logged in, once."""
        if name not in self.people:
            self.people[name] = self.way.as_(name)
        return self.people[name]


class Page(Door):
    def enter(self, name: str, what: str, key: str) -> Any:
        browser = self.person(name)
        path = f"/destinations/{self.here}/key"
        if what == "vouch":
            answer = browser.post(f"/accounts/{key}/vouch")
        elif what == "add":
            use = "signature" if key == "signing" else "store"
            answer = browser.post(path, pasted=json.dumps(self.jwks[key]), use=use)
        else:
            answer = browser.post(f"{path}/propose", step=what, kid=self.kids[key])
        if answer.status_code != 200:
            return answer.status_code, answer.text
        said = {
            "Hinterlegt.": "recorded",
            "Vorgeschlagen.": "noted",
            "Freigegeben und wirksam": "done",
            "Als eigene Person bestätigt von": "vouched",
        }
        return next(done for words, done in said.items() if words in answer.text)


class Api(Door):
    def enter(self, name: str, what: str, key: str) -> Any:
        party = self.person(name)
        path = f"/destinations/{self.here}/keys"
        if what == "vouch":
            answer = party.post(f"/accounts/{key}/vouch")
        elif what == "add":
            answer = party.post(path, json=self.jwks[key])
        else:
            answer = party.post(f"{path}/{self.kids[key]}/{what}")
        body = answer.json()
        if answer.status_code >= 400:
            return answer.status_code, body["detail"]
        if what == "vouch":
            return "vouched" if body["countsAsOneWith"] == [] else body
        change = body.get("keyChange", body if "state" in body else None)
        noted = change is not None and change["state"] == "open"
        assert (answer.status_code == 202) is noted
        return "recorded" if change is None else {"open": "noted", "approved": "done"}[change["state"]]


class CommandLine(Door):
    def enter(self, name: str, what: str, key: str) -> Any:
        by = ["--as", name, "--password-file", str(self.way), "--data", str(self.stage.data)]
        if what == "vouch":
            command, words = accounts_command, ["vouch", key]
        elif what == "add":
            source = self.way.with_name(f"{key}.json")
            source.write_text(json.dumps(self.jwks[key]))
            command, words = destinations_command, ["key", "add", str(self.here), str(source)]
        else:
            step = {"activate": "use"}.get(what, what)
            command, words = destinations_command, ["key", step, str(self.here), self.kids[key]]
        result = CliRunner().invoke(command, [*words, *by])
        if isinstance(result.exception, HubError):
            return status_of(result.exception), result.exception.detail.de
        assert result.exit_code == 0, result.output
        said = {"noted": "noted", " + ": "done", "vouched": "vouched", "added": "recorded", "was there": "recorded"}
        return next(done for words, done in said.items() if words in result.output)


DOORS = {"pages": Page, "office": Api, "password": CommandLine}


@pytest.fixture
def password(tmp_path):
    """The file with everybody's password."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return secret


@pytest.fixture(params=DOORS, ids=["page", "api", "command line"])
def door(request, stage, pairs):
    store, now = stage.hub.store, stage.clock()
    way = request.getfixturevalue(request.param)
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(store=store, box=stage.hub.keys, hasher=quick)
    for name, roles in PEOPLE.items():
        if store.accounts.account(name) is None:
            accounts.add(name, PASSWORD, roles=roles, actor="cli:test", now=now)
    accounts.add("zweit", PASSWORD, roles=PEOPLE["berta"], actor="zweit", invited_by="berta", now=now)
    authority = development_authority(stage.hub.settings, now=now)
    jwks = {name: authority.issue(public, subject="Neustadt", now=now, days=30) for name, public in pairs.items()}
    here = stage.destination_id("Rheingau")
    first = store.parties.destination(here).encryption_kid
    kids = {"first": first, "unknown": "gibt-es-nicht", **{name: jwk["kid"] for name, jwk in jwks.items()}}
    return DOORS[request.param](stage=stage, here=here, kids=kids, jwks=jwks, way=way)


def test_all_doors_keep_one_rule_for_keys(door):
    for number, (name, what, key, expected) in enumerate(CASES):
        came = door.enter(name, what, key)
        if isinstance(expected, str):
            assert came == expected, (number, name, what, key)
        else:
            status, words = came
            assert (status, expected[1] in words) == (expected[0], True), (number, name, what, key, words)
    store = door.stage.hub.store
    entries = [each.entry for each in store.audit.entries(scope=EVERYTHING, action="key.", limit=100).items]
    assert [(each.action, each.actor, each.after["step"], each.after.get("proposed_by")) for each in entries] == AUDITED
    assert store.parties.destination(door.here).encryption_kid == door.kids["sealing"]


def test_the_machines_user_records_a_key_and_puts_none_into_force(stage, pairs):
    """Whoever may write the data folder needs no account for data, and a name for what counts."""
    here = stage.destination_id("Rheingau")
    authority = development_authority(stage.hub.settings, now=stage.clock())
    source = stage.data / "key.json"
    said = []
    for use in ("sealing", "signing"):
        source.write_text(json.dumps(authority.issue(pairs[use], subject="Neustadt", now=stage.clock(), days=30)))
        words = ["key", "add", str(here), str(source), "--data", str(stage.data)]
        result = CliRunner().invoke(destinations_command, words)
        said.append((getattr(result.exception, "slug", None), "added" in result.output))
    assert said == [(None, True), ("second-person", False)]
