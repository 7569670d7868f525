from __future__ import annotations

import obstore
import orjson
import pytest
from contract import hold, make_package, opened, sentences_for, workshop  # noqa: F401
from obstore.store import S3Store
from servers import Moto

from adapters.s3_drop import S3Drop
from hub.adapter_kit.packages import again, bulky
from hub.errors import ConfigurationError
from hub.model.submission import DeadCause, OutcomeKind


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    import requests

    folder = tmp_path_factory.mktemp("moto")
    with Moto(folder) as server:
        requests.put(f"{server.url}/deliveries", timeout=10).raise_for_status()
        (folder / "key").write_text("hub")
        (folder / "secret").write_text("secret")
        server.config = {
            "endpoint": server.url,
            "bucket": "deliveries",
            "prefix": "town/in",
            "region": "us-east-1",
            "access_key_id_file": str(folder / "key"),
            "secret_access_key_file": str(folder / "secret"),
            "allow_http": True,
            "allow_private_addresses": True,
        }
        server.store = S3Store(
            "deliveries",
            endpoint=server.url,
            region="us-east-1",
            access_key_id="hub",
            secret_access_key="secret",
            client_options={"allow_http": True},
        )
        yield server


@pytest.mark.parametrize("sentence", sentences_for(S3Drop))
def test_s3_drop(sentence, workshop):  # noqa: F811
    hold(sentence, S3Drop, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "plain http": {"endpoint": "http://store.example"},
        "a secret in the query": {"endpoint": "https://store.example?key=1"},
        "a bucket that climbs": {"bucket": "../other"},
        "a prefix that climbs": {"prefix": "a/../b"},
        "a prefix from the root": {"prefix": "/a"},
        "no time": {"timeout": 0},
    }.values(),
    ids=str,
)
def test_s3_drop_refuses(change):
    good = {
        "endpoint": "https://store.example",
        "bucket": "abc",
        "access_key_id_file": "a",
        "secret_access_key_file": "b",
    }
    S3Drop(good)
    with pytest.raises(ConfigurationError):
        S3Drop({**good, **change})


def test_an_inward_address_is_not_used(moto):
    outcome = opened(S3Drop, {**moto.config, "allow_private_addresses": False}).deliver(make_package())
    assert (outcome.kind, outcome.note) == (OutcomeKind.UNREACHABLE, "address is not public")


def test_moto_holds_a_delivery_whole(moto):
    package = bulky(make_package(attachments=3))
    assert opened(S3Drop, moto.config).deliver(package).kind is OutcomeKind.DELIVERED
    place = f"town/in/{package.delivery_id}"
    manifest = orjson.loads(bytes(obstore.get(moto.store, f"{place}/manifest.json").bytes()))
    stored = {entry["path"]: entry["size"] for batch in obstore.list(moto.store, place) for entry in batch}
    assert set(stored) == {f"{place}/{name}" for name in [*manifest["files"], "manifest.json"]}
    for name, facts in manifest["files"].items():
        assert stored[f"{place}/{name}"] == facts["size"]
    data = bytes(obstore.get(moto.store, f"{place}/data.jwe").bytes())
    assert data == package.submission.contents.data.jwe


def test_moto_holds_a_repeat_once(moto):
    adapter, package = opened(S3Drop, moto.config), make_package()
    adapter.deliver(package)
    assert adapter.deliver(again(package)).note == "was already there, whole"


def test_a_bucket_that_is_missing_blames_the_configuration(moto):
    outcome = opened(S3Drop, {**moto.config, "bucket": "missing"}).deliver(make_package())
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNREACHABLE, DeadCause.CONFIGURATION)


def test_the_environment_of_the_account_takes_no_part(moto, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BUCKET_NAME", "AWS_BUCKET"):
        monkeypatch.setenv(name, "foreign")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert opened(S3Drop, moto.config).deliver(make_package()).kind is OutcomeKind.DELIVERED
