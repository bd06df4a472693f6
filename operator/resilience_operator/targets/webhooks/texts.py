"""What people read about the rule of section `webhooks`."""

from typing import Final

from resilience_operator.core.findings import RuleText

SECTION: Final = "webhooks"
WEBHOOK_REACH: Final = "webhook-reach"

TEXT = RuleText(
    rule=WEBHOOK_REACH,
    section=SECTION,
    incident="webhook-blocks-apiserver",
    title="No admission webhook can stop the control plane or the nodes",
    demands=(
        "Every webhook of a Validating- or MutatingWebhookConfiguration is judged against the requests that a cluster "
        "cannot do without: Leases, Pods, EndpointSlices, Events and ConfigMaps of the protected namespaces and of the "
        "webhook's own, nodes and their status, certificate requests, APIServices, CustomResourceDefinitions and what "
        "a starting API server writes. Rules with subresources, matchPolicy, both selectors, failurePolicy, timeouts "
        "and reinvocation are read as the API server reads them; matchConditions are not evaluated: such a webhook may "
        "match. remediation names what may be written, the smallest first: Timeout sets timeoutSeconds to the allowed "
        "maximum; NamespaceSelector adds one requirement (kubernetes.io/metadata.name NotIn) to what the owner has; "
        "FailOpenWhileDown sets failurePolicy Ignore while no endpoint of the backend has been ready for "
        "downAfterSeconds, or for as long while the operator's own writes are refused because it cannot be called "
        "(then nobody may be able to write that its endpoints are gone), only where a request is blocked that nodes or "
        "the control plane live on, and gives Fail back as soon as one is ready, whatever onRelease says, also where "
        "the policy is suspended or in Audit by then."
    ),
    why=(
        "Jetstack: during a control plane upgrade the new API server crash-looped, because its PostStartHook could not "
        "update ConfigMap extension-apiserver-authentication in kube-system: a validating webhook with failurePolicy "
        "Fail matched everything, and its backend did not answer. Kubelets could not report, and node repair recreated "
        "all nodes in a loop."
    ),
    reasons={
        "BackendDown": "A fail-closed webhook whose backend has no ready endpoint refuses a protected request now.",
        "BlocksControlPlane": "Fail-closed, it would refuse a protected request when its backend does not answer.",
        "BlocksItself": "It would refuse what its own backend needs to come back.",
        "MayBlockControlPlane": "It may: labels or matchConditions decide, which only the API server can tell.",
        "TimeoutTooLong": "A protected request may wait for it for longer than the policy allows.",
        "TimeoutsAddUp": "Several webhooks together may take longer than the client of a protected request waits.",
        "FailedOpen": "The operator set failurePolicy Ignore for as long as the backend is down.",
    },
    never_enforced=(
        "a controller in ownerReferences: it would revert the change",
        (
            "configurations that their owner writes anew or means to fail closed: Kyverno, Gatekeeper, cert-manager, "
            "those of GKE, EKS and AKS, of an add-on manager and of the Operator Lifecycle Manager"
        ),
        "a webhook of which only the API server can tell whether the request is sent (matchConditions, labels)",
    ),
)
"""Printed by `kubectl-resilience explain` and as docs/rules.md."""
