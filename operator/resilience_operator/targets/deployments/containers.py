"""What the containers of a Deployment state and lack. Used by deployments/probes and deployments/resources.

Never enforced: a wrong probe or limit would stop what runs, so a finding names the container and its line, and the
value stays to be found by who knows the application.
"""

from collections.abc import Mapping

from resilience_operator.cluster.leaves import POD_SPEC
from resilience_operator.cluster.objects.workloads import Container, ResourceRequirements
from resilience_operator.core.findings import Finding, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.targets.deployments.serving import works_alone
from resilience_operator.targets.workloads.view import DeploymentView

ONLY_THE_OWNER = "only its owner knows the right value"


def lacking(rule: str, reason: str, fields: Mapping[str, str], view: DeploymentView) -> Verdict:
    """A finding for each container that does not state all of `fields` (what a policy calls it -> the API's field)."""
    findings, pod = [], view.deployment.spec.template.spec
    for container in pod.containers:
        stated = _probes(container) | _resources(container.resources, pod.resources)
        missing = [
            field
            for name, field in fields.items()
            if not (stated[name] or (name == "readiness" and works_alone(container, view)))
        ]
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


def _probes(container: Container) -> dict[str, bool]:
    """Which probes a container has."""
    return {
        "readiness": container.readiness_probe is not None,
        "liveness": container.liveness_probe is not None,
        "startup": container.startup_probe is not None,
    }


def _resources(*stated: ResourceRequirements) -> dict[str, bool]:
    """Which of what policies may demand a container states, or its pod for all of them (KEP-2837).

    A limit alone is a request as well (API defaulting).
    """
    cpu_limit = any(one.limits.cpu is not None for one in stated)
    memory_limit = any(one.limits.memory is not None for one in stated)
    return {
        "cpuRequest": cpu_limit or any(one.requests.cpu is not None for one in stated),
        "memoryRequest": memory_limit or any(one.requests.memory is not None for one in stated),
        "memoryLimit": memory_limit,
        "cpuLimit": cpu_limit,
    }


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
