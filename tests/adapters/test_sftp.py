from __future__ import annotations

import pytest
from contract import hold, make_package, opened, sentences_for, workshop  # noqa: F401
from servers import OpenSsh
from test_folder import assert_manifest_fits

from adapters.sftp import Sftp
from hub.adapter_kit.cases import again, bulky
from hub.errors import ConfigurationError
from hub.model.submission import DeadCause, OutcomeKind


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
        "two ways to log in": {"password_file": "/tmp/password"},
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
