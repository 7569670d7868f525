"""Onboarding in the store: runs that somebody hands in and a second person decides, and each authority of them.

An authority waits in one run at most; what was approved last is what it is to be like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, literal, select, true, update

from hub.errors import Conflict, Text, not_found
from hub.model import Scope
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    Page,
    in_postgresql,
    json_object,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)
from hub.store.proposals import ChangeState
from hub.store.scopes import within

_RUNS = tables.onboarding_runs
_ROWS = tables.onboarding_rows
_DESTINATIONS = tables.destinations
_REGION = re.compile(r'"DE([0-9]{2,12})"')


@dataclass(frozen=True, kw_only=True, slots=True)
class GoingLive:
    """What of a run somebody began to put into service: the destination of each area, and those that were not active before."""

    by: str
    at: datetime
    text: str
    destinations: Mapping[str, UUID]
    started: Sequence[UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class OnboardingRun:
    """What somebody handed in, and what a second person said of it. ``rows`` counts its authorities, ``made`` those done.

    ``going_live`` stands while some of it are put into service, and until that is finished.
    """

    run_id: int = 0
    title: str
    state: ChangeState = ChangeState.OPEN
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    remark: str = ""
    going_live: GoingLive | None = None
    rows: int = 0
    made: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OnboardingRow:
    """One authority of a run: ``number`` is its line, ``plan`` what is wanted. The ids are of what was made of it."""

    run_id: int = 0
    ars: str
    number: int
    name: str
    plan: Mapping[str, Any]
    tenant_id: str | None = None
    client_id: str | None = None
    destination_id: UUID | None = None
    made_at: datetime | None = None
    tested_at: datetime | None = None
    tested_well: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A destination, as far as lists of many need it."""

    destination_id: UUID
    status: str


