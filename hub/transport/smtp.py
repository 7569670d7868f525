"""Handing one mail to a server: SMTP (RFC 5321) with STARTTLS (RFC 3207) and a login. There is no login in the clear.

No answer after the end of the mail went out is *unknown*, before that *unreachable*. What the server says is never
repeated, only its reply code.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from hub.model import DeadCause, Outcome, OutcomeKind, reasons
from hub.transport.connection import CONFIGURED, Line, reason_for

#: Bytes that a server may say in one connection.
_CHATTER = 256 * 1024
_CONFIGURATION, _PAYLOAD = DeadCause.CONFIGURATION, DeadCause.PAYLOAD
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_READY, _GO_ON, _TAKEN, _FULL, _LATER, _NEVER = 220, 354, 250, 552, 400, 500


def is_address(text: str) -> bool:
    """Tell whether ``text`` is a plain mail address, safe in an envelope and a header: no name, no comment, ASCII only."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class MailLogin:
    """Who the hub is at the server."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class MailEnvelope:
    """A mail, with CRLF line ends, and its way."""

    sender: str
    recipient: str
    mail: bytes = field(repr=False)


class _Reply(Exception):  # Never leaves this file.
    """The server ended the conversation with a reply."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


def post(
    line: Line, tls: ssl.SSLContext | None, server: tuple[str, int], login: MailLogin | None, envelope: MailEnvelope
) -> Outcome:
    """Hand over one mail and say what came of it. Without ``tls`` it goes in the clear, and nobody logs in."""
    talk = _Talk(line, hello=envelope.sender.partition("@")[2])
    try:
        talk.greet(server, tls)
        if tls is not None and login is not None:
            talk.login_as(login)
        return talk.hand_over(envelope)
    except _Reply as reply:
        return reply.outcome
    except (OSError, smtplib.SMTPException, ValueError) as exc:  # ValueError: replies that smtplib cannot read.
        return talk.silence(exc)
    finally:
        talk.close()


def greet(
    line: Line, tls: ssl.SSLContext | None, server: tuple[str, int], login: MailLogin | None, *, hello: str
) -> Outcome:
    """Do all that comes before a mail, and hand over none: greeting, STARTTLS and login; say what came of it."""
    talk = _Talk(line, hello=hello)
    try:
        talk.greet(server, tls)
        if tls is not None and login is not None:
            talk.login_as(login)
        return Outcome(kind=OutcomeKind.DELIVERED, note="the server is ready to take mails")
    except _Reply as reply:
        return reply.outcome
    except (OSError, smtplib.SMTPException, ValueError) as exc:
        return talk.silence(exc)
    finally:
        talk.close()


class _Talk(smtplib.SMTP):
    """One conversation on a line."""

    def __init__(self, line: Line, *, hello: str) -> None:
        self._line = line
        self.ended = False
        super().__init__(local_hostname=hello)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # smtplib's own hook
        return self._line.dial(host, port)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()

    def greet(self, server: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self._host = server[0]  # The name that the certificate must carry.
        self._require(self.connect(*server)[0], _READY, "greeting", _trouble)
        self._require(self.ehlo()[0], _TAKEN, "EHLO", _trouble)
        if tls is None:
            return
        if not self.has_extn("starttls"):
            raise _Reply(_unreachable(reasons.NO_STARTTLS.note, _CONFIGURATION))
        self._require(self.starttls(context=tls)[0], _READY, "STARTTLS", _trouble)
        self._require(self.ehlo()[0], _TAKEN, "EHLO", _trouble)

    def login_as(self, login: MailLogin) -> None:
        if not self.has_extn("auth"):
            raise _Reply(_unreachable(reasons.NO_LOGIN.note, _CONFIGURATION))
        try:
            self.login(login.user, login.password)
        except smtplib.SMTPAuthenticationError as exc:
            raise _Reply(_trouble(exc.smtp_code, "login")) from exc
        except smtplib.SMTPNotSupportedError as exc:
            raise _Reply(_unreachable(reasons.NO_KNOWN_LOGIN.note, _CONFIGURATION)) from exc

    def hand_over(self, envelope: MailEnvelope) -> Outcome:
        size = [f"SIZE={len(envelope.mail)}"] if self.has_extn("size") else []
        self._require(self.mail(envelope.sender, size)[0], _TAKEN, "MAIL", _address_refused)
        self._require(self.rcpt(envelope.recipient)[0], _TAKEN, "RCPT", _mailbox_refused)
        self._require(self.docmd("DATA")[0], _GO_ON, "DATA", _content_refused)
        # RFC 5321 section 4.5.2: a line that begins with a dot gets another one.
        self.send(re.sub(rb"(?m)^\.", b"..", envelope.mail).rstrip(b"\r\n") + b"\r\n")
        self.ended = True
        self.send(b".\r\n")
        code = self.getreply()[0]
        if code < _TAKEN:  # Nothing that a server may say here.
            raise smtplib.SMTPServerDisconnected
        self._require(code, _TAKEN, "end of mail", _content_refused)
        return Outcome(kind=OutcomeKind.DELIVERED, note="mail taken over by the server")

    def silence(self, exc: Exception) -> Outcome:
        late = self._line.late
        if self.ended:
            note = (reasons.SILENT_IN_TIME if late else reasons.SILENT).note
            return Outcome(kind=OutcomeKind.UNKNOWN, note=note)
        lost = isinstance(exc, smtplib.SMTPServerDisconnected) and not late
        reason = reasons.CONNECTION_LOST if lost else reason_for(exc, late=late)
        return _unreachable(reason.note, _CONFIGURATION if reason in CONFIGURED else None)

    def _require(self, code: int, wanted: int, step: str, refusal: Callable[[int, str], Outcome]) -> None:
        if code == wanted or (wanted == _TAKEN and code // 100 == 2):  # noqa: PLR2004  # SMTP's own numbers
            return
        if code >= _NEVER:
            raise _Reply(refusal(code, step))
        if code >= _LATER:
            raise _Reply(_unreachable(f"SMTP {code} at {step}"))
        raise smtplib.SMTPServerDisconnected


class _Bounded:
    """A server's replies up to a limit: smtplib would gather a reply without end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _CHATTER

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise smtplib.SMTPServerDisconnected
        return line

    def close(self) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _trouble(code: int, step: str) -> Outcome:
    return _unreachable(f"SMTP {code} at {step}", _CONFIGURATION if code >= _NEVER else None)


def _address_refused(code: int, step: str) -> Outcome:
    return _refused(code, step, _PAYLOAD if code == _FULL else _CONFIGURATION)


def _mailbox_refused(code: int, step: str) -> Outcome:
    # 552 here is a mailbox that is full; it empties.
    return _unreachable(f"SMTP {code} at {step}") if code == _FULL else _refused(code, step, _CONFIGURATION)


def _content_refused(code: int, step: str) -> Outcome:
    return _refused(code, step, _PAYLOAD)


def _refused(code: int, step: str, cause: DeadCause) -> Outcome:
    return Outcome(kind=OutcomeKind.REFUSED, note=f"SMTP {code} at {step}", cause=cause)


def _unreachable(note: str, cause: DeadCause | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause)
