"""Circuit breakers at work: what an attempt means for the next ones to the same destination, and who hears of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from hub.errors import Unavailable
from hub.model.delivery import Breaker, Standing, next_standing
from hub.model.submission import Outcome
from hub.observability.metrics import Meters
from hub.store import AuditEntry, Circuit, Claim, Store

_log = logging.getLogger(__name__)


class Breakers:
    """Keeps the circuits of all destinations in the store."""

    def __init__(self, *, store: Store, meters: Meters, breaker: Breaker, node: str) -> None:
        self._store = store
        self._meters = meters
        self._breaker = breaker
        self._node = node

    def note(self, claim: Claim, outcome: Outcome, *, now: datetime) -> None:
        """Take an attempt's outcome into account.

        A success at a closed circuit, the usual case, costs nothing: the claim tells how the circuit stood.
        """
        if self._next(outcome, claim.circuit, now) == claim.circuit:
            return
        before = claim.circuit

        def change(circuit: Circuit) -> Circuit:
            nonlocal before
            before = circuit.standing
            after = self._next(outcome, before, now)
            return replace(
                circuit,
                failures=after.failures,
                open_until=after.open_until,
                fault=after.fault,
                fault_since=after.fault_since,
            )

        destination_id = claim.destination.destination_id
        try:
            changed = self._store.change_circuit(destination_id, change, now)
            self._announce(changed, before, outcome, now)
        except Unavailable as error:
            # The next attempt will say the same.
            _log.warning("destination %s: circuit not changed: %s", destination_id, error)
        except Exception:  # noqa: BLE001  # a circuit only saves attempts; the delivery's result is recorded
            _log.exception("destination %s: circuit not changed", destination_id)

    def _next(self, outcome: Outcome, standing: Standing, now: datetime) -> Standing:
        return next_standing(outcome, standing, now=now, breaker=self._breaker)

    def _announce(self, circuit: Circuit, before: Standing, outcome: Outcome, now: datetime) -> None:
        after = circuit.standing
        if after.is_disabled(now, self._breaker):
            if not before.is_disabled(now, self._breaker):
                self._alarm(circuit, outcome, now)
        elif after.fault is not None and before.fault is None:
            self._complain(circuit, outcome, now)
        elif after.is_open(now) and after != before:
            self._meters.circuit_opened(_why(after, outcome))
            _log.warning(
                "destination %s: circuit open until %s after %d failures",
                circuit.destination_id,
                after.open_until,
                after.failures,
            )
        elif before.open_until is not None and after.open_until is None:
            _log.warning("destination %s: circuit closed, the receiver works again", circuit.destination_id)

    def _complain(self, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        """Say at once that a destination's settings are at fault: waiting mends nothing."""
        self._meters.circuit_opened("configuration")
        _log.error(
            "destination %s: %s; its settings have to be mended, deliveries pause", circuit.destination_id, outcome.note
        )
        self._audit("circuit.pause", circuit, outcome, now)

    def _alarm(self, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        """Say three times over that a receiver is gone for good: only a person may try it again."""
        self._meters.circuit_opened("gone")
        _log.error("destination %s: the receiver says it is gone, deliveries stop", circuit.destination_id)
        self._audit("circuit.disable", circuit, outcome, now)

    def _audit(self, action: str, circuit: Circuit, outcome: Outcome, now: datetime) -> None:
        self._store.append_audit(
            AuditEntry(
                at=now,
                actor=f"hub:{self._node}",
                action=action,
                target=f"destination:{circuit.destination_id}",
                after={"note": outcome.note},
            )
        )


def _why(standing: Standing, outcome: Outcome) -> str:
    if standing.fault is not None:
        return "configuration"
    return "failures" if outcome.retry_after is None else "wish"
