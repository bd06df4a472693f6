"""The API server's guard over NodeStates and Nodes: an operator with every right writes its own, and one condition."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.support.guarding import ACCOUNT, MERGE, STRATEGIC, Api, accepted, client, denial, guarding
from tests.targets.nodes.cluster import TIME_WAIT, asked

pytestmark = pytest.mark.lab

STATES, NODES = "resilience-operator-nodestates", "resilience-operator-node-condition"
LABELS = {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": "p-1"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    with guarding() as lab:
        lab.wait_established("nodestates.resilience.dev")
        lab.add_node("node-1")
        yield lab


@pytest.fixture(scope="module")
def states(guarded: Lab) -> Api:
    """The operator's requests for NodeStates."""
    api = Api(client(guarded, service_account=ACCOUNT), "", "resilience.dev/v1alpha1", "nodestates")

    def refused() -> bool:
        try:
            return denial(api.create(body(labels={})), STATES).startswith("a NodeState")
        except ValueError:  # Not served yet.
            return False

    guarded.wait(refused, what="the guard")
    return api


@pytest.fixture(scope="module")
def nodes(guarded: Lab, states: Api) -> Api:
    """The operator's requests for Nodes."""
    return states.of("v1", "nodes")


def body(name: str = "node-1", **meta: Any) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "n-1"}
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "NodeState",
        "metadata": {"name": name, "labels": LABELS, "ownerReferences": [owner], **meta},
        "spec": asked((TIME_WAIT, 60)),
    }


def test_a_nodestate_is_made_changed_and_removed_by_who_made_it(guarded: Lab, states: Api) -> None:
    assert accepted(states.create(body()))
    assert denial(states.create(body("other")), STATES) == "a NodeState belongs to the Node of its name"
    made = body()
    guarded.api.create("/apis/resilience.dev/v1alpha1/nodestates", made)
    assert accepted(states.patch({"spec": asked((TIME_WAIT, 50))}, MERGE, name="node-1"))
    assert accepted(states.delete("node-1"))
    assert denial(states.patch({"metadata": {"annotations": {"a": "b"}}}, MERGE, name="node-1"), STATES) == (
        "of a NodeState, the operator may change its policy and its spec alone"
    )
    assert denial(states.subresource("status", {"status": {"agentVersion": "x"}}, "node-1"), STATES) == (
        "the status of a NodeState is its agent's"
    )
    guarded.api.create("/apis/resilience.dev/v1alpha1/nodestates", body("by-hand", labels={}))
    assert denial(states.delete("by-hand"), STATES) == (
        "the operator may change and delete NodeStates alone that it made"
    )


def conditions(name: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": name, "status": "True", "reason": "Filling"}]}}


def test_of_a_node_it_writes_one_condition(nodes: Api) -> None:
    def status(changed: dict[str, Any]) -> Any:
        return nodes._patch("nodes/node-1/status", changed, STRATEGIC, {"dryRun": "All"})

    only = "of a Node's status, the operator may write the condition ConntrackPressure alone"
    assert accepted(status(conditions("ConntrackPressure")))
    assert denial(status(conditions("Ready")), NODES) == only
    assert denial(status({"status": {"capacity": {"cpu": "400"}}}), NODES) == only
    label = {"metadata": {"labels": {"a": "b"}}}
    assert denial(nodes.patch(label, STRATEGIC, name="node-1"), NODES) == (
        "of a Node, the operator may write a condition of its status alone"
    )
    assert denial(nodes.delete("node-1"), NODES) == (
        "of a Node, the operator may write a condition of its status alone"
    )
