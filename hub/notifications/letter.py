"""The words of a notice: German first, English second; ids, numbers and dates, and where to look. No personal data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from hub.errors import Text
from hub.store import Notice, NoticeKind


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """Subject and body with places for facts."""

    subject: Text
    body: Text


#: Who a notice is about, in the middle of a sentence, and the page that says more.
_WHO: Mapping[str, Text] = {
    "destination": Text("des Zustellpunkts {id}", "of destination {id}"),
    "client": Text("des Clients {id}", "of client {id}"),
}
_PAGES: Mapping[str, str] = {"destination": "destinations/{id}", "client": "clients"}
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


def letter(notice: Notice, *, sender: str, base_url: str) -> EmailMessage:
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
    if german and "since" in filled:
        filled["since"] = date.fromisoformat(filled["since"]).strftime("%d.%m.%Y")
    return filled
