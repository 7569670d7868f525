"""One request of a clerk: who asks, what was sent, and how the answer is made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hub.connector.clerk.absences import ClerkAbsences
from hub.connector.clerk.accounts import ClerkAccounts
from hub.connector.clerk.sessions import ClerkSession, ClerkSessions
from hub.connector.desk import MOST_FILES, Desk
from hub.connector.local_api import media_type_of
from hub.connector.replies import ReplyFile
from hub.errors import Invalid, Malformed, NotFound, Text, TooLarge, too_slow
from hub.web.multipart import parts

ClerkLanguage = Literal["de", "en"]
#: Rows on one page of the list.
ROWS = 50
_MOST_FIELDS = 60
_LONGEST_FIELD = 2_000
_WORD = re.compile(r"[a-z-]{1,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkForm:
    """What was sent: values by name, in their order, and files."""

    fields: Sequence[tuple[str, str]] = field(repr=False, default=())
    files: tuple[ReplyFile, ...] = field(repr=False, default=())

    def text(self, name: str, *, longest: int = _LONGEST_FIELD) -> str:
        """Return a field without blanks at its ends, empty if it was not sent; ``Invalid`` if it is too long."""
        value = next((value for key, value in self.fields if key == name), "").strip()
        if len(value) > longest:
            raise Invalid(
                Text(
                    f"Das Feld „{name}“ ist zu lang (höchstens {longest} Zeichen).",
                    f"The field '{name}' is too long (at most {longest} characters).",
                ),
                field=name,
            )
        return value

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]

    def id(self, name: str) -> UUID:
        """Return a field as an id; ``Malformed`` where it is none."""
        try:
            return UUID(self.text(name))
        except ValueError:
            raise Malformed(Text(f"„{name}“ ist keine Kennung.", f"'{name}' is no id."), field=name) from None

    def day(self, name: str) -> date | None:
        """Return a field as a day, None where it is empty; ``Invalid`` for what is none."""
        text = self.text(name)
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise Invalid(
                Text(
                    "Nennen Sie die Frist als Tag, etwa 2026-12-24.", "Name the deadline as a day, such as 2026-12-24."
                ),
                field=name,
            ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkTools:
    """What all requests share."""

    desk: Desk
    accounts: ClerkAccounts
    sessions: ClerkSessions
    absences: ClerkAbsences
    pages: Environment
    secure: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkVisit:
    """A request, its session (none before the log-in) and everything needed to answer."""

    tools: ClerkTools
    path: str
    parts: Mapping[str, str]
    query: ClerkForm
    language: ClerkLanguage
    now: datetime
    address: str
    form: ClerkForm = field(default_factory=ClerkForm)
    token: str = field(repr=False, default="")
    session: ClerkSession | None = None

    @property
    def desk(self) -> Desk:
        """What can be done."""
        return self.tools.desk

    @property
    def who(self) -> str:
        """The name of who is logged in; pages without a session do not ask."""
        if self.session is None:
            raise NotFound(_NO_PAGE)
        return self.session.account.name

    def id(self, name: str) -> UUID:
        """Return a part of the path as an id; ``NotFound`` for anything else."""
        try:
            return UUID(self.parts[name])
        except ValueError:
            raise NotFound(_NO_PAGE) from None

    def offset(self) -> int:
        """Return from which row on a list is shown."""
        text = self.query.text("from")
        return min(int(text), 1_000_000) if text.isascii() and text.isdigit() and len(text) < 8 else 0  # noqa: PLR2004

    def word(self, name: str) -> str:
        """Return a word of the query, empty where it is none that an address of ours holds."""
        text = self.query.text(name)
        return text if _WORD.fullmatch(text) else ""

    def say(self, text: Text) -> str:
        """Return a text in the visitor's language."""
        return text.de if self.language == "de" else text.en

    def t(self, de: str, en: str) -> str:
        """Return one of two texts."""
        return de if self.language == "de" else en

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a rendered page."""
        common = {
            "visit": self,
            "clerk": None if self.session is None else self.session.account,
            "csrf": "" if self.session is None else self.session.csrf,
            "note": _NOTES.get(self.word("note")),
            "other": self._switched(),
            "t": self.t,
            "say": self.say,
            "now": self.now,
        }
        body = self.tools.pages.get_template(template).render(common | values)
        return HTMLResponse(body, status_code=status)

    def to(self, path: str, *, note: str = "") -> Response:
        """Return a redirect to another page of these pages, in the language of this one."""
        wanted = {"note": note, "lang": "en" if self.language == "en" else ""}
        said = urlencode({name: value for name, value in wanted.items() if value})
        return RedirectResponse(f"{path}?{said}" if said else path, status_code=303)

    def link(self, **changes: Any) -> str:
        """Return this page's query with changes."""
        kept = {name: value for name, value in self.query.fields if name not in {"note", *changes}}
        wanted = {**kept, **{name: str(value) for name, value in changes.items() if value not in ("", None)}}
        return f"?{urlencode(wanted)}"

    def _switched(self) -> str:
        return self.link(lang="en" if self.language == "de" else "de")


