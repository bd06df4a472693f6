"""Time that tests move by hand: sleepers wake in order, and nothing waits for the wall clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from resilience_operator.api.client import Clock

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
_SETTLE = 10


class FakeTime:
    """Seconds since the start of the test."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def clock(self, wall_error: timedelta = timedelta()) -> Clock:
        """A clock of this time; its time of day may be wrong."""
        return Clock(
            lambda: START + timedelta(seconds=self.seconds) + wall_error, lambda: self.seconds, self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        """Sleep until somebody advances the time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + max(0.0, seconds), next(self._order), future))
        await future

    async def advance(self, seconds: float, at_each: Callable[[], None] = lambda: None) -> None:
        """Let so much time pass; `at_each` is called whenever something happened, and at the end."""
        end = self.seconds + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self.seconds = max(self.seconds, at)
            future.set_result(None)
            await settle()
            at_each()
        self.seconds = end
        at_each()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(_SETTLE):
        await asyncio.sleep(0)
