"""Schemas on the pages: the catalogue, and packages on their way into it.

Schemas: every version with its standing and origin, where it is used, what changed between two, and deciding on it.

Schema packages: handing one in, seeing what the checks say, and taking it into the catalogue or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby

from starlette.responses import Response

from hub.admin.request import ROWS, SentForm, Visit
from hub.administration.readiness import SINCE
from hub.administration.versions import require_another, word_needed
from hub.errors import Conflict, Forbidden, HubError, Invalid, Malformed, NotFound, Refused, Text, TooMany
from hub.identity import Right
from hub.model import Destination, is_uri
from hub.store import AuditEntry
from hub.validation.arrivals import MOST_BYTES, MOST_FILES, Arrival, Upload, Wish
from hub.validation.calendar import Phase
from hub.validation.catalog import SchemaEntry
from hub.validation.manifest import Manifest, SchemaStanding, Status
from hub.validation.standing_changes import StandingChange, waits_no_more
from hub.web.responses import status_of

_DAYS = 30
#: Changes that one page lists; the total is always told.
_MOST_CHANGES = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedEdition:
    """One version of one standard: its schemas, who offers them, and how many submissions were checked against them."""

    manifest: Manifest
    entries: list[SchemaEntry]
    offered_by: list[Destination] = field(default_factory=list)
    submissions: int = 0


def index(visit: Visit) -> Response:
    """List the standards and their versions, those that somebody offers first."""
    editions = _editions(visit, _entries(visit))
    wanted = visit.query.text("q", longest=100).casefold()
    found = [each for each in editions if wanted in _said(each)]
    found.sort(key=lambda each: (not each.offered_by, not each.submissions))
    start = visit.offset()
    return visit.page(
        "schemas.html",
        editions=found[start : start + ROWS],
        total=len(found),
        rows=ROWS,
        day=visit.now.date(),
        days=_DAYS,
        arrivals=visit.tools.arrivals.waiting() if _may_discard(visit) else [],
        standings=visit.tools.standings.waiting() if _may_discard(visit) else [],
    )


def show(visit: Visit, *, error: HubError | None = None) -> Response:
    """Show one version."""
    edition = _edition(visit)
    named = (edition.manifest.standard, edition.manifest.version)
    others = _other_versions(visit, edition)
    return visit.page(
        "schema.html",
        status=200 if error is None else 422 if isinstance(error, Malformed) else status_of(error),
        edition=edition,
        others=list(dict.fromkeys(others)),
        day=visit.now.date(),
        days=_DAYS,
        states=list(Status),
        may_decide=_whole(visit),
        may_approve=visit.person.may_everywhere(Right.APPROVE),
        waiting=visit.tools.standings.of(named) if _may_discard(visit) else None,
        earlier=visit.tools.standings.earlier(named),
        readiness=visit.hub.readiness_desk.report(*named, scope=visit.person.scope, now=visit.now),
        error=error,
    )


def _other_versions(visit: Visit, edition: ListedEdition) -> list[str]:
    return [
        each.manifest.version
        for each in _entries(visit)
        if each.manifest.standard == edition.manifest.standard and each.manifest.version != edition.manifest.version
    ]


def calendar(visit: Visit) -> Response:
    """Show what becomes binding when, and who still uses what will end."""
    desk, scope = visit.hub.readiness_desk, visit.person.scope
    entries = [each for each in desk.calendar(visit.now) if each.phase is not Phase.ENDED]
    dated = [each for each in entries if each.phase is not Phase.VALID or each.valid_from is not None]
    start = visit.offset()
    return visit.page(
        "schema_calendar.html",
        entries=dated[start : start + ROWS],
        total=len(dated),
        rows=ROWS,
        words={phase: visit.say(text) for phase, text in _PHASES.items()},
        uses=desk.uses(scope=scope, now=visit.now)[:ROWS],
        old_metadata=desk.old_metadata(scope=scope)[:ROWS],
        days=SINCE.days,
    )


def difference(visit: Visit) -> Response:
    """Show what a sender must and may change from one version to another."""
    query = visit.query
    standard, old, new = (query.text(name, longest=100) for name in ("standard", "old", "new"))
    changes = visit.hub.catalogs().diff(standard, old, new)
    must = [change for change in changes if change.must]
    shown = changes if query.text("all") == "1" else must
    return visit.page(
        "schema_diff.html",
        standard=standard,
        old=old,
        new=new,
        must=len(must),
        may=len(changes) - len(must),
        everything=query.text("all") == "1",
        changes=shown[:_MOST_CHANGES],
        left=max(0, len(shown) - _MOST_CHANGES),
    )


def propose(visit: Visit) -> Response:
    """Propose to announce, put into force or withdraw a version: it changes what citizens see, so a second person decides."""
    visit.scope.require_no_tenant()
    edition = _edition(visit)
    manifest, form = edition.manifest, visit.form
    try:
        standing = _wanted_standing(form)
        _require_certainty(visit, standing, edition)
        change = StandingChange(
            edition=(manifest.standard, manifest.version),
            standing=standing,
            before=_standing_of(manifest),
            reason=form.text("text", longest=500),
            proposed_by=visit.person.name,
            proposed_at=visit.now,
        )
        visit.tools.standings.propose(change)
    except (Refused, Conflict) as refused:
        return show(visit, error=refused)
    visit.hub.store.audit.append(_audited(visit, "schema.standing-propose", change, text=change.reason))
    return visit.to(_place(change), note="standing-proposed")


def _wanted_standing(form: SentForm) -> SchemaStanding:
    return SchemaStanding(
        status=_status(form.text("status", longest=20)),
        valid_from=day_of(form.text("valid_from", longest=10)),
        valid_until=day_of(form.text("valid_until", longest=10)),
    )


def approve(visit: Visit) -> Response:
    """Have a proposed standing count; what was accepted under the version stays accepted."""
    edition, waiting = _proposed(visit)
    named = Text(*(f"{edition.manifest.standard} {edition.manifest.version}",) * 2)
    try:
        require_another(visit.hub.store, visit.person, [waiting.proposed_by], named, now=visit.now)
        _require_certainty(visit, waiting.standing, edition)
    except (Forbidden, Refused) as refused:
        return show(visit, error=refused)
    change = visit.tools.standings.approve(waiting.edition, waiting.change_id)
    said = {"text": change.reason, "proposed_by": change.proposed_by, "remark": visit.form.text("remark", longest=500)}
    visit.hub.store.audit.append(_audited(visit, "schema.standing", change, **said))
    return visit.to(_place(change), note="standing-approved")


def refuse(visit: Visit) -> Response:
    """Drop a proposed standing: who may propose one, and who might have approved it."""
    if not _may_discard(visit):
        visit.person.require(Right.OPERATE)
    _, waiting = _proposed(visit)
    change = visit.tools.standings.drop(waiting.edition, waiting.change_id)
    visit.hub.store.audit.append(_audited(visit, "schema.standing-refuse", change, proposed_by=change.proposed_by))
    return visit.to(_place(change), note="standing-refused")


def roll_back(visit: Visit) -> Response:
    """Bring back where a version stood before the last change; one person suffices, for two had approved that once."""
    visit.scope.require_no_tenant()
    manifest = _edition(visit).manifest
    reason = visit.form.text("text", longest=500)
    try:
        if not reason:
            raise word_needed(Text("Eine Rücknahme", "A rollback"))
        standing = visit.tools.standings.roll_back((manifest.standard, manifest.version))
    except (Invalid, NotFound) as refused:
        return show(visit, error=refused)
    entry = visit.audit("schema.standing-rollback", f"schema:{manifest.standard}/{manifest.version}")
    before, after = _said_of(_standing_of(manifest)), _said_of(standing)
    visit.hub.store.audit.append(replace(entry, before=before, after={**after, "text": reason}))
    return visit.to(f"/schemas/{manifest.standard}/{manifest.version}", note="standing-back")


def _proposed(visit: Visit) -> tuple[ListedEdition, StandingChange]:
    """Return a version and the change of it that the form means; raise ``NotFound`` where another waits, or none."""
    visit.scope.require_no_tenant()
    edition = _edition(visit)
    waiting = visit.tools.standings.of((edition.manifest.standard, edition.manifest.version))
    if waiting is None or waiting.change_id != visit.form.text("change", longest=40):
        raise waits_no_more()
    return edition, waiting


def _require_certainty(visit: Visit, standing: SchemaStanding, edition: ListedEdition) -> None:
    """Whoever takes a version from destinations that offer it says that they know."""
    if standing.status is not Status.VALID and edition.offered_by and visit.form.text("sure") != "yes":
        raise _still_offered(len(edition.offered_by))


def _place(change: StandingChange) -> str:
    return "/schemas/{}/{}".format(*change.edition)


def _audited(visit: Visit, action: str, change: StandingChange, **more: str) -> AuditEntry:
    entry = visit.audit(action, "schema:{}/{}".format(*change.edition))
    return replace(entry, before=_said_of(change.before), after={**_said_of(change.standing), **more})


def _standing_of(manifest: Manifest) -> SchemaStanding:
    return SchemaStanding(status=manifest.status, valid_from=manifest.valid_from, valid_until=manifest.valid_until)


def _said_of(standing: SchemaStanding) -> dict[str, str | None]:
    days = {"valid_from": standing.valid_from, "valid_until": standing.valid_until}
    return {
        "status": standing.status.value,
        **{name: None if day is None else str(day) for name, day in days.items()},
    }


def _entries(visit: Visit) -> tuple[SchemaEntry, ...]:
    """Return the catalogue's entries; to whoever comes from a change, with that change, whichever process made it."""
    book = visit.hub.catalogs
    return (book.now() if visit.query.text("note", longest=20) else book()).entries()


