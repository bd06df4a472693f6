"""The rules: pure functions from settings and a view to a verdict. Called by reconcile and cli.

A new rule is one module here, its text in texts.py, and one line in RULES.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resilience_operator.core.findings import EMPTY, RuleText, Verdict
from resilience_operator.core.policy import Settings
from resilience_operator.observed.view import View
from resilience_operator.rules import (
    coredns_budget,
    coredns_floor,
    coredns_spread,
    disruption_budget,
    dns_config,
    graceful_shutdown,
    node_local_cache,
    probes,
    replicas,
    resources,
    spread,
)
from resilience_operator.rules.texts import (
    COREDNS_BUDGET,
    COREDNS_FLOOR,
    COREDNS_SPREAD,
    DISRUPTION_BUDGET,
    DNS_CONFIG,
    GRACEFUL_SHUTDOWN,
    NODE_LOCAL_CACHE,
    PROBES,
    REPLICAS,
    RESOURCES,
    SPREAD,
    TEXTS,
)
from resilience_operator.rules.texts_floors import FLOOR_TEXTS


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's function, (its settings, view) -> verdict, and its text for people."""

    check: Callable[[Any, Any], Verdict]
    text: RuleText


_CHECKS: dict[str, Callable[[Any, Any], Verdict]] = {
    SPREAD: spread.check,
    GRACEFUL_SHUTDOWN: graceful_shutdown.check,
    DNS_CONFIG: dns_config.check,
    REPLICAS: replicas.check,
    DISRUPTION_BUDGET: disruption_budget.check,
    PROBES: probes.check,
    RESOURCES: resources.check,
    COREDNS_FLOOR: coredns_floor.check,
    COREDNS_SPREAD: coredns_spread.check,
    COREDNS_BUDGET: coredns_budget.check,
    NODE_LOCAL_CACHE: node_local_cache.check,
}

RULES: dict[str, Rule] = {rule: Rule(check, (TEXTS | FLOOR_TEXTS)[rule]) for rule, check in _CHECKS.items()}
"""Rule id -> rule, in the order of the contract."""


def evaluate(asked: Mapping[str, Settings], view: View) -> Verdict:
    """The verdict of all rules that a policy asks of the object; what it asks, and opt-outs, planning judges."""
    return sum((RULES[rule].check(settings, view) for rule, settings in asked.items()), EMPTY)
