"""A big cluster for the benchmarks: Deployments with their ReplicaSets and pods, Services, Nodes, all well.

Written straight to the API server while controller-manager and scheduler are paused: what is measured is the
operator, not who else is busy. Sizes are those of the objects of real clusters (a Deployment of 4 KB).
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmarks.bare import each, send, session
from tests.e2e.scene import workload
from tests.lab import Lab, start
from tests.lab.parts import API_SERVER

PODS_EACH = 3
PER_NAMESPACE = 100
NOW = "2026-11-22T08:00:00Z"
MERGE = "merge-patch+json"

Body = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How many objects of each kind; each Deployment has one ReplicaSet and PODS_EACH pods where `pods`."""

    deployments: int
    services: int = 0
    nodes: int = 0
    pods: bool = False


@contextmanager
def big_lab() -> Iterator[Lab]:
    """A control plane that keeps no audit log: its bodies would cost the API server more than the requests do."""
    with tempfile.TemporaryDirectory() as scratch:
        nothing = Path(scratch, "audit.yaml")
        rules = [{"level": "None"}]
        nothing.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
        flags = {API_SERVER: [f"--audit-policy-file={nothing}", "--enable-priority-and-fairness=false"]}
        with start(nodes=1, flags=flags) as lab:
            yield lab


def namespace_of(number: int) -> str:
    """The namespace of the Deployment of that number."""
    return f"fleet-{number // PER_NAMESPACE}"


def fill(lab: Lab, size: Size) -> None:
    """Make the fleet; the controllers are paused, and stay so."""
    names = [f"fleet-{number}" for number in range(-(-size.deployments // PER_NAMESPACE))]
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    lab.kubectl(
        "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": namespaces})
    )

    def accounts() -> bool:
        return lab.kubectl("get", "sa", "-A", "--no-headers").count("fleet-") == len(names)

    lab.wait(accounts, timeout=60, what="a default service account in every namespace")
    lab.pause("kube-controller-manager")
    lab.pause("kube-scheduler")
    asyncio.run(_fill(lab.kubeconfig(), size))


async def _fill(kubeconfig: Path, size: Size) -> None:
    async with session(kubeconfig) as client:
        await each(size.nodes, lambda number: send(client, "POST", "/api/v1/nodes", node(number)))
        await each(size.services, lambda number: _service(client, number))
        await each(size.deployments, lambda number: _deployment(client, number, size))


async def _service(client: aiohttp.ClientSession, number: int) -> None:
    body = {
        "metadata": {"name": f"d{number}"},
        "spec": {"selector": {"app": f"d{number}"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    await send(client, "POST", f"/api/v1/namespaces/{namespace_of(number)}/services", body)


async def _deployment(client: aiohttp.ClientSession, number: int, size: Size) -> None:
    space, name = namespace_of(number), f"d{number}"
    body = deployment(space, name)
    replicas = body["spec"]["replicas"]
    path = f"/apis/apps/v1/namespaces/{space}"
    uid = await _create(client, f"{path}/deployments", body)
    condition = {"lastUpdateTime": NOW, "lastTransitionTime": NOW, "status": "True"}
    status = {
        "observedGeneration": 1,
        **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas),
        "conditions": [
            {
                **condition,
                "type": "Available",
                "reason": "MinimumReplicasAvailable",
                "message": "is available",
            },
            {
                **condition,
                "type": "Progressing",
                "reason": "NewReplicaSetAvailable",
                "message": "has progressed",
            },
        ],
    }
    await send(client, "PATCH", f"{path}/deployments/{name}/status", {"status": status}, MERGE)
    if size.pods:
        await _replica_set(client, body, uid, size)


async def _replica_set(client: aiohttp.ClientSession, body: Body, uid: str, size: Size) -> None:
    space, name = body["metadata"]["namespace"], body["metadata"]["name"]
    template_hash = f"{hash(name) % 10**10:010d}"
    labels = {"app": name, "pod-template-hash": template_hash}
    template = {**body["spec"]["template"], "metadata": {"labels": labels}}
    replica_set = {
        "metadata": {
            "name": f"{name}-{template_hash}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [_owner("apps/v1", "Deployment", name, uid)],
        },
        "spec": {
            "replicas": body["spec"]["replicas"],
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }
    uid = await _create(client, f"/apis/apps/v1/namespaces/{space}/replicasets", replica_set)
    owner = _owner("apps/v1", "ReplicaSet", replica_set["metadata"]["name"], uid)
    for index in range(PODS_EACH):
        await _pod(client, space, f"{name}-{template_hash}-{index}", template, owner, size)


async def _pod(
    client: aiohttp.ClientSession, space: str, name: str, template: Body, owner: Body, size: Size
) -> None:
    where = f"fleet-node-{hash(name) % max(1, size.nodes)}"
    body = {
        "metadata": {"name": name, **template["metadata"], "ownerReferences": [owner]},
        "spec": {**template["spec"], "nodeName": where},
    }
    path = f"/api/v1/namespaces/{space}/pods"
    await send(client, "POST", path, body)
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = {
        "name": "web",
        "image": "shop/web:1.4",
        "imageID": "sha256:0",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": NOW}},
    }
    status = {
        "phase": "Running",
        "startTime": NOW,
        "conditions": [{"type": one, "status": "True", "lastTransitionTime": NOW} for one in types],
        "containerStatuses": [container],
    }
    await send(client, "PATCH", f"{path}/{name}/status", {"status": status}, MERGE)


async def _create(client: aiohttp.ClientSession, path: str, body: Body) -> str:
    async with client.post(path, json=body) as answer:
        found: Body = await answer.json()
        if answer.status >= 300:
            raise RuntimeError(f"POST {path}: {found}")
        return str(found["metadata"]["uid"])


def deployment(space: str, name: str) -> Body:
    """A Deployment as kubectl apply leaves it, of about 4 KB with its managedFields."""
    body = workload(space, name)
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    body["spec"]["template"]["spec"]["containers"][0] |= {
        "env": [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(2)],
        "readinessProbe": probe,
    }
    applied = json.dumps(body, separators=(",", ":"))
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    return body


def _owner(version: str, kind: str, name: str, uid: str) -> Body:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


def node(number: int) -> Body:
    """A Node that is Ready, by its number."""
    name = f"fleet-node-{number}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{number % 3}",
        "topology.kubernetes.io/region": "region",
        "node.kubernetes.io/instance-type": "m6i.xlarge",
    }
    types = ("MemoryPressure", "DiskPressure", "PIDPressure")
    well = [{"type": one, "status": "False", "reason": "Well", "lastTransitionTime": NOW} for one in types]
    resources = {"cpu": "4", "memory": "16Gi", "pods": "110"}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                *well,
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": NOW},
            ],
        },
    }
