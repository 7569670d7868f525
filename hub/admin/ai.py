"""The register of AI systems on the pages: what people read, its links, and the way of a change from draft to published."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin.request import Visit
from hub.admin.versions import MOST_ON_PAGE, EntryPages
from hub.admin.versions import number as number_of
from hub.identity import may_be_one_human
from hub.services.ai_systems import AiRegister, SystemStatus, read_systems, to_yaml

_MOST_LINKS = 10
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


def draft(visit: Visit) -> Response:
    """Make a draft from what is published, with the systems of an uploaded file put in."""
    name, content = visit.form.files.get("file", ("", b""))
    given = read_systems(content) if content else []
    title = visit.form.text("title", longest=200) or name
    made = visit.hub.ai_book.draft(visit.person, title=title, now=visit.now, systems=given)
    return visit.to(f"/ai/versions/{made.number}", note="drafted")


def version(visit: Visit) -> Response:
    """Show a version: what people would read otherwise, links that lead nowhere, and what may be done next."""
    book, number = visit.hub.ai_book, number_of(visit)
    standing, content = pages.standing(visit), book.content(number)
    editors = standing["version"].editors
    return visit.page(
        "ai_version.html",
        **standing,
        broken=book.broken_links(content)[:MOST_ON_PAGE],
        may_approve=not may_be_one_human(visit.hub.store, visit.person.name, editors, now=visit.now),
        systems=list(content),
        standing={each.id for each in book.at(visit.now)},
    )


def withdraw(visit: Visit) -> Response:
    """Withdraw a system in a draft; one that was never published is taken out."""
    number, name, revision = number_of(visit), visit.form.text("id", longest=100), visit.form.number("revision")
    book = visit.hub.ai_book
    step = book.take_out if book.at(visit.now).find(name) is None else book.withdraw
    step(number, name, visit.person, revision=revision, now=visit.now)
    return pages.to_version(visit, "saved")


pages = EntryPages(
    at="/ai",
    book=lambda visit: visit.hub.ai_book,
    listing="ai_versions.html",
    template="ai_entry.html",
    blank=_NEW,
    key="id",
    find=AiRegister.system,
    head="systems",
    read=read_systems,
    write=to_yaml,
    file="ai-systems",
)
