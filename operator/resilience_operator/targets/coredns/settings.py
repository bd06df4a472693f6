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
)
from resilience_operator.targets.workloads.settings import DisruptionBudget, Spread


class Named(Settings, frozen=True):
    """A Deployment by name."""

    namespace: Annotated[str, Meta(min_length=1, max_length=63)]
    """Its Namespace."""
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    """Its name."""


class Floor(RuleSettings, frozen=True):
    """Rule `coredns-floor` (incident dns-scale-down)."""

    min_replicas: Annotated[int, Meta(ge=1, le=1000)] = 3
    """The least number of replicas; 3 if left out."""
    prevent_single_point_failure: bool = True
    """true (if left out): the cluster-proportional-autoscaler is told to keep two replicas wherever there are
    two nodes.
    """

    def default_conflicts(self, kind: str) -> Conflicts:
        """TakeOver on what scales cluster DNS: the floor lives inside one value that somebody always owns."""
        return Conflicts.REPORT if kind == DEPLOYMENT.kind else Conflicts.TAKE_OVER


class NodeLocalCache(ReportedSettings, frozen=True):
    """Rule `node-local-cache` (incident dns-scale-down), reported only."""


class CoreDNS(SectionSettings, frozen=True):
    """What is demanded of cluster DNS; left out, it is not looked at."""

    conflicts: Conflicts | None = None
    """What becomes of a value that somebody chose: Report (respected, named in a finding with the patch to
    commit) or TakeOver. Left out: the outer level's, else TakeOver for the floor on what scales cluster DNS,
    and Report for the rest.
    """
    deployment: Named | None = None
    """The Deployment of cluster DNS; left out: the one whose pods the Service kube-system/kube-dns selects,
    else the one labelled k8s-app=kube-dns.
    """
    floor: Floor | None = None
    """Rule coredns-floor: cluster DNS never has fewer replicas than minReplicas, through whatever scales it. An
    empty object means the defaults.
    """
    spread: Spread | None = None
    """Rule coredns-spread: replicas of cluster DNS must not share a node or zone (topologySpreadConstraints).
    An empty object means the defaults. Needs at least 2 replicas and 2 nodes.
    """
    disruption_budget: DisruptionBudget | None = None
    """Rule coredns-budget: a PodDisruptionBudget where none selects the pods of two or more replicas. An empty
    object means the default.
    """
    node_local_cache: NodeLocalCache | None = None
    """Rule node-local-cache, reported only: every node runs NodeLocal DNSCache, and it is ready there. An empty
    object means the default.
    """
