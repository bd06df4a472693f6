"""What the end-to-end tests build and look at: Deployments, policies, and the cluster as pykube-ng sees it.

The operator's own client never verifies itself.
"""

import copy
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pykube

from tests.e2e.history import lets_go
from tests.e2e.process import OperatorProcess
from tests.lab import Lab
from tests.lab.audit import Write

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "crds" / "resiliencepolicies.yaml"
LABEL = "test.resilience.dev/scene"
FAST = (
    "--lease-duration=3",
    "--resync=5",
    "--max-rollouts=5",
    "--max-unhealthy-percent=100",
    "--request-timeout=3",
    "--api-qps=200",
    "--api-burst=200",
)

Body = dict[str, Any]


class ResiliencePolicy(pykube.objects.APIObject):  # type: ignore[misc]
    """Our kind, for pykube."""

    version = "resilience.dev/v1alpha1"
    endpoint = "resiliencepolicies"
    kind = "ResiliencePolicy"


@dataclass
class Scene:
    """A namespace, a policy selector and a place for logs: one test's part of a shared lab."""

    lab: Lab
    namespace: str
    name: str
    logs: Path

    def operator(self, *flags: str, kubeconfig: Path | None = None) -> OperatorProcess:
        """An operator that sees this scene's policies alone, with short times; later flags win."""
        return OperatorProcess(
            kubeconfig or self.lab.kubeconfig(),
            self.logs / f"operator-{uuid4().hex[:6]}.log",
            f"--policy-selector={LABEL}={self.name}",
            f"--namespace={self.namespace}",
            *FAST,
            *flags,
        )

    # Writing

    def apply(self, body: Body, *options: str) -> None:
        """kubectl apply, as people do."""
        self.lab.kubectl("apply", "-f", "-", *options, input=json.dumps(body))

    def create(self, body: Body) -> None:
        """kubectl create."""
        self.lab.kubectl("create", "-f", "-", input=json.dumps(body))

    def policy(self, name: str = "", **spec: Any) -> str:
        """Apply a policy of this scene; returns its name. `deployments` is narrowed to the namespace."""
        full = f"{self.name}-{name}" if name else self.name
        section = {"namespaces": {"include": [self.namespace]}, **spec.pop("deployments", {})}
        spec.setdefault("rollout", {"soakSeconds": 1, "maxConcurrent": 5, "maxConcurrentPerNamespace": 5})
        body = {
            "apiVersion": "resilience.dev/v1alpha1",
            "kind": "ResiliencePolicy",
            "metadata": {"name": full, "labels": {LABEL: self.name}},
            "spec": {"mode": "Enforce", **spec, "deployments": section},
        }
        self.apply(body)
        return full

    def delete_policy(self, name: str = "", *, wait: bool = True) -> None:
        """kubectl delete; with the finalizer it returns when the operator has let go."""
        full = f"{self.name}-{name}" if name else self.name
        self.lab.kubectl("delete", "rp", full, f"--wait={str(wait).lower()}", "--timeout=60s")

    def patch(self, name: str, patch: Body | list[Body], *options: str, kind: str = "deployment") -> None:
        """kubectl patch of an object of the namespace, as an engineer in an incident."""
        self.lab.kubectl("-n", self.namespace, "patch", kind, name, "-p", json.dumps(patch), *options)

    def server_side_apply(self, name: str, spec: Body, manager: str, annotations: Body | None = None) -> None:
        """A server-side apply of a Deployment's spec with force, as another controller does it."""
        noted = {"annotations": annotations} if annotations else {}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace, **noted},
            "spec": spec,
        }
        answer = self.api.patch(
            version="apps/v1",
            namespace=self.namespace,
            url=f"deployments/{name}",
            params={"fieldManager": manager, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            data=json.dumps(body),
        )
        answer.raise_for_status()

    # Reading, through pykube-ng

    @property
    def api(self) -> pykube.HTTPClient:
        """pykube's client, as the administrator."""
        return pykube.HTTPClient(pykube.KubeConfig.from_file(str(self.lab.kubeconfig())), timeout=30)

    def query(self, kind: Any, namespace: str | None = None) -> Any:
        """Objects of a kind. `Kind.objects(api)` keeps the kind in a place that all threads share."""
        return pykube.query.Query(self.api, kind, namespace=namespace)

    def deployment(self, name: str) -> Body:
        """A Deployment as it is now."""
        found: Body = self.query(pykube.Deployment, self.namespace).get_by_name(name).obj
        return found

    def spec(self, name: str) -> Body:
        """The spec of a Deployment."""
        found: Body = self.deployment(name)["spec"]
        return found

    def pod_spec(self, name: str) -> Body:
        """The pod spec of a Deployment's template."""
        found: Body = self.spec(name)["template"]["spec"]
        return found

    def status(self, name: str = "") -> Body:
        """A policy's status."""
        full = f"{self.name}-{name}" if name else self.name
        found: Body = self.query(ResiliencePolicy).get_by_name(full).obj.get("status", {})
        return found

    def condition(self, kind: str, name: str = "") -> Body:
        """One condition of a policy, {} where it is not there yet."""
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    def findings(self, name: str = "") -> list[Body]:
        """The findings in a policy's status."""
        return list(self.status(name).get("findings", []))

    def states(self, name: str = "") -> dict[tuple[str, str], str]:
        """(rule, object) -> state, from a policy's status."""
        return {(one["rule"], one["object"]["name"]): one["state"] for one in self.findings(name)}

    def nodes_of(self, app: str) -> Counter[str]:
        """Node -> running ready pods with the label app."""
        pods = self.query(pykube.Pod, self.namespace).filter(selector={"app": app})
        return Counter(pod.obj["spec"].get("nodeName", "") for pod in pods if pod.ready)

    def deployments(self) -> dict[str, Body]:
        """Every Deployment of the namespace, by name."""
        return {one.name: one.obj for one in self.query(pykube.Deployment, self.namespace)}

    def settled_all(self) -> dict[str, bool]:
        """Of every Deployment of the namespace, whether it is complete."""
        return {name: _complete(body) for name, body in self.deployments().items()}

    def rolled_out(self, name: str) -> bool:
        """True where a Deployment is complete."""
        return _complete(self.deployment(name))

    def events(self, name: str) -> list[tuple[str, str]]:
        """(type, reason) of our Events on an object of the namespace, the oldest first."""
        text = self.lab.kubectl("-n", self.namespace, "get", "events.events.k8s.io", "-o", "json")
        ours = [
            event
            for event in json.loads(text)["items"]
            if event.get("reportingController") == "resilience.dev/operator"
            and event["regarding"]["name"] == name
        ]
        return [(event["type"], event["reason"]) for event in sorted(ours, key=lambda one: one["eventTime"])]

    def writes(self, since: Any, **match: Any) -> list[Write]:
        """The operator's writes in the audit log, without its Lease."""
        found = self.lab.audit.writes(since=since, **match)
        return [
            write
            for write in found
            if write.user_agent.startswith(("resilience-operator", "kopf"))
            and write.resource != "leases"
            and not write.asks_the_guard  # The guard is asked by such, of objects of any Namespace.
            and self.name in f"{write.namespace} {write.name}"
        ]

    def changes(self, since: Any, **match: Any) -> list[Write]:
        """Of the operator's writes those that change a value: each is followed by one that lets go of it."""
        return [write for write in self.writes(since, **match) if not lets_go(write)]

    # Waiting

    def wait(self, probe: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
        """Wait until a probe is true."""
        return self.lab.wait(probe, timeout=timeout, what=what)

    def wait_condition(self, kind: str, status: str, name: str = "") -> None:
        """Wait until a condition of a policy has a status."""
        what = f"condition {kind} {status} of policy {name or self.name}"
        self.wait(lambda: self.condition(kind, name).get("status") == status, what)

    def wait_compliant(self, name: str = "", timeout: float = 90.0) -> None:
        """Wait until a policy is compliant at its newest generation and nothing runs."""
        full = f"{self.name}-{name}" if name else self.name

        def compliant() -> bool:
            body = self.query(ResiliencePolicy).get_by_name(full).obj
            status = body.get("status", {})
            values = {one["type"]: one["status"] for one in status.get("conditions", [])}
            seen = status.get("observedGeneration") == body["metadata"]["generation"]
            return seen and values.get("Compliant") == "True" and values.get("Progressing") == "False"

        self.wait(compliant, f"policy {full} compliant", timeout)

    def wait_rolled_out(self, *names: str) -> None:
        """Wait until Deployments are complete."""
        self.wait(lambda: all(self.rolled_out(name) for name in names), f"{names} rolled out")


def _complete(body: Body) -> bool:
    status, replicas = body.get("status", {}), body["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    settled = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    return settled and counts == [replicas] * 3


def workload(namespace: str, name: str, *, replicas: int = 3, pod: Body | None = None, **spec: Any) -> Body:
    """A Deployment of one container with requests, as people write it: nothing that the server would default."""
    container = {
        "name": "web",
        "image": "shop/web:1.4",
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], **copy.deepcopy(pod or {})},
            },
            **spec,
        },
    }


def service(namespace: str, name: str) -> Body:
    """A Service that selects the pods of the Deployment of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }


def settle(seconds: float) -> None:
    """Let time pass in which nothing may happen."""
    time.sleep(seconds)
