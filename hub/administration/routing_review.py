"""What must hold before a version of the table moves on, and how two versions differ. Pure.

What of a table somebody sees who is bound to a scope: its own rules, the wider ones above, and what is said of them.

Who is responsible where is public, and the routing interface tells everybody. Drafts, and what the check says of other
authorities' keys and state, are not.

What a table would have done with the submissions that really came: ids and counts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.administration.versions import changed_entries, merged_entries, word_needed
from hub.areas import Area
from hub.errors import (
    Invalid,
    NoRoute,
    Text,
    already_exists,
    outside_scope,
)
from hub.identity import Person
from hub.model import Scope
from hub.routing import Diff, Finding, RoutingTable, Rule, Severity
from hub.store import Overview

#: So many findings stand in a refusal; the check lists all.
_MAX_FINDINGS = 100


def changed_rules(before: RoutingTable, after: RoutingTable) -> list[tuple[Rule | None, Rule | None]]:
    """Return (before, after) of every rule that differs, by id; None where it is missing."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    ids = sorted(old.keys() | new.keys())
    return [(old.get(each), new.get(each)) for each in ids if old.get(each) != new.get(each)]


def delta(before: RoutingTable, after: RoutingTable) -> dict[str, list[str]]:
    """Return the ids of added, removed and changed rules, for the audit log."""
    return changed_entries(_by_id(before), _by_id(after))


def merged(base: RoutingTable, mine: RoutingTable, theirs: RoutingTable) -> list[Rule]:
    """Return ``theirs`` with the changes from ``base`` to ``mine``; raise ``Conflict`` where both changed one rule."""
    return merged_entries(_by_id(base), _by_id(mine), _by_id(theirs), _named)


def _by_id(table: RoutingTable) -> dict[str, Rule]:
    return {rule.id: rule for rule in table}


def _named(rule_id: str) -> Text:
    return Text(f"Die Regel {rule_id} der aktiven Tabelle", f"rule {rule_id} of the active table")


def require_scope(person: Person, before: RoutingTable, after: RoutingTable) -> None:
    """Raise ``Forbidden`` where a change touches rules outside the person's scope."""
    if not person.is_bound:
        return
    touched = (rule for pair in changed_rules(before, after) for rule in pair if rule is not None)
    if not all(person.covers(rule.area.ars) for rule in touched):
        raise outside_scope(Text("Die Änderung betrifft Gebiete", "The change touches areas"))


def within_scope(person: Person, before: RoutingTable, rules: Iterable[Rule]) -> list[Rule]:
    """Return what a file of rules makes of ``before``: for people with a tenant others' rules stay as they are.

    So a district's file may hold its own rules alone, or all of them. Raises ``Forbidden`` where it changes or adds a rule
    of somebody else's, ``Conflict`` where it takes the name of one.
    """
    given = list(rules)
    if not person.is_bound:
        return given
    others = {rule.id: rule for rule in before if not person.covers(rule.area.ars)}
    mine = [rule for rule in given if person.covers(rule.area.ars)]
    if any(others.get(rule.id) != rule for rule in given if not person.covers(rule.area.ars)):
        raise outside_scope(Text("Die Änderung betrifft Gebiete", "The change touches areas"))
    taken = sorted(rule.id for rule in mine if rule.id in others)
    if taken:
        raise already_exists(Text(f"Die Regel {taken[0]} für ein anderes Gebiet", f"Rule {taken[0]} for another area"))
    return [*others.values(), *mine]


