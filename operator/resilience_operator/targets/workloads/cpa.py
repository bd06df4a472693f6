"""What the cluster-proportional-autoscaler does with its parameters, and the same parameters with a floor in them.

Called by workloads/floors, sizes and coredns_floor. It reads them by Go's encoding/json: keys match in any case, null
changes nothing, unknown keys are dropped, and of one value of another type all are refused. What it refuses,
and what is open to doubt, has a problem and is not edited; of all else every byte but the floor stays (json_text).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from resilience_operator.core.paths import JSON
from resilience_operator.targets.workloads.autoscalers import DEFAULT_PARAMS
from resilience_operator.targets.workloads.json_text import NotJSONError, decoded, members, put

LINEAR, LADDER = "linear", "ladder"
MIN, MAX, CORES, NODES = "min", "max", "coresPerReplica", "nodesPerReplica"
SINGLE_POINT, UNSCHEDULABLE = "preventSinglePointFailure", "includeUnschedulableNodes"
STEPS = ("coresToReplicas", "nodesToReplicas")
_FIELDS = {
    LINEAR: (CORES, NODES, MIN, MAX, SINGLE_POINT, UNSCHEDULABLE),
    LADDER: (*STEPS, UNSCHEDULABLE),
}
"""The keys of each mode; it takes them in any case."""
_INT32 = 2**31 - 1
_IDLE = "the autoscaler logs an error and does not scale"
_LONGEST = 40
_PAIR = re.compile(r"(\[\s*[0-9]+\s*,\s*)([0-9]+)")


@dataclass(frozen=True, slots=True)
class Floor:
    """The policy's word: never fewer replicas, and never a single one where there are two nodes."""

    min_replicas: int
    prevent_single_point_failure: bool = True
    count_cordoned: bool = True
    """Cordoned nodes count, also where min is enough already."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Parameters as the autoscaler understands them."""

    mode: str
    """The key that it follows, "" where there is not exactly one that it knows."""
    problem: str = ""
    """What is wrong with them, "" where it takes them; nothing else is known beside one."""
    least: int = 0
    """The least number of replicas that it may choose by itself."""
    maximum: int | None = None
    """The most; None where there is none."""
    prevents: bool = False
    """It keeps two replicas wherever it counts two nodes."""


class _RefusedError(ValueError):
    """What is wrong with the parameters, as the beginning of a sentence."""


def read(data: Mapping[str, str]) -> Reading:
    """The parameters in the data of the autoscaler's ConfigMap."""
    if len(data) == 1:
        return next(read_text(mode, text) for mode, text in data.items())
    # Of a ConfigMap that could not be known as an autoscaler's by its name, other keys were not kept.
    found = (
        f"there are {len(data)} keys ({', '.join(sorted(data))})" if data else "no key is linear or ladder"
    )
    return Reading("", f"{found}, and it wants exactly one of these: {_IDLE}")


def read_text(mode: str, text: str) -> Reading:
    """One value of the ConfigMap, which is JSON, under the key `mode`."""
    if mode not in _FIELDS:
        return Reading("", f"the key is {_cut(mode)}, neither linear nor ladder: {_IDLE}")
    try:
        return _reading(mode, decoded(text))
    except NotJSONError as error:
        return Reading(mode, f"{mode} cannot be read, {error}")


def read_default_params(text: str) -> Reading:
    """The parameters in --default-params, of which the autoscaler makes a ConfigMap where there is none.

    It writes every number anew before it reads it: a whole one may have a point here.
    """
    try:
        found = decoded(text, _whole_if_it_is)
    except NotJSONError as error:
        return Reading("", f"--{DEFAULT_PARAMS} cannot be read, {error}: the autoscaler does not start")
    if not isinstance(found, dict):
        return Reading("", f"--{DEFAULT_PARAMS} is no object: the autoscaler does not start")
    if len(found) != 1:
        return read(dict.fromkeys(found, ""))
    mode, value = next(iter(found.items()))
    return _reading(mode, value) if mode in _FIELDS else read_text(mode, "")


def _reading(mode: str, value: JSON) -> Reading:
    try:
        values = _values(mode, value)
        return _linear(values) if mode == LINEAR else _ladder(values)
    except _RefusedError as error:
        return Reading(mode, f"{mode}: {error}")


def _values(mode: str, value: JSON) -> dict[str, JSON]:
    """Field -> its value, of the fields that are there and not null."""
    if value is not None and not isinstance(value, dict):
        raise _RefusedError(f"{_shown(value)} is no object in braces")
    spelled = {field.casefold(): field for field in _FIELDS[mode]}
    found: dict[str, JSON] = {}
    for key, one in (value or {}).items():
        field = spelled.get(key.casefold())
        if field is not None and field in found:
            raise _RefusedError(
                f"{field} is there twice, in two spellings, and which one counts is not plain"
            )
        if field is not None:
            found[field] = one
    return {field: one for field, one in found.items() if one is not None}


def _linear(values: dict[str, JSON]) -> Reading:
    cores, nodes = (_number(field, values.get(field, 0)) for field in (CORES, NODES))
    least, most = (_whole(field, values.get(field, 0)) for field in (MIN, MAX))
    prevents, _ = (_switch(field, values.get(field, False)) for field in (SINGLE_POINT, UNSCHEDULABLE))
    if not cores and not nodes:
        raise _RefusedError(f"neither {CORES} nor {NODES} is above 0")
    if 0 < most < least:
        raise _RefusedError(f"max {most} is below min {least}")
    return Reading(LINEAR, "", max(least, 1), most or None, prevents)


