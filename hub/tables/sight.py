"""What of a table somebody sees who is bound to an ARS prefix: its own rules, the wider ones above, and what is said of them.

Who is responsible where is public, and the routing interface tells everybody. Drafts, and what the check says of other
authorities' keys and state, are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hub.accounts import Person
from hub.routing import Diff, Finding, RoutingTable, Rule


def sees(person: Person, rule: Rule) -> bool:
    """Tell whether a rule speaks of the person's area: inside it, or around it."""
    return _related(person, rule.area.ars)


def rules_seen(person: Person, table: Iterable[Rule]) -> list[Rule]:
    """Return the rules of a table that the person sees."""
    return [rule for rule in table if sees(person, rule)]


def findings_seen(person: Person, table: RoutingTable, findings: Iterable[Finding]) -> list[Finding]:
    """Return what the check says of the person's own rules and area; of other rules not even the ids stay."""
    if not person.tenant:
        return list(findings)
    own = {rule.id for rule in table if person.covers(rule.area.ars)}
    seen: list[Finding] = []
    for finding in findings:
        rows = tuple(row for row in finding.rows if row in own)
        if rows or (not finding.rows and (not finding.areas or any(_related(person, ars) for ars in finding.areas))):
            seen.append(replace(finding, rows=rows))
    return seen


def diff_seen(person: Person, diff: Diff) -> Diff:
    """Return the changes that concern the person's area."""
    if not person.tenant:
        return diff
    changes = tuple(
        change for change in diff.rules if any(rule and sees(person, rule) for rule in (change.before, change.after))
    )
    routes = tuple(change for change in diff.routes if person.covers(change.area.ars))
    towns = tuple(ars for ars in diff.municipalities if person.covers(ars))
    return replace(diff, rules=changes, routes=routes, municipalities=towns)


def completed(person: Person, uploaded: Iterable[Rule], active: RoutingTable) -> list[Rule]:
    """Return an uploaded table with the active rules outside the person's scope, which their export does not hold.

    Where the upload holds one of these all the same it wins, and is refused later if it differs.
    """
    rules = list(uploaded)
    given = {rule.id for rule in rules}
    return [*rules, *(rule for rule in active if rule.id not in given and not person.covers(rule.area.ars))]


def _related(person: Person, ars: str) -> bool:
    return ars.startswith(person.tenant) or person.tenant.startswith(ars)
