"""A JSON text with the place of every value in it, as Go decodes it, and edits that leave all other bytes alone.

Used by workloads/cpa. Why not json.loads and dumps: the text is one value in somebody's ConfigMap, with their order,
indent and spelling of numbers, and a diff of ours must show the floor and nothing else. A complaint is a pair:
the reason and the message of a Problem.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise

from resilience_operator.core.paths import JSON

MAX_DEPTH = 50
IDLE = "logs an error and does not scale"
REFUSED = f"the autoscaler refuses the whole value, {IDLE}"
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class NotJSONError(ValueError):
    """The text is no JSON; says where, what belongs there and what is there."""

    def __init__(self, text: str, at: int, expected: str) -> None:
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        found = text[at : at + 20].partition("\n")[0].strip() or "the end"
        super().__init__(f"line {line}, column {column}: expected {expected}, found {found}")


@dataclass(frozen=True, slots=True)
class Node:
    """One value: its kind (object, array, string, number, true, false, null), its place, and what is in it."""

    kind: str
    start: int
    end: int
    items: tuple["Node", ...] = ()
    members: tuple["Member", ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an object: the decoded key, the place of the written one, and the value."""

    key: str
    start: int
    end: int
    value: Node


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands from `start` to `end` becomes `text`; an insertion where both are the same."""

    start: int
    end: int
    text: str


def scan(text: str) -> Node:
    """The whole text as one value; NotJSONError where it is none."""
    node = _value(text, _skip(text, 0), 0)
    if (at := _skip(text, node.end)) < len(text):
        raise NotJSONError(text, at, "nothing after the value")
    return node


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise NotJSONError(text, at, f"at most {MAX_DEPTH} levels")
    if text[at : at + 1] in {"{", "["}:
        return _container(text, at, depth)
    for kind, pattern in (("string", _STRING), ("number", _NUMBER), ("", _WORD)):
        if found := pattern.match(text, at):
            return Node(kind or found[0], at, found.end())
    raise NotJSONError(text, at, "a value")


def _container(text: str, start: int, depth: int) -> Node:
    items: list[Node] = []
    members: list[Member] = []
    kind, closing = ("object", "}") if text[start] == "{" else ("array", "]")
    at = _skip(text, start + 1)
    if text[at : at + 1] == closing:
        return Node(kind, start, at + 1)
    while True:
        key = _STRING.match(text, at) if kind == "object" else None
        if kind == "object":
            if key is None:
                raise NotJSONError(text, at, "a key in double quotes")
            at = _expect(text, _skip(text, key.end()), ":")
        items.append(_value(text, at, depth + 1))
        if key is not None:
            members.append(Member(json.loads(key[0]), key.start(), key.end(), items[-1]))
        at = _skip(text, items[-1].end)
        if text[at : at + 1] == closing:
            return Node(kind, start, at + 1, tuple(items), tuple(members))
        at = _expect(text, at, ",", f", or {closing}")


def _expect(text: str, at: int, sign: str, named_as: str = "") -> int:
    if text[at : at + 1] != sign:
        raise NotJSONError(text, at, named_as or sign)
    return _skip(text, at + 1)


def written(text: str, part: Node | Member) -> str:
    """The value or key as it stands in the text."""
    return text[part.start : part.end]


def quoted(text: str, part: Node | Member) -> str:
    """The same for a message: on one line, and cut where it is long."""
    line = " ".join(written(text, part).split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def number(text: str, node: Node | None) -> str:
    """The spelling of a number; 0 where there is none, as in Go."""
    return written(text, node) if node is not None and node.kind == "number" else "0"


def named(root: Node, key: str) -> list[Member]:
    """The members that Go takes for this field: it matches keys in any case."""
    return [member for member in root.members if member.key.casefold() == key.casefold()]


def deciding(root: Node, key: str) -> Node | None:
    """Of several values for a field the one that counts: the last, but null does not replace a scalar."""
    values = [member.value for member in named(root, key)]
    lists = any(value.kind == "array" for value in values)
    kept = [value for value in values if value.kind != "null" or lists]
    return next(reversed(kept or values), None)


def repeated(text: str, root: Node) -> list[str]:
    """The keys that an object, or an object right in it, has twice letter by letter."""
    objects = [
        [(member.key, quoted(text, member)) for member in node.members] for node in (root, *root.items)
    ]
    return [key[1] for keys in objects for at, key in enumerate(keys) if key[0] in dict(keys[:at])]


def is_true(root: Node, key: str) -> bool:
    """Whether the field is set."""
    node = deciding(root, key)
    return node is not None and node.kind == "true"


def is_pair(step: Node) -> bool:
    """Whether the step of a ladder is two numbers."""
    return [part.kind for part in step.items] == ["number", "number"]


def pair(text: str, step: Node) -> tuple[int, int]:
    """As Go fills an array of two: what is missing is 0, what is too much is dropped."""
    first, second, *_ = (*(int(float(number(text, part))) for part in step.items[:2]), 0, 0)
    return first, second


def dropped(text: str, root: Node, fields: Iterable[str]) -> list[tuple[str, str]]:
    """What is passed over without a word: unknown keys, and all but one of several equal keys."""
    known, complaints = {key.casefold(): key for key in fields}, []
    for member in root.members:
        key = member.key.casefold()
        if key not in known:
            likely = [one for one in known if key.startswith(one)] or get_close_matches(key, known, 1)
            hint = f"write {known[likely[0]]}" if likely else f"known are {', '.join(known.values())}"
            message = f"the key {quoted(text, member)} is unknown: the autoscaler ignores it silently; {hint}"
            complaints.append(("UnknownKey", message))
    for key in known.values():
        if len(same := named(root, key)) > 1 and (last := deciding(root, key)):
            message = (
                f"{key} is there {len(same)} times: the autoscaler takes {quoted(text, last)}; write it once"
            )
            complaints.append(("DuplicateKey", message))
    return complaints


def mistyped(text: str, root: Node, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """Values that do not fit their field (`decimal`, `whole`, `boolean`, `steps`): one, and all is refused."""
    complaints = []
    for key, field in fields.items():
        for node in (member.value for member in named(root, key)):
            if field == "steps":
                complaints += _mistyped_steps(key, text, node)
            elif found := _misfit(text, node, field):
                complaints.append(wrong(key, text, node, *found))
    return complaints


def wrong(name: str, text: str, node: Node, reason: str, instead: str) -> tuple[str, str]:
    """A complaint about one value, for which all is refused."""
    return reason, f"{name} is {quoted(text, node)}: {REFUSED}; write {instead}"


def _mistyped_steps(key: str, text: str, node: Node) -> list[tuple[str, str]]:
    if node.kind not in {"array", "null"}:
        return [wrong(key, text, node, "NotAList", "a list of steps such as [[1, 3]]")]
    complaints = []
    for step in node.items:
        if step.kind not in {"array", "null"}:
            complaints.append(wrong(f"a step of {key}", text, step, "NotAPair", "[threshold, replicas]"))
        for part in step.items[:2] if step.kind == "array" else ():
            if found := _misfit(text, part, "whole"):
                name = f"a number in step {quoted(text, step)} of {key}"
                complaints.append(wrong(name, text, part, *found))
    return complaints


def _misfit(text: str, node: Node, field: str) -> tuple[str, str] | None:
    """Why Go does not decode the value, and what to write; it takes null for every field, and changes nothing."""
    raw = written(text, node)
    match node.kind, field:
        case ("null", _) | ("true" | "false", "boolean"):
            return None
        case "string", "boolean":
            return "BooleanAsString", f"{'false' if 'false' in raw.casefold() else 'true'} without quotes"
        case _, "boolean":
            return "WrongType", "true or false"
        case "string", _:
            return "NumberAsString", f"{_number_in(raw[1:-1], field)} without quotes"
        case "number", "whole" if not raw.lstrip("-").isdigit():
            return "NotAnInteger", _number_in(raw, field)
        case "number", _:
            fits = not math.isinf(float(raw)) if field == "decimal" else _fits(raw)
            return None if fits else ("NumberTooLarge", "a smaller number")
    return "WrongType", _number_in("", field)


def _fits(digits: str) -> bool:
    return _INTEGER.fullmatch(digits) is not None and -(2**63) <= int(digits) < 2**63


def _number_in(content: str, field: str) -> str:
    try:
        value = float(content)
    except ValueError:
        value = math.nan
    if not 0 <= value < 2**31:
        return "a whole number" if field == "whole" else "a number"
    return str(math.ceil(value)) if field == "whole" or value.is_integer() else content.strip()


def added(text: str, node: Node, key: str, literal: str) -> Edit:
    """A new last member of an object that has some already, in the style of those."""
    last = node.members[-1]
    colon = min((text[member.end : member.value.start] for member in node.members), key=len)
    gaps = [text[one.value.end : two.start] for one, two in pairwise(node.members)]
    lead = text[node.start + 1 : last.start]
    alone = f",{lead}" if "\n" in lead else ", " if lead or colon != ":" else ","
    return Edit(last.value.end, last.value.end, f'{gaps[-1] if gaps else alone}"{key}"{colon}{literal}')


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits in it; of insertions at one place the first comes first."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def plain(text: str) -> JSON:
    """The decoded text, every number as a tuple of its spelling: what an edit is checked against."""
    return json.loads(text, parse_int=lambda digits: (digits,), parse_float=lambda digits: (digits,))


def rewritten(text: str) -> str:
    """The text as Go writes it after decoding it without a type: sorted keys, every number a float.

    OverflowError where a number is beyond a float: Go refuses the whole text then.
    """
    value = json.loads(text, parse_int=_go_number, parse_float=_go_number)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _go_number(spelling: str) -> float | int:
    value = float(spelling)
    if math.isinf(value):
        raise OverflowError(f"{spelling} is too large for a number")
    return int(value) if value.is_integer() and abs(value) < 1e21 else value
