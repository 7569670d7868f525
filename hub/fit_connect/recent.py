"""Announcements of a moment ago: what they say never changes, so who submits soon spares the hub a look-up.

A memory, not a truth: whatever is not here is in the store, and what became of a message since is the store's to judge.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from uuid import UUID

from hub.model.events import Subject
from hub.model.submission import Form, State
from hub.store import Announcement, Store, StoredMessage

#: So many are kept, the latest; each takes about a kilobyte.
_MOST = 5_000


class RecentAnnouncements:
    """Finds messages as they were announced."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[UUID, StoredMessage] = OrderedDict()

    def note(self, announcement: Announcement) -> None:
        """Remember an announcement that is stored."""
        with self._lock:
            self._known[announcement.id] = as_announced(announcement)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)

    def forget(self, message_id: UUID) -> None:
        """Ask the store from now on."""
        with self._lock:
            self._known.pop(message_id, None)

    def at_hand(self, message_id: UUID) -> StoredMessage | None:
        """Return the message if it is remembered."""
        return self._known.get(message_id)

    def find(self, message_id: UUID, kind: Subject) -> StoredMessage | None:
        """Return the message; attachments and progress are told only of what was not remembered."""
        known = self._known.get(message_id)
        if known is None:
            return self._store.message(message_id, kind)
        return known if known.kind is kind else None


def as_announced(announcement: Announcement) -> StoredMessage:
    """Return the message as it lies in the store when nothing of it was uploaded yet."""
    return StoredMessage(
        kind=announcement.kind,
        id=announcement.id,
        case_id=announcement.case_id,
        destination_id=announcement.destination_id,
        sender=announcement.sender,
        addressee=announcement.addressee,
        door=announcement.door,
        state=State.INCOMPLETE,
        service=announcement.service,
        area=announcement.area,
        announced=announcement.announced,
        contents=None,
        uploaded={},
        form=Form.JOSE,
        schema=None,
        table_version=None,
        callback=announcement.callback,
        receipt=None,
        notices=0,
        created_at=announcement.created_at,
        submitted_at=None,
        collected_at=None,
        finished_at=None,
        deleted_at=None,
    )
