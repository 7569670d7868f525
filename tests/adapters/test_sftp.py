from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncssh
import pytest
from contract import hold, make_package, opened, sentences_for, workshop  # noqa: F401
from servers import OpenSsh
from test_folder import assert_manifest_fits

from adapters.sftp import Sftp
from hub.adapter_kit.packages import again, bulky
from hub.errors import ConfigurationError
from hub.model import DeadCause, OutcomeKind


@pytest.fixture(scope="module")
def openssh(tmp_path_factory):
    with OpenSsh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.mark.parametrize("sentence", sentences_for(Sftp))
def test_sftp(sentence, workshop):  # noqa: F811
    hold(sentence, Sftp, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "no host key": {"host_key": ""},
        "a host key that is none": {"host_key": "ssh-ed25519 AAAA"},
        "a temporary name that is the final one": {"temporary_prefix": "", "temporary_suffix": ""},
        "a temporary name that leads elsewhere": {"temporary_prefix": "../"},
        "no way to log in": {"key_file": None},
        "a folder that climbs": {"folder": "in/../../etc"},
        "no folder": {"folder": ""},
        "no port": {"port": 0},
        "no time": {"timeout": 0},
    }.values(),
    ids=str,
)
def test_sftp_refuses(change):
    good = {"host": "h", "user": "u", "folder": "/in", "key_file": "/k", "host_key": PUBLIC}
    Sftp(good)
    with pytest.raises(ConfigurationError):
        Sftp({**good, **change})


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"


@pytest.mark.parametrize("content", ["", "nonsense", PUBLIC])
def test_a_key_file_must_hold_a_private_key(content, tmp_path):
    (tmp_path / "key").write_text(content)
    config = {"host": "h", "user": "u", "folder": "/in", "key_file": str(tmp_path / "key"), "host_key": PUBLIC}
    with pytest.raises(ConfigurationError):
        opened(Sftp, config)


def test_an_inward_address_is_not_connected_to(tmp_path):
    (tmp_path / "password").write_text("secret")
    config = {"host": "127.0.0.1", "port": 9, "user": "u", "folder": "/in", "host_key": PUBLIC}
    outcome = opened(Sftp, {**config, "password_file": str(tmp_path / "password")}).deliver(make_package())
    assert (outcome.kind, outcome.note) == (OutcomeKind.UNREACHABLE, "address is not public")


def test_openssh_holds_a_delivery_whole(openssh):
    package = make_package(attachments=3)
    outcome = opened(Sftp, openssh.config()).deliver(package)
    assert outcome.kind is OutcomeKind.DELIVERED, openssh.log.read_text()
    assert_manifest_fits(openssh.drop / str(package.delivery_id), files=5)


def test_openssh_holds_a_repeat_once(openssh):
    adapter, package = opened(Sftp, openssh.config()), make_package()
    place = openssh.drop / str(package.delivery_id)
    (place / "attachments").mkdir(parents=True)
    (place / "attachments" / ".a.jwe.0.part").write_text("left by a crash")
    (place / "data.jwe").write_text("half")
    assert adapter.deliver(package).kind is OutcomeKind.DELIVERED
    written = (place / "manifest.json").stat().st_mtime_ns
    assert adapter.deliver(again(package)).note == "was already there, whole"
    assert (place / "manifest.json").stat().st_mtime_ns == written
    assert_manifest_fits(place, files=4)


def test_openssh_takes_a_large_delivery(openssh):
    package = bulky(make_package())
    assert opened(Sftp, openssh.config()).deliver(package).kind is OutcomeKind.DELIVERED
    assert_manifest_fits(openssh.drop / str(package.delivery_id), files=4)


def test_openssh_with_another_host_key_gets_nothing(openssh):
    outcome = opened(Sftp, openssh.config(host_key=PUBLIC)).deliver(make_package())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)
    assert "host key" in outcome.note


def test_openssh_without_the_folder_blames_the_configuration(openssh):
    outcome = opened(Sftp, openssh.config(folder=str(openssh.drop / "missing"))).deliver(make_package())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)


def test_without_the_right_to_make_folders_all_deliveries_share_one(tmp_path_factory):
    with OpenSsh(tmp_path_factory.mktemp("flat"), denied="mkdir,opendir,readdir,posix-rename,fsync") as server:
        folders = opened(Sftp, server.config()).deliver(make_package())
        assert (folders.kind, folders.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)
        adapter, package = opened(Sftp, server.config(flat=True)), make_package(attachments=2)
        assert adapter.deliver(package).kind is OutcomeKind.DELIVERED, server.log.read_text()
        assert adapter.deliver(again(package)).note == "was already there, whole"
        assert adapter.deliver(make_package()).kind is OutcomeKind.DELIVERED
        own = sorted(path for path in server.drop.iterdir() if path.name.startswith(f"{package.delivery_id}."))
        listed = json.loads((server.drop / f"{package.delivery_id}.manifest.json").read_bytes())["files"]
        assert {path.name for path in own} == {*listed, f"{package.delivery_id}.manifest.json"}
        for name, facts in listed.items():
            assert hashlib.sha512((server.drop / name).read_bytes()).hexdigest() == facts["sha512"]


