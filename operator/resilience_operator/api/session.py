"""The operator's own connection to the API server: requests, and the lines of watches.

Made by the host and cli; used by every adapter that reads or writes the cluster. It decides nothing: it paces
writes, renews credentials, and turns every failure into `ApiError` or `Unreachable`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp
import msgspec
from yarl import URL

from resilience_operator.api.credentials import Credentials
from resilience_operator.api.http import Call, api_error, lines
from resilience_operator.api.pacing import TokenBucket
from resilience_operator.core.errors import ApiError, Silent, TooMuch, Unreachable

MAX_CONNECTIONS = 64
CONNECT_TIMEOUT = 10.0
"""Seconds to a connection with TLS."""

GOODBYE = 0.05
"""Seconds for the end of TLS connections."""

PARTIAL = 206
CHUNK = 1 << 16
"""Bytes of a download that are held at once."""

RequestHook = Callable[[str, str, str], None]
"""Called with (verb, resource, code) of every request; code "error": there was no answer."""

WriteHook = Callable[[str, str], None]
"""Called with "METHOD path" of every write that was answered, and why it was refused, "" where it passed."""

_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
_decode_version = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it comes; `start`: the offset of the first byte; `size` of the whole file, None where it is not said.

    `version` tells the file from a later one of the same name; "" where the server does not.
    """

    chunks: AsyncIterator[bytes]
    start: int
    size: int | None
    version: str


class Session:
    """Open it with `async with await Session.connect(...) as session`; `on_request` may be set any time."""

    def __init__(self, credentials: Credentials, bucket: TokenBucket, user_agent: str) -> None:
        self._credentials = credentials
        self._bucket = bucket
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
        )
        self.on_request: RequestHook = lambda verb, resource, code: None
        self.on_write: WriteHook = lambda write, message: None

    @classmethod
    async def connect(
        cls, kubeconfig: str | None, context: str | None, *, qps: float, burst: int, user_agent: str
    ) -> Self:
        """Read the configuration; nothing is sent yet.

        `kubeconfig` None: $KUBECONFIG, ~/.kube/config, else the pod's service account. `qps`, `burst`: writes
        a second and at once; reads are not limited, and neither are Leases: one that waits behind repairs is
        lost. Raises ConfigurationError.
        """
        credentials = Credentials(kubeconfig, context, time.monotonic)
        await credentials.access()
        return cls(credentials, TokenBucket(qps, burst, time.monotonic), user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection, and give TLS the moment in which both sides say so (aiohttp, "Graceful shutdown")."""
        await self._http.close()
        await asyncio.sleep(GOODBYE)

    async def server_version(self) -> tuple[int, int]:
        """(major, minor) of the API server: (1, 36). Raises RequestFailed."""
        version = _decode_version(await self.request("GET", "/version"))
        return int(version["major"]), int(version["minor"].rstrip("+"))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109 - covers the exchange, not the wait for this request's turn
        before_send: Callable[[], None] | None = None,
        most: int | None = None,
    ) -> bytes:
        """Send one request and give the answer's body. `timeout`: seconds from connecting to the last byte.

        `most`: bytes of the body that there is room for, None: all. Raises TooMuch beyond.

        `before_send` is called once the connection stands, with no await between it and the send; what it
        raises is raised here, and nothing was sent.
        Raises ApiError for an answer of 400 and above, Unreachable where there is no complete one.
        """
        call = Call(method, path, params or {}, body, content_type, before_send)
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        if call.paced:
            await self._bucket.take()
        try:
            return await self._exchange(call, limits, most)
        except ApiError as error:
            if error.status == 401 and await self._credentials.renew():
                return await self._exchange(call, limits, most)
            if call.paced and error.retry_after is not None:
                self._bucket.hold(error.retry_after)
            raise

    async def stream(
        self,
        path: str,
        params: Mapping[str, str],
        stall_timeout: float,
        on_open: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[list[bytes], None]:
        """The complete lines of a watch, as many at once as have come; ends where the server ends it.

        `on_open` is called when the server has accepted the watch. Raises ApiError; Unreachable where the
        stream breaks or ends within a line, its kind Silent where nothing comes for `stall_timeout` seconds.
        The caller closes it (contextlib.aclosing), or the connection stays open.
        """
        call = Call("GET", path, {**params, "watch": "true"})
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=stall_timeout)
        try:
            async with self._answer(call, limits) as response:
                on_open()
                async for some in lines(response.content):
                    yield some
        except ApiError as error:
            if error.status == 401:
                await self._credentials.renew()
            raise

    @asynccontextmanager
    async def download(
        self, path: str, stall_timeout: float, start: int = 0, unchanged: str = ""
    ) -> AsyncIterator[Download]:
        """A file that the API server passes on, as it comes: never held in memory.

        `start`: bytes that are there already; they are left out only where the file is still the one of
        `unchanged` (Download.version), so look at Download.start. Raises ApiError; Unreachable where it breaks.
        """
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if start and unchanged:
            headers |= {"Range": f"bytes={start}-", "If-Range": unchanged}
        call = Call("GET", path, more_headers=headers)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=stall_timeout)
        async with self._answer(call, limits) as response:
            begin = start if response.status == PARTIAL else 0
            size = None if response.content_length is None else begin + response.content_length
            version = response.headers.get("Last-Modified", "")
            yield Download(response.content.iter_chunked(CHUNK), begin, size, version)

    async def _exchange(self, call: Call, limits: aiohttp.ClientTimeout, most: int | None) -> bytes:
        async with self._answer(call, limits) as response:
            if most is None:
                return await response.read()
            parts, size = [], 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise TooMuch(f"{call.method} {call.path}: an answer of more than {most} bytes")
            return b"".join(parts)

    @asynccontextmanager
    async def _answer(
        self, call: Call, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request as it begins; every failure up to its end becomes an error of ours."""
        access = await self._credentials.access()
        try:
            async with self._http.request(
                call.method,
                URL(access.server + call.path, encoded=True).with_query(call.params),
                headers=call.headers(access.headers),
                data=call.payload,
                ssl=access.tls or True,
                server_hostname=access.server_name,
                proxy=access.proxy,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                self.on_request(call.verb, call.resource, str(response.status))
                write = f"{call.method} {call.path}" if call.method != "GET" else ""
                if response.status >= 300:
                    error = api_error(response.status, await response.read(), response.headers)
                    if write:
                        self.on_write(write, error.message or "refused")
                    raise error
                if write:
                    self.on_write(write, "")
                yield response
        except _BROKEN as error:
            call.raise_refusal()
            self.on_request(call.verb, call.resource, "error")
            if isinstance(error, aiohttp.ClientSSLError):
                await self._credentials.renew()
            broken = Silent if isinstance(error, aiohttp.SocketTimeoutError) else Unreachable
            raise broken(_sentence(call, access.server, error)) from error


def _sentence(call: Call, server: str, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        why = error.os_error.strerror or str(error.os_error)
        return f"{call.method} {call.path}: {server} cannot be reached ({why}): is it up, and is it the right address?"
    what = str(error) or "it took too long"
    return f"{call.method} {call.path}: no complete answer from {server} ({type(error).__name__}: {what})"
