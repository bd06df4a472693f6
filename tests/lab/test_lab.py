"""The lab keeps its promises: each test fails if the lab only pretended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, LabError, attach
from tests.lab.boot import FOREIGN, start
from tests.lab.state import Process
from tests.support import ROOT
from tests.support.sockets import listening


def deployment(name: str, replicas: int = 3, **annotations: str) -> dict[str, Any]:
    """A Deployment without any constraint, its pods with these wishes to the lab."""
    wishes = {f"lab.resilience.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "app", "image": "example.com/app:1", "resources": resources}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": wishes},
                "spec": {"containers": [container]},
            },
        },
    }


def apply(lab: Lab, namespace: str, body: dict[str, Any]) -> None:
    """Create or change an object as a user does."""
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body))


def pods(lab: Lab, namespace: str) -> list[dict[str, Any]]:
    """The pods of a namespace that are not being deleted."""
    items = json.loads(lab.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod is ready."""
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def ready_pods(lab: Lab, namespace: str) -> list[str]:
    """The names of the ready pods, sorted."""
    return sorted(pod["metadata"]["name"] for pod in pods(lab, namespace) if is_ready(pod))


def rolled_out(lab: Lab, namespace: str, name: str, seconds: int = 30) -> None:
    """Wait for a rollout with kubectl's own judgement."""
    lab.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, f"--timeout={seconds}s")


def control_plane(lab: Lab) -> dict[str, int]:
    """The programs of the shared lab, without Argo CD, which another test may have started beside it."""
    return {name: pid for name, pid in lab.running().items() if not name.startswith("argocd-")}


