"""Invitations of people to what an authority has on trial: codes that begin an application for one service in one area.

Where the hub's routing table lets a service in by invitation only, and this portal is invited there as a sender, the portal
says who may come: whoever has a code. A code is sixteen characters of the alphabet of :mod:`hub.portal.codes`, 80 random bits;
the portal keeps its SHA-256 alone, so whoever reads the database invites nobody. It is shown once, by the command that makes
it, stands in no address and no log, and ends with its day or when somebody ends it. Who begun an application with it goes on.

Attempts count by network address, in the database, as those on saved forms do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.errors import Conflict, Invalid, NotFound, Text
from hub.model import canonical_service
from hub.portal.codes import Guesses, grouped, random_typed, read_typed
from hub.portal.database import PortalDatabase, invitations, micros, moment

_LENGTH = 16
#: Letters of a hash by which a person names an invitation.
_SHORT = 12
#: An operator who makes more has no trial but an open service.
MOST_INVITATIONS = 5_000
_LONGEST_NOTE = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalInvitation:
    """What a code lets somebody begin: a service (URN) in an area (beginning of an ARS), until ``ends_at``.

    ``id`` names it to people and opens nothing; ``note`` is the operator's, about no person.
    """

    id: str
    service: str
    area: str
    note: str
    made_at: datetime
    ends_at: datetime
    ended_at: datetime | None

    def holds(self, now: datetime) -> bool:
        """Tell whether its code still lets somebody in."""
        return self.ended_at is None and now < self.ends_at


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeInvitation:
    """A new invitation and its code, which is shown once."""

    invitation: PortalInvitation
    code: str = field(repr=False)


class PortalInvitations:
    """Makes, lists, ends and tries invitations. Every method may raise ``StoreUnavailable``."""

    def __init__(self, database: PortalDatabase) -> None:
        self._database = database
        self._guesses = Guesses(database)

    def make(self, *, service: str, area: str, note: str, now: datetime, ends_at: datetime) -> MadeInvitation:
        """Make an invitation.

        Raises:
            Invalid: an end that is past, an area that is no beginning of an ARS, a note that is too long.
            Conflict: there are too many already.
        """
        if ends_at <= now or not (area.isascii() and area.isdigit() and 2 <= len(area) <= 12):  # noqa: PLR2004
            raise _no_place_or_end()
        if len(note) > _LONGEST_NOTE or not note.isprintable():
            raise _no_note()
        code = random_typed(_LENGTH)
        values = _row(code, service=service, area=area, note=note, now=now, ends_at=ends_at)
        with self._database.writing() as connection:
            # What ended goes when somebody makes a new one: its code opens nothing any more.
            connection.execute(delete(invitations).where(invitations.c.ends_at <= micros(now)))
            if len(connection.execute(select(invitations.c.hash).limit(MOST_INVITATIONS)).all()) >= MOST_INVITATIONS:
                raise _too_many()
            connection.execute(insert(invitations).values(values))
            made = connection.execute(select(invitations).where(invitations.c.hash == values["hash"])).one()
        return MadeInvitation(invitation=_read(made), code=grouped(code))

    def all(self) -> list[PortalInvitation]:
        """Return all that are kept, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(invitations).order_by(invitations.c.made_at.desc(), invitations.c.hash))
            return [_read(row) for row in rows]

    def end(self, invitation_id: str, now: datetime) -> PortalInvitation:
        """End an invitation, or more than one that a beginning of an id would name never; ended twice it stays as it is.

        Raises:
            NotFound: no invitation is called so.
        """
        named = invitations.c.hash.startswith(invitation_id, autoescape=True)
        with self._database.writing() as connection:
            rows = connection.execute(select(invitations).where(named)).all() if len(invitation_id) == _SHORT else []
            if len(rows) != 1:
                raise NotFound(
                    Text(
                        "Diese Einladung gibt es nicht. „hub portal invitations“ nennt alle.",
                        "There is no such invitation. 'hub portal invitations' names all of them.",
                    )
                )
            ending = update(invitations).where(named, invitations.c.ended_at.is_(None))
            connection.execute(ending.values(ended_at=micros(now)))
            return _read(connection.execute(select(invitations).where(named)).one())

    def admits(self, typed: str, *, service: str, area: str, address: str, now: datetime) -> bool:
        """Tell whether what somebody at ``address`` typed is a code that holds for a service in an area.

        Raises:
            TooMany: too much was wrong from there already.
        """
        code = read_typed(typed, length=_LENGTH)
        if code is None:  # It has not even the form of one, as everybody can see.
            return False
        with self._guesses.trying("invitation", address=address, now=now) as guess:
            with self._database.reading() as connection:
                row = connection.execute(select(invitations).where(invitations.c.hash == _hash(code))).first()
            found = None if row is None else _read(row)
            guess.right = (
                found is not None
                and found.holds(now)
                and found.service == canonical_service(service)
                and area.startswith(found.area)
            )
        return guess.right


def _no_place_or_end() -> Invalid:
    return Invalid(
        Text(
            "Nennen Sie ein Gebiet (ARS, 2 bis 12 Ziffern) und ein Ende, das noch kommt.",
            "Name an area (ARS, 2 to 12 digits) and an end that is yet to come.",
        )
    )


def _no_note() -> Invalid:
    return Invalid(
        Text(
            f"Ein Vermerk hat höchstens {_LONGEST_NOTE} Zeichen in einer Zeile.",
            f"A note has at most {_LONGEST_NOTE} characters on one line.",
        )
    )


def _row(code: str, *, service: str, area: str, note: str, now: datetime, ends_at: datetime) -> dict[str, Any]:
    return {
        "hash": _hash(code),
        "service": canonical_service(service),
        "area": area,
        "note": note,
        "made_at": micros(now),
        "ends_at": micros(ends_at),
        "ended_at": None,
    }


def _too_many() -> Conflict:
    return Conflict(
        Text(
            f"Mehr als {MOST_INVITATIONS} Einladungen gibt es nicht. Öffnen Sie das Verfahren für alle.",
            f"There are no more than {MOST_INVITATIONS} invitations. Open the procedure to everybody.",
        )
    )


def _hash(code: str) -> str:
    return hashlib.sha256(b"rathaus-portal-invitation\0" + code.encode("ascii")).hexdigest()


def _read(row: Row[tuple[object, ...]]) -> PortalInvitation:
    return PortalInvitation(
        id=row.hash[:_SHORT],
        service=row.service,
        area=row.area,
        note=row.note,
        made_at=moment(row.made_at),
        ends_at=moment(row.ends_at),
        ended_at=None if row.ended_at is None else moment(row.ended_at),
    )
