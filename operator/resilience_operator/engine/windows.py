"""When disruptive changes may start: weekly windows in local time, and spans in which nothing starts."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from resilience_operator.policy.common import AllowWindow, DenyWindow, Windows

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HORIZON_DAYS = 8


def is_open(windows: Windows, now: datetime) -> bool:
    """True where a disruptive change may start at `now` (aware)."""
    if any(_denies(window, now) for window in windows.deny):
        return False
    return not windows.allow or any(_covers(window, now) for window in windows.allow)


def closed_because(windows: Windows, now: datetime) -> str:
    """A sentence's end for a person: what is waited for and when it opens; "" where the window is open."""
    if is_open(windows, now):
        return ""
    denying = next((window for window in windows.deny if _denies(window, now)), None)
    if denying is not None:
        return f"waits for the end of {denying.name}, {_stamp(denying.until)}"
    opens = next_opening(windows, now)
    names = " or ".join(window.name for window in windows.allow)
    if opens is None:
        return f"waits for the window {names}, which does not open within {HORIZON_DAYS} days"
    window, at = opens
    return f"waits for the window {window.name}, {_stamp(at)}"


def next_opening(windows: Windows, now: datetime) -> tuple[AllowWindow, datetime] | None:
    """The next allow window to open and when (in its time zone), deny spans respected; None beyond the horizon."""
    openings = []
    for window in windows.allow:
        for start, end in _occurrences(window, now):
            at = _after_denials(windows.deny, max(start, now))
            if at < end:
                openings.append((at, window))
    if not openings:
        return None
    at, window = min(openings, key=lambda opening: opening[0])
    return window, at.astimezone(ZoneInfo(window.time_zone))


def wake_at(windows: Windows, now: datetime) -> datetime | None:
    """When the answer of `is_open` may change next, or None."""
    edges = [edge for window in windows.deny for edge in (window.start, window.until)]
    edges += [edge for window in windows.allow for span in _occurrences(window, now) for edge in span]
    return min((edge for edge in edges if edge > now), default=None)


def _denies(window: DenyWindow, now: datetime) -> bool:
    return window.start <= now < window.until


def _covers(window: AllowWindow, now: datetime) -> bool:
    return any(start <= now < end for start, end in _occurrences(window, now))


def _occurrences(window: AllowWindow, now: datetime) -> list[tuple[datetime, datetime]]:
    """The window's spans from yesterday on; a span belongs to the day on which it starts."""
    zone = ZoneInfo(window.time_zone)
    local = now.astimezone(zone)
    spans = []
    for offset in range(-1, HORIZON_DAYS):
        day = local.date() + timedelta(days=offset)
        if DAYS[day.weekday()] not in window.days:
            continue
        last = day if window.end > window.start else day + timedelta(days=1)
        start = datetime.combine(day, window.start, zone)
        spans.append((start, datetime.combine(last, window.end, zone)))
    return spans


def _after_denials(deny: tuple[DenyWindow, ...], at: datetime) -> datetime:
    for _ in range(len(deny) + 1):
        blocking = next((window for window in deny if _denies(window, at)), None)
        if blocking is None:
            break
        at = blocking.until
    return at


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M %Z").strip()
