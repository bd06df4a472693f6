"""Somebody restarts thirty Deployments at once: our own rollouts stand still, say why, and go on afterwards."""

import json
from typing import Any

import pytest

from tests.e2e.scene import Scene, workload
from tests.lab.audit import Mark, Write

pytestmark = pytest.mark.lab

ALL, AT_ONCE = 34, 30
SLOW = {"lab.resilience.dev/ready-after": "6s"}
DNS: dict[str, Any] = {"dnsConfig": {"options": [{"name": "single-request-reopen"}]}}


def restarting(scene: Scene) -> int:
    """How many of the scene's Deployments have pods of an earlier template, or none of the newest that is ready."""
    return sum(not complete for complete in scene.settled_all().values())


def ours(scene: Scene, mark: Mark) -> list[Write]:
    """The operator's changes of Deployments since."""
    return scene.changes(mark, resource="deployments")


def told(scene: Scene) -> list[str]:
    """The notes of the Events about it on the scene's policy."""
    text = scene.lab.kubectl("get", "events.events.k8s.io", "-n", "default", "-o", "json")
    return [
        one["note"]
        for one in json.loads(text)["items"]
        if one["reason"] == "MassRestart" and one["regarding"]["name"] == scene.name
    ]


def test_our_rollouts_wait_while_others_restart_thirty_deployments(scene: Scene) -> None:
    names = [f"web-{number:02}" for number in range(ALL)]
    for name in names:
        body = workload(scene.namespace, name, replicas=1)
        body["spec"]["template"]["metadata"]["annotations"] = SLOW
        scene.create(body)
    scene.wait(lambda: restarting(scene) == 0, "all rolled out", timeout=120)
    limits = {"soakSeconds": 1, "maxConcurrent": 1, "maxConcurrentPerNamespace": 1}
    with scene.operator() as operator:
        start = scene.lab.audit.mark()
        scene.policy(deployments=DNS, rollout=limits)
        scene.wait(lambda: len(ours(scene, start)) == 1, "the first rollout of ours")
        chosen = [f"deployment/{name}" for name in names[-AT_ONCE:]]
        scene.lab.kubectl("-n", scene.namespace, "rollout", "restart", *chosen)
        scene.wait(lambda: told(scene), "the Event")
        mark, gates = scene.lab.audit.mark(), set[str]()
        while restarting(scene) > 12:
            assert ours(scene, mark) == []
            gates |= operator.metric("resilience_changes_waiting").keys()
        assert '{gate="mass_restart"}' in gates
        (note,) = told(scene)
        assert "Deployments restart at once, more than 10: kubectl-rollout changed the templates of" in note
        scene.wait(lambda: len(ours(scene, mark)) >= 2, "our rollouts to go on", timeout=120)
        assert told(scene) == [note]
