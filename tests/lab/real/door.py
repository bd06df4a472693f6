"""Leads from 127.0.0.1:PORT of the machine to 127.0.0.1:PORT in the lab's network, where the control plane listens.

Started by `boot` as a plain script; standard library only. A socket stays in the namespace in which it was made: this
process opens its listeners outside, steps inside, and connects from there. So the machine's network has no part of the
lab but listeners on loopback, and nothing in the lab has a way out.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
from contextlib import suppress

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def listen(port: int) -> socket.socket:
    """A listener on loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def step_inside(namespace: str) -> None:
    """Every socket made after this is one of that network namespace."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


async def serve(port: int, listener: socket.socket) -> None:
    """Lead every connection to the same port inside."""

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            # Nobody listens: the caller sees a connection that was closed.
            writer.close()
            return
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(lead, sock=listener)
    await server.serve_forever()


async def main() -> None:
    """Take the namespace and the ports from the command line."""
    listeners = {int(port): listen(int(port)) for port in sys.argv[2:]}
    step_inside(sys.argv[1])
    await asyncio.gather(*(serve(port, listener) for port, listener in listeners.items()))


if __name__ == "__main__":
    asyncio.run(main())
