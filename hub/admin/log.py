"""The audit log, and its verification."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.proof.checkpoints import verify_audit


def index(visit: Visit) -> Response:
    """List the audit log, newest first; with ``verify`` all of it is verified, against the signed checkpoints, too."""
    query = visit.query
    wanted = {name: query.text(name, longest=200) for name in ("actor", "action", "target")}
    page = visit.scope.audit(offset=visit.offset(), limit=ROWS, **wanted)
    verdict = verify_audit(visit.tools.store) if query.text("verify") == "1" else None
    return visit.page("audit.html", page=page, wanted=wanted, verdict=verdict, rows=ROWS)
