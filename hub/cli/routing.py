"""``hub route``, ``hub routes``, ``hub areas``: responsibilities, tables and areas.

``hub route``: why an authority is responsible; ``hub routes``: versions of the table and their way into force.

``hub areas``: the gazetteer, and the postal codes that an operator brings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.areas import Area, Found, Gazetteer, Place, import_parts, import_postal_codes, look_up
from hub.cli.options import Login, data_option, logged_in, opened, person_options, settings_for, unreadable_said
from hub.cli.versions import approve as approve_version
from hub.cli.versions import list_versions, output_option, version_option, write
from hub.cli.versions import rollback as rollback_version
from hub.config import Settings
from hub.errors import Malformed, NotFound, Text, not_found
from hub.files import vault
from hub.model import EVERYTHING, utc_now
from hub.routing import Finding, RoutingTable, Rule, ServiceRegister, Severity, from_file, service_urn, to_csv, to_yaml
from hub.routing.formats import read_folder

if TYPE_CHECKING:
    from hub.administration.routing_tables import RoutingTableVersions, Sources, TableCache
    from hub.app import Context

_SOURCE = click.Path(exists=True, path_type=Path)


@click.group()
def route() -> None:
    """Zuständigkeiten / responsibilities."""


@route.command()
@click.option("--service", required=True, help="Service identifier (LeiKa URN, or its key alone).")
@click.option("--ars", required=True, help="Area: ARS with 2, 3, 5, 9 or 12 digits.")
@click.option("--at", default=None, help="As of this moment (ISO 8601 with offset).  [default: now]")
@data_option
def explain(service: str, ars: str, at: str | None, data: Path) -> None:
    """Print which rules were considered, prefix by prefix, who is responsible and who may apply there.

    Exit 1 if nobody is responsible.
    """
    on = _moment(at) or utc_now()
    with _tables(settings_for(data)) as tables:
        table, area = tables.at(on), Area.from_ars(ars)
        service = service_urn(service) if service.isdigit() else service
        for line in table.explain(area, service, on).lines():
            click.echo(line)
        table.responsible(area, service, on)


@contextmanager
def _tables(settings: Settings) -> Iterator[TableCache]:
    """Open the tables to be read, and nothing else of the hub; where nobody has begun with one yet, the hub begins."""
    from hub.administration.routing_tables import TableCache
    from hub.store import Store

    vault.make_folder(settings.data)
    with closing(Store(settings.database)) as store, unreadable_said():
        if store.schema_revision() is not None:
            store.require_tables()
            rules = settings.rules
            sources = _sources(rules)
            cache = TableCache(store=store, sources=sources)
            if cache.versions(limit=1).total:
                yield cache
                return
    with opened(settings.data) as hub:
        yield book_of(hub)


def _sources(rules: Path) -> Sources:
    """Return what tables are read by; nothing is judged, so nobody asks for destinations and schemas."""
    from hub.administration.routing_tables import Sources

    return Sources(
        gazetteer=Gazetteer.load(rules / "areas"),
        services=ServiceRegister.load(rules),
        facts=lambda _: {},
        schemas=tuple,
    )


@click.group()
def routes() -> None:
    """Zuständigkeitstabellen: Entwurf, Prüfung, Freigabe, Aktivierung / routing tables and versions."""


@routes.command("list")
@data_option
def list_(data: Path) -> None:
    """List all versions, newest first."""
    list_versions(data, book_of)


@routes.command()
@click.option("--format", "kind", type=click.Choice(["csv", "yaml"]), default="yaml", show_default=True)
@version_option("the active one")
@click.option(
    "--at", default=None, help="The version that was or will be active at this moment (ISO 8601 with offset)."
)
@click.option(
    "--encoding", type=click.Choice(["utf-8", "windows-1252"]), default="utf-8", show_default=True, help="Of CSV."
)
@output_option
@data_option
def export(kind: str, number: int | None, at: str | None, encoding: str, output: Path | None, data: Path) -> None:
    """Write a version's rules as CSV or YAML."""
    with opened(data) as hub:
        table = _table(book_of(hub), number, _moment(at) or hub.clock())
    content = to_csv(table, encoding=encoding) if kind == "csv" else to_yaml(table)
    write(content, output)


