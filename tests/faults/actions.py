"""What a rule of the fault proxy does to a request that it matches.

A request passes three points: `before` (the API server has seen nothing), `committed` (it has answered, the operator
has seen nothing) and `replied` (the answer lies in the operator's socket; whether it was read yet, nobody can know).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.proxy import Request
    from tests.faults.streams import Stream

POINTS = ("before", "committed", "replied")


class Dropped(Exception):  # noqa: N818 - an order, not an error
    """The operator's connection is closed without an answer."""


class Answered(Exception):  # noqa: N818 - an order, not an error
    """The operator gets this answer, and the API server gets no request."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class Action:
    """Does nothing at any point: the base of all actions. Runs in the proxy's loop."""

    async def at(self, point: str, request: Request) -> None:
        """Called at each of POINTS; raises Dropped or Answered to end the request there."""

    def opened(self, stream: Stream) -> None:
        """Called when a matching watch has begun."""

    def release(self) -> None:
        """Let go what is held."""


@dataclass
class _At(Action):
    point: str
    call: Callable[[], object]
    then_drop: bool

    async def at(self, point: str, request: Request) -> None:
        if point == self.point:
            await asyncio.to_thread(self.call)
            if self.then_drop:
                raise Dropped


def at(point: str, call: Callable[[], object], *, then_drop: bool = True) -> Action:
    """Call something at a point, usually `process.kill`; the request ends there unless `then_drop` is False.

    `at("before", kill)`: the write was never seen. `at("committed", kill)`: it was committed, the answer is lost.
    `at("replied", kill)`: it was committed and answered.
    """
    if point not in POINTS:
        raise ValueError(f"{point!r} is none of {POINTS}")
    return _At(point, call, then_drop and point != "replied")


def drop_before() -> Action:
    """Close the operator's connection; the API server sees nothing."""
    return at("before", lambda: None)


def drop_reply() -> Action:
    """The API server answers (a write is committed), the operator's connection is closed instead."""
    return at("committed", lambda: None)


@dataclass
class _Delay(Action):
    seconds: float
    point: str

    async def at(self, point: str, request: Request) -> None:
        if point == self.point:
            await asyncio.sleep(self.seconds)


def delay(seconds: float, point: str = "before") -> Action:
    """Let the request, or at "committed" its answer, wait."""
    return _Delay(seconds, point)


@dataclass
class _Answer(Action):
    status: int
    body: bytes
    headers: Mapping[str, str]

    async def at(self, point: str, request: Request) -> None:
        raise Answered(self.status, self.body, self.headers)


def answer(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Action:
    """Answer in the API server's place: bytes as they are, a dict as JSON, nothing as a metav1.Status."""
    if body is None:
        body = status_object(status)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _Answer(status, raw, {"Content-Type": "application/json", **(headers or {})})


def status_object(
    code: int, reason: str = "", message: str = "injected by the fault proxy"
) -> dict[str, Any]:
    """A metav1.Status of a failure."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return status | {"message": message, "reason": reason or REASONS.get(code, ""), "code": code}


REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class _Hold(Action):
    point: str
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, point: str, request: Request) -> None:
        if point == self.point:
            request.held = True
            await self._released.wait()
            request.held = False

    def release(self) -> None:
        self._released.set()


def hold() -> Action:
    """Keep the request from the API server until `rule.release()`; see `rule.wait_held()`."""
    return _Hold("before")


def hold_reply() -> Action:
    """Keep the answer from the operator until `rule.release()`."""
    return _Hold("committed")


@dataclass
class _Opening(Action):
    do: Callable[[Stream], object]

    def opened(self, stream: Stream) -> None:
        self.do(stream)


def opening(do: Callable[[Stream], object]) -> Action:
    """Do something to each matching watch as it begins: `opening(Stream.silence)`."""
    return _Opening(do)
