"""The command line: what people and scripts use. Exit codes and one-line errors are part of its contract."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from shared_data import CATALOG, XWASSER, needs_shared_data
from stage import ANMELDEN, BAUEN, SCHEMAS, TAUNUSSTEIN, WIESBADEN

from hub import app
from hub.cli import main
from hub.config import load_settings
from hub.model import EVERYTHING, Role

GOOD = str(SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml")
BAD = str(SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml")
COMMANDS = Path(__file__).parents[2] / "docs/reference/commands.md"


@pytest.fixture
def hub(stage, monkeypatch):
    """Run a command on the stage's folder and return (exit code, what was printed)."""
    monkeypatch.setenv("HUB_DISK_WATERMARK_BYTES", "0")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--data", str(stage.data)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


def submitted(hub, *more: str) -> str:
    code, said = hub("submit", GOOD, "--service", BAUEN, "--ars", TAUNUSSTEIN, *more)
    assert code == 0, said
    return re.search(r"submissionId\s+(\S+)", said).group(1)


def test_an_unknown_command_is_wrong_usage():
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_a_data_folder_that_cannot_be_made_is_refused_in_words(tmp_path):
    (tmp_path / "file").touch()
    for command in (["status", "00000000-0000-4000-8000-000000000000"], ["serve"]):
        ended = CliRunner().invoke(main, [*command, "--data", str(tmp_path / "file" / "data")])
        assert (ended.exit_code, type(ended.exception)) == (1, SystemExit), ended.output
        assert "cannot be made" in ended.output


def test_a_bad_document_exits_1_and_says_where_and_which_rule(hub):
    code, said = hub("validate", BAD)
    assert code == 1
    assert "xml.element-missing" in said
    assert "Zeile" in said


def test_a_good_document_exits_0_and_names_its_schema(hub):
    code, said = hub("validate", GOOD)
    assert (code, "bauantrag.xsd 1.0" in said) == (0, True)


def test_a_report_can_be_had_as_json(hub):
    code, said = hub("validate", BAD, "--json")
    assert (code, json.loads(said)["valid"]) == (1, False)


def test_a_file_of_no_known_schema_is_refused_in_one_line_each_language(hub, tmp_path):
    (tmp_path / "x.xml").write_text("<x xmlns='urn:none'/>")
    code, said = hub("validate", str(tmp_path / "x.xml"))
    assert code == 1
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 2


def test_what_is_submitted_gets_a_status_and_a_receipt_that_verifies(hub, tmp_path):
    receipt = tmp_path / "receipt.jws"
    submission_id = submitted(hub, "--receipt", str(receipt))
    code, said = hub("status", submission_id)
    assert (code, "submitted" in said, "queued" in said) == (0, True, True)
    code, said = hub("receipt", "verify", str(receipt))
    assert (code, submission_id in said) == (0, True)


def test_a_receipt_verifies_with_nothing_but_the_published_keys(hub, stage, tmp_path):
    receipt, jwks = tmp_path / "receipt.jws", tmp_path / "jwks.json"
    submitted(hub, "--receipt", str(receipt))
    jwks.write_text(json.dumps(stage.hub.keys.hub_jwks()))
    result = CliRunner().invoke(main, ["receipt", "verify", str(receipt), "--jwks", str(jwks), "--data", str(tmp_path)])
    assert result.exit_code == 0


def test_a_changed_receipt_is_found(hub, tmp_path):
    receipt = tmp_path / "receipt.jws"
    submitted(hub, "--receipt", str(receipt))
    header, payload, signature = receipt.read_text().strip().split(".")
    receipt.write_text(f"{header}.{payload[:-4]}AAAA.{signature}")
    code, said = hub("receipt", "verify", str(receipt))
    assert (code, "Traceback" in said) == (1, False)


def test_attachments_may_come_along(hub, tmp_path):
    (tmp_path / "plan.pdf").write_bytes(b"%PDF-1.4")
    submitted(hub, "--attachment", str(tmp_path / "plan.pdf"))


def test_a_repeat_with_the_same_key_changes_nothing(hub):
    assert submitted(hub, "--idempotency-key", "k") == submitted(hub, "--idempotency-key", "k")


