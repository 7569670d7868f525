"""Routing on the pages: tables from draft to active, areas, and where nobody is responsible.

Routing: the active table, areas, explanations, and the way of a version from draft to active.

Areas: looking one up, and the map and tree that show where nobody is responsible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from string import ascii_uppercase
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.responses import Response

from hub.admin.charts import TILE_HEIGHT, TILE_WIDTH, tile_map
from hub.admin.request import ROWS, Visit
from hub.admin.versions import VersionPages, download
from hub.admin.versions import number as number_of
from hub.administration.routing_review import findings_seen, rules_seen, sees
from hub.areas import Area, Found, Place, look_up
from hub.errors import HubError, Malformed, NotFound, Refused, Text
from hub.model import EVERYTHING
from hub.routing import (
    CoverState,
    DistrictCover,
    Finding,
    RoutingTable,
    Rule,
    Severity,
    Survey,
    from_file,
    rule_from_row,
    service_urn,
    survey,
    to_csv,
    to_yaml,
)
from hub.store import TableVersion, VersionState

_FIELDS = (
    "id",
    "area",
    "services",
    "destination",
    "valid_from",
    "valid_until",
    "note",
    "on_invalid",
    "access",
    "invited",
)
_LONGEST_SERVICES = 400_000
_MOST_ON_PAGE = 200
_DRY_DAYS = 30
_GERMAN_TIME = "Europe/Berlin"


def active(visit: Visit) -> Response:
    """Show the active table."""
    found = visit.hub.book.in_force(visit.now)
    if found is None:
        return visit.page("routing.html", table=None)
    activation, table = found
    rules, total = _found(visit, table)
    return visit.page(
        "routing.html",
        activation=activation,
        table=table,
        rules=rules,
        total=total,
        names=_names(visit),
        caught=visit.hub.book.caught(now=visit.now, scope=visit.person.scope),
        rows=ROWS,
    )


def explain(visit: Visit) -> Response:
    """Tell why an authority is responsible."""
    query, book = visit.query, visit.hub.book
    area, service, at = (query.text(name, longest=200) for name in ("ars", "service", "at"))
    explanation, error = None, None
    if area and service:
        try:
            on = _moment(at) or visit.now
            explanation = book.at(on).explain(Area.from_ars(area), service_urn(service), on)
        except Refused as refused:
            error = refused
    return visit.page(
        "explain.html",
        area=area,
        service=service,
        at=at,
        explanation=explanation,
        error=error,
        names=_names(visit),
        register=book.services,
    )


def draft(visit: Visit) -> Response:
    """Make a draft from the active table, or from an uploaded file."""
    name, content = visit.form.files.get("file", ("", b""))
    rules: Iterable[Rule] | None = None
    if content:
        uploaded = from_file(content, name)
        rules = uploaded
    title = visit.form.text("title", longest=200) or name
    made = visit.hub.book.draft(visit.person, title=title, now=visit.now, rules=rules)
    return visit.to(f"/routing/versions/{made.number}", note="drafted")


def version(visit: Visit) -> Response:
    """Show a version: what the check finds, what changes, and what may be done next."""
    book, number = visit.hub.book, number_of(visit)
    shown, table = book.version(number), book.table(number)
    findings = book.findings(number, now=visit.now, scope=EVERYTHING)
    # What it is compared with may not be readable: the version is shown all the same, and who is to roll back sees it.
    active = None if book.in_force(visit.now) is None else book.base(visit.now)
    standing = () if active is None else book.findings(active, now=visit.now, scope=EVERYTHING)
    seen = findings_seen(visit.person.scope, table, findings)
    fresh, known = _parted(seen, standing)
    rules, total = _found(visit, table)
    scope = visit.person.scope
    changes = None if active is None else book.compare(number, now=visit.now, scope=scope)
    return visit.page(
        "version.html",
        version=shown,
        is_draft=shown.state is VersionState.DRAFT,
        is_approved=shown.state is VersionState.APPROVED,
        active=active,
        fresh=fresh[:_MOST_ON_PAGE],
        known=known[:_MOST_ON_PAGE],
        unseen=len(findings) - len(seen),
        errors=sum(finding.severity is Severity.ERROR for finding in findings),
        warnings=sum(finding.severity is Severity.WARNING for finding in findings),
        flagged={row: finding.severity.value for finding in reversed(findings) for row in finding.rows},
        lines=() if changes is None else changes.lines(visit.language, _names(visit))[:_MOST_ON_PAGE],
        dry_run=None if active is None else book.dry_run(number, days=_DRY_DAYS, now=visit.now, scope=scope),
        days=_DRY_DAYS,
        table=table,
        rules=rules,
        total=total,
        names=_names(visit),
        rows=ROWS,
    )


def export(visit: Visit) -> Response:
    """Download a version as CSV or YAML: for a tenant's people, the rules of their area."""
    number = number_of(visit)
    whole = visit.hub.book.table(number)
    table = RoutingTable(rules_seen(visit.person.scope, whole), gazetteer=whole.gazetteer, services=whole.services)
    is_csv = visit.query.text("format") == "csv"
    content = to_csv(table) if is_csv else to_yaml(table)
    kind, ending = ("text/csv; charset=utf-8", "csv") if is_csv else ("application/yaml", "yaml")
    return download(content, f"routing-table-{number}.{ending}", kind)


