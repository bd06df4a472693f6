"""Target services, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target
from resilience_operator.targets.services import callers, empty
from resilience_operator.targets.services.scope import SCOPE
from resilience_operator.targets.services.settings import Services
from resilience_operator.targets.services.texts import SECTION, TEXT
from resilience_operator.targets.services.views import ServiceViews
from resilience_operator.targets.workloads import endpoint_slices
from resilience_operator.targets.workloads.kinds import WATCHED

TARGET = Target(
    section=SECTION,
    settings=Services,
    rules=(Rule(empty.check, TEXT, "empty"),),
    watched=(*WATCHED, *endpoint_slices.WATCHED, *callers.WATCHED),
    views=ServiceViews,
    scope=SCOPE,
)
