"""What the cluster-proportional-autoscaler does with its parameters, and the same parameters with a floor in them.

Called by workloads/floors and coredns_floor. They are read as the autoscaler reads them, by Go's encoding/json: keys
match in any case, the last of two wins, null changes nothing, unknown keys are dropped. What it refuses, drops or
overrides is a Problem; the text itself is edited in place (workloads/json_text): somebody owns every other byte of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from resilience_operator.core.paths import JSON
from resilience_operator.targets.workloads import json_text as go
from resilience_operator.targets.workloads.autoscalers import DEFAULT_PARAMS, flags
from resilience_operator.targets.workloads.json_text import IDLE, REFUSED, Edit, Node, NotJSONError

LINEAR, LADDER = "linear", "ladder"
MIN, MAX, CORES, NODES = "min", "max", "coresPerReplica", "nodesPerReplica"
SINGLE_POINT, UNSCHEDULABLE = "preventSinglePointFailure", "includeUnschedulableNodes"
STEPS = ("coresToReplicas", "nodesToReplicas")
_FIELDS = {
    LINEAR: dict.fromkeys((CORES, NODES), "decimal")
    | dict.fromkeys((MIN, MAX), "whole")
    | dict.fromkeys((SINGLE_POINT, UNSCHEDULABLE), "boolean"),
    LADDER: dict.fromkeys(STEPS, "steps") | {UNSCHEDULABLE: "boolean"},
}
_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Floor:
    """The policy's word: never fewer replicas, and never a single one where there are two nodes.

    `count_cordoned`: cordoned nodes count, also where min is enough already.
    """

    min_replicas: int
    prevent_single_point_failure: bool = True
    count_cordoned: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """A CamelCase reason, and a sentence: what is written, what the autoscaler does with it, what to write."""

    reason: str
    message: str


_OVERRIDDEN = Problem(
    "MaximumOverridden",
    f"max is 1, but with {SINGLE_POINT} the autoscaler chooses 2 as soon as it counts two nodes; write a max of at"
    " least 2, or none",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Parameters as the autoscaler understands them.

    `mode` is the key it follows, "" where there is not exactly one that it knows. `effective_min` is the least number
    of replicas it may choose by itself, None where it refuses the parameters. `maximum`: None where there is none.
    `effective_max`: the most it may choose, None where there is no limit, or it refuses them.
    """

    mode: str
    problems: tuple[Problem, ...]
    effective_min: int | None = None
    maximum: int | None = None
    effective_max: int | None = None


def read(data: Mapping[str, str]) -> Reading:
    """The parameters in the data of the autoscaler's ConfigMap."""
    if len(data) == 1:
        return next(read_text(mode, text) for mode, text in data.items())
    # Of a ConfigMap that could not be known as an autoscaler's by its name, other keys were not kept.
    found = (
        f"there are {len(data)} keys ({', '.join(sorted(data))})" if data else "no key is linear or ladder"
    )
    message = f"{found}: the autoscaler wants exactly one, {IDLE}; write one, linear or ladder"
    return _unreadable("", "SeveralKeys" if data else "NoKey", message)


def read_text(mode: str, text: str) -> Reading:
    """One value of the ConfigMap, which is JSON, under the key `mode`."""
    if mode not in _FIELDS:
        likely = get_close_matches(mode.casefold(), _FIELDS, 1) or ["linear or ladder"]
        message = f"the key is {mode}, which the autoscaler does not know: it {IDLE}; write {likely[0]}"
        return _unreadable("", "UnknownMode", message)
    try:
        root = go.scan(text)
    except NotJSONError as error:
        return _unreadable(mode, "BrokenJSON", f"{mode} is no JSON, {error}: {REFUSED}; correct it there")
    if root.kind not in {"object", "null"}:
        return _unreadable(mode, *go.wrong(mode, text, root, "NotAnObject", "an object in braces"))
    dropped = [Problem(*complaint) for complaint in go.dropped(text, root, _FIELDS[mode])]
    refused = [Problem(*complaint) for complaint in go.mistyped(text, root, _FIELDS[mode])]
    if refused:
        return Reading(mode, (*dropped, *refused))
    judged = _linear(text, root) if mode == LINEAR else _ladder(text, root)
    return replace(judged, problems=(*dropped, *judged.problems))


