"""The purge of stale UDP entries: scan, read the Services anew, delete by tuple and id, look again.

Called by the agent's purge thread. The order makes it safe: nothing is deleted that was not judged a second time
against what the API server said after the scan, and only at the pace that the node's policy allows.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from resilience_operator.agent import conntrack, returns, stale, table
from resilience_operator.agent.conntrack import Deletion
from resilience_operator.agent.netlink import MalformedError
from resilience_operator.agent.returns import Dead, Memory
from resilience_operator.agent.stale import Hold, Name, Protected, Stale

SETTLE = 2.0
"""Seconds from a change of endpoints to the scan: kube-proxy syncs at most once a second."""

LOOK_AGAIN = 1.0
"""Seconds from the last delete to the scan that shows whether entries came back."""

PART = 4096
"""Entries that wait at most, 0.5 MiB, and that one reading of a Service is good for: two seconds of deletes or less."""

LONGEST = 20.0
"""Seconds that one purge deletes; what is left then is the next one's."""

BURST = 4
"""The part of a second whose deletes may go at once: a quarter."""

FAMILIES = (conntrack.IPV4, conntrack.IPV6)
Entries = dict[Stale, list[Deletion]]
Reader = Callable[[Name], Protected | None]
"""Reads a Service with its endpoints from the API server, past every cache; None where that fails."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the node's policy allows."""

    per_second: int = 5000
    purge_at_zero: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a purge did."""

    deleted: Mapping[Name, int] = field(default_factory=dict)
    left: Mapping[Name, int] = field(default_factory=dict)
    """Stale entries that were left: held, or left alone because their kind came back."""

    holds: tuple[Hold, ...] = ()
    cpu: float = 0.0


@dataclass
class _Tally:
    """One purge while it runs."""

    limits: Limits
    stopped: Callable[[], bool]
    began: float
    """Monotonic seconds."""

    deleted: dict[Name, int] = field(default_factory=dict)
    left: dict[Name, int] = field(default_factory=dict)
    holds: dict[Name, Hold] = field(default_factory=dict)
    seen: dict[Dead, bool] = field(default_factory=dict)
    """Dead backends that entries lead to, and whether they are left alone: judged once, at the first sight."""

    gone: set[Dead] = field(default_factory=set)
    """Those whose entries were deleted."""

    sent: int = 0


def scan(services: Iterable[Protected], size: int, how: table.Dump) -> Iterator[Entries]:
    """Every stale entry of the Services, in parts of about `size`, so that memory is bounded.

    Raises TableError where the table cannot be read.
    """
    known = tuple(services)
    entries: Entries = {}
    for family in FAMILIES:
        looked_for = stale.plan(known, family)
        if not looked_for.needles:
            continue
        for buffer, hits in table.find(family, looked_for.needles, how):
            _collect(buffer, hits, looked_for, entries)
            if sum(map(len, entries.values())) >= size:
                yield entries
                entries = {}
    if entries:
        yield entries


def _collect(
    buffer: bytearray, hits: tuple[tuple[int, int], ...], looked_for: stale.Plan, entries: Entries
) -> None:
    """Take the stale ones among the hits of a datagram."""
    spared = looked_for.spared
    for start, stop in hits:
        if conntrack.leads_to(buffer, start, stop) in spared:
            continue
        try:
            entry = conntrack.entry(bytes(buffer[start:stop]))
        except MalformedError:
            continue
        judged = stale.judge(entry, looked_for) if entry else None
        if entry and judged:
            entries.setdefault(judged, []).append(conntrack.deletion(entry.key))


class Purge:
    """The purge with what it remembers from one scan to the next."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self.memory: Memory = {}

    def run(self, services: Iterable[Protected], limits: Limits, stopped: Callable[[], bool]) -> Outcome:
        """One scan, and the deletes that follow from each part of it.

        Raises TableError where the table cannot be read; what was deleted before it is remembered.
        """
        cpu, how = time.thread_time(), table.Dump()
        tally = _Tally(limits, stopped, time.monotonic())
        try:
            for entries in scan(services, max(1, min(PART, 2 * limits.per_second)), how):
                for name in sorted({one.service for one in entries}):
                    self._take(
                        name, {one: found for one, found in entries.items() if one.service == name}, tally
                    )
                if stopped() or time.monotonic() - tally.began > LONGEST:
                    how.interrupted = True
                    break
            if not how.interrupted:
                self.memory = returns.after_scan(self.memory, tally.seen, tally.began)
        finally:
            self.memory = returns.after_delete(self.memory, tally.gone, time.monotonic())
        return Outcome(tally.deleted, tally.left, tuple(tally.holds.values()), time.thread_time() - cpu)

    def _take(self, name: Name, entries: Entries, tally: _Tally) -> None:
        """Judge the entries of one Service again, by what the API server says now, and delete those that are stale."""
        fresh = self._read(name)
        hold = stale.held(fresh, name, purge_at_zero=tally.limits.purge_at_zero)
        tally.left.setdefault(name, 0)
        for one, found in entries.items():
            dead = (name, one.backend)
            waits = tally.seen.setdefault(dead, self._waits(dead, tally.began))
            if hold or fresh is None or waits:
                tally.left[name] += len(found)
            elif stale.still_stale(one, fresh):
                tally.gone.add(dead)
                tally.deleted[name] = tally.deleted.get(name, 0) + _delete(found, tally)
        if hold:
            tally.holds[name] = hold

    def _waits(self, dead: Dead, now: float) -> bool:
        """Whether entries to a backend, which are there now, are left alone because they came back."""
        known = {dead: self.memory[dead]} if dead in self.memory else {}
        return returns.waits(returns.after_scan(known, [dead], now), dead, now)


def _delete(found: list[Deletion], tally: _Tally) -> int:
    """Delete at the allowed pace, a burst first; how many went. A stop ends it between two batches."""
    per_second = tally.limits.per_second
    burst, went = max(1, per_second // BURST), 0
    size = min(table.BATCH, burst)
    for start in range(0, len(found), size):
        part = found[start : start + size]
        due = (tally.sent + len(part) - burst) / per_second
        time.sleep(max(0.0, due - (time.monotonic() - tally.began)))
        if tally.stopped():
            break
        went += table.delete(part)[0]
        tally.sent += len(part)
    return went
