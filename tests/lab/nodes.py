"""What the lab does to its simulated nodes; mixed into `cluster.Lab`.

A node has the labels a real one has and waits for kwok, which plays its kubelet.
"""

from __future__ import annotations

import contextlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab.api import Api
from tests.lab.pods import PREFIX
from tests.lab.waiting import wait

_PATH = "/api/v1/nodes"
_WISH = f"{PREFIX}/node-ready"


class Nodes(ABC):
    """Nodes added, removed, cordoned, made NotReady."""

    @property
    @abstractmethod
    def api(self) -> Api:
        """The lab's own client."""

    def add_node(
        self,
        name: str,
        zone: str = "zone-a",
        cpu: str = "4",
        memory: str = "8Gi",
        pods: int = 110,
        ready: bool = True,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        wait_ready: bool = True,
    ) -> str:
        """Add a node and wait until it is as asked."""
        resources = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": "100Gi"}
        metadata = {
            "name": name,
            "labels": _labels(name, zone) | dict(labels or {}),
            "annotations": {"kwok.x-k8s.io/node": "fake", _WISH: str(ready).lower()}
            | dict(annotations or {}),
        }
        spec: dict[str, Any] = {"taints": list(taints)} if taints else {}
        addresses = [{"type": "InternalIP", "address": _address(name)}, {"type": "Hostname", "address": name}]
        status = {"capacity": resources, "allocatable": resources, "addresses": addresses}
        body = {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}
        self.api.create(_PATH, body)
        if wait_ready:
            self.wait_node(name, ready)
        return name

    def remove_node(self, name: str, with_pods: bool = False) -> None:
        """Delete a node; the control plane deletes its pods within a minute, or they go with it."""
        self.api.delete(f"{_PATH}/{name}")
        for pod in self._pods_of(name) if with_pods else ():
            self.api.delete(f"{_path(pod)}?gracePeriodSeconds=0")

    def cordon(self, name: str) -> None:
        """No new pods on this node."""
        self.api.patch(f"{_PATH}/{name}", {"spec": {"unschedulable": True}})

    def uncordon(self, name: str) -> None:
        """New pods on this node again."""
        self.api.patch(f"{_PATH}/{name}", {"spec": {"unschedulable": None}})

    def set_ready(self, name: str, ready: bool) -> None:
        """Make a node Ready or NotReady with its pods, and wait until the control plane has acted on it."""
        self.api.patch(f"{_PATH}/{name}", {"metadata": {"annotations": {_WISH: str(ready).lower()}}})
        self.wait_node(name, ready)
        # As the node controller does for a silent node, and a kubelet that is back.
        for pod in self._pods_of(name):
            condition = {"type": "Ready", "status": str(ready and _well(pod))}
            self.api.patch(f"{_path(pod)}/status", {"status": {"conditions": [condition]}}, "strategic")

    def wait_node(self, name: str, ready: bool = True, timeout: float = 30.0) -> None:
        """Wait until a node has this readiness and the taint that goes with it."""
        wait(
            lambda: _is(self.api.get(f"{_PATH}/{name}"), ready),
            timeout=timeout,
            what=f"node {name} is {'Ready' if ready else 'NotReady'}",
        )

    def release_nodes(self) -> None:
        """Delete the nodes' leases: a new kwok would wait 40 s for those of the old one to expire."""
        with contextlib.suppress(OSError):
            self.api.delete("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")

    def _pods_of(self, node: str) -> list[dict[str, Any]]:
        return list(self.api.get(f"/api/v1/pods?fieldSelector=spec.nodeName={node}")["items"])


def _address(name: str) -> str:
    # Outside the ranges of pods and Services; from the name, so that a node added again has it again.
    high, low = zlib.crc32(name.encode()).to_bytes(4, "big")[:2]
    return f"10.128.{high}.{low}"


def _labels(name: str, zone: str) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "lab",
    }


def _is(node: dict[str, Any], ready: bool) -> bool:
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}
    taints = {each["key"] for each in node["spec"].get("taints", ())}
    tainted = "node.kubernetes.io/not-ready" in taints
    return conditions.get("Ready") == str(ready) and tainted != ready


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _well(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("ContainersReady") == "True"
