"""The operator without a command line and without Kopf: from its settings to its end.

Used by host, which embeds Kopf beside it, and by handlers, where `kopf run` embeds the operator.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

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

_END = 10.0

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


class OperatorThread:
    """An operator in a thread of its own, for a program whose loop is somebody else's (`kopf run`)."""

    def __init__(
        self, read_settings: Callable[[], Settings], make_reconciler: MakeReconciler = reconciler
    ) -> None:
        self._read_settings = read_settings
        self._make_reconciler = make_reconciler
        self._settings: Settings | None = None
        self._thread: threading.Thread | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event, Operator] | None = None

    @property
    def settings(self) -> Settings:
        """The settings, read when they are first asked for."""
        if self._settings is None:
            self._settings = self._read_settings()
        return self._settings

    def start(self) -> None:
        """Start the thread; should the operator fail, the whole program ends, as by SIGTERM."""
        self._thread = threading.Thread(target=self._target, name="operator", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Let it end in order."""
        if self._running is not None:
            loop, stop, _ = self._running
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _END)

    def policy_event(self, kind: str | None, raw: Raw) -> None:
        """Take an event from another thread's Kopf."""
        if self._running is not None:
            loop, _, operator = self._running
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(operator.policy_event, kind, raw)

    def _target(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception:
            log.exception("the operator failed")
            os.kill(os.getpid(), signal.SIGTERM)

    async def _run(self) -> None:
        operator, stop = Operator(self.settings, self._make_reconciler), asyncio.Event()
        self._running = (asyncio.get_running_loop(), stop, operator)
        try:
            await operator.run(stop)
        finally:
            self._running = None


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
