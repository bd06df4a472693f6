"""`check` on files whose Deployments are scaled, or share a budget: by how many replicas they are judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main
from tests.targets.workloads.test_check_floors import (
    COREDNS,
    HPA,
    KUBE_DNS,
    MANY,
    SCALED_OBJECT,
    budget,
    deployment,
)

POLICY = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: floors}
spec:
  deployments:
    replicas: {min: 1}
    spread: {constraints: [{topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, maxSkew: 1}]}
    disruptionBudget: {}
  coreDNS:
    spread: {constraints: [{topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, maxSkew: 1}]}
    disruptionBudget: {}
"""
AUTOSCALER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: cpa}
spec:
  replicas: 1
  selector: {matchLabels: {app: cpa}}
  template:
    metadata: {labels: {app: cpa}}
    spec:
      containers:
      - name: cpa
        image: registry.example.com/cpa:1
        command: [/cluster-proportional-autoscaler, --configmap=cpa-params, --target=Deployment/web]
"""
UNSAID = deployment("web").replace("  replicas: 1\n", "")
SPREAD = (
    "[spread] Deployment default/web: topologySpreadConstraints has no entry for kubernetes.io/hostname",
    "[disruption-budget] Deployment default/web: no PodDisruptionBudget selects the pods of its 3 replicas",
)


def with_(text: str, **instead: Any) -> str:
    """The manifest with other numbers: name of a field -> its value, None to leave it out."""
    lines = []
    for line in text.splitlines():
        name = line.strip().partition(":")[0]
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}{name}: {instead[name]}"] if instead.get(name) is not None else []
        lines += [line] if name not in instead else []
    return "\n".join(lines) + "\n"


def parameters(mode: str = "linear", **said: Any) -> str:
    text = json.dumps({"nodesPerReplica": 16, **said} if mode == "linear" else said)
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cpa-params}}\ndata:\n  {mode}: '{text}'\n"


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Checks the documents, and gives what is found, without the place in the file."""
    monkeypatch.chdir(tmp_path)
    Path("floors.yaml").write_text(POLICY)

    def run(*documents: str) -> list[str]:
        Path("all.yaml").write_text("---\n".join(documents))
        main(["check", "all.yaml", "-p", "floors.yaml"])
        lines: list[str] = capsys.readouterr().out.splitlines()
        return [line.partition(": ")[2] for line in lines if line.startswith("all.yaml:")]

    return run


HPA_3 = with_(HPA, minReplicas=3, maxReplicas=10)
KEDA_3 = with_(SCALED_OBJECT, minReplicaCount=3, maxReplicaCount=10)
PAUSED = KEDA_3.replace("{name: web}", '{name: web, annotations: {autoscaling.keda.sh/paused: "true"}}', 1)
CPA_3 = (AUTOSCALER, parameters(min=3))
LADDER = parameters("ladder", nodesToReplicas=[[1, 3], [64, 5]])


@pytest.mark.parametrize(
    ("written", "scalers", "found"),
    [
        (None, [HPA_3], SPREAD),
        (1, [HPA_3], SPREAD),
        (None, [KEDA_3], SPREAD),
        (None, CPA_3, SPREAD),
        (None, [AUTOSCALER, LADDER], SPREAD),
        (3, [with_(HPA, minReplicas=2)], SPREAD),
        (0, [HPA_3], ()),
        (None, [with_(HPA, minReplicas=None)], ()),
        (None, [with_(SCALED_OBJECT, minReplicaCount=0)], ()),
        (None, [with_(SCALED_OBJECT, minReplicaCount=None)], ()),
        (None, [PAUSED], ()),
        (None, [PAUSED.replace('paused: "true"', 'paused-replicas: "1"')], ()),
        (None, [PAUSED.replace('"true"', '"false"')], SPREAD),
        (None, [AUTOSCALER.replace("replicas: 1", "replicas: 0"), CPA_3[1]], ()),
        (None, [AUTOSCALER], ()),
        (None, [], ()),
    ],
)
def test_a_deployment_of_a_file_is_judged_by_what_its_only_scaler_never_goes_below(
    check: Any, written: int | None, scalers: list[str], found: tuple[str, ...]
) -> None:
    web = with_(deployment("web"), replicas=written)
    lines = check(web, *scalers, MANY)
    assert tuple(one for one in lines if one.startswith(("[spread] ", "[disruption-budget] "))) == found


def test_two_scalers_give_no_number_and_are_a_finding(check: Any) -> None:
    assert check(UNSAID, HPA_3, KEDA_3, MANY) == [
        (
            "[replicas] Deployment default/web: HorizontalPodAutoscaler web and ScaledObject web scale it, each against"
            " the other; reported only: which of them is to go is for people to say"
        )
    ]


def test_cluster_dns_without_replicas_is_judged_by_the_minimum_of_its_autoscaler(check: Any) -> None:
    hpa = HPA_3.replace("name: web", "name: coredns").replace(
        "  name: coredns\n", "  name: coredns\n  namespace: kube-system\n", 1
    )
    dns = "Deployment kube-system/coredns:"
    assert check(with_(COREDNS, replicas=None), hpa, KUBE_DNS, MANY) == [
        f"[coredns-spread] {dns} topologySpreadConstraints has no entry for kubernetes.io/hostname",
        f"[coredns-budget] {dns} no PodDisruptionBudget selects the pods of its 3 replicas",
    ]


