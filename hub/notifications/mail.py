"""Mail to people: who is told of what, in which words, and how it is sent.

Who is told of what.

The words of a notice: German first, English second; ids, numbers and dates, and where to look. No personal data.

Mailing notices: SMTP with STARTTLS, each mail at least once, under a lease and a stable Message-ID.

Mailing links that let somebody in: at once or not at all, for such a link stands in no table.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4, uuid5

from hub.errors import ConfigurationError, Text, UnreadableRow
from hub.files import vault
from hub.model import Destination, OutcomeKind
from hub.model.usage import day_of
from hub.notifications.outbox import SCHEDULE, Carried, OutboxWorker
from hub.store import (
    AuditEntry,
    FindingKind,
    Lagging,
    Notice,
    NoticeClaim,
    NoticeKind,
    OutboxAttempt,
    Store,
    Telling,
    WatchFinding,
)
from hub.transport.addresses import host_fault
from hub.transport.connection import Line
from hub.transport.smtp import MailEnvelope, MailLogin, is_address, post

#: Ids of notices follow from their occasion (RFC 9562, version 5): of two who decide the same, one writes it.
_OCCASIONS = UUID("5c2f0f0e-8f0c-5a1e-9d0b-5f6f6a6d2a41")
_ACTIONS: Mapping[NoticeKind, str] = {
    NoticeKind.UNCOLLECTED: "delivery.uncollected",
    NoticeKind.OVERDUE: "delivery.overdue",
    NoticeKind.GIVEN_UP: "delivery.give-up",
    NoticeKind.CALLBACK_UNREACHABLE: "callback.unreachable",
    NoticeKind.DIGEST: "notice.digest",
}
#: What the hub's operators have to know as well: somebody's system is away.
_FOR_OPERATORS = {NoticeKind.OVERDUE, NoticeKind.GIVEN_UP, NoticeKind.CALLBACK_UNREACHABLE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticeboard:
    """Makes notices. ``mails`` says whether a mail server is set up; ``operators`` is their mail address, or empty.

    The authority is told at the address of its contact information. An online service has none, so its operators are
    told by those of the hub.
    """

    store: Store
    actor: str = "hub"
    mails: bool = False
    operators: str = ""

    def telling(
        self, kind: NoticeKind, party: str, facts: Mapping[str, Any], *, occasion: str, now: datetime
    ) -> Telling:
        """Return what is to be written of one decision about ``party``, the id of a destination or client.

        ``facts`` are ids, numbers and dates. One ``occasion`` gives each recipient one notice, however often it is told.
        """
        about = f"destination:{party}"
        try:
            destination = self._destination(party)
            about = about if destination is not None else f"client:{party}"
        except UnreadableRow:
            # Nobody knows the authority's address any more; the hub's operators are told in its place.
            destination = None
        entry = AuditEntry(at=now, actor=self.actor, action=_ACTIONS[kind], target=about, after=dict(facts))
        notices = tuple(
            Notice(
                notice_id=uuid5(_OCCASIONS, f"{kind} {about} {occasion} {recipient}"),
                kind=kind,
                about=about,
                recipient=recipient,
                facts=dict(facts),
                created_at=now,
            )
            for recipient in self._recipients(kind, destination)
        )
        return Telling(entry=entry, notices=notices)

    def contacts(self, destination_id: str) -> list[str]:
        """Return where a destination's authority is told; nothing where it cannot be mailed."""
        try:
            destination = self._destination(destination_id)
        except UnreadableRow:
            return []
        contact = str(destination.contact.get("email", "")) if destination is not None else ""
        return [contact] if self.mails and is_address(contact) else []

    def digest(self, contact: str, found: Sequence[WatchFinding], *, now: datetime) -> Telling:
        """Return what is to be written of all that lies still for one contact: one notice a day."""
        day = day_of(now).isoformat()
        kinds: dict[str, int] = {}
        for each in found:
            kinds[each.kind.value] = kinds.get(each.kind.value, 0) + each.number
        oldest = min(each.oldest_at for each in found)
        facts = {"points": len(found), "since": day_of(oldest).isoformat(), "kinds": dict(sorted(kinds.items()))}
        about = f"digest:{day}"
        notice = Notice(
            notice_id=uuid5(_OCCASIONS, f"{NoticeKind.DIGEST} {about} {contact}"),
            kind=NoticeKind.DIGEST,
            about=about,
            recipient=contact if self.mails else "",
            facts=facts,
            created_at=now,
        )
        entry = AuditEntry(
            at=now, actor=self.actor, action=_ACTIONS[NoticeKind.DIGEST], target=about, after=dict(facts)
        )
        return Telling(entry=entry, notices=(notice,))

    def tell_of_lag(
        self,
        kind: NoticeKind,
        destination_id: UUID,
        *,
        number: int,
        period: timedelta,
        then: Mapping[str, timedelta],
        now: datetime,
    ) -> int:
        """Give a destination notice ``number`` (from 1) of all that lags for a ``period``; return of how many submissions.

        ``then`` says what follows after how many days. What falls due later that day waits for the next day's notice.
        """

        def make(lag: Lagging) -> Telling:
            facts = {
                "deliveries": lag.number,
                "notice": number,
                "days": period.days,
                "since": lag.oldest_at.date().isoformat(),
                **{name: after.days for name, after in then.items()},
            }
            occasion = f"{number} {now.date().isoformat()}"
            return self.telling(kind, str(destination_id), facts, occasion=occasion, now=now)

        return self.store.notices.give(kind, now - period, destination_id=destination_id, number=number, make=make)

    def _recipients(self, kind: NoticeKind, destination: Destination | None) -> list[str]:
        """Return each address once; one empty text where nobody can be mailed."""
        if not self.mails:
            return [""]
        contact = str(destination.contact.get("email", "")) if destination is not None else ""
        authority = contact if is_address(contact) else ""
        operators = self.operators if kind in _FOR_OPERATORS or not authority else ""
        return list(dict.fromkeys(each for each in (authority, operators) if each)) or [""]

    def _destination(self, party: str) -> Destination | None:
        try:
            return self.store.parties.destination(UUID(party))
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """Subject and body with places for facts."""

    subject: Text
    body: Text


