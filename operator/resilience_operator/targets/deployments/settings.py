"""Section `deployments` of a policy. Declared in target.py."""

from typing import Annotated

from msgspec import Meta

from resilience_operator.policy.common import (
    CEL,
    EVERY_NAMESPACE,
    EVERYTHING,
    SET,
    NamespaceScope,
    ReportedSettings,
    RuleSettings,
    SectionSettings,
    Selector,
    Settings,
    by_key,
    matching,
    one_of,
)
from resilience_operator.targets.workloads.settings import DisruptionBudget, Spread

SLEEP, GRACE = 15, 45


class GracefulShutdown(RuleSettings, frozen=True):
    """Rule `graceful-shutdown` (incident ungraceful-ingress); seconds."""

    cel = (
        CEL(
            f"(has(self.minTerminationGracePeriodSeconds) ? self.minTerminationGracePeriodSeconds : {GRACE})"
            f" > (has(self.preStopSleepSeconds) ? self.preStopSleepSeconds : {SLEEP})",
            f"minTerminationGracePeriodSeconds ({GRACE} if left out) must be greater than preStopSleepSeconds ({SLEEP}"
            " if left out): the app needs time to end after the sleep",
            ".minTerminationGracePeriodSeconds",
        ),
    )

    pre_stop_sleep_seconds: Annotated[int, Meta(ge=1, le=3600)] = SLEEP
    """Seconds that a serving container sleeps before SIGTERM; 15 if left out."""
    min_termination_grace_period_seconds: Annotated[int, Meta(ge=2, le=7200)] = GRACE
    """The least terminationGracePeriodSeconds; 45 if left out. Written is the greater of this and the owner's
    plus preStopSleepSeconds: the app keeps the time it had.
    """
    applies_to: Annotated[str, one_of(*("Exposed", "All"))] = "Exposed"
    """Exposed (if left out): Deployments that a Service selects; All: every Deployment in scope."""


class DNSOption(Settings, frozen=True):
    """One option of resolv.conf."""

    cel = (
        CEL(
            "self.name in ['timeout', 'attempts', 'ndots'] || !has(self.value)",
            "this option is a flag and takes no value: leave value out",
            ".value",
        ),
        CEL(
            "self.name != 'timeout' || (has(self.value) && self.value.matches('^([1-9]|[12][0-9]|30)$'))",
            'timeout needs a value of seconds from "1" to "30", in quotes',
            ".value",
        ),
        CEL(
            "self.name != 'attempts' || (has(self.value) && self.value.matches('^[1-5]$'))",
            'attempts needs a value from "1" to "5", in quotes',
            ".value",
        ),
        CEL(
            "self.name != 'ndots' || (has(self.value) && self.value.matches('^([0-9]|1[0-5])$'))",
            'ndots needs a value from "0" to "15", in quotes',
            ".value",
        ),
    )

    name: Annotated[
        str,
        one_of(
            *(
                "single-request-reopen",
                "single-request",
                "timeout",
                "attempts",
                "use-vc",
                "edns0",
                "trust-ad",
            ),
            "ndots",
        ),
    ]
    """Name of the option; ndots only with allowSearchChange."""
    value: Annotated[str, Meta(max_length=2)] | None = None
    """Value of timeout, attempts and ndots, in quotes; the other options take none."""

    def as_object(self) -> dict[str, str]:
        """The API's form of the option."""
        return {"name": self.name} | ({"value": self.value} if self.value is not None else {})


_ImageGlob = Annotated[
    str,
    Meta(
        description="An image reference in which * stands for any characters and ? for one.",
        min_length=1,
        max_length=255,
        extra_json_schema=matching(
            "^[A-Za-z0-9._:/@*?-]+$",
            'write an image, where * stands for any characters and ? for one: "*alpine*"',
        ),
    ),
]


