"""Stamps the newest checkpoint by a time-stamping authority (RFC 3161): another clock than the hub's vouches for it.

Each checkpoint names the hash of the one before, so one stamp says of all before that it was there by then; to stamp each
application would cost a request each and say no more. What cannot be stamped now is stamped at a later run: nothing waits for
it, least of all who sends an application.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hub.crypto.timestamps import LARGEST_ANSWER, QUERY, REPLY, Roots, stamp_request, verify_stamp
from hub.errors import SealBroken, Text, Unavailable
from hub.store import Store
from hub.store.timestamps import StampedCheckpoint
from hub.transport.connection import Outbound

_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamping:
    """Asks the authority at ``url`` at most ``every``; what it answers counts once ``roots`` vouch for it."""

    store: Store
    outbound: Outbound
    url: str
    roots: Roots = field(repr=False)
    every: timedelta = timedelta(minutes=10)

    def pending(self) -> bool:
        """Whether there is a checkpoint that no stamp covers."""
        newest, last = self.store.checkpoints.last(), self.store.timestamps.last()
        return newest is not None and (last is None or last.number < newest.number)

    def run(self, now: datetime) -> int:
        """Stamp the newest checkpoint if it is time; return how many were.

        Raises:
            Unavailable: the authority does not answer, or not with a stamp that counts. It is asked again at the next run.
        """
        newest, last = self.store.checkpoints.last(), self.store.timestamps.last()
        if newest is None or (
            last is not None and (last.number >= newest.number or now - last.stamped_at < self.every)
        ):
            return 0
        content = newest.token.encode("ascii")
        wanted = stamp_request(content)
        outbound = replace(self.outbound, timeout=_TIMEOUT, answer_limit=LARGEST_ANSWER + 1)
        answer = outbound.post(self.url, wanted.der, {"Content-Type": QUERY, "Accept": REPLY, "Connection": "close"})
        if not answer.taken:
            raise _silent(answer.note)
        try:
            verify_stamp(answer.content, content, self.roots, nonce=wanted.nonce)
        except SealBroken as exc:
            raise _silent(exc.detail.en) from exc
        # The hub's own time: by it the next stamp is due, whatever clock the authority has.
        self.store.timestamps.add(StampedCheckpoint(number=newest.number, stamped_at=now, token=answer.content))
        return 1


def _silent(note: str) -> Unavailable:
    return Unavailable(
        Text(
            f"Die Zeitstempelstelle gibt keinen gültigen Zeitstempel ({note}). Es wird wieder versucht; Anträge warten nicht "
            "darauf.",
            f"The time-stamping authority gives no valid time stamp ({note}). It is tried again; no application waits for it.",
        ),
        slug="timestamp-missing",
        retry_after=timedelta(minutes=1),
    )
