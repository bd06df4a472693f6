"""`check` on files whose Deployments are scaled, or share a budget: by how many replicas they are judged."""

import json
import subprocess
import sys
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


DEFAULTED = AUTOSCALER.replace(
    "command: [", """command: ['--default-params={"linear":{"nodesPerReplica":16,"min":3}}', """
)
STILL = AUTOSCALER.replace("{name: cpa}", "{name: a-cpa}", 1).replace("replicas: 1", "replicas: 0")
PREVENTS = parameters(preventSinglePointFailure=True)
TWO = tuple(one.replace("its 3 replicas", "its 2 replicas") for one in SPREAD)
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
        (None, [DEFAULTED], SPREAD),
        (None, [DEFAULTED, parameters(min=1)], ()),
        (None, [STILL, DEFAULTED], SPREAD),
        (None, [AUTOSCALER, PREVENTS], TWO),
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


def blocks_at(limit: str, least: int, scaler: str) -> str:
    return (
        f"[disruption-budget] Deployment default/web: PodDisruptionBudget web ({limit}) lets no pod go while {scaler}"
        f" keeps its minimum of {least}: every drain of their nodes blocks then; reported only: a budget of others is"
        " never changed"
    )


KEDA_0 = with_(SCALED_OBJECT, minReplicaCount=None, maxReplicaCount=None)
CPA_1 = (AUTOSCALER, parameters(min=1, max=3))
CPA_PREVENTS = (AUTOSCALER, parameters(min=1, max=1, preventSinglePointFailure=True))
CPA_REFUSED = (AUTOSCALER, parameters(min=3, max=2))
BY_KEDA, BY_CPA, BY_HPA = (
    "ScaledObject web",
    "cluster-proportional-autoscaler cpa",
    "HorizontalPodAutoscaler web",
)


@pytest.mark.parametrize(
    ("scalers", "limit", "found"),
    [
        ([KEDA_3], "minAvailable: 1", []),
        ([KEDA_3], "minAvailable: 2", []),
        ([KEDA_3], "minAvailable: 3", [blocks_at("minAvailable 3", 3, BY_KEDA)]),
        ([KEDA_0], "minAvailable: 1", [blocks_at("minAvailable 1", 1, BY_KEDA)]),
        ([KEDA_0], "maxUnavailable: 1", []),
        (CPA_3, "minAvailable: 1", []),
        (CPA_3, "minAvailable: 1000", [blocks_at("minAvailable 1000", 3, BY_CPA)]),
        (CPA_3, "maxUnavailable: 0", [blocks("maxUnavailable 0", 3)]),
        (CPA_3, "minAvailable: 100%", [blocks("minAvailable 100%", 3)]),
        (CPA_1, "minAvailable: 1", [blocks_at("minAvailable 1", 1, BY_CPA)]),
        (CPA_PREVENTS, "minAvailable: 1", []),
        (CPA_PREVENTS, "minAvailable: 2", [blocks_at("minAvailable 2", 2, BY_CPA)]),
        ((AUTOSCALER, LADDER), "minAvailable: 2", []),
        ((AUTOSCALER, LADDER), "minAvailable: 3", [blocks_at("minAvailable 3", 3, BY_CPA)]),
        ([DEFAULTED], "minAvailable: 2", []),
        ([DEFAULTED], "minAvailable: 3", [blocks_at("minAvailable 3", 3, BY_CPA)]),
        (CPA_REFUSED, "minAvailable: 1", []),
        ([HPA_3], "minAvailable: 2", []),
        ([HPA_3], "minAvailable: 3", [blocks_at("minAvailable 3", 3, BY_HPA)]),
        ([HPA_3], "minAvailable: 60%", []),
        ([HPA_3], "minAvailable: 67%", [blocks_at("minAvailable 67%", 3, BY_HPA)]),
        ([], "minAvailable: 1", [blocks("minAvailable 1", 1)]),
    ],
)
def test_a_budget_is_judged_by_the_least_pods_that_the_scaler_of_its_deployment_keeps(
    check: Any, scalers: list[str], limit: str, found: list[str]
) -> None:
    lines = check(UNSAID, *scalers, budget("web", limit))
    assert [one for one in lines if "disruption-budget" in one and "web" in one] == found


def skips() -> list[str]:
    """What `check` passes over as unknown, of the documents of the last run."""
    body = subprocess.run(
        [sys.executable, "-m", "resilience_operator.cli.main", "check", "all.yaml", "-p", "floors.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in body.stdout.splitlines() if line.startswith("skipped: [disruption-budget]")]


@pytest.mark.parametrize("scalers", [(AUTOSCALER,), CPA_REFUSED], ids=["no parameters", "such as it refuses"])
def test_how_far_down_an_autoscaler_goes_whose_parameters_cannot_be_read_is_unknown(
    check: Any, scalers: tuple[str, ...]
) -> None:
    lines = check(UNSAID, *scalers, budget("web", "minAvailable: 1"))
    assert not [one for one in lines if "disruption-budget" in one]
    assert skips() == [
        (
            "skipped: [disruption-budget] 1 Deployment: how far down cluster-proportional-autoscaler cpa scales it is"
            " unknown, and so is whether PodDisruptionBudget web (minAvailable 1) lets any go"
        )
    ]


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
        ("minAvailable: 4", []),
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
def test_a_budget_of_several_deployments_blocks_only_where_their_number_makes_no_difference(
    check: Any, limit: str, found: list[str]
) -> None:
    lines = check(*stable_and_canary(), deployment("other", 9), budget("web", limit))
    assert [one for one in lines if "PodDisruptionBudget web" in one] == found


def test_whether_a_budget_lets_any_go_that_selects_pods_of_several_deployments_is_unknown(check: Any) -> None:
    check(*stable_and_canary(), deployment("other", 9), budget("web", "minAvailable: 3"))
    assert skips() == [
        (
            "skipped: [disruption-budget] 2 Deployments: PodDisruptionBudget web (minAvailable 3) may select pods of"
            " others as well: whether it lets any go is unknown"
        )
    ]
