"""Which objects a policy speaks of. Used by planning.decide; the opt-outs are judged in planning.optout."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from msgspec import structs

from resilience_operator.core.findings import Verdict
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import EVERYTHING, RuleSettings
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.coredns.cluster_dns import labelled, served
from resilience_operator.targets.coredns.kept_by import kept_with_the_cluster
from resilience_operator.targets.coredns.settings import CoreDNS, Named
from resilience_operator.targets.coredns.texts import COREDNS_FLOOR, SECTION
from resilience_operator.targets.deployments import texts
from resilience_operator.targets.deployments.settings import Deployments
from resilience_operator.targets.workloads.eligibility import reported
from resilience_operator.targets.workloads.own_budgets import own_budgets
from resilience_operator.targets.workloads.texts import REPLICAS
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View


class WorkloadScope:
    """Scope, reporting and own objects of the targets whose objects are Deployments, or scale one."""

    def asked(self, policy: Policy, view: Any, own_namespace: str) -> Mapping[str, RuleSettings]:
        """Rule -> settings of all that the policy asks of the object."""
        return asked_of(policy, view, own_namespace) if _is_mine(view) else {}

    def meant(self, policy: Policy, view: Any) -> Any:
        """The view as the policy means it."""
        return meant(policy, view)

    def reported(self, verdict: Verdict, view: Any) -> Verdict:
        """What our rollout itself would hurt, and what the cluster's provider keeps, is reported alone."""
        return reported(verdict, view, kept_with_the_cluster(view)) if _is_mine(view) else verdict

    def own_objects(
        self, view: Any, verdicts: tuple[PolicyVerdict, ...], around: Surroundings
    ) -> OwnObjects | None:
        """What is to be done about our budget of a Deployment."""
        return own_budgets(view, verdicts, around) if isinstance(view, DeploymentView) else None


SCOPE = WorkloadScope()


def _is_mine(view: Any) -> bool:
    return isinstance(view, DeploymentView | ScalerView)


OF_SCALERS = frozenset({REPLICAS, COREDNS_FLOOR})
"""The rules that are judged on what scales a Deployment as well."""


def asked_of(policy: Policy, view: View, own_namespace: str = "") -> Mapping[str, RuleSettings]:
    """Rule -> settings of all that the policy asks of this object, itself or for what it scales.

    A namespaceSelector does not match a Namespace that was not observed: doubt leaves the object alone.
    """
    if view.target.metadata.deletion_timestamp:
        return {}
    special, general = _of_dns(policy, view), _of_deployments(policy, view, own_namespace)
    if not special:
        return general
    taken = {policy.catalog.family(rule) for rule in special}
    return {**{rule: one for rule, one in general.items() if rule not in taken}, **special}


def deployments_of(policy: Policy) -> Deployments | None:
    """What the policy asks of Deployments."""
    section = policy.sections.get(texts.SECTION)
    return section if isinstance(section, Deployments) else None


def dns_of(policy: Policy) -> CoreDNS | None:
    """What the policy asks of cluster DNS."""
    section = policy.sections.get(SECTION)
    return section if isinstance(section, CoreDNS) else None


def selects_namespaces(policy: Policy) -> bool:
    """True where labels of the Namespace decide what the policy asks of a Deployment."""
    section = deployments_of(policy)
    return section is not None and section.namespace_selector != EVERYTHING


def widened(policy: Policy, *, objects: bool = False) -> Policy:
    """The policy without its selector of Namespaces and, for `objects`, of Deployments: what it may ask."""
    section = deployments_of(policy)
    if section is None:
        return policy
    wider = structs.replace(section, namespace_selector=EVERYTHING)
    wider = structs.replace(wider, selector=EVERYTHING) if objects else wider
    return replace(policy, sections={**policy.sections, texts.SECTION: wider})


def meant(policy: Policy, view: View) -> View:
    """The view as the policy means it: where it names cluster DNS, others behind the Service raise no doubt.

    Of several targets of one autoscaler, cluster DNS is the one for which its parameters are judged.
    """
    section = dns_of(policy)
    if section is None or section.deployment is None:
        return view
    if view.scaled is not None and view.scaled_too:
        named = sorted(_scaled(view), key=lambda one: not is_dns(section, one))
        view = replace(view, scaled=named[0], scaled_too=tuple(named[1:]))
    if view.scaled is not None:
        view = replace(view, scaled=replace(view.scaled, twins=()))
    return replace(view, twins=()) if isinstance(view, DeploymentView) else view


def _of_deployments(policy: Policy, view: View, own_namespace: str) -> Mapping[str, RuleSettings]:
    section = deployments_of(policy)
    if section is None:
        return {}
    rules = policy.asked[texts.SECTION]
    if isinstance(view, DeploymentView):
        return rules if _in_scope(section, view, own_namespace) else {}
    if not any(_in_scope(section, one, own_namespace) for one in _scaled(view)):
        return {}
    return {rule: one for rule, one in rules.items() if rule in OF_SCALERS}


def _of_dns(policy: Policy, view: View) -> Mapping[str, RuleSettings]:
    section = dns_of(policy)
    if section is None:
        return {}
    rules = policy.asked[SECTION]
    if isinstance(view, DeploymentView) and is_dns(section, view):
        return rules
    if not any(is_dns(section, one) for one in _scaled(view)):
        return {}
    return {rule: one for rule, one in rules.items() if rule in OF_SCALERS}


def _scaled(view: View) -> tuple[DeploymentView, ...]:
    """All Deployments that the object scales."""
    return (view.scaled, *view.scaled_too) if view.scaled is not None else ()


def is_dns(section: CoreDNS, view: DeploymentView) -> bool:
    """True where the Deployment is cluster DNS: the one that the policy names, or what the Service kube-dns selects."""
    meta = view.deployment.metadata
    if section.deployment is not None:
        return section.deployment == Named(meta.namespace, meta.name)
    return served(view.services) or (labelled(view.deployment) and not view.services)


def _in_scope(section: Deployments, view: DeploymentView, own_namespace: str) -> bool:
    meta = view.deployment.metadata
    if not section.namespaces.covers(meta.namespace, own_namespace):
        return False
    if not section.selector.matches(meta.labels):
        return False
    selector = section.namespace_selector
    if selector == EVERYTHING:
        return True
    return view.namespace is not None and selector.matches(view.namespace.metadata.labels)