def day_of(text: str, name: str = "valid_from") -> date | None:
    """Read the day of a field; raise ``Malformed``."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as exc:
        raise Malformed(Text("Ein Tag hat die Form 2026-12-31.", "A day has the form 2026-12-31."), field=name) from exc


def _status(text: str) -> Status:
    if text not in set(Status):
        raise Malformed(Text("Diesen Status gibt es nicht.", "There is no such status."))
    return Status(text)


def _editions(visit: Visit, entries: Iterable[SchemaEntry]) -> list[ListedEdition]:
    offered: dict[str, list[Destination]] = {}
    for each in visit.scope.destinations():
        for uri in {uri for service in each.services for uri, _ in service.schemas}:
            offered.setdefault(uri, []).append(each)
    used = visit.scope.schema_use(since=visit.now - timedelta(days=_DAYS))

    def edition(group: list[SchemaEntry]) -> ListedEdition:
        by = {each.destination_id: each for one in group for uri in one.uris for each in offered.get(uri, [])}
        return ListedEdition(
            manifest=group[0].manifest,
            entries=group,
            offered_by=sorted(by.values(), key=lambda each: each.name),
            submissions=sum(used.get(one.uri, 0) for one in group),
        )

    ordered = sorted(entries, key=_name)
    return [edition(list(group)) for _, group in groupby(ordered, key=_name)]


def _edition(visit: Visit) -> ListedEdition:
    wanted = (visit.parts["standard"], visit.parts["version"])
    mine = [each for each in _entries(visit) if _name(each) == wanted]
    if not mine:
        raise NotFound(Text("Diese Version steht nicht im Katalog.", "This version is not in the catalogue."))
    return _editions(visit, mine)[0]


def _name(entry: SchemaEntry) -> tuple[str, str]:
    return entry.manifest.standard, entry.manifest.version


def _said(edition: ListedEdition) -> str:
    manifest = edition.manifest
    titles = " ".join(f"{each.item.title} {each.uri}" for each in edition.entries)
    return f"{manifest.standard} {manifest.version} {titles}".casefold()


_PHASES = {
    Phase.ANNOUNCED: Text("angekündigt", "announced"),
    Phase.VALID: Text("verbindlich", "binding"),
    Phase.ENDING: Text("läuft aus", "ending"),
    Phase.ENDED: Text("beendet", "ended"),
}


def _whole(visit: Visit) -> bool:
    """Tell whether the person may decide for all tenants: the catalogue is everybody's."""
    return visit.person.may_everywhere(Right.OPERATE)


