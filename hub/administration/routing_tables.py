"""Versions of the routing table: what goes the way of :mod:`hub.administration.versions`, with rules, check and scope.

Whoever is bound to a scope may change and approve rules of its regions only.

The destinations as a check of the table needs them: status, services, and how long their key is good.

:func:`open_book` puts a book together with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hub.administration.routing_review import (
    RoutingDryRun,
    delta,
    diff_seen,
    findings_seen,
    merged,
    rehearse,
    require_fitness,
    require_scope,
    within_scope,
)
from hub.administration.versions import FRESH, HUB, NOTHING, VersionBook, VersionCache
from hub.areas import Area, Gazetteer
from hub.crypto import KeyPolicy, judge_encryption_key
from hub.errors import KeyRefused, Refused, Text, UnreadableRow, already_exists, handed_in
from hub.identity import Person, Right
from hub.model import EVERYTHING, Destination, Scope
from hub.routing import DestinationFacts, Diff, Finding, RoutingTable, Rule, ServiceRegister, check, diff, rule_from_row
from hub.store import RuleRows, Store, TableVersion, all_items


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What tables are read and judged with."""

    gazetteer: Gazetteer
    services: ServiceRegister
    #: The destinations as a check needs them.
    facts: Callable[[datetime], Mapping[UUID, DestinationFacts]]
    #: The URIs of all known schemas.
    schemas: Callable[[], Collection[str]]


class TableCache(VersionCache[RoutingTable]):
    """All versions of the routing table, to be read; the book changes them."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        super().__init__(store=store, versions=store.routing_versions)
        self.sources = sources

    @property
    def services(self) -> ServiceRegister:
        """The register of services; all tables share it."""
        return self.sources.services

    def table(self, number: int) -> RoutingTable:
        """Return a version's table, and the empty one for :data:`NOTHING`; raise ``NotFound``."""
        return self.content(number)

    def content_of(self, rows: Iterable[Mapping[str, Any]]) -> RoutingTable:
        """Return the table of stored rules."""
        return self.table_of(rule_from_row(dict(row)) for row in rows)

    def table_of(self, rules: Iterable[Rule]) -> RoutingTable:
        """Return a table of rules, with the areas and services of the moment."""
        return RoutingTable(rules, gazetteer=self.sources.gazetteer, services=self.services)


_MAX_DAYS = 365
_PAGE = 500


