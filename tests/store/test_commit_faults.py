"""Every commit of the store fails once: nothing of it stays, who waits is told, and the same call works the next time.

Which methods commit is read from the classes of the store's nouns. One that is new needs a case here, or the first test fails.
"""

from __future__ import annotations

import inspect
import operator
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine.default import DefaultDialect
from store_values import (
    FINISHED,
    LEASE,
    MINUTE,
    NOW,
    RECEIVED,
    WAITS,
    accept,
    accept_in_case,
    accepted,
    announced,
    announcement,
    answer,
    buried,
    callback,
    claim,
    client,
    completed,
    destination,
    event,
    known_destination,
    making,
    record,
    sealed,
    submission,
)

from hub.errors import StoreUnavailable
from hub.model import EVERYTHING, ROOT, ClientSoftware, Delegation, ForwardLink, Tenant, TenantGrant, TenantKind, Vendor
from hub.model.events import EventKind
from hub.model.parties import Role
from hub.store import (
    AttemptResult,
    AuditEntry,
    CaseHead,
    ConformanceScore,
    DeliveryState,
    GoingLive,
    Invitation,
    LoginStep,
    Notice,
    NoticeKind,
    OnboardingRow,
    OnboardingRun,
    OutboxAttempt,
    Passkey,
    RecoveryCodes,
    StepPurpose,
    Store,
    Telling,
    VendorKey,
    WatchPatience,
    tables,
)
from hub.store.accounts import Account, Failure, StoredSession
from hub.store.ai_links import CheckedLink
from hub.store.event_log import Checkpoint
from hub.store.outboxes import write_telling
from hub.store.proposals import AdapterChange, ChangeState, KeyChange, KeyStep
from hub.store.readiness import ReadinessKey
from hub.store.routing_versions import Activation, RuleRows, TableVersion, TableVersions, VersionState
from hub.store.timestamps import StampedCheckpoint
from hub.store.uploads import StoredUpload, UploadQuota
from hub.uploads import ConcatKind, Piece

LATER = NOW + timedelta(days=1)
AUDIT = AuditEntry(at=NOW, actor="otto", action="test", target="destination:x")
SENDER = "online-service"
QUOTA = UploadQuota(number=9, size=1_000, largest=100)
HELD = {"holder": "h", "until": LATER}
REFUSALS = {(NOW.date().isoformat(), SENDER, "no-route"): 2}
READY = ReadinessKey("fim", "2", NOW.date().isoformat(), "d", SENDER, "")
NOBODY = RuleRows(rows=[], content_version="0" * 64)
#: Reaching for the database in one of these ways commits.
_COMMITS = re.compile(r"\.(?:write|begin|write_party)\(")
_CALLS = re.compile(r"self\.(\w+)\(")


def nouns(store: Store) -> dict[str, object]:
    """The nouns of a store, by the names by which it is asked for them."""
    shown = {name: noun for name, noun in vars(store).items() if not name.startswith("_")}
    return {name: noun for name, noun in shown.items() if noun is not store.database}


def committing(noun: object) -> set[str]:
    """The methods of a noun that others call and that commit, by themselves or by another method of it."""
    sources = {name: inspect.getsource(each) for name, each in inspect.getmembers(type(noun), inspect.isfunction)}
    found = {name for name, source in sources.items() if _COMMITS.search(source)}
    while more := {name for name, source in sources.items() if found & set(_CALLS.findall(source))} - found:
        found |= more
    return {name for name in found if not name.startswith("_")}


def jwk(kid: str) -> dict[str, Any]:
    return {"kid": kid, "kty": "RSA", "key_ops": ["wrapKey"], "n": "AQ", "e": "AQAB", "alg": "RSA-OAEP-256"}


def account(name: str, **changes: Any) -> Account:
    made = Account(
        name=name, full_name="Otto", roles=(Role.OPERATOR,), tenant="", password_hash="$argon2id$x", created_at=NOW
    )
    return replace(made, **changes)


def session(token: str) -> StoredSession:
    return StoredSession(token_hash=token, account="otto", csrf="c", created_at=NOW, seen_at=NOW)


def tenant(tenant_id: str, parent: str = ROOT) -> Tenant:
    kind = TenantKind.DISTRICT if parent == ROOT else TenantKind.MUNICIPALITY
    return Tenant(tenant_id=tenant_id, parent=parent, kind=kind, name=tenant_id, created_at=NOW, updated_at=NOW)


def granted(tenant_id: str) -> TenantGrant:
    return TenantGrant(account="otto", role=Role.EDITOR, tenant_id=tenant_id, granted_by="anton", granted_at=NOW)


