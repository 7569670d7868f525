from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from stage import NOW

from hub.connector import Connector
from hub.connector.declarations import InvalidHandling, Mode
from hub.connector.settings import ConnectorSettings, FolderHandover, HttpHandover
from hub.errors import ConfigurationError

EXAMPLE = f"""
mode = "both"
journal = "journal.sqlite3"
schema_roots = ["schemas"]
poll_seconds = 5

[hub]
base_url = "https://hub.example.org"
token_url = "https://hub.example.org/token"
client_id = "town"
client_secret_file = "secret"

[[destinations]]
destination_id = "{uuid4()}"
decryption_key_files = ["new.jwk", "old.jwk"]
signing_key_file = "sign.jwk"

[listen]
address = "127.0.0.1"
port = 8443
secret_file = "push-secret"

[handover]
kind = "folder"
path = "/srv/antraege"

[policy]
on_invalid = "hand_over_with_report"

[specialist]
port = 8091
folder = "cases"
"""


def read(tmp_path: Path, text: str) -> ConnectorSettings:
    file = tmp_path / "connector.toml"
    file.write_text(text, "utf-8")
    return ConnectorSettings.read(file)


@pytest.mark.parametrize(
    ("old", "new", "setting"),
    [
        ('mode = "both"', 'mode = "sometimes"', "mode"),
        ("poll_seconds = 5", "poll_seconds = 0", "poll_seconds"),
        ("poll_seconds = 5", 'poll_seconds = "often"', "poll_seconds"),
        ("poll_seconds = 5", "poll_seconds = true", "poll_seconds"),
        ("poll_seconds = 5", "pol_seconds = 5", "pol_seconds"),
        ('client_id = "town"', "", "hub.client_id"),
        ('client_id = "town"', 'client_id = "town"\nclient_secret = "hush"', "hub.client_secret"),
        ('base_url = "https://', 'base_url = "http://', "hub.base_url"),
        ('token_url = "https://', 'token_url = "https://me:secret@', "hub.token_url"),
        ('destination_id = "', 'destination_id = "x', "destinations[0].destination_id"),
        ('["new.jwk", "old.jwk"]', "[]", "destinations[0].decryption_key_files"),
        ('["new.jwk", "old.jwk"]', "[1]", "destinations[0].decryption_key_files"),
        ('address = "127.0.0.1"', 'address = "0.0.0.0"', "listen.certificate_file"),
        ("port = 8443", "port = 99999", "listen.port"),
        ('kind = "folder"', 'kind = "pigeon"', "handover.kind"),
        ('path = "/srv/antraege"', "", "handover.path"),
        ('"hand_over_with_report"', '"ignore"', "policy.on_invalid"),
        ("[specialist]", "[specialists]", "specialists"),
        ('kind = "folder"\npath = "/srv/antraege"', 'kind = "http"\nurl = "http://192.0.2.1/in"', "handover.url"),
        ('kind = "folder"\npath = "/srv/antraege"', 'kind = "http"\nurl = "https://far.example/in"', "handover.url"),
    ],
)
def test_a_wrong_setting_is_named(old, new, setting, tmp_path):
    assert old in EXAMPLE
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, EXAMPLE.replace(old, new))
    assert caught.value.members["setting"] == setting


def test_taking_pushes_needs_a_place_to_listen(tmp_path):
    start, end = EXAMPLE.index("[listen]"), EXAMPLE.index("[handover]")
    with pytest.raises(ConfigurationError, match="listen"):
        read(tmp_path, EXAMPLE[:start] + EXAMPLE[end:])


@pytest.mark.parametrize("text", ["mode = ", "\x00", "mode = 'a'\nmode = 'b'"])
def test_what_is_not_toml_is_refused(text, tmp_path):
    with pytest.raises(ConfigurationError):
        read(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError):
        ConnectorSettings.read(tmp_path / "nowhere.toml")


def test_the_example_is_read_with_paths_beside_the_file(tmp_path):
    settings = read(tmp_path, EXAMPLE)
    assert settings.mode is Mode.BOTH
    assert settings.on_invalid is InvalidHandling.HAND_OVER
    assert settings.journal == tmp_path / "journal.sqlite3"
    assert settings.handover == FolderHandover(path=Path("/srv/antraege"))
    assert settings.hub.submission_api == "/submission-api"
    assert settings.hub.issuer == "https://hub.example.org"
    assert settings.destinations[0].decryption_key_files == (tmp_path / "new.jwk", tmp_path / "old.jwk")


def test_a_local_address_or_a_named_host_may_take_the_plaintext(tmp_path):
    folder = 'kind = "folder"\npath = "/srv/antraege"'
    local = read(tmp_path, EXAMPLE.replace(folder, 'kind = "http"\nurl = "http://localhost:8091/cases"'))
    assert local.handover == HttpHandover(url="http://localhost:8091/cases", secret_file=None)
    named = 'kind = "http"\nurl = "https://fach.example/in"\nallowed_hosts = ["fach.example"]'
    assert isinstance(read(tmp_path, EXAMPLE.replace(folder, named)).handover, HttpHandover)


def place(tmp_path: Path, decryption: dict, signing: dict) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s" * 40)
    (tmp_path / "d.jwk").write_bytes(orjson.dumps(decryption))
    (tmp_path / "s.jwk").write_bytes(orjson.dumps(signing))
    text = f"""
journal = "journal.sqlite3"
[hub]
base_url = "http://127.0.0.1:9"
token_url = "http://127.0.0.1:9/token"
client_id = "town"
client_secret_file = "secret"
[[destinations]]
destination_id = "{uuid4()}"
decryption_key_files = ["d.jwk"]
signing_key_file = "s.jwk"
[handover]
kind = "folder"
path = "in"
"""
    file = tmp_path / "connector.toml"
    file.write_text(text)
    return file


def test_a_connector_starts_from_its_files(tmp_path, rsa_pair, signature_pair):
    connector = Connector.from_config(place(tmp_path, rsa_pair[1], signature_pair[1]), now=lambda: NOW)
    assert connector.run_once(NOW).postponed == 1  # No hub is there.
    assert connector.status() == {}
    connector.close()


def test_swapped_keys_stop_the_start(tmp_path, rsa_pair, signature_pair):
    with pytest.raises(ConfigurationError, match=r"d\.jwk"):
        Connector.from_config(place(tmp_path, signature_pair[1], rsa_pair[1]))


def test_a_public_key_stops_the_start(tmp_path, rsa_pair, signature_pair):
    with pytest.raises(ConfigurationError, match=r"d\.jwk"):
        Connector.from_config(place(tmp_path, rsa_pair[0], signature_pair[1]))


@pytest.mark.parametrize("missing", ["secret", "d.jwk", "in"])
def test_a_missing_place_stops_the_start(missing, tmp_path, rsa_pair, signature_pair):
    file = place(tmp_path, rsa_pair[1], signature_pair[1])
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        Connector.from_config(file)
