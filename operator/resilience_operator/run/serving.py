"""The operator without a command line and without Kopf: from its settings to its end.

Used by host, which embeds Kopf beside it.
"""

import asyncio
import logging
from collections.abc import Coroutine

from resilience_operator import __version__
from resilience_operator.api.client import Clock
from resilience_operator.api.health import Endpoints, Health
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.pacing import Backoff
from resilience_operator.api.policies import Raw
from resilience_operator.api.session import Session
from resilience_operator.core.errors import RequestFailed
from resilience_operator.run.services import Services, Settings
from resilience_operator.run.wiring import MakeReconciler, Reconciling, Wiring

log = logging.getLogger(__name__)

Question = Coroutine[None, None, tuple[int, int]]


def reconciler(services: Services) -> Reconciling:
    """The operator's own reconciler; tests give another."""
    from resilience_operator.run.reconcile import Reconciler

    return Reconciler(services)


class Operator:
    """One replica: `run` it once. Events of policies come in by `policy_event`, in the loop that runs it."""

    def __init__(self, settings: Settings, make_reconciler: MakeReconciler = reconciler) -> None:
        self._settings = settings
        self._make_reconciler = make_reconciler
        self._metrics = Metrics()
        self._wiring: Wiring | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then end in order. Raises ConfigurationError where it cannot start."""
        endpoints = Endpoints(Health(self._broken, self._unready), self._metrics.exposition)
        try:
            await endpoints.start(self._settings.metrics_bind, self._settings.health_bind)
            async with await self._connect() as session:
                session.on_request = self._metrics.requested
                version = await _unless(stop, _server_version(session))
                if version is not None:
                    await self._serve(session, version, stop)
        finally:
            await endpoints.close()

    def policy_event(self, kind: str | None, raw: Raw) -> None:
        """Take an event of Kopf's watch; one that comes too early is not missed, for a list follows."""
        if self._wiring is not None:
            self._wiring.feed.event(kind, raw)

    async def _connect(self) -> Session:
        settings = self._settings
        return await Session.connect(
            settings.kubeconfig or None,
            settings.context or None,
            qps=settings.api_qps,
            burst=settings.api_burst,
            user_agent=f"resilience-operator/{__version__}",
        )

    async def _serve(self, session: Session, version: tuple[int, int], stop: asyncio.Event) -> None:
        wiring = Wiring(session, self._settings, self._metrics, Clock(), version)
        wiring.start(self._make_reconciler(wiring.services()))
        self._wiring = wiring
        try:
            await stop.wait()
        finally:
            self._wiring = None
            await wiring.stop()

    def _broken(self) -> tuple[str, ...]:
        return self._wiring.broken() if self._wiring is not None else ()

    def _unready(self) -> tuple[str, ...]:
        if self._wiring is None:
            return ("the API server has not answered yet, or the end has begun",)
        return tuple(f"{name} is stale, or was not read yet" for name in self._wiring.stale())


async def _server_version(session: Session) -> tuple[int, int]:
    """(major, minor), however long the API server lets us wait for it."""
    backoff = Backoff()
    while True:
        try:
            return await session.server_version()
        except RequestFailed as error:
            log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(backoff.next(error.retry_after))


async def _unless(stop: asyncio.Event, question: Question) -> tuple[int, int] | None:
    """The answer, or None where `stop` was set before it came."""
    asked, stopped = asyncio.create_task(question), asyncio.create_task(stop.wait())
    await asyncio.wait((asked, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if asked.done():
        return asked.result()
    asked.cancel()
    return None
