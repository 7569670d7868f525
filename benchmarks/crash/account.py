"""The reckoning: every promise is delivered or still open, as itself, and every repeat was said to be one."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.crash.ledger import Ledger, digest
from benchmarks.crash.senders import Senders
from hub.crypto import decrypt, read_decryption_key
from hub.store import DeliveryState, Store

_LARGEST = 1024 * 1024
#: Whatever dies or fills up, a sender is never told that the hub is at a loss.
_BROKEN = {"500", "501", "502"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Counts, and ``faults`` in words: an empty list is the result that counts."""

    acknowledged: int
    delivered: int
    open: int
    lost: int
    dead: int
    receptions: int
    repeats: int
    most_receptions_of_one: int
    delivered_without_answer_to_the_sender: int
    opened: int
    kills: int
    #: Deliveries that arrived after a later attempt: the flagged one came first, the receiver knows the delivery id.
    overtaken: int = 0
    #: Deliveries that the hub isolated after three lapsed leases; they were sent again by hand.
    set_aside: int = 0
    #: By what means harm was done, where there are several.
    how: str = ""
    statuses: Mapping[str, int] = field(default_factory=dict)
    faults: Sequence[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether acknowledged = delivered + open, and nothing else is wrong."""
        return not self.faults and self.acknowledged == self.delivered + self.open

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged = {self.delivered} delivered + {self.open} open"
            f" (lost {self.lost}, dead {self.dead}); {self.kills} kills, {self.receptions} receptions,"
            f" {self.repeats} repeats, at most {self.most_receptions_of_one} of one, {self.overtaken} overtaken,"
            f" {self.set_aside} set aside and sent again;"
            f" {self.opened} opened and compared; answers {dict(self.statuses)}"
            + (f"; by {self.how}" if self.how else "")
        )


def broken_off(why: str) -> Account:
    """Return the account of a scenario that did not come to its end: nothing is known, so nothing holds."""
    nothing = dict.fromkeys((each.name for each in fields(Account) if each.type == "int"), 0)
    return Account(**nothing, faults=[f"broken off: {why}"])


def reckon(senders: Senders, receptions: Ledger, store: Store, data: Path, *, kills: int) -> Account:
    """Compare both ledgers with each other and with the store."""
    promises = {entry["submission_id"]: entry for entry in senders.ledger.read()}
    got: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in receptions.read():
        got[entry["submission_id"]].append(entry)
    standing = _standing(store, [each for each in promises if each not in got])
    faults = list(senders.broken) + _unflagged(got) + _strange_ids(got)
    plaintexts, mixed = _opened(got, data)
    faults += mixed + _mixed_up(promises, got, plaintexts, set(senders.sent.values()))
    lost = [each for each, state in standing.items() if state is None]
    faults += [f"{each}: acknowledged, not delivered, not open" for each in lost]
    faults += [f"{count} answers {status}" for status, count in senders.statuses.items() if status in _BROKEN]
    if senders.retry_after_missing:
        faults.append(f"{senders.retry_after_missing} answers 503 without Retry-After")
    return Account(
        acknowledged=len(promises),
        delivered=len(promises.keys() & got.keys()),
        open=sum(state is DeliveryState.QUEUED for state in standing.values()),
        lost=len(lost),
        dead=sum(state is DeliveryState.DEAD for state in standing.values()),
        receptions=sum(map(len, got.values())),
        repeats=sum(len(each) - 1 for each in got.values()),
        most_receptions_of_one=max(map(len, got.values()), default=0),
        delivered_without_answer_to_the_sender=len(got.keys() - promises.keys()),
        opened=len(plaintexts),
        kills=kills,
        overtaken=_overtaken(got),
        statuses=dict(senders.statuses),
        faults=faults,
    )


def _standing(store: Store, ids: Sequence[str]) -> dict[str, DeliveryState | None]:
    views = {each: store.deliveries.of(UUID(each)) for each in ids}
    return {each: None if view is None else view.state for each, view in views.items()}


def _unflagged(got: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    return [
        f"{each}: delivered again without saying so (attempt {later['attempt']})"
        for each, entries in got.items()
        for before, later in pairwise(entries)
        if not later["repeat"] and later["attempt"] >= before["attempt"]
    ]


def _overtaken(got: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    pairs = (pair for entries in got.values() for pair in pairwise(entries))
    return sum(later["attempt"] < before["attempt"] for before, later in pairs)


def _strange_ids(got: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    changed = [each for each, entries in got.items() if len({entry["delivery_id"] for entry in entries}) > 1]
    shared = Counter(entry for entries in got.values() for entry in {one["delivery_id"] for one in entries})
    return [f"{each}: several delivery ids" for each in changed] + [
        f"delivery {each}: several submissions" for each, count in shared.items() if count > 1
    ]


def _opened(got: Mapping[str, Sequence[Mapping[str, Any]]], data: Path) -> tuple[dict[str, str], list[str]]:
    """Open what was delivered with the authority's key; return each submission's plaintext hash, and what differed."""
    cast = json.loads((data / "demo.json").read_text(encoding="utf-8"))
    keys = [
        read_decryption_key(each["private_decryption_jwk"], written_by_us=True)
        for each in cast["destinations"]
        if each["adapter"] == "https"
    ]
    plaintexts, faults = {}, []
    for each, entries in got.items():
        if len({entry["jwe"] for entry in entries}) > 1:
            faults.append(f"{each}: another content when repeated")
        plaintexts[each] = digest(decrypt(entries[0]["jwe"].encode(), keys, max_output=_LARGEST))
    return plaintexts, faults


def _mixed_up(
    promises: Mapping[str, Mapping[str, Any]],
    got: Mapping[str, Sequence[Mapping[str, Any]]],
    plaintexts: Mapping[str, str],
    sent: set[str],
) -> list[str]:
    faults = []
    for each, plaintext in plaintexts.items():
        promise = promises.get(each)
        if promise is None:
            if plaintext not in sent:
                faults.append(f"{each}: a content that nobody sent")
        elif plaintext != promise["plaintext"]:
            faults.append(f"{each}: delivered with another's content")
        elif digest(got[each][0]["jwe"].encode()) != promise["sealed"]:
            faults.append(f"{each}: another ciphertext than the receipt names")
    return faults
