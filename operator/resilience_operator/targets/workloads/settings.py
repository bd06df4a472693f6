"""Settings of rules that are asked of Deployments and of cluster DNS alike. Used by both targets' settings."""

from typing import Annotated

from msgspec import Meta

from resilience_operator.policy.common import LabelKey, RuleSettings, Settings, by_key, one_of


class SpreadConstraint(Settings, frozen=True):
    """One demanded entry of topologySpreadConstraints."""

    topology_key: LabelKey
    """The node label whose values are the domains to spread over."""
    max_skew: Annotated[int, Meta(ge=1, le=100)] = 1
    """How many more pods one domain may have than another; 1 if left out."""
    when_unsatisfiable: Annotated[str, one_of(*("ScheduleAnyway", "DoNotSchedule"))] = "ScheduleAnyway"
    """ScheduleAnyway (if left out) prefers the spread, DoNotSchedule leaves a pod Pending rather than break it.
    """


class Spread(RuleSettings, frozen=True):
    """Replicas do not share a node or a zone (incident one-node-pileup)."""

    constraints: Annotated[
        tuple[
            SpreadConstraint,
            ...,
        ],
        Meta(min_length=1, max_length=8, extra_json_schema=by_key("topologyKey")),
    ] = (SpreadConstraint("kubernetes.io/hostname"), SpreadConstraint("topology.kubernetes.io/zone"))
    """Constraints that must be there, one for each topologyKey, written with the Deployment's own
    labelSelector. Left out: kubernetes.io/hostname and topology.kubernetes.io/zone, each with maxSkew 1 and
    ScheduleAnyway.
    """


class DisruptionBudget(RuleSettings, frozen=True):
    """How many pods may go at once; a number or a percentage."""

    max_unavailable: (
        Annotated[int, Meta(ge=1, le=1000)]
        | Annotated[str, Meta(max_length=4, pattern="^(100|[1-9][0-9]?)%$")]
    ) = 1
    """How many pods may be evicted at once, a number or a percentage of them, which is rounded up; 1 if left
    out. 0 would block every drain, and is not allowed.
    """
