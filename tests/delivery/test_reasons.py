"""Every end of an attempt has a code for machines and a sentence in German and English."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
from store_values import accepted
from test_circuit import Yard, yard  # noqa: F401  # yard is a fixture
from test_settings_at_fault import NOT_PUBLIC

from hub.identity import Caller
from hub.intake.status import StatusDesk
from hub.model import ClientKind, reason_for_people, reason_for_senders, reason_of, reasons
from hub.model.reasons import only_settings_mend
from hub.observability import logs

NOTES = {
    "HTTP 404": "http-404",
    "HTTP 302": "http-302",
    "HTTP 503": "http-503",
    "SMTP 550 at RCPT": "smtp-550",
    "SMTP 451 at end of mail": "smtp-451",
    "folder is missing or not writable": "permission-denied",
    "name not found": "name-not-found",
    "connection refused": "connection-refused",
    "TLS certificate not trusted": "tls-not-trusted",
    "TLS refused": "tls-refused",
    "address is not public": "address-not-public",
    "no such host can exist": "host-impossible",
    "timed out": "timed-out",
    "no answer in time": "no-answer-in-time",
    "not reachable (ConnectionRefusedError)": "not-reachable",
    "connection lost (ConnectionLost)": "connection-lost",
    "token server: HTTP 401": "http-401",
    "token server: address is not public": "address-not-public",
    "login refused": "login-refused",
    "credentials refused": "login-refused",
    "folder: Permission denied": "folder-unusable",
    "stored content does not match": "content-unreadable",
    "content not readable: store-unavailable": "content-unreadable",
    "adapter failed: ValueError": "attempt-failed",
    "adapter does not open: OSError": "adapter-unusable",
    "not attempted: sealed as cms, which https does not take here": "form-not-taken",
    "not attempted: 3 leases ran out, its workers may have died of it": "worker-lost",
    "the lease ran out before a result was recorded": "worker-lost",
    "gave no answer just now": "host-rests",
    "written as 0192": "delivered",
    "waits for collection over the Submission API": "waits",
    "what nobody knows": "other",
}


@pytest.mark.parametrize(("note", "code"), NOTES.items(), ids=NOTES)
def test_what_is_recorded_of_an_attempt_has_a_code_and_two_languages(note: str, code: str):
    reason = reason_of(note)
    assert reason.code == code
    assert reason.text.de
    assert reason.text.en
    assert reason.text.de != reason.text.en


def test_german_comes_first_where_people_read_german_and_an_unknown_note_stays_as_it_is():
    assert reason_for_people("address is not public", german=True).startswith(
        "Die Adresse liegt nicht im öffentlichen Netz"
    )
    assert reason_for_people("address is not public", german=False).startswith("The address does not lie")
    assert reason_for_people("folder: Permission denied", german=True).endswith("(folder: Permission denied)")
    assert reason_for_people("Anderes", german=True) == "Anderes"


def test_a_sender_is_told_what_the_other_side_did_and_nothing_of_how_it_is_set_up():
    assert "HTTP 404" in reason_for_senders("HTTP 404").de
    assert reason_for_senders("connection refused") is not None
    for note in (
        "address is not public",
        "no such host can exist",
        "host key is not the one in the options",
        "login refused",
        "token server: HTTP 401",
        "folder: Permission denied",
        "what nobody knows",
    ):
        assert reason_for_senders(note) is None


def test_only_what_needs_no_connection_to_know_is_a_fault_of_settings():
    assert {note for note in NOTES if only_settings_mend(note)} == {
        "address is not public",
        "no such host can exist",
        "token server: address is not public",
    }
    assert only_settings_mend(reasons.NO_ADDRESS.note)


@pytest.mark.usefixtures("_logging_as_before")
def test_the_line_of_an_attempt_names_ids_outcome_reason_and_cause(yard: Yard, capsys):  # noqa: F811
    there = yard.destination(NOT_PUBLIC)
    made = accepted(yard.store, there)
    logs.set_up(as_json=True, level=logging.INFO)
    yard.dispatcher().run_once()
    (line,) = [json.loads(each) for each in capsys.readouterr().err.splitlines() if '"attempt"' in each]
    assert line["submission"] == str(made.submission_id)
    assert line["destination"] == str(there)
    assert line["attempt"] == 1
    assert (line["outcome"], line["reason"], line["cause"]) == ("unreachable", "address-not-public", "configuration")


def test_the_history_that_a_sender_sees_holds_no_note_and_the_operators_does(yard: Yard):  # noqa: F811
    there = yard.destination(NOT_PUBLIC)
    made = accepted(yard.store, there)
    yard.dispatcher().run_once()
    caller = Caller(client_id=made.sender, kind=ClientKind.SENDER, scopes=(), expires_at=yard.now + timedelta(hours=1))
    progress = StatusDesk(store=yard.store, evidences=None, clock=lambda: yard.now).progress(
        made.submission_id, caller=caller
    )
    (step,) = [each for each in progress.history if each.step == "attempt-unreachable"]
    assert "öffentlich" not in step.text.de
    assert step.note == "address is not public"


@pytest.fixture
def _logging_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
def test_a_library_that_tells_of_each_connection_tells_no_more_than_warnings():
    logs.set_up(as_json=True, level=logging.INFO)
    assert logging.getLogger("asyncssh").level == logging.WARNING
