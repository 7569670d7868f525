"""Sending a form: the summary, the declaration, the way to the hub, and what the person keeps of it.

Before anything goes out the application is frozen within the form: its bytes, metadata and files, and its idempotency key. A
try whose end nobody knows is repeated as it was, so the hub has it once; until then nothing of it can be changed, and nothing
is lost. What the hub refuses is open for changes again, each fault at its question.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub import __version__
from hub.client.contents import Attachment
from hub.client.plain import Application, Receipt
from hub.errors import (
    Conflict,
    HubError,
    IdempotencyConflict,
    InvalidPayload,
    NotFound,
    Overloaded,
    Refused,
    SealBroken,
    Text,
    Unavailable,
)
from hub.forms.document import document_of
from hub.forms.faults import FieldFault
from hub.forms.form_file import said
from hub.forms.known import with_locked
from hub.forms.pdf import PdfAttachment, can_render_pdf, render_pdf
from hub.forms.readable import readable
from hub.model import MediaType
from hub.portal import filling, following, login_pages, release_pages, releasing, saving
from hub.portal.asking import AskedForm, AskedForms, violations_of
from hub.portal.enclosures import opened
from hub.portal.filling import ENCLOSURES, REVIEW, STEPS, fillings, judged_by_hub
from hub.portal.frame import Portal
from hub.portal.login import DEMANDED, LOGIN, LoggedIn, lacks_login, logged_out
from hub.portal.receiving import FormVisit, forget, visit_of
from hub.portal.reply_keys import ReplyPair
from hub.portal.review import sections_of
from hub.portal.session import FormSession, KeptAttachment, Running

SEND, RECEIPT = "/antrag/senden", "/antrag/quittung"
#: Seconds that a person waits for a key pair where many send at once.
_KEY_WAIT = 10.0
_ZONE = ZoneInfo("Europe/Berlin")
_REPLY_STANDARD = "urn:rathaus-hub:antwort:1.0"
_UNPROCESSABLE, _UNAVAILABLE = 422, 503
_DECLARED = "erklaerung"


def routes(portal: Portal) -> list[Route]:
    """Return the addresses of the whole way: filling, and sending."""
    forms = AskedForms(portal.doors.schema)
    way = SendingPages(portal, forms)
    return [
        *filling.routes(portal, forms),
        _shown(REVIEW, way.show_review, portal),
        Route(SEND, way.send, methods=["POST"]),
        _shown(RECEIPT, way.show_receipt, portal),
        _shown(RECEIPT + ".jws", way.receipt_file, portal),
        _shown(RECEIPT + ".json", way.proof_file, portal),
        _shown(RECEIPT + ".data", way.document_file, portal),
        _shown(RECEIPT + ".html", way.summary_file, portal),
        _shown(RECEIPT + ".pdf", way.summary_pdf, portal),
        *login_pages.routes(portal, forms),
        *release_pages.routes(portal, forms, way.submit),
    ]


def _shown(path: str, answer: Callable[[FormVisit], Response], portal: Portal) -> Route:
    async def endpoint(request: Request) -> Response:
        return await portal.work(lambda: answer(visit_of(portal, request)))

    return Route(path, endpoint, methods=["GET"])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """A fault on the summary: words, and where it is mended."""

    text: str
    link: str


class SendingPages:
    """The pages from the summary to the receipt."""

    def __init__(self, portal: Portal, forms: AskedForms) -> None:
        self._portal = portal
        self._forms = forms

    def show_review(self, visit: FormVisit) -> Response:
        """Show all that will be sent, once the hub has judged it; else what is to be mended, and where."""
        running = visit.running
        if running.sent is not None:
            return visit.to(RECEIPT)
        if releasing.waits(running):
            return visit.to(releasing.LINKS)
        if running.pending is not None:
            return self._waiting(visit, status=200)
        asked = self._forms.of(running.schema.uri)
        faults = asked.faults(running.answers, fillings(asked, running, self._portal))
        away = False
        if not faults:
            try:
                faults = judged_by_hub(asked, running, self._portal)
            except Unavailable:
                away = True
        return self._reviewed(visit, asked, faults, away=away)

    def _reviewed(
        self,
        visit: FormVisit,
        asked: AskedForm,
        faults: Sequence[FieldFault],
        *,
        away: bool = False,
        note: str = "",
        undeclared: bool = False,
        status: int = 200,
    ) -> Response:
        running = visit.running
        steps = asked.open_steps(running.answers)
        problems = [self._problem(visit, asked, fault) for fault in faults]
        return visit.page(
            "review.html",
            status=_UNPROCESSABLE if problems and status == 200 else status,  # noqa: PLR2004  # RFC 9110 section 15.3.1
            title=said(asked.form.title, visit.language),
            number=len(steps) + 2,
            total=len(steps) + 2,
            sections=sections_of(steps, running.answers, visit.language),
            files=running.attachments,
            problems=problems,
            away=away,
            note=note,
            undeclared=undeclared,
            notice=self._notice(visit),
            before=ENCLOSURES,
            steps_at=STEPS,
            enclosures_at=ENCLOSURES,
            send_at=SEND,
            revision=running.revision,
            people=running.extra.get(releasing.PEOPLE, ()),
            people_at=release_pages.PEOPLE_PAGE,
        )

    def _problem(self, visit: FormVisit, asked: AskedForm, fault: FieldFault) -> _Problem:
        step = asked.step_of(fault.at, visit.running.answers)
        where = "" if step is None else visit.link(f"{STEPS}/{step.id}", von="pruefen") + f"#f{fault.at}"
        return _Problem(text=said(fault.text, visit.language), link=where)

    def _notice(self, visit: FormVisit) -> str:
        """Return what is to be said of machines that take part."""
        try:
            notice = self._portal.doors.ai_notice(visit.running.service, visit.language)
        except HubError:
            return self._said(visit, "send.machines-unknown")
        return notice or self._said(visit, "send.no-machines")

    async def send(self, request: Request) -> Response:
        """Send the application, or send it once more where nobody knows what became of it."""
        fields = dict(await self._portal.fields(request))
        return await self._portal.work(self._send, request, fields)

    def _send(self, request: Request, fields: Mapping[str, str]) -> Response:
        visit = visit_of(self._portal, request)
        running = visit.running
        if running.sent is not None:
            return visit.to(RECEIPT)
        if releasing.waits(running):
            return visit.to(releasing.LINKS)
        if running.pending is None:
            answer = self._frozen(visit, fields)
            if isinstance(answer, Response):
                return answer
            visit = replace(visit, session=answer)
        if releasing.wanted(visit.running):
            releasing.begin(self._portal, visit.session, self._portal.clock())
            saving.forget(self._portal, visit.running)
            return visit.to(releasing.LINKS)
        return self._sent(visit)

    def submit(self, session: FormSession) -> Receipt:
        """Hand a frozen form to the hub; errors as :meth:`hub.client.plain.PlainDoor.submit`."""
        asked = self._forms.of(session.running.schema.uri)
        return self._portal.doors.submit(self._application(session, asked))

    def _frozen(self, visit: FormVisit, fields: Mapping[str, str]) -> FormSession | Response:
        """Freeze the application, or return the page that says why it cannot be sent yet."""
        running = visit.running
        asked = self._forms.of(running.schema.uri)
        if lacks_login(running, self._demanded(visit)):
            return visit.to(LOGIN)
        if fields.get("stand") != str(running.revision):
            # Another tab changed something: what was declared is not what stands here now.
            return self._reviewed(visit, asked, (), note=self._said(visit, "send.changed"), status=409)
        if fields.get(_DECLARED) != "ja":
            return self._reviewed(visit, asked, (), undeclared=True, status=_UNPROCESSABLE)
        who = LoggedIn.of(running)
        locked = () if who is None else who.known(asked.form)
        faulty = asked.faults(running.answers, fillings(asked, running, self._portal))
        if faulty or with_locked(asked.form, running.answers, locked) != running.answers:
            return visit.to(REVIEW)
        if releasing.wanted(running):
            # Said while it can still be changed: smaller files are a way out.
            self._portal.require_share(visit.request, releasing.copied(running))
        pair = self._portal.keys.take(wait=_KEY_WAIT)
        if pair is None:
            raise Overloaded(self._portal.texts.text("send.crowded"), for_people=True)
        frozen = self._with_document(visit, asked, pair)
        return self._portal.sessions.write(visit.session, frozen, self._portal.clock())

    def _with_document(self, visit: FormVisit, asked: AskedForm, pair: ReplyPair) -> Running:
        running = visit.running
        document = document_of(asked.form, running.answers, fillings(asked, running, self._portal))
        named = asked.named_files(document.value)
        pending = {
            "document": base64.b64encode(document.content).decode("ascii"),
            "files": [each.id for each in running.attachments if not each.at or each.name in named],
            "metadata": self._metadata(visit, pair.public),
        }
        return replace(running, pending=pending, reply_key=dict(pair.private))

    def _demanded(self, visit: FormVisit) -> str | None:
        """Return how sure it has to be who sends: as the catalogue says now, or said at the beginning where it is away."""
        service = self._service(visit)
        said = service.get("assurance") if service else visit.running.extra.get(DEMANDED)
        return said if isinstance(said, str) else None

    def _metadata(self, visit: FormVisit, public: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the portal says of the application: who it is from, by which right, and the way back."""
        running, who = visit.running, LoggedIn.of(visit.running)
        # Whoever demands to know surely who sends gets what shows it; nobody else needs all that the provider signed.
        evidence = who.as_evidence() if who is not None and who.token and self._demanded(visit) else None
        return {
            "author": self._author(visit, who, evidence),
            "additionalReferenceInfo": {
                "senderReference": running.form_id,
                "applicationDate": self._portal.clock().date().isoformat(),
            },
            "replyChannel": {
                "fitConnect": {"processStandards": [_REPLY_STANDARD], "encryptionPublicKey": dict(public)},
            },
            **({} if evidence is None else {"dataSets": [evidence]}),
        }

    def _author(self, visit: FormVisit, who: LoggedIn | None, evidence: Mapping[str, Any] | None) -> dict[str, Any]:
        texts = self._portal.texts
        how = texts.text("send.unauthenticated") if who is None else self._how(who)
        return {
            "name": self._portal.look(visit.request).name,
            "description": f"{how.de} / {how.en}",
            "authentication": {"method": "none"} if who is None else who.as_metadata(evidence),
            "product": {"name": "Rathaus-Hub Portal", "version": __version__, "manufacturer": "Rathaus-Hub"},
        }

    def _how(self, who: LoggedIn) -> Text:
        """Say in words how somebody was authenticated."""
        settings, texts = self._portal.settings.login, self._portal.texts
        level = texts.text(f"login.level-{who.level or 'unknown'}")
        provider = who.provider if settings is None else settings.name
        said_so = texts.text("send.authenticated", name=who.name or who.subject, provider=provider, at=who.at)
        return Text(f"{said_so.de} {level.de}", f"{said_so.en} {level.en}")

    def _sent(self, visit: FormVisit) -> Response:
        """Send what was frozen; whatever comes of it, the form knows."""
        session = visit.session
        asked = self._forms.of(session.running.schema.uri)
        try:
            receipt = self.submit(session)
        except Unavailable:
            return self._waiting(visit, status=_UNAVAILABLE)
        except SealBroken:
            return self._waiting(visit, status=_UNAVAILABLE, doubtful=True)
        except Refused as error:
            return self._refused(visit, asked, error)
        self._remember(session, asked, receipt)
        return visit.to(RECEIPT)

    def _application(self, session: FormSession, asked: AskedForm) -> Application:
        running = session.running
        pending = running.pending or {}
        files = [each for each in running.attachments if each.id in pending["files"]]
        return Application(
            **_case_of(running),
            data=base64.b64decode(pending["document"]),
            media_type=asked.media_type,
            service=running.service,
            ars=running.place.ars,
            schema=running.schema.uri,
            attachments=[self._attachment(session, each) for each in files],
            metadata=pending["metadata"],
            idempotency_key=running.idempotency_key,
        )

    def _attachment(self, session: FormSession, file: KeptAttachment) -> Attachment:
        read = partial(self._portal.storage.attachment, session.key, file.id)
        return Attachment(
            open=lambda: opened(read()),
            filename=file.name,
            media_type=file.media_type,
            attachment_id=UUID(file.id),
        )

    def _waiting(self, visit: FormVisit, *, status: int, doubtful: bool = False) -> Response:
        """Say that the application is not through yet and nothing is lost; the page's one button sends it once more."""
        response = visit.page("waiting.html", status=status, doubtful=doubtful, send_at=SEND)
        if status == _UNAVAILABLE:
            response.headers["retry-after"] = "30"
        return response

    def _refused(self, visit: FormVisit, asked: AskedForm, error: Refused) -> Response:
        """Open the form again and say what the hub said, at the questions where it is about them."""
        running = visit.running
        # A key that the hub knows for another content is of no use any more.
        key = str(uuid4()) if isinstance(error, Conflict) else running.idempotency_key
        changed = replace(running, pending=None, reply_key=None, idempotency_key=key)
        visit = replace(visit, session=self._portal.sessions.write(visit.session, changed, self._portal.clock()))
        faults: tuple[FieldFault, ...] = ()
        if isinstance(error, InvalidPayload) or error.members.get("violations"):
            found = violations_of(error.members.get("violations", ()))
            faults = asked.faults(running.answers, fillings(asked, running, self._portal), lambda _: found)
        note = "" if faults else said(error.detail, visit.language)
        if isinstance(error, IdempotencyConflict):
            # The form was saved, went on at two devices, and was sent at the other one.
            note = self._said(visit, "send.sent-elsewhere")
        return self._reviewed(visit, asked, faults, note=note, status=_UNPROCESSABLE)

    def _remember(self, session: FormSession, asked: AskedForm, receipt: Receipt) -> None:
        running = session.running
        pending = running.pending or {}
        files = [each for each in running.attachments if each.id in pending["files"]]
        sent = _as_sent(receipt, pending, asked, files)
        now = self._portal.clock()
        sent["follow"] = following.begin(self._portal, running, sent, now)
        kept = replace(logged_out(running), sent=sent, pending=None, attachments=())
        self._portal.sessions.write(session, kept, now)
        saving.forget(self._portal, running)
        forget(self._portal, session, running.attachments)

    def show_receipt(self, visit: FormVisit) -> Response:
        """Show what the hub said, what happens next, and how to check it."""
        sent = self._what_was_sent(visit)
        return visit.page(
            "receipt.html",
            sent=sent,
            received=_moment(sent["acceptedAt"], visit.language),
            service=self._service(visit),
            receipt_at=RECEIPT,
            file=f"{_file_name(sent)}.jws",
            has_pdf=can_render_pdf(),
            hub=self._portal.settings.hub.base_url,
        )

    def _said(self, visit: FormVisit, key: str) -> str:
        return self._portal.say(visit.request, key)

    def _service(self, visit: FormVisit) -> Mapping[str, Any]:
        """Return what the catalogue says of the service, for how long it takes; nothing where it cannot be asked."""
        running = visit.running
        try:
            return self._portal.doors.service(running.service, running.place.ars, visit.language)
        except HubError:
            return {}

    def _what_was_sent(self, visit: FormVisit) -> Mapping[str, Any]:
        sent = visit.running.sent
        if sent is None:
            raise NotFound(self._portal.texts.text("send.nothing-sent"))
        return sent

    def receipt_file(self, visit: FormVisit) -> Response:
        """Return the signed receipt as a file, for whoever wants to check it."""
        sent = self._what_was_sent(visit)
        return _download(sent["receipt"].encode("ascii"), "application/jose", f"{_file_name(sent)}.jws")

    def proof_file(self, visit: FormVisit) -> Response:
        """Return receipt and salt together: with the document they show what was received ("hub receipt verify --content")."""
        sent = self._what_was_sent(visit)
        return _download(_proof(sent), "application/json", f"{_file_name(sent)}-nachweis.json")

    def document_file(self, visit: FormVisit) -> Response:
        """Return the document exactly as it was sent."""
        sent = self._what_was_sent(visit)
        name = f"{_file_name(sent)}.{MediaType(sent['mediaType']).value.rpartition('/')[2]}"
        return _download(base64.b64decode(sent["document"]), "application/octet-stream", name)

    def summary_file(self, visit: FormVisit) -> Response:
        """Return what was sent as a page that stands alone."""
        sent = self._what_was_sent(visit)
        return _download(self._summary(visit).encode(), "text/html; charset=utf-8", f"{_file_name(sent)}.html")

    def summary_pdf(self, visit: FormVisit) -> Response:
        """Return the same as PDF, the signed receipt within; ``NotFound`` where this portal cannot make one."""
        sent = self._what_was_sent(visit)
        if not can_render_pdf():
            raise NotFound(self._portal.texts.text("send.no-pdf"))
        receipt = PdfAttachment(
            name=f"{_file_name(sent)}.jws",
            media_type="application/jose",
            content=sent["receipt"].encode("ascii"),
            description=self._said(visit, "send.jws"),
        )
        proof = self._proofs(visit, sent)
        content = render_pdf(
            self._summary(visit),
            title=visit.running.service_name,
            language="en" if visit.language == "en" else "de",
            identifier=UUID(sent["submissionId"]).bytes,
            now=datetime.fromisoformat(sent["acceptedAt"]),
            attachments=[receipt, *(proof if sent.get("salt") else ())],
        )
        return _download(content, "application/pdf", f"{_file_name(sent)}.pdf")

    def _proofs(self, visit: FormVisit, sent: Mapping[str, Any]) -> list[PdfAttachment]:
        document = MediaType(sent["mediaType"]).value
        return [
            PdfAttachment(
                name=f"{_file_name(sent)}.{document.rpartition('/')[2]}",
                media_type=document,
                content=base64.b64decode(sent["document"]),
                description=self._said(visit, "send.document"),
            ),
            PdfAttachment(
                name=f"{_file_name(sent)}-nachweis.json",
                media_type="application/json",
                content=_proof(sent),
                description=self._said(visit, "send.proof"),
            ),
        ]

    def _summary(self, visit: FormVisit) -> str:
        """Return the readable page of what was sent, with what the receipt says at its head."""
        sent = self._what_was_sent(visit)
        asked = self._forms.of(visit.running.schema.uri)
        content = base64.b64decode(sent["document"])
        page = readable(
            asked.form, content, MediaType(sent["mediaType"]), language=visit.language, attachments=sent["files"]
        )
        facts = (
            (self._said(visit, "follow.id"), sent["submissionId"]),
            (self._said(visit, "send.received"), _moment(sent["acceptedAt"], visit.language)),
            (self._said(visit, "send.clock"), self._said(visit, f"send.clock-{sent.get('clock', 'not-known')}")),
            (self._said(visit, "send.office"), sent["destination"]),
            (self._said(visit, "send.service"), visit.running.service_name),
        )
        head = Markup("<dl>{}</dl>").format(
            Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts)
        )
        return page.replace("</h1>", f"</h1>{head}", 1)