def _may_discard(visit: Visit) -> bool:
    return _whole(visit) or visit.person.may_everywhere(Right.APPROVE)


def _still_offered(number: int) -> Invalid:
    return Invalid(
        Text(
            f"{number} Zustellpunkte bieten diese Version an; ihre Anträge würden abgewiesen. Bestätigen Sie das mit dem "
            "Häkchen.",
            f"{number} destinations offer this version; their applications would be refused. Confirm it with the check "
            "mark.",
        )
    )


#: Bytes of the whole form: the files, and what stands between them.
LARGEST = MOST_BYTES + 2 * 1024 * 1024
_FIELDS = ("standard", "version", "status", "valid_from", "valid_until", "provenance", "licence", "messages")
#: Fields of several lines.
_LISTS = ("open_lists", "services")
_LONGEST_LIST = 4_000
#: Files beside those of the package; the first may be several.
_BESIDE = ("rules", "catalog", "attachments")


def form(visit: Visit, *, error: HubError | None = None, at_field: str = "") -> Response:
    """Show the form; the catalogue is everybody's, so people of one tenant do not change it."""
    visit.scope.require_no_tenant()
    return visit.page(
        "schema_import.html",
        status=200 if error is None else 422,
        entered={name: visit.form.fields.get(name, "")[:_LONGEST_LIST].strip() for name in (*_FIELDS, *_LISTS)},
        states=list(Status),
        largest=MOST_BYTES,
        most=MOST_FILES,
        error=error,
        at_field=at_field,
    )


