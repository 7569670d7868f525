"""The watch: looks for what lies still, and tells people of it once a day.

A digest says how much there is and since when, by contact and to the operators; there is none where there is nothing. Which
day it is of makes its id, so that of all nodes and runs one writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hub.errors import UnreadableRow
from hub.model import EVERYTHING
from hub.model.usage import ZONE, day_of
from hub.notifications.mail import Noticeboard
from hub.store import Store, WatchFinding, WatchPatience
from hub.store.findings import by_destination

#: The hour of the day from which on digests are given: what was found in the night is read in the morning.
_FROM = 6
#: The day on which decisions were looked for last.
_DECISIONS = "watch.decisions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Looks, and tells."""

    store: Store
    board: Noticeboard
    patience: WatchPatience = field(default_factory=WatchPatience)
    #: Says of services, by their URNs, how long a decision may take.
    decisions: Callable[[], Mapping[str, timedelta]] = dict

    def run(self, now: datetime) -> int:
        """Look for what lies still; return how many findings there are. The first run of a morning tells of them."""
        today = day_of(now).isoformat()
        # What is undecided for weeks need not be looked for each hour.
        is_due = self.store.settings.value(_DECISIONS) != today
        number = self.store.findings.look(now, self.patience, self.decisions() if is_due else None)
        if is_due:
            self.store.settings.set(_DECISIONS, today)
        if number and now.astimezone(ZONE).hour >= _FROM:
            self.tell(now)
        return number

    def tell(self, now: datetime) -> int:
        """Give each contact its digest of the day, if it has none yet; return how many were given."""
        found = self.store.findings.open(scope=EVERYTHING, limit=100_000)
        by_contact: dict[str, list[WatchFinding]] = {}
        for destination_id, mine in by_destination(found).items():
            for contact in self.board.contacts(str(destination_id)):
                by_contact.setdefault(contact, []).extend(mine)
        if self.board.operators:
            by_contact[self.board.operators] = list(found)
        return sum(self._digest(contact, mine, now) for contact, mine in sorted(by_contact.items()))

    def _digest(self, contact: str, mine: Sequence[WatchFinding], now: datetime) -> int:
        try:
            return self.store.notices.write(self.board.digest(contact, mine, now=now))
        except UnreadableRow:
            return 0
