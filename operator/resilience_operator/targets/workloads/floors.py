"""A floor under the number of replicas, through whatever scales a Deployment. Used by rules replicas and coredns-floor.

A floor never goes above the scaler's own maximum, and 0 stays 0: both were somebody's word.
"""

import json
from dataclasses import dataclass

from resilience_operator.cluster.leaves import (
    API_DEFAULTS,
    CPA_MODES,
    MIN_REPLICA_COUNT,
    MIN_REPLICAS,
    REPLICAS,
    observed_value,
    other_mode,
)
from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    HorizontalPodAutoscaler,
    ScaledObject,
)
from resilience_operator.cluster.ownership import committed, in_force
from resilience_operator.core.findings import EMPTY, Demand, Finding, Skipped, Verdict
from resilience_operator.core.paths import JSON, Path, nest
from resilience_operator.core.state import Held
from resilience_operator.targets.coredns.addon_floor import of_addon, of_unread
from resilience_operator.targets.coredns.texts import COREDNS_FLOOR
from resilience_operator.targets.workloads import cpa
from resilience_operator.targets.workloads.eligibility import held_at, never_scaled, reported
from resilience_operator.targets.workloads.scaling import By, Scaling, who_scales
from resilience_operator.targets.workloads.sizes import keda_maximum, lowest
from resilience_operator.targets.workloads.texts import HELD_VALUE_DIFFERS
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View

_READ = (By.HPA, By.KEDA, By.CPA)
"""Who scales by an object that is read, and judged itself."""

UNREADABLE = "UnreadableParameters"

TO_ZERO = "it may scale to zero, and that stays possible"


@dataclass(frozen=True, slots=True)
class FloorRequest:
    """What a rule asks of whatever scales."""

    rule: str
    """Id of the rule."""
    replicas: int
    """The least number."""
    prevent: bool = False
    """CPA is told to prevent a single point of failure."""
    cordoned: bool = False
    """CPA is told to count cordoned nodes in any case."""
    managed: str = ""
    """Why nothing of it may be changed at all, "" where it may."""


def of_deployment(request: FloorRequest, view: DeploymentView) -> Verdict:
    """The floor of a Deployment that nobody scales; what others scale is judged on the scaler, or reported."""
    return _pretended(request, view) + _of_deployment(request, view)


def _pretended(request: FloorRequest, view: DeploymentView) -> Verdict:
    """Whoever says from another namespace that it scales this Deployment; it changes nothing of the floor."""
    if not view.pretenders:
        return EMPTY
    names = " and ".join("/".join(key) for key in view.pretenders[:3])
    message = (
        f"by its command line, Deployment {names} scales {view.ref} from another namespace; it is not believed:"
        " an autoscaler counts in its target's namespace and in kube-system"
    )
    why = "whether it is one is for people to find out"
    return Verdict((Finding(request.rule, "StrayScaler", view.ref, message, report_only=why),))


def _of_deployment(request: FloorRequest, view: DeploymentView) -> Verdict:
    scaling, replicas = who_scales(view), view.deployment.replicas
    if scaling.by is By.SEVERAL:
        message = f"{scaling.who} scale it, each against the other"
        why = "which of them is to go is for people to say"
        return Verdict((Finding(request.rule, "SeveralScalers", view.ref, message, report_only=why),))
    if replicas == 0:
        return EMPTY
    if scaling.by is By.NOBODY:
        return _pinned(request, view)
    if scaling.by is By.EKS and request.rule == COREDNS_FLOOR:
        if scaling.target is None:
            return of_unread(request.rule, request.replicas, view)
        return _too_few(request, view, scaling) if view.known.pods else EMPTY
    if scaling.by in _READ:
        unread = EMPTY if scaling.target is not None else _unread(request, view, scaling)
        # Files say how many replicas it starts with, which is not how many there are.
        return unread + (_too_few(request, view, scaling) if view.known.pods else EMPTY)
    return _too_few(request, view, scaling)


def _too_few(request: FloorRequest, view: DeploymentView, scaling: Scaling) -> Verdict:
    """Too few replicas now, whatever its scaler was told: it may be stopped, or broken, or not have looked yet."""
    replicas = view.deployment.replicas
    if replicas >= request.replicas:
        return EMPTY
    does, why = f"{scaling.who} scales it", request.managed or f"{scaling.who} would revert the change"
    if scaling.still:
        does = f"{scaling.who} is to scale it, has 0 replicas itself and scales nobody"
        why = request.managed or f"{scaling.who} would revert the change once it runs"
    elif lowest(scaling) >= request.replicas:
        does += " and has not followed"
    message = f"{replicas} of at least {request.replicas} replicas; {does}"
    return Verdict((Finding(request.rule, "TooFewReplicas", view.ref, message, report_only=why),))


