"""HTTP as the API server speaks it: a request with its labels and its fence, lines of a watch, error answers.

Used by api/session alone; separate from it because nothing here connects to anything.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from aiohttp import BytesPayload, StreamReader
from aiohttp.abc import AbstractStreamWriter

from resilience_operator.api.pacing import retry_after
from resilience_operator.core.errors import ApiError, Cause, Unreachable
from resilience_operator.core.kinds import LEASE

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_REVIEWS = "/apis/authorization.k8s.io/"
_LEASES = LEASE.path()[: -len(LEASE.plural)]


class _FencedBody(BytesPayload):
    """A body that asks for permission when the connection stands and its first byte is about to go.

    aiohttp keeps the headers back until the body's first write: a refused request sends nothing at all.
    """

    def __init__(self, body: bytes, before_send: Callable[[], None]) -> None:
        super().__init__(body)
        self._before_send = before_send
        self.refusal: Exception | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        try:
            self._before_send()
        except Exception as error:
            self.refusal = error
            raise
        await writer.write(self._value)


@dataclass
class Call:
    """One request. `before_send` may raise to refuse it; with one it always has a body, for that to hold."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    before_send: Callable[[], None] | None = None
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def payload(self) -> bytes | _FencedBody | None:
        """What aiohttp sends as body."""
        if self.before_send is None:
            return self.body
        return _FencedBody(self.body or b"{}", self.before_send)

    def raise_refusal(self) -> None:
        """Raise what `before_send` raised, if it did."""
        if isinstance(self.payload, _FencedBody) and self.payload.refusal is not None:
            raise self.payload.refusal

    def headers(self, who: Mapping[str, str]) -> dict[str, str]:
        """The headers that differ from request to request."""
        headers = {**who, **self.more_headers}
        return headers | ({"Content-Type": self.content_type} if self.payload is not None else {})

    @property
    def paced(self) -> bool:
        """True for what the client-side limit holds back: every write but those of Leases. A review writes nothing."""
        return self.method not in {"GET", "HEAD"} and not self.path.startswith((_LEASES, _REVIEWS))

    @property
    def verb(self) -> str:
        """The verb as access rights name it: get, list, watch, create, update, patch, delete."""
        if self.method in _VERBS:
            return _VERBS[self.method]
        if "watch" in self.params:
            return "watch"
        if not self.path.startswith(("/api/", "/apis/")):
            return "get"
        return "get" if self._below_group[1:] else "list"

    @property
    def resource(self) -> str:
        """Resource and subresource, never an object's name: `deployments`, `resiliencepolicies/status`."""
        below = self._below_group
        return "/".join([below[0], *below[2:]]) if below else self.path.strip("/").partition("/")[0]

    @property
    def _below_group(self) -> list[str]:
        """What follows group, version and namespace in the path: [plural, name, subresource]."""
        parts = self.path.strip("/").split("/")
        below = parts[3:] if parts[0] == "apis" else parts[2:]
        return below[2:] if below[:1] == ["namespaces"] and len(below) > 2 else below


async def lines(content: StreamReader) -> AsyncIterator[list[bytes]]:
    """Complete lines without their newline, however long, as many at once as have come.

    Raises Unreachable at an end within one.
    """
    begun: list[bytes] = []
    async for chunk in content.iter_any():
        first, *rest = chunk.split(b"\n")
        begun.append(first)
        if not rest:
            continue
        *complete, last = rest
        yield [b"".join(begun), *complete]
        begun = [last]
    if any(begun):
        raise Unreachable("the watch ended within a line: the connection was cut, or the API server stopped")


class _Cause(msgspec.Struct):
    reason: str = ""
    field: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] = []


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_decode_status = msgspec.json.Decoder(_Status).decode


def api_error(status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error for an answer of 300 and above: a metav1.Status, plain text, or a proxy's page."""
    wait = retry_after(headers.get("Retry-After"))
    try:
        answer = _decode_status(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ApiError(status, "", body[:300].decode(errors="replace").strip(), retry_after=wait)
    causes = answer.details.causes if answer.details else []
    return ApiError(
        status,
        answer.reason,
        answer.message,
        tuple(Cause(cause.reason, cause.field, cause.message) for cause in causes),
        wait,
    )