def _as_sent(
    receipt: Receipt, pending: Mapping[str, Any], asked: AskedForm, files: Sequence[KeptAttachment]
) -> dict[str, Any]:
    return {
        "submissionId": str(receipt.submission_id),
        "caseId": str(receipt.case_id),
        "destination": receipt.destination,
        "acceptedAt": receipt.accepted_at.isoformat(),
        "receipt": receipt.token,
        "salt": receipt.content_salt or "",
        "clock": str(receipt.clock.get("state")) if receipt.clock.get("state") in _CLOCKS else "not-known",
        "document": pending["document"],
        "mediaType": asked.media_type.value,
        "files": [each.name for each in files],
    }


#: What a receipt may say of the hub's clock, in the keys of the texts.
_CLOCKS = ("synchronised", "unsynchronised", "not-known")


def _proof(sent: Mapping[str, Any]) -> bytes:
    """Return what shows, with a content, that it is what the hub received."""
    return json.dumps({"receipt": sent["receipt"], "contentSalt": sent.get("salt", "")}, indent=1).encode("ascii")


def _case_of(running: Running) -> dict[str, Any]:
    """Return the case that a correction belongs to, and what it replaces; nothing for an application of its own."""
    known = {"case_id": "caseId", "replaces": "replaces"}
    return {name: UUID(running.extra[key]) for name, key in known.items() if key in running.extra}


def _moment(written: str, language: str) -> str:
    """Return a moment (ISO 8601) as people here read it."""
    here = datetime.fromisoformat(written).astimezone(_ZONE)
    return f"{here:%Y-%m-%d, %H:%M}" if language == "en" else f"{here:%d.%m.%Y, %H:%M} Uhr"


def _file_name(sent: Mapping[str, Any]) -> str:
    return f"antrag-{sent['submissionId'][:8]}"


def _download(content: bytes, media_type: str, name: str) -> Response:
    return Response(
        content,
        headers={
            "content-type": media_type,
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        },
    )
