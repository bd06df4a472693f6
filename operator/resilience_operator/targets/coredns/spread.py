"""Rule `coredns-spread`: replicas of cluster DNS do not share a node or a zone (incident dns-scale-down).

Called by rules.evaluate. It judges as rule `spread` does; cluster DNS that somebody else keeps is only reported.
"""

from resilience_operator.core.findings import Verdict
from resilience_operator.targets.coredns.kept_by import managed_by
from resilience_operator.targets.coredns.texts import COREDNS_SPREAD
from resilience_operator.targets.deployments import spread
from resilience_operator.targets.workloads.eligibility import reported
from resilience_operator.targets.workloads.settings import Spread
from resilience_operator.targets.workloads.view import DeploymentView


def check(settings: Spread, view: DeploymentView) -> Verdict:
    """Findings and demands on the Deployment of cluster DNS."""
    return reported(spread.check(settings, view), view, managed_by(view)).under(COREDNS_SPREAD)
