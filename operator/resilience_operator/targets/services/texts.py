"""What people read about rule empty-service: printed by `kubectl-resilience explain` and as docs/rules.md."""

from typing import Final

from resilience_operator.core.findings import RuleText

SECTION: Final = "services"
EMPTY_SERVICE: Final = "empty-service"

SELECTS_NOTHING: Final = "SelectsNothing"
SCALED_TO_ZERO: Final = "ScaledToZero"
NONE_READY: Final = "NoneReady"
PORT_MISSING: Final = "PortMissing"
FOREIGN_ENDPOINT_SLICES: Final = "ForeignEndpointSlices"
NOT_PUBLISHED: Final = "NotPublished"

NEVER_CHANGED: Final = "where a Service is to lead is for its owner to say"

TEXT: Final = RuleText(
    rule=EMPTY_SERVICE,
    section=SECTION,
    incident="empty-service",
    title="A Service leads to a ready endpoint",
    demands=(
        "Every Service with a selector has had a ready endpoint within the last graceSeconds, and so has each of its "
        "ports whose targetPort is a name. A targetPort that is a number is not judged: a container may listen where "
        "it declares nothing. No finding while a Deployment behind it rolls out (for an hour at most), for an "
        "ExternalName or selectorless Service, for a headless Service of a Job that is done, or where a ScaledObject "
        "of KEDA lets a Deployment sleep. In files: its selector matches a workload of the input, and a container of "
        "it declares each targetPort that is a name."
    ),
    why=(
        "Monzo, October 2017, 1.5 hours: card payments failed. A service had been scaled to 0 replicas as a "
        "precaution, and its Service stayed. The proxy in every pod threw a NullPointerException on a Service "
        "without endpoints; restarting all of them at once turned a part outage into a full one."
    ),
    reasons={
        SELECTS_NOTHING: (
            "No pod, and no Deployment's template, has the labels of the selector. The message names the pods whose "
            "labels come nearest, if there are any."
        ),
        SCALED_TO_ZERO: (
            "Every Deployment that it selects has 0 replicas. The message says who set that, and when; of what came "
            "through the subresource scale the API server keeps no name."
        ),
        NONE_READY: "It selects pods, and none is ready: the message says why, the most frequent cause first.",
        PORT_MISSING: "A targetPort is a name that no container of the selected pods declares.",
        FOREIGN_ENDPOINT_SLICES: (
            "Pods are ready, but the EndpointSlices are kept by another controller than that of Kubernetes."
        ),
        NOT_PUBLISHED: "Pods are ready, and after graceSeconds no EndpointSlice says so.",
    },
    never_enforced=(f"always: {NEVER_CHANGED}",),
)