def receive(visit: Visit) -> Response:
    """Check a package; what does not pass leaves nothing behind but its reason."""
    visit.scope.require_no_tenant()
    sent = {name: _uploads(visit, name) for name in ("archive", "folder", *_BESIDE)}
    package = [*sent["archive"], *sent["folder"]]
    try:
        arrival = visit.tools.arrivals.receive(package, _wish(visit, sent), by=visit.person.name, now=visit.now)
    except (Refused, TooMany) as error:
        files = sum(map(len, sent.values()))
        visit.hub.store.audit.append(
            visit.audit("schema.refuse", f"schema:{_package_name(visit)}", slug=error.slug, files=files)
        )
        return form(visit, error=error, at_field=_field_of(error, sent))
    visit.hub.store.audit.append(visit.audit("schema.receive", _target(arrival), **_facts(arrival)))
    return visit.to(f"/schemas/import/{arrival.arrival_id}")


def _uploads(visit: Visit, name: str) -> list[Upload]:
    return [Upload(name=called, content=content) for called, content in visit.form.uploads.get(name, ()) if content]


def _field_of(error: HubError, sent: Mapping[str, list[Upload]]) -> str:
    """Return the field that a refusal is about: what it names itself, or whose file it names; else the package's."""
    if "field" in error.members:
        return str(error.members["field"])
    named = str(error.members.get("file", "")).rpartition("/")[2]
    return next((each for each in _BESIDE if any(named == _own_name(one) for one in sent[each])), "archive")


def _own_name(upload: Upload) -> str:
    return upload.name.replace("\\", "/").rpartition("/")[2]


