"""What becomes of the leaves that we hold on an object: carried on, given back, or forgotten. Used by planning.decide.

An apply carries every leaf that we own: one that leaves it out would delete it and restart the pods, also where our
record of it is lost. A leaf is given back only when every policy that demanded it let go of it with onRelease: Revert.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.cluster.leaves import (
    home_exists,
    is_published,
    observed_value,
    other_mode,
    slot,
)
from resilience_operator.cluster.ownership import adopters, appliers, owned_by_us
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.state import Held
from resilience_operator.engine.ownership import owned_paths
from resilience_operator.engine.view import View
from resilience_operator.policy.policy import Mode, OnRelease, Policy, family


@dataclass(frozen=True, slots=True)
class Holds:
    """`carried`: path -> value that every apply repeats; `released`: written path -> Held to give back.

    `unrecorded`: path -> present value of all other leaves that are ours by managedFields; an apply repeats them, too:
    of some our record is lost, one may be released while an opt-out keeps it, and of a constraint somebody may have
    changed one field.

    `changed`: held leaves that somebody changed after us and no policy demands: left alone, forgotten.

    `adopted`: written path -> Held of leaves to give back whose value somebody else has made their own since: they
    stay as they are, and are forgotten.

    `resting`: written path -> uids of the policies that keep their hold on it without asking for it now.

    `left`: uids of those among them that let go of the whole object: what they say of release is over once another
    demands the leaf. Only a floor stays theirs, for it would be lowered at once.
    """

    carried: Mapping[Path, JSON]
    released: Mapping[str, Held]
    changed: tuple[Path, ...]
    unrecorded: Mapping[Path, JSON]
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


def sort_holds(view: View, covering: Mapping[str, Covering], directory: Mapping[str, Policy]) -> Holds:
    """Sort all that we hold on the object; `covering` and `directory` are by policy uid."""
    carried: dict[Path, JSON] = {}
    released: dict[str, Held] = {}
    changed: list[Path] = []
    shared: dict[str, Held] = {}
    for text, held in view.state.leaves.items():
        path = Path.parse(text)
        intact = in_force(view, path, held)
        demanded = any(text in one.demands for one in covering.values())
        if intact and not demanded and _is_released(text, held, covering, directory):
            (shared if adopted(view, path, held) else released)[text] = held
        elif intact and not demanded and _outlived(view, path, held, covering):
            released[text] = replace(held, was=ABSENT, depth=1)
        elif intact:
            carried[path] = held.set
        elif not demanded and view.recorded_elsewhere and _is_released(text, held, covering, directory):
            shared[text] = held  # Its record is not on the add-on itself, and would stay for ever.
        elif not demanded and home_exists(view.target, path):
            changed.append(path)
    for text in view.needed(released):
        shared[text] = released.pop(text)
    # What we own and do not carry as we set it is repeated as it is now: to leave it out would delete it.
    unrecorded = {
        Path.parse(text): observed_value(view.target, Path.parse(text))
        for text in owned_paths(view.target) - {str(path) for path in carried}
        if is_published(Path.parse(text), view.target) and not _applied_by_others(view, Path.parse(text))
    }
    resting = {text: _resting(held, covering) for text, held in view.state.leaves.items()}
    return Holds(carried, released, tuple(changed), unrecorded, shared, resting)


def _resting(held: Held, covering: Mapping[str, Covering]) -> tuple[str, ...]:
    """Uids of the policies that keep their hold without asking for it now: gone, out of sight, or at rest."""
    return tuple(
        uid
        for uid in held.policies
        if (one := covering.get(uid)) is None or family(held.rule) in one.quiet_rules
    )


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
    return any(family(held.rule) in one.active_rules for one in ours)


def held_demands(view: View, policy: Policy, demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """Of the demands those that the policy holds already, each for the value that is there: nothing new is written.

    A policy that starts nothing any more still stands by what it wrote, so that no other takes its place.
    """
    kept = [(demand, view.held(str(demand.path))) for demand in demands]
    return tuple(
        replace(demand, value=held.set)
        for demand, held in kept
        if held is not None and policy.uid in held.policies and in_force(view, demand.path, held)
    )


def without(holds: Holds, paths: frozenset[Path]) -> Holds:
    """The holds without those leaves: neither carried nor given back."""
    unrecorded = {path: value for path, value in holds.unrecorded.items() if path not in paths}
    carried = {path: value for path, value in holds.carried.items() if path not in paths}
    released = {text: held for text, held in holds.released.items() if Path.parse(text) not in paths}
    return replace(holds, carried=carried, released=released, unrecorded=unrecorded)


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
        and in_force(view, path, one)
        and not adopted(view, path, one)
    )


def adopted(view: View, path: Path, held: Held) -> bool:
    """True where the value that we set is another's as well: applied by them, or in their manifest where none was.

    Of a number of replicas also where something scales the Deployment now: it decides from here on, and the number
    from before could be a low one that lasts until it has looked.
    """
    if view.kept(path):
        return True
    chosen = view.target.chosen
    committed = (held.was is ABSENT and str(path) in chosen) or f"{path}={held.set}" in chosen
    return committed or bool(adopters(view.target, path, view.application))


def _applied_by_others(view: View, path: Path) -> bool:
    return bool(appliers(view.target, path, view.application))


def in_force(view: View, path: Path, held: Held) -> bool:
    """True where the leaf is as we set it, and ours."""
    if not home_exists(view.target, path) or not owned_by_us(view.target, path):
        return False
    return bool(observed_value(view.target, path) == held.set)


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
        if one is not None and not policy.deleting and family(held.rule) in one.quiet_rules:
            return False
        if rests(policy) or policy.on_release is OnRelease.RETAIN:
            return False
        reverting = True
    return reverting


def rests(policy: Policy) -> bool:
    """True where the policy writes nothing, not even what was there before: suspended, or Audit throughout."""
    modes = [policy.rule_mode(name, rule) for name, one in policy.sections.items() for rule in one.rules]
    modes = modes or [policy.section_mode(name) for name in policy.sections] or [policy.mode]
    return policy.suspend or (Mode.ENFORCE not in modes and not policy.deleting)
