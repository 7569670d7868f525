"""The calendar of standards: which version is announced, valid, ending or gone on a day; trials of what is announced.

Nothing has to happen for a version to become binding: each payload is judged by what is in force on its day. What is announced
can be tried on real payloads beforehand, as if it were in force.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from hub.errors import Text, UnknownSchema
from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import SchemaEntry
from hub.validation.manifest import Manifest, Status
from hub.validation.report import Report


class Phase(StrEnum):
    """Where a version stands on a day."""

    #: Not yet binding; payloads of it are refused.
    ANNOUNCED = "announced"
    #: Binding, and no end is known.
    VALID = "valid"
    #: Binding, and its last day is known.
    ENDING = "ending"
    #: Not binding any more; what was accepted stays so.
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class CalendarEntry:
    """One version of a standard; both dates are inclusive, None is open. ``successor`` is the version that takes its place.

    ``rules`` is how many files of business rules become binding with it.
    """

    standard: str
    version: str
    phase: Phase
    valid_from: date | None
    valid_until: date | None
    successor: str | None
    rules: int


def calendar(catalog: SchemaCatalog, on: date) -> list[CalendarEntry]:
    """Return all versions, by standard, in the order in which they become binding."""
    manifests = _manifests(catalog)
    return [
        CalendarEntry(
            standard=each.standard,
            version=each.version,
            phase=_phase(each, on),
            valid_from=each.valid_from,
            valid_until=each.valid_until,
            successor=_successor(each, manifests),
            rules=len(each.rules),
        )
        for each in sorted(manifests, key=lambda each: (each.standard, each.valid_from or date.min, each.version))
    ]


def calendar_document(entries: Iterable[CalendarEntry]) -> dict[str, Any]:
    """Return the calendar as JSON has it."""
    return {
        "versions": [
            {
                "standard": each.standard,
                "version": each.version,
                "phase": each.phase.value,
                "validFrom": None if each.valid_from is None else each.valid_from.isoformat(),
                "validUntil": None if each.valid_until is None else each.valid_until.isoformat(),
                "successor": each.successor,
                "businessRules": each.rules,
            }
            for each in entries
        ]
    }


def coming(catalog: SchemaCatalog, standard: str, on: date) -> tuple[str, ...]:
    """Return the versions of a standard that are announced on a day, the next one first."""
    found = [each for each in _manifests(catalog) if each.standard == standard and _phase(each, on) is Phase.ANNOUNCED]
    return tuple(each.version for each in sorted(found, key=lambda each: (each.valid_from or date.max, each.version)))


def rehearsed(
    trial: SchemaCatalog,
    like: SchemaEntry,
    *,
    media_type: MediaType,
    data: bytes,
    service: str,
    on: date,
    sent: Collection[str] | None,
) -> Report:
    """Return the report of a payload of the schema ``like`` by another version, whose catalogue is ``trial``.

    That is of :meth:`SchemaCatalog.as_if_in_force`. Its schema for the same root, service or file judges. A payload that names
    its version by namespace or URI is read as if it named the other: that it has to do so everybody knows, and what else it has
    to change is what is asked.

    Raises:
        UnknownSchema: that version has none for such a payload.
    """
    counterpart = _counterpart(trial, like, service)
    for before, after in _renamed(like, counterpart):
        data = data.replace(before, after)
    return trial.check(media_type=media_type, data=data, schema=counterpart.uri, service=service, on=on, sent=sent)


def _counterpart(trial: SchemaCatalog, like: SchemaEntry, service: str) -> SchemaEntry:
    entries = trial.entries()
    roots = set(_by_local_name(like))
    fitting = [each for each in entries if roots & set(_by_local_name(each))]
    fitting = fitting or [each for each in entries if each.item.services and service in each.item.services]
    fitting = fitting or [each for each in entries if each.item.file == like.item.file]
    if not fitting and len(entries) == 1:
        fitting = list(entries)
    if not fitting:
        raise UnknownSchema(
            Text("Die angekündigte Version hat kein Schema dafür.", "The announced version has no schema for it."),
            known=[each.uri for each in entries],
        )
    return fitting[0]


def _by_local_name(entry: SchemaEntry) -> dict[str, str]:
    """Return the namespaces of a schema's roots (``{namespace}name``), by their names."""
    parted = (each.rpartition("}") for each in entry.item.roots)
    return {name: namespace.removeprefix("{") for namespace, _, name in parted}


def _renamed(like: SchemaEntry, counterpart: SchemaEntry) -> list[tuple[bytes, bytes]]:
    """Return what stands in the place of what, the longest first: namespaces of common roots, and the schema's URI."""
    theirs = _by_local_name(counterpart)
    names = {namespace: theirs[name] for name, namespace in _by_local_name(like).items() if name in theirs}
    names[like.uri] = counterpart.uri
    changed = [(before.encode(), after.encode()) for before, after in names.items() if before and before != after]
    return sorted(changed, key=lambda each: -len(each[0]))


def _manifests(catalog: SchemaCatalog) -> list[Manifest]:
    found = {(each.manifest.standard, each.manifest.version): each.manifest for each in catalog.entries()}
    return list(found.values())


def _phase(manifest: Manifest, on: date) -> Phase:
    if manifest.status is Status.WITHDRAWN or (manifest.valid_until is not None and manifest.valid_until < on):
        return Phase.ENDED
    if not manifest.in_force(on):
        return Phase.ANNOUNCED
    return Phase.VALID if manifest.valid_until is None else Phase.ENDING


def _successor(manifest: Manifest, manifests: Collection[Manifest]) -> str | None:
    """Return the version that becomes binding next after this one and outlasts it; also an announced one."""
    last = manifest.valid_until or date.max
    later = [
        each
        for each in manifests
        if each.standard == manifest.standard
        and each.status is not Status.WITHDRAWN
        and (each.valid_from or date.min) > (manifest.valid_from or date.min)
        and (each.valid_until or date.max) >= last
    ]
    return min(later, key=lambda each: each.valid_from or date.min).version if later else None
