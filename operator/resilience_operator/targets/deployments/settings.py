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
from resilience_operator.targets.workloads.settings import BUDGET_SAYS, SPREAD_SAYS, DisruptionBudget, Spread

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

    pre_stop_sleep_seconds: Annotated[
        int,
        Meta(
            description=f"Seconds that a serving container sleeps before SIGTERM; {SLEEP} if left out.",
            ge=1,
            le=3600,
        ),
    ] = SLEEP
    min_termination_grace_period_seconds: Annotated[
        int,
        Meta(
            description=(
                f"The least terminationGracePeriodSeconds; {GRACE} if left out. Written is the greater of this and the "
                "owner's plus preStopSleepSeconds: the app keeps the time it had."
            ),
            ge=2,
            le=7200,
        ),
    ] = GRACE
    applies_to: Annotated[
        str,
        one_of(
            *("Exposed", "All"),
            says="Exposed (if left out): Deployments that a Service selects; All: every Deployment in scope.",
        ),
    ] = "Exposed"


class DNSOption(Settings, frozen=True):
    """One resolver option of dnsConfig.options; value None: a flag."""

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
            says="Name of the option; ndots only with allowSearchChange.",
        ),
    ]
    value: Annotated[
        Annotated[str, Meta(max_length=2)] | None,
        Meta(
            description="Value of timeout, attempts and ndots, in quotes; the other options take none.",
        ),
    ] = None

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
        tuple[Annotated[DNSOption, Meta(description="One option of resolv.conf.")], ...],
        Meta(
            description=(
                "Options that must be there, each name once. Left out: single-request-reopen. Only options that cannot "
                "change what a name resolves to, unless allowSearchChange is true."
            ),
            min_length=1,
            max_length=8,
            extra_json_schema=by_key("name"),
        ),
    ] = (DNSOption("single-request-reopen"),)
    allow_search_change: Annotated[
        bool,
        Meta(
            description=(
                "true also allows ndots, which changes what a short name resolves to (musl resolves nothing but the "
                "literal name once it has that many dots); false if left out."
            )
        ),
    ] = False
    report_only_images: Annotated[
        tuple[_ImageGlob, ...],
        Meta(
            description=(
                "Images known to run musl, where the default option does nothing: a finding, but no rollout. "
                '["*alpine*"] if left out; an empty list for none.'
            ),
            max_length=64,
            extra_json_schema=SET,
        ),
    ] = ("*alpine*",)


class Replicas(RuleSettings, frozen=True):
    """Rule `replicas`: a Deployment never has fewer than `min`, whoever scales it; 0 stays 0."""

    min: Annotated[int, Meta(description="The least number of replicas; 2 if left out.", ge=1, le=1000)] = 2


class Probes(ReportedSettings, frozen=True):
    """Rule `probes`, reported only: the probes that every container must have."""

    require: Annotated[
        tuple[Annotated[str, one_of("readiness", "liveness", "startup", says="A kind of probe.")], ...],
        Meta(
            description="The probes; readiness if left out.",
            min_length=1,
            max_length=3,
            extra_json_schema=SET,
        ),
    ] = ("readiness",)


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
        Meta(
            description="The requests and limits; cpuRequest, memoryRequest and memoryLimit if left out.",
            min_length=1,
            max_length=4,
            extra_json_schema=SET,
        ),
    ] = ("cpuRequest", "memoryRequest", "memoryLimit")


class Deployments(SectionSettings, frozen=True):
    """What is demanded of Deployments; left out, they are not looked at."""

    namespaces: Annotated[
        NamespaceScope,
        Meta(
            description=(
                "Which Namespaces are in scope, by name. kube-system, kube-public, kube-node-lease and the operator's "
                "own are out of scope unless `include` names them literally."
            )
        ),
    ] = EVERY_NAMESPACE
    namespace_selector: Annotated[
        Selector, Meta(description="Only in Namespaces with these labels; all if left out or empty.")
    ] = EVERYTHING
    selector: Annotated[
        Selector, Meta(description="Only Deployments with these labels; all if left out or empty.")
    ] = EVERYTHING
    spread: Annotated[
        Spread | None, Meta(description=f"Rule spread: replicas of one Deployment {SPREAD_SAYS}")
    ] = None
    graceful_shutdown: Annotated[
        GracefulShutdown | None,
        Meta(
            description=(
                "Rule graceful-shutdown: a pod goes on serving until load balancers have let go of it (native preStop "
                "sleep and a grace period that holds it). An empty object means the defaults."
            )
        ),
    ] = None
    dns_config: Annotated[
        DNSConfig | None,
        Meta(
            description=(
                "Rule dns-config: resolver options that pods must have (dnsConfig.options). An empty object means the "
                "defaults."
            )
        ),
    ] = None
    replicas: Annotated[
        Replicas | None,
        Meta(
            description=(
                "Rule replicas: a Deployment never has fewer replicas than min, through the HorizontalPodAutoscaler, "
                "the ScaledObject (KEDA) or the cluster-proportional-autoscaler that scales it, or spec.replicas where "
                "nobody does; 0 stays 0. An empty object means the default."
            )
        ),
    ] = None
    disruption_budget: Annotated[
        DisruptionBudget | None, Meta(description=f"Rule disruption-budget: {BUDGET_SAYS}")
    ] = None
    probes: Annotated[
        Probes | None,
        Meta(
            description=(
                "Rule probes, reported only: probes that every container must have. An empty object means the default."
            )
        ),
    ] = None
    resources: Annotated[
        Resources | None,
        Meta(
            description=(
                "Rule resources, reported only: requests and limits that every container must state. An empty object "
                "means the default."
            )
        ),
    ] = None
