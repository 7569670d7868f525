"""What is written of a routing table: its rows, a version, an activation, and the entry in the audit log."""

from __future__ import annotations

from datetime import datetime

from hub.identity.persons import Person
from hub.routing import RoutingTable
from hub.store import AuditEntry
from hub.store.routing_versions import Activation, RuleRows, TableVersion, VersionState


def rows_of(table: RoutingTable) -> RuleRows:
    """Return a table's rules as they are stored."""
    return RuleRows(rows=[rule.as_row() for rule in table], content_version=table.version)


def new_version(
    table: RoutingTable, *, title: str, person: Person, based_on: int | None, now: datetime
) -> TableVersion:
    """Return a new draft by a person; the store gives it its number."""
    return TableVersion(
        number=0,
        state=VersionState.DRAFT,
        revision=1,
        title=title,
        content_version=table.version,
        size=len(table),
        based_on=based_on,
        editors=(person.name,),
        created_by=person.name,
        created_at=now,
        changed_by=person.name,
        changed_at=now,
    )


def new_activation(number: int, person: Person, *, now: datetime, since: datetime, reason: str) -> Activation:
    """Return the activation of a version by a person; the store gives it its place."""
    return Activation(seq=0, number=number, since=since, made_by=person.name, made_at=now, reason=reason)


def audited(person: Person, action: str, number: int, now: datetime, **after: object) -> AuditEntry:
    """Return what the audit log says of a person's step; empty words are left out."""
    said = {name: value for name, value in after.items() if value != ""}
    return AuditEntry(at=now, actor=person.name, action=action, target=f"routing-table:{number}", after=said)
