"""Changes of where a version of the catalogue stands: one person proposes, a second one decides; and the way back.

A proposal, and where a version stood before the last change that was approved, lie in ``DATA/schema-standings``, a file each
for the version; whoever decides holds the folder's lock, so that of two decisions one comes first.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from hub.errors import Conflict, NotFound, Text
from hub.files import vault
from hub.validation.manifest import Edition, SchemaStanding, Status

#: Bytes of one of the files.
_LARGEST = 16 * 1024
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingChange:
    """A change that waits for a second person; ``before`` is where the version stood when it was proposed."""

    edition: Edition
    standing: SchemaStanding
    before: SchemaStanding
    reason: str
    proposed_by: str
    proposed_at: datetime
    change_id: str = field(default_factory=lambda: uuid4().hex)


class StandingChanges:
    """Takes proposals and decisions; what is approved goes to ``apply``, which has it count."""

    def __init__(self, folder: Path, apply: Callable[[Edition, SchemaStanding], None]) -> None:
        self._folder = folder
        self._apply = apply

    def propose(self, change: StandingChange) -> None:
        """Keep a proposal; raise ``Conflict`` where one for the same version waits already."""
        vault.make_folder(self._folder)
        with vault.locked(self._folder):
            if self.of(change.edition) is not None:
                raise Conflict(
                    Text(
                        "Für diese Version wartet schon eine Änderung auf eine zweite Person. Entscheiden Sie zuerst über sie.",
                        "A change of this version waits for a second person already. Decide on that one first.",
                    )
                )
            vault.write(self._waiting(change.edition), orjson.dumps(change))

    def waiting(self) -> list[StandingChange]:
        """Return all proposals that wait, the oldest first."""
        found = [_change(path) for path in self._folder.glob("*.waiting.json")]
        return sorted((each for each in found if each is not None), key=lambda each: each.proposed_at)

    def of(self, edition: Edition) -> StandingChange | None:
        """Return the proposal for a version, if one waits."""
        return _change(self._waiting(edition))

    def earlier(self, edition: Edition) -> SchemaStanding | None:
        """Return where a version stood before the last change that was approved; None where there is no way back."""
        return _earlier_standing(self._earlier(edition))

    def approve(self, edition: Edition, change_id: str) -> StandingChange:
        """Have a proposal count.

        Raises:
            NotFound: it does not wait any more. ConfigurationError: the file of all decisions cannot be used.
        """
        with self._decided(edition, change_id) as change:
            self._apply(edition, change.standing)
            vault.write(self._earlier(edition), orjson.dumps(change.before))
        return change

    def drop(self, edition: Edition, change_id: str) -> StandingChange:
        """Drop a proposal; raise ``NotFound`` for one that does not wait any more."""
        with self._decided(edition, change_id) as change:
            pass
        return change

    def roll_back(self, edition: Edition) -> SchemaStanding:
        """Bring back where a version stood before the last change that was approved, once; a proposal that waits goes.

        Raises:
            NotFound: there is no way back. ConfigurationError: the file of all decisions cannot be used.
        """
        vault.make_folder(self._folder)
        with vault.locked(self._folder):
            earlier = self.earlier(edition)
            if earlier is None:
                raise NotFound(
                    Text(
                        "Es gibt keine Änderung (mehr), die sich zurücknehmen ließe.",
                        "There is no change (any more) that could be taken back.",
                    )
                )
            self._apply(edition, earlier)
            for path in (self._earlier(edition), self._waiting(edition)):
                vault.remove(path)
        return earlier

    @contextmanager
    def _decided(self, edition: Edition, change_id: str) -> Iterator[StandingChange]:
        """Lend a proposal that is decided on, alone; it goes if nothing fails."""
        vault.make_folder(self._folder)
        with vault.locked(self._folder):
            change = self.of(edition)
            if change is None or change.change_id != change_id:
                raise waits_no_more()
            yield change
            vault.remove(self._waiting(edition))

    def _waiting(self, edition: Edition) -> Path:
        return self._folder / f"{_name(edition)}.waiting.json"

    def _earlier(self, edition: Edition) -> Path:
        return self._folder / f"{_name(edition)}.earlier.json"


def waits_no_more() -> NotFound:
    """Return the refusal of a decision on what does not wait."""
    return NotFound(
        Text(
            "Diese Änderung wartet nicht (mehr). Laden Sie die Seite neu.",
            "This change does not wait (any more). Load the page again.",
        )
    )


def _name(edition: Edition) -> str:
    return hashlib.sha256("\0".join(edition).encode()).hexdigest()


def _change(path: Path) -> StandingChange | None:
    """Return what waits; None where nothing does, or what lies there is damaged: that is proposed anew."""
    try:
        said = orjson.loads(_content(path))
        standard, version = map(str, said["edition"])
        return StandingChange(
            edition=(standard, version),
            standing=_standing(said["standing"]),
            before=_standing(said["before"]),
            reason=str(said["reason"]),
            proposed_by=str(said["proposed_by"]),
            proposed_at=datetime.fromisoformat(said["proposed_at"]),
            change_id=str(said["change_id"]),
        )
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        _passed_over(path, error)
        return None


def _earlier_standing(path: Path) -> SchemaStanding | None:
    try:
        return _standing(orjson.loads(_content(path)))
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        _passed_over(path, error)
        return None


def _content(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LARGEST)


def _passed_over(path: Path, error: Exception) -> None:
    _log.warning("%s is passed over: it cannot be read (%s)", path.name, type(error).__name__)


def _standing(said: Mapping[str, Any]) -> SchemaStanding:
    return SchemaStanding(
        status=Status(said["status"]), valid_from=_day(said["valid_from"]), valid_until=_day(said["valid_until"])
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