class RoutingTableVersions(TableCache, VersionBook[RoutingTable]):
    """All versions of the routing table, the one that is active, and the way of a change."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        super().__init__(store=store, sources=sources)
        self._overview = store.overview

    def rows_of(self, content: RoutingTable) -> RuleRows:
        """Return a table's rules as they are stored."""
        return RuleRows(rows=[rule.as_row() for rule in content], content_version=content.version)

    def require_scope(self, person: Person, before: RoutingTable, after: RoutingTable) -> None:
        """Raise ``Forbidden`` where a change touches rules outside the person's scope."""
        require_scope(person, before, after)

    def require_fitness(self, content: RoutingTable, person: Person, *, word: str, now: datetime) -> int:
        """Raise ``Invalid`` for what the check finds; see :func:`hub.administration.routing_review.require_fitness`."""
        findings = self._checked(content, now)
        require_fitness(findings, word=word, seen=findings_seen(person.scope, content, findings))
        return len(findings)

    def delta(self, before: RoutingTable, after: RoutingTable) -> dict[str, list[str]]:
        """Return the ids of rules that differ."""
        return delta(before, after)

    def begin(self, rules: Iterable[Rule], *, now: datetime) -> None:
        """Make ``rules`` version 1 and activate it, unless there are versions already."""
        self.begin_with(self.table_of(rules), now=now)

    def draft(self, person: Person, *, title: str, now: datetime, rules: Iterable[Rule] | None = None) -> TableVersion:
        """Make a draft from ``rules``, or from the active table.

        Raises ``Forbidden`` where the person may not edit, or changes rules outside their scope.
        """
        person = person.acting(Right.EDIT)
        base = self.base(now)
        before = self.table(base)
        table = before if rules is None else self._table_from(within_scope(person, before, rules))
        return self.add_draft(person, table, title=title, based_on=base, now=now)

    def change(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Replace a draft's rules; ``revision`` is the one that the change was made on.

        Raises ``Forbidden`` (right, scope), ``Conflict`` (no draft, or changed meanwhile).
        """
        return self.put_content(number, self._table_from(rules), person, revision=revision, now=now, text=text)

    def replace_rules(
        self, number: int, rules: Iterable[Rule], person: Person, *, revision: int, now: datetime, text: str = ""
    ) -> TableVersion:
        """Put a file's rules in the place of a draft's; people with a tenant replace their own ones only.

        Raises as :meth:`change` does.
        """
        mine = within_scope(person.acting(Right.EDIT), self.table(number), rules)
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

    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto the table that is active now; raise ``Conflict`` where both changed one rule."""
        version, active = self.version(number), self.base(now)
        rules = merged(self.base_of(version, now), self.table(number), self.table(active))
        return self.rebase(version, self._table_from(rules), person, onto=active, revision=revision, now=now)

    def findings(self, number: int, *, now: datetime, scope: Scope) -> list[Finding]:
        """Check a version as things are now, errors first: what concerns a scope."""
        table = self.table(number)
        found = self._checked(table, now)
        return findings_seen(scope, table, found)

    def compare(self, number: int, *, now: datetime, scope: Scope, with_number: int | None = None) -> Diff:
        """Return what changes within a scope from another version, the active one unless told otherwise, to this one."""
        other = self.at(now) if with_number is None else self.table(with_number)
        changes = diff(other, self.table(number), self.sources.gazetteer, on=now)
        return diff_seen(scope, changes)

    def dry_run(self, number: int, *, days: int, now: datetime, scope: Scope) -> RoutingDryRun:
        """Route the submissions of the last ``days`` by the active table and by a version, as of now, and compare."""
        since = now - timedelta(days=max(1, min(days, _MAX_DAYS)))
        return rehearse(self.at(now), self.table(number), self._overview, since=since, now=now, scope=scope)

    def caught(self, *, now: datetime, scope: Scope) -> dict[str, int]:
        """Count of each catch-all in force what came to its destination within a month and no other rule holds for.

        What each of them is called is the id of its rule; one that nothing came to has zero.
        """
        table, since = self.at(now), now - _CAUGHT_SINCE
        counts: dict[str, int] = {}
        for rule in (each for each in table.catch_alls if each.holds(now)):
            came = self._overview.routed_counts(since=since, scope=scope, destination=rule.destination)
            counts[rule.id] = sum(
                number for (area, service), number in came.items() if _rule_id(table, area, service, now) == rule.id
            )
        return counts

    def _table_from(self, rules: Iterable[Rule]) -> RoutingTable:
        """Return a table of what a person hands in."""
        with handed_in():
            return self.table_of(rules)

    def _checked(self, table: RoutingTable, now: datetime) -> list[Finding]:
        sources = self.sources
        facts, schemas = sources.facts(now), sources.schemas()
        return check(table, sources.gazetteer, self.services, facts, on=now, known_schemas=schemas)


def _rule_id(table: RoutingTable, area: str, service: str, now: datetime) -> str | None:
    try:
        return table.responsible(Area.from_ars(area), service, now).rule.id
    except Refused:
        return None


#: How far back is counted what catch-alls took.
_CAUGHT_SINCE = timedelta(days=30)
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
        for each in all_items(lambda start: store.parties.destinations(scope=EVERYTHING, offset=start, limit=_PAGE))
    }


def key_valid_until(store: Store, policy: KeyPolicy, destination: Destination, now: datetime) -> datetime | None:
    """Return when the destination's encryption key ends; None if it has none that is good now, and can be read."""
    try:
        jwk = store.parties.usable_key(destination.destination_id, destination.encryption_kid)
        return None if jwk is None else judge_encryption_key(jwk, now=now, policy=policy).expires_at or _NEVER
    except (KeyRefused, UnreadableRow):
        return None


__all__ = [
    "FRESH",
    "HUB",
    "NOTHING",
    "RoutingTableVersions",
    "Sources",
    "TableCache",
    "destination_facts",
    "key_valid_until",
    "open_book",
]