def _unreadable(mode: str, reason: str, message: str) -> Reading:
    return Reading(mode, (Problem(reason, message),))


def _linear(text: str, root: Node) -> Reading:
    numbers = {key: go.number(text, go.deciding(root, key)) for key in (CORES, NODES, MIN, MAX)}
    least, most = int(numbers[MIN]), int(numbers[MAX])
    refused = [_negative(key, digits) for key, digits in numbers.items() if float(digits) < 0]
    refused += [_too_large(MIN, least)] if least > _INT32 else []
    if not float(numbers[CORES]) and not float(numbers[NODES]):
        message = f"neither {CORES} nor {NODES} is above 0: {REFUSED}; write one of them"
        refused.append(Problem("NothingPerReplica", message))
    if 0 < most < least:
        message = f"max {most} is below min {least}: {REFUSED}; write a max of at least {least}, or none"
        refused.append(Problem("MaxBelowMin", message))
    maximum = most if most > 0 else None
    prevents = go.is_true(root, SINGLE_POINT)
    odd = (_OVERRIDDEN,) if most == 1 and prevents else ()
    if refused:
        return Reading(LINEAR, (*odd, *refused), None, maximum)
    highest = max(maximum, 2 if prevents else 1) if maximum is not None else None
    return Reading(LINEAR, odd, max(least, 1), maximum, highest)


def _negative(name: str, digits: str) -> Problem:
    instead = "0 or nothing for no maximum" if name == MAX else "a positive number"
    return Problem("NegativeValue", f"{name} has the negative {digits}: {REFUSED}; write {instead}")


def _too_large(name: str, value: int) -> Problem:
    cut = "the autoscaler cuts it to 32 bits and scales to another number"
    return Problem("NumberTooLarge", f"{name} has the number {value}: {cut}; write a smaller one")


def _ladder(text: str, root: Node) -> Reading:
    """A list answers with the step of the largest threshold reached, below all with the lowest, without steps with 0.

    The larger of two answers wins. Of steps with one threshold either may be taken.
    """
    lists = {key: node.items for key in STEPS if (node := go.deciding(root, key)) and node.items}
    odd, refused = [], []
    for key, step in ((key, step) for key, steps in lists.items() for step in steps):
        name, (threshold, replicas) = f"step {go.quoted(text, step)} of {key}", go.pair(text, step)
        if not go.is_pair(step):
            taken = f"the autoscaler takes it for [{threshold}, {replicas}]"
            odd.append(Problem("NotAPair", f"{name} is no pair: {taken}; write [threshold, replicas]"))
        if threshold < 0 or replicas < 0:
            refused.append(_negative(name, str(min(threshold, replicas))))
        if replicas > _INT32:
            refused.append(_too_large(name, replicas))
    if not lists:
        none = f"{' and '.join(STEPS)} have no step"
        odd.append(Problem("NoSteps", f"{none}: the autoscaler scales to 0; write steps such as [[1, 3]]"))
    answers = [[go.pair(text, step)[1] for step in steps] for steps in lists.values()]
    if refused:
        return Reading(LADDER, (*odd, *refused))
    least, highest = (max(map(which, answers), default=0) for which in (min, max))
    return Reading(LADDER, tuple(odd), least, effective_max=highest)


def blocked(reading: Reading, floor: Floor) -> Problem | None:
    """Why the floor must not be written: the owner's maximum stands against it."""
    maximum, least = reading.maximum, floor.min_replicas
    if maximum is None or maximum >= least:
        return _OVERRIDDEN if maximum == 1 and floor.prevent_single_point_failure else None
    message = (
        f"maximum {maximum} is below the floor {least}: the autoscaler refuses a min above max, so the floor is not"
        f' written; commit "min": {least} and "max": {least} or more, or no "max"'
    )
    return Problem("MaximumBelowFloor", message)


def raised(data: Mapping[str, str], floor: Floor) -> tuple[str, str] | None:
    """The data key and its text with the floor in it.

    None where it is there already, or cannot be written safely: then `read` or `blocked` has a Problem.
    """
    mode = read(data).mode
    text = raised_text(mode, data[mode], floor) if mode else None
    return None if text is None else (mode, text)


