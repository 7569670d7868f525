"""What the hub's queue is compared with: procrastinate, and a loop that does nothing but SKIP LOCKED.

Runs in an interpreter of its own (``.venv/yardstick``), which knows nothing of the hub.

    python -m benchmarks.full.yardstick procrastinate fill|work CONNINFO NUMBER
    python -m benchmarks.full.yardstick bare fill|work CONNINFO NUMBER
"""

from __future__ import annotations

import asyncio
import sys

import procrastinate
import psycopg

#: Jobs at once: as many as the hub makes attempts.
_CONCURRENCY = 8
_BATCH = 20
_TABLE = """
CREATE TABLE bare_jobs (id BIGSERIAL PRIMARY KEY, due BIGINT NOT NULL, state TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX bare_jobs_due ON bare_jobs (due, id) WHERE state = 'ready';
"""
_TAKE = """
UPDATE bare_jobs SET state = 'leased' WHERE id IN (
    SELECT id FROM bare_jobs WHERE state = 'ready' AND due <= 1 ORDER BY due, id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id, payload
"""
_DONE = "UPDATE bare_jobs SET state = 'done' WHERE id = ANY(%s)"


def procrastinate_app(conninfo: str) -> procrastinate.App:
    """Return an application with the one task that does nothing."""
    application = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo))

    @application.task(name="deliver")
    async def deliver(submission: str) -> None:
        assert submission

    return application


async def procrastinate_fill(conninfo: str, number: int) -> None:
    """Defer ``number`` jobs, a thousand at a time."""
    application = procrastinate_app(conninfo)
    async with application.open_async():
        await application.schema_manager.apply_schema_async()
        for first in range(0, number, 1000):
            jobs = [{"submission": str(n)} for n in range(first, min(first + 1000, number))]
            await application.configure_task("deliver").batch_defer_async(*jobs)


async def procrastinate_work(conninfo: str, _number: int) -> None:
    """Work until nothing is left."""
    application = procrastinate_app(conninfo)
    async with application.open_async():
        await application.run_worker_async(concurrency=_CONCURRENCY, wait=False, install_signal_handlers=False)


async def bare_fill(conninfo: str, number: int) -> None:
    """Queue ``number`` rows."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_TABLE)
        connection.execute(
            "INSERT INTO bare_jobs (due, state, payload) SELECT 0, 'ready', g::text FROM generate_series(1, %s) g",
            [number],
        )


async def bare_work(conninfo: str, _number: int) -> None:
    """Claim a batch, commit; mark it as done, commit."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while taken := connection.execute(_TAKE, [_BATCH]).fetchall():
            connection.execute(_DONE, [[one for one, _ in taken]])


if __name__ == "__main__":
    what, verb, place, size = sys.argv[1:5]
    asyncio.run(globals()[f"{what}_{verb}"](place, int(size)))