class Onboarding:
    """Keeps runs and their rows. What a person does takes its audit entry into the transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: OnboardingRun, rows: Sequence[OnboardingRow], *, audit: AuditEntry) -> OnboardingRun:
        """Store a run with all its rows, in one transaction.

        Raises:
            Conflict: an authority of it waits in another run (slug ``onboarding-open``).
        """

        def write(connection: Connection) -> int:
            if in_postgresql(connection):  # One run is stored at a time; SQLite's writer is alone anyway.
                connection.exec_driver_sql("LOCK TABLE onboarding_runs IN EXCLUSIVE MODE")
            waiting = set(connection.execute(select(_ROWS.c.ars).where(_waits())).scalars())
            taken = sorted(waiting & {each.ars for each in rows})
            if taken:
                raise waits_already(taken[0])
            values = {
                "title": run.title,
                "state": run.state.value,
                "proposed_by": run.proposed_by,
                "proposed_at": micros(run.proposed_at),
                "remark": run.remark,
            }
            made: int = connection.execute(insert(_RUNS).returning(_RUNS.c.run_id), values).scalar_one()
            connection.execute(insert(_ROWS), [_row(each, made) for each in rows])
            write_audit(connection, audit)
            return made

        return self.run(self._database.write(write))

    def decide(
        self, run_id: int, state: ChangeState, *, by: str, at: datetime, remark: str, audit: AuditEntry
    ) -> OnboardingRun:
        """Store the end of a run that waits; raise ``Conflict`` where somebody decided it before (``onboarding-decided``)."""
        here = and_(_RUNS.c.run_id == run_id, _RUNS.c.state == ChangeState.OPEN.value)
        values = {"state": state.value, "decided_by": by, "decided_at": micros(at), "remark": remark}

        def write(connection: Connection) -> None:
            if connection.execute(update(_RUNS).where(here).values(values)).rowcount == 0:
                raise decided_already()
            write_audit(connection, audit)

        self._database.write(write)
        return self.run(run_id)

    def begin_live(self, run_id: int, going: GoingLive, *, audit: AuditEntry) -> None:
        """Note what of a run is put into service from now on; raise ``Conflict`` where something of it is already."""
        values = {"going_live": _going_json(going)}
        here = and_(_RUNS.c.run_id == run_id, _RUNS.c.going_live.is_(None))

        def write(connection: Connection) -> None:
            if connection.execute(update(_RUNS).where(here).values(values)).rowcount == 0:
                raise decided_already()
            write_audit(connection, audit)

        self._database.write(write)

    def end_live(self, run_id: int, *, audit: AuditEntry | None = None) -> None:
        """Note that it is finished; ``audit`` says so where it was taken back."""
        here = and_(_RUNS.c.run_id == run_id, _RUNS.c.going_live.is_not(None))

        def write(connection: Connection) -> None:
            ended = connection.execute(update(_RUNS).where(here).values({"going_live": None})).rowcount
            if ended and audit is not None:
                write_audit(connection, audit)

        self._database.write(write)

    def going_live(self) -> list[OnboardingRun]:
        """Return the runs of which some are being put into service, the oldest first."""
        statement = _runs().where(_RUNS.c.going_live.is_not(None)).order_by(_RUNS.c.run_id)
        return self._database.all(statement, _RUNS, _read_run)

    def run(self, run_id: int) -> OnboardingRun:
        """Return a run; raise ``NotFound``."""
        found = self._database.one(_runs().where(_RUNS.c.run_id == run_id), _read_run)
        if found is None:
            raise not_found("onboarding-not-found", str(run_id))
        return found

    def runs(self, *, scope: Scope, offset: int = 0, limit: int = 100) -> Page[OnboardingRun]:
        """Return one page of the runs of which a row is within a scope, the newest first."""
        inside = exists(select(_ROWS.c.ars).where(_ROWS.c.run_id == _RUNS.c.run_id, within(_ROWS, scope)))
        condition = true() if scope.is_everything else inside
        statement = _runs().where(condition).order_by(_RUNS.c.run_id.desc())
        return self._database.page(statement, _read_run, offset=offset, limit=limit)

    def rows(self, run_id: int, *, scope: Scope) -> list[OnboardingRow]:
        """Return the rows of a run within a scope, in the order of its lines."""
        statement = select(_ROWS).where(_ROWS.c.run_id == run_id, within(_ROWS, scope)).order_by(_ROWS.c.number)
        return self._database.all(statement, _ROWS, _read_row)

    def waiting(self, *, scope: Scope, ars: str | None = None, with_plans: bool = True) -> dict[str, OnboardingRow]:
        """Return the rows within a scope that wait for a second person, by area; those of one area where it is named."""
        found = self._found(_waits(), scope, ars, with_plans=with_plans)
        return {each.ars: each for each in found}

    def approved(self, *, scope: Scope, ars: str | None = None, with_plans: bool = True) -> dict[str, OnboardingRow]:
        """Return of each area within a scope, or of one, the row that was approved last."""
        found = self._found(_in_state(ChangeState.APPROVED), scope, ars, with_plans=with_plans)
        return {each.ars: each for each in found}

    def destinations(self, *, scope: Scope) -> dict[str, Served]:
        """Return of each area within a scope the destination that was made of a row of it, or that alone serves just it."""
        made = select(_ROWS.c.ars, _ROWS.c.destination_id).where(_ROWS.c.destination_id.is_not(None))
        there = select(_DESTINATIONS.c.destination_id, _DESTINATIONS.c.status, _DESTINATIONS.c.services)

        def read(connection: Connection) -> tuple[Sequence[Any], Sequence[Any]]:
            return (
                connection.execute(made.where(within(_ROWS, scope)).order_by(_ROWS.c.run_id)).all(),
                connection.execute(there.where(within(_DESTINATIONS, scope))).all(),
            )

        rows, found = self._database.read(read)
        known = {row.destination_id: Served(UUID(row.destination_id), row.status) for row in found}
        # To read what all of them offer takes longer than a page may; where they are is all that counts here.
        regions: dict[str, list[str]] = {}
        for row in found:
            named = set(_REGION.findall(row.services))
            if len(named) == 1 and row.status != "decommissioned":
                regions.setdefault(named.pop(), []).append(row.destination_id)
        alone = {ars: known[ids[0]] for ars, ids in regions.items() if len(ids) == 1}
        return alone | {ars: known[destination_id] for ars, destination_id in rows if destination_id in known}

    def made(
        self,
        run_id: int,
        ars: str,
        *,
        tenant_id: str | None,
        client_id: str | None,
        destination_id: UUID | None,
        at: datetime,
    ) -> None:
        """Note what was made of a row."""
        values = {
            "tenant_id": tenant_id,
            "client_id": client_id,
            "destination_id": None if destination_id is None else str(destination_id),
            "made_at": micros(at),
        }
        self._note(run_id, ars, values)

    def tested(self, run_id: int, ars: str, *, at: datetime, well: bool) -> None:
        """Note that a test delivery was made."""
        self._note(run_id, ars, {"tested_at": micros(at), "tested_well": well})

    def _note(self, run_id: int, ars: str, values: Mapping[str, Any]) -> None:
        here = and_(_ROWS.c.run_id == run_id, _ROWS.c.ars == ars)
        self._database.write(lambda connection: connection.execute(update(_ROWS).where(here).values(values)).rowcount)

    def _found(
        self, condition: ColumnElement[bool], scope: Scope, ars: str | None, *, with_plans: bool
    ) -> list[OnboardingRow]:
        columns = [each for each in _ROWS.c if with_plans or each is not _ROWS.c.plan]
        bare = [] if with_plans else [literal("{}").label("plan")]
        statement = select(*columns, *bare).where(condition, within(_ROWS, scope)).order_by(_ROWS.c.run_id)
        if ars is not None:
            statement = statement.where(_ROWS.c.ars == ars)
        return self._database.all(statement, _ROWS, _read_row)


def decided_already() -> Conflict:
    """Return the refusal of a run that is decided, or that nobody answers for any more."""
    return Conflict(
        Text(
            "Über diese Aufnahme ist schon entschieden, oder wer sie einreichte, hat kein Konto mehr. Reichen Sie sie neu ein.",
            "This onboarding is decided already, or whoever handed it in has no account any more. Hand it in anew.",
        ),
        slug="onboarding-decided",
    )


def waits_already(ars: str) -> Conflict:
    """Return the refusal of an authority that waits in another run."""
    return Conflict(
        Text(
            f"{ars} wartet schon in einer anderen Aufnahme auf eine zweite Person. Entscheiden Sie zuerst über sie.",
            f"{ars} waits for a second person in another onboarding already. Decide on that one first.",
        ),
        slug="onboarding-open",
    )


def _in_state(state: ChangeState) -> ColumnElement[bool]:
    return _ROWS.c.run_id.in_(select(_RUNS.c.run_id).where(_RUNS.c.state == state.value))


def _waits() -> ColumnElement[bool]:
    return _in_state(ChangeState.OPEN)


def _runs() -> Any:
    here = _ROWS.c.run_id == _RUNS.c.run_id
    rows = select(func.count()).select_from(_ROWS).where(here).scalar_subquery()
    made = select(func.count()).select_from(_ROWS).where(here, _ROWS.c.made_at.is_not(None)).scalar_subquery()
    return select(_RUNS, rows.label("rows"), made.label("made"))


def _row(row: OnboardingRow, run_id: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "ars": row.ars,
        "number": row.number,
        "name": row.name,
        "plan": to_json(dict(row.plan)),
        "tenant": row.ars,
        "tenant_id": row.tenant_id,
        "client_id": row.client_id,
        "destination_id": None if row.destination_id is None else str(row.destination_id),
        "made_at": maybe_micros(row.made_at),
        "tested_at": maybe_micros(row.tested_at),
        "tested_well": row.tested_well,
    }


def _going_json(going: GoingLive) -> str:
    return to_json(
        {
            "by": going.by,
            "at": micros(going.at),
            "text": going.text,
            "destinations": {ars: str(each) for ars, each in going.destinations.items()},
            "started": [str(each) for each in going.started],
        }
    )


def _going(stored: str | None) -> GoingLive | None:
    if stored is None:
        return None
    kept = json_object(stored)
    return GoingLive(
        by=kept["by"],
        at=moment(kept["at"]),
        text=kept["text"],
        destinations={ars: UUID(each) for ars, each in kept["destinations"].items()},
        started=tuple(UUID(each) for each in kept["started"]),
    )


@reads(_RUNS)
def _read_run(row: Any) -> OnboardingRun:
    return OnboardingRun(
        run_id=row.run_id,
        title=row.title,
        state=ChangeState(row.state),
        proposed_by=row.proposed_by,
        proposed_at=moment(row.proposed_at),
        decided_by=row.decided_by,
        decided_at=maybe_moment(row.decided_at),
        remark=row.remark,
        going_live=_going(row.going_live),
        rows=row.rows,
        made=row.made,
    )


@reads(_ROWS)
def _read_row(row: Any) -> OnboardingRow:
    return OnboardingRow(
        run_id=row.run_id,
        ars=row.ars,
        number=row.number,
        name=row.name,
        plan=json_object(row.plan),
        tenant_id=row.tenant_id,
        client_id=row.client_id,
        destination_id=None if row.destination_id is None else UUID(row.destination_id),
        made_at=maybe_moment(row.made_at),
        tested_at=maybe_moment(row.tested_at),
        tested_well=bool(row.tested_well),
    )
