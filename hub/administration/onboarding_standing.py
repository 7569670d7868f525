"""How far an authority is that is taken in, and what a row of the table would change of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.administration.onboarding_plans import Difference, Plan
from hub.administration.onboarding_sheet import SheetRow
from hub.areas import Place
from hub.store import OnboardingRow, Served


class Stage(StrEnum):
    """How far an authority is: what is to be done next."""

    #: Nobody has handed it in.
    ABSENT = "absent"
    #: A second person has to release it.
    RELEASE = "release"
    #: It is released, and not made yet: the release broke off.
    MAKING = "making"
    #: A key has no certificate yet.
    CERTIFICATE = "certificate"
    #: No test delivery went well yet.
    TEST = "test"
    #: Somebody else than who handed it in may put it into service.
    READY = "ready"
    #: It takes submissions and is routed to.
    LIVE = "live"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorityStanding:
    """How an authority stands. ``row`` is what was released last, ``waiting`` what waits for a second person."""

    place: Place
    stage: Stage
    row: OnboardingRow | None = None
    waiting: OnboardingRow | None = None
    destination: Served | None = None
    is_routed: bool = False

    @property
    def name(self) -> str:
        """What it calls itself, or the area's name."""
        known = self.row or self.waiting
        return self.place.name if known is None else known.name

    @property
    def missing(self) -> Sequence[Stage]:
        """What is still missing, in its order."""
        order = list(Stage)
        if self.stage is Stage.LIVE:
            return ()
        left = order[order.index(self.stage) : -1]
        # That nobody began is where it stands; what is missing begins with the next step.
        needless = {Stage.ABSENT} | ({Stage.MAKING, Stage.CERTIFICATE} - {self.stage})
        return tuple(each for each in left if each not in needless)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChange:
    """What a row would change: nothing that is there yet (``is_new``), or these differences."""

    row: SheetRow
    plan: Plan
    is_new: bool
    differences: Sequence[Difference] = ()

    @property
    def is_none(self) -> bool:
        """Whether all is as the row says."""
        return not self.is_new and not self.differences


def stage_of(
    row: OnboardingRow | None, waiting: OnboardingRow | None, destination: Served | None, *, is_routed: bool
) -> Stage:
    """Return what is to be done next of what was released last, of what waits, and of a destination."""
    if destination is not None and destination.status == "active" and is_routed:
        return Stage.LIVE
    if row is None:
        return Stage.ABSENT if waiting is None else Stage.RELEASE
    if row.made_at is None:
        return Stage.MAKING
    if destination is None:
        return Stage.CERTIFICATE if waiting is None else Stage.RELEASE
    tested = row.tested_well and row.tested_at is not None and row.tested_at >= row.made_at
    return Stage.READY if tested else Stage.TEST
