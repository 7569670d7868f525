"""The store: the only SQL, the only disk.

``Store`` holds parties, messages, event logs, the queue and the audit log in SQLite or PostgreSQL; ``LocalBlobs`` holds large
sealed contents as files. Both accept sealed values only.
"""

from hub.store.blobs.local import Beginning, Blobs, BlobWriter, LocalBlobs, SpillingSink
from hub.store.blobs.provisional import Provisional
from hub.store.outboxes import OutboxAttempt
from hub.store.queue import AttemptResult
from hub.store.records import (
    Announcement,
    Attempt,
    AuditEntry,
    AuditRecord,
    Backlog,
    CallbackClaim,
    CallbackView,
    Case,
    CaseHead,
    Circuit,
    Claim,
    DeliveryState,
    DeliveryView,
    Lagging,
    MakeCompletion,
    MakeEvents,
    Notice,
    NoticeClaim,
    NoticeKind,
    NoticeView,
    OutgoingCallback,
    Page,
    Read,
    Remembered,
    StoredKey,
    StoredMessage,
    Telling,
    all_items,
    all_pages,
)
from hub.store.store import Store
from hub.store.unreadable import met_unreadable

__all__ = [
    "Announcement",
    "Attempt",
    "AttemptResult",
    "AuditEntry",
    "AuditRecord",
    "Backlog",
    "Beginning",
    "BlobWriter",
    "Blobs",
    "CallbackClaim",
    "CallbackView",
    "Case",
    "CaseHead",
    "Circuit",
    "Claim",
    "DeliveryState",
    "DeliveryView",
    "Lagging",
    "LocalBlobs",
    "MakeCompletion",
    "MakeEvents",
    "Notice",
    "NoticeClaim",
    "NoticeKind",
    "NoticeView",
    "OutboxAttempt",
    "OutgoingCallback",
    "Page",
    "Provisional",
    "Read",
    "Remembered",
    "SpillingSink",
    "Store",
    "StoredKey",
    "StoredMessage",
    "Telling",
    "all_items",
    "all_pages",
    "met_unreadable",
]
