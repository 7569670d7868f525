"""Whoever writes to the database, without any key, rewrites what happened: the audit log, or events not signed yet."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from store_values import HUB, NOW, accepted, known_destination

from hub.crypto import HubKeys, make_receipt
from hub.errors import Unavailable
from hub.model import EVERYTHING, GENESIS
from hub.observability.metrics import Meters
from hub.proof.checkpoints import Checkpoints
from hub.proof.evidence import Notary
from hub.store import AUDIT_LOG, AuditEntry, AuditRecord, tables
from hub.store.audit import record_of, record_row

LATER = NOW + timedelta(seconds=5)


@pytest.fixture(scope="session")
def ring(tmp_path_factory) -> HubKeys:
    return HubKeys.load_or_create(tmp_path_factory.mktemp("ring"), NOW, create=True)


@pytest.fixture
def checkpoints(store, ring) -> Checkpoints:
    return Checkpoints(store=store, keys=ring, issuer=HUB)


@pytest.fixture
def audited(store, checkpoints) -> int:
    """An audit log of at least eight records, the end of which a checkpoint holds; its length."""
    for number in range(8):
        store.audit.append(AuditEntry(at=NOW, actor="anna", action="route.approve", target=f"t{number}"))
    checkpoints.make(NOW)
    length = store.audit.entries(limit=1, scope=EVERYTHING).total
    assert checkpoints.verify().findings == ()
    return length


def _change(store, statement, **values) -> None:
    assert store.database.write(lambda connection: connection.execute(statement, values).rowcount)


def _rewrite(store, first: int) -> None:
    """Say something else from a record on, and compute the chain anew from there."""

    def write(connection) -> None:
        rows = connection.execute(select(tables.audit).order_by(tables.audit.c.seq)).all()
        head = GENESIS
        for row in rows:
            record = record_of(row)
            if record.seq >= first:
                entry = AuditEntry(at=NOW, actor="eve", action=record.entry.action, target=record.entry.target)
                bare = AuditRecord(seq=record.seq, entry=entry, previous=head, hash="")
                record = AuditRecord(seq=record.seq, entry=entry, previous=head, hash=bare.record_hash())
                connection.execute(
                    update(tables.audit).where(tables.audit.c.seq == record.seq).values(record_row(record))
                )
            head = record.hash

    store.database.write(write)


ATTACKS = {
    "a record in the middle removed": lambda store, n: _change(
        store, text("DELETE FROM audit WHERE seq = :n"), n=n - 3
    ),
    "the first removed": lambda store, _: _change(store, text("DELETE FROM audit WHERE seq = 1")),
    "the end removed": lambda store, n: _change(store, text("DELETE FROM audit WHERE seq = :n"), n=n),
    "a run at the end removed": lambda store, n: _change(store, text("DELETE FROM audit WHERE seq > :n"), n=n - 5),
    "everything removed": lambda store, _: _change(store, text("DELETE FROM audit")),
    "a record changed": lambda store, n: _change(store, text("UPDATE audit SET actor = 'eve' WHERE seq = :n"), n=n - 2),
    "the chain computed anew from the middle": lambda store, n: _rewrite(store, n - 2),
    "the chain computed anew at the end": _rewrite,
    "the chain computed anew from the first record": lambda store, _: _rewrite(store, 1),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_audit_log_that_was_cut_or_rewritten_is_found(store, checkpoints, audited: int, attack) -> None:
    attack(store, audited)
    report = checkpoints.verify()
    assert len(report.findings) == 1
    assert report.audit.broken_at is not None


def test_what_was_cut_and_grew_again_is_found(store, checkpoints, audited: int) -> None:
    _change(store, text("DELETE FROM audit WHERE seq > :n"), n=audited - 4)
    for number in range(9):
        store.audit.append(AuditEntry(at=LATER, actor="eve", action="innocent", target=str(number)))
    checkpoints.make(LATER)
    assert checkpoints.verify().findings


def test_a_leaf_of_the_audit_log_that_was_changed_to_fit_is_found_by_the_signature(
    store, checkpoints, audited: int
) -> None:
    _rewrite(store, audited)
    (head,) = [
        record.hash for record in store.audit.entries(limit=500, scope=EVERYTHING).items if record.seq == audited
    ]
    statement = text("UPDATE checkpoint_leaves SET head = :head WHERE case_id = :log AND seq = :seq")
    _change(store, statement, head=head, log=str(AUDIT_LOG), seq=audited)
    assert "not those that were signed" in checkpoints.verify().findings[0].text.en


def test_the_end_of_the_audit_log_stands_in_every_checkpoint_and_one_is_made_for_it_alone(
    store, checkpoints, audited
) -> None:
    assert checkpoints.make(LATER) == 0
    first = checkpoints.newest().number
    there = known_destination(store).destination_id
    accepted(store, there)
    accepted(store, there)
    assert checkpoints.make(LATER) == 2
    log = store.checkpoints
    for number in range(1, checkpoints.newest().number + 1):
        assert sum(leaf.case_id == AUDIT_LOG for leaf in log.leaves(number)) == 1
    store.audit.append(AuditEntry(at=LATER, actor="anna", action="a", target="t"))
    assert checkpoints.make(LATER) == 0
    assert checkpoints.newest().number > first
    assert checkpoints.verify().findings == ()


def _forge(store, case_id) -> None:
    """Change an event that nobody has signed, and compute the chain behind it anew, as its case says."""
    (first, *rest) = store.event_log.events(case_id).items

    def write(connection) -> None:
        from dataclasses import replace

        head, forged = GENESIS, replace(first, issued_at=first.issued_at - timedelta(days=9))
        for event in (forged, *rest):
            chained = replace(event, previous=head)
            head = chained.entry_hash()
            values = {"previous": chained.previous, "hash": head, "issued_at": int(chained.issued_at.timestamp() * 1e6)}
            where = (tables.events.c.case_id == str(case_id)) & (tables.events.c.seq == event.seq)
            connection.execute(update(tables.events).where(where).values(values))
        connection.execute(update(tables.cases).where(tables.cases.c.case_id == str(case_id)).values(head=head))

    store.database.write(write)


def _notary(store, checkpoints, ring, *, at=NOW, meters=None) -> Notary:
    return Notary(
        store=store, keys=ring, checkpoints=checkpoints, clock=lambda: at, interval=timedelta(seconds=5), meters=meters
    )


def test_an_event_forged_before_its_signature_is_not_signed_and_others_are(store, checkpoints, ring, caplog) -> None:
    there = known_destination(store).destination_id
    forged, honest = (accepted(store, there).case_id for _ in range(2))
    checkpoints.make(NOW)
    _forge(store, forged)
    meters = Meters()
    notary = _notary(store, checkpoints, ring, meters=meters)
    assert notary.verify([forged]).findings == ()
    for _ in range(2):
        with caplog.at_level(logging.ERROR), pytest.raises(Unavailable) as caught:
            notary.tokens(forged)
        assert caught.value.slug == "log-contradicted"
    assert len(notary.tokens(honest).items) == 2
    assert all(event.jws is None for event in store.event_log.events(forged).items)
    assert caplog.text.count(str(forged)) == 1, "said once, until it is mended"
    assert b"hub_logs_contradicted_total 1.0" in meters.text()


def test_a_leaf_that_was_changed_to_fit_a_forged_log_does_not_get_it_signed(store, checkpoints, ring) -> None:
    forged = accepted(store, known_destination(store).destination_id).case_id
    checkpoints.make(NOW)
    _forge(store, forged)
    head = store.submissions.case(forged).head
    statement = text("UPDATE checkpoint_leaves SET head = :head WHERE case_id = :case")
    _change(store, statement, head=head, case=str(forged))
    with pytest.raises(Unavailable) as caught:
        _notary(store, Checkpoints(store=store, keys=ring, issuer=HUB), ring).tokens(forged)
    assert caught.value.slug == "log-contradicted"


def test_a_forged_log_whose_leaves_were_taken_away_is_too_old_to_be_signed_uncovered(store, checkpoints, ring) -> None:
    forged = accepted(store, known_destination(store).destination_id).case_id
    checkpoints.make(NOW)
    _forge(store, forged)
    _change(store, text("DELETE FROM checkpoint_leaves WHERE case_id = :case"), case=str(forged))
    _change(store, text("UPDATE messages SET receipt = NULL WHERE case_id = :case"), case=str(forged))
    with pytest.raises(Unavailable) as caught:
        _notary(store, checkpoints, ring, at=NOW + timedelta(minutes=1)).tokens(forged)
    assert caught.value.slug == "log-not-covered"


def test_a_forged_receipt_covers_no_log(store, checkpoints, ring) -> None:
    made = accepted(store, known_destination(store).destination_id)
    _change(store, text("UPDATE messages SET receipt = :forged"), forged="e30.e30.c2ln")
    with pytest.raises(Unavailable) as caught:
        _notary(store, checkpoints, ring, at=NOW + timedelta(minutes=1)).tokens(made.case_id)
    assert caught.value.slug == "log-contradicted"


def test_a_young_log_is_signed_and_an_old_one_once_a_checkpoint_or_its_receipt_covers_it(
    store, checkpoints, ring
) -> None:
    there = known_destination(store).destination_id
    young, old, receipted = (accepted(store, there) for _ in range(3))
    assert len(_notary(store, checkpoints, ring).tokens(young.case_id).items) == 2
    late = _notary(store, checkpoints, ring, at=NOW + timedelta(minutes=1))
    _change(store, text("UPDATE messages SET receipt = NULL WHERE message_id = :id"), id=str(old.submission_id))
    with pytest.raises(Unavailable) as caught:
        late.tokens(old.case_id)
    assert caught.value.slug == "log-not-covered"
    end = store.event_log.events(receipted.case_id).items[-1]
    claims = {"iat": int(NOW.timestamp()), "eventLog": {"seq": end.seq, "hash": end.hash}}
    receipt = make_receipt(ring.receipt, claims)
    where = {"receipt": receipt, "id": str(receipted.submission_id)}
    _change(store, text("UPDATE messages SET receipt = :receipt WHERE message_id = :id"), **where)
    assert len(late.tokens(receipted.case_id).items) == 2
    checkpoints.make(NOW)
    assert len(late.tokens(old.case_id).items) == 2
