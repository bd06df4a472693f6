"""What a NodeState says of its node at a moment: whether it is to be believed, and whether all is as asked."""

from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Node
from resilience_operator.core.numbers import whole_number
from resilience_operator.targets.nodes.kinds import NodeState
from resilience_operator.targets.nodes.texts import AGENT_SILENT, NOT_REPORTED

OLD = timedelta(minutes=10)
"""A report older than that says nothing of now: an agent writes every five minutes."""

GIVING_BACK = timedelta(minutes=10)
"""So long an agent is waited for that is to put the values back that were there before us."""

_AS_ASKED = frozenset({"Satisfied", "Held"})
_AGENTLESS = frozenset(
    {
        ("eks.amazonaws.com/compute-type", "fargate"),
        ("type", "virtual-kubelet"),
        ("kubernetes.io/os", "windows"),
    }
)


def cores_of(node: Node) -> int:
    """How many cores the node has; 0 where it does not say."""
    text = node.status.capacity.get("cpu", "")
    if text.endswith("m"):
        return (whole_number(text[:-1]) or 0) // 1000
    return whole_number(text) or 0


def takes_agents(node: Node) -> bool:
    """True of a node on which a pod of a DaemonSet can keep the kernel's tables: Linux, and a machine."""
    labels = node.metadata.labels
    linux = labels.get("kubernetes.io/os", "linux") == "linux"
    return linux and not any(labels.get(key) == value for key, value in _AGENTLESS)


def belongs(state: NodeState, node: Node) -> bool:
    """True where it is this very node's, and not an earlier one's of the same name."""
    owners = [one.uid for one in state.metadata.owner_references if one.kind == "Node"]
    return not owners or node.metadata.uid in owners


def silence(state: NodeState | None, now: datetime) -> tuple[str, str]:
    """(reason, sentence) why nothing is known of the node now; "" twice where its agent reports."""
    reported = state.status.reported_at if state is not None else None
    if state is None:
        return (
            NOT_REPORTED,
            "nothing is known of this node: there is no NodeState for it, which Enforce makes",
        )
    if reported is None:
        return NOT_REPORTED, "its NodeState has no report: no agent runs on this node (manifests/agent)"
    if now - reported > OLD:
        minutes = int((now - reported).total_seconds() // 60)
        return (
            AGENT_SILENT,
            f"its agent last reported {minutes} minutes ago: how it stands there is not known",
        )
    return "", ""


def healthy(state: NodeState, node: Node, now: datetime) -> bool:
    """True where the agent has said that all of this very spec is carried out, and the node is Ready."""
    status = state.status
    if not node.ready or status.observed_generation != state.metadata.generation or silence(state, now)[0]:
        return False
    as_asked = {one.name for one in status.sysctls if one.state in _AS_ASKED}
    return status.is_true("Ready") and all(one.name in as_asked for one in state.spec.sysctls)


def given_back(state: NodeState, now: datetime) -> bool:
    """True of a NodeState that was emptied, where its agent has put the values back, or is waited for no longer."""
    status = state.status
    done = status.observed_generation == state.metadata.generation and not status.sysctls
    return done or status.reported_at is None or now >= given_up_at(state, now)


def given_up_at(state: NodeState, now: datetime) -> datetime:
    """When its agent is waited for no longer, once it was emptied."""
    return now if state.written_at is None else state.written_at + GIVING_BACK


def lost_at(state: NodeState, now: datetime) -> datetime:
    """When its agent counts as gone for good, so that nobody is left to put values back."""
    reported = state.status.reported_at
    return now if reported is None else reported + OLD + GIVING_BACK


def worse_since(state: NodeState, node: Node, window: timedelta) -> str:
    """What became of the node within `window` of our last write, as a sentence; "" where nothing did."""
    written = state.written_at
    ready, pressure = node.condition("Ready"), state.status.condition("ConntrackPressure")
    if written is None:
        return ""

    def since(at: datetime | None) -> bool:
        return at is not None and written < at <= written + window

    if not node.ready and ready is not None and since(ready.last_transition_time):
        return f"{node.metadata.name} is NotReady since its change"
    lost = pressure is not None and pressure.status == "True" and pressure.reason == "EntriesLost"
    if lost and pressure is not None and since(pressure.last_transition_time):
        return f"{node.metadata.name} loses packets since its change"
    return ""
