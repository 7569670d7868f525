"""A demonstration specialist system ("Fachverfahren"): takes the connector's HTTP hand-over and shows what came in.

It speaks both versions of the hand-over contract: to version 2 it answers 202, and :meth:`SpecialistSystem.decide` says later,
by the connector's loopback interface, what became of a case. It listens on loopback only and answers only requests that name
this machine as their host, so that no web page elsewhere can reach it through a browser. Cases lie in a folder,
``<submission id>/``, each complete or not there.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from io import BufferedWriter
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4, uuid5

import orjson
import requests

from hub.client.transport import is_loopback
from hub.connector.listener import QuietHandler, QuietServer
from hub.connector.settings import LONGEST_SECRET, ConnectorSettings, HttpHandover, unusable
from hub.errors import Malformed, Text, TooLarge
from hub.files import vault
from hub.supervision import Supervisor
from hub.web.filenames import safe_name
from hub.web.multipart import parts
from hub.web.responses import POLICY

_LARGEST = 2 * 1024 * 1024 * 1024  # Bytes; FIT-Connect's limit for a submission.
_MOST_PARTS = 110
_PATIENCE = (5, 30)  # Seconds.
_PAGE = """<!doctype html>
<html lang="de"><head><meta charset="utf-8"><title>Fachverfahren (Demo)</title><style>
body{{font-family:system-ui,sans-serif;margin:2rem;color:#171a2b}}table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.5rem .75rem;border-bottom:1px solid #b5bcc9}}small{{color:#535f75}}
</style></head><body><main><h1>Eingegangene Anträge: {count}</h1>
<p>Demo-Fachverfahren des Konnektors. <span lang="en">Demonstration specialist system: cases received.</span></p>
<table><thead><tr><th>Eingang <small lang="en">received</small></th>
<th>Leistung <small lang="en">service</small></th>
<th>Einreichung <small lang="en">submission</small></th><th>Schema</th>
<th>Anlagen <small lang="en">attachments</small></th>
<th>Geprüft <small lang="en">validated</small></th></tr></thead><tbody>{rows}</tbody></table></main></body></html>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Desk:
    """What the handlers of one server share."""

    folder: Path
    secret: str | None
    now: Callable[[], datetime]


class SpecialistSystem:
    """The server, in threads of its own; listens from construction until ``close``."""

    def __init__(self, *, port: int, folder: Path, secret: str | None, now: Callable[[], datetime]) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            desk = _Desk(folder=folder, secret=secret, now=now)
            self._server = QuietServer("127.0.0.1", port, _Handler, desk)
        except OSError as exc:
            raise unusable("specialist", "lässt sich nicht öffnen", "cannot be opened") from exc
        self.port = self._server.port
        self._server.begin("specialist-system", Supervisor())

    @classmethod
    def of(cls, settings: ConnectorSettings, now: Callable[[], datetime]) -> Self | None:
        """Start the one that the settings ask for, if they do."""
        if settings.specialist is None:
            return None
        handover = settings.handover
        file = handover.secret_file if isinstance(handover, HttpHandover) else None
        secret = None if file is None else vault.read_text(file, most=LONGEST_SECRET, encoding="ascii")
        return cls(port=settings.specialist.port, folder=settings.specialist.folder, secret=secret, now=now)

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def decide(self, address: str, token: str, submission_id: UUID, deed: str, said: Mapping[str, Any]) -> int:
        """Say what becomes of a case (``accept``, ``reject`` or ``replies``) at ``address``; return the status of the answer.

        A lost answer is asked for again: what is said twice under one key is one.

        Raises:
            requests.RequestException: the connector cannot be reached.
        """
        headers = {"Authorization": f"Bearer {token}"}
        if deed == "replies":
            headers["Idempotency-Key"] = str(uuid5(submission_id, orjson.dumps(said).decode()))
        with requests.Session() as session:
            session.trust_env = False
            url = f"{address}/v2/submissions/{submission_id}/{deed}"
            return session.post(url, json=said, headers=headers, timeout=_PATIENCE, allow_redirects=False).status_code


class _Handler(QuietHandler):
    server_version = "Fachverfahren"
    server: QuietServer[_Desk]

    def do_GET(self) -> None:  # noqa: N802  # Names that http.server wants.
        if not self._is_local():
            self._answer(403, b"", "text/plain")
        elif self.path == "/cases.json":
            self._answer(200, orjson.dumps({"cases": _cases(self.server.desk.folder)}), "application/json")
        elif self.path == "/":
            self._answer(200, _page(_cases(self.server.desk.folder)).encode(), "text/html; charset=utf-8")
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:  # noqa: N802
        reason = None
        try:
            status = self._take()
        except TooLarge as exc:
            status, reason = 413, exc.detail
        except Malformed as exc:
            status, reason = 400, exc.detail
        # What was not read of a refused request would be taken for the next one.
        self.close_connection = status >= 400  # noqa: PLR2004  # Refusals.
        said = "" if reason is None else f"{reason.de}\n{reason.en}\n"
        self._answer(status, said.encode(), "text/plain; charset=utf-8")

    def _take(self) -> int:
        """Take a hand-over and return the status of the answer; ``Malformed`` and ``TooLarge`` say why it is refused."""
        desk = self.server.desk
        if self.path != "/cases" or not self._is_local():
            return 404
        if desk.secret is not None and not self._is_authorised(desk.secret):
            return 401
        try:
            name = str(UUID(self.headers.get("Idempotency-Key", "")))
        except ValueError as exc:
            raise Malformed(_NO_KEY) from exc
        return self._store(desk, name)

    def _store(self, desk: _Desk, name: str) -> int:
        working, final = desk.folder / f".{uuid4()}.part", desk.folder / name
        facts = {"receivedAt": desk.now().isoformat(), "repeat": self.headers.get("Repeat") == "true"}
        try:
            # A loop for this request alone, whose thread may wait for its bytes.
            asyncio.run(_receive(working, self.body(_LARGEST), self.headers.get("Content-Type", "")))
            if not (working / "antrag.json").is_file():
                raise Malformed(_NO_CASE)
            with _private(working / "received.json") as file:
                file.write(orjson.dumps(facts))
            known = final.exists()
            if not known:
                working.rename(final)
        except TimeoutError:
            return 408
        except ValueError as exc:
            raise Malformed(_UNREADABLE) from exc
        except OSError:
            return 503
        else:
            if self.headers.get("Handover-Version") == "2":
                return 202  # Taken: what becomes of it is said later, by the submission's id.
            return 200 if known else 201  # A repeat lies here already, and once is enough.
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def _is_local(self) -> bool:
        return is_loopback(urlsplit(f"//{self.headers.get('Host', '')}").hostname)

    def _is_authorised(self, secret: str) -> bool:
        return hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {secret}".encode())

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        policy = f"{POLICY}; style-src 'unsafe-inline'"
        self.answer(status, body, {"Content-Type": media_type, "Content-Security-Policy": policy})


async def _receive(folder: Path, pieces: Iterable[bytes], content_type: str) -> None:
    """Stream every part of a hand-over into a file of its own.

    Raises:
        Malformed, TooLarge: as :func:`hub.web.multipart.parts`; two parts have one file name.
        OSError: a file cannot be written.
    """
    for each in (folder, folder / "attachments"):
        each.mkdir(mode=0o700)
    number = 0
    async for part in parts(_as_they_come(pieces), content_type, cap=_MOST_PARTS):
        number += 1
        place = folder / "attachments" if part.name == "attachment" else folder
        with _private(place / safe_name(part.filename, f"{number}.bin")) as file:
            async for chunk in part.chunks():
                file.write(chunk)


async def _as_they_come(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _private(path: Path) -> BufferedWriter:
    """Open a new file that only this account may read; raise ``Malformed`` where its name is taken."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as exc:
        raise Malformed(_TAKEN) from exc


def _cases(folder: Path) -> list[dict[str, Any]]:
    """Return what was received, the newest first: identifiers, times and counts, nothing of a payload."""
    found = []
    for path in folder.iterdir():
        try:
            antrag = orjson.loads((path / "antrag.json").read_bytes())
            received = orjson.loads((path / "received.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            continue
        found.append({**antrag, **received})
    return sorted(found, key=lambda case: str(case["receivedAt"]), reverse=True)


def _page(cases: list[dict[str, Any]]) -> str:
    rows = "".join(_row(case) for case in cases) or '<tr><td colspan="6">Noch nichts eingegangen.</td></tr>'
    return _PAGE.format(count=len(cases), rows=rows)


def _row(case: Mapping[str, Any]) -> str:
    report = case["validation"]["report"]
    verdict = "nicht geprüft" if report is None else "gültig" if report["valid"] else "ungültig"
    if report is not None and not report.get("complete", True):
        verdict += ", nicht vollständig geprüft"
    if report is not None and (missing := sum(each["rule"] == "attachment.missing" for each in report["violations"])):
        verdict += f", Anlagen fehlen: {missing}"
    cells = (
        f"{datetime.fromisoformat(str(case['receivedAt'])):%d.%m.%Y %H:%M:%S} UTC",
        case["publicService"]["name"] or case["publicService"]["identifier"],
        case["submissionId"],
        (case["data"] or {}).get("schemaUri", "–"),
        len(case["attachments"]),
        verdict + (", Wiederholung" if case["repeat"] else ""),
    )
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


_NO_KEY = Text(
    "Idempotency-Key fehlt oder ist keine UUID. Senden Sie die Kennung der Einreichung.",
    "Idempotency-Key is missing or no UUID. Send the submission's id.",
)
_NO_CASE = Text(
    "Die Übergabe enthält keine Datei antrag.json. Senden Sie sie als Teil „antrag“.",
    "The hand-over holds no file antrag.json. Send it as the part 'antrag'.",
)
_UNREADABLE = Text(
    "Die Übergabe ist nicht lesbar. Senden Sie sie als multipart/form-data.",
    "The hand-over cannot be read. Send it as multipart/form-data.",
)
_TAKEN = Text(
    "Zwei Teile haben denselben Dateinamen, oder einer hat den einer Datei des "
    "Fachverfahrens. Nennen Sie einen Teil anders.",
    "Two parts have the same file name, or one has that of a file of the specialist system. Give one part another name.",
)
