"""What has to happen in a case by when, as the hub's catalogue says of its service, counted from the signed time of receipt.

The last days are written down when the case arrives: what the service says later is for later cases. So is the procedure that a
case goes on to where it is not freed (``onward``), which the page for clerks proposes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.client.session import Session
from hub.connector.journal import Journal
from hub.errors import Invalid, Refused, Text
from hub.services import DeadlineRule, DeadlineUnit

_log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS case_deadline (
  case_id  TEXT NOT NULL,
  name     TEXT NOT NULL,
  de       TEXT NOT NULL,
  en       TEXT NOT NULL,
  law      TEXT NOT NULL,
  last_day TEXT NOT NULL,
  PRIMARY KEY (case_id, name)
) STRICT;
CREATE TABLE IF NOT EXISTS case_onward (
  case_id TEXT NOT NULL PRIMARY KEY,
  service TEXT NOT NULL,
  de      TEXT NOT NULL,
  en      TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDeadline:
    """One deadline of a case: until the end of ``last_day``; ``law`` says where that stands."""

    name: str
    title: Text
    law: str
    last_day: date


@dataclass(frozen=True, kw_only=True, slots=True)
class Onward:
    """The procedure that a case goes on to where it is not freed."""

    service: str
    name: Text


class CaseDeadlines:
    """The deadlines of cases, and where they go on to. ``session`` leads to the hub's root; what it asks is public."""

    def __init__(self, journal: Journal, session: Session) -> None:
        self._journal = journal
        self._session = session
        journal.extend(_SCHEMA)

    def note(self, case_id: UUID, service: str, received: datetime) -> None:
        """Write down a case's deadlines; what is written already stays.

        Raises:
            Unavailable: the hub cannot be asked now.
        """
        day = _legal_day(received)
        if not service or self.of_case(case_id) or self.onward(case_id) is not None:
            return
        found = self._service(service)
        self._note_onward(case_id, str(found.get("onward", ""))[:200])
        for rule in _rules(found):
            if day is None:
                return
            self._insert(case_id, rule, day)

    def _insert(self, case_id: UUID, rule: DeadlineRule, day: date) -> None:
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO case_deadline (case_id, name, de, en, law, last_day) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (case_id, name) DO NOTHING",
                (
                    str(case_id),
                    rule.name,
                    rule.title.de,
                    rule.title.en,
                    ", ".join(rule.law),
                    rule.last_day(day).isoformat(),
                ),
            )

    def of_case(self, case_id: UUID) -> list[CaseDeadline]:
        """Return a case's deadlines, the next one first."""
        rows = self._journal.rows(
            "SELECT * FROM case_deadline WHERE case_id = ? ORDER BY last_day, name", (str(case_id),)
        )
        return [
            CaseDeadline(
                name=row["name"],
                title=Text(row["de"], row["en"]),
                law=row["law"],
                last_day=date.fromisoformat(row["last_day"]),
            )
            for row in rows
        ]

    def onward(self, case_id: UUID) -> Onward | None:
        """Return the procedure that a case goes on to where it is not freed, None where the catalogue names none."""
        rows = self._journal.rows("SELECT * FROM case_onward WHERE case_id = ?", (str(case_id),))
        return next((Onward(service=row["service"], name=Text(row["de"], row["en"])) for row in rows), None)

    def sweep(self) -> None:
        """Forget the deadlines of cases that are forgotten."""
        with self._journal.writing() as connection:
            connection.execute("DELETE FROM case_deadline WHERE case_id NOT IN (SELECT case_id FROM case_file)")
            connection.execute("DELETE FROM case_onward WHERE case_id NOT IN (SELECT case_id FROM case_file)")

    def _note_onward(self, case_id: UUID, service: str) -> None:
        if not service:
            return
        names = [str(self._service(service, language).get("name", service))[:200] for language in ("de", "en")]
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO case_onward (case_id, service, de, en) VALUES (?, ?, ?, ?) ON CONFLICT (case_id) DO NOTHING",
                (str(case_id), service, *names),
            )

    def _service(self, service: str, language: str = "de") -> Mapping[str, Any]:
        """Return what the hub's catalogue says of a service; nothing of one that it does not know."""
        try:
            return self._session.json("GET", f"/hub/v1/services/{quote(service, safe='')}", query={"lang": language})
        except Refused:
            return {}


def _rules(found: Mapping[str, Any]) -> list[DeadlineRule]:
    try:
        return [_rule(each) for each in found.get("deadlines", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        _log.warning("the hub's deadlines cannot be read: %s", type(exc).__name__)
        return []


def _rule(said: Mapping[str, Any]) -> DeadlineRule:
    title = said["title"]
    try:
        return DeadlineRule(
            name=str(said["name"])[:40],
            title=Text(str(title["de"])[:200], str(title["en"])[:200]),
            amount=int(said["amount"]),
            unit=DeadlineUnit(said["unit"]),
            law=tuple(str(each)[:100] for each in said.get("law", ()))[:10],
        )
    except Invalid as exc:
        raise ValueError("amount") from exc


def _legal_day(moment: datetime) -> date | None:
    """Return the day in German legal time; None where this machine does not know zones."""
    try:
        return moment.astimezone(ZoneInfo("Europe/Berlin")).date()
    except ZoneInfoNotFoundError:
        return None
