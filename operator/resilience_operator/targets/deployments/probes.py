"""Rule `probes`: containers have the probes that a rollout relies on. Reported only. Called by rules.evaluate."""

from resilience_operator.core.findings import Verdict
from resilience_operator.targets.deployments.containers import lacking
from resilience_operator.targets.deployments.settings import Probes
from resilience_operator.targets.deployments.texts import PROBES
from resilience_operator.targets.workloads.view import DeploymentView


def check(settings: Probes, view: DeploymentView) -> Verdict:
    """A finding for each container without a demanded probe."""
    return lacking(PROBES, "MissingProbe", {name: f"{name}Probe" for name in settings.require}, view)
