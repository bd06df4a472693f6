"""Tells people about transitions, as events.k8s.io/v1 Events; nobody waits for it and nothing is decided by
it.

Reconcile calls `notify`, which only queues; a task of its own (`run`, started by the host) sends, within
the rates that keep an Event storm off the API server, and tries again without end while the API server does
not answer. Namespaces are told of by turns, and Warnings first, so that one namespace delays no other's. An
Event's name is a hash of what it is about, so that a repeat after a restart is the same Event and no second one.
"""

import asyncio
import hashlib
import json
import logging
import random
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from resilience_operator.api.client import Client, Clock, micro_time
from resilience_operator.api.rates import Bucket, Rates
from resilience_operator.core.errors import ApiError, NotLeader, RequestFailed
from resilience_operator.core.kinds import EVENT
from resilience_operator.core.refs import ObjectRef

log = logging.getLogger(__name__)

CONTROLLER = "resilience.dev/operator"
NOTE_BYTES = 1024
MERGE_PATCH = "application/merge-patch+json"
NORMAL_EVERY = 5
"""Of so many Events one is a Normal one where there is any: Warnings without end starve nobody."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_POINTLESS = frozenset({400, 404, 405, 409, 413, 422})
_FORBIDDEN_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell about `regarding`; by rule, policy_uid and generation a repeat is known as one."""

    regarding: ObjectRef
    reason: str
    action: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"
    related: ObjectRef | None = None
    rule: str = ""
    policy_uid: str = ""
    generation: int = 0

    @property
    def name(self) -> str:
        """The Event's name: a hash of (object uid, rule, reason, policy uid, generation)."""
        parts = (self.regarding.uid, self.rule, self.reason, self.policy_uid, str(self.generation))
        return f"resilience-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]}"

    @property
    def namespace(self) -> str:
        """Where the Event lies; the API server accepts those of cluster-scoped objects in `default`."""
        return self.regarding.namespace or "default"


@dataclass(slots=True)
class _Told:
    """An Event that was queued or sent: how often it occurred, how much of that the server knows."""

    notice: Notice
    first: datetime
    last: datetime
    count: int = 1
    sent: int = 0
    not_before: float = 0.0


