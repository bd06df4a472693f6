"""`check` on files that say how many replicas there are, and how many may go: whole answers with the leaf's line."""

import json
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main

POLICY = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: floors}
spec:
  deployments:
    replicas: {min: 2}
    disruptionBudget: {}
  coreDNS:
    floor: {minReplicas: 3}
    disruptionBudget: {}
"""
AUTOSCALER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: dns-autoscaler, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: dns-autoscaler}}
  template:
    metadata: {labels: {k8s-app: dns-autoscaler}}
    spec:
      containers:
      - name: autoscaler
        image: registry.example.com/cpa/cluster-proportional-autoscaler:v1.10.2
        command:
        - /cluster-proportional-autoscaler
        - --configmap=dns-autoscaler
        - --target=Deployment/coredns
        - --default-params={"linear":{"nodesPerReplica":16,"min":2}}
"""
PARAMETERS = """apiVersion: v1
kind: ConfigMap
metadata: {name: dns-autoscaler, namespace: kube-system}
data:
  linear: |
    {"nodesPerReplica": 16, "min": 2}
"""
COREDNS = """apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  replicas: 2
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      containers: [{name: coredns, image: "coredns:1"}]
"""
KUBE_DNS = """apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {selector: {k8s-app: kube-dns}, ports: [{port: 53}]}
"""
COREFILE = """apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data: {Corefile: ".:53 {}"}
"""
HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: web
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 5
"""
SCALED_OBJECT = """apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  maxReplicaCount: 9
  minReplicaCount: 1
  triggers: [{type: cron, metadata: {desiredReplicas: "4"}}]
"""


def deployment(name: str, replicas: int = 1) -> str:
    return f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: {name}, image: "shop/{name}:1"}}]
"""


def rollout(scale_down: str, name: str = "web") -> str:
    return f"""apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: {name}-canary}}
spec:
  workloadRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}, scaleDown: {scale_down}}}
"""


def budget(name: str, limit: str, app: str = "") -> str:
    return f"""apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {name}}}
spec:
  {limit}
  selector: {{matchLabels: {{app: {app or name}}}}}
"""


