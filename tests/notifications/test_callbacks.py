"""Callbacks: who is told what (section 11.3 of FIT-Connect's wire), how it is signed, and what failures do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from partner import Answer, Fault, Partner, always
from sealed_door import Door, Sent, movable_door, patch, post  # noqa: F401  # movable_door is a fixture
from sealed_replies import reply_to

from hub.crypto import verify_callback
from hub.identity import Caller
from hub.model import EVERYTHING, Callback, ClientKind
from hub.notifications.callbacks import CallbackWorker, at_rest
from hub.notifications.mail import Noticeboard
from hub.notifications.outbox import SCHEDULE
from hub.store import OutgoingCallback
from hub.transport.connection import Outbound, Posted

SECRET = "0123456789abcdef" * 2
OPERATORS = "betrieb@hub.example"
TYPES = "https://schema.fitko.de/fit-connect/submission-api/callbacks/"


class Post:
    """Takes what is sent in place of the network, and answers with ``status``."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.status: int | None = 200

    def post(self, url: str, body: bytes, headers: Any) -> Posted:
        self.sent.append((url, json.loads(body)))
        return Posted(status=self.status, note=f"HTTP {self.status}")

    def types(self) -> list[tuple[str, str]]:
        """(who, what) of all that was sent."""
        return [(url.rpartition("/")[2], body["type"].removeprefix(TYPES)) for url, body in self.sent]


@pytest.fixture
def post_office() -> Post:
    return Post()


def worker(door: Door, outbound: Any) -> CallbackWorker:
    store, keys = door.hub.store, door.hub.keys
    board = Noticeboard(store=store, mails=True, operators=OPERATORS)
    return CallbackWorker(store=store, keys=keys, outbound=outbound, board=board, node="test", clock=door.clock)


def drain(door: Door, outbound: Any) -> None:
    while worker(door, outbound).run_once():
        pass


def listen(door: Door) -> dict[str, str]:
    """Give the destination a callback; return the sender's, to be given on announce."""
    body = {"callback": {"url": "https://authority.example/authority", "secret": SECRET}}
    answer = patch(door.subscriber, f"/v2/destinations/{door.destination_id}", body)
    assert answer.json["callback"] == {"url": "https://authority.example/authority"}
    return {"url": "https://sender.example/sender", "secret": SECRET}


def queued(door: Door, url: str, **more: Any) -> OutgoingCallback:
    sealed = at_rest(Callback(url=url, secret=SECRET), door.hub.keys)
    callback = OutgoingCallback(
        **{
            "callback_id": uuid4(),
            "party": "party",
            "url": url,
            "secret": sealed.secret,
            "body": '{"a":1}',
            "created_at": door.clock(),
            **more,
        }
    )
    door.hub.store.callbacks.add(callback)
    return callback


# ---------------------------------------------------------------------------------------------------- failures


def test_a_failing_callback_is_repeated_until_it_is_taken_and_never_before_its_time(own_door: Door, post_office: Post):
    queued(own_door, "https://receiver.example/cb")
    post_office.status = 500
    assert worker(own_door, post_office).run_once() == 1
    assert worker(own_door, post_office).run_once() == 0
    own_door.clock.pass_(minutes=2)
    post_office.status = 204
    assert worker(own_door, post_office).run_once() == 1
    own_door.clock.pass_(days=1)
    assert worker(own_door, post_office).run_once() == 0
    assert len(post_office.sent) == 2


def test_a_receiver_that_stays_away_is_given_up_after_three_days_and_noted(own_door: Door, post_office: Post):
    callback = queued(own_door, "https://receiver.example/cb")
    post_office.status = 503
    for _ in range(200):
        worker(own_door, post_office).run_once()
        own_door.clock.pass_(hours=1)
    assert 70 < len(post_office.sent) < 100
    assert [dead.callback_id for dead in own_door.hub.store.callbacks.dead().items] == [callback.callback_id]
    noted = own_door.hub.store.audit.entries(newest_first=True, limit=1, scope=EVERYTHING).items[0].entry
    assert (noted.action, noted.target) == ("callback.unreachable", "client:party")
    assert SECRET not in repr(noted)


