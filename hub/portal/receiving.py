"""What a browser sends for a page that may have files: texts in their order, files straight into the storage.

The token comes first and is judged before anything is kept. What is wrong with a file is kept for its question and the rest is
read all the same, so that nobody writes their answers twice for the sake of a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from hub.errors import HubError, Malformed, NotFound, Text, TooLarge, TooMany, Unavailable
from hub.forms.answers import LONGEST_VALUE
from hub.forms.form_file import EasyText, FormStep, field_at
from hub.portal.asking import FILE
from hub.portal.enclosures import Inspection, name_for, too_large, too_many
from hub.portal.frame import Portal, asked
from hub.portal.session import FormSession, KeptAttachment, Running
from hub.portal.storage import PART_SIZE
from hub.web.multipart import Part, parts

CSRF = "csrf"
#: The one file that answers no question.
ENCLOSED = "datei"
#: Parts of a body: fields of one page and their files. Bytes of all its texts.
_MOST_PARTS, _TEXT_BYTES = 2_000, 1024 * 1024
#: Files of the largest size that one body may have; more at once make no page faster.
_FILES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class FormVisit:
    """A request for a page of a running form."""

    portal: Portal
    request: Request
    session: FormSession

    @property
    def running(self) -> Running:
        """The form."""
        return self.session.running

    @property
    def language(self) -> str:
        """The person's language: de, en or easy."""
        return self.portal.language(self.request)

    def asked(self, name: str) -> str:
        """Return the value of a name in the address, empty where it is not there."""
        return asked(self.request, name)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a rendered page."""
        return self.portal.page(self.request, template, running=self.running, status=status, **values)

    def to(self, path: str, **query: Any) -> Response:
        """Return a redirect to another page of the portal's."""
        return self.portal.to(self.request, path, **query)

    def link(self, path: str, **query: Any) -> str:
        """Return the address of another page of the portal's."""
        return self.portal.link(self.request, path, **query)


def visit_of(portal: Portal, request: Request) -> FormVisit:
    """Return the visit of a request; raise ``NotFound`` where its person has no running form, or none any more."""
    session = portal.sessions.of(request, portal.clock())
    if session is None:
        raise NotFound(portal.texts.text("form.ended"))
    return FormVisit(portal=portal, request=request, session=session)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedPage:
    """What was sent for one page: texts, files that are in the storage by now, and what was wrong with others, by place."""

    pairs: tuple[tuple[str, str], ...] = field(repr=False)
    files: tuple[KeptAttachment, ...] = ()
    faults: Mapping[str, Text] = field(default_factory=dict)

    def control(self, name: str) -> str:
        """Return the value of one of the page's own controls, empty where it was not sent."""
        return next((value for key, value in self.pairs if key == name), "")


async def received(visit: FormVisit, step: FormStep | None) -> ReceivedPage:
    """Read the body of a page; without a step it may have one file that answers nothing.

    Raises:
        Forbidden: it comes from no page of this session.
        Malformed: it cannot be read, or holds a file that was not asked for.
        TooLarge: it is, beyond what single files may be.
    """
    request = visit.request
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return ReceivedPage(pairs=tuple(await visit.portal.fields(request)))
    receiving = _Receiving(visit, step)
    try:
        return await receiving.read(request)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(forget, visit.portal, visit.session, receiving.files)
        raise


def forget(portal: Portal, session: FormSession, files: Sequence[KeptAttachment]) -> None:
    """Delete files of a form."""
    for each in files:
        portal.storage.detach(session.key, each.id)


