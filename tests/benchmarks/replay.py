"""A server that replays one Deployment as many, as fast as its reader takes it: the far end of the events benchmark.

`python -m tests.benchmarks.replay FILE OBJECTS EVENTS` prints its port; a list has OBJECTS, a watch EVENTS changes.
"""

import asyncio
import sys
from pathlib import Path

NAME, VERSION = b"@NAME@", b"@VERSION@"
BATCH = 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Replay:
    """`template` is a Deployment with NAME and VERSION where its name and resourceVersion stand."""

    def __init__(self, template: bytes, objects: int, events: int) -> None:
        self._objects, self._events = objects, events
        self._pieces = [template.replace(NAME, b"d%d" % number).split(VERSION) for number in range(objects)]

    def at(self, number: int, version: int) -> bytes:
        """The object of that number at a version."""
        return (b"%d" % version).join(self._pieces[number % self._objects])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            await (self._watch(writer) if b"watch=true" in line else self._list(writer))
        writer.close()

    async def _list(self, writer: asyncio.StreamWriter) -> None:
        items = b",".join(self.at(number, number + 1) for number in range(self._objects))
        body = b'{"metadata":{"resourceVersion":"%d"},"items":[%s]}' % (self._objects, items)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, self._events, BATCH):
            numbers = range(start, min(start + BATCH, self._events))
            lines = [
                b'{"type":"MODIFIED","object":%s}\n' % self.at(number, self._objects + 1 + number)
                for number in numbers
            ]
            writer.write(b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in lines))
            await writer.drain()
        await asyncio.sleep(3600)


async def main(template: bytes, objects: int, events: int) -> None:
    """Serve until killed."""
    replay = Replay(template, objects, events)
    server = await asyncio.start_server(replay.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])))
