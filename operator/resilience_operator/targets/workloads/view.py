"""One object with what a rule may look at beside it. Built by the store (cluster) and by cli (files).

There are two views: of a Deployment, and of an object that scales one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from resilience_operator.cluster.leaves import API_DEFAULTS, GRACE, REPLICAS, pre_stop_path
from resilience_operator.cluster.objects.workloads import (
    Addon,
    Application,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    Meta,
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
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.rollout import OurRollout, Scaling
from resilience_operator.targets.coredns.cluster_dns import DNSNeighbours, is_cluster_dns
from resilience_operator.targets.workloads import budgets, rollouts
from resilience_operator.targets.workloads.autoscalers import stands_still
from resilience_operator.targets.workloads.foreign_pods import Stranger
from resilience_operator.targets.workloads.replica_changes import our_scaling, scaling_of


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
    `config_maps` the parameters of those; `pretenders`: keys of Deployments that say so and are not believed.
    `rollouts`: names of Rollouts of Argo Rollouts that scale it down in favour of their own pods, known from files
    alone. `scaled`: the Deployment that it scales itself, where it is a CPA, and `scaled_too` those that it scales
    beside that one.
    `addon`: the EKS add-on that keeps it, None where none does or AWS was not asked.
    `budgets`: PodDisruptionBudgets that select its pods, that we made for it, or that bear the name of ours.
    `strangers`: pods of other controllers that its selector selects as well.
    `sharing`: names of other Deployments whose pods its selector selects as well. `twins`: names of other Deployments
    that one of its Services selects as well, and `dns` what the nodes do with queries, both asked for of cluster DNS
    alone.

    `state` is our annotation on it where it is believed, else the empty state; `distrust` says why it is not.
    `server` is the API server's (major, minor), (0, 0) where unknown (files: the newest is assumed).
    `application`: the Argo CD Application that it belongs to, where that is known.
    `neighbours`: (name, labels of the pods) of other Deployments that one of its own constraints or preferred terms
    counts with it; empty where it has none over more than its own selector.
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
    pretenders: tuple[Key, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    rollouts: tuple[str, ...] = ()
    scaled: "DeploymentView | None" = None
    scaled_too: "tuple[DeploymentView, ...]" = ()
    addon: Addon | None = None
    budgets: tuple[PodDisruptionBudget, ...] = ()
    sharing: tuple[str, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    twins: tuple[str, ...] = ()
    neighbours: tuple[tuple[str, dict[str, str]], ...] = ()
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
    def workload(self) -> "DeploymentView":
        """Itself: it has pods."""
        return self

    @property
    def progress(self) -> str:
        """How far its rollout is."""
        return f"{self.deployment.status.updated_replicas} of {self.deployment.replicas} replicas updated"

    @property
    def healthy(self) -> bool:
        """True where all replicas are available, or a rollout is on its way that has not failed yet."""
        return rollouts.healthy(self)

    @property
    def unhealthy_because(self) -> str:
        """Why no rollout may start now, as a sentence's end; "" where one may."""
        return rollouts.unhealthy_because(self)

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """How the rollout stands, or the change of the number of pods, that our last write caused."""
        found = rollouts.our_rollout(self, soak_seconds, deadline_seconds)
        return found if found.running else our_scaling(self, soak_seconds, deadline_seconds)

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """Whether pods come or go when these leaves get these values."""
        return scaling_of(self, written)

    @property
    def busy(self) -> str:
        """Nothing but the queue keeps it from being changed."""
        return ""

    @property
    def recorded_elsewhere(self) -> bool:
        """Our state lies on the Deployment itself."""
        return False

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """Its own metadata, that of what it scales, and its Namespace's."""
        return _opt_out_objects(self.deployment.metadata, self.scaled, self.namespace)

    @cached_property
    def own_objects(self) -> tuple[ObjectRef, ...]:
        """The budgets that we made for it."""
        return tuple(one.ref for one in self.budgets if budgets.is_ours(one, self.deployment))

    def kept(self, path: Path) -> bool:
        """True of a number of replicas where something scales it now: that decides from here on.

        The number from before could be a low one that lasts until the scaler has looked.
        """
        return path == REPLICAS and self.has_scaler

    def needed(self, released: Mapping[str, Held]) -> frozenset[str]:
        """Our grace period, where a sleep that stays is longer than the one before: the API server refuses that."""
        return frozenset({str(GRACE)}) if _time_is_needed(self.deployment, released) else frozenset()

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
    def workload(self) -> None:
        """None: a change of a scaler restarts nothing."""

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """How the change of the number of pods stands that our last write caused."""
        return our_scaling(self, soak_seconds, deadline_seconds)

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """Whether pods come or go when these leaves get these values."""
        return scaling_of(self, written)

    @property
    def busy(self) -> str:
        """Why an EKS add-on takes no change now."""
        return self.target.busy if isinstance(self.target, Addon) else ""

    @property
    def recorded_elsewhere(self) -> bool:
        """True of an EKS add-on: its state lies on the Deployment that it keeps."""
        return isinstance(self.target, Addon)

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """Its own metadata, that of what it scales, and its Namespace's."""
        return _opt_out_objects(self.target.metadata, self.scaled, self.namespace)

    @property
    def own_objects(self) -> tuple[ObjectRef, ...]:
        """None: nothing of ours stands beside a scaler."""
        return ()

    def kept(self, _: Path) -> bool:
        """False: nothing scales a scaler."""
        return False

    def needed(self, _: Mapping[str, Held]) -> frozenset[str]:
        """None: its leaves do not need each other."""
        return frozenset()

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        return self.state.leaves.get(path)


View = DeploymentView | ScalerView
"""What a rule is asked about, and a decision made for."""


def dns_first(views: Iterable[DeploymentView]) -> tuple[DeploymentView, ...]:
    """The views of what one CPA scales, cluster DNS before all others: it is what its parameters are judged for."""
    return tuple(sorted(views, key=lambda one: not is_cluster_dns(one.deployment, one.services)))


def _opt_out_objects(
    own: Meta, scaled: DeploymentView | None, namespace: Namespace | None
) -> tuple[Meta, ...]:
    beside = (scaled.deployment.metadata,) if scaled is not None else ()
    return (own, *beside, *((namespace.metadata,) if namespace is not None else ()))


def _time_is_needed(deployment: Deployment, released: Mapping[str, Held]) -> bool:
    """True where our grace period cannot be given back: a sleep that stays is longer than the one before.

    The API server refuses a pod whose native sleep is longer than its grace period.
    """
    grace = released.get(str(GRACE))
    if grace is None:
        return False
    before = API_DEFAULTS[GRACE] if grace.was is ABSENT else grace.was
    hooks = [
        given.was
        if (given := released.get(str(pre_stop_path(one.name)))) is not None
        else one.lifecycle.pre_stop
        for one in deployment.spec.template.spec.containers
        if one.lifecycle is not None
    ]
    sleeps = [hook["sleep"]["seconds"] for hook in hooks if isinstance(hook, Mapping) and "sleep" in hook]
    return bool(max(sleeps, default=0) > before)
