"""Which containers of a Deployment serve the ports of its Services. Used by deployments/graceful_shutdown.

Init containers, also those that go on running as sidecars, are left alone: they stop after the containers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from resilience_operator.cluster.objects.workloads import Container, Service, ServicePort
from resilience_operator.targets.workloads.view import DeploymentView

_METRICS = re.compile(r"\b(?:metrics|prometheus|prom|telemetry)\b")
"""In the names of ports that are there for a scraper, such as http-metrics."""
_FOR_METRICS = re.compile(r"(?:^|-)(?:metrics|telemetry)$")
"""A Service that is there for one; metrics-server and prometheus serve others."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The serving containers in the pod's order, and a sentence for each port that none declares."""

    containers: tuple[Container, ...]
    unknown: tuple[str, ...] = ()


def exposed(view: DeploymentView) -> tuple[Service, ...]:
    """The Services that send the Deployment's pods requests; one without a selector selects nothing.

    One that only Prometheus looks at is none of them: a scrape that is missed is missed by nobody.
    """
    labels = view.deployment.spec.template.metadata.labels
    return tuple(
        service
        for service in view.services
        if service.metadata.namespace == view.deployment.metadata.namespace
        and service.spec.selector
        and service.spec.type != "ExternalName"
        and not all(_for_metrics(port, service) for port in service.spec.ports or (ServicePort(),))
        and all(labels.get(key) == value for key, value in service.spec.selector.items())
    )


def works_alone(container: Container, view: DeploymentView) -> bool:
    """True where nobody can ask anything of a container, so that it need not say when it is ready to answer."""
    return not container.ports and not (exposed(view) and container in serving(view).containers)


def serving(view: DeploymentView) -> Serving:
    """The containers behind the Services' ports; every container where no Service selects the pods."""
    pod = view.deployment.spec.template.spec
    services = exposed(view)
    if not services:
        return Serving(pod.containers)
    targets = _targets(services)
    names = {
        container.name
        for container in pod.containers
        if any(_declares(container, target) for target in targets)
    }
    unknown = []
    for target, service in targets.items():
        if any(_declares(container, target) for container in (*pod.containers, *pod.init_containers)):
            continue
        if isinstance(target, int) and len(pod.containers) == 1:
            names.add(pod.containers[0].name)
        else:
            unknown.append(f"Service {service} targets port {target}, which no container declares")
    return Serving(
        tuple(container for container in pod.containers if container.name in names), tuple(unknown)
    )


def _for_metrics(port: ServicePort, service: Service) -> bool:
    """True where a port is there for metrics, by its own name or its target's, or else by the Service's."""
    named = [name for name in (port.name, port.target_port) if isinstance(name, str) and name]
    return bool(_METRICS.search(" ".join(named)) if named else _FOR_METRICS.search(service.metadata.name))


def _targets(services: Iterable[Service]) -> dict[int | str, str]:
    """Port number or name -> the first Service that targets it, in the order of names."""
    targets: dict[int | str, str] = {}
    for service in sorted(services, key=lambda service: service.metadata.name):
        for port in service.spec.ports:
            if _for_metrics(port, service):
                continue
            targets.setdefault(_target(port.target_port, port.port), service.metadata.name)
    return targets


def _target(target: int | str | None, port: int) -> int | str:
    """The port itself where nothing is said; 0 and "" are how an absent one may be written."""
    return target or port


def _declares(container: Container, target: int | str) -> bool:
    return any(target in (port.container_port, port.name) for port in container.ports)
