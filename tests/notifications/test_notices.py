"""Notices to people: decided, audited and put into the outbox at once, mailed at least once to a real mail server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mail_server import LOST, MailServer, free_port
from stage import VirtualClock
from store_values import NOW, WAITS, accepted, claim, destination, known_destination, record

from hub.adapter_kit.cases import SECRET, Trouble, Workshop
from hub.app.starting import lines
from hub.config import load_settings
from hub.errors import ConfigurationError
from hub.jobs.retention import Undelivered
from hub.model import EVERYTHING
from hub.model.delivery import Step, StepKind
from hub.model.submission import Outcome, OutcomeKind
from hub.notifications.mail import MailServer as Server
from hub.notifications.mail import Noticeboard, Postman, mail_of
from hub.observability.metrics import Meters
from hub.store import DeliveryState, NoticeKind, OutboxAttempt, Store, Telling
from hub.store.outboxes import write_telling

DAY = timedelta(days=1)
BASE = "https://hub.example.org"
AUTHORITY, OPERATORS, SENDER = "bauamt@example.org", "betrieb@example.org", "hub@example.org"
FACTS = {
    "deliveries": 3,
    "notice": 1,
    "days": 3,
    "since": "2026-11-17",
    "rejectedAfterDays": 14,
    "deletedAfterDays": 7,
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A certificate for the mail server, and a file with the password."""
    return Workshop(tmp_path_factory.mktemp("workshop"), now=datetime.now(UTC))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


def server_at(port: int, workshop: Workshop, **changes: Any) -> Server:
    options = {
        "host": "127.0.0.1",
        "port": port,
        "sender": SENDER,
        "starttls": True,
        "user": "hub",
        "password_file": str(workshop.secret_file),
        "ca_file": str(workshop.ca_file),
    }
    return Server.from_files(**{**options, **changes})


def mail_server(workshop: Workshop, **more: Any) -> MailServer:
    return MailServer(workshop.tls(), user="hub", password=SECRET, **more)


def board(store: Store, **changes: Any) -> Noticeboard:
    return replace(Noticeboard(store=store, mails=True, operators=OPERATORS), **changes)


def authority(store: Store, **changes: Any) -> str:
    """The id of a destination whose authority can be mailed."""
    contact = {"legalName": "Musterstadt", "address": "Erika Mustermann, Weg 1", "email": AUTHORITY}
    return str(known_destination(store, **{"contact": contact, **changes}).destination_id)


def give(
    store: Store, party: str, kind: NoticeKind = NoticeKind.UNCOLLECTED, occasion: str = "1", **facts: Any
) -> None:
    """Write a notice about ``party`` as the duties do."""
    telling = board(store).telling(kind, party, {**FACTS, **facts}, occasion=occasion, now=NOW)
    store.database.write(lambda connection: write_telling(connection, telling))


@pytest.fixture
def postman(store: Store, workshop: Workshop, clock: VirtualClock) -> Callable[..., Postman]:
    def make(port: int, *, node: str = "n", to: Store = store, **changes: Any) -> Postman:
        return Postman(store=to, server=server_at(port, workshop, **changes), base_url=BASE, node=node, clock=clock)

    return make


def states(store: Store) -> list[tuple[str, int]]:
    return [(view.state.value, view.attempts) for view in store.notices.given().items]


# ---------------------------------------------------------------------------------------------------- failures


def test_a_mail_server_that_is_away_delays_and_never_loses(store, postman, workshop, clock):
    give(store, authority(store))
    port = free_port()
    assert postman(port).run_once() == 1
    assert postman(port).run_once() == 0
    assert states(store) == [("queued", 1)]
    assert store.notices.given().items[0].note == "connection refused"
    clock.pass_(minutes=2)
    with mail_server(workshop, port=port) as server:
        assert postman(port).run_once() == 1
        clock.pass_(days=1)
        assert postman(port).run_once() == 0
    assert len(server.mails) == 1
    assert states(store) == [("delivered", 2)]