#: Who a notice is about, in the middle of a sentence, and the page that says more.
_WHO: Mapping[str, Text] = {
    "destination": Text("des Zustellpunkts {id}", "of destination {id}"),
    "client": Text("des Clients {id}", "of client {id}"),
    "digest": Text("vom {id}", "of {id}"),
}
_PAGES: Mapping[str, str] = {"destination": "destinations/{id}", "client": "clients", "digest": "open"}
#: What the digest calls the kinds of findings.
FINDING_WORDS: Mapping[FindingKind, Text] = {
    FindingKind.SILENT: Text(
        "zugestellt, vom Fachverfahren nicht bestätigt", "delivered, not acknowledged by the specialist system"
    ),
    FindingKind.MAILBOX: Text("liegt im Postfach, niemand holt ab", "lies in the mailbox, nobody collects"),
    FindingKind.GIVEN_UP: Text(
        "Zustellung gescheitert, eine Person muss entscheiden", "delivery failed, a person has to decide"
    ),
    FindingKind.CALLBACKS: Text("Rückrufe kommen nicht an", "callbacks do not arrive"),
    FindingKind.SENDER: Text(
        "Absender sendet nicht mehr (Tage mit Eingang)", "sender does not send any more (days with traffic)"
    ),
    FindingKind.UNUSED: Text("Zustellpunkt ohne Eingang", "destination without traffic"),
    FindingKind.DECISION: Text(
        "übernommen, Entscheidung überfällig (die Behörde hat nichts geschrieben)",
        "taken over, decision overdue (the authority has written nothing)",
    ),
}
_WORDS: Mapping[NoticeKind, _Words] = {
    NoticeKind.UNCOLLECTED: _Words(
        subject=Text("{deliveries} Einreichungen nicht abgeholt", "{deliveries} submissions not collected"),
        body=Text(
            "im Postfach {who} liegen Einreichungen, die seit mindestens {days} Tagen nicht abgeholt\n"
            "wurden: {deliveries}, die älteste seit dem {since}.\n\n"
            "Was {rejectedAfterDays} Tage nach dem Eingang weder angenommen noch zurückgewiesen ist, weist der Hub zurück;\n"
            "{deletedAfterDays} Tage später löscht er die Inhalte.\n\n"
            "Was zu tun ist: Prüfen Sie, ob Ihr Fachverfahren oder Ihr Konnektor läuft und abholt.\n"
            "Liste: {base}/v2/submissions?destinationId={id}",
            "submissions lie in the mailbox {who} that nobody has collected for at least {days} days:\n"
            "{deliveries}, the oldest since {since}.\n\n"
            "What is neither accepted nor rejected {rejectedAfterDays} days after it came in is rejected by the hub;\n"
            "{deletedAfterDays} days later it deletes the contents.\n\n"
            "What to do: see whether your specialist system or your connector runs and collects.\n"
            "List: {base}/v2/submissions?destinationId={id}",
        ),
    ),
    NoticeKind.OVERDUE: _Words(
        subject=Text("{deliveries} Zustellungen kommen nicht an", "{deliveries} deliveries do not arrive"),
        body=Text(
            "an den Zustellpunkt {id} kommen Zustellungen seit mindestens {days} Tagen nicht an: {deliveries}, die\n"
            "älteste seit dem {since}. Der Hub versucht es weiter und gibt {givenUpAfterDays} Tage nach dem Eingang auf.\n\n"
            "Was zu tun ist: Prüfen Sie, ob Ihr System unter der hinterlegten Adresse antwortet.",
            "deliveries to destination {id} have not arrived for at least {days} days: {deliveries}, the oldest since\n"
            "{since}. The hub goes on trying and gives up {givenUpAfterDays} days after they came in.\n\n"
            "What to do: see whether your system answers at the address on record.",
        ),
    ),
    NoticeKind.GIVEN_UP: _Words(
        subject=Text("{deliveries} Zustellungen aufgegeben", "{deliveries} deliveries given up"),
        body=Text(
            "an den Zustellpunkt {id} kamen Zustellungen {days} Tage lang nicht an; der Hub hat sie aufgegeben:\n"
            "{deliveries}. Ihre Inhalte bleiben gespeichert.\n\n"
            "Was zu tun ist: Sagen Sie dem Betreiber des Hubs, wenn Ihr System wieder antwortet; er stellt sie erneut zu.",
            "deliveries to destination {id} did not arrive for {days} days; the hub has given them up: {deliveries}.\n"
            "Their contents are kept.\n\n"
            "What to do: tell the hub's operator when your system answers again; he has them delivered once more.",
        ),
    ),
    NoticeKind.DIGEST: _Words(
        subject=Text("{points} offene Punkte", "{points} open points"),
        body=Text(
            "bei Ihren Zustellpunkten liegt etwas still, das älteste seit dem {since}:\n\n{lines}\n\n"
            "Was zu tun ist: Die Seite „Offene Punkte“ zeigt jeden mit dem Weg dorthin.",
            "something lies still at your destinations, the oldest since {since}:\n\n{lines}\n\n"
            "What to do: the page 'Open points' shows each of them with the way there.",
        ),
    ),
    NoticeKind.CALLBACK_UNREACHABLE: _Words(
        subject=Text("Rückrufe kommen nicht an", "Callbacks do not arrive"),
        body=Text(
            "die Rückrufadresse {who} nimmt nichts an: Rückruf {callbackId} wurde nach {days} Tagen und {attempts}\n"
            "Versuchen aufgegeben ({note}). Verloren ist nur die Benachrichtigung, keine Einreichung und kein Ereignis.\n\n"
            "Was zu tun ist: Prüfen Sie die Adresse (callback.url) und das System dahinter; fragen Sie bis dahin den Hub ab.",
            "the callback address {who} takes nothing: callback {callbackId} was given up after {days} days and\n"
            "{attempts} attempts ({note}). Only the news is lost, no submission and no event.\n\n"
            "What to do: check the address (callback.url) and the system behind it; ask the hub until then.",
        ),
    ),
}


