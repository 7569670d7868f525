"""What of a table concerns a tenant: its own areas, and the wider rules that hold there too. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hub.routing import Diff, Finding, Rule, RuleChange


def rules_within(tenant: str, rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules below a tenant's prefix and those that cover it."""
    return [rule for rule in rules if _concerns(tenant, rule.area.ars)]


def findings_within(tenant: str, rules: Iterable[Rule], findings: Iterable[Finding]) -> list[Finding]:
    """Return what a check says about a tenant's rules and areas, others' rows and areas left out."""
    visible = {rule.id for rule in rules_within(tenant, rules)}
    found = []
    for each in findings:
        rows = tuple(row for row in each.rows if row in visible)
        areas = tuple(area for area in each.areas if _concerns(tenant, area))
        if rows or (not each.rows and (areas or not each.areas)):
            found.append(replace(each, rows=rows, areas=areas))
    return found


def diff_within(tenant: str, changes: Diff) -> Diff:
    """Return what changes for a tenant."""
    return replace(
        changes,
        rules=tuple(each for each in changes.rules if _concerned(tenant, each)),
        routes=tuple(each for each in changes.routes if each.area.ars.startswith(tenant)),
    )


def _concerned(tenant: str, change: RuleChange) -> bool:
    sides = (change.before, change.after)
    return any(rule is not None and _concerns(tenant, rule.area.ars) for rule in sides)


def _concerns(tenant: str, ars: str) -> bool:
    return ars.startswith(tenant) or tenant.startswith(ars)
