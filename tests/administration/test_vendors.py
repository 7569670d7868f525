"""Vendors act for whom somebody delegated to them, and for nobody else: at each door, until the moment of withdrawal."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from click.testing import CliRunner
from stage import ANMELDEN, ANMELDUNG, BAUEN, FRANKFURT, WIESBADEN, staged
from test_commit_faults import account

from hub.administration.usage import UsageView
from hub.cli import main
from hub.errors import Conflict, Forbidden, Invalid, Malformed, NotFound
from hub.fit_connect.collection import Collection
from hub.fit_connect.messages import SendingTools
from hub.fit_connect.submissions import Announcing, SubmissionWish, Submitting
from hub.identity import Caller
from hub.identity.clients import SCOPES
from hub.identity.persons import Person, person_of
from hub.model import EVERYTHING, ROOT, ClientKind, MediaType, Role, Service
from hub.model.usage import Month, day_of
from hub.store import AuditEntry

STATE = Person(name="sven", full_name="Sven Land", roles=tuple(Role), tenant="")
SECOND = replace(STATE, name="anna")
RTK, MKK = "ars-06439", "ars-06435"


@pytest.fixture(scope="module")
def module_stage(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("vendors")) as made:
        hub = made.hub
        hub.tenant_service.import_land(STATE, "06", now=made.clock())
        entry = AuditEntry(at=made.clock(), actor="x", action="account.add", target="account:x")
        for each in (STATE, SECOND):
            hub.store.accounts.add(account(each.name, roles=tuple(Role), created_at=made.clock()), audit=entry)
        for name, at in (("doris", RTK), ("mona", MKK)):
            made_up = account(name, roles=(Role.OPERATOR, Role.VIEWER), tenant_id=at, created_at=made.clock())
            hub.store.accounts.add(made_up, audit=entry)
        yield made


@pytest.fixture
def stage(module_stage):
    """A vendor anew for each test, whose software the demo's online service is."""
    module_stage.clock.pass_(minutes=1)
    hub, now = module_stage.hub, module_stage.clock()
    module_stage.extra["vendor"] = vendor = hub.vendor_service.create(STATE, name=f"Werk {now:%H%M}", now=now)
    hub.vendor_service.set_software(vendor.vendor_id, module_stage.sender, STATE, product="Netz/4.2", now=now)
    yield module_stage
    if hub.store.vendors.software(module_stage.sender) is not None:
        hub.vendor_service.end_software(vendor.vendor_id, module_stage.sender, STATE, now=module_stage.clock())


def person(stage, name):
    return person_of(stage.hub.store.accounts.account(name), stage.hub.store.tenants)


def delegate(stage, who, tenant, **more):
    vendor = stage.extra["vendor"].vendor_id
    return stage.hub.vendor_service.delegate(vendor, who, tenant_id=tenant, now=stage.clock(), **more)


def withdraw(stage, given, who=STATE):
    stage.hub.vendor_service.withdraw(given.vendor_id, given.delegation_id, who, now=stage.clock())


def refused_for_want_of_a_delegation(call):
    with pytest.raises(Forbidden) as refused:
        call()
    return refused.value.slug == "delegation-missing"


def test_a_vendor_sends_where_it_was_delegated_and_not_a_moment_after_that_is_withdrawn(stage):
    assert refused_for_want_of_a_delegation(stage.accept)
    given = delegate(stage, person(stage, "doris"), RTK)
    accepted = stage.accept(idempotency_key="einmal")
    # Beside it nothing changed, and the clock stands still: no answer of before is used.
    assert refused_for_want_of_a_delegation(lambda: stage.accept(area=FRANKFURT))
    withdraw(stage, given, person(stage, "doris"))
    assert refused_for_want_of_a_delegation(stage.accept)
    submission = UUID(accepted.claims["sub"].removeprefix("submission:"))
    assert stage.hub.store.submissions.message(submission).receipt == accepted.receipt
    assert stage.accept(idempotency_key="einmal").receipt == accepted.receipt
    entries = [
        each.entry for each in stage.hub.store.audit.entries(scope=person(stage, "doris").scope, limit=500).items
    ]
    steps = [each for each in entries if each.action in {"vendor.delegate", "vendor.withdraw"}]
    assert [each.action for each in steps[-2:]] == ["vendor.delegate", "vendor.withdraw"]
    assert steps[-2].after["vendor"] == stage.extra["vendor"].name


def test_who_is_no_vendors_client_needs_no_delegation(stage):
    vendor = stage.extra["vendor"]
    stage.hub.vendor_service.end_software(vendor.vendor_id, stage.sender, STATE, now=stage.clock())
    assert stage.accept().receipt
    with pytest.raises(NotFound):
        stage.hub.vendor_service.end_software(vendor.vendor_id, stage.sender, STATE, now=stage.clock())