@routes.command("import")
@click.argument("source", type=_SOURCE)
@click.option("--title", default="", help="What the draft is for.")
@person_options
@data_option
def import_(source: Path, title: str, login: Login, data: Path) -> None:
    """Make a draft from a CSV or YAML file, or from a folder of rules*.yaml."""
    rules = _read(source)
    with opened(data) as hub:
        person, now, book = logged_in(hub, login), hub.clock(), book_of(hub)
        draft = book.draft(person, title=title or source.name, now=now, rules=rules)
        click.echo(f"Entwurf / draft {draft.number}")
        _show_findings(book.findings(draft.number, now=now, scope=EVERYTHING))


@routes.command()
@click.argument("source", type=_SOURCE)
@click.option("--title", default="", help="What the draft is for.")
@person_options
@data_option
def apply(source: Path, title: str, login: Login, data: Path) -> None:
    """Bring the table to what a file or folder says: nothing where it says the same, else a draft to be approved.

    Exit 1 if the check finds errors.
    """
    rules = _read(source)
    with opened(data) as hub:
        person, now, book = logged_in(hub, login), hub.clock(), book_of(hub)
        active = book.at(now)
        if RoutingTable(rules, gazetteer=active.gazetteer, services=active.services) == active:
            click.echo("0 Änderungen (0 changes)")
            return
        draft = book.draft(person, title=title or source.name, now=now, rules=rules)
        click.echo(f"Entwurf / draft {draft.number}")
        _show_diff(hub, book, draft.number, None)
        if _show_findings(book.findings(draft.number, now=now, scope=EVERYTHING)):
            sys.exit(1)


@routes.command()
@click.argument("number", type=int, required=False)
@data_option
def check(number: int | None, data: Path) -> None:
    """Check a version (without NUMBER the active one) as things are now. Exit 1 if there are errors."""
    with opened(data) as hub:
        book, now = book_of(hub), hub.clock()
        if _show_findings(book.findings(number or book.base(now), now=now, scope=EVERYTHING)):
            sys.exit(1)


@routes.command()
@click.argument("number", type=int, required=False)
@click.option("--with", "other", type=int, default=None, help="Version to compare with.  [default: the active one]")
@click.option("--days", type=click.IntRange(0, 365), default=0, help="Also route real submissions of so many days.")
@data_option
def diff(number: int | None, other: int | None, days: int, data: Path) -> None:
    """Print what changes to a version (without NUMBER the newest one): rules, municipalities x services, submissions."""
    with opened(data) as hub:
        book, now = book_of(hub), hub.clock()
        chosen = number or _newest(book)
        _show_diff(hub, book, chosen, other)
        if days:
            found = book.dry_run(chosen, days=days, now=now, scope=EVERYTHING)
            click.echo(f"{found.changed} von/of {found.total} Einreichungen/submissions ({days} Tage/days)")
            for shift in found.shifts:
                click.echo(f"  {shift.submission_id}  {shift.before or '-'} -> {shift.after or '-'}")


@routes.command()
@click.argument("number", type=int)
@click.option("--text", default="", help="Why it is all right; needed where the check warns.")
@person_options
@data_option
def approve(number: int, text: str, login: Login, data: Path) -> None:
    """Approve a draft as the second person."""
    approve_version(data, login, book_of, number, text)


@routes.command()
@click.argument("number", type=int)
@click.option("--at", default=None, help="Moment (ISO 8601 with offset).  [default: now]")
@click.option("--text", default="", help="Why.")
@person_options
@data_option
def activate(number: int, at: str | None, text: str, login: Login, data: Path) -> None:
    """Activate an approved version, now or at a time; running hubs follow within a second."""
    with opened(data) as hub:
        person = logged_in(hub, login)
        begun = book_of(hub).activate(number, person, now=hub.clock(), at=_moment(at), text=text)
    click.echo(f"Aktiv / active: {number} ab / from {begun.since.isoformat()}")


