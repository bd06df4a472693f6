"""What the tests on real nodes build and do: servers that lose requests, rollouts under load, a stale DNS entry."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.e2e.scene import Body, Scene, service, settle, workload
from tests.lab import Lab
from tests.lab.real import addresses
from tests.lab.real.traffic import Seen

RATE = "200"
# A request to a pod that is gone is never answered; a slow machine answers later than a second.
PATIENCE = "3s"
NAME = "kubernetes.default.svc.cluster.local"


def web(namespace: str, name: str, *, replicas: int = 3, pod: Body | None = None) -> Body:
    """A Deployment whose server exits at once on SIGTERM."""
    body = workload(namespace, name, replicas=replicas, pod=pod)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "image": "resilience.lab/traffic:lab",
        "imagePullPolicy": "Never",
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    }
    return body


def serve(scene: Scene, name: str, *, replicas: int = 3, pod: Body | None = None) -> str:
    """Deploy a server behind a Service, and wait until it answers; returns the Service's address and port."""
    scene.apply(web(scene.namespace, name, replicas=replicas, pod=pod))
    scene.apply(service(scene.namespace, name))
    scene.wait_rolled_out(name)
    body = json.loads(scene.lab.kubectl("-n", scene.namespace, "get", "service", name, "-o", "json"))
    address = f"{body['spec']['clusterIP']}:80"
    for node in scene.lab.real.names():
        once = ("http", "-rate", "20", "-for", "300ms", address)

        def answers(node: str = node, once: tuple[str, ...] = once) -> bool:
            return scene.lab.real.traffic(node, *once).wait().lost == 0

        scene.wait(answers, f"{name} answers through its Service on {node}")
    return address


@dataclass(frozen=True)
class Lost:
    """What two clients saw of the same time: one with a connection per request, one that keeps them."""

    new: Seen
    kept: Seen

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests each lost."""
        return self.new.lost, self.kept.lost

    def __str__(self) -> str:
        new, kept = self.new, self.kept
        return f"new {new.lost}/{new.sent} {new.reasons}, kept {kept.lost}/{kept.sent} {kept.reasons}"


class Load:
    """Two clients on a node, from `with` to its end; `seen` is there afterwards."""

    def __init__(self, lab: Lab, node: str, address: str) -> None:
        self._lab, self._node, self._address = lab, node, address
        self._stack = ExitStack()
        self.seen: Lost

    def __enter__(self) -> "Load":
        flags = ("http", "-rate", RATE, "-timeout", PATIENCE)
        real = self._lab.real
        self._new = self._stack.enter_context(real.traffic(self._node, *flags, self._address))
        self._kept = self._stack.enter_context(real.traffic(self._node, *flags, "-keep-alive", self._address))
        settle(1)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._stack:
            if error is None:
                settle(1)
                self.seen = Lost(self._new.stop(), self._kept.stop())
        # What an unclean rollout leaves in connection tracking would lose requests of the next one.
        self._lab.real.forget_connections()


def roll(scene: Scene, name: str, address: str, node: str = "real-1") -> Lost:
    """A rolling update under load, until the last old pod is gone; what was lost."""
    with Load(scene.lab, node, address) as load:
        scene.lab.kubectl("-n", scene.namespace, "rollout", "restart", f"deployment/{name}")
        scene.wait_rolled_out(name)
        wait_no_old_pods(scene, name)
    return load.seen


def wait_no_old_pods(scene: Scene, name: str) -> None:
    """Wait until no pod of a Deployment is being deleted."""

    def none_leaves() -> bool:
        found = scene.lab.kubectl("-n", scene.namespace, "get", "pods", "-l", f"app={name}", "-o", "json")
        return not any("deletionTimestamp" in pod["metadata"] for pod in json.loads(found)["items"])

    scene.wait(none_leaves, f"the old pods of {name} are gone")


@dataclass(frozen=True)
class StaleEntry:
    """A UDP entry in a node's connection tracking that leads from one client's port to a DNS pod that is gone."""

    node: str
    port: int
    """The client's source port."""
    dead: str
    """The address of the pod that is gone."""

    def ask(self, lab: Lab, seconds: str = "3s", port: int | None = None) -> Seen:
        """Questions from the client's port, or another; 0 is a new port for each."""
        argv = ("dns", "-port", str(self.port if port is None else port), "-for", seconds)
        return lab.real.traffic(self.node, *argv, f"{addresses.DNS}:53", NAME).wait()

    def entries(self, lab: Lab) -> list[str]:
        """The entry as the tool conntrack shows it, while it is there."""
        listed = lab.real.run(self.node, "conntrack", "-L", "-p", "udp", "--orig-dst", addresses.DNS)
        return [line for line in listed.splitlines() if f"src={self.dead} " in line]


@contextmanager
def stale_dns_entry(lab: Lab, node: str = "real-1", port: int = 40053) -> Iterator[StaleEntry]:
    """Cluster DNS is scaled down, and the entry that kube-proxy then removes is put back: injected.

    Since 1.32 kube-proxy leaves none by itself. Whoever ends the outage is tried inside the `with`.
    """
    before = dns_pods(lab)
    lab.kubectl("-n", "kube-system", "scale", "deployment/coredns", f"--replicas={len(before) - 1}")
    lab.wait(lambda: len(dns_pods(lab)) == len(before) - 1, 60, "a DNS pod is gone")
    dead = next(iter(before - dns_pods(lab)))
    lab.wait(lambda: lab.real.resolves(node), 20, "the others answer")
    client = ("--orig-src", addresses.of_node(node), "--orig-dst", addresses.DNS)
    ports = ("--sport", str(port), "--dport", "53")
    nat = ("--dst-nat", f"{dead}:53", "--timeout", "120", "--status", "SEEN_REPLY,ASSURED")
    lab.real.run(node, "conntrack", "-I", "-p", "udp", *client, *ports, *nat)
    try:
        yield StaleEntry(node, port, dead)
    finally:
        lab.kubectl("-n", "kube-system", "scale", "deployment/coredns", f"--replicas={len(before)}")
        lab.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
        lab.real.forget_connections()


def dns_pods(lab: Lab) -> set[str]:
    """The addresses of the pods of cluster DNS, those that leave included."""
    found = lab.kubectl("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "json")
    return {pod["status"].get("podIP", "") for pod in json.loads(found)["items"]}
