"""The agent as a process in a network namespace, before a real API server."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
import yaml

from resilience_operator.agent.api import Access, Api, ApiError
from tests.agent import scene
from tests.agent.namespaces import Namespace, namespace, needs_kernel, udp
from tests.agent.scene import Bridge
from tests.lab import Lab

pytestmark = pytest.mark.lab

NODES = 50
STATES = "/apis/resilience.dev/v1alpha1/nodestates"


@pytest.fixture(scope="module")
def agents(lab: Lab) -> Lab:
    """The lab with the agents' kind, rights and guard, in force."""
    scene.install(lab)
    scene.node(lab, "first")
    time.sleep(1.0)
    return lab


def test_a_token_writes_the_status_of_its_own_node_and_of_no_other(agents: Lab, tmp_path: Path) -> None:
    """50 nodes and 50 tokens: 50 writes are allowed, 2450 refused."""
    names = [f"node-{number:02}" for number in range(NODES)]
    ca = scene.authority(agents, tmp_path)
    for name in names:
        scene.node(agents, name)
    with Bearer(agents, scene.token(agents, "node-00"), ca) as first:
        agents.wait(lambda: first.write("node-01")[0] == 422, what="the guard to be in force")
    answers: Counter[tuple[bool, int]] = Counter()
    said = set()
    for owner in names:
        with Bearer(agents, scene.token(agents, owner), ca) as bearer:
            for name in names:
                code, message = bearer.write(name)
                answers[owner == name, code] += 1
                said.add(message.replace(owner, "OWNER").replace(name, "NAME"))
    assert answers == {(True, 200): NODES, (False, 422): NODES * (NODES - 1)}
    (refused,) = said - {""}
    assert "an agent may only write the status of its own node, OWNER" in refused


