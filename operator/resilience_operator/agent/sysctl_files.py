"""Sysctls of a node as files below a mount of its /proc/sys. Called by the sysctl loop and the self-test."""

import os
from pathlib import Path

_LONGEST = 64
"""Bytes of a value that are read."""


class SysctlFiles:
    """The tree of sysctls below a directory: the host's /proc/sys, or a bind of it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> int | None:
        """A value, or None where it cannot be read as a number."""
        try:
            with self._path(name).open("rb", buffering=0) as file:
                return int(file.read(_LONGEST))
        except (OSError, ValueError):
            return None

    def write(self, name: str, value: int) -> None:
        """Write a value. Raises OSError: EROFS, EACCES, EINVAL, ENOENT."""
        with self._path(name).open("wb", buffering=0) as file:
            file.write(b"%d\n" % value)

    def writable(self, name: str) -> bool:
        """Whether the file itself may be written: false in a network namespace that is not the node's."""
        try:
            mode = self._path(name).stat().st_mode
        except OSError:
            return False
        return bool(mode & 0o200)

    def mounted_writable(self, name: str) -> bool:
        """Whether the mount that the file lies in takes writes; the root above it is a container's, and read-only."""
        try:
            return not os.statvfs(self._path(name).parent).f_flag & os.ST_RDONLY
        except OSError:
            return False

    def _path(self, name: str) -> Path:
        if ".." in name or "/" in name:
            raise ValueError(f"not the name of a sysctl: {name!r}")
        return self._root.joinpath(*name.split("."))
