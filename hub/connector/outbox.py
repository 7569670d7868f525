"""The outbox: a folder into which the local system puts what it says, for houses that exchange files.

Each statement is a folder with ``reply.json`` and the files that it names, made under a name that begins with a dot and
renamed once it is whole. It means what the loopback interface means (:mod:`hub.connector.local_api`), and its ``id`` makes a
repeat one: what is done is moved to ``done``, what will never be done to ``failed``, with the reason beside it in
``NAME.reason.json``. What may heal stays where it is.

Whoever may write here is believed to speak for the local system, and no more: nothing outside of a statement's own folder is
read, no links are followed, and only files of one name are taken.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from hub.connector.desk import MOST_FILES, Desk
from hub.connector.local_api import WHO, media_type_of, read_forward, read_wanted
from hub.connector.replies import ReplyFile
from hub.connector.settings import unusable
from hub.errors import HubError, Malformed, Text, TooLarge, Unavailable

_log = logging.getLogger(__name__)
_NAME = "reply.json"
_LARGEST_JSON = 128 * 1024
_MOST_AT_ONCE = 100
_PLAIN = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,199}")
_ACTIONS = ("accept", "reject", "reply", "forward", "ai-step")
_MEMBERS = frozenset(
    {
        "version",
        "id",
        "submissionId",
        "action",
        "reasons",
        "kind",
        "text",
        "deadline",
        "files",
        "step",
        "service",
        "ars",
        "reason",
    }
)


class Outbox:
    """One outbox. For one thread; what two connectors would do to it the journal's lock prevents."""

    def __init__(self, root: Path, desk: Desk) -> None:
        if not root.is_dir() or root.is_symlink():
            raise unusable("handover.outbox", "ist kein Ordner", "is no folder")
        self._root = root
        self._desk = desk

    def gather(self) -> int:
        """Do what lies here as far as it can be done now; return how many statements were moved away."""
        try:
            with os.scandir(self._root) as found:
                names = sorted(each.name for each in found if not each.name.startswith("."))
        except OSError:
            _log.warning("outbox: the folder cannot be read")
            return 0
        waiting = [name for name in names if name not in {"done", "failed"}][:_MOST_AT_ONCE]
        return sum(self._settled(name) for name in waiting)

    def _settled(self, name: str) -> bool:
        try:
            if not self._act(name):
                return False
        except Unavailable as error:
            _log.warning("outbox: %s waits: %s", name, error.slug)
            return False
        except HubError as error:
            _log.error("outbox: %s failed: %s", name, error.slug)
            return self._move(name, "failed", error)
        return self._move(name, "done")

    def _act(self, name: str) -> bool:
        """Do one statement; False where it is not whole yet."""
        with self._opened(name) as folder:
            if folder is None:
                return False
            content = _read(folder, _NAME, _LARGEST_JSON)
            if content is None:
                return False
            said = _statement(content)
            submission_id = _id(said, "submissionId")
            if said["action"] == "accept":
                self._desk.accept(submission_id, who=WHO)
            elif said["action"] == "reject":
                self._reject(submission_id, said)
            elif said["action"] == "ai-step":
                self._ai_step(submission_id, said)
            elif said["action"] == "forward":
                self._forward(submission_id, said)
            else:
                self._reply(submission_id, said, folder)
        return True

    def _reject(self, submission_id: UUID, said: Mapping[str, Any]) -> None:
        reasons = said.get("reasons")
        if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
            raise _unusable("reasons")
        text = said.get("text", "")
        self._desk.reject(submission_id, reasons, who=WHO, text=text if isinstance(text, str) else "")

    def _ai_step(self, submission_id: UUID, said: Mapping[str, Any]) -> None:
        step = said.get("step")
        if not isinstance(step, dict):
            raise _unusable("step")
        self._desk.ai_step(submission_id, _id(said, "id"), step, who=WHO)

    def _forward(self, submission_id: UUID, said: Mapping[str, Any]) -> None:
        wanted = {key: said[key] for key in ("service", "ars", "reason", "text") if key in said}
        self._desk.forward(read_forward(wanted, _id(said, "id"), submission_id), who=WHO)

    def _reply(self, submission_id: UUID, said: Mapping[str, Any], folder: int) -> None:
        files = self._files(folder, said.get("files", []))
        wanted = {key: said[key] for key in ("kind", "text", "deadline") if key in said}
        self._desk.reply(read_wanted(wanted, _id(said, "id"), submission_id, files), who=WHO)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int | None]:
        """Hold a statement's folder; None of what is no folder, which nobody asked for. A link is refused."""
        try:
            folder = os.open(self._root / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            if (self._root / name).is_symlink():
                raise Malformed(_LINK) from exc
            yield None
            return
        try:
            yield folder
        finally:
            os.close(folder)

    def _files(self, folder: int, listed: Any) -> list[ReplyFile]:
        if not isinstance(listed, list) or len(listed) > MOST_FILES:
            raise _unusable("files")
        files, left = [], self._desk.largest_reply
        for each in listed:
            name = each.get("file") if isinstance(each, dict) else None
            if not isinstance(name, str) or not _PLAIN.fullmatch(name) or name == _NAME:
                raise _unusable("files.file")
            content = _read(folder, name, left)
            if content is None:
                raise _unusable("files.file")
            left -= len(content)
            kind = each.get("mimeType")
            files.append(
                ReplyFile(name=name, media_type=media_type_of(kind if isinstance(kind, str) else ""), content=content)
            )
        return files

    def _move(self, name: str, where: str, error: HubError | None = None) -> bool:
        """Move a statement away; the reason stands beside it, so that it is there before the statement is."""
        place = self._root / where
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            target, number = place / name, 1
            while os.path.lexists(target):
                number += 1
                target = place / f"{name}.{number}"
            if error is not None:
                said = {"type": error.slug, "de": error.detail.de, "en": error.detail.en}
                _write(place / f"{target.name}.reason.json", orjson.dumps(said, option=orjson.OPT_INDENT_2))
            # A rename moves a link itself, never what it leads to.
            (self._root / name).rename(target)
        except OSError:
            _log.warning("outbox: %s cannot be moved to %s", name, where)
            return False
        return True


def _read(folder: int, name: str, most: int) -> bytes | None:
    """Return a file of a folder, None where there is none; only a file of one name is one, and no link."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Malformed(_LINK) from exc
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Malformed(_LINK)
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLarge(Text("Die Dateien sind zu groß.", "The files are too large."), limit=most)
    return content


def _statement(content: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise _unusable("JSON") from exc
    if not isinstance(said, dict) or said.get("version") != 2:  # noqa: PLR2004  # the contract's number
        raise _unusable("version")
    if set(said) - _MEMBERS:
        raise _unusable("unknown members")
    if said.get("action") not in _ACTIONS:
        raise _unusable("action")
    return said


def _id(said: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(said[name])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise _unusable(name) from None


def _unusable(name: str) -> Malformed:
    return Malformed(
        Text(
            f"reply.json: {name} fehlt oder hat nicht die Form des Vertrags.",
            f"reply.json: {name} is missing or not as the contract has it.",
        ),
        field=name,
    )


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


_LINK = Text(
    "Verknüpfungen werden nicht verfolgt. Legen Sie die Datei selbst in den Ordner.",
    "Links are not followed. Put the file itself into the folder.",
)
