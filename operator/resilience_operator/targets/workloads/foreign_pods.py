"""Pods of other controllers that a Deployment's selector selects as well: what a budget for it would count in.

The disruption controller asks the scale of every pod's controller, and lets no pod go while one of them has none (a
Job, a DaemonSet; finished pods count as well): pkg/controller/disruption of Kubernetes, getExpectedScale, failSafe.
Used by views, the store and cli; asked about by the rules of budgets.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.objects.meta import Selector
from resilience_operator.cluster.objects.workloads import Deployment, Pod
from resilience_operator.cluster.selection import selects
from resilience_operator.targets.workloads.shared_selectors import NOTHING

SCALED = frozenset({"ReplicaSet", "ReplicationController"})
"""Controllers whose scale is known, and whose pods are seen with their Deployment or have no budget of their own."""
NAMED = frozenset({"StatefulSet", "DaemonSet"})
"""Controllers that stay; of others, which come and go, the kind is told and not the name."""
OF_ONE_POD = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "batch.kubernetes.io/job-name",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that controllers give to one pod or one generation; nobody selects a Deployment's pods by them."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Pods that are alike: the kind of their controller, its name where it stays, and their labels."""

    kind: str
    name: str
    labels: frozenset[tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else f"a {self.kind}"

    @property
    def counted(self) -> bool:
        """True where a budget can count them: their controller has a scale."""
        return self.kind == "StatefulSet"

    def selected_by(self, selector: Selector | None) -> bool:
        """True where a selector selects them; of a file's Deployment without one, nothing is."""
        return selector != NOTHING and selects(selector, dict(self.labels))


def stranger(kind: str, name: str, labels: Mapping[str, str]) -> Stranger:
    """Pods with these labels of that controller."""
    kept = frozenset((key, text) for key, text in labels.items() if key not in OF_ONE_POD)
    return Stranger(kind, name if kind in NAMED else "", kept)


def stranger_of(pod: Pod) -> Stranger | None:
    """What a pod counts as; None where it is a ReplicaSet's, or nobody's: the controller leaves those out."""
    owner = pod.metadata.controller
    if owner is None or owner.kind in SCALED:
        return None
    return stranger(owner.kind, owner.name, pod.metadata.labels)


class Strangers:
    """By namespace, with how many pods there are of each: only the first that comes and the last that goes matter."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Stranger, int]] = {}

    def add(self, namespace: str, found: Stranger) -> bool:
        """Enter a pod; True where it is the first of its like."""
        known = self._known.setdefault(namespace, {})
        known[found] = known.get(found, 0) + 1
        return known[found] == 1

    def remove(self, namespace: str, gone: Stranger) -> bool:
        """The opposite of `add`; True where it was the last."""
        known = self._known.get(namespace, {})
        left = known.get(gone, 0) - 1
        if left > 0:
            known[gone] = left
            return False
        was = known.pop(gone, None) is not None
        if not known:
            self._known.pop(namespace, None)
        return was

    def of(self, found: Deployment) -> tuple[Stranger, ...]:
        """Those whose pods its selector selects, in an order that stays."""
        known = self._known.get(found.metadata.namespace)
        if not known:
            return ()
        chosen = (one for one in known if one.selected_by(found.spec.selector))
        return tuple(sorted(chosen, key=lambda one: (one.kind, one.name, sorted(one.labels))))


def beside(found: Stranger, deployments: Iterable[Deployment]) -> Iterator[Deployment]:
    """Those of the namespace's Deployments whose selector selects these pods."""
    return (each for each in deployments if found.selected_by(each.spec.selector))
