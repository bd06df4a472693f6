"""Which Services a policy speaks of. Declared in target.py; asked by engine/evaluate."""

from collections.abc import Mapping
from typing import Any

from resilience_operator.core.findings import Verdict
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import RuleSettings
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.services.settings import Services
from resilience_operator.targets.services.texts import EMPTY_SERVICE, SECTION
from resilience_operator.targets.services.view import ServiceView


class ServiceScope:
    """Scope of the target services: of each Service whose Namespace is in scope, its one rule."""

    def asked(self, policy: Policy, view: Any, own_namespace: str) -> Mapping[str, RuleSettings]:
        """Rule -> settings of all that the policy asks of the object."""
        section = policy.sections.get(SECTION)
        if not isinstance(view, ServiceView) or not isinstance(section, Services) or section.empty is None:
            return {}
        meta = view.service.metadata
        if meta.deletion_timestamp is not None or not section.empty.namespaces.covers(meta.namespace):
            return {}
        return {EMPTY_SERVICE: section.empty}

    def meant(self, policy: Policy, view: Any) -> Any:
        """The view as it is."""
        return view

    def reported(self, verdict: Verdict, view: Any) -> Verdict:
        """The verdict as it is: the rule demands nothing."""
        return verdict

    def own_objects(
        self, view: Any, verdicts: tuple[PolicyVerdict, ...], around: Surroundings
    ) -> OwnObjects | None:
        """None: nothing of ours stands beside a Service."""
        return None


SCOPE = ServiceScope()
