"""Rule `resources`: containers say what they need and what they may take (incident one-node-pileup). Reported only.

Called by rules.evaluate.
"""

from collections.abc import Mapping

from resilience_operator.core.findings import Verdict
from resilience_operator.targets.deployments.containers import lacking
from resilience_operator.targets.deployments.settings import Resources
from resilience_operator.targets.deployments.texts import RESOURCES
from resilience_operator.targets.workloads.view import DeploymentView

_FIELDS: Mapping[str, str] = {
    "cpuRequest": "resources.requests.cpu",
    "memoryRequest": "resources.requests.memory",
    "memoryLimit": "resources.limits.memory",
    "cpuLimit": "resources.limits.cpu",
}


def check(settings: Resources, view: DeploymentView) -> Verdict:
    """A finding for each container that does not state a demanded request or limit."""
    return lacking(RESOURCES, "MissingResources", {name: _FIELDS[name] for name in settings.require}, view)
