"""One object, evaluated: scope, opt-outs, rules and the decision brought together. Pure.

Made once of the declared targets. Called by the pass for the operator and by the command line for a cluster and for
files, so that all three say the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from resilience_operator.core.findings import EMPTY, Verdict
from resilience_operator.core.target import Catalog
from resilience_operator.engine.change import Decision
from resilience_operator.engine.decide import PolicyVerdict, Surroundings, decide
from resilience_operator.engine.optout import optouts_of
from resilience_operator.engine.own_objects import NO_OWN_OBJECTS, OwnObjects
from resilience_operator.engine.view import View
from resilience_operator.policy.policy import Policy


class Scope(Protocol):
    """What a target, or several together, say of a view: which rules are asked, and what stands beside it."""

    def asked(self, policy: Policy, view: Any, own_namespace: str) -> Mapping[str, Any]:
        """Rule -> settings of all that the policy asks of the object; empty where it is another target's."""
        ...

    def meant(self, policy: Policy, view: Any) -> Any:
        """The view as the policy means it."""
        ...

    def reported(self, verdict: Verdict, view: Any) -> Verdict:
        """The verdict, with what may only be reported on this object marked as such, and not demanded."""
        ...

    def own_objects(
        self, view: Any, verdicts: tuple[PolicyVerdict, ...], around: Surroundings
    ) -> OwnObjects | None:
        """What is to be done about objects of ours beside it; None where it is another target's."""
        ...


class Evaluator:
    """Evaluates the objects of all declared targets."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._scopes: tuple[Scope, ...] = tuple(
            dict.fromkeys(target.scope for target in catalog.targets.values())
        )

    def judge(
        self, view: View, policies: Iterable[Policy], around: Surroundings, own_namespace: str = ""
    ) -> Decision | None:
        """The decision about one object; None where no policy asks anything of it and we hold nothing on it."""
        found = (self.verdict_of(policy, view, own_namespace) for policy in policies)
        verdicts = tuple(verdict for verdict in found if verdict is not None)
        if not verdicts and not view.state and not view.distrust and not view.own_objects:
            return None
        return self.decide(view, verdicts, around)

    def decide(self, view: View, verdicts: tuple[PolicyVerdict, ...], around: Surroundings) -> Decision:
        """The decision, from what the rules of every covering policy say."""
        if view.target.metadata.deletion_timestamp is not None:
            return decide(view, verdicts, around, NO_OWN_OBJECTS, self._catalog)
        beside = (scope.own_objects(view, verdicts, around) for scope in self._scopes)
        own = next((one for one in beside if one is not None), NO_OWN_OBJECTS)
        return decide(view, verdicts, around, own, self._catalog)

    def verdict_of(self, policy: Policy, view: View, own_namespace: str = "") -> PolicyVerdict | None:
        """What one policy's rules say about the object; None where it asks nothing of it."""
        for scope in self._scopes:
            asked = scope.asked(policy, view, own_namespace)
            if asked:
                verdict = scope.reported(self._check(asked, scope.meant(policy, view)), view)
                return PolicyVerdict(policy, verdict, optouts_of(asked, view, self._catalog), tuple(asked))
        return None

    def evaluate(self, asked: Mapping[str, Any], view: Any) -> Verdict:
        """The verdict of these rules, as the targets report it; opt-outs are judged elsewhere."""
        verdict = self._check(asked, view)
        for scope in self._scopes:
            verdict = scope.reported(verdict, view)
        return verdict

    def _check(self, asked: Mapping[str, Any], view: Any) -> Verdict:
        return sum(
            (self._catalog.rules[rule].check(settings, view) for rule, settings in asked.items()), EMPTY
        )
