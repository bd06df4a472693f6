"""Views of the objects of files that rules judge, each with what the same files say of what stands beside it.

Used by cli/check. Pods are never read from files: where they run is a question to a cluster.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from resilience_operator.cli.files.manifests import Manifest, Takeover
from resilience_operator.cli.files.nearness import Nearness
from resilience_operator.cli.judging import Spot, Subject
from resilience_operator.cluster.nodes import Nodes
from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    DaemonSet,
    Deployment,
    HorizontalPodAutoscaler,
    Namespace,
    Node,
    PersistentVolumeClaim,
    PodDisruptionBudget,
    ScaledObject,
    Scaler,
    Service,
)
from resilience_operator.cluster.selection import selects
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.targets.coredns.cluster_dns import (
    DNS_SERVICE,
    is_cluster_dns,
    neighbours,
)
from resilience_operator.targets.services.files import Maker, ServicesOfFiles
from resilience_operator.targets.services.view import ServiceView
from resilience_operator.targets.webhooks.files import view_of
from resilience_operator.targets.webhooks.objects import WebhookConfiguration
from resilience_operator.targets.webhooks.view import WebhookView
from resilience_operator.targets.workloads.autoscalers import Autoscaler, autoscaler_of
from resilience_operator.targets.workloads.budgets import name_of
from resilience_operator.targets.workloads.foreign_pods import Stranger, Strangers
from resilience_operator.targets.workloads.relations import scaled_by, service_selects
from resilience_operator.targets.workloads.shared_selectors import Sharing
from resilience_operator.targets.workloads.view import DeploymentView, Known, ScalerView, dns_first

Pair = tuple[str, str]
T = TypeVar("T")


class Inventory:
    """Everything that files gave, indexed by what a Deployment needs of it.

    An object that stands in several files (variants, overlays) is judged in each, and is one beside a Deployment: the
    nearest (cli/files/nearness), the last of equally near ones.
    """

    def __init__(
        self,
        manifests: Iterable[Manifest],
        takeovers: Iterable[Takeover] = (),
        beside: Iterable[tuple[str, Stranger]] = (),
        makers: Iterable[Maker] = (),
        kustomizations: Mapping[str, tuple[str, ...]] | None = None,
        *,
        complete: bool = False,
    ) -> None:
        """`beside`: namespace and pods of each controller of another kind; `kustomizations`: see Nearness.

        `makers`: what else makes pods, or may. `complete`: what is not among the manifests is not there; else nobody
        knows of a kind that was not read.
        """
        self._near = Nearness(kustomizations or {})
        self._judged: list[Manifest] = []
        self._services: dict[tuple[str, Pair], list[Manifest]] = defaultdict(list)
        self._namespaces: dict[str, Namespace] = {}
        self._claims: dict[Pair, list[Manifest]] = defaultdict(list)
        self._scalers: dict[Key, dict[Pair, list[Manifest]]] = defaultdict(lambda: defaultdict(list))
        self._autoscalers: dict[Key, dict[Pair, None]] = defaultdict(dict)
        self._described: dict[Pair, Autoscaler] = {}
        self._rollouts: dict[Key, dict[str, None]] = defaultdict(dict)
        self._config_maps: dict[Pair, list[Manifest]] = defaultdict(list)
        self._budgets: dict[str, dict[str, list[Manifest]]] = defaultdict(lambda: defaultdict(list))
        self._by_name: dict[Key, list[Manifest]] = defaultdict(list)
        self._placed: dict[str, dict[str, list[Manifest]]] = defaultdict(lambda: defaultdict(list))
        self._sharing: dict[Pair, Sharing] = {}
        self._daemon_sets: list[DaemonSet] = []
        self._webhooks: dict[ObjectRef, list[Manifest]] = defaultdict(list)
        self._by_place: dict[Pair, Service] = {}
        self._strangers = Strangers()
        self._services_of_files = ServicesOfFiles(self._every_variant, makers, complete=complete)
        for namespace, found in beside:
            self._strangers.add(namespace, found)
        for takeover in takeovers:
            self._rollouts[takeover.deployment][takeover.rollout] = None
        nodes: list[Node] = []
        for manifest in manifests:
            if isinstance(manifest.object, Node):
                nodes.append(manifest.object)
            else:
                self._add(manifest)
        self._nodes = Nodes(nodes)
        self._known, self._complete = self._kinds(complete=complete), complete

    def _kinds(self, *, complete: bool) -> Known:
        """Which kinds were read, or are known to be none."""
        return Known(
            pods=False,
            services=complete or bool(self._services),
            nodes=bool(self._nodes),
            namespaces=bool(self._namespaces),
            volume_claims=bool(self._claims),
            scalers=complete or bool(self._scalers or self._autoscalers),
            budgets=complete or bool(self._budgets),
            daemon_sets=complete or bool(self._daemon_sets),
        )

    def subjects(self, now: datetime) -> Iterator[Subject]:
        """Everything that may be judged, in the order of the files."""
        for manifest in self._judged:
            spot = Spot(manifest.file, manifest.line, manifest.lines)
            match manifest.object:
                case Deployment():
                    yield Subject(self._with_scaled(manifest, now), spot)
                case HorizontalPodAutoscaler() | ScaledObject() | ConfigMap() as scaler:
                    yield Subject(self._scaler_view(manifest, scaler, now), spot)
                case WebhookConfiguration() as configuration:
                    yield Subject(self._webhook_view(manifest, configuration, now), spot)
                case Service() as service:
                    yield Subject(self._service_view(manifest, service, now), spot)

    def _service_view(self, at: Manifest, found: Service, now: datetime) -> ServiceView:
        """The view of a Service, beside the variant that is meant of each Deployment."""
        around = self._namespaces.get(found.metadata.namespace)
        return self._services_of_files.view(found, now, around, partial(self._is_meant, at))

    def _webhook_view(self, at: Manifest, found: WebhookConfiguration, now: datetime) -> WebhookView:
        """The view of a webhook configuration, beside the nearest variant of each other one."""
        nearest = (
            found if found.ref == place else self._nearest(at, variants, WebhookConfiguration)
            for place, variants in self._webhooks.items()
        )
        return view_of(
            found,
            now,
            (one for one in nearest if one is not None),
            self._namespaces.values(),
            lambda called: self._by_place.get((called.namespace, called.name)),
            complete=self._complete,
        )

    def _every_variant(self, namespace: str) -> Iterator[Deployment]:
        """The Deployments of a namespace, from all files."""
        for variants in self._placed.get(namespace, {}).values():
            yield from map(_deployment, variants)

    def _is_meant(self, at: Manifest, found: Deployment) -> bool:
        """True unless another variant of the Deployment is nearer to that manifest."""
        variants = sorted(self._by_name[_place(found)], key=lambda one: one.object is found)
        nearest = self._near.nearest(at, variants)  # Of equally near ones the last: that one.
        return nearest is None or nearest.object is found

    def _with_scaled(self, at: Manifest, now: datetime) -> DeploymentView:
        """The view of a Deployment; of a CPA's with the Deployments that it scales."""
        view = self._view(at, now)
        described = self._described.get(_place(view.deployment))
        scaled = self._scaled_views(at, described.deployments, now) if described is not None else ()
        return replace(view, scaled=scaled[0], scaled_too=scaled[1:]) if scaled else view

    def _scaler_view(self, at: Manifest, scaler: Scaler, now: datetime) -> ScalerView:
        keys = [key] if (key := scaled_by(scaler)) else []
        if isinstance(scaler, ConfigMap):
            place = _place(scaler)
            readers = (one for one in self._described.values() if (one.namespace, one.config_map) == place)
            keys = [key for one in readers for key in one.deployments]
        scaled = [_beside(scaler, one) for one in self._scaled_views(at, keys, now)]
        return ScalerView(
            target=scaler,
            now=now,
            scaled=scaled[0] if scaled else None,
            scaled_too=tuple(scaled[1:]),
            namespace=self._namespaces.get(scaler.metadata.namespace),
        )

    def _scaled_views(self, at: Manifest, keys: Iterable[Key], now: datetime) -> tuple[DeploymentView, ...]:
        known = (self._near.nearest(at, self._by_name.get(key, ())) for key in dict.fromkeys(keys))
        return dns_first(self._view(one, now) for one in known if one is not None)

    def _add(self, manifest: Manifest) -> None:
        found = manifest.object
        match found:
            case Deployment():
                self._add_deployment(manifest, found)
            case HorizontalPodAutoscaler() | ScaledObject() | ConfigMap():
                self._add_scaler(manifest, found)
            case PodDisruptionBudget():
                self._budgets[found.metadata.namespace][found.metadata.name].append(manifest)
            case DaemonSet():
                self._daemon_sets.append(found)
            case WebhookConfiguration():
                self._judged.append(manifest)
                self._webhooks[found.ref].append(manifest)
            case Service():
                self._judged.append(manifest)
                self._by_place[found.metadata.namespace, found.metadata.name] = found
                # One label of the selector is enough to find the few Services that may select a pod.
                for pair in sorted(found.spec.selector.items())[:1] or [("", "")]:
                    self._services[found.metadata.namespace, pair].append(manifest)
            case Namespace():
                self._namespaces[found.metadata.name] = found
            case PersistentVolumeClaim():
                self._claims[found.metadata.namespace, found.metadata.name].append(manifest)

    def _add_deployment(self, manifest: Manifest, found: Deployment) -> None:
        self._judged.append(manifest)
        place = _place(found)
        self._by_name[place].append(manifest)
        self._placed[place[0]][place[1]].append(manifest)
        described = autoscaler_of(found)
        if described is not None:
            self._described[place] = described
            for key in described.claimed:
                self._autoscalers[key][place] = None

    def _add_scaler(self, manifest: Manifest, found: Scaler) -> None:
        self._judged.append(manifest)
        if isinstance(found, ConfigMap):
            self._config_maps[_place(found)].append(manifest)
        elif not isinstance(found, Addon) and (key := scaled_by(found)):  # No file holds an add-on.
            self._scalers[key][found.ref.kind, found.metadata.name].append(manifest)

    def _view(self, at: Manifest, now: datetime) -> DeploymentView:
        found = _deployment(at)
        place, namespace = _place(found), found.metadata.namespace
        services = self._services_of(at, namespace, found.spec.template.metadata.labels)
        within, scope = self._within(at), (namespace, self._near.scope(at))
        sharing = self._sharing.setdefault(scope, Sharing(within))
        claiming = self._autoscalers.get(place, ())
        readers = [one for one in claiming if place in self._described[one].deployments]
        described = (self._described[reader] for reader in readers)
        parameters = (
            self._nearest(at, self._config_maps.get((one.namespace, one.config_map), ()), ConfigMap)
            for one in described
        )
        scalers = (self._near.nearest(at, one) for _, one in sorted(self._scalers.get(place, {}).items()))
        scaling = (one.object for one in scalers if one is not None)
        autoscalers = (self._nearest(at, self._by_name[reader], Deployment) for reader in readers)
        return DeploymentView(
            deployment=found,
            now=now,
            scalers=tuple(one for one in scaling if isinstance(one, HorizontalPodAutoscaler | ScaledObject)),
            autoscalers=tuple(one for one in autoscalers if one is not None),
            pretenders=tuple(one for one in claiming if one not in readers),
            config_maps=tuple(one for one in parameters if one is not None),
            rollouts=tuple(self._rollouts.get(place, ())),
            known=self._known,
            namespace=self._namespaces.get(namespace),
            services=services,
            volume_claims=self._claims_of(at, found),
            nodes=self._nodes,
            budgets=self._budgets_of(at, found),
            sharing=sharing.of(found) if self._known.budgets else (),
            strangers=self._strangers.of(found),
            twins=self._twins(at, services),
            neighbours=sharing.counted(found),
            dns=neighbours(self._daemon_sets) if is_cluster_dns(found, services) else None,
        )

    def _services_of(self, at: Manifest, namespace: str, labels: Mapping[str, str]) -> tuple[Service, ...]:
        """The Services that select these labels, as they stand nearest."""
        by_name: dict[str, list[Manifest]] = {}
        for pair in labels.items():
            for one in self._services.get((namespace, pair), ()):
                by_name.setdefault(one.object.metadata.name, []).append(one)
        nearest = (self._nearest(at, variants, Service) for variants in by_name.values())
        return tuple(one for one in nearest if one is not None and service_selects(one, labels))

    def _budgets_of(self, at: Manifest, found: Deployment) -> tuple[PodDisruptionBudget, ...]:
        """The budgets that select its pods, or bear the name of ours, as they stand nearest."""
        labels, name = found.spec.template.metadata.labels, name_of(found)
        every = self._budgets.get(found.metadata.namespace, {}).values()
        nearest = (self._nearest(at, variants, PodDisruptionBudget) for variants in every)
        known = (one for one in nearest if one is not None)
        return tuple(one for one in known if selects(one.spec.selector, labels) or one.metadata.name == name)

    def _claims_of(self, at: Manifest, found: Deployment) -> tuple[PersistentVolumeClaim, ...]:
        """The claims that its pods mount, as they stand nearest."""
        claims = (one.persistent_volume_claim for one in found.spec.template.spec.volumes)
        places = ((found.metadata.namespace, one.claim_name) for one in claims if one is not None)
        nearest = (self._nearest(at, self._claims.get(place, ()), PersistentVolumeClaim) for place in places)
        return tuple(one for one in nearest if one is not None)

    def _nearest(self, at: Manifest, variants: Iterable[Manifest], kind: type[T]) -> T | None:
        found = self._near.nearest(at, variants)
        return found.object if found is not None and isinstance(found.object, kind) else None

    def _within(self, at: Manifest) -> Callable[[str], Iterator[Deployment]]:
        """The Deployments of a namespace that may live beside the one there."""

        def within(namespace: str) -> Iterator[Deployment]:
            for variants in self._placed.get(namespace, {}).values():
                found = self._near.nearest(at, variants)
                if found is not None:
                    yield _deployment(found)

        return within

    def _twins(self, at: Manifest, services: Iterable[Service]) -> tuple[str, ...]:
        """Names of the other Deployments that the Service of cluster DNS selects, where it selects this one."""
        place = _place(_deployment(at))
        dns = next((one for one in services if _place(one) == DNS_SERVICE), None)
        if dns is None:
            return ()
        beside = (one for one in self._within(at)(place[0]) if _place(one) != place)
        chosen = (one for one in beside if service_selects(dns, one.spec.template.metadata.labels))
        return tuple(one.metadata.name for one in chosen)


def _deployment(manifest: Manifest) -> Deployment:
    if not isinstance(manifest.object, Deployment):
        raise TypeError(f"{manifest.file}:{manifest.line} holds no Deployment")
    return manifest.object


def _place(found: Deployment | ConfigMap | Service) -> Pair:
    return (found.metadata.namespace, found.metadata.name)


def _beside(scaler: Scaler, view: DeploymentView) -> DeploymentView:
    """The view with that very scaler in the place of a namesake from another file."""
    if isinstance(scaler, ConfigMap):
        maps = tuple(scaler if each.ref == scaler.ref else each for each in view.config_maps)
        return replace(view, config_maps=maps)
    if isinstance(scaler, Addon):
        return view
    return replace(view, scalers=tuple(scaler if each.ref == scaler.ref else each for each in view.scalers))
