"""Destinations as senders need them: the directory's answers, with a refusal for what there is not."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hub.identity.access import no_destination
from hub.identity.directory import Directory
from hub.model.parties import Destination


class Receivers:
    """Looks up destinations; a row with many services costs more to read than all checks of a submission."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def existing(self, destination_id: UUID, *, now: datetime) -> Destination:
        """Return a destination in any status; raise ``NotFound`` for an unknown one."""
        found = self._directory.destination(destination_id, now=now)
        if found is None:
            raise no_destination(destination_id)
        return found

    def at_hand(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return a destination if that takes no look into the store; who is to go on without one goes on with this."""
        return self._directory.at_hand(destination_id, now=now)
