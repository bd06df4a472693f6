"""manifests/setup and what stands on it: who may use the kind, and an uninstall in the order that everybody types."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import make_scene
from tests.e2e.scene import workload
from tests.e2e.test_rights import operator_of_the_manifests
from tests.lab import Lab, start
from tests.lab.errors import LabError
from tests.manifests.test_manifests import MANIFESTS, render

pytestmark = pytest.mark.lab

KIND = "resiliencepolicies.resilience.dev"
RULES: dict[str, object] = {"dnsConfig": {}}


@pytest.fixture(scope="module")
def installed() -> Iterator[Lab]:
    """A control plane of its own, with the operator's manifests as README has them applied."""
    with start() as lab:
        lab.needs("users", "audit")
        for folder in ("setup", "enforce"):
            lab.kubectl("apply", "-k", str(MANIFESTS / folder))
        lab.wait_established(KIND)
        lab.wait(lambda: listed(lab), what="policies to be listed")
        yield lab


def listed(lab: Lab) -> bool:
    """A kind that is established is not listed for a moment: its storage begins."""
    try:
        lab.kubectl("get", "rp")
    except LabError:
        return False
    return True


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}),
        ("admin", {"get", "list", "watch", "create", "update", "patch", "delete"}),
    ],
)
def test_the_clusters_own_roles_reach_policies_where_they_are_bound_to_the_whole_cluster(
    installed: Lab, role: str, may: set[str]
) -> None:
    installed.kubectl(
        "create", "clusterrolebinding", f"all-{role}", f"--clusterrole={role}", f"--user={role}"
    )
    installed.kubectl(
        "create", "rolebinding", f"one-{role}", f"--clusterrole={role}", f"--user=tenant-{role}"
    )
    installed.wait(lambda: can(installed, role) == may, what=f"{role} to be aggregated: {may}")
    assert can(installed, f"tenant-{role}") == set()


def can(lab: Lab, user: str) -> set[str]:
    """The verbs that a user may use on policies."""
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
    return {verb for verb in verbs if allowed(lab, verb, user)}


def allowed(lab: Lab, verb: str, user: str) -> bool:
    try:
        lab.kubectl("auth", "can-i", verb, KIND, f"--as={user}", "--all-namespaces")
    except LabError:
        return False
    return True


@pytest.mark.parametrize("command", ["check --cluster", "plan", "report"])
def test_the_readers_role_is_all_that_the_command_line_needs_to_look(installed: Lab, command: str) -> None:
    user = f"reader-{command.split()[0]}"
    installed.kubectl(
        "create", "clusterrolebinding", user, "--clusterrole=resilience-reader", f"--user={user}"
    )
    installed.kubectl(
        "create", "rolebinding", user, "--role=resilience-reader", f"--user={user}", "-n=kube-system"
    )
    ended = resilience(installed.kubeconfig(user), *command.split())
    assert (ended.returncode in (0, 1), ended.stderr) == (True, ""), ended.stdout + ended.stderr
    assert installed.audit.writes(user=user) == []
    refused = {one.resource for one in installed.audit.reads(user=user) if one.code == 403}
    assert refused <= {"applications"}, "what may hold secrets is left out, and everything else is read"


def resilience(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user."""
    argv = [sys.executable, "-m", "resilience_operator.cli.main", *arguments]
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(argv, check=False, capture_output=True, text=True, env=env, timeout=120)


def test_deleting_the_operator_before_its_policies_ends_at_once_and_loses_none_of_them(
    installed: Lab, tmp_path: Path
) -> None:
    scene = make_scene(installed, tmp_path)
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    before = scene.spec("web")
    with operator_of_the_manifests(scene):
        scene.policy(onRelease="Revert", deployments=RULES)
        scene.wait_compliant()
    installed.kubectl("delete", "-k", str(MANIFESTS / "enforce"), "--timeout=60s")
    for left in (f"crd/{KIND}", "namespace/resilience-system", f"rp/{scene.name}"):
        body = json.loads(installed.kubectl("get", left, "-o", "json"))
        assert "deletionTimestamp" not in body["metadata"], left
    # Back again, it lets go of what it wrote.
    installed.kubectl("apply", "-k", str(MANIFESTS / "enforce"))
    with operator_of_the_manifests(scene):
        scene.delete_policy()
    assert scene.spec("web") == before


@pytest.mark.parametrize("overlay", ["base", "enforce"])
def test_the_recommended_policy_finds_nothing_in_our_own_manifests(lab: Lab, overlay: str) -> None:
    argv = [sys.executable, "-m", "resilience_operator.cli.main", "check", "-"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": render(lab, overlay)})
    ended = subprocess.run(argv, check=False, input=text, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip().splitlines()[-1:]) == (
        0,
        ["0 findings in 0 of 2 objects (policy recommended)"],
    ), ended.stdout + ended.stderr
