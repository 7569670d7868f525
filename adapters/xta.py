"""Hand submissions to an XTA 2.1.1 server, as an author: one message each, its contents streamed as MTOM parts.

The message is the delivery's manifest, as folders have it, and the sealed contents are its attachments. The message's id is
one for all attempts, from each node and after each restart: it follows from the delivery's (``message_id_prefix``), or the
server makes it (``createMessageId``), and it is kept with the delivery before anything is sent. Before a repeat the server is
asked for the transport report, and an id that is taken counts as delivered.

What the server's report says (open, green, yellow, red) stands in the attempt's note, and the report is kept as its proof.
Refusals are told apart by the exception in the fault: wrong account or parameters are settings, schema and virus are the
payload, technical problems pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hub.errors import Unavailable
from hub.model import Adapter, DeadCause, Outcome, OutcomeKind, Package
from hub.model.adapter import (
    ADDRESS,
    MANIFEST,
    PLAIN,
    MixedUp,
    checked,
    file_name,
    manifest,
    not_readable,
    read_options,
    require,
    require_envelope,
    require_readable,
)
from hub.soap import xta
from hub.transport.connection import Line
from hub.transport.http import Answer, Silence, client_tls, judge, request, require_address, require_timeout

_SHORT = re.compile(r"[^\x00-\x20\x7f<>](?:[^\x00-\x1f\x7f]{0,198}[^\x00-\x20\x7f<>])?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,198}")
_CONFIGURATION, _PAYLOAD = DeadCause.CONFIGURATION, DeadCause.PAYLOAD
#: What XTA's exceptions mean for a delivery; whatever else a fault holds counts by the status of HTTP.
_MEANINGS: Mapping[str, tuple[OutcomeKind, DeadCause | None]] = {
    "PermissionDenied": (OutcomeKind.UNREACHABLE, _CONFIGURATION),
    "ParameterIsNotValid": (OutcomeKind.REFUSED, _CONFIGURATION),
    "SyncAsync": (OutcomeKind.REFUSED, _CONFIGURATION),
    "MessageSchemaViolation": (OutcomeKind.REFUSED, _PAYLOAD),
    "MessageVirusDetection": (OutcomeKind.REFUSED, _PAYLOAD),
    "XTAWSTechnicalProblem": (OutcomeKind.UNREACHABLE, None),
}
_RED = 3
_COLOURS = ("open", "green", "yellow", "red")


@dataclass(frozen=True, kw_only=True, slots=True)
class XtaOptions:
    """``send_url``, ``management_url``: addresses of ``sendPort`` and ``managementPort``; who is known by a client certificate.

    ``author`` and ``reader`` are identifiers of the list that ``…_type`` names. ``service``, unless set, is the case's own.
    ``ask_first`` asks before each attempt whether the account is active and the reader takes the service. ``timeout``: seconds
    for a whole attempt. The two permissions are for tests and for servers in the hub's own network.
    """

    send_url: str
    management_url: str
    client_cert_file: str
    client_key_file: str | None = None
    ca_file: str | None = field(default=None, metadata=ADDRESS)
    author: str = field(metadata=PLAIN)
    author_type: str = field(default="xoev", metadata=PLAIN)
    author_category: str = field(default="", metadata=PLAIN)
    reader: str
    reader_type: str = field(default="xoev", metadata=ADDRESS)
    reader_category: str = field(default="", metadata=PLAIN)
    service: str = field(default="", metadata=PLAIN)
    scenario: str = field(metadata=PLAIN)
    scenario_list: str = field(default="", metadata=PLAIN)
    scenario_version: str = field(default="", metadata=PLAIN)
    message_type: str = field(metadata=PLAIN)
    message_type_list: str = field(metadata=PLAIN)
    message_type_version: str = field(metadata=PLAIN)
    payload_schema: str = field(metadata=PLAIN)
    message_id_prefix: str = field(default="", metadata=PLAIN)
    ask_first: bool = field(default=False, metadata=PLAIN)
    timeout: float = field(default=300.0, metadata=PLAIN)
    envelope: int = field(default=1, metadata=PLAIN)
    readable: str = field(default="", metadata=PLAIN)
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for option, address in (("send_url", self.send_url), ("management_url", self.management_url)):
            require_address("xta", option, address, allow_http=self.allow_http)
        require_timeout("xta", self.timeout, 3600)  # An hour for large attachments on a slow line.
        require_envelope("xta", self.envelope)
        require_readable("xta", self.readable)
        for option in ("author", "author_type", "reader", "reader_type", "scenario", "message_type"):
            _require_form(option, getattr(self, option), _SHORT, "eine kurze Zeile", "one short line")
        for option in ("author_category", "reader_category", "scenario_version", "message_type_version"):
            _require_form(option, getattr(self, option) or "-", _SHORT, "eine kurze Zeile", "one short line")
        for option in ("service", "scenario_list"):
            _require_form(option, getattr(self, option) or "urn:x", _URI, "eine URI", "a URI")
        for option in ("message_type_list", "payload_schema"):
            _require_form(option, getattr(self, option), _URI, "eine URI", "a URI")
        listed = bool(self.scenario_list) == bool(self.scenario_version)
        both = "scenario_list, scenario_version"
        require("xta", listed, f"braucht {both} zusammen", f"needs {both} together")
        known = not self.message_id_prefix or xta.is_message_id(f"{self.message_id_prefix}{UUID(int=0)}")
        wanted = "urn:de:xta:messageid:NAME:"
        require(
            "xta",
            known,
            f"braucht in message_id_prefix einen URN wie {wanted}",
            f"needs a URN like {wanted} in message_id_prefix",
        )


def _require_form(option: str, value: str, form: re.Pattern[str], de: str, en: str) -> None:
    require("xta", form.fullmatch(value), f"braucht in {option} {de}", f"needs {en} in {option}")


class Xta:
    """Deliver as messages of XTA."""

    name = "xta"
    options = XtaOptions

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._options = options = read_options(self.name, XtaOptions, config)
        self._author = xta.Party(identifier=options.author, kind=options.author_type, category=options.author_category)
        self._reader = xta.Party(identifier=options.reader, kind=options.reader_type, category=options.reader_category)

    def open(self) -> None:
        """Read certificate, key and authorities; ``ConfigurationError`` if they cannot be used."""
        options = self._options
        self._tls = client_tls(
            self.name, options.ca_file, certificate=options.client_cert_file, key=options.client_key_file
        )

    def deliver(self, package: Package) -> Outcome:
        """Make one attempt."""
        options = self._options
        with Line(timeout=options.timeout, public_only=not options.allow_private_addresses) as line:
            try:
                return self._send(line, package)
            except (MixedUp, Unavailable) as exc:
                return not_readable(exc)
            except _Stopped as stopped:
                return stopped.outcome

    def close(self) -> None:
        """Hold no connection between attempts."""

    def _send(self, line: Line, package: Package) -> Outcome:
        if self._options.ask_first:
            self._ask_first(line, package)
        begun = self._begun(package)
        if begun is not None and package.repeat:
            known = self._report(line, begun)
            if known is not None:
                return _delivered(f"was already there as {begun}", known)
        message_id = begun or self._new_id(line)
        _keep(package, message_id)
        asked = xta.send_message(self._options.send_url, self._message(message_id, package), self._parts(package))
        try:
            answer = self._request(line, self._options.send_url, asked, answer_limit=0)
        except Silence as silence:
            return silence.outcome()
        outcome = _judged(answer, message_id)
        if outcome.kind is OutcomeKind.REFUSED:
            self._let_go(package)
        if outcome.kind is not OutcomeKind.DELIVERED:
            return outcome
        return _delivered(outcome.note, self._proof(line, message_id))

    def _ask_first(self, line: Line, package: Package) -> None:
        """Stop an attempt whose account or service the server does not have, before any content is sent."""
        url = self._options.management_url
        self._before(line, xta.check_account(url, self._author))
        answer = self._before(line, xta.look_up_service(url, self._author, self._reader, self._service(package)))
        try:
            available = xta.read_availability(answer.body)
        except xta.Unreadable:
            available = True  # It answered yes to the question; what it cannot tell, sending will.
        if not available:
            raise _Stopped(_later("XTA: the reader does not take the service", _CONFIGURATION))

    def _new_id(self, line: Line) -> str:
        """Have the server make an id."""
        answer = self._before(line, xta.create_message_id(self._options.management_url, self._author))
        try:
            return xta.read_message_id(answer.body)
        except xta.Unreadable as exc:
            raise _Stopped(_later("XTA: answered without a message id")) from exc

    def _begun(self, package: Package) -> str | None:
        """Return the id that goes with a delivery, if one does already: the kept one, whatever the prefix is by now."""
        if package.known_as is not None and xta.is_message_id(package.known_as):
            return package.known_as
        prefix = self._options.message_id_prefix
        return f"{prefix}{package.delivery_id}" if prefix else None

    def _let_go(self, package: Package) -> None:
        """Forget the id of a message that was refused: whoever sends it again after a change makes a new message of it."""
        if self._options.message_id_prefix:
            return
        with suppress(Unavailable):  # Then the next one goes under the same id, which is no harm.
            package.keep(None)

    def _report(self, line: Line, message_id: str) -> xta.TransportReport | None:
        """Return the report of a message that may be there; None where the server does not know it."""
        asked = xta.transport_report(self._options.management_url, self._author, message_id)
        try:
            answer = self._before(line, asked)
        except _Stopped as stopped:
            if stopped.fault == "InvalidMessageID":
                return None
            raise
        try:
            report = xta.read_report(answer.body)
        except xta.Unreadable:
            return None
        # A server that has no such message may say so by a report about nothing.
        return report if report.message_id == message_id else None

    def _proof(self, line: Line, message_id: str) -> xta.TransportReport | None:
        """Return the report of a message that was taken; None where none is to be had now: it was taken all the same."""
        try:
            return self._report(line, message_id)
        except _Stopped:
            return None

    def _before(self, line: Line, asked: xta.XtaRequest) -> Answer:
        """Make a request before the last: whatever comes of it, nothing was sent.

        Raises:
            _Stopped: the answer is no yes.
        """
        try:
            answer = self._request(line, self._options.management_url, asked, answer_limit=xta.ANSWER_LIMIT)
        except Silence as silence:
            raise _Stopped(_later(silence.note, silence.cause)) from silence
        fault = xta.read_fault(answer.body)
        outcome = _judged(answer, "")
        if outcome.kind is OutcomeKind.DELIVERED and fault is None:
            return answer
        # Before any content: what is wrong is no payload, and what is unknown was not delivered.
        cause = _CONFIGURATION if outcome.cause is _PAYLOAD else outcome.cause
        raise _Stopped(_later(outcome.note, cause), fault="" if fault is None else fault.name)

    def _request(self, line: Line, url: str, asked: xta.XtaRequest, *, answer_limit: int) -> Answer:
        return request(
            line,
            self._tls,
            "POST",
            url,
            asked.headers,
            asked.content,
            length=asked.length,
            answer_limit=answer_limit,
            fault_limit=xta.ANSWER_LIMIT,
        )

    def _service(self, package: Package) -> str:
        return self._options.service or package.submission.service.identifier

    def _message(self, message_id: str, package: Package) -> xta.XtaMessage:
        options = self._options
        return xta.XtaMessage(
            message_id=message_id,
            author=self._author,
            reader=self._reader,
            service=self._service(package),
            scenario=xta.XtaCode(
                code=options.scenario, list_uri=options.scenario_list, list_version=options.scenario_version
            ),
            message_type=xta.XtaCode(
                code=options.message_type,
                list_uri=options.message_type_list,
                list_version=options.message_type_version,
            ),
            payload_schema=options.payload_schema,
            initial_send=package.submission.submitted_at,
        )

    def _parts(self, package: Package) -> list[xta.XtaPart]:
        """Return the manifest and the sealed contents, each read when it is its turn."""
        contents = package.submission.contents
        first = manifest(package, version=self._options.envelope)
        head = xta.XtaPart(name=MANIFEST, media_type="application/json", size=len(first), chunks=[first])
        return [head] + [
            xta.XtaPart(
                name=file_name(part, form=contents.form),
                media_type="application/jose",
                size=sealed.size,
                chunks=checked(package, sealed),
            )
            for part, sealed in contents.parts()
        ]


class _Stopped(Exception):  # Never leaves this file.
    """A step before the last did not succeed; the other side does not have the message. ``fault``: the exception's name."""

    def __init__(self, outcome: Outcome, *, fault: str = "") -> None:
        super().__init__(outcome.note)
        self.outcome = outcome
        self.fault = fault


