"""Puts the adapters of one replica together around its reconciler, starts them, and ends them in order.

Used by serving once the API server has answered. Everything that runs for ever is a supervised task; the
end gives up in the order in which one needs the other: no more decisions, then what is still to be told,
then the Lease.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from resilience_operator.api.client import Clock
from resilience_operator.api.guard import GuardProof, Place
from resilience_operator.api.lease import Lease, LeaseSettings
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.pause import PauseSwitch
from resilience_operator.api.policies import PolicyFeed, PolicySink, Raw
from resilience_operator.api.recorder import Recorder
from resilience_operator.api.session import Session
from resilience_operator.api.status import StatusWriter
from resilience_operator.api.streams import Streams
from resilience_operator.api.webhook_calls import WebhookCalls
from resilience_operator.api.write import Writer
from resilience_operator.core.errors import RequestFailed
from resilience_operator.core.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    MUTATING_WEBHOOKS,
    VALIDATING_WEBHOOKS,
)
from resilience_operator.outside.feed import AddonFeed
from resilience_operator.run.services import Services, Settings, not_asked
from resilience_operator.run.supervision import Tasks
from resilience_operator.targets import new_store
from resilience_operator.targets.workloads.autoscalers import SYSTEM

log = logging.getLogger(__name__)

OWN_DEPLOYMENT = "resilience-operator"
_TELLING = 3.0
_RELEASING = 2.0


class Reconciling(PolicySink, Protocol):
    """What decides and writes, through Services: `reconcile.Reconciler`."""

    async def run(self) -> None:
        """Pass after pass, for ever."""
        ...

    def broken(self) -> tuple[str, ...]:
        """Sentences that say why this process should be started anew."""
        ...

    def wake(self) -> None:
        """Something changed that no watch tells: leadership, or the pause switch."""
        ...


MakeReconciler = Callable[[Services], Reconciling]


class Wiring:
    """The parts of one replica. `policy_changed` and `policies_replaced` are what its feed calls."""

    def __init__(
        self, session: Session, settings: Settings, metrics: Metrics, clock: Clock, version: tuple[int, int]
    ) -> None:
        self.tasks = Tasks()
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._version = version
        self._streams = Streams(session, new_store(), settings.stall_timeout, metrics, clock)
        self._lease = Lease(session, _lease_settings(settings), clock, self._wake)
        self._pause = PauseSwitch(session, settings.namespace, self._wake, clock)
        fence = self._lease.fence
        self._writer = Writer(
            session, fence, self._streams.written, self._streams.deleted, settings.request_timeout
        )
        self._status = StatusWriter(session, fence, clock, timeout=settings.request_timeout)
        self._recorder = Recorder(session, fence, settings.identity, clock, on_drop=metrics.event_dropped)
        self.feed = PolicyFeed(
            session, self, selector=settings.policy_selector, resync=settings.resync, clock=clock
        )
        self._addons = AddonFeed(
            self._streams.store, fence, clock, cluster=settings.eks_cluster, every=settings.eks_poll
        )
        self._guard = GuardProof(session, settings.namespace, self._patched, self._wake, clock)
        session.on_write = WebhookCalls(self._streams.store.put_outside, clock.now).answered
        self._reconciler: Reconciling | None = None
        metrics.guarded_is(lambda: not self._guard.unguarded())
        metrics.paused_is(self._pause.paused)
        metrics.leader_is(self._lease.is_leader)

    def services(self) -> Services:
        """What the reconciler is given."""
        unguarded = not_asked if self._settings.allow_unguarded else self._guard.unguarded
        return Services(
            settings=self._settings,
            store=self._streams.store,
            writer=self._writer,
            recorder=self._recorder,
            status=self._status,
            metrics=self._metrics,
            lease=self._lease,
            paused=self._pause.paused,
            unread=self._pause.unread,
            fresh=self.stale,
            now=self._clock.now,
            monotonic=self._clock.monotonic,
            server_version=self._version,
            addons=self._addons,
            unguarded=unguarded,
            guarded=self._guard.guarded,
        )

    def _patched(self) -> Iterator[Place]:
        """What to try the guard on: our own Deployment, CPA's parameters, a webhook; where no tenant has a say."""
        store, home = self._streams.store, self._settings.namespace
        own = store.get(DEPLOYMENT, home, OWN_DEPLOYMENT)
        for kind in (DEPLOYMENT, CONFIG_MAP, VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
            found = store.any_within(kind, (home, SYSTEM) if kind.namespaced else ("",))
            if own is not None and kind is DEPLOYMENT:
                found = (home, OWN_DEPLOYMENT)
            if found is not None:
                yield kind, *found

    def start(self, reconciler: Reconciling) -> None:
        """Start every task; the policies come once all else can answer."""
        self._reconciler = reconciler
        for name, run in {
            **self._streams.runs(),
            "lease": self._lease.run,
            "pause": self._pause.run,
            "events": self._recorder.run,
            "status": self._status.run,
            "reconcile": reconciler.run,
            "policies": self.feed.run,
            "eks add-on": self._addons.run,
            "guard": self._guard.run,
        }.items():
            self.tasks.start(name, run)

    async def stop(self) -> None:
        """End in order, within a few seconds, whether the API server answers or not."""
        await self.tasks.stop("reconcile", "events", "status")
        with suppress(TimeoutError):
            async with asyncio.timeout(_TELLING):
                await self._status.flush()
                await self._recorder.flush()
        await self.tasks.stop("lease")
        try:
            async with asyncio.timeout(_RELEASING):
                await self._lease.release()
        except (TimeoutError, RequestFailed) as error:
            log.warning("the Lease was not given back and expires by itself: %s", error or "no answer")
        await self.tasks.stop()

    def broken(self) -> tuple[str, ...]:
        """Sentences that say why this process should be started anew."""
        ended = tuple(f"the task {name} has ended" for name in self.tasks.ended())
        stuck = tuple(f"the watch of {name} does not try any more" for name in self._streams.stuck())
        return ended + stuck + (self._reconciler.broken() if self._reconciler is not None else ())

    def stale(self) -> tuple[str, ...]:
        """Names of what is stale, or was not read yet."""
        return self._streams.stale() + (() if self.feed.listed else ("policies",))

    def policy_changed(self, raw: Raw, deleted: bool) -> None:
        """Hand a policy on, to the status writer as well: somebody else may have edited it."""
        if deleted:
            self._status.forget(raw["metadata"]["uid"])
        else:
            self._status.seen(raw)
        if self._reconciler is not None:
            self._reconciler.policy_changed(raw, deleted)

    def policies_replaced(self, raws: list[Raw]) -> None:
        """Hand all policies on."""
        for raw in raws:
            self._status.seen(raw)
        self._status.keep(frozenset(raw["metadata"]["uid"] for raw in raws))
        if self._reconciler is not None:
            self._reconciler.policies_replaced(raws)

    def policies_outside(self, raws: list[Raw]) -> None:
        """Hand on those that are not served."""
        if self._reconciler is not None:
            self._reconciler.policies_outside(raws)

    def _wake(self) -> None:
        if self._reconciler is not None:
            self._reconciler.wake()


def _lease_settings(settings: Settings) -> LeaseSettings:
    return LeaseSettings(
        settings.namespace,
        settings.identity,
        duration=settings.lease_duration,
        request_timeout=settings.request_timeout,
    )