def edit_rule(visit: Visit) -> Response:
    """Show the form for one rule of a draft, or for a new one."""
    wanted = visit.query.text("id", longest=100)
    rule = _rule(visit, wanted) if wanted else None
    row = rule.as_row() if rule is not None else dict.fromkeys(_FIELDS, "")
    return _rule_form(visit, row, replaces=wanted, revision=visit.hub.book.version(number_of(visit)).revision)


def put_rule(visit: Visit) -> Response:
    """Store one rule of a draft; what cannot be stored comes back with what was entered."""
    form, number = visit.form, number_of(visit)
    row = {name: form.text(name, longest=_LONGEST_SERVICES if name == "services" else 600) for name in _FIELDS}
    replaces, revision = form.text("replaces", longest=100), form.number("revision")
    try:
        rule = rule_from_row(row)
        visit.hub.book.put_rule(number, rule, visit.person, revision=revision, now=visit.now, replaces=replaces or None)
    except Refused as error:
        return _rule_form(visit, row, replaces=replaces, revision=revision, error=error)
    return pages.to_version(visit, "saved")


def drop_rule(visit: Visit) -> Response:
    """Remove one rule from a draft."""
    number, form = number_of(visit), visit.form
    rule = _rule(visit, form.text("id", longest=100))
    visit.hub.book.drop_rule(number, rule.id, visit.person, revision=form.number("revision"), now=visit.now)
    return pages.to_version(visit, "saved")


def activate(visit: Visit) -> Response:
    """Activate an approved version, now or at a time."""
    number, form = number_of(visit), visit.form
    at = _moment(form.text("at", longest=40))
    visit.hub.book.activate(number, visit.person, now=visit.now, at=at, text=form.text("text", longest=500))
    return visit.to(f"/routing/versions/{number}", note="activated")


def cancel(visit: Visit) -> Response:
    """Cancel an activation that is still to come."""
    visit.hub.book.cancel(visit.form.number("seq"), visit.person, now=visit.now)
    return visit.to("/routing/versions", note="cancelled")


pages = VersionPages(at="/routing", book=lambda visit: visit.hub.book, listing="routing_versions.html")


