"""What people note down and type: a reference and a code, which together make the key of what the portal keeps for them.

Both are twelve characters of an alphabet without look-alikes (Crockford's base 32: no I, L, O, U), in groups of four. A
reference may stand in a link and be said aloud: it opens nothing. With the code, 60 random bits of its own, it is stretched
(scrypt) into identifier and key, so a wrong code leads to where nothing lies, as a wrong reference does: nobody can tell one
from the other, nor whether a reference is in use. Whoever lost the code has lost what it opens, and pages say so.

Attempts are counted in the database, where every portal of several sees them, before a code is tried: by reference and
network address together, and by address altogether. What names them there is a hash.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Connection, Row, delete, func, select, text, update

from hub.crypto import symmetric
from hub.errors import Overloaded, RatePolicy, TooMany
from hub.forms.form_file import EasyText
from hub.portal.database import PortalDatabase, failures, micros, moment
from hub.portal.storage import FormKey, FormStorage, Kept
from hub.web.neighbours import neighbourhood

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: What is read for what; case, blanks and hyphens do not matter.
_LOOK_ALIKES = str.maketrans({"O": "0", "I": "1", "L": "1"})
_LENGTH, _GROUP = 12, 4
_MOST_TYPED = 64
_SECRET_SIZE = 48
#: Codes that are tried at once: each takes 32 MiB and a tenth of a second of a core.
_AT_ONCE = 2
_WAIT_SECONDS = 10.0
_DAY = timedelta(days=1)
#: Between two looks for what has come to its end.
_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedKey:
    """A reference and its code, each in capital letters without blanks."""

    reference: str
    code: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Return what nobody has yet."""
        return cls(reference=random_typed(), code=random_typed())

    @classmethod
    def read(cls, reference: str, code: str) -> Self | None:
        """Return what somebody typed, with blanks, hyphens and look-alikes as they come; None if it cannot be one."""
        read_reference, read_code = read_typed(reference), read_typed(code)
        if read_reference is None or read_code is None:
            return None
        return cls(reference=read_reference, code=read_code)

    @property
    def shown_reference(self) -> str:
        """The reference in groups, to be read and noted down."""
        return grouped(self.reference)

    @property
    def shown_code(self) -> str:
        """The code in groups, to be read and noted down."""
        return grouped(self.code)

    def form_key(self) -> FormKey:
        """Return the key that the two make; takes a tenth of a second and 32 MiB, whatever they are.

        Raises:
            Overloaded: too many are being tried already.
        """
        salt = hashlib.sha256(b"rathaus-portal\0" + self.reference.encode("ascii")).digest()
        if not _room.acquire(timeout=_WAIT_SECONDS):
            raise Overloaded(
                EasyText(
                    "Gerade werden zu viele Codes zugleich geprüft. Versuchen Sie es gleich noch einmal.",
                    "Too many codes are being checked at the moment. Try again shortly.",
                    easy="Gerade ist zu viel los. Versuchen Sie es gleich noch einmal.",
                ),
                for_people=True,
            )
        try:
            return FormKey.of(symmetric.stretch(self.code.encode("ascii"), salt=salt, size=_SECRET_SIZE))
        finally:
            _room.release()


_room = threading.BoundedSemaphore(_AT_ONCE)


def read_typed(typed: str, *, length: int = _LENGTH) -> str | None:
    """Return a reference or a code as it was made, of what somebody typed; None if it cannot be one."""
    if len(typed) > _MOST_TYPED:
        return None
    plain = "".join(char for char in typed.upper() if char not in " -\u2010\u2011\u2013\t\r\n\u00a0")
    plain = plain.translate(_LOOK_ALIKES)
    return plain if len(plain) == length and all(char in _ALPHABET for char in plain) else None


def grouped(plain: str) -> str:
    """Return a reference or a code in groups of four."""
    return "-".join(plain[start : start + _GROUP] for start in range(0, len(plain), _GROUP))


