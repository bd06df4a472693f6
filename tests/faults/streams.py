"""One watch that runs through the fault proxy, and what may be done to it while it is open.

Every method may be called from any thread. What is done to a stream ends with it: the watch that the operator opens
next is a new one, and whole.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from tests.faults.actions import status_object

_LOOK_EVERY = 0.5
"""Seconds between two looks whether the operator has left a silent stream."""


class Stream:
    """A watch: `path` with the namespace if any; `lines` counts what went through."""

    def __init__(self, path: str, request: web.Request, response: web.StreamResponse) -> None:
        self.path = path
        self.lines = 0
        self.open = True
        self._request = request
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._orders: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._silent = False
        self._truncate = ""
        self._drops: list[re.Pattern[bytes]] = []

    def inject(self, line: bytes) -> None:
        """Send a line of one's own at once, also on a stream that is silent."""
        self._loop.call_soon_threadsafe(self._orders.put_nowait, line + b"\n")

    def error(self, code: int) -> None:
        """Send an ERROR event, as the API server does for 410 and 500, and end the stream well."""
        self.inject(json.dumps({"type": "ERROR", "object": status_object(code)}).encode())
        self.end()

    def end(self) -> None:
        """End the stream as the API server does when its time is over."""
        self._loop.call_soon_threadsafe(self._orders.put_nowait, None)

    def silence(self) -> None:
        """Nothing comes any more, and the connection stays: half-open."""
        self._loop.call_soon_threadsafe(setattr, self, "_silent", True)

    def truncate(self, how: str = "FIN") -> None:
        """Cut the next line in its middle, with "FIN" (connection closed) or "end" (as if it were complete)."""
        self._loop.call_soon_threadsafe(setattr, self, "_truncate", how)

    def drop(self, pattern: str) -> None:
        """Lose every line from now on that matches: an event that is never observed."""
        self._loop.call_soon_threadsafe(self._drops.append, re.compile(pattern.encode()))

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self._loop.call_soon_threadsafe(self._abort)

    async def carry(self, lines: AsyncIterator[bytes]) -> None:
        """Carry the API server's lines to the operator until one side ends, or a fault does. The proxy calls it."""
        source: asyncio.Future[bytes | None] = asyncio.ensure_future(_next(lines))
        order = asyncio.ensure_future(self._orders.get())
        try:
            while self._present():
                await asyncio.wait((source, order), timeout=_LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                while (
                    order.done()
                ):  # Nothing of the API server comes between two orders, such as a line and the end.
                    if (own := order.result()) is None:
                        return
                    await self._response.write(own)
                    order = asyncio.ensure_future(self._orders.get())
                    await asyncio.sleep(0)
                if source.done() and self._silent and _ended(source):
                    # half-open: the operator does not learn that the API server has gone
                    source = self._loop.create_future()
                elif source.done():
                    line = source.result()
                    if line is None or not await self._pass(line):
                        return
                    source = asyncio.ensure_future(_next(lines))
        except ConnectionError:
            self._abort()
        finally:
            self.open = False
            for task in (source, order):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _pass(self, line: bytes) -> bool:
        """Hand a line on; False where that was the last one."""
        if self._silent or any(drop.search(line) for drop in self._drops):
            return True
        if self._truncate:
            await self._response.write(line[: len(line) // 2])
            if self._truncate == "FIN" and (transport := self._request.transport) is not None:
                transport.close()
            return False
        self.lines += 1
        await self._response.write(line)
        return True

    def _present(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.is_closing()

    def _abort(self) -> None:
        transport = self._request.transport
        if transport is None:
            return
        peer: Any = transport.get_extra_info("socket")
        # with a linger time of zero, closing sends a reset
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _ended(source: asyncio.Future[bytes | None]) -> bool:
    return source.exception() is not None or source.result() is None


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    """The next line with its newline; None at the end, however it came."""
    async for line in lines:
        return line
    return None