def _parted(findings: list[Finding], active: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Return what is new or wrong, and the warnings that the active table has as well."""
    standing = {(each.code, each.text) for each in active if each.severity is Severity.WARNING}
    known = [each for each in findings if (each.code, each.text) in standing]
    return [each for each in findings if (each.code, each.text) not in standing], known


def _rule(visit: Visit, rule_id: str) -> Rule:
    table = visit.hub.book.table(number_of(visit))
    found = next((rule for rule in table if rule.id == rule_id), None)
    if found is None or not sees(visit.person.scope, found):
        raise NotFound(Text("Diese Regel gibt es nicht.", "There is no such rule."))
    return found


def _rule_form(
    visit: Visit, row: dict[str, str], *, replaces: str, revision: int, error: HubError | None = None
) -> Response:
    shown: TableVersion = visit.hub.book.version(number_of(visit))
    return visit.page(
        "rule.html",
        status=200 if error is None else 422,
        version=shown,
        row=row,
        replaces=replaces,
        revision=revision,
        error=error,
        destinations=visit.scope.destinations(),
    )


def _found(visit: Visit, table: Iterable[Rule]) -> tuple[Sequence[Rule], int]:
    """Return one page of the rules that the person's search leaves: by id, area, place, service or destination."""
    words = visit.query.text("q", longest=200).casefold().split()
    gazetteer, names, services = visit.hub.gazetteers(), _names(visit), visit.hub.book.services

    def fits(rule: Rule) -> bool:
        place = (rule.area.ars, gazetteer.name(rule.area), names.get(rule.destination, ""))
        what = (f"{service} {services.name(service)}" for service in rule.services)
        said = " ".join((rule.id, *place, rule.note, *what)).casefold()
        return all(word in said for word in words)

    found = [rule for rule in rules_seen(visit.person.scope, table) if not words or fits(rule)]
    start = visit.offset()
    return found[start : start + ROWS], len(found)


def _names(visit: Visit) -> dict[UUID, str]:
    return {each.destination_id: each.name for each in visit.scope.destinations()}


def _moment(text: str) -> datetime | None:
    """Read what a browser's field for time and day sends: German legal time, unless an offset is given."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(_GERMAN_TIME))
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Malformed(
            Text("Ein Zeitpunkt hat die Form 2026-12-01T00:00.", "A moment has the form 2026-12-01T00:00.")
        ) from exc


_MOST_FOUND = 100
_REGION_DIGITS = 3
_LONGEST_ARS = 12


def index(visit: Visit) -> Response:
    """Look areas up, and show who is responsible where; a partial answer for the search field."""
    wanted = visit.query.text("q", longest=200)
    found, error = _found_areas(visit, wanted)
    common: dict[str, Any] = {"found": found, "wanted": wanted, "most": _MOST_FOUND, "error": error}
    if visit.partial:
        return visit.page("areas_list.html", **common)
    below = visit.query.text("below", longest=_LONGEST_ARS)
    in_force = visit.hub.book.in_force(visit.now)
    if in_force is None:
        return visit.page("areas.html", **common, service=None, below=below, place=_place(visit, below), looked=None)
    _, table = in_force
    service = _service(visit, table)
    looked = survey(table, visit.now, service=service, prefixes=visit.person.scope.prefixes())
    return visit.page(
        "areas.html",
        **common,
        service=service,
        register=table.services,
        routed=table.routed_services,
        unruled=[each for each in table.services if each not in set(table.routed_services)],
        looked=looked,
        open=sum(district.open for district in looked.districts),
        map=tile_map(looked.districts),
        tile_width=TILE_WIDTH,
        tile_height=TILE_HEIGHT,
        regions=_by_region(looked),
        most_in_tree=visit.tools.most_in_tree,
        labels=_labels(looked) if service is not None else {},
        names={each.destination_id: each.name for each in visit.scope.destinations()},
        below=below,
        place=_place(visit, below),
        missing=sorted(looked.missing.items(), key=lambda each: (-each[1], table.services.name(each[0]))),
        CoverState=CoverState,
    )


def _found_areas(visit: Visit, wanted: str) -> tuple[Found, HubError | None]:
    try:
        return look_up(visit.hub.gazetteers(), wanted), None
    except Refused as error:
        return Found(places=()), error


def _service(visit: Visit, table: RoutingTable) -> str | None:
    """Return the service that is asked for; None for all, also where nobody knows the one that was named."""
    wanted = visit.query.text("service", longest=200)
    urn = service_urn(wanted) if wanted else ""
    return urn if urn in table.services or urn in table.routed_services else None


def _place(visit: Visit, below: str) -> Place | None:
    return visit.hub.gazetteers().find(below) if below else None


def _by_region(looked: Survey) -> list[tuple[str, Sequence[DistrictCover]]]:
    return [
        (ars, tuple(inside)) for ars, inside in groupby(looked.districts, key=lambda each: each.ars[:_REGION_DIGITS])
    ]


def _labels(looked: Survey) -> Mapping[UUID, str]:
    """Give each authority a letter, the one with the most municipalities first: the map has no room for names."""
    towns: dict[UUID, int] = {}
    for cover in looked.covers:
        for destination in cover.destinations:
            towns[destination] = towns.get(destination, 0) + 1
    ordered = sorted(towns, key=lambda each: (-towns[each], str(each)))
    size = len(ascii_uppercase)
    return {
        each: (ascii_uppercase[at // size - 1] if at >= size else "") + ascii_uppercase[at % size]
        for at, each in enumerate(ordered[: size * size])
    }