def when(moment: datetime | str) -> str:
    """Return a moment for people, by the clocks of Germany where this machine knows them, else as UTC."""
    if isinstance(moment, str):
        if not moment:
            return "–"
        moment = datetime.fromisoformat(moment)
    if _ZONE is None:
        return f"{moment:%d.%m.%Y %H:%M} UTC"
    return f"{moment.astimezone(_ZONE):%d.%m.%Y %H:%M}"


def day(value: date) -> str:
    """Return a day for people."""
    return f"{value:%d.%m.%Y}"


def size(value: int) -> str:
    """Return a number of bytes for people."""
    if value < _KIB:
        return f"{value} B"
    return f"{value / _KIB:.0f} KiB" if value < _KIB * _KIB else f"{value / _KIB / _KIB:.1f} MiB".replace(".", ",")


_KIB = 1024


def _zone() -> ZoneInfo | None:
    try:
        return ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return None


_ZONE = _zone()


async def read_form(stream: AsyncIterator[bytes], content_type: str, *, largest: int) -> ClerkForm:
    """Return a form; nothing of it touches the disk.

    Raises:
        TooLarge: over ``largest`` bytes, or too many fields. Malformed: it cannot be read.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _parted(bounded(stream, largest), content_type)
    body = b"".join([piece async for piece in bounded(stream, largest)])
    if kind != "application/x-www-form-urlencoded":
        raise Malformed(_UNREADABLE)
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError as exc:
        raise Malformed(_UNREADABLE) from exc
    return ClerkForm(fields=pairs)


async def _parted(stream: AsyncIterator[bytes], content_type: str) -> ClerkForm:
    fields: list[tuple[str, str]] = []
    files: list[ReplyFile] = []
    async for part in parts(stream, content_type, cap=_MOST_FIELDS):
        content = b"".join([chunk async for chunk in part.chunks()])
        if part.filename is not None:
            kind = media_type_of(part.content_type)
            files.append(ReplyFile(name=part.filename, media_type=kind, content=content))
        elif not (
            part.name == "files" and not content
        ):  # A field of files that nobody filled has no name and no bytes.
            fields.append((part.name, content.decode("utf-8", "replace")))
    if len(files) > MOST_FILES:
        raise TooLarge(Text(f"Höchstens {MOST_FILES} Dateien.", f"At most {MOST_FILES} files."), limit=MOST_FILES)
    return ClerkForm(fields=fields, files=tuple(files))


async def bounded(stream: AsyncIterator[bytes], largest: int) -> AsyncIterator[bytes]:
    """Yield a body of up to ``largest`` bytes that keeps coming: ``TooLarge`` beyond, ``Malformed`` where it drips."""
    seen, waited, pieces = 0, 0.0, aiter(stream)
    while True:
        began = monotonic()
        try:
            async with asyncio.timeout(min(_PAUSE, _BODY_SECONDS + seen / _BODY_RATE - waited)):
                piece = await anext(pieces, None)
        except TimeoutError as exc:
            raise too_slow(_STALLED) from exc
        if piece is None:
            return
        waited += monotonic() - began
        seen += len(piece)
        if seen > largest:
            mib = max(1, largest // (_KIB * _KIB))
            raise TooLarge(
                Text(f"Das ist zu groß: erlaubt sind {mib} MiB.", f"That is too large: {mib} MiB are allowed."),
                limit=largest,
            )
        yield piece


#: Draws values in templates.
FILTERS: Mapping[str, Callable[..., str]] = {"when": when, "day": day, "size": size}
#: Seconds for which a body may pause, and may be waited for in all; bytes that each further second takes.
_PAUSE, _BODY_SECONDS, _BODY_RATE = 15.0, 60.0, 16 * 1024
_STALLED = Text(
    "Was Sie senden wollten, kam nicht vollständig an.", "What you wanted to send did not arrive as a whole."
)
_NO_PAGE = Text("Diese Seite gibt es nicht.", "There is no such page.")
_UNREADABLE = Text(
    "Das Formular ist nicht lesbar. Laden Sie die Seite neu.", "The form cannot be read. Reload the page."
)
_NOTES: Mapping[str, Text] = {
    "accepted": Text("Angenommen. Der Absender erfährt es.", "Accepted. The sender is told."),
    "rejected": Text("Abgelehnt. Der Absender erfährt den Grund.", "Rejected. The sender is told the reason."),
    "ai-step": Text("KI-Schritt aufgezeichnet. Der Hub erfährt es.", "AI step recorded. The hub is told."),
    "written": Text("Geschrieben und versiegelt. Die Antwort geht hinaus.", "Written and sealed. The reply goes out."),
    "handed-on": Text(
        "Die Abgabe ist aufgenommen. Unten steht, wie weit sie ist.",
        "The hand-on is taken down. See below how far it is.",
    ),
    "not-handed-on": Text("Der Vorschlag ist zurückgenommen.", "The proposal is withdrawn."),
    "taken": Text("Sie bearbeiten diesen Vorgang.", "You work on this case."),
    "released": Text("Sie haben den Vorgang freigegeben.", "You have released the case."),
    "absent": Text("Die Abwesenheit ist eingetragen.", "The absence is entered."),
    "back": Text("Die Abwesenheit ist beendet.", "The absence has ended."),
    "logged-out": Text("Sie sind abgemeldet.", "You are logged out."),
}
