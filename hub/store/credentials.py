"""What people prove themselves by besides passwords: invitations, recovery codes, keys, and log-ins under way.

Each of them is good once or counts upwards, and of two nodes that take the same at once one wins: that is decided by the
statement itself, never by what was read before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, Text, already_exists, state_forbids
from hub.model import Role, Scope
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import Database, Page, from_json, maybe_moment, micros, moment, reads, to_json
from hub.store.scopes import placed, within

_INVITATIONS = tables.invitations
_CODES = tables.recovery_codes
_PASSKEYS = tables.passkeys
_STEPS = tables.login_steps
#: Keys that one account may have.
_MOST_PASSKEYS = 20
#: Log-ins that one account may have under way.
_MOST_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """Who may make an account of this name, with these roles, until it expires."""

    token_hash: str = field(repr=False)
    name: str
    full_name: str
    email: str
    roles: tuple[Role, ...]
    tenant: str
    invited_by: str
    created_at: datetime
    expires_at: datetime
    tenant_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryCodes:
    """The unused recovery codes of an account: their hashes, encrypted, and how many they are."""

    account: str
    sealed: str = field(repr=False)
    remaining: int
    made_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Passkey:
    """A WebAuthn key. ``credential_id`` and ``public_key`` (COSE) are base64url, ``label`` is the person's name for it."""

    credential_id: str
    account: str
    label: str
    public_key: str = field(repr=False)
    sign_count: int
    created_at: datetime
    used_at: datetime | None = None


class StepPurpose(StrEnum):
    """What a step is half of."""

    #: Name and password were right; the second factor is to come.
    LOG_IN = "log-in"
    #: Somebody who is logged in adds a key.
    REGISTER = "register"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginStep:
    """What waits for its second half. ``challenge`` (base64url) is what an authenticator has to sign; None: nothing now."""

    token_hash: str = field(repr=False)
    account: str
    purpose: StepPurpose
    challenge: str | None = field(repr=False)
    made_at: datetime


