"""The watches of all kinds that others own, filling one store; how fresh it is, and whether they still try.

Made by wiring: it runs one task per kind, asks `stale` before decisions and for readiness, `stuck` for liveness.
"""

import logging
from collections.abc import Awaitable, Callable

from resilience_operator.api.client import Clock
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.session import Session
from resilience_operator.api.watch import LIST_TIMEOUT, Reflector, Scope
from resilience_operator.cluster.store import Store
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import Kind
from resilience_operator.core.refs import ObjectRef

log = logging.getLogger(__name__)

FIRST_ANSWER = 30.0
"""Seconds that are given to the first answer about what is beside the point."""

_PATIENCE = 60.0
"""Seconds beyond the longest single wait of a stream, after which it does not try any more."""


class Streams:
    """One reflector per kind of the store, and the store that they fill. `stall_timeout` in seconds."""

    def __init__(
        self, session: Session, store: Store, stall_timeout: float, metrics: Metrics, clock: Clock
    ) -> None:
        self.store = store
        self._longest_idle = max(stall_timeout, LIST_TIMEOUT) + _PATIENCE
        self._reflectors = tuple(
            Reflector(
                session, kind, self.store, clock.monotonic, Scope(kind.only_in, stall_timeout=stall_timeout)
            )
            for kind in store.decoders.kinds
        )
        for reflector in self._reflectors:
            self._measure(reflector, metrics)

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is to run for ever, by a name for people."""
        return {f"watch of {reflector.kind.plural}": reflector.run for reflector in self._reflectors}

    def stale(self) -> tuple[str, ...]:
        """Plurals of the kinds that were not read yet, or not heard of for too long, where decisions rest on them.

        What is beside the point is waited for at the start alone, and not for long.
        """
        return tuple(one.kind.plural for one in self._reflectors if not one.fresh and not _dispensable(one))

    def stuck(self) -> tuple[str, ...]:
        """Plurals of the kinds whose stream neither hears nor tries any more."""
        return tuple(
            reflector.kind.plural for reflector in self._reflectors if reflector.idle() > self._longest_idle
        )

    def written(self, kind: Kind, raw: bytes) -> None:
        """Put the answer to a write of our own into the store, so that nothing is decided on older data."""
        try:
            self.store.put(kind, self.store.decoders.project(kind, raw))
        except UnreadableObjectError as error:
            log.warning("the answer to a write cannot be read, its watch event must do: %s", error)

    def deleted(self, kind: Kind, ref: ObjectRef) -> None:
        """An object that we removed is gone, whatever the watch has heard so far."""
        self.store.delete(kind, ref.namespace, ref.name, ref.uid)

    def _measure(self, reflector: Reflector, metrics: Metrics) -> None:
        kind = reflector.kind
        metrics.watch(kind.kind, reflector.age, lambda: self.store.count(kind))


def _dispensable(reflector: Reflector) -> bool:
    return reflector.kind.beside_the_point and (reflector.synced or reflector.age() > FIRST_ANSWER)
