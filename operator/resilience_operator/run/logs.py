"""The log of `resilience-operator run`: lines of text or of JSON on stderr, and no warning more than once a minute.

Set up by host. What a record is about (`extra=` of the call: object, policies, rules) becomes fields of the JSON.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
FIELDS = ("object", "policies", "rules")
"""Attributes of a record that say what it is about."""

EVERY = 60.0
"""Seconds in which the same warning is said once."""

MANY = 1000
"""Different warnings that are remembered."""


def set_up_logging(log_format: str, level: str = "info") -> None:
    """Log to stderr, `text` or `json`, from that level on."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    handler.addFilter(Repeats(time.monotonic))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It tells of every client, and each look at AWS makes one.
    logging.getLogger("botocore").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what it is about, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Repeats(logging.Filter):
    """Lets the same warning or error through once in EVERY seconds: what fails is tried far more often.

    The same is what has the same words; fractions in it (how long something waits) tell nothing apart.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False where it was said just now."""
        if record.levelno < logging.WARNING:
            return True
        words = record.args if isinstance(record.args, tuple) else ()
        key = (record.name, record.msg, *(str(word) for word in words if not isinstance(word, float)))
        now = self._clock()
        if now - self._said.get(key, -EVERY) < EVERY:
            return False
        if len(self._said) >= MANY:
            self._said.clear()
        self._said[key] = now
        return True
