"""What the agent reports of its node, as the status of its NodeState; and when it is written. No I/O.

Called by the agent after each pass. Changes are written at once, numbers alone at most every five minutes: 5,000 nodes
make 17 writes a second. Fields: crds/nodestates.yaml.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resilience_operator.agent.pressure import Level, Pressure, Sample
from resilience_operator.agent.returns import Dead
from resilience_operator.agent.stale import Hold, Name
from resilience_operator.agent.sysctl_loop import Told
from resilience_operator.agent.sysctls import Known, State

EVERY = 300.0
"""Seconds between two reports of numbers alone."""

SOONEST = 5.0
"""Seconds between two reports of changes."""

LONGEST = 300.0
"""Seconds to which the wait grows while the API server refuses."""

LONGEST_TEXT = 300


@dataclass
class Purged:
    """What was done for one protected Service since the agent started."""

    deleted: int = 0
    left: int = 0
    """Stale entries that the last scan left."""

    hold: Hold | None = None
    last: datetime | None = None
    """When entries were last deleted."""


@dataclass(frozen=True)
class Report:
    """Everything that a status is made of."""

    generation: int
    identity: Mapping[str, str]
    """agentVersion, kernelVersion, bootID."""

    told: Sequence[Told] = ()
    sample: Sample | None = None
    pressure: Pressure = field(default_factory=Pressure)
    counters: Mapping[str, int] = field(default_factory=dict)
    purged: Mapping[Name, Purged] = field(default_factory=dict)
    returned: Sequence[Dead] = ()
    """Dead endpoints whose entries came back."""

    problems: Sequence[str] = ()
    """What keeps the agent from its work, as sentences."""


def render(report: Report, now: datetime, before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The status; conditions keep the time of their last transition from `before`, those of the last status."""
    return {
        **report.identity,
        "observedGeneration": report.generation,
        "reportedAt": _time(now),
        "sysctls": [_sysctl(one) for one in report.told],
        "table": _table(report),
        "staleEntries": [_purged(name, one) for name, one in sorted(report.purged.items())],
        "conditions": _since(_conditions(report), now, before),
    }


def changes(status: Mapping[str, Any]) -> Any:
    """The part of a status whose change is worth a write of its own: no number that moves by itself."""
    sysctls = [{key: one.get(key) for key in _TOLD} for one in status["sysctls"]]
    held = [
        (one["namespace"], one["name"], one["held"], one["deleted"] > 0) for one in status["staleEntries"]
    ]
    conditions = [(one["type"], one["status"], one["reason"]) for one in status["conditions"]]
    return (status["observedGeneration"], sysctls, held, conditions, status["table"]["pressure"])


def due(changed: bool, now: float, last: float | None, failures: int) -> bool:
    """Whether a status is written now. `last`: monotonic seconds of the last attempt; `failures` in a row since."""
    if last is None:
        return True
    if failures:
        return now - last >= min(SOONEST * (1 << min(failures, 10)), LONGEST)
    return now - last >= (SOONEST if changed else EVERY)


_TOLD = ("name", "before", "set", "state", "reason")


def _sysctl(told: Told) -> dict[str, Any]:
    known: Known = told.step.known
    return {
        "name": told.name[:128],
        "observed": told.observed,
        "before": known.before,
        "set": known.ours,
        "state": str(told.step.state),
        "reason": told.step.reason,
        "message": told.step.message[:LONGEST_TEXT],
        "foreignRewrites": known.foreign,
    }


def _table(report: Report) -> dict[str, Any]:
    sample, total = report.sample, report.counters
    return {
        "pressure": str(report.pressure.level),
        "entries": sample.entries if sample else None,
        "limit": sample.limit if sample else None,
        "entriesPerMinute": report.pressure.per_minute,
        "minutesToFull": report.pressure.minutes_to_full,
        "drops": total.get("drop", 0),
        "earlyDrops": total.get("early_drop", 0),
        "insertFailed": total.get("insert_failed", 0),
        "clashResolved": total.get("clash_resolve", 0),
        "chainTooLong": total.get("chaintoolong", 0),
        "searchRestarts": total.get("search_restart", 0),
        "invalid": total.get("invalid", 0),
    }


def _purged(name: Name, one: Purged) -> dict[str, Any]:
    return {
        "namespace": name.namespace,
        "name": name.name,
        "deleted": one.deleted,
        "left": one.left,
        "lastDeletedAt": _time(one.last) if one.last else None,
        "held": one.hold.reason if one.hold else "",
        "message": one.hold.message[:LONGEST_TEXT] if one.hold else "",
    }


def _conditions(report: Report) -> list[dict[str, str]]:
    contested = [one for one in report.told if one.step.state is State.CONTESTED]
    stuck = [one for one in report.told if one.step.state in (State.FAILED, State.REFUSED)]
    problems = [*report.problems, *(one.step.message for one in stuck)]
    full = report.pressure.level is not Level.NORMAL
    left = sum(one.left for one in report.purged.values())
    return [
        _condition(
            "Ready", not problems, ("Working", "Hindered"), "; ".join(problems) or "does what is asked"
        ),
        _condition(
            "ConntrackPressure", full, (report.pressure.reason, "AsExpected"), report.pressure.message
        ),
        _condition(
            "SysctlContention",
            bool(contested),
            ("ForeignRewrites", "NoConflict"),
            "; ".join(one.step.message for one in contested),
        ),
        _condition(
            "KubeProxyRulesStale",
            bool(report.returned),
            ("EntriesReturn", "AsExpected"),
            _returned(report.returned),
        ),
        _condition(
            "StaleEntries",
            left > 0,
            ("EntriesLeft", "NoneLeft"),
            f"{left} stale UDP entries are left" if left else "",
        ),
    ]


def _returned(dead: Sequence[Dead]) -> str:
    if not dead:
        return ""
    service, (address, port) = dead[0]
    more = f" and {len(dead) - 1} more" if len(dead) > 1 else ""
    return (
        f"entries of {service} to {_text(address)}:{port}{more}, which is no endpoint, came back after they were"
        " deleted: the rules of kube-proxy on this node still lead there; look at its log and its watch"
    )


def _text(address: bytes) -> str:
    shown = str(ipaddress.ip_address(address))
    return f"[{shown}]" if len(address) == 16 else shown


def _condition(kind: str, met: bool, reasons: tuple[str, str], message: str) -> dict[str, str]:
    reason = reasons[0] if met else reasons[1]
    return {"type": kind, "status": str(met), "reason": reason, "message": message[:LONGEST_TEXT]}


def _since(
    conditions: list[dict[str, str]], now: datetime, before: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    known = {str(one.get("type")): one for one in before if isinstance(one, dict)}
    for one in conditions:
        last = known.get(one["type"], {})
        kept = last.get("lastTransitionTime") if last.get("status") == one["status"] else None
        one["lastTransitionTime"] = str(kept or _time(now))
    return conditions


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
