"""Walls between tenants, generated from all pages and all operations: a new one that is in no class fails here.

Somebody with all rights in one district, and clients of that district, try everything on what belongs to another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from stage import TAUNUSSTEIN
from store_values import buried, claim, record
from test_commit_faults import account

from hub.admin.application import PAGES
from hub.administration.onboarding_plans import Plan
from hub.files.strict_yaml import load_yaml
from hub.identity import new_client
from hub.model import EVERYTHING, ROOT, ClientKind, Delegation, Role, Tenant, TenantKind, Vendor
from hub.store import AuditEntry, OnboardingRow, OnboardingRun

CONTRACT = load_yaml((Path(__file__).parents[2] / "openapi.yaml").read_bytes())
NAME = "Fremdes-Amt-im-anderen-Kreis"

# Pages. What speaks of one thing names it by {id}; that of another tenant is not there.
THINGS = {
    "submissions": "submission",
    "destinations": "destination",
    "clients": "client",
    "tenants": "tenant",
    "accounts": "account",
    "onboarding": "area",
    "vendors": "vendor",
}
LISTS = {
    "",
    "open",
    "accounts",
    "submissions",
    "destinations",
    "clients",
    "tenants",
    "onboarding",
    "vendors",
    "dead",
    "usage",
    "audit",
}
#: Everybody's, or of rules, which go by area: a reader's page of it names nothing of another tenant's all the same.
SHARED = {"schemas", "services", "ai", "routing", "runbooks", "health"}
#: Of whoever asks, and before there is anybody.
OWN = {"login", "logout", "oidc", "account", "invitation", "register"}

# Operations. Who may ask is in their scopes; what they speak of stands in their paths.
PERSONS = {"see", "edit", "approve", "operate"}
THEIRS = {
    "accountName",
    "tenantId",
    "sessionId",
    "submissionId",
    "replyId",
    "attachmentId",
    "caseId",
    "clientId",
    "destinationId",
    "deliveryId",
    "keyId",
    "upload",
    "areaCode",
    "vendorId",
    "delegationId",
}
OPEN = {"role", "number", "ruleId", "systemId", "seq", "leikaKey", "slug", "serviceIdentifier"}
#: FIT-Connect's interface tells everybody to whom something can be sent, and by which key.
SAID_TO_ALL = re.compile(r"fit_connect\.v[12]\.destinations\.(show|keys?)|keys\.submission")
#: Nobody has to say who they are for these.
PUBLIC = re.compile(
    r"(pages|ai_systems|dry_run|problems|schemas|areas|services|feed|routes|public_figures|keys|oauth|health|metrics)\.\w+"
    r"|persons\.token|uploads\.\w+|fit_connect\.v[12]\.(info|routing\.\w+|destinations\.keys?)"
)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What belongs to the other district: ids by what it is, and the words that nobody else may read."""

    ids: dict[str, str]
    words: tuple[str, ...]
    state: Any


