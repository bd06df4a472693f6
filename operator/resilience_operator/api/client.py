"""What the writing adapters need of the API server and of time, as types.

Lease, writer, status and recorder take a `Client` and a `Clock`, so that tests give them a server of their
own and a time of their own; `adapters.session.Session` is the real client.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from resilience_operator.core.errors import NotLeader

__all__ = ["Client", "Clock", "NotLeader", "micro_time", "uptime", "wall"]


class Client(Protocol):
    """One request to the API server; `adapters.session.Session` fits."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109 - the session's own deadline, part of its signature
        before_send: Callable[[], None] | None = None,
    ) -> bytes:
        """The answer's body. Raises ApiError (refused) or Unreachable (seconds passed, or no connection)."""
        ...


def uptime() -> float:
    """Seconds that pass evenly, also while the machine sleeps, where the system can say so."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def wall() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as callables: `now` for people, `monotonic` seconds for decisions, `sleep` seconds."""

    now: Callable[[], datetime] = wall
    monotonic: Callable[[], float] = uptime
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or so many seconds have passed."""
        tasks = (asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.sleep(max(0.0, seconds))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def micro_time(at: datetime) -> str:
    """The API's MicroTime: UTC, always six digits, which the API server insists on."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
