"""Which configurations a policy speaks of: all of them. Used by engine/evaluate."""

from collections.abc import Mapping
from typing import Any

from resilience_operator.core.findings import Verdict
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import RuleSettings
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.webhooks.settings import Webhooks
from resilience_operator.targets.webhooks.texts import SECTION, WEBHOOK_REACH
from resilience_operator.targets.webhooks.view import WebhookView


class WebhookScope:
    """Every webhook configuration is asked the same; what is only reported, the rule itself says."""

    def asked(self, policy: Policy, view: Any, own_namespace: str) -> Mapping[str, RuleSettings]:
        """Rule -> settings of all that the policy asks of the object."""
        section = policy.sections.get(SECTION)
        if not isinstance(view, WebhookView) or not isinstance(section, Webhooks) or section.reach is None:
            return {}
        return {WEBHOOK_REACH: section.reach}

    def meant(self, policy: Policy, view: Any) -> Any:
        """The view as it is."""
        return view

    def reported(self, verdict: Verdict, view: Any) -> Verdict:
        """The verdict as it is."""
        return verdict

    def own_objects(
        self,
        view: Any,
        verdicts: tuple[PolicyVerdict, ...],
        around: Surroundings,
    ) -> OwnObjects | None:
        """Nothing of ours stands beside a configuration."""
        return None


SCOPE = WebhookScope()
