"""One object, evaluated: scope, opt-outs, rules and planning brought together. Pure.

Called by reconcile for the operator and by cli for a cluster and for files, so that all three say the same.
"""

from collections.abc import Iterable, Mapping

from resilience_operator.core.policy import Policy
from resilience_operator.observed.view import DeploymentView
from resilience_operator.planning.change import Decision
from resilience_operator.planning.decide import PolicyVerdict, Surroundings, decide
from resilience_operator.planning.optout import OptOut, optouts_of
from resilience_operator.planning.scope import covers
from resilience_operator.rules import evaluate


def judge(
    view: DeploymentView,
    policies: Iterable[Policy],
    around: Surroundings,
    own_namespace: str = "",
) -> Decision | None:
    """The decision about one Deployment; None where no policy covers it and we hold nothing on it."""
    verdicts = tuple(
        PolicyVerdict(policy, evaluate(policy, view), optouts(policy, view))
        for policy in policies
        if covers(policy, view, own_namespace)
    )
    if not verdicts and not view.state and not view.distrust:
        return None
    return decide(view, verdicts, around)


def optouts(policy: Policy, view: DeploymentView) -> Mapping[str, OptOut]:
    """Rule that the policy asks for -> the opt-out that holds."""
    return optouts_of(policy.deployments.rules(), view) if policy.deployments is not None else {}
