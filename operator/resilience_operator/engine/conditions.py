"""The conditions of a policy: each status, reason and message in words. Pure; used by engine/status.

Each function answers for the condition of its name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.core.findings import State
from resilience_operator.core.plain import SENTENCE, plain
from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.engine.change import Decision
from resilience_operator.engine.holds import rests
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.records import SinceKey
from resilience_operator.engine.rollout import Phase
from resilience_operator.engine.tally import Tally
from resilience_operator.engine.wording import enumerated, sentence
from resilience_operator.policy.common import EVERYTHING, Mode, Problem, Selector
from resilience_operator.policy.policy import Policy

Answer = tuple[str, str, str]
"""A condition's status, reason and message."""

MAX_REASONS = 2
"""So many groups of those that wait are told of."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a status needs beside the decisions: who found what when, and what the operator itself lacks."""

    since: Mapping[SinceKey, str] = field(default_factory=dict)
    """(policy, rule, reason, kind, namespace, name) -> RFC 3339 time."""

    remediations: Sequence[Mapping[str, Any]] = ()
    """The newest first."""

    degraded: tuple[str, ...] = ()
    """Sentences about the operator, such as a stale stream, for every policy."""

    active: Sequence[Decision] = ()
    """The decisions with a change, a rollout or a quarantine."""

    undecided: frozenset[Key] = frozenset()
    """Objects about which nothing can be decided."""

    unguarded: str = ""
    """Why nothing is enforced, "" where it may be."""

    paused: str = ""
    """By what everything is paused, "" where it is not."""

    rights: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(namespace, kind) -> which right the operator lacks there."""

    served_by: str = ""
    """The namespace of the operator."""

    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Every Namespace with its labels."""


@dataclass(frozen=True, slots=True)
class About:
    """One policy, and all that there is to say about it."""

    policy: Policy
    problems: Sequence[Problem]
    tally: Tally
    schedule: Schedule
    known: Known
    numbers: Mapping[str, Any]
    """status.summary."""


def conditions(about: About) -> list[tuple[str, Answer]]:
    """(type, answer) of all five, in the contract's order; of a policy that is not accepted, Stalled as well."""
    every = [
        ("Ready", ready(about)),
        ("Compliant", compliant(about)),
        ("Progressing", progressing(about)),
        ("Degraded", degraded(about)),
        ("Contested", contested(about)),
    ]
    return [*every, ("Stalled", stalled(about))] if about.problems else every


def worst(every: Iterable[tuple[str, Answer]]) -> str:
    """The message of the condition that somebody should read first."""
    told = dict(every)
    order = (("Ready", "False"), ("Degraded", "True"), ("Contested", "True"), ("Compliant", "False"))
    found = (told[kind] for kind, bad in order if told[kind][0] == bad)
    return next(found, told["Ready"])[2]


def ready(about: About) -> Answer:
    """Whether the policy is taken as it is, and what it does."""
    policy, known = about.policy, about.known
    if about.problems:
        return "False", "Invalid", _refused(about.problems)
    if known.unguarded and not rests(policy):
        return "False", "Unguarded", known.unguarded
    if policy.suspend:
        observed = counted(about.numbers["evaluated"], "object")
        return "True", "Suspended", f"suspended (spec.suspend: true): observes {observed}, writes nothing"
    if known.paused and not rests(policy):
        return "True", "Paused", f"{known.paused}: nothing is written"
    if not about.numbers["evaluated"] and not about.numbers["ignored"]:
        return "True", "NothingSelected", _nothing(policy, known.namespaces)
    return "True", "Accepted", _does(str(about.numbers["mode"]), about.numbers["evaluated"])


def _refused(problems: Sequence[Problem]) -> str:
    first = f"{problems[0].path}: {problems[0].message}"
    return first if len(problems) == 1 else f"{plain(first, 270)} (and {len(problems) - 1} more)"


def _does(mode: str, objects: int) -> str:
    what = {
        Mode.AUDIT.value: f"audits {counted(objects, 'object')}, writes nothing",
        Mode.ENFORCE.value: f"enforces on {counted(objects, 'object')}",
    }
    return what.get(mode, f"enforces some rules and audits the others, on {counted(objects, 'object')}")


