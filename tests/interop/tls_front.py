"""TLS with client certificates in front of a port of this machine, as a program: CERTIFICATE KEY AUTHORITIES PORT.

It says on its first line where it listens, and passes bytes on without holding any.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

_PIECE = 64 * 1024


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def serve(certificate: str, key: str, authorities: str, target: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.load_verify_locations(authorities)
    tls.verify_mode = ssl.CERT_REQUIRED

    async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", int(target))
        await asyncio.gather(passed_on(reader, behind_writer), passed_on(behind_reader, writer), return_exceptions=True)
        writer.close()
        behind_writer.close()

    server = await asyncio.start_server(front, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
