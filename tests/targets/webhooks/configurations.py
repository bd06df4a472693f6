"""Webhooks with known verdicts: what each reaches is written here, and asked of a real API server beside it."""

from dataclasses import dataclass, field
from typing import Any

OWN = "guard"
"""The Namespace of the backend."""
PROTECTED = ("kube-system", "kube-node-lease")
NAME = "kubernetes.io/metadata.name"

CONFIG_MAP = "an update of ConfigMap kube-system/extension-apiserver-authentication"
LEASE = "an update of Lease kube-system/kube-controller-manager"
POD = "a creation of a Pod in kube-system"
STATUS = "an update of a Node/status"


@dataclass(frozen=True)
class Case:
    """A webhook: `first` is the first request that it blocks for certain, "" where none; `sent` and `maybe` count."""

    name: str
    rules: list[dict[str, Any]]
    first: str
    sent: int
    maybe: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    mutating: bool = False

    def webhook(self, url: str = "") -> dict[str, Any]:
        """The entry of `webhooks`, called at that URL, or through a Service."""
        called = {"url": url} if url else {"service": {"namespace": OWN, "name": "guard"}}
        fixed = {"sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": called}
        return {"name": "guard.example.dev", "rules": self.rules, **fixed, **self.fields}

    def configuration(self, url: str = "") -> dict[str, Any]:
        """The object as a user would write it."""
        kind = "MutatingWebhookConfiguration" if self.mutating else "ValidatingWebhookConfiguration"
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "guard"},
            "webhooks": [self.webhook(url)],
        }


def rule(
    resources: str, operations: str = "*", groups: str = "*", versions: str = "*", scope: str = "*"
) -> dict[str, Any]:
    """A rule; lists are written with commas, "core" is the core group."""
    return {
        "resources": resources.split(","),
        "operations": operations.split(","),
        "apiGroups": ["" if one == "core" else one for one in groups.split(",")],
        "apiVersions": versions.split(","),
        "scope": scope,
    }


