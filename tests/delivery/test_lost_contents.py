"""A content that is lost at this side ends its delivery at once, as the hub's own fault, whatever the adapter makes of it."""

from __future__ import annotations

from collections import deque
from typing import ClassVar
from uuid import UUID

import pytest
from store_values import HUB, LEASE, NOW, accept, claim, known_destination, sealed, submission

from hub.delivery.attempt import AdapterPool, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.errors import NotFound, Text
from hub.model.adapter import whole
from hub.model.delivery import Schedule
from hub.model.submission import DeadCause, Outcome, OutcomeKind
from hub.notifications.callbacks import CallbackWriter
from hub.store import DeliveryState, LocalBlobs

GONE = NotFound(Text("weg", "gone"))


class Reading:
    """An adapter that sends what it reads, and knows nothing of contents that are lost."""

    name = "reading"
    sent: ClassVar[list[UUID]] = []

    def __init__(self, config):
        self.config = config

    def open(self):
        pass

    def deliver(self, package):
        contents = package.submission.contents
        for part in (contents.metadata, contents.data):
            self.read(package, part)
        self.sent.append(package.delivery_id)
        return Outcome(kind=OutcomeKind.DELIVERED, note="sent")

    def read(self, package, part):
        deque(package.read(part), maxlen=0)

    def close(self):
        pass


class Careful(Reading):
    """One that compares what it reads."""

    def read(self, package, part):
        whole(package, part)


class Excusing(Reading):
    """One that takes every failure for its receiver's."""

    def deliver(self, package):
        try:
            return super().deliver(package)
        except Exception:  # noqa: BLE001  # as careless adapters do
            return Outcome(kind=OutcomeKind.UNREACHABLE, note="the line broke")


class Breaking:
    """Blobs of which one goes away while it is read."""

    def __init__(self, blobs):
        self._blobs = blobs

    def chunks(self, part):
        if part.blob is None:
            yield from self._blobs.chunks(part)
            return
        yield b"da"
        raise GONE

    def __getattr__(self, name):
        return getattr(self._blobs, name)


@pytest.mark.parametrize("adapter", [Reading, Careful, Excusing])
@pytest.mark.parametrize("midway", [False, True])
def test_a_lost_content_is_a_dead_letter_of_ours_at_once(store, tmp_path, adapter, midway):
    blobs = LocalBlobs(tmp_path / "blobs")
    there = known_destination(store, adapter="reading", adapter_config={}).destination_id
    made = submission(there)
    lost = sealed("data", blob="0" * 32)
    contents = type(made.contents)(metadata=made.contents.metadata, data=lost, attachments={})
    made = submission(there, contents=contents)
    assert accept(store, made).result(10) is None
    working = Dispatcher(
        store=store,
        blobs=Breaking(blobs) if midway else blobs,
        adapters=AdapterPool({"reading": adapter}),
        notary=None,
        evidences=None,
        callback_writer=CallbackWriter(store=store),
        rules=Rules(node="node-1", lease=LEASE, schedule=Schedule(jitter=0), threads=4, base_url=HUB),
        clock=lambda: NOW,
    )
    before = store.circuits.circuit(there)
    assert working.run_once() == 1
    view = store.deliveries.of(made.submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.HUB)
    (attempt,) = view.attempts
    assert (attempt.outcome, attempt.note) == (OutcomeKind.REFUSED, "a stored content is lost")
    assert store.circuits.circuit(there) == before
    assert view.delivery_id not in Reading.sent
    store.deliveries.redrive(view.delivery_id, NOW)
    assert not claim(store)[0].repeat
