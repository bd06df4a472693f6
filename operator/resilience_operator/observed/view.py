"""One object with what a rule may look at beside it. Built by the store (cluster) and by cli (files)."""

from dataclasses import dataclass
from datetime import datetime

from resilience_operator.core.state import Held, ObjectState
from resilience_operator.observed.objects import (
    Deployment,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Pod,
    ReplicaSet,
    Service,
)


@dataclass(frozen=True, slots=True)
class Known:
    """Which kinds were read at all: a rule whose kind is not among them skips, it never passes."""

    pods: bool = True
    services: bool = True
    nodes: bool = True
    namespaces: bool = True
    volume_claims: bool = True


EVERYTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment, its ReplicaSets and pods, the Services that select its pods, its claims, and all nodes.

    `state` is our annotation on it where it is believed, else the empty state; `distrust` says why it is not.
    `server` is the API server's (major, minor), (0, 0) where unknown (files: the newest is assumed).
    """

    deployment: Deployment
    now: datetime
    namespace: Namespace | None = None
    replica_sets: tuple[ReplicaSet, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    volume_claims: tuple[PersistentVolumeClaim, ...] = ()
    nodes: tuple[Node, ...] = ()
    known: Known = EVERYTHING_KNOWN
    state: ObjectState = ObjectState()
    distrust: str = ""
    server: tuple[int, int] = (0, 0)

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        return self.state.leaves.get(path)

    @property
    def newest_replica_set(self) -> ReplicaSet | None:
        """The ReplicaSet with the highest revision, or None where there is none."""
        return max(self.replica_sets, key=lambda replica_set: replica_set.revision, default=None)