def invitation(name: str) -> Invitation:
    given = {"full_name": name, "email": "", "roles": (Role.VIEWER,), "tenant": "", "invited_by": "otto"}
    return Invitation(token_hash=name, name=name, created_at=NOW, expires_at=LATER, **given)


def codes() -> RecoveryCodes:
    return RecoveryCodes(account="otto", sealed="x", remaining=10, made_at=NOW)


def passkey(credential_id: str) -> Passkey:
    return Passkey(credential_id=credential_id, account="otto", label="a", public_key="p", sign_count=0, created_at=NOW)


def login_step(token: str) -> LoginStep:
    return LoginStep(token_hash=token, account="otto", purpose=StepPurpose.LOG_IN, challenge="c", made_at=NOW)


def key_change(destination_id: UUID, kid: str) -> KeyChange:
    given = {"reason": "", "proposed_by": "otto", "proposed_at": NOW}
    return KeyChange(destination_id=destination_id, step=KeyStep.ACTIVATE, kid=kid, jwk=jwk(kid), **given)


def adapter_change(destination_id: UUID) -> AdapterChange:
    given = {"reason": "", "proposed_by": "otto", "proposed_at": NOW}
    return AdapterChange(destination_id=destination_id, adapter="mailbox", options={"a": 2}, **given)


def approved(change: Any) -> Any:
    return replace(change, state=ChangeState.APPROVED, decided_by="anton", decided_at=LATER)


def notice(notice_id: UUID, **changes: Any) -> Notice:
    made = Notice(
        notice_id=notice_id,
        kind=NoticeKind.UNCOLLECTED,
        about="destination:x",
        recipient="amt@example.org",
        facts={},
        created_at=NOW,
    )
    return replace(made, **changes)


def version(number: int, state: VersionState = VersionState.DRAFT) -> TableVersion:
    return TableVersion(
        number=number,
        state=state,
        revision=1,
        title="",
        content_version=NOBODY.content_version,
        size=0,
        based_on=None,
        editors=("otto",),
        created_by="otto",
        created_at=NOW,
        changed_by="otto",
        changed_at=NOW,
    )


