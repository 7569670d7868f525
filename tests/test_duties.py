"""Periodic duties: one node at a time, nothing lost with a dead winner, only orphans swept."""

from __future__ import annotations

import os
from datetime import timedelta
from uuid import UUID

from stage import ANMELDEN, SCHEMAS, WIESBADEN

from hub.crypto.receipts import claims_of
from hub.duties import Clock, Duty, sweep_orphans
from hub.submission import Application, MediaType

ANMELDUNG = (SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_bytes()


def node(stage, name: str, duty: Duty) -> Clock:
    return Clock(store=stage.hub.store, node=name, duties=[duty], clock=stage.clock)


def counted() -> tuple[list, Duty]:
    ran: list = []
    return ran, Duty(name="count", every=timedelta(minutes=1), run=lambda now: ran.append(now) or 1)


def test_of_two_nodes_one_does_the_duty(stage):
    ran, duty = counted()
    assert node(stage, "a", duty).tick(duty) + node(stage, "b", duty).tick(duty) == 1
    assert len(ran) == 1


def test_after_a_dead_winner_another_node_does_it(stage):
    ran, duty = counted()
    node(stage, "a", duty).tick(duty)
    stage.clock.pass_(minutes=4)
    assert node(stage, "b", duty).tick(duty) == 1
    assert len(ran) == 2


def test_a_node_that_ends_in_order_leaves_its_duties_to_the_others_at_once(stage):
    ran, duty = counted()
    first, second = node(stage, "a", duty), node(stage, "b", duty)
    first.start()
    assert first.tick(duty) == 1
    assert second.tick(duty) == 0
    first.stop()
    assert second.tick(duty) == 1
    assert len(ran) == 2


def test_a_database_that_is_away_postpones_the_duty(stage):
    _, duty = counted()
    stage.hub.store.close()
    assert node(stage, "a", duty).tick(duty) == 0


def write_blob(stage) -> str:
    writer = stage.hub.blobs.writer()
    writer.write(b"sealed")
    return writer.commit()


def test_a_blob_without_a_row_is_swept_after_its_grace_and_not_before(stage):
    name = write_blob(stage)
    sweep = sweep_orphans(stage.hub.store, stage.hub.blobs, grace=timedelta(hours=24))
    (path,) = [found for found in (stage.data / "blobs").rglob("*") if found.name.startswith(name)]
    then = stage.clock().timestamp()
    os.utime(path, (then, then))
    assert sweep(stage.clock()) == 0
    stage.clock.pass_(hours=25)
    assert sweep(stage.clock()) == 1
    assert not path.exists()


def test_a_blob_with_a_row_is_never_swept(stage):
    cover = stage.cover(service=ANMELDEN, area=WIESBADEN)
    with stage.hub.intake.open(cover, now=stage.clock()) as reception:
        sealer = reception.attach(name="a", filename="a.pdf", media_type="application/pdf")
        sealer.write(bytes(200_000))
        sealer.finish()
        application = Application(cover=cover, media_type=MediaType.JSON, data=ANMELDUNG)
        receipt = reception.accept(application, now=stage.clock()).result().receipt
    stage.clock.pass_(days=3650)
    assert sweep_orphans(stage.hub.store, stage.hub.blobs, grace=timedelta(hours=24))(stage.clock()) == 0
    message = stage.hub.store.message(UUID(claims_of(receipt)["sub"].removeprefix("submission:")))
    (sealed,) = message.contents.attachments.values()
    assert sum(len(chunk) for chunk in stage.hub.blobs.chunks(sealed)) == sealed.size


def test_pending_event_tokens_are_signed_by_duty_and_stay_as_they_are(stage):
    stage.accept()
    assert stage.hub.notary.sign_pending() == 2
    (case,) = stage.hub.store.cases().items
    first = stage.hub.notary.tokens(case.case_id).items
    assert stage.hub.notary.sign_pending() == 0
    assert stage.hub.notary.tokens(case.case_id).items == first
