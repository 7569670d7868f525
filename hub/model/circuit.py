"""The circuit breaker of a destination: when to leave a receiver alone, and when to try it again. Pure.

Closed: attempts run side by side. Open: nothing is claimed until the pause ends. Half open: one attempt at a time, whose end
decides. The state (consecutive failures, end of the pause) lies in the store, so that all nodes spare the receiver.

What only the destination's settings can mend opens the circuit at once and says so (``fault``): nothing is to be gained by
trying, and people are to know now. A change of the settings closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hub.model.delivery import is_fault_of_settings
from hub.model.reasons import reason_of
from hub.model.submission import DeadCause, Outcome, OutcomeKind

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
