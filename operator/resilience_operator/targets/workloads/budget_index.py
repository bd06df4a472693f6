"""Which budgets may select pods with some labels, or belong to a Deployment: found without looking at all of them.

Kept by the store, asked by views: a namespace may have as many budgets as Deployments.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from resilience_operator.cluster.objects.workloads import PodDisruptionBudget
from resilience_operator.cluster.selection import selects

K = TypeVar("K")
Entry = dict[str, PodDisruptionBudget]
ANY = ("", "")
"""In place of a label: a selector without matchLabels may select anything."""


class BudgetIndex:
    """By namespace and the first pair of matchLabels, which all that is selected must bear; and by owner."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str, str], Entry] = {}
        self._owned: dict[str, Entry] = {}

    def add(self, found: PodDisruptionBudget) -> None:
        """Enter a budget."""
        self._pairs.setdefault(_pair(found), {})[found.metadata.name] = found
        for owner in found.metadata.owner_references:
            self._owned.setdefault(owner.uid, {})[found.metadata.name] = found

    def remove(self, gone: PodDisruptionBudget) -> None:
        """The opposite of `add`."""
        _leave(self._pairs, _pair(gone), gone.metadata.name)
        for owner in gone.metadata.owner_references:
            _leave(self._owned, owner.uid, gone.metadata.name)

    def owned_by(self, uid: str) -> Iterable[PodDisruptionBudget]:
        """Those that bear an ownerReference to it."""
        return self._owned.get(uid, {}).values()

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> list[PodDisruptionBudget]:
        """Those of the namespace that select pods with these labels."""
        found = []
        for pair in (*labels.items(), ANY):
            entry = self._pairs.get((namespace, *pair), {})
            found += [each for each in entry.values() if selects(each.spec.selector, labels)]
        return found


def _pair(budget: PodDisruptionBudget) -> tuple[str, str, str]:
    selector = budget.spec.selector
    first = min(selector.match_labels.items(), default=ANY) if selector is not None else ANY
    return (budget.metadata.namespace, *first)


def _leave(index: dict[K, Entry], key: K, name: str) -> None:
    entry = index.get(key, {})
    entry.pop(name, None)
    if not entry:
        index.pop(key, None)
