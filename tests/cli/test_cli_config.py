"""Settings are looked up, shown and checked from one place, and no secret stands where anybody may look."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.cli import main
from hub.config import DECLARED, load_settings, read_settings
from hub.connector.declarations import DECLARED as CONNECTORS
from hub.errors import ConfigurationError
from hub.portal.settings import DECLARED as PORTALS

ROOT = Path(__file__).parents[2]


def ran(*arguments: str, **env: str) -> Result:
    return CliRunner(env={"LANG": "C", "LC_ALL": "", "LC_MESSAGES": "", **env}).invoke(main, list(arguments))


@pytest.mark.parametrize("whose", ["hub", "connector", "portal"])
def test_the_reference_that_is_committed_is_the_one_that_the_program_writes(whose):
    written = ran("config", "reference", "--for", whose).stdout
    assert (ROOT / f"docs/reference/settings-{whose}.md").read_text("utf-8") == written
    declared = json.loads(ran("config", "reference", "--for", whose, "--format", "json").stdout)
    assert [each["name"] for each in declared] == re.findall(r"^\| `([\w.]+)` ", written, re.MULTILINE)
    for each in declared:
        assert (each["de"][-1], each["en"][-1]) == (".", "."), each
        assert each["de"] != each["en"]
        assert re.fullmatch(r"0\.\d\.0", each["since"])
        assert bool(each["environment"]) == (whose == "hub")


def test_a_default_is_one_that_its_setting_takes():
    for each in (*DECLARED, *CONNECTORS, *PORTALS):
        if each.default not in (None, ""):
            assert each.typed(each.default) == each.default


def test_what_is_in_force_is_shown_with_where_it_comes_from_and_no_secret(tmp_path):
    secret = tmp_path / "mail.secret"
    secret.write_text("canary-4711")
    secret.chmod(0o600)
    (tmp_path / "hub.toml").write_text(
        f'smtp_host = "mail.example"\nmail_sender = "hub@example.org"\nsmtp_user = "hub"\n'
        f'smtp_password_file = "{secret}"\n'
    )
    shown = ran("config", "show", "--data", str(tmp_path), HUB_PORT="8123")
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line.split(None, 1)[1] for line in shown.stdout.splitlines()}
    assert set(lines) == {each.name for each in DECLARED}
    assert lines["port"].split() == ["8123", "HUB_PORT"]
    assert lines["smtp_host"].split() == ['"mail.example"', "hub.toml"]
    assert lines["lease_seconds"].split() == ["120", "Vorgabe", "/", "default"]
    assert f"set, from {secret}" in lines["smtp_password_file"]
    assert "not set" in lines["blobs_secret_file"]
    assert "canary" not in shown.output


def test_all_faults_are_said_at_once_with_what_is_allowed(tmp_path):
    (tmp_path / "hub.toml").write_text(
        'log_level = "loud"\nport = 70000\npasword = "x"\nallow_private_addresses = "yes"'
    )
    checked = ran("config", "check", "--data", str(tmp_path), "--english", HUB_ENVIRONMENT="production")
    assert checked.exit_code == 1
    assert checked.stderr.splitlines() == [
        "log_level: what is allowed is info, warning, error.",
        "port: what is allowed is 0 to 65535.",
        "pasword: is unknown. Perhaps passwords is meant.",
        "allow_private_addresses: what is allowed is true or false.",
        "base_url: must be set in production and begin with https://.",
    ]
    with pytest.raises(ConfigurationError) as stopped:  # The start says the same.
        load_settings(tmp_path, {"HUB_ENVIRONMENT": "production"})
    assert all(fault in stopped.value.detail.en for fault in checked.stderr.splitlines())
    assert ran("config", "check", "--data", str(tmp_path / "none")).exit_code == 0


SECRETS = {
    "smtp_password": "smtp_password_file",
    "openid_client_secret": "openid_client_secret_file",
    "blobs_secret": "blobs_secret_file",
    "blobs_key_id": "blobs_key_id_file",
    "database_password": "database_password_file",
    "database_url": "database_password_file",
    "otel_endpoint": "",
}


def test_a_secret_given_as_a_value_is_refused_by_name_and_not_repeated(tmp_path):
    for name, by_file in SECRETS.items():
        value = "postgresql://hub:canary-4711@db/hub" if name in {"database_url", "otel_endpoint"} else "canary-4711"
        for environ, text in (({f"HUB_{name.upper()}": value}, ""), ({}, f'{name} = "{value}"')):
            (tmp_path / "hub.toml").write_text(text)
            (fault,) = read_settings(tmp_path, environ).faults
            assert fault.de.startswith(f"{name}: enthält ein Geheimnis"), fault
            assert by_file in fault.en
            assert "canary" not in str(fault.de + fault.en)
            assert "canary" not in ran("config", "show", "--data", str(tmp_path), **environ).output


def test_the_password_of_the_database_comes_from_its_file(tmp_path):
    secret = tmp_path / "db.secret"
    secret.write_text("p@ss/word\n")
    secret.chmod(0o600)
    given = {
        "database_url": "postgresql://hub@db.example:5433/hub?sslmode=require",
        "database_password_file": str(secret),
    }
    settings = load_settings(tmp_path, {}, **given)
    assert settings.database == "postgresql://hub:p%40ss%2Fword@db.example:5433/hub?sslmode=require"
    assert "p%40" not in repr(settings)
    with pytest.raises(ConfigurationError, match="database_password_file"):
        load_settings(tmp_path, {}, database_password_file=str(secret))


def test_files_and_folders_that_others_may_change_are_named_with_the_chmod_that_mends_them(tmp_path):
    data, outside = tmp_path / "data", tmp_path / "outside"
    (data / "pki").mkdir(parents=True, mode=0o700)
    outside.mkdir()
    secret = outside / "s3.secret"
    secret.write_text("s" * 20)
    secret.chmod(0o600)
    data.chmod(0o700)
    (data / "pki").chmod(0o777)
    outside.chmod(0o777)
    checked = ran("config", "check", "--data", str(data), HUB_BLOBS_SECRET_FILE=str(secret))
    assert checked.exit_code == 1
    assert f"chmod 0700 {data / 'pki'}" in checked.stderr
    assert f"chmod 0700 {outside}" in checked.stderr
    outside.chmod(0o1777)  # The sticky bit leaves each file to its owner, as in mounts of secrets.
    (data / "pki").chmod(0o700)
    secret.chmod(0o644)
    checked = ran("config", "check", "--data", str(data), HUB_BLOBS_SECRET_FILE=str(secret))
    assert f"chmod 0600 {secret}" in checked.stderr
    assert len(checked.stderr.splitlines()) == 1
    secret.chmod(0o600)
    assert ran("config", "check", "--data", str(data), HUB_BLOBS_SECRET_FILE=str(secret)).exit_code == 0
