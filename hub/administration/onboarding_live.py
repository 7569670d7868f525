"""Putting authorities into service: their destinations take submissions, and a version of the table with their rules holds.

Both or neither, over several commits, each by whoever owns what is changed: (1) the run notes who begins, and with what; (2)
destinations become active; (3) rules are drafted in the name of who handed them in, (4) approved and (5) activated in the name
of who puts them into service; (6) the note goes. Each step looks first whether its work is done. What breaks off between is
finished by a duty, a minute later; what is refused is taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.administration.destinations import Draft
from hub.administration.onboarding_making import Owners
from hub.administration.versions import HUB
from hub.areas import Place
from hub.errors import HubError, Refused
from hub.identity import Person
from hub.identity.persons import person_of
from hub.model import EVERYTHING
from hub.routing import RoutingTable, Rule
from hub.store import AuditEntry, GoingLive, OnboardingRow, OnboardingRun, TableVersion, VersionState, all_items
from hub.store.onboarding import decided_already

_log = logging.getLogger(__name__)
#: What stands as the reason where the person gives none: warnings of the check take a word.
_WORD = "Aufnahme / onboarding"
_LONGEST_TITLE = 500
_PAGE = 50
#: Lets one process at a time make of a run what is in it; what is lent is called before each step.
Alone = Callable[[int, datetime], AbstractContextManager[Callable[[], None]]]
#: The rules of the table in force, with those of these authorities in the place of what they had by template.
RulesOf = Callable[[Sequence[tuple[Place, UUID]], datetime], list[Rule]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRules:
    """What whoever takes authorities in knows of their rules and their places, and who may put them into service."""

    rules: RulesOf
    #: Where an authority of a run is.
    place: Callable[[OnboardingRow, datetime], Place]
    #: Who handed a run in, with the rights they have now; raises ``Conflict`` where they have none any more.
    maker: Callable[[OnboardingRun], Person]
    #: Raises ``Forbidden`` where a person may not put these authorities of a run into service.
    require: Callable[[OnboardingRun, Sequence[OnboardingRow], Person, datetime], None]


class GoLive:
    """Puts authorities of a run into service, and finishes what broke off."""

    def __init__(self, owners: Owners, knows: LiveRules, alone: Alone) -> None:
        self._owners = owners
        self._kept = owners.store.onboarding
        self._knows = knows
        self._alone = alone

    def begin(
        self, run: OnboardingRun, destinations: Mapping[str, UUID], person: Person, *, text: str, now: datetime
    ) -> None:
        """Note that a person begins to put destinations into service, by area; raise ``Conflict`` where some are already."""
        parties = self._owners.store.parties
        found = [parties.destination(each) for each in destinations.values()]
        started = [each.destination_id for each in found if each is not None and each.status != "active"]
        going = GoingLive(by=person.name, at=now, text=text, destinations=destinations, started=started)
        said = {"run": run.run_id, "areas": sorted(destinations)[:_PAGE], "count": len(destinations), "text": text}
        audit = AuditEntry(at=now, actor=person.name, action="onboarding.live", target="onboarding", after=said)
        self._kept.begin_live(run.run_id, going, audit=audit)

    def finish(self, run: OnboardingRun, go_on: Callable[[], None], *, now: datetime) -> Sequence[str]:
        """Finish what a run notes; return the areas that are in service now. Called by whoever is alone with the run.

        Raises:
            Refused: something of it cannot be used now, or a person lost a right; then all is as before it was begun.
            Unavailable: later; the note stays, and :meth:`resume` goes on.
        """
        going = run.going_live
        if going is None:
            return ()
        try:
            person = self._person(run, going, now)
            maker = self._knows.maker(run)
            for here in going.started:
                go_on()
                self._activate(here, person, now)
            go_on()
            self._route(run, going, maker=maker, person=person, now=now)
        except Refused as refused:
            self._take_back(run, going, refused, now)
            raise
        self._kept.end_live(run.run_id)
        return list(going.destinations)

    def pending(self) -> bool:
        """Whether some run is being put into service: for longer than a moment only if that broke off."""
        return bool(self._kept.going_live())

    def resume(self, now: datetime) -> int:
        """Finish what broke off; return how many authorities are in service by that. What others do is left to them."""
        done = 0
        for run in self._kept.going_live():
            # Refused: it was taken back, which is told there; or somebody is at it.
            with suppress(Refused), self._alone(run.run_id, now) as go_on:
                done += len(self.finish(self._kept.run(run.run_id), go_on, now=now))
        return done

    def _person(self, run: OnboardingRun, going: GoingLive, now: datetime) -> Person:
        """Return who began it, with the rights they have now."""
        account = self._owners.store.accounts.account(going.by)
        if account is None or account.disabled_at is not None:
            raise decided_already()
        person = person_of(account, self._owners.store.tenants)
        rows = [each for each in self._rows(run) if each.ars in going.destinations]
        self._knows.require(run, rows, person, now)
        return person

    def _rows(self, run: OnboardingRun) -> list[OnboardingRow]:
        return self._kept.rows(run.run_id, scope=EVERYTHING)

    def _activate(self, here: UUID, person: Person, now: datetime) -> None:
        known = self._owners.store.parties.destination(here)
        if known is not None and known.status != "active":
            self._owners.destinations.change(here, Draft(status="active"), person, now=now)

    def _route(self, run: OnboardingRun, going: GoingLive, *, maker: Person, person: Person, now: datetime) -> None:
        book = self._owners.book
        placed = [
            (self._knows.place(row, now), going.destinations[row.ars])
            for row in self._rows(run)
            if row.ars in going.destinations
        ]
        rules = self._knows.rules(placed, now)
        if _alike(book.at(now), rules):
            return
        title, word = f"{run.title} ({run.run_id})"[:_LONGEST_TITLE], going.text or _WORD
        made = self._made_before(title, rules, going, maker, now)
        version = made or book.draft(maker, title=title, now=now, rules=rules)
        try:
            if version.state is VersionState.DRAFT:
                version = book.approve(version.number, person, revision=version.revision, now=now, text=word)
            book.activate(version.number, person, now=now, text=word)
        except Refused:
            with suppress(HubError):
                book.discard(version.number, maker, revision=version.revision, now=now)
            raise

    def _made_before(
        self, title: str, rules: Sequence[Rule], going: GoingLive, maker: Person, now: datetime
    ) -> TableVersion | None:
        """Return the version that was made before it broke off, if it still fits; drafts that do not are given up."""
        book, fitting = self._owners.book, None
        for each in all_items(lambda start: book.versions(offset=start, limit=_PAGE)):
            if each.created_at < going.at:
                break
            if each.title != title or each.created_by != maker.name:
                continue
            fits = each.based_on == book.base(now) and _alike(book.table(each.number), rules)
            if fits and fitting is None and each.state in {VersionState.DRAFT, VersionState.APPROVED}:
                fitting = each
            elif each.state is VersionState.DRAFT:
                book.discard(each.number, maker, revision=each.revision, now=now)
        return fitting

    def _take_back(self, run: OnboardingRun, going: GoingLive, why: Refused, now: datetime) -> None:
        """Have the destinations as they were, in the hub's name: who began it may have no right any more."""
        for here in going.started:
            known = self._owners.store.parties.destination(here)
            if known is not None and known.status == "active":
                self._owners.destinations.change(here, Draft(status="inactive"), HUB, now=now)
        said = {"run": run.run_id, "count": len(going.destinations), "by": going.by, "reason": why.slug}
        audit = AuditEntry(at=now, actor=HUB.name, action="onboarding.take-back", target="onboarding", after=said)
        self._kept.end_live(run.run_id, audit=audit)
        _log.warning("onboarding %d is not put into service: %s", run.run_id, why)


def _alike(one: RoutingTable | Iterable[Rule], other: Iterable[Rule]) -> bool:
    return sorted(one, key=lambda rule: rule.id) == sorted(other, key=lambda rule: rule.id)
