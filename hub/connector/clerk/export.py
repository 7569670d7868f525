"""A case as one archive for a document management system: what came, what went, who did what, and a list with digests.

``manifest.json`` names every file with its SHA-256, its size and what it is, in a building procedure also which message of XBau
each step is, or why none (:mod:`hub.connector.xbau`). The archive is made while it is read: nothing of it lies on this disk in
the clear. It is a plain ZIP and no xdomea message: for that the standard's schemas would have to be at
hand and judged by, and a message that only looks like one helps nobody.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

import orjson

from hub.connector.casebook import CaseDecision, CaseFile, OutgoingReply
from hub.connector.desk import Desk
from hub.connector.forwards import ForwardState
from hub.connector.handover import data_name, in_case, summary
from hub.connector.journal import Entry
from hub.connector.opening import OpenedSubmission
from hub.connector.xbau import HAND_ON, answer_to, xbau_table
from hub.errors import HubError
from hub.model import REPLY_KINDS_BY_NAME, CaseMessageKind


def archive_of(desk: Desk, case: CaseFile, *, now: datetime) -> Iterator[bytes]:
    """Yield the archive of a case. A part that cannot be opened any more is named in the manifest, with the reason."""
    archive = _Archive(now)
    entries, replies = desk.book.submissions(case.case_id), desk.book.replies(case.case_id)
    received, written = [], []
    for number, entry in enumerate(entries, start=1):
        note = _received(entry)
        received.append(note)
        try:
            opened = desk.open(entry)
            note |= _as_xbau(entry.service, _step_of(opened, replies))
            for place, kind, chunks in _parts(desk, opened, f"eingang-{number:02}"):
                yield from archive.add(place, kind, chunks)
        except HubError as error:
            note["missing"] = error.detail.de
    for number, reply in enumerate(replies, start=1):
        written.append(_sent(reply) | _as_xbau(entries[0].service if entries else "", reply.kind))
        for place, kind, chunks in _reply_parts(desk, reply, f"ausgang-{number:02}"):
            yield from archive.add(place, kind, chunks)
    manifest = _manifest(desk, case, archive, received, written, now)
    yield from archive.add("manifest.json", "manifest", [orjson.dumps(manifest, option=orjson.OPT_INDENT_2)])
    yield from archive.end()


def _manifest(  # noqa: PLR0917  # in the order of the manifest
    desk: Desk,
    case: CaseFile,
    archive: _Archive,
    received: list[dict[str, Any]],
    written: list[dict[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    return {
        "format": "rathaus-hub-vorgang",
        "version": 1,
        "caseId": str(case.case_id),
        "destinationId": str(case.destination_id),
        "exportedAt": now.isoformat(),
        "closedAt": None if case.closed_at is None else case.closed_at.isoformat(),
        "received": received,
        "replies": written,
        "handedOn": [
            {"at": each.at.isoformat(), "to": each.next_name, "caseId": str(each.next_case), "reason": each.reason}
            | _as_xbau(received[0]["publicService"]["identifier"] if received else "", HAND_ON)
            for each in desk.forwards.of_case(case.case_id)
            if each.state is ForwardState.GONE
        ],
        "deeds": [
            {"at": each.at.isoformat(), "who": each.who, "what": each.what, "about": each.about}
            for each in desk.book.deeds(case.case_id)
        ],
        "files": archive.files,
    }


def _received(entry: Entry) -> dict[str, Any]:
    decision = None if entry.decision is None else CaseDecision.loads(entry.decision)
    return {
        "submissionId": str(entry.submission_id),
        "publicService": {"identifier": entry.service, "name": entry.service_name},
        "submittedAt": entry.submitted_at,
        "receivedAt": entry.seen_at.isoformat(),
        "state": entry.state.value,
        "decision": None
        if decision is None
        else {
            "accepted": decision.accept,
            "who": decision.who,
            "at": decision.at.isoformat(),
            "reasons": list(decision.reasons),
        },
    }


def _sent(reply: OutgoingReply) -> dict[str, Any]:
    return {
        "requestId": str(reply.request_id),
        "replyId": None if reply.reply_id is None else str(reply.reply_id),
        "about": str(reply.submission_id),
        "kind": reply.kind,
        "author": reply.author,
        "at": reply.at.isoformat(),
        "deadline": None if reply.deadline is None else reply.deadline.isoformat(),
        "state": reply.state.value,
    }


def _step_of(opened: OpenedSubmission, replies: Sequence[OutgoingReply]) -> str:
    """Return what step a submission is; an answer is one to what it answers."""
    said = in_case(opened)
    if said is None or said["kind"] != CaseMessageKind.ANSWER:
        return CaseMessageKind.APPLICATION.value if said is None else said["kind"]
    asked = [each.kind for each in replies if str(each.reply_id) == said["about"]]
    return answer_to(asked[0]) if asked and REPLY_KINDS_BY_NAME[asked[0]].asks else ""


def _as_xbau(service: str, step: str) -> dict[str, Any]:
    found = xbau_table().step(service, step) if step else None
    return {} if found is None else {"xbau": found.as_document()}


def _parts(desk: Desk, opened: OpenedSubmission, folder: str) -> Iterator[tuple[str, str, Iterable[bytes]]]:
    page = desk.readable(opened)
    if page is not None:
        yield f"{folder}/antrag.html", "readable", [page]
    yield f"{folder}/antrag.json", "summary", [orjson.dumps(summary(opened), option=orjson.OPT_INDENT_2)]
    yield f"{folder}/metadata.json", "metadata", [opened.metadata]
    if opened.data is not None:
        yield f"{folder}/{data_name(opened)}", "data", [opened.data]
    for each in opened.attachments:
        yield f"{folder}/anlagen/{each.file_name}", "attachment", each.chunks()


def _reply_parts(desk: Desk, reply: OutgoingReply, folder: str) -> Iterator[tuple[str, str, Iterable[bytes]]]:
    written = desk.written(reply)
    if written is None:
        return
    title = REPLY_KINDS_BY_NAME[reply.kind].title.de
    last = f"<p>Frist: {reply.deadline:%d.%m.%Y}</p>" if reply.deadline else ""
    page = (
        f'<!doctype html>\n<html lang="de"><head><meta charset="utf-8"><title>{escape(title)}</title></head><body>'
        f"<h1>{escape(title)}</h1><p>{reply.at:%d.%m.%Y %H:%M} UTC, {escape(reply.author)}</p>{last}"
        f'<p style="white-space:pre-wrap">{escape(written.text)}</p></body></html>\n'
    )
    yield f"{folder}/antwort.html", "reply", [page.encode()]
    for each in written.files:
        yield f"{folder}/anlagen/{each.name}", "reply-attachment", desk.file_of(reply, each.attachment_id)


class _Archive:
    """A ZIP that is handed out while it is written."""

    def __init__(self, now: datetime) -> None:
        self.files: list[dict[str, Any]] = []
        self._out = _Sink()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)  # type: ignore[call-overload]  # it only writes
        self._date = now.timetuple()[:6]

    def add(self, place: str, kind: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Write one file, and yield what arose."""
        info = zipfile.ZipInfo(place, self._date)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as target:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
                yield self._out.taken()
        self.files.append({"path": place, "kind": kind, "sha256": digest.hexdigest(), "size": size})
        yield self._out.taken()

    def end(self) -> Iterator[bytes]:
        """Write the directory of the archive, and yield it."""
        self._zip.close()
        yield self._out.taken()


class _Sink:
    """Keeps what is written until it is taken; it cannot be rewound, so the archive says sizes behind its files."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing waits here."""

    def taken(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
