"""One spoiled row, wherever it lies: it is counted and answered for alone, its neighbours are served, the work goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import spoiling
from dispatching import Taking, dispatcher, running, until
from store_values import (
    LEASE,
    MINUTE,
    NOW,
    Instead,
    accepted,
    announced,
    callback,
    claim,
    client,
    known_destination,
    record,
)

from hub.errors import UnreadableRow
from hub.jobs.retention import Undelivered
from hub.model import EVERYTHING, DeadCause
from hub.notifications.mail import Noticeboard
from hub.observability.metrics import Meters
from hub.proof.checkpoints import verify_audit
from hub.store import AuditEntry, DeliveryState, Notice, NoticeKind, Telling, Wanted, all_pages
from hub.store.engine import unavailable

DAY = timedelta(days=1)


@pytest.fixture
def spoil(store_url):
    """Write a value where it does not belong, as another program would; PostgreSQL refuses ill-typed ones."""

    def write(table, column, value, *, key, of):
        if store_url.startswith("postgresql") and isinstance(value, str) and column in NUMBERS:
            pytest.skip("PostgreSQL keeps text out of columns of numbers")
        spoiling.spoil(store_url, table, column, value, key=key, of=of)

    return write


NUMBERS = {
    "seq",
    "created_at",
    "updated_at",
    "at",
    "issued_at",
    "accepted_at",
    "last_event_at",
    "added_at",
    "failures",
    "open_until",
}
#: Beyond any time that there is.
NEVER = 1 << 62


@pytest.fixture
def counted(store):
    """The tables of the rows that were counted."""
    seen = []
    store.on_unreadable(seen.append)
    return seen


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "newsletter"),
        ("door", "fax"),
        ("state", "lost"),
        ("form", "asn1"),
        ("announced", "{"),
        ("schema_media_type", "text/csv"),
        ("created_at", NEVER),
        ("created_at", "yesterday"),
    ],
)
def test_a_message_is_answered_for_alone_and_lists_go_on(store, spoil, counted, column, value):
    there = known_destination(store).destination_id
    bad, good = accepted(store, there), accepted(store, there)
    spoil("messages", column, value, key="message_id", of=bad.submission_id)
    with pytest.raises(UnreadableRow) as caught:
        store.submissions.message(bad.submission_id)
    assert caught.value.place == ("messages", str(bad.submission_id), column)
    assert str(value) not in caught.value.detail.en
    assert store.submissions.message(good.submission_id).id == good.submission_id
    listed = {one.id for one in store.submissions.messages().items}
    assert listed == {good.submission_id}
    assert bad.submission_id not in {one.id for one in store.overview.submissions(Wanted(), scope=EVERYTHING).items}
    assert counted == ["messages"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("services", "["),
        ("services", "7"),
        ("metadata_versions", "7"),
        ("contact", "[]"),
        ("adapter_config", "null"),
        ("created_at", NEVER),
        ("updated_at", "yesterday"),
    ],
)
def test_a_destination_is_answered_for_alone_and_lists_go_on(store, spoil, counted, column, value):
    bad, good = known_destination(store), known_destination(store)
    spoil("destinations", column, value, key="destination_id", of=bad.destination_id)
    with pytest.raises(UnreadableRow):
        store.parties.destination(bad.destination_id)
    assert store.parties.destination(good.destination_id) == good
    assert [one.destination_id for one in store.parties.destinations(scope=EVERYTHING).items] == [good.destination_id]
    assert counted == ["destinations"]


@pytest.mark.parametrize(("column", "value"), [("kind", "pirate"), ("scopes", "{"), ("created_at", NEVER)])
def test_a_client_is_answered_for_alone_and_lists_go_on(store, spoil, counted, column, value):
    store.parties.add_client(client("bad"))
    store.parties.add_client(client("good"))
    spoil("clients", column, value, key="client_id", of="bad")
    with pytest.raises(UnreadableRow):
        store.parties.client("bad")
    assert [one.client_id for one in store.parties.clients(scope=EVERYTHING).items] == ["good"]
    assert counted == ["clients"]


@pytest.mark.parametrize(("column", "value"), [("jwk", "{"), ("jwk", "5")])
def test_a_key_is_answered_for_alone_and_the_others_are_listed(store, spoil, counted, column, value):
    there = known_destination(store).destination_id
    for kid in ("bad", "good"):
        store.parties.add_key(there, {"kid": kid, "kty": "RSA", "key_ops": ["wrapKey"]}, NOW)
    spoil("destination_keys", column, value, key="kid", of="bad")
    with pytest.raises(UnreadableRow):
        store.parties.key(there, "bad")
    assert [one.kid for one in store.parties.keys(there)] == ["good"]
    assert counted == ["destination_keys"]


@pytest.mark.parametrize(
    ("column", "value"), [("kind", "vanish"), ("subject", "delivery"), ("payload", "{"), ("issued_at", NEVER)]
)
def test_a_run_with_a_spoiled_event_is_short_and_others_are_whole(store, spoil, counted, column, value):
    there = known_destination(store).destination_id
    bad, good = (accepted(store, there, submitted_at=NOW + timedelta(seconds=number)) for number in range(2))
    spoil("events", column, value, key="case_id", of=bad.case_id)
    assert len(store.event_log.run(bad.case_id, bad.submission_id)) < 2
    assert len(store.event_log.run(good.case_id, good.submission_id)) == 2
    assert set(counted) <= {"events"}


@pytest.mark.parametrize(("column", "value"), [("failures", "many"), ("open_until", -NEVER), ("fault_since", NEVER)])
def test_a_circuit_that_cannot_be_read_counts_as_closed(store, spoil, counted, column, value):
    bad, good = known_destination(store).destination_id, known_destination(store).destination_id
    for each in (bad, good):
        store.circuits.change(each, lambda circuit: replace(circuit, failures=1, open_until=NOW, fault="x"), NOW)
    spoil("circuits", column, value, key="destination_id", of=bad)
    mine = accepted(store, bad)
    (taken,) = claim(store)
    assert (taken.submission.submission_id, taken.circuit.failures) == (mine.submission_id, 0)
    assert record(store, taken)
    assert [one.destination_id for one in store.figures.troubled(limit=9, scope=EVERYTHING)] == [good]
    assert store.circuits.circuit(bad).failures == 0
    store.circuits.change(bad, lambda circuit: replace(circuit, failures=2), NOW)
    assert store.circuits.circuit(bad).failures == 2
    assert counted == ["circuits"]


@pytest.mark.parametrize(("column", "value"), [("value_after", "{"), ("at", NEVER)])
def test_the_audit_log_is_shown_without_a_spoiled_entry(store, spoil, counted, column, value):
    for target in ("bad", "good"):
        store.audit.append(AuditEntry(at=NOW, actor="erika", action="test", target=target))
    spoil("audit", column, value, key="target", of="bad")
    assert [one.entry.target for one in store.audit.entries(scope=EVERYTHING).items] == ["good"]
    assert counted == ["audit"]


def notice(**changes):
    made = Notice(
        notice_id=uuid4(),
        kind=NoticeKind.OVERDUE,
        about="destination:x",
        recipient="a@example.org",
        facts={},
        created_at=NOW,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(("column", "value"), [("kind", "gossip"), ("facts", "{"), ("created_at", NEVER)])
def test_a_notice_that_cannot_be_read_is_given_up_and_counted(store, spoil, counted, column, value):
    bad, good = notice(), notice()
    there = known_destination(store).destination_id
    accepted(store, there)
    telling = Telling(entry=AuditEntry(at=NOW, actor="hub", action="test", target="x"), notices=(bad, good))
    store.notices.give(NoticeKind.OVERDUE, NOW + DAY, destination_id=there, number=1, make=lambda _: telling)
    spoil("notices", column, value, key="notice_id", of=bad.notice_id)
    claims = store.notices.claim(NOW, lease=LEASE, node="a", limit=9)
    assert [one.notice.notice_id for one in claims] == [good.notice_id]
    assert counted == ["notices"]
    assert store.notices.claim(NOW + MINUTE, lease=LEASE, node="a", limit=9) == []


@pytest.mark.parametrize(("column", "value"), [("case_id", "no-id"), ("created_at", NEVER)])
def test_a_callback_that_cannot_be_read_is_given_up_and_counted(store, spoil, counted, column, value):
    bad, good = callback(), callback()
    store.callbacks.add(bad)
    store.callbacks.add(good)
    spoil("callbacks", column, value, key="callback_id", of=bad.callback_id)
    claims = store.callbacks.claim(NOW, lease=LEASE, node="a", limit=9)
    assert [one.callback.callback_id for one in claims] == [good.callback_id]
    assert counted == ["callbacks"]


def test_cases_behind_spoiled_ones_come_to_their_end(store, spoil, counted):
    there = known_destination(store).destination_id
    bad, good = announced(store, there), announced(store, there)
    spoil("cases", "created_at", NEVER, key="case_id", of=bad.case_id)
    assert [one.case_id for one in store.retention.stale_cases(NOW + DAY, limit=1)] == [good.case_id]
    assert store.retention.stale_cases(NOW + DAY, limit=1, skip=1) == []
    assert counted == ["cases"]


def test_a_spoiled_destination_holds_up_neither_notices_nor_giving_up(store, spoil):
    bad, good = known_destination(store), known_destination(store)
    made = [accepted(store, each.destination_id) for each in (bad, good)]
    spoil("destinations", "services", "[", key="destination_id", of=bad.destination_id)
    board = Noticeboard(store=store, mails=True, operators="ops@example.org")
    duty = Undelivered(store=store, board=board, meters=Meters(), give_up=14 * DAY)
    assert duty.run(NOW + 4 * DAY) == 2
    assert duty.run(NOW + 15 * DAY) == 2
    assert {store.deliveries.of(one.submission_id).state for one in made} == {DeliveryState.DEAD}
    about = {one.notice.about for one in store.notices.claim(NOW + 15 * DAY, lease=LEASE, node="a", limit=9)}
    assert about == {f"destination:{each.destination_id}" for each in (bad, good)}


@pytest.mark.parametrize("column", ["accepted_at", "claimed_at"])
def test_a_delivery_without_a_readable_time_is_shown_all_the_same(store, spoil, column):
    made = accepted(store, known_destination(store).destination_id)
    if column == "accepted_at":
        spoil("deliveries", column, NEVER, key="submission_id", of=made.submission_id)
        claim(store)
        (delivery,) = store.deliveries.dead(DeadCause.HUB, scope=EVERYTHING).items
        assert (delivery.submission_id, delivery.accepted_at) == (made.submission_id, NOW)
    else:
        claim(store)
        spoil("deliveries", column, NEVER, key="submission_id", of=made.submission_id)
        claim(store, now=NOW + 2 * LEASE)
        assert store.deliveries.of(made.submission_id).submission_id == made.submission_id


def rejecting(store, error):
    """The store, whose queue cannot record results."""

    def refuse(_connection):
        raise error

    return Instead(store, queue=Instead(store.queue, recording=lambda _result: store.database.begin(refuse)))


def test_a_dispatcher_delivers_beside_a_spoiled_row_and_after_a_restart(store, spoil, tmp_path):
    there = known_destination(store, adapter="taking", adapter_config={}).destination_id
    bad = accepted(store, there)
    spoil("messages", "door", "fax", key="message_id", of=bad.submission_id)
    good = [accepted(store, there)]
    Taking.begin()
    for _ in range(2):
        with running(dispatcher(store, tmp_path)):
            until(lambda: store.deliveries.of(good[-1].submission_id).state is DeliveryState.DELIVERED)
            store.ready()
        good.append(accepted(store, there))
    view = store.deliveries.of(bad.submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.HUB)
    assert [one.submission_id for one in store.deliveries.dead(scope=EVERYTHING).items] == [bad.submission_id]
    assert str(bad.submission_id) not in Taking.submissions()


@pytest.mark.parametrize("adapter", ["taking", "mailbox"])
@pytest.mark.parametrize("error", [KeyError("cases"), UnreadableRow("messages", "1", "state")])
def test_a_result_that_cannot_be_recorded_ends_as_a_dead_letter(store, tmp_path, adapter, error):
    there = known_destination(store, adapter=adapter, adapter_config={}).destination_id
    made = accepted(store, there)
    working = dispatcher(rejecting(store, error), tmp_path)
    assert working.run_once() == 1
    view = store.deliveries.of(made.submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.HUB)
    assert f"not recorded: {type(error).__name__}" in view.attempts[-1].note
    assert working.run_once() == 0
    store.deliveries.redrive(view.delivery_id, NOW)
    assert claim(store)[0].repeat


def test_a_result_that_an_outage_kept_from_being_recorded_is_tried_again(store, tmp_path):
    there = known_destination(store, adapter="taking", adapter_config={}).destination_id
    made = accepted(store, there)
    working = dispatcher(rejecting(store, unavailable()), tmp_path)
    assert working.run_once() == 1
    assert store.deliveries.of(made.submission_id).state is DeliveryState.QUEUED
    assert [one.repeat for one in claim(store, now=NOW + 2 * LEASE)] == [True]


def test_a_duty_whose_lease_ends_implausibly_late_is_free(store):
    assert store.duties.hold("sign", node="a", now=NOW + DAY, lease=MINUTE) == 1
    assert store.duties.hold("sign", node="b", now=NOW, lease=MINUTE) == 2
    assert store.duties.hold("sign", node="a", now=NOW + timedelta(seconds=50), lease=MINUTE) is None
    # A holder whose clock is a little ahead is believed.
    assert store.duties.hold("sweep", node="a", now=NOW + timedelta(seconds=50), lease=MINUTE) == 1
    assert store.duties.hold("sweep", node="b", now=NOW, lease=MINUTE) is None


def test_a_spoiled_case_keeps_no_other_from_being_covered(store, spoil):
    here = known_destination(store).destination_id
    bad, good = accepted(store, here), accepted(store, here)
    spoil("cases", "seq", "many", key="case_id", of=bad.case_id)
    assert [head.case_id for head in store.checkpoints.uncovered(10)] == [good.case_id]


def chained(store, number):
    for at in range(1, number + 1):
        store.audit.append(AuditEntry(at=NOW, actor="erika", action="test", target=str(at)))


@pytest.mark.parametrize(
    ("column", "value"),
    [("hash", "no hash"), ("hash", "grün"), ("previous", "no hash"), ("value_after", "{"), ("at", NEVER)],
)
@pytest.mark.parametrize("row", [2, 3])
def test_a_spoiled_record_breaks_the_audit_chain_at_its_number_and_actions_go_on(store, spoil, column, value, row):
    chained(store, 3)
    spoil("audit", column, value, key="seq", of=row)
    for _ in range(2):
        report = verify_audit(store)
        assert (report.checked, report.broken_at) == (row - 1, row)
        assert value not in (report.text.de + report.text.en).split()
        store.checkpoints.audit_head()
        store.audit.append(AuditEntry(at=NOW, actor="erika", action="test", target="later"))


def test_once_the_end_is_mended_the_audit_chain_holds_again(store, spoil, counted):
    chained(store, 2)
    true = store.audit.entries(scope=EVERYTHING).items[-1].hash
    spoil("audit", "hash", "no hash", key="seq", of=2)
    assert store.checkpoints.audit_head() is None
    assert counted == ["audit"]
    chained(store, 1)
    spoil("audit", "hash", true, key="seq", of=2)
    assert verify_audit(store).text is None


def test_a_case_without_a_hash_is_in_no_checkpoint(store, spoil):
    here = known_destination(store).destination_id
    bad, good = accepted(store, here), accepted(store, here)
    spoil("cases", "head", "no hash", key="case_id", of=bad.case_id)
    assert [head.case_id for head in store.checkpoints.uncovered(10)] == [good.case_id]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_a_list_is_walked_past_spoiled_rows_and_shows_each_other_once(store, spoil, limit):
    there = [known_destination(store).destination_id for _ in range(5)]
    for bad in (0, 1, 3):
        spoil("destinations", "services", "[", key="destination_id", of=there[bad])
    pages = list(all_pages(lambda start: store.parties.destinations(offset=start, limit=limit, scope=EVERYTHING)))
    assert sorted(one.destination_id for page in pages for one in page.items) == sorted([there[2], there[4]])
    assert {UUID(error.place[1]) for page in pages for error in page.unreadable} == {there[0], there[1], there[3]}
