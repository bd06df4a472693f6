"""The purge's thread: when it scans, what it remembers of each Service, and how it is told. Called by the agent.

It scans after an endpoint was lost, a second after it deleted anything, when entries that came back may be tried
again, and as an audit, because kube-proxy has none: every minute, or as seldom as half a percent of a core allows.
"""

import http.client
import math
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from resilience_operator.agent import purge, returns, services
from resilience_operator.agent.api import Api, ApiError
from resilience_operator.agent.endpoints import Endpoints
from resilience_operator.agent.log import log
from resilience_operator.agent.purge import Limits, Outcome, Purge
from resilience_operator.agent.returns import Dead
from resilience_operator.agent.stale import Hold, Name, Protected
from resilience_operator.agent.status import Purged
from resilience_operator.agent.streams import Stream

AUDIT = 60.0
SHARE = 0.005
"""Of a core, that audits may take."""

UNREAD = 20.0
"""Seconds to the next try to read a Service that could not be read."""

REFRESH = 600.0
"""Seconds after which a Service is read again without need: its addresses hardly ever change."""

_IPVS = Path("/proc/net/ip_vs")


class Sweeper(threading.Thread):
    """Purges the stale entries of the Services that it was last given."""

    def __init__(self, api: Api, changed: Callable[[], None]) -> None:
        super().__init__(name="purge", daemon=True)
        self._api, self._changed = api, changed
        self._wake = threading.Condition()
        self._due, self._settled = 0.0, 0.0
        self._wanted: tuple[tuple[Name, ...], Limits] = ((), Limits())
        self._streams: dict[str, tuple[Stream, Endpoints]] = {}
        self._fronts: dict[Name, tuple[Protected, float]] = {}
        self._purge = Purge(self._fresh)
        self.stop = threading.Event()
        self.purged: dict[Name, Purged] = {}
        self.returned: tuple[Dead, ...] = ()
        self.problem = ""
        """Why the last scan failed, as a sentence."""

    def want(self, names: tuple[Name, ...], limits: Limits) -> None:
        """Protect these Services from now on."""
        if (names, limits) == self._wanted:
            return
        same = names == self._wanted[0]
        with self._wake:
            self._wanted = (names, limits)
        if same:
            return
        self._watch(names)
        self.purged = {name: self.purged.get(name, Purged()) for name in names}
        self._soon(0.0)

    def end(self) -> None:
        """Stop: no further delete is sent."""
        self.stop.set()
        for stream, _ in self._streams.values():
            stream.stop.set()
        self._soon(0.0)

    def run(self) -> None:
        """Scan when due, until stopped."""
        while not self.stop.is_set():
            with self._wake:
                names, limits = self._wanted
                wait = self._due - time.monotonic() if names else AUDIT
                if wait > 0:
                    self._wake.wait(min(wait, AUDIT))
                    continue
                self._due = math.inf
            started = time.monotonic()
            try:
                due = self._sweep(names, limits)
                self.problem = ""
            except OSError as error:
                self.problem = f"the table cannot be scanned: {error}"
                due = time.monotonic() + AUDIT
            with self._wake:
                # A loss of meanwhile has not settled in this scan: another follows.
                settled = self._settled if self._settled > started else math.inf
                self._due = min(due, self._due, settled)
            self._changed()

    def _sweep(self, names: tuple[Name, ...], limits: Limits) -> float:
        """One scan with what follows; when the next is due, monotonic seconds."""
        if _ipvs():
            said = "kube-proxy runs in IPVS mode here, for which the purge is not proven; nothing is deleted"
            for name in names:
                self.purged.setdefault(name, Purged()).hold = Hold(name, "IPVS", said)
            return time.monotonic() + AUDIT
        known = [one for name in names if (one := self._watched(name))]
        outcome = self._purge.run(known, limits, self.stop.is_set)
        self._take(names, known, outcome)
        now = time.monotonic()
        self.returned = returns.stale_rules(self._purge.memory)
        if any(outcome.deleted.values()):
            return now + purge.LOOK_AGAIN
        if len(known) < len(names):
            return now + UNREAD * random.uniform(0.5, 1.5)  # noqa: S311  - jitter
        again = returns.next_try(self._purge.memory)
        audit = now + max(AUDIT, outcome.cpu / SHARE) * random.uniform(0.8, 1.2)  # noqa: S311  - jitter
        return audit if again is None else min(audit, max(again, now + purge.LOOK_AGAIN))

    def _take(self, names: tuple[Name, ...], known: list[Protected], outcome: Outcome) -> None:
        holds = {hold.service: hold for hold in outcome.holds}
        unread = set(names) - {one.name for one in known}
        for name in names:
            purged = self.purged.setdefault(name, Purged())
            deleted = outcome.deleted.get(name, 0)
            purged.deleted += deleted
            purged.left = outcome.left.get(name, 0)
            purged.hold = holds.get(name) or (_unread(name) if name in unread else None)
            if deleted:
                purged.last = datetime.now(UTC)
                log(f"deleted {deleted} stale entries of {name}")

    def _watched(self, name: Name) -> Protected | None:
        """A Service as the watch tells it; None before it was heard of."""
        front, at = self._fronts.get(name, (None, 0.0))
        if front is None or time.monotonic() - at > REFRESH:
            front = self._fresh(name) or front
        stream = self._streams.get(name.namespace)
        if front is None or stream is None or not stream[1].listed:
            return None
        return stream[1].of(front)

    def _fresh(self, name: Name) -> Protected | None:
        try:
            found = services.read(self._api, name)
        except (ApiError, OSError, http.client.HTTPException) as error:
            log(f"{name} cannot be read: {error}")
            return None
        if found:
            self._fronts[name] = (found, time.monotonic())
        else:
            self._fronts.pop(name, None)
        return found

    def _watch(self, names: tuple[Name, ...]) -> None:
        for stream, _ in self._streams.values():
            stream.stop.set()
        self._streams = {}
        for namespace in sorted({name.namespace for name in names}):
            chosen = ",".join(sorted(name.name for name in names if name.namespace == namespace))
            params = {"labelSelector": f"{services.SERVICE_LABEL} in ({chosen})"}
            known = Endpoints(namespace, lambda: self._soon(purge.SETTLE))
            path = services.slices_path(namespace)
            stream = Stream(self._api, path, params, known.replace, known.change)
            self._streams[namespace] = (stream, known)
            stream.start()

    def _soon(self, wait: float) -> None:
        """Scan after so many seconds, but for what is due sooner."""
        spread = random.uniform(0.0, wait / 4)  # noqa: S311  - nodes do not ask the API server all at once
        with self._wake:
            self._settled = time.monotonic() + wait + spread
            self._due = min(self._due, self._settled)
            self._wake.notify_all()


def _unread(name: Name) -> Hold:
    return Hold(
        name, "Unconfirmed", f"{name} or its endpoints were not read yet; nothing is deleted until they are"
    )


def _ipvs() -> bool:
    """Whether IPVS leads any Service on this node: its table lists them below three lines of head."""
    try:
        with _IPVS.open(encoding="ascii", errors="replace") as file:
            return len(file.read(4096).splitlines()) > 3
    except OSError:
        return False