def raised_text(mode: str, text: str, floor: Floor) -> str | None:
    """One value of the ConfigMap with the floor in it; None as for `raised`."""
    return _edited(text, read_text(mode, text), floor)


def _edited(text: str, reading: Reading, floor: Floor) -> str | None:
    if reading.effective_min is None or blocked(reading, floor) is not None:
        return None
    edit = _linear_edits if reading.mode == LINEAR else _ladder_edits
    edits, expected = edit(text, go.scan(text), reading.effective_min, floor)
    result = go.applied(text, edits)
    return result if edits and go.plain(result) == expected else None


def _linear_edits(text: str, root: Node, least: int, floor: Floor) -> tuple[list[Edit], JSON]:
    wanted = {MIN: str(floor.min_replicas)} if least < floor.min_replicas else {}
    asked: tuple[str, ...] = (SINGLE_POINT,) if floor.prevent_single_point_failure else ()
    asked += (UNSCHEDULABLE,) if wanted or floor.count_cordoned else ()
    wanted |= {key: "true" for key in asked if not go.is_true(root, key)}
    edits, expected = [], go.plain(text)
    for key, literal in wanted.items():
        node = go.deciding(root, key)
        spelled = next((member.key for member in root.members if member.value is node), key)
        edits.append(Edit(node.start, node.end, literal) if node else go.added(text, root, key, literal))
        expected[spelled] = True if literal == "true" else (literal,)
    return edits, expected


def _ladder_edits(text: str, root: Node, least: int, floor: Floor) -> tuple[list[Edit], JSON]:
    """Every step of every list; no step is added, for below its lowest threshold a list answers with that step."""
    edits: list[Edit] = []
    expected, wanted = go.plain(text), str(floor.min_replicas)
    lists = [node for key in STEPS if (node := go.deciding(root, key)) and node.items]
    if least >= floor.min_replicas or not all(go.is_pair(step) for node in lists for step in node.items):
        return edits, expected
    for node in lists:
        spelled = next(member.key for member in root.members if member.value is node)
        for step, pair in zip(node.items, expected[spelled], strict=True):
            if go.pair(text, step)[1] < floor.min_replicas:
                edits.append(Edit(step.items[1].start, step.items[1].end, wanted))
                pair[1] = (wanted,)
    return edits, expected


def read_default_params(text: str) -> Reading:
    """The parameters in --default-params, from which the autoscaler writes a ConfigMap where there is none."""
    name, fatal = f"--{DEFAULT_PARAMS}", "the autoscaler does not start; correct it"
    try:
        root = go.scan(text)
        data = {member.key: go.rewritten(go.written(text, member.value)) for member in root.members}
    except (NotJSONError, OverflowError) as error:
        return _unreadable("", "BrokenJSON", f"{name} is no JSON, {error}: {fatal}")
    if root.kind not in {"object", "null"}:
        return _unreadable("", "NotAnObject", f"{name} is {go.quoted(text, root)}, no object: {fatal}")
    reading = read(data)
    taken = "the autoscaler takes the last one; write it once"
    twice = [Problem("DuplicateKey", f"{name} has {key} twice: {taken}") for key in go.repeated(text, root)]
    return replace(reading, problems=(*twice, *reading.problems))


def raised_default_params(text: str, floor: Floor) -> str | None:
    """The value of --default-params with the floor in it; None as for `raised`, and where a key is there twice.

    The autoscaler sorts the keys before it reads them, so that which of two wins is not what the text shows.
    """
    reading = read_default_params(text)
    if not reading.mode or any(problem.reason == "DuplicateKey" for problem in reading.problems):
        return None
    node = go.scan(text).items[0]
    new = _edited(go.written(text, node), reading, floor)
    return None if new is None else go.applied(text, [Edit(node.start, node.end, new)])


def raised_argv(argv: Sequence[str], floor: Floor) -> tuple[str, ...] | None:
    """The arguments with the floor inside --default-params, all else as it is; None as for `raised`."""
    at, prefix, value = flags(argv).get(DEFAULT_PARAMS, (0, "", ""))
    new = raised_default_params(value, floor)
    return None if new is None else (*argv[:at], prefix + new, *argv[at + 1 :])
