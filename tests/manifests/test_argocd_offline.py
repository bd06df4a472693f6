"""manifests/argocd by Argo CD's own command: the health of every status the operator can write, and what is ignored.

A misspelt key or an invalid health ends with exit code 0, so the whole output is compared. No cluster is needed.
"""

import ast
import inspect
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.engine import conditions as report
from resilience_operator.targets import parse
from tests.support import ROOT
from tests.support.statuses import (
    DISTRUST,
    FAILED,
    LOST,
    OPERATOR,
    ROLLING,
    STOPPED,
    THERE,
    TROUBLE,
    UNHEALTHY,
    WAITING,
    WELL,
    WRITES,
    Causes,
    every,
    written,
)

ARGOCD = ROOT / "manifests" / "argocd"
HEALTH, LEAVES = (ARGOCD / "settings" / name for name in ("health.yaml", "ignore-differences.yaml"))
KEY = "resource.customizations.health.resilience.dev_ResiliencePolicy"
Body = dict[str, Any]
Ask = Callable[[str, Path, Body], str]

STOPPED_SAYS = (
    "1 rollout failed, shop/web last; the policy is stopped until its spec changes (failureThreshold: 1)"
)
INVALID_SAYS = (
    'not in force: spec.windows.allow[0].timeZone: write an IANA time zone name, as "Europe/Berlin"; '
    "'Europe/Atlantis' is unknown here"
)
TWO = "2 of 3 objects have findings: spread 2; all of them: kubectl resilience report production"
WAITS = "waits for the window office-hours, 2026-11-23 09:00 CET"
TOLERATED = {
    WELL: "",
    STOPPED: f"stopped: {STOPPED_SAYS}",
    THERE: f"stopped in a namespace: {TROUBLE[THERE]}",
    FAILED: "a rollout failed: shop/web: container web of the new pod web-1 is in a crash loop (2 restarts)",
    WRITES: "a write fails: the last write of shop/db failed: failed calling webhook",
    UNHEALTHY: "halted: 9 of 40 targets are unhealthy, more than 20 % (shop/web is one)",
    DISTRUST: "not believed: shop/db: resilience.dev/state is of another object",
}
"""What is degraded about objects: none of it holds a sync wave."""


@pytest.fixture
def ask(argocd_cli: Path, tmp_path: Path) -> Ask:
    """What Argo CD says of an object under a ConfigMap argocd-cm: `ask("health", settings, body)`."""

    def answer(what: str, settings: Path, body: Body) -> str:
        file = tmp_path / f"{id(body)}.json"
        file.write_text(json.dumps(body))
        command = [*(str(argocd_cli), "admin", "settings", "resource-overrides", what, str(file))]
        asked = subprocess.run(
            [*command, f"--argocd-cm-path={settings}"], check=True, capture_output=True, text=True
        )
        return asked.stdout

    return answer


def says(health: str, message: str) -> str:
    """The command's whole output."""
    return f"STATUS: {health}\nMESSAGE: {message}\n"


def expected(causes: Causes) -> str:
    """The health of a policy from what there is to say about it, worst first."""
    if causes.unguarded:
        return says("Degraded", "not in force: the guard is not in force")
    if causes.invalid:
        return says("Degraded", INVALID_SAYS)
    if causes.degraded in (OPERATOR, LOST):
        return says("Degraded", TROUBLE[causes.degraded])
    if causes.empty:
        return says("Healthy", "Enforce: no object is selected: nothing is judged")
    drifting = 2 * causes.drift + causes.contested
    have = "has" if drifting == 1 else "have"
    all_of_them = "all of them: kubectl resilience report production"
    found = f"{drifting} of 3 objects {have} findings: spread {drifting}; {all_of_them}"
    found = found if drifting else "3 objects as the policy demands"
    if causes.reported:
        found = "nothing that may be enforced drifts; 1 of 3 objects with findings only reported"
    rolling = causes.progress == ROLLING or causes.degraded == FAILED
    progress = ["shop/web rolls out"] if rolling else []
    progress += [f"shop/api {WAITS}"] if causes.progress == WAITING else []
    parts = (
        f"Enforce: {found}",
        TOLERATED[causes.degraded],
        *progress,
        "contested: shop/db: Git sets maxSkew: 5 (Argo CD application shop)" if causes.contested else "",
    )
    message = "; ".join(part for part in parts if part)
    if causes.suspend:
        return says("Suspended", f"suspended, nothing is written; {message}")
    return says("Healthy", message)


