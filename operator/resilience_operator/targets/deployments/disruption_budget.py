"""Rule `disruption-budget`: evictions take a few pods of a Deployment at once, and never none.

Called by rules.evaluate. A budget is wanted only where nobody has one: two that select one pod make every eviction
of it fail (measured). Budgets of others are judged, and never touched.
"""

from resilience_operator.cluster.objects.workloads import PodDisruptionBudget
from resilience_operator.core.findings import EMPTY, BudgetDemand, Finding, Skipped, Verdict
from resilience_operator.targets.workloads.budgets import (
    NONE_GOES,
    allows_none,
    counts_pods,
    covering,
    differences,
    excess,
    foreign,
    in_company,
    is_ours,
    limit_of,
    name_of,
    of_it_alone,
    ours,
    uncounted,
)
from resilience_operator.targets.workloads.eligibility import never_scaled, reported
from resilience_operator.targets.workloads.settings import DisruptionBudget
from resilience_operator.targets.workloads.sizes import minimum_of, replicas_of
from resilience_operator.targets.workloads.texts import DISRUPTION_BUDGET
from resilience_operator.targets.workloads.view import DeploymentView

ENOUGH = 2
"""Replicas from which on a budget protects anything: of one, it either lets the only pod go or blocks every drain."""


def check(settings: DisruptionBudget, view: DeploymentView) -> Verdict:
    """Findings on the budgets that there are, or the demand for one."""
    if not view.known.budgets:
        why = "no PodDisruptionBudget was read: whether one selects its pods is unknown"
        return Verdict(skipped=(Skipped(DISRUPTION_BUDGET, view.ref, why),))
    every = covering(view)
    found = sum((_judged(one, view) for one in every), _overlap(every, view))
    return found + reported(_wanted(settings, view), view, never_scaled(view))


def _wanted(settings: DisruptionBudget, view: DeploymentView) -> Verdict:
    replicas, mine = replicas_of(view), ours(view)
    if replicas == 1 or foreign(view) or (not mine and covering(view)):
        return EMPTY
    demand = BudgetDemand(DISRUPTION_BUDGET, settings.max_unavailable, _not_yet(view))
    if mine or not replicas:
        return sum((_compared(one, demand, view) for one in mine), Verdict(budgets=(demand,)))
    message = f"no PodDisruptionBudget selects the pods of its {replicas} replicas"
    never = _in_the_way(view)
    if never:
        return Verdict((Finding(DISRUPTION_BUDGET, "NoBudget", view.ref, message, report_only=never),))
    message += f"; {demand.not_yet}" if demand.not_yet and view.known.pods else ""
    return Verdict((Finding(DISRUPTION_BUDGET, "NoBudget", view.ref, message),), budgets=(demand,))


def _not_yet(view: DeploymentView) -> str:
    ready = view.deployment.status.ready_replicas
    return f"it waits until {ENOUGH} replicas are ready ({ready} are)" if ready < ENOUGH else ""


def _in_the_way(view: DeploymentView) -> str:
    """Why a budget of ours may not be made beside what there is."""
    name = name_of(view.deployment)
    if any(one.metadata.name == name for one in view.budgets):
        return f"PodDisruptionBudget {name}, which selects none of them, is somebody else's, and bears the name of ours"
    if view.sharing:
        others = " and ".join(view.sharing)
        return f"its selector selects the pods of {others} as well: with a budget each, every eviction fails"
    return in_company(view)


def _compared(budget: PodDisruptionBudget, demand: BudgetDemand, view: DeploymentView) -> Verdict:
    differs = differences(budget, view.deployment, demand.max_unavailable)
    if not differs or budget in excess(view):
        return EMPTY
    what = ", and ".join(one.what for one in differs)
    message = f"PodDisruptionBudget {budget.metadata.name}, which the operator made, has {what}"
    return Verdict((Finding(DISRUPTION_BUDGET, "BudgetDiffers", view.ref, message),))


def _overlap(every: tuple[PodDisruptionBudget, ...], view: DeploymentView) -> Verdict:
    if len(every) < 2:
        return EMPTY
    names = " and ".join(one.metadata.name for one in every)
    message = f"PodDisruptionBudgets {names} select the same pods: every eviction fails, and so every drain"
    made = " and ".join(one.metadata.name for one in excess(view))
    if not made:
        return _of_others("OverlappingBudgets", message, view)
    message += f"; to end it, delete {made}, which the operator made"
    return Verdict((Finding(DISRUPTION_BUDGET, "OverlappingBudgets", view.ref, message),))


def _judged(budget: PodDisruptionBudget, view: DeploymentView) -> Verdict:
    kept = uncounted(budget, view)
    if kept:
        message = (
            f"PodDisruptionBudget {budget.metadata.name} ({limit_of(budget)}) selects pods of {kept} as well, which no"
            f" budget can count: {NONE_GOES}, and every drain of their nodes blocks"
        )
        return _blocking(budget, message, view)
    least = minimum_of(view)
    if view.deployment.replicas == 0 or not allows_none(budget, least.pods or 1):
        return EMPTY
    name = f"PodDisruptionBudget {budget.metadata.name} ({limit_of(budget)})"
    never = f"{name} never lets any of {least.pods or replicas_of(view)} pods go: every drain of their nodes blocks"
    if not counts_pods(budget):
        return _blocking(budget, never, view)
    if least.pods is None:
        return _unknown(
            f"how far down {least.scaler} scales it is unknown, and so is whether {name} lets any go", view
        )
    if not of_it_alone(budget, view):
        return _unknown(f"{name} may select pods of others as well: whether it lets any go is unknown", view)
    if not least.scaler:
        return _blocking(budget, never, view)
    then = f"while {least.scaler} keeps its minimum of {least.pods}: every drain of their nodes blocks then"
    return _blocking(budget, f"{name} lets no pod go {then}", view)


def _blocking(budget: PodDisruptionBudget, message: str, view: DeploymentView) -> Verdict:
    if not is_ours(budget, view.deployment):
        return _of_others("BudgetAllowsNone", message, view)
    return Verdict((Finding(DISRUPTION_BUDGET, "BudgetAllowsNone", view.ref, message),))


def _unknown(why: str, view: DeploymentView) -> Verdict:
    return Verdict(skipped=(Skipped(DISRUPTION_BUDGET, view.ref, why),))


def _of_others(reason: str, message: str, view: DeploymentView) -> Verdict:
    why = "a budget of others is never changed"
    return Verdict((Finding(DISRUPTION_BUDGET, reason, view.ref, message, report_only=why),))
