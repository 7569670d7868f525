"""Backup and restore: a whole hub from a copy taken while it works, and nothing pretended that the copy cannot know."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text
from stage import BAUANTRAG, Stage, VirtualClock
from store_values import claim, known_destination, record

from hub import app
from hub.administration.backup import MANIFEST, BackupSource, back_up, read_backup
from hub.cli import main
from hub.config import load_settings
from hub.crypto import verify_receipt
from hub.errors import ConfigurationError
from hub.model import MediaType
from hub.store import Store


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def with_attachment(stage) -> tuple[str, str]:
    """Send one application with an attachment of 200 kB; return its receipt and the name of its blob."""
    from hub.model import Application

    cover = stage.cover()
    with stage.hub.intake.open(cover, now=stage.clock()) as reception:
        incoming = reception.attach(name="lageplan", filename="lageplan.pdf", media_type="application/pdf")
        incoming.write(b"x" * 200_000)
        incoming.finish()
        application = Application(cover=cover, media_type=MediaType.XML, data=BAUANTRAG)
        receipt = reception.accept(application, now=stage.clock()).result(10).receipt
    (blob,) = stage.hub.store.recovery.blob_names()
    return receipt, blob


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(stage) -> BackupSource:
    return BackupSource(
        data=stage.data, database=stage.data / "hub.sqlite", store=stage.hub.store, blobs=stage.hub.blobs
    )


def test_a_backup_overwrites_nothing_and_lies_elsewhere(source, stage, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    for target in (tmp_path / "full", stage.data / "backup"):
        with pytest.raises(ConfigurationError):
            back_up(source, target, now=stage.clock())


def test_a_folder_without_a_manifest_is_no_backup(source, stage, tmp_path):
    back_up(source, tmp_path / "copy", now=stage.clock())
    (tmp_path / "copy" / MANIFEST).unlink()
    run("restore", tmp_path / "copy", "--data", tmp_path / "new", code=1)
    assert not (tmp_path / "new").exists()


def test_a_changed_or_missing_file_is_found_before_anything_is_written(source, stage, tmp_path):
    back_up(source, tmp_path / "copy", now=stage.clock())
    keyring = tmp_path / "copy" / "pki" / "keyring.json"
    content = keyring.read_bytes()
    for spoil in (lambda: keyring.write_bytes(content + b" "), keyring.unlink):
        spoil()
        run("restore", tmp_path / "copy", "--data", tmp_path / "new", code=1)
        assert not (tmp_path / "new").exists()


def test_a_manifest_cannot_name_files_elsewhere(source, stage, tmp_path):
    back_up(source, tmp_path / "copy", now=stage.clock())
    manifest = tmp_path / "copy" / MANIFEST
    document = json.loads(manifest.read_text())
    for name in ("../outside", "/etc/passwd"):
        manifest.write_text(json.dumps(document | {"files": {name: "0" * 64}}))
        with pytest.raises(ConfigurationError):
            read_backup(tmp_path / "copy")


def test_a_restore_overwrites_nothing(source, stage, tmp_path):
    back_up(source, tmp_path / "copy", now=stage.clock())
    before = files(stage.data)
    run("restore", tmp_path / "copy", "--data", stage.data, code=1)
    assert files(stage.data) == before


def test_a_restored_hub_proves_delivers_and_remembers(stage, tmp_path):
    receipt, blob = with_attachment(stage)
    with_key = stage.accept(idempotency_key="k-1")
    stage.hub.checkpoints.make(stage.clock())
    run("backup", tmp_path / "copy", "--data", stage.data)
    assert not {name for name in files(tmp_path / "copy") if name.endswith(("-wal", "-shm"))}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "copy").rglob("*"))
    claims = verify_receipt(receipt, stage.hub.keys.hub_jwks())
    case = claims["txn"].removeprefix("case:")
    stage.accept()  # After the backup: lost with the old disk, and nobody pretends otherwise.
    new = tmp_path / "new"
    said = run("restore", tmp_path / "copy", "--data", new)
    assert "2 offene Zustellungen" in said
    assert "unversehrt" in run("log", "verify", "--checkpoints", "--data", new)
    (tmp_path / "receipt.jws").write_text(receipt)
    (tmp_path / "proof.json").write_text(run("log", "proof", case, "--data", new))
    (tmp_path / "jwks.json").write_text(json.dumps(stage.hub.keys.hub_jwks()))
    verified = run(
        "receipt",
        "verify",
        tmp_path / "receipt.jws",
        "--jwks",
        tmp_path / "jwks.json",
        "--proof",
        tmp_path / "proof.json",
    )
    assert "genuine" in verified
    hub = app.build(load_settings(new, {}, disk_watermark_bytes=0), clock=stage.clock)
    assert hub.store.submissions.cases().total == 2
    assert hub.blobs.size(blob) > 200_000
    claims_ = hub.store.queue.claim(stage.clock(), lease=hub.settings.lease, node="n", limit=10, per_destination=10)
    assert [one.repeat for one in claims_] == [True, True]
    remembered = hub.store.submissions.remembered(stage.sender, "k-1")
    assert remembered.receipt == with_key.receipt
    hub.close()


def test_a_restored_postgresql_proves_and_delivers_as_the_documented_steps_say(
    made_once, postgresql_url, tmp_path, monkeypatch
):
    from store_servers import binaries, empty

    from benchmarks.crash.scenery import copy_to_postgresql

    programs = binaries()
    if not all((programs / name).exists() for name in ("pg_dump", "pg_restore")):
        pytest.skip("PostgreSQL's client programs (pg_dump, pg_restore) are not on this machine")
    empty(postgresql_url)
    address = postgresql_url.replace("+psycopg", "")
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    copy_to_postgresql(data, postgresql_url)
    with on_postgresql(data, address) as stage:
        receipt, _ = with_attachment(stage)
        stage.accept()
        stage.hub.checkpoints.make(stage.clock())
        subprocess.run(
            [programs / "pg_dump", "--format=custom", f"--file={tmp_path / 'hub.dump'}", address],
            check=True,
            timeout=60,
        )
        monkeypatch.setenv("HUB_DATABASE_URL", address)
        run("backup", tmp_path / "copy", "--without-database", "--data", data)
        stage.accept()  # After the dump: lost with the old database.
        published = stage.hub.keys.hub_jwks()
    with another_database(postgresql_url) as there:
        subprocess.run(
            [programs / "pg_restore", "--clean", "--if-exists", f"--dbname={there}", tmp_path / "hub.dump"],
            check=True,
            timeout=60,
        )
        monkeypatch.setenv("HUB_DATABASE_URL", there)
        new = tmp_path / "new"
        assert "2 offene Zustellungen" in run("restore", tmp_path / "copy", "--data", new)
        assert "unversehrt" in run("log", "verify", "--checkpoints", "--data", new)
        case = verify_receipt(receipt, published)["txn"].removeprefix("case:")
        (tmp_path / "receipt.jws").write_text(receipt)
        (tmp_path / "proof.json").write_text(run("log", "proof", case, "--data", new))
        (tmp_path / "jwks.json").write_text(json.dumps(published))
        options = ("--jwks", tmp_path / "jwks.json", "--proof", tmp_path / "proof.json")
        assert "genuine" in run("receipt", "verify", tmp_path / "receipt.jws", *options)
        with on_postgresql(new, there) as again:
            claims = again.hub.store.queue.claim(
                again.clock(), lease=again.hub.settings.lease, node="n", limit=10, per_destination=10
            )
            assert [one.repeat for one in claims] == [True, True]
            contents = [part for one in claims for _, part in one.submission.contents.parts()]
            for part in contents:
                whole = b"".join(again.hub.blobs.chunks(part))
                assert hashlib.sha512(whole).hexdigest() == part.sha512


@contextmanager
def on_postgresql(data, url):
    """A hub whose parties lie in a PostgreSQL database."""
    clock = VirtualClock()
    settings = load_settings(data, {}, database_url=url, disk_watermark_bytes=0, allow_private_addresses=True)
    hub = app.build(settings, clock=clock)
    yield Stage(hub=hub, clock=clock, cast=json.loads((data / "demo.json").read_text()), data=data)
    hub.close()


@contextmanager
def another_database(url):
    """An empty database beside the one that ``url`` names."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE restored"))
        try:
            yield url.replace("+psycopg", "").replace("/postgres?", "/restored?")
        finally:
            connection.execute(text("DROP DATABASE restored WITH (FORCE)"))
    engine.dispose()


