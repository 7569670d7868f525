"""Versions of the routing table, for administrators: the same book as the pages and the command line use.

Versions, rules, findings and comparisons of the routing table as JSON, and rules read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.routing_review import RoutingDryRun, rules_seen
from hub.administration.routing_tables import RoutingTableVersions
from hub.api import (
    FRESH,
    arrival,
    etag,
    in_thread,
    json_answer,
    known_state,
    listed,
    moment_of,
    schema_violation,
    violation,
    visit,
)
from hub.errors import Text, not_found
from hub.identity import Person, Right
from hub.routing import (
    Diff,
    Finding,
    RouteChange,
    Rule,
    RuleChange,
    from_csv,
    from_rows,
    from_yaml,
    rule_from_row,
    to_csv,
    to_yaml,
)
from hub.store import Activation, Page, TableVersion

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
    "access": "access",
    "invited": "invited",
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


def dry_run_json(found: RoutingDryRun) -> dict[str, Any]:
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


class TableAdmin:
    """Handlers of ``/hub/v1/routes/versions``, ``…/active``, ``…/history`` and ``…/rollback``."""

    def __init__(
        self, *, book: RoutingTableVersions, person: Callable[[], Person], clock: Callable[[], datetime]
    ) -> None:
        self._book = book
        self._person = person
        self._clock = clock

    async def active(self, at: str | None = None) -> ConnexionResponse:
        """Tell which version is, was or will be active at a moment."""
        moment = self._clock() if at is None else moment_of(at)
        activation = await in_thread(self._book.activation, moment)
        version = await in_thread(self._book.version, activation.number)
        return json_answer({"activation": activation_json(activation), "version": version_json(version)}, headers=FRESH)

    async def history(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List activations, latest first."""
        page = await in_thread(self._book.history, offset=offset, limit=limit)
        return json_answer(listed("activations", page, [activation_json(each) for each in page.items]), headers=FRESH)

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List versions, newest first."""
        page = await in_thread(self._book.versions, offset=offset, limit=limit)
        return json_answer(listed("versions", page, [version_json(each) for each in page.items]), headers=FRESH)

    async def show(self, number: int) -> ConnexionResponse:
        """Show a version without its rules; ``ETag`` is what a change has to repeat."""
        return _version_answer(await in_thread(self._book.version, number))

    async def create(self, body: Any = None, title: str = "") -> ConnexionResponse:
        """Make a draft from the active table, or from an uploaded file: 201."""
        kind, person = _media_type(), self._person()
        if kind == "application/json" and isinstance(body, dict):
            title = body.get("title", title)
        made = await in_thread(self._drafted, kind, body, person, title)
        return _version_answer(made, 201, {"Location": f"/hub/v1/routes/versions/{made.number}"})

    async def rules(self, number: int, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List a version's rules by id: those that the person may see."""
        visible = await in_thread(self._visible, number, self._person())
        page = Page(items=visible[offset : offset + limit], offset=offset, total=len(visible))
        return json_answer(listed("rules", page, [rule_json(each) for each in page.items]), headers=FRESH)

    async def export(self, number: int, format: str = "yaml", encoding: str = "utf-8") -> ConnexionResponse:  # noqa: A002  # the contract's name
        """Return a version's rules as a file: all of them, or those that a person with a tenant may change."""
        person = self._person()
        content = await in_thread(self._exported, number, person, format, encoding)
        kind = f"text/csv; charset={encoding}" if format == "csv" else "application/yaml"
        named = f'attachment; filename="routing-table-{number}.{format}"'
        return ConnexionResponse(
            status_code=200, body=content, content_type=kind, headers={**FRESH, "Content-Disposition": named}
        )

    async def replace_rules(self, number: int, body: Any) -> ConnexionResponse:
        """Put a file's rules in the place of a draft's."""
        kind, person, revision = _media_type(), self._person(), _revision()
        return _version_answer(await in_thread(self._replaced, number, kind, body, person, revision))

    async def put_rule(self, number: int, ruleId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Add a rule to a draft, or replace the one of this id."""
        person, revision = self._person(), _revision()
        if body.get("id", ruleId) != ruleId:
            raise schema_violation(violation("const", "/id", "json-pointer", ruleId))
        rule = rule_of({**body, "id": ruleId})
        changed = await in_thread(
            self._book.put_rule, number, rule, person, revision=revision, now=self._clock(), replaces=ruleId
        )
        return _version_answer(changed)

    async def drop_rule(self, number: int, ruleId: str) -> ConnexionResponse:  # noqa: N803
        """Remove a rule from a draft."""
        person, revision = self._person(), _revision()
        visible = await in_thread(self._visible, number, person)
        if all(rule.id != ruleId for rule in visible):
            raise not_found("rule-not-found", ruleId)
        changed = await in_thread(self._book.drop_rule, number, ruleId, person, revision=revision, now=self._clock())
        return _version_answer(changed)

    async def findings(self, number: int) -> ConnexionResponse:
        """Check a version as things are now."""
        scope = self._person().scope
        found = await in_thread(self._book.findings, number, now=self._clock(), scope=scope)
        rows = [finding_json(each) for each in found]
        errors = sum(row["severity"] == "error" for row in rows)
        answer = {"number": number, "errors": errors, "warnings": len(rows) - errors, "findings": rows}
        return json_answer(answer, headers=FRESH)

    async def diff(self, number: int, against: int | None = None, days: int = 0) -> ConnexionResponse:
        """Tell what changes to a version, and with ``days`` also for the real submissions of so many days."""
        scope, now = self._person().scope, self._clock()
        changes = await in_thread(self._book.compare, number, now=now, with_number=against, scope=scope)
        answer = diff_json(changes)
        if days:
            answer["submissions"] = dry_run_json(
                await in_thread(self._book.dry_run, number, days=days, now=now, scope=scope)
            )
        return json_answer(answer, headers=FRESH)

    async def refresh(self, number: int) -> ConnexionResponse:
        """Put a draft's changes onto the active table."""
        person, revision = self._person(), _revision()
        return _version_answer(
            await in_thread(self._book.refresh, number, person, revision=revision, now=self._clock())
        )

    async def discard(self, number: int) -> ConnexionResponse:
        """Give a draft up; it is kept for the record."""
        person, revision = self._person(), _revision()
        return _version_answer(
            await in_thread(self._book.discard, number, person, revision=revision, now=self._clock())
        )

    async def approve(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Approve a draft at exactly this revision, as the second person."""
        person, revision, text = self._person(), _revision(), (body or {}).get("text", "")
        return _version_answer(
            await in_thread(self._book.approve, number, person, revision=revision, now=self._clock(), text=text)
        )

    async def activate(self, number: int, body: dict[str, Any] | None = None) -> ConnexionResponse:
        """Activate an approved version, now or at a time."""
        said = body or {}
        at = moment_of(said["at"]) if "at" in said else None
        begun = await in_thread(
            self._book.activate, number, self._person(), now=self._clock(), at=at, text=said.get("text", "")
        )
        return json_answer(activation_json(begun), headers=FRESH)

    async def rollback(self, body: dict[str, Any]) -> ConnexionResponse:
        """Bring an earlier version back, at once."""
        begun = await in_thread(
            self._book.rollback, self._person(), now=self._clock(), text=body["text"], number=body.get("number")
        )
        return json_answer(activation_json(begun), headers=FRESH)

    async def cancel(self, seq: int) -> ConnexionResponse:
        """Cancel an activation that is still to come."""
        await in_thread(self._book.cancel, seq, self._person(), now=self._clock())
        return json_answer({"seq": seq, "cancelled": True}, headers=FRESH)

    def _drafted(self, kind: str, body: Any, person: Person, title: str) -> TableVersion:
        person.require(Right.EDIT)
        given = body.get("rules") if isinstance(body, dict) else body
        rules = None if given is None else _read(kind, given)
        return self._book.draft(person, title=title, now=self._clock(), rules=rules)

    def _replaced(self, number: int, kind: str, body: Any, person: Person, revision: int) -> TableVersion:
        person.require(Right.EDIT)
        rules = _read(kind, body["rules"] if isinstance(body, dict) else body)
        return self._book.replace_rules(number, rules, person, revision=revision, now=self._clock(), text="file")

    def _visible(self, number: int, person: Person) -> Sequence[Rule]:
        return rules_seen(person.scope, self._book.table(number))

    def _exported(self, number: int, person: Person, kind: str, encoding: str) -> bytes:
        rules = [rule for rule in self._book.table(number) if person.covers(rule.area.ars)]
        return to_csv(rules, encoding=encoding) if kind == "csv" else to_yaml(rules)


def _read(kind: str, given: Any) -> tuple[Rule, ...]:
    if kind == "text/csv":
        return from_csv(given)
    return from_yaml(given) if kind == "application/yaml" else rules_of(given)


def _version_answer(
    version: TableVersion, status: int = 200, headers: dict[str, str] | None = None
) -> ConnexionResponse:
    tag = etag(f"{version.revision}-{version.state.value}")
    return json_answer(version_json(version), status, {**FRESH, **tag, **(headers or {})})


def _revision() -> int:
    """Return the revision that the request was made on."""
    return int(known_state().partition("-")[0])


def _media_type() -> str:
    return arrival(visit().scope).media_type or "application/json"
