"""A fail-closed webhook on everything whose real backend dies: the operator frees the cluster, and gives it back.

Lease, status, finalizer and Events are refused while it is dead, each seen by sending it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.lab.api import ApiError
from tests.targets.webhooks.scene import CONFIGURATION, POLICIES, REACH, Ground, grounded, policed

pytestmark = pytest.mark.lab

BLOCKED = (
    "webhook guard.example.dev: an update of ConfigMap kube-system/extension-apiserver-authentication waits up to 2 s "
    "and fails now: its backend Service guard/guard has no ready endpoint; and 54 more kinds of requests of the "
    "control plane"
)
MANAGER = "?fieldManager=guard-controller"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with grounded(tmp_path_factory.mktemp("webhooks")) as made:
        yield made


def set_policy(value: str) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": value}]


def test_the_cluster_is_freed_while_all_is_refused_and_the_original_comes_back(ground: Ground) -> None:
    """Named, freed without a Lease, told at both ends, and byte for byte as before: it protects again."""
    lab = ground.lab
    with policed(ground) as policy, ground.operator() as operator:
        lab.wait(lambda: operator.metric("resilience_leader").get("") == 1, what="leader")
        ground.close()
        before = ground.text()
        ground.die()
        lab.wait(lambda: ground.ready() is False, what="its endpoint not to be ready")
        ((reason, message),) = ground.report()
        assert (reason, message[: len(BLOCKED)]) == ("BackendDown", BLOCKED)
        lab.wait(lambda: operator.metric("resilience_leader").get("") == 0, what="the Lease to be lost")
        for method, path, body in refused(ground, policy):
            assert "failed calling webhook" in ground.refusal(method, path, body), path
        ground.wait_policy("Ignore")
        assert (ground.blocked(), ground.protects()) == (False, False)
        lab.wait(lambda: "WebhookFailedOpen" in ground.reasons(), what="its Event")
        held = f"{POLICIES}/{policy}"
        lab.wait(lambda: lab.api.get(held)["metadata"].get("finalizers"), what="our finalizer")
        ground.revive()
        ground.wait_policy("Fail")
        assert ground.text() == before
        lab.wait(ground.protects, what="protected again")
        managers = [one["manager"] for one in lab.api.get(CONFIGURATION)["metadata"]["managedFields"]]
        assert "resilience-operator" not in managers
        lab.wait(lambda: "WebhookRestored" in ground.reasons(), what="its other Event")


def refused(ground: Ground, policy: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What the operator writes beside the configuration."""
    namespace = ground.scene.namespace
    leases = ground.lab.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")["items"]
    for lease in leases:
        name = lease["metadata"]["name"]
        yield "PATCH", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}", {"spec": {}}
    assert leases
    yield "PATCH", f"{POLICIES}/{policy}/status", {"status": {}}
    yield "PATCH", f"{POLICIES}/{policy}", {"metadata": {"labels": {"a": "b"}}}
    event = {"metadata": {"name": "probe"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Probe"}
    about = {
        "regarding": {"kind": "Pod", "namespace": "default", "name": "x"},
        "reason": "Probe",
        "type": "Normal",
    }
    reporting = {"reportingController": "example.dev/probe", "reportingInstance": "probe"}
    yield "POST", "/apis/events.k8s.io/v1/namespaces/default/events", event | about | reporting


def test_where_its_death_cannot_even_be_written_it_is_freed_as_well(ground: Ground) -> None:
    """The kubelet's and the endpoints' own writes are refused: the slice says ready, and our refusals say otherwise."""
    with policed(ground), ground.operator():
        ground.close(namespaceSelector={})
        before = ground.text()
        ground.die()
        assert ground.ready() is True
        ground.wait_policy("Ignore")
        ground.lab.wait(lambda: ground.ready() is False, 60, "the truth to be written")
        assert ground.failure_policy == "Ignore"
        ground.revive()
        ground.wait_policy("Fail")
        assert ground.text() == before


def test_a_backend_that_flaps_changes_it_three_times_at_most(ground: Ground) -> None:
    """Open and back; at the next death it is left alone, and that is said."""
    mark = ground.lab.audit.mark()
    with policed(ground), ground.operator():
        ground.close(**ground.narrow)
        ground.die()
        ground.wait_policy("Ignore")
        ground.revive()
        ground.wait_policy("Fail")
        ground.die()
        ground.lab.wait(ground.contested, 90, "contested")
        left = "was set and given back within the last 600 s: what comes and goes is left alone until"
        assert left in ground.contested()
        assert ground.changes(mark) == ["Ignore", "Fail"]
        assert ground.blocked()


def test_an_owner_who_applies_it_anew_is_not_fought(ground: Ground) -> None:
    """kubectl apply of a manifest that says nothing of it changes nothing; one that says Fail wins in the end."""
    mark = ground.lab.audit.mark()
    with policed(ground, conflicts="TakeOver"), ground.operator():
        ground.close(**ground.narrow)
        ground.die()
        ground.wait_policy("Ignore")
        ground.apply(**ground.narrow, timeoutSeconds=1)
        assert ground.failure_policy == "Ignore"
        for _ in range(6):
            ground.apply(**ground.narrow, failurePolicy="Fail")
            ground.lab.wait(lambda: ground.failure_policy == "Ignore" or ground.contested(), 90, "an answer")
        assert "(kubectl-client-side-apply, Update) took" in ground.contested()
        assert ground.changes(mark) == ["Ignore"] * 3
        assert ground.failure_policy == "Fail"


def test_a_controller_that_writes_it_anew_is_not_fought(ground: Ground) -> None:
    mark = ground.lab.audit.mark()
    with policed(ground), ground.operator(), rewriting(ground):
        ground.close(**ground.narrow)
        ground.die()
        ground.lab.wait(ground.contested, 120, "contested")
        assert "guard-controller (Update) took" in ground.contested()
        assert ground.changes(mark) == ["Ignore"] * 3


@contextmanager
def rewriting(ground: Ground) -> Iterator[None]:
    """A controller that wants Fail, and looks every half second."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.5):
            with suppress(ApiError, OSError):
                if ground.failure_policy != "Fail":
                    ground.lab.api.patch(f"{CONFIGURATION}{MANAGER}", set_policy("Fail"), "json")

    controller = threading.Thread(target=run, daemon=True)
    controller.start()
    try:
        yield
    finally:
        ended.set()
        controller.join()


def test_a_certificate_that_is_rotated_meanwhile_stays(ground: Ground) -> None:
    """Its keeper's caBundle is not ours to give back: with it the webhook protects again."""
    with policed(ground), ground.operator():
        ground.close()
        old = ground.text()
        ground.die()
        ground.wait_policy("Ignore")
        ground.rotate()
        new = ground.backend.certificate.bundle
        ground.revive()
        ground.wait_policy("Fail")
        assert new in ground.text()
        assert ground.text() != old
        ground.lab.wait(ground.protects, what="protected by the new certificate")


def test_a_configuration_that_is_deleted_while_open_is_over(ground: Ground) -> None:
    """Nothing is written to the one that is made after it before its own time."""
    mark = ground.lab.audit.mark()
    with policed(ground), ground.operator() as operator:
        ground.close()
        ground.die()
        ground.wait_policy("Ignore")
        ground.remove()
        ground.revive()
        ground.close()
        passes = operator.passes()
        ground.lab.wait(lambda: operator.passes() > passes + 2, what="passes", timeout=40)
        assert ground.failure_policy == "Fail"
        assert "resilience.dev/state" not in ground.lab.api.get(CONFIGURATION)["metadata"]["annotations"]
        assert ground.changes(mark) == ["Ignore"]


@pytest.mark.slow
def test_an_operator_that_is_killed_goes_on_where_it_was(ground: Ground) -> None:
    """One that starts when all is refused never leads, and frees it; the next gives back what that one left open."""
    with policed(ground):
        ground.close()
        before = ground.text()
        ground.die()
        first = ground.operator()
        try:
            first.start(wait=False)
            ground.wait_policy("Ignore")
        finally:
            first.kill()
        assert ground.text() != before
        ground.revive()
        with ground.operator():
            ground.wait_policy("Fail")
            assert ground.text() == before


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"suspend": True}, id="suspended"),
        pytest.param({"mode": "Audit"}, id="audit", marks=pytest.mark.slow),
    ],
)
def test_a_policy_at_rest_gives_back_what_it_opened(ground: Ground, rest: dict[str, Any]) -> None:
    """Not while the backend is dead: that would block the cluster again. As soon as it is ready."""
    with policed(ground) as policy, ground.operator() as operator:
        ground.close()
        before = ground.text()
        ground.die()
        ground.wait_policy("Ignore")
        ground.scene.policy(**({"webhooks": {"reach": REACH}} | rest))
        path = f"{POLICIES}/{policy}"
        ground.lab.wait(lambda: seen(ground.lab.api.get(path)), what="the policy at rest to be seen")
        passes = operator.passes()
        ground.lab.wait(lambda: operator.passes() > passes + 2, what="passes", timeout=40)
        assert ground.failure_policy == "Ignore"
        ground.revive()
        ground.wait_policy("Fail")
        assert ground.text() == before


def seen(policy: dict[str, Any]) -> bool:
    return bool(policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"])
