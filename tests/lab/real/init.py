"""The first process of a real node: mounts, network, containerd, images, then kubelet and kube-proxy, restarted.

Started by `nodes` in namespaces of its own, with a JSON file that says what to do; standard library only. All that
it starts ends with it, so to kill it is to power the node off. It is process 1, so it waits for orphans too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PAUSE = 0.5


def run(*argv: str) -> None:
    """Run a program to its end; CalledProcessError when it fails."""
    subprocess.run(argv, check=True)


def wait_for(path: str, seconds: float = 30.0) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} is not there after {seconds:g} s")
        time.sleep(0.02)


class Services:
    """The node's daemons, each started again when it ends."""

    def __init__(self, logs: str) -> None:
        self._logs = logs
        self._argv: dict[str, list[str]] = {}
        self._running: dict[int, str] = {}

    def start(self, name: str, argv: list[str]) -> None:
        """Start one, its output appended to its log."""
        self._argv[name] = argv
        with open(f"{self._logs}/{name}.log", "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[process.pid] = name
        # Its end is told by os.wait; Popen must not wait for it as well.
        process.returncode = 0

    def supervise(self) -> None:
        """Wait for every process that ends, for ever."""
        while True:
            pid, _ = os.wait()
            if name := self._running.pop(pid, ""):
                time.sleep(_PAUSE)
                self.start(name, self._argv[name])


def main() -> None:
    """Do what the file says, in its order."""
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    os.environ.update(plan["environment"])
    socket.sethostname(plan["name"])
    for target in plan["tmpfs"]:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", target)
    for source, target in plan["binds"]:
        run("mount", "--bind", source, target)
    # The other end of the cable is plugged in from outside. /proc/net is that of the reader's namespace, /sys is not.
    wait_for(f"/proc/sys/net/ipv4/conf/{plan['interface']}")
    for argv in plan["network"]:
        run(*argv)
    services = Services(plan["logs"])
    services.start("containerd", plan["containerd"])
    wait_for(plan["socket"])
    for image in plan["images"]:
        run(*plan["import"], image)
    for name, argv in plan["services"].items():
        services.start(name, argv)
    services.supervise()


if __name__ == "__main__":
    main()
