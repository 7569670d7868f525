"""Versions of the routing table: drafts, checks, a second person's approval, activation and rollback.

The way of a change: (1) a draft is made from the active table or from a file and changed by editors; (2) a second person,
who never changed it, approves it: errors of the check block, warnings need a word; (3) it is activated, now or at a time;
(4) a rollback brings an earlier version back. Whoever is bound to an ARS prefix may change and approve rules below it only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from hub.accounts import Person, Right, Role, may_be_one_human
from hub.areas import Gazetteer
from hub.errors import Conflict, Invalid, NotFound, Text
from hub.routing import (
    DestinationFacts,
    Diff,
    Finding,
    RoutingTable,
    Rule,
    ServiceRegister,
    check,
    diff,
    rule_from_row,
)
from hub.store import AuditEntry, Page, Store
from hub.store.overview import Overview
from hub.store.routes import Activation, RuleRows, TableVersion, TableVersions, VersionState
from hub.tables.judgement import (
    check_text,
    delta,
    insist_on_fitness,
    insist_on_scope,
    merged,
    not_approved,
    pending_first,
    same_person,
    within_scope,
)
from hub.tables.rehearsal import DryRun, rehearse
from hub.tables.sight import diff_seen, findings_seen

#: How old an answer of :meth:`TableBook.active` may be.
FRESH = timedelta(seconds=1)
#: Tables kept in memory; a pass over history must not fill it.
_KEPT = 8
_MAX_DAYS = 365
#: Who makes the first version, from files.
HUB = Person(name="hub", full_name="Rathaus-Hub", roles=tuple(Role))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What tables are read and judged with."""

    gazetteer: Gazetteer
    services: ServiceRegister
    #: The destinations as a check needs them.
    facts: Callable[[datetime], Mapping[UUID, DestinationFacts]]
    #: The URIs of all known schemas.
    schemas: Callable[[], Collection[str]]