class Bearer:
    """Whoever has a token, with a connection that stays."""

    def __init__(self, lab: Lab, token: str, authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = http.client.HTTPSConnection(urlsplit(lab.server).netloc, context=context)
        self._headers = {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Any, kind: str) -> tuple[int, Any]:
        headers = self._headers | {"Content-Type": kind}
        self._connection.request(method, path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def write(self, name: str) -> tuple[int, str]:
        """Write the status of a node; the code, and why it was not done."""
        body = {"status": {"reportedAt": "2026-11-22T08:00:00Z"}}
        code, said = self.request("PATCH", f"{STATES}/{name}/status", body, "application/merge-patch+json")
        return code, said["message"] if code != 200 else ""


def _written(client: Api, name: str) -> str:
    """Why a status was not written; "" if it was."""
    try:
        client.patch(f"{STATES}/{name}/status", {"status": {"reportedAt": "2026-11-22T08:00:00Z"}})
    except ApiError as error:
        return str(error)
    return ""


def test_a_token_that_is_bound_to_no_node_writes_nothing(agents: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(agents.kubectl("create", "token", "resilience-agent", "-n", scene.SPACE))
    client = Api(Access(agents.server, tmp_path / "token", scene.authority(agents, tmp_path)))
    assert "its token is bound to none" in _written(client, "first")


def readable(bearer: Bearer, namespace: str) -> set[tuple[str, str, str]]:
    """(resource, verbs, names) of all that the API server lets the token do there, but ask about itself."""
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    code, said = bearer.request("POST", path, asked | {"spec": {"namespace": namespace}}, "application/json")
    assert (code, said["status"]["incomplete"]) == (201, False)
    return {
        (resource, ", ".join(sorted(rule["verbs"])), ", ".join(rule.get("resourceNames") or ()))
        for rule in said["status"]["resourceRules"]
        for resource in rule["resources"]
        if not resource.startswith("selfsubject")
    }


def test_what_an_agent_may_do_is_this_and_nothing_secret(agents: Lab, tmp_path: Path) -> None:
    roles = list(yaml.safe_load_all((scene.ROOT / "manifests/agent/rights.yaml").read_text()))
    rights = [
        (one["kind"], one["metadata"].get("namespace", ""), what, tuple(rule.get("resourceNames", ())), verb)
        for one in roles
        for rule in one.get("rules", ())
        for what in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(rights) == [
        ("ClusterRole", "", "nodestates", (), "get"),
        ("ClusterRole", "", "nodestates", (), "list"),
        ("ClusterRole", "", "nodestates", (), "watch"),
        ("ClusterRole", "", "nodestates/status", (), "patch"),
        ("Role", "kube-system", "endpointslices", (), "list"),
        ("Role", "kube-system", "endpointslices", (), "watch"),
        ("Role", "kube-system", "services", ("kube-dns",), "get"),
    ]
    with Bearer(agents, scene.token(agents, "first"), scene.authority(agents, tmp_path)) as bearer:
        assert readable(bearer, "kube-system") == {
            ("nodestates", "get, list, watch", ""),
            ("nodestates/status", "patch", ""),
            ("endpointslices", "list, watch", ""),
            ("services", "get", "kube-dns"),
        }
        assert readable(bearer, "default") == {
            ("nodestates", "get, list, watch", ""),
            ("nodestates/status", "patch", ""),
        }
    who = f"--as=system:serviceaccount:{scene.SPACE}:resilience-agent"
    for refused in (
        "get secrets",
        "list pods",
        "update nodestates",
        "create nodestates",
        "patch nodes",
        "get nodes",
    ):
        ran = subprocess.run(
            [
                str(agents.kubectl_program),
                f"--kubeconfig={agents.kubeconfig()}",
                "auth",
                "can-i",
                *refused.split(),
                "-A",
                who,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stdout.strip() == "no", refused


def test_the_daemon_set_is_taken_by_the_api_server(agents: Lab) -> None:
    agents.kubectl("apply", "--dry-run=server", "-k", str(scene.ROOT / "manifests/agent"))
    found = yaml.safe_load((scene.ROOT / "manifests/agent/agent.yaml").read_text())["spec"]
    pod = found["template"]["spec"]
    container = pod["containers"][0]
    assert (pod["hostNetwork"], pod["priorityClassName"], pod["tolerations"]) == (
        True,
        "system-node-critical",
        [{"operator": "Exists"}],
    )
    assert found["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}
    assert container["resources"] == {
        "requests": {"cpu": "5m", "memory": "24Mi"},
        "limits": {"memory": "64Mi"},
    }
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert "privileged" not in container["securityContext"]


# The process


@pytest.fixture
def ns() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


class Site:
    """One node with everything that its agent meets."""

    def __init__(self, lab: Lab, ns: Namespace, folder: Path, name: str) -> None:
        self.lab, self.ns, self.name = lab, ns, name
        self.sysctls = scene.tree(folder)
        self.bridge = Bridge(ns, lab.server)
        (folder / "token").write_text(scene.token(lab, name))
        self.token = folder / "token"
        ca = scene.authority(lab, folder)
        self.arguments = ["--node", name, "--sysctls", str(self.sysctls), "--server", self.bridge.server]
        self.arguments += ["--token", str(self.token), "--certificate-authority", str(ca)]

    def sysctl(self, name: str) -> int:
        return int((self.sysctls / f"net/netfilter/nf_conntrack_{name}").read_text())

    def put(self, name: str, value: int) -> None:
        (self.sysctls / f"net/netfilter/nf_conntrack_{name}").write_text(f"{value}\n")

    def status(self) -> Any:
        return scene.state(self.lab, self.name).get("status", {})

    def spec(self, **spec: Any) -> None:
        self.lab.kubectl("patch", "nodestate", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def wait(self, name: str, value: int, timeout: float = 40) -> None:
        self.lab.wait(lambda: self.sysctl(name) == value, timeout, f"{name} to be {value}")


@pytest.fixture
def site(agents: Lab, ns: Namespace, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    name = f"site-{abs(hash(request.node.name)) % 10**8}"
    scene.node(agents, name)
    made = Site(agents, ns, tmp_path, name)
    yield made
    made.bridge.close()
    agents.kubectl("delete", "nodestate,node", name, "--ignore-not-found")


TIME_WAIT = {"name": "net.netfilter.nf_conntrack_tcp_timeout_time_wait", "value": 60, "direction": "Set"}


@needs_kernel("conntrack")
def test_a_value_is_kept_through_an_outage_and_a_restart_and_given_back(site: Site) -> None:
    with scene.running(site.ns, *site.arguments):
        site.spec(sysctls=[TIME_WAIT], onRelease="Revert")
        site.wait("tcp_timeout_time_wait", 60)
        site.lab.wait(lambda: site.status()["sysctls"][0].get("set") == 60, 40, "the status to say so")
        site.bridge.shut()
        site.put("tcp_timeout_time_wait", 120)
        site.wait("tcp_timeout_time_wait", 60)
        site.bridge.opened()
    noted = site.status()["sysctls"][0]
    assert (noted["before"], noted["set"], site.sysctl("tcp_timeout_time_wait")) == (120, 60, 60)
    with scene.running(site.ns, *site.arguments):
        site.spec(sysctls=[{**TIME_WAIT, "value": 30}])
        site.wait("tcp_timeout_time_wait", 30)
        site.spec(sysctls=[])
        site.wait("tcp_timeout_time_wait", 120)
        site.lab.wait(lambda: site.status()["sysctls"] == [], 40, "the status to say so")


@needs_kernel("conntrack")
def test_the_token_is_read_anew_and_restore_gives_the_values_back(site: Site) -> None:
    with scene.running(site.ns, *site.arguments):
        fresh = site.token.read_text()
        site.spec(sysctls=[TIME_WAIT])
        site.wait("tcp_timeout_time_wait", 60)
        site.lab.wait(lambda: site.status()["sysctls"][0].get("set") == 60, 40, "the status to say so")
        site.token.write_text("expired")
        site.spec(sysctls=[{**TIME_WAIT, "value": 30}])
        site.bridge.shut()
        site.bridge.opened()
        time.sleep(3)
        site.token.write_text(fresh)
        site.wait("tcp_timeout_time_wait", 30, 90)
        site.lab.wait(lambda: site.status()["sysctls"][0].get("set") == 30, 40, "the status to say so")
    whole = scene.command("restore", *site.arguments)
    ran = subprocess.run(
        ["ip", "netns", "exec", site.ns.name, *whole], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert (
        ran.stdout
        == f"NodeState {site.name} still demands {TIME_WAIT['name']}; take them out of its spec first\n"
    )
    site.spec(sysctls=[])
    ran = subprocess.run(
        ["ip", "netns", "exec", site.ns.name, *whole], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, f"{TIME_WAIT['name']}: 120 (ours was 30)\n")
    assert site.sysctl("tcp_timeout_time_wait") == 120


def dns(lab: Lab, *pods: str) -> None:
    """The Service kube-dns with these pods behind it."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}]},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-1",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
        "endpoints": [{"addresses": [pod]} for pod in pods],
    }
    lab.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, slice_]})
    )


@needs_kernel("conntrack")
def test_the_entry_of_a_pod_that_went_is_ended_within_five_seconds(site: Site) -> None:
    dns(site.lab, "10.244.2.2", "10.244.2.3")
    front = site.lab.kubectl(
        "get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"
    )
    assert ip_address(front)
    lines = [udp("10.244.1.7", 40000 + n, front, f"10.244.2.{2 + n % 2}") for n in range(10)]
    site.ns.load(lines)
    with scene.running(site.ns, *site.arguments):
        site.spec(staleEntries={"services": [{"namespace": "kube-system", "name": "kube-dns"}]})

        def told() -> Any:
            return site.status().get("staleEntries")

        site.lab.wait(told, 40, "the Service to be protected")
        site.lab.wait(lambda: told()[0]["held"] == "", 40, "its endpoints to be known")
        assert len(_flows(site.ns)) == 10
        began = time.monotonic()
        dns(site.lab, "10.244.2.2")
        site.lab.wait(lambda: len(_flows(site.ns)) == 5, 20, "the stale entries to go")
        took = time.monotonic() - began
        assert {line.split("src=")[2].split()[0] for line in _flows(site.ns)} == {"10.244.2.2"}
        site.lab.wait(lambda: told()[0].get("deleted") == 5, 40, "the status to say so")
    assert took < 5.0


def _flows(ns: Namespace) -> list[str]:
    return [line for line in ns.conntrack("-p", "udp") if "dport=53" in line]


@needs_kernel("conntrack")
def test_in_a_network_namespace_that_is_not_the_nodes_the_agent_refuses_to_work(site: Site) -> None:
    whole = [
        "ip",
        "netns",
        "exec",
        site.ns.name,
        *scene.command("run", "--node", "x", "--sysctls", "/proc/sys"),
    ]
    ran = subprocess.run(whole, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == (
        "resilience-agent: nf_conntrack_max is read-only here: not the node's network namespace;"
        " set hostNetwork: true\n"
    )


@needs_kernel("conntrack", "setpriv")
def test_without_the_capability_the_agent_says_which(site: Site) -> None:
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *scene.command("run", *site.arguments)]
    ran = subprocess.run(
        ["ip", "netns", "exec", site.ns.name, *bare], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "run the agent as uid 0 with capabilities drop: [ALL], add: [NET_ADMIN]" in ran.stderr


@needs_kernel("conntrack")
def test_the_agents_metrics_are_served_where_they_are_asked_for(site: Site) -> None:
    with scene.running(site.ns, *site.arguments, "--metrics-bind", "127.0.0.1:9099"):

        def text() -> str:
            with site.ns.entered():
                try:
                    with socket.create_connection(("127.0.0.1", 9099), 5) as asked:
                        asked.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                        return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
                except OSError:
                    return ""

        said = site.lab.wait(text, 20, "the metrics")
    assert "resilience_conntrack_entries 0\n" in said
    assert "resilience_conntrack_stale_purged_total 0\n" in said


@pytest.mark.slow
@needs_kernel("conntrack")
def test_the_process_is_small_and_idle(site: Site) -> None:
    """24 MiB and 0.1 % of a core, with a sysctl kept, a Service protected and 200,000 entries in the table."""
    dns(site.lab, "10.244.2.2")
    front = site.lab.kubectl(
        "get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"
    )
    clients = [f"10.{100 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}" for n in range(100_000)]
    site.ns.load([udp(one, port, front, "10.244.2.2") for one in clients for port in (30000, 30001)])
    site.put("count", 200_000)
    with scene.running(site.ns, *site.arguments) as agent:
        protected = {"services": [{"namespace": "kube-system", "name": "kube-dns"}]}
        site.spec(sysctls=[TIME_WAIT], staleEntries=protected)
        site.wait("tcp_timeout_time_wait", 60)
        site.lab.wait(lambda: (site.status().get("staleEntries") or [{}])[0].get("held") == "", 60, "a scan")
        time.sleep(10)
        began, used = time.monotonic(), _cpu(agent.pid)
        time.sleep(45)
        share = (_cpu(agent.pid) - used) / (time.monotonic() - began)
        peak = next(
            line for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines() if "VmHWM" in line
        )
        now = next(
            line for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines() if "VmRSS" in line
        )
    print(f"agent: {peak}, {now}, {share:.3%} of a core between two audits")
    assert int(peak.split()[1]) <= 24 * 1024
    assert share <= 0.001


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