def test_a_temporary_name_is_chosen_and_known_again(openssh):
    package = make_package()
    own, foreign = (f"tmp-{one}.data.jwe.0af" for one in (package.delivery_id, uuid4()))
    for name in (own, foreign):
        (openssh.drop / name).write_text("half")
    config = openssh.config(flat=True, temporary_prefix="tmp-", temporary_suffix="")
    assert opened(Sftp, config).deliver(package).kind is OutcomeKind.DELIVERED
    left = {path.name for path in openssh.drop.iterdir() if path.name.startswith("tmp-")}
    assert left == {foreign}


class Particular(asyncssh.SFTPServer):
    """Takes no name with a dot in front, as some servers do."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if path.rpartition(b"/")[2].startswith(b"."):
            raise asyncssh.SFTPPermissionDenied("hidden")
        return super().open(path, pflags, attrs)


class Stubborn(asyncssh.SFTPServer):
    """Renames nothing to a name that is taken, by neither way (Win32-OpenSSH, some appliances)."""

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        if Path(os.fsdecode(self.map_path(newpath))).exists():
            raise asyncssh.SFTPFailure("exists")
        super().posix_rename(oldpath, newpath)


class Prompting(asyncssh.SSHServer):
    """Asks for the password by a prompt in German alone; ``key`` is wanted before, where there is one."""

    def __init__(self, key: asyncssh.SSHKey | None) -> None:
        self._key, self._proven = key, key is None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def public_key_auth_supported(self) -> bool:
        return self._key is not None

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # The server side of this library knows no partial success: the key is noted, and the password decides.
        self._proven = key.public_data == self._key.public_data
        return False

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "Bitte melden Sie sich an.", "de", [("Kennwort: ", False)]

    def validate_kbdint_response(self, username: str, responses: list[str]) -> bool:
        return self._proven and responses == ["geheim"]


@contextmanager
def prompting(
    root: Path, key: asyncssh.SSHKey | None = None, kind: type[asyncssh.SFTPServer] = Particular
) -> Iterator[dict[str, Any]]:
    """A server that prompts and is particular about names; gives the options to reach it."""
    loop, host_key = asyncio.new_event_loop(), asyncssh.generate_private_key("ssh-ed25519")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: Prompting(key),
            server_host_keys=[host_key],
            sftp_factory=lambda channel: kind(channel, chroot=str(root).encode()),
        )

    async def stop() -> None:
        acceptor.close()
        await acceptor.wait_closed()
        await asyncio.sleep(0.05)

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(20)
    (root / "in").mkdir()
    password = root / "password"
    password.write_text("geheim")
    password.chmod(0o600)
    yield {
        "host": "127.0.0.1",
        "port": acceptor.get_port(),
        "user": "hub",
        "host_key": host_key.export_public_key().decode().strip(),
        "password_file": str(password),
        "folder": "/in",
        "temporary_prefix": "tmp-",
        "allow_private_addresses": True,
        "timeout": 20,
    }
    asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_password_that_is_asked_for_by_prompts_is_given(tmp_path):
    with prompting(tmp_path) as config:
        package = make_package()
        assert opened(Sftp, config).deliver(package).kind is OutcomeKind.DELIVERED
        assert_manifest_fits(tmp_path / "in" / str(package.delivery_id), files=4)
        hidden = opened(Sftp, {**config, "temporary_prefix": "."}).deliver(make_package())
        assert (hidden.kind, hidden.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)
        Path(config["password_file"]).write_text("falsch")
        wrong = opened(Sftp, config).deliver(make_package())
        assert (wrong.note, wrong.cause) == ("login refused", DeadCause.CONFIGURATION)


def test_a_server_that_wants_key_and_password_gets_both(tmp_path):
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "key").write_bytes(key.export_private_key())
    (tmp_path / "key").chmod(0o600)
    with prompting(tmp_path, key) as config:
        both = opened(Sftp, {**config, "key_file": str(tmp_path / "key")})
        assert both.deliver(make_package()).kind is OutcomeKind.DELIVERED
        assert opened(Sftp, config).deliver(make_package()).note == "login refused"


@pytest.mark.parametrize("flat", [False, True], ids=["a folder each", "one folder"])
def test_a_name_that_an_earlier_attempt_left_behind_is_taken_over_though_the_server_renames_to_none(tmp_path, flat):
    with prompting(tmp_path, kind=Stubborn) as config:
        package, adapter = make_package(), opened(Sftp, {**config, "flat": flat})
        place = tmp_path / "in" / ("" if flat else str(package.delivery_id))
        place.mkdir(exist_ok=True)
        name = "data.jwe" if not flat else f"{package.delivery_id}.data.jwe"
        (place / name).write_text("half of it")
        for each in (package, again(package)):
            assert adapter.deliver(each).kind is OutcomeKind.DELIVERED
        assert (place / name).stat().st_size == package.submission.contents.data.size
        assert not [path for path in place.rglob("*") if path.name.startswith("tmp-")]