class Recorder:
    """The queue, its rates, and the task that sends; `on_drop` is told of every notice that is given up."""

    def __init__(
        self,
        client: Client,
        fence: Callable[[], None],
        identity: str,
        clock: Clock | None = None,
        rates: Rates | None = None,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._fence = fence
        self._instance = identity[:128]
        self._clock = clock or Clock()
        self._rates = rates or Rates()
        self._on_drop = on_drop
        self._queue: deque[_Told] = deque()
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._objects: OrderedDict[str, Bucket] = OrderedDict()
        self._all = Bucket(self._rates.burst, self._rates.per_second, self._clock.monotonic())
        self._wake = asyncio.Event()
        self._queued: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._sends = 0
        self._failures: Counter[str] = Counter()
        self._rests: dict[str, float] = {}

    def notify(self, notice: Notice) -> None:
        """Queue a notice; never blocks, never raises. A repeat becomes a count on the Event that is there."""
        now = self._clock.now()
        told = self._told.get((notice.namespace, notice.name))
        if told is not None:
            told.count, told.last = told.count + 1, now
            self._told.move_to_end((notice.namespace, notice.name))
            if told.sent and told not in self._queue:
                self._enqueue(told)
        elif self._admit(notice.regarding):
            told = self._told[notice.namespace, notice.name] = _Told(notice, now, now)
            self._enqueue(told)
            _shrink(self._told, self._rates.remembered)
        self._wake.set()

    async def run(self) -> None:
        """Send what is queued, for ever."""
        while True:
            self._wake.clear()
            told, wait = self._next()
            if told is None:
                await self._rest(wait)
            elif not await self._try(told) and told.notice.namespace not in self._rests:
                await self._clock.sleep(self._backoff(""))

    async def flush(self) -> None:
        """Send what is queued, without regard to rates, up to the first failure; the program ends."""
        while self._queue:
            if not await self._try(self._queue[0]):
                return

    def _admit(self, regarding: ObjectRef) -> bool:
        now, key = self._clock.monotonic(), regarding.uid or str(regarding)
        bucket = self._objects.get(key)
        if bucket is None:
            bucket = Bucket(self._rates.object_burst, 1 / self._rates.object_refill, now)
            self._objects[key] = bucket
            _shrink(self._objects, self._rates.remembered)
        self._objects.move_to_end(key)
        admitted = bucket.take(now)
        if not admitted:
            self._on_drop()
        return admitted

    def _enqueue(self, told: _Told) -> None:
        self._queue.append(told)
        self._queued[told.notice.namespace] += 1
        while len(self._queue) > self._rates.queue:
            ((loudest, _),) = self._queued.most_common(1)
            oldest = next(one for one in self._queue if one.notice.namespace == loudest)
            self._remove(oldest)
            self._told.pop((oldest.notice.namespace, oldest.notice.name), None)
            self._on_drop()

    def _remove(self, told: _Told) -> None:
        namespace = told.notice.namespace
        self._queue.remove(told)
        self._queued[namespace] -= 1
        if not self._queued[namespace]:
            del self._queued[namespace]
            self._rests.pop(namespace, None)

    def _next(self) -> tuple[_Told | None, float | None]:
        """The first that may go now, or None and the seconds until one may (None: nothing is queued)."""
        if not self._queue:
            return None, None
        now = self._clock.monotonic()
        due = [told for told in self._queue if self._not_before(told) <= now]
        wait = self._all.wait(now)
        if not due:
            wait = max(wait, min(self._not_before(told) for told in self._queue) - now)
        if wait > 0:
            return None, wait
        self._all.take(now)
        self._sends += 1
        turn = self._sends % NORMAL_EVERY == 0
        told = min(
            due,
            key=lambda told: (
                (told.notice.type == "Warning") is turn,
                self._served.get(told.notice.namespace, 0),
            ),
        )
        self._served[told.notice.namespace] = self._sends
        self._served = {name: at for name, at in self._served.items() if name in self._queued}
        return told, None

    def _not_before(self, told: _Told) -> float:
        return max(told.not_before, self._rests.get(told.notice.namespace, 0.0))

    async def _rest(self, seconds: float | None) -> None:
        if seconds is None:
            await self._wake.wait()
        else:
            await self._clock.wait(self._wake, seconds)

    async def _try(self, told: _Told) -> bool:
        """Send one; False where it stays queued, because nobody answers or we do not lead."""
        count, namespace = told.count, told.notice.namespace
        try:
            if told.sent:
                await self._repeat(told, count)
            else:
                await self._create(told)
        except NotLeader:
            return False
        except ApiError as error:
            if not self._give_up(error, namespace):
                self._rests[namespace] = self._clock.monotonic() + self._backoff(namespace)
                return False
            log.warning("an Event on %s was refused: %s", told.notice.regarding, error)
            self._told.pop((told.notice.namespace, told.notice.name), None)
            self._on_drop()
            count = told.count
        except RequestFailed as error:
            self._failures[""] += 1
            log.info("an Event on %s waits: %s", told.notice.regarding, error)
            return False
        for failed in ("", namespace):
            self._failures.pop(failed, None)
        self._rests.pop(namespace, None)
        self._done(told, count)
        return True

    def _done(self, told: _Told, count: int) -> None:
        if not any(one is told for one in self._queue):
            return  # It made room for others while it was on its way.
        self._remove(told)
        told.sent = count
        told.not_before = self._clock.monotonic() + self._rates.series_every
        if told.count > count:
            self._enqueue(told)

    def _give_up(self, error: ApiError, namespace: str) -> bool:
        self._failures[namespace] += 1
        terminating = error.status == 403 and "terminated" in error.message
        tired = error.status == 403 and self._failures[namespace] >= _FORBIDDEN_ATTEMPTS
        return error.status in _POINTLESS or terminating or tired

    def _backoff(self, namespace: str) -> float:
        wait = min(self._rates.longest_wait, 2.0 ** min(self._failures[namespace], 10))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def _create(self, told: _Told) -> None:
        try:
            await self._send("POST", told, self._event(told))
        except ApiError as error:
            # The same Event is there from before a restart: it has been told.
            if error.status != 409 or error.reason != "AlreadyExists":
                raise

    async def _repeat(self, told: _Told, count: int) -> None:
        series = {"count": max(2, count), "lastObservedTime": micro_time(told.last)}
        try:
            await self._send("PATCH", told, {"series": series})
        except ApiError as error:
            if error.status != 404:
                raise
            # Events expire: what happens again is told anew.
            told.first = told.last
            await self._send("POST", told, self._event(told))

    async def _send(self, method: str, told: _Told, body: dict[str, Any]) -> None:
        notice = told.notice
        await self._client.request(
            method,
            EVENT.path(notice.namespace, notice.name if method == "PATCH" else ""),
            body=json.dumps(body).encode(),
            content_type=MERGE_PATCH if method == "PATCH" else "application/json",
            timeout=10.0,
            before_send=self._fence,
        )

    def _event(self, told: _Told) -> dict[str, Any]:
        notice = told.notice
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": notice.name, "namespace": notice.namespace},
            "eventTime": micro_time(told.first),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": notice.action,
            "reason": notice.reason,
            "type": notice.type,
            "regarding": _reference(notice.regarding),
            "note": readable(notice.note),
        }
        return event if notice.related is None else event | {"related": _reference(notice.related)}


def _reference(ref: ObjectRef) -> dict[str, str]:
    return ref.as_status() | ({"uid": ref.uid} if ref.uid else {})


def readable(note: str) -> str:
    """The note without control characters, cut at a character to the API's 1024 bytes."""
    text = _CONTROL.sub(" ", note)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= NOTE_BYTES:
        return encoded.decode()
    return encoded[: NOTE_BYTES - 3].decode("utf-8", "ignore") + "…"


def _shrink(known: OrderedDict[Any, Any], size: int) -> None:
    while len(known) > size:
        known.popitem(last=False)
