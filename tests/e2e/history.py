"""What really happened to Deployments, replayed from the API server's audit log: never from the operator's own view.

Every write of a Deployment is in the log with the object that it made, those of the Deployment controller too, so the
history has one state per resourceVersion.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.lab import Lab
from tests.lab.audit import Write

Body = dict[str, Any]
AGENT = "resilience-operator"
OUTDATED = "the server rejected our request due to an error in our request"
"""The API server's words for a JSON patch whose test does not hold (1.36)."""


@dataclass(frozen=True)
class Moment:
    """One revision: who wrote what, when, and which rollouts of ours were in flight after it."""

    revision: int
    time: datetime
    name: str
    ours: bool
    in_flight: frozenset[str]
    write: Write


def deployment_writes(lab: Lab, namespace: str) -> list[Write]:
    """Committed writes of a namespace's Deployments and their status, by resourceVersion."""
    found = [
        write
        for write in lab.audit.writes(resource="deployments", namespace=namespace)
        if write.succeeded and not write.asks_the_guard and write.resource_version
    ]
    return sorted(found, key=lambda write: int(write.resource_version))


def is_ours(write: Write) -> bool:
    """True for an operator's own change of an object, not of a status, and not of ownership alone."""
    return write.user_agent.startswith(AGENT) and not write.subresource and not lets_go(write)


def lets_go(write: Write) -> bool:
    """True for the second patch of a write: it takes our entry out of managedFields, and changes no value."""
    ops = write.request_object
    return isinstance(ops, list) and all(op["path"].startswith("/metadata/managedFields/") for op in ops)


def our_writes(lab: Lab, namespace: str) -> list[Write]:
    """The operator's committed writes of Deployments that changed something."""
    return [moment.write for moment in replay(deployment_writes(lab, namespace)) if moment.ours]


def replay(writes: Iterable[Write]) -> list[Moment]:
    """The history: a Deployment is in flight from our write until a status that is complete.

    A write that changed nothing made no revision, and is left out.
    """
    moments: list[Moment] = []
    flying: set[str] = set()
    seen: dict[str, int] = {}
    for write in writes:
        revision = int(write.resource_version)
        if seen.get(write.name) == revision:
            continue
        seen[write.name] = revision
        ours = is_ours(write)
        if ours:
            flying.add(write.name)
        if complete(write.response_object):
            flying.discard(write.name)
        moments.append(Moment(revision, write.time, write.name, ours, frozenset(flying), write))
    return moments


def complete(body: Body) -> bool:
    """True where a Deployment's status says that its newest template runs, with all replicas available."""
    status, replicas = body.get("status") or {}, body["spec"].get("replicas", 1)
    settled: bool = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return settled and counts == [replicas] * 3


def most_in_flight(moments: Iterable[Moment]) -> int:
    """The highest number of our rollouts that were in flight at any revision."""
    return max((len(moment.in_flight) for moment in moments), default=0)


def most_before_soaked(moments: Iterable[Moment], soak: float) -> int:
    """As `most_in_flight`, where a rollout counts for `soak` seconds after it was complete as well.

    It was complete when its own status says so: that is told later where the Deployment controller is busy.
    """
    most = 0
    landed: dict[str, datetime] = {}
    before: frozenset[str] = frozenset()
    for moment in moments:
        for name in before - moment.in_flight:
            landed[name] = completed_at(moment.write.response_object)
        if moment.ours:
            soaking = {name for name, at in landed.items() if (moment.time - at).total_seconds() < soak}
            most = max(most, len(moment.in_flight | soaking))
        before = moment.in_flight
    return most


def completed_at(body: Body) -> datetime:
    """When the Deployment controller found the rollout complete, in whole seconds."""
    progress = next(one for one in body["status"]["conditions"] if one["type"] == "Progressing")
    assert progress["reason"] == "NewReplicaSetAvailable", progress
    return datetime.fromisoformat(progress["lastUpdateTime"])