def test_a_mail_whose_answer_was_lost_is_sent_again_under_the_same_id(store, postman, workshop, clock):
    give(store, authority(store))
    with mail_server(workshop, answers=(LOST,)) as server:
        postman(server.port).run_once()
        clock.pass_(minutes=2)
        postman(server.port).run_once()
    first, second = server.read()
    (view,) = store.notices.given().items
    assert first["Message-ID"] == second["Message-ID"] == f"<{view.notice.notice_id}@example.org>"
    assert first.as_bytes() == second.as_bytes()
    assert view.state is DeliveryState.DELIVERED


def test_a_mail_that_the_server_does_not_want_now_is_offered_again(store, postman, workshop, clock):
    give(store, authority(store))
    with mail_server(workshop, answers=("451 later",)) as server:
        postman(server.port).run_once()
        assert (server.mails, store.notices.given().items[0].note) == ([], "SMTP 451 at end of mail")
        clock.pass_(minutes=2)
        postman(server.port).run_once()
    assert len(server.mails) == 1


def test_after_three_days_a_mail_is_given_up_and_nobody_is_mailed_about_it(store, postman, clock):
    give(store, authority(store))
    port = free_port()
    for _ in range(80):
        postman(port).run_once()
        clock.pass_(hours=1)
    assert [(state, attempts > 60) for state, attempts in states(store)] == [("dead", True)]


WRONG_SERVERS: dict[str, tuple[dict[str, Any], str]] = {
    "the wrong password": ({"password": "another"}, "SMTP 535 at login"),
    "no STARTTLS": ({"tls": None, "user": None}, "server offers no STARTTLS"),
}


@pytest.mark.parametrize(("options", "note"), WRONG_SERVERS.values(), ids=WRONG_SERVERS)
def test_nothing_is_mailed_past_tls_and_login(store, postman, workshop, options, note):
    give(store, authority(store))
    with MailServer(**{"tls": workshop.tls(), "user": "hub", "password": SECRET, **options}) as server:
        postman(server.port).run_once()
    assert server.mails == []
    assert store.notices.given().items[0].note == note


@pytest.mark.parametrize(
    "trouble", [Trouble.UNTRUSTED_CERTIFICATE, Trouble.EXPIRED_CERTIFICATE, Trouble.WRONG_NAME_IN_CERTIFICATE]
)
def test_nothing_is_mailed_to_a_server_that_does_not_prove_its_name(store, postman, workshop, trouble):
    give(store, authority(store))
    with MailServer(workshop.tls(trouble), user="hub", password=SECRET) as server:
        postman(server.port).run_once()
    assert server.mails == []
    assert store.notices.given().items[0].note == "TLS certificate not trusted"


@pytest.mark.parametrize("setting", ["password_file", "ca_file"])
def test_a_missing_file_stops_the_start(workshop, setting):
    with pytest.raises(ConfigurationError, match=f"smtp_{setting}"):
        server_at(25, workshop, **{setting: "/nowhere/at/all"})


# ---------------------------------------------------------------------------------------- nodes, restarts, crashes


def test_a_notice_survives_a_restart(open_store, postman, workshop):
    before = open_store()
    give(before, authority(before))
    before.close()
    with mail_server(workshop) as server:
        assert postman(server.port, to=open_store()).run_once() == 1
    assert len(server.mails) == 1


