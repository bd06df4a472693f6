"""The agent of one node: its NodeState watched, sysctls kept, the table sampled, the purge driven, the status written.

Started by the command. While the API server is away, the last spec stays in force and nothing grows.
"""

import http.client
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import resilience_operator
from resilience_operator.agent import spec, status, sysctl_loop
from resilience_operator.agent.api import Api, ApiError
from resilience_operator.agent.log import log
from resilience_operator.agent.metrics import Series
from resilience_operator.agent.pressure import Level, Sample
from resilience_operator.agent.samples import Sampler
from resilience_operator.agent.spec import Spec
from resilience_operator.agent.status import Report
from resilience_operator.agent.streams import Stream
from resilience_operator.agent.sweeper import Sweeper
from resilience_operator.agent.sysctl_files import SysctlFiles
from resilience_operator.agent.sysctl_loop import SysctlLoop, Told

PATH = "/apis/resilience.dev/v1alpha1/nodestates"
Body = Mapping[str, Any]


class Node:
    """The agent of one node."""

    def __init__(self, api: Api, name: str, files: SysctlFiles) -> None:
        self._api, self._name = api, name
        self._wake = threading.Event()
        self._body: Body | None = None
        self._heard = False
        self._spec = Spec()
        self._identity = identity()
        self._loop = SysctlLoop(files)
        self._noted = False
        self._sampler = Sampler()
        self._sample: Sample | None = None
        self._told: Sequence[Told] = ()
        self._trouble = ""
        self._written: dict[str, Any] = {}
        self._last: float | None = None
        self._failures = 0
        self._stopped = threading.Event()
        self._sweeper = Sweeper(api, self._wake.set)
        only = {"fieldSelector": f"metadata.name={name}"}
        self._stream = Stream(api, PATH, only, self._list, self._change)

    def run(self) -> int:
        """Work until stopped. What is set stays set: a restart is no release. 1 where a thread ended by an error."""
        self._stream.start()
        self._sweeper.start()
        while not self._stopped.is_set():
            self._pass()
            if not (self._stream.is_alive() and self._sweeper.is_alive()):
                log("a thread of the agent ended by an error: it must be started anew")
                return 1
            self._wake.wait(sysctl_loop.EVERY * random.uniform(0.8, 1.2))  # noqa: S311  - jitter
            self._wake.clear()
        self._stream.stop.set()
        self._sweeper.end()
        return 0

    def stop(self) -> None:
        """End the run soon."""
        self._stopped.set()
        self._wake.set()

    def _list(self, bodies: list[Body]) -> None:
        mine = [one for one in bodies if (one.get("metadata") or {}).get("name") == self._name]
        self._body, self._heard = (mine[0] if mine else None), True
        self._wake.set()

    def _change(self, kind: str, body: Body) -> None:
        if (body.get("metadata") or {}).get("name") != self._name:
            return
        old = self._spec.generation, self._spec.uid
        self._body, self._heard = (None if kind == "DELETED" else body), True
        meta = body.get("metadata") or {}
        if kind == "DELETED" or (meta.get("generation"), meta.get("uid")) != old:
            self._wake.set()  # our own writes of the status come back as well, and say nothing new

    def _pass(self) -> None:
        self._take()
        try:
            self._sample = self._sampler.look(self._spec.thresholds)
            self._trouble = ""
        except OSError as error:
            self._trouble = f"the table cannot be counted: {error}"
        if self._heard and self._sample and not self._trouble:
            now, entries = time.monotonic(), self._sample.entries
            self._told = self._loop.enforce(self._spec.sysctls, entries, now, revert=self._spec.revert)
        if self._body is not None:
            self._report(self._body)

    def _take(self) -> None:
        """Take the newest NodeState; one that is gone demands nothing, and releases as it last said."""
        body = self._body
        if not self._heard:
            return
        if body is None:
            self._spec = Spec(revert=self._spec.revert)
        else:
            before, self._spec = self._spec.uid, spec.read(body)
            if not self._noted:
                self._loop.known = spec.noted(body, self._identity["bootID"])
            # One that was made anew has nothing of what was written to the last.
            if self._spec.uid != before:
                self._written = dict(body.get("status") or {})
        self._noted = True
        self._sweeper.want(self._spec.services, self._spec.limits)

    def _report(self, body: Body) -> None:
        problems = [one for one in (self._trouble, self._sweeper.problem) if one]
        report = Report(
            generation=self._spec.generation,
            identity=self._identity,
            told=self._told,
            sample=self._sample,
            pressure=self._sampler.pressure,
            counters=self._sampler.counters.totals,
            purged=dict(self._sweeper.purged),
            returned=self._sweeper.returned,
            problems=[*problems, *self._spec.problems],
        )
        conditions = self._written.get("conditions")
        before = conditions if isinstance(conditions, list) else []
        new = status.render(report, datetime.now(UTC), before)
        changed = "table" not in self._written or _differs(new, self._written)
        if not status.due(changed, time.monotonic(), self._last, self._failures):
            return
        self._last = time.monotonic()
        try:
            uid = (body.get("metadata") or {}).get("uid")
            self._api.patch(f"{PATH}/{self._name}/status", {"metadata": {"uid": uid}, "status": new})
        except (ApiError, OSError, http.client.HTTPException) as error:
            self._failures += 1
            log(f"the status is not written: {error}")
            return
        self._failures, self._written = 0, new
        self._record(new)

    def _record(self, written: Mapping[str, Any]) -> None:
        """What the API server has noted as the value before us may be replaced from now on."""
        noted = {one["name"]: one["before"] for one in written["sysctls"]}
        for name, known in self._loop.known.items():
            if known.before is not None and noted.get(name) == known.before and not known.recorded:
                self._loop.known[name] = replace(known, recorded=True)
                self._wake.set()

    def series(self) -> list[Series]:
        """The agent's metrics."""
        total, sample = self._sampler.counters.totals, self._sample
        found: list[Series] = [
            ("agent_info", "gauge", "Version of the agent.", {"version": self._identity["agentVersion"]}, 1),
            ("conntrack_entries", "gauge", "Entries in the table.", {}, sample.entries if sample else 0),
            (
                "conntrack_entries_limit",
                "gauge",
                "Limit of the table; 0 is none.",
                {},
                sample.limit if sample else 0,
            ),
        ]
        for name, about in _COUNTERS.items():
            found.append(
                (f"conntrack_{name}_total", "counter", about, {}, total.get(_KERNEL.get(name, name), 0))
            )
        purged, level = self._sweeper.purged, self._sampler.pressure.level
        deleted = sum(one.deleted for one in purged.values())
        left = sum(one.left for one in purged.values())
        rewrites = sum(one.foreign for one in self._loop.known.values())
        found += [
            ("conntrack_stale_purged_total", "counter", "Stale UDP entries deleted.", {}, deleted),
            ("conntrack_stale_left", "gauge", "Stale UDP entries that the last scan left.", {}, left),
            ("conntrack_pressure", "gauge", "0 normal, 1 warning, 2 critical.", {}, list(Level).index(level)),
            (
                "kube_proxy_rules_stale",
                "gauge",
                "Entries came back after a purge.",
                {},
                bool(self._sweeper.returned),
            ),
            ("sysctl_foreign_rewrites_total", "counter", "Values of ours that were replaced.", {}, rewrites),
            ("status_write_failures", "gauge", "Failed writes of the status in a row.", {}, self._failures),
        ]
        return found


_COUNTERS = {
    "drops": "Packets of new flows dropped.",
    "early_drops": "Entries evicted to make room.",
    "insert_failed": "Entries not inserted.",
    "clash_resolve": "Races of equal flows resolved.",
    "chaintoolong": "Inserts refused for a long chain.",
    "search_restart": "Lookups restarted.",
    "invalid": "Packets that belong to no flow.",
}
_KERNEL = {"drops": "drop", "early_drops": "early_drop"}


def identity() -> dict[str, str]:
    """What the status says of the agent and its node."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return {
        "agentVersion": resilience_operator.__version__,
        "kernelVersion": os.uname().release[:128],
        "bootID": boot[:64],
    }


def _differs(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    try:
        return bool(status.changes(new) != status.changes(old))
    except (KeyError, TypeError):
        return True
