"""Versions of the register of AI systems: what people are told of AI goes the way of :mod:`hub.administration.versions`.

It is one for all areas, so that whoever is bound to one changes nothing of it, and every change takes a second person. Nothing
vanishes: a system, or a version of one, that was published once stands in every later register; what is not used any more is
withdrawn. Files seed the first version and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from hub.administration.versions import NOTHING, EntryBook, changed_entries, merged_entries, word_needed
from hub.errors import Invalid, Text, handed_in, not_found, outside_scope, state_forbids
from hub.identity import Person, Right
from hub.routing import legal_day
from hub.services.ai_systems import AiRegister, AiSystem, SystemStatus, compared, system_from
from hub.store import Activation, RuleRows, Store, TableVersion

#: So many names stand in a refusal or in the audit log.
_MOST = 20


class AiVersions(EntryBook[AiRegister, AiSystem]):
    """All versions of the register, the one that people read, and the way of a change."""

    def __init__(self, *, store: Store, broken: Callable[[], Mapping[str, str]]) -> None:
        """``broken`` are the links that lead nowhere, and why."""
        super().__init__(store=store, versions=store.ai_versions)
        self._broken = broken

    def content_of(self, rows: Iterable[Mapping[str, Any]]) -> AiRegister:
        """Return the register of stored systems."""
        return AiRegister.of(system_from(dict(row)) for row in rows)

    def rows_of(self, content: AiRegister) -> RuleRows:
        """Return a register's systems as they are stored."""
        return RuleRows(rows=[each.as_document() for each in content], content_version=content.version)

    def require_scope(self, person: Person, before: AiRegister, after: AiRegister) -> None:
        """Raise ``Forbidden`` where somebody who is bound to an area changes what is for all."""
        if person.is_bound and before != after:
            raise outside_scope(
                Text(
                    "Das KI-Register gilt für alle Gebiete, also auch für welche",
                    "The register of AI systems is for areas, too, that are",
                )
            )

    def require_fitness(self, content: AiRegister, person: Person, *, word: str, now: datetime) -> int:  # noqa: ARG002
        """Raise ``Invalid`` where something vanishes, and without a word for links that lead nowhere."""
        require_nothing_lost(self.at(now), content)
        broken = self.broken_links(content)
        if broken and not word.strip():
            listed = "; ".join(f"{system.id}: {link}" for system, link, _ in broken[:_MOST])
            raise word_needed(
                Text(
                    f"Ein Register mit {len(broken)} Verweisen, die ins Leere führen,",
                    f"A register with {len(broken)} links that lead nowhere",
                ),
                remarks=listed,
            )
        return len(broken)

    def broken_links(self, content: AiRegister) -> list[tuple[AiSystem, str, str]]:
        """Return the links of a register that lead nowhere, of which system, and why."""
        broken = self._broken()
        return [(each, link, broken[link]) for each in content for link in each.links() if link in broken]

    def delta(self, before: AiRegister, after: AiRegister) -> dict[str, list[str]]:
        """Return the ids of systems that differ."""
        return changed_entries(_by_id(before), _by_id(after))

    def draft(
        self, person: Person, *, title: str, now: datetime, systems: Iterable[AiSystem] | None = None
    ) -> TableVersion:
        """Make a draft of what is published with ``systems`` put in, in the place of those with their ids.

        Raises ``Forbidden``, ``Invalid`` (a system stands twice) or ``TooLarge`` (too many).
        """
        person = person.acting(Right.EDIT)
        base = self.base(now)
        content = _with(self.content(base), systems or ())
        return self.add_draft(person, content, title=title, based_on=base, now=now)

    def add(
        self, number: int, systems: Iterable[AiSystem], /, person: Person, *, revision: int, now: datetime
    ) -> TableVersion:
        """Put systems into a draft, in the place of those with their ids. Raises as :meth:`put_content`."""
        added = list(systems)
        content = _with(self.content(number), added)
        said = f"put {', '.join(sorted(each.id for each in added)[:_MOST])}"
        return self.put_content(number, content, person, revision=revision, now=now, text=said)

    def withdraw(self, number: int, system_id: str, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Withdraw a system in a draft: it stays to be read, and is not used from today on.

        Raises as :meth:`put_content`, ``NotFound``, and ``Conflict`` where it was withdrawn before.
        """
        system = self.content(number).system(system_id)
        if system.status is SystemStatus.OUT_OF_USE:
            raise state_forbids(
                Text(f"Das System {system.id} ist schon zurückgezogen.", f"System {system.id} is withdrawn already."),
                Text("Es gibt nichts weiter zu tun.", "There is nothing more to do."),
            )
        content = _with(self.content(number), [system.withdrawn(legal_day(now))])
        return self.put_content(number, content, person, revision=revision, now=now, text=f"withdraw {system.id}")

    def take_out(self, number: int, system_id: str, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Take a system out of a draft that was never published. Raises as :meth:`put_content`, ``NotFound``, ``Invalid``."""
        before = self.content(number)
        gone = before.system(system_id)
        content = AiRegister(each for each in before if each.id != gone.id)
        require_nothing_lost(self.at(now), content)
        return self.put_content(number, content, person, revision=revision, now=now, text=f"take out {gone.id}")

    def refresh(self, number: int, person: Person, *, revision: int, now: datetime) -> TableVersion:
        """Put a draft's changes onto what is published now; raise ``Conflict`` where both changed one system."""
        version, onto = self.version(number), self.base(now)
        base, mine, theirs = self.base_of(version, now), self.content(number), self.content(onto)
        content = AiRegister(merged_entries(_by_id(base), _by_id(mine), _by_id(theirs), _named))
        return self.rebase(version, content, person, onto=onto, revision=revision, now=now)

    def rollback(self, person: Person, *, now: datetime, text: str, number: int | None = None) -> Activation:
        """Publish an earlier version again. Raises as any book, and ``Invalid`` where it lacks what was published since."""
        require_nothing_lost(self.at(now), self.content(self._earlier(number, now)))
        return super().rollback(person, now=now, text=text, number=number)

    def published(self, now: datetime, *, limit: int = 500) -> list[Activation]:
        """Return which version was published since when, the latest first."""
        return [each for each in self.history(limit=limit).items if each.cancelled_at is None and each.since <= now]

    def as_published(self, number: int, now: datetime) -> AiRegister:
        """Return a version that people could or can read, for everybody; raise ``NotFound`` for one that never was public."""
        if number == NOTHING or not any(each.number == number for each in self.published(now)):
            raise not_found(self._versions.kept.missing, str(number))
        return self.content(number)

    def _compared(self, before: AiRegister, after: AiRegister) -> list[Text]:
        return compared(before, after)


def require_nothing_lost(before: AiRegister, after: AiRegister) -> None:
    """Raise ``Invalid`` where a register lacks a system, or a version of one, that was published."""
    lost = before.lost(after)
    if lost:
        named = "; ".join(lost[:_MOST])
        raise Invalid(
            Text(
                f"Was im KI-Register stand, bleibt darin: {named} fehlt. Ziehen Sie das System zurück, statt es zu streichen; "
                "eine Version erhält ein Ende (until).",
                f"What stood in the register of AI systems stays in it: {named} is missing. Withdraw the system instead of "
                "taking it out; a version gets an end (until).",
            ),
            systems=lost[:_MOST],
        )


def _with(register: AiRegister, systems: Iterable[AiSystem]) -> AiRegister:
    """Return a register with systems put in, in the place of those with their ids."""
    with handed_in():
        put = AiRegister.of(systems)
        return AiRegister.of([*(each for each in register if put.find(each.id) is None), *put])


def _by_id(register: AiRegister) -> dict[str, AiSystem]:
    return {each.id: each for each in register}


def _named(system_id: str) -> Text:
    return Text(f"Das KI-System {system_id}", f"AI system {system_id}")