def test_api_is_ready_soon(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    lab.needs("parts")
    record_property("seconds_to_ready", round(lab.seconds_to_ready, 1))
    print(f"API ready after {lab.seconds_to_ready:.1f} s")
    assert 0 < lab.seconds_to_ready <= 30
    assert set(control_plane(lab)) == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }
    assert json.loads(lab.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == "v1.36.3"


def test_nodes_are_ready_in_two_zones(lab: Lab) -> None:
    lab.needs("nodes")
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node-1", "node-2", "node-3", "node-4"]
    assert all(is_ready(node) for node in nodes)
    zones = Counter(node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes)
    assert zones == {"zone-a": 2, "zone-b": 2}
    assert (
        nodes[0]["status"]["allocatable"] | {"cpu": "4", "memory": "8Gi", "pods": "110"}
        == (nodes[0]["status"]["allocatable"])
    )


def test_every_part_listens_on_loopback_only(lab: Lab) -> None:
    lab.needs("parts")
    addresses = [address for pid in control_plane(lab).values() for address in listening(pid)]
    assert len(addresses) >= 6
    assert set(addresses) == {"127.0.0.1"}


def test_replicas_without_a_constraint_pile_up(lab: Lab, namespace: str) -> None:
    lab.needs("nodes")
    apply(lab, namespace, deployment("web"))
    rolled_out(lab, namespace, "web")
    assert len({pod["spec"]["nodeName"] for pod in pods(lab, namespace)}) == 1
    lab.kubectl("rollout", "restart", "deployment/web", "-n", namespace)
    rolled_out(lab, namespace, "web")
    assert len({pod["spec"]["nodeName"] for pod in pods(lab, namespace)}) == 1


def test_a_constraint_spreads_them(lab: Lab, namespace: str) -> None:
    lab.needs("nodes")
    body = deployment("web")
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    body["spec"]["template"]["spec"]["topologySpreadConstraints"] = [constraint]
    apply(lab, namespace, body)
    rolled_out(lab, namespace, "web")
    assert len({pod["spec"]["nodeName"] for pod in pods(lab, namespace)}) == 3


def test_ready_pods_are_endpoints(lab: Lab, namespace: str) -> None:
    apply(lab, namespace, deployment("web"))
    lab.kubectl("expose", "deployment/web", "-n", namespace, "--port=80")

    def addresses() -> set[str]:
        slices = json.loads(lab.kubectl("get", "endpointslices", "-n", namespace, "-o", "json"))["items"]
        endpoints = [each for some in slices for each in some.get("endpoints") or ()]
        return {each["addresses"][0] for each in endpoints if each["conditions"]["ready"]}

    lab.wait(lambda: len(addresses()) == 3, what="three ready endpoints")
    assert addresses() == {pod["status"]["podIP"] for pod in pods(lab, namespace)}


def test_a_pod_is_ready_when_it_asked_to_be(lab: Lab, namespace: str) -> None:
    lab.needs("pods")
    apply(lab, namespace, deployment("slow", replicas=1, ready_after="3s"))
    lab.wait(
        lambda: [pod for pod in pods(lab, namespace) if pod["status"]["phase"] == "Running"], what="running"
    )
    running = time.monotonic()
    assert ready_pods(lab, namespace) == []
    lab.wait(lambda: ready_pods(lab, namespace), what="ready")
    assert 1.5 <= time.monotonic() - running <= 10


def test_a_pod_can_stay_unready_or_crash(lab: Lab, namespace: str) -> None:
    lab.needs("pods")
    apply(lab, namespace, deployment("stuck", replicas=1, ready="never"))
    apply(lab, namespace, deployment("crashing", replicas=1, crash="true"))

    def restarts() -> int:
        crashing = [pod for pod in pods(lab, namespace) if pod["metadata"]["labels"]["app"] == "crashing"]
        statuses = [each for pod in crashing for each in pod["status"].get("containerStatuses", ())]
        assert all(each["state"]["waiting"]["reason"] == "CrashLoopBackOff" for each in statuses)
        return max((each["restartCount"] for each in statuses), default=0)

    lab.wait(lambda: restarts() >= 3, what="three restarts")
    assert [pod["status"]["phase"] for pod in pods(lab, namespace)] == ["Running", "Running"]
    assert ready_pods(lab, namespace) == []


@pytest.mark.parametrize("how", ["never", "crash"])
def test_new_pods_break_and_old_ones_stay_well(lab: Lab, namespace: str, how: Any) -> None:
    lab.needs("pods")
    apply(lab, namespace, deployment("web"))
    rolled_out(lab, namespace, "web")
    before = ready_pods(lab, namespace)
    template = lab.kubectl("get", "deployment/web", "-n", namespace, "-o", "jsonpath={.spec.template}")

    lab.break_new_pods(namespace, how)
    assert template == lab.kubectl(
        "get", "deployment/web", "-n", namespace, "-o", "jsonpath={.spec.template}"
    )
    lab.kubectl("set", "image", "deployment/web", "app=example.com/app:2", "-n", namespace)
    with pytest.raises(LabError, match="timed out"):
        rolled_out(lab, namespace, "web", seconds=5)
    broken = [pod for pod in pods(lab, namespace) if not is_ready(pod)]
    assert [pod["status"]["phase"] for pod in broken] == ["Running"]
    assert "restartCount" in broken[0]["status"]["containerStatuses"][0]
    assert (broken[0]["status"]["containerStatuses"][0]["restartCount"] >= 1) == (how == "crash")
    assert ready_pods(lab, namespace) == before

    lab.mend_new_pods(namespace)
    lab.kubectl("rollout", "restart", "deployment/web", "-n", namespace)
    rolled_out(lab, namespace, "web")
    assert not set(ready_pods(lab, namespace)) & set(before)


def test_another_namespace_does_not_break(lab: Lab, namespace: str) -> None:
    lab.needs("pods")
    other = lab.namespace("well")
    lab.break_new_pods(namespace)
    apply(lab, other, deployment("web"))
    rolled_out(lab, other, "web")
    lab.kubectl("delete", "namespace", other, "--wait=false")


def test_nodes_come_go_and_are_cordoned(own_lab: Callable[..., Lab]) -> None:
    lab = own_lab(nodes=1)
    namespace = lab.namespace()
    lab.add_node("extra", zone="zone-z", cpu="8")
    lab.cordon("node-1")
    apply(lab, namespace, deployment("web"))
    rolled_out(lab, namespace, "web")
    assert {pod["spec"]["nodeName"] for pod in pods(lab, namespace)} == {"extra"}

    lab.uncordon("node-1")
    lab.remove_node("extra", with_pods=True)
    lab.wait(
        lambda: {pod["spec"].get("nodeName") for pod in pods(lab, namespace) if is_ready(pod)} == {"node-1"},
        what="the removed node's pods run elsewhere",
    )


def test_a_not_ready_node_stays_so(own_lab: Callable[..., Lab]) -> None:
    lab = own_lab(nodes=2)
    namespace = lab.namespace()
    apply(lab, namespace, deployment("web"))
    rolled_out(lab, namespace, "web")
    (home,) = {pod["spec"]["nodeName"] for pod in pods(lab, namespace)}

    lab.set_ready(home, False)
    lab.wait(lambda: not ready_pods(lab, namespace), what="its pods are not ready")
    time.sleep(5)
    node = json.loads(lab.kubectl("get", "node", home, "-o", "json"))
    assert not is_ready(node)
    assert ready_pods(lab, namespace) == []
    apply(lab, namespace, deployment("new", replicas=1))
    rolled_out(lab, namespace, "new")

    lab.set_ready(home, True)
    lab.wait(lambda: len(ready_pods(lab, namespace)) == 4, what="its pods are ready again")


def test_a_node_can_be_added_not_ready(own_lab: Callable[..., Lab]) -> None:
    lab = own_lab(nodes=0)
    lab.add_node("late", ready=False)
    assert "NotReady" in lab.kubectl("get", "node", "late")
    lab.set_ready("late", True)
    assert "NotReady" not in lab.kubectl("get", "node", "late")


def test_a_paused_scheduler_places_nothing(own_lab: Callable[..., Lab]) -> None:
    lab = own_lab(nodes=1)
    namespace = lab.namespace()
    lab.pause("kube-scheduler")
    apply(lab, namespace, deployment("web"))
    lab.wait(lambda: len(pods(lab, namespace)) == 3, what="three pods")
    time.sleep(3)
    assert not any("nodeName" in pod["spec"] for pod in pods(lab, namespace))
    lab.resume("kube-scheduler")
    rolled_out(lab, namespace, "web")


def test_every_part_can_be_killed_and_comes_back(own_lab: Callable[..., Lab]) -> None:
    lab = own_lab(nodes=1)
    namespace, server, before = lab.namespace(), lab.server, lab.running()
    lab.kill("kube-apiserver")
    assert "kube-apiserver" not in lab.running()
    with pytest.raises(LabError, match="refused"):
        lab.kubectl("get", "nodes")
    lab.restart("kube-apiserver")
    assert lab.server == server
    assert "node-1" in lab.kubectl("get", "nodes")

    for part in ("etcd", "kube-controller-manager", "kube-scheduler", "kwok"):
        lab.restart(part)
    assert not set(before.values()) & set(lab.running().values())
    apply(lab, namespace, deployment("web"))
    rolled_out(lab, namespace, "web", seconds=60)


def test_the_audit_log_names_who_wrote(lab: Lab, namespace: str) -> None:
    lab.needs("audit", "users")
    user = lab.kubeconfig("jane", groups=["system:masters"])
    mark = lab.audit.mark()
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"key": "value"}}
    lab.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(body), kubeconfig=user)
    lab.kubectl("get", "configmap/one", "-n", namespace, kubeconfig=user)

    (write,) = lab.audit.writes(since=mark, user="jane")
    assert (write.verb, write.resource, write.namespace, write.name, write.code) == (
        "create",
        "configmaps",
        namespace,
        "one",
        201,
    )
    assert write.user_agent.startswith("kubectl/")
    assert write.request_object["data"] == {"key": "value"}
    assert write.resource_version == write.response_object["metadata"]["resourceVersion"] != ""
    assert [read.verb for read in lab.audit.reads(since=mark, user="jane", namespace=namespace)] == ["get"]
    assert lab.audit.writes(since=lab.audit.mark()) == []
    assert lab.audit.writes(since=mark, user="jane", resource="secrets") == []
    assert len(lab.audit.writes(since=mark, user="jane", user_agent="kubectl", namespace=namespace)) == 1


