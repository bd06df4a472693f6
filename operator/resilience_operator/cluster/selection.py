"""Whether a label selector, as observed, selects labels. Used by observed (budgets) and rules (placement)."""

from collections.abc import Mapping

from resilience_operator.cluster.objects.meta import Selector
from resilience_operator.core.selectors import LabelSelector, Requirement


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """True where the selector selects `labels`; an absent one selects nothing, an unreadable one neither."""
    if selector is None:
        return False
    expressions = tuple(
        Requirement(item.key, item.operator, item.values) for item in selector.match_expressions
    )
    try:
        return LabelSelector(tuple(selector.match_labels.items()), expressions).matches(labels)
    except ValueError:
        return False
