"""PodDisruptionBudgets of our own: made, kept and removed beside the Deployment that they protect. Used by decide.

Two budgets that select one pod make every eviction of it fail (measured): one of ours goes at once, whatever window or
queue there is, and where nobody may write it is a finding. It belongs to one Deployment by ownerReference, and to one
policy by label; nothing of it is remembered anywhere else. A budget of a policy that is not known here is another
operator's, or of a policy that is gone: it is left as it is until it does harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilience_operator.cluster.objects.workloads import PodDisruptionBudget
from resilience_operator.core.findings import BudgetDemand
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import Conflicts, Mode
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.coredns.texts import COREDNS_BUDGET
from resilience_operator.targets.workloads.budget_changes import Wish, removal, writing
from resilience_operator.targets.workloads.budgets import (
    POLICY_LABEL,
    Difference,
    covering,
    differences,
    excess,
    foreign,
    in_company,
    name_of,
    ours,
)
from resilience_operator.targets.workloads.texts import DISRUPTION_BUDGET
from resilience_operator.targets.workloads.view import DeploymentView

BUDGET_RULES = (DISRUPTION_BUDGET, COREDNS_BUDGET)


@dataclass(frozen=True, slots=True)
class BudgetAsked:
    """What one policy says of a budget for the object; `writes`: it enforces the rule here, and may write.

    `demand` None: the rule wants no budget of ours as things are.
    """

    policy: Policy
    rule: str
    demand: BudgetDemand | None
    writes: bool
    opted_out: bool = False

    @property
    def ends_harm(self) -> bool:
        """True where a budget that does harm may be removed for it: an opt-out holds no drain up."""
        if self.writes or not self.opted_out or self.policy.suspend:
            return self.writes
        return self.policy.rule_mode(self.rule) is Mode.ENFORCE


def own_budgets(
    view: DeploymentView, verdicts: tuple[PolicyVerdict, ...], around: Surroundings
) -> OwnObjects:
    """What is to be done about our budget of this Deployment."""
    return companions_of(view, _budgets_asked(verdicts), around.directory, around.refused)


def _budgets_asked(verdicts: tuple[PolicyVerdict, ...]) -> tuple[BudgetAsked, ...]:
    return tuple(
        BudgetAsked(
            policy=one.policy,
            rule=rule,
            demand=next((demand for demand in one.verdict.budgets if demand.rule == rule), None),
            writes=one.enforces(rule),
            opted_out=rule in one.opted_out,
        )
        for one in verdicts
        for rule in one.rules
        if rule in BUDGET_RULES
    )


def companions_of(
    view: DeploymentView,
    asked: tuple[BudgetAsked, ...],
    directory: Mapping[str, Policy],
    refused: Mapping[str, str] | None = None,
) -> OwnObjects:
    """What is to be done about our budget of this Deployment; `directory`: every policy by uid.

    `refused`: rule -> why the API server refuses what it wants. What is to go is sent again all the same.
    """
    if not view.known.budgets:
        return OwnObjects()
    mine = [one for one in ours(view) if one.metadata.deletion_timestamp is None]
    wish, contested = _merged(asked, [one.metadata.labels[POLICY_LABEL] for one in mine])
    if wish is not None and wish.demand.rule in (refused or {}):
        wish = None
    changes = list(_made(view, wish)) if not ours(view) else []
    for budget in mine:
        change = _kept(view, budget, asked, directory, wanted=wish is not None)
        if change is None and wish is not None and budget not in excess(view):
            change, left = _updated(view, budget, wish, directory)
            contested |= _to_all(asked, left) if left else {}
        changes += [change] if change is not None else []
    changes += _strays(view, asked)
    return OwnObjects(tuple(changes), contested)


def _merged(
    asked: tuple[BudgetAsked, ...], holders: list[str]
) -> tuple[Wish | None, dict[tuple[str, str], str]]:
    """The demand of the highest priority; equals that disagree write nothing, as with any leaf.

    Of equals that agree it serves the one that our budget bears already, so that its label stays.
    """
    writers = [(one, one.demand) for one in asked if one.writes and one.demand is not None]
    writers.sort(
        key=lambda one: (-one[0].policy.priority, one[0].policy.uid not in holders, one[0].policy.name)
    )
    if not writers:
        return None, {}
    first, demand = writers[0]
    top = first.policy.priority
    equals = [one for one, _ in writers if one.policy.priority == top]
    split = {one.policy.name for one in equals if _limit(one) != demand.max_unavailable}
    contested = {}
    for one, wanted in writers:
        other = next((each for each in equals if _limit(each) != wanted.max_unavailable), None)
        if other is None:
            continue
        name, limit = other.policy.name, f"maxUnavailable {_limit(other)}"
        why = f"policy {name} (priority {top}) demands {limit}"
        if one.policy.priority == top:
            why = f"policy {name} has the same priority ({top}) and demands {limit}; nobody writes it"
        contested[one.policy.name, one.rule] = why
    return (None if split else Wish(first.policy, demand)), contested


def _limit(one: BudgetAsked) -> int | str | None:
    return one.demand.max_unavailable if one.demand is not None else None


def _to_all(asked: tuple[BudgetAsked, ...], why: str) -> dict[tuple[str, str], str]:
    return {(one.policy.name, one.rule): why for one in asked if one.writes}


def _made(view: DeploymentView, wish: Wish | None) -> list[Change]:
    if wish is None or view.budgets or wish.demand.not_yet:
        return []
    ref = ObjectRef(
        "policy/v1",
        "PodDisruptionBudget",
        view.deployment.metadata.namespace,
        name_of(view.deployment),
    )
    reason = f"no budget limits how many pods of {view.deployment.metadata.name} may go at once"
    return [writing(view, ref, Verb.CREATE, wish, reason)]


def _kept(
    view: DeploymentView,
    budget: PodDisruptionBudget,
    asked: tuple[BudgetAsked, ...],
    directory: Mapping[str, Policy],
    *,
    wanted: bool,
) -> Change | None:
    """The removal of our budget, None where it stays; `wanted`: another policy demands it, and takes it over."""
    holder = directory.get(budget.metadata.labels[POLICY_LABEL])
    harm = _harm(view, budget)
    if holder is not None and holder.deleting and (harm or not wanted):
        return _release(view, budget, holder, asked, harm or f"policy {holder.name} no longer asks for it")
    if harm:
        return _release(view, budget, holder, asked, harm) if _may_end(holder, asked) else None
    if holder is None:
        return None
    others = [one for one in asked if one.writes and one.demand is not None]
    if others or holder.suspend or any(_still(one) for one in asked if one.policy.uid == holder.uid):
        return None
    return _release(view, budget, holder, asked, f"policy {holder.name} no longer asks for it")


def _still(one: BudgetAsked) -> bool:
    """True where the policy that asked for our budget keeps it: it demands one, or writes nothing any more."""
    return one.demand is not None or not one.writes


def _may_end(holder: Policy | None, asked: tuple[BudgetAsked, ...]) -> bool:
    """True where a budget that does harm may be removed: in Audit, and while suspended, nothing is written."""
    if any(one.ends_harm for one in asked):
        return True
    if holder is None:
        return not asked
    return not holder.suspend and all(one.policy.uid != holder.uid for one in asked)


def _harm(view: DeploymentView, budget: PodDisruptionBudget) -> str:
    """Why our budget would stop every eviction, or protects nothing; "" where it should stay."""
    others = foreign(view)
    if others:
        return _two(others[0])
    if budget in excess(view):
        return _two(_survivor(view))
    if view.deployment.replicas == 1:
        return (
            "1 replica is left: a budget that lets it go protects nothing, and any other blocks every drain"
        )
    return in_company(view)


def _survivor(view: DeploymentView) -> PodDisruptionBudget:
    """The budget beside which those of ours that are too many go."""
    going = excess(view)
    return next((one for one in covering(view) if one not in going), going[0])


def _two(other: PodDisruptionBudget) -> str:
    return f"PodDisruptionBudget {other.metadata.name} selects the same pods: with two, every eviction fails"


def _strays(view: DeploymentView, asked: tuple[BudgetAsked, ...]) -> list[Change]:
    """Removals of budgets that we made for other Deployments, and that stop every eviction of these pods.

    Whose selector is the same, that Deployment's own decision sees it; others may select pods that it does not have.
    """
    ending = [one for one in asked if one.ends_harm]
    if not ending:
        return []
    mine, selector = ours(view), view.deployment.spec.selector
    strays = [one for one in excess(view) if one not in mine and one.spec.selector != selector]
    return [
        removal(view, one, (ending[0].policy,), ending[0].rule, _two(_survivor(view)))
        for one in strays
        if one.metadata.deletion_timestamp is None
    ]


def _updated(
    view: DeploymentView, budget: PodDisruptionBudget, wish: Wish, directory: Mapping[str, Policy]
) -> tuple[Change | None, str]:
    """The change of our budget to what is demanded, or why it is left as it is ("" where it is right)."""
    differs = differences(budget, view.deployment, wish.demand.max_unavailable)
    label, name = budget.metadata.labels[POLICY_LABEL], budget.metadata.name
    if label not in directory:
        unseen = f"PodDisruptionBudget {name} was made for policy {label}, which this operator does not see"
        way_out = f"it is left alone; kubectl resilience revert {label} removes it"
        return None, f"{unseen}: {way_out}" if differs else ""
    if not differs and label == wish.policy.uid:
        return None, ""
    edited = [one for one in differs if one.by]
    conflicts = wish.policy.conflicts_of(wish.demand.rule, budget.ref.kind) if edited else None
    if edited and conflicts is not Conflicts.TAKE_OVER:
        return None, f"{_said(tuple(edited))}; left alone, for conflicts is Report"
    reason = f"policy {wish.policy.name} demands another: it had {_said(differs)}"
    if not differs:
        reason = f"it serves policy {wish.policy.name} from now on"
    return writing(view, budget.ref, Verb.UPDATE, wish, reason, budget.metadata.resource_version), ""


def _said(differs: tuple[Difference, ...]) -> str:
    """What differs, and who set it."""
    return ", and ".join(
        f"{one.what} (set by {' and '.join(one.by)})" if one.by else one.what for one in differs
    )


def _release(
    view: DeploymentView,
    budget: PodDisruptionBudget,
    holder: Policy | None,
    asked: tuple[BudgetAsked, ...],
    why: str,
) -> Change:
    """The removal of our budget, told to its policy; to those that speak of the Deployment where that is not known."""
    uid = holder.uid if holder is not None else ""
    rules = [one.rule for one in asked if one.policy.uid == uid] or [one.rule for one in asked]
    speaking = [one.policy for one in asked if one.ends_harm] or [one.policy for one in asked]
    policies = (holder,) if holder is not None else tuple(speaking[:1])
    return removal(view, budget, policies, (rules or [BUDGET_RULES[0]])[0], why)
