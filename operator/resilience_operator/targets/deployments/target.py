"""Target deployments, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.coredns.texts import FLOOR_TEXTS
from resilience_operator.targets.deployments import (
    disruption_budget,
    dns_config,
    graceful_shutdown,
    probes,
    replicas,
    resources,
    spread,
)
from resilience_operator.targets.deployments.texts import TEXTS
from resilience_operator.targets.workloads.events import WorkloadViews
from resilience_operator.targets.workloads.kinds import WATCHED
from resilience_operator.targets.workloads.scope import SCOPE

_CHECKS = (
    ("spread", spread.check),
    ("graceful-shutdown", graceful_shutdown.check),
    ("dns-config", dns_config.check),
    ("replicas", replicas.check),
    ("disruption-budget", disruption_budget.check),
    ("probes", probes.check),
    ("resources", resources.check),
)

TARGET = Target(
    section="deployments",
    rules=tuple(Rule(check, (TEXTS | FLOOR_TEXTS)[rule]) for rule, check in _CHECKS),
    watched=WATCHED,
    views=WorkloadViews,
    scope=SCOPE,
)
