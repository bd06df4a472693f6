"""What the command line remembers of a lab that lives on: which process keeps it, and where its files are.

Used by `__main__`. A process is known by its id and its start time, so that an id that the kernel gave to
somebody else is never signalled.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that ran at some time."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this id now."""
        return cls(pid, _start_time(pid))

    def alive(self) -> bool:
        """Whether it is still this process that has the id."""
        return bool(self.started) and _start_time(self.pid) == self.started

    def end(self, patience: float) -> bool:
        """Ask it to end, insist after a while; whether it is gone."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if self.alive():
                os.kill(self.pid, number)
            if self.gone_within(seconds):
                return True
        return False

    def gone_within(self, seconds: float) -> bool:
        """Wait until it has ended."""
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


@dataclass(frozen=True)
class State:
    """A running lab of the command line."""

    keeper: Process
    parts: dict[str, Process]
    server: str

    def save(self, file: Path) -> None:
        """Write it, whole or not at all."""
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(asdict(self), indent=2))
        partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> State | None:
        """Read it, if there is one."""
        try:
            content = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        parts = {name: Process(**part) for name, part in content["parts"].items()}
        return cls(Process(**content["keeper"]), parts, content["server"])


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The command's name may hold spaces and parentheses; the fields behind it do not.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
