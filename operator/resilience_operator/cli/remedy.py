"""What the owners of an object would commit to end the findings that the operator may not end itself.

Pure; used by the command line alone (cli/patches), so that the operator pays nothing for it. What somebody chose, what
is never enforced here, and all that an audit finds have a remedy; what the operator will do by itself has none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.leaves import observed_value
from resilience_operator.cluster.objects.workloads import Addon, Deployment
from resilience_operator.core.findings import Demand, State
from resilience_operator.core.paths import JSON, Path, nest, replacing
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Decision, Judged
from resilience_operator.engine.decide import PolicyVerdict
from resilience_operator.engine.merge import Merged, RuleDemands, merge
from resilience_operator.targets import CATALOG
from resilience_operator.targets.workloads.budget_changes import specification
from resilience_operator.targets.workloads.budgets import name_of
from resilience_operator.targets.workloads.view import DeploymentView, View

UP_TO_OTHERS = (State.CONTESTED, State.REPORT_ONLY, State.DRIFTED)
"""States of findings that the operator does not end; an audit finds Drifted."""

MATCH_LABEL_KEYS = "matchLabelKeys"

SKIPPED = "Skipped"
"""In the place of a state: what could not be judged."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One object's part of a commit: a strategic merge patch of it, or the whole of one that is not there yet.

    `ends`: the findings that go with it. `twin`: there is one of its kind and name in the namespace `default`.
    """

    object: ObjectRef
    body: Mapping[str, JSON]
    ends: tuple[Judged, ...]
    new: bool = False
    twin: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that no commit of ours ends, and the sentence that says what stands in the way."""

    object: ObjectRef
    policy: str
    rule: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Remedies:
    """All that is to be committed, and all that is left to people."""

    remedies: tuple[Remedy, ...] = ()
    left: tuple[Left, ...] = ()


def committable(judged: Judged) -> bool:
    """True where a commit ends the finding, and the value for it is known."""
    finding = judged.finding
    known = finding.path is not None and finding.desired is not None and finding.object.kind != Addon.__name__
    # Refused by the server: so would be the owner's own.
    refused = judged.state is State.REPORT_ONLY and not finding.report_only
    return judged.state in UP_TO_OTHERS and known and finding.committable and not refused


def remedies_of(
    view: View, verdicts: tuple[PolicyVerdict, ...], decision: Decision, policy: str = ""
) -> Remedies:
    """What ends the findings on one object, of one policy where it is named; values as all policies together want them.

    `verdicts`: what `decision` was made from.
    """
    quarantined = {
        CATALOG.family(one.finding.rule) for one in decision.judged if one.state is State.QUARANTINED
    }
    staying = tuple(one for one in verdicts if not one.policy.deleting)
    merged = merge(_asked(staying, quarantined))
    limits, makers = _limits(staying)
    ends: list[Judged] = []
    made: list[Judged] = []
    left: list[Left] = []
    for one in _up_to_others(decision, policy):
        beaten = merged.losers.get((one.policy, one.finding.rule), "")
        if CATALOG.family(one.finding.rule) in quarantined:
            left.append(_left(one, "the same change is quarantined on this object"))
        elif _asks_for_budget(one, staying):
            if len(limits) == 1 and not makers:
                made.append(one)
            else:
                left.append(
                    _left(one, f"{makers[0]} has it made" if makers else "the policies differ in its limit")
                )
        elif one.state is State.DRIFTED and _is_ours(view, one):
            left.append(
                _left(one, "the value is the operator's own and stays until an enforcing policy changes it")
            )
        elif beaten or not committable(one) or one.finding.path not in merged.winners:
            left.append(_left(one, beaten))
        else:
            ends.append(one)
    found = [_patch(view, merged, tuple(ends))] if ends else []
    found += [_budget(view, limits.pop(), tuple(made))] if made and isinstance(view, DeploymentView) else []
    return Remedies(tuple(found), (*left, *_skipped(verdicts, view, policy)))


def _limits(verdicts: tuple[PolicyVerdict, ...]) -> tuple[set[int | str], list[str]]:
    """The limits that audits ask for a budget here, and the enforcing policies of which the operator makes one."""
    limits, makers = set(), []
    for one in verdicts:
        for demand in one.verdict.budgets:
            if demand.rule in one.opted_out:
                continue
            if one.enforces(demand.rule):
                makers.append(f"policy {one.policy.name}")
            else:
                limits.add(demand.max_unavailable)
    return limits, makers


