"""Mail that something happened, and nothing else: to people who asked for it and confirmed that the address is theirs.

A mail says that there is news or that a saved application ends soon, and where to look; no name, no service, no reference.
Nobody is mailed who has not confirmed (double opt-in), apart from the one mail that asks; an address is asked three times a day
at most, whoever enters it. Each mail has a link that ends it.

What is to be mailed waits in the database, so a restart loses nothing, and is sealed under a key that lies in a file of its
own (``mail.key`` in the storage's folder): the database alone tells neither addresses nor applications. Several portals on one
database each send what they took on; with the same file they share it. A row goes from *asking* (its mail is to be sent) to
*asked* (it was; the person confirms or not) to *watching* or *reminding*; *telling* is a mail that waits.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import smtplib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from hub.client.cases import OwnCases
from hub.crypto import symmetric
from hub.errors import ConfigurationError, HubError, Invalid, Overloaded, SealBroken, Text
from hub.files import vault
from hub.portal.codes import GuessBounds, Guesses
from hub.portal.database import mails, micros
from hub.portal.frame import Portal
from hub.portal.moments import day
from hub.web.neighbours import neighbourhood

PAGE = "/benachrichtigung"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=[^@]{4,190}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
#: Rows of all kinds; beyond, nobody new is taken on.
_MOST_ROWS = 200_000
#: Requests a day: for one mail address whoever asks, and from one network address.
_BY_MAIL, _BY_ADDRESS, _DAY = 3, 20, timedelta(days=1)
#: How long somebody may take to confirm.
_CONFIRM = timedelta(days=2)
#: How often one looks whether something happened, and for how long.
_LOOK, _WATCHED = timedelta(minutes=20), timedelta(days=365)
#: Before a saved application ends.
_BEFORE = timedelta(days=3)
#: Longer than a mail takes: another node does not take it meanwhile.
_LEASE = timedelta(minutes=5)
_BATCH = 20
_PAUSE = 10.0
_SMTP_SECONDS = 30.0
_LONGEST_WAIT = timedelta(hours=6)
_KEY_FILE, _LONGEST_SECRET = "mail.key", 1024
_log = logging.getLogger(__name__)


class MailKind(StrEnum):
    """What a row waits for."""

    #: The mail that asks for confirmation is to be sent.
    ASKING = "asking"
    #: Somebody has to confirm.
    ASKED = "asked"
    #: One looks whether something happened to an application.
    WATCHING = "watching"
    #: A saved application ends; its person is told before.
    REMINDING = "reminding"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What a row holds, sealed.

    ``token`` stands in links; ``text`` begins the keys of its next mail's words; ``seen`` is what was known of the application
    when one looked last; ``day`` is when a saved one ends.
    """

    to: str = field(repr=False)
    language: str
    token: str = field(repr=False)
    text: str
    submission_id: str = ""
    case_id: str = ""
    seen: str = ""
    day: str = ""

    def content(self) -> bytes:
        """Return it as it is stored, before it is sealed."""
        return orjson.dumps({name: getattr(self, name) for name in self.__slots__})


