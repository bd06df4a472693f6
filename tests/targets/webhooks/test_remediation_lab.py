"""A dead fail-closed webhook on everything, on a real control plane: the operator frees it, and gives it back.

Its Lease, status, finalizer and Events are refused at the same time. The Service has no endpoint that could answer, so
the backend is dead for real; an EndpointSlice says so, as the endpoint controller would.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import make_scene
from tests.e2e.scene import CRD, Scene
from tests.lab import Lab
from tests.lab.api import PATCHES, ApiError
from tests.targets.webhooks.configurations import EVERYTHING, Case

pytestmark = pytest.mark.lab

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard"
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/guard/endpointslices/guard-1"
WEBHOOKS: dict[str, Any] = {"reach": {"remediation": ["FailOpenWhileDown"], "downAfterSeconds": 10}}


def blocked(lab: Lab) -> bool:
    """True where the update of the incident is refused by the webhook."""
    try:
        lab.api.request("PATCH", f"{CONFIG_MAP}?dryRun=All", {}, PATCHES["merge"])
    except ApiError as error:
        return "failed calling webhook" in str(error)
    return False


def configuration(lab: Lab) -> Any:
    """It, as it is."""
    return lab.api.get(CONFIGURATION)


def ready(lab: Lab, is_ready: bool) -> None:
    """The one endpoint of the backend becomes ready, or ceases to be."""
    ends = [{"addresses": ["192.0.2.1"], "conditions": {"ready": is_ready}}]
    lab.api.patch(SLICE, {"endpoints": ends})


def prepared(lab: Lab, logs: Path) -> Scene:
    """A lab with our kind, and a backend that is dead."""
    lab.kubectl("apply", "--server-side", "-f", str(CRD))
    lab.wait_established("resiliencepolicies.resilience.dev")
    scene = make_scene(lab, logs)
    lab.api.create("/api/v1/namespaces", {"metadata": {"name": "guard"}})
    lab.api.create(
        "/api/v1/namespaces/guard/services",
        {"metadata": {"name": "guard"}, "spec": {"ports": [{"port": 443}]}},
    )
    labels = {"kubernetes.io/service-name": "guard"}
    made = {"metadata": {"name": "guard-1", "labels": labels}, "addressType": "IPv4", "endpoints": []}
    lab.api.create(SLICE.rpartition("/")[0], made)
    ready(lab, False)
    return scene


def closed(lab: Lab) -> list[Any]:
    """Make the configuration, wait until it blocks, and give its webhooks as they are."""
    case = Case("everything", EVERYTHING, "", 0, fields={"timeoutSeconds": 1, "failurePolicy": "Fail"})
    lab.kubectl("create", "-f", "-", input=json.dumps(case.configuration()))
    before: list[Any] = configuration(lab)["webhooks"]
    lab.wait(lambda: blocked(lab), what="blocked")
    return before


def reasons(lab: Lab) -> list[str]:
    """Reasons of the Events of the configuration, in order."""
    events = lab.api.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
    mine = [one for one in events if one["regarding"].get("name") == "guard"]
    return [one["reason"] for one in sorted(mine, key=lambda one: one["eventTime"] or "")]


def test_kube_system_is_freed_without_a_lease_and_the_original_comes_back(
    own_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """Blocked, then open while Lease, status and Events are refused; told at both ends; byte for byte as before."""
    lab = own_lab(nodes=1)
    scene = prepared(lab, tmp_path)
    policy = scene.policy(webhooks=WEBHOOKS, mode="Enforce")
    with scene.operator("--contest-window=20") as operator:
        lab.wait(lambda: operator.metric("resilience_leader").get("") == 1, what="leader")
        before = closed(lab)
        lab.wait(lambda: operator.metric("resilience_leader").get("") == 0, what="the Lease is lost")
        lab.wait(lambda: configuration(lab)["webhooks"][0]["failurePolicy"] == "Ignore", what="failed open")
        lab.wait(lambda: not blocked(lab), what="freed")
        lab.wait(lambda: "WebhookFailedOpen" in reasons(lab), what="its Event")
        path = f"/apis/resilience.dev/v1alpha1/resiliencepolicies/{policy}"
        lab.wait(lambda: lab.api.get(path)["metadata"].get("finalizers"), what="held by our finalizer")
        ready(lab, True)
        lab.wait(lambda: configuration(lab)["webhooks"] == before, what="given back")
        managers = [one["manager"] for one in configuration(lab)["metadata"]["managedFields"]]
        assert "resilience-operator" not in managers
        ready_again = lab.kubectl("get", "validatingwebhookconfiguration", "guard", "-o", "json")
        assert json.loads(ready_again)["webhooks"] == before
        lab.kubectl("delete", "validatingwebhookconfiguration", "guard")
        lab.wait(lambda: "WebhookRestored" in reasons(lab), what="its other Event", timeout=60)


def test_a_configuration_that_is_deleted_while_open_is_over(
    own_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """Nothing is written to the one that is made after it before its own time."""
    lab = own_lab(nodes=1)
    scene = prepared(lab, tmp_path)
    scene.policy(webhooks=WEBHOOKS, mode="Enforce")
    with scene.operator() as operator:
        closed(lab)
        lab.wait(lambda: configuration(lab)["webhooks"][0]["failurePolicy"] == "Ignore", what="failed open")
        lab.kubectl("delete", "validatingwebhookconfiguration", "guard")
        ready(lab, True)
        closed(lab)
        passes = operator.passes()
        lab.wait(lambda: operator.passes() > passes + 2, what="passes", timeout=40)
        assert configuration(lab)["webhooks"][0]["failurePolicy"] == "Fail"
        assert "annotations" not in configuration(lab)["metadata"]
        lab.kubectl("delete", "validatingwebhookconfiguration", "guard")
