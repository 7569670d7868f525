"""Taking authorities in: many at once from a table, or one by a wizard; both hand in a run that a second person releases.

The way of a run: (1) everything in it is judged, and nothing is stored where one cell is wrong; (2) it waits as a draft; (3) a
second person releases it, and only then tenants, clients and destinations are made, by those who own them; (4) test
deliveries go by the real adapter; (5) who did not hand it in puts it into service: the destinations take submissions, and a
version of the routing table with their rules comes into force.

A release that breaks off is begun again and goes on: each step looks first whether its work is done, so nothing is made twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from hub.administration.onboarding_live import GoLive, LiveRules
from hub.administration.onboarding_making import CITY, Making, Owners
from hub.administration.onboarding_pack import PackFacts, pack
from hub.administration.onboarding_plans import (
    Judges,
    Plan,
    ReadFile,
    differences,
    plan_differences,
    short_name,
)
from hub.administration.onboarding_sheet import CellFault, Sheet, SheetRow, refused
from hub.administration.onboarding_standing import AuthorityStanding, RowChange, Stage, stage_of
from hub.administration.onboarding_templates import Template, rule_id
from hub.administration.routing_tables import destination_facts
from hub.administration.trials import TrialReport
from hub.areas import Place
from hub.errors import Conflict, HubError, Invalid, Text, not_found, outside_scope, state_forbids
from hub.identity import Person, Right, require_second_human
from hub.identity.persons import person_of
from hub.model import EVERYTHING, Destination, OfferedService
from hub.routing import DestinationFacts, RoutingTable, Rule, Severity, check
from hub.store import AuditEntry, ChangeState, OnboardingRow, OnboardingRun, Page, Served, decided_already

_LONGEST_TEXT = 500
#: Ids that stand in a list of what is missing.
_MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedIn:
    """What became of a table: the run that waits, None where nothing was to be changed; and what each row changes."""

    run: OnboardingRun | None
    changes: Sequence[RowChange]


class OnboardingService:
    """Takes authorities in for a person."""

    def __init__(self, owners: Owners) -> None:
        #: Who owns what is made here.
        self.owners = owners
        self._store = owners.store
        self._kept = owners.store.onboarding
        #: Puts into service, and finishes what broke off.
        self.going = GoLive(
            owners,
            LiveRules(
                rules=self._rules,
                place=lambda row, now: self._judges(now).place(Plan.of(row.plan)),
                maker=self._maker,
                require=self._require_live,
            ),
            self._alone,
        )

    # --- Handing in

    def check(self, sheet: Sheet, read: ReadFile, person: Person, *, now: datetime) -> Sequence[RowChange]:
        """Return what each row would change; store nothing.

        Raises:
            Forbidden: the person may not take authorities in.
            Invalid: cells are wrong (``onboarding-faults``); all of them are told.
        """
        _require_both(person)
        judges = self._judges(now)
        plans, faults = judges.plans(sheet, read, person)
        waiting = self._kept.waiting(scope=EVERYTHING)
        changes = []
        for row, plan in plans:
            before = waiting.get(plan.ars)
            if before is not None and Plan.of(before.plan) != plan:
                faults.append(sheet.fault(row, "ars", _waits_otherwise(before.run_id)))
        there = self._all_there(now)
        for row, plan in plans:
            faults += self._foreign(sheet, row, plan, there, [person])
            changes.append(self._change(judges, row, plan, there, person))
        faults += self._conflicts(judges, sheet, [each for each in changes if not each.is_none], there)
        if faults:
            raise refused(faults)
        return changes

    def faults(self, sheet: Sheet, read: ReadFile, person: Person, *, now: datetime) -> Sequence[CellFault]:
        """Return what is wrong with each cell by itself, for forms that ask step by step; errors as :meth:`check`."""
        _require_both(person)
        return self._judges(now).plans(sheet, read, person)[1]

    def templates_for(self, ars: str) -> Sequence[Template]:
        """Return the templates that fit an area, the one for it alone first; none for an unknown one."""
        place = self.owners.gazetteer().find(ars.replace(" ", "").removeprefix("DE"))
        fitting = [] if place is None else [each for each in self.owners.templates() if each.fits(place)]
        return sorted(fitting, key=lambda each: not each.areas)

    def hand_in(self, sheet: Sheet, read: ReadFile, person: Person, *, title: str, now: datetime) -> HandedIn:
        """Hand in all rows that change something, as one run that waits for a second person.

        A table that changes nothing makes no run; one that waits already as it is makes no second one.

        Raises:
            Forbidden, Invalid: as :meth:`check`; nothing is stored then. Conflict: somebody handed one of them in meanwhile.
        """
        changes = self.check(sheet, read, person, now=now)
        waiting = self._kept.waiting(scope=EVERYTHING)
        new = [each for each in changes if not each.is_none and each.plan.ars not in waiting]
        if not new:
            run_ids = {waiting[each.plan.ars].run_id for each in changes if each.plan.ars in waiting}
            return HandedIn(run=self._kept.run(min(run_ids)) if run_ids else None, changes=changes)
        titled = _text(title) or f"{now:%Y-%m-%d}"
        run = OnboardingRun(title=titled, proposed_by=person.name, proposed_at=now)
        rows = self._rows(new)
        said = {"title": titled, "rows": len(rows), "areas": [each.ars for each in rows[:_MOST_NAMED]]}
        audit = AuditEntry(at=now, actor=person.name, action="onboarding.propose", target="onboarding", after=said)
        return HandedIn(run=self._kept.add(run, rows, audit=audit), changes=changes)

    def _rows(self, new: Sequence[RowChange]) -> list[OnboardingRow]:
        return [
            OnboardingRow(
                ars=each.plan.ars,
                number=each.row.number,
                name=each.plan.name,
                plan=each.plan.as_json(),
                tenant_id=self._store.tenants.standing_for(each.plan.ars),
            )
            for each in new
        ]

    # --- What a second person says

    def release(self, run_id: int, person: Person, *, text: str, now: datetime) -> OnboardingRun:
        """Release a run as a second person, and make all that is in it; go on with one that was released and broke off.

        Raises:
            NotFound: no such run in the person's scope. Forbidden: it is one's own, or the right is missing for an area.
            Conflict: it was refused; whoever handed it in has no rights any more; somebody else releases it at this moment.
            Invalid: something in it cannot be used now.
        """
        run, rows = self.show(run_id, person)
        approver = self._approver(run, rows, person, now)
        maker = self._maker(run)
        with self._alone(run_id, now) as go_on:
            run, rows = self.show(run_id, person)
            if run.state is ChangeState.OPEN:
                self._require_fit(rows, maker, approver, now)
                self._decide(run, ChangeState.APPROVED, person, text, now)
            elif run.state is not ChangeState.APPROVED:
                raise decided_already()
            making = Making(self.owners, self._judges(now), maker=maker, approver=approver, now=now)
            for row in rows:
                if row.made_at is None:
                    go_on()
                    making.make(row)
            return self._kept.run(run_id)

    @contextmanager
    def _alone(self, run_id: int, now: datetime) -> Iterator[Callable[[], None]]:
        """Let one release of a run at a time make what is in it: each step looks what is there, and two would both see nothing.

        What is lent is called before each step; it holds on for a minute more, and raises ``Conflict`` for whoever slept
        through one. Whoever dies meanwhile holds others up for that long.
        """
        duties, name, node = self._store.duties, f"onboarding-{run_id}", secrets.token_hex(8)
        began, fencing = monotonic(), duties.hold(name, node=node, now=now, lease=_RELEASE_LEASE)
        if fencing is None:
            raise _being_made()

        def go_on() -> None:
            at = now + timedelta(seconds=monotonic() - began)
            if duties.hold(name, node=node, now=at, lease=_RELEASE_LEASE) != fencing:
                raise _being_made()

        try:
            yield go_on
        finally:
            with suppress(HubError):  # What broke the release off is what is told; the lease ends anyway.
                duties.release(name, node=node, fencing=fencing)

    def refuse(self, run_id: int, person: Person, *, text: str, now: datetime) -> OnboardingRun:
        """Turn a run down as a second person, or take one's own back; errors as :meth:`release`."""
        run, rows = self.show(run_id, person)
        own = run.proposed_by == person.name
        if not own:
            self._approver(run, rows, person, now)
        return self._decide(run, ChangeState.WITHDRAWN if own else ChangeState.REFUSED, person, text, now)

    # --- Looking

    def runs(self, person: Person, *, offset: int = 0, limit: int = 50) -> Page[OnboardingRun]:
        """Return one page of the runs that concern what the person sees, the newest first."""
        person.require(Right.SEE)
        return self._kept.runs(scope=person.scope, offset=offset, limit=limit)

    def show(self, run_id: int, person: Person) -> tuple[OnboardingRun, list[OnboardingRow]]:
        """Return a run and those of its rows that the person sees; raise ``NotFound`` where there are none."""
        person.require(Right.SEE)
        rows = self._kept.rows(run_id, scope=person.scope)
        if not rows:
            raise not_found("onboarding-not-found", str(run_id))
        return self._kept.run(run_id), rows

    def changes_of(self, run_id: int, person: Person, *, now: datetime) -> Sequence[RowChange]:
        """Return what the rows of a run would change as things are now."""
        _, rows = self.show(run_id, person)
        judges, there = self._judges(now), self._all_there(now)
        bare = [(SheetRow(number=row.number, cells={}), Plan.of(row.plan)) for row in rows]
        return [self._change(judges, row, plan, there, person) for row, plan in bare]

    def standings(
        self,
        person: Person,
        *,
        text: str = "",
        stage: Stage | None = None,
        offset: int = 0,
        limit: int = 50,
        now: datetime,
    ) -> Page[AuthorityStanding]:
        """Return one page of how the authorities in a person's scope stand, by name: all municipalities and districts."""
        found = [each for each in self._standings(person, now) if stage in {None, each.stage}]
        words = text.casefold().split()
        found = [
            each
            for each in found
            if all(
                word in f"{each.place.name} {each.name}".casefold() or each.place.area.ars.startswith(word)
                for word in words
            )
        ]
        start = max(0, offset)
        return Page(items=tuple(found[start : start + limit]), offset=start, total=len(found))

    def counts(self, person: Person, *, now: datetime) -> Mapping[Stage, int]:
        """Return how many authorities in a person's scope are at each stage."""
        found = [each.stage for each in self._standings(person, now)]
        return {stage: found.count(stage) for stage in Stage}

    def stages(self, person: Person, *, now: datetime) -> Mapping[str, Stage]:
        """Return the stage of each authority in a person's scope, by area."""
        return {each.place.area.ars: each.stage for each in self._standings(person, now)}

    def standing(self, ars: str, person: Person, *, now: datetime) -> AuthorityStanding:
        """Return how one authority stands; raise ``NotFound`` for one that is not in the person's scope."""
        found = self._standings(person, now, ars=ars)
        if not found:
            raise not_found("onboarding-not-found", ars)
        return found[0]

    def pack(self, ars: str, person: Person, *, now: datetime) -> bytes:
        """Return what an authority gets to begin with, as a ZIP (:mod:`hub.administration.onboarding_pack`).

        Raises:
            Forbidden, NotFound: the right is missing; not in scope, or not made yet.
        """
        person = person.acting(Right.OPERATE)
        standing = self.standing(ars, person, now=now)
        row = next(iter(self._kept.approved(scope=person.scope, ars=ars).values()), None)
        if row is None or row.client_id is None:
            raise not_found("onboarding-not-found", ars)
        served = standing.destination
        keys = () if served is None else self._store.parties.keys(served.destination_id)
        signing = next((each for each in keys if each.use == "verify" and each.retired_at is None), None)
        plan = Plan.of(row.plan)
        facts = PackFacts(
            name=plan.name,
            ars=ars,
            base_url=self.owners.base_url,
            client_id=row.client_id,
            destination_id=None if served is None else served.destination_id,
            signing_kid="" if signing is None else signing.kid,
            adapter=plan.adapter,
            services=len(self._judges(now).template(plan).services),
        )
        return pack(facts, self.owners.settings_file, now=now)

    # --- Testing, and going live

    def test(self, ars: str, person: Person, *, now: datetime) -> TrialReport:
        """Make a test delivery by the authority's real adapter, and note what came of it.

        Raises:
            Forbidden, NotFound: the right is missing; not in scope, or not made yet. TooMany: as :class:`TestDelivery`.
        """
        person = person.acting(Right.OPERATE)
        standing = self.standing(ars, person, now=now)
        if standing.row is None or standing.destination is None:
            raise not_found("onboarding-not-found", ars)
        destination = self.owners.destinations.show(standing.destination.destination_id, person).destination
        report = self.owners.trials.run(destination, actor=person.name, now=now)
        self._kept.tested(standing.row.run_id, ars, at=now, well=report.good)
        return report

    def go_live(
        self, run_id: int, person: Person, *, areas: Sequence[str] = (), text: str = "", now: datetime
    ) -> Sequence[str]:
        """Put those authorities of a run that are ready into service, or these alone; return their areas.

        Their destinations take submissions, and a version of the routing table with their rules is drafted in the name of
        whoever handed them in, and approved and activated in the name of the person. Where that is refused, they are as
        before; where it breaks off, a duty finishes it (:mod:`hub.administration.onboarding_live`).

        Raises:
            Forbidden, NotFound, Conflict: as :meth:`release`; the person operates and approves, and did not hand it in.
            Invalid: one of ``areas`` is not ready, or none is (``onboarding-not-ready``); the check finds errors.
        """
        run, rows = self.show(run_id, person)
        self._require_live(run, rows, person, now)
        self._maker(run)
        with self._alone(run_id, now) as go_on:
            finished = self.going.finish(self._kept.run(run_id), go_on, now=now)
            if finished and set(areas) <= set(finished):
                return finished
            ready = self._ready(run_id, rows, areas, person, now)
            self.going.begin(run, ready, person, text=_text(text), now=now)
            return [*finished, *self.going.finish(self._kept.run(run_id), go_on, now=now)]

    def _require_live(self, run: OnboardingRun, rows: Sequence[OnboardingRow], person: Person, now: datetime) -> None:
        """Raise ``Forbidden`` where a person may not put these of a run into service."""
        require_second_human(self._store, person.name, [run.proposed_by], now=now)
        for row in rows:
            for right in (Right.APPROVE, Right.OPERATE):
                person.require(right, _At(tenant=row.ars, tenant_id=row.tenant_id))

    def _ready(
        self, run_id: int, rows: Sequence[OnboardingRow], areas: Sequence[str], person: Person, now: datetime
    ) -> dict[str, UUID]:
        """Return the destinations of those that are ready, by area; raise ``Invalid`` where one that is wanted is not."""
        wanted = {row.ars for row in rows if not areas or row.ars in areas}
        standings = [each for each in self._standings(person, now) if each.place.area.ars in wanted]
        ready = [
            each
            for each in standings
            if each.stage is Stage.READY and each.row is not None and each.row.run_id == run_id
        ]
        if not ready or (areas and {each.place.area.ars for each in ready} != set(areas)):
            raise _not_ready(sorted(wanted - {each.place.area.ars for each in ready}))
        placed = [(each.place, each.destination.destination_id) for each in ready if each.destination is not None]
        self._require_good(self._rules(placed, now), [here for _, here in placed], now)
        return {place.area.ars: here for place, here in placed}

    def _rules(self, placed: Sequence[tuple[Place, UUID]], now: datetime) -> list[Rule]:
        """Return the rules of the table in force, with those of authorities in the place of what they had by template."""
        judges, plans = self._judges(now), self._kept.approved(scope=EVERYTHING)
        made: list[Rule] = []
        for place, here in placed:
            plan = Plan.of(plans[place.area.ars].plan)
            made += judges.template(plan).rules(place, short_name(place), here)
        return _with_rules(self.owners.book.at(now), made, [place.area.ars for place, _ in placed])

    def _require_good(self, rules: Sequence[Rule], active: Iterable[UUID], now: datetime) -> None:
        """Raise ``Invalid`` where the check would find errors in the rules once destinations are active."""
        facts = destination_facts(self._store, self.owners.policy, now)
        for each in active:
            facts[each] = replace(facts[each], status="active")
        errors = self._errors(rules, facts, now)
        if errors:
            raise refused([CellFault(row=0, column="", text=text) for _, text in errors])

    # --- Judging

    def _judges(self, now: datetime) -> Judges:
        owners = self.owners
        return Judges(
            gazetteer=owners.gazetteer(),
            templates=owners.templates(),
            ways=owners.ways,
            adapters=owners.adapters,
            offers=owners.offers(),
            policy=owners.policy,
            certify=owners.certify,
            now=now,
        )

    def _require_fit(self, rows: Sequence[OnboardingRow], maker: Person, approver: Person, now: datetime) -> None:
        """Judge once more what has waited: options, services and rules, before anything of it is made."""
        judges, there = self._judges(now), self._all_there(now)
        changes, faults, sheet = [], [], Sheet(rows=(), words={})
        for row in rows:
            plan, line = Plan.of(row.plan), SheetRow(number=row.number, cells={})
            judges.place(plan)
            self.owners.ways.wish(None, plan.adapter, plan.options)
            faults += self._foreign(sheet, line, plan, there, [maker, approver])
            changes.append(self._change(judges, line, plan, there, approver))
        faults += self._conflicts(judges, sheet, changes, there)
        if faults:
            raise refused(faults)

    def _foreign(
        self, sheet: Sheet, row: SheetRow, plan: Plan, there: _There, people: Sequence[Person]
    ) -> list[CellFault]:
        """Return the fault of a row whose area is served by a destination that is not in everybody's scope."""
        destination = self._served(plan, there)
        if destination is None or all(each.scope.holds(destination.tenant_id, destination.tenant) for each in people):
            return []
        return [sheet.fault(row, "ars", _FOREIGN)]

    def _served(self, plan: Plan, there: _There) -> Destination | None:
        served = there.destinations.get(plan.ars)
        return None if served is None else self._store.parties.destination(served.destination_id)

    def _change(self, judges: Judges, row: SheetRow, plan: Plan, there: _There, person: Person) -> RowChange:
        """Return what a row changes; nothing of a destination that the person does not see."""
        before = there.approved.get(plan.ars)
        destination = self._served(plan, there)
        if destination is not None and not person.may(Right.SEE, destination):
            return RowChange(row=row, plan=plan, is_new=False)
        if destination is None:
            if before is None:
                return RowChange(row=row, plan=plan, is_new=True)
            return RowChange(row=row, plan=plan, is_new=False, differences=plan_differences(Plan.of(before.plan), plan))
        keys = self._store.parties.keys(destination.destination_id)
        found = differences(plan, judges.offered(plan), destination, keys)
        return RowChange(row=row, plan=plan, is_new=before is None and not found, differences=found)

    def _conflicts(self, judges: Judges, sheet: Sheet, changes: Sequence[RowChange], there: _There) -> list[CellFault]:
        """Return what the check of the routing table would find wrong with the rules of rows, as faults of the rows."""
        rows: dict[str, SheetRow] = {}
        made: list[Rule] = []
        facts = dict(there.facts)
        for each in changes:
            plan = each.plan
            known = there.destinations.get(plan.ars)
            here = plan.placeholder if known is None else known.destination_id
            place = judges.place(plan)
            rules = judges.template(plan).rules(place, short_name(place), here)
            rows |= {rule.id: each.row for rule in rules}
            made += rules
            facts[here] = _planned_facts(plan, judges.offered(plan), facts.get(here), judges.now)
        if not made:
            return []
        table = _with_rules(self.owners.book.at(judges.now), made, [each.plan.ars for each in changes])
        return [
            sheet.fault(rows[name], "template", text)
            for names, text in self._errors(table, facts, judges.now)
            for name in names
            if name in rows
        ]

    def _errors(
        self, rules: Sequence[Rule], facts: Mapping[UUID, DestinationFacts], now: datetime
    ) -> list[tuple[Sequence[str], Text]]:
        sources = self.owners.book.sources
        table = self.owners.book.table_of(rules)
        found = check(
            table, sources.gazetteer, self.owners.book.services, facts, on=now, known_schemas=sources.schemas()
        )
        return [(each.rows, each.text) for each in found if each.severity is Severity.ERROR]

    # --- What is there

    def _standings(self, person: Person, now: datetime, *, ars: str | None = None) -> list[AuthorityStanding]:
        person.require(Right.SEE)
        approved = self._kept.approved(scope=person.scope, ars=ars, with_plans=False)
        waiting = self._kept.waiting(scope=person.scope, ars=ars, with_plans=False)
        destinations = self._kept.destinations(scope=person.scope)
        routed = {rule.destination for rule in self.owners.book.at(now)}
        found = []
        for place in self._places(person, now):
            key = place.area.ars
            if ars in {None, key}:
                row, served = approved.get(key), destinations.get(key)
                is_routed = served is not None and served.destination_id in routed
                stage = stage_of(row, waiting.get(key), served, is_routed=is_routed)
                found.append(
                    AuthorityStanding(
                        place=place,
                        stage=stage,
                        row=row,
                        waiting=waiting.get(key),
                        destination=served,
                        is_routed=is_routed,
                    )
                )
        return found

    def _places(self, person: Person, now: datetime) -> list[Place]:
        """Return the districts and municipalities in a person's scope, by name; an independent city stands here once."""
        gazetteer, today = self.owners.gazetteer(), now.date()
        towns = [each for each in gazetteer.municipalities(on=today) if person.covers(each.area.ars)]
        cities = {each.area.ars for each in towns}
        districts = [
            each
            for each in gazetteer.districts(on=today)
            if person.covers(each.area.ars) and f"{each.area.ars}{CITY}" not in cities
        ]
        return sorted((*districts, *towns), key=lambda each: (each.name, each.area.ars))

    def _all_there(self, now: datetime) -> _There:
        return _There(
            approved=self._kept.approved(scope=EVERYTHING),
            destinations=self._kept.destinations(scope=EVERYTHING),
            facts=destination_facts(self._store, self.owners.policy, now),
        )

    # --- Who

    def _maker(self, run: OnboardingRun) -> Person:
        """Return who handed a run in, with the rights they have now."""
        account = self._store.accounts.account(run.proposed_by)
        if account is None or account.disabled_at is not None:
            raise decided_already()
        return person_of(account, self._store.tenants)

    def _approver(self, run: OnboardingRun, rows: Sequence[OnboardingRow], person: Person, now: datetime) -> Person:
        require_second_human(self._store, person.name, [run.proposed_by], now=now)
        for row in rows:
            person.require(Right.APPROVE, _At(tenant=row.ars, tenant_id=row.tenant_id))
        if len(rows) != run.rows:
            raise outside_scope(Text("Diese Aufnahme reicht auch auf Gebiete", "This onboarding reaches on areas"))
        return person

    def _decide(
        self, run: OnboardingRun, state: ChangeState, person: Person, text: str, now: datetime
    ) -> OnboardingRun:
        remark = _text(text)
        audit = AuditEntry(
            at=now,
            actor=person.name,
            action=f"onboarding.{_DONE[state]}",
            target="onboarding",
            after={"run": run.run_id, "rows": run.rows, "proposed_by": run.proposed_by, "text": remark},
        )
        return self._kept.decide(run.run_id, state, by=person.name, at=now, remark=remark, audit=audit)


