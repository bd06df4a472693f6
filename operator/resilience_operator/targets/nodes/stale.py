"""Rule `conntrack-stale`: UDP entries that lead to no endpoint, as the agent reports them (incident dns-scale-down)."""

from resilience_operator.core.findings import Finding, Occurrence, Verdict
from resilience_operator.core.plain import QUOTED, plain
from resilience_operator.targets.nodes.kinds import NodeState, PurgeStatus
from resilience_operator.targets.nodes.reporting import happened, unknown
from resilience_operator.targets.nodes.settings import Protected, StaleEntries
from resilience_operator.targets.nodes.texts import NOT_REPORTED, STALE
from resilience_operator.targets.nodes.view import NodeView

RULES_STALE = "KubeProxyRulesStale"
OF_KUBE_PROXY = "the rules are kube-proxy's: restart it on the node, and look at its log and its watch"


def check(settings: StaleEntries, view: NodeView) -> Verdict:
    """Findings on the protected Services of one node."""
    state, silent = view.nodestate, unknown(STALE, view)
    if silent is not None or state is None:
        return Verdict((silent,) if silent is not None else ())
    found = [one for each in settings.services if (one := _one(each, state, view)) is not None]
    condition = state.status.condition(RULES_STALE)
    if condition is not None and condition.status == "True":
        message = plain(condition.message or "entries came back after they were deleted")
        found.append(Finding(STALE, RULES_STALE, view.ref, message, report_only=OF_KUBE_PROXY))
    purged = tuple(_purged(one) for one in state.status.stale_entries if one.deleted and one.last_deleted_at)
    return Verdict(tuple(found), occurrences=(*happened(STALE, RULES_STALE, view), *purged))


def _one(service: Protected, state: NodeState, view: NodeView) -> Finding | None:
    name = f"{service.namespace}/{service.name}"
    told = next(
        (
            one
            for one in state.status.stale_entries
            if (one.namespace, one.name) == (service.namespace, service.name)
        ),
        None,
    )
    if told is None:
        return Finding(STALE, NOT_REPORTED, view.ref, f"its agent has not yet been told of Service {name}")
    if told.held:
        why = plain(told.message, QUOTED) or plain(told.held, QUOTED)
        return Finding(STALE, "PurgeHeld", view.ref, plain(f"nothing is deleted for Service {name}: {why}"))
    if told.left:
        message = f"{told.left} UDP entries of Service {name} lead to no endpoint"
        return Finding(STALE, "StaleEntriesLeft", view.ref, message)
    return None


def _purged(told: PurgeStatus) -> Occurrence:
    at = int(told.last_deleted_at.timestamp()) if told.last_deleted_at is not None else 0
    note = f"{told.deleted} UDP entries of Service {plain(told.namespace)}/{plain(told.name)} that led to no endpoint"
    return Occurrence(STALE, "StaleEntriesPurged", f"deleted {note} since the agent started", at)
