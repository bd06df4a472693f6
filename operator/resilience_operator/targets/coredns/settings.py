"""Section `coreDNS` of a policy. Declared in target.py."""

from typing import Annotated

from msgspec import Meta

from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.policy.common import (
    Conflicts,
    ReportedSettings,
    RuleSettings,
    SectionSettings,
    Settings,
    conflicts_field,
)
from resilience_operator.targets.workloads.settings import BUDGET_SAYS, SPREAD_SAYS, DisruptionBudget, Spread


class Named(Settings, frozen=True):
    """A Deployment by name."""

    namespace: Annotated[str, Meta(description="Its Namespace.", min_length=1, max_length=63)]
    name: Annotated[str, Meta(description="Its name.", min_length=1, max_length=253)]


class Floor(RuleSettings, frozen=True):
    """Rule `coredns-floor` (incident dns-scale-down)."""

    min_replicas: Annotated[
        int, Meta(description="The least number of replicas; 3 if left out.", ge=1, le=1000)
    ] = 3
    prevent_single_point_failure: Annotated[
        bool,
        Meta(
            description=(
                "true (if left out): the cluster-proportional-autoscaler is told to keep two replicas wherever there "
                "are two nodes."
            )
        ),
    ] = True

    def default_conflicts(self, kind: str) -> Conflicts:
        """TakeOver on what scales cluster DNS: the floor lives inside one value that somebody always owns."""
        return Conflicts.REPORT if kind == DEPLOYMENT.kind else Conflicts.TAKE_OVER


class NodeLocalCache(ReportedSettings, frozen=True):
    """Rule `node-local-cache` (incident dns-scale-down), reported only."""


class CoreDNS(SectionSettings, frozen=True):
    """What is demanded of cluster DNS; left out, it is not looked at."""

    conflicts: Annotated[
        Conflicts | None,
        conflicts_field("TakeOver for the floor on what scales cluster DNS, and Report for the rest"),
    ] = None
    deployment: Annotated[
        Named | None,
        Meta(
            description=(
                "The Deployment of cluster DNS; left out: the one whose pods the Service kube-system/kube-dns selects, "
                "else the one labelled k8s-app=kube-dns."
            )
        ),
    ] = None
    floor: Annotated[
        Floor | None,
        Meta(
            description=(
                "Rule coredns-floor: cluster DNS never has fewer replicas than minReplicas, through whatever scales "
                "it. An empty object means the defaults."
            )
        ),
    ] = None
    spread: Annotated[
        Spread | None, Meta(description=f"Rule coredns-spread: replicas of cluster DNS {SPREAD_SAYS}")
    ] = None
    disruption_budget: Annotated[
        DisruptionBudget | None, Meta(description=f"Rule coredns-budget: {BUDGET_SAYS}")
    ] = None
    node_local_cache: Annotated[
        NodeLocalCache | None,
        Meta(
            description=(
                "Rule node-local-cache, reported only: every node runs NodeLocal DNSCache, and it is ready there. An "
                "empty object means the default."
            )
        ),
    ] = None
