"""The kinds of the API that the operator reads or writes, and where they lie on the server.

Used by adapters (paths of requests), observed (what is stored) and the generator of access rights.
"""

from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API: `group` is "" for the core group, `plural` its name in paths.

    `optional`: a CustomResourceDefinition of others, which a cluster may lack. `only_in`: the one namespace in which
    it is watched, "" for all. `beside_the_point`: it only makes answers better; the operator may lack the right to
    read it, and what is known of it may be old.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    optional: bool = False
    only_in: str = ""
    beside_the_point: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.kind

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: `apps/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of an object, of a namespace's collection, or, without both, of the whole collection."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":"))
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment", namespaced=True)
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
POD = Kind("", "v1", "pods", "Pod", namespaced=True)
SERVICE = Kind("", "v1", "services", "Service", namespaced=True)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
VOLUME_CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True)
POLICY = Kind("resilience.dev", "v1alpha1", "resiliencepolicies", "ResiliencePolicy", namespaced=False)
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
EVENT = Kind("events.k8s.io", "v1", "events", "Event", namespaced=True)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", namespaced=True, only_in="kube-system")
HPA = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", namespaced=True)
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", namespaced=True, optional=True)
DAEMON_SET = Kind("apps", "v1", "daemonsets", "DaemonSet", namespaced=True, only_in="kube-system")
BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced=True)
APPLICATION = Kind(
    "argoproj.io",
    "v1alpha1",
    "applications",
    "Application",
    namespaced=True,
    optional=True,
    beside_the_point=True,
)

WEBHOOK_CALLS = Kind("resilience.dev", "v1", "webhookcalls", "WebhookCalls", namespaced=False)
"""No object of a server: what its refusals say of webhooks that it cannot call (api/webhook_calls)."""
EKS_ADDON = Kind("eks.amazonaws.com", "v1", "addons", "Addon", namespaced=True)
"""No object of the API server: what AWS says of the add-on that keeps cluster DNS."""

SCALERS: tuple[Kind, ...] = (HPA, SCALED_OBJECT, CONFIG_MAP)
"""The kinds that decide how many replicas a Deployment has; of ConfigMaps those of CPA."""
VALIDATING_WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
