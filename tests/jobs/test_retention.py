"""How long things are kept (section 15 of FIT-Connect's wire), by a clock that only tests move."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from mail_server import MailServer
from sealed_door import EVENTS, SERVICE, Door, kinds, movable_door, read  # noqa: F401  # movable_door is a fixture
from sealed_replies import reply_to

from hub import app
from hub.adapter_kit.cases import SECRET, Workshop
from hub.config import load_settings
from hub.crypto import jws
from hub.jobs.retention import Periods, RetentionJob
from hub.model.submission import State
from hub.notifications.callbacks import CallbackWriter
from hub.notifications.mail import Noticeboard


@pytest.fixture
def retention(own_door: Door) -> RetentionJob:
    return RetentionJob(
        store=own_door.hub.store,
        callback_writer=CallbackWriter(store=own_door.hub.store),
        board=Noticeboard(store=own_door.hub.store),
        keys=own_door.hub.keys,
        base_url=own_door.hub.settings.canonical_url,
    )


def reminders(door: Door) -> list[tuple[int, int]]:
    """(which, of how many) of all reminders, oldest first."""
    given = [view.notice for view in door.hub.store.notices.given(about=f"destination:{door.destination_id}").items]
    return [(each.facts["notice"], each.facts["deliveries"]) for each in reversed(given)]


def deliver(door: Door) -> None:
    while door.hub.dispatcher.run_once():
        pass


def state(door: Door, message_id: str) -> State:
    return door.hub.store.submissions.message(UUID(message_id)).state


def contents(door: Door, message_id: str) -> Any:
    return door.hub.store.submissions.message(UUID(message_id)).contents


def prove(door: Door) -> None:
    """Make the checkpoint that would have been made before time leaps."""
    door.hub.checkpoints.make(door.clock())


def log_of(door: Door, case_id: str) -> list[str]:
    """The log's kinds, past the end of the clients' tokens."""
    prove(door)
    return kinds(list(door.hub.notary.tokens(UUID(case_id)).items))


def pass_days(door: Door, retention: RetentionJob, days: int) -> None:
    """Let days go by, one run of the duties each."""
    for _ in range(days):
        prove(door)
        door.clock.pass_(days=1)
        retention.run(door.clock())


def test_what_is_announced_and_never_submitted_is_deleted_after_a_day(own_door: Door, retention: RetentionJob):
    announced = own_door.announce(str(uuid4()))
    own_door.upload(announced["submissionId"], announced_attachment(own_door, announced), own_door.seal(b"x" * 100_000))
    own_door.clock.pass_(hours=23)
    assert retention.run(own_door.clock()) == 0
    own_door.clock.pass_(hours=2)
    assert retention.run(own_door.clock()) == 1
    assert state(own_door, announced["submissionId"]) is State.DELETED
    assert log_of(own_door, announced["caseId"]) == ["create-submission", "delete-submission"]
    assert list(own_door.hub.blobs.names(own_door.clock() + timedelta(days=9000))) == []


def announced_attachment(door: Door, announced: dict[str, str]) -> str:
    return str(door.hub.store.submissions.message(UUID(announced["submissionId"])).announced[0])


def test_an_authority_is_reminded_once_on_day_3_and_once_on_day_9(own_door: Door, retention: RetentionJob):
    own_door.send()
    own_door.send()
    deliver(own_door)
    pass_days(own_door, retention, 3)
    assert reminders(own_door) == []
    own_door.clock.pass_(minutes=1)
    for _ in range(3):
        retention.run(own_door.clock())
    assert reminders(own_door) == [(1, 2)]
    pass_days(own_door, retention, 5)
    assert reminders(own_door) == [(1, 2)]
    pass_days(own_door, retention, 5)
    assert reminders(own_door) == [(1, 2), (2, 2)]


def test_what_falls_due_later_on_a_day_waits_for_the_next_days_reminder(own_door: Door, retention: RetentionJob):
    for _ in range(3):
        own_door.send()
        deliver(own_door)
        own_door.clock.pass_(minutes=9)
    own_door.clock.pass_(days=2, hours=23, minutes=20)
    for _ in range(6):
        own_door.clock.pass_(minutes=5)
        retention.run(own_door.clock())
    assert reminders(own_door) == [(1, 1)]
    own_door.clock.pass_(days=1)
    retention.run(own_door.clock())
    assert reminders(own_door) == [(1, 1), (1, 2)]


def test_a_hub_that_slept_until_day_10_reminds_once(own_door: Door, retention: RetentionJob):
    own_door.send()
    deliver(own_door)
    own_door.clock.pass_(days=10)
    for _ in range(2):
        retention.run(own_door.clock())
    assert reminders(own_door) == [(2, 1)]


def test_what_was_collected_needs_no_reminder(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    assert own_door.subscriber.get(f"/v2/submissions/{sent.submission_id}").status == 200
    pass_days(own_door, retention, 10)
    assert reminders(own_door) == []


def test_an_authority_is_not_reminded_of_what_waits_for_the_online_service(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    assert own_door.subscriber.get(f"/v2/submissions/{sent.submission_id}").status == 200
    reply_to(own_door, sent, own_door.subscriber)
    pass_days(own_door, retention, 10)
    assert reminders(own_door) == []
    reply_to(own_door, sent, own_door.client("sender"))
    pass_days(own_door, retention, 4)
    assert reminders(own_door) == [(1, 1)]


def test_day_14_rejects_what_lies_unanswered_and_day_21_deletes_it(own_door: Door, retention: RetentionJob):
    sent = own_door.send(b"scan", callback={"url": "https://sender.example/cb", "secret": SECRET})
    deliver(own_door)
    pass_days(own_door, retention, 14)
    assert state(own_door, sent.submission_id) is State.SUBMITTED
    own_door.clock.pass_(minutes=1)
    retention.run(own_door.clock())
    assert state(own_door, sent.submission_id) is State.REJECTED
    token = own_door.hub.notary.tokens(UUID(sent.case_id)).items[-1]
    claims = read(token)[1]
    assert claims["iss"] == own_door.hub.settings.canonical_url
    assert len(claims["events"][f"{EVENTS}reject-submission"]["problems"]) == 1
    own_door.subscriber = own_door.client("subscriber")
    assert own_door.subscriber.get(f"/v2/submissions/{sent.submission_id}").status == 404
    assert contents(own_door, sent.submission_id) is not None
    pass_days(own_door, retention, 7)
    assert contents(own_door, sent.submission_id) is not None
    own_door.clock.pass_(minutes=1)
    retention.run(own_door.clock())
    assert (state(own_door, sent.submission_id), contents(own_door, sent.submission_id)) == (State.DELETED, None)
    assert log_of(own_door, sent.case_id)[-2:] == ["reject-submission", "delete-submission"]


def test_what_was_accepted_is_deleted_after_seven_days_and_its_log_stays(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    assert own_door.accept(sent).status == 204
    pass_days(own_door, retention, 7)
    assert contents(own_door, sent.submission_id) is not None
    own_door.clock.pass_(minutes=1)
    retention.run(own_door.clock())
    assert contents(own_door, sent.submission_id) is None
    own_door.sender = own_door.client("sender")
    assert kinds(own_door.log(sent))[-1] == "delete-submission"


def test_a_push_that_arrived_is_never_rejected_and_its_contents_go_after_seven_days(
    own_door: Door, retention: RetentionJob, tmp_path: Any
):
    store = own_door.hub.store
    (tmp_path / "inbox").mkdir()
    destination = replace(own_door.destination, adapter="folder", adapter_config={"path": str(tmp_path / "inbox")})
    store.parties.replace_destination(destination)
    sent = own_door.send()
    deliver(own_door)
    assert store.deliveries.of(UUID(sent.submission_id)).state == "delivered"
    pass_days(own_door, retention, 7)
    assert contents(own_door, sent.submission_id) is not None
    pass_days(own_door, retention, 30)
    assert state(own_door, sent.submission_id) is State.SUBMITTED
    assert contents(own_door, sent.submission_id) is None
    assert "reject-submission" not in log_of(own_door, sent.case_id)


def test_a_reply_keeps_the_same_periods(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    assert own_door.accept(sent).status == 204
    reply = reply_to(own_door, sent, own_door.subscriber)
    pass_days(own_door, retention, 15)
    assert state(own_door, reply.submission_id) is State.REJECTED
    pass_days(own_door, retention, 8)
    assert state(own_door, reply.submission_id) is State.DELETED


def test_a_case_is_dropped_after_730_days_and_leaves_a_signed_tombstone(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    assert own_door.accept(sent).status == 204
    pass_days(own_door, retention, 8)
    case = own_door.hub.store.submissions.case(UUID(sent.case_id))
    own_door.clock.pass_(days=728)
    retention.run(own_door.clock())
    assert own_door.hub.store.submissions.case(UUID(sent.case_id)).tombstone is None
    own_door.clock.pass_(days=3)
    retention.run(own_door.clock())
    sender = own_door.client("sender")
    view = sender.get(f"/v2/cases/{sent.case_id}").json
    header, claims = read(view["tombstone"])
    jws.verify_ps512(view["tombstone"], own_door.hub.keys.verification_key(header["kid"]), typ="case-tombstone+jwt")
    assert (claims["seq"], claims["head"], claims["txn"]) == (case.seq, case.head, f"case:{sent.case_id}")
    assert sender.get(f"/v2/cases/{sent.case_id}/events").json["eventLog"] == []


def test_a_duty_that_is_run_again_does_nothing_more(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    own_door.announce()
    deliver(own_door)
    own_door.clock.pass_(days=15)
    assert retention.run(own_door.clock()) > 0
    assert retention.run(own_door.clock()) == 0
    assert log_of(own_door, sent.case_id).count("reject-submission") == 1


def test_an_answer_just_before_the_hubs_own_wins(own_door: Door, retention: RetentionJob):
    sent = own_door.send()
    deliver(own_door)
    overdue = own_door.hub.store.retention.unanswered(own_door.clock() + timedelta(days=15))
    assert own_door.accept(sent).status == 204
    assert len(overdue) == 1
    own_door.clock.pass_(days=15)
    retention.reject_unanswered(own_door.clock())
    assert state(own_door, sent.submission_id) is State.ACCEPTED


# -------------------------------------------------------------------------------------- the hub as it is put together


def test_the_hub_mails_on_day_3_and_9_rejects_on_day_14_and_deletes_on_day_21(own_door: Door, tmp_path: Path):
    workshop = Workshop(tmp_path, now=datetime.now(UTC))
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        hub = mailing_hub(own_door, workshop, server)
        sent = own_door.send()
        deliver(own_door)
        (retention,) = (duty for duty in hub.duties.duties if duty.name == "retention")
        own_door.clock.pass_(hours=12, minutes=1)
        diary: list[tuple[int, str]] = []
        for half_day in range(2, 2 * 22):
            own_door.clock.pass_(hours=12)
            day = half_day // 2
            retention.run(own_door.clock())
            while hub.postman.run_once():
                pass
            diary += [(day, mail["To"]) for mail in server.read()]
            server.mails.clear()
            diary += [(day, state(own_door, sent.submission_id).value)]
        hub.close()
    contact = own_door.destination.contact["email"]
    assert [entry for entry in diary if "@" in entry[1]] == [(3, contact), (9, contact)]
    assert next(day for day, what in diary if what == "rejected") == 14
    assert next(day for day, what in diary if what == "deleted") == 21


def mailing_hub(door: Door, workshop: Workshop, server: MailServer) -> Any:
    """A second process of the same hub, which mails."""
    settings = load_settings(
        door.stage.data,
        {},
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        smtp_user="hub",
        smtp_password_file=str(workshop.secret_file),
        smtp_ca_file=str(workshop.ca_file),
        mail_sender="hub@hub.example",
        disk_watermark_bytes=0,
    )
    return app.build(settings, clock=door.clock)


def test_a_service_may_have_a_time_of_its_own(own_door: Door):
    kept = {SERVICE: timedelta(days=20)}
    retention = RetentionJob(
        store=own_door.hub.store,
        callback_writer=CallbackWriter(store=own_door.hub.store),
        board=Noticeboard(store=own_door.hub.store),
        keys=own_door.hub.keys,
        base_url=own_door.hub.settings.canonical_url,
        periods=Periods(by_service=kept),
    )
    also = {"identifier": SERVICE.replace("leika:leistung", "leistung"), "name": "Bauantrag"}
    longer = [own_door.send(), own_door.send(publicService=also)]
    shorter = own_door.send(publicService={"identifier": "urn:de:example:kurz", "name": "Kurz"})
    deliver(own_door)
    for sent in (*longer, shorter):
        assert own_door.accept(sent).status == 204
    pass_days(own_door, retention, 8)
    assert contents(own_door, shorter.submission_id) is None
    assert all(contents(own_door, sent.submission_id) is not None for sent in longer)
    pass_days(own_door, retention, 13)
    assert all(contents(own_door, sent.submission_id) is None for sent in longer)
