"""Rule `spread`: replicas of one Deployment do not share a node or a zone (incident one-node-pileup).

Called by rules.evaluate. Owners' constraints are kept: one that is as strict satisfies, a weaker one is never
doubled. Spec and live placement are judged together, so that a pile-up is one finding and not two.
"""

from dataclasses import dataclass

from resilience_operator.cluster.leaves import constraint_object, constraint_path, selector_object
from resilience_operator.cluster.objects.workloads import TopologySpreadConstraint
from resilience_operator.cluster.selection import selects as matches
from resilience_operator.core.findings import EMPTY, Demand, Finding, Verdict
from resilience_operator.core.paths import JSON, Path
from resilience_operator.targets.workloads.eligibility import held_at, held_only, settle
from resilience_operator.targets.workloads.placement import (
    HOSTNAME,
    TEMPLATE_HASH,
    Pile,
    eligible,
    pile,
    repelled,
)
from resilience_operator.targets.workloads.settings import Spread, SpreadConstraint
from resilience_operator.targets.workloads.sizes import replicas_of
from resilience_operator.targets.workloads.texts import HELD_VALUE_DIFFERS, SPREAD
from resilience_operator.targets.workloads.view import DeploymentView

MATCH_LABEL_KEYS_SINCE = (1, 27)
SPEC_IS_RIGHT = "the spec is already right: no restart for it"


@dataclass(frozen=True, slots=True)
class _Gap:
    """What is wrong in the spec for one constraint: reason and sentence; both "" where nothing is."""

    reason: str = ""
    message: str = ""
    observed: JSON = None


def check(settings: Spread, view: DeploymentView) -> Verdict:
    """Findings and demands on one Deployment; nothing new with fewer than two replicas or nodes."""
    verdict = sum((_judge(constraint, view) for constraint in settings.constraints), EMPTY)
    return settle(verdict, view)


def _judge(constraint: SpreadConstraint, view: DeploymentView) -> Verdict:
    demand = _demand(constraint, view)
    if not _applies(constraint, view):
        return Verdict(demands=held_only((demand,), view))
    gap = _gap(constraint, demand, view)
    demands = () if gap is None else (demand,)
    finding = _finding(constraint, demand, gap or _Gap(), view)
    return Verdict(findings=() if finding is None else (finding,), demands=demands)


def _applies(constraint: SpreadConstraint, view: DeploymentView) -> bool:
    if replicas_of(view) < 2:
        return False
    if not view.known.nodes:
        return True
    return eligible(view, constraint.topology_key).domains[constraint.topology_key] >= 2


def _demand(constraint: SpreadConstraint, view: DeploymentView) -> Demand:
    path = constraint_path(constraint.topology_key, constraint.when_unsatisfiable)
    value = _value(constraint, view)
    if held_at(path, view) is not None:
        return Demand(SPREAD, path, value)
    paths = (
        constraint_path(entry.topology_key, entry.when_unsatisfiable) for entry in _owners(constraint, view)
    )
    return Demand(SPREAD, path, value, rivals=tuple(rival for rival in paths if rival != path))


def _value(constraint: SpreadConstraint, view: DeploymentView) -> dict[str, JSON]:
    selector = view.deployment.spec.selector
    value: dict[str, JSON] = {
        "topologyKey": constraint.topology_key,
        "maxSkew": constraint.max_skew,
        "whenUnsatisfiable": constraint.when_unsatisfiable,
        "labelSelector": selector_object(selector),
    }
    # The API server refuses a key that stands in both.
    selected = {*selector.match_labels, *(item.key for item in selector.match_expressions)}
    if (view.server == (0, 0) or view.server >= MATCH_LABEL_KEYS_SINCE) and TEMPLATE_HASH not in selected:
        value["matchLabelKeys"] = [TEMPLATE_HASH]
    return value


def _entries(topology_key: str, view: DeploymentView) -> tuple[TopologySpreadConstraint, ...]:
    entries = view.deployment.spec.template.spec.topology_spread_constraints
    return tuple(entry for entry in entries if entry.topology_key == topology_key)


def _owners(constraint: SpreadConstraint, view: DeploymentView) -> tuple[TopologySpreadConstraint, ...]:
    """The entries for the key that are not ours, or no longer as we wrote them."""
    return tuple(entry for entry in _entries(constraint.topology_key, view) if not _ours(entry, view))


def _ours(entry: TopologySpreadConstraint, view: DeploymentView) -> bool:
    held = held_at(constraint_path(entry.topology_key, entry.when_unsatisfiable), view)
    return held is not None and bool(held.set == constraint_object(entry))


def _gap(constraint: SpreadConstraint, demand: Demand, view: DeploymentView) -> _Gap | None:
    """What the spec lacks; None where the owner's own choice satisfies, so that nothing is demanded of it."""
    key = constraint.topology_key
    entries, owners = _entries(key, view), _owners(constraint, view)
    ours = [entry for entry in entries if entry not in owners and _at(entry, demand.path)]
    if ours:
        return _own_gap(ours[0], demand)
    if any(not _weaknesses(entry, constraint, view) for entry in owners) or repelled(view, key):
        return None
    if owners:
        weak = _weaknesses(owners[0], constraint, view)
        message = f"the topologySpreadConstraints entry for {key} is weaker than demanded: {', '.join(weak)}"
        return _Gap("WeakerConstraint", message, [constraint_object(entry) for entry in owners])
    which = f" with {constraint.when_unsatisfiable}" if entries else ""
    return _Gap("MissingConstraint", f"topologySpreadConstraints has no entry for {key}{which}")


def _at(entry: TopologySpreadConstraint, path: Path) -> bool:
    return constraint_path(entry.topology_key, entry.when_unsatisfiable) == path


def _own_gap(entry: TopologySpreadConstraint, demand: Demand) -> _Gap:
    observed = constraint_object(entry)
    if observed == demand.value:
        return _Gap()
    message = (
        f"the topologySpreadConstraints entry for {entry.topology_key} was written for an earlier policy"
    )
    return _Gap(HELD_VALUE_DIFFERS, message, [observed])


def _weaknesses(
    entry: TopologySpreadConstraint, constraint: SpreadConstraint, view: DeploymentView
) -> list[str]:
    weak = []
    if entry.max_skew > constraint.max_skew:
        weak.append(f"maxSkew {entry.max_skew} instead of {constraint.max_skew}")
    if entry.when_unsatisfiable not in {"DoNotSchedule", constraint.when_unsatisfiable}:
        weak.append(f"{entry.when_unsatisfiable} instead of {constraint.when_unsatisfiable}")
    if not matches(entry.label_selector, view.deployment.spec.template.metadata.labels):
        weak.append("its labelSelector does not select the pods")
    return weak


def _finding(constraint: SpreadConstraint, demand: Demand, gap: _Gap, view: DeploymentView) -> Finding | None:
    piled = _piled(constraint, view)
    if piled is None and not gap.reason:
        return None
    parts = [f"{piled.count} of {piled.ready} ready replicas run on {piled.node}"] if piled else []
    parts += [gap.message] if gap.message else []
    return Finding(
        rule=SPREAD,
        reason="ReplicasShareNode" if piled else gap.reason,
        object=view.ref,
        message="; ".join(parts),
        observed=gap.observed,
        desired=demand.value if gap.reason else None,
        path=demand.path,
        report_only="" if gap.reason else SPEC_IS_RIGHT,
    )


def _piled(constraint: SpreadConstraint, view: DeploymentView) -> Pile | None:
    if constraint.topology_key != HOSTNAME:
        return None
    fullest = pile(view)
    return fullest if fullest is not None and fullest.skew > constraint.max_skew else None
