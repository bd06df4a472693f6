"""Rule `replicas`: a Deployment never has fewer replicas than the policy says, whoever scales it.

Called by rules.evaluate, for Deployments and for what scales them; workloads/floors knows how.
"""

from resilience_operator.core.findings import Verdict
from resilience_operator.targets.deployments.settings import Replicas
from resilience_operator.targets.workloads.floors import FloorRequest, of_deployment, of_scaler
from resilience_operator.targets.workloads.texts import REPLICAS
from resilience_operator.targets.workloads.view import DeploymentView, View


def check(settings: Replicas, view: View) -> Verdict:
    """Findings and demands on one Deployment, or on one object that scales one."""
    request = FloorRequest(REPLICAS, settings.min)
    return of_deployment(request, view) if isinstance(view, DeploymentView) else of_scaler(request, view)
