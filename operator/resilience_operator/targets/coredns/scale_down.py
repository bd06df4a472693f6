"""How many replicas a Deployment was told to have, and by whom: what a scale-down is told from. Used by decide."""

from resilience_operator.cluster.leaves import REPLICAS
from resilience_operator.core.findings import Scale
from resilience_operator.engine.owners import owner
from resilience_operator.targets.coredns.texts import COREDNS_FLOOR
from resilience_operator.targets.workloads.view import DeploymentView, View


def scale_of(view: View) -> Scale | None:
    """The scale of a Deployment; None for anything else. managedFields say who set it last."""
    if not isinstance(view, DeploymentView):
        return None
    claims = [one for one in view.deployment.claims if str(REPLICAS) in one.leaves]
    last = max(claims, key=lambda one: one.time, default=None)
    usable = sum(node.ready and not node.spec.unschedulable for node in view.nodes)
    by, nodes = str(owner(view, last, REPLICAS)), len(view.nodes)
    return Scale(view.deployment.replicas, by, nodes, usable, COREDNS_FLOOR, "CoreDNSScaledDown")