def test_every_status_that_the_operator_can_write_has_its_health(ask: Ask, tmp_path: Path) -> None:
    every_one = list(every())
    assert len(every_one) == 316
    together = asked_together(ask, tmp_path, [written(causes) for causes in every_one])
    assert together == [expected(causes) for causes in every_one]
    assert {answer.split("\n")[0] for answer in together} == {
        *("STATUS: Healthy", "STATUS: Degraded", "STATUS: Suspended")
    }
    for causes, answer in list(zip(every_one, together, strict=True))[::17]:
        assert ask("health", HEALTH, written(causes)) == answer, "asked alone, the answer is the same"


def asked_together(ask: Ask, tmp_path: Path, policies: Sequence[Body]) -> list[str]:
    """The health of many policies in one run of the command, which takes a third of a second: the script in a loop."""
    body = yaml.safe_load(HEALTH.read_text(encoding="utf-8"))
    script = body["data"][KEY]
    body["data"][KEY] = f"""
        local function check(obj)
        {script}
        end
        local answers = {{}}
        for _, policy in ipairs(obj.spec.policies) do
          local answer = check(policy)
          table.insert(answers, "STATUS: " .. answer.status .. "\\nMESSAGE: " .. answer.message .. "\\n")
        end
        return {{status = "Healthy", message = table.concat(answers, "---\\n")}}
    """
    file = tmp_path / "argocd-cm.yaml"
    file.write_text(json.dumps(body))
    all_of_them = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "all"},
    }
    answer = ask("health", file, all_of_them | {"spec": {"policies": list(policies)}})
    return answer.removeprefix("STATUS: Healthy\nMESSAGE: ").removesuffix("\n").split("---\n")


def test_these_are_all_conditions_that_the_code_can_set() -> None:
    seen = {
        (one["type"], one["status"], one["reason"])
        for causes in every()
        for one in written(causes)["status"]["conditions"]
    }
    assert seen == set(conditions_in_the_code())
    assert len(seen) == 26


def conditions_in_the_code() -> Iterable[tuple[str, str, str]]:
    """(type, status, reason) of every answer that a function of engine/conditions returns"""
    for function in ast.parse(inspect.getsource(report)).body:
        if not isinstance(function, ast.FunctionDef) or ast.unparse(function.returns or function) != "Answer":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Return):
                assert isinstance(node.value, ast.Tuple), "an answer is written out where it is returned"
                status, reason, _ = node.value.elts
                yield (
                    function.name.capitalize(),
                    ast.literal_eval(status),
                    ast.literal_eval(reason),
                )


@pytest.mark.parametrize(
    ("causes", "health", "message"),
    [
        pytest.param(
            Causes(drift=True, mode="Audit"),
            "Healthy",
            f"Audit: {TWO}",
            id="audit-with-findings",
        ),
        pytest.param(
            Causes(progress=WAITING),
            "Healthy",
            f"Enforce: 3 objects as the policy demands; shop/api {WAITS}",
            id="waits-for-a-window",
        ),
        pytest.param(
            Causes(degraded=STOPPED),
            "Healthy",
            f"Enforce: 3 objects as the policy demands; stopped: {STOPPED_SAYS}",
            id="one-failed-rollout-stops-the-policy",
        ),
        pytest.param(
            Causes(degraded=OPERATOR, suspend=True), "Degraded", "the stream of pods is stale", id="worst"
        ),
    ],
)
def test_a_policy_is(ask: Ask, causes: Causes, health: str, message: str) -> None:
    assert ask("health", HEALTH, written(causes)) == says(health, message)


@pytest.mark.parametrize(
    ("thresholds", "several"),
    [
        ({}, False),
        ({"threshold": 0}, True),
        ({"threshold": 2}, True),
        ({"section_threshold": 2}, True),
        ({"threshold": 3, "section_threshold": 1}, False),
        ({"threshold": 3, "section_threshold": 2, "dns_threshold": 1}, False),
        ({"section_threshold": 2, "dns_threshold": 3}, True),
    ],
    ids=str,
)
def test_a_stopped_policy_is_degraded_where_several_had_to_fail_for_it(
    ask: Ask, thresholds: dict[str, int], several: bool
) -> None:
    causes = Causes(degraded=STOPPED, **thresholds)  # type: ignore[arg-type]
    policy, _ = parse(written(causes))
    assert (policy.limits_of(()).failure_threshold > 1) is several, "the operator reads it alike"
    tolerated = says("Healthy", f"Enforce: 3 objects as the policy demands; stopped: {STOPPED_SAYS}")
    assert ask("health", HEALTH, written(causes)) == (
        says("Degraded", STOPPED_SAYS) if several else tolerated
    )


