"""Settings of rules that are asked of Deployments and of cluster DNS alike. Used by both targets' settings."""

from typing import Annotated

from msgspec import Meta

from resilience_operator.policy.common import LabelKey, RuleSettings, Settings, by_key, one_of

SPREAD_SAYS = (
    "must not share a node or zone (topologySpreadConstraints). An empty object means the defaults. Needs at least 2 "
    "replicas and 2 nodes."
)
BUDGET_SAYS = (
    "a PodDisruptionBudget where none selects the pods of two or more replicas. An empty object means the "
    "default."
)


class SpreadConstraint(Settings, frozen=True):
    """One demanded topologySpreadConstraints entry."""

    topology_key: Annotated[
        LabelKey, Meta(description="The node label whose values are the domains to spread over.")
    ]
    max_skew: Annotated[
        int,
        Meta(description="How many more pods one domain may have than another; 1 if left out.", ge=1, le=100),
    ] = 1
    when_unsatisfiable: Annotated[
        str,
        one_of(
            *("ScheduleAnyway", "DoNotSchedule"),
            says=(
                "ScheduleAnyway (if left out) prefers the spread, DoNotSchedule leaves a pod Pending rather than break "
                "it."
            ),
        ),
    ] = "ScheduleAnyway"


class Spread(RuleSettings, frozen=True):
    """Replicas do not share a node or a zone (incident one-node-pileup)."""

    constraints: Annotated[
        tuple[
            Annotated[SpreadConstraint, Meta(description="One demanded entry of topologySpreadConstraints.")],
            ...,
        ],
        Meta(
            description=(
                "Constraints that must be there, one for each topologyKey, written with the Deployment's own "
                "labelSelector. Left out: kubernetes.io/hostname and topology.kubernetes.io/zone, each with maxSkew 1 "
                "and ScheduleAnyway."
            ),
            min_length=1,
            max_length=8,
            extra_json_schema=by_key("topologyKey"),
        ),
    ] = (SpreadConstraint("kubernetes.io/hostname"), SpreadConstraint("topology.kubernetes.io/zone"))


class DisruptionBudget(RuleSettings, frozen=True):
    """How many pods may go at once; a number or a percentage."""

    max_unavailable: Annotated[
        Annotated[int, Meta(ge=1, le=1000)]
        | Annotated[str, Meta(max_length=4, pattern="^(100|[1-9][0-9]?)%$")],
        Meta(
            description=(
                "How many pods may be evicted at once, a number or a percentage of them, which is rounded up; 1 if "
                "left out. 0 would block every drain, and is not allowed."
            )
        ),
    ] = 1