def _unread(request: FloorRequest, view: DeploymentView, scaling: Scaling) -> Verdict:
    why = f"{scaling.who} scales it, and what it goes by was not read"
    return Verdict(skipped=(Skipped(request.rule, view.ref, why),))


def _pinned(request: FloorRequest, view: DeploymentView) -> Verdict:
    observed, wanted = view.deployment.replicas, max(owners_number(REPLICAS, view), request.replicas)
    who = "nobody scales it" if view.known.scalers else "nothing was read that scales it"
    message = f"{observed} of at least {request.replicas} replicas; {who}"
    verdict = _number(request, view, (REPLICAS, observed, wanted), "TooFewReplicas", message)
    return reported(verdict, view, request.managed or never_scaled(view))


def of_scaler(request: FloorRequest, view: ScalerView) -> Verdict:
    """The floor in what scales a Deployment; nothing where that is not the only one."""
    scaled = view.scaled
    if scaled is None or who_scales(scaled).target != view.target:
        return EMPTY
    why = request.managed or never_scaled(scaled)
    owner = view.target.metadata.controller
    why = why or (f"it is controlled by {owner.kind} {owner.name}" if owner is not None else "")
    match view.target:
        case Addon() as addon:
            mine = request.rule == COREDNS_FLOOR
            return of_addon(request.rule, request.replicas, view, addon, scaled) if mine else EMPTY
        case ConfigMap():
            verdict = _cpa(request, view)
        case HorizontalPodAutoscaler() as hpa:
            maximum = (Path.parse("spec.maxReplicas"), hpa.spec.max_replicas)
            asleep = scaled.deployment.replicas == 0
            verdict = EMPTY if asleep else _bounded(request, view, (MIN_REPLICAS, maximum))
            why = why or (TO_ZERO if hpa.spec.min_replicas == 0 else "")
        case ScaledObject() as keda:
            maximum = (Path.parse("spec.maxReplicaCount"), keda_maximum(keda))
            verdict = _bounded(request, view, (MIN_REPLICA_COUNT, maximum))
            zero = not keda.spec.min_replica_count or keda.spec.idle_replica_count is not None
            why = why or (TO_ZERO if zero else "")
    return reported(verdict, view, why)


def _scaled_names(view: ScalerView) -> str:
    """What the scaler scales, for a person: a floor in it holds for all of them."""
    names = [one.deployment.metadata.name for one in (view.scaled, *view.scaled_too) if one is not None]
    return f"Deployment {names[0]}" if len(names) == 1 else f"Deployments {' and '.join(names)}"


def _bounded(request: FloorRequest, view: ScalerView, leaf: tuple[Path, tuple[Path, int]]) -> Verdict:
    """The floor at a number beside which there is a maximum."""
    path, (limit, maximum) = leaf
    observed, name = _present(path, view), _scaled_names(view)
    if maximum < request.replicas:
        patch = json.dumps(nest({limit: request.replicas}), separators=(",", ":"))
        message = (
            f"{limit} is {maximum}, below the floor of {request.replicas} replicas for {name};"
            f" to end it, commit {patch}"
        )
        why = "a maximum is never raised"
        return Verdict(
            (Finding(request.rule, "MaximumBelowFloor", view.ref, message, maximum, report_only=why),)
        )
    wanted = max(owners_number(path, view), request.replicas)
    message = f"{path} lets {name} go down to {observed}; the floor is {request.replicas} replicas"
    return _number(request, view, (path, observed, wanted), "FloorTooLow", message)


def _number(
    request: FloorRequest, view: View, leaf: tuple[Path, int, int], reason: str, message: str
) -> Verdict:
    path, observed, wanted = leaf
    demand = Demand(request.rule, path, wanted, floor=request.replicas, lowers=observed > wanted)
    if observed == wanted:
        return Verdict(demands=(demand,))
    if observed > wanted:
        reason, message = HELD_VALUE_DIFFERS, f"{path} {observed} was written for an earlier policy"
    finding = Finding(request.rule, reason, view.ref, message, observed, wanted, path)
    return Verdict((finding,), (demand,))


def _present(path: Path, view: View) -> int:
    """The number at a leaf, as it counts where it is absent."""
    observed = observed_value(view.target, path)
    return observed if isinstance(observed, int) else API_DEFAULTS.get(path, 0)