def _is_ours(view: View, judged: Judged) -> bool:
    """True where the operator wrote the value for an earlier policy: while this one rests, it stays."""
    path = judged.finding.path
    held = view.held(str(path)) if path is not None else None
    return held is not None and path is not None and observed_value(view.target, path) == held.set


def _up_to_others(decision: Decision, policy: str) -> Iterable[Judged]:
    states = (*UP_TO_OTHERS, State.QUARANTINED)
    return (one for one in decision.judged if one.state in states and policy in ("", one.policy))


def _left(judged: Judged, why: str) -> Left:
    told = not why or why in judged.message or judged.state is State.QUARANTINED
    message = judged.message if told else f"{judged.message}; {why}"
    return Left(judged.finding.object, judged.policy, judged.finding.rule, str(judged.state), message)


def _asked(verdicts: tuple[PolicyVerdict, ...], quarantined: set[str]) -> list[RuleDemands]:
    """What every policy demands here, audited or enforced, whatever the operator may write of it."""
    return [
        RuleDemands(one.policy, rule, demands, quiet=not one.enforces(rule))
        for one in verdicts
        for rule in one.rules
        if rule not in one.opted_out and CATALOG.family(rule) not in quarantined
        if (demands := _demands(one, rule))
    ]


def _demands(one: PolicyVerdict, rule: str) -> tuple[Demand, ...]:
    """The rule's demands, and beside them what it would demand where it may only report."""
    demands = {demand.path: demand for demand in one.verdict.demands if demand.rule == rule}
    for finding in one.verdict.findings:
        path, value = finding.path, finding.desired
        if finding.rule != rule or path is None or value is None or not finding.committable:
            continue
        if path not in demands or demands[path].value != value:
            demands[path] = Demand(rule, path, value)
    return tuple(demands.values())


def _patch(view: View, merged: Merged, ends: tuple[Judged, ...]) -> Remedy:
    """Every leaf of the object that is to be another, together."""
    paths = {one.finding.path for one in ends if one.finding.path is not None}
    leaves = {
        path: _replacing(path, observed_value(view.target, path), merged.winners[path].demand.value)
        for path in paths
    }
    body = _identity(view.ref) | nest(leaves)
    if isinstance(view.target, Deployment):
        _keep_order(body, view.target)
    return Remedy(view.ref, body, ends)


def _replacing(path: Path, observed: JSON, value: JSON) -> JSON:
    """The value as a merge patch; of an owner's constraint nothing goes that the rule does not speak of."""
    if not path.steps[-1].keys or not isinstance(observed, Mapping) or not isinstance(value, Mapping):
        return replacing(observed, value)
    keys = [key for key in value if key != MATCH_LABEL_KEYS or key not in observed]
    return {key: replacing(observed.get(key), value[key]) for key in keys}


def _identity(ref: ObjectRef) -> dict[str, JSON]:
    metadata = {"name": ref.name, "namespace": ref.namespace}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}


def _keep_order(body: dict[str, JSON], deployment: Deployment) -> None:
    """Name the containers before a patched one: kustomize puts those that a patch names first."""
    pod = body["spec"].get("template", {}).get("spec", {})
    if "containers" not in pod:
        return
    patched = {one["name"]: one for one in pod["containers"]}
    names = [one.name for one in deployment.spec.template.spec.containers]
    last = max(names.index(name) for name in patched)
    pod["containers"] = [patched.get(name, {"name": name}) for name in names[: last + 1]]


def _asks_for_budget(judged: Judged, verdicts: tuple[PolicyVerdict, ...]) -> bool:
    """True where the policy only audits, and wants a budget as things are: there is none."""
    return judged.finding.reason == "NoBudget" and any(
        demand.rule == judged.finding.rule
        for one in verdicts
        if one.policy.name == judged.policy and not one.enforces(judged.finding.rule)
        for demand in one.verdict.budgets
    )


def _budget(view: DeploymentView, limit: int | str, ends: tuple[Judged, ...]) -> Remedy:
    """The budget as its owner would write it: without our label, so that it is theirs."""
    ref = ObjectRef("policy/v1", "PodDisruptionBudget", view.ref.namespace, name_of(view.deployment))
    return Remedy(ref, _identity(ref) | {"spec": specification(view, limit)}, ends, new=True)


def _skipped(verdicts: tuple[PolicyVerdict, ...], view: View, policy: str) -> list[Left]:
    return [
        Left(view.ref, one.policy.name, skip.rule, SKIPPED, skip.why)
        for one in verdicts
        for skip in one.verdict.skipped
        if policy in ("", one.policy.name) and skip.rule not in one.opted_out
    ]
