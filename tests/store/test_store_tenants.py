"""The tree of tenants: whose something is, what is seen of it, and what becomes of it when the tree changes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from store_values import NOW, accepted, known_destination
from test_commit_faults import account, client

from hub.errors import Conflict, NotFound
from hub.identity.persons import Right, person_of
from hub.model import EVERYTHING, NOTHING, ROOT, Role, Scope, Tenant, TenantGrant, TenantKind
from hub.store import AuditEntry, tables
from hub.store.reports import Wanted
from hub.store.scopes import within

DIALECTS = (postgresql.dialect(), sqlite.dialect())
AUDIT = AuditEntry(at=NOW, actor="anna", action="tenant.add", target="tenant:x")
DISTRICT, TOWN, OTHER = "06435", "06435014", "06439"


def tenant(tenant_id: str, parent: str = ROOT, *areas: str, kind: TenantKind = TenantKind.DISTRICT) -> Tenant:
    return Tenant(
        tenant_id=tenant_id, parent=parent, kind=kind, name=tenant_id, areas=areas, created_at=NOW, updated_at=NOW
    )


@pytest.fixture
def tree(store):
    """Two districts, a town in the first, an office in the town."""
    town, office = TenantKind.MUNICIPALITY, TenantKind.OFFICE
    made = [tenant("mkk", ROOT, DISTRICT), tenant("rtk", ROOT, OTHER), tenant("hanau", "mkk", TOWN, kind=town)]
    store.tenants.add([*made, tenant("bauamt", "hanau", kind=office)], audit=AUDIT)
    return store


def seen(store, *tenants: str) -> set[str]:
    scope = store.tenants.scope_of(tenants)
    return {each.name for each in store.parties.destinations(scope=scope).items}


def place(store, name: str, **belonging):
    made = replace(known_destination(store), name=name)
    store.parties.replace_destination(made)
    values = {"tenant": "", "tenant_id": None, **belonging}
    return store.parties.change_destination(
        made.destination_id, lambda before: replace(before, **values), audit=lambda *_: AUDIT
    )


def test_what_names_an_area_belongs_to_whoever_stands_for_the_longest_beginning_of_it(tree):
    assert known_destination(tree, tenant=f"{TOWN}0014").tenant_id is None
    there = tree.parties.destinations(scope=tree.tenants.scope_of(["hanau"])).items
    assert [each.tenant for each in there] == [f"{TOWN}0014"]
    assert tree.parties.destinations(scope=tree.tenants.scope_of(["rtk"])).total == 0


def test_a_scope_is_the_whole_subtree_and_nothing_beside_it(tree):
    for name, whose in (("a", "mkk"), ("b", "hanau"), ("c", "bauamt"), ("d", "rtk"), ("e", None)):
        place(tree, name, tenant_id=whose)
    assert seen(tree, "mkk") == {"a", "b", "c"}
    assert seen(tree, "hanau") == {"b", "c"}
    assert seen(tree, "bauamt", "rtk") == {"c", "d"}
    assert seen(tree, ROOT) == set("abcde")
    assert tree.parties.destinations(scope=NOTHING).total == 0


def test_whoever_is_bound_to_an_area_sees_by_area_whatever_the_tree_says(tree):
    here, there = known_destination(tree, tenant=TOWN), known_destination(tree, tenant=OTHER)
    scope = Scope.of_area(DISTRICT)
    assert [each.destination_id for each in tree.parties.destinations(scope=scope).items] == [here.destination_id]
    assert tree.parties.visible_destination(there.destination_id, scope=scope) is None


def test_an_account_belongs_to_a_tenant_only_where_that_stands_for_exactly_its_area(tree):
    tree.accounts.add(account("district", tenant=DISTRICT), audit=AUDIT)
    tree.accounts.add(account("association", tenant="064350015"), audit=AUDIT)
    whose = {each.name: each.tenant_id for each in tree.accounts.accounts(scope=EVERYTHING).items}
    assert whose == {"district": "mkk", "association": None}


def test_a_new_tenant_takes_over_what_names_its_area_from_whoever_stood_for_a_wider_one(store):
    before = known_destination(store, tenant=TOWN)
    store.accounts.add(account("otto", tenant=TOWN), audit=AUDIT)
    store.accounts.add(account("wide", tenant=DISTRICT), audit=AUDIT)
    store.tenants.add([tenant("mkk", ROOT, DISTRICT)], audit=AUDIT)
    assert store.parties.destination(before.destination_id).tenant_id == "mkk"
    assert (store.accounts.account("otto").tenant_id, store.accounts.account("wide").tenant_id) == (None, "mkk")
    store.tenants.add([tenant("hanau", "mkk", TOWN, kind=TenantKind.MUNICIPALITY)], audit=AUDIT)
    assert store.parties.destination(before.destination_id).tenant_id == "hanau"
    assert store.accounts.account("otto").tenant_id == "hanau"


def test_an_area_has_one_tenant_and_nobody_stands_below_itself(tree):
    with pytest.raises(Conflict) as taken:
        tree.tenants.add([tenant("twin", ROOT, TOWN)], audit=AUDIT)
    assert taken.value.slug == "tenant-area-taken"
    with pytest.raises(Conflict) as circle:
        tree.tenants.change("mkk", lambda before: replace(before, parent="bauamt"), audit=lambda *_: AUDIT)
    assert circle.value.slug == "tenant-below-itself"
    with pytest.raises(NotFound):
        tree.tenants.add([tenant("lost", "nowhere")], audit=AUDIT)
    assert len(tree.tenants.tree(scope=EVERYTHING)) == 5


def test_a_town_that_leaves_its_district_takes_all_that_is_its_own_along(tree):
    there = known_destination(tree, tenant=TOWN)
    accepted(tree, there.destination_id)
    tree.accounts.add(account("town", tenant=TOWN), audit=AUDIT)
    assert tree.overview.submissions(Wanted(), scope=tree.tenants.scope_of(["mkk"])).total == 1
    tree.tenants.change("hanau", lambda before: replace(before, parent=ROOT, areas=("06415",)), audit=lambda *_: AUDIT)
    assert tree.overview.submissions(Wanted(), scope=tree.tenants.scope_of(["mkk"])).total == 0
    assert tree.overview.submissions(Wanted(), scope=tree.tenants.scope_of(["hanau"])).total == 1
    held = tree.tenants.holdings("hanau")
    assert (len(held.destinations), held.accounts, held.open_deliveries) == (1, ("town",), 1)


@pytest.mark.parametrize("keep", [False, True])
def test_a_dissolved_tenant_leaves_nothing_behind_and_its_rights_end_unless_they_are_kept(tree, keep):
    there = known_destination(tree, tenant=TOWN)
    tree.parties.add_client(replace(client(), tenant=TOWN))
    for name in ("town", "guest"):
        tree.accounts.add(account(name, tenant=TOWN if name == "town" else OTHER), audit=AUDIT)
    given = TenantGrant(account="guest", role=Role.EDITOR, tenant_id="hanau", granted_by="anna", granted_at=NOW)
    tree.tenants.grant(given, audit=AUDIT)
    held = tree.tenants.dissolve(
        "hanau", successor="mkk", keep_rights=keep, until=NOW.date(), audit=lambda _: AUDIT, now=NOW
    )
    assert (held.accounts, held.grants) == (("town",), (given,))
    assert tree.parties.destination(there.destination_id).tenant_id == "mkk"
    assert tree.tenants.own_holdings("hanau") == replace(
        held, destinations=(), clients=(), accounts=(), grants=(), open_deliveries=0
    )
    assert tree.tenants.tenant("bauamt", scope=EVERYTHING).parent == "mkk"
    town, guest = (person_of(tree.accounts.account(name), tree.tenants) for name in ("town", "guest"))
    assert town.may(Right.OPERATE) is keep
    assert guest.reach(Right.EDIT).holds("mkk", "") is keep
    assert tree.tenants.standing_for(f"{TOWN}0014") == "mkk"
    with pytest.raises(NotFound):
        tree.tenants.grant(given, audit=AUDIT)


def test_a_granted_role_counts_where_it_was_granted_and_nowhere_else(tree):
    tree.accounts.add(account("otto", roles=(Role.VIEWER,)), audit=AUDIT)
    given = TenantGrant(account="otto", role=Role.OPERATOR, tenant_id="mkk", granted_by="anna", granted_at=NOW)
    tree.tenants.grant(given, audit=AUDIT)
    here, there = place(tree, "a", tenant_id="hanau"), place(tree, "b", tenant_id="rtk")
    otto = person_of(tree.accounts.account("otto"), tree.tenants)
    assert otto.scope == EVERYTHING
    assert (otto.may(Right.OPERATE, here), otto.may(Right.OPERATE, there)) == (True, False)
    acting = otto.acting(Right.OPERATE)
    assert tree.parties.visible_destination(there.destination_id, scope=acting.scope) is None
    assert tree.parties.visible_destination(here.destination_id, scope=acting.scope) is not None
    assert tree.tenants.revoke(given, audit=AUDIT)
    assert not tree.tenants.revoke(given, audit=AUDIT)
    assert not person_of(tree.accounts.account("otto"), tree.tenants).may(Right.OPERATE)


def test_a_circle_that_no_change_makes_ends_all_the_same(tree):
    circle = "UPDATE tenants SET parent = 'bauamt' WHERE tenant_id = 'mkk'"
    tree.database.write(lambda connection: connection.exec_driver_sql(circle).rowcount)
    assert tree.tenants.scope_of(["hanau"]).tenants == {"mkk", "hanau", "bauamt"}
    assert len(tree.tenants.above("hanau")) <= 12


def _as_before(store) -> dict[str, str | None]:
    """Let rows be as a program of version 0.3.0 writes them, which knows no tenants; return whose they are for the tree."""
    known_destination(store, tenant=f"{TOWN}0014")
    known_destination(store, tenant="16")
    store.accounts.add(account("district", tenant=DISTRICT), audit=AUDIT)
    store.accounts.add(account("association", tenant="064350015"), audit=AUDIT)
    store.parties.add_client(client(tenant=DISTRICT))
    for table in (tables.destinations, tables.clients, tables.accounts):
        emptied = table.update().values(tenant_id=None)
        store.database.write(lambda connection, statement=emptied: connection.execute(statement).rowcount)
    return _whose(store)


def _whose(store) -> dict[str, str | None]:
    parties, everything = store.parties, EVERYTHING
    found = {each.tenant: each.tenant_id for each in parties.destinations(scope=everything).items}
    found |= {each.client_id: each.tenant_id for each in parties.clients(scope=everything).items}
    return found | {each.name: each.tenant_id for each in store.accounts.accounts(scope=everything).items}


def test_what_a_program_of_before_writes_gets_its_tenant_from_the_duty(tree):
    assert set(_as_before(tree).values()) == {None}
    assert seen(tree, "hanau") == set(), "until then nobody but the root sees it"
    assert tree.tenants.place_strays() == 3
    whose = {f"{TOWN}0014": "hanau", "16": None, "online-service": "mkk", "district": "mkk", "association": None}
    assert _whose(tree) == whose
    assert len(seen(tree, "hanau")) == 1
    assert tree.tenants.place_strays() == 0, "what nobody stands for stays, and is not asked for again and again"


def test_what_the_root_took_over_is_nobodys_stray(tree):
    """The town is dissolved into the state: what it had is the state's, though the district stands for a wider area."""
    place(tree, "a", tenant=f"{TOWN}0014", tenant_id="hanau")
    tree.tenants.dissolve("hanau", successor=ROOT, keep_rights=False, until=NOW.date(), audit=lambda _: AUDIT, now=NOW)
    assert tree.tenants.place_strays() == 0
    assert seen(tree, "mkk") == set()


