"""An application that names attachments: what comes of it with them, without them, and where they are required."""

# ruff: noqa: F401, F811  # Fixtures are imported and used by name.

from __future__ import annotations

import json
import shutil
import unicodedata
from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4

import orjson
import pytest
import yaml
from click.testing import CliRunner
from stage import ANMELDEN, BAUANTRAG, BAUEN, NAMING, NOW, SCHEMAS, TAUNUSSTEIN, WIESBADEN, altered
from test_connector_town import CANARY, catalog, good_data, town, town_keys
from test_policy import claims, message, opened

from hub.api import validation_page
from hub.cli.main import main
from hub.crypto import claims_of
from hub.demo.stage import EXAMPLES
from hub.model import Application, MediaType
from hub.validation.catalog import SchemaCatalog

ANMELDUNG = (SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json").read_bytes()
PLACE = "/bau:bauantrag.antrag.0100/bau:anlage[1]/bau:dateiname[1]"
XML, JSON = ("application/xml", "application/json")
PDF = ("application/pdf", b"%PDF")


def send(stage, data=NAMING, *, files=("lageplan.pdf",), said=None, **cover):
    """Send an application with files of these names through the plain door."""
    envelope = stage.cover(**cover)
    with stage.hub.intake.open(envelope, now=stage.clock()) as reception:
        for number, name in enumerate(files):
            sealer = reception.attach(name=f"a{number}", filename=name, media_type=PDF[0])
            sealer.write(PDF[1])
            sealer.finish()
        application = Application(cover=envelope, media_type=MediaType.XML, data=data, metadata=said or {})
        return reception.accept(application, now=stage.clock()).result(10)


def requiring(stage, tmp_path) -> None:
    """Give the stage a catalogue in which the files that a building application names are required."""
    folder = tmp_path / "catalogue"
    shutil.copytree(SCHEMAS, folder)
    path = folder / "bauantrag/1.0/catalog.yaml"
    document = yaml.safe_load(path.read_text())
    document["schemas"][0]["attachments"][0]["required"] = True
    path.write_text(yaml.safe_dump(document))
    loaded = SchemaCatalog.load(folder)
    stage.hub.intake.tools = altered(stage.hub.intake.tools, catalogs=lambda: loaded)


def enclosed_report(stage, accepted) -> dict | None:
    stored = message(stage, accepted)
    listed = opened(stage, stored.contents.metadata)["contentStructure"]["attachments"]
    found = [each["attachmentId"] for each in listed if each["purpose"] == "report"]
    return opened(stage, stored.contents.attachments[UUID(found[0])]) if found else None


# Through the plain door.


def test_what_is_named_and_not_sent_is_accepted_with_a_warning_in_receipt_and_report(stage):
    accepted = send(stage, files=())
    said = claims(stage, accepted)["validation"]
    assert said == {"valid": True, "complete": True, "missingAttachments": 1, "unchecked": []}
    (found,) = enclosed_report(stage, accepted)["violations"]
    assert (found["rule"], found["severity"], found["path"], found["line"]) == (
        "attachment.missing",
        "warning",
        PLACE,
        61,
    )


def test_what_is_named_and_sent_is_not_spoken_of(stage):
    accepted = send(stage, files=("andere.pdf", "lageplan.pdf"))
    assert "validation" not in claims(stage, accepted)
    assert enclosed_report(stage, accepted) is None


def test_an_application_that_names_nothing_is_not_spoken_of_whatever_it_encloses(stage):
    for files in ((), ("lageplan.pdf",)):
        assert "validation" not in claims(stage, send(stage, BAUANTRAG, files=files))


AS_SEEN = {
    "the metadata give the file its name": ("scan-0001.pdf", {"filename": "lageplan.pdf"}, True),
    "the metadata give the file another name": ("lageplan.pdf", {"filename": "plan.pdf"}, False),
    "the metadata say something else of it": ("lageplan.pdf", {"description": "Plan"}, True),
    "the file has no name": (None, {}, False),
    "the file has another case": ("Lageplan.pdf", {}, False),
}


@pytest.mark.parametrize(("filename", "note", "there"), AS_SEEN.values(), ids=AS_SEEN)
def test_it_is_the_name_that_the_authority_will_see_that_counts(stage, filename, note, there):
    accepted = send(stage, files=(filename,), said={"attachments": {"a0": note}})
    assert ("validation" not in claims(stage, accepted)) is there


def test_a_decomposed_file_name_is_the_same_name(stage):
    named = NAMING.replace(b"lageplan.pdf", "Plan für Łódź.pdf".encode())
    for form in ("NFC", "NFD"):
        accepted = send(stage, named, files=(unicodedata.normalize(form, "Plan für Łódź.pdf"),))
        assert "validation" not in claims(stage, accepted)


@pytest.mark.parametrize("shape", [[], {"a0": 1}, {"a0": None}, {"a0": {"filename": 7}}], ids=str)
def test_metadata_of_another_form_are_refused_as_ever(served, shape):
    parts = {
        "metadata": ("m", json.dumps({"attachments": shape}), JSON),
        "data": ("d", NAMING, XML),
        "a0": ("lageplan.pdf", b"%PDF", PDF[0]),
    }
    answer = served.post("/hub/v1/applications", params={"service": BAUEN, "ars": TAUNUSSTEIN}, files=parts)
    assert answer.status_code in (400, 422)
    assert served.stage.hub.store.submissions.cases().total == 0


PARTS = {"data": ("antrag.xml", NAMING, XML), "plan": ("lageplan.pdf", b"%PDF", PDF[0])}
ORDERS = {"data first": ("data", "plan"), "data last": ("plan", "data")}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("required", [False, True])
def test_attachments_may_come_before_or_after_the_data(served, tmp_path, order, required):
    if required:
        requiring(served.stage, tmp_path)
    parts = [(name, PARTS[name]) for name in order]
    answer = served.post("/hub/v1/applications", params={"service": BAUEN, "ars": TAUNUSSTEIN}, files=parts)
    assert answer.status_code == 202, answer.text
    assert "validation" not in answer.json()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_what_is_required_and_not_sent_is_refused_and_nothing_of_it_stays(served, tmp_path, order):
    requiring(served.stage, tmp_path)
    others = {**PARTS, "plan": ("geheim.pdf", bytes(300_000), PDF[0])}
    parts = [(name, others[name]) for name in order]
    answer = served.post("/hub/v1/applications", params={"service": BAUEN, "ars": TAUNUSSTEIN}, files=parts)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:rathaus-hub:problem:invalid-payload")
    (found,) = problem["violations"]
    assert (found["rule"], found["severity"], found["path"], found["line"]) == (
        "attachment.missing",
        "error",
        PLACE,
        61,
    )
    assert "fehlen" in problem["detailDe"]
    assert "missing" in problem["detailEn"]
    assert "lageplan" not in answer.text
    assert served.stage.hub.store.submissions.cases().total == 0
    assert not any(served.stage.hub.blobs.names(served.stage.clock()))


def test_without_multipart_nothing_is_enclosed_and_the_answer_says_what_is_missing(served, tmp_path):
    answer = served.submit(NAMING)
    assert (answer.status_code, answer.json()["validation"]["missingAttachments"]) == (202, 1)
    assert claims_of(answer.json()["receipt"])["validation"] == answer.json()["validation"]
    requiring(served.stage, tmp_path)
    assert served.submit(NAMING).status_code == 422


def test_a_json_application_is_judged_likewise(served):
    where = {"service": ANMELDEN, "ars": WIESBADEN}
    alone = served.post("/hub/v1/applications", params=where, data=ANMELDUNG, headers={"Content-Type": JSON})
    assert alone.json()["validation"]["missingAttachments"] == 1
    parts = {"data": ("d", ANMELDUNG, JSON), "x": ("bestaetigung.pdf", b"%PDF", PDF[0])}
    whole = served.post("/hub/v1/applications", params=where, files=parts)
    assert (whole.status_code, "validation" in whole.json()) == (202, False)


def test_a_broken_application_is_told_of_its_missing_attachments_at_once(served):
    broken = NAMING.replace(b"</bau:bauantrag.antrag.0100>", b"<bau:x/></bau:bauantrag.antrag.0100>")
    problem = served.submit(broken).json()
    assert problem["violations"][-1]["rule"] == "attachment.missing"
    assert problem["total"] == 2


def test_a_repeat_gets_the_earlier_answer(served):
    first, again = (served.submit(NAMING, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())


# Where nothing can be enclosed.


def test_a_dry_run_says_that_it_cannot_judge_the_names(served):
    for data, complete in ((NAMING, False), (BAUANTRAG, True)):
        report = served.post("/hub/v1/validations", data=data, headers={"Content-Type": XML}).json()
        assert (report["valid"], report["complete"], report["total"]) == (True, complete, 0)
        causes = [(each["check"], each["cause"]) for each in report["unchecked"]]
        assert causes == ([] if complete else [("attachments", "no-attachments")])


def test_the_page_and_the_command_line_say_it_too(stage, tmp_path):
    report = stage.hub.intake.check(NAMING, media_type=MediaType.XML, schema=None, service=None, now=stage.clock())
    page = validation_page.verdict_html(report, NAMING, stage.clock())
    assert "✓ Gültig, aber nicht vollständig geprüft" in page
    assert "Das Dokument nennt Anlagen." in page
    path = tmp_path / "antrag.xml"
    path.write_bytes(NAMING)
    result = CliRunner().invoke(main, ["validate", str(path), "--data", str(tmp_path / "empty")])
    assert result.exit_code == 0
    assert "nicht vollständig geprüft" in result.output
    assert "The document names attachments." in result.output


def test_the_command_line_judges_what_it_submits(stage, tmp_path):
    stage.hub.close()
    antrag, plan = tmp_path / "antrag.xml", tmp_path / "lageplan.pdf"
    antrag.write_bytes(NAMING)
    plan.write_bytes(b"%PDF")
    command = ["submit", str(antrag), "--service", BAUEN, "--ars", TAUNUSSTEIN, "--data", str(stage.data)]
    alone = CliRunner().invoke(main, command)
    assert alone.exit_code == 0, alone.output
    assert "genannte Anlagen, die fehlen / attachments named that are missing: 1" in alone.output
    whole = CliRunner().invoke(main, [*command, "--attachment", str(plan)])
    assert whole.exit_code == 0, whole.output
    assert "die fehlen" not in whole.output


# The other side.


def test_the_page_of_a_submission_says_what_is_missing(pages):
    stage = pages.stage
    submission = claims(stage, send(stage, files=()))["sub"].removeprefix("submission:")
    whole = claims(stage, send(stage))["sub"].removeprefix("submission:")
    assert "genannte Anlagen, die fehlen: 1" in pages.as_("viktor").get(f"/submissions/{submission}").text
    assert "Prüfung beim Eingang" not in pages.as_("viktor").get(f"/submissions/{whole}").text


@pytest.mark.parametrize(("name", "missing"), [(f"{CANARY}.pdf", 0), ("nachweis.pdf", 1)])
def test_the_connector_judges_what_came_sealed(town, name, missing):
    document = orjson.loads(good_data())
    document["ermaessigung"] = {"grund": "tierheim", "nachweisDatei": name}
    submission = town.submit(orjson.dumps(document), {uuid4(): b"%PDF"})
    assert town.start().run_once(NOW).accepted == 1
    report = orjson.loads((town.inbox / str(submission) / "antrag.json").read_bytes())["validation"]["report"]
    assert (report["valid"], report["complete"], report["total"]) == (True, True, missing)


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.good], ids=lambda each: each.file)
def test_the_demo_sends_what_its_applications_name(example):
    shipped = SchemaCatalog.load(SCHEMAS)
    today = date(2026, 11, 2)
    ask = {"media_type": MediaType(example.media_type), "data": example.content, "schema": None, "on": today}
    assert not shipped.check(**ask, service=None).complete  # It does name some.
    whole = shipped.check(**ask, service=None, sent=[example.pdf])
    assert (whole.valid, whole.complete, whole.total) == (True, True, 0)
