"""The demands of policies on one object, merged by precedence. Used by planning.decide and planning.remedy.

Per rule, whole or not at all: a policy whose demands of a rule disagree with a higher policy's on any leaf loses
all of that rule; policies of equal priority that disagree both lose, and what they fought over is written by nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from resilience_operator.cluster.leaves import slot
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import Path
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Winner:
    """A demand that is to hold, and the policies that demand it, the highest first."""

    demand: Demand
    policies: tuple[Policy, ...]

    @property
    def family(self) -> str:
        """What its rule has in common with those that write the same leaves."""
        return self.policies[0].catalog.family(self.demand.rule)


@dataclass(frozen=True, slots=True)
class Merged:
    """`winners` by path, and per (policy name, rule) that lost the sentence why."""

    winners: Mapping[Path, Winner]
    losers: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class RuleDemands:
    """What one policy demands by one rule on the object; `quiet`: it writes nothing, and outranks nobody who does."""

    policy: Policy
    rule: str
    demands: tuple[Demand, ...]
    quiet: bool = False

    @property
    def family(self) -> str:
        """What the rule has in common with those that write the same leaves."""
        return self.policy.catalog.family(self.rule)

    @property
    def rank(self) -> tuple[bool, int]:
        """What sorts the highest first."""
        return (self.quiet, -self.policy.priority)


def merge(asked: Iterable[RuleDemands]) -> Merged:
    """Merge all demands of one object; every family of rules by itself, for others never share a leaf."""
    winners: dict[str, Winner] = {}
    losers: dict[tuple[str, str], str] = {}
    ordered = sorted(asked, key=lambda one: (one.family, one.rank, one.policy.name))
    for _, of_rule in groupby(ordered, key=lambda one: one.family):
        blocked: dict[str, str] = {}
        for _, tier in groupby(list(of_rule), key=lambda one: one.rank):
            _merge_tier(list(tier), winners, losers, blocked)
    return Merged({winner.demand.path: winner for winner in winners.values()}, losers)


def _merge_tier(
    tier: list[RuleDemands],
    winners: dict[str, Winner],
    losers: dict[tuple[str, str], str],
    blocked: dict[str, str],
) -> None:
    """`winners` and `blocked` are by slot: what only one value can fill."""
    beaten = {one.policy.name: _beaten(one, winners, blocked) for one in tier}
    equals = [one for one in tier if not beaten[one.policy.name]]
    rivalled = {one.policy.name: _rivalled(one, equals) for one in equals}
    for one in tier:
        reason = beaten[one.policy.name] or rivalled[one.policy.name]
        if reason:
            losers[(one.policy.name, one.rule)] = reason
    for one in equals:
        for demand in one.demands:
            place = slot(demand.path)
            if rivalled[one.policy.name]:
                blocked[place] = one.policy.name
                continue
            winners[place] = _joined(winners.get(place), Winner(demand, (one.policy,)))


def _joined(before: Winner | None, new: Winner) -> Winner:
    """Both agree; of two floors the higher one holds for both, and its policy comes first."""
    if before is None:
        return new
    higher = (new.demand.floor or 0) > (before.demand.floor or 0)
    first, second = (new, before) if higher else (before, new)
    return Winner(first.demand, tuple(dict.fromkeys((*first.policies, *second.policies))))


def _beaten(one: RuleDemands, winners: Mapping[str, Winner], blocked: Mapping[str, str]) -> str:
    for demand in one.demands:
        place = slot(demand.path)
        winner = winners.get(place)
        if winner is not None and _differs(winner.demand, demand):
            top = winner.policies[0]
            return f"policy {top.name} (priority {top.priority}) demands another value of {place}"
        if winner is None and place in blocked:
            return f"policies of a higher priority disagree on {place}, {blocked[place]} among them"
    return ""


def _rivalled(one: RuleDemands, tier: list[RuleDemands]) -> str:
    mine = {slot(demand.path): demand for demand in one.demands}
    for other in tier:
        for demand in other.demands:
            place = slot(demand.path)
            if place in mine and _differs(mine[place], demand):
                return (
                    f"policy {other.policy.name} has the same priority ({other.policy.priority}) and demands "
                    f"another value of {place}; nobody writes it"
                )
    return ""


def _differs(one: Demand, other: Demand) -> bool:
    if one.floor is not None and other.floor is not None and one.path == other.path:
        return False
    return (one.path, one.value) != (other.path, other.value)
