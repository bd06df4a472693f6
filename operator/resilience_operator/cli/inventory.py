"""Views of the objects of files that rules judge, each with what the same files say of what stands beside it.

Used by cli/check. Pods are never read from files: where they run is a question to a cluster.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from resilience_operator.cli.judging import Spot, Subject
from resilience_operator.cli.manifests import Manifest
from resilience_operator.core.refs import Key, key_of
from resilience_operator.observed.autoscalers import autoscaler_of
from resilience_operator.observed.index import scaled_by
from resilience_operator.observed.nodes import Nodes
from resilience_operator.observed.objects import (
    Addon,
    ConfigMap,
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
from resilience_operator.observed.selection import selects
from resilience_operator.observed.view import DeploymentView, Known, ScalerView

Pair = tuple[str, str]


class Inventory:
    """Everything that files gave, indexed by what a Deployment needs of it."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._judged: list[Manifest] = []
        self._services: dict[tuple[str, Pair], list[Service]] = defaultdict(list)
        self._namespaces: dict[str, Namespace] = {}
        self._claims: dict[Pair, PersistentVolumeClaim] = {}
        self._scalers: dict[Key, list[HorizontalPodAutoscaler | ScaledObject]] = defaultdict(list)
        self._autoscalers: dict[Key, list[Deployment]] = defaultdict(list)
        self._config_maps: dict[Pair, ConfigMap] = {}
        self._budgets: dict[str, list[PodDisruptionBudget]] = defaultdict(list)
        self._by_name: dict[Key, Deployment] = {}
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
            budgets=bool(self._budgets),
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

    def _with_scaled(self, view: DeploymentView, now: datetime) -> DeploymentView:
        """The view of a CPA with the Deployment that it scales."""
        keys = self._scaled_by_autoscaler(view.deployment)
        scaled = next((self._by_name[key] for key in keys if key in self._by_name), None)
        return view if scaled is None else replace(view, scaled=self._view(scaled, now))

    def _scaler_view(self, scaler: Scaler, now: datetime) -> ScalerView:
        keys = [key] if (key := scaled_by(scaler)) else []
        for readers in self._autoscalers.values() if isinstance(scaler, ConfigMap) else ():
            for reader in readers:
                described = autoscaler_of(reader)
                if described and (described.namespace, described.config_map) == key_of(scaler.ref)[:2]:
                    keys += self._scaled_by_autoscaler(reader)
        scaled = next((self._by_name[key] for key in keys if key in self._by_name), None)
        return ScalerView(
            target=scaler,
            now=now,
            scaled=self._view(scaled, now) if scaled is not None else None,
            namespace=self._namespaces.get(scaler.metadata.namespace),
        )

    def _scaled_by_autoscaler(self, found: Deployment) -> list[Key]:
        described = autoscaler_of(found)
        if described is None:
            return []
        return [(described.namespace, name) for kind, name in described.targets if kind == "deployment"]

    def _add(self, manifest: Manifest) -> None:
        found = manifest.object
        match found:
            case Deployment():
                self._add_deployment(manifest, found)
            case HorizontalPodAutoscaler() | ScaledObject() | ConfigMap():
                self._add_scaler(manifest, found)
            case PodDisruptionBudget():
                self._budgets[found.metadata.namespace].append(found)
            case Service():
                # One label of the selector is enough to find the few Services that may select a pod.
                for pair in sorted(found.spec.selector.items())[:1] or [("", "")]:
                    self._services[found.metadata.namespace, pair].append(found)
            case Namespace():
                self._namespaces[found.metadata.name] = found
            case PersistentVolumeClaim():
                self._claims[found.metadata.namespace, found.metadata.name] = found

    def _add_deployment(self, manifest: Manifest, found: Deployment) -> None:
        self._judged.append(manifest)
        self._by_name[key_of(found.ref)] = found
        for key in self._scaled_by_autoscaler(found):
            self._autoscalers[key].append(found)

    def _add_scaler(self, manifest: Manifest, found: Scaler) -> None:
        key = scaled_by(found)
        if isinstance(found, ConfigMap):
            if found.data:
                self._judged.append(manifest)
                self._config_maps[found.metadata.namespace, found.metadata.name] = found
            return
        self._judged.append(manifest)
        if key is not None and not isinstance(found, Addon):  # No file holds an add-on.
            self._scalers[key].append(found)

    def _view(self, found: Deployment, now: datetime) -> DeploymentView:
        namespace, template = found.metadata.namespace, found.spec.template
        services = (
            service
            for pair in template.metadata.labels.items()
            for service in self._services.get((namespace, pair), ())
        )
        names = (
            volume.persistent_volume_claim.claim_name
            for volume in template.spec.volumes
            if volume.persistent_volume_claim is not None
        )
        claims = (self._claims.get((namespace, name)) for name in names)
        autoscalers = self._autoscalers.get(key_of(found.ref), ())
        described = [one for each in autoscalers if (one := autoscaler_of(each)) is not None]
        parameters = (self._config_maps.get((one.namespace, one.config_map)) for one in described)
        budgets = self._budgets.get(namespace, ())
        return DeploymentView(
            deployment=found,
            now=now,
            namespace=self._namespaces.get(namespace),
            services=tuple(services),
            volume_claims=tuple(claim for claim in claims if claim is not None),
            nodes=self._nodes,
            scalers=tuple(self._scalers.get(key_of(found.ref), ())),
            autoscalers=tuple(autoscalers),
            config_maps=tuple(one for one in parameters if one is not None),
            budgets=tuple(one for one in budgets if selects(one.spec.selector, template.metadata.labels)),
            known=self._known,
        )