def test_a_blob_that_retention_deletes_meanwhile_makes_the_database_be_copied_again(source, stage, tmp_path):
    _, blob = with_attachment(stage)
    copies = []
    real = stage.hub.store.backup

    class Meanwhile:
        """The store, with a retention that strikes right after the first copy."""

        def __getattr__(self, name):
            return getattr(stage.hub.store, name)

        def backup(self, target):
            real(target)
            copies.append(target)
            if len(copies) == 1:
                stage.hub.blobs.delete(blob)
                stage.hub.store.database.write(lambda connection: connection.execute(text("DELETE FROM contents")))

    from dataclasses import replace

    report = back_up(replace(source, store=Meanwhile()), tmp_path / "copy", now=stage.clock())
    assert (len(copies), report.blobs) == (2, 0)


def test_a_restored_backup_verifies_with_all_checkpoints_and_the_audit_log_among_them(stage, tmp_path):
    for number in range(3):
        stage.accept()
        # What people and commands do stands in the audit log, whose end is a leaf of each checkpoint.
        run("clients", "add", f"Portal {number}", "--kind", "sender", "--data", stage.data)
        for case in stage.hub.store.submissions.cases().items:
            stage.hub.notary.tokens(case.case_id)
        stage.hub.checkpoints.make(stage.clock())
        stage.clock.pass_(minutes=1)
    run("backup", tmp_path / "copy", "--data", stage.data)
    anchor = tmp_path / "anchor"
    anchor.write_text(run("log", "checkpoint", "--data", stage.data))
    run("restore", tmp_path / "copy", "--data", tmp_path / "new")
    said = run("log", "verify", "--anchor", anchor, "--data", tmp_path / "new")
    assert "intact" in said
    for what in ("Vorgänge", "Prüfpunkte", "Einträge im Prüfprotokoll"):
        assert int(re.search(rf"(\d+) {what}", said)[1]) >= 3
    # And the leaf has a say: who cuts the end of the audit log off is found.
    database = create_engine(f"sqlite:///{tmp_path / 'new' / 'hub.sqlite'}")
    with database.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)"))
    database.dispose()
    assert "intact" not in run("log", "verify", "--data", tmp_path / "new", code=1)


