"""Verification of the audit log: its chain of hashes, and the signed checkpoints that its end stood in.

The chain alone shows a record that was changed or taken out in the middle; whoever writes it anew from some record on, or cuts
its end off, leaves a chain that holds. Each checkpoint therefore holds the end of the audit log beside those of the cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hub.errors import Text
from hub.model.events import GENESIS
from hub.store import AuditRecord, Page, Store, all_pages
from hub.store.checkpoints import CheckpointLog

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
    signed = CheckpointLog(store).audit_heads()
    covered, head, checked = max(signed, default=0), GENESIS, 0
    for page in all_pages(lambda start: store.audit(offset=start, limit=_PAGE)):
        unreadable = {int(error.place[1]): error.detail for error in page.unreadable}
        for seq, record in _in_order(page, unreadable):
            text = unreadable[seq] if record is None else _wrong_with(record, checked + 1, head, signed)
            if record is None or text is not None:
                return AuditReport(checked=checked, covered=covered, broken_at=seq, text=text)
            head, checked = record.hash, checked + 1
    if checked < covered:
        return AuditReport(checked=checked, covered=covered, broken_at=checked + 1, text=_SHORTENED)
    return AuditReport(checked=checked, covered=covered)


def _in_order(page: Page[AuditRecord], unreadable: Iterable[int]) -> list[tuple[int, AuditRecord | None]]:
    """Return the rows of a page by their numbers; None for one that cannot be read."""
    rows: dict[int, AuditRecord | None] = {record.seq: record for record in page.items}
    return sorted((rows | dict.fromkeys(unreadable)).items(), key=lambda row: row[0])


def _wrong_with(record: AuditRecord, seq: int, previous: str, signed: dict[int, set[str]]) -> Text | None:
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
_SHORTENED = Text(
    "Einträge am Ende des Prüfprotokolls fehlen: Ein Prüfpunkt enthält ein späteres Ende.",
    "Records at the end of the audit log are missing: a checkpoint holds a later end.",
)