def mail_of(notice: Notice, *, sender: str, base_url: str) -> EmailMessage:
    """Write the mail of a notice. It is the same, byte for byte, at each attempt."""
    words = _WORDS[notice.kind]
    german, english = _filled(notice, base_url, german=True), _filled(notice, base_url, german=False)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = notice.recipient
    mail["Subject"] = f"{words.subject.de.format(**german)} / {words.subject.en.format(**english)}"
    mail["Date"] = format_datetime(notice.created_at)
    mail["Message-ID"] = f"<{notice.notice_id}@{sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies stay away.
    mail["Content-Language"] = "de, en"
    mail.set_content(
        f"Guten Tag,\n\n{words.body.de.format(**german)}\nVerwaltungsseite: {german['page']}\n\n{'-' * 72}\n\n"
        f"Hello,\n\n{words.body.en.format(**english)}\nAdmin page: {english['page']}\n\n"
        f"Rathaus-Hub, {base_url}\nHinweis / notice {notice.notice_id}\n",
        cte="quoted-printable",
    )
    return mail


def _filled(notice: Notice, base_url: str, *, german: bool) -> dict[str, Any]:
    """Return what stands in the places of the words."""
    kind, _, party = notice.about.partition(":")
    who = _WHO[kind].de if german else _WHO[kind].en
    page = f"{base_url}/admin/{_PAGES[kind].format(id=party)}"
    filled = {**notice.facts, "base": base_url, "id": party, "who": who.format(id=party), "page": page}
    if "kinds" in filled:
        words = {kind.value: text.de if german else text.en for kind, text in FINDING_WORDS.items()}
        lines = [f"- {words.get(kind, kind)}: {number}" for kind, number in filled["kinds"].items()]
        filled["lines"] = "\n".join(lines)
    if german and "since" in filled:
        filled["since"] = date.fromisoformat(filled["since"]).strftime("%d.%m.%Y")
    return filled


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
    login: MailLogin | None

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
        login = MailLogin(user=user, password=_password(Path(password_file))) if user else None
        return cls(host=host, port=port, sender=sender, tls=_tls(ca_file) if starttls else None, login=login)


