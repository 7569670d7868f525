"""Checkpoints: the ends of all case logs, and of the audit log, under one signature, and short proofs that a case stood there.

A chain of hashes shows that a log was not changed in the middle; only a signature outside of it shows that the whole log was
not written anew. Every few seconds the ends that moved become the leaves of a Merkle tree (RFC 9162 section 2.1), and its
head is signed together with the hash of the checkpoint before. What is checked here needs no network: the published keys
and the document.

Verification of the audit log: its chain of hashes, and the signed checkpoints that its end stood in.

The chain alone shows a record that was changed or taken out in the middle; whoever writes it anew from some record on, or cuts
its end off, leaves a chain that holds. Each checkpoint therefore holds the end of the audit log beside those of the cases.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hub.crypto import HubKeys, inclusion_proof, make_checkpoint, tree_head, verify_checkpoint, verify_inclusion
from hub.crypto.timestamps import StampedTime, verify_stamp
from hub.errors import Conflict, HubError, SealBroken, Text, not_found
from hub.model import EVERYTHING, GENESIS, HOUSE_PREFIX, Event, EventKind, canonical_entry, chained_hash
from hub.store import AUDIT_LOG, AuditRecord, CaseHead, Checkpoint, LeafStanding, Page, Store, all_pages

_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """How many records hold, and the number of the first that does not, with what is wrong; ``covered`` by checkpoints."""

    checked: int
    covered: int
    broken_at: int | None = None
    text: Text | None = None


def verify_audit(store: Store) -> AuditReport:
    """Verify the whole audit log against itself and the leaves of all checkpoints, whose signatures are verified elsewhere."""
    signed = store.checkpoints.audit_heads()
    covered, head, checked = max(signed, default=0), GENESIS, 0
    for page in all_pages(lambda start: store.audit.entries(scope=EVERYTHING, offset=start, limit=_PAGE)):
        unreadable = {int(error.place[1]): error.detail for error in page.unreadable}
        for seq, record in _in_order(page, unreadable):
            text = unreadable[seq] if record is None else _chain_fault(record, checked + 1, head, signed)
            if record is None or text is not None:
                return AuditReport(checked=checked, covered=covered, broken_at=seq, text=text)
            head, checked = record.hash, checked + 1
    if checked < covered:
        return AuditReport(checked=checked, covered=covered, broken_at=checked + 1, text=_AUDIT_SHORTENED)
    return AuditReport(checked=checked, covered=covered)


def _in_order(page: Page[AuditRecord], unreadable: Iterable[int]) -> list[tuple[int, AuditRecord | None]]:
    """Return the rows of a page by their numbers; None for one that cannot be read."""
    rows: dict[int, AuditRecord | None] = {record.seq: record for record in page.items}
    return sorted((rows | dict.fromkeys(unreadable)).items(), key=lambda row: row[0])


def _chain_fault(record: AuditRecord, seq: int, previous: str, signed: dict[int, set[str]]) -> Text | None:
    if record.seq != seq or record.previous != previous or record.hash != record.record_hash():
        return _BROKEN
    return _REWRITTEN if signed.get(seq, {record.hash}) != {record.hash} else None


_BROKEN = Text(
    "Der Eintrag passt nicht in die Hash-Kette: Er wurde geändert, vertauscht, oder davor fehlt einer.",
    "The record does not fit the hash chain: it was changed or moved, or one before it is missing.",
)
_REWRITTEN = Text(
    "Das Prüfprotokoll sagt bis hierher etwas anderes als zur Zeit eines Prüfpunkts: Es wurde neu geschrieben.",
    "Up to here the audit log says something else than when a checkpoint was made: it was rewritten.",
)
_AUDIT_SHORTENED = Text(
    "Einträge am Ende des Prüfprotokolls fehlen: Ein Prüfpunkt enthält ein späteres Ende.",
    "Records at the end of the audit log are missing: a checkpoint holds a later end.",
)


#: Leaves of one checkpoint at most: a bounded transaction, and proofs of ten hashes.
_LEAVES = 1024
#: Checkpoints that one tick makes at most; what is left waits for the next one.
_ROUNDS = 20
_PROOF_VERSION = 1
#: Checkpoints between the one that holds a case and the one that was stamped: an hour of a busy hub, half a megabyte.
_LONGEST_CHAIN = 720
#: Checkpoints whose leaves are kept at hand once they were verified: a few hundred kilobytes.
_REMEMBERED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """One thing that is wrong: in which checkpoint, with which case if it is one, and what.

    With :data:`~hub.store.event_log.AUDIT_LOG` as the case ``number`` is that of a record in the audit log.
    """

    number: int
    case_id: UUID | None
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointReport:
    """What a verification of all checkpoints saw."""

    checkpoints: int
    leaves: int
    findings: tuple[Discrepancy, ...]
    audit: AuditReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Proven:
    """What a verified proof says: at ``at``, checkpoint ``number`` held this end of the case's log.

    ``hashes`` maps event numbers up to ``seq`` to entry hashes; it is empty for a log that was dropped. ``ai_steps``: so many
    steps of AI systems stand in it; None where the log was dropped.
    """

    case_id: UUID
    seq: int
    head: str
    number: int
    at: datetime
    hashes: Mapping[int, str]
    ai_steps: int | None = None
    #: When a time-stamping authority saw it at the latest; None where no stamp was there, or none was asked for.
    stamped: StampedTime | None = None


class Checkpoints:
    """Makes, hands out and verifies checkpoints. Any number of nodes may call ``make``; numbers stay without gaps."""

    def __init__(self, *, store: Store, keys: HubKeys, issuer: str) -> None:
        self._store = store
        self._log = store.checkpoints
        self._keys = keys
        self._issuer = issuer
        #: Leaves of checkpoints that verified, by number: what was signed does not change.
        self._verified: dict[int, dict[UUID, CaseHead]] = {}

    def pending(self) -> bool:
        """Whether any log moved since the last checkpoint; a look that writes nothing."""
        return self._log.pending()

    def make(self, now: datetime) -> int:
        """Cover every end that moved since the last checkpoint; return how many were covered."""
        covered = 0
        for _ in range(_ROUNDS):
            last = self._log.last()
            heads = self._log.uncovered(_LEAVES)
            audited = self._log.audit_head()
            known = self._log.newest_head(AUDIT_LOG)
            if not heads and (audited is None or (known is not None and audited.seq <= known.seq)):
                break
            leaves = heads if audited is None else [audited, *heads]
            try:
                self._log.add(self._signed(last, leaves, now), leaves)
            except Conflict:
                # Another node, whose lease on this duty ended late, was faster; its leaves are ours.
                break
            covered += len(heads)
            if len(heads) < _LEAVES:
                break
        return covered

    def newest_leaf(self, case_id: UUID) -> CaseHead | None:
        """Return the newest end of a case's log that stands in a checkpoint which verifies; None if it stands in none.

        Raises:
            SealBroken: the checkpoint that holds it was changed, or its leaves were.
        """
        found = self._log.newest_of(case_id)
        if found is None:
            return None
        number, _ = found
        leaves_of = self._verified.get(number)
        if leaves_of is None:
            checkpoint, leaves = self._log.get(number), self._log.leaves(number)
            claims = verify_checkpoint("" if checkpoint is None else checkpoint.token, self._keys.hub_jwks())
            if not _holds_leaves(claims, number, leaves):
                raise SealBroken(_OTHER_LEAVES)
            leaves_of = {leaf.case_id: leaf for leaf in leaves}
            # A new mapping each time: other threads read the one before meanwhile.
            kept = list(self._verified.items())[1 - _REMEMBERED :]
            self._verified = {**dict(kept), number: leaves_of}
        return leaves_of.get(case_id)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint: kept elsewhere, it shows a rewritten history."""
        return self._log.last()

    def proof(self, case_id: UUID) -> dict[str, Any]:
        """Return the proof (a JSON document) that a case's log stood in the newest checkpoint that holds it.

        Raises:
            NotFound: no checkpoint covers the case yet.
        """
        found = self._log.newest_of(case_id)
        checkpoint = None if found is None else self._log.get(found[0])
        if found is None or checkpoint is None:
            raise not_found("checkpoint-not-found")
        leaves = self._log.leaves(checkpoint.number)
        leaf = leaves[found[1]]
        path = inclusion_proof([_entry(each) for each in leaves], found[1])
        said = {
            "version": _PROOF_VERSION,
            "caseId": str(case_id),
            "seq": leaf.seq,
            "head": leaf.hash,
            "checkpoint": checkpoint.token,
            "index": found[1],
            "path": [each.hex() for each in path],
            "log": [event.entry() for event in self._events(case_id, leaf.seq)],
        }
        stamp = self._stamp_of(checkpoint.number)
        return said if stamp is None else {**said, "timestamp": stamp}

    def _stamp_of(self, number: int) -> dict[str, Any] | None:
        """Return the first stamp at or behind a checkpoint, and the checkpoints from there to it; None where none is yet."""
        stamp = self._store.timestamps.covering(number)
        if stamp is None or stamp.number - number > _LONGEST_CHAIN:
            return None
        between = [self._log.get(each) for each in range(number + 1, stamp.number + 1)]
        if any(each is None for each in between):
            return None
        return {
            "answer": base64.b64encode(stamp.token).decode("ascii"),
            "checkpoints": [each.token for each in between if each is not None],
        }

    def verify(self, *, anchor: str | None = None) -> CheckpointReport:
        """Verify all checkpoints, and every case and the audit log against them; ``anchor`` is one that was kept elsewhere."""
        jwks = self._keys.hub_jwks()
        last = self._log.last()
        count, leaves, previous = 0 if last is None else last.number, 0, GENESIS
        findings: list[Discrepancy] = []
        for number in range(1, count + 1):
            checkpoint = self._log.get(number)
            standing = self._log.standing(number)
            findings += _wrong_with(number, checkpoint, standing, previous, jwks)
            previous = GENESIS if checkpoint is None else _digest(checkpoint.token)
            leaves += len(standing)
        findings += (_found(count, case.case_id, _NO_LEAF) for case in self._log.without_leaf())
        if anchor is not None:
            findings += self._compared(anchor, jwks)
        audit = verify_audit(self._store)
        if audit.text is not None:
            findings.append(_found(audit.broken_at or 0, AUDIT_LOG, audit.text))
        return CheckpointReport(checkpoints=count, leaves=leaves, findings=tuple(findings), audit=audit)

    def _signed(self, last: Checkpoint | None, heads: Sequence[CaseHead], now: datetime) -> Checkpoint:
        number = 1 if last is None else last.number + 1
        claims = {
            "iss": self._issuer,
            "iat": int(now.timestamp()),
            "number": number,
            "size": len(heads),
            "root": tree_head([_entry(head) for head in heads]).hex(),
            "previous": GENESIS if last is None else _digest(last.token),
        }
        return Checkpoint(number=number, made_at=now, token=make_checkpoint(self._keys.receipt, claims))

    def _events(self, case_id: UUID, upto: int) -> Iterator[Event]:
        for offset in range(0, upto, _PAGE):
            page = self._store.event_log.events(case_id, offset=offset, limit=min(_PAGE, upto - offset))
            yield from page.items

    def _compared(self, anchor: str, jwks: Mapping[str, Any]) -> Iterator[Discrepancy]:
        number = verify_checkpoint(anchor, jwks).get("number")
        stored = self._log.get(number) if isinstance(number, int) else None
        if stored is None or stored.token != anchor:
            yield _found(number if isinstance(number, int) else 0, None, _OTHER_HISTORY)


