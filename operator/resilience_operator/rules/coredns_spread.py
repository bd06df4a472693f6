"""Rule `coredns-spread`: replicas of cluster DNS do not share a node or a zone (incident dns-scale-down).

Called by rules.evaluate. It judges as rule `spread` does; cluster DNS that somebody else keeps is only reported.
"""

from resilience_operator.core.findings import Verdict
from resilience_operator.core.policy import Spread
from resilience_operator.observed.view import DeploymentView
from resilience_operator.rules import spread
from resilience_operator.rules.dns import managed_by
from resilience_operator.rules.eligibility import reported
from resilience_operator.rules.texts import COREDNS_SPREAD


def check(settings: Spread, view: DeploymentView) -> Verdict:
    """Findings and demands on the Deployment of cluster DNS."""
    return reported(spread.check(settings, view), view, managed_by(view)).under(COREDNS_SPREAD)
