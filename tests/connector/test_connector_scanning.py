# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""The connector has scanned what it opened before anybody else can have it: what was found decides, and is said."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner
from scanner_servers import FOUND, MARKER, rogue, saying
from stage import NOW
from test_connector_town import LATER, Town, catalog, good_data, signing_pair, town, town_keys

from hub.cli import main
from hub.connector.journal import JournalState
from hub.connector.scanning import RELEASED, TURNED_DOWN, decide, kept_back, shown
from hub.errors import ConfigurationError, NotFound

INFECTED = b"%PDF " + b"x" * 300_000 + MARKER


def scanning(address: str, **more) -> dict:
    return {"scan": {"address": address, "seconds": 5, **more}}


def report(town: Town) -> dict:
    (name,) = town.handed()
    return orjson.loads((town.inbox / name / "antrag.json").read_bytes())


@pytest.mark.parametrize("kind", ["clamd", "icap"])
def test_clean_is_handed_over_with_verdict_version_and_limits(town, kind, request):
    town.submit()
    settings = scanning(request.getfixturevalue(kind), limits="MaxScanSize=16M")
    assert town.start(**settings).run_once(NOW).accepted == 1
    said = report(town)["scan"]
    assert said.pop("version").startswith(("ClamAV ", "C-ICAP/"))
    assert said == {"verdict": "clean", "scanner": kind, "parts": 2, "limits": "MaxScanSize=16M"}


def test_without_a_scanner_the_report_says_that_nobody_scanned(town):
    town.submit()
    town.start().run_once(NOW)
    assert report(town)["scan"] is None


def test_malware_is_rejected_where_the_settings_say_so_and_nothing_was_on_the_disk(town, clamd):
    one = uuid4()
    town.submit(attachments={one: INFECTED})
    counts = town.start(**scanning(clamd, infected="refuse")).run_once(NOW)
    assert (counts.rejected, counts.handed) == (1, 0)
    assert town.reasons() == {("urn:rathaus-hub:rejection:malware-found", f"attachment:{one}")}
    assert FOUND in str(town.hub.posted)
    assert not list(town.inbox.iterdir())


def test_malware_in_the_data_counts_too(town, clamd):
    town.submit(good_data(MARKER.decode()))
    town.start(**scanning(clamd, infected="refuse")).run_once(NOW)
    assert town.reasons() == {("urn:rathaus-hub:rejection:malware-found", "data")}


def test_malware_that_is_handed_over_marked_is_named_by_its_part(town, clamd):
    one = uuid4()
    town.submit(attachments={one: INFECTED})
    assert town.start(**scanning(clamd, infected="mark")).run_once(NOW).accepted == 1
    said = report(town)["scan"]
    assert said["verdict"] == "infected"
    assert said["notable"] == [{"part": f"attachment:{one}", "verdict": "infected", "signature": FOUND}]


def plaintext_under(folder: Path) -> list[str]:
    return [str(each) for each in folder.rglob("*") if each.is_file() and MARKER in each.read_bytes()]


def test_malware_is_kept_back_sealed_until_somebody_decides(town, clamd):
    submission_id = town.submit(attachments={uuid4(): INFECTED})
    connector = town.start(**scanning(clamd))
    counts = connector.run_once(NOW)
    assert (counts.handed, counts.accepted, counts.rejected, counts.postponed, counts.open) == (0, 0, 0, 1, 1)
    assert (town.handed(), town.hub.posted, plaintext_under(town.folder)) == ([], [], [])
    # A restart and another look change nothing.
    assert town.start(**scanning(clamd)).run_once(LATER).postponed == 1
    assert [each.submission_id for each in kept_back(town.connector.journal)] == [submission_id]
    decide(town.connector.journal, submission_id, RELEASED, who="Erika", now=LATER)
    assert town.connector.run_once(LATER).accepted == 1
    said = report(town)["scan"]
    assert (said["verdict"], said["decision"]["who"], said["decision"]["what"]) == ("infected", "Erika", "released")
    with pytest.raises(NotFound):
        decide(town.connector.journal, submission_id, RELEASED, who="Erika", now=LATER)


def test_what_is_kept_back_can_be_turned_down(town, clamd):
    one = uuid4()
    submission_id = town.submit(attachments={one: INFECTED})
    town.start(**scanning(clamd)).run_once(NOW)
    decide(town.connector.journal, submission_id, TURNED_DOWN, who="Erika", now=NOW)
    assert town.connector.run_once(NOW).rejected == 1
    assert town.reasons() == {("urn:rathaus-hub:rejection:malware-found", f"attachment:{one}")}


def test_a_false_alarm_heals_when_the_signatures_do(town):
    town.submit()
    with rogue(saying(b"stream: Win.False FOUND\0")) as server:
        assert town.start(**scanning(server.clamd)).run_once(NOW).postponed == 1
    with rogue(saying(b"stream: OK\0")) as server:
        assert town.start(**scanning(server.clamd)).run_once(LATER).accepted == 1
    assert report(town)["scan"]["verdict"] == "clean"


