"""The clients that count: requests sent at a steady rate from a node's network, and how many were lost.

Started by `RealNodes.traffic`; the program is modules/traffic.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.lab.errors import LabError


@dataclass(frozen=True)
class Seen:
    """What a client saw."""

    sent: int
    lost: int
    reasons: Mapping[str, int]
    """Why requests were lost -> how many."""
    answers: Mapping[str, int]
    """Who answered, the pod's name -> how often."""
    seconds: Mapping[int, tuple[int, int]]
    """Second of the epoch -> sent and lost in it."""

    def lost_between(self, start: float, end: float) -> int:
        """How many of those that were sent between two times of the epoch were lost, to the second."""
        return sum(lost for second, (_, lost) in self.seconds.items() if int(start) <= second <= int(end))


_COUNTERS = re.compile(r"(\d+) sent, (\d+) lost")


class Traffic:
    """A running client; a context manager that ends it."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.counters = (0, 0)
        """Sent and lost, as it said a second ago at most."""
        self._words: deque[str] = deque(maxlen=10)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def stop(self) -> Seen:
        """End it; what it saw."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> Seen:
        """Wait until it has ended by itself; what it saw."""
        self._process.wait(timeout=120)
        self._listener.join()
        assert self._process.stdout is not None
        with self._process.stdout as output:
            text = output.read()
        if self._process.returncode != 0:
            raise LabError(f"the client ended with {self._process.returncode}: {''.join(self._words)}")
        found = json.loads(text)
        seconds = {int(second): (sent, lost) for second, (sent, lost) in found.pop("seconds").items()}
        return Seen(**found, seconds=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._words.append(line)
                if told := _COUNTERS.match(line):
                    self.counters = int(told[1]), int(told[2])
