"""When the next request may be sent: token bucket, Retry-After, back-off. Used by session and watch."""

import math
import random
from asyncio import sleep
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 60.0
"""Seconds; a server that asks for more is asked again after this."""


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 to 60, from a Retry-After header (RFC 9110 §10.2.3: seconds or a date).

    None where there is none, or nothing that could be understood.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now or datetime.now(UTC))
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(header: str, now: datetime) -> float:
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return math.nan
    return (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()


class TokenBucket:
    """`qps` requests a second on average, `burst` at once (client-go's flowcontrol); `clock` in seconds."""

    def __init__(self, qps: float, burst: int, clock: Callable[[], float]) -> None:
        if not (qps > 0 and burst >= 1):
            raise ValueError(f"qps must be above 0 and burst at least 1, not {qps} and {burst}")
        self._interval = 1.0 / qps
        self._depth = burst * self._interval
        self._clock = clock
        self._next = clock() - self._depth
        self._held_until = -math.inf

    async def take(self) -> None:
        """Wait for this request's turn; callers are served in the order in which they came."""
        now = self._clock()
        self._next = max(self._next, now - self._depth) + self._interval
        turn = self._next
        # in a loop, since the server may ask for more while we wait
        while (wait := max(turn, self._held_until) - self._clock()) > 0:  # noqa: ASYNC110
            await sleep(wait)

    def hold(self, seconds: float) -> None:
        """Nothing goes for so long: the server asked for it."""
        self._held_until = max(self._held_until, self._clock() + seconds)


class Backoff:
    """Growing, jittered waits without end: from `first` seconds, doubled, up to `most`; half is random."""

    def __init__(self, first: float = 0.2, most: float = 30.0) -> None:
        self._first, self._most = first, most
        self.failures = 0

    def next(self, at_least: float | None = None) -> float:
        """Seconds to wait before the next try; never less than `at_least` (Retry-After)."""
        step = min(self._first * 2.0 ** min(self.failures, 32), self._most)
        self.failures += 1
        # jitter: replicas that failed together must not return together
        return max(step * random.uniform(0.5, 1.0), at_least or 0.0)  # noqa: S311

    def reset(self) -> None:
        """All is well again: the next wait is short."""
        self.failures = 0
