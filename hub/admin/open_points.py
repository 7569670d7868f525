"""Open points: what lies still within a person's scope, as a list of work with the way to each."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from hub.admin.request import Visit
from hub.errors import Malformed, Text
from hub.notifications.mail import FINDING_WORDS
from hub.store import FindingKind, WatchFinding


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPoint:
    """One line: what was found, of whom, and the page where somebody can do something about it."""

    finding: WatchFinding
    name: str
    path: str


def show(visit: Visit) -> Response:
    """List what lies still, oldest first, of one kind or of one destination if asked."""
    kind, about = _kind(visit.query.text("kind", longest=20)), visit.query.text("destination", longest=36)
    destinations = {str(each.destination_id): each.name for each in visit.scope.destinations()}
    clients = {each.client_id: each.name for each in visit.scope.clients()}
    found = visit.scope.findings(kind, about or None)
    points = [_point(each, destinations, clients) for each in found]
    return visit.page(
        "open.html",
        points=points,
        kind=kind,
        about=about,
        counts=visit.scope.finding_counts(),
        words={kind: visit.say(text) for kind, text in FINDING_WORDS.items()},
        destinations=sorted(destinations.items(), key=lambda each: each[1]),
    )


def _point(finding: WatchFinding, destinations: dict[str, str], clients: dict[str, str]) -> OpenPoint:
    here = finding.about in destinations
    name = destinations.get(finding.about) or clients.get(finding.about) or finding.about
    return OpenPoint(finding=finding, name=name, path=_path(finding, here=here))


def _path(finding: WatchFinding, *, here: bool) -> str:
    if not here:
        return "/clients"
    if finding.kind is FindingKind.GIVEN_UP:
        return "/dead"
    if finding.kind in (FindingKind.SILENT, FindingKind.MAILBOX):
        return f"/submissions?{urlencode({'destination': finding.about, 'state': 'submitted'})}"
    if finding.kind is FindingKind.DECISION:
        return f"/submissions?{urlencode({'destination': finding.about, 'state': 'accepted'})}"
    return f"/destinations/{UUID(finding.about)}"


def _kind(text: str) -> FindingKind | None:
    try:
        return FindingKind(text) if text else None
    except ValueError as exc:
        raise Malformed(Text("Diese Auswahl gibt es nicht.", "There is no such choice.")) from exc