@routes.command()
@click.option("--to", "number", type=int, default=None, help="Version.  [default: the one that was active before]")
@click.option("--text", required=True, help="Why.")
@person_options
@data_option
def rollback(number: int | None, text: str, login: Login, data: Path) -> None:
    """Bring back the version that was active before."""
    click.echo(f"Aktiv / active: {rollback_version(data, login, book_of, number, text)}")


@routes.command()
@data_option
def history(data: Path) -> None:
    """Print which version was active since when, latest first."""
    with opened(data) as hub:
        for each in book_of(hub).history(limit=500).items:
            note = " (abgesagt / cancelled)" if each.cancelled_at else ""
            click.echo(f"{each.since.isoformat()}  {each.number:>4}  {each.made_by:<20}  {each.reason}{note}")


def book_of(hub: Context) -> RoutingTableVersions:
    """Return the hub's book of tables."""
    return hub.book


def _table(book: RoutingTableVersions, number: int | None, now: datetime) -> RoutingTable:
    return book.at(now) if number is None else book.table(number)


def _newest(book: RoutingTableVersions) -> int:
    """Return the number of the newest version; raise ``UnreadableRow`` for one that cannot be read, and ``NotFound``."""
    page = book.versions(limit=1)
    if page.unreadable:
        raise page.unreadable[0]
    if not page.items:
        raise not_found("table-not-found")
    return page.items[0].number


def _read(source: Path) -> tuple[Rule, ...]:
    if source.is_dir():
        return read_folder(source)
    content = source.read_bytes()
    return from_file(content, source.name)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise Malformed(
            Text(
                "Ein Zeitpunkt hat die Form 2026-12-01T00:00:00+01:00.",
                "A moment has the form 2026-12-01T00:00:00+01:00.",
            )
        )
    return moment


