"""Versions of the routing table: drafts, approvals, and which version is active since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from hub.errors import Conflict, Text, already_exists, not_approved, not_found, overtaken, state_forbids
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    Page,
    a_moment,
    from_json,
    in_postgresql,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)

_VERSIONS = tables.routing_versions
_ACTIVATIONS = tables.routing_activations

_HEAD = [column for column in _VERSIONS.columns if column.name != "rules"]


class VersionState(StrEnum):
    """What may still happen to a version."""

    #: May be changed; not approved.
    DRAFT = "draft"
    #: Immutable; may be activated, again and again.
    APPROVED = "approved"
    #: Given up; kept for the record.
    DISCARDED = "discarded"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableVersion:
    """A version of the routing table without its rules.

    ``revision`` counts the changes of a draft; ``content_version`` is the SHA-256 of its rules; ``size`` their number;
    ``editors`` everybody who changed it; ``based_on`` the version that was active when it was made.
    """

    number: int
    state: VersionState
    revision: int
    title: str
    content_version: str
    size: int
    based_on: int | None
    editors: tuple[str, ...]
    created_by: str
    created_at: datetime
    changed_by: str
    changed_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
    approval_text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """A version is active from ``since`` until another activation begins; a cancelled one never was."""

    seq: int
    number: int
    since: datetime
    made_by: str
    made_at: datetime
    reason: str
    cancelled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRows:
    """A table's rules as rows of texts (``Rule.as_row``), and the version that their content has."""

    rows: Sequence[Mapping[str, str]] = field(repr=False)
    content_version: str


