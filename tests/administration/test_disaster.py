"""The loss of everything, on PostgreSQL and a bucket: what was acknowledged before the backup is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from stage import Stage, VirtualClock
from store_servers import binaries, empty
from test_backup import another_database, run

from benchmarks.crash.scenery import copy_to_postgresql
from hub import app
from hub.config import load_settings
from hub.crypto import claims_of, verify_receipt
from hub.model import MediaType

pyrage = pytest.importorskip("pyrage", reason="pyrage is not installed")


def open_hub(data: Path) -> Stage:
    clock = VirtualClock()
    hub = app.build(load_settings(data, {}, disk_watermark_bytes=0, allow_private_addresses=True), clock=clock)
    return Stage(hub=hub, clock=clock, cast=json.loads((data / "demo.json").read_text()), data=data)


def with_plan(stage: Stage) -> str:
    from stage import BAUANTRAG

    from hub.model import Application

    cover = stage.cover()
    with stage.hub.intake.open(cover, now=stage.clock()) as reception:
        incoming = reception.attach(name="lageplan", filename="lageplan.pdf", media_type="application/pdf")
        incoming.write(b"x" * 200_000)
        incoming.finish()
        application = Application(cover=cover, media_type=MediaType.XML, data=BAUANTRAG)
        return reception.accept(application, now=stage.clock()).result(10).receipt


def settings(data: Path, url: str, bucket: dict[str, str]) -> None:
    lines = {"database_url": url, **bucket}
    (data / "hub.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()))


def databases(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
    engine.dispose()
    return found


def test_after_the_loss_of_everything_a_hub_goes_on_from_its_backup(
    made_once, postgresql_url, bucket, tmp_path, monkeypatch
):
    if not all((binaries() / name).exists() for name in ("pg_dump", "pg_restore")):
        pytest.skip("PostgreSQL's client programs (pg_dump, pg_restore) are not on this machine")
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "recipient").write_text(f"{identity.to_public()}\n")
    (tmp_path / "key").write_text(f"{identity}\n")
    empty(postgresql_url)
    address = postgresql_url.replace("+psycopg", "")
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    copy_to_postgresql(data, postgresql_url)
    (tmp_path / "s3").mkdir()
    settings(data, address, bucket.settings(tmp_path / "s3"))

    stage = open_hub(data)
    before = [stage.accept().receipt for _ in range(3)] + [with_plan(stage)]
    stage.hub.checkpoints.make(stage.clock())
    said = run("backup", tmp_path / "backups", "--recipient", tmp_path / "recipient", "--data", data)
    assert "s3://" in said
    assert "pg_dump" not in said
    (archive,) = (tmp_path / "backups").iterdir()
    after = stage.accept().receipt
    stage.hub.checkpoints.make(stage.clock())
    (tmp_path / "anchor").write_text(run("log", "checkpoint", "--data", data))
    stage.hub.close()

    # The drill proves it beside the living database, and leaves no trace there.
    there = databases(postgresql_url)
    report = json.loads(run("restore-drill", archive, "--identity", tmp_path / "key", "--json", "--data", data))
    assert report["holds"] is True
    numbers = {step["what"]: step["number"] for step in report["steps"]}
    assert numbers["receipts verified (sample)"] == numbers["cases whose log holds together"] == 4
    assert numbers["stored contents that are there"] == 1
    assert databases(postgresql_url) == there
    away = ("--scratch-url", "postgresql://hub@127.0.0.1:1/hub", "--data", data)
    assert "127.0.0.1" not in run("restore-drill", archive, "--identity", tmp_path / "key", *away, code=3)

    shutil.rmtree(data)
    with another_database(postgresql_url) as url:
        empty(postgresql_url)  # The old database is gone; the bucket has its own mirror.
        new = tmp_path / "new"
        # The settings come back with the backup and name the old database: a new one is said beside.
        assert "not empty" in run("restore", archive, "--identity", tmp_path / "key", "--data", new, code=1)
        with monkeypatch.context() as patched:
            patched.setenv("HUB_DATABASE_URL", url)
            said = run("restore", archive, "--identity", tmp_path / "key", "--data", new)
            assert "4 offene Zustellungen" in said
            assert "s3.secret gehört nach / belongs to" in said
            assert not (new / "hub.dump").exists()
            assert "intact" in run("log", "verify", "--data", new)
            # What came after the backup is named: by the anchor that was kept elsewhere, and by its sender's receipt.
            assert "older state" in run("log", "verify", "--anchor", tmp_path / "anchor", "--data", new, code=1)
            settings(new, url, bucket.settings(tmp_path / "s3"))
            again = open_hub(new)
            published = again.hub.keys.hub_jwks()
            known = {case.case_id for case in again.hub.store.submissions.cases().items}
            for receipt in before:
                assert verify_receipt(receipt, published)["txn"].removeprefix("case:") in set(map(str, known))
            assert verify_receipt(after, published)["txn"].removeprefix("case:") not in set(map(str, known))
            claims = again.hub.store.queue.claim(
                again.clock(), lease=again.hub.settings.lease, node="n", limit=10, per_destination=10
            )
            assert [one.repeat for one in claims] == [True] * 4
            assert (
                len(b"".join(again.hub.blobs.chunks(next(iter(claims[-1].submission.contents.attachments.values())))))
                > 200_000
            )
            assert claims_of(again.accept().receipt)
            again.hub.close()
