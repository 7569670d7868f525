"""Mailing notices: SMTP with STARTTLS, each mail at least once, under a lease and a stable Message-ID."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.model.submission import OutcomeKind
from hub.notifications.letter import letter
from hub.notifications.outbox import SCHEDULE, Carried, Courier
from hub.store import NoticeClaim, Store, Tried
from hub.transport.addresses import host_fault
from hub.transport.connection import Line
from hub.transport.smtp import Envelope, Login, post

_log = logging.getLogger(__name__)
_BATCH = 8
#: Seconds for one mail, and how long it is leased: longer than that.
_TIMEOUT = 60.0
_LEASE = timedelta(minutes=3)
_LONGEST_PASSWORD = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class MailServer:
    """The operator's mail server. ``tls`` None means a connection in the clear, and then no login.

    ``sender`` is the address that notices come from.
    """

    host: str
    port: int
    sender: str
    tls: ssl.SSLContext | None = field(repr=False)
    login: Login | None

    @classmethod
    def from_files(
        cls, *, host: str, port: int, sender: str, starttls: bool, user: str, password_file: str, ca_file: str
    ) -> Self:
        """Read password and certificates.

        Raises:
            ConfigurationError: one of the files cannot be used.
        """
        if host_fault(host) is not None:
            raise _unusable_host()
        login = Login(user=user, password=_password(Path(password_file))) if user else None
        return cls(host=host, port=port, sender=sender, tls=_tls(ca_file) if starttls else None, login=login)


class Postman(Courier[NoticeClaim]):
    """Mails the notices of the outbox."""

    carries = "notice"
    pause = 5.0

    def __init__(
        self, *, store: Store, server: MailServer, base_url: str, node: str, clock: Callable[[], datetime]
    ) -> None:
        super().__init__(clock=clock, schedule=SCHEDULE, slots=_BATCH)
        self._store = store
        self._server = server
        self._base_url = base_url
        self._node = node

    def claim(self, now: datetime, *, room: int) -> Sequence[NoticeClaim]:
        """Lease what is due."""
        return self._store.claim_notices(now, lease=_LEASE, node=self._node, limit=room)

    def carry(self, claim: NoticeClaim) -> Carried:
        """Hand one mail to the server. No answer at its end means that it may have been taken: it is sent again."""
        server = self._server
        mail = letter(claim.notice, sender=server.sender, base_url=self._base_url)
        envelope = Envelope(sender=server.sender, recipient=claim.notice.recipient, mail=mail.as_bytes())
        # The server is the operator's own choice, so it may lie in a private network.
        with Line(timeout=_TIMEOUT, public_only=False) as line:
            outcome = post(line, server.tls, (server.host, server.port), server.login, envelope)
        return Carried(taken=outcome.kind is OutcomeKind.DELIVERED, note=outcome.note)

    def record(self, claim: NoticeClaim, carried: Carried, *, again: datetime | None, now: datetime) -> None:
        """Record an attempt. A mail that was given up is told of by the log and the pages: nobody is mailed about mails."""
        tried = Tried(sent=carried.taken, next_attempt_at=again, note=carried.note, now=now)
        if self._store.record_notice(claim, tried) and not carried.taken:
            level = logging.WARNING if tried.given_up else logging.INFO
            fate = "given up" if tried.given_up else "again later"
            _log.log(level, "notice %s: %s, %s", claim.notice.notice_id, carried.note, fate)


def _password(file: Path) -> str:
    try:
        password = vault.read_text(file, most=_LONGEST_PASSWORD)
    except (OSError, UnicodeDecodeError) as exc:
        raise _unusable("smtp_password_file") from exc
    if not password or not password.isascii() or not password.isprintable():
        raise _unusable("smtp_password_file")
    return password


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as exc:  # ssl.SSLError is one.
        raise _unusable("smtp_ca_file") from exc


def _unusable_host() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Die Einstellung smtp_host nennt keinen Server, den es geben kann. Tragen Sie seinen Namen oder seine Adresse ein.",
            "Setting smtp_host names no server that can exist. Give its name or its address.",
        )
    )


def _unusable(setting: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Datei der Einstellung {setting} ist nicht zu verwenden. Sie muss lesbar sein und das Genannte enthalten.",
            f"The file of setting {setting} cannot be used. It must be readable and hold what its name says.",
        )
    )
