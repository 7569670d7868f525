"""The tree of Hessen in people's hands: made from the list of areas, changed with a look before, rights given from above."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from stage import TAUNUSSTEIN, staged
from test_commit_faults import account

from hub.cli import main
from hub.errors import Forbidden, Invalid, NotFound
from hub.identity.persons import Person, Right, person_of
from hub.model import EVERYTHING, ROOT, Role, TenantKind
from hub.store import AuditEntry

STATE = Person(name="sven", full_name="Sven Land", roles=tuple(Role), tenant="")
HANAU_BEFORE, HANAU_SINCE, MKK = "064350014014", "06415", "ars-06435"


@pytest.fixture(scope="module")
def stage(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("tenants")) as made:
        made.hub.tenant_service.import_land(STATE, "06", now=made.clock())
        yield made


def _audit(stage) -> AuditEntry:
    return AuditEntry(at=stage.clock(), actor="x", action="account.add", target="account:x")


def _person(stage, name: str, *roles: Role, at: str) -> Person:
    made = account(name, roles=roles or (Role.OPERATOR,), tenant_id=at, created_at=stage.clock())
    if stage.hub.store.accounts.account(name) is None:
        stage.hub.store.accounts.add(made, audit=_audit(stage))
    return person_of(stage.hub.store.accounts.account(name), stage.hub.store.tenants)


def test_the_whole_of_hessen_is_made_from_the_list_of_areas_and_a_second_time_makes_nothing(stage):
    tree = stage.hub.store.tenants.tree(scope=EVERYTHING)
    kinds = [each.kind for each in tree]
    assert kinds.count(TenantKind.MUNICIPALITY) == 421
    # 21 districts and six independent cities: Hanau is one since 2026-01-01.
    assert sum(each.parent == ROOT for each in tree) == 27
    assert stage.hub.tenant_service.import_land(STATE, "06", now=stage.clock()) == []
    there = {each.tenant for each in stage.hub.store.parties.destinations(scope=EVERYTHING, limit=500).items}
    known = stage.hub.store.tenants
    assert there
    assert all(known.standing_for(each) for each in there if len(each) > 2)


def test_a_district_sees_its_own_and_nobody_beside_it(stage):
    doris = _person(stage, "doris-mkk", at=MKK)
    found = stage.hub.tenant_service.list(doris, limit=500)
    assert {each.parent for each in found.items} == {ROOT, MKK}
    with pytest.raises(NotFound):
        stage.hub.tenant_service.show("ars-06439", doris)
    with pytest.raises(NotFound):
        stage.hub.tenant_service.show(ROOT, doris)
    assert stage.hub.tenant_service.list(doris, text="taunusstein").total == 0


def test_a_role_is_given_by_who_has_it_above_and_counts_below_at_once_and_not_after_it_is_withdrawn(stage):
    service, now = stage.hub.tenant_service, stage.clock()
    doris = _person(stage, "doris", at=MKK)
    town = next(each for each in service.list(doris, limit=500).items if each.parent == MKK)
    _person(stage, "olaf", Role.VIEWER, at=town.tenant_id)
    given = {"account": "olaf", "role": "operator", "tenant_id": town.tenant_id, "now": now}
    beside = _person(stage, "otto-town", at=town.tenant_id)
    with pytest.raises(Forbidden) as refused:
        service.grant(beside, **given)
    assert refused.value.slug == "role-not-yours"
    with pytest.raises(Forbidden):
        service.grant(doris, **given | {"role": "approver"})
    service.grant(doris, **given)
    olaf = _person(stage, "olaf", at=town.tenant_id)
    assert olaf.reach(Right.OPERATE).tenants == {town.tenant_id}
    why = [each for each in service.show(town.tenant_id, doris).holders if each.account == "olaf"]
    assert {(each.role, each.granted_by) for each in why} == {("viewer", ""), ("operator", "doris")}
    service.revoke(doris, **given)
    assert not _person(stage, "olaf", at=town.tenant_id).may(Right.OPERATE)
    with pytest.raises(NotFound):
        service.revoke(doris, **given)
    said = stage.hub.store.audit.entries(scope=doris.scope, target=f"tenant:{town.tenant_id}").items
    assert [(each.entry.action, each.entry.actor) for each in said] == [
        ("tenant.grant", "doris"),
        ("tenant.revoke", "doris"),
    ]


def test_hanau_leaves_its_district_with_open_deliveries_and_nothing_is_orphaned(stage):
    """Hanau is an independent city since 2026-01-01; before, it belonged to the district Main-Kinzig."""
    service, store, now = stage.hub.tenant_service, stage.hub.store, datetime(2026, 1, 1, tzinfo=UTC)
    old = service.create(STATE, kind="municipality", name="Hanau (bis 2025)", parent=MKK, areas=[HANAU_BEFORE], now=now)
    kept = store.parties.destination(stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht"))
    there = replace(kept, tenant=HANAU_BEFORE, tenant_id=old.tenant_id)
    store.parties.change_destination(there.destination_id, lambda _: there, audit=lambda *_: _audit(stage))
    stage.accept(area=TAUNUSSTEIN)
    _person(stage, "hans", at=old.tenant_id)
    doris = _person(stage, "doris", at=MKK)
    assert store.parties.visible_destination(there.destination_id, scope=doris.scope) is not None
    with pytest.raises(NotFound):
        service.preview(old.tenant_id, doris, target=ROOT, now=now)
    impact = service.preview(old.tenant_id, STATE, target=ROOT, now=stage.clock())
    assert (impact.held.accounts, len(impact.held.destinations), impact.held.open_deliveries) == (("hans",), 1, 1)
    assert impact.rules
    assert [each.tenant_id for each in impact.losing] == [MKK]
    city = next(each for each in store.tenants.tree(scope=EVERYTHING) if HANAU_SINCE in each.areas)
    with pytest.raises(Invalid):
        service.dissolve(old.tenant_id, STATE, successor=ROOT, keep_rights=True, now=now)
    service.dissolve(old.tenant_id, STATE, successor=city.tenant_id, keep_rights=True, now=now)
    doris = _person(stage, "doris", at=MKK)
    assert store.parties.visible_destination(there.destination_id, scope=doris.scope) is None
    hans = _person(stage, "hans", at="")
    assert store.parties.visible_destination(there.destination_id, scope=hans.scope) is not None
    assert len(store.overview.waiting(scope=hans.scope)) == 1
    assert store.tenants.own_holdings(old.tenant_id).accounts == ()
    assert store.tenants.standing_for(HANAU_BEFORE) == city.tenant_id
    with pytest.raises(NotFound):
        service.move(old.tenant_id, STATE, parent=MKK, now=now)
    store.parties.change_destination(there.destination_id, lambda _: kept, audit=lambda *_: _audit(stage))


def test_the_command_line_tells_before_it_does(stage):
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["tenants", *arguments, "--data", str(stage.data)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    office = run("create", "Bauamt", "--kind", "office", "--below", MKK).strip()
    assert "Nichts geändert" in run("move", office, "--below", "ars-06439")
    assert "verschoben" in run("move", office, "--below", "ars-06439", "--yes")
    assert "Bauamt" in run("list", "--search", "bauamt")
    assert "Rheingau-Taunus" in run("show", office)
    assert "aufgelöst" in run("dissolve", office, "--into", "ars-06439", "--yes")
