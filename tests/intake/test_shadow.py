"""What is announced judges what comes in, beside the answer: rules and counts, never contents; and the calendar."""

from __future__ import annotations

import shutil
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from stage import BAUANTRAG, BAUEN, NOW, Served, serving, staged

from hub.cli.main import main
from hub.errors import UnknownSchema
from hub.intake.shadow import Shadow
from hub.model import EVERYTHING, MediaType, Scope
from hub.validation.calendar import Phase, calendar, rehearsed
from hub.validation.manifest import SchemaStanding, Status, write_standing

OLD = "https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd"
FIRST = NOW.date() + timedelta(days=40)
BROKEN = BAUANTRAG.replace(b"<anlage>", b"<beilage>").replace(b"</anlage>", b"</beilage>")


@pytest.fixture(scope="module")
def door(made_once: Path, tmp_path_factory):
    """A hub whose building permit is of version 1.0, until 1.1 is binding; 1.2 is withdrawn."""
    folder = tmp_path_factory.mktemp("calendar")
    made = Path(shutil.copytree(made_once, folder / "made"))
    for version, status, begins, ends in (
        ("1.0", Status.VALID, date(2026, 1, 1), FIRST - timedelta(days=1)),
        ("1.1", Status.VALID, FIRST, None),
        ("1.2", Status.WITHDRAWN, None, None),
    ):
        standing = SchemaStanding(status=status, valid_from=begins, valid_until=ends)
        write_standing(made / "schemas", ("bauantrag", version), standing)
    with staged(made, folder) as stage, serving(stage) as served:
        yield served


def settled(door: Served) -> None:
    """Wait until what was offered is judged and its counts are stored."""
    pool = door.stage.hub.shadow._pool
    assert pool is not None
    pool.submit(lambda: None).result(20)
    door.stage.hub.store.readiness.note({}).result(20)


def test_the_calendar_says_what_binds_when_and_time_alone_applies_it(door: Served):
    stage = door.stage
    found = {each.version: each for each in calendar(stage.hub.catalogs(), NOW.date()) if each.standard == "bauantrag"}
    assert [found[each].phase for each in ("1.0", "1.1", "1.2")] == [Phase.ENDING, Phase.ANNOUNCED, Phase.ENDED]
    assert (found["1.0"].successor, found["1.1"].valid_from) == ("1.1", FIRST)
    said = {
        (each["standard"], each["version"]): each["phase"]
        for each in door.get("/hub/v1/schemas/calendar").json()["versions"]
    }
    assert (said["bauantrag", "1.0"], said["bauantrag", "1.1"]) == ("ending", "announced")
    check = {"media_type": MediaType.XML, "schema": None, "service": BAUEN}
    catalog = stage.hub.catalogs()
    assert catalog.check(data=BAUANTRAG, on=FIRST - timedelta(days=1), **check).schema.uri == OLD
    with pytest.raises(UnknownSchema):
        catalog.check(data=BAUANTRAG, on=FIRST, **check)
    newer = BAUANTRAG.replace(b"bauantrag/1.0", b"bauantrag/1.1")
    with pytest.raises(UnknownSchema):
        catalog.check(data=newer, on=FIRST - timedelta(days=1), **check)
    after = {each.version: each.phase for each in calendar(catalog, FIRST) if each.standard == "bauantrag"}
    assert after == {"1.0": Phase.ENDED, "1.1": Phase.VALID, "1.2": Phase.ENDED}


def test_real_traffic_is_judged_by_what_is_announced_and_told_by_town_and_sender(door: Served):
    stage = door.stage
    trial = stage.hub.catalogs().as_if_in_force("bauantrag", "1.1")
    alone = rehearsed(
        trial,
        stage.hub.catalogs().entry(OLD),
        media_type=MediaType.XML,
        data=BAUANTRAG,
        service=BAUEN,
        on=NOW.date(),
        sent=None,
    )
    rules = {each.rule for each in alone.violations}
    for _ in range(2):
        assert door.submit().status_code == 202
        settled(door)
        stage.hub.shadow.rests_until = 0.0
    (line,) = stage.hub.store.readiness.lines("bauantrag", "1.1", since=NOW.date(), scope=EVERYTHING)
    assert (line.judged, line.sender) == (2, door.stage.cast["sender"]["client_id"])
    assert (line.refused, set(line.rules)) == (2 if rules else 0, rules)
    assert stage.hub.store.readiness.lines("bauantrag", "1.1", since=NOW.date(), scope=Scope.of_area("06411")) == []
    report = stage.hub.readiness_desk.report("bauantrag", "1.1", scope=EVERYTHING, now=stage.clock())
    assert ([each.line for each in report.rows], report.judged) == ([line], 2)
    assert "Taunus" in report.rows[0].name
    assert stage.hub.readiness_desk.forget(stage.clock() + timedelta(days=179)) == 0


