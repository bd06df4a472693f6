"""Target conntrack, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.nodes import pressure, stale, sysctl
from resilience_operator.targets.nodes.events import NodeViews
from resilience_operator.targets.nodes.kinds import WATCHED
from resilience_operator.targets.nodes.scope import SCOPE
from resilience_operator.targets.nodes.settings import Conntrack
from resilience_operator.targets.nodes.texts import PRESSURE, SECTION, STALE, SYSCTL, TEXTS

TARGET = Target(
    section=SECTION,
    settings=Conntrack,
    rules=(
        Rule(sysctl.check, TEXTS[SYSCTL], "sysctls"),
        Rule(pressure.check, TEXTS[PRESSURE], "pressure"),
        Rule(stale.check, TEXTS[STALE], "stale_entries"),
    ),
    watched=WATCHED,
    views=NodeViews,
    scope=SCOPE,
)