WEB = deployment("web")
MANY = budget("other", "maxUnavailable: 1")
"""So that budgets were read."""
UNBUDGETED = "no PodDisruptionBudget was read: whether one selects its pods is unknown"
Outcome = tuple[int, list[str], list[str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the documents of each file into the directory `all`, checks it, and gives what was said."""
    monkeypatch.chdir(tmp_path)
    Path("floors.yaml").write_text(POLICY)

    def run(files: dict[str, list[str]], *arguments: str) -> Outcome:
        for name, documents in files.items():
            path = Path("all") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("---\n".join(documents))
        code = main(["check", "all", "-p", "floors.yaml", *arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def skipped(count: str, why: str = UNBUDGETED, rule: str = "disruption-budget") -> str:
    return f"skipped: [{rule}] {count}: {why}"


CLUSTER_DNS = {"autoscaler.yaml": [AUTOSCALER, PARAMETERS], "coredns.yaml": [COREDNS, KUBE_DNS, COREFILE]}
FLOOR = "lets Deployment web go down to 1; the floor is 2 replicas"


@pytest.mark.parametrize(
    ("files", "code", "lines"),
    [
        pytest.param(
            CLUSTER_DNS,
            1,
            [
                (
                    "all/autoscaler.yaml:12: [coredns-floor] Deployment kube-system/dns-autoscaler: --default-params of"
                    " container autoscaler lack the floor of 3 replicas: a ConfigMap made of them lets cluster DNS go"
                    " below it; reported only: the arguments of a program are its owner's"
                ),
                (
                    "all/autoscaler.yaml:22: [coredns-floor] ConfigMap kube-system/dns-autoscaler: linear lets"
                    " Deployment coredns go down to 2; the floor is 3 replicas"
                ),
                skipped("1 Deployment", rule="coredns-budget"),
                "2 findings in 2 of 3 objects (policy floors)",
            ],
            id="cluster-proportional-autoscaler",
        ),
        pytest.param(
            {
                "autoscaler.yaml": [
                    AUTOSCALER.replace("=Deployment/", "=Deployment/other,Deployment/"),
                    PARAMETERS,
                ],
                "coredns.yaml": [COREDNS, KUBE_DNS, COREFILE],
                "other.yaml": [
                    deployment("other").replace(
                        "  name: other\n", "  name: other\n  namespace: kube-system\n", 1
                    )
                ],
            },
            1,
            [
                (
                    "all/autoscaler.yaml:12: [coredns-floor] Deployment kube-system/dns-autoscaler: --default-params of"
                    " container autoscaler lack the floor of 3 replicas: a ConfigMap made of them lets cluster DNS go"
                    " below it; reported only: the arguments of a program are its owner's"
                ),
                (
                    "all/autoscaler.yaml:22: [coredns-floor] ConfigMap kube-system/dns-autoscaler: linear lets"
                    " Deployments coredns and other go down to 2; the floor is 3 replicas"
                ),
                skipped("1 Deployment", rule="coredns-budget"),
                "2 findings in 2 of 3 objects, 1 out of the policy's scope (policy floors)",
            ],
            id="cluster-proportional-autoscaler-of-two-of-which-the-second-is-cluster-dns",
        ),
        pytest.param(
            {"web.yaml": [WEB, HPA, MANY]},
            1,
            [
                f"all/web.yaml:19: [replicas] HorizontalPodAutoscaler default/web: spec.minReplicas {FLOOR}",
                "1 finding in 1 of 2 objects (policy floors)",
            ],
            id="hpa",
        ),
        pytest.param(
            {"web.yaml": [WEB, HPA.replace("autoscaling/v2", "autoscaling/v1"), MANY]},
            1,
            [
                f"all/web.yaml:19: [replicas] HorizontalPodAutoscaler default/web: spec.minReplicas {FLOOR}",
                "1 finding in 1 of 2 objects (policy floors)",
            ],
            id="hpa-of-the-first-version",
        ),
        pytest.param(
            {"web.yaml": [WEB, HPA.replace("  minReplicas: 1\n", ""), MANY]},
            1,
            [
                f"all/web.yaml:13: [replicas] HorizontalPodAutoscaler default/web: spec.minReplicas {FLOOR}",
                "1 finding in 1 of 2 objects (policy floors)",
            ],
            id="hpa-that-says-nothing",
        ),
        pytest.param(
            {"hpa.yaml": [HPA.replace("maxReplicas: 5", "maxReplicas: 1")], "web.yaml": [WEB, MANY]},
            1,
            [
                (
                    "all/hpa.yaml:1: [replicas] HorizontalPodAutoscaler default/web: spec.maxReplicas is 1, below the"
                    ' floor of 2 replicas for Deployment web; to end it, commit {"spec":{"maxReplicas":2}};'
                    " reported only: a maximum is never raised"
                ),
                "1 finding in 1 of 2 objects (policy floors)",
            ],
            id="hpa-whose-maximum-is-too-low",
        ),
        pytest.param(
            {"keda.yaml": [SCALED_OBJECT], "web.yaml": [WEB, MANY]},
            1,
            [
                f"all/keda.yaml:7: [replicas] ScaledObject default/web: spec.minReplicaCount {FLOOR}",
                "1 finding in 1 of 2 objects (policy floors)",
            ],
            id="scaled-object",
        ),
        pytest.param(
            {
                "apps.yaml": [deployment(name, 2) for name in ("bare", "twice", "stuck", "well")],
                "budgets.yaml": [
                    budget("twice-a", "maxUnavailable: 1", "twice"),
                    budget("twice-b", "minAvailable: 1", "twice"),
                    budget("stuck", "minAvailable: 100%"),
                    budget("well", "maxUnavailable: 1"),
                ],
            },
            1,
            [
                (
                    "all/apps.yaml:1: [disruption-budget] Deployment default/bare: no PodDisruptionBudget selects the"
                    " pods of its 2 replicas"
                ),
                (
                    "all/apps.yaml:13: [disruption-budget] Deployment default/twice: PodDisruptionBudgets twice-a and"
                    " twice-b select the same pods: every eviction fails, and so every drain; reported only: a budget"
                    " of others is never changed"
                ),
                (
                    "all/apps.yaml:25: [disruption-budget] Deployment default/stuck: PodDisruptionBudget stuck"
                    " (minAvailable 100%) never lets any of 2 pods go: every drain of their nodes blocks; reported"
                    " only: a budget of others is never changed"
                ),
                "3 findings in 3 of 4 Deployments (policy floors)",
            ],
            id="budgets",
        ),
        pytest.param(
            {"web.yaml": [WEB, HPA, SCALED_OBJECT, MANY]},
            1,
            [
                (
                    "all/web.yaml:1: [replicas] Deployment default/web: HorizontalPodAutoscaler web and ScaledObject"
                    " web scale it, each against the other; reported only: which of them is to go is for people to say"
                ),
                "1 finding in 1 of 3 objects (policy floors)",
            ],
            id="two-scalers",
        ),
        pytest.param(
            {"web.yaml": [WEB]},
            1,
            [
                (
                    "all/web.yaml:6: [replicas] Deployment default/web: 1 of at least 2 replicas; nothing was read that"
                    " scales it"
                ),
                "1 finding in 1 of 1 Deployment (policy floors)",
            ],
            id="a-lone-deployment",
        ),
        pytest.param(
            {"web.yaml": [WEB, rollout("progressively")]},
            1,
            [
                (
                    "all/web.yaml:1: [replicas] Deployment default/web: 1 of at least 2 replicas; Rollout web-canary"
                    " scales it; reported only: Rollout web-canary would revert the change"
                ),
                skipped("1 Deployment"),
                "skipped: 1 Rollout: the operator judges Deployments",
                "1 finding in 1 of 1 Deployment (policy floors)",
            ],
            id="a-rollout-that-takes-it-down",
        ),
        pytest.param(
            {"web.yaml": [WEB, rollout("never"), rollout("onsuccess", "api")]},
            1,
            [
                (
                    "all/web.yaml:6: [replicas] Deployment default/web: 1 of at least 2 replicas; nothing was read that"
                    " scales it"
                ),
                "skipped: 2 Rollouts: the operator judges Deployments",
                "1 finding in 1 of 1 Deployment (policy floors)",
            ],
            id="rollouts-that-leave-it-alone",
        ),
        pytest.param(
            {"web.yaml": [deployment("api"), WEB.replace("  replicas: 1\n", ""), HPA, MANY]},
            1,
            [
                "all/web.yaml:6: [replicas] Deployment default/api: 1 of at least 2 replicas; nobody scales it",
                f"all/web.yaml:30: [replicas] HorizontalPodAutoscaler default/web: spec.minReplicas {FLOOR}",
                "2 findings in 2 of 3 objects (policy floors)",
            ],
            id="beside-one-that-is-scaled",
        ),
        pytest.param(
            {"web.yaml": [deployment("web", 0), HPA, MANY]},
            0,
            ["0 findings in 0 of 2 objects (policy floors)"],
            id="zero-stays-zero",
        ),
        pytest.param(
            {"hpa.yaml": [HPA, SCALED_OBJECT.replace("{name: web}", "{name: api}")]},
            0,
            [
                skipped(
                    "1 HorizontalPodAutoscaler", "the Deployment that it scales was not read", "replicas"
                ),
                skipped("1 ScaledObject", "the Deployment that it scales was not read", "replicas"),
                "0 findings in 0 of 0 Deployments (policy floors)",
            ],
            id="what-is-scaled-was-not-read",
        ),
    ],
)
def test_who_scales_is_found_in_the_files_and_named_with_the_line_of_its_number(
    check: Any, files: dict[str, list[str]], code: int, lines: list[str]
) -> None:
    assert check(files) == (code, lines, [])


def test_overlays_that_say_one_object_twice_are_judged_each_and_are_one_scaler(check: Any) -> None:
    files = {
        "base/web.yaml": [WEB],
        "dev/web.yaml": [HPA],
        "prod/web.yaml": [HPA.replace("minReplicas: 1", "minReplicas: 2")],
        "dev/budget.yaml": [budget("web", "maxUnavailable: 1")],
        "prod/budget.yaml": [budget("web", "maxUnavailable: 1")],
    }
    assert check(files)[1] == [
        (
            "all/base/web.yaml:6: [replicas] Deployment default/web: spec.replicas 1 stands beside"
            " HorizontalPodAutoscaler web: each apply scales to 1 first; leave it out; reported only: a number in a"
            " file is its owner's to leave out"
        ),
        f"all/dev/web.yaml:7: [replicas] HorizontalPodAutoscaler default/web: spec.minReplicas {FLOOR}",
        "2 findings in 2 of 3 objects (policy floors)",
    ]


def test_arguments_are_found_where_they_stand(check: Any) -> None:
    command = "        command:\n        - /cluster-proportional-autoscaler\n"
    assert command in AUTOSCALER
    autoscaler = AUTOSCALER.replace(command, "        args:\n").replace("16,", '16,"max":9,')
    _, out, _ = check({"a.yaml": [autoscaler], "coredns.yaml": [COREDNS, KUBE_DNS]})
    assert [line.partition(": --default")[0] for line in out if "--default" in line] == [
        "all/a.yaml:12: [coredns-floor] Deployment kube-system/dns-autoscaler"
    ]


def test_a_service_of_cluster_dns_that_selects_two_deployments_is_doubted(check: Any) -> None:
    twin = COREDNS.replace("name: coredns, n", "name: kube-dns-old, n").replace("replicas: 2", "replicas: 3")
    _, out, _ = check({"dns.yaml": [COREDNS.replace("replicas: 2", "replicas: 3"), twin, KUBE_DNS]})
    assert [line.rpartition("; reported")[0] for line in out if "reported only" in line] == [
        (
            "all/dns.yaml:1: [coredns-floor] Deployment kube-system/coredns: the Service of cluster DNS selects"
            " kube-dns-old as well: which of them serves is not known"
        ),
        (
            "all/dns.yaml:12: [coredns-floor] Deployment kube-system/kube-dns-old: the Service of cluster DNS selects"
            " coredns as well: which of them serves is not known"
        ),
    ]


JOB = """apiVersion: batch/v1
kind: CronJob
metadata: {name: clean}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: web, part: clean}}
"""
BUDGETED = "[disruption-budget] Deployment default/web: "
NO_BUDGET = BUDGETED + "no PodDisruptionBudget selects the pods of its 3 replicas"


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        pytest.param(
            [JOB, MANY],
            f"{NO_BUDGET}; reported only: its selector selects pods of a Job as well, which no budget can count: it"
            " lets none go",
            id="a-cron-job-and-no-budget",
        ),
        pytest.param(
            [JOB, budget("web", "maxUnavailable: 1")],
            f"{BUDGETED}PodDisruptionBudget web (maxUnavailable 1) selects pods of a Job as well, which no budget can"
            " count: it lets none go, and every drain of their nodes blocks; reported only: a budget of others is never"
            " changed",
            id="a-cron-job-and-a-budget-of-somebody",
        ),
        pytest.param(
            [
                JOB.replace("batch/v1", "apps/v1")
                .replace("CronJob", "StatefulSet")
                .replace("  jobTemplate:\n    spec:\n      template:", "  template:"),
                MANY,
            ],
            f"{NO_BUDGET}; reported only: its selector selects the pods of StatefulSet clean as well: with a budget"
            " each, every eviction fails",
            id="a-stateful-set",
        ),
        pytest.param([JOB.replace("app: web", "app: clean"), MANY], NO_BUDGET, id="a-cron-job-of-its-own"),
    ],
)
def test_pods_of_others_that_a_selector_takes_in_are_found_in_the_files(
    check: Any, documents: list[str], said: str
) -> None:
    code, lines, errors = check({"web.yaml": [deployment("web", replicas=3)], "more.yaml": documents})
    assert (code, [line.partition(": ")[2] for line in lines if BUDGETED in line], errors) == (1, [said], [])


@pytest.mark.parametrize("rule", ["replicas", "all"])
def test_an_opt_out_of_the_hpa_holds_for_it_alone(check: Any, rule: str) -> None:
    hpa = HPA.replace("  name: web\n", f"  name: web\n  labels: {{resilience.dev/ignore: {rule}}}\n", 1)
    assert check({"web.yaml": [WEB, hpa, MANY]})[:2] == (
        0,
        [
            "all/web.yaml:13: ignored: HorizontalPodAutoscaler default/web is opted out of replicas",
            "0 findings in 0 of 1 Deployment (policy floors)",
        ],
    )


def test_an_opt_out_of_the_deployment_holds_for_what_scales_it(check: Any) -> None:
    web = WEB.replace("  name: web\n", "  name: web\n  labels: {resilience.dev/ignore: replicas}\n", 1)
    assert check({"web.yaml": [web, HPA, MANY]})[:2] == (
        0,
        [
            "all/web.yaml:1: ignored: Deployment default/web is opted out of replicas",
            "all/web.yaml:14: ignored: HorizontalPodAutoscaler default/web is opted out of replicas",
            "0 findings in 0 of 1 Deployment (policy floors)",
        ],
    )


def test_config_maps_that_are_no_autoscalers_are_neither_read_nor_judged(check: Any) -> None:
    refused = COREFILE.replace('{Corefile: ".:53 {}"}', "{Corefile: 1}")
    stray = PARAMETERS.replace("dns-autoscaler", "of-nobody")
    assert check(
        {"web.yaml": [deployment("web", 2), refused, stray, budget("web", "maxUnavailable: 1")]}
    ) == (
        0,
        ["0 findings in 0 of 1 Deployment (policy floors)"],
        [],
    )
    wrong = PARAMETERS.replace("linear: |\n    {", "linear: {")
    assert check({"web.yaml": [wrong]})[::2] == (
        2,
        [
            (
                "all/web.yaml:4: the API server would refuse this ConfigMap: Expected `str`, got `object` - at"
                " `$.data[...]`"
            )
        ],
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            HPA.replace("autoscaling/v2", "autoscaling/v2beta2"),
            "autoscaling/v2beta2 HorizontalPodAutoscaler is no longer served by any API server; write autoscaling/v2",
        ),
        (
            budget("web", "maxUnavailable: 1").replace("policy/v1", "policy/v1beta1"),
            "policy/v1beta1 PodDisruptionBudget is no longer served by any API server; write policy/v1",
        ),
    ],
)
def test_versions_that_are_gone_are_bad_input_and_not_overlooked(check: Any, text: str, says: str) -> None:
    assert check({"web.yaml": [text]})[::2] == (2, [f"all/web.yaml:1: {says}"])


def test_json_names_the_kind_the_leaf_and_what_it_should_be(check: Any) -> None:
    code, out, _ = check(CLUSTER_DNS, "-o", "json")
    body = json.loads("\n".join(out))
    autoscaler = {"namespace": "kube-system", "name": "dns-autoscaler"}
    assert code == 1
    assert body["summary"] == {
        "findings": 2,
        "objects": 3,
        "deployments": 2,
        "drifted": 2,
        "outOfScope": 0,
        "ignored": 0,
        "errors": 0,
    }
    command, parameters = body["findings"]
    assert {key: command[key] for key in ("object", "reason", "path", "file", "line")} == {
        "object": {"apiVersion": "apps/v1", "kind": "Deployment", **autoscaler},
        "reason": "DefaultParamsBelowFloor",
        "path": "spec.template.spec.containers[name=autoscaler].command",
        "file": "all/autoscaler.yaml",
        "line": 12,
    }
    assert parameters == {
        "rule": "coredns-floor",
        "reason": "FloorTooLow",
        "severity": "warning",
        "object": {"apiVersion": "v1", "kind": "ConfigMap", **autoscaler},
        "message": "linear lets Deployment coredns go down to 2; the floor is 3 replicas",
        "path": "data.linear",
        "observed": '{"nodesPerReplica": 16, "min": 2}\n',
        "desired": '{"nodesPerReplica": 16, "min": 3, "preventSinglePointFailure": true,'
        ' "includeUnschedulableNodes": true}\n',
        "file": "all/autoscaler.yaml",
        "line": 22,
    }


def test_sarif_names_the_kind_and_tells_namesakes_apart(check: Any) -> None:
    keda = SCALED_OBJECT.replace("scaleTargetRef: {name: web}", "scaleTargetRef: {name: api}")
    files = {
        "hpa.yaml": [HPA.replace("maxReplicas: 5", "maxReplicas: 1")],
        "keda.yaml": [keda.replace("maxReplicaCount: 9", "maxReplicaCount: 1")],
        "web.yaml": [WEB, deployment("api"), MANY],
    }
    code, out, _ = check(files, "-o", "sarif")
    (run,) = json.loads("\n".join(out))["runs"]
    assert code == 1
    told = [
        (
            one["ruleId"],
            one["level"],
            one["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for one in run["results"]
    ]
    assert told == [
        ("replicas", "note", "HorizontalPodAutoscaler/default/web", "all/hpa.yaml", 1),
        ("replicas", "note", "ScaledObject/default/web", "all/keda.yaml", 1),
    ]
    assert [one["message"]["text"].partition(":")[0] for one in run["results"]] == [
        "HorizontalPodAutoscaler default/web",
        "ScaledObject default/web",
    ]
    assert len({one["partialFingerprints"]["finding/v1"] for one in run["results"]}) == 2
