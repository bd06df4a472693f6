"""The owner's side of the reaper: start, signal and kill named parts, and end them all.

Used by `cluster.Lab`. Only processes that this lab started are ever signalled, and by their parent.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError


class Supervisor:
    """One reaper process and the parts it runs."""

    def __init__(self, scratch: Path, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-IS", str(Path(__file__).with_name("reaper.py"))]
            self._process = subprocess.Popen(
                [*argv, str(theirs.fileno()), str(scratch)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._channel = ours
        self._answers = ours.makefile("rb")

    @property
    def pid(self) -> int:
        """The reaper's process id: when it has ended, so have the parts."""
        return self._process.pid

    def start(self, name: str, argv: Sequence[str]) -> int:
        """Start a part; its output goes to its log."""
        return int(self._ask("start", name=name, argv=list(argv), log=str(self.log(name))))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part."""
        self._ask("signal", name=name, number=int(number))

    def kill(self, name: str) -> None:
        """SIGKILL a part and wait until it is gone."""
        self._ask("kill", name=name)

    def running(self) -> dict[str, int]:
        """The parts that run, with their process ids."""
        return dict(self._ask("running"))

    def log(self, name: str) -> Path:
        """Where a part writes."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a part's log, for an error message."""
        file = self.log(name)
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""

    def close(self) -> None:
        """End every part and wait for the reaper."""
        with self._lock:
            self._channel.close()
            self._answers.close()
        self._process.wait(timeout=30)

    def _ask(self, op: str, **arguments: Any) -> Any:
        with self._lock:
            try:
                self._channel.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                line = self._answers.readline()
            except (OSError, ValueError) as error:
                raise LabError(f"the lab is not running: {error}") from error
        if not line:
            raise LabError("the lab's supervisor is gone, and its parts with it")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"{op} {arguments.get('name', '')}: {answer['error']}")
        return answer["ok"]
