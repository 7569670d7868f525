"""The hub's keys change while a connector runs: it goes on, with a list that it keeps as with none, and old proof verifies."""

from __future__ import annotations

import json
import time

from click.testing import CliRunner
from stage import ANMELDEN, ANMELDUNG, SCHEMAS, WIESBADEN, serving

from hub import app
from hub.cli import main
from hub.client.session import log_in
from hub.connector import Connector
from hub.connector.opening import load_keys
from hub.connector.settings import ConnectorSettings
from hub.crypto import claims_of, read_jws_header, verify_receipt
from hub.crypto.keyring import FRESH
from hub.model import EVERYTHING, MediaType
from hub.validation.catalog import SchemaCatalog


def connector_of(stage, base_url: str) -> Connector:
    folder = stage.data / "demo"
    (folder / "in").mkdir()
    there = stage.destination("Wiesbaden")
    for use in ("decryption", "signing"):
        (folder / f"{use}.json").write_text(json.dumps(there[f"private_{use}_jwk"]))
    document = {
        "journal": "rotation.sqlite",
        "hub": {
            "base_url": base_url,
            "token_url": f"{base_url}/token",
            "issuer": stage.hub.base_url,
            "client_id": stage.cast["subscriber"]["client_id"],
            "client_secret_file": "subscriber.secret",
        },
        "handover": {"kind": "folder", "path": "in"},
        "destinations": [
            {
                "destination_id": there["destination_id"],
                "decryption_key_files": ["decryption.json"],
                "signing_key_file": "signing.json",
            }
        ],
    }
    settings = ConnectorSettings.parse(document, folder)
    keys = load_keys(settings.destinations)
    return Connector(settings, keys=keys, catalog=SchemaCatalog.load(SCHEMAS), now=stage.clock)


def change(stage, *command: str) -> str:
    ended = CliRunner().invoke(main, ["keys", *command, "--data", str(stage.data)])
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_keys_change_while_a_connector_runs_and_nothing_stops(stage, monkeypatch):
    """Signing keys verify what it collects, receipts what senders keep; its token was signed by the key that goes."""

    build = app.build
    monkeypatch.setattr(app, "build", lambda settings, **more: build(settings, clock=stage.clock, **more))

    def sent() -> str:
        return stage.accept(ANMELDUNG, media_type=MediaType.JSON, service=ANMELDEN, area=WIESBADEN).receipt

    with serving(stage) as served:
        connector = connector_of(stage, served.base_url)
        session = log_in(served.base_url, **stage.cast["sender"])
        first = sent()
        assert connector.run_once(stage.clock()).accepted == 1
        pinned = stage.hub.keys.hub_jwks()

        kid = change(stage, "announce", "receipt").split()[-1]
        kept = served.get("/hub/v1/jwks.json").json()
        assert kid in {each["kid"] for each in kept["keys"]} - {each["kid"] for each in pinned["keys"]}
        for kind in ("receipt", "signing"):
            change(stage, "rotate", kind)
        stage.clock.pass_(seconds=30)
        time.sleep(FRESH)  # The hub that runs looks at its list of keys so often.

        second = sent()
        assert read_jws_header(second).kid == kid
        # Who took the list in while the key was announced verifies what it signs; old receipts verify with any list since.
        assert verify_receipt(second, kept)["door"] == "plain"
        for receipt in (first, second):
            assert verify_receipt(receipt, served.get("/hub/v1/jwks.json").json())
        # The connector's token and the sender's are signed by the key that is gone, and good until they end.
        assert connector.run_once(stage.clock()).accepted == 1
        assert session.json("GET", f"/hub/v1/applications/{submission(second)}")["state"] == "accepted"
        connector.close()
    entries = [each.entry for each in stage.hub.store.audit.entries(action="hub-key.", scope=EVERYTHING).items]
    assert [(each.action, each.target) for each in entries] == [
        ("hub-key.announce", "hub-key:receipt"),
        ("hub-key.rotate", "hub-key:receipt"),
        ("hub-key.rotate", "hub-key:signing"),
    ]
    assert entries[0].after == entries[1].after == {"kid": kid}


def submission(receipt: str) -> str:
    return claims_of(receipt)["sub"].removeprefix("submission:")
