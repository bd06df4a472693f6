"""A JSON text that somebody owns: decoded strictly, and edited so that every byte beside the edit stays.

Used by workloads/cpa and eks_addon. Why not json.loads and dumps: the text is a value in somebody's object, with their
order, indent and spelling of numbers, and a diff of ours must show the floor and nothing else.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from resilience_operator.core.paths import JSON

_GAP = re.compile(r"[ \t\n\r]*")
_VALUE = json.JSONDecoder()


class NotJSONError(ValueError):
    """The text is no JSON, or leaves open what it means; says what is wrong, and where."""


class DuplicateKeyError(NotJSONError):
    """An object has a key twice."""

    def __init__(self, key: str) -> None:
        self.key = json.dumps(key)
        super().__init__(f"{self.key} is there twice")


@dataclass(frozen=True, slots=True)
class Member:
    """Where an entry of an object stands in the text."""

    key: int
    """Where the written key begins."""
    colon: str
    """What stands between key and value."""
    start: int
    """Where the value begins."""
    end: int
    """Where the value ends."""


def decoded(text: str, number: Callable[[str], JSON] | None = None) -> Any:
    """The value of the text; NotJSONError where it has none that every reader takes for the same.

    `number`: what becomes of a number with a point or an exponent, a float if None.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=number)
    except NotJSONError:
        raise
    except ValueError as error:  # Also of a number with thousands of digits.
        raise NotJSONError(str(error)) from error
    except RecursionError as error:
        raise NotJSONError("it is nested too deeply") from error


def put(text: str, key: str, literal: str, *, inside: str = "") -> str:
    """The text, an object, with that literal at the key, which is added behind all others where it is not there.

    `inside`: the key of an object within it, in which to put it instead.
    """
    start = members(text, _skip(text, 0))[inside].start if inside else _skip(text, 0)
    found = members(text, start)
    if key in found:
        return text[: found[key].start] + literal + text[found[key].end :]
    if not found:
        return f'{text[: start + 1]}"{key}":{literal}{text[start + 1 :]}'
    at = list(found.values())[-1].end
    return f"{text[:at]}{_added(text, start, list(found.values()), key)}{literal}{text[at:]}"


def members(text: str, start: int) -> dict[str, Member]:
    """Key -> where its entry stands, of the object that begins there; the text is known to be JSON."""
    found: dict[str, Member] = {}
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, end = _VALUE.raw_decode(text, at)
        value = _skip(text, _skip(text, end) + 1)
        found[key] = Member(at, text[end:value], value, _VALUE.raw_decode(text, value)[1])
        at = _skip(text, found[key].end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _added(text: str, start: int, known: list[Member], key: str) -> str:
    """What leads to the value of a new last member, in the style of those that are there."""
    colon = min((one.colon for one in known), key=len)
    if len(known) > 1:
        gap = text[known[-2].end : known[-1].key]
    else:
        lead = text[start + 1 : known[0].key]
        gap = f",{lead}" if "\n" in lead else ", " if lead or colon != ":" else ","
    return f'{gap}"{key}"{colon}'


def _skip(text: str, at: int) -> int:
    found = _GAP.match(text, at)
    return found.end() if found is not None else at


def _once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(key)
        found[key] = value
    return found


def _refuse(word: str) -> NoReturn:
    raise NotJSONError(f"{word} is no number")