def verify_proof(document: object, jwks: Mapping[str, Any], *, stamps_by: Sequence[Any] = ()) -> Proven:
    """Verify a proof with the hub's published keys alone: signature, path, and the hash chain of the log in it.

    ``stamps_by`` are a time-stamping authority's root certificates (:func:`hub.crypto.timestamps.read_roots`): with them the
    stamp in the proof, if there is one, is verified too, along the chain of checkpoints to the one that was stamped.

    Raises:
        SealBroken: it is no proof, or something in it does not fit.
    """
    try:
        proven = _read_proof(document, jwks)
        return replace(proven, stamped=_stamped(document, jwks, stamps_by)) if stamps_by else proven
    except (KeyError, TypeError, ValueError) as exc:
        raise _no_proof() from exc


def require_receipt(proven: Proven, receipt: Mapping[str, Any]) -> None:
    """Require the claims of a verified receipt to stand in a proven log.

    Raises:
        SealBroken: the receipt is of another case, or its event is not in the log or is another one.
    """
    log = receipt.get("eventLog") or {}
    # Of a dropped log only its end is known.
    known = proven.hashes or {proven.seq: proven.head}
    entry = (log.get("seq"), log.get("hash"))
    if receipt.get("txn") != f"case:{proven.case_id}" or entry not in known.items():
        raise SealBroken(
            Text(
                "Der Nachweis gehört nicht zu dieser Eingangsbestätigung: anderer Vorgang oder anderes Protokoll.",
                "The proof does not belong to this receipt: another case, or another log.",
            )
        )


