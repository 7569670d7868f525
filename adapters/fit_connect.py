"""Pass submissions on to another FIT-Connect service, as a sender: announce, upload, submit (Submission API, version 2).

The contents are sealed for the receiver's key already, so the JWEs go through unchanged. What was announced and not
submitted is deleted by the other side after a day. An attempt whose answer to *submit* was lost is completed under the
same submission id as long as this process lives; after a restart a repeat is announced anew and says so in its note.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from hub.client.fit_connect import Sender
from hub.client.session import Session
from hub.client.transport import Request, Response, Transport
from hub.errors import HubError, Unavailable
from hub.model import Adapter, DeadCause, Outcome, OutcomeKind, Package, Service
from hub.model.adapter import ADDRESS, PLAIN, MixedUp, checked, not_readable, read_options, read_secret, unusable, whole
from hub.transport.connection import Line
from hub.transport.http import Answer, Silence, client_tls, judge, pieces, request, require_address, require_timeout
from hub.transport.oauth import NoToken, OAuthTokens, by_secret

_ANSWER_LIMIT = 64 * 1024
_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConnectOptions:
    """``submission_api``: base address without version; ``destination_id``: the receiver's id over there.

    ``timeout``: seconds for a whole attempt. The two permissions are for tests and for services in the hub's own network.
    """

    submission_api: str
    token_url: str
    client_id: str = field(metadata=PLAIN)
    client_secret_file: str
    destination_id: str = field(metadata=PLAIN)
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    timeout: float = field(default=120.0, metadata=PLAIN)
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for option, address in (("submission_api", self.submission_api), ("token_url", self.token_url)):
            require_address("fit_connect", option, address, allow_http=self.allow_http)
        require_timeout("fit_connect", self.timeout, 3600)  # An hour for large attachments on a slow line.
        try:
            UUID(self.destination_id)
        except ValueError as exc:
            raise unusable(
                "fit_connect", "braucht in destination_id eine UUID", "needs a UUID in destination_id"
            ) from exc


class FitConnect:
    """Deliver to a destination of another FIT-Connect service."""

    name = "fit_connect"
    options = FitConnectOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, FitConnectOptions, config)
        self._lock = threading.Lock()
        self._open_ends: OrderedDict[UUID, UUID] = OrderedDict()

    def open(self) -> None:
        """Read the secret and the certificate; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        secret = read_secret(self.name, "client_secret_file", options.client_secret_file)
        self._tokens = OAuthTokens(options.token_url, by_secret(options.client_id, secret))
        self._tls = client_tls(self.name, options.ca_file)

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                token = self._tokens.get(line, self._tls)
                outcome = self._send(self._sender(line, token), package)
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)
            except NoToken as refusal:
                return refusal.outcome
            except _Stopped as stopped:
                outcome = stopped.outcome
        if outcome.note == f"HTTP {HTTPStatus.UNAUTHORIZED}":
            self._tokens.forget()
        return outcome

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _sender(self, line: Line, token: str) -> Sender:
        """Return the client of one attempt."""
        transport = _Dialled(partial(request, line, self._tls))
        session = Session(self._options.submission_api, transport=transport, tokens=_Fetched(token))
        return Sender(session, issuers=frozenset())

    def _send(self, sender: Sender, package: Package) -> Outcome:
        contents = package.submission.contents
        metadata = whole(package, contents.metadata).decode("ascii")
        data = None if contents.data is None else whole(package, contents.data).decode("ascii")
        with self._lock:
            begun = self._open_ends.get(package.delivery_id)
        submission_id = begun or self._prepare(sender, package)
        try:
            sender.submit(submission_id, metadata=metadata, data=data)
            outcome = Outcome(kind=OutcomeKind.DELIVERED, note=f"submitted as {submission_id}")
        except _Judged as judged:
            outcome = judged.outcome
        except Silence as silence:
            outcome = silence.outcome()
        self._remember(package.delivery_id, submission_id, outcome)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return outcome
        doubt = ", possibly for the second time" if begun is None and package.repeat else ""
        return replace(outcome, note=outcome.note + doubt)

    def _prepare(self, sender: Sender, package: Package) -> UUID:
        """Announce and upload; return the submission's id over there."""
        submission, attachments = package.submission, package.submission.contents.attachments
        with _before_the_last(announcing=True):
            try:
                announced = sender.announce(
                    UUID(self._options.destination_id),
                    list(attachments),
                    service=Service(identifier=submission.service.identifier, name=submission.service.name),
                    region=f"DE{submission.area}" if submission.area else None,
                )
            except HubError as exc:
                raise _Stopped(_later("announcement answered without a submission id")) from exc
        for attachment_id, sealed in attachments.items():
            with _before_the_last():
                content = partial(checked, package, sealed)
                sender.upload(announced.message_id, attachment_id, content, length=sealed.size)
        return announced.message_id

    def _remember(self, delivery_id: UUID, submission_id: UUID, outcome: Outcome) -> None:
        """Keep under which id a submit went out that may need another: the same once more is answered, not repeated."""
        missing = outcome.note == f"HTTP {HTTPStatus.NOT_FOUND}"  # Deleted over there, as incomplete for too long.
        with self._lock:
            self._open_ends.pop(delivery_id, None)
            if outcome.kind in {OutcomeKind.UNKNOWN, OutcomeKind.UNREACHABLE} and not missing:
                self._open_ends[delivery_id] = submission_id
            if len(self._open_ends) > _REMEMBERED:
                self._open_ends.popitem(last=False)


class _Stopped(Exception):  # Never leaves this file.
    """A step before the last did not succeed; the other side does not have the submission."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


class _Judged(Exception):  # Never leaves this file.
    """The other side answered, and not with a yes."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


class _Dialled:
    """The client's transport on the hub's one dialler: what an answer means for the delivery is judged here."""

    def __init__(self, send: Callable[..., Answer]) -> None:
        self._send = send

    @contextmanager
    def exchange(self, asked: Request) -> Iterator[Response]:
        content, length = asked.content, asked.length
        if isinstance(content, bytes):
            chunks, length = pieces(content), len(content)
        else:
            chunks = iter(content())
        # A yes counts although its body is huge or slow: only what an announcement is answered is read.
        limit = _ANSWER_LIMIT if asked.method == "POST" else 0
        answer = self._send(asked.method, asked.url, asked.headers, chunks, length=length, answer_limit=limit)
        outcome = judge(answer, datetime.now(UTC))
        if outcome.kind is not OutcomeKind.DELIVERED:
            raise _Judged(outcome)
        yield Response(status=answer.status, headers={}, chunks=iter([answer.body]))


class _Fetched:
    """The token of one attempt, as the client asks for it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get(self, _transport: Transport) -> str:
        return self._token

    def forget(self) -> None:
        """Nothing: an attempt ends with an answer that is no yes."""


@contextmanager
def _before_the_last(*, announcing: bool = False) -> Iterator[None]:
    """Make a request before the last: whatever comes of it, the other side does not have the submission."""
    try:
        yield
    except Silence as silence:
        raise _Stopped(_later(silence.note, silence.cause)) from silence
    except _Judged as judged:
        outcome = judged.outcome
        if outcome.kind is OutcomeKind.UNKNOWN:
            raise _Stopped(_later(outcome.note)) from judged
        if outcome.cause is DeadCause.PAYLOAD and announcing:  # Before any content: what is wrong are options.
            raise _Stopped(_later(outcome.note, DeadCause.CONFIGURATION)) from judged
        raise _Stopped(outcome) from judged


def _later(note: str, cause: DeadCause | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause)


_: type[Adapter] = FitConnect
