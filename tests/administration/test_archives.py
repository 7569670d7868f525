"""Encrypted backups: whole for whoever has the key, nothing for anybody else, and nothing readable left anywhere."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest
import spoiling
from stage import CANARY
from test_backup import files, run, with_attachment

from hub import app
from hub.administration import archive
from hub.config import load_settings
from hub.crypto import verify_receipt
from hub.files import age
from hub.store import Store

pyrage = pytest.importorskip("pyrage", reason="pyrage is not installed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """A file with the recipient, and one with the key, as age-keygen writes them."""
    folder = tmp_path_factory.mktemp("age")
    identity = pyrage.x25519.Identity.generate()
    public, private = folder / "recipient.txt", folder / "key.txt"
    public.write_text(f"# Tresor\n{identity.to_public()}\n")
    private.write_text(f"# created: today\n# public key: {identity.to_public()}\n{identity}\n")
    return public, private


def sealed(stage, target: Path, pair, *options: object) -> Path:
    run("backup", target, "--recipient", pair[0], *options, "--data", stage.data)
    return max(target.glob("*.age"))


def opened(archive: Path, pair) -> dict[str, bytes]:
    identity = pyrage.x25519.Identity.from_str(pair[1].read_text().splitlines()[-1])
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(archive.read_bytes(), [identity]))) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def temporary(stage) -> list[str]:
    return [name for name in files(stage.data) if "backing-up" in name or "restoring" in name]


def test_whoever_has_the_key_restores_a_whole_hub_from_one_file(stage, pair, tmp_path):
    receipt, blob = with_attachment(stage)
    stage.hub.checkpoints.make(stage.clock())
    outside = tmp_path / "elsewhere" / "smtp.secret"
    outside.parent.mkdir()
    outside.write_text("secret of the mail server")
    (stage.data / "hub.toml").write_text(
        f'smtp_host = "localhost"\nsmtp_security = "starttls"\nmail_sender = "hub@example.org"\nsmtp_user = "hub"\n'
        f'smtp_password_file = "{outside}"\n'
    )
    archive = sealed(stage, tmp_path / "backups", pair)
    assert re.fullmatch(r"rathaus-hub-\d{8}T\d{6}Z\.age", archive.name)
    assert archive.stat().st_mode & 0o077 == 0
    assert temporary(stage) == []
    assert b"secret of the mail server" not in archive.read_bytes()
    stage.accept()

    new = tmp_path / "new"
    said = run("restore", archive, "--identity", pair[1], "--data", new)
    assert "1 offene Zustellungen" in said
    name = re.search(rf"(outside/\d+-smtp.secret) gehört nach / belongs to {outside}", said)[1]
    assert (new / name).read_text() == "secret of the mail server"
    assert (new / "demo" / "push.secret").read_bytes() == (stage.data / "demo" / "push.secret").read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in new.rglob("*"))
    assert "intact" in run("log", "verify", "--data", new)
    hub = app.build(load_settings(new, {}, disk_watermark_bytes=0), clock=stage.clock)
    assert verify_receipt(receipt, hub.keys.hub_jwks())
    assert hub.store.submissions.cases().total == 1
    assert hub.blobs.size(blob) > 200_000
    hub.close()


def test_wrong_key_cut_and_changed_archives_are_refused_by_name_and_leave_nothing(stage, pair, tmp_path):
    with_attachment(stage)
    archive = sealed(stage, tmp_path / "backups", pair)
    content = archive.read_bytes()
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    spoiled = tmp_path / "spoiled.age"
    chunk = 64 * 1024
    middle = len(content) // 2

    def refused(source: Path, key: Path, said: str) -> None:
        for command in (
            ("restore", source, "--identity", key, "--data", tmp_path / "new"),
            ("restore-drill", source, "--identity", key),
        ):
            assert said in run(*command, code=1)
            assert not (tmp_path / "new").exists()

    refused(archive, other, "encrypted to another key")
    for what, said in (
        (content[:-1], "cut off or damaged"),
        (content[:-chunk], "cut off or damaged"),
        (content[:100], "damaged"),
        (content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], "cut off or damaged"),
        (content + b"more", "cut off or damaged"),
        (b"", "no encrypted backup"),
        (b"age-encryption.org/v1\n", "no encrypted backup"),
    ):
        spoiled.write_bytes(what)
        refused(spoiled, pair[1], said)
    assert "--identity" in run("restore", archive, "--data", tmp_path / "new", code=1)


def test_a_well_sealed_archive_that_is_no_backup_puts_nothing_anywhere(pair, tmp_path):
    recipient = pyrage.x25519.Recipient.from_str(pair[0].read_text().split()[-1])

    def archive(*members: tuple[str, bytes], link: bool = False) -> Path:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                if link:
                    entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0
                tar.addfile(entry, io.BytesIO(content))
        made = tmp_path / "made.age"
        made.write_bytes(pyrage.encrypt(packed.getvalue(), [recipient]))
        return made

    manifest = json.dumps(
        {"format": 1, "files": {}, "database": True, "blobs": True, "createdAt": "", "version": ""}
    ).encode()
    for made in (
        archive(),
        archive(("hub.sqlite", b"x")),
        archive(("hub.sqlite", b"x"), ("manifest.json", b"{}")),
        archive(("hub.sqlite", b"x"), ("manifest.json", manifest)),
        archive(("../outside", b"x"), ("manifest.json", manifest)),
        archive(("link", b""), ("manifest.json", manifest), link=True),
    ):
        assert "no complete backup" in run("restore", made, "--identity", pair[1], "--data", tmp_path / "new", code=1)
        assert not (tmp_path / "new").exists()
        assert not (tmp_path / "outside").exists()


def test_a_backup_that_breaks_off_leaves_no_file_and_no_copy(stage, pair, tmp_path, monkeypatch):
    with_attachment(stage)
    monkeypatch.setattr("hub.store.LocalBlobs.read", lambda *_: iter([b"too short"]))
    said = run("backup", tmp_path / "backups", "--recipient", pair[0], "--data", stage.data, code=3)
    assert "broke off" in said
    assert list((tmp_path / "backups").iterdir()) == []
    assert temporary(stage) == []


def test_without_a_thread_to_pack_on_there_is_no_archive_and_nothing_is_left_open(pair, tmp_path, monkeypatch):
    recipients = age.read_recipients(pair[0])
    refused = spoiling.give_no_thread(monkeypatch, "packing")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RuntimeError, match="thread"):
        archive.write(tmp_path / "one.age", recipients, lambda packer: packer.add("a", 1, [b"a"]))
    assert refused == ["packing"]
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_keys_a_backup_holds_no_secret_and_still_verifies(stage, pair, tmp_path):
    receipt, _ = with_attachment(stage)
    stage.hub.checkpoints.make(stage.clock())
    archive = sealed(stage, tmp_path / "backups", pair, "--without-keys")
    names = opened(archive, pair)
    assert {name for name in names if name.startswith("pki/")} == {"pki/keyring.json"}
    new = tmp_path / "new"
    assert "without private keys" in run("restore", archive, "--identity", pair[1], "--data", new)
    (tmp_path / "receipt.jws").write_text(receipt)
    assert "genuine" in run("receipt", "verify", tmp_path / "receipt.jws", "--data", new)
    for key in (stage.data / "pki").glob("hub-*.json"):
        (new / "pki" / key.name).write_bytes(key.read_bytes())
        (new / "pki" / key.name).chmod(0o600)
    hub = app.build(load_settings(new, {}, disk_watermark_bytes=0), clock=stage.clock)
    hub.close()


def test_a_series_keeps_the_newest_and_touches_nothing_else(stage, pair, tmp_path, monkeypatch):
    backups = tmp_path / "backups"
    backups.mkdir()
    others = [
        "notes.txt",
        "rathaus-hub-20260101T000000Z.tar",
        "rathaus-hub-2026.age",
        "rathaus-hub-20260101T000000Z.age.old",
    ]
    for name in others:
        (backups / name).write_text("mine")
    (backups / "rathaus-hub-20260102T000000Z").mkdir()  # No manifest: not a backup of ours, or one under way.
    for day in range(1, 5):
        monkeypatch.setattr("hub.cli.backups.utc_now", lambda day=day: stage.clock().replace(day=day))
        said = run("backup", backups, "--recipient", pair[0], "--keep", 2, "--data", stage.data)
    assert "removed: rathaus-hub-20261102T120000Z.age" in said
    found = {path.name for path in backups.iterdir()}
    assert found == {
        *others,
        "rathaus-hub-20260102T000000Z",
        "rathaus-hub-20261103T120000Z.age",
        "rathaus-hub-20261104T120000Z.age",
    }
    run("backup", backups, "--keep", 2, "--data", stage.data)
    assert (backups / "rathaus-hub-20261104T120000Z" / "manifest.json").is_file()


def test_a_recipient_is_a_public_key_and_a_key_is_for_its_owner_alone(stage, pair, tmp_path):
    wrong = tmp_path / "wrong.txt"
    for content, said in (
        (pair[1].read_text(), "private key"),
        ("# nobody\n", "holds no key"),
        ("age1nobody\n", "line 1"),
    ):
        wrong.write_text(content)
        assert said in run("backup", tmp_path / "b", "--recipient", wrong, "--data", stage.data, code=1)
        assert not (tmp_path / "b").exists()
    archive = sealed(stage, tmp_path / "backups", pair)
    shown = tmp_path / "open.txt"
    shown.write_bytes(pair[1].read_bytes())
    shown.chmod(0o644)
    assert "0644" in run("restore", archive, "--identity", shown, "--data", tmp_path / "new", code=1)


def test_the_drill_proves_a_backup_and_finds_what_is_wrong_with_one(stage, pair, tmp_path, monkeypatch):
    with_attachment(stage)
    for _ in range(2):
        stage.accept()
    stage.hub.checkpoints.make(stage.clock())
    monkeypatch.setenv("TMPDIR", str(tmp_path / "trial"))
    (tmp_path / "trial").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    archive = sealed(stage, tmp_path / "backups", pair)
    report = json.loads(run("restore-drill", archive, "--identity", pair[1], "--json"))
    numbers = {step["what"]: step["number"] for step in report["steps"]}
    assert report["holds"] is True
    assert numbers["cases whose log holds together"] == numbers["receipts verified (sample)"] == 3
    assert numbers["sealed contents compared with their receipts"] >= 7
    assert numbers["stored contents that are there"] == numbers["checkpoints"] == 1
    assert list((tmp_path / "trial").iterdir()) == []
    assert CANARY not in json.dumps(report)

    store = Store(f"sqlite:///{stage.data / 'hub.sqlite'}")
    first = store.submissions.cases().items[0].case_id

    def forge(connection) -> None:
        from sqlalchemy import text

        connection.execute(text("UPDATE events SET payload = '{}' WHERE case_id = :c AND seq = 2"), {"c": str(first)})
        connection.execute(text("UPDATE contents SET jwe = 'x' WHERE part = 'data'"))

    store.database.write(forge)
    store.close()
    (blob,) = (path for path in (stage.data / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    run("backup", tmp_path / "forged", "--data", stage.data)
    report = json.loads(run("restore-drill", tmp_path / "forged", "--json", code=1).partition("\n}")[0] + "\n}")
    wrong = {step["what"]: step["wrong"] for step in report["steps"] if step["wrong"]}
    assert any(str(first) in each for each in wrong["cases whose log holds together"])
    assert len(wrong["sealed contents compared with their receipts"]) == 4
    assert list((tmp_path / "trial").iterdir()) == []
