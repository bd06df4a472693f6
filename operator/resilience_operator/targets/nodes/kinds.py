"""NodeState as it is kept, and what the target watches. The contract of its fields is crds/nodestates.yaml.

What an agent reports was written on a node that may be taken over: it is decoded by itself, and its texts are others'.
"""

from datetime import datetime

import msgspec

from resilience_operator.cluster.interning import share, share_text
from resilience_operator.cluster.keep import meta
from resilience_operator.cluster.objects import meta as observed
from resilience_operator.cluster.objects.meta import Condition, Observed
from resilience_operator.cluster.wire import Meta, Wire
from resilience_operator.core.kinds import CONFIG_MAP, NODE, Kind
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import FIELD_MANAGER
from resilience_operator.core.target import Watched
from resilience_operator.targets.workloads.kinds import WATCHED as WORKLOADS

POLICY_LABEL = "resilience.dev/policy"
"""Of a NodeState: bears the uid of the policy for which we made it."""
NODE_STATE = Kind("resilience.dev", "v1alpha1", "nodestates", "NodeState", namespaced=False, optional=True)


class WantedSysctl(Observed, frozen=True):
    """A sysctl that a node is to have; `direction`: RaiseOnly or Set."""

    name: str = ""
    value: int = 0
    direction: str = "RaiseOnly"


class Levels(Observed, frozen=True):
    """When the table counts as filling, in percent of its limit."""

    warning_percent: int = 75
    critical_percent: int = 90


class Service(Observed, frozen=True):
    """A protected Service by name."""

    namespace: str = ""
    name: str = ""


class Purge(Observed, frozen=True):
    """Which Services' UDP entries are deleted when they lead to no endpoint, and how many in a second."""

    services: tuple[Service, ...] = ()
    max_per_second: int = 5000
    on_zero_endpoints: str = "Hold"


class NodeStateSpec(Observed, frozen=True):
    """What is asked of a node."""

    sysctls: tuple[WantedSysctl, ...] = ()
    on_release: str = "Retain"
    pressure: Levels | None = None
    stale_entries: Purge | None = None

    @property
    def demands(self) -> bool:
        """True where anything is asked at all."""
        return self != NodeStateSpec(on_release=self.on_release)


class SysctlStatus(Observed, frozen=True):
    """How it stands with one sysctl on the node."""

    name: str = ""
    state: str = ""
    observed: int | None = None
    before: int | None = None
    set: int | None = None
    reason: str = ""
    message: str = ""
    foreign_rewrites: int = 0


class Table(Observed, frozen=True):
    """The node's table; counters since the agent started."""

    pressure: str = ""
    entries: int | None = None
    limit: int | None = None
    entries_per_minute: int = 0
    minutes_to_full: int | None = None
    drops: int = 0


class PurgeStatus(Observed, frozen=True):
    """What was done for one protected Service since the agent started."""

    namespace: str = ""
    name: str = ""
    deleted: int = 0
    left: int = 0
    last_deleted_at: datetime | None = None
    held: str = ""
    message: str = ""


class NodeStateStatus(Observed, frozen=True):
    """What the agent of the node reports."""

    observed_generation: int = 0
    agent_version: str = ""
    reported_at: datetime | None = None
    sysctls: tuple[SysctlStatus, ...] = ()
    table: Table | None = None
    stale_entries: tuple[PurgeStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def condition(self, name: str) -> Condition | None:
        """The condition of that type, None where there is none."""
        return next((one for one in self.conditions if one.type == name), None)

    def is_true(self, name: str) -> bool:
        """True where the condition of that type is."""
        found = self.condition(name)
        return found is not None and found.status == "True"


class NodeState(Observed, frozen=True):
    """resilience.dev/v1alpha1 NodeState; `written_at`: when this operator last wrote its spec, by managedFields."""

    metadata: observed.Meta
    spec: NodeStateSpec = NodeStateSpec()
    status: NodeStateStatus = NodeStateStatus()
    written_at: datetime | None = None

    @property
    def policy(self) -> str:
        """Uid of the policy for which we made it; "" where somebody else did."""
        return self.metadata.labels.get(POLICY_LABEL, "")

    @property
    def ref(self) -> ObjectRef:
        """It as a reference."""
        return ref_of(self.metadata.name, self.metadata.uid)


def ref_of(node: str, uid: str = "") -> ObjectRef:
    """The NodeState of the node of that name."""
    return ObjectRef(NODE_STATE.api_version, NODE_STATE.kind, "", node, uid)


class _Entry(Wire):
    manager: str = ""
    subresource: str = ""
    time: datetime | None = None


class _Meta(Meta):
    managed_fields: tuple[_Entry, ...] = ()


class WireNodeState(Wire):
    """A NodeState on the wire."""

    metadata: _Meta
    spec: NodeStateSpec = NodeStateSpec()
    status: NodeStateStatus = NodeStateStatus()


def node_state(wire: WireNodeState) -> NodeState:
    """A NodeState; of its managedFields, when we last wrote its spec."""
    ours = [
        one.time
        for one in wire.metadata.managed_fields
        if one.manager == FIELD_MANAGER and not one.subresource
    ]
    written = max((at for at in ours if at is not None), default=wire.metadata.creation_timestamp)
    status = msgspec.structs.replace(wire.status, agent_version=share_text(wire.status.agent_version))
    return NodeState(meta(wire.metadata), share(wire.spec), status, written)


WATCHED: tuple[Watched, ...] = (
    *(one for one in WORKLOADS if one.kind in (NODE, CONFIG_MAP)),
    Watched(NODE_STATE, WireNodeState, node_state),
)
"""Nodes and the ConfigMap of kube-proxy, decoded as the workloads have them, and NodeStates."""
