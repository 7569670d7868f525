"""A hub of its own, started by its command line, for clients that nobody here wrote."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

_SCHEMAS = Path(__file__).parents[2] / "schemas"
#: Seconds until the development PKI is made and the first answer comes; RSA-4096 keys take most of it.
START_LIMIT = 150.0
#: Seconds for a single answer; the Java SDK's own default is the same.
ANSWER_LIMIT = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What one destination takes: a service and a schema of the wanted media type."""

    destination_id: str
    name: str
    ars: str
    service: str
    schema_uri: str
    media_type: str
    decryption_key: Mapping[str, Any]
    signing_key: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningHub:
    """Where the hub answers, and its ``demo.json``: clients, destinations and the destinations' private keys."""

    base_url: str
    token_url: str
    demo: Mapping[str, Any]

    def url(self, path: str) -> str:
        """Make an absolute URL of ``path``, which begins with a slash."""
        return self.base_url + path

    def credentials(self, kind: str) -> dict[str, str]:
        """Give ``client_id`` and ``client_secret`` of the demo client ``sender`` or ``subscriber``."""
        return {name: self.demo[kind][name] for name in ("client_id", "client_secret")}

    def token(self, kind: str) -> str:
        """Fetch an access token as all open clients do: a form body, no scope."""
        form = {"grant_type": "client_credentials", **self.credentials(kind)}
        answer = requests.post(self.token_url, data=form, timeout=ANSWER_LIMIT)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def offer(self, media_type: str) -> Offer:
        """Find a mailbox destination that takes ``media_type`` at both doors, by its public description."""
        for entry in self.demo["destinations"]:
            public = requests.get(
                self.url(f"/submission-api/v2/destinations/{entry['destination_id']}"), timeout=ANSWER_LIMIT
            ).json()
            for service in public["publicServices"] if entry["adapter"] == "mailbox" else ():
                for schema in service["submissionSchemas"]:
                    if schema["mimeType"] == media_type and _catalogued(service["identifier"], schema["schemaUri"]):
                        return _offer(entry, service["identifier"], schema["schemaUri"], media_type)
        pytest.fail(f"demo.json has no mailbox destination that takes {media_type}")


def _offer(entry: Mapping[str, Any], service: str, schema_uri: str, media_type: str) -> Offer:
    return Offer(
        destination_id=entry["destination_id"],
        name=entry["name"],
        ars=entry["ars"],
        service=service,
        schema_uri=schema_uri,
        media_type=media_type,
        decryption_key=entry["private_decryption_jwk"],
        signing_key=entry["private_signing_jwk"],
    )


def good_example(schema_uri: str) -> bytes:
    """Find one of the project's own good instances that names ``schema_uri``."""
    for file in sorted(_SCHEMAS.rglob("good*.json")):
        content = file.read_bytes()
        if json.loads(content).get("$schema") == schema_uri:
            return content
    pytest.fail(f"schemas/ has no good example for {schema_uri}")


def _catalogued(service: str, schema_uri: str) -> bool:
    """Whether the catalogue gives this schema to this service, so that the plain door takes it there."""
    manifests = (yaml.safe_load(file.read_text()) for file in _SCHEMAS.glob("*/*/catalog.yaml"))
    return any(
        item["uri"] == schema_uri and service in (item.get("services") or ())
        for manifest in manifests
        for item in manifest["schemas"]
    )


@contextmanager
def running_hub(folder: Path) -> Iterator[RunningHub]:
    """Start a hub with its data under ``folder`` on a free port; end that process, by its id, afterwards.

    The environment variable ``HUB_COMMAND`` names another command line to test, e.g. an installed package's.
    """
    command = shlex.split(os.environ.get("HUB_COMMAND", str(Path(sys.executable).with_name("hub"))))
    data = folder / "data"
    arguments = ["run", "--data", str(data), "--port", str(_free_port()), "--no-demo-traffic"]
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield _await(process, data / "demo.json", folder / "hub.log")
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], demo_file: Path, log: Path) -> RunningHub:
    give_up = time.monotonic() + START_LIMIT
    while time.monotonic() < give_up and process.poll() is None:
        if demo_file.exists() and (demo := _parsed(demo_file)) and _ready(demo["base_url"]):
            return RunningHub(base_url=demo["base_url"], token_url=demo["token_url"], demo=demo)
        time.sleep(0.2)
    pytest.fail(f"the hub did not become ready (exit code {process.poll()}):\n{log.read_text()[-4000:]}")


def _parsed(demo_file: Path) -> dict[str, Any] | None:
    try:
        demo: dict[str, Any] = json.loads(demo_file.read_text())
    except json.JSONDecodeError:  # Still being written.
        return None
    return demo


def _ready(base_url: str) -> bool:
    try:
        return requests.get(f"{base_url}/health/ready", timeout=ANSWER_LIMIT).status_code == 200
    except requests.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