def test_of_two_nodes_one_mails_each_notice(open_store, postman, workshop):
    nodes = [open_store(), open_store()]
    here = authority(nodes[0])
    for number in range(6):
        give(nodes[0], here, occasion=str(number))
    with mail_server(workshop) as server:
        posts = [postman(server.port, node=f"n{number}", to=store) for number, store in enumerate(nodes)]
        threads = [threading.Thread(target=post.run_once) for post in posts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({mail["Message-ID"] for mail in server.read()}) == len(server.mails) == 6


def test_what_a_dead_node_held_another_mails_after_its_lease(store, postman, workshop, clock):
    give(store, authority(store))
    (held,) = store.notices.claim(clock(), lease=timedelta(minutes=3), node="dead", limit=1)
    with mail_server(workshop) as server:
        assert postman(server.port).run_once() == 0
        clock.pass_(minutes=4)
        assert postman(server.port).run_once() == 1
    late = OutboxAttempt(sent=False, next_attempt_at=None, note="late", now=clock())
    assert not store.notices.record(held, late)
    assert states(store) == [("delivered", 2)]


def test_a_decision_that_cannot_be_written_whole_is_not_made(store):
    here = known_destination(store).destination_id
    made = accepted(store, here)
    record(store, claim(store)[0], WAITS)

    def words_fail(_: Any) -> Telling:
        raise RuntimeError("the words fail")

    with pytest.raises(RuntimeError):
        store.notices.give(NoticeKind.UNCOLLECTED, NOW + DAY, destination_id=here, number=1, make=words_fail)
    assert store.submissions.message(made.submission_id).notices == 0
    assert (store.notices.given().total, store.audit.entries(scope=EVERYTHING).total) == (0, 0)
    assert [lag.number for lag in store.notices.lagging(NoticeKind.UNCOLLECTED, NOW + DAY, number=1)] == [1]


def test_a_notice_given_on_the_same_occasion_is_not_given_again(store):
    here = authority(store)
    made = [accepted(store, destination_id=UUID(here)) for _ in range(2)]
    for taken in claim(store):
        record(store, taken, WAITS)

    def remind() -> int:
        def make(lag):
            facts = {**FACTS, "deliveries": lag.number}
            return board(store).telling(NoticeKind.UNCOLLECTED, here, facts, occasion="today", now=NOW)

        kind, before = NoticeKind.UNCOLLECTED, NOW + DAY
        return store.notices.give(kind, before, destination_id=UUID(here), number=1, make=make)

    assert (remind(), remind()) == (2, 0)
    accepted(store, destination_id=UUID(here))
    record(store, claim(store)[0], WAITS)
    assert remind() == 0
    assert store.notices.given().total == store.audit.entries(scope=EVERYTHING).total == 1
    assert [store.submissions.message(each.submission_id).notices for each in made] == [1, 1]


# ------------------------------------------------------------------------------------------------ who, and in which words


def recipients(telling: Telling) -> list[str]:
    return [notice.recipient for notice in telling.notices]


WHO = {
    "a mailbox is its authority's business": (NoticeKind.UNCOLLECTED, {}, [AUTHORITY]),
    "a receiver that is away is the operators' business, too": (NoticeKind.OVERDUE, {}, [AUTHORITY, OPERATORS]),
    "what was given up as well": (NoticeKind.GIVEN_UP, {}, [AUTHORITY, OPERATORS]),
    "without operators the authority alone": (NoticeKind.OVERDUE, {"operators": ""}, [AUTHORITY]),
    "one address is told once": (NoticeKind.OVERDUE, {"operators": AUTHORITY}, [AUTHORITY]),
    "without a mail server nobody is mailed": (NoticeKind.OVERDUE, {"mails": False}, [""]),
}


@pytest.mark.parametrize(("kind", "changes", "expected"), WHO.values(), ids=WHO)
def test_who_is_told(store, kind, changes, expected):
    here = authority(store)
    assert recipients(board(store, **changes).telling(kind, here, FACTS, occasion="1", now=NOW)) == expected


def test_an_online_service_is_told_through_the_operators(store):
    telling = board(store).telling(NoticeKind.CALLBACK_UNREACHABLE, "online-service", {}, occasion="1", now=NOW)
    assert (recipients(telling), telling.entry.target) == ([OPERATORS], "client:online-service")


def test_a_mail_says_in_german_then_english_what_to_do_and_names_nobody(store, postman, workshop):
    here = authority(store)
    give(store, here)
    with mail_server(workshop) as server:
        postman(server.port).run_once()
    (mail,) = server.read()
    text = mail.get_content()
    assert (mail["From"], mail["To"], mail["Auto-Submitted"]) == (SENDER, AUTHORITY, "auto-generated")
    assert mail["Subject"] == "3 Einreichungen nicht abgeholt / 3 submissions not collected"
    assert text.index("Guten Tag") < text.index("17.11.2026") < text.index("Hello") < text.index("2026-11-17")
    assert f"{BASE}/v2/submissions?destinationId={here}" in text
    assert f"{BASE}/admin/destinations/{here}" in text
    assert "Mustermann" not in mail.as_string()
    assert max(len(line) for line in mail.as_bytes().splitlines()) < 998


#: The digest is about a day, not about a party; its words stand with the watch's tests.
ABOUT_A_PARTY = [kind for kind in NoticeKind if kind is not NoticeKind.DIGEST]


@pytest.mark.parametrize("kind", ABOUT_A_PARTY)
@pytest.mark.parametrize("known", [True, False], ids=["of a destination", "of a client"])
def test_every_notice_has_words_for_the_facts_that_come_with_it(store, kind, known):
    facts = FACTS | {"givenUpAfterDays": 14, "callbackId": "c", "attempts": 7, "note": "HTTP 500"}
    party = authority(store) if known else "online-service"
    for notice in board(store).telling(kind, party, facts, occasion="1", now=NOW).notices:
        text = mail_of(notice, sender=SENDER, base_url=BASE).get_content()
        assert party in text
        assert not {"{", "}"} & set(text)


# ------------------------------------------------------------------------------------------- pushed deliveries, end to end


def test_authority_and_operators_are_mailed_of_a_push_on_day_3_and_9_and_when_it_is_given_up(
    store, postman, workshop, clock
):
    here = authority(store)
    accepted(store, UUID(here))
    away = Outcome(kind=OutcomeKind.UNREACHABLE, note="timed out")
    assert record(store, claim(store)[0], away, Step(kind=StepKind.RETRY, due=NOW + 300 * DAY))
    duty = Undelivered(store=store, board=board(store), meters=Meters(), give_up=14 * DAY)
    heard = []
    with mail_server(workshop) as server:
        for _ in range(16 * 4):
            clock.pass_(hours=6)
            duty.run(clock())
            postman(server.port).run_once()
            heard += [((clock() - NOW).days, mail["To"]) for mail in server.read()]
            server.mails.clear()
    assert sorted(heard) == sorted((day, to) for day in (3, 9, 14) for to in (AUTHORITY, OPERATORS))
    assert [each.entry.action for each in store.audit.entries(scope=EVERYTHING).items] == ["delivery.overdue"] * 2 + [
        "delivery.give-up"
    ]


def test_a_notice_without_a_mail_server_is_over_at_once_and_shown(store):
    here = authority(store)
    telling = board(store, mails=False).telling(NoticeKind.OVERDUE, here, FACTS, occasion="1", now=NOW)
    store.database.write(lambda connection: write_telling(connection, telling))
    assert store.notices.claim(NOW + DAY, lease=DAY, node="n", limit=9) == []
    (view,) = store.notices.given(about=f"destination:{here}").items
    assert (view.state, view.notice.facts["deliveries"]) == (DeliveryState.WAITING, 3)
    assert store.notices.given(about=f"destination:{destination().destination_id}").total == 0


def test_only_notices_that_are_over_are_forgotten(store, clock):
    give(store, authority(store))
    assert store.notices.forget(NOW + 99 * DAY) == 0
    (held,) = store.notices.claim(clock(), lease=DAY, node="n", limit=1)
    assert store.notices.record(held, OutboxAttempt(sent=True, next_attempt_at=None, note="", now=clock()))
    assert store.notices.forget(NOW + DAY) == 1


def test_where_nobody_will_be_mailed_the_start_says_so_once(tmp_path: Path):
    settings = [
        load_settings(tmp_path, {}),
        load_settings(tmp_path, {"HUB_SMTP_HOST": "mail.example.org", "HUB_MAIL_SENDER": SENDER}),
    ]
    said = "\n".join(line for each in settings for _, line in lines(each, "serve", facts={}))
    assert said.count("Kein Mailserver") == said.count("No mail server") == 1
