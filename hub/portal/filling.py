"""Filling a form: step by step, with files; nothing of it needs a script.

A step's answers are kept before they are judged, so that what is wrong is not lost either. The answer to a question for a file
is the file's name, and a file whose name no answer holds any more goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from hub.errors import Conflict, NotFound, Text, Unavailable
from hub.forms.answers import ADD, REMOVE, taken
from hub.forms.faults import FieldFault
from hub.forms.form_file import FormStep, field_at, said
from hub.forms.known import with_locked
from hub.forms.page import DETACH, draw, page_of
from hub.portal.asking import FILE, AskedForm, AskedForms, all_items, fillings_of, violations_of
from hub.portal.frame import Portal
from hub.portal.login import DEMANDED, LOGIN, LoggedIn, lacks_login
from hub.portal.receiving import FormVisit, ReceivedPage, forget, received, visit_of
from hub.portal.session import FormSession, KeptAttachment, Running

FORM = "/antrag"
STEPS, ENCLOSURES, REVIEW = "/antrag/schritt", "/antrag/anlagen", "/antrag/pruefen"
SAVE = "/antrag/speichern"
#: A page's own controls; those of questions begin with a slash.
_FROM, _SAVED, _DROPPED, _MORE = "von", "speichern", "entfernen", "mehr"
_MENDING = "pruefen"
_MIB = 1024 * 1024
_UNPROCESSABLE = 422
_MINUTE = timedelta(minutes=1)
#: Nothing runs, loads or submits in what somebody uploaded, whatever a browser takes it for.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def routes(portal: Portal, forms: AskedForms) -> list[Route]:
    """Return the addresses of filling."""
    way = FillingPages(portal, forms)
    return [
        Route(FORM, way.go_on, methods=["GET"]),
        Route(STEPS + "/{step}", way.show_step, methods=["GET"]),
        Route(STEPS + "/{step}", way.take_step, methods=["POST"]),
        Route(ENCLOSURES, way.show_enclosures, methods=["GET"]),
        Route(ENCLOSURES, way.take_enclosure, methods=["POST"]),
        Route(ENCLOSURES + "/{number}", way.show_enclosure, methods=["GET"]),
    ]


class FillingPages:
    """The pages from the first question to the last file."""

    def __init__(self, portal: Portal, forms: AskedForms) -> None:
        self._portal = portal
        self._forms = forms

    async def go_on(self, request: Request) -> Response:
        """Lead to where a form goes on: its first page on which something is missing, or the summary."""
        return await self._portal.work(self._gone_on, request)

    def _gone_on(self, request: Request) -> Response:
        visit = visit_of(self._portal, request)
        running = visit.running
        if running.sent is not None or running.pending is not None:
            return visit.to(REVIEW)
        if lacks_login(running, running.extra.get(DEMANDED)):
            return visit.to(LOGIN)
        self._portal.keys.expect()
        asked = self._forms.of(running.schema.uri)
        present = {each.name for each in running.attachments}
        answers = asked.without_files(running.answers, present)
        if answers != running.answers:
            # A correction begins with the answers that were sent; files have to be given anew.
            running = self._rewritten(visit, replace(running, answers=answers))
        wanting = {fault.at for fault in asked.faults(answers, fillings(asked, running, self._portal))}
        for step in asked.open_steps(answers):
            if any(item.at in wanting for item in all_items(page_of(step, answers).items)):
                return visit.to(f"{STEPS}/{step.id}")
        return visit.to(REVIEW)

    async def show_step(self, request: Request) -> Response:
        """Show the questions of one step, with what stands there already."""
        return await self._portal.work(self._step_shown, request)

    def _step_shown(self, request: Request) -> Response:
        visit = visit_of(self._portal, request)
        session = visit.session
        if lacks_login(session.running, session.running.extra.get(DEMANDED)):
            return visit.to(LOGIN)
        asked = self._forms.of(session.running.schema.uri)
        step = self._open_step(asked, session.running, visit.request.path_params["step"])
        errors: Mapping[str, Text] = {}
        if visit.asked(_FROM) == _MENDING:
            # The person comes from the summary, to change or to mend: what is wrong stands at its field.
            errors = self._errors(asked, session.running, step) or self._broken_rules(asked, session.running, step)
        return self._drawn(visit, asked, step, session.running.answers, errors)

    async def take_step(self, request: Request) -> Response:
        """Keep what was answered; go on if it is right, else show what is not."""
        visit = await self._portal.work(self._changeable, request)
        asked, step = await self._portal.work(self._step_of, visit)
        return await self._taken(visit, await received(visit, step), partial(self._step_taken, asked, step))

    def _changeable(self, request: Request) -> FormVisit:
        """Return the visit of a form that may still be changed; raise ``Conflict`` once it is on its way."""
        visit = visit_of(self._portal, request)
        if visit.running.sent is not None or visit.running.pending is not None:
            raise Conflict(self._portal.texts.text("form.on-its-way"))
        return visit

    def _step_of(self, visit: FormVisit) -> tuple[AskedForm, FormStep]:
        asked = self._forms.of(visit.running.schema.uri)
        return asked, self._open_step(asked, visit.running, visit.request.path_params["step"])

    def _open_step(self, asked: AskedForm, running: Running, name: str) -> FormStep:
        for step in asked.open_steps(running.answers):
            if step.id == name:
                return step
        raise NotFound(self._portal.texts.text("form.no-step"))

    async def _taken(self, visit: FormVisit, sent: ReceivedPage, answer: Any) -> Response:
        """Answer what was sent; its files go again where that fails."""
        try:
            return await self._portal.work(answer, visit, sent)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._portal.work(forget, self._portal, visit.session, sent.files)
            raise

    def _rewritten(self, visit: FormVisit, running: Running) -> Running:
        return self._portal.sessions.write(visit.session, running, self._portal.clock()).running

    def _step_taken(self, asked: AskedForm, step: FormStep, visit: FormVisit, sent: ReceivedPage) -> Response:
        running = visit.running
        answers = taken(step, running.answers, _answered(step, sent), is_xml=asked.form.is_xml)
        who = LoggedIn.of(running)
        if who is not None:
            answers = with_locked(asked.form, answers, who.known(asked.form))
        held = (*running.attachments, *sent.files)
        held_now = replace(running, answers=answers, attachments=held)
        session = self._kept(visit.request, visit.session, asked, held_now)
        visit = replace(visit, session=session)
        mending = visit.asked(_FROM) == _MENDING
        if sent.control(_SAVED):
            return visit.to(SAVE)
        for name in (ADD, REMOVE, DETACH):
            if at := sent.control(name):
                where = visit.link(f"{STEPS}/{step.id}", **({_FROM: _MENDING} if mending else {}))
                return RedirectResponse(f"{where}#f{quote(_anchor(name, at, answers))}", 303)
        errors = {**self._errors(asked, session.running, step), **sent.faults}
        if errors:
            return self._drawn(visit, asked, step, answers, errors, status=_UNPROCESSABLE)
        if mending:
            return visit.to(REVIEW)
        return visit.to(_onward(asked, step, answers))

    def _errors(self, asked: AskedForm, running: Running, step: FormStep) -> dict[str, Text]:
        """Return what is wrong on the page of a step, by place."""
        here = {item.at for item in all_items(page_of(step, running.answers).items)}
        found = asked.faults(running.answers, fillings(asked, running, self._portal))
        return {fault.at: fault.text for fault in found if fault.at in here}

    def _broken_rules(self, asked: AskedForm, running: Running, step: FormStep) -> dict[str, Text]:
        """Return the business rules that are broken on the page of a step: the hub alone runs them."""
        here = {item.at for item in all_items(page_of(step, running.answers).items)}
        try:
            found = judged_by_hub(asked, running, self._portal)
        except Unavailable:  # The summary says so.
            return {}
        return {fault.at: fault.text for fault in found if fault.at in here}

    def _kept(self, request: Request, session: FormSession, asked: AskedForm, running: Running) -> FormSession:
        """Write the form; files that answer nothing any more go with what they answered."""
        named = asked.named_files(running.answers)
        stays = tuple(each for each in running.attachments if not each.at or each.name in named)
        kept = replace(running, attachments=stays)
        self._portal.require_share(request, len(kept.content()) - len(session.running.content()))
        written = self._portal.sessions.write(session, kept, self._portal.clock())
        forget(self._portal, session, [each for each in running.attachments if each not in stays])
        return written

    def _drawn(
        self,
        visit: FormVisit,
        asked: AskedForm,
        step: FormStep,
        answers: Mapping[str, Any],
        errors: Mapping[str, Text],
        *,
        status: int = 200,
    ) -> Response:
        running, limits = visit.running, self._portal.settings.limits
        who = LoggedIn.of(running)
        known = () if who is None else who.known(asked.form)
        page = page_of(step, answers, errors, {each.at for each in known if each.locked})
        steps = asked.open_steps(running.answers)
        number = next((place for place, each in enumerate(steps, start=1) if each.id == step.id), len(steps))
        return visit.page(
            "step.html",
            status=status,
            title=said(asked.form.title, visit.language),
            intro="" if asked.form.intro is None or number > 1 else said(asked.form.intro, visit.language),
            step_title=said(step.title, visit.language),
            step_hint="" if step.hint is None else said(step.hint, visit.language),
            number=number,
            total=len(steps) + 2,  # The files, and the summary.
            idle_minutes=limits.idle // _MINUTE,
            first_minutes=min(limits.idle, limits.unanswered) // _MINUTE,
            body=draw(page, visit.language),
            errors=len(page.errors),
            has_files=any(item.field.widget == FILE for item in all_items(page.items)),
            most_megabytes=limits.attachment_bytes // _MIB,
            before=f"{STEPS}/{steps[number - 2].id}" if number > 1 else "",
            mending=visit.asked(_FROM) == _MENDING,
        )

    async def show_enclosures(self, request: Request) -> Response:
        """Show the files of the form, and take more."""
        return await self._portal.work(lambda: self._enclosures(visit_of(self._portal, request), None, 200))

    def _enclosures(self, visit: FormVisit, fault: Text | None, status: int) -> Response:
        running = visit.running
        asked = self._forms.of(running.schema.uri)
        steps = asked.open_steps(running.answers)
        return visit.page(
            "enclosures.html",
            status=status,
            title=said(asked.form.title, visit.language),
            number=len(steps) + 1,
            total=len(steps) + 2,
            fault="" if fault is None else said(fault, visit.language),
            files=[
                (each, asked.step_asking(each.at, running.answers) if each.at else "") for each in running.attachments
            ],
            before=f"{STEPS}/{steps[-1].id}",
            most=self._portal.settings.limits.attachments,
            most_megabytes=self._portal.settings.limits.attachment_bytes // _MIB,
        )

    async def take_enclosure(self, request: Request) -> Response:
        """Take one more file, or take one away, or go on."""
        visit = await self._portal.work(self._changeable, request)
        return await self._taken(visit, await received(visit, None), self._enclosure_taken)

    def _enclosure_taken(self, visit: FormVisit, sent: ReceivedPage) -> Response:
        session, running = visit.session, visit.running
        if dropped := sent.control(_DROPPED):
            gone = [each for each in _numbered(running, dropped) if not each.at]
            stays = tuple(each for each in running.attachments if each not in gone)
            self._portal.sessions.write(session, replace(running, attachments=stays), self._portal.clock())
            forget(self._portal, session, gone)
            return visit.to(ENCLOSURES)
        if sent.files:
            held = (*running.attachments, *sent.files)
            written = self._portal.sessions.write(session, replace(running, attachments=held), self._portal.clock())
            visit = replace(visit, session=written)
        if sent.faults:
            return self._enclosures(visit, next(iter(sent.faults.values())), _UNPROCESSABLE)
        if sent.control(_SAVED):
            return visit.to(SAVE)
        return visit.to(ENCLOSURES if sent.control(_MORE) else REVIEW)

    async def show_enclosure(self, request: Request) -> Response:
        """Show one file of the form, in a sandbox of the browser's."""
        return await self._portal.work(self._enclosure_shown, request)

    def _enclosure_shown(self, request: Request) -> Response:
        visit = visit_of(self._portal, request)
        found = _numbered(visit.running, visit.request.path_params["number"])
        if not found:
            raise NotFound(self._portal.texts.text("form.no-file"))
        (file,) = found
        chunks = self._portal.storage.attachment(visit.session.key, file.id)
        return StreamingResponse(
            chunks,
            media_type=file.media_type,
            headers={
                "content-security-policy": _SANDBOX,
                "content-length": str(file.size),
                "content-disposition": f"inline; filename*=UTF-8''{quote(file.name, safe='')}",
            },
        )


