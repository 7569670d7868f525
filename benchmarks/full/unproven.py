"""A hub that proves nothing: the accept path without events, chain, receipt and checkpoints. Only to be measured against.

python -m benchmarks.full.unproven DATA PORT proven|unproven
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import uvicorn
from sqlalchemy import Connection

from benchmarks.full.backlog import AREA, EXAMPLE, SERVICE, sender_of
from hub import app
from hub.config import load_settings
from hub.intake import Accepted, Reception
from hub.jobs.scheduler import Clock, Duty
from hub.model import Application, Cover, MediaType, Submission
from hub.store import tables
from hub.store.database import micros
from hub.store.deliveries import delivery_row
from hub.store.rows import sealed_row, submitted_row
from hub.store.statements import Insert
from hub.store.writer import Joint

_CASE, _MESSAGE = Insert(tables.cases), Insert(tables.messages)
_CONTENT, _DELIVERY = Insert(tables.contents), Insert(tables.deliveries)


class Unproven(Joint):
    """What the plain door writes, without what proves it: case, message, contents, delivery."""

    def __init__(self, submission: Submission) -> None:
        message_id, at = str(submission.submission_id), micros(submission.submitted_at)
        self.case = _CASE.row(
            {
                "case_id": str(submission.case_id),
                "destination_id": str(submission.destination_id),
                "sender": submission.sender,
                "seq": 0,
                "head": "",
                "created_at": at,
                "last_event_at": at,
                "tombstone": None,
                "covered": 0,
            }
        )
        self.message = _MESSAGE.row(submitted_row(submission, ""))
        self.contents = [_CONTENT.row(sealed_row(message_id, part, one)) for part, one in submission.contents.parts()]
        row = delivery_row(message_id, str(submission.destination_id), submission.submitted_at)
        self.delivery = _DELIVERY.row(row)

    @classmethod
    def many(cls, connection: Connection, writes: list[Self]) -> list[None]:  # type: ignore[override]
        """Write all of them."""
        _CASE.raw(connection, [one.case for one in writes])
        _MESSAGE.raw(connection, [one.message for one in writes])
        _CONTENT.raw(connection, [row for one in writes for row in one.contents])
        _DELIVERY.raw(connection, [one.delivery for one in writes])
        return [None] * len(writes)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnprovenReception:
    """A reception whose last step is :class:`Unproven`; every sender is shown the one receipt that there is."""

    hub: app.Context
    real: Reception
    answer: Accepted

    def __enter__(self) -> Self:
        self.real.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.real.__exit__(*error)

    def take(self, size: int) -> None:
        """Reserve memory."""
        self.real.take(size)

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Do what ``Reception.accept`` does, without the proof."""
        submission, _, _ = self.real.prepare(application, now=now)
        accepted: Future[Accepted] = Future()
        stored = self.hub.store.database.begin(Unproven(submission), wakes=True)
        stored.add_done_callback(lambda _: accepted.set_result(self.answer))
        return accepted


class UnprovenIntake:
    """Opens unproven receptions, of applications without an idempotency key: nobody remembers one."""

    def __init__(self, hub: app.Context) -> None:
        self._hub = hub
        self._answer = _an_answer(hub)
        self.check = hub.intake.check

    def open(self, cover: Cover, *, now: datetime) -> UnprovenReception:
        """Open the real one and hide it."""
        real = self._hub.intake.open(cover, now=now)
        assert isinstance(real, Reception)
        return UnprovenReception(hub=self._hub, real=real, answer=self._answer)

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Open and accept in one go, as :meth:`hub.intake.Intake.accept` does."""
        with self.open(application.cover, now=now) as opened:
            opened.take(len(application.data))
            return opened.accept(application, now=now)


def _an_answer(hub: app.Context) -> Accepted:
    cover = Cover(sender=sender_of(hub.settings.data)["client_id"], service=SERVICE, area=AREA)
    application = Application(cover=cover, media_type=MediaType.XML, data=EXAMPLE)
    with hub.intake.open(cover, now=hub.clock()) as reception:
        return reception.accept(application, now=hub.clock()).result(30)


def main(data: Path, port: int, *, proven: bool) -> None:
    """Serve, and make checkpoints if there is anything to prove."""
    hub = app.build(load_settings(data, os.environ))
    with ExitStack() as until_the_end:
        if proven:
            checkpoint = Duty(name="checkpoint", every=timedelta(seconds=5), run=hub.checkpoints.make)
            duties = Clock(store=hub.store, node="measured", duties=[checkpoint], clock=hub.clock)
            duties.start()
            until_the_end.callback(duties.stop)
        else:
            unproven = UnprovenIntake(hub)
            hub = copy(hub)
            hub.intake = unproven
        application = app.asgi(hub, work=False)
        uvicorn.run(application, port=port, **app.server_options(hub.settings))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), proven=sys.argv[3] == "proven")
