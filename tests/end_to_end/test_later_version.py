"""A hub beside a later version of itself: on its tables, among rows with words that only that one knows, it works on."""

from __future__ import annotations

from uuid import UUID

import pytest
import spoiling
from stage import Stage, serving

from hub import app
from hub.config import load_settings
from hub.crypto import claims_of
from hub.model import OutcomeKind
from hub.store import AuditEntry

#: Words of a later version, in enumerations that rows hold: table, column, word, and by what the row is found.
LATER = [
    ("messages", "state", "weighed", "message_id"),
    ("messages", "door", "window", "message_id"),
    ("deliveries", "cause", "weather", "submission_id"),
    ("events", "kind", "weigh", "subject_id"),
]


def accepted(stage) -> UUID:
    return UUID(claims_of(stage.accept().receipt)["sub"].removeprefix("submission:"))


@pytest.fixture
def mixed(stage):
    """A hub's data after a later version worked on it; the submissions that it wrote, and one of ours."""
    spoil = lambda *what, key, of: spoiling.spoil(stage.hub.settings.database, *what, key=key, of=of)  # noqa: E731
    theirs = [accepted(stage) for _ in LATER]
    ours = accepted(stage)
    stage.hub.checkpoints.make(stage.clock())
    stage.hub.store.audit.append(AuditEntry(at=stage.clock(), actor="w", action="weather.change", target="sky"))
    for submission_id, (table, column, word, key) in zip(theirs, LATER, strict=True):
        spoil(table, column, word, key=key, of=submission_id)
    for column in ("more", "later"):
        stage.hub.store.database.write(
            lambda connection, column=column: connection.exec_driver_sql(
                f"ALTER TABLE messages ADD COLUMN {column} TEXT"
            )
        )
    stage.hub.store.settings.set("tables.oldest", stage.hub.store.schema_revision())
    spoil("alembic_version", "version_num", "9998", key="version_num", of=stage.hub.store.schema_revision())
    stage.hub.close()
    settings = load_settings(stage.data, {}, allow_private_addresses=True, disk_watermark_bytes=0)
    hub = app.build(settings, clock=stage.clock)
    yield Stage(hub=hub, clock=stage.clock, cast=stage.cast, data=stage.data), theirs, ours
    hub.close()


def test_on_a_later_versions_tables_a_hub_serves_delivers_and_says_what_it_cannot_read(mixed, caplog):
    stage, theirs, ours = mixed
    new = accepted(stage)
    for _ in range(3):  # A few go to one authority at a time.
        stage.hub.dispatcher.run_once()
    tried = {each for each in (*theirs, ours, new) if getattr(stage.hub.store.deliveries.of(each), "attempts", ())}
    # Nobody listens at the authority's address here: an attempt is what shows that a delivery goes its way.
    assert {ours, new} <= tried
    kinds = {each.outcome for each in stage.hub.store.deliveries.of(new).attempts}
    assert kinds <= {OutcomeKind.UNREACHABLE, OutcomeKind.DELIVERED, OutcomeKind.WAITING}
    stage.clock.pass_(hours=2)
    stage.hub.checkpoints.make(stage.clock())
    with serving(stage) as served:
        assert served.get("/health/ready").status_code == 200
        assert served.submit().status_code == 202
        for each in (ours, new):
            assert served.get(f"/hub/v1/applications/{each}").json()["submissionId"] == str(each)
        answers = {served.get(f"/hub/v1/applications/{each}").status_code for each in theirs}
        assert answers <= {200, 503}
        assert 503 in answers
    said = caplog.text
    for table, column in (("messages", "state"), ("messages", "door")):
        assert f"cannot be read by this version: column {column}" in said, (table, column)
    assert "weighed" not in said
