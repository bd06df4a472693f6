"""How long a preStop hook takes, where the hook itself tells. Used by deployments/graceful_shutdown."""

import re
from collections.abc import Mapping

from resilience_operator.core.paths import JSON

_SHELLS = frozenset({"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"})
_SLEEPS = frozenset({"sleep", "/bin/sleep", "/usr/bin/sleep"})
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
    command = hook["exec"].get("command") if isinstance(hook.get("exec"), Mapping) else None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return None
    match command:
        case [shell, "-c", line] if shell in _SHELLS:
            return _of_words(line.split())
        case _:
            return _of_words(command)


def _of_words(words: list[str]) -> float | None:
    match words:
        case [program, seconds] if program in _SLEEPS and (number := _SECONDS.fullmatch(seconds)):
            return float(number["number"])
    return None
