"""Clusters of nodes with agents, in the API's own words; what is not said is ordinary."""

from datetime import datetime, timedelta
from typing import Any

from resilience_operator.cli.cluster import Cluster
from resilience_operator.engine.change import Change, Decision
from tests.support.clusters import cluster, policy
from tests.support.views import NOW

Body = dict[str, Any]
PREFIX = "net.netfilter.nf_conntrack_"
MAX, TIME_WAIT = PREFIX + "max", PREFIX + "tcp_timeout_time_wait"
TABLE: Body = {"pressure": "Normal", "entries": 1000, "limit": 262144}


def at(minutes: float) -> str:
    """So many minutes after now, as the API writes it."""
    return stamp(NOW + timedelta(minutes=minutes))


def stamp(when: datetime) -> str:
    """A time as the API writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str, cores: str = "4", *, ready: bool = True, since: float = -600, **meta: Any) -> Body:
    """A Linux node; `since`: minutes from now at which it became Ready, or ceased to be."""
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": at(since)}
    info = {"kubeletVersion": "v1.36.1"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"n-{name}", "resourceVersion": "7", **meta},
        "status": {"conditions": [condition], "capacity": {"cpu": cores}, "nodeInfo": info},
    }


def asked(*values: tuple[str, int], release: str = "Retain", **more: Any) -> Body:
    """The spec of a NodeState; a higher nf_conntrack_max is left as it is."""
    sysctls = [
        {"name": name, "value": value, "direction": "RaiseOnly" if name == MAX else "Set"}
        for name, value in values
    ]
    return {"sysctls": sysctls, "onRelease": release, **more}


def condition(
    name: str, status: str = "True", reason: str = "AsExpected", message: str = "", since: float = -60
) -> Body:
    """A condition of an agent's."""
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(since),
    }


def state(
    name: str,
    spec: Body,
    *,
    observed: dict[str, int] | None = None,
    reported: float | None = -1,
    written: float = -60,
    generation: int = 1,
    carried: int = 1,
    states: dict[str, str] | None = None,
    conditions: tuple[Body, ...] = (condition("Ready", "True", "Working"),),
    label: str = "uid-nodes",
    **status: Any,
) -> Body:
    """A NodeState that we wrote `written` minutes from now and whose agent reported `reported` minutes from now."""
    values = {one["name"]: one["value"] for one in spec.get("sysctls", ())} | (observed or {})
    sysctls = [
        {"name": key, "observed": value, "state": (states or {}).get(key, "Held")}
        for key, value in values.items()
    ]
    told = {
        "observedGeneration": carried,
        "reportedAt": at(reported or 0),
        "sysctls": sysctls,
        "table": TABLE,
        "conditions": list(conditions),
        **status,
    }
    ours = {"manager": "resilience-operator", "operation": "Update", "time": at(written)}
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "NodeState",
        "metadata": {
            "name": name,
            "uid": f"s-{name}",
            "resourceVersion": "8",
            "generation": generation,
            "labels": {"resilience.dev/policy": label} if label else {},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": f"n-{name}"}],
            "managedFields": [ours],
        },
        "spec": spec,
        "status": told if reported is not None else {},
    }


def nodes_policy(name: str = "nodes", *, section: Body | None = None, **spec: Any) -> Body:
    """A policy that asks for time_wait 60, and enforces it."""
    ordinary = {"sysctls": {"values": [{"name": TIME_WAIT, "value": "60"}]}}
    return policy(name, conntrack=ordinary if section is None else section, **spec)


def read(*objects: Body, policies: tuple[Body, ...] = ()) -> Cluster:
    """The cluster of these objects, and the policy of `nodes_policy` where none is given."""
    return cluster(policies or (nodes_policy(),), objects)


def decided(found: Cluster) -> dict[str, Decision]:
    """The decision about each node, by its name."""
    return {one.object.name: one for one in found.decisions() if one.object.kind == "Node"}


def told(found: Cluster, name: str = "node-1") -> list[tuple[str, str, str, str]]:
    """(rule, reason, state, message) of each finding on a node."""
    return [
        (one.finding.rule, one.finding.reason, str(one.state), one.finding.message)
        for one in decided(found)[name].judged
    ]


def changes(found: Cluster) -> dict[str, Change]:
    """Node -> the change of its NodeState."""
    every = {name: one.changes for name, one in decided(found).items()}
    return {
        name: change
        for name, found_ in every.items()
        for change in found_
        if change.object.kind == "NodeState"
    }


def going(found: Cluster) -> list[str]:
    """The nodes whose NodeState may be changed now."""
    return sorted(name for name, change in changes(found).items() if not change.waits)
