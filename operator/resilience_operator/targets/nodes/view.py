"""One node with what a rule may look at beside it. Built by nodes/events over the cache."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resilience_operator.cluster.argocd import Application
from resilience_operator.cluster.objects.meta import Claim, Meta
from resilience_operator.cluster.objects.workloads import Namespace, Node
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Scaling
from resilience_operator.targets.nodes.fleet import Fleet
from resilience_operator.targets.nodes.kinds import NodeState
from resilience_operator.targets.nodes.kube_proxy import Configuration
from resilience_operator.targets.nodes.states import cores_of, given_back, silence


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A Node as the engine knows an object: nothing of it is ever ours but one condition of its status."""

    node: Node

    @property
    def metadata(self) -> Meta:
        """Its metadata."""
        return self.node.metadata

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Nobody's: no leaf of a Node is published."""
        return ()

    @property
    def chosen(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def spec(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """What a demand follows from: its cores and labels."""
        return cores_of(self.node), tuple(sorted(self.node.metadata.labels.items()))


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node, its NodeState, all nodes, and what kube-proxy is told."""

    node: Node
    now: datetime
    nodestate: NodeState | None = None
    """None where there is none of this node, or it belongs to an earlier node of the same name."""
    fleet: Fleet = field(default_factory=lambda: Fleet((), {}))
    kube_proxy: Configuration | None = None
    state: ObjectState = ObjectState()
    distrust: str = ""
    namespace: Namespace | None = None
    application: Application | None = None
    workload: None = None
    scaled: None = None
    scaled_too: tuple[()] = ()
    recorded_elsewhere: bool = False

    @property
    def target(self) -> ObservedNode:
        """The node."""
        return ObservedNode(self.node)

    @property
    def ref(self) -> ObjectRef:
        """The node as a reference."""
        meta = self.node.metadata
        return ObjectRef("v1", "Node", "", meta.name, meta.uid)

    @property
    def silence(self) -> tuple[str, str]:
        """(reason, sentence) why nothing is known of the node now; "" twice where its agent reports."""
        return silence(self.nodestate, self.now)

    @property
    def busy(self) -> str:
        """Why its NodeState must not go yet: the agent still gives back what was there before us."""
        found = self.nodestate
        if found is None or found.spec.demands or found.spec.on_release != "Revert":
            return ""
        if given_back(found, self.now):
            return ""
        return "waits until its agent has given the values back that were there before"

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """Its own metadata: it lies in no Namespace."""
        return (self.node.metadata,)

    @property
    def own_objects(self) -> tuple[ObjectRef, ...]:
        """Its NodeState."""
        return (self.nodestate.ref,) if self.nodestate is not None else ()

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """None: nothing restarts."""
        return NO_ROLLOUT

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """No pods."""
        return Scaling.NONE

    def held(self, path: str) -> Held | None:
        """Nothing of a Node is held."""
        return None

    def kept(self, path: Path) -> bool:
        """Nothing is."""
        return False

    def needed(self, released: Mapping[str, Held]) -> frozenset[str]:
        """None."""
        return frozenset()
