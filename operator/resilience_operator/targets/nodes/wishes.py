"""What all policies together ask of one node, as the spec of its NodeState, and what is left once nobody does. Pure;
used by own_states and fleet.

Per sysctl the highest policy counts; of equals that disagree nobody writes it. Thresholds are the highest policy's,
protected Services are those of all. Values are given back only where every policy that asks says Revert.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resilience_operator.cluster.objects.workloads import Node
from resilience_operator.engine.optout import ALL, opted_out
from resilience_operator.policy.common import Mode, OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.kinds import (
    Levels,
    NodeState,
    NodeStateSpec,
    Purge,
    Service,
    WantedSysctl,
)
from resilience_operator.targets.nodes.settings import Conntrack, Pressure, StaleEntries, Sysctls
from resilience_operator.targets.nodes.states import cores_of, takes_agents
from resilience_operator.targets.nodes.texts import PRESSURE, SECTION, STALE, SYSCTL

MOST_SERVICES = 16
RULES = (SYSCTL, PRESSURE, STALE)


@dataclass(frozen=True, slots=True)
class Wish:
    """The spec that a node's NodeState is to have."""

    spec: NodeStateSpec
    policies: tuple[Policy, ...]
    """Whose demands it holds, the highest first: it bears the name of the first one."""
    rules: tuple[str, ...]
    contested: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(policy name, rule) -> why something of it is not written."""


def section_of(policy: Policy) -> Conntrack | None:
    """What the policy asks of nodes."""
    section = policy.sections.get(SECTION)
    return section if isinstance(section, Conntrack) else None


def selects(policy: Policy, node: Node) -> bool:
    """True where the policy speaks of the node."""
    section = section_of(policy)
    return section is not None and takes_agents(node) and section.node_selector.matches(node.metadata.labels)


def enforced(policy: Policy, node: Node, now: datetime) -> tuple[str, ...]:
    """The rules for which the policy would write on this node."""
    if policy.suspend or policy.deleting or not selects(policy, node):
        return ()
    meta = node.metadata
    return tuple(
        rule
        for rule in RULES
        if rule in policy.rules
        and policy.rule_mode(rule) is Mode.ENFORCE
        and opted_out(meta.labels, meta.annotations, (rule, ALL), now) is None
    )


def wish_of(policies: Iterable[Policy], node: Node, now: datetime) -> Wish | None:
    """What is to stand in the node's NodeState; None where nobody asks for anything."""
    asking = [(one, rules) for one in policies if (rules := enforced(one, node, now))]
    asking.sort(key=lambda one: (-one[0].priority, one[0].name))
    if not asking:
        return None
    contested: dict[tuple[str, str], str] = {}
    sysctls = _sysctls([one for one, rules in asking if SYSCTL in rules], cores_of(node), contested)
    levels = [one.rules[PRESSURE] for one, rules in asking if PRESSURE in rules]
    purges = [one.rules[STALE] for one, rules in asking if STALE in rules]
    revert = all(one.on_release is OnRelease.REVERT for one, _ in asking)
    spec = NodeStateSpec(
        sysctls=sysctls,
        on_release=str(OnRelease.REVERT if revert else OnRelease.RETAIN),
        pressure=_levels(levels[0]) if levels else None,
        stale_entries=_purge(purges) if purges else None,
    )
    used = {rule for _, rules in asking for rule in rules}
    return Wish(spec, tuple(one for one, _ in asking), tuple(one for one in RULES if one in used), contested)


def left_by(state: NodeState, node: Node, directory: Mapping[str, Policy]) -> Policy | None:
    """The policy that lets go of a NodeState of which nobody asks anything now, from all policies by uid.

    None where a policy rests, audits, or its node is opted out: then nothing is written, and the agent goes on as told.
    """
    holder = directory.get(state.policy)
    if holder is None or state.metadata.deletion_timestamp is not None:
        return None
    rests = holder.suspend or (selects(holder, node) and any(one in holder.rules for one in RULES))
    return holder if holder.deleting or not rests else None


def emptied(state: NodeState, holder: Policy) -> NodeStateSpec | None:
    """What a NodeState that is let go says before it goes, for its agent to forget; None where it goes as it is."""
    told, wanted = state.spec.on_release, str(holder.on_release)
    after = NodeStateSpec(on_release=wanted)
    forgets = OnRelease.REVERT in (told, wanted) and (told != wanted or bool(state.spec.sysctls))
    return after if forgets and state.spec != after else None


def _sysctls(
    policies: list[Policy], cores: int, contested: dict[tuple[str, str], str]
) -> tuple[WantedSysctl, ...]:
    found: dict[str, tuple[Policy, WantedSysctl]] = {}
    split: dict[str, Policy] = {}
    for policy in policies:
        for wanted in wanted_of(policy.rules[SYSCTL], cores):
            if wanted.name in split:
                contested[policy.name, SYSCTL] = _disagree(split[wanted.name], wanted.name)
                continue
            first, known = found.setdefault(wanted.name, (policy, wanted))
            if known == wanted:
                continue
            if first.priority > policy.priority:
                why = (
                    f"policy {first.name} (priority {first.priority}) demands another value of {wanted.name}"
                )
                contested[policy.name, SYSCTL] = why
                continue
            del found[wanted.name]
            split[wanted.name] = first
            contested[policy.name, SYSCTL] = _disagree(first, wanted.name)
            contested[first.name, SYSCTL] = _disagree(policy, wanted.name)
    return tuple(sorted((one for _, one in found.values()), key=lambda one: one.name))


def _disagree(other: Policy, name: str) -> str:
    return (
        f"policy {other.name} has the same priority ({other.priority}) and demands another value of {name}; "
        "nobody writes it"
    )


def wanted_of(settings: object, cores: int) -> tuple[WantedSysctl, ...]:
    """The sysctls that one policy wants on a node of that many cores; without those whose formula has no value."""
    if not isinstance(settings, Sysctls):
        return ()
    every = ((one, one.of(cores)) for one in settings.values)
    return tuple(
        WantedSysctl(one.name, value, settings.direction_of(one.name))
        for one, value in every
        if value is not None
    )


def _levels(settings: object) -> Levels | None:
    if not isinstance(settings, Pressure):
        return None
    return Levels(settings.warning_percent, settings.critical_percent)


def _purge(every: Iterable[object]) -> Purge:
    asked = [one for one in every if isinstance(one, StaleEntries)]
    services = dict.fromkeys(Service(one.namespace, one.name) for each in asked for one in each.services)
    named = sorted(list(services)[:MOST_SERVICES], key=lambda one: (one.namespace, one.name))
    return Purge(tuple(named), min(one.max_per_second for one in asked))
