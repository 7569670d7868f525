# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import uuid4

import orjson
import pypdfium2
import pytest
from partner import Fault, Partner, always, well
from stage import NOW
from test_connector_town import (
    CANARY,
    LATER,
    Town,
    bad_data,
    catalog,
    good_data,
    metadata,
    town,
    town_keys,
)

from hub.connector import Connector
from hub.connector.handover import FolderSystem, Http
from hub.connector.journal import JournalState
from hub.errors import ConfigurationError
from hub.forms.pdf import can_render_pdf, missing_for_pdf
from hub.model import MESSAGE_FILENAME, MESSAGE_SCHEMA, CaseMessage, CaseMessageKind

# --- the walk -------------------------------------------------------------------------------------------------------


def test_a_page_for_people_lies_beside_what_is_handed_over(town):
    submission_id = town.submit(attachments={uuid4(): b"%PDF content"})
    town.start().run_once(NOW)
    page = (town.inbox / str(submission_id) / "antrag.html").read_bytes()
    assert page.startswith(b"<!doctype html>")
    assert CANARY.encode() in page
    assert f"{CANARY}.pdf".encode() in page
    assert b"Hund" in page


def test_the_page_for_people_lies_there_as_pdf_where_it_is_wished_for(town, monkeypatch):
    if not can_render_pdf():
        pytest.skip(f"PDF needs {', '.join(missing_for_pdf())}")
    submission_id = town.submit()
    town.start(handover=town.document["handover"] | {"pdf": True}).run_once(NOW)
    pdf = (town.inbox / str(submission_id) / "antrag.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-1.7")
    text = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf))
    assert CANARY in text

    monkeypatch.setattr("hub.forms.pdf.missing_for_pdf", lambda: ("libpango-1.0-0",))
    with pytest.raises(ConfigurationError, match="libpango"):
        town.start(handover=town.document["handover"] | {"pdf": True})


def test_one_list_serves_all_destinations_and_leaves_others_alone(town):
    mine, strangers = town.submit(), town.submit()
    town.hub.submissions[str(strangers)]["destinationId"] = str(uuid4())
    counts = town.start(poll_for="all").run_once(NOW)
    assert (counts.seen, counts.accepted) == (1, 1)
    assert town.handed() == [str(mine)]
    lists = [heard.query for heard in town.hub.heard if heard.path.endswith("/submissions")]
    assert ["destinationId" in query for query in lists] == [False]


def test_where_the_one_list_cannot_be_had_that_is_said(town):
    town.hub.down = True
    connector = town.start(poll_for="all")
    assert connector.run_once(NOW).postponed == 1
    assert connector.trouble() is not None


def test_a_good_submission_is_handed_over_and_accepted(town):
    one = uuid4()
    submission_id = town.submit(attachments={one: b"%PDF content"})
    counts = town.start().run_once(NOW)
    assert (counts.seen, counts.handed, counts.accepted, counts.open) == (1, 1, 1, 0)
    case = town.inbox / str(submission_id)
    assert (case / "data.json").read_bytes() == good_data()
    assert (case / "attachments" / f"{CANARY}.pdf").read_bytes() == b"%PDF content"
    antrag = orjson.loads((case / "antrag.json").read_bytes())
    assert antrag["validation"]["report"]["valid"] is True
    assert antrag["publicService"]["name"] == "Hundesteuer"
    assert antrag["submittedAt"] == NOW.isoformat()
    kind, payload = town.answer()
    assert kind == "accept-submission"
    assert payload["authenticationTags"] == town.hub.tags(str(submission_id))


def test_a_later_message_says_in_the_hand_over_what_it_is(town):
    about = uuid4()
    withdrawal = CaseMessage(kind=CaseMessageKind.WITHDRAWAL, about=about, text="Doch nicht.").content()
    taken_back = town.submit(withdrawal, attachments={}, schema=MESSAGE_SCHEMA)
    data, note = good_data(), {uuid4(): CaseMessage(kind=CaseMessageKind.CORRECTION, about=about).content()}
    described = orjson.loads(metadata(data, note))
    described["contentStructure"]["attachments"][0] |= {"filename": MESSAGE_FILENAME, "purpose": "report"}
    corrected = town.hub.submit(now=NOW, metadata=orjson.dumps(described), data=data, attachments=note)
    plain = town.submit(attachments={})
    assert town.start().run_once(NOW).accepted == 3
    said = {
        each: orjson.loads((town.inbox / str(each) / "antrag.json").read_bytes())["inCase"]
        for each in (taken_back, corrected, plain)
    }
    assert said == {
        taken_back: {"kind": "withdrawal", "about": str(about), "text": "Doch nicht."},
        corrected: {"kind": "correction", "about": str(about), "text": ""},
        plain: None,
    }