def test_a_user_without_rights_is_refused(lab: Lab, namespace: str) -> None:
    lab.needs("users", "audit")
    nobody = lab.kubeconfig("nobody", groups=["the-curious"])
    mark = lab.audit.mark()
    with pytest.raises(LabError, match=r'forbidden: User "nobody"'):
        lab.kubectl("create", "configmap", "mine", "-n", namespace, kubeconfig=nobody)
    (write,) = lab.audit.writes(since=mark, user="nobody")
    assert (write.code, write.succeeded) == (403, False)
    who = json.loads(lab.kubectl("auth", "whoami", "-o", "json", kubeconfig=nobody))
    assert "the-curious" in who["status"]["userInfo"]["groups"]


def test_a_service_account_has_what_it_was_granted(lab: Lab, namespace: str) -> None:
    lab.needs("users")
    lab.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    account = f"{namespace}:reader"
    lab.kubectl(
        "create", "rolebinding", "r", "--clusterrole=view", f"--serviceaccount={account}", "-n", namespace
    )
    access = lab.kubeconfig(service_account=f"{namespace}/reader")
    lab.kubectl("get", "configmaps", "-n", namespace, kubeconfig=access)
    with pytest.raises(LabError, match=f"system:serviceaccount:{account}"):
        lab.kubectl("get", "configmaps", "-n", "kube-system", kubeconfig=access)


