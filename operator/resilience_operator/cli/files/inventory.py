"""Views of the objects of files that rules judge, each with what the same files say of what stands beside it.

Used by cli/check. Pods are never read from files: where they run is a question to a cluster.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from resilience_operator.cli.files.manifests import Manifest, Takeover
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
from resilience_operator.core.refs import Key
from resilience_operator.targets.coredns.cluster_dns import (
    DNS_SERVICE,
    is_cluster_dns,
    neighbours,
)
from resilience_operator.targets.services.files import Maker, ServicesOfFiles
from resilience_operator.targets.workloads.autoscalers import Autoscaler, autoscaler_of
from resilience_operator.targets.workloads.budgets import name_of
from resilience_operator.targets.workloads.foreign_pods import Stranger, Strangers
from resilience_operator.targets.workloads.relations import scaled_by, service_selects
from resilience_operator.targets.workloads.shared_selectors import Sharing
from resilience_operator.targets.workloads.view import DeploymentView, Known, ScalerView, dns_first

Pair = tuple[str, str]


class Inventory:
    """Everything that files gave, indexed by what a Deployment needs of it.

    An object that stands in several files (overlays) is judged in each, and is one beside a Deployment: the last.
    """

    def __init__(
        self,
        manifests: Iterable[Manifest],
        takeovers: Iterable[Takeover] = (),
        beside: Iterable[tuple[str, Stranger]] = (),
        makers: Iterable[Maker] = (),
    ) -> None:
        """`beside`: namespace and pods of each controller of another kind; `makers`: what else makes pods, or may."""
        self._judged: list[Manifest] = []
        self._services: dict[tuple[str, Pair], list[Service]] = defaultdict(list)
        self._namespaces: dict[str, Namespace] = {}
        self._claims: dict[Pair, PersistentVolumeClaim] = {}
        self._scalers: dict[Key, dict[Pair, HorizontalPodAutoscaler | ScaledObject]] = defaultdict(dict)
        self._autoscalers: dict[Key, dict[Pair, None]] = defaultdict(dict)
        self._described: dict[Pair, Autoscaler] = {}
        self._rollouts: dict[Key, dict[str, None]] = defaultdict(dict)
        self._config_maps: dict[Pair, ConfigMap] = {}
        self._budgets: dict[str, dict[str, PodDisruptionBudget]] = defaultdict(dict)
        self._by_name: dict[Key, Deployment] = {}
        self._placed: dict[str, dict[str, Deployment]] = defaultdict(dict)
        self._sharing: dict[str, Sharing] = {}
        self._daemon_sets: list[DaemonSet] = []
        self._strangers = Strangers()
        self._services_of_files = ServicesOfFiles(lambda within: self._placed[within].values(), makers)
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
        self._known = Known(
            pods=False,
            services=bool(self._services),
            nodes=bool(self._nodes),
            namespaces=bool(self._namespaces),
            volume_claims=bool(self._claims),
            scalers=bool(self._scalers or self._autoscalers),
            budgets=bool(self._budgets),
            daemon_sets=bool(self._daemon_sets),
        )

    def subjects(self, now: datetime) -> Iterator[Subject]:
        """Everything that may be judged, in the order of the files."""
        for manifest in self._judged:
            spot = Spot(manifest.file, manifest.line, manifest.lines)
            match manifest.object:
                case Deployment() as found:
                    yield Subject(self._with_scaled(self._view(found, now), now), spot)
                case HorizontalPodAutoscaler() | ScaledObject() | ConfigMap() as scaler:
                    yield Subject(self._scaler_view(scaler, now), spot)
                case Service() as service:
                    around = self._namespaces.get(service.metadata.namespace)
                    yield Subject(self._services_of_files.view(service, now, around), spot)

    def _with_scaled(self, view: DeploymentView, now: datetime) -> DeploymentView:
        """The view of a CPA with the Deployments that it scales."""
        described = self._described.get(_place(view.deployment))
        scaled = self._scaled_views(described.deployments, now) if described is not None else ()
        return replace(view, scaled=scaled[0], scaled_too=scaled[1:]) if scaled else view

    def _scaler_view(self, scaler: Scaler, now: datetime) -> ScalerView:
        keys = [key] if (key := scaled_by(scaler)) else []
        if isinstance(scaler, ConfigMap):
            place = _place(scaler)
            readers = (one for one in self._described.values() if (one.namespace, one.config_map) == place)
            keys = [key for one in readers for key in one.deployments]
        scaled = [_beside(scaler, one) for one in self._scaled_views(keys, now)]
        return ScalerView(
            target=scaler,
            now=now,
            scaled=scaled[0] if scaled else None,
            scaled_too=tuple(scaled[1:]),
            namespace=self._namespaces.get(scaler.metadata.namespace),
        )

    def _scaled_views(self, keys: Iterable[Key], now: datetime) -> tuple[DeploymentView, ...]:
        known = (self._by_name[key] for key in dict.fromkeys(keys) if key in self._by_name)
        return dns_first(self._view(one, now) for one in known)

    def _add(self, manifest: Manifest) -> None:
        found = manifest.object
        match found:
            case Deployment():
                self._add_deployment(manifest, found)
            case HorizontalPodAutoscaler() | ScaledObject() | ConfigMap():
                self._add_scaler(manifest, found)
            case PodDisruptionBudget():
                self._budgets[found.metadata.namespace][found.metadata.name] = found
            case DaemonSet():
                self._daemon_sets.append(found)
            case Service():
                self._judged.append(manifest)
                # One label of the selector is enough to find the few Services that may select a pod.
                for pair in sorted(found.spec.selector.items())[:1] or [("", "")]:
                    self._services[found.metadata.namespace, pair].append(found)
            case Namespace():
                self._namespaces[found.metadata.name] = found
            case PersistentVolumeClaim():
                self._claims[found.metadata.namespace, found.metadata.name] = found

    def _add_deployment(self, manifest: Manifest, found: Deployment) -> None:
        self._judged.append(manifest)
        place = _place(found)
        self._by_name[place] = self._placed[place[0]][place[1]] = found
        described = autoscaler_of(found)
        if described is not None:
            self._described[place] = described
            for key in described.deployments:
                self._autoscalers[key][place] = None

    def _add_scaler(self, manifest: Manifest, found: Scaler) -> None:
        self._judged.append(manifest)
        if isinstance(found, ConfigMap):
            self._config_maps[_place(found)] = found
        elif not isinstance(found, Addon) and (key := scaled_by(found)):  # No file holds an add-on.
            self._scalers[key][found.ref.kind, found.metadata.name] = found

    def _view(self, found: Deployment, now: datetime) -> DeploymentView:
        place, template = _place(found), found.spec.template
        namespace, labels = place[0], template.metadata.labels
        services = tuple(
            service
            for pair in labels.items()
            for service in self._services.get((namespace, pair), ())
            if service_selects(service, labels)
        )
        names = (
            volume.persistent_volume_claim.claim_name
            for volume in template.spec.volumes
            if volume.persistent_volume_claim is not None
        )
        claims = (self._claims.get((namespace, name)) for name in names)
        every, name = self._budgets.get(namespace, {}).values(), name_of(found)
        budgets = tuple(
            one for one in every if selects(one.spec.selector, labels) or one.metadata.name == name
        )
        sharing = self._sharing.setdefault(namespace, Sharing(lambda within: self._placed[within].values()))
        readers = self._autoscalers.get(place, ())
        described = (self._described[reader] for reader in readers)
        parameters = (self._config_maps.get((one.namespace, one.config_map)) for one in described)
        return DeploymentView(
            deployment=found,
            now=now,
            scalers=tuple(one for _, one in sorted(self._scalers.get(place, {}).items())),
            autoscalers=tuple(self._by_name[reader] for reader in readers),
            config_maps=tuple(one for one in parameters if one is not None),
            rollouts=tuple(self._rollouts.get(place, ())),
            known=self._known,
            namespace=self._namespaces.get(namespace),
            services=services,
            volume_claims=tuple(claim for claim in claims if claim is not None),
            nodes=self._nodes,
            budgets=budgets,
            sharing=sharing.of(found) if self._known.budgets else (),
            strangers=self._strangers.of(found),
            twins=self._twins(place, services),
            dns=neighbours(self._daemon_sets) if is_cluster_dns(found, services) else None,
        )

    def _twins(self, place: Pair, services: Iterable[Service]) -> tuple[str, ...]:
        """Names of the other Deployments that the Service of cluster DNS selects, where it selects this one."""
        dns = next((one for one in services if _place(one) == DNS_SERVICE), None)
        if dns is None:
            return ()
        beside = (one for key, one in self._by_name.items() if key != place and key[0] == place[0])
        chosen = (one for one in beside if service_selects(dns, one.spec.template.metadata.labels))
        return tuple(one.metadata.name for one in chosen)


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
