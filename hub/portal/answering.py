"""What a browser sends with an answer to the authority: its texts, then files, which often are what the authority asked for.

A file lies sealed beside the case, under its key, until the answer has gone out, whatever became of it.
"""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
from starlette.requests import Request

from hub.errors import HubError, Malformed, Text, TooMany, Unavailable
from hub.portal.enclosures import Inspection, name_for, too_many
from hub.portal.frame import LARGEST_FORM, Portal
from hub.portal.receiving import CSRF, bounded, counted, pulled, text_of
from hub.portal.session import KeptAttachment
from hub.portal.storage import FormKey
from hub.web.multipart import Part, parts

#: Files that go with one answer; what its form calls them.
MOST_FILES, FILE = 5, "datei"
_MOST_PARTS = 20


class AnswerBody:
    """Reads one answer. ``files`` are in the storage by now, ``fault`` is what was wrong with one that is not."""

    def __init__(self, portal: Portal, request: Request) -> None:
        self._portal = portal
        self._request = request
        self._key: FormKey | None = None
        self.files: list[KeptAttachment] = []
        self.fault: Text | None = None

    async def read(self) -> dict[str, str]:
        """Return the texts by name.

        Raises:
            Forbidden: it comes from no page of ours. Malformed: it cannot be read. TooLarge: it is.
            NotFound: the case has ended. Unavailable: files cannot be stored.
        """
        request = self._request
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return dict(await self._portal.fields(request))
        largest = MOST_FILES * self._portal.settings.limits.attachment_bytes + LARGEST_FORM
        fields: dict[str, str] = {}
        async for part in parts(bounded(request.stream(), largest), request.headers["content-type"], cap=_MOST_PARTS):
            if CSRF not in fields:
                fields[CSRF] = (await text_of(part))[0] if part.name == CSRF else ""
                self._portal.require_csrf(request, fields[CSRF])
            elif part.filename is None and not part.is_empty_field:
                fields[part.name] = (await text_of(part))[0]
            elif not part.is_empty_field:
                await self._file(part, FormKey.read(fields.get("key", "")))
        if CSRF not in fields:
            self._portal.require_csrf(request, "")
        return {name: value for name, value in fields.items() if name != CSRF}

    async def forget(self) -> None:
        """Delete the files; whoever hangs up before that does not keep them."""
        with anyio.CancelScope(shield=True):
            for each in self.files:
                await self._portal.work(self._portal.storage.detach, self._key, each.id)

    async def _file(self, part: Part, key: FormKey | None) -> None:
        if key is None or part.name != FILE:
            raise Malformed(self._portal.texts.text("form.unreadable"))
        portal, limit = self._portal, self._portal.settings.limits.attachment_bytes
        self._key = key
        inspection = Inspection(counted(pulled(part), portal, self._request), limit=limit)
        attach = partial(portal.storage.attach, key, inspection, limit=limit, now=portal.clock())
        try:
            if len(self.files) >= MOST_FILES:
                raise too_many(MOST_FILES)
            identifier = await anyio.to_thread.run_sync(attach, limiter=portal.receiving)
        except HubError as error:
            if isinstance(error, Unavailable) and not isinstance(error, TooMany):
                raise
            self.fault = error.detail
            return
        self.files.append(
            KeptAttachment(
                id=identifier,
                at="",
                name=name_for(part.filename or "", inspection.kind, {each.name for each in self.files}),
                media_type=inspection.kind,
                size=inspection.size,
                sha512=inspection.sha512,
            )
        )
