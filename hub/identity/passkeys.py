"""Keys of authenticators as second factor (W3C Web Authentication, level 2): registered in a session, asked at the log-in.

What an authenticator signs names a challenge that the hub made, the hub's origin and its host; each challenge is good once, on
one node, for one account, and lies in the store beside the log-in that it belongs to. A signature counter that does not go
up is refused: such a key has a copy. Attestation is not asked for: the hub does not care who made the key.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from hub.errors import Invalid, Text, not_found
from hub.identity.accounts import STEP_LIFE, Accounts, factor_missing, fingerprint, require_local
from hub.identity.second_factors import ISSUER
from hub.store import Account, AuditEntry, LoginStep, Passkey, StepPurpose, Store

_log = logging.getLogger(__name__)
_LONGEST_LABEL = 60
#: Characters of what a browser answers; keys of common kinds take less than a tenth.
_LONGEST_ANSWER = 12_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RelyingParty:
    """Who the hub is to an authenticator: its host, and the origin of its pages."""

    host: str
    origin: str

    @classmethod
    def of(cls, base_url: str) -> RelyingParty | None:
        """Read both from the hub's address; None where browsers offer no keys: at an IP address, or elsewhere without TLS."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            is_secure = parts.scheme == "https" or host == "localhost"
            return cls(host=host, origin=f"{parts.scheme}://{parts.netloc}") if host and is_secure else None
        return None


class Passkeys:
    """Registers keys, asks for their signatures, and judges them. Without a ``party`` there are none."""

    def __init__(self, *, store: Store, accounts: Accounts, base_url: str) -> None:
        self._records = store.accounts
        self._credentials = store.credentials
        self._accounts = accounts
        self.party = RelyingParty.of(base_url)

    def offer(self, account: Account, *, now: datetime) -> str | None:
        """Return what a browser needs to make a key (JSON); None where there can be none."""
        if self.party is None or not account.is_local:
            return None
        import webauthn
        from webauthn.helpers import structs

        challenge = secrets.token_bytes(32)
        self._credentials.begin_step(_registering(account, challenge, now))
        options = webauthn.generate_registration_options(
            rp_id=self.party.host,
            rp_name=ISSUER,
            user_name=account.name,
            user_id=fingerprint(account.name).encode()[:64],
            challenge=challenge,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                user_verification=structs.UserVerificationRequirement.PREFERRED
            ),
            exclude_credentials=self._known(account),
        )
        return webauthn.options_to_json(options)

    def add(self, account: Account, label: str, answer: str, *, now: datetime) -> None:
        """Take the key that a browser made for an offer, and end the account's sessions.

        Raises:
            Invalid: it is for no offer of this account, or does not verify.
            Conflict: it is known already, or the account has too many.
        """
        import webauthn
        from webauthn.helpers.exceptions import WebAuthnException

        require_local(account)
        label = label.strip() or "Schlüssel / key"
        if len(label) > _LONGEST_LABEL or not label.isprintable():
            raise Invalid(
                Text(
                    f"Der Name eines Schlüssels hat höchstens {_LONGEST_LABEL} Zeichen.",
                    f"The name of a key has at most {_LONGEST_LABEL} characters.",
                )
            )
        challenge = _challenge_in(answer)
        step = self._credentials.step(fingerprint(challenge))
        if (
            self.party is None
            or step is None
            or (step.purpose, step.account) != (StepPurpose.REGISTER, account.name)
            or not step.made_at <= now < step.made_at + STEP_LIFE
            or not self._credentials.end_step(step.token_hash)
        ):
            raise _unfit()
        try:
            made = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=_bytes(challenge),
                expected_rp_id=self.party.host,
                expected_origin=self.party.origin,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as exc:
            raise _unfit() from exc
        passkey = Passkey(
            credential_id=_text(made.credential_id),
            account=account.name,
            label=label,
            public_key=_text(made.credential_public_key),
            sign_count=made.sign_count,
            created_at=now,
        )
        audit = _audit("account.key-add", account, label, now)
        self._credentials.add_passkey(passkey, audit=audit)
        self._records.end_sessions(account.name, audit=_audit("session.end-all", account, label, now))

    def remove(self, account: Account, credential_id: str, *, now: datetime) -> None:
        """Take a key away.

        Raises:
            NotFound: the account has no such key.
            Forbidden: it is the last second factor of who must have one.
        """
        factors = self._accounts.factors
        keys = factors.of(account).passkeys
        found = next((each for each in keys if each.credential_id == credential_id), None)
        if found is None:
            raise not_found("passkey-not-found")
        if account.totp is None and len(keys) == 1 and factors.demands(account):
            raise factor_missing()
        audit = _audit("account.key-remove", account, found.label, now)
        if not self._credentials.remove_passkey(account.name, credential_id, audit=audit):
            raise not_found("passkey-not-found")

    def ask(self, token: str, account: Account) -> str | None:
        """Return what a browser needs to sign for a log-in that waits (JSON); None where the account has no key."""
        known = self._known(account)
        if self.party is None or not known:
            return None
        import webauthn
        from webauthn.helpers import structs

        challenge = secrets.token_bytes(32)
        if not self._credentials.challenge(fingerprint(token), _text(challenge)):
            return None
        options = webauthn.generate_authentication_options(
            rp_id=self.party.host,
            challenge=challenge,
            allow_credentials=known,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        )
        return webauthn.options_to_json(options)

    def signed(self, step: LoginStep, account: Account, answer: str, *, now: datetime) -> bool:
        """Tell whether a key of the account signed what the step asked for; the challenge is used up either way."""
        from webauthn.helpers.exceptions import WebAuthnException

        if self.party is None or step.challenge is None or not self._credentials.use_challenge(step):
            return False
        try:
            named = _parsed(answer).get("id")
        except Invalid:
            return False
        key = next((each for each in self._credentials.passkeys(account.name) if each.credential_id == named), None)
        if key is None:
            return False
        try:
            found = _verified(self.party, step.challenge, answer, key)
        except (WebAuthnException, ValueError, TypeError, KeyError) as exc:
            _log.warning("key of account %s refused: %s", account.name, type(exc).__name__)
            return False
        return self._credentials.count_passkey(key, sign_count=found.new_sign_count, now=now)

    def _known(self, account: Account) -> list[Any]:
        from webauthn.helpers import structs

        keys = self._credentials.passkeys(account.name)
        return [structs.PublicKeyCredentialDescriptor(id=_bytes(each.credential_id)) for each in keys]


