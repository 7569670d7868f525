"""Versions of the routing table: drafts, checks, a second person's approval, activation and rollback.

The way of a change: (1) a draft is made from the active table or from a file and changed by editors; (2) a second person,
who never changed it, approves it: errors of the check block, warnings need a word; (3) it is activated, now or at a time;
(4) a rollback brings an earlier version back. Whoever is bound to an ARS prefix may change and approve rules below it only.

Versions of the routing table as they stand: each, and the one that is active now, was or will be.

A version's table is put together from its rows when it is first asked for; what decides now is at most a second old.

What is written of a routing table: its rows, a version, an activation, and the entry in the audit log.

The destinations as a check of the table needs them: status, services, and how long their key is good.

:func:`open_book` puts a book together with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from hub.administration.routing_review import (
    RoutingDryRun,
    delta,
    diff_seen,
    findings_seen,
    merged,
    pending_first,
    rehearse,
    require_fitness,
    require_scope,
    require_short_text,
    same_person,
    within_scope,
    word_needed,
)
from hub.areas import Gazetteer
from hub.crypto import KeyPolicy, judge_encryption_key
from hub.errors import (
    ConfigurationError,
    Conflict,
    Invalid,
    KeyRefused,
    NotFound,
    Refused,
    Text,
    Unavailable,
    UnreadableRow,
    already_exists,
    handed_in,
    not_approved,
    not_found,
)
from hub.identity import Person, Right, may_be_one_human
from hub.model import Destination, Role
from hub.routing import DestinationFacts, Diff, Finding, RoutingTable, Rule, ServiceRegister, check, diff, rule_from_row
from hub.store import Activation, AuditEntry, Page, RuleRows, Store, TableVersion, VersionState, all_items

#: How old an answer of :meth:`TableCache.active` may be.
FRESH = timedelta(seconds=1)
#: Tables kept in memory; a pass over history must not fill it.
_KEPT = 8
#: The number of the table that a hub has for which nobody has activated one yet: it is empty.
NOTHING = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What tables are read and judged with."""

    gazetteer: Gazetteer
    services: ServiceRegister
    #: The destinations as a check needs them.
    facts: Callable[[datetime], Mapping[UUID, DestinationFacts]]
    #: The URIs of all known schemas.
    schemas: Callable[[], Collection[str]]


