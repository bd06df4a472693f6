"""One object with what a rule may look at beside it. Built by the store (cluster) and by cli (files).

There are two views: of a Deployment, and of an object that scales one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.observed.autoscalers import stands_still
from resilience_operator.observed.dns import DNSNeighbours, is_cluster_dns
from resilience_operator.observed.objects import (
    Addon,
    Application,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    ScaledObject,
    Scaler,
    Service,
)
from resilience_operator.observed.strangers import Stranger


@dataclass(frozen=True, slots=True)
class Known:
    """Which kinds were read at all: a rule whose kind is not among them skips, it never passes."""

    pods: bool = True
    services: bool = True
    nodes: bool = True
    namespaces: bool = True
    volume_claims: bool = True
    scalers: bool = True
    budgets: bool = True
    daemon_sets: bool = True


EVERYTHING_KNOWN = Known()


@dataclass(frozen=True)
class DeploymentView:
    """A Deployment, its ReplicaSets and pods, the Services that select its pods, its claims, and all nodes.

    `scalers`: HPAs and ScaledObjects that target it. `autoscalers`: Deployments of CPAs that target it, and
    `config_maps` the parameters of those. `rollouts`: names of Rollouts of Argo Rollouts that scale it down in favour
    of their own pods, known from files alone. `scaled`: the Deployment that it scales itself, where it is a CPA, and
    `scaled_too` those that it scales beside that one.
    `addon`: the EKS add-on that keeps it, None where none does or AWS was not asked.
    `budgets`: PodDisruptionBudgets that select its pods, that we made for it, or that bear the name of ours.
    `strangers`: pods of other controllers that its selector selects as well.
    `protected_too`: other Deployments that such a budget selects, each with what scales it and nothing else; no more
    of them than it takes to say that some pod may go.
    `sharing`: names of other Deployments whose pods its selector selects as well. `twins`: names of other Deployments
    that one of its Services selects as well, and `dns` what the nodes do with queries, both asked for of cluster DNS
    alone.

    `state` is our annotation on it where it is believed, else the empty state; `distrust` says why it is not.
    `server` is the API server's (major, minor), (0, 0) where unknown (files: the newest is assumed).
    `application`: the Argo CD Application that it belongs to, where that is known.
    """

    deployment: Deployment
    now: datetime
    namespace: Namespace | None = None
    replica_sets: tuple[ReplicaSet, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    volume_claims: tuple[PersistentVolumeClaim, ...] = ()
    nodes: tuple[Node, ...] = ()
    scalers: tuple[HorizontalPodAutoscaler | ScaledObject, ...] = ()
    autoscalers: tuple[Deployment, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    rollouts: tuple[str, ...] = ()
    scaled: "DeploymentView | None" = None
    scaled_too: "tuple[DeploymentView, ...]" = ()
    addon: Addon | None = None
    budgets: tuple[PodDisruptionBudget, ...] = ()
    protected_too: "tuple[DeploymentView, ...]" = ()
    sharing: tuple[str, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    twins: tuple[str, ...] = ()
    dns: DNSNeighbours | None = None
    known: Known = EVERYTHING_KNOWN
    state: ObjectState = ObjectState()
    distrust: str = ""
    server: tuple[int, int] = (0, 0)
    application: Application | None = None

    @property
    def target(self) -> Deployment:
        """The object that rules demand something of."""
        return self.deployment

    @cached_property
    def ref(self) -> ObjectRef:
        """The target as a reference."""
        return self.deployment.ref

    @property
    def pods_replaced(self) -> int:
        """How many pods a change of the template restarts."""
        return self.deployment.replicas

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        return self.state.leaves.get(path)

    @property
    def has_scaler(self) -> bool:
        """True where something scales it, or will again once we let it: then no number is ours to give back."""
        return bool(self.scalers) or not all(stands_still(one) for one in self.autoscalers)

    @cached_property
    def newest_replica_set(self) -> ReplicaSet | None:
        """The ReplicaSet with the highest revision, or None where there is none."""
        return max(self.replica_sets, key=lambda replica_set: replica_set.revision, default=None)


@dataclass(frozen=True, slots=True)
class ScalerView:
    """An HPA, a ScaledObject, CPA's ConfigMap or an EKS add-on, and the Deployment that it scales, None where none is.

    Of CPA's several targets `scaled` is cluster DNS, else the first, and `scaled_too` are the others.
    `state`, `distrust`, `server` and `application` as in DeploymentView.
    """

    target: Scaler
    now: datetime
    scaled: DeploymentView | None = None
    scaled_too: tuple[DeploymentView, ...] = ()
    namespace: Namespace | None = None
    state: ObjectState = ObjectState()
    distrust: str = ""
    server: tuple[int, int] = (0, 0)
    application: Application | None = None

    @property
    def ref(self) -> ObjectRef:
        """The target as a reference."""
        return self.target.ref

    @property
    def replica_sets(self) -> tuple[ReplicaSet, ...]:
        """None: a scaler has no pods of its own."""
        return ()

    @property
    def newest_replica_set(self) -> None:
        """None: a scaler has no pods of its own."""

    @property
    def pods_replaced(self) -> int:
        """None: a change of a scaler restarts nothing."""
        return 0

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        return self.state.leaves.get(path)


View = DeploymentView | ScalerView
"""What a rule is asked about, and a decision made for."""


def dns_first(views: Iterable[DeploymentView]) -> tuple[DeploymentView, ...]:
    """The views of what one CPA scales, cluster DNS before all others: it is what its parameters are judged for."""
    return tuple(sorted(views, key=lambda one: not is_cluster_dns(one.deployment, one.services)))
