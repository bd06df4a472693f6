"""Rule `disruption-budget`: evictions take a few pods of a Deployment at once, and never none.

Called by rules.evaluate. A budget is wanted only where nobody has one: two that select one pod make every eviction
of it fail (measured). Budgets of others are judged, and never touched.
"""

from resilience_operator.core.findings import EMPTY, BudgetDemand, Finding, Skipped, Verdict
from resilience_operator.core.policy import DisruptionBudget
from resilience_operator.observed.budgets import allows_none, foreign, ours
from resilience_operator.observed.objects import HorizontalPodAutoscaler, PodDisruptionBudget
from resilience_operator.observed.view import DeploymentView
from resilience_operator.rules.eligibility import never_scaled, reported
from resilience_operator.rules.texts import DISRUPTION_BUDGET

ENOUGH = 2
"""Replicas below which a budget would protect the only one, and block every drain."""


def check(settings: DisruptionBudget, view: DeploymentView) -> Verdict:
    """Findings on the budgets that there are, or the demand for one."""
    if not view.known.budgets:
        why = "no PodDisruptionBudget was read: whether one selects its pods is unknown"
        return Verdict(skipped=(Skipped(DISRUPTION_BUDGET, view.ref, why),))
    others = foreign(view)
    if others:
        return sum((_judged(one, view) for one in others), _overlap(others, view))
    if view.deployment.replicas < ENOUGH:
        return EMPTY
    return reported(_wanted(settings, view), view, never_scaled(view))


def _wanted(settings: DisruptionBudget, view: DeploymentView) -> Verdict:
    ready = view.deployment.status.ready_replicas
    not_yet = f"it waits until {ENOUGH} replicas are ready ({ready} are)" if ready < ENOUGH else ""
    demand = BudgetDemand(DISRUPTION_BUDGET, settings.max_unavailable, not_yet)
    if ours(view):
        return Verdict(budgets=(demand,))
    message = f"no PodDisruptionBudget selects the pods of its {view.deployment.replicas} replicas"
    message += f"; {not_yet}" if not_yet and view.known.pods else ""
    return Verdict((Finding(DISRUPTION_BUDGET, "NoBudget", view.ref, message),), budgets=(demand,))


def _overlap(others: tuple[PodDisruptionBudget, ...], view: DeploymentView) -> Verdict:
    if len(others) < 2:
        return EMPTY
    names = " and ".join(one.metadata.name for one in others)
    message = f"PodDisruptionBudgets {names} select the same pods: every eviction fails, and so every drain"
    return _reported("OverlappingBudgets", message, view)


def _judged(budget: PodDisruptionBudget, view: DeploymentView) -> Verdict:
    most = max([view.deployment.replicas, *_maxima(view)])
    if view.deployment.replicas == 0 or not allows_none(budget, most):
        return EMPTY
    spec = budget.spec
    said = f"maxUnavailable {spec.max_unavailable}" if spec.max_unavailable is not None else ""
    said = said or f"minAvailable {spec.min_available}"
    message = (
        f"PodDisruptionBudget {budget.metadata.name} ({said}) never lets any of {most} pods go:"
        " every drain of their nodes blocks"
    )
    return _reported("BudgetAllowsNone", message, view)


def _maxima(view: DeploymentView) -> list[int]:
    return [one.spec.max_replicas for one in view.scalers if isinstance(one, HorizontalPodAutoscaler)]


def _reported(reason: str, message: str, view: DeploymentView) -> Verdict:
    why = "a budget of others is never changed"
    return Verdict((Finding(DISRUPTION_BUDGET, reason, view.ref, message, report_only=why),))
