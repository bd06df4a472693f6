"""EndpointSlices: which ports of a Service lead to a ready endpoint, and who keeps them.

Declared by the targets that judge Services. Of its endpoints only the number of the ready ones is kept: a slice of a
hundred costs as much as an empty one.
"""

from datetime import datetime
from sys import intern

from resilience_operator.cluster import wire
from resilience_operator.cluster.interning import share
from resilience_operator.cluster.objects.meta import Meta, Observed
from resilience_operator.core.kinds import Kind
from resilience_operator.core.target import Watched

ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True)

SERVICE_LABEL = "kubernetes.io/service-name"
KEEPER_LABEL = "endpointslice.kubernetes.io/managed-by"
OF_KUBERNETES = "endpointslice-controller.k8s.io"


class EndpointSlice(Observed, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice, projected; of its metadata neither labels nor annotations."""

    metadata: Meta
    service: str = ""
    """The Service of its Namespace that it belongs to."""
    ready: int = 0
    """How many of its endpoints are ready; one of which nothing is said counts as ready (the API's meaning)."""
    keeper: str = ""
    """The controller that keeps it, as its label says."""
    ports: tuple[str, ...] = ()
    """The names of its ports."""
    changed_at: datetime | None = None
    """When anybody changed anything of it last, as managedFields tell; None where they are silent."""

    def like(self, other: "EndpointSlice | None") -> bool:
        """True where the other says the same of the Service; how many are ready does not matter, but whether any is."""
        return other is not None and self._said() == other._said()

    def _said(self) -> tuple[object, ...]:
        return (
            self.service,
            self.ready > 0,
            self.keeper,
            self.ports,
            self.changed_at if not self.ready else None,
        )


class _Entry(wire.Wire):
    time: datetime | None = None


class _Meta(wire.Meta):
    managed_fields: tuple[_Entry, ...] = ()


class _Conditions(wire.Wire):
    ready: bool | None = None


class _Endpoint(wire.Wire):
    conditions: _Conditions | None = None

    @property
    def ready(self) -> bool:
        return self.conditions is None or self.conditions.ready is not False


class _Port(wire.Wire):
    name: str | None = None


class WireSlice(wire.Wire):
    """discovery.k8s.io/v1 EndpointSlice; both lists are null where they are empty."""

    metadata: _Meta
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


def endpoint_slice(found: WireSlice) -> EndpointSlice:
    """What is kept of an EndpointSlice."""
    meta = found.metadata
    return EndpointSlice(
        metadata=Meta(meta.name, intern(meta.namespace), meta.uid, meta.resource_version),
        service=intern(meta.labels.get(SERVICE_LABEL, "")),
        ready=sum(one.ready for one in found.endpoints or ()),
        keeper=intern(meta.labels.get(KEEPER_LABEL, "")),
        ports=share(tuple(intern(one.name or "") for one in found.ports or ())),
        changed_at=max((one.time for one in meta.managed_fields if one.time is not None), default=None),
    )


WATCHED = (Watched(ENDPOINT_SLICE, WireSlice, endpoint_slice),)
