"""Sentences for people: paths in words, and no values; those are what `plan --patch` prints. Pure.

Used by engine/status and run/events. Rules and owners speak in paths and JSON, which a file of patches needs whole; a
message of status or of an Event has room for 300 characters, and is read by somebody who has never seen a path.
"""

import json
import re
from collections.abc import Iterable

from resilience_operator.core.paths import Path, Step
from resilience_operator.core.plain import SENTENCE, plain

COMMIT = "; to end it, commit "
"""What follows it in a finding's message is a patch, as one line of JSON."""

PRINTS = "; kubectl resilience plan --patch prints what to commit"
TYPES = "; kubectl resilience report prints the command"
MOST_NAMED = 3
"""So many things are named in an enumeration."""

LONGEST_NAME = 63
"""Characters of a name in a sentence: others may be 253 long."""

LONGEST_REASON = 60
"""Characters of what is kept of a message behind its patch."""

_STEP = r"[A-Za-z][\w-]*(?:\[[^\]]*\])?"
_PATH = re.compile(rf"\b(?:spec|metadata|data)(?:\.{_STEP})+")
_VALUE = re.compile(r":? ?(?=[\[{][\"\[{])")
_COMMAND = re.compile(r";[^;]*: aws eks .*", re.DOTALL)
_DECODER = json.JSONDecoder()


def sentence(message: str, most: int = SENTENCE) -> str:
    """A message with its paths in words and without JSON, at most so many characters."""
    head, patch, after = message.partition(COMMIT)
    head, commands = _COMMAND.subn("", head)
    tail = _reason_after(after) + PRINTS if patch else TYPES if commands else ""
    return plain(_without_values(_PATH.sub(_in_words, head)), most - len(tail)) + tail


def _reason_after(patch: str) -> str:
    """What a rule says after its patch, such as: ; a maximum is never raised."""
    try:
        reason = patch[_DECODER.raw_decode(patch)[1] :]
    except (ValueError, RecursionError):
        return ""
    return reason if reason.startswith("; ") and len(reason) <= LONGEST_REASON else ""


def _in_words(found: re.Match[str]) -> str:
    try:
        return words(Path.parse(found[0]))
    except ValueError:
        return found[0]


def _without_values(text: str) -> str:
    """The text without values of JSON; one that was cut ends where it was cut."""
    parts, at = [], 0
    while (found := _VALUE.search(text, at)) is not None:
        parts += [text[at : found.start()], "" if found[0].startswith(":") else " …"]
        try:
            _, at = _DECODER.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            cut = text.find("…", found.end())
            at = len(text) if cut < 0 else cut + 1
    return "".join((*parts, text[at:]))


def words(path: Path) -> str:
    """One path, such as: preStop of container web; topologySpreadConstraints for hostname."""
    head, about = _parted(path)
    return head + (f" for {about}" if about else "")


def several(paths: Iterable[str]) -> str:
    """Many paths: what differs in a key alone is one thing, and the first few are named."""
    grouped: dict[str, list[str]] = {}
    for text in paths:
        try:
            head, about = _parted(Path.parse(text))
        except ValueError:
            head, about = text, ""
        grouped.setdefault(head, []).extend([about] if about else [])
    named = [head + (f" for {enumerated(values)}" if values else "") for head, values in grouped.items()]
    return enumerated(named)


def enumerated(names: Iterable[str]) -> str:
    """`a, b and c`, or `a, b, c and 4 more`."""
    every = list(dict.fromkeys(names))
    shown, more = every[:MOST_NAMED], len(every) - MOST_NAMED
    if more > 0:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def short(name: str) -> str:
    """A name in a sentence."""
    return plain(name, LONGEST_NAME)


def _parted(path: Path) -> tuple[str, str]:
    """What a path names, and the key of a list's entry that it ends in ("" where it ends in none)."""
    steps = list(path.steps)
    for field in ("spec", "template", "spec"):
        if len(steps) > 1 and steps[0] == Step(field):
            steps.pop(0)
    container = next((step for step in steps if step.field.endswith("ontainers") and step.keys), None)
    if container is not None and steps[-1] is not container:
        after = steps[steps.index(container) + 1 :]
        return f"{_fields(after)} of container {short(container.keys[0][1])}", _about(after[-1])
    return _fields(steps), _about(steps[-1])


def _fields(steps: list[Step]) -> str:
    """The last two fields: enough to find it, and short."""
    return ".".join(short(step.field) for step in steps[-2:])


def _about(step: Step) -> str:
    return short(step.keys[0][1].rpartition("/")[2]) if step.keys else ""