class TableBook:
    """All versions of the routing table, and the one that is active."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        self._store = store
        self._versions = TableVersions(store)
        self._overview = Overview(store)
        self._sources = sources
        self._lock = threading.Lock()
        self._current: tuple[datetime, int, RoutingTable] | None = None
        self._kept: dict[tuple[int, int], RoutingTable] = {}

    def begin(self, rules: Iterable[Rule], *, now: datetime) -> None:
        """Make ``rules`` version 1 and activate it, unless there are versions already."""
        if self._versions.versions(limit=1).total:
            return
        table = self._table_of(rules)
        title = "Aus Dateien / from files"
        first = _new_version(table, title=title, person=HUB, based_on=None, now=now)
        first = replace(first, number=1, state=VersionState.APPROVED, approved_by=HUB.name, approved_at=now)
        activation = _activation(1, HUB, now=now, since=now, reason=title)
        try:
            self._versions.add(
                first, _rows(table), activation=activation, audit=_audit(HUB, "routes.begin", 1, now, text=title)
            )
        except Conflict:
            return  # Another node began at the same time.

    def active(self, now: datetime) -> RoutingTable:
        """Return the active table, at most :data:`FRESH` old; nobody waits while another thread reads a new one.

        Raises ``NotFound`` where no version is active: there is no default.
        """
        current = self._current
        if current is not None and now - FRESH < current[0] <= now:
            return current[2]
        if current is not None and not self._lock.acquire(blocking=False):
            return current[2]
        if current is None:
            self._lock.acquire()
        try:
            return self._renewed(now)
        finally:
            self._lock.release()

    def activation(self, on: datetime) -> Activation:
        """Return the activation that holds at a moment, also in the past; raise ``NotFound`` before the first."""
        found = self._versions.active(on)
        if found is None:
            raise NotFound(
                Text(
                    "Es ist keine Zuständigkeitstabelle aktiv. Aktivieren Sie eine.",
                    "No routing table is active. Activate one.",
                ),
                slug="table-not-found",
            )
        return found

    def table(self, number: int) -> RoutingTable:
        """Return a version's table; raise ``NotFound``."""
        version = self.version(number)
        key = (number, version.revision)
        found = self._kept.get(key)
        if found is None:
            found = self._table_of(rule_from_row(row) for row in self._versions.rows(number))
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def at(self, moment: datetime) -> RoutingTable:
        """Return the table that was, or will be, active at a moment."""
        return self.table(self.activation(moment).number)

    def version(self, number: int) -> TableVersion:
        """Return a version; raise ``NotFound``."""
        return self._versions.version(number)

    def versions(self, *, offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions, newest first."""
        return self._versions.versions(offset=offset, limit=limit)

    def history(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest first; coming and cancelled ones included."""
        return self._versions.activations(offset=offset, limit=limit)

    def draft(self, person: Person, *, title: str, now: datetime, rules: Iterable[Rule] | None = None) -> TableVersion:
        """Make a draft from ``rules``, or from the active table.

        Raises ``Forbidden`` where the person may not edit, or changes rules outside their scope.
        """
        person.insist(Right.EDIT)
        check_text(title)
        base = self.activation(now).number
        before = self.table(base)
        table = before if rules is None else self._table_of(within_scope(person, before, rules))
        insist_on_scope(person, before, table)
        version = _new_version(table, title=title.strip() or f"{now:%Y-%m-%d}", person=person, based_on=base, now=now)
        audit = _audit(person, "routes.draft", 0, now, text=title, content_version=table.version, rules=len(table))
        return self._versions.add(version, _rows(table), audit=audit)

    def change(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Replace a draft's rules; ``revision`` is the one that the change was made on.

        Raises ``Forbidden`` (right, scope), ``Conflict`` (no draft, or changed meanwhile).
        """
        person.insist(Right.EDIT)
        check_text(text)
        version, before, after = self.version(number), self.table(number), self._table_of(rules)
        insist_on_scope(person, before, after)
        return self._store_change(version, before, after, person, revision=revision, now=now, text=text)

    def replace_rules(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Put a file's rules in the place of a draft's; people with a tenant replace their own ones only.

        Raises as :meth:`change` does.
        """
        person.insist(Right.EDIT)
        mine = within_scope(person, self.table(number), rules)
        return self.change(number, mine, person, revision=revision, now=now, text=text)

    def put_rule(
        self, number: int, rule: Rule, person: Person, *, revision: int, now: datetime, replaces: str | None = None
    ) -> TableVersion:
        """Add a rule to a draft, or put it in the place of the rule ``replaces``. Raises as :meth:`change` does."""
        before = self.table(number)
        if rule.id != replaces and any(rule.id == each.id for each in before):
            raise Conflict(
                Text(
                    f"Eine Regel {rule.id} gibt es schon. Wählen Sie einen anderen Namen.",
                    f"There is a rule {rule.id} already. Choose another name.",
                ),
                slug="already-exists",
            )
        rules = [each for each in before if each.id != replaces]
        return self.change(number, [*rules, rule], person, revision=revision, now=now, text=f"put {rule.id}")

    def drop_rule(self, number: int, rule_id: str, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Remove a rule from a draft. Raises as :meth:`change` does."""
        rules = [rule for rule in self.table(number) if rule.id != rule_id]
        return self.change(number, rules, person, revision=revision, now=now, text=f"drop {rule_id}")

    def discard(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Give up a draft; it is kept for the record."""
        person.insist(Right.EDIT)
        version = self.version(number)
        insist_on_scope(person, self._base_of(version, now), self.table(number))
        settled = replace(version, state=VersionState.DISCARDED, changed_by=person.name, changed_at=now)
        audit = _audit(person, "routes.discard", number, now)
        return self._versions.settle(settled, expected=revision, audit=audit)

    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto the table that is active now; raise ``Conflict`` where both changed one rule."""
        person.insist(Right.EDIT)
        version, active = self.version(number), self.activation(now).number
        mine, theirs = self.table(number), self.table(active)
        after = self._table_of(merged(self._base_of(version, now), mine, theirs))
        insist_on_scope(person, theirs, after)
        rebased = replace(version, based_on=active)
        return self._store_change(rebased, mine, after, person, revision=revision, now=now, text=f"onto {active}")

    def findings(self, number: int, *, now: datetime, tenant: str = "") -> list[Finding]:
        """Check a version as things are now, errors first; with a tenant what concerns it."""
        table = self.table(number)
        found = self._checked(table, now)
        return findings_seen(tenant, table, found)

    def compare(self, number: int, *, now: datetime, with_number: int | None = None, tenant: str = "") -> Diff:
        """Return what changes from another version, the active one unless told otherwise, to this one.

        With a tenant only what concerns it.
        """
        other = self.at(now) if with_number is None else self.table(with_number)
        changes = diff(other, self.table(number), self._sources.gazetteer, on=now)
        return diff_seen(tenant, changes)

    def dry_run(self, number: int, *, days: int, now: datetime, tenant: str = "") -> DryRun:
        """Route the submissions of the last ``days`` by the active table and by a version, as of now, and compare."""
        since = now - timedelta(days=max(1, min(days, _MAX_DAYS)))
        return rehearse(self.at(now), self.table(number), self._overview, since=since, now=now, tenant=tenant)

    def approve(self, number: int, person: Person, *, revision: int, now: datetime, text: str = "") -> TableVersion:
        """Approve a draft at exactly this revision; it is immutable from then on.

        Raises:
            Forbidden: the person may not approve, changed the draft, or has no say over some of its changes.
            Invalid: the check finds errors (member ``findings``), or warnings and ``text`` is empty (``word-needed``).
            Conflict: no draft, changed meanwhile, or another version became active since it was made (``outdated``).
        """
        person.insist(Right.APPROVE)
        check_text(text)
        version = self.version(number)
        if may_be_one_human(self._store, person.name, version.editors):
            raise same_person(number, same_account=person.name in version.editors)
        self._insist_on_base(version, now)
        table = self.table(number)
        insist_on_scope(person, self._base_of(version, now), table)
        findings = self._checked(table, now)
        insist_on_fitness(findings, word=text, seen=findings_seen(person.tenant, table, findings))
        approved = replace(
            version, state=VersionState.APPROVED, approved_by=person.name, approved_at=now, approval_text=text.strip()
        )
        audit = _audit(
            person,
            "routes.approve",
            number,
            now,
            text=text,
            content_version=version.content_version,
            warnings=len(findings),
        )
        return self._versions.settle(approved, expected=revision, audit=audit)

    def activate(
        self, number: int, person: Person, *, now: datetime, at: datetime | None = None, text: str = ""
    ) -> Activation:
        """Activate an approved version now, or at a later moment.

        Raises:
            Forbidden: the person may not approve, or has no say over some of its changes.
            Invalid: not approved, a moment in the past, or the check finds errors as things are now.
            Conflict: another version became active since it was made, or another activation is still to come.
        """
        person.insist(Right.APPROVE)
        check_text(text)
        version, since = self.version(number), now if at is None else at
        if version.state is not VersionState.APPROVED:
            raise not_approved(number)
        if since < now:
            raise Invalid(Text("Der Zeitpunkt liegt in der Vergangenheit.", "The moment lies in the past."))
        self._insist_on_base(version, now)
        if self._pending(now):
            raise pending_first()
        table = self.table(number)
        insist_on_scope(person, self.at(now), table)
        findings = self._checked(table, now)
        insist_on_fitness(findings, word="-", seen=findings_seen(person.tenant, table, findings))
        activation = _activation(number, person, now=now, since=since, reason=text.strip())
        return self._begin(activation, person, "routes.activate", now)

    def rollback(self, person: Person, *, now: datetime, text: str, number: int | None = None) -> Activation:
        """Bring back the version that was active before, or an earlier one that was; at once, with a reason.

        One person suffices, for two have approved that version once. Activations still to come are cancelled.
        Raises ``Forbidden`` (right, scope), ``Invalid`` (no reason), ``NotFound`` (nothing to go back to).
        """
        person.insist(Right.APPROVE)
        check_text(text)
        if not text.strip():
            raise Invalid(Text("Eine Rücknahme braucht einen Grund.", "A rollback needs a reason."), slug="word-needed")
        target = self._earlier(number, now)
        insist_on_scope(person, self.at(now), self.table(target))
        for coming in self._pending(now):
            self.cancel(coming.seq, person, now=now)
        activation = _activation(target, person, now=now, since=now, reason=text.strip())
        return self._begin(activation, person, "routes.rollback", now)

    def cancel(self, seq: int, person: Person, *, now: datetime) -> None:
        """Cancel an activation that is still to come."""
        person.insist(Right.APPROVE)
        coming = next((each for each in self._pending(now) if each.seq == seq), None)
        if coming is not None:
            insist_on_scope(person, self.at(now), self.table(coming.number))
        number = coming.number if coming is not None else 0
        self._versions.cancel(seq, now, audit=_audit(person, "routes.cancel", number, now, activation=seq))

    def _renewed(self, now: datetime) -> RoutingTable:
        number = self.activation(now).number
        known = self._current
        # An approved version never changes, so its number says it all.
        table = known[2] if known is not None and known[1] == number else self.table(number)
        self._current = (now, number, table)
        return table

    def _begin(self, activation: Activation, person: Person, action: str, now: datetime) -> Activation:
        before = {"number": self.activation(now).number}
        audit = _audit(
            person, action, activation.number, now, text=activation.reason, since=activation.since.isoformat()
        )
        begun = self._versions.activate(activation, audit=replace(audit, before=before))
        self._current = None
        return begun

    def _store_change(
        self,
        version: TableVersion,
        before: RoutingTable,
        after: RoutingTable,
        person: Person,
        *,
        revision: int,
        now: datetime,
        text: str,
    ) -> TableVersion:
        changed = replace(
            version,
            revision=revision + 1,
            content_version=after.version,
            size=len(after),
            editors=tuple(sorted({*version.editors, person.name})),
            changed_by=person.name,
            changed_at=now,
        )
        audit = _audit(person, "routes.change", version.number, now, text=text, content_version=after.version)
        audit = replace(
            audit, before={"content_version": before.version}, after={**audit.after, **delta(before, after)}
        )
        return self._versions.change(changed, _rows(after), expected=revision, audit=audit)

    def _table_of(self, rules: Iterable[Rule]) -> RoutingTable:
        return RoutingTable(rules, gazetteer=self._sources.gazetteer, services=self._sources.services)

    def _checked(self, table: RoutingTable, now: datetime) -> list[Finding]:
        sources = self._sources
        facts, schemas = sources.facts(now), sources.schemas()
        return check(table, sources.gazetteer, sources.services, facts, on=now, known_schemas=schemas)

    def _base_of(self, version: TableVersion, now: datetime) -> RoutingTable:
        return self.at(now) if version.based_on is None else self.table(version.based_on)

    def _insist_on_base(self, version: TableVersion, now: datetime) -> None:
        """Refuse what would silently undo what others activated meanwhile."""
        active = self.activation(now).number
        if version.based_on != active:
            raise Conflict(
                Text(
                    f"Tabelle {version.number} entstand aus Tabelle {version.based_on}, aktiv ist inzwischen {active}. "
                    "Aktualisieren Sie den Entwurf (refresh), oder nehmen Sie zurück (rollback).",
                    f"Table {version.number} was made from table {version.based_on}, but {active} is active by now. "
                    "Refresh the draft, or roll back.",
                ),
                slug="outdated",
            )

    def _pending(self, now: datetime) -> list[Activation]:
        return [each for each in self.history(limit=100).items if each.since > now and each.cancelled_at is None]

    def _earlier(self, number: int | None, now: datetime) -> int:
        if number is None:
            found = self._versions.previous(now)
        else:
            past = (each for each in self.history(limit=500).items if each.since <= now and each.cancelled_at is None)
            found = next((each for each in past if each.number == number), None)
        if found is None:
            raise NotFound(
                Text(
                    "Es gibt keine frühere aktive Tabelle, auf die zurückgenommen werden könnte.",
                    "There is no earlier active table to roll back to.",
                ),
                slug="table-not-found",
            )
        return found.number


def _rows(table: RoutingTable) -> RuleRows:
    return RuleRows(rows=[rule.as_row() for rule in table], content_version=table.version)


def _new_version(
    table: RoutingTable, *, title: str, person: Person, based_on: int | None, now: datetime
) -> TableVersion:
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


def _activation(number: int, person: Person, *, now: datetime, since: datetime, reason: str) -> Activation:
    return Activation(seq=0, number=number, since=since, made_by=person.name, made_at=now, reason=reason)


def _audit(person: Person, action: str, number: int, now: datetime, **after: object) -> AuditEntry:
    said = {name: value for name, value in after.items() if value != ""}
    return AuditEntry(at=now, actor=person.name, action=action, target=f"routing-table:{number}", after=said)
