"""Lines for people on stderr. Called by the agent's threads; the logging module would cost each node 0.8 MiB."""

import sys
import time
from contextlib import suppress


def log(text: str) -> None:
    """One line with the time in UTC, written whole; a reader that is gone stops nobody."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
        sys.stderr.flush()
