"""What a public body has to say of its processing: the record of it, and all that the hub holds about one application."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from stage import BAUANTRAG, BAUEN, CANARY, NOW, WIESBADEN

from hub.administration.disclosure import ACTION, Access, Asked, as_text, processing
from hub.cli import main
from hub.config import load_settings
from hub.errors import ConfigurationError, NotFound
from hub.jobs.retention import Periods
from hub.model import EVERYTHING

ASKED = Asked(actor="petra", now=NOW, reference="AZ 12/2026")


@pytest.fixture
def sent(stage) -> UUID:
    """An application that was delivered to a mailbox, with its sender's callback."""
    from hub.model import Callback

    callback = Callback(url="https://dienst.example/hooks/geheim", secret="0123456789abcdef" * 2)
    data = BAUANTRAG.replace(b"Einfamilienhaus", CANARY.encode())
    accepted = stage.accept(data, area=WIESBADEN, callback=callback, idempotency_key="einmal")
    stage.hub.dispatcher.run_once()
    return UUID(accepted.claims["sub"].removeprefix("submission:"))


def test_the_answer_names_all_that_is_held_and_nothing_that_is_sealed(stage, sent):
    hub = stage.hub
    answer = Access(hub.store, hub.operation.periods).about(sent, ASKED)
    message = hub.store.submissions.message(sent)
    (held,) = answer["messages"]
    assert (held["id"], held["service"]["identifier"], held["area"]) == (str(sent), BAUEN, WIESBADEN)
    assert held["receipt"] == message.receipt
    assert [(part["part"], part["sha512"], part["bytes"]) for part in held["parts"]] == [
        (name, sealed.sha512, sealed.size) for name, sealed in message.contents.parts()
    ]
    assert [event["event"] for event in answer["events"]] == ["create", "submit", "notify"]
    assert [attempt["outcome"] for attempt in held["delivery"]["attempts"]] == ["waiting"]
    assert [each["sender"] for each in held["fingerprints"]] == [stage.sender]
    assert {each["to"] for each in answer["callbacks"]} >= {stage.sender}
    for said in (json.dumps(answer), as_text(answer)):
        assert str(sent) in said
        assert CANARY not in said
        assert "geheim" not in said  # The address of a callback may be a key.


def test_by_its_case_all_its_messages_are_named(stage, sent):
    case_id = stage.hub.store.submissions.message(sent).case_id
    answer = Access(stage.hub.store, Periods()).about(case_id, ASKED)
    assert [each["id"] for each in answer["messages"]] == [str(sent)]
    assert answer["case"]["caseId"] == str(case_id)


def test_who_asked_stands_in_the_audit_log_before_anybody_sees_an_answer(stage, sent):
    Access(stage.hub.store, Periods()).about(sent, ASKED)
    (record,) = stage.hub.store.audit.entries(action=ACTION, scope=EVERYTHING).items
    entry = record.entry
    assert (entry.actor, entry.target, entry.after) == ("petra", f"submission:{sent}", {"reference": "AZ 12/2026"})
    again = Access(stage.hub.store, Periods()).about(sent, ASKED)
    assert [each["actor"] for each in again["audit"]] == ["petra"]
    with pytest.raises(NotFound):
        Access(stage.hub.store, Periods()).about(uuid4(), ASKED)
    assert stage.hub.store.audit.entries(action=ACTION, scope=EVERYTHING).total == 2


def test_the_record_of_processing_says_what_this_hub_does(stage):
    hub = stage.hub
    names = {urn: hub.book.services.name(urn) for urn in hub.book.services}
    record = processing(hub.store, names, hub.operation, now=NOW)
    assert {each["name"] for each in record["recipients"]} >= {each["name"] for each in stage.cast["destinations"]}
    building = next(each for each in record["activities"] if each["service"] == BAUEN)
    assert building["name"] == names[BAUEN]
    assert str(stage.destination_id("Wiesbaden")) in {each["destinationId"] for each in building["recipients"]}
    assert (building["contentsKeptDays"], record["retentionDays"]["eventLogOfCase"]) == (7, 730)
    assert record["hub"]["address"] == hub.base_url
    for part in ("purposes", "categories", "measures"):
        assert record[part]
    assert "Anträge annehmen" in as_text(record)


def test_both_are_commands(stage, sent):
    data = str(stage.data)
    record = CliRunner().invoke(main, ["records", "processing", "--json", "--data", data], catch_exceptions=False)
    assert record.exit_code == 0
    assert json.loads(record.stdout)["record"] == "GDPR Article 30 (1)"
    asked = ["records", "access", str(sent), "--reference", "AZ 7", "--data", data]
    answer = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert answer.exit_code == 0
    assert str(sent) in answer.stdout
    newest = stage.hub.store.audit.entries(action=ACTION, newest_first=True, scope=EVERYTHING).items[0].entry
    assert newest.actor.startswith("cli:")
    assert newest.after == {"reference": "AZ 7"}


def test_how_long_contents_of_a_service_are_kept_is_a_setting(tmp_path):
    settings = load_settings(tmp_path, {"HUB_KEPT_DAYS": f"{BAUEN}=30 urn:de:example:eins=1"})
    periods = Periods(by_service=settings.kept_by_service)
    also = BAUEN.replace("urn:de:fim:leika:leistung:", "urn:de:fim:leistung:")
    assert [periods.finished_for(urn).days for urn in (BAUEN, also, "urn:de:example:eins", "urn:x:y")] == [30, 30, 1, 7]
    for wrong in ("bauen=3", f"{BAUEN}=0", f"{BAUEN}=x", f"{BAUEN}=10000", BAUEN):
        with pytest.raises(ConfigurationError, match="kept_days"):
            load_settings(tmp_path, {"HUB_KEPT_DAYS": wrong})
