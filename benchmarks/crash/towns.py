"""A town's connector on a folder of its own, whose specialist system says what it decides in an outbox."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Self
from uuid import UUID, uuid4

from benchmarks.crash.nodes import free_port

TOKEN = "api-token-0123456789abcdef"


@dataclass
class Town:
    """The folder of one connector: what is handed over lies in ``in``, what is said goes to ``out``."""

    folder: Path
    config: Path
    port: int

    @classmethod
    def set_up(cls, folder: Path, base_url: str, cast: dict[str, Any], name: str) -> Self:
        """Make the folder of the town that ``name`` is part of its destination's name."""
        folder.mkdir(mode=0o700)
        for each in ("in", "out"):
            (folder / each).mkdir()
        there = next(each for each in cast["destinations"] if name in each["name"])
        secrets = {
            "decryption.json": json.dumps(there["private_decryption_jwk"]),
            "signing.json": json.dumps(there["private_signing_jwk"]),
            "subscriber.secret": cast["subscriber"]["client_secret"],
            "token": TOKEN,
        }
        for file, content in secrets.items():
            (folder / file).touch(mode=0o600)
            (folder / file).write_text(content)
        port = free_port()
        settings = f"""
            journal = "journal.sqlite"
            poll_seconds = 1
            [hub]
            base_url = "{base_url}"
            token_url = "{base_url}/token"
            issuer = "{base_url}"
            client_id = "{cast["subscriber"]["client_id"]}"
            client_secret_file = "subscriber.secret"
            [handover]
            mode = "system"
            kind = "folder"
            path = "in"
            outbox = "out"
            [api]
            port = {port}
            token_file = "token"
            [[destinations]]
            destination_id = "{there["destination_id"]}"
            decryption_key_files = ["decryption.json"]
            signing_key_file = "signing.json"
        """
        config = folder / "connector.toml"
        config.write_text(dedent(settings))
        return cls(folder, config, port)

    def handed_over(self) -> dict[UUID, Path]:
        """Return what lies in the folder of the specialist system, complete, by submission."""
        found = {}
        for each in (self.folder / "in").iterdir():
            if (each / "antrag.json").exists():
                found[UUID(json.loads((each / "antrag.json").read_text())["submissionId"])] = each
        return found

    def say(self, submission_id: UUID, action: str, files: dict[str, bytes] | None = None, **said: Any) -> None:
        """Put a statement into the outbox, as a specialist system does: complete, then named."""
        folder = self.folder / "out" / f".{uuid4()}"
        folder.mkdir()
        named = [{"file": name, "mimeType": "application/pdf"} for name in files or {}]
        statement = {"version": 2, "id": str(uuid4()), "submissionId": str(submission_id), "action": action, **said}
        (folder / "reply.json").write_text(json.dumps(statement | ({"files": named} if named else {})))
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        folder.rename(folder.with_name(folder.name[1:]))

    def unsaid(self) -> list[str]:
        """Return the statements that wait yet, and those that failed."""
        out = self.folder / "out"
        waiting = [each.name for each in out.iterdir() if each.name not in {"done", "failed"}]
        failed = sorted((out / "failed").glob("*.reason.json")) if (out / "failed").exists() else []
        return waiting + [each.read_text(encoding="utf-8") for each in failed]
