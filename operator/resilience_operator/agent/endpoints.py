"""The endpoints of protected Services as the watches last told them, and whether one was lost. Called by the agent.

Only addresses and ports are kept. They say when to scan and what to look for; what is deleted is confirmed anew.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from resilience_operator.agent import services
from resilience_operator.agent.stale import Backend, Name, Protected

Body = Mapping[str, Any]
_Slice = tuple[Name, set[Backend], set[bytes]]


class Endpoints:
    """The slices of one namespace. Safe between the watching thread and the purge."""

    def __init__(self, namespace: str, lost: Callable[[], None]) -> None:
        self._namespace, self._lost = namespace, lost
        self._lock = threading.Lock()
        self._slices: dict[str, _Slice] = {}
        self.listed = False
        """Whether the slices were listed at all."""

    def replace(self, bodies: list[Body]) -> None:
        """Take a whole list."""
        known = {name: one for body in bodies if (name := _name(body)) and (one := self._decoded(body))}
        with self._lock:
            before, self._slices = self._slices, known
            first, self.listed = not self.listed, True
        if first:
            self._lost()  # whatever went while nobody watched
        else:
            self._tell(before, known)

    def change(self, kind: str, body: Body) -> None:
        """Take one event of the watch."""
        name, decoded = _name(body), self._decoded(body)
        with self._lock:
            before = dict(self._slices)
            self._slices.pop(name, None)
            if kind != "DELETED" and decoded and name:
                self._slices[name] = decoded
            after = dict(self._slices)
        self._tell(before, after)

    def of(self, front: Protected) -> Protected:
        """A Service with the endpoints that were last told."""
        with self._lock:
            mine = [one for one in self._slices.values() if one[0] == front.name]
        backends = frozenset(pair for _, pairs, _ in mine for pair in pairs)
        return replace(
            front, backends=backends, any_port=frozenset(one for *_, whole in mine for one in whole)
        )

    def _tell(self, before: Mapping[str, _Slice], after: Mapping[str, _Slice]) -> None:
        if _all(before) - _all(after):
            self._lost()

    def _decoded(self, body: Body) -> _Slice | None:
        labels = (body.get("metadata") or {}).get("labels") or {}
        service = labels.get(services.SERVICE_LABEL)
        if not isinstance(service, str):
            return None
        return Name(self._namespace, service), *services.endpoints(body)


def _all(slices: Mapping[str, _Slice]) -> set[tuple[Name, bytes, int]]:
    """Every endpoint; one that is live on each port has port 0."""
    pairs = {(name, address, port) for name, backends, _ in slices.values() for address, port in backends}
    return pairs | {(name, address, 0) for name, _, whole in slices.values() for address in whole}


def _name(body: Body) -> str:
    return str((body.get("metadata") or {}).get("name", ""))[:253]