def test_pod_security_is_enforced(lab: Lab) -> None:
    restricted = lab.namespace("safe", labels={"pod-security.kubernetes.io/enforce": "restricted"})
    with pytest.raises(LabError, match="violates PodSecurity"):
        lab.kubectl("run", "pod", "--image=example.com/app:1", "-n", restricted)
    lab.kubectl("delete", "namespace", restricted, "--wait=false")


def test_waiting_says_for_what_and_what_was_seen(lab: Lab) -> None:
    with pytest.raises(AssertionError, match=r"a miracle; last: \[\]"):
        lab.wait(list, timeout=0.2, what="a miracle")


def test_two_labs_side_by_side(lab: Lab, own_lab: Callable[..., Lab]) -> None:
    other = own_lab(nodes=1)
    assert other.server != lab.server
    assert other.kubectl("get", "nodes", "-o", "name").split() == ["node/node-1"]
    directory = other.directory
    other.stop()
    assert not directory.exists()
    assert "node-4" in lab.kubectl("get", "nodes", "-o", "name")


OWNER = """
import json, signal
from tests.lab import start
lab = start(nodes=1)
lab.pause("kube-scheduler")
print(json.dumps([str(lab.directory), lab.running()]), flush=True)
signal.pause()
"""


def test_a_killed_owner_leaves_nothing_behind(own_lab: Callable[..., Lab]) -> None:
    argv = [sys.executable, "-c", OWNER]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        directory, running = json.loads(owner.stdout.readline())
        parts = [Process.of(pid) for pid in running.values()]
        assert len(parts) == 5
        assert all(part.alive() for part in parts)
        owner.send_signal(signal.SIGKILL)
    assert all(part.gone_within(10) for part in parts)
    end = time.monotonic() + 10
    while Path(directory).exists():
        assert time.monotonic() < end, f"{directory} was left behind"
        time.sleep(0.1)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the lab's command line as a person does."""
    argv = [sys.executable, "-m", "tests.lab", *arguments]
    return subprocess.run(argv, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_up_status_down(tmp_path: Path, own_lab: Callable[..., Lab]) -> None:
    here = ("--dir", str(tmp_path / "lab"))
    access = tmp_path / "access"
    assert command("status", *here).returncode == 3
    try:
        up = command("up", "--nodes", "2", "--kubeconfig", str(access), *here)
        assert up.returncode == 0, up.stderr
        assert f"export KUBECONFIG={access}" in up.stdout
        assert "already" in command("up", *here).stdout

        status = command("status", *here)
        assert (status.returncode, status.stdout.count(" Ready ")) == (0, 2)
        lab = attach(tmp_path / "lab")
        assert "node-2" in lab.kubectl("get", "nodes", kubeconfig=access)
        namespace = lab.namespace()
        lab.break_new_pods(namespace)
        assert lab.audit.writes(resource="namespaces", name=namespace)
        with pytest.raises(LabError, match="started this lab"):
            lab.kill("etcd")
    finally:
        saved = json.loads((tmp_path / "lab" / "lab.json").read_text())
        down = command("down", *here)
    assert down.returncode == 0, down.stderr
    assert not any(Process(**part).alive() for part in saved["parts"].values())
    assert command("status", *here).returncode == 3
    assert command("down", *here).returncode == 0


def test_a_foreign_cluster_gives_no_powers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOREIGN, str(lab.kubeconfig()))
    with start() as foreign:
        assert foreign.powers == frozenset()
        name = foreign.namespace()
        with pytest.raises(pytest.skip.Exception, match="parts, nodes"):
            foreign.needs("parts", "nodes")
        with pytest.raises(LabError, match="no power"):
            foreign.break_new_pods(name)
        with pytest.raises(LabError):
            foreign.kill("etcd")
        assert foreign.kubeconfig() == lab.kubeconfig()
    assert name in lab.kubectl("get", "namespaces", "-o", "name")
    lab.kubectl("delete", "namespace", name, "--wait=false")
