"""The operator and nodes with agents before a real API server: simulated agents, and a real one in a namespace."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.agent import scene as agents
from tests.agent.namespaces import namespace, needs_kernel
from tests.agent.scene import Bridge
from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.scene import LABEL, Scene
from tests.lab import Lab
from tests.lab.api import ApiError

pytestmark = pytest.mark.lab

STATES = "/apis/resilience.dev/v1alpha1/nodestates"
TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
MAX = "net.netfilter.nf_conntrack_max"


@pytest.fixture(name="scene")
def nodes_scene(lab: Lab, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose lab has both kinds, and the agents' rights."""
    install_crd(lab)
    agents.install(lab)
    made = make_scene(lab, tmp_path)
    yield made
    names = lab.kubectl("get", "rp", "-l", f"{LABEL}={made.name}", "-o", "name").split()
    for name in names:
        lab.kubectl("patch", name, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')
    lab.kubectl("delete", "rp,nodes", "-l", f"{LABEL}={made.name}", "--wait=false")
    lab.kubectl("delete", "nodestates", "--all")


def policy(scene: Scene, values: list[dict[str, Any]], **spec: Any) -> None:
    """A policy that asks the nodes of the scene for these values, and enforces it."""
    section = {
        "nodeSelector": {"matchLabels": {LABEL: scene.name}},
        "sysctls": {"values": values},
        "waves": {"canary": 1, "maxUnavailable": "10%"},
    }
    body = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": scene.name, "labels": {LABEL: scene.name}},
        "spec": {"mode": "Enforce", "rollout": {"soakSeconds": 0}, "conntrack": section, **spec},
    }
    scene.apply(body)


def add(scene: Scene, name: str, cores: int) -> None:
    """A node that is Ready."""
    scene.lab.add_node(name, cpu=str(cores), labels={LABEL: scene.name})


class Agents:
    """Agents of all nodes in one thread: each says after a moment that it does what its NodeState asks."""

    def __init__(self, lab: Lab) -> None:
        self._api = lab.api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            for found in self._api.get(STATES)["items"]:
                status = found.get("status", {})
                if status.get("observedGeneration") != found["metadata"]["generation"]:
                    with suppress(ApiError):
                        self._api.patch(
                            f"{STATES}/{found['metadata']['name']}/status", {"status": _done(found)}
                        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(timeout=30)


def _done(found: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sysctls = [
        {"name": one["name"], "observed": one["value"], "state": "Held"}
        for one in found.get("spec", {}).get("sysctls", ())
    ]
    ready = {"type": "Ready", "status": "True", "reason": "Working", "message": "", "lastTransitionTime": now}
    return {
        "observedGeneration": found["metadata"]["generation"],
        "reportedAt": now,
        "sysctls": sysctls,
        "table": {"pressure": "Normal", "entries": 1, "limit": 262144},
        "conditions": [ready],
    }


def compliant(scene: Scene) -> str:
    """The policy's condition Compliant: its status and reason."""
    found = json.loads(scene.lab.kubectl("get", "rp", scene.name, "-o", "json"))
    conditions = found.get("status", {}).get("conditions", [])
    return next((f"{one['status']} {one['reason']}" for one in conditions if one["type"] == "Compliant"), "")


def states(lab: Lab) -> dict[str, Any]:
    """The NodeStates by name."""
    return {one["metadata"]["name"]: one for one in lab.api.get(STATES)["items"]}


def most_at_once(scene: Scene, since: Any) -> tuple[int, int]:
    """(nodes told, the most of them at any revision whose agent had not yet said that it is done)."""
    writes = [
        one for one in scene.lab.audit.writes(since=since) if one.resource == "nodestates" and one.succeeded
    ]
    writes.sort(key=lambda one: int(one.resource_version or 0))
    open_: set[str] = set()
    told: set[str] = set()
    most = 0
    for one in writes:
        body = one.response_object
        name = body["metadata"]["name"]
        done = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        told.add(name)
        (open_.discard if done else open_.add)(name)
        most = max(most, len(open_))
    return len(told), most


def test_fifty_nodes_are_told_in_waves_that_never_exceed_their_limit(scene: Scene) -> None:
    names = [f"{scene.name}-{number:02}" for number in range(50)]
    for number, name in enumerate(names):
        add(scene, name, cores=4 if number % 2 else 8)
    formula = {"name": MAX, "perCore": 65536, "min": 262144, "max": 1048576}
    since = scene.lab.audit.mark()
    with Agents(scene.lab).running(), scene.operator():
        policy(scene, [{"name": TIME_WAIT, "value": "60"}, formula])
        scene.lab.wait(lambda: compliant(scene).startswith("True"), 120, "the policy to be Compliant")
        made = states(scene.lab)
        assert sorted(made) == names
        values = {
            name: {one["name"]: one["value"] for one in found["spec"]["sysctls"]}
            for name, found in made.items()
        }
        assert values[names[0]] == {TIME_WAIT: 60, MAX: 524288}
        assert values[names[1]] == {TIME_WAIT: 60, MAX: 262144}
        assert most_at_once(scene, since) == (50, 5)
        since = scene.lab.audit.mark()
        policy(scene, [{"name": TIME_WAIT, "value": "50"}])
        scene.lab.wait(
            lambda: all(one["spec"]["sysctls"][0]["value"] == 50 for one in states(scene.lab).values()),
            120,
            "the change to be everywhere",
        )
        number, most = most_at_once(scene, since)
        assert (number, most <= 5) == (50, True)
        scene.delete_policy()
        scene.lab.wait(lambda: not states(scene.lab), 60, "the NodeStates to go")


def test_without_agents_the_wave_stays_at_its_canary_and_the_policy_is_not_compliant(scene: Scene) -> None:
    names = [f"{scene.name}-{number:02}" for number in range(4)]
    for name in names:
        add(scene, name, cores=4)
    with scene.operator():
        policy(scene, [{"name": TIME_WAIT, "value": "60"}])
        scene.lab.wait(lambda: list(states(scene.lab)) == names[:1], 30, "the canary")
        scene.lab.wait(lambda: compliant(scene) == "False DriftFound", 30, "the policy to say so")
        assert list(states(scene.lab)) == names[:1]


@needs_kernel("conntrack")
def test_a_real_agent_brings_the_value_and_gives_it_back(scene: Scene, tmp_path: Path) -> None:
    name = f"{scene.name}-real"
    add(scene, name, cores=4)
    with namespace() as ns:
        sysctls = agents.tree(tmp_path)
        bridge = Bridge(ns, scene.lab.server)
        (tmp_path / "token").write_text(agents.token(scene.lab, name))
        authority = agents.authority(scene.lab, tmp_path)
        arguments = ["--node", name, "--sysctls", str(sysctls), "--server", bridge.server]
        arguments += ["--token", str(tmp_path / "token"), "--certificate-authority", str(authority)]
        file = sysctls / "net/netfilter/nf_conntrack_tcp_timeout_time_wait"
        try:
            with agents.running(ns, *arguments), scene.operator():
                policy(scene, [{"name": TIME_WAIT, "value": "60"}], onRelease="Revert")
                scene.lab.wait(lambda: file.read_text() == "60\n", 60, "the value to be set")
                scene.lab.wait(lambda: compliant(scene).startswith("True"), 60, "the policy to be Compliant")
                scene.delete_policy()
                assert file.read_text() == "120\n"
                scene.lab.wait(lambda: not states(scene.lab), 30, "the NodeState to go")
        finally:
            bridge.close()
