"""What is valid as far as it could be checked is accepted, and everybody is told what was not checked."""

from __future__ import annotations

import json
from uuid import UUID

import orjson
import pytest
import requests
from click.testing import CliRunner
from stage import BAUANTRAG, NOW, altered
from test_connector_specialist import antrag as handed_over
from test_policy import claims, lenient, message, opened
from test_validation_codelists import catalog

from hub.api import validation_page
from hub.cli.main import main
from hub.model import Application, MediaType
from hub.routing import OnInvalid
from hub.validation.report import Cause, Check

#: Valid, but too large for its codes to be looked up.
LARGE = BAUANTRAG.replace(b"</bau:vorhaben>", b" " * 4_200_000 + b"</bau:vorhaben>")
UNCHECKED = [(Check.CODE_LISTS, Cause.TOO_LARGE)]


@pytest.fixture
def coded(stage, tmp_path):
    """The stage with a catalogue that holds the code list that its applications name."""
    listed = catalog(tmp_path, "VER")
    stage.hub.intake.tools = altered(stage.hub.intake.tools, catalogs=lambda: listed)
    return stage


def notes(verdict) -> list[tuple[str, str]]:
    return [(each["check"], each["cause"]) for each in verdict["unchecked"]]


def test_what_was_checked_completely_says_nothing_of_it(coded):
    accepted = coded.accept()
    assert "validation" not in claims(coded, accepted)
    assert message(coded, accepted).contents.attachments == {}


def test_the_receipt_says_which_check_was_not_done_and_why_and_no_value_of_the_application(coded):
    said = claims(coded, coded.accept(LARGE))["validation"]
    assert (said["valid"], said["complete"], notes(said)) == (True, False, UNCHECKED)
    assert set(said["unchecked"][0]["text"]) == {"de", "en"}
    assert "onInvalid" not in said
    assert len(json.dumps(said)) < 1_000


def test_the_authority_finds_the_report_beside_the_application(coded):
    stored = message(coded, coded.accept(LARGE))
    (report,) = opened(coded, stored.contents.metadata)["contentStructure"]["attachments"]
    assert (report["purpose"], report["filename"]) == ("report", "validierungsbericht.json")
    said = opened(coded, stored.contents.attachments[UUID(report["attachmentId"])])
    assert (said["valid"], said["complete"], notes(said)) == (True, False, UNCHECKED)


def test_beside_a_hundred_attachments_it_is_accepted_without_the_report(coded):
    cover = coded.cover()
    with coded.hub.intake.open(cover, now=NOW) as reception:
        for number in range(100):
            sealer = reception.attach(name=f"a{number}", filename=None, media_type="application/pdf")
            sealer.finish()
        application = Application(cover=cover, media_type=MediaType.XML, data=LARGE)
        accepted = reception.accept(application, now=NOW).result(30)
    assert len(message(coded, accepted).contents.attachments) == 100
    assert notes(claims(coded, accepted)["validation"]) == UNCHECKED


def test_what_is_invalid_and_not_checked_completely_says_both(coded):
    intake = lenient(coded, OnInvalid.QUARANTINE)
    broken = LARGE.replace(b"</bau:bauantrag.antrag.0100>", b"<bau:x/></bau:bauantrag.antrag.0100>")
    application = Application(cover=coded.cover(), media_type=MediaType.XML, data=broken)
    said = claims(coded, intake.accept(application, now=NOW).result(10))["validation"]
    stopped = (Check.SCHEMA, Cause.SCHEMA_BROKEN)
    assert (said["valid"], said["onInvalid"], notes(said)) == (False, "quarantine", [stopped, *UNCHECKED])


def test_the_answer_says_it_too_and_a_repeat_says_the_same(served, tmp_path):
    listed = catalog(tmp_path, "VER")
    intake = served.stage.hub.intake
    intake.tools = altered(intake.tools, catalogs=lambda: listed)
    first, again = (served.submit(LARGE, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())
    assert notes(first.json()["validation"]) == UNCHECKED
    report = served.post("/hub/v1/validations", data=LARGE, headers={"Content-Type": "application/xml"}).json()
    assert (report["valid"], report["complete"], notes(report)) == (True, False, UNCHECKED)


def test_whoever_verifies_the_receipt_reads_it_in_both_languages(coded, tmp_path):
    receipt, keys = tmp_path / "receipt.jws", tmp_path / "jwks.json"
    keys.write_text(json.dumps(coded.hub.keys.hub_jwks()))
    said = {}
    for name, data in (("whole", BAUANTRAG), ("partly", LARGE)):
        receipt.write_text(coded.accept(data).receipt)
        result = CliRunner().invoke(main, ["receipt", "verify", str(receipt), "--jwks", str(keys)])
        assert result.exit_code == 0
        said[name] = result.output.partition("{")[0]
    assert "echt / genuine" in said["whole"].splitlines()
    assert "nicht vollständig geprüft" not in said["whole"]
    assert "nicht vollständig geprüft / not completely checked" in said["partly"]
    assert "Codelisten" in said["partly"]
    assert "code lists" in said["partly"]


def test_the_page_of_the_dry_run_does_not_call_it_simply_valid(coded):
    check = coded.hub.intake.check
    whole, partly = (
        check(data, media_type=MediaType.XML, schema=None, service=None, now=NOW) for data in (BAUANTRAG, LARGE)
    )
    assert "nicht vollständig geprüft" not in validation_page.verdict_html(whole, BAUANTRAG, NOW)
    page = validation_page.verdict_html(partly, LARGE, NOW)
    assert "✓ Gültig, aber nicht vollständig geprüft" in page
    assert "valid, but not completely checked" in page


def test_the_demo_specialist_system_shows_what_was_not_checked(tmp_path, coded):
    from hub.connector.demo_system import SpecialistSystem

    report = coded.hub.intake.check(LARGE, media_type=MediaType.XML, schema=None, service=None, now=NOW)
    system = SpecialistSystem(port=0, folder=tmp_path / "cases", secret="0123456789abcdef", now=lambda: NOW)
    try:
        submission = "ce75a6b8-d72f-4b94-b09e-af6be35bc2ae"
        document = orjson.loads(handed_over(submission))
        document["validation"] = {"checked": True, "report": report.as_json()}
        case = tmp_path / "cases" / submission
        case.mkdir(parents=True)
        (case / "antrag.json").write_bytes(orjson.dumps(document))
        (case / "received.json").write_bytes(orjson.dumps({"receivedAt": NOW.isoformat(), "repeat": False}))
        page = requests.get(f"http://127.0.0.1:{system.port}/", timeout=10).text
    finally:
        system.close()
    assert "gültig, nicht vollständig geprüft" in page
