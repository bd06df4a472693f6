"""Keeps one kind's objects in the store as they are on the server: list, then watch, without end.

One Reflector per watched kind, run by the host as a task. Own, and not Kopf's or client-go's shape: the store holds
projections, deletions across a new list are found, no failure ends it, and it knows how old its knowledge is.
Protocol: "Efficient detection of changes" in the API concepts of Kubernetes.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeVar

from resilience_operator.api.pacing import Backoff
from resilience_operator.api.rights import demand_reading
from resilience_operator.api.session import Session
from resilience_operator.cluster.cache import Described as Object
from resilience_operator.cluster.decode import Decoders, Event
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.errors import (
    ApiError,
    OperatorError,
    RequestFailed,
    Silent,
    TooMuch,
    UnreadableObjectError,
)
from resilience_operator.core.kinds import Kind
from resilience_operator.core.numbers import whole_number

log = logging.getLogger(__name__)

D = TypeVar("D")

LARGE = 128 * 1024
"""Bytes of an answer or a line that take milliseconds to decode, and a quarter of a second where they mean harm."""

CHUNK = 500
"""Objects per answer of a list."""

MOST = 32 * 1024 * 1024
"""Bytes of an answer of a list: an object may have 1.5 MiB, and a tenant may make many of them."""

SMALL_CHUNK = 50
"""Of Applications, which bear their history and may have 200 KB each."""

LIST_TIMEOUT = 60.0
"""Seconds for one chunk."""

LASTS = (0.5, 0.7)
"""Of the stall timeout: after so long the server is asked to end a watch. Bookmarks are no measure: a kind of which
nothing happened since the API server started has none. Random, so that streams do not end together."""

HEALTHY_AFTER = 10.0
"""Seconds after which a stream counts as one that worked, and the next wait is a short one again."""

RELIST_AFTER = 3
"""Failures in a row after which the version that we watch from is no longer trusted (a restored etcd)."""

GONE = 410
FORBIDDEN = 403
NOT_FOUND = 404

ABSENT_POLL = 30.0
"""Seconds between two looks for a kind that the cluster does not have."""


class Sink(Protocol):
    """Where objects go; `cluster.store.Store` fits."""

    decoders: Decoders
    """How objects of the kinds that it takes are decoded."""

    def put(self, kind: Kind, new: Object | Unreadable) -> None:
        """An object was added or changed; one that cannot be read is known by its name."""

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """An object is gone."""

    def replace(self, kind: Kind, objects: Sequence[Object | Unreadable], resource_version: str) -> None:
        """A whole list."""

    def rewound(self, kind: Kind) -> None:
        """The server's history went back; the list that follows counts."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to watch of a kind; "" means all of it. `stall_timeout`: seconds of silence after which a stream is dead."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    stall_timeout: float = 90.0

    def params(self) -> dict[str, str]:
        """The selectors as query parameters."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: text for name, text in selectors.items() if text}


class Reflector:
    """Mirrors one kind into a sink. `clock` gives monotonic seconds."""

    def __init__(
        self, session: Session, kind: Kind, sink: Sink, clock: Callable[[], float], scope: Scope | None = None
    ) -> None:
        self.kind = kind
        self.synced = False
        self.last_error = ""
        self._session = session
        self._sink = sink
        self._clock = clock
        self._scope = scope or Scope()
        self._path = kind.path(self._scope.namespace)
        self._version = ""
        self._refused = 0
        self._backoff = Backoff()
        self._alive_at = self._tried_at = clock()
        self._opened_at: float | None = None
        self._opening_counts = False

    def age(self) -> float:
        """Seconds since what is known was last known to be current: a list, a line of the watch, or its end in time."""
        return self._clock() - self._alive_at

    def idle(self) -> float:
        """Seconds since the last sign of this task itself: a request or a line. It grows without end where it hangs."""
        return self._clock() - max(self._alive_at, self._tried_at)

    @property
    def fresh(self) -> bool:
        """True where decisions may be made from what is known: listed once, and heard of within the stall timeout."""
        return self.synced and self.age() < self._scope.stall_timeout

    async def run(self) -> NoReturn:
        """Mirror until cancelled; whatever fails is tried again, sooner or later."""
        must_list = True
        while True:
            self._tried_at = self._clock()
            self._opened_at = None
            failure: Exception | None = None
            try:
                if must_list:
                    if self.kind.beside_the_point:
                        await demand_reading(self._session, self.kind, self._scope.namespace)
                    await self._list()
                    must_list = False
                if await self._watch():
                    self._backoff.reset()
                    continue
            except (Silent, UnreadableObjectError) as error:
                must_list, failure = True, error
            except OperatorError as error:
                if self._is_absent(error):
                    self._refused += 1
                    # A right or a kind may be gone for the moment that an API server starts.
                    if not self._version or self._refused > 1:
                        self._know_nothing()
                    self._sign_of_life()
                    must_list = True
                    await asyncio.sleep(min(ABSENT_POLL, self._scope.stall_timeout / 3))
                    continue
                failure = error
                must_list = must_list or (isinstance(error, ApiError) and error.status == GONE)
            except Exception as error:
                # a stream that ends for good would be worse than any error
                log.exception("The watch of %s met an error of our own and lists again", self.kind.plural)
                must_list, failure = True, error
            if self.kind.beside_the_point and self._version and not self.fresh:
                self._know_nothing()  # Nobody waits for it, and nothing is to be decided on what is old.
                must_list = True
            must_list = must_list or self._backoff.failures >= RELIST_AFTER
            await self._pause(failure)

    def _know_nothing(self) -> None:
        """As if there were none; the same objects may be read again, for they are not gone for ever."""
        self._sink.replace(self.kind, [], "")
        self._sink.rewound(self.kind)
        self._version, self.synced = "", True

    def _is_absent(self, error: OperatorError) -> bool:
        """True where the cluster does not have this kind, or we may not read it, and it need not be there."""
        status = error.status if isinstance(error, ApiError) else 0
        return (self.kind.optional and status == NOT_FOUND) or (
            self.kind.beside_the_point and status == FORBIDDEN
        )

    async def _pause(self, failure: Exception | None) -> None:
        if self._opened_at is not None and self._alive_at - self._opened_at >= HEALTHY_AFTER:
            self._backoff.reset()
            if failure is None:
                return
        self.last_error = str(failure or "the API server ended the watch at once")
        asked = failure.retry_after if isinstance(failure, RequestFailed) else None
        wait = self._backoff.next(asked)
        log.warning("The watch of %s goes on in %.1f s: %s", self.kind.plural, wait, self.last_error)
        await asyncio.sleep(wait)

    async def _list(self) -> None:
        objects: list[Object | Unreadable] = []
        params = {**self._scope.params(), "limit": str(SMALL_CHUNK if self.kind.beside_the_point else CHUNK)}
        while True:
            self._tried_at = self._clock()
            asked, most = int(params["limit"]), MOST if params["limit"] != "1" else None
            try:
                raw = await self._session.request(
                    "GET", self._path, params=params, timeout=LIST_TIMEOUT, most=most
                )
            except TooMuch:
                params["limit"] = str(max(1, asked // 10))
                continue
            chunk, version, more = await beside_the_loop(self._sink.decoders.decode_list, self.kind, raw)
            objects += chunk
            if not more:
                break
            params["continue"] = more
            await asyncio.sleep(0)
        self._replace(objects, version)

    def _replace(self, objects: list[Object | Unreadable], version: str) -> None:
        if _earlier(version, self._version):
            log.warning("The API server's %s went back in time: a restored backup?", self.kind.plural)
            self._sink.rewound(self.kind)
        self._sink.replace(self.kind, objects, version)
        self._version, self._refused = version, 0 if version else self._refused
        self.synced = True
        self._sign_of_life()

    async def _watch(self) -> bool:
        """Take what comes until the stream ends; True where that was the server, at the time that it was asked for."""
        self._tried_at = self._clock()
        lasts = max(1, round(self._scope.stall_timeout * random.uniform(*LASTS)))  # noqa: S311
        params = {
            **self._scope.params(),
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(lasts),
        }
        stream = self._session.stream(self._path, params, self._scope.stall_timeout, self._opened)
        async with aclosing(stream) as chunks:
            async for lines in chunks:
                for line in lines:
                    self._take(await beside_the_loop(self._sink.decoders.decode_event, self.kind, line))
        if self._clock() - self._tried_at < lasts:
            return False
        self._sign_of_life()
        return True

    def _take(self, event: Event) -> None:
        if event.status is not None:
            raise ApiError(event.status.code, event.status.reason, event.status.message)
        if event.object is not None:
            self._deliver(event.type, event.object)
        self._version = event.resource_version or self._version
        self._sign_of_life()

    def _deliver(self, change: str, found: Object | Unreadable) -> None:
        if change == "DELETED":
            meta = found.metadata
            self._sink.delete(self.kind, meta.namespace, meta.name, meta.uid)
        else:
            self._sink.put(self.kind, found)

    def _opened(self) -> None:
        """An accepted watch is a sign of life, but only once between two lines: else it could say nothing for ever."""
        self._opened_at = self._clock()
        if self._opening_counts:
            self._alive_at = self._opened_at
            self._opening_counts = False

    def _sign_of_life(self) -> None:
        self._alive_at = self._clock()
        self._opening_counts = True
        if self.last_error:
            log.info("The watch of %s has caught up", self.kind.plural)
            self.last_error = ""


async def beside_the_loop(decode: Callable[[Kind, bytes], D], kind: Kind, raw: bytes) -> D:
    """What `decode` makes of it; of much text in a thread, so that no tenant's object holds everybody up."""
    return decode(kind, raw) if len(raw) <= LARGE else await asyncio.to_thread(decode, kind, raw)


def _earlier(version: str, known: str) -> bool:
    new, old = whole_number(version), whole_number(known)
    return new is not None and old is not None and new < old
