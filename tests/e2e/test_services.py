"""Services that lead nowhere, on the lab: named with their cause, told once, and left alone while a rollout runs."""

import json
from typing import Any

import pytest

from tests.e2e.scene import Body, Scene, service, settle, workload

GRACE = 6


def asked(scene: Scene, grace: int = GRACE) -> Body:
    return {"services": {"empty": {"namespaces": {"include": [scene.namespace]}, "graceSeconds": grace}}}


def annotated(body: Body, **wishes: str) -> Body:
    """The Deployment with pods that the lab plays otherwise."""
    found = {f"lab.resilience.dev/{key}": text for key, text in wishes.items()}
    body["spec"]["template"]["metadata"]["annotations"] = found
    return body


def selecting(scene: Scene, name: str, **spec: Any) -> Body:
    body = service(scene.namespace, name)
    body["spec"] |= spec
    return body


def told(scene: Scene) -> dict[str, tuple[str, str, str]]:
    """Service -> reason, state and message of its finding."""
    return {
        one["object"]["name"]: (one["reason"], one["state"], one["message"])
        for one in scene.findings()
        if one["rule"] == "empty-service"
    }


def only_reported(expected: dict[str, tuple[str, str, str]]) -> dict[str, tuple[str, str, str]]:
    """The same with what status adds to a finding that is never enforced."""
    return {
        name: (reason, state, f"{message}; where a Service is to lead is for its owner to say")
        for name, (reason, state, message) in expected.items()
    }


def emptied(scene: Scene, name: str) -> str:
    """When the EndpointSlice of a Service was changed last, once it has no endpoint."""

    def found() -> Body | None:
        text = scene.lab.kubectl(
            *("-n", scene.namespace, "get", "endpointslices", "-o", "json", "--show-managed-fields"),
            *("-l", f"kubernetes.io/service-name={name}"),
        )
        (body,) = json.loads(text)["items"]
        return None if body.get("endpoints") else body

    changed: str = max(
        entry["time"] for entry in scene.wait(found, "no endpoint")["metadata"]["managedFields"]
    )
    return changed


def ingress(scene: Scene, name: str) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "front", "namespace": scene.namespace},
        "spec": {"defaultBackend": {"service": {"name": name, "port": {"number": 80}}}},
    }


def job(scene: Scene) -> Body:
    container = {"name": "app", "image": "shop/job:1", "ports": [{"name": "http", "containerPort": 8080}]}
    template = {
        "metadata": {"labels": {"app": "job"}},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": scene.namespace},
        "spec": {"template": template},
    }


EXPECTED = {
    "wbe": (
        "SelectsNothing",
        "ReportOnly",
        (
            "no endpoint is ready: no pod has the labels of its selector app=wbe; the pods of Deployment web have"
            " app=web, not app=wbe"
        ),
    ),
    "unready": (
        "NoneReady",
        "ReportOnly",
        "no endpoint is ready: the pod that it selects is not ready: a readiness or startup probe fails",
    ),
    "ports": (
        "PortMissing",
        "ReportOnly",
        "port 80 leads nowhere: no container of the pods that it selects declares a port web (they declare http)",
    ),
}
NEVER_READY: Body = {"progressDeadlineSeconds": 2, "replicas": 1}