def test_what_a_sender_submitted_is_listed_by_its_reference(hub):
    first, second = submitted(hub, "--reference", "OD-1"), submitted(hub)
    assert [line.split()[0] for line in hub("status", "--list")[1].splitlines()] == [second, first]
    (line,) = hub("status", "--list", "--reference", "OD-1")[1].splitlines()
    assert line.split()[0] == first
    assert hub("status", "--list", "--sender", "nobody") == (0, "")
    assert hub("status")[0] == hub("status", first, "--list")[0] == 2


def test_an_application_may_name_its_service_either_way(hub):
    also, alone = BAUEN.replace("leika:", ""), BAUEN.rpartition(":")[2]
    assert (also, alone) == ("urn:de:fim:leistung:99012008001000", "99012008001000")
    for name in (also, alone):
        code, said = hub("submit", GOOD, "--service", name, "--ars", TAUNUSSTEIN)
        assert (code, "submissionId" in said) == (0, True), said


def test_what_is_submitted_beside_a_hub_at_another_port_is_signed_by_the_same_issuer(stage):
    """The address is in the store: who only works or submits does not know where the one that serves listens."""
    served = load_settings(stage.data, {}, port=18_123)
    app.build(served, clock=stage.clock, listens=True).close()
    for settings, said in (
        (load_settings(stage.data, {}), "http://127.0.0.1:18123"),
        (load_settings(stage.data, {}, base_url="https://hub.example"), "https://hub.example"),
    ):
        beside = app.build(settings, clock=stage.clock, serves=False)
        accepted = replace(stage, hub=beside).accept()
        beside.close()
        assert accepted.claims["iss"] == said
    restarted = app.build(load_settings(stage.data, {}, port=18_124), clock=stage.clock, listens=True)
    assert restarted.base_url == "http://127.0.0.1:18124"
    restarted.close()


def test_an_unknown_submission_is_refused(hub):
    assert hub("status", "7b1c9e04-2d58-4c7a-8f31-5a9e0c406414")[0] == 1


def test_logs_verify_and_one_changed_byte_is_found(hub, stage):
    submitted(hub)
    code, said = hub("log", "verify")
    assert (code, "intact" in said) == (0, True)
    database = sqlite3.connect(stage.data / "hub.sqlite")
    (payload,) = database.execute("SELECT payload FROM events WHERE seq = 2").fetchone()
    database.execute("UPDATE events SET payload = ? WHERE seq = 2", (payload.replace("a", "b", 1),))
    database.commit()
    database.close()
    code, said = hub("log", "verify")
    assert (code, "#2" in said) == (1, True)


def test_a_removed_last_event_is_found(hub, stage):
    submitted(hub)
    database = sqlite3.connect(stage.data / "hub.sqlite")
    database.execute("DELETE FROM events WHERE seq = 2")
    database.commit()
    database.close()
    assert hub("log", "verify")[0] == 1


def test_a_route_is_explained(hub):
    code, said = hub("route", "explain", "--service", BAUEN, "--ars", TAUNUSSTEIN)
    assert (code, "rtk-bauaufsicht" in said, "Zugang: offen" in said) == (0, True, True)


def test_a_route_is_explained_for_the_other_name_of_the_service(hub):
    code, said = hub("route", "explain", "--service", BAUEN.replace(":leika:", ":"), "--ars", TAUNUSSTEIN)
    assert (code, "rtk-bauaufsicht" in said) == (0, True)


def test_where_nobody_is_responsible_the_explanation_exits_1(hub):
    assert hub("route", "explain", "--service", ANMELDEN, "--ars", TAUNUSSTEIN)[0] == 1


def test_the_dissolved_hanau_names_its_successor(hub):
    code, said = hub("route", "explain", "--service", ANMELDEN, "--ars", "064350014014")
    assert (code, "064150000000" in said) == (1, True)