class TableVersions:
    """Reads and writes versions. Every change takes its audit entry into its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        version: TableVersion,
        rules: RuleRows,
        *,
        activation: Activation | None = None,
        audit: AuditEntry,
    ) -> TableVersion:
        """Store a new version under the next number; ``activation`` makes it active too (the first one of all)."""
        text = to_json(list(rules.rows))

        def write(connection: Connection) -> TableVersion:
            _lock(connection)
            number = (connection.execute(select(func.max(_VERSIONS.c.number))).scalar() or 0) + 1
            if activation is not None and number != activation.number:
                raise already_exists(Text("Die erste Tabelle", "The first table"))
            row = {**_row(version), "number": number, "rules": text}
            connection.execute(insert(_VERSIONS), row)
            if activation is not None:
                _activate(connection, activation)
            write_audit(connection, _numbered(audit, number))
            return _version(connection.execute(select(*_HEAD).where(_VERSIONS.c.number == number)).one())

        return self._database.write(write)

    def change(self, version: TableVersion, rules: RuleRows, *, expected: int, audit: AuditEntry) -> TableVersion:
        """Replace a draft's rules; ``expected`` is the revision that the change was made on.

        Raises ``NotFound`` or ``Conflict`` (no draft any more, or somebody else was faster).
        """
        values = {**_row(version), "rules": to_json(list(rules.rows))}
        return self._update(version, values, expected=expected, audit=audit)

    def settle(self, version: TableVersion, *, expected: int, audit: AuditEntry) -> TableVersion:
        """Store a draft's new state (approved, discarded). Raises as :meth:`change` does."""
        return self._update(version, _row(version), expected=expected, audit=audit)

    def activate(self, activation: Activation, *, audit: AuditEntry) -> Activation:
        """Record an activation; raise ``Conflict`` unless its version is approved."""

        def write(connection: Connection) -> Activation:
            _lock(connection)
            state = connection.execute(
                select(_VERSIONS.c.state).where(_VERSIONS.c.number == activation.number)
            ).scalar()
            if state is None:
                raise not_found("table-not-found", str(activation.number))
            if state != VersionState.APPROVED:
                raise not_approved(activation.number)
            seq = _activate(connection, activation)
            write_audit(connection, audit)
            return _activation(connection.execute(select(_ACTIVATIONS).where(_ACTIVATIONS.c.seq == seq)).one())

        return self._database.write(write)

    def cancel(self, seq: int, now: datetime, *, audit: AuditEntry) -> None:
        """Cancel an activation that has not begun; raise ``Conflict`` for any other."""
        pending = (
            (_ACTIVATIONS.c.seq == seq) & (_ACTIVATIONS.c.since > micros(now)) & _ACTIVATIONS.c.cancelled_at.is_(None)
        )
        statement = update(_ACTIVATIONS).where(pending).values(cancelled_at=micros(now))

        def write(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise state_forbids(
                    Text(
                        "Diese Aktivierung hat schon begonnen oder ist abgesagt.",
                        "This activation has begun already or is cancelled.",
                    ),
                    Text("Nehmen Sie die Rücknahme (rollback).", "Use a rollback."),
                )
            write_audit(connection, audit)

        self._database.write(write)

    def version(self, number: int) -> TableVersion:
        """Return a version; raise ``NotFound``."""
        statement = select(*_HEAD).where(_VERSIONS.c.number == number)
        found = self._database.one(statement, _version)
        if found is None:
            raise not_found("table-not-found", str(number))
        return found

    def rows(self, number: int) -> list[dict[str, str]]:
        """Return a version's rules as rows; raise ``NotFound``."""
        statement = select(_VERSIONS.c.number, _VERSIONS.c.rules).where(_VERSIONS.c.number == number)
        rows = self._database.one(statement, _rules)
        if rows is None:
            raise not_found("table-not-found", str(number))
        return rows

    def versions(self, *, content_version: str = "", offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions (of those with the rules that ``content_version`` names), newest first."""
        statement = select(*_HEAD).order_by(_VERSIONS.c.number.desc())
        if content_version:
            statement = statement.where(_VERSIONS.c.content_version == content_version)
        return self._database.page(statement, _version, offset=offset, limit=limit)

    def activations(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest beginning first, cancelled and coming ones included."""
        order = (_ACTIVATIONS.c.since.desc(), _ACTIVATIONS.c.seq.desc())
        return self._database.page(select(_ACTIVATIONS).order_by(*order), _activation, offset=offset, limit=limit)

    def active(self, on: datetime) -> Activation | None:
        """Return the activation that holds at a moment, also in the past; None before the first.

        Raises ``UnreadableRow`` where it cannot be read, or where a later one may hold, for all that can be read of it: what
        held before would route to authorities that are no longer responsible.
        """
        began = (_ACTIVATIONS.c.since <= micros(on)) & _ACTIVATIONS.c.cancelled_at.is_(None)
        order = (_ACTIVATIONS.c.since.desc(), _ACTIVATIONS.c.seq.desc())

        def read(connection: Connection) -> Activation | None:
            row = connection.execute(select(_ACTIVATIONS).where(began).order_by(*order).limit(1)).first()
            found = None if row is None else _activation(row)
            # Whoever activates waits for what is still to come, or cancels it: those made later begin later.
            later = select(_ACTIVATIONS).where(_ACTIVATIONS.c.seq > (0 if found is None else found.seq))
            for each in connection.execute(later):
                if _may_hold(each, on):
                    _activation(each)
            return found

        return self._database.read(read)

    def previous(self, on: datetime) -> Activation | None:
        """Return the latest earlier activation of another version than the one that holds; None if there is none."""
        current = self.active(on)
        if current is None:
            return None
        other = (_ACTIVATIONS.c.number != current.number) & (_ACTIVATIONS.c.since <= micros(current.since))
        statement = (
            select(_ACTIVATIONS)
            .where(other, _ACTIVATIONS.c.cancelled_at.is_(None))
            .order_by(_ACTIVATIONS.c.since.desc(), _ACTIVATIONS.c.seq.desc())
            .limit(1)
        )
        return self._database.one(statement, _activation)

    def _update(
        self, version: TableVersion, values: Mapping[str, Any], *, expected: int, audit: AuditEntry
    ) -> TableVersion:
        here = _VERSIONS.c.number == version.number

        def write(connection: Connection) -> TableVersion:
            _lock(connection)
            known = connection.execute(select(_VERSIONS.c.state, _VERSIONS.c.revision).where(here)).first()
            if known is None:
                raise not_found("table-not-found", str(version.number))
            if known.state != VersionState.DRAFT:
                raise _no_draft(version.number)
            if known.revision != expected:
                raise overtaken(Text(f"Tabelle {version.number}", f"table {version.number}"))
            connection.execute(update(_VERSIONS).where(here).values(values))
            write_audit(connection, audit)
            return _version(connection.execute(select(*_HEAD).where(here)).one())

        return self._database.write(write)


def _lock(connection: Connection) -> None:
    """Let one node at a time number, change and activate; a SQLite transaction that writes is alone anyway."""
    if in_postgresql(connection):
        connection.exec_driver_sql("LOCK TABLE routing_versions IN EXCLUSIVE MODE")


def _activate(connection: Connection, activation: Activation) -> int:
    row = {
        "number": activation.number,
        "since": micros(activation.since),
        "made_by": activation.made_by,
        "made_at": micros(activation.made_at),
        "reason": activation.reason,
        "cancelled_at": None,
    }
    seq: int = connection.execute(insert(_ACTIVATIONS).returning(_ACTIVATIONS.c.seq), row).scalar_one()
    return seq


def _numbered(audit: AuditEntry, number: int) -> AuditEntry:
    return AuditEntry(
        at=audit.at,
        actor=audit.actor,
        action=audit.action,
        target=f"routing-table:{number}",
        before=audit.before,
        after=audit.after,
    )


def _row(version: TableVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "state": version.state.value,
        "revision": version.revision,
        "title": version.title,
        "content_version": version.content_version,
        "size": version.size,
        "based_on": version.based_on,
        "editors": to_json(list(version.editors)),
        "created_by": version.created_by,
        "created_at": micros(version.created_at),
        "changed_by": version.changed_by,
        "changed_at": micros(version.changed_at),
        "approved_by": version.approved_by,
        "approved_at": maybe_micros(version.approved_at),
        "approval_text": version.approval_text,
    }


@reads(_VERSIONS)
def _rules(row: Row[Any]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = from_json(row.rules)
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise TypeError("no rows")
    return rows


@reads(_VERSIONS)
def _version(row: Row[Any]) -> TableVersion:
    return TableVersion(
        number=row.number,
        state=VersionState(row.state),
        revision=row.revision,
        title=row.title,
        content_version=row.content_version,
        size=row.size,
        based_on=row.based_on,
        editors=tuple(from_json(row.editors)),
        created_by=row.created_by,
        created_at=moment(row.created_at),
        changed_by=row.changed_by,
        changed_at=moment(row.changed_at),
        approved_by=row.approved_by,
        approved_at=maybe_moment(row.approved_at),
        approval_text=row.approval_text,
    )


@reads(_ACTIVATIONS)
def _activation(row: Row[Any]) -> Activation:
    return Activation(
        seq=row.seq,
        number=row.number,
        since=moment(row.since),
        made_by=row.made_by,
        made_at=moment(row.made_at),
        reason=row.reason,
        cancelled_at=maybe_moment(row.cancelled_at),
    )


def _may_hold(row: Row[Any], on: datetime) -> bool:
    """Say whether an activation may hold whose beginning or end a comparison in the database cannot have judged."""
    since = a_moment(row.since)
    if row.cancelled_at is None:
        return since is None
    return a_moment(row.cancelled_at) is None and (since is None or since <= on)


def _no_draft(number: int) -> Conflict:
    return state_forbids(
        Text(f"Tabelle {number} ist kein Entwurf mehr.", f"Table {number} is no draft any more."),
        Text("Legen Sie einen neuen Entwurf an.", "Make a new draft."),
    )


__all__ = ["Activation", "RuleRows", "TableVersion", "TableVersions", "VersionState"]
