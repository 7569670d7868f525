"""Settings are strict: what is not a setting, or not of its type, stops the start."""

from pathlib import Path

import pytest

from hub.config import load_settings
from hub.errors import ConfigurationError

WRONG = {
    "an unknown name in the environment": ({"HUB_PROT": "80"}, {}),
    "a number that is none": ({"HUB_PORT": "eighty"}, {}),
    "a truth value that is none": ({"HUB_ALLOW_PRIVATE_ADDRESSES": "maybe"}, {}),
    "an unknown environment": ({"HUB_ENVIRONMENT": "prod"}, {}),
    "a base URL with a slash at its end": ({"HUB_BASE_URL": "https://hub.example.org/"}, {}),
    "production without https": ({"HUB_ENVIRONMENT": "production"}, {}),
    "a mail server without a sender": ({"HUB_SMTP_HOST": "mail.example.org"}, {}),
    "a sender that is no address": ({"HUB_MAIL_SENDER": "Hub <hub@example.org>"}, {}),
    "operators with a line break": ({"HUB_MAIL_OPERATORS": "a@example.org\nBcc: b@example.org"}, {}),
    "a mail user without a password": ({"HUB_SMTP_USER": "hub"}, {}),
    "a way to the mail server that nobody knows": ({"HUB_SMTP_SECURITY": "maybe"}, {}),
    "a password in the clear": (
        {"HUB_SMTP_SECURITY": "none", "HUB_SMTP_USER": "hub", "HUB_SMTP_PASSWORD_FILE": "x"},
        {},
    ),
    "production that mails in the clear": (
        {
            "HUB_ENVIRONMENT": "production",
            "HUB_BASE_URL": "https://hub.example.org",
            "HUB_SMTP_HOST": "mail.example.org",
            "HUB_MAIL_SENDER": "hub@example.org",
            "HUB_SMTP_SECURITY": "none",
        },
        {},
    ),
    "production that may reach private addresses": (
        {"HUB_ENVIRONMENT": "production", "HUB_BASE_URL": "https://hub.example.org"},
        {"allow_private_addresses": True},
    ),
}


@pytest.mark.parametrize(("environ", "overrides"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_stops_the_start(tmp_path, environ, overrides):
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, environ, **overrides)


def test_an_unknown_name_in_the_file_stops_the_start(tmp_path):
    (tmp_path / "hub.toml").write_text("prot = 80")
    with pytest.raises(ConfigurationError, match="prot"):
        load_settings(tmp_path, {})


def test_a_broken_file_stops_the_start(tmp_path):
    (tmp_path / "hub.toml").write_text("port = ")
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {})


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path):
    (tmp_path / "hub.toml").write_text('port = 1\nhost = "a"\nnode = "x"')
    settings = load_settings(tmp_path, {"HUB_PORT": "2", "HUB_HOST": "b", "HUB_DATA": "ignored"}, port=3, host=None)
    assert (settings.port, settings.host, settings.node) == (3, "b", "x")


def test_without_any_setting_everything_lies_in_the_data_folder():
    settings = load_settings(Path("data"), {})
    assert settings.database == f"sqlite:///{Path('data').absolute()}/hub.sqlite"
    assert settings.canonical_url == "http://127.0.0.1:8080"
