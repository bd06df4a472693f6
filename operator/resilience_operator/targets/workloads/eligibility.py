"""Why a Deployment is reported and never changed: our own rollout would remove capacity or risk data.

Common to all rules of section `deployments`; each rule ends in `settle`.
"""

from collections.abc import Callable
from dataclasses import replace

from resilience_operator.cluster.objects.workloads import RollingUpdate
from resilience_operator.core.findings import Demand, Verdict
from resilience_operator.core.numbers import whole_number
from resilience_operator.core.paths import Path
from resilience_operator.core.state import Held
from resilience_operator.targets.workloads.placement import eligible, room_for_surge
from resilience_operator.targets.workloads.sizes import replicas_of
from resilience_operator.targets.workloads.view import DeploymentView, View

DEFAULT_LIMIT = "25%"
"""The API server's default of maxUnavailable and maxSurge."""


def never_enforced(view: DeploymentView) -> str:
    """The sentence why this Deployment is never changed; "" where it may be."""
    return next((why for doubt in _DOUBTS if (why := doubt(view))), "")


def never_scaled(view: DeploymentView) -> str:
    """The sentence why this Deployment's number of replicas is never changed; "" where it may be."""
    return _controlled(view) or _recreate(view) or _single_attach(view)


def single_by_design(view: DeploymentView) -> bool:
    """True where its owner saw to it that no two replicas run at once: Recreate, or a volume of one node."""
    return bool(_recreate(view)) or any(
        "ReadWriteMany" not in one.spec.access_modes and set(one.spec.access_modes) != {"ReadOnlyMany"}
        for one in view.volume_claims
    )


def settle(verdict: Verdict, view: DeploymentView, rule_says: str = "") -> Verdict:
    """The verdict as it is where the Deployment may be changed, else findings alone and what we hold already.

    `rule_says`: the rule's own sentence why it may not be enforced here. Where the rollout alone is in the way, the
    owner may still make it, at a time of their own.
    """
    own = not rule_says and not _controlled(view)
    return reported(verdict, view, never_enforced(view) or rule_says, committable=own)


def reported(verdict: Verdict, view: View, why: str, *, committable: bool = False) -> Verdict:
    """Findings alone and what we hold already, for that reason; the verdict as it is where there is none.

    `committable`: the owner may write what is desired all the same.
    """
    if not why:
        return verdict
    findings = tuple(
        replace(
            finding,
            report_only=finding.report_only or why,
            committable=finding.committable and committable,
        )
        for finding in verdict.findings
    )
    return replace(verdict, findings=findings, demands=held_only(verdict.demands, view), budgets=())


def held_only(demands: tuple[Demand, ...], view: View) -> tuple[Demand, ...]:
    """The demands whose leaves we hold, each for the value that we wrote: nothing new, nothing given back."""
    kept = [(demand, held_at(demand.path, view)) for demand in demands]
    return tuple(replace(demand, value=held.set) for demand, held in kept if held is not None)


def held_at(path: Path, view: View) -> Held | None:
    """What we hold at a path; most objects hold nothing, and then the path need not be written out."""
    return view.held(str(path)) if view.state.leaves else None


def _controlled(view: DeploymentView) -> str:
    owner = view.deployment.metadata.controller
    return f"it is controlled by {owner.kind} {owner.name}, which would revert the change" if owner else ""


def _recreate(view: DeploymentView) -> str:
    if view.deployment.spec.strategy.type != "Recreate":
        return ""
    return "strategy Recreate stops all replicas before new ones start"


def _all_unavailable(view: DeploymentView) -> str:
    replicas = replicas_of(view)
    limits = view.deployment.spec.strategy.rolling_update or RollingUpdate()
    try:
        unavailable = max_unavailable(limits, replicas)
    except ValueError as error:
        return f"its rolling update cannot be judged: {error}"
    if replicas == 0 or unavailable < replicas:
        return ""
    return f"maxUnavailable lets a rollout stop {unavailable} of {replicas} replicas at once"


def max_unavailable(limits: RollingUpdate, replicas: int) -> int:
    """How many replicas the Deployment controller may stop at once, with its rounding.

    Percentages of maxUnavailable are rounded down, of maxSurge up; where both come to 0, one replica stops.
    Raises ValueError on what is neither a whole number nor a percentage.
    """
    unavailable = _scaled(limits.max_unavailable, replicas, up=False)
    surge = _scaled(limits.max_surge, replicas, up=True)
    return 1 if unavailable == 0 and surge == 0 else min(unavailable, replicas)


def _scaled(limit: int | str | None, replicas: int, *, up: bool) -> int:
    limit = DEFAULT_LIMIT if limit is None else limit
    if isinstance(limit, int):
        return limit
    number = whole_number(limit.removesuffix("%")) if limit.endswith("%") else None
    if number is None:
        raise ValueError(f"{limit!r} is neither a whole number nor a percentage")
    hundredths = number * replicas
    return -(-hundredths // 100) if up else hundredths // 100


def _single_attach(view: DeploymentView) -> str:
    modes_of = {claim.metadata.name: set(claim.spec.access_modes) for claim in view.volume_claims}
    for volume in view.deployment.spec.template.spec.volumes:
        if volume.persistent_volume_claim is None:
            continue
        name = volume.persistent_volume_claim.claim_name
        if not view.known.volume_claims:
            return f"claim {name} was not read and may be ReadWriteOnce"
        if name not in modes_of:
            return f"claim {name} was not found and may be ReadWriteOnce"
        modes = modes_of[name]
        if "ReadWriteMany" not in modes and modes != {"ReadOnlyMany"}:
            listed = " and ".join(sorted(modes)) or "without an access mode"
            return f"claim {name} is {listed}: one node at a time"
    return ""


def _host_ports(view: DeploymentView) -> str:
    pod = view.deployment.spec.template.spec
    ports = any(port.host_port for container in pod.containers for port in container.ports)
    what = "hostNetwork" if pod.host_network else "hostPort" if ports else ""
    if not what:
        return ""
    if not view.known.nodes:
        return f"{what} on a number of nodes that is not known: a new pod may find no free node"
    nodes, replicas = len(eligible(view).names), replicas_of(view)
    if replicas < nodes:
        return ""
    return f"{what} with {replicas} replicas on {nodes} eligible nodes leaves a new pod no free node"


def _no_place(view: DeploymentView) -> str:
    """Where no old pod may go first, the new one needs a place of its own."""
    limits = view.deployment.spec.strategy.rolling_update or RollingUpdate()
    replicas = replicas_of(view)
    if replicas == 0 or max_unavailable(limits, replicas) > 0:
        return ""
    return room_for_surge(view)


_DOUBTS: tuple[Callable[[DeploymentView], str], ...] = (
    _controlled,
    _recreate,
    _all_unavailable,
    _single_attach,
    _host_ports,
    _no_place,
)
