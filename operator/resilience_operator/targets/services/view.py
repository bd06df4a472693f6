"""A Service with what says whether it leads anywhere. Built by views over the cache and by cli from files.

It fits the engine's protocol of a view: nothing is ever written on a Service, so that most of it is empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from resilience_operator.cluster.argocd import Application
from resilience_operator.cluster.objects.workloads import Deployment, Meta, Namespace, Pod, Service
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Scaling
from resilience_operator.targets.workloads.endpoint_slices import EndpointSlice


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pods that a selector may be meant for: of which workload, and their labels."""

    what: str
    """As in a sentence: "Deployment web"."""
    labels: Mapping[str, str]
    """Without those that a controller gives to single pods."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A Service; what lies beside it is put together only where it leads nowhere."""

    service: Service
    now: datetime
    namespace: Namespace | None = None
    slices: tuple[EndpointSlice, ...] = ()
    """Its EndpointSlices, whoever keeps them."""
    first_seen: datetime | None = None
    """Since when every look found it leading nowhere; None where it leads somewhere, and in files."""
    pods: tuple[Pod, ...] = ()
    """Those that it selects."""
    deployments: tuple[Deployment, ...] = ()
    """Those whose template it selects."""
    idle: frozenset[str] = frozenset()
    """Names of those of the Deployments that KEDA scales to zero on purpose."""
    lost_nodes: frozenset[str] = frozenset()
    """Names of the nodes of these pods that are not Ready."""
    nearby: tuple[Labelled, ...] = ()
    """All pods of its Namespace that are labelled alike, where it selects none."""
    callers: tuple[str, ...] = ()
    """What points to it, in words."""
    workloads: tuple[str, ...] = ()
    """In files: the workloads of other kinds that it selects, in words."""
    doubtful: tuple[str, ...] = ()
    """In files: what else may make pods in its Namespace, nobody knows with which labels."""
    in_files: bool = False
    """True where only manifests are known: no pod, no EndpointSlice."""
    complete: bool = False
    """In files: they are all there is, so a Namespace of which no workload was read has none."""

    @property
    def changed_at(self) -> datetime | None:
        """When what its EndpointSlices say was written; None where one of them does not tell, or there is none."""
        times = [one.changed_at for one in self.slices]
        known = [at for at in times if at is not None]
        return max(known) if known and len(known) == len(times) else None

    @property
    def target(self) -> Service:
        """The object that the rule speaks of."""
        return self.service

    @property
    def ref(self) -> ObjectRef:
        """The target as a reference."""
        return self.service.ref

    @property
    def state(self) -> ObjectState:
        """Empty: nothing is written on a Service."""
        return _NOTHING

    @property
    def distrust(self) -> str:
        """Nothing: its annotations are never read as ours."""
        return ""

    @property
    def application(self) -> Application | None:
        """None: nothing of it is in dispute."""
        return None

    @property
    def workload(self) -> None:
        """None: it has no pods of its own."""

    @property
    def busy(self) -> str:
        """Nothing keeps it from being changed, and nothing changes it."""
        return ""

    @property
    def recorded_elsewhere(self) -> bool:
        """False: nothing of it is recorded."""
        return False

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """Its own metadata, and its Namespace's."""
        beside = (self.namespace.metadata,) if self.namespace is not None else ()
        return (self.service.metadata, *beside)

    @property
    def own_objects(self) -> tuple[ObjectRef, ...]:
        """None."""
        return ()

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """None: nothing restarts."""
        return NO_ROLLOUT

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """None: nothing of it is written."""
        return Scaling.NONE

    def held(self, _: str) -> Held | None:
        """None: nothing of it is held."""
        return None

    def kept(self, _: Path) -> bool:
        """False: nothing of it is given back."""
        return False

    def needed(self, _: Mapping[str, Held]) -> frozenset[str]:
        """None: nothing of it is given back."""
        return frozenset()


_NOTHING = ObjectState()
