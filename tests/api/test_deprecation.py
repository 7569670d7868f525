"""What will end says so in its answers, with the day and where to read on, and is counted by who still uses it."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stage import BAUANTRAG, Served, serving, staged

from hub.api.application import load, operations
from hub.api.deprecation import DEPRECATED
from hub.resources import shipped
from hub.validation.manifest import SchemaStanding, Status, write_standing

OLD = "https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd"
NEW = "https://schema.rathaus-hub.example/bauantrag/1.2#bauantrag"
LAST = date(2027, 6, 30)
FIELDS = ("Deprecation", "Sunset")


@pytest.fixture(scope="module")
def door(made_once: Path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("endings")
    made = Path(shutil.copytree(made_once, folder / "made"))
    standing = SchemaStanding(status=Status.VALID, valid_from=date(2026, 1, 1), valid_until=LAST)
    write_standing(made / "schemas", ("bauantrag", "1.0"), standing)
    with staged(made, folder, metrics="on") as stage, serving(stage) as served:
        yield served


def ending(answer) -> tuple[datetime, datetime, str]:
    """Since when, until when, and where to read on."""
    since = datetime.fromtimestamp(int(answer.headers["Deprecation"].removeprefix("@")), UTC)
    links = [each for each in answer.headers["Link"].split(", ") if 'rel="deprecation"' in each]
    assert len(links) == 1
    return since, parsedate_to_datetime(answer.headers["Sunset"]), links[0].partition(">")[0].removeprefix("<")


def uses(door: Served) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(door.get("/metrics").text)
    samples = [each for family in families for each in family.samples if each.name == "hub_deprecated_uses_total"]
    return {(each.labels["what"], each.labels["client"]): each.value for each in samples}


def test_each_answer_of_version_1_says_when_it_ends_and_where_to_read_on(door: Served):
    before = uses(door)
    table = DEPRECATED["fit_connect.v1."]
    for path, status in (("/v1/info", 200), ("/submission-api/v1/cases", 200), (f"/v1/cases/{'0' * 8}", 400)):
        answer = door.get(path)
        assert answer.status_code == status, path
        assert ending(answer) == (table.since, table.ends, table.about)
    assert door.get(table.about).status_code == 200
    client = door.stage.cast["sender"]["client_id"]
    counted = {key: value - before.get(key, 0) for key, value in uses(door).items()}
    assert sum(value for (what, _), value in counted.items() if what == "fit-connect-v1") == 3
    assert counted["fit-connect-v1", client] >= 1


def test_version_2_and_what_is_none_say_nothing(door: Served):
    for path in ("/v2/info", "/v2/cases", "/hub/v1/applications", "/v1/nothing", "/health/live"):
        assert not {*FIELDS} & {*door.get(path).headers}, path


def test_the_contract_marks_what_the_table_ends_and_nothing_else():
    contract = load(shipped("openapi.yaml"))
    ended = {operation["operationId"] for _, _, operation in operations(contract) if operation.get("deprecated")}
    named = {operation["operationId"] for _, _, operation in operations(contract)}
    assert ended == {each for each in named if each.startswith(tuple(DEPRECATED))}
    assert len(ended) > 30


def test_what_ends_lives_for_at_least_a_year_after_it_was_said():
    assert all(each.ends - each.since >= timedelta(days=365) for each in DEPRECATED.values())


def test_a_schema_that_ends_says_so_wherever_it_is_used_and_leads_to_what_changes(door: Served):
    answers = [
        door.submit(BAUANTRAG, schema=OLD),
        door.post("/hub/v1/validations", data=BAUANTRAG, headers={"Content-Type": "application/xml"}),
        door.get("/hub/v1/schemas/entry", params={"uri": OLD}),
        door.get("/hub/v1/schemas/document", params={"uri": OLD}),
    ]
    assert [each.status_code for each in answers] == [202, 200, 200, 200]
    for answer in answers:
        since, until, about = ending(answer)
        assert since == datetime(2026, 11, 1, tzinfo=UTC)
        assert until == datetime(2027, 7, 1, tzinfo=UTC)
        shown = door.get(about).json()
        assert (shown["standard"], shown["old"], shown["new"]) == ("bauantrag", "1.0", "1.2")
    assert uses(door)["bauantrag 1.0", door.stage.cast["sender"]["client_id"]] >= 2
    for path in ("entry", "document"):
        assert not {*FIELDS} & {*door.get(f"/hub/v1/schemas/{path}", params={"uri": NEW}).headers}
    assert urlsplit(about).path == "/hub/v1/schemas/diff"