def activation(number: int, **changes: Any) -> Activation:
    return replace(Activation(seq=0, number=number, since=LATER, made_by="anton", made_at=NOW, reason=""), **changes)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One of everything that a method may want to change, and how it is called."""

    there: Any
    answered: Any
    over: Any
    leased: Any
    dead: UUID
    expected: Any
    forward: ForwardLink
    announced: Any
    attachment: tuple[UUID, UUID]
    key_change: Any
    adapter_change: Any
    callback: Any
    dead_callback: UUID
    notice: Any
    head: CaseHead
    coming: int


def furnish(store: Store) -> Scene:
    """Store one of everything."""
    there = known_destination(store)
    busy = known_destination(store).destination_id
    store.parties.add_client(client())
    _people(store)
    _figures(store)
    _uploads(store)
    answered, over, leased, dead = [accepted(store, busy) for _ in range(4)]
    for claimed in claim(store):
        mine = claimed.submission.submission_id
        if mine == leased.submission_id:
            lease = claimed
        elif mine == dead.submission_id:
            assert record(store, claimed, *buried())
        else:
            assert record(store, claimed, WAITS)
    for one in (answered, over):
        make = answer(EventKind.ACCEPT, one.case_id, one.submission_id, busy)
        store.event_log.append(one.case_id, one.submission_id, make)
    gone = [event(over.case_id, over.submission_id, EventKind.DELETE)]
    store.retention.delete_contents(over.submission_id, NOW, lambda _head, _state: gone)
    waiting = accepted(store, there.destination_id)
    (claimed,) = claim(store)
    assert record(store, claimed, WAITS)
    assert accept(store, submission(there.destination_id), key="k").result(10) is None
    attachment = uuid4()
    first, second = _outbox(store, answered)
    store.duties.hold("sign", node="a", now=NOW, lease=MINUTE)
    for number, state in ((1, VersionState.DRAFT), (2, VersionState.APPROVED)):
        for each in versioned(store):
            each.add(version(number, state), NOBODY, audit=AUDIT)
    return Scene(
        there=there,
        answered=answered,
        over=over,
        leased=lease,
        dead=store.deliveries.dead(scope=EVERYTHING).items[0].delivery_id,
        expected=waiting,
        forward=begin_forward(store, waiting),
        announced=announced(store, there.destination_id),
        attachment=(announced(store, there.destination_id, attachment).id, attachment),
        key_change=store.key_changes.propose(key_change(there.destination_id, "proposed"), audit=AUDIT),
        adapter_change=store.adapter_changes.propose(adapter_change(there.destination_id), audit=AUDIT),
        callback=first,
        dead_callback=second,
        notice=_notices(store),
        head=store.checkpoints.uncovered(1)[0],
        coming=max(each.activate(activation(2), audit=AUDIT).seq for each in versioned(store)),
    )


def _people(store: Store) -> None:
    store.accounts.add(account("otto"), audit=AUDIT)
    store.accounts.begin_session(session("t"), audit=AUDIT)
    store.credentials.invite(invitation("ivo"), audit=AUDIT)
    store.credentials.replace_codes(codes(), audit=AUDIT)
    store.credentials.add_passkey(passkey("k"), audit=AUDIT)
    store.credentials.begin_step(login_step("step"))
    store.accounts.use_answer("used", NOW)
    old = {"subject": "otto", "at": 1}
    store.database.write(lambda connection: connection.execute(tables.login_failures.insert(), old).rowcount)
    store.logins.remember("known", kind="client", until=NOW, now=NOW)
    store.tenants.add([tenant("kreis"), tenant("gemeinde", parent="kreis")], audit=AUDIT)
    store.tenants.grant(granted("gemeinde"), audit=AUDIT)
    store.onboarding.add(ONBOARDING, [taken_in("064390015015")], audit=AUDIT)
    store.onboarding.add(ONBOARDING, [taken_in("064390002002")], audit=AUDIT)
    store.onboarding.begin_live(2, GOING, audit=AUDIT)
    _stray(store)
    store.vendors.add(VENDOR, audit=AUDIT)
    store.vendors.set_software(software("stray"), audit=AUDIT)
    store.vendors.delegate(DELEGATION, audit=AUDIT)
    store.vendors.propose_key(vendor_key("k"), audit=AUDIT)


def _stray(store: Store) -> None:
    """A client with an area and without its tenant, as a program of before writes one."""
    store.tenants.add([replace(tenant("pfalz"), areas=("07",))], audit=AUDIT)
    store.parties.add_client(client("stray", tenant="07"))
    lost = tables.clients.update().where(tables.clients.c.client_id == "stray").values(tenant_id=None)
    store.database.write(lambda connection: connection.execute(lost).rowcount)


VENDOR = Vendor(vendor_id="v", name="Werk", admitted_by="otto", created_at=NOW)
DELEGATION = Delegation(delegation_id="d", vendor_id="v", tenant_id="kreis", granted_by="otto", granted_at=NOW)


SCORE = ConformanceScore(
    vendor_id="v",
    product="Netz",
    version="1",
    standard="x",
    standard_version="1",
    good=1,
    cases=2,
    at=NOW,
    token="t",
)


def software(client_id: str, *, since: datetime = NOW) -> ClientSoftware:
    return ClientSoftware(client_id=client_id, vendor_id="v", product="Netz", version="1", since=since)


def vendor_key(kid: str) -> VendorKey:
    return VendorKey(vendor_id="v", kid=kid, jwk=jwk(kid), proposed_by="otto", proposed_at=NOW)


ONBOARDING = OnboardingRun(title="Kreis", proposed_by="anna", proposed_at=NOW)
GOING = GoingLive(by="bert", at=NOW, text="", destinations={}, started=())


def taken_in(ars: str) -> OnboardingRow:
    return OnboardingRow(ars=ars, number=2, name="Gemeinde", plan={})


def _figures(store: Store) -> None:
    store.usage.ask(NOW)
    store.usage.note_refusals(REFUSALS).result(10)
    store.readiness.note({READY: 1}).result(10)


def upload(upload_id: str, **changes: Any) -> StoredUpload:
    made = StoredUpload(
        upload_id=upload_id,
        client_id=SENDER,
        kind=ConcatKind.WHOLE,
        length=10,
        facts=b"sealed",
        created_at=NOW,
        expires_at=LATER,
    )
    return replace(made, **changes)


def _uploads(store: Store) -> None:
    """One that a request holds, and one that is all here and waits to become a part."""
    for each in (upload("held", length=None), upload("part", kind=ConcatKind.PARTIAL, length=0)):
        store.uploads.begin(each, QUOTA)
    store.uploads.hold("held", SENDER, holder="h", now=NOW, until=LATER)


def _outbox(store: Store, about: Any) -> tuple[Any, UUID]:
    """A callback that is leased and one that was given up, which told of something; one more is due."""
    leased, due = callback(), callback()
    dead = callback(case_id=about.case_id, body=f'{{"submissionId":"{about.submission_id}"}}')
    for one in (leased, dead):
        store.callbacks.add(one)
    claims = {each.callback.callback_id: each for each in store.callbacks.claim(NOW, lease=LEASE, node="n", limit=9)}
    given_up = claims[dead.callback_id]
    assert store.callbacks.record(given_up, sent=False, next_attempt_at=None, note="", now=NOW)
    store.callbacks.add(due)
    return claims[leased.callback_id], dead.callback_id


def _notices(store: Store) -> Any:
    """A notice that is leased; another is due, and one is over."""
    given = [notice(uuid4()), notice(uuid4(), recipient="")]
    store.database.write(lambda connection: write_telling(connection, Telling(entry=AUDIT, notices=tuple(given))))
    (leased,) = store.notices.claim(NOW, lease=LEASE, node="n", limit=9)
    more = (notice(uuid4()),)
    store.database.write(lambda connection: write_telling(connection, Telling(entry=AUDIT, notices=more)))
    return leased


def prove(store: Store) -> None:
    """Nobody waits for what is proven; here somebody does, behind it."""
    store.logins.prove("online-service", "mac")
    store.database.write(lambda connection: connection.execute(select(1)).scalar())


def result(scene: Scene) -> AttemptResult:
    times = {"started_at": NOW, "ended_at": NOW, "events": (), "callbacks": ()}
    return AttemptResult(claim=scene.leased, outcome=RECEIVED, step=FINISHED, **times)


def announce(store: Store, there: UUID) -> None:
    made = announcement(there)
    store.submissions.announce(made, making(made, EventKind.CREATE)).result(10)


def give(store: Store, there: UUID) -> int:
    telling = Telling(entry=AUDIT, notices=(notice(uuid4()),))
    kind = NoticeKind.UNCOLLECTED
    return store.notices.give(kind, LATER, destination_id=there, number=1, make=lambda _lagging: telling)


def accepting(made: Any) -> Any:
    return answer(EventKind.ACCEPT, made.case_id, made.submission_id, made.destination_id)


#: A link that leads nowhere.
LOOK = CheckedLink(url="https://ki.example", checked_at=NOW, failures=1, note="HTTP 404")


def versioned(store: Store) -> tuple[TableVersions, ...]:
    """All that has versions."""
    return store.routing_versions, store.service_versions, store.ai_versions


def forward_of(made: Any, **changes: Any) -> ForwardLink:
    said: dict[str, Any] = {
        "submission_id": uuid4(),
        "case_id": uuid4(),
        "destination_id": made.destination_id,
        "from_submission_id": made.submission_id,
        "from_case_id": made.case_id,
        "from_destination_id": made.destination_id,
        "client_id": "town",
        "request_id": uuid4(),
        "service": "s",
        "area": "06",
        "reason": "other",
        "depth": 1,
        "received_at": NOW,
        "begun_at": NOW,
    }
    return ForwardLink(**said | changes)


def begin_forward(store: Store, made: Any) -> ForwardLink:
    new = announcement(made.destination_id)
    link = forward_of(made, submission_id=new.id, case_id=new.case_id)
    first = making(new, EventKind.CREATE, EventKind.FORWARDED_FROM)
    return store.forwardings.begin(
        link, new, first, forget=lambda stale: event(stale.case_id, stale.submission_id, EventKind.DELETE)
    )


def complete_forward(store: Store, scene: Scene) -> bool:
    made = scene.expected
    log = [event(made.case_id, made.submission_id, EventKind.FORWARDED_TO)]
    return store.forwardings.complete(scene.forward, lambda _head, _state: log, sender="anybody", now=NOW)


def versioning(noun: str) -> dict[str, Callable[[Store, Scene], object]]:
    """The cases of a noun that keeps versions."""
    of = operator.attrgetter(noun)
    return {
        f"{noun}.activate": lambda s, _: of(s).activate(activation(2), audit=AUDIT),
        f"{noun}.add": lambda s, _: of(s).add(version(0), NOBODY, audit=AUDIT),
        f"{noun}.cancel": lambda s, c: of(s).cancel(c.coming, NOW, audit=AUDIT),
        f"{noun}.change": lambda s, _: of(s).change(
            replace(version(1), title="B", revision=2), NOBODY, expected=1, audit=AUDIT
        ),
        f"{noun}.settle": lambda s, _: of(s).settle(
            replace(version(1), state=VersionState.DISCARDED), expected=1, audit=AUDIT
        ),
    }


#: A call of each method that commits, which has something to write.
CASES: dict[str, Callable[[Store, Scene], Any]] = {
    "ai_links.note": lambda s, _: s.ai_links.note([LOOK], known=[LOOK.url]),
    "accounts.add": lambda s, _: s.accounts.add(account("anton"), audit=AUDIT),
    "accounts.begin_session": lambda s, _: s.accounts.begin_session(session("new"), audit=AUDIT),
    "accounts.change": lambda s, _: s.accounts.change(
        account("otto", tenant="06"), before=s.accounts.account("otto"), audit=AUDIT
    ),
    "accounts.end_one_session": lambda s, _: s.accounts.end_one_session("otto", "t", audit=AUDIT),
    "accounts.end_sessions": lambda s, _: s.accounts.end_sessions("otto", audit=AUDIT),
    "accounts.end_session": lambda s, _: s.accounts.end_session("t"),
    "accounts.forget_answers": lambda s, _: s.accounts.forget_answers(LATER),
    "accounts.forget_failures": lambda s, _: s.accounts.forget_failures(LATER),
    "accounts.forget_sessions": lambda s, _: s.accounts.forget_sessions(created_before=LATER, seen_before=LATER),
    "accounts.see_session": lambda s, _: s.accounts.see_session("t", LATER),
    "accounts.use_answer": lambda s, _: s.accounts.use_answer("new", NOW),
    "accounts.use_code": lambda s, _: s.accounts.use_code("otto", 7),
    "adapter_changes.bind": lambda s, _: s.adapter_changes.bind(["password"], "https://a.example.org", NOW),
    "adapter_changes.decide": lambda s, c: s.adapter_changes.decide(
        approved(c.adapter_change), before=(c.there.adapter, c.there.adapter_config), audit=AUDIT
    ),
    "adapter_changes.propose": lambda s, c: s.adapter_changes.propose(
        adapter_change(c.answered.destination_id), audit=AUDIT
    ),
    "audit.append": lambda s, _: s.audit.append(AUDIT),
    "audit.record_read": lambda s, c: s.audit.record_read(
        client="c", message_id=c.expected.submission_id, what="contents", now=NOW
    ),
    "callbacks.add": lambda s, _: s.callbacks.add(callback()),
    "callbacks.claim": lambda s, _: s.callbacks.claim(NOW, lease=LEASE, node="n", limit=9),
    "callbacks.forget": lambda s, _: s.callbacks.forget(LATER),
    "callbacks.postpone": lambda s, c: s.callbacks.postpone([c.callback], LATER),
    "callbacks.record": lambda s, c: s.callbacks.record(c.callback, sent=True, next_attempt_at=None, note="", now=NOW),
    "callbacks.redrive": lambda s, c: s.callbacks.redrive(c.dead_callback, NOW),
    "callbacks.resend": lambda s, c: s.callbacks.resend(
        c.answered.case_id,
        c.answered.submission_id,
        party=None,
        most=9,
        settled_before=LATER,
        now=NOW,
        audit=lambda _: AUDIT,
    ),
    "checkpoints.add": lambda s, c: s.checkpoints.add(Checkpoint(number=1, made_at=NOW, token="a.b.c"), [c.head]),
    "circuits.change": lambda s, c: s.circuits.change(
        c.there.destination_id, lambda before: replace(before, failures=5, open_until=LATER), NOW
    ),
    "credentials.add_passkey": lambda s, _: s.credentials.add_passkey(passkey("another"), audit=AUDIT),
    "credentials.begin_step": lambda s, _: s.credentials.begin_step(login_step("new")),
    "credentials.challenge": lambda s, _: s.credentials.challenge("step", "more"),
    "credentials.count_passkey": lambda s, _: s.credentials.count_passkey(passkey("k"), sign_count=1, now=LATER),
    "credentials.end_step": lambda s, _: s.credentials.end_step("step"),
    "credentials.forget": lambda s, _: s.credentials.forget(steps_before=LATER, now=LATER),
    "credentials.invite": lambda s, _: s.credentials.invite(invitation("ida"), audit=AUDIT),
    "credentials.remove_passkey": lambda s, _: s.credentials.remove_passkey("otto", "k", audit=AUDIT),
    "credentials.replace_codes": lambda s, _: s.credentials.replace_codes(replace(codes(), sealed="y"), audit=AUDIT),
    "credentials.use_challenge": lambda s, _: s.credentials.use_challenge(login_step("step")),
    "credentials.use_recovery_code": lambda s, _: s.credentials.use_recovery_code(codes(), sealed="z", audit=AUDIT),
    "credentials.withdraw": lambda s, _: s.credentials.withdraw("ivo", audit=AUDIT),
    "deliveries.give_up": lambda s, _: s.deliveries.give_up(LATER, LATER, tell=lambda _over: []),
    "deliveries.redrive": lambda s, c: s.deliveries.redrive(c.dead, NOW, audit=AUDIT),
    "deliveries.redrive_all": lambda s, _: s.deliveries.redrive_all(
        NOW, scope=EVERYTHING, cause=None, destination_ids=None, audit=lambda _number: AUDIT
    ),
    "tenants.add": lambda s, _: s.tenants.add([tenant("neu")], audit=AUDIT),
    "tenants.change": lambda s, _: s.tenants.change(
        "gemeinde", lambda before: replace(before, parent=ROOT, areas=("06415",)), audit=lambda _before, _after: AUDIT
    ),
    "tenants.dissolve": lambda s, _: s.tenants.dissolve(
        "gemeinde", successor="kreis", keep_rights=False, until=NOW.date(), audit=lambda _held: AUDIT, now=NOW
    ),
    "tenants.grant": lambda s, _: s.tenants.grant(granted("kreis"), audit=AUDIT),
    "tenants.place_strays": lambda s, _: s.tenants.place_strays(),
    "tenants.revoke": lambda s, _: s.tenants.revoke(granted("gemeinde"), audit=AUDIT),
    "onboarding.add": lambda s, _: s.onboarding.add(ONBOARDING, [taken_in("064390008008")], audit=AUDIT),
    "onboarding.decide": lambda s, _: s.onboarding.decide(
        1, ChangeState.APPROVED, by="bert", at=NOW, remark="", audit=AUDIT
    ),
    "onboarding.made": lambda s, _: s.onboarding.made(
        1, "064390015015", tenant_id=None, client_id="c", destination_id=None, at=NOW
    ),
    "onboarding.begin_live": lambda s, _: s.onboarding.begin_live(1, GOING, audit=AUDIT),
    "onboarding.end_live": lambda s, _: s.onboarding.end_live(2, audit=AUDIT),
    "onboarding.tested": lambda s, _: s.onboarding.tested(1, "064390015015", at=NOW, well=True),
    "vendors.add": lambda s, _: s.vendors.add(replace(VENDOR, vendor_id="w", name="Anderes"), audit=AUDIT),
    "vendors.set_software": lambda s, _: s.vendors.set_software(software("stray", since=LATER), audit=AUDIT),
    "vendors.end_software": lambda s, _: s.vendors.end_software("stray", LATER, audit=AUDIT),
    "vendors.delegate": lambda s, _: s.vendors.delegate(
        replace(DELEGATION, delegation_id="e", service="x"), audit=AUDIT
    ),
    "vendors.withdraw": lambda s, _: s.vendors.withdraw(DELEGATION, by="otto", now=NOW, audit=AUDIT),
    "vendors.propose_key": lambda s, _: s.vendors.propose_key(vendor_key("n"), audit=AUDIT),
    "vendors.record_score": lambda s, _: s.vendors.record_score(SCORE, audit=AUDIT),
    "vendors.change_key": lambda s, _: s.vendors.change_key(
        vendor_key("k"), lambda key: replace(key, state=ChangeState.APPROVED), audit=AUDIT
    ),
    "readiness.note": lambda s, _: s.readiness.note({READY: 2}).result(),
    "readiness.note_uses": lambda s, _: s.readiness.note_uses(REFUSALS).result(),
    "readiness.forget": lambda s, _: s.readiness.forget(LATER.date()),
    "duties.hold": lambda s, _: s.duties.hold("sweep", node="a", now=NOW, lease=MINUTE),
    "duties.release": lambda s, _: s.duties.release("sign", node="a", fencing=1),
    "event_log.append": lambda s, c: s.event_log.append(
        c.expected.case_id, c.expected.submission_id, accepting(c.expected)
    ),
    "event_log.keep_tokens": lambda s, c: s.event_log.keep_tokens([(c.expected.case_id, 1, "a.b.c")]),
    "forwardings.begin": lambda s, c: begin_forward(s, c.expected),
    "forwardings.complete": complete_forward,
    "key_changes.decide": lambda s, c: s.key_changes.decide(approved(c.key_change), audit=AUDIT),
    "key_changes.propose": lambda s, c: s.key_changes.propose(key_change(c.there.destination_id, "new"), audit=AUDIT),
    "findings.look": lambda s, _: s.findings.look(NOW + timedelta(days=400), WatchPatience()),
    "logins.forget": lambda s, _: s.logins.forget(LATER),
    "logins.lease": lambda s, _: s.logins.lease(
        "l", kind="routing", wanted=9, until=LATER, most_rows=9, now=NOW
    ).result(30),
    "logins.note": lambda s, _: s.logins.note(
        [Failure(own="o", shared="s")], kind="client", window=MINUTE, most_rows=9, now=NOW
    ),
    "logins.prove": lambda s, _: prove(s),
    "logins.remember": lambda s, _: s.logins.remember("new", kind="client", until=LATER, now=NOW),
    "notices.claim": lambda s, _: s.notices.claim(NOW, lease=LEASE, node="n", limit=9),
    "notices.forget": lambda s, _: s.notices.forget(LATER),
    "notices.give": lambda s, c: give(s, c.there.destination_id),
    "notices.record": lambda s, c: s.notices.record(
        c.notice, OutboxAttempt(sent=True, next_attempt_at=None, note="", now=NOW)
    ),
    "notices.write": lambda s, _: s.notices.write(Telling(entry=AUDIT, notices=(notice(uuid4()),))),
    "parties.add_client": lambda s, _: s.parties.add_client(client("another"), audit=AUDIT),
    "parties.add_destination": lambda s, _: s.parties.add_destination(destination(), audit=AUDIT),
    "parties.add_destinations": lambda s, _: s.parties.add_destinations(
        [(replace(destination(), destination_id=uuid4()), [("wrapKey", jwk(f"many-{each}"))]) for each in range(2)],
        audit=AUDIT,
    ),
    "parties.add_key": lambda s, c: s.parties.add_key(c.there.destination_id, jwk("more"), NOW, audit=AUDIT),
    "parties.change_destination": lambda s, c: s.parties.change_destination(
        c.there.destination_id, lambda before: replace(before, name="B"), audit=lambda _before, _after: AUDIT
    ),
    "parties.disable_client": lambda s, _: s.parties.disable_client("online-service", NOW, audit=AUDIT),
    "parties.replace_destination": lambda s, c: s.parties.replace_destination(replace(c.there, name="B"), audit=AUDIT),
    "parties.set_client_secret": lambda s, _: s.parties.set_client_secret("online-service", "$new", audit=AUDIT),
    "queue.claim": lambda s, _: claim(s),
    "queue.give_back": lambda s, c: s.queue.give_back([c.leased], NOW),
    "queue.give_up_recording": lambda s, c: s.queue.give_up_recording(result(c), "spoiled"),
    "queue.keep": lambda s, c: s.queue.keep(c.leased, "urn:x:1"),
    "queue.record": lambda s, c: record(s, c.leased),
    "queue.recording": lambda s, c: s.queue.recording(result(c)).result(10),
    "queue.renew": lambda s, c: s.queue.renew(c.leased, LATER),
    "recovery.forget_uploads": lambda s, _: s.recovery.forget_uploads(),
    "recovery.suspect_open_deliveries": lambda s, _: s.recovery.suspect_open_deliveries(),
    "retention.delete_contents": lambda s, c: s.retention.delete_contents(c.answered.submission_id, NOW),
    "retention.drop_case": lambda s, c: s.retention.drop_case(c.over.case_id, "a.b.c"),
    "retention.forget_idempotency": lambda s, _: s.retention.forget_idempotency(LATER),
    **versioning("routing_versions"),
    **versioning("service_versions"),
    **versioning("ai_versions"),
    "timestamps.add": lambda s, _: s.timestamps.add(StampedCheckpoint(number=7, stamped_at=NOW, token=b"stamp")),
    "settings.set": lambda s, _: s.settings.set("a", "1"),
    "uploads.append": lambda s, _: s.uploads.append("held", [Piece(offset=0, length=4, sealed=b"x")], **HELD),
    "uploads.begin": lambda s, _: s.uploads.begin(upload("new"), QUOTA),
    "uploads.declare": lambda s, _: s.uploads.declare("held", 20, QUOTA, **HELD),
    "uploads.drop": lambda s, _: s.uploads.drop("held", holder="h"),
    "uploads.expire": lambda s, _: s.uploads.expire(LATER, limit=9),
    "uploads.hold": lambda s, _: s.uploads.hold("part", SENDER, holder="other", now=NOW, until=LATER),
    "uploads.join": lambda s, _: s.uploads.join(upload("final", kind=ConcatKind.FINAL), ["part"], QUOTA, now=NOW),
    "uploads.release": lambda s, _: s.uploads.release("held", holder="h"),
    "uploads.renew": lambda s, _: s.uploads.renew("held", holder="h", until=LATER + MINUTE),
    "uploads.use": lambda s, _: s.uploads.use("held", holder="h", facts=b"sealed", until=LATER),
    "usage.add_refusals": lambda s, _: s.usage.add_refusals(),
    "usage.ask": lambda s, _: s.usage.ask(NOW),
    "usage.ask_again": lambda s, _: s.usage.ask_again([NOW.date()]),
    "usage.count": lambda s, _: s.usage.count(NOW.date(), NOW),
    "usage.note_refusals": lambda s, _: s.usage.note_refusals(REFUSALS).result(10),
    "submissions.announce": lambda s, c: announce(s, c.there.destination_id),
    "submissions.complete": lambda s, c: completed(s, c.announced),
    "submissions.keep_receipt": lambda s, c: s.submissions.keep_receipt(c.announced.id, "receipt"),
    "submissions.mark_collected": lambda s, c: s.submissions.mark_collected(c.expected.submission_id, NOW),
    "submissions.put_attachment": lambda s, c: s.submissions.put_attachment(*c.attachment, sealed("plan")),
    "submissions.submit_in_case": lambda s, c: accept_in_case(s, c.expected, key="later").result(10),
    "submissions.submit": lambda s, c: accept(s, submission(c.there.destination_id), key="new").result(10),
}

#: All others commit once, so that nothing of theirs can stay alone: one looks for a further batch, one is waited for here,
#: one writes a day's figures part by part and says last that the day is counted.
SEVERAL = {"deliveries.redrive_all", "logins.prove", "usage.count"}


@pytest.fixture(scope="module")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    file = tmp_path_factory.mktemp("furnished") / "hub.sqlite"
    shutil.copy(sqlite_template, file)
    with closing(Store(f"sqlite:///{file}")) as store:
        return file, furnish(store)


def refuse_commits(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """Have every database say at COMMIT that it could not, after so many that it could."""
    real = DefaultDialect.do_commit
    done: list[object] = []

    def refuse(dialect: Any, connection: Any) -> None:
        if len(done) >= after:
            raise dialect.loaded_dbapi.OperationalError("disk I/O error")
        done.append(connection)
        real(dialect, connection)

    monkeypatch.setattr(DefaultDialect, "do_commit", refuse)


def commits_of(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows with every commit."""
    real = DefaultDialect.do_commit
    made: list[object] = []

    def noted(dialect: Any, connection: Any) -> None:
        made.append(dialect)
        real(dialect, connection)

    monkeypatch.setattr(DefaultDialect, "do_commit", noted)
    return made


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Have another process hold the database, so that the first statement of a write fails."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def contents_of(store: Store) -> dict[str, list[str]]:
    """All rows of all tables."""
    return store.database.read(
        lambda connection: {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in tables.metadata.sorted_tables
        }
    )


