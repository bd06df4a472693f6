"""Every patch that `plan --patch` prints, as kubectl's own kustomize merges it: `check` finds nothing of the rule then.

How a list or a hook is merged is kustomize's to say, by the kind's schema; a kind without one is merged as JSON.
"""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.cli.main import main
from resilience_operator.cli.patches import of_cluster, printed
from resilience_operator.targets import RULES
from tests.support.clusters import Body, cluster
from tests.support.gitops import append, merge, node, rendered, running

WITHOUT_PATCH = {
    "probes",
    "resources",
    "node-local-cache",
    "conntrack-sysctl",
    "conntrack-pressure",
    "conntrack-stale",
    "webhook-reach",
    "empty-service",
}
"""Rules of which only an owner knows the value, and those of nodes, whose values an agent sets."""

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
PORT = {"ports": [{"containerPort": 80}]}


@dataclass(frozen=True)
class Case:
    """A rule's settings, the files of a folder, and what the patched object holds at the places it is about."""

    section: str
    settings: Body
    files: list[Body]
    name: str = "web"
    kind: str = "Deployment"
    namespace: str = "shop"
    then: dict[str, Any] = field(default_factory=dict)


def deployment(name: str = "web", replicas: int | None = 2, *containers: Body, **pod: Any) -> Body:
    labels = {"app": name}
    listed = [{"image": "app:1"} | one for one in containers or ({"name": "app"},)]
    template = {"metadata": {"labels": labels}, "spec": {"containers": listed, **pod}}
    spec: Body = {"selector": {"matchLabels": labels}, "template": template}
    spec |= {} if replicas is None else {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def other(kind: str, version: str, name: str, **fields: Any) -> Body:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def constraint(key: str, skew: int, when: str = "ScheduleAnyway", **more: Any) -> Body:
    selector = {"matchLabels": {"app": "web"}}
    return {"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": skew, "labelSelector": selector, **more}


def hooked(handler: Body | None, name: str = "app") -> Body:
    return {"name": name, **PORT, **({"lifecycle": {"preStop": handler}} if handler else {})}


SCALED = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}
SERVICE = other("Service", "v1", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
TRIGGERS = [{"type": "cron", "metadata": {"desiredReplicas": "4"}}]
KEDA = {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 9, "triggers": TRIGGERS}
DNS = deployment("coredns", 2) | {"metadata": {"name": "coredns", "labels": {"k8s-app": "kube-dns"}}}
KUBE_DNS = other("Service", "v1", "kube-dns", spec={"selector": {"app": "coredns"}, "ports": [{"port": 53}]})
ARGV = ["/cluster-proportional-autoscaler", "--configmap=scale", "--target=Deployment/coredns"]
SCALER = deployment("scaler", 1, {"name": "scaler", "command": ARGV})
LINEAR = '{\n  "nodesPerReplica": 16,\n  "min": 2\n}\n'
LADDER = '{"nodesToReplicas": [[1, 1], [9, 2]]}'

SAFE = {"preventSinglePointFailure": True, "includeUnschedulableNodes": True}
POD = "spec.template.spec"
SLEEP = {"sleep": {"seconds": 15}}


def spread(*entries: Body, then: list[tuple[str, str, int]], asks: Body | None = None) -> Case:
    files = [deployment(topologySpreadConstraints=list(entries)) if entries else deployment()]
    return Case(
        "deployments", {"spread": asks or {}}, files, then={f"{POD}.topologySpreadConstraints": sorted(then)}
    )


def graceful(*containers: Body, then: list[tuple[str, Body | None]], **pod: Any) -> Case:
    files = [deployment("web", 2, *containers, **pod), SERVICE]
    return Case("deployments", {"gracefulShutdown": {}}, files, then={f"{POD}.containers": then})


def options(then: list[Body], **config: Any) -> Case:
    files = [deployment(dnsConfig=config) if config else deployment()]
    return Case(
        "deployments", {"dnsConfig": {}}, files, then={f"{POD}.dnsConfig": config | {"options": then}}
    )


def floor(files: list[Body], kind: str, then: dict[str, Any]) -> Case:
    return Case("deployments", {"replicas": {"min": 2}}, files, kind=kind, then=then)


def of_dns(
    settings: Body, *files: Body, kind: str = "Deployment", name: str = "coredns", **then: Any
) -> Case:
    at = {path.replace("__", "."): value for path, value in then.items()}
    return Case("coreDNS", settings, [DNS, KUBE_DNS, *files], name, kind, "kube-system", at)


REOPEN = {"name": "single-request-reopen"}
BOTH = [(HOST, "ScheduleAnyway", 1), (ZONE, "ScheduleAnyway", 1)]
OWN = (ZONE, "DoNotSchedule", 1)

TWO_OF_A_KEY = "spread-weaker-beside-one-of-the-same-key-that-does-not-schedule"
"""kubectl patch knows constraints by topologyKey alone, and makes two alike of these; kustomize does not."""

CASES = {
    "spread-where-nothing-is": spread(then=BOTH),
    "spread-beside-an-entry-of-another-key": spread(
        constraint("rack", 2), then=[*BOTH, ("rack", "ScheduleAnyway", 2)]
    ),
    "spread-weaker": spread(constraint(HOST, 5), constraint(ZONE, 1), then=BOTH),
    TWO_OF_A_KEY: spread(
        constraint(HOST, 9, "DoNotSchedule"),
        constraint(HOST, 5),
        then=[(HOST, "DoNotSchedule", 9), *BOTH],
    ),
    "spread-of-another-selector": spread(
        constraint(HOST, 1, labelSelector={"matchLabels": {"part": "shop"}}), then=BOTH
    ),
    "hook-where-none-is": graceful(hooked(None), then=[("app", SLEEP)]),
    "hook-of-another-handler": graceful(hooked({"exec": {"command": ["sleep", "2"]}}), then=[("app", SLEEP)]),
    "hook-that-sleeps-too-short": graceful(hooked({"sleep": {"seconds": 2}}), then=[("app", SLEEP)]),
    "hook-of-the-second-of-three-containers": graceful(
        {"name": "first"},
        hooked({"exec": {"command": ["sleep", "2"]}}, "second"),
        {"name": "third"},
        then=[("first", None), ("second", SLEEP), ("third", None)],
    ),
    "grace-that-is-set": graceful(hooked(SLEEP), then=[("app", SLEEP)], terminationGracePeriodSeconds=20),
    "options-where-none-are": options([REOPEN]),
    "options-beside-others": options(
        [{"name": "ndots", "value": "2"}, REOPEN],
        options=[{"name": "ndots", "value": "2"}],
        searches=["example.com"],
    ),
    "replicas": floor([deployment("web", 1)], "Deployment", {"spec.replicas": 2}),
    "replicas-that-nobody-sets": floor([deployment("web", None)], "Deployment", {"spec.replicas": 2}),
    "minimum-of-an-hpa": floor(
        [
            deployment("web", None),
            other("HorizontalPodAutoscaler", "autoscaling/v2", "web", spec=SCALED | {"maxReplicas": 5}),
        ],
        "HorizontalPodAutoscaler",
        {"spec.minReplicas": 2, "spec.maxReplicas": 5},
    ),
    "minimum-of-a-scaled-object": floor(
        [deployment("web", None), other("ScaledObject", "keda.sh/v1alpha1", "web", spec=KEDA)],
        "ScaledObject",
        {"spec": KEDA | {"minReplicaCount": 2}},
    ),
    "dns-replicas": of_dns({"floor": {"minReplicas": 3}}, spec__replicas=3),
    "dns-parameters-linear": of_dns(
        {"floor": {"minReplicas": 3}},
        SCALER,
        other("ConfigMap", "v1", "scale", data={"linear": LINEAR}),
        kind="ConfigMap",
        name="scale",
        data={"linear": {"nodesPerReplica": 16, "min": 3, **SAFE}},
    ),
    "dns-parameters-ladder": of_dns(
        {"floor": {"minReplicas": 3}},
        SCALER,
        other("ConfigMap", "v1", "scale", data={"ladder": LADDER}),
        kind="ConfigMap",
        name="scale",
        data={"ladder": {"nodesToReplicas": [[1, 3], [9, 3]]}},
    ),
    "dns-spread": of_dns({"spread": {}}),
    "budget": Case(
        "deployments",
        {"disruptionBudget": {}},
        [deployment()],
        "web-resilience",
        "PodDisruptionBudget",
        then={"spec.maxUnavailable": 1},
    ),
    "dns-budget": of_dns(
        {"disruptionBudget": {}},
        kind="PodDisruptionBudget",
        name="coredns-resilience",
        spec__maxUnavailable=1,
    ),
}
RULE = {
    "spread": "spread",
    "gracefulShutdown": "graceful-shutdown",
    "dnsConfig": "dns-config",
    "replicas": "replicas",
    "disruptionBudget": "disruption-budget",
}
OF_DNS = {"floor": "coredns-floor", "spread": "coredns-spread", "disruptionBudget": "coredns-budget"}


def rule_of(case: Case) -> str:
    (name,) = case.settings
    return (OF_DNS if case.section == "coreDNS" else RULE)[name]


def folder(case: Case, place: Path, *, named: bool) -> Path:
    """A kustomization of the files, which name their Namespace themselves or leave it to the kustomization."""
    base = place / "base"
    base.mkdir()
    files = deepcopy(case.files)
    for body in files if named else ():
        body["metadata"]["namespace"] = case.namespace
    (base / "all.yaml").write_text(yaml.safe_dump_all(files))
    lines = ["resources: [all.yaml]"] if named else ["resources: [all.yaml]", f"namespace: {case.namespace}"]
    (base / "kustomization.yaml").write_text("".join(f"{line}\n" for line in lines))
    return base


def policy(case: Case) -> Body:
    meta = {"name": "p", "uid": "uid-p", "generation": 1}
    spec = {"mode": "Audit", case.section: case.settings}
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": meta,
        "spec": spec,
    }


