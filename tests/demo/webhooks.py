"""Incident webhook-blocks-apiserver: a fail-closed webhook dies, and the control plane is not to wait for it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.demo.stage import Body, Failed, Stage, rolled_out
from tests.e2e.scene import ROOT, workload
from tests.lab.api import PATCHES, ApiError
from tests.targets.webhooks.backend import Backend, Certificate
from tests.targets.webhooks.configurations import OWN
from tests.targets.webhooks.scene import ADDRESS, CONFIG_MAP, CONFIGURATION, HOST, Kubelet

INCIDENT = "webhook-blocks-apiserver"
NODE = "/api/v1/nodes/node-1/status"
WHAT = {
    CONFIG_MAP: "an update of ConfigMap kube-system/extension-apiserver-authentication",
    NODE: "an update of the status of Node node-1",
}
QUICK = ("downAfterSeconds: 60", "downAfterSeconds: 10")
"""The example waits a minute; a demo has less time."""


class Webhooks:
    """The steps of the incident, each of which prints and checks; `stack` ends the backend, a real server."""

    def __init__(self, stage: Stage, stack: ExitStack, folder: Path) -> None:
        self._stage = stage
        self._stack = stack
        self._backend = Backend(ADDRESS, stage.lab.port(), Certificate(folder, HOST))
        self._before: Body = {}

    def break_it(self) -> None:
        """A webhook on everything whose backend answers; the policy audits: what it could block is named."""
        self._stage.step(
            "A webhook with failurePolicy Fail on everything, called over HTTPS; its backend answers"
        )
        self._serve()
        (body,) = yaml.safe_load_all((ROOT / "examples" / INCIDENT / "broken.yaml").read_text())
        called = body["webhooks"][0]["clientConfig"]
        called["service"]["port"], called["caBundle"] = self._backend.port, self._backend.certificate.bundle
        self._stage.kubectl("create", "-f", "-", input=yaml.safe_dump(body))
        self._before = self._configuration()
        self._stage.apply_policy(INCIDENT, "Audit", QUICK)
        self._stage.until("the audit names it", lambda: self._stage.findings(INCIDENT))
        self._stage.show_findings(INCIDENT)
        if self._configuration()["webhooks"] != self._before["webhooks"]:
            raise Failed("the audit changed the webhook")

    def enforce(self) -> None:
        """Its namespaceSelector is narrowed; what no selector exempts is freed while the backend is dead."""
        self._stage.step("The policy says Enforce: the smallest step first, then the backend dies")
        self._stage.apply_policy(INCIDENT, "Enforce", QUICK)
        self._stage.until("the selector is narrowed", lambda: self._webhook["namespaceSelector"])
        self._stage.say(f"  namespaceSelector: {self._webhook['namespaceSelector']}", plain=True)
        self._backend.kill()
        self._stage.until("the API server notices", lambda: self._refusal(NODE))
        for path, what in WHAT.items():
            self._stage.say(f"  {what}: {self._refusal(path)[:150] or 'passes'}", plain=True)
        if self._refusal(CONFIG_MAP):
            raise Failed("kube-system is blocked in spite of the selector")
        self._stage.until("it is failed open", lambda: self._webhook["failurePolicy"] == "Ignore")
        self._stage.until("nodes are freed", lambda: not self._refusal(NODE))
        self._stage.say("failurePolicy is Ignore while no endpoint is ready: nodes can report again.")
        self._stage.until("an Event says so", lambda: self._event("WebhookFailedOpen"))
        self._backend.start()
        self._stage.until("it fails closed again", lambda: self._webhook["failurePolicy"] == "Fail")
        self._stage.until("an Event says so", lambda: self._event("WebhookRestored"))
        for reason in ("WebhookFailedOpen", "WebhookRestored"):
            self._stage.say(f"  Event {reason}: {self._event(reason)}", plain=True)

    def released(self) -> None:
        """The policy is gone: the webhook is as its owner made it."""
        self._stage.until(
            "the webhook is as before", lambda: self._configuration()["webhooks"] == self._before["webhooks"]
        )
        self._stage.say("ValidatingWebhookConfiguration guard is as before, equal as JSON.")
        self._stage.kubectl("delete", "validatingwebhookconfiguration", "guard")

    def _serve(self) -> None:
        """Service, pod and server: the pod is simulated, and as ready as the server answers."""
        lab, port = self._stage.lab, self._backend.port
        self._stage.kubectl("create", "namespace", OWN)
        spec = {"selector": {"app": "guard"}, "clusterIP": ADDRESS, "ports": [{"port": port}]}
        lab.api.create(f"/api/v1/namespaces/{OWN}/services", {"metadata": {"name": "guard"}, "spec": spec})
        lab.api.create(f"/apis/apps/v1/namespaces/{OWN}/deployments", workload(OWN, "guard", replicas=1))
        kubelet = Kubelet(lab, self._backend)
        self._stack.callback(self._backend.kill)
        self._backend.start()
        kubelet.start()
        self._stack.callback(kubelet.end)
        self._stage.until("its pod is ready", lambda: all(map(rolled_out, self._stage.deployments(OWN))))

    def _configuration(self) -> Body:
        found: Body = self._stage.lab.api.get(CONFIGURATION)
        return found

    @property
    def _webhook(self) -> Body:
        found: Body = self._configuration()["webhooks"][0]
        return found

    def _refusal(self, path: str) -> str:
        """What the API server says to a dry run of an update, "" where it passes."""
        try:
            self._stage.lab.api.request("PATCH", f"{path}?dryRun=All", {}, PATCHES["merge"])
        except ApiError as error:
            return str(error)
        return ""

    def _event(self, reason: str) -> str:
        events = self._stage.lab.api.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
        return next((str(one["note"]) for one in events if one["reason"] == reason), "")
