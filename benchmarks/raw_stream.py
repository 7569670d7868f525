"""The yardstick for attachments: an ASGI application that stores a body in a file, synced, and sends it again.

``uvicorn benchmarks.raw_stream:application``; ``RAW_FOLDER`` names the folder. PUT and GET of ``/<name>``.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, BinaryIO

_PIECE = 1024 * 1024


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve one request."""
    if scope["type"] != "http":
        return
    path = Path(os.environ["RAW_FOLDER"]) / Path(scope["path"]).name
    if scope["method"] == "PUT":
        await _store(path, receive)
        await _begin(send, 0)
    elif path.is_file():
        await _begin(send, path.stat().st_size)
        with path.open("rb", buffering=0) as file:
            while chunk := await asyncio.to_thread(file.read, _PIECE):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    else:
        await _begin(send, 0)
    await send({"type": "http.response.body", "body": b""})


async def _begin(send: Any, length: int) -> None:
    headers = [(b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _store(path: Path, receive: Any) -> None:
    draft = path.with_suffix(".draft")
    with draft.open("wb", buffering=0) as file:
        piece = bytearray()
        more = True
        while more:
            message = await receive()
            piece += message.get("body", b"")
            more = message.get("more_body", False)
            if len(piece) >= _PIECE or not more:
                await asyncio.to_thread(_write, file, bytes(piece), last=not more)
                piece.clear()
    draft.rename(path)


def _write(file: BinaryIO, piece: bytes, *, last: bool) -> None:
    file.write(piece)
    if last:
        os.fdatasync(file.fileno())
