"""Rule `conntrack-pressure`: a table that fills, as the agent judges it (incident conntrack-full). Reported only."""

from resilience_operator.core.findings import EMPTY, Finding, Verdict
from resilience_operator.targets.nodes.kinds import Table
from resilience_operator.targets.nodes.reporting import happened, unknown
from resilience_operator.targets.nodes.settings import Pressure
from resilience_operator.targets.nodes.texts import PRESSURE, TEXTS
from resilience_operator.targets.nodes.view import NodeView

CONDITION = "ConntrackPressure"
TRAFFIC = "what fills the table is traffic: conntrack-sysctl gives it room, or shorter timeouts"


def check(settings: Pressure, view: NodeView) -> Verdict:
    """A finding where the node's table fills, or where nobody knows."""
    silent = unknown(PRESSURE, view)
    if silent is not None:
        return Verdict((silent,))
    status = view.nodestate.status if view.nodestate is not None else None
    table = status.table if status is not None else None
    if status is None or table is None or table.pressure not in ("Warning", "Critical"):
        return EMPTY
    condition = status.condition(CONDITION)
    said = condition.reason if condition is not None else ""
    reason = said if said in TEXTS[PRESSURE].reasons else "AsExpected"
    finding = Finding(PRESSURE, reason, view.ref, sentence(table), report_only=TRAFFIC)
    return Verdict((finding,), occurrences=happened(PRESSURE, CONDITION, view, sentence(table)))


def sentence(table: Table) -> str:
    """How full it is, and when it will be: `192125 of 262144 entries (73 %), 9000 more a minute: full in 7 min`."""
    if table.entries is None or table.limit is None:
        return "the node's table of connections fills; how full it is was not counted"
    share = f" ({100 * table.entries // table.limit} %)" if table.limit else ""
    trend = f", {table.entries_per_minute} more a minute" if table.entries_per_minute > 0 else ""
    full = f": full in {table.minutes_to_full} min" if table.minutes_to_full is not None else ""
    lost = f"; {table.drops} packets dropped" if table.drops else ""
    return f"{table.entries} of {table.limit} entries{share}{trend}{full}{lost}"
