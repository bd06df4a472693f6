"""Cluster DNS that somebody else keeps: who would revert a change of it. Used by the rules of section coreDNS."""

from resilience_operator.observed.addons import managed
from resilience_operator.observed.view import DeploymentView

_LABELS = {
    ("kubernetes.azure.com/managedby", "aks"): "AKS",
    ("addonmanager.kubernetes.io/mode", "Reconcile"): "the add-on manager of GKE or AKS",
    ("resources.gardener.cloud/managed-by", "gardener"): "Gardener",
    ("origin", "gardener"): "Gardener",
}
"""Label and value -> who keeps an object that bears them (the add-on manager's README, Gardener's resource manager)."""


def managed_by(view: DeploymentView) -> str:
    """The sentence why cluster DNS is reported and never changed; "" where it may be."""
    meta = view.deployment.metadata
    if meta.controller is not None:
        return f"it is controlled by {meta.controller.kind} {meta.controller.name}, which would revert the change"
    if managed(view.deployment):
        return "it is an EKS add-on, which would revert the change: configure the add-on instead"
    for (label, value), who in _LABELS.items():
        if meta.labels.get(label) == value:
            return f"it is kept by {who}, which would revert the change"
    if view.twins:
        return "which of several candidates is cluster DNS is not known: name it in coreDNS.deployment"
    return ""
