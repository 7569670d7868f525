"""Who is away, and who stands in: absences of clerks, in the journal's own file, and whose cases a deputy sees because of them.

Anybody who is logged in may enter an absence, a colleague's as well: who falls ill does not. It gives no right that a colleague
has not anyway (taking a case over, with both names in its deeds); it says whose cases wait, and shows them to the deputy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from hub.connector.clerk.accounts import ClerkAccounts
from hub.connector.journal import Journal
from hub.errors import Invalid, NotFound, Text

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clerk_absence (
  name      TEXT PRIMARY KEY,
  deputy    TEXT NOT NULL,
  first_day TEXT NOT NULL,
  last_day  TEXT NOT NULL,
  said_by   TEXT NOT NULL,
  said_at   TEXT NOT NULL
) STRICT;
"""
#: Days of one absence: a longer one is no absence any more, and the cases should be somebody else's.
_LONGEST = 366


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkAbsence:
    """One clerk's absence, both days included; ``said_by`` entered it."""

    name: str
    deputy: str
    first_day: date
    last_day: date
    said_by: str

    def holds(self, day: date) -> bool:
        """Tell whether somebody is away on a day."""
        return self.first_day <= day <= self.last_day


class ClerkAbsences:
    """Enters, ends and tells absences. Thread-safe; of each clerk there is one at most."""

    def __init__(self, journal: Journal, accounts: ClerkAccounts) -> None:
        self._journal = journal
        self._accounts = accounts
        journal.extend(_SCHEMA)

    def all(self, day: date) -> list[ClerkAbsence]:
        """Return the absences that are not over on a day, the next one first."""
        rows = self._journal.rows(
            "SELECT * FROM clerk_absence WHERE last_day >= ? ORDER BY first_day, name", (day.isoformat(),)
        )
        return [_absence(row) for row in rows]

    def of(self, name: str | None, day: date) -> ClerkAbsence | None:
        """Return the absence of somebody who is away on a day."""
        return next((each for each in self.all(day) if each.name == name and each.holds(day)), None)

    def deputised(self, deputy: str, day: date) -> list[ClerkAbsence]:
        """Return for whom somebody stands in on a day."""
        return [each for each in self.all(day) if each.deputy == deputy and each.holds(day)]

    def enter(self, absence: ClerkAbsence, now: datetime) -> None:
        """Write an absence down; it takes the place of an earlier one of the same clerk.

        Raises:
            Invalid: no such account, a deputy of oneself or one who is away then, days that make no span to come.
        """
        self._require_people(absence)
        today = now.date()
        if not absence.first_day <= absence.last_day or absence.last_day < today:
            raise Invalid(
                Text(
                    "Der letzte Tag liegt nicht vor dem ersten und nicht in der Vergangenheit.",
                    "The last day is not before the first one, nor past.",
                ),
                field="until",
            )
        if (absence.last_day - absence.first_day).days > _LONGEST:
            raise Invalid(
                Text("Eine Abwesenheit dauert höchstens ein Jahr.", "An absence takes one year at most."), field="until"
            )
        for each in self.all(today):
            if each.name == absence.deputy and _meet(each, absence):
                raise Invalid(
                    Text("Die Vertretung ist dann selbst abwesend.", "The deputy is away then, too."), field="deputy"
                )
        with self._journal.writing() as connection:
            connection.execute("DELETE FROM clerk_absence WHERE last_day < ?", (today.isoformat(),))
            connection.execute(
                "INSERT OR REPLACE INTO clerk_absence VALUES (?, ?, ?, ?, ?, ?)",
                (
                    absence.name,
                    absence.deputy,
                    absence.first_day.isoformat(),
                    absence.last_day.isoformat(),
                    absence.said_by,
                    now.isoformat(),
                ),
            )

    def end(self, name: str) -> None:
        """Take an absence back; ``NotFound`` where there is none."""
        with self._journal.writing() as connection:
            ended = connection.execute("DELETE FROM clerk_absence WHERE name = ?", (name,)).rowcount
        if not ended:
            raise NotFound(Text("Diese Abwesenheit gibt es nicht.", "There is no such absence."))

    def _require_people(self, absence: ClerkAbsence) -> None:
        for name, place in ((absence.name, "name"), (absence.deputy, "deputy")):
            if self._accounts.find(name) is None:
                raise Invalid(
                    Text("Wählen Sie ein Konto dieser Seite.", "Choose an account of this page."), field=place
                )
        if absence.name == absence.deputy:
            raise Invalid(Text("Niemand vertritt sich selbst.", "Nobody stands in for themselves."), field="deputy")


def _meet(one: ClerkAbsence, other: ClerkAbsence) -> bool:
    return one.first_day <= other.last_day and other.first_day <= one.last_day


def _absence(row: Mapping[str, Any]) -> ClerkAbsence:
    return ClerkAbsence(
        name=row["name"],
        deputy=row["deputy"],
        first_day=date.fromisoformat(row["first_day"]),
        last_day=date.fromisoformat(row["last_day"]),
        said_by=row["said_by"],
    )
