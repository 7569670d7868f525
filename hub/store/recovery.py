"""What a backup has to take along, and what a restored store can no longer be sure of."""

from __future__ import annotations

from sqlalchemy import select, update

from hub.store import tables
from hub.store.annex import Annex

_CONTENTS = tables.contents
_DELIVERIES = tables.deliveries


class Recovery(Annex):
    """The store seen by backup and restore."""

    def blob_names(self) -> frozenset[str]:
        """Return the names of all blobs that contents lie in."""
        statement = select(_CONTENTS.c.blob).where(_CONTENTS.c.blob.is_not(None))
        return self._read(lambda connection: frozenset(connection.execute(statement).scalars()))

    def suspect_open_deliveries(self) -> int:
        """Flag every open delivery as a possible repeat; return how many there are.

        What was delivered after the backup is open again in it, and nobody here knows: the receiver must be told.
        """
        open_ = update(_DELIVERIES).where(_DELIVERIES.c.next_attempt_at.is_not(None)).values(repeat=True)
        return self._write(lambda connection: connection.execute(open_).rowcount)