def test_a_delegation_from_above_counts_below_and_one_for_a_service_for_no_other(stage):
    delegate(stage, STATE, ROOT, service=BAUEN)
    assert stage.accept().receipt
    other = {"media_type": MediaType.JSON, "service": ANMELDEN, "area": WIESBADEN}
    assert refused_for_want_of_a_delegation(lambda: stage.accept(ANMELDUNG, **other))
    delegate(stage, STATE, "ars-06414", service=ANMELDEN)
    assert stage.accept(ANMELDUNG, **other).receipt
    with pytest.raises(Invalid):
        delegate(stage, STATE, RTK, service="Bauen")
    with pytest.raises(Conflict):
        delegate(stage, STATE, ROOT, service=BAUEN)


def test_the_sealed_door_refuses_what_the_plain_one_does_also_between_announcement_and_submit(stage):
    there = next(
        each
        for each in stage.hub.store.parties.destinations(scope=EVERYTHING, limit=500).items
        if each.tenant_id == RTK
    )
    caller = Caller(client_id=stage.sender, kind=ClientKind.SENDER, scopes=tuple(SCOPES)[:1], expires_at=stage.clock())
    wish = SubmissionWish(
        destination_id=there.destination_id, case_id=None, service=Service(identifier=BAUEN), announced=(), region=None
    )
    announcing, submitting = (make(SendingTools(stage.hub)) for make in (Announcing, Submitting))
    given = {"caller": caller, "now": stage.clock()}
    assert refused_for_want_of_a_delegation(lambda: announcing.announce(wish, **given))
    delegation = delegate(stage, STATE, RTK)
    # What has to be looked up does not begin on the loop.
    assert announcing.at_hand(wish, **given) is None
    message = announcing.announce(wish, **given).result(timeout=10)
    withdraw(stage, delegation)
    parts = {"metadata": "x", "data": "x", "profile": None}
    assert refused_for_want_of_a_delegation(lambda: submitting.submit(message.kind, message.id, **parts, **given))


def test_a_vendors_connector_collects_for_whom_it_was_delegated_and_is_told_where_that_is_nobody(stage):
    hub, now = stage.hub, stage.clock()
    collection = Collection(store=hub.store, blobs=hub.blobs)
    owned = Counter(
        each.owner for each in hub.store.parties.destinations(scope=EVERYTHING, limit=500).items if each.owner
    )
    owner = owned.most_common(1)[0][0]
    vendor = stage.extra["vendor"].vendor_id
    caller = Caller(client_id=owner, kind=ClientKind.SUBSCRIBER, scopes=tuple(SCOPES)[1:2], expires_at=now)
    look = {"caller": caller, "destination_id": None, "offset": 0, "limit": 10}
    before = collection.waiting(**look).total
    hub.vendor_service.set_software(vendor, owner, STATE, product="Konnektor/1", now=now)
    try:
        assert refused_for_want_of_a_delegation(lambda: collection.waiting(**look))
        # One service of several that wait there together is not enough.
        delegate(stage, STATE, ROOT, service="urn:x:y")
        assert refused_for_want_of_a_delegation(lambda: collection.waiting(**look))
        delegate(stage, STATE, ROOT)
        assert collection.waiting(**look).total == before
    finally:
        hub.vendor_service.end_software(vendor, owner, STATE, now=now)


def test_who_operates_a_tenant_delegates_for_it_and_sees_only_vendors_admitted_there_or_above(stage):
    service, now = stage.hub.vendor_service, stage.clock()
    doris, mona = person(stage, "doris"), person(stage, "mona")
    with pytest.raises(NotFound):
        delegate(stage, doris, MKK)
    given = delegate(stage, doris, RTK)
    with pytest.raises(NotFound):
        withdraw(stage, given, mona)
    assert service.show(given.vendor_id, mona).delegations == []
    assert [each.delegation_id for each in service.show(given.vendor_id, doris).delegations] == [given.delegation_id]
    own = service.create(doris, name=f"Kreiswerk {now:%H%M}", now=now)
    assert own.tenant_id == RTK
    with pytest.raises(NotFound):
        service.show(own.vendor_id, mona)
    assert own.vendor_id not in {each.vendor_id for each in service.list(mona, limit=500).items}
    with pytest.raises(NotFound):
        service.set_software(given.vendor_id, stage.sender, mona, product="Netz/5", now=now)
    viewer = replace(STATE, roles=(Role.VIEWER,))
    with pytest.raises(Forbidden):
        service.create(viewer, name="X", now=now)
    with pytest.raises(Forbidden):
        delegate(stage, viewer, RTK)


