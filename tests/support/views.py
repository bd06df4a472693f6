"""Views for tests, built from dictionaries in the API's own words; what is not said is ordinary."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from resilience_operator.cluster.leaves import observed_value
from resilience_operator.cluster.objects.workloads import (
    Deployment,
    Node,
    PersistentVolumeClaim,
    Pod,
    ReplicaSet,
    Service,
)
from resilience_operator.core.findings import Verdict
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.workloads.view import DeploymentView

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LABELS = {"app": "web"}
HASH = "5f4d"
Body = Mapping[str, Any]


def deployment(
    *, meta: Body | None = None, pod: Body | None = None, replicas: int = 3, **spec: Any
) -> Deployment:
    """shop/web: 3 replicas of one container `web` that declares port 8080, all of them rolled out."""
    ready = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    body = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "d-1", "generation": 2, **(meta or {})},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "containers": [{"name": "web", "image": "shop/web:1", "ports": [{"containerPort": 8080}]}]
                }
                | dict(pod or {}),
            },
            **spec,
        },
        "status": {"observedGeneration": 2, **ready},
    }
    return msgspec.convert(body, Deployment)


def view(subject: Deployment, **known: Any) -> DeploymentView:
    """The Deployment among the given pods, nodes, services, claims; lists become tuples."""
    lists: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in known.items()
    }
    return DeploymentView(subject, NOW, **lists)


def node(name: str, *, zone: str = "", ready: bool = True, cordoned: bool = False, **spec: Any) -> Node:
    """A Node with its hostname label, and a zone where one is given."""
    labels = {"kubernetes.io/hostname": name} | ({"topology.kubernetes.io/zone": zone} if zone else {})
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": cordoned, **spec},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }
    return msgspec.convert(body, Node)


def pods(*nodes: str, template_hash: str = HASH, ready: bool = True) -> tuple[Pod, ...]:
    """One pod of shop/web on each named node."""
    bodies = [
        {
            "metadata": {
                "name": f"web-{number}",
                "namespace": "shop",
                "labels": {**LABELS, "pod-template-hash": template_hash},
            },
            "spec": {"nodeName": name},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
        }
        for number, name in enumerate(nodes)
    ]
    return tuple(msgspec.convert(body, Pod) for body in bodies)


def replica_set(template_hash: str = HASH, revision: int = 1) -> ReplicaSet:
    """A ReplicaSet of shop/web."""
    meta = {
        "name": f"web-{template_hash}",
        "namespace": "shop",
        "labels": {"pod-template-hash": template_hash},
        "annotations": {"deployment.kubernetes.io/revision": str(revision)},
    }
    return msgspec.convert({"metadata": meta, "spec": {"replicas": 3}}, ReplicaSet)


def service(*ports: Body, name: str = "web", namespace: str = "shop", **spec: Any) -> Service:
    """A Service that selects shop/web, with the given ports (80 to 8080 where none is given)."""
    body = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": LABELS, "ports": list(ports) or [{"port": 80, "targetPort": 8080}], **spec},
    }
    return msgspec.convert(body, Service)


def claim(name: str, modes: Iterable[str]) -> PersistentVolumeClaim:
    """A claim in shop."""
    body = {"metadata": {"name": name, "namespace": "shop"}, "spec": {"accessModes": list(modes)}}
    return msgspec.convert(body, PersistentVolumeClaim)


def applied(subject: DeploymentView, verdict: Verdict) -> DeploymentView:
    """The view after every demand that differs from what is there was written and is held by us."""
    body = msgspec.to_builtins(subject.deployment)
    leaves = dict(subject.state.leaves)
    for demand in verdict.demands:
        was = observed_value(subject.deployment, demand.path)
        if was == demand.value:
            continue
        earlier = leaves.get(str(demand.path))
        leaves[str(demand.path)] = Held(demand.rule, demand.value, earlier.was if earlier else was)
        _write(body["spec"]["template"]["spec"], demand.path.steps[3:], demand.value)
    written = msgspec.convert(body, Deployment)
    return replace(subject, deployment=written, state=ObjectState(uid="d-1", leaves=leaves))


def held(path: str, value: Any, was: Any = ABSENT) -> ObjectState:
    """State that holds one leaf."""
    return ObjectState(uid="d-1", leaves={path: Held("rule", value, was)})


def _write(pod: dict[str, Any], steps: tuple[Any, ...], value: Any) -> None:
    match [step.field for step in steps]:
        case ["terminationGracePeriodSeconds"]:
            pod["terminationGracePeriodSeconds"] = value
        case ["dnsConfig", "options"]:
            pod["dnsConfig"] = {"options": value}
        case ["topologySpreadConstraints"]:
            keys = dict(steps[0].keys)
            kept = [
                entry
                for entry in pod["topologySpreadConstraints"]
                if any(entry[key] != wanted for key, wanted in keys.items())
            ]
            pod["topologySpreadConstraints"] = [*kept, value]
        case ["containers", "lifecycle", "preStop"]:
            name = dict(steps[0].keys)["name"]
            for container in pod["containers"]:
                if container["name"] == name:
                    container["lifecycle"] = {"preStop": value}
        case fields:
            raise AssertionError(f"not a published leaf: {fields}")
