"""Nine ways in which a Deployment comes into being, and twenty things its owner may say: what test_origins.py needs.

The requests are kubectl's own, under the field manager of the origin: Helm 3 sends what `kubectl create` sends, Helm 4
and Flux what `kubectl apply --server-side` sends, and Argo CD's default sync what `kubectl apply` sends.
"""

import copy
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pykube

from tests.e2e.scene import Body, Scene, workload

RELEASE = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}
KUSTOMIZATION = {
    "kustomize.toolkit.fluxcd.io/name": "apps",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
SERVER_SIDE = ("apply", "--server-side", "--force-conflicts")


@dataclass(frozen=True)
class Origin:
    """Who made an object: kubectl's words, the field manager, and the marks that the tool leaves.

    `told`: how its owner is told to a person. `over`: somebody else had made it before, with kubectl create.
    """

    words: tuple[str, ...]
    manager: str
    told: str
    annotations: Body = field(default_factory=dict)
    labels: Body = field(default_factory=dict)
    tracked: bool = False
    over: bool = False


ORIGINS = {
    "helm-3": Origin(("create",), "helm", "Helm set (Helm release shop; helm, Update)", RELEASE,
                     {"app.kubernetes.io/managed-by": "Helm"}),
    "create": Origin(("create",), "kubectl-create",
                     "somebody with kubectl create set (kubectl-create, Update)"),
    "apply": Origin(("apply",), "kubectl-client-side-apply",
                    "somebody with kubectl apply set (kubectl-client-side-apply, Update)"),
    "argo-cd": Origin(("apply",), "argocd-controller",
                      "Git sets (Argo CD application shop; argocd-controller, Update)", tracked=True),
    "helm-4": Origin(SERVER_SIDE, "helm", "Helm set (Helm release shop; helm, Apply)", RELEASE,
                     {"app.kubernetes.io/managed-by": "Helm"}),
    "apply-ssa": Origin(SERVER_SIDE, "kubectl",
                        "somebody with kubectl apply --server-side set (kubectl, Apply)"),
    "fleet": Origin(SERVER_SIDE, "fleet-controller", "fleet-controller sets (Apply)", over=True),
    "flux": Origin(SERVER_SIDE, "kustomize-controller",
                   "Git sets (Flux Kustomization flux-system/apps; kustomize-controller, Apply)",
                   labels=KUSTOMIZATION),
    "argo-cd-ssa": Origin(SERVER_SIDE, "argocd-controller",
                          "Git sets (Argo CD application shop; argocd-controller, Apply)", tracked=True),
}  # fmt: skip
KINDS = (
    ("helm-3", "create"),
    ("apply", "argo-cd"),
    ("helm-4", "apply-ssa", "fleet", "flux", "argo-cd-ssa"),
)
"""What tells them apart: nothing is kept of what was said; a last-applied-configuration; a server-side apply."""


# What the owner says, and what stands there once the policy is enforced. Leaves are named by their field; a
# constraint's labelSelector is the Deployment's own.

REOPEN, NDOTS = {"name": "single-request-reopen"}, {"name": "ndots", "value": "2"}
DRAIN = {"exec": {"command": ["/bin/drain"]}}


def _spread(key: str, skew: int = 1, when: str = "ScheduleAnyway", **more: Any) -> Body:
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when, **more}


