"""A spoiled row at the edges: lists show the others and say that one is missing, whoever asks for it alone hears 503.

One hub for all of it; each test spoils a row, asks and mends it. What stands in a spoiled row is told to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import spoiling
from admin_pages import Browser
from api_people import Office, Party, open_office
from click.testing import CliRunner
from stage import BAUEN, TAUNUSSTEIN, WIESBADEN, Served, serving, staged
from store_values import NOW, announced, buried, callback, claim, completed, record

from hub.cli import main
from hub.errors import UnreadableRow
from hub.identity.persons import Person
from hub.model import EVERYTHING, Role
from hub.model.events import Subject
from hub.store import AuditEntry
from hub.store.event_log import AUDIT_LOG
from hub.store.proposals import AdapterChange, ChangeState, KeyChange, KeyStep
from hub.store.routing_versions import Activation, RuleRows

#: Stands for whatever a spoiled row holds; it is neither a number nor an id, nor JSON.
STORED = "[GEHEIM-7"


@dataclass
class Row:
    """Which row of a table is spoiled, and by what each of it and of a healthy one is known where it is listed."""

    key: str
    bad: Any
    shown: str
    other: str


@dataclass
class Answered:
    """What came of a question; ``status`` is HTTP's, or a command's exit code."""

    status: int
    text: str
    json: Any = None


@dataclass
class World:
    """A served hub with two of everything."""

    served: Served
    office: Office
    page: Browser
    operator: Party
    rows: dict[str, Row] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def spoiled(self, table: str, column: str) -> Iterator[None]:
        row, url = self.rows[table], self.served.stage.hub.settings.database
        table = {"replies": "messages"}.get(table, table)
        before = spoiling.spoil(url, table, column, STORED, key=row.key, of=row.bad)
        # What is remembered of parties is a second old at most.
        self.served.stage.clock.pass_(seconds=2)
        try:
            yield
        finally:
            spoiling.spoil(url, table, column, before, key=row.key, of=row.bad)
            self.served.stage.clock.pass_(seconds=2)

    def ask(self, what: str) -> Answered:
        """Ask a page, the API as a person or as a client, or the command line."""
        whom, _, where = what.format(**self.said).partition(" ")
        if whom == "hub":
            done = CliRunner().invoke(main, [*where.split(), "--data", str(self.served.stage.data)])
            assert done.exception is None or isinstance(done.exception, SystemExit), what
            return Answered(done.exit_code, done.output)
        if whom == "page":
            got = self.page.get(where)
        elif whom == "person":
            got = self.operator.get(where)
        else:
            got = self.served.get(where, headers={"Authorization": f"Bearer {self.served.token(whom)}"})
        is_json = "json" in got.headers["content-type"]
        return Answered(got.status_code, got.text, got.json() if is_json else None)


def proposed(hub, destination_id, kid):
    jwk = {"kid": kid, "kty": "RSA", "key_ops": ["wrapKey"], "n": "AQ", "e": "AQAB", "alg": "RSA-OAEP-256"}
    change = KeyChange(
        destination_id=destination_id,
        step=KeyStep.ADD,
        kid=kid,
        jwk=jwk,
        reason="",
        proposed_by="otto",
        proposed_at=NOW,
    )
    audit = AuditEntry(at=NOW, actor="otto", action="key.propose", target=kid)
    return hub.store.key_changes.propose(change, audit=audit).change_id


def rewired(store, destination_id, reason):
    change = AdapterChange(
        destination_id=UUID(destination_id),
        adapter="mailbox",
        options={},
        reason=reason,
        proposed_by="otto",
        proposed_at=NOW,
    )
    audit = AuditEntry(at=NOW, actor="otto", action="adapter.propose", target=destination_id)
    return store.adapter_changes.propose(change, audit=audit)


def replied(stage, case_id):
    """A reply of the authority that waits for the sender."""
    reply = announced(
        stage.hub.store,
        stage.destination_id("Wiesbaden"),
        kind=Subject.REPLY,
        case_id=UUID(case_id),
        new_case=False,
        sender=stage.cast["subscriber"]["client_id"],
        addressee=stage.sender,
        callback=None,
    )
    assert completed(stage.hub.store, reply)
    return reply.id


def called(store, party, *, case_id, note):
    """A callback to a destination that was given up."""
    made = callback(party=party, case_id=case_id)
    store.callbacks.add(made)
    found = store.callbacks.claim(NOW, lease=timedelta(minutes=1), node="n", limit=99)
    claimed = next(each for each in found if each.callback.callback_id == made.callback_id)
    assert store.callbacks.record(claimed, sent=False, next_attempt_at=None, note=note, now=NOW)
    return made.callback_id


def reactivated(hub):
    """The rules of the first routing table as a second one, and its activation, which is the newest."""
    store, first = hub.store.routing_versions, hub.book.version(1)
    audit = AuditEntry(at=NOW, actor="otto", action="routes.activate", target="routing-table:2")
    rules = RuleRows(rows=store.rows(1), content_version=first.content_version)
    second = store.add(replace(first, title="table-bad"), rules, audit=audit)
    now = hub.clock()
    activation = Activation(
        seq=0, number=second.number, since=now, made_by="otto", made_at=now, reason="activation-bad"
    )
    return second, store.activate(activation, audit=audit)


@pytest.fixture(scope="module")
def world(made_once, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HUB_DISK_WATERMARK_BYTES", "0")
    with staged(made_once, tmp_path_factory.mktemp("spoiled")) as stage, serving(stage) as served:
        office = open_office(served)
        page = Browser(base=f"{served.base_url}/admin", name="otto")
        assert page.log_in().status_code == 303
        yield furnished(World(served=served, office=office, page=page, operator=office.as_("otto")))
        office.close()
        page.http.close()
    patch.undo()


def furnished(world: World) -> World:
    """Give the hub two of everything, and note which of them is to be spoiled."""
    stage = world.served.stage
    store, cast = stage.hub.store, stage.cast
    given_up = [stage.accept() for _ in range(2)]
    deliveries = claim(store, now=stage.clock(), each=9)
    for one in deliveries:
        assert record(store, one, *buried(), started_at=stage.clock(), ended_at=stage.clock())
    assert len(deliveries) == len(given_up)
    waiting = [stage.accept(area=WIESBADEN) for _ in range(2)]
    bad, good = (UUID(each.claims["sub"].removeprefix("submission:")) for each in waiting)
    cases = [each.claims["txn"].removeprefix("case:") for each in waiting]
    here, there = stage.destination("Rheingau"), stage.destination("Wiesbaden")
    change, _ = (proposed(stage.hub, UUID(there["destination_id"]), kid) for kid in ("kid-bad", "kid-good"))
    store.audit.append(AuditEntry(at=NOW, actor="otto", action="test", target="entry-bad"))
    entry = store.audit.entries(action="test", scope=EVERYTHING).items[0].seq
    store.audit.append(AuditEntry(at=NOW, actor="otto", action="test", target="entry-good"))
    kid = store.parties.destination(UUID(here["destination_id"])).encryption_kid
    reserved = cast["reserved_for_tests"]["subscriber"]["client_id"]
    replies = [replied(stage, case) for case in cases]
    lost = [
        called(store, here["destination_id"], case_id=UUID(cases[1]), note=f"call-{who}") for who in ("bad", "good")
    ]
    good_way = rewired(store, there["destination_id"], "way-good")
    refused = replace(good_way, state=ChangeState.REFUSED, decided_by="erika", decided_at=NOW)
    audit = AuditEntry(at=NOW, actor="erika", action="adapter.refuse", target="way")
    store.adapter_changes.decide(refused, before=("mailbox", {}), audit=audit)
    way = rewired(store, there["destination_id"], "way-bad").change_id
    table, activation = reactivated(stage.hub)
    world.rows = {
        "routing_versions": Row("number", table.number, "table-bad", "Aus Dateien / from files"),
        "routing_activations": Row("seq", activation.seq, "activation-bad", "Aus Dateien / from files"),
        "replies": Row("message_id", replies[0], str(replies[0]), str(replies[1])),
        "callbacks": Row("callback_id", lost[0], "call-bad", "call-good"),
        "adapter_changes": Row("change_id", way, "way-bad", "way-good"),
        "messages": Row("message_id", bad, str(bad), str(good)),
        "cases": Row("case_id", cases[0], cases[0], cases[1]),
        "deliveries": Row(
            "delivery_id",
            deliveries[0].delivery_id,
            str(deliveries[0].delivery_id),
            str(deliveries[1].delivery_id),
        ),
        "destinations": Row("destination_id", here["destination_id"], here["destination_id"], there["destination_id"]),
        "destination_keys": Row("kid", kid, kid, there["destination_id"]),
        "clients": Row("client_id", reserved, reserved, stage.sender),
        "accounts": Row("name", "walter", "walter", "erika"),
        "audit": Row("seq", entry, "entry-bad", "entry-good"),
        "key_changes": Row("change_id", change, "kid-bad", "kid-good"),
        "events": Row("seq = 2 AND case_id", cases[0], "-", "-"),
    }
    world.said = {
        "message": str(bad),
        "case": cases[0],
        "destination": here["destination_id"],
        "kid": kid,
        "client": reserved,
        "other": str(good),
        "reply": str(replies[0]),
        "place": there["destination_id"],
        "service": BAUEN,
        "area": TAUNUSSTEIN,
    }
    return world


LISTS = [
    ("messages", "door", "page /submissions"),
    ("messages", "state", "page /submissions"),
    ("messages", "door", "subscriber /v2/submissions"),
    ("cases", "seq", "sender /v2/cases"),
    ("deliveries", "submission_id", "page /dead"),
    ("deliveries", "submission_id", "hub dead list"),
    ("destinations", "services", "page /destinations"),
    ("destinations", "services", "page /destinations/keys"),
    ("destinations", "services", "page /"),
    ("destinations", "services", "person /destinations"),
    ("destinations", "services", "hub destinations list"),
    ("clients", "scopes", "page /clients"),
    ("clients", "scopes", "person /clients"),
    ("clients", "scopes", "hub clients list"),
    ("accounts", "roles", "hub accounts list"),
    ("audit", "value_after", "page /audit"),
    ("key_changes", "step", "page /destinations/keys"),
    ("key_changes", "step", "page /destinations/{place}"),
    ("adapter_changes", "options", "page /destinations/{place}"),
    ("callbacks", "created_at", "page /destinations/{destination}"),
    ("callbacks", "created_at", "page /submissions/{other}"),
    ("replies", "door", "sender /v2/replies"),
    ("destinations", "services", "subscriber /v2/destinations"),
    ("destinations", "status", "subscriber /v2/destinations"),
    ("destinations", "status", "person /destinations"),
    ("deliveries", "submission_id", "subscriber /hub/v1/dead-letters"),
    ("routing_versions", "editors", "page /routing/versions"),
    ("routing_versions", "editors", "person /routes/versions"),
    ("routing_versions", "editors", "hub routes list"),
    ("routing_activations", "number", "page /routing/versions"),
    ("routing_activations", "since", "page /routing/versions"),
    ("routing_activations", "made_at", "person /routes/history"),
    ("routing_activations", "made_at", "hub routes history"),
]


@pytest.mark.parametrize(("table", "column", "what"), LISTS)
def test_a_list_shows_the_others_and_says_that_one_is_missing(world, table, column, what):
    row = world.rows[table]
    whole = world.ask(what)
    assert row.other in whole.text
    assert row.shown in whole.text or table == "deliveries"
    with world.spoiled(table, column):
        found = world.ask(what)
    assert found.status == whole.status
    assert STORED not in found.text
    assert row.other in found.text
    assert row.shown not in found.text.replace(f"{table} {row.shown} cannot be read", "")
    if found.json is not None and "unreadableCount" in found.json:
        assert found.json["unreadableCount"] == 1
        assert found.json["totalCount"] == whole.json["totalCount"]
    elif found.json is not None:
        assert (found.json["count"], found.json["totalCount"]) == (whole.json["count"] - 1, whole.json["totalCount"])
        assert what.startswith(("sender", "subscriber")), "a list of the hub's own says it in words"
    else:
        words = "missing here: 1" if what.startswith("hub") else "die nicht lesbar sind und hier fehlen: 1"
        assert words in found.text
        assert words not in whole.text


def test_a_key_that_cannot_be_read_hides_no_destination(world):
    with world.spoiled("destination_keys", "jwk"):
        for what in ("page /destinations", "page /destinations/keys", "page /", "page /health", "page /routing"):
            found = world.ask(what)
            assert (found.status, STORED in found.text) == (200, False), what
        found = world.ask("page /destinations")
        assert world.said["destination"] in found.text
        assert "kein gültiger Schlüssel" in found.text


DETAILS = [
    ("messages", "door", "page /submissions/{message}"),
    ("messages", "door", "sender /hub/v1/applications/{message}"),
    ("messages", "door", "sender /hub/v1/applications/{message}/receipt"),
    ("messages", "door", "sender /v2/submissions/{message}/events"),
    ("messages", "door", "subscriber /v2/submissions/{message}"),
    ("messages", "door", "hub status {message}"),
    ("replies", "door", "sender /v2/replies/{reply}"),
    ("replies", "door", "sender /v2/replies/{reply}/events"),
    ("cases", "seq", "sender /v2/cases/{case}"),
    ("cases", "seq", "sender /v1/cases/{case}/events"),
    ("destinations", "services", "page /destinations/{destination}"),
    ("destinations", "services", "person /destinations/{destination}"),
    ("destinations", "services", "sender /v2/destinations/{destination}"),
    ("destinations", "services", "hub destinations show {destination}"),
    ("destination_keys", "jwk", "sender /v2/destinations/{destination}/keys/{kid}"),
    ("clients", "scopes", "person /clients/{client}"),
    ("clients", "scopes", "hub clients rotate {client}"),
    ("accounts", "roles", "hub accounts totp walter"),
    ("cases", "seq", "hub log verify {case}"),
    ("routing_versions", "editors", "page /routing/versions/2"),
    ("routing_versions", "editors", "hub routes diff"),
    ("routing_activations", "made_at", "person /routes/active"),
    # What needs the table in force; none that held before takes its place.
    ("routing_activations", "number", "sender /v2/routes?leikaKey={service}&ars={area}"),
    ("routing_activations", "since", "sender /v2/routes?leikaKey={service}&ars={area}"),
    ("routing_activations", "cancelled_at", "sender /v2/routes?leikaKey={service}&ars={area}"),
    ("routing_activations", "number", "page /routing/explain?service={service}&ars={area}"),
]

#: Pages that tell of the table in force beside other things, and what each of them shows all the same.
BESIDE = {
    "page /routing": "Warum zuständig?",
    "page /routing/explain": "Warum zuständig?",
    "page /routing/areas?q=Taunusstein": "064390015015",
    "page /routing/versions/1": "Aus Dateien / from files",
    "page /health": "Freier Speicher",
    "page /destinations/{place}": "{place}",
    "page /destinations/{place}/service": "Leistung",
    "page /submissions/{message}": "{message}",
}


@pytest.mark.parametrize(("table", "column", "what"), DETAILS)
def test_who_asks_for_a_spoiled_row_alone_hears_so(world, table, column, what):
    with world.spoiled(table, column):
        found = world.ask(what)
    assert STORED not in found.text
    assert "Traceback" not in found.text
    if what.startswith("hub"):
        assert found.status == 1
        assert "Diese Version kann die Spalte" in found.text
        assert f"this version cannot read column {column}" in found.text
        return
    assert found.status == 503, found.text
    if found.json is None:
        assert "Datensatz nicht lesbar" in found.text
        # In the look of the others, to somebody who is still logged in.
        assert '<nav aria-label="Hauptnavigation">' in found.text
        assert "missing" not in found.text
    else:
        assert found.json["type"].endswith("unreadable-row")
        assert table not in found.text.replace(what, ""), "where it lies is the operators' business"


@pytest.mark.parametrize("column", ["number", "cancelled_at"])
def test_pages_that_tell_of_the_table_in_force_beside_other_things_go_on_without_it(world, column):
    whole = {what: world.ask(what) for what in BESIDE}
    with world.spoiled("routing_activations", column):
        found = {what: world.ask(what) for what in BESIDE}
        assert world.ask("hub routes list").status == 0
    for what, shown in BESIDE.items():
        assert (whole[what].status, found[what].status) == (200, 200), what
        assert shown.format(**world.said) in found[what].text, what
        assert STORED not in found[what].text, what
    for what in ("page /routing", "page /routing/areas", "page /health", "page /destinations/{place}"):
        known = found[next(each for each in found if each.startswith(what))].text
        assert "Die Zuständigkeitstabelle, die gilt, ist nicht lesbar" in known, what
        assert "die nicht lesbar sind und hier fehlen: 1" in known, what
    assert "Alles arbeitet." not in found["page /health"].text


def test_nothing_is_accepted_by_an_older_table_than_the_one_in_force(world):
    with world.spoiled("routing_activations", "cancelled_at"):
        found = world.served.submit()
    assert found.status_code == 503
    assert found.json()["type"].endswith("unreadable-row")
    assert world.served.submit().status_code == 202


def test_rolling_back_brings_a_readable_table_into_force(world):
    book, clock = world.served.stage.hub.book, world.served.stage.clock
    person = Person(name="erika", full_name="Erika", roles=(Role.APPROVER,))
    with world.spoiled("routing_activations", "cancelled_at"):
        with pytest.raises(UnreadableRow):
            book.rollback(person, now=clock(), text="unlesbar")
        with pytest.raises(UnreadableRow):
            book.rollback(replace(person, tenant="06"), now=clock(), text="unlesbar", number=1)
        begun = book.rollback(person, now=clock(), text="unlesbar", number=1)
        assert world.ask("sender /v2/routes?leikaKey={service}&ars={area}").status == 200
        assert world.served.submit().status_code == 202
        assert "unlesbar" in world.ask("page /routing").text
    spoiling.spoil(
        world.served.stage.hub.settings.database, "routing_activations", "cancelled_at", 1, key="seq", of=begun.seq
    )


def test_an_activation_that_another_one_followed_is_nobodys_concern(world):
    row = world.rows["routing_activations"]
    newest, row.bad = row.bad, 1
    try:
        with world.spoiled("routing_activations", "since"):
            assert world.ask("sender /v2/routes?leikaKey={service}&ars={area}").status == 200
    finally:
        row.bad = newest


def test_a_submission_whose_receipt_cannot_be_read_is_shown_without_it(world):
    with world.spoiled("messages", "receipt"):
        found = world.ask("page /submissions/{message}")
    assert (found.status, STORED in found.text) == (200, False)
    assert "die nicht lesbar sind und hier fehlen: 1" in found.text


def test_an_event_that_cannot_be_read_is_missing_from_logs_and_found_by_verification(world):
    hub = world.served.stage.hub
    hub.checkpoints.make(hub.clock())
    world.ask("sender /v2/cases/{case}/events")  # What is read gets its signatures, and is served from then on.
    with world.spoiled("events", "kind"):
        for what in ("sender /hub/v1/applications/{message}", "page /submissions/{message}"):
            found = world.ask(what)
            assert (found.status, STORED in found.text) == (200, False), what
        log = world.ask("sender /v2/cases/{case}/events").json
        assert log["count"] == log["totalCount"] - 1
        found = world.ask("hub log verify")
        assert (found.status, world.said["case"] in found.text, STORED in found.text) == (1, True, False)


def test_a_spoiled_case_is_not_called_intact(world):
    with world.spoiled("cases", "seq"):
        found = world.ask("hub log verify --no-checkpoints")
    assert found.status == 1
    assert "this version cannot read column seq" in found.text
    assert "intact" not in found.text


@pytest.mark.parametrize("column", ["hash", "value_after"])
def test_a_spoiled_record_of_the_audit_log_is_named_by_its_number(world, column):
    number = world.rows["audit"].bad
    with world.spoiled("audit", column):
        page, command = world.ask("page /audit?verify=1"), world.ask("hub log verify")
    assert page.status == 200
    assert f"Erster falscher Eintrag: Nummer {number}." in page.text
    assert command.status == 1
    assert f"audit log #{number}: " in command.text
    assert STORED not in page.text + command.text


def test_a_leaf_that_cannot_be_read_keeps_nobody_from_verifying_the_audit_log(world):
    stage = world.served.stage
    stage.hub.checkpoints.make(stage.clock())
    world.rows["checkpoint_leaves"] = Row("case_id", AUDIT_LOG, "-", "-")
    with world.spoiled("checkpoint_leaves", "seq"):
        page, command = world.ask("page /audit?verify=1"), world.ask("hub log verify")
    assert page.status == 200
    assert "die nicht lesbar sind und hier fehlen: 1" in page.text
    assert command.status == 1
    assert "this version cannot read column seq" in command.text
    assert STORED not in page.text + command.text


def test_whose_account_cannot_be_read_is_asked_to_log_in_and_nobody_else_is(world):
    walter = Browser(base=world.page.base, name="walter")
    assert walter.log_in().status_code == 303
    party = world.office.as_("walter")
    with world.spoiled("accounts", "roles"):
        answer = walter.get("/", allow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin/login")
        assert walter.log_in().status_code == 401
        assert party.get("/destinations").status_code == 401
        assert world.office.log_in("walter").status_code == 401
        assert world.ask("page /").status == world.ask("person /destinations").status == 200
    assert walter.get("/", allow_redirects=False).status_code == 200
    walter.http.close()
