"""The pods and Deployments of a Namespace by their labels: what a selector selects, and what it may be meant for.

Put together when a Service of the Namespace leads nowhere, in one walk over its pods; used by the views and files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from resilience_operator.cluster.objects.workloads import Deployment, Pod, Service
from resilience_operator.targets.services.view import Labelled
from resilience_operator.targets.workloads.foreign_pods import OF_ONE_POD
from resilience_operator.targets.workloads.relations import service_selects

_TEMPLATE_HASH = "pod-template-hash"
_OWNERS = frozenset({"DaemonSet", "Job", "StatefulSet"})
"""Controllers that people know by name; a ReplicaSet is told as its Deployment."""

Pair = tuple[str, str]
T = TypeVar("T")


@dataclass(slots=True)
class Gathered:
    """A Namespace's pods and Deployments."""

    nearby: tuple[Labelled, ...] = ()
    """Pods that are labelled alike, once, in an order that stays."""
    pods_by_label: dict[Pair, list[Pod]] = field(default_factory=dict)
    deployments_by_label: dict[Pair, list[Deployment]] = field(default_factory=dict)

    def pods(self, service: Service) -> tuple[Pod, ...]:
        """Those that a Service selects, by name."""
        few = _fewest(self.pods_by_label, service.spec.selector)
        chosen = (one for one in few if service_selects(service, one.metadata.labels))
        return tuple(sorted(chosen, key=lambda one: one.metadata.name))

    def deployments(self, service: Service) -> tuple[Deployment, ...]:
        """Those whose template a Service selects, by name."""
        few = _fewest(self.deployments_by_label, service.spec.selector)
        chosen = (one for one in few if service_selects(service, one.spec.template.metadata.labels))
        return tuple(sorted(chosen, key=lambda one: one.metadata.name))


def _fewest(index: dict[Pair, list[T]], selector: Mapping[str, str]) -> list[T]:
    """Those under the rarest label of a selector."""
    every: list[list[T]] = [index.get(pair, []) for pair in selector.items()]
    return min(every, key=len, default=[])


def gather(pods: Iterable[Pod], deployments: Iterable[Deployment]) -> Gathered:
    """A Namespace's pods and Deployments, indexed by each of their labels."""
    gathered = Gathered()
    alike: dict[frozenset[Pair], Labelled] = {}
    for deployment in sorted(deployments, key=lambda one: one.metadata.name):
        labels = deployment.spec.template.metadata.labels
        for pair in labels.items():
            gathered.deployments_by_label.setdefault(pair, []).append(deployment)
        labelled = Labelled(f"Deployment {deployment.metadata.name}", labels)
        alike.setdefault(frozenset(labels.items()), labelled)
    seen: set[int] = set()
    for pod in sorted(pods, key=lambda one: one.metadata.name):
        labels = pod.metadata.labels
        for pair in labels.items():
            gathered.pods_by_label.setdefault(pair, []).append(pod)
        if id(labels) not in seen:  # The pods of one ReplicaSet share one dict.
            seen.add(id(labels))
            kept = {key: text for key, text in labels.items() if key not in OF_ONE_POD | {_TEMPLATE_HASH}}
            if kept:
                alike.setdefault(frozenset(kept.items()), Labelled(_whose(pod), kept))
    gathered.nearby = tuple(sorted(alike.values(), key=lambda one: one.what))
    return gathered


def _whose(pod: Pod) -> str:
    owner = pod.metadata.controller
    return (
        f"{owner.kind} {owner.name}"
        if owner is not None and owner.kind in _OWNERS
        else f"pod {pod.metadata.name}"
    )
