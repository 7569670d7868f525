"""Pass submissions on to another FIT-Connect service, as a sender: announce, upload, submit (Submission API, version 2).

The contents are sealed for the receiver's key already, so the JWEs go through unchanged. What was announced and not
submitted is deleted by the other side after a day. An attempt whose answer to *submit* was lost is completed under the
same submission id as long as this process lives; after a restart a repeat is announced anew and says so in its note.
"""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson

from hub.errors import Unavailable
from hub.model.delivery import Adapter
from hub.model.options import ADDRESS, PLAIN, read_options, read_secret, unusable
from hub.model.packaging import MixedUp, checked, completion, not_readable
from hub.model.submission import DeadCause, Outcome, OutcomeKind, Package
from hub.transport.connection import Line
from hub.transport.http import (
    Answer,
    NoToken,
    Silence,
    Tokens,
    by_secret,
    client_tls,
    insist_on_address,
    insist_on_timeout,
    judge,
    pieces,
    request,
)

_ANSWER_LIMIT = 64 * 1024
_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
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
            insist_on_address("fit_connect", option, address, allow_http=self.allow_http)
        insist_on_timeout("fit_connect", self.timeout, 3600)  # An hour for large attachments on a slow line.
        try:
            UUID(self.destination_id)
        except ValueError as exc:
            raise unusable(
                "fit_connect", "braucht in destination_id eine UUID", "needs a UUID in destination_id"
            ) from exc


class FitConnect:
    """Deliver to a destination of another FIT-Connect service."""

    name = "fit_connect"
    options = Options

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = read_options(self.name, Options, config)
        self._lock = threading.Lock()
        self._open_ends: OrderedDict[UUID, str] = OrderedDict()

    def open(self) -> None:
        """Read the secret and the certificate; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        secret = read_secret(self.name, "client_secret_file", options.client_secret_file)
        self._tokens = Tokens(options.token_url, by_secret(options.client_id, secret))
        self._tls = client_tls(self.name, options.ca_file)

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                talk = _Talk(options, line, self._tls, self._tokens.get(line, self._tls))
                outcome = self._send(talk, package)
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

    def _send(self, talk: _Talk, package: Package) -> Outcome:
        body = completion(package)
        with self._lock:
            begun = self._open_ends.get(package.delivery_id)
        submission_id = begun or talk.prepare(package)
        outcome = talk.submit(submission_id, body)
        self._remember(package.delivery_id, submission_id, outcome)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return outcome
        doubt = ", possibly for the second time" if begun is None and package.repeat else ""
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"submitted as {submission_id}{doubt}")

    def _remember(self, delivery_id: UUID, submission_id: str, outcome: Outcome) -> None:
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


class _Talk:
    """The requests of one attempt."""

    def __init__(self, options: Options, line: Line, tls: ssl.SSLContext, token: str) -> None:
        self._base = options.submission_api.rstrip("/") + "/v2/submissions"
        self._destination_id = options.destination_id
        self._line = line
        self._tls = tls
        self._authorization = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def prepare(self, package: Package) -> str:
        """Announce and upload; return the submission's id over there."""
        submission_id = self._announce(package)
        for attachment_id, sealed in package.submission.contents.attachments.items():
            path = f"/{submission_id}/attachments/{attachment_id}"
            self._step("PUT", path, "application/jose", checked(package, sealed), length=sealed.size)
        return submission_id

    def submit(self, submission_id: str, body: bytes) -> Outcome:
        """Complete the submission."""
        try:
            answer = self._ask("PUT", f"/{submission_id}", "application/json", pieces(body), length=len(body))
        except Silence as silence:
            return silence.outcome()
        return judge(answer, datetime.now(UTC))

    def _announce(self, package: Package) -> str:
        submission = package.submission
        document = {
            "destinationId": self._destination_id,
            "announcedAttachments": [str(attachment_id) for attachment_id in submission.contents.attachments],
            "publicService": {"identifier": submission.service.identifier, "name": submission.service.name},
        } | ({"region": f"DE{submission.area}"} if submission.area else {})
        body = orjson.dumps(document)
        answer = self._step("POST", "", "application/json", [body], length=len(body))
        try:
            return str(UUID(orjson.loads(answer.body)["submissionId"]))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise _Stopped(_later("announcement answered without a submission id")) from exc

    def _step(self, method: str, path: str, kind: str, content: Iterable[bytes], *, length: int) -> Answer:
        """Make a request before the last: whatever comes of it, the other side does not have the submission."""
        try:
            answer = self._ask(method, path, kind, content, length=length, limit=_ANSWER_LIMIT)
        except Silence as silence:
            raise _Stopped(_later(silence.note, silence.cause)) from silence
        outcome = judge(answer, datetime.now(UTC))
        if outcome.kind is OutcomeKind.UNKNOWN:
            raise _Stopped(_later(outcome.note))
        if outcome.cause is DeadCause.PAYLOAD and method == "POST":  # Before any content: what is wrong are options.
            raise _Stopped(_later(outcome.note, DeadCause.CONFIGURATION))
        if outcome.kind is not OutcomeKind.DELIVERED:
            raise _Stopped(outcome)
        return answer

    def _ask(
        self, method: str, path: str, kind: str, content: Iterable[bytes], *, length: int, limit: int = 0
    ) -> Answer:
        headers = {**self._authorization, "Content-Type": kind}
        return request(
            self._line, self._tls, method, self._base + path, headers, content, length=length, answer_limit=limit
        )


def _later(note: str, cause: DeadCause | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause)


_: type[Adapter] = FitConnect