def test_where_the_rules_differ_in_mode_the_message_says_so(ask: Ask) -> None:
    policy = written(Causes(drift=True))
    policy["status"]["summary"]["mode"] = "Mixed"
    assert ask("health", HEALTH, policy) == says("Healthy", f"Mixed: {TWO}")


@pytest.mark.parametrize("condition", ["Ready", "Compliant", "Progressing", "Degraded", "Contested"])
def test_without_one_of_its_conditions_a_policy_is_progressing(ask: Ask, condition: str) -> None:
    policy = written(Causes())
    policy["status"]["conditions"] = [
        one for one in policy["status"]["conditions"] if one["type"] != condition
    ]
    waits = f"condition {condition} waits for the operator"
    assert ask("health", HEALTH, policy) == says("Progressing", waits)


@pytest.mark.parametrize("suspend", [False, True])
def test_what_the_operator_has_not_seen_is_progressing(ask: Ask, suspend: bool) -> None:
    policy = written(Causes(invalid=True, suspend=suspend))
    edited = policy | {"metadata": policy["metadata"] | {"generation": 4}}
    new = {key: value for key, value in policy.items() if key != "status"}
    empty = policy | {"status": {}}
    answers = [ask("health", HEALTH, each) for each in (edited, new, empty)]
    assert answers == [
        says("Progressing", f"generation {number} waits for the operator") for number in (4, 3, 3)
    ]


