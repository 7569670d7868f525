"""Who the clerks are: named accounts in a file of the connector's own, passwords as argon2id (RFC 9106).

The file is written by ``hub connector clerk`` and read anew when it changes; the page itself never writes it. A password that
is set anew, or an account that is removed, ends its sessions.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.connector.settings import unusable
from hub.errors import Conflict, Invalid, NotFound, Text
from hub.files import vault
from hub.files.watched import WatchedFile, stamp_of

_LARGEST = 1024 * 1024  # Bytes; an account takes some two hundred.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_SHORTEST_PASSWORD, _LONGEST_PASSWORD = 12, 256
_LONGEST_FULL_NAME = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkAccount:
    """One clerk. ``mark`` changes with the password."""

    name: str
    full_name: str
    password_hash: str = field(repr=False)
    added_at: str

    @property
    def mark(self) -> str:
        """What a session remembers of the password."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:32]


def read_accounts(file: Path) -> Mapping[str, ClerkAccount]:
    """Return the accounts by name; none where there is no file. ``ConfigurationError`` where it cannot be used."""
    try:
        document = orjson.loads(vault.read(file, most=_LARGEST))
        found = [ClerkAccount(**each) for each in document["clerks"]]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise unusable("clerk.accounts_file", "ist nicht lesbar", "cannot be read") from exc
    return {each.name: each for each in found}


def add_account(file: Path, name: str, password: str, *, full_name: str, now: datetime, replace: bool = False) -> None:
    """Write a new account into the file, or with ``replace`` an existing one's password and name anew.

    Raises:
        Invalid: a name or password that breaks the rules. Conflict: the name is taken.
    """
    accounts = dict(read_accounts(file))
    if not _NAME.fullmatch(name):
        raise _no_name()
    if name in accounts and not replace:
        raise _there_already(name)
    if not _SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD or name in password.lower():
        raise _no_password()
    shown = "".join(each for each in full_name if each.isprintable()).strip()[:_LONGEST_FULL_NAME]
    accounts[name] = ClerkAccount(
        name=name, full_name=shown or name, password_hash=PasswordHasher().hash(password), added_at=now.isoformat()
    )
    _write(file, accounts)


def _no_name() -> Invalid:
    return Invalid(
        Text(
            "Ein Name hat 1 bis 64 Zeichen: Kleinbuchstaben, Ziffern und ._@-, am Anfang Buchstabe oder Ziffer.",
            "A name has 1 to 64 characters: lower-case letters, digits and ._@-, first a letter or digit.",
        ),
        field="name",
    )


def _there_already(name: str) -> Conflict:
    return Conflict(
        Text(
            f"{name} gibt es schon. Ein neues Passwort: --replace.",
            f"{name} is there already. A new password: --replace.",
        )
    )


def _no_password() -> Invalid:
    return Invalid(
        Text(
            f"Ein Passwort hat {_SHORTEST_PASSWORD} bis {_LONGEST_PASSWORD} Zeichen und enthält nicht den Namen.",
            f"A password has {_SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters and does not hold the name.",
        ),
        field="password",
    )


def remove_account(file: Path, name: str) -> None:
    """Take an account out of the file; ``NotFound`` if there is none."""
    accounts = dict(read_accounts(file))
    if accounts.pop(name, None) is None:
        raise NotFound(Text(f"{name} gibt es nicht.", f"There is no {name}."))
    _write(file, accounts)


def _write(file: Path, accounts: Mapping[str, ClerkAccount]) -> None:
    clerks: list[dict[str, Any]] = [
        {"name": one.name, "full_name": one.full_name, "password_hash": one.password_hash, "added_at": one.added_at}
        for one in sorted(accounts.values(), key=lambda each: each.name)
    ]
    vault.write(file, orjson.dumps({"version": 1, "clerks": clerks}, option=orjson.OPT_INDENT_2))


class ClerkAccounts:
    """The accounts as they count now, and whether a password is one's. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._watched = WatchedFile(partial(stamp_of, file), partial(read_accounts, file), what=str(file))
        self._hasher = PasswordHasher()
        # Each hash takes 64 MiB by design: a storm of log-ins must not take the whole memory.
        self._hashing = threading.BoundedSemaphore(1)
        # An unknown name must take as long as a wrong password; made when somebody first logs in.
        self._nobody = ""

    def find(self, name: str) -> ClerkAccount | None:
        """Return an account by its name, or None."""
        return self._watched().get(name)

    def names(self) -> dict[str, str]:
        """Return the full name of each account, by its name."""
        return {each.name: each.full_name for each in self._watched().values()}

    def is_empty(self) -> bool:
        """Tell whether nobody has an account."""
        return not self._watched()

    def check(self, name: str, password: str) -> ClerkAccount | None:
        """Return whose password this is, None where it is nobody's of that name; takes the same time for both."""
        account = self._watched.now().get(name)
        with self._hashing:
            if account is None and not self._nobody:
                self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
            expected = self._nobody if account is None else account.password_hash
            try:
                self._hasher.verify(expected, password[:_LONGEST_PASSWORD])
            except (VerificationError, InvalidHashError):
                return None
        return account