def test_every_service_that_leads_nowhere_is_named_with_its_cause_and_no_other(scene: Scene) -> None:
    for name in ("web", "cards"):
        scene.apply(workload(scene.namespace, name, replicas=1))
    scene.apply(annotated(workload(scene.namespace, "unready", **NEVER_READY), ready="never"))
    for name in ("web", "wbe", "cards", "unready"):
        scene.apply(service(scene.namespace, name))
    scene.apply(selecting(scene, "ports", selector={"app": "web"}, ports=[{"port": 80, "targetPort": "web"}]))
    scene.apply(selecting(scene, "bare", selector=None))
    scene.apply(
        selecting(scene, "other", selector=None, type="ExternalName", externalName="shop.test", ports=None)
    )
    scene.apply(ingress(scene, "cards"))
    scene.wait_rolled_out("web", "cards")
    scene.lab.kubectl("-n", scene.namespace, "scale", "deployment/cards", "--replicas=0")
    fields = scene.deployment("cards")["metadata"]["managedFields"]
    assert [one for one in fields if "f:replicas" in one["fieldsV1"].get("f:spec", {})] == []
    zero = (
        "no endpoint is ready: Deployment cards has 0 replicas, set through the subresource scale, as by kubectl scale,"
        f" which leaves no name; no pod since {emptied(scene, 'cards')}; Ingress front points to it"
    )
    expected = EXPECTED | {"cards": ("ScaledToZero", "ReportOnly", zero)}

    with scene.operator():
        scene.policy(**asked(scene))
        scene.wait(lambda: told(scene).keys() >= expected.keys(), "four Services are found")
        assert told(scene) == only_reported(expected)
        assert {name: scene.events(name) for name in (*expected, "web", "bare")} == {
            **{name: [("Warning", "DriftDetected")] for name in expected},
            "web": [],
            "bare": [],
        }

        scene.lab.kubectl("-n", scene.namespace, "scale", "deployment/cards", "--replicas=1")
        scene.patch("wbe", {"spec": {"selector": {"app": "web"}}}, kind="service")
        scene.wait(lambda: told(scene).keys() == {"unready", "ports"}, "two of them lead somewhere")
        resolved = [("Warning", "DriftDetected"), ("Normal", "DriftResolved")]
        scene.wait(
            lambda: scene.events("cards") == scene.events("wbe") == resolved, "told once that it is over"
        )
        assert scene.events("unready") == [("Warning", "DriftDetected")]

    listed = json.loads(
        scene.lab.kubectl("-n", scene.namespace, "get", "services", "-o", "json", "--show-managed-fields")
    )["items"]
    managers = {entry["manager"] for one in listed for entry in one["metadata"]["managedFields"]}
    assert not any(manager.startswith("resilience") for manager in managers), "no Service was written"


@pytest.mark.parametrize("times", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_rollout_is_no_finding_even_where_it_stops_all_pods_first(scene: Scene, times: int) -> None:
    """The grace is much shorter than all of them; the twin outside any rollout is found meanwhile."""
    recreated = workload(scene.namespace, "web", replicas=1, strategy={"type": "Recreate"})
    scene.apply(recreated)
    for name in ("web", "twin"):
        scene.apply(service(scene.namespace, name))
    scene.wait_rolled_out("web")
    with scene.operator() as operator:
        scene.policy(**asked(scene, grace=5))
        scene.wait(lambda: told(scene).keys() == {"twin"}, "the twin is found")
        passes = operator.passes()
        for _ in range(times):
            scene.lab.kubectl("-n", scene.namespace, "rollout", "restart", "deployment/web")
            scene.wait_rolled_out("web")
            settle(1)  # kubectl refuses two restarts within a second
        settle(2)
        assert operator.passes() > passes + times, "each of them was looked at"
        assert (scene.events("web"), scene.events("twin")) == ([], [("Warning", "DriftDetected")])
        assert told(scene).keys() == {"twin"}


def test_a_headless_service_of_a_job_that_is_done_is_no_finding_and_a_misspelt_one_is(scene: Scene) -> None:
    scene.apply(job(scene))
    scene.apply(selecting(scene, "job", clusterIP="None"))
    scene.apply(selecting(scene, "sets", clusterIP="None"))
    scene.apply(workload(scene.namespace, "set", replicas=1))
    scene.lab.kubectl("-n", scene.namespace, "wait", "--for=condition=complete", "job/job", "--timeout=60s")
    with scene.operator():
        scene.policy(**asked(scene, grace=2))
        scene.wait(lambda: "sets" in told(scene), "the headless Service with a letter too many is found")
        near = "the pods of Deployment set have app=set, not app=sets"
        message = f"no endpoint is ready: no pod has the labels of its selector app=sets; {near}"
        assert told(scene) == only_reported({"sets": ("SelectsNothing", "ReportOnly", message)})
