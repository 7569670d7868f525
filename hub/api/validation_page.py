"""The page on which a vendor tries a message: paste or upload it, and see the report beside its lines.

What is tried is held in memory for one answer, shown to its sender alone, and stored nowhere. The page needs no login, so it
has caps of its own: size, requests from one address, and checks at once. It has no script and no foreign asset.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.to_thread
from connexion.lifecycle import ConnexionResponse
from starlette.requests import Request

from hub.admission import Admission, Reservation
from hub.api import marked
from hub.api.guards import arrival
from hub.api.operations import caller_address, visit
from hub.errors import NotFound, Refused, Text, TooLarge, TooMany
from hub.files.multipart import parts
from hub.model.submission import MediaType
from hub.validation.catalog import SchemaCatalog

#: The largest message that is tried, in bytes (the contract's cap on the whole form is the same).
_LARGEST = 1_000_000
_FIELD = 2_000
_COPIES = 3
_PARTS = 4
#: Checks under way at once, and requests that one address may make in a window of seconds.
_AT_ONCE = 2
_REQUESTS, _WINDOW = 20, 60.0
_ADDRESSES = 10_000


@dataclass(kw_only=True, slots=True)
class _Form:
    """What was sent. ``content`` is the uploaded file, or the pasted text if there is none."""

    file: bytes = field(default=b"", repr=False)
    text: bytes = field(default=b"", repr=False)
    schema: bytes = b""

    @property
    def content(self) -> bytes:
        return self.file or self.text


class DryRun:
    """Handlers of ``/validate``."""

    def __init__(
        self,
        *,
        catalog: Callable[[], SchemaCatalog],
        memory_budget: int,
        clock: Callable[[], datetime],
        allowed: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._budget = Admission(memory_budget=memory_budget, free_bytes=lambda: 0, disk_watermark=0)
        self._clock = clock
        self._allowed = allowed
        self._monotonic = monotonic
        self._at_once = anyio.CapacityLimiter(_AT_ONCE)
        self._recent: dict[str, deque[float]] = {}

    async def form(self) -> ConnexionResponse:
        """Show the empty form."""
        self._refuse_if_closed()
        return _page(marked.form(self._catalog().uris(), largest=_LARGEST))

    async def judge(self) -> ConnexionResponse:
        """Judge what was sent and show the report beside it."""
        self._refuse_if_closed()
        request = visit()
        self._count(caller_address())
        reservation = self._budget.reserve()
        try:
            sent = await _read(request, reservation)
            # Its text and its page, beside what came.
            reservation.grow(_COPIES * len(sent.content))
            body = await anyio.to_thread.run_sync(self._answer, sent, limiter=self._at_once)
        finally:
            reservation.release()
        return _page(body)

    def _answer(self, sent: _Form) -> str:
        catalog, now = self._catalog(), self._clock()
        schema = sent.schema.decode("utf-8", errors="replace").strip()
        # What was pasted stands in the form again, to be corrected; a file is chosen anew.
        pasted = "" if sent.file else sent.text.decode("utf-8", errors="replace")
        again = marked.form(catalog.uris(), largest=_LARGEST, text=_safe_text(pasted), schema=marked.visible(schema))
        if not sent.content.strip():
            return marked.refusal(_NOTHING) + again
        kind = (
            MediaType.XML if sent.content.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<") else MediaType.JSON
        )
        try:
            report = catalog.check(
                media_type=kind, data=sent.content, schema=schema or None, service=None, on=now.date()
            )
        except Refused as refused:
            line = refused.members.get("line")
            at = (int(line), refused.detail) if line is not None else None
            shown = marked.lines(sent.content, at=at)
            return marked.refusal(refused.detail, line=at[0] if at else None) + shown + again
        return marked.told(report, sent.content, now) + again

    def _refuse_if_closed(self) -> None:
        if not self._allowed:
            raise NotFound(_CLOSED)

    def _count(self, address: str) -> None:
        """Count a request of an address.

        Raises:
            TooMany: It made too many of them in a short time.
        """
        now = self._monotonic()
        if len(self._recent) >= _ADDRESSES:
            self._recent = {key: times for key, times in self._recent.items() if times[-1] > now - _WINDOW}
        times = self._recent.get(address) or deque(maxlen=_REQUESTS)
        crowded = not times and len(self._recent) >= _ADDRESSES
        if crowded or (len(times) == _REQUESTS and times[0] > now - _WINDOW):
            raise TooMany(_SLOWER)
        times.append(now)
        self._recent[address] = times


async def _read(request: Request, reservation: Reservation) -> _Form:
    form = _Form()
    size = 0
    async for part in parts(request.stream(), arrival(request.scope).content_type, cap=_PARTS):
        content = bytearray()
        async for chunk in part.chunks():
            size += len(chunk)
            if size > _LARGEST or (part.name == "schema" and len(content) + len(chunk) > _FIELD):
                raise TooLarge(_LARGE)
            reservation.grow(len(chunk))
            content += chunk
        if part.name == "file":
            form.file = bytes(content)
        elif part.name == "text":
            form.text = bytes(content)
        elif part.name == "schema":
            form.schema = bytes(content)
    return form


def _page(body: str) -> ConnexionResponse:
    headers = {"Content-Security-Policy": marked.POLICY, "Cache-Control": "no-store"}
    return ConnexionResponse(
        status_code=200, body=marked.page(body), content_type="text/html; charset=utf-8", headers=headers
    )


def _safe_text(text: str) -> str:
    return "\n".join(marked.visible(line) for line in text.split("\n"))


_CLOSED = Text(
    "Diese Seite ist hier nicht eingeschaltet (Einstellung public_validation). Nutzen Sie /hub/v1/validations.",
    "This page is not switched on here (setting public_validation). Use /hub/v1/validations.",
)
_NOTHING = Text("Wählen Sie eine Datei, oder fügen Sie einen Text ein.", "Choose a file, or paste a text.")
_LARGE = Text(
    f"Auf dieser Seite darf eine Nachricht höchstens {_LARGEST} Byte haben. Größere prüft /hub/v1/validations.",
    f"On this page a message may have at most {_LARGEST} bytes. Larger ones are checked by /hub/v1/validations.",
)
_SLOWER = Text(
    "Zu viele Prüfungen in kurzer Zeit. Bitte warten Sie eine Minute.",
    "Too many checks in a short time. Please wait a minute.",
)
