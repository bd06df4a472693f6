"""One Lease on a server in memory, and replicas whose way to it, and whose process, can be stopped.

A request takes time before and after it is committed; one whose sender gave up is committed all the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.client import Clock
from resilience_operator.api.lease import Lease, LeaseSettings
from resilience_operator.core.errors import ApiError, Unreachable
from tests.support.fake_time import FakeTime


class LeaseServer:
    """What the API server does with a Lease: resourceVersion, 404, 409."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self._version = 0

    def handle(self, method: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Answer one request, or raise ApiError."""
        if method == "GET":
            if self.body is None:
                raise ApiError(404, "NotFound", "not found")
            return self.body
        assert body is not None
        if method == "POST" and self.body is not None:
            raise ApiError(409, "AlreadyExists", "already exists")
        if method == "PUT":
            if self.body is None:
                raise ApiError(404, "NotFound", "not found")
            if body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", "the object has been modified")
        self._version += 1
        metadata = body["metadata"] | {"resourceVersion": str(self._version)}
        self.body = body | {"metadata": metadata}
        self.history.append(body["spec"])
        return self.body


@dataclass
class Fault:
    """From `start` for `seconds`: the process stands still, or requests or answers are lost or slow."""

    kind: str
    start: float
    seconds: float

    def active(self, now: float) -> bool:
        """Whether it is going on."""
        return self.start <= now < self.start + self.seconds


@dataclass
class Replica:
    """An elector behind faults; `Lease` believes that this is its client and its clock."""

    name: str
    server: LeaseServer
    time: FakeTime
    settings: LeaseSettings
    faults: list[Fault] = field(default_factory=list)
    latency: float = 0.01
    clock: Clock | None = None

    def __post_init__(self) -> None:
        base = self.clock or self.time.clock()
        self.lease = Lease(self, self.settings, Clock(base.now, base.monotonic, self._sleep))
        self._task: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Start to run for the Lease."""
        self._task = asyncio.create_task(self.lease.run())

    async def stop(self) -> None:
        """Die without a word."""
        for task in (self._task, *self._background):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109
        before_send: Callable[[], None] | None = None,
    ) -> bytes:
        """Send to the server, as far as the faults let it through."""
        if self._suffers("refuse"):
            raise Unreachable("connection refused")
        slow = timeout * 1.5 if self._suffers("slow") else 0.0
        lost = self._suffers("lose-answer")
        exchange = asyncio.create_task(self._exchange(method, body, self.latency + slow))
        self._background.add(exchange)
        exchange.add_done_callback(self._forget)
        deadline = asyncio.create_task(self.time.sleep(timeout))
        await asyncio.wait((deadline,) if lost else (exchange, deadline), return_when=asyncio.FIRST_COMPLETED)
        await self._thaw()
        if lost or not exchange.done():
            raise Unreachable("timed out")
        deadline.cancel()
        return json.dumps(exchange.result()).encode()

    def _forget(self, exchange: asyncio.Task[Any]) -> None:
        self._background.discard(exchange)
        if not exchange.cancelled():
            # Its sender may have given up: then nobody else asks.
            exchange.exception()

    async def _exchange(self, method: str, body: bytes | None, before: float) -> dict[str, Any]:
        await self.time.sleep(before)
        answer = self.server.handle(method, None if body is None else json.loads(body))
        await self.time.sleep(self.latency)
        return answer

    async def _sleep(self, seconds: float) -> None:
        await self.time.sleep(seconds)
        await self._thaw()

    async def _thaw(self) -> None:
        for fault in self.faults:
            if fault.kind == "freeze" and fault.active(self.time.seconds):
                await self.time.sleep(fault.start + fault.seconds - self.time.seconds)

    def _suffers(self, kind: str) -> bool:
        return any(fault.kind == kind and fault.active(self.time.seconds) for fault in self.faults)
