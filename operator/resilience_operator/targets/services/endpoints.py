"""Whether a Service leads to a ready endpoint, by its EndpointSlices. Pure; asked by the views and the rule."""

from collections.abc import Iterable

from resilience_operator.cluster.objects.workloads import Service, ServicePort
from resilience_operator.targets.workloads.endpoint_slices import OF_KUBERNETES, EndpointSlice

HEADLESS = "None"


def is_judged(service: Service) -> bool:
    """True where Kubernetes is to find its endpoints: it has a selector, and is no alias of another name."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: Service) -> bool:
    """True where it has no address of its own."""
    return service.spec.cluster_ip == HEADLESS


def is_empty(slices: Iterable[EndpointSlice]) -> bool:
    """True where not one endpoint is ready, whoever keeps it."""
    return not any(one.ready for one in slices)


def missing_ports(service: Service, slices: Iterable[EndpointSlice]) -> tuple[ServicePort, ...]:
    """Its ports that lead to no ready endpoint, though others may.

    The controller of Kubernetes leaves a port out of which no pod declares the name; a number it takes as it is.
    What other controllers write is theirs to say.
    """
    ready = [one for one in slices if one.ready]
    if not ready or any(one.keeper != OF_KUBERNETES for one in ready):
        return ()
    served = {name for one in ready for name in one.ports}
    return tuple(
        port for port in service.spec.ports if isinstance(port.target_port, str) and port.name not in served
    )


def leads_nowhere(service: Service, slices: tuple[EndpointSlice, ...]) -> bool:
    """True where the Service, or one of its ports, has no ready endpoint."""
    return is_judged(service) and (is_empty(slices) or bool(missing_ports(service, slices)))
