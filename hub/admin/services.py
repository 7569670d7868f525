"""Services on the pages: what citizens read, and the way of a change from draft to published."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.admin.versions import MOST_ON_PAGE, EntryPages
from hub.admin.versions import number as number_of
from hub.errors import Text
from hub.identity import may_be_one_human
from hub.services import ServiceCatalogue, complaints, read_services, to_yaml

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
    book, number = visit.hub.service_book, number_of(visit)
    standing, content = pages.standing(visit), book.content(number)
    shown = standing["version"]
    takes_two = book.takes_two(book.base_of(shown, visit.now), content)
    hits = content.search(visit.query.text("q", longest=200), visit.language)
    start = visit.offset()
    return visit.page(
        "service_version.html",
        **standing,
        fresh=book.fresh_complaints(content, now=visit.now)[:MOST_ON_PAGE],
        takes_two=takes_two,
        may_approve=not takes_two
        or not may_be_one_human(visit.hub.store, visit.person.name, shown.editors, now=visit.now),
        services=[hit.service for hit in hits[start : start + ROWS]],
        total=len(hits),
        rows=ROWS,
    )


def drop(visit: Visit) -> Response:
    """Take one service out of a draft."""
    number, form = number_of(visit), visit.form
    key = form.text("key", longest=200)
    visit.hub.service_book.drop(number, key, visit.person, revision=form.number("revision"), now=visit.now)
    return pages.to_version(visit, "saved")


pages = EntryPages(
    at="/services",
    book=lambda visit: visit.hub.service_book,
    listing="service_versions.html",
    template="service_entry.html",
    blank=_NEW,
    key="key",
    find=ServiceCatalogue.service,
    head="services",
    read=partial(read_services, name="YAML"),
    write=to_yaml,
    file="services",
)