def sent_about(door: Door, about: str) -> list[tuple[str, str, str]]:
    """(what, to whom, note) of all notices about a party."""
    given = [view.notice for view in door.hub.store.notices.given(about=about).items]
    return [(each.kind.value, each.recipient, each.facts["note"]) for each in given]


def pass_four_days(door: Door, outbound: Any) -> None:
    for _ in range(4 * 12):
        door.clock.pass_(hours=2)
        drain(door, outbound)


def test_operators_are_told_of_an_online_service_that_stays_away(own_door: Door, post_office: Post):
    sent = own_door.send(callback={"url": "https://sender.example/sender", "secret": SECRET})
    while own_door.hub.dispatcher.run_once():
        pass
    post_office.status = 503
    pass_four_days(own_door, post_office)
    client = own_door.hub.store.submissions.message(UUID(sent.submission_id)).sender
    assert sent_about(own_door, f"client:{client}") == [("callback-unreachable", OPERATORS, "HTTP 503")]
    (view,) = own_door.hub.store.callbacks.of_case(UUID(sent.case_id))
    assert (view.state.value, view.note) == ("dead", "HTTP 503")
    caller = Caller(client_id=client, kind=ClientKind.SENDER, scopes=(), expires_at=own_door.clock())
    history = own_door.hub.desk.progress(UUID(sent.submission_id), caller=caller).history
    assert history[-1].step == "callback-unreachable"


def test_an_authority_whose_callback_stays_unreachable_is_told_once_a_week_for_all(own_door: Door, post_office: Post):
    listen(own_door)
    sent = [own_door.send() for _ in range(3)]
    post_office.status = 500
    pass_four_days(own_door, post_office)
    about, contact = f"destination:{own_door.destination_id}", own_door.destination.contact["email"]
    first = {("callback-unreachable", contact, "HTTP 500"), ("callback-unreachable", OPERATORS, "HTTP 500")}
    assert (len(sent_about(own_door, about)), set(sent_about(own_door, about))) == (2, first)
    audited = own_door.hub.store.audit.entries(newest_first=True, limit=len(sent), scope=EVERYTHING).items
    assert {each.entry.action for each in audited} == {"callback.unreachable"}
    own_door.clock.pass_(days=3)
    queued(own_door, "https://authority.example/authority", party=str(own_door.destination_id))
    pass_four_days(own_door, post_office)
    assert len(sent_about(own_door, about)) == 4


def test_a_redirect_is_no_yes(own_door: Door, post_office: Post):
    queued(own_door, "https://receiver.example/cb")
    post_office.status = 302
    worker(own_door, post_office).run_once()
    own_door.clock.pass_(hours=1)
    assert worker(own_door, post_office).run_once() == 1


def test_an_unreachable_receiver_never_fails_the_request_that_caused_the_callback(own_door: Door):
    own_door.send(callback={"url": "https://127.0.0.1:1/sender", "secret": SECRET})
    out = Outbound(allow_private_addresses=True, timeout=1)
    assert [worker(own_door, out).run_once() for _ in range(3)] == [0, 0, 0], "none arrived"


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP, Fault.HUGE_HEADER, Fault.NOISE, Fault.SILENT_CLOSE])
def test_a_receiver_that_misbehaves_costs_no_more_than_the_time_limit(fault: Fault):
    with Partner(play=always(fault)) as partner:
        outbound = Outbound(allow_private_addresses=True, timeout=0.5)
        posted = outbound.post(f"{partner.url}/cb", b"{}", {})
        assert not posted.taken


