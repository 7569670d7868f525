"""What of a table somebody sees who is bound to an ARS prefix: its own rules, the wider ones above, and what is said of them.

Who is responsible where is public, and the routing interface tells everybody. Drafts, and what the check says of other
authorities' keys and state, are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hub.routing import Diff, Finding, RoutingTable, Rule


def sees(tenant: str, rule: Rule) -> bool:
    """Tell whether a rule speaks of the tenant's area: inside it, or around it."""
    return _related(tenant, rule.area.ars)


def rules_seen(tenant: str, table: Iterable[Rule]) -> list[Rule]:
    """Return the rules of a table that a tenant sees."""
    return [rule for rule in table if sees(tenant, rule)]


def findings_seen(tenant: str, table: RoutingTable, findings: Iterable[Finding]) -> list[Finding]:
    """Return what the check says of the tenant's own rules and area; of other rules not even the ids stay."""
    if not tenant:
        return list(findings)
    own = {rule.id for rule in table if rule.area.ars.startswith(tenant)}
    seen: list[Finding] = []
    for finding in findings:
        rows = tuple(row for row in finding.rows if row in own)
        areas = tuple(ars for ars in finding.areas if _related(tenant, ars))
        if rows or (not finding.rows and (areas or not finding.areas)):
            seen.append(replace(finding, rows=rows, areas=areas))
    return seen


def diff_seen(tenant: str, diff: Diff) -> Diff:
    """Return the changes that concern the tenant's area."""
    if not tenant:
        return diff
    changes = tuple(
        change for change in diff.rules if any(rule and sees(tenant, rule) for rule in (change.before, change.after))
    )
    routes = tuple(change for change in diff.routes if change.area.ars.startswith(tenant))
    towns = tuple(ars for ars in diff.municipalities if ars.startswith(tenant))
    return replace(diff, rules=changes, routes=routes, municipalities=towns)


def _related(tenant: str, ars: str) -> bool:
    return ars.startswith(tenant) or tenant.startswith(ars)
