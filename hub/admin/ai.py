"""The register of AI systems on the pages: what people read, its links, and the way of a change from draft to published."""

from __future__ import annotations

from urllib.parse import quote

import yaml
from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.errors import HubError, NotFound, Refused, Text
from hub.identity import may_be_one_human
from hub.services.ai_systems import AiSystem, SystemStatus, read_systems, to_yaml
from hub.store import VersionState

_MOST_ON_PAGE = 200
_MOST_LINKS = 10
_LONGEST_ENTRY = 40_000
#: What a new entry begins with: all that an AI system needs.
_NEW = """\
id: …
kind: ai-system
status: in-use
publication_category: impactful-algorithm
name: {de: …, en: …}
description_short: {de: …, en: …}
organization: {de: …, en: …}
goal: {de: …, en: …}
human_intervention: {de: …, en: …}
risks: {de: …, en: …}
methods_and_models: {de: …, en: …}
provider: {de: …, en: …}
begin_date: "2026-11"
contact_email: …
role: deployer
risk: {class: limited, reason: {de: …, en: …}}
notice: {de: …, en: …}
impacttoetsen:
- {de: …, en: …, link: "https://…"}
versions:
- {version: "1.0", since: 2026-11-01}
services: ["99000000000000"]
"""


def index(visit: Visit) -> Response:
    """Show what people read, and which links lead nowhere."""
    register, links = visit.hub.ai_register(), visit.hub.store.ai_links.all()
    return visit.page(
        "ai.html",
        used=[each for each in register if each.status is not SystemStatus.OUT_OF_USE],
        withdrawn=[each for each in register if each.status is SystemStatus.OUT_OF_USE],
        broken=visit.hub.ai_book.broken_links(register),
        checked=max((each.checked_at for each in links.values()), default=None),
        version=register.version,
    )


def check_links(visit: Visit) -> Response:
    """Look at links now, those that nobody looked at for longest first: as many as somebody waits for."""
    visit.hub.link_watch.check(visit.now, most=_MOST_LINKS)
    return visit.to("/ai", note="links-checked")


def versions(visit: Visit) -> Response:
    """List all versions, and what was published when."""
    book = visit.hub.ai_book
    return visit.page(
        "ai_versions.html",
        page=book.versions(offset=visit.offset(), limit=ROWS),
        active=book.number(visit.now),
        history=book.history(limit=ROWS).items,
        rows=ROWS,
    )


def draft(visit: Visit) -> Response:
    """Make a draft from what is published, with the systems of an uploaded file put in."""
    name, content = visit.form.files.get("file", ("", b""))
    given = read_systems(content) if content else []
    title = visit.form.text("title", longest=200) or name
    made = visit.hub.ai_book.draft(visit.person, title=title, now=visit.now, systems=given)
    return visit.to(f"/ai/versions/{made.number}", note="drafted")


def version(visit: Visit) -> Response:
    """Show a version: what people would read otherwise, links that lead nowhere, and what may be done next."""
    book, number = visit.hub.ai_book, _number(visit)
    shown, content = book.version(number), book.content(number)
    active = book.base(visit.now)
    return visit.page(
        "ai_version.html",
        version=shown,
        is_draft=shown.state is VersionState.DRAFT,
        is_approved=shown.state is VersionState.APPROVED,
        active=active,
        lines=book.compare(number, now=visit.now)[:_MOST_ON_PAGE],
        broken=book.broken_links(content)[:_MOST_ON_PAGE],
        may_approve=not may_be_one_human(visit.hub.store, visit.person.name, shown.editors, now=visit.now),
        systems=list(content),
        standing={each.id for each in book.at(visit.now)},
    )


def export(visit: Visit) -> Response:
    """Download a version as YAML."""
    number = _number(visit)
    headers = {"content-disposition": f'attachment; filename="{quote(f"ai-systems-{number}.yaml")}"'}
    return Response(to_yaml(visit.hub.ai_book.content(number)), media_type="application/yaml", headers=headers)


def edit(visit: Visit) -> Response:
    """Show one system of a draft as it is written, or the beginning of a new one."""
    name = visit.query.text("id", longest=100)
    found = visit.hub.ai_book.content(_number(visit)).system(name) if name else None
    return _entry_page(visit, _NEW if found is None else _written(found))


def put(visit: Visit) -> Response:
    """Store one system of a draft; what cannot be stored comes back with what was entered."""
    form, number = visit.form, _number(visit)
    entry = form.text("entry", longest=_LONGEST_ENTRY)
    indented = "".join(f"  {line}\n" for line in entry.splitlines())
    try:
        given = read_systems(f"systems:\n-\n{indented}".encode())
        visit.hub.ai_book.add(number, given, visit.person, revision=form.number("revision"), now=visit.now)
    except Refused as error:
        return _entry_page(visit, entry, error)
    return visit.to(f"/ai/versions/{number}", note="saved")


def withdraw(visit: Visit) -> Response:
    """Withdraw a system in a draft; one that was never published is taken out."""
    number, name, revision = _number(visit), visit.form.text("id", longest=100), visit.form.number("revision")
    book = visit.hub.ai_book
    step = book.take_out if book.at(visit.now).find(name) is None else book.withdraw
    step(number, name, visit.person, revision=revision, now=visit.now)
    return visit.to(f"/ai/versions/{number}", note="saved")


def discard(visit: Visit) -> Response:
    """Give up a draft."""
    revision = visit.form.number("revision")
    visit.hub.ai_book.discard(_number(visit), visit.person, revision=revision, now=visit.now)
    return visit.to("/ai/versions", note="discarded")


def refresh(visit: Visit) -> Response:
    """Put a draft's changes onto what is published now."""
    number, revision = _number(visit), visit.form.number("revision")
    visit.hub.ai_book.refresh(number, visit.person, revision=revision, now=visit.now)
    return visit.to(f"/ai/versions/{number}", note="refreshed")


def approve(visit: Visit) -> Response:
    """Approve exactly the revision that was shown."""
    number, form = _number(visit), visit.form
    revision, text = form.number("revision"), form.text("text", longest=500)
    visit.hub.ai_book.approve(number, visit.person, revision=revision, now=visit.now, text=text)
    return visit.to(f"/ai/versions/{number}", note="approved")


def publish(visit: Visit) -> Response:
    """Publish an approved version."""
    number, text = _number(visit), visit.form.text("text", longest=500)
    visit.hub.ai_book.activate(number, visit.person, now=visit.now, text=text)
    return visit.to(f"/ai/versions/{number}", note="activated")


def rollback(visit: Visit) -> Response:
    """Publish an earlier version again."""
    number, text = visit.form.number("number") or None, visit.form.text("text", longest=500)
    visit.hub.ai_book.rollback(visit.person, now=visit.now, text=text, number=number)
    return visit.to("/ai/versions", note="rolled-back")


def _entry_page(visit: Visit, entry: str, error: HubError | None = None) -> Response:
    return visit.page(
        "ai_entry.html",
        status=200 if error is None else 422,
        version=visit.hub.ai_book.version(_number(visit)),
        entry=entry,
        error=error,
    )


def _written(system: AiSystem) -> str:
    written: str = yaml.safe_dump(system.as_document(), allow_unicode=True, sort_keys=False, width=100)
    return written


def _number(visit: Visit) -> int:
    text = visit.parts["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004  # fits every database
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return int(text)