class Postman(OutboxWorker[NoticeClaim]):
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
        return self._store.notices.claim(now, lease=_LEASE, node=self._node, limit=room)

    def carry(self, claim: NoticeClaim) -> Carried:
        """Hand one mail to the server. No answer at its end means that it may have been taken: it is sent again."""
        server = self._server
        mail = mail_of(claim.notice, sender=server.sender, base_url=self._base_url)
        envelope = MailEnvelope(sender=server.sender, recipient=claim.notice.recipient, mail=mail.as_bytes())
        # The server is the operator's own choice, so it may lie in a private network.
        with Line(timeout=_TIMEOUT, public_only=False) as line:
            outcome = post(line, server.tls, (server.host, server.port), server.login, envelope)
        return Carried(taken=outcome.kind is OutcomeKind.DELIVERED, note=outcome.note)

    def record(self, claim: NoticeClaim, carried: Carried, *, again: datetime | None, now: datetime) -> None:
        """Record an attempt. A mail that was given up is told of by the log and the pages: nobody is mailed about mails."""
        tried = OutboxAttempt(sent=carried.taken, next_attempt_at=again, note=carried.note, now=now)
        if self._store.notices.record(claim, tried) and not carried.taken:
            level = logging.WARNING if tried.given_up else logging.INFO
            fate = "given up" if tried.given_up else "again later"
            _log.log(level, "notice %s: %s, %s", claim.notice.notice_id, carried.note, fate)


