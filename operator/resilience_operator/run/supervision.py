"""Keeps the operator's tasks running: a task that ends is started again, and one that cannot be is told of.

Used by serving for everything that runs for ever, and by embedding for the back-off of Kopf's thread.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from resilience_operator.api.pacing import Backoff

log = logging.getLogger(__name__)

_GOOD_RUN = 60.0


class Tasks:
    """Named tasks of one event loop, each under a supervisor of its own."""

    def __init__(self, backoff: Callable[[], Backoff] = Backoff) -> None:
        self._backoff = backoff
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run it for ever: what it raises is logged, and it is run again after a growing pause."""
        self._tasks[name] = asyncio.create_task(self._supervise(name, run), name=name)

    def ended(self) -> tuple[str, ...]:
        """Names of tasks that nothing runs any more: only a restart of the process helps."""
        return tuple(name for name, task in self._tasks.items() if task.done())

    async def stop(self, *names: str) -> None:
        """Cancel these tasks, all where none is named, and wait for their end."""
        chosen = [self._tasks.pop(name) for name in names or tuple(self._tasks) if name in self._tasks]
        for task in chosen:
            task.cancel()
        await asyncio.gather(*chosen, return_exceptions=True)

    async def _supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        backoff = self._backoff()
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await run()
                log.error("%s ended, which it should not; it is started again", name)
            except Exception:
                log.exception("%s failed; it is started again", name)
            if loop.time() - started > _GOOD_RUN:
                backoff.reset()
            await asyncio.sleep(backoff.next())
