"""A small API server for tests of the client side: it answers what the test says, and keeps what it was asked.

`Server` answers each request with the next of a list of replies; `Pods` is a collection that can be listed and
watched, with a fault for each watch or list where the test gives one. Where managedFields, defaults or real timing
matter, the lab is used instead.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from resilience_operator.api.session import Session

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]

_GOODBYE = 0.05
"""Seconds in which handlers whose connections are being closed may end; aiohttp does not wait for them."""


@dataclass
class Asked:
    """One request as it arrived; `at`: the loop's seconds."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float


class Server:
    """Answers on loopback; replies in `replies` first, in their order, then `self.reply`."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.url = ""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await asyncio.sleep(_GOODBYE)

    async def session(self, directory: Path, qps: float = 1000, burst: int = 1000) -> Session:
        """A session of the operator's with this server."""
        file = kubeconfig(directory / "kubeconfig", self.url)
        return await Session.connect(str(file), None, qps=qps, burst=burst, user_agent="test/1")

    async def reply(self, request: web.Request) -> web.StreamResponse:
        """What is answered when there is nothing left of `replies`."""
        return web.json_response({"path": request.path})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                await request.read(),
                self.loop.time(),
            )
        )
        reply = self.replies.pop(0) if self.replies else self.reply
        return await reply(request)


def kubeconfig(file: Path, server: str, **user: str) -> Path:
    """A kubeconfig for a server on plain HTTP; `user`: token, tokenFile."""
    file.write_text(
        json.dumps(
            {
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {"server": server}}],
                "users": [{"name": "test", "user": user}],
            }
        )
    )
    return file


def failing(code: int, reason: str = "", headers: dict[str, str] | None = None, **details: Any) -> Reply:
    """Answer with a metav1.Status."""

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            status(code, reason) | ({"details": details} if details else {}), status=code, headers=headers
        )

    return reply


def status(code: int, reason: str = "") -> dict[str, Any]:
    """A metav1.Status of a failure."""
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": f"told to say {code}",
    }


def reset(request: web.Request) -> None:
    """End the connection of a request with RST."""
    transport = request.transport
    assert transport is not None
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


Fault = Callable[["Watching"], Awaitable[None]]


@dataclass
class Watching:
    """A watch that a client has opened, and what may be sent on it."""

    request: web.Request
    response: web.StreamResponse
    pods: "Pods"

    async def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        await self.response.write(raw)

    async def event(self, change: str, obj: dict[str, Any]) -> None:
        """Send an event."""
        await self.send(json.dumps({"type": change, "object": obj}).encode() + b"\n")


@dataclass
class Pods(Server):
    """Pods that are listed and watched like real ones, but for the faults that the test asks for.

    `faults`: what becomes of the next watches, each in turn: it sends what it likes and returns, and the watch ends.
    `lists`: replies to the next list requests. Watches without a fault follow until the test ends.
    `rights`: answers to the next questions whether somebody may, or why that is not known; then everybody may all.
    """

    names: dict[str, int] = field(default_factory=dict)
    version: int = 100
    faults: list[Fault] = field(default_factory=list)
    lists: list[Reply] = field(default_factory=list)
    rights: list[bool | str] = field(default_factory=list)
    follow: bool = True

    def __post_init__(self) -> None:
        super().__init__()
        self._history: list[tuple[int, str, str]] = []
        self._changed = asyncio.Condition()

    async def put(self, name: str) -> None:
        """Make or change a pod."""
        await self._record("MODIFIED" if name in self.names else "ADDED", name)
        self.names[name] = self.version

    async def delete(self, name: str) -> None:
        """Delete a pod."""
        del self.names[name]
        await self._record("DELETED", name)

    def forget(self) -> None:
        """Lose the history: a watch from before now cannot be served any more."""
        self._history.clear()

    async def _record(self, change: str, name: str) -> None:
        async with self._changed:
            self.version += 1
            self._history.append((self.version, change, name))
            self._changed.notify_all()

    async def reply(self, request: web.Request) -> web.StreamResponse:
        """A list, a watch with its fault, or what somebody may."""
        if request.path.endswith("/selfsubjectaccessreviews"):
            found = self.rights.pop(0) if self.rights else True
            unknown = {"evaluationError": found} if isinstance(found, str) else {}
            return web.json_response({"status": {"allowed": found is True, **unknown}}, status=201)
        if "watch" not in request.query:
            return await (self.lists.pop(0) if self.lists else self.list)(request)
        response = web.StreamResponse()
        await response.prepare(request)
        watching = Watching(request, response, self)
        if self.faults:
            await self.faults.pop(0)(watching)
        else:
            await self._follow(watching)
        return response

    async def list(self, request: web.Request) -> web.Response:
        """The pods, in chunks of `limit`; the token of the next chunk is the index at which it begins."""
        names, begin = sorted(self.names), int(request.query.get("continue", "0"))
        end = begin + int(request.query.get("limit", "500"))
        meta = {"resourceVersion": str(self.version), **({"continue": str(end)} if end < len(names) else {})}
        return web.json_response({"metadata": meta, "items": [self.pod(name) for name in names[begin:end]]})

    def pod(self, name: str, version: int | None = None) -> dict[str, Any]:
        """The pod as the API gives it."""
        found = version or self.names.get(name, self.version)
        return {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": f"uid-{name}",
                "resourceVersion": str(found),
            }
        }

    async def _follow(self, watching: Watching) -> None:
        sent = int(watching.request.query["resourceVersion"])
        while self.follow:
            for version, change, name in [entry for entry in self._history if entry[0] > sent]:
                await watching.event(change, self.pod(name, version))
                sent = version
            async with self._changed:
                await self._changed.wait_for(lambda: self.version > sent)  # noqa: B023 - awaited at once
