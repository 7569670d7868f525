"""What authorities of each kind are responsible for by default: templates of services and rules, which are data.

They stand in ``templates/*.toml`` of the folder of rules, one file a land, and are judged by the catalogue of services when
they are read: a service that it does not hold, or that is another level's business there, stops the start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from hub.areas import Area, Gazetteer
from hub.areas.area import AreaKind, Place
from hub.errors import ConfigurationError, Refused, Text
from hub.model import is_uri
from hub.routing import Rule, service_urn
from hub.services import ServiceCatalogue

_FILE = {"land", "form_for_everything", "groups", "templates"}
_GROUP = {"note", "services"}
_TEMPLATE = {"name", "kinds", "levels", "groups"}
_LARGEST = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceGroup:
    """Services that go together; a rule is made of each group. ``note`` may hold ``{name}``."""

    group_id: str
    note: str
    services: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """What an authority of some kind is responsible for; with ``areas`` it is for those alone."""

    template_id: str
    land: str
    name: Text
    kinds: frozenset[AreaKind]
    groups: tuple[ServiceGroup, ...]
    form_for_everything: str
    areas: frozenset[str] = frozenset()

    @property
    def services(self) -> tuple[str, ...]:
        """All services (URNs), each once."""
        return tuple(dict.fromkeys(each for group in self.groups for each in group.services))

    def fits(self, place: Place) -> bool:
        """Tell whether an area is of the template's kind."""
        ars = place.area.ars
        return place.kind in self.kinds and ars.startswith(self.land) and (not self.areas or ars in self.areas)

    def rules(self, place: Place, name: str, destination: UUID) -> tuple[Rule, ...]:
        """Return the rules that make a destination responsible for an area."""
        area = Area(place.area.ars)
        return tuple(
            Rule(
                id=rule_id(area.ars, group.group_id),
                area=area,
                services=group.services,
                destination=destination,
                note=group.note.replace("{name}", name),
            )
            for group in self.groups
        )


def rule_id(ars: str, group_id: str) -> str:
    """Return what the rule of an area and a group is called: what begins with ``ars-`` and the key was made of a template."""
    return f"ars-{ars}-{group_id}"


class Templates:
    """All templates, by id."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._by_id = {each.template_id: each for each in templates}

    @classmethod
    def load(cls, folder: Path, catalogue: ServiceCatalogue, gazetteer: Gazetteer) -> Templates:
        """Read all templates of a folder.

        Raises:
            ConfigurationError: one that cannot be used, with its file and place.
        """
        found: dict[str, Template] = {}
        for path in sorted(folder.glob("*.toml")):
            for each in _read(path, catalogue, gazetteer):
                if each.template_id in found:
                    raise _unusable(path, each.template_id, "gibt es zweimal", "is there twice")
                found[each.template_id] = each
        return cls(found.values())

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def get(self, template_id: str) -> Template | None:
        """Return a template, None for an unknown one."""
        return self._by_id.get(template_id)

    def for_place(self, place: Place) -> Template | None:
        """Return the template that fits an area best: one for it alone before one for its kind."""
        fitting = [each for each in self._by_id.values() if each.fits(place)]
        return next((each for each in fitting if each.areas), fitting[0] if fitting else None)


def _read(path: Path, catalogue: ServiceCatalogue, gazetteer: Gazetteer) -> list[Template]:
    try:
        content = path.read_bytes()
        if len(content) > _LARGEST:
            raise _unusable(path, path.name, "ist zu groß", "is too large")
        document = tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError) as exc:
        raise _unusable(path, path.name, "ist kein lesbares TOML", "is no readable TOML") from exc
    _require_keys(path, "", document, _FILE)
    land, form = document["land"], document["form_for_everything"]
    if not (isinstance(land, str) and land.isdigit() and isinstance(form, str) and is_uri(form)):
        raise _unusable(path, "land, form_for_everything", "passt nicht", "does not fit")
    groups = {name: _group(path, name, said, catalogue) for name, said in document["groups"].items()}
    templates = [_template(path, name, said, groups, document) for name, said in document["templates"].items()]
    for each, said in zip(templates, document["templates"].values(), strict=True):
        _require_level(path, each, said["levels"], catalogue)
        unknown = sorted(ars for ars in each.areas if gazetteer.find(ars) is None)
        if unknown:
            raise _unusable(path, each.template_id, f"nennt {unknown[0]}, das es nicht gibt", f"names {unknown[0]}")
    return templates


def _group(path: Path, name: str, said: Mapping[str, Any], catalogue: ServiceCatalogue) -> ServiceGroup:
    where = f"groups.{name}"
    _require_keys(path, where, said, _GROUP)
    try:
        services = tuple(service_urn(each) for each in said["services"])
    except (Refused, TypeError) as exc:
        raise _unusable(path, where, "nennt keine Leistungen", "names no services") from exc
    unknown = next((each for each in services if catalogue.find(each) is None), None)
    if unknown is not None or not services or len(set(services)) != len(services):
        raise _unusable(
            path,
            where,
            f"nennt eine Leistung doppelt oder eine, die der Katalog nicht führt: {unknown}",
            f"names a service twice, or one that the catalogue does not hold: {unknown}",
        )
    return ServiceGroup(group_id=name, note=str(said["note"]), services=services)


def _template(
    path: Path, name: str, said: Mapping[str, Any], groups: Mapping[str, ServiceGroup], document: Mapping[str, Any]
) -> Template:
    where = f"templates.{name}"
    _require_keys(path, where, said, _TEMPLATE, optional={"areas"})
    try:
        return Template(
            template_id=name,
            land=document["land"],
            name=Text(said["name"]["de"], said["name"]["en"]),
            kinds=frozenset(map(AreaKind, said["kinds"])),
            groups=tuple(groups[each] for each in said["groups"]),
            form_for_everything=document["form_for_everything"],
            areas=frozenset(said.get("areas", ())),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _unknown_kind(path, where) from exc


def _unknown_kind(path: Path, where: str) -> ConfigurationError:
    return _unusable(
        path,
        where,
        "nennt eine Gruppe oder Gebietsart, die es nicht gibt",
        "names a group or a kind of areas that is not there",
    )


def _require_level(path: Path, template: Template, levels: Collection[str], catalogue: ServiceCatalogue) -> None:
    """Refuse a template that gives an authority what the catalogue says is another level's business."""
    for urn in template.services:
        entry = catalogue.find(urn)
        if entry is not None and not {each.value for each in entry.responsible} & set(levels):
            raise _unusable(
                path,
                f"templates.{template.template_id}",
                f"nennt {urn}: Dafür ist nach dem Katalog eine andere Ebene zuständig",
                f"names {urn}: by the catalogue that is another level's business",
            )


def _require_keys(
    path: Path, where: str, said: object, wanted: set[str], *, optional: Collection[str] = frozenset()
) -> None:
    if not isinstance(said, Mapping) or not wanted <= set(said) <= wanted | set(optional):
        names = ", ".join(sorted(wanted))
        raise _unusable(path, where or path.name, f"braucht genau: {names}", f"needs exactly: {names}")


def _unusable(path: Path, where: str, de: str, en: str) -> ConfigurationError:
    return ConfigurationError(
        Text(f"{path.name}: {where} {de}.", f"{path.name}: {where} {en}."),
        file=path.name,
    )
