"""One object, evaluated: scope, opt-outs, rules and planning brought together. Pure.

Called by reconcile for the operator and by cli for a cluster and for files, so that all three say the same.
"""

from collections.abc import Iterable

from resilience_operator.core.policy import Policy
from resilience_operator.observed.budgets import ours
from resilience_operator.observed.view import DeploymentView, View
from resilience_operator.planning.change import Decision
from resilience_operator.planning.decide import PolicyVerdict, Surroundings, decide
from resilience_operator.planning.optout import optouts_of
from resilience_operator.planning.scope import asked_of, meant
from resilience_operator.rules import evaluate


def judge(
    view: View,
    policies: Iterable[Policy],
    around: Surroundings,
    own_namespace: str = "",
) -> Decision | None:
    """The decision about one object; None where no policy asks anything of it and we hold nothing on it."""
    verdicts = tuple(
        verdict for policy in policies if (verdict := verdict_of(policy, view, own_namespace)) is not None
    )
    mine = isinstance(view, DeploymentView) and ours(view)
    if not verdicts and not view.state and not view.distrust and not mine:
        return None
    return decide(view, verdicts, around)


def verdict_of(policy: Policy, view: View, own_namespace: str = "") -> PolicyVerdict | None:
    """What one policy's rules say about the object; None where it asks nothing of it."""
    asked = asked_of(policy, view, own_namespace)
    if not asked:
        return None
    return PolicyVerdict(policy, evaluate(asked, meant(policy, view)), optouts_of(asked, view), tuple(asked))