class Credentials:
    """Reads and writes what people prove themselves by. Changes of what an account has take their audit entry along."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def invite(self, invitation: Invitation, *, audit: AuditEntry) -> None:
        """Store an invitation; raise ``Conflict`` where one for that name is open. One that expired makes room."""
        over = (_INVITATIONS.c.name == invitation.name) & (_INVITATIONS.c.expires_at <= micros(invitation.created_at))

        def write(connection: Connection) -> None:
            connection.execute(delete(_INVITATIONS).where(over))
            try:
                placed(connection, [row := _invitation_row(invitation)])
                connection.execute(insert(_INVITATIONS), row)
            except IntegrityError as exc:
                name = invitation.name
                raise already_exists(Text(f"Eine Einladung für {name}", f"An invitation for {name}")) from exc
            write_audit(connection, audit)

        self._database.write(write)

    def invitation(self, token_hash: str) -> Invitation | None:
        """Return an open invitation by its link's hash, expired or not."""
        return self._database.one(select(_INVITATIONS).where(_INVITATIONS.c.token_hash == token_hash), _invitation)

    def invitations(self, *, scope: Scope, offset: int = 0, limit: int = 100) -> Page[Invitation]:
        """Return one page of the open invitations to accounts within a scope, by name."""
        mine = select(_INVITATIONS).where(within(_INVITATIONS, scope))
        return self._database.page(mine.order_by(_INVITATIONS.c.name), _invitation, offset=offset, limit=limit)

    def withdraw(self, token_hash: str, *, audit: AuditEntry) -> bool:
        """Take an invitation back; return False if it is not there any more."""
        statement = delete(_INVITATIONS).where(_INVITATIONS.c.token_hash == token_hash)

        def write(connection: Connection) -> bool:
            gone = connection.execute(statement).rowcount == 1
            if gone:
                write_audit(connection, audit)
            return gone

        return self._database.write(write)

    def recovery_codes(self, account: str) -> RecoveryCodes | None:
        """Return an account's unused recovery codes; None where it never had any."""
        return self._database.one(select(_CODES).where(_CODES.c.account == account), _codes)

    def replace_codes(self, codes: RecoveryCodes, *, audit: AuditEntry) -> None:
        """Give an account new recovery codes; the old ones are good no more."""
        row = {
            "account": codes.account,
            "sealed": codes.sealed,
            "remaining": codes.remaining,
            "made_at": micros(codes.made_at),
        }

        def write(connection: Connection) -> None:
            connection.execute(delete(_CODES).where(_CODES.c.account == codes.account))
            connection.execute(insert(_CODES), row)
            write_audit(connection, audit)

        self._database.write(write)

    def use_recovery_code(self, before: RecoveryCodes, *, sealed: str, audit: AuditEntry) -> bool:
        """Replace what is left of the codes; return False if somebody else used one meanwhile."""
        mine = (_CODES.c.account == before.account) & (_CODES.c.sealed == before.sealed)
        statement = update(_CODES).where(mine).values(sealed=sealed, remaining=before.remaining - 1)

        def write(connection: Connection) -> bool:
            used = connection.execute(statement).rowcount == 1
            if used:
                write_audit(connection, audit)
            return used

        return self._database.write(write)

    def passkeys(self, account: str) -> list[Passkey]:
        """Return an account's keys, oldest first."""
        mine = select(_PASSKEYS).where(_PASSKEYS.c.account == account)
        return self._database.all(mine.order_by(_PASSKEYS.c.created_at), _PASSKEYS, _passkey)

    def has_passkey(self, account: str) -> bool:
        """Tell whether an account has a key, also one that cannot be read: then a password alone is not enough either."""
        mine = select(_PASSKEYS.c.credential_id).where(_PASSKEYS.c.account == account).limit(1)
        return self._database.read(lambda connection: connection.execute(mine).first() is not None)

    def add_passkey(self, passkey: Passkey, *, audit: AuditEntry) -> None:
        """Store a key; raise ``Conflict`` where it is some account's already, or the account has too many."""
        row = _passkey_row(passkey)
        mine = select(_PASSKEYS.c.credential_id).where(_PASSKEYS.c.account == passkey.account)

        def write(connection: Connection) -> None:
            if len(connection.execute(mine).all()) >= _MOST_PASSKEYS:
                raise _too_many_keys()
            try:
                connection.execute(insert(_PASSKEYS), row)
            except IntegrityError as exc:
                raise already_exists(Text("Dieser Schlüssel", "This key")) from exc
            write_audit(connection, audit)

        self._database.write(write)

    def remove_passkey(self, account: str, credential_id: str, *, audit: AuditEntry) -> bool:
        """Take a key away; return False if the account has no such key."""
        mine = (_PASSKEYS.c.account == account) & (_PASSKEYS.c.credential_id == credential_id)

        def write(connection: Connection) -> bool:
            gone = connection.execute(delete(_PASSKEYS).where(mine)).rowcount == 1
            if gone:
                write_audit(connection, audit)
            return gone

        return self._database.write(write)

    def count_passkey(self, passkey: Passkey, *, sign_count: int, now: datetime) -> bool:
        """Note that a key signed; return False if its counter stands elsewhere by now."""
        mine = (_PASSKEYS.c.credential_id == passkey.credential_id) & (_PASSKEYS.c.sign_count == passkey.sign_count)
        statement = update(_PASSKEYS).where(mine).values(sign_count=sign_count, used_at=micros(now))
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def begin_step(self, step: LoginStep) -> None:
        """Store a step. Of those that an account began, the last few stay good: others may begin some, too."""
        row = {
            "token_hash": step.token_hash,
            "account": step.account,
            "purpose": step.purpose.value,
            "challenge": step.challenge,
            "made_at": micros(step.made_at),
        }
        mine = select(_STEPS.c.token_hash).where(_STEPS.c.account == step.account)
        older = mine.order_by(_STEPS.c.made_at.desc()).offset(_MOST_STEPS - 1)

        def write(connection: Connection) -> None:
            for row_over in connection.execute(older).all():
                connection.execute(delete(_STEPS).where(_STEPS.c.token_hash == row_over.token_hash))
            connection.execute(insert(_STEPS), row)

        self._database.write(write)

    def step(self, token_hash: str) -> LoginStep | None:
        """Return a step."""
        return self._database.one(select(_STEPS).where(_STEPS.c.token_hash == token_hash), _step)

    def challenge(self, token_hash: str, challenge: str) -> bool:
        """Set what is to be signed in a step; return False if the step is over."""
        statement = update(_STEPS).where(_STEPS.c.token_hash == token_hash).values(challenge=challenge)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def use_challenge(self, step: LoginStep) -> bool:
        """Use up what is to be signed; return False if it was used before."""
        mine = (_STEPS.c.token_hash == step.token_hash) & (_STEPS.c.challenge == step.challenge)
        statement = update(_STEPS).where(mine).values(challenge=None)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def end_step(self, token_hash: str) -> bool:
        """Forget a step; return False if it was over before."""
        statement = delete(_STEPS).where(_STEPS.c.token_hash == token_hash)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def forget(self, *, steps_before: datetime, now: datetime) -> int:
        """Forget steps and invitations that are over, and return how many."""
        steps = delete(_STEPS).where(_STEPS.c.made_at < micros(steps_before))
        invitations = delete(_INVITATIONS).where(_INVITATIONS.c.expires_at <= micros(now))

        def write(connection: Connection) -> int:
            return connection.execute(steps).rowcount + connection.execute(invitations).rowcount

        return self._database.write(write)


