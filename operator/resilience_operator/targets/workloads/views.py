"""Views of workloads, put together from the cache. Used by workloads/events, which keeps the relations."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from resilience_operator.cluster.argocd import Applications, named_by
from resilience_operator.cluster.cache import Cache
from resilience_operator.cluster.nodes import Nodes
from resilience_operator.cluster.objects.workloads import (
    Addon,
    AddonReading,
    ConfigMap,
    Deployment,
    Pod,
    PodDisruptionBudget,
    Scaler,
    Service,
)
from resilience_operator.cluster.selection import selects
from resilience_operator.cluster.state import believe
from resilience_operator.core.kinds import (
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    NAMESPACE,
    NODE,
    SCALERS,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.core.refs import Key, key_of
from resilience_operator.core.state import ObjectState
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.coredns.cluster_dns import (
    DNS_NAMESPACE,
    DNSNeighbours,
    is_cluster_dns,
    neighbours,
    served,
)
from resilience_operator.targets.workloads.autoscalers import autoscaler_of, scales
from resilience_operator.targets.workloads.budget_index import BudgetIndex
from resilience_operator.targets.workloads.budgets import is_ours, name_of
from resilience_operator.targets.workloads.foreign_pods import Strangers
from resilience_operator.targets.workloads.relations import Index, claims_used, scaled_by, service_selects
from resilience_operator.targets.workloads.shared_selectors import Sharing
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View, dns_first

_SCALERS: dict[str, Kind] = {kind.kind: kind for kind in SCALERS}


class ViewBuilder:
    """Makes views of the objects in `cache`, related by `index`.

    `reading`: what AWS says of the EKS add-on that keeps cluster DNS; None where it was not asked.
    """

    def __init__(self, cache: Mapping[Kind, Cache[Any]], index: Index) -> None:
        self._cache = cache
        self._index = index
        self._deployments: Cache[Deployment] = cache[DEPLOYMENT]
        self._config_maps: Cache[ConfigMap] = cache[CONFIG_MAP]
        self._budgets: Cache[PodDisruptionBudget] = cache[BUDGET]
        self._nodes: Nodes | None = None
        self.budgets = BudgetIndex()
        self.applications = Applications()
        self.sharing = Sharing(self._deployments.within)
        self.strangers = Strangers()
        self.reading: AddonReading | None = None

    def look(self, key: Key, now: datetime, server: tuple[int, int] = (1, 36)) -> View | None:
        """The view of the object with that key; None where there is none."""
        if len(key) == 2:
            return self.of_deployment(key[0], key[1], now, server)
        found = self.find(key)
        if found is None or isinstance(found, Deployment):
            return None
        if isinstance(found, Addon):
            seen = self._seen(self._deployments.get(*addons.PLACE))
            state, distrust = (seen.state, seen.distrust) if seen is not None else (ObjectState(), "")
        else:
            state, distrust = believe(found, now)
        scaled = self._scaled_views(self.scaled(found), now, server)
        return ScalerView(
            target=found,
            now=now,
            scaled=scaled[0] if scaled else None,
            scaled_too=scaled[1:],
            namespace=self._cache[NAMESPACE].get("", found.metadata.namespace),
            state=state,
            distrust=distrust,
            server=server,
            application=self.applications.of(found.ref, found.metadata)
            if not isinstance(found, Addon)
            else None,
        )

    def of_deployment(
        self, namespace: str, name: str, now: datetime, server: tuple[int, int]
    ) -> DeploymentView | None:
        """A Deployment with all that rules may look at; None where there is none."""
        view = self._view(namespace, name, now, server)
        autoscaler = autoscaler_of(view.deployment) if view is not None else None
        if view is None or autoscaler is None:
            return view
        scaled = self._scaled_views(autoscaler.deployments, now, server)
        return replace(view, scaled=scaled[0], scaled_too=scaled[1:]) if scaled else view

    def _scaled_views(
        self, keys: Iterable[Key], now: datetime, server: tuple[int, int]
    ) -> tuple[DeploymentView, ...]:
        views = (self._view(key[0], key[1], now, server) for key in dict.fromkeys(keys))
        return dns_first(each for each in views if each is not None)

    def _view(
        self, namespace: str, name: str, now: datetime, server: tuple[int, int]
    ) -> DeploymentView | None:
        found = self._deployments.get(namespace, name)
        if found is None:
            return None
        replica_sets = self._index.replica_sets_of(found)
        state, distrust = believe(found, now)
        claims = [
            self._cache[VOLUME_CLAIM].get(namespace, claim) for claim in sorted(set(claims_used(found)))
        ]
        pods = self._index.pods_of(replica_sets)
        services, autoscalers = self._index.services_of(found), self.autoscalers(found)
        budgets = self._budgets_of(found, pods)
        return DeploymentView(
            deployment=found,
            now=now,
            namespace=self._cache[NAMESPACE].get("", namespace),
            replica_sets=replica_sets,
            pods=pods,
            services=services,
            volume_claims=tuple(claim for claim in claims if claim is not None),
            nodes=self._all_nodes(),
            scalers=self._index.scalers_of(key_of(found.ref)),
            autoscalers=autoscalers,
            pretenders=self._pretenders(found, autoscalers),
            config_maps=self.parameters(autoscalers),
            addon=seen.addon if (seen := self._seen(found)) is not None else None,
            budgets=budgets,
            sharing=self.sharing.of(found),
            strangers=self.strangers.of(found),
            twins=tuple(self._twins(found, services)),
            neighbours=self.sharing.counted(found),
            dns=self._dns(found, services),
            state=state,
            distrust=distrust,
            server=server,
            application=self.applications.of(found.ref, found.metadata),
        )

    def nodes_changed(self) -> None:
        """The Nodes are to be put together anew."""
        self._nodes = None

    def find(self, key: Key) -> Deployment | Scaler | None:
        """The object with that key, or None."""
        if key == addons.KEY:
            return self.addon()
        namespace, name, *kind = key
        if kind and kind[0] not in _SCALERS:
            return None
        cache: Cache[Any] = self._cache[_SCALERS[kind[0]]] if kind else self._deployments
        found: Deployment | Scaler | None = cache.get(namespace, name)
        return found

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        yield from (key_of(found.ref) for found in self._deployments)
        for kind in SCALERS:
            yield from (key_of(found.ref) for found in self._cache[kind])
        if self.addon() is not None:
            yield addons.KEY

    def belongs(self, key: Key, applications: Collection[str]) -> bool:
        """True where the object with that key belongs to an Application of one of these names."""
        found = self.find(key)
        named = (
            named_by(found.ref, found.metadata)
            if found is not None and not isinstance(found, Addon)
            else None
        )
        return named is not None and named[1] in applications

    def addon(self) -> Addon | None:
        """The EKS add-on where there is something to decide about it, or None."""
        seen = self._seen(self._deployments.get(*addons.PLACE))
        return seen.addon if seen is not None and seen.decided_about else None

    def _seen(self, found: Deployment | None) -> addons.Seen | None:
        if found is None or (found.metadata.namespace, found.metadata.name) != addons.PLACE:
            return None
        return addons.see(found, self.reading)

    def autoscalers(self, found: Deployment) -> tuple[Deployment, ...]:
        """The Deployments of CPAs that scale this one."""
        return self._autoscalers(key_of(found.ref))

    def _autoscalers(self, key: Key) -> tuple[Deployment, ...]:
        known = (self._deployments.get(*each) for each in self._index.autoscalers_of(key))
        return tuple(each for each in known if each is not None and scales(each, key))

    def _pretenders(self, found: Deployment, believed: tuple[Deployment, ...]) -> tuple[Key, ...]:
        scaling = {key_of(each.ref) for each in believed}
        return tuple(key for key in self._index.autoscalers_of(key_of(found.ref)) if key not in scaling)

    def parameters(self, autoscalers: tuple[Deployment, ...]) -> tuple[ConfigMap, ...]:
        """The ConfigMaps from which those CPAs take their parameters."""
        described = [one for each in autoscalers if (one := autoscaler_of(each)) is not None]
        known = (self._config_maps.get(one.namespace, one.config_map) for one in described)
        return tuple(each for each in known if each is not None)

    def _budgets_of(self, found: Deployment, pods: tuple[Pod, ...]) -> tuple[PodDisruptionBudget, ...]:
        """Those that select its template or any pod that it has, of an earlier template as well; and ours of it."""
        if not len(self._budgets):
            return ()
        namespace, uid = found.metadata.namespace, found.metadata.uid
        every = [found.spec.template.metadata.labels, *(pod.metadata.labels for pod in pods)]
        distinct = {id(labels): labels for labels in every}.values()
        chosen = [one for labels in distinct for one in self.budgets.selecting(namespace, labels)]
        chosen += [one for one in self.budgets.owned_by(uid) if is_ours(one, found)]
        namesake = self._budgets.get(namespace, name_of(found))
        chosen += [namesake] if namesake is not None else []
        by_name = {one.metadata.name: one for one in chosen}
        return tuple(one for _, one in sorted(by_name.items()))

    def protected_by(self, budget: PodDisruptionBudget) -> Iterator[Key]:
        """The Deployments whose answer depends on a budget; of those that roll, earlier pods may be selected, too."""
        for one in self._deployments.within(budget.metadata.namespace):
            labels, status = one.spec.template.metadata.labels, one.status
            rolls = status.replicas != status.updated_replicas
            touched = rolls or selects(budget.spec.selector, labels) or name_of(one) == budget.metadata.name
            if touched or is_ours(budget, one):
                yield key_of(one.ref)

    def _twins(self, found: Deployment, services: tuple[Service, ...]) -> Iterator[str]:
        for service in services:
            if served((service,)):
                yield from (name for _, name in self.selected_by(service) if name != found.metadata.name)

    def _dns(self, found: Deployment, services: tuple[Service, ...]) -> DNSNeighbours | None:
        if not is_cluster_dns(found, services):
            return None
        return neighbours(self._cache[DAEMON_SET].within(DNS_NAMESPACE))

    def cluster_dns(self) -> Iterator[Key]:
        """The Deployments whose answer depends on what the nodes do with queries."""
        for each in self._deployments.within(DNS_NAMESPACE):
            if is_cluster_dns(each, self._index.services_of(each)):
                yield key_of(each.ref)

    def beside(self, found: Deployment) -> Iterator[Key]:
        """Of a CPA, what it scales and reads: it is looked at again with the CPA itself."""
        autoscaler = autoscaler_of(found)
        if autoscaler is not None:
            yield from autoscaler.claimed
            yield (autoscaler.namespace, autoscaler.config_map, CONFIG_MAP.kind)

    def judged_by(self, key: Key) -> Iterator[Key]:
        """What scales the Deployment with that key: whatever touches a Deployment may touch the answer about these.

        Also of one that is gone: of what scales nothing any more, nothing is asked.
        """
        if key == addons.PLACE and (self.reading is not None or self.addon() is not None):
            yield addons.KEY
        yield from (key_of(each.ref) for each in self._index.scalers_of(key))
        yield from self._index.autoscalers_of(key)
        yield from (key_of(each.ref) for each in self.parameters(self._autoscalers(key)))

    def scaled(self, found: Scaler) -> Iterator[Key]:
        """The Deployments that a scaler scales."""
        key = scaled_by(found)
        if key is not None:
            yield key
        if isinstance(found, ConfigMap):
            for reader in self._index.readers_of((found.metadata.namespace, found.metadata.name)):
                deployment = self._deployments.get(*reader)
                autoscaler = autoscaler_of(deployment) if deployment is not None else None
                if autoscaler is not None:
                    yield from autoscaler.deployments

    def selected_by(self, service: Service) -> Iterator[Key]:
        """The Deployments to whose pods a Service sends traffic."""
        for each in self._deployments.within(service.metadata.namespace):
            if service_selects(service, each.spec.template.metadata.labels):
                yield key_of(each.ref)

    def _all_nodes(self) -> Nodes:
        if self._nodes is None:
            self._nodes = Nodes(sorted(self._cache[NODE], key=lambda node: node.metadata.name))
        return self._nodes
