"""The operator and nodes with agents before a real API server: simulated agents, and a real one in a namespace."""

import json
import subprocess
import sys
from collections.abc import Iterator
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
from tests.targets.nodes.agents import STATES, Agents, most_at_once

pytestmark = pytest.mark.lab

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


def compliant(scene: Scene) -> str:
    """The policy's condition Compliant: its status and reason."""
    found = json.loads(scene.lab.kubectl("get", "rp", scene.name, "-o", "json"))
    conditions = found.get("status", {}).get("conditions", [])
    return next((f"{one['status']} {one['reason']}" for one in conditions if one["type"] == "Compliant"), "")


def states(scene: Scene) -> dict[str, Any]:
    """The NodeStates of the scene's nodes by name."""
    found = {one["metadata"]["name"]: one for one in scene.lab.api.get(STATES)["items"]}
    return {name: one for name, one in found.items() if name.startswith(scene.name)}


def test_fifty_nodes_are_told_in_waves_that_never_exceed_their_limit(scene: Scene) -> None:
    names = [f"{scene.name}-{number:02}" for number in range(50)]
    for number, name in enumerate(names):
        add(scene, name, cores=4 if number % 2 else 8)
    formula = {"name": MAX, "perCore": 65536, "min": 262144, "max": 1048576}
    since = scene.lab.audit.mark()
    with Agents(scene.lab).running(), scene.operator():
        policy(scene, [{"name": TIME_WAIT, "value": "60"}, formula], onRelease="Revert")
        scene.lab.wait(lambda: compliant(scene).startswith("True"), 120, "the policy to be Compliant")
        made = states(scene)
        assert sorted(made) == names
        values = {
            name: {one["name"]: one["value"] for one in found["spec"]["sysctls"]}
            for name, found in made.items()
        }
        assert values[names[0]] == {TIME_WAIT: 60, MAX: 524288}
        assert values[names[1]] == {TIME_WAIT: 60, MAX: 262144}
        assert most_at_once(scene.lab, since) == (50, 5)
        since = scene.lab.audit.mark()
        policy(scene, [{"name": TIME_WAIT, "value": "50"}], onRelease="Revert")
        scene.lab.wait(
            lambda: all(one["spec"]["sysctls"][0]["value"] == 50 for one in states(scene).values()),
            120,
            "the change to be everywhere",
        )
        number, most = most_at_once(scene.lab, since)
        assert (number, 1 < most <= 5) == (50, True)
        since = scene.lab.audit.mark()
        scene.delete_policy(wait=False)
        scene.lab.wait(lambda: not states(scene), 120, "the NodeStates to go")
        number, most = most_at_once(scene.lab, since)
        assert (number, 1 < most <= 5) == (50, True), "values are given back in waves as well"


def test_a_node_whose_nodestate_is_refused_holds_no_other_up(scene: Scene) -> None:
    """The canary's turn would be the first node's for ever."""
    names = [f"{scene.name}-{number:02}" for number in range(4)]
    for name in names:
        add(scene, name, cores=4)
    guard = refusing(scene, names[0])
    try:
        with Agents(scene.lab).running(), scene.operator():
            policy(scene, [{"name": TIME_WAIT, "value": "60"}])
            scene.lab.wait(lambda: sorted(states(scene)) == names[1:], 60, "the other nodes")
            assert compliant(scene) == "False DriftFound"
            scene.lab.kubectl("delete", *guard)
            scene.lab.wait(lambda: not refused(scene, names[0]), 30, "the refusal to end")
            scene.lab.kubectl("label", "node", names[0], "touched=yes")
            scene.lab.wait(lambda: names[0] in states(scene), 60, "the node that was refused")
    finally:
        scene.lab.kubectl("delete", "--ignore-not-found", *guard)


def refusing(scene: Scene, name: str) -> tuple[str, str]:
    """Let the API server refuse the NodeState of that name; what is to be deleted."""
    kind, called = "validatingadmissionpolicy", f"refuse-{name}"
    rule = {
        "apiGroups": ["resilience.dev"],
        "apiVersions": ["v1alpha1"],
        "operations": ["CREATE"],
        "resources": ["nodestates"],
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": called}}
    what = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": f"object.metadata.name != '{name}'", "message": "not this one"}],
    }
    whole = {"policyName": called, "validationActions": ["Deny"]}
    scene.apply(head | {"kind": "ValidatingAdmissionPolicy", "spec": what})
    scene.apply(head | {"kind": "ValidatingAdmissionPolicyBinding", "spec": whole})
    scene.lab.wait(lambda: refused(scene, name), 30, "the refusal to be in force")
    return f"{kind}/{called}", f"{kind}binding/{called}"


def refused(scene: Scene, name: str) -> bool:
    """True while the API server refuses the NodeState of that name."""
    body = {"apiVersion": "resilience.dev/v1alpha1", "kind": "NodeState", "metadata": {"name": name}}
    try:
        scene.lab.api.create(f"{STATES}?dryRun=All", body)
    except ApiError as error:
        return "not this one" in str(error)
    return False


def test_revert_gives_nodes_their_values_back_while_the_policy_rests(scene: Scene) -> None:
    names = [f"{scene.name}-{number:02}" for number in range(6)]
    for name in names:
        add(scene, name, cores=4)
    values = [{"name": TIME_WAIT, "value": "60"}]
    command = [sys.executable, "-m", "resilience_operator.cli.main", "revert", scene.name, "--yes"]
    command += [f"--kubeconfig={scene.lab.kubeconfig()}"]
    with Agents(scene.lab).running(), scene.operator():
        policy(scene, values)
        scene.lab.wait(lambda: compliant(scene).startswith("True"), 60, "the policy to be Compliant")
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert (ran.returncode, "enforces: it would write again" in ran.stderr) == (2, True)
        policy(scene, values, suspend=True)
        since = scene.lab.audit.mark()
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr
        assert states(scene) == {}
        assert most_at_once(scene.lab, since) == (6, 1)
        said = [f"NodeState {name}: emptied, its agent gives the values back" for name in names]
        assert sorted(ran.stdout.splitlines()) == sorted(
            said + [f"NodeState {name}: removed" for name in names]
        )


def test_without_agents_the_wave_stays_at_its_canary_and_the_policy_is_not_compliant(scene: Scene) -> None:
    names = [f"{scene.name}-{number:02}" for number in range(4)]
    for name in names:
        add(scene, name, cores=4)
    with scene.operator():
        policy(scene, [{"name": TIME_WAIT, "value": "60"}])
        scene.lab.wait(lambda: list(states(scene)) == names[:1], 30, "the canary")
        scene.lab.wait(lambda: compliant(scene) == "False DriftFound", 30, "the policy to say so")
        assert list(states(scene)) == names[:1]


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
                scene.lab.wait(lambda: not states(scene), 30, "the NodeState to go")
        finally:
            bridge.close()
