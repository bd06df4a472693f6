"""PodDisruptionBudgets: which of them are ours, and how many pods they let go. Used by rules and planning."""

from resilience_operator.observed.objects import Deployment, PodDisruptionBudget
from resilience_operator.observed.view import DeploymentView

POLICY_LABEL = "resilience.dev/policy"
"""Bears the uid of the policy for which we made a budget: a policy's name may be longer than a label's value."""

MANAGED_BY = ("app.kubernetes.io/managed-by", "resilience-operator")


def is_ours(budget: PodDisruptionBudget, deployment: Deployment) -> bool:
    """True where we made the budget, and for this very Deployment."""
    labels, owners = budget.metadata.labels, budget.metadata.owner_references
    mine = labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and POLICY_LABEL in labels
    return mine and any(owner.uid == deployment.metadata.uid for owner in owners)


def ours(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets that we made for this Deployment."""
    return tuple(one for one in view.budgets if is_ours(one, view.deployment))


def foreign(view: DeploymentView) -> tuple[PodDisruptionBudget, ...]:
    """The budgets of others that select its pods."""
    return tuple(one for one in view.budgets if not is_ours(one, view.deployment))


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


def _number(limit: int | str, replicas: int, *, unreadable: int) -> int:
    if isinstance(limit, int):
        return limit
    number = limit.removesuffix("%")
    if number == limit or not (number.isascii() and number.isdigit()):
        return unreadable
    return -(-int(number) * replicas // 100)