def test_the_answer_is_signed_in_the_name_of_the_destination(town):
    submission_id = town.submit()
    town.start().run_once(NOW)
    (claims,) = town.hub.posted
    assert claims["iss"] == str(town.hub.destination_id)
    assert claims["sub"] == f"submission:{submission_id}"
    assert claims["iat"] == int(NOW.timestamp())


def test_a_second_look_does_nothing(town):
    town.submit()
    connector = town.start()
    connector.run_once(NOW)
    counts = connector.run_once(LATER)
    assert (counts.seen, counts.handed, counts.accepted) == (0, 0, 0)
    assert len(town.hub.posted) == 1


def test_more_than_a_page_is_collected(town):
    town.hub.page = 1
    for _ in range(3):
        town.submit(attachments={})
    assert town.start().run_once(NOW).accepted == 3


def test_fragments_are_joined(town):
    data, logical, pieces = good_data(), uuid4(), {uuid4(): b"first ", uuid4(): b"second"}
    described = orjson.loads(metadata(data, {logical: b"first second"}))
    described["contentStructure"]["attachments"][0]["fragments"] = [str(one) for one in pieces]
    submission_id = town.hub.submit(now=NOW, metadata=orjson.dumps(described), data=data, attachments=pieces)
    assert town.start().run_once(NOW).accepted == 1
    assert (town.inbox / str(submission_id) / "attachments" / f"{CANARY}.pdf").read_bytes() == b"first second"


@pytest.mark.parametrize("version", ["1.0.0", "1.6.0", "2.0.0", "2.1.0", "2.2.0"])
def test_metadata_of_any_published_version_with_an_empty_list_of_fragments_are_read(town, version):
    # Versions are listed in FIT-Connect, section 10; generated clients write empty lists.
    data, one = good_data(), uuid4()
    described = orjson.loads(metadata(data, {one: b"content"}))
    described["$schema"] = f"https://schema.fitko.de/fit-connect/metadata/{version}/metadata.schema.json"
    described["contentStructure"]["attachments"][0]["fragments"] = []
    town.hub.submit(now=NOW, metadata=orjson.dumps(described), data=data, attachments={one: b"content"})
    assert town.start().run_once(NOW).accepted == 1


def test_an_attachment_without_a_name_gets_the_suffix_of_its_media_type(town):
    data, plan, tool = good_data(), uuid4(), uuid4()
    described = orjson.loads(metadata(data, {plan: b"%PDF", tool: b"MZ"}))
    for item, media_type in zip(
        described["contentStructure"]["attachments"], ["application/pdf", "application/x-msdownload"], strict=True
    ):
        del item["filename"]
        item["mimeType"] = media_type
    submission_id = town.hub.submit(
        now=NOW, metadata=orjson.dumps(described), data=data, attachments={plan: b"%PDF", tool: b"MZ"}
    )
    assert town.start().run_once(NOW).accepted == 1
    case = town.inbox / str(submission_id)
    assert {path.name for path in (case / "attachments").iterdir()} == {f"{plan}.pdf", f"{tool}.bin"}


def test_an_unknown_schema_is_handed_over_unchecked(town):
    submission_id = town.submit(schema="https://example.org/unheard-of.json")
    # The payload names its own schema too; both are unknown here.
    town.start().run_once(NOW)
    antrag = orjson.loads((town.inbox / str(submission_id) / "antrag.json").read_bytes())
    assert antrag["validation"] == {"checked": False, "report": None}


def test_the_policy_can_hand_over_with_the_report(town):
    submission_id = town.submit(bad_data())
    counts = town.start(policy={"on_invalid": "hand_over_with_report"}).run_once(NOW)
    assert (counts.handed, counts.accepted) == (1, 1)
    antrag = orjson.loads((town.inbox / str(submission_id) / "antrag.json").read_bytes())
    assert antrag["validation"]["report"]["valid"] is False