def require_fitness(findings: list[Finding], *, word: str, seen: list[Finding]) -> None:
    """Raise ``Invalid`` for errors, and for warnings without a word; it tells of those that the person has ``seen``."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    shown = [finding for finding in seen if finding.severity is Severity.ERROR]
    if errors:
        first = (
            Text(
                f"Der erste: {shown[0].text.de} {shown[0].remedy.de}",
                f"The first: {shown[0].text.en} {shown[0].remedy.en}",
            )
            if shown
            else Text("Sie betreffen andere Mandanten.", "They concern other tenants.")
        )
        raise _unfit(errors, first, shown)
    if findings and not word.strip():
        raise word_needed(
            Text(f"Eine Tabelle mit {len(findings)} Warnungen", f"A table with {len(findings)} warnings"),
            findings=[_finding_json(each) for each in findings[:_MAX_FINDINGS]],
        )


def _unfit(errors: Sequence[Finding], first: Text, shown: Any) -> Invalid:
    return Invalid(
        Text(
            f"Die Prüfung findet {len(errors)} Fehler. {first.de}",
            f"The check finds {len(errors)} errors. {first.en}",
        ),
        slug="table-unfit",
        findings=[_finding_json(each) for each in shown[:_MAX_FINDINGS]],
    )


def _finding_json(finding: Finding) -> dict[str, object]:
    return {"code": finding.code.value, "rows": list(finding.rows)}


def sees(scope: Scope, rule: Rule) -> bool:
    """Tell whether a rule speaks of the scope's regions: inside one, or around it."""
    return scope.touches(rule.area.ars)


def rules_seen(scope: Scope, table: Iterable[Rule]) -> list[Rule]:
    """Return the rules of a table that are seen within a scope."""
    return [rule for rule in table if sees(scope, rule)]


def findings_seen(scope: Scope, table: RoutingTable, findings: Iterable[Finding]) -> list[Finding]:
    """Return what the check says of the scope's own rules and regions; of other rules not even the ids stay."""
    if scope.is_everything:
        return list(findings)
    own = {rule.id for rule in table if scope.covers(rule.area.ars)}
    seen: list[Finding] = []
    for finding in findings:
        rows = tuple(row for row in finding.rows if row in own)
        areas = tuple(ars for ars in finding.areas if scope.touches(ars))
        if rows or (not finding.rows and (areas or not finding.areas)):
            seen.append(replace(finding, rows=rows, areas=areas))
    return seen


def diff_seen(scope: Scope, diff: Diff) -> Diff:
    """Return the changes that concern the scope's regions."""
    if scope.is_everything:
        return diff
    changes = tuple(
        change for change in diff.rules if any(rule and sees(scope, rule) for rule in (change.before, change.after))
    )
    routes = tuple(change for change in diff.routes if scope.covers(change.area.ars))
    towns = tuple(ars for ars in diff.municipalities if scope.covers(ars))
    return replace(diff, rules=changes, routes=routes, municipalities=towns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A submission that a draft would have sent elsewhere; None: nowhere."""

    submission_id: UUID
    service: str
    area: str
    before: UUID | None
    after: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingDryRun:
    """What a draft would have done with the real submissions since ``since``: ids and counts only.

    ``total`` and ``changed`` count all of them; ``shifts`` are those of the latest submissions.
    """

    since: datetime
    total: int
    changed: int
    shifts: tuple[Shift, ...]


def rehearse(
    old: RoutingTable, new: RoutingTable, overview: Overview, *, since: datetime, now: datetime, scope: Scope
) -> RoutingDryRun:
    """Route the submissions since then by both tables, as of now, and compare, within a scope."""
    counts = overview.routed_counts(since=since, scope=scope)
    answers = {pair: (_destination(old, *pair, now), _destination(new, *pair, now)) for pair in counts}
    changed = {pair: both for pair, both in answers.items() if both[0] != both[1]}
    latest = overview.routed(since=since, scope=scope) if changed else []
    shifts = tuple(
        Shift(submission_id=each.submission_id, service=each.service, area=each.area, before=before, after=after)
        for each in latest
        for before, after in [changed.get((each.area, each.service), (None, None))]
        if before != after
    )
    total, moved = sum(counts.values()), sum(counts[pair] for pair in changed)
    return RoutingDryRun(since=since, total=total, changed=moved, shifts=shifts)


def _destination(table: RoutingTable, area: str, service: str, on: datetime) -> UUID | None:
    try:
        return table.route(Area(area), service, on).destination_id
    except NoRoute:
        return None
