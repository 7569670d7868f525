"""Links of the register of AI systems: when each was looked at, and how often in a row it led nowhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from hub.store import tables
from hub.store.database import Database, micros, moment
from hub.store.statements import Insert

_LINKS = tables.ai_links
_PUT = Insert(
    _LINKS,
    "ON CONFLICT (url) DO UPDATE SET checked_at = excluded.checked_at, note = excluded.note, "
    "failures = CASE WHEN excluded.failures = 0 THEN 0 ELSE ai_links.failures + 1 END",
)
#: One failure may be a bad minute of the other side; what fails again is broken.
BROKEN_FROM = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedLink:
    """What came of the last look at a link; ``failures`` in a row, ``note`` why, empty for one that leads somewhere."""

    url: str
    checked_at: datetime
    failures: int
    note: str

    @property
    def broken(self) -> bool:
        """Whether it counts as leading nowhere."""
        return self.failures >= BROKEN_FROM


class AiLinks:
    """Keeps what came of looks at links."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Mapping[str, CheckedLink]:
        """Return every link that was looked at, by its address."""
        rows = self._database.read(lambda connection: connection.execute(select(_LINKS)).all())
        return {
            row.url: CheckedLink(url=row.url, checked_at=moment(row.checked_at), failures=row.failures, note=row.note)
            for row in rows
        }

    def broken(self) -> Mapping[str, str]:
        """Return the links that lead nowhere, and why."""
        return {each.url: each.note for each in self.all().values() if each.broken}

    def note(self, looks: Sequence[CheckedLink], *, known: Collection[str]) -> int:
        """Keep looks: a failure (``failures`` above 0) counts on from the last one's. Links that are not ``known`` go."""

        def write(connection: Connection) -> int:
            for each in looks:
                row = {"url": each.url, "checked_at": micros(each.checked_at), "note": each.note}
                _PUT(connection, row | {"failures": int(each.failures > 0)})
            gone = [row.url for row in connection.execute(select(_LINKS.c.url)) if row.url not in known]
            for url in gone:
                connection.execute(delete(_LINKS).where(_LINKS.c.url == url))
            return len(looks)

        return self._database.write(write)
