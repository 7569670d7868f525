"""Deliveries: what an adapter is and answers, what follows an attempt, and when a receiver is left alone. Pure.

The Adapter contract, and the decision what to do after an attempt. Pure.

The circuit breaker of a destination: when to leave a receiver alone, and when to try it again. Pure.

Closed: attempts run side by side. Open: nothing is claimed until the pause ends. Half open: one attempt at a time, whose end
decides. The state (consecutive failures, end of the pause) lies in the store, so that all nodes spare the receiver.

What only the destination's settings can mend opens the circuit at once and says so (``fault``): nothing is to be gained by
trying, and people are to know now. A change of the settings closes it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from hub.model.reasons import only_settings_mend, reason_of
from hub.model.submission import DeadCause, Form, Outcome, OutcomeKind, Package


class Adapter(Protocol):
    """One way into a receiving system.

    Life cycle: construct from strict configuration (no I/O; an unknown option raises ``ConfigurationError``), ``open``,
    any number of ``deliver`` from several threads, ``close``. ``deliver`` reports what happened as an
    :class:`~hub.submission.Outcome` and raises only on a bug. It makes one attempt; repeating is the hub's business.
    """

    name: str

    def __init__(self, config: Mapping[str, Any]) -> None: ...

    def open(self) -> None:
        """Take hold of what ``deliver`` needs (sessions, folders)."""

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt and report what came of it."""

    def close(self) -> None:
        """Let go of everything; ``deliver`` is not called any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealing:
    """How contents must be sealed for a destination; the answer of its adapter and options.

    ``form`` is what the plain door makes, ``takes`` is all that can be delivered: without JOSE the sealed door is shut.
    ``most`` caps what one application may hold, all parts together, in bytes of plaintext; None: no cap but the hub's own.
    ``readable`` asks for a page of HTML beside the data.
    """

    form: Form = Form.JOSE
    takes: frozenset[Form] = frozenset({Form.JOSE})
    most: int | None = None
    readable: bool = False


#: An option that any adapter may declare: whether a page that people can read is sealed in beside the data, and its one form.
READABLE, HTML = "readable", "html"


class Particular(Protocol):
    """What an adapter has besides, if its receivers want anything but JWEs of any size."""

    @classmethod
    def sealing(cls, config: Mapping[str, Any]) -> Sealing:
        """Say it, from options alone; raise ``ConfigurationError`` as construction does."""


def sealing_of(kind: type[Adapter], config: Mapping[str, Any]) -> Sealing:
    """Return how to seal for a destination with this adapter and these options.

    Raises:
        ConfigurationError: the adapter does not take the options.
    """
    particular: type[Particular] | None = kind if hasattr(kind, "sealing") else None  # type: ignore[assignment]
    wanted = _USUAL if particular is None else particular.sealing(config)
    return replace(wanted, readable=True) if config.get(READABLE) == HTML else wanted


_USUAL = Sealing()


class StepKind(StrEnum):
    """What the dispatcher does next with a delivery."""

    #: Finished well: delivered, or waiting in the mailbox.
    FINISH = "finish"
    #: Try again at ``due``.
    RETRY = "retry"
    #: Give up: into the dead letters, split by ``cause``.
    BURY = "bury"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The decision after one attempt."""

    kind: StepKind
    due: datetime | None = None
    cause: DeadCause | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When to try again: waits grow from ``first`` by ``factor`` to ``longest``, until ``give_up`` after the start.

    Each wait is shortened at random by up to ``jitter`` of itself, so that a recovering receiver is not stormed.

    What only settings can mend is given up ``settings_give_up`` after it began. Until then it is due again after
    ``settings_wait``, so that it goes out as soon as they are mended; its circuit is open meanwhile, so nothing is tried.
    """

    first: timedelta = timedelta(seconds=5)
    factor: float = 3.0
    longest: timedelta = timedelta(hours=10)
    give_up: timedelta = timedelta(days=14)
    jitter: float = 0.2
    settings_wait: timedelta = timedelta(minutes=1)
    settings_give_up: timedelta = timedelta(days=1)

    def wait(self, attempt: int, chance: float) -> timedelta:
        """Return the wait after ``attempt`` (from 1), ``chance`` in [0, 1) choosing the jitter."""
        steps = min(attempt - 1, 60)
        seconds = min(self.first.total_seconds() * self.factor**steps, self.longest.total_seconds())
        return timedelta(seconds=seconds * (1 - self.jitter * chance))

    def attempts_within(self, passed: timedelta, attempt: int) -> int:
        """Return the number of an attempt since the schedule began, ``passed`` ago.

        Of ``attempt`` in all those before a person sent it again do not count: so many as there is room for, by the shortest
        waits, are those since.
        """
        number, least = 1, self.wait(1, 1.0)
        while number < attempt and least <= passed:
            number += 1
            least += self.wait(number, 1.0)
        return number


_FINISHED = {OutcomeKind.DELIVERED, OutcomeKind.WAITING}


def next_step(
    outcome: Outcome,
    *,
    attempt: int,
    accepted_at: datetime,
    now: datetime,
    schedule: Schedule,
    chance: float | None = None,
    faulty_since: datetime | None = None,
) -> Step:
    """Decide what follows ``outcome`` of attempt number ``attempt`` (from 1); ``accepted_at`` is when the schedule began.

    A receiver's ``retry_after`` is honoured, capped at the schedule's longest wait. ``faulty_since`` says since when the
    destination's settings have been at fault, so that what waited before is not given up at once; None: all the time.
    """
    if outcome.kind in _FINISHED:
        return Step(kind=StepKind.FINISH)
    if outcome.kind is OutcomeKind.REFUSED:
        return Step(kind=StepKind.BURY, cause=outcome.cause or DeadCause.RECEIVER)
    if is_fault_of_settings(outcome):
        return _until_settings_are_mended(max(accepted_at, faulty_since or accepted_at), accepted_at, now, schedule)
    begun_anew = schedule.attempts_within(now - accepted_at, attempt)
    wait = schedule.wait(begun_anew, random.random() if chance is None else chance)  # noqa: S311  # jitter, not a secret
    if outcome.retry_after is not None:
        wait = min(max(wait, outcome.retry_after), schedule.longest)
    if now + wait > accepted_at + schedule.give_up:
        return Step(kind=StepKind.BURY, cause=outcome.cause or DeadCause.RECEIVER)
    return Step(kind=StepKind.RETRY, due=now + wait)


def is_fault_of_settings(outcome: Outcome) -> bool:
    """Tell whether an attempt ended before any connection, by what the destination's settings say of its address.

    Neither time nor the receiver mends that. A certificate that is not trusted, a login or a path that is refused are
    no such faults: the authority may mend them on its side, which only another attempt finds out.
    """
    return outcome.kind is OutcomeKind.UNREACHABLE and only_settings_mend(outcome.note)


def _until_settings_are_mended(since: datetime, accepted_at: datetime, now: datetime, schedule: Schedule) -> Step:
    due = now + schedule.settings_wait
    if due > min(since + schedule.settings_give_up, accepted_at + schedule.give_up):
        return Step(kind=StepKind.BURY, cause=DeadCause.CONFIGURATION)
    return Step(kind=StepKind.RETRY, due=due)


#: The receiver answered, whatever it said: it is there.
_ANSWERED = frozenset({OutcomeKind.DELIVERED, OutcomeKind.WAITING, OutcomeKind.REFUSED})
#: Doubling ends here; beyond it a pause is the longest anyway.
_MOST_DOUBLINGS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """How long a failing receiver is spared: from ``threshold`` failures in a row on, ``first`` doubling to ``longest``."""

    threshold: int = 5
    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)
    #: The longest pause that a receiver may wish for itself (Retry-After).
    longest_wish: timedelta = timedelta(hours=10)
    #: A receiver that is gone (HTTP 410) gets nothing until a person closes the circuit.
    gone: timedelta = timedelta(days=3650)
    #: How long nothing is tried where settings are at fault: a name's address may be mended without them.
    faulty: timedelta = timedelta(hours=1)

    def pause(self, failures: int) -> timedelta:
        """Return the pause after ``failures`` failures in a row, at least ``threshold``."""
        doublings: int = 1 << min(failures - self.threshold, _MOST_DOUBLINGS)
        return min(self.first * doublings, self.longest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a circuit stands: failures in a row, and the end of its pause (past: half open; None: closed).

    ``fault`` is the code of what the destination's settings have to mend, ``fault_since`` when that began.
    """

    failures: int = 0
    open_until: datetime | None = None
    fault: str | None = None
    fault_since: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Tell whether nothing is claimed at ``now``."""
        return self.open_until is not None and self.open_until > now

    def is_disabled(self, now: datetime, breaker: Breaker) -> bool:
        """Tell whether only a person will close it: the pause is longer than any other can be."""
        return self.open_until is not None and self.open_until > now + breaker.longest_wish


def next_standing(outcome: Outcome, standing: Standing, *, now: datetime, breaker: Breaker) -> Standing:
    """Decide where the circuit stands after an attempt that ended at ``now`` with ``outcome``."""
    if outcome.disable:
        return Standing(failures=standing.failures + 1, open_until=now + breaker.gone)
    if is_fault_of_settings(outcome):
        return _at_fault(outcome, standing, now, breaker)
    if _is_ours(outcome):
        return standing
    if outcome.kind in _ANSWERED:
        # A straggler of before the pause does not end it; the attempt after the pause does.
        return replace(standing, failures=0) if standing.is_open(now) else Standing()
    if outcome.retry_after is not None:
        wish = now + min(outcome.retry_after, breaker.longest_wish)
        return replace(standing, open_until=max(wish, standing.open_until or wish))
    # Attempts that were under way when it opened are one failure, not many.
    return standing if standing.is_open(now) else _after_failure(standing, now, breaker)


def _at_fault(outcome: Outcome, standing: Standing, now: datetime, breaker: Breaker) -> Standing:
    if standing.fault is not None and standing.is_open(now):
        return standing
    until = now + breaker.faulty
    return Standing(
        failures=standing.failures + 1,
        open_until=max(until, standing.open_until or until),
        fault=reason_of(outcome.note).code,
        fault_since=standing.fault_since if standing.fault is not None else now,
    )


def _after_failure(standing: Standing, now: datetime, breaker: Breaker) -> Standing:
    failures = standing.failures + 1
    if failures < breaker.threshold:
        return Standing(failures=failures, open_until=standing.open_until)
    return Standing(failures=failures, open_until=now + breaker.pause(failures))


def _is_ours(outcome: Outcome) -> bool:
    """Tell whether the fault is on this side, so that it says nothing of the receiver (an unknown end might).

    A login or a certificate that fails is no such fault: whatever is sent next fails alike, and too many logins that fail
    lock an account.
    """
    if outcome.cause is DeadCause.HUB:
        return outcome.kind is not OutcomeKind.UNKNOWN
    return outcome.cause is DeadCause.CONFIGURATION and outcome.kind is OutcomeKind.REFUSED
