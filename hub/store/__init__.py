"""The store: the only SQL, the only disk.

``Store`` holds parties, messages, event logs, the queue and the audit log in SQLite or PostgreSQL; ``LocalBlobs`` holds large
sealed contents as files. Both accept sealed values only.
"""

from hub.store.accounts import Account, Counted, Failure, StoredSession
from hub.store.attempts import AttemptResult
from hub.store.audit import AuditEntry, AuditRecord, Read
from hub.store.blobs.contents import Beginning, Blobs, BlobWriter, Provisional
from hub.store.blobs.local import LocalBlobs, SpillingSink
from hub.store.credentials import Invitation, LoginStep, Passkey, RecoveryCodes, StepPurpose
from hub.store.database import Page, all_items, all_pages, met_unreadable
from hub.store.deliveries import CircuitChange
from hub.store.event_log import AUDIT_LOG, Checkpoint, LeafStanding
from hub.store.findings import FindingKind, WatchFinding, WatchPatience
from hub.store.onboarding import GoingLive, OnboardingRow, OnboardingRun, Served, decided_already
from hub.store.outboxes import OutboxAttempt, Telling
from hub.store.parties import NewDestination
from hub.store.plain_door import Filed
from hub.store.proposals import AdapterChange, ChangeState, KeyChange, KeyStep, adapter_change_open
from hub.store.records import (
    Announcement,
    Attempt,
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
    Remembered,
    SentFilter,
    StoredKey,
    StoredMessage,
)
from hub.store.reports import Activity, Overview, Sums, Tally, Wanted
from hub.store.retention import Services
from hub.store.routing_versions import Activation, RuleRows, TableVersion, TableVersions, VersionState
from hub.store.store import Store
from hub.store.tenants import Holdings, Tenants
from hub.store.uploads import StoredUpload, UploadQuota, Uploads
from hub.store.usage import RefusalLine, UsageDay, UsageLine
from hub.store.vendors import ConformanceScore, VendorKey, Vendors

__all__ = [
    "AUDIT_LOG",
    "Account",
    "Activation",
    "Activity",
    "AdapterChange",
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
    "ChangeState",
    "Checkpoint",
    "Circuit",
    "CircuitChange",
    "Claim",
    "ConformanceScore",
    "Counted",
    "DeliveryState",
    "DeliveryView",
    "Failure",
    "Filed",
    "FindingKind",
    "GoingLive",
    "Holdings",
    "Invitation",
    "KeyChange",
    "KeyStep",
    "Lagging",
    "LeafStanding",
    "LocalBlobs",
    "LoginStep",
    "MakeCompletion",
    "MakeEvents",
    "NewDestination",
    "Notice",
    "NoticeClaim",
    "NoticeKind",
    "NoticeView",
    "OnboardingRow",
    "OnboardingRun",
    "OutboxAttempt",
    "OutgoingCallback",
    "Overview",
    "Page",
    "Passkey",
    "Provisional",
    "Read",
    "RecoveryCodes",
    "RefusalLine",
    "Remembered",
    "RuleRows",
    "SentFilter",
    "Served",
    "Services",
    "SpillingSink",
    "StepPurpose",
    "Store",
    "StoredKey",
    "StoredMessage",
    "StoredSession",
    "StoredUpload",
    "Sums",
    "TableVersion",
    "TableVersions",
    "Tally",
    "Telling",
    "Tenants",
    "UploadQuota",
    "Uploads",
    "UsageDay",
    "UsageLine",
    "VendorKey",
    "Vendors",
    "VersionState",
    "Wanted",
    "WatchFinding",
    "WatchPatience",
    "adapter_change_open",
    "all_items",
    "all_pages",
    "decided_already",
    "met_unreadable",
]