def random_typed(length: int = _LENGTH) -> str:
    """Return characters that somebody can type: five random bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True, kw_only=True, slots=True)
class GuessBounds:
    """Wrong codes within ``window`` after which nobody is listened to: for one reference from one address, and an address.

    ``rows``: what is counted apart; beyond, names share counts with a bound ten times wider.
    """

    window: timedelta = timedelta(minutes=15)
    by_pair: int = 5
    by_address: int = 20
    rows: int = 20_000


_COUNT = text(
    "INSERT INTO portal_failures (name, failures, ends_at) VALUES (:name, :more, :ends) "
    "ON CONFLICT (name) DO UPDATE SET "
    "failures = CASE WHEN portal_failures.ends_at <= :now THEN :more ELSE portal_failures.failures + :more END, "
    "ends_at = CASE WHEN portal_failures.ends_at <= :now THEN :ends ELSE portal_failures.ends_at END "
    "RETURNING name, failures, ends_at"
)
_SHARED, _SHARED_ROWS, _WIDER = "shared:", 256, 10


def _is_full(row: Row[Any], most: int) -> bool:
    within: int = most * _WIDER if row.name.startswith(_SHARED) else most
    return bool(row.failures > within)


class Guesses:
    """Opens what lies under a typed key, counts wrong ones, and turns away who tries too many."""

    def __init__(self, database: PortalDatabase, bounds: GuessBounds | None = None) -> None:
        self._database = database
        self._bounds = bounds or GuessBounds()

    def opened(
        self, storage: FormStorage, typed: TypedKey | None, *, address: str, now: datetime
    ) -> tuple[FormKey, Kept] | None:
        """Return key and form of what somebody at ``address`` typed; None for all that is wrong, in the same time.

        Raises:
            TooMany: too much was wrong already. Overloaded: too many codes are being tried.
        """
        if typed is None:  # Nobody's: it has not even the form of one, as everybody can see.
            return None
        with self.trying(typed.reference, address=address, now=now) as guess:
            key = typed.form_key()
            kept = storage.read(key, now=now)
            guess.right = kept is not None
        return None if kept is None else (key, kept)

    @contextmanager
    def trying(self, reference: str, *, address: str, now: datetime) -> Iterator[Guess]:
        """Count an attempt, and take it back where it was said to be right.

        Guesses that are made at once are counted before any of them is judged.

        Raises:
            TooMany: too many were wrong.
        """
        near = neighbourhood(address)
        counted = self.count(
            {("pair", reference, near): self._bounds.by_pair, ("address", near): self._bounds.by_address}, now
        )
        guess = Guess()
        yield guess
        if guess.right:
            with self._database.writing() as connection:
                less = update(failures).where(failures.c.name.in_(counted))
                connection.execute(less.values(failures=failures.c.failures - 1))

    def count(
        self,
        bounds: Mapping[tuple[str, ...], int],
        now: datetime,
        *,
        refusal: Callable[[timedelta], TooMany] | None = None,
        more: int = 1,
        refused_too: bool = True,
    ) -> list[str]:
        """Count ``more`` of each thing that is named, all of them first; return the rows in which they were counted.

        ``refusal`` says what was too much, of how long to wait; by default, that these were attempts. ``refused_too``: what
        was too much counts, as attempts do, or it did not come about, so that less of it may follow.

        Raises:
            TooMany: one of them was counted more often than its bound allows within the window.
        """
        with self._database.writing() as connection:
            rows = [self._count(connection, _name(*said), now, more) for said in bounds]
            full = next((each for each in zip(rows, bounds.values(), strict=True) if _is_full(*each)), None)
            if full is not None:
                wait = moment(full[0].ends_at) - now
                refused = self._too_many(wait, full[1]) if refusal is None else refusal(wait)
                if not refused_too:
                    raise refused
        if full is not None:
            raise refused
        return [row.name for row in rows]

    def forget(self, now: datetime) -> int:
        """Delete what counts no more; return how many rows. A clock that was set back keeps nobody out for long."""
        far = micros(now + self._bounds.window + _DAY)
        with self._database.writing() as connection:
            old = (failures.c.ends_at <= micros(now)) | (failures.c.ends_at > far)
            return connection.execute(delete(failures).where(old)).rowcount

    def _count(self, connection: Connection, name: str, now: datetime, more: int) -> Row[Any]:
        ends = micros(now + self._bounds.window)
        values = {"name": self._own(connection, name), "more": more, "now": micros(now), "ends": ends}
        return connection.execute(_COUNT, values).one()

    def _own(self, connection: Connection, name: str) -> str:
        """Return the row that counts for a name: its own, or a shared one where there are too many."""
        known = connection.execute(select(failures.c.name).where(failures.c.name == name)).scalar()
        if known is not None:
            return name
        rows = connection.execute(select(func.count()).select_from(failures)).scalar_one()
        return name if rows < self._bounds.rows else f"{_SHARED}{int(name[:8], 16) % _SHARED_ROWS}"

    def _too_many(self, wait: timedelta, most: int) -> TooMany:
        minutes = max(1, -(-wait // timedelta(minutes=1)))
        return TooMany(
            EasyText(
                f"Zu viele Versuche. Warten Sie {minutes} {'Minute' if minutes == 1 else 'Minuten'}, und prüfen Sie dann, was "
                "Sie eingeben.",
                f"Too many attempts. Wait for {minutes} {'minute' if minutes == 1 else 'minutes'}, then check what you enter.",
                easy=f"Der Code war zu oft falsch. Warten Sie {minutes} {'Minute' if minutes == 1 else 'Minuten'}. "
                "Schauen Sie dann genau, was Sie schreiben.",
            ),
            retry_after=wait,
            policy=RatePolicy("attempts", most, self._bounds.window),
            for_people=True,
        )


def expiring(
    storage: FormStorage, clock: Callable[[], datetime], *, pause: float = _SWEEP_SECONDS
) -> Callable[[threading.Event], None]:
    """Return the loop that deletes what has come to its end: forms, unfinished attachments, and counts of wrong codes."""
    guesses = Guesses(storage.database)

    def run(stop: threading.Event) -> None:
        while not stop.wait(pause):
            storage.expire(clock())
            guesses.forget(clock())

    return run


@dataclass(slots=True)
class Guess:
    """One attempt; whoever finds the code right says so."""

    right: bool = False


def _name(*said: str) -> str:
    """Return a row's name: of fixed length whatever is tried, and no list of addresses to whoever reads the table."""
    return hashlib.blake2b("\0".join(said).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
