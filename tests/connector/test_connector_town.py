"""What the connector's tests share: a hub, a town with its connector, and submissions good and bad."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
from partner import FakeHub
from stage import NOW

from hub.connector import Connector
from hub.connector.opening import Keys
from hub.connector.settings import ConnectorSettings
from hub.crypto import keys as crypto_keys
from hub.validation.catalog import SchemaCatalog

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = SCHEMAS / "fim-hundesteuer" / "1.0" / "examples"
HUNDESTEUER = "https://schema.rathaus-hub.example/fim-hundesteuer/1.0/anmeldung.schema.json"
METADATA = "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json"
CANARY = "Kanarienvogel-4711"
SECRET = "0123456789abcdef0123456789abcdef"
LATER = NOW + timedelta(hours=2)


def good_data(canary: str = CANARY) -> bytes:
    document = orjson.loads(next(iter(sorted(EXAMPLES.glob("good*.json")))).read_bytes())
    document["halter"]["familienname"] = canary
    return orjson.dumps(document)


def bad_data() -> bytes:
    document = orjson.loads(good_data())
    del document["hunde"]
    return orjson.dumps(document)


def metadata(data: bytes | None, attachments: dict[UUID, bytes], *, schema: str = HUNDESTEUER, **changes) -> bytes:
    structure = {
        "attachments": [
            {
                "hash": {"type": "sha512", "content": hashlib.sha512(content).hexdigest()},
                "purpose": "attachment",
                "mimeType": "application/pdf",
                "attachmentId": str(one),
                "filename": f"{CANARY}.pdf",
            }
            for one, content in attachments.items()
        ],
        "data": {
            "hash": {"type": "sha512", "content": hashlib.sha512(data or b"").hexdigest()},
            "submissionSchema": {"schemaUri": schema, "mimeType": "application/json"},
        },
    }
    return orjson.dumps({"$schema": METADATA, "contentStructure": {**structure, **changes}})


class Town:
    """A hub, a connector's place and a way to start the connector anew, as after a crash."""

    def __init__(self, folder: Path, hub: FakeHub, keys: dict, catalog: SchemaCatalog) -> None:
        self.folder, self.hub, self.keys, self.catalog = folder, hub, keys, catalog
        self.inbox = folder / "in"
        self.inbox.mkdir()
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text(SECRET)
        self.document = {
            "mode": "collect",
            "journal": "journal.sqlite3",
            "hub": {
                "base_url": hub.url,
                "token_url": hub.url + "/token",
                "client_id": "town",
                "client_secret_file": "secret",
            },
            "destinations": [
                {"destination_id": str(hub.destination_id), "decryption_key_files": ["d"], "signing_key_file": "s"}
            ],
            "handover": {"kind": "folder", "path": "in"},
        }
        self.connector: Connector | None = None

    def start(self, *, now=lambda: NOW, **changes) -> Connector:
        self.stop()
        settings = ConnectorSettings.parse({**self.document, **changes}, self.folder)
        self.connector = Connector(settings, keys=self.keys, catalog=self.catalog, now=now)
        return self.connector

    def stop(self) -> None:
        if self.connector is not None:
            self.connector.close()
            self.connector = None

    def settle(self) -> None:
        """Look twice: a broken copy is fetched once more before anybody is blamed."""
        connector = self.start()
        connector.run_once(NOW)
        connector.run_once(LATER)

    def submit(self, data: bytes | None = None, attachments: dict[UUID, bytes] | None = None, **changes) -> UUID:
        data = good_data() if data is None else data
        attachments = {uuid4(): f"%PDF {CANARY}".encode()} if attachments is None else attachments
        described = metadata(data, attachments, **changes)
        return self.hub.submit(now=NOW, metadata=described, data=data, attachments=attachments)

    def answer(self) -> tuple[str, dict]:
        (claims,) = self.hub.posted
        ((uri, payload),) = claims["events"].items()
        return uri.rpartition("/")[2], payload

    def reasons(self) -> set[tuple[str, str]]:
        kind, payload = self.answer()
        assert kind == "reject-submission"
        return {(one["type"].rpartition("/")[2], one["instance"]) for one in payload["problems"]}

    def handed(self) -> list[str]:
        return sorted(entry.name for entry in self.inbox.iterdir() if not entry.name.startswith("."))


@pytest.fixture(scope="session")
def catalog():
    return SchemaCatalog.load(SCHEMAS)


@cache
def signing_pair():
    """The town's signing key, made once: (public JWK, private JWK)."""
    return crypto_keys.make_rsa_pair("signing", kid_prefix="town-")


@pytest.fixture(scope="session")
def town_keys(decryption_key):
    """The town's private keys and the public half of its signing key."""
    public, private = signing_pair()
    signing = crypto_keys.read_signing_key(private, written_by_us=True)
    return Keys(decryption=(decryption_key,), signing=signing), public


@pytest.fixture
def town(tmp_path, catalog, encryption_key, town_keys, signing_key):
    keys, public = town_keys
    destination_id = uuid4()
    with FakeHub(
        signing_key=signing_key, destination_id=destination_id, encryption_key=encryption_key, receiver_jwk=public
    ) as hub:
        town = Town(tmp_path, hub, {destination_id: keys}, catalog)
        yield town
        town.stop()


def broken_jwe(jwe: str) -> str:
    """The same JWE with its last ciphertext letter changed; header, key and tag stay."""
    head, wrapped, iv, text, tag = jwe.split(".")
    return ".".join([head, wrapped, iv, ("B" if text[0] == "A" else "A") + text[1:], tag])