def test_each_method_that_commits_has_a_case(furnished):
    with closing(Store(f"sqlite:///{furnished[0]}")) as store:
        found = {f"{name}.{method}" for name, noun in nouns(store).items() for method in committing(noun)}
    assert found == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_committed_leaves_nothing_and_is_told_and_goes_in_one_commit_the_next_time(
    furnished, tmp_path, monkeypatch, name
):
    template, scene = furnished
    file = tmp_path / "hub.sqlite"
    shutil.copy(template, file)
    with closing(Store(f"sqlite:///{file}?timeout=0.01")) as store:
        before = contents_of(store)
        with locked(file), pytest.raises(StoreUnavailable):
            CASES[name](store, scene)
        with monkeypatch.context() as broken:
            refuse_commits(broken)
            with pytest.raises(StoreUnavailable):
                CASES[name](store, scene)
        assert contents_of(store) == before
        commits = commits_of(monkeypatch)
        CASES[name](store, scene)
        assert contents_of(store) != before
        assert len(commits) == 1 or name in SEVERAL


def test_a_commit_that_is_refused_is_rolled_back_by_either_engine(store, monkeypatch):
    store.settings.set("a", "1")
    with monkeypatch.context() as broken:
        refuse_commits(broken)
        with pytest.raises(StoreUnavailable):
            store.settings.set("a", "2")
    assert store.settings.value("a") == "1"
    store.settings.set("a", "3")
    assert store.settings.value("a") == "3"


