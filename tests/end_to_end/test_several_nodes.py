"""Several nodes on one PostgreSQL and one bucket: once each, duties once, and a node that sleeps loses its say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import requests
from processes import wait_for
from sqlalchemy import create_engine, text

from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenarios import Setting, database_outage
from benchmarks.crash.scenery import Scene, scene
from hub.crypto import HubKeys
from hub.proof.checkpoints import Checkpoints
from hub.proof.evidence import Notary

#: Each test starts four hub processes and a database.
pytestmark = pytest.mark.timeout(240)

#: Which nodes made attempts.
_WORKED = "SELECT DISTINCT split_part(node, '/', 1) FROM attempts"


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    with Postgresql(programs) as server:
        yield server


@contextmanager
def four_nodes(play: Scene) -> Iterator[tuple]:
    doors = [play.node(f"door-{n}", "-v", "serve", "--no-work") for n in (1, 2)]
    workers = [play.node(f"work-{n}", "-v", "work") for n in (1, 2)]
    for node in play.nodes:
        node.start(wait=False)
    for node in doors:
        node.wait_until_ready()
    yield doors, workers


def rows(url: str, statement: str) -> list:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(statement)).all()
    engine.dispose()
    return found


def test_in_normal_operation_everything_is_delivered_exactly_once(made_once, postgresql, bucket, tmp_path):
    env = {f"HUB_{name.upper()}": value for name, value in bucket.settings(tmp_path).items()}
    # Long enough that a machine with other things to do is not taken for a dead node.
    env["HUB_LEASE_SECONDS"] = "60"
    started = time.monotonic()
    with scene(made_once, tmp_path / "scene", database_url=postgresql.url, faults=False, **env) as play:
        with four_nodes(play) as (_, workers), play.senders(rate=20) as senders:
            senders.ballast = 100_000
            wait_for(lambda: len(rows(postgresql.url, _WORKED)) == len(workers))
            time.sleep(6)
        play.drain(30)
        for node in play.nodes:
            node.end()
        seconds = time.monotonic() - started
        account = play.account(senders)
        assert account.faults == []
        assert account.acknowledged == account.delivered == account.receptions > 20
        assert (account.repeats, account.open, account.dead) == (0, 0, 0)
        assert set(account.statuses) == {"202"}
        # The first few were sent before the ballast was set; small contents stay in their rows.
        assert len(bucket.objects()) > account.acknowledged // 2
        assert {node for (node,) in rows(postgresql.url, _WORKED)} == {node.name for node in workers}
        # One process did each duty: two would have made a checkpoint twice in each tick of five seconds.
        ((ticks,),) = rows(postgresql.url, "SELECT count(*) FROM checkpoints")
        assert 1 <= ticks <= seconds / 5 + 4
        with play.store() as store:
            keys = HubKeys.load_or_create(play.data / "pki", now=None, create=False)
            checkpoints = Checkpoints(store=store, keys=keys, issuer="")
            assert checkpoints.verify().findings == ()
            cases = [case.case_id for case in store.submissions.cases(limit=500).items]
            notary = Notary(
                store=store,
                keys=keys,
                checkpoints=checkpoints,
                clock=lambda: datetime.now(UTC),
                interval=timedelta(seconds=5),
            )
            assert notary.verify(cases).findings == ()


def test_a_node_paused_past_its_lease_loses_its_say_and_the_repeat_is_flagged(made_once, postgresql, tmp_path):
    with scene(made_once, tmp_path / "scene", database_url=postgresql.url, faults=False) as play:
        play.receiver.pause = lambda: 1.0
        with four_nodes(play) as (doors, workers):
            cast = json.loads((play.data / "demo.json").read_text())
            login = {"grant_type": "client_credentials", **cast["sender"]}
            token = requests.post(f"{doors[0].base_url}/token", data=login, timeout=30).json()["access_token"]
            from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

            answer = requests.post(
                f"{doors[1].base_url}/hub/v1/applications",
                params={"service": BAUEN, "ars": TAUNUSSTEIN},
                data=BAUANTRAG,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/xml"},
                timeout=30,
            )
            assert answer.status_code == 202
            wait_for(play.receiver.ledger.read)
            holder = rows(postgresql.url, "SELECT leased_by FROM deliveries")[0][0].partition("/")[0]
            sleeper = next(node for node in workers if node.name == holder)
            sleeper.pause()
            wait_for(lambda: len(play.receiver.ledger.read()) == 2)
            wait_for(lambda: rows(postgresql.url, "SELECT state FROM deliveries") == [("delivered",)])
            sleeper.resume()
            wait_for(lambda: "lease was lost" in sleeper.log.read_text())
        first, second = play.receiver.ledger.read()
        assert (first["repeat"], second["repeat"]) == (False, True)
        assert first["delivery_id"] == second["delivery_id"]
        (state,) = rows(postgresql.url, "SELECT state, attempts, repeat FROM deliveries")
        assert tuple(state) == ("delivered", 2, True)
        outcomes = rows(postgresql.url, "SELECT outcome FROM attempts ORDER BY n")
        assert [each[0] for each in outcomes] == ["unknown", "delivered"]


def test_without_its_database_a_hub_says_503_and_recovers_without_a_restart(made_once, postgresql, tmp_path):
    account = database_outage(Setting(template=made_once, folder=tmp_path / "scene", seconds=2), postgresql)
    assert account.faults == []
    assert account.acknowledged == account.delivered + account.open > 0
    assert account.kills == 0