class DNSConfig(RuleSettings, frozen=True):
    """Rule `dns-config` (incident dns-five-seconds)."""

    cel = (
        CEL(
            "(has(self.allowSearchChange) && self.allowSearchChange) || !has(self.options)"
            " || self.options.all(o, o.name != 'ndots')",
            "ndots changes what names resolve to: write allowSearchChange: true if that is wanted, or leave ndots out",
            ".options",
        ),
    )

    options: Annotated[
        tuple[DNSOption, ...],
        Meta(min_length=1, max_length=8, extra_json_schema=by_key("name")),
    ] = (DNSOption("single-request-reopen"),)
    """Options that must be there, each name once. Left out: single-request-reopen. Only options that cannot
    change what a name resolves to, unless allowSearchChange is true.
    """
    allow_search_change: bool = False
    """true also allows ndots, which changes what a short name resolves to (musl resolves nothing but the
    literal name once it has that many dots); false if left out.
    """
    report_only_images: Annotated[tuple[_ImageGlob, ...], Meta(max_length=64, extra_json_schema=SET)] = (
        "*alpine*",
    )
    """Images known to run musl, where the default option does nothing: a finding, but no rollout. ["*alpine*"]
    if left out; an empty list for none.
    """


class Replicas(RuleSettings, frozen=True):
    """Rule `replicas`: a Deployment never has fewer than `min`, whoever scales it; 0 stays 0."""

    min: Annotated[int, Meta(ge=1, le=1000)] = 2
    """The least number of replicas; 2 if left out."""


class Probes(ReportedSettings, frozen=True):
    """Rule `probes`, reported only: the probes that every container must have."""

    require: Annotated[
        tuple[Annotated[str, one_of("readiness", "liveness", "startup", says="A kind of probe.")], ...],
        Meta(min_length=1, max_length=3, extra_json_schema=SET),
    ] = ("readiness",)
    """The probes; readiness if left out."""


class Resources(ReportedSettings, frozen=True):
    """Rule `resources` (incident one-node-pileup), reported only: what every container must state."""

    require: Annotated[
        tuple[
            Annotated[
                str,
                one_of(
                    "cpuRequest", "memoryRequest", "memoryLimit", "cpuLimit", says="A request or a limit."
                ),
            ],
            ...,
        ],
        Meta(min_length=1, max_length=4, extra_json_schema=SET),
    ] = ("cpuRequest", "memoryRequest", "memoryLimit")
    """The requests and limits; cpuRequest, memoryRequest and memoryLimit if left out."""


class Deployments(SectionSettings, frozen=True):
    """What is demanded of Deployments; left out, they are not looked at."""

    namespaces: NamespaceScope = EVERY_NAMESPACE
    """Which Namespaces are in scope, by name. kube-system, kube-public, kube-node-lease and the operator's own
    are out of scope unless `include` names them literally.
    """
    namespace_selector: Selector = EVERYTHING
    """Only in Namespaces with these labels; all if left out or empty."""
    selector: Selector = EVERYTHING
    """Only Deployments with these labels; all if left out or empty."""
    spread: Spread | None = None
    """Rule spread: replicas of one Deployment must not share a node or zone (topologySpreadConstraints). An
    empty object means the defaults. Needs at least 2 replicas and 2 nodes.
    """
    graceful_shutdown: GracefulShutdown | None = None
    """Rule graceful-shutdown: a pod goes on serving until load balancers have let go of it (native preStop
    sleep and a grace period that holds it). An empty object means the defaults.
    """
    dns_config: DNSConfig | None = None
    """Rule dns-config: resolver options that pods must have (dnsConfig.options). An empty object means the
    defaults.
    """
    replicas: Replicas | None = None
    """Rule replicas: a Deployment never has fewer replicas than min, through the HorizontalPodAutoscaler, the
    ScaledObject (KEDA) or the cluster-proportional-autoscaler that scales it, or spec.replicas where nobody
    does; 0 stays 0. An empty object means the default.
    """
    disruption_budget: DisruptionBudget | None = None
    """Rule disruption-budget: a PodDisruptionBudget where none selects the pods of two or more replicas. An
    empty object means the default.
    """
    probes: Probes | None = None
    """Rule probes, reported only: probes that every container must have. An empty object means the default."""
    resources: Resources | None = None
    """Rule resources, reported only: requests and limits that every container must state. An empty object means
    the default.
    """
