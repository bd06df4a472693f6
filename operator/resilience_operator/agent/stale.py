"""Which entries of the table are stale: decided in values, from protected Services and their endpoints. No I/O.

Called by the purge. An entry is stale if it is UDP and leads by destination NAT from an address and port of a protected
Service to one that no EndpointSlice of it lists. Listed counts as live whatever ready, serving and terminating
say: more careful than kube-proxy, which is not followed in doubt. TCP is never touched: it breaks graceful shutdown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resilience_operator.agent import conntrack
from resilience_operator.agent.conntrack import DST_NAT, UDP, Entry

Backend = tuple[bytes, int]
"""Address (4 or 16 bytes) and port of an endpoint."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A Service."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Protected:
    """A protected Service, as read from the API server."""

    name: Name
    uid: str
    addresses: frozenset[bytes] = frozenset()
    """Cluster, external and load balancer addresses."""

    ports: frozenset[int] = frozenset()
    """Its UDP ports."""

    backends: frozenset[Backend] = frozenset()
    """Every address with every UDP port that an EndpointSlice of the Service lists."""

    any_port: frozenset[bytes] = frozenset()
    """Addresses in a slice without a port number: live on each port."""

    @property
    def empty(self) -> bool:
        """No endpoint is listed at all."""
        return not self.backends and not self.any_port


@dataclass(frozen=True, slots=True)
class Stale:
    """Why entries are stale: where they lead from, and to no endpoint. Thousands of entries share one."""

    service: Name
    front: Backend
    """Address and port of the Service that the client asked for."""

    backend: Backend


@dataclass(frozen=True)
class Plan:
    """What a scan looks for in one address family."""

    fronts: Mapping[Backend, Protected]
    """The Service behind each protected address and port."""

    needles: tuple[bytes, ...]
    """One per protected address."""

    spared: frozenset[bytes] = field(default=frozenset())
    """Address and port, big endian, of every live endpoint of all of them: entries that need no second look."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing of a Service is deleted."""

    service: Name
    reason: str
    message: str


def plan(services: Iterable[Protected], family: int) -> Plan:
    """What to look for in a family. An address and port that two Services claim is looked for in neither."""
    size = 4 if family == conntrack.IPV4 else 16
    fronts: dict[Backend, Protected] = {}
    doubted: set[Backend] = set()
    live: set[bytes] = set()
    for service in services:
        for address in service.addresses:
            if len(address) != size:
                continue
            for port in service.ports:
                front = (address, port)
                if front in fronts:
                    doubted.add(front)
                fronts[front] = service
        live |= {a + p.to_bytes(2, "big") for a, p in service.backends if len(a) == size}
    known = {front: service for front, service in fronts.items() if front not in doubted}
    needles = sorted({address for address, _ in known})
    return Plan(known, tuple(conntrack.needle(address) for address in needles), frozenset(live))


def judge(entry: Entry, looked_for: Plan) -> Stale | None:
    """Why the entry is stale, or None where it is not, and in every doubt."""
    original, reply = entry.original, entry.key.reply
    front = (original.destination, original.destination_port)
    service = looked_for.fronts.get(front)
    if service is None or original.protocol != UDP or reply.protocol != UDP:
        return None
    if entry.zoned or not entry.status & DST_NAT:
        return None
    backend = (reply.source, reply.source_port)
    if reply.source == original.destination or is_live(service, backend):
        return None
    return Stale(service.name, front, backend)


def is_live(service: Protected, backend: Backend) -> bool:
    """Whether a slice of the Service lists the backend."""
    return backend in service.backends or backend[0] in service.any_port


def still_stale(found: Stale, fresh: Protected) -> bool:
    """Whether what a scan found stale is so for the Service as it was read afterwards.

    An address that the Service no longer has may be another's by now, so its entries are left alone.
    """
    known = found.front[0] in fresh.addresses and found.front[1] in fresh.ports
    return known and not is_live(fresh, found.backend)


def held(fresh: Protected | None, name: Name, *, purge_at_zero: bool) -> Hold | None:
    """Why nothing of a Service is deleted now, from what the API server said a moment ago (None: it did not answer)."""
    if fresh is None:
        return Hold(
            name, "Unconfirmed", f"{name} and its endpoints cannot be read; nothing is deleted until they can"
        )
    if fresh.empty and not purge_at_zero:
        return Hold(
            name,
            "NoEndpoints",
            f"{name} lists no endpoint: doubt, so its entries stay; onZeroEndpoints: Purge deletes them",
        )
    return None
