"""Destinations' keys in people's hands: judged, proposed by one and approved by a second.

Changes of destinations' keys by people: one proposes, a second one approves, and only then anything changes.

The key policy judges at both ends, for a certificate may run out while a proposal waits. An owner's key rollover by the
Destination API needs no second person; it does not come this way.

A destination's public key on its way into the store: judged, and reduced to the members that FIT-Connect knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hub.crypto import KeyPolicy, judge_encryption_key, judge_signature_key
from hub.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KeyRefused,
    Malformed,
    NotFound,
    Text,
    needs_second_person,
    not_found,
)
from hub.identity import OneHuman, is_account, one_human, require_second_human
from hub.model import EVERYTHING, Destination, Scope
from hub.store import AuditEntry, ChangeState, KeyChange, KeyStep, Store, StoredKey, all_items

_MEMBERS = ("kty", "key_ops", "alg", "kid", "n", "e", "x5c")


def use_of(jwk: Mapping[str, Any]) -> str:
    """Return what a key says it is for: ``verify``, or else ``wrapKey``."""
    return "verify" if jwk.get("key_ops") == ["verify"] else "wrapKey"


def judged(jwk: Mapping[str, Any], *, use: str, now: datetime, policy: KeyPolicy) -> dict[str, Any]:
    """Return a key that passed the policy, with the members of FIT-Connect's keys and no other.

    Raises:
        Malformed: the policy refuses it; FIT-Connect's API says 400 where a key in a body is bad.
    """
    judge = judge_signature_key if use == "verify" else judge_encryption_key
    try:
        judge(dict(jwk), now=now, policy=policy)
    except KeyRefused as exc:
        raise Malformed(exc.detail, slug="key-refused", **exc.members) from exc
    return {name: jwk[name] for name in _MEMBERS if name in jwk}


_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class By:
    """Who acts, when, and with which words."""

    actor: str
    now: datetime
    text: str = ""


class KeyApproval:
    """Takes proposals and decisions. Every one is audited in the transaction that makes it."""

    def __init__(self, *, store: Store, policy: KeyPolicy) -> None:
        self._store = store
        self._policy = policy
        self._changes = store.key_changes

    def propose_new(self, destination: Destination, jwk: Mapping[str, Any], *, activate: bool, by: By) -> KeyChange:
        """Propose a key that is not on record; ``activate`` seals to it as soon as it is approved.

        Raises:
            Malformed: the key policy refuses it. Conflict: its ``kid`` is taken, or a change of it is open.
            Invalid: a signature key cannot be activated, it counts from its approval on.
        """
        key = judged(jwk, use=use_of(jwk), now=by.now, policy=self._policy)
        if activate and use_of(key) == "verify":
            raise _only_sealing()
        step = KeyStep.ACTIVATE if activate else KeyStep.ADD
        return self._propose(destination, step, str(key["kid"]), key, by)

    def propose(self, destination: Destination, step: KeyStep, kid: str, *, by: By) -> KeyChange:
        """Propose to activate or retire a key that is on record.

        Raises:
            NotFound: no such key. Malformed: the key policy refuses it now.
            Conflict: there is nothing to change, or a change of it is open. Invalid: a signature key is not activated.
        """
        return self._propose(destination, step, kid, None, by)

    def approve(self, destination: Destination, change_id: int, *, by: By) -> KeyChange:
        """Approve a proposal as a second person, and do it.

        Raises:
            NotFound: no such proposal for this destination. Forbidden: it is one's own.
            Conflict: it is decided, or makes no sense any more. Malformed: the key policy refuses the key by now.
        """
        change = self.proposal(destination, change_id)
        require_second_human(self._store, by.actor, [change.proposed_by], now=by.now)
        self._require_sense(destination, change, by.now)
        return self._decide(destination, change, ChangeState.APPROVED, "key.approve", by)

    def refuse(self, destination: Destination, change_id: int, *, by: By) -> KeyChange:
        """Turn a proposal down, or take one's own back; errors as :meth:`approve`, but anybody may."""
        change = self.proposal(destination, change_id)
        own = change.proposed_by == by.actor
        state = ChangeState.WITHDRAWN if own else ChangeState.REFUSED
        return self._decide(destination, change, state, "key.withdraw" if own else "key.refuse", by)

    def of(self, destination: Destination) -> list[KeyChange]:
        """Return a destination's proposals, the newest first."""
        return self._changes.of(destination.destination_id)

    def open(self, *, scope: Scope) -> list[KeyChange]:
        """Return all proposals that wait, within a scope."""
        return self._changes.open(scope=scope)

    def awaits_first_start(self, destination: Destination) -> bool:
        """Tell whether a destination was made by the hub's people or its owner and has never taken a submission yet.

        One that was set to ``inactive`` before it ever was active still waits.
        """
        if destination.status != "inactive":
            return destination.status == "created"
        here = str(destination.destination_id)
        if not self._store.audit.entries(scope=EVERYTHING, action="destination.create", target=here, limit=1).total:
            return False
        changes = all_items(
            lambda start: self._store.audit.entries(
                scope=EVERYTHING, action="destination.change", target=here, offset=start, limit=_PAGE
            )
        )
        return not any(each.entry.after.get("status") == "active" for each in changes)

    def require_second_person(self, destination: Destination, *, actor: str, now: datetime) -> None:
        """Refuse that whoever created a destination, and so chose its first keys, also lets it take its first submission.

        Raises:
            Forbidden: ``actor`` created it, or may be the human who did.
            UnreadableRow: who created it cannot be read, so anybody might have.
        """
        here = str(destination.destination_id)
        made = self._store.audit.entries(scope=EVERYTHING, action="destination.create", target=here, limit=1)
        if made.unreadable:
            raise made.unreadable[0]
        creators = [each.entry.actor for each in made.items]
        # Clients and the machine's user have no account that could be somebody's second one.
        people = [name for name in creators if name == actor or is_account(self._store, name)]
        if not people or not self.awaits_first_start(destination):
            return
        if one_human(self._store, actor, people, now=now) is OneHuman.SAME:
            raise _somebody_else()
        require_second_human(self._store, actor, people, now=now)

    def _propose(
        self, destination: Destination, step: KeyStep, kid: str, jwk: Mapping[str, Any] | None, by: By
    ) -> KeyChange:
        change = KeyChange(
            destination_id=destination.destination_id,
            step=step,
            kid=kid,
            jwk=jwk,
            reason=by.text,
            proposed_by=by.actor,
            proposed_at=by.now,
        )
        self._require_sense(destination, change, by.now)
        return self._changes.propose(change, audit=_entry(destination, change, "key.propose", by))

    def _decide(
        self, destination: Destination, change: KeyChange, state: ChangeState, action: str, by: By
    ) -> KeyChange:
        decided = replace(change, state=state, decided_by=by.actor, decided_at=by.now, remark=by.text)
        return self._changes.decide(decided, audit=_entry(destination, change, action, by))

    def proposal(self, destination: Destination, change_id: int) -> KeyChange:
        """Return one proposal; raise ``NotFound`` for one of another destination."""
        change = self._changes.change(change_id)
        if change.destination_id != destination.destination_id:
            raise NotFound(
                Text("Diese Änderung gehört zu keinem Schlüssel hier.", "This change is about no key of this place.")
            )
        return change

    def _require_sense(self, destination: Destination, change: KeyChange, now: datetime) -> None:
        if destination.status == "decommissioned" and change.step is not KeyStep.RETIRE:
            raise _nothing_to_change("Der Zustellpunkt ist stillgelegt.", "The destination is decommissioned.")
        known = {key.kid: key for key in self._store.parties.keys(destination.destination_id)}
        if change.jwk is not None:
            if change.kid in known:
                raise _known_kid()
            judged(change.jwk, use=use_of(change.jwk), now=now, policy=self._policy)
            return
        key = known.get(change.kid)
        if key is None:
            raise not_found("key-not-found", change.kid)
        if key.retired_at is not None:
            raise _nothing_to_change(
                "Der Schlüssel ist schon zurückgezogen, und das bleibt so.", "The key is retired, and that stays."
            )
        if change.step is KeyStep.RETIRE:
            _require_replacement(destination, key)
        else:
            self._require_use(destination, key, now)

    def _require_use(self, destination: Destination, key: StoredKey, now: datetime) -> None:
        if key.use != "wrapKey":
            raise _only_sealing()
        if key.kid == destination.encryption_kid:
            raise _nothing_to_change("Dieser Schlüssel ist schon in Gebrauch.", "This key is in use already.")
        judged(key.jwk, use="wrapKey", now=now, policy=self._policy)