def test_a_client_is_added_rotated_and_disabled_and_its_secret_is_shown_once(hub):
    code, said = hub("clients", "add", "Ein Portal", "--kind", "sender")
    client_id = re.search(r"client_id\s+(\S+)", said).group(1)
    secret = re.search(r"client_secret\s+(\S+)", said).group(1)
    assert code == 0
    assert secret not in hub("clients", "list")[1]
    assert secret not in hub("clients", "rotate", client_id)[1]
    assert hub("clients", "disable", client_id)[0] == 0
    assert "disabled" in hub("clients", "list")[1]


def test_a_named_person_makes_clients_within_the_own_rights(hub, stage, tmp_path):
    people = json.loads((stage.data / "demo" / "accounts.json").read_text())
    secret = tmp_path / "password"
    stage.hub.accounts.add("viktor", people["demo-anna"], roles=(Role.VIEWER,), actor="cli:test", now=stage.clock())

    def by(name):
        secret.write_text(people["demo-anna"] if name == "viktor" else people[name])
        secret.chmod(0o600)
        return "--as", name, "--password-file", str(secret)

    code, said = hub("clients", "add", "Ein Portal", "--kind", "sender", *by("viktor"))
    assert (code, "operate" in said) == (1, True)
    client_id = re.search(
        r"client_id\s+(\S+)", hub("clients", "add", "P", "--kind", "machine", *by("demo-anna"))[1]
    ).group(1)
    assert hub("clients", "rotate", client_id, *by("demo-ben"))[0] == 0
    assert hub("clients", "disable", client_id, *by("demo-anna"))[0] == 0
    entries = [each.entry for each in stage.hub.store.audit.entries(target=client_id, scope=EVERYTHING).items]
    assert [(each.action, each.actor) for each in entries] == [
        ("client.add", "demo-anna"),
        ("client.rotate", "demo-ben"),
        ("client.disable", "demo-anna"),
    ]


def test_schemas_are_listed(hub):
    assert "bauantrag" in hub("schemas", "list")[1]


@needs_shared_data
def test_an_official_package_is_brought_in_and_judges_by_itself(hub, stage):
    source = str(XWASSER / "schemas" / "V1_0_0")
    code, said = hub(
        "schemas", "import", source, "--standard", "xwasser", "--version", "1.0", "--catalog", str(CATALOG)
    )
    assert code == 0, said
    assert (
        hub("schemas", "import", source, "--standard", "xwasser", "--version", "1.0", "--catalog", str(CATALOG))[0] == 1
    )
    # Whoever may write the data folder acts alone; what they did stands in the audit log, and what failed does not.
    (entry,) = [each.entry for each in stage.hub.store.audit.entries(action="schema.import", scope=EVERYTHING).items]
    assert (entry.target, entry.actor[:4], entry.after["status"]) == ("schema:xwasser/1.0", "cli:", "valid")
    dangling = hub("validate", str(XWASSER / "tests" / "quality_report_minimal.xml"))
    assert (dangling[0], dangling[1].count("idref-dangling")) == (1, 2)
    assert hub("validate", str(XWASSER / "tests" / "olb_report_minimal.xml"))[0] == 0


def test_keys_are_made_and_shown(hub, tmp_path):
    code, _ = hub("keys", "make", str(tmp_path / "keys"), "--subject", "Gemeinde Muster")
    assert code == 0
    private = tmp_path / "keys" / "encryption-private.json"
    assert private.stat().st_mode & 0o777 == 0o600
    assert "/hub/v1/jwks.json" in hub("keys", "show")[1]


def test_an_unknown_setting_stops_the_command_in_words(hub, monkeypatch):
    monkeypatch.setenv("HUB_PROT", "80")
    code, said = hub("schemas", "list")
    assert (code, "prot" in said) == (1, True)


def test_a_json_document_is_told_from_xml_by_its_first_character(hub):
    assert hub("validate", str(SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json"))[0] == 0
    assert (
        hub(
            "submit",
            str(SCHEMAS / "fim-wohnsitz/1.0/examples/good-umzug.json"),
            "--service",
            ANMELDEN,
            "--ars",
            WIESBADEN,
        )[0]
        == 0
    )


def test_the_manual_shows_the_help_that_the_command_prints():
    printed = CliRunner().invoke(main, ["--help"], prog_name="hub", terminal_width=100).output
    assert printed.strip() in COMMANDS.read_text(encoding="utf-8")
