"""What becomes of the leaves that we hold on an object: held on, given back, or forgotten. Used by engine/decide.

A leaf is given back only when every policy that demanded it let go of it with onRelease: Revert.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.cluster.leaves import (
    home_exists,
    observed_value,
    other_mode,
    slot,
)
from resilience_operator.cluster.ownership import committed, copied, in_force
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import Held
from resilience_operator.engine.view import View
from resilience_operator.policy.common import Mode, OnRelease
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Holds:
    """`carried`: paths of the leaves that stay ours; `released`: written path -> Held to give back.

    `changed`: held leaves that somebody changed after us and no policy demands: left alone, forgotten.

    `adopted`: written path -> Held of leaves to give back whose value somebody else has made their own since: they
    stay as they are, and are forgotten.

    `resting`: written path -> uids of the policies that keep their hold on it without asking for it now.

    `left`: uids of those among them that let go of the whole object: what they say of release is over once another
    demands the leaf. Only a floor stays theirs, for it would be lowered at once.
    """

    carried: frozenset[Path]
    released: Mapping[str, Held]
    changed: tuple[Path, ...]
    adopted: Mapping[str, Held] = field(default_factory=dict)
    resting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Covering:
    """How a policy stands to the object now: `demands` are the written paths that it actively demands.

    `active_rules`: families of rules that it enforces here. `quiet_rules`: families of rules that it asks for and does
    not enforce now (Audit, suspended, opted out), or that had nothing to demand: what they hold is carried.
    """

    policy: Policy
    demands: frozenset[str]
    active_rules: frozenset[str]
    quiet_rules: frozenset[str]
    wanted: frozenset[str] = frozenset()
    """Written paths of the temporary leaves that its rules demand, whether it enforces them now or not."""

    def rests_on(self, held: Held) -> bool:
        """True where the policy keeps the leaf without asking for it now."""
        return self.policy.catalog.family(held.rule) in self.quiet_rules


def sort_holds(view: View, covering: Mapping[str, Covering], directory: Mapping[str, Policy]) -> Holds:
    """Sort all that we hold on the object; `covering` and `directory` are by policy uid."""
    carried: set[Path] = set()
    released: dict[str, Held] = {}
    changed: list[Path] = []
    shared: dict[str, Held] = {}
    for text, held in view.state.leaves.items():
        path = Path.parse(text)
        intact = in_force(view.target, path, held, view.application)
        demanded = any(text in one.demands for one in covering.values())
        over = _lapsed(text, held, covering, directory) or _is_released(text, held, covering, directory)
        if intact and not demanded and over:
            (shared if adopted(view, path, held) else released)[text] = held
        elif intact and not demanded and _outlived(view, path, held, covering):
            released[text] = replace(held, was=ABSENT, depth=1)
        elif intact:
            carried.add(path)
        elif (
            not demanded and _made_theirs(view, path, held) and _is_released(text, held, covering, directory)
        ):
            shared[text] = held
        elif not demanded and home_exists(view.target, path):
            changed.append(path)
    for text in view.needed(released):
        shared[text] = released.pop(text)
    resting = {text: _resting(held, covering) for text, held in view.state.leaves.items()}
    return Holds(frozenset(carried), released, tuple(changed), shared, resting)


def _resting(held: Held, covering: Mapping[str, Covering]) -> tuple[str, ...]:
    """Uids of the policies that keep their hold without asking for it now: gone, out of sight, or at rest."""
    return tuple(uid for uid in held.policies if (one := covering.get(uid)) is None or one.rests_on(held))


def who_left(view: View, covering: Mapping[str, Covering], directory: Mapping[str, Policy]) -> frozenset[str]:
    """Uids of the policies that hold something on the object, and do not speak of it any more.

    Not of one that is gone, for it has nothing to say, nor of one out of sight, for it may speak to another operator.
    """
    absent = (directory[uid] for uid in view.state.uids() - covering.keys() if uid in directory)
    return frozenset(policy.uid for policy in absent if not policy.deleting and not rests(policy))


def _outlived(view: View, path: Path, held: Held, covering: Mapping[str, Covering]) -> bool:
    """True where our key of a CPA's ConfigMap stands beside the one to which its owner went over.

    With both keys the autoscaler scales nothing, and the owner cannot remove what is ours: whatever onRelease says, it
    goes, and the value from before us is what the owner gave up. Only for a policy that enforces the floor here.
    """
    other = other_mode(path, view.target)
    if other is None or view.held(str(other)) is not None or adopted(view, path, held):
        return False
    ours = [one for uid, one in covering.items() if uid in held.policies]
    return any(one.policy.catalog.family(held.rule) in one.active_rules for one in ours)


def held_demands(view: View, policy: Policy, demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """Of the demands those that the policy holds already, each for the value that is there: nothing new is written.

    A policy that starts nothing any more still stands by what it wrote, so that no other takes its place.
    """
    kept = [(demand, view.held(str(demand.path))) for demand in demands]
    return tuple(
        replace(demand, value=held.set)
        for demand, held in kept
        if held is not None
        and policy.uid in held.policies
        and in_force(view.target, demand.path, held, view.application)
    )


def without(holds: Holds, paths: frozenset[Path]) -> Holds:
    """The holds without those leaves: neither carried nor given back."""
    released = {text: held for text, held in holds.released.items() if Path.parse(text) not in paths}
    return replace(holds, carried=holds.carried - paths, released=released)


def superseded(view: View, written: Iterable[Path]) -> frozenset[Path]:
    """Leaves of ours in whose place others are written now: the same apply takes them out, whatever onRelease says.

    One that stands where an owner's value was is kept, for its previous value would be lost; and so is one that an
    owner has made their own since.
    """
    paths = frozenset(written)
    slots = {slot(path) for path in paths}
    held = {Path.parse(text): one for text, one in view.state.leaves.items()}
    return frozenset(
        path
        for path, one in held.items()
        if path not in paths
        and slot(path) in slots
        and one.was is ABSENT
        and in_force(view.target, path, one, view.application)
        and not adopted(view, path, one)
    )


def adopted(view: View, path: Path, held: Held) -> bool:
    """True where the value that we set is the owner's as well: it stands in their manifest.

    Of a number of replicas also where something scales the Deployment now: it decides from here on, and the number
    from before could be a low one that lasts until it has looked.
    """
    if view.kept(path):
        return True
    if copied(view.target, path, view.application):
        return False
    in_manifest = held.was is ABSENT and str(path) in view.target.chosen
    return in_manifest or committed(view.target, path, held, view.application)


def _made_theirs(view: View, path: Path, held: Held) -> bool:
    """True where our value stands, and another manager owns it by now; or where its record lies on another object.

    There it would stay for ever.
    """
    return view.recorded_elsewhere or observed_value(view.target, path) == held.set


def _lapsed(text: str, held: Held, covering: Mapping[str, Covering], directory: Mapping[str, Policy]) -> bool:
    """True where a temporary leaf is over: no rule of its policies demands it any more, be they at rest or not.

    Whatever onRelease says; not while all of them are unknown.
    """
    known = [directory[uid] for uid in held.policies if uid in directory] if held.temporary else []
    wanting = (covering[one.uid].wanted for one in known if one.uid in covering and not one.deleting)
    return bool(known) and not any(text in wanted for wanted in wanting)


def _is_released(
    text: str, held: Held, covering: Mapping[str, Covering], directory: Mapping[str, Policy]
) -> bool:
    """A policy that is gone retained; one that merely rests keeps its hold; the others must all say Revert."""
    reverting = False
    for uid in held.policies:
        policy = directory.get(uid)
        if policy is None:
            continue
        one = covering.get(uid)
        if one is not None and not policy.deleting and one.rests_on(held):
            return False
        if rests(policy) or policy.on_release is OnRelease.RETAIN:
            return False
        reverting = True
    return reverting


def rests(policy: Policy) -> bool:
    """True where the policy writes nothing, not even what was there before: suspended, or Audit throughout."""
    return policy.suspend or (Mode.ENFORCE not in policy.modes and not policy.deleting)
