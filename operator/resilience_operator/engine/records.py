"""The durable records in a policy's status: since when a finding stands, and the last remediations.

Events expire, status stays. What is missing after a crash is rebuilt from the annotations on the objects, so each
write of ours has exactly one record. Used by reconcile.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from resilience_operator.cluster.plausible import CLOCKS_APART
from resilience_operator.engine.change import Change, Decision, Result
from resilience_operator.policy.policy import Policy

MAX_RECORDS = 50
MAX_MESSAGE = 300

SinceKey = tuple[str, str, str, str, str, str]
"""(policy, rule, reason, kind, namespace, name) of a finding."""

Record = Mapping[str, Any]
"""One entry of status.remediations."""


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def since_of(policy: str, status: Mapping[str, Any]) -> dict[SinceKey, str]:
    """What a stored status remembers of its findings' beginnings."""
    found = {}
    for finding in status.get("findings", []):
        ref = finding.get("object", {})
        key = (
            policy,
            finding.get("rule", ""),
            finding.get("reason", ""),
            ref.get("kind", ""),
            ref.get("namespace", ""),
            ref.get("name", ""),
        )
        if finding.get("since"):
            found[key] = finding["since"]
    return found


def since_keys(decision: Decision | None) -> set[SinceKey]:
    """The keys of an object's findings."""
    if decision is None:
        return set()
    place = decision.object.key
    return {(one.policy, one.finding.rule, one.finding.reason, *place) for one in decision.judged}


def record(
    change: Change, policy: Policy, rule: str, at: datetime, message: str, result: str = ""
) -> dict[str, Any]:
    """The record of one rule's part of a change."""
    return {
        "time": stamp(at),
        "rule": rule,
        "object": change.object.as_status(),
        "result": result or str(change.result),
        "message": message[:MAX_MESSAGE],
    }


def add(records: Sequence[Record], new: Iterable[Record]) -> list[Record]:
    """The newest first, each once, at most MAX_RECORDS."""
    every = {identity(one): one for one in (*records, *new)}
    ordered = sorted(every.values(), key=lambda one: (str(one["time"]), identity(one)), reverse=True)
    return ordered[:MAX_RECORDS]


def identity(one: Record) -> tuple[str, ...]:
    """What makes two records the same one."""
    ref = one.get("object", {})
    return (
        str(one.get("time", "")),
        str(one.get("rule", "")),
        str(one.get("result", "")),
        str(ref.get("kind", "")),
        str(ref.get("namespace", "")),
        str(ref.get("name", "")),
    )


def believable(stored: Iterable[Any], now: datetime) -> list[Record]:
    """Of what a status holds what we can have written: a record of the future would stay the newest for ever."""
    latest = stamp(now + CLOCKS_APART)
    return [one for one in stored if isinstance(one, Mapping) and str(one.get("time", "")) <= latest]


def rebuilt(decisions: Iterable[Decision], policy: Policy) -> list[Record]:
    """Records of the applies that the objects' annotations remember for this policy."""
    found: list[Record] = []
    for decision in decisions:
        state = decision.state
        if not state.applies or policy.uid not in state.policies:
            continue
        last = state.applies[-1]
        written = [held for held in state.leaves.values() if held.revision == last.revision]
        rules = sorted({held.rule for held in written if policy.uid in held.policies})
        found += [
            {
                "time": stamp(last.at),
                "rule": rule,
                "object": decision.object.as_status(),
                "result": str(Result.APPLIED),
                "message": f"revision {last.revision}" if last.revision else "set again",
            }
            for rule in rules
        ]
    return found
