"""The way of a change from draft to in force, on the pages: whatever is kept in versions that two people make goes it alike.

Routing tables, services and the register of AI systems say what is theirs: what a version shows, and what may be put into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import yaml
from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.administration.versions import EntryBook, VersionBook
from hub.errors import HubError, NotFound, Refused, Text
from hub.store import VersionState

#: Lines of one kind on the page of a version.
MOST_ON_PAGE = 200
_LONGEST_ENTRY = 40_000
Book = TypeVar("Book", bound=VersionBook[Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionPages(Generic[Book]):
    """The pages of one content's versions: where they lie (``/services``), its book, and the template of the list."""

    at: str
    book: Callable[[Visit], Book]
    listing: str

    def versions(self, visit: Visit) -> Response:
        """List all versions, and what was in force when."""
        book = self.book(visit)
        return visit.page(
            self.listing,
            page=book.versions(offset=visit.offset(), limit=ROWS),
            active=book.number(visit.now),
            history=book.history(limit=ROWS).items,
            rows=ROWS,
        )

    def discard(self, visit: Visit) -> Response:
        """Give up a draft."""
        self.book(visit).discard(number(visit), visit.person, revision=_revision(visit), now=visit.now)
        return visit.to(f"{self.at}/versions", note="discarded")

    def refresh(self, visit: Visit) -> Response:
        """Put a draft's changes onto what is in force now."""
        self.book(visit).refresh(number(visit), visit.person, revision=_revision(visit), now=visit.now)
        return self.to_version(visit, "refreshed")

    def approve(self, visit: Visit) -> Response:
        """Approve exactly the revision that was shown."""
        self.book(visit).approve(
            number(visit), visit.person, revision=_revision(visit), now=visit.now, text=_remark(visit)
        )
        return self.to_version(visit, "approved")

    def publish(self, visit: Visit) -> Response:
        """Bring an approved version into force."""
        self.book(visit).activate(number(visit), visit.person, now=visit.now, text=_remark(visit))
        return self.to_version(visit, "activated")

    def rollback(self, visit: Visit) -> Response:
        """Bring an earlier version into force again."""
        wanted = visit.form.number("number") or None
        self.book(visit).rollback(visit.person, now=visit.now, text=_remark(visit), number=wanted)
        return visit.to(f"{self.at}/versions", note="rolled-back")

    def to_version(self, visit: Visit, note: str) -> Response:
        """Go back to the version that the visit is about, and say what was done."""
        return visit.to(f"{self.at}/versions/{number(visit)}", note=note)


class Written(Protocol):
    """An entry that people write as YAML."""

    def as_document(self) -> dict[str, Any]:
        """Return it as its file has it."""
        ...


Entry = TypeVar("Entry", bound=Written)


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryPages(VersionPages[EntryBook[Any, Entry]]):
    """The pages of a content that consists of entries written as YAML.

    ``key`` is the name of an entry's key in queries; ``find`` looks one up in a content by it. ``read`` reads a file that has
    its entries below ``head``, ``write`` makes one, and ``file`` begins its name. ``blank`` is what a new entry begins with.
    """

    template: str
    blank: str
    key: str
    find: Callable[[Any, str], Entry | None]
    head: str
    read: Callable[[bytes], list[Entry]]
    write: Callable[[Any], bytes]
    file: str

    def export(self, visit: Visit) -> Response:
        """Download a version as YAML."""
        content = self.write(self.book(visit).content(number(visit)))
        return download(content, f"{self.file}-{number(visit)}.yaml", "application/yaml")

    def standing(self, visit: Visit) -> dict[str, Any]:
        """Return where a version stands, for its page: itself, what is in force, and what people would read otherwise."""
        book, shown = self.book(visit), self.book(visit).version(number(visit))
        return {
            "version": shown,
            "is_draft": shown.state is VersionState.DRAFT,
            "is_approved": shown.state is VersionState.APPROVED,
            "active": book.base(visit.now),
            "lines": book.compare(shown.number, now=visit.now)[:MOST_ON_PAGE],
        }

    def edit(self, visit: Visit) -> Response:
        """Show one entry of a draft as it is written, or the beginning of a new one."""
        wanted = visit.query.text(self.key, longest=200)
        found = self.find(self.book(visit).content(number(visit)), wanted) if wanted else None
        return self._entry(visit, self.blank if found is None else _written(found))

    def put(self, visit: Visit) -> Response:
        """Store one entry of a draft; what cannot be stored comes back with what was entered."""
        entry = visit.form.text("entry", longest=_LONGEST_ENTRY)
        indented = "".join(f"  {line}\n" for line in entry.splitlines())
        try:
            given = self.read(f"{self.head}:\n-\n{indented}".encode())
            self.book(visit).add(number(visit), given, visit.person, revision=_revision(visit), now=visit.now)
        except Refused as error:
            return self._entry(visit, entry, error)
        return self.to_version(visit, "saved")

    def _entry(self, visit: Visit, entry: str, error: HubError | None = None) -> Response:
        return visit.page(
            self.template,
            status=200 if error is None else 422,
            version=self.book(visit).version(number(visit)),
            entry=entry,
            error=error,
        )


def download(content: bytes | str, name: str, media_type: str) -> Response:
    """Return a file to be kept."""
    headers = {"content-disposition": f'attachment; filename="{quote(name)}"'}
    return Response(content, media_type=media_type, headers=headers)


def number(visit: Visit) -> int:
    """Return the number of the version that the visit is about; raise ``NotFound`` for what is none."""
    text = visit.parts["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004  # fits every database
        raise NotFound(Text("Diese Seite gibt es nicht.", "There is no such page."))
    return int(text)


def _revision(visit: Visit) -> int:
    return visit.form.number("revision")


def _remark(visit: Visit) -> str:
    return visit.form.text("text", longest=500)


def _written(entry: Written) -> str:
    written: str = yaml.safe_dump(entry.as_document(), allow_unicode=True, sort_keys=False, width=100)
    return written