def test_figures_name_vendor_product_and_version_of_the_moment_of_acceptance(stage):
    hub, vendor = stage.hub, stage.extra["vendor"]
    delegate(stage, STATE, ROOT)
    stage.accept()
    stage.clock.pass_(minutes=5)
    hub.vendor_service.set_software(vendor.vendor_id, stage.sender, STATE, product="Netz/5.0", now=stage.clock())
    stage.clock.pass_(minutes=5)
    stage.accept()
    stage.accept()
    hub.roll_up.run(stage.clock())

    def figures():
        month = Month.of(day_of(stage.clock()))
        rows = hub.usage_reports.report(month, UsageView.VENDOR, scope=EVERYTHING).rows
        return {row.names["vendor"]: row.figures.accepted for row in rows if vendor.name in row.names["vendor"]}

    assert figures() == {f"{vendor.name}, Netz 4.2": 1, f"{vendor.name}, Netz 5.0": 2}
    hub.vendor_service.end_software(vendor.vendor_id, stage.sender, STATE, now=stage.clock())
    hub.store.usage.ask_again([day_of(stage.clock())])
    hub.roll_up.run(stage.clock())
    assert figures() == {f"{vendor.name}, Netz 4.2": 1, f"{vendor.name}, Netz 5.0": 2}


def test_a_tenants_dissolution_ends_what_it_delegated_or_hands_it_on_with_its_rights(stage):
    service, now = stage.hub.tenant_service, stage.clock()
    made = [
        service.create(STATE, kind="office", name=f"Amt {number} {now:%H%M}", parent=RTK, now=now)
        for number in range(3)
    ]
    for each in made[:2]:
        delegate(stage, STATE, each.tenant_id)
    service.dissolve(made[0].tenant_id, STATE, successor=RTK, now=now)
    service.dissolve(made[1].tenant_id, STATE, successor=made[2].tenant_id, keep_rights=True, now=now)
    assert stage.hub.store.vendors.grants(stage.extra["vendor"].vendor_id) == {(made[2].tenant_id, "")}


def signing_jwk(stage, kid):
    """A public key for signatures, as an authority of the demo has one, by another name."""
    (first, *_) = stage.hub.store.parties.destinations(scope=EVERYTHING, limit=1).items
    keys = stage.hub.store.parties.keys(first.destination_id)
    return dict(next(each.jwk for each in keys if each.use == "verify")) | {"kid": kid}


def test_a_vendors_key_takes_two_humans_and_one_retires_it_at_once(stage):
    service, now, vendor = stage.hub.vendor_service, stage.clock(), stage.extra["vendor"].vendor_id
    jwk = signing_jwk(stage, "werk-2026-1")
    service.propose_key(vendor, jwk, STATE, now=now)
    with pytest.raises(Forbidden) as refused:
        service.approve_key(vendor, "werk-2026-1", STATE, now=now)
    assert refused.value.slug == "second-person"
    with pytest.raises(Conflict):
        service.propose_key(vendor, jwk, SECOND, now=now)
    assert service.approve_key(vendor, "werk-2026-1", SECOND, now=now).is_good
    with pytest.raises(NotFound):
        service.approve_key(vendor, "werk-2026-1", SECOND, now=now)
    assert not service.retire_key(vendor, "werk-2026-1", STATE, now=now).is_good
    with pytest.raises(Malformed):
        service.propose_key(vendor, jwk | {"key_ops": ["wrapKey"]}, STATE, now=now)
    with pytest.raises(NotFound):
        service.propose_key(vendor, jwk | {"kid": "werk-2026-2"}, person(stage, "doris"), now=now)


def test_the_command_line_does_what_the_pages_do(stage):
    def hub(*arguments, code=0):
        done = CliRunner().invoke(main, [*map(str, arguments), "--data", str(stage.data)])
        assert done.exit_code == code, done.output
        return done.output

    vendor = hub("vendors", "create", "Zeilenwerk", "--contact", "amt@werk.example").split()[-1]
    assert "Zeilenwerk" in hub("vendors", "list", "--search", "zeilen")
    delegation = hub("vendors", "delegate", vendor, RTK, "--service", BAUEN).split()[-1]
    hub("vendors", "client", vendor, stage.sender, "--product", "Zeile/0.9")
    shown = hub("vendors", "show", vendor)
    assert delegation in shown
    assert "Zeile/0.9" in shown
    hub("vendors", "withdraw", vendor, delegation)
    assert "withdrawn" in hub("vendors", "show", vendor)
    hub("vendors", "withdraw", vendor, delegation, code=1)
    hub("vendors", "client", vendor, stage.sender, "--none")
    key = stage.data / "werk.jwk"
    key.write_text(json.dumps(signing_jwk(stage, "zeile-2026")))
    assert "open" in hub("vendors", "key", vendor, "propose", key)
