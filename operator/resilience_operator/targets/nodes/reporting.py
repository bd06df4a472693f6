"""What the rules on nodes have in common: what is not known is said, and a condition that began is told once."""

from resilience_operator.core.findings import Finding, Occurrence
from resilience_operator.core.plain import plain
from resilience_operator.targets.nodes.view import NodeView

_LEVELS = {"Warning": 1, "Critical": 2}


def unknown(rule: str, view: NodeView) -> Finding | None:
    """The finding that nothing is known of the node: never the same as compliant."""
    reason, message = view.silence
    return Finding(rule, reason, view.ref, message, committable=False) if reason else None


def happened(rule: str, condition: str, view: NodeView, note: str = "") -> tuple[Occurrence, ...]:
    """The Event of a condition that the agent reports as True, known by when it began, and by how bad it is."""
    status = view.nodestate.status if view.nodestate is not None and not view.silence[0] else None
    found = status.condition(condition) if status is not None else None
    if status is None or found is None or found.status != "True" or found.last_transition_time is None:
        return ()
    level = _LEVELS.get(status.table.pressure, 0) if status.table is not None and note else 0
    began = int(found.last_transition_time.timestamp()) * 10 + level
    return (Occurrence(rule, condition, plain(note or found.message), began, warning=True),)
