"""The bench of the family ``file``: a directory on this machine.

The bench of the family ``s3``: as much of an object store as an upload needs (signatures are not checked).
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from hub.adapter_kit.cases import MARKER, SAID, SECRET, Places, Trouble, Workshop, whole_places
from hub.adapter_kit.http import FAULTS, Fault, Heard, StagedAnswer, WebBench
from hub.model import Package

#: Bytes: no file of a delivery is smaller; all but manifest and large contents are.
_TINY, _SMALL = 100, 1024


class FileBench:
    """One directory."""

    def __init__(self, workshop: Workshop) -> None:
        self._root = workshop.scratch()
        self._limits = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)}
        self._others: Path | None = None

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the directory into a trouble."""
        self._restore()
        self._root.mkdir(exist_ok=True)
        left = self._root / f".{package.delivery_id}.0.part"
        match trouble:
            case Trouble.CUT_MID_WRITE:
                (left / "attachments").mkdir(parents=True)
            case Trouble.CUT_INTO_A_FILE:
                left.write_bytes(b"half")
            case Trouble.OTHERS_AT_WORK:
                self._others = self._root / f".{uuid4()}.0.part"
                self._others.mkdir()
        return {"folder": str(self._root)}

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do what happens after the adapter has looked at its directory."""
        final = self._root / str(package.delivery_id)
        match trouble:
            case Trouble.GONE:
                shutil.rmtree(self._root)
            case Trouble.NOT_A_FOLDER:
                shutil.rmtree(self._root)
                self._root.write_bytes(b"")
            case Trouble.LINK_LOOP:
                shutil.rmtree(self._root)
                self._root.symlink_to(self._root)
            case Trouble.NAME_TAKEN_BY_FILE:
                final.write_bytes(b"somebody else's")
            case Trouble.NAME_TAKEN_BY_FOLDER:
                final.mkdir()
                (final / "note.txt").write_bytes(b"somebody else's")
            case Trouble.NAME_TAKEN_EMPTY:
                final.mkdir()
            case Trouble.NO_SPACE | Trouble.NO_SPACE_LATE:
                self._limit(resource.RLIMIT_FSIZE, _TINY if trouble is Trouble.NO_SPACE else _SMALL)
            case Trouble.NO_HANDLES:
                with Path(os.devnull).open() as lowest:
                    number = lowest.fileno()
                self._limit(resource.RLIMIT_NOFILE, number)

    def _limit(self, kind: int, most: int) -> None:
        resource.setrlimit(kind, (most, self._limits[kind][1]))

    def _restore(self) -> None:
        for kind, limits in self._limits.items():
            resource.setrlimit(kind, limits)

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        self._restore()  # The attempt is over, and counting needs a handle.
        return len(whole_places(files_below(self._root), package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole, and what was taken from others."""
        complete = sum(path.endswith(f"/{MARKER}") for path in files_below(self._root))
        taken = self._others is not None and not self._others.is_dir()
        return complete - sum(self.copies(package) for package in packages) + taken

    def close(self) -> None:
        """Give back the room."""
        self._restore()
        shutil.rmtree(self._root, ignore_errors=True)


