"""What the tests on real nodes build and do: servers that lose requests, rollouts under load, a stale DNS entry."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.agent.namespaces import udp
from tests.e2e.scene import Body, Scene, service, settle, workload
from tests.lab import Lab
from tests.lab.real import addresses
from tests.lab.real.traffic import Seen

RATE = "200"
# A request to a pod that is gone is never answered; a slow machine answers later than a second.
PATIENCE = "3s"
_NOBODY = "10.245.250.1"
"""An address that no client has."""
NAME = "kubernetes.default.svc.cluster.local"


def web(
    namespace: str, name: str, *, replicas: int = 3, pod: Body | None = None, container: Body | None = None
) -> Body:
    """A Deployment whose server exits at once on SIGTERM."""
    body = workload(namespace, name, replicas=replicas, pod=pod)
    server = body["spec"]["template"]["spec"]["containers"][0]
    server |= {
        "image": "resilience.lab/traffic:lab",
        "imagePullPolicy": "Never",
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        **(container or {}),
    }
    return body


def serve(
    scene: Scene, name: str, *, replicas: int = 3, pod: Body | None = None, container: Body | None = None
) -> str:
    """Deploy a server behind a Service, and wait until it answers; returns the Service's address and port."""
    scene.apply(web(scene.namespace, name, replicas=replicas, pod=pod, container=container))
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
    changed: float
    """When its EndpointSlice no longer listed that pod, as time.time()."""

    def ask(self, lab: Lab, seconds: str = "3s", port: int | None = None) -> Seen:
        """Questions from the client's port, or another; 0 is a new port for each."""
        argv = ("dns", "-port", str(self.port if port is None else port), "-for", seconds)
        return lab.real.traffic(self.node, *argv, f"{addresses.DNS}:53", NAME).wait()

    def entries(self, lab: Lab) -> list[str]:
        """The entry as the tool conntrack shows it, while it is there."""
        return leads_to(lab, self.node, self.dead)


@contextmanager
def stale_dns_entry(lab: Lab, node: str = "real-1", port: int = 40053) -> Iterator[StaleEntry]:
    """Cluster DNS is scaled down, and the entry that kube-proxy then removes is put back: injected.

    Since 1.32 kube-proxy leaves none by itself. Whoever ends the outage is tried inside the `with`.
    """
    markers = [
        udp(_NOBODY, 60000 + n, addresses.DNS, pod) for n, pod in enumerate(sorted(dns_endpoints(lab)))
    ]
    load_entries(lab, node, markers)
    with fewer_dns_pods(lab) as (dead, changed):
        # kube-proxy removes entries after it has written its rules: from now on nobody but an agent does.
        lab.wait(
            lambda: not leads_to(lab, node, dead), 20, f"kube-proxy has removed what led to {dead}", 0.05
        )
        inject(lab, node, port, dead)
        yield StaleEntry(node, port, dead, changed)


@contextmanager
def fewer_dns_pods(lab: Lab, by: int = 1) -> Iterator[tuple[str, float]]:
    """Cluster DNS with fewer pods; the address of one that is gone, and when its EndpointSlice said so."""
    before = dns_endpoints(lab)
    scale_dns(lab, len(before) - by)
    lab.wait(lambda: len(dns_endpoints(lab)) == len(before) - by, 60, "DNS pods are gone", 0.05)
    changed = time.time()
    try:
        yield min(before - dns_endpoints(lab)), changed
    finally:
        scale_dns(lab, len(before))
        lab.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
        lab.wait(lambda: len(dns_endpoints(lab)) == len(before), 60, "DNS pods are back")
        lab.real.forget_connections()


def inject(lab: Lab, node: str, port: int, dead: str) -> None:
    """Make the entry of a client's port that leads to a DNS pod that is gone."""
    client = ("--orig-src", addresses.of_node(node), "--orig-dst", addresses.DNS)
    ports = ("--sport", str(port), "--dport", "53")
    nat = ("--dst-nat", f"{dead}:53", "--timeout", "120", "--status", "SEEN_REPLY,ASSURED")
    lab.real.run(node, "conntrack", "-I", "-p", "udp", *client, *ports, *nat)


def load_entries(lab: Lab, node: str, entries: list[str]) -> None:
    """Let the tool conntrack make entries on a node, each in its own words."""
    file = lab.directory / f"{node}.entries"
    file.write_text("".join(f"{line}\n" for line in entries))
    lab.real.run(node, "conntrack", "--load-file", str(file))


def leads_to(lab: Lab, node: str, pod: str) -> list[str]:
    """The UDP entries over cluster DNS's address that lead to a pod, as the tool conntrack shows them."""
    listed = lab.real.run(node, "conntrack", "-L", "-p", "udp", "--orig-dst", addresses.DNS)
    return [line for line in listed.splitlines() if f"src={pod} " in line]


def scale_dns(lab: Lab, replicas: int) -> None:
    """Scale cluster DNS, as an autoscaler does."""
    lab.kubectl("-n", "kube-system", "scale", "deployment/coredns", f"--replicas={replicas}")


def dns_endpoints(lab: Lab) -> set[str]:
    """Every address that an EndpointSlice of cluster DNS lists, ready or not."""
    chosen = "labelSelector=kubernetes.io/service-name%3Dkube-dns"
    slices = lab.api.get(f"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?{chosen}")["items"]
    return {address for one in slices for each in one.get("endpoints") or () for address in each["addresses"]}
