"""Rule `replicas`: a Deployment never has fewer replicas than the policy says, whoever scales it.

Called by rules.evaluate, for Deployments and for what scales them; rules/floors knows how.
"""

from resilience_operator.core.findings import Verdict
from resilience_operator.core.policy import Replicas
from resilience_operator.observed.view import DeploymentView, View
from resilience_operator.rules.floors import Least, of_deployment, of_scaler
from resilience_operator.rules.texts import REPLICAS


def check(settings: Replicas, view: View) -> Verdict:
    """Findings and demands on one Deployment, or on one object that scales one."""
    least = Least(REPLICAS, settings.min)
    return of_deployment(least, view) if isinstance(view, DeploymentView) else of_scaler(least, view)