def test_the_policy_does_not_cover_a_wrong_hash(town):
    data = good_data()
    town.hub.submit(now=NOW, metadata=metadata(data + b" ", {}), data=data, attachments={})
    assert town.start(policy={"on_invalid": "hand_over_with_report"}).run_once(NOW).rejected == 1


# --- crashes --------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process dies here: nothing of ours may catch it."""


def kill_at(monkeypatch, owner, name: str, *, after: bool) -> None:
    """Die once, before or after a step."""
    genuine = getattr(owner, name)

    def dying(self, *args, **kwargs):
        monkeypatch.setattr(owner, name, genuine)
        if after:
            genuine(self, *args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, dying)


CRASHES = {
    "before the envelope is fetched": ("hub.connector.connector.Connector", "_fetch", False),
    "after the envelope is fetched": ("hub.connector.connector.Connector", "_fetch", True),
    "after opening, before the verdict is journaled": ("hub.connector.connector.Connector", "_open", True),
    "after the verdict is journaled": ("hub.connector.connector.Connector", "_judge", True),
    "before the copy is staged": ("hub.connector.handover.FolderSystem", "stage", False),
    "after the copy is staged, before that is journaled": ("hub.connector.handover.FolderSystem", "stage", True),
    "before the copy is shown": ("hub.connector.handover.FolderSystem", "publish", False),
    "after the copy is shown, before that is journaled": ("hub.connector.handover.FolderSystem", "publish", True),
    "before the answer is signed": ("hub.connector.connector.Connector", "_answer", False),
    "before the answer is posted": ("hub.client.fit_connect.Subscriber", "post_event", False),
    "after the answer is posted, before that is journaled": ("hub.client.fit_connect.Subscriber", "post_event", True),
    "before the end is journaled": ("hub.connector.connector.Connector", "_finish", False),
}


def assert_no_plaintext_outside_the_inbox(town: Town) -> None:
    for file in town.folder.rglob("*"):
        if file.is_file() and town.inbox not in file.parents:
            assert CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_loses_nothing_doubles_nothing_and_leaves_no_plaintext(point, town, monkeypatch):
    path, name, after = CRASHES[point]
    module, _dot, owner = path.rpartition(".")
    kill_at(monkeypatch, getattr(__import__(module, fromlist=[owner]), owner), name, after=after)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    assert_no_plaintext_outside_the_inbox(town)
    counts = town.start().run_once(LATER)
    assert_no_plaintext_outside_the_inbox(town)
    assert counts.open == 0
    assert town.handed() == [str(submission_id)]
    assert town.answer()[0] == "accept-submission"


def test_a_folder_gets_it_once_even_if_the_local_system_is_quicker(town, monkeypatch):
    kill_at(monkeypatch, FolderSystem, "publish", after=True)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    (town.inbox / str(submission_id)).rename(town.folder / "taken away")
    assert town.start().run_once(LATER).accepted == 1
    assert town.handed() == []


def test_an_http_handover_after_a_crash_is_flagged_as_a_repeat(town, monkeypatch):
    kill_at(monkeypatch, Http, "send", after=True)
    submission_id = town.submit()
    with Partner() as local:
        handover = {"kind": "http", "url": local.url + "/cases"}
        with pytest.raises(Killed):
            town.start(handover=handover).run_once(NOW)
        assert town.start(handover=handover).run_once(LATER).accepted == 1
    assert [heard.headers["Repeat"] for heard in local.heard] == ["false", "true"]
    assert {heard.headers["Idempotency-Key"] for heard in local.heard} == {str(submission_id)}


def test_a_lost_answer_of_the_local_system_is_flagged_as_a_repeat(town):
    town.submit()
    with Partner(play=always(Fault.SILENT_CLOSE)) as local:
        connector = town.start(handover={"kind": "http", "url": local.url + "/cases"})
        connector.run_once(NOW)
        local.play = well
        assert connector.run_once(LATER).accepted == 1
    assert [heard.headers["Repeat"] for heard in local.heard] == ["false", "true"]


def test_a_conflict_whose_log_holds_our_event_is_success(town):
    town.submit()
    town.hub.lose = True
    connector = town.start()
    assert connector.run_once(NOW).postponed == 1
    assert connector.run_once(LATER).accepted == 1
    assert len(town.hub.posted) == 1