HOSTNAME, ZONE, REGION = (
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
BY_HOST, BY_ZONE = (_spread(key, matchLabelKeys=["pod-template-hash"]) for key in (HOSTNAME, ZONE))


@dataclass(frozen=True)
class Case:
    """One rule, and one thing that the owner says about it; `replicas` None: the manifest is silent."""

    rule: str
    says: str
    owner: Body
    enforced: Body
    replicas: int | None = 1


def _sleep(seconds: int) -> Body:
    return {"sleep": {"seconds": seconds}}


CASES = (
    Case("spread", "nothing", {}, {"constraints": [BY_HOST, BY_ZONE]}, 2),
    Case("spread", "another key", {"constraints": [_spread(REGION)]},
         {"constraints": [_spread(REGION), BY_HOST, BY_ZONE]}, 2),
    Case("spread", "a stricter entry", {"constraints": [_spread(HOSTNAME, when="DoNotSchedule")]},
         {"constraints": [_spread(HOSTNAME, when="DoNotSchedule"), BY_ZONE]}, 2),
    Case("spread", "a weaker entry", {"constraints": [_spread(HOSTNAME, 5)]},
         {"constraints": [BY_HOST, BY_ZONE]}, 2),
    Case("spread", "a weaker entry of the other kind",
         {"constraints": [_spread(HOSTNAME, 5, "DoNotSchedule")]}, {}, 2),
    Case("dns-config", "nothing", {}, {"dnsConfig": {"options": [REOPEN]}}),
    Case("dns-config", "name servers alone", {"dnsConfig": {"nameservers": ["10.96.0.10"]}},
         {"dnsConfig": {"nameservers": ["10.96.0.10"], "options": [REOPEN]}}),
    Case("dns-config", "another list", {"dnsConfig": {"options": [NDOTS]}},
         {"dnsConfig": {"options": [NDOTS, REOPEN]}}),
    Case("graceful-shutdown", "nothing", {}, {"grace": 45, "preStop": _sleep(15)}),
    Case("graceful-shutdown", "grace period 30", {"grace": 30}, {"grace": 45, "preStop": _sleep(15)}),
    Case("graceful-shutdown", "grace period 60", {"grace": 60}, {"grace": 75, "preStop": _sleep(15)}),
    Case("graceful-shutdown", "a short sleep", {"preStop": _sleep(5)}, {}),
    Case("graceful-shutdown", "a hook that drains", {"preStop": DRAIN}, {"grace": 45}),
    Case("graceful-shutdown", "more than demanded", {"grace": 120, "preStop": _sleep(20)}, {}),
    Case("replicas", "nothing", {}, {"replicas": 3}, None),
    Case("replicas", "one replica", {}, {"replicas": 3}, 1),
    Case("replicas", "two replicas", {}, {"replicas": 3}, 2),
    Case("disruption-budget", "nothing", {},
         {"budget": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}, 2),
    Case("disruption-budget", "a budget", {"budget": {"minAvailable": 1}}, {}, 2),
    Case("disruption-budget", "a budget of none", {"budget": {"maxUnavailable": 0}}, {}, 2),
)  # fmt: skip

SECTIONS: dict[str, Body] = {
    "spread": {"spread": {}},
    "dns-config": {"dnsConfig": {}},
    "graceful-shutdown": {"gracefulShutdown": {"appliesTo": "All"}},
    "replicas": {"replicas": {"min": 3}},
    "disruption-budget": {"disruptionBudget": {"maxUnavailable": 1}},
}


@dataclass(frozen=True)
class Made:
    """One cell: a Deployment, what its owner says, where it comes from, and how conflicts are dealt with."""

    case: Case
    origin: str
    conflicts: str

    @property
    def name(self) -> str:
        """The Deployment's name, short enough for a label."""
        number = CASES.index(self.case)
        return f"{self.case.rule}-{number}-{self.origin}-{self.conflicts.lower()}"

    @property
    def cell(self) -> tuple[str, str, str]:
        """Where it stands in the table."""
        return f"{self.case.rule}: {self.case.says}", self.origin, self.conflicts

    @property
    def drawn(self) -> bool:
        """True where it is in the short table: of each case one origin that updates and one that applies.

        The next ones at the next case; one of each kind where an update with a manifest differs from one without.
        """
        number = CASES.index(self.case)
        without, with_manifest, applied = (kind[number // 2 % len(kind)] for kind in KINDS)
        if self.case.says in {"grace period 30", "one replica"}:
            return self.origin in {without, with_manifest, applied}
        return self.origin in {applied, with_manifest if number % 2 else without}


def bodies(namespace: str, made: Made) -> list[Body]:
    """The manifests: the Deployment, and the owner's budget where there is one."""
    origin, case, name = ORIGINS[made.origin], made.case, made.name
    body = workload(namespace, name, replicas=case.replicas or 1)
    if case.replicas is None:
        del body["spec"]["replicas"]
    del body["spec"]["template"]["spec"]["containers"][0]["resources"]
    body["spec"] = with_leaves(body["spec"], name, case.owner)
    body["metadata"]["labels"] |= {"rule": case.rule, "conflicts": made.conflicts, **origin.labels}
    body["metadata"]["annotations"] = dict(origin.annotations)
    if origin.tracked:
        body["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = (
            f"shop:apps/Deployment:{namespace}/{name}"
        )
    budget = case.owner.get("budget")
    return [body] if budget is None else [body, budget_of(namespace, name, budget)]


def budget_of(namespace: str, name: str, spec: Body) -> Body:
    """A PodDisruptionBudget for the Deployment of that name."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, **spec},
    }


def with_leaves(spec: Body, name: str, leaves: Body) -> Body:
    """A Deployment's spec with these leaves set, and nothing else changed."""
    made = copy.deepcopy(spec)
    pod = made["template"]["spec"]
    for leaf, value in copy.deepcopy(leaves).items():
        match leaf:
            case "replicas":
                made["replicas"] = value
            case "constraints":
                selector = {"labelSelector": {"matchLabels": {"app": name}}}
                pod["topologySpreadConstraints"] = [entry | selector for entry in value]
            case "dnsConfig":
                pod["dnsConfig"] = value
            case "grace":
                pod["terminationGracePeriodSeconds"] = value
            case "preStop":
                pod["containers"][0]["lifecycle"] = {"preStop": value}
    return made


def create_all(scene: Scene, every: Iterable[Made]) -> None:
    """Each origin makes its objects with its own requests, the origins side by side."""
    by_origin: dict[str, list[Made]] = {}
    for made in every:
        by_origin.setdefault(made.origin, []).append(made)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: _create(scene, ORIGINS[name], by_origin[name]), by_origin))


def _create(scene: Scene, origin: Origin, every: list[Made]) -> None:
    items = [body for made in every for body in bodies(scene.namespace, made)]
    if origin.over:
        send(scene, ("create", "--field-manager=kubectl-create"), [_earlier(item) for item in items])
    send(scene, (*origin.words, f"--field-manager={origin.manager}"), items)


def _earlier(item: Body) -> Body:
    """What stood there before another controller took it by force: another image, and none of its wishes."""
    earlier = copy.deepcopy(item)
    if item["kind"] == "Deployment":
        container = {"name": "web", "image": "shop/web:1.3"}
        earlier["spec"]["template"]["spec"] = {"containers": [container]}
        earlier["spec"].pop("replicas", None)
    return earlier


def send(scene: Scene, words: tuple[str, ...], items: list[Body]) -> None:
    """One kubectl command with a list of manifests."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    scene.lab.kubectl(*words, "-f", "-", input=text)


WITHOUT_PODS = {"kube-controller-manager": ("--controllers=*,-replicaset-controller",)}
"""Flags of a lab in which the Deployment controller rolls out, and `replica_sets` stands in for all below it."""


@contextmanager
def replica_sets(scene: Scene) -> Iterator[None]:
    """The ReplicaSet controller of that lab: what is asked for is there at once, without pods.

    Who owns what is decided between the API server and us; pods would be two thirds of the work.
    """
    stop, api = threading.Event(), scene.api

    def run() -> None:
        while not stop.wait(0.2):
            every = pykube.query.Query(api, pykube.ReplicaSet, namespace=scene.namespace)
            for one in every:
                if not _is_seen(one.obj):
                    one.patch({"status": _all_available(one.obj)}, subresource="status")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield
        finally:
            stop.set()
            running.result()


def _is_seen(body: Body) -> bool:
    return bool(body["status"] | _all_available(body) == body["status"])


def _all_available(body: Body) -> Body:
    counts = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    wanted = dict.fromkeys(counts, body["spec"]["replicas"])
    there = body["status"].keys() | {"replicas"}
    # The server leaves out what is zero.
    kept = {key: value for key, value in wanted.items() if value or key in there}
    return {**kept, "observedGeneration": body["metadata"]["generation"]}
