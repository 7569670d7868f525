"""Receivers in one process: ``/healthy`` answers soon, ``/hang`` never, ``/drip`` by a byte a second, ``/fail`` with 500.

python -m benchmarks.full.receivers PORT
"""

from __future__ import annotations

import asyncio
import sys

#: Seconds that a healthy receiver takes.
_HEALTHY = 0.02
_LONGEST = 3600
_ANSWERS = {"healthy": b"HTTP/1.1 204 No Content\r\n\r\n", "fail": b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"}


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            temper = head.split()[1].decode().strip("/").split("/")[0]
            if temper == "hang":
                await asyncio.sleep(_LONGEST)
            elif temper == "drip":
                await _drip(writer)
            await asyncio.sleep(_HEALTHY)
            writer.write(_ANSWERS[temper])
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 204 No Content\r\nX: " + b"x" * _LONGEST:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def main(port: int) -> None:
    """Serve on loopback until ended."""
    server = await asyncio.start_server(_receive, "127.0.0.1", port, limit=2**20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