def test_an_anchor_shows_that_a_restored_hub_was_set_back(stage, tmp_path):
    stage.accept()
    stage.hub.checkpoints.make(stage.clock())
    run("backup", tmp_path / "copy", "--data", stage.data)
    stage.accept()
    stage.hub.checkpoints.make(stage.clock())
    (tmp_path / "anchor").write_text(run("log", "checkpoint", "--data", stage.data))
    run("restore", tmp_path / "copy", "--data", tmp_path / "new")
    said = run("log", "verify", "--checkpoints", "--anchor", tmp_path / "anchor", "--data", tmp_path / "new", code=1)
    assert "older state" in said


def test_an_empty_folder_is_not_backed_up_as_a_hub(tmp_path):
    run("backup", tmp_path / "copy", "--data", tmp_path / "nothing", code=1)
    assert not (tmp_path / "nothing").exists()


def test_contents_in_a_bucket_and_a_postgresql_database_are_left_to_their_own_tools(
    made_once, bucket, postgresql_url, tmp_path
):
    from store_servers import empty

    data = tmp_path / "data"
    shutil.copytree(made_once, data, ignore=shutil.ignore_patterns("hub.sqlite*"))
    lines = {"database_url": postgresql_url, **bucket.settings(tmp_path)}
    (data / "hub.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()))
    empty(postgresql_url)
    said = run("backup", tmp_path / "copy", "--without-database", "--data", data)
    assert "pg_dump" in said
    assert "Eimer" in said
    store = Store(postgresql_url)
    destination = known_destination(store).destination_id
    from store_values import accepted

    accepted(store, destination)
    run("restore", tmp_path / "copy", "--data", tmp_path / "new")
    (claimed,) = claim(store)
    assert claimed.repeat
    assert record(store, claimed)
    store.close()
    assert files(tmp_path / "new") == files(tmp_path / "copy") - {MANIFEST}


def test_both_kinds_of_database_are_not_mixed_up(source, stage, tmp_path):
    back_up(source, tmp_path / "copy", now=stage.clock())
    (stage.data / "hub.toml").write_text('database_url = "postgresql://nobody@127.0.0.1:1/x"\n')
    back_up(source, tmp_path / "other", now=stage.clock())
    said = run("restore", tmp_path / "other", "--data", tmp_path / "new", code=1)
    assert "database_url" in said