class TableCache:
    """All versions of the routing table, to be read; the book changes them."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        self._store = store
        self._versions = store.routing_versions
        self.sources = sources
        self._lock = threading.Lock()
        self._current: tuple[datetime, int, RoutingTable] | None = None
        self._kept: dict[tuple[int, int], RoutingTable] = {}

    def active(self, now: datetime) -> RoutingTable:
        """Return the active table, at most :data:`FRESH` old; nobody waits while another thread reads a new one.

        A hub for which nobody has activated a version yet has an empty table: there is no default. Raises ``Unavailable``
        where versions are active at other times, but none now.
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
            raise not_found("table-not-found")
        return found

    def begun(self, on: datetime) -> Activation | None:
        """Return the activation that holds at a moment; None where there is none."""
        return self._versions.active(on)

    def base(self, on: datetime) -> int:
        """Return the number of the version that holds at a moment, :data:`NOTHING` where nobody ever activated one.

        Raises ``NotFound`` before the first activation.
        """
        found = self.begun(on)
        if found is None and not self._versions.activations(limit=1).total:
            return NOTHING
        return self.activation(on).number if found is None else found.number

    def number(self, on: datetime) -> int | None:
        """Return the number of the version that holds at a moment, for lists: None where there is none or none can be read."""
        try:
            found = self.begun(on)
        except UnreadableRow:
            return None
        return None if found is None else found.number

    def in_force(self, now: datetime) -> tuple[Activation | None, RoutingTable] | None:
        """Return the activation that holds and its table, for pages that tell of them beside other things.

        None where they cannot be read: such pages go on without them.
        """
        try:
            return self.begun(now), self.active(now)
        except ConfigurationError:
            return None

    @property
    def services(self) -> ServiceRegister:
        """The register of services; all tables share it."""
        return self.sources.services

    def table(self, number: int) -> RoutingTable:
        """Return a version's table, and the empty one for :data:`NOTHING`; raise ``NotFound``."""
        if number == NOTHING:
            return self._table_of(())
        version = self.version(number)
        key = (number, version.revision)
        found = self._kept.get(key)
        if found is None:
            found = self._stored(number)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def at(self, moment: datetime) -> RoutingTable:
        """Return the table that was, or will be, active at a moment."""
        return self.table(self.base(moment))

    def version(self, number: int) -> TableVersion:
        """Return a version; raise ``NotFound``."""
        return self._versions.version(number)

    def versions(self, *, offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions, newest first."""
        return self._versions.versions(offset=offset, limit=limit)

    def version_of(self, content_version: str) -> TableVersion | None:
        """Return the newest version with these rules, None where there is none."""
        return next(iter(self._versions.versions(content_version=content_version, limit=1).items), None)

    def history(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest first; coming and cancelled ones included."""
        return self._versions.activations(offset=offset, limit=limit)

    def _renewed(self, now: datetime) -> RoutingTable:
        known = self._current
        try:
            found = self._versions.active(now)
        except UnreadableRow:
            # Nobody is served by what held before while another thread tries again.
            self._current = None
            raise
        if found is None:
            # A clock that went back undoes no activation: what held goes on, and before that nobody is turned away.
            if known is not None and known[1] != NOTHING:
                self._current = (now, known[1], known[2])
                return known[2]
            if self._versions.activations(limit=1).total:
                raise _not_yet()
            self._current = (now, NOTHING, self._table_of(()))
            return self._current[2]
        number = found.number
        # An approved version never changes, so its number says it all.
        table = known[2] if known is not None and known[1] == number else self._activated(number)
        self._current = (now, number, table)
        return table

    def _activated(self, number: int) -> RoutingTable:
        try:
            return self.table(number)
        except NotFound as exc:
            # Somebody activated it, so that it is not there is the hub's fault and not the asker's.
            raise ConfigurationError(
                Text(
                    f"Die aktivierte Zuständigkeitstabelle {number} gibt es nicht. Aktivieren Sie eine andere.",
                    f"The activated routing table {number} does not exist. Activate another one.",
                )
            ) from exc

    def _stored(self, number: int) -> RoutingTable:
        try:
            return self._table_of(rule_from_row(row) for row in self._versions.rows(number))
        except Refused as exc:
            # It was judged when it was made, so what cannot be read now is the hub's fault and nobody else's.
            raise ConfigurationError(
                Text(
                    f"Die Zuständigkeitstabelle {number} ist nicht lesbar: {exc.detail.de}",
                    f"Routing table {number} cannot be read: {exc.detail.en}",
                )
            ) from exc

    def _table_of(self, rules: Iterable[Rule]) -> RoutingTable:
        return RoutingTable(rules, gazetteer=self.sources.gazetteer, services=self.sources.services)


def _not_yet() -> Unavailable:
    return Unavailable(
        Text(
            "Die Zuständigkeitstabelle gilt noch nicht, oder die Uhr des Hubs geht nach. Versuchen Sie es später erneut.",
            "The routing table does not hold yet, or the hub's clock is slow. Try again later.",
        ),
        slug="table-not-active",
    )


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


_MAX_DAYS = 365
_PAGE = 500
#: Who makes the first version, from files.
HUB = Person(name="hub", full_name="Rathaus-Hub", roles=tuple(Role))


class RoutingTableVersions(TableCache):
    """All versions of the routing table, the one that is active, and the way of a change."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        super().__init__(store=store, sources=sources)
        self._overview = store.overview

    def begin(self, rules: Iterable[Rule], *, now: datetime) -> None:
        """Make ``rules`` version 1 and activate it, unless there are versions already."""
        if self._versions.versions(limit=1).total:
            return
        table = self._table_of(rules)
        title = "Aus Dateien / from files"
        first = new_version(table, title=title, person=HUB, based_on=None, now=now)
        first = replace(first, number=1, state=VersionState.APPROVED, approved_by=HUB.name, approved_at=now)
        activation = new_activation(1, HUB, now=now, since=now, reason=title)
        try:
            self._versions.add(
                first, rows_of(table), activation=activation, audit=audited(HUB, "routes.begin", 1, now, text=title)
            )
        except Conflict:
            return  # Another node began at the same time.

    def draft(self, person: Person, *, title: str, now: datetime, rules: Iterable[Rule] | None = None) -> TableVersion:
        """Make a draft from ``rules``, or from the active table.

        Raises ``Forbidden`` where the person may not edit, or changes rules outside their scope.
        """
        person.require(Right.EDIT)
        require_short_text(title)
        base = self.base(now)
        before = self.table(base)
        table = before if rules is None else self._table_from(within_scope(person, before, rules))
        require_scope(person, before, table)
        version = new_version(table, title=title.strip() or f"{now:%Y-%m-%d}", person=person, based_on=base, now=now)
        audit = audited(person, "routes.draft", 0, now, text=title, content_version=table.version, rules=len(table))
        return self._versions.add(version, rows_of(table), audit=audit)

    def change(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Replace a draft's rules; ``revision`` is the one that the change was made on.

        Raises ``Forbidden`` (right, scope), ``Conflict`` (no draft, or changed meanwhile).
        """
        person.require(Right.EDIT)
        require_short_text(text)
        version, before, after = self.version(number), self.table(number), self._table_from(rules)
        require_scope(person, before, after)
        return self._store_change(version, before, after, person, revision=revision, now=now, text=text)

    def replace_rules(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Put a file's rules in the place of a draft's; people with a tenant replace their own ones only.

        Raises as :meth:`change` does.
        """
        person.require(Right.EDIT)
        mine = within_scope(person, self.table(number), rules)
        return self.change(number, mine, person, revision=revision, now=now, text=text)

    def put_rule(
        self, number: int, rule: Rule, person: Person, *, revision: int, now: datetime, replaces: str | None = None
    ) -> TableVersion:
        """Add a rule to a draft, or put it in the place of the rule ``replaces``. Raises as :meth:`change` does."""
        before = self.table(number)
        if rule.id != replaces and any(rule.id == each.id for each in before):
            raise already_exists(Text(f"Die Regel {rule.id}", f"Rule {rule.id}"))
        rules = [each for each in before if each.id != replaces]
        return self.change(number, [*rules, rule], person, revision=revision, now=now, text=f"put {rule.id}")

    def drop_rule(self, number: int, rule_id: str, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Remove a rule from a draft. Raises as :meth:`change` does."""
        rules = [rule for rule in self.table(number) if rule.id != rule_id]
        return self.change(number, rules, person, revision=revision, now=now, text=f"drop {rule_id}")

    def discard(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Give up a draft; it is kept for the record."""
        person.require(Right.EDIT)
        version = self.version(number)
        require_scope(person, self._base_of(version, now), self.table(number))
        settled = replace(version, state=VersionState.DISCARDED, changed_by=person.name, changed_at=now)
        audit = audited(person, "routes.discard", number, now)
        return self._versions.settle(settled, expected=revision, audit=audit)

    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto the table that is active now; raise ``Conflict`` where both changed one rule."""
        person.require(Right.EDIT)
        version, active = self.version(number), self.base(now)
        mine, theirs = self.table(number), self.table(active)
        after = self._table_from(merged(self._base_of(version, now), mine, theirs))
        require_scope(person, theirs, after)
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
        changes = diff(other, self.table(number), self.sources.gazetteer, on=now)
        return diff_seen(tenant, changes)

    def dry_run(self, number: int, *, days: int, now: datetime, tenant: str = "") -> RoutingDryRun:
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
        person.require(Right.APPROVE)
        require_short_text(text)
        version = self.version(number)
        if may_be_one_human(self._store, person.name, version.editors):
            raise same_person(number, same_account=person.name in version.editors)
        self._require_base(version, now)
        table = self.table(number)
        require_scope(person, self._base_of(version, now), table)
        findings = self._checked(table, now)
        require_fitness(findings, word=text, seen=findings_seen(person.tenant, table, findings))
        approved = replace(
            version, state=VersionState.APPROVED, approved_by=person.name, approved_at=now, approval_text=text.strip()
        )
        audit = audited(
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
        person.require(Right.APPROVE)
        require_short_text(text)
        version, since = self.version(number), now if at is None else at
        if version.state is not VersionState.APPROVED:
            raise not_approved(number)
        if since < now:
            raise Invalid(Text("Der Zeitpunkt liegt in der Vergangenheit.", "The moment lies in the past."))
        self._require_base(version, now)
        if self._pending(now):
            raise pending_first()
        table = self.table(number)
        require_scope(person, self.at(now), table)
        findings = self._checked(table, now)
        require_fitness(findings, word="-", seen=findings_seen(person.tenant, table, findings))
        activation = new_activation(number, person, now=now, since=since, reason=text.strip())
        return self._begin(activation, person, "routes.activate", now)

    def rollback(self, person: Person, *, now: datetime, text: str, number: int | None = None) -> Activation:
        """Bring back the version that was active before, or an earlier one that was; at once, with a reason.

        One person suffices, for two have approved that version once. Activations still to come are cancelled.
        It works, too, where the activation that holds cannot be read: whoever is bound to no area names a version then.
        Raises ``Forbidden`` (right, scope), ``Invalid`` (no reason), ``NotFound`` (nothing to go back to).
        """
        person.require(Right.APPROVE)
        require_short_text(text)
        if not text.strip():
            raise word_needed(Text("Eine Rücknahme", "A rollback"))
        target = self._earlier(number, now)
        wanted = self.table(target)
        if person.tenant:
            require_scope(person, self.at(now), wanted)
        for coming in self._pending(now):
            self.cancel(coming.seq, person, now=now)
        activation = new_activation(target, person, now=now, since=now, reason=text.strip())
        return self._begin(activation, person, "routes.rollback", now)

    def cancel(self, seq: int, person: Person, *, now: datetime) -> None:
        """Cancel an activation that is still to come."""
        person.require(Right.APPROVE)
        coming = next((each for each in self._pending(now) if each.seq == seq), None)
        if coming is not None:
            require_scope(person, self.at(now), self.table(coming.number))
        number = coming.number if coming is not None else 0
        self._versions.cancel(seq, now, audit=audited(person, "routes.cancel", number, now, activation=seq))

    def _begin(self, activation: Activation, person: Person, action: str, now: datetime) -> Activation:
        try:
            before: dict[str, Any] = {"number": self.base(now)}
        except UnreadableRow:
            before = {"number": None}
        audit = audited(
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
        audit = audited(person, "routes.change", version.number, now, text=text, content_version=after.version)
        audit = replace(
            audit, before={"content_version": before.version}, after={**audit.after, **delta(before, after)}
        )
        return self._versions.change(changed, rows_of(after), expected=revision, audit=audit)

    def _table_from(self, rules: Iterable[Rule]) -> RoutingTable:
        """Return a table of what a person hands in."""
        with handed_in():
            return self._table_of(rules)

    def _checked(self, table: RoutingTable, now: datetime) -> list[Finding]:
        sources = self.sources
        facts, schemas = sources.facts(now), sources.schemas()
        return check(table, sources.gazetteer, sources.services, facts, on=now, known_schemas=schemas)

    def _base_of(self, version: TableVersion, now: datetime) -> RoutingTable:
        return self.at(now) if version.based_on is None else self.table(version.based_on)

    def _require_base(self, version: TableVersion, now: datetime) -> None:
        """Refuse what would silently undo what others activated meanwhile."""
        active = self.base(now)
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
        coming = takewhile(lambda each: each.since > now, self._all_history())
        return [each for each in coming if each.cancelled_at is None]

    def _all_history(self) -> Iterator[Activation]:
        """Return every activation that can be read, the latest beginning first."""
        return all_items(lambda start: self.history(offset=start, limit=_PAGE))

    def _earlier(self, number: int | None, now: datetime) -> int:
        if number is None:
            found = self._versions.previous(now)
        else:
            past = (each for each in self._all_history() if each.since <= now and each.cancelled_at is None)
            found = next((each for each in past if each.number == number), None)
        if found is None:
            raise not_found("table-not-found", "" if number is None else str(number))
        return found.number


#: A key without a certificate has no end (development only; production refuses it).
_NEVER = datetime.max.replace(tzinfo=UTC)


def open_book(
    *,
    store: Store,
    policy: KeyPolicy,
    gazetteer: Gazetteer,
    services: ServiceRegister,
    schemas: Callable[[], Collection[str]],
) -> RoutingTableVersions:
    """Return the book of tables over what the store and the key policy say of destinations."""
    sources = Sources(
        gazetteer=gazetteer,
        services=services,
        facts=lambda now: destination_facts(store, policy, now),
        schemas=schemas,
    )
    return RoutingTableVersions(store=store, sources=sources)


def destination_facts(store: Store, policy: KeyPolicy, now: datetime) -> dict[UUID, DestinationFacts]:
    """Return the facts of all destinations, their keys judged as of ``now``."""
    return {
        each.destination_id: DestinationFacts.of(each, key_valid_until=key_valid_until(store, policy, each, now))
        for each in all_items(lambda start: store.parties.destinations(offset=start, limit=_PAGE))
    }


def key_valid_until(store: Store, policy: KeyPolicy, destination: Destination, now: datetime) -> datetime | None:
    """Return when the destination's encryption key ends; None if it has none that is good now, and can be read."""
    try:
        jwk = store.parties.usable_key(destination.destination_id, destination.encryption_kid)
        return None if jwk is None else judge_encryption_key(jwk, now=now, policy=policy).expires_at or _NEVER
    except (KeyRefused, UnreadableRow):
        return None
