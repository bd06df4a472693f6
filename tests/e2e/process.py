"""The operator as a process: started as a user would start it, stopped when the test ends, also when it fails."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

READY_SECONDS = 60.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OperatorProcess:
    """`resilience-operator run` with the given kubeconfig and flags; a context manager."""

    def __init__(self, kubeconfig: Path, log: Path, *flags: str, guarded: bool = False) -> None:
        """`guarded`: it enforces only where it can prove that the API server guards its user."""
        self.health, self.metrics = free_port(), free_port()
        self.log = log
        self._argv = [
            sys.executable,
            "-m",
            "resilience_operator.run.host",
            "run",
            *([] if guarded else ["--allow-unguarded"]),
            f"--kubeconfig={kubeconfig}",
            f"--health-bind=127.0.0.1:{self.health}",
            f"--metrics-bind=127.0.0.1:{self.metrics}",
            *flags,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's id. Raises RuntimeError where it was not started."""
        if self._process is None:
            raise RuntimeError("the operator was not started")
        return self._process.pid

    @property
    def ended(self) -> bool:
        """True where it was started and runs no more."""
        return self._process is not None and self._process.poll() is not None

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log, env=dict(os.environ))
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until /readyz says so; the log is the error where it does not."""
        end = time.monotonic() + timeout
        while not self.ready():
            if self._process is None or self._process.poll() is not None:
                raise AssertionError(f"the operator ended:\n{self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"the operator is not ready after {timeout:g} s:\n{self.tail()}")
            time.sleep(0.1)

    def ready(self) -> bool:
        """What /readyz says."""
        return self._get(self.health, "/readyz") is not None

    def alive(self) -> bool:
        """What /healthz says."""
        return self._get(self.health, "/healthz") is not None

    def metric(self, name: str) -> dict[str, float]:
        """Every sample of a metric: its labels as text -> value."""
        samples = {}
        for line in (self._get(self.metrics, "/metrics") or "").splitlines():
            head, _, value = line.rpartition(" ")
            if head == name or head.startswith(f"{name}{{"):
                samples[head[len(name) :]] = float(value)
        return samples

    def passes(self) -> float:
        """How many passes evaluated something so far."""
        return sum(self.metric("resilience_evaluation_seconds_count").values())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the operator did not end:\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        if error is not None:
            error.add_note(f"the operator's log:\n{self.tail(80)}")

    def _get(self, port: int, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None


def pretty(value: object) -> str:
    """JSON for a failing assertion."""
    return json.dumps(value, indent=1, sort_keys=True, default=str)
