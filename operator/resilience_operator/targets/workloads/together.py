"""Deployments whose pods one budget selects: together they say how many of them may go.

Used by views, the store and cli. Asked for where a budget alone would let none of one Deployment's pods go, and no
further than it takes to know better. Names are kept by label, a namespace at a time, as in workloads/shared_selectors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from resilience_operator.cluster.objects.meta import Selector
from resilience_operator.cluster.objects.workloads import Deployment, PodDisruptionBudget
from resilience_operator.cluster.selection import selects
from resilience_operator.core.refs import Key
from resilience_operator.targets.workloads.budget_index import BudgetIndex
from resilience_operator.targets.workloads.budgets import allows_none, counts_pods

Pair = tuple[str, str]


class Together:
    """Asks the known Deployments; whoever changes the labels of one says so."""

    def __init__(
        self, within: Callable[[str], Iterable[Deployment]], get: Callable[[str, str], Deployment | None]
    ) -> None:
        """`within`: the Deployments of a namespace. `get`: the one of that namespace and name."""
        self._within = within
        self._get = get
        self._namespace: str | None = None
        self._names: dict[Pair, list[str]] = {}

    def changed(self, namespace: str) -> None:
        """A Deployment there came, went, or has pods with other labels."""
        if self._namespace == namespace:
            self._namespace = None

    def beside(self, found: Deployment, budgets: Iterable[PodDisruptionBudget]) -> list[Deployment]:
        """The other Deployments that it takes to say whether one of these budgets lets any pod go, by name."""
        needed: dict[str, Deployment] = {}
        for budget in budgets:
            needed |= {one.metadata.name: one for one in self._needed(found, budget)}
        return [one for _, one in sorted(needed.items())]

    def around(self, resized: Sequence[Deployment], budgets: BudgetIndex) -> Iterator[Key]:
        """The Deployments that share a budget with one of these, where its answer may be another now.

        `resized`: those, as they were and are, whose number of pods, or what limits it, changed.
        """
        theirs = {(one.metadata.namespace, one.metadata.name) for one in resized}
        touched = {
            (budget.metadata.namespace, budget.metadata.name): budget
            for one in resized
            for budget in budgets.selecting(one.metadata.namespace, one.spec.template.metadata.labels)
            if counts_pods(budget)
        }
        for (namespace, _), budget in sorted(touched.items()):
            if not self._enough_without(theirs, budget):
                chosen = self._selected(namespace, budget.spec.selector)
                yield from ((namespace, one.metadata.name) for one in chosen)

    def _needed(self, found: Deployment, budget: PodDisruptionBudget) -> Iterator[Deployment]:
        """Spec.replicas is the least that may be there: where it is enough, no scaler has to be asked."""
        pods = found.replicas
        if not pods or not counts_pods(budget) or not allows_none(budget, pods):
            return
        for one in self._selected(found.metadata.namespace, budget.spec.selector):
            if one.metadata.name != found.metadata.name:
                yield one
                pods += one.replicas
                if not allows_none(budget, pods):
                    return

    def _enough_without(self, theirs: set[tuple[str, str]], budget: PodDisruptionBudget) -> bool:
        """True where the budget lets some go, however many pods these have: before as after."""
        pods, namespace = 0, budget.metadata.namespace
        for one in self._selected(namespace, budget.spec.selector):
            pods += 0 if (namespace, one.metadata.name) in theirs else one.replicas
            if not allows_none(budget, pods):
                return True
        return False

    def _selected(self, namespace: str, selector: Selector | None) -> Iterator[Deployment]:
        first = min(selector.match_labels.items(), default=None) if selector is not None else None
        if first is None:
            candidates = self._within(namespace)
        else:
            self._look_at(namespace)
            known = (self._get(namespace, name) for name in self._names.get(first, ()))
            candidates = (one for one in known if one is not None)
        return (one for one in candidates if selects(selector, one.spec.template.metadata.labels))

    def _look_at(self, namespace: str) -> None:
        if namespace == self._namespace:
            return
        names: dict[Pair, list[str]] = {}
        for one in self._within(namespace):
            for pair in one.spec.template.metadata.labels.items():
                names.setdefault(pair, []).append(one.metadata.name)
        self._namespace, self._names = namespace, names
