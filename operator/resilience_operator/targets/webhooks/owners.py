"""Whose webhook configurations are reported and never changed: their owners write them anew, or mean them so.

Asked by the rule. Each is told by what its installer really writes: a label, or the name of the configuration.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from resilience_operator.cluster.objects.meta import Meta


@dataclass(frozen=True, slots=True)
class KnownOwner:
    """An owner of webhook configurations."""

    name: str
    """How people call it."""
    why: str
    """Why its configurations are left alone, as a clause."""
    names: tuple[str, ...] = ()
    """Globs of configuration names."""
    labels: tuple[tuple[str, str], ...] = ()
    """(key, glob of the value): one of them is enough."""

    def owns(self, meta: Meta) -> bool:
        """True where the configuration is its."""
        return any(fnmatchcase(meta.name, glob) for glob in self.names) or any(
            key in meta.labels and fnmatchcase(meta.labels[key], glob) for key, glob in self.labels
        )


_ANEW = "writes its configurations anew: change its own settings"
_MEANT = "is a guard that is meant to fail closed: whether it may is its owner's decision"
_CLOUD = "keeps it: a change would be undone"

KNOWN = (
    KnownOwner("Kyverno", _ANEW, ("kyverno-*",), (("webhook.kyverno.io/managed-by", "*"),)),
    KnownOwner("Gatekeeper", _MEANT, ("gatekeeper-*",), (("gatekeeper.sh/system", "*"),)),
    KnownOwner("cert-manager", _MEANT, ("cert-manager-webhook*",)),
    KnownOwner("Google Kubernetes Engine", _CLOUD, ("*.gke.io", "gke-*", "warden-*", "*.networking.gke.io")),
    KnownOwner("Amazon EKS", _CLOUD, ("pod-identity-webhook", "vpc-resource-*-webhook", "eks-*")),
    KnownOwner(
        "Azure Kubernetes Service",
        _CLOUD,
        ("aks-*", "azure-wi-webhook-*"),
        (("kubernetes.azure.com/managedby", "*"),),
    ),
    KnownOwner(
        "the cluster's add-on manager", _CLOUD, (), (("addonmanager.kubernetes.io/mode", "Reconcile"),)
    ),
    KnownOwner("Operator Lifecycle Manager", _ANEW, (), (("olm.owner", "*"), ("olm.managed", "true"))),
)


def left_alone(meta: Meta) -> str:
    """Why the configuration is reported alone, as a sentence; "" where it may be changed."""
    if meta.controller is not None:
        return f"{meta.controller.kind} {meta.controller.name} controls it and would undo the change"
    owner = next((one for one in KNOWN if one.owns(meta)), None)
    return f"{owner.name} {owner.why}" if owner is not None else ""
