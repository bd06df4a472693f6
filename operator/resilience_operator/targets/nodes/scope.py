"""Which nodes a policy speaks of, and what is to be done about their NodeStates. Named in target.py."""

from collections.abc import Mapping
from typing import Any

from resilience_operator.core.findings import Verdict
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import RuleSettings
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.own_states import own_states
from resilience_operator.targets.nodes.texts import SECTION
from resilience_operator.targets.nodes.view import NodeView
from resilience_operator.targets.nodes.wishes import selects


class NodeScope:
    """Scope of the target whose objects are Nodes."""

    def asked(self, policy: Policy, view: Any, own_namespace: str) -> Mapping[str, RuleSettings]:
        """Rule -> settings of all that the policy asks of the node."""
        if not isinstance(view, NodeView) or not selects(policy, view.node):
            return {}
        return policy.asked[SECTION]

    def meant(self, policy: Policy, view: Any) -> Any:
        """The view as it is."""
        return view

    def reported(self, verdict: Verdict, view: Any) -> Verdict:
        """The verdict as it is: the rules say themselves what is never enforced."""
        return verdict

    def own_objects(
        self, view: Any, verdicts: tuple[PolicyVerdict, ...], around: Surroundings
    ) -> OwnObjects | None:
        """What is to be done about the node's NodeState, and its condition."""
        return own_states(view, around) if isinstance(view, NodeView) else None


SCOPE = NodeScope()
