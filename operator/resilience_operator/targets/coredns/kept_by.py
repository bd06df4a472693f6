"""Cluster DNS that somebody else keeps: who would revert a change of it. Used by the rules of section coreDNS,
and by rules.evaluate for all others."""

from resilience_operator.cluster.objects.workloads import Addon
from resilience_operator.targets.coredns.addon_state import managed
from resilience_operator.targets.coredns.cluster_dns import DNS_NAMESPACE
from resilience_operator.targets.workloads.view import DeploymentView, View

_LABELS = {
    ("kubernetes.azure.com/managedby", "aks"): "AKS",
    ("addonmanager.kubernetes.io/mode", "Reconcile"): "the add-on manager of GKE or AKS",
    ("resources.gardener.cloud/managed-by", "gardener"): "Gardener",
    ("origin", "gardener"): "Gardener",
}
"""Label and value -> who keeps an object that bears them (the add-on manager's README, Gardener's resource manager)."""


def managed_by(view: DeploymentView) -> str:
    """The sentence why cluster DNS is reported and never changed; "" where it may be."""
    if why := kept_by(view):
        return why
    if view.twins:
        return "which of several candidates is cluster DNS is not known: name it in coreDNS.deployment"
    return ""


def kept_with_the_cluster(view: View) -> str:
    """The sentence why no rule changes what the cluster's provider keeps in kube-system, nor what scales it.

    Whichever section of a policy speaks of it: what is changed there is fought over. What is told to an EKS add-on is
    not: it keeps the Deployment by that.
    """
    if isinstance(view.target, Addon):
        return ""
    found = view if isinstance(view, DeploymentView) else view.scaled
    return kept_by(found) if found is not None and found.ref.namespace == DNS_NAMESPACE else ""


def kept_by(view: DeploymentView) -> str:
    """The sentence who keeps a Deployment of the cluster's own; "" where nobody is known to."""
    meta = view.deployment.metadata
    if meta.controller is not None:
        return f"it is controlled by {meta.controller.kind} {meta.controller.name}, which would revert the change"
    if managed(view.deployment):
        return "it is an EKS add-on, which would revert the change: configure the add-on instead"
    for (label, value), who in _LABELS.items():
        if meta.labels.get(label) == value:
            return f"it is kept by {who}, which would revert the change"
    return ""
