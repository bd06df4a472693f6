"""The election of the one replica that writes, over a coordination.k8s.io/v1 Lease.

Run by the host; every write of the operator passes `Lease.fence` with no await between it and the send. All
times that decide are local and monotonic: another's renewal counts from when it was seen here, clocks of
two machines are never compared. What cannot be excluded is one request that was in flight when its sender
was stopped; a new leader therefore waits until that request must have ended. A Lease that somebody deletes
under its holder is waited for as well, but by a replica that never met it.
"""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.answers import whole
from resilience_operator.api.client import Client, Clock, micro_time
from resilience_operator.core.errors import ApiError, NotLeader, RequestFailed
from resilience_operator.core.kinds import LEASE

log = logging.getLogger(__name__)

NEVER = float("-inf")
_RELEASE_ATTEMPTS = 3
_LONGEST_DURATION = 3600


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Where the Lease lies, who asks for it, and for how many seconds it holds.

    `request_timeout`: seconds after which any write of a leader has ended, one way or the other.
    """

    namespace: str
    identity: str
    name: str = "resilience-operator"
    duration: float = 15.0
    request_timeout: float = 10.0

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of the holder."""
        return self.duration / 3

    @property
    def retry_every(self) -> float:
        """Seconds between two looks of a candidate, and after a failure; jittered downwards."""
        return self.duration * 2 / 15

    @property
    def trusted_for(self) -> float:
        """Seconds for which the holder trusts a renewal, counted from the start of its request."""
        return self.duration * 2 / 3

    @property
    def own_timeout(self) -> float:
        """Seconds that a request for the Lease itself may take."""
        return max(0.5, self.duration / 5)


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease as last seen; `seen_at` is when its spec was first seen to be this, in local seconds."""

    body: dict[str, Any]
    seen_at: float

    @property
    def spec(self) -> dict[str, Any]:
        """spec, empty where somebody emptied it."""
        return self.body.get("spec") or {}

    @property
    def holder(self) -> str:
        """Who holds it; "" where it was released."""
        return self.spec.get("holderIdentity") or ""

    def expires_at(self, default: float) -> float:
        """When others may take it, in local seconds, by the duration that its holder promised."""
        seconds = self.spec.get("leaseDurationSeconds") or 0
        return self.seen_at + (seconds if 0 < seconds <= _LONGEST_DURATION else default)


class Lease:
    """One candidate. `run` never ends by itself; the questions are answered from memory, without an await."""

    def __init__(
        self,
        client: Client,
        settings: LeaseSettings,
        clock: Clock | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._client = client
        self._clock = clock or Clock()
        self._on_change = on_change
        self._path = LEASE.path(settings.namespace, settings.name)
        self._record: Record | None = None
        self._met = False
        self._trust_write = False
        self._leads_until = NEVER
        self._writes_from = NEVER
        self._announced = (False, False)

    def is_leader(self) -> bool:
        """True while our last renewal is trusted; a question of time alone."""
        return self._clock.monotonic() < self._leads_until

    def may_write(self) -> bool:
        """True where we lead, and no request of a former leader can be in flight any more."""
        return self.is_leader() and self._clock.monotonic() >= self._writes_from

    def fence(self) -> None:
        """Raises NotLeader unless we may write now; given to the session as `before_send`."""
        if not self.may_write():
            raise NotLeader(f"{self.settings.identity} does not hold the Lease {self.settings.name}")

    async def run(self) -> None:
        """Renew, or wait for our turn, for ever."""
        while True:
            renewed = await self._attempt()
            self._announce()
            await self._clock.sleep(self._pause(renewed))
            self._announce()

    async def release(self) -> None:
        """Give the Lease back, so that another may write at once; call it when nothing of ours is in flight.

        While a former leader's last request may still be in flight, it is left to expire instead: released,
        it would let the next one write at once. Raises RequestFailed where the API server does not answer.
        """
        self._leads_until = NEVER
        for _ in range(_RELEASE_ATTEMPTS if self._clock.monotonic() >= self._writes_from else 0):
            record = self._record or await self._read()
            if record is None or record.holder != self.settings.identity:
                break
            try:
                await self._write(record, {"holderIdentity": "", "leaseDurationSeconds": 1})
                break
            except ApiError as error:
                if error.status != 409:
                    raise
                self._record = None
        self._announce()

    async def _attempt(self) -> bool:
        try:
            return await self._round()
        except (RequestFailed, ValueError) as error:
            self._trust_write = False
            refused = isinstance(error, ApiError)
            level = logging.WARNING if refused or self.is_leader() else logging.INFO
            log.log(level, "the Lease %s could not be renewed: %s", self.settings.name, error)
            return False

    async def _round(self) -> bool:
        """One look, and one write if it is our turn; True where we hold the Lease after it."""
        # Our last answer is as good as a read: if it is old, the write's resourceVersion is refused.
        record = self._record if self._trust_write else await self._read()
        if record is not None and record.holder == self.settings.identity:
            return await self._renew(record)
        if record is None:
            return await self._create()
        self._leads_until = NEVER
        if not record.holder:
            self._writes_from = NEVER
            return await self._renew(record)
        if self._clock.monotonic() < record.expires_at(self.settings.duration):
            return False
        self._writes_from = record.expires_at(self.settings.duration) + self.settings.request_timeout
        return await self._renew(record)

    async def _read(self) -> Record | None:
        try:
            answer = await self._client.request("GET", self._path, timeout=self.settings.own_timeout)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return self._see(whole(answer))

    def _see(self, body: dict[str, Any]) -> Record:
        known, self._met = self._record, True
        if known is None or known.spec != (body.get("spec") or {}):
            self._record = Record(body, self._clock.monotonic())
        else:
            self._record = Record(body, known.seen_at)
        return self._record

    async def _create(self) -> bool:
        if self._met and not self.is_leader():
            # Somebody deleted it, and whoever held it last does not know yet.
            self._writes_from = (
                self._clock.monotonic() + self.settings.duration + self.settings.request_timeout
            )
        metadata = {"name": self.settings.name, "namespace": self.settings.namespace}
        body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}
        return await self._send("POST", body, self._claim(0))

    async def _renew(self, record: Record) -> bool:
        if record.holder == self.settings.identity:
            spec = record.spec | {"renewTime": micro_time(self._clock.now())}
        else:
            spec = self._claim(int(record.spec.get("leaseTransitions") or 0) + 1)
        return await self._send("PUT", record.body, spec)

    def _claim(self, transitions: int) -> dict[str, Any]:
        now = micro_time(self._clock.now())
        return {
            "holderIdentity": self.settings.identity,
            "leaseDurationSeconds": max(1, -int(-self.settings.duration // 1)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    async def _send(self, method: str, body: dict[str, Any], spec: dict[str, Any]) -> bool:
        started = self._clock.monotonic()
        path = LEASE.path(self.settings.namespace) if method == "POST" else self._path
        try:
            answer = await self._put(method, path, body | {"spec": spec})
        except ApiError as error:
            # A POST that is not found has no namespace to lie in: that is for a person to mend.
            if error.status != 409 and (error.status != 404 or method == "POST"):
                raise
            # Somebody else wrote: the next round reads who, if the Lease is still there by then.
            self._met, self._trust_write = True, False
            return False
        self._see(whole(answer))
        self._trust_write = True
        self._leads_until = started + self.settings.trusted_for
        return True

    async def _write(self, record: Record, changes: dict[str, Any]) -> None:
        spec = record.spec | changes | {"renewTime": micro_time(self._clock.now())}
        self._see(whole(await self._put("PUT", self._path, record.body | {"spec": spec})))

    async def _put(self, method: str, path: str, body: dict[str, Any]) -> bytes:
        return await self._client.request(
            method, path, body=json.dumps(body).encode(), timeout=self.settings.own_timeout
        )

    def _pause(self, renewed: bool) -> float:
        retry = self.settings.retry_every * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        if not renewed:
            return retry
        wait = self._writes_from - self._clock.monotonic()
        return min(self.settings.renew_every, wait) if wait > 0 else self.settings.renew_every

    def _announce(self) -> None:
        now = (self.is_leader(), self.may_write())
        if now == self._announced:
            return
        self._announced = now
        words = {(True, True): "leads and writes", (True, False): "leads, and waits before it writes"}
        log.info("%s %s", self.settings.identity, words.get(now, "does not lead"))
        self._on_change()
