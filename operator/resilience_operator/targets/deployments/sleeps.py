"""How long a preStop hook takes, where the hook itself tells. Used by deployments/graceful_shutdown."""

import re
from collections.abc import Mapping
from typing import Any

from resilience_operator.core.paths import JSON

_SHELLS = frozenset({"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash", "ash", "/bin/ash"})
_SLEEPS = frozenset({"sleep", "/bin/sleep", "/usr/bin/sleep"})
_SHELL_FLAG = re.compile(r"-[a-z]*c", re.ASCII)
_HARMLESS = re.compile(r"\$\{[^}]*\}|\$\([^()]*\)|[0-9]?>>?\s*(?:&[0-9]|[^\s&;|]+)")
"""In a line of a shell: what is filled in, and where output goes."""
_NOT_A_SEQUENCE = re.compile(
    r"[(){}`]|(?<!&)&(?!&)|(?:^|[;&|\s])(?:exit|if|while|until|for|case|trap|return|kill)(?:\s|$)"
)
"""What may end a line early, go on beside it, or run a part of it alone."""
_LEADING = re.compile(r"\s*(?:exec\s+)?([^\s;&|]+\s+[^\s;&|]+)\s*(?:&&|;|\n|\|\||$)")
_SECONDS = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)s?", re.ASCII)


def known_sleep(hook: JSON) -> float | None:
    """Seconds that the handler sleeps; None where there is no handler, or one that is not exactly one sleep.

    Understood are the sleep action, `sleep N` as argv, and a shell whose whole command is `sleep N`.
    """
    if not isinstance(hook, Mapping):
        return None
    if isinstance(action := hook.get("sleep"), Mapping):
        seconds = action.get("seconds")
        return float(seconds) if isinstance(seconds, int) else None
    words = _command(hook)
    line = _shell_line(words)
    return _of_words(words if line is None else line.split())


def least_sleep(hook: JSON) -> float | None:
    """Seconds that the handler sleeps at least; None where it says nothing of a sleep.

    Understood beside what `known_sleep` knows: the sleep that a shell's line begins with, whatever follows, and all of
    `first && second; third`, as far as nothing in the line can end it early.
    """
    known = known_sleep(hook)
    if known is not None or not isinstance(hook, Mapping):
        return known
    line = _shell_line(_command(hook))
    if line is None:
        return None
    line = _HARMLESS.sub("", line)
    if _NOT_A_SEQUENCE.search(line):
        first = _LEADING.match(line)
        return _of_words(first[1].split()) if first is not None else None
    parts = (part.split() for part in re.split(r"&&|;|\n", line))
    first = _LEADING.match(line)
    whole = sum(seconds for words in parts if (seconds := _of_words(words)) is not None)
    return max(whole, (_of_words(first[1].split()) if first is not None else None) or 0) or None


def _command(hook: Mapping[str, Any]) -> list[str]:
    """The words of an exec handler; none where there are no words."""
    handler = hook.get("exec")
    command = handler.get("command") if isinstance(handler, Mapping) else None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return []
    return command


def _shell_line(words: list[str]) -> str | None:
    """The command that a shell is given to run, or None."""
    match words:
        case [shell, flag, line] if shell in _SHELLS and _SHELL_FLAG.fullmatch(flag):
            return line
    return None


def _of_words(words: list[str]) -> float | None:
    match words:
        case [program, seconds] if program in _SLEEPS and (number := _SECONDS.fullmatch(seconds)):
            return float(number["number"])
    return None
