"""Versions of what two people decide together: drafts, approvals, and which version is active since when.

The routing table, the catalogue of services and the register of AI systems have versions of one shape, each in tables of its
own (:class:`Versioned`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, update

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Versioned:
    """What has versions: its tables, the column that holds a version's rows, and what it is called.

    ``subject`` is what the audit log calls it, ``action`` how its actions there begin, ``missing`` the slug of what is not
    there, ``what`` the name for people, before a number.
    """

    versions: Table
    activations: Table
    column: str
    subject: str
    action: str
    missing: str
    what: Text

    def named(self, number: int) -> Text:
        """Return a version's name for people."""
        return Text(f"{self.what.de} {number}", f"{self.what.en} {number}")


ROUTING = Versioned(
    versions=tables.routing_versions,
    activations=tables.routing_activations,
    column="rules",
    subject="routing-table",
    action="routes",
    missing="table-not-found",
    what=Text("Tabelle", "Table"),
)
SERVICES = Versioned(
    versions=tables.service_versions,
    activations=tables.service_activations,
    column="services",
    subject="services",
    action="services",
    missing="catalogue-not-found",
    what=Text("Leistungsverzeichnis", "Catalogue"),
)
AI_SYSTEMS = Versioned(
    versions=tables.ai_versions,
    activations=tables.ai_activations,
    column="systems",
    subject="ai-register",
    action="ai",
    missing="ai-register-not-found",
    what=Text("KI-Register", "AI register"),
)


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
    """A version without its rows (rules, services).

    ``revision`` counts the changes of a draft; ``content_version`` is the SHA-256 of its rows; ``size`` their number;
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
    """What a version holds as rows (``Rule.as_row``, ``PublicService.as_document``), and the version that their content has."""

    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    content_version: str


class TableVersions:
    """Reads and writes versions. Every change takes its audit entry into its transaction."""

    def __init__(self, database: Database, kept: Versioned = ROUTING) -> None:
        self._database = database
        #: What has these versions.
        self.kept = kept
        self._versions, self._activations = kept.versions, kept.activations
        self._head = [column for column in kept.versions.columns if column.name != kept.column]
        self._version = reads(kept.versions)(_version)
        self._activation = reads(kept.activations)(_activation)
        self._rows = reads(kept.versions)(_rows)

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
            self._lock(connection)
            number = (connection.execute(select(func.max(self._versions.c.number))).scalar() or 0) + 1
            if activation is not None and number != activation.number:
                raise already_exists(self.kept.named(number))
            row = {**_row(version), "number": number, self.kept.column: text}
            connection.execute(insert(self._versions), row)
            if activation is not None:
                self._activate(connection, activation)
            write_audit(connection, self._numbered(audit, number))
            return self._version(connection.execute(select(*self._head).where(self._versions.c.number == number)).one())

        return self._database.write(write)

    def change(self, version: TableVersion, rules: RuleRows, *, expected: int, audit: AuditEntry) -> TableVersion:
        """Replace a draft's rules; ``expected`` is the revision that the change was made on.

        Raises ``NotFound`` or ``Conflict`` (no draft any more, or somebody else was faster).
        """
        values = {**_row(version), self.kept.column: to_json(list(rules.rows))}
        return self._update(version, values, expected=expected, audit=audit)

    def settle(self, version: TableVersion, *, expected: int, audit: AuditEntry) -> TableVersion:
        """Store a draft's new state (approved, discarded). Raises as :meth:`change` does."""
        return self._update(version, _row(version), expected=expected, audit=audit)

    def activate(self, activation: Activation, *, audit: AuditEntry) -> Activation:
        """Record an activation; raise ``Conflict`` unless its version is approved."""

        def write(connection: Connection) -> Activation:
            self._lock(connection)
            state = connection.execute(
                select(self._versions.c.state).where(self._versions.c.number == activation.number)
            ).scalar()
            if state is None:
                raise not_found(self.kept.missing, str(activation.number))
            if state != VersionState.APPROVED:
                raise not_approved(self.kept.named(activation.number))
            seq = self._activate(connection, activation)
            write_audit(connection, audit)
            return self._activation(
                connection.execute(select(self._activations).where(self._activations.c.seq == seq)).one()
            )

        return self._database.write(write)

    def cancel(self, seq: int, now: datetime, *, audit: AuditEntry) -> None:
        """Cancel an activation that has not begun; raise ``Conflict`` for any other."""
        pending = (
            (self._activations.c.seq == seq)
            & (self._activations.c.since > micros(now))
            & self._activations.c.cancelled_at.is_(None)
        )
        statement = update(self._activations).where(pending).values(cancelled_at=micros(now))

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
        statement = select(*self._head).where(self._versions.c.number == number)
        found = self._database.one(statement, self._version)
        if found is None:
            raise not_found(self.kept.missing, str(number))
        return found

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return a version's rules as rows; raise ``NotFound``."""
        statement = select(self._versions.c.number, self._versions.c[self.kept.column]).where(
            self._versions.c.number == number
        )
        rows = self._database.one(statement, lambda row: self._rows(row, self.kept.column))
        if rows is None:
            raise not_found(self.kept.missing, str(number))
        return rows

    def versions(self, *, content_version: str = "", offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions (of those with the rules that ``content_version`` names), newest first."""
        statement = select(*self._head).order_by(self._versions.c.number.desc())
        if content_version:
            statement = statement.where(self._versions.c.content_version == content_version)
        return self._database.page(statement, self._version, offset=offset, limit=limit)

    def activations(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest beginning first, cancelled and coming ones included."""
        order = (self._activations.c.since.desc(), self._activations.c.seq.desc())
        return self._database.page(
            select(self._activations).order_by(*order), self._activation, offset=offset, limit=limit
        )

    def active(self, on: datetime) -> Activation | None:
        """Return the activation that holds at a moment, also in the past; None before the first.

        Raises ``UnreadableRow`` where it cannot be read, or where a later one may hold, for all that can be read of it: what
        held before would route to authorities that are no longer responsible.
        """
        began = (self._activations.c.since <= micros(on)) & self._activations.c.cancelled_at.is_(None)
        order = (self._activations.c.since.desc(), self._activations.c.seq.desc())

        def read(connection: Connection) -> Activation | None:
            row = connection.execute(select(self._activations).where(began).order_by(*order).limit(1)).first()
            found = None if row is None else self._activation(row)
            # Whoever activates waits for what is still to come, or cancels it: those made later begin later.
            later = select(self._activations).where(self._activations.c.seq > (0 if found is None else found.seq))
            for each in connection.execute(later):
                if _may_hold(each, on):
                    self._activation(each)
            return found

        return self._database.read(read)

    def previous(self, on: datetime) -> Activation | None:
        """Return the latest earlier activation of another version than the one that holds; None if there is none."""
        current = self.active(on)
        if current is None:
            return None
        other = (self._activations.c.number != current.number) & (self._activations.c.since <= micros(current.since))
        statement = (
            select(self._activations)
            .where(other, self._activations.c.cancelled_at.is_(None))
            .order_by(self._activations.c.since.desc(), self._activations.c.seq.desc())
            .limit(1)
        )
        return self._database.one(statement, self._activation)

    def _update(
        self, version: TableVersion, values: Mapping[str, Any], *, expected: int, audit: AuditEntry
    ) -> TableVersion:
        here = self._versions.c.number == version.number

        def write(connection: Connection) -> TableVersion:
            self._lock(connection)
            known = connection.execute(select(self._versions.c.state, self._versions.c.revision).where(here)).first()
            if known is None:
                raise not_found(self.kept.missing, str(version.number))
            if known.state != VersionState.DRAFT:
                raise _no_draft(self.kept.named(version.number))
            if known.revision != expected:
                raise overtaken(self.kept.named(version.number))
            connection.execute(update(self._versions).where(here).values(values))
            write_audit(connection, audit)
            return self._version(connection.execute(select(*self._head).where(here)).one())

        return self._database.write(write)

    def _lock(self, connection: Connection) -> None:
        """Let one node at a time number, change and activate; a SQLite transaction that writes is alone anyway."""
        if in_postgresql(connection):
            connection.exec_driver_sql(f"LOCK TABLE {self._versions.name} IN EXCLUSIVE MODE")

    def _activate(self, connection: Connection, activation: Activation) -> int:
        row = {
            "number": activation.number,
            "since": micros(activation.since),
            "made_by": activation.made_by,
            "made_at": micros(activation.made_at),
            "reason": activation.reason,
            "cancelled_at": None,
        }
        statement = insert(self._activations).returning(self._activations.c.seq)
        seq: int = connection.execute(statement, row).scalar_one()
        return seq

    def _numbered(self, audit: AuditEntry, number: int) -> AuditEntry:
        return replace(audit, target=f"{self.kept.subject}:{number}")


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


def _rows(row: Row[Any], column: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = from_json(getattr(row, column))
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise TypeError("no rows")
    return rows


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


def _no_draft(named: Text) -> Conflict:
    return state_forbids(
        Text(f"{named.de} ist kein Entwurf mehr.", f"{named.en} is no draft any more."),
        Text("Legen Sie einen neuen Entwurf an.", "Make a new draft."),
    )


__all__ = ["Activation", "RuleRows", "TableVersion", "TableVersions", "VersionState", "Versioned"]
