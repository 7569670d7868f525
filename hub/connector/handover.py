"""Handing an opened submission to the local system: into a folder exactly once, or over HTTP at least once.

Both get the same things: ``antrag.json`` (who, what, which file is what, the validation report), ``metadata.json``,
``data.xml`` or ``data.json``, and the attachments under safe names. In the folder lies ``antrag.html`` besides, for people, and
``antrag.pdf`` where it is wished for: the data by the words of their form, or of their schema, where the connector has it.

The folder gets a complete copy under a hidden name first; the journal notes that, and only then one rename shows it.
After a crash, the hidden name tells whether the rename happened, even if the local system has taken the copy away.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import requests

from hub.connector.envelope import disk_trouble
from hub.connector.opening import DecryptedAttachment, OpenedSubmission
from hub.connector.settings import LONGEST_SECRET, HttpHandover, unusable
from hub.errors import Text, TooLarge, Unavailable
from hub.files import vault
from hub.model import LARGEST_MESSAGE, MESSAGE_FILENAME, MESSAGE_SCHEMA, CaseMessage, MediaType

_log = logging.getLogger(__name__)

_TIMEOUT = (5, 120)  # Seconds to connect, and for the local system to answer.
#: Shows that the hand-over folder is the real one.
_MARK = ".rathaus-hub-connector"
#: The success class of RFC 9110, and what of it means "taken, decided later" in version 2 of the contract.
_SUCCESS, _TAKEN = frozenset(range(200, 300)), frozenset({200, 202})
#: The slug of a hand-over whose end is not known: the local system may have it.
NO_ANSWER = "no-answer"


def data_name(opened: OpenedSubmission) -> str:
    """Return the file name of the data."""
    return "data.xml" if opened.media_type is MediaType.XML else "data.json"


def summary(opened: OpenedSubmission) -> dict[str, Any]:
    """Return ``antrag.json``."""
    envelope = opened.envelope
    report = opened.report
    return {
        "version": 1,
        "submissionId": str(envelope.submission_id),
        "caseId": str(envelope.case_id),
        "destinationId": str(envelope.destination_id),
        "publicService": dict(envelope.service),
        "submittedAt": envelope.submitted_at,
        "data": None
        if opened.data is None
        else {"file": data_name(opened), "mimeType": str(opened.media_type), "schemaUri": opened.schema_uri},
        "attachments": [_described(attachment) for attachment in opened.attachments],
        "inCase": in_case(opened),
        "validation": {"checked": report is not None, "report": None if report is None else report.as_json()},
        "scan": None if opened.scan is None else dict(opened.scan),
    }


def in_case(opened: OpenedSubmission) -> dict[str, str] | None:
    """Return what a later message in the case is, and what it is about; None of an application of its own."""
    if opened.schema_uri == MESSAGE_SCHEMA and opened.data is not None:
        said = CaseMessage.read(opened.data)
    else:
        enclosed = (
            each
            for each in opened.attachments
            if (each.file_name, each.purpose) == (MESSAGE_FILENAME, "report") and each.size <= LARGEST_MESSAGE
        )
        found = next(enclosed, None)
        said = None if found is None else CaseMessage.read(b"".join(found.chunks()))
    return None if said is None else {"kind": said.kind.value, "about": str(said.about), "text": said.text}


def _described(attachment: DecryptedAttachment) -> dict[str, Any]:
    return {
        "attachmentId": str(attachment.attachment_id),
        "file": f"attachments/{attachment.file_name}",
        "mimeType": attachment.mime_type,
        "purpose": attachment.purpose,
        "sha512": attachment.sha512,
        "size": attachment.size,
    }


def require_pdf() -> None:
    """Refuse to begin where pages as PDF are wished for and cannot be drawn.

    Raises:
        ConfigurationError: Packages, libraries or fonts are missing; they are named.
    """
    from hub.forms.pdf import missing_for_pdf

    if missing := ", ".join(missing_for_pdf()):
        raise unusable(
            "handover.pdf", f"braucht, was hier fehlt: {missing}", f"needs what is not installed here: {missing}"
        )


def as_pdf(page: bytes, submission_id: UUID, now: datetime) -> bytes | None:
    """Return a page for people as PDF/A-3; None where it is beyond what is drawn. Takes a second or two."""
    from hub.forms.pdf import render_pdf

    try:
        return render_pdf(page.decode(), title=f"Antrag {submission_id}", identifier=submission_id.bytes, now=now)
    except TooLarge as error:
        _log.warning("%s antrag.pdf: %s", submission_id, error.detail.de, extra={"submission_id": str(submission_id)})
        return None


class FolderSystem:
    """Hand-over by directory: ``<root>/<submission id>/``. ``drawn`` returns what people can read, by file name."""

    def __init__(self, root: Path, *, drawn: Callable[[OpenedSubmission], Mapping[str, bytes]]) -> None:
        if not root.is_dir():
            raise unusable("handover.path", "ist kein Ordner", "is no folder")
        self._root = root
        self._drawn = drawn

    def stage(self, opened: OpenedSubmission) -> None:
        """Write a complete, hidden copy, durably; ``Unavailable`` if the disk says no."""
        hidden = self._hidden(opened.envelope.submission_id)
        drawn = self._drawn(opened)
        try:
            (self._root / _MARK).touch(mode=0o600)
            shutil.rmtree(hidden, ignore_errors=True)
            # Opened contents and the names of attachments are personal data, whatever the umask of the account is.
            hidden.mkdir(mode=0o700)
            (hidden / "attachments").mkdir(mode=0o700)
            for attachment in opened.attachments:
                _write(hidden / "attachments" / attachment.file_name, attachment.chunks())
            _write(hidden / "metadata.json", [opened.metadata])
            if opened.data is not None:
                _write(hidden / data_name(opened), [opened.data])
            for name, content in drawn.items():
                _write(hidden / name, [content])
            _write(hidden / "antrag.json", [orjson.dumps(summary(opened), option=orjson.OPT_INDENT_2)])
            vault.sync_folder(hidden / "attachments")
            vault.sync_folder(hidden)
        except OSError as exc:
            shutil.rmtree(hidden, ignore_errors=True)
            raise disk_trouble() from exc

    def publish(self, submission_id: UUID) -> None:
        """Show a staged copy; nothing to do if that has happened already. ``Unavailable`` if the folder is not there."""
        hidden, final = self._hidden(submission_id), self._root / str(submission_id)
        try:
            # A network share that is not mounted is an empty folder: nothing missing there proves anything.
            (self._root / _MARK).stat()
            if (final / "antrag.json").is_file():
                shutil.rmtree(hidden, ignore_errors=True)
            elif hidden.exists():
                hidden.rename(final)
            vault.sync_folder(self._root)
        except OSError as exc:
            raise disk_trouble() from exc

    def _hidden(self, submission_id: UUID) -> Path:
        return self._root / f".{submission_id}.part"


class Http:
    """Hand-over by POST of multipart/form-data (RFC 7578) to a local address; 2xx means taken.

    Where the local system ``decides_later`` it is asked by version 2 of the contract: ``Handover-Version: 2``, and 202 means
    taken, or 200 that it had it already; another status of success is one of a system that would never decide.

    Parts: ``antrag``, ``metadata``, ``data``, and one ``attachment`` each. Headers: ``Idempotency-Key`` (the submission
    id), ``Repeat: true`` if an earlier attempt may have arrived, ``Authorization: Bearer`` if there is a secret.
    """

    def __init__(self, settings: HttpHandover, *, decides_later: bool = False) -> None:
        self._url = settings.url
        self._taken = _TAKEN if decides_later else _SUCCESS
        self._headers = {"User-Agent": "rathaus-hub-connector"}
        if decides_later:
            self._headers["Handover-Version"] = "2"
        if settings.secret_file is not None:
            try:
                secret = vault.read_text(settings.secret_file, most=LONGEST_SECRET, encoding="ascii")
            except (OSError, UnicodeDecodeError) as exc:
                raise unusable("handover.secret_file", "ist nicht lesbar", "cannot be read") from exc
            self._headers["Authorization"] = f"Bearer {secret}"

    def send(self, opened: OpenedSubmission, *, repeat: bool) -> None:
        """Make one attempt.

        Raises:
            Unavailable: it was not taken; with slug ``no-answer`` that is not certain.
        """
        body = _Form(opened)
        headers = {
            **self._headers,
            "Content-Type": body.content_type,
            "Idempotency-Key": str(opened.envelope.submission_id),
            "Repeat": "true" if repeat else "false",
        }
        status = self._posted(body, headers)
        if status not in self._taken:
            # A conflict says that an attempt with this key is being worked on.
            certain = status != requests.codes.conflict
            raise _not_taken(f"antwortet mit HTTP {status}", f"answers HTTP {status}", certain=certain)

    def _posted(self, body: _Form, headers: Mapping[str, str]) -> int:
        try:
            with requests.Session() as session:
                session.trust_env = False
                with session.post(
                    self._url, data=body, headers=headers, timeout=_TIMEOUT, stream=True, allow_redirects=False
                ) as answer:
                    status = answer.status_code
        except requests.RequestException as exc:
            raise _not_taken("antwortet nicht", "does not answer", certain=not body.complete) from exc
        return status


class _Form:
    """A multipart body of known length that decrypts its attachments while it is sent."""

    def __init__(self, opened: OpenedSubmission) -> None:
        self._boundary = uuid4().hex
        self._opened = opened
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self.complete = False

    def __len__(self) -> int:
        sizes = (len(head) + size + 2 for head, size, _chunks in self._parts())
        return sum(sizes) + len(self._closing())

    def __iter__(self) -> Iterator[bytes]:
        for head, _size, chunks in self._parts():
            yield head
            yield from chunks
            yield b"\r\n"
        self.complete = True
        yield self._closing()

    def _parts(self) -> Iterator[tuple[bytes, int, Iterable[bytes]]]:
        opened = self._opened
        antrag = orjson.dumps(summary(opened))
        yield self._head("antrag", "antrag.json", "application/json"), len(antrag), [antrag]
        yield self._head("metadata", "metadata.json", "application/json"), len(opened.metadata), [opened.metadata]
        if opened.data is not None:
            yield self._head("data", data_name(opened), opened.media_type), len(opened.data), [opened.data]
        for attachment in opened.attachments:
            # A part may not be multipart itself (RFC 7578 section 4.3); what the sender called it stands in antrag.json.
            nested = attachment.mime_type.lower().startswith("multipart/")
            media_type = "application/octet-stream" if nested else attachment.mime_type
            head = self._head("attachment", attachment.file_name, media_type)
            yield head, attachment.size, attachment.chunks()

    def _head(self, name: str, file_name: str, media_type: str) -> bytes:
        # File names are safe by construction: no quotes, backslashes or control characters.
        disposition = f'form-data; name="{name}"; filename="{file_name}"'
        text = f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n\r\n"
        return text.encode()

    def _closing(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _not_taken(de: str, en: str, *, certain: bool) -> Unavailable:
    text = Text(
        f"Das Fachverfahren {de}. Prüfen Sie, ob es läuft; es wird erneut versucht.",
        f"The specialist system {en}. Check that it runs; it will be tried again.",
    )
    return Unavailable(text, slug=None if certain else NO_ANSWER)
