"""The CRD is what is printed from the settings, and every field is described and bounded."""

from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main
from resilience_operator.core.sysctls import ALLOWED
from resilience_operator.policy.common import (
    DEFAULT_LIMITS,
    AllowWindow,
    Conflicts,
    Mode,
    NamespaceScope,
    OnRelease,
)
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import crd, parse
from resilience_operator.targets.coredns.settings import Floor
from resilience_operator.targets.deployments.settings import (
    Deployments,
    DNSConfig,
    GracefulShutdown,
    Probes,
    Replicas,
    Resources,
)
from resilience_operator.targets.workloads.settings import DisruptionBudget, Spread, SpreadConstraint

Schema = dict[str, Any]

ENUMS = {
    "mode": tuple(Mode),
    "conflicts": tuple(Conflicts),
    "onRelease": tuple(OnRelease),
    "days[]": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "operator": ("In", "NotIn", "Exists", "DoesNotExist"),
    "whenUnsatisfiable": ("ScheduleAnyway", "DoNotSchedule"),
    "appliesTo": ("Exposed", "All"),
    "direction": ("RaiseOnly", "Set"),
    "name": tuple(ALLOWED),
    "remediation[]": ("Timeout", "NamespaceSelector", "FailOpenWhileDown"),
}

PROBES = ("readiness", "liveness", "startup")
RESOURCES = ("cpuRequest", "memoryRequest", "memoryLimit", "cpuLimit")

HARMLESS_OPTIONS = {
    *("single-request-reopen", "single-request", "timeout", "attempts", "use-vc", "edns0", "trust-ad")
}

DEFAULTS = {
    "spec.suspend": f"{Policy('x').suspend} if left out".lower(),
    "spec.priority": f"{Policy('x').priority} if left out",
    "spec.onRelease": f"{Policy('x').on_release} (if left out)",
    "spec.windows.allow[].timeZone": f"left out: {AllowWindow('h', (), time(9), time(16)).time_zone}",
    "spec.rollout.maxConcurrent": f"{DEFAULT_LIMITS.max_concurrent} if left out",
    "spec.rollout.maxConcurrentPerNamespace": f"{DEFAULT_LIMITS.max_concurrent_per_namespace} if left out",
    "spec.rollout.soakSeconds": f"{DEFAULT_LIMITS.soak_seconds} if left out",
    "spec.rollout.progressDeadlineSeconds": f"{DEFAULT_LIMITS.progress_deadline_seconds} if left out",
    "spec.rollout.failureThreshold": f"{DEFAULT_LIMITS.failure_threshold} if left out",
    "spec.rollout.failureThresholdPerNamespace": (
        f"{DEFAULT_LIMITS.failure_threshold_per_namespace} if left out"
    ),
    "spec.deployments.namespaces.include": f'["{NamespaceScope().include[0]}"] if left out',
    "spec.deployments.spread.constraints": (
        "kubernetes.io/hostname and topology.kubernetes.io/zone, each with maxSkew 1 and ScheduleAnyway"
    ),
    "spec.deployments.spread.constraints[].maxSkew": f"{SpreadConstraint('x').max_skew} if left out",
    "spec.deployments.spread.constraints[].whenUnsatisfiable": (
        f"{SpreadConstraint('x').when_unsatisfiable} (if left out)"
    ),
    "spec.deployments.gracefulShutdown.preStopSleepSeconds": (
        f"{GracefulShutdown().pre_stop_sleep_seconds} if left out"
    ),
    "spec.deployments.gracefulShutdown.minTerminationGracePeriodSeconds": (
        f"{GracefulShutdown().min_termination_grace_period_seconds} if left out"
    ),
    "spec.deployments.gracefulShutdown.appliesTo": f"{GracefulShutdown().applies_to} (if left out)",
    "spec.deployments.dnsConfig.options": f"Left out: {DNSConfig().options[0].name}",
    "spec.deployments.dnsConfig.allowSearchChange": f"{DNSConfig().allow_search_change} if left out".lower(),
    "spec.deployments.probes.require": f"{Probes().require[0]} if left out",
    "spec.deployments.resources.require": "{}, {} and {} if left out".format(*Resources().require),
    "spec.deployments.replicas.min": f"{Replicas().min} if left out",
    "spec.deployments.disruptionBudget.maxUnavailable": f"{DisruptionBudget().max_unavailable} if left out",
    "spec.coreDNS.floor.minReplicas": f"{Floor().min_replicas} if left out",
    "spec.coreDNS.floor.preventSinglePointFailure": (
        f"{Floor().prevent_single_point_failure} (if left out)".lower()
    ),
    "spec.coreDNS.disruptionBudget.maxUnavailable": f"{DisruptionBudget().max_unavailable} if left out",
    "spec.deployments.dnsConfig.reportOnlyImages": f'["{DNSConfig().report_only_images[0]}"] if left out',
}


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its path; entries of lists end in []."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


