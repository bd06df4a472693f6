"""All nodes with their NodeStates as one value, and which of them may be changed now: the waves. Pure.

Made by nodes/events, one for each state of the nodes. Everything is counted from the objects: a new leader counts the
same. A node whose write has no known end is still one that waits, and keeps its turn; turns go by name. One whose write
failed comes last. Values are given back in waves as they were set, and both kinds together keep to one limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Node
from resilience_operator.engine.gates import Place
from resilience_operator.policy.common import OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.kinds import NODE_STATE, NodeState
from resilience_operator.targets.nodes.settings import Waves
from resilience_operator.targets.nodes.states import (
    belongs,
    given_back,
    given_up_at,
    healthy,
    silence,
    worse_since,
)
from resilience_operator.targets.nodes.texts import SYSCTL
from resilience_operator.targets.nodes.wishes import Wish, emptied, left_by, section_of, wish_of

Behind = frozenset[Place | str]
"""What was written last without success: the places of NodeStates, and uids of nodes."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Which nodes of one policy may get their change now."""

    going: frozenset[str] = frozenset()
    why: str = ""
    """Why the others wait."""
    stays: str = ""
    """Why those that are done are still counted; "" where none waits."""
    wake_at: datetime | None = None
    """When time alone lets more go."""


_Pair = tuple[Wave, Wave]
"""Of one policy: what it asks, and what it gives back."""


@dataclass
class Fleet:
    """All nodes, and their NodeStates by name; it remembers the answers of one moment."""

    nodes: tuple[Node, ...]
    states: Mapping[str, NodeState]
    _asked: tuple[tuple[Policy, ...], datetime, Behind] | None = None
    _waves: dict[str, _Pair] = field(default_factory=dict)

    def waves(self, policy: Policy, policies: tuple[Policy, ...], now: datetime, behind: Behind) -> _Pair:
        """The waves of that policy, of all of which `policies` is one of, in the order of their uids."""
        if self._asked != (policies, now, behind):
            self._asked = (policies, now, behind)
            self._waves = waves(self.nodes, self.states, policies, now, behind)
        return self._waves.get(policy.uid, (Wave(), Wave()))


@dataclass
class _Members:
    """The nodes of one policy, as they stand."""

    policy: Policy
    number: int = 0
    settled: int = 0
    """Changed, carried out, and well for the soak time."""
    soaking: int = 0
    """Changed, carried out, and not yet for the soak time."""
    underway: list[str] = field(default_factory=list)
    """Changed, and not yet said to be well."""
    waiting: list[str] = field(default_factory=list)
    """Not changed yet, and free to be; last those whose last write failed."""
    hopeful: bool = False
    """Some of those have not failed."""
    ill: list[str] = field(default_factory=list)
    """Not changed yet, and not well with what they were told before: to change one takes nothing away."""
    failed: list[str] = field(default_factory=list)
    """The same, and their last write failed."""
    down: int = 0
    """Not changed yet, and NotReady: nothing reaches them, and they count."""
    worse: str = ""
    wakes: list[datetime] = field(default_factory=list)
    """When time alone changes any of this."""

    def changed(self, node: Node, state: NodeState, well: bool, now: datetime) -> None:
        """Count one that has what it is to have."""
        limits = self.policy.limits_of((SYSCTL,))
        soak = timedelta(seconds=limits.soak_seconds)
        window = soak + timedelta(seconds=limits.progress_deadline_seconds)
        self.worse = self.worse or worse_since(state, node, window)
        if not well:
            self.underway.append(node.metadata.name)
        elif state.written_at is not None and now < state.written_at + soak:
            self.soaking += 1
            self.wakes.append(state.written_at + soak)
        else:
            self.settled += 1