class MailNotices:
    """Takes on who wants to be told, and tells them. ``send`` hands over one mail; ``OSError`` where it could not."""

    def __init__(self, portal: Portal, *, send: Callable[[EmailMessage], None] | None = None) -> None:
        self._portal = portal
        self._database = portal.storage.database
        self._key = _own_key(portal.settings.storage.folder)
        self._kid = hashlib.sha256(b"kid" + self._key).hexdigest()[:16]
        self._send = _sender(portal) if send is None else send
        self._asked = Guesses(self._database, GuessBounds(window=_DAY))

    def watch(self, to: str, language: str, case: tuple[str, str], *, address: str, now: datetime) -> str:
        """Ask whether ``to`` wants to hear of an application (``case``: ids of submission and case); return its token.

        Raises:
            Invalid: it is no mail address. TooMany: it was asked too often. Overloaded: there are too many.
        """
        return self._ask(
            Subscription(
                to=to,
                language=language,
                token=_token(),
                text="mail.ask-watch.",
                submission_id=case[0],
                case_id=case[1],
            ),
            MailKind.WATCHING,
            address=address,
            now=now,
            then_at=now,
            ends=now + _WATCHED,
        )

    def remind(self, to: str, language: str, ends: datetime, *, address: str, now: datetime) -> str:
        """Ask whether ``to`` wants to hear before what was saved ends; token and errors as :meth:`watch`."""
        return self._ask(
            Subscription(to=to, language=language, token=_token(), text="mail.ask-remind.", day=ends.isoformat()),
            MailKind.REMINDING,
            address=address,
            now=now,
            then_at=max(now, ends - _BEFORE),
            ends=ends,
        )

    def confirm(self, token: str, now: datetime) -> bool:
        """Take somebody's word that the address is theirs; False where the link is none, or none any more. Twice is once."""
        with self._database.writing() as connection:
            row = _of(connection, token, now)
            if row is None:
                return False
            if row.kind == MailKind.ASKED:
                values = {"kind": row.then_kind, "due_at": row.then_at, "attempts": 0}
                connection.execute(update(mails).where(mails.c.id == row.id).values(values))
        return True

    def end(self, token: str, now: datetime) -> None:
        """Forget a subscription."""
        with self._database.writing() as connection:
            row = _of(connection, token, now)
            if row is not None:
                connection.execute(delete(mails).where(mails.c.id == row.id))

    def run_once(self, now: datetime) -> int:
        """Do what is due: send mails, look after applications. Return how many rows were taken up."""
        with self._database.writing() as connection:
            connection.execute(delete(mails).where(mails.c.ends_at <= micros(now)))
            rows = connection.execute(self._due(now)).all()
            held = update(mails).where(mails.c.id.in_([row.id for row in rows]))
            connection.execute(held.values(due_at=micros(now + _LEASE), attempts=mails.c.attempts + 1))
        for row in rows:
            try:
                self._attend(row, now)
            except SealBroken:
                _log.exception("a row of the mails that wait cannot be opened and is left out")
                self._forget(row)
            except (HubError, OSError, smtplib.SMTPException) as error:
                # Neither address nor words of a server stand in the log.
                _log.warning("mail not sent, or application not looked up: %s; again later", type(error).__name__)
                self._change(row, due=now + min(_LEASE * 2 ** min(row.attempts, 8), _LONGEST_WAIT))
        return len(rows)

    def _due(self, now: datetime) -> Any:
        mine = (mails.c.kid == self._kid) & (mails.c.due_at <= micros(now))
        found = select(mails).where(mine).order_by(mails.c.due_at).limit(_BATCH)
        return found.with_for_update(skip_locked=True)

    def _attend(self, row: Row[Any], now: datetime) -> None:
        kept = self._opened(row)
        if row.kind == MailKind.ASKING:
            self._post(kept, now)
            self._change(row, kind=MailKind.ASKED, due=now + _CONFIRM)
        elif row.kind == MailKind.WATCHING:
            self._look(row, kept, now)
        elif row.kind == MailKind.REMINDING:
            self._post(replace(kept, text="mail.remind."), now)
            self._forget(row)
        else:  # Nobody confirmed in time.
            self._forget(row)

    def _look(self, row: Row[Any], kept: Subscription, now: datetime) -> None:
        """Look whether something happened to an application; tell, then note what is known: a mail may come twice."""
        progress = self._portal.doors.status(UUID(kept.submission_id))
        case = OwnCases(self._portal.doors.session).show(UUID(kept.case_id))
        seen = f"{progress.state.value} {len(case.replies)}"
        if kept.seen and seen != kept.seen:
            self._post(replace(kept, text="mail.news."), now)
        self._change(row, kept=replace(kept, seen=seen), due=now + _LOOK)

    def _ask(
        self, wanted: Subscription, then: MailKind, *, address: str, now: datetime, then_at: datetime, ends: datetime
    ) -> str:
        if not is_mail_address(wanted.to):
            raise Invalid(self._portal.texts.text("mail.fault"))
        self._asked.count(
            {("mail", wanted.to.casefold()): _BY_MAIL, ("mailer", neighbourhood(address)): _BY_ADDRESS}, now
        )
        row_id = _id(wanted.token)
        with self._database.writing() as connection:
            if connection.execute(select(func.count()).select_from(mails)).scalar_one() >= _MOST_ROWS:
                raise Overloaded(self._portal.texts.text("mail.full"), for_people=True)
            connection.execute(
                insert(mails).values(
                    id=row_id,
                    kid=self._kid,
                    kind=MailKind.ASKING.value,
                    then_kind=then.value,
                    attempts=0,
                    due_at=micros(now),
                    then_at=micros(then_at),
                    ends_at=micros(ends),
                    content=symmetric.seal(self._key, wanted.content(), bound=_bound(row_id)),
                )
            )
        return wanted.token

    def _opened(self, row: Row[Any]) -> Subscription:
        return Subscription(**orjson.loads(symmetric.unseal(self._key, row.content, bound=_bound(row.id))))

    def _change(
        self, row: Row[Any], *, due: datetime, kind: MailKind | None = None, kept: Subscription | None = None
    ) -> None:
        values: dict[str, Any] = {"due_at": micros(due)}
        if kind is not None or kept is not None:
            values["attempts"] = 0
        if kind is not None:
            values["kind"] = kind.value
        if kept is not None:
            values["content"] = symmetric.seal(self._key, kept.content(), bound=_bound(row.id))
        with self._database.writing() as connection:
            connection.execute(update(mails).where(mails.c.id == row.id).values(values))

    def _forget(self, row: Row[Any]) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(mails).where(mails.c.id == row.id))

    def _post(self, kept: Subscription, now: datetime) -> None:
        texts, url = self._portal.texts, self._portal.settings.public_url
        name = next(iter(self._portal.settings.looks.values())).name
        day_shown = day(datetime.fromisoformat(kept.day), kept.language) if kept.day else ""
        filled = {"portal": name, "link": f"{url}{PAGE}/{kept.token}", "address": url, "day": day_shown}
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = self._portal.settings.mail.sender, kept.to  # type: ignore[union-attr]  # as composed
        mail["Date"], mail["Message-ID"] = format_datetime(now), make_msgid(domain="portal.invalid")
        mail["Subject"] = texts.say(f"{kept.text}subject", kept.language, **filled)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(texts.say(f"{kept.text}body", kept.language, **filled))
        self._send(mail)