ROOT = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC = dict(nodes(ROOT["properties"]["spec"], "spec"))
STATUS = dict(nodes(ROOT["properties"]["status"], "status"))


def test_the_crd_of_the_folder_is_the_one_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--crd"]) == 0
    assert capsys.readouterr().out == Path("crds/resiliencepolicies.yaml").read_text(encoding="utf-8")


def test_every_choice_of_the_schema_is_one_that_the_operator_knows() -> None:
    for path, schema in SPEC.items():
        if path.endswith("dnsConfig.options[].name"):
            assert set(schema["enum"]) == HARMLESS_OPTIONS | {"ndots"}
        elif path.endswith("require[]"):
            assert tuple(schema["enum"]) == (PROBES if ".probes." in path else RESOURCES)
        elif "enum" in schema:
            assert tuple(schema["enum"]) == ENUMS[path.rpartition(".")[2]], path


@pytest.mark.parametrize("path", DEFAULTS)
def test_a_default_of_the_operator_stands_in_the_description(path: str) -> None:
    assert DEFAULTS[path] in SPEC[path]["description"]


def test_only_the_mode_of_spec_has_a_default_in_the_schema() -> None:
    defaults = {path: schema["default"] for path, schema in SPEC.items() if "default" in schema}
    assert defaults == {"spec.mode": Policy("x").mode}


def test_an_empty_section_and_empty_rules_mean_the_defaults_of_the_dataclasses() -> None:
    rules: dict[str, Any] = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}
    policy, problems = parse({"metadata": {"name": "shop"}, "spec": {"deployments": rules}})
    asked = Deployments(spread=Spread(), graceful_shutdown=GracefulShutdown(), dns_config=DNSConfig())
    assert policy.sections == {"deployments": asked}
    assert problems == ()


def test_the_rule_on_sleep_and_grace_knows_the_defaults() -> None:
    (rule,) = SPEC["spec.deployments.gracefulShutdown"]["x-kubernetes-validations"]
    default = GracefulShutdown()
    assert f"GracePeriodSeconds : {default.min_termination_grace_period_seconds})" in rule["rule"]
    assert f"preStopSleepSeconds : {default.pre_stop_sleep_seconds})" in rule["rule"]


@pytest.mark.parametrize("field", ["windows", "rollout", "conflicts"])
def test_a_section_repeats_a_common_field_word_for_word(field: str) -> None:
    assert SPEC[f"spec.deployments.{field}"] == SPEC[f"spec.{field}"]


def test_every_field_is_described() -> None:
    assert [path for path, schema in (SPEC | STATUS).items() if not schema.get("description")] == []


def test_every_field_is_bounded() -> None:
    bounds = {
        "string": ({"maxLength"}, {"enum"}),
        "integer": ({"minimum", "format"},),
        "array": ({"maxItems", "x-kubernetes-list-type"},),
        "object": ({"properties"}, {"maxProperties"}),
        "boolean": (set(),),
        "": ({"minimum", "maximum", "maxLength", "pattern", "x-kubernetes-int-or-string"},),
    }
    unbounded = [
        path
        for path, schema in (SPEC | STATUS).items()
        if not any(needed <= schema.keys() for needed in bounds[schema.get("type", "")])
    ]
    assert unbounded == []
    assert [
        path
        for path, schema in SPEC.items()
        if schema.get("type", "integer") == "integer" and "maximum" not in schema
    ] == []
