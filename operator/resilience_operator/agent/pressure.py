"""How full the connection tracking table is, where it is heading, and what it lost: decided in values. No I/O.

Called by the agent every few seconds, with what the kernel counts. Facts: the kernel evicts from 95 % on and drops
every new flow at 100 %; counters are 32 bits wide, one per CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

KEPT = 60
"""Samples that the trend is made of: five minutes at one each five seconds."""

TREND_SECONDS = 60.0
"""A shorter history has no trend."""

TREND_FROM = 0.5
"""Share of the limit from which a trend warns: a table that fills from nothing is a node that starts."""

FULL_WITHIN = 600.0
"""Seconds: a table that is full sooner at its trend is a warning."""

LASTS = 120.0
"""Seconds that the share must be above the threshold, and that a loss is remembered."""

BACK = 5
"""Percentage points below a threshold at which its level ends; below 1 % at the latest."""

EARLY_DROPS = 10.0
"""Evictions a second that are critical."""

_WRAP = 1 << 32


class Level(StrEnum):
    """How it stands."""

    NORMAL = "Normal"
    WARNING = "Warning"
    CRITICAL = "Critical"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Percent of the limit, as the policy says."""

    warning: int = 75
    critical: int = 90


@dataclass(frozen=True, slots=True)
class Sample:
    """The table at one time."""

    at: float
    """Monotonic seconds."""

    entries: int
    limit: int
    """0: no limit."""

    drops: int = 0
    """Packets of new flows dropped since the agent started."""

    early_drops: int = 0
    """Entries evicted since the agent started."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is made of the samples."""

    level: Level = Level.NORMAL
    reason: str = "AsExpected"
    message: str = ""
    per_minute: int = 0
    """Entries more (or fewer) a minute at the present trend."""

    minutes_to_full: int | None = None
    """At the present trend; None while the table does not grow."""

    above: float | None = None
    """Since when the share is above the warning threshold, monotonic seconds."""

    lost: float | None = None
    """When a packet or a living entry was last lost, monotonic seconds."""


@dataclass
class Counters:
    """The kernel's counters, added up since the agent started."""

    totals: dict[str, int] = field(default_factory=dict)
    _last: list[Mapping[str, int]] = field(default_factory=list)

    def add(self, cpus: Sequence[Mapping[str, int]]) -> None:
        """Take the counters of each CPU; one that wrapped around went on, a CPU that came or went starts anew."""
        for name in cpus[0] if cpus else ():
            self.totals.setdefault(name, 0)
        if len(cpus) == len(self._last):
            for new, old in zip(cpus, self._last, strict=True):
                for name, value in new.items():
                    self.totals[name] += (value - old.get(name, value)) % _WRAP
        self._last = list(cpus)


_COUNTED = (
    "clash_resolve",
    "clashres",
    "invalid",
    "insert_failed",
    "drop",
    "early_drop",
    "search_restart",
    "chaintoolong",
)


def read_counters(text: str) -> list[dict[str, int]]:
    """The counters of each CPU of /proc/net/stat/nf_conntrack, whose columns differ from kernel to kernel.

    A line that is no row of hexadecimal numbers is left out.
    """
    lines = text.splitlines()
    names = lines[0].split() if lines else []
    found = []
    for line in lines[1:4097]:
        words = line.split()
        if len(words) != len(names):
            continue
        try:
            row = {n: int(w, 16) for n, w in zip(names, words, strict=True) if n in _COUNTED}
        except ValueError:
            continue
        if "clashres" in row:
            row["clash_resolve"] = row.pop("clashres")
        found.append(row)
    return found


def assess(samples: Sequence[Sample], before: Pressure, thresholds: Thresholds) -> Pressure:
    """What the samples (the last KEPT, oldest first, at least one) say, and what was said before."""
    last = samples[-1]
    slope = _slope(samples)
    minutes = _minutes(last, slope)
    share = last.entries / last.limit if last.limit else 0.0
    above = (last.at if before.above is None else before.above) if share * 100 >= thresholds.warning else None
    lost = last.at if _loses(samples) else before.lost
    level, reason = _level(share, minutes, (above, lost, last.at), before, thresholds)
    return Pressure(
        level,
        reason,
        _message(last, reason, minutes, share),
        round(slope * 60),
        minutes,
        above,
        lost,
    )


def _level(
    share: float,
    minutes: int | None,
    times: tuple[float | None, float | None, float],
    before: Pressure,
    thresholds: Thresholds,
) -> tuple[Level, str]:
    above, lost, now = times
    percent = share * 100
    critical, warning = thresholds.critical, thresholds.warning
    if before.level is Level.CRITICAL:
        critical = max(1, critical - BACK)
    if before.level is not Level.NORMAL:
        warning = max(1, warning - BACK)
    fills = minutes is not None and share >= TREND_FROM and minutes * 60 <= FULL_WITHIN
    if lost is not None and now - lost < LASTS:
        return Level.CRITICAL, "EntriesLost"
    if percent >= critical:
        return Level.CRITICAL, "NearlyFull"
    if fills:
        return Level.WARNING, "FullSoon"
    long = above is not None and now - above >= LASTS
    if percent >= warning and (long or before.level is not Level.NORMAL):
        return Level.WARNING, "Filling"
    return Level.NORMAL, "AsExpected"


def _loses(samples: Sequence[Sample]) -> bool:
    """Whether the last interval lost a packet, or evicted more than is normal."""
    if len(samples) < 2:
        return False
    older, last = samples[-2], samples[-1]
    seconds = max(last.at - older.at, 0.001)
    return last.drops > older.drops or (last.early_drops - older.early_drops) / seconds > EARLY_DROPS


def _slope(samples: Sequence[Sample]) -> float:
    """Entries more a second by least squares; 0 for a history that is too short."""
    if samples[-1].at - samples[0].at < TREND_SECONDS:
        return 0.0
    count = len(samples)
    middle_at = sum(one.at for one in samples) / count
    middle = sum(one.entries for one in samples) / count
    spread = sum((one.at - middle_at) ** 2 for one in samples)
    return sum((one.at - middle_at) * (one.entries - middle) for one in samples) / spread if spread else 0.0


def _minutes(last: Sample, slope: float) -> int | None:
    if slope <= 0 or not last.limit:
        return None
    minutes = max(0, last.limit - last.entries) / slope / 60
    return int(minutes) if minutes < 1440 else None


def _message(last: Sample, reason: str, minutes: int | None, share: float) -> str:
    if not last.limit:
        return f"{last.entries} entries, without a limit"
    filled = f"{last.entries} of {last.limit} entries ({share:.0%})"
    if reason == "EntriesLost":
        return f"{filled}; the table drops packets of new flows, or evicts flows to take them"
    if minutes is not None and reason != "AsExpected":
        return f"{filled}; full in {minutes} minutes at the present trend, and then every new flow is dropped"
    return filled
