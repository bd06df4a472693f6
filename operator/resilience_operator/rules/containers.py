"""What the containers of a Deployment state and lack. Used by rules/probes and rules/resources.

Never enforced: a wrong probe or limit would stop what runs, so a finding names the container and its line, and the
value stays to be found by who knows the application.
"""

from collections.abc import Mapping

from resilience_operator.core.findings import Finding, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.observed.leaves import POD_SPEC
from resilience_operator.observed.objects import Container
from resilience_operator.observed.view import DeploymentView

ONLY_THE_OWNER = "only its owner knows the right value"


def lacking(rule: str, reason: str, fields: Mapping[str, str], view: DeploymentView) -> Verdict:
    """A finding for each container that does not state all of `fields` (what a policy calls it -> the API's field)."""
    findings = []
    for container in view.deployment.spec.template.spec.containers:
        stated = _stated(container)
        missing = [field for name, field in fields.items() if not stated[name]]
        if missing:
            findings.append(
                Finding(
                    rule,
                    reason,
                    view.ref,
                    f"container {container.name} has no {_and(missing)}",
                    path=Path.parse(f"{POD_SPEC}.containers[name={container.name}].{missing[0]}"),
                    report_only=ONLY_THE_OWNER,
                )
            )
    return Verdict(tuple(findings))


def _stated(container: Container) -> dict[str, bool]:
    """Which of what policies may demand a container states; a limit alone is a request as well (API defaulting)."""
    requests, limits = container.resources.requests, container.resources.limits
    return {
        "readiness": container.readiness_probe is not None,
        "liveness": container.liveness_probe is not None,
        "startup": container.startup_probe is not None,
        "cpuRequest": requests.cpu is not None or limits.cpu is not None,
        "memoryRequest": requests.memory is not None or limits.memory is not None,
        "memoryLimit": limits.memory is not None,
        "cpuLimit": limits.cpu is not None,
    }


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