def _nothing(policy: Policy, namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """What of the policy matches nothing."""
    if not policy.sections:
        return "asks for nothing: spec has no section, such as deployments"
    if not policy.rules:
        return f"asks for nothing: {enumerated(sorted(policy.sections))} without a rule, such as spread: {{}}"
    asked = sorted((name, rules) for name, rules in policy.asked.items() if rules)
    told = (_unmatched(f"spec.{name}", policy.sections[name], rules, namespaces) for name, rules in asked)
    return plain(f"nothing is selected: {'; '.join(told)}")


def _unmatched(
    where: str, section: Any, rules: Mapping[str, Any], known: Mapping[str, Mapping[str, str]]
) -> str:
    """The first part of a section that nothing matches: its namespaces, their labels, or those of the objects."""
    every = counted(len(known), "Namespace")
    for of, settings in ((where, section), *((f"rule {rule}", one) for rule, one in rules.items())):
        scope = getattr(settings, "namespaces", None)
        known = {name: labels for name, labels in known.items() if scope is None or scope.covers(name)}
        if not known:
            return f"namespaces of {of} covers none of {every}"
    if not any(_labels(section, "namespace_selector").matches(labels) for labels in known.values()):
        return f"namespaceSelector of {where} matches none of {counted(len(known), 'Namespace')} in scope"
    if _labels(section, "selector") != EVERYTHING:
        return f"selector of {where} matches no object in {counted(len(known), 'Namespace')} in scope"
    return f"there is nothing of what {where} is about"


def _labels(section: Any, name: str) -> Selector:
    """A selector of a section; where it has none, everything."""
    found: Selector = getattr(section, name, EVERYTHING)
    return found


def compliant(about: About) -> Answer:
    """Whether all is as the policy demands."""
    numbers, undecided = about.numbers, about.known.undecided
    if about.problems:
        return "Unknown", "NotEvaluated", "the policy is not accepted"
    evaluated, reported = numbers["evaluated"], numbers["reportOnly"]
    drifting = evaluated - numbers["compliant"] - reported
    if drifting:
        return "False", "DriftFound", _drift(about, drifting, evaluated)
    if undecided:
        more = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
        return "Unknown", "NotEvaluated", f"nothing can be decided about {'/'.join(min(undecided)[:2])}{more}"
    if not evaluated:
        ignored = numbers["ignored"]
        why = f"{counted(ignored, 'object')}, all opted out" if ignored else "no object is selected"
        return "Unknown", "NothingSelected", f"{why}: nothing is judged"
    if reported:
        few = f"{reported} of {counted(evaluated, 'object')}"
        return "True", "ReportOnly", f"nothing that may be enforced drifts; {few} with findings only reported"
    return "True", "NoDrift", f"{counted(evaluated, 'object')} as the policy demands"


def _drift(about: About, drifting: int, evaluated: int) -> str:
    rules: Counter[str] = Counter()
    for (rule, state), number in about.tally.findings.items():
        rules[rule] += number * (state != State.REPORT_ONLY)
    found = sorted(
        ((rule, number) for rule, number in rules.items() if number), key=lambda one: (-one[1], one)
    )
    listed = enumerated(f"{rule} {number}" for rule, number in found)
    have = "has" if drifting == 1 else "have"
    head = f"{drifting} of {counted(evaluated, 'object')} {have} findings: {listed}"
    return f"{head}; all of them: kubectl resilience report {about.policy.name}"


def progressing(about: About) -> Answer:
    """What rolls out, and who waits for what."""
    policy, known = about.policy, about.known
    mine = [one for one in known.active if one.rollout.running and policy.uid in one.rollout_policies]
    waits = _waits(about)
    tail = _who_waits(waits)
    if mine:
        first = min(mine, key=lambda one: one.key)
        word = "soaks after its rollout" if first.rollout.phase is Phase.SOAKING else "rolls out"
        head = f"{first.object} {word}" + (f" and {len(mine) - 1} more" if len(mine) > 1 else "")
        return "True", "RollingOut", f"{head}; {tail}" if tail else head
    if waits:
        return "True", "Waiting", tail
    return "False", "Idle", "no rollout is running and none waits"


def _waits(about: About) -> dict[str, list[ObjectRef]]:
    """Why something waits -> what; of a policy that stopped itself all that is pending."""
    waits: defaultdict[str, list[ObjectRef]] = defaultdict(list)
    seen = set()
    for one in about.known.active:
        for change in one.changes:
            key = key_of(change.object)
            if key in about.schedule.waiting and about.policy in change.policies:
                waits[about.schedule.waiting[key]].append(change.object)
                seen.add(one.key)
    if _stops(about):
        held = [ref for ref in about.tally.pending() if key_of(ref) not in seen]
        waits["the policy stopped itself"].extend(held)
    return {why: refs for why, refs in waits.items() if refs}


def _who_waits(waits: Mapping[str, Sequence[ObjectRef]]) -> str:
    groups = sorted(waits.items(), key=lambda one: (-len(one[1]), one[0]))
    told = []
    for why, refs in groups[:MAX_REASONS]:
        name = f"{min(refs)}" + (f" and {len(refs) - 1} more" if len(refs) > 1 else "")
        verb = "wait" if len(refs) > 1 else "waits"
        reason = why.removeprefix("waits ").removeprefix("wait ")
        told.append(f"{name} {verb} {reason}" if why.startswith("waits ") else f"{name} {verb}: {why}")
    more = sum(len(refs) for _, refs in groups[MAX_REASONS:])
    return "; ".join([*told, *([f"{more} more wait"] if more else [])])


def _stops(about: About) -> list[str]:
    """Why the policy starts nothing more, everywhere or in a namespace."""
    name, schedule = about.policy.name, about.schedule
    everywhere = [schedule.stopped[name]] if name in schedule.stopped else []
    return everywhere or [why for (of, _), why in sorted(schedule.stopped_in.items()) if of == name]


def degraded(about: About) -> Answer:
    """What went wrong. The reason is that of the worst; the message names them all while there is room."""
    stops, known, schedule = _stops(about), about.known, about.schedule
    stopped = [first_of(stops)] if stops else []
    failed, lost, failing = _failed(about), _lost(about), _failing(about)
    distrusted = about.tally.distrusted
    others = [schedule.breaker] if schedule.breaker else []
    if distrusted:
        one = distrusted[min(distrusted)]
        others.append(f"{one.object}: {one.distrust}")
    message = _together([*stopped, *failed, *lost, *known.degraded, *failing, *others])
    if stopped and about.policy.name in schedule.stopped:
        return "True", "FailureThresholdReached", message
    if stopped:
        return "True", "StoppedInNamespace", message
    if failed:
        return "True", "RolloutFailed", message
    if lost:
        return "True", "RightLost", message
    if known.degraded:
        return "True", "OperatorDegraded", message
    if failing:
        return "True", "WriteFailed", message
    if schedule.breaker:
        return "True", "TooManyUnhealthy", message
    if distrusted:
        return "True", "StateNotBelieved", message
    return "False", "AsExpected", "no rollout failed and every target is read"


def _together(told: Sequence[str]) -> str:
    """All sentences in one message: none hides another, however long it is."""
    room = SENTENCE - 2 * (len(told) - 1)
    kept: list[str] = []
    for number, one in enumerate(sorted(told, key=len)):
        kept.append(plain(one, max(20, (room - sum(map(len, kept))) // (len(told) - number))))
    cut = dict(zip(sorted(told, key=len), kept, strict=True))
    return "; ".join(cut[one] for one in told)


def _failed(about: About) -> list[str]:
    """The first of the policy's rollouts that failed, as a sentence."""
    failed = [
        one
        for one in about.known.active
        if one.rollout.phase is Phase.FAILED and about.policy.uid in one.rollout_policies
    ]
    return [first_of([f"{one.object}: {one.rollout.message}" for one in failed])] if failed else []


def _lost(about: About) -> list[str]:
    """The first of the rights that the operator lacks for this policy's changes."""
    places = {
        (change.object.namespace, change.object.kind)
        for one in about.known.active
        for change in one.changes
        if about.policy in change.policies
    }
    lost = [why for place, why in sorted(about.known.rights.items()) if place in places]
    return [first_of(lost)] if lost else []


def _failing(about: About) -> list[str]:
    """The first of the policy's writes that fail again and again, as a sentence."""
    failing = [
        f"the last write of {change.object} failed: {about.schedule.failing[key_of(change.object)]}"
        for one in about.known.active
        for change in one.changes
        if key_of(change.object) in about.schedule.failing and about.policy in change.policies
    ]
    lost = bool(_lost(about))
    return [first_of(failing)] if failing and not lost else []


def contested(about: About) -> Answer:
    """Who wants something else."""
    number, found = about.tally.contested()
    if found is None:
        return "False", "NoConflict", "no other manager or policy demands another value"
    more = f" (and {number - 1} more)" if number > 1 else ""
    return "True", "Conflict", f"{sentence(f'{found.finding.object}: {found.why}', 280)}{more}"


def stalled(about: About) -> Answer:
    """kstatus: nothing goes on until a person changes the policy."""
    return "True", "Invalid", _refused(about.problems)


def first_of(told: Sequence[str]) -> str:
    """The first sentence, and how many there are more."""
    return f"{told[0]} (and {len(told) - 1} more)" if len(told) > 1 else told[0]


def counted(number: int, word: str) -> str:
    """`1 object`, `412 objects`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
