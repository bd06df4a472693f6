"""Views of the Deployments of files, each with what the same files say of Services, Namespaces, claims and Nodes.

Used by cli/check. Pods are never read from files: where they run is a question to a cluster.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from resilience_operator.cli.judging import Spot, Subject
from resilience_operator.cli.manifests import Manifest
from resilience_operator.observed.nodes import Nodes
from resilience_operator.observed.objects import (
    Deployment,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Service,
)
from resilience_operator.observed.view import DeploymentView, Known

Pair = tuple[str, str]


class Inventory:
    """Everything that files gave, indexed by what a Deployment needs of it."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._deployments: list[Manifest] = []
        self._services: dict[tuple[str, Pair], list[Service]] = defaultdict(list)
        self._namespaces: dict[str, Namespace] = {}
        self._claims: dict[Pair, PersistentVolumeClaim] = {}
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
        )

    def subjects(self, now: datetime) -> Iterator[Subject]:
        """Every Deployment in the order of the files."""
        for manifest in self._deployments:
            assert isinstance(manifest.object, Deployment)  # noqa: S101  - for the type checker
            yield Subject(
                self._view(manifest.object, now), Spot(manifest.file, manifest.line, manifest.lines)
            )

    def _add(self, manifest: Manifest) -> None:
        found = manifest.object
        match found:
            case Deployment():
                self._deployments.append(manifest)
            case Service():
                # One label of the selector is enough to find the few Services that may select a pod.
                for pair in sorted(found.spec.selector.items())[:1]:
                    self._services[found.metadata.namespace, pair].append(found)
                if not found.spec.selector:
                    self._services[found.metadata.namespace, ("", "")].append(found)
            case Namespace():
                self._namespaces[found.metadata.name] = found
            case PersistentVolumeClaim():
                self._claims[found.metadata.namespace, found.metadata.name] = found

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
        return DeploymentView(
            deployment=found,
            now=now,
            namespace=self._namespaces.get(namespace),
            services=tuple(services),
            volume_claims=tuple(claim for claim in claims if claim is not None),
            nodes=self._nodes,
            known=self._known,
        )