def test_what_breaks_a_rule_counts_by_the_rule_and_no_content_is_kept(door: Served):
    stage = door.stage
    entry = stage.hub.catalogs().entry(OLD)

    class Taken:
        media_type = MediaType.XML
        data = BROKEN
        cover = stage.cover()

    stage.hub.shadow.rests_until = 0.0
    here = stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht")
    judged = stage.hub.shadow.offer(Taken(), entry, here, sent=(), at=stage.clock())
    assert judged is not None
    judged.result(20)
    settled(door)
    found = stage.hub.store.readiness.lines("bauantrag", "1.1", since=NOW.date(), scope=EVERYTHING)
    assert sum(each.refused for each in found) >= 1
    assert all(rule and "beilage" not in rule for each in found for rule in each.rules)


def test_a_trial_that_fails_costs_nobody_an_answer(door: Served, monkeypatch, caplog):
    stage = door.stage
    earlier = stage.hub.store.readiness.lines("bauantrag", "1.1", since=NOW.date(), scope=EVERYTHING)
    before = sum(each.judged for each in earlier)

    def broken(*_given, **_named):
        raise OSError("no thread, no memory, no schema")

    with monkeypatch.context() as patched:
        patched.setattr("hub.intake.shadow.rehearsed", broken)
        stage.hub.shadow.rests_until = 0.0
        assert door.submit().status_code == 202
        settled(door)
    assert "was not judged by what is announced: OSError" in caplog.text
    stage.hub.shadow.rests_until = 0.0
    assert door.submit().status_code == 202
    settled(door)
    lines = stage.hub.store.readiness.lines("bauantrag", "1.1", since=NOW.date(), scope=EVERYTHING)
    assert sum(each.judged for each in lines) == before + 1


def test_it_rests_longer_than_it_works_and_takes_neither_too_many_nor_too_large(door: Served):
    stage = door.stage
    entry = stage.hub.catalogs().entry(OLD)
    here = stage.destination_id("Rheingau-Taunus-Kreis, Bauaufsicht")
    ticks = iter(range(0, 1_000, 1))
    shadow = Shadow(store=stage.hub.store, catalogs=stage.hub.catalogs, monotonic=lambda: float(next(ticks)))

    class Taken:
        media_type = MediaType.XML
        data = BAUANTRAG
        cover = stage.cover()

    try:
        first = shadow.offer(Taken(), entry, here, sent=(), at=stage.clock())
        assert first is not None
        first.result(20)
        assert shadow.offer(Taken(), entry, here, sent=(), at=stage.clock()) is None, "it rests"
        shadow.rests_until, shadow.waiting = 0.0, 8
        assert shadow.offer(Taken(), entry, here, sent=(), at=stage.clock()) is None, "there is no room"
        shadow.waiting = 0
        large = Taken()
        large.data = b" " * (4 * 1024 * 1024 + 1)
        assert shadow.offer(large, entry, here, sent=(), at=stage.clock()) is None
        assert shadow.offer(Taken(), entry, here, sent=(), at=stage.clock() + timedelta(days=50)) is None, (
            "all is binding"
        )
    finally:
        shadow.close()
    assert shadow.offer(Taken(), entry, here, sent=(), at=stage.clock()) is None, (
        "it is over, and the answer is given all the same"
    )


def test_who_uses_what_ends_is_listed_by_client(door: Served):
    client = door.stage.cast["sender"]["client_id"]
    assert door.get("/submission-api/v1/cases").status_code == 200
    wanted, found = {("fit-connect-v1", client)}, set()
    for _ in range(1_000):  # A use is noted once its answer has gone.
        uses = door.stage.hub.readiness_desk.uses(scope=EVERYTHING, now=door.stage.clock())
        found = {(each.what, each.client) for each in uses}
        if wanted <= found:
            break
        time.sleep(0.02)
    assert wanted <= found
    assert door.stage.hub.readiness_desk.uses(scope=Scope(frozenset({"nobody"})), now=door.stage.clock()) == []
    assert door.get("/hub/v1/readiness/uses").status_code == 403, "a sender is no administrator"


def test_the_command_line_shows_calendar_and_readiness(door: Served):
    said = CliRunner().invoke(main, ["schemas", "calendar", "--data", str(door.stage.data)])
    assert said.exit_code == 0, said.output
    assert "bauantrag" in said.output