def _read_proof(document: Any, jwks: Mapping[str, Any]) -> Proven:
    if type(document["version"]) is not int or document["version"] != _PROOF_VERSION:
        raise _unknown_version()
    claims = verify_checkpoint(document["checkpoint"], jwks)
    leaf = _proven_leaf(document, claims)
    hashes = _chained(document["log"])
    if hashes and hashes.get(leaf.seq) != leaf.hash:
        raise _no_proof()
    at = datetime.fromtimestamp(claims["iat"], UTC)
    return Proven(
        case_id=leaf.case_id,
        seq=leaf.seq,
        head=leaf.hash,
        number=claims["number"],
        at=at,
        hashes=hashes,
        ai_steps=_ai_steps(document["log"]) if hashes else None,
    )


def _unknown_version() -> SealBroken:
    return SealBroken(
        Text(
            "Diese Fassung eines Nachweises kennt der Hub nicht. Prüfen Sie ihn mit einer neueren Version.",
            "The hub does not know this version of a proof. Verify it with a newer release.",
        ),
        slug="proof-version-unknown",
    )


def _proven_leaf(document: Any, claims: Mapping[str, Any]) -> CaseHead:
    leaf = CaseHead(case_id=UUID(document["caseId"]), seq=int(document["seq"]), hash=document["head"])
    verify_inclusion(
        _entry(leaf),
        index=document["index"],
        size=claims["size"],
        proof=[bytes.fromhex(each) for each in document["path"]],
        head=bytes.fromhex(claims["root"]),
    )
    return leaf


