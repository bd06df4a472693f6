"""Entries that come back: kube-proxy's rules still lead to an endpoint that is gone. Decided in values. No I/O.

Called by the purge. Deleting such entries again and again ends nothing (one was back within 250 ms), so each backend
whose entries return is left alone for a growing time, and the node says that its rules are stale.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from resilience_operator.agent.stale import Backend, Name

FIRST, LONGEST = 2.0, 300.0
"""Seconds that a backend is left alone: doubled each time, up to the longest."""

MOST = 1024
"""Backends remembered; beyond it the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is known of the entries to one dead backend."""

    at: float
    """When entries to it were last deleted, monotonic seconds."""

    returned: int = 0
    """How often in a row entries were there again after a delete."""

    again: float = 0.0
    """Not deleted before this time, monotonic seconds."""


Dead = tuple[Name, Backend]
Memory = dict[Dead, Deleted]


def waits(memory: Memory, dead: Dead, now: float) -> bool:
    """Whether entries to the backend are left alone for now."""
    known = memory.get(dead)
    return known is not None and now < known.again


def after_delete(memory: Memory, dead: Iterable[Dead], now: float) -> Memory:
    """The memory after entries to these backends were deleted."""
    known = dict(memory)
    for one in dead:
        known[one] = replace(known.pop(one, Deleted(now)), at=now)
    while len(known) > MOST:
        del known[next(iter(known))]
    return known


def after_scan(memory: Memory, seen: Iterable[Dead], now: float) -> Memory:
    """The memory after a whole scan: what is seen again has returned, what is not seen is forgotten."""
    present = set(seen)
    known: Memory = {}
    for dead, last in memory.items():
        if dead not in present:
            continue
        if last.at < last.again:
            known[dead] = last  # not deleted since it returned: that it is there says nothing new
            continue
        wait = min(FIRST * 2**last.returned, LONGEST)
        known[dead] = replace(last, returned=min(last.returned + 1, 30), again=now + wait)
    return known


def stale_rules(memory: Memory) -> tuple[Dead, ...]:
    """The backends whose entries came back: kube-proxy has not taken them out of its rules."""
    return tuple(sorted(dead for dead, known in memory.items() if known.returned))


def next_try(memory: Memory) -> float | None:
    """When the first backend that is left alone may be tried again, monotonic seconds."""
    return min((known.again for known in memory.values() if known.returned), default=None)
