"""Target coreDNS, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.coredns import budget, floor, node_local_cache, spread
from resilience_operator.targets.coredns.settings import CoreDNS
from resilience_operator.targets.coredns.texts import (
    COREDNS_BUDGET,
    COREDNS_FLOOR,
    COREDNS_SPREAD,
    NODE_LOCAL_CACHE,
    SECTION,
    TEXTS,
)
from resilience_operator.targets.workloads.events import WorkloadViews
from resilience_operator.targets.workloads.kinds import WATCHED
from resilience_operator.targets.workloads.scope import SCOPE
from resilience_operator.targets.workloads.texts import DISRUPTION_BUDGET, REPLICAS, SPREAD

TARGET = Target(
    section=SECTION,
    settings=CoreDNS,
    rules=(
        Rule(floor.check, TEXTS[COREDNS_FLOOR], "floor", takes_place_of=REPLICAS),
        Rule(spread.check, TEXTS[COREDNS_SPREAD], "spread", takes_place_of=SPREAD),
        Rule(budget.check, TEXTS[COREDNS_BUDGET], "disruption_budget", takes_place_of=DISRUPTION_BUDGET),
        Rule(node_local_cache.check, TEXTS[NODE_LOCAL_CACHE], "node_local_cache"),
    ),
    watched=WATCHED,
    views=WorkloadViews,
    scope=SCOPE,
)
