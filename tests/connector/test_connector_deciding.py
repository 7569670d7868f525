# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""The municipality's say: nothing is accepted because files were written, nothing said is lost, and nothing is said twice."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from uuid import UUID, uuid4

import orjson
import pytest
from partner import Answer, Fault, Partner, always
from say import CLERK, DEADLINE, TOKEN, Local, apply, local, pdf, system, wish
from stage import NOW
from test_connector_town import (
    CANARY,
    LATER,
    Town,
    bad_data,
    catalog,
    town,
    town_keys,
)
from test_connector_walk import Killed, kill_at

from hub.connector.casebook import CaseBook, CaseQuery, ReplyState
from hub.connector.journal import JournalState
from hub.connector.settings import ConnectorSettings
from hub.crypto import decrypt
from hub.errors import ConfigurationError, Conflict, HubError, IdempotencyConflict, Invalid, NotFound, TooLarge
from hub.model import REPLY_SCHEMA

LAST = LATER + timedelta(hours=2)


@pytest.fixture
def sender(rsa_pair):
    """The sender's public key for replies."""
    return rsa_pair[0]


def opened_reply(sent, decryption_key) -> dict:
    (reply,) = sent
    data = decrypt(reply["submitted"]["encryptedData"].encode(), [decryption_key], max_output=10_000)
    return orjson.loads(data)


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_file_that_names_no_mode_goes_on_as_before_and_says_so(town):
    assert ConnectorSettings.parse(town.document, town.folder).names_decider is False
    town.submit()
    assert town.start().run_once(NOW).accepted == 1
    named = {"handover": {**town.document["handover"], "mode": "auto"}}
    assert ConnectorSettings.parse(town.document | named, town.folder).names_decider is True


def test_a_system_that_shall_decide_needs_a_way_back(town):
    with pytest.raises(ConfigurationError, match="way back"):
        ConnectorSettings.parse(
            town.document | {"handover": {"kind": "folder", "path": "in", "mode": "system"}}, town.folder
        )


def test_the_page_is_on_loopback_unless_there_is_tls(town):
    with pytest.raises(ConfigurationError, match=r"clerk\.certificate_file"):
        ConnectorSettings.parse(town.document | CLERK | {"clerk": {"address": "0.0.0.0"}}, town.folder)


# --- people decide --------------------------------------------------------------------------------------------------