def foreign(stage: Any) -> Foreign:
    hub, now = stage.hub, stage.clock()
    stage.accept(area=TAUNUSSTEIN)
    (taken,) = claim(hub.store, now=now)
    assert record(hub.store, taken, *buried(note="HTTP 403"), started_at=now, ended_at=now)
    client, _ = new_client(ClientKind.SUBSCRIBER, NAME, now=now, tenant="06439")
    hub.store.parties.add_client(client)
    office = Tenant(
        tenant_id="fremdes-amt", parent=ROOT, kind=TenantKind.OFFICE, name=NAME, created_at=now, updated_at=now
    )
    hub.store.tenants.add(
        [office], audit=AuditEntry(at=now, actor="x", action="tenant.add", target="tenant:fremdes-amt")
    )
    here = taken.destination.destination_id
    hub.store.parties.change_destination(
        here,
        lambda before: replace(before, name=NAME),
        audit=lambda *_: AuditEntry(at=now, actor="x", action="destination.change", target=f"destination:{here}"),
    )
    frieda = account("frieda.fremd", tenant="06439", roles=(Role.OPERATOR,), created_at=now)
    hub.store.accounts.add(
        frieda, audit=AuditEntry(at=now, actor="x", action="account.add", target="account:frieda.fremd")
    )
    submission = taken.submission
    ids = {
        "submission": str(submission.submission_id),
        "case": str(submission.case_id),
        "destination": str(here),
        "delivery": str(taken.delivery_id),
        "client": client.client_id,
        "tenant": office.tenant_id,
        "account": "frieda.fremd",
    }
    run = OnboardingRun(title=NAME, proposed_by="frieda.fremd", proposed_at=now)
    row = OnboardingRow(ars=TAUNUSSTEIN, number=2, name=NAME, plan=dict.fromkeys(Plan.__slots__, ""))
    hub.store.onboarding.add(
        run, [row], audit=AuditEntry(at=now, actor="x", action="onboarding.propose", target="onboarding")
    )
    ids["vendor"], ids["delegation"] = str(uuid4()), str(uuid4())
    vendor = Vendor(
        vendor_id=ids["vendor"], name=NAME, tenant_id=office.tenant_id, admitted_by="frieda.fremd", created_at=now
    )
    entry = AuditEntry(at=now, actor="x", action="vendor.add", target=f"vendor:{vendor.vendor_id}")
    hub.store.vendors.add(vendor, audit=entry)
    given = Delegation(
        delegation_id=ids["delegation"],
        vendor_id=vendor.vendor_id,
        tenant_id=office.tenant_id,
        granted_by="frieda.fremd",
        granted_at=now,
    )
    hub.store.vendors.delegate(given, audit=entry)
    words = (NAME, *ids.values())
    ids["area"] = TAUNUSSTEIN
    return Foreign(ids=ids, words=words, state=_state(hub.store, here, client.client_id))


def _state(store: Any, destination: Any, client: str) -> Any:
    return (
        store.parties.destination(destination),
        store.parties.client(client),
        store.tenants.tenant("fremdes-amt", scope=EVERYTHING),
        store.parties.keys(destination),
        store.key_changes.of(destination),
        store.deliveries.dead(scope=EVERYTHING).items,
        store.tenants.grants_at(["fremdes-amt"], scope=EVERYTHING),
        store.circuits.circuit(destination),
        store.accounts.account("frieda.fremd"),
        [store.vendors.grants(each.vendor_id) for each in store.vendors.vendors(scope=EVERYTHING).items],
    )


def _first(path: str) -> str:
    return path.strip("/").partition("/")[0]


def test_each_page_is_in_a_class():
    assert {_first(page.path) for page in PAGES} <= LISTS | SHARED | OWN
    named = {part for page in PAGES for part in re.findall(r"\{(\w+)\}", page.path)}
    assert named <= {"id", "name", "token", "number", "standard", "version"}
    assert {_first(page.path) for page in PAGES if "{id}" in page.path} <= THINGS.keys() | {"schemas"}


def test_no_page_shows_or_changes_what_is_another_tenants(pages):
    other = foreign(pages.stage)
    walter = pages.as_("walter")
    fields = {
        **{name: other.ids[name] for name in ("destination", "delivery", "tenant")},
        "target": other.ids["tenant"],
        "parent": other.ids["tenant"],
        "owner": other.ids["client"],
        "q": NAME,
    }
    for page in PAGES:
        first = _first(page.path)
        if first in OWN or (first in SHARED and page.method == "POST"):
            continue
        path = page.path
        if first in THINGS:
            path = path.replace("{id}", other.ids[THINGS[first]]).replace("{name}", other.ids["account"])
        path = path.replace("{id}", "x").replace("{number}", "1").replace("{standard}", "x").replace("{version}", "1")
        answer = (
            walter.get(path, params={"q": NAME, "destination": other.ids["destination"]})
            if page.method == "GET"
            else walter.post(path, sure="yes", **fields)
        )
        if path != page.path and first in THINGS:
            assert answer.status_code == 404, (page.method, page.path)
        assert answer.status_code < 500, (page.method, page.path)
        # What was asked for stands in the page as the question.
        said = re.sub(r'<input[^>]*value="[^"]*"[^>]*>|href="[^"]*"|<option[^>]*selected[^>]*>', "", answer.text)
        words = [word for word in other.words if word in said and word not in path and word != "fremdes-amt"]
        assert words == [], (page.method, page.path)
    here, client = pages.store.parties, other.ids["client"]
    destination = next(each for each in here.destinations(scope=EVERYTHING, limit=500).items if each.name == NAME)
    assert _state(pages.store, destination.destination_id, client) == other.state


