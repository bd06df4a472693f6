"""Target deployments, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.deployments import (
    disruption_budget,
    dns_config,
    graceful_shutdown,
    probes,
    replicas,
    resources,
    spread,
)
from resilience_operator.targets.deployments.settings import Deployments
from resilience_operator.targets.deployments.texts import SECTION, TEXTS
from resilience_operator.targets.workloads.events import WorkloadViews
from resilience_operator.targets.workloads.kinds import WATCHED
from resilience_operator.targets.workloads.scope import SCOPE

_RULES = (
    ("spread", spread.check),
    ("graceful_shutdown", graceful_shutdown.check),
    ("dns_config", dns_config.check),
    ("replicas", replicas.check),
    ("disruption_budget", disruption_budget.check),
    ("probes", probes.check),
    ("resources", resources.check),
)

TARGET = Target(
    section=SECTION,
    settings=Deployments,
    rules=tuple(Rule(check, TEXTS[field.replace("_", "-")], field) for field, check in _RULES),
    watched=WATCHED,
    views=WorkloadViews,
    scope=SCOPE,
)
