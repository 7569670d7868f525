"""The second factors of local accounts: time-based codes (RFC 6238), recovery codes, and who must have one.

A new secret for time-based codes is *offered*: it travels sealed through the form, bound to its account, and counts only with
the first code that the person's authenticator makes of it; so nobody is locked out by a picture that was not scanned.
Recovery codes are random, ten at a time, and good once each; what is stored are their SHA-256, encrypted under the hub's key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

import orjson
import pyotp

from hub.errors import Invalid, Malformed, SealBroken, Text, UnreadableRow
from hub.model import Role
from hub.store import Account, AuditEntry, Passkey, RecoveryCodes, Store

ISSUER = "Rathaus-Hub"
_CODE_SECONDS = 30
_CODE = re.compile(r"[0-9]{6}")
_CODES = 10
#: Without what is taken for something else: 31 ** 10, about 49 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_RECOVERY_LENGTH = 10
#: How long somebody may take to scan a picture.
_OFFER_LIFE = timedelta(minutes=15)
_LONGEST_OFFER = 2_000


class SecretBox(Protocol):
    """Encrypts what must be read again (``hub.crypto.keyring.HubKeys``)."""

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        """Encrypt ``secret``, bound to ``context``."""

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        """Decrypt what ``seal_secret`` returned."""


class FactorDemand(StrEnum):
    """Whose local accounts must have a second factor."""

    OPTIONAL = "optional"
    ROLES = "roles"
    EVERYBODY = "everybody"


@dataclass(frozen=True, kw_only=True, slots=True)
class FactorRule:
    """Who must have a second factor; ``roles`` counts where it goes by roles. Accounts of a provider have theirs there."""

    demand: FactorDemand = FactorDemand.OPTIONAL
    roles: frozenset[Role] = frozenset()

    def demands(self, account: Account, granted: Callable[[], Iterable[Role]]) -> bool:
        """Tell whether an account must have one; ``granted`` are its roles besides its own, asked for where they decide."""
        if not account.is_local or self.demand is FactorDemand.OPTIONAL:
            return False
        if self.demand is FactorDemand.EVERYBODY or not self.roles.isdisjoint(account.roles):
            return True
        return not self.roles.isdisjoint(granted())


@dataclass(frozen=True, kw_only=True, slots=True)
class Factors:
    """What an account has: whether there are time-based codes, its keys, how many recovery codes are left."""

    totp: bool
    passkeys: tuple[Passkey, ...]
    codes_left: int
    codes_made_at: datetime | None

    @property
    def any(self) -> bool:
        """Whether there is a second factor; recovery codes alone are none."""
        return self.totp or bool(self.passkeys)


@dataclass(frozen=True, kw_only=True, slots=True)
class TotpOffer:
    """A secret that is not in force: its ``otpauth://`` address, a picture of that (data URI), and itself, sealed."""

    address: str = field(repr=False)
    picture: str = field(repr=False)
    sealed: str = field(repr=False)

    @property
    def secret(self) -> str:
        """What to type in where nothing can be scanned, in groups of four."""
        plain = pyotp.parse_uri(self.address).secret
        return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


