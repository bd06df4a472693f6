"""Rule `probes`: containers have the probes that a rollout relies on. Reported only. Called by rules.evaluate."""

from resilience_operator.core.findings import Verdict
from resilience_operator.core.policy import Probes
from resilience_operator.observed.view import DeploymentView
from resilience_operator.rules.containers import lacking
from resilience_operator.rules.texts import PROBES


def check(settings: Probes, view: DeploymentView) -> Verdict:
    """A finding for each container without a demanded probe."""
    return lacking(PROBES, "MissingProbe", {name: f"{name}Probe" for name in settings.require}, view)