def _waits_otherwise(run_id: int) -> Text:
    return Text(
        f"Wartet in Aufnahme {run_id} mit anderen Angaben auf eine zweite Person.",
        f"Waits in onboarding {run_id} with other contents for a second person.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _At:
    """Where an authority is, for the question whether somebody has a right there."""

    tenant: str
    tenant_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _There:
    """What is there of all authorities, by area; and the facts of all destinations."""

    approved: Mapping[str, OnboardingRow]
    destinations: Mapping[str, Served]
    facts: Mapping[UUID, DestinationFacts]


def _with_rules(table: RoutingTable, made: Sequence[Rule], areas: Iterable[str]) -> list[Rule]:
    """Return a table's rules with those that were made of templates; what a rule by hand says alike already is left to it."""
    begins = tuple(rule_id(ars, "") for ars in areas)
    kept = [rule for rule in table if not rule.id.startswith(begins)]
    said = {(rule.area, rule.destination, urn) for rule in kept if rule.is_unbounded for urn in rule.services}
    narrowed = [
        replace(rule, services=left)
        for rule in made
        if (left := tuple(urn for urn in rule.services if (rule.area, rule.destination, urn) not in said))
    ]
    return [*kept, *narrowed]


def _planned_facts(
    plan: Plan, offers: tuple[OfferedService, ...], known: DestinationFacts | None, now: datetime
) -> DestinationFacts:
    """Return the facts of a destination as if it were in service: what it needs for that is judged at its own place."""
    until = now.max.replace(tzinfo=now.tzinfo) if known is None else known.key_valid_until
    return DestinationFacts(name=plan.name, status="active", key_valid_until=until, offers=offers)


def _require_both(person: Person) -> None:
    """Whoever takes authorities in makes destinations and rules."""
    person.require(Right.OPERATE)
    person.require(Right.EDIT)


def _text(text: str) -> str:
    return text.strip()[:_LONGEST_TEXT]


def _not_ready(areas: Sequence[str]) -> Invalid:
    named = ", ".join(areas[:_MOST_NAMED])
    return Invalid(
        Text(
            f"Noch nicht bereit: {named or 'alle'}. Die Seite der Behörde sagt, was fehlt.",
            f"Not ready yet: {named or 'all'}. The authority's page says what is missing.",
        ),
        slug="onboarding-not-ready",
    )


def _being_made() -> Conflict:
    return state_forbids(
        Text("Diese Aufnahme wird gerade angelegt.", "This onboarding is being made at this moment."),
        Text(
            "Laden Sie die Seite nach einigen Minuten neu: Sie sagt, was angelegt ist.",
            "Reload the page in a few minutes: it says what is made.",
        ),
    )


#: No authority takes as long to be made; whoever dies meanwhile holds nobody up for longer.
_RELEASE_LEASE = timedelta(minutes=1)
_FOREIGN = Text(
    "Dieses Gebiet versorgt ein Zustellpunkt außerhalb der Zuständigkeit derer, die aufnehmen und freigeben. Wer für ihn "
    "zuständig ist, ändert ihn.",
    "This area is served by a destination outside the scope of those who take in and release. Its owner changes it.",
)
_DONE = {
    ChangeState.APPROVED: "release",
    ChangeState.REFUSED: "refuse",
    ChangeState.WITHDRAWN: "withdraw",
}