def waves(
    nodes: tuple[Node, ...],
    states: Mapping[str, NodeState],
    policies: tuple[Policy, ...],
    now: datetime,
    behind: Behind = frozenset(),
) -> dict[str, _Pair]:
    """Uid of a policy -> its waves; each node goes by the highest policy that asks something of it, or by its last."""
    directory = {one.uid: one for one in policies}
    asks: dict[str, _Members] = {}
    leaves: dict[str, _Members] = {}

    def late(node: Node) -> bool:
        place = (NODE_STATE.kind, "", node.metadata.name)
        return bool(behind) and (place in behind or node.metadata.uid in behind)

    for node in sorted(nodes, key=lambda one: (late(one), one.metadata.name)):
        if node.metadata.deletion_timestamp is not None:
            continue
        found = states.get(node.metadata.name)
        state = found if found is not None and belongs(found, node) else None
        wish = wish_of(policies, node, now)
        if wish is not None:
            first = wish.policies[0]
            _ask(asks.setdefault(first.uid, _Members(first)), node, state, wish, now, late(node))
        elif state is not None and (holder := left_by(state, node, directory)) is not None:
            _leave(leaves.setdefault(holder.uid, _Members(holder)), node, state, now, late(node))
    return {
        uid: _pair(asks.get(uid, _Members(directory[uid])), leaves.get(uid, _Members(directory[uid])))
        for uid in asks.keys() | leaves.keys()
    }


def _ask(one: _Members, node: Node, state: NodeState | None, wish: Wish, now: datetime, late: bool) -> None:
    name = node.metadata.name
    one.number += 1
    if state is None:
        if node.ready:
            one.waiting.append(name)
        return
    well = healthy(state, node, now)
    if state.spec == wish.spec:
        one.changed(node, state, well, now)
    elif not node.ready:
        one.down += 1
    elif well:
        one.waiting.append(name)
    else:
        (one.failed if late else one.ill).append(name)


def _leave(one: _Members, node: Node, state: NodeState, now: datetime, late: bool) -> None:
    """Count a NodeState that is let go, where its node gets values back; nobody waits for an agent that is silent."""
    if one.policy.on_release is not OnRelease.REVERT:
        return
    if emptied(state, one.policy) is None and not state.spec.demands:
        one.number += 1
        one.changed(node, state, given_back(state, now), now)
        one.wakes.append(given_up_at(state, now))
    elif emptied(state, one.policy) is not None and not silence(state, now)[0]:
        one.number += 1
        one.waiting.append(node.metadata.name)
        one.hopeful = one.hopeful or not late


def _pair(asks: _Members, leaves: _Members) -> _Pair:
    number = asks.number + leaves.number
    first = _wave(asks, number, len(leaves.underway), "")
    return first, _wave(leaves, number, len(asks.underway) + len(first.going), " to give back")


def _wave(one: _Members, number: int, beside: int, what: str) -> Wave:
    """As many as maxUnavailable leaves, of the canary nodes first; none while one that was changed does worse.

    `beside`: nodes that are taken by the other wave of the policy.
    """
    stays = "its values are back; it is counted until no other waits for its turn" if one.hopeful else ""
    wake_at = min(one.wakes, default=None)
    if one.worse:
        return Wave(why=f"the wave{what} stops: {one.worse}", stays=stays, wake_at=wake_at)
    section = section_of(one.policy)
    asked = section.waves if section is not None else Waves()
    early = one.settled < asked.canary
    most = asked.canary if early else asked.most(number)
    # A canary that soaks keeps its place: others follow once it has done well for long enough.
    taken = len(one.underway) + beside + (one.soaking if early else 0)
    free = max(most - taken - (one.settled if early else 0), 0)
    going = one.ill[:free]
    more = free - len(going)
    if not early:
        more = max(min(more, most - taken - len(one.ill) - len(one.failed) - one.down), 0)
    going += one.waiting[:more]
    going += one.failed[: free - len(going)]
    limit = (
        f"{most} canary nodes"
        if early and most > 1
        else "the canary node"
        if early
        else f"{most} nodes at once"
    )
    example = f" ({one.underway[0]} is not done)" if one.underway else ""
    why = f"waits for its wave{what}: {limit}, {one.settled} of {one.number} are done{example}"
    return Wave(frozenset(going), why, stays, wake_at)