def test_a_rolling_update_and_host_ports_are_judged_by_that_number_too(check: Any) -> None:
    limits = (
        "  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}\n  template:\n"
    )
    assert tuple(check(UNSAID.replace("  template:\n", limits), HPA_3, MANY)) == SPREAD
    nodes = [
        f"apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{kubernetes.io/hostname: {name}}}}}\n"
        'status: {conditions: [{type: Ready, status: "True"}]}\n'
        for name in ("a", "b", "c")
    ]
    ports = UNSAID.replace('"shop/web:1"', '"shop/web:1", ports: [{containerPort: 80, hostPort: 80}]')
    assert check(ports, HPA_3, MANY, *nodes)[0] == (
        f"{SPREAD[0]}; reported only: hostPort with 3 replicas on 3 eligible nodes leaves a new pod no free node"
    )


def blocks(limit: str, pods: int, name: str = "web") -> str:
    return (
        f"[disruption-budget] Deployment default/{name}: PodDisruptionBudget web ({limit}) never lets any of"
        f" {pods} pods go: every drain of their nodes blocks; reported only: a budget of others is never changed"
    )


NO_MAXIMUM = with_(SCALED_OBJECT, minReplicaCount=None, maxReplicaCount=None)
CPA_MOST_3 = (AUTOSCALER, parameters(min=1, max=3))
CPA_MOST_1 = (AUTOSCALER, parameters(min=1, max=1))
CPA_PREVENTS = (AUTOSCALER, parameters(min=1, max=1, preventSinglePointFailure=True))
CPA_REFUSED = (AUTOSCALER, parameters(min=3, max=2))


@pytest.mark.parametrize(
    ("scalers", "limit", "found"),
    [
        ([KEDA_3], "minAvailable: 1", []),
        ([KEDA_3], "minAvailable: 9", []),
        ([KEDA_3], "minAvailable: 10", [blocks("minAvailable 10", 10)]),
        ([NO_MAXIMUM], "minAvailable: 99", []),
        ([NO_MAXIMUM], "minAvailable: 100", [blocks("minAvailable 100", 100)]),
        (CPA_3, "minAvailable: 1", []),
        (CPA_3, "minAvailable: 1000", []),
        (CPA_3, "maxUnavailable: 0", [blocks("maxUnavailable 0", 3)]),
        (CPA_3, "minAvailable: 100%", [blocks("minAvailable 100%", 3)]),
        (CPA_MOST_3, "minAvailable: 2", []),
        (CPA_MOST_3, "minAvailable: 3", [blocks("minAvailable 3", 3)]),
        (CPA_MOST_1, "minAvailable: 1", [blocks("minAvailable 1", 1)]),
        (CPA_PREVENTS, "minAvailable: 1", []),
        ((AUTOSCALER, LADDER), "minAvailable: 4", []),
        ((AUTOSCALER, LADDER), "minAvailable: 5", [blocks("minAvailable 5", 5)]),
        ([AUTOSCALER], "minAvailable: 1", []),
        (CPA_REFUSED, "minAvailable: 1", [blocks("minAvailable 1", 1)]),
        ([HPA_3], "minAvailable: 9", []),
        ([HPA_3], "minAvailable: 10", [blocks("minAvailable 10", 10)]),
        ([], "minAvailable: 1", [blocks("minAvailable 1", 1)]),
    ],
)
def test_a_budget_lets_none_go_only_where_its_scalers_maximum_does_not_exceed_it(
    check: Any, scalers: list[str], limit: str, found: list[str]
) -> None:
    lines = check(UNSAID, *scalers, budget("web", limit))
    assert [one for one in lines if "disruption-budget" in one and "web" in one] == found


def stable_and_canary(canary: int = 1) -> list[str]:
    return [
        with_(deployment("web"), replicas=count).replace("  name: web\n", f"  name: web-{name}\n", 1)
        for name, count in (("stable", 3), ("canary", canary))
    ]


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("minAvailable: 2", []),
        ("minAvailable: 3", []),
        ("minAvailable: 75%", []),
        (
            "minAvailable: 4",
            [blocks("minAvailable 4", 4, "web-stable"), blocks("minAvailable 4", 4, "web-canary")],
        ),
        (
            "maxUnavailable: 0",
            [blocks("maxUnavailable 0", 3, "web-stable"), blocks("maxUnavailable 0", 1, "web-canary")],
        ),
        (
            'maxUnavailable: "0%"',
            [blocks("maxUnavailable 0%", 3, "web-stable"), blocks("maxUnavailable 0%", 1, "web-canary")],
        ),
    ],
)
def test_a_budget_of_several_deployments_is_judged_by_the_pods_of_all_of_them(
    check: Any, limit: str, found: list[str]
) -> None:
    lines = check(*stable_and_canary(), deployment("other", 9), budget("web", limit))
    assert [one for one in lines if "PodDisruptionBudget web" in one] == found


def test_the_others_of_a_budget_count_by_what_their_scalers_reach_and_not_where_they_have_no_pods(
    check: Any,
) -> None:
    stable, canary = stable_and_canary()
    hpa = HPA_3.replace("kind: Deployment, name: web", "kind: Deployment, name: web-stable")
    assert not any(
        "never lets" in one for one in check(stable, canary, hpa, budget("web", "minAvailable: 4"))
    )
    empty = stable_and_canary(canary=0)
    assert [one for one in check(*empty, budget("web", "minAvailable: 3")) if "never lets" in one] == [
        blocks("minAvailable 3", 3, "web-stable")
    ]
