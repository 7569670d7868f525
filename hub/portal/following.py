"""The status page: what became of an application, by the reference and code that its receipt page showed.

Nobody is logged in here: the page that answers a right code carries the key in its forms, and each further step (opening a
message, fetching a file, withdrawing) hands it in again. It stands in no address, no cookie and no log, and the page is not
kept by browsers (``no-store``). A wrong reference, a wrong code and one whose time is over get the same answer in the same
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hub.errors import NotFound, Text, TooLarge
from hub.forms.page import ACCEPTED
from hub.portal.answering import MOST_FILES, AnswerBody
from hub.portal.codes import Guesses, TypedKey, grouped, read_typed
from hub.portal.followed import KNOWN_ROWS, FollowedCase, FollowedCases, KeptFile, of_sent
from hub.portal.frame import Portal
from hub.portal.moments import as_read, day_and_time
from hub.portal.notices import is_mail_address, notices_of
from hub.portal.session import Running
from hub.portal.storage import FormKey, FormPurpose, Kept

STATUS = "/stand"
_UNPROCESSABLE = 422
_LONGEST_ANSWER, _LONGEST_REASON = 10_000, 1_000
#: What browsers may be told a file is; whatever else it is, it is bytes.
_KINDS = frozenset({"application/pdf", "image/png", "image/jpeg", "text/plain", "application/json", "application/xml"})
#: Should a browser show one in spite of being told to save it: nothing in it acts.
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


def routes(portal: Portal) -> list[Route]:
    """Return the addresses of following."""
    pages = _StatusPages(portal)
    return [
        Route(STATUS, pages.ask, methods=["GET"]),
        Route(STATUS, pages.show, methods=["POST"]),
        Route(STATUS + "/nachricht", pages.open, methods=["POST"]),
        Route(STATUS + "/anlage", pages.file, methods=["POST"]),
        Route(STATUS + "/antwort", pages.answer, methods=["POST"]),
        Route(STATUS + "/zuruecknehmen", pages.withdraw, methods=["POST"]),
        Route(STATUS + "/berichtigen", pages.correct, methods=["POST"]),
        Route(STATUS + "/mail", pages.mail, methods=["POST"]),
        Route(STATUS + "/loeschen", pages.delete, methods=["POST"]),
        Route(STATUS + "/{reference}", pages.ask, methods=["GET"]),
    ]


def begin(portal: Portal, running: Running, sent: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """Keep what following a sent form needs; return ``reference``, ``code`` and ``link``, which nothing but them opens.

    Blocks for a tenth of a second. Called again for the same form it gives another reference, for nobody knows the first.
    """
    typed = TypedKey.new()
    FollowedCases(portal).begin(typed.form_key(), of_sent(running, sent), now)
    return {
        "reference": typed.shown_reference,
        "code": typed.shown_code,
        "link": f"{portal.settings.public_url}{STATUS}/{typed.reference}",
    }


class _StatusPages:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._guesses = Guesses(portal.storage.database)
        self._cases = FollowedCases(portal)
        self._notices = notices_of(portal)

    async def ask(self, request: Request) -> Response:
        """Ask for reference and code; a link brings the reference."""
        reference = read_typed(str(request.path_params.get("reference", "")))
        return self._asked(request, grouped(reference) if reference else "")

    async def show(self, request: Request) -> Response:
        """Show where an application stands: for reference and code, or for the key of a page that was shown already."""
        fields, portal = dict(await self._portal.fields(request)), self._portal
        if fields.get("key"):
            return await self._with_case(request, fields, self._standing)
        typed = TypedKey.read(fields.get("reference", ""), fields.get("code", ""))
        address = request.client.host if request.client is not None else ""
        found = await portal.work(self._guesses.opened, portal.storage, typed, address=address, now=portal.clock())
        followed = None if found is None else FollowedCase.read(found[1])
        if found is None or followed is None:
            return self._asked(request, fields.get("reference", ""), wrong=True, other=_other(found))
        return await self._standing(request, fields, found[0], followed)

    async def open(self, request: Request) -> Response:
        """Open one message of the authority."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._opened)

    async def file(self, request: Request) -> Response:
        """Hand out a file of a message."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._file)

    async def answer(self, request: Request) -> Response:
        """Write back to the authority, with files where it asked for some."""
        body = AnswerBody(self._portal, request)
        try:
            fields = await body.read()
            return await self._with_case(request, fields, partial(self._answered, body=body))
        finally:
            await body.forget()

    async def withdraw(self, request: Request) -> Response:
        """Ask whether the application shall be withdrawn, and do it."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._withdrawn)

    async def correct(self, request: Request) -> Response:
        """Begin a form with the answers that were sent."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._corrected)

    async def mail(self, request: Request) -> Response:
        """Ask the owner of a mail address whether to hear when something happens."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._mailed)

    async def delete(self, request: Request) -> Response:
        """Ask whether everything about the application shall be deleted here, and do it."""
        return await self._with_case(request, dict(await self._portal.fields(request)), self._deleted)

    async def _with_case(self, request: Request, fields: dict[str, str], answer: Callable[..., Any]) -> Response:
        key = FormKey.read(fields.get("key", ""))
        kept = None
        if key is not None:
            kept = await self._portal.work(self._portal.storage.read, key, now=self._portal.clock())
        followed = None if kept is None else FollowedCase.read(kept)
        if followed is None:
            return self._asked(request, "", wrong=True)
        response: Response = await answer(request, fields, key, followed)
        return response

    async def _standing(
        self,
        request: Request,
        _fields: Mapping[str, str],
        key: FormKey,
        followed: FollowedCase,
        note: str = "",
        *,
        mail_fault: bool = False,
    ) -> Response:
        followed = await self._portal.work(self._cases.moved, key, followed, self._portal.clock())
        standing = await self._portal.work(self._cases.standing, followed)
        return self._portal.page(
            request,
            "stand.html",
            key=key.text(),
            case=followed,
            standing=standing,
            note=note,
            when=partial(day_and_time, language=self._portal.language(request)),
            mails=self._notices is not None,
            mail_fault=mail_fault,
            status=_UNPROCESSABLE if mail_fault else 200,
        )

    async def _opened(
        self, request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase
    ) -> Response:
        reply_id = _uuid(fields.get("reply", ""))
        followed = await self._portal.work(self._cases.open, key, followed, reply_id, self._portal.clock())
        return self._message(request, key, followed, reply_id)

    def _message(
        self,
        request: Request,
        key: FormKey,
        followed: FollowedCase,
        reply_id: UUID,
        *,
        fault: Text | None = None,
        file_fault: Text | None = None,
        text: str = "",
    ) -> Response:
        reply, language = followed.replies[str(reply_id)], self._portal.language(request)
        rows = [(label, as_read(value, language)) for label, value in reply.rows]
        return self._portal.page(
            request,
            "nachricht.html",
            status=200 if fault is file_fault is None else _UNPROCESSABLE,
            key=key.text(),
            case=followed,
            reply=reply,
            known=[(KNOWN_ROWS[label], value) for label, value in rows if label in KNOWN_ROWS],
            further=[(label, value) for label, value in rows if label not in KNOWN_ROWS],
            reply_id=str(reply_id),
            once=str(uuid4()),
            fault=fault,
            file_fault=file_fault,
            text=text,
            longest=_LONGEST_ANSWER,
            most_files=MOST_FILES,
            most_megabytes=self._portal.settings.limits.attachment_bytes // 1024**2,
            accepted=ACCEPTED,
        )

    async def _file(
        self, _request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase
    ) -> Response:
        wanted = fields.get("file", "")
        files = (each for reply in followed.replies.values() for each in reply.files)
        file = next((each for each in files if each.id == wanted), None)
        if file is None:
            raise NotFound(self._portal.texts.text("follow.no-file"))
        chunks = await self._portal.work(self._portal.storage.attachment, key, file.id)
        return StreamingResponse(chunks, headers=_headers(file), media_type=_media_type(file))

    async def _answered(
        self, request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase, *, body: AnswerBody
    ) -> Response:
        reply_id, text = _uuid(fields.get("reply", "")), fields.get("text", "").strip()
        if str(reply_id) not in followed.replies:
            raise NotFound(self._portal.texts.text("follow.no-reply"))
        if not text or len(text) > _LONGEST_ANSWER:
            fault = "follow.answer.empty" if not text else "follow.answer.long"
            wrong = self._portal.texts.text(fault, longest=_LONGEST_ANSWER)
            return self._message(request, key, followed, reply_id, fault=wrong, text=text)
        if body.fault is not None:
            return self._message(request, key, followed, reply_id, file_fault=body.fault, text=text)
        once = fields.get("once", "")[:40]
        files = partial(self._cases.answer, followed, reply_id, text, once=once)
        await self._portal.work(files, key=key, files=body.files)
        return await self._standing(request, fields, key, followed, note="follow.note.answered")

    async def _withdrawn(
        self, request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase
    ) -> Response:
        if fields.get("do") != "yes":
            return self._portal.page(
                request, "zuruecknehmen.html", key=key.text(), case=followed, longest=_LONGEST_REASON
            )
        reason = fields.get("text", "").strip()
        if len(reason) > _LONGEST_REASON:
            raise TooLarge(self._portal.texts.text("follow.reason.long"))
        await self._portal.work(self._cases.withdraw, followed, reason)
        return await self._standing(request, fields, key, followed, note="follow.note.withdrawn")

    async def _corrected(
        self, request: Request, _fields: Mapping[str, str], _key: FormKey, followed: FollowedCase
    ) -> Response:
        now = self._portal.clock()
        response = self._portal.to(request, "/antrag")
        await self._portal.work(self._portal.sessions.begin, response, self._cases.corrected(followed, now), now)
        return response

    async def _mailed(
        self, request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase
    ) -> Response:
        to, notices = fields.get("mail", "").strip(), self._notices
        if notices is None or not is_mail_address(to):
            return await self._standing(request, fields, key, followed, mail_fault=True)
        case = followed.submission_id, followed.case_id
        address = request.client.host if request.client is not None else ""
        language = self._portal.language(request)
        await self._portal.work(notices.watch, to, language, case, address=address, now=self._portal.clock())
        return await self._standing(request, fields, key, followed, note="follow.note.mail")

    async def _deleted(
        self, request: Request, fields: Mapping[str, str], key: FormKey, followed: FollowedCase
    ) -> Response:
        if fields.get("do") != "yes":
            return self._portal.page(request, "stand-loeschen.html", key=key.text(), case=followed)
        await self._portal.work(self._portal.storage.delete, key)
        return self._portal.to(request, "/", note="status-deleted")

    def _asked(self, request: Request, reference: str, *, wrong: bool = False, other: str = "") -> Response:
        status = _UNPROCESSABLE if wrong else 200
        return self._portal.page(
            request, "stand-fragen.html", status=status, reference=reference[:40], wrong=wrong, other=other
        )


def _other(found: tuple[FormKey, Kept] | None) -> str:
    """Return where what was found belongs, if it is no application that was sent: only who has its code hears of it."""
    purposes = {FormPurpose.SAVED: "/weiter", FormPurpose.RELEASE: "/freigabe"}
    return "" if found is None else purposes.get(found[1].purpose, "")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _media_type(file: KeptFile) -> str:
    return file.media_type if file.media_type in _KINDS else "application/octet-stream"


def _headers(file: KeptFile) -> dict[str, str]:
    """Return what has a browser save a file, and show nothing of it (RFC 6266, RFC 8187)."""
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "content-security-policy": _SANDBOX,
    }