def test_while_the_scanner_is_down_it_is_waited_for(town, clamd, tmp_path):
    town.submit()
    counts = town.start(**scanning(f"clamd:{tmp_path}/no.ctl")).run_once(NOW)
    assert (counts.postponed, town.handed(), town.hub.posted) == (1, [], [])
    assert town.start(**scanning(clamd)).run_once(LATER).accepted == 1


def test_while_the_scanner_is_down_it_passes_marked_where_the_settings_say_so(town, tmp_path):
    town.submit()
    assert town.start(**scanning(f"clamd:{tmp_path}/no.ctl", down="mark")).run_once(NOW).accepted == 1
    assert {each["reason"] for each in report(town)["scan"]["notable"]} == {"unreachable"}


def test_a_scanner_that_dies_between_two_parts_is_no_pass(town):
    answers = [b"stream: OK\0"]

    def once(came):
        saying(answers.pop() if answers else b"")(came)

    town.submit()
    with rogue(once) as server:
        assert town.start(**scanning(server.clamd)).run_once(NOW).postponed == 1
    assert town.handed() == []


def test_what_was_opened_before_anybody_scanned_is_scanned_before_it_goes_over(town, clamd, monkeypatch):
    """A journal of before: opened and judged, and the process ended there."""
    town.submit(attachments={uuid4(): INFECTED})
    connector = town.start()
    with monkeypatch.context() as patched:
        patched.setattr(type(connector), "_hand_over", lambda *_: (_ for _ in ()).throw(RuntimeError))
        connector.run_once(NOW)
    assert connector.status() == {JournalState.OPENED: 1}
    assert town.start(**scanning(clamd)).run_once(LATER).handed == 0
    assert town.handed() == []


def test_what_people_decided_before_anybody_scanned_goes_over_and_says_that_nobody_scanned(town, clamd, tmp_path):
    """Whoever accepted it has read it; a scan that was switched on afterwards takes no decision back, and claims nothing."""
    submission_id = town.submit(attachments={uuid4(): INFECTED})
    clerks = {"handover": {"kind": "folder", "path": "in", "mode": "clerk"}}
    connector = town.start(**clerks)
    connector.run_once(NOW)
    connector.say.desk.accept(submission_id, who="anna")
    assert town.start(**clerks, **scanning(clamd)).run_once(LATER).handed == 1
    assert report(town)["scan"] is None


def test_people_see_what_a_scan_found(town, clamd, tmp_path):
    town.submit(attachments={uuid4(): INFECTED})
    document = {"kind": "folder", "path": "in", "mode": "system", "outbox": "out"}
    (town.folder / "out").mkdir()
    connector = town.start(handover=document, **scanning(clamd, infected="mark"))
    connector.run_once(NOW)
    (entry,) = connector.journal.rows("SELECT state, scan FROM submission")
    assert entry["state"] == JournalState.WAITING
    level, words = shown(entry["scan"])
    assert (level, FOUND in words.en) == ("danger", True)
    assert shown(None) is None


def test_the_command_shows_releases_and_rejects_what_is_kept_back(town, clamd):
    submission_id = town.submit(attachments={uuid4(): INFECTED})
    town.start(**scanning(clamd)).run_once(NOW)
    town.stop()
    config = town.folder / "connector.toml"
    config.write_text(as_file(town, clamd))
    config.chmod(0o600)

    def command(*arguments: str):
        return CliRunner().invoke(main, ["connector", "quarantine", *arguments, "--config", str(config)])

    listed = command("list").output
    assert str(submission_id) in listed
    assert FOUND in listed
    assert command("reject", str(uuid4())).exit_code != 0
    assert command("release", str(submission_id)).exit_code == 0
    assert command("list").output == ""
    entry = town.start(**scanning(clamd)).journal.find(submission_id)
    assert orjson.loads(entry.scan)["decision"]["what"] == RELEASED


def as_file(town: Town, address: str) -> str:
    hub, (destination,) = town.document["hub"], town.document["destinations"]
    lines = ['journal = "journal.sqlite3"', "[hub]"]
    lines += [f'{name} = "{value}"' for name, value in hub.items()]
    lines += ["[[destinations]]", f'destination_id = "{destination["destination_id"]}"']
    lines += ['decryption_key_files = ["d"]', 'signing_key_file = "s"']
    lines += ["[handover]", 'kind = "folder"', 'path = "in"', "[scan]", f'address = "{address}"']
    return "\n".join(lines) + "\n"


def test_settings_of_a_scan_that_cannot_be_are_told(town):
    with pytest.raises(ConfigurationError) as caught:
        town.start(scan={"address": "http://scanner", "infected": "delete", "down": "refuse"})
    said = str(caught.value.members["faults"])
    assert all(name in said for name in ("scan.address", "scan.infected", "scan.down"))
