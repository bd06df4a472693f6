"""Deployments that select each other's pods: a budget of one would stand beside a budget of the other.

Used by views, the store and cli. Put together for one namespace at a time, for objects are looked at namespace by
namespace: to keep it for all of them would cost more memory than a Deployment itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from resilience_operator.cluster.objects.meta import Selector
from resilience_operator.cluster.objects.workloads import Deployment
from resilience_operator.cluster.selection import selects
from resilience_operator.core.refs import Key

Pair = tuple[str, str]

NOTHING = Selector()
"""No Deployment of the cluster has this selector; one of a file may lack its own."""


class Sharing:
    """Asks the known Deployments; whoever changes one says so."""

    def __init__(self, within: Callable[[str], Iterable[Deployment]]) -> None:
        """`within`: the Deployments of a namespace."""
        self._within = within
        self._namespace: str | None = None
        self._by_label: dict[Pair, list[tuple[str, dict[str, str]]]] = {}
        self._by_selector: dict[Pair | None, list[tuple[str, Selector]]] = {}

    def changed(self, namespace: str) -> None:
        """A Deployment there came, went, or has other labels or another selector."""
        if self._namespace == namespace:
            self._namespace = None

    def of(self, found: Deployment) -> tuple[str, ...]:
        """The names of the other Deployments whose pods this one's selector selects."""
        self._look_at(found.metadata.namespace)
        selector = found.spec.selector
        first = _first(selector)
        if selector == NOTHING:
            return ()
        if first is None:
            candidates = [
                (each.metadata.name, each.spec.template.metadata.labels)
                for each in self._within(found.metadata.namespace)
            ]
        else:
            candidates = self._by_label.get(first, [])
        names = (
            name for name, labels in candidates if name != found.metadata.name and selects(selector, labels)
        )
        return tuple(sorted(names))

    def around(self, found: Deployment) -> Iterator[Key]:
        """The Deployments whose selector selects this one's pods."""
        namespace, labels = found.metadata.namespace, found.spec.template.metadata.labels
        self._look_at(namespace)
        for name, selector in chain.from_iterable(
            self._by_selector.get(pair, ()) for pair in (None, *labels.items())
        ):
            if selector != NOTHING and selects(selector, labels):
                yield (namespace, name)

    def _look_at(self, namespace: str) -> None:
        if namespace == self._namespace:
            return
        by_label, by_selector = defaultdict(list), defaultdict(list)
        for each in self._within(namespace):
            name, labels = each.metadata.name, each.spec.template.metadata.labels
            for pair in labels.items():
                by_label[pair].append((name, labels))
            by_selector[_first(each.spec.selector)].append((name, each.spec.selector))
        self._namespace, self._by_label, self._by_selector = namespace, dict(by_label), dict(by_selector)


def _first(selector: Selector) -> Pair | None:
    return min(selector.match_labels.items(), default=None)