def _stamped(document: Any, jwks: Mapping[str, Any], roots: Sequence[Any]) -> StampedTime | None:
    """Return when an authority saw the proof's checkpoint at the latest; ``SealBroken`` where stamp or chain does not fit."""
    stamp = document.get("timestamp")
    if stamp is None:
        return None
    token, chain = document["checkpoint"], stamp["checkpoints"]
    if len(chain) > _LONGEST_CHAIN:
        raise _no_proof()
    for each in chain:
        if verify_checkpoint(each, jwks)["previous"] != _digest(token):
            raise _no_proof()
        token = each
    return verify_stamp(base64.b64decode(stamp["answer"], validate=True), token.encode("ascii"), list(roots))


def _ai_steps(log: Sequence[Mapping[str, Any]]) -> int:
    return sum(f"{HOUSE_PREFIX}{EventKind.AI_STEP}" in entry["claims"]["events"] for entry in log)


def _chained(log: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Compute each entry's hash from its content alone (the same formula as ``Event.entry_hash``)."""
    head, hashes = GENESIS, {}
    for seq, entry in enumerate(log, start=1):
        head = chained_hash(head, canonical_entry(entry))
        if entry["seq"] != seq:
            raise _no_proof()
        hashes[seq] = head
    return hashes


def _entry(head: CaseHead) -> bytes:
    """Return the bytes of a leaf: case, number of its last event, hash of that event."""
    return f"{head.case_id}:{head.seq}:{head.hash}".encode()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _wrong_with(
    number: int,
    checkpoint: Checkpoint | None,
    standing: Sequence[LeafStanding],
    previous: str,
    jwks: Mapping[str, Any],
) -> Iterator[Discrepancy]:
    if checkpoint is None:
        yield _found(number, None, _MISSING)
        return
    try:
        claims = verify_checkpoint(checkpoint.token, jwks)
    except HubError as error:
        yield _found(number, None, error.detail)
        return
    if not _holds_leaves(claims, number, [each.leaf for each in standing]):
        yield _found(number, None, _OTHER_LEAVES)
    if claims.get("previous") != previous:
        yield _found(number, None, _OTHER_BEFORE)
    for each in standing:
        # The audit log is compared as a whole, see :func:`~hub.audit_chain.verify_audit`.
        text = None if each.leaf.case_id == AUDIT_LOG else _judged(each)
        if text is not None:
            yield _found(number, each.leaf.case_id, text)


def _holds_leaves(claims: Mapping[str, Any], number: int, leaves: Sequence[CaseHead]) -> bool:
    """Whether a checkpoint's verified claims are about exactly these leaves."""
    root = tree_head([_entry(leaf) for leaf in leaves]).hex()
    return (claims.get("number"), claims.get("size"), claims.get("root")) == (number, len(leaves), root)


def _judged(standing: LeafStanding) -> Text | None:
    """Say what is wrong with a case that a checkpoint holds."""
    if standing.case_seq is None:
        return _REMOVED
    if standing.case_seq < standing.leaf.seq:
        return _SHORTENED
    if standing.dropped and standing.case_seq > standing.leaf.seq:
        return None  # Of a dropped log only the end is left to compare.
    return None if standing.stored == standing.leaf.hash else _CHANGED


def _found(number: int, case_id: UUID | None, text: Text) -> Discrepancy:
    return Discrepancy(number=number, case_id=case_id, text=text)


_MISSING = Text("Der Prüfpunkt fehlt; es wurde gelöscht.", "The checkpoint is missing; something was deleted.")
_OTHER_LEAVES = Text(
    "Die gespeicherten Blätter sind nicht die unterschriebenen.", "The stored leaves are not those that were signed."
)
_OTHER_BEFORE = Text(
    "Der Prüfpunkt davor ist nicht der, auf den dieser sich bezieht.",
    "The checkpoint before is not the one that this one refers to.",
)
_REMOVED = Text("Der Vorgang wurde entfernt.", "The case was removed.")
_SHORTENED = Text("Ereignisse am Ende des Vorgangs fehlen.", "Events at the end of the case are missing.")
_CHANGED = Text(
    "Das Protokoll sagt etwas anderes als zur Zeit des Prüfpunkts.",
    "The log says something else than when the checkpoint was made.",
)
_NO_LEAF = Text(
    "Der Vorgang gilt als gesichert, steht aber in keinem Prüfpunkt: Prüfpunkte am Ende fehlen.",
    "The case counts as covered but stands in no checkpoint: checkpoints at the end are missing.",
)
_OTHER_HISTORY = Text(
    "Der aufbewahrte Prüfpunkt gehört nicht zu dieser Geschichte: Sie wurde neu geschrieben oder auf einen älteren Stand "
    "zurückgesetzt.",
    "The checkpoint that was kept does not belong to this history: it was rewritten or set back to an older state.",
)


def _no_proof() -> SealBroken:
    return SealBroken(
        Text(
            "Das ist kein gültiger Nachweis: Angaben fehlen, oder das Protokoll darin passt nicht zum Prüfpunkt.",
            "This is no valid proof: something is missing, or the log in it does not fit the checkpoint.",
        )
    )
