"""The requests that a cluster cannot do without: the table that every webhook is judged against. Read by reach.

Each row is one that the control plane, a kubelet or a controller really sends; what an admission webhook can refuse.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

REQUEST_SECONDS = 30
"""How long most clients of the control plane wait for an answer; the API server itself gives a write 34 s."""

LEASE_SECONDS = 10
"""A kubelet and a leader wait so long for the renewal of their Lease (kubelet: a quarter of 40 s; renewDeadline)."""

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"
_WORDS = {CREATE: "a creation", UPDATE: "an update", DELETE: "a deletion"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request by what admission matches of it."""

    operation: str
    group: str
    resource: str
    kind: str
    namespace: str = ""
    """"" where it is of a cluster-scoped object."""
    name: str = ""
    """"" where it is of any object of the kind."""
    subresource: str = ""
    version: str = "v1"
    bare: bool = False
    """True where the object is known to have no labels; of all others labels are not known here."""
    vital: bool = False
    """True where nodes or the control plane fail without it, as they did in the incident."""
    seconds: int = REQUEST_SECONDS
    """How long its client waits."""

    def __str__(self) -> str:
        """`an update of ConfigMap kube-system/extension-apiserver-authentication`."""
        kind = f"{self.kind}/{self.subresource}" if self.subresource else self.kind
        if self.name:
            namespaced = bool(self.namespace) and self.resource != "namespaces"
            place = f"{self.namespace}/{self.name}" if namespaced else self.name
            return f"{_WORDS[self.operation]} of {kind} {place}"
        article = "an" if kind[0] in "AEIOU" else "a"
        return f"{_WORDS[self.operation]} of {article} {kind}" + (
            f" in {self.namespace}" if self.namespace else ""
        )


_PODS = Request(CREATE, "", "pods", "Pod", vital=True)
_LEASE = Request(
    UPDATE, "coordination.k8s.io", "leases", "Lease", bare=True, vital=True, seconds=LEASE_SECONDS
)

_RESTART = (
    _PODS,
    replace(_PODS, subresource="binding"),
    replace(_PODS, operation=UPDATE, subresource="status"),
    Request(CREATE, "", "serviceaccounts", "ServiceAccount", subresource="token"),
    Request(CREATE, "apps", "replicasets", "ReplicaSet"),
    Request(UPDATE, "apps", "replicasets", "ReplicaSet", subresource="status"),
    Request(UPDATE, "discovery.k8s.io", "endpointslices", "EndpointSlice"),
    _LEASE,
)
"""What brings pods of a namespace back, to the endpoint that they serve."""

_NAMESPACED = (
    *_RESTART,
    replace(_PODS, operation=UPDATE),
    replace(_PODS, operation=DELETE),
    Request(CREATE, "discovery.k8s.io", "endpointslices", "EndpointSlice"),
    replace(_LEASE, operation=CREATE),
    Request(UPDATE, "apps", "deployments", "Deployment", subresource="status"),
    Request(UPDATE, "apps", "daemonsets", "DaemonSet", subresource="status"),
    Request(CREATE, "apps", "controllerrevisions", "ControllerRevision"),
    Request(UPDATE, "", "configmaps", "ConfigMap"),
    Request(CREATE, "", "events", "Event"),
    Request(CREATE, "events.k8s.io", "events", "Event"),
)
"""What the control plane sends in a namespace of its own."""

_OF_NAMESPACE = {
    "kube-system": (
        Request(
            UPDATE,
            "",
            "configmaps",
            "ConfigMap",
            name="extension-apiserver-authentication",
            bare=True,
            vital=True,
        ),
        replace(_LEASE, name="kube-controller-manager"),
    ),
}
"""What is sent there alone: the first is the PostStartHook of the incident."""

_NODE = Request(UPDATE, "", "nodes", "Node", subresource="status", vital=True)
_CSR = Request(
    CREATE, "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", vital=True
)
_CRD = Request(UPDATE, "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition")
_API = Request(UPDATE, "apiregistration.k8s.io", "apiservices", "APIService")
_FLOW = "flowcontrol.apiserver.k8s.io"

CLUSTER_SCOPED = (
    _NODE,
    replace(_NODE, operation=CREATE, subresource=""),
    replace(_NODE, subresource=""),
    _CSR,
    replace(_CSR, operation=UPDATE, subresource="approval"),
    replace(_CSR, operation=UPDATE, subresource="status"),
    _API,
    replace(_API, subresource="status"),
    _CRD,
    replace(_CRD, subresource="status"),
    Request(UPDATE, "rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    Request(UPDATE, "rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding"),
    Request(CREATE, "scheduling.k8s.io", "priorityclasses", "PriorityClass"),
    Request(UPDATE, _FLOW, "flowschemas", "FlowSchema"),
    Request(UPDATE, _FLOW, "prioritylevelconfigurations", "PriorityLevelConfiguration"),
)
"""What a starting API server, kubelets and controllers send of objects that no namespaceSelector can exempt."""


@lru_cache(maxsize=64)
def protected(namespaces: tuple[str, ...]) -> tuple[Request, ...]:
    """The requests that must get through where these namespaces are protected, the most telling first."""
    return tuple(_of(namespaces)) + CLUSTER_SCOPED


@lru_cache(maxsize=1024)
def restart(namespace: str) -> tuple[Request, ...]:
    """The requests without which a backend in that namespace does not come back."""
    return tuple(replace(one, namespace=namespace, vital=False) for one in _RESTART)


def _of(namespaces: Iterable[str]) -> Iterator[Request]:
    for namespace in namespaces:
        for one in (*_OF_NAMESPACE.get(namespace, ()), *_NAMESPACED):
            yield replace(one, namespace=namespace)
        yield Request(UPDATE, "", "namespaces", "Namespace", namespace=namespace, name=namespace)
