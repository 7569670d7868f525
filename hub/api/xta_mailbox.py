"""Mailboxes over XTA 2.1.1: managementPort and msgBoxPort, behind TLS with client certificates, on a port of their own.

Who calls is known by the certificate of the connection, before a byte of the body is read: no certificate that a mailbox
names, no request. Bodies are short, and read within a time. Answers with contents are streamed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.api.threads import in_thread
from hub.errors import ConfigurationError, Conflict, Forbidden, HubError, NotFound, Text
from hub.files import vault
from hub.fit_connect.boxes import MessageBoxes, submission_of
from hub.identity.certificates import CertificateHolder, CertificateHolders, choose
from hub.soap import mailbox
from hub.soap.mailbox import BoxAnswer, BoxOperation, BoxRequest, Port
from hub.soap.xta import Unreadable
from hub.supervision import Supervisor
from hub.web.listening import bound
from hub.web.protocol import BoundedProtocol, ConnectionBounds, SteadyServer, server_options
from hub.web.responses import SAFE

#: Where clients of XTA look for the two ports.
PATHS = {f"/services/XTAService/{port.value}": port for port in Port}
_BODY_SECONDS = 20.0
_BOUNDS = ConnectionBounds(head_bytes=16 * 1024, head_seconds=15.0, connections=200, unread_seconds=60.0)
_EXTENSION = "hub.client_certificate"
_log = logging.getLogger(__name__)


class CertifiedProtocol(BoundedProtocol):
    """A connection whose requests know by which certificate it was opened."""

    def on_message_begin(self) -> None:
        """Begin a request, with the certificate (DER) that TLS has verified."""
        super().on_message_begin()
        secured = self.transport.get_extra_info("ssl_object")
        self.scope["extensions"] = {
            _EXTENSION: {"der": None if secured is None else secured.getpeercert(binary_form=True)}
        }


class XtaMailbox:
    """The two ports as an ASGI application."""

    def __init__(self, *, boxes: MessageBoxes, holders: CertificateHolders, clock: Callable[[], datetime]) -> None:
        self._boxes = boxes
        self._holders = holders
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._answered(scope, receive)
        await answer(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Response:
        port = PATHS.get(scope["path"])
        if port is None:
            return PlainTextResponse("Not found.\n", 404, headers=SAFE)
        if scope["method"] != "POST":
            return PlainTextResponse("Only POST.\n", 405, headers={**SAFE, "Allow": "POST"})
        try:
            return _response(await self._at(port, scope, receive))
        except TimeoutError:
            return PlainTextResponse(
                "The request did not come in time.\n", 408, headers={**SAFE, "Connection": "close"}
            )

    async def _at(self, port: Port, scope: Scope, receive: Receive) -> BoxAnswer:
        try:
            holders = await in_thread(self._known, scope)
            if not holders:
                return mailbox.refusal("PermissionDenied")
            asked = await _read(scope, receive, port)
            done: BoxAnswer = await in_thread(self._carried_out, asked, holders)
        except Unreadable:
            return mailbox.refusal("ParameterIsNotValid", status=400)
        except HubError as error:
            _log.warning("XTA: not answered now: %s", error.slug)
            return mailbox.refusal("XTAWSTechnicalProblem")
        return done

    def _known(self, scope: Scope) -> list[CertificateHolder]:
        certificate = ((scope.get("extensions") or {}).get(_EXTENSION) or {}).get("der")
        return [] if certificate is None else self._holders.holders(certificate)

    def _carried_out(self, asked: BoxRequest, holders: list[CertificateHolder]) -> BoxAnswer:
        try:
            holder = choose(holders, None if asked.author is None else asked.author.identifier)
            return self._done(asked, holder)
        except Forbidden:
            return mailbox.refusal("PermissionDenied", related=asked.related)
        except (NotFound, Conflict):
            return mailbox.refusal("InvalidMessageID", related=asked.related)

    def _done(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        done: Mapping[BoxOperation, Callable[[BoxRequest, CertificateHolder], BoxAnswer]] = {
            BoxOperation.ACTIVE: lambda asked, _holder: mailbox.nothing(asked),
            BoxOperation.SERVICES: self._services,
            BoxOperation.REPORT: self._report,
            BoxOperation.CANCEL: lambda asked, _holder: mailbox.refusal("CancelDenied", related=asked.related),
            BoxOperation.LIST: self._list,
            BoxOperation.NEXT_LIST: self._list,
            BoxOperation.GET: self._hand_out,
            BoxOperation.NEXT: self._hand_out,
            BoxOperation.CLOSE: self._close,
        }
        if asked.operation not in done:  # Who collects sends nothing here, and needs no ids.
            return mailbox.refusal("PermissionDenied", related=asked.related)
        return done[asked.operation](asked, holder)

    def _close(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        ids = [submission_of(each) for each in asked.message_ids]
        self._boxes.close(holder, ids, now=self._clock())
        return mailbox.nothing(asked)

    def _services(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        offered = {each.identifier for each in holder.destination.services}
        taken = [reader == holder.identifier and service in offered for reader, service in asked.services]
        return mailbox.services(asked, taken, "xoev")

    def _report(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        message = self._boxes.found(holder, submission_of(asked.message_ids[0]))
        finished = message.finished_at is not None
        at = message.finished_at or message.collected_at or message.submitted_at or message.created_at
        about = self._boxes.about(holder, message)
        return mailbox.report(asked, about, status=1 if finished else 0, at=at, server=self._boxes.identity)

    def _list(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        if asked.strange:
            return mailbox.status_list(asked, [], pending=0, last=None)
        if asked.message_ids and asked.operation is BoxOperation.LIST:
            wanted = {submission_of(each) for each in asked.message_ids}
            there = self._boxes.waiting(holder, after=None, most=1_000_000, fresh=asked.fresh)
            messages, pending = [each for each in there.messages if each.id in wanted][: asked.most], 0
        else:
            waiting = self._boxes.waiting(holder, after=asked.after, most=asked.most, fresh=asked.fresh)
            messages, pending = list(waiting.messages), waiting.pending
        listed = [
            mailbox.Listed(
                message=self._boxes.about(holder, each), size=self._boxes.size(each) if asked.attributes else 0
            )
            for each in messages
        ]
        return mailbox.status_list(asked, listed, pending=pending, last=messages[-1].id if messages else None)

    def _hand_out(self, asked: BoxRequest, holder: CertificateHolder) -> BoxAnswer:
        if asked.strange:
            raise NotFound(Text("Diese Auswahl kennt das Postfach nicht.", "The mailbox does not know this choice."))
        first, pending = self._meant(asked, holder)
        message, parts = self._boxes.hand_out(holder, first, now=self._clock())
        about = self._boxes.about(holder, message)
        return mailbox.handed_out(asked, about, parts, pending=pending, last=message.id)

    def _meant(self, asked: BoxRequest, holder: CertificateHolder) -> tuple[Any, int]:
        """Return which message is wanted, and how many wait behind it: the one that is named, or the next."""
        if asked.operation is BoxOperation.GET and asked.message_ids:
            (named, *others) = asked.message_ids
            if others:
                raise Unreadable("MsgSelector")
            return submission_of(named), 0
        waiting = self._boxes.waiting(holder, after=asked.after, most=1, fresh=asked.fresh)
        if not waiting.messages:
            raise NotFound(Text("Es wartet nichts mehr.", "Nothing waits any more."))
        return waiting.messages[0].id, waiting.pending


async def _read(scope: Scope, receive: Receive, port: Port) -> BoxRequest:
    headers = Headers(scope=scope)
    body = bytearray()
    async with asyncio.timeout(_BODY_SECONDS):
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Unreadable("disconnected")
            body += message.get("body", b"")
            if len(body) > mailbox.REQUEST_LIMIT:
                raise Unreadable("size")
            more = message.get("more_body", False)
    return mailbox.read_box_request(
        bytes(body),
        port,
        content_type=headers.get("content-type", ""),
        soap_action=headers.get("soapaction", ""),
    )


def _response(answer: BoxAnswer) -> Response:
    asked = answer.message
    headers = {**asked.headers, "Content-Length": str(asked.length), "Cache-Control": "no-store", **SAFE}
    return StreamingResponse(asked.content, answer.status, headers=headers)


class XtaServer:
    """Serves the application over TLS, in a thread of its own, until :meth:`close`."""

    def __init__(
        self, application: ASGIApp, *, host: str, port: int, tls: ssl.SSLContext, supervisor: Supervisor
    ) -> None:
        """Listen from now on.

        Raises:
            Unavailable, ConfigurationError: nobody can listen there.
        """
        options = server_options(_BOUNDS)
        options["http"] = partial(CertifiedProtocol, *options["http"].args, **options["http"].keywords)
        self._socket = bound(host, port)
        self._socket.listen(128)  # From now on connections wait for the loop.
        self.port: int = self._socket.getsockname()[1]
        self._config = uvicorn.Config(
            application,
            **options,
            loop="asyncio",
            lifespan="off",
            proxy_headers=False,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=5,
            ssl_context_factory=lambda _config, _default: tls,
        )
        self._server = SteadyServer(self._config)
        self._loop = supervisor.begin("xta-mailbox", self._serve, daemon=True)

    def close(self) -> None:
        """Stop; requests that are being answered are finished."""
        self._loop.stop.set()
        self._server.should_exit = True
        self._loop.end()
        self._socket.close()

    def _serve(self, stop: threading.Event) -> None:
        # A server lives once, and closes the socket that it was given, unless it dies.
        self._server = server = SteadyServer(self._config)
        if not stop.is_set():
            with self._socket.dup() as listening:
                server.run(sockets=[listening])


def server_tls(certificate: str, key: str, clients: str) -> ssl.SSLContext:
    """Return the server's side of TLS, which asks for a client certificate.

    Raises:
        ConfigurationError: a file is missing or cannot be used, or others may read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        private = Path(key or certificate)
        vault.require_privacy(private)
        vault.require_place(private.parent)
        context.load_cert_chain(certificate, key or None)
        context.load_verify_locations(clients)
    except OSError as exc:  # ``ssl.SSLError`` is one.
        raise ConfigurationError(
            Text(
                "xta_port braucht in xta_certificate_file und xta_key_file ein Zertifikat mit seinem Schlüssel, in "
                "xta_clients_file die Zertifizierungsstellen der Behörden (PEM).",
                "xta_port needs a certificate with its key in xta_certificate_file and xta_key_file, and the authorities' "
                "certificate authorities in xta_clients_file (PEM).",
            )
        ) from exc
    return context
