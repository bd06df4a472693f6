"""Rollouts that failed with what we wrote, and where their policies start nothing more because of them. Pure.

Used by engine.queue. A failure counts until the policy's spec changes; also one whose object is gone by now, for as
long as the operator remembers it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Decision
from resilience_operator.engine.quarantine import ROLLOUT_FAILED
from resilience_operator.engine.rollout import Phase
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Failure:
    """A rollout that failed; the policy is meant as it was then."""

    policy: str
    """Uid."""

    digest: str
    """Of the policy's spec."""

    object: ObjectRef
    """Whose rollout it was."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Who starts nothing more, and why."""

    everywhere: Mapping[str, str] = field(default_factory=dict)
    """Policy name -> why."""

    namespaces: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(policy name, namespace) -> why."""

    def of(self, namespace: str) -> dict[str, str]:
        """Policy name -> why it starts nothing in that namespace."""
        there = {name: why for (name, where), why in self.namespaces.items() if where == namespace}
        return there | dict(self.everywhere)

    def gates(self) -> dict[tuple[str, str], str]:
        """(policy name, namespace) -> why; "" as namespace: everywhere."""
        return {(name, ""): why for name, why in self.everywhere.items()} | dict(self.namespaces)


def failures_of(decisions: Iterable[Decision], policies: Mapping[str, Policy]) -> list[Failure]:
    """The failures that objects bear of the policies as they are now; `policies` is by uid.

    One that cannot be withdrawn bears no quarantine yet, and counts as much.
    """
    found = []
    for decision in decisions:
        pairs = [
            pair
            for one in decision.state.quarantines
            if one.reason == ROLLOUT_FAILED
            for pair in one.policies.items()
        ]
        if decision.rollout.phase is Phase.FAILED:
            pairs += [
                (uid, policies[uid].digest)
                for uid in decision.rollout_policies
                if uid in policies and decision.state.policies.get(uid) == policies[uid].generation
            ]
        found += [
            Failure(uid, digest, decision.object)
            for uid, digest in pairs
            if uid in policies and policies[uid].digest == digest
        ]
    return found


def stopped_by(failures: Iterable[Failure], policies: Mapping[str, Policy]) -> Stopped:
    """Where which policy starts nothing more; what failed under an earlier spec does not count."""
    by_policy: defaultdict[str, defaultdict[str, list[ObjectRef]]] = defaultdict(lambda: defaultdict(list))
    for one in failures:
        if one.policy in policies and policies[one.policy].digest == one.digest:
            by_policy[one.policy][one.object.namespace].append(one.object)
    everywhere, namespaces = {}, {}
    for uid, failed in by_policy.items():
        name, limits = policies[uid].name, policies[uid].limits_of(())
        if len(failed) >= limits.failure_threshold:
            everywhere[name] = (
                f"{_rollouts(failed)} failed{_namespaces(failed)}, {_last(failed)} last; the policy is stopped "
                f"until its spec changes (failureThreshold: {limits.failure_threshold})"
            )
        for namespace, objects in failed.items():
            if len(objects) >= limits.failure_threshold_per_namespace:
                there = {namespace: objects}
                namespaces[name, namespace] = (
                    f"{_rollouts(there)} failed in namespace {namespace}, {_last(there)} last; the policy is stopped "
                    f"there until its spec changes (failureThresholdPerNamespace: "
                    f"{limits.failure_threshold_per_namespace})"
                )
    return Stopped(everywhere, namespaces)


def _rollouts(failed: Mapping[str, list[ObjectRef]]) -> str:
    count = sum(len(objects) for objects in failed.values())
    return "1 rollout" if count == 1 else f"{count} rollouts"


def _namespaces(failed: Mapping[str, list[ObjectRef]]) -> str:
    return "" if len(failed) == 1 else f" in {len(failed)} namespaces"


def _last(failed: Mapping[str, list[ObjectRef]]) -> ObjectRef:
    return max(one for objects in failed.values() for one in objects)