def _show_findings(findings: list[Finding]) -> bool:
    """Print the findings; return whether there are errors."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    for each in findings:
        rows = f" [{', '.join(each.rows[:5])}]" if each.rows else ""
        click.echo(f"{each.severity:<8}{each.code}{rows}: {each.text.de} {each.remedy.de}")
    click.echo(f"{len(errors)} Fehler / errors, {len(findings) - len(errors)} Warnungen / warnings")
    return bool(errors)


def _show_diff(hub: Context, book: RoutingTableVersions, number: int, other: int | None) -> None:
    names = {
        each.destination_id: each.name for each in hub.store.parties.destinations(scope=EVERYTHING, limit=500).items
    }
    for line in book.compare(number, now=hub.clock(), scope=EVERYTHING, with_number=other).lines("de", names):
        click.echo(line)


_MOST = 50


@click.group()
def areas() -> None:
    """Gebiete und Postleitzahlen / areas and postal codes."""


@areas.command()
@click.argument("words", nargs=-1, required=True)
@data_option
def search(words: tuple[str, ...], data: Path) -> None:
    """Find areas by name or part of it, ARS, AGS, the beginning of either, or postal code. Exit 1 if there is none."""
    with opened(data) as hub:
        gazetteer = hub.gazetteers()
    found = look_up(gazetteer, " ".join(words))
    if not found.places:
        raise _nothing(" ".join(words), found.note)
    if found.note is not None:
        click.echo(f"{found.note.de} / {found.note.en}")
    if found.choice:
        click.echo("Diese Postleitzahl haben mehrere Gemeinden / several municipalities have this postal code:")
    for place in found.places[:_MOST]:
        where = ", ".join(each.name for each in gazetteer.above(place.area)[:1])
        click.echo(
            f"{place.area.ars:<12}  {place.name:<36}  {place.kind.label.de:<24}  {where}{_parts(found, place)}"
            f"{_ended(gazetteer, place)}"
        )
    if len(found.places) > _MOST:
        click.echo(f"… {len(found.places) - _MOST} weitere / more")


@areas.command()
@click.argument("key")
@data_option
def show(key: str, data: Path) -> None:
    """Show one area by ARS or AGS: what it lies in, since when it exists, what it was and became."""
    with opened(data) as hub:
        gazetteer = hub.gazetteers()
    place = gazetteer.by_ags(key) if len(key) == len("06414000") else gazetteer.find(key)
    if place is None:
        raise _nothing(key, gazetteer.meant(key))
    for name, value in _facts(gazetteer, place):
        click.echo(f"{name:<32}  {value}")


@areas.command("import-postal-codes")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def import_postal_codes_(source: Path, data: Path) -> None:
    """Take over a list of postal codes (CSV with the columns plz and ars, or ags); it replaces the one before."""
    from hub.app import postal_codes_of

    with opened(data) as hub:
        made = import_postal_codes(hub.gazetteer, source, postal_codes_of(hub.settings))
    click.echo(
        f"{made.codes} Postleitzahlen in {made.municipalities} Gemeinden, {made.shared} davon in mehreren / postal codes in "
        f"municipalities, of which in several"
    )
    _say_taken_over(made.foreign)


@areas.command("import-parts")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def import_parts_(source: Path, data: Path) -> None:
    """Take over a list of parts and other names of municipalities (CSV with the columns name and ars, or ags)."""
    from hub.app import parts_of

    with opened(data) as hub:
        made = import_parts(hub.gazetteer, source, parts_of(hub.settings))
    click.echo(
        f"{made.parts} Ortsteile in {made.municipalities} Gemeinden, {made.shared} Namen davon in mehreren / parts in "
        f"municipalities, of which names in several"
    )
    _say_taken_over(made.foreign)


def _say_taken_over(foreign: int) -> None:
    if foreign:
        click.echo(f"{foreign} Zeilen anderer Länder ausgelassen / rows of other lands left out")
    click.echo("Laufende Dienste nehmen sie innerhalb von Sekunden auf / running services take it up within seconds.")


def _facts(gazetteer: Gazetteer, place: Place) -> list[tuple[str, str]]:
    area = place.area
    facts = [
        ("Name / name", place.name),
        ("Art / kind", f"{place.kind.label.de} / {place.kind.label.en}"),
        ("ARS", area.ars),
        ("AGS", area.ags),
        *((each.kind.label.de, f"{each.name} ({each.area})") for each in gazetteer.above(area)),
    ]
    if place.inhabitants is not None:
        facts.append(("Einwohner / inhabitants", str(place.inhabitants)))
    members = gazetteer.municipalities(area)
    if len(members) > 1:
        facts.append(("Gemeinden / municipalities", str(len(members))))
    if place.postal_codes:
        facts.append(("Postleitzahlen / postal codes", " ".join(place.postal_codes)))
    if place.parts:
        facts.append(("Ortsteile / parts", ", ".join(place.parts)))
    return [*facts, *_past(gazetteer, place)]


def _past(gazetteer: Gazetteer, place: Place) -> list[tuple[str, str]]:
    """Return since when and until when there is an area, what it came from, and what it became."""
    area, facts = place.area, []
    if place.valid_from is not None:
        facts.append(("Besteht seit / since", place.valid_from.isoformat()))
    if place.valid_until is not None:
        facts.append(("Bestand bis / until", place.valid_until.isoformat()))
    facts += [
        ("Entstanden aus / came from", f"{one.old.name} ({one.old.area}), {one.on}")
        for one in gazetteer.came_from(area)
    ]
    facts += [
        ("Aufgegangen in / became", _heir(gazetteer, one.new, one.on.isoformat())) for one in gazetteer.became(area)
    ]
    return facts


def _parts(found: Found, place: Place) -> str:
    return "".join(f"  ({name})" for name in found.parts.get(place.area.ars, ()))


def _ended(gazetteer: Gazetteer, place: Place) -> str:
    return "".join(f"  seit/since {one.on}: {_heir(gazetteer, one.new)}" for one in gazetteer.became(place.area))


def _heir(gazetteer: Gazetteer, area: Area, on: str = "") -> str:
    return f"{gazetteer.name(area)} ({area})" + (f", {on}" if on else "")


def _nothing(text: str, note: Text | None) -> NotFound:
    return NotFound(note or Text(f"Kein Gebiet gefunden: {text}", f"No area found: {text}"))


COMMANDS = (route, routes, areas)