def _known_kid() -> Conflict:
    return _nothing_to_change(
        "Unter dieser kid liegt schon ein Schlüssel. Aktivieren Sie ihn, oder vergeben Sie eine neue.",
        "A key is on record under this kid already. Activate it, or choose a new one.",
    )


def _somebody_else() -> Forbidden:
    return needs_second_person(
        Forbidden,
        Text(
            "Diesen Zustellpunkt haben Sie selbst mit seinen Schlüsseln angelegt. In Betrieb nehmen muss ihn "
            "jemand anderes.",
            "You created this destination with its keys yourself. Somebody else has to put it into service.",
        ),
    )


def _require_replacement(destination: Destination, key: StoredKey) -> None:
    """Keep an active destination from losing the key that is sealed to: its applications would be turned away."""
    if key.kid == destination.encryption_kid and destination.status == "active":
        raise _nothing_to_change(
            "Dieser Schlüssel ist in Gebrauch. Aktivieren Sie zuerst einen anderen; ist er offengelegt, setzen Sie den "
            "Zustellpunkt auf „inaktiv“ und ziehen ihn dann zurück.",
            "This key is in use. Activate another one first; if it is disclosed, set the destination to 'inactive' and "
            "retire it then.",
        )


def _entry(destination: Destination, change: KeyChange, action: str, by: By) -> AuditEntry:
    after: dict[str, Any] = {"step": change.step.value, "kid": change.kid, "new": change.jwk is not None}
    if by.text:
        after["text"] = by.text
    if change.change_id:
        after |= {"change": change.change_id, "proposed_by": change.proposed_by}
    before = {"encryption_kid": destination.encryption_kid} if change.step is KeyStep.ACTIVATE else {}
    target = f"destination:{destination.destination_id}"
    return AuditEntry(at=by.now, actor=by.actor, action=action, target=target, before=before, after=after)


def _only_sealing() -> Invalid:
    return Invalid(
        Text(
            "Aktiviert werden nur Schlüssel zum Verschlüsseln; ein Signaturschlüssel gilt, sobald er freigegeben ist.",
            "Only keys for sealing are activated; a signature key counts as soon as it is approved.",
        )
    )


def _nothing_to_change(de: str, en: str) -> Conflict:
    return Conflict(
        Text(f"An diesem Schlüssel lässt sich das nicht ändern. {de}", f"This cannot be changed of the key. {en}"),
        slug="key-change-senseless",
    )
