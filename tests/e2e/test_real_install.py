"""The operator and the agents as pods on real nodes: images of the Dockerfiles, and the manifests as they are."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.agent.namespaces import udp
from tests.e2e import installed
from tests.e2e.conftest import make_scene
from tests.e2e.installed import AGENT, AGENT_USER, OPERATOR, OPERATOR_USER, set_sysctl, states, sysctl
from tests.e2e.real import load_entries, serve, wait_no_old_pods
from tests.e2e.scene import ROOT, Body, Scene
from tests.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

PRE_STOP: Body = {"gracefulShutdown": {"preStopSleepSeconds": 5, "minTerminationGracePeriodSeconds": 45}}
TIME_WAIT, MAX = "tcp_timeout_time_wait", "max"
NAME = "net.netfilter.nf_conntrack_"
SYSCTLS: Body = {
    "values": [{"name": NAME + TIME_WAIT, "value": "60"}, {"name": NAME + MAX, "perCore": 262144}],
}


@pytest.fixture
def scene(cluster: Lab, tmp_path: Path) -> Iterator[Scene]:
    made = make_scene(cluster, tmp_path)
    yield made
    cluster.kubectl("delete", "namespace", made.namespace, "--wait=false")


def test_the_operator_repairs_from_its_pod_and_another_takes_over(scene: Scene) -> None:
    lab = scene.lab
    serve(scene, "web")
    before, mark = scene.pod_spec("web"), lab.audit.mark()
    assert "lifecycle" not in before["containers"][0]
    section = {"namespaces": {"include": [scene.namespace]}, **PRE_STOP}
    installed.policy(lab, "graceful", deployments=section)
    installed.wait_compliant(lab, "graceful")
    wait_no_old_pods(scene, "web")
    assert scene.pod_spec("web")["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    wrote = lab.audit.writes(
        since=mark, namespace=scene.namespace, resource="deployments", user=OPERATOR_USER
    )
    assert {write.code for write in wrote if not write.asks_the_guard} == {200}

    running = installed.pods(lab, OPERATOR)
    assert {pod["spec"]["nodeName"] for pod in running} == {"real-1", "real-2"}, "one on each node"
    assert all(pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] for pod in running)
    leader = _leader(lab)
    lab.kubectl("-n", OPERATOR, "delete", "pod", leader, "--wait=false")
    lab.wait(lambda: _leader(lab) not in ("", leader), 60, "another leads")
    installed.policy(lab, "graceful", deployments={**section, "spread": {}})
    installed.wait_compliant(lab, "graceful")
    assert "topologySpreadConstraints" in scene.pod_spec("web")
    lab.kubectl("delete", "rp", "graceful", "--timeout=60s")
    assert set(installed.restarts(lab, OPERATOR)) == {0}


def _leader(lab: Lab) -> str:
    """The pod that holds the Lease."""
    who = ("get", "lease", "resilience-operator", "-o", "jsonpath={.spec.holderIdentity}")
    holder = lab.kubectl("-n", OPERATOR, *who)
    names = [pod["metadata"]["name"] for pod in installed.pods(lab, OPERATOR)]
    return next((name for name in names if holder.startswith(name)), "")


def test_the_agents_carry_out_what_the_operator_wrote_and_give_it_back(cluster: Lab) -> None:
    nodes = cluster.real.names()
    before = {node: (sysctl(cluster, node, TIME_WAIT), sysctl(cluster, node, MAX)) for node in nodes}
    machine = Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text()
    assert set(before.values()) == {(120, int(machine))}
    mark = cluster.audit.mark()
    installed.policy(cluster, "conntrack", onRelease="Revert", conntrack={"sysctls": SYSCTLS})
    installed.wait_compliant(cluster, "conntrack")
    seen = {node: (sysctl(cluster, node, TIME_WAIT), sysctl(cluster, node, MAX)) for node in nodes}
    assert seen == dict.fromkeys(nodes, (60, 262144 * _cores(cluster)))
    told = {
        node: {one["name"]: one for one in state["status"]["sysctls"]}
        for node, state in states(cluster).items()
    }
    for node in nodes:
        one = told[node][NAME + TIME_WAIT]
        assert (one["state"], one["observed"], one["before"], one["set"]) == ("Held", 60, 120, 60), one
    wrote = cluster.audit.writes(since=mark, resource="nodestates")
    spec = {write.user for write in wrote if write.subresource == ""}
    status = {(write.user, write.name, write.code) for write in wrote if write.subresource == "status"}
    assert (spec, status) == ({OPERATOR_USER}, {(AGENT_USER, node, 200) for node in nodes})

    set_sysctl(cluster, "real-1", TIME_WAIT, 300)
    cluster.wait(lambda: sysctl(cluster, "real-1", TIME_WAIT) == 60, 30, "the agent sets its value again")
    cluster.kubectl("delete", "rp", "conntrack", "--timeout=90s")
    assert {node: (sysctl(cluster, node, TIME_WAIT), sysctl(cluster, node, MAX)) for node in nodes} == before
    cluster.wait(lambda: states(cluster) == {}, 30, "the NodeStates are gone")
    assert Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text() == machine
    assert set(installed.restarts(cluster, AGENT)) == {0}


def _cores(lab: Lab) -> int:
    return int(lab.kubectl("get", "node", "real-1", "-o", "jsonpath={.status.capacity.cpu}"))


def test_a_kube_proxy_that_starts_again_and_again_is_contention_and_no_fight(cluster: Lab) -> None:
    lab, node, theirs = cluster, "real-2", {"maxPerCore": 32768, "min": 131072}
    before, ours = sysctl(lab, node, MAX), 262144 * _cores(lab)
    configuration = json.dumps({"conntrack": theirs})
    lab.kubectl(
        "-n",
        "kube-system",
        "create",
        "configmap",
        "kube-proxy",
        f"--from-literal=config.conf={configuration}",
    )
    installed.policy(lab, "conntrack", onRelease="Revert", conntrack={"sysctls": SYSCTLS})
    lab.wait(lambda: sysctl(lab, node, MAX) == ours, 120, "the agent has set its value")
    try:
        lab.real.set_proxy(node, conntrack=theirs)
        lab.wait(lambda: sysctl(lab, node, MAX) != ours, 30, "kube-proxy writes its own")
        for _ in range(3):
            lab.wait(lambda: sysctl(lab, node, MAX) == ours, 30, "the agent sets its value again")
            lab.real.set_proxy(node)
            lab.wait(lambda: sysctl(lab, node, MAX) != ours, 30, "kube-proxy writes its own")
        lab.wait(
            lambda: _told(lab, node)["state"] == "Contested", 60, "the agent leaves it alone, and says so"
        )
        assert _told(lab, node)["reason"] == "SysctlContention"
        assert sysctl(lab, node, MAX) == max(32768 * _cores(lab), 131072), "what kube-proxy wrote"
        reasons = {one["reason"]: one["message"] for one in _findings(lab, "conntrack")}
        assert "SysctlContention" in reasons, reasons
        assert "kube-system/kube-proxy" in reasons["KubeProxyRewrites"], reasons
    finally:
        lab.real.set_proxy(node, conntrack={"maxPerCore": 0, "min": 0})
        lab.kubectl("-n", "kube-system", "delete", "configmap", "kube-proxy")
    lab.kubectl("delete", "rp", "conntrack", "--timeout=90s")
    set_sysctl(lab, node, MAX, before)


def _told(lab: Lab, node: str) -> Body:
    """What an agent says of the limit."""
    sysctls: list[Body] = states(lab)[node].get("status", {}).get("sysctls", [])
    return next((one for one in sysctls if one["name"] == NAME + MAX), {"state": ""})


def _findings(lab: Lab, name: str) -> list[Body]:
    found: list[Body] = json.loads(lab.kubectl("get", "rp", name, "-o", "json"))["status"].get("findings", [])
    return found


def test_a_table_that_fills_is_a_condition_of_the_node_and_ends_with_it(cluster: Lab) -> None:
    lab = cluster
    # A level ends five points below its threshold.
    levels = {"warningPercent": 7, "criticalPercent": 8}
    installed.policy(lab, "pressure", conntrack={"pressure": levels})
    lab.wait(lambda: _pressure(lab) == {"real-1": "False", "real-2": "False"}, 90, "both nodes are at ease")
    limit = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    clients = [f"10.200.{n // 250}.{n % 250 + 1}" for n in range(limit * 9 // 100 // 4)]
    entries = [udp(client, 20000 + n, "10.96.200.1", "10.245.9.9") for client in clients for n in range(4)]
    load_entries(lab, "real-2", entries)
    lab.wait(
        lambda: _pressure(lab) == {"real-1": "False", "real-2": "True"}, 60, "the full one is under pressure"
    )
    state = states(lab)["real-2"]["status"]["table"]
    assert (state["pressure"], state["limit"]) == ("Critical", limit), state
    lab.real.forget_connections()
    lab.wait(lambda: _pressure(lab) == {"real-1": "False", "real-2": "False"}, 90, "it is at ease again")
    lab.kubectl("delete", "rp", "pressure", "--timeout=60s")
    lab.wait(
        lambda: _pressure(lab) == {"real-1": "", "real-2": ""}, 30, "the condition is gone with its policy"
    )


def _pressure(lab: Lab) -> dict[str, str]:
    """The condition ConntrackPressure of each node; "" where there is none."""
    found = {}
    for node in json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]:
        known = {one["type"]: one["status"] for one in node["status"]["conditions"]}
        found[node["metadata"]["name"]] = known.get("ConntrackPressure", "")
    return found


def test_restore_gives_a_node_its_values_back_once_its_agent_is_gone(cluster: Lab) -> None:
    lab, node = cluster, "real-1"
    installed.policy(lab, "conntrack", onRelease="Revert", conntrack={"sysctls": SYSCTLS})
    installed.wait_compliant(lab, "conntrack")
    refused = _restore(lab, node)
    assert refused == (
        "Failed",
        f"NodeState {node} still demands {NAME}{MAX}, {NAME}{TIME_WAIT}; take them out of its spec first\n",
    )
    lab.kubectl("-n", AGENT, "delete", "daemonset", "resilience-agent", "--wait=true", "--cascade=foreground")
    lab.kubectl("delete", "rp", "conntrack", "--wait=false")
    lab.wait(lambda: "sysctls" not in _demands(lab, node), 60, "nothing is demanded any more")
    assert sysctl(lab, node, TIME_WAIT) == 60, "nobody is there to give it back"
    phase, said = _restore(lab, node)
    assert (phase, f"{NAME}{TIME_WAIT}: 120 (ours was 60)\n" in said) == ("Succeeded", True), said
    assert (sysctl(lab, node, TIME_WAIT), sysctl(lab, "real-2", TIME_WAIT)) == (120, 60)
    lab.kubectl("apply", "-k", str(ROOT / "manifests/agent"))
    lab.kubectl("wait", "--for=delete", "rp/conntrack", "--timeout=120s")
    assert sysctl(lab, "real-2", TIME_WAIT) == 120


def _demands(lab: Lab, node: str) -> Body:
    found: Body = {key: value for key, value in states(lab)[node]["spec"].items() if value}
    return found


def _restore(lab: Lab, node: str) -> tuple[str, str]:
    """`resilience-agent restore` in a pod of the DaemonSet's own template; how it ended, and what it said."""
    template = yaml.safe_load((ROOT / "manifests/agent/agent.yaml").read_text())["spec"]["template"]
    spec = template["spec"] | {"nodeName": node, "restartPolicy": "Never"}
    spec["containers"][0] |= {"args": ["restore"], "image": installed.IMAGES["Dockerfile.agent"]}
    meta = {"name": "restore", "namespace": AGENT}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    lab.kubectl("create", "-f", "-", input=json.dumps(pod))

    def phase() -> str:
        return lab.kubectl("-n", AGENT, "get", "pod", "restore", "-o", "jsonpath={.status.phase}")

    lab.wait(lambda: phase() in ("Succeeded", "Failed"), 60, "restore has ended")
    ended, said = phase(), lab.kubectl("-n", AGENT, "logs", "restore")
    lab.kubectl("-n", AGENT, "delete", "pod", "restore", "--wait=true")
    return ended, said
