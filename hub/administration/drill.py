"""A drill: a backup is put back where nobody is served from it, and what it would be worth is proved there.

Nothing is opened that the hub could not open anyway: contents are compared with their hashes, sealed as they are. Nothing is
sent, signed or written anywhere but into the trial folder and, for PostgreSQL, the trial database; both are gone afterwards.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hub.administration.backup import DATABASE, DUMP, put_back, read_backup
from hub.crypto import HubKeys, verify_receipt
from hub.errors import ConfigurationError, HubError, KeyRefused, NotFound, SealBroken, Text
from hub.model import Sealed
from hub.proof.checkpoints import Checkpoints
from hub.proof.evidence import Notary
from hub.store import Blobs, LocalBlobs, Store, StoredMessage, all_pages, dump

_PAGE = 500
#: What is said of one finding at most.
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Proved:
    """One thing that was looked at: how many of it, and what is wrong with it. Without a number it is not in it."""

    what: Text
    number: int | None
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillReport:
    """What a drill proved of a backup, step by step."""

    created_at: str
    version: str
    steps: tuple[Proved, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong."""
        return not any(step.wrong for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "holds": self.holds,
            "createdAt": self.created_at,
            "version": self.version,
            "steps": [{"what": step.what.en, "number": step.number, "wrong": list(step.wrong)} for step in self.steps],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill:
    """What a drill needs: the backup, what opens it, how many submissions are looked at one by one.

    ``scratch`` yields the URL of an empty PostgreSQL database for a backup with a dump; ``bucket`` where contents lie that are
    not in the backup, None to leave them alone.
    """

    source: Path
    identities: Sequence[Any] = ()
    sample: int = 200
    scratch: Callable[[], Any] | None = None
    bucket: Blobs | None = None

    def run(self, now: datetime) -> DrillReport:
        """Put the backup back and prove what it is worth.

        Raises:
            ConfigurationError: it is no whole backup or cannot be opened, or there is no database to put it back into.
            StoreUnavailable: the disk is full, or the database cannot be reached.
        """
        manifest = read_backup(self.source, self.identities)
        with tempfile.TemporaryDirectory(prefix="hub-drill-") as place:
            folder = Path(place) / "data"
            put_back(self.source, folder, manifest, self.identities)
            steps = [Proved(what=_FILES, number=len(manifest["files"]))]
            with self._database(folder, manifest) as url:
                if url is None:
                    steps.append(Proved(what=_DATABASE, number=None))
                else:
                    steps += self._of_database(url, folder, manifest, now)
        return DrillReport(created_at=manifest["createdAt"], version=manifest["version"], steps=tuple(steps))

    @contextmanager
    def _database(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[str | None]:
        if manifest["database"]:
            yield f"sqlite:///{folder / DATABASE}"
        elif not manifest.get("dump"):
            yield None
        elif self.scratch is None:
            raise ConfigurationError(
                Text(
                    "Die Sicherung enthält eine PostgreSQL-Datenbank: Nennen Sie in database_url den Server, auf dem sie "
                    "probiert wird, oder mit --scratch-url eine leere Datenbank.",
                    "The backup holds a PostgreSQL database: name in database_url the server where it is tried, or an empty "
                    "database by --scratch-url.",
                )
            )
        else:
            with ExitStack() as held:
                url = held.enter_context(self.scratch())
                dump.load(url, folder / DUMP)
                yield url

    def _of_database(self, url: str, folder: Path, manifest: Mapping[str, Any], now: datetime) -> list[Proved]:
        store = Store(url)
        try:
            broken = store.integrity()
            if broken:
                return [Proved(what=_DATABASE, number=1, wrong=tuple(broken[:_SHOWN]))]
            store.migrate()
            keys = HubKeys.load_or_create(folder / "pki", now, create=False)
            blobs = LocalBlobs(folder / "blobs") if manifest["blobs"] else self.bucket
            return [
                Proved(what=_DATABASE, number=1),
                *_history(store, keys, now),
                _keys(keys, manifest),
                *_submissions(store, keys, blobs, self.sample),
                _all_blobs(store, blobs),
            ]
        finally:
            store.close()


def _history(store: Store, keys: HubKeys, now: datetime) -> list[Proved]:
    """Verify all logs, checkpoints, and the audit log."""
    checkpoints = Checkpoints(store=store, keys=keys, issuer="")
    notary = Notary(store=store, keys=keys, checkpoints=checkpoints, clock=lambda: now, interval=timedelta(seconds=5))
    pages = list(all_pages(lambda start: store.submissions.cases(offset=start, limit=_PAGE)))
    logs = notary.verify(case.case_id for page in pages for case in page.items)
    unreadable = [error.detail.en for page in pages for error in page.unreadable]
    covered = checkpoints.verify()
    wrong = [f"{each.case_id} #{each.seq}: {each.text.en}" for each in logs.findings]
    signed = [f"{each.number} {each.case_id or ''}: {each.text.en}" for each in covered.findings]
    return [
        Proved(what=_CASES, number=logs.cases, wrong=_some(wrong + unreadable)),
        Proved(what=_EVENTS, number=logs.events),
        Proved(what=_CHECKPOINTS, number=covered.checkpoints, wrong=_some(signed)),
        Proved(what=_AUDIT, number=covered.audit.checked),
    ]


def _keys(keys: HubKeys, manifest: Mapping[str, Any]) -> Proved:
    if not manifest.get("keys", True):
        return Proved(what=_KEYS, number=None)
    faults = keys.faults()
    return Proved(what=_KEYS, number=len(keys.hub_jwks()["keys"]), wrong=_some([each.detail.en for each in faults]))


def _submissions(store: Store, keys: HubKeys, blobs: Blobs | None, sample: int) -> list[Proved]:
    """Verify receipts of the newest submissions, and their sealed contents against hashes."""
    published = keys.hub_jwks()
    receipts: list[str] = []
    contents: list[str] = []
    looked = compared = 0
    for listed in _newest(store, sample):
        found = store.submissions.message(listed.id)
        if found is None or found.receipt is None:
            continue
        looked += 1
        try:
            claims = verify_receipt(found.receipt, published)
        except (SealBroken, KeyRefused) as error:
            receipts.append(f"{found.id}: {error.detail.en}")
            continue
        for part, sealed in () if found.contents is None or found.deleted_at else found.contents.parts():
            if sealed.blob is not None and blobs is None:
                continue
            compared += 1
            if not _fits(sealed, claims["contents"].get(part, {}).get("sha512"), blobs):
                contents.append(f"{found.id} {part}")
    return [
        Proved(what=_RECEIPTS, number=looked, wrong=_some(receipts)),
        Proved(what=_CONTENTS, number=compared, wrong=_some(contents)),
    ]


def _newest(store: Store, sample: int) -> Sequence[StoredMessage]:
    total = store.submissions.messages(limit=1).total
    return store.submissions.messages(offset=max(0, total - sample), limit=sample).items


def _fits(sealed: Sealed, promised: str | None, blobs: Blobs | None) -> bool:
    """Whether a content lies here as its receipt says. It is not opened: only its authority could."""
    digest = hashlib.sha512()
    try:
        for piece in [sealed.jwe] if blobs is None else blobs.chunks(sealed):
            digest.update(piece or b"")
    except (HubError, OSError, TypeError):  # A spoiled row may hold anything.
        return False
    return digest.hexdigest() == sealed.sha512 == promised


def _all_blobs(store: Store, blobs: Blobs | None) -> Proved:
    """Require every content that the database names."""
    names = store.recovery.blob_names()
    if blobs is None:
        return Proved(what=_BLOBS, number=None if names else 0)
    missing = []
    for name in sorted(names):
        try:
            blobs.size(name)
        except NotFound:
            missing.append(name)
    return Proved(what=_BLOBS, number=len(names), wrong=_some(missing))


def _some(wrong: Sequence[str]) -> tuple[str, ...]:
    more = len(wrong) - _SHOWN
    return (*wrong[:_SHOWN], *([f"… {more}"] if more > 0 else []))


_FILES = Text("Dateien, unverändert", "files, unchanged")
_DATABASE = Text("Datenbank", "database")
_CASES = Text("Vorgänge, deren Protokoll in sich stimmt", "cases whose log holds together")
_EVENTS = Text("Ereignisse darin", "events in them")
_CHECKPOINTS = Text("Prüfpunkte", "checkpoints")
_AUDIT = Text("Einträge im Prüfprotokoll", "records in the audit log")
_KEYS = Text(
    "veröffentlichte Schlüssel des Hubs, private Hälften vorhanden", "published keys of the hub, with private halves"
)
_RECEIPTS = Text("Eingangsbestätigungen geprüft (Stichprobe)", "receipts verified (sample)")
_CONTENTS = Text("versiegelte Inhalte mit ihrer Bestätigung verglichen", "sealed contents compared with their receipts")
_BLOBS = Text("ausgelagerte Inhalte vorhanden", "stored contents that are there")
