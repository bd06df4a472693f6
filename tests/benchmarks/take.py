"""Takes a replayed watch into the operator's cache, or into a dict as a bare client would; prints figures as JSON.

`python -m tests.benchmarks.take ours|bare URL EVENTS`.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from resilience_operator.api.session import Session
from resilience_operator.api.watch import Reflector
from resilience_operator.cluster.cache import Described
from resilience_operator.cluster.store import Store
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.cluster.wire import WireDeployment
from resilience_operator.core.kinds import DEPLOYMENT, Kind
from resilience_operator.targets import TARGETS
from tests.support.api_server import kubeconfig


class Counting(Store):
    """A store that says when the last of so many changes came."""

    def __init__(self, events: int) -> None:
        super().__init__(TARGETS)
        self.left, self.first, self.last, self.done = events, 0.0, 0.0, asyncio.Event()

    def put(self, kind: Kind, new: Described | Unreadable) -> None:
        """Take it, and count."""
        self.first = self.first or time.monotonic()
        super().put(kind, new)
        self.left -= 1
        if not self.left:
            self.last = time.monotonic()
            self.done.set()


async def ours(url: str, events: int) -> float:
    """Seconds from the first change to the last, through Reflector and Store."""
    with tempfile.TemporaryDirectory() as scratch:
        config = kubeconfig(Path(scratch, "config"), url)
        session = await Session.connect(str(config), None, qps=50, burst=100, user_agent="benchmark")
    store = Counting(events)
    async with session:
        task = asyncio.create_task(Reflector(session, DEPLOYMENT, store, time.monotonic).run())
        await store.done.wait()
        task.cancel()
    return store.last - store.first


class _Change(msgspec.Struct):
    type: str
    object: WireDeployment


async def bare(url: str, events: int) -> float:
    """The same with aiohttp, the structs of the wire, and a dict."""
    decode = msgspec.json.Decoder(_Change).decode
    known: dict[tuple[str, str], Any] = {}
    first, begun = 0.0, b""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{url}/apis/apps/v1/deployments?watch=true", timeout=None) as answer,
    ):
        async for chunk in answer.content.iter_any():
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                first = first or time.monotonic()
                meta = (found := decode(line).object).metadata
                known[(meta.namespace, meta.name)] = found
                events -= 1
            if events <= 0:
                break
    return time.monotonic() - first


if __name__ == "__main__":
    taken = {"ours": ours, "bare": bare}[sys.argv[1]]
    print(json.dumps(asyncio.run(taken(sys.argv[2], int(sys.argv[3])))))
