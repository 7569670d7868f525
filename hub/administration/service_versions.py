"""Versions of the catalogue of services: what citizens read goes the way of :mod:`hub.administration.versions`.

It is one for all areas, so that whoever is bound to one changes nothing of it. A change that citizens see takes a second
person; one of the day of review, or of where a key comes from, does not. Files seed the first version and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hub.administration.versions import EntryBook, changed_entries, merged_entries, word_needed
from hub.errors import Invalid, Text, handed_in, outside_scope
from hub.identity import Person, Right
from hub.model import LEIKA_PREFIX
from hub.routing import legal_day
from hub.services import PublicService, ServiceCatalogue, compared, complaints
from hub.services.entry import service_from
from hub.store import RuleRows, Store, TableVersion

#: So many complaints, and services with rules, stand in a refusal.
_MOST = 20


class ServiceVersions(EntryBook[ServiceCatalogue, PublicService]):
    """All versions of the catalogue, the one that citizens read, and the way of a change."""

    def __init__(self, *, store: Store, ruled: Callable[[datetime], Collection[str]]) -> None:
        """``ruled`` are the services (URNs) that the routing table in force names: they may not go."""
        super().__init__(store=store, versions=store.service_versions)
        self._ruled = ruled

    def content_of(self, rows: Iterable[Mapping[str, Any]]) -> ServiceCatalogue:
        """Return the catalogue of stored services."""
        return ServiceCatalogue.of(service_from(dict(row)) for row in rows)

    def rows_of(self, content: ServiceCatalogue) -> RuleRows:
        """Return a catalogue's services as they are stored."""
        return RuleRows(rows=[each.as_document() for each in content], content_version=content.version)

    def require_scope(self, person: Person, before: ServiceCatalogue, after: ServiceCatalogue) -> None:
        """Raise ``Forbidden`` where somebody who is bound to an area changes what is for all."""
        if person.is_bound and before != after:
            raise outside_scope(
                Text(
                    "Das Leistungsverzeichnis gilt für alle Gebiete, also auch für welche",
                    "The catalogue of services is for areas, too, that are",
                )
            )

    def require_fitness(self, content: ServiceCatalogue, person: Person, *, word: str, now: datetime) -> int:  # noqa: ARG002
        """Raise ``Invalid`` where a service is missing that rules name, and without a word for entries that lack something."""
        gone = sorted(key for key in self._ruled(now) if key not in content)
        if gone:
            named = ", ".join(key.removeprefix(LEIKA_PREFIX) for key in gone[:_MOST])
            raise Invalid(
                Text(
                    f"Für diese Leistungen gibt es Regeln, sie können nicht entfallen: {named}. Ändern Sie erst die "
                    "Zuständigkeitstabelle.",
                    f"There are rules for these services, they cannot go: {named}. Change the routing table first.",
                ),
                services=gone[:_MOST],
            )
        due = self.fresh_complaints(content, now=now)
        if due and not word.strip():
            listed = "; ".join(f"{service.name.de}: {text.de}" for service, text in due[:_MOST])
            raise word_needed(
                Text(f"Ein Verzeichnis mit {len(due)} neuen Hinweisen", f"A catalogue with {len(due)} new remarks"),
                remarks=listed,
            )
        return len(due)

    def fresh_complaints(self, content: ServiceCatalogue, *, now: datetime) -> list[tuple[PublicService, Text]]:
        """Return what entries lack, where those that citizens read now do not lack the same."""
        today = legal_day(now)
        standing = {(service.key, text) for service, text in complaints(self.at(now), on=today)}
        return [
            (service, text) for service, text in complaints(content, on=today) if (service.key, text) not in standing
        ]

    def takes_two(self, before: ServiceCatalogue, after: ServiceCatalogue) -> bool:
        """Whether citizens see a difference."""
        keys = {each.key for each in (*before, *after)}
        return any(_seen(before.find(key)) != _seen(after.find(key)) for key in keys)

    def delta(self, before: ServiceCatalogue, after: ServiceCatalogue) -> dict[str, list[str]]:
        """Return the keys of services that differ."""
        return changed_entries(_by_key(before), _by_key(after))

    def draft(
        self, person: Person, *, title: str, now: datetime, services: Iterable[PublicService] | None = None
    ) -> TableVersion:
        """Make a draft from ``services``, or from what citizens read now.

        Raises ``Forbidden``, ``Invalid`` (a service stands twice) or ``TooLarge`` (too many).
        """
        person = person.acting(Right.EDIT)
        base = self.base(now)
        content = self.content(base) if services is None else _handed_in(services)
        return self.add_draft(person, content, title=title, based_on=base, now=now)

    def add(
        self, number: int, services: Iterable[PublicService], /, person: Person, *, revision: int, now: datetime
    ) -> TableVersion:
        """Put services into a draft, in the place of those with their keys. Raises as :meth:`put_content`."""
        added = {each.key: each for each in services}
        kept = [each for each in self.content(number) if each.key not in added]
        said = f"put {', '.join(sorted(added)[:_MOST])}"[: _MOST * 10]
        content = _handed_in([*kept, *added.values()])
        return self.put_content(number, content, person, revision=revision, now=now, text=said)

    def drop(self, number: int, key: str, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Take a service out of a draft. Raises as :meth:`put_content`, and ``NotFound``."""
        before = self.content(number)
        gone = before.service(key)
        content = ServiceCatalogue(each for each in before if each.key != gone.key)
        return self.put_content(number, content, person, revision=revision, now=now, text=f"drop {gone.key}")

    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto what is published now; raise ``Conflict`` where both changed one service."""
        version, onto = self.version(number), self.base(now)
        base, mine, theirs = self.base_of(version, now), self.content(number), self.content(onto)
        content = ServiceCatalogue(merged_entries(_by_key(base), _by_key(mine), _by_key(theirs), _named))
        return self.rebase(version, content, person, onto=onto, revision=revision, now=now)

    def _compared(self, before: ServiceCatalogue, after: ServiceCatalogue) -> list[Text]:
        return compared(before, after)


def _by_key(catalogue: ServiceCatalogue) -> dict[str, PublicService]:
    return {each.key: each for each in catalogue}


def _named(key: str) -> Text:
    return Text(f"Die Leistung {key}", f"service {key}")


def _seen(service: PublicService | None) -> PublicService | None:
    """Return what citizens see of a service."""
    return None if service is None else replace(service, source="", reviewed=None)


def _handed_in(services: Iterable[PublicService]) -> ServiceCatalogue:
    with handed_in():
        return ServiceCatalogue.of(services)
