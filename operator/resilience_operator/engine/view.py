"""What the engine knows of a view: one object of any target with what may be looked at beside it, and `now`.

Every target's view fits this protocol; what is about pods is behind `workload`, never behind a type test.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from resilience_operator.cluster.argocd import Application
from resilience_operator.cluster.objects.meta import Claim, Meta
from resilience_operator.cluster.objects.neighbours import Namespace
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.rollout import OurRollout, Scaling


class Observed(Protocol):
    """An object that rules demand something of, as it was observed."""

    @property
    def metadata(self) -> Meta:
        """Its metadata."""
        ...

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Who owns which of our leaves."""
        ...

    @property
    def chosen(self) -> frozenset[str]:
        """Which of our leaves stand in last-applied-configuration, also as `path=value`."""
        ...


class Workload(Protocol):
    """What the engine asks of an object whose change may restart pods."""

    @property
    def replica_sets(self) -> tuple[Any, ...]:
        """Its ReplicaSets."""
        ...

    @property
    def newest_replica_set(self) -> Any | None:
        """The ReplicaSet with the highest revision, or None."""
        ...

    @property
    def pods_replaced(self) -> int:
        """How many pods a change of the template restarts."""
        ...

    @property
    def progress(self) -> str:
        """How far its rollout is: "2 of 3 replicas updated"."""
        ...

    @property
    def healthy(self) -> bool:
        """True where all replicas are available, or a rollout is on its way that has not failed yet."""
        ...

    @property
    def unhealthy_because(self) -> str:
        """Why no rollout may start now, as a sentence's end; "" where one may."""
        ...


class View(Protocol):
    """One object with all that a decision about it may look at."""

    @property
    def target(self) -> Any:
        """The object that rules demand something of: it fits `Observed`."""
        ...

    @property
    def ref(self) -> ObjectRef:
        """The target as a reference."""
        ...

    @property
    def now(self) -> datetime:
        """The time of the decision."""
        ...

    @property
    def namespace(self) -> Namespace | None:
        """Its Namespace; None where it was not observed, or there is none."""
        ...

    @property
    def state(self) -> ObjectState:
        """Our annotation on it where it is believed, else the empty state."""
        ...

    @property
    def distrust(self) -> str:
        """Why the annotation is not believed, "" where it is."""
        ...

    @property
    def application(self) -> Application | None:
        """The Argo CD Application that it belongs to, where that is known."""
        ...

    @property
    def workload(self) -> Workload | None:
        """What is about pods; None where a change of the object restarts none."""
        ...

    @property
    def busy(self) -> str:
        """Why nothing of it may be changed now, also what restarts nothing; "" where it may be."""
        ...

    @property
    def recorded_elsewhere(self) -> bool:
        """True where our state does not lie on the object itself: it would stay there when the object forgets it."""
        ...

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """The metadata of all objects whose opt-outs count, the nearest first."""
        ...

    @property
    def own_objects(self) -> tuple[ObjectRef, ...]:
        """The objects of our own that stand beside it."""
        ...

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """How the rollout stands, or the change of a number of pods, that our last write caused."""
        ...

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """Whether pods come or go when these leaves get these values."""
        ...

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        ...

    def kept(self, path: Path) -> bool:
        """True where our value is somebody's own by now, whatever managedFields say: it is not given back."""
        ...

    def needed(self, released: Mapping[str, Held]) -> frozenset[str]:
        """Those of the leaves to be given back that what stays cannot do without."""
        ...


def newest_replica_set(view: View) -> Any | None:
    """The newest ReplicaSet of an object that has pods; None of any other."""
    return view.workload.newest_replica_set if view.workload is not None else None
