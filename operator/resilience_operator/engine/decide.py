"""The decision about one object: every finding's state, and at most one change. Pure; called by every shell.

The order is the order of values: a failed rollout is withdrawn before anything else, then no ownership is left behind,
what left the policy is given back before anything new is written, and a rule is written whole or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from resilience_operator.core.findings import Verdict
from resilience_operator.core.state import Quarantine
from resilience_operator.core.target import Catalog
from resilience_operator.engine import changes
from resilience_operator.engine.causing import causing
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.contest import Patience
from resilience_operator.engine.finding_states import Context, judge_findings, rolling_out
from resilience_operator.engine.gates import Place
from resilience_operator.engine.gitops import settings_that_bite
from resilience_operator.engine.holds import (
    Covering,
    held_demands,
    sort_holds,
    superseded,
    who_left,
    without,
)
from resilience_operator.engine.optout import OptOut, optouts_of
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.engine.quarantine import in_force, recorded, remembered, undone
from resilience_operator.engine.resolve import Resolution, resolve
from resilience_operator.engine.rollout import OurRollout, Phase
from resilience_operator.engine.view import View
from resilience_operator.policy.common import DEFAULT_LIMITS, Mode
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one covering policy's rules say about the object, and the rules from which the object is opted out.

    `rules`: what the policy asks of this object.
    """

    policy: Policy
    verdict: Verdict
    opted_out: Mapping[str, OptOut] = field(default_factory=dict)
    rules: tuple[str, ...] = ()

    @property
    def ignored(self) -> bool:
        """True where the object is opted out of every rule that the policy asks for."""
        return bool(self.rules) and all(rule in self.opted_out for rule in self.rules)

    def enforces(self, rule: str) -> bool:
        """True where the policy would write for this rule on this object."""
        if self.policy.suspend or self.policy.deleting or rule in self.opted_out:
            return False
        return self.policy.rule_mode(rule) is Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision needs beside the object: all policies by uid, patience, and rules the server refused here.

    `stopped`: policy name -> why it starts nothing any more, on any object; what it holds is carried on. `behind`:
    what was written last without success, as place or as uid: where objects take turns, others come first.
    """

    directory: Mapping[str, Policy]
    patience: Patience = Patience()
    refused: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)
    behind: frozenset[Place | str] = frozenset()


def decide(
    view: View,
    verdicts: tuple[PolicyVerdict, ...],
    around: Surroundings,
    beside: OwnObjects,
    catalog: Catalog,
) -> Decision:
    """Decide about one object from what the rules of every covering policy say; `catalog`: of all rules."""
    if view.target.metadata.deletion_timestamp is not None:
        # Nothing is given back to what goes, nothing of it fails, and our budget is garbage-collected with it.
        return Decision(view.ref, state=view.state)
    inferred = undone(view, tuple(one.policy for one in verdicts))
    quarantines = _quarantines(view, verdicts, inferred)
    enforcing = _enforcing(view, verdicts, around, quarantines)
    resolution = resolve(view, enforcing, around.patience)
    covering = _covering(verdicts, enforcing)
    holds = sort_holds(view, covering, around.directory)
    holds = replace(holds, left=who_left(view, covering, around.directory))
    rollout = _rollout(view, around.directory, verdicts)
    keep = partial(remembered, view, around.directory, inferred)
    change = _change(view, around, keep, resolution, holds, rollout, catalog)
    applies = change is not None and change.verb is Verb.APPLY
    writing = frozenset(map(catalog.family, change.rules)) if change is not None and applies else frozenset()
    if beside.contested:
        resolution = replace(resolution, losers={**resolution.losers, **beside.contested})
    context = Context(view, resolution, quarantines, around.refused, around.stopped, writing, rollout)
    judged = [
        one
        for verdict in verdicts
        for one in judge_findings(verdict.policy, _seen(verdict, view), context, verdict.enforces)
    ]
    judged += rolling_out(view, rollout, [verdict.policy for verdict in verdicts])
    judged += settings_that_bite(view, resolution, [(one.policy, one.opted_out.keys()) for one in verdicts])
    wakes = [verdict.verdict.wake_at for verdict in verdicts] + [rollout.until, resolution.wake_at]
    wakes.append(beside.wake_at)
    wakes.append(changes.remembered_until(view, around.patience))
    wakes += [optout.until for verdict in verdicts for optout in verdict.opted_out.values()]
    return Decision(
        object=view.ref,
        judged=tuple(judged),
        skipped=tuple(skip for verdict in verdicts for skip in verdict.verdict.skipped),
        sections=_sections(verdicts),
        evaluated=tuple(verdict.policy.name for verdict in verdicts if not verdict.ignored),
        ignored=tuple(verdict.policy.name for verdict in verdicts if verdict.ignored),
        change=change,
        companions=beside.changes,
        blocked=view.workload.unhealthy_because
        if change is not None and not change.urgent and view.workload is not None
        else "",
        busy=view.busy,
        rollout=rollout,
        rollout_policies=causing(view),
        state=view.state,
        distrust=view.distrust,
        target=view.workload is not None
        and any(verdict.enforces(rule) for verdict in verdicts for rule in verdict.rules),
        healthy=view.workload is None or view.workload.healthy,
        scale=next((one.verdict.scale for one in verdicts if one.verdict.scale is not None), None),
        occurrences=tuple(
            (one.policy.name, happened)
            for one in verdicts
            for happened in one.verdict.occurrences
            if happened.rule not in one.opted_out
        ),
        asked=_shared(
            tuple(
                (one.policy.name, rule) for one in verdicts for rule in one.rules if rule not in one.opted_out
            )
        ),
        wake_at=min((at for at in wakes if at is not None and at > view.now), default=None),
    )


@lru_cache(maxsize=1024)
def _shared(pairs: tuple[tuple[str, str], ...]) -> frozenset[tuple[str, str]]:
    """One set for all objects of which the same is asked: they are many, and kept."""
    return frozenset(pairs)


def _sections(verdicts: tuple[PolicyVerdict, ...]) -> frozenset[tuple[str, str]]:
    return _shared(
        tuple(
            (one.policy.name, one.policy.catalog.section_of[rule]) for one in verdicts for rule in one.rules
        )
    )


def _seen(one: PolicyVerdict, view: View) -> Verdict:
    """Its findings without those opted out of, and without what others hold above its floor."""
    lowered = {demand.path for demand in one.verdict.demands if demand.lowers}
    theirs = {
        path
        for path in lowered
        if (held := view.held(str(path))) is not None and {one.policy.uid} != set(held.policies)
    }
    findings = tuple(
        finding
        for finding in one.verdict.findings
        if finding.rule not in one.opted_out and finding.path not in theirs
    )
    return (
        one.verdict if len(findings) == len(one.verdict.findings) else replace(one.verdict, findings=findings)
    )


def _quarantines(
    view: View, verdicts: tuple[PolicyVerdict, ...], inferred: Quarantine | None
) -> Mapping[tuple[str, str], Quarantine]:
    """(policy name, rule) -> the quarantine that holds it back."""
    policies = tuple(one.policy for one in verdicts)
    known = [inferred, *recorded(view)]  # what is recorded counts before what is inferred
    return {
        (policy.name, rule): quarantine
        for quarantine in known
        if quarantine is not None
        for policy in policies
        if in_force(view, quarantine, policy)
        for rule in quarantine.rules
    }


def _enforcing(
    view: View,
    verdicts: tuple[PolicyVerdict, ...],
    around: Surroundings,
    quarantines: Mapping[tuple[str, str], Quarantine],
) -> tuple[changes.Asked, ...]:
    asked = []
    for one in verdicts:
        for rule in one.rules:
            demands = tuple(demand for demand in one.verdict.demands if demand.rule == rule)
            held_back = rule in around.refused or (one.policy.name, rule) in quarantines
            if one.policy.name in around.stopped:
                urgent = tuple(demand for demand in demands if demand.temporary)
                demands = held_demands(view, one.policy, demands) + urgent
            if demands and one.enforces(rule) and not held_back:
                asked.append(changes.Asked(one.policy, rule, demands))
    return tuple(asked)


def _covering(
    verdicts: tuple[PolicyVerdict, ...], enforcing: tuple[changes.Asked, ...]
) -> Mapping[str, Covering]:
    covering = {}
    for one in verdicts:
        mine = [asked for asked in enforcing if asked.policy.uid == one.policy.uid]
        family = one.policy.catalog.family
        active = frozenset(asked.family for asked in mine)
        demands = frozenset(str(demand.path) for asked in mine for demand in asked.demands)
        quiet = frozenset(family(rule) for rule in one.rules if family(rule) not in active)
        wanted = frozenset(str(demand.path) for demand in one.verdict.demands if demand.temporary)
        covering[one.policy.uid] = Covering(one.policy, demands, active, quiet, wanted)
    return covering


def _rollout(view: View, directory: Mapping[str, Policy], verdicts: tuple[PolicyVerdict, ...]) -> OurRollout:
    """Our rollout, judged by the strictest of the policies that caused it; of those that are here if they are gone."""
    behind = [directory[uid] for uid in causing(view) if uid in directory]
    behind = behind or [one.policy for one in verdicts]
    rules = view.state.rules()
    limits = [policy.limits_of(rules) for policy in behind] or [DEFAULT_LIMITS]
    soak = max(one.soak_seconds for one in limits)
    return view.rollout(soak, min(one.progress_deadline_seconds for one in limits))


def _change(
    view: View,
    around: Surroundings,
    keep: changes.Keep,
    resolution: Resolution,
    holds: changes.Holds,
    rollout: OurRollout,
    catalog: Catalog,
) -> Change | None:
    directory = around.directory
    # Opt-outs of what we hold, whether or not a policy still speaks of it.
    opted_out = frozenset(optouts_of(catalog.rules, view, catalog))
    if rollout.phase is Phase.FAILED:
        rolled_back = changes.roll_back(view, rollout, directory, opted_out, keep)
        if rolled_back is not None:
            return rolled_back
        # Our hands are tied over the template, not over what restarts nothing.
        resolution, holds = changes.outside_template(resolution, holds)
    hands_off = opted_out >= set(catalog.rules)
    left = None if hands_off else changes.let_go(view, directory)
    if left is not None:  # Before what may have to wait: until then an owner's deploy may be refused.
        return left
    resolution = changes.at_once_first(resolution)
    written = [judgement.demand.path for judgement in resolution.writes]
    removed = superseded(view, written)
    holds = without(holds, removed)
    if holds.released or holds.adopted:
        change = changes.give_back(view, holds, directory, opted_out, keep)
        if change is not None:
            return change
    change = changes.apply(view, resolution, holds, removed, around.patience, keep)
    if change is None and not hands_off:
        change = changes.forget(view, directory, around.patience, keep)
    return change
