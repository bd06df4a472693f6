"""Rule `coredns-budget`: a drain takes the replicas of cluster DNS one after the other (incident dns-scale-down).

Called by rules.evaluate. It judges as rule `disruption-budget` does; cluster DNS that somebody else keeps is only
reported.
"""

from resilience_operator.core.findings import Verdict
from resilience_operator.targets.coredns.kept_by import managed_by
from resilience_operator.targets.coredns.texts import COREDNS_BUDGET
from resilience_operator.targets.deployments import disruption_budget
from resilience_operator.targets.workloads.eligibility import reported
from resilience_operator.targets.workloads.settings import DisruptionBudget
from resilience_operator.targets.workloads.view import DeploymentView


def check(settings: DisruptionBudget, view: DeploymentView) -> Verdict:
    """Findings on the Deployment of cluster DNS, or the demand for a budget."""
    return reported(disruption_budget.check(settings, view), view, managed_by(view)).under(COREDNS_BUDGET)