def test_what_cannot_be_read_is_set_down_by_the_next_claim_where_this_one_cannot(store, monkeypatch):
    """A claim commits twice: the leases, and what becomes of those whose rows cannot be read."""
    made = accepted(store, known_destination(store).destination_id)
    spoil = update(tables.messages).values(door="fax")
    store.database.write(lambda connection: connection.execute(spoil).rowcount)
    with monkeypatch.context() as broken:
        refuse_commits(broken, after=1)
        with pytest.raises(StoreUnavailable):
            claim(store)
    assert store.deliveries.of(made.submission_id).state is DeliveryState.QUEUED
    assert claim(store, now=NOW + MINUTE) == []
    assert store.deliveries.of(made.submission_id).state is DeliveryState.QUEUED
    assert claim(store, now=NOW + 2 * LEASE) == []
    assert store.deliveries.of(made.submission_id).state is DeliveryState.DEAD


def test_tables_that_cannot_be_committed_are_not_there_and_are_made_the_next_time(tmp_path, monkeypatch):
    with closing(Store(f"sqlite:///{tmp_path / 'hub.sqlite'}")) as store:
        with monkeypatch.context() as broken:
            refuse_commits(broken)
            with pytest.raises(StoreUnavailable):
                store.migrate()
        assert store.schema_revision() is None
        store.migrate()
        store.ready()
