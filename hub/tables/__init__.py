"""Versions of the routing table: drafted by one person, approved by another, activated, rolled back.

``TableBook.active(now)`` is the table that decides now; everything else leads from a draft to it.
"""

from hub.store.routes import Activation, TableVersion, VersionState
from hub.tables.book import HUB, TableBook
from hub.tables.facts import destination_facts, key_valid_until, open_book
from hub.tables.rehearsal import DryRun, Shift
from hub.tables.shelf import Sources
from hub.tables.sight import diff_seen, findings_seen, rules_seen, sees

__all__ = [
    "HUB",
    "Activation",
    "DryRun",
    "Shift",
    "Sources",
    "TableBook",
    "TableVersion",
    "VersionState",
    "destination_facts",
    "diff_seen",
    "findings_seen",
    "key_valid_until",
    "open_book",
    "rules_seen",
    "sees",
]
