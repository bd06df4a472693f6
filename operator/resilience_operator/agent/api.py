"""Requests to the API server with the node's own token: http.client and ssl, nothing else. The agent's threads call it.

The token is read anew for each request, because the kubelet replaces it; each has a connection of its own, because they
are rare and a kept one would be closed by then. Answers are read within bounds.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

LARGEST = 4 << 20
"""Bytes of an answer, and of one event of a watch."""

TIMEOUT = 15.0
QUIET = 90.0
"""Seconds without a byte after which a watch is opened anew; bookmarks come once a minute, where anything happened."""

MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused, or answered what cannot be read. `status` is the HTTP code, 0 for none."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True)
class Access:
    """Where the API server is, and what proves who asks."""

    server: str
    """https://HOST:PORT"""

    token: Path
    """A file that the kubelet keeps fresh."""

    authority: Path
    """The certificate that the server's own is signed by, as PEM."""


class _Connection(http.client.HTTPSConnection):
    """A connection to a host that is told as bytes: as text it would be encoded by IDNA, whose tables take 0.8 MiB."""

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._context = context

    def connect(self) -> None:
        """Connect, and greet."""
        host: Any = self.host.encode("ascii")
        raw = socket.create_connection((host, self.port), self.timeout)
        self.sock = self._context.wrap_socket(raw, server_hostname=host)


class Api:
    """The API server. Safe to use from several threads: it holds no connection."""

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.server)
        if parts.scheme != "https" or not parts.hostname or not parts.hostname.isascii():
            raise ValueError(f"the API server's address is https://HOST:PORT, not {access.server!r}")
        self._host, self._port = parts.hostname, parts.port or 443
        self._token = access.token
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(access.authority)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object at a path. Raises ApiError, and OSError where there is no complete answer."""
        return self._call("GET", _with(path, params))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge a change into the object at a path. Raises ApiError, OSError."""
        return self._call("PATCH", path, json.dumps(body).encode())

    def watch(self, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The events of a watch until the server ends it. Raises ApiError, TimeoutError after QUIET seconds."""
        with closing(self._connect(QUIET)) as connection:
            connection.request("GET", _with(path, {**params, "watch": "true"}), headers=self._headers())
            answer = connection.getresponse()
            if answer.status != 200:
                raise _error(answer)
            while line := answer.readline(LARGEST + 1):
                if len(line) > LARGEST:
                    raise ApiError(0, f"an event of more than {LARGEST} bytes")
                yield _decoded(line)

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        with closing(self._connect(TIMEOUT)) as connection:
            try:
                connection.request(method, path, body, self._headers(body is not None))
                answer = connection.getresponse()
                if answer.status not in (200, 201):
                    raise _error(answer)
                return _decoded(_bounded(answer, LARGEST))
            except http.client.HTTPException as error:
                raise ApiError(0, f"the API server's answer is no HTTP: {type(error).__name__}") from error

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return _Connection(self._host, self._port, timeout, self._context)

    def _headers(self, patches: bool = False) -> dict[str, str]:
        token = self._token.read_text(encoding="ascii").strip()
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": "resilience-agent",
        }
        return headers | ({"Content-Type": MERGE} if patches else {})


def _with(path: str, params: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(params)}" if params else path


def _bounded(answer: http.client.HTTPResponse, most: int) -> bytes:
    data = answer.read(most + 1)
    if len(data) > most:
        raise ApiError(0, f"an answer of more than {most} bytes")
    return data


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ApiError(0, f"an answer that is no JSON: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise ApiError(0, "an answer that is no object")
    return found


def _error(answer: http.client.HTTPResponse) -> ApiError:
    text = answer.read(4096).decode("utf-8", "replace")
    try:
        text = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = text or answer.reason
    after = answer.getheader("Retry-After", "")
    return ApiError(answer.status, f"{answer.status}: {text[:500]}", float(after) if after.isdigit() else 0.0)
