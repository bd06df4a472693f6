"""A proxy between the operator and a real API server that loses, delays, forges and holds what passes.

For crash and fault tests. It runs in a thread of its own, so that tests may be ordinary functions:

    with Proxy(lab.kubeconfig()) as proxy:
        operator = subprocess.Popen([..., "--kubeconfig", str(proxy.kubeconfig(tmp_path / "operator"))])
        rule = proxy.on("PATCH", "/deployments/web$", nth=2, action=at("committed", operator.kill))
        rule.wait_matched(timeout=30)
        assert [r.path for r in proxy.requests if r.method == "PATCH"] == [...]

The operator talks plain HTTP to the proxy on loopback; towards the API server the proxy is the user of the
kubeconfig that it was given (certificate or token), with the operator's own User-Agent. To see the operator with
the rights of its ServiceAccount, give the proxy a kubeconfig of that ServiceAccount.

Requests. Each gets a number and an entry in `proxy.requests`, in the order of arrival, with body, status and what
rule struck it. `on(method, path, nth, times, action)` adds a rule: `path` is a regular expression that is searched in
the path without its query; `nth` 1 is the first request that matches after the rule was added; `times` is for how
many from then on it holds (None: for ever). The first rule that applies wins. Actions: `tests.faults.actions`.

Watches. `proxy.streams("/pods$")` are those that are open; what may be done to one: `tests.faults.streams`. Rules see
the request that opens a watch (query `watch=true`) like any other; `opening(...)` strikes streams yet to come.

Points in time. "before": nothing was sent to the API server. "committed": its whole answer has arrived here.
"replied": the answer was written to the operator's socket. A callback runs at its point, and the request waits.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from resilience_operator.api.credentials import Access, Credentials
from tests.faults.actions import Action, Answered, Dropped
from tests.faults.streams import Stream

T = TypeVar("T")

_PASSED_ON = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent", "If-Match")
_PASSED_BACK = ("Content-Type", "Content-Encoding", "Retry-After", "Audit-Id", "Warning")
_PATIENCE = 300.0
"""Seconds for one exchange with the API server."""

_GOODBYE = 0.25
"""Seconds in which TLS connections that are being closed may end; aiohttp does not wait for them."""


@dataclass
class Request:
    """A request of the operator as it passed: `status` 0 while there is no answer, `fault` the rule that struck."""

    number: int
    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    body: bytes
    at: float
    status: int = 0
    held: bool = False
    fault: Rule | None = None

    @property
    def watch(self) -> bool:
        """True where it opens a watch."""
        return self.query.get("watch") in {"true", "1"}


@dataclass(eq=False)
class Rule:
    """What happens to which requests; made by `Proxy.on`. `matched` are those that it struck."""

    method: str
    path: re.Pattern[str]
    nth: int
    times: int | None
    action: Action
    proxy: Proxy = field(repr=False)
    seen: int = 0
    matched: list[Request] = field(default_factory=list, repr=False)

    def strikes(self, request: Request) -> bool:
        """Count a request, and say whether it is one of those."""
        if self.method not in ("*", request.method) or not self.path.search(request.path):
            return False
        self.seen += 1
        last = None if self.times is None else self.nth + self.times
        return self.seen >= self.nth and (last is None or self.seen < last)

    def release(self) -> None:
        """Let go what this rule holds, now and later."""
        self.proxy.call(self.action.release)

    def remove(self) -> None:
        """This rule strikes no more."""
        self.proxy.call(lambda: self.proxy.rules.remove(self))

    def wait_matched(self, count: int = 1, timeout: float = 30.0) -> list[Request]:
        """Wait until it has struck so many requests."""
        return self.proxy.wait(lambda: self.matched[:count] if len(self.matched) >= count else None, timeout)

    def wait_held(self, timeout: float = 30.0) -> Request:
        """Wait until it holds a request."""
        return self.proxy.wait(lambda: next((each for each in self.matched if each.held), None), timeout)


class Proxy:
    """The proxy; a context manager."""

    def __init__(self, kubeconfig: Path | str) -> None:
        self.requests: list[Request] = []
        self.rules: list[Rule] = []
        self.url = ""
        self._upstream = str(kubeconfig)
        self._streams: list[Stream] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def kubeconfig(self, file: Path) -> Path:
        """Write the kubeconfig with which the operator talks through the proxy."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "proxy", "user": {}}],
        }
        file.write_text(json.dumps(config))
        return file

    def on(self, method: str, path: str, action: Action, *, nth: int = 1, times: int | None = 1) -> Rule:
        """Add a rule: `method` "*" is any. It is in force when this returns."""
        rule = Rule(method, re.compile(path), nth, times, action, self)
        self.call(lambda: self.rules.append(rule))
        return rule

    def streams(self, path: str = "") -> list[Stream]:
        """The watches that are open now and whose path matches, the oldest first."""
        return [stream for stream in self._streams if stream.open and re.search(path, stream.path)]

    def call(self, function: Callable[[], object]) -> None:
        """Run something in the proxy's loop, and wait for it."""

        async def run() -> None:
            function()

        self._run(run())

    def wait(self, probe: Callable[[], T | None], timeout: float = 30.0) -> T:
        """Wait until `probe` gives something true."""
        deadline = time.monotonic() + timeout
        while not (found := probe()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout:g} s; the last requests: {self.requests[-5:]}")
            time.sleep(0.01)
        return found

    def _run(self, coroutine: object) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)  # type: ignore[arg-type]
        done.result(timeout=30)

    async def _start(self) -> None:
        self._access: Access = await Credentials(self._upstream, None, time.monotonic).access()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        for rule in self.rules:
            rule.action.release()
        for stream in self._streams:
            stream.end()
        await self._runner.cleanup()
        await self._http.close()
        await asyncio.sleep(_GOODBYE)

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(
            number=len(self.requests) + 1,
            method=incoming.method,
            path=incoming.path,
            query=dict(incoming.query),
            user_agent=incoming.headers.get("User-Agent", ""),
            body=await incoming.read(),
            at=time.monotonic(),
        )
        action = self._strike(request)
        try:
            await action.at("before", request)
            if request.watch:
                return await self._watch(request, incoming, action)
            return await self._exchange(request, incoming, action)
        except Answered as own:
            request.status = own.status
            return web.Response(status=own.status, body=own.body, headers=own.headers)
        except (Dropped, aiohttp.ClientError, ConnectionError, TimeoutError):
            if incoming.transport is not None:
                incoming.transport.close()
            return web.Response(status=502)

    def _strike(self, request: Request) -> Action:
        self.requests.append(request)
        struck = [rule for rule in self.rules if rule.strikes(request)]
        if not struck:
            return Action()
        request.fault = struck[0]
        struck[0].matched.append(request)
        return struck[0].action

    async def _exchange(self, request: Request, incoming: web.Request, action: Action) -> web.StreamResponse:
        async with self._send(request, incoming) as answer:
            body = await answer.read()
        request.status = answer.status
        await action.at("committed", request)
        response = web.Response(status=answer.status, body=body, headers=_back(answer))
        await response.prepare(incoming)
        await response.write_eof()
        await action.at("replied", request)
        return response

    async def _watch(self, request: Request, incoming: web.Request, action: Action) -> web.StreamResponse:
        async with self._send(request, incoming) as answer:
            request.status = answer.status
            await action.at("committed", request)
            response = web.StreamResponse(status=answer.status, headers=_back(answer))
            await response.prepare(incoming)
            stream = Stream(request.path, incoming, response)
            self._streams.append(stream)
            action.opened(stream)
            await stream.carry(_lines(answer.content))
        await response.write_eof()
        return response

    def _send(self, request: Request, incoming: web.Request) -> aiohttp.client._RequestContextManager:
        headers = {name: incoming.headers[name] for name in _PASSED_ON if name in incoming.headers}
        headers |= self._access.headers
        return self._http.request(
            request.method,
            URL(self._access.server + incoming.raw_path, encoded=True),
            headers=headers,
            data=request.body or None,
            ssl=self._access.tls or True,
            timeout=aiohttp.ClientTimeout(total=None if request.watch else _PATIENCE),
        )


def _back(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines with their newline, of any length; a broken connection raises."""
    begun = b""
    async for chunk in content.iter_any():
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
