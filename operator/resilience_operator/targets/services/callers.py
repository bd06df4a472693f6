"""Who would meet a Service that leads nowhere: Ingresses, HTTPRoutes, APIServices and webhooks that point to one.

They make a finding's sentence better, and decide nothing.
"""

from collections.abc import Iterable
from sys import intern
from typing import Protocol

from msgspec import field

from resilience_operator.cluster import wire
from resilience_operator.cluster.objects.meta import Meta, Observed
from resilience_operator.core.kinds import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Watched

INGRESS = Kind("networking.k8s.io", "v1", "ingresses", "Ingress", namespaced=True)
HTTP_ROUTE = Kind(
    "gateway.networking.k8s.io",
    "v1",
    "httproutes",
    "HTTPRoute",
    namespaced=True,
    optional=True,
)
API_SERVICE = Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)

MOST = 64
"""Services of one object that are kept; whoever writes more is told of the first."""


class Calls(Protocol):
    """An object that points to Services, whichever target watches it."""

    @property
    def metadata(self) -> Meta:
        """Its name and Namespace."""
        ...

    @property
    def kind(self) -> str:
        """The word that manifests have for its kind."""
        ...

    @property
    def services(self) -> tuple[Key, ...]:
        """(namespace, name) of each."""
        ...


class Caller(Observed, frozen=True):
    """An object that points to Services, projected to that."""

    metadata: Meta
    kind: str
    services: tuple[Key, ...] = ()
    """(namespace, name) of each."""


class _Named(wire.Wire):
    name: str = ""


class _Backend(wire.Wire):
    service: _Named | None = None


class _Path(wire.Wire):
    backend: _Backend | None = None


class _HTTP(wire.Wire):
    paths: list[_Path] | None = None


class _IngressRule(wire.Wire):
    http: _HTTP | None = None


class _IngressSpec(wire.Wire):
    default_backend: _Backend | None = None
    rules: list[_IngressRule] | None = None


class WireIngress(wire.Wire):
    """networking.k8s.io/v1 Ingress."""

    metadata: wire.Meta
    spec: _IngressSpec = field(default_factory=_IngressSpec)


class _Reference(wire.Wire):
    name: str = ""
    namespace: str = ""
    group: str = ""
    kind: str = "Service"


class _RouteRule(wire.Wire):
    backend_refs: list[_Reference] | None = None


class _RouteSpec(wire.Wire):
    rules: list[_RouteRule] | None = None


class WireRoute(wire.Wire):
    """gateway.networking.k8s.io/v1 HTTPRoute."""

    metadata: wire.Meta
    spec: _RouteSpec = field(default_factory=_RouteSpec)


class _APIServiceSpec(wire.Wire):
    service: _Reference | None = None


class WireAPIService(wire.Wire):
    """apiregistration.k8s.io/v1 APIService; without a Service where the API server itself serves it."""

    metadata: wire.Meta
    spec: _APIServiceSpec = field(default_factory=_APIServiceSpec)


def ingress(found: WireIngress) -> Caller:
    """The Services of an Ingress."""
    https = [rule.http for rule in found.spec.rules or () if rule.http is not None]
    backends = [found.spec.default_backend, *(path.backend for one in https for path in one.paths or ())]
    services = [one.service for one in backends if one is not None and one.service is not None]
    named = ((found.metadata.namespace, one.name) for one in services)
    return _caller(found.metadata, INGRESS, named)


def route(found: WireRoute) -> Caller:
    """The Services of an HTTPRoute."""
    every = (one for rule in found.spec.rules or () for one in rule.backend_refs or ())
    services = (one for one in every if (one.group, one.kind) == ("", "Service"))
    namespace = found.metadata.namespace
    return _caller(found.metadata, HTTP_ROUTE, ((one.namespace or namespace, one.name) for one in services))


def api_service(found: WireAPIService) -> Caller:
    """The Service of an APIService."""
    named = found.spec.service
    return _caller(found.metadata, API_SERVICE, [(named.namespace, named.name)] if named is not None else [])


def _caller(meta: wire.Meta, kind: Kind, services: Iterable[tuple[str, str]]) -> Caller:
    kept = tuple(dict.fromkeys((intern(namespace), name) for namespace, name in services if name))[:MOST]
    return Caller(Meta(meta.name, intern(meta.namespace), meta.uid, meta.resource_version), kind.kind, kept)


WATCHED = (
    Watched(INGRESS, WireIngress, ingress),
    Watched(HTTP_ROUTE, WireRoute, route),
    Watched(API_SERVICE, WireAPIService, api_service),
)
KINDS = (*(one.kind for one in WATCHED), VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)
"""Kinds whose objects point to Services; webhook configurations are watched by another target."""


class Callers:
    """Service -> who points to it, kept up to date object by object."""

    def __init__(self) -> None:
        self._of: dict[Key, set[tuple[str, str, str]]] = {}

    def add(self, found: Calls) -> None:
        """Enter an object."""
        for key in found.services:
            self._of.setdefault(key, set()).add(_place(found))

    def remove(self, gone: Calls) -> None:
        """The opposite of `add`."""
        for key in gone.services:
            known = self._of.get(key, set())
            known.discard(_place(gone))
            if not known:
                self._of.pop(key, None)

    def of(self, namespace: str, name: str) -> tuple[str, ...]:
        """Those that point to a Service, in words, in an order that stays."""
        return tuple(
            f"{kind} {where}/{named}" if where and where != namespace else f"{kind} {named}"
            for kind, where, named in sorted(self._of.get((namespace, name), ()))
        )


def _place(found: Calls) -> tuple[str, str, str]:
    return (found.kind, found.metadata.namespace, found.metadata.name)
