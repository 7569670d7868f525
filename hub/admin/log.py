"""The audit log, and the verification of its chain."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from hub.admin.visit import ROWS, Visit
from hub.events import GENESIS

_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a verification of the whole chain found: how many records hold, and the first that does not."""

    checked: int
    broken_at: int | None


def index(visit: Visit) -> Response:
    """List the audit log, newest first; with ``verify`` its chain is verified from the first record on."""
    query = visit.query
    wanted = {name: query.text(name, longest=200) for name in ("actor", "action", "target")}
    page = visit.scope.audit(offset=visit.offset(), limit=ROWS, **wanted)
    verdict = _verified(visit) if query.text("verify") == "1" else None
    return visit.page("audit.html", page=page, wanted=wanted, verdict=verdict, rows=ROWS)


def _verified(visit: Visit) -> Verdict:
    head, checked = GENESIS, 0
    while page := visit.scope.audit_chain(offset=checked, limit=_PAGE).items:
        for record in page:
            if record.seq != checked + 1 or record.previous != head or record.hash != record.record_hash():
                return Verdict(checked=checked, broken_at=record.seq)
            head, checked = record.hash, checked + 1
    return Verdict(checked=checked, broken_at=None)