def test_a_huge_answer_is_not_read():
    with Partner(play=always(Fault.HUGE_BODY)) as partner:
        posted = Outbound(allow_private_addresses=True, timeout=5).post(f"{partner.url}/cb", b"{}", {})
        assert posted.status == 200


# ------------------------------------------------------------------------------------------------- what is sent


def test_the_signature_fits_the_bytes_that_arrive(own_door: Door):
    with Partner(play=always(Answer(status=204))) as partner:
        queued(own_door, f"{partner.url}/cb")
        worker(own_door, Outbound(allow_private_addresses=True, timeout=5)).run_once()
    (heard,) = partner.heard
    assert (heard.method, heard.path, heard.headers["Content-Type"]) == ("POST", "/cb", "application/json")
    assert heard.headers["Callback-Timestamp"] == str(int(own_door.clock().timestamp()))
    verify_callback(
        SECRET,
        int(heard.headers["Callback-Timestamp"]),
        heard.body,
        heard.headers["Callback-Authentication"],
        now=own_door.clock() + timedelta(minutes=4),
    )


def test_the_body_is_one_line_with_all_three_ids(own_door: Door, post_office: Post):
    listen(own_door)
    sent = own_door.send()
    (claim,) = own_door.hub.store.callbacks.claim(own_door.clock(), lease=timedelta(minutes=1), node="test", limit=10)
    body = claim.callback.body
    assert "\n" not in body
    assert list(json.loads(body)) == ["type", "submissionIds", "submissions"]
    assert json.loads(body)["submissions"] == [
        {"destinationId": str(own_door.destination_id), "submissionId": sent.submission_id, "caseId": sent.case_id}
    ]
    assert SECRET not in claim.callback.secret


# --------------------------------------------------------------------------------------------------- the matrix


def test_submit_tells_the_authority_and_notify_the_sender(own_door: Door, post_office: Post):
    own_door.send(callback=listen(own_door))
    drain(own_door, post_office)
    assert post_office.types() == [("authority", "new-submissions")]
    while own_door.hub.dispatcher.run_once():
        pass
    drain(own_door, post_office)
    assert post_office.types()[1:] == [("sender", "new-events")]


class Case:
    """A case in which both sides want to be called, and what a trigger has to say to whom."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.callback = listen(door)

    def sent(self) -> Sent:
        return self.door.send(callback=self.callback)

    def by_receiver(self, kind: str) -> None:
        sent = self.sent()
        payload = {} if kind.startswith("forward") else None
        self.quiet()
        assert self.door.post_event(sent, self.door.token(kind, sent, payload), "v1").status == 204

    def reply_answered(self, kind: str) -> None:
        """The authority answers a reply that the online service wrote."""
        sent = self.sent()
        reply = reply_to(self.door, sent, self.door.sender)
        self.quiet()
        token = self.door.token(kind, reply, sub=f"reply:{reply.submission_id}")
        assert self.door.post_event(reply, token).status == 204

    def by_hub(self, days: int, *, reply: bool = False) -> None:
        """Let the hub's own periods end what nobody answered."""
        sent = self.sent()
        if reply:
            assert self.door.accept(sent).status == 204
            reply_to(self.door, sent, self.door.sender)
        while self.door.hub.dispatcher.run_once():
            pass
        self.quiet()
        (duty,) = (each for each in self.door.hub.duties.duties if each.name == "retention")
        self.door.clock.pass_(days=14, minutes=1)
        duty.run(self.door.clock())
        if days > 14:
            self.quiet()
            self.door.clock.pass_(days=days - 14, minutes=1)
            duty.run(self.door.clock())

    def quiet(self) -> None:
        drain(self.door, Post())


