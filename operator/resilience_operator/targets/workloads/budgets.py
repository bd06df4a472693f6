"""PodDisruptionBudgets: which of them are ours, which select the same pods, and how many pods they let go.

Used by rules and planning. A budget of ours is known by its labels and its owner, whatever it selects by now: people
edit what we made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilience_operator.cluster.objects.workloads import (
    EVICTION_POLICY,
    MAX_UNAVAILABLE,
    MIN_AVAILABLE,
    SELECTOR,
    BudgetSpec,
    Deployment,
    PodDisruptionBudget,
    Selector,
)
from resilience_operator.cluster.selection import selects
from resilience_operator.core.numbers import whole_number
from resilience_operator.core.state import FIELD_MANAGER

if TYPE_CHECKING:
    from resilience_operator.targets.workloads.view import DeploymentView

POLICY_LABEL = "resilience.dev/policy"
"""Bears the uid of the policy for which we made a budget: a policy's name may be longer than a label's value."""

MANAGED_BY = ("app.kubernetes.io/managed-by", "resilience-operator")

ALWAYS_ALLOW = "AlwaysAllow"
SUFFIX = "-resilience"
MAX_NAME = 253
NONE_GOES = "it lets none go"
UNLIMITED = 2**31 - 1
"""More pods than any budget counts: the most replicas that the API takes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What of our budget is not as it is demanded, as a sentence's part, and which managers made it so."""

    what: str
    by: tuple[str, ...] = ()


def name_of(deployment: Deployment) -> str:
    """What our budget of that Deployment is called."""
    return deployment.metadata.name[: MAX_NAME - len(SUFFIX)] + SUFFIX


def is_made_by_us(budget: PodDisruptionBudget) -> bool:
    """True where the operator, this one or another, made the budget for some Deployment."""
    labels, owners = budget.metadata.labels, budget.metadata.owner_references
    marked = labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and POLICY_LABEL in labels
    return marked and any(owner.kind == "Deployment" for owner in owners)


def is_ours(budget: PodDisruptionBudget, deployment: Deployment) -> bool:
    """True where we made the budget, and for this very Deployment."""
    owners = budget.metadata.owner_references
    return is_made_by_us(budget) and any(owner.uid == deployment.metadata.uid for owner in owners)


