"""Other accounts of the machine read or replace the hub's secrets: every file with one is judged, wherever it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from hub.app.starting import judge_files
from hub.config import Settings, load_settings
from hub.connector.connector import subscriber
from hub.connector.opening import load_keys
from hub.connector.settings import Address, Hub, in_force
from hub.crypto import make_rsa_pair
from hub.errors import ConfigurationError
from hub.files import vault
from hub.identity.openid.login import Grants
from hub.model import utc_now
from hub.model.adapter import read_private_file, read_secret, require_privacy
from hub.notifications.mail import MailServer
from hub.store.blobs.s3 import S3Place

TOO_OPEN = [0o644, 0o640, 0o604, 0o666, 0o620, 0o602, 0o601, 0o777]


def _mail(path: Path) -> object:
    return MailServer.from_files(
        host="mail.example",
        port=25,
        sender="hub@example.org",
        starttls=False,
        user="hub",
        password_file=str(path),
        ca_file="",
    )


def _bucket(path: Path) -> object:
    return S3Place.from_files(
        "s3://b/p", endpoint="https://s3.example", region="eu", key_id_file=str(path), secret_file=str(path)
    )


READERS: dict[str, Callable[[Path], object]] = {
    "an adapter's secret": lambda path: read_secret("https", "secret_file", str(path)),
    "an adapter's private key": lambda path: read_private_file("sftp", "key_file", str(path)),
    "a key that a library reads by itself": lambda path: require_privacy(str(path)),
    "the mail server's password": _mail,
    "the bucket's credentials": _bucket,
}


@pytest.mark.parametrize("mode", TOO_OPEN)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_secret_that_others_can_read_or_change_is_refused_by_name(
    tmp_path: Path, reader: Callable[[Path], object], mode: int
) -> None:
    path = tmp_path / "the.secret"
    path.write_text("s" * 40)
    path.chmod(0o600)
    reader(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"the\.secret"):
        reader(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another account")
def test_a_secret_that_is_mounted_for_the_group_of_the_hub_is_good_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "mounted"
    path.write_text("s" * 40)
    os.chown(path, 4711, 0)
    path.chmod(0o440)
    assert vault.read(path) == b"s" * 40
    for mode in (0o444, 0o460, 0o450):
        path.chmod(mode)
        with pytest.raises(ConfigurationError):
            vault.read(path)


def test_the_connectors_private_keys_and_secret_are_judged_too(tmp_path: Path) -> None:
    key, secret = tmp_path / "key.json", tmp_path / "secret"
    key.write_bytes(orjson.dumps(make_rsa_pair("encryption")[1]))
    secret.write_text("s" * 40)
    key.chmod(0o644)
    secret.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"key\.json"):
        load_keys([Address(destination_id=uuid4(), decryption_key_files=(key,), signing_key_file=key)])
    with pytest.raises(ConfigurationError, match="secret"):
        subscriber(
            Hub(
                base_url="https://hub.example",
                token_url="https://hub.example/token",
                issuer="https://hub.example",
                submission_api="",
                client_id="c",
                client_secret_file=secret,
                ca_file=None,
            ),
            utc_now,
        )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "hub.sqlite").touch(mode=0o600)
    return load_settings(data, {}, disk_watermark_bytes=0)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o666])
def test_a_database_that_others_can_read_stops_the_start(settings: Settings, mode: int) -> None:
    judge_files(settings)
    (settings.data / "hub.sqlite").chmod(mode)
    with pytest.raises(ConfigurationError, match=r"hub\.sqlite"):
        judge_files(settings)


@pytest.mark.parametrize(
    "line",
    [
        'database_url = "postgresql://hub:secret@db.example/hub"',
        'database_url = "postgresql://hub@db.example/hub?password=secret"',
        'otel_endpoint = "https://who:secret@traces.example/v1"',
    ],
)
def test_a_settings_file_with_a_password_in_it_is_refused_however_private(settings: Settings, line: str) -> None:
    source = settings.data / "hub.toml"
    source.write_text(line)
    source.chmod(0o600)
    with pytest.raises(ConfigurationError, match=line.partition(" ")[0]) as refused:
        load_settings(settings.data, {})
    assert "secret@" not in refused.value.detail.en
    source.write_text('database_url = "postgresql://hub@db.example/hub"')
    source.chmod(0o644)
    judge_files(load_settings(settings.data, {}))


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_folder_in_which_a_group_may_replace_a_secret_is_refused_like_the_secret(
    tmp_path: Path, reader: Callable[[Path], object]
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o700)
    path = folder / "the.secret"
    path.write_text("s" * 40)
    path.chmod(0o600)
    for mode, good in ((0o755, True), (0o775, False), (0o770, False), (0o757, False), (0o1777, True)):
        folder.chmod(mode)
        if good:
            reader(path)
            continue
        with pytest.raises(ConfigurationError, match="shared"):
            reader(path)


def test_settings_that_others_may_change_or_replace_are_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    roles, settings = folder / "roles.toml", folder / "connector.toml"
    roles.write_text('[a]\nroles = ["viewer"]\ntenant = "*"\n')
    settings.write_text("")

    def read() -> list[str]:
        said = []
        for what in (lambda: Grants.load(roles, "roles"), lambda: list(in_force(settings))):
            try:
                what()
                said.append("")
            except ConfigurationError as error:
                said.append(error.detail.en)
        return said

    assert read() == ["", ""]
    roles.chmod(0o664)
    settings.chmod(0o666)
    assert all("chmod go-w" in each for each in read())
    roles.chmod(0o644)
    settings.chmod(0o644)
    folder.chmod(0o775)
    assert all("chmod 0700" in each and "etc" in each for each in read())


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_production_does_not_start_where_others_may_replace_files_and_development_warns(
    settings: Settings, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings.data.chmod(mode)
    judge_files(settings)
    assert any("Other accounts may write" in record.getMessage() for record in caplog.records)
    strict = load_settings(settings.data, {"HUB_ENVIRONMENT": "production", "HUB_BASE_URL": "https://hub.example"})
    with pytest.raises(ConfigurationError, match="data"):
        judge_files(strict)
