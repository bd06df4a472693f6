"""Rule `replicas`: a Deployment never has fewer replicas than the policy says, whoever scales it.

Called by rules.evaluate, for Deployments and for what scales them; workloads/floors knows how.
"""

from resilience_operator.cluster import leaves
from resilience_operator.core.findings import EMPTY, Finding, Verdict
from resilience_operator.targets.deployments.settings import Replicas
from resilience_operator.targets.workloads.floors import FloorRequest, of_deployment, of_scaler
from resilience_operator.targets.workloads.scaling import By, who_scales
from resilience_operator.targets.workloads.sizes import lowest
from resilience_operator.targets.workloads.texts import REPLICAS
from resilience_operator.targets.workloads.view import DeploymentView, View


def check(settings: Replicas, view: View) -> Verdict:
    """Findings and demands on one Deployment, or on one object that scales one."""
    request = FloorRequest(REPLICAS, settings.min)
    if isinstance(view, DeploymentView):
        return of_deployment(request, view) + _beside_scaler(view)
    return of_scaler(request, view)


def _beside_scaler(view: DeploymentView) -> Verdict:
    """Of a file: a number beside what scales it. Each apply sets it, and the scaler has to come back from there.

    One that is the scaler's own minimum takes nothing away that the scaler would not.
    """
    written, scaling = view.deployment.spec.replicas, who_scales(view)
    if view.known.pods or not written or scaling.target is None or scaling.by not in (By.HPA, By.KEDA):
        return EMPTY
    if written == lowest(scaling):
        return EMPTY
    message = f"spec.replicas {written} stands beside {scaling.who}: each apply scales to {written} first; leave it out"
    why = "a number in a file is its owner's to leave out"
    found = Finding(REPLICAS, "ReplicasBesideScaler", view.ref, message, written, None, leaves.REPLICAS, why)
    return Verdict((found,))
