"""A small process that is the parent of every part of one lab, and ends them when the lab's owner is gone.

Started by `process.Supervisor` as a plain script over a socket pair; standard library only, one thread.
It starts the parts itself, so there is no moment in which a part runs that nobody would end: the socket
closes when the owner exits in whatever way, and PR_SET_PDEATHSIG ends the parts if this process is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Reaper:
    """Answers one request per line; each request names the part it is about."""

    def __init__(self, channel: socket.socket, scratch: str) -> None:
        self._channel = channel
        self._scratch = scratch
        self._owner = os.getppid()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Serve until the owner closes the socket or dies, then end every child."""
        buffer = b""
        while True:
            readable, _, _ = select.select([self._channel], [], [], 1.0)
            # A forked copy of the owner could hold the socket open after the owner died.
            if os.getppid() != self._owner:
                break
            if not readable:
                continue
            data = self._channel.recv(65536)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self._channel.sendall(json.dumps(self._answer(json.loads(line))).encode() + b"\n")

    def close(self) -> None:
        """End what runs, and remove the lab's directory."""
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": getattr(self, f"do_{request.pop('op')}")(**request)}
        except (OSError, KeyError, ProcessLookupError) as error:
            return {"error": repr(error)}

    def do_start(self, name: str, argv: list[str], log: str) -> int:
        """Start a part, its output appended to the log."""
        with open(log, "ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._scratch or None,
                # This process has one thread, so the signal comes when the process ends, not sooner.
                preexec_fn=_die_with_parent,
            )
        self._children[name] = child
        return child.pid

    def do_signal(self, name: str, number: int) -> None:
        """Send a signal to a part that still runs."""
        self._children[name].send_signal(number)

    def do_kill(self, name: str) -> None:
        """Kill a part and return when it has exited, so that its port is free."""
        self._children[name].kill()
        self._children[name].wait()

    def do_running(self) -> dict[str, int]:
        """The process ids of the parts that run."""
        return {name: child.pid for name, child in self._children.items() if child.poll() is None}


def main() -> None:
    """Take the socket's descriptor and the lab's directory from the command line."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    reaper = Reaper(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    try:
        reaper.run()
    finally:
        reaper.close()


if __name__ == "__main__":
    main()
