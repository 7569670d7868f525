"""``hub areas``: the gazetteer, and the postal codes that an operator brings."""

from __future__ import annotations

from pathlib import Path

import click

from hub.app import postal_codes_of
from hub.areas import Area, Gazetteer, Place, import_postal_codes, look_up
from hub.cli.options import data_option, opened
from hub.errors import NotFound, Text

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
        raise _nothing(" ".join(words))
    if found.choice:
        click.echo("Diese Postleitzahl haben mehrere Gemeinden / several municipalities have this postal code:")
    for place in found.places[:_MOST]:
        where = ", ".join(each.name for each in gazetteer.above(place.area)[:1])
        click.echo(
            f"{place.area.ars:<12}  {place.name:<36}  {place.kind.label.de:<24}  {where}{_ended(gazetteer, place)}"
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
        raise _nothing(key)
    for name, value in _facts(gazetteer, place):
        click.echo(f"{name:<32}  {value}")


@areas.command("import-postal-codes")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def import_postal_codes_(source: Path, data: Path) -> None:
    """Take over a list of postal codes (CSV with the columns plz and ars, or ags); it replaces the one before."""
    with opened(data) as hub:
        made = import_postal_codes(hub.gazetteer, source, postal_codes_of(hub.settings))
    click.echo(
        f"{made.codes} Postleitzahlen in {made.municipalities} Gemeinden, {made.shared} davon in mehreren / postal codes in "
        f"municipalities, of which in several"
    )
    if made.foreign:
        click.echo(f"{made.foreign} Zeilen anderer Länder ausgelassen / rows of other lands left out")
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


def _ended(gazetteer: Gazetteer, place: Place) -> str:
    return "".join(f"  seit/since {one.on}: {_heir(gazetteer, one.new)}" for one in gazetteer.became(place.area))


def _heir(gazetteer: Gazetteer, area: Area, on: str = "") -> str:
    return f"{gazetteer.name(area)} ({area})" + (f", {on}" if on else "")


def _nothing(text: str) -> NotFound:
    return NotFound(Text(f"Kein Gebiet gefunden: {text}", f"No area found: {text}"))


COMMANDS = (areas,)