def show_arrival(visit: Visit, *, error: HubError | None = None) -> Response:
    """Show what the checks say of a package that waits, and to whom what can be done with it."""
    visit.scope.require_no_tenant()
    arrival = visit.tools.arrivals.arrival(visit.parts["id"])
    return visit.page(
        "schema_arrival.html",
        status=200 if error is None else status_of(error),
        arrival=arrival,
        is_own=arrival.brought_by == visit.person.name,
        may_admit=visit.person.may_everywhere(Right.APPROVE) and arrival.brought_by != visit.person.name,
        may_discard=_may_discard(visit),
        error=error,
    )


def admit(visit: Visit) -> Response:
    """Take a package into the catalogue, where citizens and senders see it: a second person does, as with services."""
    visit.scope.require_no_tenant()
    waiting = visit.tools.arrivals.arrival(visit.parts["id"])
    named = f"{waiting.manifest.standard} {waiting.manifest.version}"
    try:
        require_another(visit.hub.store, visit.person, [waiting.brought_by], Text(named, named), now=visit.now)
    except Forbidden as refused:
        return show_arrival(visit, error=refused)
    arrival = visit.tools.arrivals.admit(visit.parts["id"])
    facts = {**_facts(arrival), "brought_by": arrival.brought_by}
    visit.hub.store.audit.append(visit.audit("schema.admit", _target(arrival), **facts))
    return visit.to("/schemas", note="admitted", q=arrival.manifest.standard)


def discard(visit: Visit) -> Response:
    """Drop a package: who may bring one in, and who might have approved it."""
    visit.scope.require_no_tenant()
    if not _may_discard(visit):
        visit.person.require(Right.OPERATE)
    arrival = visit.tools.arrivals.discard(visit.parts["id"])
    visit.hub.store.audit.append(visit.audit("schema.discard", _target(arrival)))
    return visit.to("/schemas", note="discarded")


def _wish(visit: Visit, sent: Mapping[str, list[Upload]]) -> Wish:
    entered = {name: visit.form.text(name, longest=300) for name in _FIELDS}
    if entered["status"] not in set(Status):
        raise Malformed(Text("Diesen Status gibt es nicht.", "There is no such status."))
    open_lists, services = (_lines(visit, name) for name in _LISTS)
    _require_uris(services)
    return Wish(
        standard=entered["standard"],
        version=entered["version"],
        valid_from=day_of(entered["valid_from"], "valid_from"),
        valid_until=day_of(entered["valid_until"], "valid_until"),
        status=Status(entered["status"]),
        provenance=entered["provenance"],
        licence=entered["licence"],
        messages=entered["messages"],
        open_lists=open_lists,
        services=services or None,
        rules=tuple(sent["rules"]),
        catalog=next(iter(sent["catalog"]), None),
        attachments=next(iter(sent["attachments"]), None),
    )


def _require_uris(services: Sequence[str]) -> None:
    if unknown := [each for each in services if not is_uri(each)]:
        raise Invalid(
            Text(
                f"„{unknown[0][:100]}“ ist keine URN einer Leistung. Schreiben Sie eine je Zeile, wie {_A_SERVICE}.",
                f"'{unknown[0][:100]}' is no URN of a service. Write one a line, such as {_A_SERVICE}.",
            ),
            field="services",
        )


_A_SERVICE = "urn:de:fim:leika:leistung:99012008001000"


def _lines(visit: Visit, name: str) -> tuple[str, ...]:
    lines = visit.form.text(name, longest=_LONGEST_LIST).splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _package_name(visit: Visit) -> str:
    return f"{visit.form.text('standard', longest=300)}/{visit.form.text('version', longest=300)}"


def _target(arrival: Arrival) -> str:
    return f"schema:{arrival.manifest.standard}/{arrival.manifest.version}"


def _facts(arrival: Arrival) -> dict[str, int | str]:
    manifest = arrival.manifest
    return {"schemas": len(manifest.schemas), "files": len(manifest.files), "status": manifest.status.value}


__all__ = ["LARGEST", "MOST_FILES", "admit", "discard", "form", "receive", "show"]
