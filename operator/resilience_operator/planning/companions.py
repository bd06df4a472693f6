"""PodDisruptionBudgets of our own: made, kept and removed beside the Deployment that they protect. Used by decide.

Two budgets that select one pod make every eviction of it fail, and so does one that protects a single replica
(measured): such a budget of ours goes at once, whatever window or queue there is. It belongs to one Deployment by
ownerReference, and to one policy by label; nothing of it is remembered anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilience_operator.core.findings import BudgetDemand
from resilience_operator.core.paths import JSON
from resilience_operator.core.policy import Policy
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import ObjectState
from resilience_operator.observed.budgets import MANAGED_BY, POLICY_LABEL, ours
from resilience_operator.observed.leaves import selector_object
from resilience_operator.observed.objects import PodDisruptionBudget
from resilience_operator.observed.view import DeploymentView, View
from resilience_operator.planning.change import Change, Result, Verb

SUFFIX = "-resilience"
MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class BudgetAsked:
    """What one policy says of a budget for the object; `writes`: it enforces the rule here, and may write."""

    policy: Policy
    demand: BudgetDemand
    writes: bool


def companions_of(
    view: View, asked: tuple[BudgetAsked, ...], directory: Mapping[str, Policy]
) -> tuple[Change, ...]:
    """What is to be done about our budget of this Deployment; `directory`: every policy by uid."""
    if not isinstance(view, DeploymentView) or not view.known.budgets:
        return ()
    mine = ours(view)
    writers = sorted((one for one in asked if one.writes), key=lambda one: -one.policy.priority)
    if not mine:
        return _made(view, writers)
    return tuple(change for one in mine if (change := _kept(view, one, asked, writers, directory)))


def _made(view: DeploymentView, writers: list[BudgetAsked]) -> tuple[Change, ...]:
    if not writers or view.budgets or writers[0].demand.not_yet or _needless(view):
        return ()
    name = view.deployment.metadata.name[: MAX_NAME - len(SUFFIX)] + SUFFIX
    ref = ObjectRef("policy/v1", "PodDisruptionBudget", view.deployment.metadata.namespace, name)
    reason = f"no budget limits how many pods of {view.deployment.metadata.name} may go at once"
    return (_change(view, ref, Verb.CREATE, writers[0].policy, writers[0].demand, reason),)


def _kept(
    view: DeploymentView,
    budget: PodDisruptionBudget,
    asked: tuple[BudgetAsked, ...],
    writers: list[BudgetAsked],
    directory: Mapping[str, Policy],
) -> Change | None:
    holder = directory.get(budget.metadata.labels.get(POLICY_LABEL, ""))
    harm = _harm(view, budget)
    rule = next((one.demand.rule for one in asked), "disruption-budget")
    if harm:
        silent = holder is not None and holder.suspend and not holder.deleting
        return None if silent else _removal(view, budget, holder, rule, harm)
    if writers:
        return _updated(view, budget, writers[0])
    if holder is None or holder.suspend or (not holder.deleting and _asks(holder, asked)):
        return None  # Of a policy that is not ours to see, or that rests: it stays.
    return _removal(view, budget, holder, rule, f"policy {holder.name} no longer asks for it")


def _asks(holder: Policy, asked: tuple[BudgetAsked, ...]) -> bool:
    return any(one.policy.uid == holder.uid for one in asked)


def _harm(view: DeploymentView, budget: PodDisruptionBudget) -> str:
    """Why our budget would stop every eviction, "" where it would not."""
    other = next((one for one in view.budgets if one is not budget), None)
    if other is not None:
        name = other.metadata.name
        return f"PodDisruptionBudget {name} selects the same pods: with two, every eviction fails"
    return _needless(view)


def _needless(view: DeploymentView) -> str:
    replicas = view.deployment.replicas
    return f"{replicas} replica would be protected from every eviction" if replicas == 1 else ""


def _updated(view: DeploymentView, budget: PodDisruptionBudget, first: BudgetAsked) -> Change | None:
    demand, spec = first.demand, budget.spec
    same = spec.max_unavailable == demand.max_unavailable and spec.min_available is None
    evicts = spec.unhealthy_pod_eviction_policy == "AlwaysAllow"
    if same and evicts and budget.metadata.labels.get(POLICY_LABEL) == first.policy.uid:
        return None
    reason = f"policy {first.policy.name} demands maxUnavailable {demand.max_unavailable}"
    return _change(view, budget.ref, Verb.UPDATE, first.policy, demand, reason, budget)


def _removal(
    view: DeploymentView, budget: PodDisruptionBudget, holder: Policy | None, rule: str, why: str
) -> Change:
    return Change(
        verb=Verb.DELETE,
        result=Result.REVERTED,
        object=budget.ref,
        resource_version=budget.metadata.resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(rule,),
        policies=(holder,) if holder is not None else (),
        reason=why,
        disruptive=False,
        urgent=True,
        owner=view.ref,
    )


def _change(
    view: DeploymentView,
    ref: ObjectRef,
    verb: Verb,
    policy: Policy,
    demand: BudgetDemand,
    reason: str,
    before: PodDisruptionBudget | None = None,
) -> Change:
    return Change(
        verb=verb,
        result=Result.APPLIED,
        object=ref,
        resource_version=before.metadata.resource_version if before is not None else "",
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(demand.rule,),
        policies=(policy,),
        reason=reason,
        disruptive=False,
        force=before is not None,  # What made it, made it by another operation than an apply.
        whole=_body(view, ref, policy, demand),
        owner=view.ref,
    )


def _body(view: DeploymentView, ref: ObjectRef, policy: Policy, demand: BudgetDemand) -> dict[str, JSON]:
    """The budget as it is sent. Its only owner is the Deployment: with two, it would outlive the first."""
    owner = view.deployment.metadata
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {MANAGED_BY[0]: MANAGED_BY[1], POLICY_LABEL: policy.uid},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name, "uid": owner.uid}
            ],
        },
        "spec": {
            "maxUnavailable": demand.max_unavailable,
            "selector": selector_object(view.deployment.spec.selector),
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