def test_nothing_is_accepted_before_a_clerk_decides(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    counts = connector.run_once(NOW)
    assert (counts.seen, counts.handed, counts.accepted) == (1, 0, 0)
    assert connector.status() == {JournalState.WAITING: 1}
    assert town.handed() == []
    connector.say.desk.accept(submission_id, who="anna")
    assert town.hub.posted == []
    assert connector.run_once(LATER).accepted == 1
    kind, payload = town.answer()
    assert (kind, payload["authenticationTags"]) == ("accept-submission", town.hub.tags(str(submission_id)))


def test_with_a_folder_named_what_a_clerk_accepts_is_handed_over_then(town):
    submission_id = apply(town, None)
    both = {**CLERK, "handover": {"mode": "clerk", "kind": "folder", "path": "in"}}
    connector = town.start(**both)
    connector.run_once(NOW)
    assert town.handed() == []
    connector.say.desk.accept(submission_id, who="anna")
    counts = connector.run_once(LATER)
    assert (counts.handed, counts.accepted, town.handed()) == (1, 1, [str(submission_id)])


def test_a_rejection_says_its_reason_in_the_log_and_its_text_to_the_sender_alone(town, sender, decryption_key):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    text = f"Sehr geehrte Frau {CANARY}, zuständig ist der Kreis."
    for _ in range(2):
        connector.say.desk.reject(submission_id, ["not-responsible"], who="anna", text=text)
    assert connector.run_once(LATER).rejected == 1
    kind, payload = town.answer()
    assert kind == "reject-submission"
    (problem,) = payload["problems"]
    assert problem["type"] == "urn:rathaus-hub:rejection:not-responsible"
    assert CANARY not in str(payload)
    said = opened_reply(town.hub.sent_replies(), decryption_key)
    assert said == {"$schema": REPLY_SCHEMA, "kind": "rejection", "about": str(submission_id), "text": text}
    (row,) = connector.say.work.book.cases(CaseQuery(), offset=0, limit=10)[0]
    assert row.stage == "closed"


def test_what_breaks_its_schema_is_rejected_by_machine_and_waits_for_nobody(town, sender):
    apply(town, sender, data=bad_data())
    connector = town.start(**CLERK)
    assert connector.run_once(NOW).rejected == 1
    assert connector.say.work.book.cases(CaseQuery(), offset=0, limit=10) == ([], 0)


def test_of_two_clerks_who_decide_at_once_one_is_told(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk, refused, ready = connector.say.desk, [], threading.Barrier(2)

    def decide(who: str) -> None:
        ready.wait()
        try:
            desk.accept(submission_id, who=who) if who == "anna" else desk.reject(submission_id, ["other"], who=who)
        except Conflict as error:
            refused.append(error.slug)

    clerks = [threading.Thread(target=decide, args=[who]) for who in ("anna", "bert")]
    for each in clerks:
        each.start()
    for each in clerks:
        each.join()
    assert refused == ["decided-already"]
    connector.run_once(LATER)
    assert len(town.hub.posted) == 1


def test_who_works_on_a_case_keeps_colleagues_out_until_it_is_taken_over(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk, book = connector.say.desk, connector.say.work.book
    case_id = desk.submission(submission_id).case_id
    book.take(case_id, "anna", NOW)
    for refused in (
        lambda: book.take(case_id, "bert", NOW),
        lambda: desk.accept(submission_id, who="bert"),
        lambda: desk.reply(wish(submission_id), who="bert"),
    ):
        with pytest.raises(Conflict, match="anna"):
            refused()
    book.release(case_id, "bert", NOW)
    assert book.find(case_id).worker == "anna"
    book.take(case_id, "bert", NOW, from_colleague=True)
    desk.accept(submission_id, who="bert")
    book.release(case_id, "bert", NOW)
    assert book.find(case_id).worker is None
    assert [(deed.who, deed.what) for deed in book.deeds(case_id)] == [
        ("anna", "taken"),
        ("bert", "taken"),
        ("bert", "accepted"),
        ("bert", "released"),
    ]


# --- replies --------------------------------------------------------------------------------------------------------


def test_a_question_goes_out_sealed_for_the_sender_with_its_deadline_and_files(town, sender, decryption_key):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    text = f"Frau {CANARY}, wo ist der Plan?"
    written = connector.say.desk.reply(wish(submission_id, text=text, files=(pdf(f"{CANARY}.pdf"),)), who="anna")
    assert_nothing_lies_open(town)
    connector.run_once(LATER)
    (reply,) = town.hub.sent_replies()
    said = opened_reply([reply], decryption_key)
    assert (said["kind"], said["deadline"], said["text"]) == ("question", DEADLINE.isoformat(), text)
    described = orjson.loads(
        decrypt(reply["submitted"]["encryptedMetadata"].encode(), [decryption_key], max_output=10_000)
    )
    (file,) = described["contentStructure"]["attachments"]
    assert file["filename"] == f"{CANARY}.pdf"
    sealed = reply["attachments"][file["attachmentId"]]
    assert decrypt(sealed, [decryption_key], max_output=10_000) == pdf().content
    book = connector.say.work.book
    assert book.reply(written.request_id).state is ReplyState.SENT
    (row,) = book.cases(CaseQuery(), offset=0, limit=10)[0]
    assert (row.deadline, row.pending) == (DEADLINE, False)
    # What was written can still be read here, after a restart as well.
    again = town.start(**CLERK).say.desk
    content = again.written(again.book.reply(written.request_id))
    assert (content.text, [each.name for each in content.files]) == (text, [f"{CANARY}.pdf"])


def test_an_answer_of_the_sender_comes_into_the_same_case_and_ends_the_deadline(town, sender):
    from hub.model import MESSAGE_SCHEMA, CaseMessage, CaseMessageKind

    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk = connector.say.desk
    desk.accept(submission_id, who="anna")
    asked = desk.reply(wish(submission_id), who="anna")
    connector.run_once(LATER)
    case_id = desk.submission(submission_id).case_id
    data = CaseMessage(kind=CaseMessageKind.ANSWER, about=uuid4(), text="Hier.").content()
    answer = apply(town, None, data=data, described={"schema": MESSAGE_SCHEMA}, case_id=case_id)
    connector.run_once(LAST)
    (row,) = desk.book.cases(CaseQuery(), offset=0, limit=10)[0]
    assert (row.messages, row.stage, row.deadline) == (2, "new", None)
    # The answer names no key; the case still knows the one of the application.
    desk.accept(answer, who="anna")
    desk.reply(wish(answer, kind="decision", deadline=None, files=(pdf(),)), who="anna")
    connector.run_once(LAST + timedelta(hours=2))
    assert len(town.hub.sent_replies()) == 2
    assert asked.case_id == case_id


def test_a_closed_case_takes_no_reply_until_something_new_comes(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk = connector.say.desk
    desk.accept(submission_id, who="anna")
    decision = wish(submission_id, kind="decision", deadline=None)
    first = desk.reply(decision, who="anna")
    with pytest.raises(Conflict) as refused:
        desk.reply(wish(submission_id), who="anna")
    assert refused.value.slug == "case-file-closed"
    assert desk.reply(decision, who="anna") == first
    connector.run_once(LATER)
    assert len(town.hub.sent_replies()) == 1
    apply(town, sender, case_id=desk.submission(submission_id).case_id)
    connector.run_once(LAST)
    desk.reply(wish(submission_id, kind="status", deadline=None), who="anna")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Invalid, {"deadline": date(2026, 11, 19)}),
        (Invalid, {"deadline": NOW.date()}),
        (Invalid, {"deadline": date(2036, 1, 1)}),
        (Invalid, {"kind": "decision"}),
        (Invalid, {"kind": "rejection", "deadline": None}),
        (Invalid, {"kind": "<b>", "deadline": None}),
        (Invalid, {"text": "  "}),
        (Invalid, {"text": "x" * 20_001}),
        (TooLarge, {"files": tuple(pdf(f"{number}.pdf") for number in range(21))}),
        (TooLarge, {"files": (pdf(content=bytes(1024 * 1024 + 1)),)}),
    ],
    ids=[
        "past",
        "today",
        "too far",
        "no deadline goes with it",
        "the machine's",
        "unknown",
        "empty",
        "long",
        "many",
        "large",
    ],
)
def test_a_reply_that_cannot_be_is_refused_and_leaves_nothing(kind, changes, town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK, replies={"largest_megabytes": 1})
    connector.run_once(NOW)
    with pytest.raises(kind):
        connector.say.desk.reply(wish(submission_id, **changes), who="anna")
    assert list((town.folder / "journal.replies").iterdir()) == []
    connector.run_once(LATER)
    assert town.hub.replies == {}


def test_a_case_that_did_not_come_here_gets_no_reply(town, sender):
    apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    with pytest.raises(NotFound):
        connector.say.desk.reply(wish(uuid4()), who="anna")
    assert list((town.folder / "journal.replies").iterdir()) == []


#: Keys in place of the sender's good one: what is no public key for sealing at all, by the schema of metadata.
FORBIDDEN = {
    "the private one": lambda public, private: private,
    "too short": lambda public, private: {**public, "n": public["n"][:300]},
    "for signatures": lambda public, private: {**public, "key_ops": ["verify"], "alg": "PS512"},
    "another exponent": lambda public, private: {**public, "e": "AQ"},
    "no name": lambda public, private: {**public, "kid": ""},
}


@pytest.mark.parametrize("wrong", FORBIDDEN)
def test_a_wrong_key_that_its_schema_forbids_goes_back_and_nothing_is_sealed_for_it(wrong, town, rsa_pair):
    submission_id = apply(town, FORBIDDEN[wrong](*rsa_pair))
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    (claims,) = town.hub.posted
    ((uri, said),) = claims["events"].items()
    assert (uri.rpartition("/")[2], claims["sub"]) == ("reject-submission", f"submission:{submission_id}")
    assert "/replyChannel/fitConnect/encryptionPublicKey" in said["problems"][0]["detail"]
    assert rsa_pair[1]["d"] not in orjson.dumps(said).decode()
    with pytest.raises(NotFound):
        connector.say.desk.reply(wish(submission_id), who="anna")
    assert list((town.folder / "journal.replies").iterdir()) == []


def test_a_wrong_key_that_only_the_rules_refuse_is_no_way_back_and_the_application_waits(town, sender):
    weak = {**sender, "n": "A" * 400 + sender["n"][400:]}
    none, weakly = apply(town, None), apply(town, weak)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    for submission_id in (none, weakly):
        with pytest.raises(Conflict) as refused:
            connector.say.desk.reply(wish(submission_id), who="anna")
        assert refused.value.slug == "no-reply-channel"
    assert connector.status() == {JournalState.WAITING: 2}
    assert list((town.folder / "journal.replies").iterdir()) == []


def test_one_button_pressed_four_times_at_once_is_one_reply(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    once = wish(submission_id)
    results = at_once(*[lambda: connector.say.desk.reply(once, who="anna")] * 4)
    assert len(set(results)) == 1
    other = wish(submission_id, request_id=once.request_id, text="Etwas anderes.")
    with pytest.raises(IdempotencyConflict):
        connector.say.desk.reply(other, who="anna")
    connector.run_once(LATER)
    assert len(town.hub.sent_replies()) == 1


def test_of_two_decisions_at_once_one_goes_out_and_the_other_is_told_so(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk = connector.say.desk
    desk.accept(submission_id, who="anna")
    wishes = [wish(submission_id, kind="decision", text=text, deadline=None) for text in ("Ja.", "Nein.")]
    results = at_once(*(partial(desk.reply, each, who="anna") for each in wishes))
    (refused,) = (each for each in results if isinstance(each, Exception))
    assert (type(refused), refused.slug) == (Conflict, "case-file-closed")
    connector.run_once(LATER)
    assert len(town.hub.sent_replies()) == len(list((town.folder / "journal.replies").iterdir())) == 1


def test_two_questions_at_once_both_go_out(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    wishes = [wish(submission_id, text=text) for text in ("Wo ist der Plan?", "Wer zeichnete ihn?")]
    results = at_once(*(partial(connector.say.desk.reply, each, who="anna") for each in wishes))
    assert len({each.request_id for each in results}) == 2
    connector.run_once(LATER)
    assert len(town.hub.sent_replies()) == 2


def at_once(*acts: Callable[[], object]) -> list:
    """Do several things at the same moment; return what came of each, an error as such."""
    gate, results = threading.Barrier(len(acts)), []

    def act(one) -> None:
        gate.wait(30)
        try:
            results.append(one())
        except HubError as error:
            results.append(error)

    threads = [threading.Thread(target=act, args=(one,)) for one in acts]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return results


def test_while_the_hub_is_down_what_is_decided_is_kept_shown_as_pending_and_sent_later(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    town.hub.down = True
    connector.say.desk.accept(submission_id, who="anna")
    connector.say.desk.reply(wish(submission_id), who="anna")
    connector.run_once(NOW)
    (row,) = connector.say.work.book.cases(CaseQuery(), offset=0, limit=10)[0]
    assert row.pending
    assert connector.say.desk.open(connector.say.desk.submission(submission_id)).data is not None
    town.hub.down = False
    again = town.start(**CLERK)
    assert again.run_once(LATER).accepted == 1
    assert len(town.hub.sent_replies()) == 1
    assert not again.say.work.book.cases(CaseQuery(), offset=0, limit=10)[0][0].pending


# --- kill at each point ---------------------------------------------------------------------------------------------

CRASHES = {
    "before a decision is written down": ("hub.connector.casebook.CaseBook", "decide", False),
    "after a decision is written down": ("hub.connector.casebook.CaseBook", "decide", True),
    "after a reply is sealed, before that is written down": ("hub.connector.replies.SealedReplies", "write", True),
    "before a reply is written down": ("hub.connector.casebook.CaseBook", "write", False),
    "after a reply is written down": ("hub.connector.casebook.CaseBook", "write", True),
    "before a reply is announced": ("hub.client.fit_connect.Subscriber", "announce_reply", False),
    "after a reply is announced, before the book knows": ("hub.client.fit_connect.Subscriber", "announce_reply", True),
    "between two files of a reply": ("hub.client.fit_connect.Subscriber", "upload", True),
    "before a reply is submitted": ("hub.client.fit_connect.Subscriber", "submit", False),
    "after a reply is submitted, before the book knows": ("hub.client.fit_connect.Subscriber", "submit", True),
    "before the answer is posted": ("hub.client.fit_connect.Subscriber", "post_event", False),
    "after the answer is posted": ("hub.client.fit_connect.Subscriber", "post_event", True),
}


@pytest.mark.parametrize("point", CRASHES)
def test_killed_at_any_point_nothing_is_lost_and_nothing_goes_twice(point, town, sender, monkeypatch):
    path, name, after = CRASHES[point]
    module, _dot, owner = path.rpartition(".")
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    question = wish(submission_id, files=(pdf("a.pdf"), pdf("b.pdf")))
    kill_at(monkeypatch, getattr(__import__(module, fromlist=[owner]), owner), name, after=after)

    def work(now) -> None:
        """What a clerk does, and does again where it is not seen to have been done."""
        desk = town.connector.say.desk
        desk.accept(submission_id, who="anna")
        desk.reply(question, who="anna")
        town.connector.run_once(now)

    with pytest.raises(Killed):
        work(LATER)
    assert_nothing_lies_open(town)
    town.start(**CLERK)
    work(LAST)
    assert_nothing_lies_open(town)
    assert [claims["sub"] for claims in town.hub.posted] == [f"submission:{submission_id}"]
    assert len(town.hub.sent_replies()) == 1
    assert len(town.hub.sent_replies()[0]["attachments"]) == 2
    assert not town.connector.say.work.book.cases(CaseQuery(), offset=0, limit=10)[0][0].pending
    assert len(list((town.folder / "journal.replies").iterdir())) == 1


def assert_nothing_lies_open(town: Town) -> None:
    for file in town.folder.rglob("*"):
        if file.is_file() and town.inbox not in file.parents:
            assert CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_between_taken_and_decided_a_case_stays_its_clerks_and_is_decided_once(after, town, sender, monkeypatch):
    submission_id = apply(town, sender)
    town.start(**CLERK).run_once(NOW)
    case_id = town.connector.say.desk.submission(submission_id).case_id
    town.connector.say.work.book.take(case_id, "anna", NOW)
    kill_at(monkeypatch, CaseBook, "decide", after=after)
    with pytest.raises(Killed):
        town.connector.say.desk.accept(submission_id, who="anna")
    connector = town.start(**CLERK)
    desk, book = connector.say.desk, connector.say.work.book
    assert book.find(case_id).worker == "anna"
    assert (desk.submission(submission_id).decision is not None) is after
    with pytest.raises(Conflict):
        desk.reject(submission_id, ["other"], who="bert")
    desk.accept(submission_id, who="anna")
    connector.run_once(LATER)
    connector.run_once(LAST)
    assert [claims["sub"] for claims in town.hub.posted] == [f"submission:{submission_id}"]
    assert [each.what for each in book.deeds(case_id)] == ["taken", "accepted"]


@pytest.mark.parametrize("step", ["announce", "submit"])
def test_a_lost_answer_of_the_hub_makes_no_second_reply(step, town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    connector.say.desk.reply(wish(submission_id), who="anna")
    if step == "submit":
        genuine = connector.hub.submit

        def lost(*given, **named):
            town.hub.lose = True
            genuine(*given, **named)

        connector.hub.submit = lost
    else:
        town.hub.lose = True
    connector.run_once(LATER)
    town.start(**CLERK).run_once(LAST)
    assert len(town.hub.sent_replies()) == 1


def test_closed_cases_go_after_their_time_with_all_that_was_sealed(town, sender):
    submission_id = apply(town, sender)
    connector = town.start(**CLERK)
    connector.run_once(NOW)
    desk = connector.say.desk
    desk.accept(submission_id, who="anna")
    desk.reply(wish(submission_id, kind="decision", deadline=None), who="anna")
    connector.run_once(LATER)
    assert [path.name for path in (town.folder / "journal.sealed").iterdir()] == [str(submission_id)]
    connector.run_once(NOW + timedelta(days=89))
    assert desk.open(desk.submission(submission_id)).data is not None
    connector.run_once(NOW + timedelta(days=92))
    assert list((town.folder / "journal.sealed").iterdir()) == []
    assert list((town.folder / "journal.replies").iterdir()) == []
    with pytest.raises(NotFound):
        desk.open(desk.submission(submission_id))


def test_a_journal_of_the_version_before_is_taken_over(town):
    town.submit()
    connector = town.start()
    connector.run_once(NOW)
    town.stop()
    file = sqlite3.connect(town.folder / "journal.sqlite3")
    for column in ("service", "service_name", "submitted_at", "decision", "kept"):
        file.execute(f"ALTER TABLE submission DROP COLUMN {column}")
    file.commit()
    file.close()
    connector = town.start(**CLERK)
    assert connector.status() == {JournalState.ANSWERED: 1}
    apply(town, None)
    connector.run_once(LATER)
    assert connector.status() == {JournalState.ANSWERED: 1, JournalState.WAITING: 1}


# --- the local system decides ---------------------------------------------------------------------------------------


def test_a_system_takes_now_and_decides_later_by_the_id(town, sender):
    submission_id = apply(town, sender)
    with Partner(play=always(Answer(status=202))) as fachverfahren:
        connector = town.start(**system(town.folder, fachverfahren.url + "/in"))
        counts = connector.run_once(NOW)
        assert (counts.handed, counts.accepted) == (1, 0)
        (heard,) = fachverfahren.heard
        assert (heard.headers["Handover-Version"], heard.headers["Idempotency-Key"]) == ("2", str(submission_id))
    said = local(town, connector.say.desk)
    try:
        path = f"/v2/submissions/{submission_id}"
        assert said.get(path).json()["state"] == "waiting"
        for _ in range(2):
            taken = said.post(f"{path}/accept")
            assert (taken.status_code, taken.json()["state"], taken.json()["decision"]) == (202, "pending", "accept")
        assert said.post(f"{path}/reject", {"reasons": ["other"]}).status_code == 409
        key = uuid4()
        question = {"kind": "question", "text": "Wo ist der Plan?", "deadline": DEADLINE.isoformat()}
        for _ in range(2):
            assert said.post(f"{path}/replies", question, key=key).json()["state"] == "pending"
        assert said.post(f"{path}/replies", {**question, "text": "?"}, key=key).status_code == 409
        assert connector.run_once(LATER).accepted == 1
        assert said.get(path).json()["state"] == "answered"
        assert said.get(f"/v2/replies/{key}").json()["state"] == "sent"
        assert said.post(f"{path}/accept").status_code == 202
    finally:
        said.api.close()
    assert (len(town.hub.posted), len(town.hub.sent_replies())) == (1, 1)
    # A system keeps its own records: here nothing stays of what went out.
    assert list((town.folder / "journal.replies").iterdir()) == []


@pytest.mark.parametrize(("answer", "state"), [(Answer(status=201), "opened"), (Fault.SILENT_CLOSE, "opened")])
def test_a_system_that_does_not_say_taken_has_not_taken_it(answer, state, town):
    submission_id = apply(town, None)
    with Partner(play=always(answer)) as fachverfahren:
        connector = town.start(**system(town.folder, fachverfahren.url + "/in"))
        connector.run_once(NOW)
        assert connector.status() == {state: 1}
        said = local(town, connector.say.desk)
        try:
            early = said.post(f"/v2/submissions/{submission_id}/accept")
            assert (early.status_code, "Retry-After" in early.headers) == (503, True)
        finally:
            said.api.close()
        fachverfahren.play = always(Answer(status=202))
        connector.run_once(LATER)
        assert connector.status() == {"waiting": 1}
        assert fachverfahren.heard[-1].headers["Repeat"] == ("true" if answer is Fault.SILENT_CLOSE else "false")
