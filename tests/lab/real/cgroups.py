"""The control groups of one lab's real nodes: made before a kubelet starts, removed when the lab is gone.

Control groups alone outlive the processes in them. So this file is also a program, which `boot` starts beside the lab
and which outlives it by a moment: it waits for the lab's reaper to end, in whatever way, and sweeps. Standard library.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 20.0


def hierarchies(root: Path = _ROOT) -> list[Path]:
    """The mounted hierarchies: one of version 2, or one per controller of version 1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def make(group: str) -> None:
    """Make a group in every hierarchy; a cpuset without processors and memory takes no process."""
    for hierarchy in hierarchies():
        folder = hierarchy / group
        folder.mkdir(parents=True, exist_ok=True)
        for depth in range(1, len(Path(group).parts) + 1):
            inner = hierarchy.joinpath(*Path(group).parts[:depth])
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (inner / file).exists() and (hierarchy / "tasks").exists():
                    (inner / file).write_text((inner.parent / file).read_text())


def left(group: str) -> list[Path]:
    """What is left of a group, the innermost first."""
    found = []
    for hierarchy in hierarchies():
        if (hierarchy / group).is_dir():
            found += [Path(folder) for folder, _, _ in os.walk(hierarchy / group, topdown=False)]
    return found


def sweep(group: str, patience: float = _PATIENCE) -> bool:
    """Remove a group with all that is in it, when its processes have ended; whether nothing is left."""
    end = time.monotonic() + patience
    while folders := left(group):
        for folder in folders:
            # Busy while a process in it has not ended, or gone already.
            try:
                folder.rmdir()
            except OSError:
                continue
        if time.monotonic() > end:
            return not left(group)
        time.sleep(0.05)
    return True


def main() -> int:
    """Wait for a process to end, then sweep a group and remove a directory."""
    process, group, directory = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    select.select([os.pidfd_open(process)], [], [])
    swept = sweep(group)
    # The nodes' processes end after the reaper, and may write in its directory while it removes it.
    shutil.rmtree(directory, ignore_errors=True)
    return 0 if swept else 1


if __name__ == "__main__":
    sys.exit(main())
