"""Whoever writes to the database, without any key, rewrites what happened: the audit log, or events not signed yet."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from store_values import HUB, NOW, accepted, known_destination

from hub.crypto.keyring import HubKeys
from hub.errors import Unavailable
from hub.model.events import GENESIS
from hub.observability.metrics import Meters
from hub.proof.checkpoints import Checkpoints
from hub.proof.event_log import Notary
from hub.store import AuditEntry, AuditRecord, tables
from hub.store.audit import record_of, record_row
from hub.store.checkpoints import AUDIT_LOG

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
    length = store.audit.entries(limit=1).total
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
    (head,) = [record.hash for record in store.audit.entries(limit=500).items if record.seq == audited]
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


def test_an_event_forged_before_its_signature_is_not_signed_and_others_are(store, checkpoints, ring, caplog) -> None:
    there = known_destination(store).destination_id
    forged, honest = (accepted(store, there).case_id for _ in range(2))
    checkpoints.make(NOW)
    _forge(store, forged)
    meters = Meters()
    notary = Notary(store=store, keys=ring, meters=meters)
    assert notary.verify([forged]).findings == ()
    with caplog.at_level(logging.ERROR):
        notary.sign_pending()
    assert all(event.jws is None for event in store.event_log.events(forged).items)
    assert all(event.jws is not None for event in store.event_log.events(honest).items)
    assert str(forged) in caplog.text
    with pytest.raises(Unavailable) as caught:
        notary.tokens(forged)
    assert caught.value.slug == "log-contradicted"
    assert b"hub_logs_contradicted_total 1.0" in meters.text()
    assert notary.sign_pending() == 0
