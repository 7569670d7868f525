"""Services on the pages: what citizens read, and the way of a change from draft to published."""

from __future__ import annotations

from urllib.parse import quote

import yaml
from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.errors import HubError, NotFound, Refused, Text
from hub.identity import may_be_one_human
from hub.services import PublicService, complaints, read_services, to_yaml
from hub.store import VersionState

_MOST_ON_PAGE = 200
_LONGEST_ENTRY = 40_000
#: What a new entry begins with: what it needs, and what makes it complete.
_NEW = """\
key: "99000000000000"
official: …
source: LeiKa
topic: {de: …, en: …}
name: {de: …, en: …}
synonyms: {de: [], en: []}
situation: {de: …, en: …}
summary: {de: …, en: …}
needs: []
fee: {kind: free, de: …, en: …, law: []}
duration: {de: …, en: …}
law: []
responsible: [municipality]
authority: {de: …, en: …}
ways: [in-person]
"""


def index(visit: Visit) -> Response:
    """Show what citizens read, all of it or what a search finds."""
    catalogue = visit.hub.services()
    wanted = visit.query.text("q", longest=200)
    found = [hit.service for hit in catalogue.search(wanted, visit.language)]
    start = visit.offset()
    due: dict[str, list[Text]] = {}
    for service, text in complaints(catalogue, on=visit.now.date()):
        due.setdefault(service.key, []).append(text)
    return visit.page(
        "services.html",
        services=found[start : start + ROWS],
        total=len(found),
        rows=ROWS,
        due=due,
        version=catalogue.version,
    )


def versions(visit: Visit) -> Response:
    """List all versions, and what was published when."""
    book = visit.hub.service_book
    return visit.page(
        "service_versions.html",
        page=book.versions(offset=visit.offset(), limit=ROWS),
        active=book.number(visit.now),
        history=book.history(limit=ROWS).items,
        rows=ROWS,
    )


def draft(visit: Visit) -> Response:
    """Make a draft from what is published, with the services of an uploaded file put in."""
    name, content = visit.form.files.get("file", ("", b""))
    book, given = visit.hub.service_book, read_services(content, name) if content else []
    named = {each.key for each in given}
    kept = [] if visit.form.text("whole") and given else [each for each in book.at(visit.now) if each.key not in named]
    title = visit.form.text("title", longest=200) or name
    made = book.draft(visit.person, title=title, now=visit.now, services=[*kept, *given])
    return visit.to(f"/services/versions/{made.number}", note="drafted")


def version(visit: Visit) -> Response:
    """Show a version: what citizens would read otherwise, what its entries lack, and what may be done next."""
    book, number = visit.hub.service_book, _number(visit)
    shown, content = book.version(number), book.content(number)
    active, base = book.base(visit.now), book.base_of(shown, visit.now)
    takes_two = book.takes_two(base, content)
    hits = content.search(visit.query.text("q", longest=200), visit.language)
    start = visit.offset()
    return visit.page(
        "service_version.html",
        version=shown,
        is_draft=shown.state is VersionState.DRAFT,
        is_approved=shown.state is VersionState.APPROVED,
        active=active,
        lines=book.compare(number, now=visit.now)[:_MOST_ON_PAGE],
        fresh=book.fresh_complaints(content, now=visit.now)[:_MOST_ON_PAGE],
        takes_two=takes_two,
        may_approve=not takes_two
        or not may_be_one_human(visit.hub.store, visit.person.name, shown.editors, now=visit.now),
        services=[hit.service for hit in hits[start : start + ROWS]],
        total=len(hits),
        rows=ROWS,
    )


def export(visit: Visit) -> Response:
    """Download a version as YAML."""
    number = _number(visit)
    name = quote(f"services-{number}.yaml")
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(to_yaml(visit.hub.service_book.content(number)), media_type="application/yaml", headers=headers)


def edit(visit: Visit) -> Response:
    """Show one service of a draft as it is written, or the beginning of a new one."""
    key = visit.query.text("key", longest=200)
    found = visit.hub.service_book.content(_number(visit)).service(key) if key else None
    return _entry_page(visit, _NEW if found is None else _written(found))


def put(visit: Visit) -> Response:
    """Store one service of a draft; what cannot be stored comes back with what was entered."""
    form, number = visit.form, _number(visit)
    entry = form.text("entry", longest=_LONGEST_ENTRY)
    indented = "".join(f"  {line}\n" for line in entry.splitlines())
    try:
        given = read_services(f"services:\n-\n{indented}".encode(), "YAML")
        visit.hub.service_book.add(number, given, visit.person, revision=form.number("revision"), now=visit.now)
    except Refused as error:
        return _entry_page(visit, entry, error)
    return visit.to(f"/services/versions/{number}", note="saved")


def drop(visit: Visit) -> Response:
    """Take one service out of a draft."""
    number, form = _number(visit), visit.form
    key = form.text("key", longest=200)
    visit.hub.service_book.drop(number, key, visit.person, revision=form.number("revision"), now=visit.now)
    return visit.to(f"/services/versions/{number}", note="saved")


def discard(visit: Visit) -> Response:
    """Give up a draft."""
    revision = visit.form.number("revision")
    visit.hub.service_book.discard(_number(visit), visit.person, revision=revision, now=visit.now)
    return visit.to("/services/versions", note="discarded")


def refresh(visit: Visit) -> Response:
    """Put a draft's changes onto what is published now."""
    number, revision = _number(visit), visit.form.number("revision")
    visit.hub.service_book.refresh(number, visit.person, revision=revision, now=visit.now)
    return visit.to(f"/services/versions/{number}", note="refreshed")


def approve(visit: Visit) -> Response:
    """Approve exactly the revision that was shown."""
    number, form = _number(visit), visit.form
    revision, text = form.number("revision"), form.text("text", longest=500)
    visit.hub.service_book.approve(number, visit.person, revision=revision, now=visit.now, text=text)
    return visit.to(f"/services/versions/{number}", note="approved")


def publish(visit: Visit) -> Response:
    """Publish an approved version."""
    number, text = _number(visit), visit.form.text("text", longest=500)
    visit.hub.service_book.activate(number, visit.person, now=visit.now, text=text)
    return visit.to(f"/services/versions/{number}", note="activated")


def rollback(visit: Visit) -> Response:
    """Publish an earlier version again."""
    number, text = visit.form.number("number") or None, visit.form.text("text", longest=500)
    visit.hub.service_book.rollback(visit.person, now=visit.now, text=text, number=number)
    return visit.to("/services/versions", note="rolled-back")


def _entry_page(visit: Visit, entry: str, error: HubError | None = None) -> Response:
    return visit.page(
        "service_entry.html",
        status=200 if error is None else 422,
        version=visit.hub.service_book.version(_number(visit)),
        entry=entry,
        error=error,
    )


def _written(service: PublicService) -> str:
    written: str = yaml.safe_dump(service.as_document(), allow_unicode=True, sort_keys=False, width=100)
    return written


def _number(visit: Visit) -> int:
    text = visit.parts["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004  # fits every database
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return int(text)