def owners_number(path: Path, view: View) -> int:
    """The number that the owner chose: what was there before us, while ours still stands."""
    observed, held = _present(path, view), held_at(path, view)
    if held is None or observed != held.set or not _still_ours(path, held, view):
        return observed
    return held.was if isinstance(held.was, int) else API_DEFAULTS.get(path, 0)


def _still_ours(path: Path, held: Held, view: View) -> bool:
    """True where the value that we set stands, and nobody else stands behind it."""
    return in_force(view.target, path, held, view.application) and not committed(view.target, path, held)


def _cpa(request: FloorRequest, view: ScalerView) -> Verdict:
    """The floor in CPA's parameters, and what of these CPA itself rejects or misreads."""
    data = _owners_parameters(view)
    findings: tuple[Finding, ...] = ()
    if outlived := _outlived(view):
        del data[outlived]
        findings = (_of_two_keys(request, view, outlived, next(iter(data))),)
    reading, floor = cpa.read(data), cpa.Floor(request.replicas, request.prevent, request.cordoned)
    blocked = cpa.blocked(reading, floor)
    reason, why = "MaximumBelowFloor", "a maximum is never raised"
    problem = blocked
    if reading.problem:
        reason, why = UNREADABLE, "only its owner knows what was meant"
        problem = f"{reading.problem}; no floor is written until that is corrected"
    if problem:
        findings += (Finding(request.rule, reason, view.ref, problem, report_only=why),)
    if not reading.mode or blocked:
        return Verdict(findings)
    return Verdict(findings) + _parameters(request, view, (data, reading))


def _outlived(view: ScalerView) -> str:
    """Our key, where its owner went over to the other one and so left both; "" where there are not two."""
    for mode, path in CPA_MODES.items():
        held, other = held_at(path, view), other_mode(path, view.target)
        ours = held is not None and observed_value(view.target, path) == held.set
        if ours and other is not None and held_at(other, view) is None:
            return mode
    return ""


def _of_two_keys(request: FloorRequest, view: ScalerView, ours: str, theirs: str) -> Finding:
    """`desired` of our key is nothing: it goes as soon as the floor is enforced in the other one."""
    ref = view.ref
    patch = json.dumps({"data": {ours: None}}, separators=(",", ":"))
    message = (
        f"{theirs} was written beside {ours}, which is ours by now: with two keys the autoscaler does not scale;"
        f" {ours} goes, or at once by kubectl -n {ref.namespace} patch configmap {ref.name} --type merge -p '{patch}'"
    )
    return Finding(
        request.rule, UNREADABLE, ref, message, observed=sorted((ours, theirs)), path=CPA_MODES[theirs]
    )


def _owners_parameters(view: ScalerView) -> dict[str, str]:
    """The data as its owner wrote it: what was there before us, while ours still stands."""
    data: dict[str, str] = dict(view.target.data) if isinstance(view.target, ConfigMap) else {}
    for mode, path in CPA_MODES.items():
        held = held_at(path, view)
        ours = held is not None and data.get(mode) == held.set and _still_ours(path, held, view)
        if held is not None and ours and isinstance(held.was, str):
            data[mode] = held.was
    return data


def _parameters(
    request: FloorRequest, view: ScalerView, parsed: tuple[dict[str, str], cpa.Reading]
) -> Verdict:
    data, reading = parsed
    mode = reading.mode
    raised = cpa.raised(data, cpa.Floor(request.replicas, request.prevent, request.cordoned))
    wanted = raised[1] if raised is not None else data[mode]
    observed: JSON = observed_value(view.target, CPA_MODES[mode])
    enough = (
        cpa.raised({mode: observed}, cpa.Floor(request.replicas, request.prevent, request.cordoned)) is None
    )
    demand = Demand(
        request.rule, CPA_MODES[mode], wanted, floor=request.replicas, lowers=enough and observed != wanted
    )
    if observed == wanted:
        return Verdict(demands=(demand,))
    name = _scaled_names(view)
    floor = f"the floor is {request.replicas} replicas"
    reason, message = "FloorTooLow", f"{mode} lets {name} go down to {reading.least}; {floor}"
    if demand.lowers:
        reason, message = HELD_VALUE_DIFFERS, f"{mode} was written for an earlier policy"
    elif reading.least >= request.replicas:
        reason = "FloorNotHeld"
        message = f"{mode} counts no cordoned nodes, or lets one node hold all replicas of {name}"
    finding = Finding(request.rule, reason, view.ref, message, observed, wanted, demand.path)
    return Verdict((finding,), (demand,))