BESIDE = other(
    "PodDisruptionBudget",
    "policy/v1",
    "other",
    spec={"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}},
)
"""So that budgets were read."""


def found(case: Case, documents: list[Body], place: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `check` finds of the case's rule."""
    (place / "policy.yaml").write_text(yaml.safe_dump(policy(case)))
    (place / "rendered.yaml").write_text(yaml.safe_dump_all([*documents, BESIDE]))
    main(["check", str(place / "rendered.yaml"), "-p", str(place / "policy.yaml")])
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "rendered.yaml:" in line and f": [{rule_of(case)}] " in line]


def what_to_commit(case: Case, documents: list[Body], form: str) -> str:
    live = cluster([policy(case)], [*map(node, "ab"), *map(running, deepcopy(documents))])
    return printed(of_cluster(live, "p"), form, "p")


def seen(case: Case, documents: list[Body]) -> dict[str, Any]:
    """What the object of the case holds where it is about, in the words of the table."""
    (body,) = [one for one in documents if (one["kind"], one["metadata"]["name"]) == (case.kind, case.name)]
    return {path: _short(path, _at(body, path)) for path in case.then}


def _at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body[step]
    return body


def _short(path: str, value: Any) -> Any:
    """Of a list what it is about, and of CPA's parameters what they say: kustomize trims the end of a patch."""
    last = path.rpartition(".")[2]
    if last == "topologySpreadConstraints":  # kustomize puts new entries first; their order means nothing.
        return sorted((one["topologyKey"], one["whenUnsatisfiable"], one["maxSkew"]) for one in value)
    if last == "containers":
        return [(one["name"], one.get("lifecycle", {}).get("preStop")) for one in value]
    return {mode: json.loads(text) for mode, text in value.items()} if path == "data" else value


@pytest.mark.parametrize("named", [True, False], ids=["files-name-the-namespace", "kustomization-names-it"])
@pytest.mark.parametrize("name", [key for key, case in CASES.items() if case.kind != "PodDisruptionBudget"])
def test_kustomize_merges_the_patch_so_that_nothing_of_the_rule_is_found(
    name: str, named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    base = folder(case, tmp_path, named=named)
    before = rendered(base)
    assert found(case, before, tmp_path, capsys), "the files drift"
    append(what_to_commit(case, before, "kustomize"), base)
    after = rendered(base)
    assert found(case, after, tmp_path, capsys) == []
    assert seen(case, after) == case.then
    assert [(one["kind"], one["metadata"]) for one in after] == [
        (one["kind"], one["metadata"]) for one in before
    ]
    assert yaml.safe_load(what_to_commit(case, after, "kustomize")) == {"patches": []}


@pytest.mark.parametrize("name", [key for key in CASES if key != TWO_OF_A_KEY])
def test_the_manifest_form_does_the_same_and_brings_what_is_to_be_made(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    before = rendered(folder(case, tmp_path, named=True))
    assert found(case, before, tmp_path, capsys), "the files drift"
    after = merge(what_to_commit(case, before, "manifest"), before, tmp_path)
    assert found(case, after, tmp_path, capsys) == []
    assert seen(case, after) == case.then
    assert [one for one in yaml.safe_load_all(what_to_commit(case, after, "manifest")) if one] == []


def test_the_table_has_every_rule_of_which_a_patch_is_known() -> None:
    assert {rule_of(case) for case in CASES.values()} == set(RULES) - WITHOUT_PATCH
