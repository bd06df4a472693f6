"""The views of webhook configurations over the cache, kept up to date by event handlers. Made by the store.

A configuration is looked at again when it changes, when another one does (their timeouts add up), when labels of a
Namespace change, or when the last endpoint of a backend becomes or ceases to be ready.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.cluster.objects.neighbours import Namespace, Service
from resilience_operator.cluster.state import believe
from resilience_operator.core.kinds import (
    MUTATING_WEBHOOKS,
    NAMESPACE,
    SERVICE,
    VALIDATING_WEBHOOKS,
    WEBHOOK_CALLS,
    Kind,
)
from resilience_operator.core.refs import Key
from resilience_operator.core.target import FailingCall, Handler
from resilience_operator.targets.webhooks.objects import ServiceReference, WebhookConfiguration
from resilience_operator.targets.webhooks.view import UNKNOWN, Backend, Chain, WebhookView, of_service
from resilience_operator.targets.workloads.endpoint_slices import ENDPOINT_SLICE, EndpointSlice

KINDS = {kind.kind: kind for kind in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)}


class WebhookViews:
    """Follows configurations, the Services and EndpointSlices of their backends, and Namespaces."""

    broad: frozenset[Kind] = frozenset()

    def __init__(self, cache: Mapping[Kind, Cache[Any]], dirty: DirtyKeys) -> None:
        self._cache = cache
        self._dirty = dirty
        self._ready: defaultdict[ServiceReference, dict[str, int]] = defaultdict(dict)
        self._down_since: dict[ServiceReference, datetime] = {}
        self._ready_since: dict[ServiceReference, datetime] = {}
        self._failing: Mapping[str, FailingCall] = {}
        self._chain: Chain | None = None
        self.handlers: dict[Kind, Handler] = {
            VALIDATING_WEBHOOKS: self._configuration_changed,
            MUTATING_WEBHOOKS: self._configuration_changed,
            ENDPOINT_SLICE: self._slice_changed,
            SERVICE: self._service_changed,
            NAMESPACE: self._namespace_changed,
            WEBHOOK_CALLS: self._calls_changed,
        }

    def subjects(self) -> Iterator[Key]:
        """The key of every webhook configuration."""
        return (_key(one) for one in self._configurations())

    def subject(self, key: Key) -> WebhookConfiguration | None:
        """The configuration with that key, or None."""
        kind = KINDS.get(key[2]) if len(key) == 3 else None
        found: WebhookConfiguration | None = self._cache[kind].get("", key[1]) if kind is not None else None
        return found

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> WebhookView | None:
        """Its view; None where there is none, or where it is another target's."""
        found = self.subject(key)
        if found is None:
            return None
        state, distrust = believe(found)
        services = {one.client_config.service for one in found.webhooks} - {None}
        return WebhookView(
            configuration=found,
            now=now,
            chain=self._known_chain(),
            failing={
                name: one for name, one in self._failing.items() if name not in self._known_chain().shared
            },
            backends={service: self._backend(service, now) for service in services if service is not None},
            state=state,
            distrust=distrust,
        )

    def widen(self, keys: set[Key], *, everything: bool) -> set[Key]:
        """These keys; all configurations where one of them changed, for the chain is another."""
        mine = everything or any(len(key) == 3 and key[2] in KINDS for key in keys)
        return keys.union(self.subjects()) if mine else keys

    def _backend(self, service: ServiceReference, now: datetime) -> Backend:
        found: Service | None = self._cache[SERVICE].get(service.namespace, service.name)
        if (alias := of_service(found)) is not None:
            return alias
        if not len(self._cache[ENDPOINT_SLICE]):
            return UNKNOWN  # not read yet: every cluster has at least that of Service kubernetes
        ready = sum(self._ready.get(service, {}).values())
        if ready:
            self._down_since.pop(service, None)
            return Backend(ready, ready_since=self._ready_since.setdefault(service, now))
        self._ready_since.pop(service, None)
        return Backend(0, down_since=self._down_since.setdefault(service, now))

    def _known_chain(self) -> Chain:
        if self._chain is None:
            namespaces = {one.metadata.name: one.metadata.labels for one in self._cache[NAMESPACE]}
            self._chain = Chain(tuple(self._configurations()), namespaces)
        return self._chain

    def _configurations(self) -> Iterator[WebhookConfiguration]:
        for kind in KINDS.values():
            yield from self._cache[kind]

    def _configuration_changed(
        self, old: WebhookConfiguration | None, new: WebhookConfiguration | None
    ) -> None:
        self._chain = None
        self._dirty.mark(_key(one) for one in (old, new) if one is not None)
        called = {webhook.client_config.service for one in self._configurations() for webhook in one.webhooks}
        for kept in (self._down_since, self._ready_since):
            for service in kept.keys() - called:
                del kept[service]

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for service in {
            one for each in (old, new) if each is not None and (one := _service(each)) is not None
        }:
            known = self._ready[service]
            was = sum(known.values())
            if old is not None and _service(old) == service:
                known.pop(old.metadata.name, None)
            if new is not None and _service(new) == service:
                known[new.metadata.name] = new.ready
            now = sum(known.values())
            if not known:
                del self._ready[service]
            (self._down_since if now else self._ready_since).pop(service, None)
            if bool(was) != bool(now) or old is None or new is None:
                self._of_service(service)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        known = new or old
        if known is not None and (old is None or new is None or old.spec.type != new.spec.type):
            self._of_service(ServiceReference(known.metadata.namespace, known.metadata.name))

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if old is None or new is None or old.metadata.labels != new.metadata.labels:
            self._chain = None
            self._dirty.mark(self.subjects())

    def _calls_changed(
        self, old: Mapping[str, FailingCall] | None, new: Mapping[str, FailingCall] | None
    ) -> None:
        self._failing = new or {}
        names = {*(old or {}), *(new or {})}
        self._dirty.mark(
            _key(one) for one in self._configurations() if any(each.name in names for each in one.webhooks)
        )

    def _of_service(self, service: ServiceReference) -> None:
        """Look again at the configurations that call it."""
        self._dirty.mark(
            _key(one)
            for one in self._configurations()
            if any(webhook.client_config.service == service for webhook in one.webhooks)
        )


def _service(found: EndpointSlice) -> ServiceReference | None:
    return ServiceReference(found.metadata.namespace, found.service) if found.service else None


def _key(found: WebhookConfiguration) -> Key:
    return ("", found.metadata.name, found.kind)
