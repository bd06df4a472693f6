"""Waiting for a condition, with an error that says what was waited for and what was seen last.

Used throughout the lab, and by tests as `lab.wait`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait(probe: Callable[[], T], timeout: float = 30.0, what: str = "", every: float = 0.1) -> T:
    """Poll until the probe's value is true and return it; AssertionError with the last value otherwise.

    An AssertionError of the probe counts as "not yet"; any other exception ends the wait.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            value = probe()
            last: object = value
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what or 'condition'}; last: {last!r}")
        time.sleep(every)