def fillings(asked: AskedForm, running: Running, portal: Portal) -> dict[str, str]:
    """Return what the portal fills in for a running form."""
    return fillings_of(
        asked.entry,
        ars=running.place.ars,
        place=running.place.name,
        authority=running.authority,
        form_id=running.form_id,
        now=portal.clock(),
    )


def judged_by_hub(asked: AskedForm, running: Running, portal: Portal) -> tuple[FieldFault, ...]:
    """Return what the hub says of the whole document, business rules included, each fault at its question.

    Raises:
        Unavailable: it cannot be asked now.
    """

    def judge(content: bytes) -> Any:
        report = portal.doors.validate(content, asked.media_type, asked.entry.uri)
        return () if report.valid else violations_of(report.violations)

    return asked.faults(running.answers, fillings(asked, running, portal), judge)


def _onward(asked: AskedForm, step: FormStep, answers: Mapping[str, Any]) -> str:
    steps = [each.id for each in asked.open_steps(answers)]
    following = steps[steps.index(step.id) + 1 :] if step.id in steps else []
    return f"{STEPS}/{following[0]}" if following else ENCLOSURES


def _answered(step: FormStep, sent: ReceivedPage) -> list[tuple[str, str]]:
    """Return the pairs that are a step's: without the page's own controls, and of files those alone that were stored."""
    stored = {(each.at, each.name) for each in sent.files}
    pairs = []
    for name, value in sent.pairs:
        if name == DETACH:
            pairs.append((value, ""))
        elif name in (ADD, REMOVE):
            pairs.append((name, value))
        elif name.startswith("/"):
            found = field_at(step.root, name)
            if found is None or found.widget != FILE or (name, value) in stored:
                pairs.append((name, value))
    return pairs


def _anchor(control: str, at: str, answers: Mapping[str, Any]) -> str:
    """Return the place to go on at: of a list that grew its new item, of one that shrank the list."""
    if control == DETACH:
        return at
    if control == REMOVE:
        return at.rpartition("/")[0]
    value: Any = answers
    for token in at.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(token)] if token.isdecimal() and int(token) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(token.replace("~1", "/").replace("~0", "~"))
    return f"{at}/{len(value) - 1}" if isinstance(value, list) and value else at


def _numbered(running: Running, number: str) -> list[KeptAttachment]:
    """Return the file of a number in the list, from 1, as a list; an empty one where there is none."""
    place = int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else 0  # noqa: PLR2004  # Digits.
    return [running.attachments[place - 1]] if 0 < place <= len(running.attachments) else []
