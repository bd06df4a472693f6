"""Runs Kopf inside our process: in a thread with its own loop, and again when it ends.

Used by host. Kopf cancels, when it stops, every task of its loop that it did not start, and it ends on
errors that it cannot name; so it has a loop of its own, and nobody but policies' events depends on it.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import kopf

from resilience_operator.api.pacing import Backoff
from resilience_operator.run import handlers
from resilience_operator.run.kopf_guard import configure
from resilience_operator.run.services import Settings

log = logging.getLogger(__name__)

_GOOD_RUN = 60.0

_GOODBYE = 0.25
"""Seconds that TLS connections get to close before their loop ends (aiohttp, "Graceful Shutdown")."""

KopfOperator = Callable[..., Awaitable[None]]
"""`kopf.operator`, or what a test runs in its place."""


class KopfThread:
    """Kopf with our handlers; `sink` is called in its thread. `operator` is what runs: `kopf.operator`."""

    def __init__(
        self,
        settings: Settings,
        sink: handlers.Sink,
        operator: KopfOperator = kopf.operator,
        backoff: Backoff | None = None,
    ) -> None:
        self._operator = operator
        self._backoff = backoff or Backoff(first=1.0)
        self._settings = settings
        self._sink = sink
        self._stopping = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        # Kopf says of every event that its handler succeeded, and that it cannot have the signals, which are ours.
        logging.getLogger("kopf").setLevel(logging.WARNING)
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        self._thread.start()

    def alive(self) -> bool:
        """True while the thread runs Kopf, or waits to run it again."""
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Ask Kopf to end; returns at once."""
        self._stopping.set()
        if self._running is not None:
            loop, flag = self._running
            # The loop may have ended in between.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(flag.set)

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, at most so long; the process may end without it."""
        self._thread.join(seconds)

    def _run(self) -> None:
        backoff = self._backoff
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                asyncio.run(self._kopf())
            except Exception:
                log.exception("Kopf failed; policies are listed meanwhile, and Kopf is started again")
            if time.monotonic() - started > _GOOD_RUN:
                backoff.reset()
            self._stopping.wait(backoff.next())

    async def _kopf(self) -> None:
        stop = asyncio.Event()
        self._running = (asyncio.get_running_loop(), stop)
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self._sink, lambda: self._settings)
        settings = kopf.OperatorSettings()
        configure(settings, self._settings.policy_selector)
        try:
            if not self._stopping.is_set():
                await self._operator(
                    registry=registry,
                    settings=settings,
                    clusterwide=True,
                    standalone=True,
                    stop_flag=stop,
                    # Else Kopf asks for the user's name, and the uid of a pod has none.
                    identity=self._settings.identity,
                )
        finally:
            self._running = None
            await asyncio.sleep(_GOODBYE)
