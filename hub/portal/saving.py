"""Save for later, and go on at another device: a reference in a link, and a code that the person alone has.

What is saved is a copy of the running form, sealed under the key that reference and code make; the portal keeps neither. The
running form itself goes on as it was and ends as it always does, so a computer that others use keeps nothing, and saving again
replaces what was saved. Going on makes a new running form of the copy, under a cookie of its own. The copy is deleted when
its time is over, when the person says so, and when the application was sent.

The reference may stand in a link (``/weiter/REFERENCE``) and in other people's logs: without the code it opens nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.errors import Unavailable
from hub.portal.codes import Guesses, TypedKey, grouped, read_typed
from hub.portal.frame import Portal
from hub.portal.login import logged_out
from hub.portal.moments import day
from hub.portal.notices import MailNotices, is_mail_address, notices_of
from hub.portal.session import FormSession, Running
from hub.portal.storage import FormKey, FormPurpose, Kept

FORM, SAVE, SAVED, LEAVE, REMIND = (
    "/antrag",
    "/antrag/speichern",
    "/antrag/gesichert",
    "/antrag/beenden",
    "/antrag/erinnern",
)
RESUME, DELETE = "/weiter", "/weiter/loeschen"
#: Where a form keeps by which link its reminder ends.
_REMINDER = "reminder"
_UNPROCESSABLE = 422


def routes(portal: Portal) -> list[Route]:
    """Return the addresses of saving and of going on."""
    pages = _SavingPages(portal)
    return [
        Route(SAVE, pages.explain, methods=["GET"]),
        Route(SAVE, pages.save, methods=["POST"]),
        Route(SAVED, pages.show, methods=["GET"]),
        Route(REMIND, pages.remind, methods=["POST"]),
        Route(LEAVE, pages.leave, methods=["POST"]),
        Route(RESUME, pages.ask, methods=["GET"]),
        Route(RESUME, pages.resume, methods=["POST"]),
        Route(DELETE, pages.delete, methods=["POST"]),
        Route(RESUME + "/{reference}", pages.ask, methods=["GET"]),
    ]


def typed_of(running: Running) -> TypedKey | None:
    """Return reference and code under which a form was saved; None where it was not."""
    reference, _, code = (running.saved or "").partition(" ")
    return TypedKey.read(reference, code)


def save(portal: Portal, session: FormSession, now: datetime) -> TypedKey:
    """Keep a copy of a running form for later, in the place of an earlier one; return how its person finds it.

    Raises:
        Conflict: the form was changed in another tab. Overloaded, TooLarge: there is no room for it.
    """
    typed = typed_of(session.running) or TypedKey.new()
    running = replace(session.running, saved=f"{typed.reference} {typed.code}")
    if session.running.saved is None:
        # The form learns of its code first: whatever happens then, the person can save again under it.
        session = portal.sessions.write(session, running, now)
    portal.storage.copy(
        session.key,
        typed.form_key(),
        # Whoever goes on logs in anew: a code may be given to others, and says nothing of who types it.
        logged_out(running).content(),
        attached=[each.id for each in running.attachments],
        purpose=FormPurpose.SAVED,
        now=now,
        ends=now + portal.settings.limits.saved,
    )
    return typed


def resume(portal: Portal, saved: FormKey, kept: Kept, now: datetime) -> FormKey | None:
    """Make a running form of a saved one and return its key; None where another version of the portal saved it."""
    running = Running.read(kept.content, revision=kept.revision)
    if running is None:
        return None
    key = FormKey.new()
    portal.storage.copy(
        saved,
        key,
        running.content(),
        attached=[each.id for each in running.attachments],
        purpose=FormPurpose.RUNNING,
        now=now,
        ends=now + portal.settings.limits.idle,
    )
    return key


def forget(portal: Portal, running: Running) -> None:
    """Delete what was saved of a form, if anything was: it was sent. What cannot be deleted now ends by itself."""
    typed = typed_of(running)
    with suppress(Unavailable):
        if typed is not None:
            portal.storage.delete(typed.form_key())
        _end_reminder(notices_of(portal), running, portal.clock())


def _size(running: Running) -> int:
    return sum(each.size for each in running.attachments)


def _end_reminder(notices: MailNotices | None, running: Running, now: datetime) -> None:
    token = running.extra.get(_REMINDER)
    if notices is not None and isinstance(token, str):
        notices.end(token, now)


class _SavingPages:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._guesses = Guesses(portal.storage.database)
        self._notices = notices_of(portal)

    async def explain(self, request: Request) -> Response:
        """Say what saving means, before anything is saved."""
        session = await self._session(request)
        if session is None:
            return self._gone(request)
        days = self._portal.settings.limits.saved.days
        again = typed_of(session.running) is not None
        return self._portal.page(request, "speichern.html", running=session.running, days=days, again=again)

    async def save(self, request: Request) -> Response:
        """Save, and go where reference and code are shown."""
        await self._portal.fields(request)
        session = await self._session(request)
        if session is None:
            return self._gone(request)
        if session.running.saved is None:  # Later ones take the place of the first.
            await self._portal.work(self._portal.require_share, request, _size(session.running))
        await self._portal.work(save, self._portal, session, self._portal.clock())
        return self._portal.to(request, SAVED)

    async def show(self, request: Request) -> Response:
        """Show reference and code; only who holds the form's cookie gets here."""
        return await self._shown(request)

    async def remind(self, request: Request) -> Response:
        """Ask the owner of a mail address whether to be told before what was saved ends."""
        fields = dict(await self._portal.fields(request))
        session = await self._session(request)
        if self._notices is None or session is None or typed_of(session.running) is None:
            return self._gone(request)
        to = fields.get("mail", "").strip()
        if not is_mail_address(to):
            return await self._shown(request, mail_fault=True)
        address = request.client.host if request.client is not None else ""
        await self._portal.work(self._remind, session, to, self._portal.language(request), address)
        return await self._shown(request, reminded=True)

    def _remind(self, session: FormSession, to: str, language: str, address: str) -> None:
        now, limits = self._portal.clock(), self._portal.settings.limits
        if self._notices is None:
            return
        _end_reminder(self._notices, session.running, now)
        token = self._notices.remind(to, language, now + limits.saved, address=address, now=now)
        running = replace(session.running, extra={**session.running.extra, _REMINDER: token})
        save(self._portal, self._portal.sessions.write(session, running, now), now)

    async def _shown(self, request: Request, *, mail_fault: bool = False, reminded: bool = False) -> Response:
        session = await self._session(request)
        typed = None if session is None else typed_of(session.running)
        if session is None or typed is None:
            return self._gone(request)
        address = f"{self._portal.settings.public_url}{RESUME}/{typed.reference}"
        until = self._portal.clock() + self._portal.settings.limits.saved
        return self._portal.page(
            request,
            "gesichert.html",
            running=session.running,
            typed=typed,
            address=address,
            until=day(until, self._portal.language(request)),
            mails=self._notices is not None,
            mail_fault=mail_fault,
            reminded=reminded,
            status=_UNPROCESSABLE if mail_fault else 200,
        )

    async def leave(self, request: Request) -> Response:
        """End the running form: what was saved stays."""
        await self._portal.fields(request)
        response = self._portal.to(request, "/", note="form-left")
        session = await self._session(request)
        if session is not None:
            await self._portal.work(self._portal.sessions.end, session, response)
        return response

    async def ask(self, request: Request) -> Response:
        """Ask for reference and code; a link brings the reference."""
        reference = read_typed(str(request.path_params.get("reference", "")))
        return self._asked(request, grouped(reference) if reference else "")

    async def resume(self, request: Request) -> Response:
        """Go on with what was saved, if reference and code are right; or ask whether to delete it."""
        fields = dict(await self._portal.fields(request))
        reference, now = fields.get("reference", ""), self._portal.clock()
        opened = await self._opened(request, fields, now)
        if opened is None:
            return self._asked(request, reference, wrong=True)
        if fields.get("do") == "delete":
            return self._portal.page(
                request,
                "gesichert-loeschen.html",
                key=opened[0].text(),
                until=day(opened[1].ends, self._portal.language(request)),
            )
        await self._portal.work(self._require_share, request, opened[1])
        key = await self._portal.work(resume, self._portal, *opened, now)
        if key is None:
            return self._asked(request, reference, wrong=True)
        response = self._portal.to(request, FORM)
        self._portal.sessions.give(response, key)
        return response

    def _require_share(self, request: Request, kept: Kept) -> None:
        running = Running.read(kept.content, revision=kept.revision)
        self._portal.require_share(request, len(kept.content) + (0 if running is None else _size(running)))

    async def delete(self, request: Request) -> Response:
        """Delete what was saved; the page that asked carries its key."""
        fields = dict(await self._portal.fields(request))
        key = FormKey.read(fields.get("key", ""))
        if key is None:
            return self._asked(request, "", wrong=True)
        await self._portal.work(self._delete, key, self._portal.clock())
        return self._portal.to(request, "/", note="saved-deleted")

    def _delete(self, key: FormKey, now: datetime) -> None:
        kept = self._portal.storage.read(key, now=now)
        if kept is not None and kept.purpose is FormPurpose.SAVED:
            running = Running.read(kept.content, revision=kept.revision)
            if running is not None:
                _end_reminder(self._notices, running, now)
            self._portal.storage.delete(key)

    async def _opened(self, request: Request, fields: dict[str, str], now: datetime) -> tuple[FormKey, Kept] | None:
        typed = TypedKey.read(fields.get("reference", ""), fields.get("code", ""))
        address = request.client.host if request.client is not None else ""
        found = await self._portal.work(self._guesses.opened, self._portal.storage, typed, address=address, now=now)
        return found if found is not None and found[1].purpose is FormPurpose.SAVED else None

    def _asked(self, request: Request, reference: str, *, wrong: bool = False) -> Response:
        status = _UNPROCESSABLE if wrong else 200
        return self._portal.page(request, "weiter.html", status=status, reference=reference[:40], wrong=wrong)

    async def _session(self, request: Request) -> FormSession | None:
        found: Any = await self._portal.work(self._portal.sessions.of, request, self._portal.clock())
        return found if isinstance(found, FormSession) and found.running.sent is None else None

    def _gone(self, request: Request) -> Response:
        return self._portal.to(request, "/", note="form-ended")