def files_below(root: Path) -> Mapping[str, bytes]:
    """Return the files below a directory by their path from it, with a slash in front."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {f"/{path.relative_to(root).as_posix()}": path.read_bytes() for path in found}


BUCKET = "deliveries"


def _error(status: int, code: str) -> StagedAnswer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{SAID}</Message></Error>'
    return StagedAnswer(status=status, headers={"Content-Type": "application/xml"}, body=body.encode())


#: What meets every request.
_ALWAYS: Mapping[Trouble, StagedAnswer] = {
    Trouble.BAD_CREDENTIALS: _error(403, "InvalidAccessKeyId"),
    Trouble.FORBIDDEN: _error(403, "AccessDenied"),
    Trouble.WRONG_PATH: _error(404, "NoSuchBucket"),
}
#: What meets the object that would complete a delivery.
_AT_THE_END: Mapping[Trouble, StagedAnswer] = {
    Trouble.NO_SPACE: _error(507, "InsufficientStorage"),
    Trouble.MAINTENANCE: _error(503, "SlowDown"),
    Trouble.BROKEN: _error(500, "InternalError"),
    Trouble.REDIRECT: StagedAnswer(status=307, headers={"Location": "/elsewhere/manifest"}),
}


class DropBench(WebBench):
    """One bucket; a trouble meets the marker, unless it belongs to every request."""

    def __init__(self, workshop: Workshop) -> None:
        self._objects: dict[str, bytes] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        super().__init__(workshop)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the store into a trouble."""
        places = super().arrange(trouble, package)
        key_id = self.workshop.written("key", "hub")
        return {**places, "endpoint": places["url"], "bucket": BUCKET, "key_id_file": str(key_id), "key": SECRET}

    def leave_half(self, package: Package) -> None:
        """Hold a broken object of the delivery, and no marker."""
        for name in ("metadata.jwe", "data.jwe"):
            self._objects[f"in/{package.delivery_id}/{name}"] = b"half"

    def play(self, heard: Heard) -> StagedAnswer | Fault:
        """Answer as a store does."""
        if self.trouble in _ALWAYS:
            return _ALWAYS[self.trouble]
        target = urlsplit(heard.path)
        _empty, bucket, key = (*unquote(target.path).split("/", 2), "", "")[:3]
        if bucket != BUCKET:
            return StagedAnswer() if bucket == "elsewhere" else _error(404, "NoSuchBucket")
        query = parse_qs(target.query, keep_blank_values=True)
        if heard.method == "PUT" and key.endswith(MARKER):
            return self._put_marker(key, heard.body)
        return self._serve(heard, key, query)

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        return len(whole_places(self._objects, package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole."""
        complete = sum(path.endswith(MARKER) for path in self._objects)
        return complete - sum(self.copies(package) for package in packages)

    def _put_marker(self, key: str, body: bytes) -> StagedAnswer | Fault:
        if self.trouble in _AT_THE_END:
            return _AT_THE_END[self.trouble]
        self._objects[key] = body
        return FAULTS.get(self.trouble) or _put()

    def _serve(self, heard: Heard, key: str, query: Mapping[str, list[str]]) -> StagedAnswer:
        match heard.method:
            case "HEAD" | "GET" if key in self._objects:
                size = str(len(self._objects[key]))
                modified = "Mon, 02 Mar 2026 12:00:00 GMT"
                return StagedAnswer(headers={"ETag": '"1"', "Last-Modified": modified, "Content-Length": size})
            case "POST" | "PUT" | "DELETE" if {"uploads", "uploadId"} & set(query):
                return self._in_parts(heard, key, query)
            case "PUT":
                self._objects[key] = heard.body
                return _put()
        return _error(404, "NoSuchKey")

    def _in_parts(self, heard: Heard, key: str, query: Mapping[str, list[str]]) -> StagedAnswer:
        upload = query.get("uploadId", [uuid4().hex])[0]
        parts = self._parts.setdefault(upload, {})
        match heard.method:
            case "PUT":
                parts[int(query["partNumber"][0])] = heard.body
                return _put()
            case "DELETE":
                return StagedAnswer(status=204)
        done = "CompleteMultipartUploadResult" if "uploadId" in query else "InitiateMultipartUploadResult"
        if "uploadId" in query:
            self._objects[key] = b"".join(parts[number] for number in sorted(parts))
        body = f"<{done}><ETag>1</ETag><UploadId>{upload}</UploadId></{done}>"
        return StagedAnswer(headers={"Content-Type": "application/xml"}, body=body.encode())


def _put() -> StagedAnswer:
    return StagedAnswer(headers={"ETag": '"1"'})