def notices_of(portal: Portal) -> MailNotices | None:
    """Return what tells people by mail; None where the portal has no mail server."""
    return None if portal.settings.mail is None else MailNotices(portal)


def mailing(
    notices: MailNotices, clock: Callable[[], datetime], *, pause: float = _PAUSE
) -> Callable[[threading.Event], None]:
    """Return the loop that does what is due."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(pause):
            while notices.run_once(clock()) == _BATCH and not stop.is_set():
                pass

    return run


def is_mail_address(text: str) -> bool:
    """Tell whether a text is a plain mail address, safe in a header: no name, no comment, ASCII only."""
    return _ADDRESS.fullmatch(text) is not None


def _sender(portal: Portal) -> Callable[[EmailMessage], None]:
    server = portal.settings.mail
    if server is None:
        raise ValueError("no mail server")
    password = "" if server.password_file is None else vault.read_text(server.password_file, most=_LONGEST_SECRET)
    tls = None if server.security == "none" else ssl.create_default_context()

    def send(mail: EmailMessage) -> None:
        if server.security == "tls" and tls is not None:
            talk: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=_SMTP_SECONDS, context=tls)
        else:
            talk = smtplib.SMTP(server.host, server.port, timeout=_SMTP_SECONDS)
        with talk:
            if server.security == "starttls":
                talk.starttls(context=tls)
            if server.user and server.security != "none":
                talk.login(server.user, password)
            talk.send_message(mail)

    return send


def _own_key(folder: Path) -> bytes:
    """Return the key under which what waits is sealed; the first portal of a folder makes it."""
    file = folder / _KEY_FILE
    vault.make_folder(folder)
    with vault.locked(folder):
        try:
            key = vault.read(file, most=symmetric.KEY_SIZE)
        except FileNotFoundError:
            key = secrets.token_bytes(symmetric.KEY_SIZE)
            vault.write(file, key)
    if len(key) != symmetric.KEY_SIZE:
        raise ConfigurationError(
            Text(
                f"{file} ist nicht der Schlüssel, den das Portal geschrieben hat. Löschen Sie die Datei; wer benachrichtigt "
                "werden wollte, muss es neu sagen.",
                f"{file} is not the key that the portal wrote. Delete the file; who wanted to be notified has to say so anew.",
            ),
            file=file.name,
        )
    return key


def _of(connection: Connection, token: str, now: datetime) -> Row[Any] | None:
    if not _TOKEN.fullmatch(token):
        return None
    found = select(mails).where(mails.c.id == _id(token), mails.c.ends_at > micros(now))
    return connection.execute(found.with_for_update()).first()


def _token() -> str:
    return secrets.token_urlsafe(32)


def _id(token: str) -> str:
    return hashlib.sha256(b"mail\0" + token.encode("ascii")).hexdigest()


def _bound(row_id: str) -> tuple[bytes, ...]:
    return b"mail", row_id.encode("ascii")
