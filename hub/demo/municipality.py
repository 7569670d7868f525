"""The municipal side of the demo: writes the connector's settings and the keys that it needs."""

from __future__ import annotations

import json

from hub.config import Settings
from hub.demo.cast import Cast
from hub.resources import shipped

_POLL_SECONDS = 1


def write_config(cast: Cast, settings: Settings, *, listen_port: int, desk_port: int) -> None:
    """Write ``connector.toml`` for all demo destinations; paths are relative to the demo's folder."""
    lines = [
        'mode = "both"',
        'journal = "connector.sqlite"',
        f"poll_seconds = {_POLL_SECONDS}",
        f"schema_roots = [{_text(shipped('schemas'))}, {_text(settings.data / 'schemas')}]",
        "[hub]",
        f"base_url = {_text(cast.document['base_url'])}",
        f"token_url = {_text(cast.document['token_url'])}",
        f"client_id = {_text(cast.document['subscriber']['client_id'])}",
        'client_secret_file = "subscriber.secret"',
        "[listen]",
        f"port = {listen_port}",
        'secret_file = "push.secret"',
        "[handover]",
        'kind = "http"',
        f'url = "http://127.0.0.1:{desk_port}/cases"',
        "[specialist]",
        f"port = {desk_port}",
        'folder = "fachverfahren"',
    ]
    for destination in cast.destinations:
        name = destination["destination_id"]
        lines += [
            "[[destinations]]",
            f"destination_id = {_text(name)}",
            f'decryption_key_files = ["{name}-encryption.json"]',
            f'signing_key_file = "{name}-signing.json"',
        ]
    (cast.folder / "connector.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(value: object) -> str:
    """Write a TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(str(value), ensure_ascii=True)