def ours(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets that we made for this Deployment, whatever they select."""
    return tuple(one for one in view.budgets if is_ours(one, view.deployment))


def covering(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets that select its pods, whoever made them."""
    if not view.budgets:
        return ()
    every = [view.deployment.spec.template.metadata.labels, *(pod.metadata.labels for pod in view.pods)]
    distinct = {id(labels): labels for labels in every}.values()
    return tuple(
        one for one in view.budgets if any(selects(one.spec.selector, labels) for labels in distinct)
    )


def foreign(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets of others that select its pods."""
    return tuple(one for one in covering(view) if not is_made_by_us(one))


def excess(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets of the operator that select its pods and must go: all beside one of others, else all but one.

    The one that stays is chosen from the objects alone, so that every decision, of this Deployment and of others,
    chooses the same: one whose selector nobody edited, then the oldest.
    """
    every = covering(view)
    made = sorted((one for one in every if is_made_by_us(one)), key=_seniority)
    return tuple(made) if len(made) < len(every) else tuple(made[1:])


def _seniority(budget: PodDisruptionBudget) -> tuple[bool, bool, float, str]:
    born = budget.metadata.creation_timestamp
    edited = bool(_managers(budget, SELECTOR))
    return (edited, born is None, born.timestamp() if born is not None else 0.0, budget.metadata.uid)


def differences(
    budget: PodDisruptionBudget, deployment: Deployment, max_unavailable: int | str
) -> tuple[Difference, ...]:
    """What of our budget is not as it is demanded, and who set it so."""
    spec, found = budget.spec, []
    if spec.min_available is not None:
        what = f"minAvailable {spec.min_available}, not maxUnavailable {max_unavailable}"
        found.append(Difference(what, _managers(budget, MIN_AVAILABLE)))
    elif spec.max_unavailable != max_unavailable:
        what = f"maxUnavailable {spec.max_unavailable}, not {max_unavailable}"
        found.append(Difference(what, _managers(budget, MAX_UNAVAILABLE)))
    if spec.selector != deployment.spec.selector:
        found.append(Difference("another selector than its Deployment", _managers(budget, SELECTOR)))
    if spec.unhealthy_pod_eviction_policy != ALWAYS_ALLOW:
        said = spec.unhealthy_pod_eviction_policy or "unset"
        what = f"unhealthyPodEvictionPolicy {said}, not {ALWAYS_ALLOW}"
        found.append(Difference(what, _managers(budget, EVICTION_POLICY)))
    return tuple(found)


def _managers(budget: PodDisruptionBudget, leaf: str) -> tuple[str, ...]:
    """The other managers that set a field."""
    mine = [claim for claim in budget.claims if leaf in claim.leaves and claim.manager != FIELD_MANAGER]
    return tuple(f"{claim.manager} ({claim.operation})" for claim in mine)


def in_company(view: DeploymentView) -> str:
    """Why a budget for this Deployment would stop evictions: whose pods it would select as well; "" where none."""
    uncounted = [str(one) for one in view.strangers if not one.counted]
    if uncounted:
        return f"its selector selects pods of {_listed(uncounted)} as well, which no budget can count: {NONE_GOES}"
    if view.strangers:
        counted = _listed([str(one) for one in view.strangers])
        return f"its selector selects the pods of {counted} as well: with a budget each, every eviction fails"
    return ""


def uncounted(budget: PodDisruptionBudget, view: DeploymentView) -> str:
    """Whose pods keep the controller from computing the budget, so that it lets none go; "" where nobody's do.

    A whole number of minAvailable alone needs no scale.
    """
    if isinstance(budget.spec.min_available, int) or budget.spec == BudgetSpec():
        return ""
    kept = (one for one in view.strangers if not one.counted and one.selected_by(budget.spec.selector))
    return _listed([str(one) for one in kept])


def _listed(names: list[str]) -> str:
    return " and ".join(dict.fromkeys(names))


def limit_of(budget: PodDisruptionBudget) -> str:
    """The limit as a person wrote it."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        return f"maxUnavailable {spec.max_unavailable}"
    return f"minAvailable {spec.min_available}"


def allows_none(budget: PodDisruptionBudget, replicas: int) -> bool:
    """True where no pod may ever go while all `replicas` are well; percentages are rounded up, as the controller does.

    Source: pkg/controller/disruption of Kubernetes. A limit that cannot be read allows none.
    """
    spec = budget.spec
    if spec.max_unavailable is not None:
        return _number(spec.max_unavailable, replicas, unreadable=0) <= 0
    if spec.min_available is None:
        return False  # The server refuses one without a limit; a file may lack it.
    return _number(spec.min_available, replicas, unreadable=replicas) >= replicas


def counts_pods(budget: PodDisruptionBudget) -> bool:
    """True where it depends on how many pods the budget selects whether it lets any go."""
    spec = budget.spec
    decided = spec.min_available is None or spec.max_unavailable is not None
    return not decided and allows_none(budget, 1) and not allows_none(budget, UNLIMITED)


def of_it_alone(budget: PodDisruptionBudget, view: DeploymentView) -> bool:
    """True where the budget selects the Deployment's pods and certainly no others: its selector asks no less."""
    asked, own = budget.spec.selector, view.deployment.spec.selector
    if asked is None or own == Selector() or view.sharing:
        return False
    narrow = own.match_labels.items() <= asked.match_labels.items()
    narrow = narrow and set(own.match_expressions) <= set(asked.match_expressions)
    return narrow and not any(one.selected_by(asked) for one in view.strangers)


def _number(limit: int | str, replicas: int, *, unreadable: int) -> int:
    if isinstance(limit, int):
        return limit
    number = whole_number(limit.removesuffix("%")) if limit.endswith("%") else None
    return unreadable if number is None else -(-number * replicas // 100)