class SecondFactors:
    """Offers, confirms and checks second factors, and knows who must have one."""

    def __init__(self, *, store: Store, box: SecretBox, rule: FactorRule | None = None) -> None:
        self._records = store.accounts
        self._credentials = store.credentials
        self._tenants = store.tenants
        self._note_unreadable = store.note_unreadable
        self._box = box
        self.rule = rule or FactorRule()

    def of(self, account: Account) -> Factors:
        """Return what an account has."""
        codes = self._codes(account.name)
        return Factors(
            totp=account.totp is not None,
            passkeys=tuple(self._credentials.passkeys(account.name)),
            codes_left=0 if codes is None else codes.remaining,
            codes_made_at=None if codes is None else codes.made_at,
        )

    def has_one(self, account: Account) -> bool:
        """Tell whether a password alone is not enough for an account."""
        return account.totp is not None or self._credentials.has_passkey(account.name)

    def missing(self, account: Account) -> bool:
        """Tell whether an account must have a second factor and has none."""
        return self.demands(account) and not self.has_one(account)

    def demands(self, account: Account) -> bool:
        """Tell whether an account must have a second factor, by its own roles or by those that it was granted elsewhere."""
        return self.rule.demands(account, lambda: [each.role for each in self._tenants.grants_of(account.name)])

    def offer(self, account: Account, *, now: datetime) -> TotpOffer:
        """Return a new secret for an authenticator; nothing is stored."""
        return self._offered(account.name, pyotp.random_base32(), now)

    def offered(self, account: Account, sealed: str, *, now: datetime) -> TotpOffer:
        """Return an offer that was made before, for the page that asks for its code once more."""
        return self._offered(account.name, self._opened(account.name, sealed, now), now, sealed=sealed)

    def confirmed(self, account: Account, sealed: str, code: str, *, now: datetime) -> Account:
        """Return the account with the offered secret, if ``code`` is of it; the code is used up.

        Raises:
            Invalid: it is not, or the offer is too old or another account's.
        """
        secret = self._opened(account.name, sealed, now)
        step = _step_of(secret, code, now)
        if step is None or not self._records.use_code(account.name, step):
            raise Invalid(
                Text(
                    "Der Code passt nicht zu diesem Bild, oder er ist schon benutzt. Prüfen Sie die Uhr Ihres Geräts und "
                    "nehmen Sie den nächsten Code.",
                    "The code does not fit this picture, or it was used. Check your device's clock and take the next code.",
                )
            )
        return replace(account, totp=self.seal(account.name, secret))

    def seal(self, name: str, secret: str) -> str:
        """Encrypt an account's secret as it is stored."""
        return self._box.seal_secret(secret.encode(), context=f"totp:{name}")

    def fits(self, account: Account, code: str, *, now: datetime) -> bool:
        """Tell whether a code is good, and use it up: a time-based one of now or a step ago, or a recovery code.

        Without a second factor none is asked for.
        """
        if not self.has_one(account):
            return True
        code = code.replace(" ", "")
        if _CODE.fullmatch(code):
            return self._totp_fits(account, code, now)
        return self._recovery_fits(account, code, now)

    def new_codes(self, account: Account, *, actor: str, now: datetime) -> tuple[str, ...]:
        """Give an account new recovery codes and return them, once; those of before are good no more."""
        plain = [_random_code() for _ in range(_CODES)]
        codes = RecoveryCodes(
            account=account.name,
            sealed=self._sealed(account.name, [_digest(account.name, each) for each in plain]),
            remaining=_CODES,
            made_at=now,
        )
        audit = _audit(actor, "account.recovery-codes", account.name, now, {"codes": _CODES})
        self._credentials.replace_codes(codes, audit=audit)
        return tuple(f"{each[:5]}-{each[5:]}" for each in plain)

    def _totp_fits(self, account: Account, code: str, now: datetime) -> bool:
        if account.totp is None:
            return False
        try:
            secret = self._box.open_secret(account.totp, context=f"totp:{account.name}").decode()
        except (SealBroken, Malformed):
            self._note_unreadable(UnreadableRow("accounts", account.name, "totp"))
            return False
        step = _step_of(secret, code, now)
        return step is not None and self._records.use_code(account.name, step)

    def _recovery_fits(self, account: Account, code: str, now: datetime) -> bool:
        code = code.replace("-", "").lower()
        codes = self._codes(account.name)
        if codes is None or len(code) != _RECOVERY_LENGTH:
            return False
        try:
            hashes: list[str] = orjson.loads(self._box.open_secret(codes.sealed, context=f"recovery:{account.name}"))
        except (SealBroken, Malformed):
            self._note_unreadable(UnreadableRow("recovery_codes", account.name, "sealed"))
            return False
        wanted = _digest(account.name, code)
        left = [each for each in hashes if not hmac.compare_digest(each, wanted)]
        if len(left) == len(hashes):
            return False
        audit = _audit(account.name, "account.recovery-code", account.name, now, {"left": len(left)})
        return self._credentials.use_recovery_code(codes, sealed=self._sealed(account.name, left), audit=audit)

    def _codes(self, name: str) -> RecoveryCodes | None:
        try:
            return self._credentials.recovery_codes(name)
        except UnreadableRow:  # Counted; the other factors go on.
            return None

    def _sealed(self, name: str, hashes: list[str]) -> str:
        return self._box.seal_secret(orjson.dumps(hashes), context=f"recovery:{name}")

    def _offered(self, name: str, secret: str, now: datetime, *, sealed: str = "") -> TotpOffer:
        address = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
        content = orjson.dumps([secret, int(now.timestamp())])
        sealed = sealed or self._box.seal_secret(content, context=f"totp-offer:{name}")
        return TotpOffer(address=address, picture=_picture(address), sealed=sealed)

    def _opened(self, name: str, sealed: str, now: datetime) -> str:
        try:
            if len(sealed) > _LONGEST_OFFER or not sealed.isascii():
                raise _stale()
            secret, made_at = orjson.loads(self._box.open_secret(sealed, context=f"totp-offer:{name}"))
        except (SealBroken, Malformed) as exc:
            raise _stale() from exc
        if not timedelta(0) <= now - datetime.fromtimestamp(made_at, tz=UTC) <= _OFFER_LIFE:
            raise _stale()
        found: str = secret
        return found


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step, this one or the last, whose code it is (RFC 6238 section 5.2)."""
    code = code.replace(" ", "")
    step = int(now.timestamp()) // _CODE_SECONDS
    for candidate in (step, step - 1):
        expected = pyotp.TOTP(secret).at(candidate * _CODE_SECONDS)
        if hmac.compare_digest(expected.encode(), code.encode("utf-8", "surrogatepass")):
            return candidate
    return None


def _picture(address: str) -> str:
    import segno

    drawn: Callable[..., str] = segno.make(address, error="m", micro=False).svg_data_uri
    return drawn(scale=5, border=4, dark="#000", light="#fff")


def _random_code() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RECOVERY_LENGTH))


def _digest(name: str, code: str) -> str:
    return hashlib.sha256(f"{name}\0{code}".encode("utf-8", "surrogatepass")).hexdigest()


def _stale() -> Invalid:
    return Invalid(
        Text(
            "Dieses Bild gilt nicht mehr. Lassen Sie ein neues zeigen und scannen Sie es in der Viertelstunde.",
            "This picture holds no more. Have a new one shown and scan it within a quarter of an hour.",
        )
    )


def _audit(actor: str, action: str, name: str, now: datetime, after: dict[str, object]) -> AuditEntry:
    return AuditEntry(at=now, actor=actor, action=action, target=f"account:{name}", after=after)