def test_a_policy_that_still_gives_back_is_progressing(ask: Ask) -> None:
    policy = written(Causes())
    policy["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:00Z"
    assert ask("health", HEALTH, policy) == says("Progressing", "Pending deletion")


def test_a_reason_that_is_not_known_is_degraded(ask: Ask) -> None:
    policy = written(replace(Causes(), degraded=DISTRUST))
    policy["status"]["conditions"][3]["reason"] = "SomethingNew"
    assert ask("health", HEALTH, policy) == says(
        "Degraded", "shop/db: resilience.dev/state is of another object"
    )


RUNS, NOT_BEGUN = says("Progressing", "its sync runs"), says("Progressing", "its first sync has not begun")
AUTOMATED: Body = {"syncPolicy": {"automated": {}}}
HEALTHY = {"health": {"status": "Healthy"}}
OUT_OF_SYNC, SYNCED = {"sync": {"status": "OutOfSync"}}, {"sync": {"status": "Synced"}}
ONCE = {"history": [{"id": 0}]}


def ended(phase: str) -> Body:
    return {"operationState": {"phase": phase, "message": "of which it is said"}}


@pytest.mark.parametrize(
    ("application", "answer"),
    [
        ({}, says("Progressing", "")),
        (
            {"status": {"health": {"status": "Degraded", "message": "gone"}} | ended("Running")},
            says("Degraded", "gone"),
        ),
        ({"status": {"health": {"status": "Missing"}} | ended("Failed")}, says("Missing", "")),
        ({"status": HEALTHY | SYNCED | ONCE | ended("Succeeded")}, says("Healthy", "")),
        # Half of it is there, and that is healthy.
        ({"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC | ended("Running")}, RUNS),
        ({"spec": AUTOMATED, "status": HEALTHY | SYNCED | ONCE | ended("Running")}, RUNS),
        ({"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC | ended("Terminating")}, RUNS),
        ({"operation": {"sync": {}}, "status": HEALTHY | OUT_OF_SYNC | ONCE}, RUNS),
        ({"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC}, NOT_BEGUN),
        ({"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC | {"history": []}}, NOT_BEGUN),
        ({"spec": AUTOMATED, "status": HEALTHY}, NOT_BEGUN),
        *(
            (
                {"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC | ended(phase)},
                says("Degraded", "its first sync failed: of which it is said"),
            )
            for phase in ("Failed", "Error")
        ),
        # It took over what was there already, is synced by people, or fell behind later: as it says itself.
        ({"spec": AUTOMATED, "status": HEALTHY | SYNCED}, says("Healthy", "")),
        ({"spec": {}, "status": HEALTHY | OUT_OF_SYNC}, says("Healthy", "")),
        (
            {"spec": {"syncPolicy": {"automated": {"enabled": False}}}, "status": HEALTHY | OUT_OF_SYNC},
            says("Healthy", ""),
        ),
        ({"spec": AUTOMATED, "status": HEALTHY | OUT_OF_SYNC | ONCE | ended("Failed")}, says("Healthy", "")),
    ],
)
def test_an_application_is_healthy_once_all_of_it_is_there(ask: Ask, application: Body, answer: str) -> None:
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}}
    assert ask("health", HEALTH, body | application) == answer


# --- ignoreDifferences

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 45
      dnsConfig: {options: [{name: single-request-reopen}], searches: [shop.example.com]}
      topologySpreadConstraints:
      - {topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}
      - {topologyKey: example.com/rack, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}
      - {topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}
      containers:
      - name: web
        image: shop/web:1
        lifecycle: {postStart: {exec: {command: [warm-up]}}, preStop: {sleep: {seconds: 15}}}
      - {name: beside, image: shop/beside:1}
"""
HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {maxReplicas: 9, minReplicas: 2}
"""
SCALED_OBJECT = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web, namespace: shop}
spec: {maxReplicaCount: 9, minReplicaCount: 2}
"""
AUTOSCALER = """
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-autoscaler, namespace: kube-system}
data: {ladder: '{}', linear: '{"min":2}', other: text}
"""
IGNORED = {
    DEPLOYMENT: """7d6
<   replicas: 3
23,25d21
<           preStop:
<             sleep:
<               seconds: 15
30,31d25
<         options:
<         - name: single-request-reopen
34d27
<       terminationGracePeriodSeconds: 45
37,39d29
<         topologyKey: kubernetes.io/hostname
<         whenUnsatisfiable: ScheduleAnyway
<       - maxSkew: 1
41,43d30
<         whenUnsatisfiable: ScheduleAnyway
<       - maxSkew: 1
<         topologyKey: topology.kubernetes.io/zone
""",
    HPA: "8d7\n<   minReplicas: 2\n",
    SCALED_OBJECT: "8d7\n<   minReplicaCount: 2\n",
    AUTOSCALER: "3,4d2\n<   ladder: '{}'\n<   linear: '{\"min\":2}'\n",
}


@pytest.mark.parametrize("body", IGNORED, ids=["Deployment", "HPA", "ScaledObject", "ConfigMap"])
def test_by_path_exactly_the_published_leaves_are_ignored(ask: Ask, body: str) -> None:
    answer = ask("ignore-differences", LEAVES, yaml.safe_load(body))
    assert answer == "Following fields are ignored:\n\n" + IGNORED[body]


@pytest.mark.parametrize(
    "body",
    [
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{}]}}}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "shop"},
            "data": {"linear": "{}"},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "kube-system"}},
    ],
    ids=["no-leaf", "empty", "of-a-tenant", "no-data"],
)
def test_where_no_leaf_is_nothing_is_ignored_and_nothing_fails(ask: Ask, body: Body) -> None:
    answer = ask("ignore-differences", LEAVES, body)
    assert answer.startswith("No fields are ignored by ignoreDifferences settings: \n"), answer


@pytest.mark.parametrize("file", ["health.yaml", "ignore-differences.yaml"])
def test_the_settings_are_a_part_of_argo_cds_own_config_map(file: str) -> None:
    body = yaml.safe_load((ARGOCD / "settings" / file).read_text(encoding="utf-8"))
    assert (body["kind"], body["metadata"]) == (
        "ConfigMap",
        {
            "name": "argocd-cm",
            "labels": {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"},
        },
    )


def test_an_application_ignores_by_path_what_the_settings_ignore_and_respects_it() -> None:
    spec = yaml.safe_load((ARGOCD / "ignore-differences.yaml").read_text(encoding="utf-8"))["spec"]
    assert spec["syncPolicy"]["syncOptions"] == ["RespectIgnoreDifferences=true"]
    settings = yaml.safe_load(LEAVES.read_text(encoding="utf-8"))["data"]
    for one in spec["ignoreDifferences"]:
        known = yaml.safe_load(
            settings[f"resource.customizations.ignoreDifferences.{one['group']}_{one['kind']}"]
        )
        paths = {key: one[key] for key in ("jsonPointers", "jqPathExpressions") if key in one}
        assert paths
        assert all(set(found) <= set(known[key]) for key, found in paths.items())
        assert one.keys() <= {"group", "kind", "name", *paths}


@pytest.mark.parametrize(("file", "overrides"), [("health.yaml", 3), ("ignore-differences.yaml", 5)])
def test_argo_cd_takes_the_settings(argocd_cli: Path, file: str, overrides: int) -> None:
    command = [str(argocd_cli), "admin", "settings", "validate", "--group=resource-overrides"]
    asked = subprocess.run(
        [*command, f"--argocd-cm-path={ARGOCD / 'settings' / file}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"✅ resource-overrides\n{overrides} resource overrides\n" in asked.stdout
