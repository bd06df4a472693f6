"""How many Events are sent, and a token bucket that is asked and never waits. Used by recorder."""

from dataclasses import dataclass

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Rates:
    """How much is sent. Seconds, and Events per second; `queue` and `remembered` bound the memory."""

    per_second: float = 5.0
    burst: int = 25
    object_burst: int = 25
    object_refill: float = 300.0
    series_every: float = 30.0
    longest_wait: float = 60.0
    queue: int = 10_000
    remembered: int = 4096


class Bucket:
    """A token bucket in local seconds."""

    def __init__(self, size: float, per_second: float, now: float) -> None:
        self._size, self._per_second = size, per_second
        self._tokens, self._at = size, now

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        if self.wait(now) > 0:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        # A token that lacks a rounding error is one: to wait for it would be to wait for nothing.
        return max(0.0, (1 - self._tokens) / self._per_second) if self._tokens < 1 - _ROUNDING else 0.0