#: Seconds for a mail that somebody waits for.
_AT_ONCE = 15.0


class MailedLinks:
    """Mails links that let their reader in. Whoever wants one sent waits, and hands it on otherwise if it cannot be."""

    def __init__(self, *, server: MailServer, base_url: str) -> None:
        self._server = server
        self._base_url = base_url

    def invite(self, recipient: str, link: str, *, until: datetime, now: datetime) -> bool:
        """Mail an invitation to make an account; return whether the server took it."""
        until_de, until_en = f"{until:%d.%m.%Y, %H:%M} UTC", f"{until:%Y-%m-%d %H:%M} UTC"
        mail = self._begun(recipient, "Einladung zum Rathaus-Hub / Invitation to Rathaus-Hub", now)
        mail.set_content(
            "Guten Tag,\n\nSie sind eingeladen, ein Konto für die Verwaltungsseite des Rathaus-Hubs anzulegen. Der Link gilt\n"
            f"einmal, bis {until_de}; geben Sie ihn nicht weiter:\n\n{link}\n\n"
            "Sie wählen dort Ihr Passwort und richten danach den zweiten Faktor ein. Erwarten Sie diese Mail nicht, so\n"
            f"löschen Sie sie.\n\n{'-' * 72}\n\n"
            "Hello,\n\nyou are invited to make an account for the admin pages of Rathaus-Hub. The link is good once, until\n"
            f"{until_en}; hand it on to nobody:\n\n{link}\n\n"
            "You choose your password there and set up the second factor after that. Delete this mail if you did not\n"
            f"expect it.\n\nRathaus-Hub, {self._base_url}\n",
            cte="quoted-printable",
        )
        return self._sent(recipient, mail)

    def register(self, recipient: str, link: str, *, until: datetime, now: datetime) -> bool:
        """Mail the link by which somebody registers at a test instance; return whether the server took it."""
        mail = self._begun(recipient, "Testumgebung des Rathaus-Hubs / Rathaus-Hub test environment", now)
        mail.set_content(
            "Guten Tag,\n\nmit diesem Link registrieren Sie Ihre Software in der Testumgebung. Er gilt einmal, bis\n"
            f"{until:%d.%m.%Y, %H:%M} UTC:\n\n{link}\n\n"
            f"Erwarten Sie diese Mail nicht, so löschen Sie sie.\n\n{'-' * 72}\n\n"
            "Hello,\n\nby this link you register your software at the test environment. It is good once, until\n"
            f"{until:%Y-%m-%d %H:%M} UTC:\n\n{link}\n\n"
            f"Delete this mail if you did not expect it.\n\nRathaus-Hub, {self._base_url}\n",
            cte="quoted-printable",
        )
        return self._sent(recipient, mail)

    def _begun(self, recipient: str, subject: str, now: datetime) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._server.sender
        mail["To"] = recipient
        mail["Subject"] = subject
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = f"<{uuid4()}@{self._server.sender.partition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = "de, en"
        return mail

    def _sent(self, recipient: str, mail: EmailMessage) -> bool:
        server = self._server
        envelope = MailEnvelope(sender=server.sender, recipient=recipient, mail=mail.as_bytes())
        with Line(timeout=_AT_ONCE, public_only=False) as line:
            outcome = post(line, server.tls, (server.host, server.port), server.login, envelope)
        if outcome.kind is not OutcomeKind.DELIVERED:
            _log.warning("link not mailed: %s", outcome.note)
        return outcome.kind is OutcomeKind.DELIVERED


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
