"""What AWS says of the EKS add-on that keeps cluster DNS, put into the store again and again; and its updates.

Run by wiring. The reconciler says whether it is wanted: AWS is asked only while this replica leads and something asks
for the floor of a cluster DNS that an add-on keeps, and nothing of AWS is imported before.

One request at a time. Each has a thread of its own that nobody waits for at the end: boto3 cannot be interrupted, and
an executor would keep the process for a minute.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from resilience_operator.api.client import Clock
from resilience_operator.cluster.objects.workloads import AddonReading
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import EKS_ADDON, NODE
from resilience_operator.outside.eks import Addon, AddonError, Addons, Busy, Unanswered
from resilience_operator.targets.coredns import addon_state as addons

log = logging.getLogger(__name__)

T = TypeVar("T")

TOLERATED = 10
"""Looks in a row without an answer before what AWS said last counts no more."""

SETTLING = 10.0
"""Seconds between looks while an update is in flight, where they are not shorter anyway."""

_UNANSWERED = AddonReading(problem=addons.UNANSWERED)

NO_CLUSTER = (
    "the name of the EKS cluster is not known, no tag of its nodes' instances says it (start the operator with"
    " --eks-cluster NAME)"
)


class AddonFeed:
    """The add-on of `cluster` ("": found by the nodes), looked at every so many seconds while it is wanted.

    `fence` raises NotLeader where this replica may not write; it is asked in the thread that sends.
    """

    def __init__(
        self,
        store: Store,
        fence: Callable[[], None],
        clock: Clock,
        *,
        cluster: str = "",
        every: float = 60.0,
        aws: Addons | None = None,
    ) -> None:
        self._store = store
        self._fence = fence
        self._clock = clock
        self._cluster = cluster
        self._every = every
        self._aws = aws or Addons()
        self._last: Addon | None = None
        self._unanswered = 0
        self._wanted = asyncio.Event()
        self._again = asyncio.Event()
        self._one = asyncio.Lock()
        store.put_outside(EKS_ADDON, _UNANSWERED)

    def want(self, wanted: bool) -> None:
        """Ask AWS from now on, or no more: then what it said is forgotten."""
        if wanted == self._wanted.is_set():
            return
        if wanted:
            self._wanted.set()
            return
        self._wanted.clear()
        self._last = None
        self._store.put_outside(EKS_ADDON, _UNANSWERED)

    async def run(self) -> None:
        """Look again and again while it is wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._again.clear()
            await self.look()
            unsettled = self._last is not None and self._last.update_in_flight
            await self._clock.wait(self._again, min(self._every, SETTLING) if unsettled else self._every)

    async def look(self) -> None:
        """Ask AWS once, and show what it says, or why it does not."""
        async with self._one:
            try:
                found = await self._read()
            except AddonError as error:
                log.warning("the EKS add-on is not known: %s", error)
                self._unanswered += isinstance(error, Unanswered)
                if isinstance(error, Unanswered) and self._last is not None and self._unanswered < TOLERATED:
                    return
                self._last, reading = None, AddonReading(self._cluster, problem=str(error))
            else:
                self._last, self._unanswered = found, 0
                problem = NO_CLUSTER if found is None else ""
                reading = AddonReading(problem=problem) if found is None else shown(found)
            if self._wanted.is_set():
                self._store.put_outside(EKS_ADDON, reading)

    async def update(self, before: str, configuration: str) -> None:
        """Have EKS take that configuration in place of `before`. Raises AddonError, or NotLeader.

        Until AWS is looked at again the update counts as in flight, whatever became of it.
        """
        async with self._one:
            addon = self._last
            if addon is None or addon.configuration != before:
                raise Busy("update the EKS add-on", "it is not what it was when this was decided")
            self._store.put_outside(EKS_ADDON, msgspec.structs.replace(shown(addon), in_flight=True))
            try:
                await in_thread(lambda: self._aws.update(addon, configuration, self._fence))
            except BaseException:
                self._again.set()
                raise
            # Not at once: what AWS accepted it may not show yet, and would be asked for again.
            asyncio.get_running_loop().call_later(min(self._every, SETTLING), self._again.set)

    async def _read(self) -> Addon | None:
        if not self._cluster:
            ids = [one.spec.provider_id for one in self._store.objects(NODE) if one.spec.provider_id]
            self._cluster = await in_thread(lambda: self._aws.find_cluster(ids))
        cluster = self._cluster
        return await in_thread(lambda: self._aws.read(cluster)) if cluster else None


def shown(addon: Addon) -> AddonReading:
    """What AWS says, as rules and planning read it."""
    return AddonReading(
        cluster=addon.cluster,
        version=addon.version,
        status=addon.status,
        configuration=addon.configuration,
        in_flight=addon.update_in_flight,
        issues=addon.health_issues,
        modified=addon.modified,
    )


async def in_thread(call: Callable[[], T]) -> T:
    """What the call returns or raises, from a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(tell: Callable[[Any], None], what: object) -> None:
        if not future.done():
            tell(what)

    def work() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - it is raised where the call was made
            args: tuple[Callable[[Any], None], object] = (future.set_exception, error)
        else:
            args = (future.set_result, result)
        with suppress(RuntimeError):  # The loop has ended.
            loop.call_soon_threadsafe(settle, *args)

    threading.Thread(target=work, name="aws", daemon=True).start()
    return await future
