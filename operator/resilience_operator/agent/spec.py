"""A NodeState as the agent reads it: what is asked of this node, and what was noted before a restart. No I/O.

Called by the agent for each version of its object. The API server's schema has judged it; it is decoded within bounds
all the same, and what is not as promised is left out and named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from resilience_operator.agent import sysctls
from resilience_operator.agent.pressure import Thresholds
from resilience_operator.agent.purge import Limits
from resilience_operator.agent.stale import Name
from resilience_operator.agent.sysctls import Direction, Known, Wanted
from resilience_operator.core.sysctls import ALLOWED

MOST_SERVICES = 16
FASTEST = 5000
"""Deletes a second that a spec can ask for."""


@dataclass(frozen=True)
class Spec:
    """What is asked of this node."""

    generation: int = 0
    uid: str = ""
    sysctls: Mapping[str, Wanted] = field(default_factory=dict)
    revert: bool = False
    """onRelease: Revert. Keys that leave the spec become what they were before us."""

    thresholds: Thresholds = Thresholds()
    services: tuple[Name, ...] = ()
    limits: Limits = Limits()
    problems: tuple[str, ...] = ()
    """What could not be read, as sentences."""


@dataclass
class _Reading:
    problems: list[str] = field(default_factory=list)

    def mapping(self, value: Any, where: str) -> Mapping[str, Any]:
        if value is None or isinstance(value, dict):
            return value or {}
        self.problems.append(f"{where} is no object")
        return {}

    def items(self, value: Any, where: str, most: int) -> list[Mapping[str, Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.problems.append(f"{where} is no list")
            return []
        if len(value) > most:
            self.problems.append(f"{where} has {len(value)} items; the first {most} are read")
        return [self.mapping(one, f"{where}[{place}]") for place, one in enumerate(value[:most])]

    def number(self, value: Any, where: str, allowed: range, default: int) -> int:
        if value is None:
            return default
        if _whole(value) and value in allowed:
            return int(value)
        self.problems.append(f"{where} is no number from {allowed.start} to {allowed.stop - 1}")
        return default


def read(body: Mapping[str, Any]) -> Spec:
    """The spec of a NodeState."""
    reading = _Reading()
    meta = reading.mapping(body.get("metadata"), "metadata")
    spec = reading.mapping(body.get("spec"), "spec")
    wanted = {}
    for item in reading.items(spec.get("sysctls"), "spec.sysctls", sysctls.MOST):
        one = _wanted(item)
        if one is None:
            reading.problems.append(
                f"spec.sysctls: {str(item)[:80]} needs a name, a whole value and a direction"
            )
        else:
            wanted[one.name] = one
    entries = reading.mapping(spec.get("staleEntries"), "spec.staleEntries")
    found = reading.items(entries.get("services"), "spec.staleEntries.services", MOST_SERVICES)
    services = tuple(dict.fromkeys(name for one in found if (name := _service(one))))
    levels = reading.mapping(spec.get("pressure"), "spec.pressure")
    warning = reading.number(levels.get("warningPercent"), "spec.pressure.warningPercent", range(1, 101), 75)
    critical = reading.number(
        levels.get("criticalPercent"), "spec.pressure.criticalPercent", range(1, 101), 90
    )
    pace = reading.number(
        entries.get("maxPerSecond"), "spec.staleEntries.maxPerSecond", range(1, FASTEST + 1), FASTEST
    )
    generation = meta.get("generation")
    return Spec(
        generation=generation if _whole(generation) else 0,
        uid=str(meta.get("uid", ""))[:64],
        sysctls=wanted,
        revert=spec.get("onRelease") == "Revert",
        thresholds=Thresholds(warning, critical),
        services=services,
        limits=Limits(pace, entries.get("onZeroEndpoints") == "Purge"),
        problems=tuple(reading.problems[:8]),
    )


def noted(body: Mapping[str, Any], boot: str) -> dict[str, Known]:
    """What the status notes of keys that are ours, if it was written since this node booted: a reboot undoes ours."""
    reading = _Reading()
    status = reading.mapping(body.get("status"), "status")
    if status.get("bootID") != boot:
        return {}
    found = {}
    for item in reading.items(status.get("sysctls"), "status.sysctls", 2 * sysctls.MOST):
        name, before, ours = item.get("name"), item.get("before"), item.get("set")
        if name not in ALLOWED or not _whole(before):
            continue
        foreign = item.get("foreignRewrites")
        found[str(name)] = Known(
            before=before,
            recorded=True,
            ours=ours if _whole(ours) else None,
            foreign=foreign if _whole(foreign) and foreign >= 0 else 0,
        )
    return found


def _wanted(item: Mapping[str, Any]) -> Wanted | None:
    name, value, direction = item.get("name"), item.get("value"), item.get("direction", "RaiseOnly")
    known = isinstance(name, str) and len(name) <= 128 and direction in Direction.__members__.values()
    return (
        Wanted(name, value, Direction(direction))
        if known and isinstance(name, str) and _whole(value)
        else None
    )


def _service(item: Mapping[str, Any]) -> Name | None:
    parts = (item.get("namespace"), item.get("name"))
    if not all(isinstance(part, str) and 0 < len(part) <= 63 and _is_label(part) for part in parts):
        return None
    return Name(*(str(part) for part in parts))


def _is_label(text: str) -> bool:
    """Whether it can be a name in a path: nothing of it is escaped or read as more than a name."""
    return all(one.isascii() and (one.isalnum() or one == "-") for one in text)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
