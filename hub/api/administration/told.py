"""Versions, rules, findings and comparisons of the routing table as JSON, and rules read from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hub.administration.routing_review import DryRun
from hub.errors import Text
from hub.routing import Diff, Finding, RouteChange, Rule, RuleChange, from_rows, rule_from_row
from hub.store.routing_versions import Activation, TableVersion

#: Changed answers and submissions that one answer lists; the counts are always whole.
_MOST_LISTED = 1_000
#: Members of a rule, and the columns of files that they are.
_COLUMNS = {
    "id": "id",
    "area": "area",
    "destination": "destination",
    "validFrom": "valid_from",
    "validUntil": "valid_until",
    "note": "note",
    "onInvalid": "on_invalid",
}


def version_json(version: TableVersion) -> dict[str, Any]:
    """Return a version without its rules."""
    return {
        "number": version.number,
        "state": version.state.value,
        "revision": version.revision,
        "title": version.title,
        "contentVersion": version.content_version,
        "size": version.size,
        "basedOn": version.based_on,
        "editors": list(version.editors),
        "createdBy": version.created_by,
        "createdAt": _moment(version.created_at),
        "changedBy": version.changed_by,
        "changedAt": _moment(version.changed_at),
        "approvedBy": version.approved_by,
        "approvedAt": _moment(version.approved_at),
        "approvalText": version.approval_text,
    }


def activation_json(activation: Activation) -> dict[str, Any]:
    """Return since when a version is active, and who said so."""
    return {
        "seq": activation.seq,
        "number": activation.number,
        "since": _moment(activation.since),
        "madeBy": activation.made_by,
        "madeAt": _moment(activation.made_at),
        "reason": activation.reason,
        "cancelledAt": _moment(activation.cancelled_at),
    }


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as files write it; empty members are left out."""
    row = rule.as_row()
    said = {name: row[column] for name, column in _COLUMNS.items() if row[column]}
    return said | {"services": list(rule.services)}


def rule_of(document: Mapping[str, Any]) -> Rule:
    """Read what :func:`rule_json` writes; raise ``Malformed`` or ``Invalid`` naming the member."""
    return rule_from_row(_row(document))


def rules_of(documents: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Read many; raise ``InvalidSettings`` whose member ``problems`` names every bad one by its number in the list."""
    return from_rows(enumerate(map(_row, documents), start=1))


def _row(document: Mapping[str, Any]) -> dict[str, str]:
    row = {column: str(document.get(name, "")) for name, column in _COLUMNS.items()}
    return row | {"services": " ".join(document["services"])}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding with its rows and its remedy."""
    return {
        "severity": finding.severity.value,
        "code": finding.code.value,
        "rows": list(finding.rows),
        "text": _text(finding.text),
        "remedy": _text(finding.remedy),
        "areas": list(finding.areas),
        "services": list(finding.services),
    }


def diff_json(changes: Diff) -> dict[str, Any]:
    """Return what changes: rules whole, answers listed up to a cap and counted."""
    return {
        "count": changes.count,
        "oldVersion": changes.old_version,
        "newVersion": changes.new_version,
        "rules": [_rule_change(each) for each in changes.rules[:_MOST_LISTED]],
        "routes": [_route_change(each) for each in changes.routes[:_MOST_LISTED]],
        "changedRules": len(changes.rules),
        "changedRoutes": sum(len(each.services) for each in changes.routes),
    }


def dry_run_json(found: DryRun) -> dict[str, Any]:
    """Return what would have become of real submissions: ids and counts only."""
    return {
        "since": _moment(found.since),
        "total": found.total,
        "changed": found.changed,
        "shifts": [
            {
                "submissionId": str(each.submission_id),
                "before": None if each.before is None else str(each.before),
                "after": None if each.after is None else str(each.after),
            }
            for each in found.shifts[:_MOST_LISTED]
        ],
    }


def _rule_change(change: RuleChange) -> dict[str, Any]:
    return {
        "id": change.id,
        "before": None if change.before is None else rule_json(change.before),
        "after": None if change.after is None else rule_json(change.after),
    }


def _route_change(change: RouteChange) -> dict[str, Any]:
    return {
        "area": change.area.ars,
        "services": list(change.services),
        "before": [str(each) for each in change.before],
        "after": [str(each) for each in change.after],
        "since": _moment(change.since),
    }


def _text(text: Text) -> dict[str, str]:
    return {"de": text.de, "en": text.en}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