class _Receiving:
    def __init__(self, visit: FormVisit, step: FormStep | None) -> None:
        self._visit = visit
        self._step = step
        self._limits = visit.portal.settings.limits
        self.files: list[KeptAttachment] = []
        self._pairs: list[tuple[str, str]] = []
        self._faults: dict[str, Text] = {}
        self._text_bytes = 0

    async def read(self, request: Request) -> ReceivedPage:
        stream = bounded(request.stream(), _FILES_AT_ONCE * self._limits.attachment_bytes + _TEXT_BYTES)
        judged = False
        async for part in parts(stream, request.headers["content-type"], cap=_MOST_PARTS):
            if not judged:
                self._visit.portal.require_csrf(request, await self._text(part) if part.name == CSRF else "")
                judged = True
            elif part.filename is None and not part.is_empty_field:
                self._pairs.append((part.name, await self._text(part)))
            elif not part.is_empty_field:
                await self._file(part)
        if not judged:
            self._visit.portal.require_csrf(request, "")
        return ReceivedPage(pairs=tuple(self._pairs), files=tuple(self.files), faults=self._faults)

    async def _text(self, part: Part) -> str:
        text, size = await text_of(part)
        self._text_bytes += size
        if self._text_bytes > _TEXT_BYTES:
            raise TooLarge(_TOO_MUCH)
        return text

    async def _file(self, part: Part) -> None:
        """Store one file, or keep what is wrong with it for its question."""
        at = self._question(part.name)
        here = (*self._visit.running.attachments, *self.files)
        try:
            if len(here) >= self._limits.attachments:
                raise too_many(self._limits.attachments)
            counted_here = counted(pulled(part), self._visit.portal, self._visit.request)
            inspection = Inspection(counted_here, limit=self._limits.attachment_bytes)
            identifier = await anyio.to_thread.run_sync(
                self._attached, inspection, limiter=self._visit.portal.receiving
            )
        except TooMany as error:
            # What else stands on the page is read all the same.
            self._faults[at] = error.detail
            return
        except Unavailable:
            raise
        except HubError as error:
            self._faults[at] = error.detail
            return
        name = name_for(part.filename or "", inspection.kind, {each.name for each in here})
        self.files.append(
            KeptAttachment(
                id=identifier,
                at=at,
                name=name,
                media_type=inspection.kind,
                size=inspection.size,
                sha512=inspection.sha512,
            )
        )
        if at:
            self._pairs.append((at, name))

    def _attached(self, inspection: Inspection) -> str:
        portal = self._visit.portal
        limit = self._limits.attachment_bytes
        identifier: str = portal.storage.attach(self._visit.session.key, inspection, limit=limit, now=portal.clock())
        return identifier

    def _question(self, name: str) -> str:
        """Return the place whose question a file answers; empty for the one that answers none."""
        if self._step is None:
            if name != ENCLOSED:
                raise Malformed(_UNASKED)
            return ""
        found = field_at(self._step.root, name)
        if found is None or found.widget != FILE:
            raise Malformed(_UNASKED)
        return name


def counted(chunks: Iterator[bytes], portal: Portal, request: Request) -> Iterator[bytes]:
    """Count what comes in against its address's share, a piece before it is stored; ``TooMany`` beyond that."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size >= PART_SIZE:
            portal.require_share(request, size)
            size = 0
        yield chunk
    portal.require_share(request, size)


async def text_of(part: Part) -> tuple[str, int]:
    """Return the text of a part, and its bytes; raise ``TooLarge`` where no field takes as much, ``Malformed`` for no text."""
    content = bytearray()
    async for chunk in part.chunks():
        content += chunk
        if len(content) > 4 * LONGEST_VALUE:
            raise TooLarge(_TOO_MUCH)
    try:
        return content.decode(), len(content)
    except UnicodeDecodeError as error:
        raise Malformed(_NO_TEXT) from error


def pulled(part: Part) -> Iterator[bytes]:
    """Yield the chunks of a part in a thread, while the loop reads them."""
    chunks = part.chunks()

    async def following() -> bytes | None:
        return await anext(chunks, None)

    while (chunk := anyio.from_thread.run(following)) is not None:
        yield chunk


async def bounded(stream: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Yield what comes in; raise ``TooLarge`` beyond ``limit`` bytes."""
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        yield chunk


_UNASKED = EasyText(
    "Nach dieser Datei wurde nicht gefragt. Laden Sie die Seite neu, und wählen Sie die Datei noch einmal.",
    "This file was not asked for. Load the page again, and choose the file once more.",
    easy="Diese Datei gehört hier nicht hin. Laden Sie die Seite neu. Wählen Sie die Datei noch einmal.",
)
_NO_TEXT = EasyText(
    "Eine Angabe ist kein lesbarer Text (UTF-8).",
    "One of the details is no readable text (UTF-8).",
    easy="Das können wir nicht lesen. Schreiben Sie es noch einmal.",
)
_TOO_MUCH = EasyText(
    "Die Angaben auf dieser Seite sind zu lang.",
    "The details on this page are too long.",
    easy="Das ist zu viel Text. Schreiben Sie weniger.",
)