def test_the_same_token_is_posted_again(town):
    town.submit()
    town.hub.lose = True
    connector = town.start()
    connector.run_once(NOW)
    connector.run_once(LATER)
    posts = [heard.body for heard in town.hub.heard if heard.method == "POST" and "events" in heard.path]
    assert len(posts) == 2
    assert posts[0] == posts[1]


def test_a_case_that_the_hub_closed_itself_is_overruled(town):
    sealed = town.hub.submissions[str(town.submit())]
    connector = town.start()
    genuine = connector.hub.post_event

    def late(*args):
        town.hub.write(sealed, "reject", {"problems": []}, NOW)
        genuine(*args)

    connector.hub.post_event = late
    counts = connector.run_once(NOW)
    assert (counts.accepted, counts.open) == (0, 0)
    assert connector.status() == {JournalState.OVERRULED: 1}


def test_a_share_that_is_not_mounted_takes_nothing(town, monkeypatch):
    kill_at(monkeypatch, FolderSystem, "publish", after=False)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    town.inbox.rename(town.folder / "share")
    town.inbox.mkdir()
    connector = town.start()
    assert connector.run_once(LATER).postponed == 1
    town.inbox.rmdir()
    (town.folder / "share").rename(town.inbox)
    assert connector.run_once(LATER + timedelta(hours=2)).accepted == 1
    assert town.handed() == [str(submission_id)]


def test_a_lost_journal_makes_no_second_copy(town):
    submission_id = town.submit()
    connector = town.start()
    connector.run_once(NOW)
    sealed = town.hub.submissions[str(submission_id)]
    town.hub.logs[sealed["caseId"]].pop()
    town.stop()
    for file in town.folder.glob("journal.*"):
        file.unlink() if file.is_file() else file.rmdir()
    assert town.start().run_once(LATER).accepted == 1
    assert town.handed() == [str(submission_id)]


@pytest.mark.parametrize("what", ["submission.json", "attachments"])
def test_a_disk_that_loses_the_ciphertext_fetches_it_again(what, town, monkeypatch):
    kill_at(monkeypatch, Connector, "_hand_over", after=False)
    submission_id = town.submit()
    with pytest.raises(Killed):
        town.start().run_once(NOW)
    place = town.folder / "journal.sealed" / str(submission_id) / what
    place.unlink() if place.is_file() else next(place.iterdir()).write_bytes(b"e30.a.b.c.d")
    connector = town.start()
    assert connector.run_once(LATER).postponed == 1
    assert connector.run_once(LATER + timedelta(hours=2)).accepted == 1


def test_two_connectors_never_share_a_journal(town):
    town.start()
    with pytest.raises(ConfigurationError):
        Connector(town.connector.settings, keys=town.keys, catalog=town.catalog, now=lambda: NOW)


# --- plaintext ------------------------------------------------------------------------------------------------------


def test_nothing_sealed_is_kept_after_the_answer(town):
    town.submit()
    town.start().run_once(NOW)
    assert list((town.folder / "journal.sealed").iterdir()) == []


def test_run_works_until_it_is_told_to_stop(town):
    town.submit()
    connector, stop = town.start(), threading.Event()
    thread = threading.Thread(target=connector.run, args=(stop,))
    thread.start()
    for _ in range(200):
        if town.hub.posted:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert town.answer()[0] == "accept-submission"


def test_a_held_case_is_said_once(town, caplog):
    town.submit()
    town.document["hub"]["issuer"] = "https://elsewhere.example.org"
    for minutes in range(0, 600, 60):
        town.start().run_once(NOW + timedelta(minutes=minutes))
    lines = [record for record in caplog.records if "is held" in record.getMessage()]
    assert len(lines) == 1
    assert CANARY not in lines[0].getMessage()


def test_a_walk_that_dies_begins_anew(town, caplog):
    town.submit()
    stop, looks = threading.Event(), iter([RuntimeError("the clock is broken"), MemoryError()])

    def clock():
        for fault in looks:
            raise fault
        return NOW

    running = threading.Thread(target=town.start(now=clock).run, args=[stop])
    running.start()
    try:
        assert _comes(lambda: len(town.hub.posted) == 1)
    finally:
        stop.set()
        running.join()
    assert caplog.text.count("the loop died and begins again") == 2


def _comes(true, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(true())
