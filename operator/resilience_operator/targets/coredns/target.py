"""Target coreDNS, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.coredns import budget, floor, node_local_cache, spread
from resilience_operator.targets.coredns.texts import FLOOR_TEXTS
from resilience_operator.targets.deployments.texts import TEXTS
from resilience_operator.targets.workloads.events import WorkloadViews
from resilience_operator.targets.workloads.kinds import WATCHED
from resilience_operator.targets.workloads.scope import SCOPE

_CHECKS = (
    ("coredns-floor", floor.check),
    ("coredns-spread", spread.check),
    ("coredns-budget", budget.check),
    ("node-local-cache", node_local_cache.check),
)

TARGET = Target(
    section="coreDNS",
    rules=tuple(Rule(check, (TEXTS | FLOOR_TEXTS)[rule]) for rule, check in _CHECKS),
    watched=WATCHED,
    views=WorkloadViews,
    scope=SCOPE,
)