def _passkey_row(passkey: Passkey) -> dict[str, Any]:
    return {
        "credential_id": passkey.credential_id,
        "account": passkey.account,
        "label": passkey.label,
        "public_key": passkey.public_key,
        "sign_count": passkey.sign_count,
        "created_at": micros(passkey.created_at),
        "used_at": None,
    }


def _too_many_keys() -> Conflict:
    return state_forbids(
        Text(
            f"Ein Konto hat höchstens {_MOST_PASSKEYS} Schlüssel.",
            f"An account has {_MOST_PASSKEYS} keys at most.",
        ),
        Text("Entfernen Sie erst einen.", "Remove one first."),
    )


def drop_factors(connection: Connection, account: str) -> None:
    """Delete an account's keys and recovery codes, within the transaction of whoever takes its second factors away."""
    connection.execute(delete(_PASSKEYS).where(_PASSKEYS.c.account == account))
    connection.execute(delete(_CODES).where(_CODES.c.account == account))


def drop_steps(connection: Connection, account: str) -> None:
    """Delete what an account has begun and not finished, within the transaction that ends its sessions."""
    connection.execute(delete(_STEPS).where(_STEPS.c.account == account))


def take_invitation(connection: Connection, token_hash: str) -> bool:
    """Use an invitation up within the transaction that makes its account; return False if it is gone."""
    return connection.execute(delete(_INVITATIONS).where(_INVITATIONS.c.token_hash == token_hash)).rowcount == 1


def _invitation_row(invitation: Invitation) -> dict[str, Any]:
    return {
        "token_hash": invitation.token_hash,
        "name": invitation.name,
        "full_name": invitation.full_name,
        "email": invitation.email,
        "roles": to_json(list(invitation.roles)),
        "tenant": invitation.tenant,
        "tenant_id": invitation.tenant_id,
        "invited_by": invitation.invited_by,
        "created_at": micros(invitation.created_at),
        "expires_at": micros(invitation.expires_at),
    }


@reads(_INVITATIONS)
def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(
        token_hash=row.token_hash,
        name=row.name,
        full_name=row.full_name,
        email=row.email,
        roles=tuple(map(Role, from_json(row.roles))),
        tenant=row.tenant,
        tenant_id=row.tenant_id,
        invited_by=row.invited_by,
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
    )


@reads(_CODES)
def _codes(row: Row[Any]) -> RecoveryCodes:
    return RecoveryCodes(account=row.account, sealed=row.sealed, remaining=row.remaining, made_at=moment(row.made_at))


@reads(_PASSKEYS)
def _passkey(row: Row[Any]) -> Passkey:
    return Passkey(
        credential_id=row.credential_id,
        account=row.account,
        label=row.label,
        public_key=row.public_key,
        sign_count=row.sign_count,
        created_at=moment(row.created_at),
        used_at=maybe_moment(row.used_at),
    )


@reads(_STEPS)
def _step(row: Row[Any]) -> LoginStep:
    return LoginStep(
        token_hash=row.token_hash,
        account=row.account,
        purpose=StepPurpose(row.purpose),
        challenge=row.challenge,
        made_at=moment(row.made_at),
    )
