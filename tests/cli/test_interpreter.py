"""The interpreter of a process that serves is set by ``hub serve``; whoever embeds the application keeps their own."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

_SHOWN = """
import gc, json, os, sys
from pathlib import Path
def shown():
    return [sys.getswitchinterval(), list(gc.get_threshold()), gc.get_freeze_count() > 0]
from hub.cli import servers
before = shown()
from hub.config import load_settings
servers.application(load_settings(Path(os.environ["HUB_DATA"]), os.environ), work=False)
after, loaded = shown(), sorted(sys.modules)
import httpx, requests
from starlette.testclient import TestClient
whole = [httpx.AsyncClient.__name__, requests.get.__name__, TestClient.__mro__[1].__name__]
print(json.dumps([before, after, loaded, whole]))
os._exit(0)
"""

#: What a hub that serves on SQLite never uses, once it is built and waits for requests.
_ELSEWHERE = {
    *("alembic", "asyncssh", "joserfc.jwe", "obstore", "psycopg", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm"),
    *("hub.adapter_kit", "hub.connector", "hub.demo", "opentelemetry", "saxonche", "webauthn", "xmlschema"),
    *("hub.forms", "hub.validation.importing", "httpx", "requests", "starlette.testclient"),
}


def shown():
    return sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()


def test_the_application_leaves_its_process_as_it_is(made_once, tmp_path):
    from stage import serving, staged

    before = shown()
    with staged(made_once, tmp_path) as stage, serving(stage) as served:
        assert served.get("/health/live").status_code == 200
        assert shown() == before
    assert shown() == before


def test_a_process_of_hub_serve_is_set_for_serving(stage):
    stage.hub.close()
    environment = {**os.environ, "HUB_DATA": str(stage.data), "HUB_DISK_WATERMARK_BYTES": "0"}
    environment |= {"PYTHONWARNINGS": "ignore"}
    found = subprocess.run(
        [sys.executable, "-c", _SHOWN], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    before, after, loaded, whole = json.loads(found.stdout.splitlines()[-1])
    assert before == [0.005, [700, 10, 10], False]
    assert after == [0.002, [50_000, 20, 20], True]
    assert not _ELSEWHERE & set(loaded)
    # What connexion was not given is there for everybody else.
    assert whole == ["AsyncClient", "get", "Client"]