def _registering(account: Account, challenge: bytes, now: datetime) -> LoginStep:
    return LoginStep(
        token_hash=fingerprint(_text(challenge)),
        account=account.name,
        purpose=StepPurpose.REGISTER,
        challenge=_text(challenge),
        made_at=now,
    )


def _verified(party: RelyingParty, challenge: str, answer: str, key: Passkey) -> Any:
    import webauthn

    return webauthn.verify_authentication_response(
        credential=answer,
        expected_challenge=_bytes(challenge),
        expected_rp_id=party.host,
        expected_origin=party.origin,
        credential_public_key=_bytes(key.public_key),
        credential_current_sign_count=key.sign_count,
    )


def _parsed(answer: str) -> dict[str, Any]:
    try:
        if len(answer) > _LONGEST_ANSWER:
            raise _unfit()
        found = orjson.loads(answer)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as exc:
        raise _unfit() from exc
    if not isinstance(found, dict):
        raise _unfit()
    return found


def _challenge_in(answer: str) -> str:
    """Return the challenge that an answer says it is for; whether it is signed is for others to judge."""
    response = _parsed(answer).get("response")
    said = response.get("clientDataJSON") if isinstance(response, dict) else None
    try:
        challenge = orjson.loads(_bytes(said if isinstance(said, str) else ""))["challenge"]
    except (ValueError, TypeError, KeyError) as exc:
        raise _unfit() from exc
    if not isinstance(challenge, str) or not challenge.isascii():
        raise _unfit()
    return challenge


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _unfit() -> Invalid:
    return Invalid(
        Text(
            "Der Schlüssel passt nicht zu dieser Anfrage, oder sie ist abgelaufen. Beginnen Sie noch einmal.",
            "The key does not fit this request, or it is over. Begin once more.",
        )
    )


def _audit(action: str, account: Account, label: str, now: datetime) -> AuditEntry:
    return AuditEntry(at=now, actor=account.name, action=action, target=f"account:{account.name}", after={"key": label})
