"""Which demanded leaves may be written on an object, rule by rule, whole or not at all. Used by planning.decide."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from resilience_operator.cluster.leaves import observed_value
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import Path, nest
from resilience_operator.engine.contest import Patience, contested
from resilience_operator.engine.merge import RuleDemands, Winner, merge
from resilience_operator.engine.ownership import Judgement, Standing, judge
from resilience_operator.engine.view import View
from resilience_operator.policy.policy import Policy

Asked = RuleDemands
PRINTED = " (as YAML, with all of its object: kubectl resilience plan --patch)"
"""Which command prints the commit as a file has it: a sentence has room for one leaf of it."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """`writes`: judgements to write; `winners`: all merged demands; `contested`: family of rules -> sentence.

    `losers`: (policy name, rule) -> sentence of a lost precedence; `wake_at`: when a contest's wait ends.
    """

    writes: tuple[Judgement, ...]
    winners: Mapping[Path, Winner]
    contested: Mapping[str, str]
    losers: Mapping[tuple[str, str], str]
    wake_at: datetime | None = None


def resolve(view: View, asked: tuple[Asked, ...], patience: Patience) -> Resolution:
    """Merge what the policies demand, judge each leaf's ownership, and leave contested rules out as a whole."""
    merged = merge(asked)
    winners = {path: _not_lowered(one, view) for path, one in merged.winners.items()}
    judgements = [_judge(winners[path], view) for path in sorted(winners)]
    contests: dict[str, str] = {}
    wakes: list[datetime] = []
    for judgement in judgements:
        rule = winners[judgement.demand.path].family
        if judgement.standing is Standing.CHOSEN:
            contests.setdefault(rule, _chosen_sentence(judgement, view))
        contest = contested(judgement, view, patience) if judgement.standing is Standing.FREE else None
        if contest is not None:
            contests.setdefault(rule, contest.message)
            wakes.append(contest.until)
    writes = tuple(
        judgement
        for judgement in judgements
        if judgement.standing is Standing.FREE and winners[judgement.demand.path].family not in contests
    )
    return Resolution(writes, winners, contests, merged.losers, min(wakes, default=None))


def _not_lowered(winner: Winner, view: View) -> Winner:
    """A floor is lowered only where all that hold the higher one now ask for less: not where one is gone or rests."""
    held = view.held(str(winner.demand.path)) if winner.demand.lowers else None
    if held is None or set(held.policies) <= {policy.uid for policy in winner.policies}:
        return winner
    return Winner(replace(winner.demand, value=held.set), winner.policies)


def _judge(winner: Winner, view: View) -> Judgement:
    policy: Policy = winner.policies[0]
    conflicts = policy.conflicts_of(winner.demand.rule, view.ref.kind)
    return judge(winner.demand, view, conflicts)


def _chosen_sentence(judgement: Judgement, view: View) -> str:
    demand = judgement.demand
    path = judgement.chosen or demand.path
    value = observed_value(view.target, path)
    printed = "" if view.recorded_elsewhere else PRINTED
    return f"{judgement.owner.sets(path, value)}; to end it, commit {patch_text(demand)}{printed}"


def patch_text(demand: Demand) -> str:
    """The change to commit, as one line of JSON that is a strategic merge patch."""
    return json.dumps(nest({demand.path: demand.value}), separators=(",", ":"), sort_keys=True)