def where(key: str, operator: str, *values: str) -> dict[str, Any]:
    """A selector of one expression."""
    return {
        "matchExpressions": [
            {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
        ]
    }


EVERYTHING = [rule("*/*")]
LEASES = "coordination.k8s.io"

CASES = (
    Case("everything", EVERYTHING, CONFIG_MAP, 63),
    Case("everything-open", EVERYTHING, "", 63, fields={"failurePolicy": "Ignore"}),
    Case("no-subresources", [rule("*")], CONFIG_MAP, 42),
    Case("every-status", [rule("*/status")], "an update of a Pod/status in kube-system", 14),
    Case("pods", [rule("pods", "CREATE", "core", "v1")], POD, 3),
    Case("pods-with-subresources", [rule("pods/*", "CREATE", "core", "v1")], POD, 6),
    Case(
        "bindings",
        [rule("pods/binding", "CREATE", "core", "v1")],
        "a creation of a Pod/binding in kube-system",
        3,
    ),
    Case("leases", [rule("leases", "UPDATE", LEASES, "v1")], LEASE, 4),
    Case("leases-of-no-version", [rule("leases", "UPDATE", LEASES, "v1beta1")], "", 0),
    Case("leases-exact", [rule("leases", "*", LEASES, "v1")], LEASE, 6, fields={"matchPolicy": "Exact"}),
    Case("leases-of-the-core-group", [rule("leases", "*", "core")], "", 0),
    Case("events", [rule("events", "CREATE", "core", "v1")], "a creation of an Event in kube-system", 4),
    Case(
        "events-exact",
        [rule("events", "CREATE", "core", "v1")],
        "a creation of an Event in kube-system",
        2,
        fields={"matchPolicy": "Exact"},
    ),
    Case(
        "new-events",
        [rule("events", "CREATE", "events.k8s.io", "v1")],
        "a creation of an Event in kube-system",
        4,
    ),
    Case("node-status", [rule("nodes/status", "UPDATE", "core", "v1")], STATUS, 1),
    Case("nodes", [rule("nodes", "UPDATE", "core", "v1")], "an update of a Node", 1),
    Case("namespaced", [rule("*/*", scope="Namespaced")], CONFIG_MAP, 46),
    Case("cluster-scoped", [rule("*/*", scope="Cluster")], "an update of Namespace kube-system", 17),
    Case(
        "system-exempt",
        EVERYTHING,
        STATUS,
        23,
        fields={"namespaceSelector": where(NAME, "NotIn", *PROTECTED)},
    ),
    Case(
        "all-exempt",
        EVERYTHING,
        STATUS,
        15,
        fields={"namespaceSelector": where(NAME, "NotIn", *PROTECTED, OWN)},
    ),
    Case(
        "all-exempt-namespaced",
        [rule("*/*", scope="Namespaced")],
        "",
        0,
        fields={"namespaceSelector": where(NAME, "NotIn", *PROTECTED, OWN)},
    ),
    Case(
        "own-namespace-alone",
        [rule("*/*", scope="Namespaced")],
        "",
        8,
        fields={"namespaceSelector": {"matchLabels": {NAME: OWN}}},
    ),
    Case(
        "opted-in",
        [rule("*/*", scope="Namespaced")],
        "",
        0,
        fields={"namespaceSelector": {"matchLabels": {"guarded": "true"}}},
    ),
    Case(
        "opted-out",
        [rule("*/*", scope="Namespaced")],
        "a creation of a Pod in kube-node-lease",
        26,
        fields={"namespaceSelector": where("exempt", "NotIn", "true")},
    ),
    Case(
        "without-a-label",
        [rule("configmaps", "UPDATE", "core")],
        "an update of a ConfigMap in kube-node-lease",
        1,
        fields={"namespaceSelector": where("exempt", "DoesNotExist")},
    ),
    Case(
        "kube-system-alone",
        [rule("pods", "CREATE", "core")],
        POD,
        1,
        fields={"namespaceSelector": where(NAME, "In", "kube-system")},
    ),
    Case("labelled-objects", EVERYTHING, "", 0, 56, {"objectSelector": {"matchLabels": {"app": "web"}}}),
    Case(
        "unlabelled-objects", EVERYTHING, CONFIG_MAP, 7, 56, {"objectSelector": where("skip", "DoesNotExist")}
    ),
    Case(
        "conditions-that-hold",
        EVERYTHING,
        "",
        0,
        63,
        {"matchConditions": [{"name": "all", "expression": "true"}]},
    ),
    Case(
        "conditions-that-exempt",
        [rule("*/*", "UPDATE")],
        "",
        0,
        36,
        {"matchConditions": [{"name": "no", "expression": "!('system:masters' in request.userInfo.groups)"}]},
    ),
    Case("deletions", [rule("*/*", "DELETE")], "a deletion of a Pod in kube-system", 2),
    Case("connections", [rule("*/*", "CONNECT")], "", 0),
    Case("apps", [rule("*/*", groups="apps")], "a creation of a ReplicaSet in kube-system", 12),
    Case("namespaces", [rule("namespaces", "UPDATE", "core")], "an update of Namespace kube-system", 2),
    Case(
        "namespaces-by-their-labels",
        [rule("namespaces", "UPDATE", "core")],
        "an update of Namespace kube-node-lease",
        1,
        fields={"namespaceSelector": where(NAME, "NotIn", "kube-system")},
    ),
    Case(
        "certificate-requests",
        [rule("certificatesigningrequests", "*", "certificates.k8s.io")],
        "a creation of a CertificateSigningRequest",
        1,
    ),
    Case(
        "certificate-approvals",
        [rule("certificatesigningrequests/approval", "*", "certificates.k8s.io")],
        "an update of a CertificateSigningRequest/approval",
        1,
    ),
    Case(
        "extensions",
        [
            rule("apiservices", "UPDATE", "apiregistration.k8s.io"),
            rule("customresourcedefinitions/*", "UPDATE", "apiextensions.k8s.io"),
        ],
        "an update of an APIService",
        3,
    ),
    Case("config-maps", [rule("configmaps", "UPDATE")], CONFIG_MAP, 3),
    Case("mutating", EVERYTHING, CONFIG_MAP, 63, mutating=True),
    Case(
        "mutating-twice",
        [rule("pods", "CREATE", "core")],
        POD,
        3,
        fields={"reinvocationPolicy": "IfNeeded"},
        mutating=True,
    ),
    Case(
        "second-rule",
        [rule("secrets", "*", "core"), rule("endpointslices", "UPDATE", "discovery.k8s.io")],
        "an update of an EndpointSlice in kube-system",
        3,
    ),
    Case(
        "tokens",
        [rule("serviceaccounts/token", "CREATE", "core")],
        "a creation of a ServiceAccount/token in kube-system",
        3,
    ),
    Case(
        "workloads-of-tenants",
        [rule("ingresses", "*", "networking.k8s.io"), rule("services", "*", "core")],
        "",
        0,
    ),
)
