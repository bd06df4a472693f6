"""All nodes with their NodeStates as one value, and which of them may be changed now: the waves. Pure.

Made by nodes/events, one for each state of the nodes. Everything is counted from the objects: a new leader counts the
same. A node whose write has no known end is still one that waits, and keeps its turn, which goes by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Node
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.kinds import NodeState
from resilience_operator.targets.nodes.settings import Waves
from resilience_operator.targets.nodes.states import belongs, healthy, worse_since
from resilience_operator.targets.nodes.texts import SYSCTL
from resilience_operator.targets.nodes.wishes import Wish, section_of, wish_of


@dataclass(frozen=True, slots=True)
class Wave:
    """Which nodes of one policy may get their change now."""

    going: frozenset[str] = frozenset()
    why: str = ""
    """Why the others wait."""
    wake_at: datetime | None = None
    """When time alone lets more go."""


@dataclass
class Fleet:
    """All nodes, and their NodeStates by name; it remembers the answers of one moment."""

    nodes: tuple[Node, ...]
    states: Mapping[str, NodeState]
    _asked: tuple[tuple[Policy, ...], datetime] | None = None
    _waves: dict[str, Wave] = field(default_factory=dict)

    def wave(self, policy: Policy, policies: tuple[Policy, ...], now: datetime) -> Wave:
        """The wave of that policy, of all of which `policies` is one of, in the order of their uids."""
        if self._asked != (policies, now):
            self._asked, self._waves = (policies, now), waves(self.nodes, self.states, policies, now)
        return self._waves.get(policy.uid, Wave())


@dataclass
class _Members:
    """The nodes of one policy, as they stand."""

    policy: Policy
    number: int = 0
    settled: int = 0
    """Changed, carried out, and well for the soak time."""
    soaking: list[datetime] = field(default_factory=list)
    """When those that are well will have been so for the soak time."""
    underway: list[str] = field(default_factory=list)
    """Changed, and not yet said to be well."""
    waiting: list[str] = field(default_factory=list)
    """Not changed yet, and free to be."""
    ill: list[str] = field(default_factory=list)
    """Not changed yet, and not well with what they were told before: to change one takes nothing away."""
    down: int = 0
    """Not changed yet, and NotReady: nothing reaches them, and they count."""
    worse: str = ""


def waves(
    nodes: tuple[Node, ...], states: Mapping[str, NodeState], policies: tuple[Policy, ...], now: datetime
) -> dict[str, Wave]:
    """Uid of a policy -> its wave; each node goes by the highest policy that asks something of it."""
    members: dict[str, _Members] = {}
    for node in sorted(nodes, key=lambda one: one.metadata.name):
        wish = wish_of(policies, node, now)
        if wish is not None and node.metadata.deletion_timestamp is None:
            first = wish.policies[0]
            state = states.get(node.metadata.name)
            mine = state if state is not None and belongs(state, node) else None
            _count(members.setdefault(first.uid, _Members(first)), node, mine, wish, now)
    return {uid: _wave(one) for uid, one in members.items()}


def _count(one: _Members, node: Node, state: NodeState | None, wish: Wish, now: datetime) -> None:
    name, limits = node.metadata.name, one.policy.limits_of((SYSCTL,))
    soak = timedelta(seconds=limits.soak_seconds)
    one.number += 1
    if state is None and node.ready:
        one.waiting.append(name)
    if state is None:
        return
    well = healthy(state, node, now)
    if state.spec != wish.spec:
        if not node.ready:
            one.down += 1
            return
        (one.waiting if well else one.ill).append(name)
        return
    window = soak + timedelta(seconds=limits.progress_deadline_seconds)
    one.worse = one.worse or worse_since(state, node, window)
    if not well:
        one.underway.append(name)
    elif state.written_at is not None and now < state.written_at + soak:
        one.soaking.append(state.written_at + soak)
    else:
        one.settled += 1


def _wave(one: _Members) -> Wave:
    """As many as maxUnavailable leaves, of the canary nodes first; none while one that was changed does worse."""
    if one.worse:
        return Wave(why=f"the wave stops: {one.worse}")
    section = section_of(one.policy)
    asked = section.waves if section is not None else Waves()
    early = one.settled < asked.canary
    most = asked.canary if early else asked.most(one.number)
    # A canary that soaks keeps its place: others follow once it has done well for long enough.
    taken = len(one.underway) + (len(one.soaking) if early else 0)
    free = most - taken - (one.settled if early else 0)
    anew = one.ill[: max(free, 0)]
    more = free - len(anew)
    if not early:
        more = min(more, most - taken - len(one.ill) - one.down)
    going = anew + one.waiting[: max(more, 0)]
    what = (
        f"{most} canary nodes"
        if early and most > 1
        else "the canary node"
        if early
        else f"{most} nodes at once"
    )
    example = f" ({one.underway[0]} is not done)" if one.underway else ""
    why = f"waits for its wave: {what}, {one.settled} of {one.number} are done{example}"
    return Wave(frozenset(going), why, min(one.soaking, default=None))