def _keep(package: Package, message_id: str) -> None:
    """Keep the id before it is used, unless it is kept already.

    Raises:
        _Stopped: it cannot be kept; nothing was sent.
    """
    if package.known_as == message_id:
        return
    try:
        package.keep(message_id)
    except Unavailable as exc:
        raise _Stopped(_later(f"not attempted: the message id cannot be kept: {exc.slug}", DeadCause.HUB)) from exc


def _judged(answer: Answer, message_id: str) -> Outcome:
    """Say what an answer means: a business exception by its name and number, everything else by the status of HTTP."""
    by_status = judge(answer, datetime.now(UTC))
    if by_status.kind is OutcomeKind.DELIVERED:
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"submitted as {message_id}")
    fault = xta.read_fault(answer.body)
    if fault is None or fault.name not in _MEANINGS:
        return by_status
    if fault.code == xta.ID_TAKEN:  # The id is this delivery's own: an earlier attempt arrived.
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"was already there as {message_id}")
    kind, cause = _MEANINGS[fault.name]
    if fault.code == xta.TOO_LARGE:
        cause = _PAYLOAD
    wish = by_status.retry_after if kind is OutcomeKind.UNREACHABLE else None
    return Outcome(kind=kind, note=f"XTA: {fault.name} {fault.code}".rstrip(), retry_after=wish, cause=cause)


def _delivered(note: str, report: xta.TransportReport | None) -> Outcome:
    """Return what a taken message comes to, with what its report says of it."""
    if report is None:
        return Outcome(kind=OutcomeKind.DELIVERED, note=f"{note}, no report yet")
    said = f"{note}, report {_COLOURS[report.status]} at {report.reported_at.isoformat(timespec='seconds')}"
    if report.status == _RED:
        return Outcome(kind=OutcomeKind.REFUSED, note=f"XTA: {said}", cause=DeadCause.RECEIVER, proof=report.document)
    return Outcome(kind=OutcomeKind.DELIVERED, note=said, proof=report.document)


def _later(note: str, cause: DeadCause | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause)


_: type[Adapter] = Xta
