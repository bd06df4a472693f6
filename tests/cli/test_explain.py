"""`explain` says of every rule what it demands and why, and knows every reason that a rule can give."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import yaml

from resilience_operator import targets
from resilience_operator.agent import pressure as agent_pressure
from resilience_operator.cli.main import main
from resilience_operator.cli.policies import recommended
from resilience_operator.cli.rule_texts import TEXTS, severity
from resilience_operator.core.findings import Finding, Severity
from resilience_operator.core.refs import ObjectRef
from resilience_operator.policy.common import Mode
from resilience_operator.targets import CATALOG, RULES, validate
from resilience_operator.targets.coredns import addon_floor, node_local_cache
from resilience_operator.targets.coredns import budget as coredns_budget
from resilience_operator.targets.coredns import floor as coredns_floor
from resilience_operator.targets.coredns import spread as coredns_spread
from resilience_operator.targets.deployments import (
    disruption_budget,
    dns_config,
    graceful_shutdown,
    probes,
    replicas,
    resources,
    spread,
)
from resilience_operator.targets.nodes import pressure as conntrack_pressure
from resilience_operator.targets.nodes import stale as conntrack_stale
from resilience_operator.targets.nodes import sysctl as conntrack_sysctl
from resilience_operator.targets.services import causes, manifests
from resilience_operator.targets.services import texts as services_texts
from resilience_operator.targets.webhooks import webhook_reach
from resilience_operator.targets.workloads import cpa, floors, json_text

MODULES = {
    "spread": (spread,),
    "graceful-shutdown": (graceful_shutdown,),
    "dns-config": (dns_config,),
    "replicas": (replicas, floors, cpa, json_text),
    "disruption-budget": (disruption_budget,),
    "probes": (probes,),
    "resources": (resources,),
    "coredns-floor": (coredns_floor, floors, addon_floor, cpa, json_text),
    "coredns-spread": (coredns_spread, spread),
    "coredns-budget": (coredns_budget, disruption_budget),
    "node-local-cache": (node_local_cache,),
    "conntrack-sysctl": (conntrack_sysctl,),
    "conntrack-pressure": (conntrack_pressure, agent_pressure),
    "conntrack-stale": (conntrack_stale,),
    "webhook-reach": (webhook_reach,),
    "empty-service": (causes, manifests, services_texts),
}
OF_AGENTS = {"conntrack-sysctl", "conntrack-pressure", "conntrack-stale"}
"""Rules that need agents on the nodes: the recommended policy, which anybody may try, does not ask for them."""
UNKNOWN = {"NotReported", "AgentSilent"}
WRITING = {"spread", "graceful-shutdown", "dns-config", "replicas", "coredns-floor", "coredns-spread"}
REASON = re.compile(r"[A-Z][a-z]+(?:JSON|[A-Za-z]*[A-Z][a-z]*)")
NOT_REASONS = {"ScheduleAnyway", "DoNotSchedule", "ReplicaSet", "StatefulSet", "ReplicationController"}
NOT_REASONS |= {"RaiseOnly", "ConntrackPressure", "StaleEntriesPurged"}
NOT_REASONS |= {"IfNeeded", "NotIn", "ReplicaFailure"}


@pytest.mark.parametrize("rule", RULES)
def test_every_reason_that_a_rule_gives_is_explained(rule: str) -> None:
    words = {
        node.value
        for module in MODULES[rule]
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and REASON.fullmatch(node.value)
    }
    held = {"HeldValueDiffers"} if rule in WRITING else set()
    held |= UNKNOWN if rule in OF_AGENTS else set()
    held |= {"Filling"} if rule == "conntrack-pressure" else set()  # one word, as few reasons are
    assert words - NOT_REASONS | held == set(RULES[rule].text.reasons)


def test_every_rule_that_works_has_a_module_a_section_and_a_text() -> None:
    folder = Path(inspect.getfile(targets)).parent
    assert set(MODULES) == set(RULES) == set(CATALOG.section_of) == set(recommended().rules) | OF_AGENTS
    for rule, one in RULES.items():
        text = one.text
        assert (text.rule, text.section) == (rule, CATALOG.section_of[rule])
        assert Path(inspect.getfile(one.check)).parent.parent == folder
        assert all((text.incident, text.title, text.demands, text.why, text.reasons, text.never_enforced))


@pytest.mark.parametrize("rule", TEXTS)
def test_a_severity_is_declared_of_reasons_that_there_are(rule: str) -> None:
    assert set(TEXTS[rule].severities) <= set(TEXTS[rule].reasons)


@pytest.mark.parametrize(
    ("rule", "reason", "report_only", "expected"),
    [
        ("disruption-budget", "BudgetAllowsNone", "a budget of others is never changed", Severity.ERROR),
        ("coredns-budget", "NoBudget", "why", Severity.WARNING),
        ("disruption-budget", "BudgetDiffers", "", Severity.WARNING),
        ("spread", "ReplicasShareNode", "the spec is already right", Severity.INFO),
        ("spread", "ReplicasShareNode", "", Severity.WARNING),
        ("launch-settings", "UnknownSetting", "", Severity.ERROR),
        ("launch-settings", "KarpenterDrops", "it matters where Karpenter reads this file", Severity.INFO),
        ("spread", "a reason of a GitOps controller", "why", Severity.INFO),
    ],
)
def test_what_a_finding_weighs_is_declared_with_its_rule(
    rule: str, reason: str, report_only: str, expected: Severity
) -> None:
    found = Finding(
        rule, reason, ObjectRef("apps/v1", "Deployment", "shop", "web"), "", report_only=report_only
    )
    assert severity(found) is expected


def test_explain_prints_all_rules_or_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    everything = capsys.readouterr().out
    assert main(["explain", "dns-config"]) == 0
    one = capsys.readouterr().out
    assert one in everything
    assert one.startswith(
        "dns-config: The resolver does not race its own queries\n  incident dns-five-seconds,"
    )
    assert "resilience.dev/ignore=dns-config" in one
    assert max(map(len, everything.splitlines())) <= 100


def test_a_rule_that_is_not_there_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "dns"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (
        "",
        f"there is no rule 'dns'; there are {', '.join(TEXTS)}\n",
    )


def test_the_recommended_policy_is_printed_and_is_one_that_an_api_server_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "--policy"]) == 0
    raw = yaml.safe_load(capsys.readouterr().out)
    assert validate(raw) == ()
    assert recommended().name == "recommended"
    assert recommended().mode is Mode.AUDIT
