"""One policy's share of all decisions: counts, the worst findings, and what its conditions speak of.

Kept up to date decision by decision, so that a status costs what changed and not what there is. Filled by telling,
read by planning.report.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from resilience_operator.core.findings import STATE_ORDER, State
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.engine.change import Decision, Judged

NAMES = ("compliant", "drifted", "pending", "contested", "quarantined", "reportOnly")
"""The numbers of a status, in the contract's order; together they are what was evaluated."""

_COUNTED = {
    State.QUARANTINED: "quarantined",
    State.CONTESTED: "contested",
    State.DRIFTED: "drifted",
    State.ROLLING_OUT: "pending",
    State.PENDING: "pending",
    State.REPORT_ONLY: "reportOnly",
}
_RANK = {state: rank for rank, state in enumerate(STATE_ORDER)}

Found = tuple[Judged, Decision]


class Tally:
    """All that decisions say about one policy; `sections`: the same counts by section.

    `section_of`: rule id -> section, of all that there are.

    `distrusted`: decisions about objects on which our state is not believed.
    """

    def __init__(
        self, policy: str, section_of: Mapping[str, str], decisions: Iterable[Decision] = ()
    ) -> None:
        self.policy = policy
        self._section_of = section_of
        self.counts: Counter[str] = Counter()
        self.sections: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.findings: Counter[tuple[str, str]] = Counter()
        self.distrusted: dict[Key, Decision] = {}
        self._found: dict[tuple[int, str], dict[Key, list[Found]]] = {}
        for decision in decisions:
            self.add(decision)

    def add(self, decision: Decision) -> None:
        """Count a decision that evaluated or ignored the object for this policy."""
        self._count(decision, 1)
        if decision.distrust and self.policy in decision.evaluated:
            self.distrusted[decision.key] = decision
        for judged in decision.of(self.policy):
            rule = judged.finding.rule
            self.findings[(rule, str(judged.state))] += 1
            of_rule = self._found.setdefault((_RANK[judged.state], rule), {})
            of_rule.setdefault(decision.key, []).append((judged, decision))

    def _count(self, decision: Decision, number: int) -> None:
        self.counts[self._bucket(decision)] += number
        for policy, section in decision.sections:
            if policy == self.policy:
                self.sections[section][self._bucket(decision, section)] += number

    def _bucket(self, decision: Decision, section: str = "") -> str:
        """Under which number an object counts by its worst state, of one section where it is named."""
        if self.policy in decision.ignored:
            return "ignored"
        states = (
            judged.state
            for judged in decision.of(self.policy)
            if not section or self._section_of.get(judged.finding.rule) == section
        )
        worst = min(states, key=_RANK.__getitem__, default=None)
        return "compliant" if worst is None else _COUNTED[worst]

    def remove(self, decision: Decision) -> None:
        """The opposite of `add`, with the decision that was added."""
        self._count(decision, -1)
        self.distrusted.pop(decision.key, None)
        for judged in decision.of(self.policy):
            rule = judged.finding.rule
            self.findings[(rule, str(judged.state))] -= 1
            self._found[(_RANK[judged.state], rule)].pop(decision.key, None)

    def worst(self, most: int) -> list[Found]:
        """The worst findings, by state, rule, namespace, name and message."""
        worst: list[Found] = []
        for _, of_rule in sorted(self._found.items()):
            for key in heapq.nsmallest(most - len(worst), of_rule):
                worst += sorted(of_rule[key], key=lambda found: found[0].finding.message)
        return worst[:most]

    def pending(self) -> list[ObjectRef]:
        """The objects with a finding that waits."""
        rank = _RANK[State.PENDING]
        found = (of_rule for (state, _), of_rule in self._found.items() if state == rank)
        refs = {key: each[0][1].object for of_rule in found for key, each in of_rule.items()}
        return [refs[key] for key in sorted(refs)]

    def contested(self) -> tuple[int, Judged | None]:
        """How many findings are contested, and the first of them by object and rule."""
        rank = _RANK[State.CONTESTED]
        rules = [(rule, found) for (state, rule), found in self._found.items() if state == rank and found]
        firsts = [(min(found), rule, found[min(found)][0][0]) for rule, found in rules]
        first = min(firsts, key=lambda one: one[:2], default=None)
        number = sum(len(each) for _, found in rules for each in found.values())
        return number, first[2] if first is not None else None