def _operations():
    for path, item in CONTRACT["paths"].items():
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete", "head", "options"}:
                yield method.upper(), path, operation


def _scopes(operation: dict[str, Any]) -> set[str]:
    return {scope for each in operation.get("security", ()) for scope in each.get("oauth2", ())}


def test_each_operation_is_in_a_class():
    named = {part for _, path, _ in _operations() for part in re.findall(r"\{(\w+)\}", path)}
    assert named == THEIRS | OPEN
    everybodys = [operation["operationId"] for _, _, operation in _operations() if not _scopes(operation)]
    assert [name for name in everybodys if not PUBLIC.fullmatch(name)] == []


def test_no_operation_tells_or_changes_what_is_another_tenants(office):
    other = foreign(office.stage)
    clients = []
    for kind in (ClientKind.SENDER, ClientKind.SUBSCRIBER):
        made, secret = new_client(kind, "Amt in Wiesbaden", now=office.stage.clock(), tenant="06414", manage=True)
        office.stage.hub.store.parties.add_client(made)
        form = {"grant_type": "client_credentials", "client_id": made.client_id, "client_secret": secret}
        answer = requests.post(f"{office.base}/token", data=form, timeout=30)
        clients.append(office.with_(answer.json()["access_token"]))
    walter = office.as_("walter")
    values = {f"{name}Id": value for name, value in other.ids.items()} | {
        "number": "1",
        "leikaKey": "99123",
        "role": "viewer",
    }
    values["accountName"], values["areaCode"] = other.ids["account"], other.ids["area"]
    tried = 0
    for method, path, operation in _operations():
        scopes = _scopes(operation)
        name = operation["operationId"]
        if not scopes or method == "OPTIONS" or name == "persons.revoke":
            continue
        called = re.sub(r"\{(\w+)\}", lambda part: values.get(part[1], other.ids["submission"]), path)
        headers = {"If-Match": '"1"', "Content-Type": "application/json"}
        for party in [walter] if scopes & PERSONS and not scopes - PERSONS else [walter, *clients]:
            given = {} if method in {"GET", "HEAD"} else {"data": "{}"}
            answer = party.http.request(
                method,
                f"{office.base}{called}",
                headers={"Authorization": f"Bearer {party.token}", **headers},
                timeout=30,
                **given,
            )
            tried += 1
            assert answer.status_code < 500, (method, path, answer.text)
            if set(re.findall(r"\{(\w+)\}", path)) & THEIRS and not SAID_TO_ALL.fullmatch(name):
                assert answer.status_code >= 400, (method, path)
            if not SAID_TO_ALL.fullmatch(name):
                answered = answer.text.replace(called, "")
                words = [word for word in other.words if word in answered and word not in called]
                assert words == [], (method, path)
    assert tried > 100
    destination = next(
        each
        for each in office.stage.hub.store.parties.destinations(scope=EVERYTHING, limit=500).items
        if each.name == NAME
    )
    assert _state(office.stage.hub.store, destination.destination_id, other.ids["client"]) == other.state


@pytest.mark.parametrize("name", ["submissions", "destinations", "clients", "tenants"])
def test_what_is_another_tenants_and_what_is_nowhere_are_refused_alike(pages, name):
    other = foreign(pages.stage)
    walter = pages.as_("walter")
    there = walter.get(f"/{name}/{other.ids[THINGS[name]]}")
    nowhere = walter.get(f"/{name}/00000000-0000-0000-0000-000000000001")
    assert (there.status_code, nowhere.status_code) == (404, 404)
    bare = [re.sub(r"[0-9a-f-]{36}|fremdes-amt", "", answer.text) for answer in (there, nowhere)]
    assert bare[0] == bare[1]
