"""Cluster DNS and its autoscaler as kubeadm's clusters have them, for the end-to-end tests and the demo.

The pods are simulated; the cluster-proportional-autoscaler (CPA) is the stand-in of tests/standins, which takes its
parameters from the same flags that its Deployment shows.
"""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.lab import Lab
from tests.lab.audit import Mark
from tests.standins import cpa

Body = dict[str, Any]
NAMESPACE = "kube-system"
LINEAR = """{
  "coresPerReplica": 256,
  "nodesPerReplica": 2,
  "min": 1
}"""
DEFAULTS = '{"linear":{"coresPerReplica":256,"nodesPerReplica":2,"min":1}}'
ABOVE_THE_FLOOR = DEFAULTS.replace('"min":1', '"min":3')
"""Arguments are only reported: with these a policy with a floor of 3 can be compliant."""


def cluster_dns(replicas: int | None = 3) -> list[Body]:
    """The Deployment of CoreDNS and its Service."""
    labels = {"k8s-app": "kube-dns"}
    container = {
        "name": "coredns",
        "image": "coredns/coredns:1.15.0",
        "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}],
        "resources": {"requests": {"cpu": "50m", "memory": "70Mi"}},
    }
    spec: Body = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return [
        _object("apps/v1", "Deployment", "coredns", spec=spec, labels=labels),
        _object(
            "v1",
            "Service",
            "kube-dns",
            spec={"selector": labels, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
        ),
    ]


def autoscaler(parameters: str = LINEAR, mode: str = "linear", defaults: str = DEFAULTS) -> list[Body]:
    """CPA's Deployment and its ConfigMap."""
    labels = {"k8s-app": "coredns-autoscaler"}
    command = [
        "/cluster-proportional-autoscaler",
        f"--namespace={NAMESPACE}",
        "--configmap=coredns-autoscaler",
        "--target=deployment/coredns",
        f"--default-params={defaults}",
        "--logtostderr=true",
    ]
    container = {
        "name": "autoscaler",
        "image": "cpa/cluster-proportional-autoscaler:1.9.0",
        "command": command,
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    return [
        _object("apps/v1", "Deployment", "coredns-autoscaler", spec=spec),
        _object("v1", "ConfigMap", "coredns-autoscaler", data={mode: parameters}),
    ]


def _object(version: str, kind: str, name: str, labels: Body | None = None, **body: Any) -> Body:
    metadata: Body = {"name": name, "namespace": NAMESPACE} | ({"labels": labels} if labels else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def apply(lab: Lab, *objects: Body) -> None:
    """kubectl apply, as people do."""
    lab.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    )


def get(lab: Lab, kind: str, name: str) -> Body:
    """An object of kube-system as it is now."""
    text = lab.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json", "--show-managed-fields")
    found: Body = json.loads(text)
    return found


def running_autoscaler(lab: Lab, log: Path, poll_seconds: float = 0.2) -> AbstractContextManager[Any]:
    """The stand-in of CPA, with the parameters that its Deployment shows now."""
    command = get(lab, "deployment", "coredns-autoscaler")["spec"]["template"]["spec"]["containers"][0][
        "command"
    ]
    flags = dict(word.lstrip("-").split("=", 1) for word in command[1:])
    return cpa.running(
        lab.kubeconfig(),
        flags["namespace"],
        flags["configmap"],
        flags["target"],
        flags["default-params"],
        poll_seconds,
        log,
    )


def scaled_to(lab: Lab, since: Mark) -> list[int]:
    """Every number of replicas that cluster DNS was told to have since then, from the audit log."""
    writes = lab.audit.writes(since, resource="deployments", namespace=NAMESPACE, name="coredns")
    told = [
        one for one in writes if one.succeeded and not one.asks_the_guard and one.subresource in ("", "scale")
    ]
    return [
        one.response_object["spec"]["replicas"]
        for one in told
        if "replicas" in one.response_object.get("spec", {})
    ]