SENDER, AUTHORITY = ("sender", "new-events"), ("authority", "new-events")
#: Section 11.3, row by row: the trigger, and who is called with what.
MATRIX: dict[str, tuple[Callable[[Case], Any], list[tuple[str, str]]]] = {
    "create-submission": (lambda case: case.door.announce(callback=case.callback), []),
    "submit-submission": (lambda case: case.sent(), [("authority", "new-submissions")]),
    "forward by the receiver": (lambda case: case.by_receiver("forward-submission"), [SENDER]),
    "accept by the receiver": (lambda case: case.by_receiver("accept-submission"), [SENDER]),
    "reject by the receiver": (lambda case: case.by_receiver("reject-submission"), [SENDER]),
    "reject by the hub": (lambda case: case.by_hub(14), [AUTHORITY, SENDER]),
    "delete by the hub": (lambda case: case.by_hub(21), [AUTHORITY, SENDER]),
    "accept of a reply": (lambda case: case.reply_answered("accept-reply"), [SENDER]),
    "reject of a reply": (lambda case: case.reply_answered("reject-reply"), [SENDER]),
    # On the way there the hub also deletes what was accepted, and says so to both.
    "reject of a reply by the hub": (lambda case: case.by_hub(14, reply=True), [AUTHORITY, SENDER] * 2),
}


@pytest.mark.parametrize(("trigger", "called"), MATRIX.values(), ids=MATRIX)
def test_22_each_trigger_calls_whom_the_matrix_names(
    own_door: Door, post_office: Post, trigger: Callable[[Case], Any], called: list[tuple[str, str]]
):
    trigger(Case(own_door))
    drain(own_door, post_office)
    assert sorted(post_office.types()) == sorted(called)


def test_an_announcement_tells_nobody(own_door: Door, post_office: Post):
    own_door.announce(callback=listen(own_door))
    drain(own_door, post_office)
    assert post_office.sent == []


def test_a_reply_tells_its_receiver_in_either_direction(own_door: Door, post_office: Post):
    sent = own_door.send(callback=listen(own_door))
    drain(own_door, post_office)
    reply_to(own_door, sent, own_door.subscriber)
    drain(own_door, post_office)
    reply_to(own_door, sent, own_door.sender)
    drain(own_door, post_office)
    assert post_office.types()[1:] == [("sender", "new-replies"), ("authority", "new-replies")]
    row = post_office.sent[-1][1]["replies"][0]
    assert set(row) == {"destinationId", "replyId", "caseId"}


# -------------------------------------------------------------------------------------------- addresses refused


def test_a_callback_address_is_judged_when_it_is_given(own_door: Door):
    object.__setattr__(own_door.hub.outbound, "allow_private_addresses", False)
    for url in (
        "https://127.0.0.1/cb",
        "https://[::1]/cb",
        "http://sender.example/cb",
        "https://user@sender.example/cb",
    ):
        body = {
            "destinationId": str(own_door.destination_id),
            "announcedAttachments": [],
            "publicService": {"identifier": "urn:de:fim:leika:leistung:99012008001000"},
            "callback": {"url": url, "secret": SECRET},
        }
        answer = post(own_door.sender, "/v2/submissions", body)
        assert own_door.refused(answer, 422, "callback-url-refused")


def test_the_schedule_waits_a_minute_doubling_to_an_hour():
    waits = [SCHEDULE.wait(attempt, chance=0.0) for attempt in (1, 2, 3, 7, 20)]
    assert waits == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60)]


def test_a_hung_receiver_is_left_alone_for_a_minute_and_holds_up_nobody(own_door: Door, post_office: Post):
    post_office.status = None
    hung = [queued(own_door, "https://hung.example/cb") for _ in range(3)]
    tools = worker(own_door, post_office)
    while tools.run_once():
        pass
    assert len(hung) == 3
    assert 1 <= len(post_office.sent) <= 3
    sent = len(post_office.sent)
    queued(own_door, "https://hung.example/cb")
    tools.run_once()
    assert len(post_office.sent) == sent
    queued(own_door, "https://lively.example/cb")
    tools.run_once()
    assert post_office.sent[-1][0] == "https://lively.example/cb"
