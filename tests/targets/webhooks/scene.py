"""A cluster whose API server really calls a webhook: Service, pod, EndpointSlice and server, which a test kills.

The lab's Service addresses lie in 127.0.0.0/8, so the API server reaches the server at the Service's own address. Pod,
EndpointSlice and their controllers are the real ones; the kubelet's readiness probe is played by a thread.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resilience_operator.cli.cluster import connect, read
from resilience_operator.cli.report import rows
from tests.e2e.conftest import make_scene
from tests.e2e.process import OperatorProcess
from tests.e2e.scene import CRD, Scene, workload
from tests.lab import Lab, start
from tests.lab.api import PATCHES, ApiError
from tests.lab.errors import LabError
from tests.targets.webhooks.backend import DENIES, LABEL, Backend, Certificate
from tests.targets.webhooks.configurations import EVERYTHING, NAME, OWN, Case, rule, where

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard"
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
POLICIES = "/apis/resilience.dev/v1alpha1/resiliencepolicies"
HOST = f"guard.{OWN}.svc"
ADDRESS = "127.96.0.77"
REACHABLE = {"kube-apiserver": ["--service-cluster-ip-range=127.96.0.0/16"]}
"""Flags of a lab whose Service addresses are the machine's own."""
REACH: dict[str, Any] = {"remediation": ["FailOpenWhileDown"], "downAfterSeconds": 10}
EXEMPT = {"namespaceSelector": where(NAME, "NotIn", OWN)}
"""Its own Namespace is exempt, as charts have it: else its dead pod could not even be seen."""

Body = dict[str, Any]


class Ground:
    """The lab, the backend behind Service guard/guard, and one policy."""

    def __init__(self, lab: Lab, scene: Scene, backend: Backend, folder: Path) -> None:
        self.lab, self.scene, self.backend, self._folder = lab, scene, backend, folder
        self.policy = ""

    def operator(self, *flags: str) -> OperatorProcess:
        """An operator of this ground."""
        return self.scene.operator("--max-unhealthy-percent=100", *flags)

    # What is asked of the API server

    def blocked(self) -> bool:
        """True where the update of the incident is refused because the webhook cannot be called."""
        return "failed calling webhook" in self.refusal("PATCH", CONFIG_MAP, {})

    def protects(self) -> bool:
        """True where the webhook refuses what it is there to refuse."""
        body = {"metadata": {"name": "probe", "labels": {LABEL: "yes"}}}
        return DENIES in self.refusal("POST", "/api/v1/namespaces/kube-system/configmaps", body)

    def refusal(self, method: str, path: str, body: Body) -> str:
        """Why a dry run is refused, "" where it passes."""
        content = PATCHES["merge"] if method == "PATCH" else "application/json"
        try:
            self.lab.api.request(method, f"{path}?dryRun=All", body, content)
        except ApiError as error:
            return str(error)
        return ""

    # The configuration

    def close(self, **fields: Any) -> None:
        """Make the configuration, fail-closed on everything, and wait until it protects."""
        self.apply(**fields)
        self.lab.wait(self.protects, what="the webhook to protect")

    def apply(self, **fields: Any) -> None:
        """kubectl apply, as its owner does."""
        self.lab.kubectl("apply", "-f", "-", input=json.dumps(self.manifest(**fields)))

    @property
    def narrow(self) -> Body:
        """Fields of a webhook that leaves the operator its Lease, its status and its Events."""
        exempt = where(NAME, "NotIn", OWN, self.scene.namespace)
        return {"rules": [rule("configmaps,pods,leases")], "namespaceSelector": exempt}

    def manifest(self, **fields: Any) -> Body:
        """What its owner applies."""
        case = Case("everything", EVERYTHING, "", 0, fields={"timeoutSeconds": 2, **EXEMPT, **fields})
        body = case.configuration()
        service = {"namespace": OWN, "name": "guard", "port": self.backend.port}
        bundle = self.backend.certificate.bundle
        body["webhooks"][0]["clientConfig"] = {"service": service, "caBundle": bundle}
        return body

    def text(self) -> str:
        """Its webhooks as the API server prints them, byte for byte."""
        return self.lab.kubectl(
            "get", "validatingwebhookconfiguration", "guard", "-o", "jsonpath={.webhooks}"
        )

    @property
    def failure_policy(self) -> str:
        """What it does where it cannot be called."""
        found: str = self.lab.api.get(CONFIGURATION)["webhooks"][0]["failurePolicy"]
        return found

    def wait_policy(self, value: str, timeout: float = 90) -> None:
        """Wait until its failurePolicy has that value."""
        self.lab.wait(lambda: self.failure_policy == value, timeout, f"failurePolicy {value}")

    def remove(self) -> None:
        """Delete the configuration: that always passes."""
        with suppress(LabError):
            self.lab.kubectl("delete", "validatingwebhookconfiguration", "guard", "--ignore-not-found")

    # The backend

    def revive(self) -> None:
        """Start the backend, and wait until its endpoint is ready."""
        self.backend.start()
        self.lab.wait(lambda: self.ready() is True, what="the endpoint to be ready")

    def die(self) -> None:
        """Kill the backend, and wait until kube-system is blocked."""
        self.backend.kill()
        self.lab.wait(self.blocked, what="kube-system to be blocked")

    def rotate(self) -> None:
        """The backend gets a certificate of another authority; whoever keeps caBundle writes the new one."""
        self.backend.certificate = Certificate(self._folder / "new", HOST)
        patch = [
            {
                "op": "replace",
                "path": "/webhooks/0/clientConfig/caBundle",
                "value": self.backend.certificate.bundle,
            }
        ]
        self.lab.api.patch(f"{CONFIGURATION}?fieldManager=cainjector", patch, "json")

    def ready(self) -> bool | None:
        """What its EndpointSlice says; None where there is no endpoint."""
        slices = self.lab.api.get(f"/apis/discovery.k8s.io/v1/namespaces/{OWN}/endpointslices")["items"]
        ends = [one for each in slices for one in each.get("endpoints") or []]
        return all(one["conditions"].get("ready") for one in ends) if ends else None

    # What the operator says

    def report(self) -> list[tuple[str, str]]:
        """(reason, message) of what `kubectl resilience report` finds: it reads, and needs no write."""
        return [(one["reason"], one["message"]) for one in asyncio.run(self._report())]

    async def _report(self) -> list[Body]:
        async with await connect(str(self.lab.kubeconfig()), "") as session:
            return rows(await read(session), self.policy)

    def contested(self) -> str:
        """What the policy's condition Contested says, "" where nothing is left alone."""
        found = self.scene.condition("Contested")
        return str(found["message"]) if found.get("status") == "True" else ""

    def reasons(self) -> list[str]:
        """Reasons of our Events about the configuration, in order."""
        events = self.lab.api.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
        uid = self.lab.api.get(CONFIGURATION)["metadata"]["uid"]
        mine = [one for one in events if one["regarding"].get("uid") == uid]
        return [one["reason"] for one in sorted(mine, key=lambda one: one["eventTime"] or "")]

    def changes(self, mark: Any) -> list[str]:
        """The failurePolicies that the operator set since, in order."""
        found = []
        for write in self.lab.audit.writes(since=mark, resource="validatingwebhookconfigurations"):
            ours = write.user_agent.startswith("resilience-operator") and not write.asks_the_guard
            if ours and write.succeeded:
                ops = write.request_object or []
                found += [one["value"] for one in ops if str(one.get("path", "")).endswith("/failurePolicy")]
        return found


