"""Deployments that select each other's pods: a budget of one would stand beside a budget of the other.

Used by views, the store and cli. Put together for one namespace at a time, for objects are looked at namespace by
namespace: to keep it for all of them would cost more memory than a Deployment itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from resilience_operator.cluster.objects.meta import Selector
from resilience_operator.cluster.objects.workloads import Deployment
from resilience_operator.cluster.selection import selects
from resilience_operator.core.refs import Key

Pair = tuple[str, str]

MANY = 64
"""Names of others that are enough to say that there are some."""
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

    def counted(self, found: Deployment) -> tuple[tuple[str, dict[str, str]], ...]:
        """(name, labels of the pods) of other Deployments that its template's wider selectors select; the first few."""
        wide = wider(found)
        if not wide:
            return ()
        self._look_at(found.metadata.namespace)
        chosen: dict[str, dict[str, str]] = {}
        for selector in wide:
            for name, labels in self._candidates(found, selector):
                if len(chosen) < MANY and name != found.metadata.name and selects(selector, labels):
                    chosen[name] = labels
        return tuple(sorted(chosen.items()))

    def _candidates(self, found: Deployment, selector: Selector) -> Iterable[tuple[str, dict[str, str]]]:
        first = _first(selector)
        if first is not None:
            return self._by_label.get(first, ())
        within = self._within(found.metadata.namespace)
        return ((each.metadata.name, each.spec.template.metadata.labels) for each in within)

    def around(self, found: Deployment) -> Iterator[Key]:
        """The Deployments of which some selector, also one to spread by, selects this one's pods."""
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
            for selector in (each.spec.selector, *wider(each)):
                by_selector[_first(selector)].append((name, selector))
        self._namespace, self._by_label, self._by_selector = namespace, dict(by_label), dict(by_selector)


def wider(found: Deployment) -> tuple[Selector, ...]:
    """The other selectors than its own by which its template spreads its pods; soft ones of podAntiAffinity as well."""
    pod, own = found.spec.template.spec, found.spec.selector
    chosen = [one.label_selector for one in pod.topology_spread_constraints]
    terms = (pod.affinity or {}).get("podAntiAffinity")
    soft = terms.get("preferredDuringSchedulingIgnoredDuringExecution") if isinstance(terms, dict) else None
    chosen += [_selector_of(one) for one in soft] if isinstance(soft, list) else []
    return tuple(one for one in chosen if one is not None and one not in (own, NOTHING))


def _selector_of(weighted: object) -> Selector | None:
    term = weighted.get("podAffinityTerm") if isinstance(weighted, dict) else None
    try:
        return msgspec.convert(term.get("labelSelector"), Selector) if isinstance(term, dict) else None
    except msgspec.ValidationError:
        return None


def _first(selector: Selector) -> Pair | None:
    return min(selector.match_labels.items(), default=None)
