"""Reads the kernel's numbers of conntrack. Called by the agent every few seconds; 30 us of CPU each time."""

import time
from collections import deque
from pathlib import Path

from resilience_operator.agent import pressure, table
from resilience_operator.agent.pressure import Counters, Pressure, Sample, Thresholds

_STATS = Path("/proc/net/stat/nf_conntrack")
_LONGEST = 1 << 20
"""Bytes of the file that are read: a row of 150 for each CPU."""


class Sampler:
    """The last samples, and what they say."""

    def __init__(self, stats: Path = _STATS) -> None:
        self._stats = stats
        self._samples: deque[Sample] = deque(maxlen=pressure.KEPT)
        self.counters = Counters()
        self.pressure = Pressure()

    def look(self, thresholds: Thresholds) -> Sample:
        """Take a sample and judge it. Raises OSError where the kernel does not answer."""
        entries, limit = table.count()
        with self._stats.open(encoding="ascii", errors="replace") as file:
            self.counters.add(pressure.read_counters(file.read(_LONGEST)))
        totals = self.counters.totals
        drops = (totals.get("drop", 0), totals.get("early_drop", 0))
        sample = Sample(time.monotonic(), entries, limit, *drops)
        self._samples.append(sample)
        self.pressure = pressure.assess(tuple(self._samples), self.pressure, thresholds)
        return sample
