"""The changes of a PodDisruptionBudget of ours, as they are sent. Made for workloads/own_budgets."""

from dataclasses import dataclass

from resilience_operator.cluster.leaves import selector_object
from resilience_operator.cluster.objects.workloads import PodDisruptionBudget
from resilience_operator.core.findings import BudgetDemand
from resilience_operator.core.paths import JSON
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import ObjectState
from resilience_operator.engine.change import Change, Result, Verb
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.budgets import ALWAYS_ALLOW, MANAGED_BY, POLICY_LABEL
from resilience_operator.targets.workloads.view import DeploymentView


@dataclass(frozen=True, slots=True)
class Wish:
    """A demand that is to hold, and the policy that it serves."""

    policy: Policy
    demand: BudgetDemand


def removal(
    view: DeploymentView, budget: PodDisruptionBudget, policies: tuple[Policy, ...], rule: str, why: str
) -> Change:
    """Its deletion, which waits for nothing."""
    return Change(
        verb=Verb.DELETE,
        result=Result.REVERTED,
        object=budget.ref,
        resource_version=budget.metadata.resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(rule,),
        policies=policies,
        reason=why,
        disruptive=False,
        urgent=True,
        owner=view.ref,
    )


def writing(
    view: DeploymentView, ref: ObjectRef, verb: Verb, wish: Wish, reason: str, resource_version: str = ""
) -> Change:
    """Its creation, or an update of what differs."""
    return Change(
        verb=verb,
        result=Result.APPLIED,
        object=ref,
        resource_version=resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(wish.demand.rule,),
        policies=(wish.policy,),
        reason=reason,
        disruptive=False,
        whole=_body(view, ref, wish) if verb is Verb.CREATE else _rest(view, wish),
        owner=view.ref,
    )


def _body(view: DeploymentView, ref: ObjectRef, wish: Wish) -> dict[str, JSON]:
    """The budget as it is made. Its only owner is the Deployment: with two, it would outlive the first."""
    owner = view.deployment.metadata
    changing = _rest(view, wish)
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {MANAGED_BY[0]: MANAGED_BY[1], **changing["metadata"]["labels"]},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name, "uid": owner.uid}
            ],
        },
        "spec": changing["spec"],
    }


def _rest(view: DeploymentView, wish: Wish) -> dict[str, JSON]:
    """What of a budget follows the policy and the Deployment, and is put right later on."""
    return {
        "metadata": {"labels": {POLICY_LABEL: wish.policy.uid}},
        "spec": specification(view, wish.demand.max_unavailable),
    }


def specification(view: DeploymentView, max_unavailable: int | str) -> dict[str, JSON]:
    """The spec of a budget of this Deployment's pods, whoever makes it."""
    return {
        "maxUnavailable": max_unavailable,
        "selector": selector_object(view.deployment.spec.selector),
        "unhealthyPodEvictionPolicy": ALWAYS_ALLOW,
    }
