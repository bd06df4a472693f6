"""The changes that are ever made to an object: apply, give back, roll back, forget. Made by engine.decide."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from resilience_operator.cluster.leaves import depth_present, observed_value, outline
from resilience_operator.cluster.objects.workloads import Declared
from resilience_operator.cluster.ownership import has_entry, in_force
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import Apply, Held, ObjectState, Quarantine, can_be_believed
from resilience_operator.engine.causing import causing
from resilience_operator.engine.change import Change, Result, Verb
from resilience_operator.engine.contest import Patience, contests_after, lost
from resilience_operator.engine.holds import Holds, rests
from resilience_operator.engine.merge import RuleDemands as Asked
from resilience_operator.engine.merge import Winner
from resilience_operator.engine.ownership import Judgement
from resilience_operator.engine.quarantine import ROLLOUT_FAILED
from resilience_operator.engine.resolve import Resolution
from resilience_operator.engine.rollout import OurRollout, Scaling
from resilience_operator.engine.view import View, newest_replica_set
from resilience_operator.policy.common import OnRelease
from resilience_operator.policy.policy import Policy

Keep = Callable[[int], tuple[Quarantine, ...]]
"""The quarantines that a write keeps whose template becomes that revision (0: no template changes)."""

__all__ = ["Asked", "Holds", "apply", "give_back", "roll_back"]


def apply(
    view: View,
    resolution: Resolution,
    holds: Holds,
    removed: frozenset[Path],
    patience: Patience,
    keep: Keep,
) -> Change | None:
    """Write what is free, and out of its place what of ours stood there; None where nothing is to be written.

    Nor where so much would have to be remembered on the object that we would not believe it afterwards.
    """
    written = tuple(judgement.demand.path for judgement in resolution.writes)
    recorded = _records(view, resolution, holds, written)
    if not written and recorded == dict(view.state.leaves):
        return None
    leaves = {judgement.demand.path: judgement.demand.value for judgement in resolution.writes}
    winners = [resolution.winners[path] for path in (written or tuple(resolution.winners))]
    policies = _policies(winners)
    revision = next_revision(view) if any(path.in_template for path in written) else 0
    repaired = tuple(sorted({one.demand.rule for one in resolution.writes if lost(one, view)}))
    state = replace(
        view.state,
        uid=view.target.metadata.uid,
        leaves=recorded,
        policies=_generations(view, policies, revision) if written else view.state.policies,
        names=_names(view, resolution, recorded),
        contests=contests_after(view.state, repaired, view.now, patience),
        quarantines=keep(revision),
    )
    if not can_be_believed(state):
        return None
    return Change(
        verb=Verb.APPLY,
        result=Result.APPLIED,
        object=view.ref,
        resource_version=view.target.metadata.resource_version,
        leaves=leaves,
        state=state,
        written=written,
        rules=tuple(sorted({judgement.demand.rule for judgement in resolution.writes})),
        policies=policies,
        reason=_reason(resolution.writes),
        revision=revision,
        removed=removed,
        outline=outline(view.target),
        annotations=_annotations(view),
        disruptive=bool(revision),
        scaling=view.scaling(leaves),
        pods=view.workload.pods_replaced if revision and view.workload is not None else 0,
        repaired=repaired,
        urgent=any(recorded[str(path)].temporary for path in written),
    )


def at_once_first(resolution: Resolution) -> Resolution:
    """What restarts no pod does not wait for a rollout: it is written alone, and the template in the next pass."""
    at_once = tuple(one for one in resolution.writes if not one.demand.path.in_template)
    return replace(resolution, writes=at_once) if at_once else resolution


def outside_template(resolution: Resolution, holds: Holds) -> tuple[Resolution, Holds]:
    """What may be done while nothing may be done to the template: what we hold in it is carried."""
    writes = tuple(one for one in resolution.writes if not one.demand.path.in_template)
    every = (holds.released, holds.adopted)
    inside = [{text: one for text, one in held.items() if Path.parse(text).in_template} for held in every]
    released, adopted = (
        {text: one for text, one in held.items() if text not in kept}
        for held, kept in zip(every, inside, strict=True)
    )
    carried = frozenset(Path.parse(text) for kept in inside for text in kept)
    return replace(resolution, writes=writes), replace(
        holds, released=released, adopted=adopted, carried=holds.carried | carried
    )


def give_back(
    view: View,
    holds: Holds,
    directory: Mapping[str, Policy],
    opted_out: frozenset[str],
    keep: Keep,
) -> Change | None:
    """Give back what left every policy that demanded it; an opted-out object retains."""
    released = {text: held for text, held in holds.released.items() if held.rule not in opted_out}
    adopted = {text: held for text, held in holds.adopted.items() if held.rule not in opted_out}
    if not released and not adopted:
        return None
    gone = released | adopted
    after = view.state.without(frozenset(gone) | {str(path) for path in holds.changed})
    names = sorted(directory[uid].name for held in gone.values() for uid in held.policies if uid in directory)
    reason = f"released by {', '.join(dict.fromkeys(names))} (onRelease: {OnRelease.REVERT})"
    if all(held.temporary for held in gone.values()):
        reason = "what it was set for is over"
    change = _withdrawal(view, released, after, directory, Result.REVERTED, reason, keep)
    return replace(change, adopted=adopted, rules=tuple(sorted({held.rule for held in gone.values()})))


def roll_back(
    view: View,
    rollout: OurRollout,
    directory: Mapping[str, Policy],
    opted_out: frozenset[str],
    keep: Keep,
) -> Change | None:
    """Withdraw a rollout of ours that failed, at once, and quarantine it; None where our hands are tied.

    The rules that it wrote are withdrawn as a whole. For a policy that rests and on an opted-out object nothing is
    written, not even to roll back: both are a person's word. A policy that changed since is not held to its old spec.
    """
    failed = {held.rule for held in view.state.leaves.values() if held.revision == rollout.revision}
    released = {
        text: held
        for text, held in view.state.leaves.items()
        if held.rule in failed - opted_out and in_force(view.target, Path.parse(text), held, view.application)
    }
    for text in view.needed(released):
        released.pop(text)
    behind = [directory[uid] for uid in causing(view) if uid in directory]
    if not released or any(rests(policy) for policy in behind):
        return None
    unchanged = [policy for policy in behind if policy.generation == view.state.policies.get(policy.uid)]
    quarantine = Quarantine(
        reason=ROLLOUT_FAILED,
        message=f"its rollout failed and was withdrawn: {rollout.message}",
        at=view.now,
        policies={policy.uid: policy.digest for policy in unchanged},
        revision=next_revision(view),
        rules=tuple(sorted({held.rule for held in released.values()})),
    )
    after = view.state.without(frozenset(released))

    def keep_and_add(revision: int) -> tuple[Quarantine, ...]:
        return (*keep(revision), *([quarantine] if unchanged else []))

    change = _withdrawal(view, released, after, directory, Result.ROLLED_BACK, rollout.message, keep_and_add)
    return replace(change, urgent=True)


def forget(view: View, directory: Mapping[str, Policy], patience: Patience, keep: Keep) -> Change | None:
    """Remove what is left of us once everything is given back; None while there is something to remember."""
    if view.state.leaves or keep(0) or not view.state:  # A quarantine stays while its policy does.
        return None
    until = remembered_until(view, patience)
    if until is not None and until > view.now:
        return None
    return Change(
        verb=Verb.WITHDRAW,
        result=Result.REVERTED,
        object=view.ref,
        resource_version=view.target.metadata.resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(),
        policies=tuple(directory[uid] for uid in view.state.policies if uid in directory),
        reason="removes what is left of us: all is given back",
        disruptive=False,
    )


def remembered_until(view: View, patience: Patience) -> datetime | None:
    """Until when the times of our writes stay, after a temporary leaf was given back; None where nothing was."""
    if view.state.leaves or not view.state.applies or not isinstance(view.target, Declared):
        return None  # Only declared leaves are temporary.
    last = view.state.applies[-1]
    return last.at + patience.window if not last.revision else None


def let_go(view: View, directory: Mapping[str, Policy]) -> Change | None:
    """Take our entry out of managedFields, where a crash or an earlier version of us left it; None where none is."""
    if not has_entry(view.target) or view.recorded_elsewhere:
        return None
    return Change(
        verb=Verb.LET_GO,
        result=Result.APPLIED,
        object=view.ref,
        resource_version=view.target.metadata.resource_version,
        leaves={},
        state=view.state,
        written=(),
        rules=(),
        policies=tuple(directory[uid] for uid in view.state.uids() if uid in directory),
        reason="leaves no ownership behind",
        disruptive=False,
    )


def next_revision(view: View) -> int:
    """The revision that a change of the template now becomes: the Deployment controller counts up by one.

    The Deployment bears its revision, too: the stream of ReplicaSets may be behind.
    """
    newest, own = newest_replica_set(view), view.target.metadata
    known: int = max(own.revision, newest.revision if newest is not None else 0)
    return known + 1


def _withdrawal(
    view: View,
    released: Mapping[str, Held],
    after: ObjectState,
    directory: Mapping[str, Policy],
    result: Result,
    reason: str,
    keep: Keep,
) -> Change:
    gone = [held for text, held in view.state.leaves.items() if text not in after.leaves]
    uids = dict.fromkeys(uid for held in gone for uid in held.policies)
    policies = tuple(directory[uid] for uid in uids if uid in directory)
    paths = tuple(Path.parse(text) for text in sorted(released))
    revision = next_revision(view) if any(path.in_template for path in paths) else 0
    after = replace(after, quarantines=keep(revision))
    scaling = view.scaling({path: released[str(path)].was for path in paths})
    if revision or scaling is Scaling.DOWN:  # Also what is given back rolls out, and is counted until it has.
        after = replace(
            after,
            policies={policy.uid: policy.generation for policy in policies},
            applies=(*after.applies, Apply(view.now, revision)),
        )
    elif any(held.temporary for held in released.values()):  # How often it came and went is remembered.
        after = replace(after, applies=(*view.state.applies, Apply(view.now)))
    return Change(
        verb=Verb.WITHDRAW,
        result=result,
        object=view.ref,
        resource_version=view.target.metadata.resource_version,
        leaves={path: released[str(path)].was for path in paths},
        state=after,
        written=paths,
        rules=tuple(sorted({held.rule for held in released.values()})),
        policies=policies,
        reason=reason,
        revision=revision,
        disruptive=bool(revision),
        scaling=scaling,
        pods=view.workload.pods_replaced if revision and view.workload is not None else 0,
        given_back=released,
        application=view.application.ref if view.application is not None else None,
    )


def _generations(view: View, policies: tuple[Policy, ...], revision: int) -> dict[str, int]:
    """uid -> generation at our last write; one that starts no rollout takes the place of nobody."""
    now = {policy.uid: policy.generation for policy in policies}
    return now if revision else {**view.state.policies, **now}


def _records(view: View, resolution: Resolution, holds: Holds, written: tuple[Path, ...]) -> dict[str, Held]:
    """The record of what we hold after the write: previous values are never rewritten while a leaf stays ours."""
    records = {
        text: held
        for text, held in view.state.leaves.items()
        if not written
        or text in holds.released
        or Path.parse(text) in holds.carried | resolution.winners.keys()
    }
    revision = next_revision(view)
    for path, winner in resolution.winners.items():
        text, active = str(path), tuple(policy.uid for policy in winner.policies)
        over = holds.left if winner.demand.floor is None else frozenset()
        resting = (uid for uid in holds.resting.get(text, ()) if uid not in over)
        uids = tuple(dict.fromkeys((*active, *resting)))
        if path in written:
            records[text] = _taken(view, path, winner, uids, revision if path.in_template else 0)
        elif text in records and set(uids) != set(records[text].policies):
            records[text] = replace(records[text], policies=uids)
    return records


def _taken(view: View, path: Path, winner: Winner, uids: tuple[str, ...], revision: int) -> Held:
    demand, before = winner.demand, view.held(str(path))
    if demand.temporary and before is None:
        observed = observed_value(view.target, path)
        depth = depth_present(view.target, path) if observed is ABSENT else 0
        return Held(demand.rule, demand.value, observed, depth, uids, revision, temporary=True)
    if before is not None and in_force(view.target, path, before, view.application):
        return replace(before, set=demand.value, policies=uids, revision=revision)
    observed = observed_value(view.target, path)
    depth = depth_present(view.target, path) if observed is ABSENT else 0
    if before is not None and observed == before.was:
        return replace(before, set=demand.value, depth=depth, policies=uids, revision=revision)
    if before is not None and observed == before.set:
        return replace(before, set=demand.value, policies=uids, revision=revision)
    return Held(demand.rule, demand.value, observed, depth, uids, revision)


def _policies(winners: list[Winner]) -> tuple[Policy, ...]:
    return tuple({policy.uid: policy for winner in winners for policy in winner.policies}.values())


def _names(view: View, resolution: Resolution, recorded: Mapping[str, Held]) -> dict[str, str]:
    """uid -> name of the policies that hold a leaf."""
    known = dict(view.state.names)
    known |= {policy.uid: policy.name for winner in resolution.winners.values() for policy in winner.policies}
    holding = {uid for held in recorded.values() for uid in held.policies}
    return {uid: known.get(uid, "") for uid in sorted(holding)}


def _annotations(view: View) -> Mapping[str, str] | None:
    """The annotations that are known of the object; None where it has none at all."""
    meta = view.target.metadata
    return meta.annotations if meta.annotated or meta.annotations else None


def _reason(writes: tuple[Judgement, ...]) -> str:
    leaves = ", ".join(str(judgement.demand.path) for judgement in writes)
    return f"sets {leaves}" if writes else "records who demands what it already holds"
