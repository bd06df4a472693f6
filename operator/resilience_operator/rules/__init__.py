"""The rules: pure functions from settings and a view to a verdict. Called by reconcile and cli.

A new rule is one module here, its text in texts.py, and one line in RULES.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience_operator.core.findings import EMPTY, RuleText, Verdict
from resilience_operator.core.policy import Policy
from resilience_operator.observed.view import DeploymentView
from resilience_operator.rules import dns_config, graceful_shutdown, probes, resources, spread
from resilience_operator.rules.texts import DNS_CONFIG, GRACEFUL_SHUTDOWN, PROBES, RESOURCES, SPREAD, TEXTS


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's function, (its settings, view) -> verdict, and its text for people."""

    check: Callable[[Any, DeploymentView], Verdict]
    text: RuleText


RULES: dict[str, Rule] = {
    SPREAD: Rule(spread.check, TEXTS[SPREAD]),
    GRACEFUL_SHUTDOWN: Rule(graceful_shutdown.check, TEXTS[GRACEFUL_SHUTDOWN]),
    DNS_CONFIG: Rule(dns_config.check, TEXTS[DNS_CONFIG]),
    PROBES: Rule(probes.check, TEXTS[PROBES]),
    RESOURCES: Rule(resources.check, TEXTS[RESOURCES]),
}
"""Rule id -> rule, in the order of the contract."""


def evaluate(policy: Policy, view: DeploymentView) -> Verdict:
    """The verdict of all rules that the policy asks for; scope and opt-outs are judged by planning."""
    if policy.deployments is None:
        return EMPTY
    asked = policy.deployments.rules()
    return sum((RULES[rule].check(settings, view) for rule, settings in asked.items()), EMPTY)