def _ladder(values: dict[str, JSON]) -> Reading:
    """A list answers with the step of the largest threshold reached, below all with the lowest.

    The larger of two answers wins. Of steps with one threshold either may be taken.
    """
    _switch(UNSCHEDULABLE, values.get(UNSCHEDULABLE, False))
    lists = [_steps(field, values[field]) for field in STEPS if field in values]
    lowest = [min(replicas) for replicas in lists if replicas]
    if not lowest:
        raise _RefusedError(f"neither {STEPS[0]} nor {STEPS[1]} has a step, and it scales to 0")
    return Reading(LADDER, "", max(lowest))


def _steps(field: str, value: JSON) -> list[int]:
    """The replicas of each step."""
    if not isinstance(value, list):
        raise _RefusedError(f"{field} is {_shown(value)}, no list of steps such as [[1, 3]]")
    for step in value:
        if not isinstance(step, list) or len(step) != len(("threshold", "replicas")):
            raise _RefusedError(f"the step {_shown(step)} of {field} is no [threshold, replicas]")
        for number in step:
            _whole(f"a number in step {_shown(step)} of {field}", number)
    return [step[1] for step in value]


def _whole(name: str, value: JSON) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _INT32:
        raise _RefusedError(f"{name} is {_shown(value)}, no whole number from 0 to {_INT32}")
    return value


def _number(name: str, value: JSON) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not 0 <= value < math.inf or value > 1e308:
        raise _RefusedError(f"{name} is {_shown(value)}, no number from 0 on")
    return float(value)


def _switch(name: str, value: JSON) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError(f"{name} is {_shown(value)}, neither true nor false")
    return value


def _shown(value: JSON) -> str:
    return _cut(json.dumps(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _whole_if_it_is(spelling: str) -> float | int:
    value = float(spelling)
    return int(value) if value.is_integer() and abs(value) <= _INT32 else value


def blocked(reading: Reading, floor: Floor) -> str:
    """Why the floor must not be written: the owner's maximum stands against it; "" where none does."""
    least, maximum = floor.min_replicas, reading.maximum
    if maximum is None:
        return ""
    if maximum < least:
        return (
            f"maximum {maximum} is below the floor {least}: the autoscaler refuses a min above max, so the floor is"
            f' not written; commit "min": {least} and "max": {least} or more, or no "max"'
        )
    if maximum == 1 and floor.prevent_single_point_failure:
        return (
            f"maximum 1 is below the two replicas of {SINGLE_POINT}, which the autoscaler chooses as soon as it counts"
            ' two nodes; commit a "max" of 2 or more, or none'
        )
    return ""


def raised(data: Mapping[str, str], floor: Floor) -> tuple[str, str] | None:
    """The data key and its text with the floor in it.

    None where it is there already, or cannot be written safely: then there is a problem, or it is `blocked`.
    """
    mode = read(data).mode
    text = raised_text(mode, data[mode], floor) if mode else None
    return None if text is None else (mode, text)


def raised_text(mode: str, text: str, floor: Floor) -> str | None:
    """One value of the ConfigMap with the floor in it; None as for `raised`."""
    reading = read_text(mode, text)
    if reading.problem or blocked(reading, floor):
        return None
    new = _linear_raised(text, reading, floor) if mode == LINEAR else _ladder_raised(text, reading, floor)
    after = read_text(mode, new)
    return new if new != text and not after.problem and after.least >= floor.min_replicas else None


def lacks(reading: Reading, floor: Floor) -> bool:
    """True where parameters that were only read let the autoscaler go below the floor."""
    return not reading.problem and not blocked(reading, floor) and reading.least < floor.min_replicas


def _linear_raised(text: str, reading: Reading, floor: Floor) -> str:
    low = reading.least < floor.min_replicas
    wanted: dict[str, JSON] = {MIN: floor.min_replicas} if low else {}
    wanted |= {SINGLE_POINT: True} if floor.prevent_single_point_failure else {}
    wanted |= {UNSCHEDULABLE: True} if low or floor.count_cordoned else {}
    spelled = {key.casefold(): (key, value) for key, value in decoded(text).items()}
    for field, value in wanted.items():
        key, present = spelled.get(field.casefold(), (field, None))
        if present != value:
            text = put(text, key, json.dumps(value))
    return text


def _ladder_raised(text: str, reading: Reading, floor: Floor) -> str:
    """Every step of every list; no step is added, for below its lowest threshold a list answers with that step."""
    if reading.least >= floor.min_replicas:
        return text
    known = {key.casefold(): key for key in decoded(text)}
    for key in (known.get(field.casefold(), "") for field in STEPS):
        place = members(text, text.index("{")).get(key)
        if place is not None:
            steps = _PAIR.sub(
                lambda pair: f"{pair[1]}{max(int(pair[2]), floor.min_replicas)}",
                text[place.start : place.end],
            )
            text = f"{text[: place.start]}{steps}{text[place.end :]}"
    return text