@pytest.mark.parametrize("many", [1, 600])
def test_however_many_tenants_a_scope_names_they_are_one_parameter(tree, many):
    place(tree, "a", tenant_id="mkk")
    scope = Scope(frozenset({"mkk", *(f"t{number}" for number in range(many - 1))}))
    assert [len(within(tables.destinations, scope).compile(dialect=each).params) for each in DIALECTS] == [1, 1]
    assert seen_within(tree, scope) == {"a"}
    names = {"'; DROP TABLE tenants; --", '"', "mkk\\", "{mkk}", "NULL", "mkk,rtk"}
    assert seen_within(tree, Scope(frozenset(names))) == set(), "an id is no part of the statement"


def seen_within(store, scope: Scope) -> set[str]:
    return {each.name for each in store.parties.destinations(scope=scope).items}


_LISTS = """
from hub.store import Store
from hub.model.usage import Month
from hub.store.reports import Wanted
from datetime import datetime, timedelta
from uuid import UUID

def look(store: Store, now: datetime, here: UUID) -> None:
    store.parties.destinations()
    store.parties.visible_destination(here)
    store.parties.clients()
    store.parties.visible_client("x")
    store.accounts.accounts()
    store.accounts.visible_account("x")
    store.audit.entries()
    store.key_changes.open()
    store.adapter_changes.open()
    store.deliveries.dead()
    store.overview.submissions(Wanted())
    store.overview.submission(here)
    store.overview.dead()
    store.overview.dead_causes()
    store.overview.delivery(here)
    store.overview.waiting()
    store.overview.activity(since=now, span=timedelta(1))
    store.overview.schema_use(since=now)
    store.overview.routed(since=now)
    store.overview.routed_counts(since=now)
    store.figures.troubled(limit=1)
    store.usage.lines(Month(2026, 1))
    store.usage.refused(Month(2026, 1))
    store.tenants.tenant("x")
    store.tenants.tenants()
    store.tenants.tree()
"""


def test_a_list_without_a_scope_does_not_compile(tmp_path):
    root = Path(__file__).parents[2]
    snippet = tmp_path / "look.py"
    snippet.write_text(_LISTS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(snippet)]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    calls = [number for number, line in enumerate(_LISTS.splitlines(), 1) if line.startswith("    store.")]
    assert [int(line) for line in re.findall(r'look\.py:(\d+): error: Missing named argument "scope"', found)] == calls
