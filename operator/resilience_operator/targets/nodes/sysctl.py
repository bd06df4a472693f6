"""Rule `conntrack-sysctl`: what each node has, beside what the policy demands (incident conntrack-full)."""

from resilience_operator.core.findings import Finding, Verdict
from resilience_operator.core.plain import QUOTED, plain
from resilience_operator.targets.nodes.kinds import SysctlStatus, WantedSysctl
from resilience_operator.targets.nodes.reporting import happened, unknown
from resilience_operator.targets.nodes.settings import Sysctls
from resilience_operator.targets.nodes.states import cores_of
from resilience_operator.targets.nodes.texts import NOT_REPORTED, SYSCTL
from resilience_operator.targets.nodes.view import NodeView
from resilience_operator.targets.nodes.wishes import wanted_of

_REPORTED = {"Contested": "SysctlContention", "Failed": "SysctlNotSet", "Refused": "SysctlNotSet"}
_LEFT = "kube-proxy's ConfigMap is its owner's, and nothing of it is written"


def check(settings: Sysctls, view: NodeView) -> Verdict:
    """Findings on the sysctls of one node, and on what kube-proxy would make of them."""
    cores = cores_of(view.node)
    wanted = wanted_of(settings, cores)
    found = [_coreless(view)] if len(wanted) < len(settings.values) else []
    silent = unknown(SYSCTL, view)
    if silent is not None:
        found.append(silent)
    else:
        found += [one for each in wanted if (one := _one(each, view)) is not None]
    found += _kube_proxy(wanted, view, cores)
    return Verdict(tuple(found), occurrences=happened(SYSCTL, "SysctlContention", view))


def _coreless(view: NodeView) -> Finding:
    message = (
        "the node does not say how many cores it has (status.capacity.cpu): a formula has no value for it"
    )
    return Finding(SYSCTL, "CoresUnknown", view.ref, message)


def _one(wanted: WantedSysctl, view: NodeView) -> Finding | None:
    status = view.nodestate.status if view.nodestate is not None else None
    told = (
        next((one for one in status.sysctls if one.name == wanted.name), None) if status is not None else None
    )
    if told is None:
        return Finding(SYSCTL, NOT_REPORTED, view.ref, f"its agent has not yet been told of {wanted.name}")
    if satisfied(wanted, told.observed):
        return None
    reason = _REPORTED.get(told.state, "SysctlDiffers")
    message = f"{wanted.name} is {_shown(told)}, not {wanted.value}"
    why = f": {plain(told.message, QUOTED)}" if told.message else ""
    return Finding(
        SYSCTL, reason, view.ref, plain(message + why), observed=told.observed, desired=wanted.value
    )


def satisfied(wanted: WantedSysctl, observed: int | None) -> bool:
    """True where the value is as demanded; a higher one is where it may only be raised."""
    if observed is None:
        return False
    return observed == wanted.value or (wanted.direction == "RaiseOnly" and observed > wanted.value)


def _shown(told: SysctlStatus) -> str:
    return "not readable" if told.observed is None else str(told.observed)


def _kube_proxy(wanted: tuple[WantedSysctl, ...], view: NodeView, cores: int) -> list[Finding]:
    """One finding that names each sysctl that kube-proxy makes another one whenever it starts, and who wins."""
    proxy = view.kube_proxy
    if proxy is None:
        return []
    written = proxy.writes(view.node, cores)
    against = [one for one in wanted if one.name in written and not satisfied(one, written[one.name])]
    if not against:
        return []
    values = ", ".join(f"{one.name} {written[one.name]} (demanded: {one.value})" for one in against[:2])
    more = f" and {len(against) - 2} more" if len(against) > 2 else ""
    asked = {one.name for one in view.nodestate.spec.sysctls} if view.nodestate is not None else set()
    kept = all(one.name in asked for one in against)
    winner = "the agent wins, within 5 s of its start" if kept else "kube-proxy wins until a policy enforces"
    way_out = "0 in its section conntrack leaves a sysctl alone"
    message = f"kube-proxy writes {values}{more} at each start ({proxy.place}): {winner}; {way_out}"
    return [Finding(SYSCTL, "KubeProxyRewrites", view.ref, plain(message), report_only=_LEFT)]