class Kubelet(threading.Thread):
    """The readiness probe of the backend's pod: what it finds is the pod's condition Ready."""

    def __init__(self, lab: Lab, backend: Backend) -> None:
        super().__init__(daemon=True)
        self._lab, self._backend = lab, backend
        self._ended = threading.Event()

    def end(self) -> None:
        """Probe no more."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Probe, and write what changed; what is refused is tried again, as by a kubelet."""
        while not self._ended.wait(0.2):
            with suppress(ApiError, OSError):
                self._sync("True" if self._backend.answers() else "False")

    def _sync(self, ready: str) -> None:
        pods = f"/api/v1/namespaces/{OWN}/pods"
        for pod in self._lab.api.get(pods)["items"]:
            known = {one["type"]: one for one in pod["status"].get("conditions", [])}
            if pod["status"].get("phase") == "Running" and known["Ready"]["status"] != ready:
                conditions = [{"type": one, "status": ready} for one in ("Ready", "ContainersReady")]
                path = f"{pods}/{pod['metadata']['name']}/status"
                self._lab.api.patch(path, {"status": {"conditions": conditions}}, "strategic")


@contextmanager
def grounded(folder: Path) -> Iterator[Ground]:
    """A control plane that calls the webhook, its backend alive, and an API server that knows our kind."""
    with start(nodes=1, flags=REACHABLE) as lab:
        lab.kubectl("apply", "--server-side", "-f", str(CRD))
        lab.wait_established("resiliencepolicies.resilience.dev")
        scene = make_scene(lab, folder)
        backend = Backend(ADDRESS, lab.port(), Certificate(folder / "first", HOST))
        lab.kubectl("create", "namespace", OWN)
        spec = {"selector": {"app": "guard"}, "clusterIP": ADDRESS, "ports": [{"port": backend.port}]}
        lab.api.create(f"/api/v1/namespaces/{OWN}/services", {"metadata": {"name": "guard"}, "spec": spec})
        scene.create(workload(OWN, "guard", replicas=1))
        kubelet = Kubelet(lab, backend)
        ground = Ground(lab, scene, backend, folder)
        try:
            kubelet.start()
            ground.revive()
            yield ground
        finally:
            kubelet.end()
            backend.kill()


@contextmanager
def policed(ground: Ground, **spec: Any) -> Iterator[str]:
    """A policy over webhooks while a test lasts; then nothing of it and of the configuration is left."""
    body = {"webhooks": {"reach": REACH}} | spec
    ground.policy = ground.scene.policy(**body)
    try:
        yield ground.policy
    finally:
        ground.remove()
        ground.revive()
        patch = '[{"op":"remove","path":"/metadata/finalizers"}]'
        with suppress(LabError):
            ground.lab.kubectl("patch", "rp", ground.policy, "--type=json", "-p", patch)
        ground.lab.kubectl("delete", "rp", ground.policy, "--ignore-not-found", "--timeout=30s")
